//! The plots that reports share.

use super::axis::{Axis, number, rarity, whole};
use super::plot::{Mark, NEUTRAL, Plot};
use crate::batch::{Batch, Size};
use crate::curve::Curve;
use crate::rounds::Row;
use crate::search::{Finding, SearchReport};
use crate::second::Second;

/// A plot of its own line, and one of two beside each other.
const WIDE: [f64; 2] = [980.0, 330.0];
const LOW: [f64; 2] = [980.0, 210.0];
const SMALL: f64 = 310.0;

/// Latency by percentile, a curve each.
pub fn percentiles(curves: &[(&str, &Curve)]) -> Option<Plot> {
    // The least of all says little, and would take half of the plot.
    let points = |(_, curve): &(&str, &Curve)| curve.points().into_iter().skip(1).collect();
    let all: Vec<Vec<(f64, u64)>> = curves.iter().map(points).collect();
    let values = || all.iter().flatten().map(|(_, us)| (*us).max(1) as f64 / 1e3);
    let most_share = all.iter().flatten().map(|(share, _)| *share).reduce(f64::max)?;
    let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    let x = Axis::percentiles("packets that took no longer", most_share);
    let mut plot =
        Plot::new("One-way latency by percentile", WIDE, x, Axis::log("latency, ms", least, most));
    let mut words = Vec::new();
    for (series, ((name, curve), points)) in curves.iter().zip(&all).enumerate() {
        let points: Vec<_> =
            points.iter().map(|&(share, us)| (rarity(share), us.max(1) as f64 / 1e3)).collect();
        plot.line(series, &points);
        if curves.len() > 1 {
            plot.name(series, name, None);
        }
        let at = |share| number(curve.0.value_at_quantile(share) as f64 / 1e3);
        words.push(format!(
            "{name}: median {} ms, 99 % {} ms, 99.9 % {} ms",
            at(0.5),
            at(0.99),
            at(0.999)
        ));
    }
    Some(plot.described(words.join("; ")))
}

/// A figure's rounds: a mark each, and a bar at the median.
pub fn spread(row: &Row, names: &[String], is_wide: bool) -> Plot {
    let height =
        if is_wide { 62.0 + 48.0 * names.len() as f64 } else { 42.0 + 34.0 * names.len() as f64 };
    let most = row.of.iter().map(|cell| cell.spread.max).fold(0.0, f64::max);
    let label = if is_wide { row.figure } else { "" };
    let x = Axis::linear(label, 1.08 * most, if is_wide { 8 } else { 4 });
    let width = if is_wide { WIDE[0] } else { SMALL };
    let mut plot = Plot::new(row.figure, [width, height], x, Axis::names(names));
    let mut words = Vec::new();
    for (series, name) in names.iter().enumerate() {
        let Some(cell) = row.of(name) else { continue };
        let line = (names.len() - 1 - series) as f64;
        cell.values.iter().for_each(|value| plot.mark(series, *value, line, Mark::Disc));
        plot.middle(series, cell.spread.median, line, &number(cell.spread.median));
        words.push(format!("{name}: {}", cell.spread));
    }
    plot.described(format!("median (least to most) of {}: {}", row.figure, words.join("; ")))
}

/// What was sent and received, and what was missing, by second.
pub fn arrivals(seconds: &[Second]) -> Vec<Plot> {
    let Some(end) = seconds.last().map(|second| second.at) else { return Vec::new() };
    let time = || Axis::linear("seconds since the start", end, 10);
    let of = |value: fn(&Second) -> f64| -> Vec<(f64, f64)> {
        seconds.iter().map(|second| (second.at, value(second))).collect()
    };
    let most = |points: &[(f64, f64)]| points.iter().map(|(_, y)| *y).fold(0.0, f64::max);
    let (sent, received) = (of(|s| s.sent), of(|s| s.received));
    let rate = Axis::linear("packets/s", most(&sent).max(most(&received)), 4);
    let mut packets = Plot::new("Packets sent and received", LOW, time(), rate);
    packets.line(0, &sent);
    packets.line(1, &received);
    packets.name(0, "sent", None);
    packets.name(1, "received", None);
    changes(&mut packets, seconds);
    let packets =
        packets.described(format!("up to {} packets per second sent", number(most(&sent))));
    let mut plots = vec![packets, latency(seconds, time())];
    plots.extend(missing(&[("", seconds)], end));
    plots
}

fn latency(seconds: &[Second], time: Axis) -> Plot {
    let ms = |us: u64| us.max(1) as f64 / 1e3;
    let seen = || seconds.iter().filter(|second| second.p99_us > 0);
    let least = seen().map(|second| ms(second.p50_us)).reduce(f64::min).unwrap_or(1.0);
    let most = seen().map(|second| ms(second.p99_us)).reduce(f64::max).unwrap_or(1.0);
    let mut plot =
        Plot::new("One-way latency by second", LOW, time, Axis::log("latency, ms", least, most));
    plot.line(0, &seen().map(|second| (second.at, ms(second.p50_us))).collect::<Vec<_>>());
    plot.line(1, &seen().map(|second| (second.at, ms(second.p99_us))).collect::<Vec<_>>());
    plot.name(0, "median", None);
    plot.name(1, "99 %", None);
    changes(&mut plot, seconds);
    plot.described(format!("99 % of the packets of a second took {} ms at most", number(most)))
}

/// What several received, and what they missed, by second.
pub fn beside(all: &[(&str, &[Second])]) -> Vec<Plot> {
    let end =
        all.iter().filter_map(|(_, seconds)| seconds.last()).map(|s| s.at).fold(0.0, f64::max);
    if end <= 0.0 {
        return Vec::new();
    }
    let most = all.iter().flat_map(|(_, seconds)| *seconds).map(|s| s.received).fold(0.0, f64::max);
    let time = Axis::linear("seconds since the start", end, 10);
    let mut plot = Plot::new("Packets received", LOW, time, Axis::linear("packets/s", most, 4));
    for (series, (name, seconds)) in all.iter().enumerate() {
        plot.line(series, &seconds.iter().map(|s| (s.at, s.received)).collect::<Vec<_>>());
        plot.name(series, name, None);
    }
    let plot = plot.described(format!("up to {} packets per second", number(most)));
    std::iter::once(plot).chain(missing(all, end)).collect()
}

/// How many packets workers received in a turn: bars of the shares of turns, of those that tell them beside each other.
pub fn batches(all: &[(&str, Option<&Batch>)]) -> Option<Plot> {
    let named = all.iter().enumerate();
    let told = named.filter_map(|(series, (name, batch))| Some((series, *name, (*batch)?)));
    let told: Vec<_> = told.filter(|(_, _, batch)| !batch.sizes.is_empty()).collect();
    let (_, _, first) = told.first()?;
    let names: Vec<_> = first.sizes.iter().map(Size::to_string).collect();
    let shares = told.iter().flat_map(|(_, _, batch)| batch.shares());
    let most = shares.map(|(_, share)| 100.0 * share).fold(0.0, f64::max);
    let (x, y) = (Axis::columns("packets", &names), Axis::linear("% of turns", most, 4));
    let mut plot = Plot::new("Packets received in a turn", LOW, x, y);
    let width = 0.8 / told.len() as f64;
    for (place, (series, name, batch)) in told.iter().enumerate() {
        let shift = (place as f64 + 0.5) * width - 0.4;
        for (column, (_, share)) in batch.shares().enumerate() {
            plot.bar(*series, column as f64 + shift, width, 100.0 * share);
        }
        if all.len() > 1 {
            plot.name(*series, name, Some(Mark::Disc));
        }
    }
    let words: Vec<_> = told.iter().map(|(_, name, batch)| format!("{name}: {batch}")).collect();
    Some(plot.described(words.join("; ").trim_start_matches(": ").to_owned()))
}

/// Bars of what was missing, if anything was; series beside each other.
fn missing(all: &[(&str, &[Second])], end: f64) -> Option<Plot> {
    let time = Axis::linear("seconds since the start", end, 10);
    let lost = all.iter().flat_map(|(_, seconds)| *seconds).map(|second| second.missing);
    let (most, sum) = lost.fold((0, 0), |(most, sum), lost| (lost.max(most), sum + lost));
    if sum == 0 {
        return None;
    }
    let y = Axis::linear("packets/s", most as f64, 3);
    let mut plot = Plot::new("Packets missing", [LOW[0], 160.0], time, y);
    let width = 0.8 / all.len().max(1) as f64;
    for (series, (name, seconds)) in all.iter().enumerate() {
        let shift = (series as f64 + 0.5) * width - 0.4;
        for second in *seconds {
            plot.bar(series, second.at - 0.5 + shift, width, second.missing as f64);
        }
        if all.len() > 1 {
            plot.name(series, name, Some(Mark::Disc));
        }
    }
    Some(plot.described(format!("{} in all", whole(sum))))
}

fn changes(plot: &mut Plot, seconds: &[Second]) {
    for pair in seconds.windows(2) {
        if pair[0].phase != pair[1].phase {
            plot.change(pair[0].at, pair[1].phase);
        }
    }
}

/// A search's steps: calls and their p99, and the limit.
pub fn steps(all: &[(&str, &SearchReport)]) -> Option<Plot> {
    let limit = all.first().map(|(_, report)| report.goal.p99_ms)?;
    let steps = || all.iter().flat_map(|(_, report)| &report.steps);
    let values = || steps().filter_map(|step| step.measured).map(|m| m.p99_us.max(1) as f64 / 1e3);
    let most = steps().map(|step| step.calls as f64).fold(1.0, f64::max);
    let least = values().reduce(f64::min)?.min(limit);
    let top = values().fold(limit, f64::max);
    let (x, y) = (
        Axis::linear("calls", 1.04 * most, 10),
        Axis::log("99 % of latency, ms", least, 1.3 * top),
    );
    let mut plot = Plot::new("Steps of the search", WIDE, x, y);
    plot.limit(limit, &format!("limit: {limit} ms"));
    let mut names: Vec<&str> = Vec::new();
    for (name, report) in all {
        let series = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        for step in &report.steps {
            let Some(measured) = step.measured else { continue };
            let mark = match step.finding {
                Finding::Holds => Mark::Disc,
                Finding::Fails => Mark::Cross,
                Finding::Unknown => Mark::Ring,
            };
            plot.mark(series, step.calls as f64, measured.p99_us.max(1) as f64 / 1e3, mark);
        }
    }
    if names.len() > 1 {
        let named = names.iter().enumerate();
        named.for_each(|(series, name)| plot.name(series, name, Some(Mark::Disc)));
    }
    for (mark, word) in
        [(Mark::Disc, "holds"), (Mark::Cross, "fails"), (Mark::Ring, "generator too slow")]
    {
        plot.name(NEUTRAL, word, Some(mark));
    }
    let claims: Vec<_> =
        all.iter().map(|(name, report)| format!("{name}: {}", report.claim())).collect();
    Some(plot.described(claims.join("; ")))
}
