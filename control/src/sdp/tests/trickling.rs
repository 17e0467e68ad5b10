//! Candidates that come late.

use super::*;

const UDP: &str = "candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host generation 0 ufrag EsAw";

#[test]
fn takes_candidate_lines_with_and_without_their_prefix() {
    let attribute = format!("a={UDP}\r\n").replace("50000", "50001");
    let trickled = Trickled::from_lines(&[UDP, &attribute, UDP]).unwrap();
    assert_eq!(trickled.candidates.len(), 2, "once each");
    assert_eq!(trickled.candidates[0].ufrag.as_deref(), Some("EsAw"));
    assert!(!trickled.end_of_candidates);
}

/// RFC 8838 §14; browsers say it with an empty line.
#[test]
fn an_empty_line_or_the_attribute_ends_the_candidates() {
    for end in ["", "candidate:", "end-of-candidates", "a=end-of-candidates"] {
        assert!(Trickled::from_lines(&[end]).unwrap().end_of_candidates, "{end}");
    }
}

#[test]
fn candidates_of_no_use_are_passed_over() {
    let lines = [
        "candidate:1 1 udp 1 7f3a2b1c-90de.local 46243 typ host",
        "candidate:1 3 udp 1 192.0.2.9 50001 typ host",
        "candidate:1 1 sctp 1 192.0.2.9 50001 typ host",
        "candidate:1 1 udp 1 192.0.2.9 50001 typ sometime",
        "candidate:1 1 tcp 1 192.0.2.9 50001 typ host",
    ];
    assert_eq!(Trickled::from_lines(&lines), Ok(Trickled::default()));
}

#[test]
fn bad_lines_are_refused_by_their_place() {
    for bad in ["candidate:1 1 udp", "candidate:1 1 udp x 192.0.2.9 1 typ host", "hello", "a=mid:0"]
    {
        let error = Trickled::from_lines(&[UDP, bad]).unwrap_err();
        assert_eq!((error.kind, error.line), (SdpErrorKind::BadCandidate, Some(2)), "{bad}");
    }
    let many = vec![UDP; CANDIDATES_MAX + 1];
    assert_eq!(Trickled::from_lines(&many).unwrap_err().kind, SdpErrorKind::TooManyCandidates);
}
