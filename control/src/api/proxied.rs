//! Calls behind SIP proxies, and the dedicated ports that they take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ng::{self, LoadLimit};

/// Numbers of calls behind SIP proxies since the node started. What their media did is counted when
/// they are over.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ProxiedStats {
    /// Calls that are not over.
    pub live: u64,
    /// Calls that there were.
    pub created: u64,
    /// Calls that were not begun, since the node was at a limit.
    pub rejected: u64,
    /// Of them, those that the node was at this limit for.
    pub rejected_by: BTreeMap<String, u64>,
    /// Calls that are over, by why.
    pub ended: BTreeMap<String, u64>,
    /// Packets that their parties sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that came from somewhere else and were not taken: attempts to inject media.
    pub strangers: u64,
    /// How many seconds they lasted.
    pub seconds: Mean,
    /// Scores of their media, from 1 to 5.
    pub mos: Mean,
    /// Calls in which one side alone was heard.
    pub one_way: u64,
    /// m-lines that carried nothing.
    pub silent: u64,
}

impl ProxiedStats {
    /// Counts a call that was not begun.
    pub fn reject(&mut self, limit: LoadLimit) {
        self.rejected += 1;
        *self.rejected_by.entry(limit.label().to_owned()).or_default() += 1;
    }
}

/// A number that was seen often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Mean {
    /// How often.
    pub count: u64,
    /// The sum.
    pub sum: f64,
    /// The sum of the squares.
    pub squares: f64,
}

impl Mean {
    /// Sees it once more.
    pub fn note(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// The mean; 0 if it was never seen.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The standard deviation; 0 if it was never seen.
    #[allow(clippy::cast_precision_loss)]
    pub fn deviation(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.mean();
        // Sums that are rounded may leave a little less than nothing.
        (self.squares / self.count as f64 - mean * mean).max(0.0).sqrt()
    }
}

/// Dedicated ports of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortStats {
    /// The interface.
    pub interface: String,
    /// Its address on this host.
    pub address: String,
    /// The lowest port.
    pub low: u16,
    /// The highest port.
    pub high: u16,
    /// Ports that there are.
    pub total: u64,
    /// Ports that legs have.
    pub used: u64,
    /// Ports that were used a moment ago and rest.
    pub resting: u64,
    /// The port that was taken last; 0 before any was.
    pub last: u16,
}

/// A call behind a SIP proxy as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxiedCall {
    /// The call-id that its proxy gave it.
    pub call: String,
    /// Seconds since 1970 when it began.
    pub created: u64,
    /// Seconds since 1970 when its proxy last asked something of it.
    pub last_signal: u64,
    /// Its parties.
    pub parties: Vec<ProxiedParty>,
}

/// A party of a call behind a SIP proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxiedParty {
    /// Its tag; empty for one that has not answered.
    pub tag: String,
    /// Its branch.
    pub via_branch: Option<String>,
    /// What its proxy calls it.
    pub label: Option<String>,
    /// Its m-lines.
    pub media: Vec<ProxiedMedia>,
}

/// An m-line of a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxiedMedia {
    /// Its number in the description, from 1.
    pub index: u32,
    /// Its kind, such as `audio`.
    pub kind: String,
    /// Its profile, such as `RTP/AVP`.
    pub protocol: Option<String>,
    /// What it is, as the ng protocol tells it: `send`, `recv`, `rtcp-mux`, `ICE`…
    pub flags: Vec<String>,
    /// Its transports: RTP, and RTCP.
    pub transports: Vec<ProxiedTransport>,
}

/// What RTP or RTCP of an m-line goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxiedTransport {
    /// Whether it is RTP's; else RTCP's alone.
    pub rtp: bool,
    /// Where the party sends to.
    pub local: Option<String>,
    /// Where its description says that it is.
    pub signalled: Option<String>,
    /// Where it was seen, and where the node sends to.
    pub learnt: Option<String>,
    /// What it is encrypted with, such as `AES_CM_128_HMAC_SHA1_80`.
    pub suite: Option<String>,
    /// The SSRC that came last.
    pub ssrc: Option<u32>,
    /// Seconds since 1970 when it last sent.
    pub last_packet: u64,
    /// Packets that it sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that came from somewhere else and were not taken: attempts to inject media.
    pub strangers: u64,
}

impl ProxiedCall {
    /// The call of this id, of which this is known.
    pub fn of(call: String, stats: &ng::CallStats) -> Self {
        Self {
            call,
            created: stats.created.as_secs(),
            last_signal: stats.last_signal.as_secs(),
            parties: stats.tags.iter().map(ProxiedParty::of).collect(),
        }
    }
}

impl ProxiedParty {
    fn of(party: &ng::TagStats) -> Self {
        let media = party.medias.iter().map(|media| ProxiedMedia {
            index: media.index,
            kind: media.kind.clone(),
            protocol: media.protocol.clone(),
            flags: media.flags.iter().map(|flag| (*flag).to_owned()).collect(),
            transports: media.streams.iter().map(ProxiedTransport::of).collect(),
        });
        Self {
            tag: party.tag.clone(),
            via_branch: party.via_branch.clone(),
            label: party.label.clone(),
            media: media.collect(),
        }
    }
}

impl ProxiedTransport {
    fn of(stream: &ng::StreamStats) -> Self {
        let text = |address: Option<std::net::SocketAddr>| address.map(|at| at.to_string());
        Self {
            rtp: stream.is_rtp,
            local: text(stream.local),
            signalled: text(stream.advertised),
            learnt: text(stream.endpoint),
            suite: stream.crypto_suite.map(str::to_owned),
            ssrc: stream.ssrc,
            last_packet: stream.last_packet.as_secs(),
            packets: stream.sent.packets,
            bytes: stream.sent.bytes,
            strangers: stream.sent.errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_and_its_deviation_come_of_three_sums() {
        let mut seen = Mean::default();
        assert_eq!((seen.mean(), seen.deviation()), (0.0, 0.0));
        [2.0, 4.0].into_iter().for_each(|value| seen.note(value));
        assert_eq!((seen.count, seen.mean(), seen.deviation()), (2, 3.0, 1.0));
    }
}
