//! One allocation (RFC 8656 §3.2): whose it is, what it relays from, to whom, and until when.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use causeway_engine::stun::TransactionId;

use super::channel::Channels;
use super::credentials::User;
use super::message::Code;
use super::permission::Permissions;
use super::ticket::Pair;
use super::{Client, ConnectionId, Family, Relay, RelayTransport};

/// How long an allocation lasts if nothing else is asked for (RFC 8656 §7.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// How long it lasts without a refresh, most (RFC 8656 §7.2 recommends it).
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// Relayed addresses of one allocation: one of each family.
pub const RELAYS_PER_ALLOCATION: usize = 2;

/// An allocation.
#[derive(Debug)]
pub(super) struct Allocation {
    /// Where its client is, or was last.
    pub(super) client: Client,
    /// USERNAME of the Allocate request, which every further request must bring.
    pub(super) username: Box<[u8]>,
    /// Whom it counts for.
    pub(super) user: User,
    pub(super) transport: RelayTransport,
    pub(super) relays: ArrayVec<Relay, RELAYS_PER_ALLOCATION>,
    pub(super) expires: Instant,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    /// Of TCP relays (RFC 6062).
    pub(super) connections: Vec<ConnectionId>,
    /// If it is mobile (RFC 8016).
    pub(super) tickets: Option<Pair>,
    /// The request that made it, and its answer, for when it comes again.
    pub(super) made_by: TransactionId,
    pub(super) answer: Box<[u8]>,
    /// When it is looked at next.
    pub(super) scheduled: Instant,
}

impl Allocation {
    /// When something of it is over.
    pub(super) fn next(&self) -> Instant {
        let parts = [self.permissions.next(), self.channels.next()];
        parts.into_iter().flatten().fold(self.expires, Instant::min)
    }

    /// Whether it has a relayed address of the family.
    pub(super) fn relays(&self, family: Family) -> bool {
        self.relays.iter().any(|relay| Family::of(relay.relayed.ip()) == family)
    }

    /// Whether a peer can be reached from its relayed addresses.
    ///
    /// # Errors
    /// 443 if the peer is of another family.
    pub(super) fn reaches(&self, peer: IpAddr) -> Result<(), Code> {
        if self.relays(Family::of(peer)) {
            return Ok(());
        }
        Err(Code::PeerAddressFamilyMismatch)
    }
}

/// How long an allocation lasts that asks for `seconds`, with credentials that expire at `expires`, at `unix`;
/// at least a second.
pub(super) fn granted(seconds: Option<u32>, expires: Option<u64>, unix: u64) -> u32 {
    let [least, most] = [DEFAULT_LIFETIME, MAX_LIFETIME].map(|life| life.as_secs());
    let asked = seconds.map_or(least, u64::from).clamp(least, most);
    let left = expires.map_or(u64::MAX, |expires| expires.saturating_sub(unix));
    // It is at most `MAX_LIFETIME`.
    asked.min(left).max(1) as u32
}
