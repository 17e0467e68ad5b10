use proptest::prelude::*;

use super::*;

const NOON: Nanos = Nanos::from_millis(10_000_000);
const ID: AllocationId = AllocationId { thread: WorkerId(0), slot: 3, generation: 1 };

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn spec() -> AllocationSpec {
    let relay = Relay { relayed: at("203.0.113.5:50000"), socket: Some(SocketId(9)) };
    AllocationSpec {
        client: (SocketId(0), at("198.51.100.2:4000")),
        framing: Framing::Datagram,
        relays: [relay].into_iter().collect(),
        dont_fragment: false,
        rate: Rate::default(),
    }
}

fn peer() -> SocketAddr {
    at("198.51.100.14:7000")
}

#[test]
fn nothing_passes_before_it_is_permitted() {
    let mut allocation = Allocation::new(&spec());
    let denied = Err(DropReason::NoPermission);
    assert_eq!(allocation.wrap(peer(), 10, NOON), denied);
    allocation.bind(0x4001, peer()).unwrap();
    assert_eq!(allocation.peer_of(0x4001, 10, NOON), Err(DropReason::NoPermission));
    allocation.permit(peer().ip()).unwrap();
    assert_eq!(allocation.peer_of(0x4001, 10, NOON), Ok(peer()));
    assert_eq!(allocation.wrap(peer(), 10, NOON), Ok(Wrap::Channel(0x4001)));
    let other = at("198.51.100.14:7001");
    assert_eq!(allocation.wrap(other, 10, NOON), Ok(Wrap::Indication(other)), "any port");
    allocation.forbid(peer().ip());
    assert_eq!(allocation.wrap(peer(), 10, NOON), denied, "a channel outlives its permission");
    assert_eq!(allocation.peer_of(0x4001, 10, NOON), Err(DropReason::NoPermission));
}

#[test]
fn a_binding_replaces_others_of_its_number_and_of_its_peer() {
    let mut allocation = Allocation::new(&spec());
    allocation.permit(peer().ip()).unwrap();
    allocation.bind(0x4001, peer()).unwrap();
    allocation.bind(0x4002, peer()).unwrap();
    assert_eq!(allocation.peer_of(0x4001, 1, NOON), Err(DropReason::ChannelUnknown));
    assert_eq!(allocation.peer_of(0x4002, 1, NOON), Ok(peer()));
    allocation.unbind(0x4002);
    assert_eq!(allocation.wrap(peer(), 1, NOON), Ok(Wrap::Indication(peer())));
    assert_eq!(allocation.bind(0x3fff, peer()), Err(Refusal::Misuse));
    assert_eq!(allocation.bind(0x8000, peer()), Err(Refusal::Misuse));
}

#[test]
fn channels_and_permissions_are_bounded() {
    let mut allocation = Allocation::new(&spec());
    for n in 0..CHANNELS_PER_ALLOCATION as u16 {
        allocation.bind(0x4000 + n, SocketAddr::new(peer().ip(), 1000 + n)).unwrap();
    }
    assert_eq!(allocation.bind(0x7fff, at("198.51.100.14:9")), Err(Refusal::Full));
    for n in 0..PERMISSIONS_PER_ALLOCATION as u8 {
        allocation.permit(IpAddr::from([192, 0, 2, n])).unwrap();
    }
    assert_eq!(allocation.permit(IpAddr::from([192, 0, 3, 0])), Err(Refusal::Full));
    assert_eq!(allocation.permit(IpAddr::from([192, 0, 2, 0])), Ok(()), "a known one");
}

#[test]
fn a_rate_is_a_budget_of_a_second() {
    let mut allocation =
        Allocation::new(&AllocationSpec { rate: Rate { bytes: 1000, packets: 0 }, ..spec() });
    allocation.permit(peer().ip()).unwrap();
    let mut pass = |len, now| allocation.wrap(peer(), len, now).map(drop);
    assert_eq!(pass(900, NOON), Ok(()));
    assert_eq!(pass(200, NOON), Err(DropReason::RelayRate));
    assert_eq!(pass(100, NOON), Ok(()), "what fits still passes");
    let half = NOON.plus(500_000_000);
    assert_eq!(pass(501, half), Err(DropReason::RelayRate));
    assert_eq!(pass(500, half), Ok(()));
    assert_eq!(pass(1000, half.plus(60_000_000_000)), Ok(()));
    assert_eq!(pass(1, half.plus(60_000_000_000)), Err(DropReason::RelayRate), "no hoard");
    allocation.set_rate(Rate { bytes: 0, packets: 2 });
    let mut pass = || allocation.wrap(peer(), 1500, NOON).map(drop);
    assert_eq!([pass(), pass(), pass()], [Ok(()), Ok(()), Err(DropReason::RelayRate)]);
}

#[test]
fn a_packet_that_must_not_be_fragmented_needs_an_allocation_for_it() {
    let sent = Sent { peer: peer(), data: b"data", at: 0, dont_fragment: true };
    for dont_fragment in [false, true] {
        let mut allocation = Allocation::new(&AllocationSpec { dont_fragment, ..spec() });
        allocation.permit(peer().ip()).unwrap();
        assert_eq!(allocation.may_send(&sent, NOON).is_ok(), dont_fragment);
    }
}

#[test]
fn each_family_has_its_relayed_address() {
    let mut spec = spec();
    let v6 = Relay { relayed: at("[2001:db8::5]:50000"), socket: None };
    assert_eq!(
        Allocation::new(&spec).relay_to(at("[2001:db8::9]:1")),
        Err(DropReason::RelayFamily)
    );
    spec.relays.push(v6);
    assert_eq!(Allocation::new(&spec).relay_to(at("[2001:db8::9]:1")), Ok(v6));
}

#[test]
fn a_slot_and_a_client_have_one_allocation_each() {
    let mut held = Allocations::new(WorkerId(0));
    let new = || Box::new(Allocation::new(&spec()));
    assert_eq!(held.add(ID, new()).unwrap_err().0, Refusal::Full, "no room was made");
    held.reserve();
    held.add(ID, new()).unwrap();
    assert_eq!(held.add(ID, new()).unwrap_err().0, Refusal::Taken);
    let elsewhere = AllocationId { slot: 4, ..ID };
    assert_eq!(held.add(elsewhere, new()).unwrap_err().0, Refusal::Taken, "the same client");
    let client = spec().client;
    assert_eq!(held.of_client(client), Some(ID.slot));
    assert!(held.relaying(ID.slot, at("203.0.113.5:50000")).is_some());
    assert!(held.relaying(ID.slot, at("203.0.113.5:50001")).is_none(), "a former tenant's");
    assert!(held.remove(AllocationId { generation: 2, ..ID }).is_none());
    assert!(held.remove(ID).is_some());
    assert_eq!((held.of_client(client), held.len()), (None, 0));
}

/// What a client reads of a message that was written around `data`.
fn read(message: &[u8], framing: Framing) -> (Wrap, Vec<u8>) {
    if message[0] & 0xc0 == 0x40 {
        let (number, len) = read_channel_data(message).unwrap();
        if framing == Framing::Datagram {
            assert_eq!(message.len(), CHANNEL_HEADER + len);
        } else {
            assert!(message.len().is_multiple_of(4));
        }
        return (Wrap::Channel(number), message[CHANNEL_HEADER..CHANNEL_HEADER + len].to_vec());
    }
    let parsed = stun::Message::parse(message).unwrap();
    assert_eq!((parsed.class, parsed.method), (Class::Indication, method::DATA));
    let sent = read_send(message, parsed.transaction).unwrap();
    (Wrap::Indication(sent.peer), sent.data.to_vec())
}

proptest! {
    #[test]
    fn what_is_wrapped_is_read_again(
        data in proptest::collection::vec(any::<u8>(), 0..1500),
        number in 0x4000u16..=0x7fff,
        v6 in any::<bool>(),
        stream in any::<bool>(),
    ) {
        let framing = if stream { Framing::Stream } else { Framing::Datagram };
        let peer = if v6 { at("[2001:db8::14]:7000") } else { peer() };
        for wrap in [Wrap::Channel(number), Wrap::Indication(peer)] {
            let mut frame = [0xaa; 2048];
            frame[HEAD_ROOM..HEAD_ROOM + data.len()].copy_from_slice(&data);
            let id = TransactionId([7; 12]);
            let place = (HEAD_ROOM, data.len());
            let (start, len) = write_wrap(&mut frame, place, wrap, framing, id).unwrap();
            prop_assert_eq!(read(&frame[start..start + len], framing), (wrap, data.clone()));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
        let _ = read_channel_data(&bytes);
        let mut framed = [&[0, 0x16, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0; 12], &bytes].concat();
        framed.truncate(framed.len() & !3);
        framed[3] = (framed.len() - HEADER_LEN) as u8;
        let _ = read_send(&framed, TransactionId([0; 12]));
    }
}

#[test]
fn channel_data_may_not_be_longer_than_what_came() {
    assert_eq!(read_channel_data(&[0x40, 0, 0, 2, 1, 2]), Ok((0x4000, 2)));
    assert_eq!(read_channel_data(&[0x40, 0, 0, 1, 1, 0, 0, 0]), Ok((0x4000, 1)), "padded");
    assert_eq!(read_channel_data(&[0x40, 0, 0, 3, 1, 2]), Err(DropReason::RelayMalformed));
    assert_eq!(read_channel_data(&[0x40, 0, 0]), Err(DropReason::RelayMalformed));
}
