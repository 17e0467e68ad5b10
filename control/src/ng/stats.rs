//! What `query` and `delete` tell of a call, under the names and in the order of rtpengine 10.5.3.
//!
//! ```text
//! created, created_us, last signal
//! SSRC      ssrc → cumulative loss, average MOS, lowest MOS, highest MOS, MOS progression
//! tags      tag → tag, via-branch, label, created, subscriptions, subscribers, medias
//!           media → index, type, protocol, codec, streams, flags
//!           stream → local port, local address, family, endpoint, advertised endpoint,
//!                    crypto suite, last packet, flags, SSRC, stats
//! totals    RTP, RTCP → packets, bytes, errors
//! ```
//!
//! Kamailio's MOS variables read `SSRC` by the label of a tag; `totals` is what most scripts log.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

use super::{Dictionary, Value};

/// A call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallStats {
    /// When it began, since 1970.
    pub created: Duration,
    /// When it was last asked to do something, since 1970.
    pub last_signal: Duration,
    /// When this was so, since 1970.
    pub seen: Duration,
    /// Whether a party has answered.
    pub answered: bool,
    /// The quality of its sources, by SSRC.
    pub ssrcs: Vec<(u32, SsrcStats)>,
    /// Its parties.
    pub tags: Vec<TagStats>,
}

/// A party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagStats {
    /// Its tag; empty for one that has not answered.
    pub tag: String,
    /// Its branch.
    pub via_branch: Option<String>,
    /// What it is called.
    pub label: Option<String>,
    /// When it came, since 1970.
    pub created: Duration,
    /// Whom it receives from.
    pub subscriptions: Vec<Subscription>,
    /// Who receives from it.
    pub subscribers: Vec<Subscription>,
    /// Its m-lines.
    pub medias: Vec<MediaStats>,
}

/// Who receives from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The other party's tag.
    pub tag: String,
    /// Whether it comes from an offer and its answer; else from a subscription.
    pub offer_answer: bool,
}

/// An m-line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaStats {
    /// Its number in the description, from 1.
    pub index: u32,
    /// Its kind, such as `audio`.
    pub kind: String,
    /// Its profile.
    pub protocol: Option<String>,
    /// The codec that was seen last, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// RTP and RTCP.
    pub streams: Vec<StreamStats>,
    /// What was dropped of what it sent, which the protocol does not tell.
    pub drops: Vec<Dropped>,
    /// What it is: `initialized`, `send`, `recv`, `rtcp-mux`, `DTLS-SRTP`, `SDES`, `ICE`…
    pub flags: Vec<&'static str>,
}

/// RTP or RTCP of an m-line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Whether it is RTP; else RTCP alone.
    pub is_rtp: bool,
    /// Where the party sends to.
    pub local: Option<SocketAddr>,
    /// Where the party was seen.
    pub endpoint: Option<SocketAddr>,
    /// Where its description says that it is.
    pub advertised: Option<SocketAddr>,
    /// How its media is encrypted, such as `AES_CM_128_HMAC_SHA1_80`.
    pub crypto_suite: Option<&'static str>,
    /// When it last sent, since 1970.
    pub last_packet: Duration,
    /// What it is besides RTP or RTCP: `filled`, `confirmed`, `DTLS fingerprint verified`, `ICE`…
    pub flags: Vec<&'static str>,
    /// The SSRC that was seen last.
    pub ssrc: Option<u32>,
    /// What it sent.
    pub sent: Counters,
    /// What it was sent, which the protocol does not tell.
    pub forwarded: Counters,
}

/// Packets that were dropped for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Its name in metrics.
    pub reason: &'static str,
    /// In words.
    pub meaning: &'static str,
    /// How many.
    pub count: u64,
}

/// What went by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were dropped.
    pub errors: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.errors = self.errors.saturating_add(other.errors);
    }
}

/// The quality of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SsrcStats {
    /// Packets that never came.
    pub cumulative_loss: u64,
    /// The mean of all reports, and how many there were.
    pub average: Mos,
    /// Reports that the mean is of.
    pub samples: u64,
    /// The worst report.
    pub lowest: MosSample,
    /// The best report.
    pub highest: MosSample,
    /// Time between the reports of [`Self::progression`].
    pub interval: Duration,
    /// Some ten reports from first to last.
    pub progression: Vec<MosSample>,
}

/// A quality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mos {
    /// The mean opinion score, times 10.
    pub mos: u64,
    /// The round-trip time from end to end, in µs.
    pub round_trip: u64,
    /// The round-trip time of this side alone, in µs.
    pub round_trip_leg: u64,
    /// The jitter, in ms.
    pub jitter: u64,
    /// Packets lost, in percent.
    pub loss: u64,
}

/// A quality at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MosSample {
    /// What was reported.
    pub mos: Mos,
    /// When, since 1970.
    pub reported: Duration,
}

impl CallStats {
    /// Adds everything.
    pub(super) fn write(&self, to: &mut Dictionary) {
        self.write_times(to);
        let mut tags = Dictionary::new();
        for (index, tag) in self.tags.iter().enumerate() {
            tags.push(tag.key(index), tag.write());
        }
        to.push("tags", tags);
        self.write_totals(to);
    }

    /// Adds everything but the tags.
    pub(super) fn write_brief(&self, to: &mut Dictionary) {
        self.write_times(to);
        self.write_totals(to);
    }

    fn write_times(&self, to: &mut Dictionary) {
        to.push("created", self.created.as_secs());
        to.push("created_us", u64::from(self.created.subsec_micros()));
        to.push("last signal", self.last_signal.as_secs());
        let mut ssrcs = Dictionary::new();
        for (ssrc, stats) in &self.ssrcs {
            ssrcs.push(ssrc.to_string(), stats.write());
        }
        to.push("SSRC", ssrcs);
    }

    fn write_totals(&self, to: &mut Dictionary) {
        let (mut rtp, mut rtcp) = (Counters::default(), Counters::default());
        let medias = self.tags.iter().flat_map(|tag| &tag.medias);
        for stream in medias.flat_map(|media| &media.streams) {
            *(if stream.is_rtp { &mut rtp } else { &mut rtcp }) += stream.sent;
        }
        to.push("totals", Dictionary::new().with("RTP", rtp.write()).with("RTCP", rtcp.write()));
    }
}

impl TagStats {
    /// What it is listed under.
    fn key(&self, index: usize) -> String {
        if self.tag.is_empty() { format!("<untagged {index}>") } else { self.tag.clone() }
    }

    fn write(&self) -> Dictionary {
        let mut to = Dictionary::new().with("tag", self.tag.as_str());
        push_some(&mut to, "via-branch", self.via_branch.as_deref());
        push_some(&mut to, "label", self.label.as_deref());
        to.with("created", self.created.as_secs())
            .with("subscriptions", list(&self.subscriptions, Subscription::write))
            .with("subscribers", list(&self.subscribers, Subscription::write))
            .with("medias", list(&self.medias, MediaStats::write))
    }
}

impl Subscription {
    fn write(&self) -> Dictionary {
        let kind = if self.offer_answer { "offer/answer" } else { "pub/sub" };
        Dictionary::new().with("tag", self.tag.as_str()).with("type", kind)
    }
}

impl MediaStats {
    fn write(&self) -> Dictionary {
        let mut to =
            Dictionary::new().with("index", u64::from(self.index)).with("type", self.kind.as_str());
        push_some(&mut to, "protocol", self.protocol.as_deref());
        push_some(&mut to, "codec", self.codec.as_deref());
        to.with("streams", list(&self.streams, StreamStats::write))
            .with("flags", texts(&self.flags))
    }
}

impl StreamStats {
    fn write(&self) -> Dictionary {
        let mut to = Dictionary::new();
        if let Some(local) = self.local {
            to.push("local port", u64::from(local.port()));
            to.push("local address", local.ip().to_string());
            to.push("family", family(local));
        }
        to.push("endpoint", self.endpoint.map(endpoint).unwrap_or_default());
        to.push("advertised endpoint", self.advertised.map(endpoint).unwrap_or_default());
        push_some(&mut to, "crypto suite", self.crypto_suite);
        to.push("last packet", self.last_packet.as_secs());
        let kind = if self.is_rtp { "RTP" } else { "RTCP" };
        to.push("flags", texts(&[&[kind], self.flags.as_slice()].concat()));
        if let Some(ssrc) = self.ssrc {
            to.push("SSRC", u64::from(ssrc));
        }
        to.with("stats", self.sent.write())
    }
}

impl Counters {
    fn write(self) -> Dictionary {
        Dictionary::new()
            .with("packets", self.packets)
            .with("bytes", self.bytes)
            .with("errors", self.errors)
    }
}

impl SsrcStats {
    fn write(&self) -> Dictionary {
        let progression = Dictionary::new()
            .with("interval", self.interval.as_secs())
            .with("entries", list(&self.progression, MosSample::write));
        Dictionary::new()
            .with("cumulative loss", self.cumulative_loss)
            .with("average MOS", self.average.write().with("samples", self.samples))
            .with("lowest MOS", self.lowest.write())
            .with("highest MOS", self.highest.write())
            .with("MOS progression", progression)
    }
}

impl Mos {
    fn write(self) -> Dictionary {
        Dictionary::new()
            .with("MOS", self.mos)
            .with("round-trip time", self.round_trip)
            .with("round-trip time leg", self.round_trip_leg)
            .with("jitter", self.jitter)
            .with("packet loss", self.loss)
    }
}

impl MosSample {
    fn write(&self) -> Dictionary {
        self.mos.write().with("reported at", self.reported.as_secs())
    }
}

fn endpoint(address: SocketAddr) -> Dictionary {
    Dictionary::new()
        .with("family", family(address))
        .with("address", address.ip().to_string())
        .with("port", u64::from(address.port()))
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn push_some(to: &mut Dictionary, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        to.push(name, text);
    }
}

fn list<T>(items: &[T], write: impl Fn(&T) -> Dictionary) -> Value {
    Value::List(items.iter().map(|item| write(item).into()).collect())
}

fn texts(texts: &[&str]) -> Value {
    Value::List(texts.iter().map(|text| (*text).into()).collect())
}
