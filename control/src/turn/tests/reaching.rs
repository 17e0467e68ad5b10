use causeway_engine::config::{CHANNELS_PER_ALLOCATION, PERMISSIONS_PER_ALLOCATION};

use super::*;

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn permissions_are_told_when_they_come_and_when_they_go() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    let (one, other) = (peer("203.0.113.9:1"), peer("203.0.113.10:1"));
    let ask = Ask::permission(&["203.0.113.9:1", "203.0.113.9:2", "203.0.113.10:1"]);
    let (_, outputs) = net.done(udp(1), ask);
    let permit = |peer: SocketAddr| Output::Permit { key, peer: peer.ip() };
    assert_eq!(outputs, [permit(one), permit(other)]);
    assert_eq!(net.pass(200), []);
    assert_eq!(net.done(udp(1), Ask::permission(&["203.0.113.9:7"])).1, [], "it is only prolonged");
    assert_eq!(net.pass(100), [Output::Forbid { key, peer: other.ip() }]);
    assert_eq!(net.next(), Some(Duration::from_secs(200)));
    assert_eq!(net.pass(200), [Output::Forbid { key, peer: one.ip() }]);
}

#[test]
fn all_peers_of_a_request_are_permitted_or_none() {
    let mut net = Net::new();
    net.allocated(udp(1), Ask::allocate());
    net.refused(udp(1), Ask::permission(&[PEER, "10.0.0.1:5"]), 403);
    net.refused(udp(1), Ask::permission(&[PEER, PEER_V6]), 443);
    net.refused(udp(1), Ask::permission(&[]), 400);
    net.refused(udp(1), Ask::permission(&[PEER]).with(kind::XOR_PEER_ADDRESS, &[0, 3, 0, 0]), 400);
    assert_eq!(net.next(), Some(DEFAULT_LIFETIME), "nothing but the allocation itself ends");
}

#[test]
fn an_allocation_has_so_many_permissions_and_no_more() {
    let mut net = Net::new();
    net.allocated(udp(1), Ask::allocate());
    let peers: Vec<_> =
        (0..=PERMISSIONS_PER_ALLOCATION).map(|n| format!("203.0.113.{n}:9")).collect();
    let peers: Vec<_> = peers.iter().map(String::as_str).collect();
    net.refused(udp(1), Ask::permission(&peers), 508);
    net.done(udp(1), Ask::permission(&peers[1..]));
    net.refused(udp(1), Ask::permission(&[peers[1], peers[0]]), 508);
    net.refused(udp(1), Ask::channel(0x4000, peers[0]), 508);
    net.done(udp(1), Ask::permission(&peers[1..]));
    net.done(udp(1), Ask::channel(0x4000, peers[1]));
    net.pass(300);
    net.done(udp(1), Ask::permission(&[peers[0]]));
}

#[test]
fn a_channel_permits_its_peer_and_outlives_the_permission() {
    let mut net = Net::new();
    let (key, _) = net.allocated(udp(1), Ask::allocate());
    let (_, outputs) = net.done(udp(1), Ask::channel(0x4000, PEER));
    let ip = peer(PEER).ip();
    let bind = Output::Bind { key, channel: 0x4000, peer: peer(PEER) };
    assert_eq!(outputs, [Output::Permit { key, peer: ip }, bind]);
    net.done(udp(1), Ask::refresh(3600));
    assert_eq!(net.pass(300), [Output::Forbid { key, peer: ip }]);
    assert_eq!(net.done(udp(1), Ask::channel(0x4000, PEER)).1, [Output::Permit { key, peer: ip }]);
    assert_eq!(net.pass(300), [Output::Forbid { key, peer: ip }], "the channel was prolonged");
    assert_eq!(net.pass(300), [Output::Unbind { key, channel: 0x4000 }]);
    net.done(udp(1), Ask::channel(0x4001, PEER));
}

#[test]
fn a_number_and_a_peer_are_bound_to_each_other_alone() {
    let mut net = Net::new();
    net.allocated(udp(1), Ask::allocate());
    net.done(udp(1), Ask::channel(0x4000, PEER));
    net.refused(udp(1), Ask::channel(0x4001, PEER), 400);
    net.refused(udp(1), Ask::channel(0x4000, "203.0.113.10:5000"), 400);
    net.done(udp(1), Ask::channel(0x4001, "203.0.113.9:5001"));
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        net.refused(udp(1), Ask::channel(number, "203.0.113.9:5002"), 400);
    }
    net.done(udp(1), Ask::channel(0x7fff, "203.0.113.9:5002"));
    net.refused(udp(1), Ask::new(Method::ChannelBind).peer("203.0.113.9:9"), 400);
    net.refused(udp(1), Ask::new(Method::ChannelBind).number(0x4009), 400);
    net.refused(udp(1), Ask::channel(0x4009, "203.0.113.9:0"), 400);
    net.refused(udp(1), Ask::channel(0x4009, "192.168.1.1:9"), 403);
    net.refused(udp(1), Ask::channel(0x4009, PEER_V6), 443);
}

#[test]
fn an_allocation_has_so_many_channels_and_no_more() {
    let mut net = Net::new();
    net.allocated(udp(1), Ask::allocate());
    let all = CHANNELS_PER_ALLOCATION as u16;
    for n in 0..all {
        net.done(udp(1), Ask::channel(0x4000 + n, &format!("203.0.113.9:{}", 1 + n)));
    }
    net.refused(udp(1), Ask::channel(0x4000 + all, "203.0.113.9:9999"), 508);
    net.done(udp(1), Ask::channel(0x4000, "203.0.113.9:1"));
}

#[test]
fn where_only_media_is_relayed_to_nothing_else_is_reached() {
    let own = vec!["10.0.0.5".parse().unwrap()];
    let policy = Policy { media_only: true, own, ..Policy::default() };
    let mut net = Net::with(settings(policy, limits()));
    net.allocated(udp(1), Ask::allocate());
    net.refused(udp(1), Ask::permission(&[PEER]), 403);
    net.done(udp(1), Ask::permission(&["10.0.0.5:40500"]));
    net.server.set_own(vec![peer(PEER).ip()]);
    net.done(udp(1), Ask::permission(&[PEER]));
    net.refused(udp(1), Ask::permission(&["10.0.0.5:40500"]), 403);
}
