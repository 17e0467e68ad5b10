//! How long calls live: legs without ICE that nothing comes from any more, and calls that last too long.
//!
//! Legs with ICE need no watch for silence: their consent expires after 30 s (RFC 7675). From others anything
//! counts that the worker accepts, RTCP too, so that whoever is muted and reports is not taken for gone.

use std::time::{Duration, Instant};

use causeway_engine::command::{Command, LegId, Returned};
use causeway_engine::stats::LegReading;

use super::{Call, Pending};
use crate::api::EndReason;

/// How often it is looked whether something still comes.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// How long calls and legs live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// A leg without ICE without a packet where some are due.
    pub media: Duration,
    /// Such a leg without a packet where none is due: on hold.
    pub silent: Duration,
    /// A call at all; zero for as long as it pleases.
    pub r#final: Duration,
}

impl Lifetimes {
    /// When a call that begins now is over at the latest.
    pub(super) fn end_of(&self, now: Instant) -> Option<Instant> {
        (!self.r#final.is_zero()).then(|| now + self.r#final)
    }
}

impl Call {
    /// Begins to watch a leg, if that is for the call to do.
    pub(super) fn watch_leg(&mut self, now: Instant, place: usize) {
        if !self.legs[place].has_ice() {
            self.watch_at.get_or_insert(now + WATCH_INTERVAL);
        }
    }

    /// Asks the worker when the legs without ICE were heard last.
    pub(super) fn watch(&mut self, now: Instant) {
        if self.watch_at.is_none_or(|at| at > now) {
            return;
        }
        let live = self.legs.iter().filter(|leg| leg.ended.is_none() && !leg.has_ice());
        let watched: Vec<(String, LegId)> = live.map(|leg| (leg.id.clone(), leg.slot)).collect();
        self.watch_at = (!watched.is_empty()).then(|| now + WATCH_INTERVAL);
        for (id, leg) in watched {
            let into = Box::new(LegReading::new());
            self.tell_tagged(Pending::Watch { leg: id }, Command::ReadLeg { leg, into });
        }
    }

    /// Ends a leg from which nothing has come for too long, nor a description.
    pub(super) fn watched(&mut self, now: Instant, leg: &str, returned: &Returned) {
        let (Ok(place), Returned::LegReading(reading)) = (self.place(leg), returned) else {
            return;
        };
        let (leg, lifetimes) = (&self.legs[place], self.facts.lifetimes);
        let most = if leg.is_due() { lifetimes.media } else { lifetimes.silent };
        let heard = reading.transports.iter().filter_map(|(_, counters)| counters.heard_ago_ms);
        let signalled = now.saturating_duration_since(leg.signalled);
        let silent = heard.map(Duration::from_millis).chain([signalled]).min();
        if leg.is_connected() && silent.is_some_and(|silent| silent >= most) {
            self.end_leg(now, place, EndReason::MediaTimeout);
        }
    }
}
