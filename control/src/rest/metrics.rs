//! `/metrics`: the node's counters in the Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write as _};

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use causeway_engine::error::DropReason;

use super::State;
use super::access::{May, SeeNode};
use crate::api::{NodeStats, Problem, WorkerStats};

/// Show the counters for Prometheus.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")),
    security((), ("api" = ["read"]))
)]
#[get("/metrics")]
pub(super) async fn show(_: May<SeeNode>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let stats = state.ask(state.calls.node()).await?;
    let text = encode(&stats, state.subscribers.count());
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

type Column = (&'static str, &'static str, &'static str, fn(&WorkerStats) -> u64);

const WORKER: [Column; 11] = [
    ("packets_received_total", "counter", "Datagrams received.", |w| w.packets_in),
    ("packets_sent_total", "counter", "Datagrams sent.", |w| w.packets_out),
    ("received_bytes_total", "counter", "Payload bytes received.", |w| w.bytes_in),
    ("sent_bytes_total", "counter", "Payload bytes sent.", |w| w.bytes_out),
    ("turns_total", "counter", "Turns of the worker's loop.", |w| w.turns),
    ("commands_total", "counter", "Commands applied or refused.", |w| w.commands),
    ("punts_total", "counter", "Datagrams handed to control.", |w| w.punts),
    ("worker_legs", "gauge", "Legs of the worker now.", |w| w.legs),
    ("worker_sockets", "gauge", "Sockets of the worker now.", |w| w.sockets),
    ("worker_frames_free", "gauge", "Frames not in use now.", |w| w.frames_free),
    ("latency_packets_total", "counter", "Packets whose latency was measured.", |w| {
        w.latency_us.packets
    }),
];

fn encode(stats: &NodeStats, subscribers: usize) -> String {
    let mut text = Text::default();
    text.family("build_info", "gauge", "The version that runs.");
    text.sample("build_info", &[("version", &stats.version), ("node", &stats.name)], 1);
    for (name, kind, help, value) in [
        ("uptime_seconds", "gauge", "Seconds since the node started.", stats.uptime),
        ("calls", "gauge", "Calls that are not over.", stats.calls),
        ("calls_created_total", "counter", "Calls created since the start.", stats.calls_created),
        ("legs", "gauge", "Legs that are not over.", stats.legs),
        ("event_streams", "gauge", "Event streams over HTTP now.", subscribers as u64),
    ] {
        text.family(name, kind, help);
        text.sample(name, &[], value);
    }
    text.family("worker_info", "gauge", "The I/O backend of the worker.");
    for worker in &stats.workers {
        let labels = [("worker", &worker.worker.to_string()), ("backend", &worker.backend)];
        text.sample("worker_info", &labels, 1);
    }
    for (name, kind, help, column) in WORKER {
        text.family(name, kind, help);
        for worker in &stats.workers {
            text.sample(name, &[("worker", &worker.worker.to_string())], column(worker));
        }
    }
    drops(&mut text, stats);
    latency(&mut text, stats);
    text.0
}

/// Every reason of every worker, so that a series is there before it first counts.
fn drops(text: &mut Text, stats: &NodeStats) {
    let name = "dropped_packets_total";
    text.family(name, "counter", "Packets dropped, by reason.");
    for worker in &stats.workers {
        for reason in DropReason::ALL {
            let count = worker.drops.get(reason.label()).copied().unwrap_or(0);
            let number = worker.worker.to_string();
            text.sample(name, &[("worker", &number), ("reason", &reason.label().into())], count);
        }
    }
}

fn latency(text: &mut Text, stats: &NodeStats) {
    let name = "latency_seconds";
    text.family(name, "gauge", "Latency from the kernel's receive time stamp to the send.");
    for worker in &stats.workers {
        let us = &worker.latency_us;
        let number = worker.worker.to_string();
        for (quantile, us) in
            [("0.5", us.p50), ("0.9", us.p90), ("0.99", us.p99), ("0.999", us.p999)]
        {
            let labels = [("worker", &number), ("quantile", &quantile.to_owned())];
            text.sample(name, &labels, us as f64 / 1e6);
        }
    }
}

/// The format: a family's HELP and TYPE, then its samples.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP causeway_{name} {help}\n# TYPE causeway_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &String)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        let braced = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "causeway_{name}{braced} {value}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::api::Latency;

    fn stats() -> NodeStats {
        let worker = |number| WorkerStats {
            worker: number,
            backend: "uring".into(),
            legs: 4,
            sockets: 2,
            frames_free: 100,
            packets_in: 1000,
            packets_out: 990,
            bytes_in: 160_000,
            bytes_out: 158_400,
            drops: BTreeMap::from([("srtp_auth".to_owned(), 7)]),
            turns: 5,
            commands: 3,
            punts: 1,
            latency_us: Latency { p50: 20, p90: 30, p99: 50, p999: 900, packets: 990 },
        };
        NodeStats {
            name: "a\"1".into(),
            version: "0.1.0".into(),
            uptime: 9,
            calls: 2,
            calls_created: 3,
            legs: 4,
            workers: vec![worker(0), worker(1)],
        }
    }

    #[test]
    fn every_drop_reason_of_every_worker_is_a_series() {
        let text = encode(&stats(), 0);
        for reason in DropReason::ALL {
            for worker in [0, 1] {
                let count = if *reason == DropReason::SrtpAuth { 7 } else { 0 };
                let line = format!(
                    "causeway_dropped_packets_total{{worker=\"{worker}\",reason=\"{}\"}} {count}\n",
                    reason.label()
                );
                assert!(text.contains(&line), "{line}");
            }
        }
    }

    #[test]
    fn each_sample_follows_its_own_help_and_type_and_is_there_once() {
        let text = encode(&stats(), 3);
        let (mut family, mut families, mut series) = ("", BTreeSet::new(), BTreeSet::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} twice");
                let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!((name, kind == "counter"), (family, family.ends_with("_total")));
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(sample.split('{').next().unwrap(), family);
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(sample), "{sample} twice");
        }
        assert!(text.contains("causeway_build_info{version=\"0.1.0\",node=\"a\\\"1\"} 1\n"));
        assert!(
            text.contains("causeway_latency_seconds{worker=\"1\",quantile=\"0.999\"} 0.0009\n")
        );
        assert!(text.contains("causeway_event_streams 3\n"));
    }
}
