//! The edge: the one thread that has TCP and TLS, so that everything can share port 443.
//!
//! A stream says by its first bytes what it is (`sniff`), before TLS and behind it:
//!
//! ```text
//!  TCP ── PROXY header? ──┬── TLS ──┬── HTTP: handed over, with its socket and its TLS state
//!                         │         └── STUN: TURN over TLS
//!                         ├── STUN: TURN over TCP
//!                         ├── framed STUN: ICE over TCP, to the worker that the ufrag names
//!                         └── HTTP: told that it wants TLS
//! ```
//!
//! It is spoken to like a worker, by a [`crate::Link`], and joined with the workers by the same rings. It
//! owns the allocations of clients that come by streams, and their relay sockets. It differs from a worker
//! in one thing: it may allocate, within the limits of [`EdgeConfig`] and of this module.
//!
//! Nothing waits for a slow peer: what a stream does not take in time is dropped (`outbox`).

mod apply;
mod framing;
mod outbox;
mod peers;
mod proxy_protocol;
mod relays;
mod sniff;
mod stream;
mod streams;
mod tls;
mod traffic;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};

use self::peers::Peers;
use self::stream::Stream;
use self::streams::{Key, Streams};
use self::tls::CIPHERTEXT;
use crate::command::{Command, Event, Punt, SocketId, Ticket, WorkerId};
use crate::config::{FRAME_SIZE, FRAMES_FLOOR, PUNTS_PER_SECOND, RX_BATCH, SOCKETS_PER_WORKER};
use crate::doors::Doors;
use crate::error::DropReason;
use crate::gate::Gate;
use crate::hop::Hops;
use crate::packet::{Nanos, Packet};
use crate::relay::Allocations;
use crate::ring::{Receiver, Sender};
use crate::stats::WorkerCounters;
use crate::sys::frames::FramePool;
use crate::sys::wake::Wake;
use crate::sys::{Backend, BackendKind, Features, IoCounters, cpu};

/// Streams at once, most that can be configured: each is a descriptor.
pub const STREAMS_CEILING: usize = 65_536;
/// Bytes that one look into a stream brings, most.
const INBOX: usize = 64 << 10;
/// Bytes that one look into a peer's connection brings, most.
const TRANSFER: usize = 16 << 10;
/// Readiness events per turn; further ones wait for the next.
const EVENTS: usize = 256;
/// Streams that are accepted per turn and listener.
const ACCEPTS_PER_TURN: usize = 64;
/// Looks into one stream per turn: then the others have theirs.
const READS_PER_TURN: usize = 2;
/// Time between two looks at the deadlines.
const SWEEP: Nanos = Nanos::from_millis(100);
const SECOND: Nanos = Nanos::from_millis(1_000);
/// Frames for datagrams of relays: one batch comes while another goes.
const FRAMES: usize = 2048;

const _: () = assert!(FRAMES.is_power_of_two() && FRAMES >= FRAMES_FLOOR && FRAMES >= 2 * RX_BATCH);
const _: () = assert!(CIPHERTEXT + framing::MESSAGE_MAX + (18 << 10) <= INBOX);
const _: () = assert!(proxy_protocol::HEADER_MAX < INBOX);

/// An HTTP connection that has come in by the edge, from where it goes on.
pub struct HttpStream {
    /// The socket; it is non-blocking.
    pub tcp: TcpStream,
    /// Its TLS, behind the handshake. ALPN is in it.
    pub tls: Box<ServerConnection>,
    /// Plaintext that was read already.
    pub first: Vec<u8>,
    /// The client, whom a proxy may have told.
    pub remote: SocketAddr,
}

/// Takes an HTTP connection, or gives it back: then it is closed.
pub type HttpDoor = Box<dyn FnMut(HttpStream) -> Result<(), HttpStream> + Send>;

/// What the edge is started with.
pub struct EdgeConfig {
    /// Where streams come in.
    pub listeners: Vec<TcpListener>,
    /// TLS; its certificate may change with each handshake.
    pub tls: Arc<ServerConfig>,
    /// Where HTTP goes. It must not block.
    pub http: HttpDoor,
    /// Whether a source is a proxy, which must say for whom it asks (PROXY protocol).
    pub is_proxy: Box<dyn Fn(IpAddr) -> bool + Send>,
    /// Streams at once, most; HTTP does not count from where it is handed over.
    pub streams: usize,
    /// Of one IPv4 address or IPv6 /56, most.
    pub streams_per_address: usize,
    /// Whether TURN is to be served: then streams wait for the gate ([`Command::SetGate`]), since over TCP
    /// nobody repeats what was asked too early.
    pub turn: bool,
}

/// The edge's ends of its rings, and what it shares with others.
pub(crate) struct Rings {
    pub(crate) commands: Receiver<(Ticket, Command)>,
    pub(crate) events: Sender<Event>,
    pub(crate) punts: Sender<Punt>,
    pub(crate) control: Wake,
    pub(crate) doors: Arc<Doors>,
}

/// The thread's state.
pub(crate) struct Edge {
    poll: Poll,
    listeners: Vec<Listener>,
    streams: Streams,
    tls: Arc<ServerConfig>,
    http: HttpDoor,
    is_proxy: Box<dyn Fn(IpAddr) -> bool + Send>,
    /// The relay sockets.
    backend: Backend,
    frames: FramePool,
    rx: Box<ArrayVec<Packet, RX_BATCH>>,
    /// Whether relay sockets may have more than was taken.
    relays_busy: bool,
    doors: Arc<Doors>,
    allocations: Allocations,
    /// The allocation that each relay socket is for; empty until there may be one.
    roles: Vec<Option<(u16, SocketAddr)>>,
    gate: Option<Box<Gate>>,
    /// Whether nobody is accepted before there is a gate.
    awaits_gate: bool,
    drawn: u64,
    hops: Hops,
    commands: Receiver<(Ticket, Command)>,
    events: Sender<Event>,
    punts: Sender<Punt>,
    control: Wake,
    control_has_news: bool,
    punt_budget: u32,
    counters: WorkerCounters,
    now: Nanos,
    swept: Nanos,
    refilled: Nanos,
    /// What control is to be told, until there is room.
    news: VecDeque<Event>,
    /// The far ends of TCP relays.
    peers: Peers,
    /// Relayed addresses where more peers may wait to be accepted.
    accepting: Vec<usize>,
    /// Relay sockets that the kernel has to let go of.
    closing: Vec<(SocketId, Ticket)>,
    /// Streams that have more to be read.
    again: VecDeque<Key>,
    /// Streams that have something to be written.
    dirty: Vec<Key>,
    inbox: Vec<u8>,
    records: Vec<u8>,
    wrap: Vec<u8>,
    transfer: Vec<u8>,
}

struct Listener {
    tcp: TcpListener,
    /// Whether somebody may wait.
    ready: bool,
}

/// Runs `edge` until it is told to stop, by a command or by `stop` and its bell.
pub(crate) fn run(mut edge: Edge, wake: &Wake, stop: &AtomicBool) {
    let mut events = Events::with_capacity(EVENTS);
    while !stop.load(Ordering::Acquire) && edge.turn(wake, &mut events).is_continue() {}
    edge.flush();
    edge.backend.shut_down(&mut edge.frames);
}

impl Edge {
    /// An edge of the calling thread.
    ///
    /// # Errors
    /// What the kernel says: no descriptors or memory left.
    pub(crate) fn new(config: EdgeConfig, rings: Rings, wake: &Wake) -> io::Result<Self> {
        let EdgeConfig { listeners, tls, http, is_proxy, streams, streams_per_address, turn } =
            config;
        let Rings { commands, events, punts, control, doors } = rings;
        let poll = Poll::new()?;
        let mut frames = FramePool::new(FRAMES)?;
        let backend = Backend::new(BackendKind::Mmsg, Features::default(), &mut frames, wake)?;
        // The backend has the bell and the relay sockets in a set of its own, whose news are news here.
        if let Backend::Mmsg(mmsg) = &backend {
            let fd = mmsg.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), RELAYS, Interest::READABLE)?;
        }
        for (place, listener) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            let token = Token(place);
            poll.registry().register(
                &mut SourceFd(&listener.as_raw_fd()),
                token,
                Interest::READABLE,
            )?;
        }
        Ok(Self {
            poll,
            listeners: listeners.into_iter().map(|tcp| Listener { tcp, ready: true }).collect(),
            streams: Streams::new(streams, streams_per_address),
            tls,
            http,
            is_proxy,
            backend,
            frames,
            rx: Box::default(),
            relays_busy: false,
            doors,
            allocations: Allocations::new(WorkerId::EDGE),
            roles: Vec::new(),
            gate: None,
            awaits_gate: turn,
            drawn: 0,
            hops: Hops::default(),
            commands,
            events,
            punts,
            control,
            control_has_news: false,
            punt_budget: PUNTS_PER_SECOND,
            counters: WorkerCounters::default(),
            now: cpu::clock_monotonic(),
            swept: Nanos(0),
            refilled: Nanos(0),
            news: VecDeque::new(),
            peers: Peers::default(),
            accepting: Vec::new(),
            closing: Vec::new(),
            again: VecDeque::new(),
            dirty: Vec::new(),
            inbox: vec![0; INBOX],
            records: vec![0; CIPHERTEXT],
            wrap: vec![0; FRAME_SIZE],
            transfer: vec![0; TRANSFER],
        })
    }

    fn turn(&mut self, wake: &Wake, events: &mut Events) -> ControlFlow<()> {
        self.apply_commands()?;
        let sleep = wake.prepare();
        let wait = if self.has_input() { Duration::ZERO } else { Duration::from_nanos(SWEEP.0) };
        let polled = self.poll.poll(events, Some(wait));
        drop(sleep);
        self.now = cpu::clock_monotonic();
        self.counters.turns += 1;
        if polled.is_ok() {
            self.heed(events);
        }
        self.accept();
        self.accept_more_peers();
        self.read_again();
        self.take_datagrams();
        self.take_hops();
        self.sweep();
        self.flush();
        self.hops.wake();
        self.allocations.carried.settle(&self.doors.quota, self.now);
        self.announce();
        ControlFlow::Continue(())
    }

    /// Whether there is something to do at once.
    fn has_input(&self) -> bool {
        (!self.commands.is_empty() && self.events.room() > 0)
            || self.hops.has_input()
            || !self.again.is_empty()
            || !self.dirty.is_empty()
            || self.relays_busy
            || !self.closing.is_empty()
            || !self.accepting.is_empty()
            || !self.awaits_gate && self.listeners.iter().any(|listener| listener.ready)
    }

    /// What the kernel has to tell.
    fn heed(&mut self, events: &Events) {
        for event in events {
            let Token(token) = event.token();
            if event.token() == RELAYS || self.heed_peer(event) {
                continue;
            }
            let Some(place) = token.checked_sub(FIRST_STREAM) else {
                self.listeners[token].ready = true;
                continue;
            };
            let key = Key(place);
            let Some(stream) = self.streams.at(key) else { continue };
            if event.is_writable() && !stream.writable {
                stream.writable = true;
                self.mark(key);
            }
            if event.is_readable() {
                self.read(key, event.is_read_closed());
            }
        }
    }

    fn accept(&mut self) {
        if self.awaits_gate {
            return;
        }
        for place in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.listeners[place].ready {
                    break;
                }
                match self.listeners[place].tcp.accept() {
                    Ok((tcp, from)) => {
                        if let Err(reason) = self.admit(tcp, from) {
                            self.drop_for(reason);
                        }
                    }
                    Err(error) => self.listeners[place].ready = self.goes_on(&error),
                }
            }
        }
    }

    /// Whether accepting goes on at once: what waits is told anew where there is none; where descriptors
    /// are out it is asked for again with the next sweep.
    fn goes_on(&mut self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::WouldBlock => false,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => true,
            _ => {
                self.drop_for(DropReason::StreamLimit);
                false
            }
        }
    }

    fn admit(&mut self, tcp: TcpStream, from: SocketAddr) -> Result<(), DropReason> {
        let remote = SocketAddr::new(from.ip().to_canonical(), from.port());
        let proxied = (self.is_proxy)(remote.ip());
        // Control does not keep up: it would not hear of this one's end either.
        if self.news.len() >= self.streams.max() || tcp.set_nonblocking(true).is_err() {
            return Err(DropReason::StreamLimit);
        }
        let fd = tcp.as_raw_fd();
        let key = self.streams.add(Stream::new(tcp, remote, proxied, self.now));
        let key = key.ok_or(DropReason::StreamLimit)?;
        let token = Token(FIRST_STREAM + key.0);
        let interest = Interest::READABLE | Interest::WRITABLE;
        // Whom a proxy asks for is not known yet.
        let counted = proxied || self.streams.count(key);
        if !counted || self.poll.registry().register(&mut SourceFd(&fd), token, interest).is_err() {
            self.streams.take(key);
            return Err(DropReason::StreamLimit);
        }
        Ok(())
    }

    /// Closes what is late, and gives what is counted by the second.
    fn sweep(&mut self) {
        let now = self.now;
        if now.since(self.refilled) >= SECOND.0 {
            self.refilled = now;
            self.punt_budget = PUNTS_PER_SECOND;
        }
        if now.since(self.swept) < SWEEP.0 {
            return;
        }
        self.swept = now;
        self.sweep_peers();
        self.listeners.iter_mut().for_each(|listener| listener.ready = true);
        for key in self.streams.late(now) {
            let parting = self.streams.at(key).is_some_and(|s| s.stage == stream::Stage::Parting);
            self.close(key, (!parting).then_some(DropReason::StreamLate));
        }
    }

    /// Ends a stream, for a reason or because its far side did.
    fn close(&mut self, key: Key, reason: Option<DropReason>) {
        let Some(stream) = self.streams.at(key) else { return };
        // What TLS says to a fault comes first.
        stream.say_goodbye();
        let Some(stream) = self.take_out(key) else { return };
        if let Some(reason) = reason {
            self.drop_for(reason);
        }
        let remote = stream.remote;
        match stream.stage {
            stream::Stage::Turn { socket, known: true } => {
                self.tell(Event::StreamClosed { socket, remote });
            }
            stream::Stage::Data { socket, peer } => {
                self.leave_peer(peer, key);
                self.tell(Event::StreamClosed { socket, remote });
            }
            _ => {}
        }
    }

    /// Tells control something, when there is room.
    fn tell(&mut self, event: Event) {
        self.news.push_back(event);
    }

    /// Takes a stream out of the table and the kernel's set.
    fn take_out(&mut self, key: Key) -> Option<Box<Stream>> {
        let stream = self.streams.take(key)?;
        // It can fail only for a descriptor that is not registered.
        let _ = self.poll.registry().deregister(&mut SourceFd(&stream.tcp.as_raw_fd()));
        Some(stream)
    }

    /// Lets a stream be written at the end of the turn.
    fn mark(&mut self, key: Key) {
        if let Some(stream) = self.streams.at(key)
            && !std::mem::replace(&mut stream.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// Writes what waits: of a stream all at once.
    fn flush(&mut self) {
        let mut io = IoCounters::default();
        self.backend.submit(&mut self.frames, &mut io);
        self.count_io(&io, false);
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            let Some(stream) = self.streams.at(key) else { continue };
            stream.dirty = false;
            let stale = stream.drop_stale(self.now);
            self.counters.drops.add(DropReason::StreamStale, stale);
            if stream.writable && stream.flush().is_err() {
                self.close(key, None);
                continue;
            }
            let (stage, done) = (stream.stage, stream.ending && stream.waits() == 0);
            if let stream::Stage::Data { peer, .. } = stage {
                if done {
                    self.part_data(key);
                } else {
                    self.fetch(peer);
                }
            }
        }
        // What a peer had for a stream that has room again goes out in the next turn.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// Tells control what it is to know, as far as there is room.
    fn announce(&mut self) {
        while self.events.room() > 0 {
            let Some(event) = self.news.pop_front() else { break };
            let _ = self.events.push(event);
            self.control_has_news = true;
        }
        if std::mem::take(&mut self.control_has_news) {
            self.control.wake();
        }
    }

    fn drop_for(&mut self, reason: DropReason) {
        self.counters.drops.count(reason);
    }

    fn count_io(&mut self, io: &IoCounters, failed: bool) {
        let counters = &mut self.counters;
        counters.packets_out += io.packets_out.saturating_sub(io.refused + io.too_long);
        counters.bytes_out += io.bytes_out;
        counters.drops.add(DropReason::TxTooLong, io.too_long);
        counters.drops.add(DropReason::TxRefused, io.refused + u64::from(failed));
        counters.drops.add(DropReason::Truncated, io.truncated);
        counters.starved += io.no_frames;
        counters.drops.add(DropReason::SocketGone, io.closed_socket);
    }
}

/// Tokens: listeners by their places, then the relay sockets, then streams by theirs.
const LISTENERS_MAX: usize = 64;
const RELAYS: Token = Token(LISTENERS_MAX);
const FIRST_STREAM: usize = LISTENERS_MAX + 1;

/// Whether that many listeners can be served.
pub(crate) const fn takes(listeners: usize) -> bool {
    listeners <= LISTENERS_MAX
}

const _: () = assert!(SOCKETS_PER_WORKER <= 1 << 14);

#[cfg(test)]
mod tests;
