use super::*;

#[test]
fn an_allocation_is_installed_before_its_client_hears_of_it() {
    let mut net = Net::new();
    let (reply, outputs) = net.done(udp(1), Ask::allocate().with(kind::DONT_FRAGMENT, &[]));
    let relay = Relay { id: 0, relayed: "198.51.100.1:40000".parse().unwrap() };
    let install = Output::Install {
        key: Key(1),
        client: udp(1),
        transport: RelayTransport::Udp,
        relays: vec![relay],
        dont_fragment: true,
        rate: Rate::default(),
    };
    assert_eq!(outputs, [install]);
    assert_eq!(reply.relayed(), [relay.relayed]);
    assert_eq!((reply.message().mapped, reply.lifetime()), (Some(udp(1).remote), 600));
    assert!(reply.message().has_integrity() && reply.one(SOFTWARE).is_none());
    let want = Want {
        thread: WorkerId(1),
        transport: RelayTransport::Udp,
        ipv6: false,
        even: false,
        pair: false,
    };
    assert_eq!(net.ports.wants, [want]);
    assert_eq!((net.server.allocations(), net.server.counts().allocations), (1, 1));
}

#[test]
fn a_repeated_request_is_answered_as_it_was_and_another_is_a_mismatch() {
    let mut net = Net::new();
    let bytes = Ask::allocate().signed(TransactionId([7; 12]), "bob", &key_of("bob", "secret"));
    let first = net.give(udp(1), &bytes);
    net.pass(20);
    assert_eq!(net.give(udp(1), &bytes), first[1..], "the reply, and nothing installed");
    net.refused(udp(1), Ask::allocate(), 437);
    let (reply, _) = net.ask_as("eve", "other", udp(1), Ask::allocate());
    assert_eq!(reply.error(), 441);
    assert_eq!(net.ports.out.len(), 1);
}

#[test]
fn a_lifetime_is_between_ten_minutes_and_an_hour() {
    for (asked, given) in [(0, 600), (30, 600), (601, 601), (3600, 3600), (u32::MAX, 3600)] {
        let mut net = Net::new();
        let ask = Ask::allocate().with(kind::LIFETIME, &asked.to_be_bytes());
        assert_eq!(net.done(udp(1), ask).0.lifetime(), given);
        assert_eq!(net.next(), Some(Duration::from_secs(given.into())));
    }
}

#[test]
fn an_allocation_ends_with_its_lifetime() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    assert_eq!(net.pass(599), []);
    assert_eq!(net.pass(1), [Output::Remove { key }]);
    assert_eq!((net.ports.out.len(), net.server.allocations(), net.next()), (0, 0, None));
    net.refused(udp(1), Ask::refresh(600), 437);
}

#[test]
fn a_request_at_the_end_finds_the_allocation_gone_though_no_timer_ran() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    net.now += Duration::from_secs(600);
    let (reply, outputs) = net.ask(udp(1), Ask::refresh(600));
    assert_eq!((reply.error(), outputs), (437, vec![Output::Remove { key }]));
}

#[test]
fn each_family_is_relayed_and_an_unknown_one_is_refused() {
    let mut net = Net::new();
    for (at, family) in [(1, 1), (2, 2)] {
        let ask = Ask::allocate().family(kind::REQUESTED_ADDRESS_FAMILY, family);
        let relayed = net.done(udp(at), ask).0.relayed();
        assert_eq!((relayed.len(), relayed[0].is_ipv6()), (1, family == 2));
    }
    for family in [0, 3, 255] {
        let ask = Ask::allocate().family(kind::REQUESTED_ADDRESS_FAMILY, family);
        net.refused(udp(3), ask, 440);
    }
    net.ports.no_v6 = Some(LeaseError::Family);
    net.refused(udp(3), Ask::allocate().family(kind::REQUESTED_ADDRESS_FAMILY, 2), 440);
    net.ports.no_v4 = Some(LeaseError::Exhausted);
    net.refused(udp(3), Ask::allocate(), 508);
}

#[test]
fn an_additional_family_gives_two_addresses_or_one_and_why_not_the_other() {
    let both = Ask::allocate().family(kind::ADDITIONAL_ADDRESS_FAMILY, 2);
    let (family, full) = (Some(LeaseError::Family), Some(LeaseError::Exhausted));
    for (no_v4, no_v6, relayed, told) in [
        (None, None, 2, None),
        (None, family, 1, Some([2, 0, 4, 40])),
        (None, full, 1, Some([2, 0, 5, 8])),
        (family, None, 1, Some([1, 0, 4, 40])),
    ] {
        let mut net = Net::new();
        (net.ports.no_v4, net.ports.no_v6) = (no_v4, no_v6);
        let (reply, _) = net.done(udp(1), both.clone());
        assert_eq!(reply.relayed().len(), relayed);
        let error = reply.one(kind::ADDRESS_ERROR_CODE).map(|value| value[..4].to_vec());
        assert_eq!(error, told.map(Vec::from));
    }
    for (no_v4, no_v6, code) in [(family, family, 440), (full, full, 508), (family, full, 508)] {
        let mut net = Net::new();
        (net.ports.no_v4, net.ports.no_v6) = (no_v4, no_v6);
        net.refused(udp(1), both.clone(), code);
    }
}

#[test]
fn the_port_above_an_even_one_is_kept_for_who_has_the_token() {
    let mut net = Net::new();
    let (_, first) = net.allocated(udp(1), Ask::allocate().with(kind::EVEN_PORT, &[0x80]));
    assert!(net.ports.wants[0].even && net.ports.wants[0].pair);
    let token = first.one(kind::RESERVATION_TOKEN).unwrap().to_vec();
    let claim = Ask::allocate().with(kind::RESERVATION_TOKEN, &token);
    let (stranger, _) = net.ask_as("eve", "other", udp(2), claim.clone());
    assert_eq!(stranger.error(), 508, "it is another user's");
    net.refused(udp(2), Ask::allocate().with(kind::RESERVATION_TOKEN, &[9; 8]), 508);
    let (reply, _) = net.done(udp(2), claim.clone());
    assert_eq!(reply.relayed()[0].port(), first.relayed()[0].port() + 1);
    assert!(first.relayed()[0].port().is_multiple_of(2));
    net.refused(udp(3), claim, 508);

    let (alone, _) = net.done(udp(4), Ask::allocate().with(kind::EVEN_PORT, &[0]));
    assert_eq!(alone.one(kind::RESERVATION_TOKEN), None);
    let last = net.ports.wants.last().unwrap();
    assert!(last.even && !last.pair);
}

#[test]
fn a_kept_port_is_given_back_after_half_a_minute() {
    let mut net = Net::new();
    let (_, reply) = net.allocated(udp(1), Ask::allocate().with(kind::EVEN_PORT, &[0x80]));
    let token = reply.one(kind::RESERVATION_TOKEN).unwrap().to_vec();
    assert_eq!((net.ports.out.len(), net.next()), (2, Some(RESERVATION_LIFETIME)));
    assert_eq!(net.pass(30), []);
    assert_eq!(net.ports.out.len(), 1);
    net.refused(udp(2), Ask::allocate().with(kind::RESERVATION_TOKEN, &token), 508);
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let mut net = Net::new();
    let (v4, v6) = (|ask: Ask, kind| ask.family(kind, 1), |ask: Ask, kind| ask.family(kind, 2));
    let (requested, additional) = (kind::REQUESTED_ADDRESS_FAMILY, kind::ADDITIONAL_ADDRESS_FAMILY);
    let (udp_relay, token) = (Ask::allocate, [1u8; 8]);
    let with_token = || udp_relay().with(kind::RESERVATION_TOKEN, &token);
    for (ask, code) in [
        (Ask::new(Method::Allocate), 400),
        (Ask::new(Method::Allocate).with(kind::REQUESTED_TRANSPORT, &[17]), 400),
        (Ask::new(Method::Allocate).with(kind::REQUESTED_TRANSPORT, &[132, 0, 0, 0]), 442),
        (with_token().with(kind::EVEN_PORT, &[0x80]), 400),
        (v4(with_token(), requested), 400),
        (v6(with_token(), additional), 400),
        (v6(v4(udp_relay(), requested), additional), 400),
        (v4(udp_relay(), additional), 400),
        (v6(udp_relay(), additional).with(kind::EVEN_PORT, &[0x80]), 400),
        (udp_relay().with(kind::RESERVATION_TOKEN, &[1; 7]), 400),
        (udp_relay().with(kind::EVEN_PORT, &[]), 400),
        (udp_relay().with(kind::LIFETIME, &[1]), 400),
        (udp_relay().with(kind::DONT_FRAGMENT, &[1]), 400),
        (udp_relay().with(kind::MOBILITY_TICKET, &[1]), 400),
        (Ask::allocate_tcp(), 400),
    ] {
        net.refused(udp(1), ask, code);
    }
    for ask in [
        Ask::allocate_tcp().with(kind::EVEN_PORT, &[0]),
        Ask::allocate_tcp().with(kind::RESERVATION_TOKEN, &token),
        Ask::allocate_tcp().with(kind::DONT_FRAGMENT, &[]),
    ] {
        net.refused(tcp(1), ask, 400);
    }
    assert_eq!((net.ports.wants.len(), net.server.counts().refused), (0, 18));
}

#[test]
fn an_attribute_that_must_be_understood_and_is_not_is_named() {
    let mut net = Net::new();
    let ask = Ask::allocate().with(0x7f01, &[]).with(0x001e, &[0; 32]).with(0xff01, &[]);
    let reply = net.refused(udp(1), ask, 420);
    assert_eq!(reply.one(attribute::UNKNOWN_ATTRIBUTES), Some([0x7f, 0x01, 0x00, 0x1e].as_slice()));
    let many = (0..20).fold(Ask::allocate(), |ask, n| ask.with(0x7000 + n, &[]));
    let reply = net.refused(udp(1), many, 420);
    assert_eq!(reply.one(attribute::UNKNOWN_ATTRIBUTES).map(<[u8]>::len), Some(16));
    net.done(udp(1), Ask::allocate().with(0xff01, &[1, 2, 3]));
}

#[test]
fn an_allocation_that_is_refused_or_lost_by_the_engine_is_forgotten() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    net.server.lost(key, &mut net.ports);
    net.server.lost(key, &mut net.ports);
    assert_eq!((net.outputs(), net.ports.out.len(), net.next()), (Vec::new(), 0, None));
    net.refused(udp(1), Ask::refresh(600), 437);
    net.allocated(udp(1), Ask::allocate());
}

#[test]
fn an_allocation_ends_with_the_stream_that_it_was_made_by() {
    let mut net = Net::new();
    let (key, _) = net.allocated(tcp(1), Ask::allocate());
    net.server.closed(net.now, &tcp(2), &mut net.ports);
    assert_eq!(net.outputs(), []);
    net.server.closed(net.now, &tcp(1), &mut net.ports);
    assert_eq!((net.outputs(), net.ports.out.len()), (vec![Output::Remove { key }], 0));
}

#[test]
fn without_tcp_relays_and_mobility_those_who_ask_for_them_hear_so() {
    let off =
        Settings { tcp_relays: false, mobility: false, ..settings(Policy::default(), limits()) };
    let mut net = Net::with(off);
    net.refused(tcp(1), Ask::allocate_tcp(), 442);
    net.refused(udp(1), Ask::allocate().with(kind::MOBILITY_TICKET, &[]), 405);
    net.allocated(udp(1), Ask::allocate());
    net.refused(udp(1), Ask::refresh(600).with(kind::MOBILITY_TICKET, &[1; 16]), 405);
}

/// SOFTWARE (RFC 8489 §14.14).
const SOFTWARE: u16 = 0x8022;
