//! Packets of late, kept to be sent again (RFC 4588).
//!
//! A sender forgets a packet as soon as transport-wide feedback tells it that the packet has come. So
//! where the node itself gives that feedback, or speaks for several receivers, nobody but the node can
//! repeat what one of them misses:
//!
//! ```text
//!  source ──── packet ───►  kept ──── packet ──X   sink
//!         ◄── feedback ──          ◄──  NACK  ────
//!                           found ──── RTX ─────►
//!         ◄──── NACK ─────  not found: it never came
//!         ───── RTX ─────►  kept, as what it repeats ──── packet ────► every sink
//! ```
//!
//! Packets are kept plain and in the source's numbers, once for all sinks, on the worker of the source.
//! All its streams share one log, in which each packet takes the place of the oldest one: nothing is
//! allocated for a stream, and busy streams cannot make it grow.

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use crate::command::{LegId, SinkId, StreamId};
use crate::config::{HEAD_ROOM, PAYLOAD_MAX, REPEATS_LOG, SINKS_PER_STREAM};
use crate::error::DropReason;
use crate::hop::{Hop, HopKind};
use crate::packet::{Nanos, Packet};
use crate::route::Passing;
use crate::rtp::{self, RtpHeader};
use crate::worker::{Media, Worker, plain_len};

/// Names a packet of a worker's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) stream: StreamId,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
}

/// The log of one worker.
pub(crate) struct Repeats {
    /// A slot of [`PAYLOAD_MAX`] bytes each; zero pages that cost nothing before they are used.
    bytes: Box<[u8]>,
    slots: Box<[Option<(Key, u16)>]>,
    places: HashMap<Key, usize, foldhash::fast::RandomState>,
    /// The slot of the oldest packet, which the next one takes.
    next: usize,
}

impl Repeats {
    /// An empty log for [`REPEATS_LOG`] packets.
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; REPEATS_LOG * PAYLOAD_MAX].into(),
            slots: vec![None; REPEATS_LOG].into(),
            // Twice the room, so that clearing tombstones happens in place and never allocates.
            places: HashMap::with_capacity_and_hasher(2 * REPEATS_LOG, Default::default()),
            next: 0,
        }
    }

    /// Keeps a packet in the place of the oldest one; true if it was not kept before.
    pub(crate) fn keep(&mut self, key: Key, packet: &[u8]) -> bool {
        let at = self.next;
        let slot = &mut self.bytes[at * PAYLOAD_MAX..][..PAYLOAD_MAX];
        let Some(bytes) = slot.get_mut(..packet.len()) else { return false };
        if self.places.contains_key(&key) {
            return false;
        }
        if let Some((oldest, _)) = self.slots[at].take() {
            self.places.remove(&oldest);
        }
        self.places.insert(key, at);
        bytes.copy_from_slice(packet);
        self.slots[at] = Some((key, plain_len(packet.len())));
        self.next = (at + 1) % REPEATS_LOG;
        true
    }

    /// The packet that a key names.
    pub(crate) fn find(&self, key: &Key) -> Option<&[u8]> {
        let at = *self.places.get(key)?;
        let (_, len) = self.slots[at]?;
        Some(&self.bytes[at * PAYLOAD_MAX..][..usize::from(len)])
    }
}

impl Worker {
    /// Keeps a packet of `stream`, a retransmission as what it repeats, which the frame holds from then
    /// on. The header of what goes on to the sinks; none if they have had it.
    pub(crate) fn keep(
        &mut self,
        stream: StreamId,
        packet: &mut Packet,
        header: &RtpHeader,
    ) -> Option<RtpHeader> {
        let original = self.stream(stream)?.original_of(header);
        let header = match original {
            Some((payload_type, ssrc)) => {
                let bytes = packet.payload_mut(&mut self.frames);
                let restored = rtp::restore_original(bytes, header, payload_type, ssrc)?;
                packet.start += plain_len(rtp::ORIGINAL_SEQUENCE_LEN);
                packet.len -= plain_len(rtp::ORIGINAL_SEQUENCE_LEN);
                restored
            }
            None => *header,
        };
        let key = Key { stream, ssrc: header.ssrc, sequence: header.sequence };
        let fresh = self.repeats.keep(key, packet.payload(&self.frames));
        (fresh || original.is_none()).then_some(header)
    }

    /// Sends a packet again to the sinks of the leg `to`; whether it is kept.
    pub(crate) fn repeat(&mut self, key: Key, to: LegId, received: Nanos) -> bool {
        if self.repeats.find(&key).is_none() {
            return false;
        }
        let sinks: ArrayVec<SinkId, SINKS_PER_STREAM> = match self.stream(key.stream) {
            Some(stream) => stream.sinks.iter().copied().filter(|sink| sink.leg == to).collect(),
            None => ArrayVec::new(),
        };
        for sink in sinks {
            if let Err(reason) = self.repeat_to(sink, &key, received) {
                self.drop_for(reason);
            }
        }
        true
    }

    fn repeat_to(&mut self, sink: SinkId, key: &Key, received: Nanos) -> Result<(), DropReason> {
        let Some(bytes) = self.repeats.find(key) else { return Ok(()) };
        if sink.leg.worker != self.id {
            let kind = HopKind::Media { sink, passing: Passing::Again, layer: None };
            self.hops.push(Hop::new(kind, received, bytes))?;
            self.counters.hops_out += 1;
            return Ok(());
        }
        let (header, len) = (RtpHeader::parse(bytes)?, bytes.len());
        let frame = self.frames.take().ok_or(DropReason::FramesExhausted)?;
        self.frames.bytes_mut(&frame)[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(bytes);
        let media = Media { start: HEAD_ROOM, len, passing: Passing::Again, layer: None };
        self.land(sink, frame, media, &header, received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::WorkerId;

    fn key(number: usize) -> Key {
        let leg = LegId { worker: WorkerId(0), slot: 0, generation: 0 };
        let (ssrc, sequence) = ((number >> 16) as u32, (number & 0xffff) as u16);
        Key { stream: StreamId { leg, index: 0 }, ssrc, sequence }
    }

    #[test]
    fn the_latest_packets_are_kept_and_the_log_never_grows() {
        let mut repeats = Repeats::new();
        // Not the capacity, which counts tombstones as taken.
        let room = repeats.places.allocation_size();
        for number in 0..5 * REPEATS_LOG {
            let bytes = number.to_be_bytes();
            assert!(repeats.keep(key(number), &bytes));
            assert!(!repeats.keep(key(number), b"again"), "it is there");
            assert_eq!(repeats.find(&key(number)), Some(&bytes[..]));
            let oldest = number.saturating_sub(REPEATS_LOG - 1);
            assert_eq!(repeats.find(&key(oldest)), Some(&oldest.to_be_bytes()[..]));
            assert!(oldest == 0 || repeats.find(&key(oldest - 1)).is_none());
        }
        assert_eq!(repeats.places.allocation_size(), room);
        assert_eq!(repeats.places.len(), REPEATS_LOG);
    }

    #[test]
    fn a_packet_that_no_slot_holds_is_not_kept() {
        let mut repeats = Repeats::new();
        assert!(!repeats.keep(key(1), &[0; PAYLOAD_MAX + 1]));
        assert!(repeats.find(&key(1)).is_none());
        assert!(repeats.keep(key(1), &[0; PAYLOAD_MAX]));
    }
}
