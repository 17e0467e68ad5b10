//! What a station shows while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

/// Microseconds, up to a minute, to one part in a hundred.
///
/// # Panics
/// Never: the bounds are constants.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 2).expect("constant bounds")
}

/// Counts of one station; written by it alone, read by whoever shows them.
#[derive(Debug)]
pub struct Board {
    /// Media packets sent.
    pub sent: Count,
    /// Media packets received.
    pub received: Count,
    /// Packets that have not come although later ones have.
    pub missing: Count,
    /// Packets that are not what was sent, or not to this leg.
    pub wrong: Count,
    /// Packets that were sent late.
    pub late: Count,
    latency: Mutex<Histogram<u64>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            sent: Count::default(),
            received: Count::default(),
            missing: Count::default(),
            wrong: Count::default(),
            late: Count::default(),
            latency: Mutex::new(histogram()),
        }
    }
}

impl Board {
    /// Shows the latencies since the last time and empties `latest`.
    pub fn show(&self, latest: &mut Histogram<u64>) {
        let mut shown = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        // Both have the same bounds.
        let _ = shown.add(&*latest);
        latest.reset();
    }

    /// Moves the latencies that are shown into `total`.
    pub fn take(&self, total: &mut Histogram<u64>) {
        let mut shown = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = total.add(&*shown);
        shown.reset();
    }
}

/// A count that one thread writes.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.set(self.value() + more);
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
