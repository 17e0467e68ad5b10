//! What is to be done when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Things in the order of their time. A heap and no wheel of ticks: a station has some thousand
/// entries, so an exact order costs less than the clock read that goes with it.
#[derive(Debug)]
pub struct Agenda<T>(BinaryHeap<Reverse<(Instant, T)>>);

impl<T: Ord> Default for Agenda<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<T: Ord> Agenda<T> {
    /// Notes `what` for `at`.
    pub fn note(&mut self, at: Instant, what: T) {
        self.0.push(Reverse((at, what)));
    }

    /// The earliest thing that is due, with its time.
    pub fn due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.next().filter(|&at| at <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }

    /// When the next thing is due.
    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn things_come_in_the_order_of_their_time_and_not_before() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut agenda = Agenda::default();
        agenda.note(now + 3 * second, 'c');
        agenda.note(now, 'a');
        agenda.note(now + second, 'b');
        assert_eq!(agenda.due(now), Some((now, 'a')));
        assert_eq!(agenda.due(now), None);
        assert_eq!(agenda.next(), Some(now + second));
        assert_eq!(agenda.due(now + 3 * second), Some((now + second, 'b')));
        assert_eq!(agenda.due(now + 3 * second), Some((now + 3 * second, 'c')));
        assert_eq!(agenda.next(), None);
    }
}
