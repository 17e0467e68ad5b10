//! Two ways for a datagram on a port that all workers share to its worker: by the kernel, which needs a connected
//! socket for each far address, or by a ring from the worker that took it in. What the first costs is paid by
//! whatever comes from an address without such a socket: checks, clients of STUN and TURN, floods.

mod sender;

use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use causeway_engine::command::{Command, SocketId, WorkerId};
use causeway_engine::packet::Nanos;
use causeway_engine::srtp::Suite;
use causeway_engine::sys::socket;
use causeway_engine::worker::bare::bridge;
use causeway_engine::worker::bare::{Bare, Far};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use self::sender::Sender;

const SUITE: Suite = Suite::AeadAes128Gcm;
const WORKERS: [WorkerId; 2] = [WorkerId(0), WorkerId(1)];
/// Connected sockets on the port.
const CONNECTED: [usize; 4] = [0, 100, 1000, 4000];
/// Bytes of a datagram: G.711 of 20 ms.
const LEN: usize = 172;
/// Packets that a turn of a busy worker brings.
const BATCH: usize = 16;
const NOW: Nanos = Nanos::from_millis(100_000);

criterion_group!(benches, by_the_kernel, by_a_ring);
criterion_main!(benches);

/// Send and receive on loopback, from an address without a socket of its own and from one with.
fn by_the_kernel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("by the kernel");
    group.throughput(Throughput::Elements(1));
    for count in CONNECTED {
        let Ok(mut port) = Port::new(count) else {
            println!("no room for {count} sockets: raise the limit of descriptors (ulimit -n)");
            return;
        };
        group.bench_function(format!("stranger/{count} connected"), |bencher| {
            bencher.iter(|| port.pass(false));
        });
        if count > 0 {
            group.bench_function(format!("connected/{count} connected"), |bencher| {
                bencher.iter(|| port.pass(true));
            });
        }
    }
}

/// A UDP port with two workers' sockets and connected ones.
struct Port {
    shared: [UdpSocket; 2],
    connected: Vec<(UdpSocket, UdpSocket)>,
    stranger: UdpSocket,
    address: SocketAddr,
    next: usize,
}

impl Port {
    fn new(count: usize) -> io::Result<Self> {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = socket::bind(local, true)?;
        let address = first.local_addr()?;
        let shared = [first, socket::bind(address, true)?];
        let connect = |_| {
            let far = UdpSocket::bind(local)?;
            let near = socket::bind(address, true)?;
            near.connect(far.local_addr()?)?;
            near.set_nonblocking(true)?;
            Ok((near, far))
        };
        let connected = (0..count).map(connect).collect::<io::Result<_>>()?;
        shared.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        Ok(Self { shared, connected, stranger: UdpSocket::bind(local)?, address, next: 0 })
    }

    fn pass(&mut self, is_connected: bool) {
        let mut buffer = [0; LEN];
        let from = if is_connected {
            self.next = (self.next + 1) % self.connected.len();
            &self.connected[self.next].1
        } else {
            &self.stranger
        };
        from.send_to(&buffer, self.address).expect("loopback takes it");
        let came = if is_connected {
            self.connected[self.next].0.recv(&mut buffer).is_ok()
        } else {
            self.shared.iter().any(|socket| socket.recv(&mut buffer).is_ok())
        };
        assert!(came, "to the socket that it is for");
    }
}

/// A batch of a call's packets, walked by its own worker, and by one that hands them on.
fn by_a_ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("by a ring");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, taken_in_by) in [("walked where it came in", 1), ("handed on", 0)] {
        let mut pair = Pair::new();
        let mut sender = Sender::new(far(), LEN);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || (0..BATCH).map(|_| sender.next().to_vec()).collect::<Vec<_>>(),
                |packets| assert_eq!(pair.walk(taken_in_by, packets), BATCH),
                BatchSize::NumIterations(64),
            );
        });
    }
}

/// Two workers; the second has a call on a shared port.
struct Pair([Bare; 2]);

impl Pair {
    fn new() -> Self {
        let mut workers = WORKERS.map(|id| Bare::new(id, 2, 256).expect("memory"));
        let [one, other] = &mut workers;
        one.join(other);
        for worker in &mut workers {
            worker.apply(Command::ShareSockets { sockets: 0..1 }).0.expect("a worker shares");
        }
        let fars = [far(), Far::secure(1, 5000, SUITE)];
        for (_, command) in bridge::commands([&fars[0], &fars[1]], [WORKERS[1]; 2]) {
            workers[1].apply(command).0.expect("the worker is empty");
        }
        let mut pair = Self(workers);
        // A check says whose the address is.
        let mut check = [0; LEN];
        let len = fars[0].check(&mut check, 1, true).expect("it is behind ICE");
        pair.walk(0, &[check[..len].to_vec()]);
        pair
    }

    /// Says how many went on to the second leg.
    fn walk(&mut self, taken_in_by: usize, packets: &[Vec<u8>]) -> usize {
        for packet in packets {
            assert!(self.0[taken_in_by].receive(SocketId(0), REMOTE.into(), packet, NOW));
        }
        self.0.iter_mut().skip(taken_in_by).for_each(|worker| worker.pass(NOW));
        let mut media = 0;
        self.0[1].sent(|_, remote, bytes| {
            black_box(bytes);
            media += usize::from(remote != REMOTE.into());
        });
        media
    }
}

/// Where the first leg's far end is.
const REMOTE: ([u8; 4], u16) = ([127, 0, 0, 1], 4000);

/// The first leg's far end, behind ICE.
fn far() -> Far {
    Far::secure(0, REMOTE.1, SUITE).with_ice("01bench")
}
