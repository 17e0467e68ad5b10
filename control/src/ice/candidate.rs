//! Which of the far side's candidate lines are taken (RFC 8839 §5.1).

use std::net::{IpAddr, SocketAddr};

use is::{Candidate, CandidateKind, Protocol};

use super::{LocalAddress, PEER_REFLEXIVE, RTP, priority};

/// A candidate of the node's own. Its priority is the one that checks from it name
/// (RFC 8445 §7.1.1); pairs are in the same order by it, since all are of one kind.
pub(super) fn own(local: &LocalAddress, component: u8, place: u32) -> Candidate {
    let &LocalAddress { announced, over, .. } = local;
    let priority = priority(PEER_REFLEXIVE, over, component, place);
    let (foundation, kind) = ((place + 1).to_string(), CandidateKind::Host);
    let (component, protocol) = (u16::from(RTP), over.protocol());
    Candidate::from_parts(
        foundation, component, protocol, priority, announced, kind, None, None, None,
    )
}

/// Reads `candidate:…`, with or without `a=` before it.
pub(super) fn parse(line: &str, own: u8) -> Result<Candidate, Ignored> {
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.len() > LINE_MAX {
        return Err(Ignored::Malformed);
    }
    let mut words = line.split_ascii_whitespace();
    let (_foundation, component) = (words.next(), words.next());
    let (transport, _priority) = (words.next(), words.next());
    let (Some(component), Some(transport), Some(address)) = (component, transport, words.next())
    else {
        return Err(Ignored::Malformed);
    };
    if component.parse() != Ok(own) {
        return Err(Ignored::OtherComponent);
    }
    if !transport.eq_ignore_ascii_case("udp") {
        return Err(Ignored::NotUdp);
    }
    if address.parse::<IpAddr>().is_err() {
        return Err(Ignored::Name);
    }
    // `is` knows one component alone; an agent is for one, so it need not know which.
    let line = line.replacen(&format!(" {own} "), &format!(" {RTP} "), 1);
    let candidate = Candidate::from_sdp_string(&line).map_err(|_| Ignored::Malformed)?;
    if candidate.proto() != Protocol::Udp || !is_reachable(candidate.addr()) {
        return Err(Ignored::Unreachable);
    }
    Ok(candidate)
}

/// Why a remote candidate was not taken. Never the end of a call: the far side may well be found
/// through its own checks (RFC 8445 §7.3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// The line is not a candidate.
    #[error("the line is not a candidate")]
    Malformed,
    /// A name instead of an address. Names of mDNS (`….local`) mean nothing outside of the far
    /// side's network, and others would let a client make the node ask DNS.
    #[error("names are not resolved; the far side's own checks will show its address")]
    Name,
    /// Not UDP. TCP candidates of a client are active ones: it connects, the node does not.
    #[error("only UDP candidates are checked")]
    NotUdp,
    /// A component other than this agent's; with rtcp-mux there is only one.
    #[error("the candidate belongs to another component")]
    OtherComponent,
    /// Multicast, broadcast, unspecified or port 0.
    #[error("nothing can be sent to that address")]
    Unreachable,
    /// The candidate is of another ufrag than the description, so of an older ICE generation.
    #[error("the candidate belongs to another ICE generation")]
    OtherGeneration,
    /// The far side already has as many candidates as are kept.
    #[error("too many candidates")]
    TooMany,
}

fn is_reachable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// Longest line that is looked at; Chromium's are about 180 bytes.
const LINE_MAX: usize = 1024;
