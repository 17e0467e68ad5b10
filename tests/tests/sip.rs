//! SIP media peers over REST: plain RTP on ports of their own, with each other and with WebRTC.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use causeway_control::api::{EndReason, What};
use causeway_control::proxied::Timeouts;
use causeway_tests::baresip::{Baresip, Protection};
use causeway_tests::guest::{Guest, add_leg};
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::peer::parted::{EVENTS, Parted};
use causeway_tests::peer::{Flow, MediaKind, PATIENCE, Spec, payload};
use causeway_tests::phone::{OPUS, Phone, describe, receive};
use causeway_tests::requires;
use causeway_tests::sip::{Dialog, Doorbell};
use serde_json::json;

#[test]
fn two_phones_talk_and_hear_each_others_reports() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut phones = [1, 2].map(|sender| Phone::join(node.http, &call, sender));
    for phone in &mut phones {
        let view = phone.view();
        assert_eq!(view["state"], "connected", "{view}");
        assert_eq!(view["security"], "none (plain RTP)");
        assert_eq!(view["remote"], phone.rtp.local_addr().unwrap().to_string());
        let [rtp, rtcp] = phone.node;
        assert!(rtp.port().is_multiple_of(2) && rtcp.port() == rtp.port() + 1, "RFC 3550 §11");
    }
    let [a, b] = &mut phones;
    for number in 1..=3 {
        a.send();
        let (payload_type, ssrc, sender, got) = b.receive();
        assert_eq!((payload_type, sender, got), (OPUS, 1, number));
        assert_ne!(ssrc, a.ssrc, "the node speaks for itself");
        b.send();
        assert_eq!(a.receive().2, 2);
    }
    // RTCP goes its own way, in the node's name.
    a.report();
    let report = receive(&b.rtcp, Duration::from_secs(10)).unwrap();
    assert_eq!(report[1], 200, "a sender report");
    a.send();
    assert_eq!(b.receive().1.to_be_bytes(), report[4..8]);
    a.leave();
    node.wait_empty();
}

#[test]
fn why_tells_where_a_silent_phones_media_belongs() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut phone = Phone::new(node.http, &call, 1);
    phone.join_with(&describe("192.0.2.9 4000 4001", ""));
    let why = node.client().get(&format!("/v1/calls/{call}/why")).ok();
    let at = phone.node[0].to_string();
    let (text, leg) = (why.to_string(), &why["summary"][0]);
    assert_eq!(leg["verdict"], "no_media", "{why}");
    assert!(leg["advice"].as_str().unwrap().contains(&at), "{why}");
    assert!(text.contains("the node sends to 192.0.2.9:4000"), "{why}");
    assert!(text.contains("none (plain RTP)") && !text.contains("ICE"), "{why}");
}

#[test]
fn a_phone_and_a_browser_talk() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let guest = Guest::join(node.http, &call, "browser", &Spec::default());
    guest.peer.wait("connected", |seen| seen.connected);
    let mut phone = Phone::join(node.http, &call, 7);
    guest.peer.send(Flow::audio(3));
    let (payload_type, _, sender, _) = phone.receive();
    assert_eq!((payload_type, sender), (OPUS, 3), "under the phone's number");
    for _ in 0..50 {
        phone.send();
    }
    guest.peer.wait("the phone's sound", |seen| {
        seen.audio.numbers.get(&7).is_some_and(|numbers| numbers.len() >= 50)
    });
    assert_eq!(guest.peer.seen().audio.broken, 0);
}

#[test]
fn a_phone_with_sdes_talks_with_a_plain_one_and_with_whoever_has_no_key_not() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut plain = Phone::join(node.http, &call, 1);
    let mut secure = Phone::new(node.http, &call, 2);
    let key: Vec<u8> = (0..30).collect();
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n", STANDARD.encode(&key));
    let offer = format!("{}{line}", secure.offer().replace("RTP/AVP", "RTP/SAVP"));
    let answer = secure.join_with(&offer);
    let theirs = answer.lines().find_map(|line| line.strip_prefix("a=crypto:1 ")).unwrap();
    let theirs = theirs.strip_prefix("AES_CM_128_HMAC_SHA1_80 inline:").unwrap();
    let theirs = STANDARD.decode(theirs).unwrap();
    assert_ne!(theirs, key);
    secure.take_keys(&key, &theirs);
    assert_eq!(secure.view()["security"], "SDES, AES_CM_128_HMAC_SHA1_80");
    for number in 1..=3 {
        secure.send();
        assert_eq!(plain.receive().2, 2);
        plain.send();
        let (_, _, sender, got) = secure.receive();
        assert_eq!((sender, got), (1, number));
    }
    // The same key again changes nothing, and what has no tag is nobody's.
    let again = secure.renew(&offer);
    assert!(again.contains(answer.lines().find(|line| line.starts_with("a=crypto")).unwrap()));
    let mut thief = Phone::new(node.http, &call, 9);
    thief.node = secure.node;
    thief.send_from(&secure.rtp);
    assert!(Phone::is_silent(&plain.rtp));
    secure.send();
    assert_eq!(plain.receive().2, 2);
}

#[test]
fn a_phone_behind_a_nat_is_found_by_its_first_packet_and_by_that_alone() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut open = Phone::join(node.http, &call, 1);
    let mut hidden = Phone::new(node.http, &call, 2);
    hidden.join_with(&describe("192.0.2.9 4000 4001", ""));
    hidden.send();
    assert_eq!(open.receive().2, 2);
    open.send();
    assert_eq!(hidden.receive().2, 1);
    let found = hidden.rtp.local_addr().unwrap().to_string();
    hidden.wait_view("where it sends from", |view| view["remote"] == found);

    // Who comes later, or comes to a leg whose far side sends from where it said, gets nothing.
    let thief = UdpSocket::bind("127.0.0.1:0").unwrap();
    hidden.send_from(&thief);
    open.send();
    hidden.receive();
    let call = node.call();
    let [mut other, mut victim] = [3, 4].map(|sender| Phone::join(node.http, &call, sender));
    victim.send();
    assert_eq!(other.receive().2, 4);
    victim.send_from(&thief);
    other.send();
    assert_eq!(victim.receive().2, 3);
    assert!(Phone::is_silent(&thief), "it was sent somebody's media");
    let why = node.client().get(&format!("/v1/calls/{call}/why")).ok().to_string();
    assert!(why.contains("1 packet from elsewhere not taken: attempts to inject media"), "{why}");
}

#[test]
fn a_renewed_offer_moves_holds_and_resumes() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let [mut a, mut b] = [1, 2].map(|sender| Phone::join(node.http, &call, sender));
    let moved = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = |socket: &UdpSocket| {
        let port = socket.local_addr().unwrap().port();
        format!("127.0.0.1 {port} {}", b.rtcp.local_addr().unwrap().port())
    };
    let (there, hold) = (at(&moved), at(&b.rtp).replacen("127.0.0.1", "0.0.0.0", 1));
    let ports = b.node;
    let answer = b.renew(&describe(&there, ""));
    assert!(answer.contains(&format!("m=audio {} ", ports[0].port())), "ports stay: {answer}");
    a.send();
    assert!(receive(&moved, Duration::from_secs(10)).is_some());
    // RFC 3264 §8.4.
    for offer in [describe(&there, "a=sendonly\r\n"), describe(&hold, "")] {
        let answer = b.renew(&offer);
        assert!(answer.contains("a=recvonly\r\n"), "{answer}");
        a.send();
        assert!(Phone::is_silent(&moved));
    }
    b.renew(&describe(&there, ""));
    a.send();
    assert!(receive(&moved, Duration::from_secs(10)).is_some());
}

#[test]
fn what_the_node_cannot_take_is_refused_by_name_and_leaves_nothing() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut phone = Phone::new(node.http, &call, 1);
    let good = phone.offer();
    let lines: String = (0..5).map(|_| "m=audio 4000 RTP/AVP 0\r\n").collect();
    for (offer, status, kind) in [
        (good.replace("RTP/AVP", "RTP/SAVP"), 422, "no-crypto"),
        (good.replace("c=IN IP4 127.0.0.1\r\n", ""), 422, "no-connection"),
        (good.replace("opus/48000/2", "G729/8000"), 422, "no-common-codec"),
        (format!("{good}{lines}"), 422, "sdp-too-many-ports"),
        (good.replace("IN IP4 127.0.0.1", "IN IP6 ::1"), 503, "unavailable"),
    ] {
        let response = phone.try_join(&offer);
        assert_eq!(response.status, status, "{offer}\n{}", response.body);
        assert!(response.problem().0.ends_with(kind), "{}", response.body);
    }
    phone.join_with(&good);
    phone.leave();
}

#[test]
fn a_phone_that_falls_silent_is_gone_and_its_call_with_it() {
    let timeouts = Timeouts { media: Duration::from_secs(1), ..Timeouts::default() };
    let node = LocalNode::start(&Setup { timeouts, ..Setup::default() });
    let (call, mut ears) = (node.call(), node.listen());
    let mut phones = [1, 2].map(|sender| Phone::join(node.http, &call, sender));
    phones[0].send();
    assert_eq!(phones[1].receive().2, 1);
    let ended = ears.hear("the end", |what| matches!(what, What::CallEnded { .. }));
    let What::CallEnded { reason, .. } = ended else { unreachable!() };
    assert_eq!(reason, EndReason::MediaTimeout);
    node.wait_empty();
}

#[test]
fn a_call_lasts_no_longer_than_calls_may() {
    let timeouts = Timeouts { r#final: Duration::from_secs(1), ..Timeouts::default() };
    let node = LocalNode::start(&Setup { timeouts, ..Setup::default() });
    let (call, mut ears) = (node.call(), node.listen());
    let _phones = [1, 2].map(|sender| Phone::join(node.http, &call, sender));
    let ended = ears.hear("the end", |what| matches!(what, What::CallEnded { .. }));
    assert!(matches!(ended, What::CallEnded { reason: EndReason::FinalTimeout, .. }), "{ended:?}");
    node.wait_empty();
}

/// A call with a phone that has joined by an offer, and a second phone.
fn with_one(node: &LocalNode) -> (Phone, Phone) {
    let call = node.call();
    (Phone::join(node.http, &call, 1), Phone::new(node.http, &call, 2))
}

#[test]
fn a_phone_that_the_node_offers_to_talks_with_another_under_its_own_numbers() {
    let node = LocalNode::start(&Setup::default());
    let (mut a, mut b) = with_one(&node);
    let offer = b.ask(&json!({ "role": "pbx", "kind": "rtp" }));
    let [rtp, rtcp] = b.node;
    assert!(offer.contains(&format!("m=audio {} RTP/AVP 111 110\r\n", rtp.port())), "{offer}");
    assert!(rtp.port().is_multiple_of(2) && rtcp.port() == rtp.port() + 1, "RFC 3550 §11");
    assert_eq!(b.view()["state"], "offered");
    // Whoever finds the port before the answer teaches nothing.
    let thief = UdpSocket::bind("127.0.0.1:0").unwrap();
    b.send_from(&thief);
    let answer = b.offer();
    b.answer(&answer);
    let view = b.view();
    assert_eq!(
        (&view["state"], &view["security"]),
        (&json!("connected"), &json!("none (plain RTP)"))
    );
    assert_eq!(view["remote"], b.rtp.local_addr().unwrap().to_string());
    for number in 1..=3 {
        a.send();
        let (payload_type, ssrc, sender, got) = b.receive();
        assert_eq!((payload_type, sender, got), (OPUS, 1, number));
        assert_ne!(ssrc, a.ssrc);
        b.send();
        let (payload_type, _, sender, got) = a.receive();
        assert_eq!((payload_type, sender, got), (OPUS, 2, number + 1));
    }
    assert!(Phone::is_silent(&thief));
    a.report();
    assert_eq!(receive(&b.rtcp, Duration::from_secs(10)).unwrap()[1], 200, "a sender report");
    assert_eq!(b.try_answer(&answer).status, 409, "it is answered");
    b.leave();
    node.wait_empty();
}

#[test]
fn a_media_server_behind_a_nat_that_is_offered_to_is_found_once() {
    let node = LocalNode::start(&Setup::default());
    let (mut a, mut b) = with_one(&node);
    b.ask(&json!({ "kind": "rtp", "rtcp_mux": true }));
    b.answer(&describe("192.0.2.9 4000 4001", "a=rtcp-mux\r\n"));
    assert_eq!(b.view()["remote"], "192.0.2.9:4000");
    b.send();
    assert_eq!(a.receive().2, 2);
    a.send();
    assert_eq!(b.receive().2, 1);
    let found = b.rtp.local_addr().unwrap().to_string();
    b.wait_view("where it sends from", |view| view["remote"] == found);
    let thief = UdpSocket::bind("127.0.0.1:0").unwrap();
    b.send_from(&thief);
    a.send();
    b.receive();
    assert!(Phone::is_silent(&thief), "it was sent somebody's media");
    // RTCP came to share the port.
    a.report();
    assert_eq!(receive(&b.rtp, Duration::from_secs(10)).unwrap()[1], 200, "a sender report");
}

/// What the node offers of a suite: the tag, and key and salt.
#[track_caller]
fn offered_key(offer: &str, suite: &str) -> (String, Vec<u8>) {
    let line = offer.lines().find(|line| line.starts_with("a=crypto:") && line.contains(suite));
    let words: Vec<_> = line.expect("the suite is offered").split([' ', ':']).collect();
    let [_, tag, _, "inline", key] = words[..] else { panic!("{words:?}") };
    (tag.into(), STANDARD.decode(key).expect("base64"))
}

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

#[test]
fn a_media_server_with_sdes_chooses_a_key_and_is_followed_where_it_is_authentic() {
    let node = LocalNode::start(&Setup::default());
    let (mut a, mut b) = with_one(&node);
    let offer = b.ask(&json!({ "kind": "sdes" }));
    let (tag, theirs) = offered_key(&offer, SUITE);
    let strongest = offer.lines().find(|line| line.starts_with("a=crypto:1 "));
    assert!(strongest.is_some_and(|line| line.contains("AEAD_AES_256_GCM")), "{offer}");
    let key: Vec<u8> = (0..30).collect();
    let line = |key: &[u8]| format!("a=crypto:{tag} {SUITE} inline:{}\r\n", STANDARD.encode(key));
    let secured = |at: &str, more: &str| describe(at, more).replace("RTP/AVP", "RTP/SAVP");
    b.answer(&secured("192.0.2.9 4000 4001", &line(&key)));
    b.take_keys(&key, &theirs);
    assert_eq!(b.view()["security"], format!("SDES, {SUITE}"));
    let mut thief = Phone::new(node.http, "", 9);
    (thief.node, thief.opus) = (b.node, 111);
    let moved = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [b.rtp.try_clone().unwrap(), moved] {
        thief.send();
        b.send_from(&socket);
        assert_eq!(a.receive().2, 2, "what is not authentic is nobody's");
        b.rtp = socket;
        a.send();
        assert_eq!(b.receive().2, 1, "where it sends from");
    }
    assert!(Phone::is_silent(&thief.rtp) && Phone::is_silent(&a.rtp));
    // The node's next offer has the key that is in use, and both go on where they were.
    let again = b.propose("sendonly");
    assert_eq!(offered_key(&again, SUITE), (tag.clone(), theirs));
    assert_eq!(again.matches("a=crypto").count(), 1);
    b.try_answer(&secured("192.0.2.9 4000 4001", &format!("{}a=recvonly\r\n", line(&key)))).ok();
    a.send();
    assert_eq!(b.receive().2, 1);
    b.send();
    assert!(Phone::is_silent(&a.rtp), "it is on hold");
}

#[test]
fn either_side_holds_and_resumes_a_leg_that_the_node_offered_to() {
    let node = LocalNode::start(&Setup::default());
    let (mut a, mut b) = with_one(&node);
    let first = b.ask(&json!({ "kind": "rtp" }));
    let own = b.offer();
    b.answer(&own);
    let version = |sdp: &str| sdp.lines().nth(1).unwrap().split(' ').nth(2).unwrap().to_owned();
    let flows = |a: &mut Phone, b: &mut Phone, [to_b, to_a]: [bool; 2]| {
        a.send();
        assert_eq!(!Phone::is_silent(&b.rtp), to_b, "to the phone");
        b.send();
        assert_eq!(!Phone::is_silent(&a.rtp), to_a, "from the phone");
    };
    flows(&mut a, &mut b, [true, true]);
    for (asked, answered, way) in [
        ("sendonly", "a=recvonly\r\n", [true, false]),
        ("inactive", "a=inactive\r\n", [false, false]),
        ("sendrecv", "", [true, true]),
    ] {
        let again = b.propose(asked);
        assert!(again.contains(&format!("a={asked}\r\n")), "{again}");
        assert_ne!(version(&again), version(&first));
        b.try_answer(&format!("{own}{answered}")).ok();
        flows(&mut a, &mut b, way);
    }
    // The phone's offer comes before the answer to the node's, which is forgotten.
    b.opus = OPUS;
    let pending = b.propose("inactive");
    let answer = b.renew(&format!("{own}a=sendonly\r\n"));
    assert!(answer.contains("a=recvonly\r\n") && version(&answer) != version(&pending), "{answer}");
    assert_eq!(b.try_answer(&own).status, 409);
    flows(&mut a, &mut b, [false, true]);
    b.renew(&own);
    flows(&mut a, &mut b, [true, true]);
}

#[test]
fn what_cannot_be_offered_or_answered_is_said_by_name() {
    let node = LocalNode::start(&Setup::default());
    let (_a, mut b) = with_one(&node);
    for (asked, status, kind, at) in [
        (json!({ "kind": "srtp" }), 400, "malformed", "line 1"),
        (json!({ "kind": "rtp", "interface": "moon" }), 422, "no-such-interface", "interface"),
        (json!({ "rtcp_mux": true }), 400, "malformed", "rtcp_mux"),
        (json!({ "kind": "webrtc", "direction": "sendonly" }), 400, "malformed", "direction"),
        (json!({ "interface": "loopback" }), 400, "malformed", "interface"),
        (json!({ "kind": "rtp", "media": [] }), 400, "malformed", "media"),
        (json!({ "kind": "rtp", "offer": b.offer() }), 400, "malformed", "kind"),
        (json!({ "offer": b.offer(), "interface": "moon" }), 422, "no-such-interface", "interface"),
    ] {
        let response = b.try_ask(&asked);
        assert_eq!(response.status, status, "{asked}: {}", response.body);
        assert!(response.problem().0.ends_with(kind), "{asked}: {}", response.body);
        assert!(
            response.body["at"].as_str().is_some_and(|said| said.contains(at)),
            "{}",
            response.body
        );
    }
    b.ask(&json!({ "kind": "rtp", "interface": "loopback" }));
    let good = b.offer();
    assert_eq!(b.try_propose("sendonly").status, 409, "the first offer is not answered");
    for (answer, kind) in [
        (good.replace("RTP/AVP", "RTP/SAVP"), "profile-mismatch"),
        (good.replace("c=IN IP4 127.0.0.1\r\n", ""), "no-connection"),
        (good.replace("opus/48000/2", "GSM/8000"), "no-common-codec"),
        (good.replace("m=audio", "m=video"), "media-mismatch"),
        (format!("{good}a=rtcp-mux\r\n"), "rtcp-mux-changed"),
        ("hello".to_owned(), "not-sdp"),
    ] {
        let response = b.try_answer(&answer);
        assert_eq!(response.status, 422, "{answer}: {}", response.body);
        assert!(response.problem().0.ends_with(kind), "{}", response.body);
    }
    b.answer(&good);
    b.leave();
    let browser = Guest::answer(node.http, &node.call(), "browser", &Spec::default());
    let path = format!("/v1/calls/{}/legs/{}/offer", browser.call, browser.leg);
    assert_eq!(node.client().post(&path, &json!({ "direction": "sendonly" })).status, 409);
}

/// A digit as RFC 4733 §2.3 has it: the event, its end and volume, and how long it has lasted.
fn digit(event: u8, is_last: bool, lasted: u16) -> Vec<u8> {
    let [high, low] = lasted.to_be_bytes();
    vec![event, u8::from(is_last) << 7 | 10, high, low]
}

/// Events of a phone, of a browser beside opus, and of a browser beside G.711.
const PHONE: u8 = 101;
const BESIDE_OPUS: (u8, u32) = EVENTS[0];
const BESIDE_G711: (u8, u32) = EVENTS[1];

/// On each leg digits come under its own number and in its own clock.
#[test]
fn digits_pass_between_a_phone_and_a_browser_under_the_numbers_of_each() {
    for (codec, rate, sent, taken) in [
        ("opus/48000/2", 48_000, BESIDE_OPUS, BESIDE_OPUS),
        ("PCMU/8000", 8_000, BESIDE_G711, BESIDE_G711),
        // Phones often have events of 8000 alone, whatever their audio.
        ("opus/48000/2", 8_000, BESIDE_OPUS, BESIDE_G711),
    ] {
        for node_offers in [false, true] {
            let node = LocalNode::start(&Setup { mux_ports: 2, ..Setup::default() });
            let (call, mut ears) = (node.call(), node.listen());
            let mut browser = Parted::new(7);
            let mut client = node.client();
            let joined = add_leg(&mut client, &call, json!({ "offer": browser.offer() })).ok();
            browser.take_answer(joined["answer"].as_str().unwrap());
            let mut phone = Phone::new(node.http, &call, 1);
            let own = phone.offer().replace("opus/48000/2", codec);
            let own = own.replace("event/48000", &format!("event/{rate}"));
            let numbers = if node_offers {
                let offer = phone.ask(&json!({ "kind": "rtp" }));
                let number = |name: &str| {
                    let line = offer.lines().find(|line| line.ends_with(name)).unwrap();
                    line.split([':', ' ']).nth(1).unwrap().parse().unwrap()
                };
                phone.answer(&own);
                (number(codec), number(&format!("telephone-event/{rate}")))
            } else {
                phone.join_with(&own);
                (OPUS, PHONE)
            };
            let active = |what: &What| matches!(what, What::CallActive { .. });
            browser.wait("the call is active", |_| ears.heard(active));
            digits_to_browser(&mut phone, numbers, rate, &mut browser, taken);
            digits_to_phone(&mut phone, rate, &mut browser, sent);
        }
    }
}

/// A digit in three packets, each as long as the one before and 20 ms more.
fn digits(event: u8, rate: u32) -> [Vec<u8>; 3] {
    [1, 2, 3]
        .map(|part| digit(event, part == 3, u16::try_from(part * rate / 50).expect("it is short")))
}

fn digits_to_browser(
    phone: &mut Phone,
    (audio, event): (u8, u8),
    rate: u32,
    browser: &mut Parted,
    (number, clock): (u8, u32),
) {
    let socket = phone.rtp.try_clone().expect("it can be cloned");
    phone.send_payload(&socket, audio, 9600, &payload::write(MediaKind::Audio, 1, 1));
    browser.wait("the phone's sound", |seen| !seen.numbers[0].is_empty());
    for payload in digits(5, rate) {
        phone.send_payload(&socket, event, 11_520, &payload);
    }
    let seen = browser.wait("a digit", |seen| seen.events.len() == 3);
    let stamp = seen.events[0].1;
    let told = digits(5, clock).map(|payload| (number, stamp, payload));
    assert_eq!(seen.events, told, "of one time stamp: one event");
}

fn digits_to_phone(phone: &mut Phone, rate: u32, browser: &mut Parted, (number, clock): (u8, u32)) {
    for payload in digits(9, clock) {
        browser.send_event(number, 67_200, &payload);
    }
    let mut came = Vec::new();
    while came.len() < 3 {
        // Amid the browser's sound, which waits for nobody.
        let packet = phone.receive_packet();
        if packet.payload_type == PHONE {
            came.push(packet);
        }
    }
    assert!(came.iter().all(|packet| packet.timestamp == came[0].timestamp), "{came:?}");
    let payloads: Vec<_> = came.into_iter().map(|packet| packet.payload).collect();
    assert_eq!(payloads, digits(9, rate));
}

/// A call with a phone that speaks G.711, and the leg of a phone that somebody speaks SIP for.
fn beside_g711(node: &LocalNode) -> (Phone, Phone) {
    let call = node.call();
    let [mut own, leg] = [1, 2].map(|sender| Phone::new(node.http, &call, sender));
    let offer = own.offer().replace("opus/48000/2", "PCMU/8000");
    own.join_with(&offer.replace("event/48000", "event/8000"));
    (own, leg)
}

/// Sends sound until it comes back; each packet that comes sets the pace.
#[track_caller]
fn hears_its_echo(phone: &mut Phone) {
    const SOUND: u8 = 0x2a;
    let socket = phone.rtp.try_clone().expect("it can be cloned");
    let deadline = Instant::now() + PATIENCE;
    for number in 1.. {
        phone.send_payload(&socket, OPUS, 160 * number, &[SOUND; 160]);
        let packet = phone.receive_packet();
        if packet.payload.iter().filter(|byte| **byte == SOUND).count() >= 80 {
            return;
        }
        assert!(Instant::now() < deadline, "no echo");
    }
}

const PROTECTIONS: [(&str, Protection, &str); 3] = [
    ("rtp", Protection::None, "none (plain RTP)"),
    ("sdes", Protection::Sdes, "SDES, "),
    ("dtls", Protection::Dtls, "DTLS 1.2, "),
];

/// baresip has RTCP on a port of its own, and so a handshake of its own for it.
#[test]
fn a_real_phone_takes_the_nodes_offer_is_held_and_resumes() {
    requires!(Baresip);
    for (kind, protection, security) in PROTECTIONS {
        let node = LocalNode::start(&Setup::default());
        let (mut other, mut leg) = beside_g711(&node);
        let phone = Baresip::without_ice(protection);
        let offer = leg.ask(&json!({ "kind": kind }));
        let (mut dialog, answer) = Dialog::call(phone.address, &offer);
        leg.try_answer(&answer).ok();
        leg.wait_view("connected", |view| view["state"] == "connected");
        assert!(leg.view()["security"].as_str().unwrap().starts_with(security), "{}", leg.view());
        hears_its_echo(&mut other);
        let answer = dialog.offer(&leg.propose("sendonly"));
        assert!(answer.contains("a=recvonly"), "{answer}");
        leg.try_answer(&answer).ok();
        while receive(&other.rtp, Duration::from_millis(100)).is_some() {}
        let answer = dialog.offer(&leg.propose("sendrecv"));
        assert!(!answer.contains("a=recvonly"), "{answer}");
        let view = leg.try_answer(&answer).ok();
        assert_eq!((&view["state"], &view["held"]), (&json!("connected"), &json!(false)));
    }
}

#[test]
fn a_real_phone_that_offers_without_ice_is_answered() {
    requires!(Baresip);
    for (kind, protection, security) in PROTECTIONS {
        let node = LocalNode::start(&Setup::default());
        let (mut other, mut leg) = beside_g711(&node);
        let doorbell = Doorbell::new();
        let _phone = Baresip::calling(protection, doorbell.address());
        doorbell.take(|offer| leg.join_with(offer));
        leg.wait_view(kind, |view| view["state"] == "connected");
        assert!(leg.view()["security"].as_str().unwrap().starts_with(security), "{}", leg.view());
        hears_its_echo(&mut other);
    }
}

#[test]
fn why_tells_that_a_handshake_without_ice_does_not_come() {
    let node = LocalNode::start(&Setup::default());
    let call = node.call();
    let mut phone = Phone::new(node.http, &call, 1);
    phone.ask(&json!({ "kind": "dtls" }));
    let print = format!("a=fingerprint:sha-256 {}\r\na=setup:active\r\n", ["AB"; 32].join(":"));
    let answer = describe("192.0.2.9 4000 4001", &print);
    phone.answer(&answer.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"));
    assert_eq!(phone.view()["state"], "connecting");
    let why = node.client().get(&format!("/v1/calls/{call}/why")).ok().to_string();
    assert!(why.contains("DTLS, whose handshake is yet to come"), "{why}");
    assert!(why.contains("the node sends to 192.0.2.9:4000"), "{why}");
}
