//! The call machine: legs, offer and answer, what to install in the worker and what to remove.
//!
//! Sans-IO: requests, engine events, DTLS results and `now` go in; what is to be done comes out of
//! [`Call::poll_output`]. A request is answered when the worker has applied what it needs
//! ([`Output::Reply`]), so that a reply of 201 means that media can flow.
//!
//! Each leg is one engine leg with one `transport` (bundled, ICE), or with two where the far side has
//! a port of its own for RTCP. It receives every other leg at a seat of its own (`seats`), and where a line of the seat and a stream of the other leg
//! meet there is a wire if the descriptions allow it (`wire`). `Call::rewire` computes both anew and
//! tells the workers the difference; joining, hold, resume and leaving are nothing else.

mod company;
mod floor;
pub(crate) mod generation;
mod journal;
pub(crate) mod leg;
pub(crate) mod media;
mod note;
mod noting;
pub(crate) mod paths;
mod record;
pub(crate) mod score;
mod seats;
pub(crate) mod shake;
mod silence;
pub(crate) mod transport;
mod why;
mod wire;
mod words;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_engine::command::{
    Command, Event, LegId, Refusal, Returned, SocketId, TransportId, WorkerId,
};
use causeway_engine::stats::LegReading;

use crate::api::{
    AddLeg, CallState, CallStats, CallView, CreateCall, Description, EndReason, LegAdded, LegState,
    LegView, MediaDirection, Problem, Trickle, What, Why,
};
use crate::dtls::{Fingerprint, Role};
use crate::ice::{LocalAddress, Over};
use crate::ports::{Port, PortPair};
use crate::sdp::{self, Negotiated, Sdp};
use floor::Floor;
pub use generation::Restarted;
pub use journal::Journal;
use leg::{CallLeg, Remains, kinds_of, protection};
pub use media::random_id;
use note::{Asked, Heard, Note};
pub use note::{Eyes, Remark};
pub use silence::Lifetimes;
pub use why::sanitised;
use wire::Wire;

/// Legs of most calls.
const SIDES: usize = 2;

/// What the machine needs to know of its node.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// The node's sockets that browsers are answered from, on this call's worker.
    pub faces: Vec<Face>,
    /// The certificate's fingerprint as it stands in descriptions.
    pub fingerprint: sdp::Fingerprint,
    /// For a leg to connect, and for a call to get its first.
    pub join: Duration,
    /// Legs of a call, most.
    pub legs_per_call: usize,
    /// The code point of legs that ask for none.
    pub dscp: u8,
    /// How long calls live.
    pub lifetimes: Lifetimes,
    /// Whether the node made its certificate itself, which browsers do not trust.
    pub self_signed: bool,
}

impl NodeFacts {
    /// What a transport is offered: of each interface one port, in turn by the leg's slot, and the
    /// next one for each further transport of the leg; of an interface with fewer ports none.
    pub(crate) fn faces_of(&self, transport: TransportId) -> impl Iterator<Item = &Face> {
        let (first, place) = (usize::from(transport.leg.slot), usize::from(transport.index));
        self.faces
            .chunk_by(|one, other| one.interface == other.interface)
            .filter(move |ports| place < ports.len())
            .filter_map(move |ports| ports.get((first + place).checked_rem(ports.len())?))
    }

    /// Tells new legs and ICE restarts another address for an interface, by its place; ports stay.
    pub fn announce(&mut self, interface: usize, address: IpAddr) {
        for face in self.faces.iter_mut().filter(|face| usize::from(face.interface) == interface) {
            face.announced.set_ip(address);
        }
    }
}

/// A shared socket as both sides of the 1-to-1 NAT see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// Its slot on the worker.
    pub socket: SocketId,
    /// Its interface's place in the configuration. One interface may have several ports.
    pub interface: u16,
    /// What it is bound to.
    pub bound: SocketAddr,
    /// What the world sends to.
    pub announced: SocketAddr,
    /// Whether the bound address is offered too, behind the announced one.
    pub private: bool,
    /// What carries its packets.
    pub over: Over,
}

impl Face {
    /// The face as ICE knows it.
    pub(crate) fn local_address(&self) -> LocalAddress {
        LocalAddress { announced: self.announced, socket: self.socket, over: self.over }
    }
}

/// The dedicated ports of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortsWanted<'a> {
    /// How many pairs.
    pub pairs: usize,
    /// Whether they are of IPv6; any will do if absent.
    pub ipv6: Option<bool>,
    /// The interface by name; any will do if absent.
    pub interface: Option<&'a str>,
}

/// A request to a call, named by the caller's number.
pub type RequestId = u64;

/// What a request is answered with.
#[derive(Debug)]
pub enum Reply {
    /// A leg was added.
    Added(Box<LegAdded>),
    /// A leg as it is now.
    Leg(Box<LegView>),
    /// The answer to a renewed offer.
    Description(Description),
    /// The node's side of a new ICE generation.
    Restarted(Box<Restarted>),
    /// Statistics.
    Stats(Box<CallStats>),
    /// Why the call works or does not.
    Why(Box<Why>),
    /// Done.
    Done,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Answer a request.
    Reply(RequestId, Result<Reply, Problem>),
    /// Let what comes up for this leg find the call. Comes before the leg's first command.
    Own(LegId),
    /// Tell the worker; its answer comes back with the same tag.
    Engine(u64, Command),
    /// The worker has let go of a socket that a leg had for itself.
    Freed(SocketId),
    /// Tell the transport's handshake.
    Dtls(TransportId, DtlsInput),
    /// Say what happened.
    Event(What),
    /// The call is over and the worker has nothing of it any more. The last output.
    Over,
    /// Nothing more until an input, or [`Call::handle_timeout`] at this instant.
    Timeout(Option<Instant>),
}

/// What a transport's handshake is told.
#[derive(Debug)]
pub enum DtlsInput {
    /// Begin, and accept only these certificates; none means that they come later.
    Start {
        /// Who sends the first flight.
        role: Role,
        /// What the description said.
        expected: Vec<Fingerprint>,
    },
    /// The certificates to accept are known now.
    Expect(Vec<Fingerprint>),
    /// A datagram of the far side.
    Datagram(Box<[u8]>),
    /// Say goodbye and forget.
    Close,
}

/// What the worker is doing for the machine, by tag.
#[derive(Debug)]
enum Pending {
    /// Installing a leg; this reply waits for it.
    Install { leg: String, request: RequestId, reply: Reply },
    /// Whatever else a reply waits for.
    Request { request: RequestId, reply: Reply },
    /// A new ICE generation of a leg's last transport; this reply waits for it.
    Restart { transport: TransportId, generation: u32, request: RequestId, reply: Reply },
    /// The same of a transport before it; the last one has the tag `last`.
    RestartPart { transport: TransportId, generation: u32, last: u64 },
    /// Keys of a transport.
    Keys { transport: TransportId },
    /// Something else that a leg cannot do without.
    Part { slot: LegId },
    /// A leg's removal.
    Remove { leg: String },
    /// A socket for a leg alone.
    Socket { leg: String, socket: SocketId },
    /// Its removal.
    Unsocket { leg: String, socket: SocketId },
    /// A leg's last counters, read before its removal.
    Last { leg: String },
    /// A leg's counters for whoever watches that something still comes.
    Watch { leg: String },
    /// A leg's counters for a statistics request.
    Read { leg: String, request: RequestId },
}

struct Reading {
    /// Who wants to know why, where it is not about numbers alone.
    eyes: Option<Eyes>,
    missing: usize,
    legs: Vec<(String, Box<LegReading>)>,
}

/// One call.
pub struct Call {
    id: String,
    name: Option<String>,
    labels: BTreeMap<String, String>,
    created: u64,
    worker: WorkerId,
    facts: Arc<NodeFacts>,
    legs: Vec<CallLeg>,
    wires: Vec<Wire>,
    floor: Floor,
    pending: HashMap<u64, Pending>,
    readings: HashMap<RequestId, Reading>,
    next_tag: u64,
    was_active: bool,
    ended: Option<EndReason>,
    over_said: bool,
    lonely_until: Option<Instant>,
    ask_at: Option<Instant>,
    /// When it is looked next whether legs without ICE are still heard.
    watch_at: Option<Instant>,
    final_at: Option<Instant>,
    outputs: VecDeque<Output>,
    journal: Journal,
}

impl Call {
    /// A call without legs on `worker`. `created_ms` is in milliseconds since 1970.
    pub fn new(
        id: String,
        asked: CreateCall,
        worker: WorkerId,
        facts: Arc<NodeFacts>,
        created_ms: u64,
        now: Instant,
    ) -> Self {
        let lonely_until = Some(now + facts.join);
        let journal = Journal::new(&id, asked.name.as_deref(), created_ms, now);
        let final_at = facts.lifetimes.end_of(now);
        let mut call = Self {
            id,
            name: asked.name,
            labels: asked.labels,
            created: created_ms / 1000,
            worker,
            facts,
            legs: Vec::new(),
            wires: Vec::new(),
            floor: Floor::default(),
            pending: HashMap::new(),
            readings: HashMap::new(),
            next_tag: 0,
            was_active: false,
            ended: None,
            over_said: false,
            lonely_until,
            ask_at: None,
            watch_at: None,
            final_at,
            outputs: VecDeque::new(),
            journal,
        };
        let view = call.view();
        call.say(What::CallCreated { call: view });
        call
    }

    /// Its worker.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The call as it is now.
    pub fn view(&self) -> CallView {
        let connected = self.connected();
        CallView {
            id: self.id.clone(),
            name: self.name.clone(),
            labels: self.labels.clone(),
            state: match self.ended {
                Some(_) => CallState::Ended,
                None if connected >= 2 || self.was_active => CallState::Active,
                None => CallState::Waiting,
            },
            created: self.created,
            legs: self.legs.iter().map(CallLeg::view).collect(),
            speaker: self.speaker(),
        }
    }

    /// A leg as it is now.
    pub fn leg_view(&self, leg: &str) -> Result<LegView, Problem> {
        self.leg(leg).map(CallLeg::view)
    }

    /// Whether a leg can join, apart from its description. To be asked before a slot is taken.
    pub fn may_join(&self) -> Result<(), Problem> {
        if self.ended.is_some() {
            return Err(Problem::conflict("the call is over"));
        }
        let most = self.facts.legs_per_call;
        if self.legs.iter().filter(|leg| leg.ended.is_none()).count() >= most {
            let detail = format!("the call has as many legs as it can take, which is {most}");
            return Err(Problem::conflict(detail));
        }
        Ok(())
    }

    /// The dedicated ports that a leg needs. To be asked before they are taken.
    ///
    /// # Errors
    /// When its offer cannot be taken, or an interface is named for a leg that has no port of its own.
    pub fn ports_wanted(asked: &AddLeg) -> Result<PortsWanted<'_>, Problem> {
        let interface = asked.interface.as_deref();
        let (pairs, ipv6) = match &asked.offer {
            _ if !asked.without_ice => (0, None),
            Some(offer) => {
                let offer = Sdp::parse(offer)?;
                let address = offer.media().find_map(|section| section.connection());
                let ipv6 = address.is_some_and(|address| address.is_ipv6());
                (sdp::ports_wanted(&offer)?, Some(ipv6))
            }
            None if protection(asked).is_some() => (kinds_of(asked).len(), None),
            None => (0, None),
        };
        if pairs == 0 && interface.is_some() {
            let words = "a leg with ICE is offered every interface, and needs none by name";
            return Err(Problem::malformed(words).at("interface"));
        }
        Ok(PortsWanted { pairs, ipv6, interface })
    }

    /// Adds a leg under the engine's id `slot`, with as many pairs of ports as [`Self::ports_wanted`]
    /// said. If that fails at once the problem is the reply, the slot is still free, and the ports
    /// are closed.
    pub fn add_leg(
        &mut self,
        now: Instant,
        request: RequestId,
        asked: AddLeg,
        slot: LegId,
        ports: Vec<PortPair>,
    ) -> Result<(), Problem> {
        self.may_join()?;
        let limits = self.limits(None);
        let heard = Heard::read(asked.role.as_deref(), asked.offer.as_deref(), &limits);
        let joined = CallLeg::join(now, &self.facts, asked, slot, &limits, &ports);
        let (leg, description) = match joined {
            Ok(joined) => joined,
            Err(problem) => return Err(self.note_refused(None, heard, Asked::Join, problem)),
        };
        let state = leg.engine_leg()?;
        let id = leg.id.clone();
        let added = LegAdded {
            leg: leg.view(),
            answer: leg.negotiated.is_some().then(|| description.clone()),
            offer: leg.negotiated.is_none().then_some(description),
        };
        self.outputs.push_back(Output::Own(slot));
        for port in ports.into_iter().flat_map(|pair| [pair.rtp, pair.rtcp]) {
            let Port { socket, udp, .. } = port;
            let pending = Pending::Socket { leg: id.clone(), socket };
            self.tell_tagged(pending, Command::AddSocket { socket, udp });
        }
        let install = Pending::Install { leg: id, request, reply: Reply::Added(Box::new(added)) };
        self.tell_tagged(install, Command::AddLeg { leg: slot, state });
        if self.legs.is_empty() {
            self.legs.reserve_exact(SIDES);
        }
        self.legs.push(leg);
        self.lonely_until = None;
        let place = self.legs.len() - 1;
        self.watch_leg(now, place);
        self.note_joined(place, heard);
        self.install_media(place);
        self.start_all_dtls(place);
        self.drain_agents(now, place);
        self.rewire(now);
        Ok(())
    }

    /// Takes the far side's answer to the node's offer.
    pub fn answer(
        &mut self,
        now: Instant,
        request: RequestId,
        leg: &str,
        answer: &Description,
    ) -> Result<(), Problem> {
        let place = self.place(leg)?;
        let heard = Heard::read(None, Some(&answer.sdp), &[]);
        if let Err(problem) = self.legs[place].accept_answer(now, &answer.sdp) {
            return Err(self.note_refused(Some(place), heard, Asked::Answer, problem));
        }
        self.note_answered(place, heard);
        self.legs[place].signalled = now;
        for command in self.legs[place].credential_commands() {
            self.tell(command);
        }
        self.install_media(place);
        self.start_all_dtls(place);
        self.drain_agents(now, place);
        self.rewire(now);
        self.check_connected(place);
        let reply = Reply::Leg(Box::new(self.legs[place].view()));
        self.reply_when_applied(request, reply, place);
        self.say_changed(place);
        self.say_receptions();
        Ok(())
    }

    /// Takes a renewed offer of a leg and answers it (hold, resume, further m-lines, ICE restart).
    pub fn offer(
        &mut self,
        now: Instant,
        request: RequestId,
        leg: &str,
        offer: &Description,
    ) -> Result<(), Problem> {
        let place = self.place(leg)?;
        let limits: Vec<_> = self.limits(Some(leg)).into_iter().cloned().collect();
        let limits: Vec<_> = limits.iter().collect();
        let heard = Heard::read(None, Some(&offer.sdp), &limits);
        let renewed = self.legs[place].renegotiate(now, &self.facts, &offer.sdp, &limits);
        let (sdp, next) = match renewed {
            Ok(renewed) => renewed,
            Err(problem) => {
                return Err(self.note_refused(Some(place), heard, Asked::Offer, problem));
            }
        };
        self.note_renegotiated(place, heard);
        self.legs[place].signalled = now;
        self.install_media(place);
        self.start_all_dtls(place);
        self.rewire(now);
        let reply = Reply::Description(Description { sdp });
        match next {
            Some(next) => self.begin_restart(place, request, reply, next),
            None => self.reply_when_applied(request, reply, place),
        }
        self.drain_agents(now, place);
        self.say_changed(place);
        self.say_receptions();
        Ok(())
    }

    /// Offers anew to a leg without ICE; its answer comes by [`Self::answer`]. What was offered before
    /// and not answered is forgotten, as it is when the far side offers.
    pub fn propose(
        &mut self,
        request: RequestId,
        leg: &str,
        direction: MediaDirection,
    ) -> Result<(), Problem> {
        let place = self.place(leg)?;
        let limits: Vec<_> = self.limits(Some(leg)).into_iter().cloned().collect();
        let limits: Vec<_> = limits.iter().collect();
        let sdp = self.legs[place].propose(direction, &limits)?;
        self.note(place, Note::Proposed(direction));
        let reply = Reply::Description(Description { sdp });
        self.outputs.push_back(Output::Reply(request, Ok(reply)));
        Ok(())
    }

    /// Takes further candidates of a leg (RFC 8838).
    pub fn trickle(&mut self, now: Instant, leg: &str, more: &Trickle) -> Result<(), Problem> {
        let place = self.place(leg)?;
        let heard = Heard::trickled(&more.candidates, more.end_of_candidates);
        if let Err(problem) = self.legs[place].trickle(more) {
            return Err(self.note_refused(Some(place), heard, Asked::Candidates, problem));
        }
        self.note_heard(place, heard);
        self.drain_agents(now, place);
        Ok(())
    }

    /// Ends a leg.
    pub fn remove_leg(
        &mut self,
        now: Instant,
        request: RequestId,
        leg: &str,
    ) -> Result<(), Problem> {
        let place = self.place(leg)?;
        self.end_leg(now, place, EndReason::Left);
        self.outputs.push_back(Output::Reply(request, Ok(Reply::Done)));
        Ok(())
    }

    /// Ends the call.
    pub fn end(&mut self, now: Instant, reason: EndReason) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(reason);
        self.final_at = None;
        for place in 0..self.legs.len() {
            self.end_leg(now, place, EndReason::CallEnded);
        }
        self.journal.call(Note::Over(reason));
        self.say(What::CallEnded { call: self.id.clone(), reason });
        self.say_over();
    }

    /// See [`NodeFacts::announce`].
    pub fn announce(&mut self, place: usize, address: IpAddr) {
        Arc::make_mut(&mut self.facts).announce(place, address);
    }

    /// Asks the worker for every leg's counters.
    pub fn stats(&mut self, request: RequestId) {
        self.read(request, None);
    }

    /// Asks the worker for every leg's counters; with `eyes` the reply says why, else how much.
    fn read(&mut self, request: RequestId, eyes: Option<Eyes>) {
        let live: Vec<(String, LegId)> = self
            .legs
            .iter()
            .filter(|leg| leg.ended.is_none())
            .map(|leg| (leg.id.clone(), leg.slot))
            .collect();
        self.readings.insert(request, Reading { eyes, missing: live.len(), legs: Vec::new() });
        for (leg, slot) in live {
            let into = Box::new(LegReading::new());
            let read = Pending::Read { leg, request };
            self.tell_tagged(read, Command::ReadLeg { leg: slot, into });
        }
        self.finish_reading(request);
    }

    /// A command's answer.
    pub fn applied(
        &mut self,
        now: Instant,
        tag: u64,
        outcome: Result<(), Refusal>,
        returned: Returned,
    ) {
        let Some(pending) = self.pending.remove(&tag) else { return };
        match pending {
            Pending::Install { leg, request, reply } => {
                self.installed(now, &leg, request, reply, outcome);
            }
            Pending::Request { request, reply } => {
                let result = outcome.map(|()| reply).map_err(refused);
                self.outputs.push_back(Output::Reply(request, result));
            }
            Pending::Restart { transport, generation, request, reply } => {
                self.restarted(transport, generation, request, outcome.map(|()| reply));
            }
            Pending::RestartPart { transport, generation, last } => {
                if let Err(refusal) = outcome {
                    self.restart_refused(transport, generation, last, refusal);
                }
            }
            Pending::Keys { transport } => self.keyed(now, transport, outcome),
            Pending::Part { slot } => self.part_applied(now, slot, outcome),
            Pending::Remove { leg } => {
                self.forget(|held| held.id == leg, |remains| remains.in_worker = false);
            }
            Pending::Socket { leg, socket } => self.socket_applied(now, &leg, socket, outcome),
            Pending::Unsocket { leg, socket } => {
                self.outputs.push_back(Output::Freed(socket));
                self.forget(|held| held.id == leg, |remains| remains.sockets -= 1);
            }
            Pending::Last { leg } => self.note_counters(&leg, returned),
            Pending::Watch { leg } => self.watched(now, &leg, &returned),
            Pending::Read { leg, request } => {
                if let Some(reading) = self.readings.get_mut(&request) {
                    reading.missing -= 1;
                    if let Returned::LegReading(counters) = returned {
                        reading.legs.push((leg, counters));
                    }
                }
                self.finish_reading(request);
            }
        }
    }

    /// Something that the worker saw.
    pub fn event(&mut self, now: Instant, event: &Event) {
        match *event {
            Event::Nominated { transport, remote, generation } => {
                if let Some(place) = self.place_of(transport.leg) {
                    self.note_at(transport, Note::Nominated { remote, by_worker: true });
                    self.nominated(now, transport, generation, remote);
                    self.drain_agents(now, place);
                }
            }
            Event::ConsentLost { transport } => {
                if let Some(place) = self.place_of(transport.leg) {
                    self.note_at(transport, Note::ConsentLost);
                    self.end_leg(now, place, EndReason::ConsentLost);
                }
            }
            Event::RoleConflict { transport } => self.note_at(transport, Note::RoleConflict),
            Event::MediaStarted { transport, remote } => {
                self.note_at(transport, Note::FirstMedia(remote));
                self.found(transport, remote);
            }
            Event::LayerChanged { sink, layer } => self.note_layer(sink, layer),
            Event::Speaking { stream, speaking } => {
                if self.place_of(stream.leg).is_some() {
                    self.floor.note(now, stream, speaking);
                    self.settle_floor(now);
                }
            }
            Event::StreamClosed { .. }
            | Event::PeerConnected { .. }
            | Event::PeerAccepted { .. }
            | Event::PeerClosed { .. }
            | Event::Applied { .. } => {}
        }
    }

    /// To be called when the instant of [`Output::Timeout`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.lonely_until.is_some_and(|until| until <= now) {
            self.end(now, EndReason::JoinTimeout);
            return;
        }
        if self.final_at.take_if(|at| *at <= now).is_some() {
            self.end(now, EndReason::FinalTimeout);
            return;
        }
        self.watch(now);
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask_at = None;
            self.say_wants();
        }
        self.settle_floor(now);
        for place in 0..self.legs.len() {
            if self.legs[place].ended.is_some() {
                continue;
            }
            if self.legs[place].is_late(now) {
                self.end_leg(now, place, EndReason::JoinTimeout);
                continue;
            }
            let ice = self.legs[place].transports.iter_mut().filter_map(|held| held.ice.as_mut());
            ice.for_each(|ice| ice.handle_timeout(now));
            self.drain_agents(now, place);
        }
    }

    /// What is to be done next. To be drained until [`Output::Timeout`] after each input.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            self.rest();
            Output::Timeout(self.next_timeout())
        })
    }

    /// Keeps no memory for work that is done: most of a call's life nothing is to be done.
    fn rest(&mut self) {
        self.outputs.shrink_to_fit();
        if self.pending.is_empty() {
            self.pending.shrink_to_fit();
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let legs = self.legs.iter().filter_map(CallLeg::next_timeout);
        let own = [
            self.lonely_until,
            self.ask_at,
            self.watch_at,
            self.final_at,
            self.floor.next_timeout(),
        ];
        legs.chain(own.into_iter().flatten()).min()
    }

    /// What the other legs have negotiated.
    fn limits(&self, except: Option<&str>) -> Vec<&Negotiated> {
        let others = self.legs.iter().filter(|leg| Some(leg.id.as_str()) != except);
        others.filter(|leg| leg.ended.is_none()).filter_map(|leg| leg.negotiated.as_ref()).collect()
    }

    fn leg(&self, id: &str) -> Result<&CallLeg, Problem> {
        let found = self.legs.iter().find(|leg| leg.id == id);
        found.ok_or_else(|| Problem::not_found("the call has no such leg"))
    }

    /// The place of a leg that is not over.
    fn place(&self, id: &str) -> Result<usize, Problem> {
        let found = self.legs.iter().position(|leg| leg.id == id && leg.ended.is_none());
        found.ok_or_else(|| Problem::not_found("the call has no such leg"))
    }

    fn place_of(&self, slot: LegId) -> Option<usize> {
        self.legs.iter().position(|leg| leg.slot == slot && leg.ended.is_none())
    }

    fn connected(&self) -> usize {
        self.legs.iter().filter(|leg| leg.state() == LegState::Connected).count()
    }

    fn tell(&mut self, command: Command) {
        if let Some(slot) = command.builds() {
            self.tell_tagged(Pending::Part { slot }, command);
        } else {
            self.output(command);
        }
    }

    fn output(&mut self, command: Command) {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.outputs.push_back(Output::Engine(tag, command));
    }

    fn tell_tagged(&mut self, pending: Pending, command: Command) {
        self.pending.insert(self.next_tag, pending);
        self.output(command);
    }

    /// Commands are applied in order, so one more that changes nothing marks that all before it are.
    fn reply_when_applied(&mut self, request: RequestId, reply: Reply, place: usize) {
        let into = Box::new(LegReading::new());
        let leg = self.legs[place].slot;
        self.tell_tagged(Pending::Request { request, reply }, Command::ReadLeg { leg, into });
    }

    fn say(&mut self, what: What) {
        self.outputs.push_back(Output::Event(what));
    }

    fn say_changed(&mut self, place: usize) {
        let leg = self.legs[place].view();
        if let Some(said) = &mut self.legs[place].receives_said {
            said.clone_from(&leg.receives);
        }
        self.note_held(place, leg.held);
        self.say(What::LegChanged { call: self.id.clone(), leg });
    }

    /// Notes that an ended leg remains in one place less, and forgets it with the last.
    fn forget(&mut self, which: impl Fn(&CallLeg) -> bool, less: impl FnOnce(&mut Remains)) {
        let place = self.legs.iter().position(|leg| leg.ended.is_some() && which(leg));
        let Some(place) = place else { return };
        less(&mut self.legs[place].remains);
        if self.legs[place].remains == Remains::default() {
            self.legs.remove(place);
            self.say_over();
        }
    }

    fn say_over(&mut self) {
        if self.ended.is_some() && self.legs.is_empty() && !self.over_said {
            self.over_said = true;
            self.outputs.push_back(Output::Over);
        }
    }

    fn installed(
        &mut self,
        now: Instant,
        leg: &str,
        request: RequestId,
        reply: Reply,
        outcome: Result<(), Refusal>,
    ) {
        let result = match outcome {
            Ok(()) => Ok(reply),
            Err(refusal) => Err(refused(refusal)),
        };
        let failed = result.is_err();
        self.outputs.push_back(Output::Reply(request, result));
        let Ok(place) = self.place(leg) else { return };
        if failed {
            self.end_leg(now, place, EndReason::EngineRefused);
        } else {
            let leg = self.legs[place].view();
            self.legs[place].receives_said = Some(leg.receives.clone());
            self.say(What::LegJoined { call: self.id.clone(), leg });
            self.say_candidates(place);
            self.say_receptions();
            self.note_wants(now);
            self.check_connected(place);
        }
    }

    /// Trickles the node's candidates, for clients that take them from events only (RFC 8838). All
    /// of them stand in the description too.
    fn say_candidates(&mut self, place: usize) {
        let leg = &self.legs[place];
        let lines: Vec<_> = leg.local.candidates.iter().map(ToString::to_string).collect();
        let leg = leg.id.clone();
        for candidate in lines.into_iter().chain([String::new()]) {
            self.say(What::Candidate { call: self.id.clone(), leg: leg.clone(), candidate });
        }
    }

    /// A leg that lacks a part is not kept. What is refused because something is gone already
    /// (the other end of a wire, say) is no lack.
    fn part_applied(&mut self, now: Instant, slot: LegId, outcome: Result<(), Refusal>) {
        let lacks = outcome.is_err_and(|refusal| refusal != Refusal::Gone);
        if let Some(place) = self.place_of(slot).filter(|_| lacks) {
            self.note_lack(place, outcome);
            self.end_leg(now, place, EndReason::EngineRefused);
        }
    }

    /// A socket that the worker has not taken is no loss to it, but to the leg.
    fn socket_applied(
        &mut self,
        now: Instant,
        leg: &str,
        socket: SocketId,
        outcome: Result<(), Refusal>,
    ) {
        if outcome.is_ok() {
            return;
        }
        self.outputs.push_back(Output::Freed(socket));
        let Ok(place) = self.place(leg) else { return };
        self.legs[place].sockets.retain(|held| *held != socket);
        self.note_lack(place, outcome);
        self.end_leg(now, place, EndReason::EngineRefused);
    }

    /// Media has come to a transport without ICE, which says where its far side is.
    fn found(&mut self, transport: TransportId, remote: SocketAddr) {
        let Some(place) = self.place_of(transport.leg) else { return };
        let moved = self.transport(transport).is_some_and(|held| held.heard(remote));
        if moved && self.legs[place].is_connected() && transport.index == 0 {
            self.say_changed(place);
        }
        self.check_connected(place);
    }

    fn check_connected(&mut self, place: usize) {
        if !self.legs[place].note_connected() {
            return;
        }
        self.note(place, Note::Connected);
        self.say_changed(place);
        if self.connected() >= 2 && !self.was_active {
            self.was_active = true;
            self.journal.call(Note::Active);
            self.say(What::CallActive { call: self.id.clone() });
        }
    }

    /// Ends a leg: goodbye to its DTLS, its wires cut, the worker told, everybody told.
    fn end_leg(&mut self, now: Instant, place: usize, reason: EndReason) {
        let leg = &mut self.legs[place];
        if leg.ended.replace(reason).is_some() {
            return;
        }
        let (id, slot) = (leg.id.clone(), leg.slot);
        let shaking = leg.transports.iter().filter(|held| held.is_shaking());
        let before = self.outputs.len();
        self.outputs.extend(shaking.map(|held| Output::Dtls(held.id, DtlsInput::Close)));
        let (in_dtls, sockets) = (self.outputs.len() - before, std::mem::take(&mut leg.sockets));
        leg.remains = Remains { in_worker: true, in_dtls, sockets: sockets.len() };
        self.rewire(now);
        self.note(place, Note::LegOver(reason));
        self.read_last(&id, slot);
        self.tell_tagged(Pending::Remove { leg: id.clone() }, Command::RemoveLeg { leg: slot });
        for socket in sockets {
            let pending = Pending::Unsocket { leg: id.clone(), socket };
            self.tell_tagged(pending, Command::RemoveSocket { socket });
        }
        let (leg, stays) = (self.legs[place].view(), self.legs[place].stays);
        self.say(What::LegEnded { call: self.id.clone(), leg });
        self.lose_speaker(slot);
        self.weigh_ending(now, reason, stays);
        self.say_receptions();
    }

    /// A call that was active ends with the leg that leaves a single one behind. If that leg was
    /// lost rather than left, the one behind waits for it to join again, as an empty call does.
    /// Publishers and viewers come and go: they end the call for nobody, and wait for as long as
    /// they stay.
    fn weigh_ending(&mut self, now: Instant, reason: EndReason, stays: bool) {
        let mut behind = self.legs.iter().filter(|leg| leg.ended.is_none());
        let (first, more) = (behind.next(), behind.next().is_some());
        let waits = first.is_some_and(|leg| leg.stays || stays || !self.was_active);
        if self.ended.is_some() || more || waits {
            return;
        }
        // Whoever has no ICE cannot join again by itself.
        let gone = match reason {
            EndReason::Left | EndReason::Closed => Some(EndReason::CallEnded),
            EndReason::MediaTimeout => Some(reason),
            _ => None,
        };
        if let Some(why) = gone.filter(|_| self.was_active && !stays) {
            self.end(now, why);
        } else {
            self.lonely_until = Some(now + self.facts.join);
        }
    }

    /// Streams and sinks as the leg's description has them.
    fn install_media(&mut self, place: usize) {
        for command in self.legs[place].media_commands() {
            self.tell(command);
        }
    }

    /// Tells the worker the difference between the wires that there are and those that the
    /// descriptions ask for.
    fn rewire(&mut self, now: Instant) {
        seats::allot(&mut self.legs);
        let wanted = wire::wanted(&self.legs);
        for command in wire::difference(&self.wires, &wanted) {
            self.tell(command);
        }
        self.wires = wanted;
        let mut more = wire::answers(&mut self.legs);
        more.extend(wire::estimates(&mut self.legs));
        more.extend(wire::choices(&mut self.legs));
        for command in more {
            self.tell(command);
        }
        self.say_mismatches();
        self.note_wants(now);
    }

    /// A leg whose first choice of codec the other cannot take has to offer again.
    fn say_mismatches(&mut self) {
        let call = self.id.clone();
        for (leg, because) in wire::mismatches(&mut self.legs) {
            self.journal.leg(&leg, Note::OfferWanted(because.clone()));
            let call = call.clone();
            self.say(What::RenegotiationNeeded { call, leg, because, receive: None });
        }
    }

    fn finish_reading(&mut self, request: RequestId) {
        if self.readings.get(&request).is_none_or(|reading| reading.missing > 0) {
            return;
        }
        let Some(reading) = self.readings.remove(&request) else { return };
        let stats = media::call_stats(&self.id, &self.legs, &reading.legs);
        let reply = match reading.eyes {
            None => Reply::Stats(Box::new(stats)),
            Some(eyes) => {
                let why = self.journal.why(self.was_active, &stats.legs, &eyes);
                Reply::Why(Box::new(why))
            }
        };
        self.outputs.push_back(Output::Reply(request, Ok(reply)));
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Full => Problem::unavailable("the media worker is at its limit"),
        Refusal::Gone => Problem::not_found("the leg is gone"),
        other => Problem::internal(format!("the media worker refused: {other}")),
    }
}

#[cfg(test)]
mod tests;
