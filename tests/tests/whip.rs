//! WHIP and WHEP: with a client of other people's in real browsers, on pages of another origin than
//! the node's; with peers that come and go; and with what no client should send.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::{Duration, Instant};

use causeway_control::sdp::{Fragment, Sdp};
use causeway_tests::browser::Pages;
use causeway_tests::http::{Client, Response};
use causeway_tests::lab::{Lab, PRIVATE, PUBLIC};
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::node::Node;
use causeway_tests::peer::{Direction, Flow, Line, MediaKind, PATIENCE, Peer, Spec};
use causeway_tests::requires;
use serde_json::Value;

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

#[test]
fn a_page_of_another_origin_publishes_by_whip_and_one_views_by_whep() {
    requires!(Namespaces, Chromium);
    let lab = Lab::up(&[]);
    let config = format!(
        "[[interface]]\nname = \"pub\"\nbind = \"{PRIVATE}\"\nannounce = \"{PUBLIC}\"\n\
         [public]\nlisten = \"{PRIVATE}:443\"\n"
    );
    let node = Node::start(Some(&lab.namespace("server")), &config);
    let call = node.rest().create_call();
    let (studio, viewer) = (node.rest().token(&call, "studio"), node.rest().token(&call, "viewer"));
    let (home, open) = (lab.namespace("browser"), lab.namespace("peer"));
    let mut pages = Pages::run(
        "whip.mjs",
        &[
            ("node", &format!("https://{PUBLIC}")),
            ("a-token", &studio),
            ("b-token", &viewer),
            ("a-netns", &home),
            ("b-netns", &open),
            ("pause-after", "view,publish,restart"),
        ],
    );

    // Whoever views waits, connected.
    pages.step("view");
    let waiting = node.rest().get(&format!("/v1/calls/{call}"));
    assert_eq!(
        (&waiting["state"], waiting["legs"].as_array().map(Vec::len)),
        (&"waiting".into(), Some(1))
    );
    pages.go_on();

    pages.step("publish");
    node.rest().wait_call(&call, |call| call["state"] == "active");
    pages.go_on();

    // The script judges the picture and the tone, before a restart of ICE on each side and after.
    pages.step("media");
    pages.step("trickle");
    pages.step("restart");
    let stats = node.rest().stats(&call);
    for (role, sends, gets) in [("studio", true, false), ("viewer", false, true)] {
        for kind in ["audio", "video"] {
            assert_eq!(
                packets(&stats, role, "received", kind) > 0,
                sends,
                "{role} {kind}: {stats}"
            );
            assert_eq!(packets(&stats, role, "sent", kind) > 0, gets, "{role} {kind}: {stats}");
        }
    }
    pages.go_on();

    pages.step("stop");
    let gone = node.rest().request("GET", &format!("/v1/calls/{call}"), None);
    let left = gone.body["legs"].as_array().into_iter().flatten();
    assert!(left.into_iter().all(|leg| leg["state"] == "ended"), "{}", gone.body);
    pages.finish();
    node.stop();
}

fn packets(stats: &Value, role: &str, way: &str, kind: &str) -> u64 {
    let legs = stats["legs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let leg = legs.iter().find(|leg| leg["role"] == role).unwrap_or(&Value::Null);
    let media = leg[way].as_array().map(Vec::as_slice).unwrap_or_default();
    media.iter().filter(|one| one["kind"] == kind).filter_map(|one| one["packets"].as_u64()).sum()
}

#[test]
fn media_flows_from_whoever_publishes_to_whoever_views_whenever_they_come() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let viewer = Session::open(&node, &call, "whep");
    viewer.peer.wait("connected", |seen| seen.connected);
    for sender in 1..=2 {
        let mut publisher = Session::open(&node, &call, "whip");
        publisher.peer.send(Flow::audio(sender));
        publisher.peer.send(Flow::video(sender));
        let seen = viewer
            .peer
            .wait("media", |seen| seen.audio.of(sender) > 30 && seen.video.of(sender) > 30);
        assert_eq!((seen.audio.broken, seen.video.broken), (0, 0));
        assert_eq!(publisher.delete().status, 200);
        publisher.peer.wait("goodbye", |seen| seen.goodbye);
        // The viewer waits for the next one.
        node.wait("one leg", |stats| stats["legs"] == 1);
        assert!(!viewer.peer.seen().goodbye);
    }
    let call = node.client().get(&format!("/v1/calls/{call}")).ok();
    assert!(call["ended"].is_null() && call["state"] == "active", "{call}");
}

#[test]
fn a_restart_by_fragment_keeps_media_going() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut viewer = Session::open(&node, &call, "whep");
    let mut publisher = Session::open(&node, &call, "whip");
    publisher.peer.send(Flow::video(1));
    viewer.peer.wait("media", |seen| seen.video.of(1) > 30);
    for session in [&mut viewer, &mut publisher] {
        session.restart();
    }
    let before = viewer.peer.seen().video.of(1);
    let seen = viewer.peer.wait("media after", |seen| seen.video.of(1) > before + 100);
    assert_eq!(seen.video.broken, 0);
}

#[test]
fn what_no_client_should_send_harms_no_session() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let viewer = Session::open(&node, &call, "whep");
    let mut publisher = Session::open(&node, &call, "whip");
    publisher.peer.send(Flow::audio(1));
    viewer.peer.wait("media", |seen| seen.audio.of(1) > 10);

    let tag = publisher.tag.clone();
    let candidate = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n";
    let own = publisher.own.clone();
    let fresh = renewed(&own, "fresh", "p");
    let foreign = own.replace("a=mid:", "a=mid:x");
    let cases: Vec<(Option<&str>, &str, String, u16)> = vec![
        (None, FRAGMENT, candidate.into(), 428),
        (None, FRAGMENT, fresh.clone(), 428),
        (Some("\"gone\""), FRAGMENT, own.clone(), 412),
        (Some("gone"), FRAGMENT, fresh.clone(), 412),
        (Some(",,,"), FRAGMENT, own.clone(), 412),
        (Some(&tag), "application/sdp", own.clone(), 415),
        (Some(&tag), FRAGMENT, candidate.repeat(33), 400),
        (Some(&tag), FRAGMENT, "a=ice-ufrag:x\r\n".into(), 400),
        (Some(&tag), FRAGMENT, "a=candidate:\u{0}\r\n".into(), 400),
        (Some(&tag), FRAGMENT, foreign, 422),
        (Some("*"), FRAGMENT, "a".repeat(100_000), 413),
        (Some("*"), FRAGMENT, "m=\r\n".into(), 400),
        (Some(&tag), FRAGMENT, own.clone(), 204),
        (None, FRAGMENT, own.clone(), 204),
    ];
    for (if_match, kind, body, status) in cases {
        let response = publisher.patch(if_match, kind, &body);
        let shown: String = body.chars().take(80).collect();
        assert_eq!(response.status, status, "{if_match:?} {shown}: {}", response.text);
        if status >= 400 {
            response.problem();
        }
    }

    // Restarts during restarts, of a client that has forgotten how it looks for pairs.
    let (path, http) = (publisher.path.clone(), node.http);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (path, own) = (path.clone(), own.clone());
            std::thread::spawn(move || {
                let mut client = Client::new(http);
                for turn in 0..3 {
                    let word = format!("again{thread}{turn}");
                    let body = renewed(&own, &word, &word);
                    let response = patch(&mut client, &path, Some("*"), FRAGMENT, &body);
                    assert!([200, 429].contains(&response.status), "{}", response.text);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    // The pair that there was goes on, and whoever restarts as one should gets a new one.
    let before = viewer.peer.seen().audio.of(1);
    viewer.peer.wait("media goes on", |seen| seen.audio.of(1) > before + 20);
    publisher.restart();
    let before = viewer.peer.seen().audio.of(1);
    let seen = viewer.peer.wait("media after", |seen| seen.audio.of(1) > before + 50);
    assert_eq!(seen.audio.broken, 0);
    assert_eq!(publisher.delete().status, 200);
    publisher.delete().problem();
}

/// A peer that publishes or views.
struct Session {
    peer: Peer,
    client: Client,
    path: String,
    tag: String,
    answer: String,
    /// What it says of its transport.
    own: String,
}

impl Session {
    #[track_caller]
    fn open(node: &LocalNode, call: &str, protocol: &str) -> Self {
        let (peer, mut client) = (Peer::new(&Spec::default()), node.client());
        let direction = if protocol == "whip" { Direction::SendOnly } else { Direction::RecvOnly };
        let lines = [MediaKind::Audio, MediaKind::Video].map(|kind| Line { kind, direction });
        let offer = peer.offer(&lines);
        let endpoint = format!("/{protocol}/{call}");
        let response = client.send("POST", &endpoint, offer.as_bytes(), "application/sdp");
        assert_eq!(response.status, 201, "{}", response.text);
        peer.take_answer(&response.text);
        let (path, tag) = (response.header("location").into(), response.header("etag").into());
        Self { peer, client, path, tag, own: transport(&offer), answer: response.text }
    }

    fn patch(&mut self, if_match: Option<&str>, kind: &str, body: &str) -> Response {
        patch(&mut self.client, &self.path, if_match, kind, body)
    }

    /// Restarts ICE as the standard has it, once it may.
    #[track_caller]
    fn restart(&mut self) {
        self.own = transport(&self.peer.offer_restart());
        let (own, deadline) = (self.own.clone(), Instant::now() + PATIENCE);
        let response = loop {
            let response = self.patch(Some("*"), FRAGMENT, &own);
            if response.status != 429 {
                break response;
            }
            assert!(Instant::now() < deadline, "slowed down for ever");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(response.status, 200, "{}", response.text);
        assert_ne!(response.header("etag"), self.tag);
        self.tag = response.header("etag").into();
        let value = |name| value(&response.text, name);
        self.peer.take_answer(&renewed(&self.answer, value("ice-ufrag"), value("ice-pwd")));
    }

    fn delete(&mut self) -> Response {
        self.client.send_with("DELETE", &self.path, &[], b"")
    }
}

fn patch(
    client: &mut Client,
    path: &str,
    if_match: Option<&str>,
    kind: &str,
    body: &str,
) -> Response {
    let mut headers = vec![("Content-Type", kind)];
    headers.extend(if_match.map(|tags| ("If-Match", tags)));
    client.send_with("PATCH", path, &headers, body.as_bytes())
}

/// What a description says of its transport, as a fragment.
fn transport(description: &str) -> String {
    Fragment::of(&Sdp::parse(description).unwrap()).unwrap().to_string()
}

/// The same with other credentials; a short password is made long enough.
fn renewed(description: &str, ufrag: &str, password: &str) -> String {
    let password = if password.len() < 22 { password.repeat(24) } else { password.into() };
    let renew = |line: &str| {
        if line.starts_with("a=ice-ufrag:") {
            format!("a=ice-ufrag:{ufrag}\r\n")
        } else if line.starts_with("a=ice-pwd:") {
            format!("a=ice-pwd:{password}\r\n")
        } else {
            line.to_owned()
        }
    };
    description.split_inclusive('\n').map(renew).collect()
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.split(&format!("a={name}:")).nth(1).unwrap().lines().next().unwrap()
}
