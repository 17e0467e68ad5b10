//! What nobody should send: the node answers with a problem or drops and counts, and nothing of it
//! stays or harms a call.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use causeway_control::api::{EndReason, LEGS_PER_CALL, What};
use causeway_control::sdp;
use causeway_tests::guest::{Guest, add_leg};
use causeway_tests::http::Client;
use causeway_tests::local::{Ears, LocalNode, Setup};
use causeway_tests::peer::{Flow, Line, PATIENCE, Peer, Spec};
use serde_json::{Value, json};

const JSON: &str = "application/json";
/// Legs that a worker has where a test counts them.
const FEW: usize = 4;

#[test]
fn bad_requests_are_problems() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut guest = Guest::join(node.http, &call, "customer", &Spec::default());
    let legs = format!("/v1/calls/{call}/legs");
    let leg = format!("{legs}/{}", guest.leg);
    let candidates = format!("{leg}/candidates");
    let nobody = format!("{leg}/receive/0");
    let long = json!({ "offer": "x".repeat(300_000) }).to_string();
    let deep = format!("{{\"offer\": {}", "[".repeat(10_000));
    let many = json!({ "candidates": vec!["candidate:1 1 udp 1 127.0.0.1 9 typ host"; 33] });
    let lengthy = json!({ "candidates": [format!("candidate:{}", "x".repeat(2000))] });
    let cases: Vec<(&str, &str, &[u8], &str, u16)> = vec![
        ("POST", &legs, b"{", JSON, 400),
        ("POST", &legs, b"\xff\xfe\x00", JSON, 400),
        ("POST", &legs, b"[]", JSON, 400),
        ("POST", &legs, b"null", JSON, 400),
        ("POST", &legs, b"{\"offer\": 5}", JSON, 400),
        ("POST", &legs, b"{\"offre\": \"\"}", JSON, 400),
        ("POST", &legs, b"{\"media\": []}", JSON, 400),
        ("POST", &legs, b"{\"media\": [\"smell\"]}", JSON, 400),
        ("POST", &legs, b"{\"role\": \"\"}", JSON, 400),
        ("POST", &legs, b"{\"offer\": \"\"}", "text/plain", 415),
        ("POST", &legs, long.as_bytes(), JSON, 413),
        ("POST", &legs, deep.as_bytes(), JSON, 400),
        ("PUT", &legs, b"{}", JSON, 405),
        ("PUT", &nobody, b"{\"layer\": \"h\"}", JSON, 404),
        ("PUT", &nobody, b"{\"layer\": 1}", JSON, 400),
        ("PUT", &nobody, b"{\"layers\": []}", JSON, 400),
        ("POST", &nobody, b"{}", JSON, 405),
        ("POST", "/v1/calls/nobody/legs", b"{}", JSON, 404),
        ("POST", "/v1/calls/%00%ff/legs", b"{}", JSON, 404),
        ("DELETE", "/v1/calls/nobody", b"", JSON, 404),
        ("GET", "/v1/nothing", b"", JSON, 404),
        ("POST", &candidates, b"{\"candidates\": [\"candidate:garbage\"]}", JSON, 422),
        ("POST", &candidates, b"{\"candidates\": \"candidate\"}", JSON, 400),
        ("POST", &candidates, many.to_string().leak().as_bytes(), JSON, 400),
        ("POST", &candidates, lengthy.to_string().leak().as_bytes(), JSON, 400),
    ];
    let mut client = node.client();
    for (method, path, body, content_type, status) in cases {
        let response = client.send(method, path, body, content_type);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(response.status, status, "{method} {path} {shown}: {}", response.body);
        response.problem();
    }
    for what in ["offer", "answer"] {
        let response = guest.post(what, &json!({ "sdp": "nonsense" }));
        assert!((400..500).contains(&response.status), "{}", response.body);
        response.problem();
    }
    node.wait("the one good leg", |stats| stats["legs"] == 1);
}

#[test]
fn a_bad_offer_is_refused_with_the_line_and_takes_no_place() {
    let node = LocalNode::start(&Setup { legs_per_worker: FEW, ..Setup::default() });
    let (call, good) = (node.call(), Peer::new(&Spec::default()).offer(&Line::CALL));
    let without = |start: &str| -> String {
        good.lines().filter(|l| !l.starts_with(start)).map(|l| format!("{l}\r\n")).collect()
    };
    let many_lines = good.clone() + &"a=x\r\n".repeat(sdp::LINES_MAX + 1);
    let long_line = good.clone() + "a=x:" + &"y".repeat(sdp::LINE_MAX + 1) + "\r\n";
    let many_media =
        good.clone() + &"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(sdp::MEDIA_MAX + 1);
    let cases = [
        (String::new(), 422, "not-sdp", "sdp"),
        ("\0\0\0\0".into(), 422, "not-sdp", "line "),
        (without("v="), 422, "not-sdp", "line "),
        (without("m="), 422, "no-media", ""),
        (without("a=ice-ufrag"), 422, "no-ice-credentials", "line "),
        (without("a=ice-pwd"), 422, "no-ice-credentials", "line "),
        (without("a=fingerprint"), 422, "no-fingerprint", "line "),
        (without("a=rtcp-mux"), 422, "no-rtcp-mux", "line "),
        (without("a=group"), 422, "not-bundled", "line "),
        (without("a=rtpmap"), 422, "no-common-codec", "line "),
        (good.replace("a=ice-pwd:", "a=ice-pwd:!"), 422, "bad-ice-credentials", "line "),
        (good.replace("sha-256", "sha-1"), 422, "", "line "),
        (good.replace("sha-256 ", "sha-256 ZZ:"), 422, "bad-fingerprint", "line "),
        (good.replace("a=setup:actpass", "a=setup:holdconn"), 422, "bad-setup", "line "),
        (good.replace("UDP/TLS/RTP/SAVPF", "UDP/FAX/T38"), 422, "unsupported-profile", "line "),
        (good.replace("m=audio 9", "m=audio nine"), 422, "malformed-media", "line "),
        (many_lines, 413, "", ""),
        (long_line, 413, "", "line "),
        (many_media, 422, "sdp-too-many-media", ""),
    ];
    let mut client = node.client();
    for (offer, status, kind, at) in cases {
        let response = add_leg(&mut client, &call, json!({ "offer": offer }));
        let start: String = offer.chars().take(60).collect();
        assert_eq!(response.status, status, "{kind} {start:?}: {}", response.body);
        let problem = response.problem();
        assert!(kind.is_empty() || problem.0.ends_with(kind), "wanted {kind}: {problem:?}");
        assert!(problem.1.starts_with(at), "wanted {at}: {problem:?}");
        let knob = kind != "no-rtcp-mux" || response.text.contains("mux_ports");
        assert!(knob, "what to change is named: {}", response.body);
        for secret in ["ice-pwd:", "sha-256 "] {
            let value = good.split(secret).nth(1).unwrap().lines().next().unwrap();
            assert!(!response.body.to_string().contains(value), "a secret is shown");
        }
    }
    takes_as_many_as_ever(&node);
}

#[test]
fn a_mangled_offer_is_taken_or_refused_and_nothing_stays_of_it() {
    let node = LocalNode::start(&Setup { legs_per_worker: FEW, ..Setup::default() });
    let (call, mut client, mut chance) = (node.call(), node.client(), Chance(7));
    let good = Peer::new(&Spec::default()).offer(&Line::CALL).into_bytes();
    let legs = format!("/v1/calls/{call}/legs");
    for _ in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..=chance.below(3) {
            let place = chance.below(bytes.len());
            match chance.below(4) {
                0 => bytes[place] = chance.byte() & 0x7f,
                1 => bytes.truncate(place.max(1)),
                2 => drop(bytes.drain(place..(place + chance.below(200)).min(bytes.len()))),
                _ => {
                    let from = chance.below(bytes.len());
                    let piece = bytes[from..(from + chance.below(300)).min(bytes.len())].to_vec();
                    bytes.splice(place..place, piece);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'v');
            }
        }
        let offer = String::from_utf8_lossy(&bytes).into_owned();
        let response = add_leg(&mut client, &call, json!({ "offer": offer }));
        match response.status {
            201 => {
                let leg = response.body["leg"]["id"].as_str().unwrap();
                assert_eq!(client.delete(&format!("{legs}/{leg}")).status, 204);
            }
            // The slot of the leg before is on its way back.
            503 => {}
            status => {
                assert!((400..500).contains(&status), "{} for {offer}", response.body);
                response.problem();
            }
        }
    }
    takes_as_many_as_ever(&node);
}

#[test]
fn a_wrong_fingerprint_ends_the_leg_before_it_has_keys() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call, mut client) = (node.listen(), node.call(), node.client());
    let peer = Peer::new(&Spec::default());
    let good = peer.offer(&Line::CALL);
    let digest = good.split("sha-256 ").nth(1).unwrap().lines().next().unwrap();
    let last = if digest.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &digest[..digest.len() - 1]);
    let offer = good.replace(digest, &wrong);
    let added = add_leg(&mut client, &call, json!({ "offer": offer })).ok();
    peer.send(Flow::audio(1));
    peer.take_answer(added["answer"].as_str().unwrap());
    let id = added["leg"]["id"].as_str().unwrap();
    let ended = ears.hear("the leg ends", |what| {
        assert!(!matches!(what, What::LegChanged { leg, .. } if leg.security.is_some()));
        matches!(what, What::LegEnded { leg, .. } if leg.id == id)
    });
    let What::LegEnded { leg, .. } = ended else { unreachable!() };
    assert_eq!((leg.ended, leg.security), (Some(EndReason::FingerprintMismatch), None));
    node.wait("no leg", |stats| stats["legs"] == 0);
}

#[test]
fn a_wrong_ice_password_leads_to_no_pair() {
    let node = LocalNode::start(&Setup { join: Duration::from_secs(2), ..Setup::default() });
    let (mut ears, call, mut client) = (node.listen(), node.call(), node.client());
    let peer = Peer::new(&Spec::default());
    let offer = peer.offer(&Line::CALL);
    let added = add_leg(&mut client, &call, json!({ "offer": offer })).ok();
    let answer = added["answer"].as_str().unwrap();
    let password = answer.split("a=ice-pwd:").nth(1).unwrap().lines().next().unwrap();
    peer.take_answer(&answer.replace(password, &"x".repeat(password.len())));
    let id = added["leg"]["id"].as_str().unwrap();
    ended(&mut ears, id, &[EndReason::JoinTimeout]);
    assert!(!peer.seen().connected);
    node.wait("no leg", |stats| stats["legs"] == 0);
}

#[test]
fn noise_from_many_sources_is_counted_and_harms_no_call() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call) = (node.listen(), node.call());
    let mut guests =
        ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &Spec::default()));
    ears.hear("the call is active", |what| matches!(what, What::CallActive { .. }));
    for (sender, guest) in (1..).zip(&guests) {
        guest.peer.send(Flow::audio(sender));
        guest.peer.send(Flow::video(sender));
    }
    let target = guests[0].node_address();
    let before = drops(&node.client().get("/v1/node").ok());
    let sources: Vec<_> =
        (0..64).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let mut chance = Chance(42);
    for round in 0..40 {
        for source in &sources {
            source.send_to(&noise(&mut chance, round), target).unwrap();
        }
        // Not faster than media goes: what overflows the socket is lost before the node sees it.
        let heard = guests[0].peer.seen().video.of(2);
        guests[0].peer.wait("media in the noise", |seen| seen.video.of(2) > heard);
    }
    let stats = node.wait("the noise is counted", |stats| drops(stats) >= before + 64 * 30);
    let kinds = stats["workers"][0]["drops"].as_object().unwrap();
    let counted = kinds.values().filter(|count| count.as_u64() > Some(0)).count();
    assert!(counted >= 3, "each by its reason: {kinds:?}");
    assert_eq!(stats["legs"], 2);

    guests.iter().for_each(|guest| guest.peer.quiet());
    for place in 0..2 {
        let sent = guests[place].peer.seen().sent;
        let seen = guests[1 - place]
            .peer
            .wait("all media", |seen| seen.audio.whole >= sent[0] && seen.video.whole >= sent[1]);
        assert_eq!((seen.audio.broken, seen.video.broken), (0, 0));
        assert_eq!((seen.audio.whole, seen.video.whole), (sent[0], sent[1]));
        assert_eq!(guests[place].view()["state"], "connected");
        let stats = guests[place].stats();
        assert_eq!(stats["received"][1]["lost"], 0, "{stats}");
    }
}

#[test]
fn noise_from_a_legs_own_address_harms_no_other() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, call, mut chance) = (node.listen(), node.call(), Chance(3));
    let guests =
        ["customer", "agent"].map(|role| Guest::join(node.http, &call, role, &Spec::default()));
    let target = guests[0].node_address();
    for round in 0..400 {
        guests[0].peer.throw(target, &noise(&mut chance, round));
    }
    ears.hear("the call is active", |what| matches!(what, What::CallActive { .. }));
    for round in 0..400 {
        guests[0].peer.throw(target, &noise(&mut chance, round));
    }
    for (sender, guest) in (1..).zip(&guests) {
        guest.peer.send(Flow::video(sender));
    }
    guests[0].peer.wait("video", |seen| seen.video.of(2) > 30 && seen.video.broken == 0);
    guests[1].peer.wait("video", |seen| seen.video.of(1) > 30 && seen.video.broken == 0);
}

#[test]
fn a_handshake_survives_or_ends_among_forged_records() {
    let node = LocalNode::start(&Setup::default());
    let (mut ears, mut chance) = (node.listen(), Chance(9));
    for _ in 0..8 {
        let call = node.call();
        let guest = Guest::join(node.http, &call, "customer", &Spec::default());
        let target = guest.node_address();
        // While checks and the handshake run: neither side says when it is half-way.
        let over = |what: &What| match what {
            What::LegChanged { leg, .. } => leg.id == guest.leg && leg.security.is_some(),
            What::LegEnded { leg, .. } if leg.id == guest.leg => {
                assert_eq!(leg.ended, Some(EndReason::DtlsFailed));
                true
            }
            _ => false,
        };
        let deadline = Instant::now() + PATIENCE;
        while !ears.heard(over) {
            assert!(Instant::now() < deadline, "neither connected nor failed");
            guest.peer.throw(target, &forged_dtls(&mut chance));
            std::thread::sleep(Duration::from_millis(1));
        }
        node.client().delete(&format!("/v1/calls/{call}")).ok();
    }
    node.wait_empty();
}

#[test]
fn a_call_takes_no_more_legs_than_it_may_even_at_once() {
    let node = LocalNode::start(&Setup::default());
    let (call, http) = (node.call(), node.http);
    let offer = Peer::new(&Spec::default()).offer(&Line::CALL);
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let (call, offer) = (call.clone(), offer.clone());
            std::thread::spawn(move || {
                let response = add_leg(&mut Client::new(http), &call, json!({ "offer": offer }));
                if response.status != 201 {
                    assert_eq!(response.problem().0, "conflict");
                }
                response.status
            })
        })
        .collect();
    let answers: Vec<u16> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let count = |wanted| answers.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(201), LEGS_PER_CALL, "{answers:?}");
    assert_eq!(count(409), answers.len() - LEGS_PER_CALL, "{answers:?}");
    node.wait("the call's legs", |stats| stats["legs"] == LEGS_PER_CALL);
}

#[test]
fn a_full_worker_refuses_and_has_room_again() {
    let node = LocalNode::start(&Setup { legs_per_worker: FEW, ..Setup::default() });
    for _ in 0..3 {
        takes_as_many_as_ever(&node);
    }
}

#[test]
fn a_full_node_refuses_calls_and_has_room_again() {
    let node = LocalNode::start(&Setup { calls: 2, ..Setup::default() });
    let mut client = node.client();
    let calls = [node.call(), node.call()];
    let refused = client.post("/v1/calls", &json!({}));
    assert_eq!((refused.status, refused.problem().0), (503, "unavailable"));
    assert_eq!(client.delete(&format!("/v1/calls/{}", calls[0])).status, 204);
    until_taken(|| client.post("/v1/calls", &json!({})));
}

/// Fills the worker to its limit of [`FEW`], asks for a refusal, and empties it.
#[track_caller]
fn takes_as_many_as_ever(node: &LocalNode) {
    let mut client = node.client();
    let offer = Peer::new(&Spec::default()).offer(&Line::CALL);
    let calls: Vec<String> = (0..=FEW / 2)
        .map(|_| until_taken(|| client.post("/v1/calls", &json!({}))))
        .map(|call| call["id"].as_str().unwrap().to_owned())
        .collect();
    let (late, full) = calls.split_last().unwrap();
    for call in full.iter().flat_map(|call| [call; 2]) {
        until_taken(|| add_leg(&mut client, call, json!({ "offer": offer })));
    }
    let refused = add_leg(&mut client, late, json!({ "offer": offer }));
    assert_eq!((refused.status, refused.problem().0), (503, "unavailable"));
    node.wait("a full worker", |stats| stats["legs"] == FEW);
    for call in &calls {
        assert_eq!(client.delete(&format!("/v1/calls/{call}")).status, 204);
    }
    node.wait("an empty worker", |stats| stats["legs"] == 0);
}

/// Repeats a request while it is refused for want of room that is on its way back.
#[track_caller]
fn until_taken(mut ask: impl FnMut() -> causeway_tests::http::Response) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = ask();
        if response.status != 503 {
            return response.ok();
        }
        assert!(Instant::now() < deadline, "no room came back: {}", response.body);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn ended(ears: &mut Ears, id: &str, reasons: &[EndReason]) {
    let ended = ears
        .hear("the leg ends", |what| matches!(what, What::LegEnded { leg, .. } if leg.id == id));
    let What::LegEnded { leg, .. } = ended else { unreachable!() };
    assert!(leg.ended.is_some_and(|reason| reasons.contains(&reason)), "{leg:?}");
}

/// All packets that the worker has dropped.
fn drops(stats: &Value) -> u64 {
    let kinds = stats["workers"][0]["drops"].as_object().unwrap();
    kinds.values().filter_map(Value::as_u64).sum()
}

/// A datagram that looks like one of the protocols for as long as nobody looks closely.
fn noise(chance: &mut Chance, round: usize) -> Vec<u8> {
    let length = chance.below(1400);
    let mut bytes: Vec<u8> = (0..length).map(|_| chance.byte()).collect();
    let head: &[u8] = match round % 6 {
        // A STUN Binding request with the magic cookie and whatever attributes.
        0 => &[0, 1, (length >> 8) as u8, length as u8, 0x21, 0x12, 0xa4, 0x42],
        // A DTLS handshake record.
        1 => &[22, 254, 253, 0, 0],
        // RTP, RTCP, ChannelData.
        2 => &[0x80, 111],
        3 => &[0x81, 200, 0, 6],
        4 => &[0x40, 0],
        _ => &[],
    };
    bytes.iter_mut().zip(head).for_each(|(byte, start)| *byte = *start);
    bytes
}

/// A record of DTLS 1.2 or 1.3 with a plausible head and nothing true in it.
fn forged_dtls(chance: &mut Chance) -> Vec<u8> {
    let body: Vec<u8> = (0..chance.below(300)).map(|_| chance.byte()).collect();
    let kind = [20, 21, 22, 23, 0x2f][chance.below(5)];
    let mut bytes = vec![kind, 254, 253, 0, 0, 0, 0, 0, 0, 0, chance.byte()];
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Numbers that are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 24) as u8
    }
}
