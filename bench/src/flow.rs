//! One stream of packets that a leg sends.

use std::time::Instant;

use causeway_control::api::Media;
use causeway_engine::rtcp::SenderInfo;

use crate::payload::{self, Stamp};
use crate::plan::Stream;

/// A stream on its way out.
#[derive(Debug)]
pub struct Flow {
    /// What and how much.
    pub stream: Stream,
    /// What its payloads call it, unique in the run.
    pub id: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// When its next burst is due.
    pub next: Instant,
    payload_type: u8,
    /// The header extension block: the MID.
    extensions: Vec<u8>,
    sequence: u16,
    timestamp: u32,
    packets: u32,
    octets: u32,
    counted: u32,
}

impl Flow {
    /// A stream that starts at `next`. Its MID goes out under `mid`'s id, if there is one.
    pub fn new(
        stream: Stream,
        id: u32,
        payload_type: u8,
        mid: Option<(u8, &str)>,
        next: Instant,
    ) -> Self {
        let ssrc = ssrc(id);
        let extensions = mid.map(|(id, mid)| mid_extension(id, mid)).unwrap_or_default();
        Self {
            stream,
            id,
            ssrc,
            next,
            payload_type,
            extensions,
            // Low enough that the first packets cannot wrap, whose index a receiver has to guess.
            sequence: (ssrc & 0x3fff) as u16,
            timestamp: ssrc.wrapping_mul(7),
            packets: 0,
            octets: 0,
            counted: 0,
        }
    }

    /// Writes the next packet of a burst into `out` and returns its length. One that is not
    /// `counted` only asks whether the way is open.
    pub fn write(&mut self, out: &mut [u8], last: bool, counted: bool, sent: u64) -> usize {
        let extended = !self.extensions.is_empty();
        out[0] = 0x80 | u8::from(extended) << 4;
        let marker = last && self.stream.media == Media::Video;
        out[1] = self.payload_type | u8::from(marker) << 7;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let start = FIXED_LEN + self.extensions.len();
        out[FIXED_LEN..start].copy_from_slice(&self.extensions);
        let len = start + self.stream.payload;
        self.counted += u32::from(counted);
        let sequence = if counted { self.counted } else { 0 };
        let stamp = Stamp { stream: self.id, sequence, sent };
        payload::write(self.stream.media, stamp, &mut out[start..len]);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(self.stream.payload as u32);
        len
    }

    /// Goes on to the next burst.
    pub fn advance(&mut self) {
        self.next += self.stream.every;
        self.timestamp = self.timestamp.wrapping_add(self.stream.ticks);
    }

    /// Packets that count.
    pub fn counted(&self) -> u64 {
        self.counted.into()
    }

    /// What a sender report says; `ntp` is now.
    pub fn info(&self, ntp: u64) -> SenderInfo {
        SenderInfo {
            ssrc: self.ssrc,
            ntp,
            timestamp: self.timestamp,
            packets: self.packets,
            octets: self.octets,
        }
    }
}

/// The source that a stream with this id is sent as.
pub fn ssrc(id: u32) -> u32 {
    id.wrapping_mul(0x9e37_79b1) | 2
}

/// A block with the MID in the one-byte form (RFC 8285 §4.2, RFC 8843 §15.1).
fn mid_extension(id: u8, mid: &str) -> Vec<u8> {
    let len = mid.len().clamp(1, 16);
    let mut block = vec![0xbe, 0xde, 0, (len + 1).div_ceil(4) as u8, id << 4 | (len - 1) as u8];
    block.extend(&mid.as_bytes()[..len.min(mid.len())]);
    block.resize(block.len().next_multiple_of(4), 0);
    block
}

const FIXED_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use causeway_engine::rtp::RtpHeader;

    use super::*;

    fn flow() -> Flow {
        let every = Duration::from_millis(33);
        let stream = Stream { media: Media::Video, every, burst: 2, payload: 100, ticks: 3000 };
        Flow::new(stream, 5, 96, Some((4, "12")), Instant::now())
    }

    #[test]
    fn packets_of_a_frame_share_a_timestamp_and_end_with_the_marker() {
        let (mut flow, mut out) = (flow(), [0; 1500]);
        let headers = [false, true].map(|last| {
            let len = flow.write(&mut out, last, true, 1);
            RtpHeader::parse(&out[..len]).unwrap()
        });
        flow.advance();
        let len = flow.write(&mut out, false, true, 1);
        let next = RtpHeader::parse(&out[..len]).unwrap();
        assert_eq!((headers[0].marker, headers[1].marker, next.marker), (false, true, false));
        assert_eq!(headers[0].timestamp, headers[1].timestamp);
        assert_eq!(next.timestamp, headers[0].timestamp + 3000);
        assert_eq!(next.sequence, headers[0].sequence + 2);
        assert_eq!((next.payload_type, next.ssrc), (96, ssrc(5)));
    }

    #[test]
    fn only_counted_packets_are_numbered() {
        let (mut flow, mut out) = (flow(), [0; 1500]);
        let numbers = [false, true, true].map(|counted| {
            let len = flow.write(&mut out, true, counted, 9);
            let header = RtpHeader::parse(&out[..len]).unwrap();
            assert_eq!(header.read_mid(&out[..len], 4), Some(&b"12"[..]));
            payload::read(header.payload(&out[..len]).unwrap()).unwrap().sequence
        });
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(flow.counted(), 2);
    }
}
