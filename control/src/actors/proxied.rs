//! One proxied call's mailbox and timer around [`ProxiedCall`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use causeway_engine::command::{LegId, SocketId, WorkerId};
use tokio::sync::oneshot;

use crate::actors::call::{Applied, DtlsOutput, FromDtls, FromEngine};
use crate::actors::dtls::{DtlsActor, shake};
use crate::actors::switchboard::{Closed, Ended, Switchboard};
use crate::actors::timer::Timer;
use crate::actors::worker_link::{Own, WorkerDesk, WorkerLink, lock, tell};
use crate::ng::{Message as NgMessage, NgError, Reply};
use crate::ports::{PortDesk, PortError, PortPair};
use crate::proxied::{Clock, EndedBy, Lender, Output, ProxiedCall, RecordingId, RequestId};
use crate::recording::Recorder;

/// Messages that can wait for a call; requests beyond it are refused, datagrams lost.
const MAILBOX: usize = 64;

/// A request of the protocol and where its reply goes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct NgAsk {
    /// What.
    pub message: NgMessage,
    /// Whether the reply has to fit a datagram.
    pub brief: bool,
    /// Whether it has waited so long that no call is to be begun for it.
    pub late: bool,
    /// Where the reply goes.
    pub reply: oneshot::Sender<Reply>,
}

/// Ends the call whatever its state, and says why.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finish(pub EndedBy);

/// Whom a proxied call talks to.
#[derive(Clone)]
pub struct ProxiedNeighbours {
    /// Its worker's link.
    pub link: Addr<WorkerLink>,
    /// Its worker's slots.
    pub desk: Arc<WorkerDesk>,
    /// Dedicated ports, of all workers.
    pub ports: Arc<Mutex<PortDesk>>,
    /// Its handshakes.
    pub dtls: Addr<DtlsActor>,
    /// Who records it.
    pub recorder: Recorder,
    /// Who keeps it.
    pub switchboard: Addr<Switchboard>,
}

/// The actor.
pub struct ProxiedActor {
    call: ProxiedCall,
    to: ProxiedNeighbours,
    replies: HashMap<RequestId, oneshot::Sender<Reply>>,
    next_request: RequestId,
    timer: Timer,
}

impl ProxiedActor {
    /// Wraps a call.
    pub fn new(call: ProxiedCall, to: ProxiedNeighbours) -> Self {
        Self { call, to, replies: HashMap::new(), next_request: 0, timer: Timer::default() }
    }

    /// Does what the machine wants until it waits.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        let mut commands = Vec::new();
        loop {
            match self.call.poll_output() {
                Output::Reply(request, reply) => {
                    if let Some(waiting) = self.replies.remove(&request) {
                        // Whoever asked may have gone away.
                        let _ = waiting.send(reply);
                    }
                }
                Output::Own(leg) => {
                    self.to.link.do_send(Own { leg, call: ctx.address().recipient() });
                }
                Output::Engine(tag, command) => commands.push((tag, command)),
                Output::Freed(socket) => self.desk().free_socket(socket),
                Output::Record(order) => self.to.recorder.tell(order),
                Output::Dtls(transport, input) => shake(&self.to.dtls, transport, input, ctx),
                Output::Closed => {
                    let id = self.call.id().to_owned();
                    self.to.switchboard.do_send(Closed { id, call: ctx.address() });
                }
                Output::Ended(record) => {
                    self.to.switchboard.do_send(Ended { record });
                }
                Output::Over => ctx.stop(),
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
        self.call.handle_timeout(clock());
        self.drain(ctx);
    }

    fn desk(&self) -> Desk {
        let ProxiedNeighbours { ports, desk, recorder, .. } = &self.to;
        Desk { ports: ports.clone(), slots: desk.clone(), recorder: recorder.clone() }
    }
}

/// Where a call's ports, leg ids and recordings come from.
struct Desk {
    ports: Arc<Mutex<PortDesk>>,
    slots: Arc<WorkerDesk>,
    recorder: Recorder,
}

impl Desk {
    fn worker(&self) -> WorkerId {
        self.slots.worker
    }

    fn free_socket(&self, socket: SocketId) {
        lock(&self.ports).free(Instant::now(), self.worker(), socket);
    }
}

impl Lender for Desk {
    fn lease(
        &mut self,
        interface: Option<&str>,
        ipv6: bool,
        everywhere: bool,
    ) -> Result<Vec<PortPair>, PortError> {
        let worker = self.worker();
        lock(&self.ports).lease_on(Instant::now(), worker, interface, ipv6, everywhere)
    }

    fn free(&mut self, ports: PortPair) {
        let sockets = [ports.rtp.socket, ports.rtcp.socket];
        drop(ports);
        sockets.into_iter().for_each(|socket| self.free_socket(socket));
    }

    fn leg(&mut self) -> Option<LegId> {
        lock(&self.slots.slots).take()
    }

    fn give(&mut self, leg: LegId) {
        lock(&self.slots.slots).give(leg);
    }

    fn recording(&mut self) -> Result<RecordingId, NgError> {
        self.recorder.place()
    }
}

/// The time in both forms.
pub(crate) fn clock() -> Clock {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Clock { now: Instant::now(), unix }
}

impl Actor for ProxiedActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.drain(ctx);
    }
}

impl Handler<NgAsk> for ProxiedActor {
    type Result = ();

    /// What comes for a call that is over goes back: the switchboard knows by then that it is.
    fn handle(&mut self, ask: NgAsk, ctx: &mut Self::Context) {
        if self.call.is_ended() {
            self.to.switchboard.do_send(ask);
            return;
        }
        let NgAsk { message, brief, reply, .. } = ask;
        let request = self.next_request;
        self.next_request += 1;
        self.replies.insert(request, reply);
        let mut desk = self.desk();
        self.call.ask(clock(), request, message, brief, &mut desk);
        self.drain(ctx);
    }
}

impl Handler<Finish> for ProxiedActor {
    type Result = ();

    fn handle(&mut self, Finish(by): Finish, ctx: &mut Self::Context) {
        self.call.end(by);
        self.drain(ctx);
    }
}

impl Handler<FromEngine> for ProxiedActor {
    type Result = ();

    fn handle(&mut self, message: FromEngine, ctx: &mut Self::Context) {
        match message {
            FromEngine::Applied(answers) => {
                let clock = clock();
                for Applied { tag, outcome, returned } in answers {
                    self.call.applied(clock, tag, outcome, returned);
                }
            }
            FromEngine::Event(event) => self.call.event(clock(), &event),
            FromEngine::Punt(punt) => self.call.punt(clock(), &punt),
        }
        self.drain(ctx);
    }
}

impl Handler<DtlsOutput> for ProxiedActor {
    type Result = ();

    fn handle(&mut self, DtlsOutput { transport, output }: DtlsOutput, ctx: &mut Self::Context) {
        match output {
            FromDtls::Datagram(bytes) => self.call.dtls_datagram(clock(), transport, bytes),
            FromDtls::Connected { keys, .. } => self.call.dtls_connected(clock(), transport, &keys),
            FromDtls::Failed { error, .. } => self.call.dtls_failed(clock(), transport, &error),
            FromDtls::Closed | FromDtls::Gone => {}
        }
        self.drain(ctx);
    }
}
