//! Servers in turn, round after round, each fresh and each with the same work, and the ratio of what they cost.
//!
//! A machine drifts, so figures of one round belong together: the ratio is taken round by round, and told with its
//! spread.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::make::Make;
use crate::report::Verdict;

/// Servers, and how often.
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
pub trait Outcome {
    /// What to make of it.
    fn verdict(&self) -> Verdict;
    /// What servers are compared by: each is better if it is lower.
    fn figures(&self) -> Vec<(&'static str, f64)>;
    /// What else a reader has to know.
    fn remarks(&self) -> &[String];
}

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub struct Comparison<O> {
    /// Each round of each server.
    pub rounds: Vec<Round<O>>,
    /// What they are compared by.
    pub rows: Vec<Row>,
}

/// A round of one server.
#[derive(Debug, Serialize)]
pub struct Round<O> {
    /// Its number.
    pub number: u32,
    /// Whose.
    pub make: Make,
    /// What came of it.
    pub outcome: O,
}

/// A figure over the rounds.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub figure: &'static str,
    /// Of each server.
    pub of: BTreeMap<Make, Spread>,
    /// The other's, divided by causeway's of the same round.
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
    pub fn run<O: Outcome>(
        &self,
        stop: &AtomicBool,
        say: &mut dyn FnMut(&str),
        mut work: impl FnMut(Make, &Path) -> Result<O, Box<dyn Error>>,
    ) -> Result<Comparison<O>, Box<dyn Error>> {
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
                let outcome = work(*make, program)
                    .map_err(|error| format!("{}: {error}", program.display()))?;
                say(&format!("round {} {make}: {}", number + 1, line(&outcome)));
                rounds.push(Round { number, make: *make, outcome });
            }
        }
        let rows = rows(&rounds);
        Ok(Comparison { rounds, rows })
    }
}

/// Whether its figures are the server's: what it lost is, what the generator did not send is not.
fn counts(outcome: &impl Outcome) -> bool {
    matches!(outcome.verdict(), Verdict::Clean | Verdict::Lossy)
}

fn line(outcome: &impl Outcome) -> String {
    let mut line = outcome.verdict().to_string();
    for (name, value) in outcome.figures() {
        line += &format!(", {name} {value:.2}");
    }
    outcome.remarks().iter().for_each(|remark| line += &format!("; {remark}"));
    line
}

impl<O: Outcome> Comparison<O> {
    /// The program's exit code: that of the worst round.
    pub fn exit_code(&self) -> u8 {
        let codes = self.rounds.iter().map(|round| round.outcome.verdict().exit_code());
        codes.max().unwrap_or(0)
    }

    /// Rounds whose figures are not the server's.
    pub fn left_out(&self) -> usize {
        self.rounds.iter().filter(|round| !counts(&round.outcome)).count()
    }
}

/// By server and round.
type Values = BTreeMap<(Make, u32), f64>;

fn rows(rounds: &[Round<impl Outcome>]) -> Vec<Row> {
    // By figure, each in its place.
    let mut values: Vec<(&'static str, Values)> = Vec::new();
    for round in rounds.iter().filter(|round| counts(&round.outcome)) {
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
        (*make != Make::Causeway).then_some(theirs / ours)
    });
    let makes: BTreeSet<Make> = values.keys().map(|(make, _)| *make).collect();
    Row {
        figure,
        ratio: Spread::of(ratios.collect()),
        of: makes.into_iter().filter_map(|make| Some((make, of(make)?))).collect(),
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

impl<O: Outcome> fmt::Display for Comparison<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let makes: BTreeSet<Make> = self.rounds.iter().map(|round| round.make).collect();
        write!(f, "{:<32}", "median (least to most)")?;
        for make in &makes {
            write!(f, "{make:<34}")?;
        }
        let other = makes.iter().find(|make| **make != Make::Causeway);
        match other.filter(|_| makes.contains(&Make::Causeway)) {
            Some(other) => writeln!(f, "{other} / causeway")?,
            None => writeln!(f)?,
        }
        for Row { figure, of, ratio } in &self.rows {
            let cell = |spread: Option<&Spread>| spread.map(Spread::to_string).unwrap_or_default();
            write!(f, "{figure:<32}")?;
            for make in &makes {
                write!(f, "{:<34}", cell(of.get(make)))?;
            }
            writeln!(f, "{}", cell(ratio.as_ref()))?;
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
