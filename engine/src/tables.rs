//! Who is this 5-tuple, this ufrag, this id: the worker's tables.
//!
//! All are made at start and never grow. Hashing is seeded per process, since attackers choose
//! their ports (`foldhash` with its random state).

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use indexmap::IndexMap;

use crate::command::{LegId, Refusal, SinkId, SocketId, StreamId, TransportId, WorkerId};
use crate::config::{LOCAL_UFRAG_MAX, SOCKETS_PER_WORKER};
use crate::leg::Leg;
use crate::relay::Relay;
use crate::transport::Transport;

/// 5-tuples per leg that the table is sized for; a worker with every leg at
/// [`crate::config::PAIRS_PER_TRANSPORT`] pairs would refuse some.
const PAIRS_PER_LEG: usize = 4;

type Ufrag = ArrayVec<u8, LOCAL_UFRAG_MAX>;

/// Transports by a key. Its entries stand side by side and only places are spread by hash, so that a worker with room
/// for many legs and few of them touches few pages.
type Directory<K> = IndexMap<K, TransportId, foldhash::fast::RandomState>;

#[derive(Default)]
struct Slot {
    generation: u32,
    leg: Option<Box<Leg>>,
}

/// A transport that a socket is for.
#[derive(Clone, Copy)]
struct Owner {
    id: TransportId,
    raw: bool,
}

/// What is done with what comes on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Each packet says itself what it is.
    Media,
    /// It is not read at all.
    Raw,
    /// It is data of a peer for the client of an allocation.
    Relay { slot: u16, relayed: SocketAddr },
}

/// A worker's legs and how packets find them.
pub(crate) struct Tables {
    worker: WorkerId,
    legs: Vec<Slot>,
    count: usize,
    pairs: Directory<(SocketId, SocketAddr)>,
    pairs_max: usize,
    names: Directory<Ufrag>,
    names_max: usize,
    /// The transport without ICE that each socket is for, the latest if there are several.
    owners: Vec<Option<Owner>>,
    /// The allocation that each socket is for; empty until there is one.
    relays: Vec<Option<(u16, SocketAddr)>>,
}

impl Tables {
    /// Tables for `legs` legs.
    pub(crate) fn new(worker: WorkerId, legs: usize) -> Self {
        let pairs_max = legs * PAIRS_PER_LEG;
        // Twice the room, so that clearing tombstones happens in place and never allocates.
        Self {
            worker,
            legs: std::iter::repeat_with(Slot::default).take(legs).collect(),
            count: 0,
            pairs: Directory::with_capacity_and_hasher(pairs_max * 2, Default::default()),
            pairs_max,
            names: Directory::with_capacity_and_hasher(pairs_max * 2, Default::default()),
            names_max: pairs_max,
            owners: vec![None; SOCKETS_PER_WORKER],
            relays: Vec::new(),
        }
    }

    pub(crate) fn legs(&self) -> usize {
        self.count
    }

    /// The leg in a slot, and its id.
    pub(crate) fn held(&self, slot: u16) -> Option<(LegId, &Leg)> {
        let id = self.id_at(slot)?;
        Some((id, self.leg(id)?))
    }

    pub(crate) fn slots(&self) -> usize {
        self.legs.len()
    }

    pub(crate) fn ufrags(&self) -> usize {
        self.names.len()
    }

    #[cfg(any(test, feature = "bare"))]
    pub(crate) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    pub(crate) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        let slot = self.legs.get_mut(usize::from(id.slot))?;
        let current = slot.generation == id.generation && id.worker == self.worker;
        if current { slot.leg.as_deref_mut() } else { None }
    }

    pub(crate) fn transport_mut(&mut self, id: TransportId) -> Option<&mut Transport> {
        let leg = self.leg_mut(id.leg)?;
        leg.transports.get_mut(usize::from(id.index)).map(Box::as_mut)
    }

    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        let slot = self.legs.get(usize::from(id.slot))?;
        let current = slot.generation == id.generation && id.worker == self.worker;
        if current { slot.leg.as_deref() } else { None }
    }

    /// The leg in a slot, whatever its generation.
    pub(crate) fn leg_at(&mut self, slot: u16) -> Option<&mut Leg> {
        self.legs.get_mut(usize::from(slot))?.leg.as_deref_mut()
    }

    /// The full id of the leg in a slot.
    pub(crate) fn id_at(&self, slot: u16) -> Option<LegId> {
        let entry = self.legs.get(usize::from(slot))?;
        entry.leg.as_ref()?;
        Some(LegId { worker: self.worker, slot, generation: entry.generation })
    }

    /// The sink at `place` of a stream.
    pub(crate) fn sink_of(&mut self, stream: StreamId, place: usize) -> Option<SinkId> {
        let leg = self.leg_mut(stream.leg)?;
        leg.streams.get(usize::from(stream.index))?.sinks.get(place).copied()
    }

    /// The transport whose pair this is.
    pub(crate) fn transport_at(&self, socket: SocketId, remote: SocketAddr) -> Option<TransportId> {
        self.pairs.get(&(socket, remote)).copied()
    }

    /// The transport that the username of a check from this pair names: ours is the part before the
    /// colon (RFC 8445 §7.2.2). Components of one m-line share their ufrag (RFC 8839 §5.4), so the
    /// pair tells them apart, before it is installed its socket.
    pub(crate) fn transport_named(
        &self,
        username: &[u8],
        socket: SocketId,
        remote: SocketAddr,
    ) -> Option<TransportId> {
        let local = username.split(|&byte| byte == b':').next()?;
        let first = self.names.get(local).copied()?;
        let leg = self.leg(first.leg)?;
        let is_named = |transport: &Transport| transport.has_name(local);
        let by_pair = self.transport_at(socket, remote).filter(|id| {
            let transport = leg.transports.get(usize::from(id.index));
            id.leg == first.leg && transport.is_some_and(|t| is_named(t))
        });
        let by_socket = || {
            let mut indexed = (0u8..).zip(&leg.transports);
            let (index, _) =
                indexed.find(|(_, t)| t.socket.base() == socket.base() && is_named(t))?;
            Some(TransportId { leg: first.leg, index })
        };
        by_pair.or_else(by_socket).or(Some(first))
    }

    /// The transport without ICE that this socket is for.
    pub(crate) fn owner_of(&self, socket: SocketId) -> Option<TransportId> {
        self.owner(socket).map(|owner| owner.id)
    }

    /// What is done with what comes on this socket.
    pub(crate) fn role(&self, socket: SocketId) -> Role {
        if self.owner(socket).is_some_and(|owner| owner.raw) {
            return Role::Raw;
        }
        match self.relays.get(usize::from(socket.0)) {
            Some(&Some((slot, relayed))) => Role::Relay { slot, relayed },
            _ => Role::Media,
        }
    }

    /// Makes room, once, for relays of allocations.
    pub(crate) fn reserve_relays(&mut self) {
        self.relays.resize(SOCKETS_PER_WORKER, None);
    }

    /// Makes a socket that of an allocation's relay, or no longer.
    pub(crate) fn set_relay(&mut self, relay: Relay, slot: Option<u16>) {
        let socket = relay.socket.map(|socket| usize::from(socket.0));
        if let Some(place) = socket.and_then(|socket| self.relays.get_mut(socket)) {
            *place = slot.map(|slot| (slot, relay.relayed));
        }
    }

    fn owner(&self, socket: SocketId) -> Option<Owner> {
        self.owners.get(usize::from(socket.0)).copied().flatten()
    }

    /// Installs a leg with its ufrags and fixed addresses.
    pub(crate) fn add(&mut self, id: LegId, leg: Box<Leg>) -> Result<(), (Refusal, Box<Leg>)> {
        if let Err(refusal) = self.may_add(id, &leg) {
            return Err((refusal, leg));
        }
        for (index, transport) in (0u8..).zip(&leg.transports) {
            let transport_id = TransportId { leg: id, index };
            for name in transport.names() {
                self.names.entry(name.bytes().collect()).or_insert(transport_id);
            }
            for pair in transport.own_pairs() {
                self.pairs.insert(pair, transport_id);
            }
            if transport.consent.is_none() {
                let owner = Owner { id: transport_id, raw: transport.raw };
                self.owners[usize::from(transport.socket.0)] = Some(owner);
            }
        }
        let slot = &mut self.legs[usize::from(id.slot)];
        slot.generation = id.generation;
        slot.leg = Some(leg);
        self.count += 1;
        Ok(())
    }

    fn may_add(&self, id: LegId, leg: &Leg) -> Result<(), Refusal> {
        let slot = self.legs.get(usize::from(id.slot)).ok_or(Refusal::Full)?;
        if slot.leg.is_some() {
            return Err(Refusal::Taken);
        }
        let pairs = leg.transports.iter().map(|t| t.own_pairs().count()).sum::<usize>();
        let names = leg.transports.iter().map(|t| t.names().count()).sum::<usize>();
        let room = self.names.len() + names <= self.names_max
            && self.pairs.len() + pairs <= self.pairs_max;
        if !room {
            return Err(Refusal::Full);
        }
        for transport in &leg.transports {
            if usize::from(transport.socket.0) >= SOCKETS_PER_WORKER {
                return Err(Refusal::Misuse);
            }
            for name in transport.names() {
                if name.is_empty() || name.len() > LOCAL_UFRAG_MAX {
                    return Err(Refusal::Misuse);
                }
                if self.names.contains_key(name.as_bytes()) {
                    return Err(Refusal::Taken);
                }
            }
        }
        Ok(())
    }

    /// Takes a leg out with everything that led to it.
    pub(crate) fn remove(&mut self, id: LegId) -> Option<Box<Leg>> {
        self.leg_mut(id)?;
        let leg = self.legs[usize::from(id.slot)].leg.take()?;
        self.count -= 1;
        for (index, transport) in (0u8..).zip(&leg.transports) {
            for (socket, remote) in transport.pairs() {
                self.unbind(socket, remote, TransportId { leg: id, index });
            }
            for name in transport.names() {
                self.names.swap_remove(name.as_bytes());
            }
            if let Some(owner) = self.owners.get_mut(usize::from(transport.socket.0)) {
                owner.take_if(|owner| owner.id.leg == id);
            }
        }
        Some(leg)
    }

    /// Lets the checks of another ICE generation find `transport`. Components of one leg may share
    /// a ufrag.
    pub(crate) fn add_name(&mut self, transport: TransportId, ufrag: &str) -> Result<(), Refusal> {
        let leg = self.leg(transport.leg).ok_or(Refusal::Gone)?;
        let state = leg.transports.get(usize::from(transport.index)).ok_or(Refusal::Gone)?;
        if ufrag.is_empty() || ufrag.len() > LOCAL_UFRAG_MAX {
            return Err(Refusal::Misuse);
        }
        let known = self.names.get(ufrag.as_bytes());
        if state.has_name(ufrag.as_bytes()) || known.is_some_and(|t| t.leg != transport.leg) {
            return Err(Refusal::Taken);
        }
        if known.is_none() && self.names.len() >= self.names_max {
            return Err(Refusal::Full);
        }
        self.names.entry(ufrag.bytes().collect()).or_insert(transport);
        Ok(())
    }

    /// Forgets a ufrag that no transport of the leg goes by any more.
    pub(crate) fn forget_name(&mut self, id: LegId, ufrag: &[u8]) {
        let Some(leg) = self.leg(id) else { return };
        if !leg.transports.iter().any(|transport| transport.has_name(ufrag)) {
            self.names.swap_remove(ufrag);
        }
    }

    /// Lets packets from `remote` find `transport`. A pair that another leg had goes to the newer
    /// one: a NAT may give a port to its next client.
    pub(crate) fn bind(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        transport: TransportId,
    ) -> Result<(), Refusal> {
        if !self.may_bind(socket, remote) {
            return Err(Refusal::Full);
        }
        self.pairs.insert((socket, remote), transport);
        Ok(())
    }

    /// Whether [`Self::bind`] has room for this pair.
    pub(crate) fn may_bind(&self, socket: SocketId, remote: SocketAddr) -> bool {
        self.pairs.len() < self.pairs_max || self.pairs.contains_key(&(socket, remote))
    }

    /// Forgets in each transport what other legs have taken over from it ([`Self::bind`]), so that its
    /// pairs can be bound again in any order.
    pub(crate) fn settle(&mut self) {
        let Self { worker, legs, pairs, .. } = self;
        for (slot, entry) in (0u16..).zip(legs) {
            let id = LegId { worker: *worker, slot, generation: entry.generation };
            let transports = entry.leg.iter_mut().flat_map(|leg| &mut leg.transports);
            for (index, transport) in (0u8..).zip(transports) {
                let own = Some(TransportId { leg: id, index });
                transport.paths.retain(|path| pairs.get(path).copied() == own);
            }
        }
    }

    /// Forgets a pair of `transport`.
    pub(crate) fn unbind(&mut self, socket: SocketId, remote: SocketAddr, transport: TransportId) {
        if self.transport_at(socket, remote) == Some(transport) {
            self.pairs.swap_remove(&(socket, remote));
        }
    }
}
