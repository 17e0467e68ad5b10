//! Where a picture begins that needs no other, and the numbers that VP8 gives its pictures.
//!
//! ```text
//!  VP8 payload descriptor (RFC 7741 §4.2)        H.264 (RFC 6184 §5.3)
//!  |X|R|N|S|R| PID |                             |F|NRI| type |
//!  |I|L|T|K| RSV   |  if X
//!  |M| picture id  |  if I; 15 bits if M
//!  |   TL0PICIDX   |  if L
//!  |TID|Y| KEYIDX  |  if T or K
//! ```
//!
//! Numbers of pictures are counted by each encoder by itself. A receiver takes a jump behind a key
//! frame, but only if it notices that this is one stream no more; a sink that changes its source
//! therefore goes on counting ([`PictureShift`]).

use crate::command::Codec;
use crate::plain::plain;

/// Whether a picture that needs no other begins with this payload. Of a codec that is not looked
/// into every packet may be one.
pub(crate) fn begins_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => Vp8::parse(payload).is_some_and(|vp8| vp8.key_frame),
        Codec::H264 => h264_begins_key_frame(payload),
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Events { .. } | Codec::Other => true,
    }
}

const H264_IDR: u8 = 5;
const H264_SPS: u8 = 7;
const H264_STAP_A: u8 = 24;
const H264_FU_A: u8 = 28;

/// Parameter sets count: they come right before the picture, which is useless without them.
fn h264_begins_key_frame(payload: &[u8]) -> bool {
    let begins = |header: u8| matches!(header & 0x1f, H264_IDR | H264_SPS);
    match *payload {
        [header, ref units @ ..] if header & 0x1f == H264_STAP_A => stap_units(units).any(begins),
        [header, fragment, ..] if header & 0x1f == H264_FU_A => {
            fragment & 0x80 != 0 && begins(fragment)
        }
        [header, ..] => begins(header),
        [] => false,
    }
}

/// The headers of aggregated units (RFC 6184 §5.7.1).
fn stap_units(mut units: &[u8]) -> impl Iterator<Item = u8> + '_ {
    std::iter::from_fn(move || {
        let (size, rest) = units.split_first_chunk()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        units = rest;
        unit.first().copied()
    })
}

/// The numbers of one VP8 picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    /// 7 or 15 bits.
    id: u16,
    /// Of the latest picture of temporal layer 0.
    tl0: u8,
    /// Of the latest key frame, 5 bits.
    key: u8,
}

impl Picture {
    /// What the next key frame of the same encoder would have.
    fn next(self) -> Self {
        Self {
            id: self.id.wrapping_add(1),
            tl0: self.tl0.wrapping_add(1),
            key: self.key.wrapping_add(1),
        }
    }
}

/// A sink's picture numbers minus the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PictureShift {
    id: u16,
    tl0: u8,
    key: u8,
}

impl PictureShift {
    /// The one that makes `first` the picture behind `latest`.
    pub(crate) fn continuing(latest: Picture, first: Picture) -> Self {
        let next = latest.next();
        Self {
            id: next.id.wrapping_sub(first.id),
            tl0: next.tl0.wrapping_sub(first.tl0),
            key: next.key.wrapping_sub(first.key),
        }
    }

    /// Rewrites the picture numbers of a VP8 payload where they lie; what they are then. A payload
    /// without a whole descriptor stays as it is.
    pub(crate) fn apply(self, payload: &mut [u8]) -> Option<Picture> {
        let vp8 = Vp8::parse(payload)?;
        let mut shifted = Picture::default();
        if let Some(at) = vp8.id_at {
            shifted.id = vp8.picture.id.wrapping_add(self.id) & vp8.id_mask;
            if vp8.id_mask == ID_LONG {
                payload[at..at + 2].copy_from_slice(&(shifted.id | 0x8000).to_be_bytes());
            } else {
                payload[at] = shifted.id.to_be_bytes()[1];
            }
        }
        if let Some(at) = vp8.tl0_at {
            shifted.tl0 = vp8.picture.tl0.wrapping_add(self.tl0);
            payload[at] = shifted.tl0;
        }
        if let Some(at) = vp8.key_at {
            shifted.key = vp8.picture.key.wrapping_add(self.key) & KEY_MASK;
            payload[at] = payload[at] & !KEY_MASK | shifted.key;
        }
        Some(shifted)
    }
}

/// The picture numbers of a VP8 payload.
pub(crate) fn picture_of(payload: &[u8]) -> Option<Picture> {
    Vp8::parse(payload).map(|vp8| vp8.picture)
}

const ID_LONG: u16 = 0x7fff;
const ID_SHORT: u16 = 0x7f;
const KEY_MASK: u8 = 0x1f;

/// A view of a VP8 payload descriptor (RFC 7741 §4.2): where its numbers lie.
struct Vp8 {
    key_frame: bool,
    picture: Picture,
    id_at: Option<usize>,
    id_mask: u16,
    tl0_at: Option<usize>,
    key_at: Option<usize>,
}

impl Vp8 {
    fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut vp8 = Self {
            key_frame: false,
            picture: Picture::default(),
            id_at: None,
            id_mask: ID_SHORT,
            tl0_at: None,
            key_at: None,
        };
        let mut at = 1;
        if first & 0x80 != 0 {
            let present = *payload.get(1)?;
            at = 2;
            if present & 0x80 != 0 {
                at += vp8.read_id(payload, at)?;
            }
            if present & 0x40 != 0 {
                (vp8.tl0_at, vp8.picture.tl0) = (Some(at), *payload.get(at)?);
                at += 1;
            }
            if present & 0x30 != 0 {
                let byte = *payload.get(at)?;
                if present & 0x10 != 0 {
                    (vp8.key_at, vp8.picture.key) = (Some(at), byte & KEY_MASK);
                }
                at += 1;
            }
        }
        // The first partition begins with the P bit, which is 0 in a key frame (RFC 7741 §4.3).
        let begins = first & 0x17 == 0x10;
        vp8.key_frame = begins && payload.get(at).is_some_and(|header| header & 1 == 0);
        Some(vp8)
    }

    fn read_id(&mut self, payload: &[u8], at: usize) -> Option<usize> {
        let byte = *payload.get(at)?;
        self.id_at = Some(at);
        if byte & 0x80 == 0 {
            self.picture.id = u16::from(byte);
            return Some(1);
        }
        self.id_mask = ID_LONG;
        self.picture.id = u16::from_be_bytes([byte, *payload.get(at + 1)?]) & ID_LONG;
        Some(2)
    }
}

plain! {
    struct Picture { id, tl0, key }
    struct PictureShift { id, tl0, key }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A payload with all numbers, S set; `header` is the first byte behind the descriptor.
    fn vp8(id: u16, tl0: u8, key: u8, header: u8) -> Vec<u8> {
        let [high, low] = (id | 0x8000).to_be_bytes();
        vec![0x90, 0xf0, high, low, tl0, 0x20 | key, header, 1, 2, 3]
    }

    #[test]
    fn a_vp8_key_frame_is_found_by_its_first_packet_alone() {
        assert!(begins_key_frame(Codec::Vp8, &vp8(1, 2, 3, 0x50)));
        assert!(!begins_key_frame(Codec::Vp8, &vp8(1, 2, 3, 0x51)), "the P bit is set");
        assert!(begins_key_frame(Codec::Vp8, &[0x10, 0x00]), "without extension");
        assert!(!begins_key_frame(Codec::Vp8, &[0x00, 0x00]), "no start of a partition");
        assert!(!begins_key_frame(Codec::Vp8, &[0x11, 0x00]), "the second partition");
        assert!(begins_key_frame(Codec::Vp8, &[0x90, 0x80, 0x05, 0x00]), "a short picture id");
        assert!(!begins_key_frame(Codec::Vp8, &[0x90, 0x80]), "cut off");
        assert!(!begins_key_frame(Codec::Vp8, &[]));
    }

    #[test]
    fn an_h264_key_frame_begins_with_its_parameter_sets_or_an_idr_slice() {
        let is = |payload: &[u8]| begins_key_frame(Codec::H264, payload);
        assert!(is(&[0x65, 1, 2]), "IDR");
        assert!(is(&[0x67, 1, 2]), "SPS");
        assert!(!is(&[0x41, 1, 2]), "another slice");
        assert!(is(&[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1]), "STAP-A of SPS and PPS");
        assert!(is(&[0x78, 0, 1, 0x06, 0, 2, 0x65, 1]), "STAP-A with an IDR behind");
        assert!(!is(&[0x78, 0, 2, 0x41, 1]), "STAP-A of another slice");
        assert!(!is(&[0x78, 0, 9, 0x65, 1]), "STAP-A cut off");
        assert!(is(&[0x7c, 0x85, 1]), "FU-A, first of an IDR");
        assert!(!is(&[0x7c, 0x05, 1]), "FU-A, a later one");
        assert!(!is(&[0x7c, 0x81, 1]), "FU-A, first of another slice");
        assert!(!is(&[]));
    }

    proptest! {
        #[test]
        fn a_new_source_goes_on_counting(
            latest in (0..=ID_LONG, any::<u8>(), 0..=KEY_MASK),
            first in (0..=ID_LONG, any::<u8>(), 0..=KEY_MASK),
        ) {
            let picture = |(id, tl0, key)| Picture { id, tl0, key };
            let mut payload = vp8(first.0, first.1, first.2, 0x50);
            let shift = PictureShift::continuing(picture(latest), picture(first));
            let after = shift.apply(&mut payload).unwrap();
            prop_assert_eq!(after.id, (latest.0 + 1) & ID_LONG);
            prop_assert_eq!(after.tl0, latest.1.wrapping_add(1));
            prop_assert_eq!(after.key, (latest.2 + 1) & KEY_MASK);
            prop_assert_eq!(picture_of(&payload), Some(after));
            prop_assert_eq!(payload, vp8(after.id, after.tl0, after.key, 0x50), "the rest stays");
        }

        #[test]
        fn hostile_payloads_never_panic(mut payload in proptest::collection::vec(any::<u8>(), 0..12)) {
            begins_key_frame(Codec::H264, &payload);
            let shift = PictureShift { id: 0x1234, tl0: 1, key: 1 };
            let len = payload.len();
            shift.apply(&mut payload);
            prop_assert_eq!(payload.len(), len);
        }
    }
}
