//! What a page says of calls with one server.

use super::axis::{number, whole};
use super::figures;
use super::page::{Cell, Page, Tile};
use super::{Drawn, Show};
use crate::batch::Batch;
use crate::counters::Counted;
use crate::curve::Curve;
use crate::job::{Outcome, Report as JobReport};
use crate::ng::report::{NgReport, Step};
use crate::ng::standing::StandingReport;
use crate::process::{Cpu, ThreadCost, sum};
use crate::report::{Generator, Headroom, Quantiles, Report, Server};
use crate::search::SearchReport;
use crate::second::Second;
use crate::table;

impl Show for JobReport {
    fn title(&self) -> String {
        match self {
            Self::One(Outcome::Calls(report)) => title(report),
            Self::One(Outcome::Beside(report)) => {
                format!("{}, and requests over ng", title(&report.media))
            }
            Self::One(Outcome::Search(report)) => report.title(),
            Self::One(Outcome::Standing(report)) => {
                format!("{} calls that stand", whole(report.calls as u64))
            }
            Self::Rounds(report) => {
                let names = report.comparison.contestants.join(", ");
                format!("{names}: {}", report.words())
            }
        }
    }

    fn show(&self, page: &mut Page) {
        match self {
            Self::One(Outcome::Calls(report)) => calls(report, page),
            Self::One(Outcome::Beside(report)) => {
                calls(&report.media, page);
                requests(report, page);
            }
            Self::One(Outcome::Search(report)) => report.show(page),
            Self::One(Outcome::Standing(report)) => standing(report, page),
            Self::Rounds(report) => super::rounds::show(&report.comparison, page),
        }
    }
}

impl Drawn for Outcome {
    fn latency(&self) -> Option<&Curve> {
        self.report().map(|report| &report.latency_curve)
    }

    fn seconds(&self) -> &[Second] {
        self.report().map_or(&[], |report| &report.seconds)
    }

    fn batch(&self) -> Option<&Batch> {
        self.report()?.server.as_ref()?.batch.as_ref()
    }

    fn search(&self) -> Option<&SearchReport> {
        if let Self::Search(report) = self { Some(report) } else { None }
    }
}

fn standing(report: &StandingReport, page: &mut Page) {
    page.verdict(report.verdict, table::verdict(report.verdict));
    page.remarks(&report.remarks);
    page.heading("Figures");
    page.values(report.figures().iter().map(|figure| (figure.name, number(figure.value))));
}

fn title(report: &Report) -> String {
    let asked = &report.asked;
    format!("{} calls ({}) for {:.0} s", whole(asked.calls as u64), asked.mix, asked.duration)
}

/// Calls, with their verdict.
pub fn calls(report: &Report, page: &mut Page) {
    page.verdict(report.verdict, table::verdict(report.verdict));
    page.remarks(&report.remarks);
    page.tiles(&tiles(report));
    details(report, page);
}

/// All but the verdict.
pub fn details(report: &Report, page: &mut Page) {
    page.heading("Packets");
    media(report, page);
    page.heading("Latency");
    quantiles(
        &[
            ("latency, us", &report.latency_us),
            ("set-up, ms", &report.set_up_ms),
            ("sent late by, us", &report.generator.lateness_us),
        ],
        page,
    );
    if let Some(plot) = figures::percentiles(&[("", &report.latency_curve)]) {
        page.plot(&plot);
    }
    page.heading("Over time");
    figures::arrivals(&report.seconds).iter().for_each(|plot| page.plot(plot));
    if let Some(cost) = &report.server {
        page.heading("Server");
        server(cost, page);
    }
    page.heading("Generator");
    let packets = report.server.as_ref().map_or(0, |server| server.forwarded);
    generator(&report.generator, packets, page);
}

fn tiles(report: &Report) -> Vec<Tile> {
    let (calls, total) = (&report.calls, &report.media["total"]);
    let ms = |us: u64| format!("{} ms", number(us as f64 / 1e3));
    let mut tiles = vec![
        Tile::new(
            "calls up",
            whole(calls.up),
            format!("of {}; {} failed", whole(calls.created), calls.failed),
        ),
        Tile::new("packets lost", whole(total.lost), format!("of {}", whole(total.sent))),
        Tile::new(
            "latency, 99 %",
            ms(report.latency_us.p99),
            format!("median {}, 99.9 % {}", ms(report.latency_us.p50), ms(report.latency_us.p999)),
        ),
    ];
    if let Some(server) = &report.server {
        let us = format!("{} us", number(server.ns_per_packet / 1e3));
        let busy = 100.0 * server.cpu.total() / server.seconds.max(f64::EPSILON);
        tiles.push(Tile::new("CPU per packet", us, format!("{busy:.0} % of a core")));
        if let Some(each) = server.counted.as_ref().and_then(|c| c.per_packet(c.total.system_calls))
        {
            tiles.push(Tile::new("system calls per packet", number(each), String::new()));
        }
    }
    tiles.extend(headroom(&report.generator.headroom));
    tiles
}

/// How much of the generator was left.
pub fn headroom(headroom: &Headroom) -> Option<Tile> {
    let left = format!("{:.0} %", 100.0 * (1.0 - headroom.busy?).max(0.0));
    let limit = headroom.limit.map(|limit| format!("limit at {} {}", number(limit), headroom.unit));
    let more = if headroom.is_exceeded {
        "but too late or full: see the remarks".to_owned()
    } else {
        limit.unwrap_or_default()
    };
    Some(Tile::new("generator's core left", left, more))
}

fn media(report: &Report, page: &mut Page) {
    let row = |(name, tally): (&&str, &crate::report::Tally)| {
        let mut row = vec![Cell::Value((*name).to_owned())];
        row.extend(tally.counts().map(|count| Cell::Value(whole(count))));
        row.push(Cell::Value(number(tally.longest_gap_ms)));
        row
    };
    let rows: Vec<_> = report.media.iter().map(row).collect();
    let head =
        ["", "sent", "received", "lost", "duplicate", "reordered", "stale", "longest gap, ms"];
    let faults = &report.faults;
    let caption = format!(
        "corrupt {}, misrouted {}, unreadable {}, replayed {}",
        faults.corrupt, faults.misrouted, faults.unreadable, faults.replayed
    );
    page.table(&caption, &head, &rows);
    if !report.calls.failures.is_empty() {
        let rows: Vec<_> = report
            .calls
            .failures
            .iter()
            .map(|(why, count)| vec![Cell::Words(why.clone()), Cell::Value(whole(*count))])
            .collect();
        page.table("Calls that failed", &["why", "calls"], &rows);
    }
}

/// Distributions, a row each.
pub fn quantiles(all: &[(&str, &Quantiles)], page: &mut Page) {
    let row = |(name, q): &(&str, &Quantiles)| {
        let mut row = vec![Cell::Value((*name).to_owned())];
        row.extend([q.p50, q.p90, q.p99, q.p999, q.max].map(|value| Cell::Value(whole(value))));
        row
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    page.table("", &["", "50 %", "90 %", "99 %", "99.9 %", "max"], &rows);
}

fn server(server: &Server, page: &mut Page) {
    let [before, end, most] = server.resident.map(|bytes| bytes as f64 / f64::from(1 << 20));
    page.paragraph(&format!(
        "{} packets forwarded in {:.1} s. Memory: {before:.0} MiB before, {end:.0} at the end, {most:.0} at most. \
         Its sockets dropped {}.",
        whole(server.forwarded),
        server.seconds,
        server.socket_drops
    ));
    if let Some(batch) = &server.batch {
        turns(batch, page);
    }
    threads(&server.threads, server.forwarded, server.counted.as_ref(), page);
    if !server.drops.is_empty() {
        let rows: Vec<_> = server
            .drops
            .iter()
            .map(|(why, count)| vec![Cell::Value(why.clone()), Cell::Value(whole(*count))])
            .collect();
        page.table(
            "Packets that its workers dropped, from the first call to the last",
            &["reason", "packets"],
            &rows,
        );
    }
}

/// What workers received in a turn.
pub fn turns(batch: &Batch, page: &mut Page) {
    let each = number(batch.packets_per_turn);
    page.paragraph(&format!("Its workers received {each} packets in each turn of their loop."));
    figures::batches(&[("", Some(batch))]).iter().for_each(|plot| page.plot(plot));
}

/// What threads cost, and what was counted of them.
pub fn threads(threads: &[ThreadCost], packets: u64, counted: Option<&Counted>, page: &mut Page) {
    let each = |sum: f64| number(sum / packets.max(1) as f64);
    let row = |name: String, cpu: Cpu, sleeps: u64, busiest: Option<f64>| {
        vec![
            Cell::Value(name),
            Cell::Value(format!("{:.2}", cpu.user)),
            Cell::Value(format!("{:.2}", cpu.system)),
            Cell::Value(each(1e6 * cpu.total())),
            Cell::Value(each(sleeps as f64)),
            Cell::Value(
                busiest.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share)),
            ),
        ]
    };
    let mut rows: Vec<_> = threads
        .iter()
        .map(|cost| {
            row(table::several(&cost.name, cost.threads), cost.cpu, cost.sleeps, Some(cost.busiest))
        })
        .collect();
    rows.push(row("all".into(), sum(threads), threads.iter().map(|cost| cost.sleeps).sum(), None));
    let head = ["thread", "user s", "system s", "CPU us/packet", "sleeps/packet", "busiest"];
    page.table("CPU while all stood; a sleep is a voluntary context switch", &head, &rows);
    if let Some(counted) = counted {
        counts(counted, page);
    }
}

fn counts(counted: &Counted, page: &mut Page) {
    let cell =
        |count| Cell::Value(counted.per_packet(count).map_or_else(|| "-".to_owned(), number));
    let row = |name: String, counts: &crate::counters::Counts| {
        vec![
            Cell::Value(name),
            cell(counts.system_calls),
            cell(counts.cycles),
            cell(counts.instructions),
        ]
    };
    let mut rows: Vec<_> = counted
        .threads
        .iter()
        .map(|thread| row(table::several(&thread.name, thread.threads), &thread.counts))
        .collect();
    rows.push(row("all".into(), &counted.total));
    let caption = format!(
        "Per packet, counted for {:.1} s after all else ({} packets)",
        counted.seconds,
        whole(counted.packets)
    );
    page.table(&caption, &["thread", "system calls", "cycles", "instructions"], &rows);
    page.remarks(&counted.not_counted);
}

/// What the generator did, and how much of it was used.
pub fn generator(generator: &Generator, packets: u64, page: &mut Page) {
    let Generator { late, unsent, socket_drops, headroom, .. } = generator;
    page.paragraph(&capital(&format!("{headroom}.")));
    page.paragraph(&format!(
        "{} packets left more than 5 ms late (99 % of all: {} us, max {} us), {} not at all; its own sockets dropped \
         {}.",
        whole(*late),
        whole(generator.lateness_us.p99),
        whole(generator.lateness_us.max),
        whole(*unsent),
        whole(*socket_drops)
    ));
    threads(&generator.threads, packets, None, page);
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn requests(report: &NgReport, page: &mut Page) {
    page.heading("Requests over ng");
    let row = |(what, step): (&str, &Step)| {
        vec![
            Cell::Value(what.to_owned()),
            Cell::Value(number(step.rate)),
            Cell::Value(number(step.seconds)),
            Cell::Value(format!("{:.3} %", 100.0 * step.in_time())),
            Cell::Value(format!("{:.1} %", 100.0 * step.limited())),
            Cell::Value(number(step.latency_us.p50 as f64 / 1e3)),
            Cell::Value(number(step.latency_us.p99 as f64 / 1e3)),
            Cell::Value(number(step.latency_us.max as f64 / 1e3)),
            Cell::Value(if step.is_punctual() { String::new() } else { "generator late".into() }),
        ]
    };
    let mut all: Vec<_> = report.search.iter().map(|step| ("search", step)).collect();
    all.extend(report.sustained.iter().map(|step| ("highest sustained", step)));
    let last = if report.sustained.is_some() { "twice that" } else { "asked for" };
    all.extend(report.overload.iter().map(|step| (last, step)));
    let rows: Vec<_> = all.into_iter().map(row).collect();
    let head =
        ["", "requests/s", "s", "in time", "load limit", "50 %, ms", "99 %, ms", "max, ms", ""];
    page.table("In time is within 800 ms", &head, &rows);
}
