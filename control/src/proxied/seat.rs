//! Where an m-line of a party meets the node: a pair of ports, and the engine's leg on them.
//!
//! The ports stay for as long as the m-line does. The leg is of one kind for life: with ICE or
//! without, encrypted or not. What is of another kind after an offer or its answer gets another leg
//! on the same ports.

use std::net::SocketAddr;
use std::time::Instant;

use causeway_engine::command::{
    Command, LegId, LegSpec, MediaKind, Mid, Refusal, Security, SocketId, StreamId, StreamSpec,
    TransportId, TransportSpec,
};
use causeway_engine::learning::Learning;
use causeway_engine::leg::Leg;
use causeway_engine::pipe::Pipes;
use causeway_engine::srtp::{Srtp, Suite};
use causeway_engine::stream::Stream;

use super::line::Line;
use crate::call::generation::{Generation, Ice};
use crate::call::leg::engine_credentials;
use crate::call::media::random;
use crate::call::paths::Paths;
use crate::call::shake::Shake;
use crate::call::transport::keys_spec;
use crate::ice::{AgentConfig, Credentials, LocalAddress, Over, Remote};
use crate::ports::{Port, PortPair};
use crate::sdp::{Fingerprint, Sdes};

/// The place of the transport of media, and of RTCP with it where they share a port.
pub(super) const MEDIA: u8 = 0;
/// The place of the transport of RTCP alone.
pub(super) const REPORTS: u8 = 1;

/// An m-line's ports and leg.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) leg: LegId,
    /// Where the other side was that it is for; `None` while there was none.
    pub(super) other_side: Option<SocketAddr>,
    /// The interface and family that it was leased for.
    pub(super) asked: (Option<String>, bool),
    /// Whether it has ports at every address of its interface, as ICE wants them.
    pub(super) is_whole: bool,
    /// RTP and RTCP.
    pub(super) parts: [Part; 2],
    /// The kind of leg that the worker has; `None` while it has none.
    kind: Option<Kind>,
    /// The node's ICE credentials.
    credentials: Option<Credentials>,
    /// ICE generations after the first.
    restarts: u32,
    told: Told,
}

/// RTP, or RTCP alone: a port at each address.
pub(super) struct Part {
    /// There is one at least; it is what the description names.
    pub(super) spots: Vec<Spot>,
    pub(super) paths: Paths,
    /// Apart, since it is large and phones have none.
    pub(super) ice: Option<Box<Ice>>,
    pub(super) shake: Shake,
    /// The suite of the keys that the worker has.
    pub(super) suite: Option<Suite>,
    /// Where the far side is, as far as is known.
    pub(super) remote: Option<SocketAddr>,
}

/// A port at an address.
pub(super) struct Spot {
    /// The interface's place in the configuration.
    pub(super) interface: usize,
    pub(super) socket: SocketId,
    pub(super) bound: SocketAddr,
    pub(super) announced: SocketAddr,
    /// The port itself, until the worker has it.
    port: Option<Box<Port>>,
}

/// What a seat holds of the worker.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) leg: LegId,
    pub(super) is_installed: bool,
    pub(super) sockets: Vec<SocketId>,
}

/// What a leg is for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    ice: bool,
    secure: bool,
    raw: bool,
}

/// What the worker was told of a leg.
#[derive(Debug, Default)]
struct Told {
    remotes: [Option<SocketAddr>; 2],
    learning: Option<Learning>,
    keys: Option<Box<Sdes>>,
    stream: Option<StreamSpec>,
    far_ice: Option<Credentials>,
    own_ice: Option<Credentials>,
    certificate: Option<Fingerprint>,
    /// Streams of m-lines that share its port.
    shared: Vec<StreamSpec>,
    /// Those of each stream.
    pipes: Vec<Pipes>,
    tapped: bool,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("announced", &self.announced()).finish_non_exhaustive()
    }
}

impl Part {
    fn new(spots: Vec<Spot>) -> Self {
        Self {
            spots,
            paths: Paths::default(),
            ice: None,
            shake: Shake::default(),
            suite: None,
            remote: None,
        }
    }

    /// What the description names.
    pub(super) fn announced(&self) -> SocketAddr {
        self.spots[0].announced
    }

    /// Where it is bound.
    pub(super) fn bound(&self) -> SocketAddr {
        self.spots[0].bound
    }

    pub(super) fn socket(&self) -> SocketId {
        self.spots[0].socket
    }
}

impl Spot {
    fn new(interface: usize, port: Port) -> Self {
        let Port { socket, bound, announced, .. } = port;
        Self { interface, socket, bound, announced, port: Some(Box::new(port)) }
    }
}

/// What is to be done about a seat.
#[derive(Debug)]
pub(super) enum Step {
    /// Let what comes up for this leg find the call.
    Own(LegId),
    /// Take the leg away, with its handshakes.
    Retire(LegId),
    /// Tell the worker.
    Tell(Command),
}

impl Seat {
    /// A seat on these ports, with a leg that is yet to be installed.
    pub(super) fn new(
        leg: LegId,
        ports: Vec<PortPair>,
        asked: (Option<String>, bool),
        is_whole: bool,
    ) -> Self {
        let room = || Vec::with_capacity(ports.len());
        let (mut rtp, mut rtcp) = (room(), room());
        for pair in ports {
            rtp.push(Spot::new(pair.interface, pair.rtp));
            rtcp.push(Spot::new(pair.interface, pair.rtcp));
        }
        Self {
            leg,
            other_side: None,
            asked,
            is_whole,
            parts: [Part::new(rtp), Part::new(rtcp)],
            kind: None,
            credentials: None,
            restarts: 0,
            told: Told::default(),
        }
    }

    /// Whether the worker has its leg.
    pub(super) fn is_installed(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether it needs another leg than it has: one of another kind, or for another certificate.
    pub(super) fn wants_leg(&self, line: &Line) -> bool {
        let told = self.told.certificate.as_ref();
        let changed = told.zip(line.certificate()).is_some_and(|(told, shown)| told != shown);
        self.kind.is_some_and(|kind| changed || kind != Kind::of(line))
    }

    /// A transport of its leg.
    pub(super) fn transport(&self, index: u8) -> TransportId {
        TransportId { leg: self.leg, index }
    }

    /// The node's credentials, for the description.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What is to be taken from the worker when the seat is given up.
    pub(super) fn held(&self) -> Held {
        let spots = self.parts.iter().flat_map(|part| &part.spots);
        let sockets = spots.map(|spot| spot.socket).collect();
        Held { leg: self.leg, is_installed: self.is_installed(), sockets }
    }

    /// Makes the agents that the description is to speak of, before it is written.
    pub(super) fn prepare(&mut self, line: &Line) {
        let lite = line.ice.is_lite;
        if !line.has_agent() {
            self.credentials = None;
            self.parts.iter_mut().for_each(|part| part.ice = None);
            return;
        }
        if self.wants_leg(line) {
            self.credentials = None;
        }
        if self.credentials.is_some() {
            return;
        }
        let own = Credentials::random(self.leg.worker);
        for index in [MEDIA, REPORTS] {
            self.parts[usize::from(index)].ice = self
                .generation(index, 0, &own, lite, line.ice.controls)
                .map(|current| Box::new(Ice { current, next: None }));
        }
        self.credentials = Some(own);
    }

    /// An agent on a port.
    fn generation(
        &self,
        index: u8,
        number: u32,
        credentials: &Credentials,
        lite: bool,
        controlling: bool,
    ) -> Option<Generation> {
        let spots = &self.parts[usize::from(index)].spots;
        let local = |spot: &Spot| LocalAddress {
            announced: spot.announced,
            socket: spot.socket,
            over: Over::Udp,
        };
        let config = AgentConfig {
            local: spots.iter().map(local).collect(),
            lite,
            controlling,
            component: index + 1,
            credentials: credentials.clone(),
        };
        // An address that is no candidate has been refused with the configuration.
        Generation::of(number, config).ok()
    }

    /// Brings the worker to what the m-line has settled on. `renewed` is the id of another leg where
    /// [`Self::wants_leg`].
    ///
    /// # Errors
    /// [`Refusal`] if the engine cannot hold it.
    pub(super) fn sync(
        &mut self,
        now: Instant,
        line: &Line,
        learning: Learning,
        dscp: u8,
        renewed: Option<LegId>,
    ) -> Result<Vec<Step>, Refusal> {
        let mut steps = Vec::new();
        for spot in self.parts.iter_mut().flat_map(|part| &mut part.spots) {
            if let Some(port) = spot.port.take() {
                let Port { socket, udp, .. } = *port;
                steps.push(Step::Tell(Command::AddSocket { socket, udp }));
            }
        }
        if let Some(renewed) = renewed {
            steps.push(Step::Retire(self.leg));
            self.leg = renewed;
            self.kind = None;
            self.told = Told::default();
            for part in &mut self.parts {
                (part.shake, part.suite) = (Shake::default(), None);
            }
        }
        if self.kind.is_none() {
            self.install(line, learning, dscp, &mut steps)?;
        } else {
            self.follow(line, learning, &mut steps);
        }
        self.follow_ice(now, line, &mut steps);
        self.told.certificate = line.certificate().cloned().or(self.told.certificate.take());
        Ok(steps)
    }

    fn install(
        &mut self,
        line: &Line,
        learning: Learning,
        dscp: u8,
        steps: &mut Vec<Step>,
    ) -> Result<(), Refusal> {
        let kind = Kind::of(line);
        let keys = line.sdes();
        let remotes = [false, true].map(|rtcp| line.remote(rtcp).filter(|_| !kind.ice));
        // Where RTCP comes to RTP's port, nothing is encrypted on a port of its own.
        let keyed = [true, !line.mux];
        let parts = self.parts.iter().zip(remotes).zip(keyed);
        let transports = parts.map(|((part, remote), keyed)| TransportSpec {
            socket: part.socket(),
            ice: part.ice.as_ref().filter(|_| kind.ice).map(|ice| ice.current.spec(None)),
            remote,
            security: if kind.secure { Security::Srtp } else { Security::Plain },
            keys: keys.as_ref().filter(|_| keyed).and_then(keys_spec),
            learning,
            raw: kind.raw,
            dscp,
        });
        let stream = stream_spec(line);
        let spec = LegSpec {
            transports: transports.collect(),
            streams: vec![stream.clone()],
            sinks: Vec::new(),
        };
        let state = Leg::new(&spec, random)?;
        for ((part, remote), keyed) in self.parts.iter_mut().zip(remotes).zip(keyed) {
            part.suite = keys.as_ref().filter(|_| keyed).map(|keys| keys.own.suite);
            part.remote = remote.or(part.remote);
        }
        self.kind = Some(kind);
        self.told.remotes = remotes;
        self.told.learning = Some(learning);
        self.told.keys = keys.map(Box::new);
        self.told.stream = Some(stream);
        steps.push(Step::Own(self.leg));
        steps.push(Step::Tell(Command::AddLeg { leg: self.leg, state }));
        Ok(())
    }

    /// Tells the worker what is different from what it was told.
    fn follow(&mut self, line: &Line, learning: Learning, steps: &mut Vec<Step>) {
        let kind = Kind::of(line);
        for index in [MEDIA, REPORTS].into_iter().filter(|_| !kind.ice) {
            let place = usize::from(index);
            let remote = line.remote(index == REPORTS);
            let changed =
                remote != self.told.remotes[place] || Some(learning) != self.told.learning;
            if let Some(remote) = remote.filter(|_| changed) {
                self.told.remotes[place] = Some(remote);
                self.parts[place].remote = Some(remote);
                let transport = self.transport(index);
                steps.push(Step::Tell(Command::SetRemote { transport, remote, learning }));
            }
        }
        self.told.learning = Some(learning);
        self.follow_keys(line, steps);
        let stream = stream_spec(line);
        if self.told.stream.as_ref() != Some(&stream) {
            let state = Box::new(Stream::new(&stream));
            steps.push(Step::Tell(Command::SetStream { stream: self.stream(), state }));
            self.told.stream = Some(stream);
        }
    }

    /// Tells the worker keys that a port in use does not have: new ones, or those that came while it was not used.
    fn follow_keys(&mut self, line: &Line, steps: &mut Vec<Step>) {
        let Some(keys) = line.sdes() else { return };
        let is_new = self.told.keys.as_deref() != Some(&keys);
        for (index, used) in [(MEDIA, true), (REPORTS, !line.mux)] {
            let transport = self.transport(index);
            let part = &mut self.parts[usize::from(index)];
            part.suite = part.suite.filter(|_| !is_new);
            let Some(spec) = keys_spec(&keys).filter(|_| used && part.suite.is_none()) else {
                continue;
            };
            part.suite = Some(spec.outbound.suite());
            let keys = Box::new(Srtp::new(&spec.inbound, &spec.outbound));
            steps.push(Step::Tell(Command::SetKeys { transport, keys }));
        }
        self.told.keys = Some(Box::new(keys));
    }

    /// Hands the party's side of ICE to the agents and the worker; another ufrag than before restarts
    /// (RFC 8445 §9). Where it is an answer that has another one, which nobody asked for, the pairs that
    /// there are go on with it.
    fn follow_ice(&mut self, now: Instant, line: &Line, steps: &mut Vec<Step>) {
        let far = line.far.as_ref().and_then(|far| far.ice.as_ref());
        let Some(far) = far.filter(|_| self.credentials.is_some()) else { return };
        let remote = Remote { credentials: far.credentials.clone(), lite: far.lite };
        let changed = self.told.far_ice.as_ref().is_some_and(|told| *told != far.credentials);
        let restarts = changed && self.told.own_ice != self.credentials;
        if line.mux && !restarts {
            self.parts[usize::from(REPORTS)].ice = None;
        }
        if restarts {
            self.restart(now, line, &remote, steps);
        }
        let is_new = self.told.far_ice.as_ref() != Some(&far.credentials);
        for index in [MEDIA, REPORTS] {
            let transport = self.transport(index);
            let Some(ice) = &mut self.parts[usize::from(index)].ice else { continue };
            let generation = ice.newest();
            if is_new && !restarts {
                generation.agent.set_remote(now, remote.clone());
                let agent = &generation.agent;
                let (send_checks, controlling) = (!agent.is_lite(), agent.is_controlling());
                let credentials =
                    Box::new(engine_credentials(&far.credentials.ufrag, &far.credentials.password));
                steps.push(Step::Tell(Command::SetRemoteCredentials {
                    transport,
                    credentials,
                    send_checks,
                    controlling,
                }));
            }
            generation.add_candidates(&far.candidates);
            if far.has_all {
                generation.agent.end_of_candidates();
            }
        }
        self.told.far_ice = Some(far.credentials.clone());
        self.told.own_ice.clone_from(&self.credentials);
    }

    fn restart(&mut self, now: Instant, line: &Line, remote: &Remote, steps: &mut Vec<Step>) {
        let Some(own) = self.credentials.clone() else { return };
        self.restarts += 1;
        for index in [MEDIA, REPORTS] {
            let (lite, controls) = (line.ice.is_lite, line.ice.controls);
            let Some(next) = self.generation(index, self.restarts, &own, lite, controls) else {
                continue;
            };
            let transport = self.transport(index);
            let Some(ice) = &mut self.parts[usize::from(index)].ice else { continue };
            let next = ice.begin(now, next, remote);
            steps.push(Step::Tell(Command::RestartIce { transport, next }));
        }
    }

    /// Draws other credentials for a restart that the party has begun, before the description is
    /// written that tells them.
    pub(super) fn renew_credentials(&mut self) {
        if self.credentials.is_some() {
            self.credentials = Some(Credentials::random(self.leg.worker));
        }
    }

    /// The stream of what comes in.
    pub(super) fn stream(&self) -> StreamId {
        StreamId { leg: self.leg, index: 0 }
    }

    /// Its streams that go on to somewhere.
    pub(super) fn piped(&self) -> impl Iterator<Item = StreamId> + '_ {
        let told = (0..).zip(&self.told.pipes).filter(|(_, pipes)| !pipes.is_empty());
        told.map(|(index, _)| StreamId { leg: self.leg, index })
    }

    /// Where what comes in on a stream goes on to; the command if that is not what the worker was told.
    pub(super) fn pipe(&mut self, stream: StreamId, pipes: Pipes) -> Option<Command> {
        let place = usize::from(stream.index);
        if self.told.pipes.len() <= place {
            self.told.pipes.resize_with(place + 1, Pipes::new);
        }
        if self.kind.is_none() || self.told.pipes[place] == pipes {
            return None;
        }
        self.told.pipes[place].clone_from(&pipes);
        Some(Command::SetPipes { stream, pipes })
    }

    /// Lets an m-line share the port, as the leg's stream at this place; what is to be done if the worker does
    /// not know yet.
    pub(super) fn share(&mut self, place: u8, line: &Line) -> Option<Step> {
        let spec = StreamSpec { open: false, ..stream_spec(line) };
        let shared = usize::from(place.checked_sub(1)?);
        if self.kind.is_none() || self.told.shared.get(shared) == Some(&spec) {
            return None;
        }
        let state = Box::new(Stream::new(&spec));
        match self.told.shared.get_mut(shared) {
            Some(told) => *told = spec,
            None => self.told.shared.push(spec),
        }
        let stream = StreamId { leg: self.leg, index: place };
        Some(Step::Tell(Command::SetStream { stream, state }))
    }

    /// Whether what comes in is copied to whoever records; the command if that is not what the worker was
    /// told.
    pub(super) fn tap(&mut self, on: bool) -> Option<Command> {
        if self.kind.is_none() || self.told.tapped == on {
            return None;
        }
        self.told.tapped = on;
        Some(Command::Tap { leg: self.leg, on })
    }
}

impl Kind {
    fn of(line: &Line) -> Self {
        Self {
            ice: line.has_agent(),
            secure: line.is_secure(),
            raw: !line.is_rtp() || line.ice.passes,
        }
    }
}

pub(super) fn stream_spec(line: &Line) -> StreamSpec {
    let said = line.far.as_ref();
    StreamSpec {
        kind: if line.kind == "video" { MediaKind::Video } else { MediaKind::Audio },
        transport: MEDIA,
        rtcp_transport: if line.mux { MEDIA } else { REPORTS },
        mid: said.and_then(|said| said.mid.as_deref()).and_then(mid_of),
        mid_extension: said.and_then(|said| said.mid_extension),
        ssrcs: Vec::new(),
        payload_types: said.map(|said| said.payload_types.clone()).unwrap_or_default(),
        rids: Vec::new(),
        rid_extension: None,
        repaired_rid_extension: None,
        audio_level_extension: None,
        paused: false,
        reports: line.reports,
        open: true,
        events: said.map(|said| said.events.clone()).unwrap_or_default(),
    }
}

/// A MID that the engine can compare; others are told apart by payload type alone.
fn mid_of(mid: &str) -> Option<Mid> {
    Mid::try_from(mid.as_bytes()).ok()
}
