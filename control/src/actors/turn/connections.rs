//! Connections of TCP relays (RFC 6062): what they are called on both sides, and where peers come in.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::turn::ConnectionId;

/// Peers that wait to be accepted by one relay, most.
const BACKLOG: i32 = 16;

/// What connections of TCP relays are called: by the server with numbers that nobody guesses, by the edge
/// with those at hand.
#[derive(Default)]
pub(super) struct Connections {
    at_edge: HashMap<ConnectionId, u32>,
    here: HashMap<u32, ConnectionId>,
    last: u32,
}

impl Connections {
    /// Names one for the edge, which has the upper half of the numbers for itself.
    pub(super) fn name(&mut self, connection: ConnectionId) -> u32 {
        loop {
            self.last = (self.last + 1) & (u32::MAX >> 1);
            if !self.here.contains_key(&self.last) {
                self.add(connection, self.last);
                return self.last;
            }
        }
    }

    pub(super) fn add(&mut self, connection: ConnectionId, number: u32) {
        self.at_edge.insert(connection, number);
        self.here.insert(number, connection);
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) -> Option<u32> {
        let number = self.at_edge.remove(&connection)?;
        self.here.remove(&number);
        Some(number)
    }

    /// What the server calls one of the edge's.
    pub(super) fn known(&self, number: u32) -> Option<ConnectionId> {
        self.here.get(&number).copied()
    }

    /// What the edge calls one of the server's.
    pub(super) fn at_edge(&self, connection: ConnectionId) -> Option<u32> {
        self.at_edge.get(&connection).copied()
    }
}

/// Connections of others leave from the same port.
pub(super) fn listener(bound: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(bound), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if bound.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&bound.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_name_for_a_connection_until_it_is_forgotten() {
        let mut connections = Connections::default();
        let (made, accepted) = (ConnectionId(7), ConnectionId(8));
        let number = connections.name(made);
        connections.add(accepted, 1 << 31);
        assert!(number < 1 << 31, "the upper half is the edge's");
        assert_eq!(connections.known(number), Some(made));
        assert_eq!(connections.at_edge(accepted), Some(1 << 31));
        assert_eq!(connections.forget(made), Some(number));
        assert_eq!((connections.known(number), connections.forget(made)), (None, None));
    }
}
