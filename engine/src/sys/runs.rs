//! Runs: packets of one size to one destination, which leave together.
//!
//! A frame of video is a burst of such packets, and the kernel takes a run as one message (`UDP_SEGMENT`): it walks
//! its stack once and cuts the run up at the end, in the network card where that can. The last packet of a run may be
//! shorter. Packets to one destination keep their order; between destinations there is none to keep.

use std::hash::BuildHasher;
use std::net::SocketAddr;

use arrayvec::ArrayVec;
use foldhash::fast::FixedState;

use crate::command::SocketId;
use crate::config::{SAFE_PAYLOAD, TX_BATCH};
use crate::packet::Packet;

/// Packets of a run, most: what kernel 6.1 takes.
const PACKETS: u16 = 64;
/// Bytes of a run, most: what IPv4 and UDP leave of 64 KiB.
const BYTES: usize = 65_507;
/// Destinations that are remembered at a time (a power of two). When two share a place, runs are shorter.
const PLACES: usize = 64;
/// No run, no packet.
const NONE: u16 = u16::MAX;

const _: () = assert!(PLACES.is_power_of_two() && TX_BATCH < NONE as usize);

/// The runs of a batch.
#[derive(Debug)]
pub(super) struct Runs {
    all: ArrayVec<Run, TX_BATCH>,
    /// The packet that follows each in its run.
    next: ArrayVec<u16, TX_BATCH>,
    /// The latest run to a destination, by its hash.
    latest: [u16; PLACES],
    hasher: FixedState,
}

/// Packets that leave together, by their places in the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The first.
    first: u16,
    last: u16,
    /// How many.
    pub(super) packets: u16,
    bytes: usize,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self {
            all: ArrayVec::new(),
            next: ArrayVec::new(),
            latest: [NONE; PLACES],
            hasher: FixedState::default(),
        }
    }

    /// Finds the runs of `batch`, in the order of their first packets; each packet by itself unless it `may` be
    /// joined to another.
    pub(super) fn find(&mut self, batch: &[Packet], may: bool) {
        self.all.clear();
        self.next.clear();
        self.latest = [NONE; PLACES];
        for (place, packet) in (0..).zip(batch) {
            self.next.push(NONE);
            let slot = self.hasher.hash_one((packet.socket.0, port_of(packet.remote))) as usize;
            let slot = slot % PLACES;
            let latest = self.all.get_mut(usize::from(self.latest[slot]));
            if let Some(run) = latest.filter(|run| may && run.takes(packet, batch)) {
                self.next[usize::from(run.last)] = place;
                (run.last, run.packets) = (place, run.packets + 1);
                run.bytes += usize::from(packet.len);
                continue;
            }
            self.latest[slot] = self.all.len() as u16;
            let bytes = usize::from(packet.len);
            self.all.push(Run { first: place, last: place, packets: 1, bytes });
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a run has more than one packet.
    pub(super) fn has_long(&self) -> bool {
        self.all.len() < self.next.len()
    }

    /// Packets that leave with others.
    pub(super) fn joined(&self) -> u64 {
        if self.has_long() { self.all.iter().map(Run::joined).sum() } else { 0 }
    }

    /// One of them.
    pub(super) fn run(&self, index: usize) -> Option<Run> {
        self.all.get(index).copied()
    }

    /// The places of a run's packets, in their order.
    pub(super) fn places(&self, run: Run) -> impl Iterator<Item = usize> + '_ {
        let following = |place: &u16| {
            let next = self.next[usize::from(*place)];
            (next != NONE).then_some(next)
        };
        std::iter::successors(Some(run.first), following).map(usize::from)
    }
}

impl Run {
    /// Its packets, if they are several.
    pub(super) fn joined(&self) -> u64 {
        if self.packets > 1 { self.packets.into() } else { 0 }
    }

    /// Where its first packet is in the batch.
    pub(super) fn first(self) -> usize {
        usize::from(self.first)
    }

    /// Whether a packet may follow in it.
    fn takes(&self, packet: &Packet, batch: &[Packet]) -> bool {
        let (first, last) = (&batch[usize::from(self.first)], &batch[usize::from(self.last)]);
        destination(first) == destination(packet)
            && first.len == last.len
            && packet.len <= first.len
            // A run of longer ones might not pass where each of them would, in fragments.
            && usize::from(first.len) <= SAFE_PAYLOAD
            && self.packets < PACKETS
            && self.bytes + usize::from(packet.len) <= BYTES
    }
}

fn destination(packet: &Packet) -> (SocketId, SocketAddr, u8) {
    (packet.socket, packet.remote, packet.traffic_class)
}

/// What mostly tells far addresses apart, and is hashed quickly.
fn port_of(remote: SocketAddr) -> (u16, u32) {
    let host = match remote {
        SocketAddr::V4(v4) => u32::from(*v4.ip()),
        SocketAddr::V6(v6) => {
            v6.ip().segments().iter().fold(0u32, |all, part| all.rotate_left(5) ^ u32::from(*part))
        }
    };
    (remote.port(), host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::Nanos;
    use crate::sys::frames::FramePool;

    /// A batch of packets of these destinations and lengths.
    fn batch(pool: &mut FramePool, of: &[(u16, u16)]) -> Vec<Packet> {
        let packet = |&(to, len): &(u16, u16)| Packet {
            frame: pool.take().unwrap(),
            start: 128,
            len,
            socket: SocketId(to % 3),
            remote: SocketAddr::from(([10, 0, 0, 1], to)),
            traffic_class: 0,
            received: Nanos(0),
        };
        of.iter().map(packet).collect()
    }

    fn found(of: &[(u16, u16)], may: bool) -> Vec<Vec<usize>> {
        let mut pool = FramePool::new(1024).unwrap();
        let batch = batch(&mut pool, of);
        let mut runs = Runs::new();
        runs.find(&batch, may);
        let found = (0..runs.len()).map(|n| runs.places(runs.run(n).unwrap()).collect()).collect();
        batch.into_iter().for_each(|packet| pool.give(packet.frame));
        found
    }

    #[test]
    fn packets_of_one_size_to_one_destination_leave_together_and_a_shorter_one_ends_them() {
        let of = [(1, 1200), (2, 172), (1, 1200), (1, 700), (1, 1200), (2, 172)];
        assert_eq!(found(&of, true), [vec![0, 2, 3], vec![1, 5], vec![4]]);
        assert_eq!(found(&of, false).len(), 6);
    }

    #[test]
    fn a_longer_one_begins_anew_and_so_does_one_that_would_have_to_be_fragmented() {
        assert_eq!(found(&[(1, 700), (1, 1200)], true).len(), 2);
        assert_eq!(found(&[(1, 1300), (1, 1300)], true).len(), 2);
    }

    #[test]
    fn a_run_is_no_longer_than_the_kernel_takes() {
        let runs = found(&[(1, 100); 130], true);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 2]);
        let runs = found(&[(1, 1200); 60], true);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [54, 6]);
    }

    proptest! {
        #[test]
        fn every_packet_is_in_one_run_and_a_destination_keeps_its_order(
            of in prop::collection::vec((0u16..8, prop::sample::select(vec![100u16, 500, 1200])), 0..300),
        ) {
            let runs = found(&of, true);
            let mut seen: Vec<usize> = runs.iter().flatten().copied().collect();
            for to in 0..8 {
                let order: Vec<_> = seen.iter().filter(|place| of[**place].0 == to).collect();
                prop_assert!(order.is_sorted());
            }
            for run in &runs {
                let first = of[run[0]];
                prop_assert!(run.iter().all(|place| of[*place].0 == first.0));
                prop_assert!(run[..run.len() - 1].iter().all(|place| of[*place].1 == first.1));
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..of.len()).collect::<Vec<_>>());
        }
    }
}
