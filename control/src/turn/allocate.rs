//! Allocate (RFC 8656 §7.2, RFC 6062 §5.1, RFC 8016 §3.1): makes an allocation.

use std::time::Duration;

use arrayvec::ArrayVec;
use causeway_engine::stun::attribute;

use super::allocation::{Allocation, RELAYS_PER_ALLOCATION, granted};
use super::channel::Channels;
use super::message::{self, Code, Request, kind};
use super::permission::Permissions;
use super::ticket::{self, Ticket};
use super::{
    Answer, Asked, Client, Family, Key, LeaseError, Output, Relay, RelayTransport, Relays, Server,
    Settings, Want,
};

/// What a request asks for, once it is known to make sense.
#[derive(Clone, Copy)]
struct Wish {
    transport: RelayTransport,
    family: Family,
    /// Whether an IPv6 address is wanted beside the IPv4 one.
    both: bool,
    even: bool,
    reserve: bool,
    token: Option<[u8; 8]>,
    mobile: bool,
}

/// What it gets.
#[derive(Default)]
struct Leased {
    relays: ArrayVec<Relay, RELAYS_PER_ALLOCATION>,
    /// The port above an even one.
    spare: Option<Relay>,
    /// The family of the two that there is no address of.
    failed: Option<(Family, Code)>,
}

impl Server {
    pub(super) fn allocate(&mut self, asked: &Asked<'_>, relays: &mut dyn Relays) -> Answer {
        if self.clients.contains_key(&asked.client) {
            return self.repeat(asked);
        }
        if self.connections.of_stream(&asked.client).is_some() {
            return Err(Code::BadRequest);
        }
        let wish = Wish::read(&asked.request, &asked.client, &self.settings)?;
        let leased = self.lease(asked, wish, relays)?;
        let user = &asked.grant.user;
        let token = leased.spare.map(|relay| {
            let token = self.random();
            self.reservations.keep(asked.now, token, relay, user.clone());
            self.quota.reserve(user);
            token
        });
        let ticket: Option<Ticket> = wish.mobile.then(|| ticket::written(self.random()));
        let lifetime = granted(asked.request.lifetime, asked.grant.expires, asked.unix);
        let answer = success(asked, &leased, lifetime, token, ticket);
        self.install(asked, wish.transport, &leased, ticket, answer.clone());
        Ok(Some(answer))
    }

    /// Answers a request that has come again as it was answered before (RFC 8656 §7.2).
    fn repeat(&self, asked: &Asked<'_>) -> Answer {
        let key = self.own(asked)?;
        self.allocations
            .get(&key)
            .filter(|held| held.made_by == asked.request.message.transaction)
            .map(|held| Some(held.answer.clone()))
            .ok_or(Code::AllocationMismatch)
    }

    /// Gets the relayed addresses.
    fn lease(
        &mut self,
        asked: &Asked<'_>,
        wish: Wish,
        relays: &mut dyn Relays,
    ) -> Result<Leased, Code> {
        let user = &asked.grant.user;
        let mut leased = Leased::default();
        if let Some(token) = wish.token {
            let kept = self.reservations.claim(token, user).ok_or(Code::InsufficientCapacity)?;
            self.quota.unreserve(user);
            leased.relays.push(kept);
            return Ok(leased);
        }
        self.quota.check(user, 1 + usize::from(wish.reserve))?;
        let first = leased.add(wish.family, wish.want(asked, wish.family), relays);
        let second =
            wish.both.then(|| leased.add(Family::V6, wish.want(asked, Family::V6), relays));
        match (first, second) {
            (Ok(()), None | Some(Ok(()))) => {}
            (Err(code), None) => return Err(code),
            (Ok(()), Some(Err(code))) => leased.failed = Some((Family::V6, code)),
            (Err(code), Some(Ok(()))) => leased.failed = Some((wish.family, code)),
            (Err(one), Some(Err(other))) if one == other => return Err(one),
            (Err(_), Some(Err(_))) => return Err(Code::InsufficientCapacity),
        }
        Ok(leased)
    }

    fn install(
        &mut self,
        asked: &Asked<'_>,
        transport: RelayTransport,
        leased: &Leased,
        ticket: Option<Ticket>,
        answer: Box<[u8]>,
    ) {
        let (now, client, user) = (asked.now, asked.client, &asked.grant.user);
        self.last_key += 1;
        let key = Key(self.last_key);
        let lifetime = granted(asked.request.lifetime, asked.grant.expires, asked.unix);
        let expires = now + Duration::from_secs(lifetime.into());
        let held = Allocation {
            client,
            username: asked.request.username().into(),
            user: user.clone(),
            transport,
            relays: leased.relays.clone(),
            expires,
            permissions: Permissions::default(),
            channels: Channels::default(),
            connections: Vec::new(),
            tickets: ticket.map(|ticket| self.tickets.issue(key, ticket)),
            made_by: asked.request.message.transaction,
            answer,
            scheduled: expires,
        };
        self.allocations.insert(key, held);
        self.clients.insert(client, key);
        self.reschedule(key);
        self.counts.allocations += 1;
        self.share(user, |quota| quota.add(user, key));
        self.outputs.push_back(Output::Install {
            key,
            client,
            transport,
            relays: leased.relays.to_vec(),
            dont_fragment: asked.request.dont_fragment,
            rate: self.quota.rate(user),
        });
    }
}

impl Wish {
    fn read(request: &Request<'_>, client: &Client, settings: &Settings) -> Result<Self, Code> {
        let transport = match request.transport.ok_or(Code::BadRequest)? {
            UDP => RelayTransport::Udp,
            TCP if settings.tcp_relays => RelayTransport::Tcp,
            _ => return Err(Code::UnsupportedTransport),
        };
        let udp_only = request.even_port.is_some() || request.token.is_some();
        let udp_only = udp_only || request.dont_fragment;
        if transport == RelayTransport::Tcp && (udp_only || !client.is_stream()) {
            return Err(Code::BadRequest);
        }
        let families = [request.family, request.additional_family];
        let reserve = request.even_port == Some(true);
        let contradicts = match families {
            [Some(_), Some(_)] => true,
            [None, Some(_)] => reserve || request.token.is_some(),
            [Some(_), None] => request.token.is_some(),
            [None, None] => false,
        };
        if contradicts || request.token.is_some() && request.even_port.is_some() {
            return Err(Code::BadRequest);
        }
        if request.additional_family.is_some_and(|family| family != Family::V6 as u8) {
            return Err(Code::BadRequest);
        }
        let mobile = match request.ticket {
            None => false,
            Some(_) if !settings.mobility => return Err(Code::MobilityForbidden),
            Some([]) => true,
            Some(_) => return Err(Code::BadRequest),
        };
        Ok(Self {
            transport,
            family: request.family.map_or(Ok(Family::V4), Family::numbered)?,
            both: request.additional_family.is_some(),
            even: request.even_port.is_some(),
            reserve,
            token: request.token,
            mobile,
        })
    }

    fn want(self, asked: &Asked<'_>, family: Family) -> Want {
        Want {
            thread: asked.client.thread,
            transport: self.transport,
            ipv6: family == Family::V6,
            even: self.even,
            pair: self.reserve,
        }
    }
}

impl Leased {
    /// Adds an address of the family, and the one above it where a pair is wanted.
    fn add(&mut self, family: Family, want: Want, relays: &mut dyn Relays) -> Result<(), Code> {
        let got = relays.lease(want).map_err(|error| match error {
            LeaseError::Family => Code::AddressFamilyNotSupported,
            LeaseError::Exhausted => Code::InsufficientCapacity,
        })?;
        debug_assert!(got.iter().all(|relay| Family::of(relay.relayed.ip()) == family));
        let mut got = got.into_iter();
        self.relays.push(got.next().ok_or(Code::InsufficientCapacity)?);
        if want.pair {
            self.spare = got.next();
        }
        got.for_each(|relay| relays.release(relay));
        Ok(())
    }
}

fn success(
    asked: &Asked<'_>,
    leased: &Leased,
    lifetime: u32,
    token: Option<[u8; 8]>,
    ticket: Option<Ticket>,
) -> Box<[u8]> {
    message::success(asked.request.id(), &asked.grant.key, |writer| {
        for relay in &leased.relays {
            writer.xor_address(kind::XOR_RELAYED_ADDRESS, relay.relayed)?;
        }
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, asked.client.remote)?;
        message::lifetime(writer, lifetime)?;
        if let Some(token) = token {
            writer.attribute(kind::RESERVATION_TOKEN, &[&token])?;
        }
        if let Some((family, code)) = leased.failed {
            message::address_error(writer, family, code)?;
        }
        if let Some(ticket) = ticket {
            writer.attribute(kind::MOBILITY_TICKET, &[&ticket])?;
        }
        Some(())
    })
}

/// IANA's numbers of the protocols between relay and peer (RFC 8656 §18.8, RFC 6062 §4.1).
const UDP: u8 = 17;
const TCP: u8 = 6;
