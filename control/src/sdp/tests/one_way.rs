//! Offers of WHIP and WHEP.

use super::*;

#[test]
fn an_offer_of_both_ways_is_answered_one_way() {
    for (way, answers, offers) in
        [(Way::In, "recvonly", "sendonly"), (Way::Out, "sendonly", "recvonly")]
    {
        let both = CHROMIUM;
        let narrowed = one_way(both, way).unwrap();
        assert_eq!(narrowed.matches(&format!("a={offers}\r\n")).count(), sdp(both).media_count());
        let (answer, _) = answered(&narrowed);
        for index in 0..sdp(both).media_count() {
            assert_eq!(lines(&answer, index, &format!("a={answers}")).len(), 1, "{answer}");
        }
        // The session's direction goes too.
        let session = both.replacen("t=0 0\r\n", "t=0 0\r\na=sendrecv\r\n", 1);
        assert_eq!(one_way(&session, way).unwrap(), narrowed);
    }
}

/// RFC 9725 §4.2: `inactive` and `recvonly` must not be offered.
#[test]
fn an_offer_of_the_other_way_or_of_none_is_refused() {
    let turned = |direction: &str| CHROMIUM.replace("a=sendrecv", &format!("a={direction}"));
    let refused = |offer: &str, way| one_way(offer, way).unwrap_err().kind;
    for direction in ["recvonly", "inactive"] {
        assert_eq!(refused(&turned(direction), Way::In), SdpErrorKind::NotSending);
    }
    for direction in ["sendonly", "inactive"] {
        assert_eq!(refused(&turned(direction), Way::Out), SdpErrorKind::NotReceiving);
    }
    assert!(one_way(&turned("sendonly"), Way::In).is_ok());
    assert!(one_way(&turned("recvonly"), Way::Out).is_ok());
}

/// RFC 9725 §4.4.2, §4.4.3.
#[test]
fn what_could_be_taken_in_part_alone_is_refused_whole() {
    let error = one_way(CHROMIUM_DATACHANNEL, Way::In).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::PartlyTaken);
    assert!(error.at().contains("m=application"), "{}", error.at());
    let second = format!("{CHROMIUM}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:9\r\n");
    assert_eq!(one_way(&second, Way::Out).unwrap_err().kind, SdpErrorKind::SecondOfItsKind);
    let stopped = format!("{CHROMIUM}m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:9\r\n");
    assert_eq!(one_way(&stopped, Way::Out).unwrap_err().kind, SdpErrorKind::PartlyTaken);
    assert_eq!(one_way("hello", Way::In).unwrap_err().kind, SdpErrorKind::NotSdp);
}
