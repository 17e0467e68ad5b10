//! What a request is refused with. The texts are part of the protocol: proxies compare some of
//! them, and people search the web for the others.

use super::{BencodeError, Command, JsonError};

/// Why a request is refused; its display is the `error-reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NgError {
    /// Nothing stands behind the cookie.
    #[error("Invalid data (no payload)")]
    NoPayload,
    /// Neither a bencode dictionary nor a JSON object.
    #[error("Invalid NG data format")]
    UnknownFormat,
    /// It begins like bencode.
    #[error("Could not decode bencode dictionary")]
    NotBencode(#[source] BencodeError),
    /// It begins like JSON.
    #[error("Failed to parse JSON document")]
    NotJson(#[source] JsonError),
    /// No `command`.
    #[error("Dictionary contains no key \"command\"")]
    NoCommand,
    /// A `command` that nobody knows.
    #[error("Unrecognized command")]
    UnknownCommand,
    /// A `command` that rtpengine knows.
    #[error("Command '{0}' is not supported by this node")]
    Unserved(Command),
    /// No `sdp`.
    #[error("No SDP body in message")]
    NoSdp,
    /// No `call-id`.
    #[error("No call-id in message")]
    NoCallId,
    /// No `from-tag`.
    #[error("No from-tag in message")]
    NoFromTag,
    /// No `to-tag`.
    #[error("No to-tag in message")]
    NoToTag,
    /// No such call.
    #[error("Unknown call-id")]
    UnknownCall,
    /// No such call, where parts of one are selected.
    #[error("Unknown call-ID")]
    NoCallToSelectFrom,
    /// No such call or tag, where `delete` is fatal; else the text of the warning.
    #[error("Call-ID not found or tags didn't match")]
    NothingDeleted,
    /// The description cannot be read.
    #[error("Failed to parse SDP")]
    BadSdp,
    /// The description lacks what the node needs.
    #[error("Incomplete SDP specification")]
    IncompleteSdp,
    /// The description cannot be rewritten.
    #[error("Error rewriting SDP")]
    NotRewritten,
    /// The tags belong to no dialogue of the call.
    #[error("Invalid dialogue association")]
    BadDialogue,
    /// No port is free. Proxies try the next node.
    #[error("Ran out of ports")]
    OutOfPorts,
    /// The node takes no further call. Proxies try the next node.
    #[error("{0}")]
    Limited(LoadLimit),
    /// Nothing came of it in time.
    #[error("The node is too busy to answer in time")]
    Late,
    /// The `limit` of `list` is negative.
    #[error("invalid limit, must be >= 0")]
    BadLimit,
    /// No party has this `label`.
    #[error("No monologue matching the given label")]
    UnknownLabel,
    /// The `address` cannot be read.
    #[error("Failed to parse network address")]
    BadAddress,
    /// No party has this `address`.
    #[error("Failed to match address to any tag")]
    UnknownAddress,
    /// No party has this `from-tag`.
    #[error("From-tag given, but no such tag exists")]
    UnknownTag,
    /// Nobody is named whom to play to.
    #[error("No participant party specified")]
    NoParty,
    /// The `code` is no digit.
    #[error("Out of range 'code' specified")]
    BadCode,
    /// The party sends no audio.
    #[error("Monologue has no media capable of DTMF injection")]
    NoDtmfSource,
    /// Nobody receives the party's audio.
    #[error("Sink monologue has no media capable of DTMF playback")]
    NoDtmfSink,
    /// A digit finds no room behind those that are being played.
    #[error("Too many digits are waiting to be played")]
    DigitsFull,
    /// The node records nothing.
    #[error("Call recording is not configured on this node")]
    RecordingOff,
    /// The node records as much as it may.
    #[error("Call recording limit reached")]
    RecordingFull,
    /// `sdp-media-remove` is no list.
    #[error("wrong type used")]
    WrongType,
    /// `sdp-media-remove` names no kind of media.
    #[error("unsupported sdp section")]
    UnknownSection,
}

/// Why the node takes no further call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoadLimit {
    /// As many calls as it may have.
    #[error("Parallel session limit reached")]
    Sessions,
    /// The processor's use.
    #[error("CPU usage limit exceeded")]
    Cpu,
    /// The system's load.
    #[error("Load limit exceeded")]
    Load,
    /// The media's bytes per second.
    #[error("Bandwidth limit exceeded")]
    Bandwidth,
}

impl LoadLimit {
    /// Every one.
    pub const ALL: &'static [Self] = &[Self::Sessions, Self::Cpu, Self::Load, Self::Bandwidth];

    /// Its name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Cpu => "cpu",
            Self::Load => "load",
            Self::Bandwidth => "bandwidth",
        }
    }
}
