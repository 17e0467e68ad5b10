//! RTCP on a port of its own, and what becomes of it in later offers.

use super::*;
use crate::api::Media;

/// Chromium's offer as of a far side that does not multiplex, with a candidate of each component.
fn two_ports() -> String {
    let candidates = "a=candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host\r\n\
                      a=candidate:1 2 udp 2122260222 192.0.2.9 50001 typ host\r\n\
                      a=candidate:1 3 udp 2122260221 192.0.2.9 50002 typ host\r\n";
    let offer = without(&without(CHROMIUM, "a=rtcp-mux"), "a=candidate");
    offer.replacen("a=mid:0\r\n", &format!("a=mid:0\r\n{candidates}"), 1)
}

fn answered_with(
    offer: &str,
    local: &Local,
    previous: Option<&Negotiated>,
) -> Result<(String, Negotiated), SdpError> {
    answer(&sdp(offer), local, &[], previous)
}

/// RFC 5761 §5.1.1, RFC 3605 §2.1, RFC 8839 §4.2.1.2.
#[test]
fn an_offer_without_rtcp_mux_is_answered_with_two_components() {
    let (text, negotiated) = answered_with(&two_ports(), &local_of_two_ports(), None).unwrap();
    assert!(!negotiated.rtcp_mux() && !text.contains("rtcp-mux"), "{text}");
    for index in [0, 1] {
        assert!(section(&text, index)[0].contains(" 40500 "));
        assert_eq!(lines(&text, index, "a=rtcp:"), ["a=rtcp:40501 IN IP4 203.0.113.5"]);
        assert_eq!(
            lines(&text, index, "a=candidate"),
            [
                "a=candidate:1 1 udp 2130706431 203.0.113.5 40500 typ host",
                "a=candidate:1 2 udp 2130706430 203.0.113.5 40501 typ host",
            ]
        );
        assert_eq!(lines(&text, index, "a=ice-ufrag").len(), 1, "one for both");
    }
    let components: Vec<_> =
        negotiated.ice().unwrap().candidates.iter().map(|candidate| candidate.component).collect();
    assert_eq!(components, [1, 2]);
}

#[test]
fn ipv6_stands_in_the_line_of_rtcp_as_such() {
    let rtcp = Some("[2001:db8::5]:40501".parse().unwrap());
    let local = Local { rtcp, ..local_of_two_ports() };
    let (text, _) = answered_with(&two_ports(), &local, None).unwrap();
    assert_eq!(lines(&text, 0, "a=rtcp:"), ["a=rtcp:40501 IN IP6 2001:db8::5"]);
}

/// RFC 5761 §5.1.3.
#[test]
fn an_offer_with_rtcp_mux_is_answered_as_if_there_were_no_second_port() {
    let with = CHROMIUM.replacen("a=rtcp-mux\r\n", "", 1);
    for offer in [CHROMIUM, &with, &CHROMIUM.replace("a=rtcp-mux", "a=rtcp-mux-only")] {
        let (text, negotiated) = answered_with(offer, &local_of_two_ports(), None).unwrap();
        assert!(negotiated.rtcp_mux());
        assert_eq!(text, answered(offer).0);
    }
}

#[test]
fn without_a_second_port_rtcp_mux_is_needed_and_the_error_names_the_knob() {
    let error = refused(&two_ports());
    assert_eq!(error.kind, SdpErrorKind::NoRtcpMux);
    assert!(error.at().starts_with("line 8: m=audio"), "{}", error.at());
    assert!(error.to_string().contains("[[interface]] has mux_ports"), "{error}");
}

#[test]
fn ports_stay_for_the_legs_life() {
    let local = local_of_two_ports();
    let (_, muxed) = answered_with(CHROMIUM, &local, None).unwrap();
    let (_, parted) = answered_with(&two_ports(), &local, None).unwrap();
    // To drop rtcp-mux is refused; to offer it is declined.
    let error = answered_with(&two_ports(), &local, Some(&muxed)).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::RtcpMuxChanged);
    assert!(error.at().starts_with("line 8: m=audio"), "{}", error.at());
    let (text, again) = answered_with(CHROMIUM, &local, Some(&parted)).unwrap();
    assert!(!again.rtcp_mux() && !text.contains("rtcp-mux"), "{text}");
    assert!(answered_with(&two_ports(), &local, Some(&again)).is_ok());
    // Whoever has no second port any more cannot be answered so (RFC 8858 §4.3).
    let only = CHROMIUM.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n");
    let error = answered_with(&only, &local, Some(&parted)).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::RtcpMuxChanged);
}

/// RFC 9725 §4.4.1.
#[test]
fn publishers_and_viewers_share_one_port() {
    for way in [Way::In, Way::Out] {
        let error = one_way(&two_ports(), way).unwrap_err();
        assert_eq!(error.kind, SdpErrorKind::NoRtcpMux);
        assert!(error.at().starts_with("line 8: m=audio"), "{}", error.at());
    }
}

#[test]
fn the_node_offers_one_port_whatever_it_has() {
    let mut local = local_of_two_ports();
    local.keep_one_port();
    let (text, _) = offer(&[Media::Audio], &local, &[]).unwrap();
    assert_eq!(lines(&text, 0, "a=candidate").len(), 1);
    assert_eq!(lines(&text, 0, "a=rtcp:"), ["a=rtcp:40500 IN IP4 203.0.113.5"]);
    assert_eq!(lines(&text, 0, "a=rtcp-mux"), ["a=rtcp-mux"]);
}
