//! AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1; RFC 6188 for longer keys).
//!
//! ```text
//! SRTP   header, encrypted payload,                 tag      tag over all before it and the ROC
//! SRTCP  8 bytes header, encrypted rest, E ‖ index, tag      tag over all before it
//! ```

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::kdf::{Kdf, Protocol};
use crate::error::DropReason;
use crate::srtp::{ENCRYPTED, PacketId, RTCP_HEADER_LEN, RTCP_INDEX_LEN, Suite};

/// Bytes of the session authentication key (RFC 3711 §8.2).
const AUTHENTICATION_KEY_LEN: usize = 20;
/// Bytes of the session salt.
const SALT_LEN: usize = 14;

/// Session keys of one protocol in one direction: the expanded AES key and the HMAC state that has
/// already absorbed its key.
pub(in crate::srtp) struct AesCmHmac {
    cipher: AesCm,
    /// The session salt where the packet's SSRC and index are added: 16 bits above the block counter.
    salt: u128,
    mac: Hmac<Sha1>,
    tag_len: usize,
}

impl AesCmHmac {
    pub(in crate::srtp) fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        let tag_len = match protocol {
            Protocol::Rtp => suite.rtp_tag_len(),
            Protocol::Rtcp => suite.rtcp_tag_len(),
        };
        kdf.encryption_key(protocol, suite.key_len(), |key| {
            Self::from_session(key, &kdf.salt(protocol), &kdf.authentication_key(protocol), tag_len)
        })
    }

    fn from_session(
        key: &[u8],
        salt: &[u8; SALT_LEN],
        authentication_key: &[u8; AUTHENTICATION_KEY_LEN],
        tag_len: usize,
    ) -> Self {
        let mut block = [0; 16];
        block[..SALT_LEN].copy_from_slice(salt);
        let mac = Hmac::new_from_slice(authentication_key).expect("HMAC takes keys of any length");
        Self { cipher: AesCm::new(key), salt: u128::from_be_bytes(block), mac, tag_len }
    }

    /// Protects `packet`, which ends in room for the tag.
    pub(in crate::srtp) fn protect_rtp(&self, id: PacketId, header_len: usize, packet: &mut [u8]) {
        let (body, tag) = self.split_tag(packet);
        self.cipher.apply(self.counter(id), &mut body[header_len..]);
        tag.copy_from_slice(&self.rtp_tag(id, body)[..tag.len()]);
    }

    /// Authenticates and decrypts `packet`; returns its length without the tag.
    pub(in crate::srtp) fn unprotect_rtp(
        &self,
        id: PacketId,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let (body, tag) = self.split_tag(packet);
        verify(tag, &self.rtp_tag(id, body))?;
        self.cipher.apply(self.counter(id), &mut body[header_len..]);
        Ok(body.len())
    }

    /// Protects `packet`, which ends in room for index and tag.
    pub(in crate::srtp) fn protect_rtcp(&self, id: PacketId, index_word: u32, packet: &mut [u8]) {
        let (authenticated, tag) = self.split_tag(packet);
        let (body, trailer) = authenticated.split_at_mut(authenticated.len() - RTCP_INDEX_LEN);
        if index_word & ENCRYPTED != 0 {
            self.cipher.apply(self.counter(id), &mut body[RTCP_HEADER_LEN..]);
        }
        trailer.copy_from_slice(&index_word.to_be_bytes());
        tag.copy_from_slice(&self.rtcp_tag(authenticated)[..tag.len()]);
    }

    /// Authenticates and decrypts `packet`; returns its length without index and tag.
    pub(in crate::srtp) fn unprotect_rtcp(
        &self,
        id: PacketId,
        index_word: u32,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let (authenticated, tag) = self.split_tag(packet);
        verify(tag, &self.rtcp_tag(authenticated))?;
        let len = authenticated.len() - RTCP_INDEX_LEN;
        if index_word & ENCRYPTED != 0 {
            self.cipher.apply(self.counter(id), &mut authenticated[RTCP_HEADER_LEN..len]);
        }
        Ok(len)
    }

    fn split_tag<'a>(&self, packet: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8]) {
        packet.split_at_mut(packet.len() - self.tag_len)
    }

    /// The first counter block of a packet (RFC 3711 §4.1.1).
    fn counter(&self, id: PacketId) -> u128 {
        self.salt ^ u128::from(id.ssrc) << 64 ^ u128::from(id.index) << 16
    }

    fn rtp_tag(&self, id: PacketId, body: &[u8]) -> [u8; 20] {
        let roc = (id.index >> 16) as u32;
        self.mac
            .clone()
            .chain_update(body)
            .chain_update(roc.to_be_bytes())
            .finalize()
            .into_bytes()
            .into()
    }

    fn rtcp_tag(&self, authenticated: &[u8]) -> [u8; 20] {
        self.mac.clone().chain_update(authenticated).finalize().into_bytes().into()
    }
}

/// Compares in constant time as many bytes as the packet's tag has.
fn verify(tag: &[u8], expected: &[u8; 20]) -> Result<(), DropReason> {
    if bool::from(tag.ct_eq(&expected[..tag.len()])) { Ok(()) } else { Err(DropReason::SrtpAuth) }
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
}
