//! What can be wrong with a session description, and on which line.

use crate::api::Problem;

/// What is wrong and where. Never holds a password or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct SdpError {
    /// What is wrong.
    pub kind: SdpErrorKind,
    /// The line, from 1, if one is to blame.
    pub line: Option<usize>,
    /// What may be shown of that line.
    pub text: String,
}

/// What is wrong with a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SdpErrorKind {
    /// It does not start with `v=0`.
    #[error("this is no session description: it must start with v=0")]
    NotSdp,
    /// Longer than [`super::TEXT_MAX`].
    #[error("the description is longer than {} bytes", super::TEXT_MAX)]
    TooLong,
    /// More lines than [`super::LINES_MAX`].
    #[error("the description has more than {} lines", super::LINES_MAX)]
    TooManyLines,
    /// A line longer than [`super::LINE_MAX`].
    #[error("the line is longer than {} bytes", super::LINE_MAX)]
    LineTooLong,
    /// More m-lines than [`super::MEDIA_MAX`].
    #[error("the description has more than {} m-lines", super::MEDIA_MAX)]
    TooManyMedia,
    /// The far side would send on more m-lines than [`super::STREAMS_MAX`].
    #[error("more than {} m-lines would send to the node", super::STREAMS_MAX)]
    TooManyStreams,
    /// More m-lines without ICE than [`super::PORTS_MAX`].
    #[error("more than {} m-lines without ICE: each takes a pair of ports", super::PORTS_MAX)]
    TooManyPorts,
    /// Another m-line in a later offer of a leg without ICE.
    #[error("a leg without ICE keeps the ports that it joined with: offer no further m-line")]
    PortsFixed,
    /// An m-line that had keys and has none any more, or the reverse.
    #[error("whether an m-line is encrypted stays for the leg's life")]
    SecurityChanged,
    /// An m-line that cannot be read.
    #[error("the m-line must be: m=<kind> <port> <profile> <formats>")]
    MalformedMedia,
    /// No m-line is left that the node could take.
    #[error("no audio or video is offered")]
    NoMedia,
    /// A profile that is not RTP over UDP.
    #[error("the transport profile is not supported; offer UDP/TLS/RTP/SAVPF")]
    UnsupportedProfile,
    /// No key of an m-line's SDES that the node can use.
    #[error(
        "no a=crypto can be used: a suite of SRTP with one inline key is needed, \
         and neither UNENCRYPTED_SRTP nor UNAUTHENTICATED_SRTP"
    )]
    NoCrypto,
    /// An answer's key that goes with none of those offered.
    #[error(
        "no a=crypto goes with one that was offered: the same tag and suite are needed, one inline key \
         and no MKI"
    )]
    CryptoNotOffered,
    /// A profile in an answer that protects packets otherwise than the offered one.
    #[error("the answer's transport profile must be the offered one, with or without feedback (F)")]
    ProfileMismatch,
    /// Another certificate than the leg joined with, without ICE.
    #[error("a leg without ICE keeps its certificate for life: add another leg for another one")]
    CertificateChanged,
    /// No `ice-ufrag` or `ice-pwd`.
    #[error("there are no ICE credentials: a=ice-ufrag and a=ice-pwd are needed")]
    NoIceCredentials,
    /// Credentials outside RFC 8839 §5.4.
    #[error(
        "the ICE credentials must be 4 (ufrag) or 22 (password) to 256 letters, digits, + or /"
    )]
    BadIceCredentials,
    /// `ice-ufrag` without `ice-pwd`, or the reverse.
    #[error("a=ice-ufrag and a=ice-pwd come together")]
    LoneIceCredential,
    /// No `fingerprint`.
    #[error("there is no certificate fingerprint: media needs DTLS-SRTP")]
    NoFingerprint,
    /// Only hash functions that can be forged.
    #[error("the fingerprint's hash is too weak: sha-256, sha-384 or sha-512 is needed")]
    WeakFingerprint,
    /// A fingerprint that cannot be read.
    #[error("the fingerprint must be the hash's name and as many hex bytes, set apart by colons")]
    BadFingerprint,
    /// A `setup` that leads to no handshake.
    #[error("this a=setup leads to no DTLS handshake")]
    BadSetup,
    /// RTP and RTCP on two ports where the node has one.
    #[error(
        "a=rtcp-mux is needed here: RTCP has a port of its own only for legs that offer, not over \
         WHIP or WHEP, and only where an [[interface]] has mux_ports of 2 or more"
    )]
    NoRtcpMux,
    /// RTP and RTCP that shared a port and are to part, or the reverse.
    #[error("whether RTP and RTCP share a port stays for the leg's life: see a=rtcp-mux")]
    RtcpMuxChanged,
    /// An m-line outside the one BUNDLE group.
    #[error("the m-lines must be in one a=group:BUNDLE: the node gives a leg one port")]
    NotBundled,
    /// A MID that is no token or longer than [`super::MID_MAX`].
    #[error("the a=mid must be a token of at most {} characters", super::MID_MAX)]
    BadMid,
    /// Two m-lines with one MID.
    #[error("another m-line has this a=mid already")]
    DuplicateMid,
    /// Nothing that the far side, the node and the call's other legs all speak.
    #[error("no codec of this m-line is one that the node and the call's other legs speak")]
    NoCommonCodec,
    /// An m-line of the earlier description is missing or has become another kind.
    #[error(
        "the m-lines must be those of the description before, in order, and new ones after them"
    )]
    MediaMismatch,
    /// An m-line of a WHIP offer that does not send.
    #[error("with WHIP each m-line sends to the node: a=sendonly, or a=sendrecv")]
    NotSending,
    /// An m-line of a WHEP offer that does not receive.
    #[error("with WHEP each m-line receives from the node: a=recvonly, or a=sendrecv")]
    NotReceiving,
    /// An m-line that the node would have to reject where it takes all or nothing.
    #[error("only audio and video can be offered here: all m-lines are taken, or none")]
    PartlyTaken,
    /// A second m-line of one kind where there may be one of each.
    #[error("one audio and one video m-line can be offered here at most")]
    SecondOfItsKind,
    /// A candidate that cannot be read.
    #[error("the candidate cannot be read")]
    BadCandidate,
    /// An `o=` line that cannot be read.
    #[error("the line must be: o=<user> <session> <version> IN IP4|IP6 <address>")]
    MalformedOrigin,
    /// An m-line in use without an address.
    #[error("the m-line has no address: there is no c= line")]
    NoConnection,
    /// More candidates than [`super::CANDIDATES_MAX`] in one request.
    #[error("more than {} candidates at once", super::CANDIDATES_MAX)]
    TooManyCandidates,
}

impl SdpErrorKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::NotSdp,
        Self::TooLong,
        Self::TooManyLines,
        Self::LineTooLong,
        Self::TooManyMedia,
        Self::TooManyStreams,
        Self::TooManyPorts,
        Self::PortsFixed,
        Self::SecurityChanged,
        Self::MalformedMedia,
        Self::NoMedia,
        Self::UnsupportedProfile,
        Self::NoCrypto,
        Self::CryptoNotOffered,
        Self::ProfileMismatch,
        Self::CertificateChanged,
        Self::NoIceCredentials,
        Self::BadIceCredentials,
        Self::LoneIceCredential,
        Self::NoFingerprint,
        Self::WeakFingerprint,
        Self::BadFingerprint,
        Self::BadSetup,
        Self::NoRtcpMux,
        Self::RtcpMuxChanged,
        Self::NotBundled,
        Self::BadMid,
        Self::DuplicateMid,
        Self::NoCommonCodec,
        Self::MediaMismatch,
        Self::NotSending,
        Self::NotReceiving,
        Self::PartlyTaken,
        Self::SecondOfItsKind,
        Self::BadCandidate,
        Self::MalformedOrigin,
        Self::NoConnection,
        Self::TooManyCandidates,
    ];

    /// Its stable name, as it stands in a [`Problem`].
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSdp => "not-sdp",
            Self::TooLong => "sdp-too-long",
            Self::TooManyLines => "sdp-too-many-lines",
            Self::LineTooLong => "sdp-line-too-long",
            Self::TooManyMedia => "sdp-too-many-media",
            Self::TooManyStreams => "sdp-too-many-streams",
            Self::TooManyPorts => "sdp-too-many-ports",
            Self::PortsFixed => "sdp-ports-fixed",
            Self::SecurityChanged => "sdp-security-changed",
            Self::MalformedMedia => "sdp-malformed-media",
            Self::NoMedia => "no-media",
            Self::UnsupportedProfile => "unsupported-profile",
            Self::NoIceCredentials => "no-ice-credentials",
            Self::BadIceCredentials => "bad-ice-credentials",
            Self::LoneIceCredential => "lone-ice-credential",
            Self::NoFingerprint => "no-fingerprint",
            Self::WeakFingerprint => "weak-fingerprint",
            Self::BadFingerprint => "bad-fingerprint",
            Self::BadSetup => "bad-setup",
            Self::NoCrypto => "no-crypto",
            Self::CryptoNotOffered => "crypto-not-offered",
            Self::ProfileMismatch => "profile-mismatch",
            Self::CertificateChanged => "certificate-changed",
            Self::NoRtcpMux => "no-rtcp-mux",
            Self::RtcpMuxChanged => "rtcp-mux-changed",
            Self::NotBundled => "not-bundled",
            Self::BadMid => "bad-mid",
            Self::DuplicateMid => "duplicate-mid",
            Self::NoCommonCodec => "no-common-codec",
            Self::MediaMismatch => "media-mismatch",
            Self::NotSending => "not-sending",
            Self::NotReceiving => "not-receiving",
            Self::PartlyTaken => "partly-taken",
            Self::SecondOfItsKind => "second-of-its-kind",
            Self::BadCandidate => "bad-candidate",
            Self::MalformedOrigin => "sdp-malformed-origin",
            Self::NoConnection => "no-connection",
            Self::TooManyCandidates => "too-many-candidates",
        }
    }

    /// An error of this kind that no line is to blame for.
    #[cfg(test)]
    pub(crate) fn anywhere(self) -> SdpError {
        SdpError::whole(self)
    }

    fn is_too_large(self) -> bool {
        matches!(self, Self::TooLong | Self::TooManyLines | Self::LineTooLong)
    }
}

impl SdpError {
    /// An error of the whole description.
    pub(super) fn whole(kind: SdpErrorKind) -> Self {
        Self { kind, line: None, text: String::new() }
    }

    /// An error of one line, numbered from 1.
    pub(super) fn on(kind: SdpErrorKind, line: usize, text: &str) -> Self {
        Self { kind, line: Some(line), text: shown(text) }
    }

    /// The place at fault, such as `line 14: a=fingerprint:…`, or `sdp` if it is no one line.
    pub fn at(&self) -> String {
        match self.line {
            Some(line) => format!("line {line}: {}", self.text),
            None => "sdp".into(),
        }
    }
}

impl From<SdpError> for Problem {
    fn from(error: SdpError) -> Self {
        let problem = if error.kind.is_too_large() {
            Self::too_large(error.to_string())
        } else {
            Self::unprocessable(error.kind.name(), error.to_string())
        };
        problem.at(error.at())
    }
}

/// What may be shown of a line: values of attributes and keys may be secrets, so none is shown.
fn shown(line: &str) -> String {
    if let Some(attribute) = line.strip_prefix("a=") {
        return match attribute.split_once(':') {
            Some((name, _)) => format!("a={}:…", printable(name)),
            None => format!("a={}", printable(attribute)),
        };
    }
    match line.as_bytes() {
        [b'v' | b'o' | b's' | b't' | b'c' | b'b' | b'm', b'=', ..] => printable(line),
        _ => "…".into(),
    }
}

pub(super) fn printable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_MAX)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Characters of a line that an error shows, most.
const SHOWN_MAX: usize = 48;
