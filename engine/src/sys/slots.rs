//! A backend's sockets by slot, and the ones on their way out.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;

use crate::command::SocketId;
use crate::config::SOCKETS_PER_WORKER;

/// Sockets with what the backend knows about each. All room is taken at the start.
#[derive(Debug)]
pub(super) struct Slots<S> {
    slots: Box<[Option<Slot<S>>]>,
    used: usize,
    /// Sockets that the kernel no longer receives on; freed after the next submit.
    retiring: Vec<SocketId>,
    closed: VecDeque<(SocketId, UdpSocket)>,
}

/// One socket.
#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) udp: UdpSocket,
    /// Removed: it still sends what was queued, but delivers nothing.
    pub(super) closing: bool,
    pub(super) state: S,
}

impl<S> Slots<S> {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SOCKETS_PER_WORKER).map(|_| None).collect(),
            used: 0,
            retiring: Vec::with_capacity(SOCKETS_PER_WORKER),
            // A closed socket's slot can be filled and emptied again before anyone asks, hence
            // the bound in `check`.
            closed: VecDeque::with_capacity(SOCKETS_PER_WORKER),
        }
    }

    /// Whether a socket may be put into the slot.
    pub(super) fn check(&self, id: SocketId) -> io::Result<()> {
        match self.slots.get(usize::from(id.0)) {
            Some(None) if self.used + self.closed.len() < SOCKETS_PER_WORKER => Ok(()),
            Some(Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            Some(None) => Err(io::ErrorKind::QuotaExceeded.into()),
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Fills a slot that was checked.
    pub(super) fn fill(&mut self, id: SocketId, udp: UdpSocket, state: S) {
        self.used += 1;
        self.slots[usize::from(id.0)] = Some(Slot { udp, closing: false, state });
    }

    pub(super) fn find(&mut self, id: SocketId) -> Option<&mut Slot<S>> {
        self.slots.get_mut(usize::from(id.0))?.as_mut()
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The sockets that are not going.
    pub(super) fn staying(&mut self) -> impl Iterator<Item = (SocketId, &mut Slot<S>)> {
        let slots = (0u16..).zip(self.slots.iter_mut());
        slots
            .filter_map(|(n, slot)| Some((SocketId(n), slot.as_mut()?)))
            .filter(|(_, s)| !s.closing)
    }

    /// A second descriptor of each socket that is not going.
    pub(super) fn duplicates(&mut self) -> io::Result<Vec<(SocketId, UdpSocket)>> {
        self.staying().map(|(id, slot)| Ok((id, slot.udp.try_clone()?))).collect()
    }

    /// Notes that the kernel has ended receiving on a closing socket.
    pub(super) fn retire(&mut self, id: SocketId) {
        self.retiring.push(id);
    }

    pub(super) fn retiring(&self) -> bool {
        !self.retiring.is_empty()
    }

    /// Frees the next retiring socket's slot and says which it was.
    pub(super) fn close_next(&mut self) -> Option<SocketId> {
        let id = self.retiring.pop()?;
        if let Some(slot) = self.slots[usize::from(id.0)].take() {
            self.used -= 1;
            self.closed.push_back((id, slot.udp));
        }
        Some(id)
    }

    pub(super) fn closed(&mut self) -> Option<(SocketId, UdpSocket)> {
        self.closed.pop_front()
    }

    /// Empties the table, closed sockets included.
    pub(super) fn take_all(&mut self) -> Vec<(SocketId, UdpSocket)> {
        self.retiring.clear();
        self.used = 0;
        let left = (0u16..).zip(self.slots.iter_mut());
        let left = left.filter_map(|(n, slot)| Some((SocketId(n), slot.take()?.udp)));
        self.closed.drain(..).chain(left).collect()
    }
}
