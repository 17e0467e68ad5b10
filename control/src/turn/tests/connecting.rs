use super::*;

fn connect() -> Ask {
    Ask::new(Method::Connect).peer(PEER)
}

fn bind(connection: ConnectionId) -> Ask {
    Ask::new(Method::ConnectionBind).with(kind::CONNECTION_ID, &connection.0.to_be_bytes())
}

fn peer() -> SocketAddr {
    PEER.parse().unwrap()
}

/// An allocation of a TCP relay on `tcp(1)`.
fn relay() -> (Net, Key) {
    let mut net = Net::new();
    let (key, reply) = net.allocated(tcp(1), Ask::allocate_tcp());
    assert_eq!(net.ports.wants[0].transport, RelayTransport::Tcp);
    assert_eq!(reply.relayed().len(), 1);
    (net, key)
}

/// Asks to connect; there is no answer yet.
fn connecting(net: &mut Net, key: Key, ask: Ask) -> ConnectionId {
    let to = ask.peers[0];
    let bytes = ask.signed(net.transaction(), "bob", &key_of("bob", "secret"));
    match *net.give(tcp(1), &bytes) {
        [Output::Connect { key: of, connection, peer }] if of == key && peer == to => connection,
        ref outputs => panic!("{outputs:?}"),
    }
}

/// Says how it went and gives what the client hears.
fn outcome(net: &mut Net, id: ConnectionId, outcome: Result<(), ()>) -> (Reply, Vec<Output>) {
    net.server.connected(net.now, id, outcome);
    let mut outputs = net.outputs();
    (take_reply(&mut outputs, tcp(1), &key_of("bob", "secret")).unwrap(), outputs)
}

fn unbound(net: &mut Net, key: Key) -> ConnectionId {
    let id = connecting(net, key, connect());
    let (reply, outputs) = outcome(net, id, Ok(()));
    assert_eq!((reply.error(), reply.connection(), outputs), (0, id, Vec::new()));
    id
}

#[test]
fn a_connection_is_made_bound_and_joined_after_the_answer() {
    let (mut net, key) = relay();
    let id = unbound(&mut net, key);
    let bytes = bind(id).signed(net.transaction(), "bob", &key_of("bob", "secret"));
    let outputs = net.give(tcp(2), &bytes);
    assert!(matches!(outputs[0], Output::Reply { client, .. } if client == tcp(2)));
    assert_eq!(outputs[1..], [Output::Join { connection: id, client: tcp(2) }]);
    net.done(tcp(1), Ask::refresh(3600));
    assert_eq!((net.pass(1000), net.server.connections()), (Vec::new(), 1));
    net.server.closed(net.now, &tcp(2), &mut net.ports);
    assert_eq!(net.outputs(), [Output::Drop { connection: id }]);
    assert_eq!(net.server.connections(), 0);
    unbound(&mut net, key);
}

#[test]
fn a_peer_that_refuses_or_does_not_answer_is_a_failure() {
    let (mut net, key) = relay();
    let id = connecting(&mut net, key, connect());
    let (reply, outputs) = outcome(&mut net, id, Err(()));
    assert_eq!((reply.error(), outputs), (447, vec![Output::Drop { connection: id }]));

    let id = connecting(&mut net, key, connect());
    assert_eq!(net.next(), Some(CONNECT_TIMEOUT));
    let mut outputs = net.pass(30);
    let reply = take_reply(&mut outputs, tcp(1), &key_of("bob", "secret")).unwrap();
    assert_eq!((reply.error(), outputs), (447, vec![Output::Drop { connection: id }]));
    net.server.connected(net.now, id, Ok(()));
    assert_eq!(net.outputs(), [], "too late");
}

#[test]
fn a_connection_that_nobody_binds_is_dropped() {
    let (mut net, key) = relay();
    let id = unbound(&mut net, key);
    assert_eq!(net.pass(29), []);
    assert_eq!(net.pass(1), [Output::Drop { connection: id }]);
    net.refused(tcp(2), bind(id), 400);
}

#[test]
fn there_is_one_connection_to_a_peer_at_a_time() {
    let (mut net, key) = relay();
    let id = connecting(&mut net, key, connect());
    net.refused(tcp(1), connect(), 446);
    outcome(&mut net, id, Ok(()));
    net.refused(tcp(1), connect(), 446);
    net.done(tcp(2), bind(id));
    net.refused(tcp(1), connect(), 446);
    net.server.disconnected(id);
    assert_eq!(net.outputs(), [Output::Drop { connection: id }]);
    connecting(&mut net, key, connect());
}

#[test]
fn connections_that_may_not_be_are_refused() {
    let (mut net, _) = relay();
    net.refused(tcp(1), Ask::new(Method::Connect), 400);
    net.refused(tcp(1), Ask::new(Method::Connect).peer("203.0.113.9:0"), 400);
    net.refused(tcp(1), Ask::new(Method::Connect).peer("169.254.169.254:80"), 403);
    net.refused(tcp(1), Ask::new(Method::Connect).peer(PEER_V6), 443);
    net.refused(tcp(1), Ask::channel(0x4000, PEER), 400);
    net.allocated(tcp(5), Ask::allocate());
    net.refused(tcp(5), connect(), 437);
}

#[test]
fn an_allocation_has_so_many_connections_and_no_more() {
    let (mut net, key) = relay();
    let to = |n: usize| Ask::new(Method::Connect).peer(&format!("203.0.113.9:{}", 1 + n));
    let first = connecting(&mut net, key, to(0));
    (1..CONNECTIONS_PER_ALLOCATION).for_each(|n| _ = connecting(&mut net, key, to(n)));
    net.refused(tcp(1), to(CONNECTIONS_PER_ALLOCATION), 508);
    outcome(&mut net, first, Err(()));
    connecting(&mut net, key, to(CONNECTIONS_PER_ALLOCATION));
}

#[test]
fn a_stream_is_bound_by_who_has_the_allocation_and_once() {
    let (mut net, key) = relay();
    let id = unbound(&mut net, key);
    net.refused(udp(2), bind(id), 400);
    net.refused(tcp(1), bind(id), 400);
    net.refused(tcp(2), Ask::new(Method::ConnectionBind), 400);
    net.refused(tcp(2), bind(ConnectionId(id.0 ^ 1)), 400);
    assert_eq!(net.ask_as("eve", "other", tcp(2), bind(id)).0.error(), 441);
    net.done(tcp(2), bind(id));
    net.refused(tcp(3), bind(id), 400);
    net.refused(tcp(2), bind(id), 400);
    net.refused(tcp(2), Ask::allocate(), 400);
}

#[test]
fn a_peer_that_is_permitted_may_connect_and_its_client_hears_of_it() {
    let (mut net, key) = relay();
    assert_eq!(net.server.accepted(net.now, key, peer()), None, "there is no permission");
    net.done(tcp(1), Ask::permission(&[PEER]));
    let id = net.server.accepted(net.now, key, peer()).unwrap();
    let mut outputs = net.outputs();
    let attempt = take_reply(&mut outputs, tcp(1), &key_of("bob", "secret")).unwrap();
    let message = attempt.message();
    assert_eq!((message.class, message.method), (Class::Indication, 0x00c));
    let from = unxor(attempt.one(kind::XOR_PEER_ADDRESS).unwrap(), message.transaction);
    assert_eq!((attempt.connection(), from, outputs), (id, Some(peer()), Vec::new()));
    net.done(tcp(2), bind(id));
    let late = net.server.accepted(net.now, key, peer()).unwrap();
    net.outputs();
    assert_eq!(net.pass(30), [Output::Drop { connection: late }]);
    assert_eq!(net.server.accepted(net.now, Key(99), peer()), None);
    assert_eq!(net.server.counts().unwelcome, 2);
}

#[test]
fn connections_end_with_their_allocation() {
    let (mut net, key) = relay();
    let bound = unbound(&mut net, key);
    net.done(tcp(2), bind(bound));
    let waiting = connecting(&mut net, key, Ask::new(Method::Connect).peer("203.0.113.9:1"));
    net.server.closed(net.now, &tcp(1), &mut net.ports);
    let mut outputs = net.outputs();
    assert_eq!(take_reply(&mut outputs, tcp(1), &key_of("bob", "secret")).unwrap().error(), 447);
    let dropped = [bound, waiting].map(|connection| Output::Drop { connection });
    assert_eq!(outputs, [&dropped[..], &[Output::Remove { key }]].concat());
    assert_eq!((net.server.connections(), net.next()), (0, None));
    net.server.closed(net.now, &tcp(2), &mut net.ports);
    assert_eq!(net.outputs(), []);
}
