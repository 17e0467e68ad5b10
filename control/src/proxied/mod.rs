//! The call machine behind a SIP proxy: the parties' descriptions pass through the node, which puts its
//! own addresses, keys and candidates into them, and their media passes as it is.
//!
//! ```text
//!            offer, tag a                 offer, rewritten
//!  party a ───────────────►  node  ───────────────► party b
//!          ◄───────────────        ◄───────────────
//!          answer, rewritten            answer, tag b
//! ```
//!
//! Sans-IO, as [`crate::call`]: requests of the `ng` protocol, engine events, DTLS results and `now` go
//! in; what is to be done comes out of [`ProxiedCall::poll_output`]. Ports and leg ids are taken from a
//! [`Lender`] when a description needs them, all or none. A request is answered when the worker has
//! applied what it needs.
//!
//! A call has parties (`party`), a party has m-lines (`line`), an m-line has a seat: ports and an engine
//! leg (`seat`). What an offer or an answer changes is decided for both sides of each m-line (`settle`),
//! written (`write`) and told to the worker as a difference.
//!
//! # Where this is not rtpengine
//! - Nothing is accepted from a party before its description has come, unless it authenticates: an
//!   early packet says nothing about who sent it.
//! - A request that fails changes nothing of a call that was there before.
//! - Media is decrypted and verified on its way in every case, also where both sides have the same key.
//! - F8 and NULL suites are offered and taken only where that is configured or asked for, and no SRTP that is
//!   neither encrypted nor authenticated at all. Of a key line with several keys all have to be understood, or it
//!   is passed over (RFC 4568 §6.3.7).
//! - A handshake begins when both sides have spoken: who offers `actpass` leaves it to the answer who opens.
//! - Nothing is transcoded. The codec that an answerer takes is told as it is, also one of another number or none
//!   that was offered; digits are played as events, or as tones in G.711.
//! - Beside the parties' own candidates the node is one at one address, below all of theirs.
//! - An m-line has one stream, whatever number of ports it asks for.
//! - Who offers controls ICE (RFC 8445 §6.1.1), the node too. Whoever says that its candidates are to come is not on
//!   hold, whichever port it names until then.
//! - A party that answers with an address of the other family is sent to from a port of that family.
//! - A branch that is deleted and a subscriber that has left are gone, with their ports.
//! - A suite is told once both sides use it, not when it is offered.
//! - BUNDLE groups are taken apart, as there, unless the proxy says `bundle=[accept]`, as later versions have it
//!   (`bundle`): each m-line gets a transport, and one that is offered for the group alone (`bundle-only`) stays
//!   rejected.

mod bundle;
mod described;
mod dialogue;
mod digits;
mod end;
mod hears;
mod line;
mod party;
mod recording;
mod sdes;
mod seat;
mod seats;
mod select;
mod settle;
mod stats;
mod subscribe;
mod why;
mod write;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_engine::command::{
    Command, LegId, Refusal, Returned, SocketId, TransportId, WorkerId,
};
use causeway_engine::stats::LegReading;

use crate::call::DtlsInput;
use crate::call::media::random;
use crate::ng::{Message, NgError, Reply, Request};
use crate::ports::{PortError, PortPair};
use crate::sdp::{Fingerprint, Fragment, HashFunction};
pub use end::{CallRecord, EndedBy, MediaRecord};
pub use party::PARTIES_MAX;
use party::{Parties, PartyId};
use recording::Recorded;
pub use recording::{Order, RecordingId};
use seat::Step;
use stats::Readings;
pub use why::why;

/// What the machine needs to know of its node.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The certificate's fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// What the node knows its own descriptions by, 12 characters.
    pub instance: String,
    /// The code point of calls that ask for none.
    pub dscp: u8,
    /// Whether every description is taken to have the flag `SDES-legacy`.
    pub legacy_suites: bool,
    /// How long calls live without media, and at all.
    pub timeouts: Timeouts,
}

/// How long calls live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Without a packet where some are due.
    pub media: Duration,
    /// Without a packet where none is due: on hold, or before the answer.
    pub silent: Duration,
    /// Without an answer.
    pub offer: Duration,
    /// At all; zero for as long as they please.
    pub r#final: Duration,
    /// After a delete that does not say.
    pub delete_delay: Duration,
}

impl Default for Timeouts {
    /// What rtpengine has.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            media: seconds(60),
            silent: seconds(3600),
            offer: seconds(3600),
            r#final: seconds(0),
            delete_delay: seconds(30),
        }
    }
}

impl Facts {
    /// The certificate's fingerprint by this hash function, or by the first that there is.
    ///
    /// # Panics
    /// Without any fingerprint.
    pub fn fingerprint(&self, hash: HashFunction) -> &Fingerprint {
        let found = self.fingerprints.iter().find(|fingerprint| fingerprint.hash == hash);
        found.unwrap_or(&self.fingerprints[0])
    }

    /// A version for a description whose writer has none, short enough for everybody's number.
    fn draw(&self) -> u64 {
        random() >> 33
    }
}

/// Where ports and leg ids come from.
pub trait Lender {
    /// Binds a pair of ports on the interface of this name, or on the first that fits; with `everywhere`
    /// one at each address that the name stands for, that of the family first.
    ///
    /// # Errors
    /// [`PortError`]; nothing is taken then.
    fn lease(
        &mut self,
        interface: Option<&str>,
        ipv6: bool,
        everywhere: bool,
    ) -> Result<Vec<PortPair>, PortError>;
    /// Takes back ports that the worker never had.
    fn free(&mut self, ports: PortPair);
    /// A leg id that was never used before, on the call's worker.
    fn leg(&mut self) -> Option<LegId>;
    /// Takes back a leg id that the worker never had.
    fn give(&mut self, leg: LegId);
    /// A recording that is about to begin.
    ///
    /// # Errors
    /// [`NgError::RecordingOff`] or [`NgError::RecordingFull`].
    fn recording(&mut self) -> Result<RecordingId, NgError>;
}

/// A request to a call, named by the caller's number.
pub type RequestId = u64;

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Answer a request.
    Reply(RequestId, Reply),
    /// Let what comes up for this leg find the call. Comes before the leg's first command.
    Own(LegId),
    /// Tell the worker; its answer comes back with the same tag.
    Engine(u64, Command),
    /// The worker has let go of a socket.
    Freed(SocketId),
    /// Tell whoever records; before the commands that come after it.
    Record(Order),
    /// Tell the transport's handshake.
    Dtls(TransportId, DtlsInput),
    /// The call takes no further request: its id may be another's.
    Closed,
    /// What is told of the call, which is over.
    Ended(Box<CallRecord>),
    /// The worker has nothing of the call any more. The last output.
    Over,
    /// Nothing more until an input, or [`ProxiedCall::handle_timeout`] at this instant.
    Timeout(Option<Instant>),
}

/// What the worker is doing for the machine, by tag.
#[derive(Debug)]
enum Pending {
    /// What a reply waits for.
    Reply { request: RequestId, reply: Reply },
    /// A leg's installation.
    Install { leg: LegId },
    /// Something that a leg cannot do without.
    Part { leg: LegId },
    /// Keys of a transport.
    Keys { transport: TransportId },
    /// A socket for the worker.
    Socket { socket: SocketId },
    /// Its removal.
    Unsocket { socket: SocketId },
    /// A leg's removal.
    Remove,
    /// A digit that a reply waits for.
    Digit { request: RequestId },
    /// A leg's counters, for a reading that began with this tag.
    Read { reading: u64, leg: LegId },
}

/// Who wants to read counters.
#[derive(Debug)]
enum Reader {
    /// A `query` or `delete`.
    Request(RequestId, Telling),
    /// Whoever watches for media that has stopped.
    Watch,
    /// The record of a call that is over.
    Record,
}

/// How much of a call a request is told.
#[derive(Debug)]
enum Telling {
    /// Everything, of all parties or of these.
    Whole(Option<Vec<PartyId>>),
    /// Times, SSRCs and totals.
    Brief,
}

/// Counters that are being read.
struct Reading {
    /// The tag of its first command.
    first: u64,
    /// The tag after its last one.
    next: u64,
    readers: Vec<Reader>,
    missing: usize,
    legs: Readings,
}

/// Times as the protocol tells them.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The time for timers.
    pub now: Instant,
    /// The same since 1970.
    pub unix: Duration,
}

/// One call.
pub struct ProxiedCall {
    id: String,
    worker: WorkerId,
    facts: Arc<Facts>,
    created: Clock,
    last_signal: Duration,
    dscp: u8,
    parties: Parties,
    /// Whether an answer has come.
    answered: bool,
    recorded: Option<Recorded>,
    /// Whether no media passes.
    drops: bool,
    /// Candidates of parties that are yet to answer, by their tags.
    early: Vec<(String, Fragment)>,
    /// Transports whose handshake has begun.
    shaking: Vec<TransportId>,
    pending: HashMap<u64, Pending>,
    /// Whether the worker has refused a leg or a socket of what was asked for last.
    lacks_part: bool,
    readings: Vec<Reading>,
    next_tag: u64,
    /// When the call is over, if that is known.
    over_at: Option<(Instant, EndedBy)>,
    ended: Option<EndedBy>,
    /// What the worker still has of an ended call: legs, sockets.
    remains: (usize, usize),
    over_said: bool,
    watch_at: Instant,
    final_at: Option<Instant>,
    clock: Clock,
    outputs: VecDeque<Output>,
}

/// How often it is looked whether media still comes.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

impl ProxiedCall {
    /// A call without parties on `worker`.
    pub fn new(id: String, worker: WorkerId, facts: Arc<Facts>, clock: Clock) -> Self {
        let timeouts = facts.timeouts;
        Self {
            id,
            worker,
            dscp: facts.dscp,
            facts,
            created: clock,
            last_signal: clock.unix,
            parties: Parties::default(),
            answered: false,
            recorded: None,
            drops: false,
            early: Vec::new(),
            shaking: Vec::new(),
            pending: HashMap::new(),
            lacks_part: false,
            readings: Vec::new(),
            next_tag: 0,
            over_at: None,
            ended: None,
            remains: (0, 0),
            over_said: false,
            watch_at: clock.now + WATCH_INTERVAL,
            final_at: (!timeouts.r#final.is_zero()).then(|| clock.now + timeouts.r#final),
            clock,
            outputs: VecDeque::new(),
        }
    }

    /// Its id, which the proxy chose.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its worker.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Whether it takes no further request.
    pub fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Does what a request asks for, which is about this call; [`Output::Reply`] comes of it in any
    /// case. `brief` says that the reply has to fit a datagram.
    pub fn ask(
        &mut self,
        clock: Clock,
        request: RequestId,
        message: Message,
        brief: bool,
        lender: &mut dyn Lender,
    ) {
        self.clock = clock;
        let supports = message.supports_load_limit;
        let command = message.request.command();
        let outcome = match message.request {
            _ if self.ended.is_some() => Err(command.unknown_call()),
            Request::Offer(offer) => self.offer(request, *offer, lender),
            Request::Answer(answer) => self.answer(request, *answer, lender),
            Request::Delete(delete) => self.delete(request, &delete, brief),
            Request::Query(query) => {
                self.query(request, &query);
                Ok(())
            }
            Request::Subscribe(subscribe) => self.subscribe(request, &subscribe, lender),
            Request::Subscribed(answer) => self.subscribed(request, &answer, lender),
            Request::Unsubscribe(unsubscribe) => {
                self.unsubscribe(request, &unsubscribe.to_tag);
                Ok(())
            }
            Request::Publish(offer) => self.publish(request, &offer, lender),
            Request::Media(action, select) => self.filter(request, action, &select),
            Request::PlayDtmf(digit) => self.play(request, &digit),
            Request::Record(action, recording) => {
                self.recording(request, action, &recording, lender)
            }
            other => Err(NgError::Unserved(other.command())),
        };
        if let Err(error) = outcome {
            if self.parties.iter().next().is_none() {
                self.end(EndedBy::Refused);
            }
            self.reply(request, Reply::refusal(error, supports));
        }
    }

    /// A command's answer.
    pub fn applied(
        &mut self,
        clock: Clock,
        tag: u64,
        outcome: Result<(), Refusal>,
        returned: Returned,
    ) {
        self.clock = clock;
        let Some(pending) = self.pending.remove(&tag) else { return };
        match pending {
            Pending::Reply { request, reply } => {
                let lacks = std::mem::take(&mut self.lacks_part);
                let lack = Reply::error(NgError::OutOfPorts);
                self.reply(request, if lacks { lack } else { reply });
            }
            Pending::Install { leg } => {
                self.lacks_part |= outcome.is_err();
                self.part_applied(leg, outcome);
            }
            Pending::Part { leg } => self.part_applied(leg, outcome),
            Pending::Keys { transport } => self.keyed(transport, outcome),
            Pending::Socket { socket } => {
                if outcome.is_err() {
                    self.outputs.push_back(Output::Freed(socket));
                    self.lacks_part = true;
                    self.lose_socket(socket);
                }
            }
            Pending::Unsocket { socket } => {
                self.outputs.push_back(Output::Freed(socket));
                self.remains.1 = self.remains.1.saturating_sub(1);
            }
            Pending::Digit { request } => self.played(request, outcome),
            Pending::Remove => self.remains.0 = self.remains.0.saturating_sub(1),
            Pending::Read { reading, leg } => self.read(reading, leg, returned),
        }
        self.say_over();
    }

    /// To be called when the instant of [`Output::Timeout`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, clock: Clock) {
        self.clock = clock;
        let now = clock.now;
        if let Some((_, by)) = self.over_at.filter(|(at, _)| *at <= now) {
            self.end(by);
            return;
        }
        if self.final_at.is_some_and(|at| at <= now) {
            self.end(EndedBy::FinalTimeout);
            return;
        }
        if self.ended.is_some() {
            return;
        }
        self.end_branches();
        if self.watch_at <= now {
            self.watch_at = now + WATCH_INTERVAL;
            self.begin_reading(Reader::Watch);
        }
        self.tick_agents();
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
        if self.ended.is_some() {
            return None;
        }
        let branches = self.parties.iter().filter_map(|party| party.over_at);
        let parts = self.seats().flat_map(|seat| &seat.parts);
        let agents = parts.filter_map(|part| part.ice.as_ref()?.due());
        let own = [Some(self.watch_at), self.final_at, self.over_at.map(|(at, _)| at)];
        branches.chain(agents).chain(own.into_iter().flatten()).min()
    }

    fn reply(&mut self, request: RequestId, reply: Reply) {
        self.outputs.push_back(Output::Reply(request, reply));
    }

    /// Answers when everything that the worker was told so far is applied. Commands are applied in
    /// order, so one more that changes nothing marks that.
    fn reply_when_applied(&mut self, request: RequestId, reply: Reply) {
        let installed = self.seats().find(|seat| seat.is_installed()).map(|seat| seat.leg);
        match installed {
            Some(leg) if !self.pending.is_empty() => {
                let into = Box::new(LegReading::without_sinks());
                let pending = Pending::Reply { request, reply };
                self.tell_tagged(pending, Command::ReadLeg { leg, into });
            }
            _ => self.reply(request, reply),
        }
    }

    fn tell(&mut self, command: Command) {
        match (command.builds(), &command) {
            (_, Command::AddSocket { socket, .. }) => {
                let socket = *socket;
                self.tell_tagged(Pending::Socket { socket }, command);
            }
            (_, Command::AddLeg { leg, .. }) => {
                let leg = *leg;
                self.tell_tagged(Pending::Install { leg }, command);
            }
            (Some(leg), _) => self.tell_tagged(Pending::Part { leg }, command),
            (None, _) => self.output(command),
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

    /// Does what a seat needs.
    fn take_steps(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Own(leg) => self.outputs.push_back(Output::Own(leg)),
                Step::Retire(leg) => self.retire(leg),
                Step::Tell(command) => self.tell(command),
            }
        }
    }

    /// Takes a leg from the worker, after its handshakes have said goodbye.
    fn retire(&mut self, leg: LegId) {
        for transport in self.shaking.extract_if(.., |transport| transport.leg == leg) {
            self.outputs.push_back(Output::Dtls(transport, DtlsInput::Close));
        }
        self.remains.0 += 1;
        self.tell_tagged(Pending::Remove, Command::RemoveLeg { leg });
    }

    /// Every seat, former ones too.
    fn seats(&self) -> impl Iterator<Item = &seat::Seat> {
        let parties = self.parties.iter().flat_map(|party| &party.seats);
        parties.flat_map(seats::Seats::all)
    }

    fn seats_mut(&mut self) -> impl Iterator<Item = &mut seat::Seat> {
        let parties = self.parties.iter_mut().flat_map(|party| &mut party.seats);
        parties.flat_map(seats::Seats::all_mut)
    }

    fn seat_mut(&mut self, leg: LegId) -> Option<&mut seat::Seat> {
        self.seats_mut().find(|seat| seat.leg == leg)
    }

    /// The m-line of a leg.
    fn line_of(&self, leg: LegId) -> Option<&line::Line> {
        let mut places = self.parties.iter().flat_map(party::Party::places);
        let found = places.find(|(_, seats)| seats.all().any(|seat| seat.leg == leg));
        found.map(|(line, _)| line)
    }
}

#[cfg(test)]
mod tests;
