//! How long a wait gathers packets before it may end with a few.

use std::time::Duration;

/// How long to gather before a wait may end with fewer than [`Pace::ENOUGH`] packets. Each sleep
/// and wake costs more than a dozen packets, so a trickle is worth gathering; a flood comes in
/// batches anyway, and silence needs no pause. A pause only delays packets that come right after
/// the previous turn: once it is over, the first packet ends the wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    micros: u32,
}

impl Pace {
    /// Packets that end a pause.
    pub(super) const ENOUGH: usize = 32;
    /// Fewer packets per turn than that ask for a longer pause.
    const FEW: usize = 8;
    /// Longest pause, in microseconds: the delay that gathering may add to a packet.
    const MAX: u32 = 500;
    const STEP: u32 = 50;

    /// The pause of a wait, in microseconds; never longer than the wait.
    pub(super) fn pause(self, wait: Duration) -> u32 {
        u32::try_from(wait.as_micros()).unwrap_or(u32::MAX).min(self.micros)
    }

    /// Learns from the number of packets that a wait brought.
    pub(super) fn learn(&mut self, received: usize) {
        self.micros = match received {
            0 => self.micros / 2,
            n if n < Self::FEW => (self.micros + Self::STEP).min(Self::MAX),
            n if n < Self::ENOUGH => self.micros,
            _ => self.micros / 2,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_lengthens_the_pause_up_to_its_bound_and_silence_ends_it() {
        let mut pace = Pace::default();
        let wait = Duration::from_secs(1);
        assert_eq!(pace.pause(wait), 0);
        (0..100).for_each(|_| pace.learn(1));
        assert_eq!(pace.pause(wait), Pace::MAX);
        assert_eq!(pace.pause(Duration::from_micros(80)), 80);
        pace.learn(Pace::FEW);
        assert_eq!(pace.pause(wait), Pace::MAX);
        pace.learn(Pace::ENOUGH);
        assert_eq!(pace.pause(wait), Pace::MAX / 2);
        (0..20).for_each(|_| pace.learn(0));
        assert_eq!(pace.pause(wait), 0);
    }
}
