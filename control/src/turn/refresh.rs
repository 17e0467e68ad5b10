//! Refresh (RFC 8656 §8, RFC 8016 §3.2): prolongs an allocation, ends it, or takes it along to another
//! 5-tuple.

use std::time::Duration;

use super::allocation::granted;
use super::message::{self, Code, kind};
use super::ticket::{self, Ticket};
use super::{Answer, Asked, Family, Key, Output, RelayTransport, Relays, Server};

impl Server {
    pub(super) fn refresh(&mut self, asked: &Asked<'_>, relays: &mut dyn Relays) -> Answer {
        let request = &asked.request;
        let key = match request.ticket {
            Some(ticket) => self.shown(asked, ticket)?,
            None => self.own(asked)?,
        };
        let family = request.family.map(Family::numbered).transpose()?;
        let held = self.allocations.get(&key).ok_or(Code::AllocationMismatch)?;
        if family.is_some_and(|family| !held.relays(family)) {
            return Err(Code::PeerAddressFamilyMismatch);
        }
        if request.ticket.is_some()
            && held.transport == RelayTransport::Tcp
            && !asked.client.is_stream()
        {
            return Err(Code::BadRequest);
        }
        if request.lifetime == Some(0) {
            self.cut(asked, key, family, relays);
            return Ok(Some(success(asked, 0, None)));
        }
        self.take_along(asked, key);
        let lifetime = granted(request.lifetime, asked.grant.expires, asked.unix);
        let held = self.allocations.get_mut(&key).ok_or(Code::AllocationMismatch)?;
        held.expires = asked.now + Duration::from_secs(lifetime.into());
        let ticket = held.tickets.filter(|_| request.ticket.is_some());
        self.reschedule(key);
        Ok(Some(success(asked, lifetime, ticket.map(|ticket| ticket.current))))
    }

    /// The allocation that a ticket is for.
    fn shown(&self, asked: &Asked<'_>, ticket: &[u8]) -> Result<Key, Code> {
        if !self.settings.mobility {
            return Err(Code::MobilityForbidden);
        }
        let key = self.tickets.find(ticket).ok_or(Code::BadRequest)?;
        self.check_username(key, asked)?;
        let here = self.clients.get(&asked.client);
        let bound = self.connections.of_stream(&asked.client).is_some();
        if here.is_some_and(|here| *here != key) || bound {
            return Err(Code::AllocationMismatch);
        }
        Ok(key)
    }

    /// Ends the allocation, or its relayed address of the family where it has one of the other too.
    fn cut(
        &mut self,
        asked: &Asked<'_>,
        key: Key,
        family: Option<Family>,
        relays: &mut dyn Relays,
    ) {
        let Some(held) = self.allocations.get_mut(&key) else { return };
        let Some(family) = family.filter(|_| held.relays.len() > 1) else {
            return self.end(key, relays);
        };
        let of = |address| Family::of(address) == family;
        if let Some(at) = held.relays.iter().position(|relay| of(relay.relayed.ip())) {
            let relay = held.relays.remove(at);
            relays.release(relay);
            self.outputs.push_back(Output::Withdraw { key, relay });
        }
        let connections = held.connections.clone().into_iter();
        let gone = connections.filter(|id| {
            self.connections.find(*id).is_some_and(|connection| of(connection.peer.ip()))
        });
        let gone: Vec<_> = gone.collect();
        for id in gone {
            self.give_up(id);
        }
        self.prune(asked.now, key, of);
    }

    /// Lets the allocation be where its client is.
    fn take_along(&mut self, asked: &Asked<'_>, key: Key) {
        let client = asked.client;
        if self.clients.get(&client) == Some(&key) {
            return;
        }
        let ticket = ticket::written(self.random());
        let Some(held) = self.allocations.get_mut(&key) else { return };
        if self.clients.get(&held.client) == Some(&key) {
            self.clients.remove(&held.client);
        }
        self.clients.insert(client, key);
        held.client = client;
        held.tickets = held.tickets.map(|pair| self.tickets.renew(key, pair, ticket));
        self.outputs.push_back(Output::Move { key, client });
        let peers = held.permissions.peers();
        self.outputs.extend(peers.map(|peer| Output::Permit { key, peer }));
        let bindings = held.channels.bindings();
        self.outputs.extend(bindings.map(|(channel, peer)| Output::Bind { key, channel, peer }));
    }
}

fn success(asked: &Asked<'_>, lifetime: u32, ticket: Option<Ticket>) -> Box<[u8]> {
    message::success(asked.request.id(), &asked.grant.key, |writer| {
        message::lifetime(writer, lifetime)?;
        match ticket {
            Some(ticket) => writer.attribute(kind::MOBILITY_TICKET, &[&ticket]),
            None => Some(()),
        }
    })
}
