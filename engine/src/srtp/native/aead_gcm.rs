//! AES in Galois/counter mode (RFC 7714).
//!
//! ```text
//! SRTP   header, encrypted payload, tag                      header is associated data
//! SRTCP  8 bytes header, encrypted rest, tag, E ‖ index      header, E ‖ index are associated data
//! clear  whole RTCP packet, tag, E ‖ index                   packet, E ‖ index (RFC 7714 §9.3)
//! ```

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::kdf::{Kdf, Protocol};
use crate::error::DropReason;
use crate::srtp::{ENCRYPTED, PacketId, RTCP_HEADER_LEN, RTCP_INDEX_LEN, Suite};

/// Bytes of the tag.
const TAG_LEN: usize = 16;
/// Bytes of the session salt.
const SALT_LEN: usize = 12;

/// Session keys of one protocol in one direction.
pub(in crate::srtp) struct AeadGcm {
    key: LessSafeKey,
    salt: u128,
}

impl AeadGcm {
    pub(in crate::srtp) fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        kdf.encryption_key(protocol, suite.key_len(), |key| {
            Self::from_session(key, &kdf.salt(protocol))
        })
    }

    pub(in crate::srtp) fn from_session(key: &[u8], salt: &[u8; SALT_LEN]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("every suite's key length is one of AES");
        let mut block = [0; 16];
        block[16 - SALT_LEN..].copy_from_slice(salt);
        Self { key: LessSafeKey::new(key), salt: u128::from_be_bytes(block) }
    }

    /// Protects `packet`, which ends in room for the tag.
    pub(in crate::srtp) fn protect_rtp(&self, id: PacketId, header_len: usize, packet: &mut [u8]) {
        let (header, rest) = packet.split_at_mut(header_len);
        self.seal(id, header, rest);
    }

    /// Authenticates and decrypts `packet`; returns its length without the tag.
    pub(in crate::srtp) fn unprotect_rtp(
        &self,
        id: PacketId,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let (header, rest) = packet.split_at_mut(header_len);
        Ok(header_len + self.open(id, header, rest)?)
    }

    /// Protects `packet`, which ends in room for tag and index.
    pub(in crate::srtp) fn protect_rtcp(&self, id: PacketId, index_word: u32, packet: &mut [u8]) {
        let word = index_word.to_be_bytes();
        if index_word & ENCRYPTED == 0 {
            // The word is made to lie beside what it is authenticated with, and then moved.
            let (associated, tag) = packet.split_at_mut(packet.len() - TAG_LEN);
            let word_at = associated.len() - RTCP_INDEX_LEN;
            associated[word_at..].copy_from_slice(&word);
            self.seal(id, associated, tag);
            return packet[word_at..].rotate_left(RTCP_INDEX_LEN);
        }
        let (body, trailer) = packet.split_at_mut(packet.len() - RTCP_INDEX_LEN);
        trailer.copy_from_slice(&word);
        let (header, rest) = body.split_at_mut(RTCP_HEADER_LEN);
        self.seal(id, &rtcp_associated(header, trailer), rest);
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
            return self.open(id, associated, tag).map(|_| len);
        }
        let (body, trailer) = packet.split_at_mut(packet.len() - RTCP_INDEX_LEN);
        let (header, rest) = body.split_at_mut(RTCP_HEADER_LEN);
        Ok(RTCP_HEADER_LEN + self.open(id, &rtcp_associated(header, trailer), rest)?)
    }

    fn seal(&self, id: PacketId, associated: &[u8], rest: &mut [u8]) {
        let (payload, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        self.key
            .seal_in_place_scatter(self.nonce(id), Aad::from(associated), payload, &[], tag)
            .expect("no packet is longer than GCM allows");
    }

    fn open(&self, id: PacketId, associated: &[u8], rest: &mut [u8]) -> Result<usize, DropReason> {
        self.key
            .open_in_place(self.nonce(id), Aad::from(associated), rest)
            .map(|payload| payload.len())
            .map_err(|_| DropReason::SrtpAuth)
    }

    /// The initialization vector: SSRC and index right of two zero bytes, for SRTP (RFC 7714 §8.1)
    /// as for SRTCP (RFC 7714 §9.1).
    fn nonce(&self, id: PacketId) -> Nonce {
        let [_, _, _, _, iv @ ..] =
            (self.salt ^ u128::from(id.ssrc) << 48 ^ u128::from(id.index)).to_be_bytes();
        Nonce::assume_unique_for_key(iv)
    }
}

/// What an SRTCP packet authenticates without encrypting it (RFC 7714 §9.2).
fn rtcp_associated(header: &[u8], trailer: &[u8]) -> [u8; RTCP_HEADER_LEN + RTCP_INDEX_LEN] {
    let mut associated = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
    associated[..RTCP_HEADER_LEN].copy_from_slice(header);
    associated[RTCP_HEADER_LEN..].copy_from_slice(trailer);
    associated
}
