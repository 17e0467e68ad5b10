//! What clients and peers say, whatever it travels over.
//!
//! Sockets are read and written with plain system calls, and read when the generator has time, not when something
//! comes: a server must not pay for waking the one who measures it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use causeway_engine::command::SocketId;
use causeway_engine::packet::Nanos;
use causeway_engine::sys::probe::Probed;
use causeway_engine::sys::{BackendKind, Features, cpu, socket};

use super::flood::source;
use super::plan::{Plan, Transport};
use super::stream::Streams;
use crate::wire::Wire;

/// Sockets of the peer: enough that their buffers hold what comes while the generator is kept off its core.
pub const PEERS: usize = 8;
/// Looks at the sockets that are going, most.
const CLOSING: usize = 1000;

/// Who has received something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A client, by its number.
    Client(usize),
    /// A socket of the peer, by its number.
    Peer(usize),
}

/// All sockets of a run.
pub struct Lanes {
    server: SocketAddr,
    wire: Wire,
    streams: Option<Streams>,
    /// Where each socket of the peer is.
    pub peers: Vec<SocketAddr>,
    sockets: usize,
}

impl Lanes {
    /// Opens the sockets, and connects clients that have streams.
    ///
    /// # Errors
    /// The kernel's, or the server does not take them.
    pub fn open(plan: &Plan, server: SocketAddr) -> io::Result<Self> {
        socket::lift_descriptor_limit()?;
        let probed =
            Probed { kind: BackendKind::Mmsg, features: Features::default(), uring_refused: None };
        let (mut wire, mut peers, mut sockets) = (Wire::new(&probed)?, Vec::new(), 0);
        let mut add = |ip: IpAddr| {
            let udp = UdpSocket::bind((ip, 0))?;
            let at = udp.local_addr()?;
            wire.add(SocketId(sockets as u16), udp)?;
            sockets += 1;
            io::Result::Ok(at)
        };
        for _ in 0..PEERS {
            peers.push(add(plan.bind)?);
        }
        let streams = match plan.transport {
            Transport::Udp => {
                (0..plan.clients).try_for_each(|number| {
                    let place = number.checked_rem(plan.sources);
                    add(place.map_or(plan.bind, source)).map(drop)
                })?;
                None
            }
            kind => Some(Streams::connect(server, plan.clients, kind == Transport::Tls)?),
        };
        Ok(Self { server, wire, streams, peers, sockets })
    }

    /// Sends what `fill` writes to the server; `false` if it was not sent.
    pub fn send(&mut self, client: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if let Some(streams) = &mut self.streams {
            return streams.send(client, fill);
        }
        self.datagram(PEERS + client, self.server, fill)
    }

    /// Sends what `fill` writes from the peer to a relayed address; `false` if it was not sent.
    pub fn send_as_peer(
        &mut self,
        peer: usize,
        relayed: SocketAddr,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        self.datagram(peer, relayed, fill)
    }

    /// Each leaves at once: it says when that was.
    fn datagram(
        &mut self,
        number: usize,
        to: SocketAddr,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let queued = self.wire.send(SocketId(number as u16), to, fill);
        self.wire.flush();
        queued
    }

    /// Waits at most so long, then gives what came to `each`: who received it, from whom, and when, by the kernel's
    /// clock where it says so. Returns how much came.
    ///
    /// # Errors
    /// What no later turn would cure.
    pub fn turn(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(Place, SocketAddr, &[u8], Nanos),
    ) -> io::Result<usize> {
        let (mut count, server) = (0, self.server);
        let mut wire_wait = wait;
        if let Some(streams) = &mut self.streams {
            count += streams.turn(wait, |client, frame| {
                each(Place::Client(client), server, frame, cpu::clock_realtime());
            })?;
            wire_wait = Duration::ZERO;
        }
        self.wire.turn(Some(wire_wait), |socket, from, bytes, at| {
            count += 1;
            let number = usize::from(socket.0);
            let place = number.checked_sub(PEERS).map_or(Place::Peer(number), Place::Client);
            each(
                place,
                from,
                bytes,
                if at == Nanos::default() { cpu::clock_realtime() } else { at },
            );
        })?;
        Ok(count)
    }

    /// Frames that found their stream full, and connections that the server has closed.
    pub fn trouble(&self) -> (u64, usize) {
        self.streams.as_ref().map_or((0, 0), |streams| (streams.blocked, streams.closed()))
    }

    /// Datagrams that never left.
    pub fn unsent(&self) -> u64 {
        self.wire.unsent()
    }

    /// Closes everything, and says how many datagrams the own sockets had no room for.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn close(mut self) -> io::Result<u64> {
        (0..self.sockets).for_each(|number| self.wire.remove(SocketId(number as u16)));
        let (mut drops, mut gone) = (0, 0);
        for _ in 0..CLOSING {
            while let Some((_, dropped)) = self.wire.closed() {
                drops += dropped;
                gone += 1;
            }
            if gone == self.sockets {
                break;
            }
            self.wire.turn(Some(Duration::ZERO), |_, _, _, _| ())?;
        }
        Ok(drops)
    }
}
