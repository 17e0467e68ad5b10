//! What a stream speaks, by its first bytes.
//!
//! ```text
//! 0x16                          TLS (a handshake record)
//! 0..=3, cookie at 4            STUN: TURN over TCP, or over TLS where it is plaintext
//! length, 0..=3, cookie at 6    STUN in a frame of RFC 4571: ICE over TCP (RFC 6544)
//! upper-case letters            HTTP: a method, or the preface of HTTP/2 (RFC 9113 §3.4)
//! ```

use crate::stun::MAGIC_COOKIE;

/// The first byte of each handshake record of TLS (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a method that are looked at: letters, or three of them and a space.
const METHOD: usize = 4;
/// Where the cookie is in a STUN message, and in one that is framed.
const COOKIE_AT: usize = 4;
const FRAMED_COOKIE_AT: usize = COOKIE_AT + 2;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// Nothing yet.
    More,
    /// TLS.
    Tls,
    /// A STUN message as it is.
    Turn,
    /// A STUN message in a frame.
    Ice,
    /// HTTP of any version.
    Http,
    /// Nothing that is spoken here.
    Unknown,
}

/// Reads what has come so far.
pub(crate) fn sniff(bytes: &[u8]) -> First {
    match bytes.first() {
        None => First::More,
        Some(&TLS_HANDSHAKE) => First::Tls,
        Some(letter) if letter.is_ascii_uppercase() => {
            let is_method =
                |(at, byte): (usize, &u8)| byte.is_ascii_uppercase() || (at == 3 && *byte == b' ');
            match bytes.iter().take(METHOD).enumerate().all(is_method) {
                true if bytes.len() >= METHOD => First::Http,
                true => First::More,
                false => First::Unknown,
            }
        }
        Some(0..=7) => stun(bytes),
        Some(_) => First::Unknown,
    }
}

fn stun(bytes: &[u8]) -> First {
    let cookie = |at: usize| match bytes.get(at..) {
        None => None,
        Some(rest) => {
            let seen = rest.len().min(MAGIC_COOKIE.len());
            if rest[..seen] != MAGIC_COOKIE[..seen] {
                return Some(false);
            }
            (seen == MAGIC_COOKIE.len()).then_some(true)
        }
    };
    let plain = if bytes[0] <= 3 { cookie(COOKIE_AT) } else { Some(false) };
    match (plain, cookie(FRAMED_COOKIE_AT)) {
        (Some(true), _) => First::Turn,
        (Some(false), Some(true)) => First::Ice,
        (Some(false), Some(false)) => First::Unknown,
        _ => First::More,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STUN: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];

    fn framed() -> Vec<u8> {
        [&[0, 20][..], &STUN].concat()
    }

    #[test]
    fn the_first_bytes_name_the_protocol() {
        assert_eq!(sniff(&[0x16, 3, 1]), First::Tls);
        assert_eq!(sniff(&STUN), First::Turn);
        assert_eq!(sniff(&framed()), First::Ice);
        for http in ["GET / HTTP/1.1", "PRI * HTTP/2.0", "OPTIONS * HTTP/1.1", "PUT "] {
            assert_eq!(sniff(http.as_bytes()), First::Http, "{http}");
        }
        for junk in ["SSH-2.0", "gET / HTTP/1.1", "\x05\x01\x00 socks never", "\u{7f}", " GET"] {
            assert_eq!(sniff(junk.as_bytes()), First::Unknown, "{junk}");
        }
    }

    #[test]
    fn every_prefix_of_a_protocol_asks_for_more() {
        let protocols =
            [(STUN.to_vec(), First::Turn), (framed(), First::Ice), (b"GET ".to_vec(), First::Http)];
        for (bytes, first) in protocols {
            for len in 0..bytes.len() {
                assert_eq!(sniff(&bytes[..len]), First::More, "{first:?} {len}");
            }
            assert_eq!(sniff(&bytes), first);
        }
    }

    proptest! {
        #[test]
        fn ten_bytes_always_decide(bytes in proptest::collection::vec(any::<u8>(), 10..64)) {
            prop_assert_ne!(sniff(&bytes), First::More);
        }

        #[test]
        fn what_was_decided_stays(bytes in proptest::collection::vec(any::<u8>(), 0..16), len in 0usize..16) {
            let early = sniff(&bytes[..len.min(bytes.len())]);
            if early != First::More {
                prop_assert_eq!(sniff(&bytes), early);
            }
        }
    }
}
