//! Servers in turn, round after round, each fresh and each with the same work, and how they compare with the first.
//!
//! A machine drifts, so figures of one round belong together: the ratio is taken round by round, and told with its
//! spread.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::contestant::Contestant;
use crate::report::{Headroom, Verdict};

/// Servers, and how often.
#[derive(Debug)]
pub struct Rounds {
    /// The servers; the others are compared with the first.
    pub contestants: Vec<Contestant>,
    /// Their core.
    pub core: usize,
    /// How often.
    pub rounds: u32,
}

/// What came of one server's round.
pub trait Outcome {
    /// What to make of it.
    fn verdict(&self) -> Verdict;
    /// What servers are compared by.
    fn figures(&self) -> Vec<Figure>;
    /// What else a reader has to know.
    fn remarks(&self) -> &[String];
    /// How much of the generator it took.
    fn headroom(&self) -> Option<&Headroom>;
}

/// Something that servers are compared by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Which is better.
    pub better: Better,
}

/// Which of two figures is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
}

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub struct Comparison<O> {
    /// The servers' names; the others are compared with the first.
    pub contestants: Vec<String>,
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
    pub contestant: String,
    /// What came of it.
    pub outcome: O,
}

/// A figure over the rounds.
#[derive(Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is.
    pub figure: &'static str,
    /// Which is better.
    pub better: Better,
    /// Of each server that has it, in their order.
    pub of: Vec<Cell>,
}

/// A figure of one server over the rounds.
#[derive(Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Whose.
    pub contestant: String,
    /// How much.
    pub spread: Spread,
    /// How many times as good it is as the first server's of the same round.
    pub ratio: Option<Spread>,
    /// Each round's, in their order.
    pub values: Vec<f64>,
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

impl Figure {
    /// One that is better if it is lower.
    pub fn cost(name: &'static str, value: f64) -> Self {
        Self { name, value, better: Better::Lower }
    }

    /// One that is better if it is higher.
    pub fn gain(name: &'static str, value: f64) -> Self {
        Self { name, value, better: Better::Higher }
    }
}

impl Rounds {
    /// Does `work` with each server in each round, the order changing from round to round; `say` hears of each.
    ///
    /// # Errors
    /// If a server does not start, or the work cannot be done.
    pub fn run<O: Outcome>(
        &self,
        stop: &AtomicBool,
        say: &dyn Fn(&str),
        mut work: impl FnMut(&Contestant) -> Result<O, Box<dyn Error>>,
    ) -> Result<Comparison<O>, Box<dyn Error>> {
        let names: Vec<_> = self.contestants.iter().map(Contestant::name).collect();
        if let Some(name) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name))
        {
            return Err(format!("two servers are called {}", name.1).into());
        }
        let mut rounds = Vec::new();
        for number in 0..self.rounds {
            let mut contestants: Vec<_> = self.contestants.iter().collect();
            if !number.is_multiple_of(2) {
                contestants.reverse();
            }
            for contestant in contestants {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = contestant.name();
                let outcome = work(contestant).map_err(|error| format!("{name}: {error}"))?;
                say(&format!("round {} {name}: {}", number + 1, line(&outcome)));
                rounds.push(Round { number, contestant: name.to_owned(), outcome });
            }
        }
        let names = names.into_iter().map(str::to_owned).collect();
        Ok(Comparison::of(names, rounds))
    }
}

/// Whether its figures are the server's: what it lost is, what the generator did not send is not.
pub fn counts(outcome: &impl Outcome) -> bool {
    matches!(outcome.verdict(), Verdict::Clean | Verdict::Lossy)
}

fn line(outcome: &impl Outcome) -> String {
    let mut line = outcome.verdict().to_string();
    for figure in outcome.figures() {
        line += &format!(", {} {}", figure.name, short(figure.value));
    }
    outcome.remarks().iter().for_each(|remark| line += &format!("; {remark}"));
    line
}

impl<O: Outcome> Comparison<O> {
    /// Of these rounds of these servers.
    pub fn of(contestants: Vec<String>, rounds: Vec<Round<O>>) -> Self {
        let rows = rows(&contestants, &rounds);
        Self { contestants, rounds, rows }
    }

    /// The program's exit code: that of the worst round.
    pub fn exit_code(&self) -> u8 {
        let codes = self.rounds.iter().map(|round| round.outcome.verdict().exit_code());
        codes.max().unwrap_or(0)
    }

    /// How much of the generator was used in the round that took most of it.
    pub fn headroom(&self) -> Option<&Headroom> {
        let all = self.rounds.iter().filter_map(|round| round.outcome.headroom());
        all.max_by(|one, other| {
            let exceeded = one.is_exceeded.cmp(&other.is_exceeded);
            exceeded.then_with(|| one.busy.unwrap_or(0.0).total_cmp(&other.busy.unwrap_or(0.0)))
        })
    }

    /// Rounds whose figures are not the server's.
    pub fn left_out(&self) -> usize {
        self.rounds.iter().filter(|round| !counts(&round.outcome)).count()
    }
}

/// Of one figure, by server and round.
type Values<'a> = BTreeMap<(&'a str, u32), f64>;

fn rows(contestants: &[String], rounds: &[Round<impl Outcome>]) -> Vec<Row> {
    // By figure, each in its place.
    let mut found: Vec<(Figure, Values<'_>)> = Vec::new();
    for round in rounds.iter().filter(|round| counts(&round.outcome)) {
        for figure in round.outcome.figures() {
            let place = found.iter().position(|(known, _)| known.name == figure.name);
            let place = place.unwrap_or_else(|| {
                found.push((figure, BTreeMap::new()));
                found.len() - 1
            });
            found[place].1.insert((&round.contestant, round.number), figure.value);
        }
    }
    found.iter().map(|(figure, values)| row(figure, contestants, values)).collect()
}

fn row(figure: &Figure, contestants: &[String], values: &Values<'_>) -> Row {
    let first = contestants.first().map_or("", String::as_str);
    let cell = |name: &String| {
        let own = values.iter().filter(|((whose, _), _)| *whose == name);
        let own: Vec<(u32, f64)> = own.map(|((_, number), value)| (*number, *value)).collect();
        let ratios = own.iter().filter(|_| name != first).filter_map(|&(number, value)| {
            let base = *values.get(&(first, number))?;
            let (over, under) = match figure.better {
                Better::Lower => (base, value),
                Better::Higher => (value, base),
            };
            (under > 0.0).then_some(over / under)
        });
        let ratio = Spread::of(ratios.collect());
        let values: Vec<f64> = own.iter().map(|(_, value)| *value).collect();
        let spread = Spread::of(values.clone())?;
        Some(Cell { contestant: name.clone(), spread, ratio, values })
    };
    let of = contestants.iter().filter_map(cell).collect();
    Row { figure: figure.name, better: figure.better, of }
}

/// With as many digits as say something.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
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
        let [min, median, max] = [self.min, self.median, self.max].map(short);
        f.pad(&format!("{median} ({min} to {max})"))
    }
}

impl<O: Outcome> fmt::Display for Comparison<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.contestants.split_first() else { return Ok(()) };
        write!(f, "{:<26}", "median (least to most)")?;
        self.contestants.iter().try_for_each(|name| write!(f, "{name:<26}"))?;
        others.iter().try_for_each(|name| write!(f, "{:<24}", format!("{first} : {name}")))?;
        writeln!(f)?;
        for row in &self.rows {
            let spread = |cell: &Cell| cell.spread.to_string();
            let ratio = |cell: &Cell| cell.ratio.map(|ratio| ratio.to_string()).unwrap_or_default();
            write!(f, "{:<26}", row.figure)?;
            let cells = |name: &String| row.of(name).map(spread).unwrap_or_default();
            self.contestants.iter().try_for_each(|name| write!(f, "{:<26}", cells(name)))?;
            let cells = |name: &String| row.of(name).map(ratio).unwrap_or_default();
            others.iter().try_for_each(|name| write!(f, "{:<24}", cells(name)))?;
            writeln!(f)?;
        }
        if !others.is_empty() {
            writeln!(f, "ratios above 1 speak against {first}; they are taken round by round")?;
        }
        self.headroom()
            .map_or(Ok(()), |headroom| writeln!(f, "in the round that took most of it, {headroom}"))
    }
}

impl Row {
    /// A server's cell.
    pub fn of(&self, contestant: &str) -> Option<&Cell> {
        self.of.iter().find(|cell| cell.contestant == contestant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values.to_vec()).unwrap();
        assert_eq!(of(&[3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_and_to_the_first() {
        let values: Values<'_> = [
            (("coturn", 0), 10.0),
            (("b", 0), 5.0),
            (("a", 0), 20.0),
            (("coturn", 1), 40.0),
            (("b", 1), 10.0),
            (("coturn", 2), 7.0),
        ]
        .into();
        let contestants = names(&["coturn", "b", "a"]);
        let costs = row(&Figure::cost("us", 0.0), &contestants, &values);
        assert_eq!(costs.of("b").unwrap().ratio, Some(Spread { min: 2.0, median: 3.0, max: 4.0 }));
        assert_eq!(costs.of("a").unwrap().ratio, Some(Spread { min: 0.5, median: 0.5, max: 0.5 }));
        let first = costs.of("coturn").unwrap();
        assert_eq!((first.ratio, first.spread.median), (None, 10.0));
        assert_eq!(first.values, [10.0, 40.0, 7.0]);
        let gains = row(&Figure::gain("calls", 0.0), &contestants, &values);
        assert_eq!(gains.of("a").unwrap().ratio, Some(Spread { min: 2.0, median: 2.0, max: 2.0 }));
    }

    #[test]
    fn one_server_alone_has_no_ratio() {
        let row = row(&Figure::cost("us", 0.0), &names(&["x"]), &[(("x", 0), 10.0)].into());
        assert_eq!((row.of[0].ratio, row.of.len()), (None, 1));
    }

    /// A round that lost so much.
    #[derive(Debug)]
    struct Fake(Verdict, f64);

    impl Outcome for Fake {
        fn verdict(&self) -> Verdict {
            self.0
        }

        fn figures(&self) -> Vec<Figure> {
            vec![Figure::cost("loss", self.1)]
        }

        fn remarks(&self) -> &[String] {
            &[]
        }

        fn headroom(&self) -> Option<&Headroom> {
            None
        }
    }

    #[test]
    fn two_servers_of_one_name_are_refused() {
        let one = Contestant {
            make: crate::make::Make::Causeway,
            program: "p".into(),
            variant: "a".parse().unwrap(),
        };
        let rounds = Rounds { contestants: vec![one.clone(), one], core: 0, rounds: 1 };
        let work = |_: &Contestant| Ok(Fake(Verdict::Clean, 1.0));
        let error = rounds.run(&AtomicBool::new(false), &|_| {}, work).unwrap_err();
        assert_eq!(error.to_string(), "two servers are called a");
    }

    #[test]
    fn the_order_alternates_and_rounds_that_prove_nothing_are_left_out() {
        let contestant = |name: &str| Contestant {
            make: crate::make::Make::Causeway,
            program: "p".into(),
            variant: name.parse().unwrap(),
        };
        let rounds =
            Rounds { contestants: vec![contestant("on"), contestant("off")], core: 0, rounds: 3 };
        let mut order = Vec::new();
        let comparison = rounds.run(&AtomicBool::new(false), &|_| {}, |contestant| {
            order.push(contestant.name().to_owned());
            let verdict = if order.len() == 2 { Verdict::Inconclusive } else { Verdict::Clean };
            Ok(Fake(verdict, order.len() as f64))
        });
        let comparison = comparison.unwrap();
        assert_eq!(order, ["on", "off", "off", "on", "on", "off"]);
        assert_eq!((comparison.left_out(), comparison.exit_code()), (1, 3));
        let off = comparison.rows[0].of("off").unwrap();
        assert_eq!((&off.values[..], off.ratio.unwrap().max), (&[3.0, 6.0][..], 4.0 / 3.0));
        let text = comparison.to_string();
        assert!(text.contains("on : off") && text.contains("4.50 (3.00 to 6.00)"), "{text}");
    }
}
