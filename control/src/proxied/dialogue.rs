//! Offers and answers.

use causeway_engine::command::{Command, LegId, Refusal};
use causeway_engine::learning::Learning;
use causeway_engine::packet::Nanos;
use causeway_engine::pipe::{Filter, MediaFilter, Pipe, Pipes};

use super::described::Described;
use super::line::Line;
use super::party::{Party, PartyFilter, PartyId};
use super::seat::{Held, MEDIA, REPORTS, Seat};
use super::settle::{self, Move, settle};
use super::{EndedBy, Lender, Output, Pending, ProxiedCall, RequestId, write};
use crate::address::is_global;
use crate::ng::{AddressFamily, Answer, EndpointLearning, Flag, Flags, NgError, Offer, Reply};
use crate::ports::PortPair;
use crate::sdp::{Fragment, Sdp};

/// A description, and between whom.
struct Said<'a> {
    from: &'a str,
    to: Option<&'a str>,
    branch: Option<&'a str>,
    text: &'a str,
    flags: &'a Flags,
    step: Move,
}

/// How long a plain RTP party that can be reached where it says is waited for before another address
/// may take its place: long enough for the first packet after an answer, short enough that a caller
/// behind an unknown NAT is heard.
const GRACE: Nanos = Nanos::from_millis(500);

impl ProxiedCall {
    pub(super) fn offer(
        &mut self,
        request: RequestId,
        offer: Offer,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        let said = Said {
            from: &offer.from_tag,
            to: offer.to_tag.as_deref(),
            branch: offer.via_branch.as_deref(),
            text: &offer.sdp.0,
            flags: &offer.flags,
            step: Move::Offer,
        };
        self.describe(request, &said, lender)
    }

    pub(super) fn answer(
        &mut self,
        request: RequestId,
        answer: Answer,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        let said = Said {
            from: &answer.to_tag,
            to: Some(&answer.from_tag),
            branch: answer.via_branch.as_deref(),
            text: &answer.sdp.0,
            flags: &answer.flags,
            step: Move::Answer,
        };
        self.describe(request, &said, lender)
    }

    fn describe(
        &mut self,
        request: RequestId,
        said: &Said<'_>,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        if said.flags.has(Flag::Fragment) {
            return self.trickle(request, said);
        }
        let sdp = Sdp::parse(said.text).map_err(|_| NgError::BadSdp)?;
        let is_own = |mark: &str| mark.trim_end() == self.facts.instance;
        if said.flags.has(Flag::LoopProtect)
            && sdp.attributes("rtpengine").any(|mark| is_own(mark.value))
        {
            self.reply(request, Reply::ok().with_sdp(said.text));
            return Ok(());
        }
        let lines = Described::all(&sdp, said.flags)?;
        let known: Vec<PartyId> = self.parties.iter().map(|party| party.id).collect();
        let unix = self.clock.unix;
        let (writer, reader) = self.parties.sides(said.from, said.to, said.branch, unix)?;
        let outcome = self.settle(&sdp, &lines, (writer, reader), said, lender);
        let text = match outcome {
            Ok(text) => text,
            Err(error) => {
                self.undo(&known);
                return Err(error);
            }
        };
        self.note_signal([writer, reader], said);
        self.pipe_all();
        self.drain_agents();
        self.start_handshakes();
        self.reply_when_applied(request, Reply::ok().with_sdp(&text));
        Ok(())
    }

    /// What a request leaves of itself: that it came, what it is called, what its packets are marked
    /// with.
    fn note_signal(&mut self, sides: [PartyId; 2], said: &Said<'_>) {
        self.last_signal = self.clock.unix;
        // Whoever signals is not gone.
        self.over_at = None;
        for side in sides {
            if let Some(party) = self.parties.at_mut(side) {
                party.over_at = None;
            }
        }
        self.answered |= said.step == Move::Answer;
        let label = said.flags.label.as_ref().or(said.flags.set_label.as_ref());
        if let (Some(party), Some(label)) = (self.parties.at_mut(sides[0]), label) {
            party.label = Some(label.clone());
        }
    }

    /// A call that came to be with this request goes again; parties that did go from one that was there.
    fn undo(&mut self, known: &[PartyId]) {
        if known.is_empty() {
            self.end(EndedBy::Refused);
            return;
        }
        let new: Vec<_> = self.parties.iter().map(|party| party.id).collect();
        for party in new.into_iter().filter(|id| !known.contains(id)) {
            self.remove_party(party);
        }
    }

    /// Settles every m-line, writes what the reader is told, and tells the worker.
    fn settle(
        &mut self,
        sdp: &Sdp,
        lines: &[Described],
        (writer, reader): (PartyId, PartyId),
        said: &Said<'_>,
        lender: &mut dyn Lender,
    ) -> Result<String, NgError> {
        if let Some(tos) = said.flags.tos {
            self.dscp = tos >> 2;
        }
        self.take_seats(lines, (writer, reader), said.flags, lender)?;
        let [from, to] = self.parties.two(writer, reader).ok_or(NgError::BadDialogue)?;
        for (index, line) in lines.iter().enumerate() {
            let (one, other) = (&mut from.lines[index], &mut to.lines[index]);
            let restarts = settle::restarts(line, one.far.as_ref());
            settle(one, other, line, said.flags, said.step);
            one.learning = learning(one, said.flags);
            if let Some(seat) = one.seat.as_mut().filter(|_| restarts) {
                seat.renew_credentials();
            }
            prepare(one);
            prepare(other);
        }
        let nowhere: Vec<bool> = from.lines.iter().map(|line| line.is_nowhere).collect();
        let text = write::write(sdp, to, &nowhere, said.flags, said.step, &self.facts)?;
        self.sync(writer, lender)?;
        self.sync(reader, lender)?;
        Ok(text)
    }

    /// Gives every m-line in use of both sides ports, all of them or none.
    fn take_seats(
        &mut self,
        lines: &[Described],
        (writer, reader): (PartyId, PartyId),
        flags: &Flags,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        let names = (flags.interfaces.from.as_deref(), flags.interfaces.to.as_deref());
        let mut taken = Vec::new();
        for (party, name) in [(writer, names.0), (reader, names.1)] {
            let Some(held) = self.parties.at_mut(party) else { continue };
            for line in lines {
                let own = line_at(held, line);
                if own.seat.is_some() || line.is_rejected || line.kind == "message" {
                    continue;
                }
                let family = match flags.address_family.filter(|_| party == reader) {
                    Some(family) => family == AddressFamily::Ip6,
                    None => own.is_ipv6.unwrap_or(line.rtp.is_ipv6()),
                };
                own.is_ipv6 = Some(family);
                match seat(lender, name, family) {
                    Some(seat) => taken.push((party, line.index, seat)),
                    None => {
                        taken.into_iter().for_each(|(_, _, (leg, ports))| {
                            lender.give(leg);
                            lender.free(ports);
                        });
                        return Err(NgError::OutOfPorts);
                    }
                }
            }
        }
        for (party, index, (leg, ports)) in taken {
            let line = self.parties.at_mut(party).map(|held| &mut held.lines[index - 1]);
            if let Some(line) = line {
                line.seat = Some(Seat::new(leg, ports));
            }
        }
        Ok(())
    }

    /// Tells the worker what is different about a party's m-lines.
    fn sync(&mut self, party: PartyId, lender: &mut dyn Lender) -> Result<(), NgError> {
        let (now, dscp) = (self.clock.now, self.dscp);
        let Some(held) = self.parties.at_mut(party) else { return Ok(()) };
        let mut steps = Vec::new();
        for line in &mut held.lines {
            let Some(mut seat) = line.seat.take() else { continue };
            let renewed = if seat.wants_leg(line) { Some(lender.leg()) } else { None };
            let outcome = match renewed {
                Some(None) => Err(Refusal::Full),
                renewed => seat.sync(now, line, line.learning, dscp, renewed.flatten()),
            };
            line.seat = Some(seat);
            steps.extend(outcome.map_err(|_| NgError::OutOfPorts)?);
        }
        self.take_steps(steps);
        Ok(())
    }

    /// Tells the worker where everything goes, as far as that has changed.
    pub(super) fn pipe_all(&mut self) {
        let mut wanted: Vec<(LegId, Pipes)> = Vec::new();
        for party in self.parties.iter() {
            for line in &party.lines {
                if let Some(seat) = &line.seat {
                    wanted.push((seat.leg, self.pipes_of(party, line.index)));
                }
            }
        }
        for (leg, pipes) in wanted {
            let command = self.seat_mut(leg).and_then(|seat| seat.pipe(pipes));
            if let Some(command) = command {
                self.tell(command);
            }
        }
    }

    /// Where what a party sends on an m-line goes on to.
    fn pipes_of(&self, party: &Party, index: usize) -> Pipes {
        let links = self.parties.links.iter().filter(|link| link.from == party.id);
        let pipes = links.filter_map(|link| {
            let to = self.parties.at(link.to)?;
            let line = to.lines.iter().find(|line| line.index == index)?;
            pipe(line, party.filter)
        });
        pipes.take(Pipes::new().capacity()).collect()
    }

    /// Takes candidates that are told one by one (RFC 8840): a piece of a description that is about ICE
    /// alone. There is nothing to pass on.
    fn trickle(&mut self, request: RequestId, said: &Said<'_>) -> Result<(), NgError> {
        let fragment = Fragment::parse(said.text).map_err(|_| NgError::BadSdp)?;
        let party = self.parties.tagged(said.from).ok_or(NgError::UnknownCall)?;
        let held = self.parties.at_mut(party).ok_or(NgError::UnknownCall)?;
        for section in &fragment.media {
            let named = |line: &&mut Line| line.mid.as_deref() == section.mid.as_deref();
            let Some(line) = held.lines.iter_mut().find(named) else { continue };
            let Some(seat) = &mut line.seat else { continue };
            let lines: Vec<String> = section.candidates.iter().map(ToString::to_string).collect();
            for ice in seat.parts.iter_mut().filter_map(|part| part.ice.as_mut()) {
                ice.newest().add_candidates(&lines);
                if section.end_of_candidates {
                    ice.newest().agent.end_of_candidates();
                }
            }
        }
        self.drain_agents();
        self.reply(request, Reply::ok());
        Ok(())
    }

    /// Takes a party out of the call, with what the worker has of it.
    pub(super) fn remove_party(&mut self, id: PartyId) {
        let Some(party) = self.parties.remove(id) else { return };
        for line in party.lines {
            if let Some(seat) = line.seat {
                self.give_up(seat.held());
            }
        }
        self.pipe_all();
    }

    /// Takes a seat from the worker; sockets that it never had go with the seat.
    pub(super) fn give_up(&mut self, held: Held) {
        if !held.is_installed {
            self.outputs.extend(held.sockets.map(Output::Freed));
            return;
        }
        self.retire(held.leg);
        for socket in held.sockets {
            self.remains.1 += 1;
            let command = Command::RemoveSocket { socket };
            self.tell_tagged(Pending::Unsocket { socket }, command);
        }
    }
}

/// The pipe to an m-line of a party that receives; none where there is nowhere to go.
fn pipe(line: &Line, filter: PartyFilter) -> Option<Pipe> {
    let seat = line.seat.as_ref().filter(|seat| seat.is_installed() && !line.is_rejected)?;
    let media = match () {
        () if filter.media_blocked || line.is_nowhere => MediaFilter::Block,
        () if filter.silenced => MediaFilter::Silence,
        () => MediaFilter::Pass,
    };
    let reports = if line.mux { MEDIA } else { REPORTS };
    Some(Pipe {
        media: seat.transport(MEDIA),
        reports: seat.transport(reports),
        filter: Filter { media, blocks_dtmf: filter.dtmf_blocked },
    })
}

fn seat(lender: &mut dyn Lender, name: Option<&str>, ipv6: bool) -> Option<(LegId, PortPair)> {
    let leg = lender.leg()?;
    match lender.lease(name, ipv6) {
        Ok(ports) => Some((leg, ports)),
        Err(error) => {
            tracing::warn!(%error, "no ports for a call");
            lender.give(leg);
            None
        }
    }
}

/// A party's m-line, which is made if need be with those before it.
fn line_at<'a>(party: &'a mut Party, line: &Described) -> &'a mut Line {
    while party.lines.len() < line.index {
        party.lines.push(Line::new(party.lines.len() + 1, &line.kind));
    }
    &mut party.lines[line.index - 1]
}

fn prepare(line: &mut Line) {
    if let Some(mut seat) = line.seat.take() {
        seat.prepare(line);
        line.seat = Some(seat);
    }
}

/// How the far address of an m-line is learnt. A party that can be reached where it says is waited for
/// there; one behind a NAT is where its SIP messages come from, or where its first packet does.
fn learning(line: &Line, flags: &Flags) -> Learning {
    let Some(far) = &line.far else { return Learning::Off };
    if flags.has(Flag::MediaHandover) {
        return Learning::Always;
    }
    let is_reachable = || {
        let own = line.seat.as_ref().map(|seat| seat.parts[0].announced.ip());
        is_global(far.rtp.ip()) || !own.is_some_and(is_global)
    };
    let waits = |grace| Learning::Once { hint: flags.received_from, grace };
    match flags.endpoint_learning {
        Some(EndpointLearning::Off) => Learning::Off,
        Some(EndpointLearning::Immediate) => waits(Nanos(0)),
        _ if far.rtp.ip().is_unspecified() => waits(Nanos(0)),
        _ if is_reachable() => waits(GRACE),
        _ => waits(Nanos(0)),
    }
}
