//! Which protocol a datagram speaks, by its first bytes.
//!
//! The ranges are RFC 7983 §7 as RFC 9443 §3 redraws them; RTP and RTCP are told apart by the second
//! byte (RFC 5761 §4).

use crate::error::DropReason;
use crate::stun;

/// The protocols that share a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A STUN message whose header is sound.
    Stun,
    /// A DTLS record.
    Dtls,
    /// TURN ChannelData (RFC 8656 §12.4).
    Channel,
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
}

/// Classes `payload`, a whole datagram.
///
/// # Errors
/// [`DropReason::Truncated`] if it is empty, [`DropReason::UnknownClass`] if its first byte belongs
/// to nobody, [`DropReason::StunMalformed`] if it claims to be STUN and is not,
/// [`DropReason::RtpMalformed`] if it ends before RTP and RTCP can be told apart.
pub fn classify(payload: &[u8]) -> Result<Class, DropReason> {
    match payload.first().ok_or(DropReason::Truncated)? {
        0..=3 if stun::is_framed(payload) => Ok(Class::Stun),
        0..=3 => Err(DropReason::StunMalformed),
        20..=63 => Ok(Class::Dtls),
        // RFC 8656 §12 ends at 79; clients of RFC 5766 §11 choose channels up to 0x7fff.
        64..=127 => Ok(Class::Channel),
        128..=191 => match payload.get(1).ok_or(DropReason::RtpMalformed)? {
            192..=223 => Ok(Class::Rtcp),
            _ => Ok(Class::Rtp),
        },
        _ => Err(DropReason::UnknownClass),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY_BINDING: [u8; 20] =
        [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn class_of(first: u8, second: u8) -> Result<Class, DropReason> {
        let mut datagram = EMPTY_BINDING;
        datagram[0] = first;
        datagram[1] = second;
        classify(&datagram)
    }

    #[test]
    fn the_first_byte_names_the_protocol() {
        for first in 0..=u8::MAX {
            let expected = match first {
                0..4 => Ok(Class::Stun),
                4..20 | 192.. => Err(DropReason::UnknownClass),
                20..64 => Ok(Class::Dtls),
                64..128 => Ok(Class::Channel),
                128..192 => Ok(Class::Rtp),
            };
            assert_eq!(class_of(first, 0), expected, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_the_second_byte() {
        for second in 0..=u8::MAX {
            let expected = if (192..224).contains(&second) { Class::Rtcp } else { Class::Rtp };
            assert_eq!(class_of(0x80, second), Ok(expected), "second byte {second}");
        }
    }

    #[test]
    fn stun_needs_its_cookie_and_a_length_that_fits() {
        let broken = |at: usize, byte: u8| {
            let mut datagram = EMPTY_BINDING;
            datagram[at] = byte;
            classify(&datagram)
        };
        assert_eq!(classify(&EMPTY_BINDING), Ok(Class::Stun));
        for (at, byte) in [(3, 2), (3, 4), (2, 1), (4, 0), (7, 0)] {
            assert_eq!(broken(at, byte), Err(DropReason::StunMalformed), "byte {at} = {byte}");
        }
        assert_eq!(classify(&EMPTY_BINDING[..19]), Err(DropReason::StunMalformed));
        let longer = [&EMPTY_BINDING[..], &[0; 4]].concat();
        assert_eq!(classify(&longer), Err(DropReason::StunMalformed));
    }

    #[test]
    fn too_short_to_tell_is_refused() {
        assert_eq!(classify(&[]), Err(DropReason::Truncated));
        assert_eq!(classify(&[0x80]), Err(DropReason::RtpMalformed));
        assert_eq!(classify(&[22]), Ok(Class::Dtls));
    }

    proptest! {
        #[test]
        fn any_bytes_are_classed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = classify(&bytes);
        }
    }
}
