//! Who may ask: an address, or all that begin alike (CIDR, RFC 4632 §3.1).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address or a block of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: IpAddr,
    /// Leading bits that count.
    bits: u8,
}

impl Peer {
    /// Whether the address is among these. IPv4 within IPv6 (RFC 4291 §2.5.5.2) counts as IPv4, since a
    /// socket of both families shows it so.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(one)) => {
                (block.to_bits() ^ one.to_bits())
                    .checked_shr(32 - u32::from(self.bits))
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(block), IpAddr::V6(one)) => {
                (block.to_bits() ^ one.to_bits())
                    .checked_shr(128 - u32::from(self.bits))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!("\"{text}\": allowed are addresses and blocks such as \"10.0.0.0/8\"")
        })
    }
}

/// Bits behind the prefix are passed over: whoever writes `10.1.2.3/8` means `10.0.0.0/8`.
fn parse(text: &str) -> Option<Peer> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = bits.unwrap_or(width(address));
    (bits <= width(address)).then_some(Peer { address, bits })
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(peer: &str, address: &str) -> bool {
        peer.parse::<Peer>().unwrap().holds(address.parse().unwrap())
    }

    #[test]
    fn a_block_holds_what_begins_alike_and_nothing_else() {
        for (peer, address) in [
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.9.9.9/8", "10.0.0.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "::ffff:192.0.2.1"),
            ("0.0.0.0/0", "203.0.113.9"),
            ("2001:db8::/32", "2001:db8:1::1"),
            ("::/0", "::1"),
        ] {
            assert!(holds(peer, address), "{peer} {address}");
        }
        for (peer, address) in [
            ("10.0.0.0/8", "11.0.0.1"),
            ("192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/31", "192.0.2.2"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "127.0.0.1"),
            ("2001:db8::/32", "2001:db9::1"),
        ] {
            assert!(!holds(peer, address), "{peer} {address}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8"] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
        assert_eq!("10.0.0.0/8".parse::<Peer>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("::1/128".parse::<Peer>().unwrap().to_string(), "::1");
    }
}
