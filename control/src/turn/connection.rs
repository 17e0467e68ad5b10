//! The connections of TCP relays (RFC 6062): a peer's, and the client's that is bound to it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use causeway_engine::stun::{IntegrityKey, TransactionId};

use super::{Client, Key};

/// How long a peer may take to be connected to (RFC 6062 §5.2).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to bind a connection (RFC 6062 §5.2, §5.3).
pub const BIND_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one allocation.
pub const CONNECTIONS_PER_ALLOCATION: usize = 32;

/// Names a connection of a TCP relay: CONNECTION-ID (RFC 6062 §6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: HashMap<ConnectionId, Connection>,
    /// The clients' streams that became data connections.
    streams: HashMap<Client, ConnectionId>,
    schedule: BTreeSet<(Instant, ConnectionId)>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: Key,
    pub(super) peer: SocketAddr,
    pub(super) stage: Stage,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// The peer is being connected to.
    Connecting {
        /// When that has taken too long.
        until: Instant,
        /// Who waits for the answer.
        waits: Box<Waits>,
    },
    /// The client has not bound it yet.
    Unbound {
        /// When that has taken too long.
        until: Instant,
    },
    /// It is bound to this stream.
    Bound(Client),
}

/// A Connect request that is to be answered.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) client: Client,
    pub(super) transaction: TransactionId,
    pub(super) integrity: IntegrityKey,
}

impl Stage {
    fn until(&self) -> Option<Instant> {
        match *self {
            Self::Connecting { until, .. } | Self::Unbound { until } => Some(until),
            Self::Bound(_) => None,
        }
    }
}

impl Connections {
    /// Adds one. Legal while the id is free.
    pub(super) fn add(&mut self, id: ConnectionId, connection: Connection) {
        self.schedule.extend(connection.stage.until().map(|until| (until, id)));
        let before = self.all.insert(id, connection);
        debug_assert!(before.is_none());
    }

    /// Looks at one.
    pub(super) fn find(&self, id: ConnectionId) -> Option<&Connection> {
        self.all.get(&id)
    }

    /// Puts one into another stage and gives the one that it was in.
    pub(super) fn advance(&mut self, id: ConnectionId, stage: Stage) -> Option<Stage> {
        let connection = self.all.get_mut(&id)?;
        let before = std::mem::replace(&mut connection.stage, stage);
        if let Some(until) = before.until() {
            self.schedule.remove(&(until, id));
        }
        match connection.stage {
            Stage::Bound(client) => _ = self.streams.insert(client, id),
            Stage::Connecting { until, .. } | Stage::Unbound { until } => {
                self.schedule.insert((until, id));
            }
        }
        Some(before)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.all.remove(&id)?;
        match connection.stage {
            Stage::Bound(client) => _ = self.streams.remove(&client),
            Stage::Connecting { until, .. } | Stage::Unbound { until } => {
                self.schedule.remove(&(until, id));
            }
        }
        Some(connection)
    }

    /// The connection that a client's stream is bound to.
    pub(super) fn of_stream(&self, client: &Client) -> Option<ConnectionId> {
        self.streams.get(client).copied()
    }

    /// One that has waited too long at `now`.
    pub(super) fn lapsed(&self, now: Instant) -> Option<ConnectionId> {
        self.schedule.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    /// When the first has waited too long.
    pub(super) fn next(&self) -> Option<Instant> {
        self.schedule.first().map(|(until, _)| *until)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
