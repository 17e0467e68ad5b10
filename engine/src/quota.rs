//! What the relays of all threads may carry together in a second.
//!
//! Each thread counts by itself and settles once per turn, so that no packet touches what threads share. So what
//! one turn of each thread brings may go beyond the limit, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::DropReason;
use crate::packet::Nanos;
use crate::relay::Rate;

const SECOND: u64 = 1_000_000_000;

/// The node's quota.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    bytes: Account,
    packets: Account,
    /// The second that is counted.
    second: AtomicU64,
}

#[derive(Debug, Default)]
struct Account {
    /// 0 for as much as comes.
    limit: AtomicU64,
    spent: AtomicU64,
}

impl Account {
    /// Whether something is left.
    fn spend(&self, spent: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        limit == 0 || self.spent.fetch_add(spent, Ordering::Relaxed) + spent < limit
    }
}

impl Quota {
    /// Sets the limit.
    pub(crate) fn set(&self, rate: Rate) {
        self.bytes.limit.store(rate.bytes.into(), Ordering::Relaxed);
        self.packets.limit.store(rate.packets.into(), Ordering::Relaxed);
    }

    /// Takes in what a thread has carried; whether it may carry more in this second.
    fn settle(&self, bytes: u64, packets: u64, now: Nanos) -> bool {
        let second = now.0 / SECOND;
        let is_new = |before| before < second;
        // Most turns only look; of those that find a new second one begins it.
        if is_new(self.second.load(Ordering::Relaxed))
            && is_new(self.second.fetch_max(second, Ordering::Relaxed))
        {
            self.bytes.spent.store(0, Ordering::Relaxed);
            self.packets.spent.store(0, Ordering::Relaxed);
        }
        let (bytes, packets) = (self.bytes.spend(bytes), self.packets.spend(packets));
        bytes && packets
    }
}

/// What one thread has carried since it last settled.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    bytes: u64,
    packets: u64,
    over: bool,
}

impl Carried {
    /// Counts a packet, if there may be one.
    pub(crate) fn add(&mut self, len: usize) -> Result<(), DropReason> {
        if self.over {
            return Err(DropReason::RelayRate);
        }
        self.bytes += len as u64;
        self.packets += 1;
        Ok(())
    }

    /// To be called once per turn; `now` is one clock for all threads.
    pub(crate) fn settle(&mut self, quota: &Quota, now: Nanos) {
        if self.packets > 0 || self.over {
            let Self { bytes, packets, .. } = std::mem::take(self);
            self.over = !quota.settle(bytes, packets, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Nanos = Nanos(43_200 * SECOND);
    const REFUSED: Result<(), DropReason> = Err(DropReason::RelayRate);

    fn quota(bytes: u32, packets: u32) -> Quota {
        let quota = Quota::default();
        quota.set(Rate { bytes, packets });
        quota
    }

    #[test]
    fn what_one_thread_carries_is_missing_to_the_other_until_the_next_second() {
        let (quota, mut one, mut other) = (quota(0, 10), Carried::default(), Carried::default());
        (0..6).for_each(|_| one.add(172).unwrap());
        one.settle(&quota, NOON);
        (0..5).for_each(|_| other.add(172).unwrap());
        other.settle(&quota, NOON);
        assert_eq!((one.add(1), other.add(1)), (Ok(()), REFUSED));
        one.settle(&quota, NOON);
        assert_eq!(one.add(1), REFUSED);
        let next = NOON.plus(SECOND);
        one.settle(&quota, next);
        other.settle(&quota, next);
        assert_eq!((one.add(1), other.add(1)), (Ok(()), Ok(())));
    }

    #[test]
    fn bytes_count_as_packets_do_and_no_limit_is_none() {
        let (tight, mut carried) = (quota(1000, 0), Carried::default());
        carried.add(1000).unwrap();
        carried.settle(&tight, NOON);
        assert_eq!(carried.add(1), REFUSED);
        let (open, mut carried) = (quota(0, 0), Carried::default());
        for _ in 0..100_000 {
            carried.add(1500).unwrap();
            carried.settle(&open, NOON);
        }
    }
}
