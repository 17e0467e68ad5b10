//! The rewrite of one sink: numbers of the source's leg to the node's own, and back for feedback.
//!
//! A sink lives longer than what feeds it. Each time that the source's SSRC changes, or its
//! sequence numbers start over, a new segment begins: it continues the sink's numbers by one
//! and its timestamps by the time that went by. A segment is one addition each way, so that
//! forward and backward are inverse; the bounds of the segments keep numbers of one source from
//! being taken for another's.
//!
//! ```text
//!  source A   98  99 100            source B    7   8   9
//!                  │ + 900                         │ + 994
//!  sink      998 999 1000          ────────►  1001 1002 1003
//!            └─ segment ─┘                    └── segment ──┘
//! ```
//!
//! Sequence numbers are held extended to 64 bits; the 16 bits of a packet stand for the number
//! that is nearest to the latest one.

use arrayvec::ArrayVec;

use crate::command::{Codec, Mid};
use crate::config::{EXTENSIONS_PER_ROUTE, PAYLOADS_PER_ROUTE, SEGMENTS_PER_ROUTE};
use crate::error::DropReason;
use crate::few::Few;
use crate::packet::Nanos;
use crate::pictures::{self, Picture, PictureShift};
use crate::plain::plain;
use crate::rtcp::SenderInfo;
use crate::rtp::{self, Extension, ExtensionBlock, RtpHeader};

pub mod reports;

/// Packets that one may be behind the latest and still be late rather than the start of a new
/// numbering (RFC 3550 Appendix A.1 has 100; retransmissions without RTX come much later).
const LATE_MAX: u64 = 3000;
/// How long after a change of SSRC packets of the former one are held to be late rather than a
/// change back.
const SWITCH_BACK: Nanos = Nanos::from_millis(500);
/// How long after a change of layer packets of the former one are still owed: what was under way
/// then.
const OWED: Nanos = Nanos::from_millis(1000);

/// How one payload type of the source is called at the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadMap {
    /// The number on the source's leg.
    pub from: u8,
    /// The number on the sink's leg.
    pub to: u8,
    /// Ticks per second of its timestamps.
    pub clock_rate: u32,
    /// Whether it retransmits another (RFC 4588).
    pub retransmits: bool,
    /// What retransmits it on the sink's leg, where the node does that itself ([`Passing::Again`]).
    pub again: Option<u8>,
    /// Its codec, or that of what it retransmits: VP8's picture numbers are continued too, and telephone
    /// events are told in the sink's clock.
    pub codec: Codec,
}

/// What becomes of transport-wide sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportCc {
    /// They pass, and so does the feedback about them: only where the two legs of a call both
    /// negotiated them and nothing is filtered in between.
    EndToEnd {
        /// Extension id on the source's leg.
        from: u8,
        /// Extension id on the sink's leg.
        to: u8,
    },
    /// They are taken out; the node itself gives feedback to the source ([`crate::twcc`]).
    #[default]
    Strip,
    /// As [`TransportCc::Strip`], and the node puts in numbers of its own, counted per transport of
    /// the sink's leg. Needs [`crate::command::Command::EstimateBandwidth`] there; without it nothing
    /// is put in.
    Own {
        /// Extension id on the sink's leg.
        to: u8,
    },
}

/// Numbers of the source's leg to numbers of the sink's leg. The default one maps nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteMap {
    payloads: Few<PayloadMap, PAYLOADS_PER_ROUTE>,
    extensions: Few<(u8, u8), EXTENSIONS_PER_ROUTE>,
    transport_cc: TransportCc,
}

impl RouteMap {
    /// A map of payload types and of header-extension ids (source's, sink's). MID and
    /// transport-wide sequence numbers do not belong into `extensions`. Entries beyond
    /// [`PAYLOADS_PER_ROUTE`] and [`EXTENSIONS_PER_ROUTE`] are not mapped.
    pub fn new(payloads: &[PayloadMap], extensions: &[(u8, u8)]) -> Self {
        Self {
            payloads: payloads.iter().copied().collect(),
            extensions: extensions.iter().copied().collect(),
            transport_cc: TransportCc::Strip,
        }
    }

    /// The same with transport-wide sequence numbers treated as said.
    #[must_use]
    pub fn with_transport_cc(mut self, transport_cc: TransportCc) -> Self {
        self.transport_cc = transport_cc;
        self
    }

    fn payload(&self, number: u8) -> Option<PayloadMap> {
        self.payloads.iter().find(|payload| payload.from == number).copied()
    }

    fn extension(&self, id: u8) -> Option<u8> {
        match self.transport_cc {
            TransportCc::EndToEnd { from, to } if from == id => Some(to),
            _ => self.extensions.iter().find(|(from, _)| *from == id).map(|(_, to)| *to),
        }
    }

    fn own_transport_cc(&self) -> Option<u8> {
        match self.transport_cc {
            TransportCc::Own { to } => Some(to),
            TransportCc::EndToEnd { .. } | TransportCc::Strip => None,
        }
    }
}

/// As what a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// Media, in its turn or late.
    Media,
    /// A retransmission of the source's (RFC 4588). Its SSRC is held to belong to what feeds the sink
    /// when it is first seen.
    Retransmission,
    /// Media that passed before, which the node retransmits itself.
    Again,
}

/// What a route is told of a packet that is not in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// As what it passes.
    pub passing: Passing,
    /// The next transport-wide sequence number of the sink's transport; for [`TransportCc::Own`].
    pub transport_sequence: Option<u16>,
    /// The time, of the clock that all calls for a route use.
    pub now: Nanos,
}

/// Which of a sink's two SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The media itself.
    Media,
    /// Its retransmissions.
    Rtx,
}

/// The rewrite of one sink and its inverse. Of fixed size.
#[derive(Debug, Clone)]
pub struct Route {
    media: Track,
    /// Apart, since audio has none.
    rtx: Option<Box<Track>>,
    mid: Option<(u8, Mid)>,
    map: RouteMap,
    first_timestamp: u32,
    latest: Option<Latest>,
    /// The numbers of the latest VP8 picture sent.
    picture: Option<Picture>,
}

impl Route {
    /// A route to a sink that nothing feeds yet. The first numbers are control's to draw (RFC 3550
    /// §5.1); sequence numbers best from the lower half (RFC 3711 §3.3.1).
    pub fn new(
        ssrc: u32,
        rtx_ssrc: Option<u32>,
        mid: Option<Mid>,
        mid_extension: Option<u8>,
        first_sequence: u16,
        first_rtx_sequence: u16,
        first_timestamp: u32,
    ) -> Self {
        Self {
            media: Track::new(ssrc, first_sequence),
            rtx: rtx_ssrc.map(|ssrc| Box::new(Track::new(ssrc, first_rtx_sequence))),
            mid: mid_extension.zip(mid),
            map: RouteMap::default(),
            first_timestamp,
            latest: None,
            picture: None,
        }
    }

    /// Changes the source. The next packet continues the sink's numbers; what is asked about the
    /// numbers before it has no answer any more.
    pub fn set_source(&mut self, map: &RouteMap) {
        self.map = map.clone();
        self.media.forget();
        if let Some(rtx) = &mut self.rtx {
            rtx.forget();
        }
    }

    /// Begins anew with the next packet, whatever its SSRC: the source's packets were left out for a
    /// while, or another of its layers follows. From then on a change of SSRC is meant, and never
    /// a late packet.
    pub fn turn(&mut self) {
        self.media.turns = true;
        self.media.chosen = true;
        if let Some(rtx) = &mut self.rtx {
            rtx.chosen = true;
        }
    }

    /// Whether a packet of what fed the sink until a moment ago belongs among what was sent then,
    /// and is late.
    pub fn owes(&self, header: &RtpHeader, now: Nanos) -> bool {
        let Some(current) = self.media.segments.last() else { return false };
        if self.media.turns || now.since(current.began) > OWED.0 {
            return false;
        }
        header.ssrc != current.source_ssrc && self.sent_of(header.ssrc, header.sequence).is_some()
    }

    /// The sink's number of the source's packet `sequence`, if that has passed or was lost among
    /// those that passed.
    pub fn sent_of(&self, source_ssrc: u32, sequence: u16) -> Option<u16> {
        self.media.received_as(source_ssrc, sequence).map(|(_, sequence)| sequence)
    }

    /// Changes how the same source is mapped.
    pub fn set_map(&mut self, map: &RouteMap) {
        self.map = map.clone();
    }

    /// Changes the tag that goes into packets.
    pub fn set_mid(&mut self, mid: Option<Mid>, mid_extension: Option<u8>) {
        self.mid = mid_extension.zip(mid);
    }

    /// Rewrites the decrypted packet at `start..start + len` of `frame` where it lies: SSRC,
    /// payload type, sequence number, timestamp, MID, extension ids, and the original sequence
    /// number of a retransmission, VP8 picture numbers. Media that passes [`Passing::Again`] becomes a
    /// retransmission. A header that grows moves into the head room.
    /// Returns the new start and length.
    ///
    /// # Errors
    /// Nothing was changed in the frame, and the packet is not to be sent, if it is
    /// - of a payload type that is not mapped, or a retransmission that the sink cannot take
    ///   ([`DropReason::CodecUnmapped`]),
    /// - from before the latest change of source, or a retransmission of something that did not
    ///   pass ([`DropReason::SourceOld`]),
    /// - too large for the head room ([`DropReason::RewriteRoom`]),
    /// - malformed behind its fixed header ([`DropReason::RtpMalformed`]).
    pub fn forward(
        &mut self,
        frame: &mut [u8],
        start: usize,
        len: usize,
        header: &RtpHeader,
        passage: Passage,
    ) -> Result<(usize, usize), DropReason> {
        let Passage { passing, now, .. } = passage;
        let malformed = DropReason::RtpMalformed;
        let packet = frame.get(start..).and_then(|rest| rest.get(..len)).ok_or(malformed)?;
        let payload = header.payload(packet)?;
        let payload_map = self.map.payload(header.payload_type).ok_or(DropReason::CodecUnmapped)?;
        if payload_map.retransmits != (passing == Passing::Retransmission) {
            return Err(DropReason::CodecUnmapped);
        }
        let payload_type = match passing {
            Passing::Again => payload_map.again.ok_or(DropReason::CodecUnmapped)?,
            Passing::Media | Passing::Retransmission => payload_map.to,
        };
        let stamp = passage.transport_sequence.map(u16::to_be_bytes);
        let block = self.extensions(packet, header, stamp.as_ref())?;
        let fixed_len = usize::from(header.fixed_len);
        let added = if passing == Passing::Again { rtp::ORIGINAL_SEQUENCE_LEN } else { 0 };
        let payload_start =
            (start + usize::from(header.len)).checked_sub(added).ok_or(DropReason::RewriteRoom)?;
        let new_start = payload_start
            .checked_sub(fixed_len + block.bytes().len())
            .ok_or(DropReason::RewriteRoom)?;

        let numbers = match passing {
            Passing::Media => self.media_numbers(header, payload, payload_map, now)?,
            Passing::Retransmission => self.retransmission_numbers(header, payload, now)?,
            Passing::Again => self.numbers_again(header, payload)?,
        };

        frame.copy_within(start..start + fixed_len, new_start);
        frame[new_start + fixed_len..payload_start].copy_from_slice(block.bytes());
        let extended = if block.bytes().is_empty() { 0 } else { 0x10 };
        let fixed = &mut frame[new_start..][..rtp::FIXED_LEN];
        fixed[0] = fixed[0] & !0x10 | extended;
        fixed[1] = fixed[1] & 0x80 | payload_type & 0x7f;
        fixed[2..4].copy_from_slice(&numbers.sequence.to_be_bytes());
        fixed[4..8].copy_from_slice(&numbers.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&numbers.ssrc.to_be_bytes());
        let payload = &mut frame[payload_start..start + len];
        let mut described = &mut payload[..];
        if let Some(original) = numbers.original_sequence {
            rtp::write_original_sequence(payload, original);
            described = payload.get_mut(rtp::ORIGINAL_SEQUENCE_LEN..).unwrap_or_default();
        }
        if let Codec::Events { from, to } = payload_map.codec {
            rescale_events(described, from, to);
        }
        if payload_map.codec == Codec::Vp8 {
            let picture = numbers.picture_shift.apply(described);
            if numbers.leads {
                self.picture = picture.or(self.picture);
            }
        }
        Ok((new_start, start + len - new_start))
    }

    /// A source's sender information in the sink's numbers; none if it is not about what feeds the
    /// sink, or nothing went yet. The NTP time stays, the counts are the sink's own.
    pub fn forward_sender_info(&self, info: &SenderInfo) -> Option<SenderInfo> {
        let track = self.track_from(info.ssrc)?;
        // Retransmissions have the timestamps of what they repeat (RFC 4588 §4).
        let shift = self.media.segments.last()?.timestamp_shift;
        Some(SenderInfo {
            ssrc: track.ssrc,
            ntp: info.ntp,
            timestamp: info.timestamp.wrapping_add(shift),
            packets: track.packets,
            octets: track.octets,
        })
    }

    /// The sink's SSRC for what the source sends now under `source_ssrc`.
    pub fn forward_ssrc(&self, source_ssrc: u32) -> Option<u32> {
        self.track_from(source_ssrc).map(|track| track.ssrc)
    }

    /// The source's SSRC and number of what the sink sent as `sequence`; none if it was not sent,
    /// was sent before the latest change of source, or too long ago.
    pub fn backward_sequence(&self, kind: Kind, sequence: u16) -> Option<(u32, u16)> {
        let (segment, number) = self.track(kind)?.sent_as(sequence)?;
        Some((segment.source_ssrc, segment.backward(number)))
    }

    /// The source's SSRC and its extended highest sequence number for the one that a report block
    /// about the sink has (RFC 3550 §6.4.1). Cycles count from the source's first packet here, as
    /// they would at a receiver of the source.
    #[allow(clippy::cast_possible_truncation)] // report blocks carry 32 bits
    pub fn backward_extended(&self, kind: Kind, highest: u32) -> Option<(u32, u32)> {
        let (segment, number) = self.track(kind)?.sent_as(highest as u16)?;
        let source_first = u32::from(segment.backward(segment.first));
        let extended = source_first.wrapping_add((number - segment.first) as u32);
        Some((segment.source_ssrc, extended))
    }

    /// The SSRC under which the source feeds `kind` now.
    pub fn backward_ssrc(&self, kind: Kind) -> Option<u32> {
        Some(self.track(kind)?.segments.last()?.source_ssrc)
    }

    /// Every SSRC that [`Route::backward_sequence`] may answer with for `kind`, once each.
    pub fn source_ssrcs(&self, kind: Kind) -> impl Iterator<Item = u32> + '_ {
        let segments = self.track(kind).map_or(&[][..], |track| &track.segments);
        let first_seen = move |at: usize| {
            segments[..at].iter().all(|earlier| earlier.source_ssrc != segments[at].source_ssrc)
        };
        (0..segments.len()).filter(move |&at| first_seen(at)).map(|at| segments[at].source_ssrc)
    }

    /// Whether, and as which, the sink sends under `ssrc`.
    pub fn owns(&self, ssrc: u32) -> Option<Kind> {
        if self.media.ssrc == ssrc {
            return Some(Kind::Media);
        }
        self.rtx.as_ref().filter(|rtx| rtx.ssrc == ssrc).map(|_| Kind::Rtx)
    }

    /// Whether feedback about transport-wide sequence numbers goes back to the source.
    pub fn is_transport_cc_end_to_end(&self) -> bool {
        matches!(self.map.transport_cc, TransportCc::EndToEnd { .. })
    }

    /// Whether the node puts transport-wide numbers of its own into its packets.
    pub fn is_numbered_here(&self) -> bool {
        self.map.own_transport_cc().is_some()
    }

    fn track(&self, kind: Kind) -> Option<&Track> {
        match kind {
            Kind::Media => Some(&self.media),
            Kind::Rtx => self.rtx.as_deref(),
        }
    }

    fn track_from(&self, source_ssrc: u32) -> Option<&Track> {
        let feeds = |track: &&Track| {
            track.segments.last().is_some_and(|segment| segment.source_ssrc == source_ssrc)
        };
        Some(&self.media).filter(feeds).or_else(|| self.rtx.as_deref().filter(feeds))
    }

    fn extensions(
        &self,
        packet: &[u8],
        header: &RtpHeader,
        stamp: Option<&[u8; 2]>,
    ) -> Result<ExtensionBlock, DropReason> {
        let mid = self.mid.as_ref().map(|(id, mid)| Extension { id: *id, data: mid });
        let mid_id = mid.map(|mid| mid.id);
        let own = self.map.own_transport_cc().zip(stamp);
        let own = own.map(|(id, stamp)| Extension { id, data: stamp });
        let mapped = header.extensions(packet).filter_map(|extension| {
            let id = self.map.extension(extension.id).filter(|&id| Some(id) != mid_id)?;
            Some(Extension { id, ..extension })
        });
        ExtensionBlock::new(mid.into_iter().chain(own).chain(mapped))
    }

    fn media_numbers(
        &mut self,
        header: &RtpHeader,
        payload: &[u8],
        map: PayloadMap,
        now: Nanos,
    ) -> Result<Numbers, DropReason> {
        let place = self.media.place(header.ssrc, header.sequence, now)?;
        let segment = &mut self.media.segments[place.segment];
        if place.begins {
            let timestamp = match self.latest {
                Some(latest) => latest.timestamp_at(now, map.clock_rate),
                None => self.first_timestamp,
            };
            segment.timestamp_shift = timestamp.wrapping_sub(header.timestamp);
            if map.codec == Codec::Vp8
                && let Some((latest, first)) = self.picture.zip(pictures::picture_of(payload))
            {
                segment.picture_shift = PictureShift::continuing(latest, first);
            }
        }
        let timestamp = header.timestamp.wrapping_add(segment.timestamp_shift);
        let picture_shift = segment.picture_shift;
        if place.leads {
            self.latest = Some(Latest { timestamp, sent: now });
        }
        self.media.count(payload.len());
        Ok(Numbers {
            ssrc: self.media.ssrc,
            sequence: place.sequence,
            timestamp,
            original_sequence: None,
            picture_shift,
            leads: place.leads,
        })
    }

    fn retransmission_numbers(
        &mut self,
        header: &RtpHeader,
        payload: &[u8],
        now: Nanos,
    ) -> Result<Numbers, DropReason> {
        let rtx = self.rtx.as_mut().ok_or(DropReason::CodecUnmapped)?;
        let current = self.media.segments.last().ok_or(DropReason::SourceOld)?;
        let seen = rtx.segment_of(header.ssrc).map(|at| rtx.segments[at].repeated_ssrc);
        let repeated_ssrc = seen.unwrap_or(current.source_ssrc);
        // Padding to probe the bandwidth has no original (RFC 4588 §4 leaves it open).
        let (original_sequence, repeated) = match rtp::read_original_sequence(payload) {
            Some(original) => {
                let (segment, sequence) =
                    self.media.received_as(repeated_ssrc, original).ok_or(DropReason::SourceOld)?;
                (Some(sequence), *segment)
            }
            None => (None, *current),
        };
        let place = rtx.place(header.ssrc, header.sequence, now)?;
        if place.begins {
            rtx.segments[place.segment].repeated_ssrc = repeated_ssrc;
        }
        rtx.count(payload.len());
        Ok(Numbers {
            ssrc: rtx.ssrc,
            sequence: place.sequence,
            timestamp: header.timestamp.wrapping_add(repeated.timestamp_shift),
            original_sequence,
            picture_shift: repeated.picture_shift,
            leads: false,
        })
    }

    /// The numbers of a retransmission of the node's own, which the sink counts by itself.
    fn numbers_again(&mut self, header: &RtpHeader, payload: &[u8]) -> Result<Numbers, DropReason> {
        let rtx = self.rtx.as_mut().ok_or(DropReason::CodecUnmapped)?;
        let (repeated, original) =
            self.media.received_as(header.ssrc, header.sequence).ok_or(DropReason::SourceOld)?;
        let sequence = rtx.insert();
        rtx.count(payload.len() + rtp::ORIGINAL_SEQUENCE_LEN);
        Ok(Numbers {
            ssrc: rtx.ssrc,
            sequence,
            timestamp: header.timestamp.wrapping_add(repeated.timestamp_shift),
            original_sequence: Some(original),
            picture_shift: repeated.picture_shift,
            leads: false,
        })
    }
}

/// What goes into a rewritten packet.
struct Numbers {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    original_sequence: Option<u16>,
    picture_shift: PictureShift,
    /// Whether it is the newest media packet of all.
    leads: bool,
}

/// The latest packet of a sink.
#[derive(Debug, Clone, Copy)]
struct Latest {
    timestamp: u32,
    sent: Nanos,
}

impl Latest {
    /// What the sink's clock shows `now`; at least one tick later, so that no two frames share a timestamp.
    #[allow(clippy::cast_possible_truncation)] // timestamps wrap
    fn timestamp_at(self, now: Nanos, clock_rate: u32) -> u32 {
        let ticks = u128::from(now.since(self.sent)) * u128::from(clock_rate) / 1_000_000_000;
        self.timestamp.wrapping_add(ticks.max(1) as u32)
    }
}

/// The sequence numbers of one SSRC of a sink.
#[derive(Debug, Clone)]
struct Track {
    ssrc: u32,
    /// The number that a new segment starts with: one past the highest ever sent.
    next: u64,
    /// What lies below was sent for a former segment.
    floor: u64,
    begun: bool,
    segments: ArrayVec<Segment, SEGMENTS_PER_ROUTE>,
    /// The packet that would confirm that the source's numbers start over.
    suspect: Option<(u32, u16)>,
    /// Whether the next packet begins a segment.
    turns: bool,
    /// Whether somebody else decides which SSRC feeds it.
    chosen: bool,
    packets: u32,
    octets: u32,
}

/// A stretch of a sink's numbers that one source SSRC fills.
#[derive(Debug, Clone, Copy)]
struct Segment {
    source_ssrc: u32,
    /// First and last number sent.
    first: u64,
    last: u64,
    /// Sink's number minus source's.
    sequence_shift: u16,
    /// Sink's timestamp minus source's; of a track of media only.
    timestamp_shift: u32,
    /// The source SSRC whose packets this one repeats; of a track of retransmissions only.
    repeated_ssrc: u32,
    /// Sink's VP8 picture numbers minus source's; of a track of media only.
    picture_shift: PictureShift,
    began: Nanos,
}

/// Where a packet goes.
struct Place {
    segment: usize,
    sequence: u16,
    /// Whether it is the first of its segment.
    begins: bool,
    /// Whether it is the newest of all.
    leads: bool,
}

impl Track {
    fn new(ssrc: u32, first_sequence: u16) -> Self {
        Self {
            ssrc,
            next: u64::from(first_sequence),
            floor: 0,
            begun: false,
            segments: ArrayVec::new(),
            suspect: None,
            turns: false,
            chosen: false,
            packets: 0,
            octets: 0,
        }
    }

    fn forget(&mut self) {
        self.segments.clear();
        self.suspect = None;
        self.turns = false;
        self.chosen = false;
    }

    #[allow(clippy::cast_possible_truncation)] // the counters of a report wrap
    fn count(&mut self, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
    }

    /// The number for the source's packet `sequence`, which is accounted for.
    fn place(&mut self, source_ssrc: u32, sequence: u16, now: Nanos) -> Result<Place, DropReason> {
        let old = DropReason::SourceOld;
        let known = self.segment_of(source_ssrc).filter(|_| !self.turns);
        let Some(at) = known else {
            return Ok(self.begin(source_ssrc, sequence, now));
        };
        let number = self.segments[at].forward(sequence);
        if let Some(successor) = self.segments.get(at + 1) {
            return match number {
                Some(number) if self.segments[at].holds(number) => Ok(Place::late(at, number)),
                _ if self.chosen || now.since(successor.began) > SWITCH_BACK.0 => {
                    Ok(self.begin(source_ssrc, sequence, now))
                }
                _ => Err(old),
            };
        }
        let segment = &mut self.segments[at];
        match number {
            Some(number) if number + LATE_MAX >= segment.last => {
                self.suspect = None;
                if number < self.floor {
                    return Err(old);
                }
                let leads = number > segment.last;
                segment.first = segment.first.min(number);
                segment.last = segment.last.max(number);
                self.next = segment.last + 1;
                Ok(Place { leads, ..Place::late(at, number) })
            }
            _ if self.suspect == Some((source_ssrc, sequence)) => {
                Ok(self.begin(source_ssrc, sequence, now))
            }
            _ => {
                self.suspect = Some((source_ssrc, sequence.wrapping_add(1)));
                Err(old)
            }
        }
    }

    #[allow(clippy::cast_possible_truncation)] // packets carry 16 bits
    fn begin(&mut self, source_ssrc: u32, sequence: u16, now: Nanos) -> Place {
        if self.segments.is_full() {
            self.segments.remove(0);
        }
        let number = self.next;
        self.segments.push(Segment {
            source_ssrc,
            first: number,
            last: number,
            sequence_shift: (number as u16).wrapping_sub(sequence),
            timestamp_shift: 0,
            repeated_ssrc: 0,
            picture_shift: PictureShift::default(),
            began: now,
        });
        // Before the very first packet there is room for those that it overtook.
        self.floor = if self.begun { number } else { 0 };
        self.begun = true;
        self.next = number + 1;
        self.suspect = None;
        self.turns = false;
        let segment = self.segments.len() - 1;
        Place { segment, sequence: number as u16, begins: true, leads: true }
    }

    /// A number for a packet that no source has numbered; whatever comes from one begins anew behind
    /// it.
    #[allow(clippy::cast_possible_truncation)] // packets carry 16 bits
    fn insert(&mut self) -> u16 {
        let number = self.next;
        self.next = number + 1;
        self.floor = self.next;
        self.begun = true;
        self.turns = true;
        number as u16
    }

    fn segment_of(&self, source_ssrc: u32) -> Option<usize> {
        self.segments.iter().rposition(|segment| segment.source_ssrc == source_ssrc)
    }

    /// What the source's packet `sequence`, which has passed or was lost among those that passed,
    /// is called at the sink.
    #[allow(clippy::cast_possible_truncation)] // packets carry 16 bits
    fn received_as(&self, source_ssrc: u32, sequence: u16) -> Option<(&Segment, u16)> {
        self.segments.iter().rev().filter(|segment| segment.source_ssrc == source_ssrc).find_map(
            |segment| {
                let number = segment.forward(sequence).filter(|&number| segment.holds(number))?;
                Some((segment, number as u16))
            },
        )
    }

    /// The segment of what the sink sent as `sequence`, and the whole number.
    fn sent_as(&self, sequence: u16) -> Option<(&Segment, u64)> {
        let number = nearest(self.segments.last()?.last, sequence)?;
        let segment = self.segments.iter().rev().find(|segment| segment.holds(number))?;
        Some((segment, number))
    }
}

impl Segment {
    fn forward(&self, sequence: u16) -> Option<u64> {
        nearest(self.last, sequence.wrapping_add(self.sequence_shift))
    }

    #[allow(clippy::cast_possible_truncation)] // packets carry 16 bits
    fn backward(&self, number: u64) -> u16 {
        (number as u16).wrapping_sub(self.sequence_shift)
    }

    fn holds(&self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

impl Place {
    #[allow(clippy::cast_possible_truncation)] // packets carry 16 bits
    fn late(segment: usize, number: u64) -> Self {
        Self { segment, sequence: number as u16, begins: false, leads: false }
    }
}

/// Tells how long the events of a payload have lasted in another clock (RFC 4733 §2.3): of each four
/// bytes the last two.
#[allow(clippy::cast_possible_truncation)] // it is at most the largest that the field holds
fn rescale_events(payload: &mut [u8], from: u8, to: u8) {
    for event in payload.chunks_exact_mut(4) {
        let lasted = u32::from(u16::from_be_bytes([event[2], event[3]]));
        let told = (lasted * u32::from(to)).checked_div(u32::from(from)).unwrap_or(lasted);
        event[2..].copy_from_slice(&(told.min(u32::from(u16::MAX)) as u16).to_be_bytes());
    }
}

/// The number with the low bits `sequence` that is nearest to `to`; none if that is below 0.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // the difference is taken modulo 2^16
fn nearest(to: u64, sequence: u16) -> Option<u64> {
    to.checked_add_signed(i64::from(sequence.wrapping_sub(to as u16) as i16))
}

plain! {
    struct PayloadMap { from, to, clock_rate, retransmits, again, codec }
    enum TransportCc { EndToEnd { from, to } = 0, Strip {} = 1, Own { to } = 2 }
    struct RouteMap { payloads, extensions, transport_cc }
    struct Route { media, rtx, mid, map, first_timestamp, latest, picture }
    struct Latest { timestamp, sent }
    struct Track {
        ssrc, next, floor, begun, segments, suspect, turns, chosen, packets, octets,
    } if |track| {
        track.next < 1 << 56
    };
    struct Segment {
        source_ssrc, first, last, sequence_shift, timestamp_shift, repeated_ssrc,
        picture_shift, began,
    } if |segment| segment.first <= segment.last && segment.last < 1 << 56;
}

#[cfg(test)]
mod tests;
