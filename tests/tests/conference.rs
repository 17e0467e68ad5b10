//! Calls of more than two peers of another stack, through a node, over REST.

use causeway_control::api::{LEGS_PER_CALL, LegState, Lines, What};
use causeway_tests::guest::{Guest, mids, ssrcs};
use causeway_tests::local::{Ears, LocalNode, Setup};
use causeway_tests::peer::{Flow, Line, MediaKind, Spec};
use serde_json::{Value, json};

/// Packets of each kind that a test lets pass.
const PACKETS: u32 = 60;
const KINDS: [MediaKind; 2] = [MediaKind::Audio, MediaKind::Video];

#[test]
fn three_peers_each_receive_the_two_others_on_lines_of_their_own() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let mut guests = gather(&node, &mut ears, &call, 3);
    talk(&guests, &[1, 2, 3]);
    for (place, guest) in guests.iter_mut().enumerate() {
        let view = guest.view();
        assert_eq!(view["wants"], Value::Null, "{view}");
        let received = view["receives"].as_array().unwrap();
        assert_eq!(received.len(), 4, "{view}");
        assert!(received.iter().all(|one| one["from"] != *guest.leg), "{view}");
        let seen = guest.peer.seen();
        for kind in KINDS {
            let came = seen.of(kind);
            assert_eq!((came.broken, came.of(place as u32 + 1)), (0, 0), "{kind:?}");
            assert_eq!(came.ssrcs.len(), 2, "one of the node's SSRCs for each other leg");
            assert!(came.ssrcs.iter().all(|ssrc| ssrcs(&guest.nodes).contains(ssrc)));
            assert!(came.mids.iter().all(|mid| mids(&guest.nodes).contains(&mid.as_str())));
        }
    }
}

#[test]
fn a_peer_that_comes_where_another_left_is_received_without_a_new_offer() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let mut guests = gather(&node, &mut ears, &call, 3);
    talk(&guests, &[1, 2, 3]);
    let before = guests[0].peer.seen();
    let mut left = guests.remove(1);
    left.leave();
    assert_eq!(guests[0].view()["state"], "connected", "two remain, and so does the call");

    let mut door = node.listen();
    let late = Guest::join(node.http, &call, "late", &Spec::default());
    connected(&mut door, &late);
    let from = late.leg.clone();
    ears.hear("the first guest's line has another source", |what| {
        matches!(what, What::LegChanged { leg, .. }
            if leg.id == guests[0].leg && leg.receives.iter().any(|one| one.from == from))
    });
    late.peer.send(Flow::audio(4).count(PACKETS));
    late.peer.send(Flow::video(4));
    let seen = guests[0]
        .peer
        .wait("the late one", |seen| seen.audio.of(4) == PACKETS as usize && seen.video.of(4) > 10);
    for kind in KINDS {
        assert_eq!(seen.of(kind).ssrcs, before.of(kind).ssrcs, "the lines keep their SSRCs");
        assert_eq!(seen.of(kind).broken, 0);
    }
}

#[test]
fn a_line_that_is_paused_stands_still_and_goes_on_when_it_is_asked_for_again() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let mut guests = gather(&node, &mut ears, &call, 3);
    let view = guests[0].view();
    let lines = view["receives"].as_array().unwrap();
    let video = lines.iter().find(|one| one["kind"] == "video" && one["from"] == *guests[1].leg);
    let mid = video.unwrap()["mid"].as_str().unwrap().to_owned();
    for (sender, guest) in (1..).zip(&guests) {
        guest.peer.send(Flow::video(sender));
    }
    guests[0].peer.wait("both others", |seen| seen.video.of(2) > 10 && seen.video.of(3) > 10);

    let view = guests[0].ask(&mid, &json!({ "paused": true })).ok();
    let paused = view["receives"].as_array().unwrap().iter().filter(|one| one["paused"] == true);
    assert_eq!(paused.count(), 1, "{view}");
    // What was on its way comes before what is sent later on the other line.
    let more = |guest: &Guest| {
        let heard = guest.peer.seen().video.of(3);
        guest.peer.wait("the other line", |seen| seen.video.of(3) > heard + 30);
    };
    more(&guests[0]);
    let before = guests[0].peer.seen().video.of(2);
    more(&guests[0]);
    assert_eq!(guests[0].peer.seen().video.of(2), before, "a paused line gets nothing");
    let heard = guests[2].peer.seen().video.of(2);
    guests[2].peer.wait("the others go on", |seen| seen.video.of(2) > heard + 10);

    guests[0].ask(&mid, &json!({})).ok();
    guests[0].peer.wait("it comes again", |seen| seen.video.of(2) > before + 10);
    let refused = guests[0].ask(&mid, &json!({ "layer": "h" }));
    assert_eq!((refused.status, refused.problem()), (422, ("no-such-layer", "layer")));
}

#[test]
fn who_only_sends_and_who_only_receives_meet() {
    use causeway_tests::peer::Direction::{RecvOnly, SendOnly};
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let lines = |direction| Line::CALL.map(|line| Line { direction, ..line });
    let join = |role, direction| {
        Guest::join_with(node.http, &call, role, &Spec::default(), &lines(direction))
    };
    let doors = [(); 3].map(|()| node.listen());
    let mut publisher = join("publisher", SendOnly);
    let viewers = [join("viewer", RecvOnly), join("viewer", RecvOnly)];
    for (mut door, guest) in doors.into_iter().zip([&publisher].into_iter().chain(&viewers)) {
        connected(&mut door, guest);
    }
    publisher.peer.send(Flow::audio(1).count(PACKETS));
    publisher.peer.send(Flow::video(1).count(PACKETS));
    for viewer in &viewers {
        viewer.peer.wait("all of it", |seen| {
            KINDS.iter().all(|kind| seen.of(*kind).of(1) == PACKETS as usize)
        });
    }
    let view = publisher.view();
    assert_eq!((&view["held"], &view["wants"]), (&json!(false), &Value::Null), "{view}");
    assert_eq!(view["receives"], json!([]));
}

#[test]
fn a_full_call_has_room_again_when_one_leaves() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let join = || Guest::join_with(node.http, &call, "guest", &Spec::default(), &Line::TALK);
    let mut guests: Vec<_> = (0..LEGS_PER_CALL).map(|_| join()).collect();
    let offer = json!({ "offer": guests[0].own });
    let path = format!("/v1/calls/{call}/legs");
    let refused = node.client().post(&path, &offer);
    assert_eq!((refused.status, refused.problem().0), (409, "conflict"));
    guests.pop().unwrap().leave();
    node.client().post(&path, &offer).ok();
}

/// Connected guests, each with as many lines as the node says that it needs.
#[track_caller]
fn gather(node: &LocalNode, ears: &mut Ears, call: &str, count: usize) -> Vec<Guest> {
    let doors: Vec<_> = (0..count).map(|_| node.listen()).collect();
    let join = |_| Guest::join(node.http, call, "guest", &Spec::default());
    let mut guests: Vec<Guest> = (0..count).map(join).collect();
    for (mut door, guest) in doors.into_iter().zip(&guests) {
        connected(&mut door, guest);
    }
    let wanted = Lines { audio: count - 1, video: count - 1 };
    for guest in &mut guests {
        ears.hear("it needs more lines", |what| {
            matches!(what, What::RenegotiationNeeded { leg, receive: Some(lines), .. }
                if *leg == guest.leg && *lines == wanted)
        });
        guest.receive(wanted.audio, wanted.video);
    }
    guests
}

/// Waits until both sides say so.
#[track_caller]
fn connected(ears: &mut Ears, guest: &Guest) {
    guest.peer.wait("connected", |seen| seen.connected);
    ears.hear("the leg is connected", |what| {
        matches!(what, What::LegChanged { leg, .. }
            if leg.id == guest.leg && leg.state == LegState::Connected)
    });
}

/// Each guest sends as the sender of its place; waits until all of it has come to all others.
#[track_caller]
fn talk(guests: &[Guest], senders: &[u32]) {
    for (sender, guest) in senders.iter().zip(guests) {
        guest.peer.send(Flow::audio(*sender).count(PACKETS));
        guest.peer.send(Flow::video(*sender).count(PACKETS));
    }
    for (own, guest) in senders.iter().zip(guests) {
        for sender in senders.iter().filter(|sender| *sender != own) {
            guest.peer.wait(&format!("all of {sender} at {own}"), |seen| {
                KINDS.iter().all(|kind| seen.of(*kind).of(*sender) == PACKETS as usize)
            });
        }
    }
}
