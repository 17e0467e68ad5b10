//! TURN over TCP.

use std::net::UdpSocket;

use super::*;
use crate::command::{AllocationId, PuntKind, SocketId};
use crate::doors::Door;
use crate::edge::stream::UNALLOCATED;
use crate::gate::{Gate, method};
use crate::relay::{Allocation, AllocationSpec, Framing, Rate, Relay};

const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn id(slot: u16) -> AllocationId {
    AllocationId { thread: WorkerId::EDGE, slot, generation: 0 }
}

impl Rig {
    pub(super) fn open(&mut self) {
        self.apply(Command::SetGate(Box::new(Gate::new("realm", &[5; 20])))).unwrap();
    }

    /// A client whose Allocate has gone up.
    pub(super) fn allocating(&mut self) -> Client {
        let mut client = self.client();
        client.send(&request(method::ALLOCATE, &[], false));
        let refused = self.read_stun(&mut client);
        assert_eq!(stun::Message::parse(&refused).unwrap().error, Some(401));
        let nonce = value(&refused, attribute::NONCE).unwrap();
        let asked = [(attribute::USERNAME, &b"user"[..]), (attribute::NONCE, &nonce)];
        let asked = request(method::ALLOCATE, &asked, true);
        client.send(&asked);
        let punt = self.until("a request for control", |rig| rig.punts.pop());
        assert_eq!((punt.kind, punt.transport), (PuntKind::Turn, None));
        assert_eq!((punt.socket, punt.remote), (SocketId::TCP, client.address()));
        assert_eq!(&punt.bytes[..], &asked[..]);
        client
    }

    /// Gives a client an allocation that permits `peers`.
    pub(super) fn allocate(
        &mut self,
        slot: u16,
        client: &Client,
        relay: Relay,
        peers: &[SocketAddr],
    ) {
        let state = Box::new(Allocation::new(&AllocationSpec {
            client: (SocketId::TCP, client.address()),
            framing: Framing::Stream,
            relays: [relay].into_iter().collect(),
            dont_fragment: false,
            rate: Rate::default(),
        }));
        self.apply(Command::AddAllocation { allocation: id(slot), state }).unwrap();
        for peer in peers {
            self.apply(Command::Permit { allocation: id(slot), peer: peer.ip() }).unwrap();
        }
    }

    fn bind(&mut self, slot: u16, channel: u16, peer: SocketAddr) {
        self.apply(Command::BindChannel { allocation: id(slot), channel, peer }).unwrap();
    }
}

/// A relayed address that is open to this node's own media only.
fn inward(relayed: &str) -> Relay {
    Relay { relayed: at(relayed), socket: None }
}

/// A Send indication.
fn sent(peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut out = [0; 256];
    let transaction = TransactionId([1; 12]);
    let mut writer = Writer::begin(&mut out, Class::Indication, method::SEND, transaction).unwrap();
    writer.xor_address(XOR_PEER_ADDRESS, peer).unwrap();
    writer.attribute(DATA, &[data]).unwrap();
    let len = writer.len();
    out[..len].to_vec()
}

#[test]
fn a_binding_request_is_answered_with_the_clients_address() {
    let mut rig = Rig::new();
    let mut client = rig.client();
    client.send(&request(stun::BINDING, &[], false));
    let answer = rig.read_stun(&mut client);
    let answer = stun::Message::parse(&answer).unwrap();
    assert_eq!((answer.class, answer.mapped), (Class::Success, Some(client.address())));
}

#[test]
fn a_request_goes_up_once_its_nonce_is_good_and_control_answers_by_the_stream() {
    let mut rig = Rig::new();
    rig.open();
    let mut client = rig.allocating();
    let (remote, bytes) = (client.address(), request(stun::BINDING, &[], false));
    let answer = Command::Transmit { socket: SocketId::TCP, remote, bytes: bytes.clone().into() };
    rig.apply(answer).unwrap();
    assert_eq!(rig.read_stun(&mut client), bytes);
    let nonces = [(attribute::USERNAME, &b"user"[..]), (attribute::NONCE, b"made up")];
    client.send(&request(method::REFRESH, &nonces, true));
    let stale = rig.read_stun(&mut client);
    assert_eq!(stun::Message::parse(&stale).unwrap().error, Some(438));
    let elsewhere = Command::Transmit { socket: SocketId::TLS, remote, bytes: bytes.into() };
    assert!(matches!(rig.apply(elsewhere), Err(Refusal::Gone)));
}

#[test]
fn without_a_gate_turn_is_not_served() {
    let mut rig = Rig::new();
    let mut client = rig.client();
    client.send(&request(method::ALLOCATE, &[], false));
    rig.wait_for_drop(DropReason::StunUnsolicited);
}

#[test]
fn what_is_asked_before_there_is_a_gate_waits_for_it() {
    let mut rig = Rig::with(true);
    let mut client = rig.client();
    client.send(&request(method::ALLOCATE, &[], false));
    rig.turn();
    rig.open();
    let refused = rig.read_stun(&mut client);
    assert_eq!(stun::Message::parse(&refused).unwrap().error, Some(401));
}

#[test]
fn control_hears_of_the_end_of_a_stream_that_it_knows() {
    let mut rig = Rig::new();
    rig.open();
    let client = rig.allocating();
    let address = client.address();
    drop(client);
    let event = rig.until("an event", |rig| rig.events.pop());
    let Event::StreamClosed { socket, remote } = event else { panic!("{event:?}") };
    assert_eq!((socket, remote), (SocketId::TCP, address));
}

#[test]
fn data_reaches_a_peer_by_the_relays_socket_and_comes_back() {
    let mut rig = Rig::new();
    rig.open();
    let mut client = rig.allocating();
    let (relay, peer) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (relayed, far) = (relay.local_addr().unwrap(), peer.local_addr().unwrap());
    let socket = SocketId(5);
    rig.apply(Command::AddSocket { socket, udp: relay }).unwrap();
    rig.allocate(2, &client, Relay { relayed, socket: Some(socket) }, &[far]);
    rig.wait(UNALLOCATED);

    client.send(&sent(far, b"hello"));
    peer.set_nonblocking(true).unwrap();
    let mut datagram = [0; 100];
    let came = |peer: &UdpSocket, datagram: &mut [u8]| peer.recv_from(datagram).ok();
    let (len, from) = rig.until("a datagram", |_| came(&peer, &mut datagram));
    assert_eq!((&datagram[..len], from), (&b"hello"[..], relayed));
    peer.send_to(b"welcome", relayed).unwrap();
    let indication = rig.read_stun(&mut client);
    assert_eq!(value(&indication, DATA).unwrap(), b"welcome");

    rig.bind(2, 0x4001, far);
    client.send(&[&[0x40, 1, 0, 5][..], b"again\0\0\0", &[0x40, 1, 0, 4], b"more"].concat());
    for expected in [&b"again"[..], b"more"] {
        let (len, _) = rig.until("a datagram", |_| came(&peer, &mut datagram));
        assert_eq!(&datagram[..len], expected);
    }
    peer.send_to(b"there", relayed).unwrap();
    assert_eq!(rig.read(&mut client, 12), [&[0x40, 1, 0, 5][..], b"there\0\0\0"].concat());

    let Ok(Returned::Allocation(state)) =
        rig.apply(Command::RemoveAllocation { allocation: id(2) })
    else {
        panic!("the allocation goes home")
    };
    assert_eq!((state.counters().packets_out, state.counters().packets_in), (3, 2));
    let removed = rig.apply(Command::RemoveSocket { socket });
    assert!(matches!(removed, Ok(Returned::Socket(_))), "{removed:?}");
    rig.wait(UNALLOCATED);
    rig.read_to_end(&mut client);
}

#[test]
fn data_for_this_nodes_media_goes_to_its_worker_without_a_socket() {
    let mut rig = Rig::new();
    rig.open();
    let (media, outside) = (at("203.0.113.5:40500"), at("198.51.100.1:9"));
    let socket = SocketId(3);
    assert!(rig.doors.open(media, Door::Media { worker: WORKER, socket }));
    let mut client = rig.allocating();
    rig.allocate(0, &client, inward("203.0.113.5:9000"), &[media, outside]);
    rig.bind(0, 0x4000, media);
    client.send(&[&[0x40, 0, 0, 4][..], b"data"].concat());
    let remote = at("203.0.113.5:9000");
    let arrival = HopKind::Arrival { to: WORKER, socket: socket.relayed(), remote };
    assert_eq!(rig.hopped(), (arrival, b"data".to_vec()));
    let (thread, slot) = (WorkerId::EDGE, 0);
    let relayed = |peer| HopKind::Relayed { thread, slot, relayed: remote, peer };
    rig.hop(relayed(media), b"back");
    assert_eq!(rig.read(&mut client, 8), [&[0x40, 0, 0, 4][..], b"back"].concat());
    rig.hop(relayed(at("192.0.2.1:1")), b"nobody's");
    rig.wait_for_drop(DropReason::NoPermission);
    client.send(&sent(outside, b"out"));
    rig.wait_for_drop(DropReason::RelayOutward);
    client.send(&sent(at("203.0.113.5:22"), b"in"));
    rig.wait_for_drop(DropReason::RelayInward);
}

#[test]
fn clients_reach_each_other_and_themselves() {
    let mut rig = Rig::new();
    rig.open();
    let (mut first, mut second) = (rig.allocating(), rig.allocating());
    let [a, b] = ["203.0.113.5:9000", "203.0.113.5:9001"].map(at);
    for (slot, client, own) in [(0, &first, a), (1, &second, b)] {
        rig.doors.open(own, Door::Relay { thread: WorkerId::EDGE, slot });
        rig.allocate(slot, client, Relay { relayed: own, socket: None }, &[a]);
        rig.bind(slot, 0x4000, a);
        rig.bind(slot, 0x4001, b);
    }
    first.send(&[0x40, 1, 0, 4, 1, 1, 1, 1]);
    assert_eq!(rig.read(&mut second, 8), [0x40, 0, 0, 4, 1, 1, 1, 1]);
    second.send(&[0x40, 1, 0, 4, 2, 2, 2, 2]);
    assert_eq!(rig.read(&mut second, 8), [0x40, 1, 0, 4, 2, 2, 2, 2]);
    second.send(&[0x40, 0, 0, 4, 3, 3, 3, 3]);
    assert_eq!(rig.read(&mut first, 8), [0x40, 1, 0, 4, 3, 3, 3, 3]);
}

#[test]
fn data_for_a_client_of_another_thread_goes_there() {
    let mut rig = Rig::new();
    rig.open();
    let [own, other] = ["203.0.113.5:9000", "203.0.113.5:9001"].map(at);
    rig.doors.open(other, Door::Relay { thread: WORKER, slot: 7 });
    let mut client = rig.allocating();
    rig.allocate(0, &client, Relay { relayed: own, socket: None }, &[other]);
    client.send(&sent(other, b"x"));
    let relayed = HopKind::Relayed { thread: WORKER, slot: 7, relayed: other, peer: own };
    assert_eq!(rig.hopped(), (relayed, b"x".to_vec()));
}

#[test]
fn channels_that_are_not_bound_and_messages_that_make_no_sense_are_counted() {
    let mut rig = Rig::new();
    rig.open();
    let mut client = rig.allocating();
    client.send(&[0x40, 0, 0, 0]);
    rig.wait_for_drop(DropReason::ChannelUnknown);
    client.send(&sent(at("203.0.113.5:1"), b"x"));
    rig.wait_for_drop(DropReason::RelayUnknown);
    rig.allocate(0, &client, inward("203.0.113.5:9000"), &[]);
    client.send(&sent(at("203.0.113.5:1"), b"x"));
    rig.wait_for_drop(DropReason::NoPermission);
    client.send(&[0x80, 0, 0, 0]);
    rig.read_to_end(&mut client);
    assert_eq!(rig.drops(DropReason::StreamFraming), 1);
}

#[test]
fn an_allocation_needs_a_client_and_other_commands_are_refused() {
    let mut rig = Rig::new();
    rig.open();
    let state = Box::new(Allocation::new(&AllocationSpec {
        client: (SocketId::TCP, at("192.0.2.1:1")),
        framing: Framing::Stream,
        relays: [inward("203.0.113.5:9000")].into_iter().collect(),
        dont_fragment: false,
        rate: Rate::default(),
    }));
    let added = rig.apply(Command::AddAllocation { allocation: id(0), state });
    assert!(matches!(added, Err(Refusal::Gone)), "{added:?}");
    assert!(matches!(rig.apply(Command::Quiesce), Err(Refusal::Misuse)));
    let gone = Command::RemoveSocket { socket: SocketId(1) };
    assert!(matches!(rig.apply(gone), Err(Refusal::Gone)));
}
