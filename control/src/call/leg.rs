//! One leg of a call: its ICE agent, its descriptions, how far it has come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use causeway_engine::command::{
    Codec, Command, Credentials as EngineCredentials, KeysSpec, LayerChoice, LegId, LegSpec, Mid,
    PayloadType, Rid, Security, SinkId, SinkSpec, SocketId, StreamId, StreamSpec, TransportId,
    TransportSpec,
};
use causeway_engine::config::PAIRS_PER_TRANSPORT;
use causeway_engine::consent::Consent;
use causeway_engine::leg::Leg;
use causeway_engine::srtp::{MasterKey, Srtp, Suite};
use causeway_engine::stream::{FirstNumbers, Sink, Stream};

use super::generation::{Generation, candidates};
use super::media::{engine_kind, random, random_id};
use super::seats::Seats;
use super::{DtlsInput, NodeFacts};
use crate::api::{AddLeg, EndReason, LegState, LegView, Lines, Media, Problem, Received, Trickle};
use crate::dtls::{self, Fingerprint, Role, SrtpKeys, Version};
use crate::ice::{Credentials, Remote};
use crate::sdp::{
    self, DtlsRole, IceCredentials, Local, Negotiated, NegotiatedMedia, Offered, Sdp, Trickled,
};

/// The only transport of a bundled leg.
const TRANSPORT: u8 = 0;
/// The role of a leg that names none.
const DEFAULT_ROLE: &str = "guest";

/// A leg of a call.
pub(crate) struct CallLeg {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) slot: LegId,
    /// Whether it has no say in the call's end.
    pub(crate) stays: bool,
    /// The ICE generation that carries media.
    pub(crate) ice: Generation,
    /// The one that a restart has begun, until it nominates.
    pub(crate) next: Option<Generation>,
    /// How many there were after the first.
    pub(crate) restarts: u32,
    pub(crate) negotiated: Option<Negotiated>,
    pub(crate) dtls_started: bool,
    pub(crate) dtls_path: Option<(SocketId, SocketAddr)>,
    /// Whether the far side has begun the handshake.
    pub(crate) dtls_heard: bool,
    /// The pairs that have passed a check, the latest last: the worker names the nominated one by
    /// its far address.
    paths: ArrayVec<(SocketId, SocketAddr), PAIRS_PER_TRANSPORT>,
    pub(crate) keyed: bool,
    pub(crate) ended: Option<EndReason>,
    /// What an ended leg still waits for.
    pub(crate) remains: Remains,
    /// The m-line of each sink, by their place in the engine's leg. Only ever grows.
    pub(crate) lines: Vec<usize>,
    /// The m-line of each stream, by their place in the engine's leg: those on which it has ever
    /// sent. Only ever grows.
    pub(crate) sending: Vec<usize>,
    /// Where it receives the other legs.
    pub(crate) seats: Seats,
    /// What it was last said to receive; nothing before it was said to have joined.
    pub(crate) receives_said: Option<Vec<Received>>,
    /// The lines that it was last told to need.
    pub(crate) wants_said: Option<Lines>,
    /// The extension id of the transport-wide numbers that the worker answers.
    pub(crate) answers: Option<u8>,
    /// Whether the worker estimates what its path carries.
    pub(crate) estimates: bool,
    /// What the worker was told to forward to each line.
    pub(crate) chosen: BTreeMap<usize, LayerChoice>,
    /// The version of the description that a mismatch was said about.
    pub(crate) mismatch_said: Option<u64>,
    pub(crate) local: Local,
    offered: Option<Offered>,
    expected_told: bool,
    sinks_made: usize,
    remote: Option<SocketAddr>,
    connected: bool,
    security: Option<String>,
    deadline: Instant,
    dscp: u8,
}

/// Where an ended leg is still known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The worker has not given it back yet.
    pub(crate) in_worker: bool,
    /// Its handshake has not said goodbye yet, which goes out through the call.
    pub(crate) in_dtls: bool,
}

impl CallLeg {
    /// Makes a leg and the node's description for it.
    pub(crate) fn join(
        now: Instant,
        facts: &NodeFacts,
        asked: AddLeg,
        slot: LegId,
        limits: &[&Negotiated],
    ) -> Result<(Self, String), Problem> {
        let credentials = Credentials::random();
        let mut local = local(facts, slot, &credentials)?;
        let (description, negotiated, offered) = match &asked.offer {
            Some(offer) => {
                let offer = Sdp::parse(offer)?;
                follow_ice(&mut local, &offer);
                let (text, negotiated) = sdp::answer(&offer, &local, limits, None)?;
                (text, Some(negotiated), None)
            }
            None => {
                let kinds = asked.media.unwrap_or_else(|| vec![Media::Audio, Media::Video]);
                let (text, offered) = sdp::offer(&kinds, &local, limits)?;
                (text, None, Some(offered))
            }
        };
        let ice = Generation::new(0, facts, slot, credentials)?;
        let mut leg = Self {
            id: random_id(),
            role: asked.role.unwrap_or_else(|| DEFAULT_ROLE.into()),
            slot,
            stays: asked.stays,
            ice,
            next: None,
            restarts: 0,
            negotiated: None,
            dtls_started: false,
            dtls_path: None,
            dtls_heard: false,
            paths: ArrayVec::new(),
            keyed: false,
            ended: None,
            remains: Remains::default(),
            lines: Vec::new(),
            sending: Vec::new(),
            seats: Seats::default(),
            receives_said: None,
            wants_said: None,
            answers: None,
            estimates: false,
            chosen: BTreeMap::new(),
            mismatch_said: None,
            local,
            offered,
            expected_told: false,
            sinks_made: 0,
            remote: None,
            connected: false,
            security: None,
            deadline: now + facts.join,
            dscp: asked.dscp.unwrap_or(facts.dscp),
        };
        if let Some(negotiated) = negotiated {
            leg.take(now, negotiated);
        }
        Ok((leg, description))
    }

    /// The leg as the API shows it.
    pub(crate) fn view(&self) -> LegView {
        LegView {
            id: self.id.clone(),
            role: self.role.clone(),
            state: self.state(),
            held: self.negotiated.as_ref().is_some_and(Negotiated::held),
            ended: self.ended,
            security: self.security.clone().filter(|_| self.connected),
            remote: self.remote.filter(|_| self.connected).map(|remote| remote.to_string()),
            receives: self.seats.view(),
            wants: self.seats.wants,
        }
    }

    /// DTLS version and SRTP suite, once agreed on.
    pub(crate) fn security(&self) -> Option<&str> {
        self.security.as_deref()
    }

    pub(crate) fn state(&self) -> LegState {
        match (self.ended, &self.negotiated) {
            (Some(_), _) => LegState::Ended,
            (None, None) => LegState::Offered,
            (None, Some(_)) if self.connected => LegState::Connected,
            (None, Some(_)) => LegState::Connecting,
        }
    }

    pub(crate) fn transport(&self) -> TransportId {
        TransportId { leg: self.slot, index: TRANSPORT }
    }

    /// The engine's leg: its transport; streams and sinks follow with the description.
    pub(crate) fn engine_leg(&self) -> Result<Box<Leg>, Problem> {
        let remote = self.remote_credentials().map(|credentials| *credentials);
        let transport = TransportSpec {
            socket: self.dtls_path.map_or(SocketId(0), |(socket, _)| socket),
            ice: Some(self.ice.spec(remote)),
            remote: None,
            security: Security::Srtp,
            keys: None,
            learn_remote: false,
            dscp: self.dscp,
        };
        let spec = LegSpec { transports: vec![transport], streams: Vec::new(), sinks: Vec::new() };
        Leg::new(&spec, random).map_err(|refusal| Problem::internal(refusal.to_string()))
    }

    /// The far side's ICE credentials for the worker, once known.
    pub(crate) fn remote_credentials(&self) -> Option<Box<EngineCredentials>> {
        let credentials = &self.negotiated.as_ref()?.transport.credentials;
        Some(Box::new(engine_credentials(&credentials.ufrag, &credentials.password)))
    }

    /// Takes the answer to the node's offer.
    pub(crate) fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<(), Problem> {
        let Some(offered) = &self.offered else {
            return Err(Problem::conflict("the node has not offered to this leg"));
        };
        let negotiated = offered.accept(&Sdp::parse(answer)?)?;
        self.offered = None;
        self.take(now, negotiated);
        Ok(())
    }

    /// Answers a renewed offer; one that restarts ICE with the next generation for the worker.
    pub(crate) fn renegotiate(
        &mut self,
        now: Instant,
        facts: &NodeFacts,
        offer: &str,
        limits: &[&Negotiated],
    ) -> Result<(String, Option<Box<Consent>>), Problem> {
        let Some(previous) = &self.negotiated else {
            return Err(Problem::conflict("the leg owes the answer to the node's offer"));
        };
        let (offer, previous) = (Sdp::parse(offer)?, previous.clone());
        let (text, negotiated) = sdp::answer(&offer, &self.local, limits, Some(&previous))?;
        if !negotiated.ice_restarted(&previous) {
            self.negotiated = Some(negotiated);
            return Ok((text, None));
        }
        follow_ice(&mut self.local, &offer);
        let next = self.restart(now, facts, remote(&negotiated))?;
        let (text, negotiated) = sdp::answer(&offer, &self.local, limits, Some(&previous))?;
        self.newest().add_described(&negotiated);
        self.negotiated = Some(negotiated);
        Ok((text, Some(next)))
    }

    fn take(&mut self, now: Instant, negotiated: Negotiated) {
        self.ice.agent.set_remote(now, remote(&negotiated));
        self.ice.add_described(&negotiated);
        self.negotiated = Some(negotiated);
    }

    /// Hands the far side's candidates to the agent.
    pub(crate) fn trickle(&mut self, more: &Trickle) -> Result<(), Problem> {
        let read = Trickled::from_lines(&more.candidates)?;
        self.newest().add_candidates(&more.candidates);
        if more.end_of_candidates || read.end_of_candidates {
            self.newest().agent.end_of_candidates();
        }
        Ok(())
    }

    /// Commands that make the worker's streams and sinks those of the description.
    pub(crate) fn media_commands(&mut self) -> Vec<Command> {
        let Some(negotiated) = self.negotiated.take() else { return Vec::new() };
        let mut commands = Vec::new();
        for media in &negotiated.media {
            if !self.lines.contains(&media.index) {
                self.lines.push(media.index);
            }
            if media.direction.receives() && !self.sending.contains(&media.index) {
                self.sending.push(media.index);
            }
        }
        for (index, line) in (0u8..).zip(&self.sending) {
            let stream = StreamId { leg: self.slot, index };
            commands.push(match negotiated.at(*line) {
                Some(media) => {
                    let state = Box::new(Stream::new(&stream_spec(media)));
                    Command::SetStream { stream, state }
                }
                None => Command::PauseStream { stream, paused: true },
            });
        }
        for (place, line) in (0u8..).zip(&self.lines) {
            let Some(media) = negotiated.at(*line) else { continue };
            if usize::from(place) == self.sinks_made {
                self.sinks_made += 1;
                let sink = SinkId { leg: self.slot, index: place };
                let spec = sink_spec(media, &self.local.cname);
                let state = Box::new(Sink::new(&spec, FirstNumbers::from_random(random())));
                commands.push(Command::SetSink { sink, state });
            }
        }
        self.negotiated = Some(negotiated);
        commands
    }

    /// The sink of an m-line.
    pub(crate) fn sink_of(&self, line: usize) -> Option<SinkId> {
        let place = self.lines.iter().position(|held| *held == line)?;
        Some(SinkId { leg: self.slot, index: u8::try_from(place).ok()? })
    }

    /// The m-line of a stream, if it is still in use.
    pub(crate) fn line_of(&self, stream: StreamId) -> Option<&NegotiatedMedia> {
        let line = self.sending.get(usize::from(stream.index))?;
        self.negotiated.as_ref()?.at(*line).filter(|_| stream.leg == self.slot)
    }

    /// Its streams of a kind that are still in use, with their m-lines.
    pub(crate) fn streams_of(
        &self,
        kind: Media,
    ) -> impl Iterator<Item = (StreamId, &NegotiatedMedia)> {
        let streams = (0u8..).take(self.sending.len());
        let streams = streams.map(|index| StreamId { leg: self.slot, index });
        streams
            .filter_map(|stream| Some((stream, self.line_of(stream)?)))
            .filter(move |(_, media)| media.kind == kind)
    }

    /// What the handshake is to be told now: to begin, as soon as the far side's first datagram or
    /// a nominated pair makes it possible, and the fingerprints once the description has them. A
    /// pair that is nominated before the answer is here does not say who begins.
    pub(crate) fn dtls_inputs(&mut self) -> Vec<DtlsInput> {
        let mut inputs = Vec::new();
        let described = self.negotiated.as_ref().map(|negotiated| &negotiated.transport);
        let expected = |transport: &sdp::RemoteTransport| -> Vec<Fingerprint> {
            transport.fingerprints.iter().filter_map(dtls_fingerprint).collect()
        };
        let known = described.is_some() || self.dtls_heard;
        if !self.dtls_started && self.dtls_path.is_some() && known {
            let role = match described.map(|transport| transport.role) {
                Some(DtlsRole::Active) => Role::Active,
                _ => Role::Passive,
            };
            self.dtls_started = true;
            self.expected_told = described.is_some();
            let expected = described.map(expected).unwrap_or_default();
            inputs.push(DtlsInput::Start { role, expected });
        } else if self.dtls_started
            && !self.expected_told
            && let Some(transport) = described
        {
            self.expected_told = true;
            inputs.push(DtlsInput::Expect(expected(transport)));
        }
        inputs
    }

    /// Takes the keys of a finished handshake and makes the worker's contexts of them.
    pub(crate) fn secure(&mut self, keys: &SrtpKeys, version: Version) -> Option<Box<Srtp>> {
        let suite = engine_suite(keys.suite);
        let master = |direction: &dtls::DirectionKeys| {
            MasterKey::new(suite, &direction.key, &direction.salt)
        };
        let spec = KeysSpec {
            inbound: master(&keys.inbound).ok()?,
            outbound: master(&keys.outbound).ok()?,
        };
        let version = match version {
            Version::Dtls12 => "DTLS 1.2",
            Version::Dtls13 => "DTLS 1.3",
        };
        self.security = Some(format!("{version}, {}", suite.name()));
        Some(Box::new(Srtp::new(&spec.inbound, &spec.outbound)))
    }

    /// Notes a pair that has passed a check.
    pub(crate) fn add_path(&mut self, path: (SocketId, SocketAddr)) {
        self.paths.retain(|held| *held != path);
        if self.paths.is_full() {
            self.paths.remove(0);
        }
        self.paths.push(path);
    }

    /// Notes where media and the handshake go; the worker answers checks from now on. Tells
    /// whether that is somewhere else than before.
    pub(crate) fn nominated(&mut self, now: Instant, generation: u32, remote: SocketAddr) -> bool {
        if !self.settle(now, generation) {
            return false;
        }
        let path = self.paths.iter().rev().find(|(_, held)| *held == remote);
        self.dtls_path = path.copied().or(self.dtls_path);
        self.remote.replace(remote) != Some(remote)
    }

    /// Whether ICE and DTLS are done.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// True once, when keys and pair are there.
    pub(crate) fn note_connected(&mut self) -> bool {
        let connected = self.keyed && self.remote.is_some() && self.ended.is_none();
        let new = connected && !self.connected;
        self.connected |= connected;
        new
    }

    /// Whether it should have been connected by now.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        !self.connected && self.deadline <= now
    }

    /// Whether it needs other lines than it was told of.
    pub(crate) fn is_to_be_asked(&self) -> bool {
        let knows = self.seats.wants.is_none() || self.seats.wants == self.wants_said;
        !knows && self.ended.is_none() && self.receives_said.is_some()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.ended.is_some() {
            return None;
        }
        let deadline = (!self.connected).then_some(self.deadline);
        deadline.into_iter().chain(self.ice_due()).min()
    }
}

/// Lets the answer fit the offer's ICE: towards a lite far side somebody has to check
/// (RFC 8445 §6.1.1).
fn follow_ice(local: &mut Local, offer: &Sdp) {
    local.ice_lite = !offer.ice_lite();
    local.renomination = offer.media().any(|section| section.ice_option("renomination"));
}

/// The far side's ICE as described.
fn remote(negotiated: &Negotiated) -> Remote {
    let transport = &negotiated.transport;
    let credentials = Credentials {
        ufrag: transport.credentials.ufrag.clone(),
        password: transport.credentials.password.clone(),
    };
    Remote { credentials, lite: transport.lite }
}

fn local(facts: &NodeFacts, slot: LegId, credentials: &Credentials) -> Result<Local, Problem> {
    let first = facts.faces_of(slot).next().ok_or_else(|| Problem::internal("no interface"))?;
    Ok(Local {
        session_id: random() >> 1,
        address: first.announced,
        rtcp: None,
        candidates: candidates(facts, slot),
        end_of_candidates: true,
        credentials: IceCredentials {
            ufrag: credentials.ufrag.clone(),
            password: credentials.password.clone(),
        },
        ice_lite: true,
        renomination: false,
        fingerprint: facts.fingerprint.clone(),
        role: DtlsRole::Passive,
        cname: random_id(),
        stream: random_id(),
        ssrc_base: (random() >> 32) as u32,
    })
}

fn stream_spec(media: &NegotiatedMedia) -> StreamSpec {
    let payload_types = media.codecs.iter().flat_map(|codec| {
        let clock_rate = codec.codec.clock_rate();
        let plain = PayloadType {
            number: codec.payload_type,
            clock_rate,
            retransmits: None,
            codec: engine_codec(codec.codec),
        };
        let rtx = codec.rtx.map(|number| PayloadType {
            number,
            retransmits: Some(codec.payload_type),
            ..plain
        });
        std::iter::once(plain).chain(rtx)
    });
    StreamSpec {
        kind: engine_kind(media.kind),
        transport: TRANSPORT,
        rtcp_transport: TRANSPORT,
        mid: mid(media),
        mid_extension: media.mid_extension(),
        ssrcs: media.remote_ssrcs.clone(),
        payload_types: payload_types.collect(),
        rids: media.rids.iter().filter_map(|rid| Rid::try_from(rid.as_bytes()).ok()).collect(),
        rid_extension: media.extension_id(sdp::extension::RID),
        repaired_rid_extension: media.extension_id(sdp::extension::REPAIRED_RID),
        audio_level_extension: media.extension_id(sdp::extension::AUDIO_LEVEL),
        paused: !media.direction.receives(),
    }
}

fn sink_spec(media: &NegotiatedMedia, cname: &str) -> SinkSpec {
    let retransmits = media.codecs.iter().any(|codec| codec.rtx.is_some());
    SinkSpec {
        kind: engine_kind(media.kind),
        transport: TRANSPORT,
        rtcp_transport: TRANSPORT,
        ssrc: media.local_ssrcs.media,
        rtx_ssrc: retransmits.then_some(media.local_ssrcs.rtx),
        cname: cname.into(),
        mid: mid(media),
        mid_extension: media.mid_extension(),
    }
}

/// What the engine must know of a codec.
pub(crate) fn engine_codec(codec: sdp::Codec) -> Codec {
    match codec {
        sdp::Codec::Vp8 => Codec::Vp8,
        sdp::Codec::H264 { .. } => Codec::H264,
        _ => Codec::Other,
    }
}

fn mid(media: &NegotiatedMedia) -> Option<Mid> {
    media.mid.as_ref().and_then(|mid| Mid::try_from(mid.as_bytes()).ok())
}

fn engine_credentials(ufrag: &str, password: &zeroize::Zeroizing<String>) -> EngineCredentials {
    EngineCredentials { ufrag: ufrag.into(), password: password.clone() }
}

fn engine_suite(suite: dtls::Suite) -> Suite {
    match suite {
        dtls::Suite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        dtls::Suite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        dtls::Suite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    }
}

fn dtls_fingerprint(fingerprint: &sdp::Fingerprint) -> Option<Fingerprint> {
    let hash = match fingerprint.hash {
        sdp::HashFunction::Sha256 => dtls::Hash::Sha256,
        sdp::HashFunction::Sha384 => dtls::Hash::Sha384,
        sdp::HashFunction::Sha512 => dtls::Hash::Sha512,
    };
    Fingerprint::new(hash, fingerprint.digest.clone()).ok()
}
