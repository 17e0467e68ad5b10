//! Which peers may be reached through a relay.
//!
//! A relay sends from the node's own address, so that whoever may use it stands where the node stands:
//! beside the host's loopback, the cloud's metadata service, the private network. All of that is denied
//! unless it is allowed by the configuration, however the address is written: an IPv6 address that
//! carries an IPv4 address counts as that one too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Peer;

/// The rules, in the order of their weight: denied by the configuration, the node's own, `media_only`, allowed
/// by the configuration, denied by default, everything else.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Blocks that may be reached although they are denied by default, as peers are written: an encoding
    /// of an allowed address is not allowed by that.
    pub allow: Vec<Peer>,
    /// Blocks that may not be reached, in any encoding, whatever else is said.
    pub deny: Vec<Peer>,
    /// Addresses of the node's own media. They may be reached even where they are private; that no other port
    /// than those of media is reached is the engine's part.
    pub own: Vec<IpAddr>,
    /// Whether nothing but the node's own media may be reached.
    pub media_only: bool,
    /// Whether loopback may be reached, for tests.
    pub allow_loopback: bool,
}

impl Policy {
    /// Whether the peer may be reached.
    pub fn permits(&self, peer: IpAddr) -> bool {
        let embedded = embedded(peer);
        let listed = |list: &[Peer], address| list.iter().any(|block| block.holds(address));
        if listed(&self.deny, peer) || embedded.is_some_and(|inner| listed(&self.deny, inner)) {
            return false;
        }
        if self.own.contains(&peer) {
            return true;
        }
        if self.media_only {
            return false;
        }
        !is_mapped(peer) && listed(&self.allow, peer)
            || self.allow_loopback && peer.is_loopback()
            || !(denied(peer) || embedded.is_some_and(denied))
    }
}

/// This network, private (RFC 1918 §3), shared by carriers (RFC 6598 §7), loopback, link-local, protocol
/// assignments (RFC 6890 §2.2.2), benchmarking, multicast, reserved and broadcast.
const DENIED_V4: [([u8; 4], u32); 12] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

/// Unspecified, loopback, translation for local use (RFC 8215 §3: where in it an IPv4 address stands is for each
/// network to say), unique local, link-local, site-local, multicast.
const DENIED_V6: [(Ipv6Addr, u32); 7] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

fn denied(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(one) => DENIED_V4.iter().any(|(block, bits)| {
            (u32::from_be_bytes(*block) ^ one.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }),
        IpAddr::V6(one) => DENIED_V6.iter().any(|(block, bits)| {
            (block.to_bits() ^ one.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }),
    }
}

/// The IPv4 address that packets to an IPv6 address may end at.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let inner = match [a, b, c, d, e, f] {
        // Compatible and mapped (RFC 4291 §2.5.5), translated (RFC 2765 §2.1), NAT64 (RFC 6052 §2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => {
            v4(g, h)
        }
        // 6to4 (RFC 3056 §2) and Teredo (RFC 4380 §4), which hides the client's address from NATs.
        [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, ..] => v4(!g, !h),
        _ => return None,
    };
    Some(inner.into())
}

/// [`Peer::holds`] takes a mapped address for the IPv4 address, which is right for who asks and wrong for
/// who is asked for.
fn is_mapped(peer: IpAddr) -> bool {
    matches!(peer, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}
