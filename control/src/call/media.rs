//! Small conversions between the API, the descriptions and the engine.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway_engine::command::MediaKind;
use causeway_engine::error::DropReason;
use causeway_engine::stats::{LatencyBuckets, LegReading, MediaCounters};

use super::leg::CallLeg;
use crate::api::{CallStats, Latency, LegStats, Media, MediaDirection, MediaStats};
use crate::sdp::Direction;

/// A random number.
///
/// # Panics
/// If the system has no randomness, without which nothing here is safe to go on.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).expect("the system has randomness");
    u64::from_be_bytes(bytes)
}

/// An id of 22 characters that cannot be guessed (128 random bits).
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random().to_be_bytes());
    bytes[8..].copy_from_slice(&random().to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn engine_kind(kind: Media) -> MediaKind {
    match kind {
        Media::Audio => MediaKind::Audio,
        Media::Video => MediaKind::Video,
    }
}

/// A direction as descriptions have it.
pub(crate) fn sdp_direction(direction: MediaDirection) -> Direction {
    match direction {
        MediaDirection::SendRecv => Direction::SendRecv,
        MediaDirection::SendOnly => Direction::SendOnly,
        MediaDirection::RecvOnly => Direction::RecvOnly,
        MediaDirection::Inactive => Direction::Inactive,
    }
}

/// A call's statistics of what the worker has read.
pub(crate) fn call_stats(
    call: &str,
    legs: &[CallLeg],
    readings: &[(String, Box<LegReading>)],
) -> CallStats {
    let mut latency = LatencyBuckets::default();
    let mut stats = Vec::new();
    for (id, reading) in readings {
        latency.merge(&reading.latency);
        if let Some(leg) = legs.iter().find(|leg| leg.id == *id) {
            stats.push(leg_stats(leg, reading));
        }
    }
    CallStats { call: call.into(), legs: stats, latency_us: quantiles(&latency) }
}

pub(crate) fn leg_stats(leg: &CallLeg, reading: &LegReading) -> LegStats {
    let kind = |lines: &[usize], place: u8| {
        let line = lines.get(usize::from(place)).copied();
        let negotiated = leg.negotiated.as_ref();
        line.and_then(|line| negotiated?.at(line)).map_or("audio", |media| match media.kind {
            Media::Audio => "audio",
            Media::Video => "video",
        })
    };
    let received = reading.streams.iter();
    let received = received.map(|(id, counters)| media(kind(&leg.sending, id.index), counters));
    let sent = reading.sinks.iter();
    let sent = sent.map(|(id, counters)| media(kind(&leg.lines, id.index), counters));
    let drops = DropReason::ALL.iter().filter(|reason| reading.drops.of(**reason) > 0);
    LegStats {
        leg: leg.id.clone(),
        role: leg.role.clone(),
        received: received.collect(),
        sent: sent.collect(),
        drops: drops.map(|r| (r.label().to_owned(), reading.drops.of(*r))).collect(),
        strangers: reading.transports.iter().map(|(_, counters)| counters.strangers).sum(),
        latency_us: quantiles(&reading.latency),
    }
}

fn media(kind: &str, counters: &MediaCounters) -> MediaStats {
    let rate = f64::from(counters.clock_rate.max(1));
    MediaStats {
        kind: kind.into(),
        ssrc: counters.ssrc,
        packets: counters.packets,
        bytes: counters.bytes,
        rtx_packets: counters.rtx_packets,
        lost: counters.lost,
        jitter: f64::from(counters.jitter) / rate,
        nacks: counters.nacks,
        plis: counters.plis,
    }
}

fn quantiles(buckets: &LatencyBuckets) -> Latency {
    Latency {
        p50: buckets.quantile_us(0.5),
        p90: buckets.quantile_us(0.9),
        p99: buckets.quantile_us(0.99),
        p999: buckets.quantile_us(0.999),
        packets: buckets.0.iter().map(|&count| u64::from(count)).sum(),
    }
}
