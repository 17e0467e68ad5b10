//! An edge that is turned by hand, with clients on loopback and a worker that is only its rings.

mod ice;
mod peers;
mod streams;
mod turn;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use mio::Events;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Edge, EdgeConfig, Rings};
use crate::command::{Command, Event, Punt, Refusal, Returned, WorkerId};
use crate::config::{EVENT_RING, PUNT_RING};
use crate::doors::Doors;
use crate::error::DropReason;
use crate::hop::{self, Hop, HopKind, Hops};
use crate::packet::Nanos;
use crate::ring::{CommandSender, Receiver, command_ring, ring};
use crate::stun::{self, Class, IntegrityKey, TransactionId, Writer, attribute};
use crate::sys::wake::Wake;

/// The worker that the edge is joined with.
const WORKER: WorkerId = WorkerId(3);
/// Turns, each a tenth of a second at most, until a test gives up.
const PATIENCE: usize = 200;
/// Streams of the edge, in all and of one address.
const STREAMS: (usize, usize) = (8, 4);
/// Who is a proxy.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

struct Rig {
    edge: Edge,
    wake: Wake,
    polled: Events,
    commands: CommandSender,
    events: Receiver<Event>,
    punts: Receiver<Punt>,
    doors: Arc<Doors>,
    at: SocketAddr,
    worker: Hops,
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn tls() -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_cert_resolver(Arc::new(NoCertificate)))
}

impl Rig {
    fn new() -> Self {
        Self::with(false)
    }

    /// One that serves TURN, or not.
    fn with(turn: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let config = EdgeConfig {
            listeners: vec![listener],
            tls: tls(),
            http: Box::new(Err),
            is_proxy: Box::new(|source| source == PROXY),
            streams: STREAMS.0,
            streams_per_address: STREAMS.1,
            turn,
        };
        let (wake, control, doors) =
            (Wake::new().unwrap(), Wake::new().unwrap(), Arc::new(Doors::new(8)));
        let (commands, command_receiver) = command_ring(0);
        let (event_sender, events) = ring(EVENT_RING);
        let (punt_sender, punts) = ring(PUNT_RING);
        let rings = Rings {
            commands: command_receiver,
            events: event_sender,
            punts: punt_sender,
            control,
            doors: doors.clone(),
        };
        let edge = Edge::new(config, rings, &wake).unwrap();
        let mut rig = Self {
            edge,
            wake,
            polled: Events::with_capacity(64),
            commands,
            events,
            punts,
            doors,
            at,
            worker: Hops::default(),
        };
        rig.join();
        rig
    }

    fn join(&mut self) {
        let (to_worker, from_edge) = hop::pair(Wake::new().unwrap());
        let (to_edge, from_worker) = hop::pair(self.wake.clone());
        assert!(self.worker.add_to(WorkerId::EDGE, to_edge).is_ok());
        assert!(self.worker.add_from(WorkerId::EDGE, from_edge).is_ok());
        self.apply(Command::AddHopTo { to: WORKER, end: to_worker }).unwrap();
        self.apply(Command::AddHopFrom { from: WORKER, end: from_worker }).unwrap();
    }

    fn turn(&mut self) {
        assert!(self.edge.turn(&self.wake, &mut self.polled).is_continue());
    }

    /// Turns until there is something.
    #[track_caller]
    fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..PATIENCE {
            if let Some(found) = found(self) {
                return found;
            }
            self.turn();
        }
        panic!("it never came to it: {what}");
    }

    #[track_caller]
    fn apply(&mut self, command: Command) -> Result<Returned, Refusal> {
        let ticket = self.commands.try_send(command).unwrap();
        self.until("an answer", |rig| match rig.events.pop()? {
            Event::Applied { ticket: answered, outcome, returned } if answered == ticket => {
                Some(outcome.map(|()| returned))
            }
            other => panic!("{other:?}"),
        })
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.edge.counters.drops.of(reason)
    }

    #[track_caller]
    fn wait_for_drop(&mut self, reason: DropReason) {
        self.until(reason.label(), |rig| (rig.drops(reason) > 0).then_some(()));
    }

    /// A client whose reads do not wait.
    fn client(&mut self) -> Client {
        let tcp = TcpStream::connect(self.at).unwrap();
        tcp.set_nonblocking(true).unwrap();
        Client { tcp }
    }

    /// A client that comes from the proxy's address.
    fn proxied(&mut self) -> Client {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(PROXY, 0).into()).unwrap();
        socket.connect(&self.at.into()).unwrap();
        let tcp: TcpStream = socket.into();
        tcp.set_nonblocking(true).unwrap();
        Client { tcp }
    }

    /// Reads exactly so many bytes.
    #[track_caller]
    fn read(&mut self, client: &mut Client, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.until("bytes for the client", |_| {
            if bytes.len() == len {
                return Some(());
            }
            let mut some = vec![0; len - bytes.len()];
            match client.tcp.read(&mut some) {
                Ok(0) => panic!("closed after {bytes:?}"),
                Ok(read) => bytes.extend_from_slice(&some[..read]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            (bytes.len() == len).then_some(())
        });
        bytes
    }

    /// Reads a STUN message.
    #[track_caller]
    fn read_stun(&mut self, client: &mut Client) -> Vec<u8> {
        let head = self.read(client, stun::HEADER_LEN);
        let rest = usize::from(u16::from_be_bytes([head[2], head[3]]));
        [head, self.read(client, rest)].concat()
    }

    /// Reads until the client is closed, and says what came.
    #[track_caller]
    fn read_to_end(&mut self, client: &mut Client) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.until("the end of the stream", |_| {
            let mut some = [0; 4096];
            match client.tcp.read(&mut some) {
                Ok(0) => return Some(()),
                Ok(read) => bytes.extend_from_slice(&some[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            None
        });
        bytes
    }

    /// What the worker is handed next.
    #[track_caller]
    fn hopped(&mut self) -> (HopKind, Vec<u8>) {
        let Hop { kind, bytes, .. } =
            self.until("a packet for the worker", |rig| rig.worker.pop(0));
        (kind, bytes.to_vec())
    }

    /// Hands the edge a packet of the worker's.
    fn hop(&mut self, kind: HopKind, bytes: &[u8]) {
        self.worker.push(Hop::new(kind, Nanos(0), bytes)).unwrap();
        self.worker.wake();
    }

    /// Lets time pass.
    fn wait(&mut self, time: Nanos) {
        self.edge.now = self.edge.now.plus(time.0 + 1);
        self.edge.swept = Nanos(0);
        self.edge.sweep();
        self.edge.flush();
    }
}

struct Client {
    tcp: TcpStream,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).unwrap();
    }

    fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }
}

/// A request of `method` with these attributes, and MESSAGE-INTEGRITY of some key.
fn request(method: u16, attributes: &[(u16, &[u8])], signed: bool) -> Vec<u8> {
    let mut out = [0; 512];
    let mut writer =
        Writer::begin(&mut out, Class::Request, method, TransactionId([7; 12])).unwrap();
    for (kind, value) in attributes {
        writer.attribute(*kind, &[value]).unwrap();
    }
    let len = match signed {
        true => writer.finish(Some(&IntegrityKey::new("password"))).unwrap(),
        false => writer.len(),
    };
    out[..len].to_vec()
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

/// An attribute's value.
fn value(message: &[u8], kind: u16) -> Option<Vec<u8>> {
    let attributes = stun::attributes(message).map(Option::unwrap);
    attributes.into_iter().find(|held| held.kind == kind).map(|held| held.value.to_vec())
}

fn check(ufrag: &str) -> Vec<u8> {
    request(stun::BINDING, &[(attribute::USERNAME, format!("{ufrag}:far").as_bytes())], true)
}
