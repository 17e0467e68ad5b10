//! What the node answers.

use super::*;
use crate::api::Media;

#[test]
fn renomination_is_said_to_be_followed_where_it_is() {
    let local = Local { renomination: true, ..local() };
    let offer = Sdp::parse(CHROMIUM).unwrap();
    let (text, _) = answer(&offer, &local, &[], None).unwrap();
    assert!(text.contains("\r\na=ice-options:trickle renomination\r\n"), "{text}");
}

#[test]
fn answers_chromium_with_exactly_the_nodes_codecs_under_chromiums_numbers() {
    let (text, negotiated) = answered(CHROMIUM);
    assert_eq!(lines(&text, 0, "m="), ["m=audio 40500 UDP/TLS/RTP/SAVPF 111 9 0 8 110 126"]);
    assert_eq!(lines(&text, 1, "m="), ["m=video 40500 UDP/TLS/RTP/SAVPF 96 97 109 114 115 116"]);
    assert_eq!(
        lines(&text, 1, "a=rtpmap"),
        [
            "a=rtpmap:96 VP8/90000",
            "a=rtpmap:97 rtx/90000",
            "a=rtpmap:109 H264/90000",
            "a=rtpmap:114 rtx/90000",
            "a=rtpmap:115 H264/90000",
            "a=rtpmap:116 rtx/90000",
        ]
    );
    assert_eq!(
        lines(&text, 1, "a=fmtp"),
        [
            "a=fmtp:97 apt=96",
            "a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            "a=fmtp:114 apt=109",
            "a=fmtp:115 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f",
            "a=fmtp:116 apt=115",
        ]
    );
    assert_eq!(negotiated.media[0].kind, Media::Audio);
    assert_eq!(negotiated.media[1].remote_ssrcs, [(3463951252, Some(1461041037))]);
    assert_eq!(negotiated.media[0].remote_ssrcs, [(2570614803, None)]);
    assert!(negotiated.bundle && negotiated.media.iter().all(|media| media.reduced_size));
}

#[test]
fn answers_offers_as_captured_from_browsers() {
    let m_lines = |offer| {
        let (text, _) = answered(offer);
        [0, 1, 2].map(|index| section(&text, index)[0].to_owned())
    };
    assert_eq!(
        m_lines(CHROMIUM_156),
        [
            "m=audio 40500 UDP/TLS/RTP/SAVPF 111 9 0 8 110 126",
            "m=video 40500 UDP/TLS/RTP/SAVPF 96 97 108 109 114 115",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
    assert_eq!(
        m_lines(FIREFOX_153),
        [
            "m=audio 40500 UDP/TLS/RTP/SAVPF 109 9 0 8 101",
            "m=video 40500 UDP/TLS/RTP/SAVPF 120 124",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
}

#[test]
fn answers_with_header_extensions_that_the_node_forwards_and_feedback_that_was_offered() {
    let (text, negotiated) = answered(CHROMIUM);
    let ids: Vec<_> = negotiated.media[1].extensions.iter().map(|e| e.id).collect();
    assert_eq!(ids, [14, 2, 13, 3, 5, 6, 8, 4], "not video-timing, rid and repaired rid");
    assert_eq!(negotiated.media[1].transport_cc(), Some(3));
    assert_eq!(negotiated.media[0].mid_extension(), Some(4));
    assert_eq!(
        lines(&text, 1, "a=rtcp-fb:96"),
        [
            "a=rtcp-fb:96 goog-remb",
            "a=rtcp-fb:96 transport-cc",
            "a=rtcp-fb:96 ccm fir",
            "a=rtcp-fb:96 nack",
            "a=rtcp-fb:96 nack pli",
        ]
    );
    assert_eq!(lines(&text, 0, "a=rtcp-fb"), ["a=rtcp-fb:111 transport-cc"]);
    let (text, _) = answered(FIREFOX);
    assert!(text.contains(
        "a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n"
    ));
    assert!(!text.contains("csrc-audio-level"));
}

#[test]
fn speaks_in_its_own_name() {
    let (text, negotiated) = answered(CHROMIUM);
    let head = text.split("m=audio").next().unwrap();
    assert_eq!(
        head.lines().collect::<Vec<_>>(),
        [
            "v=0",
            "o=- 42 1 IN IP4 203.0.113.5",
            "s=-",
            "t=0 0",
            "a=ice-lite",
            "a=ice-options:trickle",
            "a=group:BUNDLE 0 1",
            "a=msid-semantic:WMS call",
        ]
    );
    let audio = section(&text, 0);
    let fingerprint = format!("a=fingerprint:sha-256 {}", ["AB"; 32].join(":"));
    assert_eq!(
        audio[1..10],
        [
            "c=IN IP4 203.0.113.5",
            "a=rtcp:40500 IN IP4 203.0.113.5",
            "a=candidate:1 1 udp 2130706431 203.0.113.5 40500 typ host",
            "a=end-of-candidates",
            "a=ice-ufrag:node",
            &format!("a=ice-pwd:{PASSWORD}"),
            &fingerprint,
            "a=setup:passive",
            "a=mid:0",
        ]
    );
    let LocalSsrcs { media, rtx } = negotiated.media[1].local_ssrcs;
    let ssrcs = [
        format!("a=ssrc-group:FID {media} {rtx}"),
        format!("a=ssrc:{media} cname:causeway"),
        format!("a=ssrc:{media} msid:call video1"),
        format!("a=ssrc:{rtx} cname:causeway"),
        format!("a=ssrc:{rtx} msid:call video1"),
    ];
    assert_eq!(lines(&text, 1, "a=ssrc"), ssrcs);
    for theirs in ["EsAw", "4TOk42mSjXCkVIa6", "0c5b1fd6", "2570614803", "D2:FA"] {
        assert!(!text.contains(theirs), "{theirs} is the far side's");
    }
}

#[test]
fn what_it_writes_it_can_read_itself() {
    for offer in &FIXTURES[..7] {
        let (text, negotiated) = answered(offer);
        let read = sdp(&text);
        assert_eq!(read.to_string(), text);
        assert_eq!(read.media_count(), sdp(offer).media_count());
        assert_eq!(read.media_count(), negotiated.lines);
        for media in &negotiated.media {
            let section = read.media_at(media.index).unwrap();
            assert_eq!(section.direction(), media.direction);
            assert_eq!(section.mid().unwrap(), media.mid.as_deref());
        }
    }
}

/// RFC 3264 §6: rejected m-lines keep their place; RFC 8843 §7.3.3: they leave the group.
#[test]
fn rejects_data_channels_and_keeps_rejected_m_lines() {
    let (text, negotiated) = answered(CHROMIUM_DATACHANNEL);
    assert_eq!(
        section(&text, 2),
        [
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=mid:2",
            "a=inactive"
        ]
    );
    assert!(text.contains("a=group:BUNDLE 0 1\r\n"));
    assert_eq!((negotiated.lines, negotiated.media.len()), (3, 2));

    let (text, negotiated) = answered(CHROMIUM_RECVONLY);
    assert_eq!(lines(&text, 2, "m="), ["m=audio 0 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126"]);
    assert_eq!(negotiated.media.len(), 2);
}

/// RFC 8843 §7.1.3: the m-line that the group starts with may speak for the others.
#[test]
fn a_rejected_first_m_line_can_still_name_the_transport() {
    let data = CHROMIUM_DATACHANNEL.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 2 0 1");
    let (before, after) = data.split_at(data.find("m=application").unwrap());
    let bare: String = ["a=ice-", "a=fingerprint", "a=setup", "a=candidate"]
        .iter()
        .fold(before.into(), |text: String, start| without(&text, start));
    let (text, negotiated) = answered(&(bare + after));
    assert_eq!(negotiated.ice().unwrap().credentials.ufrag, "EsAw");
    assert!(text.contains("a=group:BUNDLE 0 1\r\n"));
}

/// RFC 3264 §6.1.
#[test]
fn answers_each_direction_with_its_inverse() {
    let cases = [
        ("sendrecv", "sendrecv", Direction::SendRecv),
        ("sendonly", "recvonly", Direction::RecvOnly),
        ("recvonly", "sendonly", Direction::SendOnly),
        ("inactive", "inactive", Direction::Inactive),
    ];
    for (offered, expected, direction) in cases {
        let (text, negotiated) = answered(&CHROMIUM.replace("a=sendrecv", &format!("a={offered}")));
        assert_eq!(lines(&text, 0, &format!("a={expected}")).len(), 1, "{offered}");
        assert_eq!(negotiated.media[0].direction, direction);
        assert_eq!(lines(&text, 0, "a=ssrc").is_empty(), !direction.sends());
        assert_eq!(lines(&text, 0, "a=msid").is_empty(), !direction.sends());
        assert_eq!(negotiated.held(), direction == Direction::Inactive, "{offered}");
    }
}

/// RFC 5763 §5, RFC 8842 §5.3.
#[test]
fn takes_the_dtls_role_that_the_offer_leaves() {
    let cases = [
        ("a=setup:actpass", "a=setup:passive", DtlsRole::Passive),
        ("a=setup:active", "a=setup:passive", DtlsRole::Passive),
        ("a=setup:passive", "a=setup:active", DtlsRole::Active),
        ("a=x-nothing", "a=setup:passive", DtlsRole::Passive),
    ];
    for (offered, expected, role) in cases {
        let (text, negotiated) = answered(&CHROMIUM.replace("a=setup:actpass", offered));
        assert_eq!(lines(&text, 0, "a=setup"), [expected]);
        assert_eq!(negotiated.dtls().unwrap().role, role);
    }
}

#[test]
fn takes_the_far_sides_transport() {
    let (_, negotiated) = answered(FIREFOX);
    let (transport, dtls) = (negotiated.ice().unwrap(), negotiated.dtls().unwrap());
    assert_eq!(transport.credentials.ufrag, "5f3c9a1e");
    assert_eq!(transport.credentials.password.as_str(), "0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    assert_eq!(dtls.fingerprints.len(), 1);
    assert_eq!(dtls.fingerprints[0].digest[..3], [0x4f, 0x0b, 0x8c]);
    assert_eq!(transport.candidates.len(), 3, "component 2 is of no use with rtcp-mux");
    assert!(transport.end_of_candidates && transport.trickle && !transport.lite);
}

#[test]
fn every_refusal_names_its_line() {
    let cases = [
        (without(CHROMIUM, "a=ice-ufrag"), SdpErrorKind::NoIceCredentials, "line 8: m=audio"),
        (without(CHROMIUM, "a=ice-pwd"), SdpErrorKind::NoIceCredentials, "line 8: m=audio"),
        (without(CHROMIUM, "a=fingerprint"), SdpErrorKind::NoFingerprint, "line 8: m=audio"),
        (
            CHROMIUM.replace("sha-256 D2", "sha-1 D2"),
            SdpErrorKind::WeakFingerprint,
            "line 17: a=fingerprint:…",
        ),
        (
            CHROMIUM.replace("sha-256 D2", "sha-512 D2"),
            SdpErrorKind::BadFingerprint,
            "line 17: a=fingerprint:…",
        ),
        (CHROMIUM.replace("actpass", "holdconn"), SdpErrorKind::BadSetup, "line 18: a=setup:…"),
        (CHROMIUM.replace("actpass", "maybe"), SdpErrorKind::BadSetup, "line 18: a=setup:…"),
        (without(CHROMIUM, "a=rtcp-mux"), SdpErrorKind::NoRtcpMux, "line 8: m=audio"),
        (without(CHROMIUM, "a=group"), SdpErrorKind::NotBundled, "line 40: m=video"),
        (CHROMIUM.replace("a=mid:1", "a=mid:0"), SdpErrorKind::DuplicateMid, "line 49: a=mid:…"),
        (
            CHROMIUM.replace("a=mid:1", "a=mid:seventeen-letters"),
            SdpErrorKind::BadMid,
            "line 49: a=mid:…",
        ),
        (CHROMIUM.replace("VP8", "VPX").replace("H264", "H265"), NO_COMMON, "line 41: m=video"),
        (CHROMIUM.replace("m=video 9 UDP", "m=video 9 TCP"), PROFILE, "line 41: m=video"),
        (SIP_PHONE.into(), SdpErrorKind::NoIceCredentials, "line 7: m=audio 11800 RTP/AVP"),
    ];
    for (offer, kind, at) in cases {
        let error = refused(&offer);
        assert_eq!(error.kind, kind);
        assert!(error.at().starts_with(at), "{} is not {at}", error.at());
    }
    let nothing = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    assert_eq!(refused(nothing).kind, SdpErrorKind::NoMedia);
}

const NO_COMMON: SdpErrorKind = SdpErrorKind::NoCommonCodec;
const PROFILE: SdpErrorKind = SdpErrorKind::UnsupportedProfile;

/// RFC 8122 §5: any strong fingerprint will do.
#[test]
fn a_weak_fingerprint_beside_a_strong_one_does_not_count() {
    let offer = CHROMIUM.replace("a=fingerprint:", "a=fingerprint:sha-1 AA:BB\r\na=fingerprint:");
    let (_, negotiated) = answered(&offer);
    assert_eq!(negotiated.dtls().unwrap().fingerprints.len(), 1);
    assert_eq!(negotiated.dtls().unwrap().fingerprints[0].hash, HashFunction::Sha256);
}

#[test]
fn a_later_leg_gets_what_the_other_leg_has() {
    let only_vp8 = CHROMIUM.replace(" H264/", " H265/").replace("opus", "speex");
    let (_, first) = answered(&only_vp8);
    let (text, _) = answer(&sdp(FIREFOX), &local(), &[&first], None).unwrap();
    assert_eq!(lines(&text, 0, "m="), ["m=audio 40500 UDP/TLS/RTP/SAVPF 9 0 8 101"]);
    assert_eq!(lines(&text, 1, "m="), ["m=video 40500 UDP/TLS/RTP/SAVPF 120 124"]);
}

#[test]
fn legs_without_a_common_codec_are_refused_by_m_line() {
    let (_, first) = answered(&CHROMIUM.replace("H264", "H265"));
    let h264_only = FIREFOX.replace("VP8", "VP9");
    let error = answer(&sdp(&h264_only), &local(), &[&first], None).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::NoCommonCodec);
    assert!(error.at().starts_with("line 36: m=video 9"), "{}", error.at());
}

#[test]
fn events_alone_are_no_common_codec() {
    let (_, first) =
        answered(&CHROMIUM.replace("opus", "speex").replace("PCMA", "x").replace("G722", "y"));
    let offer = FIREFOX.replace("PCMU", "L16");
    let error = answer(&sdp(&offer), &local(), &[&first], None).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::NoCommonCodec);
    assert!(error.at().contains("m=audio"));
}

#[test]
fn a_kind_that_the_other_leg_lacks_is_not_limited() {
    let audio_only = CHROMIUM.replace("m=video 9", "m=video 0");
    let (_, first) = answered(&audio_only);
    let (text, _) = answer(&sdp(CHROMIUM), &local(), &[&first], None).unwrap();
    assert_eq!(lines(&text, 1, "m="), ["m=video 40500 UDP/TLS/RTP/SAVPF 96 97 109 114 115 116"]);
}

/// RFC 6184 §8.1, table 5; without parameters it is the unconstrained baseline, mode 0.
#[test]
fn takes_constrained_baseline_in_any_spelling_and_nothing_else_of_h264() {
    let codec = |fmtp: Option<&str>| {
        let map = RtpMap { payload_type: 96, name: "h264", clock_rate: 90000, channels: 1 };
        Codec::recognise(&map, fmtp)
    };
    for (mode, id) in [(1, "42e01f"), (0, "42C01E"), (1, "4240ff"), (0, "4d8020"), (1, "58c00a")] {
        let fmtp = format!("profile-level-id={id}; packetization-mode={mode}");
        let expected = Codec::H264 { non_interleaved: mode == 1 };
        assert_eq!(codec(Some(&fmtp)), Some(expected), "{id}");
    }
    for declined in ["42001f", "4d001f", "64001f", "42801f", "zz", "+2e01f"] {
        assert_eq!(codec(Some(&format!("profile-level-id={declined}"))), None, "{declined}");
    }
    assert_eq!(codec(None), None);
    assert_eq!(codec(Some("profile-level-id=42e01f;packetization-mode=2")), None);
}

/// RFC 3264 §8, RFC 8829 §5.2.2.
#[test]
fn a_later_offer_keeps_ssrcs_and_raises_the_version() {
    let (first_text, first) = answered(CHROMIUM);
    let (text, second) = answer(&sdp(CHROMIUM_DATACHANNEL), &local(), &[], Some(&first)).unwrap();
    assert!(first_text.contains("o=- 42 1 ") && text.contains("o=- 42 2 "));
    assert_eq!(second.media[1].local_ssrcs, first.media[1].local_ssrcs);
    assert_eq!(lines(&text, 1, "a=ssrc"), lines(&first_text, 1, "a=ssrc"));
    assert!(!second.ice_restarted(&first));
}

/// RFC 8842 §5.5: an offer that leaves the choice does not turn the association round.
#[test]
fn a_later_offer_keeps_the_dtls_role() {
    let (_, first) = answered(&CHROMIUM.replace("actpass", "passive"));
    let (text, second) = answer(&sdp(CHROMIUM), &local(), &[], Some(&first)).unwrap();
    assert_eq!(second.dtls().unwrap().role, DtlsRole::Active);
    assert_eq!(lines(&text, 0, "a=setup"), ["a=setup:active"]);
}

#[test]
fn an_ice_restart_shows() {
    let (_, first) = answered(CHROMIUM);
    let restart = CHROMIUM.replace("EsAw", "Qx7k").replace("P2uYro0U", "aaaaaaaa");
    let (_, second) = answer(&sdp(&restart), &local(), &[], Some(&first)).unwrap();
    assert!(second.ice_restarted(&first) && !second.dtls_restarted(&first));
}

/// RFC 8842 §3.1.
#[test]
fn another_certificate_or_role_asks_for_a_new_association() {
    let (_, first) = answered(CHROMIUM);
    for (from, to) in [("D2:FA", "D2:FB"), ("actpass", "passive")] {
        let offer = CHROMIUM.replace(from, to);
        let (_, second) = answer(&sdp(&offer), &local(), &[], Some(&first)).unwrap();
        assert!(second.dtls_restarted(&first) && !second.ice_restarted(&first), "{to}");
    }
}

#[test]
fn hold_and_resume_show() {
    let (_, active) = answered(CHROMIUM);
    let hold = CHROMIUM.replace("a=sendrecv", "a=inactive");
    let (_, held) = answer(&sdp(&hold), &local(), &[], Some(&active)).unwrap();
    let (_, resumed) = answer(&sdp(CHROMIUM), &local(), &[], Some(&held)).unwrap();
    assert!(!active.held() && held.held() && !resumed.held());
    assert_eq!(resumed.version, 3);
}

/// RFC 3264 §8: m-lines never go away and never become another.
#[test]
fn a_later_offer_that_loses_or_swaps_m_lines_is_refused() {
    let (_, first) = answered(CHROMIUM);
    let lost = &CHROMIUM[..CHROMIUM.find("m=video").unwrap()];
    let swapped = CHROMIUM.replace("a=mid:1", "a=mid:7").replace("BUNDLE 0 1", "BUNDLE 0 7");
    for (offer, at) in [(lost, "line 8: m=audio"), (&swapped, "line 41: m=video")] {
        let error = answer(&sdp(offer), &local(), &[], Some(&first)).unwrap_err();
        assert_eq!(error.kind, SdpErrorKind::MediaMismatch);
        assert!(error.at().starts_with(at), "{}", error.at());
    }
}

/// RFC 8829 §5.2.2: a stopped m-line may serve again under another MID.
#[test]
fn a_stopped_m_line_may_serve_again() {
    let (_, first) = answered(&CHROMIUM.replace("m=video 9", "m=video 0"));
    let recycled = CHROMIUM.replace("a=mid:1", "a=mid:2").replace("BUNDLE 0 1", "BUNDLE 0 2");
    let (text, second) = answer(&sdp(&recycled), &local(), &[], Some(&first)).unwrap();
    assert_eq!(second.media[1].mid.as_deref(), Some("2"));
    assert!(text.contains("a=group:BUNDLE 0 2\r\n"));
}

#[test]
fn one_m_line_needs_no_bundle_and_no_mid() {
    let audio = without(&CHROMIUM[..CHROMIUM.find("m=video").unwrap()], "a=group");
    let (text, negotiated) = answered(&without(&audio, "a=mid"));
    assert!(!negotiated.bundle && !text.contains("a=group"));
    assert_eq!(negotiated.media[0].mid, None);
}

#[test]
fn payload_types_that_look_like_rtcp_are_declined() {
    let (text, _) = answered(&CHROMIUM.replace("SAVPF 111", "SAVPF 72").replace(":111 ", ":72 "));
    assert_eq!(lines(&text, 0, "m="), ["m=audio 40500 UDP/TLS/RTP/SAVPF 9 0 8 110 126"]);
}

/// RFC 8858 §4.3.
#[test]
fn echoes_that_there_is_no_second_port_for_rtcp() {
    let (text, _) = answered(&CHROMIUM.replace("a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n"));
    assert_eq!(lines(&text, 0, "a=rtcp-mux"), ["a=rtcp-mux", "a=rtcp-mux-only"]);
    assert_eq!(lines(&answered(CHROMIUM).0, 0, "a=rtcp-mux"), ["a=rtcp-mux"]);
}

#[test]
fn announces_ipv6_as_such() {
    let address = "[2001:db8::5]:40500".parse().unwrap();
    let local = Local { address, candidates: vec![Candidate::host("1", 1, 1, address)], ..local() };
    let (text, _) = answer(&sdp(CHROMIUM), &local, &[], None).unwrap();
    assert!(text.contains("c=IN IP6 2001:db8::5\r\na=rtcp:40500 IN IP6 2001:db8::5\r\n"));
    assert!(text.contains("a=candidate:1 1 udp 1 2001:db8::5 40500 typ host\r\n"));
}

#[test]
fn ssrcs_of_one_leg_differ_and_are_never_zero() {
    for base in [0, 1, 0x3f, u32::MAX] {
        let mut all: Vec<_> = (0..MEDIA_MAX)
            .flat_map(|index| {
                let LocalSsrcs { media, rtx } = LocalSsrcs::of(base, index);
                [media, rtx]
            })
            .collect();
        assert!(!all.contains(&0));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * MEDIA_MAX);
    }
}
