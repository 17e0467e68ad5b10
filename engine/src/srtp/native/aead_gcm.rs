//! AES in Galois/counter mode (RFC 7714).
//!
//! ```text
//! SRTP   header, encrypted payload, tag                      header is associated data
//! SRTCP  8 bytes header, encrypted rest, tag, E ‖ index      header, E ‖ index are associated data
//! clear  whole RTCP packet, tag, E ‖ index                   packet, E ‖ index (RFC 7714 §9.3)
//! ```

use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, KeyInit};
use arrayvec::ArrayVec;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::kdf::{Kdf, Protocol};
use crate::error::DropReason;
use crate::srtp::{ENCRYPTED, KEY_MAX, PacketId, RTCP_HEADER_LEN, RTCP_INDEX_LEN, Suite};

/// Bytes of the tag.
const TAG_LEN: usize = 16;
/// Bytes of the session salt, and of a nonce.
const SALT_LEN: usize = 12;

/// Session keys of one protocol in one direction, the key kept as `K`.
pub(in crate::srtp) struct AeadGcm<K> {
    key: K,
    salt: u128,
}

/// How a key of 16 or 32 bytes is kept.
pub(in crate::srtp) trait Gcm {
    /// Takes the key.
    fn new(key: &[u8]) -> Self;

    /// Encrypts what ends in room for the tag.
    fn seal(&self, nonce: [u8; SALT_LEN], associated: &[u8], rest: &mut [u8]);

    /// Authenticates and decrypts; returns the length without the tag.
    fn open(
        &self,
        nonce: [u8; SALT_LEN],
        associated: &[u8],
        rest: &mut [u8],
    ) -> Result<usize, DropReason>;
}

/// Ready for use, for SRTP.
pub(in crate::srtp) struct Expanded(LessSafeKey);

impl Gcm for Expanded {
    fn new(key: &[u8]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("every suite's key length is one of AES");
        Self(LessSafeKey::new(key))
    }

    fn seal(&self, nonce: [u8; SALT_LEN], associated: &[u8], rest: &mut [u8]) {
        let (payload, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_scatter(nonce, Aad::from(associated), payload, &[], tag)
            .expect("no packet is longer than GCM allows");
    }

    fn open(
        &self,
        nonce: [u8; SALT_LEN],
        associated: &[u8],
        rest: &mut [u8],
    ) -> Result<usize, DropReason> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(associated), rest);
        opened.map(|payload| payload.len()).map_err(|_| DropReason::SrtpAuth)
    }
}

/// As it is, for SRTCP: its packets are few, so the key is expanded for each, and 600 bytes are saved for each
/// direction of each transport. It is the GCM of the `aes-gcm` crate, which expands a key without allocation.
pub(in crate::srtp) struct Folded(Zeroizing<ArrayVec<u8, KEY_MAX>>);

impl Gcm for Folded {
    fn new(key: &[u8]) -> Self {
        Self(Zeroizing::new(key.iter().copied().collect()))
    }

    fn seal(&self, nonce: [u8; SALT_LEN], associated: &[u8], rest: &mut [u8]) {
        match self.0.len() {
            16 => seal_by::<Aes128Gcm>(&self.0, nonce, associated, rest),
            _ => seal_by::<Aes256Gcm>(&self.0, nonce, associated, rest),
        }
    }

    fn open(
        &self,
        nonce: [u8; SALT_LEN],
        associated: &[u8],
        rest: &mut [u8],
    ) -> Result<usize, DropReason> {
        match self.0.len() {
            16 => open_by::<Aes128Gcm>(&self.0, nonce, associated, rest),
            _ => open_by::<Aes256Gcm>(&self.0, nonce, associated, rest),
        }
    }
}

fn seal_by<C: KeyInit + AeadInOut>(
    key: &[u8],
    nonce: [u8; SALT_LEN],
    associated: &[u8],
    rest: &mut [u8],
) {
    let (payload, room) = rest.split_at_mut(rest.len() - TAG_LEN);
    let cipher = C::new_from_slice(key).expect("every suite's key length is one of AES");
    let nonce = nonce.as_slice().try_into().expect("a nonce has 12 bytes");
    let tag = cipher.encrypt_inout_detached(nonce, associated, payload.into());
    room.copy_from_slice(&tag.expect("no packet is longer than GCM allows"));
}

fn open_by<C: KeyInit + AeadInOut>(
    key: &[u8],
    nonce: [u8; SALT_LEN],
    associated: &[u8],
    rest: &mut [u8],
) -> Result<usize, DropReason> {
    let len = rest.len().checked_sub(TAG_LEN).ok_or(DropReason::SrtpAuth)?;
    let (payload, tag) = rest.split_at_mut(len);
    let cipher = C::new_from_slice(key).expect("every suite's key length is one of AES");
    let nonce = nonce.as_slice().try_into().expect("a nonce has 12 bytes");
    let tag = (&*tag).try_into().expect("a tag has 16 bytes");
    let opened = cipher.decrypt_inout_detached(nonce, associated, payload.into(), tag);
    opened.map(|()| len).map_err(|_| DropReason::SrtpAuth)
}

impl<K: Gcm> AeadGcm<K> {
    pub(in crate::srtp) fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        kdf.encryption_key(protocol, suite.key_len(), |key| {
            Self::from_session(key, &kdf.salt(protocol))
        })
    }

    pub(in crate::srtp) fn from_session(key: &[u8], salt: &[u8; SALT_LEN]) -> Self {
        let mut block = [0; 16];
        block[16 - SALT_LEN..].copy_from_slice(salt);
        Self { key: K::new(key), salt: u128::from_be_bytes(block) }
    }

    /// Protects `packet`, which ends in room for the tag.
    pub(in crate::srtp) fn protect_rtp(&self, id: PacketId, header_len: usize, packet: &mut [u8]) {
        let (header, rest) = packet.split_at_mut(header_len);
        self.key.seal(self.nonce(id), header, rest);
    }

    /// Authenticates and decrypts `packet`; returns its length without the tag.
    pub(in crate::srtp) fn unprotect_rtp(
        &self,
        id: PacketId,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let (header, rest) = packet.split_at_mut(header_len);
        Ok(header_len + self.key.open(self.nonce(id), header, rest)?)
    }

    /// Protects `packet`, which ends in room for tag and index.
    pub(in crate::srtp) fn protect_rtcp(&self, id: PacketId, index_word: u32, packet: &mut [u8]) {
        let word = index_word.to_be_bytes();
        if index_word & ENCRYPTED == 0 {
            // The word is made to lie beside what it is authenticated with, and then moved.
            let (associated, tag) = packet.split_at_mut(packet.len() - TAG_LEN);
            let word_at = associated.len() - RTCP_INDEX_LEN;
            associated[word_at..].copy_from_slice(&word);
            self.key.seal(self.nonce(id), associated, tag);
            return packet[word_at..].rotate_left(RTCP_INDEX_LEN);
        }
        let (body, trailer) = packet.split_at_mut(packet.len() - RTCP_INDEX_LEN);
        trailer.copy_from_slice(&word);
        let (header, rest) = body.split_at_mut(RTCP_HEADER_LEN);
        self.key.seal(self.nonce(id), &rtcp_associated(header, trailer), rest);
    }

    /// Authenticates and decrypts `packet`; returns its length without tag and index.
    pub(in crate::srtp) fn unprotect_rtcp(
        &self,
        id: PacketId,
        index_word: u32,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        if index_word & ENCRYPTED == 0 {
            let len = packet.len() - TAG_LEN - RTCP_INDEX_LEN;
            packet[len..].rotate_right(RTCP_INDEX_LEN);
            let (associated, tag) = packet.split_at_mut(len + RTCP_INDEX_LEN);
            return self.key.open(self.nonce(id), associated, tag).map(|_| len);
        }
        let (body, trailer) = packet.split_at_mut(packet.len() - RTCP_INDEX_LEN);
        let (header, rest) = body.split_at_mut(RTCP_HEADER_LEN);
        let associated = rtcp_associated(header, trailer);
        Ok(RTCP_HEADER_LEN + self.key.open(self.nonce(id), &associated, rest)?)
    }

    /// The initialization vector: SSRC and index right of two zero bytes, for SRTP (RFC 7714 §8.1)
    /// as for SRTCP (RFC 7714 §9.1).
    fn nonce(&self, id: PacketId) -> [u8; SALT_LEN] {
        let [_, _, _, _, iv @ ..] =
            (self.salt ^ u128::from(id.ssrc) << 48 ^ u128::from(id.index)).to_be_bytes();
        iv
    }
}

/// What an SRTCP packet authenticates without encrypting it (RFC 7714 §9.2).
fn rtcp_associated(header: &[u8], trailer: &[u8]) -> [u8; RTCP_HEADER_LEN + RTCP_INDEX_LEN] {
    let mut associated = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
    associated[..RTCP_HEADER_LEN].copy_from_slice(header);
    associated[RTCP_HEADER_LEN..].copy_from_slice(trailer);
    associated
}
