//! The pairs of a transport that have passed a check: the worker names the nominated one by its far
//! address, and the handshake needs the socket too.

use std::net::SocketAddr;

use causeway_engine::command::SocketId;
use causeway_engine::config::PAIRS_PER_TRANSPORT;
use causeway_engine::few::Few;

/// The pairs, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Paths(Few<(SocketId, SocketAddr), PAIRS_PER_TRANSPORT>);

impl Paths {
    /// Notes a pair that has passed a check; the oldest goes if there are too many.
    pub(crate) fn add(&mut self, path: (SocketId, SocketAddr)) {
        self.0.retain(|held| *held != path);
        if self.0.is_full() {
            self.0.remove(0);
        }
        let _ = self.0.try_push(path);
    }

    /// The latest pair with this far address.
    pub(crate) fn to(&self, remote: SocketAddr) -> Option<(SocketId, SocketAddr)> {
        self.0.iter().rev().find(|(_, held)| *held == remote).copied()
    }
}
