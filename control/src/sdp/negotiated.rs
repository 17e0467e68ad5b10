//! What two sides have agreed on: all that the rest of the node knows of a description.

use std::net::SocketAddr;

use super::candidate::Candidate;
use super::codec::{NegotiatedCodec, extension};
use super::crypto::Crypto;
use super::local::LocalSsrcs;
use super::value::{Direction, DtlsRole, Fingerprint, IceCredentials};
use crate::api::Media;

/// An agreement between the node and one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The version of the node's latest description.
    pub version: u64,
    /// How many m-lines the descriptions have, rejected ones included.
    pub lines: usize,
    /// Whether the m-lines are bundled; else there is one.
    pub bundle: bool,
    /// The far sides of its transports: of the one that all m-lines share, or one for each m-line in
    /// use.
    pub transports: Vec<RemoteTransport>,
    /// The m-lines that are in use, in order.
    pub media: Vec<NegotiatedMedia>,
}

/// The far side of a transport, of both components where there are two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTransport {
    /// The first m-line that it is for, by its place among all of them.
    pub line: usize,
    /// Whether RTCP shares RTP's port (RFC 5761); else it has one of its own, as component 2.
    pub rtcp_mux: bool,
    /// How it is found.
    pub path: RemotePath,
    /// What protects its packets.
    pub security: RemoteSecurity,
}

/// How the far side of a transport is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemotePath {
    /// By ICE.
    Ice(RemoteIce),
    /// It is where it says.
    Fixed(RemoteAddresses),
}

/// The ICE of a far side: what both of its components have in common, and their candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteIce {
    /// Its credentials.
    pub credentials: IceCredentials,
    /// Whether it is a lite agent.
    pub lite: bool,
    /// Whether it trickles candidates.
    pub trickle: bool,
    /// The candidates so far of the components that are used.
    pub candidates: Vec<Candidate>,
    /// Whether no more will come.
    pub end_of_candidates: bool,
}

/// The addresses of a far side without ICE; `None` where it names none, as one on hold once did with
/// 0.0.0.0 (RFC 3264 §8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddresses {
    /// Of RTP, and of RTCP too where they share a port.
    pub rtp: Option<SocketAddr>,
    /// Of RTCP.
    pub rtcp: Option<SocketAddr>,
}

/// What protects the packets of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteSecurity {
    /// Nothing: plain RTP.
    Plain,
    /// SRTP under keys that stand in the descriptions (RFC 4568).
    Sdes(Box<Sdes>),
    /// SRTP under keys that a DTLS handshake yields.
    Dtls(RemoteDtls),
    /// SRTP under keys that are yet to come: the node's offer of the m-line was rejected.
    Unkeyed,
}

impl RemoteSecurity {
    /// What a DTLS handshake needs to know, where there is one.
    pub fn dtls(&self) -> Option<&RemoteDtls> {
        match self {
            Self::Dtls(dtls) => Some(dtls),
            Self::Plain | Self::Sdes(_) | Self::Unkeyed => None,
        }
    }
}

/// The keys of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdes {
    /// What the far side protects its packets with.
    pub far: Crypto,
    /// What the node protects its packets with.
    pub own: Crypto,
}

/// What a DTLS handshake needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDtls {
    /// What the far side's certificate must match, any of them (RFC 8122 §5).
    pub fingerprints: Vec<Fingerprint>,
    /// What the node is.
    pub role: DtlsRole,
}

/// An m-line in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// Its place among the m-lines, rejected ones included, from 0.
    pub index: usize,
    /// Audio or video.
    pub kind: Media,
    /// Its MID; without BUNDLE it may have none.
    pub mid: Option<String>,
    /// Its transport profile.
    pub profile: Profile,
    /// Which way media flows, from the node's view.
    pub direction: Direction,
    /// The place of its transport in [`Negotiated::transports`].
    pub transport: usize,
    /// Its codecs, the far side's favourite first. Never only telephone-event.
    pub codecs: Vec<NegotiatedCodec>,
    /// Its header extensions.
    pub extensions: Vec<Extension>,
    /// Whether the far side has no second port for RTCP at all (RFC 8858).
    pub mux_only: bool,
    /// Whether RTCP need not start with a report (RFC 5506).
    pub reduced_size: bool,
    /// What the node sends with.
    pub local_ssrcs: LocalSsrcs,
    /// What the far side says that it sends with: each SSRC with that of its retransmissions.
    pub remote_ssrcs: Vec<(u32, Option<u32>)>,
    /// The RTP stream ids of the simulcast layers that the far side sends, in the order that it
    /// prefers them; empty without simulcast.
    pub rids: Vec<String>,
    /// Which seat of the far side this is a line of, from 0: one line of each kind makes a seat, at
    /// which it receives one other leg. `None` where the node has never been asked to send.
    pub seat: Option<usize>,
}

/// A header extension as one leg has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Its id on this leg, 1 to 14.
    pub id: u8,
    /// What it means; one of [`extension`].
    pub uri: &'static str,
    /// Which way it may go, from the node's view.
    pub direction: Direction,
}

/// A header extension's id on one leg and on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionMap {
    /// What it means.
    pub uri: &'static str,
    /// On the leg that packets come from.
    pub from: u8,
    /// On the leg that they go to.
    pub to: u8,
}

/// A transport profile of RTP over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// RTP (RFC 3551).
    Avp,
    /// RTP with early feedback (RFC 4585).
    Avpf,
    /// SRTP (RFC 3711).
    Savp,
    /// SRTP with early feedback (RFC 5124).
    Savpf,
    /// DTLS-SRTP (RFC 5764).
    DtlsSavp,
    /// DTLS-SRTP with early feedback: what browsers speak.
    DtlsSavpf,
}

/// Maps the header extensions that `from`'s leg sends to those of `to`'s leg, by URI. What either
/// leg does not have, or not in that direction, is left out.
pub fn map_extensions(from: &NegotiatedMedia, to: &NegotiatedMedia) -> Vec<ExtensionMap> {
    from.extensions
        .iter()
        .filter(|source| source.direction.receives())
        .filter_map(|source| {
            let sink = to.extensions.iter().find(|sink| sink.uri == source.uri)?;
            let map = ExtensionMap { uri: source.uri, from: source.id, to: sink.id };
            sink.direction.sends().then_some(map)
        })
        .collect()
}

impl Negotiated {
    /// Whether the far side has restarted ICE since `previous` (RFC 8839 §4.4.1.1.1).
    pub fn ice_restarted(&self, previous: &Self) -> bool {
        let credentials = |negotiated: &Self| negotiated.ice().map(|ice| ice.credentials.clone());
        credentials(self) != credentials(previous)
    }

    /// The far side's ICE, which all of its transports share.
    pub fn ice(&self) -> Option<&RemoteIce> {
        self.transports.iter().find_map(|transport| match &transport.path {
            RemotePath::Ice(ice) => Some(ice),
            RemotePath::Fixed(_) => None,
        })
    }

    /// As [`Self::ice`], to be changed.
    pub fn ice_mut(&mut self) -> Option<&mut RemoteIce> {
        self.transports.iter_mut().find_map(|transport| match &mut transport.path {
            RemotePath::Ice(ice) => Some(ice),
            RemotePath::Fixed(_) => None,
        })
    }

    /// The far side's DTLS; with ICE all of its transports share it.
    pub fn dtls(&self) -> Option<&RemoteDtls> {
        self.transports.iter().find_map(|transport| transport.security.dtls())
    }

    /// Whether RTCP shares RTP's port on every transport.
    pub fn rtcp_mux(&self) -> bool {
        self.transports.iter().all(|transport| transport.rtcp_mux)
    }

    /// Whether a new DTLS association is needed since `previous`: the certificate or the roles are
    /// others (RFC 8842 §3.1). An ICE restart alone needs none.
    pub fn dtls_restarted(&self, previous: &Self) -> bool {
        self.dtls() != previous.dtls()
    }

    /// Whether the far side takes no media for now: it has put the call on hold. One that never
    /// took any, and sends, only sends.
    pub fn held(&self) -> bool {
        let takes = self.media.iter().any(|media| media.direction.sends());
        let took = self.media.iter().any(|media| media.seat.is_some());
        let sends = self.media.iter().any(|media| media.direction.receives());
        !takes && (took || !sends)
    }

    /// The line of a kind at a seat.
    pub fn at_seat(&self, kind: Media, seat: usize) -> Option<&NegotiatedMedia> {
        self.media.iter().find(|media| media.kind == kind && media.seat == Some(seat))
    }

    /// Gives the lines that the node is to send on their seats: the one from before, else the first
    /// of the kind that is free.
    pub(super) fn take_seats(&mut self, previous: Option<&Self>) {
        for place in 0..self.media.len() {
            let media = &self.media[place];
            let before = previous.and_then(|previous| previous.at(media.index));
            let before = before.filter(|before| before.kind == media.kind);
            self.media[place].seat = before.and_then(|before| before.seat);
        }
        for place in 0..self.media.len() {
            let media = &self.media[place];
            if media.seat.is_none() && media.direction.sends() {
                let free = (0..).find(|&seat| self.at_seat(media.kind, seat).is_none());
                self.media[place].seat = free;
            }
        }
    }

    /// The m-line of a kind by its place among those of that kind: what m-lines of two legs are
    /// matched by.
    pub fn nth(&self, kind: Media, nth: usize) -> Option<&NegotiatedMedia> {
        self.media.iter().filter(|media| media.kind == kind).nth(nth)
    }

    /// The m-line at a place among all m-lines.
    pub fn at(&self, index: usize) -> Option<&NegotiatedMedia> {
        self.media.iter().find(|media| media.index == index)
    }
}

impl NegotiatedMedia {
    /// An extension's id on this leg.
    pub fn extension_id(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|extension| extension.uri == uri).map(|extension| extension.id)
    }

    /// The id of the MID extension.
    pub fn mid_extension(&self) -> Option<u8> {
        self.extension_id(extension::MID)
    }

    /// The id of transport-wide sequence numbers, if their feedback is negotiated too.
    pub fn transport_cc(&self) -> Option<u8> {
        self.extension_id(extension::TRANSPORT_CC)
    }
}

impl Profile {
    /// Reads the profile of an m-line; `None` is not RTP over UDP.
    pub fn parse(name: &str) -> Option<Self> {
        ALL_PROFILES.into_iter().find(|profile| profile.name().eq_ignore_ascii_case(name))
    }

    /// Its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Savp => "RTP/SAVP",
            Self::Savpf => "RTP/SAVPF",
            Self::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Self::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// Whether its packets are protected.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::Avp | Self::Avpf)
    }

    /// Whether its keys come from DTLS and nothing else.
    pub fn is_dtls(self) -> bool {
        matches!(self, Self::DtlsSavp | Self::DtlsSavpf)
    }

    /// Whether it has early feedback (RFC 4585).
    pub fn has_feedback(self) -> bool {
        matches!(self, Self::Avpf | Self::Savpf | Self::DtlsSavpf)
    }
}

const ALL_PROFILES: [Profile; 6] = [
    Profile::Avp,
    Profile::Avpf,
    Profile::Savp,
    Profile::Savpf,
    Profile::DtlsSavp,
    Profile::DtlsSavpf,
];
