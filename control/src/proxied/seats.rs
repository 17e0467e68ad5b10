//! The seats of an m-line: the one in use, and those that it had before.
//!
//! A party gets other ports when the other side is somewhere else: a branch of a forked call, or a
//! media server in the place of a phone. What it still sends to the former ports is taken as what it
//! sends to the present ones.

use std::net::SocketAddr;

use super::line::Line;
use super::seat::Seat;
use crate::ng::{Flag, Flags};

/// Former seats that are kept, most; the one that was used longest ago goes.
const FORMER_MAX: usize = 4;

/// The seats of an m-line.
#[derive(Debug, Default)]
pub(super) struct Seats {
    pub(super) current: Option<Seat>,
    pub(super) former: Vec<Seat>,
}

/// Which seat an m-line is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The one that it has.
    Stays,
    /// A former one, by its place.
    Former(usize),
    /// One that is yet to be leased.
    New,
}

impl Seats {
    pub(super) fn all(&self) -> impl Iterator<Item = &Seat> {
        self.current.iter().chain(&self.former)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.current.iter_mut().chain(&mut self.former)
    }

    /// All of them.
    pub(super) fn into_all(self) -> impl Iterator<Item = Seat> {
        self.current.into_iter().chain(self.former)
    }

    /// The seat for media of another side at `far`; `None` while there is no other side.
    pub(super) fn place_for(
        &self,
        far: Option<SocketAddr>,
        interface: Option<&str>,
        line: &Line,
        flags: &Flags,
    ) -> Place {
        let fits = |seat: &Seat| {
            let is_there = interface.is_none() || seat.asked.0.as_deref() == interface;
            let same_family = line.is_ipv6.is_none_or(|ipv6| ipv6 == seat.asked.1);
            is_there && same_family && seat.fits(far, line, flags) && seat.has_room(line)
        };
        match &self.current {
            Some(seat) if fits(seat) => Place::Stays,
            _ => self.former.iter().position(fits).map_or(Place::New, Place::Former),
        }
    }

    /// Takes a seat into use; the one that has to go for it, if there are too many.
    pub(super) fn take(&mut self, seat: Seat) -> Option<Seat> {
        let before = self.current.replace(seat);
        self.former.extend(before);
        (self.former.len() > FORMER_MAX).then(|| self.former.remove(0))
    }

    /// Takes a former seat into use again.
    pub(super) fn take_back(&mut self, place: usize) {
        let seat = self.former.remove(place);
        let before = self.current.replace(seat);
        self.former.extend(before);
    }
}

impl Seat {
    /// Whether it is for another side at `far`. With ICE the address says nothing.
    fn fits(&self, far: Option<SocketAddr>, line: &Line, flags: &Flags) -> bool {
        let (Some(far), Some(known)) = (far, self.other_side) else { return true };
        let keeps =
            flags.has(Flag::PortLatching) || line.has_agent() && !flags.has(Flag::NoPortLatching);
        let nowhere = far.ip().is_unspecified() || known.ip().is_unspecified();
        keeps || (if nowhere { far.port() == known.port() } else { far == known })
    }

    /// Whether it has the addresses that ICE wants.
    fn has_room(&self, line: &Line) -> bool {
        !line.has_agent() || self.is_whole
    }
}
