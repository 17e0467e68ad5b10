//! HMAC-SHA1 (RFC 2104) with a key that is absorbed once.
//!
//! What is kept is the two states behind the padded key, 40 bytes, so a tag of a voice packet takes four blocks and not
//! six, and nothing is copied but the packet's last block. Two packets at a time would take a third less, for SHA-1
//! waits for itself; but the tag is a twentieth of what a packet costs beside the kernel's share, so that would save a
//! fiftieth, for assembly of our own.

use sha1::block_api::compress;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes of a whole tag.
pub(in crate::srtp) const TAG_LEN: usize = 20;
/// Where SHA-1 begins (FIPS 180-4 §5.3.1).
const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
/// What the key is added to (RFC 2104 §2).
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;
/// Bytes of the number of bits at the end.
const LENGTH_LEN: usize = 8;

type State = [u32; 5];

/// A key that has been absorbed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(in crate::srtp) struct Mac {
    inner: State,
    outer: State,
}

impl Mac {
    /// Takes a key in, of at most a block.
    pub(in crate::srtp) fn new(key: &[u8; TAG_LEN]) -> Self {
        let absorb = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = START;
            compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self { inner: absorb(INNER), outer: absorb(OUTER) }
    }

    /// The tag of `body` and the bytes that are held to follow it, fewer than a block.
    pub(in crate::srtp) fn tag<const MORE: usize>(
        &self,
        body: &[u8],
        more: [u8; MORE],
    ) -> [u8; TAG_LEN] {
        const { assert!(MORE < BLOCK) }
        let mut state = self.inner;
        let (blocks, rest) = body.as_chunks::<BLOCK>();
        compress(&mut state, blocks);
        finish(&mut state, rest, more, body.len() + MORE);
        let inner = bytes(state);
        state = self.outer;
        finish(&mut state, &inner, [], TAG_LEN);
        bytes(state)
    }
}

/// Takes in the last bytes of a text of `len` behind the key's block, and its end (FIPS 180-4 §5.1.1).
fn finish<const MORE: usize>(state: &mut State, rest: &[u8], more: [u8; MORE], len: usize) {
    let mut last = [0; 2 * BLOCK];
    let end = rest.len() + MORE;
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()..end].copy_from_slice(&more);
    last[end] = 0x80;
    let used = (end + 1 + LENGTH_LEN).next_multiple_of(BLOCK);
    let bits = 8 * (BLOCK + len) as u64;
    last[used - LENGTH_LEN..used].copy_from_slice(&bits.to_be_bytes());
    compress(state, last[..used].as_chunks().0);
}

fn bytes(state: State) -> [u8; TAG_LEN] {
    let mut bytes = [0; TAG_LEN];
    for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac as _};
    use proptest::prelude::*;
    use sha1::Sha1;

    use super::*;

    #[test]
    fn the_first_vector_of_rfc_2202() {
        let tag = Mac::new(&[0x0b; 20]).tag(b"Hi There", []);
        let expected = 0xb617_3186_5505_7264_e28b_c0b6_fb37_8c8e_u128.to_be_bytes();
        assert_eq!((&tag[..16], &tag[16..]), (&expected[..], &[0xf1, 0x46, 0xbe, 0x00][..]));
    }

    proptest! {
        #[test]
        fn every_text_has_the_tag_that_another_implementation_gives_it(
            key: [u8; 20], body in prop::collection::vec(any::<u8>(), 0..300), more: [u8; 4],
        ) {
            let whole = Hmac::<Sha1>::new_from_slice(&key).unwrap().chain_update(&body);
            let other: [u8; 20] = whole.chain_update(more).finalize().into_bytes().into();
            prop_assert_eq!(Mac::new(&key).tag(&body, more), other);
        }
    }
}
