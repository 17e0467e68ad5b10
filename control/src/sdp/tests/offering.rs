//! What the node offers, and which answers it takes.

use super::*;
use crate::api::Media::{Audio, Video};

/// What a browser would answer: the node's own answer to the offer, by another node.
fn far_answer(offer: &str) -> String {
    let far = Local {
        credentials: IceCredentials::new("farr", PASSWORD),
        ice_lite: false,
        role: DtlsRole::Active,
        ..local()
    };
    answer(&sdp(offer), &far, &[], None).unwrap().0
}

#[test]
fn offers_its_codecs_and_leaves_the_dtls_role_open() {
    let (text, _) = offer(&[Audio, Video], &local(), &[]).unwrap();
    assert_eq!(lines(&text, 0, "m="), ["m=audio 40500 UDP/TLS/RTP/SAVPF 111 9 0 8 110 126"]);
    assert_eq!(lines(&text, 1, "m="), ["m=video 40500 UDP/TLS/RTP/SAVPF 96 97 102 103 104 105"]);
    assert_eq!(lines(&text, 1, "a=setup"), ["a=setup:actpass"]);
    assert_eq!(lines(&text, 0, "a=extmap").len(), 4);
    assert!(text.contains("a=group:BUNDLE 0 1\r\n"));
    let (audio, video) = (lines(&text, 0, "a=extmap:4"), lines(&text, 1, "a=extmap:4"));
    assert_eq!(audio, video, "one id for one meaning in the bundle");
}

#[test]
fn takes_an_answer_that_takes_everything() {
    let (text, offered) = offer(&[Audio, Video], &local(), &[]).unwrap();
    let negotiated = offered.accept(&sdp(&far_answer(&text))).unwrap();
    assert_eq!(negotiated.dtls().unwrap().role, DtlsRole::Passive);
    assert_eq!(negotiated.ice().unwrap().credentials.ufrag, "farr");
    let numbers: Vec<_> =
        negotiated.media[1].codecs.iter().map(|c| (c.payload_type, c.rtx)).collect();
    assert_eq!(numbers, [(96, Some(97)), (102, Some(103)), (104, Some(105))]);
    assert_eq!(negotiated.media[1].transport_cc(), Some(3));
    assert!(negotiated.bundle && !negotiated.held());
}

#[test]
fn takes_an_answer_that_takes_less() {
    let (text, offered) = offer(&[Audio, Video], &local(), &[]).unwrap();
    let less = far_answer(&text)
        .replace("m=video 40500", "m=video 0")
        .replace("SAVPF 111 9 0 8 110 126", "SAVPF 8 126")
        .replace("BUNDLE 0 1", "BUNDLE 0")
        .replace("a=sendrecv", "a=recvonly");
    let negotiated = offered.accept(&sdp(&less)).unwrap();
    assert_eq!((negotiated.lines, negotiated.media.len()), (2, 1));
    let codecs: Vec<_> = negotiated.media[0].codecs.iter().map(|c| c.codec).collect();
    assert_eq!(codecs, [Codec::Pcma, Codec::TelephoneEvent { clock_rate: 8000 }]);
    assert_eq!(negotiated.media[0].direction, Direction::SendOnly);
}

#[test]
fn answers_that_do_not_fit_are_refused_by_line() {
    let (text, offered) = offer(&[Audio, Video], &local(), &[]).unwrap();
    let far = far_answer(&text);
    let cases = [
        (far.replace("a=mid:1", "a=mid:x"), SdpErrorKind::MediaMismatch, "m=video"),
        (far.replace("m=video", "m=audio"), SdpErrorKind::MediaMismatch, "m=audio"),
        (far.clone() + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", SdpErrorKind::MediaMismatch, "m=audio"),
        (far.replace("a=setup:active", "a=setup:actpass"), SdpErrorKind::BadSetup, "a=setup"),
        (without(&far, "a=fingerprint"), SdpErrorKind::NoFingerprint, "m=audio"),
        (without(&far, "a=ice-ufrag"), SdpErrorKind::NoIceCredentials, "m=audio"),
        (without(&far, "a=rtcp-mux"), SdpErrorKind::NoRtcpMux, "m=audio"),
        (without(&far, "a=group"), SdpErrorKind::NotBundled, "m=video"),
        (
            far.replace("96 97 102 103 104 105", "99").replace(":96 VP8", ":99 VP8"),
            SdpErrorKind::NoCommonCodec,
            "m=video",
        ),
        (
            far.replace(" opus/48000/2", " PCMU/8000").replace("111 9 0 8", "111"),
            NO_COMMON,
            "m=audio",
        ),
    ];
    for (answer, kind, at) in cases {
        let error = offered.accept(&sdp(&answer)).unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.at().contains(at), "{} is not {at}", error.at());
    }
    let short = &far[..far.find("m=video").unwrap()];
    assert_eq!(offered.accept(&sdp(short)).unwrap_err().kind, SdpErrorKind::MediaMismatch);
}

const NO_COMMON: SdpErrorKind = SdpErrorKind::NoCommonCodec;

#[test]
fn offers_only_what_the_other_leg_has() {
    let (_, first) = answered(&FIREFOX.replace("H264", "H265").replace("PCMA", "x"));
    let (text, _) = offer(&[Audio, Video], &local(), &[&first]).unwrap();
    assert_eq!(lines(&text, 0, "m="), ["m=audio 40500 UDP/TLS/RTP/SAVPF 111 9 0 126"]);
    assert_eq!(lines(&text, 1, "m="), ["m=video 40500 UDP/TLS/RTP/SAVPF 96 97"]);
}

#[test]
fn offers_nothing_that_legs_do_not_share() {
    let (_, vp8) = answered(&FIREFOX.replace("H264", "H265"));
    let (_, h264) = answered(&FIREFOX.replace("VP8", "VP9"));
    let error = offer(&[Audio, Video], &local(), &[&vp8, &h264]).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::NoCommonCodec);
    assert_eq!(offer(&[], &local(), &[]).unwrap_err().kind, SdpErrorKind::NoMedia);
    let many = [Audio; STREAMS_MAX + 1];
    assert_eq!(offer(&many, &local(), &[]).unwrap_err().kind, SdpErrorKind::TooManyStreams);
}

#[test]
fn an_offered_leg_can_be_renegotiated_by_the_far_side() {
    let (text, offered) = offer(&[Audio], &local(), &[]).unwrap();
    let first = offered.accept(&sdp(&far_answer(&text))).unwrap();
    let again = far_answer(&text).replace("a=setup:active", "a=setup:actpass");
    let (text, second) = answer(&sdp(&again), &local(), &[], Some(&first)).unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(second.media[0].local_ssrcs, first.media[0].local_ssrcs);
    assert_eq!(lines(&text, 0, "a=setup"), ["a=setup:passive"]);
}
