//! Dedicated ports for legs without ICE: a pair for RTP and RTCP (RFC 3550 §11) from the range of an
//! interface, each a socket of its own on the call's worker.
//!
//! A freed port rests before it is bound again, so that what a former far side still sends meets
//! nobody. Ports are taken in turn, the one that was free longest first. That none is left and that
//! the kernel does not give one are different errors: the first wants a wider range, the second has
//! another cause.
//!
//! Each port of a leg is a door ([`Doors`]) while it is out, so that relays of this node reach it.

mod relays;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_engine::command::{SocketId, WorkerId};
use causeway_engine::config::SOCKETS_PER_WORKER;
use causeway_engine::doors::{Door, Doors};
use causeway_engine::sys::socket;

pub use relays::{MadeUpPorts, RelayPorts};

use crate::api::PortStats;
use crate::config::Ports;

/// How long a freed port rests.
const REST: Duration = Duration::from_secs(10);
/// Pairs that are tried one after the other where other programs hold ports of the range.
const ATTEMPTS: usize = 16;

/// An interface that gives dedicated ports.
#[derive(Debug, Clone)]
pub struct PortInterface {
    /// Its place in the configuration.
    pub place: usize,
    /// Its name, for messages.
    pub name: String,
    /// The address that ports are bound to.
    pub bind: IpAddr,
    /// The address that the world sends to, at the same ports.
    pub announce: IpAddr,
    /// The range; RTP takes the even ports (RFC 3550 §11).
    pub ports: Ports,
    /// Whether packets that are too long for their path are dropped instead of fragmented.
    pub dont_fragment: bool,
}

/// A socket that is to go to a worker.
#[derive(Debug)]
pub struct Port {
    /// The slot there.
    pub socket: SocketId,
    /// The bound socket.
    pub udp: UdpSocket,
    /// What it is bound to.
    pub bound: SocketAddr,
    /// What the world sends to.
    pub announced: SocketAddr,
}

/// Ports of one m-line.
#[derive(Debug)]
pub struct PortPair {
    /// The interface's place in the configuration.
    pub interface: usize,
    /// Even.
    pub rtp: Port,
    /// One above.
    pub rtcp: Port,
}

/// Why no ports were given.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// There is no range for it.
    #[error("no [[interface]] of this address family has ports")]
    NoRange,
    /// There is none of this name.
    #[error("no [[interface]] with ports has the name {name}; there are: {known}")]
    NoInterface {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Every pair is taken.
    #[error(
        "interface {name}: all {pairs} port pairs of {ports} are taken, {resting} of them resting; \
         widen its ports"
    )]
    Exhausted {
        /// The interface.
        name: String,
        /// Its range.
        ports: Ports,
        /// How many pairs it has.
        pairs: usize,
        /// How many of them were in use a moment ago.
        resting: usize,
    },
    /// The worker has as many sockets as it can have.
    #[error("the worker has {SOCKETS_PER_WORKER} sockets, its limit")]
    Sockets,
    /// The kernel does not give them.
    #[error("interface {name}: cannot bind UDP {address}: {source}")]
    Bind {
        /// The interface.
        name: String,
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The dedicated ports of a node.
#[derive(Debug)]
pub struct PortDesk {
    ranges: Vec<Range>,
    /// Free socket slots of each worker, and of the edge.
    slots: HashMap<WorkerId, Vec<SocketId>>,
    /// Where each socket belongs.
    leases: HashMap<(WorkerId, SocketId), (usize, u16)>,
    doors: Arc<Doors>,
    /// The door of each socket that has one.
    open: HashMap<(WorkerId, SocketId), SocketAddr>,
}

#[derive(Debug)]
struct Range {
    interface: PortInterface,
    pairs: usize,
    /// Even ports, the one that was free longest first.
    free: VecDeque<u16>,
    /// Those that are free again from an instant on.
    resting: VecDeque<(Instant, u16)>,
    /// How many sockets of a pair are out.
    out: HashMap<u16, u8>,
    /// Upper ports of pairs whose lower one alone is out and was never with another.
    halves: VecDeque<u16>,
    /// The pair that was given last.
    last: Option<u16>,
}

impl PortDesk {
    /// The ports of all `interfaces`; each of `workers` workers has sockets of its own up to `taken`
    /// already.
    pub fn new(
        interfaces: Vec<PortInterface>,
        workers: u16,
        taken: u16,
        doors: Arc<Doors>,
    ) -> Self {
        let most = u16::try_from(SOCKETS_PER_WORKER).unwrap_or(u16::MAX);
        let slots: Vec<_> = (taken..most).rev().map(SocketId).collect();
        let threads = (0..workers).map(WorkerId).chain([WorkerId::EDGE]);
        Self {
            ranges: interfaces.into_iter().map(Range::new).collect(),
            slots: threads.map(|thread| (thread, slots.clone())).collect(),
            leases: HashMap::new(),
            doors,
            open: HashMap::new(),
        }
    }

    /// Binds a pair for a worker, on the first interface that has one free; where they are told, of this
    /// name and of this family.
    ///
    /// # Errors
    /// [`PortError`]; nothing is taken then.
    pub fn lease(
        &mut self,
        now: Instant,
        worker: WorkerId,
        name: Option<&str>,
        ipv6: Option<bool>,
    ) -> Result<PortPair, PortError> {
        let is_named = |range: &Range| name.is_none_or(|name| range.interface.name == name);
        let is_of = |range: &Range| ipv6.is_none_or(|ipv6| range.interface.bind.is_ipv6() == ipv6);
        if let Some(name) = name.filter(|_| !self.ranges.iter().any(is_named)) {
            return Err(self.unknown(name));
        }
        let mut error = PortError::NoRange;
        for place in 0..self.ranges.len() {
            if !is_named(&self.ranges[place]) || !is_of(&self.ranges[place]) {
                continue;
            }
            match self.lease_for_leg(place, now, worker) {
                Ok(pair) => return Ok(pair),
                Err(refused) => error = refused,
            }
        }
        Err(error)
    }

    fn unknown(&self, name: &str) -> PortError {
        let mut known: Vec<&str> = self.ranges.iter().map(|range| &*range.interface.name).collect();
        known.dedup();
        PortError::NoInterface { name: name.into(), known: known.join(", ") }
    }

    /// Binds a pair on the interface of this name and family; on the first of the family, or of any,
    /// where there is none, as SIP proxies expect it. With `everywhere` also one at each other address
    /// of that interface's name.
    ///
    /// # Errors
    /// [`PortError`]; nothing is taken then.
    pub fn lease_on(
        &mut self,
        now: Instant,
        worker: WorkerId,
        name: Option<&str>,
        ipv6: bool,
        everywhere: bool,
    ) -> Result<Vec<PortPair>, PortError> {
        let fits = |range: &Range| range.interface.bind.is_ipv6() == ipv6;
        let named = |range: &Range| Some(range.interface.name.as_str()) == name && fits(range);
        let place = self.ranges.iter().position(named);
        let place = place.or_else(|| self.ranges.iter().position(fits));
        let place = place.or((!self.ranges.is_empty()).then_some(0)).ok_or(PortError::NoRange)?;
        let mut pairs = vec![self.lease_for_leg(place, now, worker)?];
        let name = self.ranges[place].interface.name.clone();
        let others = (0..self.ranges.len()).filter(|other| *other != place && everywhere);
        for other in others.collect::<Vec<_>>() {
            if self.ranges[other].interface.name != name {
                continue;
            }
            match self.lease_for_leg(other, now, worker) {
                Ok(pair) => pairs.push(pair),
                Err(error) => {
                    let sockets = pairs.iter().flat_map(|pair| [pair.rtp.socket, pair.rtcp.socket]);
                    let sockets: Vec<_> = sockets.collect();
                    drop(pairs);
                    sockets.into_iter().for_each(|socket| self.free(now, worker, socket));
                    return Err(error);
                }
            }
        }
        Ok(pairs)
    }

    /// A pair with doors.
    fn lease_for_leg(
        &mut self,
        place: usize,
        now: Instant,
        worker: WorkerId,
    ) -> Result<PortPair, PortError> {
        let pair = self.lease_of(place, now, worker)?;
        for Port { socket, announced, .. } in [&pair.rtp, &pair.rtcp] {
            let door = Door::Media { worker, socket: *socket };
            if self.doors.open(*announced, door) {
                self.open.insert((worker, *socket), *announced);
            }
        }
        Ok(pair)
    }

    fn lease_of(
        &mut self,
        place: usize,
        now: Instant,
        worker: WorkerId,
    ) -> Result<PortPair, PortError> {
        let slots = self.slots.get_mut(&worker).ok_or(PortError::Sockets)?;
        if slots.len() < 2 {
            return Err(PortError::Sockets);
        }
        let range = &mut self.ranges[place];
        let (number, [rtp, rtcp]) = range.bind(now)?;
        let sockets = slots.split_off(slots.len() - 2);
        range.out.insert(number, 2);
        range.last = Some(number);
        for socket in &sockets {
            self.leases.insert((worker, *socket), (place, number));
        }
        let PortInterface { place: interface, bind, announce, .. } = range.interface;
        let port = |socket, udp, number| Port {
            socket,
            udp,
            bound: SocketAddr::new(bind, number),
            announced: SocketAddr::new(announce, number),
        };
        let (rtp, rtcp) = (port(sockets[0], rtp, number), port(sockets[1], rtcp, number + 1));
        Ok(PortPair { interface, rtp, rtcp })
    }

    /// Takes a socket's slot back, once the worker has let go of it; the port rests when both of its
    /// pair have come.
    pub fn free(&mut self, now: Instant, worker: WorkerId, socket: SocketId) {
        let Some((place, port)) = self.leases.remove(&(worker, socket)) else { return };
        if let Some(slots) = self.slots.get_mut(&worker) {
            slots.push(socket);
        }
        if let Some(announced) = self.open.remove(&(worker, socket)) {
            self.doors.close(announced, Door::Media { worker, socket });
        }
        self.ranges[place].free(now, port);
    }

    /// Tells another address of an interface, by its place in the configuration; for pairs from now
    /// on.
    pub fn announce(&mut self, place: usize, address: IpAddr) {
        for range in self.ranges.iter_mut().filter(|range| range.interface.place == place) {
            range.interface.announce = address;
        }
    }

    /// Pairs that are out.
    pub fn leased(&self) -> usize {
        self.ranges.iter().map(|range| range.out.len()).sum()
    }

    /// How many ports each interface has and how many are out.
    pub fn stats(&self, now: Instant) -> Vec<PortStats> {
        self.ranges.iter().map(|range| range.stats(now)).collect()
    }
}

impl Range {
    fn new(interface: PortInterface) -> Self {
        let Ports { low, high } = interface.ports;
        let even = (low..high).filter(|port| port.is_multiple_of(2));
        let free: VecDeque<u16> = even.collect();
        let pairs = free.len();
        Self {
            interface,
            pairs,
            free,
            resting: VecDeque::new(),
            out: HashMap::new(),
            halves: VecDeque::new(),
            last: None,
        }
    }

    /// Binds the pair that was free longest.
    fn bind(&mut self, now: Instant) -> Result<(u16, [UdpSocket; 2]), PortError> {
        self.wake(now);
        let Self { interface, free, .. } = self;
        let pair = |port| Ok([interface.bind_at(port)?, interface.bind_at(port + 1)?]);
        first(free, pair).map_err(|refused| refused.unwrap_or_else(|| self.exhausted()))
    }

    /// Binds one port: the upper one of a pair whose lower one is out, or the lower one of another pair. Says
    /// which pair and which port it is.
    fn bind_single(
        &mut self,
        now: Instant,
        even: bool,
    ) -> Result<(u16, u16, UdpSocket), PortError> {
        self.wake(now);
        let Self { interface, free, halves, out, .. } = self;
        let upper = if even { Err(None) } else { first(halves, |port| interface.bind_at(port)) };
        match upper {
            Ok((port, udp)) => {
                out.entry(port - 1).and_modify(|out| *out += 1);
                Ok((port - 1, port, udp))
            }
            Err(held) => match first(free, |port| interface.bind_at(port)) {
                Ok((port, udp)) => {
                    out.insert(port, 1);
                    halves.push_back(port + 1);
                    Ok((port, port, udp))
                }
                Err(refused) => Err(refused.or(held).unwrap_or_else(|| self.exhausted())),
            },
        }
    }

    fn exhausted(&self) -> PortError {
        let PortInterface { name, ports, .. } = &self.interface;
        let (pairs, resting) = (self.pairs, self.resting.len());
        PortError::Exhausted { name: name.clone(), ports: *ports, pairs, resting }
    }

    fn stats(&self, now: Instant) -> PortStats {
        let PortInterface { name, bind, ports, .. } = &self.interface;
        let resting = self.resting.iter().filter(|(until, _)| *until > now).count();
        PortStats {
            interface: name.clone(),
            address: bind.to_string(),
            low: ports.low,
            high: ports.high,
            total: 2 * self.pairs as u64,
            used: self.out.values().copied().map(u64::from).sum(),
            resting: 2 * resting as u64,
            last: self.last.unwrap_or_default(),
        }
    }

    fn free(&mut self, now: Instant, port: u16) {
        let Some(out) = self.out.get_mut(&port) else { return };
        *out -= 1;
        self.halves.retain(|half| *half != port + 1);
        if *out == 0 {
            self.out.remove(&port);
            self.resting.push_back((now + REST, port));
        }
    }

    fn wake(&mut self, now: Instant) {
        let rested = self.resting.iter().take_while(|(until, _)| *until <= now).count();
        self.free.extend(self.resting.drain(..rested).map(|(_, port)| port));
    }
}

impl PortInterface {
    fn bind_at(&self, port: u16) -> Result<UdpSocket, PortError> {
        let address = SocketAddr::new(self.bind, port);
        let bound = socket::bind(address, false).and_then(|udp| {
            socket::set_fragmentation(&udp, !self.dont_fragment)?;
            Ok(udp)
        });
        bound.map_err(|source| PortError::Bind { name: self.name.clone(), address, source })
    }
}

/// The first of these ports that can be bound; those that another program holds go to the back.
///
/// # Errors
/// The last refusal; none where there are no ports.
fn first<T>(
    ports: &mut VecDeque<u16>,
    bind: impl Fn(u16) -> Result<T, PortError>,
) -> Result<(u16, T), Option<PortError>> {
    let mut last = None;
    for _ in 0..ATTEMPTS.min(ports.len()) {
        let Some(port) = ports.pop_front() else { break };
        match bind(port) {
            Ok(bound) => return Ok((port, bound)),
            Err(refused) => {
                ports.push_back(port);
                last = Some(refused);
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests;
