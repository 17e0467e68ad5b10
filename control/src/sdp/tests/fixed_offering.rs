//! Offers of the node's own without ICE.

use zeroize::Zeroizing;

use super::fixed::{at_ports, local_with};
use super::*;
use crate::api::Media::{Audio, Video};

const AUDIO: FixedPlan<'_> = FixedPlan {
    kinds: &[Audio],
    protection: Protection::None,
    rtcp_mux: false,
    feedback: false,
    direction: Direction::SendRecv,
};
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

/// Secrets that differ.
fn secrets() -> impl FnMut() -> Secret {
    let mut next = 0;
    move || {
        next += 1;
        Zeroizing::new([next; SECRET_LEN])
    }
}

fn offered(
    plan: &FixedPlan<'_>,
    limits: &[&Negotiated],
) -> Result<(String, FixedOffered), SdpError> {
    offer_fixed(plan, &local_with(2), limits, secrets())
}

/// A phone's answer with this m-line and these lines below it.
fn answer_of(media: &str, lines: &[&str]) -> Sdp {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    sdp(&format!(
        "v=0\r\no=- 7 7 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 192.0.2.71\r\nt=0 0\r\n{media}\r\n{lines}"
    ))
}

fn refused(offered: &FixedOffered, media: &str, lines: &[&str]) -> SdpErrorKind {
    offered.accept(&answer_of(media, lines)).unwrap_err().kind
}

fn keys(negotiated: &Negotiated) -> &Sdes {
    let RemoteSecurity::Sdes(keys) = &negotiated.transports[0].security else { panic!("no keys") };
    keys
}

#[test]
fn a_phone_is_offered_a_pair_of_ports_and_the_codecs_that_phones_have() {
    let (text, _) = offered(&AUDIO, &[]).unwrap();
    assert_eq!(
        section(&text, 0),
        [
            "m=audio 30000 RTP/AVP 111 9 0 8 110 101",
            "c=IN IP4 203.0.113.5",
            "a=rtcp:30001 IN IP4 203.0.113.5",
            "a=sendrecv",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:9 G722/8000",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:110 telephone-event/48000",
            "a=fmtp:110 0-15",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
        ]
    );
    for word in ["ice", "fingerprint", "candidate", "msid", "BUNDLE", "ssrc", "mid", "mux"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn what_is_asked_for_is_offered() {
    let plan = FixedPlan {
        kinds: &[Audio, Video],
        rtcp_mux: true,
        feedback: true,
        direction: Direction::SendOnly,
        ..AUDIO
    };
    let (text, _) = offered(&plan, &[]).unwrap();
    assert!(section(&text, 0)[0].starts_with("m=audio 30000 RTP/AVPF "));
    assert!(section(&text, 1)[0].starts_with("m=video 30002 RTP/AVPF 96 97 "));
    assert_eq!(lines(&text, 1, "a=rtcp:"), ["a=rtcp:30003 IN IP4 203.0.113.5"], "if it cannot");
    for one in ["a=sendonly", "a=rtcp-mux", "a=rtcp-rsize", "a=rtcp-fb:96 nack pli"] {
        assert!(section(&text, 1).contains(&one), "{one}: {text}");
    }
    assert!(!text.contains("transport-cc"), "nobody could number packets: {text}");
}

#[test]
fn only_what_the_other_legs_have_is_offered() {
    let (_, browser) = answered(&FIREFOX.replace("PCMA", "x"));
    let (text, _) = offered(&AUDIO, &[&browser]).unwrap();
    assert_eq!(section(&text, 0)[0], "m=audio 30000 RTP/AVP 111 9 0 101");
    let (_, phone) = at_ports(SIP_PHONE, 1, None).unwrap();
    let (text, _) = offered(&AUDIO, &[&browser, &phone]).unwrap();
    assert_eq!(section(&text, 0)[0], "m=audio 30000 RTP/AVP 0 101");
    let only = |number: &str| {
        at_ports(&SIP_PHONE.replace("AVP 0 8 18", &format!("AVP {number}")), 1, None).unwrap().1
    };
    let error = offered(&AUDIO, &[&only("0"), &only("8")]).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::NoCommonCodec);
    let none = FixedPlan { kinds: &[], ..AUDIO };
    assert_eq!(offered(&none, &[]).unwrap_err().kind, SdpErrorKind::NoMedia);
    let many = FixedPlan { kinds: &[Audio; 3], ..AUDIO };
    assert_eq!(offered(&many, &[]).unwrap_err().kind, SdpErrorKind::TooManyPorts);
}

/// RFC 4568 §5.1.1 and §5.1.3.
#[test]
fn each_suite_is_offered_with_a_key_of_its_own_and_the_answer_names_one() {
    let (text, offered) =
        offered(&FixedPlan { protection: Protection::Sdes, ..AUDIO }, &[]).unwrap();
    let offers: Vec<Crypto> =
        sdp(&text).media_at(0).unwrap().cryptos().map(Result::unwrap).collect();
    let suites: Vec<_> = offers.iter().map(|own| own.suite.name()).collect();
    assert_eq!(suites[0], "AEAD_AES_256_GCM");
    assert!(suites.contains(&SUITE) && !text.contains("NULL_") && !text.contains("F8_"), "{text}");
    let tags: Vec<_> = offers.iter().map(|own| own.tag).collect();
    assert_eq!(tags, (1..=u32::try_from(offers.len()).unwrap()).collect::<Vec<_>>());
    let mut firsts: Vec<u8> = offers.iter().map(|own| own.key[0]).collect();
    firsts.dedup();
    assert_eq!(firsts.len(), offers.len(), "a key twice");
    assert!(!format!("{offered:?}").contains("[1, 1"), "keys are shown");

    let own = offers.iter().find(|own| own.suite.name() == SUITE).unwrap();
    let line = |tag: u32| format!("a=crypto:{tag} {SUITE} inline:{KEY}");
    let media = "m=audio 4000 RTP/SAVP 0";
    let agreed = offered.accept(&answer_of(media, &[&line(own.tag)])).unwrap();
    assert_eq!(keys(&agreed).own, *own);
    assert_eq!(keys(&agreed).far.key[15], 15);
    for wrong in [line(1), line(99), String::new()] {
        assert_eq!(refused(&offered, media, &[&wrong]), SdpErrorKind::CryptoNotOffered, "{wrong}");
    }
    let plain = refused(&offered, "m=audio 4000 RTP/AVP 0", &[&line(own.tag)]);
    assert_eq!(plain, SdpErrorKind::ProfileMismatch);

    // A further offer repeats the key; a far side that takes another gets the same still.
    let (text, again) = offer_again(&agreed, Direction::SendOnly, &local_with(1), &[]).unwrap();
    assert_eq!(lines(&text, 0, "a=crypto"), [format!("a={}", own.write(false).as_str())]);
    let other = line(own.tag).replace("AAECAwQF", "BBBBBBBB");
    let renewed = again.accept(&answer_of(media, &[&other, "a=recvonly"])).unwrap();
    assert_eq!(keys(&renewed).own, *own);
    assert_ne!(keys(&renewed).far, keys(&agreed).far);
    assert_eq!((renewed.version, renewed.media[0].direction), (2, Direction::SendOnly));
}

/// RFC 3264 §6.1: the answer's numbers are what the answerer wants to receive under.
#[test]
fn an_answer_may_have_numbers_of_its_own() {
    let (_, offered) = offered(&AUDIO, &[]).unwrap();
    let media = "m=audio 4000 RTP/AVP 0 96 97";
    let lines = ["a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/8000"];
    let agreed = offered.accept(&answer_of(media, &lines)).unwrap();
    let (_, browser) = answered(CHROMIUM);
    let to_phone = map_payload_types(&browser.media[0], &agreed.media[0]);
    let pairs = |maps: &[PtMap]| maps.iter().map(|map| (map.from, map.to)).collect::<Vec<_>>();
    assert_eq!(pairs(&to_phone), [(111, 96), (0, 0), (110, 97), (126, 97)]);
    let from_phone = map_payload_types(&agreed.media[0], &browser.media[0]);
    assert_eq!(pairs(&from_phone), [(0, 0), (111, 111), (101, 126)]);
    // RFC 3264 §8.3.2: in a further offer a number means what it meant.
    let (text, _) = offer_again(&agreed, Direction::SendRecv, &local_with(1), &[]).unwrap();
    assert_eq!(section(&text, 0)[0], "m=audio 30000 RTP/AVP 0 111 101 9 8 110");
}

#[test]
fn rtcp_shares_the_port_only_if_both_say_so_and_stays_as_agreed() {
    let at = |negotiated: &Negotiated| match negotiated.transports[0].path {
        RemotePath::Fixed(addresses) => addresses.rtcp.unwrap().port(),
        RemotePath::Ice(_) => panic!("it has ICE"),
    };
    let media = "m=audio 4000 RTP/AVP 0";
    let (_, apart) = offered(&AUDIO, &[]).unwrap();
    assert_eq!(at(&apart.accept(&answer_of(media, &[])).unwrap()), 4001);
    assert_eq!(refused(&apart, media, &["a=rtcp-mux"]), SdpErrorKind::RtcpMuxChanged);
    let (_, either) = offered(&FixedPlan { rtcp_mux: true, ..AUDIO }, &[]).unwrap();
    assert_eq!(at(&either.accept(&answer_of(media, &["a=rtcp:4005"])).unwrap()), 4005);
    let shared = either.accept(&answer_of(media, &["a=rtcp-mux"])).unwrap();
    assert_eq!(at(&shared), 4000);
    let (text, again) = offer_again(&shared, Direction::SendRecv, &local_with(1), &[]).unwrap();
    assert_eq!(lines(&text, 0, "a=rtcp:"), ["a=rtcp:30000 IN IP4 203.0.113.5"]);
    assert_eq!(refused(&again, media, &[]), SdpErrorKind::RtcpMuxChanged);
}

/// RFC 3264 §6.1.
#[test]
fn media_flows_as_both_sides_want_it() {
    let plan = FixedPlan { direction: Direction::SendOnly, ..AUDIO };
    let (_, offered) = offered(&plan, &[]).unwrap();
    let media = "m=audio 4000 RTP/AVP 0";
    for (said, flows) in [
        ("a=recvonly", Direction::SendOnly),
        ("a=sendrecv", Direction::SendOnly),
        ("a=inactive", Direction::Inactive),
        ("c=IN IP4 0.0.0.0", Direction::Inactive),
    ] {
        let agreed = offered.accept(&answer_of(media, &[said])).unwrap();
        assert_eq!(agreed.media[0].direction, flows, "{said}");
    }
}

#[test]
fn a_rejected_line_may_come_back_and_an_odd_one_is_refused() {
    let plan = FixedPlan { kinds: &[Audio, Video], protection: Protection::Sdes, ..AUDIO };
    let (text, offered) = offered(&plan, &[]).unwrap();
    let own: Vec<_> = lines(&text, 0, "a=crypto:1 ");
    assert_eq!(own.len(), 1);
    let key = format!("a=crypto:7 {SUITE} inline:{KEY}");
    let audio = "m=audio 4000 RTP/SAVP 0";
    let sole = offered.accept(&answer_of(audio, &[&key, "m=video 0 RTP/SAVP 96"])).unwrap();
    assert_eq!((sole.media.len(), sole.lines), (1, 2));
    assert_eq!(sole.transports[1].security, RemoteSecurity::Unkeyed);
    let (text, _) = offer_again(&sole, Direction::SendRecv, &local_with(2), &[]).unwrap();
    assert_eq!(section(&text, 1), ["m=audio 0 RTP/AVP 0"]);
    let video = format!("m=video 4002 RTP/SAVP 96\r\na=rtpmap:96 VP8/90000\r\n{key}");
    let back = answer_of(audio, &[&key, &video]).to_string();
    let (_, both) = answer(&sdp(&back), &local_with(2), &[], Some(&sole)).unwrap();
    assert_eq!((both.media.len(), both.media[1].transport), (2, 1));

    assert_eq!(refused(&offered, audio, &[&key]), SdpErrorKind::MediaMismatch);
    let odd = refused(&offered, audio, &[&key, "m=audio 4002 RTP/SAVP 0"]);
    assert_eq!(odd, SdpErrorKind::MediaMismatch);
    let nothing = refused(&offered, audio, &["m=video 0 RTP/SAVP 96", "m=audio 0 RTP/AVP 0"]);
    assert_eq!(nothing, SdpErrorKind::MediaMismatch);
}

#[test]
fn a_certificate_is_offered_and_one_that_is_answered_stays() {
    let plan = FixedPlan { protection: Protection::Dtls, feedback: true, ..AUDIO };
    let (text, offered) = offered(&plan, &[]).unwrap();
    assert!(section(&text, 0)[0].starts_with("m=audio 30000 UDP/TLS/RTP/SAVPF "));
    assert_eq!(lines(&text, 0, "a=setup"), ["a=setup:actpass"]);
    assert_eq!(lines(&text, 0, "a=fingerprint").len(), 1);
    let print = |byte: &str| format!("a=fingerprint:sha-256 {}", [byte; 32].join(":"));
    let media = "m=audio 4000 UDP/TLS/RTP/SAVPF 0";
    for (setup, role) in [("active", DtlsRole::Passive), ("passive", DtlsRole::Active)] {
        let setup = format!("a=setup:{setup}");
        let agreed = offered.accept(&answer_of(media, &[&print("AB"), &setup])).unwrap();
        assert_eq!(agreed.dtls().unwrap().role, role);
        let (_, again) = offer_again(&agreed, Direction::SendRecv, &local_with(1), &[]).unwrap();
        let other = refused(&again, media, &[&print("CD"), &setup]);
        assert_eq!(other, SdpErrorKind::CertificateChanged);
    }
    assert_eq!(refused(&offered, media, &["a=setup:active"]), SdpErrorKind::NoFingerprint);
    let actpass = refused(&offered, media, &[&print("AB"), "a=setup:actpass"]);
    assert_eq!(actpass, SdpErrorKind::BadSetup);
}
