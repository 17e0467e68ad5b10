//! TCP relays (RFC 6062): connections to peers, and the clients' streams that they are joined with.
//!
//! A connection is made at a client's request or accepted at a relayed address, and waits unread until
//! control joins it with another stream of the client. From then on bytes pass both ways as they are. What
//! one side does not take is not read from the other: each way holds one buffer and no more.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Edge;
use super::outbox::{BYTES_MAX, Weight};
use super::stream::Stage;
use super::streams::Key;
use crate::command::{AllocationId, Event, Refusal, SocketId, WorkerId};
use crate::doors::{Beyond, Door};
use crate::error::DropReason;
use crate::packet::Nanos;

/// Connections to peers, most: each is a descriptor.
const PEERS_MAX: usize = 4096;
/// Listeners of relayed addresses, most.
const LISTENERS_MAX: usize = 4096;
/// Connections that are accepted per turn and relayed address.
const ACCEPTS_PER_TURN: usize = 16;
/// Tokens of peers and of listeners for them, behind those of streams.
const PEERS: usize = 1 << 32;
const LISTENERS: usize = 1 << 33;
/// Marks the numbers of connections that were accepted.
const ACCEPTED: u32 = 1 << 31;
/// Time for a side to take what the other has left when it ended.
pub(super) const LEGACY: Nanos = Nanos::from_millis(30_000);

const _: () = assert!(super::STREAMS_CEILING + super::FIRST_STREAM < PEERS);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The peer has not answered.
    Connecting,
    /// Nobody has joined it.
    Waiting,
    /// It is a stream's.
    Joined(Key),
    /// Its stream is gone; what that has left is written until then.
    Ending(Nanos),
}

struct Peer {
    connection: u32,
    tcp: TcpStream,
    reach: Reach,
    /// What the client has sent and the peer has not taken.
    left: Vec<u8>,
    /// Whether something may be there to read.
    readable: bool,
}

struct Listener {
    allocation: AllocationId,
    tcp: TcpListener,
}

/// All connections to peers.
#[derive(Default)]
pub(super) struct Peers {
    places: Vec<Option<Peer>>,
    listeners: Vec<Option<Listener>>,
    accepted: u32,
}

impl Peers {
    fn find(&self, connection: u32) -> Option<usize> {
        let is_it = |peer: &Peer| peer.connection == connection;
        self.places.iter().position(|peer| peer.as_ref().is_some_and(is_it))
    }

    fn at(&mut self, place: usize) -> Option<&mut Peer> {
        self.places.get_mut(place)?.as_mut()
    }

    /// Keeps a listener in its place.
    pub(super) fn listen(&mut self, place: usize, allocation: AllocationId, tcp: TcpListener) {
        self.listeners[place] = Some(Listener { allocation, tcp });
    }

    /// Whether what a client sends has to wait for its peer.
    pub(super) fn is_behind(&self, place: usize) -> bool {
        self.places.get(place).and_then(Option::as_ref).is_some_and(|peer| !peer.left.is_empty())
    }
}

fn kernel(error: io::Error) -> Refusal {
    Refusal::Kernel(error.raw_os_error().unwrap_or_default())
}

/// A free place, of `max`.
fn vacancy<T>(places: &mut Vec<Option<T>>, max: usize) -> Option<usize> {
    let free = places.iter().position(Option::is_none);
    free.or_else(|| {
        (places.len() < max).then(|| {
            places.push(None);
            places.len() - 1
        })
    })
}

impl Edge {
    /// Prepares to accept connections of peers; says in which place the listener is to be.
    pub(super) fn add_listener(
        &mut self,
        allocation: AllocationId,
        tcp: &TcpListener,
    ) -> Result<usize, Refusal> {
        self.allocations.named(allocation).ok_or(Refusal::Gone)?;
        tcp.set_nonblocking(true).map_err(kernel)?;
        let place = vacancy(&mut self.peers.listeners, LISTENERS_MAX).ok_or(Refusal::Full)?;
        let (fd, token) = (tcp.as_raw_fd(), Token(LISTENERS + place));
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), token, Interest::READABLE)
            .map_err(kernel)?;
        Ok(place)
    }

    /// Stops accepting for an allocation that is gone.
    pub(super) fn remove_listeners(&mut self, allocation: AllocationId) {
        for held in &mut self.peers.listeners {
            if let Some(gone) = held.take_if(|held| held.allocation == allocation) {
                let _ = self.poll.registry().deregister(&mut SourceFd(&gone.tcp.as_raw_fd()));
            }
        }
    }

    /// Connects from an allocation's relayed address to a peer; how it went is told by an event.
    pub(super) fn connect(
        &mut self,
        allocation: AllocationId,
        connection: u32,
        peer: SocketAddr,
    ) -> Result<(), Refusal> {
        if connection & ACCEPTED != 0 || self.peers.find(connection).is_some() {
            return Err(Refusal::Misuse);
        }
        let fits = |held: &&Listener| {
            let local = held.tcp.local_addr();
            held.allocation == allocation
                && local.is_ok_and(|local| local.is_ipv4() == peer.is_ipv4())
        };
        let listener = self.peers.listeners.iter().flatten().find(fits).ok_or(Refusal::Gone)?;
        let local = listener.tcp.local_addr().map_err(kernel)?;
        let Some(peer) = self.way_to_peer(peer) else {
            self.drop_for(DropReason::RelayInward);
            self.tell(Event::PeerConnected { connection, ok: false });
            return Ok(());
        };
        let begun = begin(local, peer);
        let added = begun.and_then(|tcp| self.add_peer(connection, tcp, Reach::Connecting));
        if added.is_err() {
            self.drop_for(DropReason::TxRefused);
            self.tell(Event::PeerConnected { connection, ok: false });
        }
        Ok(())
    }

    /// Where a peer is connected to: of the node's own addresses only those of other TCP relays, which the
    /// kernel knows by what they are bound to.
    fn way_to_peer(&self, peer: SocketAddr) -> Option<SocketAddr> {
        match self.doors.beyond(peer) {
            Beyond::Outside => Some(peer),
            Beyond::Inside(Door::Relay { thread: WorkerId::EDGE, slot }) => {
                let own = self.peers.listeners.iter().flatten();
                let bound = own.filter(|held| held.allocation.slot == slot);
                let mut bound = bound.filter_map(|held| held.tcp.local_addr().ok());
                bound.find(|bound| bound.is_ipv4() == peer.is_ipv4())
            }
            Beyond::Inside(_) | Beyond::Nothing => None,
        }
    }

    /// Who has connected, as the world knows him: another relay of this node by its relayed address.
    fn peer_at(&mut self, from: SocketAddr) -> SocketAddr {
        let peer = SocketAddr::new(from.ip().to_canonical(), from.port());
        let is_bound = |held: &&Listener| held.tcp.local_addr().is_ok_and(|bound| bound == peer);
        let relay = self.peers.listeners.iter().flatten().find(is_bound);
        let Some(id) = relay.map(|held| held.allocation) else { return peer };
        let relayed = self.allocations.named(id).and_then(|held| held.relay_to(peer).ok());
        relayed.map_or(peer, |relay| relay.relayed)
    }

    fn add_peer(&mut self, connection: u32, tcp: TcpStream, reach: Reach) -> io::Result<()> {
        let place = vacancy(&mut self.peers.places, PEERS_MAX);
        let place = place.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let (fd, token) = (tcp.as_raw_fd(), Token(PEERS + place));
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&fd), token, interest)?;
        let peer = Peer { connection, tcp, reach, left: Vec::new(), readable: false };
        self.peers.places[place] = Some(peer);
        Ok(())
    }

    /// Makes a client's stream the other end of a connection, behind what was written to it before.
    pub(super) fn join(
        &mut self,
        connection: u32,
        (socket, remote): (SocketId, SocketAddr),
    ) -> Result<(), Refusal> {
        let key = self.streams.named((socket, remote)).ok_or(Refusal::Gone)?;
        let place = self.peers.find(connection).ok_or(Refusal::Gone)?;
        let peer = self.peers.at(place).filter(|peer| peer.reach == Reach::Waiting);
        let peer = peer.ok_or(Refusal::Misuse)?;
        let stream = self.streams.at(key).ok_or(Refusal::Gone)?;
        if self.allocations.of_client((socket, remote)).is_some() {
            return Err(Refusal::Misuse);
        }
        peer.reach = Reach::Joined(key);
        peer.readable = true;
        stream.stage = Stage::Data { socket, peer: place };
        stream.deadline = Nanos(u64::MAX);
        let early = stream.take_partial();
        self.pass_on(place, &early);
        self.fetch(place);
        Ok(())
    }

    /// Ends a connection, and with it the stream that it is joined with.
    pub(super) fn drop_connection(&mut self, connection: u32) -> Result<(), Refusal> {
        let place = self.peers.find(connection).ok_or(Refusal::Gone)?;
        let peer = self.take_peer(place);
        if let Some(Reach::Joined(key)) = peer.map(|peer| peer.reach) {
            self.end_stream(key);
        }
        Ok(())
    }

    fn take_peer(&mut self, place: usize) -> Option<Peer> {
        let peer = self.peers.places.get_mut(place)?.take()?;
        let _ = self.poll.registry().deregister(&mut SourceFd(&peer.tcp.as_raw_fd()));
        Some(peer)
    }

    /// Lets a stream whose peer is gone take what waits for it, and then ends it.
    fn end_stream(&mut self, key: Key) {
        let deadline = self.now.plus(LEGACY.0);
        if let Some(stream) = self.streams.at(key) {
            stream.ending = true;
            stream.deadline = deadline;
        }
        self.mark(key);
    }

    /// A client's stream has taken what its peer had for it, and ends.
    pub(super) fn part_data(&mut self, key: Key) {
        let now = self.now;
        let Some(stream) = self.streams.at(key) else { return };
        let Stage::Data { socket, .. } = stream.stage else { return };
        let remote = stream.remote;
        self.streams.forget(key, (socket, remote));
        if let Some(stream) = self.streams.at(key) {
            stream.part(&[], now);
        }
        self.tell(Event::StreamClosed { socket, remote });
    }

    /// Whether a token is of a peer or of a listener for peers; what it says is heeded then.
    pub(super) fn heed_peer(&mut self, event: &mio::event::Event) -> bool {
        let Token(token) = event.token();
        if let Some(place) = token.checked_sub(LISTENERS) {
            self.accept_peers(place);
            return true;
        }
        let Some(place) = token.checked_sub(PEERS) else { return false };
        if let Some(peer) = self.peers.at(place) {
            peer.readable |= event.is_readable();
            match peer.reach {
                Reach::Connecting if event.is_writable() || event.is_error() => {
                    self.connected(place)
                }
                Reach::Joined(_) | Reach::Ending(_) => {
                    if event.is_writable() {
                        self.pass_on(place, &[]);
                    }
                    self.fetch(place);
                }
                Reach::Connecting | Reach::Waiting => {}
            }
        }
        true
    }

    fn connected(&mut self, place: usize) {
        let Some(peer) = self.peers.at(place) else { return };
        let connection = peer.connection;
        let ok = SockRef::from(&peer.tcp).take_error().is_ok_and(|error| error.is_none())
            && peer.tcp.peer_addr().is_ok();
        peer.reach = Reach::Waiting;
        if !ok {
            self.take_peer(place);
        }
        self.tell(Event::PeerConnected { connection, ok });
    }

    fn accept_peers(&mut self, place: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Some(listener)) = self.peers.listeners.get(place) else { return };
            let (allocation, accepted) = (listener.allocation, listener.tcp.accept());
            match accepted {
                Ok((tcp, from)) => {
                    if let Err(reason) = self.welcome(allocation, tcp, from) {
                        self.drop_for(reason);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.drop_for(DropReason::StreamLimit),
            }
        }
        // Others wait, and the kernel says so once.
        self.accepting.push(place);
    }

    /// Accepts where a turn's share was not enough.
    pub(super) fn accept_more_peers(&mut self) {
        for place in std::mem::take(&mut self.accepting) {
            self.accept_peers(place);
        }
    }

    fn welcome(
        &mut self,
        allocation: AllocationId,
        tcp: TcpStream,
        from: SocketAddr,
    ) -> Result<(), DropReason> {
        let peer = self.peer_at(from);
        let held = self.allocations.named(allocation).ok_or(DropReason::RelayUnknown)?;
        if !held.permits(peer.ip()) {
            return Err(DropReason::NoPermission);
        }
        if self.news.len() >= PEERS_MAX {
            return Err(DropReason::StreamLimit);
        }
        tcp.set_nonblocking(true).map_err(|_| DropReason::StreamLimit)?;
        self.peers.accepted = self.peers.accepted.wrapping_add(1);
        let connection = ACCEPTED | self.peers.accepted;
        let added = self.add_peer(connection, tcp, Reach::Waiting);
        added.map_err(|_| DropReason::StreamLimit)?;
        self.tell(Event::PeerAccepted { allocation, connection, peer });
        Ok(())
    }

    /// Writes what a client has sent, and what it has sent before, to its peer.
    pub(super) fn pass_on(&mut self, place: usize, bytes: &[u8]) {
        let Some(peer) = self.peers.at(place) else { return };
        let was_behind = !peer.left.is_empty();
        peer.left.extend_from_slice(bytes);
        let mut written = 0;
        let outcome = loop {
            if written == peer.left.len() {
                break Ok(());
            }
            match peer.tcp.write(&peer.left[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        peer.left.drain(..written);
        self.counters.bytes_out += written as u64;
        let (reach, caught_up) = (peer.reach, peer.left.is_empty());
        match (outcome, reach) {
            (Err(_), _) => self.lose_peer(place),
            (Ok(()), Reach::Ending(_)) if caught_up => self.finish_peer(place),
            (Ok(()), Reach::Joined(key)) if was_behind && caught_up => self.read(key, true),
            _ => {}
        }
    }

    /// Reads what a peer has sent, as far as its client has room for it.
    pub(super) fn fetch(&mut self, place: usize) {
        loop {
            let Some(peer) = self.peers.at(place) else { return };
            let Reach::Joined(key) = peer.reach else { return };
            let Some(stream) = self.streams.at(key) else { return };
            let room = BYTES_MAX.saturating_sub(stream.waits()).min(self.transfer.len());
            if !peer.readable || room == 0 {
                return;
            }
            match peer.tcp.read(&mut self.transfer[..room]) {
                Ok(0) => return self.lose_peer(place),
                Ok(read) => {
                    self.counters.bytes_in += read as u64;
                    let bytes = std::mem::take(&mut self.transfer);
                    // There is room for it.
                    let _ = self.write(key, &[&bytes[..read]], Weight::Data);
                    self.transfer = bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => peer.readable = false,
                Err(_) => return self.lose_peer(place),
            }
        }
    }

    /// A peer has ended.
    fn lose_peer(&mut self, place: usize) {
        let Some(peer) = self.take_peer(place) else { return };
        if let Reach::Joined(key) = peer.reach {
            self.end_stream(key);
        }
        if !matches!(peer.reach, Reach::Ending(_)) {
            self.tell(Event::PeerClosed { connection: peer.connection });
        }
    }

    /// A client's stream has ended: its peer gets what is left, and then ends too.
    pub(super) fn leave_peer(&mut self, place: usize, key: Key) {
        let until = self.now.plus(LEGACY.0);
        let joined = |peer: &&mut Peer| peer.reach == Reach::Joined(key);
        let Some(peer) = self.peers.at(place).filter(joined) else { return };
        peer.reach = Reach::Ending(until);
        if peer.left.is_empty() {
            self.finish_peer(place);
        }
    }

    fn finish_peer(&mut self, place: usize) {
        if let Some(peer) = self.take_peer(place) {
            let _ = peer.tcp.shutdown(Shutdown::Write);
        }
    }

    /// Ends peers that do not take what is left for them.
    pub(super) fn sweep_peers(&mut self) {
        for place in 0..self.peers.places.len() {
            let late = self
                .peers
                .at(place)
                .is_some_and(|peer| matches!(peer.reach, Reach::Ending(until) if until < self.now));
            if late {
                self.drop_for(DropReason::StreamLate);
                self.take_peer(place);
            }
        }
    }
}

/// Begins to connect from a relayed address, where a listener is too.
fn begin(local: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}
