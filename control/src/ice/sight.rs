//! What an agent saw of the far side's checks, for people.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// A check of the far side and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Where the far side sent it.
    pub announced: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// What became of it.
    pub outcome: CheckOutcome,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It was answered; `nominates` if it carried USE-CANDIDATE.
    Answered {
        /// Whether it settles on this pair.
        nominates: bool,
    },
    /// It names the local ufrag and is signed with another password.
    IntegrityWrong,
    /// It names another far ufrag than the description: another ICE generation, or another peer.
    OtherUfrag,
    /// Both sides claimed one role; the far side was told to change its (RFC 8445 §7.3.1.1).
    RoleConflict,
    /// There was no room for another far address, or it was refused otherwise.
    Refused,
}

/// Sights that wait to be told, most; further ones are lost, the first are what matters.
const SIGHTS_MAX: usize = 32;

/// Sights until they are told.
#[derive(Debug, Default)]
pub(super) struct Sights(VecDeque<Sight>);

impl Sights {
    pub(super) fn see(&mut self, announced: SocketAddr, remote: SocketAddr, outcome: CheckOutcome) {
        if self.0.len() < SIGHTS_MAX {
            self.0.push_back(Sight { announced, remote, outcome });
        }
    }

    pub(super) fn next(&mut self) -> Option<Sight> {
        let next = self.0.pop_front();
        if next.is_none() {
            self.0 = VecDeque::new();
        }
        next
    }
}
