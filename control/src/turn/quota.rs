//! How much each user and the node may have: allocations, and what they may send.
//!
//! A user's rate is shared evenly by the user's live allocations, and none of them gets more than the node's
//! rate. A reserved port counts as an allocation until it is claimed or given back.

use std::collections::HashMap;
use std::sync::Arc;

use super::Key;
use super::credentials::User;
use super::message::Code;

/// How much may go through, both ways counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Bytes per second; 0 for as many as come.
    pub bytes: u64,
    /// Packets per second; 0 for as many as come.
    pub packets: u64,
}

impl Rate {
    fn share(self, between: u64) -> Self {
        let part = |whole: u64| if whole == 0 { 0 } else { (whole / between.max(1)).max(1) };
        Self { bytes: part(self.bytes), packets: part(self.packets) }
    }

    fn within(self, other: Self) -> Self {
        let least = |a: u64, b: u64| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
        Self { bytes: least(self.bytes, other.bytes), packets: least(self.packets, other.packets) }
    }
}

/// The most of everything.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Allocations of one user.
    pub user_allocations: usize,
    /// Allocations of the node.
    pub allocations: usize,
    /// What all allocations of one user may carry together.
    pub user_rate: Rate,
    /// What one allocation may carry, whoever's it is.
    pub rate: Rate,
}

/// Who has what.
#[derive(Debug)]
pub(super) struct Quota {
    limits: Limits,
    users: HashMap<User, Usage>,
    total: usize,
}

#[derive(Debug, Default)]
struct Usage {
    allocations: Vec<Key>,
    reserved: usize,
}

impl Quota {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, users: HashMap::new(), total: 0 }
    }

    /// Whether the user may have `more`.
    ///
    /// # Errors
    /// 486 where the user has too many, 508 where the node has.
    pub(super) fn check(&self, user: &User, more: usize) -> Result<(), Code> {
        let used = self.users.get(user).map_or(0, |of| of.allocations.len() + of.reserved);
        if used + more > self.limits.user_allocations {
            return Err(Code::AllocationQuotaReached);
        }
        if self.total + more > self.limits.allocations {
            return Err(Code::InsufficientCapacity);
        }
        Ok(())
    }

    /// Counts an allocation.
    pub(super) fn add(&mut self, user: &User, key: Key) {
        self.total += 1;
        self.users.entry(Arc::clone(user)).or_default().allocations.push(key);
    }

    /// Counts one no more.
    pub(super) fn remove(&mut self, user: &User, key: Key) {
        let Some(usage) = self.users.get_mut(user) else { return };
        let before = usage.allocations.len();
        usage.allocations.retain(|held| *held != key);
        self.total -= before - usage.allocations.len();
        self.forget_idle(user);
    }

    /// Counts a reserved port.
    pub(super) fn reserve(&mut self, user: &User) {
        self.total += 1;
        self.users.entry(Arc::clone(user)).or_default().reserved += 1;
    }

    /// Counts one no more.
    pub(super) fn unreserve(&mut self, user: &User) {
        let Some(usage) = self.users.get_mut(user).filter(|usage| usage.reserved > 0) else {
            return;
        };
        usage.reserved -= 1;
        self.total -= 1;
        self.forget_idle(user);
    }

    /// The user's allocations.
    pub(super) fn allocations(&self, user: &User) -> &[Key] {
        self.users.get(user).map_or(&[], |usage| &usage.allocations)
    }

    /// What each of them may send.
    pub(super) fn rate(&self, user: &User) -> Rate {
        let between = self.allocations(user).len() as u64;
        self.limits.user_rate.share(between).within(self.limits.rate)
    }

    /// Allocations and reserved ports of everybody.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total
    }

    fn forget_idle(&mut self, user: &User) {
        let idle = |usage: &Usage| usage.allocations.is_empty() && usage.reserved == 0;
        if self.users.get(user).is_some_and(idle) {
            self.users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Rate = Rate { bytes: 1000, packets: 10 };

    fn quota(user_rate: Rate, rate: Rate) -> Quota {
        Quota::new(Limits { user_allocations: 2, allocations: 3, user_rate, rate })
    }

    fn user(name: &str) -> User {
        name.as_bytes().into()
    }

    #[test]
    fn a_user_has_a_quota_and_the_node_has_one() {
        let mut quota = quota(Rate::default(), Rate::default());
        let (a, b) = (user("a"), user("b"));
        quota.add(&a, Key(1));
        quota.reserve(&a);
        assert_eq!(quota.check(&a, 1), Err(Code::AllocationQuotaReached));
        assert_eq!(quota.check(&b, 1), Ok(()));
        assert_eq!(quota.check(&b, 2), Err(Code::InsufficientCapacity));
        quota.unreserve(&a);
        quota.unreserve(&a);
        assert_eq!(quota.check(&b, 2), Ok(()));
        quota.remove(&a, Key(9));
        quota.remove(&a, Key(1));
        assert_eq!((quota.total(), quota.users.len()), (0, 0));
    }

    #[test]
    fn a_users_rate_is_shared_and_never_above_the_nodes() {
        let a = user("a");
        let shares = |user_rate, rate| {
            let mut quota = quota(user_rate, rate);
            quota.add(&a, Key(1));
            let alone = quota.rate(&a);
            quota.add(&a, Key(2));
            (alone, quota.rate(&a))
        };
        let none = Rate::default();
        assert_eq!(shares(none, none), (none, none));
        assert_eq!(shares(BOTH, none), (BOTH, Rate { bytes: 500, packets: 5 }));
        assert_eq!(shares(none, BOTH), (BOTH, BOTH));
        let node = Rate { bytes: 700, packets: 0 };
        let alone = Rate { bytes: 700, packets: 10 };
        assert_eq!(shares(BOTH, node), (alone, Rate { bytes: 500, packets: 5 }));
        let least = Rate { bytes: 1, packets: 1 };
        assert_eq!(shares(least, none).1, least, "a share of something is not everything");
    }
}
