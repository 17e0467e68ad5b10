//! Looks for the highest rate that a server sustains, then asks it twice as often.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::rate::{Pace, REQUESTS, drive};
use super::report::Step;
use crate::bracket::Bracket;

/// How far the rate that was sustained and the one that was not may be from each other in the end.
const PRECISION: f64 = 0.05;
/// How much slower a rate is tried again that was sustained once, but not for longer.
const RETREAT: f64 = 0.93;
/// Times that it is.
const RETREATS: u32 = 4;
/// Longest step of the search.
const STEP: Duration = Duration::from_secs(4);
/// Between two steps: freed ports rest for 10 s before a causeway gives them out again.
const PAUSE: Duration = Duration::from_secs(11);
/// Steps, most.
const STEPS_MAX: u32 = 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Signalling {
    /// Requests per second to begin with, or the only rate.
    pub rate: f64,
    /// Whether the highest one that is sustained is looked for.
    pub search: bool,
    /// For how long the highest rate, and twice as much, are asked.
    pub time: Duration,
    /// The core of the threads that ask.
    pub core: Option<usize>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Every step.
    pub search: Vec<Step>,
    /// The highest rate that was sustained.
    pub sustained: Option<Step>,
    /// What came of twice as much, or of the only rate.
    pub overload: Option<Step>,
}

/// Asks a server.
pub struct Search<'a> {
    server: SocketAddr,
    asked: &'a Signalling,
    run: &'a str,
    stop: &'a AtomicBool,
    say: &'a mut dyn FnMut(&Step),
    steps: u32,
    found: Found,
}

impl<'a> Search<'a> {
    /// One whose calls and cookies are named by `run`; `stop` ends it, and `say` hears of each step.
    pub fn new(
        server: SocketAddr,
        asked: &'a Signalling,
        run: &'a str,
        stop: &'a AtomicBool,
        say: &'a mut dyn FnMut(&Step),
    ) -> Self {
        Self { server, asked, run, stop, say, steps: 0, found: Found::default() }
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(mut self) -> io::Result<Found> {
        if !self.asked.search {
            self.found.overload = Some(self.step(self.asked.rate, self.asked.time)?);
            return Ok(self.found);
        }
        let Some(highest) = self.highest()? else { return Ok(self.found) };
        if let Some(sustained) = self.confirm(highest)? {
            let twice = 2.0 * sustained.rate;
            self.found.sustained = Some(sustained);
            if !self.is_over() {
                self.found.overload = Some(self.step(twice, self.asked.time)?);
            }
        }
        Ok(self.found)
    }

    /// The highest rate that was sustained for a step.
    fn highest(&mut self) -> io::Result<Option<f64>> {
        let mut bracket = Bracket::new(self.asked.rate, f64::INFINITY, PRECISION);
        for _ in 0..STEPS_MAX {
            if self.is_over() {
                return Ok(None);
            }
            let Some(rate) = bracket.next() else { break };
            let sustained = self.sustains(rate)?;
            bracket.note(rate, sustained);
            if bracket.highest().is_none() {
                break;
            }
        }
        Ok(bracket.highest())
    }

    /// The rate that is sustained for the whole time: this one, or somewhat less.
    fn confirm(&mut self, highest: f64) -> io::Result<Option<Step>> {
        let mut rate = highest;
        for _ in 0..RETREATS {
            if self.is_over() {
                break;
            }
            let step = self.step(rate, self.asked.time)?;
            if step.is_sustained() {
                return Ok(Some(step));
            }
            rate *= RETREAT;
        }
        Ok(None)
    }

    fn sustains(&mut self, rate: f64) -> io::Result<bool> {
        let step = self.step(rate, STEP.min(self.asked.time))?;
        let sustained = step.is_sustained();
        self.found.search.push(step);
        Ok(sustained)
    }

    fn step(&mut self, rate: f64, time: Duration) -> io::Result<Step> {
        if self.steps > 0 {
            std::thread::sleep(PAUSE);
        }
        self.steps += 1;
        let pace = Pace { calls: rate / f64::from(REQUESTS), time };
        let name = format!("{}s{}", self.run, self.steps);
        let step = drive(self.server, pace, self.asked.core, &name)?;
        (self.say)(&step);
        Ok(step)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
