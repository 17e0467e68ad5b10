//! What the command line asks of TURN, and its doing.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;

use causeway_engine::sys::cpu;
use serde::Serialize;

use super::args::SOURCES;
use super::flood::{self, Flood};
use super::plan::{Plan, Target};
use super::report::{AllocationsReport, FloodReport, TrafficReport};
use super::server;
use super::{allocations, traffic};
use crate::about::Server;
use crate::args::Args;
use crate::contestant::Contestant;
use crate::make::Make;
use crate::report::{CROWD, Headroom, Verdict};
use crate::rounds::{self, Comparison, Figure, Rounds};

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// They send and receive.
    Traffic,
    /// They get allocations, at most so many at the same time.
    Allocations(usize),
}

/// What is to be done.
#[derive(Debug)]
pub enum Job {
    /// Work with a server that runs.
    One(Box<Plan>, Work, Target),
    /// Work with servers that are started.
    Rounds(Box<Plan>, Work, Rounds),
    /// A flood, from this core.
    Flood(Flood, Target, Option<usize>),
}

/// What came of work with one server.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Packets.
    Traffic(Box<TrafficReport>),
    /// Allocations.
    Allocations(Box<AllocationsReport>),
}

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub struct RoundsReport {
    /// What was asked for.
    pub plan: Plan,
    /// How the servers compare.
    #[serde(flatten)]
    pub comparison: Comparison<Outcome>,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of the work.
    One(Outcome),
    /// Of all rounds.
    Rounds(RoundsReport),
    /// Of the flood.
    Flood(FloodReport),
}

impl Work {
    /// Does it, on the plan's core.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(self, plan: &Plan, target: Target, stop: &AtomicBool) -> io::Result<Outcome> {
        on(plan.core, || {
            Ok(match self {
                Self::Traffic => Outcome::Traffic(Box::new(traffic::run(plan, target, stop)?)),
                Self::Allocations(window) => {
                    let report = allocations::run(plan, target, window, stop)?;
                    Outcome::Allocations(Box::new(report))
                }
            })
        })
    }
}

impl Job {
    /// What `args` ask for; `None` if that is no TURN.
    pub fn of(args: &Args) -> Option<Self> {
        let turn = &args.turn;
        let plan = turn.plan(args);
        let work = match turn.turn_allocations {
            Some(_) => Work::Allocations(turn.turn_window as usize),
            None => Work::Traffic,
        };
        if let Some(address) = turn.turn {
            let target = Target { address, pid: args.server_pid, api: None };
            return Some(match turn.turn_flood {
                None => Self::One(plan.into(), work, target),
                Some(rate) => {
                    let sources = turn.turn_sources.unwrap_or(SOURCES) as usize;
                    let duration = plan.duration;
                    Self::Flood(Flood { rate, sources, duration }, target, plan.core)
                }
            });
        }
        let coturn =
            turn.turn_coturn.iter().map(|path| Contestant::new(Make::Coturn, path.clone()));
        let mut contestants: Vec<_> = coturn.collect();
        if let Some(program) = &turn.turn_causeway {
            contestants.extend(Contestant::each(Make::Causeway, program, &[], &args.variants));
        }
        let rounds = Rounds { contestants, core: args.core, rounds: args.rounds };
        (!rounds.contestants.is_empty()).then(|| Self::Rounds(plan.into(), work, rounds))
    }

    /// The servers, and which ones they are as far as they say.
    pub fn servers(&self) -> Vec<Server> {
        match self {
            Self::One(_, _, target) | Self::Flood(_, target, _) => {
                let (name, version) = (target.address.to_string(), "unknown".to_owned());
                vec![Server { name, version, settings: String::new() }]
            }
            Self::Rounds(_, _, rounds) => {
                rounds.contestants.iter().map(Contestant::about).collect()
            }
        }
    }

    /// Does it; `say` hears how it goes.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(&self, stop: &AtomicBool, say: &dyn Fn(&str)) -> Result<Report, Box<dyn Error>> {
        Ok(match self {
            Self::One(plan, work, target) => Report::One(work.run(plan, *target, stop)?),
            Self::Rounds(plan, work, rounds) => {
                let comparison = rounds.run(stop, say, |contestant| {
                    let server = server::Server::start(contestant, rounds.core, plan)?;
                    Ok(work.run(plan, server.target, stop)?)
                });
                Report::Rounds(RoundsReport { plan: (**plan).clone(), comparison: comparison? })
            }
            Self::Flood(flood, target, core) => {
                Report::Flood(on(*core, || flood::run(*flood, *target, stop))?)
            }
        })
    }
}

impl Report {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::One(outcome) => rounds::Outcome::verdict(outcome).exit_code(),
            Self::Rounds(report) => report.comparison.exit_code(),
            Self::Flood(report) => report.verdict.exit_code(),
        }
    }
}

impl rounds::Outcome for Outcome {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Traffic(report) => report.verdict,
            Self::Allocations(report) => report.verdict,
        }
    }

    fn figures(&self) -> Vec<Figure> {
        match self {
            Self::Traffic(report) => report.figures(),
            Self::Allocations(report) => report.figures(),
        }
    }

    fn remarks(&self) -> &[String] {
        match self {
            Self::Traffic(report) => &report.remarks,
            Self::Allocations(report) => &report.remarks,
        }
    }

    fn headroom(&self) -> Option<&Headroom> {
        if let Self::Traffic(report) = self { Some(&report.generator.headroom) } else { None }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traffic(report) => report.fmt(f),
            Self::Allocations(report) => report.fmt(f),
        }
    }
}

impl fmt::Display for RoundsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, comparison } = self;
        let (runs, left_out) = (comparison.rounds.len(), comparison.left_out());
        writeln!(f, "{plan}, {:.0} packets/s: {runs} runs, {left_out} left out", plan.rate)?;
        comparison.fmt(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(outcome) => outcome.fmt(f),
            Self::Rounds(report) => report.fmt(f),
            Self::Flood(report) => report.fmt(f),
        }
    }
}

/// Does something on a thread of its own that is pinned to `core`: what is started elsewhere is not.
fn on<T: Send>(core: Option<usize>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(CROWD.into());
        let pinned = || {
            core.map_or(Ok(()), cpu::pin)?;
            work()
        };
        let panicked = |_| Err(io::Error::other("the generator panicked"));
        builder.spawn_scoped(scope, pinned)?.join().unwrap_or_else(panicked)
    })
}
