//! What a page says of several servers that did the same in turn.

use super::axis::number;
use super::figures;
use super::page::{Cell, Page, Tile};
use super::{Drawn, calls};
use crate::curve::Curve;
use crate::report::{Headroom, Verdict};
use crate::rounds::{Better, Comparison, Round, Row, counts};

/// Puts a comparison on the page.
pub fn show<O: Drawn>(comparison: &Comparison<O>, page: &mut Page) {
    let Comparison { contestants, rounds, rows } = comparison;
    verdict(comparison, page);
    page.tiles(&tiles(comparison));
    page.heading("Figures");
    table(comparison, page);
    let wide: Vec<_> =
        rows.iter().take(1).map(|row| figures::spread(row, contestants, true)).collect();
    wide.iter().for_each(|plot| page.plot(plot));
    searches(comparison, page);
    page.heading("Latency");
    let curves: Vec<(&str, Curve)> =
        contestants.iter().filter_map(|name| curve(name, rounds)).collect();
    let curves: Vec<(&str, &Curve)> = curves.iter().map(|(name, curve)| (*name, curve)).collect();
    if let Some(plot) = figures::percentiles(&curves) {
        page.plot(&plot);
        page.note("Each curve is of all rounds of a server whose figures count.");
    }
    page.heading("Each figure, round by round");
    let is_told = |row: &&Row| row.of.iter().any(|cell| cell.spread.max > 0.0);
    let small =
        rows.iter().skip(1).filter(is_told).map(|row| figures::spread(row, contestants, false));
    page.plots(&small.collect::<Vec<_>>());
    firsts(comparison, page);
    page.heading("Rounds");
    all(rounds, page);
}

/// The first round of each server that counts.
fn firsts<O: Drawn>(comparison: &Comparison<O>, page: &mut Page) {
    let Comparison { contestants, rounds, .. } = comparison;
    let first = |name: &String| {
        let mut own = rounds.iter().filter(|r| r.contestant == *name && counts(&r.outcome));
        own.next().map(|round| (round.contestant.as_str(), &round.outcome))
    };
    let first: Vec<_> = contestants.iter().filter_map(first).collect();
    let batches: Vec<_> = first.iter().map(|(name, outcome)| (*name, outcome.batch())).collect();
    let seconds: Vec<_> = first.iter().map(|(name, outcome)| (*name, outcome.seconds())).collect();
    let plots = figures::beside(&seconds).into_iter().chain(figures::batches(&batches));
    let plots: Vec<_> = plots.collect();
    if !plots.is_empty() {
        page.heading("First round");
        plots.iter().for_each(|plot| page.plot(plot));
    }
}

fn verdict<O: Drawn>(comparison: &Comparison<O>, page: &mut Page) {
    let Comparison { rounds, .. } = comparison;
    let verdicts = || rounds.iter().map(|round| round.outcome.verdict());
    let worst = verdicts().max_by_key(|verdict| (verdict.exit_code() > 0, severity(*verdict)));
    let worst = worst.unwrap_or(Verdict::Inconclusive);
    let (all, out) = (rounds.len(), comparison.left_out());
    let words = match (out, worst) {
        (0, Verdict::Clean) => format!("in all {all} runs"),
        (0, _) => format!("at worst; all {all} runs count"),
        _ => format!(
            "at worst; {out} of {all} runs are left out, since their figures are not the server's alone"
        ),
    };
    page.verdict(worst, &words);
}

fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Clean => 0,
        Verdict::Lossy => 1,
        Verdict::Inconclusive => 2,
        Verdict::Failed => 3,
        Verdict::Corrupt => 4,
    }
}

/// The first figure of each server, and how it compares.
fn tiles<O: Drawn>(comparison: &Comparison<O>) -> Vec<Tile> {
    let Some(row) = comparison.rows.first() else { return Vec::new() };
    let first = comparison.contestants.first().map_or("", String::as_str);
    let tile = |cell: &crate::rounds::Cell| {
        let more = cell.ratio.map(|ratio| match row.better {
            Better::Lower => format!("{first} takes {ratio} times as much"),
            Better::Higher => format!("{ratio} times {first}'s"),
        });
        let what = format!("{}: {}", cell.contestant, row.figure);
        Tile::new(&what, number(cell.spread.median), more.unwrap_or_else(|| spread(&cell.spread)))
    };
    let own = comparison.headroom().and_then(calls::headroom);
    row.of.iter().map(tile).chain(own).collect()
}

fn spread(spread: &crate::rounds::Spread) -> String {
    format!("{} to {}", number(spread.min), number(spread.max))
}

fn table<O>(comparison: &Comparison<O>, page: &mut Page) {
    let Some((first, others)) = comparison.contestants.split_first() else { return };
    let ratios: Vec<String> = others.iter().map(|name| format!("{first} : {name}")).collect();
    let mut head = vec![""];
    head.extend(comparison.contestants.iter().map(String::as_str));
    head.extend(ratios.iter().map(String::as_str));
    let line = |row: &Row| {
        let mut line = vec![Cell::Value(row.figure.to_owned())];
        line.extend(comparison.contestants.iter().map(|name| match row.of(name) {
            Some(cell) => Cell::Spread(number(cell.spread.median), spread(&cell.spread)),
            None => Cell::Value(String::new()),
        }));
        line.extend(others.iter().map(|name| match row.of(name).and_then(|cell| cell.ratio) {
            Some(ratio) => Cell::Spread(number(ratio.median), spread(&ratio)),
            None => Cell::Value(String::new()),
        }));
        line
    };
    let rows: Vec<_> = comparison.rows.iter().map(line).collect();
    page.table("Median, and below it the least and the most of the rounds", &head, &rows);
    if !others.is_empty() {
        page.note(&format!(
            "A ratio is taken within a round, and above 1 it speaks against {first}: of costs it is {first}'s divided \
             by the other's, of what is better if it is higher it is the other way round."
        ));
    }
}

fn curve<'a, O: Drawn>(name: &'a str, rounds: &[Round<O>]) -> Option<(&'a str, Curve)> {
    let own = rounds.iter().filter(|round| round.contestant == name && counts(&round.outcome));
    let merged = Curve::merged(own.filter_map(|round| round.outcome.latency()));
    (!merged.0.is_empty()).then_some((name, merged))
}

fn searches<O: Drawn>(comparison: &Comparison<O>, page: &mut Page) {
    let names = comparison.contestants.iter();
    let all: Vec<_> = names
        .flat_map(|name| {
            let own = comparison.rounds.iter().filter(move |round| round.contestant == *name);
            own.filter_map(|round| Some((round.contestant.as_str(), round.outcome.search()?)))
        })
        .collect();
    if let Some(plot) = figures::steps(&all) {
        page.heading("Steps");
        page.plot(&plot);
        page.note(
            "All rounds. A step that the generator was too slow for says nothing of the server.",
        );
    }
}

/// How much of its core the generator had left.
fn left(headroom: &Headroom) -> Option<String> {
    Some(format!("{:.0} %", 100.0 * (1.0 - headroom.busy?).max(0.0)))
}

fn all<O: Drawn>(rounds: &[Round<O>], page: &mut Page) {
    let row = |round: &Round<O>| {
        let outcome = &round.outcome;
        let figure = outcome.figures().into_iter().next();
        let remarks = outcome.remarks().join("; ");
        let counted = if counts(outcome) { "" } else { "left out" };
        vec![
            Cell::Value((round.number + 1).to_string()),
            Cell::Value(round.contestant.clone()),
            Cell::Value(outcome.verdict().to_string()),
            Cell::Value(figure.map_or_else(String::new, |figure| number(figure.value))),
            Cell::Value(outcome.headroom().and_then(left).unwrap_or_default()),
            Cell::Value(counted.to_owned()),
            Cell::Words(remarks),
        ]
    };
    let name = rounds.iter().find_map(|round| round.outcome.figures().into_iter().next());
    let name = name.map_or("", |figure| figure.name);
    let rows: Vec<_> = rounds.iter().map(row).collect();
    page.table(
        "In the order in which they ran",
        &["round", "server", "verdict", name, "generator left", "", "remarks"],
        &rows,
    );
}
