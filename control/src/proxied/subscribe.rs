//! Copies of a call's media: for a recorder (SIPREC), a supervisor, a transcriber.
//!
//! A subscriber is a party that receives others and is received by none. What it is offered is the
//! description of those whose media it gets, one after the other. A publisher is the reverse: a party
//! that nobody is the other side of.

use super::described::Described;
use super::line::Line;
use super::party::PartyId;
use super::settle::{Move, settle};
use super::{Lender, ProxiedCall, RequestId, dialogue, write};
use crate::call::random_id;
use crate::ng::{Flags, NgError, Offer, Party, Reply, Subscribe, Subscribed};
use crate::sdp::Sdp;

impl ProxiedCall {
    /// Offers a copy of some parties' media to another.
    pub(super) fn subscribe(
        &mut self,
        request: RequestId,
        asked: &Subscribe,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        let sources = self.sources(asked)?;
        let said: Vec<Sdp> = sources
            .iter()
            .filter_map(|id| self.parties.at(*id)?.text.said.as_deref())
            .filter_map(|text| Sdp::parse(text).ok())
            .collect();
        if said.is_empty() || said.len() != sources.len() {
            return Err(NgError::NotRewritten);
        }
        let sdp = Sdp::parse(&Sdp::joined(said.iter())).map_err(|_| NgError::NotRewritten)?;
        let lines = Described::all(&sdp, &asked.flags)?;
        let to_tag = asked.to_tag.clone().unwrap_or_else(random_id);
        let unix = self.clock.unix;
        let (to, is_new) = match self.parties.tagged(&to_tag) {
            Some(known) => (known, false),
            None => (self.parties.add(Some(&to_tag), None, unix)?, true),
        };
        let outcome = self.offer_copy(&sdp, &lines, (&sources, to), &asked.flags, lender);
        let text = outcome.inspect_err(|_| {
            if is_new {
                self.remove_party(to);
            }
        })?;
        let mut offset = 0;
        for (source, sdp) in sources.iter().zip(&said) {
            self.parties.link(*source, to, false, offset);
            offset += sdp.media_count();
        }
        self.last_signal = unix;
        self.pipe_all();
        self.drain_agents();
        let tags = sources.iter().filter_map(|id| self.parties.at(*id)?.tag.as_deref());
        let tags: Vec<&str> = tags.collect();
        let mut reply = Reply::ok().with_sdp(&text).with_tag("to-tag", &to_tag);
        if let [only] = tags.as_slice() {
            reply = reply.with_tag("from-tag", only);
        }
        let reply = reply.with_from_tags(tags.iter().copied());
        self.reply_when_applied(request, reply);
        Ok(())
    }

    /// Whose media a subscription asks for.
    fn sources(&self, asked: &Subscribe) -> Result<Vec<PartyId>, NgError> {
        if !asked.from_tags.is_empty() {
            let tagged = |tag: &String| self.parties.tagged(tag).ok_or(NgError::UnknownTag);
            return asked.from_tags.iter().map(tagged).collect();
        }
        let mut chosen = self.chosen(&asked.party)?;
        if matches!(asked.party, Party::Call | Party::All(_)) {
            // Who only receives has nothing to copy.
            chosen.retain(|id| self.parties.at(*id).is_some_and(|party| party.text.said.is_some()));
            let subscribers = self.parties.links.iter().filter(|link| !link.is_dialogue);
            let subscribers: Vec<_> = subscribers.map(|link| link.to).collect();
            chosen.retain(|id| !subscribers.contains(id));
        }
        Ok(chosen)
    }

    /// Settles with a subscriber what it is offered; the sources stay as they are.
    fn offer_copy(
        &mut self,
        sdp: &Sdp,
        lines: &[Described],
        (sources, to): (&[PartyId], PartyId),
        flags: &Flags,
        lender: &mut dyn Lender,
    ) -> Result<String, NgError> {
        let parties = sources.iter().filter_map(|id| self.parties.at(*id));
        let mut from: Vec<Line> = parties.flat_map(|party| party.lines.clone()).collect();
        let held = self.parties.at_mut(to).ok_or(NgError::BadDialogue)?;
        for (line, source) in lines.iter().zip(&mut from) {
            held.make_lines(line.index, &line.kind);
            let own = &mut held.lines[line.index - 1];
            settle(source, own, line, flags, Move::Offer);
            dialogue::settle_family(source, own, line, flags);
            (own.sends, own.receives) = (line.sends, false);
        }
        self.take_seats(lines, (None, to), flags, lender)?;
        let held = self.parties.at_mut(to).ok_or(NgError::BadDialogue)?;
        held.prepare_seats();
        let text = write::write(sdp, held, &[], flags, Move::Offer, &self.facts)?;
        self.sync(to, lender)?;
        Ok(text)
    }

    /// Takes a subscriber's answer.
    pub(super) fn subscribed(
        &mut self,
        request: RequestId,
        answer: &Subscribed,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        let sdp = Sdp::parse(&answer.sdp.0).map_err(|_| NgError::BadSdp)?;
        let lines = Described::all(&sdp, &answer.flags)?;
        let to = self.parties.tagged(&answer.to_tag).ok_or(NgError::UnknownTag)?;
        let held = self.parties.at_mut(to).ok_or(NgError::UnknownTag)?;
        for line in &lines {
            // What the answer is of has no other side that it could go on to.
            let mut nobody = Line::new(line.index, &line.kind);
            let Some(place) = held.lines.get_mut(line.index - 1) else { continue };
            settle(place, &mut nobody, line, &answer.flags, Move::Answer);
            place.receives = false;
            let seat = held.seats[line.index - 1].current.as_ref();
            let place = &mut held.lines[line.index - 1];
            place.learning = dialogue::learning(place, seat, &answer.flags);
        }
        held.prepare_seats();
        self.sync(to, lender)?;
        self.last_signal = self.clock.unix;
        self.pipe_all();
        self.drain_agents();
        self.start_handshakes();
        self.reply_when_applied(request, Reply::ok());
        Ok(())
    }

    /// Takes a subscriber out of the call. That there is none is no error.
    pub(super) fn unsubscribe(&mut self, request: RequestId, to_tag: &str) {
        let subscriber = self.parties.tagged(to_tag);
        let is_one = |id: &_| {
            let mut links = self.parties.links.iter();
            links.any(|link| link.to == *id && !link.is_dialogue)
        };
        if let Some(subscriber) = subscriber.filter(is_one) {
            self.remove_party(subscriber);
        }
        self.reply_when_applied(request, Reply::ok());
    }

    /// Takes media that nobody answers: the node does.
    pub(super) fn publish(
        &mut self,
        request: RequestId,
        offer: &Offer,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        let sdp = Sdp::parse(&offer.sdp.0).map_err(|_| NgError::BadSdp)?;
        let lines = Described::all(&sdp, &offer.flags)?;
        let unix = self.clock.unix;
        let (from, is_new) = match self.parties.tagged(&offer.from_tag) {
            Some(known) => (known, false),
            None => (self.parties.add(Some(&offer.from_tag), None, unix)?, true),
        };
        let outcome = self.take_publication(&sdp, &lines, from, &offer.flags, lender);
        let text = outcome.inspect_err(|_| {
            if is_new {
                self.remove_party(from);
            }
            if self.parties.iter().next().is_none() {
                self.end(super::EndedBy::Refused);
            }
        })?;
        if let Some(party) = self.parties.at_mut(from) {
            party.text.said = Some(offer.sdp.0.clone());
        }
        self.last_signal = unix;
        self.answered = true;
        self.pipe_all();
        self.drain_agents();
        self.start_handshakes();
        self.reply_when_applied(request, Reply::ok().with_sdp(&text));
        Ok(())
    }

    fn take_publication(
        &mut self,
        sdp: &Sdp,
        lines: &[Described],
        from: PartyId,
        flags: &Flags,
        lender: &mut dyn Lender,
    ) -> Result<String, NgError> {
        let held = self.parties.at_mut(from).ok_or(NgError::BadDialogue)?;
        for line in lines {
            held.make_lines(line.index, &line.kind);
            let own = &mut held.lines[line.index - 1];
            let mut nobody = Line::new(line.index, &line.kind);
            settle(own, &mut nobody, line, flags, Move::Offer);
            dialogue::settle_family(own, &mut nobody, line, flags);
            // The node answers by itself, as if there were another side that takes everything.
            let mut echo = own.clone();
            settle(&mut echo, own, line, flags, Move::Answer);
            (own.sends, own.receives) = (false, line.sends);
        }
        self.take_seats(lines, (Some(from), from), flags, lender)?;
        let held = self.parties.at_mut(from).ok_or(NgError::BadDialogue)?;
        for (line, seats) in held.places_mut() {
            line.learning = dialogue::learning(line, seats.current.as_ref(), flags);
        }
        held.prepare_seats();
        let id = self.clock.unix.as_secs() << 32 | u64::from(self.clock.unix.subsec_micros());
        let own = write::answer_of_own(sdp, held, flags, id).ok_or(NgError::NotRewritten)?;
        let text = write::write(&own, held, &[], flags, Move::Answer, &self.facts)?;
        self.sync(from, lender)?;
        Ok(text)
    }
}
