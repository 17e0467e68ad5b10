//! The edge's side of TURN's data, as [`crate::relaying`] is a worker's.

use std::net::SocketAddr;

use super::Edge;
use super::outbox::Weight;
use crate::command::{AllocationId, Refusal, Returned, SocketId, WorkerId};
use crate::config::{HEAD_ROOM, PAYLOAD_MAX, SOCKETS_PER_WORKER};
use crate::doors::{Beyond, Door};
use crate::error::DropReason;
use crate::hop::HopKind;
use crate::packet::{Nanos, Packet};
use crate::relay::{self, Allocation, CHANNEL_HEADER, Relay};
use crate::stun::TransactionId;
use crate::sys::IoCounters;

/// Packets of other threads that are taken per turn.
const HOPS_PER_TURN: usize = 1024;
/// The traffic class of what is relayed.
const BEST_EFFORT: u8 = 0;

type Client = (SocketId, SocketAddr);

impl Edge {
    /// ChannelData of a client.
    pub(super) fn channel_data(
        &mut self,
        client: Client,
        message: &[u8],
    ) -> Result<(), DropReason> {
        let (number, len) = relay::read_channel_data(message)?;
        let slot = self.allocations.of_client(client).ok_or(DropReason::ChannelUnknown)?;
        let allocation = self.allocations.at(slot).ok_or(DropReason::ChannelUnknown)?;
        let peer = allocation.peer_of(number, len, self.now)?;
        let relay = allocation.relay_to(peer)?;
        self.allocations.carried.add(len)?;
        self.relay_out(relay, peer, &message[CHANNEL_HEADER..CHANNEL_HEADER + len])
    }

    /// A Send indication of a client.
    pub(super) fn send_indication(
        &mut self,
        client: Client,
        message: &[u8],
        transaction: TransactionId,
    ) -> Result<(), DropReason> {
        let slot = self.allocations.of_client(client).ok_or(DropReason::RelayUnknown)?;
        let allocation = self.allocations.at(slot).ok_or(DropReason::RelayUnknown)?;
        let sent = relay::read_send(message, transaction)?;
        allocation.may_send(&sent, self.now)?;
        let relay = allocation.relay_to(sent.peer)?;
        self.allocations.carried.add(sent.data.len())?;
        self.relay_out(relay, sent.peer, sent.data)
    }

    fn relay_out(&mut self, relay: Relay, peer: SocketAddr, data: &[u8]) -> Result<(), DropReason> {
        if data.len() > PAYLOAD_MAX {
            return Err(DropReason::Truncated);
        }
        match self.doors.beyond(peer) {
            Beyond::Outside => self.send(relay.socket.ok_or(DropReason::RelayOutward)?, peer, data),
            Beyond::Inside(door) => self.enter(door, peer, relay.relayed, data),
            Beyond::Nothing => Err(DropReason::RelayInward),
        }
    }

    /// Sends a datagram from a relay socket, with the others of this turn.
    fn send(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(), DropReason> {
        if self.backend.room() == 0 {
            let mut io = IoCounters::default();
            self.backend.submit(&mut self.frames, &mut io);
            self.count_io(&io, false);
        }
        let frame = self.frames.take().ok_or(DropReason::FramesExhausted)?;
        let end = HEAD_ROOM + data.len();
        self.frames.bytes_mut(&frame)[HEAD_ROOM..end].copy_from_slice(data);
        let (start, len) = (HEAD_ROOM as u16, data.len() as u16);
        let (traffic_class, received) = (BEST_EFFORT, Nanos(0));
        self.backend.queue(Packet { frame, start, len, socket, remote, traffic_class, received });
        Ok(())
    }

    /// Takes data that is sent from `from`, a relayed address, to `to`, another address of the node's
    /// own, through the door there.
    fn enter(
        &mut self,
        door: Door,
        to: SocketAddr,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), DropReason> {
        match door {
            Door::Media { worker, socket } => {
                let socket = socket.relayed();
                self.hop(HopKind::Arrival { to: worker, socket, remote: from }, data)
            }
            Door::Relay { thread: WorkerId::EDGE, slot } => self.relay_in((slot, to), from, data),
            Door::Relay { thread, slot } => {
                self.hop(HopKind::Relayed { thread, slot, relayed: to, peer: from }, data)
            }
        }
    }

    /// Data of a peer at one of an allocation's relayed addresses, to its client.
    fn relay_in(
        &mut self,
        relayed: (u16, SocketAddr),
        peer: SocketAddr,
        data: &[u8],
    ) -> Result<(), DropReason> {
        let place = self.wrap.get_mut(HEAD_ROOM..HEAD_ROOM + data.len());
        place.ok_or(DropReason::Truncated)?.copy_from_slice(data);
        self.deliver(relayed, peer, data.len())
    }

    /// The same of data that lies behind the wrap's head room.
    fn deliver(
        &mut self,
        (slot, relayed): (u16, SocketAddr),
        peer: SocketAddr,
        len: usize,
    ) -> Result<(), DropReason> {
        let transaction = self.draw();
        let allocation = self.allocations.relaying(slot, relayed);
        let allocation = allocation.ok_or(DropReason::RelayUnknown)?;
        let wrap = allocation.wrap(peer, len, self.now)?;
        let (client, framing) = (allocation.client(), allocation.framing());
        self.allocations.carried.add(len)?;
        let weight = Weight::of(&self.wrap[HEAD_ROOM..HEAD_ROOM + len]);
        let (start, len) =
            relay::write_wrap(&mut self.wrap[..], (HEAD_ROOM, len), wrap, framing, transaction)?;
        let key = self.streams.named(client).ok_or(DropReason::StreamGone)?;
        let whole = std::mem::take(&mut self.wrap);
        let written = self.write(key, &[&whole[start..start + len]], weight);
        self.wrap = whole;
        written
    }

    /// The id of an indication, which nobody answers: only different each time.
    fn draw(&mut self) -> TransactionId {
        let mut id = TransactionId::default();
        self.drawn = self.drawn.wrapping_add(1);
        id.0[..8].copy_from_slice(&self.drawn.to_be_bytes());
        id.0[8..10].copy_from_slice(&WorkerId::EDGE.0.to_be_bytes());
        id
    }

    /// What has come to the relay sockets.
    pub(super) fn take_datagrams(&mut self) {
        let mut rx = std::mem::take(&mut self.rx);
        let mut io = IoCounters::default();
        let outcome = self.backend.turn(&mut self.frames, &mut rx, None, &mut io);
        self.count_io(&io, outcome.is_err());
        // A batch may not be all, and nobody would say so again.
        self.relays_busy = !rx.is_empty();
        for packet in rx.drain(..) {
            self.take_datagram(packet);
        }
        self.rx = rx;
    }

    fn take_datagram(&mut self, packet: Packet) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += u64::from(packet.len);
        let len = usize::from(packet.len);
        self.wrap[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(packet.payload(&self.frames));
        let role = self.roles.get(usize::from(packet.socket.0)).copied().flatten();
        let remote = packet.remote;
        self.frames.give(packet.frame);
        let taken = match role {
            Some(relayed) => self.deliver(relayed, remote, len),
            None => Err(DropReason::RelayUnknown),
        };
        if let Err(reason) = taken {
            self.drop_for(reason);
        }
    }

    /// What other threads have for streams.
    pub(super) fn take_hops(&mut self) {
        for turn in 0..HOPS_PER_TURN {
            let Some(hop) = self.hops.pop(turn) else { return };
            self.counters.hops_in += 1;
            let taken = match hop.kind {
                HopKind::Departure { remote } => {
                    self.depart(remote, &hop.bytes, Weight::of(&hop.bytes))
                }
                HopKind::Relayed { slot, relayed, peer, .. } => {
                    self.relay_in((slot, relayed), peer, &hop.bytes)
                }
                _ => Err(DropReason::HopRing),
            };
            if let Err(reason) = taken {
                self.drop_for(reason);
            }
        }
    }

    /// Installs an allocation for the client of a stream.
    pub(super) fn add_allocation(
        &mut self,
        id: AllocationId,
        state: Box<Allocation>,
    ) -> (Result<(), Refusal>, Returned) {
        let Some(key) = self.streams.named(state.client()) else {
            return (Err(Refusal::Gone), Returned::Allocation(state));
        };
        let relays = state.relays().to_vec();
        if let Err((refusal, state)) = self.allocations.add(id, state) {
            return (Err(refusal), Returned::Allocation(state));
        }
        relays.into_iter().for_each(|relay| self.set_role(relay, Some(id.slot)));
        if let Some(stream) = self.streams.at(key) {
            stream.deadline = Nanos(u64::MAX);
        }
        (Ok(()), Returned::Nothing)
    }

    /// Removes one; its client's stream may ask for another for a while.
    pub(super) fn remove_allocation(
        &mut self,
        id: AllocationId,
    ) -> (Result<(), Refusal>, Returned) {
        let Some(state) = self.allocations.remove(id) else {
            return (Err(Refusal::Gone), Returned::Nothing);
        };
        state.relays().iter().for_each(|relay| self.set_role(*relay, None));
        self.remove_listeners(id);
        let deadline = self.now.plus(super::stream::UNALLOCATED.0);
        let key = self.streams.named(state.client());
        if let Some(stream) = key.and_then(|key| self.streams.at(key)) {
            stream.deadline = deadline;
        }
        (Ok(()), Returned::Allocation(state))
    }

    /// Takes one relayed address from an allocation.
    pub(super) fn withdraw(
        &mut self,
        id: AllocationId,
        relayed: SocketAddr,
    ) -> Result<(), Refusal> {
        let held = self.allocations.named(id).ok_or(Refusal::Gone)?;
        let relay = held.withdraw(relayed).ok_or(Refusal::Gone)?;
        self.set_role(relay, None);
        Ok(())
    }

    fn set_role(&mut self, relay: Relay, slot: Option<u16>) {
        let Some(socket) = relay.socket else { return };
        if self.roles.is_empty() {
            self.roles.resize(SOCKETS_PER_WORKER, None);
        }
        if let Some(role) = self.roles.get_mut(usize::from(socket.0)) {
            *role = slot.map(|slot| (slot, relay.relayed));
        }
    }
}
