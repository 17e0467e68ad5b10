//! `/metrics`: the node's counters in the Prometheus text format, version 0.0.4.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use causeway_engine::error::DropReason;

use super::State;
use super::access::{May, SeeNode};
use super::rtpengine_metrics;
use super::text::Text;
use crate::api::{
    EdgeStats, NodeStats, PortStats, Problem, ProxiedStats, RecordingStats, TurnStats, WorkerStats,
};
use crate::ng::{Command, LoadLimit};
use crate::ng_server::{Closed, Counts, Door, Figures, Silence};
use crate::proxied::EndedBy;

/// Show the counters for Prometheus.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")),
    security((), ("api" = ["read"]))
)]
#[get("/metrics")]
pub(super) async fn show(_: May<SeeNode>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let stats = state.ask(state.calls.node()).await?;
    let counts = state.ng.counts();
    let text = encode(&stats, state.subscribers.count(), &counts);
    let text = text + &rtpengine_metrics::encode(&Figures::of(&stats, &counts));
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

type Column = (&'static str, &'static str, &'static str, fn(&WorkerStats) -> u64);

const WORKER: [Column; 13] = [
    ("packets_received_total", "counter", "Datagrams received.", |w| w.packets_in),
    ("packets_sent_total", "counter", "Datagrams sent.", |w| w.packets_out),
    ("received_bytes_total", "counter", "Payload bytes received.", |w| w.bytes_in),
    ("sent_bytes_total", "counter", "Payload bytes sent.", |w| w.bytes_out),
    ("packets_joined_total", "counter", "Datagrams that left in one message with others.", |w| {
        w.packets_joined
    }),
    ("system_calls_total", "counter", "System calls for packets.", |w| w.system_calls),
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

type EdgeColumn = (&'static str, &'static str, &'static str, fn(&EdgeStats) -> u64);

const EDGE: [EdgeColumn; 10] = [
    ("edge_streams", "gauge", "TCP streams of the edge now.", |e| e.streams),
    ("edge_allocations", "gauge", "Allocations of their clients now.", |e| e.allocations),
    ("edge_sockets", "gauge", "Relay sockets of those now.", |e| e.sockets),
    ("edge_packets_received_total", "counter", "Messages and datagrams received.", |e| {
        e.packets_in
    }),
    ("edge_packets_sent_total", "counter", "Messages and datagrams sent.", |e| e.packets_out),
    ("edge_received_bytes_total", "counter", "Bytes of those received.", |e| e.bytes_in),
    ("edge_sent_bytes_total", "counter", "Bytes of those sent.", |e| e.bytes_out),
    ("edge_turns_total", "counter", "Turns of the edge's loop.", |e| e.turns),
    ("edge_commands_total", "counter", "Commands applied or refused.", |e| e.commands),
    ("edge_punts_total", "counter", "Requests handed to control.", |e| e.punts),
];

fn encode(stats: &NodeStats, subscribers: usize, counts: &Counts) -> String {
    let mut text = Text::new("causeway_");
    text.family("build_info", "gauge", "The version that runs.");
    text.sample("build_info", &[("version", &stats.version), ("node", &stats.name)], 1);
    for (name, kind, help, value) in [
        ("uptime_seconds", "gauge", "Seconds since the node started.", stats.uptime),
        ("calls", "gauge", "Calls that are not over.", stats.calls),
        ("calls_created_total", "counter", "Calls created since the start.", stats.calls_created),
        ("legs", "gauge", "Legs that are not over.", stats.legs),
        ("event_streams", "gauge", "Event streams over HTTP now.", subscribers as u64),
    ] {
        text.single(name, kind, help, value);
    }
    text.family("worker_info", "gauge", "The I/O backend of the worker.");
    for worker in &stats.workers {
        let number = worker.worker.to_string();
        let labels = [("worker", number.as_str()), ("backend", worker.backend.as_str())];
        text.sample("worker_info", &labels, 1);
    }
    for (name, kind, help, column) in WORKER {
        text.family(name, kind, help);
        for worker in &stats.workers {
            text.sample(name, &[("worker", &worker.worker.to_string())], column(worker));
        }
    }
    if let Some(edge) = &stats.edge {
        for (name, kind, help, column) in EDGE {
            text.single(name, kind, help, column(edge));
        }
    }
    turn_packets(&mut text, stats);
    drops(&mut text, stats);
    latency(&mut text, stats);
    if let Some(stats) = &stats.turn {
        turn(&mut text, stats);
    }
    ng(&mut text, counts);
    proxied(&mut text, &stats.proxied);
    ports(&mut text, &stats.ports);
    records(&mut text, stats);
    recordings(&mut text, stats);
    text.finish()
}

/// What workers receive at a time.
fn turn_packets(text: &mut Text, stats: &NodeStats) {
    text.family("turn_packets", "histogram", "Datagrams received in a turn of the worker's loop.");
    for worker in &stats.workers {
        let number = worker.worker.to_string();
        let mut turns = 0;
        for size in &worker.turn_sizes {
            turns += size.turns;
            let labels = [("worker", number.as_str()), ("le", &size.packets.to_string())];
            text.sample("turn_packets_bucket", &labels, turns);
        }
        text.sample("turn_packets_bucket", &[("worker", &number), ("le", "+Inf")], turns);
        text.sample("turn_packets_sum", &[("worker", &number)], worker.packets_in);
        text.sample("turn_packets_count", &[("worker", &number)], turns);
    }
}

/// Every reason of every worker, so that a series is there before it first counts.
fn drops(text: &mut Text, stats: &NodeStats) {
    let name = "dropped_packets_total";
    text.family(name, "counter", "Packets dropped, by reason.");
    let workers = stats.workers.iter().map(|worker| (worker.worker.to_string(), &worker.drops));
    let edge = stats.edge.iter().map(|edge| ("edge".to_owned(), &edge.drops));
    for (worker, drops) in workers.chain(edge) {
        for reason in DropReason::ALL {
            let count = drops.get(reason.label()).copied().unwrap_or(0);
            text.sample(name, &[("worker", &worker), ("reason", reason.label())], count);
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
            let labels = [("worker", number.as_str()), ("quantile", quantile)];
            text.sample(name, &labels, us as f64 / 1e6);
        }
    }
}

/// What the TURN server had to do.
fn turn(text: &mut Text, stats: &TurnStats) {
    for (name, kind, help, value) in [
        ("turn_allocations", "gauge", "Allocations that there are.", stats.allocations),
        ("turn_allocations_made_total", "counter", "Allocations since the start.", stats.made),
        (
            "turn_unauthenticated_total",
            "counter",
            "Requests with wrong or expired credentials.",
            stats.unauthenticated,
        ),
        ("turn_refused_total", "counter", "Requests refused for another reason.", stats.refused),
        ("turn_ignored_total", "counter", "Messages that deserve no answer.", stats.dropped),
        (
            "turn_unwelcome_total",
            "counter",
            "Connections of peers that nobody wanted (RFC 6062).",
            stats.unwelcome,
        ),
    ] {
        text.single(name, kind, help, value);
    }
}

/// What the doors of the ng protocol counted.
fn ng(text: &mut Text, counts: &Counts) {
    let commands = || Command::ALL.iter().copied().map(Some).chain([None]);
    let name = |command: Option<Command>| command.map_or("unknown", Command::name);
    text.family("ng_requests_total", "counter", "Requests of the ng protocol that ran.");
    for command in commands() {
        for (door, count) in Door::ALL.iter().zip(counts.of(command).requests) {
            let labels = [("command", name(command)), ("door", door.label())];
            text.sample("ng_requests_total", &labels, count);
        }
    }
    text.family("ng_request_seconds_total", "counter", "Seconds that they took.");
    for command in commands() {
        let seconds = counts.of(command).time.as_secs_f64();
        text.sample("ng_request_seconds_total", &[("command", name(command))], seconds);
    }
    text.family("ng_errors_total", "counter", "Of them, those that ended in an error.");
    for command in commands() {
        text.sample("ng_errors_total", &[("command", name(command))], counts.of(command).errors);
    }
    ng_doors(text, counts);
}

fn ng_doors(text: &mut Text, counts: &Counts) {
    let help = "Requests whose cookie had come before: they did not run again.";
    text.family("ng_repeats_total", "counter", help);
    for door in Door::ALL {
        text.sample("ng_repeats_total", &[("door", door.label())], counts.repeats(*door));
    }
    let help = "Requests and connections of those who are not among ng.peers.";
    text.family("ng_refused_total", "counter", help);
    for door in Door::ALL {
        text.sample("ng_refused_total", &[("door", door.label())], counts.refused(*door));
    }
    text.family("ng_unanswered_total", "counter", "Requests that got no reply.");
    for why in Silence::ALL {
        text.sample("ng_unanswered_total", &[("reason", why.label())], counts.silences(*why));
    }
    text.family("ng_closed_total", "counter", "Connections that the node closed.");
    for why in Closed::ALL {
        text.sample("ng_closed_total", &[("reason", why.label())], counts.closed(*why));
    }
    for (name, kind, help, value) in [
        ("ng_late_total", "counter", "Requests that were not done in time.", counts.timeouts()),
        ("ng_connections", "gauge", "Connections of ng.tcp now.", counts.connections()),
    ] {
        text.single(name, kind, help, value);
    }
}

/// Calls behind SIP proxies. Media is counted when its call is over.
fn proxied(text: &mut Text, stats: &ProxiedStats) {
    for (name, kind, help, value) in [
        ("proxied_calls", "gauge", "Calls behind SIP proxies that are not over.", stats.live),
        ("proxied_calls_created_total", "counter", "Such calls since the start.", stats.created),
        ("proxied_calls_rejected_total", "counter", "Calls not begun at a limit.", stats.rejected),
        ("proxied_packets_total", "counter", "Packets that their parties sent.", stats.packets),
        ("proxied_bytes_total", "counter", "Bytes of these packets.", stats.bytes),
        (
            "proxied_strangers_total",
            "counter",
            "Packets from somewhere else that were not taken: attempts to inject media.",
            stats.strangers,
        ),
        ("proxied_one_way_total", "counter", "Calls with one side silent.", stats.one_way),
        ("proxied_silent_total", "counter", "m-lines that carried nothing.", stats.silent),
    ] {
        text.single(name, kind, help, value);
    }
    text.family("proxied_calls_limited_total", "counter", "Calls not begun, by the limit.");
    for limit in LoadLimit::ALL {
        let count = stats.rejected_by.get(limit.label()).copied().unwrap_or_default();
        text.sample("proxied_calls_limited_total", &[("limit", limit.label())], count);
    }
    text.family("proxied_calls_ended_total", "counter", "Such calls that are over, by why.");
    for by in EndedBy::ALL {
        let count = stats.ended.get(by.label()).copied().unwrap_or_default();
        text.sample("proxied_calls_ended_total", &[("reason", by.label())], count);
    }
    let (seconds, mos) = (&stats.seconds, &stats.mos);
    for (name, help, value) in [
        ("proxied_call_seconds_total", "Seconds that they lasted.", seconds.sum),
        ("proxied_mos_total", "Mean opinion scores of their media, added up.", mos.sum),
    ] {
        text.family(name, "counter", help);
        text.sample(name, &[], value);
    }
    text.single("proxied_mos_samples_total", "counter", "How many these are.", mos.count);
}

/// The interface of a name may be there for IPv4 and for IPv6.
fn ports(text: &mut Text, all: &[PortStats]) {
    type Column = (&'static str, &'static str, fn(&PortStats) -> u64);
    const COLUMNS: [Column; 3] = [
        ("ports", "Dedicated ports.", |one| one.total),
        ("ports_leased", "Dedicated ports that legs have.", |one| one.used),
        ("ports_resting", "Dedicated ports that rest.", |one| one.resting),
    ];
    for (name, help, column) in COLUMNS {
        text.family(name, "gauge", help);
        for one in all {
            let labels = [("interface", one.interface.as_str()), ("address", one.address.as_str())];
            text.sample(name, &labels, column(one));
        }
    }
}

/// What became of records of calls that are over.
fn records(text: &mut Text, stats: &NodeStats) {
    text.family(
        "records_total",
        "counter",
        "Records of calls that are over, by what became of them.",
    );
    for (to, delivery) in [("cdr", stats.cdr), ("webhook", stats.webhook)] {
        let outcomes =
            [("told", delivery.told), ("failed", delivery.failed), ("lost", delivery.lost)];
        for (outcome, count) in outcomes {
            text.sample("records_total", &[("to", to), ("outcome", outcome)], count);
        }
    }
}

/// Recordings of calls.
fn recordings(text: &mut Text, stats: &NodeStats) {
    let RecordingStats { open, begun, failed, cut, bytes } = stats.recordings;
    text.family("recordings_total", "counter", "Recordings of calls, by what became of them.");
    for (outcome, count) in [("begun", begun), ("failed", failed), ("cut", cut)] {
        text.sample("recordings_total", &[("outcome", outcome)], count);
    }
    text.single("recordings", "gauge", "Calls that are being recorded.", open);
    text.single("recording_bytes", "gauge", "Bytes in the directory of recordings.", bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::api::{Latency, TurnSize};

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
            packets_joined: 90,
            system_calls: 6,
            turns: 5,
            turn_sizes: [(0, 1), (1, 0), (2, 3), (4, 1)]
                .map(|(packets, turns)| TurnSize { packets, turns })
                .to_vec(),
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
            proxied: ProxiedStats {
                ended: BTreeMap::from([("media_timeout".to_owned(), 2)]),
                rejected_by: BTreeMap::from([("cpu".to_owned(), 3)]),
                strangers: 5,
                ..ProxiedStats::default()
            },
            turn: Some(TurnStats { allocations: 6, made: 8, ..TurnStats::default() }),
            ports: vec![PortStats {
                interface: "pub".into(),
                address: "10.0.0.5".into(),
                total: 100,
                used: 4,
                ..PortStats::default()
            }],
            ..NodeStats::default()
        }
    }

    #[test]
    fn every_drop_reason_of_every_worker_is_a_series() {
        let text = encode(&stats(), 0, &Counts::default());
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
        let text = encode(&stats(), 3, &Counts::default());
        let (mut family, mut families, mut series) = ("", BTreeSet::new(), BTreeSet::new());
        let mut is_histogram = false;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} twice");
                let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!((name, kind == "counter"), (family, family.ends_with("_total")));
                is_histogram = kind == "histogram";
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{family}{part}"));
            let is_part = is_histogram && parts.iter().any(|part| part == name);
            assert!(name == family || is_part, "{name} of {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(sample), "{sample} twice");
        }
        assert!(text.contains("causeway_build_info{version=\"0.1.0\",node=\"a\\\"1\"} 1\n"));
        assert!(
            text.contains("causeway_latency_seconds{worker=\"1\",quantile=\"0.999\"} 0.0009\n")
        );
        for line in [
            "event_streams 3",
            "turn_packets_bucket{worker=\"1\",le=\"0\"} 1",
            "turn_packets_bucket{worker=\"1\",le=\"1\"} 1",
            "turn_packets_bucket{worker=\"1\",le=\"4\"} 5",
            "turn_packets_bucket{worker=\"1\",le=\"+Inf\"} 5",
            "turn_packets_sum{worker=\"1\"} 1000",
            "turn_packets_count{worker=\"1\"} 5",
            "proxied_calls_limited_total{limit=\"cpu\"} 3",
            "proxied_calls_limited_total{limit=\"sessions\"} 0",
            "proxied_calls_ended_total{reason=\"media_timeout\"} 2",
            "proxied_calls_ended_total{reason=\"deleted\"} 0",
            "proxied_strangers_total 5",
            "turn_allocations 6",
            "turn_allocations_made_total 8",
            "turn_unauthenticated_total 0",
            "ports_leased{interface=\"pub\",address=\"10.0.0.5\"} 4",
        ] {
            assert!(text.contains(&format!("causeway_{line}\n")), "{line}");
        }
    }
}
