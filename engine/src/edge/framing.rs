//! Where messages end in a stream.
//!
//! ```text
//! ICE    | length | datagram |                        RFC 4571 §2
//! TURN   | STUN message, which tells its length |     RFC 8656 §3.1
//!        | channel | length | data, padded to 4 |     RFC 8656 §12.5
//! ```

use std::ops::Range;

use crate::config::PAYLOAD_MAX;
use crate::error::DropReason;
use crate::relay::CHANNEL_HEADER;
use crate::stun::{HEADER_LEN, MAGIC_COOKIE};

/// Bytes of a frame's length (RFC 4571 §2).
pub(crate) const LENGTH: usize = 2;
/// Bytes of the longest message: a Send indication with the longest payload, an IPv6 address, and some
/// attributes that nobody needs.
pub(crate) const MESSAGE_MAX: usize = PAYLOAD_MAX + 128;

/// What a stream's messages look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framed {
    /// Datagrams of ICE.
    Ice,
    /// Messages of TURN.
    Turn,
}

/// A message in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Where it is.
    pub(crate) message: Range<usize>,
    /// Where the next one begins.
    pub(crate) end: usize,
}

/// The message at the start of `bytes`; `None` if it is not all there.
///
/// # Errors
/// [`DropReason::StreamFraming`] if there can be none, or it is too long.
pub(crate) fn cut(framed: Framed, bytes: &[u8]) -> Result<Option<Cut>, DropReason> {
    let cut = match framed {
        Framed::Ice => datagram(bytes)?,
        Framed::Turn => message(bytes)?,
    };
    Ok(cut.filter(|cut| cut.end <= bytes.len()))
}

fn datagram(bytes: &[u8]) -> Result<Option<Cut>, DropReason> {
    let Some(&length) = bytes.first_chunk::<LENGTH>() else { return Ok(None) };
    let end = LENGTH + usize::from(u16::from_be_bytes(length));
    if end > LENGTH + PAYLOAD_MAX {
        return Err(DropReason::StreamFraming);
    }
    Ok(Some(Cut { message: LENGTH..end, end }))
}

fn message(bytes: &[u8]) -> Result<Option<Cut>, DropReason> {
    let Some(&[first, _, high, low]) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (message, end) = match first {
        0..=3 if length.is_multiple_of(4) => {
            let cookie = bytes.get(4..bytes.len().min(8)).unwrap_or_default();
            if !MAGIC_COOKIE.starts_with(cookie) {
                return Err(DropReason::StreamFraming);
            }
            (HEADER_LEN + length, HEADER_LEN + length)
        }
        64..=127 => (CHANNEL_HEADER + length, CHANNEL_HEADER + length.next_multiple_of(4)),
        _ => return Err(DropReason::StreamFraming),
    };
    if end > MESSAGE_MAX {
        return Err(DropReason::StreamFraming);
    }
    Ok(Some(Cut { message: 0..message, end }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cuts(framed: Framed, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, DropReason> {
        let mut messages = Vec::new();
        while let Some(Cut { message, end }) = cut(framed, bytes)? {
            messages.push(bytes[message].to_vec());
            bytes = &bytes[end..];
        }
        Ok(messages)
    }

    fn stun(length: u8) -> Vec<u8> {
        let mut message = vec![0; HEADER_LEN + usize::from(length)];
        message[3] = length;
        message[4..8].copy_from_slice(&MAGIC_COOKIE);
        message
    }

    #[test]
    fn datagrams_end_where_their_length_says() {
        let bytes = [0, 3, 1, 2, 3, 0, 0, 0, 1, 9, 0, 2, 7];
        assert_eq!(cuts(Framed::Ice, &bytes), Ok(vec![vec![1, 2, 3], vec![], vec![9]]));
        let long = u16::try_from(PAYLOAD_MAX + 1).unwrap().to_be_bytes();
        assert_eq!(cut(Framed::Ice, &long), Err(DropReason::StreamFraming));
    }

    #[test]
    fn channel_data_is_padded_and_stun_is_not() {
        let bytes = [&stun(4)[..], &[0x40, 0, 0, 1, 9, 0, 0, 0], &stun(0), &[0x40, 0]].concat();
        let expected = vec![stun(4), vec![0x40, 0, 0, 1, 9], stun(0)];
        assert_eq!(cuts(Framed::Turn, &bytes), Ok(expected));
    }

    #[test]
    fn what_is_no_message_or_too_long_is_refused() {
        let mut cookieless = stun(0);
        cookieless[5] = 0;
        let long = [&[0x40, 0][..], &[0xff, 0xff]].concat();
        for bytes in [vec![4, 0, 0, 0], vec![0x80, 0, 0, 0], vec![0, 1, 0, 2], cookieless, long] {
            assert_eq!(cut(Framed::Turn, &bytes), Err(DropReason::StreamFraming), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn messages_are_found_however_they_are_split(
            datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            at in 0usize..400,
        ) {
            let framed = |datagram: &Vec<u8>| [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat();
            let bytes: Vec<u8> = datagrams.iter().flat_map(framed).collect();
            let (head, _) = bytes.split_at(at.min(bytes.len()));
            let early = cuts(Framed::Ice, head).unwrap();
            prop_assert_eq!(&datagrams[..early.len()], &early[..]);
            prop_assert_eq!(cuts(Framed::Ice, &bytes).unwrap(), datagrams);
        }

        #[test]
        fn any_bytes_are_cut_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for framed in [Framed::Ice, Framed::Turn] {
                if let Ok(Some(Cut { message, end })) = cut(framed, &bytes) {
                    prop_assert!(message.end <= end && end <= bytes.len() && end > 0);
                }
            }
        }
    }
}
