//! Checks that control's agents sent, until they are answered: a response names no ufrag, so that
//! only its transaction id says whose it is.
//!
//! A table with one place per hash, where a later check takes an earlier one's place: the agent
//! repeats what is not answered. Its ids are random, so nobody can aim at a place.

use std::net::SocketAddr;

use crate::command::{SocketId, TransportId};
use crate::config::CHECKS_ASKED;
use crate::packet::Nanos;
use crate::stun::TransactionId;

/// How long an answer is welcome: longer than a transaction lasts (RFC 8489 §6.2.1).
const WELCOME: Nanos = Nanos::from_millis(40_000);

#[derive(Debug, Clone, Copy)]
struct Asked {
    transaction: TransactionId,
    transport: TransportId,
    socket: SocketId,
    remote: SocketAddr,
    until: Nanos,
}

/// A worker's table of them.
#[derive(Debug)]
pub(crate) struct ChecksAsked {
    places: Box<[Option<Asked>]>,
}

impl ChecksAsked {
    pub(crate) fn new() -> Self {
        Self { places: vec![None; CHECKS_ASKED].into() }
    }

    /// Notes a check.
    pub(crate) fn note(
        &mut self,
        transaction: TransactionId,
        transport: TransportId,
        (socket, remote): (SocketId, SocketAddr),
        now: Nanos,
    ) {
        let until = now.plus(WELCOME.0);
        self.places[place(transaction)] =
            Some(Asked { transaction, transport, socket, remote, until });
    }

    /// Whose check this answers, once: the answer comes from where the check went, to where it came
    /// from (RFC 8445 §7.2.5.2.1).
    pub(crate) fn take(
        &mut self,
        transaction: TransactionId,
        (socket, remote): (SocketId, SocketAddr),
        now: Nanos,
    ) -> Option<TransportId> {
        let asked = self.places[place(transaction)].take_if(|asked| {
            asked.transaction == transaction && (asked.socket, asked.remote) == (socket, remote)
        })?;
        (now <= asked.until).then_some(asked.transport)
    }
}

fn place(TransactionId([a, b, ..]): TransactionId) -> usize {
    usize::from(u16::from_be_bytes([a, b])) % CHECKS_ASKED
}
