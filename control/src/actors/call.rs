//! One call's mailbox and timer around [`Call`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actix::prelude::*;
use causeway_engine::command::{Event, Punt, Refusal, Returned, SocketId, TransportId};
use tokio::sync::oneshot;

use crate::actors::dtls::{DtlsActor, shake};
use crate::actors::events::Events;
use crate::actors::registry::{Announced, Gone, Registry};
use crate::actors::timer::Timer;
use crate::actors::worker_link::{Own, WorkerDesk, WorkerLink, lock, tell};
use crate::api::{
    AddLeg, CallView, ClientReport, Description, EndReason, LegView, MediaDirection, Problem,
    Receive, Trickle,
};
use crate::call::{Call, Eyes, Output, PortsWanted, Remark, Reply, RequestId};
use crate::dtls::{DtlsError, Fingerprint, SrtpKeys, Version};
use crate::ice::Credentials;
use crate::ports::{PortDesk, PortError, PortPair};

/// Messages that can wait for a call; requests beyond it are refused, datagrams lost.
const MAILBOX: usize = 256;

/// A request of the API.
#[derive(Debug)]
pub enum Ask {
    /// Add a leg.
    AddLeg(AddLeg),
    /// Take the answer of a leg.
    Answer(String, Description),
    /// Take the renewed offer of a leg.
    Offer(String, Description),
    /// Offer anew to a leg.
    Propose(String, MediaDirection),
    /// Restart ICE of a leg without a description: the far side's credentials and candidates.
    Restart(String, Credentials, Vec<String>),
    /// Take candidates of a leg.
    Trickle(String, Trickle),
    /// Take a leg's wish for one of its m-lines.
    Receive(String, String, Receive),
    /// Remove a leg.
    RemoveLeg(String),
    /// Read counters.
    Stats,
    /// Say why it works or does not, to these eyes.
    Why(Eyes),
    /// Take a browser's report of a leg.
    Report(String, ClientReport),
    /// End the call.
    End(EndReason),
}

/// A request and where its reply goes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Request {
    /// What.
    pub ask: Ask,
    /// Where the reply goes.
    pub reply: oneshot::Sender<Result<Reply, Problem>>,
}

/// Asks for the call as it is now.
#[derive(Message)]
#[rtype(result = "Result<CallView, Problem>")]
pub struct Show;

/// Asks for a leg as it is now.
#[derive(Message)]
#[rtype(result = "Result<LegView, Problem>")]
pub struct ShowLeg(pub String);

/// Something that a door has seen of the call. Nobody waits for an answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Remarked(pub Remark);

/// A command's answer, by the call's own number.
pub struct Applied {
    /// The number.
    pub tag: u64,
    /// Whether it took effect.
    pub outcome: Result<(), Refusal>,
    /// Memory that goes home.
    pub returned: Returned,
}

impl Applied {
    /// The answer to a command that never reached the worker.
    pub(crate) fn refused(tag: u64) -> Self {
        Self { tag, outcome: Err(Refusal::Full), returned: Returned::Nothing }
    }
}

/// What comes up from the worker.
#[derive(Message)]
#[rtype(result = "()")]
pub enum FromEngine {
    /// Answers that came together, in order.
    Applied(Vec<Applied>),
    /// Something that the worker saw.
    Event(Event),
    /// A datagram.
    Punt(Box<Punt>),
}

/// What comes from a handshake.
#[derive(Debug)]
pub enum FromDtls {
    /// A datagram to be sent.
    Datagram(Box<[u8]>),
    /// Done.
    Connected {
        /// The keys.
        keys: SrtpKeys,
        /// The version.
        version: Version,
    },
    /// Failed.
    Failed {
        /// How.
        error: DtlsError,
        /// The fingerprint of the far side's certificate, if it showed one.
        shown: Option<Fingerprint>,
    },
    /// Closed by the far side.
    Closed,
    /// Closed and forgotten as it was told; the last word.
    Gone,
}

/// [`FromDtls`] of one transport.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DtlsOutput {
    /// The transport.
    pub transport: TransportId,
    /// What.
    pub output: FromDtls,
}

/// Whom a call talks to.
#[derive(Clone)]
pub struct Neighbours {
    /// Its worker's link.
    pub link: Addr<WorkerLink>,
    /// Its worker's slots.
    pub desk: Arc<WorkerDesk>,
    /// Dedicated ports, of all workers.
    pub ports: Arc<Mutex<PortDesk>>,
    /// Its handshakes.
    pub dtls: Addr<DtlsActor>,
    /// Who keeps it.
    pub registry: Addr<Registry>,
    /// Who hears of it.
    pub events: Events,
}

/// The actor.
pub struct CallActor {
    id: String,
    call: Call,
    to: Neighbours,
    replies: HashMap<RequestId, oneshot::Sender<Result<Reply, Problem>>>,
    next_request: RequestId,
    timer: Timer,
}

impl CallActor {
    /// Wraps a call.
    pub fn new(id: String, call: Call, to: Neighbours) -> Self {
        Self { id, call, to, replies: HashMap::new(), next_request: 0, timer: Timer::default() }
    }

    fn ask(&mut self, request: RequestId, ask: Ask) -> Result<(), Problem> {
        let now = Instant::now();
        match ask {
            Ask::AddLeg(asked) => self.add_leg(now, request, asked),
            Ask::Answer(leg, answer) => self.call.answer(now, request, &leg, &answer),
            Ask::Offer(leg, offer) => self.call.offer(now, request, &leg, &offer),
            Ask::Propose(leg, direction) => self.call.propose(request, &leg, direction),
            Ask::Restart(leg, far, candidates) => {
                self.call.restart(now, request, &leg, far, &candidates)
            }
            Ask::Trickle(leg, more) => {
                self.call.trickle(now, &leg, &more)?;
                self.reply(request, Ok(Reply::Done));
                Ok(())
            }
            Ask::Receive(leg, mid, asked) => self.call.receive(now, request, &leg, &mid, &asked),
            Ask::RemoveLeg(leg) => self.call.remove_leg(now, request, &leg),
            Ask::Stats => {
                self.call.stats(request);
                Ok(())
            }
            Ask::Why(eyes) => {
                self.call.why(request, eyes);
                Ok(())
            }
            Ask::Report(leg, report) => {
                self.call.report(&leg, report)?;
                self.reply(request, Ok(Reply::Done));
                Ok(())
            }
            Ask::End(reason) => {
                self.call.end(now, reason);
                self.reply(request, Ok(Reply::Done));
                Ok(())
            }
        }
    }

    fn add_leg(&mut self, now: Instant, request: RequestId, asked: AddLeg) -> Result<(), Problem> {
        self.call.may_join().map_err(|problem| self.call.note_turned_away(&asked, problem))?;
        let ports = self.lease(now, &asked);
        let ports = ports.map_err(|problem| self.call.note_turned_away(&asked, problem))?;
        let sockets: Vec<_> = sockets_of(&ports).collect();
        let added = self.add_leg_at(now, request, asked, ports);
        added.inspect_err(|_| self.free(now, sockets))
    }

    fn add_leg_at(
        &mut self,
        now: Instant,
        request: RequestId,
        asked: AddLeg,
        ports: Vec<PortPair>,
    ) -> Result<(), Problem> {
        let slot = lock(&self.to.desk.slots).take().ok_or_else(|| {
            let full = Problem::unavailable("the worker has no free leg");
            self.call.note_turned_away(&asked, full)
        })?;
        self.call.add_leg(now, request, asked, slot, ports).inspect_err(|_| {
            lock(&self.to.desk.slots).give(slot);
        })
    }

    /// Binds the ports that a leg needs for itself: all, or none.
    fn lease(&self, now: Instant, asked: &AddLeg) -> Result<Vec<PortPair>, Problem> {
        let PortsWanted { pairs, ipv6, interface } = Call::ports_wanted(asked)?;
        let mut ports: Vec<PortPair> = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            let pair = lock(&self.to.ports).lease(now, self.to.desk.worker, interface, ipv6);
            match pair {
                Ok(pair) => ports.push(pair),
                Err(error) => {
                    self.free(now, sockets_of(&ports));
                    return Err(no_ports(&error));
                }
            }
        }
        Ok(ports)
    }

    fn free(&self, now: Instant, sockets: impl IntoIterator<Item = SocketId>) {
        let mut ports = lock(&self.to.ports);
        sockets.into_iter().for_each(|socket| ports.free(now, self.to.desk.worker, socket));
    }

    fn reply(&mut self, request: RequestId, result: Result<Reply, Problem>) {
        if let Some(reply) = self.replies.remove(&request) {
            // Whoever asked may have gone away.
            let _ = reply.send(result);
        }
    }

    /// Does what the machine wants until it waits.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        let mut commands = Vec::new();
        loop {
            match self.call.poll_output() {
                Output::Reply(request, result) => self.reply(request, result),
                Output::Own(leg) => {
                    self.to.link.do_send(Own { leg, call: ctx.address().recipient() });
                }
                Output::Engine(tag, command) => commands.push((tag, command)),
                Output::Freed(socket) => self.free(Instant::now(), [socket]),
                Output::Dtls(transport, input) => shake(&self.to.dtls, transport, input, ctx),
                Output::Event(what) => self.to.events.say(what),
                Output::Over => {
                    let journal = self.call.take_journal();
                    self.to.registry.do_send(Gone { call: self.id.clone(), journal });
                    ctx.stop();
                }
                Output::Timeout(next) => {
                    tell(&self.to.link, commands, ctx);
                    self.timer.set(next, ctx, Self::due);
                    return;
                }
            }
        }
    }

    fn due(&mut self, ctx: &mut Context<Self>) {
        self.timer.clear();
        let now = Instant::now();
        self.call.observe(now);
        self.call.handle_timeout(now);
        self.drain(ctx);
    }
}

fn no_ports(error: &PortError) -> Problem {
    match error {
        PortError::NoInterface { .. } => {
            Problem::unprocessable("no-such-interface", error.to_string()).at("interface")
        }
        _ => Problem::unavailable(error.to_string()),
    }
}

fn sockets_of(ports: &[PortPair]) -> impl Iterator<Item = SocketId> {
    ports.iter().flat_map(|pair| [pair.rtp.socket, pair.rtcp.socket])
}

impl Actor for CallActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.drain(ctx);
    }
}

impl Handler<Request> for CallActor {
    type Result = ();

    fn handle(&mut self, Request { ask, reply }: Request, ctx: &mut Self::Context) {
        let request = self.next_request;
        self.next_request += 1;
        self.replies.insert(request, reply);
        self.call.observe(Instant::now());
        if let Err(problem) = self.ask(request, ask) {
            self.reply(request, Err(problem));
        }
        self.drain(ctx);
    }
}

impl Handler<Remarked> for CallActor {
    type Result = ();

    fn handle(&mut self, Remarked(remark): Remarked, _: &mut Self::Context) {
        self.call.observe(Instant::now());
        self.call.remark(remark);
    }
}

impl Handler<Show> for CallActor {
    type Result = Result<CallView, Problem>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        Ok(self.call.view())
    }
}

impl Handler<ShowLeg> for CallActor {
    type Result = Result<LegView, Problem>;

    fn handle(&mut self, ShowLeg(leg): ShowLeg, _: &mut Self::Context) -> Self::Result {
        self.call.leg_view(&leg)
    }
}

impl Handler<Announced> for CallActor {
    type Result = ();

    fn handle(&mut self, Announced { place, address }: Announced, _: &mut Self::Context) {
        self.call.announce(place, address);
    }
}

impl Handler<FromEngine> for CallActor {
    type Result = ();

    fn handle(&mut self, message: FromEngine, ctx: &mut Self::Context) {
        let now = Instant::now();
        self.call.observe(now);
        match message {
            FromEngine::Applied(answers) => {
                for Applied { tag, outcome, returned } in answers {
                    self.call.applied(now, tag, outcome, returned);
                }
            }
            FromEngine::Event(event) => self.call.event(now, &event),
            FromEngine::Punt(punt) => self.call.punt(now, &punt),
        }
        self.drain(ctx);
    }
}

impl Handler<DtlsOutput> for CallActor {
    type Result = ();

    fn handle(&mut self, DtlsOutput { transport, output }: DtlsOutput, ctx: &mut Self::Context) {
        let now = Instant::now();
        self.call.observe(now);
        match output {
            FromDtls::Datagram(bytes) => self.call.dtls_datagram(transport, bytes),
            FromDtls::Connected { keys, version } => {
                self.call.dtls_connected(transport, &keys, version);
            }
            FromDtls::Failed { error, shown } => {
                tracing::info!(call = self.id, %error, "DTLS failed");
                self.call.dtls_failed(now, transport, &error, shown.as_ref());
            }
            FromDtls::Closed => self.call.dtls_closed(now, transport),
            FromDtls::Gone => self.call.dtls_gone(transport),
        }
        self.drain(ctx);
    }
}
