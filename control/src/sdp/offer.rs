//! Offers in the node's own name, and what the far side makes of them (RFC 3264 §5 and §7).

use super::answer::{
    Taken, allows, blame_setup, check_bundle, check_streams, kind_of, said_setup, taken,
};
use super::codec::{Codec, Feedback, NegotiatedCodec, extension};
use super::error::{SdpError, SdpErrorKind};
use super::local::{Local, LocalSsrcs};
use super::model::{MediaSection, Sdp};
use super::negotiated::{Extension, Negotiated, NegotiatedMedia, Profile};
use super::transport::{can_mux, transport_of};
use super::value::{Direction, DtlsRole, Setup};
use super::write::{self, Section};
use super::{MEDIA_MAX, STREAMS_MAX};
use crate::api::Media;

/// What the node has offered and waits to hear about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    version: u64,
    ssrc_base: u32,
    media: Vec<NegotiatedMedia>,
}

/// Offers one m-line for each of `kinds` (at most [`STREAMS_MAX`]), with the codecs that the node
/// and all of `limits` (what the call's other legs negotiated) have in common. A kind that an
/// other leg does not have is offered whole.
///
/// # Errors
/// [`SdpErrorKind::NoCommonCodec`] when the other legs have nothing in common for a kind,
/// [`SdpErrorKind::NoMedia`] or [`SdpErrorKind::TooManyStreams`] when `kinds` is empty or too long.
pub fn offer(
    kinds: &[Media],
    local: &Local,
    limits: &[&Negotiated],
) -> Result<(String, Offered), SdpError> {
    if kinds.is_empty() {
        return Err(SdpError::whole(SdpErrorKind::NoMedia));
    }
    if kinds.len() > STREAMS_MAX {
        return Err(SdpError::whole(SdpErrorKind::TooManyStreams));
    }
    let mut media: Vec<NegotiatedMedia> = Vec::with_capacity(kinds.len());
    for (index, &kind) in kinds.iter().enumerate() {
        let nth = media.iter().filter(|media| media.kind == kind).count();
        let codecs: Vec<_> =
            own_codecs(kind).filter(|own| allows(limits, kind, nth, own.codec)).collect();
        if !codecs.iter().any(|own| own.codec.is_media()) {
            return Err(SdpError::whole(SdpErrorKind::NoCommonCodec));
        }
        media.push(own_media(kind, index, nth, codecs, local));
    }
    let version = 1;
    let sections: Vec<_> = media.iter().map(Section::InUse).collect();
    let session = write::Session { version, bundle: true, rtcp_mux: true, setup: Setup::ActPass };
    let text = write::description(local, &session, &sections);
    Ok((text, Offered { version, ssrc_base: local.ssrc_base, media }))
}

impl Offered {
    /// Takes the far side's answer.
    ///
    /// # Errors
    /// When it does not fit the offer or cannot be taken; the error names the line.
    pub fn accept(&self, answer: &Sdp) -> Result<Negotiated, SdpError> {
        self.check_lines(answer)?;
        let taken = taken(answer)?;
        let sections: Vec<_> = taken.iter().map(|taken| taken.section).collect();
        let transport = transport_of(answer, &sections, role(&taken)?, true)?;
        check_mux(&sections)?;
        let bundle = check_bundle(answer, &sections)?;
        let media: Vec<_> =
            taken.iter().map(|taken| self.accept_media(taken)).collect::<Result<_, _>>()?;
        check_streams(answer, &media)?;
        let lines = self.media.len();
        let transports = vec![transport];
        Ok(Negotiated { version: self.version, lines, bundle, transports, media })
    }

    /// The answer has the offer's m-lines, kinds and MIDs (RFC 3264 §6).
    fn check_lines(&self, answer: &Sdp) -> Result<(), SdpError> {
        for section in answer.media() {
            let fits = self.media.get(section.index()).is_some_and(|offered| {
                kind_of(section) == Some(offered.kind) && has_mid(section, offered)
            });
            if !fits {
                return Err(section.blame(SdpErrorKind::MediaMismatch));
            }
        }
        if answer.media_count() == self.media.len() {
            Ok(())
        } else {
            Err(SdpError::whole(SdpErrorKind::MediaMismatch))
        }
    }

    fn accept_media(&self, taken: &Taken<'_>) -> Result<NegotiatedMedia, SdpError> {
        let offered = &self.media[taken.section.index()];
        let is_offered = |codec| offered.codecs.iter().any(|own| own.codec == codec);
        let direction = taken.section.direction().reversed();
        let mut media = taken.negotiate(direction, self.ssrc_base, is_offered)?;
        media.mid.clone_from(&offered.mid);
        media.seat = offered.seat.filter(|_| direction.sends());
        media.reduced_size &= offered.reduced_size;
        media.codecs.retain_mut(|codec| {
            let Some(own) = own_of(offered, codec) else { return false };
            codec.rtx = codec.rtx.filter(|rtx| own.rtx == Some(*rtx));
            true
        });
        media.extensions.retain(|accepted| {
            offered.extensions.iter().any(|own| own.id == accepted.id && own.uri == accepted.uri)
        });
        if media.codecs.iter().any(|codec| codec.codec.is_media()) {
            Ok(media)
        } else {
            Err(taken.section.blame(SdpErrorKind::NoCommonCodec))
        }
    }
}

/// The node offers one port, for RTCP too.
fn check_mux(taken: &[MediaSection<'_>]) -> Result<(), SdpError> {
    match taken.first() {
        Some(first) if !can_mux(taken) => Err(first.blame(SdpErrorKind::NoRtcpMux)),
        _ => Ok(()),
    }
}

/// What the node becomes in the DTLS handshake; an answer that says nothing is active (RFC 4145 §4.1).
pub(super) fn role(taken: &[Taken<'_>]) -> Result<DtlsRole, SdpError> {
    let (section, setup) = said_setup(taken)?;
    match setup {
        None | Some(Setup::Active) => Ok(DtlsRole::Passive),
        Some(Setup::Passive) => Ok(DtlsRole::Active),
        Some(Setup::ActPass | Setup::HoldConn) => Err(blame_setup(section)),
    }
}

/// Whether an answer's m-line has the offered MID, or leaves it out where it cannot be mistaken.
fn has_mid(section: MediaSection<'_>, offered: &NegotiatedMedia) -> bool {
    match section.mid() {
        Ok(Some(mid)) => offered.mid.as_deref() == Some(mid),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// The offered codec that an answered one is: the node sends and receives under one number.
fn own_of<'a>(
    offered: &'a NegotiatedMedia,
    answered: &NegotiatedCodec,
) -> Option<&'a NegotiatedCodec> {
    offered
        .codecs
        .iter()
        .find(|own| own.codec == answered.codec && own.payload_type == answered.payload_type)
}

fn own_media(
    kind: Media,
    index: usize,
    nth: usize,
    codecs: Vec<NegotiatedCodec>,
    local: &Local,
) -> NegotiatedMedia {
    NegotiatedMedia {
        index,
        kind,
        mid: Some(index.to_string()),
        profile: Profile::DtlsSavpf,
        direction: Direction::SendRecv,
        transport: 0,
        codecs,
        extensions: own_extensions(kind),
        mux_only: false,
        reduced_size: true,
        local_ssrcs: LocalSsrcs::of(local.ssrc_base, index),
        remote_ssrcs: Vec::new(),
        rids: Vec::new(),
        seat: Some(nth),
    }
}

/// The node's codecs under the numbers that browsers use for them, favourite first.
pub(super) fn own_codecs(kind: Media) -> impl Iterator<Item = NegotiatedCodec> {
    OWN.into_iter().filter(move |(codec, ..)| codec.kind() == kind).map(
        |(codec, payload_type, rtx, fmtp)| NegotiatedCodec {
            codec,
            payload_type,
            sent_as: None,
            rtx,
            fmtp: fmtp.map(Into::into),
            feedback: own_feedback(codec),
        },
    )
}

pub(super) fn own_feedback(codec: Codec) -> Feedback {
    let is_video = codec.kind() == Media::Video;
    Feedback {
        nack: is_video,
        pli: is_video,
        fir: is_video,
        remb: is_video,
        transport_cc: is_video || codec == Codec::Opus,
    }
}

/// One id for one extension on all m-lines, as BUNDLE wants it (RFC 8843 §9.1).
fn own_extensions(kind: Media) -> Vec<Extension> {
    let wanted: &[&'static str] = match kind {
        Media::Audio => &extension::AUDIO,
        Media::Video => &extension::VIDEO,
    };
    let own = (1u8..).zip(EXTENSION_IDS);
    own.filter(|(_, uri)| wanted.contains(uri))
        .map(|(id, uri)| Extension { id, uri, direction: Direction::SendRecv })
        .collect()
}

const MODE_0: Codec = Codec::H264 { non_interleaved: false };
const MODE_1: Codec = Codec::H264 { non_interleaved: true };
const MODE_0_FMTP: &str = "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f";
const MODE_1_FMTP: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// Codec, payload type, payload type of its retransmissions, format parameters.
const OWN: [(Codec, u8, Option<u8>, Option<&str>); 9] = [
    (Codec::Opus, 111, None, None),
    (Codec::G722, 9, None, None),
    (Codec::Pcmu, 0, None, None),
    (Codec::Pcma, 8, None, None),
    (Codec::TelephoneEvent { clock_rate: 48000 }, 110, None, Some("0-15")),
    (Codec::TelephoneEvent { clock_rate: 8000 }, 126, None, Some("0-15")),
    (Codec::Vp8, 96, Some(97), None),
    (MODE_1, 102, Some(103), Some(MODE_1_FMTP)),
    (MODE_0, 104, Some(105), Some(MODE_0_FMTP)),
];

/// An extension's id is its place here, from 1.
const EXTENSION_IDS: [&str; 9] = [
    extension::AUDIO_LEVEL,
    extension::ABS_SEND_TIME,
    extension::TRANSPORT_CC,
    extension::MID,
    extension::TIME_OFFSET,
    extension::VIDEO_ORIENTATION,
    extension::PLAYOUT_DELAY,
    extension::CONTENT_TYPE,
    extension::COLOR_SPACE,
];

const _: () = assert!(STREAMS_MAX <= MEDIA_MAX);
