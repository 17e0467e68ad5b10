//! What came of asking.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::rate::IN_TIME;
use crate::report::{Quantiles, Report};

/// Share of requests that are to be answered in time at twice the sustained rate.
pub const GOAL: f64 = 0.999;
/// The sender may be this late with one request of a hundred, in microseconds, before it does not trust itself.
const LATE_US: u64 = 100_000;

/// A search, what came of twice the rate, and what became of media meanwhile.
#[derive(Debug, Serialize)]
pub struct NgReport {
    /// Every step of the search.
    pub search: Vec<Step>,
    /// The highest rate that was sustained.
    pub sustained: Option<Step>,
    /// Twice as much; or the one rate that was asked for.
    pub overload: Option<Step>,
    /// The calls with media, which stood all the time.
    pub media: Report,
}

/// Requests at one rate.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// For so many seconds.
    pub seconds: f64,
    /// Offers of calls.
    pub offers: Asked,
    /// Answers to them.
    pub answers: Asked,
    /// Deletes of the calls.
    pub deletes: Asked,
    /// From when a request was due to its reply, in microseconds.
    pub latency_us: Quantiles,
    /// How long after its time a request left, in microseconds.
    pub sent_late_us: Quantiles,
    /// What the server said where it did not do what was asked for, with how often.
    pub failures: BTreeMap<String, u64>,
    /// Replies that came once more, or to nothing.
    pub strange: u64,
}

/// Requests of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Sent.
    pub sent: u64,
    /// Answered, whatever.
    pub answered: u64,
    /// Of them, in time.
    pub in_time: u64,
    /// Done.
    pub done: u64,
    /// Refused with `load limit`.
    pub limited: u64,
    /// Refused, since the call's offer had been.
    pub moot: u64,
    /// Refused for another reason.
    pub failed: u64,
}

impl Step {
    /// All requests.
    pub fn sent(&self) -> u64 {
        self.sum(|asked| asked.sent)
    }

    /// Share of them that was answered in time.
    pub fn in_time(&self) -> f64 {
        share(self.sum(|asked| asked.in_time), self.sent())
    }

    /// Share of the offers that was refused with `load limit`.
    pub fn limited(&self) -> f64 {
        share(self.offers.limited, self.offers.sent)
    }

    /// Whether everything was done, in time.
    pub fn is_sustained(&self) -> bool {
        let all = self.sent();
        self.sum(|asked| asked.done) == all && self.sum(|asked| asked.in_time) == all
    }

    /// Whether the requests left at their times, so that the figures are the server's.
    pub fn is_punctual(&self) -> bool {
        self.sent_late_us.p99 <= LATE_US
    }

    fn sum(&self, of: impl Fn(&Asked) -> u64) -> u64 {
        [&self.offers, &self.answers, &self.deletes].into_iter().map(of).sum()
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1e3;
        let latency = &self.latency_us;
        writeln!(
            f,
            "{:.0} requests/s for {:.0} s: {:.3} % of {} answered within {} ms; of the offers {:.1} % done, \
             {:.1} % load limit",
            self.rate,
            self.seconds,
            100.0 * self.in_time(),
            self.sent(),
            IN_TIME.as_millis(),
            100.0 * share(self.offers.done, self.offers.sent),
            100.0 * self.limited(),
        )?;
        for (name, asked) in
            [("offers", self.offers), ("answers", self.answers), ("deletes", self.deletes)]
        {
            let Asked { sent, answered, in_time, done, limited, moot, failed } = asked;
            writeln!(
                f,
                "  {name:<8} sent {sent}, answered {answered}, in time {in_time}: done {done}, \
                 load limit {limited}, of calls refused before {moot}, failed {failed}"
            )?;
        }
        writeln!(
            f,
            "  latency, ms: p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}; sent late by, ms: \
             p50 {:.2}, p99 {:.2}, max {:.1}",
            ms(latency.p50),
            ms(latency.p90),
            ms(latency.p99),
            ms(latency.p999),
            ms(latency.max),
            ms(self.sent_late_us.p50),
            ms(self.sent_late_us.p99),
            ms(self.sent_late_us.max),
        )?;
        self.failures.iter().try_for_each(|(why, count)| writeln!(f, "  {count} x {why}"))?;
        if self.strange > 0 {
            writeln!(f, "  {} replies came once more, or to nothing", self.strange)?;
        }
        if !self.is_punctual() {
            writeln!(f, "  ! the generator was late: it has too little CPU for this rate")?;
        }
        Ok(())
    }
}

impl NgReport {
    /// The program's exit code: 1 if media was lost or the goal was not reached.
    pub fn exit_code(&self) -> u8 {
        let reached = self.overload.as_ref().is_none_or(|step| step.in_time() >= GOAL);
        if reached { self.media.verdict.exit_code() } else { 1 }
    }
}

impl fmt::Display for NgReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sustained {
            Some(step) => write!(f, "\nhighest sustained: {step}twice that: ")?,
            None if self.search.is_empty() => writeln!(f)?,
            None => writeln!(f, "\nno rate was sustained")?,
        }
        let Some(step) = &self.overload else { return Ok(()) };
        write!(f, "{step}")?;
        let lost = self.media.media.get("total").map_or(0, |total| total.lost);
        let (calls, reached) = (self.media.calls.up, 100.0 * step.in_time());
        let word = if step.in_time() >= GOAL { "reached" } else { "NOT REACHED" };
        writeln!(
            f,
            "{} % within {} ms: {word} ({reached:.3} %); {calls} calls with media lost {lost} packets",
            100.0 * GOAL,
            IN_TIME.as_millis(),
        )
    }
}
