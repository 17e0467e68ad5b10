//! Relayed addresses (RFC 8656 §3.2), and where they come from.

use std::net::SocketAddr;

use causeway_engine::command::WorkerId;

/// The protocol between relay and peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayTransport {
    /// UDP.
    Udp,
    /// TCP (RFC 6062).
    Tcp,
}

/// A relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// What [`Relays`] knows it by.
    pub id: u64,
    /// The announced address, which XOR-RELAYED-ADDRESS tells.
    pub relayed: SocketAddr,
}

/// Which relayed address is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The thread that will own it; a port that was reserved may come to be used by another one.
    pub thread: WorkerId,
    /// Its protocol.
    pub transport: RelayTransport,
    /// Whether it is to be IPv6.
    pub ipv6: bool,
    /// Whether its port is to be even.
    pub even: bool,
    /// Whether two are wanted: an even port and the one above it.
    pub pair: bool,
}

/// Why there is no relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseError {
    /// The node has no address of the family.
    Family,
    /// All ports are taken.
    Exhausted,
}

/// Where relayed addresses come from.
pub trait Relays {
    /// Hands out one address, or two if a pair is wanted, the even port first.
    ///
    /// # Errors
    /// If there is none.
    fn lease(&mut self, want: Want) -> Result<Vec<Relay>, LeaseError>;

    /// Takes one back.
    fn release(&mut self, relay: Relay);
}
