//! Offers and answers.

use std::net::SocketAddr;

use causeway_engine::command::{Command, LegId, Refusal, StreamId};
use causeway_engine::learning::Learning;
use causeway_engine::packet::Nanos;
use causeway_engine::pipe::{Filter, MediaFilter, Pipe, Pipes};

use super::described::Described;
use super::line::{Echo, Line};
use super::party::{Party, PartyFilter, PartyId};
use super::seat::{Held, MEDIA, REPORTS, Seat};
use super::seats::{Place, Seats};
use super::settle::{self, Move, settle};
use super::{EndedBy, Lender, Output, Pending, ProxiedCall, RequestId, bundle, write};
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
/// Pieces of descriptions that are kept for parties that are yet to answer, most.
const EARLY_MAX: usize = 16;

impl ProxiedCall {
    pub(super) fn offer(
        &mut self,
        request: RequestId,
        mut offer: Offer,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        self.add_configured(&mut offer.flags);
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
        mut answer: Answer,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        self.add_configured(&mut answer.flags);
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

    /// Says what is configured for all calls.
    fn add_configured(&self, flags: &mut Flags) {
        if self.facts.legacy_suites {
            flags.set.insert(Flag::SdesLegacy);
        }
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
        let unrecorded = self.record_as_flagged(said.flags, lender);
        self.take_early(writer, said.from);
        self.pipe_all();
        self.drain_agents();
        self.start_handshakes();
        let reply = Reply::ok().with_sdp(&text);
        let reply = match unrecorded {
            Some(why) => reply.with_warning(&why.to_string()),
            None => reply,
        };
        self.reply_when_applied(request, reply);
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
        self.drops = said.flags.drop_traffic.unwrap_or(self.drops);
        if let Some(party) = self.parties.at_mut(sides[0]) {
            party.text.said = Some(said.text.to_owned());
        }
        let label = said.flags.label.as_ref();
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

    /// Settles every m-line, gives it ports, writes what the reader is told, and tells the worker. What was
    /// settled before comes back if one of these fails.
    fn settle(
        &mut self,
        sdp: &Sdp,
        lines: &[Described],
        sides: (PartyId, PartyId),
        said: &Said<'_>,
        lender: &mut dyn Lender,
    ) -> Result<String, NgError> {
        let [from, to] = self.parties.two(sides.0, sides.1).ok_or(NgError::BadDialogue)?;
        let before = (from.lines.clone(), to.lines.clone());
        let mut restarts = Vec::new();
        for line in lines {
            from.make_lines(line.index, &line.kind);
            to.make_lines(line.index, &line.kind);
            let (one, other) = (&mut from.lines[line.index - 1], &mut to.lines[line.index - 1]);
            // An answer begins nothing anew.
            let begins = said.step == Move::Offer;
            restarts.push(begins && settle::restarts(line, one.far.as_ref()));
            settle(one, other, line, said.flags, said.step);
            settle_family(one, other, line, said.flags);
        }
        if said.step == Move::Offer {
            bundle::share(from, sdp, lines, said.flags);
        }
        bundle::part(to);
        let taken = self.take_seats(lines, (Some(sides.0), sides.1), said.flags, lender);
        let written =
            taken.and_then(|()| self.carry_out(sdp, lines, &restarts, sides, said, lender));
        written.inspect_err(|_| {
            if let Some([from, to]) = self.parties.two(sides.0, sides.1) {
                from.lines.splice(..before.0.len(), before.0);
                to.lines.splice(..before.1.len(), before.1);
            }
        })
    }

    /// Does what was settled: agents, description, worker.
    fn carry_out(
        &mut self,
        sdp: &Sdp,
        lines: &[Described],
        restarts: &[bool],
        sides: (PartyId, PartyId),
        said: &Said<'_>,
        lender: &mut dyn Lender,
    ) -> Result<String, NgError> {
        if let Some(tos) = said.flags.tos {
            self.dscp = tos >> 2;
        }
        let [from, to] = self.parties.two(sides.0, sides.1).ok_or(NgError::BadDialogue)?;
        for (line, restarts) in lines.iter().zip(restarts) {
            let place = line.index - 1;
            let seat = from.seats[place].current.as_mut();
            from.lines[place].learning = learning(&from.lines[place], seat.as_deref(), said.flags);
            if let Some(seat) = seat.filter(|_| *restarts) {
                seat.renew_credentials();
            }
        }
        from.prepare_seats();
        to.prepare_seats();
        let text = write::write(sdp, to, &from.lines, said.flags, said.step, &self.facts)?;
        self.sync(sides.0, lender)?;
        self.sync(sides.1, lender)?;
        Ok(text)
    }

    /// Gives every m-line in use of both sides ports, all of them or none: the writer some, the reader
    /// those that are for this writer.
    pub(super) fn take_seats(
        &mut self,
        lines: &[Described],
        (writer, reader): (Option<PartyId>, PartyId),
        flags: &Flags,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        // Where there are two sides one name says nothing.
        let is_alone = writer.is_none_or(|writer| writer == reader);
        let only = flags.interfaces.only.as_ref().filter(|_| is_alone);
        let names = [&flags.interfaces.from, &flags.interfaces.to];
        let names = names.map(|name| only.or(name.as_ref()).map(String::as_str));
        let mut taken = Vec::new();
        let sides = [(writer, names[0]), (Some(reader), names[1])];
        for (party, name) in sides.into_iter().filter_map(|(party, name)| Some((party?, name))) {
            if writer == Some(reader) && !taken.is_empty() {
                break;
            }
            let Some(held) = self.parties.at_mut(party) else { continue };
            for line in lines.iter().filter(|line| !line.is_rejected && line.kind != "message") {
                let (own, seats) = (&held.lines[line.index - 1], &held.seats[line.index - 1]);
                if own.shares.is_some() {
                    continue;
                }
                let far = (party == reader && writer != Some(reader)).then_some(line.rtp);
                let place = seats.place_for(far, name, own, flags);
                let is_missing = place == Place::New;
                let leased = is_missing.then(|| lease(&self.id, lender, name, own));
                if leased.as_ref().is_some_and(Option::is_none) {
                    taken.into_iter().for_each(|taken: Taken| taken.give_back(lender));
                    return Err(NgError::OutOfPorts);
                }
                let asked = (name.map(Into::into), own.is_ipv6.unwrap_or_default());
                let (line, leased) = (line.index - 1, leased.flatten());
                taken.push(Taken { party, line, far, place, asked, leased });
            }
        }
        for one in taken {
            self.take_seat(one);
        }
        Ok(())
    }

    fn take_seat(&mut self, taken: Taken) {
        let Taken { party, line, far, place, asked, leased } = taken;
        let Some(held) = self.parties.at_mut(party) else { return };
        let whole = held.lines[line].has_agent();
        let seats = &mut held.seats[line];
        let gone = match (place, leased) {
            (Place::New, Some((leg, ports))) => seats.take(Seat::new(leg, ports, asked, whole)),
            (Place::Former(place), _) => {
                seats.take_back(place);
                None
            }
            _ => None,
        };
        if let (Some(seat), Some(far)) = (&mut seats.current, far) {
            let is_known = seat.other_side.is_some_and(|known| !known.ip().is_unspecified());
            if !is_known {
                seat.other_side = Some(far);
            }
        }
        if let Some(gone) = gone {
            self.give_up(gone.held());
        }
    }

    /// Tells the worker what is different about a party's m-lines.
    pub(super) fn sync(&mut self, party: PartyId, lender: &mut dyn Lender) -> Result<(), NgError> {
        let (now, dscp) = (self.clock.now, self.dscp);
        let Some(held) = self.parties.at_mut(party) else { return Ok(()) };
        let mut steps = Vec::new();
        for (line, seats) in held.places_mut() {
            let Some(seat) = &mut seats.current else { continue };
            let renewed = if seat.wants_leg(line) { Some(lender.leg()) } else { None };
            let outcome = match renewed {
                Some(None) => Err(Refusal::Full),
                renewed => seat.sync(now, line, line.learning, dscp, renewed.flatten()),
            };
            steps.extend(outcome.map_err(|_| NgError::OutOfPorts)?);
        }
        steps.extend(held.sync_shared());
        let vacated = held.vacate_shared();
        self.take_steps(steps);
        vacated.iter().for_each(|seat| self.give_up(seat.held()));
        Ok(())
    }

    /// Tells the worker where everything goes, as far as that has changed, and what of it is recorded.
    pub(super) fn pipe_all(&mut self) {
        let mut wanted: Vec<(StreamId, Pipes)> = Vec::new();
        for party in self.parties.iter() {
            for line in &party.lines {
                let pipes = match line.echo {
                    _ if self.drops => Pipes::new(),
                    Echo::Others => self.pipes_of(party, line.index),
                    Echo::Own => own_pipe(party, line),
                    Echo::Nothing => Pipes::new(),
                };
                wanted.extend(party.streams_of(line).map(|(_, stream)| (stream, pipes.clone())));
            }
        }
        // What no m-line uses any more leads nowhere.
        let is_used = |stream: &StreamId| wanted.iter().any(|(used, _)| used == stream);
        let unused = self.seats().flat_map(Seat::piped).filter(|stream| !is_used(stream));
        let unused: Vec<_> = unused.map(|stream| (stream, Pipes::new())).collect();
        for (stream, pipes) in wanted.into_iter().chain(unused) {
            let command = self.seat_mut(stream.leg).and_then(|seat| seat.pipe(stream, pipes));
            if let Some(command) = command {
                self.tell(command);
            }
        }
        self.tap_all();
    }

    /// Where what a party sends on an m-line goes on to.
    fn pipes_of(&self, party: &Party, index: usize) -> Pipes {
        let links = self.parties.links.iter().filter(|link| link.from == party.id);
        let pipes = links.filter_map(|link| {
            let to = self.parties.at(link.to)?;
            let line = to.lines.iter().find(|line| line.index == index + link.offset)?;
            pipe(line, to.seat_of(line)?.0, party.filter)
        });
        pipes.collect()
    }

    /// Takes candidates that are told one by one (RFC 8840): a piece of a description that is about ICE
    /// alone. There is nothing to pass on.
    fn trickle(&mut self, request: RequestId, said: &Said<'_>) -> Result<(), NgError> {
        let fragment = Fragment::parse(said.text).map_err(|_| NgError::BadSdp)?;
        match self.parties.tagged(said.from) {
            Some(party) => self.add_candidates(party, &fragment),
            None => self.keep_early(said.from, fragment),
        }
        self.drain_agents();
        self.reply(request, Reply::ok());
        Ok(())
    }

    /// Keeps candidates of a party that is yet to answer; those that came first go.
    fn keep_early(&mut self, tag: &str, fragment: Fragment) {
        if self.early.len() >= EARLY_MAX {
            self.early.remove(0);
        }
        self.early.push((tag.to_owned(), fragment));
    }

    /// Hands over what was kept for a party that is there now.
    fn take_early(&mut self, party: PartyId, tag: &str) {
        let mut others = Vec::new();
        for (of, fragment) in std::mem::take(&mut self.early) {
            if of == tag {
                self.add_candidates(party, &fragment);
            } else {
                others.push((of, fragment));
            }
        }
        self.early = others;
    }

    fn add_candidates(&mut self, party: PartyId, fragment: &Fragment) {
        let Some(held) = self.parties.at_mut(party) else { return };
        for section in &fragment.media {
            let named = |line: &Line| line.mid.as_deref() == section.mid.as_deref();
            let Some((_, seats)) = held.places_mut().find(|(line, _)| named(line)) else {
                continue;
            };
            let Some(seat) = &mut seats.current else { continue };
            let lines: Vec<String> = section.candidates.iter().map(ToString::to_string).collect();
            for ice in seat.parts.iter_mut().filter_map(|part| part.ice.as_mut()) {
                ice.newest().add_candidates(&lines);
                if section.end_of_candidates {
                    ice.newest().agent.end_of_candidates();
                }
            }
        }
    }

    /// Takes a party out of the call, with what the worker has of it.
    pub(super) fn remove_party(&mut self, id: PartyId) {
        let Some(party) = self.parties.remove(id) else { return };
        for seat in party.seats.iter().flat_map(Seats::all) {
            self.give_up(seat.held());
        }
        self.pipe_all();
    }

    /// Takes a seat from the worker; sockets that it never had go with the seat.
    pub(super) fn give_up(&mut self, held: Held) {
        if !held.is_installed {
            self.outputs.extend(held.sockets.into_iter().map(Output::Freed));
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

/// What an m-line is given, once everything is there.
struct Taken {
    party: PartyId,
    /// Its place, from 0.
    line: usize,
    far: Option<SocketAddr>,
    place: Place,
    /// The interface and family.
    asked: (Option<String>, bool),
    leased: Option<(LegId, Vec<PortPair>)>,
}

impl Taken {
    fn give_back(self, lender: &mut dyn Lender) {
        if let Some((leg, ports)) = self.leased {
            lender.give(leg);
            ports.into_iter().for_each(|pair| lender.free(pair));
        }
    }
}

/// The pipe to an m-line of a party that receives; none where there is nowhere to go.
fn pipe(line: &Line, seat: &Seat, filter: PartyFilter) -> Option<Pipe> {
    if !seat.is_installed() || line.is_rejected {
        return None;
    }
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

/// The pipe by which a party hears itself.
fn own_pipe(party: &Party, line: &Line) -> Pipes {
    let seat = party.seat_of(line).into_iter();
    seat.filter_map(|(seat, _)| pipe(line, seat, party.filter)).collect()
}

fn lease(
    call: &str,
    lender: &mut dyn Lender,
    name: Option<&str>,
    line: &Line,
) -> Option<(LegId, Vec<PortPair>)> {
    let Some(leg) = lender.leg() else {
        tracing::warn!(call, "the worker has no free leg for a call");
        return None;
    };
    match lender.lease(name, line.is_ipv6.unwrap_or_default(), line.has_agent()) {
        Ok(ports) => Some((leg, ports)),
        Err(error) => {
            tracing::warn!(call, %error, "no ports for a call");
            lender.give(leg);
            None
        }
    }
}

/// The family of each side's address: the writer's is its own, the reader's is the same unless the proxy
/// says otherwise; with ICE it stays.
pub(super) fn settle_family(writer: &mut Line, reader: &mut Line, said: &Described, flags: &Flags) {
    if writer.is_ipv6.is_none() || !writer.ice.used {
        writer.is_ipv6 = Some(said.rtp.is_ipv6());
    }
    if reader.is_ipv6.is_none() || !reader.ice.used {
        let asked = flags.address_family.map(|family| family == AddressFamily::Ip6);
        reader.is_ipv6 = asked.or(reader.is_ipv6).or(writer.is_ipv6);
    }
}

/// How the far address of an m-line is learnt. A party that can be reached where it says is waited for
/// there; one behind a NAT is where its SIP messages come from, or where its first packet does.
pub(super) fn learning(line: &Line, seat: Option<&Seat>, flags: &Flags) -> Learning {
    let Some(far) = &line.far else { return Learning::Off };
    if flags.has(Flag::MediaHandover) {
        return Learning::Always;
    }
    let is_reachable = || {
        let own = seat.map(|seat| seat.parts[0].announced().ip());
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
