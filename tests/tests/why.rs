//! `GET /v1/calls/{call}/why`: what an operator reads of a call that works and of five that do not.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use causeway_control::api::What;
use causeway_control::auth::JoinTokens;
use causeway_tests::guest::{Guest, add_leg};
use causeway_tests::http::Client;
use causeway_tests::https;
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::namespace::inside;
use causeway_tests::peer::{Flow, Line, PATIENCE, Peer, Spec};
use causeway_tests::{requires, root};
use serde_json::{Value, json};

/// Where nobody listens: what a mistaken `announce` looks like from outside.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// An address at which a browser may have reached the page.
const SEEN_AT: &str = "198.51.100.20";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_call_that_works_says_so_step_by_step_and_after_its_end() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let join = |role| Guest::join(node.http, &call, role, &Spec::default());
    let guests = [join("customer"), join("agent")];
    ears.hear("active", |what| matches!(what, What::CallActive { call: id } if *id == call));
    for (sender, guest) in (1..).zip(&guests) {
        guest.peer.send(Flow::audio(sender));
        guest.peer.send(Flow::video(sender));
    }
    for (sender, guest) in [2, 1].into_iter().zip(&guests) {
        guest.peer.wait("media", |seen| seen.audio.of(sender) > 9 && seen.video.of(sender) > 9);
    }
    let why = why(&node, &call);
    for role in ["customer", "agent"] {
        let finding = finding(&why, role);
        assert_eq!(finding["verdict"], "fine", "{why:#}");
        says(finding, &["Connected (DTLS 1.", "packets received"]);
        let story = story(&why, role);
        in_order(
            &story,
            &[
                "Joined with an offer",
                "The node expects checks at 127.0.0.1:",
                "Audio, line",
                "takes opus/48000/2",
                "Candidate: host 127.0.0.1:",
                "Check from 127.0.0.1:",
                "settled on the path",
                "DTLS handshake began",
                "first DTLS datagram",
                "DTLS is done: DTLS 1.",
                "has the SRTP keys",
                "Connected: path and keys",
                "first authentic media packet",
            ],
        );
        assert!(!story.contains("does not"), "{story}");
    }
    let mut client = node.client();
    assert_eq!(client.delete(&format!("/v1/calls/{call}")).status, 204);
    node.wait_empty();
    let past = why_of(&mut client, &call);
    assert_eq!((&past["state"], &past["ended"]), (&json!("ended"), &json!("call_ended")));
    assert_eq!(finding(&past, "agent")["verdict"], "fine", "{past:#}");
    assert!(story(&past, "agent").contains("Received "), "the last counters are kept: {past:#}");
    let text = client.get(&format!("/v1/calls/{call}/why?format=text"));
    assert!(text.content_type.starts_with("text/plain"), "{}", text.content_type);
    assert!(text.text.contains("agent [") && text.text.contains("fine"), "{}", text.text);
    let (unknown, wrong) = ("/v1/calls/nobody/why", format!("/v1/calls/{call}/why?format=xml"));
    assert_eq!(client.get(unknown).problem().0, "not-found");
    assert_eq!(client.get(&wrong).problem(), ("malformed", "format"));
}

#[test]
fn a_wrong_announced_address_is_named_with_the_right_one() {
    let setup = Setup { announce: Some(ELSEWHERE.into()), ..Setup::default() };
    let node = LocalNode::start(&setup);
    let call = node.call();
    let token =
        node.client().post(&format!("/v1/calls/{call}/tokens"), &json!({"role": "customer"}));
    let token = token.ok()["token"].as_str().unwrap().to_owned();
    let peer = Peer::new(&Spec::default());
    let path = format!("/v1/calls/{call}/legs");
    let offer = json!({ "offer": peer.offer(&Line::CALL) });
    let added = https::send(node.public, SEEN_AT, &token, "POST", &path, &offer).ok();
    peer.take_answer(added["answer"].as_str().unwrap());

    let why = wait_for(&mut node.client(), &call, "no_checks");
    let finding = finding(&why, "customer");
    says(
        finding,
        &[
            "No connectivity check arrived at 127.0.0.9:",
            "(bound to 127.0.0.1:",
            "reached the node's API at 198.51.100.20, but the node announces 127.0.0.9",
            "announce = \"198.51.100.20\"",
        ],
    );
    let seen = https::send(
        node.public,
        SEEN_AT,
        &token,
        "GET",
        &format!("/v1/calls/{call}/why"),
        &json!({}),
    );
    let guests = seen.ok().to_string();
    assert!(guests.contains("127.0.0.9:") && !guests.contains("bound to"), "{guests}");
}

#[test]
fn chromium_tells_its_side_and_shows_what_the_node_says() {
    requires!(Chromium);
    let node = LocalNode::start(&Setup { announce: Some(ELSEWHERE.into()), ..Setup::default() });
    let (call, mut client) = (node.call(), node.client());
    let token = client.post(&format!("/v1/calls/{call}/tokens"), &json!({ "role": "agent" })).ok();
    let page = format!("https://{}/#token={}", node.public, token["token"].as_str().unwrap());
    let script = root().join("tests/browser/why.mjs");
    let run = Command::new("node").arg(script).args(["--page", &page]).output().unwrap();
    let lines = String::from_utf8(run.stdout).unwrap();
    let done: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(done["ok"], true, "{done:#}");
    let words = done["words"].as_str().unwrap();
    for part in ["agent: no checks", "arrived at 127.0.0.9:", "The browser sent ", "got no answer"]
    {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
    assert!(!words.contains("bound to"), "{words}");
    let why = why_of(&mut client, &call);
    assert!(story(&why, "agent").contains("The browser says after "), "{why:#}");
}

#[test]
fn blocked_udp_is_named_with_the_port_and_the_browsers_side() {
    requires!(Namespaces);
    let walled = Namespace::new();
    let node = inside(Some(&walled.0), || LocalNode::start(&Setup::default()));
    walled.run(&["nft", "add table ip wall; add chain ip wall in { type filter hook input priority 0; }; add rule ip wall in meta l4proto udp drop"]);
    inside(Some(&walled.0), || {
        let call = node.call();
        let mut guest = Guest::join(node.http, &call, "customer", &Spec::default());
        let place = guest.node_address();
        let report = json!({
            "connection": "connecting", "ice": "checking", "after_ms": 6100,
            "pairs": [{ "state": "in-progress", "local": "host", "remote": place.to_string(), "sent": 24, "answered": 0 }]
        });
        assert_eq!(guest.post("report", &report).status, 204);
        assert_eq!(guest.post("report", &report).problem().0, "too-many-requests");
        let why = wait_for(&mut node.client(), &call, "no_checks");
        says(
            finding(&why, "customer"),
            &[
                &format!("No connectivity check arrived at {place}"),
                &format!("The browser sent 24 checks to {place} and got no answer"),
                "Is the announced address 127.0.0.1 right",
                &format!("firewall or security group let UDP {} in", place.port()),
            ],
        );
        assert!(story(&why, "customer").contains("connection connecting, ICE checking"));
        walled.run(&["nft", "delete table ip wall"]);
        guest.peer.wait("connected", |seen| seen.connected);
        wait_for(&mut node.client(), &call, "no_media");
        drop(node);
    });
}

#[test]
fn a_wrong_fingerprint_is_shown_beside_the_right_one() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let (peer, mut client) = (Peer::new(&Spec::default()), node.client());
    let own = peer.offer(&Line::CALL);
    let right = own.lines().find_map(|line| line.strip_prefix("a=fingerprint:sha-256 ")).unwrap();
    let wrong = format!("DE:AD:BE:EF{}", &right[11..]);
    let offer = own.replace(right, &wrong);
    let added = add_leg(&mut client, &call, json!({ "role": "agent", "offer": offer })).ok();
    peer.take_answer(added["answer"].as_str().unwrap());
    ears.hear("the leg ends", |what| matches!(what, What::LegEnded { .. }));
    let why = why(&node, &call);
    let finding = finding(&why, "agent");
    assert_eq!(finding["verdict"], "fingerprint_mismatch", "{why:#}");
    says(
        finding,
        &[
            "sha-256 DE:AD:BE:EF:",
            &format!("it showed sha-256 {}", &right[..11].to_uppercase()),
            "a=fingerprint",
            "No media was let through",
        ],
    );
    in_order(
        &story(&why, "agent"),
        &["settled on the path", "DTLS datagram", "showed a certificate"],
    );
}

#[test]
fn no_common_codec_says_what_was_offered_and_what_the_others_have() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let opus = Spec { g711: false, ..Spec::default() };
    let _first = Guest::join_with(node.http, &call, "customer", &opus, &Line::TALK);
    let peer = Peer::new(&Spec { opus: None, ..Spec::default() });
    let offer = json!({ "role": "pbx", "offer": peer.offer(&Line::TALK) });
    for _ in 0..2 {
        assert_eq!(add_leg(&mut node.client(), &call, offer.clone()).status, 422);
    }
    let why = why(&node, &call);
    let finding = finding(&why, "pbx");
    assert_eq!(finding["verdict"], "no_common_codec", "{why:#}");
    says(finding, &["no-common-codec", "m=audio", "does not transcode", "opus, PCMU"]);
    let story = story(&why, "");
    assert!(
        story.contains("nothing taken; declines PCMU/8000, PCMA/8000, which another leg"),
        "{story}"
    );
    let twice = why["timeline"].as_array().unwrap().iter().find(|moment| {
        moment["text"].as_str().unwrap().starts_with("A request to join as pbx was refused (422")
    });
    assert_eq!(twice.unwrap()["times"], 2, "counted and not repeated");
}

#[test]
fn an_expired_token_is_noted_on_its_call_and_a_forged_one_is_not() {
    let node = LocalNode::start(&Setup { join_secret: Some(SECRET), ..Setup::default() });
    let call = node.call();
    let tokens = JoinTokens::new(Some(SECRET));
    let late = tokens.issue(&call, "customer", Duration::ZERO).unwrap().token;
    let forged = JoinTokens::new(None).issue(&call, "thief", Duration::ZERO).unwrap().token;
    let path = format!("/v1/calls/{call}/legs");
    let offer = json!({ "offer": Peer::new(&Spec::default()).offer(&Line::CALL) });
    for token in [&late, &forged] {
        let refused = https::send(node.public, "localhost", token, "POST", &path, &offer);
        assert_eq!((refused.status, refused.problem().0), (401, "unauthorized"));
    }
    let other = node.call();
    let good = tokens.issue(&other, "agent", PATIENCE).unwrap().token;
    assert_eq!(https::send(node.public, "localhost", &good, "POST", &path, &offer).status, 403);

    let why = wait_for(&mut node.client(), &call, "token_expired");
    let finding = finding(&why, "customer");
    says(finding, &["expired since 20", "refused (401)", "/tokens", "new link"]);
    assert!(!why.to_string().contains("thief"), "whoever signs it himself writes no journal");
    let why = wait_for(&mut node.client(), &other, "token_elsewhere");
    says(self::finding(&why, "agent"), &["used for another call", "403"]);
}

/// A network of its own; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let namespace = Self(format!("cwwhy{}", std::process::id()));
        let made = Command::new("ip").args(["netns", "add", &namespace.0]).status().unwrap();
        assert!(made.success());
        namespace.run(&["ip", "link", "set", "lo", "up"]);
        namespace
    }

    fn run(&self, words: &[&str]) {
        let done =
            Command::new("ip").args(["netns", "exec", &self.0]).args(words).status().unwrap();
        assert!(done.success(), "{words:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[track_caller]
fn why(node: &LocalNode, call: &str) -> Value {
    why_of(&mut node.client(), call)
}

#[track_caller]
fn why_of(client: &mut Client, call: &str) -> Value {
    client.get(&format!("/v1/calls/{call}/why")).ok()
}

/// Waits for a verdict about anybody.
#[track_caller]
fn wait_for(client: &mut Client, call: &str, verdict: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = why_of(client, call);
        let findings = why["summary"].as_array().unwrap();
        if findings.iter().any(|finding| finding["verdict"] == verdict) {
            return why;
        }
        assert!(Instant::now() < deadline, "never {verdict}: {why:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn finding<'a>(why: &'a Value, role: &str) -> &'a Value {
    let mut findings = why["summary"].as_array().unwrap().iter();
    findings.find(|finding| finding["role"] == role).unwrap_or_else(|| panic!("{role}: {why:#}"))
}

/// Asserts that a finding says all of this, to whoever reads it.
#[track_caller]
fn says(finding: &Value, parts: &[&str]) {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    let words = format!("{} {}", text("what"), text("advice"));
    for part in parts {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
}

/// The timeline of a role, or of the call itself.
fn story(why: &Value, role: &str) -> String {
    let of = |moment: &&Value| moment["role"].as_str().unwrap_or_default() == role;
    let moments = why["timeline"].as_array().unwrap().iter().filter(of);
    moments.map(|moment| format!("{}\n", moment["text"].as_str().unwrap())).collect()
}

#[track_caller]
fn in_order(story: &str, parts: &[&str]) {
    let mut rest = story;
    for part in parts {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("`{part}` does not come next in:\n{story}"));
        rest = &rest[at + part.len()..];
    }
}
