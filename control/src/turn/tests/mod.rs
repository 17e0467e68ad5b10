//! The server, asked over its own messages: [`Net`] is what stands around it, with a clock of its own.

mod allocating;
mod authenticating;
mod connecting;
mod credentials;
mod hostile;
mod moving;
mod policy;
mod reaching;
mod refreshing;
mod sharing;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use causeway_engine::command::{SocketId, WorkerId};
use causeway_engine::stun::{
    Class, IntegrityKey, Message, TransactionId, Writer, attribute, attributes, unxor,
};

use super::message::{Method, kind};
use super::*;

const REALM: &str = "example.org";
const SECRET: &str = "a secret of the node";
const NONCE: &[u8] = b"nonce";
/// Seconds since 1970 when every test begins.
const UNIX: u64 = 1_700_000_000;
const PEER: &str = "203.0.113.9:5000";
const PEER_V6: &str = "[2001:db8::9]:5000";

/// Stands in for MD5, since the server does not care which digest its users agree on: FNV, twice.
fn digest(bytes: &[u8]) -> [u8; 16] {
    let fnv = |seed: u64| {
        bytes
            .iter()
            .fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    };
    let mut out = [0; 16];
    out[..8].copy_from_slice(&fnv(0xcbf2_9ce4_8422_2325).to_be_bytes());
    out[8..].copy_from_slice(&fnv(0x1234_5678_9abc_def0).to_be_bytes());
    out
}

fn key_of(user: &str, password: &str) -> IntegrityKey {
    IntegrityKey::from_secret(&digest(format!("{user}:{REALM}:{password}").as_bytes()))
}

/// Hands out addresses and counts them.
#[derive(Default)]
struct Ports {
    next: u64,
    out: HashSet<u64>,
    wants: Vec<Want>,
    no_v4: Option<LeaseError>,
    no_v6: Option<LeaseError>,
}

impl Relays for Ports {
    fn lease(&mut self, want: Want) -> Result<Vec<Relay>, LeaseError> {
        self.wants.push(want);
        let refused = if want.ipv6 { self.no_v6 } else { self.no_v4 };
        refused.map_or(Ok(()), Err)?;
        let address = if want.ipv6 { "[2001:db8::1]:0" } else { "198.51.100.1:0" };
        let mut leased = Vec::new();
        self.next = self.next.next_multiple_of(2);
        for _ in 0..=usize::from(want.pair) {
            let mut relayed: SocketAddr = address.parse().unwrap();
            relayed.set_port(40_000 + (self.next % 20_000) as u16);
            assert!(self.out.insert(self.next));
            leased.push(Relay { id: self.next, relayed });
            self.next += 1;
        }
        Ok(leased)
    }

    fn release(&mut self, relay: Relay) {
        assert!(self.out.remove(&relay.id), "{relay:?} is given back, but was not out");
    }
}

/// A server and its surroundings.
struct Net {
    server: Server,
    ports: Ports,
    now: Instant,
    unix: u64,
    transactions: u64,
}

fn limits() -> Limits {
    let none = Rate::default();
    Limits { user_allocations: 8, allocations: 10, user_rate: none, rate: none }
}

fn settings(policy: Policy, limits: Limits) -> Settings {
    let users = [("bob", "secret"), ("eve", "other")];
    let secrets = [SharedSecret::new(SECRET), SharedSecret::new("the secret before")];
    Settings {
        credentials: Credentials::new(REALM, users, secrets, digest),
        policy,
        limits,
        tcp_relays: true,
        mobility: true,
    }
}

impl Net {
    fn new() -> Self {
        Self::with(settings(Policy::default(), limits()))
    }

    fn with(settings: Settings) -> Self {
        let drawn = Arc::new(AtomicU64::new(1));
        let random = move |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(8) {
                let next =
                    drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                chunk.copy_from_slice(&next.to_be_bytes()[..chunk.len()]);
            }
        };
        let server = Server::new(settings, random);
        let (ports, now) = (Ports::default(), Instant::now());
        Self { server, ports, now, unix: UNIX, transactions: 0 }
    }

    /// Lets time pass.
    fn pass(&mut self, seconds: u64) -> Vec<Output> {
        self.now += Duration::from_secs(seconds);
        self.unix += seconds;
        self.server.handle_timeout(self.now, &mut self.ports);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            match self.server.poll_output() {
                Output::Timeout(_) => return outputs,
                output => outputs.push(output),
            }
        }
    }

    fn next(&mut self) -> Option<Duration> {
        match self.server.poll_output() {
            Output::Timeout(at) => at.map(|at| at - self.now),
            output => panic!("{output:?} was not taken"),
        }
    }

    fn transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = TransactionId::default();
        id.0[..8].copy_from_slice(&self.transactions.to_be_bytes());
        id
    }

    fn give(&mut self, client: Client, bytes: &[u8]) -> Vec<Output> {
        self.server.handle(self.now, self.unix, client, bytes, &mut self.ports);
        self.outputs()
    }

    /// Sends a request as bob and gives what comes of it.
    fn ask(&mut self, client: Client, ask: Ask) -> (Reply, Vec<Output>) {
        self.ask_as("bob", "secret", client, ask)
    }

    fn ask_as(
        &mut self,
        user: &str,
        password: &str,
        client: Client,
        ask: Ask,
    ) -> (Reply, Vec<Output>) {
        let bytes = ask.signed(self.transaction(), user, &key_of(user, password));
        let mut outputs = self.give(client, &bytes);
        let reply = take_reply(&mut outputs, client, &key_of(user, password));
        (reply.unwrap_or_else(|| panic!("no answer, but {outputs:?}")), outputs)
    }

    /// Sends a request that has to be refused with `code`, and to change nothing.
    fn refused(&mut self, client: Client, ask: Ask, code: u16) -> Reply {
        let (reply, outputs) = self.ask(client, ask);
        assert_eq!((reply.error(), outputs), (code, Vec::new()));
        reply
    }

    /// Sends a request that has to succeed.
    fn done(&mut self, client: Client, ask: Ask) -> (Reply, Vec<Output>) {
        let (reply, outputs) = self.ask(client, ask);
        assert_eq!(reply.error(), 0);
        (reply, outputs)
    }

    /// Makes an allocation and names it.
    fn allocated(&mut self, client: Client, ask: Ask) -> (Key, Reply) {
        let (reply, outputs) = self.done(client, ask);
        (installed(&outputs), reply)
    }
}

fn installed(outputs: &[Output]) -> Key {
    let key = outputs.iter().find_map(|output| match output {
        Output::Install { key, .. } => Some(*key),
        _ => None,
    });
    key.unwrap_or_else(|| panic!("nothing is installed by {outputs:?}"))
}

/// Takes the one reply out of the outputs; what is signed is signed with `key`.
fn take_reply(outputs: &mut Vec<Output>, to: Client, key: &IntegrityKey) -> Option<Reply> {
    let at = outputs.iter().position(|output| matches!(output, Output::Reply { .. }))?;
    let Output::Reply { client, bytes } = outputs.remove(at) else { return None };
    assert_eq!(client, to);
    let reply = Reply(bytes);
    let message = reply.message();
    assert!(message.fingerprint_holds());
    assert!(!message.has_integrity() || message.verify_integrity(key));
    assert!(message.has_integrity() || reply.error() != 0 || message.class == Class::Indication);
    Some(reply)
}

/// An answer.
struct Reply(Box<[u8]>);

impl Reply {
    fn message(&self) -> Message<'_> {
        Message::parse(&self.0).unwrap()
    }

    /// Its error code; 0 for success.
    fn error(&self) -> u16 {
        let message = self.message();
        assert_eq!(message.class == Class::Error, message.error.is_some());
        message.error.unwrap_or(0)
    }

    fn all(&self, kind: u16) -> impl Iterator<Item = &[u8]> {
        attributes(&self.0).map(Option::unwrap).filter(move |a| a.kind == kind).map(|a| a.value)
    }

    fn one(&self, kind: u16) -> Option<&[u8]> {
        self.all(kind).next()
    }

    fn relayed(&self) -> Vec<SocketAddr> {
        let read = |value| unxor(value, self.message().transaction).unwrap();
        self.all(kind::XOR_RELAYED_ADDRESS).map(read).collect()
    }

    fn lifetime(&self) -> u32 {
        u32::from_be_bytes(self.one(kind::LIFETIME).unwrap().try_into().unwrap())
    }

    fn connection(&self) -> ConnectionId {
        let value = self.one(kind::CONNECTION_ID).unwrap().try_into().unwrap();
        ConnectionId(u32::from_be_bytes(value))
    }
}

/// A request in the making.
#[derive(Clone)]
struct Ask {
    method: Method,
    attributes: Vec<(u16, Vec<u8>)>,
    peers: Vec<SocketAddr>,
}

impl Ask {
    fn new(method: Method) -> Self {
        Self { method, attributes: Vec::new(), peers: Vec::new() }
    }

    fn allocate() -> Self {
        Self::new(Method::Allocate).with(kind::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
    }

    fn allocate_tcp() -> Self {
        Self::new(Method::Allocate).with(kind::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
    }

    fn refresh(seconds: u32) -> Self {
        Self::new(Method::Refresh).with(kind::LIFETIME, &seconds.to_be_bytes())
    }

    fn permission(peers: &[&str]) -> Self {
        peers.iter().fold(Self::new(Method::CreatePermission), |ask, peer| ask.peer(peer))
    }

    fn channel(number: u16, peer: &str) -> Self {
        Self::new(Method::ChannelBind).number(number).peer(peer)
    }

    fn number(self, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        self.with(kind::CHANNEL_NUMBER, &[high, low, 0, 0])
    }

    fn peer(mut self, peer: &str) -> Self {
        self.peers.push(peer.parse().unwrap());
        self
    }

    fn family(self, kind: u16, number: u8) -> Self {
        self.with(kind, &[number, 0, 0, 0])
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.attributes.push((kind, value.into()));
        self
    }

    fn signed(&self, id: TransactionId, user: &str, key: &IntegrityKey) -> Vec<u8> {
        let who = [(attribute::USERNAME, user.as_bytes()), (attribute::REALM, REALM.as_bytes())];
        self.written(id, &[who[0], who[1], (attribute::NONCE, NONCE)], Some(key))
    }

    fn written(
        &self,
        id: TransactionId,
        more: &[(u16, &[u8])],
        key: Option<&IntegrityKey>,
    ) -> Vec<u8> {
        let mut out = [0; 8192];
        let mut writer = Writer::begin(&mut out, Class::Request, self.method as u16, id).unwrap();
        for (kind, value) in &self.attributes {
            writer.attribute(*kind, &[value]).unwrap();
        }
        for peer in &self.peers {
            writer.xor_address(kind::XOR_PEER_ADDRESS, *peer).unwrap();
        }
        for (kind, value) in more {
            writer.attribute(*kind, &[value]).unwrap();
        }
        let len = writer.finish(key).unwrap();
        out[..len].to_vec()
    }
}

fn client(port: u16, transport: ClientTransport) -> Client {
    let remote = SocketAddr::from(([192, 0, 2, 7], port));
    Client { thread: WorkerId(1), socket: SocketId(2), remote, transport }
}

fn udp(port: u16) -> Client {
    client(port, ClientTransport::Udp)
}

fn tcp(port: u16) -> Client {
    client(port, ClientTransport::Tcp)
}
