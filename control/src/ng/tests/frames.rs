use crate::ng::{COOKIE_MAX, Format, Frame, FrameError, NgError, frame};

#[test]
fn the_first_space_parts_cookie_and_document() {
    let frame = Frame::split(b"0_1024_0 d4:a be").unwrap();
    assert_eq!((frame.cookie, frame.document), (&b"0_1024_0"[..], &b"d4:a be"[..]));
    assert_eq!(frame.join(), b"0_1024_0 d4:a be");
    assert_eq!(Frame::split(b"c ").unwrap().document, b"");
    assert_eq!(Frame::split(b"\xff\0\n x").unwrap().cookie, b"\xff\0\n");
}

#[test]
fn without_a_cookie_there_is_no_reply() {
    for datagram in [&b""[..], b"nospace", b" d7:command4:pinge", b"d7:command4:pinge"] {
        assert_eq!(Frame::split(datagram), Err(FrameError::NoCookie));
    }
    let long = |len| [b"c".repeat(len), b" x".to_vec()].concat();
    assert!(Frame::split(&long(COOKIE_MAX)).is_ok());
    assert_eq!(Frame::split(&long(COOKIE_MAX + 1)), Err(FrameError::CookieTooLong));
}

#[test]
fn the_format_is_told_by_the_first_byte() {
    let read = |document: &[u8]| {
        let (format, dictionary) = frame::read(document);
        (format, dictionary.map(|dictionary| dictionary.iter().count()))
    };
    assert_eq!(read(b"d7:command4:pinge"), (Format::Bencode, Ok(1)));
    assert_eq!(read(br#"{"command": "ping"}"#), (Format::Json, Ok(1)));
    assert_eq!(read(b"d7:command4:pinge\r\n"), (Format::Bencode, Ok(1)));
    assert_eq!(read(b""), (Format::Bencode, Err(NgError::NoPayload)));
    for document in [&b"x"[..], b"[1]", b" d4:pinge", b"\nd4:pinge", b"i1e", b"\0"] {
        assert_eq!(read(document), (Format::Bencode, Err(NgError::UnknownFormat)));
    }
    assert!(matches!(read(b"dx"), (Format::Bencode, Err(NgError::NotBencode(_)))));
    assert!(matches!(read(b"{x"), (Format::Json, Err(NgError::NotJson(_)))));
}

#[test]
fn documents_are_not_shown() {
    let frame = Frame::split(b"c0 d3:sdp6:secrete").unwrap();
    assert_eq!(format!("{frame:?}"), r#"Frame { "c0", <15 bytes> }"#);
}
