//! How latencies are spread, as a curve of percentiles.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::board::histogram;

/// Points of a curve for each further nine of its percentile.
const POINTS: u32 = 16;
/// Nines, most.
const NINES: u32 = 7;

/// Microseconds that were recorded. Its JSON is the curve: pairs of a percentile and the microseconds that so many of
/// a hundred did not exceed.
#[derive(Debug, Clone)]
pub struct Curve(pub Histogram<u64>);

impl Default for Curve {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Curve {
    /// All of these together.
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for Self(one) in all {
            // All histograms here have the same bounds.
            let _ = sum.0.add(one);
        }
        sum
    }

    /// Shares, evenly spaced by how rare what is beyond them is, and their microseconds; up to the share beyond which
    /// nothing was recorded.
    pub fn points(&self) -> Vec<(f64, u64)> {
        let count = self.0.len() as f64;
        let shares = (0..=POINTS * NINES)
            .map(|point| 1.0 - 10f64.powf(-f64::from(point) / f64::from(POINTS)));
        shares
            .take_while(|share| count > 0.0 && (1.0 - share) * count >= 1.0 - 1e-9)
            .map(|share| (share, self.0.value_at_quantile(share)))
            .collect()
    }
}

impl Serialize for Curve {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.points().into_iter().map(|(share, us)| (100.0 * share, us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_and_ends_where_there_is_nothing_more_to_say() {
        let mut curve = Curve::default();
        (1..=1000).for_each(|us| curve.0.record(us).unwrap());
        let points = curve.points();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        let last = points.last().unwrap();
        assert!((last.0 - 0.999).abs() < 1e-9 && last.1 > 990, "{last:?}");
        assert!(Curve::default().points().is_empty());
        assert_eq!(Curve::merged([&curve, &curve]).0.len(), 2000);
        let json = serde_json::to_value(&curve).unwrap();
        assert_eq!(json[0][0], 0.0);
    }
}
