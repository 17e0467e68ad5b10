//! The TURN server (RFC 8656, with TCP relays of RFC 6062 and mobility of RFC 8016): who has which
//! relayed address, whom it reaches, and until when.
//!
//! [`Server`] is sans-IO. It takes the requests that the engine lets through, with the 5-tuple that they came
//! from, and says what to answer and which tables the engine is to forward by ([`Output`]). Relayed addresses
//! it gets from [`Relays`]; every one that was leased is released once.
//!
//! What never comes here: Send indications and ChannelData, which the engine forwards by those tables; and
//! requests without a valid nonce, which it refuses by itself, so that nothing is remembered about anybody
//! who has not shown that its source address is its own. So no nonce is made here: a refusal for wrong
//! credentials repeats the one that the request brought.
//!
//! # Where it deviates
//! - A Refresh of an allocation of two families prolongs both, also where REQUESTED-ADDRESS-FAMILY names one;
//!   with a lifetime of 0 it ends that one only (RFC 8656 §8.2).
//! - A Refresh with a ticket from the 5-tuple that the allocation has is a plain one, not an error (RFC 8016
//!   §3.2): it is the one that moved it there, come again.

mod allocate;
mod allocation;
mod channel;
mod connect;
mod connection;
mod credentials;
mod message;
mod output;
mod permission;
mod policy;
mod quota;
mod reach;
mod refresh;
mod relay;
mod reservation;
mod ticket;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use causeway_engine::command::{SocketId, WorkerId};

pub use self::allocation::{DEFAULT_LIFETIME, MAX_LIFETIME, RELAYS_PER_ALLOCATION};
pub use self::channel::{CHANNEL_LIFETIME, CHANNEL_NUMBERS};
pub use self::connection::{
    BIND_TIMEOUT, CONNECT_TIMEOUT, CONNECTIONS_PER_ALLOCATION, ConnectionId,
};
pub use self::credentials::{Credentials, Md5, Minted, SharedSecret};
pub use self::output::Output;
pub use self::permission::PERMISSION_LIFETIME;
pub use self::policy::Policy;
pub use self::quota::{Limits, Rate};
pub use self::relay::{LeaseError, Relay, RelayTransport, Relays, Want};
pub use self::reservation::RESERVATION_LIFETIME;

use self::allocation::Allocation;
use self::connection::Connections;
use self::credentials::{Grant, User};
use self::message::{Code, Method, Request};
use self::quota::Quota;
use self::reservation::Reservations;
use self::ticket::Tickets;

/// The client's side of a 5-tuple (RFC 8656 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// The thread that owns its socket or stream, and so its allocation.
    pub thread: WorkerId,
    /// The socket there.
    pub socket: SocketId,
    /// Its address as seen.
    pub remote: SocketAddr,
    /// How it comes.
    pub transport: ClientTransport,
}

/// How a client talks to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// Names an allocation for life; a move to another 5-tuple does not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

/// How a [`Server`] is set up.
#[derive(Debug)]
pub struct Settings {
    /// Whom it knows, and its realm.
    pub credentials: Credentials,
    /// Whom it relays to.
    pub policy: Policy,
    /// How much of everything.
    pub limits: Limits,
    /// Whether there are TCP relays (RFC 6062).
    pub tcp_relays: bool,
    /// Whether allocations may move (RFC 8016).
    pub mobility: bool,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Allocations that were made.
    pub allocations: u64,
    /// Messages that are no request that the server knows, and answers that could not be written.
    pub dropped: u64,
    /// Requests with wrong or expired credentials.
    pub unauthenticated: u64,
    /// Requests that were refused otherwise.
    pub refused: u64,
    /// Connections of peers that found no permission, no client or no room.
    pub unwelcome: u64,
}

type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// The server. See the [module](self).
pub struct Server {
    settings: Settings,
    random: Random,
    last_key: u64,
    allocations: HashMap<Key, Allocation>,
    clients: HashMap<Client, Key>,
    schedule: BTreeSet<(Instant, Key)>,
    reservations: Reservations,
    tickets: Tickets,
    connections: Connections,
    quota: Quota,
    outputs: VecDeque<Output>,
    counts: Counts,
}

/// A request that was authenticated, with its circumstances.
struct Asked<'m> {
    now: Instant,
    unix: u64,
    client: Client,
    request: Request<'m>,
    grant: Grant,
}

/// What becomes of a request: an answer, or none yet.
type Answer = Result<Option<Box<[u8]>>, Code>;

impl Server {
    /// Makes a server without allocations; `random` fills a buffer with what nobody can guess.
    pub fn new(settings: Settings, random: impl FnMut(&mut [u8]) + Send + 'static) -> Self {
        let quota = Quota::new(settings.limits);
        Self {
            settings,
            random: Box::new(random),
            last_key: 0,
            allocations: HashMap::new(),
            clients: HashMap::new(),
            schedule: BTreeSet::new(),
            reservations: Reservations::default(),
            tickets: Tickets::default(),
            connections: Connections::default(),
            quota,
            outputs: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a message that has come from `client`; `unix` is `now` in seconds since 1970.
    pub fn handle(
        &mut self,
        now: Instant,
        unix: u64,
        client: Client,
        bytes: &[u8],
        relays: &mut dyn Relays,
    ) {
        self.handle_timeout(now, relays);
        let Some(request) = Request::parse(bytes) else {
            self.counts.dropped += 1;
            return;
        };
        match self.authenticate(unix, &request) {
            Ok(grant) => self.serve(&Asked { now, unix, client, request, grant }, relays),
            Err(code) => self.challenge(client, &request, code),
        }
    }

    /// Notes that the client's stream is gone, and with it its allocation or data connection. An allocation
    /// that may move waits for its client until its lifetime is over.
    pub fn closed(&mut self, now: Instant, client: &Client, relays: &mut dyn Relays) {
        self.handle_timeout(now, relays);
        if let Some(connection) = self.connections.of_stream(client) {
            self.end_connection(connection);
            return;
        }
        let Some(key) = self.clients.get(client).copied() else { return };
        if self.allocations.get(&key).is_some_and(|held| held.tickets.is_some()) {
            self.clients.remove(client);
        } else {
            self.end(key, relays);
        }
    }

    /// Notes that the engine has refused an allocation, or lost it.
    pub fn lost(&mut self, key: Key, relays: &mut dyn Relays) {
        self.forget(key, relays);
    }

    /// Lets everything end whose time is over.
    pub fn handle_timeout(&mut self, now: Instant, relays: &mut dyn Relays) {
        while let Some(&(at, key)) = self.schedule.first()
            && at <= now
        {
            self.lapse(now, key, relays);
        }
        while let Some(connection) = self.connections.lapsed(now) {
            self.give_up(connection);
        }
        while let Some(kept) = self.reservations.lapsed(now) {
            self.quota.unreserve(&kept.user);
            relays.release(kept.relay);
        }
    }

    /// What is to be done next; [`Output::Timeout`] if nothing is.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            let allocations = self.schedule.first().map(|(at, _)| *at);
            let others = [self.connections.next(), self.reservations.next()];
            Output::Timeout(others.into_iter().flatten().chain(allocations).min())
        })
    }

    /// Takes the addresses of the node's own media, for the [`Policy`]: permissions that there are stay.
    pub fn set_own(&mut self, own: Vec<IpAddr>) {
        self.settings.policy.own = own;
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// How many connections of TCP relays there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Who asks (RFC 8489 §9.2.4).
    fn authenticate(&self, unix: u64, request: &Request<'_>) -> Result<Grant, Code> {
        let message = &request.message;
        if !message.has_integrity() {
            return Err(Code::Unauthenticated);
        }
        if message.username.is_none() || message.nonce.is_none() || request.realm.is_none() {
            return Err(Code::BadRequest);
        }
        let credentials = &self.settings.credentials;
        Some(credentials)
            .filter(|_| request.realm == Some(credentials.realm()))
            .and_then(|credentials| credentials.authenticate(unix, message))
            .ok_or(Code::Unauthenticated)
    }

    fn challenge(&mut self, client: Client, request: &Request<'_>, code: Code) {
        let nonce = request.message.nonce.filter(|_| code == Code::Unauthenticated);
        let challenge = nonce.map(|nonce| (self.settings.credentials.realm(), nonce));
        self.counts.unauthenticated += 1;
        match message::unauthenticated(request.id(), code, challenge) {
            Some(bytes) => self.reply(client, bytes),
            None => self.counts.dropped += 1,
        }
    }

    fn serve(&mut self, asked: &Asked<'_>, relays: &mut dyn Relays) {
        let request = &asked.request;
        let answer = if !request.unknown.is_empty() {
            Err(Code::UnknownAttribute)
        } else if request.malformed {
            Err(Code::BadRequest)
        } else {
            match request.method {
                Method::Allocate => self.allocate(asked, relays),
                Method::Refresh => self.refresh(asked, relays),
                Method::CreatePermission => self.create_permission(asked),
                Method::ChannelBind => self.bind_channel(asked),
                Method::Connect => self.connect(asked),
                Method::ConnectionBind => self.bind_connection(asked),
                Method::ConnectionAttempt => Err(Code::BadRequest),
            }
        };
        match answer {
            Ok(Some(bytes)) => self.reply(asked.client, bytes),
            Ok(None) => {}
            Err(code) => {
                self.counts.refused += 1;
                let bytes = message::error(request.id(), code, &request.unknown, &asked.grant.key);
                self.reply(asked.client, bytes);
            }
        }
    }

    /// The allocation of the 5-tuple that a request came from.
    ///
    /// # Errors
    /// 437 if there is none, 441 if it is another user's.
    fn own(&self, asked: &Asked<'_>) -> Result<Key, Code> {
        let key = *self.clients.get(&asked.client).ok_or(Code::AllocationMismatch)?;
        self.check_username(key, asked)?;
        Ok(key)
    }

    fn check_username(&self, key: Key, asked: &Asked<'_>) -> Result<(), Code> {
        let held = self.allocations.get(&key).ok_or(Code::AllocationMismatch)?;
        if *held.username == *asked.request.username() {
            return Ok(());
        }
        Err(Code::WrongCredentials)
    }

    fn reply(&mut self, client: Client, bytes: Box<[u8]>) {
        self.outputs.push_back(Output::Reply { client, bytes });
    }

    fn random<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        (self.random)(&mut bytes);
        bytes
    }

    /// Lets what is over of an allocation end, or all of it.
    fn lapse(&mut self, now: Instant, key: Key, relays: &mut dyn Relays) {
        let Some(held) = self.allocations.get_mut(&key) else { return };
        if held.expires <= now {
            return self.end(key, relays);
        }
        self.prune(now, key, |_| false);
    }

    /// Takes out permissions and channels that are over at `now` or of peers that are `gone`.
    fn prune(&mut self, now: Instant, key: Key, gone: impl Fn(IpAddr) -> bool) {
        let Some(held) = self.allocations.get_mut(&key) else { return };
        let channels = held.channels.drop_if(now, |peer| gone(peer.ip())).into_iter();
        self.outputs.extend(channels.map(|channel| Output::Unbind { key, channel }));
        let peers = held.permissions.drop_if(now, gone).into_iter();
        self.outputs.extend(peers.map(|peer| Output::Forbid { key, peer }));
        self.reschedule(key);
    }

    /// Sees to it that an allocation is looked at when something of it is over.
    fn reschedule(&mut self, key: Key) {
        let Some(held) = self.allocations.get_mut(&key) else { return };
        let next = held.next();
        if next != held.scheduled {
            self.schedule.remove(&(held.scheduled, key));
            held.scheduled = next;
        }
        self.schedule.insert((next, key));
    }

    fn end(&mut self, key: Key, relays: &mut dyn Relays) {
        if self.forget(key, relays) {
            self.outputs.push_back(Output::Remove { key });
        }
    }

    /// Gives back all that an allocation has.
    fn forget(&mut self, key: Key, relays: &mut dyn Relays) -> bool {
        let Some(held) = self.allocations.remove(&key) else { return false };
        self.schedule.remove(&(held.scheduled, key));
        if self.clients.get(&held.client) == Some(&key) {
            self.clients.remove(&held.client);
        }
        if let Some(tickets) = held.tickets {
            self.tickets.forget(tickets);
        }
        held.connections.into_iter().for_each(|connection| self.give_up(connection));
        held.relays.into_iter().for_each(|relay| relays.release(relay));
        self.share(&held.user, |quota| quota.remove(&held.user, key));
        true
    }

    /// Changes the number of a user's allocations and tells those that it still has of their new share.
    fn share(&mut self, user: &User, change: impl FnOnce(&mut Quota)) {
        let before = self.quota.allocations(user).len();
        let old = self.quota.rate(user);
        change(&mut self.quota);
        let rate = self.quota.rate(user);
        if rate != old {
            let kept = self.quota.allocations(user).iter().take(before);
            self.outputs.extend(kept.map(|&key| Output::SetRate { key, rate }));
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("allocations", &self.allocations.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Whether it talks over a stream.
    fn is_stream(&self) -> bool {
        self.transport != ClientTransport::Udp
    }
}

/// An address family, by its number (RFC 8656 §18.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4 = 1,
    V6 = 2,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn numbered(number: u8) -> Result<Self, Code> {
        match number {
            1 => Ok(Self::V4),
            2 => Ok(Self::V6),
            _ => Err(Code::AddressFamilyNotSupported),
        }
    }
}

#[cfg(test)]
mod tests;
