//! The highest number of calls that a server carries: at which neither more is lost than is allowed nor p99 is beyond
//! a limit.
//!
//! Calls of the same mix are put on it, half as many more each time, until they do not hold; then the search closes
//! in between the two. A step in which the generator was too slow says nothing of the server: it is done once more,
//! since something else may have kept the generator off its core, and then ends the search.

use std::fmt;

use serde::Serialize;

use crate::bracket::Bracket;
use crate::report::{MEMORY, Report, Verdict};
use crate::rounds::Figure;

/// How far what holds and what does not may be from each other in the end.
const PRECISION: f64 = 0.05;

/// What a number of calls has to keep to hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goal {
    /// One-way latency of 99 packets of a hundred, most, in milliseconds.
    pub p99_ms: f64,
    /// Share of packets that may be lost.
    pub allow_loss: f64,
}

/// How many calls are tried.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// To begin with.
    pub first: usize,
    /// Most, which is what the generator and the ports have room for.
    pub most: usize,
}

/// What came of so many calls.
pub enum Tried {
    /// They were made, and this is what became of them.
    Made(Box<Report>),
    /// The server refused some, with these words.
    Refused(String),
    /// The generator cannot make so many, for this reason.
    Unable(String),
    /// The run was ended by whoever watches it.
    Stopped,
}

/// A step of the search.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Calls.
    pub calls: usize,
    /// Whether they hold, or nothing is known.
    pub finding: Finding,
    /// Why they do not hold, or why nothing is known.
    pub why: String,
    /// What was measured, if calls were made.
    pub measured: Option<Measured>,
}

/// What a step shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Share of packets that was lost.
    pub loss: f64,
    /// Median of the one-way latency, in microseconds.
    pub p50_us: u64,
    /// 99 of a hundred packets took no longer.
    pub p99_us: u64,
    /// CPU microseconds of the server per packet.
    pub us_per_packet: Option<f64>,
    /// Cores that the server was busy on.
    pub cores: Option<f64>,
    /// Share of its time that the busiest thread of the generator was busy.
    pub generator: Option<f64>,
}

/// What a step says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It carries so many.
    Holds,
    /// It does not.
    Fails,
    /// The generator was too slow to say.
    Unknown,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// What holds and what does not are known closely enough.
    Found,
    /// No number of calls held.
    Nothing,
    /// The generator could not make more: the server may carry more.
    Generator,
    /// Whoever watched it ended it.
    Stopped,
}

/// What came of a search.
#[derive(Debug, Serialize)]
pub struct SearchReport {
    /// What to make of it: inconclusive if it is the generator that has set the limit.
    pub verdict: Verdict,
    /// What a reader has to know.
    pub remarks: Vec<String>,
    /// What had to be kept.
    pub goal: Goal,
    /// The highest number of calls that held.
    pub highest: Option<usize>,
    /// The lowest that did not.
    pub lowest: Option<usize>,
    /// Why it ended.
    pub end: End,
    /// Each step.
    pub steps: Vec<Step>,
    /// The calls at the highest number.
    pub best: Option<Box<Report>>,
}

/// Tries numbers of calls with `make` until the highest is found, and says each step.
///
/// # Errors
/// Those of `make`.
pub fn search<E>(
    goal: Goal,
    range: Range,
    mut make: impl FnMut(usize) -> Result<Tried, E>,
    say: &dyn Fn(&str),
) -> Result<SearchReport, E> {
    let mut bracket = Bracket::new(range.first as f64, range.most as f64, PRECISION);
    let (mut steps, mut best, mut end, mut is_again) = (Vec::new(), None, None, false);
    while let Some(calls) = bracket.next().map(|calls| calls.round() as usize) {
        let tried = make(calls)?;
        if matches!(tried, Tried::Stopped) {
            end = Some(End::Stopped);
            break;
        }
        let (finding, why) = goal.judge(&tried);
        let report = if let Tried::Made(report) = tried { Some(report) } else { None };
        let measured = report.as_deref().map(Measured::of);
        let step = Step { calls, finding, why, measured };
        say(&step.to_string());
        steps.push(step);
        match finding {
            Finding::Unknown if !std::mem::replace(&mut is_again, true) => continue,
            Finding::Unknown => {
                end = Some(End::Generator);
                break;
            }
            Finding::Holds => best = report,
            Finding::Fails => {}
        }
        is_again = false;
        bracket.note(calls as f64, finding == Finding::Holds);
    }
    let [highest, lowest] =
        [bracket.highest(), bracket.lowest()].map(|calls| calls.map(|calls| calls as usize));
    let end = end.unwrap_or(match (highest, lowest) {
        (None, _) => End::Nothing,
        (_, None) => End::Generator,
        _ => End::Found,
    });
    Ok(SearchReport::new(goal, highest, lowest, end, steps, best))
}

impl Goal {
    /// What came of a step, and why it does not hold or says nothing.
    fn judge(&self, tried: &Tried) -> (Finding, String) {
        let report = match tried {
            Tried::Made(report) => report,
            Tried::Refused(why) => return (Finding::Fails, format!("the server refused: {why}")),
            Tried::Unable(why) => return (Finding::Unknown, why.clone()),
            Tried::Stopped => return (Finding::Unknown, "ended early".to_owned()),
        };
        let total = report.media["total"];
        if report.verdict == Verdict::Corrupt {
            return (Finding::Fails, "packets came that were not what was sent".to_owned());
        }
        if let Some(doubt) = report.generator.doubts(total.sent).into_iter().next() {
            return (Finding::Unknown, doubt);
        }
        if report.calls.failed > 0 || report.calls.up == 0 {
            return (
                Finding::Fails,
                format!("{} calls did not come up or broke", report.calls.failed),
            );
        }
        if total.loss() > self.allow_loss {
            return (Finding::Fails, format!("lost {:.4} %", 100.0 * total.loss()));
        }
        let p99 = report.latency_us.p99 as f64 / 1e3;
        if p99 > self.p99_ms {
            return (Finding::Fails, format!("p99 {p99:.2} ms"));
        }
        (Finding::Holds, String::new())
    }
}

impl Measured {
    fn of(report: &Report) -> Self {
        let server = report.server.as_ref();
        Self {
            loss: report.media["total"].loss(),
            p50_us: report.latency_us.p50,
            p99_us: report.latency_us.p99,
            us_per_packet: server.map(|server| server.ns_per_packet / 1e3),
            cores: server.map(|server| server.cpu.total() / server.seconds.max(f64::EPSILON)),
            generator: report.generator.busy(),
        }
    }
}

impl SearchReport {
    fn new(
        goal: Goal,
        highest: Option<usize>,
        lowest: Option<usize>,
        end: End,
        steps: Vec<Step>,
        best: Option<Box<Report>>,
    ) -> Self {
        let is_corrupt = steps.iter().any(|step| step.why.starts_with("packets came"));
        let verdict = match end {
            _ if is_corrupt => Verdict::Corrupt,
            End::Found => Verdict::Clean,
            End::Nothing => Verdict::Lossy,
            End::Generator | End::Stopped => Verdict::Inconclusive,
        };
        let mut report =
            Self { verdict, remarks: Vec::new(), goal, highest, lowest, end, steps, best };
        report.remarks = vec![report.claim()];
        report
    }

    /// What was found, in a sentence.
    pub fn claim(&self) -> String {
        let last = self.steps.last();
        let why = last.map_or("", |step| step.why.as_str());
        match (self.end, self.highest) {
            (End::Found, Some(calls)) => {
                let failed = self.steps.iter().rfind(|step| Some(step.calls) == self.lowest);
                let failed = failed.map_or_else(String::new, |step| {
                    format!("; {} do not hold: {}", step.calls, step.why)
                });
                format!("{calls} calls at most{failed}")
            }
            (End::Generator, Some(calls))
                if last.is_some_and(|step| step.finding == Finding::Holds) =>
            {
                format!(
                    "at least {calls} calls: more cannot be made from here; that is no limit of the server's"
                )
            }
            (End::Generator, Some(calls)) => {
                format!("at least {calls} calls: the generator's limit, not the server's ({why})")
            }
            (End::Generator, None) => {
                format!("nothing is known: the generator was too slow ({why})")
            }
            (End::Stopped, Some(calls)) => {
                format!("at least {calls} calls; the search was ended early")
            }
            (End::Stopped, None) => "nothing is known: the search was ended early".to_owned(),
            _ => format!("no number of calls held: {why}"),
        }
    }

    /// What servers are compared by: the highest number of calls, and what they cost there.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![Figure::gain("calls, most", self.highest.unwrap_or(0) as f64)];
        // Memory that an earlier step took is not taken again.
        let others = self.best.iter().flat_map(|best| best.figures());
        figures.extend(others.filter(|figure| figure.name != MEMORY));
        figures
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.finding {
            Finding::Holds => "holds",
            Finding::Fails => "fails",
            Finding::Unknown => "unknown",
        };
        write!(f, "{:>6} calls {word:<9}", self.calls)?;
        if let Some(measured) = &self.measured {
            let percent = |share: Option<f64>| {
                share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", 100.0 * share))
            };
            let cpu =
                measured.us_per_packet.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}"));
            write!(
                f,
                "p50 {} us, p99 {} us, lost {:.4} %, {cpu} us of CPU per packet, server {}, generator {}",
                measured.p50_us,
                measured.p99_us,
                100.0 * measured.loss,
                percent(measured.cores),
                percent(measured.generator),
            )?;
        }
        if self.why.is_empty() { Ok(()) } else { write!(f, " [{}]", self.why) }
    }
}

impl fmt::Display for SearchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Goal { p99_ms, allow_loss } = self.goal;
        writeln!(
            f,
            "the most calls with a one-way p99 of {p99_ms} ms and {} % lost, at most:",
            100.0 * allow_loss
        )?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "! {remark}"))?;
        writeln!(f, "\n{}", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::report::tests::made;

    const GOAL: Goal = Goal { p99_ms: 5.0, allow_loss: 0.001 };

    /// A search at a server whose p99 is `p99` at so many calls; the generator is late beyond `own`.
    fn at(range: Range, own: usize, p99: impl Fn(usize) -> u64) -> SearchReport {
        let make = |calls: usize| {
            let mut report = made(calls, p99(calls), 0);
            if calls > own {
                report.generator.late = report.media["total"].sent;
            }
            Ok::<_, Infallible>(Tried::Made(Box::new(report)))
        };
        search(GOAL, range, make, &|_| {}).unwrap()
    }

    const RANGE: Range = Range { first: 100, most: 1000 };

    #[test]
    fn the_highest_number_whose_latency_holds_is_found() {
        let report = at(RANGE, 1000, |calls| if calls <= 205 { 900 } else { 9000 });
        assert_eq!((report.verdict, report.end), (Verdict::Clean, End::Found));
        assert_eq!((report.highest, report.lowest), (Some(198), Some(207)));
        assert_eq!(report.best.as_ref().map(|best| best.asked.calls), Some(198));
        assert_eq!(report.figures()[0], Figure::gain("calls, most", 198.0));
        assert!(report.claim().contains("207 do not hold: p99 9.0"), "{}", report.claim());
    }

    #[test]
    fn a_generator_that_is_too_slow_ends_it_without_a_claim() {
        let report = at(RANGE, 160, |_| 900);
        assert_eq!((report.verdict, report.end), (Verdict::Inconclusive, End::Generator));
        assert_eq!((report.highest, report.lowest, report.steps.len()), (Some(150), None, 4));
        assert!(
            report.claim().starts_with("at least 150 calls: the generator's limit"),
            "{}",
            report.claim()
        );
        let report = at(RANGE, 10, |_| 900);
        assert_eq!((report.highest, report.steps.len()), (None, 2));
        let report = at(Range { first: 100, most: 150 }, 1000, |_| 900);
        assert_eq!((report.verdict, report.highest), (Verdict::Inconclusive, Some(150)));
    }

    #[test]
    fn a_step_that_said_nothing_is_done_once_more() {
        let mut count = 0;
        let make = |calls: usize| {
            count += 1;
            let mut report = made(calls, if calls <= 205 { 900 } else { 9000 }, 0);
            report.generator.unsent = u64::from(count % 3 == 2);
            Ok::<_, Infallible>(Tried::Made(Box::new(report)))
        };
        let report = search(GOAL, RANGE, make, &|_| {}).unwrap();
        assert_eq!((report.end, report.highest, report.lowest), (End::Found, Some(198), Some(207)));
    }

    #[test]
    fn nothing_that_holds_is_said() {
        let report = at(RANGE, 1000, |_| 9000);
        assert_eq!(
            (report.verdict, report.end, report.highest),
            (Verdict::Lossy, End::Nothing, None)
        );
        assert_eq!(report.steps.last().map(|step| step.calls), Some(1));
    }

    #[test]
    fn what_is_lost_or_refused_does_not_hold() {
        let lossy = Tried::Made(Box::new(made(100, 900, 2)));
        assert_eq!(GOAL.judge(&lossy).0, Finding::Fails);
        let allowed = Tried::Made(Box::new(made(100, 900, 1)));
        assert_eq!(GOAL.judge(&allowed).0, Finding::Holds);
        assert_eq!(GOAL.judge(&Tried::Refused("full".into())).0, Finding::Fails);
        assert_eq!(GOAL.judge(&Tried::Unable("descriptors".into())).0, Finding::Unknown);
    }

    #[test]
    fn whoever_stops_it_learns_what_is_known() {
        let mut count = 0;
        let make = |calls| {
            count += 1;
            let tried =
                if count < 3 { Tried::Made(Box::new(made(calls, 900, 0))) } else { Tried::Stopped };
            Ok::<_, Infallible>(tried)
        };
        let report = search(GOAL, RANGE, make, &|_| {}).unwrap();
        assert_eq!((report.end, report.highest), (End::Stopped, Some(150)));
    }
}
