//! How long a wait gathers packets before it may end with a few.
//!
//! A sleep and a wake cost as much as several packets, so packets that trickle in are worth gathering. But the
//! kernel's timer costs something too, most of all in a virtual machine, and packets that come in bursts gather by
//! themselves. What pays differs between hosts by a factor, and with the load (bench/README.md). So it is
//! measured: the pause that is in use is compared, again and again, with another one by the thread's CPU
//! time per packet.

use std::time::Duration;

use super::cpu;
use crate::packet::Nanos;

/// How long to gather before a wait may end with fewer than [`Pace::ENOUGH`] packets. A pause only delays packets
/// that come right after the previous turn: once it is over, the first packet ends the wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What is chosen from, in microseconds, rising; the last is the delay that gathering may add to a packet.
    pauses: [u32; CHOICES],
    /// The pause that is best as far as is known, by its place in `pauses`.
    best: usize,
    /// What it costs.
    cost: Cost,
    /// The pause in use: the best, or one that is tried.
    used: usize,
    /// The one that was tried last.
    tried: usize,
    /// Windows until another one is tried, and how many it will be next time.
    patience: (u32, u32),
    /// Packets of this window.
    packets: u64,
    /// CPU time of the thread at its start; none before the first packet.
    since: Option<Nanos>,
}

/// Nanoseconds per packet.
type Cost = u64;

/// Pauses that are compared.
const CHOICES: usize = 4;
/// Packets after which CPU time is looked at.
const WINDOW: u64 = 1024;
/// Windows between two tries, most: then a try costs next to nothing, however dear it is.
const PATIENCE: u32 = 16;

impl Pace {
    /// Packets that end a pause.
    pub(super) const ENOUGH: usize = 32;

    /// One that delays no packet by more than `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        Self {
            pauses: [0, longest / 4, longest / 2, longest],
            best: 0,
            cost: 0,
            used: 0,
            tried: 0,
            patience: (0, 0),
            packets: 0,
            since: None,
        }
    }

    /// The pause of a wait, in microseconds; never longer than the wait.
    pub(super) fn pause(&self, wait: Duration) -> u32 {
        u32::try_from(wait.as_micros()).unwrap_or(u32::MAX).min(self.pauses[self.used])
    }

    /// Counts what a turn brought.
    pub(super) fn learn(&mut self, received: usize) {
        if self.pauses[CHOICES - 1] == 0 {
            return;
        }
        self.packets += received as u64;
        if self.packets >= WINDOW {
            let now = cpu::clock_thread();
            if let Some(since) = self.since.replace(now) {
                self.weigh(now.since(since) / self.packets);
            }
            self.packets = 0;
        }
    }

    /// A window is over, at this cost.
    fn weigh(&mut self, cost: Cost) {
        if self.used == self.best {
            // Bursts, and other threads, make windows differ.
            self.cost = if self.cost == 0 { cost } else { (3 * self.cost + cost) / 4 };
            self.patience.0 = self.patience.0.saturating_sub(1);
            if self.patience.0 == 0 {
                let following = |place| (place + 1) % CHOICES;
                self.tried = following(self.tried);
                if self.tried == self.best {
                    self.tried = following(self.tried);
                }
                self.used = self.tried;
            }
            return;
        }
        let is_better = self.is_better(cost);
        if is_better {
            (self.best, self.cost) = (self.used, cost);
        }
        let patience = if is_better { 1 } else { (2 * self.patience.1).clamp(1, PATIENCE) };
        self.patience = (patience, patience);
        self.used = self.best;
    }

    /// Whether what is tried, at this cost, beats the best: more delay must save a seventh, less delay may cost
    /// a sixteenth. Where a pause is worth its delay it saves a quarter to a half; other people's load moves a
    /// window by a tenth.
    fn is_better(&self, cost: Cost) -> bool {
        if self.used > self.best {
            cost < self.cost - self.cost / 7
        } else {
            cost <= self.cost + self.cost / 16
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a millisecond at most.
    fn pace() -> Pace {
        Pace::new(Duration::from_micros(500))
    }

    /// Lets so many windows pass in which each pause costs this; says in how many another than the
    /// best was tried.
    fn pass(pace: &mut Pace, windows: usize, costs: [Cost; 4]) -> usize {
        let mut tries = 0;
        for _ in 0..windows {
            tries += usize::from(pace.used != pace.best);
            pace.weigh(costs[pace.used]);
        }
        tries
    }

    #[test]
    fn a_pause_that_saves_much_is_taken_and_one_that_saves_little_is_not() {
        for (costs, best) in [
            ([13_000, 11_000, 9_000, 7_000], 3),
            ([9_000, 9_500, 9_400, 7_000], 3),
            ([4_500, 5_600, 5_700, 5_000], 0),
            ([4_500, 4_400, 4_400, 4_300], 0),
            ([9_000, 7_000, 7_100, 6_900], 1),
        ] {
            let mut pace = pace();
            pass(&mut pace, 64, costs);
            assert_eq!(pace.best, best, "{costs:?}");
        }
    }

    #[test]
    fn what_was_best_is_left_when_the_load_is_another() {
        let mut pace = pace();
        pass(&mut pace, 64, [13_000, 11_000, 9_000, 7_000]);
        pass(&mut pace, 4 * PATIENCE as usize, [4_000, 4_500, 5_000, 5_500]);
        assert_eq!(pace.best, 0);
        pass(&mut pace, 4 * PATIENCE as usize, [13_000, 11_000, 9_000, 7_000]);
        assert_eq!(pace.best, 3);
    }

    #[test]
    fn tries_become_rare_where_nothing_is_found() {
        let mut pace = pace();
        let costs = [4_000, 8_000, 8_000, 8_000];
        pass(&mut pace, 64, costs);
        let windows = 100 * (PATIENCE as usize + 1);
        assert!(pass(&mut pace, windows, costs) <= 101);
    }

    #[test]
    fn a_pause_is_never_longer_than_the_wait() {
        let mut pace = pace();
        pass(&mut pace, 64, [13_000, 11_000, 9_000, 7_000]);
        while pace.used != 3 {
            pace.weigh(9_000);
        }
        assert_eq!(pace.pause(Duration::from_secs(1)), 500);
        assert_eq!(pace.pause(Duration::from_micros(80)), 80);
    }

    #[test]
    fn without_a_pause_nothing_is_measured() {
        let mut pace = Pace::new(Duration::ZERO);
        pace.learn(2 * WINDOW as usize);
        assert_eq!((pace.pause(Duration::from_secs(1)), pace.since), (0, None));
    }

    #[test]
    fn windows_are_of_packets_and_of_this_threads_time() {
        let mut pace = pace();
        pace.learn(WINDOW as usize);
        assert_eq!(pace.cost, 0, "one look says nothing of time");
        let spent = std::time::Instant::now();
        while spent.elapsed() < Duration::from_millis(5) {}
        pace.learn(WINDOW as usize - 1);
        assert_eq!(pace.cost, 0, "the window is open");
        pace.learn(1);
        assert_ne!(pace.cost, 0);
    }
}
