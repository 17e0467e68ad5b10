//! The series of rtpengine 10.5.3 under its own names, so that its dashboards and alarms keep working.
//! They come beside the node's own, on the same page.
//!
//! Two of its distinctions mean nothing here and stay at zero: there is no kernel module, and calls are
//! not transcoded.

use std::time::Duration;

use super::text::Text;
use crate::api::NodeStats;
use crate::ng::Command;
use crate::ng_server::Counts;

/// The numbers behind the series. `Default` is a node that has done nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// How long the node has been running.
    pub(super) uptime: Duration,
    /// Calls that are not over.
    pub(super) sessions: u64,
    /// Of them, calls that another node has made.
    pub(super) foreign_sessions: u64,
    /// Calls that were made since the start.
    pub(super) sessions_total: u64,
    /// Calls that are over, by why.
    pub(super) closed: ClosedSessions,
    /// Media streams of calls that are not over.
    pub(super) media_streams: u64,
    /// Packets that were passed on.
    pub(super) packets: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Packets that were dropped.
    pub(super) packet_errors: u64,
    /// Streams that ended without a packet.
    pub(super) zero_packet_streams: u64,
    /// Calls that ended with media in one direction only.
    pub(super) one_way_sessions: u64,
    /// How long calls that are over took.
    pub(super) durations: Samples,
    /// Mean opinion scores, from 1 to 5, of every report.
    pub(super) mos: Samples,
    /// Dedicated ports of each interface.
    pub(super) ports: Vec<InterfacePorts>,
    /// What proxies asked for.
    pub(super) proxies: Vec<ProxyFigures>,
}

/// Calls that are over, by why.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClosedSessions {
    /// Never begun: refused.
    pub(super) rejected: u64,
    /// No media came for long.
    pub(super) timeout: u64,
    /// No media came for long though none was to be expected.
    pub(super) silent_timeout: u64,
    /// They were as old as calls may be.
    pub(super) final_timeout: u64,
    /// Nobody answered.
    pub(super) offer_timeout: u64,
    /// Deleted by their proxy.
    pub(super) terminated: u64,
    /// Ended by an operator.
    pub(super) force_terminated: u64,
}

/// A number that was seen often.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Samples {
    /// How often.
    pub(super) count: u64,
    /// The sum.
    pub(super) sum: f64,
    /// The sum of the squares.
    pub(super) squares: f64,
}

/// Dedicated ports of an interface.
#[derive(Debug, Clone, Default)]
pub(super) struct InterfacePorts {
    /// Its name.
    pub(super) name: String,
    /// Its address on this host.
    pub(super) address: String,
    /// Ports that legs have.
    pub(super) used: u64,
    /// Ports that there are.
    pub(super) all: u64,
}

/// What a proxy asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxyFigures {
    /// Its address.
    pub(super) proxy: String,
    /// Each command, how often and for how long in all.
    pub(super) requests: Vec<(&'static str, u64, Duration)>,
    /// Requests that ended in an error.
    pub(super) errors: u64,
}

impl Figures {
    /// What the node's own statistics and the doors know.
    pub(super) fn of(stats: &NodeStats, counts: &Counts) -> Self {
        let workers = || stats.workers.iter();
        Self {
            uptime: Duration::from_secs(stats.uptime),
            sessions: stats.calls,
            sessions_total: stats.calls_created,
            packets: workers().map(|worker| worker.packets_out).sum(),
            bytes: workers().map(|worker| worker.bytes_out).sum(),
            packet_errors: workers().flat_map(|worker| worker.drops.values()).sum(),
            proxies: proxies(counts),
            ..Self::default()
        }
    }

    /// The page.
    pub(super) fn encode(&self) -> String {
        let mut text = Text::new("rtpengine_");
        self.sessions(&mut text);
        self.media(&mut text);
        self.quality(&mut text);
        requests(&mut text, &self.proxies);
        ports(&mut text, &self.ports);
        text.finish()
    }

    fn sessions(&self, text: &mut Text) {
        text.family("sessions", "gauge", "Owned sessions");
        text.sample("sessions", &[("type", "own")], self.sessions);
        text.sample("sessions", &[("type", "foreign")], self.foreign_sessions);
        single(text, "transcoded_media", "gauge", "Transcoded media", 0);
        text.family("mediastreams", "gauge", "Media streams");
        for (kind, count) in [("userspace", self.media_streams), ("kernel", 0), ("mixed", 0)] {
            text.sample("mediastreams", &[("type", kind)], count);
        }
        let uptime = self.uptime.as_secs();
        single(text, "uptime_seconds", "gauge", "Seconds since the node started", uptime);
        let total = self.sessions_total;
        single(text, "sessions_total", "counter", "Total managed sessions", total);
        text.family("closed_sessions_total", "counter", "Total closed sessions, by reason");
        for (reason, count) in self.closed.by_reason() {
            text.sample("closed_sessions_total", &[("reason", reason)], count);
        }
    }

    fn media(&self, text: &mut Text) {
        for (name, help, count) in [
            ("packets_total", "Total relayed packets", self.packets),
            ("packet_errors_total", "Total relayed packet errors", self.packet_errors),
            ("bytes_total", "Total relayed bytes", self.bytes),
        ] {
            text.family(name, "counter", help);
            text.sample(name, &[("type", "userspace")], count);
            text.sample(name, &[("type", "kernel")], 0);
        }
        let help = "Total number of streams with no relayed packets";
        single(text, "zero_packet_streams_total", "counter", help, self.zero_packet_streams);
        let help = "Total number of 1-way streams";
        single(text, "one_way_sessions_total", "counter", help, self.one_way_sessions);
    }

    fn quality(&self, text: &mut Text) {
        let durations = &self.durations;
        for (name, kind, help, value) in [
            ("call_duration_avg", "gauge", "Average call duration", durations.mean()),
            ("call_duration_total", "counter", "Total calls duration", durations.sum),
            ("call_duration2_total", "counter", "Total calls duration squared", durations.squares),
            ("mos_total", "counter", "Sum of all MOS values sampled", self.mos.sum),
            ("mos2_total", "counter", "Sum of all MOS square values sampled", self.mos.squares),
        ] {
            single(text, name, kind, help, format_args!("{value:.6}"));
        }
        let help = "Total number of MOS samples";
        single(text, "mos_samples_total", "counter", help, self.mos.count);
    }
}

impl ClosedSessions {
    fn by_reason(self) -> [(&'static str, u64); 7] {
        [
            ("rejected", self.rejected),
            ("timeout", self.timeout),
            ("silent_timeout", self.silent_timeout),
            ("final_timeout", self.final_timeout),
            ("offer_timeout", self.offer_timeout),
            ("terminated", self.terminated),
            ("force_terminated", self.force_terminated),
        ]
    }
}

impl Samples {
    fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

fn proxies(counts: &Counts) -> Vec<ProxyFigures> {
    let figures = counts.proxies().map(|(address, proxy)| ProxyFigures {
        proxy: address.map_or_else(|| "others".to_owned(), |address| address.to_string()),
        requests: Command::ALL
            .iter()
            .map(|command| (command.name(), proxy.of(Some(*command))))
            .map(|(name, served)| (name, served.all(), served.time))
            .collect(),
        errors: proxy.errors(),
    });
    figures.collect()
}

/// The families are there, too, before anybody has asked.
fn requests(text: &mut Text, proxies: &[ProxyFigures]) {
    let all = || proxies.iter().flat_map(|one| one.requests.iter().map(move |row| (one, row)));
    text.family("requests_total", "counter", "Total requests, by proxy and command");
    for (one, (command, count, _)) in all() {
        let labels = [("proxy", one.proxy.as_str()), ("request", command)];
        text.sample("requests_total", &labels, count);
    }
    text.family("request_seconds_total", "counter", "Total time spent on requests");
    for (one, (command, _, time)) in all() {
        let labels = [("proxy", one.proxy.as_str()), ("request", command)];
        text.sample("request_seconds_total", &labels, format_args!("{:.6}", time.as_secs_f64()));
    }
    text.family("errors_total", "counter", "Total requests that ended in an error, by proxy");
    for one in proxies {
        text.sample("errors_total", &[("proxy", one.proxy.as_str())], one.errors);
    }
}

fn ports(text: &mut Text, interfaces: &[InterfacePorts]) {
    type Column = (&'static str, &'static str, fn(&InterfacePorts) -> u64);
    const COLUMNS: [Column; 3] = [
        ("ports_used", "Dedicated ports in use", |one| one.used),
        ("ports_free", "Dedicated ports not in use", |one| one.all.saturating_sub(one.used)),
        ("ports", "Dedicated ports", |one| one.all),
    ];
    for (name, help, column) in COLUMNS {
        text.family(name, "gauge", help);
        for one in interfaces {
            let labels = [("name", one.name.as_str()), ("address", one.address.as_str())];
            text.sample(name, &labels, column(one));
        }
    }
}

fn single(text: &mut Text, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    text.family(name, kind, help);
    text.sample(name, &[], value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rtpengine 10.5.3 shows of one interface and one proxy, without the values.
    const SERIES: &[&str] = &[
        r#"sessions{type="own"}"#,
        r#"sessions{type="foreign"}"#,
        "transcoded_media",
        r#"mediastreams{type="userspace"}"#,
        r#"mediastreams{type="kernel"}"#,
        r#"mediastreams{type="mixed"}"#,
        "uptime_seconds",
        "sessions_total",
        r#"closed_sessions_total{reason="rejected"}"#,
        r#"closed_sessions_total{reason="timeout"}"#,
        r#"closed_sessions_total{reason="silent_timeout"}"#,
        r#"closed_sessions_total{reason="final_timeout"}"#,
        r#"closed_sessions_total{reason="offer_timeout"}"#,
        r#"closed_sessions_total{reason="terminated"}"#,
        r#"closed_sessions_total{reason="force_terminated"}"#,
        r#"packets_total{type="userspace"}"#,
        r#"packets_total{type="kernel"}"#,
        r#"packet_errors_total{type="userspace"}"#,
        r#"packet_errors_total{type="kernel"}"#,
        r#"bytes_total{type="userspace"}"#,
        r#"bytes_total{type="kernel"}"#,
        "zero_packet_streams_total",
        "one_way_sessions_total",
        "call_duration_avg",
        "call_duration_total",
        "call_duration2_total",
        "mos_total",
        "mos2_total",
        "mos_samples_total",
        r#"requests_total{proxy="192.0.2.1",request="offer"}"#,
        r#"request_seconds_total{proxy="192.0.2.1",request="offer"}"#,
        r#"errors_total{proxy="192.0.2.1"}"#,
        r#"ports_used{name="pub",address="172.31.5.10"}"#,
        r#"ports_free{name="pub",address="172.31.5.10"}"#,
        r#"ports{name="pub",address="172.31.5.10"}"#,
    ];

    fn figures() -> Figures {
        let ports = InterfacePorts {
            name: "pub".into(),
            address: "172.31.5.10".into(),
            used: 4,
            all: 1000,
        };
        let proxy = ProxyFigures {
            proxy: "192.0.2.1".into(),
            requests: vec![("offer", 7, Duration::from_micros(749))],
            errors: 2,
        };
        Figures {
            durations: Samples { count: 4, sum: 10.0, squares: 30.0 },
            ports: vec![ports],
            proxies: vec![proxy],
            ..Figures::default()
        }
    }

    #[test]
    fn every_series_of_rtpengine_is_there_and_no_other() {
        let page = figures().encode();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let series: Vec<_> = samples.map(|line| line.rsplit_once(' ').unwrap().0).collect();
        let wanted: Vec<_> = SERIES.iter().map(|name| format!("rtpengine_{name}")).collect();
        assert_eq!(series, wanted);
    }

    #[test]
    fn numbers_are_written_as_rtpengine_writes_them() {
        let page = figures().encode();
        for line in [
            r#"rtpengine_request_seconds_total{proxy="192.0.2.1",request="offer"} 0.000749"#,
            r#"rtpengine_ports_free{name="pub",address="172.31.5.10"} 996"#,
            "rtpengine_call_duration_avg 2.500000",
            "rtpengine_mos_total 0.000000",
            "rtpengine_mos_samples_total 0",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
        }
    }
}
