//! What has come of one stream.

/// How far back a repetition is told from a latecomer: 20 s of 400 packets per second.
pub const WINDOW: u32 = 8192;

/// Which of a stream's packets have come, by their payloads' sequence numbers, which start at 1.
#[derive(Debug, Clone)]
pub struct Arrivals {
    highest: u32,
    unique: u64,
    duplicates: u64,
    reordered: u64,
    stale: u64,
    bits: Box<[u64]>,
    last_at: Option<u64>,
    longest_gap: u64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            highest: 0,
            unique: 0,
            duplicates: 0,
            reordered: 0,
            stale: 0,
            bits: vec![0; WINDOW as usize / 64].into_boxed_slice(),
            last_at: None,
            longest_gap: 0,
        }
    }
}

impl Arrivals {
    /// Notes a packet that came at `at`, in nanoseconds of whatever clock.
    pub fn note(&mut self, sequence: u32, at: u64) {
        if let Some(last) = self.last_at {
            self.longest_gap = self.longest_gap.max(at.saturating_sub(last));
        }
        self.last_at = Some(at);
        if sequence > self.highest {
            self.advance(sequence);
        } else if self.highest - sequence >= WINDOW {
            self.stale += 1;
            return;
        } else if self.is_set(sequence) {
            self.duplicates += 1;
            return;
        } else {
            self.reordered += 1;
        }
        self.bits[place(sequence).0] |= place(sequence).1;
        self.unique += 1;
    }

    /// Different packets that have come.
    pub fn unique(&self) -> u64 {
        self.unique
    }

    /// Packets that came once more.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that came after one with a higher number.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that came when [`WINDOW`] later numbers were known: nobody knows if they are new, so
    /// they do not count as come.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Packets before the latest that have not come.
    pub fn missing(&self) -> u64 {
        u64::from(self.highest) - self.unique
    }

    /// The longest time between two arrivals, in nanoseconds.
    pub fn longest_gap(&self) -> u64 {
        self.longest_gap
    }

    fn advance(&mut self, sequence: u32) {
        if sequence - self.highest >= WINDOW {
            self.bits.fill(0);
        } else {
            for skipped in self.highest + 1..=sequence {
                let (word, bit) = place(skipped);
                self.bits[word] &= !bit;
            }
        }
        self.highest = sequence;
    }

    fn is_set(&self, sequence: u32) -> bool {
        let (word, bit) = place(sequence);
        self.bits[word] & bit != 0
    }
}

fn place(sequence: u32) -> (usize, u64) {
    let bit = sequence % WINDOW;
    ((bit / 64) as usize, 1 << (bit % 64))
}

const _: () = assert!(WINDOW.is_power_of_two() && WINDOW >= 64);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A network that loses, repeats and reorders within the window, against a set that forgets nothing.
        #[test]
        fn every_packet_is_accounted_for(
            fates in prop::collection::vec((0u8..10, 0u32..40), 1..2000),
        ) {
            let mut way: Vec<(u32, u32)> = Vec::new();
            for (number, &(fate, delay)) in (1u32..).zip(&fates) {
                let copies = match fate { 0 => 0, 1 => 2, _ => 1 };
                let delay = if fate == 2 { delay } else { 0 };
                way.extend((0..copies).map(|copy| (number + delay + copy, number)));
            }
            way.sort_by_key(|&(at, _)| at);
            let (mut arrivals, mut known) = (Arrivals::default(), HashSet::new());
            let (mut duplicates, mut reordered, mut highest) = (0, 0, 0);
            for &(at, number) in &way {
                arrivals.note(number, u64::from(at));
                if !known.insert(number) {
                    duplicates += 1;
                } else if number < highest {
                    reordered += 1;
                }
                highest = highest.max(number);
            }
            prop_assert_eq!(arrivals.unique(), known.len() as u64);
            prop_assert_eq!(arrivals.duplicates(), duplicates);
            prop_assert_eq!(arrivals.reordered(), reordered);
            prop_assert_eq!(arrivals.missing(), u64::from(highest) - known.len() as u64);
            prop_assert_eq!(arrivals.stale(), 0);
        }
    }

    #[test]
    fn a_latecomer_from_beyond_the_window_is_no_arrival() {
        let mut arrivals = Arrivals::default();
        arrivals.note(1, 0);
        arrivals.note(WINDOW + 5, 1);
        arrivals.note(4, 2);
        assert_eq!((arrivals.unique(), arrivals.stale()), (2, 1));
        arrivals.note(6, 3);
        assert_eq!((arrivals.unique(), arrivals.reordered()), (3, 1));
        assert_eq!(arrivals.missing(), u64::from(WINDOW) + 2);
    }

    #[test]
    fn the_longest_silence_is_kept() {
        let mut arrivals = Arrivals::default();
        for (number, at) in [(1, 100), (2, 120), (3, 500), (4, 510)] {
            arrivals.note(number, at);
        }
        assert_eq!(arrivals.longest_gap(), 380);
    }
}
