//! Connect, ConnectionBind and ConnectionAttempt (RFC 6062 §5): how a TCP relay's connections come to be.

use std::net::SocketAddr;
use std::time::Instant;

use causeway_engine::stun::TransactionId;

use super::connection::{
    BIND_TIMEOUT, CONNECT_TIMEOUT, CONNECTIONS_PER_ALLOCATION, Connection, ConnectionId, Stage,
    Waits,
};
use super::message::{self, Code, Method};
use super::reach::one_peer;
use super::{Answer, Asked, Key, Output, RelayTransport, Server};

/// Connection ids that are drawn for a free one: among 2³² of them, the first is.
const DRAWS: usize = 4;

impl Server {
    /// Takes the outcome of an [`Output::Connect`].
    pub fn connected(&mut self, now: Instant, connection: ConnectionId, outcome: Result<(), ()>) {
        let connecting = self.connections.find(connection);
        if !connecting.is_some_and(|known| matches!(known.stage, Stage::Connecting { .. })) {
            // It was given up meanwhile, and the engine was told so.
            return;
        }
        if outcome.is_err() {
            return self.give_up(connection);
        }
        let unbound = Stage::Unbound { until: now + BIND_TIMEOUT };
        if let Some(Stage::Connecting { waits, .. }) = self.connections.advance(connection, unbound)
        {
            let id = (Method::Connect, waits.transaction);
            let bytes = message::success(id, &waits.integrity, |writer| {
                message::connection_id(writer, connection)
            });
            self.reply(waits.client, bytes);
        }
    }

    /// Takes a connection of a peer to a relayed address and tells the client of it; `None` if it is to be
    /// closed.
    pub fn accepted(&mut self, now: Instant, key: Key, peer: SocketAddr) -> Option<ConnectionId> {
        let connection = self.welcome(now, key, peer);
        self.counts.unwelcome += u64::from(connection.is_none());
        connection
    }

    /// Notes that a connection to a peer is no more, and with it the stream that was bound to it.
    pub fn disconnected(&mut self, connection: ConnectionId) {
        let known = self.connections.find(connection);
        match known.map(|known| matches!(known.stage, Stage::Connecting { .. })) {
            Some(true) => self.give_up(connection),
            Some(false) => _ = self.end_connection(connection),
            None => {}
        }
    }

    pub(super) fn connect(&mut self, asked: &Asked<'_>) -> Answer {
        let key = self.own(asked)?;
        let held = self.allocations.get(&key).ok_or(Code::AllocationMismatch)?;
        if held.transport != RelayTransport::Tcp {
            return Err(Code::AllocationMismatch);
        }
        let peer = one_peer(asked)?;
        self.check_peer(key, peer.ip())?;
        let is_of_peer = |id| self.connections.find(id).is_some_and(|known| known.peer == peer);
        if held.connections.iter().any(|id| is_of_peer(*id)) {
            return Err(Code::ConnectionAlreadyExists);
        }
        let waits = Box::new(Waits {
            client: asked.client,
            transaction: asked.request.message.transaction,
            integrity: asked.grant.key.clone(),
        });
        let stage = Stage::Connecting { until: asked.now + CONNECT_TIMEOUT, waits };
        let connection = self.add_connection(Connection { key, peer, stage });
        let connection = connection.ok_or(Code::InsufficientCapacity)?;
        self.outputs.push_back(Output::Connect { key, connection, peer });
        Ok(None)
    }

    /// Makes the stream that the request came by a connection's.
    pub(super) fn bind_connection(&mut self, asked: &Asked<'_>) -> Answer {
        let client = asked.client;
        let taken = self.clients.contains_key(&client);
        if !client.is_stream() || taken || self.connections.of_stream(&client).is_some() {
            return Err(Code::BadRequest);
        }
        let id = asked.request.connection.ok_or(Code::BadRequest)?;
        let known = self.connections.find(id).ok_or(Code::BadRequest)?;
        self.check_username(known.key, asked)?;
        if !matches!(known.stage, Stage::Unbound { .. }) {
            return Err(Code::BadRequest);
        }
        self.connections.advance(id, Stage::Bound(client));
        let bytes = message::success(asked.request.id(), &asked.grant.key, |writer| {
            message::connection_id(writer, id)
        });
        // What follows the answer on the stream is the peer's.
        self.reply(client, bytes);
        self.outputs.push_back(Output::Join { connection: id, client });
        Ok(None)
    }

    /// Gives up a connection that nobody has bound; who waits for it is told.
    pub(super) fn give_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.end_connection(id) else { return };
        if let Stage::Connecting { waits, .. } = connection.stage {
            self.counts.refused += 1;
            let id = (Method::Connect, waits.transaction);
            let bytes = message::error(id, Code::ConnectionFailure, &[], &waits.integrity);
            self.reply(waits.client, bytes);
        }
    }

    /// Ends a connection.
    pub(super) fn end_connection(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(id)?;
        if let Some(held) = self.allocations.get_mut(&connection.key) {
            held.connections.retain(|held| *held != id);
        }
        self.outputs.push_back(Output::Drop { connection: id });
        Some(connection)
    }

    fn welcome(&mut self, now: Instant, key: Key, peer: SocketAddr) -> Option<ConnectionId> {
        let held = self.allocations.get(&key)?;
        let client = held.client;
        let is_here = self.clients.get(&client) == Some(&key);
        if held.transport != RelayTransport::Tcp || !is_here || !held.permissions.holds(peer.ip()) {
            return None;
        }
        let stage = Stage::Unbound { until: now + BIND_TIMEOUT };
        let connection = self.add_connection(Connection { key, peer, stage })?;
        let transaction = TransactionId(self.random());
        self.reply(client, message::connection_attempt(transaction, connection, peer));
        Some(connection)
    }

    /// Gives a connection a name that cannot be guessed; `None` if its allocation has too many.
    fn add_connection(&mut self, connection: Connection) -> Option<ConnectionId> {
        let held = self.allocations.get(&connection.key)?;
        if held.connections.len() >= CONNECTIONS_PER_ALLOCATION {
            return None;
        }
        let key = connection.key;
        let drawn: [_; DRAWS] =
            std::array::from_fn(|_| ConnectionId(u32::from_be_bytes(self.random())));
        let id = drawn.into_iter().find(|id| self.connections.find(*id).is_none())?;
        self.connections.add(id, connection);
        self.allocations.get_mut(&key)?.connections.push(id);
        Some(id)
    }
}
