//! Which of the node's threads is behind an address of the node's own.
//!
//! What a TURN client relays to the node's announced address must not leave through the kernel: the
//! packet would have to turn round at the NAT in front of the node, which many do not let it, and whatever
//! listens on the same host would be within the client's reach. So control opens a door for each media port
//! and each relayed address, and a relayed packet for one of the node's addresses goes through the door
//! that it names, on the same thread or by a ring, or nowhere.
//!
//! The table, with that of far addresses on shared ports (`steering`), is the one thing that all threads share. It holds one atomic word per port, written by
//! control and read by the others; a word that is old when it is read leads to where it led a moment
//! ago, and whoever is behind that door looks whom it was for.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{SocketId, WorkerId};
use crate::config::{SOCKETS_PER_WORKER, THREADS_MAX, WALLS_MAX};
use crate::quota::Quota;
use crate::relay::Rate;
use crate::steering::Steering;

/// What is behind an address of the node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A socket that media comes in on.
    Media {
        /// The worker that has it.
        worker: WorkerId,
        /// The socket there.
        socket: SocketId,
    },
    /// A relayed address.
    Relay {
        /// The thread that has its allocation.
        thread: WorkerId,
        /// The allocation's slot there.
        slot: u16,
    },
}

/// Where a packet for an address goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// To the kernel: the address is not the node's.
    Outside,
    /// Through this door.
    Inside(Door),
    /// Nowhere: the address is the node's, and no media is behind it.
    Nothing,
}

/// The doors of a node.
#[derive(Debug)]
pub struct Doors {
    walls: [OnceLock<Wall>; WALLS_MAX],
    /// Each worker's sockets, with the address that leads to them.
    addresses: Box<[Box<[AtomicU32]>]>,
    /// Who sits behind ports that all workers have.
    pub(crate) steering: Steering,
    /// What relays may carry.
    pub(crate) quota: Quota,
}

/// The doors of one address.
#[derive(Debug)]
struct Wall {
    ip: IpAddr,
    ports: Box<[AtomicU32]>,
}

impl Doors {
    /// No doors yet; there are `workers` workers.
    pub fn new(workers: usize) -> Self {
        Self {
            walls: std::array::from_fn(|_| OnceLock::new()),
            addresses: (0..workers).map(|_| words(SOCKETS_PER_WORKER)).collect(),
            steering: Steering::new(),
            quota: Quota::default(),
        }
    }

    /// Limits what the relays of all threads carry together, both directions; 0 for as much as comes.
    pub fn limit_relays(&self, rate: Rate) {
        self.quota.set(rate);
    }

    /// Makes an address the node's own, with doors or without; `false` if there are too many.
    pub fn own(&self, ip: IpAddr) -> bool {
        self.wall_of(ip.to_canonical()).is_some()
    }

    /// Opens a door at an address, in the place of one that was there; `false` if the node has more than
    /// [`WALLS_MAX`] addresses.
    pub fn open(&self, address: SocketAddr, door: Door) -> bool {
        let Some((place, wall)) = self.wall_of(address.ip().to_canonical()) else { return false };
        wall.ports[usize::from(address.port())].store(door.word(), Ordering::Release);
        if let Door::Media { worker, socket } = door
            && let Some(word) = self.address_word(worker, socket)
        {
            word.store(OPEN | (place << 16) | u32::from(address.port()), Ordering::Release);
        }
        true
    }

    /// Closes the door at an address if it is still this one.
    pub fn close(&self, address: SocketAddr, door: Door) {
        let ip = address.ip().to_canonical();
        let Some((_, wall)) = self.walls().find(|(_, wall)| wall.ip == ip) else { return };
        let word = &wall.ports[usize::from(address.port())];
        let _ = word.compare_exchange(door.word(), 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Where a packet for `address` goes.
    pub fn beyond(&self, address: SocketAddr) -> Beyond {
        let ip = address.ip();
        let Some((_, wall)) = self.walls().find(|(_, wall)| wall.ip == ip) else {
            return Beyond::Outside;
        };
        let word = wall.ports[usize::from(address.port())].load(Ordering::Acquire);
        Door::of(word).map_or(Beyond::Nothing, Beyond::Inside)
    }

    /// The address that leads to a worker's socket, if a door does.
    pub fn address_of(&self, worker: WorkerId, socket: SocketId) -> Option<SocketAddr> {
        let word = self.address_word(worker, socket)?.load(Ordering::Acquire);
        let place = usize::from(u16::try_from((word & !OPEN) >> 16).ok()?);
        let wall = self.walls.get(place)?.get().filter(|_| word & OPEN != 0)?;
        Some(SocketAddr::new(wall.ip, (word & 0xffff) as u16))
    }

    /// The node's own addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.walls().map(|(_, wall)| wall.ip)
    }

    fn walls(&self) -> impl Iterator<Item = (u32, &Wall)> {
        (0u32..).zip(self.walls.iter().map_while(OnceLock::get))
    }

    /// The wall of an address, built if there is none.
    fn wall_of(&self, ip: IpAddr) -> Option<(u32, &Wall)> {
        (0u32..).zip(&self.walls).find_map(|(place, wall)| {
            let wall = wall.get_or_init(|| Wall { ip, ports: words(1 << 16) });
            (wall.ip == ip).then_some((place, wall))
        })
    }

    fn address_word(&self, worker: WorkerId, socket: SocketId) -> Option<&AtomicU32> {
        self.addresses.get(usize::from(worker.0))?.get(usize::from(socket.0))
    }
}

/// Says that a word means something.
const OPEN: u32 = 1 << 31;
/// Tells a relayed address from a media port.
const RELAY: u32 = 1 << 30;

const _: () = assert!(THREADS_MAX < 1 << 14 && WALLS_MAX < 1 << 14);

impl Door {
    fn word(self) -> u32 {
        let (kind, WorkerId(thread), place) = match self {
            Self::Media { worker, socket } => (0, worker, socket.0),
            Self::Relay { thread, slot } => (RELAY, thread, slot),
        };
        OPEN | kind | (u32::from(thread) << 16) | u32::from(place)
    }

    fn of(word: u32) -> Option<Self> {
        let thread = WorkerId(((word & !(OPEN | RELAY)) >> 16) as u16);
        let place = (word & 0xffff) as u16;
        match (word & OPEN != 0, word & RELAY != 0) {
            (false, _) => None,
            (true, false) => Some(Self::Media { worker: thread, socket: SocketId(place) }),
            (true, true) => Some(Self::Relay { thread, slot: place }),
        }
    }
}

fn words(count: usize) -> Box<[AtomicU32]> {
    (0..count).map(|_| AtomicU32::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: Door = Door::Media { worker: WorkerId(1), socket: SocketId(7) };
    const RELAY: Door = Door::Relay { thread: WorkerId(2), slot: 65_535 };

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_door_leads_inside_until_it_is_closed() {
        let doors = Doors::new(2);
        assert_eq!(doors.beyond(at("203.0.113.5:443")), Beyond::Outside);
        assert!(doors.open(at("203.0.113.5:443"), MEDIA));
        assert!(doors.open(at("203.0.113.5:444"), RELAY));
        assert_eq!(doors.beyond(at("203.0.113.5:443")), Beyond::Inside(MEDIA));
        assert_eq!(doors.beyond(at("203.0.113.5:444")), Beyond::Inside(RELAY));
        assert_eq!(doors.address_of(WorkerId(1), SocketId(7)), Some(at("203.0.113.5:443")));
        doors.close(at("203.0.113.5:443"), RELAY);
        assert_eq!(doors.beyond(at("203.0.113.5:443")), Beyond::Inside(MEDIA), "not that one");
        doors.close(at("203.0.113.5:443"), MEDIA);
        assert_eq!(doors.beyond(at("203.0.113.5:443")), Beyond::Nothing);
    }

    #[test]
    fn an_own_address_leads_nowhere_but_through_doors() {
        let doors = Doors::new(1);
        assert!(doors.own("2001:db8::1".parse().unwrap()));
        assert_eq!(doors.beyond(at("[2001:db8::1]:80")), Beyond::Nothing);
        assert_eq!(doors.beyond(at("[2001:db8::2]:80")), Beyond::Outside);
        assert_eq!(doors.address_of(WorkerId(0), SocketId(0)), None);
    }

    #[test]
    fn addresses_are_bounded() {
        let doors = Doors::new(1);
        for n in 0..WALLS_MAX {
            assert!(doors.own(IpAddr::from([10, 0, 0, n as u8])));
        }
        assert!(!doors.own(IpAddr::from([10, 0, 1, 0])));
        assert!(doors.own(IpAddr::from([10, 0, 0, 0])), "a known one is not another");
    }
}
