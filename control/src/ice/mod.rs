//! ICE set-up of one transport: answers the far side's checks, or makes its own, until there is a
//! pair to install in a worker (RFC 8445).
//!
//! A machine without sockets and clock around the `is` agent. What it adds:
//! - **1-to-1 NAT.** Candidates carry the announced address, sockets are bound to another one. Inside,
//!   only announced addresses exist; they are exchanged for sockets at the edges of this type.
//! - **TCP.** The node's TCP candidates are passive (RFC 6544 §4.1): it waits to be connected, and answers.
//! - **Answers before the answer.** A check that names the local ufrag and is signed with the local
//!   password is answered even while the far side's description is still on its way
//!   (RFC 8445 §7.3); `is` alone would wait.
//! - **Hand-over.** The worker answers checks on installed pairs itself, so this machine stops
//!   hearing them. After [`Agent::hand_over`] silence therefore means nothing here: no timeout, no failure,
//!   no check. Checks from addresses that are not installed yet still come up and are answered.
//! - **Rest.** From then on the `is` agent has nothing left to remember: it is let go of, and made again for a
//!   check that comes up. Most never are, and four fifths of this machine's memory are the agent's.
//! - **Bounds.** [`MAX_PAIRS`] far addresses and [`MAX_REMOTE_CANDIDATES`] signalled candidates. A lite
//!   agent with a ninth address forgets the others (the worker keeps its pairs), since a client may
//!   wander through more addresses than that in a long call.
//!
//! An ICE restart is another agent beside this one, with credentials of its own (RFC 8445 §9).
//!
//! Towards a full far side the node is lite: it answers, and follows the newest check that
//! carries USE-CANDIDATE, or a higher number where the far side renominates. It wins each role conflict, since a lite agent cannot be
//! controlling (RFC 8445 §6.1.1). If both are lite, somebody has to check: the node turns full and controlling.
//!
//! `is` prints passwords at its TRACE level: a log filter has to keep that target at DEBUG or above.

mod candidate;
mod credentials;
mod sight;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::iter;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use causeway_engine::command::SocketId;
use causeway_engine::stun;
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol};

pub use candidate::Ignored;
pub use credentials::Credentials;
use sight::Sights;
pub use sight::{CheckOutcome, Sight};

/// How an agent is made.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The addresses that it is reached at, best first.
    pub local: Vec<LocalAddress>,
    /// Whether it only answers (RFC 8445 §2.5).
    pub lite: bool,
    /// Whether it has the controlling role; of no effect while `lite`.
    pub controlling: bool,
    /// The component: 1 for RTP, and RTCP with rtcp-mux, 2 for RTCP of its own (RFC 8445 §2.1).
    pub component: u8,
    /// What the far side's checks name and are signed with.
    pub credentials: Credentials,
}

/// One local socket as the far side knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress {
    /// What the world sends to.
    pub announced: SocketAddr,
    /// The socket behind it.
    pub socket: SocketId,
    /// How packets get there.
    pub over: Over,
}

/// What carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// UDP.
    Udp,
    /// TCP that the far side opens (RFC 6544).
    Tcp,
}

/// The far side as described in its SDP.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What the node's checks name and are signed with.
    pub credentials: Credentials,
    /// Whether it said `a=ice-lite`.
    pub lite: bool,
}

/// What the machine wants done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a check: a datagram whose answer is wanted, wherever it comes from.
    Check {
        /// From this socket.
        local: SocketId,
        /// To here.
        remote: SocketAddr,
        /// What.
        bytes: Box<[u8]>,
    },
    /// Send a datagram.
    Transmit {
        /// From this socket.
        local: SocketId,
        /// To here.
        remote: SocketAddr,
        /// What.
        bytes: Box<[u8]>,
    },
    /// The first message from this address has passed its integrity check. Comes before the
    /// answer to it, so that the pair is installed when the far side acts on the answer.
    PairAuthenticated {
        /// The socket that it came in on.
        local: SocketId,
        /// The far address as seen.
        remote: SocketAddr,
    },
    /// Media goes to this address from now on. May come again with another one.
    Nominated {
        /// From this socket.
        local: SocketId,
        /// To here.
        remote: SocketAddr,
    },
    /// There is no way to the far side. The last output but for [`Output::Timeout`].
    Failed(IceError),
    /// Nothing more until a packet or call comes in, or this instant for [`Agent::handle_timeout`].
    Timeout(Option<Instant>),
}

/// Why there is no pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IceError {
    /// Nothing was nominated within [`SETUP_TIMEOUT`] of the far side's description, and nothing valid was heard.
    #[error(
        "no connectivity check of the far side arrived; is the announced address right and its UDP port open?"
    )]
    NothingHeard,
    /// Checks came through but none was nominated in time.
    #[error("checks came through, but the far side nominated no pair")]
    NotNominated,
    /// The far side's last candidate has failed.
    #[error("every candidate pair has failed")]
    AllPairsFailed,
}

/// Why an agent cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be a candidate: it is link-local, multicast, broadcast or unspecified")]
pub struct BadAddress(pub SocketAddr);

/// ICE of one transport. See the [module](self).
#[derive(Debug)]
pub struct Agent {
    /// Apart, since it is large; none while it [rests](Self::rest).
    inner: Option<Box<IceAgent>>,
    /// What it is made from; the role is as things stand.
    config: AgentConfig,
    /// The far side's credentials, once they are here.
    far: Option<Credentials>,
    /// Its side of a role conflict where it may yield (RFC 8445 §16.1).
    tie_breaker: u64,
    phase: Phase,
    /// The far side's ufrag as its first checks gave it, while its description is not here.
    early_ufrag: Option<String>,
    signalled: usize,
    candidates_ended: bool,
    /// Far addresses that have passed a check.
    authenticated: ArrayVec<SocketAddr, MAX_PAIRS>,
    nominated: Option<(SocketId, SocketAddr)>,
    /// The highest number of a nomination so far, where the far side numbers them.
    highest_nomination: Option<u32>,
    outputs: VecDeque<Output>,
    sights: Sights,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The far side's description is not here: it may take as long as people let phones ring.
    Waiting,
    /// Looking for a pair until then.
    Checking {
        deadline: Instant,
    },
    /// A pair was nominated; the worker does not own it yet.
    Nominated,
    /// The worker owns the pairs; until then the nomination is repeated, since its check may be lost.
    Confirming {
        until: Instant,
    },
    /// The worker owns the installed pairs.
    HandedOver,
    Failed,
}

impl Agent {
    /// Makes an agent that answers checks from now on.
    ///
    /// # Errors
    /// An announced address that is no candidate, such as `0.0.0.0`.
    pub fn new(config: AgentConfig) -> Result<Self, BadAddress> {
        for LocalAddress { announced, .. } in &config.local {
            // Tells whether it can be a candidate.
            Candidate::host(*announced, Protocol::Udp).map_err(|_| BadAddress(*announced))?;
        }
        let config = AgentConfig { controlling: config.controlling && !config.lite, ..config };
        Ok(Self {
            inner: None,
            config,
            far: None,
            tie_breaker: random_tie_breaker(),
            phase: Phase::Waiting,
            early_ufrag: None,
            signalled: 0,
            candidates_ended: false,
            authenticated: ArrayVec::new(),
            nominated: None,
            highest_nomination: None,
            outputs: VecDeque::new(),
            sights: Sights::default(),
        })
    }

    /// The candidates for the description, each as `candidate:…` without `a=`.
    pub fn local_candidates(&self) -> impl Iterator<Item = String> + '_ {
        (0..).zip(&self.config.local).map(|(place, LocalAddress { announced, over, .. })| {
            let component = self.config.component;
            let priority = host_priority(*over, component, place);
            let (ip, port) = (announced.ip(), announced.port());
            let (transport, end) = match over {
                Over::Udp => ("udp", ""),
                Over::Tcp => ("tcp", " tcptype passive"),
            };
            let place = place + 1;
            format!(
                "candidate:{place} {component} {transport} {priority} {ip} {port} typ host{end}"
            )
        })
    }

    /// What the far side's checks must name and are signed with.
    pub fn local_credentials(&self) -> Credentials {
        self.config.credentials.clone()
    }

    /// Whether a check with this username is for this agent (RFC 8445 §7.3).
    pub fn is_named_by(&self, username: &[u8]) -> bool {
        let own = &self.config.credentials.ufrag;
        username.strip_prefix(own.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'))
    }

    /// Whether this agent has the controlling role as things stand.
    pub fn is_controlling(&self) -> bool {
        self.inner.as_ref().map_or(self.config.controlling, |inner| inner.controlling())
    }

    /// Whether this agent makes no checks of its own as things stand.
    pub fn is_lite(&self) -> bool {
        self.config.lite
    }

    /// Takes the far side's description. From here [`SETUP_TIMEOUT`] runs.
    ///
    /// The same description again changes nothing; one with other credentials is an ICE restart of
    /// the far side, which needs a new agent with new local credentials (RFC 8445 §9), and is ignored.
    pub fn set_remote(&mut self, now: Instant, remote: Remote) {
        if self.far.is_some() {
            return;
        }
        if self.early_ufrag.take().is_some_and(|early| early != remote.credentials.ufrag) {
            self.forget();
            self.nominated = None;
        }
        let (both_are_lite, tie_breaker) = (self.config.lite && remote.lite, self.tie_breaker);
        let inner = self.awake();
        inner.set_remote_credentials(to_is(&remote.credentials));
        if both_are_lite {
            inner.set_ice_lite(false);
            inner.set_controlling(true);
            inner.set_control_tie_breaker(tie_breaker);
            self.config.lite = false;
        }
        self.far = Some(remote.credentials);
        if self.phase == Phase::Waiting {
            self.phase = match self.nominated {
                Some(_) => Phase::Nominated,
                None => Phase::Checking { deadline: now + SETUP_TIMEOUT },
            };
        }
        self.advance(now);
    }

    /// Takes one of the far side's candidates, from its description or trickled later (RFC 8838).
    /// A lite agent counts them only: it will hear from the far side.
    ///
    /// # Errors
    /// Why the line is of no use; this harms nothing.
    pub fn add_remote_candidate(&mut self, line: &str) -> Result<(), Ignored> {
        let candidate = candidate::parse(line, self.config.component)?;
        if let (Some(ufrag), Some(known)) = (candidate.ufrag(), &self.far)
            && ufrag != known.ufrag
        {
            return Err(Ignored::OtherGeneration);
        }
        if self.signalled == MAX_REMOTE_CANDIDATES {
            return Err(Ignored::TooMany);
        }
        self.signalled += 1;
        if self.phase != Phase::HandedOver {
            self.awake().add_remote_candidate(candidate);
        }
        Ok(())
    }

    /// Notes that the far side has no further candidates (RFC 8838 §8.2): when all pairs have failed,
    /// there is nothing to wait for.
    pub fn end_of_candidates(&mut self) {
        self.candidates_ended = true;
        let has_failed = |inner: &IceAgent| inner.state().is_disconnected();
        if self.makes_checks() && self.inner.as_deref().is_some_and(has_failed) {
            self.fail(IceError::AllPairsFailed);
        }
    }

    /// Takes a STUN message that came in on the socket `local`. Whatever is not
    /// authentic or not for this agent is dropped without a trace; nothing is learnt from it.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, local: SocketId, bytes: &[u8]) {
        if self.phase == Phase::Failed {
            return;
        }
        // Streams of both families share a socket.
        let is_way = |known: &&LocalAddress| {
            known.socket == local && known.announced.is_ipv4() == from.ip().to_canonical().is_ipv4()
        };
        let Some(local) = self.config.local.iter().find(is_way).copied() else { return };
        let Ok(message) = StunMessage::parse(bytes) else { return };
        if message.is_binding_request() {
            let nominates = Self::nominates(bytes);
            self.handle_check(now, from, local, message, nominates);
        } else {
            self.handle_response(now, from, local, message);
        }
    }

    /// To be called when the instant of [`Output::Timeout`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Phase::Checking { deadline } = self.phase
            && deadline <= now
        {
            let heard = !self.authenticated.is_empty();
            self.fail(if heard { IceError::NotNominated } else { IceError::NothingHeard });
            return;
        }
        if let Phase::Confirming { until } = self.phase
            && until <= now
        {
            self.phase = Phase::HandedOver;
        }
        self.advance(now);
    }

    /// Tells the machine that the worker owns the pairs. To be called after [`Output::Nominated`],
    /// or when the worker has seen the nomination itself: from then on there are no checks, no
    /// failures and no timeouts from here.
    pub fn hand_over(&mut self, now: Instant) {
        match self.phase {
            Phase::Failed | Phase::HandedOver | Phase::Confirming { .. } => {}
            _ if self.config.lite => self.phase = Phase::HandedOver,
            _ => self.phase = Phase::Confirming { until: now + CONFIRM_TIME },
        }
    }

    /// Whether it has given up.
    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    /// What is to be done next. Drain it until [`Output::Timeout`] after each call that takes `&mut self`.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        self.outputs = VecDeque::new();
        if self.phase == Phase::HandedOver {
            self.rest();
        }
        Output::Timeout(self.next_timeout())
    }

    /// A check of the far side that was not told of yet.
    pub fn poll_sight(&mut self) -> Option<Sight> {
        self.sights.next()
    }

    /// The address of a candidate line of the far side, if an agent of `component` could use it.
    ///
    /// # Errors
    /// Why the line is of no use.
    pub fn judge(line: &str, component: u8) -> Result<SocketAddr, Ignored> {
        candidate::parse(line, component).map(|candidate| candidate.addr())
    }

    /// RFC 8445 §7.3: a check of the far side.
    fn handle_check(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: LocalAddress,
        message: StunMessage<'_>,
        nominates: Nomination,
    ) {
        if self.far.is_none() {
            self.expect_early(&message);
        }
        if !self.awake().accepts_message(&message) {
            self.sights.see(local.announced, from, self.why_refused(&message));
            return;
        }
        if !self.has_room(from) {
            self.sights.see(local.announced, from, CheckOutcome::Refused);
            return;
        }
        self.feed(now, from, local, message);
        let answers: Vec<Datagram> = iter::from_fn(|| self.next_datagram()).collect();
        let succeeded = answers
            .iter()
            .any(|answer| answer.remote == from && answer.bytes.starts_with(&SUCCESS));
        let outcome = match answers.first() {
            _ if succeeded => CheckOutcome::Answered { nominates: nominates != Nomination::None },
            Some(_) => CheckOutcome::RoleConflict,
            None => CheckOutcome::Refused,
        };
        self.sights.see(local.announced, from, outcome);
        if succeeded {
            self.authenticate(local.socket, from);
            if self.config.lite && self.follows(nominates) {
                self.nominate(local.socket, from);
            }
        }
        self.follow_events();
        answers.into_iter().for_each(|answer| self.transmit(answer));
        self.advance(now);
    }

    fn why_refused(&self, check: &StunMessage<'_>) -> CheckOutcome {
        let named = check.split_username().map(|(_, far)| far);
        match &self.far {
            Some(known) if named != Some(known.ufrag.as_str()) => CheckOutcome::OtherUfrag,
            _ => CheckOutcome::IntegrityWrong,
        }
    }

    /// Whether a check asks for its pair: with USE-CANDIDATE (RFC 8445 §7.3.1.5) or, renominating,
    /// with a number.
    fn nominates(bytes: &[u8]) -> Nomination {
        match stun::Message::parse(bytes) {
            Ok(message) => match message.nomination {
                Some(number) => Nomination::Numbered(number),
                None if message.use_candidate => Nomination::Plain,
                None => Nomination::None,
            },
            Err(_) => Nomination::None,
        }
    }

    /// The newest nomination counts, and among numbered ones the highest: one that was overtaken on
    /// its way does not move media back.
    fn follows(&mut self, nomination: Nomination) -> bool {
        match nomination {
            Nomination::None => false,
            Nomination::Plain => true,
            Nomination::Numbered(number) => {
                let newer = self.highest_nomination.is_none_or(|highest| number > highest);
                if newer {
                    self.highest_nomination = Some(number);
                }
                newer
            }
        }
    }

    /// RFC 8445 §7.2.5: a response to a check of ours.
    fn handle_response(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: LocalAddress,
        message: StunMessage<'_>,
    ) {
        let silent = matches!(self.phase, Phase::Waiting | Phase::HandedOver);
        // RFC 8445 §7.2.5.2.1: the response must come from where the request went.
        let expects = |inner: &mut Box<IceAgent>| {
            let asked = inner.remote_candidates().any(|candidate| candidate.addr() == from);
            asked && inner.accepts_message(&message)
        };
        if self.config.lite || silent || !self.inner.as_mut().is_some_and(expects) {
            return;
        }
        let succeeded = message.is_successful_binding_response();
        if succeeded && !self.has_room(from) {
            return;
        }
        self.feed(now, from, local, message);
        if succeeded {
            self.authenticate(local.socket, from);
        }
        self.advance(now);
    }

    /// Until the description is here, each check says itself which far ufrag it is from; the
    /// local password, which only that description's reader knows, makes it authentic.
    fn expect_early(&mut self, message: &StunMessage<'_>) {
        let Some((_, ufrag)) = message.split_username() else { return };
        self.early_ufrag = Some(ufrag.to_owned());
        self.awake().set_remote_credentials(early(ufrag));
    }

    fn feed(
        &mut self,
        now: Instant,
        source: SocketAddr,
        local: LocalAddress,
        message: StunMessage<'_>,
    ) {
        let (proto, destination) = (local.over.protocol(), local.announced);
        let packet = StunPacket { proto, source, destination, message };
        self.awake().handle_packet(now, packet);
    }

    /// Whether there is room for pairs with one more far address; makes it where that costs nothing.
    fn has_room(&mut self, from: SocketAddr) -> bool {
        if !self.authenticated.is_full() || self.authenticated.contains(&from) {
            return true;
        }
        let may_forget = self.config.lite || self.phase == Phase::HandedOver;
        if may_forget {
            self.forget();
        }
        may_forget
    }

    /// Drops what was learnt of the far side, and keeps credentials and role.
    fn forget(&mut self) {
        self.rest();
        self.authenticated.clear();
    }

    /// Lets go of the `is` agent and so of what it knows of the far side, but for credentials and role.
    fn rest(&mut self) {
        self.config.controlling = self.is_controlling();
        self.inner = None;
    }

    /// The `is` agent; where it rests it is made again.
    fn awake(&mut self) -> &mut IceAgent {
        let Self { inner, config, far, early_ufrag, tie_breaker, .. } = self;
        inner.get_or_insert_with(|| {
            let mut made = IceAgent::new(to_is(&config.credentials));
            made.set_max_candidate_pairs(MAX_CHECKS);
            made.set_timing_advance(TIMING_ADVANCE);
            made.set_ice_lite(config.lite);
            made.set_controlling(config.controlling);
            made.set_control_tie_breaker(if config.lite { u64::MAX } else { *tie_breaker });
            for (place, address) in (0..).zip(&config.local) {
                made.add_local_candidate(candidate::own(address, config.component, place));
            }
            let far = far.as_ref().map(to_is).or_else(|| early_ufrag.as_deref().map(early));
            if let Some(far) = far {
                made.set_remote_credentials(far);
            }
            Box::new(made)
        })
    }

    fn authenticate(&mut self, local: SocketId, remote: SocketAddr) {
        if self.authenticated.contains(&remote) || self.authenticated.try_push(remote).is_err() {
            return;
        }
        self.outputs.push_back(Output::PairAuthenticated { local, remote });
    }

    fn nominate(&mut self, local: SocketId, remote: SocketAddr) {
        if self.nominated == Some((local, remote)) {
            return;
        }
        self.nominated = Some((local, remote));
        if matches!(self.phase, Phase::Checking { .. }) {
            self.phase = Phase::Nominated;
        }
        self.outputs.push_back(Output::Nominated { local, remote });
    }

    /// Lets a full agent make its checks. A lite one has nothing to do by the clock.
    fn advance(&mut self, now: Instant) {
        if self.makes_checks() {
            self.awake().handle_timeout(now);
        }
        self.follow_events();
        while let Some(request) = self.next_datagram() {
            self.transmit(request);
        }
    }

    fn follow_events(&mut self) {
        while let Some(event) = self.inner.as_mut().and_then(|inner| inner.poll_event()) {
            match event {
                IceAgentEvent::NominatedSend { proto, source, destination }
                    if !self.config.lite =>
                {
                    if let Some(local) = self.socket_at(source, proto) {
                        self.nominate(local, destination);
                    }
                }
                IceAgentEvent::IceConnectionStateChange(IceConnectionState::Disconnected)
                    if self.makes_checks() && self.candidates_ended =>
                {
                    self.fail(IceError::AllPairsFailed);
                }
                _ => {}
            }
        }
    }

    fn fail(&mut self, error: IceError) {
        self.phase = Phase::Failed;
        self.outputs.push_back(Output::Failed(error));
    }

    fn next_datagram(&mut self) -> Option<Datagram> {
        self.inner.as_mut()?.poll_transmit().map(|datagram| Datagram {
            announced: datagram.source,
            protocol: datagram.proto,
            remote: datagram.destination,
            bytes: Vec::from(datagram.contents).into(),
        })
    }

    fn transmit(&mut self, datagram: Datagram) {
        let Some(local) = self.socket_at(datagram.announced, datagram.protocol) else { return };
        let Datagram { remote, bytes, .. } = datagram;
        let is_check = bytes.starts_with(&REQUEST);
        self.outputs.push_back(if is_check {
            Output::Check { local, remote, bytes }
        } else {
            Output::Transmit { local, remote, bytes }
        });
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        let makes_checks = self.makes_checks();
        let checks = self.inner.as_mut().filter(|_| makes_checks);
        let checks = checks.and_then(|inner| inner.poll_timeout());
        match self.phase {
            Phase::Checking { deadline: end } | Phase::Confirming { until: end } => {
                Some(checks.map_or(end, |t| t.min(end)))
            }
            Phase::Nominated => checks,
            Phase::Waiting | Phase::HandedOver | Phase::Failed => None,
        }
    }

    fn makes_checks(&self) -> bool {
        let checks = matches!(
            self.phase,
            Phase::Checking { .. } | Phase::Nominated | Phase::Confirming { .. }
        );
        checks && !self.config.lite
    }

    fn socket_at(&self, announced: SocketAddr, protocol: Protocol) -> Option<SocketId> {
        let is_there = |known: &&LocalAddress| {
            known.announced == announced && known.over.protocol() == protocol
        };
        self.config.local.iter().find(is_there).map(|known| known.socket)
    }
}

impl Over {
    fn protocol(self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp => Protocol::Tcp,
        }
    }
}

/// What a check says of its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nomination {
    None,
    Plain,
    /// The NOMINATION attribute, which libwebrtc sends in place of USE-CANDIDATE where both sides
    /// said `renomination`.
    Numbered(u32),
}

struct Datagram {
    announced: SocketAddr,
    protocol: Protocol,
    remote: SocketAddr,
    bytes: Box<[u8]>,
}

/// The far side's while its description is not here, without the password that only that tells.
fn early(ufrag: &str) -> IceCreds {
    IceCreds { ufrag: ufrag.to_owned(), pass: String::new() }
}

fn to_is(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.password.to_string() }
}

/// Priority of the node's host candidate at this place among its own, best first
/// (RFC 8445 §5.1.2.1).
pub fn host_priority(over: Over, component: u8, place: u32) -> u32 {
    priority(if over == Over::Udp { HOST } else { HOST_TCP }, over, component, place)
}

fn priority(kind: u32, over: Over, component: u8, place: u32) -> u32 {
    let local = match over {
        Over::Udp => 65_535 - place.min(65_535),
        Over::Tcp => (PASSIVE << 13) | (8_191 - place.min(8_191)),
    };
    (kind << 24) | (local << 8) | (256 - u32::from(component))
}

fn random_tie_breaker() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    u64::from_be_bytes(bytes)
}

/// The component of RTP, and of RTCP with it (RFC 5761 §5.1.3).
pub const RTP: u8 = 1;
/// The component of RTCP with a port of its own (RFC 8445 §2.1).
pub const RTCP: u8 = 2;
/// Type preference of host candidates (RFC 8445 §5.1.2.2).
const HOST: u32 = 126;
/// The same over TCP, behind whatever goes over UDP (RFC 6544 §4.2).
const HOST_TCP: u32 = 90;
/// Direction preference of candidates that wait to be connected (RFC 6544 §4.2).
const PASSIVE: u32 = 4;
/// Type preference of peer-reflexive candidates, under which checks name their own.
const PEER_REFLEXIVE: u32 = 110;
/// Candidates of the far side that are taken, trickled ones included.
pub const MAX_REMOTE_CANDIDATES: usize = 64;
/// Far addresses that are known by an authentic check at a time; the worker holds as many pairs.
pub const MAX_PAIRS: usize = 8;
/// How long a far side whose description is here may take to nominate a pair.
pub const SETUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Pairs that a full agent checks (RFC 8445 §6.1.2.5 names 100 as the usual limit).
const MAX_CHECKS: usize = 100;
/// Ta: a server's network is not the bottleneck that the 50 ms of RFC 8445 §14.2 protect.
const TIMING_ADVANCE: Duration = Duration::from_millis(20);
/// How long a full agent goes on after the nomination.
const CONFIRM_TIME: Duration = Duration::from_secs(3);
/// How a Binding request starts (RFC 8489 §5).
const REQUEST: [u8; 2] = [0x00, 0x01];
/// How a Binding success response starts (RFC 8489 §5).
const SUCCESS: [u8; 2] = [0x01, 0x01];
