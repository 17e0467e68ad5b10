//! Several sessions in one body.

use std::net::SocketAddr;

use super::*;

const TWO: &str = "v=0\r\no=- 1 999 IN IP4 192.0.2.1\r\ns=one\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    a=sendonly\r\nm=audio 2000 RTP/AVP 0\r\na=ptime:20\r\nm=video 2002 RTP/AVP 34\r\n\
    v=0\r\no=- 2 1000 IN IP4 192.0.2.2\r\ns=two\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
    a=inactive\r\na=extmap:1 urn:x\r\nm=audio 2004 RTP/AVP 8\r\n";

fn proxied(port: u16) -> MediaRewrite {
    MediaRewrite::Proxied(Box::new(Proxied {
        direction: Some(Direction::SendRecv),
        ..Proxied::at(SocketAddr::from(([203, 0, 113, 5], port)))
    }))
}

#[test]
fn each_m_line_has_what_stands_above_it_in_its_own_session() {
    let sdp = sdp(TWO);
    assert_eq!(sdp.to_string(), TWO);
    let sections: Vec<_> = sdp.media().collect();
    let said: Vec<_> =
        sections.iter().map(|section| (section.connection(), section.direction())).collect();
    let (one, two) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
    let expected =
        [(one, Direction::SendOnly), (one, Direction::SendOnly), (two, Direction::Inactive)];
    assert_eq!(said, expected);
    assert_eq!(sections[1].attribute("inactive"), None, "it is the next session's");
    assert_eq!(sections[1].extensions().len() + sections[2].extensions().len(), 1);
    assert_eq!(sdp.origin().unwrap().version, "999");
    assert_eq!(sdp.session_name(), Some("one"));
}

#[test]
fn each_is_rewritten_and_all_have_one_version() {
    let mut session = SessionRewrite { ice_lite: true, ..SessionRewrite::default() };
    session.origin.version = Some(7);
    let media = vec![proxied(30000), MediaRewrite::Removed, proxied(30002)];
    let text = rewrite(&sdp(TWO), &Rewrite { session, media }).unwrap();
    let expected = "v=0\r\no=- 1 7 IN IP4 192.0.2.1\r\ns=one\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n\
        a=ice-lite\r\nm=audio 30000 RTP/AVP 0\r\na=ptime:20\r\na=rtpmap:0 PCMU/8000\r\n\
        a=sendrecv\r\nv=0\r\no=- 2 7 IN IP4 192.0.2.2\r\ns=two\r\nc=IN IP4 203.0.113.5\r\n\
        t=0 0\r\na=extmap:1 urn:x\r\na=ice-lite\r\nm=audio 30002 RTP/AVP 8\r\n\
        a=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n";
    assert_eq!(text, expected);
}

#[test]
fn an_untouched_m_line_gets_its_own_sessions_address() {
    let media = vec![proxied(30000), MediaRewrite::Untouched, MediaRewrite::Untouched];
    let text = rewrite(&sdp(TWO), &Rewrite { session: SessionRewrite::default(), media }).unwrap();
    assert!(text.contains("m=video 2002 RTP/AVP 34\r\nc=IN IP4 192.0.2.1\r\nv=0\r\n"), "{text}");
    assert!(text.ends_with(TWO.split_once("34\r\n").unwrap().1), "{text}");
}

/// A session begins behind an m-line, so that there are no more of them than m-lines and one.
#[test]
fn another_version_above_the_first_m_line_is_a_line() {
    let text = "v=0\r\nv=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 2000 RTP/AVP 0\r\nv=0\r\nv=0\r\n";
    let sdp = sdp(text);
    assert!(sdp.media_at(0).unwrap().connection().is_some());
    let rewrite = Rewrite { session: SessionRewrite::default(), media: vec![proxied(30000)] };
    let expected = "v=0\r\nv=0\r\nc=IN IP4 203.0.113.5\r\nm=audio 30000 RTP/AVP 0\r\n\
        a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\nv=0\r\nv=0\r\n";
    assert_eq!(super::rewrite(&sdp, &rewrite).unwrap(), expected);
}

#[test]
fn what_is_wrong_is_found_in_its_session() {
    let mut session = SessionRewrite::default();
    session.origin.version = Some(7);
    let media = vec![proxied(30000), proxied(30002), proxied(30004)];
    let broken = sdp(&TWO.replace("o=- 2 1000 IN IP4 192.0.2.2", "o=-"));
    let error = rewrite(&broken, &Rewrite { session, media }).unwrap_err();
    assert_eq!((error.kind, error.line), (SdpErrorKind::MalformedOrigin, Some(11)));
}
