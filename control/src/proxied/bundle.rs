//! BUNDLE (RFC 8843) of an offerer, where the proxy lets the node accept it: m-lines whose media shares the port of
//! another.
//!
//! The first m-line of the group has a seat; the media of the others are further streams of its leg, which the
//! worker tells apart by MID, SSRC or payload type. The other side is offered no bundle, so each m-line has
//! ports of its own there.

use causeway_engine::command::StreamId;
use causeway_engine::config::STREAMS_PER_LEG;

use super::described::Described;
use super::line::Line;
use super::party::Party;
use super::seat::{Seat, Step};
use super::seats::Seats;
use crate::ng::{Flag, Flags};
use crate::sdp::{Bundle, Sdp};

/// Marks the m-lines of an offer that are to share a port: those of its first group that use DTLS and multiplex
/// RTCP as the first one does.
pub(super) fn share(writer: &mut Party, sdp: &Sdp, lines: &[Described], flags: &Flags) {
    writer.lines.iter_mut().for_each(|line| line.shares = None);
    let Some(mids) = sdp.bundles().next().filter(|_| flags.has(Flag::BundleAccept)) else { return };
    let can = |said: &&Described| {
        !said.is_rejected && said.rtcp_mux && said.fingerprint.is_some() && !said.kind.is_empty()
    };
    let mut bundled = mids
        .filter_map(|mid| lines.iter().filter(can).find(|said| said.mid.as_deref() == Some(mid)));
    let Some(first) = bundled.next() else { return };
    let fitting = bundled.filter(|said| said.protocol == first.protocol);
    for said in fitting.take(STREAMS_PER_LEG - 1) {
        writer.lines[said.index - 1].shares = Some(first.index - 1);
    }
}

/// Lets m-lines part whose port cannot be shared after all: that of one that is rejected, or without mux.
pub(super) fn part(party: &mut Party) {
    for place in 0..party.lines.len() {
        let line = &party.lines[place];
        let Some(first) = line.shares.and_then(|first| party.lines.get(first)) else { continue };
        let stays = !first.is_rejected && first.mux && line.mux && line.protocol == first.protocol;
        if !stays {
            party.lines[place].shares = None;
        }
    }
}

impl Party {
    /// Where an m-line's media comes in: its seat, or that of the m-line whose port it shares, and the place of
    /// its stream there.
    pub(super) fn seat_of(&self, line: &Line) -> Option<(&Seat, u8)> {
        let place = line.shares.unwrap_or(line.index - 1);
        let seat = self.seats.get(place)?.current.as_ref()?;
        Some((seat, self.stream_place(line)))
    }

    /// Every stream that carries an m-line's media, those of former seats too.
    pub(super) fn streams_of(&self, line: &Line) -> impl Iterator<Item = (&Seat, StreamId)> {
        let own = self.seats.get(line.index - 1).filter(|_| line.shares.is_none());
        let own = own.into_iter().flat_map(Seats::all).map(|seat| (seat, 0));
        let shared = line.shares.and_then(|_| self.seat_of(line));
        own.chain(shared).map(|(seat, index)| (seat, StreamId { leg: seat.leg, index }))
    }

    fn stream_place(&self, line: &Line) -> u8 {
        let Some(first) = line.shares else { return 0 };
        let before = self.lines.iter().take(line.index - 1);
        let sharing = before.filter(|other| other.shares == Some(first)).count();
        u8::try_from(sharing + 1).unwrap_or(u8::MAX)
    }

    /// What is to be done so that the worker knows the streams that share a leg.
    pub(super) fn sync_shared(&mut self) -> Vec<Step> {
        let shared: Vec<(usize, usize, u8)> = self
            .lines
            .iter()
            .filter_map(|line| Some((line.index - 1, line.shares?, self.stream_place(line))))
            .collect();
        let mut steps = Vec::new();
        for (place, first, stream) in shared {
            let seat = self.seats.get_mut(first).and_then(|seats| seats.current.as_mut());
            steps.extend(seat.and_then(|seat| seat.share(stream, &self.lines[place])));
        }
        steps
    }

    /// The seats of m-lines that share another's from now on.
    pub(super) fn vacate_shared(&mut self) -> Vec<Seat> {
        let sharing = self.lines.iter().zip(&mut self.seats);
        let sharing = sharing.filter(|(line, _)| line.shares.is_some());
        sharing.flat_map(|(_, seats)| std::mem::take(seats).into_all()).collect()
    }

    /// The group as the party is told it.
    pub(super) fn bundle(&self) -> Bundle {
        let Some(first) = self.lines.iter().find_map(|line| line.shares) else {
            return Bundle::Removed;
        };
        let is_in = |line: &&Line| line.index - 1 == first || line.shares == Some(first);
        let used = self.lines.iter().filter(is_in).filter(|line| !line.is_rejected);
        Bundle::Own(used.filter_map(|line| line.mid.clone()).collect())
    }
}
