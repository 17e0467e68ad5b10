use super::*;

#[test]
fn a_refresh_prolongs_from_now_on() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    net.pass(500);
    let (reply, outputs) = net.done(udp(1), Ask::refresh(900));
    assert_eq!((reply.lifetime(), outputs), (900, Vec::new()));
    assert_eq!(net.next(), Some(Duration::from_secs(900)));
    assert_eq!(net.done(udp(1), Ask::new(Method::Refresh)).0.lifetime(), 600);
    assert_eq!(net.pass(600), [Output::Remove { key }]);
}

#[test]
fn a_refresh_with_a_lifetime_of_nothing_ends_the_allocation() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    net.done(udp(1), Ask::permission(&[PEER]));
    let (reply, outputs) = net.done(udp(1), Ask::refresh(0));
    assert_eq!((reply.lifetime(), outputs), (0, vec![Output::Remove { key }]));
    assert_eq!((net.ports.out.len(), net.next()), (0, None));
    net.refused(udp(1), Ask::refresh(0), 437);
}

#[test]
fn what_is_asked_of_no_allocation_or_of_anothers_is_refused() {
    let mut net = Net::new();
    let all = || {
        [
            Ask::refresh(600),
            Ask::permission(&[PEER]),
            Ask::channel(0x4000, PEER),
            Ask::new(Method::Connect).peer(PEER),
        ]
    };
    all().into_iter().for_each(|ask| _ = net.refused(udp(1), ask, 437));
    net.allocated(udp(1), Ask::allocate());
    for ask in all() {
        let (reply, outputs) = net.ask_as("eve", "other", udp(1), ask);
        assert_eq!((reply.error(), outputs), (441, Vec::new()));
    }
    all().into_iter().for_each(|ask| _ = net.refused(tcp(1), ask, 437));
}

#[test]
fn a_refresh_names_a_family_that_the_allocation_has() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    let of = |seconds, family| Ask::refresh(seconds).family(kind::REQUESTED_ADDRESS_FAMILY, family);
    net.refused(udp(1), of(600, 2), 443);
    net.refused(udp(1), of(0, 2), 443);
    net.refused(udp(1), of(600, 7), 440);
    net.done(udp(1), of(600, 1));
    assert_eq!(net.done(udp(1), of(0, 1)).1, [Output::Remove { key }]);
}

#[test]
fn one_family_of_two_can_end_alone() {
    let mut net = Net::new();
    let both = Ask::allocate().family(kind::ADDITIONAL_ADDRESS_FAMILY, 2);
    let (key, reply) = net.allocated(udp(1), both);
    net.done(udp(1), Ask::permission(&[PEER, PEER_V6]));
    net.done(udp(1), Ask::channel(0x4000, PEER));
    let of = |family| Ask::refresh(0).family(kind::REQUESTED_ADDRESS_FAMILY, family);
    let (_, outputs) = net.done(udp(1), of(1));
    let peer: SocketAddr = PEER.parse().unwrap();
    assert_eq!(
        outputs,
        [
            Output::Withdraw { key, relay: Relay { id: 0, relayed: reply.relayed()[0] } },
            Output::Unbind { key, channel: 0x4000 },
            Output::Forbid { key, peer: peer.ip() },
        ]
    );
    assert_eq!(net.ports.out.len(), 1);
    net.refused(udp(1), Ask::permission(&[PEER]), 443);
    net.done(udp(1), Ask::permission(&[PEER_V6]));
    net.refused(udp(1), of(1), 443);
    assert_eq!(net.done(udp(1), of(2)).1, [Output::Remove { key }]);
    assert_eq!(net.ports.out.len(), 0);
}
