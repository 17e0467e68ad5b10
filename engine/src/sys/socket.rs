//! UDP sockets: options, addresses as the kernel writes them, receive time stamps.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::packet::Nanos;

/// Bytes asked for as receive and send buffer. The kernel cuts it to net.core.rmem_max and wmem_max
/// without a word.
pub const SOCKET_BUFFER: usize = 1 << 20;

/// Binds a non-blocking UDP socket: IPv6 only for IPv6, shared by several with `reuse_port`. Calls that come and go
/// bind four each, so nothing is set that holds anyway.
///
/// # Errors
/// What the kernel says: address in use, not ours, no descriptors left.
pub fn bind(addr: SocketAddr, reuse_port: bool) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Says whether packets that are longer than their path takes may be fragmented, by the host and, on
/// IPv4, by routers. Else they carry the DF bit, and one that is longer than what the kernel knows of
/// the path (the interface's and the route's MTU, and what routers have told) is refused.
///
/// Why the default is to fragment: the node forwards packets of other people's making, and they grow
/// on it: a GCM tag is 6 bytes longer than the usual one of HMAC-SHA1 and 12 longer than the short
/// one, a MID or an extension id of the other leg may be longer. Browsers keep media to 1200 bytes, so
/// nothing of theirs ever needs a fragment; a SIP peer may fill its 1500. A sender cannot be told to
/// send less (RTP has no word for it), so a packet that must not be fragmented is lost, and each one
/// of its size after it. What the node writes itself (DTLS flights, RTCP, STUN) stays below
/// [`crate::config::SAFE_PAYLOAD`] in any case. A path that is narrower than its interface is told to
/// the host as a route's MTU, which holds for both.
///
/// # Errors
/// What the kernel says.
pub fn set_fragmentation(udp: &UdpSocket, allowed: bool) -> io::Result<()> {
    let (level, name, value) = match (udp.local_addr()?, allowed) {
        (SocketAddr::V4(_), true) => {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
        }
        (SocketAddr::V4(_), false) => {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)
        }
        (SocketAddr::V6(_), true) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
        }
        (SocketAddr::V6(_), false) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)
        }
    };
    set_option(udp, level, name, value)
}

/// Makes a bound socket fit for a backend: receive time stamps, large buffers.
///
/// # Errors
/// What the kernel says to the option that it refuses.
pub fn set_up(udp: &UdpSocket) -> io::Result<()> {
    let socket = SockRef::from(udp);
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    set_option(udp, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Sets an option whose value is an int.
pub(super) fn set_option(
    udp: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option's value is an int, and its address and size are given.
    let result = unsafe {
        libc::setsockopt(
            udp.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams that the kernel has dropped because the socket's receive buffer was full or they were
/// damaged.
///
/// # Errors
/// What the kernel says; it knows the option since 4.12.
pub fn drops(udp: &UdpSocket) -> io::Result<u32> {
    let mut counts = [0u32; MEMINFO_LEN];
    let mut len = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the array is given by address and size, to be written; the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            udp.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            counts.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(counts[MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Lifts the soft limit of open descriptors to the hard one and returns it. The io_uring file table
/// cannot be larger than the soft limit.
///
/// # Errors
/// What the kernel says.
pub fn lift_descriptor_limit() -> io::Result<u64> {
    let mut limit = descriptor_limit()?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the limit is given by address for the duration of the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if result == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}

/// The limits of open descriptors.
pub(super) fn descriptor_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is given by address, to be written.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

/// Counts that `SO_MEMINFO` tells, and which of them are drops (`SK_MEMINFO_DROPS`).
const MEMINFO_LEN: usize = 9;
const MEMINFO_DROPS: usize = 8;
/// Bytes of `sockaddr_in`.
const V4_LEN: usize = size_of::<libc::sockaddr_in>();
/// Bytes of `sockaddr_in6`, the longest that we meet.
pub(super) const ADDRESS_LEN: usize = size_of::<libc::sockaddr_in6>();
/// Bytes of one `SCM_TIMESTAMPNS` control message.
pub(super) const CONTROL_LEN: usize = CONTROL_HEADER + size_of::<libc::timespec>();
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();

const _: () = assert!(ADDRESS_LEN == 28 && V4_LEN == 16);
const _: () = assert!(CONTROL_LEN == 32, "the layouts below are those of 64-bit Linux");

/// Bytes of the control messages that a datagram leaves with, most: its traffic class and the size of its segments.
const SEND_CONTROL_LEN: usize = 2 * (CONTROL_HEADER + size_of::<usize>());

/// Control messages as the kernel writes them.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(8))]
pub(super) struct RawControl(pub(super) [u8; CONTROL_LEN]);

/// Control messages for the kernel.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct SendControl(pub(super) [u8; SEND_CONTROL_LEN]);

impl SendControl {
    pub(super) const EMPTY: Self = Self([0; SEND_CONTROL_LEN]);

    /// Writes what a datagram to `remote` leaves with, and returns how long that is: its traffic class, but for
    /// 0, which is what a socket sends with by itself; and the bytes of each `segment` if it is to be cut up.
    pub(super) fn set(&mut self, remote: SocketAddr, class: u8, segment: Option<u16>) -> usize {
        let mut len = 0;
        if class != 0 {
            let (level, kind) = match remote {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            };
            len = self.put(len, level, kind, libc::c_int::from(class).to_ne_bytes());
        }
        if let Some(segment) = segment {
            len = self.put(len, libc::SOL_UDP, libc::UDP_SEGMENT, segment.to_ne_bytes());
        }
        len
    }

    /// Writes a message at `start`; where the next one would stand.
    fn put<const LEN: usize>(
        &mut self,
        start: usize,
        level: libc::c_int,
        kind: libc::c_int,
        value: [u8; LEN],
    ) -> usize {
        let len = CONTROL_HEADER + LEN;
        let bytes = &mut self.0[start..];
        bytes[..8].copy_from_slice(&len.to_ne_bytes());
        bytes[8..12].copy_from_slice(&level.to_ne_bytes());
        bytes[12..CONTROL_HEADER].copy_from_slice(&kind.to_ne_bytes());
        bytes[CONTROL_HEADER..len].copy_from_slice(&value);
        start + len.next_multiple_of(size_of::<usize>())
    }
}

/// A socket address as the kernel reads and writes it: `sockaddr_in` or `sockaddr_in6`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(4))]
pub(super) struct RawAddress(pub(super) [u8; ADDRESS_LEN]);

impl RawAddress {
    /// Writes `addr` and returns its length.
    pub(super) fn set(&mut self, addr: SocketAddr) -> libc::socklen_t {
        let bytes = &mut self.0;
        bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        match addr {
            SocketAddr::V4(v4) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET as libc::sa_family_t).to_ne_bytes());
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                bytes[8..V4_LEN].fill(0);
                V4_LEN as libc::socklen_t
            }
            SocketAddr::V6(v6) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET6 as libc::sa_family_t).to_ne_bytes());
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                ADDRESS_LEN as libc::socklen_t
            }
        }
    }
}

/// The address in `bytes`, a mapped one as IPv4. The flow label is left out, since a pair is known
/// by address and port alone.
pub(super) fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = libc::c_int::from(libc::sa_family_t::from_ne_bytes(field(bytes, 0)?));
    let port = u16::from_be_bytes(field(bytes, 2)?);
    match family {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(field::<4>(bytes, 4)?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(field::<16>(bytes, 8)?);
            let scope = u32::from_ne_bytes(field(bytes, 24)?);
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, port).into(),
                None => SocketAddrV6::new(ip, port, 0, scope).into(),
            })
        }
        _ => None,
    }
}

/// The kernel's receive time in control messages of which ours is the first; 0 if it is missing.
pub(super) fn read_timestamp(control: &[u8]) -> Nanos {
    let read = || {
        let level = i32::from_ne_bytes(field(control, 8)?);
        let kind = i32::from_ne_bytes(field(control, 12)?);
        let seconds = u64::from_ne_bytes(field(control, CONTROL_HEADER)?);
        let nanos = u64::from_ne_bytes(field(control, CONTROL_HEADER + 8)?);
        let ours = level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS;
        ours.then(|| Nanos(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)))
    };
    read().unwrap_or_default()
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_layout() {
        for text in ["192.0.2.7:4711", "[2001:db8::5]:65535", "[fe80::1%7]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddress::default();
            let len = raw.set(addr) as usize;
            assert_eq!(read_address(&raw.0[..len]), Some(addr));
            assert_eq!(read_address(&raw.0[..len / 2 - 1]), None);
        }
    }

    #[test]
    fn a_mapped_address_is_told_as_ipv4() {
        let mut raw = RawAddress::default();
        raw.set("[::ffff:192.0.2.7]:80".parse().unwrap());
        assert_eq!(read_address(&raw.0), Some("192.0.2.7:80".parse().unwrap()));
    }

    #[test]
    fn a_time_stamp_is_read_only_from_its_own_message() {
        let mut raw = RawControl::default();
        raw.0[0..8].copy_from_slice(&32u64.to_ne_bytes());
        raw.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        raw.0[12..16].copy_from_slice(&libc::SCM_TIMESTAMPNS.to_ne_bytes());
        raw.0[16..24].copy_from_slice(&3u64.to_ne_bytes());
        raw.0[24..32].copy_from_slice(&7u64.to_ne_bytes());
        assert_eq!(read_timestamp(&raw.0), Nanos(3_000_000_007));
        assert_eq!(read_timestamp(&raw.0[..31]), Nanos(0));
        raw.0[12] ^= 1;
        assert_eq!(read_timestamp(&raw.0), Nanos(0));
    }

    #[test]
    fn an_ipv6_socket_leaves_the_ipv4_port_alone() {
        let v6 = bind("[::]:0".parse().unwrap(), false).unwrap();
        let port = v6.local_addr().unwrap().port();
        assert!(bind(SocketAddr::from(([0, 0, 0, 0], port)), false).is_ok());
    }

    #[test]
    fn a_full_socket_counts_what_it_drops() {
        let (udp, sender) =
            [(); 2].map(|()| bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).into();
        SockRef::from(&udp).set_recv_buffer_size(4096).unwrap();
        assert_eq!(drops(&udp).unwrap(), 0);
        let to = udp.local_addr().unwrap();
        (0..64).for_each(|_| assert!(sender.send_to(&[0; 1000], to).is_ok()));
        udp.set_nonblocking(true).unwrap();
        let kept = std::iter::from_fn(|| udp.recv(&mut [0; 1000]).ok()).count();
        assert_eq!(kept + drops(&udp).unwrap() as usize, 64);
        assert!(kept < 64);
    }

    #[test]
    fn only_sockets_that_agree_share_a_port() {
        let first = bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(bind(addr, true).is_ok());
        assert!(bind(addr, false).is_err());
    }
}
