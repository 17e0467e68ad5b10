//! What packets leave with: their traffic class, and whether they may be fragmented.

use std::os::fd::AsRawFd;

use super::*;

/// Expedited forwarding and assured forwarding 41 as the byte of the header (RFC 3246, RFC 2597).
const VOICE: u8 = 46 << 2;
const VIDEO: u8 = 34 << 2;
/// The MTU of the loopback of [`in_a_narrow_namespace`].
const NARROW: usize = 1400;

#[test]
fn each_packet_leaves_with_its_own_traffic_class() {
    on_each_backend(1024, |rig| {
        for (id, addr) in [(0, V4), (1, V6)] {
            rig.add(id, addr);
            let (peer, far) = peer(addr);
            tell_class(&peer);
            // More than one system call takes, so that places are used again.
            let classes = [VOICE, 0, VIDEO, VIDEO, 0, VOICE];
            for n in 0..150u32 {
                let class = classes[n as usize % classes.len()];
                rig.queue_classed(id, far, &pattern(n), class);
            }
            rig.turn(None);
            for n in 0..150u32 {
                let (payload, class) = receive_class(&peer);
                assert_eq!(payload, pattern(n));
                assert_eq!(class, classes[n as usize % classes.len()], "packet {n} to {far}");
            }
        }
        assert_eq!((rig.out.packets_out, rig.out.refused, rig.out.too_long), (300, 0, 0));
    });
}

#[test]
fn a_refused_packet_with_a_class_is_counted_and_its_neighbours_pass() {
    on_each_backend(64, |rig| {
        rig.add(0, V4);
        let (peer, far) = peer(V4);
        tell_class(&peer);
        // An IPv6 address cannot be reached from an IPv4 socket.
        let wrong: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        rig.queue_classed(0, wrong, b"lost", VOICE);
        rig.queue_classed(0, far, b"kept", VOICE);
        rig.turn(None);
        assert_eq!(receive_class(&peer), (b"kept".to_vec(), VOICE));
        rig.turn(None);
        assert_eq!((rig.out.packets_out, rig.out.refused), (2, 1));
    });
}

#[test]
fn a_packet_that_is_longer_than_its_path_is_fragmented_unless_that_is_forbidden() {
    in_a_narrow_namespace(|| {
        on_each_backend(64, |rig| {
            for (id, addr, headers) in [(0, V4, 28), (2, V6, 48)] {
                for (id, allowed) in [(id, true), (id + 1, false)] {
                    let udp = socket::bind(addr.parse().unwrap(), false).unwrap();
                    socket::set_fragmentation(&udp, allowed).unwrap();
                    rig.backend.add_socket(SocketId(id), udp).unwrap();
                    let (peer, far) = peer(addr);
                    let (fits, longer) = (NARROW - headers, NARROW - headers + 1);
                    let before = rig.out.too_long;
                    for class in [0, VOICE] {
                        rig.queue_classed(id, far, &vec![1; longer], class);
                        rig.queue_classed(id, far, &vec![2; fits], class);
                        rig.turn(None);
                        let mut buffer = [0; FRAME_SIZE];
                        if allowed {
                            assert_eq!(peer.recv(&mut buffer).unwrap(), longer);
                        }
                        assert_eq!(peer.recv(&mut buffer).unwrap(), fits);
                    }
                    rig.turn(None);
                    let refused = rig.out.too_long - before;
                    assert_eq!(refused, if allowed { 0 } else { 2 }, "{addr} {allowed}");
                }
            }
            assert_eq!(rig.out.refused, 0);
        });
    });
}

/// Runs `test` in a network namespace whose loopback is [`NARROW`]. Threads that `test` starts are in
/// it too. Without the right to make one it says so and passes, unless everything is required.
fn in_a_narrow_namespace(test: fn()) {
    let run = move || {
        // SAFETY: no memory is passed; what is unshared is this thread's namespace alone.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let denied = io::Error::last_os_error();
            assert!(std::env::var_os("CAUSEWAY_REQUIRE_ALL").is_none(), "no namespace: {denied}");
            eprintln!("skipped: no network namespace can be made here ({denied})");
            return;
        }
        raise_loopback();
        test();
    };
    std::thread::spawn(run).join().unwrap();
}

fn raise_loopback() {
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: ifreq is made of integers, pointers and bytes; all zero is legal.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_mtu = NARROW as libc::c_int;
    let ask = |name, request: &libc::ifreq| {
        // SAFETY: both requests read an ifreq, whose address is given.
        let result = unsafe { libc::ioctl(udp.as_raw_fd(), name, std::ptr::from_ref(request)) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    };
    ask(libc::SIOCSIFMTU, &request);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    ask(libc::SIOCSIFFLAGS, &request);
}

/// Has the kernel say with which traffic class a datagram came.
fn tell_class(peer: &UdpSocket) {
    let on: libc::c_int = 1;
    let (level, name) = match peer.local_addr().unwrap() {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVTOS),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    };
    let (value, len) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
    // SAFETY: the option's value is an int, and its address and size are given.
    let result = unsafe { libc::setsockopt(peer.as_raw_fd(), level, name, value, len) };
    assert_eq!(result, 0);
}

/// The next datagram and the class that it came with.
fn receive_class(peer: &UdpSocket) -> (Vec<u8>, u8) {
    let (mut payload, mut control) = (vec![0u8; FRAME_SIZE], [0u64; 8]);
    let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: msghdr is made of integers and pointers; all zero is the empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: vector and control buffer are as long as said and live until the call is over.
    let len = unsafe { libc::recvmsg(peer.as_raw_fd(), &raw mut message, 0) };
    payload.truncate(usize::try_from(len).expect("a datagram comes"));
    // SAFETY: the kernel has filled in the control messages that `message` still points at.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() }.expect("a class");
    let kinds = [(libc::IPPROTO_IP, libc::IP_TOS), (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)];
    assert!(kinds.contains(&(header.cmsg_level, header.cmsg_type)));
    // SAFETY: the message's data starts there and is a byte or an int, whose first byte on a
    // little-endian machine is the class.
    let class = unsafe { *libc::CMSG_DATA(header) };
    (payload, class)
}

/// Packets of a frame of video to one far end, and one of audio to another among them; says what came.
fn burst(rig: &mut Rig, sockets: &[(u16, SocketAddr)], far: &UdpSocket) -> Vec<Vec<u8>> {
    let to = far.local_addr().unwrap();
    for (id, other) in sockets {
        for n in 0..9u8 {
            let len = if n == 8 { 300 } else { 1100 };
            rig.queue(*id, to, &vec![n; len]);
            rig.queue(*id, *other, &[n; 172]);
        }
    }
    // The kernel's word on the first comes with the turn, and what it refused leaves with the next.
    for _ in 0..3 {
        rig.turn(None);
    }
    let mut buffer = [0; FRAME_SIZE];
    let mut receive = || far.recv_from(&mut buffer).map(|(len, _)| buffer[..len].to_vec()).unwrap();
    (0..9 * sockets.len()).map(|_| receive()).collect()
}

#[test]
fn a_burst_to_one_destination_arrives_whole_and_in_its_order() {
    on_each_backend(256, |rig| {
        rig.add(0, V4);
        let ((far, _), (_other, other)) = (peer(V4), peer(V4));
        let got = burst(rig, &[(0, other)], &far);
        let lens = got.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lens, [1100, 1100, 1100, 1100, 1100, 1100, 1100, 1100, 300]);
        assert!((0u8..).zip(&got).all(|(n, bytes)| bytes[0] == n && bytes[bytes.len() - 1] == n));
        assert_eq!((rig.out.packets_out, rig.out.refused), (18, 0));
    });
}

#[test]
fn a_burst_leaves_in_one_message_where_it_may() {
    let probed = probe::probe(BackendChoice::Auto).unwrap();
    if probed.kind != BackendKind::Uring {
        return;
    }
    for segments in [true, false] {
        let features = Features { segments, ..probed.features };
        let mut rig = Rig::new(BackendKind::Uring, features, 256);
        rig.add(0, V6);
        let ((far, _), (_other, other)) = (peer(V6), peer(V6));
        burst(&mut rig, &[(0, other)], &far);
        assert_eq!(rig.out.joined, if segments { 18 } else { 0 });
        rig.finish();
    }
}

/// A socket that sends no checksums can cut nothing up, as a device without them cannot: `EIO`.
#[test]
fn what_is_refused_as_one_message_leaves_packet_by_packet() {
    let probed = probe::probe(BackendChoice::Auto).unwrap();
    if probed.kind != BackendKind::Uring {
        return;
    }
    let mut rig = Rig::new(BackendKind::Uring, probed.features, 256);
    let udp = socket::bind(V4.parse().unwrap(), false).unwrap();
    socket::set_option(&udp, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    rig.backend.add_socket(SocketId(7), udp).unwrap();
    let ((far, _), (_other, other)) = (peer(V4), peer(V4));
    for _ in 0..2 {
        let got = burst(&mut rig, &[(7, other)], &far);
        assert!((0u8..).zip(&got).all(|(n, bytes)| bytes[0] == n), "the order is kept");
    }
    assert_eq!((rig.out.packets_out, rig.out.refused, rig.out.joined), (36, 0, 0));
    rig.finish();
}
