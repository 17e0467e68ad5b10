//! What the command `statistics` tells, under the names and in the order of rtpengine 10.5.3.
//!
//! ```text
//! currentstatistics    sessions and media now
//! totalstatistics      since the start
//! intervalstatistics   of the last interval that Graphite was told of: there is none, all is zero
//! mos                  scores of calls that are over
//! controlstatistics    commands, by proxy and in all
//! interfaces           ports of each
//! transcoders          none
//! ```
//!
//! Rates, kernel and transcoding are zero: the first are left to whoever reads the totals twice.

use super::figures::{Figures, ProxyFigures};
use crate::api::{Mean, PortStats};
use crate::ng::{Command, Dictionary, Value};

/// The value of `statistics`.
pub(super) fn dictionary(figures: &Figures) -> Dictionary {
    Dictionary::new()
        .with("currentstatistics", current(figures))
        .with("totalstatistics", total(figures))
        .with("intervalstatistics", interval())
        .with("mos", mos(&figures.mos))
        .with("controlstatistics", control(&figures.proxies))
        .with("interfaces", figures.ports.iter().map(interface).collect::<Vec<Value>>())
        .with("transcoders", Vec::new())
}

fn current(figures: &Figures) -> Dictionary {
    let mut to = numbers(&[
        ("sessionsown", figures.sessions),
        ("sessionsforeign", 0),
        ("sessionstotal", figures.sessions),
        ("transcodedmedia", 0),
    ]);
    for place in ["_user", "_kernel", ""] {
        for rate in ["packetrate", "byterate", "errorrate"] {
            to.push(format!("{rate}{place}"), 0_u64);
        }
    }
    to.with("media_userspace", figures.media_streams)
        .with("media_kernel", 0_u64)
        .with("media_mixed", 0_u64)
}

fn total(figures: &Figures) -> Dictionary {
    let closed = figures.closed;
    let mut to = Dictionary::new().with("uptime", figures.uptime.as_secs().to_string());
    for (name, count) in [
        ("managedsessions", figures.durations.count),
        ("rejectedsessions", closed.rejected),
        ("timeoutsessions", closed.timeout),
        ("silenttimeoutsessions", closed.silent_timeout),
        ("finaltimeoutsessions", closed.final_timeout),
        ("offertimeoutsessions", closed.offer_timeout),
        ("regularterminatedsessions", closed.terminated),
        ("forcedterminatedsessions", closed.force_terminated),
    ] {
        to.push(name, count);
    }
    let relayed = [figures.packets, figures.packet_errors, figures.bytes];
    for (place, counts) in [("_user", relayed), ("_kernel", [0; 3]), ("", relayed)] {
        for (what, count) in ["packets", "packeterrors", "bytes"].into_iter().zip(counts) {
            to.push(format!("relayed{what}{place}"), count);
        }
    }
    let durations = &figures.durations;
    to.with("zerowaystreams", figures.zero_packet_streams)
        .with("onewaystreams", figures.one_way_sessions)
        .with("avgcallduration", fraction(durations.mean()))
        .with("totalcallsduration", fraction(durations.sum))
        .with("totalcallsduration2", fraction(durations.squares))
        .with("totalcallsduration_stddev", fraction(durations.deviation()))
}

fn interval() -> Dictionary {
    let mut to = Dictionary::new()
        .with("totalcallsduration", fraction(0.0))
        .with("minmanagedsessions", 0_u64)
        .with("maxmanagedsessions", 0_u64);
    for (what, zero) in [("delay", fraction(0.0)), ("requestrate", "0".to_owned())] {
        for (command, _) in COMMANDS {
            for bound in ["min", "max", "avg"] {
                to.push(format!("{bound}{}{what}", command.name()), zero.as_str());
            }
        }
    }
    to
}

fn mos(mos: &Mean) -> Dictionary {
    Dictionary::new()
        .with("mos_total", fraction(mos.sum))
        .with("mos2_total", fraction(mos.squares))
        .with("mos_samples_total", mos.count)
        .with("mos_average", fraction(mos.mean()))
        .with("mos_stddev", fraction(mos.deviation()))
}

fn control(proxies: &[ProxyFigures]) -> Dictionary {
    let of = |proxy: &ProxyFigures, command: Command| {
        let found = proxy.requests.iter().find(|(held, ..)| *held == command);
        found.map_or((0, 0.0), |(_, count, time)| (*count, time.as_secs_f64()))
    };
    let list = proxies.iter().map(|proxy| {
        let mut to = Dictionary::new().with("proxy", proxy.proxy.as_str());
        for (command, short) in COMMANDS {
            let (count, seconds) = of(proxy, *command);
            to.push(format!("{short}count"), count);
            to.push(format!("{short}duration"), fraction(seconds));
        }
        Value::from(to.with("errorcount", proxy.errors))
    });
    let mut to = Dictionary::new().with("proxies", list.collect::<Vec<_>>());
    for (command, short) in COMMANDS {
        let count: u64 = proxies.iter().map(|proxy| of(proxy, *command).0).sum();
        to.push(format!("total{short}count"), count);
    }
    to
}

#[allow(clippy::cast_precision_loss)] // at most 65,536
fn interface(ports: &PortStats) -> Value {
    let used = ports.used as f64 * 100.0 / ports.total.max(1) as f64;
    let numbers = Dictionary::new()
        .with("min", u64::from(ports.low))
        .with("max", u64::from(ports.high))
        .with("used", ports.used)
        .with("used_pct", format!("{used:.2}"))
        .with("free", ports.total.saturating_sub(ports.used))
        .with("totals", ports.total)
        .with("last", u64::from(ports.last));
    Dictionary::new()
        .with("name", ports.interface.as_str())
        .with("address", ports.address.as_str())
        .with("ports", numbers)
        .into()
}

fn numbers(all: &[(&str, u64)]) -> Dictionary {
    all.iter().fold(Dictionary::new(), |to, (name, number)| to.with(name, *number))
}

/// Documents have no fractions: they come as text.
fn fraction(value: f64) -> String {
    format!("{value:.6}")
}

/// The commands that are told of, with their short names.
const COMMANDS: &[(Command, &str)] = &[
    (Command::Ping, "ping"),
    (Command::Offer, "offer"),
    (Command::Answer, "answer"),
    (Command::Delete, "delete"),
    (Command::Query, "query"),
    (Command::List, "list"),
    (Command::StartRecording, "startrec"),
    (Command::StopRecording, "stoprec"),
    (Command::StartForwarding, "startfwd"),
    (Command::StopForwarding, "stopfwd"),
    (Command::BlockDtmf, "blkdtmf"),
    (Command::UnblockDtmf, "unblkdtmf"),
    (Command::BlockMedia, "blkmedia"),
    (Command::UnblockMedia, "unblkmedia"),
    (Command::PlayMedia, "playmedia"),
    (Command::StopMedia, "stopmedia"),
    (Command::PlayDtmf, "playdtmf"),
    (Command::Statistics, "stats"),
    (Command::SilenceMedia, "slnmedia"),
    (Command::UnsilenceMedia, "unslnmedia"),
    (Command::Publish, "pub"),
    (Command::SubscribeRequest, "subreq"),
    (Command::SubscribeAnswer, "subans"),
    (Command::Unsubscribe, "unsub"),
];

#[cfg(test)]
mod tests;
