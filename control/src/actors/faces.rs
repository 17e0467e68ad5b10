//! The ports that many legs share: of each worker its own, and those that all workers have, such as 443.
//!
//! On a port that all workers have each has a socket of its own in the same slot (`SO_REUSEPORT`), and what
//! the kernel gives to the wrong one is handed on (`ShareSockets`).

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use causeway_engine::Link;
use causeway_engine::command::{Command, SocketId, WorkerId};
use causeway_engine::doors::{Door, Doors};
use causeway_engine::sys::socket;

use super::node::{BoundInterface, NodeError};
use crate::address;
use crate::call::Face;
use crate::ice::Over;

/// A port that all workers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SharedPort {
    /// Its interface's place in the configuration, if it is at one.
    interface: Option<usize>,
    bind: SocketAddr,
    announced: SocketAddr,
    /// Whether media comes in there, and not only clients of STUN and TURN.
    media: bool,
}

impl SharedPort {
    /// The ports of an address: of each interface that it is, or that it stands for as one that is none.
    pub(super) fn at(listen: SocketAddr, media: bool, interfaces: &[BoundInterface]) -> Vec<Self> {
        let (ip, port) = (listen.ip(), listen.port());
        let is_meant = |interface: &BoundInterface| {
            let own = interface.bind.ip();
            // As sockets have it, `[::]` stands for IPv4 too.
            own == ip || ip.is_unspecified() && (ip.is_ipv6() || own.is_ipv4())
        };
        let places = interfaces.iter().enumerate().filter(|(_, interface)| is_meant(interface));
        let ports: Vec<_> = places
            .map(|(place, interface)| Self {
                interface: Some(place),
                bind: SocketAddr::new(interface.bind.ip(), port),
                announced: SocketAddr::new(interface.announce, port),
                media,
            })
            .collect();
        if ports.is_empty() && !media {
            return vec![Self { interface: None, bind: listen, announced: listen, media }];
        }
        ports
    }
}

/// Ports of each worker on an interface.
pub(super) fn own_ports(interface: &BoundInterface) -> u16 {
    interface.mux_ports.max(1)
}

/// The slots that the ports of each worker have, before those that all workers share.
pub(super) fn own_slots(interfaces: &[BoundInterface]) -> u16 {
    interfaces.iter().map(own_ports).sum()
}

/// The slots that the ports of an interface have on each worker.
pub(super) fn slots_of(interfaces: &[BoundInterface], place: usize) -> Range<u16> {
    let before = own_slots(&interfaces[..place.min(interfaces.len())]);
    let own = interfaces.get(place).map_or(0, own_ports);
    before..before + own
}

/// Binds one worker's shared ports and hands them over; what legs are offered of them, best first.
///
/// # Errors
/// [`NodeError`] names what to change.
pub(super) fn bind(
    link: &mut Link,
    interfaces: &[BoundInterface],
    shared: &[SharedPort],
    doors: &Doors,
) -> Result<Vec<Face>, NodeError> {
    let WorkerId(worker) = link.worker();
    if interfaces.is_empty() {
        return Err(NodeError::NoInterface);
    }
    let numbered =
        |(place, interface)| (0..own_ports(interface)).map(move |n| (place, interface, n));
    let ports = (0u16..).zip(interfaces).flat_map(numbered);
    let mut faces = Vec::new();
    let mut slot = 0;
    for (place, interface, number) in ports {
        let mut address = interface.bind;
        if address.port() != 0 {
            let ahead = worker.saturating_mul(own_ports(interface)).saturating_add(number);
            address.set_port(address.port().saturating_add(ahead));
        }
        let socket = SocketId(slot);
        let bound = bind_one(link, socket, address, Some(interface), false)?;
        let announced = SocketAddr::new(interface.announce, bound.port());
        doors.open(announced, Door::Media { worker: WorkerId(worker), socket });
        let private = interface.private_candidate;
        let over = Over::Udp;
        faces.push(Face { socket, interface: place, bound, announced, private, over });
        slot += 1;
    }
    let first = slot;
    for (place, port) in (0u16..).zip(shared) {
        let socket = SocketId(slot);
        let interface = port.interface.and_then(|place| interfaces.get(place));
        bind_one(link, socket, port.bind, interface, true)?;
        slot += 1;
        let (bound, announced, over) = (port.bind, port.announced, Over::Udp);
        if port.media {
            doors.open(announced, Door::Media { worker: WorkerId(worker), socket });
            let interface = u16::try_from(interfaces.len()).unwrap_or(u16::MAX) + place;
            faces.push(Face { socket, interface, bound, announced, private: false, over });
        }
    }
    let share = Command::ShareSockets { sockets: first..slot };
    link.send(share).map_err(|_| NodeError::Worker(worker))?;
    Ok(faces)
}

/// What legs are offered of the streams of the edge, behind everything else.
pub(super) fn of_streams(
    listen: SocketAddr,
    interfaces: &[BoundInterface],
    before: usize,
) -> Vec<Face> {
    let ports = SharedPort::at(listen, true, interfaces);
    let first = u16::try_from(interfaces.len() + before).unwrap_or(u16::MAX);
    let face = |(interface, port): (u16, &SharedPort)| Face {
        socket: SocketId::STREAMS,
        interface,
        bound: port.bind,
        announced: port.announced,
        private: false,
        over: Over::Tcp,
    };
    (first..).zip(&ports).map(face).collect()
}

fn bind_one(
    link: &mut Link,
    socket: SocketId,
    address: SocketAddr,
    interface: Option<&BoundInterface>,
    reuse: bool,
) -> Result<SocketAddr, NodeError> {
    let refused = |source: io::Error| NodeError::Bind {
        name: interface.map_or_else(|| "turn".into(), |interface| interface.name.clone()),
        address,
        advice: address::explain_bind(&source, address),
        source,
    };
    let udp = socket::bind(address, reuse).map_err(refused)?;
    let fragments = interface.is_none_or(|interface| !interface.dont_fragment);
    socket::set_fragmentation(&udp, fragments).map_err(refused)?;
    let bound = udp.local_addr().map_err(refused)?;
    let sent = link.send(Command::AddSocket { socket, udp });
    sent.map_err(|_| NodeError::Worker(link.worker().0))?;
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(bind: &str, announce: &str) -> BoundInterface {
        BoundInterface {
            name: bind.into(),
            bind: bind.parse().unwrap(),
            mux_ports: 2,
            announce: announce.parse().unwrap(),
            private_candidate: false,
            dont_fragment: false,
            ports: None,
        }
    }

    fn both() -> [BoundInterface; 2] {
        [
            interface("172.31.5.10:40500", "203.0.113.5"),
            interface("[2001:db8:5::10]:40500", "2001:db8:5::10"),
        ]
    }

    fn announced(listen: &str, media: bool) -> Vec<String> {
        let ports = SharedPort::at(listen.parse().unwrap(), media, &both());
        ports.iter().map(|port| port.announced.to_string()).collect()
    }

    #[test]
    fn an_address_that_is_none_stands_for_the_interfaces_of_its_kind() {
        assert_eq!(announced("0.0.0.0:443", true), ["203.0.113.5:443"]);
        assert_eq!(announced("[::]:443", true), ["203.0.113.5:443", "[2001:db8:5::10]:443"]);
        assert_eq!(announced("172.31.5.10:443", true), ["203.0.113.5:443"]);
    }

    #[test]
    fn an_address_of_no_interface_takes_clients_of_turn_alone() {
        assert_eq!(announced("10.0.0.1:443", true), [""; 0]);
        assert_eq!(announced("10.0.0.1:3478", false), ["10.0.0.1:3478"]);
    }

    #[test]
    fn each_interface_has_its_slots() {
        assert_eq!((slots_of(&both(), 0), slots_of(&both(), 1)), (0..2, 2..4));
        assert_eq!(slots_of(&both(), 2), 4..4);
    }

    #[test]
    fn streams_are_offered_at_the_announced_addresses() {
        let faces = of_streams("[::]:443".parse().unwrap(), &both(), 1);
        let told: Vec<_> =
            faces.iter().map(|face| (face.interface, face.announced.port())).collect();
        assert_eq!(told, [(3, 443), (4, 443)]);
        assert!(faces.iter().all(|face| face.over == Over::Tcp));
    }
}
