//! What the REST API speaks: one type per request and answer, and [`Problem`], the one error.
//!
//! `rest/` parses into these, `actors/` answers with them; they name no HTTP and no actor.

mod proxied;
mod proxied_why;
mod record;
mod why;

use std::collections::BTreeMap;

use causeway_engine::config::{SINKS_PER_LEG, SSRCS_PER_TRANSPORT};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use proxied::{
    Mean, PortStats, ProxiedCall, ProxiedMedia, ProxiedParty, ProxiedStats, ProxiedTransport,
};
pub use proxied_why::{ProxiedFinding, ProxiedWhy};
pub use record::{EndRecord, MediaEnd, Via};
pub use why::{
    ClientCandidate, ClientPair, ClientReport, ClientState, Finding, Gravity, Moment, PairState,
    REPORT_PAIRS_MAX, Topic, Verdict, Why,
};

use crate::sdp::SdpErrorKind;

/// Asks for a new call.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCall {
    /// A name for people; at most 128 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// Free labels, at most 16 of at most 128 characters each; they come back in views and events.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Fewer than two legs are connected and none was before.
    Waiting,
    /// Two or more legs are connected.
    Active,
    /// Over.
    Ended,
}

/// A call as it is now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// Its id, 22 characters that cannot be guessed.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub state: CallState,
    /// Seconds since 1970 when it was created.
    pub created: u64,
    /// Its legs in the order of joining.
    pub legs: Vec<LegView>,
    /// The leg that speaks, or spoke last; none before anybody has.
    #[serde(default)]
    pub speaker: Option<String>,
}

/// Where a leg is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// The node has offered and waits for the answer.
    Offered,
    /// ICE is looking for a pair, or DTLS is shaking hands.
    Connecting,
    /// Keys are installed and a pair is nominated.
    Connected,
    /// Over.
    Ended,
}

/// Why a leg is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The leg left or was deleted.
    Left,
    /// Its call was deleted or its last other leg left.
    CallEnded,
    /// The certificate does not match the fingerprint of the description.
    FingerprintMismatch,
    /// The DTLS handshake failed.
    DtlsFailed,
    /// Nobody joined within the time for it.
    JoinTimeout,
    /// Nothing came from the leg for the consent time.
    ConsentLost,
    /// The far side closed DTLS.
    Closed,
    /// The worker could not take it.
    EngineRefused,
    /// Nothing came for too long from a leg without ICE.
    MediaTimeout,
    /// The call has lasted as long as a call may.
    FinalTimeout,
}

impl EndReason {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::CallEnded => "call_ended",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::DtlsFailed => "dtls_failed",
            Self::JoinTimeout => "join_timeout",
            Self::ConsentLost => "consent_lost",
            Self::Closed => "closed",
            Self::EngineRefused => "engine_refused",
            Self::MediaTimeout => "media_timeout",
            Self::FinalTimeout => "final_timeout",
        }
    }
}

/// A leg as it is now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LegView {
    /// Its id.
    pub id: String,
    /// The role that it joined with, such as `customer` or `agent`.
    pub role: String,
    /// Where it is in its life.
    pub state: LegState,
    /// Whether it has put the call on hold (it takes no media).
    pub held: bool,
    /// Why it is over.
    pub ended: Option<EndReason>,
    /// DTLS version and SRTP suite once connected, such as `DTLS 1.3, AES_CM_128_HMAC_SHA1_80`.
    pub security: Option<String>,
    /// The nominated far address, once connected; of RTP, where RTCP has a port of its own.
    pub remote: Option<String>,
    /// What it receives of whom, by its m-lines.
    #[serde(default)]
    pub receives: Vec<Received>,
    /// The m-lines that it needs to receive every other leg, if it has fewer: it should offer again.
    #[serde(default)]
    pub wants: Option<Lines>,
}

/// What a leg receives on one of its m-lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Received {
    /// The m-line's MID.
    pub mid: String,
    /// Its kind.
    pub kind: Media,
    /// The leg that it comes from.
    pub from: String,
    /// That leg's role.
    pub role: String,
    /// The simulcast layers that leg sends, in the order that it prefers them; none without simulcast.
    pub layers: Vec<String>,
    /// The layer that is forwarded now, once one is.
    pub layer: Option<String>,
    /// The layer that was asked for: `auto` or one of `layers`.
    pub asked: String,
    /// Whether it was asked not to come.
    pub paused: bool,
}

/// Numbers of m-lines on which a leg receives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lines {
    /// Of audio.
    pub audio: usize,
    /// Of video.
    pub video: usize,
}

/// Asks for what comes on one m-line of a leg. It holds for as long as the same leg feeds the line.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// One of the layers that the leg there sends, or `auto` (default): the best that the bandwidth allows.
    #[serde(default)]
    pub layer: Option<String>,
    /// Whether nothing is to come for now.
    #[serde(default)]
    pub paused: bool,
}

/// Adds a leg: with an offer the node answers, without one it offers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddLeg {
    /// The role, at most 32 characters; a join token's role wins.
    #[serde(default)]
    pub role: Option<String>,
    /// The far side's SDP offer.
    #[serde(default)]
    pub offer: Option<String>,
    /// What the node offers where it is to offer; audio and video by default, audio alone without ICE.
    #[serde(default)]
    pub media: Option<Vec<Media>>,
    /// Whom the node offers to; a browser by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<LegKind>,
    /// Which way media flows in an offer without ICE, from the node's view; both ways by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<MediaDirection>,
    /// Whether an offer without ICE lets RTP and RTCP share a port (RFC 5761).
    #[serde(default)]
    pub rtcp_mux: bool,
    /// Whether an offer without ICE has early feedback (RFC 4585), which pictures need: `RTP/AVPF` and
    /// the like.
    #[serde(default)]
    pub feedback: bool,
    /// The name of the interface whose ports a leg without ICE gets; the first that has any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Whether it comes and goes without a say in the call's end, as publishers and viewers do. A
    /// call that was active is over when another leg leaves and one remains.
    #[serde(default)]
    pub stays: bool,
    /// The differentiated services code point of the packets that the leg is sent, 0 to 63; as
    /// configured (`media.dscp`) if absent. A browser that joins with a token has no say in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 63)]
    pub dscp: Option<u8>,
    /// Whether a leg without ICE is taken. The node then sends to whatever address its description names,
    /// which nobody has shown to want it, so only whoever holds the whole API may ask for that.
    #[serde(skip)]
    pub without_ice: bool,
}

/// Whom the node offers to: how the far side is found, and what protects its media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegKind {
    /// A browser: ICE and DTLS-SRTP.
    #[default]
    Webrtc,
    /// A phone, a gateway or a media server with plain RTP, at the address of its answer.
    Rtp,
    /// The same with SRTP under keys that stand in the descriptions (RFC 4568).
    Sdes,
    /// The same with SRTP under keys of a DTLS handshake (RFC 5764).
    Dtls,
}

/// Which way media flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MediaDirection {
    /// Both ways.
    #[default]
    SendRecv,
    /// From the node only: the far side is on hold if it is told so later.
    SendOnly,
    /// To the node only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

/// A renewed offer of the far side, or the wish for one of the node's.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The far side's SDP offer, which the node answers. Without it the node offers, to a leg without
    /// ICE, and takes the answer at `/answer`.
    #[serde(default)]
    pub sdp: Option<String>,
    /// Which way media is to flow in the node's offer, from its view; both ways by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<MediaDirection>,
}

/// A kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

/// A leg that was added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LegAdded {
    /// The leg.
    pub leg: LegView,
    /// The node's answer, if it was offered to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The node's offer, if it offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
}

/// A session description from the far side: an answer, or the offer of a renegotiation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The SDP.
    pub sdp: String,
}

/// Candidates that come after the description (RFC 8838), up to 32 at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trickle {
    /// `candidate:…` lines, with or without `a=`.
    #[serde(default)]
    pub candidates: Vec<String>,
    /// Whether these were the last.
    #[serde(default)]
    pub end_of_candidates: bool,
}

/// Asks for a join token.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// The role that its bearer joins with, at most 32 characters.
    pub role: String,
    /// Seconds that it is good for, 10 to 86400; 3600 by default.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

/// A join token: lets one browser join one call in one role.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// The token; a signed JWT whose payload holds `call`, `role` and `exp`.
    pub token: String,
    /// Seconds since 1970 when it expires.
    pub expires: u64,
}

/// Asks for TURN credentials.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MintCredentials {
    /// Whose they are, for quotas: 1 to 64 letters, digits, `-`, `.`, `_` and `@`. Somebody new if absent, and always
    /// the bearer where a join token is shown.
    #[serde(default)]
    pub user: Option<String>,
    /// Seconds that they are good for, 10 or more; as long as the node allows by default.
    #[serde(default)]
    pub ttl: Option<u64>,
}

/// TURN credentials for a time, as a browser's `RTCIceServer` takes them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CredentialsMinted {
    /// The name, with the time of expiry.
    pub username: String,
    /// The password.
    pub credential: String,
    /// Seconds that they are good for.
    pub ttl: u64,
    /// Where the server is (RFC 7065).
    pub urls: Vec<String>,
}

/// Counters of one stream or sink.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct MediaStats {
    /// `audio` or `video`.
    pub kind: String,
    /// SSRC on this leg, 0 while unknown.
    pub ssrc: u32,
    /// Media packets, retransmissions aside.
    pub packets: u64,
    /// Payload bytes of them.
    pub bytes: u64,
    /// Retransmissions.
    pub rtx_packets: u64,
    /// Packets that the sequence numbers miss (streams from the leg only).
    pub lost: u64,
    /// Interarrival jitter in seconds (RFC 3550 §6.4.1; streams from the leg only).
    pub jitter: f64,
    /// Packets asked for again.
    pub nacks: u64,
    /// Key frames asked for.
    pub plis: u64,
}

/// Latency inside the node, in microseconds: from the kernel's receive time stamp to the send.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Packets measured.
    pub packets: u64,
}

/// One leg's statistics.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LegStats {
    /// The leg.
    pub leg: String,
    /// Its role.
    pub role: String,
    /// What it sends to the node.
    pub received: Vec<MediaStats>,
    /// What the node sends to it.
    pub sent: Vec<MediaStats>,
    /// Its dropped packets by reason; reasons with none are left out.
    pub drops: BTreeMap<String, u64>,
    /// Packets that came to its own ports from somewhere else and were not taken.
    #[serde(default)]
    pub strangers: u64,
    /// Latency of its packets (powers of two, upper bounds).
    pub latency_us: Latency,
}

/// A call's statistics.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CallStats {
    /// The call.
    pub call: String,
    /// Its legs.
    pub legs: Vec<LegStats>,
    /// Latency of all of its packets.
    pub latency_us: Latency,
}

/// Turns of a worker's loop that received about as many datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnSize {
    /// The most datagrams of such a turn: 0, 1, 2, 4 and so on; at least one more than in the entry before.
    pub packets: u64,
    /// Turns.
    pub turns: u64,
}

/// One worker's statistics.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerStats {
    /// Its number.
    pub worker: u16,
    /// `uring` or `mmsg`.
    pub backend: String,
    /// Legs now.
    pub legs: u64,
    /// Sockets now.
    pub sockets: u64,
    /// Frames not in use now.
    pub frames_free: u64,
    /// Datagrams received.
    pub packets_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Dropped packets by reason, all reasons.
    pub drops: BTreeMap<String, u64>,
    /// Of the datagrams sent those that left in one message with others (UDP segmentation offload).
    pub packets_joined: u64,
    /// System calls for packets.
    pub system_calls: u64,
    /// Loop turns.
    pub turns: u64,
    /// The same by datagrams received in each, the smallest first.
    #[serde(default)]
    pub turn_sizes: Vec<TurnSize>,
    /// Commands applied or refused.
    pub commands: u64,
    /// Datagrams handed to control.
    pub punts: u64,
    /// Latency since the node started.
    pub latency_us: Latency,
}

/// Statistics of the edge: TCP and TLS, HTTP aside once it is handed over.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct EdgeStats {
    /// TCP streams now.
    pub streams: u64,
    /// Allocations of clients that came by them, now.
    pub allocations: u64,
    /// Relay sockets of those now.
    pub sockets: u64,
    /// Messages received in streams and datagrams received by relays.
    pub packets_in: u64,
    /// Messages and datagrams sent.
    pub packets_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// What was dropped or closed, by reason, all reasons.
    pub drops: BTreeMap<String, u64>,
    /// Loop turns.
    pub turns: u64,
    /// Commands applied or refused.
    pub commands: u64,
    /// Requests handed to control.
    pub punts: u64,
}

/// An interface: where media comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// The address and first shared port that it is bound to.
    pub bind: String,
    /// The address that new legs are told.
    pub announce: String,
    /// Whether they are told the bound one too.
    pub private_candidate: bool,
}

/// What of an interface can be changed while the node runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetInterface {
    /// As in the configuration: an address, `bind`, `auto`, or a cloud's name, which is asked now.
    pub announce: String,
}

/// The node as it is now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct NodeStats {
    /// Its name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// Calls that are not over.
    pub calls: u64,
    /// Calls created since the start.
    pub calls_created: u64,
    /// Legs that are not over.
    pub legs: u64,
    /// Its workers.
    pub workers: Vec<WorkerStats>,
    /// Its edge, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeStats>,
    /// Its TURN server, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnStats>,
    /// Calls behind SIP proxies; `calls` counts the others.
    #[serde(default)]
    pub proxied: ProxiedStats,
    /// Its dedicated ports.
    #[serde(default)]
    pub ports: Vec<PortStats>,
    /// Records of calls that are over, in the file `cdr.file`.
    #[serde(default)]
    pub cdr: Delivery,
    /// The same at the webhook.
    #[serde(default)]
    pub webhook: Delivery,
    /// Recordings of calls.
    #[serde(default)]
    pub recordings: RecordingStats,
}

/// What the TURN server has to do. What its relays drop is counted by the threads that relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnStats {
    /// Allocations now.
    pub allocations: u64,
    /// All that were made.
    pub made: u64,
    /// Requests with wrong or expired credentials.
    pub unauthenticated: u64,
    /// Requests that were refused for another reason.
    pub refused: u64,
    /// Messages that deserve no answer.
    pub dropped: u64,
    /// Connections of peers that nobody wanted (RFC 6062).
    pub unwelcome: u64,
}

/// What became of recordings of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingStats {
    /// Those that are not over.
    pub open: u64,
    /// All that began.
    pub begun: u64,
    /// Files that could not be written.
    pub failed: u64,
    /// Those that have reached a limit.
    pub cut: u64,
    /// Bytes in the directory.
    pub bytes: u64,
}

/// What became of records of calls that are over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Written, or taken by the receiver.
    pub told: u64,
    /// Not written, or not taken.
    pub failed: u64,
    /// Lost, since too many waited.
    pub lost: u64,
}

/// What happens in a call's and the node's life, for server-sent events.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LifeEvent {
    /// Counts up over the node's life; the SSE `id`.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What happened; the SSE `event` is its `type`.
    #[serde(flatten)]
    pub what: What,
}

/// Legs of one call, most, unless configured otherwise.
pub const LEGS_PER_CALL: usize = 16;
/// What can be configured for it at most: each other leg takes two of a leg's sinks, and three of the
/// SSRCs that its transport keeps SRTP state for (sound, picture, retransmissions).
pub const LEGS_PER_CALL_CEILING: usize = 1 + if SINKS_PER_LEG / 2 < SSRCS_PER_TRANSPORT / 3 {
    SINKS_PER_LEG / 2
} else {
    SSRCS_PER_TRANSPORT / 3
};

/// Where the node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It takes calls.
    Ready,
    /// It ends its calls and stops.
    Stopping,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// The node itself has come to another point of its life.
    NodeChanged {
        /// Where it is now.
        state: NodeState,
    },
    /// A call was created.
    CallCreated {
        /// The call.
        call: CallView,
    },
    /// A call's first two legs are connected.
    CallActive {
        /// The call's id.
        call: String,
    },
    /// A call is over.
    CallEnded {
        /// The call's id.
        call: String,
        /// Why.
        reason: EndReason,
    },
    /// A leg joined: its description was answered.
    LegJoined {
        /// The call's id.
        call: String,
        /// The leg.
        leg: LegView,
    },
    /// A leg's state, hold or address changed, or what it receives of whom.
    LegChanged {
        /// The call's id.
        call: String,
        /// The leg.
        leg: LegView,
    },
    /// A leg is over.
    LegEnded {
        /// The call's id.
        call: String,
        /// The leg, with the reason.
        leg: LegView,
    },
    /// The node has another candidate for a leg (trickle).
    Candidate {
        /// The call's id.
        call: String,
        /// The leg's id.
        leg: String,
        /// The `candidate:…` line; empty after the last.
        candidate: String,
    },
    /// What the node now has for a leg differs from what was negotiated; the leg should offer again.
    RenegotiationNeeded {
        /// The call's id.
        call: String,
        /// The leg's id.
        leg: String,
        /// Why, in words.
        because: String,
        /// The m-lines that it needs to receive every other leg, where it has fewer.
        #[serde(default)]
        receive: Option<Lines>,
    },
    /// Another leg speaks now.
    ActiveSpeaker {
        /// The call's id.
        call: String,
        /// The leg's id; none when the one that spoke is gone.
        leg: Option<String>,
    },
}

impl What {
    /// The call that it is about, if it is about one.
    pub fn call(&self) -> Option<&str> {
        match self {
            Self::NodeChanged { .. } => None,
            Self::CallCreated { call } => Some(&call.id),
            Self::CallActive { call }
            | Self::CallEnded { call, .. }
            | Self::LegJoined { call, .. }
            | Self::LegChanged { call, .. }
            | Self::LegEnded { call, .. }
            | Self::Candidate { call, .. }
            | Self::RenegotiationNeeded { call, .. }
            | Self::ActiveSpeaker { call, .. } => Some(call),
        }
    }

    /// The `type` as it stands in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NodeChanged { .. } => "node_changed",
            Self::CallCreated { .. } => "call_created",
            Self::CallActive { .. } => "call_active",
            Self::CallEnded { .. } => "call_ended",
            Self::LegJoined { .. } => "leg_joined",
            Self::LegChanged { .. } => "leg_changed",
            Self::LegEnded { .. } => "leg_ended",
            Self::Candidate { .. } => "candidate",
            Self::RenegotiationNeeded { .. } => "renegotiation_needed",
            Self::ActiveSpeaker { .. } => "active_speaker",
        }
    }
}

/// An error as it goes over HTTP (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// Stable name of the kind: `urn:causeway:problem:<kind>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request and what to change.
    pub detail: String,
    /// The line or field at fault, such as `line 14: a=fingerprint` or `expires_in`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Every kind of [`Problem`] but those of descriptions ([`SdpErrorKind`]): name, HTTP
/// status, when it is told. Stable under `/v1`; `control/NAMES.md` lists them.
pub const PROBLEMS: &[(&str, u16, &str)] = &[
    ("malformed", 400, "The request cannot be understood."),
    ("unauthorized", 401, "There is no valid token."),
    ("forbidden", 403, "The token does not reach that far."),
    ("not-found", 404, "There is no such thing, or not any more."),
    ("method-not-allowed", 405, "The resource does not know this method."),
    ("conflict", 409, "The call or leg is in a state that does not allow it."),
    ("precondition-failed", 412, "The ICE session that is meant is not the one that there is."),
    ("too-large", 413, "The body, the description or one of its lines is too long."),
    ("unsupported-media-type", 415, "The body is of a type that is not read here."),
    ("precondition-required", 428, "It must be said which ICE session is meant."),
    ("too-many-requests", 429, "Too many requests came from this address, or of this session."),
    ("internal", 500, "A fault of the node itself."),
    ("unavailable", 503, "A limit of the node is reached, or it stops."),
    ("foreign-mid", 422, "A fragment names none of the session's m-lines."),
    ("ice-restart", 422, "The offer restarts ICE, which this leg cannot."),
    ("no-such-interface", 422, "No [[interface]] with ports has the name asked for."),
    ("no-such-layer", 422, "The leg that comes on the m-line does not send the layer asked for."),
];

fn is_listed(kind: &str, status: u16) -> bool {
    PROBLEMS.iter().any(|(name, of, _)| (*name, *of) == (kind, status))
        || (status == 422 && SdpErrorKind::ALL.iter().any(|name| name.name() == kind))
}

impl Problem {
    fn new(kind: &str, title: &str, status: u16, detail: impl Into<String>) -> Self {
        debug_assert!(is_listed(kind, status), "{kind} is not among the stable names");
        Self {
            kind: format!("urn:causeway:problem:{kind}"),
            title: title.into(),
            status,
            detail: detail.into(),
            at: None,
        }
    }

    /// Names the line or field at fault.
    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Self {
        self.at = Some(at.into());
        self
    }

    /// 400: the request cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new("malformed", "Malformed request", 400, detail)
    }

    /// 401: no valid token.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new("unauthorized", "Unauthorized", 401, detail)
    }

    /// 403: the token does not reach that far.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new("forbidden", "Forbidden", 403, detail)
    }

    /// 404: there is no such thing (any more).
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new("not-found", "Not found", 404, detail)
    }

    /// 405: not with this method.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new("method-not-allowed", "Method not allowed", 405, detail)
    }

    /// 409: not in this state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new("conflict", "Conflict", 409, detail)
    }

    /// 412: the ICE session that is meant is not the one that there is.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new("precondition-failed", "Precondition failed", 412, detail)
    }

    /// 413: too large.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new("too-large", "Too large", 413, detail)
    }

    /// 415: the body is of a type that is not read here.
    pub fn unsupported_media(detail: impl Into<String>) -> Self {
        Self::new("unsupported-media-type", "Unsupported media type", 415, detail)
    }

    /// 422: understood, but nothing the node can do: bad SDP, no common codec.
    pub fn unprocessable(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(kind, "Cannot be done", 422, detail)
    }

    /// 428: it must be said which ICE session is meant.
    pub fn precondition_required(detail: impl Into<String>) -> Self {
        Self::new("precondition-required", "Precondition required", 428, detail)
    }

    /// 429: too often from this address; later.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new("too-many-requests", "Too many requests", 429, detail)
    }

    /// 503: a limit is reached; try another node or later.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new("unavailable", "Unavailable", 503, detail)
    }

    /// 500: a fault of the node itself.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new("internal", "Internal error", 500, detail)
    }
}
