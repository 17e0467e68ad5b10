//! The parties of a call, and who receives whom.
//!
//! A party is a side of a dialogue: who has sent a description, or whom one was passed on to. It is
//! known by its tag, or while it has not answered by the branch that it was offered on. Of what a party
//! sends a copy goes to each party that receives it; between the two sides of an offer and its answer
//! that is mutual, and each side has one other side at a time: the branch that spoke last.

use std::time::{Duration, Instant};

use super::line::Line;
use super::seats::Seats;
use crate::ng::NgError;

/// Parties of a call, most; each branch of a forked call is one.
pub const PARTIES_MAX: usize = 64;
/// Parties of most calls.
const SIDES: usize = 2;

/// A side of a dialogue.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) id: PartyId,
    /// Its tag; none before it has answered.
    pub(super) tag: Option<String>,
    pub(super) via_branch: Option<String>,
    pub(super) label: Option<String>,
    /// When it came, since 1970.
    pub(super) created: Duration,
    pub(super) lines: Vec<Line>,
    /// Those of each m-line.
    pub(super) seats: Vec<Seats>,
    /// When it is over, if that is known.
    pub(super) over_at: Option<Instant>,
    pub(super) filter: PartyFilter,
    pub(super) text: Told,
}

/// What of a party's media does not pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PartyFilter {
    pub(super) media_blocked: bool,
    pub(super) silenced: bool,
    pub(super) dtmf_blocked: bool,
}

/// What a party was told above the m-lines, where it is to stay the same for the call; and what it said.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) username: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) last: Option<String>,
    /// What it said last itself.
    pub(super) said: Option<String>,
}

impl Party {
    /// Makes m-lines up to this place, from 1.
    pub(super) fn make_lines(&mut self, index: usize, kind: &str) {
        let missing = index.saturating_sub(self.lines.len());
        // Most parties have one, for good.
        self.lines.reserve_exact(missing);
        self.seats.reserve_exact(missing);
        while self.lines.len() < index {
            self.lines.push(Line::new(self.lines.len() + 1, kind));
            self.seats.push(Seats::default());
        }
    }

    /// Its m-lines with their seats.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Line, &Seats)> {
        self.lines.iter().zip(&self.seats)
    }

    /// Makes the agents that its description is to speak of.
    pub(super) fn prepare_seats(&mut self) {
        for (line, seats) in self.places_mut() {
            if let Some(seat) = &mut seats.current {
                seat.prepare(line);
            }
        }
    }

    /// Its m-lines with their seats.
    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = (&mut Line, &mut Seats)> {
        self.lines.iter_mut().zip(&mut self.seats)
    }
}

/// Names a party for the call's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PartyId(u32);

/// Who receives whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: PartyId,
    pub(super) to: PartyId,
    /// Whether it comes from an offer and its answer.
    pub(super) is_dialogue: bool,
    /// How many m-lines of others stand before those of `from` in what `to` was told.
    pub(super) offset: usize,
}

/// The parties of a call.
#[derive(Debug, Default)]
pub(super) struct Parties {
    all: Vec<Party>,
    pub(super) links: Vec<Link>,
    /// Pairs of parties that have been the two sides of a dialogue.
    met: Vec<(PartyId, PartyId)>,
    next: u32,
}

impl Parties {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Party> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Party> {
        self.all.iter_mut()
    }

    pub(super) fn at(&self, id: PartyId) -> Option<&Party> {
        self.all.iter().find(|party| party.id == id)
    }

    pub(super) fn at_mut(&mut self, id: PartyId) -> Option<&mut Party> {
        self.all.iter_mut().find(|party| party.id == id)
    }

    /// The party with this tag.
    pub(super) fn tagged(&self, tag: &str) -> Option<PartyId> {
        let has = |party: &&Party| party.tag.as_deref() == Some(tag);
        self.all.iter().find(has).map(|party| party.id)
    }

    /// The party that was offered to on this branch.
    pub(super) fn branched(&self, branch: &str) -> Option<PartyId> {
        let has = |party: &&Party| party.via_branch.as_deref() == Some(branch);
        self.all.iter().find(has).map(|party| party.id)
    }

    /// Two parties at once, the first of them different from the second.
    pub(super) fn two(&mut self, one: PartyId, other: PartyId) -> Option<[&mut Party; 2]> {
        let place = |id| self.all.iter().position(|party| party.id == id);
        let places = [place(one)?, place(other)?];
        self.all.get_disjoint_mut(places).ok()
    }

    /// Adds a party.
    ///
    /// # Errors
    /// [`NgError::BadDialogue`] if there are [`PARTIES_MAX`].
    pub(super) fn add(
        &mut self,
        tag: Option<&str>,
        branch: Option<&str>,
        created: Duration,
    ) -> Result<PartyId, NgError> {
        if self.all.len() >= PARTIES_MAX {
            return Err(NgError::BadDialogue);
        }
        let id = PartyId(self.next);
        self.next += 1;
        if self.all.is_empty() {
            self.all.reserve_exact(SIDES);
        }
        self.all.push(Party {
            id,
            tag: tag.map(Into::into),
            via_branch: branch.map(Into::into),
            label: None,
            created,
            lines: Vec::new(),
            seats: Vec::new(),
            over_at: None,
            filter: PartyFilter::default(),
            text: Told::default(),
        });
        Ok(id)
    }

    /// Takes a party out; its lines are to be given back.
    pub(super) fn remove(&mut self, id: PartyId) -> Option<Party> {
        let place = self.all.iter().position(|party| party.id == id)?;
        self.links.retain(|link| link.from != id && link.to != id);
        self.met.retain(|(one, other)| *one != id && *other != id);
        Some(self.all.remove(place))
    }

    /// The other side of a party's dialogue.
    pub(super) fn other_side(&self, id: PartyId) -> Option<PartyId> {
        let is_it = |link: &&Link| link.is_dialogue && link.to == id;
        self.links.iter().find(is_it).map(|link| link.from)
    }

    /// Everybody who has been the other side of a party.
    pub(super) fn met(&self, id: PartyId) -> impl Iterator<Item = PartyId> + '_ {
        self.met.iter().filter_map(move |(one, other)| match () {
            () if *one == id => Some(*other),
            () if *other == id => Some(*one),
            () => None,
        })
    }

    /// Lets one party receive another.
    pub(super) fn link(&mut self, from: PartyId, to: PartyId, is_dialogue: bool, offset: usize) {
        if !self.links.iter().any(|link| link.from == from && link.to == to) {
            // The dialogue that was joined last counts.
            let place = if is_dialogue { 0 } else { self.links.len() };
            self.links.insert(place, Link { from, to, is_dialogue, offset });
        }
    }

    /// Makes two parties the sides of one dialogue; whoever was the other side of either before no
    /// longer receives it.
    pub(super) fn join(&mut self, one: PartyId, other: PartyId) {
        let ends = |link: &Link| link.is_dialogue && (link.from == one || link.from == other);
        self.links.retain(|link| !ends(link));
        self.link(one, other, true, 0);
        self.link(other, one, true, 0);
        let is_known =
            |(a, b): &(PartyId, PartyId)| (*a, *b) == (one, other) || (*a, *b) == (other, one);
        if !self.met.iter().any(is_known) {
            self.met.push((one, other));
        }
    }

    /// The two sides that an offer or answer is between: who sent it and who is to receive it.
    ///
    /// A to-tag that nobody has yet is the other side's, once it answers; a branch that nobody was
    /// offered on is another other side.
    ///
    /// # Errors
    /// [`NgError::BadDialogue`] if the call has too many parties.
    pub(super) fn sides(
        &mut self,
        from: &str,
        to: Option<&str>,
        branch: Option<&str>,
        now: Duration,
    ) -> Result<(PartyId, PartyId), NgError> {
        match to.and_then(|tag| Some((tag, self.tagged(tag)?))) {
            Some((_, to)) => self.known_sides(from, to, branch, now),
            None => self.new_sides(from, to, branch, now),
        }
    }

    /// The to-tag is known: this goes to that party.
    fn known_sides(
        &mut self,
        from: &str,
        to: PartyId,
        branch: Option<&str>,
        now: Duration,
    ) -> Result<(PartyId, PartyId), NgError> {
        let known = self.tagged(from);
        if let Some(known) = known.filter(|known| self.other_side(*known) == Some(to)) {
            return Ok((known, to));
        }
        let by_branch = || branch.and_then(|branch| self.branched(branch));
        let half = || {
            let other = self.other_side(to)?;
            self.at(other).filter(|party| party.tag.is_none()).map(|party| party.id)
        };
        let from_party = match known.or_else(by_branch).or_else(half) {
            Some(party) => party,
            None => self.add(None, None, now)?,
        };
        if let Some(party) = self.at_mut(from_party) {
            party.tag = Some(from.into());
        }
        self.join(from_party, to);
        Ok((from_party, to))
    }

    /// The to-tag is not known, or there is none: this is a first offer, another branch of it, or the
    /// first answer of the other side.
    fn new_sides(
        &mut self,
        from: &str,
        to: Option<&str>,
        branch: Option<&str>,
        now: Duration,
    ) -> Result<(PartyId, PartyId), NgError> {
        let Some(party) = self.tagged(from) else {
            let party = self.add(Some(from), None, now)?;
            return self.branch_off(party, to, branch, now);
        };
        let others: Vec<_> = self.met(party).chain(self.receivers(party)).collect();
        let current = self.other_side(party);
        let is_other = current
            .and_then(|id| self.at(id))
            .is_some_and(|other| to.is_some() && other.tag.is_some());
        if is_other {
            return self.branch_off(party, to, branch, now);
        }
        let other = match branch {
            None => current,
            Some(branch) => {
                let at = |parties: &Self, id: PartyId| parties.at(id).map(|p| p.via_branch.clone());
                let unbranched = others.iter().copied().find(|id| at(self, *id) == Some(None));
                let known = self.branched(branch);
                if let Some(id) = known.is_none().then_some(unbranched).flatten()
                    && let Some(other) = self.at_mut(id)
                {
                    other.via_branch = Some(branch.into());
                }
                known.or(unbranched)
            }
        };
        let Some(other) = other else { return self.branch_off(party, to, branch, now) };
        if current != Some(other) {
            self.join(party, other);
        }
        if let Some(held) = self.at_mut(other).filter(|held| held.tag.is_none()) {
            held.tag = to.map(Into::into);
        }
        Ok((party, other))
    }

    fn receivers(&self, id: PartyId) -> impl Iterator<Item = PartyId> + '_ {
        self.links.iter().filter(move |link| link.from == id).map(|link| link.to)
    }

    /// Another other side for `party`.
    fn branch_off(
        &mut self,
        party: PartyId,
        to: Option<&str>,
        branch: Option<&str>,
        now: Duration,
    ) -> Result<(PartyId, PartyId), NgError> {
        let other = self.add(to, branch, now)?;
        self.join(party, other);
        Ok((party, other))
    }
}
