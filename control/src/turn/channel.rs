//! The channels of an allocation (RFC 8656 §12): numbers that stand for peers' transport addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use causeway_engine::config::CHANNELS_PER_ALLOCATION;
use causeway_engine::relay;

use super::message::Code;

/// How long a binding lasts (RFC 8656 §12: "10 minutes").
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// Numbers that channels have.
pub const CHANNEL_NUMBERS: RangeInclusive<u16> = relay::CHANNELS;

/// The channels of one allocation, at most [`CHANNELS_PER_ALLOCATION`].
#[derive(Debug, Default)]
pub(super) struct Channels(Vec<Channel>);

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    until: Instant,
}

impl Channels {
    /// Whether the number may be bound to the peer: both are free, or bound to each other.
    ///
    /// # Errors
    /// 400 if one of them is bound elsewhere, 508 if there is no room.
    pub(super) fn check(&self, number: u16, peer: SocketAddr) -> Result<(), Code> {
        let touched = |held: &&Channel| held.number == number || held.peer == peer;
        match self.0.iter().find(touched) {
            Some(held) if held.number == number && held.peer == peer => Ok(()),
            Some(_) => Err(Code::BadRequest),
            None if self.0.len() < CHANNELS_PER_ALLOCATION => Ok(()),
            None => Err(Code::InsufficientCapacity),
        }
    }

    /// Makes or prolongs a binding and says whether it is new. Legal where [`check`](Self::check) found it so.
    pub(super) fn bind(&mut self, now: Instant, number: u16, peer: SocketAddr) -> bool {
        let until = now + CHANNEL_LIFETIME;
        if let Some(held) = self.0.iter_mut().find(|held| held.number == number) {
            held.until = until;
            return false;
        }
        debug_assert!(self.0.len() < CHANNELS_PER_ALLOCATION);
        self.0.push(Channel { number, peer, until });
        true
    }

    /// Takes out those that are over at `now`, or whose peer `gone` names.
    pub(super) fn drop_if(&mut self, now: Instant, gone: impl Fn(SocketAddr) -> bool) -> Vec<u16> {
        let over = self.0.extract_if(.., |held| held.until <= now || gone(held.peer));
        over.map(|held| held.number).collect()
    }

    /// All of them, with their peers.
    pub(super) fn bindings(&self) -> impl Iterator<Item = (u16, SocketAddr)> {
        self.0.iter().map(|held| (held.number, held.peer))
    }

    /// When the first is over.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|held| held.until).min()
    }
}
