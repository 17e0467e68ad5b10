//! What a call of many legs says of who receives whom, who needs more lines, and who speaks.

use std::time::{Duration, Instant};

use causeway_engine::command::{LegId, SinkId};

use super::note::Note;
use super::{Call, Reply, RequestId};
use crate::api::{Problem, Receive, What};

/// How long a leg's wish for more lines waits for the next: many that join at once make one offer.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

impl Call {
    /// Takes a leg's wish for what comes on the m-line with the MID `mid`.
    pub fn receive(
        &mut self,
        now: Instant,
        request: RequestId,
        leg: &str,
        mid: &str,
        asked: &Receive,
    ) -> Result<(), Problem> {
        let place = self.place(leg)?;
        self.legs[place].seats.ask(mid, asked)?;
        self.rewire(now);
        let reply = Reply::Leg(Box::new(self.legs[place].view()));
        self.reply_when_applied(request, reply, place);
        self.say_receptions();
        Ok(())
    }

    /// Says which legs receive others than they were last said to.
    pub(super) fn say_receptions(&mut self) {
        for place in 0..self.legs.len() {
            let leg = &self.legs[place];
            let is_new = leg.receives_said.as_ref().is_some_and(|said| *said != leg.seats.view());
            if self.ended.is_none() && leg.ended.is_none() && is_new {
                self.say_changed(place);
            }
        }
    }

    /// Lets legs that need more lines than they were told of wait a moment: the next change may
    /// need more.
    pub(super) fn note_wants(&mut self, now: Instant) {
        let mut due = false;
        for leg in &mut self.legs {
            if leg.seats.wants.is_none() {
                leg.wants_said = None;
            }
            due |= leg.is_to_be_asked();
        }
        if !due {
            self.ask_at = None;
        } else if self.ask_at.is_none() {
            self.ask_at = Some(now + SETTLE);
        }
    }

    pub(super) fn say_wants(&mut self) {
        for place in 0..self.legs.len() {
            let leg = &mut self.legs[place];
            if leg.is_to_be_asked() {
                let receive = leg.seats.wants;
                leg.wants_said = receive;
                let (call, leg) = (self.id.clone(), leg.id.clone());
                let because = String::from("it needs more m-lines to receive every other leg");
                self.journal.leg(&leg, Note::OfferWanted(because.clone()));
                self.say(What::RenegotiationNeeded { call, leg, because, receive });
            }
        }
    }

    /// The leg that has the floor.
    pub(super) fn speaker(&self) -> Option<String> {
        let speaker = self.floor.speaker()?;
        self.legs.iter().find(|leg| leg.slot == speaker).map(|leg| leg.id.clone())
    }

    pub(super) fn settle_floor(&mut self, now: Instant) {
        if self.floor.settle(now) {
            let (call, leg) = (self.id.clone(), self.speaker());
            self.say(What::ActiveSpeaker { call, leg });
        }
    }

    /// The leg in this slot is over, and its word with it.
    pub(super) fn lose_speaker(&mut self, slot: LegId) {
        let spoke = self.floor.speaker() == Some(slot);
        self.floor.forget(slot);
        if spoke && self.ended.is_none() {
            self.say(What::ActiveSpeaker { call: self.id.clone(), leg: None });
        }
    }

    pub(super) fn note_layer(&mut self, sink: SinkId, layer: Option<u8>) {
        let Some(place) = self.place_of(sink.leg) else { return };
        let leg = &mut self.legs[place];
        let line = leg.lines.get(usize::from(sink.index)).copied();
        if line.is_some_and(|line| leg.seats.note_layer(line, layer)) {
            self.say_receptions();
        }
    }
}
