//! Offers without ICE.

use zeroize::Zeroizing;

use super::*;

const PHONE: &str = include_str!("../fixtures/sip_phone.sdp");

pub(super) fn local_with(pairs: u16) -> Local {
    let mut local = local();
    local.take_ports((0..pairs).map(|pair| {
        let port = |port| format!("203.0.113.5:{port}").parse().unwrap();
        let secret = Zeroizing::new([0x40 + u8::try_from(pair).unwrap(); SECRET_LEN]);
        LocalPorts { rtp: port(30_000 + 2 * pair), rtcp: port(30_001 + 2 * pair), secret }
    }));
    local
}

pub(super) fn at_ports(
    offer: &str,
    pairs: u16,
    previous: Option<&Negotiated>,
) -> Result<(String, Negotiated), SdpError> {
    answer(&sdp(offer), &local_with(pairs), &[], previous)
}

fn addresses(negotiated: &Negotiated, transport: usize) -> RemoteAddresses {
    match negotiated.transports[transport].path {
        RemotePath::Fixed(addresses) => addresses,
        RemotePath::Ice(_) => panic!("it has ICE"),
    }
}

#[test]
fn a_phone_is_answered_with_ports_of_its_own_and_nothing_of_webrtc() {
    assert_eq!(ports_wanted(&sdp(PHONE)), Ok(1));
    let (text, negotiated) = at_ports(PHONE, 1, None).unwrap();
    assert_eq!(
        section(&text, 0),
        [
            "m=audio 30000 RTP/AVP 0 8 101",
            "c=IN IP4 203.0.113.5",
            "a=rtcp:30001 IN IP4 203.0.113.5",
            "a=sendrecv",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
        ]
    );
    for word in ["ice", "fingerprint", "candidate", "msid", "BUNDLE", "ssrc"] {
        assert!(!text.contains(word), "{text}");
    }
    let at = |address: &str| Some(address.parse().unwrap());
    let named = RemoteAddresses { rtp: at("192.0.2.71:11800"), rtcp: at("192.0.2.71:11805") };
    assert_eq!(addresses(&negotiated, 0), named);
    assert_eq!(negotiated.transports[0].security, RemoteSecurity::Plain);
}

/// RFC 3550 §11, RFC 5761 §5.1.1.
#[test]
fn rtcp_is_one_port_above_or_on_the_same() {
    let above = without(PHONE, "a=rtcp:");
    let (_, negotiated) = at_ports(&above, 1, None).unwrap();
    assert_eq!(addresses(&negotiated, 0).rtcp, Some("192.0.2.71:11801".parse().unwrap()));
    let (text, negotiated) = at_ports(&format!("{above}a=rtcp-mux\r\n"), 1, None).unwrap();
    assert!(negotiated.rtcp_mux());
    assert_eq!(lines(&text, 0, "a=rtcp:"), ["a=rtcp:30000 IN IP4 203.0.113.5"]);
    assert_eq!(lines(&text, 0, "a=rtcp-mux"), ["a=rtcp-mux"]);
}

/// RFC 3264 §8.4, and before it RFC 2543 §B.5.
#[test]
fn whoever_names_no_usable_address_is_sent_nothing() {
    for address in ["0.0.0.0", "224.2.3.4"] {
        let (text, negotiated) = at_ports(&PHONE.replace("192.0.2.71", address), 1, None).unwrap();
        assert_eq!(addresses(&negotiated, 0).rtp, None);
        assert_eq!(lines(&text, 0, "a=recvonly"), ["a=recvonly"]);
    }
    let error = at_ports(&without(PHONE, "c="), 1, None).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::NoConnection);
    assert!(error.at().starts_with("line "), "{}", error.at());
}

#[test]
fn each_line_has_its_ports_and_keeps_them() {
    let video = "m=video 11900 RTP/AVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n";
    let two = format!("{PHONE}{video}");
    assert_eq!(ports_wanted(&sdp(&two)), Ok(2));
    let (text, first) = at_ports(&two, 2, None).unwrap();
    assert!(section(&text, 1)[0].starts_with("m=video 30002 RTP/AVPF 96"));
    assert_eq!(lines(&text, 1, "a=rtcp-fb"), ["a=rtcp-fb:96 nack pli"]);
    // Without sound the picture stays where it is.
    let silent = two.replace("m=audio 11800", "m=audio 0").replace("11900", "11950");
    let (text, second) = at_ports(&silent, 2, Some(&first)).unwrap();
    assert!(section(&text, 0)[0].starts_with("m=audio 0 "));
    assert!(section(&text, 1)[0].starts_with("m=video 30002 "));
    assert_eq!(addresses(&second, 1).rtp.unwrap().port(), 11_950);
    assert!(at_ports(&two, 2, Some(&second)).is_ok(), "and comes back");
    let more = format!("{two}m=audio 12000 RTP/AVP 0\r\n");
    let error = at_ports(&more, 2, Some(&second)).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::PortsFixed);
    let many = format!("{two}{}", "m=audio 12000 RTP/AVP 0\r\n".repeat(3));
    assert_eq!(ports_wanted(&sdp(&many)).unwrap_err().kind, SdpErrorKind::TooManyPorts);
}

const KEY: &str = "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

fn secured(cryptos: &[&str]) -> String {
    let lines: String = cryptos.iter().map(|crypto| format!("a=crypto:{crypto}\r\n")).collect();
    format!("{}{lines}", PHONE.replace("RTP/AVP", "RTP/SAVP"))
}

/// RFC 4568 §5.1.2.
#[test]
fn the_first_key_that_can_be_used_is_answered_with_one_of_the_nodes() {
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let offer = secured(&[
        "1 F8_128_HMAC_SHA1_80 inline:AAAA",
        &format!("2 {suite} {KEY} UNENCRYPTED_SRTP"),
        &format!("3 {suite} {KEY}|2^31|1:4 UNENCRYPTED_SRTCP"),
        &format!("4 AES_CM_128_HMAC_SHA1_32 {KEY}"),
    ]);
    let (text, negotiated) = at_ports(&offer, 1, None).unwrap();
    let own = "QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBA";
    let line = format!("a=crypto:3 {suite} inline:{own} UNENCRYPTED_SRTCP");
    assert_eq!(lines(&text, 0, "a=crypto"), [line]);
    assert!(section(&text, 0)[0].starts_with("m=audio 30000 RTP/SAVP "));
    let RemoteSecurity::Sdes(keys) = &negotiated.transports[0].security else { panic!() };
    assert_eq!((keys.far.key[15], keys.far.salt[0]), (15, 16));
    assert!(!format!("{negotiated:?}{:?}", local_with(1)).contains("64, 64"), "keys are shown");
    let error = at_ports(&secured(&["1 NULL_HMAC_SHA1_80 inline:AA"]), 1, None).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::NoCrypto);
    assert!(!format!("{error:?}").contains("inline"));
}

#[test]
fn a_key_that_is_repeated_keeps_the_nodes_and_another_gets_another() {
    let suite = "AEAD_AES_128_GCM";
    let key =
        |first: &str| format!("1 {suite} inline:{first}AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw");
    let (first, second) = (secured(&[&key("A")]), secured(&[&key("B")]));
    let mut local = local_with(1);
    let mut answered = |offer: &str, previous: Option<&Negotiated>, secret: u8| {
        local.ports[0].secret.fill(secret);
        answer(&sdp(offer), &local, &[], previous).unwrap()
    };
    let (text, one) = answered(&first, None, 1);
    let (again, same) = answered(&first, Some(&one), 2);
    assert_eq!(lines(&text, 0, "a=crypto"), lines(&again, 0, "a=crypto"));
    let (other, _) = answered(&second, Some(&same), 3);
    assert_ne!(lines(&text, 0, "a=crypto"), lines(&other, 0, "a=crypto"));
    let error = at_ports(PHONE, 1, Some(&one)).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::SecurityChanged);
}

#[test]
fn browsers_want_no_ports() {
    assert_eq!(ports_wanted(&sdp(CHROMIUM)), Ok(0));
}

/// RFC 5763 §5, RFC 8842 §3.
#[test]
fn a_certificate_without_ice_is_answered_with_the_nodes_and_stays() {
    let print = |byte: &str| format!("a=fingerprint:sha-256 {}\r\n", [byte; 32].join(":"));
    let offer = |print: &str, more: &str| {
        format!("{}{print}{more}", PHONE.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"))
    };
    let first = offer(&print("AB"), "a=setup:actpass\r\n");
    assert_eq!(ports_wanted(&sdp(&first)), Ok(1));
    let (text, agreed) = at_ports(&first, 1, None).unwrap();
    assert_eq!(lines(&text, 0, "a=setup"), ["a=setup:passive"]);
    assert_eq!(lines(&text, 0, "a=fingerprint").len(), 1);
    assert!(!text.contains("ice") && !text.contains("crypto"), "{text}");
    assert_eq!(agreed.dtls().unwrap().role, DtlsRole::Passive);
    let (text, begun) = at_ports(&offer(&print("AB"), "a=setup:passive\r\n"), 1, None).unwrap();
    assert_eq!(lines(&text, 0, "a=setup"), ["a=setup:active"]);
    let (_, same) = at_ports(&first, 1, Some(&begun)).unwrap();
    assert_eq!(same.dtls(), begun.dtls());
    let other = at_ports(&offer(&print("CD"), ""), 1, Some(&agreed)).unwrap_err();
    assert_eq!(other.kind, SdpErrorKind::CertificateChanged);
    assert!(other.at().starts_with("line "), "{}", other.at());
    let none = at_ports(&offer("", ""), 1, None).unwrap_err();
    assert_eq!(none.kind, SdpErrorKind::NoFingerprint);
    let plain = at_ports(PHONE, 1, Some(&agreed)).unwrap_err();
    assert_eq!(plain.kind, SdpErrorKind::SecurityChanged);
}
