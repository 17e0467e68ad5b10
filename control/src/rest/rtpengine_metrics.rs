//! The series of rtpengine 10.5.3 under its own names, so that its dashboards and alarms keep working.
//! They come beside the node's own, on the same page.
//!
//! Sessions are the calls behind SIP proxies, as rtpengine has no others; packets and ports are everybody's.
//! Two of its distinctions mean nothing here and stay at zero: there is no kernel module, and calls are
//! not transcoded.

use super::text::Text;
use crate::api::PortStats;
use crate::ng_server::{Figures, ProxyFigures};

/// The page.
pub(super) fn encode(figures: &Figures) -> String {
    let mut text = Text::new("rtpengine_");
    sessions(&mut text, figures);
    media(&mut text, figures);
    quality(&mut text, figures);
    requests(&mut text, &figures.proxies);
    ports(&mut text, &figures.ports);
    text.finish()
}

fn sessions(text: &mut Text, figures: &Figures) {
    text.family("sessions", "gauge", "Owned sessions");
    text.sample("sessions", &[("type", "own")], figures.sessions);
    text.sample("sessions", &[("type", "foreign")], 0);
    single(text, "transcoded_media", "gauge", "Transcoded media", 0);
    text.family("mediastreams", "gauge", "Media streams");
    for (kind, count) in [("userspace", figures.media_streams), ("kernel", 0), ("mixed", 0)] {
        text.sample("mediastreams", &[("type", kind)], count);
    }
    let uptime = figures.uptime.as_secs();
    single(text, "uptime_seconds", "gauge", "Seconds since the node started", uptime);
    let total = figures.durations.count;
    single(text, "sessions_total", "counter", "Total managed sessions", total);
    text.family("closed_sessions_total", "counter", "Total closed sessions, by reason");
    for (reason, count) in figures.closed.by_reason() {
        text.sample("closed_sessions_total", &[("reason", reason)], count);
    }
}

fn media(text: &mut Text, figures: &Figures) {
    for (name, help, count) in [
        ("packets_total", "Total relayed packets", figures.packets),
        ("packet_errors_total", "Total relayed packet errors", figures.packet_errors),
        ("bytes_total", "Total relayed bytes", figures.bytes),
    ] {
        text.family(name, "counter", help);
        text.sample(name, &[("type", "userspace")], count);
        text.sample(name, &[("type", "kernel")], 0);
    }
    let help = "Total number of streams with no relayed packets";
    single(text, "zero_packet_streams_total", "counter", help, figures.zero_packet_streams);
    let help = "Total number of 1-way streams";
    single(text, "one_way_sessions_total", "counter", help, figures.one_way_sessions);
}

fn quality(text: &mut Text, figures: &Figures) {
    let (durations, mos) = (&figures.durations, &figures.mos);
    for (name, kind, help, value) in [
        ("call_duration_avg", "gauge", "Average call duration", durations.mean()),
        ("call_duration_total", "counter", "Total calls duration", durations.sum),
        ("call_duration2_total", "counter", "Total calls duration squared", durations.squares),
        ("mos_total", "counter", "Sum of all MOS values sampled", mos.sum),
        ("mos2_total", "counter", "Sum of all MOS square values sampled", mos.squares),
    ] {
        single(text, name, kind, help, format_args!("{value:.6}"));
    }
    single(text, "mos_samples_total", "counter", "Total number of MOS samples", mos.count);
}

/// The families are there, too, before anybody has asked.
fn requests(text: &mut Text, proxies: &[ProxyFigures]) {
    let all = || proxies.iter().flat_map(|one| one.requests.iter().map(move |row| (one, row)));
    text.family("requests_total", "counter", "Total requests, by proxy and command");
    for (one, (command, count, _)) in all() {
        let labels = [("proxy", one.proxy.as_str()), ("request", command.name())];
        text.sample("requests_total", &labels, count);
    }
    text.family("request_seconds_total", "counter", "Total time spent on requests");
    for (one, (command, _, time)) in all() {
        let labels = [("proxy", one.proxy.as_str()), ("request", command.name())];
        text.sample("request_seconds_total", &labels, format_args!("{:.6}", time.as_secs_f64()));
    }
    text.family("errors_total", "counter", "Total requests that ended in an error, by proxy");
    for one in proxies {
        text.sample("errors_total", &[("proxy", one.proxy.as_str())], one.errors);
    }
}

fn ports(text: &mut Text, interfaces: &[PortStats]) {
    type Column = (&'static str, &'static str, fn(&PortStats) -> u64);
    const COLUMNS: [Column; 3] = [
        ("ports_used", "Dedicated ports in use", |one| one.used),
        ("ports_free", "Dedicated ports not in use", |one| one.total.saturating_sub(one.used)),
        ("ports", "Dedicated ports", |one| one.total),
    ];
    for (name, help, column) in COLUMNS {
        text.family(name, "gauge", help);
        for one in interfaces {
            let labels = [("name", one.interface.as_str()), ("address", one.address.as_str())];
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
    use std::time::Duration;

    use super::*;
    use crate::api::Mean;
    use crate::ng::Command;

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
        let ports = PortStats {
            interface: "pub".into(),
            address: "172.31.5.10".into(),
            used: 4,
            total: 1000,
            ..PortStats::default()
        };
        let proxy = ProxyFigures {
            proxy: "192.0.2.1".into(),
            requests: vec![(Command::Offer, 7, Duration::from_micros(749))],
            errors: 2,
        };
        Figures {
            durations: Mean { count: 4, sum: 10.0, squares: 30.0 },
            ports: vec![ports],
            proxies: vec![proxy],
            ..Figures::default()
        }
    }

    #[test]
    fn every_series_of_rtpengine_is_there_and_no_other() {
        let page = encode(&figures());
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let series: Vec<_> = samples.map(|line| line.rsplit_once(' ').unwrap().0).collect();
        let wanted: Vec<_> = SERIES.iter().map(|name| format!("rtpengine_{name}")).collect();
        assert_eq!(series, wanted);
    }

    #[test]
    fn numbers_are_written_as_rtpengine_writes_them() {
        let page = encode(&figures());
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
