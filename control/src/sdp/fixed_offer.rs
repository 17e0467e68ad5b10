//! Offers in the node's own name to far sides without ICE, and what they make of them (RFC 3264 §5, §7
//! and §8): the first one of a leg, and further ones.
//!
//! Each m-line has ports of its own, one for RTP and one for RTCP. Ports, protection and the number of a
//! payload type stay for the leg's life (RFC 3264 §8.3.2). With SDES the node offers a key for each
//! suite, the strongest first (RFC 4568 §5.1.1), and the answer names one. A further offer repeats that
//! one: a key that is said again begins nothing anew.

use std::slice;

use causeway_engine::srtp::Suite;

use super::answer::{Taken, allows, check_streams, kind_of, taken};
use super::codec::{Codec, Feedback, NegotiatedCodec};
use super::crypto::{BY_STRENGTH, Crypto};
use super::error::{SdpError, SdpErrorKind};
use super::fixed::{addresses_of, has_address};
use super::local::{Local, LocalSsrcs, Secret};
use super::model::Sdp;
use super::negotiated::{
    Negotiated, NegotiatedMedia, Profile, RemoteAddresses, RemoteDtls, RemotePath, RemoteSecurity,
    RemoteTransport, Sdes,
};
use super::offer::{own_codecs, own_feedback, role};
use super::transport::{can_mux, fingerprints_of};
use super::value::{Direction, Setup};
use super::write::{self, Keys, Place, Section};
use super::{MEDIA_MAX, PORTS_MAX};
use crate::api::Media;

/// What protects the packets of an offered m-line, for the leg's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: plain RTP.
    None,
    /// SRTP under keys that stand in the descriptions (RFC 4568).
    Sdes,
    /// SRTP under keys that a DTLS handshake yields (RFC 5764).
    Dtls,
}

/// What is offered to a far side without ICE.
#[derive(Debug, Clone, Copy)]
pub struct FixedPlan<'a> {
    /// An m-line for each.
    pub kinds: &'a [Media],
    /// What protects them.
    pub protection: Protection,
    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether there may be early feedback (RFC 4585).
    pub feedback: bool,
    /// Which way media is to flow, from the node's view.
    pub direction: Direction,
}

/// What the node has offered to a far side without ICE and waits to hear about. Debug hides the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedOffered {
    version: u64,
    ssrc_base: u32,
    /// The m-lines in use.
    offered: Vec<OfferedLine>,
    /// How many m-lines there are, those that are in use no more included.
    lines: usize,
    previous: Option<Box<Negotiated>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OfferedLine {
    media: NegotiatedMedia,
    rtcp_mux: bool,
    protection: Protection,
    /// With SDES what the node may protect its packets with, the favourite first.
    keys: Vec<Crypto>,
}

/// Offers `plan` at the ports of `local`, of which there is a pair for each m-line, with the codecs that
/// all of `limits` (what the call's other legs negotiated) have too. `secret` gives what keys are cut
/// from, another one each time.
///
/// # Errors
/// [`SdpErrorKind::NoMedia`] or [`SdpErrorKind::TooManyPorts`] when there are no m-lines or too many,
/// [`SdpErrorKind::NoCommonCodec`] when the other legs have nothing in common for a kind.
pub fn offer_fixed(
    plan: &FixedPlan<'_>,
    local: &Local,
    limits: &[&Negotiated],
    mut secret: impl FnMut() -> Secret,
) -> Result<(String, FixedOffered), SdpError> {
    if plan.kinds.is_empty() {
        return Err(SdpError::whole(SdpErrorKind::NoMedia));
    }
    if plan.kinds.len() > PORTS_MAX.min(local.ports.len()) {
        return Err(SdpError::whole(SdpErrorKind::TooManyPorts));
    }
    let mut offered: Vec<OfferedLine> = Vec::with_capacity(plan.kinds.len());
    for (index, &kind) in plan.kinds.iter().enumerate() {
        let nth = offered.iter().filter(|line| line.media.kind == kind).count();
        let codecs = codecs_for(kind, plan.feedback);
        let codecs = codecs.filter(|own| allows(limits, kind, nth, own.codec));
        offered.push(OfferedLine {
            media: plan.media(index, kind, with_media(codecs.collect())?, local),
            rtcp_mux: plan.rtcp_mux,
            protection: plan.protection,
            keys: if plan.protection == Protection::Sdes { keys(&mut secret) } else { Vec::new() },
        });
    }
    let (version, lines, ssrc_base) = (1, offered.len(), local.ssrc_base);
    let offered = FixedOffered { version, ssrc_base, offered, lines, previous: None };
    Ok((offered.write(local), offered))
}

/// Offers the m-lines in use again, with media flowing as `direction` says, from the node's view, and
/// with what codecs the call has in common by now. Those that the leg had come first.
///
/// # Errors
/// [`SdpErrorKind::NoCommonCodec`] when nothing is left of an m-line.
pub fn offer_again(
    previous: &Negotiated,
    direction: Direction,
    local: &Local,
    limits: &[&Negotiated],
) -> Result<(String, FixedOffered), SdpError> {
    let mut offered: Vec<OfferedLine> = Vec::with_capacity(previous.media.len());
    for held in &previous.media {
        let nth = offered.iter().filter(|line| line.media.kind == held.kind).count();
        let mut codecs = renumbered(held);
        codecs.retain(|own| allows(limits, held.kind, nth, own.codec));
        let codecs = with_media(codecs)?;
        let far = previous.transports.get(held.transport);
        let (protection, keys) = match far.map(|far| &far.security) {
            None | Some(RemoteSecurity::Plain) => (Protection::None, Vec::new()),
            Some(RemoteSecurity::Sdes(keys)) => (Protection::Sdes, vec![keys.own.clone()]),
            Some(RemoteSecurity::Dtls(_) | RemoteSecurity::Unkeyed) => {
                (Protection::Dtls, Vec::new())
            }
        };
        let rtcp_mux = far.is_some_and(|far| far.rtcp_mux);
        let media = NegotiatedMedia { direction, codecs, ..held.clone() };
        offered.push(OfferedLine { media, rtcp_mux, protection, keys });
    }
    let (version, lines) = (previous.version + 1, previous.lines);
    let (ssrc_base, previous) = (local.ssrc_base, Some(Box::new(previous.clone())));
    let offered = FixedOffered { version, ssrc_base, offered, lines, previous };
    Ok((offered.write(local), offered))
}

impl FixedPlan<'_> {
    fn media(
        &self,
        index: usize,
        kind: Media,
        codecs: Vec<NegotiatedCodec>,
        local: &Local,
    ) -> NegotiatedMedia {
        let profile = match (self.protection, self.feedback) {
            (Protection::None, false) => Profile::Avp,
            (Protection::None, true) => Profile::Avpf,
            (Protection::Sdes, false) => Profile::Savp,
            (Protection::Sdes, true) => Profile::Savpf,
            (Protection::Dtls, false) => Profile::DtlsSavp,
            (Protection::Dtls, true) => Profile::DtlsSavpf,
        };
        NegotiatedMedia {
            index,
            kind,
            mid: None,
            profile,
            direction: self.direction,
            transport: index,
            codecs,
            extensions: Vec::new(),
            mux_only: false,
            reduced_size: self.feedback,
            local_ssrcs: LocalSsrcs::of(local.ssrc_base, index),
            remote_ssrcs: Vec::new(),
            rids: Vec::new(),
            seat: None,
        }
    }
}

impl FixedOffered {
    /// Takes the far side's answer.
    ///
    /// # Errors
    /// When it does not fit the offer or cannot be taken; the error names the line.
    pub fn accept(&self, answer: &Sdp) -> Result<Negotiated, SdpError> {
        self.check_lines(answer)?;
        let mut transports = match &self.previous {
            Some(previous) => previous.transports.clone(),
            None => self.offered.iter().map(OfferedLine::unanswered).collect(),
        };
        let mut media = Vec::new();
        for taken in taken(answer)? {
            let index = taken.section.index();
            let line = self.offered.iter().find(|line| line.media.index == index);
            let line = line.ok_or_else(|| taken.section.blame(SdpErrorKind::MediaMismatch))?;
            let mut accepted = line.accept(&taken, self.ssrc_base)?;
            let held = transports.get_mut(line.media.transport);
            let held = held.ok_or_else(|| taken.section.blame(SdpErrorKind::PortsFixed))?;
            *held = line.far_side(&taken, self.previous.as_ref().map(|_| &*held))?;
            if !has_address(held) {
                accepted.direction = accepted.direction.without_sending();
            }
            media.push(accepted);
        }
        check_streams(answer, &media)?;
        let (version, lines) = (self.version, self.lines);
        let mut negotiated = Negotiated { version, lines, bundle: false, transports, media };
        negotiated.take_seats(self.previous.as_deref());
        Ok(negotiated)
    }

    /// The answer has the offer's m-lines and kinds (RFC 3264 §6); what is rejected may say anything.
    fn check_lines(&self, answer: &Sdp) -> Result<(), SdpError> {
        let at = |index: usize| self.offered.iter().find(|line| line.media.index == index);
        let fits = |index, kind| at(index).is_none_or(|line| Some(line.media.kind) == kind);
        let mut sections = answer.media();
        if let Some(odd) = sections.find(|one| {
            one.index() >= self.lines || !(one.is_rejected() || fits(one.index(), kind_of(*one)))
        }) {
            return Err(odd.blame(SdpErrorKind::MediaMismatch));
        }
        let complete = answer.media_count() == self.lines;
        complete.then_some(()).ok_or_else(|| SdpError::whole(SdpErrorKind::MediaMismatch))
    }

    fn write(&self, local: &Local) -> String {
        let at = |index: usize| self.offered.iter().find(|line| line.media.index == index);
        let sections: Vec<_> = (0..self.lines)
            .map(|index| at(index).map_or(Section::Unused, |line| Section::InUse(&line.media)))
            .collect();
        write::fixed(local, self.version, &sections, |media| {
            let (line, ports) = (at(media.index)?, local.ports.get(media.transport)?);
            let keys = match line.protection {
                Protection::None => Keys::None,
                Protection::Sdes => Keys::Sdes(&line.keys),
                Protection::Dtls => Keys::Dtls(Setup::ActPass),
            };
            // Whoever is offered to share a port for the first time may want two.
            let shares = line.rtcp_mux && self.previous.is_some();
            let rtcp = if shares { ports.rtp } else { ports.rtcp };
            Some(Place { rtp: ports.rtp, rtcp, rtcp_mux: line.rtcp_mux, keys })
        })
    }
}

impl OfferedLine {
    /// The far side that has rejected the m-line, and may take it up later.
    fn unanswered(&self) -> RemoteTransport {
        let nowhere = RemoteAddresses { rtp: None, rtcp: None };
        let security = match self.protection {
            Protection::None => RemoteSecurity::Plain,
            Protection::Sdes | Protection::Dtls => RemoteSecurity::Unkeyed,
        };
        let (line, path) = (self.media.index, RemotePath::Fixed(nowhere));
        RemoteTransport { line, rtcp_mux: false, path, security }
    }

    fn accept(&self, taken: &Taken<'_>, ssrc_base: u32) -> Result<NegotiatedMedia, SdpError> {
        let is_offered = |codec| self.media.codecs.iter().any(|own| own.codec == codec);
        let direction = taken.section.direction().reversed().within(self.media.direction);
        let mut media = taken.negotiate(direction, ssrc_base, is_offered)?;
        media.mid.clone_from(&self.media.mid);
        media.transport = self.media.transport;
        media.reduced_size &= self.media.reduced_size;
        media.extensions.retain(|accepted| {
            let mut own = self.media.extensions.iter();
            own.any(|own| own.id == accepted.id && own.uri == accepted.uri)
        });
        let mut seen: Vec<Codec> = Vec::new();
        media.codecs.retain_mut(|codec| {
            let is_new = !seen.contains(&codec.codec);
            seen.push(codec.codec);
            let own = self.media.codecs.iter().find(|own| own.codec == codec.codec);
            own.filter(|_| is_new).is_some_and(|own| {
                codec.answer(own);
                true
            })
        });
        Ok(media)
    }

    /// The far side of the m-line; `before` is what was agreed on before this offer.
    fn far_side(
        &self,
        taken: &Taken<'_>,
        before: Option<&RemoteTransport>,
    ) -> Result<RemoteTransport, SdpError> {
        let section = taken.section;
        let says_mux = can_mux(slice::from_ref(&section));
        if says_mux && !self.rtcp_mux || before.is_some() && says_mux != self.rtcp_mux {
            return Err(section.blame(SdpErrorKind::RtcpMuxChanged));
        }
        let offered = self.media.profile;
        let same = (offered.is_secure(), offered.is_dtls());
        if (taken.profile.is_secure(), taken.profile.is_dtls()) != same {
            return Err(section.blame(SdpErrorKind::ProfileMismatch));
        }
        let security = match self.protection {
            Protection::None => RemoteSecurity::Plain,
            Protection::Sdes => RemoteSecurity::Sdes(Box::new(self.chosen(taken)?)),
            Protection::Dtls => RemoteSecurity::Dtls(certified(taken, before)?),
        };
        let path = RemotePath::Fixed(addresses_of(section, says_mux)?);
        Ok(RemoteTransport { line: section.index(), rtcp_mux: says_mux, path, security })
    }

    /// The far side's key, and that of the node's keys which it goes with (RFC 4568 §5.1.3).
    fn chosen(&self, taken: &Taken<'_>) -> Result<Sdes, SdpError> {
        let usable = taken.section.cryptos().filter_map(Result::ok);
        let pair = usable.filter(|far| far.is_usable(false)).find_map(|far| {
            let is_it = |own: &&Crypto| (own.tag, own.suite) == (far.tag, far.suite);
            let own = self.keys.iter().find(is_it)?.clone();
            Some(Sdes { own: Crypto { parameters: far.parameters, ..own }, far })
        });
        pair.ok_or_else(|| taken.section.blame(SdpErrorKind::CryptoNotOffered))
    }
}

/// The far side's certificate, which stays as it was, and who begins the handshake.
fn certified(taken: &Taken<'_>, before: Option<&RemoteTransport>) -> Result<RemoteDtls, SdpError> {
    let section = taken.section;
    let fingerprints = fingerprints_of(&[section])?;
    let fingerprints = fingerprints.ok_or_else(|| section.blame(SdpErrorKind::NoFingerprint))?;
    let role = role(slice::from_ref(taken))?;
    match before.map(|before| &before.security) {
        Some(RemoteSecurity::Dtls(held)) if held.fingerprints == fingerprints => Ok(held.clone()),
        Some(RemoteSecurity::Dtls(_)) => Err(section.blame(SdpErrorKind::CertificateChanged)),
        _ => Ok(RemoteDtls { fingerprints, role }),
    }
}

/// A key for each suite that is the engine's.
fn keys(mut secret: impl FnMut() -> Secret) -> Vec<Crypto> {
    let suites = BY_STRENGTH.into_iter().filter(|suite| Suite::ALL.contains(suite));
    (1..).zip(suites).map(|(tag, suite)| Crypto::cut(tag, suite, &secret())).collect()
}

/// The node's codecs under the numbers that phones use for them, favourite first.
fn codecs_for(kind: Media, feedback: bool) -> impl Iterator<Item = NegotiatedCodec> {
    own_codecs(kind).map(move |own| NegotiatedCodec {
        payload_type: match own.codec {
            Codec::TelephoneEvent { clock_rate: 8000 } => PHONE_EVENTS,
            _ => own.payload_type,
        },
        rtx: own.rtx.filter(|_| feedback),
        feedback: if feedback { without_numbers(own.codec) } else { Feedback::default() },
        ..own
    })
}

/// Transport-wide numbers need a header extension, which phones are not offered.
fn without_numbers(codec: Codec) -> Feedback {
    Feedback { transport_cc: false, ..own_feedback(codec) }
}

/// The codecs of an m-line under their numbers, and behind them the node's others under numbers of
/// their own.
fn renumbered(held: &NegotiatedMedia) -> Vec<NegotiatedCodec> {
    let mut codecs = held.codecs.clone();
    for mut own in codecs_for(held.kind, held.profile.has_feedback()) {
        if codecs.iter().any(|known| known.codec == own.codec) {
            continue;
        }
        let is_taken = |number: u8| {
            let mut known = codecs.iter().flat_map(|known| [Some(known.payload_type), known.rtx]);
            known.any(|known| known == Some(number))
        };
        let free = std::iter::once(own.payload_type).chain(DYNAMIC).find(|n| !is_taken(*n));
        let Some(free) = free else { continue };
        // Retransmissions of what is new would need another number still.
        own.rtx = own.rtx.filter(|rtx| free == own.payload_type && !is_taken(*rtx));
        own.payload_type = free;
        codecs.push(own);
    }
    codecs
}

fn with_media(codecs: Vec<NegotiatedCodec>) -> Result<Vec<NegotiatedCodec>, SdpError> {
    if codecs.iter().any(|own| own.codec.is_media()) {
        Ok(codecs)
    } else {
        Err(SdpError::whole(SdpErrorKind::NoCommonCodec))
    }
}

/// What phones call telephone-event/8000, most of them whatever an offer says.
const PHONE_EVENTS: u8 = 101;
/// Numbers that mean nothing by themselves (RFC 3551 §6).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

const _: () = assert!(PORTS_MAX <= MEDIA_MAX);
