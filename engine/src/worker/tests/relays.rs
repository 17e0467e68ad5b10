//! TURN through a worker: clients, peers, and the ways inside the node.

use std::net::IpAddr;

use super::*;
use crate::command::{AllocationId, PuntKind, Returned};
use crate::doors::Door;
use crate::gate::{Gate, method};
use crate::relay::{Allocation, AllocationSpec, Framing, Rate, Relay};
use crate::stun::{self, Class, IntegrityKey, Message, TransactionId, Writer, attribute};

/// The client's socket at the node, where it is, and the socket of its relay.
const CLIENT: (SocketId, SocketAddr) = (SocketId(0), at([198, 51, 100, 2], 4999));
const RELAY: SocketId = SocketId(7);
const RELAYED: SocketAddr = at([203, 0, 113, 5], 50_000);
const PEER: SocketAddr = at([198, 51, 100, 14], 7000);
/// The announced address of the first leg's socket.
const MEDIA: SocketAddr = at([203, 0, 113, 5], 40_500);
const CHANNEL: u16 = 0x4001;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const DONT_FRAGMENT: u16 = 0x001a;

const fn at(ip: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = ip;
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d)), port)
}

fn id(slot: u16) -> AllocationId {
    AllocationId { thread: WORKER, slot, generation: 1 }
}

fn allocation(client: (SocketId, SocketAddr), relay: Relay) -> Box<Allocation> {
    let relays = [relay].into_iter().collect();
    let (framing, rate) = (Framing::Datagram, Rate::default());
    Box::new(Allocation::new(&AllocationSpec {
        client,
        framing,
        relays,
        dont_fragment: false,
        rate,
    }))
}

/// Gives the client an allocation that permits the peer and the node's media, the latter with a channel.
pub(super) fn allocate(call: &mut Call, socket: Option<SocketId>) {
    open_doors(call);
    let relay = Relay { relayed: RELAYED, socket };
    let gate = Box::new(Gate::new("example.org", &[1; 20]));
    call.apply(Command::SetGate(gate)).unwrap();
    let state = allocation(CLIENT, relay);
    call.apply(Command::AddAllocation { allocation: id(0), state }).unwrap();
    for peer in [PEER, MEDIA] {
        call.apply(Command::Permit { allocation: id(0), peer: peer.ip() }).unwrap();
    }
    bind(call, CHANNEL, PEER);
    bind(call, CHANNEL + 1, MEDIA);
}

/// The same, and another address is permitted.
pub(super) fn permit(call: &mut Call, peer: IpAddr) {
    allocate(call, Some(RELAY));
    call.apply(Command::Permit { allocation: id(0), peer }).unwrap();
}

/// Gives the client an allocation if it has none, or takes it.
pub(super) fn set_relay(call: &mut Call, there: bool) {
    if there && call.bare.worker.allocations.of_client(CLIENT).is_none() {
        allocate(call, Some(RELAY));
    } else if !there {
        // There may be none.
        let _ = call.apply(Command::RemoveAllocation { allocation: id(0) });
    }
}

/// What the peer sends to the relay.
pub(super) fn from_peer(call: &mut Call, packet: &[u8]) {
    drop(call.receive_from(RELAY, PEER, packet));
}

/// The same, but so many bytes a second.
pub(super) fn limit(call: &mut Call, bytes: u32) {
    allocate(call, Some(RELAY));
    let rate = Rate { bytes, packets: 0 };
    call.apply(Command::SetRate { allocation: id(0), rate }).unwrap();
}

fn open_doors(call: &Call) {
    let doors = &call.bare.worker.doors;
    assert!(doors.open(MEDIA, Door::Media { worker: WORKER, socket: call.fars[0].socket }));
    assert!(doors.open(RELAYED, Door::Relay { thread: WORKER, slot: 0 }));
}

fn bind(call: &mut Call, channel: u16, peer: SocketAddr) {
    call.apply(Command::BindChannel { allocation: id(0), channel, peer }).unwrap();
}

pub(super) fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap();
    [&channel.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

pub(super) fn send_indication(peer: SocketAddr, data: &[u8], dont_fragment: bool) -> Vec<u8> {
    let mut out = [0; 1600];
    let transaction = TransactionId([3; 12]);
    let mut writer = Writer::begin(&mut out, Class::Indication, method::SEND, transaction).unwrap();
    writer.xor_address(XOR_PEER_ADDRESS, peer).unwrap();
    if dont_fragment {
        writer.attribute(DONT_FRAGMENT, &[]).unwrap();
    }
    writer.attribute(DATA, &[data]).unwrap();
    let len = writer.len();
    out[..len].to_vec()
}

/// What the client sends.
pub(super) fn from_client(call: &mut Call, packet: &[u8]) -> Vec<Sent> {
    call.receive_from(CLIENT.0, CLIENT.1, packet)
}

/// The client's data in what was sent: from whom, and what.
fn for_client(sent: &[Sent]) -> Vec<(SocketAddr, Vec<u8>)> {
    let to_client = sent.iter().filter(|sent| (sent.socket, sent.remote) == CLIENT);
    to_client.map(|sent| unwrap(&sent.bytes)).collect()
}

fn unwrap(message: &[u8]) -> (SocketAddr, Vec<u8>) {
    match message {
        [0x40, 0x01, _, _, data @ ..] => (PEER, data.to_vec()),
        [0x40, 0x02, _, _, data @ ..] => (MEDIA, data.to_vec()),
        _ => {
            let parsed = Message::parse(message).unwrap();
            assert_eq!((parsed.class, parsed.method), (Class::Indication, method::DATA));
            let value = |kind| {
                let mut all = stun::attributes(message).flatten();
                all.find(|attribute| attribute.kind == kind).unwrap().value
            };
            let peer = stun::unxor(value(XOR_PEER_ADDRESS), parsed.transaction).unwrap();
            (peer, value(DATA).to_vec())
        }
    }
}

#[test]
fn channel_data_reaches_the_peer_and_the_peers_data_the_client() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    let sent = from_client(&mut call, &channel_data(CHANNEL, b"to the peer"));
    let expected = Sent { socket: RELAY, remote: PEER, bytes: b"to the peer".to_vec() };
    assert_eq!(sent, [expected]);
    let sent = call.receive_from(RELAY, PEER, b"to the client");
    assert_eq!(for_client(&sent), [(PEER, b"to the client".to_vec())]);
}

#[test]
fn indications_reach_the_peer_and_any_of_its_ports_the_client() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    let other = SocketAddr::new(PEER.ip(), 7001);
    let sent = from_client(&mut call, &send_indication(other, b"odd", false));
    assert_eq!(sent, [Sent { socket: RELAY, remote: other, bytes: b"odd".to_vec() }]);
    let sent = call.receive_from(RELAY, other, b"\x80 whatever it is");
    assert_eq!(for_client(&sent), [(other, b"\x80 whatever it is".to_vec())]);
}

#[test]
fn what_nobody_permitted_is_dropped() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    let stranger = at([198, 51, 100, 15], 7000);
    let dropped = call.dropped(|call| {
        assert!(call.receive_from(RELAY, stranger, b"hello").is_empty());
        assert!(from_client(call, &send_indication(stranger, b"hello", false)).is_empty());
    });
    assert_eq!(dropped, [DropReason::NoPermission]);
    call.apply(Command::Forbid { allocation: id(0), peer: PEER.ip() }).unwrap();
    let dropped = call.dropped(|call| {
        assert!(from_client(call, &channel_data(CHANNEL, b"x")).is_empty());
    });
    assert_eq!(dropped, [DropReason::NoPermission]);
}

#[test]
fn all_relays_together_carry_what_the_node_allows() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    call.bare.worker.doors.limit_relays(Rate { bytes: 0, packets: 2 });
    let data = channel_data(CHANNEL, b"data");
    assert_eq!([(); 2].map(|()| from_client(&mut call, &data).len()), [1, 1]);
    call.bare.pass(START);
    let dropped = call.dropped(|call| {
        assert!(from_client(call, &data).is_empty());
        assert!(call.receive_from(RELAY, PEER, b"data").is_empty());
    });
    assert_eq!(dropped, [DropReason::RelayRate]);
    call.bare.pass(START.plus(1_000_000_000));
    assert_eq!(from_client(&mut call, &data).len(), 1, "in the next second");
}

#[test]
fn a_removed_allocation_carries_nothing_and_goes_home() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    from_client(&mut call, &channel_data(CHANNEL, b"12345"));
    let (outcome, returned) = call.bare.apply(Command::RemoveAllocation { allocation: id(0) });
    let Returned::Allocation(state) = returned else { panic!("{outcome:?}") };
    assert_eq!((state.counters().packets_out, state.counters().bytes_out), (1, 5));
    let dropped = call.dropped(|call| {
        from_client(call, &channel_data(CHANNEL, b"x"));
        call.receive_from(RELAY, PEER, b"\x80\x6f0123456789");
    });
    assert_eq!(dropped, [DropReason::ChannelUnknown, DropReason::UnknownRemote]);
    let again = Command::RemoveAllocation { allocation: id(0) };
    assert_eq!(call.apply(again), Err(Refusal::Gone));
}

#[test]
fn the_nodes_own_addresses_lead_to_its_media_or_nowhere() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    let api = SocketAddr::new(MEDIA.ip(), 8080);
    let dropped = call.dropped(|call| {
        assert!(from_client(call, &send_indication(api, b"GET /", false)).is_empty());
    });
    assert_eq!(dropped, [DropReason::RelayInward]);
}

#[test]
fn a_relay_without_a_socket_reaches_the_nodes_media_alone() {
    let mut call = Call::new();
    allocate(&mut call, None);
    let dropped = call.dropped(|call| {
        assert!(from_client(call, &channel_data(CHANNEL, b"x")).is_empty());
    });
    assert_eq!(dropped, [DropReason::RelayOutward]);
    let ask = binding(7);
    let sent = from_client(&mut call, &channel_data(CHANNEL + 1, &ask));
    let (from, answer) = for_client(&sent).remove(0);
    let answer = Message::parse(&answer).unwrap();
    assert_eq!((from, answer.mapped), (MEDIA, Some(RELAYED)));
}

fn binding(number: u8) -> Vec<u8> {
    let mut out = [0; 20];
    let transaction = TransactionId([number; 12]);
    Writer::begin(&mut out, Class::Request, stun::BINDING, transaction).unwrap();
    out.to_vec()
}

/// The left leg's client sits behind its relay: its checks, its media and what it is sent all pass the relay.
#[test]
fn a_leg_lives_behind_a_relay_of_its_own_node() {
    let mut call = Call::new();
    allocate(&mut call, None);
    let mut check = [0; 500];
    let len = call.fars[0].check(&mut check, 1, false).unwrap();
    assert!(from_client(&mut call, &channel_data(CHANNEL + 1, &check[..len])).is_empty());
    let punt = call.bare.punt().unwrap();
    assert_eq!((punt.kind, punt.transport), (PuntKind::Stun, Some(transport(0))));
    assert_eq!((punt.socket, punt.remote), (call.fars[0].socket, RELAYED), "the port it asked");

    // Control answers on the port, and installs the pair of it.
    let (socket, remote) = (punt.socket, punt.remote);
    let bytes: Box<[u8]> = b"the answer".as_slice().into();
    call.apply(Command::Transmit { socket, remote, bytes }).unwrap();
    let sent = call.sent();
    assert_eq!(for_client(&sent), [(MEDIA, b"the answer".to_vec())]);
    let (transport, nominated, generation) = (transport(0), true, 0);
    let pair = Command::InstallPair { transport, socket, remote, nominated, generation };
    call.apply(pair).unwrap();
    call.sent();

    let packet = call.sealed(0, audio(0, 1));
    let sent = from_client(&mut call, &channel_data(CHANNEL + 1, &packet));
    assert_eq!(call.open(1, &sent).len(), 1, "the other leg hears");
    let packet = call.sealed(1, audio(1, 1));
    let sent = call.receive(1, &packet);
    let [(from, mut media)] = for_client(&sent).try_into().unwrap();
    assert_eq!(from, MEDIA);
    let len = call.fars[0].open(&mut media).unwrap();
    assert_eq!(RtpHeader::parse(&media[..len]).unwrap().ssrc, SIDES[0].ours[0]);

    // A check on the installed pair is the worker's own to answer.
    let len = call.fars[0].check(&mut check, 2, false).unwrap();
    let sent = from_client(&mut call, &channel_data(CHANNEL + 1, &check[..len]));
    let (_, answer) = for_client(&sent).remove(0);
    assert_eq!(Message::parse(&answer).unwrap().mapped, Some(RELAYED));
    assert_eq!(call.bare.frames_lost(), 0);
}

#[test]
fn two_relays_of_the_node_meet_without_the_kernel() {
    let mut call = Call::new();
    allocate(&mut call, Some(RELAY));
    let (client, relayed) = ((SocketId(1), at([192, 0, 2, 9], 5)), at([203, 0, 113, 5], 50_002));
    assert!(call.bare.worker.doors.open(relayed, Door::Relay { thread: WORKER, slot: 1 }));
    let state = allocation(client, Relay { relayed, socket: None });
    call.apply(Command::AddAllocation { allocation: id(1), state }).unwrap();
    let dropped = call.dropped(|call| {
        from_client(call, &send_indication(relayed, b"unasked", false));
    });
    assert_eq!(dropped, [DropReason::NoPermission], "the other client permits nobody");
    call.apply(Command::Permit { allocation: id(1), peer: RELAYED.ip() }).unwrap();
    let sent = from_client(&mut call, &send_indication(relayed, b"hello", false));
    assert_eq!((sent[0].socket, sent[0].remote), client);
    assert_eq!(unwrap(&sent[0].bytes), (RELAYED, b"hello".to_vec()));
}

#[test]
fn nobody_asks_for_a_relay_inside_a_relay() {
    let mut call = Call::new();
    allocate(&mut call, None);
    let ask = allocate_request(&[]);
    let dropped = call.dropped(|call| {
        assert!(from_client(call, &channel_data(CHANNEL + 1, &ask)).is_empty());
    });
    assert_eq!(dropped, [DropReason::StunUnsolicited]);
}

fn allocate_request(nonce: &[u8]) -> Vec<u8> {
    let mut out = [0; 300];
    let transaction = TransactionId([5; 12]);
    let mut writer =
        Writer::begin(&mut out, Class::Request, method::ALLOCATE, transaction).unwrap();
    let key = IntegrityKey::new("whatever");
    if nonce.is_empty() {
        let len = writer.len();
        return out[..len].to_vec();
    }
    writer.attribute(attribute::USERNAME, &[b"u"]).unwrap();
    writer.attribute(attribute::NONCE, &[nonce]).unwrap();
    let len = writer.finish(Some(&key)).unwrap();
    out[..len].to_vec()
}

#[test]
fn control_hears_of_who_repeats_the_nonce_that_it_was_told() {
    let mut call = Call::new();
    let unasked = call.dropped(|call| drop(from_client(call, &allocate_request(&[]))));
    assert_eq!(unasked, [DropReason::StunUnsolicited], "there is no TURN here");
    allocate(&mut call, None);
    let sent = from_client(&mut call, &allocate_request(&[]));
    assert_eq!(Message::parse(&sent[0].bytes).unwrap().error, Some(401));
    assert!(call.bare.punt().is_none());
    let nonce = Message::parse(&sent[0].bytes).unwrap().nonce.unwrap();
    assert!(from_client(&mut call, &allocate_request(nonce)).is_empty());
    let punt = call.bare.punt().unwrap();
    assert_eq!((punt.kind, punt.transport), (PuntKind::Turn, None));
    assert_eq!((punt.socket, punt.remote), CLIENT);
    // Somebody else who has seen it is told another.
    let sent = call.receive_from(CLIENT.0, at([198, 51, 100, 3], 1), &allocate_request(nonce));
    assert_eq!(Message::parse(&sent[0].bytes).unwrap().error, Some(438));
}

#[test]
fn a_binding_request_that_asks_what_nobody_knows_is_told_so() {
    let mut call = Call::new();
    let mut out = [0; 64];
    let transaction = TransactionId([6; 12]);
    let mut writer = Writer::begin(&mut out, Class::Request, stun::BINDING, transaction).unwrap();
    writer.attribute(0x7ffe, &[b"odd!"]).unwrap();
    let len = writer.len();
    let sent = from_client(&mut call, &out[..len]);
    let answer = Message::parse(&sent[0].bytes).unwrap();
    assert_eq!(answer.error, Some(420));
    let named = stun::attributes(&sent[0].bytes).flatten();
    let named = named.filter(|a| a.kind == attribute::UNKNOWN_ATTRIBUTES);
    assert_eq!(named.map(|a| a.value.to_vec()).collect::<Vec<_>>(), [[0x7f, 0xfe]]);
}

#[test]
fn strangers_are_answered_so_often_and_no_more() {
    let mut call = Call::new();
    let share = usize::from(crate::config::UNASKED_PER_NETWORK);
    let answered = (0..2 * share).filter(|_| !from_client(&mut call, &binding(1)).is_empty());
    assert_eq!(answered.count(), share);
    assert!(call.drops(DropReason::StunRate) > 0);
}

/// Relay on one worker, leg on the other.
#[test]
fn a_relay_reaches_a_leg_of_another_worker() {
    let mut call = Call::new();
    let mut relaying = Bare::new(WorkerId(1), 8, 256).unwrap();
    relaying.worker.doors = call.bare.worker.doors.clone();
    relaying.join(&mut call.bare);
    let doors = &call.bare.worker.doors;
    assert!(doors.open(MEDIA, Door::Media { worker: WORKER, socket: call.fars[0].socket }));
    assert!(doors.open(RELAYED, Door::Relay { thread: WorkerId(1), slot: 0 }));
    let allocation_id = AllocationId { thread: WorkerId(1), ..id(0) };
    let gate = Box::new(Gate::new("example.org", &[1; 20]));
    relaying.apply(Command::SetGate(gate)).0.unwrap();
    let state = allocation(CLIENT, Relay { relayed: RELAYED, socket: None });
    let add = Command::AddAllocation { allocation: allocation_id, state };
    relaying.apply(add).0.unwrap();
    relaying.apply(Command::Permit { allocation: allocation_id, peer: MEDIA.ip() }).0.unwrap();
    let channel =
        Command::BindChannel { allocation: allocation_id, channel: CHANNEL + 1, peer: MEDIA };
    relaying.apply(channel).0.unwrap();

    let ask = channel_data(CHANNEL + 1, &binding(8));
    assert!(relaying.receive(CLIENT.0, CLIENT.1, &ask, START));
    relaying.pass(START);
    call.bare.pass(START);
    relaying.pass(START);
    let (from, answer) = for_client(&sent(&mut relaying)).remove(0);
    assert_eq!((from, Message::parse(&answer).unwrap().mapped), (MEDIA, Some(RELAYED)));
    assert_eq!((relaying.frames_lost(), call.bare.frames_lost()), (0, 0));
}
