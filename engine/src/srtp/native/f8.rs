//! AES in f8 mode (RFC 3711 §4.1.2): each block of the keystream goes into the next one.
//!
//! ```text
//! IV'  = E(key ⊕ mask, IV)
//! S(j) = E(key, IV' ⊕ j ⊕ S(j - 1))    S(-1) = 0
//! ```

use super::aes_cm::AesCm;
use super::hmac_sha1::Cipher;
use super::kdf::{Kdf, Protocol};
use crate::srtp::{PacketId, RTCP_HEADER_LEN, Suite};

/// Bytes of the session key.
const KEY_LEN: usize = 16;
/// Bytes of the session salt.
const SALT_LEN: usize = 14;
/// What fills the mask up behind the salt.
const MASK_FILL: u8 = 0x55;

/// The session key, and the one that makes initialization vectors of it and the salt.
pub(in crate::srtp) struct F8 {
    key: AesCm,
    masked: AesCm,
}

impl F8 {
    /// From a session key of 16 bytes and a session salt of at most as many.
    pub(in crate::srtp) fn from_session(key: &[u8], salt: &[u8]) -> Self {
        let mut masked = zeroize::Zeroizing::new([MASK_FILL; KEY_LEN]);
        masked[..salt.len()].copy_from_slice(salt);
        masked.iter_mut().zip(key).for_each(|(mask, byte)| *mask ^= byte);
        Self { key: AesCm::new(key), masked: AesCm::new(&masked[..]) }
    }

    /// Adds the keystream that belongs to an initialization vector.
    fn apply(&self, vector: u128, data: &mut [u8]) {
        let vector = self.masked.encrypt(vector);
        let mut stream = 0;
        for (number, block) in (0_u128..).zip(data.chunks_mut(16)) {
            stream = self.key.encrypt(vector ^ number ^ stream);
            block.iter_mut().zip(stream.to_be_bytes()).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

impl Cipher for F8 {
    fn new(_: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        let salt = kdf.salt::<SALT_LEN>(protocol);
        kdf.encryption_key(protocol, KEY_LEN, |key| Self::from_session(key, &salt[..]))
    }

    /// RFC 3711 §4.1.2.2: the header from its second byte on, and the ROC.
    fn apply_rtp(&self, id: PacketId, header: &[u8], payload: &mut [u8]) {
        let mut vector = [0; 16];
        vector[1..12].copy_from_slice(&header[1..12]);
        vector[12..].copy_from_slice(&((id.index >> 16) as u32).to_be_bytes());
        self.apply(u128::from_be_bytes(vector), payload);
    }

    /// RFC 3711 §4.1.2.3: four bytes of 0, E bit and index, the first header.
    fn apply_rtcp(
        &self,
        _: PacketId,
        index_word: u32,
        header: &[u8; RTCP_HEADER_LEN],
        rest: &mut [u8],
    ) {
        let vector = u128::from(index_word) << 64 | u128::from(u64::from_be_bytes(*header));
        self.apply(vector, rest);
    }
}
