//! One body per behaviour, run on each backend; frames are counted at the end of each.

use std::net::SocketAddr;
use std::sync::mpsc;

use super::*;

mod egress;

use crate::config::{BackendChoice, FRAME_SIZE, HEAD_ROOM, PAYLOAD_MAX, TAIL_ROOM, TX_BATCH};
use crate::packet::Nanos;

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
const LONG: Duration = Duration::from_secs(20);

/// A worker without a worker.
struct Rig {
    backend: Backend,
    frames: FramePool,
    rx: ArrayVec<Packet, RX_BATCH>,
    out: IoCounters,
    wake: Wake,
}

/// Runs `test` with io_uring, with io_uring as of the baseline kernel, and with recvmmsg.
fn on_each_backend(frames: usize, test: fn(&mut Rig)) {
    let mut kinds = vec![(BackendKind::Mmsg, Features::default())];
    let probed = probe::probe(BackendChoice::Auto).unwrap();
    if probed.kind == BackendKind::Uring {
        kinds.push((probed.kind, Features::default()));
        kinds.push((probed.kind, probed.features));
    }
    for (kind, features) in kinds {
        let run = move || {
            let mut rig = Rig::new(kind, features, frames);
            test(&mut rig);
            rig.finish();
        };
        if std::thread::spawn(run).join().is_err() {
            panic!("failed on {} with {features:?}", kind.label());
        }
    }
}

impl Rig {
    fn new(kind: BackendKind, features: Features, frames: usize) -> Self {
        let mut frames = FramePool::new(frames).unwrap();
        let wake = Wake::new().unwrap();
        let backend = Backend::new(kind, features, &mut frames, &wake).unwrap();
        Self { backend, frames, rx: ArrayVec::new(), out: IoCounters::default(), wake }
    }

    fn add(&mut self, id: u16, addr: &str) -> SocketAddr {
        let udp = socket::bind(addr.parse().unwrap(), false).unwrap();
        let local = udp.local_addr().unwrap();
        self.backend.add_socket(SocketId(id), udp).unwrap();
        local
    }

    fn turn(&mut self, wait: Option<Duration>) {
        self.backend.turn(&mut self.frames, &mut self.rx, wait, &mut self.out).unwrap();
        let accounted = self.frames.free() + self.backend.held() + self.rx.len();
        assert!(accounted <= self.frames.capacity(), "a frame is in two places");
    }

    /// Turns until `count` packets have come.
    fn receive(&mut self, count: usize) -> Vec<Packet> {
        let mut packets = Vec::new();
        while packets.len() < count {
            self.turn(Some(LONG));
            assert!(!self.rx.is_empty() || self.out.rearms > 0, "nothing came");
            packets.extend(self.rx.drain(..));
        }
        packets
    }

    fn queue(&mut self, socket: u16, remote: SocketAddr, payload: &[u8]) {
        self.queue_classed(socket, remote, payload, 0);
    }

    fn queue_classed(&mut self, socket: u16, remote: SocketAddr, payload: &[u8], class: u8) {
        let frame = self.frames.take().unwrap();
        let (start, len) = (HEAD_ROOM as u16, payload.len() as u16);
        let socket = SocketId(socket);
        let received = Nanos(0);
        let packet = Packet { frame, start, len, socket, remote, traffic_class: class, received };
        packet.payload_mut(&mut self.frames).copy_from_slice(payload);
        self.backend.queue(packet);
    }

    fn give(&mut self, packets: Vec<Packet>) {
        packets.into_iter().for_each(|packet| self.frames.give(packet.frame));
    }

    fn closed(&mut self) -> (SocketId, UdpSocket) {
        loop {
            if let Some(closed) = self.backend.closed() {
                return closed;
            }
            self.turn(Some(Duration::from_millis(10)));
        }
    }

    /// Every frame must be where it is said to be, and come back.
    fn finish(mut self) {
        self.rx.drain(..).for_each(|packet| self.frames.give(packet.frame));
        let capacity = self.frames.capacity();
        assert_eq!(self.frames.free() + self.backend.held(), capacity, "a frame was lost");
        let sockets = self.backend.sockets();
        assert_eq!(self.backend.shut_down(&mut self.frames).len(), sockets);
        assert_eq!(self.frames.free(), capacity, "a frame was not handed back");
    }
}

/// A far end with room for whatever a test sends to it.
fn peer(addr: &str) -> (UdpSocket, SocketAddr) {
    let udp = socket::bind(addr.parse().unwrap(), false).unwrap();
    socket2::SockRef::from(&udp).set_recv_buffer_size(4 << 20).unwrap();
    udp.set_read_timeout(Some(LONG)).unwrap();
    let local = udp.local_addr().unwrap();
    (udp, local)
}

/// A payload that only `n` has, of a length that depends on it.
fn pattern(n: u32) -> Vec<u8> {
    let len = 4 + (n as usize * 37) % 1300;
    n.to_be_bytes().into_iter().chain((4..len).map(|at| (at as u32 ^ n) as u8)).collect()
}

#[test]
fn twenty_thousand_datagrams_go_there_and_back() {
    on_each_backend(1024, |rig| {
        const BURST: u32 = 50;
        for (id, addr) in [(0, V4), (3, V6)] {
            let local = rig.add(id, addr);
            let (peer, far) = peer(addr);
            let mut buffer = [0; FRAME_SIZE];
            for first in (0..20_000u32).step_by(BURST as usize) {
                let sent = cpu::clock_realtime();
                for n in first..first + BURST {
                    peer.send_to(&pattern(n), local).unwrap();
                }
                for (n, packet) in (first..).zip(rig.receive(BURST as usize)) {
                    assert_eq!(packet.payload(&rig.frames), pattern(n));
                    assert_eq!((packet.socket, packet.remote), (SocketId(id), far));
                    assert!(usize::from(packet.start) >= HEAD_ROOM);
                    assert!(usize::from(packet.start + packet.len) + TAIL_ROOM <= FRAME_SIZE);
                    assert!(packet.received >= sent && packet.received <= cpu::clock_realtime());
                    rig.backend.queue(packet);
                }
                rig.backend.submit(&mut rig.frames, &mut rig.out);
                for n in first..first + BURST {
                    let (len, from) = peer.recv_from(&mut buffer).unwrap();
                    assert_eq!((&buffer[..len], from), (&pattern(n)[..], local));
                }
            }
        }
        assert_eq!((rig.out.packets_out, rig.out.refused, rig.out.truncated), (40_000, 0, 0));
        assert_eq!(rig.out.rearms, 0);
    });
}

#[test]
fn what_was_queued_is_sent_by_the_turn_that_waits() {
    on_each_backend(64, |rig| {
        let local = rig.add(0, V4);
        rig.queue(0, local, b"to myself");
        let packets = rig.receive(1);
        assert_eq!(packets[0].payload(&rig.frames), b"to myself");
        rig.give(packets);
        assert_eq!((rig.out.packets_out, rig.out.bytes_out), (1, 9));
    });
}

#[test]
fn datagrams_that_do_not_fit_and_empty_ones_are_counted_and_cost_no_frame() {
    on_each_backend(64, |rig| {
        let local = rig.add(0, V4);
        let (peer, _) = peer(V4);
        for len in [PAYLOAD_MAX, PAYLOAD_MAX + 1, 9000, 0, 0, 5] {
            peer.send_to(&vec![0xA5; len], local).unwrap();
        }
        let packets = rig.receive(2);
        let lens: Vec<_> = packets.iter().map(|packet| usize::from(packet.len)).collect();
        assert_eq!((lens, rig.out.truncated), (vec![PAYLOAD_MAX, 5], 4));
        assert!(packets[0].payload(&rig.frames).iter().all(|&byte| byte == 0xA5));
        rig.give(packets);
    });
}

#[test]
fn a_worker_that_runs_out_of_frames_recovers_and_loses_nothing() {
    on_each_backend(16, |rig| {
        const COUNT: u32 = 200;
        let local = rig.add(0, V4);
        let (peer, _) = peer(V4);
        for n in 0..COUNT {
            peer.send_to(&pattern(n), local).unwrap();
        }
        let mut kept = Vec::new();
        for _ in 0..1000 {
            rig.turn(None);
            kept.extend(rig.rx.drain(..));
        }
        assert!(rig.out.no_frames > 0, "it never ran out");
        assert_eq!(kept.len(), 16, "every frame but none twice");
        assert_eq!((rig.frames.free(), rig.backend.held()), (0, 0));
        rig.turn(Some(Duration::from_millis(1)));
        let mut next = 0;
        while next < COUNT {
            for packet in kept.drain(..) {
                assert_eq!(packet.payload(&rig.frames), pattern(next));
                next += 1;
                rig.frames.give(packet.frame);
            }
            if next < COUNT {
                kept = rig.receive(1);
            }
        }
    });
}

#[test]
fn a_removed_socket_comes_back_and_delivers_nothing_any_more() {
    on_each_backend(64, |rig| {
        let local = rig.add(7, V4);
        let (peer, far) = peer(V4);
        peer.send_to(b"before", local).unwrap();
        let packets = rig.receive(1);
        rig.give(packets);

        rig.queue(7, far, b"farewell");
        assert!(rig.backend.remove_socket(SocketId(7)));
        assert!(!rig.backend.remove_socket(SocketId(7)));
        peer.send_to(b"meanwhile", local).unwrap();
        let (id, udp) = rig.closed();
        assert_eq!((id, udp.local_addr().unwrap()), (SocketId(7), local));
        let mut buffer = [0; 16];
        assert_eq!(peer.recv(&mut buffer).unwrap(), b"farewell".len());

        peer.send_to(b"after", local).unwrap();
        (0..10).for_each(|_| rig.turn(None));
        assert!(rig.rx.is_empty());
        let mut last = Vec::new();
        while let Ok(len) = udp.recv(&mut buffer) {
            last = buffer[..len].to_vec();
        }
        assert_eq!(last, b"after");
        assert_eq!(rig.backend.sockets(), 0);

        rig.backend.add_socket(SocketId(7), udp).unwrap();
        peer.send_to(b"again", local).unwrap();
        let packets = rig.receive(1);
        assert_eq!(packets[0].payload(&rig.frames), b"again");
        rig.give(packets);
    });
}

#[test]
fn a_socket_that_was_removed_at_once_comes_back() {
    on_each_backend(64, |rig| {
        let local = rig.add(1, V4);
        assert!(rig.backend.remove_socket(SocketId(1)));
        assert_eq!(rig.closed().1.local_addr().unwrap(), local);
    });
}

#[test]
fn a_socket_comes_back_even_while_there_are_no_frames() {
    on_each_backend(8, |rig| {
        let local = rig.add(1, V4);
        let (peer, _) = peer(V4);
        for n in 0..20 {
            peer.send_to(&pattern(n), local).unwrap();
        }
        while rig.out.no_frames == 0 {
            rig.turn(None);
        }
        assert!(rig.backend.remove_socket(SocketId(1)));
        assert_eq!(rig.closed().1.local_addr().unwrap(), local);
    });
}

#[test]
fn a_taken_slot_and_an_absurd_one_refuse_the_socket() {
    on_each_backend(64, |rig| {
        rig.add(1, V4);
        let udp = || socket::bind(V4.parse().unwrap(), false).unwrap();
        let (_, error) = rig.backend.add_socket(SocketId(1), udp()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(rig.backend.add_socket(SocketId(u16::MAX), udp()).is_err());
        assert!(!rig.backend.remove_socket(SocketId(2)));
        assert_eq!(rig.backend.sockets(), 1);
    });
}

#[test]
fn hundreds_of_sockets_receive_and_come_back() {
    on_each_backend(2048, |rig| {
        const SOCKETS: u16 = 300;
        let (peer, _) = peer(V4);
        let locals: Vec<_> = (0..SOCKETS).map(|id| rig.add(id, V4)).collect();
        for (id, &local) in (0u16..).zip(&locals) {
            peer.send_to(&id.to_be_bytes(), local).unwrap();
        }
        let packets = rig.receive(SOCKETS.into());
        for packet in &packets {
            assert_eq!(packet.payload(&rig.frames), packet.socket.0.to_be_bytes());
        }
        rig.give(packets);
        assert!((0..SOCKETS).all(|id| rig.backend.remove_socket(SocketId(id))));
        let mut back: Vec<_> = (0..SOCKETS).map(|_| rig.closed().0.0).collect();
        back.sort_unstable();
        assert_eq!(back, (0..SOCKETS).collect::<Vec<_>>());
    });
}

#[test]
fn a_flooded_socket_does_not_hold_up_the_others() {
    on_each_backend(1024, |rig| {
        let (flooded, quiet) = (rig.add(0, V4), rig.add(1, V4));
        let (peer, _) = peer(V4);
        for n in 0..400 {
            peer.send_to(&pattern(n), flooded).unwrap();
        }
        peer.send_to(b"me too", quiet).unwrap();
        let mut kept = Vec::new();
        while !kept.iter().any(|packet: &Packet| packet.socket == SocketId(1)) {
            rig.turn(Some(LONG));
            kept.extend(rig.rx.drain(..));
        }
        assert!(kept.len() < 400, "it came last");
        rig.give(kept);
    });
}

#[test]
fn a_full_batch_over_several_sockets_keeps_each_sockets_order() {
    on_each_backend(2048, |rig| {
        let locals: Vec<_> = (0..4).map(|id| rig.add(id, V4)).collect();
        let (peer, far) = peer(V4);
        for n in 0..TX_BATCH as u32 {
            rig.queue((n % 4) as u16, far, &n.to_be_bytes());
        }
        assert_eq!(rig.backend.room(), 0);
        rig.backend.submit(&mut rig.frames, &mut rig.out);
        assert_eq!(rig.backend.room(), TX_BATCH);
        let mut next = [0, 1, 2, 3];
        for _ in 0..TX_BATCH {
            let mut buffer = [0; 4];
            let (_, from) = peer.recv_from(&mut buffer).unwrap();
            let socket = locals.iter().position(|&local| local == from).unwrap();
            assert_eq!(u32::from_be_bytes(buffer), next[socket]);
            next[socket] += 4;
        }
    });
}

#[test]
fn what_cannot_be_sent_is_counted_and_does_not_hold_up_the_rest() {
    on_each_backend(64, |rig| {
        rig.add(0, V4);
        let (peer, far) = peer(V4);
        rig.queue(0, far, b"first");
        rig.queue(0, "[::1]:9".parse().unwrap(), b"wrong family");
        rig.queue(5, far, b"no socket");
        rig.queue(0, far, b"second");
        rig.turn(None);
        rig.turn(None);
        assert_eq!((rig.out.refused, rig.out.closed_socket, rig.out.packets_out), (1, 1, 3));
        let mut buffer = [0; 16];
        assert_eq!(peer.recv(&mut buffer).unwrap(), b"first".len());
        assert_eq!(peer.recv(&mut buffer).unwrap(), b"second".len());
    });
}

#[test]
fn an_error_that_a_peer_left_on_a_connected_socket_does_not_stop_it() {
    on_each_backend(64, |rig| {
        let (far_socket, far) = peer(V4);
        let udp = socket::bind(V4.parse().unwrap(), false).unwrap();
        udp.connect(far).unwrap();
        let local = udp.local_addr().unwrap();
        rig.backend.add_socket(SocketId(0), udp).unwrap();
        rig.turn(None);
        drop(far_socket);
        for _ in 0..3 {
            rig.queue(0, far, b"into the void");
            rig.turn(None);
            rig.turn(None);
        }
        let again = socket::bind(far, false).unwrap();
        again.send_to(b"back", local).unwrap();
        let packets = rig.receive(1);
        assert_eq!(packets[0].payload(&rig.frames), b"back");
        rig.give(packets);
    });
}

#[test]
fn the_bell_ends_a_wait_each_time() {
    on_each_backend(64, |rig| {
        let bell = rig.wake.clone();
        let (asleep, told) = mpsc::channel();
        let ringer = std::thread::spawn(move || told.iter().for_each(|()| bell.wake()));
        for _ in 0..20 {
            let wake = rig.wake.clone();
            let guard = wake.prepare();
            asleep.send(()).unwrap();
            let before = cpu::clock_monotonic();
            rig.turn(Some(LONG));
            assert!(cpu::clock_monotonic().since(before) < LONG.as_nanos() as u64);
            drop(guard);
        }
        drop(asleep);
        ringer.join().unwrap();
        assert!(rig.rx.is_empty());
    });
}

#[test]
fn a_backend_that_is_dropped_lets_go_of_its_sockets() {
    on_each_backend(64, |rig| {
        let features = probe::probe(BackendChoice::Auto).unwrap().features;
        let mut other = Rig::new(rig.backend.kind(), features, 64);
        let local = other.add(0, V4);
        other.turn(None);
        drop(other);
        let mut bound = socket::bind(local, false);
        while bound.is_err() {
            std::thread::yield_now();
            bound = socket::bind(local, false);
        }
    });
}
