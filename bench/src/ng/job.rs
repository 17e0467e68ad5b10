//! The same calls for several servers in turn.

use std::error::Error;
use std::fmt;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::beside;
use super::client::NgClient;
use super::server::Server;
use crate::args::Args;
use crate::door::{Door, NgDoor, Sdes};
use crate::plan::Plan;
use crate::process::Process;
use crate::report::{Report, Verdict};
use crate::rounds::{Comparison, Outcome, Rounds};
use crate::run::Progress;

/// Calls that are ended and made anew beside those that a plan says: a server has to have room for both.
const SPARE: usize = 64;

/// What is to be done.
#[derive(Debug)]
pub struct Job {
    plan: Plan,
    sdes: Sdes,
    rounds: Rounds,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct RoundsReport {
    /// Calls.
    pub calls: usize,
    /// Which legs encrypted.
    pub sdes: Sdes,
    /// Bytes of a payload.
    pub payload: usize,
    /// How the servers compare.
    #[serde(flatten)]
    pub comparison: Comparison<Report>,
}

impl Job {
    /// What `args` ask for; `None` if no server of calls is to be started.
    pub fn of(args: &Args) -> Option<Self> {
        let programs = args.contestants();
        let rounds = Rounds { programs, core: args.core, rounds: args.rounds };
        let job = || Self { plan: args.plan(), sdes: args.sdes, rounds };
        (!args.contestants().is_empty()).then(job)
    }

    /// Does it; `say` hears how it goes, and `tell` of each second.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(
        &self,
        stop: &AtomicBool,
        say: &mut dyn FnMut(&str),
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<RoundsReport, Box<dyn Error>> {
        let Self { plan, sdes, rounds } = self;
        let comparison = rounds.run(stop, say, |make, program| {
            let server = Server::start(make, program, rounds.core, plan.calls + SPARE)?;
            let process = Process::new(server.pid())?;
            let run = format!("load{}", server.pid());
            let client = NgClient::new(server.address, &run)?;
            let mut door = Door::Ng(NgDoor { client, run: &run, sdes: *sdes, rest: None });
            Ok(beside::run(plan, &mut door, Some(&process), stop, None, tell)?.media)
        })?;
        let payload = plan.audio_bytes;
        Ok(RoundsReport { calls: plan.calls, sdes: *sdes, payload, comparison })
    }
}

impl Outcome for Report {
    /// A generator that did not offer what was asked for proves nothing, whatever was lost.
    fn verdict(&self) -> Verdict {
        let doubts = !self.generator.doubts(self.media["total"].sent).is_empty();
        if self.verdict == Verdict::Clean && doubts { Verdict::Inconclusive } else { self.verdict }
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        let latency = &self.latency_us;
        let mut figures = vec![
            ("loss, %", 100.0 * self.media["total"].loss()),
            ("latency p50, us", latency.p50 as f64),
            ("latency p99, us", latency.p99 as f64),
            ("latency p99.9, us", latency.p999 as f64),
            ("set-up p50, ms", self.set_up_ms.p50 as f64),
        ];
        if let Some(server) = &self.server {
            let [before, after, _] = server.resident;
            let each = after.saturating_sub(before) as f64 / self.asked.calls.max(1) as f64;
            figures.insert(0, ("CPU us per packet", server.ns_per_packet / 1e3));
            figures.push(("process kB per call", each / 1e3));
        }
        figures
    }

    fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

impl fmt::Display for RoundsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, sdes, payload, comparison } = self;
        let legs = match sdes {
            Sdes::None => "plain RTP",
            Sdes::Caller => "SDES to plain RTP",
            Sdes::Both => "SDES to SDES",
        };
        let (runs, left_out) = (comparison.rounds.len(), comparison.left_out());
        writeln!(
            f,
            "{calls} calls, {legs}, payloads of {payload} bytes: {runs} runs, {left_out} left out"
        )?;
        comparison.fmt(f)
    }
}
