//! A payload that says which one it is and when it left, and shows whether it is whole.
//!
//! ```text
//! 0        2        4            8              12           20             len-8    len
//! |  head  | magic  |   stream   |   sequence   |    sent    |    filler    |  check  |
//! ```
//!
//! The node forwards payloads as they are, whatever it does to headers.

use causeway_control::api::Media;

/// Bytes of the shortest payload.
pub const LEN_MIN: usize = FILLER_AT + CHECK_LEN;

/// Whose and which payload it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The stream, unique in the run.
    pub stream: u32,
    /// Counts the stream's packets from 1; 0 only asks whether the way is open.
    pub sequence: u32,
    /// When it was sent, in nanoseconds of the wall clock.
    pub sent: u64,
}

/// Fills `out`, at least [`LEN_MIN`] bytes.
///
/// # Panics
/// If `out` is shorter.
pub fn write(media: Media, stamp: Stamp, out: &mut [u8]) {
    let (body, check) = out.split_at_mut(out.len() - CHECK_LEN);
    body[..2].copy_from_slice(&head(media));
    body[2..4].copy_from_slice(&MAGIC);
    body[4..8].copy_from_slice(&stamp.stream.to_be_bytes());
    body[8..12].copy_from_slice(&stamp.sequence.to_be_bytes());
    body[12..FILLER_AT].copy_from_slice(&stamp.sent.to_be_bytes());
    let mut noise = u64::from(stamp.stream) << 32 | u64::from(stamp.sequence);
    for chunk in body[FILLER_AT..].chunks_mut(8) {
        noise = mix(noise, 0);
        chunk.copy_from_slice(&noise.to_le_bytes()[..chunk.len()]);
    }
    check.copy_from_slice(&hash(body).to_be_bytes());
}

/// Reads a payload; `None` if it is not as it was written.
pub fn read(bytes: &[u8]) -> Option<Stamp> {
    if bytes.len() < LEN_MIN || bytes[2..4] != MAGIC {
        return None;
    }
    let (body, check) = bytes.split_at(bytes.len() - CHECK_LEN);
    if check != hash(body).to_be_bytes() {
        return None;
    }
    Some(Stamp {
        stream: u32::from_be_bytes(field(body, 4)?),
        sequence: u32::from_be_bytes(field(body, 8)?),
        sent: u64::from_be_bytes(field(body, 12)?),
    })
}

/// How a payload of this kind starts: an opus packet of one SILK frame of 20 ms, or a VP8 payload
/// descriptor that starts a partition and the first byte of a key frame.
fn head(media: Media) -> [u8; 2] {
    match media {
        Media::Audio => [0x08, 0x00],
        Media::Video => [0x10, 0x00],
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// 64 bits over all bytes and their number. Not for adversaries; every changed word changes it,
/// since each step can be undone.
fn hash(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(8);
    let seed = bytes.len() as u64;
    let state = chunks.by_ref().fold(seed, |state, word| {
        mix(state, u64::from_le_bytes(word.try_into().unwrap_or_default()))
    });
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(state, u64::from_le_bytes(last))
}

fn mix(state: u64, word: u64) -> u64 {
    let state = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    state ^ state >> 32
}

const MAGIC: [u8; 2] = *b"cw";
const FILLER_AT: usize = 20;
const CHECK_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_payload_is_read_as_it_was_written(
            (stream, sequence, sent) in any::<(u32, u32, u64)>(),
            len in LEN_MIN..1500,
        ) {
            let stamp = Stamp { stream, sequence, sent };
            let mut bytes = vec![0; len];
            write(Media::Video, stamp, &mut bytes);
            prop_assert_eq!(read(&bytes), Some(stamp));
        }

        #[test]
        fn a_changed_byte_is_seen(len in LEN_MIN..300, at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = vec![0; len];
            write(Media::Audio, Stamp { stream: 7, sequence: 9, sent: 11 }, &mut bytes);
            bytes[at.index(len)] ^= flip;
            prop_assert_eq!(read(&bytes), None);
        }

        #[test]
        fn a_payload_that_was_cut_or_grew_is_seen(len in LEN_MIN..300, other in 0usize..400) {
            prop_assume!(len != other);
            let mut bytes = vec![0; len];
            write(Media::Audio, Stamp { stream: 7, sequence: 9, sent: 11 }, &mut bytes);
            bytes.resize(other, 0);
            prop_assert_eq!(read(&bytes), None);
        }
    }

    #[test]
    fn payloads_of_one_stream_differ() {
        let write_to = |sequence| {
            let mut bytes = [0; 60];
            write(Media::Audio, Stamp { stream: 7, sequence, sent: 11 }, &mut bytes);
            bytes
        };
        assert_ne!(write_to(1)[FILLER_AT..], write_to(2)[FILLER_AT..]);
    }
}
