//! The peers that an allocation may hear from (RFC 8656 §9): addresses without ports.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use causeway_engine::config::PERMISSIONS_PER_ALLOCATION;

/// How long a permission lasts (RFC 8656 §9: "MUST be 300 seconds").
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// The permissions of one allocation, at most [`PERMISSIONS_PER_ALLOCATION`].
#[derive(Debug, Default)]
pub(super) struct Permissions(Vec<(IpAddr, Instant)>);

impl Permissions {
    /// Whether there is one for the peer.
    pub(super) fn holds(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|(held, _)| *held == peer)
    }

    /// Whether there is room for all of these.
    pub(super) fn fits(&self, peers: &[IpAddr]) -> bool {
        let new = (0..).zip(peers);
        let new = new.filter(|(at, peer)| !self.holds(**peer) && !peers[..*at].contains(peer));
        self.0.len() + new.count() <= PERMISSIONS_PER_ALLOCATION
    }

    /// Makes or prolongs one and says whether it is new. Legal where it [`fits`](Self::fits).
    pub(super) fn grant(&mut self, now: Instant, peer: IpAddr) -> bool {
        let until = now + PERMISSION_LIFETIME;
        let held = self.0.iter_mut().find(|(held, _)| *held == peer);
        match held {
            Some((_, held_until)) => *held_until = until,
            None => {
                debug_assert!(self.0.len() < PERMISSIONS_PER_ALLOCATION);
                self.0.push((peer, until));
                return true;
            }
        }
        false
    }

    /// Takes out those that are over at `now`, or that `gone` names.
    pub(super) fn drop_if(&mut self, now: Instant, gone: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let over = self.0.extract_if(.., |(peer, until)| *until <= now || gone(*peer));
        over.map(|(peer, _)| peer).collect()
    }

    /// All of them.
    pub(super) fn peers(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|(peer, _)| *peer)
    }

    /// When the first is over.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(_, until)| *until).min()
    }
}
