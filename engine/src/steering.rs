//! Which worker has a far address that sends to a port that all workers share.
//!
//! On such a port, 443 as a rule, the kernel spreads 5-tuples over the workers by a hash of its own, and
//! anew whenever a socket joins or leaves. A worker that takes in what is not for it hands it to the
//! one that is named here. A check names its worker by its ufrag ([`WorkerId::of_ufrag`]); from then on its
//! source is known to be that worker's.
//!
//! The kernel could be told instead, by a connected socket for each far address. Measured (`cargo bench --bench
//! steering`, kernel 6.18): handing on costs 0.2 us per packet, and where the connected socket saves that, each datagram from an
//! address without one costs 7 ns more for each connected socket on the port, since it is compared with all of
//! them: with a thousand, 10.4 us instead of 3.6. Before kernel 6.13 the others pay the same. So a
//! node full of calls could be brought to its knees by a trickle of forged checks, which here stay as cheap as they are.
//!
//! One atomic word per place, and no place for itself for any address: a later one takes an earlier one's, whose
//! checks then put it back. What is found here is a guess; the worker that it leads to looks for itself.

use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::WorkerId;
use crate::config::STEERING_PLACES;

/// The far addresses of shared ports.
#[derive(Debug)]
pub(crate) struct Steering {
    places: Box<[AtomicU64]>,
    hasher: foldhash::fast::RandomState,
}

/// The bits of a word that name the worker; the others are the address's hash.
const WORKER: u64 = 0xffff;
/// A word that says nothing.
const NOBODY: u64 = WORKER;

impl Steering {
    pub(crate) fn new() -> Self {
        Self {
            places: (0..STEERING_PLACES).map(|_| AtomicU64::new(NOBODY)).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Whose an address is.
    pub(crate) fn of(&self, remote: SocketAddr) -> Option<WorkerId> {
        let (place, tag) = self.place(remote);
        let word = place.load(Ordering::Relaxed);
        let known = word & !WORKER == tag && word & WORKER != NOBODY;
        known.then_some(WorkerId((word & WORKER) as u16))
    }

    /// Makes an address a worker's.
    pub(crate) fn note(&self, remote: SocketAddr, worker: WorkerId) {
        let (place, tag) = self.place(remote);
        place.store(tag | u64::from(worker.0), Ordering::Relaxed);
    }

    fn place(&self, remote: SocketAddr) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(remote);
        let place = (hash & WORKER) as usize % STEERING_PLACES;
        (&self.places[place], hash & !WORKER)
    }
}

const _: () = assert!(STEERING_PLACES.is_power_of_two() && STEERING_PLACES <= 1 << 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_worker_of_an_address_is_its_worker() {
        let steering = Steering::new();
        let remote = SocketAddr::from(([198, 51, 100, 7], 4000));
        assert_eq!(steering.of(remote), None);
        steering.note(remote, WorkerId(0));
        steering.note(remote, WorkerId(63));
        assert_eq!(steering.of(remote), Some(WorkerId(63)));
        assert_eq!(steering.of(SocketAddr::from(([198, 51, 100, 7], 4001))), None);
    }

    #[test]
    fn strangers_are_never_taken_for_somebody_elses() {
        let steering = Steering::new();
        let all = || (0..200_000u32).map(|n| SocketAddr::from((n.to_be_bytes(), 9)));
        all().take(100_000).for_each(|remote| steering.note(remote, WorkerId(5)));
        let mistaken = all().skip(100_000).filter(|remote| steering.of(*remote).is_some());
        assert_eq!(mistaken.count(), 0, "48 bits of hash tell them apart");
    }
}
