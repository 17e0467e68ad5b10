//! Typed values of single attributes. Each reads the text behind `name:` and gives `None` for
//! what it cannot read: whether that is an error is for the reader of the description to say.

use std::fmt;

use zeroize::Zeroizing;

/// Which way media flows, from the view of whoever wrote it (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer sends only.
    SendOnly,
    /// The writer receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Reads an attribute's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name() == name)
    }

    /// Whether the one whose view this is sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the one whose view this is receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same without what is sent.
    #[must_use]
    pub fn without_sending(self) -> Self {
        if self.receives() { Self::RecvOnly } else { Self::Inactive }
    }

    /// What of it another one allows too, from the same view.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        match (self.sends() && other.sends(), self.receives() && other.receives()) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The same flow from the other side's view.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }
}

/// Who opens the DTLS association, as a description says it (RFC 4145 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Either; the answerer chooses.
    ActPass,
    /// The writer opens it.
    Active,
    /// The other side opens it.
    Passive,
    /// Nobody for now.
    HoldConn,
}

impl Setup {
    /// Reads the value of `a=setup`.
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "actpass" => Some(Self::ActPass),
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            "holdconn" => Some(Self::HoldConn),
            _ => None,
        }
    }

    /// Its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::HoldConn => "holdconn",
        }
    }
}

/// What the node is in the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsRole {
    /// The client: it sends the ClientHello.
    Active,
    /// The server: it waits for one, and chooses the SRTP suite.
    #[default]
    Passive,
}

impl From<DtlsRole> for Setup {
    fn from(role: DtlsRole) -> Self {
        match role {
            DtlsRole::Active => Self::Active,
            DtlsRole::Passive => Self::Passive,
        }
    }
}

/// A hash function that a certificate may be named with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashFunction {
    /// SHA-1, which can be forged: for parties of a SIP proxy that have nothing else.
    Sha1,
    /// SHA-224, which only they use.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    /// Its name in a description (RFC 8122 §5).
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of its digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Reads a name; `None` for what is weak or unknown.
    pub fn parse(name: &str) -> Option<Self> {
        Self::parse_any(name).filter(|hash| hash.is_strong())
    }

    /// Reads a name, also of a weak one.
    pub fn parse_any(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name))
    }

    /// Whether a certificate that is named with it is that one and no other (RFC 8122 §5).
    pub fn is_strong(self) -> bool {
        !matches!(self, Self::Sha1 | Self::Sha224)
    }
}

/// A certificate's digest (RFC 8122 §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How it was made.
    pub hash: HashFunction,
    /// As many bytes as the hash function gives.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// A SHA-256 digest.
    pub fn sha256(digest: [u8; 32]) -> Self {
        Self { hash: HashFunction::Sha256, digest: digest.to_vec() }
    }

    /// Reads the value of `a=fingerprint`, also of a weak hash.
    pub fn named(value: &str) -> Option<Self> {
        let (name, digest) = value.trim_end().split_once(' ')?;
        Self::parse(HashFunction::parse_any(name)?, digest.trim())
    }

    /// Reads the bytes behind the hash function's name.
    pub fn parse(hash: HashFunction, digest: &str) -> Option<Self> {
        let digest: Option<Vec<u8>> =
            digest.split(':').take(hash.digest_len() + 1).map(hex_byte).collect();
        digest
            .filter(|digest| digest.len() == hash.digest_len())
            .map(|digest| Self { hash, digest })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (index, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// A ufrag and its password (RFC 8839 §5.4). Debug hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The user fragment.
    pub ufrag: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl IceCredentials {
    /// Takes both as they are.
    pub fn new(ufrag: impl Into<String>, password: impl Into<String>) -> Self {
        Self { ufrag: ufrag.into(), password: Zeroizing::new(password.into()) }
    }

    pub(super) fn is_ufrag(text: &str) -> bool {
        (4..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
    }

    pub(super) fn is_password(text: &str) -> bool {
        (22..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// What a payload type stands for (RFC 8866 §6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// The payload type.
    pub payload_type: u8,
    /// The encoding's name.
    pub name: &'a str,
    /// Ticks per second.
    pub clock_rate: u32,
    /// Channels, 1 if not said.
    pub channels: u8,
}

impl<'a> RtpMap<'a> {
    /// Reads the value of `a=rtpmap`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (payload_type, encoding) = value.split_once(' ')?;
        let mut parts = encoding.trim().split('/');
        Some(Self {
            payload_type: parse_payload_type(payload_type)?,
            name: parts.next()?,
            clock_rate: parts.next()?.parse().ok()?,
            channels: parts.next().map_or(Some(1), |channels| channels.parse().ok())?,
        })
    }

    /// The payload types that need no `a=rtpmap` (RFC 3551 §6).
    pub fn of_static(payload_type: u8) -> Option<RtpMap<'static>> {
        let (name, clock_rate) = match payload_type {
            0 => ("PCMU", 8000),
            3 => ("GSM", 8000),
            4 => ("G723", 8000),
            5 => ("DVI4", 8000),
            6 => ("DVI4", 16000),
            7 => ("LPC", 8000),
            8 => ("PCMA", 8000),
            9 => ("G722", 8000),
            10 | 11 => ("L16", 44100),
            12 => ("QCELP", 8000),
            13 => ("CN", 8000),
            14 => ("MPA", 90000),
            15 => ("G728", 8000),
            16 => ("DVI4", 11025),
            17 => ("DVI4", 22050),
            18 => ("G729", 8000),
            25 => ("CelB", 90000),
            26 => ("JPEG", 90000),
            28 => ("nv", 90000),
            31 => ("H261", 90000),
            32 => ("MPV", 90000),
            33 => ("MP2T", 90000),
            34 => ("H263", 90000),
            _ => return None,
        };
        let channels = if payload_type == 10 { 2 } else { 1 };
        Some(RtpMap { payload_type, name, clock_rate, channels })
    }
}

impl fmt::Display for RtpMap<'_> {
    /// Writes the value of `a=rtpmap`; one channel is not worth a word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.payload_type, self.name, self.clock_rate)?;
        if self.channels > 1 { write!(f, "/{}", self.channels) } else { Ok(()) }
    }
}

/// A header extension's id and meaning (RFC 8285 §8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtMap<'a> {
    /// Its id.
    pub id: u16,
    /// Which way it goes, from the writer's view.
    pub direction: Direction,
    /// What it means.
    pub uri: &'a str,
}

impl<'a> ExtMap<'a> {
    /// Reads the value of `a=extmap`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let (id, direction) = match parts.next()?.split_once('/') {
            Some((id, direction)) => (id, Direction::parse(direction)?),
            None => (value.split_ascii_whitespace().next()?, Direction::SendRecv),
        };
        Some(Self { id: id.parse().ok()?, direction, uri: parts.next()? })
    }
}

/// A kind of feedback that is understood (RFC 4585 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtcpFb<'a> {
    /// The payload type; `None` for all.
    pub payload_type: Option<u8>,
    /// The kind, such as `nack pli`.
    pub kind: &'a str,
}

impl<'a> RtcpFb<'a> {
    /// Reads the value of `a=rtcp-fb`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (payload_type, kind) = value.split_once(' ')?;
        let payload_type = match payload_type {
            "*" => None,
            number => Some(parse_payload_type(number)?),
        };
        Some(Self { payload_type, kind: kind.trim() })
    }
}

/// SSRCs that belong together (RFC 5576 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup<'a> {
    /// How: `FID` for media and its retransmissions, `SIM`, `FEC-FR`.
    pub semantics: &'a str,
    /// Which.
    pub ssrcs: Vec<u32>,
}

impl<'a> SsrcGroup<'a> {
    /// Reads the value of `a=ssrc-group`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let semantics = parts.next()?;
        let ssrcs: Option<Vec<u32>> = parts.map(|ssrc| ssrc.parse().ok()).collect();
        Some(Self { semantics, ssrcs: ssrcs? })
    }
}

/// Reads a payload type; numbers above 127 do not fit the header (RFC 3550 §5.1).
pub(super) fn parse_payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

/// A parameter of an `a=fmtp` value by its name, without regard to case.
pub(super) fn fmtp_parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Whether `text` is a token (RFC 8866 §9).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&b))
}

fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

fn hex_byte(text: &str) -> Option<u8> {
    let is_hex = text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}
