//! How good media sounded.

/// The mean opinion score that loss and jitter make likely: ITU-T G.107's E-model in the short form
/// that is usual for RTP, with jitter counted as delay twice.
#[allow(clippy::cast_precision_loss)] // counters far below 2^52
pub(crate) fn mos(packets: u64, lost: u64, jitter_ms: u64) -> f64 {
    let loss = lost as f64 * 100.0 / (lost + packets).max(1) as f64;
    let delay = 10.0 + 2.0 * jitter_ms as f64;
    let delayed = if delay < 160.0 { delay / 40.0 } else { (delay - 120.0) / 10.0 };
    let r = (93.2 - delayed - 2.5 * loss).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7.0e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_jitter_make_it_worse_between_its_bounds() {
        let best = mos(1000, 0, 0);
        assert!(best > 4.3 && best <= 4.5, "{best}");
        assert!(mos(1000, 0, 100) < best && mos(950, 50, 0) < best);
        assert!((mos(0, 1000, 5000) - 1.0).abs() < f64::EPSILON);
    }
}
