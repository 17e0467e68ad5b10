//! This machine's addresses, and words for an operator whose bind or announced address is not right.
//!
//! Addresses are read from `/proc/net`, which needs no system call interface of our own. It shows the
//! network namespace of the process, so a container sees its own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Every address of this machine, loopback included, without duplicates.
///
/// # Errors
/// `/proc` is not mounted or not readable. A missing IPv6 table is a machine without IPv6, not an error.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let v4 = fs::read_to_string("/proc/net/fib_trie")?;
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let v4 = parse_fib_trie(&v4).into_iter().map(IpAddr::V4);
    Ok(v4.chain(parse_if_inet6(&v6).into_iter().map(IpAddr::V6)).collect())
}

/// Says what to change if a socket cannot be bound to `wanted`.
pub fn explain_bind(error: &io::Error, wanted: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => local_addresses()
            .map_or_else(|_| String::new(), |local| explain_missing(wanted.ip(), &local)),
        io::ErrorKind::AddrInUse => {
            format!("something else has port {}: end that, or choose another port", wanted.port())
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {} needs the capability CAP_NET_BIND_SERVICE", wanted.port())
        }
        _ => String::new(),
    }
}

/// Says why a socket cannot be bound to `wanted` (EADDRNOTAVAIL), and what was probably meant.
/// `local` is what [`local_addresses`] gave.
fn explain_missing(wanted: IpAddr, local: &[IpAddr]) -> String {
    let lead = format!("{wanted} is not an address of this machine");
    let near: Vec<IpAddr> = local
        .iter()
        .copied()
        .filter(|ip| ip.is_ipv4() == wanted.is_ipv4() && !ip.is_loopback() && !is_link_local(*ip))
        .collect();
    let private = near.iter().copied().find(|ip| is_private(*ip));
    match (private, near.is_empty()) {
        (_, true) => format!("{lead}; it has no {} address but loopback", family(wanted)),
        (Some(private), _) if !is_private(wanted) && wanted.is_ipv4() => format!(
            "{lead}; it looks like the public side of a 1-to-1 NAT: \
             put it into announce and bind {private}"
        ),
        _ => format!("{lead}; it has {}", list(&closest_first(wanted, near))),
    }
}

/// Says what is wrong with what the world would be told for a socket bound to `bind`, if anything is.
pub fn advise_announce(bind: IpAddr, announce: Option<IpAddr>) -> Option<String> {
    match announce {
        Some(announce) if announce.is_ipv4() != bind.is_ipv4() => Some(format!(
            "{announce} is announced for {bind}, but they are not of the same IP version"
        )),
        Some(announce) if announce.is_unspecified() || announce.is_multicast() => {
            Some(format!("{announce} cannot be announced: nobody can send to it"))
        }
        None if bind.is_unspecified() => Some(format!(
            "{bind} stands for all addresses and cannot be announced: bind one address, \
             or say in announce what the world sends to"
        )),
        None if is_private(bind) => Some(format!(
            "{bind} is a private address and nothing is announced for it: browsers elsewhere \
             cannot reach it. In a cloud set announce to the public address or to \"auto\""
        )),
        _ => None,
    }
}

/// Whether an address can be sent to from anywhere, as far as it can be told by itself (RFC 6890).
pub fn is_global(ip: IpAddr) -> bool {
    let is_here = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    !is_here && !is_private(ip) && !is_link_local(ip)
}

/// Addresses that the kernel lists as local hosts: an address line, then a line `/32 host LOCAL`.
fn parse_fib_trie(text: &str) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// One address per line, as 32 hexadecimal digits at its start.
fn parse_if_inet6(text: &str) -> Vec<Ipv6Addr> {
    let digits = text.lines().filter_map(|line| line.split_ascii_whitespace().next());
    let hosts = digits.filter(|digits| digits.len() == 32);
    hosts.filter_map(|digits| u128::from_str_radix(digits, 16).ok()).map(Ipv6Addr::from).collect()
}

/// Whether only a private network reaches it: RFC 1918, RFC 6598 (carriers' and some clouds' inside), RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Those first that share most leading bits: a typing error is mostly in the last digits.
fn closest_first(wanted: IpAddr, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_key(|ip| (bits(*ip) ^ bits(wanted)).leading_zeros());
    addresses.reverse();
    addresses
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().take(LISTED).map(IpAddr::to_string).collect();
    let more = if addresses.len() > LISTED { " and others" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Addresses named in a message at most; hosts of containers have dozens.
const LISTED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.31.0.0/20 2 0 2
        |-- 172.31.0.0
           /20 link UNICAST
        |-- 172.31.5.10
           /32 host LOCAL
        |-- 172.31.15.255
           /32 link BROADCAST
Local:
  +-- 127.0.0.0/8 2 0 2
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 172.31.5.10
        /32 host LOCAL
";
    const IF_INET6: &str = "\
00000000000000000000000000000001 01 80 10 80       lo
fe800000000000000000000000000001 02 40 20 80     ens5
20010db8000000000000000000000042 02 80 00 00     ens5
";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn cloud_machine() -> Vec<IpAddr> {
        vec![ip("127.0.0.1"), ip("172.31.5.10"), ip("::1"), ip("fe80::1")]
    }

    #[test]
    fn what_is_to_be_changed_depends_on_why_it_cannot_be_bound() {
        let explain =
            |kind: io::ErrorKind| explain_bind(&kind.into(), ([203, 0, 113, 5], 443).into());
        assert!(explain(io::ErrorKind::AddrInUse).contains("choose another port"));
        assert!(explain(io::ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
        let missing = explain(io::ErrorKind::AddrNotAvailable);
        assert!(missing.starts_with("203.0.113.5 is not an address of this machine"), "{missing}");
        assert_eq!(explain(io::ErrorKind::OutOfMemory), "");
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let v4: Vec<Ipv4Addr> = vec![[172, 31, 5, 10].into(), [127, 0, 0, 1].into()];
        assert_eq!(parse_fib_trie(FIB_TRIE), v4);
        let v6: Vec<Ipv6Addr> =
            ["::1", "fe80::1", "2001:db8::42"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(parse_if_inet6(IF_INET6), v6);
        assert!(parse_fib_trie("|-- nonsense\n/32 host LOCAL").is_empty());
    }

    #[test]
    fn this_machine_has_loopback() {
        assert!(local_addresses().unwrap().contains(&ip("127.0.0.1")));
    }

    #[test]
    fn a_public_address_on_a_private_machine_is_told_to_be_announced() {
        assert_eq!(
            explain_missing(ip("203.0.113.5"), &cloud_machine()),
            "203.0.113.5 is not an address of this machine; it looks like the public side of a \
             1-to-1 NAT: put it into announce and bind 172.31.5.10"
        );
    }

    #[test]
    fn a_mistyped_address_is_shown_the_closest_ones() {
        let mut local = cloud_machine();
        local.insert(0, ip("10.0.0.7"));
        assert_eq!(
            explain_missing(ip("172.31.5.11"), &local),
            "172.31.5.11 is not an address of this machine; it has 172.31.5.10, 10.0.0.7"
        );
    }

    #[test]
    fn a_missing_family_is_named() {
        assert_eq!(
            explain_missing(ip("2001:db8::1"), &cloud_machine()),
            "2001:db8::1 is not an address of this machine; it has no IPv6 address but loopback"
        );
    }

    #[test]
    fn announcing_is_advised_where_the_world_could_not_send() {
        for bind in ["10.1.2.3", "100.64.0.9", "0.0.0.0", "fd00::1"] {
            assert!(advise_announce(ip(bind), None).is_some(), "{bind}");
        }
        assert!(advise_announce(ip("10.1.2.3"), Some(ip("2001:db8::1"))).is_some());
        assert_eq!(advise_announce(ip("10.1.2.3"), Some(ip("203.0.113.5"))), None);
        assert_eq!(advise_announce(ip("203.0.113.5"), None), None);
        assert_eq!(advise_announce(ip("127.0.0.1"), None), None);
    }
}
