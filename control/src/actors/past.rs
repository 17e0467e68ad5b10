//! Journals of calls that are over, for whoever asks why soon enough.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::api::Why;
use crate::call::{Eyes, Journal, Remark};

/// Calls that are remembered, most.
pub(super) const CALLS_KEPT: usize = 256;
/// How long they are remembered.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(600);
/// Entries of all remembered journals, most: long journals make room sooner.
pub(super) const ENTRIES_KEPT: usize = 32_768;

/// The calls that ended last, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    calls: VecDeque<(Instant, Box<Journal>)>,
    entries: usize,
}

impl Past {
    /// Remembers a call that has just ended.
    pub(super) fn keep(&mut self, journal: Box<Journal>, now: Instant) {
        self.entries += journal.len();
        self.calls.push_back((now, journal));
        while self.calls.len() > CALLS_KEPT || self.entries > ENTRIES_KEPT {
            self.forget_oldest();
        }
        self.forget_old(now);
    }

    /// Why a remembered call worked or did not.
    pub(super) fn why(&mut self, call: &str, eyes: &Eyes, now: Instant) -> Option<Why> {
        self.forget_old(now);
        let (_, journal) = self.calls.iter().find(|(_, journal)| journal.is_of(call))?;
        Some(journal.tell_past(eyes))
    }

    /// Adds what a door has seen of a call after its end.
    pub(super) fn remark(&mut self, call: &str, remark: Remark, now: Instant) {
        self.forget_old(now);
        if let Some((_, journal)) = self.calls.iter_mut().find(|(_, journal)| journal.is_of(call)) {
            let before = journal.len();
            journal.remark_late(remark, now);
            self.entries = self.entries + journal.len() - before;
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while self.calls.front().is_some_and(|(ended, _)| *ended + KEPT_FOR <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, journal)) = self.calls.pop_front() {
            self.entries -= journal.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(call: usize, now: Instant) -> Box<Journal> {
        Box::new(Journal::new(&call.to_string(), None, 0, now))
    }

    #[test]
    fn the_last_calls_are_remembered_for_some_time_and_no_more() {
        let (mut past, now) = (Past::default(), Instant::now());
        for call in 0..=CALLS_KEPT {
            past.keep(journal(call, now), now);
        }
        assert!(past.why("0", &Eyes::Operator, now).is_none(), "it has made room");
        assert!(past.why("1", &Eyes::Operator, now).is_some());
        let later = now + KEPT_FOR;
        past.keep(journal(999, later), later);
        assert!(past.why("1", &Eyes::Operator, later).is_none(), "it is too long ago");
        assert!(past.why("999", &Eyes::Operator, later).is_some());
        assert_eq!((past.calls.len(), past.entries), (1, 1));
    }

    #[test]
    fn what_a_door_sees_after_the_end_is_noted_and_counted() {
        let (mut past, now) = (Past::default(), Instant::now());
        past.keep(journal(1, now), now);
        let late = Remark::TokenExpired { role: "agent".into(), expired: 1 };
        past.remark("1", late.clone(), now);
        past.remark("nobody", late, now);
        assert_eq!(past.entries, 2);
        let why = past.why("1", &Eyes::Operator, now).unwrap();
        assert!(why.summary[0].what.contains("agent"), "{why:?}");
    }
}
