//! What the command line asks of calls, and its doing: with a server that runs, with one that is started, or with
//! several in turn.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_engine::config::SOCKETS_PER_WORKER;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::about;
use crate::args::Args;
use crate::contestant::Contestant;
use crate::door::{Door, NgDoor};
use crate::make::Make;
use crate::ng::beside::{self, Beside};
use crate::ng::client::NgClient;
use crate::ng::report::NgReport;
use crate::ng::search::Signalling;
use crate::ng::server::{self, Server};
use crate::ng::standing::{self, Standing, StandingReport};
use crate::node::Node;
use crate::phones::Phones;
use crate::plan::{CALLS_MAX, Plan};
use crate::process::Process;
use crate::report::{Headroom, Report as CallsReport, Verdict};
use crate::rest::{Api, Rest};
use crate::rounds::{self, Comparison, Figure, Rounds};
use crate::run::{Flags, Progress, RunError, run};
use crate::search::{Goal, Range, SearchReport, Tried, search};
use crate::table::Table;

/// Calls that are ended and made anew beside those that a plan says: a server has to have room for both.
const SPARE: usize = 64;

/// What is done with a server.
#[derive(Debug, Clone)]
pub struct Work {
    plan: Plan,
    phones: Phones,
    beside: Option<Signalling>,
    goal: Option<Goal>,
    standing: Option<Standing>,
}

/// Where calls are asked for.
pub struct Target {
    /// The REST API: where legs are browsers, and else where a server that has one says what it does.
    pub rest: Option<Rest>,
    /// Where legs are phones, the ng protocol.
    pub ng: Option<SocketAddr>,
    /// The process, if it may be looked at.
    pub process: Option<Process>,
}

/// How servers are reached that are started.
#[derive(Debug)]
pub struct Way {
    token: Option<Zeroizing<String>>,
    ng: Option<SocketAddr>,
    /// Whether they are nodes that get all their settings from the command line; else servers of ng that are
    /// configured alike.
    is_node: bool,
}

/// What is to be done.
pub enum Job {
    /// Work with a server that runs.
    Running(Work, Target),
    /// Work with a node that is started.
    Spawned(Work, Way, Contestant),
    /// Work with several in turn.
    Rounds(Work, Way, Rounds),
}

/// What came of work with one server.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Calls.
    Calls(Box<CallsReport>),
    /// Calls, and requests beside them.
    Beside(Box<NgReport>),
    /// Calls, more and more of them.
    Search(Box<SearchReport>),
    /// Calls that carry nothing.
    Standing(Box<StandingReport>),
}

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub struct RoundsReport {
    /// Calls; in searches to begin with.
    pub calls: usize,
    /// What calls had to keep, if the highest number was looked for.
    pub goal: Option<Goal>,
    /// What legs are.
    pub legs: String,
    /// Bytes of a payload of audio.
    pub payload: usize,
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
}

/// A server that was started, and where it is asked; stopped when dropped.
struct Started {
    target: Target,
    _node: Option<Node>,
    _server: Option<Server>,
}

impl Way {
    /// Starts `contestant` with room for so many calls, on `core` if that matters.
    fn start(
        &self,
        contestant: &Contestant,
        core: Option<usize>,
        calls: usize,
    ) -> Result<Started, Box<dyn Error>> {
        let rest = |api: Api| Rest::new(api, self.token.clone());
        if self.is_node {
            let node = Node::spawn(contestant, core)?;
            let (api, process) = (node.api().clone(), Process::new(node.pid())?);
            let target = Target { rest: Some(rest(api)), ng: self.ng, process: Some(process) };
            return Ok(Started { target, _node: Some(node), _server: None });
        }
        let server = Server::start(contestant, core.unwrap_or_default(), calls)?;
        let target = Target {
            rest: server.api.map(|at| rest(at.into())),
            ng: Some(server.address),
            process: Some(Process::new(server.pid())?),
        };
        Ok(Started { target, _node: None, _server: Some(server) })
    }
}

impl Target {
    /// Which server it is, as far as it says.
    fn about(&self) -> about::Server {
        let version = self.rest.as_ref().and_then(|rest| rest.version().ok());
        let version =
            version.map_or_else(|| "unknown".to_owned(), |said| format!("causeway {said}"));
        about::Server { name: "server".into(), version, settings: String::new() }
    }

    /// A way to ask for calls, which `run` sets apart from others.
    fn door<'a>(&'a self, phones: Phones, run: &'a str) -> Result<Door<'a>, RunError> {
        match (self.ng, &self.rest) {
            (Some(address), rest) => {
                let client = NgClient::new(address, run).map_err(crate::door::DoorError::from)?;
                Ok(Door::Ng(NgDoor { client, run, phones, rest: rest.as_ref() }))
            }
            (None, Some(rest)) => Ok(Door::Rest(rest)),
            (None, None) => Err(io::Error::other("there is nobody to ask").into()),
        }
    }
}

impl Work {
    /// The same with legs that do not encrypt.
    fn plain(&self) -> Self {
        Self { phones: self.phones.plain(), ..self.clone() }
    }

    /// Does it; `say` hears how it goes, and `tell` of each second.
    fn run(
        &self,
        target: &Target,
        stop: &AtomicBool,
        say: &dyn Fn(&str),
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Outcome, Box<dyn Error>> {
        if let Some(goal) = self.goal {
            let range = Range { first: self.plan.calls, most: self.most()? };
            // A server remembers what it has answered, so each step has names of its own.
            let mut names = (1..).map(|step| format!("load{}n{step}", std::process::id()));
            let make = |calls| {
                let name = names.next().unwrap_or_default();
                self.try_calls(calls, &name, target, stop, tell)
            };
            return Ok(Outcome::Search(Box::new(search(goal, range, make, say)?)));
        }
        let name = format!("load{}", std::process::id());
        if let (Some(asked), Some(server), Some(process)) =
            (self.standing, target.ng, &target.process)
        {
            let report = standing::run(asked, self.phones, server, process, &name, stop)?;
            return Ok(Outcome::Standing(Box::new(report)));
        }
        let mut door = target.door(self.phones, &name)?;
        let process = target.process.as_ref();
        if let (Some(asked), Some(server)) = (&self.beside, target.ng) {
            let beside = Beside { server, asked, run: &name };
            let report = beside::run(&self.plan, &mut door, process, stop, beside, tell)?;
            return Ok(Outcome::Beside(Box::new(report)));
        }
        let flags = Flags { stop, enough: &AtomicBool::new(false) };
        Ok(Outcome::Calls(Box::new(run(&self.plan, &mut door, process, flags, tell)?)))
    }

    /// Whether the server carries so many.
    fn try_calls(
        &self,
        calls: usize,
        name: &str,
        target: &Target,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Tried, RunError> {
        let mut door = target.door(self.phones, name)?;
        let plan = Plan { calls, ..self.plan.clone() };
        let flags = Flags { stop, enough: &AtomicBool::new(false) };
        let made = run(&plan, &mut door, target.process.as_ref(), flags, tell);
        if stop.load(Ordering::Relaxed) {
            return Ok(Tried::Stopped);
        }
        match made {
            Ok(report) => Ok(Tried::Made(Box::new(report))),
            Err(RunError::Door(error)) if error.is_refusal() => {
                Ok(Tried::Refused(error.to_string()))
            }
            Err(error @ (RunError::Descriptors { .. } | RunError::Crowded { .. })) => {
                Ok(Tried::Unable(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Calls that can be made, most: at a server of ng no more than it has ports for.
    fn most(&self) -> io::Result<usize> {
        let sockets = self.plan.sockets();
        let own = self.plan.threads * (SOCKETS_PER_WORKER / sockets);
        Ok(own.min(CALLS_MAX).min(server::room(sockets)?.saturating_sub(SPARE)))
    }

    /// Calls that a server is to have room for.
    fn room(&self) -> io::Result<usize> {
        Ok(SPARE + if self.goal.is_some() { self.most()? } else { self.plan.calls })
    }

    /// What legs are, where calls are made this way.
    fn legs(&self, way: &Way) -> String {
        let is_rest = way.is_node && way.ng.is_none();
        let legs = if is_rest { "WebRTC".to_owned() } else { self.phones.words() };
        format!("{legs}, {}", self.plan.mix)
    }
}

impl Job {
    /// The servers, and which ones they are as far as they say.
    pub fn servers(&self) -> Vec<about::Server> {
        match self {
            Self::Running(_, target) => vec![target.about()],
            Self::Spawned(_, _, contestant) => vec![contestant.about()],
            Self::Rounds(_, _, rounds) => {
                rounds.contestants.iter().map(Contestant::about).collect()
            }
        }
    }

    /// What `args` ask for.
    ///
    /// # Errors
    /// If the process that they name cannot be looked at.
    pub fn of(args: &mut Args) -> Result<Self, Box<dyn Error>> {
        let work = Work {
            plan: args.plan(),
            phones: args.phones(),
            beside: args.signalling(),
            goal: args.goal(),
            standing: args.standing(),
        };
        let token = args.token();
        let way = |is_node| Way { token: token.clone(), ng: args.ng, is_node };
        let contestants = args.contestants();
        if let (Some(program), []) = (&args.spawn, &args.variants[..]) {
            let mut all = Contestant::each(Make::Causeway, program, &args.node, &[]);
            return Ok(Self::Spawned(work, way(true), all.remove(0)));
        }
        if !contestants.is_empty() {
            let rounds = Rounds { contestants, core: args.core, rounds: args.rounds };
            return Ok(Self::Rounds(work, way(args.spawn.is_some()), rounds));
        }
        let process = args.server_pid.map(Process::new).transpose();
        let process =
            process.map_err(|error| format!("the node's process cannot be looked at: {error}"))?;
        let rest = args.ng.is_none().then(|| Rest::new(args.api.clone(), token));
        Ok(Self::Running(work, Target { rest, ng: args.ng, process }))
    }

    /// Does it; `say` hears how it goes, and `tell` of each second.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(
        &self,
        stop: &AtomicBool,
        say: &dyn Fn(&str),
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Report, Box<dyn Error>> {
        Ok(match self {
            Self::Running(work, target) => Report::One(work.run(target, stop, say, tell)?),
            Self::Spawned(work, way, contestant) => {
                let started = way.start(contestant, None, work.room()?)?;
                Report::One(work.run(&started.target, stop, say, tell)?)
            }
            Self::Rounds(work, way, rounds) => {
                let calls = work.plan.calls;
                let comparison = rounds.run(stop, say, |contestant| {
                    let started = way.start(contestant, Some(rounds.core), work.room()?)?;
                    match contestant.make {
                        // It has no keys.
                        Make::Floor => work.plain().run(&started.target, stop, say, tell),
                        _ => work.run(&started.target, stop, say, tell),
                    }
                })?;
                let (legs, payload) = (work.legs(way), work.plan.audio_bytes);
                Report::Rounds(RoundsReport { calls, goal: work.goal, legs, payload, comparison })
            }
        })
    }
}

impl Report {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::One(Outcome::Calls(report)) => report.verdict.exit_code(),
            Self::One(Outcome::Beside(report)) => report.exit_code(),
            Self::One(Outcome::Search(report)) => report.verdict.exit_code(),
            Self::One(Outcome::Standing(report)) => report.verdict.exit_code(),
            Self::Rounds(report) => report.comparison.exit_code(),
        }
    }
}

impl Outcome {
    /// The calls; in a search those at the highest number.
    pub fn report(&self) -> Option<&CallsReport> {
        match self {
            Self::Calls(report) => Some(report),
            Self::Beside(report) => Some(&report.media),
            Self::Search(report) => report.best.as_deref(),
            Self::Standing(_) => None,
        }
    }
}

impl rounds::Outcome for Outcome {
    /// A generator that did not offer what was asked for proves nothing, whatever was lost.
    fn verdict(&self) -> Verdict {
        let report = match self {
            Self::Calls(report) => report,
            Self::Beside(report) => &report.media,
            Self::Search(report) => return report.verdict,
            Self::Standing(report) => return report.verdict,
        };
        match report.verdict {
            Verdict::Clean if report.generator.headroom.is_exceeded => Verdict::Inconclusive,
            verdict => verdict,
        }
    }

    fn figures(&self) -> Vec<Figure> {
        match self {
            Self::Calls(report) => report.figures(),
            Self::Beside(report) => report.media.figures(),
            Self::Search(report) => report.figures(),
            Self::Standing(report) => report.figures(),
        }
    }

    fn remarks(&self) -> &[String] {
        match self {
            Self::Calls(report) => &report.remarks,
            Self::Beside(report) => &report.media.remarks,
            Self::Search(report) => &report.remarks,
            Self::Standing(report) => &report.remarks,
        }
    }

    fn headroom(&self) -> Option<&Headroom> {
        self.report().map(|report| &report.generator.headroom)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(report) => Table(report).fmt(f),
            Self::Beside(report) => write!(f, "{}{report}", Table(&report.media)),
            Self::Search(report) => report.fmt(f),
            Self::Standing(report) => report.fmt(f),
        }
    }
}

impl RoundsReport {
    /// What was done with each server.
    pub fn words(&self) -> String {
        let Self { calls, goal, legs, .. } = self;
        match goal {
            Some(goal) => format!("most calls with a p99 of {} ms, {legs}", goal.p99_ms),
            None => format!("{calls} calls, {legs}"),
        }
    }
}

impl fmt::Display for RoundsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payload, comparison, .. } = self;
        let (runs, left_out) = (comparison.rounds.len(), comparison.left_out());
        let what = self.words();
        writeln!(f, "{what}, audio payloads of {payload} bytes: {runs} runs, {left_out} left out")?;
        comparison.fmt(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(outcome) => outcome.fmt(f),
            Self::Rounds(report) => report.fmt(f),
        }
    }
}
