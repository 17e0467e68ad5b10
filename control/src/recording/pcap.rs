//! The pcap format: a header, and packets of IP behind a time and a length each. Every tool reads it.

use std::net::{IpAddr, SocketAddr};

/// What such a file begins with, in the writer's byte order: times are in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: [u16; 2] = [2, 4];
/// Bytes of a packet, most.
const SNAP_LEN: u32 = 65_535;
/// Packets begin with an IP header, of either version.
const LINKTYPE_RAW: u32 = 101;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const HOP_LIMIT: u8 = 64;

/// Appends what the file begins with.
pub(super) fn begin(to: &mut Vec<u8>) {
    to.extend(MAGIC.to_le_bytes());
    VERSION.iter().for_each(|part| to.extend(part.to_le_bytes()));
    // The time zone and the accuracy of times, which nobody reads.
    to.extend([0; 8]);
    to.extend(SNAP_LEN.to_le_bytes());
    to.extend(LINKTYPE_RAW.to_le_bytes());
}

/// Appends a datagram that went from `source` to `destination`, `received` nanoseconds after 1970. Both are of
/// the same family; if not, nothing is written.
#[allow(clippy::cast_possible_truncation)] // a datagram has 16 bits of length, and pcap 32 of time
pub(super) fn packet(
    to: &mut Vec<u8>,
    received: u64,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) {
    let header = match (source.ip(), destination.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => IPV4_HEADER,
        (IpAddr::V6(_), IpAddr::V6(_)) => 2 * IPV4_HEADER,
        _ => return,
    };
    let datagram = UDP_HEADER + payload.len();
    let len = (header + datagram) as u32;
    let micros = received / 1000;
    for field in [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, len, len] {
        to.extend(field.to_le_bytes());
    }
    let datagram = datagram as u16;
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let whole = (IPV4_HEADER as u16 + datagram).to_be_bytes();
            let mut ip = [0; IPV4_HEADER];
            ip[0] = 0x45;
            ip[2..4].copy_from_slice(&whole);
            (ip[8], ip[9]) = (HOP_LIMIT, UDP);
            ip[12..16].copy_from_slice(&source.octets());
            ip[16..20].copy_from_slice(&destination.octets());
            let sum = checksum(&ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            to.extend(ip);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            to.extend([0x60, 0, 0, 0]);
            to.extend(datagram.to_be_bytes());
            to.extend([UDP, HOP_LIMIT]);
            to.extend(source.octets());
            to.extend(destination.octets());
        }
        _ => {}
    }
    for field in [source.port(), destination.port(), datagram, 0] {
        to.extend(field.to_be_bytes());
    }
    to.extend(payload);
}

/// The checksum of an IPv4 header (RFC 1071).
#[allow(clippy::cast_possible_truncation)] // what is folded has 16 bits
fn checksum(header: &[u8; IPV4_HEADER]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
