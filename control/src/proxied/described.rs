//! What a party's description says of one of its m-lines.

use std::net::{IpAddr, SocketAddr};

use causeway_engine::command::{Codec, PayloadType};

use crate::ice::Credentials;
use crate::ng::{Flag, Flags, NgError};
use crate::sdp::{Crypto, Fingerprint, MediaSection, Profile, RtpMap, Sdp, Setup, extension};

/// An m-line as its writer describes it, with `c=` and attributes above the m-lines taken into account.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// Its place, from 1.
    pub(super) index: usize,
    /// `audio`, `video`, `image`…
    pub(super) kind: String,
    /// What its media is spoken in.
    pub(super) protocol: Protocol,
    /// Whether it is rejected or over: port 0.
    pub(super) is_rejected: bool,
    /// Where its RTP, or whatever it carries, wants to go.
    pub(super) rtp: SocketAddr,
    /// Where it says that its RTCP wants to go.
    pub(super) rtcp: Option<SocketAddr>,
    /// Whether that is RTP's own port.
    pub(super) shares_port: bool,
    /// Whether RTCP may come to the port of RTP.
    pub(super) rtcp_mux: bool,
    /// Whether the writer sends.
    pub(super) sends: bool,
    /// Whether the writer receives.
    pub(super) receives: bool,
    /// Who opens DTLS.
    pub(super) setup: Option<Setup>,
    /// The writer's certificate.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Its SDES keys that can be used, its favourite first.
    pub(super) cryptos: Vec<Crypto>,
    /// Its ICE.
    pub(super) ice: Option<DescribedIce>,
    /// Its MID.
    pub(super) mid: Option<String>,
    /// The id of the header extension that carries it (RFC 8843 §15).
    pub(super) mid_extension: Option<u8>,
    /// Milliseconds per packet.
    pub(super) ptime: Option<u32>,
    /// What its payload types stand for.
    pub(super) payload_types: Vec<PayloadType>,
    /// Its payload types of telephone events (RFC 4733).
    pub(super) events: Vec<u8>,
}

/// The writer's side of ICE.
#[derive(Debug, Clone)]
pub(super) struct DescribedIce {
    pub(super) credentials: Credentials,
    /// Each as `candidate:…`.
    pub(super) candidates: Vec<String>,
    pub(super) has_all: bool,
    pub(super) lite: bool,
    pub(super) trickles: bool,
}

/// What the media of an m-line is spoken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    /// RTP in one of its profiles.
    Rtp(Profile),
    /// RTP in a profile without encryption, with keys all the same (RFC 8643).
    Opportunistic(Profile),
    /// Something else, which passes unread: UDPTL for fax, and what nobody knows.
    Other(String),
}

impl Protocol {
    pub(super) fn profile(&self) -> Option<Profile> {
        match self {
            Self::Rtp(profile) | Self::Opportunistic(profile) => Some(*profile),
            Self::Other(_) => None,
        }
    }

    /// Whether its media is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        match self {
            Self::Rtp(profile) => profile.is_secure(),
            Self::Opportunistic(_) => true,
            Self::Other(_) => false,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Rtp(profile) | Self::Opportunistic(profile) => profile.name(),
            Self::Other(name) => name,
        }
    }
}

impl Described {
    /// Reads every m-line of a description.
    ///
    /// # Errors
    /// [`NgError::BadSdp`] if a line of it is none, or its origin or an address cannot be read;
    /// [`NgError::IncompleteSdp`] if an m-line has no address, or formats that are no payload types;
    /// [`NgError::NotRewritten`] if there is no m-line.
    pub(super) fn all(sdp: &Sdp, flags: &Flags) -> Result<Vec<Self>, NgError> {
        if !sdp.is_sound() {
            return Err(NgError::BadSdp);
        }
        if sdp.media_count() == 0 {
            return Err(NgError::NotRewritten);
        }
        if flags.has(Flag::SipSourceAddress) && flags.received_from.is_none() {
            return Err(NgError::IncompleteSdp);
        }
        sdp.media().map(|section| Self::read(section, sdp, flags)).collect()
    }

    fn read(section: MediaSection<'_>, sdp: &Sdp, flags: &Flags) -> Result<Self, NgError> {
        let line = section.line();
        // RFC 8843 §6: port 0 rejects nothing here.
        let only_bundled =
            flags.has(Flag::BundleAccept) && section.attribute("bundle-only").is_some();
        let ice = DescribedIce::of(section, sdp);
        let source = source(flags).filter(|_| ice.is_none());
        let at =
            |address: SocketAddr| SocketAddr::new(source.unwrap_or(address.ip()), address.port());
        let rtp = section.rtp_address().map(at).ok_or(NgError::IncompleteSdp)?;
        let fingerprint =
            section.inherited("fingerprint").and_then(|found| Fingerprint::named(found.value));
        let cryptos: Vec<Crypto> = section.cryptos().filter_map(Result::ok).collect();
        let has_keys = fingerprint.is_some() || !cryptos.is_empty();
        let protocol = match section.profile() {
            Some(profile) if has_keys && !profile.is_secure() => Protocol::Opportunistic(profile),
            Some(profile) => Protocol::Rtp(profile),
            None if line.profile.eq_ignore_ascii_case(UDPTL) => Protocol::Other(UDPTL.into()),
            None => Protocol::Other(line.profile.clone()),
        };
        let is_rtp = protocol.profile().is_some();
        if is_rtp && !line.formats.iter().all(|format| is_payload_type(format)) {
            return Err(NgError::IncompleteSdp);
        }
        let rtcp_mux = is_rtp && section.offers_rtcp_mux();
        let explicit = section.attribute("rtcp").and(section.rtcp_address()).map(at);
        let trickles = rtp.ip().is_unspecified() && rtp.port() == DISCARD;
        let shares_port = explicit.is_some_and(|rtcp| rtcp.port() == rtp.port()) && !trickles;
        let direction = section.direction();
        let (payload_types, events) = if is_rtp { payloads(section) } else { Default::default() };
        Ok(Self {
            index: section.index() + 1,
            kind: line.kind.clone(),
            protocol,
            is_rejected: line.port == 0 && !only_bundled,
            rtp,
            rtcp: explicit,
            shares_port,
            rtcp_mux,
            sends: direction.sends(),
            receives: direction.receives(),
            setup: section.setup().ok().flatten(),
            fingerprint,
            cryptos,
            ice,
            mid: section.mid().ok().flatten().map(Into::into),
            mid_extension: mid_extension(section),
            ptime: section.ptime(),
            payload_types,
            events,
        })
    }

    /// Whether it says that it is nowhere (RFC 3264 §8.4), and not that its candidates are to come.
    pub(super) fn is_nowhere(&self) -> bool {
        let trickles = self.ice.as_ref().is_some_and(|ice| ice.trickles);
        self.rtp.ip().is_unspecified() && !trickles
    }
}

impl DescribedIce {
    fn of(section: MediaSection<'_>, sdp: &Sdp) -> Option<Self> {
        let value = |name| section.inherited(name).map(|attribute| attribute.value.trim_end());
        let (ufrag, password) = (value("ice-ufrag")?, value("ice-pwd")?);
        let candidates = section.candidates().map(|candidate| candidate.to_string());
        Some(Self {
            credentials: Credentials {
                ufrag: ufrag.to_owned(),
                password: password.to_owned().into(),
            },
            candidates: candidates.collect(),
            has_all: section.end_of_candidates(),
            lite: sdp.ice_lite(),
            trickles: section.ice_option("trickle"),
        })
    }
}

/// The port that is named while there is no other yet (RFC 8840 §4.1.1).
const DISCARD: u16 = 9;
/// Fax, as RFC 3362 §6.1.4.2's examples spell it.
const UDPTL: &str = "udptl";

/// The address that the SIP message came from, where that is to count in the place of what the
/// description says.
fn source(flags: &Flags) -> Option<IpAddr> {
    flags.received_from.filter(|_| flags.has(Flag::SipSourceAddress))
}

fn is_payload_type(format: &str) -> bool {
    format.parse::<u8>().is_ok_and(|number| number < 128)
}

fn mid_extension(section: MediaSection<'_>) -> Option<u8> {
    let extensions = section.extensions();
    let found = extensions.iter().find(|known| known.uri == extension::MID)?;
    u8::try_from(found.id).ok()
}

/// What the payload types are, and which of them carry telephone events.
fn payloads(section: MediaSection<'_>) -> (Vec<PayloadType>, Vec<u8>) {
    let maps: Vec<_> = section.rtpmaps().collect();
    let mut events = Vec::new();
    let types = section.payload_types().filter_map(|number| {
        let fixed = RtpMap::of_static(number);
        let map = maps.iter().rev().find(|map| map.payload_type == number).or(fixed.as_ref())?;
        if map.name.eq_ignore_ascii_case("telephone-event") {
            events.push(number);
        }
        let codec = codec_of(map.name);
        Some(PayloadType { number, clock_rate: map.clock_rate, retransmits: None, codec })
    });
    (types.collect(), events)
}

fn codec_of(name: &str) -> Codec {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match () {
        () if is("PCMU") => Codec::Pcmu,
        () if is("PCMA") => Codec::Pcma,
        () if is("G722") => Codec::G722,
        () => Codec::Other,
    }
}
