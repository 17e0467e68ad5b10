//! What the node says of itself in a description: plain inputs, chosen by the caller.

use std::fmt;
use std::net::SocketAddr;

use causeway_engine::srtp::{KEY_MAX, SALT_MAX};
use zeroize::Zeroizing;

use super::MEDIA_MAX;
use super::candidate::{Candidate, RTP};
use super::value::{DtlsRole, Fingerprint, IceCredentials};

/// The node's side of a leg.
#[derive(Debug, Clone)]
pub struct Local {
    /// Session id of the `o=` line: random, below 2^63; it stays for the leg's life.
    pub session_id: u64,
    /// The announced address and port: what stands in `o=`, `c=`, `m=` and, with rtcp-mux, `a=rtcp`.
    pub address: SocketAddr,
    /// Where RTCP goes without rtcp-mux; `None` where the node has no second port for it.
    pub rtcp: Option<SocketAddr>,
    /// The pairs of ports of a leg without ICE, one for each m-line; none with ICE.
    pub ports: Vec<LocalPorts>,
    /// All announced addresses; ICE uses these. Those of component 2 count without rtcp-mux alone.
    pub candidates: Vec<Candidate>,
    /// Whether no candidate will come later.
    pub end_of_candidates: bool,
    /// The node's ICE credentials for this leg.
    pub credentials: IceCredentials,
    /// Whether the node is an ICE lite agent here.
    pub ice_lite: bool,
    /// Whether the far side numbers its nominations, which the node then says to follow.
    pub renomination: bool,
    /// The node's certificate.
    pub fingerprint: Fingerprint,
    /// What the node wants to be in the DTLS handshake where the far side leaves it the choice.
    pub role: DtlsRole,
    /// The canonical name of the node's streams (RFC 3550 §6.5.1); a token.
    pub cname: String,
    /// The media stream id that the node's tracks belong to; a token.
    pub stream: String,
    /// Where the SSRCs of this leg's m-lines are taken from: random, and the same for the leg's
    /// life, so that an m-line keeps its SSRCs over renegotiations.
    pub ssrc_base: u32,
}

/// Bytes of the longest master key and its salt.
pub const SECRET_LEN: usize = KEY_MAX + SALT_MAX;

/// What a master key and salt are cut from: random (RFC 4568 §6.1).
pub type Secret = Zeroizing<[u8; SECRET_LEN]>;

/// The ports of one m-line as announced, and what its keys are cut from.
#[derive(Clone)]
pub struct LocalPorts {
    /// Of RTP.
    pub rtp: SocketAddr,
    /// Of RTCP, where it does not share that of RTP.
    pub rtcp: SocketAddr,
    /// Never used before: the next master key and salt.
    pub secret: Secret,
}

impl fmt::Debug for LocalPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rtp, rtcp, secret: _ } = self;
        f.debug_struct("LocalPorts").field("rtp", rtp).field("rtcp", rtcp).finish_non_exhaustive()
    }
}

/// The SSRCs that the node sends with on one m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSsrcs {
    /// Of the media.
    pub media: u32,
    /// Of its retransmissions; used where RTX is negotiated.
    pub rtx: u32,
}

impl Local {
    /// Gives each m-line ports of its own, in their order; without any, nothing changes.
    pub fn take_ports(&mut self, ports: impl IntoIterator<Item = LocalPorts>) {
        self.ports.extend(ports);
        if let Some(first) = self.ports.first() {
            self.address = first.rtp;
        }
    }

    /// Gives up the second port: RTCP shares that of RTP from now on.
    pub fn keep_one_port(&mut self) {
        self.rtcp = None;
        self.candidates.retain(|candidate| candidate.component == RTP);
    }
}

impl LocalSsrcs {
    /// Those of the m-line at `index`: a leg's SSRCs are all different and none is 0.
    pub fn of(base: u32, index: usize) -> Self {
        debug_assert!(index < MEDIA_MAX);
        let place = u32::try_from(2 * index).unwrap_or(0) & PLACES;
        let media = (base & !PLACES | LOWEST) + place;
        Self { media, rtx: media + 1 }
    }
}

/// The low bits of an SSRC, which count a leg's SSRCs.
const PLACES: u32 = 2 * MEDIA_MAX as u32 - 1;
/// Keeps SSRCs away from 0, which browsers use for probes.
const LOWEST: u32 = PLACES + 1;

const _: () = assert!((PLACES + 1).is_power_of_two());
