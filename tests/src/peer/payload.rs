//! What test media is made of: a payload that says which one it is and shows whether it is whole.

use str0m::media::MediaKind;

/// Bytes of a payload.
pub const LENGTH: usize = 120;
/// A VP8 payload descriptor that starts a partition, and the first byte of a key frame's header.
const VP8_HEAD: [u8; 2] = [0x10, 0x00];
/// An opus packet of one SILK frame of 20 ms.
const OPUS_HEAD: [u8; 2] = [0x08, 0x00];

/// Payload number `number` of what `sender` sends.
pub fn write(kind: MediaKind, sender: u32, number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(head(kind));
    bytes.extend(sender.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    while bytes.len() < LENGTH - 4 {
        bytes.push(check(&bytes) as u8);
    }
    bytes.extend(check(&bytes).to_be_bytes());
    bytes
}

/// The sender and the number of a payload, or `None` if it is not what was sent.
pub fn read(kind: MediaKind, bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let (sender, count) = (number(2)?, number(6)?);
    (bytes == write(kind, sender, count)).then_some((sender, count))
}

fn head(kind: MediaKind) -> [u8; 2] {
    if kind == MediaKind::Video { VP8_HEAD } else { OPUS_HEAD }
}

/// FNV-1a.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_with_a_changed_byte_is_not_read() {
        let bytes = write(MediaKind::Video, 7, 9);
        assert_eq!(read(MediaKind::Video, &bytes), Some((7, 9)));
        for place in 0..LENGTH {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(read(MediaKind::Video, &changed), None, "byte {place}");
        }
        assert_eq!(read(MediaKind::Audio, &bytes), None);
    }
}
