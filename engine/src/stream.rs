//! What a leg sends ([`Stream`]) and what the node sends to a leg ([`Sink`]).

use arrayvec::ArrayVec;

use crate::command::{MediaKind, Mid, PayloadType, SinkId, SinkSpec, Source, StreamSpec};
use crate::config::{PAYLOAD_TYPES_PER_STREAM, SINKS_PER_STREAM, SSRCS_PER_STREAM};
use crate::export::plain::plain;
use crate::packet::Nanos;
use crate::route::Route;
use crate::rtp::RtpHeader;
use crate::stats::MediaCounters;

/// Shortest time between two key frame requests to one source: more would cost the sender more
/// than the picture gains, and its answer takes a round trip anyway.
const KEY_FRAME_INTERVAL: Nanos = Nanos::from_millis(200);

/// An SSRC that a leg uses for a stream, and whether it carries retransmissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sender {
    ssrc: u32,
    retransmits: bool,
}

/// One m-line's media from a leg.
#[derive(Debug)]
pub struct Stream {
    pub(crate) kind: MediaKind,
    pub(crate) transport: u8,
    pub(crate) rtcp_transport: u8,
    pub(crate) paused: bool,
    pub(crate) sinks: ArrayVec<SinkId, SINKS_PER_STREAM>,
    pub(crate) counters: MediaCounters,
    mid: Option<Mid>,
    mid_extension: Option<u8>,
    senders: ArrayVec<Sender, SSRCS_PER_STREAM>,
    payload_types: ArrayVec<PayloadType, PAYLOAD_TYPES_PER_STREAM>,
    reception: Reception,
    key_frame_asked: Nanos,
    key_frame_wanted: bool,
}

impl Stream {
    /// Makes it from plain data; SSRCs and payload types beyond the limits are left out, the
    /// packets they would have named are then dropped as [`crate::error::DropReason::StreamUnknown`].
    pub fn new(spec: &StreamSpec) -> Self {
        let mut senders = ArrayVec::new();
        for &(ssrc, rtx) in &spec.ssrcs {
            let named = [Some((ssrc, false)), rtx.map(|rtx| (rtx, true))];
            for (ssrc, retransmits) in named.into_iter().flatten() {
                let _ = senders.try_push(Sender { ssrc, retransmits });
            }
        }
        Self {
            kind: spec.kind,
            transport: spec.transport,
            rtcp_transport: spec.rtcp_transport,
            paused: spec.paused,
            sinks: ArrayVec::new(),
            counters: MediaCounters::default(),
            mid: spec.mid.clone(),
            mid_extension: spec.mid_extension,
            senders,
            payload_types: spec
                .payload_types
                .iter()
                .copied()
                .take(PAYLOAD_TYPES_PER_STREAM)
                .collect(),
            reception: Reception::default(),
            key_frame_asked: Nanos(0),
            key_frame_wanted: false,
        }
    }

    /// Takes over what a renegotiated description does not change.
    pub(crate) fn inherit(&mut self, old: &mut Self) {
        self.sinks = std::mem::take(&mut old.sinks);
        self.counters = old.counters;
        self.reception = old.reception;
        self.key_frame_asked = old.key_frame_asked;
        self.key_frame_wanted |= old.key_frame_wanted;
        for sender in &old.senders {
            if !self.senders.iter().any(|s| s.ssrc == sender.ssrc) {
                let _ = self.senders.try_push(*sender);
            }
        }
    }

    /// Whether `ssrc` is known to be this stream's; if so, whether it carries retransmissions.
    pub(crate) fn owns(&self, ssrc: u32) -> Option<bool> {
        self.senders.iter().find(|s| s.ssrc == ssrc).map(|s| s.retransmits)
    }

    /// Whether an authenticated packet with an unknown SSRC is this stream's, by MID first (RFC 8843
    /// §9.2), by payload type else. Learns the SSRC if so.
    pub(crate) fn claims(&mut self, packet: &[u8], header: &RtpHeader, by_mid: bool) -> bool {
        let Some(payload_type) = self.payload_type(header.payload_type) else { return false };
        if by_mid {
            let (Some(mid), Some(id)) = (&self.mid, self.mid_extension) else { return false };
            if header.read_mid(packet, id) != Some(mid.as_slice()) {
                return false;
            }
        }
        let sender = Sender { ssrc: header.ssrc, retransmits: payload_type.retransmits.is_some() };
        if self.senders.is_full() {
            self.senders.remove(0);
        }
        self.senders.push(sender);
        true
    }

    fn payload_type(&self, number: u8) -> Option<PayloadType> {
        self.payload_types.iter().copied().find(|p| p.number == number)
    }

    /// Counts an accepted packet. `payload_len` is without header.
    pub(crate) fn receive(&mut self, header: &RtpHeader, payload_len: usize, now: Nanos) {
        let Some(payload_type) = self.payload_type(header.payload_type) else { return };
        if payload_type.retransmits.is_some() {
            self.counters.rtx_packets += 1;
            return;
        }
        self.counters.ssrc = header.ssrc;
        self.counters.clock_rate = payload_type.clock_rate;
        self.counters.packets += 1;
        self.counters.bytes += payload_len as u64;
        self.reception.take(header, payload_type.clock_rate, now);
        self.counters.lost = self.reception.lost();
        self.counters.jitter = self.reception.jitter >> 4;
    }

    /// The SSRC of its media, once known.
    pub(crate) fn media_ssrc(&self) -> Option<u32> {
        match self.counters.ssrc {
            0 => self.senders.iter().find(|s| !s.retransmits).map(|s| s.ssrc),
            ssrc => Some(ssrc),
        }
    }

    /// Notes that a key frame is wanted; it is asked for at the next turn that may.
    pub(crate) fn want_key_frame(&mut self) {
        self.key_frame_wanted = self.kind == MediaKind::Video;
    }

    /// Whether a key frame is still to be asked for.
    pub(crate) fn wants_key_frame(&self) -> bool {
        self.key_frame_wanted
    }

    /// The SSRC to ask for a key frame if one is wanted, known and not asked for a moment ago.
    pub(crate) fn key_frame_due(&mut self, now: Nanos) -> Option<u32> {
        if !self.key_frame_wanted {
            return None;
        }
        if self.key_frame_asked != Nanos(0)
            && now.since(self.key_frame_asked) < KEY_FRAME_INTERVAL.0
        {
            return None;
        }
        let ssrc = self.media_ssrc()?;
        self.key_frame_wanted = false;
        self.key_frame_asked = now;
        self.counters.plis += 1;
        Some(ssrc)
    }
}

/// Loss and jitter of one SSRC as RFC 3550 §A.3 and §A.8 count them.
#[derive(Debug, Clone, Copy, Default)]
struct Reception {
    started: bool,
    ssrc: u32,
    base: u64,
    highest: u64,
    received: u64,
    lost_before: u64,
    timestamp: u32,
    clock_rate: u32,
    transit: i64,
    jitter: u32,
}

impl Reception {
    fn take(&mut self, header: &RtpHeader, clock_rate: u32, now: Nanos) {
        if !self.started || self.ssrc != header.ssrc {
            let lost_before = self.lost();
            let first = u64::from(header.sequence) + 0x1_0000;
            *self = Self {
                started: true,
                ssrc: header.ssrc,
                base: first,
                highest: first,
                lost_before,
                ..Self::default()
            };
        }
        let step = header.sequence.wrapping_sub((self.highest & 0xffff) as u16).cast_signed();
        if step > 0 {
            self.highest += u64::from(step.unsigned_abs());
        }
        self.received += 1;
        self.note_jitter(header.timestamp, clock_rate, now);
    }

    /// RFC 3550 §A.8, in units of 1/16 timestamp tick. Packets of one frame or one telephone event
    /// share a timestamp and say nothing; another clock starts anew.
    fn note_jitter(&mut self, timestamp: u32, clock_rate: u32, now: Nanos) {
        let same_clock = self.clock_rate == clock_rate;
        if same_clock && self.timestamp == timestamp {
            return;
        }
        let transit = transit(timestamp, clock_rate, now);
        let difference = (transit - self.transit).unsigned_abs().min(1 << 24) as u32;
        (self.timestamp, self.clock_rate, self.transit) = (timestamp, clock_rate, transit);
        if !same_clock {
            return;
        }
        self.jitter = self.jitter.saturating_add(difference) - ((self.jitter + 8) >> 4);
    }

    fn lost(&self) -> u64 {
        if !self.started {
            return 0;
        }
        self.lost_before + (self.highest - self.base + 1).saturating_sub(self.received)
    }
}

fn transit(timestamp: u32, clock_rate: u32, now: Nanos) -> i64 {
    let ticks = u128::from(now.0) * u128::from(clock_rate) / 1_000_000_000;
    i64::from((ticks as u32).wrapping_sub(timestamp).cast_signed())
}

/// One m-line's media to a leg, in the node's own name.
#[derive(Debug)]
pub struct Sink {
    pub(crate) transport: u8,
    pub(crate) rtcp_transport: u8,
    pub(crate) cname: String,
    pub(crate) source: Option<Box<Source>>,
    pub(crate) route: Route,
    pub(crate) counters: MediaCounters,
}

/// Where a sink's numbers start. Random (RFC 3550 §5.1), drawn by control.
#[derive(Debug, Clone, Copy)]
pub struct FirstNumbers {
    /// First sequence number of media.
    pub sequence: u16,
    /// First sequence number of retransmissions.
    pub rtx_sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
}

impl Sink {
    /// Makes it from plain data.
    pub fn new(spec: &SinkSpec, first: FirstNumbers) -> Self {
        Self {
            transport: spec.transport,
            rtcp_transport: spec.rtcp_transport,
            cname: spec.cname.clone(),
            source: None,
            route: Route::new(
                spec.ssrc,
                spec.rtx_ssrc,
                spec.mid.clone(),
                spec.mid_extension,
                first.sequence,
                first.rtx_sequence,
                first.timestamp,
            ),
            counters: MediaCounters { ssrc: spec.ssrc, ..MediaCounters::default() },
        }
    }

    /// Counts a packet that went out.
    pub(crate) fn count(&mut self, payload_len: usize, retransmission: bool) {
        if retransmission {
            self.counters.rtx_packets += 1;
        } else {
            self.counters.packets += 1;
            self.counters.bytes += payload_len as u64;
        }
    }
}

plain! {
    struct Sender { ssrc, retransmits }
    struct Stream {
        kind, transport, rtcp_transport, paused, sinks, counters, mid, mid_extension, senders,
        payload_types, reception, key_frame_asked, key_frame_wanted,
    }
    struct Reception {
        started, ssrc, base, highest, received, lost_before, timestamp, clock_rate, transit, jitter,
    } if |it| {
        it.base <= it.highest && it.highest.max(it.received).max(it.lost_before) < 1 << 56
            && it.jitter < 1 << 30
    };
    struct Sink { transport, rtcp_transport, cname, source, route, counters }
}
