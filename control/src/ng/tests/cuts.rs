use proptest::prelude::*;

use crate::ng::{COOKIE_MAX, Cut, CutError, DOCUMENT_MAX, FRAME_MAX, FrameError};

const FRAMES: [&str; 5] = [
    "c1 d7:command4:pinge",
    "c2 d7:command5:offer3:sdp5:e d{}e",
    "c3 {\"command\":\"ping\"}",
    "c4 {\"a\":[{\"b\":\"}\\\\\\\"]{\"},-1]}",
    "c5 d1:ald1:bi-12eeee",
];

/// Cuts `bytes` that come `pace` at a time.
fn cut(bytes: &[u8], pace: usize) -> Result<Vec<Vec<u8>>, CutError> {
    let (mut cut, mut frames, mut held) = (Cut::default(), Vec::new(), Vec::new());
    for part in bytes.chunks(pace) {
        held.extend_from_slice(part);
        while let Some(end) = cut.end(&held)? {
            frames.push(held.drain(..end).collect());
        }
    }
    Ok(frames)
}

#[test]
fn frames_are_parted_wherever_they_are_split() {
    let bytes = FRAMES.concat();
    for pace in 1..=bytes.len() {
        assert_eq!(cut(bytes.as_bytes(), pace).unwrap(), FRAMES.map(|f| f.as_bytes().to_vec()));
    }
}

#[test]
fn a_frame_that_has_not_come_whole_is_waited_for() {
    for frame in FRAMES {
        for end in 0..frame.len() {
            assert_eq!(Cut::default().end(&frame.as_bytes()[..end]), Ok(None));
        }
    }
}

#[test]
fn what_can_never_be_a_frame_is_an_error_at_once() {
    let fault = |bytes: &[u8]| Cut::default().end(bytes).unwrap_err();
    assert_eq!(fault(b" d7:"), CutError::Cookie(FrameError::NoCookie));
    assert_eq!(fault(&b"c".repeat(COOKIE_MAX + 1)), CutError::Cookie(FrameError::CookieTooLong));
    for bytes in [&b"GET / HTTP/1.1"[..], b"c xyz", b"c  d", b"c di0000000000000000000000000"] {
        assert_eq!(fault(bytes), CutError::NoDocument);
    }
    assert_eq!(fault(b"c d99999999999:x"), CutError::TooLong);
    assert_eq!(fault(&[b"c d65536:".to_vec(), vec![b'x'; FRAME_MAX]].concat()), CutError::TooLong);
    assert_eq!(fault(&[b"c {\"".to_vec(), vec![b'x'; FRAME_MAX]].concat()), CutError::TooLong);
}

#[test]
fn the_longest_frame_there_may_be_is_cut() {
    let text = DOCUMENT_MAX - "d1:a65000:e".len();
    let document = format!("d1:a{text}:{}e", "x".repeat(text));
    assert_eq!(document.len(), DOCUMENT_MAX);
    let frame = format!("{} {document}", "c".repeat(COOKIE_MAX));
    assert_eq!(Cut::default().end(frame.as_bytes()), Ok(Some(FRAME_MAX)));
}

proptest! {
    #[test]
    fn any_bytes_are_cut_or_refused_alike_at_any_pace(
        bytes in prop::collection::vec(prop::sample::select(b"c d{}[]el0129i:\"\\-".to_vec()), 0..300),
        pace in 1..50usize,
    ) {
        let whole = cut(&bytes, usize::MAX);
        let parts = cut(&bytes, pace);
        prop_assert_eq!(whole.is_err(), parts.is_err());
        if let (Ok(whole), Ok(parts)) = (whole, parts) {
            prop_assert_eq!(whole, parts);
        }
    }
}
