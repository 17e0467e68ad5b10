use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// The first and last address of every IPv4 block that is denied, and the neighbours that are not.
const DENIED_V4: &[(&str, &str)] = &[
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.254"),
    ("255.255.255.255", "255.255.255.255"),
];
const ALLOWED_V4: &[&str] = &[
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.2.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.100.7",
    "203.0.113.7",
    "223.255.255.255",
];
const DENIED_V6: &[(&str, &str)] = &[
    ("::", "::1"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];
const ALLOWED_V6: &[&str] = &[
    "64:ff9b:2::1",
    "2001:4860:4860::8888",
    "2001:db8::1",
    "2003::1",
    "2606:4700::1111",
    "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Every way to write an IPv4 address as an IPv6 one.
fn encodings(v4: Ipv4Addr) -> Vec<(&'static str, Ipv6Addr)> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let new = Ipv6Addr::new;
    vec![
        ("mapped", new(0, 0, 0, 0, 0, 0xffff, high, low)),
        ("compatible", new(0, 0, 0, 0, 0, 0, high, low)),
        ("translated", new(0, 0, 0, 0, 0xffff, 0, high, low)),
        ("nat64", new(0x64, 0xff9b, 0, 0, 0, 0, high, low)),
        ("6to4", new(0x2002, high, low, 0, 0, 0, 0, 1)),
        ("6to4 with a subnet", new(0x2002, high, low, 7, 8, 9, 10, 11)),
        ("teredo", new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0xefff, !high, !low)),
    ]
}

/// NAT64 of local use holds the address where its operator says (RFC 6052 §2.2).
fn local_nat64(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    let new = |rest: [u16; 5]| {
        Ipv6Addr::new(0x64, 0xff9b, 1, rest[0], rest[1], rest[2], rest[3], rest[4])
    };
    vec![
        new([high, c, d << 8, 0, 0]),
        new([a, b << 8 | c, d, 0, 0]),
        new([0, a, b << 8 | c, d << 8, 0]),
        new([0, 0, 0, high, low]),
    ]
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn lists(allow: &[&str], deny: &[&str]) -> Policy {
    let read = |list: &[&str]| list.iter().map(|block| block.parse().unwrap()).collect();
    Policy { allow: read(allow), deny: read(deny), ..Policy::default() }
}

#[test]
fn every_block_is_denied_in_every_encoding() {
    let policy = Policy::default();
    for (first, last) in DENIED_V4 {
        let middle = v4(first).to_bits() / 2 + v4(last).to_bits() / 2;
        for denied in [v4(first), v4(last), Ipv4Addr::from_bits(middle)] {
            assert!(!policy.permits(denied.into()), "{denied}");
            for (how, encoded) in encodings(denied) {
                assert!(!policy.permits(encoded.into()), "{denied}, {how}: {encoded}");
            }
            for encoded in local_nat64(denied) {
                assert!(!policy.permits(encoded.into()), "{denied}: {encoded}");
            }
        }
    }
    for (first, last) in DENIED_V6 {
        assert!(!policy.permits(ip(first)), "{first}");
        assert!(!policy.permits(ip(last)), "{last}");
    }
}

#[test]
fn what_is_public_is_allowed_and_so_is_what_documents_use() {
    let policy = Policy::default();
    for allowed in ALLOWED_V4 {
        assert!(policy.permits(ip(allowed)), "{allowed}");
        for (how, encoded) in encodings(v4(allowed)) {
            assert!(policy.permits(encoded.into()), "{allowed}, {how}: {encoded}");
        }
    }
    for allowed in ALLOWED_V6 {
        assert!(policy.permits(ip(allowed)), "{allowed}");
    }
}

#[test]
fn the_metadata_of_clouds_is_out_of_reach() {
    let policy = Policy::default();
    for address in ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200"] {
        assert!(!policy.permits(ip(address)), "{address}");
    }
}

#[test]
fn denied_weighs_more_than_allowed_and_allowed_more_than_the_defaults() {
    let policy =
        lists(&["10.1.0.0/16", "203.0.113.0/24", "fd00::/8"], &["10.1.2.0/24", "203.0.113.7"]);
    for (address, permitted) in [
        ("10.1.3.4", true),
        ("10.1.2.4", false),
        ("10.2.0.1", false),
        ("203.0.113.7", false),
        ("203.0.113.8", true),
        ("fd00::1", true),
        ("fc00::1", false),
        ("198.51.100.1", true),
    ] {
        assert_eq!(policy.permits(ip(address)), permitted, "{address}");
    }
}

#[test]
fn what_is_denied_by_name_is_denied_in_every_encoding_and_allowed_in_none() {
    let policy = lists(&["10.1.0.0/16"], &["203.0.113.7"]);
    for (how, encoded) in encodings(v4("203.0.113.7")) {
        assert!(!policy.permits(encoded.into()), "{how}");
    }
    for (how, encoded) in encodings(v4("10.1.3.4")) {
        assert!(!policy.permits(encoded.into()), "{how}");
    }
    assert!(lists(&["64:ff9b::a01:0/112"], &[]).permits(ip("64:ff9b::10.1.3.4")));
}

#[test]
fn the_nodes_own_media_is_reached_by_name_and_nothing_beside_it() {
    let own = vec![ip("10.0.0.5"), ip("fd00::5"), ip("203.0.113.5")];
    let policy = Policy { own: own.clone(), ..Policy::default() };
    let only = Policy { own, media_only: true, ..lists(&["10.9.0.0/16"], &[]) };
    for (address, permitted, permitted_only) in [
        ("10.0.0.5", true, true),
        ("fd00::5", true, true),
        ("203.0.113.5", true, true),
        ("10.0.0.6", false, false),
        ("::ffff:10.0.0.5", false, false),
        ("64:ff9b::10.0.0.5", false, false),
        ("198.51.100.1", true, false),
        ("10.9.0.1", false, false),
        ("127.0.0.1", false, false),
    ] {
        assert_eq!(policy.permits(ip(address)), permitted, "{address}");
        assert_eq!(only.permits(ip(address)), permitted_only, "{address}, media only");
    }
    let denied = Policy { own: vec![ip("10.0.0.5")], ..lists(&[], &["10.0.0.0/8"]) };
    assert!(!denied.permits(ip("10.0.0.5")), "who denies it means it");
}

#[test]
fn loopback_is_for_tests() {
    let policy = Policy { allow_loopback: true, ..Policy::default() };
    assert!(policy.permits(ip("127.0.0.1")) && policy.permits(ip("::1")));
    for address in ["0.0.0.0", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "::127.0.0.1"]
    {
        assert!(!policy.permits(ip(address)), "{address}");
    }
    assert!(
        !Policy { allow_loopback: true, ..lists(&[], &["127.0.0.1"]) }.permits(ip("127.0.0.1"))
    );
}
