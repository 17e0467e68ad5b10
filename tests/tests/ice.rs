//! ICE of a running node: restarts, clients that move, far sides that are lite or have a port for
//! RTCP, IPv6.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use causeway_control::api::What;
use causeway_control::ice::Credentials;
use causeway_tests::guest::{Guest, add_leg, ssrcs};
use causeway_tests::http::Client;
use causeway_tests::local::{Ears, LocalNode, Setup};
use causeway_tests::peer::parted::{self, Parted};
use causeway_tests::peer::{Flow, Spec};
use serde_json::json;

#[test]
fn media_goes_on_over_a_restart_and_nothing_is_lost() {
    let node = LocalNode::start(&Setup::default());
    let [mut a, b] = talking(&node);
    let before = attribute(&a.nodes, "ice-ufrag");
    for _ in 0..3 {
        a.restart();
        assert_ne!(attribute(&a.nodes, "ice-ufrag"), before);
        heard_more(&a, &b);
    }
    nothing_lost([&a, &b]);
    assert_eq!(a.view()["state"], "connected");
    let seen = a.peer.seen();
    assert_eq!((seen.video.broken, seen.video.ssrcs.len()), (0, 1), "SRTP knows nothing of it");
}

#[test]
fn a_client_that_moves_and_restarts_is_found_at_its_new_address() {
    let node = LocalNode::start(&Setup::default());
    let [mut a, b] = talking(&node);
    let moved = a.peer.rebind();
    a.restart();
    heard_more(&a, &b);
    wait_remote(&mut a, moved);
}

#[test]
fn a_client_that_moves_without_knowing_is_followed_by_its_checks() {
    let node = LocalNode::start(&Setup::default());
    let [mut a, b] = talking(&node);
    let mut ears = node.listen();
    let moved = a.peer.rebind();
    heard_more(&a, &b);
    wait_remote(&mut a, moved);
    let address = moved.to_string();
    let told = |what: &What| matches!(what, What::LegChanged { leg, .. } if leg.remote.as_ref() == Some(&address));
    ears.hear("the leg's new address is told", told);
}

#[test]
fn a_restart_during_a_restart_replaces_it() {
    let node = LocalNode::start(&Setup::default());
    let [mut a, b] = talking(&node);
    for _ in 0..20 {
        let offer = a.peer.offer_restart();
        // Whose answer nobody takes.
        a.post("offer", &json!({ "sdp": offer })).ok();
    }
    heard_more(&a, &b);
    a.restart();
    heard_more(&a, &b);
    nothing_lost([&a, &b]);
    // Whose checks never come: the old generation goes on.
    let offer = a.peer.offer_restart();
    a.post("offer", &json!({ "sdp": offer })).ok();
    heard_more(&a, &b);
    heard_more(&a, &b);
    assert_eq!(a.view()["state"], "connected");
}

#[test]
fn the_same_credentials_again_are_no_restart() {
    let node = LocalNode::start(&Setup::default());
    let [mut a, b] = talking(&node);
    let own = json!({ "sdp": a.own });
    let answer = a.post("offer", &own).ok();
    let again = answer["sdp"].as_str().unwrap();
    assert_eq!(attribute(again, "ice-ufrag"), attribute(&a.nodes, "ice-ufrag"));
    let far = credentials(&a.own);
    let refused = restart(&node, &a, far).unwrap_err();
    assert_eq!(refused.status, 422);
    heard_more(&a, &b);
}

#[test]
fn a_restart_needs_no_description() {
    let node = LocalNode::start(&Setup::default());
    let [a, b] = talking(&node);
    let offer = a.peer.offer_restart();
    let restarted = restart(&node, &a, credentials(&offer)).unwrap();
    assert!(restarted.candidates[0].contains(" 127.0.0.1 "), "{:?}", restarted.candidates);
    let own = &restarted.credentials;
    let replaced = |line: &str| match line.split_once(':') {
        Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{}\r\n", own.ufrag),
        Some(("a=ice-pwd", _)) => format!("a=ice-pwd:{}\r\n", own.password.as_str()),
        _ => format!("{line}\r\n"),
    };
    a.peer.take_answer(&a.nodes.lines().map(replaced).collect::<String>());
    a.peer.rebind();
    heard_more(&a, &b);
}

#[test]
fn a_lite_far_side_that_offers_is_called_by_the_node() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let lite = Spec { lite: true, ..Spec::default() };
    let mut guests =
        [lite, Spec::default()].map(|spec| Guest::join(node.http, &call, "customer", &spec));
    assert!(!guests[0].nodes.contains("a=ice-lite"), "{}", guests[0].nodes);
    assert!(guests[1].nodes.contains("a=ice-lite"));
    active(&mut ears, &call);
    let [a, b] = &guests;
    talk(a, b);
    let moved = guests[1].peer.rebind();
    heard_more(&guests[0], &guests[1]);
    wait_remote(&mut guests[1], moved);
}

#[test]
fn two_nodes_call_each_other() {
    let nodes = [(); 2].map(|()| LocalNode::start(&Setup::default()));
    let calls = [nodes[0].call(), nodes[1].call()];
    let mut ears = [nodes[0].listen(), nodes[1].listen()];
    let mut clients = [nodes[0].client(), nodes[1].client()];
    let offered = add_leg(&mut clients[0], &calls[0], json!({})).ok();
    let offer = json!({ "offer": offered["offer"] });
    let answered = add_leg(&mut clients[1], &calls[1], offer).ok();
    let answer = answered["answer"].as_str().unwrap();
    assert!(offered["offer"].as_str().unwrap().contains("a=ice-lite"));
    assert!(!answer.contains("a=ice-lite"), "{answer}");
    let leg = offered["leg"]["id"].as_str().unwrap();
    let path = format!("/v1/calls/{}/legs/{leg}/answer", calls[0]);
    clients[0].post(&path, &json!({ "sdp": answer })).ok();
    let guest =
        |place: usize| Guest::join(nodes[place].http, &calls[place], "customer", &Spec::default());
    let guests = [guest(0), guest(1)];
    for (ears, call) in ears.iter_mut().zip(&calls) {
        active(ears, call);
    }
    let [a, b] = &guests;
    talk(a, b);
}

#[test]
fn ipv6_is_an_address_like_any_other() {
    let ip = Ipv6Addr::LOCALHOST.into();
    let node = LocalNode::start(&Setup { bind: ip, ..Setup::default() });
    let (mut ears, call) = (node.listen(), node.call());
    let spec = Spec { ip, ..Spec::default() };
    let mut guests = [
        Guest::join(node.http, &call, "customer", &spec),
        Guest::answer(node.http, &call, "agent", &spec),
    ];
    assert!(guests[0].nodes.contains("c=IN IP6 ::1\r\n"), "{}", guests[0].nodes);
    assert!(guests[0].nodes.contains(" ::1 "), "{}", guests[0].nodes);
    active(&mut ears, &call);
    let [a, b] = &guests;
    talk(a, b);
    let moved = guests[0].peer.rebind();
    guests[0].restart();
    heard_more(&guests[0], &guests[1]);
    wait_remote(&mut guests[0], moved);
}

#[test]
fn a_private_address_is_offered_behind_the_announced_one() {
    let announce = Some(Ipv4Addr::new(203, 0, 113, 5).into());
    let node = LocalNode::start(&Setup { announce, private_candidate: true, ..Setup::default() });
    let (mut ears, call) = (node.listen(), node.call());
    // Nobody is at the announced address; the private one is found.
    let guests =
        ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &Spec::default()));
    let lines = guests[0].nodes.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
    let offered: Vec<(u32, &str)> = lines
        .take(2)
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .map(|words| (words[3].parse().unwrap(), words[4]))
        .collect();
    assert_eq!([offered[0].1, offered[1].1], ["203.0.113.5", "127.0.0.1"]);
    assert!(offered[0].0 > offered[1].0, "{offered:?}");
    active(&mut ears, &call);
    let [a, b] = &guests;
    talk(a, b);
}

#[test]
fn a_far_side_without_rtcp_mux_has_a_port_for_rtcp_all_its_life() {
    let node = LocalNode::start(&Setup { mux_ports: 2, ..Setup::default() });
    let (mut ears, call) = (node.listen(), node.call());
    let (mut parted, mut client) = (Parted::new(1), node.client());
    let offer = json!({ "role": "phone", "offer": parted.offer() });
    let added = add_leg(&mut client, &call, offer).ok();
    let leg = format!("/v1/calls/{call}/legs/{}", added["leg"]["id"].as_str().unwrap());
    let answer = added["answer"].as_str().unwrap();
    assert!(!answer.contains("a=rtcp-mux"), "{answer}");
    parted.take_answer(answer);
    let guest = Guest::join(node.http, &call, "agent", &Spec::default());
    assert!(guest.nodes.contains("a=rtcp-mux"), "the other leg has one port");
    let seen = parted.wait("both components are secured", |seen| seen.sent > 0);
    let [rtp, rtcp] = seen.remotes.map(|remote| remote.unwrap().port());
    assert_ne!(rtp, rtcp);
    assert_eq!(attribute(answer, "rtcp"), format!("{rtcp} IN IP4 127.0.0.1"));
    let shown = attribute(answer, "fingerprint").replace("sha-256 ", "");
    assert_eq!(seen.fingerprints, [Some(shown.clone()), Some(shown)]);
    active(&mut ears, &call);
    guest.peer.wait("connected", |seen| seen.connected);
    guest.peer.send(Flow::audio(2));
    guest.peer.send(Flow::video(2));
    more_both_ways(&mut parted, &guest);
    reports_both_ways(&mut parted, &guest, ssrcs(answer)[1]);

    let before = attribute(answer, "ice-ufrag");
    let answer = restart_parted(&mut client, &leg, &mut parted);
    assert_ne!(attribute(&answer, "ice-ufrag"), before);
    more_both_ways(&mut parted, &guest);
    let key_frames = guest.peer.seen().key_frames_asked;
    parted.ask_key_frame(ssrcs(&answer)[1]);
    parted.wait("a key frame is asked for", |_| guest.peer.seen().key_frames_asked > key_frames);
    let view = client.get(&leg).ok();
    assert_eq!((&view["state"], &view["remote"]), (&json!("connected"), &json!(parted.address())));
    let seen = parted.seen();
    assert_eq!((seen.broken, seen.misplaced), (0, Vec::new()));
    let why = client.get(&format!("/v1/calls/{call}/why?format=text")).text;
    for words in ["RTCP: DTLS is done", "RTCP: The far side settled", "RTCP: The node expects"] {
        assert!(why.contains(words), "{words} in {why}");
    }
}

/// Offers with other credentials until both components have settled anew; the node's answer.
fn restart_parted(client: &mut Client, leg: &str, parted: &mut Parted) -> String {
    let before = parted.seen().nominations;
    let offer = json!({ "sdp": parted.offer_restart() });
    let answer = client.post(&format!("{leg}/offer"), &offer).ok();
    let answer = answer["sdp"].as_str().unwrap();
    parted.take_answer(answer);
    parted.wait("both components have settled anew", |seen| {
        seen.nominations.iter().zip(before).all(|(now, before)| *now > before)
    });
    answer.to_owned()
}

/// Waits until audio and video have come both ways that were not sent yet.
#[track_caller]
fn more_both_ways(parted: &mut Parted, guest: &Guest) {
    let (from_parted, from_guest) = (parted.seen().sent, guest.peer.seen().sent);
    parted.wait("more audio and video both ways", |seen: &parted::Seen| {
        let newest = |numbers: &std::collections::BTreeSet<u32>| {
            numbers.last().map_or(0, |last| u64::from(*last))
        };
        let came = guest.peer.seen();
        let heard = [&came.audio, &came.video]
            .iter()
            .all(|came| came.numbers.get(&1).is_some_and(|n| newest(n) > from_parted.into()));
        let sent = seen.numbers.iter().zip(from_guest);
        heard && sent.into_iter().all(|(numbers, sent)| newest(numbers) > sent)
    });
}

/// Sender reports, reception reports and a wish for a key frame pass in both directions.
#[track_caller]
fn reports_both_ways(parted: &mut Parted, guest: &Guest, video: u32) {
    parted.ask_key_frame(video);
    guest.peer.ask_key_frame();
    parted.wait("reports and wishes came through", |seen| {
        let came = guest.peer.seen();
        let guests = came.sender_reports.len() >= 2 && came.key_frames_asked > 0;
        let own = seen.sender_reports.len() >= 2 && seen.reception_reports.len() >= 2;
        guests && own && seen.key_frames_asked > 0
    });
}

#[test]
fn a_flood_of_candidates_harms_nobody() {
    let node = LocalNode::start(&Setup::default());
    let [mut a, b] = talking(&node);
    for round in 0..20 {
        let lines: Vec<_> = (0..32)
            .map(|n| format!("candidate:1 1 udp 1 192.0.2.{} {} typ host", n + 1, 1000 + round))
            .chain([format!("candidate:1 1 udp 1 f{round}.local 9 typ host")])
            .take(32)
            .collect();
        assert_eq!(a.post("candidates", &json!({ "candidates": lines })).status, 204);
    }
    let many = (1..34).map(|port| format!("candidate:1 1 udp 1 192.0.2.1 {port} typ host"));
    let refused = a.post("candidates", &json!({ "candidates": many.collect::<Vec<_>>() }));
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    heard_more(&a, &b);
}

/// Two connected guests that send audio and video to each other, the first as 1, the second as 2.
#[track_caller]
fn talking(node: &LocalNode) -> [Guest; 2] {
    let (mut ears, call) = (node.listen(), node.call());
    let guests =
        ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &Spec::default()));
    active(&mut ears, &call);
    let [a, b] = &guests;
    talk(a, b);
    guests
}

#[track_caller]
fn talk(a: &Guest, b: &Guest) {
    for (sender, guest) in [(1, a), (2, b)] {
        guest.peer.wait("connected", |seen| seen.connected);
        guest.peer.send(Flow::audio(sender));
        guest.peer.send(Flow::video(sender));
    }
    heard_more(a, b);
}

/// Waits until each has heard and seen more of the other than was on its way.
#[track_caller]
fn heard_more(a: &Guest, b: &Guest) {
    let sent = [a.peer.seen().sent, b.peer.seen().sent];
    for (guest, sender, sent) in [(a, 2, sent[1]), (b, 1, sent[0])] {
        guest.peer.wait("more audio and video", |seen| {
            let newest = |numbers: Option<&std::collections::BTreeSet<u32>>| {
                numbers.and_then(|n| n.last().copied()).unwrap_or(0)
            };
            u64::from(newest(seen.audio.numbers.get(&sender))) > sent[0] + 20
                && u64::from(newest(seen.video.numbers.get(&sender))) > sent[1] + 20
        });
    }
}

/// Each payload between the first and the last that came has come.
#[track_caller]
fn nothing_lost(guests: [&Guest; 2]) {
    for (guest, sender) in guests.into_iter().zip([2, 1]) {
        let seen = guest.peer.seen();
        for came in [&seen.audio, &seen.video] {
            let numbers = &came.numbers[&sender];
            let (first, last) = (numbers.first().unwrap(), numbers.last().unwrap());
            assert_eq!(numbers.len() as u32, last - first + 1, "from {sender}");
        }
    }
}

#[track_caller]
fn wait_remote(guest: &mut Guest, address: SocketAddr) {
    let deadline = std::time::Instant::now() + causeway_tests::peer::PATIENCE;
    while guest.view()["remote"] != address.to_string() {
        assert!(std::time::Instant::now() < deadline, "{} never seen", address);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn restart(
    node: &LocalNode,
    guest: &Guest,
    far: Credentials,
) -> Result<causeway_control::calls::Restarted, causeway_control::api::Problem> {
    let (call, leg) = (guest.call.clone(), guest.leg.clone());
    let answer = node.calls().restart(call, leg, far, vec![guest.peer.candidate()]);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answer)
}

fn credentials(sdp: &str) -> Credentials {
    let password = attribute(sdp, "ice-pwd").into();
    Credentials { ufrag: attribute(sdp, "ice-ufrag"), password }
}

fn attribute(sdp: &str, name: &str) -> String {
    let prefix = format!("a={name}:");
    sdp.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
}

#[track_caller]
fn active(ears: &mut Ears, call: &str) {
    ears.hear(
        "the call is active",
        |what| matches!(what, What::CallActive { call: id } if id == call),
    );
}
