//! SIP media peers over REST: plain RTP on ports of their own, with each other and with WebRTC.

use std::net::UdpSocket;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use causeway_control::api::{EndReason, What};
use causeway_control::proxied::Timeouts;
use causeway_tests::guest::Guest;
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::peer::{Flow, Spec};
use causeway_tests::phone::{OPUS, Phone, describe, receive};

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
