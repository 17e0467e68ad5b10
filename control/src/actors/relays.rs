//! Where TURN's relayed addresses come from, and the sockets behind them.
//!
//! A leased address has its socket here until its allocation is installed, then on the allocation's
//! thread, and its port is free again when the thread has given the socket back. Where relays reach the
//! node's own media alone there are no sockets, and the ports are made up.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use causeway_engine::command::{SocketId, WorkerId};
use causeway_engine::doors::{Beyond, Doors};

use crate::actors::worker_link::lock;
use crate::ports::{MadeUpPorts, Port, PortDesk, PortError, RelayPorts};
use crate::turn::{LeaseError, Relay, Relays, Want};

/// The relayed addresses of a node.
pub(super) struct RelayDesk {
    ports: Arc<Mutex<PortDesk>>,
    doors: Arc<Doors>,
    /// Of relays without sockets: the numbers, and the addresses that they are at.
    made_up: Option<(MadeUpPorts, Vec<IpAddr>)>,
    last: u64,
    leased: HashMap<u64, Leased>,
    /// When the ports that are leased or freed now are.
    pub(super) now: Instant,
}

/// A relayed address and what is behind it.
#[derive(Debug)]
pub(super) struct Leased {
    /// The thread and the slot there of its socket.
    pub(super) home: Option<(WorkerId, SocketId)>,
    /// What the world sends to.
    pub(super) relayed: SocketAddr,
    /// What it is bound to.
    pub(super) bound: SocketAddr,
    /// The socket, until it is installed.
    pub(super) udp: Option<UdpSocket>,
    /// Whether the server needs it no more.
    released: bool,
}

impl Leased {
    /// Whether its socket is a thread's.
    pub(super) fn is_lent(&self) -> bool {
        self.home.is_some() && self.udp.is_none()
    }
}

impl RelayDesk {
    /// Leases from `ports`; made up ones at these addresses where relays have no sockets.
    pub(super) fn new(
        ports: Arc<Mutex<PortDesk>>,
        doors: Arc<Doors>,
        made_up: Option<Vec<IpAddr>>,
        now: Instant,
    ) -> Self {
        let made_up = made_up.map(|addresses| (MadeUpPorts::new(), addresses));
        Self { ports, doors, made_up, last: 0, leased: HashMap::new(), now }
    }

    pub(super) fn of(&mut self, relay: Relay) -> Option<&mut Leased> {
        self.leased.get_mut(&relay.id)
    }

    /// Takes the socket out of a lease for `thread`, with its slot there.
    pub(super) fn take(&mut self, relay: Relay, thread: WorkerId) -> Option<(SocketId, UdpSocket)> {
        let leased = self.leased.get_mut(&relay.id)?;
        let (home, udp) = (leased.home?, leased.udp.take()?);
        let (_, socket) = if home.0 == thread {
            home
        } else {
            let moved = lock(&self.ports).rehome(home, thread).ok()?;
            *leased.home.insert((thread, moved))
        };
        Some((socket, udp))
    }

    /// Keeps a socket that a thread has given back, unless it never got there; the port is free if nobody needs it
    /// any more.
    pub(super) fn give_back(&mut self, relay: u64, udp: Option<UdpSocket>) {
        let Some(leased) = self.leased.get_mut(&relay) else { return };
        leased.udp = udp;
        if leased.released {
            self.forget(relay);
        }
    }

    fn forget(&mut self, relay: u64) {
        let Some(leased) = self.leased.remove(&relay) else { return };
        match (leased.home, &mut self.made_up) {
            (Some((thread, socket)), _) => {
                drop(leased.udp);
                lock(&self.ports).free(self.now, thread, socket);
            }
            (None, Some((ports, _))) => ports.free(leased.relayed),
            (None, None) => {}
        }
    }

    fn add(&mut self, leased: Leased) -> Relay {
        self.last += 1;
        let relay = Relay { id: self.last, relayed: leased.relayed };
        self.leased.insert(relay.id, leased);
        relay
    }

    fn make_up(&mut self, want: Want) -> Result<Vec<Relay>, LeaseError> {
        let Some((ports, addresses)) = &mut self.made_up else { return Err(LeaseError::Family) };
        let ip = addresses.iter().find(|ip| ip.is_ipv6() == want.ipv6);
        let ip = *ip.ok_or(LeaseError::Family)?;
        let count = if want.pair { 2 } else { 1 };
        let doors = &self.doors;
        let is_free = |address| !matches!(doors.beyond(address), Beyond::Inside(_));
        let made = ports.lease(ip, want.even || want.pair, count, is_free);
        let made = made.ok_or(LeaseError::Exhausted)?;
        let lease =
            |relayed| Leased { home: None, relayed, bound: relayed, udp: None, released: false };
        Ok(made.into_iter().map(|relayed| self.add(lease(relayed))).collect())
    }
}

impl Relays for RelayDesk {
    fn lease(&mut self, want: Want) -> Result<Vec<Relay>, LeaseError> {
        if self.made_up.is_some() {
            return self.make_up(want);
        }
        let wanted = match (want.pair, want.even) {
            (true, _) => RelayPorts::Pair,
            (false, true) => RelayPorts::Even,
            (false, false) => RelayPorts::Any,
        };
        let thread = want.thread;
        let ports = lock(&self.ports).lease_relays(self.now, thread, want.ipv6, wanted);
        let ports = ports.map_err(|error| match error {
            PortError::NoRange | PortError::NoInterface { .. } => LeaseError::Family,
            error => {
                tracing::warn!(%error, "no port for a relay");
                LeaseError::Exhausted
            }
        })?;
        let lease = |Port { socket, udp, bound, announced }| Leased {
            home: Some((thread, socket)),
            relayed: announced,
            bound,
            udp: Some(udp),
            released: false,
        };
        Ok(ports.into_iter().map(|port| self.add(lease(port))).collect())
    }

    fn release(&mut self, relay: Relay) {
        let Some(leased) = self.leased.get_mut(&relay.id) else { return };
        leased.released = true;
        if leased.udp.is_some() || leased.home.is_none() {
            self.forget(relay.id);
        }
    }
}
