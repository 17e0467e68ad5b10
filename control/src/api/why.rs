//! Why a call works or does not: what `GET /v1/calls/{call}/why` answers with, and what a browser
//! reports of its own side.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CallState, EndReason};

/// What happened in a call, in words, with what is wrong and what to change at the top.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// The call.
    pub call: String,
    /// Its name.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: CallState,
    /// Why it is over.
    pub ended: Option<EndReason>,
    /// Milliseconds since 1970 when it was created.
    pub began_ms: u64,
    /// What is wrong or right, leg by leg; what concerns no leg comes last.
    pub summary: Vec<Finding>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Entries that the journal had no room for.
    pub left_out: u64,
}

/// What is wrong with one leg or with the call, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The leg, unless it concerns none.
    pub leg: Option<String>,
    /// The role that the leg joined with, or that was refused.
    pub role: Option<String>,
    /// In one word.
    pub verdict: Verdict,
    /// What is so.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// A finding in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Fine,
    /// Nothing is wrong yet: something is awaited.
    Waiting,
    /// No leg joined.
    Nobody,
    /// No connectivity check reached the node.
    NoChecks,
    /// Checks came and failed.
    ChecksRefused,
    /// Checks were answered, but the far side settled on no pair.
    NotNominated,
    /// There is a path, but no DTLS came over it.
    NoDtls,
    /// The DTLS handshake failed.
    DtlsFailed,
    /// The certificate is not the one of the description.
    FingerprintMismatch,
    /// Connected, but the leg sends nothing.
    NoMedia,
    /// Connected, but media goes one way only.
    OneWay,
    /// Many packets are lost.
    Loss,
    /// The leg worked and was lost.
    Lost,
    /// Two sides have no codec in common.
    NoCommonCodec,
    /// A description could not be taken.
    BadDescription,
    /// A request was refused.
    Refused,
    /// A join token was not valid any more.
    TokenExpired,
    /// A join token was for something else.
    TokenElsewhere,
    /// The node had no room.
    Overloaded,
    /// The leg left before it could connect.
    LeftEarly,
}

impl Verdict {
    /// Its name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Waiting => "waiting",
            Self::Nobody => "nobody",
            Self::NoChecks => "no_checks",
            Self::ChecksRefused => "checks_refused",
            Self::NotNominated => "not_nominated",
            Self::NoDtls => "no_dtls",
            Self::DtlsFailed => "dtls_failed",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::NoMedia => "no_media",
            Self::OneWay => "one_way",
            Self::Loss => "loss",
            Self::Lost => "lost",
            Self::NoCommonCodec => "no_common_codec",
            Self::BadDescription => "bad_description",
            Self::Refused => "refused",
            Self::TokenExpired => "token_expired",
            Self::TokenElsewhere => "token_elsewhere",
            Self::Overloaded => "overloaded",
            Self::LeftEarly => "left_early",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Moment {
    /// Milliseconds since 1970, the first time.
    pub at_ms: u64,
    /// Milliseconds since the call began, the first time.
    pub since_ms: u64,
    /// How often.
    pub times: u32,
    /// Milliseconds since the call began, the last time.
    pub last_ms: u64,
    /// The leg, unless it concerns none.
    pub leg: Option<String>,
    /// The leg's role.
    pub role: Option<String>,
    /// What it is about.
    pub topic: Topic,
    /// Whether it is good, bad or neither.
    pub gravity: Gravity,
    /// What happened.
    pub text: String,
}

/// What a moment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The life of the call and its legs.
    Life,
    /// Tokens and who may join.
    Access,
    /// Descriptions.
    Description,
    /// Codecs.
    Codec,
    /// Finding a path.
    Ice,
    /// The handshake and the keys.
    Dtls,
    /// Media.
    Media,
    /// Dropped packets.
    Drops,
    /// What the browser reported.
    Browser,
}

impl Topic {
    /// Its name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Access => "access",
            Self::Description => "description",
            Self::Codec => "codec",
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::Media => "media",
            Self::Drops => "drops",
            Self::Browser => "browser",
        }
    }
}

/// Whether a moment is good, bad or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// A step that was to be taken.
    Good,
    /// Neither.
    Plain,
    /// What may be what is wrong.
    Bad,
}

/// Pairs of one report, most.
pub const REPORT_PAIRS_MAX: usize = 16;

/// What a browser sees of its connection, for the other side of `why`. Unknown words read as
/// `unknown`, addresses that are none are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientReport {
    /// `RTCPeerConnection.connectionState`.
    #[serde(default)]
    pub connection: ClientState,
    /// `RTCPeerConnection.iceConnectionState`.
    #[serde(default)]
    pub ice: ClientState,
    /// Milliseconds since the browser began to connect.
    #[serde(default)]
    pub after_ms: u32,
    /// Its candidate pairs, at most 16.
    #[serde(default)]
    pub pairs: Vec<ClientPair>,
}

/// A state of a browser's connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientState {
    /// Not begun.
    New,
    /// ICE checks.
    Checking,
    /// ICE or DTLS is under way.
    Connecting,
    /// Connected.
    Connected,
    /// Connected, and ICE has nothing left to try.
    Completed,
    /// Was connected.
    Disconnected,
    /// Given up.
    Failed,
    /// Closed.
    Closed,
    /// Anything else.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A candidate pair of a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientPair {
    /// Its state.
    #[serde(default)]
    pub state: PairState,
    /// Whether it is the one in use.
    #[serde(default)]
    pub selected: bool,
    /// What the browser's own candidate is.
    #[serde(default)]
    pub local: ClientCandidate,
    /// The node's address, such as `203.0.113.9:40500`.
    #[serde(default)]
    pub remote: Option<String>,
    /// Checks sent.
    #[serde(default)]
    pub sent: u32,
    /// Answers received.
    #[serde(default)]
    pub answered: u32,
}

/// The state of a candidate pair (RFC 8445 §6.1.2.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PairState {
    /// Not its turn yet.
    Frozen,
    /// To be checked.
    Waiting,
    /// A check is under way.
    InProgress,
    /// A check was answered.
    Succeeded,
    /// No check was answered.
    Failed,
    /// Anything else.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where a browser's candidate comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCandidate {
    /// An interface.
    Host,
    /// A STUN server.
    Srflx,
    /// The node's answer.
    Prflx,
    /// A TURN server.
    Relay,
    /// Anything else.
    #[default]
    #[serde(other)]
    Unknown,
}
