//! How a call ends, and what is told of it then.

use std::time::Duration;

use causeway_engine::command::{LegId, Returned};
use causeway_engine::stats::LegReading;

use super::party::PartyId;
use super::stats::Readings;
use super::{Output, ProxiedCall, Reader, Reading, RequestId, Telling};
use crate::ng::{CallStats, Delete, NgError, Query, Reply};

/// Why a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// The proxy deleted it.
    Deleted,
    /// Its first request was refused.
    Refused,
    /// No media came where some was due.
    MediaTimeout,
    /// No media came where none was due, for longer than that may last.
    SilentTimeout,
    /// No answer came.
    OfferTimeout,
    /// It has lasted as long as a call may.
    FinalTimeout,
    /// An operator ended it.
    Operator,
    /// The node stops.
    Stopped,
}

impl EndedBy {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Deleted,
        Self::Refused,
        Self::MediaTimeout,
        Self::SilentTimeout,
        Self::OfferTimeout,
        Self::FinalTimeout,
        Self::Operator,
        Self::Stopped,
    ];

    /// Its name in records and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Refused => "refused",
            Self::MediaTimeout => "media_timeout",
            Self::SilentTimeout => "silent_timeout",
            Self::OfferTimeout => "offer_timeout",
            Self::FinalTimeout => "final_timeout",
            Self::Operator => "operator",
            Self::Stopped => "stopped",
        }
    }
}

/// What is told of a call that is over.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Its id.
    pub call: String,
    /// When it began, since 1970.
    pub began: Duration,
    /// When it was over, since 1970.
    pub ended: Duration,
    /// Whether it was answered.
    pub answered: bool,
    /// Why it is over.
    pub by: EndedBy,
    /// What its parties sent.
    pub media: Vec<MediaRecord>,
    /// All that `query` would tell of it.
    pub stats: CallStats,
}

/// What a party sent on an m-line.
#[derive(Debug, Clone)]
pub struct MediaRecord {
    /// The party's tag.
    pub tag: String,
    /// `audio`, `video`…
    pub kind: String,
    /// What the node had from it last.
    pub ssrc: Option<u32>,
    /// Packets that came.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Interarrival jitter in ms (RFC 3550 §6.4.1).
    pub jitter_ms: u64,
    /// The mean opinion score that loss and jitter make likely, 1 to 5; `None` without packets.
    pub mos: Option<f64>,
    /// Packets that came from somewhere else and were not taken.
    pub strangers: u64,
}

impl ProxiedCall {
    pub(super) fn delete(
        &mut self,
        request: RequestId,
        delete: &Delete,
        brief: bool,
    ) -> Result<(), NgError> {
        let Some(branch) = self.to_delete(delete) else {
            if delete.fatal {
                return Err(NgError::NothingDeleted);
            }
            let warning = NgError::NothingDeleted.to_string();
            self.reply(request, Reply::ok().with_warning(&warning));
            return Ok(());
        };
        self.last_signal = self.clock.unix;
        let telling = if brief { Telling::Brief } else { Telling::Whole(None) };
        if delete.fast {
            self.reply(request, Reply::ok());
        } else {
            self.begin_reading(Reader::Request(request, telling));
        }
        let delay = delete.delay.unwrap_or(self.facts.timeouts.delete_delay);
        let at = self.clock.now + delay;
        match branch {
            Branch::All if delay.is_zero() => self.end(EndedBy::Deleted),
            Branch::All => self.over_at = Some((at, EndedBy::Deleted)),
            Branch::One(party) => {
                if let Some(party) = self.parties.at_mut(party) {
                    party.over_at = Some(at);
                }
                self.end_branches();
            }
        }
        Ok(())
    }

    /// What a delete means: everything, a branch, or nothing that there is.
    fn to_delete(&self, delete: &Delete) -> Option<Branch> {
        let Some(from) = delete.from_tag.as_deref() else { return Some(Branch::All) };
        let to = delete.to_tag.as_deref();
        let by_branch = || delete.via_branch.as_deref().and_then(|b| self.parties.branched(b));
        if to.is_none()
            && let Some(party) = by_branch()
        {
            return Some(Branch::One(party));
        }
        let by_tag = self.parties.tagged(to.unwrap_or(from));
        let unanswered = || {
            let party = self.parties.tagged(from).filter(|_| to.is_some())?;
            let other = self.parties.at(self.parties.other_side(party)?)?;
            other.tag.is_none().then_some(party)
        };
        by_tag.or_else(by_branch).or_else(unanswered).map(Branch::One)
    }

    /// Takes out the branches whose time has come, and the other sides that had no one else; the call is
    /// over when no dialogue is left.
    pub(super) fn end_branches(&mut self) {
        let now = self.clock.now;
        let due = |party: &&super::party::Party| party.over_at.is_some_and(|at| at <= now);
        let gone: Vec<PartyId> = self.parties.iter().filter(due).map(|party| party.id).collect();
        if gone.is_empty() {
            return;
        }
        for id in gone {
            let others: Vec<PartyId> = self.parties.met(id).collect();
            self.take_out(id);
            for other in others {
                if self.parties.met(other).next().is_none() {
                    self.take_out(other);
                }
            }
        }
        let tags = self.parties.iter().filter(|party| party.tag.is_some()).count();
        let branches = self.parties.iter().filter(|party| party.via_branch.is_some()).count();
        if tags < 2 && branches == 0 {
            self.end(EndedBy::Deleted);
        }
    }

    fn take_out(&mut self, id: PartyId) {
        // The last two stay until the record is written.
        if self.parties.iter().count() > 2 {
            self.remove_party(id);
        } else {
            self.end(EndedBy::Deleted);
        }
    }

    /// Ends the call: its counters are read, then everything goes.
    pub fn end(&mut self, by: EndedBy) {
        if self.ended.replace(by).is_some() {
            return;
        }
        self.over_at = None;
        self.outputs.push_back(Output::Closed);
        self.stop_recording(false);
        self.begin_reading(Reader::Record);
        let held: Vec<_> = self.seats().map(super::seat::Seat::held).collect();
        for seat in held {
            self.give_up(seat);
        }
        self.say_over();
    }

    /// Tells what is known; of a tag that nobody has nothing is.
    pub(super) fn query(&mut self, request: RequestId, query: &Query) {
        let chosen = match &query.tag {
            None => None,
            Some(tag) => {
                let party = self.parties.tagged(tag);
                let other = party.and_then(|party| self.parties.other_side(party));
                Some(party.into_iter().chain(other).collect())
            }
        };
        self.begin_reading(Reader::Request(request, Telling::Whole(chosen)));
    }

    /// Asks the worker for the counters of every leg; who asks while nothing else was told the worker shares
    /// what the last one reads, as the record of a call does with the request that deletes it.
    pub(super) fn begin_reading(&mut self, reader: Reader) {
        if let Some(last) = self.readings.last_mut().filter(|last| last.next == self.next_tag) {
            last.readers.push(reader);
            return;
        }
        let legs: Vec<LegId> =
            self.seats().filter(|seat| seat.is_installed()).map(|seat| seat.leg).collect();
        let (first, missing) = (self.next_tag, legs.len());
        for leg in legs {
            let into = Box::new(LegReading::without_sinks());
            let pending = super::Pending::Read { reading: first, leg };
            self.tell_tagged(pending, causeway_engine::command::Command::ReadLeg { leg, into });
        }
        let (readers, legs) = (vec![reader], Readings::default());
        self.readings.push(Reading { first, next: self.next_tag, readers, missing, legs });
        self.finish_reading(first);
    }

    /// A leg's counters have come.
    pub(super) fn read(&mut self, first: u64, leg: LegId, returned: Returned) {
        if let Some(reading) = self.readings.iter_mut().find(|held| held.first == first) {
            reading.missing = reading.missing.saturating_sub(1);
            if let Returned::LegReading(counters) = returned {
                reading.legs.insert(leg, counters);
            }
        }
        self.finish_reading(first);
    }

    fn finish_reading(&mut self, first: u64) {
        let is_done = |held: &Reading| held.first == first && held.missing == 0;
        let Some(place) = self.readings.iter().position(is_done) else { return };
        let Reading { readers, legs, .. } = self.readings.remove(place);
        for reader in readers {
            self.tell_reader(reader, &legs);
        }
        self.say_over();
    }

    fn tell_reader(&mut self, reader: Reader, legs: &Readings) {
        match reader {
            Reader::Request(request, Telling::Brief) => {
                let stats = self.stats(legs, None);
                self.reply(request, Reply::ok().with_call_in_brief(&stats));
            }
            Reader::Request(request, Telling::Whole(chosen)) => {
                let stats = self.stats(legs, chosen.as_deref());
                self.reply(request, Reply::ok().with_call(&stats));
            }
            Reader::Watch => self.watch(legs),
            Reader::Record => {
                let record = self.record(legs);
                self.outputs.push_back(Output::Ended(Box::new(record)));
            }
        }
    }

    /// The last output, once the worker has nothing of the call any more.
    pub(super) fn say_over(&mut self) {
        let is_over = self.ended.is_some() && self.remains == (0, 0) && self.readings.is_empty();
        if is_over && !self.over_said {
            self.over_said = true;
            self.outputs.push_back(Output::Over);
        }
    }
}

/// What a delete takes.
enum Branch {
    All,
    One(PartyId),
}
