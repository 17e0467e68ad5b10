//! The codecs that the node takes, and when two payload types mean the same one.
//!
//! The node forwards and does not transcode, so a codec is what two legs must have in common: its
//! name, its clock and those format parameters that change the bits (RFC 6184 §8.2.2: profile and
//! packetization mode; nothing for opus, RFC 7587 §7.1). Payload type numbers belong to one leg
//! and are never compared. red, ulpfec, flexfec, VP9, AV1, comfort noise and H.264 outside
//! constrained baseline are declined.

use std::fmt;

use super::model::MediaSection;
use super::negotiated::NegotiatedMedia;
use super::value::{RtpMap, fmtp_parameter, parse_payload_type};
use crate::api::Media;

/// A codec that the node takes. Two are equal if packets of one can be forwarded as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// G.722. Its clock is 8000 by mistake, which stays so (RFC 3551 §4.5.2).
    G722,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// DTMF and other events (RFC 4733), by clock rate: it follows the audio's.
    TelephoneEvent {
        /// Ticks per second.
        clock_rate: u32,
    },
    /// VP8 (RFC 7741).
    Vp8,
    /// H.264 constrained baseline (RFC 6184).
    H264 {
        /// Whether packets may hold fragments and aggregates: packetization mode 1, else 0.
        non_interleaved: bool,
    },
}

/// A codec as one leg has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// Which.
    pub codec: Codec,
    /// Its payload type on this leg: what the far side sends it under.
    pub payload_type: u8,
    /// What the node sends it under, where the far side's answer has another number than the node's
    /// offer (RFC 3264 §6.1).
    pub sent_as: Option<u8>,
    /// The payload type of its retransmissions on this leg (RFC 4588).
    pub rtx: Option<u8>,
    /// The format parameters that came with it.
    pub fmtp: Option<String>,
    /// The feedback that both sides understand.
    pub feedback: Feedback,
}

/// Kinds of feedback (RFC 4585, RFC 5104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    /// Lost packets are asked for again.
    pub nack: bool,
    /// Picture loss is reported.
    pub pli: bool,
    /// A full picture is asked for.
    pub fir: bool,
    /// The receiver estimates the bit rate.
    pub remb: bool,
    /// Arrival times are reported per transport.
    pub transport_cc: bool,
}

/// A payload type of one leg and what it is on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PtMap {
    /// On the leg that packets come from.
    pub from: u8,
    /// On the leg that they go to.
    pub to: u8,
    /// Ticks per second.
    pub clock_rate: u32,
    /// The payload type, on the leg that packets come from, that this one retransmits.
    pub retransmits: Option<u8>,
    /// Ticks per second that telephone events are to be told in, where that is another clock.
    pub events: Option<u32>,
}

/// Header extensions that the node takes, by URI.
pub mod extension {
    /// The MID (RFC 8843 §15.2).
    pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    /// The simulcast layer (RFC 8852 §4.1).
    pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    /// The simulcast layer that a retransmission repeats (RFC 8852 §4.2).
    pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
    /// How loud the packet's audio is (RFC 6464).
    pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
    /// When it was sent, in 1/2^18 s.
    pub const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    /// Transport-wide sequence number.
    pub const TRANSPORT_CC: &str =
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    /// Transmission time offset (RFC 5450).
    pub const TIME_OFFSET: &str = "urn:ietf:params:rtp-hdrext:toffset";
    /// Which way is up (3GPP TS 26.114).
    pub const VIDEO_ORIENTATION: &str = "urn:3gpp:video-orientation";
    /// How long the receiver may buffer.
    pub const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    /// Screen or camera.
    pub const CONTENT_TYPE: &str =
        "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type";
    /// What the colours mean.
    pub const COLOR_SPACE: &str = "http://www.webrtc.org/experiments/rtp-hdrext/color-space";

    /// All for audio, in the order that the node offers.
    pub(crate) const AUDIO: [&str; 4] = [MID, AUDIO_LEVEL, ABS_SEND_TIME, TRANSPORT_CC];
    /// All for video; the node offers those without the layers'.
    pub(crate) const VIDEO: [&str; 10] = [
        MID,
        RID,
        REPAIRED_RID,
        ABS_SEND_TIME,
        TRANSPORT_CC,
        TIME_OFFSET,
        VIDEO_ORIENTATION,
        PLAYOUT_DELAY,
        CONTENT_TYPE,
        COLOR_SPACE,
    ];
}

/// Maps the payload types that `from`'s leg sends to those of `to`'s leg, by codec, each with its
/// retransmissions where both legs have them. What the other leg does not have is left out, but
/// telephone events that it has for another clock: phones often have them for 8000 alone, whatever the
/// audio.
pub fn map_payload_types(from: &NegotiatedMedia, to: &NegotiatedMedia) -> Vec<PtMap> {
    let mut map = Vec::new();
    for source in &from.codecs {
        let same = to.codecs.iter().find(|sink| sink.codec == source.codec);
        let events =
            to.codecs.iter().find(|sink| !(sink.codec.is_media() || source.codec.is_media()));
        let Some(sink) = same.or(events) else { continue };
        let clock_rate = source.codec.clock_rate();
        let events = same.is_none().then(|| sink.codec.clock_rate());
        map.push(PtMap {
            from: source.payload_type,
            to: sink.sent_as.unwrap_or(sink.payload_type),
            clock_rate,
            retransmits: None,
            events,
        });
        if let (Some(rtx), Some(sink_rtx)) = (source.rtx, sink.rtx) {
            let retransmits = Some(source.payload_type);
            map.push(PtMap { from: rtx, to: sink_rtx, clock_rate, retransmits, events });
        }
    }
    map
}

impl Codec {
    /// Recognises a codec by its `a=rtpmap` and `a=fmtp`; `None` is declined.
    pub(super) fn recognise(map: &RtpMap<'_>, fmtp: Option<&str>) -> Option<Self> {
        let name = map.name.to_ascii_lowercase();
        match (name.as_str(), map.clock_rate, map.channels) {
            ("opus", 48000, 2) => Some(Self::Opus),
            ("g722", 8000, 1) => Some(Self::G722),
            ("pcmu", 8000, 1) => Some(Self::Pcmu),
            ("pcma", 8000, 1) => Some(Self::Pcma),
            ("telephone-event", clock_rate @ (8000 | 48000), 1) => {
                Some(Self::TelephoneEvent { clock_rate })
            }
            ("vp8", 90000, 1) => Some(Self::Vp8),
            ("h264", 90000, 1) => h264(fmtp.unwrap_or_default()),
            _ => None,
        }
    }

    /// The kind of m-line that it belongs to.
    pub fn kind(self) -> Media {
        match self {
            Self::Vp8 | Self::H264 { .. } => Media::Video,
            _ => Media::Audio,
        }
    }

    /// Its name in `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::G722 => "G722",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::TelephoneEvent { .. } => "telephone-event",
            Self::Vp8 => "VP8",
            Self::H264 { .. } => "H264",
        }
    }

    /// Ticks per second of its timestamps.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48000,
            Self::G722 | Self::Pcmu | Self::Pcma => 8000,
            Self::TelephoneEvent { clock_rate } => clock_rate,
            Self::Vp8 | Self::H264 { .. } => 90000,
        }
    }

    /// Channels in `a=rtpmap`.
    pub fn channels(self) -> u8 {
        if self == Self::Opus { 2 } else { 1 }
    }

    /// Whether it carries the media itself rather than events beside it.
    pub fn is_media(self) -> bool {
        !matches!(self, Self::TelephoneEvent { .. })
    }
}

impl fmt::Display for Codec {
    /// Writes the encoding as in `a=rtpmap`, such as `opus/48000/2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.clock_rate())?;
        if self.channels() > 1 { write!(f, "/{}", self.channels()) } else { Ok(()) }
    }
}

impl NegotiatedCodec {
    /// Takes the numbers of the node's offer; this was read of the far side's answer to it.
    pub(super) fn answer(&mut self, own: &Self) {
        self.sent_as = (self.payload_type != own.payload_type).then_some(self.payload_type);
        self.payload_type = own.payload_type;
        self.rtx = self.rtx.filter(|rtx| own.rtx == Some(*rtx));
    }

    /// The node's own format parameters in answer to those that came.
    pub(super) fn own_fmtp(&self) -> Option<String> {
        let came = self.fmtp.as_deref();
        match self.codec {
            Codec::Opus => Some("minptime=10;useinbandfec=1".into()),
            Codec::TelephoneEvent { .. } => came.map(|_| "0-15".into()),
            Codec::H264 { non_interleaved } => {
                let came = came.unwrap_or_default();
                let asymmetry = match fmtp_parameter(came, "level-asymmetry-allowed") {
                    Some("1") => "level-asymmetry-allowed=1;",
                    _ => "",
                };
                let mode = u8::from(non_interleaved);
                let level = profile_level_id(came)?;
                Some(format!(
                    "{asymmetry}packetization-mode={mode};profile-level-id={:06x}",
                    level.0
                ))
            }
            Codec::G722 | Codec::Pcmu | Codec::Pcma | Codec::Vp8 => None,
        }
    }
}

impl Feedback {
    /// Each kind by its name in a description.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.remb, "goog-remb"),
            (self.transport_cc, "transport-cc"),
            (self.fir, "ccm fir"),
            (self.nack, "nack"),
            (self.pli, "nack pli"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
    }

    fn add(&mut self, kind: &str) {
        let mut words = kind.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("nack"), None) => self.nack = true,
            (Some("nack"), Some("pli")) => self.pli = true,
            (Some("ccm"), Some("fir")) => self.fir = true,
            (Some("goog-remb"), None) => self.remb = true,
            (Some("transport-cc"), None) => self.transport_cc = true,
            _ => {}
        }
    }
}

/// The codecs of an m-line that the node takes and `allowed` lets pass, in the writer's order.
pub(super) fn codecs_of(
    section: MediaSection<'_>,
    kind: Media,
    allowed: impl Fn(Codec) -> bool,
) -> Vec<NegotiatedCodec> {
    let formats = formats_of(section);
    let recognise = |format: &Format<'_>| {
        let codec = Codec::recognise(&format.map, format.fmtp)?;
        (codec.kind() == kind && allowed(codec)).then(|| NegotiatedCodec {
            codec,
            payload_type: format.map.payload_type,
            sent_as: None,
            rtx: if kind == Media::Video { rtx_of(&formats, format) } else { None },
            fmtp: format.fmtp.map(Into::into),
            feedback: feedback_of(section, format.map.payload_type),
        })
    };
    formats.iter().filter_map(recognise).collect()
}

/// A payload type with all that is said of it.
pub(super) struct Format<'a> {
    pub(super) map: RtpMap<'a>,
    pub(super) fmtp: Option<&'a str>,
}

/// The payload types that are explained, at most 128, in the writer's order.
pub(super) fn formats_of(section: MediaSection<'_>) -> Vec<Format<'_>> {
    let mut maps: [Option<RtpMap<'_>>; 128] = std::array::from_fn(|_| None);
    let mut fmtps: [Option<&str>; 128] = [None; 128];
    for map in section.rtpmaps() {
        let number = usize::from(map.payload_type);
        maps[number].get_or_insert(map);
    }
    for (number, fmtp) in section.fmtps() {
        fmtps[usize::from(number)].get_or_insert(fmtp);
    }
    section
        .payload_types()
        .filter(|number| !CLASHES_WITH_RTCP.contains(number))
        .filter_map(|number| {
            let map = maps[usize::from(number)].take().or_else(|| RtpMap::of_static(number))?;
            Some(Format { map, fmtp: fmtps[usize::from(number)] })
        })
        .collect()
}

fn feedback_of(section: MediaSection<'_>, payload_type: u8) -> Feedback {
    let mut feedback = Feedback::default();
    section
        .feedback()
        .filter(|found| found.payload_type.is_none_or(|number| number == payload_type))
        .for_each(|found| feedback.add(found.kind));
    feedback
}

/// The payload type that retransmits this one (RFC 4588 §8.1).
fn rtx_of(formats: &[Format<'_>], original: &Format<'_>) -> Option<u8> {
    let retransmits = |format: &&Format<'_>| {
        let apt = format.fmtp.and_then(|fmtp| fmtp_parameter(fmtp, "apt"));
        format.map.name.eq_ignore_ascii_case("rtx")
            && format.map.clock_rate == original.map.clock_rate
            && apt.and_then(parse_payload_type) == Some(original.map.payload_type)
    };
    formats.iter().find(retransmits).map(|format| format.map.payload_type)
}

fn h264(fmtp: &str) -> Option<Codec> {
    let non_interleaved = match fmtp_parameter(fmtp, "packetization-mode") {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return None,
    };
    let is_constrained_baseline = profile_level_id(fmtp)?.is_constrained_baseline();
    is_constrained_baseline.then_some(Codec::H264 { non_interleaved })
}

/// H.264's profile, constraints and level as three bytes (RFC 6184 §8.1).
#[derive(Clone, Copy)]
struct ProfileLevelId(u32);

impl ProfileLevelId {
    /// RFC 6184 §8.1, table 5.
    fn is_constrained_baseline(self) -> bool {
        let [_, profile, constraints, _] = self.0.to_be_bytes();
        match profile {
            0x42 => constraints & 0x4f == 0x40,
            0x4d => constraints & 0x8f == 0x80,
            0x58 => constraints & 0xcf == 0xc0,
            _ => false,
        }
    }
}

/// What is said, or level 1 of the (unconstrained) baseline profile if nothing is.
fn profile_level_id(fmtp: &str) -> Option<ProfileLevelId> {
    let Some(text) = fmtp_parameter(fmtp, "profile-level-id") else {
        return Some(ProfileLevelId(0x42_00_0a));
    };
    let is_hex = text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(ProfileLevelId)
}

/// Payload types that look like RTCP when both share a port (RFC 5761 §4).
const CLASHES_WITH_RTCP: std::ops::RangeInclusive<u8> = 64..=95;
