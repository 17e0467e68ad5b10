//! What a sink's far side has asked for again.
//!
//! All sinks of a layer get its packets, but a repeat is for whoever misses it. Nor is every repeat
//! an answer: senders fill up with them what tests their way to the node.

use arrayvec::ArrayVec;

use crate::config::MISSING_PER_SINK;
use crate::plain::plain;

/// The sink's sequence numbers that are owed to it, the latest ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Missing {
    sequences: ArrayVec<u16, MISSING_PER_SINK>,
}

impl Missing {
    /// Notes numbers that were asked for; the oldest make room for them.
    pub(crate) fn note(&mut self, sequences: impl Iterator<Item = u16>) {
        for sequence in sequences {
            self.take(sequence);
            if self.sequences.is_full() {
                self.sequences.remove(0);
            }
            self.sequences.push(sequence);
        }
    }

    /// Whether a number is owed; it is no more from then on, until it is asked for again.
    pub(crate) fn take(&mut self, sequence: u16) -> bool {
        let place = self.sequences.iter().position(|owed| *owed == sequence);
        place.map(|place| self.sequences.remove(place)).is_some()
    }
}

plain! {
    struct Missing { sequences }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_owed_once_for_each_time_that_it_was_asked_for() {
        let mut missing = Missing::default();
        missing.note([7, 8, 7].into_iter());
        assert!(missing.take(7) && !missing.take(7) && !missing.take(9));
        missing.note([7].into_iter());
        assert!(missing.take(7) && missing.take(8));
    }

    #[test]
    fn the_latest_numbers_are_kept() {
        let mut missing = Missing::default();
        missing.note(0..=u16::MAX);
        assert!(missing.take(u16::MAX) && !missing.take(0));
    }
}
