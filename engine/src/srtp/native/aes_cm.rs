//! AES in counter mode (RFC 3711 §4.1.1; RFC 6188 for longer keys).

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use arrayvec::ArrayVec;
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use super::hmac_sha1::Cipher;
use super::kdf::{Kdf, Protocol};
use crate::srtp::{KEY_MAX, PacketId, RTCP_HEADER_LEN, Suite};

/// Bytes of the session salt.
const SALT_LEN: usize = 14;

/// Session key and salt.
pub(in crate::srtp) struct CounterMode {
    key: AesCm,
    /// The session salt where the packet's SSRC and index are added: 16 bits above the block counter.
    salt: u128,
}

/// The first counter block of a packet, under a session salt.
fn counter(salt: u128, id: PacketId) -> u128 {
    salt ^ u128::from(id.ssrc) << 64 ^ u128::from(id.index) << 16
}

impl Cipher for CounterMode {
    fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        let key = kdf.encryption_key(protocol, suite.key_len(), AesCm::new);
        Self { key, salt: salt_block(kdf, protocol) }
    }

    fn apply_rtp(&self, id: PacketId, _: &[u8], payload: &mut [u8]) {
        self.key.apply(counter(self.salt, id), payload);
    }

    fn apply_rtcp(&self, id: PacketId, _: u32, _: &[u8; RTCP_HEADER_LEN], rest: &mut [u8]) {
        self.key.apply(counter(self.salt, id), rest);
    }
}

/// Session key and salt as they are, for SRTCP: its packets are few, so the key is expanded for each, a tenth of a
/// microsecond, and half a kilobyte is saved for each direction of each transport. It is the AES of the `aes` crate,
/// which expands a key without allocation.
pub(in crate::srtp) struct Folded {
    key: Zeroizing<ArrayVec<u8, KEY_MAX>>,
    salt: u128,
}

impl Folded {
    fn apply(&self, id: PacketId, data: &mut [u8]) {
        let counter = counter(self.salt, id).to_be_bytes();
        match self.key.len() {
            16 => unfold::<Ctr128BE<Aes128Enc>>(&self.key, &counter, data),
            24 => unfold::<Ctr128BE<Aes192Enc>>(&self.key, &counter, data),
            _ => unfold::<Ctr128BE<Aes256Enc>>(&self.key, &counter, data),
        }
    }
}

/// Adds the keystream that starts at `counter`.
fn unfold<C: KeyIvInit + StreamCipher>(key: &[u8], counter: &[u8; 16], data: &mut [u8]) {
    let stream = C::new_from_slices(key, counter);
    stream.expect("every suite's key length is one of AES").apply_keystream(data);
}

impl Cipher for Folded {
    fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        let of = |key: &[u8]| Zeroizing::new(key.iter().copied().collect());
        let key = kdf.encryption_key(protocol, suite.key_len(), of);
        Self { key, salt: salt_block(kdf, protocol) }
    }

    fn apply_rtp(&self, id: PacketId, _: &[u8], payload: &mut [u8]) {
        self.apply(id, payload);
    }

    fn apply_rtcp(&self, id: PacketId, _: u32, _: &[u8; RTCP_HEADER_LEN], rest: &mut [u8]) {
        self.apply(id, rest);
    }
}

/// The session salt where a packet's SSRC and index are added.
fn salt_block(kdf: &Kdf, protocol: Protocol) -> u128 {
    let mut block = [0; 16];
    block[..SALT_LEN].copy_from_slice(&kdf.salt::<SALT_LEN>(protocol)[..]);
    u128::from_be_bytes(block)
}

/// AES in counter mode with its key expanded.
pub(in crate::srtp) struct AesCm(EncryptingKey);

impl AesCm {
    /// A key of 16, 24 or 32 bytes, as every suite has it.
    pub(in crate::srtp) fn new(key: &[u8]) -> Self {
        let algorithm = match key.len() {
            16 => &AES_128,
            24 => &AES_192,
            _ => &AES_256,
        };
        let key = UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr);
        Self(key.expect("every suite's key length is one of AES"))
    }

    /// Adds the keystream that starts at `counter`.
    pub(in crate::srtp) fn apply(&self, counter: u128, data: &mut [u8]) {
        let counter = EncryptionContext::Iv128(FixedLength::from(counter.to_be_bytes()));
        self.0.less_safe_encrypt(data, counter).expect("counter mode takes data of any length");
    }

    /// One block encrypted.
    pub(in crate::srtp) fn encrypt(&self, block: u128) -> u128 {
        let mut stream = [0; 16];
        self.apply(block, &mut stream);
        u128::from_be_bytes(stream)
    }
}
