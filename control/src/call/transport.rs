//! One transport of a leg: a component of ICE with its generations, its handshake and its keys.
//!
//! A leg has a list of them. With ICE m-lines are bundled: the first carries media, and RTCP with it
//! where the two share a port (RFC 5761); else the second carries RTCP (RFC 8445 §2.1). Credentials,
//! fingerprints and DTLS role of the description hold for both (RFC 8839 §5.4). Pairs, handshake and
//! keys are each one's own (RFC 5764 §3). Without ICE each m-line has its own, on dedicated ports,
//! whose far side is where it says; on plain RTP the first packet may say otherwise, once, and SRTP
//! follows what is authentic ([`Learning`]). A leg is connected when all of its transports are, and over with
//! the first that fails.

use std::net::SocketAddr;
use std::time::Instant;

use causeway_engine::command::{
    Command, Credentials as EngineCredentials, KeysSpec, LegId, Punt, PuntKind, Refusal, Security,
    SocketId, TransportId, TransportSpec,
};
use causeway_engine::config::TRANSPORTS_PER_LEG;
use causeway_engine::few::Few;
use causeway_engine::learning::Learning;
use causeway_engine::packet::Nanos;
use causeway_engine::srtp::{self, MasterKey, Srtp};

use super::generation::{Generation, Ice};
use super::note::Note;
use super::paths::Paths;
use super::shake::{self, Shake};
use super::{Call, DtlsInput, NodeFacts, Output, Pending};
use crate::api::{EndReason, Problem};
use crate::dtls::{DtlsError, Fingerprint, SrtpKeys, Version};
use crate::ice::{Credentials, Output as FromIce, RTCP};
use crate::sdp::{
    self, Crypto, Mki, Negotiated, Protection, RemoteDtls, RemotePath, RemoteSecurity, Sdes,
};

/// Transports of a leg, most: of four m-lines without ICE, RTP and RTCP each.
pub(crate) const TRANSPORTS_MAX: usize = TRANSPORTS_PER_LEG;
/// What is said of the security of plain RTP.
const UNPROTECTED: &str = "none (plain RTP)";
/// Plain RTP says once where its phone is, SRTP whenever it comes from somewhere else.
const LEARNING: Learning = Learning::Once { hint: None, grace: Nanos(0) };
/// The place of the transport of media, and of RTCP with rtcp-mux.
pub(crate) const MEDIA: u8 = 0;
/// The place of the transport of RTCP without rtcp-mux.
pub(crate) const REPORTS: u8 = 1;

const _: () = assert!(2 * sdp::PORTS_MAX <= TRANSPORTS_MAX);

/// The transports of a leg, by their place.
pub(crate) type Transports = Few<CallTransport, TRANSPORTS_MAX>;

/// The component that a transport of a bundled leg is.
pub(crate) fn component(transport: TransportId) -> u8 {
    transport.index + 1
}

/// A transport of a leg.
pub(crate) struct CallTransport {
    pub(crate) id: TransportId,
    /// The place of its far side in the description's transports.
    pub(crate) far: usize,
    /// Whether it is for RTCP alone.
    pub(crate) is_rtcp: bool,
    /// Its ICE; `None` where the far side is where it says.
    pub(crate) ice: Option<Ice>,
    /// The extension id of the transport-wide numbers that the worker answers.
    pub(crate) answers: Option<u8>,
    /// Whether the worker estimates what its path carries.
    pub(crate) estimates: bool,
    pub(crate) keyed: bool,
    /// Whether the descriptions have a use for it: its m-line may be rejected, or its RTCP share the port
    /// of RTP after all.
    pub(crate) in_use: bool,
    /// Whether its keys come from a handshake.
    shakes: bool,
    /// The socket that it is offered at first.
    socket: SocketId,
    shake: Shake,
    pub(crate) paths: Paths,
    remote: Option<SocketAddr>,
    /// Whether what it carries is SRTP.
    is_secure: bool,
    security: Option<String>,
}

impl CallTransport {
    /// The transports of a new leg with ICE, which answer checks under the same credentials.
    pub(crate) fn all(
        facts: &NodeFacts,
        leg: LegId,
        credentials: &Credentials,
        rtcp_mux: bool,
    ) -> Result<Transports, Problem> {
        let places: &[u8] = if rtcp_mux { &[MEDIA] } else { &[MEDIA, REPORTS] };
        let ids = places.iter().map(|&index| TransportId { leg, index });
        ids.map(|id| Self::new(facts, id, credentials.clone())).collect()
    }

    fn new(facts: &NodeFacts, id: TransportId, credentials: Credentials) -> Result<Self, Problem> {
        let current = Generation::new(0, facts, id, credentials)?;
        let first = facts.faces_of(id).next().ok_or_else(|| Problem::internal("no interface"))?;
        let far = Self::at(id, 0, component(id) == RTCP, first.socket);
        let ice = Some(Ice { current, next: None });
        Ok(Self { ice, is_secure: true, shakes: true, ..far })
    }

    /// The transports of a leg without ICE that the node offers to: of each m-line one for RTP and one
    /// for RTCP, which hear nobody before the answer.
    pub(crate) fn offered(
        leg: LegId,
        protection: Option<Protection>,
        sockets: &[[SocketId; 2]],
    ) -> Transports {
        let each = sockets.iter().enumerate();
        let each = each.flat_map(|(far, [rtp, rtcp])| [(far, false, *rtp), (far, true, *rtcp)]);
        (0u8..)
            .zip(each)
            .map(|(index, (far, is_rtcp, socket))| Self {
                is_secure: protection != Some(Protection::None),
                shakes: protection == Some(Protection::Dtls),
                ..Self::at(TransportId { leg, index }, far, is_rtcp, socket)
            })
            .collect()
    }

    /// The transports of a leg without ICE, each on the sockets of its m-line.
    pub(crate) fn fixed(
        leg: LegId,
        negotiated: &Negotiated,
        sockets: &[[SocketId; 2]],
    ) -> Transports {
        let fars = negotiated.transports.iter().zip(sockets).enumerate();
        let each = fars.flat_map(|(far, (remote, [rtp, rtcp]))| {
            let rtcp = (!remote.rtcp_mux).then_some((far, true, *rtcp));
            std::iter::once((far, false, *rtp)).chain(rtcp)
        });
        let mut transports: Transports = (0u8..)
            .zip(each)
            .map(|(index, (far, is_rtcp, socket))| {
                Self::at(TransportId { leg, index }, far, is_rtcp, socket)
            })
            .collect();
        for held in &mut transports {
            held.remote = held.signalled(negotiated);
            held.shakes = held.dtls(negotiated).is_some();
            held.is_secure = held.shakes || held.sdes(negotiated).is_some();
            held.take_sdes(negotiated);
            held.aim_handshake();
        }
        transports
    }

    fn take_sdes(&mut self, negotiated: &Negotiated) {
        if let Some(keys) = self.sdes(negotiated) {
            self.keyed = true;
            self.security = Some(format!("SDES, {}", keys.far.suite.name()));
        }
    }

    /// Without ICE a handshake goes to where the far side is said to be, until it is heard.
    fn aim_handshake(&mut self) {
        let remote = self.remote.filter(|_| self.shakes && self.in_use && self.ice.is_none());
        if let (None, Some(remote)) = (self.shake.path, remote) {
            self.shake.path = Some((self.socket, remote));
        }
    }

    /// What its handshake has to know.
    fn dtls<'a>(&self, negotiated: &'a Negotiated) -> Option<&'a RemoteDtls> {
        negotiated.transports.get(self.far)?.security.dtls()
    }

    /// The keys that the descriptions have for it.
    fn sdes<'a>(&self, negotiated: &'a Negotiated) -> Option<&'a Sdes> {
        match &negotiated.transports.get(self.far)?.security {
            RemoteSecurity::Sdes(keys) => Some(keys),
            RemoteSecurity::Plain | RemoteSecurity::Dtls(_) | RemoteSecurity::Unkeyed => None,
        }
    }

    fn at(id: TransportId, far: usize, is_rtcp: bool, socket: SocketId) -> Self {
        Self {
            id,
            far,
            is_rtcp,
            ice: None,
            answers: None,
            estimates: false,
            keyed: false,
            in_use: true,
            shakes: false,
            socket,
            shake: Shake::default(),
            paths: Paths::default(),
            remote: None,
            is_secure: false,
            security: None,
        }
    }

    /// Where the far side's description says that it is.
    fn signalled(&self, negotiated: &Negotiated) -> Option<SocketAddr> {
        match negotiated.transports.get(self.far)?.path {
            RemotePath::Fixed(addresses) if self.is_rtcp => addresses.rtcp,
            RemotePath::Fixed(addresses) => addresses.rtp,
            RemotePath::Ice(_) => None,
        }
    }

    /// Whether the descriptions have a use for it.
    fn is_used_in(&self, negotiated: &Negotiated) -> bool {
        let shares = negotiated.transports.get(self.far).is_some_and(|far| far.rtcp_mux);
        let mut lines = negotiated.media.iter();
        lines.any(|media| media.transport == self.far) && !(self.is_rtcp && shares)
    }

    /// Follows a description that says another place or has other keys; the commands that tell the
    /// worker. The same key again must not begin anew.
    pub(crate) fn follow(
        &mut self,
        before: Option<&Negotiated>,
        negotiated: &Negotiated,
    ) -> impl Iterator<Item = Command> + use<> {
        let transport = self.id;
        self.in_use = self.ice.is_some() || self.is_used_in(negotiated);
        let was = before.and_then(|before| self.signalled(before));
        let remote = self.signalled(negotiated).filter(|to| self.in_use && was != Some(*to));
        self.remote = remote.or(self.remote);
        let had = before.and_then(|before| self.sdes(before));
        let keys = self.sdes(negotiated).filter(|keys| had != Some(*keys));
        let contexts =
            keys.and_then(keys_spec).map(|spec| Box::new(Srtp::new(&spec.inbound, &spec.outbound)));
        self.take_sdes(negotiated);
        self.aim_handshake();
        let remote =
            remote.map(|remote| Command::SetRemote { transport, remote, learning: LEARNING });
        let keys = contexts.map(|keys| Command::SetKeys { transport, keys });
        remote.into_iter().chain(keys)
    }

    /// Media came, from somewhere else than was signalled perhaps; true if so.
    pub(crate) fn heard(&mut self, remote: SocketAddr) -> bool {
        self.ice.is_none() && self.remote.replace(remote) != Some(remote)
    }

    /// The engine's transport, before any pair and key.
    pub(crate) fn spec(
        &self,
        negotiated: Option<&Negotiated>,
        remote: Option<EngineCredentials>,
        dscp: u8,
    ) -> TransportSpec {
        let keys = negotiated.and_then(|negotiated| self.sdes(negotiated));
        TransportSpec {
            socket: self.socket,
            ice: self.ice.as_ref().map(|ice| ice.current.spec(remote)),
            remote: self.remote.filter(|_| self.ice.is_none()),
            security: if self.is_secure { Security::Srtp } else { Security::Plain },
            keys: keys.and_then(keys_spec),
            learning: if negotiated.is_some() { LEARNING } else { Learning::Off },
            raw: false,
            dscp,
        }
    }

    /// Where it sends to.
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// DTLS version and SRTP suite, once agreed on.
    pub(crate) fn security(&self) -> Option<&str> {
        if self.is_secure { self.security.as_deref() } else { Some(UNPROTECTED) }
    }

    /// Whether its handshake has begun, and has to be told to close.
    pub(crate) fn is_shaking(&self) -> bool {
        self.shake.is_started()
    }

    /// Whether keys, if it needs any, and an address are there. Nobody waits for the address of RTCP
    /// alone.
    pub(crate) fn is_ready(&self) -> bool {
        let placed = self.remote.is_some() || self.ice.is_none() && self.is_rtcp;
        (self.keyed || !self.is_secure) && placed
    }

    /// Takes the keys of a finished handshake and makes the worker's contexts of them.
    fn secure(&mut self, keys: &SrtpKeys, version: Version) -> Option<Box<Srtp>> {
        let (spec, suite) = shake::agreed(keys)?;
        let version = match version {
            Version::Dtls12 => "DTLS 1.2",
            Version::Dtls13 => "DTLS 1.3",
        };
        self.security = Some(format!("{version}, {}", suite.name()));
        Some(Box::new(Srtp::new(&spec.inbound, &spec.outbound)))
    }

    /// Notes where media and the handshake go; the worker answers checks from now on. Tells
    /// whether that is somewhere else than before.
    fn nominated(&mut self, now: Instant, generation: u32, remote: SocketAddr) -> bool {
        if !self.ice.as_mut().is_some_and(|ice| ice.settle(now, generation)) {
            return false;
        }
        self.shake.path = self.paths.to(remote).or(self.shake.path);
        self.remote.replace(remote) != Some(remote)
    }
}

impl Call {
    /// A transport of a leg that is not over.
    pub(super) fn transport(&mut self, id: TransportId) -> Option<&mut CallTransport> {
        let place = self.place_of(id.leg)?;
        self.legs[place].transports.get_mut(usize::from(id.index))
    }

    /// A datagram that the worker could not deal with itself.
    pub fn punt(&mut self, now: Instant, punt: &Punt) {
        let Some(transport) = punt.transport else { return };
        match punt.kind {
            PuntKind::Stun => self.take_check(now, transport, punt),
            PuntKind::Dtls => self.take_handshake(transport, punt),
            PuntKind::Turn => {}
        }
    }

    /// Components share a ufrag, and the worker knows only the first socket of each before there
    /// are pairs, so the socket says whose check it is.
    fn take_check(&mut self, now: Instant, id: TransportId, punt: &Punt) {
        let Some(place) = self.place_of(id.leg) else { return };
        let Some(face) = self.facts.faces.iter().find(|f| f.socket == punt.socket) else { return };
        let (socket, facts) = (face.socket, &self.facts);
        let is_there = |transport: &&mut CallTransport| {
            facts.faces_of(transport.id).any(|face| face.socket == punt.socket)
        };
        let found = self.legs[place].transports.iter_mut().find(is_there);
        if let Some(ice) = found.and_then(|transport| transport.ice.as_mut()) {
            ice.take_stun(now, punt.remote, socket, &punt.bytes);
        }
        self.drain_agents(now, place);
    }

    fn take_handshake(&mut self, id: TransportId, punt: &Punt) {
        let Some(place) = self.place_of(id.leg) else { return };
        let is_described = self.legs[place].negotiated.is_some();
        let Some(transport) = self.transport(id) else { return };
        // Without ICE anybody may send such a datagram: before the answer nobody has a certificate to show.
        if !transport.shakes || transport.ice.is_none() && !is_described {
            return;
        }
        transport.shake.heard = true;
        transport.shake.path = Some((punt.socket, punt.remote));
        self.note_at(id, Note::DtlsHeard);
        self.start_dtls(id);
        let input = DtlsInput::Datagram(punt.bytes.as_slice().into());
        self.outputs.push_back(Output::Dtls(id, input));
    }

    /// A handshake's datagram; the last one, close_notify, comes after the leg's end.
    pub fn dtls_datagram(&mut self, transport: TransportId, bytes: Box<[u8]>) {
        let leg = self.legs.iter().find(|held| held.slot == transport.leg);
        let held = leg.and_then(|leg| leg.transports.get(usize::from(transport.index)));
        if let Some((socket, remote)) = held.and_then(|held| held.shake.path) {
            self.tell(Command::Transmit { socket, remote, bytes });
        }
    }

    /// A handshake is done.
    pub fn dtls_connected(&mut self, transport: TransportId, keys: &SrtpKeys, version: Version) {
        let Some(held) = self.transport(transport) else { return };
        let Some(keys) = held.secure(keys, version) else { return };
        let security = held.security().unwrap_or_default().to_owned();
        // Who has shown the right certificate is who was called, wherever it sits.
        let path = held.shake.path.filter(|_| held.ice.is_none());
        let moved = path.map(|(_, remote)| remote).filter(|remote| held.heard(*remote));
        self.note_at(transport, Note::DtlsAgreed(security));
        if let Some(remote) = moved {
            self.tell(Command::SetRemote { transport, remote, learning: LEARNING });
        }
        self.tell_tagged(Pending::Keys { transport }, Command::SetKeys { transport, keys });
    }

    /// A handshake has failed; `shown` is the fingerprint of a certificate that is the wrong one.
    pub fn dtls_failed(
        &mut self,
        now: Instant,
        transport: TransportId,
        error: &DtlsError,
        shown: Option<&Fingerprint>,
    ) {
        let Some(place) = self.place_of(transport.leg) else { return };
        self.note_dtls_failed(transport, error, shown);
        let reason = match error {
            DtlsError::FingerprintMismatch => EndReason::FingerprintMismatch,
            _ => EndReason::DtlsFailed,
        };
        self.end_leg(now, place, reason);
    }

    /// The far side has closed DTLS.
    pub fn dtls_closed(&mut self, now: Instant, transport: TransportId) {
        if let Some(place) = self.place_of(transport.leg) {
            self.note_at(transport, Note::DtlsClosed);
            self.end_leg(now, place, EndReason::Closed);
        }
    }

    /// A handshake that was told to close has said all that it had to say.
    pub fn dtls_gone(&mut self, transport: TransportId) {
        let less = |shaking: usize| shaking.saturating_sub(1);
        self.forget(|held| held.slot == transport.leg, |left| left.in_dtls = less(left.in_dtls));
    }

    /// The worker has, or has not, taken a transport's keys.
    pub(super) fn keyed(
        &mut self,
        now: Instant,
        transport: TransportId,
        outcome: Result<(), Refusal>,
    ) {
        let Some(place) = self.place_of(transport.leg) else { return };
        if outcome.is_err() {
            self.note_lack(place, outcome);
            self.end_leg(now, place, EndReason::EngineRefused);
            return;
        }
        self.note_at(transport, Note::KeysInstalled);
        if let Some(held) = self.transport(transport) {
            held.keyed = true;
        }
        self.check_connected(place);
    }

    /// Begins the handshakes of a leg as far as it is known who begins, and hands over late
    /// fingerprints.
    pub(super) fn start_all_dtls(&mut self, place: usize) {
        for id in self.legs[place].transport_ids() {
            self.start_dtls(id);
        }
    }

    fn start_dtls(&mut self, transport: TransportId) {
        let Some(place) = self.place_of(transport.leg) else { return };
        let leg = &mut self.legs[place];
        let held = leg.transports.get_mut(usize::from(transport.index));
        let Some(held) = held.filter(|held| held.shakes) else { return };
        let described = leg.negotiated.as_ref().and_then(|negotiated| held.dtls(negotiated));
        if let Some(input) = held.shake.input(described) {
            self.note_shaking(transport, &input);
            self.outputs.push_back(Output::Dtls(transport, input));
        }
    }

    /// Hands on what a leg's ICE agents want. A pair is installed before the answer goes out that
    /// makes the far side use it.
    pub(super) fn drain_agents(&mut self, now: Instant, place: usize) {
        self.note_sights(place);
        for id in self.legs[place].transport_ids() {
            let next = |call: &mut Self| call.transport(id)?.ice.as_mut()?.output();
            while let Some((generation, output)) = next(self) {
                self.follow_agent(now, id, generation, output);
            }
        }
    }

    fn follow_agent(
        &mut self,
        now: Instant,
        transport: TransportId,
        generation: u32,
        output: FromIce,
    ) {
        match output {
            FromIce::Check { local: socket, remote, bytes } => {
                self.tell(Command::Check { transport, socket, remote, bytes });
            }
            FromIce::Transmit { local: socket, remote, bytes } => {
                self.tell(Command::Transmit { socket, remote, bytes });
            }
            FromIce::PairAuthenticated { local, remote } => {
                self.install_pair(transport, (local, remote), false, generation);
            }
            FromIce::Nominated { local, remote } => {
                self.note_at(transport, Note::Nominated { remote, by_worker: false });
                self.install_pair(transport, (local, remote), true, generation);
                self.nominated(now, transport, generation, remote);
            }
            FromIce::Failed(error) => self.generation_failed(now, transport, generation, error),
            FromIce::Timeout(_) => {}
        }
    }

    /// A far side that only nominates after a check never sends the first flight to a node that has
    /// to begin.
    pub(super) fn nominated(
        &mut self,
        now: Instant,
        transport: TransportId,
        generation: u32,
        remote: SocketAddr,
    ) {
        let Some(place) = self.place_of(transport.leg) else { return };
        let Some(held) = self.transport(transport) else { return };
        let moved = held.nominated(now, generation, remote);
        self.start_dtls(transport);
        let is_shown = transport.index == MEDIA;
        if moved && is_shown && self.legs[place].is_connected() {
            self.say_changed(place);
        }
        self.check_connected(place);
    }

    fn install_pair(
        &mut self,
        transport: TransportId,
        (socket, remote): (SocketId, SocketAddr),
        nominated: bool,
        generation: u32,
    ) {
        if let Some(held) = self.transport(transport) {
            held.paths.add((socket, remote));
        }
        self.tell(Command::InstallPair { transport, socket, remote, nominated, generation });
    }
}

/// The master keys of both directions; none if they do not fit their suite, which they were read by.
pub(crate) fn keys_spec(keys: &Sdes) -> Option<KeysSpec> {
    let master = |crypto: &Crypto| {
        let key = MasterKey::new(crypto.suite, &crypto.key, &crypto.salt).ok()?;
        let is_clear = crypto.parameters.unencrypted_srtcp;
        let key = if is_clear { key.with_clear_srtcp() } else { key };
        Some(match crypto.mki {
            Some(Mki { value, bytes }) => key.with_mki(srtp::Mki::new(value, bytes)?),
            None => key,
        })
    };
    Some(KeysSpec { inbound: master(&keys.far)?, outbound: master(&keys.own)? })
}
