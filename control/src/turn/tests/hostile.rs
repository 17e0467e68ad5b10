use causeway_engine::config::{CHANNELS_PER_ALLOCATION, PERMISSIONS_PER_ALLOCATION};
use proptest::prelude::*;

use super::*;

/// One thing that may happen.
#[derive(Debug, Clone)]
enum Act {
    Ask {
        method: u8,
        client: u8,
        eve: bool,
        picks: Vec<(u8, u8)>,
        peers: Vec<u8>,
    },
    /// A request that is likely to succeed.
    Likely {
        what: u8,
        client: u8,
        value: u8,
    },
    /// A request of before, word for word.
    Again(u8),
    Bytes(u8, Vec<u8>),
    Pass(u16),
    Closed(u8),
    Lost(u8),
    Accepted(u8, u8),
    Connected(bool),
    Disconnected,
    Full(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let picks = prop::collection::vec((0..14u8, any::<u8>()), 0..5);
    let peers = prop::collection::vec(0..12u8, 0..4);
    prop_oneof![
        12 => (0..6u8, 0..8u8, prop::bool::weighted(0.1), picks, peers).prop_map(
            |(method, client, eve, picks, peers)| Act::Ask { method, client, eve, picks, peers }
        ),
        20 => (0..14u8, 0..8u8, any::<u8>())
            .prop_map(|(what, client, value)| Act::Likely { what, client, value }),
        2 => any::<u8>().prop_map(Act::Again),
        1 => (0..8u8, prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(c, b)| Act::Bytes(c, b)),
        2 => (0..400u16).prop_map(Act::Pass),
        1 => (0..8u8).prop_map(Act::Closed),
        1 => any::<u8>().prop_map(Act::Lost),
        1 => (any::<u8>(), 0..12u8).prop_map(|(key, peer)| Act::Accepted(key, peer)),
        2 => any::<bool>().prop_map(Act::Connected),
        1 => Just(Act::Disconnected),
        1 => (0..6u8).prop_map(Act::Full),
    ]
}

fn client_of(number: u8) -> Client {
    if number < 4 { udp(number.into()) } else { tcp(number.into()) }
}

fn peer_of(number: u8) -> &'static str {
    const PEERS: [&str; 6] =
        [PEER, PEER_V6, "203.0.113.9:5001", "203.0.113.10:5000", "10.0.0.1:1", "203.0.113.9:0"];
    PEERS[usize::from(number) % PEERS.len()]
}

/// What the engine would hold by the outputs, and what a client could know.
#[derive(Default)]
struct Engine {
    permissions: HashMap<Key, HashSet<IpAddr>>,
    channels: HashMap<Key, HashMap<u16, SocketAddr>>,
    connections: Vec<ConnectionId>,
    tickets: Vec<Vec<u8>>,
    tokens: Vec<Vec<u8>>,
    sent: Vec<(Client, Vec<u8>)>,
}

impl Engine {
    fn apply(&mut self, output: Output) {
        match output {
            Output::Install { key, relays, .. } => {
                assert!((1..=RELAYS_PER_ALLOCATION).contains(&relays.len()));
                assert!(self.permissions.insert(key, HashSet::new()).is_none());
                self.channels.insert(key, HashMap::new());
            }
            Output::Remove { key } => self.remove(key),
            Output::Permit { key, peer } => _ = self.permitted(key).insert(peer),
            Output::Forbid { key, peer } => assert!(self.permitted(key).remove(&peer)),
            Output::Bind { key, channel, peer } => {
                assert!(self.permitted(key).contains(&peer.ip()) || self.has(key, channel));
                self.channels.get_mut(&key).unwrap().insert(channel, peer);
            }
            Output::Unbind { key, channel } => {
                assert!(self.channels.get_mut(&key).unwrap().remove(&channel).is_some());
            }
            Output::Connect { connection, .. } => self.connections.push(connection),
            Output::Drop { connection } => self.connections.retain(|held| *held != connection),
            Output::Reply { bytes, .. } => self.learn(&Reply(bytes)),
            Output::SetRate { key, .. }
            | Output::Move { key, .. }
            | Output::Withdraw { key, .. } => {
                assert!(self.permissions.contains_key(&key));
            }
            Output::Join { .. } | Output::Timeout(_) => {}
        }
    }

    fn remove(&mut self, key: Key) {
        assert!(self.permissions.remove(&key).is_some());
        self.channels.remove(&key);
    }

    fn permitted(&mut self, key: Key) -> &mut HashSet<IpAddr> {
        self.permissions.get_mut(&key).unwrap()
    }

    fn has(&self, key: Key, channel: u16) -> bool {
        self.channels[&key].contains_key(&channel)
    }

    fn learn(&mut self, reply: &Reply) {
        self.tickets.extend(reply.one(kind::MOBILITY_TICKET).map(<[u8]>::to_vec));
        self.tokens.extend(reply.one(kind::RESERVATION_TOKEN).map(<[u8]>::to_vec));
    }

    fn key(&self, number: u8) -> Key {
        let mut keys: Vec<_> = self.permissions.keys().copied().collect();
        keys.sort();
        keys.get(usize::from(number) % keys.len().max(1)).copied().unwrap_or(Key(0))
    }

    fn check(&self, net: &Net) {
        assert_eq!(self.permissions.len(), net.server.allocations());
        assert!(net.ports.out.len() <= 2 * limits().allocations);
        assert!(net.server.connections() <= CONNECTIONS_PER_ALLOCATION * self.permissions.len());
        let full = |held: &HashSet<IpAddr>| held.len() > PERMISSIONS_PER_ALLOCATION;
        assert!(!self.permissions.values().any(full));
        for held in self.channels.values() {
            let peers: HashSet<_> = held.values().collect();
            assert!(held.len() <= CHANNELS_PER_ALLOCATION && peers.len() == held.len());
        }
    }

    fn ask(&self, method: u8, picks: &[(u8, u8)], peers: &[u8]) -> Ask {
        let methods = [
            Method::Allocate,
            Method::Refresh,
            Method::CreatePermission,
            Method::ChannelBind,
            Method::Connect,
            Method::ConnectionBind,
        ];
        let method = methods[usize::from(method)];
        let ask = match method {
            Method::Allocate => Ask::allocate(),
            method => Ask::new(method),
        };
        let ask = picks.iter().fold(ask, |ask, (what, value)| self.pick(ask, *what, *value));
        peers.iter().fold(ask, |ask, peer| ask.peer(peer_of(*peer)))
    }

    /// Each kind of request, well-formed, with what the engine has made known.
    fn likely(&self, what: u8, value: u8) -> Ask {
        let peer = peer_of(value % 4);
        let picked =
            |ask, picks: &[u8]| picks.iter().fold(ask, |ask, pick| self.pick(ask, *pick, value));
        match what {
            0 => Ask::allocate(),
            1 | 2 => picked(Ask::allocate(), &[6]),
            3 => Ask::allocate_tcp(),
            4 => Ask::allocate().with(kind::EVEN_PORT, &[0x80]),
            5 => picked(Ask::allocate(), &[4]),
            6 => picked(Ask::allocate(), &[7]),
            7 => Ask::refresh(value.into()),
            8 => picked(Ask::refresh(0), &[5]),
            9 => picked(Ask::refresh(600), &[8]),
            10 => Ask::permission(&[peer]),
            11 => Ask::channel(0x4000 + u16::from(value) % 4, peer),
            12 => Ask::new(Method::Connect).peer(peer),
            _ => picked(Ask::new(Method::ConnectionBind), &[11]),
        }
    }

    fn pick(&self, ask: Ask, what: u8, value: u8) -> Ask {
        let of = |list: &[Vec<u8>]| {
            list.get(usize::from(value) % list.len().max(1)).cloned().unwrap_or_default()
        };
        match what {
            0 => Ask { method: ask.method, peers: ask.peers, ..Ask::allocate_tcp() },
            1 => ask.with(kind::LIFETIME, &(u32::from(value) * 20).to_be_bytes()),
            2 => ask.with(kind::LIFETIME, &[0; 4]),
            3 => ask.with(kind::EVEN_PORT, &[value]),
            4 => ask.with(kind::RESERVATION_TOKEN, &of(&self.tokens)),
            5 => ask.family(kind::REQUESTED_ADDRESS_FAMILY, value % 3),
            6 => ask.family(kind::ADDITIONAL_ADDRESS_FAMILY, 2),
            7 => ask.with(kind::MOBILITY_TICKET, &[]),
            8 => ask.with(kind::MOBILITY_TICKET, &of(&self.tickets)),
            9 | 10 => ask.number(0x4000 + u16::from(value) % 4),
            11 => {
                let ids: Vec<_> =
                    self.connections.iter().map(|id| id.0.to_be_bytes().to_vec()).collect();
                ask.with(kind::CONNECTION_ID, &of(&ids))
            }
            12 => ask.with(u16::from(value), &[value; 4]),
            _ => ask.with(kind::DONT_FRAGMENT, &[]),
        }
    }
}

fn perform(net: &mut Net, engine: &mut Engine, act: Act) {
    match act {
        Act::Ask { method, client, eve, picks, peers } => {
            let (user, password) = if eve { ("eve", "other") } else { ("bob", "secret") };
            let ask = engine.ask(method, &picks, &peers);
            let bytes = ask.signed(net.transaction(), user, &key_of(user, password));
            engine.sent.push((client_of(client), bytes.clone()));
            net.server.handle(net.now, net.unix, client_of(client), &bytes, &mut net.ports);
        }
        Act::Likely { what, client, value } => {
            let ask = engine.likely(what, value);
            let bytes = ask.signed(net.transaction(), "bob", &key_of("bob", "secret"));
            engine.sent.push((client_of(client), bytes.clone()));
            net.server.handle(net.now, net.unix, client_of(client), &bytes, &mut net.ports);
        }
        Act::Again(number) => {
            let Some((client, bytes)) =
                engine.sent.get(usize::from(number) % engine.sent.len().max(1))
            else {
                return;
            };
            net.server.handle(net.now, net.unix, *client, bytes, &mut net.ports);
        }
        Act::Bytes(client, bytes) => {
            net.server.handle(net.now, net.unix, client_of(client), &bytes, &mut net.ports);
        }
        Act::Pass(seconds) => {
            net.now += Duration::from_secs(seconds.into());
            net.unix += u64::from(seconds);
            net.server.handle_timeout(net.now, &mut net.ports);
        }
        Act::Closed(client) => net.server.closed(net.now, &client_of(client), &mut net.ports),
        Act::Lost(number) => {
            let key = engine.key(number);
            net.server.lost(key, &mut net.ports);
            if engine.permissions.contains_key(&key) {
                engine.remove(key);
            }
        }
        Act::Accepted(number, peer) => {
            let peer = peer_of(peer).parse().unwrap();
            let accepted = net.server.accepted(net.now, engine.key(number), peer);
            engine.connections.extend(accepted);
        }
        Act::Connected(well) => {
            for id in engine.connections.clone() {
                net.server.connected(net.now, id, if well { Ok(()) } else { Err(()) });
            }
        }
        Act::Disconnected => {
            engine
                .connections
                .first()
                .copied()
                .into_iter()
                .for_each(|id| net.server.disconnected(id));
        }
        Act::Full(how) => {
            let error = |bits: u8| match bits % 3 {
                0 => None,
                1 => Some(LeaseError::Family),
                _ => Some(LeaseError::Exhausted),
            };
            (net.ports.no_v4, net.ports.no_v6) = (error(how), error(how / 2));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_tables_agree_stay_bounded_and_every_lease_is_given_back(
        acts in prop::collection::vec(act(), 0..60)
    ) {
        let (mut net, mut engine) = (Net::new(), Engine::default());
        for act in acts {
            perform(&mut net, &mut engine, act);
            net.outputs().into_iter().for_each(|output| engine.apply(output));
            engine.check(&net);
            if let Some(next) = net.next() {
                prop_assert!(next > Duration::ZERO, "what is over was let end");
            }
        }
        for output in net.pass(MAX_LIFETIME.as_secs()) {
            engine.apply(output);
        }
        engine.check(&net);
        prop_assert_eq!((net.ports.out.len(), net.server.allocations()), (0, 0));
        prop_assert_eq!((net.server.connections(), net.next()), (0, None));
        prop_assert_eq!(net.server.quota.total(), 0);
    }

    #[test]
    fn no_bytes_behind_a_header_harm_anything(body in prop::collection::vec(any::<u8>(), 0..300), method in 0..16u16) {
        let mut net = Net::new();
        net.allocated(tcp(1), Ask::allocate_tcp());
        let mut bytes = vec![0; 20];
        bytes[..2].copy_from_slice(&method.to_be_bytes());
        bytes[2..4].copy_from_slice(&(body.len() as u16 / 4 * 4).to_be_bytes());
        bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        bytes.extend_from_slice(&body[..body.len() / 4 * 4]);
        for output in net.give(tcp(1), &bytes) {
            let is_reply = matches!(output, Output::Reply { .. });
            prop_assert!(is_reply, "{:?}", output);
        }
        prop_assert_eq!(net.server.allocations(), 1);
    }

    #[test]
    fn no_attribute_of_an_authentic_request_harms_anything(
        attributes in prop::collection::vec((0..0x30u16, prop::collection::vec(any::<u8>(), 0..24)), 0..8),
        method in 0..6u8,
    ) {
        let mut net = Net::new();
        net.allocated(tcp(1), Ask::allocate_tcp());
        let ask = Engine::default().ask(method, &[], &[]);
        let known = [attribute::MESSAGE_INTEGRITY, attribute::USERNAME, attribute::REALM, attribute::NONCE];
        let attributes = attributes.into_iter().filter(|(kind, _)| !known.contains(kind));
        let ask = attributes.fold(ask, |ask, (kind, value)| ask.with(kind, &value));
        let bytes = ask.signed(net.transaction(), "bob", &key_of("bob", "secret"));
        net.give(tcp(1), &bytes);
        net.pass(MAX_LIFETIME.as_secs());
        prop_assert_eq!(net.ports.out.len(), 0);
    }
}
