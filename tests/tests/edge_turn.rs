//! TURN by streams of the edge, with a real engine: over TCP and TLS, with TLS of other people's.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_control::config::Config;
use causeway_control::rest::tls::{Certificates, server_config};
use causeway_engine::command::{
    AllocationId, Command, Event, Punt, PuntKind, Returned, SocketId, WorkerId,
};
use causeway_engine::config::EngineConfig;
use causeway_engine::edge::EdgeConfig;
use causeway_engine::gate::{Gate, method};
use causeway_engine::relay::{Allocation, AllocationSpec, Framing, Rate, Relay};
use causeway_engine::stun::{self, Class, IntegrityKey, Message, TransactionId, Writer, attribute};
use causeway_engine::{Engine, Link};
use causeway_tests::https::{connect, secure};
use causeway_tests::peer::PATIENCE;

/// A channel of every client here.
const CHANNEL: u16 = 0x4000;
/// Datagrams that go each way.
const DATAGRAMS: u32 = 500;

struct Rig {
    engine: Option<Engine>,
    links: Vec<Link>,
    edge: Link,
    at: SocketAddr,
}

impl Rig {
    fn start() -> Self {
        let config = EngineConfig { workers: vec![None, None], ..EngineConfig::default() };
        let (mut engine, mut links) = Engine::start(&config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let certificates = Certificates::load(&Config::default()).unwrap();
        let edge = engine.start_edge(EdgeConfig {
            listeners: vec![listener],
            tls: Arc::new(server_config(&certificates).unwrap()),
            http: Box::new(Err),
            is_proxy: Box::new(|_| false),
            streams: 16,
            streams_per_address: 16,
            turn: true,
        });
        let mut edge = edge.unwrap();
        assert_eq!(edge.worker(), WorkerId::EDGE);
        for link in &mut links {
            for (from, to) in [(link.worker(), WorkerId::EDGE), (WorkerId::EDGE, link.worker())] {
                let (for_to, for_from) = engine.hop(from, to);
                let (own, other) =
                    if to == WorkerId::EDGE { (for_to, for_from) } else { (for_from, for_to) };
                tell(&mut edge, own);
                tell(link, other);
            }
        }
        let mut rig = Self { engine: Some(engine), links, edge, at };
        rig.tell(Command::SetGate(Box::new(Gate::new("realm", &[5; 20]))));
        rig
    }

    #[track_caller]
    fn tell(&mut self, command: Command) -> Returned {
        tell(&mut self.edge, command)
    }

    fn punt(&mut self) -> Punt {
        wait("a request", &mut self.edge, Link::punt)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop(std::mem::take(&mut self.links));
        }
    }
}

#[track_caller]
fn tell(link: &mut Link, command: Command) -> Returned {
    let ticket = link.send(command).unwrap();
    match wait("an answer", link, Link::event) {
        Event::Applied { ticket: answered, outcome: Ok(()), returned } if answered == ticket => {
            returned
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn wait<T>(what: &str, link: &mut Link, mut next: impl FnMut(&mut Link) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = next(link) {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came: {what}");
        let bell = link.wake().clone();
        let asleep = bell.prepare();
        if !link.has_input() {
            bell.wait(Duration::from_millis(100));
        }
        drop(asleep);
    }
}

fn request(method: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = [0; 512];
    let mut writer =
        Writer::begin(&mut out, Class::Request, method, TransactionId([7; 12])).unwrap();
    for (kind, value) in attributes {
        writer.attribute(*kind, &[value]).unwrap();
    }
    let len = if attributes.is_empty() {
        writer.len()
    } else {
        writer.finish(Some(&IntegrityKey::new("password"))).unwrap()
    };
    out[..len].to_vec()
}

fn read_stun(stream: &mut impl Read) -> Vec<u8> {
    let mut message = vec![0; stun::HEADER_LEN];
    stream.read_exact(&mut message).unwrap();
    let rest = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(stun::HEADER_LEN + rest, 0);
    stream.read_exact(&mut message[stun::HEADER_LEN..]).unwrap();
    message
}

/// Lets a client allocate, as far as the engine has to do with it, with a channel to `peer`.
fn allocate(
    rig: &mut Rig,
    stream: &mut (impl Read + Write),
    client: (SocketId, SocketAddr),
    relay: Relay,
    peer: SocketAddr,
) -> AllocationId {
    stream.write_all(&request(method::ALLOCATE, &[])).unwrap();
    let refused = read_stun(stream);
    assert_eq!(Message::parse(&refused).unwrap().error, Some(401));
    let nonce = stun::attributes(&refused).flatten().find(|held| held.kind == attribute::NONCE);
    let named = [(attribute::USERNAME, &b"user"[..]), (attribute::NONCE, nonce.unwrap().value)];
    stream.write_all(&request(method::ALLOCATE, &named)).unwrap();
    let punt = rig.punt();
    assert_eq!((punt.kind, (punt.socket, punt.remote)), (PuntKind::Turn, client));
    let allocation = AllocationId { thread: WorkerId::EDGE, slot: 0, generation: 0 };
    let state = Box::new(Allocation::new(&AllocationSpec {
        client,
        framing: Framing::Stream,
        relays: [relay].into_iter().collect(),
        dont_fragment: false,
        rate: Rate::default(),
    }));
    rig.tell(Command::AddAllocation { allocation, state });
    rig.tell(Command::Permit { allocation, peer: peer.ip() });
    rig.tell(Command::BindChannel { allocation, channel: CHANNEL, peer });
    let bytes = request(stun::BINDING, &[]);
    let (socket, remote) = client;
    rig.tell(Command::Transmit { socket, remote, bytes: bytes.clone().into() });
    assert_eq!(read_stun(stream), bytes);
    allocation
}

/// What the `n`th datagram is: of many lengths, none of them media.
fn datagram(n: u32) -> Vec<u8> {
    let len = 4 + (n as usize * 37) % 1400;
    let mut bytes = vec![20; len];
    bytes[len - 4..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn channel_data(data: &[u8]) -> Vec<u8> {
    let mut message = [CHANNEL.to_be_bytes(), (data.len() as u16).to_be_bytes()].concat();
    message.extend_from_slice(data);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

fn carry(rig: &mut Rig, mut stream: impl Read + Write, client: (SocketId, SocketAddr)) {
    let (relay, peer) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (relayed, far) = (relay.local_addr().unwrap(), peer.local_addr().unwrap());
    let socket = SocketId(0);
    rig.tell(Command::AddSocket { socket, udp: relay });
    let relay = Relay { relayed, socket: Some(socket) };
    let allocation = allocate(rig, &mut stream, client, relay, far);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        for n in 0..DATAGRAMS {
            let (len, from) = peer.recv_from(&mut bytes).unwrap();
            assert_eq!((&bytes[..len], from), (&datagram(n)[..], relayed));
            peer.send_to(&bytes[..len], from).unwrap();
        }
    });
    // As many in flight as no buffer on the way minds.
    const WINDOW: u32 = 32;
    for n in 0..DATAGRAMS + WINDOW {
        if n < DATAGRAMS {
            stream.write_all(&channel_data(&datagram(n))).unwrap();
        }
        if n >= WINDOW {
            let expected = channel_data(&datagram(n - WINDOW));
            let mut message = vec![0; expected.len()];
            stream.read_exact(&mut message).unwrap();
            assert_eq!(message, expected, "datagram {}", n - WINDOW);
        }
    }
    echo.join().unwrap();
    let Returned::Allocation(state) = rig.tell(Command::RemoveAllocation { allocation }) else {
        panic!("the allocation goes home")
    };
    let counters = state.counters();
    assert_eq!((counters.packets_in, counters.packets_out), (DATAGRAMS.into(), DATAGRAMS.into()));
    assert!(matches!(rig.tell(Command::RemoveSocket { socket }), Returned::Socket(_)));
    drop(stream);
    let closed = wait("the end of the stream", &mut rig.edge, Link::event);
    let Event::StreamClosed { socket, remote } = closed else { panic!("{closed:?}") };
    assert_eq!((socket, remote), client);
}

#[test]
fn datagrams_pass_over_tcp_in_order_and_none_is_lost() {
    let mut rig = Rig::start();
    let stream = connect(rig.at);
    let client = (SocketId::TCP, stream.local_addr().unwrap());
    carry(&mut rig, stream, client);
}

#[test]
fn datagrams_pass_over_tls_in_order_and_none_is_lost() {
    let mut rig = Rig::start();
    let tcp = connect(rig.at);
    let client = (SocketId::TLS, tcp.local_addr().unwrap());
    carry(&mut rig, secure(tcp), client);
}

#[test]
fn an_engine_ends_with_an_edge_that_nobody_has_told_to() {
    let rig = Rig::start();
    let _stream = connect(rig.at);
    let at = rig.at;
    drop(rig);
    assert!(std::net::TcpStream::connect(at).is_err());
}

/// Who says that nothing more comes waits for the same word before it lets go of its connection.
#[test]
fn goodbye_in_tls_is_answered_and_ends_the_stream() {
    let mut rig = Rig::start();
    let mut stream = secure(connect(rig.at));
    stream.write_all(&request(method::ALLOCATE, &[])).unwrap();
    let refusal = read_stun(&mut stream);
    let nonce = Message::parse(&refusal).unwrap().nonce.unwrap().to_vec();
    let named = [(attribute::USERNAME, &b"u"[..]), (attribute::NONCE, &nonce)];
    stream.write_all(&request(method::ALLOCATE, &named)).unwrap();
    let Punt { socket, remote, .. } = rig.punt();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut rest = Vec::new();
    // The socket is not shut down: only TLS has told of the end.
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    let closed = wait("its end", &mut rig.edge, Link::event);
    let expected = (socket, remote);
    assert!(
        matches!(closed, Event::StreamClosed { socket, remote } if (socket, remote) == expected),
        "{closed:?}"
    );
}
