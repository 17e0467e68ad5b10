//! Counters and latency. Each has one writer, its worker; control reads them by swapping boxes
//! ([`crate::command::Command::ReadWorker`], [`crate::command::Command::ReadLeg`]), so that no
//! counter on the packet path is shared between threads.

use hdrhistogram::Histogram;

use crate::command::{SinkId, StreamId, TransportId};
use crate::config::RX_BATCH;
use crate::error::DropReason;
use crate::plain::{Plain, Reader, Shape, Unreadable, Writer, plain, write_len};

/// Number of drop counters.
pub const DROP_REASONS: usize = DropReason::ALL.len();
/// Buckets of a leg's latency: bucket `n` counts 2^n to 2^(n+1) - 1 microseconds, bucket 0 also 0.
pub const LATENCY_BUCKETS: usize = 24;
/// Longest latency that the worker's histogram tells apart, in nanoseconds.
pub const LATENCY_MAX_NS: u64 = 10_000_000_000;

/// Counts per [`DropReason`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drops(pub [u64; DROP_REASONS]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DROP_REASONS])
    }
}

impl Drops {
    /// Counts one drop.
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// Counts `times` drops.
    pub fn add(&mut self, reason: DropReason, times: u64) {
        self.0[reason as usize] += times;
    }

    /// How often `reason` was counted.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All drops.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Counts per [`DropReason`] of one leg's packets. Of the legs there are thousands, so they are short; one that is at
/// its end stays there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegDrops([u32; DROP_REASONS]);

impl Default for LegDrops {
    fn default() -> Self {
        Self([0; DROP_REASONS])
    }
}

impl LegDrops {
    /// Counts one drop.
    pub fn count(&mut self, reason: DropReason) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(1);
    }

    /// The counts as control reads them.
    pub fn reading(&self) -> Drops {
        Drops(self.0.map(u64::from))
    }
}

/// Buckets of [`TurnSizes`]: one for none, and one for each power of two up to [`RX_BATCH`].
pub const TURN_BUCKETS: usize = 2 + RX_BATCH.ilog2() as usize;
const _: () = assert!(RX_BATCH.is_power_of_two(), "the last bucket ends with the largest batch");

/// Turns of a worker's loop by the datagrams that each received: 0, 1, 2, 3 to 4, 5 to 8 and so on up to
/// [`RX_BATCH`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnSizes([u64; TURN_BUCKETS]);

impl TurnSizes {
    /// Counts a turn that received so many, [`RX_BATCH`] at most.
    pub fn count(&mut self, packets: usize) {
        let bucket = match packets {
            0 => 0,
            _ => 1 + packets.next_power_of_two().ilog2() as usize,
        };
        self.0[bucket.min(TURN_BUCKETS - 1)] += 1;
    }

    /// The most datagrams that a bucket counts, and its turns; the smallest bucket first.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let most = |bucket: usize| bucket.checked_sub(1).map_or(0, |power| 1 << power);
        self.0.iter().enumerate().map(move |(bucket, &turns)| (most(bucket), turns))
    }
}

/// What a worker has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// Datagrams received.
    pub packets_in: u64,
    /// Bytes of their payloads.
    pub bytes_in: u64,
    /// Datagrams handed to the kernel.
    pub packets_out: u64,
    /// Bytes of their payloads.
    pub bytes_out: u64,
    /// Those of them that left in one message with others of their size and destination.
    pub packets_joined: u64,
    /// System calls for packets.
    pub system_calls: u64,
    /// Packets dropped, by reason.
    pub drops: Drops,
    /// Loop turns.
    pub turns: u64,
    /// Commands applied or refused.
    pub commands: u64,
    /// Datagrams handed to control.
    pub punts: u64,
    /// Packets handed to another worker.
    pub hops_out: u64,
    /// Packets taken from another worker.
    pub hops_in: u64,
    /// Times that a receive had to be armed again.
    pub rearms: u64,
    /// Times that a receive found no free frame; the packets stay in the socket meanwhile.
    pub starved: u64,
    /// Turns by number of datagrams received.
    pub turn_sizes: TurnSizes,
    /// Legs now.
    pub legs: u64,
    /// Sockets now.
    pub sockets: u64,
    /// TCP streams now, of the edge.
    pub streams: u64,
    /// Allocations now.
    pub allocations: u64,
    /// Frames not in use now.
    pub frames_free: u64,
}

/// What [`crate::command::Command::ReadWorker`] fills in.
#[derive(Debug, Clone)]
pub struct WorkerReading {
    /// Totals since start.
    pub counters: WorkerCounters,
    /// Latency in nanoseconds of the packets sent since the previous reading: from the kernel's
    /// receive time stamp to the clock read after submit.
    pub latency: Histogram<u64>,
}

impl WorkerReading {
    /// An empty one to be filled in.
    ///
    /// # Panics
    /// Never: the bounds are constants that the histogram accepts.
    pub fn new() -> Self {
        let latency = Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, 2)
            .expect("constant bounds are legal");
        Self { counters: WorkerCounters::default(), latency }
    }
}

impl Default for WorkerReading {
    fn default() -> Self {
        Self::new()
    }
}

/// Log2 latency of one leg's packets, from it to all of its sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyBuckets(pub [u32; LATENCY_BUCKETS]);

impl Default for LatencyBuckets {
    fn default() -> Self {
        Self([0; LATENCY_BUCKETS])
    }
}

impl LatencyBuckets {
    /// Counts one packet that took `ns` nanoseconds.
    pub fn record(&mut self, ns: u64) {
        let us = (ns / 1_000).max(1);
        let bucket = (us.ilog2() as usize).min(LATENCY_BUCKETS - 1);
        self.0[bucket] = self.0[bucket].saturating_add(1);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Upper bound in microseconds of the bucket that holds the quantile `q` (0 to 1); 0 if empty.
    pub fn quantile_us(&self, q: f64) -> u64 {
        let total: u64 = self.0.iter().map(|&n| u64::from(n)).sum();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let rank = (q.clamp(0.0, 1.0) * total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, &count) in self.0.iter().enumerate() {
            seen += u64::from(count);
            if count > 0 && seen >= rank {
                return (2u64 << bucket) - 1;
            }
        }
        0
    }
}

/// One stream's or sink's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaCounters {
    /// SSRC of the media, 0 while unknown.
    pub ssrc: u32,
    /// Media packets, retransmissions aside.
    pub packets: u64,
    /// Payload bytes of them, headers and padding aside as far as they are visible.
    pub bytes: u64,
    /// Retransmissions.
    pub rtx_packets: u64,
    /// Packets that the sequence numbers miss (streams only).
    pub lost: u64,
    /// Interarrival jitter in timestamp units (RFC 3550 §6.4.1; streams only).
    pub jitter: u32,
    /// Ticks per second of the jitter.
    pub clock_rate: u32,
    /// NACKed packets asked for by the far side (sinks) or passed on to it (streams).
    pub nacks: u64,
    /// Key frame requests: received (sinks) or passed on (streams).
    pub plis: u64,
    /// The layer that goes out, by its place in [`crate::command::StreamSpec::rids`] (sinks only).
    pub layer: Option<u8>,
    /// Payload type of the latest packet, retransmissions aside (streams only).
    pub payload_type: Option<u8>,
    /// Packets of layers that were not selected, or of a sink that is off (sinks only). They are no
    /// drops: nobody misses them.
    pub skipped: u64,
}

/// One simulcast layer's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerCounters {
    /// Its place in [`crate::command::StreamSpec::rids`].
    pub layer: u8,
    /// SSRC of its media, 0 while unknown.
    pub ssrc: u32,
    /// Media packets, retransmissions aside.
    pub packets: u64,
    /// Payload bytes of them.
    pub bytes: u64,
    /// Bits per second of late; 0 if nothing comes.
    pub bitrate: u32,
}

/// One transport's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransportCounters {
    /// Datagrams received from its pairs.
    pub packets_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Where it sends to.
    pub remote: Option<std::net::SocketAddr>,
    /// STUN checks answered.
    pub checks: u64,
    /// Whether keys are installed.
    pub keyed: bool,
    /// Datagrams on its own socket from addresses that it does not take to be its far side's, candidates
    /// included ([`crate::learning::Learning`]).
    pub strangers: u64,
    /// Milliseconds since the latest packet that was accepted; none before the first.
    pub heard_ago_ms: Option<u64>,
    /// What its path is held to carry, in bits per second; none where nothing estimates it.
    pub bandwidth: Option<u32>,
}

/// What [`crate::command::Command::ReadLeg`] fills in.
#[derive(Debug, Clone, Default)]
pub struct LegReading {
    /// Transports, in their order.
    pub transports: Vec<(TransportId, TransportCounters)>,
    /// What the leg sends.
    pub streams: Vec<(StreamId, MediaCounters)>,
    /// Layers of the simulcast streams among them.
    pub layers: Vec<(StreamId, LayerCounters)>,
    /// What the leg gets.
    pub sinks: Vec<(SinkId, MediaCounters)>,
    /// Packets from this leg that were dropped.
    pub drops: Drops,
    /// Latency of packets from this leg.
    pub latency: LatencyBuckets,
}

impl LegReading {
    /// One with room for the largest leg, so that filling it in does not allocate.
    pub fn new() -> Self {
        use crate::config::{
            LAYERS_PER_STREAM, SINKS_PER_LEG, STREAMS_PER_LEG, TRANSPORTS_PER_LEG,
        };
        Self {
            transports: Vec::with_capacity(TRANSPORTS_PER_LEG),
            streams: Vec::with_capacity(STREAMS_PER_LEG),
            layers: Vec::with_capacity(STREAMS_PER_LEG * LAYERS_PER_STREAM),
            sinks: Vec::with_capacity(SINKS_PER_LEG),
            ..Self::default()
        }
    }

    /// One with room for the largest leg that has neither sinks nor layers: one whose streams pass as they come.
    pub fn without_sinks() -> Self {
        use crate::config::{STREAMS_PER_LEG, TRANSPORTS_PER_LEG};
        Self {
            transports: Vec::with_capacity(TRANSPORTS_PER_LEG),
            streams: Vec::with_capacity(STREAMS_PER_LEG),
            ..Self::default()
        }
    }
}

/// By label, since each release knows more reasons than the one before.
impl Plain for Drops {
    fn write(&self, to: &mut Writer) {
        let counted = DropReason::ALL.iter().filter(|reason| self.of(**reason) > 0);
        write_len(counted.clone().count(), to);
        for reason in counted {
            to.put_text(reason.label());
            self.of(*reason).write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut read = Self::default();
        for _ in 0..from.len(usize::from(u8::MAX))? {
            let (label, times) = (from.text()?, u64::read(from)?);
            if let Some(reason) = DropReason::ALL.iter().find(|reason| reason.label() == label) {
                read.0[*reason as usize] = times;
            }
        }
        Ok(read)
    }

    fn shape(of: &mut Shape) {
        of.name("Drops");
    }
}

impl Plain for LegDrops {
    fn write(&self, to: &mut Writer) {
        self.reading().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let counts = Drops::read(from)?.0;
        Ok(Self(counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX))))
    }

    fn shape(of: &mut Shape) {
        Drops::shape(of);
    }
}

plain! {
    tuple LatencyBuckets;
    struct MediaCounters {
        ssrc, packets, bytes, rtx_packets, lost, jitter, clock_rate, nacks, plis, layer,
        payload_type, skipped,
    }
    struct TransportCounters {
        packets_in, bytes_in, packets_out, bytes_out, remote, checks, keyed, strangers,
        heard_ago_ms, bandwidth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_up_to_powers_of_two_and_no_turn_is_left_out() {
        let mut sizes = TurnSizes::default();
        for packets in 0..=RX_BATCH {
            sizes.count(packets);
        }
        let buckets: Vec<_> = sizes.buckets().collect();
        assert_eq!(buckets[..5], [(0, 1), (1, 1), (2, 1), (4, 2), (8, 4)]);
        assert_eq!(buckets.last(), Some(&(RX_BATCH as u64, RX_BATCH as u64 / 2)));
    }
}
