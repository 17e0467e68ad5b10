//! What shares a transport: all m-lines of a browser's leg (RFC 8843), one m-line of a phone's.

use std::time::Instant;

use causeway_control::api::Media;
use causeway_engine::error::DropReason;
use causeway_engine::packet::Nanos;
use causeway_engine::rtcp::{ReportBlock, Writer};
use serde::Serialize;

use crate::arrivals::Arrivals;
use crate::flow::Flow;
use crate::payload;
use crate::transport::Transport;

/// A bundle: its transport, what it sends and what has come.
pub struct Bundle {
    /// Its way to the node.
    pub transport: Transport,
    /// What it sends.
    pub flows: Vec<Flow>,
    /// What it is to receive.
    pub incoming: Vec<Incoming>,
    /// What it should not have received.
    pub faults: Faults,
    /// Whether media can be sent.
    pub secured: bool,
    /// When its transport is looked after next.
    pub tend_at: Option<Instant>,
    /// Datagrams that its own socket had no room for, known once that is closed.
    pub socket_drops: Option<u64>,
}

/// A stream that comes in.
#[derive(Debug)]
pub struct Incoming {
    /// What its payloads call it.
    pub id: u32,
    /// What it is.
    pub media: Media,
    /// What has come.
    pub arrivals: Arrivals,
    /// Whether anything has come.
    pub heard: bool,
    ssrc: u32,
    /// The highest RTP sequence number, cycles in the upper half.
    highest: u32,
}

/// What a bundle should never see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Authentic packets whose payload is not as it was sent.
    pub corrupt: u64,
    /// Whole packets of a stream that is not for this bundle.
    pub misrouted: u64,
    /// Packets that did not authenticate or cannot be read.
    pub unreadable: u64,
    /// Packets that SRTP has seen before, or cannot tell from such. Networks do that.
    pub replayed: u64,
}

impl Faults {
    /// Those that no network makes.
    pub fn wrong(&self) -> u64 {
        self.corrupt + self.misrouted + self.unreadable
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            corrupt: self.corrupt + other.corrupt,
            misrouted: self.misrouted + other.misrouted,
            unreadable: self.unreadable + other.unreadable,
            replayed: self.replayed + other.replayed,
        }
    }

    fn refuse(&mut self, reason: DropReason) {
        match reason {
            DropReason::SrtpReplayed | DropReason::SrtpOld => self.replayed += 1,
            _ => self.unreadable += 1,
        }
    }
}

/// An RTP packet that belongs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Microseconds on its way.
    pub latency: u64,
    /// Whether it counts; else it showed that the way is open.
    pub counted: bool,
    /// Whether it is the first of its stream.
    pub first: bool,
}

impl Incoming {
    /// A stream of which nothing has come.
    pub fn new(id: u32, media: Media) -> Self {
        Self { id, media, arrivals: Arrivals::default(), heard: false, ssrc: 0, highest: 0 }
    }

    fn note_header(&mut self, ssrc: u32, sequence: u16) {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if !self.heard || self.ssrc != ssrc {
            (self.ssrc, self.highest) = (ssrc, sequence.into());
        } else if ahead < 0x8000 {
            self.highest = self.highest.wrapping_add(ahead.into());
        }
    }

    fn report(&self) -> ReportBlock {
        ReportBlock { ssrc: self.ssrc, highest_sequence: self.highest, ..ReportBlock::default() }
    }
}

impl Bundle {
    /// A bundle that has started to connect.
    pub fn new(transport: Transport, flows: Vec<Flow>, incoming: Vec<Incoming>) -> Self {
        Self {
            transport,
            flows,
            incoming,
            faults: Faults::default(),
            secured: false,
            tend_at: None,
            socket_drops: None,
        }
    }

    /// Takes an RTP packet that the kernel received at `at`, of the wall clock.
    pub fn receive(&mut self, packet: &mut [u8], at: Nanos) -> Option<Heard> {
        let unprotected = self.transport.unprotect_rtp(packet);
        let (header, len) = unprotected.map_err(|reason| self.faults.refuse(reason)).ok()?;
        let Some(stamp) = header.payload(&packet[..len]).ok().and_then(payload::read) else {
            self.faults.corrupt += 1;
            return None;
        };
        let Some(incoming) = self.incoming.iter_mut().find(|known| known.id == stamp.stream) else {
            self.faults.misrouted += 1;
            return None;
        };
        incoming.note_header(header.ssrc, header.sequence);
        let first = !std::mem::replace(&mut incoming.heard, true);
        let counted = stamp.sequence > 0;
        if counted {
            incoming.arrivals.note(stamp.sequence, at.0);
        }
        Some(Heard { latency: at.0.saturating_sub(stamp.sent) / 1000, counted, first })
    }

    /// Takes an RTCP packet: whether it is authentic is all that is looked at.
    pub fn receive_reports(&mut self, packet: &mut [u8]) {
        if let Err(reason) = self.transport.unprotect_rtcp(packet) {
            self.faults.refuse(reason);
        }
    }

    /// Writes and protects its reports: what it has sent and what it has received.
    pub fn write_reports(&mut self, out: &mut [u8], wall: Nanos) -> Option<usize> {
        let mut writer = Writer::new(&mut out[..REPORTS_MAX]);
        let blocks: Vec<_> =
            self.incoming.iter().filter(|known| known.heard).map(Incoming::report).collect();
        for (place, flow) in self.flows.iter().enumerate() {
            writer.sender_report(&flow.info(ntp(wall))).ok()?;
            if let Some(block) = blocks.get(place) {
                writer.receiver_report(flow.ssrc, &[*block]).ok()?;
            }
        }
        for flow in &self.flows {
            writer.sdes(flow.ssrc, b"load").ok()?;
        }
        let len = writer.len();
        self.transport.protect_rtcp(out, len)
    }

    /// Whether something of each stream has come.
    pub fn hears_all(&self) -> bool {
        self.incoming.iter().all(|known| known.heard)
    }
}

/// The NTP time of a moment of the wall clock (RFC 3550 §4).
fn ntp(wall: Nanos) -> u64 {
    let seconds = wall.0 / NANOS + SECONDS_1900_TO_1970;
    (seconds << 32) | (((wall.0 % NANOS) << 32) / NANOS)
}

/// Bytes of a bundle's reports, most: two streams take 168.
const REPORTS_MAX: usize = 512;
const NANOS: u64 = 1_000_000_000;
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_is_half_of_the_lower_word() {
        let half = ntp(Nanos(NANOS / 2));
        assert_eq!(half, SECONDS_1900_TO_1970 << 32 | 1 << 31);
    }

    #[test]
    fn the_highest_number_counts_cycles_and_ignores_latecomers() {
        let mut incoming = Incoming::new(1, Media::Audio);
        for sequence in [65_534, 65_535, 1, 0, 2] {
            incoming.note_header(7, sequence);
            incoming.heard = true;
        }
        assert_eq!(incoming.report().highest_sequence, 0x1_0002);
    }
}
