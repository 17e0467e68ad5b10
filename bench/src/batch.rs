//! What a causeway's workers do in a turn of their loop.

use std::fmt;

use serde::Serialize;

use crate::rest::Workers;

/// Turns of workers, as they count them, and what they received in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Batch {
    /// Turns.
    pub turns: u64,
    /// Datagrams.
    pub packets: u64,
    /// Datagrams of each turn.
    pub packets_per_turn: f64,
    /// The turns by size, the smallest first; none if the node does not tell.
    pub sizes: Vec<Size>,
}

/// Turns of about the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// The least that such a turn receives.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// Turns.
    pub turns: u64,
}

impl Batch {
    /// Of what was done between two looks.
    pub fn of(now: &Workers, then: &Workers) -> Self {
        let turns = now.turns.saturating_sub(then.turns);
        let packets = now.packets_in.saturating_sub(then.packets_in);
        let mut least = 0;
        let size = |(&most, &turns): (&u64, &u64)| {
            let before = then.turn_sizes.get(&most).copied().unwrap_or(0);
            let size = Size { least, most, turns: turns.saturating_sub(before) };
            least = most + 1;
            size
        };
        let sizes = now.turn_sizes.iter().map(size).collect();
        Self { turns, packets, packets_per_turn: packets as f64 / turns.max(1) as f64, sizes }
    }

    /// The sizes that there are, and their shares of all turns.
    pub fn shares(&self) -> impl Iterator<Item = (&Size, f64)> {
        let all = self.sizes.iter().map(|size| size.turns).sum::<u64>().max(1);
        self.sizes.iter().map(move |size| (size, size.turns as f64 / all as f64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "{}", self.most)
        } else {
            write!(f, "{}–{}", self.least, self.most)
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its workers received {:.2} packets in each turn", self.packets_per_turn)?;
        let mut mark = ':';
        for (size, share) in self.shares().filter(|(size, _)| size.turns > 0) {
            write!(f, "{mark} {size} in {:.1} %", 100.0 * share)?;
            mark = ',';
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(turns: u64, packets_in: u64, sizes: &[(u64, u64)]) -> Workers {
        let turn_sizes = sizes.iter().copied().collect();
        Workers { turns, packets_in, turn_sizes, ..Workers::default() }
    }

    #[test]
    fn turns_between_two_looks_are_told_by_size() {
        let then = workers(10, 20, &[(0, 1), (1, 9)]);
        let now = workers(14, 30, &[(0, 2), (1, 9), (2, 0), (4, 3)]);
        let batch = Batch::of(&now, &then);
        let of = |(size, share): (&Size, f64)| (size.to_string(), share);
        let shares: Vec<_> = batch.shares().map(of).collect();
        let expected = [("0", 0.25), ("1", 0.0), ("2", 0.0), ("3–4", 0.75)];
        assert_eq!(shares, expected.map(|(size, share)| (size.to_owned(), share)));
        assert_eq!(
            batch.to_string(),
            "its workers received 2.50 packets in each turn: 0 in 25.0 %, 3–4 in 75.0 %"
        );
    }

    #[test]
    fn a_node_that_does_not_tell_sizes_still_has_its_mean() {
        let batch = Batch::of(&workers(4, 10, &[]), &workers(0, 0, &[]));
        assert_eq!(batch.to_string(), "its workers received 2.50 packets in each turn");
    }
}
