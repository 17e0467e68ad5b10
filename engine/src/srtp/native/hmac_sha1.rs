//! HMAC-SHA1 around any cipher (RFC 3711 §4.2.1).
//!
//! ```text
//! SRTP   header, encrypted payload,                 tag      tag over all before it and the ROC
//! SRTCP  8 bytes header, encrypted rest, E ‖ index, tag      tag over all before it
//! ```

use subtle::ConstantTimeEq;

use super::kdf::{Kdf, Protocol};
use super::mac::{Mac, TAG_LEN};
use crate::error::DropReason;
use crate::srtp::{ENCRYPTED, PacketId, RTCP_HEADER_LEN, RTCP_INDEX_LEN, Suite};

/// What hides a packet's contents, and shows them again: a keystream that is added.
pub(in crate::srtp) trait Cipher {
    /// Derives the session keys.
    fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self;

    /// Adds the keystream of an RTP packet, which begins with `header`, to its `payload`.
    fn apply_rtp(&self, id: PacketId, header: &[u8], payload: &mut [u8]);

    /// Adds the keystream of an RTCP packet to what follows its `header`.
    fn apply_rtcp(
        &self,
        id: PacketId,
        index_word: u32,
        header: &[u8; RTCP_HEADER_LEN],
        rest: &mut [u8],
    );
}

/// Session keys of one protocol in one direction: the cipher's and the HMAC state that has already
/// absorbed its key.
pub(in crate::srtp) struct HmacSha1<C> {
    cipher: C,
    mac: Mac,
    tag_len: usize,
}

impl<C: Cipher> HmacSha1<C> {
    pub(in crate::srtp) fn new(suite: Suite, kdf: &Kdf, protocol: Protocol) -> Self {
        let tag_len = match protocol {
            Protocol::Rtp => suite.rtp_tag_len(),
            Protocol::Rtcp => suite.rtcp_tag_len(),
        };
        // The key is as long as a tag (RFC 3711 §8.2).
        let mac = Mac::new(&kdf.authentication_key::<TAG_LEN>(protocol));
        Self { cipher: C::new(suite, kdf, protocol), mac, tag_len }
    }

    /// Protects `packet`, which ends in room for the tag.
    pub(in crate::srtp) fn protect_rtp(&self, id: PacketId, header_len: usize, packet: &mut [u8]) {
        let (body, tag) = self.split_tag(packet);
        self.apply_rtp(id, header_len, body);
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
        self.apply_rtp(id, header_len, body);
        Ok(body.len())
    }

    /// Protects `packet`, which ends in room for index and tag.
    pub(in crate::srtp) fn protect_rtcp(&self, id: PacketId, index_word: u32, packet: &mut [u8]) {
        let (authenticated, tag) = self.split_tag(packet);
        let (body, trailer) = authenticated.split_at_mut(authenticated.len() - RTCP_INDEX_LEN);
        if index_word & ENCRYPTED != 0 {
            self.apply_rtcp(id, index_word, body);
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
            self.apply_rtcp(id, index_word, &mut authenticated[..len]);
        }
        Ok(len)
    }

    fn split_tag<'a>(&self, packet: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8]) {
        packet.split_at_mut(packet.len() - self.tag_len)
    }

    fn apply_rtp(&self, id: PacketId, header_len: usize, packet: &mut [u8]) {
        let (header, payload) = packet.split_at_mut(header_len);
        self.cipher.apply_rtp(id, header, payload);
    }

    fn apply_rtcp(&self, id: PacketId, index_word: u32, packet: &mut [u8]) {
        if let Some((header, rest)) = packet.split_first_chunk_mut() {
            self.cipher.apply_rtcp(id, index_word, header, rest);
        }
    }

    fn rtp_tag(&self, id: PacketId, body: &[u8]) -> [u8; TAG_LEN] {
        let roc = (id.index >> 16) as u32;
        self.mac.tag(body, roc.to_be_bytes())
    }

    fn rtcp_tag(&self, authenticated: &[u8]) -> [u8; TAG_LEN] {
        self.mac.tag(authenticated, [])
    }
}

/// Compares in constant time as many bytes as the packet's tag has.
fn verify(tag: &[u8], expected: &[u8; TAG_LEN]) -> Result<(), DropReason> {
    if bool::from(tag.ct_eq(&expected[..tag.len()])) { Ok(()) } else { Err(DropReason::SrtpAuth) }
}
