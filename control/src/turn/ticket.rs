//! Tickets of mobility (RFC 8016): whoever shows one, and has the credentials, takes the allocation along
//! to another 5-tuple. They are random numbers, so that nothing about an allocation can be read from them, and
//! written as digits: some clients keep them as text, which ends with the first zero.

use std::collections::HashMap;

use super::Key;

/// Bytes of a ticket, and of the number that it is.
pub(super) const TICKET_LEN: usize = 2 * NUMBER_LEN;
const NUMBER_LEN: usize = 16;

/// What moves an allocation.
pub(super) type Ticket = [u8; TICKET_LEN];

/// Writes a random number as a ticket.
pub(super) fn written(number: [u8; NUMBER_LEN]) -> Ticket {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    std::array::from_fn(|place| {
        let byte = number[place / 2];
        digit(if place % 2 == 0 { byte >> 4 } else { byte & 15 })
    })
}

/// Which allocation a ticket is for.
#[derive(Debug, Default)]
pub(super) struct Tickets(HashMap<Ticket, Key>);

/// The tickets of one allocation. The one before the current counts too, since the answer that brought the
/// current one may have been lost on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) current: Ticket,
    previous: Option<Ticket>,
}

impl Tickets {
    /// The allocation that the ticket is for.
    pub(super) fn find(&self, ticket: &[u8]) -> Option<Key> {
        self.0.get(<&Ticket>::try_from(ticket).ok()?).copied()
    }

    /// Gives an allocation its first ticket.
    pub(super) fn issue(&mut self, key: Key, ticket: Ticket) -> Pair {
        self.0.insert(ticket, key);
        Pair { current: ticket, previous: None }
    }

    /// Gives it another one.
    pub(super) fn renew(&mut self, key: Key, pair: Pair, ticket: Ticket) -> Pair {
        if let Some(oldest) = pair.previous {
            self.0.remove(&oldest);
        }
        self.0.insert(ticket, key);
        Pair { current: ticket, previous: Some(pair.current) }
    }

    /// Lets none of them count any more.
    pub(super) fn forget(&mut self, pair: Pair) {
        self.0.remove(&pair.current);
        pair.previous.and_then(|previous| self.0.remove(&previous));
    }
}
