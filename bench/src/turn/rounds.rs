//! Two servers in turn, round after round, each fresh and each with the same work, and the ratio of what they cost.
//!
//! A machine drifts, so figures of one round belong together: the ratio is taken round by round, and told with its
//! spread.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::job::Work;
use super::plan::Plan;
use super::report::{AllocationsReport, TrafficReport, word};
use super::server::{Make, Server};
use crate::report::Verdict;

/// Servers, and what they are asked for.
#[derive(Debug)]
pub struct Rounds {
    /// Each server's program.
    pub programs: Vec<(Make, PathBuf)>,
    /// Their core.
    pub core: usize,
    /// How often.
    pub rounds: u32,
}

/// What came of one server's round.
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
    /// Each round of each server.
    pub rounds: Vec<Round>,
    /// What they are compared by.
    pub rows: Vec<Row>,
}

/// A round of one server.
#[derive(Debug, Serialize)]
pub struct Round {
    /// Its number.
    pub number: u32,
    /// Whose.
    pub make: Make,
    /// What came of it.
    pub outcome: Outcome,
}

/// A figure over the rounds.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub figure: &'static str,
    /// Of each server.
    pub of: BTreeMap<Make, Spread>,
    /// coturn's, divided by causeway's of the same round.
    pub ratio: Option<Spread>,
}

/// Where values lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// As many are above as below.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Rounds {
    /// Does `work` with each server in each round, the order changing from round to round; `say` hears of each.
    ///
    /// # Errors
    /// If a server does not start, or the work cannot be done.
    pub fn run(
        &self,
        plan: &Plan,
        work: &Work,
        stop: &AtomicBool,
        say: &mut dyn FnMut(&str),
    ) -> io::Result<RoundsReport> {
        let mut rounds = Vec::new();
        for number in 0..self.rounds {
            let mut programs: Vec<_> = self.programs.iter().collect();
            if !number.is_multiple_of(2) {
                programs.reverse();
            }
            for (make, program) in programs {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let server = Server::start(*make, program, self.core, plan)
                    .map_err(|error| io::Error::other(format!("{}: {error}", program.display())))?;
                let outcome = work.run(plan, server.target, stop)?;
                drop(server);
                say(&format!("round {} {make}: {}", number + 1, outcome.line()));
                rounds.push(Round { number, make: *make, outcome });
            }
        }
        let rows = rows(&rounds);
        Ok(RoundsReport { plan: plan.clone(), rounds, rows })
    }
}

impl Outcome {
    /// What to make of it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Traffic(report) => report.verdict,
            Self::Allocations(report) => report.verdict,
        }
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
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

    /// Whether its figures are the server's: what it lost is, what the generator did not send is not.
    fn counts(&self) -> bool {
        matches!(self.verdict(), Verdict::Clean | Verdict::Lossy)
    }

    fn line(&self) -> String {
        let mut line = word(self.verdict());
        for (name, value) in self.figures() {
            line += &format!(", {name} {value:.2}");
        }
        self.remarks().iter().for_each(|remark| line += &format!("; {remark}"));
        line
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

impl RoundsReport {
    /// The program's exit code: that of the worst round.
    pub fn exit_code(&self) -> u8 {
        let codes = self.rounds.iter().map(|round| round.outcome.verdict().exit_code());
        codes.max().unwrap_or(0)
    }
}

/// By server and round.
type Values = BTreeMap<(Make, u32), f64>;

fn rows(rounds: &[Round]) -> Vec<Row> {
    // By figure, each in its place.
    let mut values: Vec<(&'static str, Values)> = Vec::new();
    for round in rounds.iter().filter(|round| round.outcome.counts()) {
        for (figure, value) in round.outcome.figures() {
            let place = values.iter().position(|(name, _)| *name == figure);
            let place = place.unwrap_or_else(|| {
                values.push((figure, BTreeMap::new()));
                values.len() - 1
            });
            values[place].1.insert((round.make, round.number), value);
        }
    }
    values.into_iter().map(|(figure, values)| row(figure, &values)).collect()
}

fn row(figure: &'static str, values: &Values) -> Row {
    let of = |make: Make| {
        let own = values.iter().filter(|((whose, _), _)| *whose == make);
        Spread::of(own.map(|(_, value)| *value).collect())
    };
    let ratios = values.iter().filter_map(|((make, number), theirs)| {
        let ours = *values.get(&(Make::Causeway, *number)).filter(|ours| **ours > 0.0)?;
        (*make == Make::Coturn).then_some(theirs / ours)
    });
    Row {
        figure,
        ratio: Spread::of(ratios.collect()),
        of: [Make::Coturn, Make::Causeway]
            .into_iter()
            .filter_map(|make| Some((make, of(make)?)))
            .collect(),
    }
}

impl Spread {
    /// Of these; `None` if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max, middle) = (*values.first()?, *values.last()?, values.len() / 2);
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self { min, median, max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = self;
        f.pad(&format!("{median:.2} ({min:.2} to {max:.2})"))
    }
}

impl fmt::Display for RoundsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.rounds.iter().filter(|round| !round.outcome.counts()).count();
        let runs = self.rounds.len();
        writeln!(
            f,
            "{}, {:.0} packets/s: {runs} runs, {left_out} left out",
            self.plan, self.plan.rate
        )?;
        writeln!(
            f,
            "{:<32}{:<34}{:<34}coturn / causeway",
            "median (least to most)", "coturn", "causeway"
        )?;
        for Row { figure, of, ratio } in &self.rows {
            let cell = |spread: Option<&Spread>| spread.map(Spread::to_string).unwrap_or_default();
            let [coturn, causeway] = [Make::Coturn, Make::Causeway].map(|make| cell(of.get(&make)));
            writeln!(f, "{figure:<32}{coturn:<34}{causeway:<34}{}", cell(ratio.as_ref()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values.to_vec()).unwrap();
        assert_eq!(of(&[3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let values = [
            ((Make::Coturn, 0), 10.0),
            ((Make::Causeway, 0), 5.0),
            ((Make::Coturn, 1), 40.0),
            ((Make::Causeway, 1), 10.0),
            ((Make::Coturn, 2), 7.0),
        ];
        let row = row("us", &values.into_iter().collect());
        assert_eq!(row.ratio, Some(Spread { min: 2.0, median: 3.0, max: 4.0 }));
        assert_eq!(row.of[&Make::Coturn].median, 10.0);
    }

    #[test]
    fn one_server_alone_has_no_ratio() {
        let row = row("us", &[((Make::Coturn, 0), 10.0)].into_iter().collect());
        assert_eq!((row.ratio, row.of.len()), (None, 1));
    }
}
