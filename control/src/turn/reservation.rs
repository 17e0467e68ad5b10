//! Ports that are kept for a second allocation (RFC 8656 §7.2): EVEN-PORT with its R bit keeps the port
//! above, and RESERVATION-TOKEN claims it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Relay;
use super::credentials::User;

/// How long a port is kept (RFC 8656 §7.2: "at least 30 seconds").
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// The ports that are kept, oldest first. Each counts in its user's quota, which bounds them.
#[derive(Debug, Default)]
pub(super) struct Reservations(VecDeque<Reservation>);

#[derive(Debug)]
pub(super) struct Reservation {
    token: [u8; 8],
    pub(super) relay: Relay,
    pub(super) user: User,
    until: Instant,
}

impl Reservations {
    /// Keeps a port for whoever comes with the token as the same user.
    pub(super) fn keep(&mut self, now: Instant, token: [u8; 8], relay: Relay, user: User) {
        let until = now + RESERVATION_LIFETIME;
        self.0.push_back(Reservation { token, relay, user, until });
    }

    /// Takes out what the token stands for.
    pub(super) fn claim(&mut self, token: [u8; 8], user: &User) -> Option<Relay> {
        let at = self.0.iter().position(|kept| kept.token == token && kept.user == *user)?;
        self.0.remove(at).map(|kept| kept.relay)
    }

    /// Takes out one that is over at `now`.
    pub(super) fn lapsed(&mut self, now: Instant) -> Option<Reservation> {
        self.next().filter(|until| *until <= now)?;
        self.0.pop_front()
    }

    /// When the first is over: they last equally long, so the oldest is.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.front().map(|kept| kept.until)
    }
}
