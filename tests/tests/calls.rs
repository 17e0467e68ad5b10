//! Calls between two peers of another stack, through a node, over REST.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use causeway_control::api::{EndReason, What};
use causeway_tests::guest::{Guest, add_leg, formats, mids, ssrcs};
use causeway_tests::local::{Ears, LocalNode, Setup};
use causeway_tests::peer::{
    Direction, DtlsVersion, Flow, Line, MediaKind, PATIENCE, Peer, Seen, Spec,
};
use serde_json::{Value, json};

/// Packets of each kind that a test lets pass.
const PACKETS: u32 = 80;
const KINDS: [MediaKind; 2] = [MediaKind::Audio, MediaKind::Video];

#[test]
fn audio_and_video_pass_both_ways_whatever_dtls_version_the_far_side_speaks() {
    let node = LocalNode::start(&Setup::default());
    let versions = [
        (DtlsVersion::Auto, "DTLS 1.3"),
        (DtlsVersion::Dtls12, "DTLS 1.2"),
        (DtlsVersion::Dtls13, "DTLS 1.3"),
    ];
    for (dtls, shown) in versions {
        let spec = Spec { dtls, ..Spec::default() };
        let (mut ears, call) = (node.listen(), node.call());
        let mut guests =
            ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &spec));
        active(&mut ears, &call);
        for guest in &mut guests {
            assert!(guest.nodes.contains("\na=ice-lite\r\n"));
            let view = guest.view();
            assert_eq!((&view["state"], &view["held"]), (&json!("connected"), &json!(false)));
            assert!(view["security"].as_str().unwrap().starts_with(shown), "{view}");
            assert_eq!(view["remote"], guest.peer.address().to_string());
        }
        talk(&guests);
        for (place, guest) in guests.iter().enumerate() {
            arrived_as_described(guest, &guest.peer.seen(), 2 - place as u32);
        }
        end(&node, &call);
    }
}

#[test]
fn the_node_offers_and_takes_the_answers() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let guests = ["customer", "agent"].map(|role| {
        let mut guest = Guest::answer(node.http, &call, role, &Spec::default());
        assert_ne!(guest.view()["state"], "offered");
        guest
    });
    active(&mut ears, &call);
    talk(&guests);
    for (place, guest) in guests.iter().enumerate() {
        arrived_as_described(guest, &guest.peer.seen(), 2 - place as u32);
    }
}

#[test]
fn a_second_answer_is_refused() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut guest = Guest::answer(node.http, &call, "agent", &Spec::default());
    let answer = json!({ "sdp": guest.own });
    let again = guest.post("answer", &answer);
    assert_eq!((again.status, again.problem().0), (409, "conflict"));
    let mut offerer = Guest::join(node.http, &call, "customer", &Spec::default());
    let unasked = offerer.post("answer", &answer);
    assert_eq!((unasked.status, unasked.problem().0), (409, "conflict"));
}

#[test]
fn the_nodes_statistics_are_those_of_the_peers() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let mut guests = connected(&node, &mut ears, &call);
    talk(&guests);
    let seen = [guests[0].peer.seen(), guests[1].peer.seen()];
    for (place, guest) in guests.iter_mut().enumerate() {
        let stats = guest.stats();
        let (own, other) = (&seen[place], &seen[1 - place]);
        for (line, kind) in KINDS.into_iter().enumerate() {
            let received = &stats["received"][line];
            assert_eq!(received["packets"], own.sent[line], "{stats}");
            assert_eq!(received["bytes"], own.sent_bytes[line], "{stats}");
            assert_eq!(received["ssrc"], own.own_ssrcs[line].unwrap(), "{stats}");
            assert_eq!((&received["lost"], &received["rtx_packets"]), (&json!(0), &json!(0)));
            let sent = &stats["sent"][line];
            assert_eq!(sent["packets"], other.sent[line], "{stats}");
            assert_eq!(sent["packets"], own.of(kind).whole, "{stats}");
            assert_eq!(sent["bytes"], own.of(kind).bytes, "{stats}");
            assert_eq!(sent["ssrc"], *own.of(kind).ssrcs.first().unwrap(), "{stats}");
        }
        let latency = &stats["latency_us"];
        assert!(latency["packets"].as_u64().unwrap() > 0, "{stats}");
        assert!(latency["p50"].as_u64() <= latency["p999"].as_u64(), "{stats}");
    }
}

#[test]
fn reports_and_key_frame_requests_find_their_way_back() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let guests = connected(&node, &mut ears, &call);
    for (sender, guest) in (1..).zip(&guests) {
        guest.peer.send(Flow::video(sender));
    }
    for guest in &guests {
        let ours = ssrcs(&guest.nodes)[1];
        guest
            .peer
            .wait("sender reports of the node's video", |seen| seen.sender_reports.contains(&ours));
        let seen = guest.peer.wait("reception reports of its own video", |seen| {
            seen.own_ssrcs[1].is_some_and(|own| seen.reception_reports.contains(&own))
        });
        // What is reported about is what it knows: the other's numbers stay on the other's side.
        assert!(seen.sender_reports.iter().all(|ssrc| ssrcs(&guest.nodes).contains(ssrc)));
        let known = |ssrc: &u32| seen.own_ssrcs.contains(&Some(*ssrc));
        assert!(seen.reception_reports.iter().all(known), "{:?}", seen.reception_reports);
    }
    let asked = guests[0]
        .peer
        .wait("a key frame is asked for by a new sink", |seen| seen.key_frames_asked > 0);
    guests[1].peer.ask_key_frame();
    guests[0].peer.wait("a key frame is asked for by the far side", |seen| {
        seen.key_frames_asked > asked.key_frames_asked
    });
}

#[test]
fn hold_stops_media_and_resume_brings_it_back() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let [mut a, b] = connected(&node, &mut ears, &call);
    a.peer.send(Flow::video(1));
    b.peer.send(Flow::video(2));
    a.peer.wait("video", |seen| seen.video.of(2) > 10);
    b.peer.wait("video", |seen| seen.video.of(1) > 10);

    a.turn(Direction::Inactive);
    held(&mut ears, &a.leg, true);
    assert_eq!((&a.view()["held"], &a.view()["state"]), (&json!(true), &json!("connected")));
    settle(&b.peer);
    let (before, asked) = (a.peer.seen().video.of(2), b.peer.seen().key_frames_asked);
    settle(&b.peer);
    assert_eq!(a.peer.seen().video.of(2), before, "a held leg gets no media");

    a.turn(Direction::SendRecv);
    held(&mut ears, &a.leg, false);
    a.peer.wait("video after the hold", |seen| seen.video.of(2) > before + 10);
    b.peer.wait("a key frame is asked for", |seen| seen.key_frames_asked > asked);
    let heard = b.peer.seen().video.of(1);
    b.peer.wait("video after the hold", |seen| seen.video.of(1) > heard + 10);
    let seen = a.peer.seen();
    assert_eq!((seen.video.broken, seen.video.ssrcs.len()), (0, 1));
}

#[test]
fn a_held_leg_that_sends_on_is_counted_and_not_heard() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let [mut a, b] = connected(&node, &mut ears, &call);
    a.peer.send(Flow::video(1));
    b.peer.wait("video", |seen| seen.video.of(1) > 10);
    let hold = a.own.replace("a=sendrecv", "a=inactive");
    a.post("offer", &json!({ "sdp": hold })).ok();
    settle(&a.peer);
    let before = b.peer.seen().video.of(1);
    settle(&a.peer);
    assert_eq!(b.peer.seen().video.of(1), before);
    assert!(a.stats()["drops"]["stream_paused"].as_u64().unwrap() > 0);
}

#[test]
fn a_leg_connects_with_candidates_that_come_later_or_never() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let guests = [true, false].map(|trickles| {
        let (peer, mut client) = (Peer::new(&Spec::default()), node.client());
        let bare = |sdp: String| -> String {
            let kept =
                |line: &&str| !line.starts_with("a=candidate") && *line != "a=end-of-candidates";
            sdp.lines().filter(kept).map(|line| format!("{line}\r\n")).collect()
        };
        let own = bare(peer.offer(&Line::CALL));
        let added = add_leg(&mut client, &call, json!({ "offer": own })).ok();
        peer.take_answer(added["answer"].as_str().unwrap());
        if trickles {
            let leg = added["leg"]["id"].as_str().unwrap();
            let more = json!({ "candidates": [peer.candidate()], "end_of_candidates": true });
            let path = format!("/v1/calls/{call}/legs/{leg}/candidates");
            assert_eq!(client.post(&path, &more).status, 204);
        }
        peer
    });
    active(&mut ears, &call);
    assert!(guests.iter().all(|peer| peer.wait("connected", |seen| seen.connected).connected));
}

#[test]
fn a_leg_that_leaves_ends_the_call_for_the_other() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let [mut a, b] = connected(&node, &mut ears, &call);
    a.leave();
    leg_ended(&mut ears, &a.leg, EndReason::Left, PATIENCE);
    leg_ended(&mut ears, &b.leg, EndReason::CallEnded, PATIENCE);
    ears.hear(
        "the call ends",
        |what| matches!(what, What::CallEnded { call: id, .. } if *id == call),
    );
    for peer in [&a.peer, &b.peer] {
        peer.wait("the node says goodbye", |seen| seen.goodbye);
    }
    node.wait_empty();
    let gone = node.client().get(&format!("/v1/calls/{call}"));
    assert_eq!((gone.status, gone.problem().0), (404, "not-found"));
}

#[test]
fn a_deleted_call_says_goodbye_to_all() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let [a, b] = connected(&node, &mut ears, &call);
    end(&node, &call);
    for guest in [&a, &b] {
        guest.peer.wait("the node says goodbye", |seen| seen.goodbye);
    }
    node.wait_empty();
}

#[test]
fn a_later_leg_gets_what_is_common_under_its_own_numbers() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let few = Spec { opus: Some(109), vp8: Some(120), h264: None, g711: false, ..Spec::default() };
    let guests = [
        Guest::join(node.http, &call, "customer", &Spec::default()),
        Guest::join(node.http, &call, "agent", &few),
    ];
    assert_eq!(formats(&guests[1].nodes), [vec!["109"], vec!["120", "121"]]);
    active(&mut ears, &call);
    talk(&guests);
    for (place, guest) in guests.iter().enumerate() {
        arrived_as_described(guest, &guest.peer.seen(), 2 - place as u32);
    }
    let numbers = |guest: &Guest| {
        let seen = guest.peer.seen();
        KINDS.map(|kind| seen.of(kind).payload_types.iter().copied().collect::<Vec<_>>())
    };
    assert_eq!(numbers(&guests[0]), [[111], [96]]);
    assert_eq!(numbers(&guests[1]), [[109], [120]]);
}

#[test]
fn no_common_codec_is_refused_with_the_line() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let opus = Spec { g711: false, ..Spec::default() };
    let _first = Guest::join_with(node.http, &call, "customer", &opus, &Line::TALK);
    let peer = Peer::new(&Spec { opus: None, ..Spec::default() });
    let offer = peer.offer(&Line::TALK);
    let refused = add_leg(&mut node.client(), &call, json!({ "offer": offer }));
    let (kind, at) = refused.problem();
    assert_eq!((refused.status, kind), (422, "no-common-codec"));
    assert!(at.contains(": m=audio "), "{at}");
    node.wait("one leg", |stats| stats["legs"] == 1);
}

#[test]
fn a_far_side_that_closes_dtls_has_left() {
    let node = LocalNode::start(&Setup::default());
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        let (mut ears, call) = (node.listen(), node.call());
        let spec = Spec { dtls, ..Spec::default() };
        let guests = ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &spec));
        active(&mut ears, &call);
        guests[0].peer.close();
        leg_ended(&mut ears, &guests[0].leg, EndReason::Closed, PATIENCE);
        node.wait_empty();
    }
}

/// Consent lasts 30 s (RFC 7675 §5.1), so this test does too.
#[test]
fn a_far_side_that_falls_silent_loses_consent() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let [mut a, b] = connected(&node, &mut ears, &call);
    b.peer.fall_silent();
    leg_ended(&mut ears, &b.leg, EndReason::ConsentLost, Duration::from_secs(40));
    assert_eq!(a.view()["state"], "connected", "the other leg waits");
    node.wait("one leg", |stats| stats["legs"] == 1 && stats["calls"] == 1);
}

#[test]
fn calls_and_legs_that_nobody_joins_end() {
    let node = LocalNode::start(&Setup { join: Duration::from_secs(1), ..Setup::default() });
    let mut ears = node.listen();
    let empty = node.call();
    ended_unjoined(&mut ears, &empty);

    let (call, peer) = (node.call(), Peer::new(&Spec::default()));
    let offer = peer.offer(&Line::CALL);
    let added = add_leg(&mut node.client(), &call, json!({ "offer": offer })).ok();
    leg_ended(&mut ears, added["leg"]["id"].as_str().unwrap(), EndReason::JoinTimeout, PATIENCE);
    ended_unjoined(&mut ears, &call);

    let call = node.call();
    let added = add_leg(&mut node.client(), &call, json!({})).ok();
    leg_ended(&mut ears, added["leg"]["id"].as_str().unwrap(), EndReason::JoinTimeout, PATIENCE);
    ended_unjoined(&mut ears, &call);
    node.wait_empty();
}

/// Two connected guests.
#[track_caller]
fn connected(node: &LocalNode, ears: &mut Ears, call: &str) -> [Guest; 2] {
    let join = |role| Guest::join(node.http, call, role, &Spec::default());
    let guests = [join("customer"), join("agent")];
    active(ears, call);
    guests
}

/// Waits until two legs are connected, on both sides.
#[track_caller]
fn active(ears: &mut Ears, call: &str) {
    ears.hear(
        "the call is active",
        |what| matches!(what, What::CallActive { call: id } if id == call),
    );
}

/// The first guest sends as 1, the second as 2; waits until all of it has arrived.
#[track_caller]
fn talk(guests: &[Guest; 2]) {
    for guest in guests {
        guest.peer.wait("connected", |seen| seen.connected);
    }
    for (sender, guest) in (1..).zip(guests) {
        guest.peer.send(Flow::audio(sender).count(PACKETS));
        guest.peer.send(Flow::video(sender).count(PACKETS));
    }
    for (sender, guest) in [2, 1].into_iter().zip(guests) {
        guest.peer.wait("all audio and video", |seen| {
            KINDS.iter().all(|kind| seen.of(*kind).of(sender) == PACKETS as usize)
        });
    }
}

/// What came is whole, comes from `sender` alone, under the SSRC, MID and payload types of the
/// node's description.
#[track_caller]
fn arrived_as_described(guest: &Guest, seen: &Seen, sender: u32) {
    let described = (ssrcs(&guest.nodes), mids(&guest.nodes), formats(&guest.nodes));
    for (line, kind) in KINDS.into_iter().enumerate() {
        let came = seen.of(kind);
        assert_eq!((came.broken, came.of(sender)), (0, PACKETS as usize), "{kind:?}");
        assert_eq!(came.numbers.len(), 1, "{kind:?}");
        assert_eq!(came.ssrcs.iter().copied().collect::<Vec<_>>(), [described.0[line]]);
        assert!(came.mids.iter().all(|mid| mid == described.1[line]), "{:?}", came.mids);
        assert_eq!(came.payload_types.len(), 1);
        let number = came.payload_types.first().unwrap().to_string();
        assert!(described.2[line].contains(&number.as_str()), "{number}");
    }
}

/// Waits until a peer that sends video has sent 30 packets more, time enough for those on the way.
#[track_caller]
fn settle(sender: &Peer) {
    let sent = sender.seen().sent[1];
    sender.wait("it sends on", |seen| seen.sent[1] >= sent + 30);
}

#[track_caller]
fn held(ears: &mut Ears, id: &str, held: bool) {
    ears.hear(
        "the hold",
        |what| matches!(what, What::LegChanged { leg, .. } if leg.id == id && leg.held == held),
    );
}

#[track_caller]
fn leg_ended(ears: &mut Ears, id: &str, reason: EndReason, patience: Duration) {
    let ended = ears.hear_within(
        patience,
        "the leg ends",
        |what| matches!(what, What::LegEnded { leg, .. } if leg.id == id),
    );
    let What::LegEnded { leg, .. } = ended else { unreachable!() };
    assert_eq!(leg.ended, Some(reason));
}

#[track_caller]
fn ended_unjoined(ears: &mut Ears, id: &str) {
    ears.hear("the call ends since nobody joins", |what| {
        matches!(what, What::CallEnded { call, reason: EndReason::JoinTimeout } if call == id)
    });
}

#[track_caller]
fn end(node: &LocalNode, call: &str) {
    let deleted = node.client().delete(&format!("/v1/calls/{call}"));
    assert_eq!((deleted.status, deleted.body), (204, Value::Null));
}

#[test]
fn legs_are_spread_over_the_ports_of_their_worker() {
    let node = LocalNode::start(&Setup { mux_ports: 3, ..Setup::default() });
    // Who is there when the numbers are read has not sent anything to a leg that is gone, as peers do
    // that have not heard yet of a call's end.
    let calls = [(); 2].map(|()| {
        let (mut ears, call) = (node.listen(), node.call());
        let guests =
            ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &Spec::default()));
        active(&mut ears, &call);
        talk(&guests);
        let [one, other] = guests.each_ref().map(|guest| media_port(&guest.nodes));
        assert_ne!(one, other, "the two legs of a call");
        guests
    });
    let sent = u64::from(PACKETS) * 8;
    let stats = node.wait("all that was sent", |stats| {
        stats["workers"][0]["packets_in"].as_u64().is_some_and(|came| came >= sent)
    });
    assert_eq!(stats["workers"][0]["sockets"], 3);
    assert_eq!(stats["workers"][0]["drops"]["unknown_remote"], 0);
    drop(calls);
}

/// The port of the only candidate that a description offers.
fn media_port(sdp: &str) -> &str {
    let mut ports: Vec<_> = sdp
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .filter_map(|line| line.split(' ').nth(5))
        .collect();
    ports.dedup();
    assert_eq!(ports.len(), 1, "{sdp}");
    ports[0]
}
