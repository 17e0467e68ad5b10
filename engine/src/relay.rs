//! TURN's data plane: ChannelData and Send indications to peers, what peers send to ChannelData and Data
//! indications (RFC 8656 §11, §12).
//!
//! ```text
//! ChannelData  | channel number | length |  data                     over streams padded to 4 bytes
//! indication   | STUN header | XOR-PEER-ADDRESS | DATA: data, padded to 4 bytes |
//! ```
//!
//! Control decides who may have an [`Allocation`] and what it permits; the thread that has the client's
//! socket or stream has its allocation too and asks it, packet by packet, where each goes. Nothing is
//! copied: headers are stripped by moving the packet's start and put into the frame's head room.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use crate::command::{AllocationId, Command, Refusal, SocketId, WorkerId};
use crate::config::{
    ALLOCATIONS_PER_THREAD, CHANNELS_PER_ALLOCATION, HEAD_ROOM, PERMISSIONS_PER_ALLOCATION,
    RELAYS_PER_ALLOCATION,
};
use crate::error::DropReason;
use crate::gate::method;
use crate::packet::Nanos;
use crate::quota::Carried;
use crate::stun::{self, ATTRIBUTE_HEADER, Class, HEADER_LEN, TransactionId, Writer};

/// Attributes of indications (RFC 8656 §18).
mod attribute {
    pub(super) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(super) const DATA: u16 = 0x0013;
    pub(super) const DONT_FRAGMENT: u16 = 0x001a;
}

/// Bytes before the data of ChannelData.
pub const CHANNEL_HEADER: usize = 4;
/// Bytes before the data of an indication, at most.
const INDICATION_HEADER: usize = HEADER_LEN + ATTRIBUTE_HEADER + XOR_ADDRESS_V6 + ATTRIBUTE_HEADER;
const XOR_ADDRESS_V6: usize = 20;
/// Channel numbers that there are. RFC 8656 §12 ends at 0x4fff; RFC 5766 §11 had them up to 0x7fff, and its
/// clients still choose from all of those. Nothing else that is spoken here begins with such bytes.
pub const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7fff;

const _: () = assert!(INDICATION_HEADER <= HEAD_ROOM);

/// How a client's packets follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each in a datagram of its own.
    Datagram,
    /// In a stream, where ChannelData is padded to a multiple of 4 bytes (RFC 8656 §12.5).
    Stream,
}

/// What an allocation may carry, both directions together; 0 for as much as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Bytes of data per second.
    pub bytes: u32,
    /// Packets per second.
    pub packets: u32,
}

/// One relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// What the world sends to.
    pub relayed: SocketAddr,
    /// The socket of it on the allocation's thread; none where only the node's own media is within reach.
    pub socket: Option<SocketId>,
}

/// Everything an allocation is made of, as plain data.
#[derive(Debug, Clone)]
pub struct AllocationSpec {
    /// Where the client's packets come in, and where from.
    pub client: (SocketId, SocketAddr),
    /// How they are framed.
    pub framing: Framing,
    /// Its relayed addresses, one per family.
    pub relays: ArrayVec<Relay, RELAYS_PER_ALLOCATION>,
    /// Whether what it sends carries the DF bit, so that it may be asked to.
    pub dont_fragment: bool,
    /// What it may carry.
    pub rate: Rate,
}

/// What an allocation has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AllocationCounters {
    /// Packets from the client to peers.
    pub packets_out: u64,
    /// Bytes of their data.
    pub bytes_out: u64,
    /// Packets from peers to the client.
    pub packets_in: u64,
    /// Bytes of their data.
    pub bytes_in: u64,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    /// Whether the peer's address is permitted, which may end before the channel does.
    permitted: bool,
}

/// One client's relay (RFC 8656 §5). Made by control, travels in a box, goes home when removed.
#[derive(Debug)]
pub struct Allocation {
    client: (SocketId, SocketAddr),
    framing: Framing,
    relays: ArrayVec<Relay, RELAYS_PER_ALLOCATION>,
    dont_fragment: bool,
    permissions: ArrayVec<IpAddr, PERMISSIONS_PER_ALLOCATION>,
    channels: ArrayVec<Channel, CHANNELS_PER_ALLOCATION>,
    budget: Budget,
    counters: AllocationCounters,
}

/// How data reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrap {
    Channel(u16),
    Indication(SocketAddr),
}

impl Allocation {
    /// Makes it from plain data; it permits nobody yet.
    pub fn new(spec: &AllocationSpec) -> Self {
        Self {
            client: spec.client,
            framing: spec.framing,
            relays: spec.relays.clone(),
            dont_fragment: spec.dont_fragment,
            permissions: ArrayVec::new(),
            channels: ArrayVec::new(),
            budget: Budget::new(spec.rate),
            counters: AllocationCounters::default(),
        }
    }

    /// Where its client's packets come in, and where from.
    pub fn client(&self) -> (SocketId, SocketAddr) {
        self.client
    }

    /// What it has carried.
    pub fn counters(&self) -> AllocationCounters {
        self.counters
    }

    /// Its relayed addresses.
    pub fn relays(&self) -> &[Relay] {
        &self.relays
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether its client has permitted an address.
    pub(crate) fn permits(&self, peer: IpAddr) -> bool {
        self.permissions.contains(&peer)
    }

    /// Permits an address, whatever its port (RFC 8656 §9).
    pub(crate) fn permit(&mut self, peer: IpAddr) -> Result<(), Refusal> {
        if !self.permissions.contains(&peer) {
            self.permissions.try_push(peer).map_err(|_| Refusal::Full)?;
        }
        self.settle(peer, true);
        Ok(())
    }

    pub(crate) fn forbid(&mut self, peer: IpAddr) {
        self.permissions.retain(|permitted| *permitted != peer);
        self.settle(peer, false);
    }

    fn settle(&mut self, peer: IpAddr, permitted: bool) {
        let concerned = self.channels.iter_mut().filter(|channel| channel.peer.ip() == peer);
        concerned.for_each(|channel| channel.permitted = permitted);
    }

    /// Binds a channel to a peer; of another binding of either nothing is left.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<(), Refusal> {
        if !CHANNELS.contains(&number) {
            return Err(Refusal::Misuse);
        }
        self.channels.retain(|channel| channel.number != number && channel.peer != peer);
        let permitted = self.permissions.contains(&peer.ip());
        self.channels.try_push(Channel { number, peer, permitted }).map_err(|_| Refusal::Full)
    }

    pub(crate) fn unbind(&mut self, number: u16) {
        self.channels.retain(|channel| channel.number != number);
    }

    /// Takes a relayed address out.
    pub(crate) fn withdraw(&mut self, relayed: SocketAddr) -> Option<Relay> {
        let place = self.relays.iter().position(|relay| relay.relayed == relayed)?;
        Some(self.relays.remove(place))
    }

    pub(crate) fn set_rate(&mut self, rate: Rate) {
        self.budget = Budget::new(rate);
    }

    /// The peer of a channel, which `len` bytes may go to.
    pub(crate) fn peer_of(
        &mut self,
        number: u16,
        len: usize,
        now: Nanos,
    ) -> Result<SocketAddr, DropReason> {
        let channel = self.channels.iter().find(|channel| channel.number == number);
        let &Channel { peer, permitted, .. } = channel.ok_or(DropReason::ChannelUnknown)?;
        if !permitted {
            return Err(DropReason::NoPermission);
        }
        self.count_out(len, now)?;
        Ok(peer)
    }

    /// Whether `len` bytes may go to a peer that an indication names.
    pub(crate) fn may_send(&mut self, sent: &Sent<'_>, now: Nanos) -> Result<(), DropReason> {
        if !self.permissions.contains(&sent.peer.ip()) {
            return Err(DropReason::NoPermission);
        }
        if sent.dont_fragment && !self.dont_fragment {
            return Err(DropReason::RelayFragments);
        }
        self.count_out(sent.data.len(), now)
    }

    /// The relayed address that a peer sees.
    pub(crate) fn relay_to(&self, peer: SocketAddr) -> Result<Relay, DropReason> {
        let fits = |relay: &&Relay| relay.relayed.is_ipv4() == peer.is_ipv4();
        self.relays.iter().find(fits).copied().ok_or(DropReason::RelayFamily)
    }

    /// How `len` bytes of a peer reach the client, who has permitted it.
    pub(crate) fn wrap(
        &mut self,
        peer: SocketAddr,
        len: usize,
        now: Nanos,
    ) -> Result<Wrap, DropReason> {
        let channel = self.channels.iter().find(|channel| channel.peer == peer);
        let wrap = match channel {
            Some(&Channel { number, permitted: true, .. }) => Wrap::Channel(number),
            Some(_) => return Err(DropReason::NoPermission),
            None if self.permissions.contains(&peer.ip()) => Wrap::Indication(peer),
            None => return Err(DropReason::NoPermission),
        };
        self.budget.spend(len, now)?;
        self.counters.packets_in += 1;
        self.counters.bytes_in += len as u64;
        Ok(wrap)
    }

    fn count_out(&mut self, len: usize, now: Nanos) -> Result<(), DropReason> {
        self.budget.spend(len, now)?;
        self.counters.packets_out += 1;
        self.counters.bytes_out += len as u64;
        Ok(())
    }
}

/// What is left of a second's worth of bytes and packets.
#[derive(Debug)]
struct Budget {
    rate: Rate,
    bytes: u32,
    packets: u32,
    since: Nanos,
}

impl Budget {
    fn new(rate: Rate) -> Self {
        Self { rate, bytes: rate.bytes, packets: rate.packets, since: Nanos(0) }
    }

    fn spend(&mut self, len: usize, now: Nanos) -> Result<(), DropReason> {
        if self.rate == Rate::default() {
            return Ok(());
        }
        self.refill(now);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let bytes = if self.rate.bytes == 0 { Some(0) } else { self.bytes.checked_sub(len) };
        let packets = if self.rate.packets == 0 { Some(0) } else { self.packets.checked_sub(1) };
        let (Some(bytes), Some(packets)) = (bytes, packets) else {
            return Err(DropReason::RelayRate);
        };
        (self.bytes, self.packets) = (bytes, packets);
        Ok(())
    }

    /// Adds what has accrued, up to a second's worth; in steps, so that no fraction is lost.
    fn refill(&mut self, now: Nanos) {
        const STEP: u64 = 10_000_000;
        const STEPS_PER_SECOND: u64 = 100;
        let steps = (now.since(self.since) / STEP).min(STEPS_PER_SECOND);
        if steps == 0 {
            return;
        }
        self.since = Nanos(now.0 / STEP * STEP);
        let accrue = |left: u32, rate: u32| {
            let accrued = u64::from(rate) * steps / STEPS_PER_SECOND;
            u32::try_from(u64::from(left) + accrued).unwrap_or(u32::MAX).min(rate)
        };
        self.bytes = accrue(self.bytes, self.rate.bytes);
        self.packets = accrue(self.packets, self.rate.packets);
    }
}

/// The allocations of one thread, and how clients and relayed addresses find them.
pub(crate) struct Allocations {
    /// What all of them have carried, for the node's quota.
    pub(crate) carried: Carried,
    thread: WorkerId,
    places: Vec<Place>,
    clients: HashMap<(SocketId, SocketAddr), u16, foldhash::fast::RandomState>,
    count: usize,
}

#[derive(Default)]
struct Place {
    generation: u32,
    held: Option<Box<Allocation>>,
}

impl Allocations {
    /// None yet. The table is made by the first, since most nodes without TURN never need it.
    pub(crate) fn new(thread: WorkerId) -> Self {
        let clients = HashMap::with_hasher(foldhash::fast::RandomState::default());
        Self { carried: Carried::default(), thread, places: Vec::new(), clients, count: 0 }
    }

    /// Makes room, once, for all that there may be.
    pub(crate) fn reserve(&mut self) {
        if self.places.is_empty() {
            self.places.resize_with(ALLOCATIONS_PER_THREAD, Place::default);
            self.clients.reserve(2 * ALLOCATIONS_PER_THREAD);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Installs one. `Taken` if the slot is, or the client has one already.
    pub(crate) fn add(
        &mut self,
        id: AllocationId,
        state: Box<Allocation>,
    ) -> Result<(), (Refusal, Box<Allocation>)> {
        let client = state.client;
        let place = self.places.get_mut(usize::from(id.slot));
        let refusal = match &place {
            _ if id.thread != self.thread => Some(Refusal::Misuse),
            None => Some(Refusal::Full),
            Some(place) if place.held.is_some() => Some(Refusal::Taken),
            Some(_) if self.clients.contains_key(&client) => Some(Refusal::Taken),
            Some(_) => None,
        };
        let (None, Some(place)) = (refusal, place) else {
            return Err((refusal.unwrap_or(Refusal::Full), state));
        };
        *place = Place { generation: id.generation, held: Some(state) };
        self.clients.insert(client, id.slot);
        self.count += 1;
        Ok(())
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        self.named(id)?;
        let state = self.places.get_mut(usize::from(id.slot))?.held.take()?;
        self.clients.remove(&state.client);
        self.count -= 1;
        Some(state)
    }

    /// Changes what one permits, binds or may carry.
    pub(crate) fn apply(&mut self, command: &Command) -> Result<(), Refusal> {
        match *command {
            Command::Permit { allocation, peer } => self.known(allocation)?.permit(peer),
            Command::Forbid { allocation, peer } => {
                self.known(allocation)?.forbid(peer);
                Ok(())
            }
            Command::BindChannel { allocation, channel, peer } => {
                self.known(allocation)?.bind(channel, peer)
            }
            Command::UnbindChannel { allocation, channel } => {
                self.known(allocation)?.unbind(channel);
                Ok(())
            }
            Command::SetRate { allocation, rate } => {
                self.known(allocation)?.set_rate(rate);
                Ok(())
            }
            _ => Err(Refusal::Misuse),
        }
    }

    fn known(&mut self, id: AllocationId) -> Result<&mut Allocation, Refusal> {
        self.named(id).ok_or(Refusal::Gone)
    }

    /// The one with this id.
    pub(crate) fn named(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let place = self.places.get_mut(usize::from(id.slot))?;
        let current = place.generation == id.generation && id.thread == self.thread;
        if current { place.held.as_deref_mut() } else { None }
    }

    /// The slot of a client's.
    pub(crate) fn of_client(&self, client: (SocketId, SocketAddr)) -> Option<u16> {
        self.clients.get(&client).copied()
    }

    /// The one in a slot.
    pub(crate) fn at(&mut self, slot: u16) -> Option<&mut Allocation> {
        self.places.get_mut(usize::from(slot))?.held.as_deref_mut()
    }

    /// The one in a slot, if it has this relayed address.
    pub(crate) fn relaying(&mut self, slot: u16, relayed: SocketAddr) -> Option<&mut Allocation> {
        self.at(slot).filter(|held| held.relays.iter().any(|relay| relay.relayed == relayed))
    }
}

/// Reads ChannelData: the channel, and how many bytes of data follow the header. Over a stream they are
/// followed by padding, in a datagram by whatever is no part of it (RFC 8656 §12.4).
pub(crate) fn read_channel_data(message: &[u8]) -> Result<(u16, usize), DropReason> {
    let header: &[u8; CHANNEL_HEADER] = message.first_chunk().ok_or(DropReason::RelayMalformed)?;
    let number = u16::from_be_bytes([header[0], header[1]]);
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if message.len() - CHANNEL_HEADER < len {
        return Err(DropReason::RelayMalformed);
    }
    Ok((number, len))
}

/// A Send indication (RFC 8656 §11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent<'m> {
    pub(crate) peer: SocketAddr,
    pub(crate) data: &'m [u8],
    /// Where in the message the data is.
    pub(crate) at: usize,
    pub(crate) dont_fragment: bool,
}

/// Reads a Send indication. One with an attribute that must be understood and is not is no good
/// (RFC 8489 §6.3.2).
pub(crate) fn read_send(
    message: &[u8],
    transaction: TransactionId,
) -> Result<Sent<'_>, DropReason> {
    let (mut peer, mut data, mut dont_fragment) = (None, None, false);
    for read in stun::attributes(message) {
        let stun::Attribute { kind, value, at } = read.ok_or(DropReason::RelayMalformed)?;
        match kind {
            attribute::XOR_PEER_ADDRESS => {
                let address = stun::unxor(value, transaction).ok_or(DropReason::RelayMalformed)?;
                peer.get_or_insert(address);
            }
            attribute::DATA => _ = data.get_or_insert((value, at + ATTRIBUTE_HEADER)),
            attribute::DONT_FRAGMENT => dont_fragment = true,
            // Some clients sign what needs no signature.
            stun::attribute::USERNAME
            | stun::attribute::REALM
            | stun::attribute::NONCE
            | stun::attribute::MESSAGE_INTEGRITY
            | stun::attribute::MESSAGE_INTEGRITY_SHA256 => {}
            kind if kind < stun::attribute::COMPREHENSION_OPTIONAL => {
                return Err(DropReason::RelayMalformed);
            }
            _ => {}
        }
    }
    let (data, at) = data.ok_or(DropReason::RelayMalformed)?;
    let peer = peer.ok_or(DropReason::RelayMalformed)?;
    Ok(Sent { peer, data, at, dont_fragment })
}

/// Writes the header of `wrap` before the data at `start`, and padding behind it where there is to be some;
/// says where the message starts and how long it is.
pub(crate) fn write_wrap(
    frame: &mut [u8],
    (start, len): (usize, usize),
    wrap: Wrap,
    framing: Framing,
    transaction: TransactionId,
) -> Result<(usize, usize), DropReason> {
    match wrap {
        Wrap::Channel(number) => {
            let at = start.checked_sub(CHANNEL_HEADER).ok_or(DropReason::RewriteRoom)?;
            let length = u16::try_from(len).map_err(|_| DropReason::RewriteRoom)?;
            frame[at..at + 2].copy_from_slice(&number.to_be_bytes());
            frame[at + 2..start].copy_from_slice(&length.to_be_bytes());
            let padded = if framing == Framing::Stream { len.next_multiple_of(4) } else { len };
            frame.get_mut(start + len..start + padded).ok_or(DropReason::RewriteRoom)?.fill(0);
            Ok((at, CHANNEL_HEADER + padded))
        }
        Wrap::Indication(peer) => {
            let padded = len.next_multiple_of(4);
            let address = if peer.is_ipv4() { 8 } else { XOR_ADDRESS_V6 };
            let header = HEADER_LEN + ATTRIBUTE_HEADER + address + ATTRIBUTE_HEADER;
            let at = start.checked_sub(header).ok_or(DropReason::RewriteRoom)?;
            let end = start + padded;
            let whole = frame.get_mut(at..end).ok_or(DropReason::RewriteRoom)?;
            whole[header + len..].fill(0);
            write_data(whole, peer, len, transaction).ok_or(DropReason::RewriteRoom)?;
            Ok((at, header + padded))
        }
    }
}

/// Writes what comes before the data of an indication (RFC 8656 §11.4), which ends `message`.
fn write_data(
    message: &mut [u8],
    peer: SocketAddr,
    len: usize,
    transaction: TransactionId,
) -> Option<()> {
    let mut writer = Writer::begin(message, Class::Indication, method::DATA, transaction)?;
    writer.xor_address(attribute::XOR_PEER_ADDRESS, peer)?;
    writer.announce(attribute::DATA, len)
}

#[cfg(test)]
mod tests;
