//! How a run goes, second by second.

use serde::Serialize;

/// What happened in about a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Second {
    /// When it ended, in seconds since the start.
    pub at: f64,
    /// What was being done.
    pub phase: &'static str,
    /// Packets sent, per second.
    pub sent: f64,
    /// Packets received, per second.
    pub received: f64,
    /// Packets that turned out to be missing.
    pub missing: u64,
    /// Median of the one-way latency in microseconds.
    pub p50_us: u64,
    /// 99 of a hundred packets took no longer.
    pub p99_us: u64,
    /// Cores that the server was busy on.
    pub server: Option<f64>,
    /// Cores that the generator was busy on.
    pub generator: f64,
}
