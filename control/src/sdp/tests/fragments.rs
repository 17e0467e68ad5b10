//! Fragments of WHIP and WHEP.

use proptest::prelude::*;

use super::*;

const CANDIDATE: &str = "candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host ufrag EsAw";
const PWD: &str = "P2uYro0UCOQ4zxjKXaWCBui1";

fn mids(mids: &[&str]) -> Vec<String> {
    mids.iter().map(|mid| (*mid).to_owned()).collect()
}

/// RFC 9725 §4.3.2, the example's form.
#[test]
fn reads_what_the_standard_shows() {
    let body = format!(
        "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
         a=ice-pwd:{PWD}\r\na={CANDIDATE}\r\na=candidate:4 1 tcp 15 192.0.2.1 9 typ host tcptype active\r\n\
         a=candidate:5 1 udp 15 0dd0-f00d.local 9 typ host\r\na=end-of-candidates\r\n"
    );
    let fragment = Fragment::parse(&body).unwrap();
    assert_eq!((fragment.lite, fragment.bundle.as_slice()), (false, mids(&["0", "1"]).as_slice()));
    let own = mids(&["0", "1"]);
    assert!(!fragment.is_foreign(&own));
    assert_eq!(fragment.credentials(&own), Some(&IceCredentials::new("EsAw", PWD)));
    assert_eq!(fragment.candidates(&own).len(), 2, "names are of no use");
    assert!(fragment.end_of_candidates(&own));
}

/// Credentials above the first m-line, as common clients write them.
#[test]
fn credentials_may_stand_above_the_m_lines_or_all_alone() {
    let head = format!("a=ice-ufrag:EsAw\na=ice-pwd:{PWD}\n");
    let tail = format!("m=video 9 RTP/AVP 0\na=mid:v\na={CANDIDATE}\n");
    for body in [head.clone(), format!("{head}{tail}")] {
        let fragment = Fragment::parse(&body).unwrap();
        assert_eq!(fragment.credentials(&mids(&["v"])).unwrap().ufrag, "EsAw");
        assert!(!fragment.is_foreign(&mids(&["v"])));
    }
    assert_eq!(Fragment::parse("").unwrap(), Fragment::default());
}

#[test]
fn what_stands_below_a_foreign_m_line_does_not_count() {
    let foreign = format!(
        "m=audio 9 RTP/AVP 0\r\na=mid:x\r\na=ice-ufrag:evil\r\na=ice-pwd:{PWD}\r\na={CANDIDATE}\r\n\
         a=end-of-candidates\r\n"
    );
    let own = mids(&["0"]);
    let fragment = Fragment::parse(&foreign).unwrap();
    assert!(fragment.is_foreign(&own));
    assert_eq!((fragment.credentials(&own), fragment.candidates(&own).len()), (None, 0));
    assert!(!fragment.end_of_candidates(&own));
    let both =
        format!("{foreign}m=audio 9 RTP/AVP 0\r\na=mid:0\r\na={CANDIDATE}\r\na={CANDIDATE}\r\n");
    let fragment = Fragment::parse(&both).unwrap();
    assert!(!fragment.is_foreign(&own));
    assert_eq!((fragment.credentials(&own), fragment.candidates(&own).len()), (None, 1));
}

#[test]
fn a_bad_fragment_names_its_line_and_no_secret() {
    for (body, at, kind) in [
        (
            "m=audio 9 RTP/AVP 0\r\na=ice-pwd:short\r\n",
            "line 2: a=ice-pwd:…",
            SdpErrorKind::BadIceCredentials,
        ),
        ("a=ice-ufrag:abc\r\n", "line 1: a=ice-ufrag:…", SdpErrorKind::BadIceCredentials),
        ("\r\na=candidate:1 1\r\n", "line 2: a=candidate:…", SdpErrorKind::BadCandidate),
        ("a=mid:a b\r\n", "line 1: a=mid:…", SdpErrorKind::BadMid),
        ("m=audio 9\r\n", "line 1: m=", SdpErrorKind::MalformedMedia),
        ("a=ice-ufrag:EsAw\r\n", "line 1: a=ice-ufrag:…", SdpErrorKind::LoneIceCredential),
        (
            "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\nm=a 9 b\na=ice-ufrag:EsAw",
            "line 1: a=ice-pwd:…",
            SdpErrorKind::LoneIceCredential,
        ),
    ] {
        let error = Fragment::parse(body).unwrap_err();
        assert_eq!((error.at().as_str(), error.kind), (at, kind), "{body}");
    }
}

#[test]
fn a_fragment_is_bounded_in_every_way() {
    let refused = |body: &str| Fragment::parse(body).unwrap_err().kind;
    assert_eq!(refused(&"x".repeat(TEXT_MAX + 1)), SdpErrorKind::TooLong);
    assert_eq!(refused(&"a\n".repeat(LINES_MAX + 1)), SdpErrorKind::TooManyLines);
    assert_eq!(refused(&"x".repeat(LINE_MAX + 1)), SdpErrorKind::LineTooLong);
    assert_eq!(refused(&"m=a 9 b\n".repeat(MEDIA_MAX + 1)), SdpErrorKind::TooManyMedia);
    let flood = format!("a={CANDIDATE}\n").repeat(CANDIDATES_MAX + 1);
    assert_eq!(refused(&flood), SdpErrorKind::TooManyCandidates);
}

/// RFC 9725 §4.3.3: the same ice-lite and ice-options as in the description.
#[test]
fn the_nodes_fragment_says_of_its_transport_what_its_answer_says() {
    let (answer, _) = answered(CHROMIUM);
    let fragment = Fragment::of(&sdp(&answer)).unwrap();
    let first = lines(&answer, 0, "a=mid:")[0].trim_start_matches("a=mid:");
    let text = fragment.to_string();
    assert!(text.starts_with("a=ice-lite\r\na=ice-options:trickle\r\na=group:BUNDLE "), "{text}");
    assert!(text.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111"), "{text}");
    assert!(text.contains(&format!(
        "\r\na=mid:{first}\r\na=ice-ufrag:node\r\na=ice-pwd:{PASSWORD}\r\na=candidate:1 1 udp"
    )));
    assert!(text.ends_with("\r\na=end-of-candidates\r\n"));
    assert_eq!(Fragment::parse(&text).unwrap(), fragment);
    let offer = Fragment::of(&sdp(CHROMIUM)).unwrap();
    assert!(offer.credentials(&mids(&[first])).is_some());
}

fn credentials() -> impl Strategy<Value = Option<IceCredentials>> {
    prop::option::of(
        ("[A-Za-z0-9+/]{4,256}", "[A-Za-z0-9+/]{22,256}")
            .prop_map(|(u, p)| IceCredentials::new(u, p)),
    )
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (
        "[a-zA-Z0-9+/]{1,32}",
        any::<u32>(),
        any::<std::net::SocketAddr>(),
        prop::option::of("[a-z]{4,8}"),
    )
        .prop_map(|(foundation, priority, address, ufrag)| {
            // A flow label or scope is no part of a candidate.
            let address = (address.ip(), address.port()).into();
            Candidate { ufrag, ..Candidate::host(foundation, 1, priority, address) }
        })
}

fn a_section(line: &'static str) -> impl Strategy<Value = Section> {
    let candidates = prop::collection::vec(candidate(), 0..6);
    (prop::option::of("[a-z0-9]{1,16}"), credentials(), candidates, any::<bool>()).prop_map(
        move |(mid, credentials, candidates, end_of_candidates)| Section {
            line: line.into(),
            mid,
            credentials,
            candidates,
            end_of_candidates,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        lite in any::<bool>(),
        options in prop::option::of("[a-z0-9]{1,8}( [a-z0-9]{1,8})?"),
        pacing in prop::option::of(any::<u32>()),
        bundle in prop::collection::vec("[a-z0-9]{1,16}", 0..4),
        session in a_section(""),
        media in prop::collection::vec(a_section("audio 9 UDP/TLS/RTP/SAVPF 111"), 0..4),
    ) {
        let fragment = Fragment { lite, options, pacing, bundle, session, media };
        prop_assert_eq!(Fragment::parse(&fragment.to_string()), Ok(fragment));
    }
}
