//! A call's journal: what happened, bounded, for [`super::words`] to tell.
//!
//! Bounds: each leg, and the call itself, keeps [`ENTRIES_PER_LEG`] entries, [`ENTRIES_PER_KIND`]
//! of one kind. What happens again is counted where it stands. Where there is no room, an entry
//! from the middle of the largest kind goes: the first ones say how it began, the last ones where
//! it stands. [`LEGS_KEPT`] legs are kept; the one that ended first makes room.
//!
//! Time comes in by [`Journal::observe`]; nothing here reads a clock.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::note::{Eyes, FarCandidate, Note, Remark};
use crate::api::{ClientReport, EndReason, LegStats, Problem, Why};

/// Entries of one leg, or of none, most.
pub(crate) const ENTRIES_PER_LEG: usize = 96;
/// Entries of one kind of one leg, most.
pub(crate) const ENTRIES_PER_KIND: usize = 16;
/// Legs that are remembered, most.
pub(crate) const LEGS_KEPT: usize = 64;
/// Entries by which a journal grows: calls are many, and most note a few dozen things.
const GROWTH: usize = 8;
/// Addresses of one far side that are remembered as signalled, most.
const SIGNALLED_MAX: usize = 64;
/// Reports of one browser, most.
const REPORTS_MAX: u32 = 8;
/// Least time between two reports of one browser.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// What happened in one call.
#[derive(Debug)]
pub struct Journal {
    pub(crate) call: String,
    pub(crate) name: Option<String>,
    pub(crate) began_ms: u64,
    pub(crate) ended: Option<EndReason>,
    pub(crate) left_out: u64,
    pub(crate) legs: Vec<LegLine>,
    pub(crate) entries: Vec<Entry>,
    began: Instant,
    now: Instant,
}

/// What is remembered of a leg whatever happens.
#[derive(Debug)]
pub(crate) struct LegLine {
    pub(crate) id: Arc<str>,
    pub(crate) role: String,
    pub(crate) over: bool,
    /// The addresses that the far side itself has named.
    pub(crate) signalled: Vec<SocketAddr>,
    reports: u32,
    reported: Option<Instant>,
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The first time, in milliseconds since the call began.
    pub(crate) at: u32,
    /// The last time, as [`Self::at`].
    pub(crate) last: u32,
    pub(crate) times: u32,
    pub(crate) leg: Option<Arc<str>>,
    /// Whether it is about the leg's transport for RTCP alone.
    pub(crate) rtcp: bool,
    pub(crate) note: Note,
}

impl Entry {
    /// The first time, since the call began.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.at.into())
    }
}

/// Whole milliseconds; seven weeks at most.
pub(crate) fn millis(age: Duration) -> u32 {
    u32::try_from(age.as_millis()).unwrap_or(u32::MAX)
}

impl Journal {
    /// An empty journal of a call that begins now, `began_ms` after 1970.
    pub fn new(call: &str, name: Option<&str>, began_ms: u64, now: Instant) -> Self {
        let mut journal = Self {
            call: call.into(),
            name: name.map(Into::into),
            began_ms,
            ended: None,
            left_out: 0,
            legs: Vec::new(),
            entries: Vec::new(),
            began: now,
            now,
        };
        journal.add(None, false, Note::Created);
        journal
    }

    /// The instant of what is noted from now on.
    pub(crate) fn observe(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Time since the call began, as last observed.
    pub(crate) fn age(&self) -> Duration {
        self.now.saturating_duration_since(self.began)
    }

    /// Whether it is this call's.
    pub fn is_of(&self, call: &str) -> bool {
        self.call == call
    }

    /// Why a call that is over worked or did not.
    pub fn tell_past(&self, eyes: &Eyes) -> Why {
        self.why(false, &[], eyes)
    }

    /// Takes what a door has seen after the call's end.
    pub fn remark_late(&mut self, remark: Remark, now: Instant) {
        self.observe(now);
        self.remark(remark);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was noted, which never is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Begins the lines of a leg.
    pub(crate) fn join(&mut self, leg: &str, role: &str) {
        if self.legs.len() == LEGS_KEPT {
            let oldest = self.legs.iter().position(|line| line.over).unwrap_or_default();
            let gone = self.legs.remove(oldest);
            let before = self.entries.len();
            self.entries.retain(|entry| entry.leg.as_ref() != Some(&gone.id));
            self.left_out += (before - self.entries.len()) as u64;
        }
        self.legs.push(LegLine {
            id: leg.into(),
            role: role.into(),
            over: false,
            signalled: Vec::new(),
            reports: 0,
            reported: None,
        });
    }

    /// Notes something of the call.
    pub(crate) fn call(&mut self, note: Note) {
        if let Note::Over(reason) = note {
            self.ended = Some(reason);
        }
        self.add(None, false, note);
    }

    /// Notes something of a leg that has joined.
    pub(crate) fn leg(&mut self, leg: &str, note: Note) {
        self.of_leg(leg, false, note);
    }

    /// Notes something of the transport that a leg has for RTCP alone.
    pub(crate) fn rtcp(&mut self, leg: &str, note: Note) {
        self.of_leg(leg, true, note);
    }

    fn of_leg(&mut self, leg: &str, rtcp: bool, note: Note) {
        let Some(line) = self.legs.iter_mut().find(|line| *line.id == *leg) else { return };
        match &note {
            Note::Candidate(FarCandidate { address: Ok(address), .. })
                if line.signalled.len() < SIGNALLED_MAX && !line.signalled.contains(address) =>
            {
                line.signalled.push(*address);
            }
            Note::LegOver(_) => line.over = true,
            _ => {}
        }
        let id = line.id.clone();
        self.add(Some(id), rtcp, note);
    }

    /// Takes what a leg's browser says of its side.
    ///
    /// # Errors
    /// 404 for a leg that never was, 429 for a browser that says too much.
    pub(crate) fn report(&mut self, leg: &str, report: ClientReport) -> Result<(), Problem> {
        let now = self.now;
        let line = self.legs.iter_mut().find(|line| *line.id == *leg);
        let line = line.ok_or_else(|| Problem::not_found("the call has no such leg"))?;
        let soon = line.reported.is_some_and(|last| now < last + REPORT_PAUSE);
        if soon || line.reports == REPORTS_MAX {
            let words = format!("a leg may send {REPORTS_MAX} reports, one a second");
            return Err(Problem::too_many(words));
        }
        line.reports += 1;
        line.reported = Some(now);
        self.leg(leg, Note::Browser(report));
        Ok(())
    }

    /// Takes what a door has seen.
    pub(crate) fn remark(&mut self, remark: Remark) {
        match remark {
            Remark::AskedAt { leg, host } => self.leg(&leg, Note::AskedAt(host)),
            other => self.call(Note::Remark(other)),
        }
    }

    /// Whether a leg was ever on hold.
    pub(crate) fn has_held(&self, leg: &str) -> bool {
        let held = |entry: &Entry| {
            entry.leg.as_deref() == Some(leg) && matches!(entry.note, Note::Held(true))
        };
        self.entries.iter().any(held)
    }

    /// A new one in the place of this one.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(&self.call, None, self.began_ms, self.began)
    }

    /// The last counters of a leg that is over.
    pub(crate) fn count(&mut self, leg: &str, stats: LegStats) {
        self.leg(leg, Note::Counters(Box::new(stats)));
    }

    fn add(&mut self, leg: Option<Arc<str>>, rtcp: bool, note: Note) {
        let at = millis(self.age());
        let kind = mem::discriminant(&note);
        let mut of_kind = self.entries.iter_mut().filter(|entry| {
            entry.leg == leg && entry.rtcp == rtcp && mem::discriminant(&entry.note) == kind
        });
        let last = of_kind.next_back();
        let again = match last {
            Some(entry) if note.repeats(&entry.note) || note.echoes(&entry.note) => Some(entry),
            _ => of_kind.find(|entry| note.repeats(&entry.note)),
        };
        if let Some(entry) = again {
            entry.times = entry.times.saturating_add(1);
            entry.last = at;
            return;
        }
        self.make_room(leg.as_deref(), &note);
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        self.entries.push(Entry { at, last: at, times: 1, leg, rtcp, note });
    }

    /// Lets an entry go where a leg or one kind of its entries is at its limit.
    fn make_room(&mut self, leg: Option<&str>, note: &Note) {
        let own: Vec<usize> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| (entry.leg.as_deref() == leg).then_some(at))
            .collect();
        let of_kind = |note: &Note| -> Vec<usize> {
            let kind = mem::discriminant(note);
            let same = |at: &usize| mem::discriminant(&self.entries[*at].note) == kind;
            own.iter().copied().filter(same).collect()
        };
        let same = of_kind(note);
        let crowd = if same.len() >= ENTRIES_PER_KIND {
            same
        } else if own.len() >= ENTRIES_PER_LEG {
            let groups = own.iter().map(|at| of_kind(&self.entries[*at].note));
            groups.max_by_key(Vec::len).unwrap_or_default()
        } else {
            return;
        };
        if let Some(middle) = crowd.get(crowd.len() / 2) {
            self.entries.remove(*middle);
            self.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests;
