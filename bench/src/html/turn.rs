//! What a page says of TURN.

use super::axis::{number, whole};
use super::page::{Cell, Page, Tile};
use super::{Drawn, Show, calls, figures};
use crate::batch::Batch;
use crate::curve::Curve;
use crate::report::Tally;
use crate::search::SearchReport;
use crate::second::Second;
use crate::turn::job::{Outcome, Report};
use crate::turn::report::{AllocationsReport, FloodReport, TrafficReport};

impl Show for Report {
    fn title(&self) -> String {
        match self {
            Self::One(Outcome::Traffic(report)) => {
                format!("{}, {} packets/s", report.plan, number(report.plan.rate))
            }
            Self::One(Outcome::Allocations(report)) => format!("Allocations for {}", report.plan),
            Self::Rounds(report) => {
                format!("{}: {}", report.comparison.contestants.join(", "), report.plan)
            }
            Self::Flood(report) => {
                format!("{} Allocates/s without credentials", number(report.asked))
            }
        }
    }

    fn show(&self, page: &mut Page) {
        match self {
            Self::One(Outcome::Traffic(report)) => traffic(report, page),
            Self::One(Outcome::Allocations(report)) => allocations(report, page),
            Self::Rounds(report) => super::rounds::show(&report.comparison, page),
            Self::Flood(report) => flood(report, page),
        }
    }
}

impl Drawn for Outcome {
    fn latency(&self) -> Option<&Curve> {
        if let Self::Traffic(report) = self { Some(&report.latency_curve) } else { None }
    }

    fn seconds(&self) -> &[Second] {
        if let Self::Traffic(report) = self { &report.seconds } else { &[] }
    }

    fn batch(&self) -> Option<&Batch> {
        let Self::Traffic(report) = self else { return None };
        report.server.as_ref()?.batch.as_ref()
    }

    fn search(&self) -> Option<&SearchReport> {
        None
    }
}

fn traffic(report: &TrafficReport, page: &mut Page) {
    page.verdict(
        report.verdict,
        &format!("{} of {} clients were ready", report.ready, report.tale.clients),
    );
    page.remarks(&report.remarks);
    let total = report.ways.get("total").copied().unwrap_or_default();
    let ms = |us: u64| format!("{} ms", number(us as f64 / 1e3));
    let latency = &report.latency_us;
    let mut tiles = vec![
        Tile::new("packets lost", whole(total.lost), format!("of {}", whole(total.sent))),
        Tile::new("latency, 99 %", ms(latency.p99), format!("median {}", ms(latency.p50))),
    ];
    if let Some(cost) = &report.server {
        tiles.push(Tile::new(
            "CPU per packet",
            format!("{} us", number(cost.us_per_packet())),
            String::new(),
        ));
    }
    tiles.extend(calls::headroom(&report.generator.headroom));
    page.tiles(&tiles);
    page.heading("Packets");
    let row = |(way, tally): (&&str, &Tally)| {
        let mut row = vec![Cell::Value((*way).to_owned())];
        row.extend(tally.counts().map(|count| Cell::Value(whole(count))));
        row
    };
    let faults = &report.faults;
    let caption = format!(
        "corrupt {}, misrouted {}, stream full {}, connections closed {}",
        faults.corrupt, faults.misrouted, faults.blocked, faults.closed
    );
    let rows: Vec<_> = report.ways.iter().map(row).collect();
    page.table(
        &caption,
        &["", "sent", "received", "lost", "duplicate", "reordered", "stale"],
        &rows,
    );
    page.heading("Latency");
    let lateness = &report.generator.lateness_us;
    calls::quantiles(&[("latency, us", latency), ("sent late by, us", lateness)], page);
    if let Some(plot) = figures::percentiles(&[("", &report.latency_curve)]) {
        page.plot(&plot);
    }
    page.heading("Over time");
    figures::arrivals(&report.seconds).iter().for_each(|plot| page.plot(plot));
    let packets = report.server.as_ref().map_or(total.received, |cost| cost.packets);
    if let Some(cost) = &report.server {
        page.heading("Server");
        cost.batch.iter().for_each(|batch| calls::turns(batch, page));
        calls::threads(&cost.threads, cost.packets, cost.counted.as_ref(), page);
    }
    page.heading("Generator");
    calls::generator(&report.generator, packets, page);
}

fn allocations(report: &AllocationsReport, page: &mut Page) {
    page.verdict(
        report.verdict,
        &format!("{} of {} allocations made", report.made, report.tale.clients),
    );
    page.remarks(&report.remarks);
    page.heading("Figures");
    let figures = report.figures();
    let figures = figures.iter().map(|figure| (figure.name, number(figure.value)));
    page.values([("allocations per second", number(report.rate()))].into_iter().chain(figures));
}

fn flood(report: &FloodReport, page: &mut Page) {
    page.verdict(
        report.verdict,
        &format!("{}/s were sent of {}/s", number(report.rate()), number(report.asked)),
    );
    page.heading("Requests");
    let facts = [
        ("sent", whole(report.sent)),
        ("refused by the kernel", whole(report.refused)),
        ("addresses", whole(report.sources as u64)),
        ("bytes each", whole(report.size as u64)),
        ("seconds", number(report.seconds)),
    ];
    page.values(facts);
    calls::quantiles(&[("sent late by, us", &report.lateness_us)], page);
    if let Some(cost) = &report.server {
        page.heading("Server");
        calls::threads(&cost.threads, report.sent, None, page);
    }
}
