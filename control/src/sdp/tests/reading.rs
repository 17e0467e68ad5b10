//! What is read from descriptions, and what is wrong with bad ones.

use super::*;
use crate::api::Problem;

#[test]
fn prints_what_it_read_byte_for_byte() {
    for fixture in FIXTURES {
        assert_eq!(sdp(fixture).to_string(), fixture);
        let unix = fixture.replace("\r\n", "\n");
        assert_eq!(sdp(unix.trim_end()).to_string(), unix.trim_end());
    }
    let odd = "v=0\nthis is no line\n\na=x \r\r\nz=;;\r\nm=image 0 udptl t38\na=T38FaxVersion:0";
    assert_eq!(sdp(odd).to_string(), odd);
}

#[test]
fn reads_a_phones_m_line() {
    let sdp = sdp(SIP_PHONE);
    let audio = sdp.media_at(0).unwrap();
    assert_eq!(audio.payload_types().collect::<Vec<_>>(), [0, 8, 18, 101]);
    assert_eq!(audio.rtp_address(), Some("192.0.2.71:11800".parse().unwrap()));
    assert_eq!(audio.rtcp_address(), Some("192.0.2.71:11805".parse().unwrap()));
    assert_eq!(audio.ptime(), Some(20));
    assert_eq!(audio.bandwidth("AS"), None, "it stands above the m-line");
    assert_eq!(audio.direction(), Direction::SendRecv);
    assert_eq!(audio.attribute("X-vendor").unwrap().value, " kept as it is");
    assert_eq!(audio.attribute("X-vendor").unwrap().line, 13);
    assert_eq!(audio.attribute("X"), None, "a name is compared whole");
}

#[test]
fn reads_a_browsers_m_lines() {
    let sdp = sdp(CHROMIUM);
    let video = sdp.media_at(1).unwrap();
    assert_eq!(sdp.bundles().map(|mids| mids.collect()).collect::<Vec<Vec<_>>>(), [["0", "1"]]);
    assert_eq!(video.mid(), Ok(Some("1")));
    assert_eq!(video.setup(), Ok(Some(Setup::ActPass)));
    assert_eq!(video.extensions().len(), 11);
    assert!(video.ice_option("trickle") && !video.ice_option("ice2"));
    assert_eq!(
        video.ssrc_groups().map(|group| group.semantics).collect::<Vec<_>>(),
        ["FID", "FEC-FR"]
    );
    assert_eq!(video.msid().unwrap().0, "0c5b1fd6-2e0a-4b8c-bd1e-3e0f2a3b4c5d");
}

/// RFC 8839 §5.1; a name in place of an address says nothing outside its own network.
#[test]
fn reads_candidates_and_passes_over_local_names() {
    let sdp = sdp(CHROMIUM);
    let candidates: Vec<_> = sdp.media_at(0).unwrap().candidates().collect();
    assert_eq!(candidates.len(), 2);
    assert_eq!(candidates[0].kind, CandidateKind::ServerReflexive);
    assert_eq!(candidates[0].address, "192.0.2.44:54321".parse().unwrap());
    assert_eq!(candidates[0].related, Some("0.0.0.0:0".parse().unwrap()));
    assert_eq!(candidates[1].via, Via::Tcp(TcpType::Active));
    assert_eq!(
        candidates[1].to_string(),
        "candidate:435653019 1 tcp 1518280447 192.168.1.7 9 typ host tcptype active"
    );
}

/// RFC 8285 §7, RFC 8866 §6.7: directions are the writer's.
#[test]
fn reads_one_way_extensions_and_session_wide_values() {
    let sdp = sdp(FIREFOX);
    let playout = sdp.media_at(1).unwrap().extensions()[3].clone();
    assert_eq!((playout.id, playout.direction), (6, Direction::RecvOnly));
    let fingerprint = sdp.media_at(0).unwrap().inherited("fingerprint").unwrap();
    assert_eq!(fingerprint.line, 6);
    assert!(sdp.media_at(0).unwrap().end_of_candidates());
    assert!(!sdp.media_at(1).unwrap().end_of_candidates());
}

#[test]
fn a_port_of_zero_rejects_unless_bundle_only() {
    let text = CHROMIUM.replace("m=video 9", "m=video 0");
    assert!(sdp(&text).media_at(1).unwrap().is_rejected());
    let text = text.replace("a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n");
    assert!(!sdp(&text).media_at(1).unwrap().is_rejected());
}

#[test]
fn every_limit_has_an_error_of_its_own() {
    let kind = |text: &str| Sdp::parse(text).unwrap_err().kind;
    assert_eq!(kind(""), SdpErrorKind::NotSdp);
    assert_eq!(kind("hello"), SdpErrorKind::NotSdp);
    assert_eq!(kind(&"v=0\n".repeat(TEXT_MAX)), SdpErrorKind::TooLong);
    assert_eq!(kind(&"v=0\n".repeat(LINES_MAX + 1)), SdpErrorKind::TooManyLines);
    assert_eq!(kind(&format!("v=0\ns={}", "x".repeat(LINE_MAX))), SdpErrorKind::LineTooLong);
    let many = format!("v=0\n{}", "m=audio 9 RTP/AVP 0\n".repeat(MEDIA_MAX + 1));
    assert_eq!(kind(&many), SdpErrorKind::TooManyMedia);
    for bad in ["m=", "m=audio", "m=audio x RTP/AVP 0", "m=audio 70000 RTP/AVP 0", "m=a,b 9 c d"] {
        let error = Sdp::parse(&format!("v=0\ns=-\n{bad}\n")).unwrap_err();
        assert_eq!((error.kind, error.line), (SdpErrorKind::MalformedMedia, Some(3)), "{bad}");
        assert_eq!(error.at(), format!("line 3: {bad}"));
    }
}

#[test]
fn errors_and_debug_output_show_no_secret() {
    let secret = "tooshort";
    let text = CHROMIUM.replace("P2uYro0UCOQ4zxjKXaWCBui1", secret);
    let error = refused(&text);
    assert_eq!(error.kind, SdpErrorKind::BadIceCredentials);
    assert_eq!(error.at(), "line 15: a=ice-pwd:…");
    assert!(!format!("{error:?} {error}").contains(secret));

    let (_, negotiated) = answered(CHROMIUM);
    let shown = format!("{:?} {negotiated:?} {:?}", sdp(CHROMIUM), local());
    assert!(!shown.contains("P2uYro0UCOQ4zxjKXaWCBui1") && !shown.contains(PASSWORD));
}

#[test]
fn a_problem_carries_kind_status_and_line() {
    let problem = Problem::from(refused(&without(CHROMIUM, "a=fingerprint")));
    assert_eq!(problem.status, 422);
    assert_eq!(problem.kind, "urn:causeway:problem:no-fingerprint");
    assert!(problem.at.unwrap().starts_with("line 8: m=audio 54321 UDP/TLS/RTP/SAVPF"));
    let problem = Problem::from(Sdp::parse(&"x".repeat(TEXT_MAX + 1)).unwrap_err());
    assert_eq!((problem.status, problem.at.as_deref()), (413, Some("sdp")));
}
