//! No cipher (RFC 3711 §4.1.3): everybody can read the packets, nobody can forge them.

use super::hmac_sha1::Cipher;
use super::kdf::{Kdf, Protocol};
use crate::srtp::{PacketId, RTCP_HEADER_LEN, Suite};

/// A keystream of zeros.
pub(in crate::srtp) struct Null;

impl Cipher for Null {
    fn new(_: Suite, _: &Kdf, _: Protocol) -> Self {
        Self
    }

    fn apply_rtp(&self, _: PacketId, _: &[u8], _: &mut [u8]) {}

    fn apply_rtcp(&self, _: PacketId, _: u32, _: &[u8; RTCP_HEADER_LEN], _: &mut [u8]) {}
}
