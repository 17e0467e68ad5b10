//! What a [`Server`](super::Server) wants done.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::{Client, ConnectionId, Key, Rate, Relay, RelayTransport};

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to the client.
    Reply {
        /// To whom.
        client: Client,
        /// A STUN message.
        bytes: Box<[u8]>,
    },
    /// Relay for the client. Its success response comes after.
    Install {
        /// The allocation.
        key: Key,
        /// Its client.
        client: Client,
        /// The protocol towards peers.
        transport: RelayTransport,
        /// One relayed address of each family that it has.
        relays: Vec<Relay>,
        /// Whether the client has asked whether it may set DF (RFC 8656 §18.9): it will in some of its indications.
        dont_fragment: bool,
        /// How much it may send.
        rate: Rate,
    },
    /// Relay no more, and forget its permissions and channels. Its relayed addresses were released.
    Remove {
        /// The allocation.
        key: Key,
    },
    /// One of two relayed addresses is no more. It was released.
    Withdraw {
        /// The allocation.
        key: Key,
        /// The address.
        relay: Relay,
    },
    /// Relay to and from a peer's address, whatever its port.
    Permit {
        /// The allocation.
        key: Key,
        /// The peer.
        peer: IpAddr,
    },
    /// Relay to and from it no more.
    Forbid {
        /// The allocation.
        key: Key,
        /// The peer.
        peer: IpAddr,
    },
    /// Let a channel stand for a peer. That the peer is permitted is said apart, and ends apart.
    Bind {
        /// The allocation.
        key: Key,
        /// The channel.
        channel: u16,
        /// The peer.
        peer: SocketAddr,
    },
    /// Let it stand for nobody.
    Unbind {
        /// The allocation.
        key: Key,
        /// The channel.
        channel: u16,
    },
    /// The client is elsewhere, maybe on another thread. Permissions and channels follow anew.
    Move {
        /// The allocation.
        key: Key,
        /// Where.
        client: Client,
    },
    /// It may send this much from now on.
    SetRate {
        /// The allocation.
        key: Key,
        /// How much.
        rate: Rate,
    },
    /// Connect from the relayed address to a peer and say how it went ([`connected`](super::Server::connected)).
    Connect {
        /// The allocation.
        key: Key,
        /// The connection's name.
        connection: ConnectionId,
        /// The peer.
        peer: SocketAddr,
    },
    /// From here on the client's stream and the peer's connection are one.
    Join {
        /// The connection.
        connection: ConnectionId,
        /// The stream.
        client: Client,
    },
    /// Close a connection to a peer, and the stream that is bound to it.
    Drop {
        /// The connection.
        connection: ConnectionId,
    },
    /// Nothing more until something comes in, or this instant for [`handle_timeout`](super::Server::handle_timeout).
    Timeout(Option<Instant>),
}
