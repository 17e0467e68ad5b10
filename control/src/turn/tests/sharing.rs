use super::*;

const USERS: Rate = Rate { bytes: 1200, packets: 120 };
const NODES: Rate = Rate { bytes: 1000, packets: 0 };

fn shared() -> Net {
    let limits = Limits { user_allocations: 3, allocations: 4, user_rate: USERS, rate: NODES };
    Net::with(settings(Policy::default(), limits))
}

fn rates(outputs: &[Output]) -> Vec<(u64, u64)> {
    let of = |output: &Output| match output {
        Output::Install { key, rate, .. } | Output::SetRate { key, rate } => {
            Some((key.0, rate.bytes))
        }
        _ => None,
    };
    outputs.iter().filter_map(of).collect()
}

#[test]
fn a_users_rate_is_divided_anew_whenever_an_allocation_comes_or_goes() {
    let mut net = shared();
    assert_eq!(rates(&net.done(udp(1), Ask::allocate()).1), [(1, 1000)], "the node's is less");
    assert_eq!(rates(&net.done(udp(2), Ask::allocate()).1), [(1, 600), (2, 600)]);
    let (_, outputs) = net.ask_as("eve", "other", udp(9), Ask::allocate());
    assert_eq!(rates(&outputs), [(3, 1000)], "another user has a rate of its own");
    assert_eq!(rates(&net.done(udp(3), Ask::allocate()).1), [(1, 400), (2, 400), (4, 400)]);
    assert_eq!(rates(&net.done(udp(1), Ask::refresh(0)).1), [(2, 600), (4, 600)]);
    net.server.lost(Key(2), &mut net.ports);
    assert_eq!(rates(&net.outputs()), [(4, 1000)]);
}

#[test]
fn a_user_beyond_its_quota_hears_so_and_a_full_node_too() {
    let mut net = shared();
    for n in 1..=3 {
        net.done(udp(n), Ask::allocate());
    }
    net.refused(udp(4), Ask::allocate(), 486);
    assert_eq!(net.ask_as("eve", "other", udp(5), Ask::allocate()).0.error(), 0);
    assert_eq!(net.ask_as("eve", "other", udp(6), Ask::allocate()).0.error(), 508);
    net.done(udp(1), Ask::refresh(0));
    assert_eq!(net.ask_as("eve", "other", udp(6), Ask::allocate()).0.error(), 0);
}

#[test]
fn a_kept_port_counts_until_it_is_claimed_or_given_back() {
    let mut net = shared();
    let pair = || Ask::allocate().with(kind::EVEN_PORT, &[0x80]);
    let (reply, _) = net.done(udp(1), pair());
    net.refused(udp(2), pair(), 486);
    let token = reply.one(kind::RESERVATION_TOKEN).unwrap().to_vec();
    net.done(udp(2), Ask::allocate().with(kind::RESERVATION_TOKEN, &token));
    net.done(udp(3), Ask::allocate());
    net.done(udp(1), Ask::refresh(0));
    net.done(udp(2), Ask::refresh(0));
    net.done(udp(1), pair());
    net.refused(udp(2), Ask::allocate(), 486);
    net.pass(30);
    net.done(udp(2), Ask::allocate());
}
