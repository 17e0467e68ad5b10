//! A worker's side of TURN: what its clients relay, what peers answer, and the ways inside the node that
//! need no kernel ([`crate::doors`]).
//!
//! What a client relays to one of the node's media ports is treated as if it had come in there
//! from the relayed address, by a socket of the same name but for [`SocketId::relayed`]. So ICE, DTLS and
//! media need to know nothing of it; and what is sent to such a path ends here again.

use std::net::SocketAddr;

use crate::apply::Outcome;
use crate::command::{AllocationId, PuntKind, Refusal, Returned, SocketId, WorkerId};
use crate::config::HEAD_ROOM;
use crate::doors::{Beyond, Door};
use crate::error::DropReason;
use crate::gate::Admission;
use crate::hop::{Hop, HopKind};
use crate::packet::{Nanos, Packet};
use crate::relay::{self, Allocation, CHANNEL_HEADER};
use crate::stun::{self, TransactionId};
use crate::worker::{BEST_EFFORT, Fate, Outgoing, Worker, plain_len};

impl Worker {
    /// ChannelData of a client.
    pub(crate) fn channel_data(
        &mut self,
        packet: &mut Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        let (number, len) = relay::read_channel_data(packet.payload(&self.frames))?;
        let slot = self.allocations.of_client((packet.socket, packet.remote));
        let slot = slot.ok_or(DropReason::ChannelUnknown)?;
        let allocation = self.allocations.at(slot).ok_or(DropReason::ChannelUnknown)?;
        let peer = allocation.peer_of(number, len, now)?;
        self.allocations.carried.add(len)?;
        packet.start += CHANNEL_HEADER as u16;
        packet.len = plain_len(len);
        self.relay_out(slot, peer, packet, now)
    }

    /// A Send indication of a client.
    pub(crate) fn send_indication(
        &mut self,
        packet: &mut Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        let slot = self.allocations.of_client((packet.socket, packet.remote));
        let slot = slot.ok_or(DropReason::RelayUnknown)?;
        let allocation = self.allocations.at(slot).ok_or(DropReason::RelayUnknown)?;
        let message = packet.payload(&self.frames);
        let transaction = stun::Message::parse(message)?.transaction;
        let sent = relay::read_send(message, transaction)?;
        allocation.may_send(&sent, now)?;
        let (peer, at, len) = (sent.peer, sent.at, sent.data.len());
        self.allocations.carried.add(len)?;
        packet.start += plain_len(at);
        packet.len = plain_len(len);
        self.relay_out(slot, peer, packet, now)
    }

    /// A request of TURN: up if its nonce was given to where it comes from, else answered at once. A client
    /// inside a relay is none.
    pub(crate) fn turn_request(&mut self, packet: &Packet, now: Nanos) -> Result<Fate, DropReason> {
        let gate = self.gate.as_deref().filter(|_| packet.socket.is_kernel());
        let gate = gate.ok_or(DropReason::StunUnsolicited)?;
        let message = stun::Message::parse(packet.payload(&self.frames))?;
        match gate.admit(&message, packet.remote, now, &mut self.scratch) {
            Some(Admission::Passes) => self.punt(PuntKind::Turn, None, packet),
            Some(Admission::Refused(_)) if !self.throttle.may_answer(packet.remote, now) => {
                Err(DropReason::StunRate)
            }
            Some(Admission::Refused(len)) => Ok(Fate::Send(self.reply(packet, len, BEST_EFFORT))),
            None => Err(DropReason::StunMalformed),
        }
    }

    /// Data of a client, which `packet` is reduced to by now, to a peer.
    fn relay_out(
        &mut self,
        slot: u16,
        peer: SocketAddr,
        packet: &mut Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        let allocation = self.allocations.at(slot).ok_or(DropReason::RelayUnknown)?;
        let relay = allocation.relay_to(peer)?;
        match self.doors.beyond(peer) {
            Beyond::Outside => {
                let socket = relay.socket.ok_or(DropReason::RelayOutward)?;
                let (start, len) = (usize::from(packet.start), usize::from(packet.len));
                let traffic_class = packet.traffic_class;
                Ok(Fate::Send(Outgoing { socket, remote: peer, start, len, traffic_class }))
            }
            Beyond::Inside(door) => self.enter(door, peer, relay.relayed, packet, now),
            Beyond::Nothing => Err(DropReason::RelayInward),
        }
    }

    /// Takes a packet that is sent from `from`, an address of the node's own, to `to`, another, through
    /// the door there.
    fn enter(
        &mut self,
        door: Door,
        to: SocketAddr,
        from: SocketAddr,
        packet: &mut Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        match door {
            Door::Media { worker, socket } => {
                (packet.socket, packet.remote) = (socket.relayed(), from);
                if worker == self.id {
                    return self.treat(packet, now);
                }
                let (socket, remote) = (packet.socket, from);
                self.hop(HopKind::Arrival { to: worker, socket, remote }, packet)?;
            }
            Door::Relay { thread, slot } if thread == self.id => {
                packet.remote = from;
                return self.relay_in((slot, to), packet, now);
            }
            Door::Relay { thread, slot } => {
                let kind = HopKind::Relayed { thread, slot, relayed: to, peer: from };
                self.hop(kind, packet)?;
            }
        }
        Ok(Fate::Done)
    }

    /// Data of a peer at one of an allocation's relayed addresses, to its client.
    pub(crate) fn relay_in(
        &mut self,
        (slot, relayed): (u16, SocketAddr),
        packet: &Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        let at = (usize::from(packet.start), usize::from(packet.len));
        let outgoing = self.wrap(slot, relayed, (packet.remote, at), packet, now)?;
        Ok(Fate::Send(outgoing))
    }

    /// Says what its relays have carried since the last turn, and hears whether there may be more.
    pub(crate) fn settle_quota(&mut self, now: Nanos) {
        self.allocations.carried.settle(&self.doors.quota, now);
    }

    /// Puts what the client needs to know around data of a peer that lies in the packet's frame.
    fn wrap(
        &mut self,
        slot: u16,
        relayed: SocketAddr,
        (peer, (start, len)): (SocketAddr, (usize, usize)),
        packet: &Packet,
        now: Nanos,
    ) -> Result<Outgoing, DropReason> {
        let transaction = self.draw();
        let allocation = self.allocations.relaying(slot, relayed);
        let allocation = allocation.ok_or(DropReason::RelayUnknown)?;
        let wrap = allocation.wrap(peer, len, now)?;
        let ((socket, remote), framing) = (allocation.client(), allocation.framing());
        self.allocations.carried.add(len)?;
        let frame = self.frames.bytes_mut(&packet.frame);
        let (start, len) = relay::write_wrap(frame, (start, len), wrap, framing, transaction)?;
        Ok(Outgoing { socket, remote, start, len, traffic_class: packet.traffic_class })
    }

    /// The id of an indication, which nobody answers: only different each time.
    fn draw(&mut self) -> TransactionId {
        let mut id = TransactionId::default();
        self.drawn = self.drawn.wrapping_add(1);
        id.0[..8].copy_from_slice(&self.drawn.to_be_bytes());
        id.0[8..10].copy_from_slice(&self.id.0.to_be_bytes());
        id
    }

    /// The socket that reaches `remote`: the same unless that is a relayed address of this node.
    pub(crate) fn way_to(&self, socket: SocketId, remote: SocketAddr) -> SocketId {
        match self.doors.beyond(remote) {
            Beyond::Inside(Door::Relay { .. }) if socket.is_kernel() => socket.relayed(),
            _ => socket,
        }
    }

    /// Sends what needs no socket: to a stream of the edge, or to the client of a relay.
    pub(crate) fn send_inside(&mut self, mut packet: Packet, outgoing: Outgoing) {
        packet.start = plain_len(outgoing.start);
        packet.len = plain_len(outgoing.len);
        packet.traffic_class = outgoing.traffic_class;
        let taken = if outgoing.socket.is_relayed() {
            self.send_to_relay(&mut packet, outgoing)
        } else {
            self.hop(HopKind::Departure { remote: outgoing.remote }, &packet).map(|()| Fate::Done)
        };
        match taken {
            // To a client of this worker: never inside again.
            Ok(Fate::Send(outgoing)) => return self.send(packet, outgoing),
            Ok(_) => {}
            Err(reason) => self.drop_for(reason),
        }
        self.frames.give(packet.frame);
    }

    fn send_to_relay(
        &mut self,
        packet: &mut Packet,
        outgoing: Outgoing,
    ) -> Result<Fate, DropReason> {
        let Beyond::Inside(Door::Relay { thread, slot }) = self.doors.beyond(outgoing.remote)
        else {
            return Err(DropReason::RelayUnknown);
        };
        let peer = self.doors.address_of(self.id, outgoing.socket.base());
        let (relayed, peer) = (outgoing.remote, peer.ok_or(DropReason::SocketGone)?);
        if thread != self.id {
            self.hop(HopKind::Relayed { thread, slot, relayed, peer }, packet)?;
            return Ok(Fate::Done);
        }
        packet.remote = peer;
        self.relay_in((slot, relayed), packet, self.now)
    }

    /// A datagram that another thread took in.
    pub(crate) fn land_arrival(&mut self, socket: SocketId, remote: SocketAddr, hop: &Hop) {
        let now = self.now;
        if let Some(packet) = self.landed(socket, remote, hop) {
            self.walk(packet, now);
        }
    }

    /// Data of a peer that another thread took in.
    pub(crate) fn land_relayed(&mut self, relay: (u16, SocketAddr), peer: SocketAddr, hop: &Hop) {
        let now = self.now;
        let Some(packet) = self.landed(SocketId(0), peer, hop) else { return };
        match self.relay_in(relay, &packet, now) {
            Ok(Fate::Send(outgoing)) => self.send(packet, outgoing),
            Ok(_) => self.frames.give(packet.frame),
            Err(reason) => {
                self.drop_for(reason);
                self.frames.give(packet.frame);
            }
        }
    }

    fn landed(&mut self, socket: SocketId, remote: SocketAddr, hop: &Hop) -> Option<Packet> {
        let Some(frame) = self.frames.take() else {
            self.drop_for(DropReason::FramesExhausted);
            return None;
        };
        let len = hop.bytes.len();
        self.frames.bytes_mut(&frame)[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(&hop.bytes);
        let (start, len, received) = (plain_len(HEAD_ROOM), plain_len(len), hop.received);
        Some(Packet { frame, start, len, socket, remote, traffic_class: BEST_EFFORT, received })
    }

    /// The worker that a packet on a shared port is for, if not this one.
    pub(crate) fn owner_elsewhere(&self, packet: &Packet) -> Option<WorkerId> {
        if !self.shared.contains(&packet.socket.0) {
            return None;
        }
        let path = (packet.socket, packet.remote);
        let is_here = self.tables.transport_at(path.0, path.1).is_some()
            || self.allocations.of_client(path).is_some();
        if is_here {
            return None;
        }
        let named = stun::Message::parse(packet.payload(&self.frames)).ok();
        let named = named.filter(|message| message.method == stun::BINDING);
        let named = named.and_then(|message| WorkerId::of_ufrag(message.username?));
        let owner = named.or_else(|| self.doors.steering.of(packet.remote));
        owner.filter(|owner| *owner != self.id)
    }

    /// Lets what comes from `remote` on a shared port find this worker.
    pub(crate) fn steer_here(&self, socket: SocketId, remote: SocketAddr) {
        if self.shared.contains(&socket.0) {
            self.doors.steering.note(remote, self.id);
        }
    }

    pub(crate) fn add_allocation(&mut self, id: AllocationId, state: Box<Allocation>) -> Outcome {
        let (socket, remote) = state.client();
        let relays: arrayvec::ArrayVec<_, 2> = state.relays().iter().copied().collect();
        match self.allocations.add(id, state) {
            Ok(()) => {
                self.steer_here(socket, remote);
                relays.into_iter().for_each(|relay| self.tables.set_relay(relay, Some(id.slot)));
                (Ok(()), Returned::Nothing)
            }
            Err((refusal, state)) => (Err(refusal), Returned::Allocation(state)),
        }
    }

    pub(crate) fn withdraw(
        &mut self,
        id: AllocationId,
        relayed: SocketAddr,
    ) -> Result<(), Refusal> {
        let held = self.allocations.named(id).ok_or(Refusal::Gone)?;
        let relay = held.withdraw(relayed).ok_or(Refusal::Gone)?;
        self.tables.set_relay(relay, None);
        Ok(())
    }

    pub(crate) fn remove_allocation(&mut self, id: AllocationId) -> Outcome {
        let Some(state) = self.allocations.remove(id) else {
            return (Err(Refusal::Gone), Returned::Nothing);
        };
        state.relays().iter().for_each(|relay| self.tables.set_relay(*relay, None));
        (Ok(()), Returned::Allocation(state))
    }
}
