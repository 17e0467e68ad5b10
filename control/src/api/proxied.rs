//! Calls behind SIP proxies, and the dedicated ports that they take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Numbers of calls behind SIP proxies since the node started. What their media did is counted when
/// they are over.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ProxiedStats {
    /// Calls that are not over.
    pub live: u64,
    /// Calls that there were.
    pub created: u64,
    /// Calls that were not begun, since the node was at a limit.
    pub rejected: u64,
    /// Calls that are over, by why.
    pub ended: BTreeMap<String, u64>,
    /// Packets that their parties sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that came from somewhere else and were not taken: attempts to inject media.
    pub strangers: u64,
    /// How many seconds they lasted.
    pub seconds: Mean,
    /// Scores of their media, from 1 to 5.
    pub mos: Mean,
    /// Calls in which one side alone was heard.
    pub one_way: u64,
    /// m-lines that carried nothing.
    pub silent: u64,
}

/// A number that was seen often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Mean {
    /// How often.
    pub count: u64,
    /// The sum.
    pub sum: f64,
    /// The sum of the squares.
    pub squares: f64,
}

impl Mean {
    /// Sees it once more.
    pub fn note(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// The mean; 0 if it was never seen.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The standard deviation; 0 if it was never seen.
    #[allow(clippy::cast_precision_loss)]
    pub fn deviation(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.mean();
        // Sums that are rounded may leave a little less than nothing.
        (self.squares / self.count as f64 - mean * mean).max(0.0).sqrt()
    }
}

/// Dedicated ports of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortStats {
    /// The interface.
    pub interface: String,
    /// Its address on this host.
    pub address: String,
    /// The lowest port.
    pub low: u16,
    /// The highest port.
    pub high: u16,
    /// Ports that there are.
    pub total: u64,
    /// Ports that legs have.
    pub used: u64,
    /// Ports that were used a moment ago and rest.
    pub resting: u64,
    /// The port that was taken last; 0 before any was.
    pub last: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_and_its_deviation_come_of_three_sums() {
        let mut seen = Mean::default();
        assert_eq!((seen.mean(), seen.deviation()), (0.0, 0.0));
        [2.0, 4.0].into_iter().for_each(|value| seen.note(value));
        assert_eq!((seen.count, seen.mean(), seen.deviation()), (2, 3.0, 1.0));
    }
}
