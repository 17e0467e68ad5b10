//! The highest of values that hold: grows by half until one does not, then closes in between the two.

/// How much higher each value is, until one does not hold; or lower, until one does.
const GROWTH: f64 = 1.5;

/// See the module.
#[derive(Debug)]
pub struct Bracket {
    first: f64,
    most: f64,
    precision: f64,
    low: Option<f64>,
    high: Option<f64>,
}

impl Bracket {
    /// Begins with `first`, goes up to `most`, and ends when what holds and what does not are no further from each
    /// other than `precision` (a share of the lower one) or 1.
    pub fn new(first: f64, most: f64, precision: f64) -> Self {
        Self { first, most, precision, low: None, high: None }
    }

    /// What is to be tried next; `None` when there is no more to be found out.
    pub fn next(&self) -> Option<f64> {
        match (self.low, self.high) {
            (None, None) => Some(self.first),
            (Some(low), None) => (low < self.most).then(|| (low * GROWTH).min(self.most)),
            (None, Some(high)) => (high > 1.0).then_some(high / GROWTH),
            (Some(low), Some(high)) => {
                let known = high - low <= (self.precision * low).max(1.0);
                (!known).then(|| f64::midpoint(low, high))
            }
        }
    }

    /// Notes whether `value` holds.
    pub fn note(&mut self, value: f64, holds: bool) {
        let side = if holds { &mut self.low } else { &mut self.high };
        *side = Some(value);
    }

    /// The highest that holds, as far as it is known.
    pub fn highest(&self) -> Option<f64> {
        self.low
    }

    /// The lowest that does not hold, as far as it is known.
    pub fn lowest(&self) -> Option<f64> {
        self.high
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is tried where everything up to `limit` holds, in whole numbers, and what is found.
    fn search(first: f64, most: f64, limit: f64) -> (Vec<f64>, Option<f64>) {
        let (mut bracket, mut tried) = (Bracket::new(first, most, 0.05), Vec::new());
        while let Some(value) = bracket.next().map(f64::round) {
            bracket.note(value, value <= limit);
            tried.push(value);
            assert!(tried.len() < 60, "{tried:?}");
        }
        (tried, bracket.highest())
    }

    #[test]
    fn it_grows_by_half_and_closes_in() {
        let (tried, found) = search(100.0, 10_000.0, 205.0);
        assert_eq!(tried, [100.0, 150.0, 225.0, 188.0, 207.0, 198.0]);
        assert_eq!(found, Some(198.0));
    }

    #[test]
    fn it_ends_at_the_most_and_at_nothing() {
        assert_eq!(search(100.0, 300.0, 1e9), (vec![100.0, 150.0, 225.0, 300.0], Some(300.0)));
        assert_eq!(search(3.0, 10.0, 0.0), (vec![3.0, 2.0, 1.0], None));
    }

    proptest! {
        #[test]
        fn what_is_found_holds_and_a_twentieth_more_does_not(first in 1u32..5000, limit in 1u32..20_000) {
            let (_, found) = search(first.into(), 1e6, limit.into());
            let found = found.unwrap();
            prop_assert!(found <= limit.into());
            prop_assert!(found + (0.05 * found).max(1.0) + 1.0 > limit.into());
        }
    }
}
