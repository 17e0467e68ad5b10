//! What a page says of a search.

use super::axis::{number, whole};
use super::page::{Cell, Page, Tile};
use super::{Show, calls, figures};
use crate::search::{SearchReport, Step};

impl Show for SearchReport {
    fn title(&self) -> String {
        format!("The most calls with a p99 of {} ms", self.goal.p99_ms)
    }

    fn show(&self, page: &mut Page) {
        page.verdict(self.verdict, &self.claim());
        page.tiles(&self.tiles());
        page.heading("Steps");
        if let Some(plot) = figures::steps(&[("server", self)]) {
            page.plot(&plot);
        }
        let rows: Vec<_> = self.steps.iter().map(row).collect();
        let head = [
            "calls",
            "finding",
            "50 %, us",
            "99 %, us",
            "lost, %",
            "CPU us/packet",
            "server's cores",
            "generator busy",
            "why",
        ];
        let caption = format!(
            "Each has to keep a one-way p99 of {} ms and lose no more than {} %",
            self.goal.p99_ms,
            100.0 * self.goal.allow_loss
        );
        page.table(&caption, &head, &rows);
        if let Some(best) = &self.best {
            page.heading(&format!("At {} calls", whole(best.asked.calls as u64)));
            page.remarks(&best.remarks);
            calls::details(best, page);
        }
    }
}

impl SearchReport {
    fn tiles(&self) -> Vec<Tile> {
        let goal =
            format!("p99 of {} ms, {} % lost", self.goal.p99_ms, 100.0 * self.goal.allow_loss);
        let count = self.highest.map_or_else(|| "-".to_owned(), |calls| whole(calls as u64));
        let mut tiles = vec![Tile::new("calls that hold, most", count, goal)];
        if let Some(best) = &self.best {
            let us = best
                .server
                .as_ref()
                .map(|server| format!("{} us", number(server.ns_per_packet / 1e3)));
            tiles.extend(us.map(|us| Tile::new("CPU per packet there", us, String::new())));
            tiles.extend(calls::headroom(&best.generator.headroom));
        }
        tiles
    }
}

fn row(step: &Step) -> Vec<Cell> {
    let measured = step.measured.unwrap_or_default();
    let finding = format!("{:?}", step.finding).to_lowercase();
    let share = |share: Option<f64>| {
        share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", 100.0 * share))
    };
    vec![
        Cell::Value(whole(step.calls as u64)),
        Cell::Value(finding),
        Cell::Value(whole(measured.p50_us)),
        Cell::Value(whole(measured.p99_us)),
        Cell::Value(format!("{:.4}", 100.0 * measured.loss)),
        Cell::Value(measured.us_per_packet.map_or_else(|| "-".to_owned(), number)),
        Cell::Value(measured.cores.map_or_else(|| "-".to_owned(), number)),
        Cell::Value(share(measured.generator)),
        Cell::Words(step.why.clone()),
    ]
}
