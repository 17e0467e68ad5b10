//! An m-line as one party has it: what the party said of it last, and what the node says to the party.
//!
//! `sends`, `receives`, `is_active` and the like are the node's view towards the party.

use std::net::SocketAddr;

use causeway_engine::learning::Learning;

use super::described::{Described, Protocol};
use crate::ng::FlagSet;
use crate::sdp::{Crypto, Direction, DtlsRole, Fingerprint, HashFunction, RemoteDtls, Sdes};

/// An m-line of a party.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Its place in the party's descriptions, from 1.
    pub(super) index: usize,
    pub(super) kind: String,
    pub(super) protocol: Option<Protocol>,
    /// Whether the party has described it.
    pub(super) is_described: bool,
    /// Whether it was rejected last, or is over.
    pub(super) is_rejected: bool,
    pub(super) mid: Option<String>,
    pub(super) ptime: Option<u32>,
    /// Whether that is the proxy's word, and not the parties'.
    pub(super) ptime_is_fixed: bool,
    /// The payload types that the party was offered last.
    pub(super) offered: Vec<u8>,
    pub(super) sends: bool,
    pub(super) receives: bool,
    /// Whether the party's address is said to be nowhere, to hold the other side.
    pub(super) is_nowhere: bool,
    /// Whether RTP and RTCP share the node's port.
    pub(super) mux: bool,
    /// Whether the other side's word on that does not count.
    pub(super) mux_is_own: bool,
    /// Whether RTCP has no port to fall back to.
    pub(super) mux_is_required: bool,
    /// Whether it was clear from the beginning that RTCP comes to RTP's port.
    pub(super) has_one_port: bool,
    /// Whether the party hears itself, or nobody hears it.
    pub(super) echo: Echo,
    pub(super) keys: LineKeys,
    pub(super) ice: LineIce,
    /// What was said of it with the party's last description.
    pub(super) flags: FlagSet,
    /// Whether the node reports in place of the party where that sends no RTCP.
    pub(super) reports: bool,
    /// How the party's address is learnt.
    pub(super) learning: Learning,
    /// The family that the node's address has towards the party.
    pub(super) is_ipv6: Option<bool>,
    /// What the party said of it last.
    pub(super) far: Option<Described>,
    /// The place, from 0, of the m-line whose port its media shares.
    pub(super) shares: Option<usize>,
}

/// Who hears a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// The others.
    Others,
    /// It alone.
    Own,
    /// Nobody.
    Nothing,
}

/// What protects an m-line.
#[derive(Debug, Default, Clone)]
pub(super) struct LineKeys {
    /// Whether DTLS is offered to the party, or agreed on.
    pub(super) dtls: bool,
    /// Whether SDES is.
    pub(super) sdes: bool,
    /// Whether the node may open DTLS.
    pub(super) may_open: bool,
    /// Whether the party may.
    pub(super) may_be_opened: bool,
    /// The party's certificate.
    pub(super) fingerprint: Option<Fingerprint>,
    /// How the node names its own.
    pub(super) hash: Option<HashFunction>,
    /// The party's SDES keys.
    pub(super) theirs: Vec<Crypto>,
    /// Whether the proxy has put them in order, so that what the other side chooses does not count.
    pub(super) prefers: bool,
    /// The node's.
    pub(super) own: Vec<Crypto>,
    /// Whether what stands here is agreed on by both sides.
    pub(super) settled: bool,
}

/// ICE of an m-line.
#[derive(Debug, Default, Clone)]
pub(super) struct LineIce {
    pub(super) used: bool,
    /// Whether the parties' candidates pass, and the node is but one more.
    pub(super) passes: bool,
    pub(super) is_lite: bool,
    pub(super) controls: bool,
    /// Whether the node says that it trickles.
    pub(super) trickles: bool,
    /// Whether the node has had an agent for it.
    pub(super) had_agent: bool,
}

impl Line {
    /// An m-line that nobody has described yet.
    pub(super) fn new(index: usize, kind: &str) -> Self {
        Self {
            index,
            kind: kind.into(),
            protocol: None,
            is_described: false,
            is_rejected: false,
            mid: None,
            ptime: None,
            ptime_is_fixed: false,
            offered: Vec::new(),
            sends: false,
            receives: false,
            is_nowhere: false,
            mux: false,
            mux_is_own: false,
            mux_is_required: false,
            has_one_port: false,
            echo: Echo::Others,
            keys: LineKeys::default(),
            ice: LineIce::default(),
            flags: FlagSet::default(),
            reports: false,
            learning: Learning::Off,
            is_ipv6: None,
            far: None,
            shares: None,
        }
    }

    /// Whether the node has an agent for it.
    pub(super) fn has_agent(&self) -> bool {
        self.ice.used && !self.ice.passes
    }

    pub(super) fn is_rtp(&self) -> bool {
        self.protocol.as_ref().is_some_and(|protocol| protocol.profile().is_some())
    }

    /// Whether its media is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.protocol.as_ref().is_some_and(Protocol::is_secure) && !self.ice.passes
    }

    /// Which way media flows, as the party is told.
    pub(super) fn direction(&self) -> Direction {
        match (self.sends, self.receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Where the party said last that it wants its RTP, or with `rtcp` its RTCP.
    pub(super) fn advertised(&self, rtcp: bool) -> Option<SocketAddr> {
        let far = self.far.as_ref()?;
        Some(match (rtcp, far.rtcp) {
            (true, _) if far.shares_port => return None,
            (true, Some(address)) => address,
            (true, None) => SocketAddr::new(far.rtp.ip(), far.rtp.port().checked_add(1)?),
            (false, _) => far.rtp,
        })
    }

    /// Where its RTP, or with `rtcp` its RTCP, goes without ICE, if that can be sent to.
    pub(super) fn remote(&self, rtcp: bool) -> Option<SocketAddr> {
        if self.is_rejected || rtcp && self.mux {
            return None;
        }
        let address = self.advertised(rtcp)?;
        let ip = address.ip();
        (address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()).then_some(address)
    }

    /// The party's side of DTLS, once both sides have spoken.
    pub(super) fn dtls(&self) -> Option<RemoteDtls> {
        let fingerprint = self.certificate()?.clone();
        let role = if self.keys.may_open { DtlsRole::Active } else { DtlsRole::Passive };
        Some(RemoteDtls { fingerprints: vec![fingerprint], role })
    }

    /// The party's certificate, once both sides have spoken: another one is another DTLS association
    /// (RFC 8842 §4).
    pub(super) fn certificate(&self) -> Option<&Fingerprint> {
        self.keys.fingerprint.as_ref().filter(|_| self.keys.dtls && self.keys.settled)
    }

    /// The SDES keys of both sides, once they are agreed on.
    pub(super) fn sdes(&self) -> Option<Sdes> {
        let keys = &self.keys;
        let agreed = keys.settled && keys.sdes && !keys.dtls;
        let (far, own) = keys.theirs.first().zip(keys.own.first()).filter(|_| agreed)?;
        Some(Sdes { far: far.clone(), own: own.clone() })
    }
}
