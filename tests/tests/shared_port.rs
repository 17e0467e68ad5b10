//! One UDP port, beside the TCP port that everything shares, for the media of all workers: whichever of them
//! the kernel gives a datagram to, the leg that it is for gets it.

use causeway_control::config::Edge;
use causeway_tests::guest::Guest;
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::peer::{Flow, MediaKind, Spec};

const WORKERS: usize = 3;
/// Enough that the kernel gives some legs' datagrams to each worker.
const CALLS: u32 = 6;
/// Packets of each kind and leg.
const PACKETS: u32 = 60;

#[test]
fn calls_of_all_workers_meet_on_one_port() {
    let listen = "127.0.0.1:0".parse().ok();
    let edge = Edge { listen, ..Edge::default() };
    let node = LocalNode::start(&Setup { workers: WORKERS, edge, ..Setup::default() });
    let port = node.edge.map(|edge| edge.port());
    let spec = Spec { port, ..Spec::default() };
    let mut calls: Vec<[Guest; 2]> = (0..CALLS)
        .map(|_| {
            let call = node.call();
            ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &spec))
        })
        .collect();
    for guest in calls.iter().flatten() {
        guest.peer.wait("connected", |seen| seen.connected);
    }
    // A peer has its keys before the worker has: what it sends between has nowhere to go.
    for guest in calls.iter_mut().flatten() {
        node.wait("keys", |_| guest.view()["state"] == "connected");
    }
    for (sender, guest) in (1..).zip(calls.iter().flatten()) {
        guest.peer.send(Flow::audio(sender).count(PACKETS));
        guest.peer.send(Flow::video(sender).count(PACKETS));
    }
    for ([one, other], sender) in calls.iter().zip((1..).step_by(2)) {
        for (guest, far) in [(one, sender + 1), (other, sender)] {
            let seen = guest.peer.wait(&format!("all of {far}"), |seen| {
                [&seen.audio, &seen.video].iter().all(|came| came.of(far) == PACKETS as usize)
            });
            assert_eq!(
                (seen.of(MediaKind::Audio).broken, seen.of(MediaKind::Video).broken),
                (0, 0)
            );
        }
    }
    let stats = node.wait("each worker took something in", |stats| {
        let workers = stats["workers"].as_array().expect("workers");
        workers.iter().all(|worker| worker["packets_in"] != 0)
    });
    for worker in stats["workers"].as_array().expect("workers") {
        assert_eq!(worker["drops"]["hop_ring"], 0, "{worker}");
    }
}
