//! Ports of TURN relays: from the same ranges as those of legs, one at a time, or two in a row.
//!
//! A single one takes the lower port of a pair, and the next single one the upper port; both rest when
//! both are free. Relays that reach the node's own media alone have no socket, and so need no port of the
//! host: their numbers are made up, and only unlike each other and whatever else the node announces.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Instant;

use causeway_engine::command::{SocketId, WorkerId};

use super::{Port, PortDesk, PortError};

/// Which ports are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayPorts {
    /// Any one.
    Any,
    /// One that is even (RFC 8656 §7.2, EVEN-PORT).
    Even,
    /// An even one and the one above it.
    Pair,
}

impl PortDesk {
    /// Binds the ports of relays for a thread, on the first interface of this family that has some free.
    ///
    /// # Errors
    /// [`PortError`]; nothing is taken then.
    pub fn lease_relays(
        &mut self,
        now: Instant,
        thread: WorkerId,
        ipv6: bool,
        wanted: RelayPorts,
    ) -> Result<Vec<Port>, PortError> {
        let mut error = PortError::NoRange;
        for place in 0..self.ranges.len() {
            if self.ranges[place].interface.bind.is_ipv6() != ipv6 {
                continue;
            }
            let leased = match wanted {
                RelayPorts::Pair => {
                    self.lease_of(place, now, thread).map(|pair| vec![pair.rtp, pair.rtcp])
                }
                RelayPorts::Any | RelayPorts::Even => {
                    let even = wanted == RelayPorts::Even;
                    self.lease_single(place, now, thread, even).map(|port| vec![port])
                }
            };
            match leased {
                Ok(ports) => return Ok(ports),
                Err(refused) => error = refused,
            }
        }
        Err(error)
    }

    /// Lets another thread have a socket: its slot there. The slot before is free again.
    ///
    /// # Errors
    /// [`PortError::Sockets`]; nothing has changed then.
    pub fn rehome(
        &mut self,
        (thread, socket): (WorkerId, SocketId),
        to: WorkerId,
    ) -> Result<SocketId, PortError> {
        let taken = self.slots.get_mut(&to).and_then(Vec::pop).ok_or(PortError::Sockets)?;
        if let Some(lease) = self.leases.remove(&(thread, socket)) {
            self.leases.insert((to, taken), lease);
        }
        if let Some(slots) = self.slots.get_mut(&thread) {
            slots.push(socket);
        }
        Ok(taken)
    }

    fn lease_single(
        &mut self,
        place: usize,
        now: Instant,
        thread: WorkerId,
        even: bool,
    ) -> Result<Port, PortError> {
        let slots = self.slots.get_mut(&thread).ok_or(PortError::Sockets)?;
        let socket = slots.pop().ok_or(PortError::Sockets)?;
        let range = &mut self.ranges[place];
        let (pair, number, udp) = match range.bind_single(now, even) {
            Ok(bound) => bound,
            Err(error) => {
                slots.push(socket);
                return Err(error);
            }
        };
        range.last = Some(pair);
        self.leases.insert((thread, socket), (place, pair));
        let interface = &self.ranges[place].interface;
        let bound = SocketAddr::new(interface.bind, number);
        let announced = SocketAddr::new(interface.announce, number);
        Ok(Port { socket, udp, bound, announced })
    }
}

/// Numbers of relays without a socket.
#[derive(Debug)]
pub struct MadeUpPorts {
    taken: HashSet<SocketAddr>,
    next: u16,
}

/// Where they are from: the dynamic ports (RFC 6335 §6).
const MADE_UP: RangeInclusive<u16> = 49_152..=65_535;

impl MadeUpPorts {
    /// All are free.
    pub fn new() -> Self {
        Self { taken: HashSet::new(), next: *MADE_UP.start() }
    }

    /// Addresses that nobody has, `count` ports in a row from an even one on if there are several or `even`
    /// asks for it; `is_free` says whether the node has no other use for one.
    pub fn lease(
        &mut self,
        ip: IpAddr,
        even: bool,
        count: u16,
        is_free: impl Fn(SocketAddr) -> bool,
    ) -> Option<Vec<SocketAddr>> {
        for _ in MADE_UP {
            let first = self.next;
            self.next = if first == *MADE_UP.end() { *MADE_UP.start() } else { first + 1 };
            let fits = first.checked_add(count - 1).is_some() && (!even || first.is_multiple_of(2));
            let row = || (0..count).map(|step| SocketAddr::new(ip, first + step));
            if fits && row().all(|address| !self.taken.contains(&address) && is_free(address)) {
                self.taken.extend(row());
                return Some(row().collect());
            }
        }
        None
    }

    /// Takes one back.
    pub fn free(&mut self, address: SocketAddr) {
        self.taken.remove(&address);
    }
}

impl Default for MadeUpPorts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::time::Duration;

    use causeway_engine::doors::Doors;

    use super::*;
    use crate::config::Ports;
    use crate::ports::PortInterface;

    fn desk(low: u16) -> PortDesk {
        let interface = PortInterface {
            place: 0,
            name: "main".into(),
            bind: "127.0.0.1".parse().unwrap(),
            announce: "203.0.113.5".parse().unwrap(),
            ports: Ports { low, high: low + 3 },
            dont_fragment: false,
        };
        PortDesk::new(vec![interface], 1, 1, Arc::new(Doors::new(1)))
    }

    fn numbers(ports: &[Port]) -> Vec<u16> {
        ports.iter().map(|port| port.announced.port()).collect()
    }

    #[test]
    fn single_ports_share_pairs_and_rest_together() {
        let (mut desk, now, edge) = (desk(28_100), Instant::now(), WorkerId::EDGE);
        let mut lease = |wanted, now| desk.lease_relays(now, edge, false, wanted);
        let one = lease(RelayPorts::Any, now).unwrap();
        let other = lease(RelayPorts::Any, now).unwrap();
        assert_eq!((numbers(&one), numbers(&other)), (vec![28_100], vec![28_101]));
        let even = lease(RelayPorts::Even, now).unwrap();
        assert_eq!(numbers(&even), [28_102]);
        assert!(matches!(lease(RelayPorts::Pair, now), Err(PortError::Exhausted { .. })));
        let last = lease(RelayPorts::Any, now).unwrap();
        assert_eq!(numbers(&last), [28_103]);
        assert!(lease(RelayPorts::Any, now).is_err());
        for port in one.into_iter().chain(other) {
            desk.free(now, edge, port.socket);
        }
        let rested = now + Duration::from_secs(11);
        assert!(desk.lease_relays(now, edge, false, RelayPorts::Any).is_err(), "they rest");
        let pair = desk.lease_relays(rested, edge, false, RelayPorts::Pair).unwrap();
        assert_eq!(numbers(&pair), [28_100, 28_101]);
    }

    #[test]
    fn an_odd_port_whose_partner_is_free_again_is_not_given_away() {
        let (mut desk, now, edge) = (desk(28_110), Instant::now(), WorkerId::EDGE);
        let one = desk.lease_relays(now, edge, false, RelayPorts::Any).unwrap().remove(0);
        desk.free(now, edge, one.socket);
        let next = desk.lease_relays(now, edge, false, RelayPorts::Any).unwrap();
        assert_eq!(numbers(&next), [28_112]);
    }

    #[test]
    fn an_odd_port_that_another_program_holds_is_passed_over_until_it_is_free() {
        let (mut desk, now, edge) = (desk(28_120), Instant::now(), WorkerId::EDGE);
        let held = UdpSocket::bind("127.0.0.1:28121").unwrap();
        let mut lease = || desk.lease_relays(now, edge, false, RelayPorts::Any);
        let three: Vec<_> = (0..3).flat_map(|_| numbers(&lease().unwrap())).collect();
        assert_eq!(three, [28_120, 28_122, 28_123]);
        assert!(matches!(lease(), Err(PortError::Bind { .. })));
        drop(held);
        assert_eq!(numbers(&lease().unwrap()), [28_121]);
    }

    #[test]
    fn made_up_ports_are_unlike_each_other_and_whatever_is_taken() {
        let mut ports = MadeUpPorts::new();
        let ip = "203.0.113.5".parse().unwrap();
        let is_free = |address: SocketAddr| address.port() != 49_153;
        let pair = ports.lease(ip, true, 2, is_free).unwrap();
        assert_eq!(pair[0].port(), 49_154);
        assert_eq!(ports.lease(ip, false, 1, is_free).unwrap()[0].port(), 49_156);
        ports.free(pair[0]);
        let all = std::iter::from_fn(|| ports.lease(ip, false, 1, is_free)).count();
        assert_eq!(all, 16_384 - 3, "the one in use by others, and two that are out");
    }
}
