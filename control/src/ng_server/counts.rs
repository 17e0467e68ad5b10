//! What the doors count.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::ng::Command;

/// Which way a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A datagram.
    Udp,
    /// A connection of `ng.tcp`.
    Tcp,
    /// A request of the admin listener.
    Http,
    /// A message over the admin listener.
    WebSocket,
}

/// Why a request got no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nothing stood before the document.
    NoCookie,
    /// Too many requests were in progress.
    Busy,
    /// Too many repeats of it waited already.
    Repeated,
    /// Too many requests waited for their turn.
    Overrun,
    /// Running it failed.
    Lost,
    /// The reply could not be sent: too long for a datagram, or no way back.
    Unsent,
}

/// Why the node closed a connection, or a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// As many were open as may.
    Limit,
    /// Nothing came for long.
    Idle,
    /// A request did not come whole in time.
    Unfinished,
    /// What came is no request.
    Unreadable,
    /// The far side did not read its replies.
    Slow,
}

macro_rules! labelled {
    ($($name:ident { $($variant:ident $label:literal),+ })+) => {$(
        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in metrics.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    )+};
}
labelled! {
    Door { Udp "udp", Tcp "tcp", Http "http", WebSocket "websocket" }
    Silence {
        NoCookie "no_cookie", Busy "busy", Repeated "repeated", Overrun "overrun", Lost "lost",
        Unsent "unsent"
    }
    Closed {
        Limit "limit", Idle "idle", Unfinished "unfinished", Unreadable "unreadable", Slow "slow"
    }
}

/// Everything, since the start.
#[derive(Debug, Clone)]
pub struct Counts {
    proxies: BTreeMap<IpAddr, Proxy>,
    others: Proxy,
    repeats: [u64; Door::ALL.len()],
    refused: [u64; Door::ALL.len()],
    silences: [u64; Silence::ALL.len()],
    closed: [u64; Closed::ALL.len()],
    late: u64,
    /// Connections of `ng.tcp` now.
    pub(super) connections: u64,
}

/// What one address asked for.
#[derive(Debug, Clone)]
pub struct Proxy {
    served: Vec<Served>,
}

/// Requests for one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// How many came, by [`Door`].
    pub requests: [u64; Door::ALL.len()],
    /// How many of them ended in an error.
    pub errors: u64,
    /// How long they took, in all.
    pub time: Duration,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            proxies: BTreeMap::new(),
            others: Proxy::new(),
            repeats: Default::default(),
            refused: Default::default(),
            silences: Default::default(),
            closed: Default::default(),
            late: 0,
            connections: 0,
        }
    }
}

impl Counts {
    /// A request ran. `command` is `None` where none is named that there is.
    pub(super) fn served(
        &mut self,
        (door, peer): (Door, IpAddr),
        command: Option<Command>,
        failed: bool,
        time: Duration,
    ) {
        let row = &mut self.proxy_mut(peer).served[row(command)];
        row.requests[door as usize] += 1;
        row.errors += u64::from(failed);
        row.time += time;
    }

    fn proxy_mut(&mut self, peer: IpAddr) -> &mut Proxy {
        let has_room = self.proxies.len() < PROXIES_MAX;
        if has_room || self.proxies.contains_key(&peer) {
            return self.proxies.entry(peer).or_insert_with(Proxy::new);
        }
        &mut self.others
    }

    pub(super) fn repeat(&mut self, door: Door) {
        self.repeats[door as usize] += 1;
    }

    pub(super) fn refuse(&mut self, door: Door) {
        self.refused[door as usize] += 1;
    }

    pub(super) fn silence(&mut self, why: Silence) {
        self.silences[why as usize] += 1;
    }

    pub(super) fn close(&mut self, why: Closed) {
        self.closed[why as usize] += 1;
    }

    pub(super) fn late(&mut self) {
        self.late += 1;
    }

    /// By whom, the first 64 addresses that asked; `None` stands for all others.
    pub fn proxies(&self) -> impl Iterator<Item = (Option<IpAddr>, &Proxy)> {
        let known = self.proxies.iter().map(|(address, proxy)| (Some(*address), proxy));
        known.chain(self.others.is_used().then_some((None, &self.others)))
    }

    /// Requests for a command, whoever asked.
    pub fn of(&self, command: Option<Command>) -> Served {
        let proxies = self.proxies.values().chain([&self.others]);
        proxies.fold(Served::default(), |sum, proxy| sum.plus(proxy.of(command)))
    }

    /// Requests that had come before and did not run again.
    pub fn repeats(&self, door: Door) -> u64 {
        self.repeats[door as usize]
    }

    /// Requests and connections of those who may not ask.
    pub fn refused(&self, door: Door) -> u64 {
        self.refused[door as usize]
    }

    /// Requests that got no reply.
    pub fn silences(&self, why: Silence) -> u64 {
        self.silences[why as usize]
    }

    /// Connections that the node closed.
    pub fn closed(&self, why: Closed) -> u64 {
        self.closed[why as usize]
    }

    /// Requests that were not done in time.
    pub fn timeouts(&self) -> u64 {
        self.late
    }

    /// Connections of `ng.tcp` now.
    pub fn connections(&self) -> u64 {
        self.connections
    }
}

impl Proxy {
    fn new() -> Self {
        Self { served: vec![Served::default(); Command::ALL.len() + 1] }
    }

    fn is_used(&self) -> bool {
        self.served.iter().any(|served| *served != Served::default())
    }

    /// Its requests for a command; for none that there is.
    pub fn of(&self, command: Option<Command>) -> Served {
        self.served[row(command)]
    }

    /// Its requests that ended in an error.
    pub fn errors(&self) -> u64 {
        self.served.iter().map(|served| served.errors).sum()
    }
}

impl Served {
    /// How many came by any door.
    pub fn all(&self) -> u64 {
        self.requests.iter().sum()
    }

    fn plus(mut self, other: Self) -> Self {
        self.requests.iter_mut().zip(other.requests).for_each(|(sum, more)| *sum += more);
        self.errors += other.errors;
        self.time += other.time;
        self
    }
}

fn row(command: Option<Command>) -> usize {
    command.map_or(Command::ALL.len(), |command| command as usize)
}

/// Addresses whose requests are counted apart, most.
const PROXIES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_at_its_own_number() {
        assert!(Command::ALL.iter().enumerate().all(|(at, command)| *command as usize == at));
        assert!(Door::ALL.iter().enumerate().all(|(at, door)| *door as usize == at));
        assert!(Silence::ALL.iter().enumerate().all(|(at, why)| *why as usize == at));
        assert!(Closed::ALL.iter().enumerate().all(|(at, why)| *why as usize == at));
    }

    #[test]
    fn more_proxies_than_there_is_room_for_are_counted_together() {
        let mut counts = Counts::default();
        for address in 0..PROXIES_MAX as u32 + 10 {
            let peer = IpAddr::from(address.to_be_bytes());
            counts.served((Door::Udp, peer), None, true, Duration::from_secs(1));
        }
        assert_eq!(counts.proxies().count(), PROXIES_MAX + 1);
        let (address, others) = counts.proxies().last().unwrap();
        assert_eq!((address, others.of(None).all(), others.errors()), (None, 10, 10));
        assert_eq!(counts.of(None).requests, [PROXIES_MAX as u64 + 10, 0, 0, 0]);
        assert_eq!(counts.of(None).time, Duration::from_secs(PROXIES_MAX as u64 + 10));
    }
}
