//! What a suite's primitives cost with nothing around them: no backend that uses them gets below that on this processor.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use causeway_engine::srtp::Suite;
use sha1::block_api::compress;

/// Bytes of a header without contributing sources and extensions.
const HEADER_LEN: usize = 12;
/// Bytes of GCM's tag.
const GCM_TAG_LEN: usize = 16;
/// Bytes of one of SHA-1's blocks.
const BLOCK: usize = 64;
/// Bytes that HMAC-SHA1 takes in behind a packet: the rollover counter (RFC 3711 §4.2), and the padding's first byte
/// and length.
const END_LEN: usize = 4 + 1 + 8;

/// A suite's primitives with a key that is ready.
pub(crate) enum Bare {
    /// AES in counter mode over the payload, and SHA-1 over as many blocks as HMAC needs if it keeps the two states
    /// behind its key; the tag has so many bytes.
    CounterAndSha1(Box<EncryptingKey>, usize),
    /// One AES-GCM over header and payload.
    Gcm(Box<LessSafeKey>),
}

impl Bare {
    pub(crate) fn new(suite: Suite) -> Self {
        let key = &[7; 32][..suite.key_len()];
        let gcm = |algorithm| {
            let key = UnboundKey::new(algorithm, key).expect("a key of AES");
            Self::Gcm(Box::new(LessSafeKey::new(key)))
        };
        let counter = |algorithm| {
            let key = UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr);
            Self::CounterAndSha1(Box::new(key.expect("a key of AES")), suite.rtp_overhead())
        };
        match (suite, key.len()) {
            (Suite::AeadAes128Gcm, _) => gcm(&AES_128_GCM),
            (Suite::AeadAes256Gcm, _) => gcm(&AES_256_GCM),
            (_, 16) => counter(&AES_128),
            (_, 24) => counter(&AES_192),
            _ => counter(&AES_256),
        }
    }

    /// What protects a packet that ends with room for its tag.
    pub(crate) fn protect(&self, packet: &mut [u8]) {
        let (header, rest) = packet.split_at_mut(HEADER_LEN);
        match self {
            Self::CounterAndSha1(key, tag_len) => {
                let (payload, tag) = rest.split_at_mut(rest.len() - tag_len);
                encrypt(key, payload);
                hash(payload, tag);
            }
            Self::Gcm(key) => {
                let (payload, tag) = rest.split_at_mut(rest.len() - GCM_TAG_LEN);
                key.seal_in_place_scatter(nonce(), Aad::from(&*header), payload, &[], tag)
                    .expect("GCM takes packets of any length");
            }
        }
    }

    /// What unprotects a packet that [`Self::protect`] has written.
    pub(crate) fn unprotect(&self, packet: &mut [u8]) {
        match self {
            // The same both ways, but for the order.
            Self::CounterAndSha1(..) => self.protect(packet),
            Self::Gcm(key) => {
                let (header, rest) = packet.split_at_mut(HEADER_LEN);
                let opened = key.open_in_place(nonce(), Aad::from(&*header), rest);
                opened.expect("the packet is genuine");
            }
        }
    }
}

fn encrypt(key: &EncryptingKey, payload: &mut [u8]) {
    let counter = EncryptionContext::Iv128(FixedLength::from([9; 16]));
    key.less_safe_encrypt(payload, counter).expect("counter mode takes data of any length");
}

/// The whole blocks of the payload, and then what is behind them and before them, and the outer hash's block, which all
/// wait for each other.
fn hash(payload: &[u8], tag: &mut [u8]) {
    let (blocks, _) = payload.as_chunks();
    let all = (HEADER_LEN + payload.len() + END_LEN).div_ceil(BLOCK) + 1;
    let mut state = [1; 5];
    compress(&mut state, blocks);
    compress(&mut state, &[[0; BLOCK]; 3][..all - blocks.len()]);
    tag[..4].copy_from_slice(&state[0].to_be_bytes());
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([5; 12])
}
