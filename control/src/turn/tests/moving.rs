use super::*;

fn mobile() -> Ask {
    Ask::allocate().with(kind::MOBILITY_TICKET, &[])
}

fn with_ticket(ticket: &[u8]) -> Ask {
    Ask::refresh(600).with(kind::MOBILITY_TICKET, ticket)
}

fn ticket(reply: &Reply) -> Vec<u8> {
    reply.one(kind::MOBILITY_TICKET).unwrap().to_vec()
}

#[test]
fn a_ticket_takes_an_allocation_along_with_all_that_it_reaches() {
    let mut net = Net::new();
    let (key, reply) = net.allocated(udp(1), mobile());
    net.done(udp(1), Ask::channel(0x4000, PEER));
    let elsewhere = Client { thread: WorkerId(3), ..tcp(9) };
    let (moved, outputs) = net.done(elsewhere, with_ticket(&ticket(&reply)));
    let peer: SocketAddr = PEER.parse().unwrap();
    assert_eq!(
        outputs,
        [
            Output::Move { key, client: elsewhere },
            Output::Permit { key, peer: peer.ip() },
            Output::Bind { key, channel: 0x4000, peer },
        ]
    );
    assert_ne!(ticket(&moved), ticket(&reply));
    net.refused(udp(1), Ask::refresh(600), 437);
    net.done(elsewhere, Ask::refresh(600));
    net.allocated(udp(1), Ask::allocate());
}

#[test]
fn a_request_that_moved_an_allocation_can_come_again() {
    let mut net = Net::new();
    let (_, reply) = net.allocated(udp(1), mobile());
    let first = ticket(&reply);
    let second = ticket(&net.done(udp(2), with_ticket(&first)).0);
    let (again, outputs) = net.done(udp(2), with_ticket(&first));
    assert_eq!((ticket(&again), outputs), (second.clone(), Vec::new()));
    // The answer was lost, and the client has moved on.
    let third = ticket(&net.done(udp(3), with_ticket(&first)).0);
    net.done(udp(4), with_ticket(&third));
    net.refused(udp(5), with_ticket(&first), 400);
    assert_ne!(second, third);
}

#[test]
fn tickets_that_are_none_or_anothers_move_nothing() {
    let mut net = Net::new();
    let (_, reply) = net.allocated(udp(1), mobile());
    let mine = ticket(&reply);
    for wrong in [&[][..], &[0; 16], &mine[..15], &[&mine[..], &[0]].concat()] {
        net.refused(udp(2), with_ticket(wrong), 400);
    }
    let (reply, outputs) = net.ask_as("eve", "other", udp(2), with_ticket(&mine));
    assert_eq!((reply.error(), outputs), (441, Vec::new()));
    net.allocated(udp(3), Ask::allocate());
    net.refused(udp(3), with_ticket(&mine), 437);
    net.done(udp(1), Ask::refresh(0));
    net.refused(udp(2), with_ticket(&mine), 400);
}

#[test]
fn a_mobile_allocation_waits_for_its_client_until_its_lifetime_is_over() {
    let mut net = Net::new();
    let (key, reply) = net.allocated(tcp(1), mobile());
    net.server.closed(net.now, &tcp(1), &mut net.ports);
    assert_eq!(net.outputs(), []);
    net.refused(tcp(1), Ask::refresh(600), 437);
    let (moved, _) = net.done(tcp(2), with_ticket(&ticket(&reply)));
    net.server.closed(net.now, &tcp(2), &mut net.ports);
    assert_eq!(net.pass(600), [Output::Remove { key }]);
    assert_eq!(net.ports.out.len(), 0);
    net.refused(tcp(3), with_ticket(&ticket(&moved)), 400);
}

#[test]
fn an_allocation_can_end_from_where_its_client_came_to() {
    let mut net = Net::new();
    let (key, reply) = net.allocated(udp(1), mobile());
    let end = Ask::refresh(0).with(kind::MOBILITY_TICKET, &ticket(&reply));
    assert_eq!(net.done(udp(2), end).1, [Output::Remove { key }]);
    net.allocated(udp(1), Ask::allocate());
}

#[test]
fn an_allocation_that_asked_for_no_ticket_has_none() {
    let mut net = Net::new();
    let (_, reply) = net.allocated(udp(1), Ask::allocate());
    assert_eq!(reply.one(kind::MOBILITY_TICKET), None);
    assert_eq!(net.done(udp(1), Ask::refresh(600)).0.one(kind::MOBILITY_TICKET), None);
}

#[test]
fn a_tcp_relay_moves_to_a_stream_alone() {
    let mut net = Net::new();
    let (_, reply) = net.allocated(tcp(1), Ask::allocate_tcp().with(kind::MOBILITY_TICKET, &[]));
    net.refused(udp(2), with_ticket(&ticket(&reply)), 400);
    net.done(tcp(2), with_ticket(&ticket(&reply)));
}
