//! A bare forwarder: what a packet costs in the kernel and in the backend, and nothing else.
//!
//! It takes calls over ng as a node does, has a socket for each m-line of a leg, waits as a worker does ([`Backend`]), and
//! sends what comes on one leg's socket from the other's, unread: no routing, no cryptography, no counters.
//! What a worker adds shows beside it. It lives for one round, so it gives no port back.

use std::collections::HashMap;
use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::ParseIntError;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use arrayvec::ArrayVec;
use causeway_control::ng::{Dictionary, Frame, Value, bencode, frame};
use causeway_engine::command::SocketId;
use causeway_engine::config::{BackendChoice, SOCKETS_PER_WORKER};
use causeway_engine::packet::Packet;
use causeway_engine::sys::frames::FramePool;
use causeway_engine::sys::probe::probe;
use causeway_engine::sys::wake::Wake;
use causeway_engine::sys::{Backend, IoCounters, socket};

use crate::ng::client::text;
use crate::ng::sdp::{self, Line, describe};
use crate::phones::Codec;

/// Frames of the pool, as many as a worker has.
const FRAMES: usize = 8192;
/// Longest wait, a worker's.
const WAIT: Duration = Duration::from_millis(10);
/// The variable that says how long a node's packets may wait for company, in microseconds.
const GATHER: &str = "CAUSEWAY_NODE_GATHER_US";
/// Bytes of a request, most.
const REQUEST_MAX: usize = 64 * 1024;

/// What the forwarder is told.
enum Order {
    /// Serve a socket.
    Serve(SocketId, UdpSocket),
    /// What comes on the first socket goes to the address from the second.
    Lead(SocketId, SocketId, SocketAddr),
}

/// An m-line of a call: the sockets that face its two sides, and where the caller is.
struct Pair {
    caller: (SocketId, SocketAddr),
    called: (SocketId, SocketAddr),
    at: SocketAddr,
}

/// Answers requests at `listen` until the process is ended.
///
/// # Errors
/// The kernel's, and what the backend says.
pub fn run(listen: SocketAddr) -> Result<Infallible, Box<dyn Error>> {
    let server = UdpSocket::bind(listen)?;
    let wake = Wake::new()?;
    let (orders, received) = channel();
    let bell = wake.clone();
    let probed = probe(BackendChoice::Auto)?;
    let gather = gather()?;
    thread::Builder::new().name("floor-0".into()).spawn(move || {
        let forwarder = FramePool::new(FRAMES).and_then(|mut frames| {
            let mut backend = Backend::new(probed.kind, probed.features, &mut frames, &bell)?;
            backend.gather(gather);
            forward(backend, frames, &received, &bell)
        });
        if let Err(error) = forwarder {
            eprintln!("causeway-load: the forwarder ended: {error}");
        }
    })?;
    let mut desk = Desk { ip: listen, orders, wake, next: 0, calls: HashMap::new() };
    let mut buffer = vec![0; REQUEST_MAX];
    loop {
        let (len, from) = server.recv_from(&mut buffer)?;
        if let Some(reply) = desk.reply(&buffer[..len]) {
            server.send_to(&reply, from)?;
        }
    }
}

/// How long packets may wait for company: what a node would take from the environment.
fn gather() -> Result<Duration, ParseIntError> {
    let set = env::var(GATHER).ok().map(|value| value.parse()).transpose()?;
    Ok(Duration::from_micros(set.unwrap_or_default()))
}

/// Forwards; ends only with an error.
fn forward(
    mut backend: Backend,
    mut frames: FramePool,
    orders: &Receiver<Order>,
    wake: &Wake,
) -> io::Result<()> {
    let mut ways = vec![None; SOCKETS_PER_WORKER];
    let mut rx = ArrayVec::new();
    let mut io = IoCounters::default();
    loop {
        let sleep = wake.prepare();
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Serve(id, udp) => backend.add_socket(id, udp).map_err(|(_, error)| error)?,
                Order::Lead(from, to, remote) => ways[usize::from(from.0)] = Some((to, remote)),
            }
        }
        backend.turn(&mut frames, &mut rx, Some(WAIT), &mut io)?;
        drop(sleep);
        for packet in rx.drain(..) {
            let way = ways[usize::from(packet.socket.0)].filter(|_| backend.room() > 0);
            match way {
                Some((socket, remote)) => backend.queue(Packet { socket, remote, ..packet }),
                None => frames.give(packet.frame),
            }
        }
    }
}

/// What answers requests.
struct Desk {
    ip: SocketAddr,
    orders: Sender<Order>,
    wake: Wake,
    /// Sockets made so far.
    next: u16,
    calls: HashMap<String, Vec<Pair>>,
}

impl Desk {
    /// The reply to a datagram; none to one that is no request.
    fn reply(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let Frame { cookie, document } = Frame::split(datagram).ok()?;
        let request = frame::read(document).1.ok()?;
        let reply = match text(&request, "command").as_str() {
            "ping" => Dictionary::new().with("result", "pong"),
            "delete" => Dictionary::new().with("result", "ok"),
            _ => match self.described(&request) {
                Ok(sdp) => Dictionary::new().with("result", "ok").with("sdp", sdp.as_str()),
                Err(error) => {
                    let reason = error.to_string();
                    Dictionary::new().with("result", "error").with("error-reason", reason.as_str())
                }
            },
        };
        let document = bencode::encode(&Value::Dictionary(reply));
        Some(Frame { cookie, document: &document }.join())
    }

    /// The description in the place of an offer's or an answer's.
    fn described(&mut self, request: &Dictionary) -> io::Result<String> {
        let (id, said) = (text(request, "call-id"), sdp::read(&text(request, "sdp")));
        let lines = said.ok_or_else(|| io::Error::other("no media is described"))?;
        if text(request, "command") == "offer" {
            let pair = |line: Line| {
                Ok(Pair { caller: self.socket()?, called: self.socket()?, at: line.at })
            };
            let pairs = lines.into_iter().map(pair).collect::<io::Result<Vec<_>>>()?;
            let described = face(pairs.iter().map(|pair| pair.called));
            self.calls.insert(id, pairs);
            return Ok(described);
        }
        let pairs = self.calls.get(&id).ok_or_else(|| io::Error::other("no such call"))?;
        for (pair, line) in pairs.iter().zip(lines) {
            let (caller, called) = (pair.caller.0, pair.called.0);
            let _ = self.orders.send(Order::Lead(caller, called, line.at));
            let _ = self.orders.send(Order::Lead(called, caller, pair.at));
        }
        self.wake.wake();
        Ok(face(pairs.iter().map(|pair| pair.caller)))
    }

    /// A socket that is served from now on, and its address.
    fn socket(&mut self) -> io::Result<(SocketId, SocketAddr)> {
        if usize::from(self.next) >= SOCKETS_PER_WORKER {
            return Err(io::Error::other("all sockets are in use"));
        }
        let udp = socket::bind(SocketAddr::new(self.ip.ip(), 0), false)?;
        let (id, address) = (SocketId(self.next), udp.local_addr()?);
        self.next += 1;
        let _ = self.orders.send(Order::Serve(id, udp));
        self.wake.wake();
        Ok((id, address))
    }
}

/// The description of these sockets.
fn face(sockets: impl Iterator<Item = (SocketId, SocketAddr)>) -> String {
    let lines: Vec<_> = sockets.map(|(_, at)| Line::plain(at)).collect();
    describe(&lines, Codec::default())
}
