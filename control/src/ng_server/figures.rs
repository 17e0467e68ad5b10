//! What rtpengine 10.5.3 counts, as far as there is something of the kind here: for its metrics and for the
//! command `statistics`.

use std::time::Duration;

use super::Counts;
use crate::api::{Mean, NodeStats, PortStats, ProxiedStats};
use crate::ng::Command;
use crate::proxied::EndedBy;

/// The numbers. `Default` is a node that has done nothing.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How long the node has been running.
    pub uptime: Duration,
    /// Calls that are not over.
    pub sessions: u64,
    /// Calls that are over, by why.
    pub closed: ClosedSessions,
    /// Legs of calls that are not over: each has one m-line of a party.
    pub media_streams: u64,
    /// Packets that were passed on.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were dropped.
    pub packet_errors: u64,
    /// Streams that ended without a packet.
    pub zero_packet_streams: u64,
    /// Calls that ended with media in one direction only.
    pub one_way_sessions: u64,
    /// How long calls that are over took, refused ones aside.
    pub durations: Mean,
    /// Mean opinion scores, from 1 to 5, of every party's media.
    pub mos: Mean,
    /// Dedicated ports of each interface.
    pub ports: Vec<PortStats>,
    /// What proxies asked for.
    pub proxies: Vec<ProxyFigures>,
}

/// Calls that are over, by why.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClosedSessions {
    /// Never begun: refused.
    pub rejected: u64,
    /// No media came for long.
    pub timeout: u64,
    /// No media came for long though none was to be expected.
    pub silent_timeout: u64,
    /// They were as old as calls may be.
    pub final_timeout: u64,
    /// Nobody answered.
    pub offer_timeout: u64,
    /// Deleted by their proxy.
    pub terminated: u64,
    /// Ended by an operator, or with the node.
    pub force_terminated: u64,
}

/// What a proxy asked for.
#[derive(Debug, Clone, Default)]
pub struct ProxyFigures {
    /// Its address.
    pub proxy: String,
    /// Each command, how often and for how long in all.
    pub requests: Vec<(Command, u64, Duration)>,
    /// Requests that ended in an error.
    pub errors: u64,
}

impl Figures {
    /// What the node's own statistics and the doors know.
    pub fn of(stats: &NodeStats, counts: &Counts) -> Self {
        let (workers, proxied) = (|| stats.workers.iter(), &stats.proxied);
        Self {
            uptime: Duration::from_secs(stats.uptime),
            sessions: proxied.live,
            closed: ClosedSessions::of(proxied),
            media_streams: stats.legs,
            packets: workers().map(|worker| worker.packets_out).sum(),
            bytes: workers().map(|worker| worker.bytes_out).sum(),
            packet_errors: workers().flat_map(|worker| worker.drops.values()).sum(),
            zero_packet_streams: proxied.silent,
            one_way_sessions: proxied.one_way,
            durations: proxied.seconds,
            mos: proxied.mos,
            ports: stats.ports.clone(),
            proxies: proxies(counts),
        }
    }
}

impl ClosedSessions {
    fn of(proxied: &ProxiedStats) -> Self {
        let by = |by: EndedBy| proxied.ended.get(by.label()).copied().unwrap_or_default();
        Self {
            rejected: proxied.rejected + by(EndedBy::Refused),
            timeout: by(EndedBy::MediaTimeout),
            silent_timeout: by(EndedBy::SilentTimeout),
            final_timeout: by(EndedBy::FinalTimeout),
            offer_timeout: by(EndedBy::OfferTimeout),
            terminated: by(EndedBy::Deleted),
            force_terminated: by(EndedBy::Operator) + by(EndedBy::Stopped),
        }
    }

    /// Each under the name that it has in metrics.
    pub fn by_reason(self) -> [(&'static str, u64); 7] {
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

fn proxies(counts: &Counts) -> Vec<ProxyFigures> {
    let figures = counts.proxies().map(|(address, proxy)| ProxyFigures {
        proxy: address.map_or_else(|| "others".to_owned(), |address| address.to_string()),
        requests: Command::ALL
            .iter()
            .map(|command| (*command, proxy.of(Some(*command))))
            .map(|(command, served)| (command, served.all(), served.time))
            .collect(),
        errors: proxy.errors(),
    });
    figures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_call_is_closed_for_one_reason() {
        let mut proxied = ProxiedStats { rejected: 1, ..ProxiedStats::default() };
        for by in EndedBy::ALL {
            proxied.ended.insert(by.label().to_owned(), 1);
        }
        let closed = ClosedSessions::of(&proxied).by_reason();
        let sum: u64 = closed.iter().map(|(_, count)| count).sum();
        assert_eq!(sum, 1 + EndedBy::ALL.len() as u64, "{closed:?}");
        assert!(closed.iter().all(|(_, count)| *count > 0), "{closed:?}");
    }
}
