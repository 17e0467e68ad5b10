//! One leg of a call: its transports, its descriptions, how far it has come.

use std::collections::BTreeMap;
use std::time::Instant;

use causeway_engine::command::{
    Codec, Command, Credentials as EngineCredentials, LayerChoice, LegId, LegSpec, Mid,
    PayloadType, Rid, SinkId, SinkSpec, SocketId, StreamId, StreamSpec, TransportId,
};
use causeway_engine::leg::Leg;
use causeway_engine::stream::{FirstNumbers, Sink, Stream};

use zeroize::Zeroizing;

use super::NodeFacts;
use super::generation::{Consents, Generation, Replaced, candidates};
use super::media::{engine_kind, random, random_id, sdp_direction};
use super::seats::Seats;
use super::transport::{CallTransport, MEDIA, REPORTS, Transports};
use crate::api::{
    AddLeg, EndReason, LegKind, LegState, LegView, Lines, Media, MediaDirection, Problem, Received,
    Trickle,
};
use crate::ice::{Credentials, Remote};
use crate::ports::PortPair;
use crate::sdp::{
    self, DtlsRole, FixedOffered, FixedPlan, IceCredentials, Local, LocalPorts, Negotiated,
    NegotiatedMedia, Offered, Protection, SECRET_LEN, Sdp, Secret, Trickled,
};

/// The role of a leg that names none.
const DEFAULT_ROLE: &str = "guest";

/// A leg of a call.
pub(crate) struct CallLeg {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) slot: LegId,
    /// Whether it has no say in the call's end.
    pub(crate) stays: bool,
    /// By their place in the engine's leg; there is one at least.
    pub(crate) transports: Transports,
    /// How many ICE generations there were after the first.
    pub(crate) restarts: u32,
    /// What the latest of them replaced.
    pub(crate) replaced: Option<Replaced>,
    pub(crate) negotiated: Option<Negotiated>,
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
    /// What the worker was told to forward to each line.
    pub(crate) chosen: BTreeMap<usize, LayerChoice>,
    /// The version of the description that a mismatch was said about.
    pub(crate) mismatch_said: Option<u64>,
    pub(crate) local: Local,
    /// The sockets that it has for itself.
    pub(crate) sockets: Vec<SocketId>,
    offered: Option<Owed>,
    /// Commands that tell the worker where far sides without ICE have gone.
    moves: Vec<Command>,
    sinks_made: usize,
    connected: bool,
    deadline: Instant,
    /// When its far side last described itself.
    pub(crate) signalled: Instant,
    dscp: u8,
}

/// What the node has offered and is owed the answer to.
enum Owed {
    /// With ICE.
    Ice(Offered),
    /// Without.
    Fixed(Box<FixedOffered>),
}

/// Where an ended leg is still known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The worker has not given it back yet.
    pub(crate) in_worker: bool,
    /// How many of its handshakes have not said goodbye yet, which goes out through the call.
    pub(crate) in_dtls: usize,
    /// How many of its sockets the worker has not given back yet.
    pub(crate) sockets: usize,
}

impl CallLeg {
    /// Makes a leg and the node's description for it.
    pub(crate) fn join(
        now: Instant,
        facts: &NodeFacts,
        asked: AddLeg,
        slot: LegId,
        limits: &[&Negotiated],
        pairs: &[PortPair],
    ) -> Result<(Self, String), Problem> {
        let credentials = Credentials::random(slot.worker);
        let mut local = local(facts, slot, &credentials)?;
        local.take_ports(pairs.iter().map(|pair| LocalPorts {
            rtp: pair.rtp.announced,
            rtcp: pair.rtcp.announced,
            secret: secret(),
        }));
        let (description, negotiated, offered) = match &asked.offer {
            Some(offer) => {
                let offer = Sdp::parse(offer)?;
                follow_ice(&mut local, &offer);
                let (text, negotiated) = sdp::answer(&offer, &local, limits, None)?;
                (text, Some(negotiated), None)
            }
            None => {
                let (text, owed) = offer(&asked, &local, limits)?;
                (text, None, Some(owed))
            }
        };
        let rtcp_mux = negotiated.as_ref().is_none_or(Negotiated::rtcp_mux);
        if rtcp_mux {
            local.keep_one_port();
        }
        let sockets: Vec<_> =
            pairs.iter().map(|pair| [pair.rtp.socket, pair.rtcp.socket]).collect();
        let transports = match &negotiated {
            Some(negotiated) if !pairs.is_empty() => {
                CallTransport::fixed(slot, negotiated, &sockets)
            }
            None if !pairs.is_empty() => CallTransport::offered(slot, protection(&asked), &sockets),
            _ => CallTransport::all(facts, slot, &credentials, rtcp_mux)?,
        };
        let mut leg = Self {
            id: random_id(),
            role: asked.role.unwrap_or_else(|| DEFAULT_ROLE.into()),
            slot,
            stays: asked.stays,
            transports,
            restarts: 0,
            replaced: None,
            negotiated: None,
            ended: None,
            remains: Remains::default(),
            lines: Vec::new(),
            sending: Vec::new(),
            seats: Seats::default(),
            receives_said: None,
            wants_said: None,
            chosen: BTreeMap::new(),
            mismatch_said: None,
            local,
            sockets: sockets.into_iter().flatten().collect(),
            offered,
            moves: Vec::new(),
            sinks_made: 0,
            connected: false,
            deadline: now + facts.join,
            signalled: now,
            dscp: asked.dscp.unwrap_or(facts.dscp),
        };
        if let Some(negotiated) = negotiated {
            leg.take(now, negotiated);
        }
        Ok((leg, description))
    }

    /// The leg as the API shows it.
    pub(crate) fn view(&self) -> LegView {
        let media = self.transports.first().filter(|_| self.connected);
        LegView {
            id: self.id.clone(),
            role: self.role.clone(),
            state: self.state(),
            held: self.negotiated.as_ref().is_some_and(Negotiated::held),
            ended: self.ended,
            security: media.and_then(CallTransport::security).map(Into::into),
            remote: media.and_then(CallTransport::remote).map(|remote| remote.to_string()),
            receives: self.seats.view(),
            wants: self.seats.wants,
        }
    }

    pub(crate) fn state(&self) -> LegState {
        match (self.ended, &self.negotiated) {
            (Some(_), _) => LegState::Ended,
            (None, None) => LegState::Offered,
            (None, Some(_)) if self.connected => LegState::Connected,
            (None, Some(_)) => LegState::Connecting,
        }
    }

    /// The ids of its transports.
    pub(crate) fn transport_ids(&self) -> impl Iterator<Item = TransportId> + use<> {
        let leg = self.slot;
        (0u8..).take(self.transports.len()).map(move |index| TransportId { leg, index })
    }

    /// The places of the transports of an m-line, that of its media and that of its RTCP.
    fn places_of(&self, media: &NegotiatedMedia) -> (u8, u8) {
        let place = |is_rtcp: bool| {
            let mut all = self.transports.iter();
            let held = all
                .find(|held| held.in_use && held.far == media.transport && held.is_rtcp == is_rtcp);
            held.map(|held| held.id.index)
        };
        let rtp = place(false).unwrap_or(MEDIA);
        (rtp, place(true).unwrap_or(rtp))
    }

    /// The engine's leg: its transports; streams and sinks follow with the description.
    pub(crate) fn engine_leg(&self) -> Result<Box<Leg>, Problem> {
        let remote = || self.remote_credentials().map(|credentials| *credentials);
        let negotiated = self.negotiated.as_ref();
        let transports =
            self.transports.iter().map(|held| held.spec(negotiated, remote(), self.dscp));
        let spec =
            LegSpec { transports: transports.collect(), streams: Vec::new(), sinks: Vec::new() };
        Leg::new(&spec, random).map_err(|refusal| Problem::internal(refusal.to_string()))
    }

    /// The far side's ICE credentials for the worker, once known.
    pub(crate) fn remote_credentials(&self) -> Option<Box<EngineCredentials>> {
        let credentials = &self.negotiated.as_ref()?.ice()?.credentials;
        Some(Box::new(engine_credentials(&credentials.ufrag, &credentials.password)))
    }

    /// Commands that tell the worker the far side's credentials, which come with its answer.
    pub(crate) fn credential_commands(&self) -> Vec<Command> {
        let command = |held: &CallTransport| {
            let credentials = self.remote_credentials()?;
            let agent = &held.ice.as_ref()?.current.agent;
            let (send_checks, controlling) = (!agent.is_lite(), agent.is_controlling());
            let transport = held.id;
            Some(Command::SetRemoteCredentials { transport, credentials, send_checks, controlling })
        };
        self.transports.iter().filter_map(command).collect()
    }

    /// Takes the answer to the node's offer.
    pub(crate) fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<(), Problem> {
        match &self.offered {
            None => return Err(Problem::conflict("the node has not offered to this leg")),
            Some(Owed::Ice(offered)) => {
                let negotiated = offered.accept(&Sdp::parse(answer)?)?;
                self.take(now, negotiated);
            }
            Some(Owed::Fixed(offered)) => {
                let negotiated = offered.accept(&Sdp::parse(answer)?)?;
                let previous = self.negotiated.take();
                self.follow(previous.as_ref(), &negotiated);
                self.negotiated = Some(negotiated);
            }
        }
        self.offered = None;
        Ok(())
    }

    /// Offers anew to a far side without ICE.
    pub(crate) fn propose(
        &mut self,
        direction: MediaDirection,
        limits: &[&Negotiated],
    ) -> Result<String, Problem> {
        if self.has_ice() {
            let words = "a leg with ICE offers by itself, and the node answers: send its sdp";
            return Err(Problem::conflict(words).at("sdp"));
        }
        let Some(previous) = &mut self.negotiated else {
            return Err(Problem::conflict("the leg owes the answer to the node's offer"));
        };
        let direction = sdp_direction(direction);
        let (text, offered) = sdp::offer_again(previous, direction, &self.local, limits)?;
        // Whether it is answered or not, what is said next is of another version (RFC 3264 §8).
        previous.version += 1;
        self.offered = Some(Owed::Fixed(Box::new(offered)));
        Ok(text)
    }

    /// Answers a renewed offer; one that restarts ICE with the next generation of each transport for
    /// the worker.
    pub(crate) fn renegotiate(
        &mut self,
        now: Instant,
        facts: &NodeFacts,
        offer: &str,
        limits: &[&Negotiated],
    ) -> Result<(String, Option<Consents>), Problem> {
        let Some(previous) = &self.negotiated else {
            return Err(Problem::conflict("the leg owes the answer to the node's offer"));
        };
        let (offer, previous) = (Sdp::parse(offer)?, previous.clone());
        let (text, negotiated) = sdp::answer(&offer, &self.local, limits, Some(&previous))?;
        if !negotiated.ice_restarted(&previous) {
            self.follow(Some(&previous), &negotiated);
            self.negotiated = Some(negotiated);
            self.offered = None;
            return Ok((text, None));
        }
        follow_ice(&mut self.local, &offer);
        let Some(far) = remote(&negotiated) else {
            return Err(Problem::conflict("a leg keeps its ICE for life"));
        };
        let next = self.restart(now, facts, far)?;
        let (text, negotiated) = sdp::answer(&offer, &self.local, limits, Some(&previous))?;
        self.generations().for_each(|generation| generation.add_described(&negotiated));
        self.negotiated = Some(negotiated);
        Ok((text, Some(next)))
    }

    fn take(&mut self, now: Instant, negotiated: Negotiated) {
        if let Some(far) = remote(&negotiated) {
            for generation in self.generations() {
                generation.agent.set_remote(now, far.clone());
                generation.add_described(&negotiated);
            }
        }
        self.negotiated = Some(negotiated);
    }

    /// The newest ICE generation of each transport that has ICE.
    fn generations(&mut self) -> impl Iterator<Item = &mut Generation> {
        self.transports.iter_mut().filter_map(|held| Some(held.ice.as_mut()?.newest()))
    }

    /// Follows far sides without ICE to where they say that they are now.
    fn follow(&mut self, previous: Option<&Negotiated>, negotiated: &Negotiated) {
        let all = self.transports.iter_mut();
        self.moves.extend(all.flat_map(|held| held.follow(previous, negotiated)));
        // What was cut for keys is not used for others.
        self.local.ports.iter_mut().for_each(|ports| ports.secret = secret());
    }

    /// Hands the far side's candidates to the agents; each takes those of its component.
    pub(crate) fn trickle(&mut self, more: &Trickle) -> Result<(), Problem> {
        let read = Trickled::from_lines(&more.candidates)?;
        self.add_candidates(&more.candidates);
        if more.end_of_candidates || read.end_of_candidates {
            self.generations().for_each(|generation| generation.agent.end_of_candidates());
        }
        Ok(())
    }

    /// Hands candidates of the newest generation to the agents.
    pub(crate) fn add_candidates(&mut self, lines: &[String]) {
        self.generations().for_each(|generation| generation.add_candidates(lines));
    }

    /// Commands that make the worker's streams and sinks those of the description.
    pub(crate) fn media_commands(&mut self) -> Vec<Command> {
        let Some(negotiated) = self.negotiated.take() else { return Vec::new() };
        let mut commands = std::mem::take(&mut self.moves);
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
                    let state = Box::new(Stream::new(&stream_spec(media, self.places_of(media))));
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
                let spec = sink_spec(media, self.places_of(media), &self.local.cname);
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

    /// Whether ICE and DTLS are done.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// True once, when every transport has keys and pair.
    pub(crate) fn note_connected(&mut self) -> bool {
        let mut used = self.transports.iter().filter(|held| held.in_use);
        let ready = self.negotiated.is_some() && used.all(CallTransport::is_ready);
        let connected = ready && self.ended.is_none();
        let new = connected && !self.connected;
        self.connected |= connected;
        new
    }

    /// Whether something is due from it: it is to send, and is not on hold.
    pub(crate) fn is_due(&self) -> bool {
        let sends = |agreed: &Negotiated| agreed.media.iter().any(|m| m.direction.receives());
        self.negotiated.as_ref().is_some_and(|agreed| sends(agreed) && !agreed.held())
    }

    /// Whether consent (RFC 7675) watches over it.
    pub(crate) fn has_ice(&self) -> bool {
        self.transports.iter().any(|held| held.ice.is_some())
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
        let agents = self.transports.iter().filter_map(|held| held.ice.as_ref()?.due());
        deadline.into_iter().chain(agents).min()
    }
}

/// Lets the answer fit the offer's ICE: towards a lite far side somebody has to check
/// (RFC 8445 §6.1.1).
fn follow_ice(local: &mut Local, offer: &Sdp) {
    local.ice_lite = !offer.ice_lite();
    local.renomination = offer.media().any(|section| section.ice_option("renomination"));
}

/// What protects a leg without ICE that the node is to offer to; none for a leg with ICE.
pub(crate) fn protection(asked: &AddLeg) -> Option<Protection> {
    match asked.kind.unwrap_or_default() {
        LegKind::Webrtc => None,
        LegKind::Rtp => Some(Protection::None),
        LegKind::Sdes => Some(Protection::Sdes),
        LegKind::Dtls => Some(Protection::Dtls),
    }
}

/// What the node is to offer.
pub(crate) fn kinds_of(asked: &AddLeg) -> Vec<Media> {
    let by_default = match asked.kind.unwrap_or_default() {
        LegKind::Webrtc => vec![Media::Audio, Media::Video],
        LegKind::Rtp | LegKind::Sdes | LegKind::Dtls => vec![Media::Audio],
    };
    asked.media.clone().unwrap_or(by_default)
}

fn offer(asked: &AddLeg, local: &Local, limits: &[&Negotiated]) -> Result<(String, Owed), Problem> {
    let kinds = kinds_of(asked);
    let Some(protection) = protection(asked) else {
        let (text, offered) = sdp::offer(&kinds, local, limits)?;
        return Ok((text, Owed::Ice(offered)));
    };
    let plan = FixedPlan {
        kinds: &kinds,
        protection,
        rtcp_mux: asked.rtcp_mux,
        feedback: asked.feedback,
        direction: sdp_direction(asked.direction.unwrap_or_default()),
    };
    let (text, offered) = sdp::offer_fixed(&plan, local, limits, secret)?;
    Ok((text, Owed::Fixed(Box::new(offered))))
}

/// What master keys are cut from.
fn secret() -> Secret {
    let mut secret = Zeroizing::new([0; SECRET_LEN]);
    for part in secret.chunks_mut(8) {
        part.copy_from_slice(&random().to_be_bytes()[..part.len()]);
    }
    secret
}

/// The far side's ICE as described.
fn remote(negotiated: &Negotiated) -> Option<Remote> {
    let ice = negotiated.ice()?;
    let IceCredentials { ufrag, password } = ice.credentials.clone();
    Some(Remote { credentials: Credentials { ufrag, password }, lite: ice.lite })
}

fn local(facts: &NodeFacts, slot: LegId, credentials: &Credentials) -> Result<Local, Problem> {
    let ids = [MEDIA, REPORTS].map(|index| TransportId { leg: slot, index });
    let [address, rtcp] = ids.map(|id| facts.faces_of(id).next().map(|face| face.announced));
    let mut candidates: Vec<_> = ids.into_iter().flat_map(|id| candidates(facts, id)).collect();
    candidates.shrink_to_fit();
    Ok(Local {
        session_id: random() >> 1,
        address: address.ok_or_else(|| Problem::internal("no interface"))?,
        rtcp,
        ports: Vec::new(),
        candidates,
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

fn stream_spec(media: &NegotiatedMedia, (transport, rtcp_transport): (u8, u8)) -> StreamSpec {
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
        transport,
        rtcp_transport,
        mid: mid(media),
        mid_extension: media.mid_extension(),
        ssrcs: media.remote_ssrcs.clone(),
        payload_types: payload_types.collect(),
        rids: media.rids.iter().filter_map(|rid| Rid::try_from(rid.as_bytes()).ok()).collect(),
        rid_extension: media.extension_id(sdp::extension::RID),
        repaired_rid_extension: media.extension_id(sdp::extension::REPAIRED_RID),
        audio_level_extension: media.extension_id(sdp::extension::AUDIO_LEVEL),
        open: false,
        events: Vec::new(),
        reports: false,
        paused: !media.direction.receives(),
    }
}

fn sink_spec(
    media: &NegotiatedMedia,
    (transport, rtcp_transport): (u8, u8),
    cname: &str,
) -> SinkSpec {
    let retransmits = media.codecs.iter().any(|codec| codec.rtx.is_some());
    SinkSpec {
        kind: engine_kind(media.kind),
        transport,
        rtcp_transport,
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

pub(crate) fn engine_credentials(ufrag: &str, password: &Zeroizing<String>) -> EngineCredentials {
    EngineCredentials { ufrag: ufrag.into(), password: password.clone() }
}
