use std::time::Duration;

use super::*;
use crate::ng_server::ClosedSessions;

fn figures() -> Figures {
    let mut durations = Mean::default();
    [2.0, 4.0].into_iter().for_each(|seconds| durations.note(seconds));
    Figures {
        uptime: Duration::from_secs(9),
        sessions: 3,
        closed: ClosedSessions { timeout: 1, ..ClosedSessions::default() },
        packets: 100,
        durations,
        ports: vec![PortStats {
            interface: "pub".into(),
            address: "10.0.0.5".into(),
            low: 30_000,
            high: 30_999,
            total: 1000,
            used: 4,
            last: 30_002,
            ..PortStats::default()
        }],
        proxies: vec![ProxyFigures {
            proxy: "192.0.2.1".into(),
            requests: vec![(Command::Offer, 7, Duration::from_micros(749))],
            errors: 2,
        }],
        ..Figures::default()
    }
}

/// The value at a path of names and places.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('/').fold(value, |value, step| match value {
        Value::Dictionary(held) => held.lookup(step).unwrap_or_else(|| panic!("no {step}: {path}")),
        Value::List(held) => &held[step.parse::<usize>().unwrap()],
        _ => panic!("{path} goes on behind {value:?}"),
    })
}

#[test]
fn numbers_are_integers_and_fractions_and_uptime_are_texts() {
    let all = Value::from(dictionary(&figures()));
    for (path, number) in [
        ("currentstatistics/sessionsown", 3),
        ("totalstatistics/managedsessions", 2),
        ("totalstatistics/timeoutsessions", 1),
        ("totalstatistics/relayedpackets_user", 100),
        ("totalstatistics/relayedpackets", 100),
        ("controlstatistics/proxies/0/offercount", 7),
        ("controlstatistics/proxies/0/errorcount", 2),
        ("controlstatistics/totaloffercount", 7),
        ("controlstatistics/totalanswercount", 0),
        ("interfaces/0/ports/free", 996),
        ("interfaces/0/ports/last", 30_002),
    ] {
        assert_eq!(at(&all, path), &Value::Integer(number), "{path}");
    }
    for (path, text) in [
        ("totalstatistics/uptime", "9"),
        ("totalstatistics/avgcallduration", "3.000000"),
        ("totalstatistics/totalcallsduration_stddev", "1.000000"),
        ("intervalstatistics/avgstart recordingdelay", "0.000000"),
        ("intervalstatistics/maxunsubscriberequestrate", "0"),
        ("controlstatistics/proxies/0/offerduration", "0.000749"),
        ("interfaces/0/ports/used_pct", "0.40"),
    ] {
        assert_eq!(at(&all, path), &Value::from(text), "{path}");
    }
}
