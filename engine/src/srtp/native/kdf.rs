//! Session keys from a master key (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11).
//!
//! The key derivation rate is 0, as in every key exchange that is spoken here: each session key is
//! derived once.

use zeroize::Zeroizing;

use super::aes_cm::AesCm;
use crate::srtp::MasterKey;

/// Bytes of the longest session key: HMAC-SHA1's (RFC 3711 §4.2.1) or AES-256's.
const SESSION_KEY_MAX: usize = 32;

/// A session key; wiped when it is dropped.
pub(in crate::srtp) type SessionKey<const LEN: usize> = Zeroizing<[u8; LEN]>;

/// Which protocol a session key is for. The values are the first of its three labels (RFC 3711 §4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::srtp) enum Protocol {
    Rtp = 0,
    Rtcp = 3,
}

/// The pseudo-random function of a master key (RFC 3711 §4.3.3).
pub(in crate::srtp) struct Kdf {
    prf: AesCm,
    salt: u128,
}

impl Kdf {
    pub(in crate::srtp) fn new(master: &MasterKey) -> Self {
        Self::from_parts(master.key(), master.salt())
    }

    pub(in crate::srtp) fn from_parts(key: &[u8], salt: &[u8]) -> Self {
        Self { prf: AesCm::new(key), salt: left_aligned(salt) }
    }

    /// Calls `with` with the encryption key, `len` bytes.
    pub(in crate::srtp) fn encryption_key<T>(
        &self,
        protocol: Protocol,
        len: usize,
        with: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let key: SessionKey<SESSION_KEY_MAX> = self.derive(protocol as u8);
        with(&key[..len])
    }

    /// The authentication key.
    pub(in crate::srtp) fn authentication_key<const LEN: usize>(
        &self,
        protocol: Protocol,
    ) -> SessionKey<LEN> {
        self.derive(protocol as u8 + 1)
    }

    /// The session salt.
    pub(in crate::srtp) fn salt<const LEN: usize>(&self, protocol: Protocol) -> SessionKey<LEN> {
        self.derive(protocol as u8 + 2)
    }

    fn derive<const LEN: usize>(&self, label: u8) -> SessionKey<LEN> {
        let mut key = Zeroizing::new([0; LEN]);
        // The label stands left of a 48-bit index that is 0, all left of a 16-bit block counter.
        self.prf.apply(self.salt ^ u128::from(label) << 64, &mut key[..]);
        key
    }
}

/// A master salt as the upper bytes of a counter block; a 96-bit one is padded behind.
fn left_aligned(salt: &[u8]) -> u128 {
    let mut block = [0; 16];
    block[..salt.len()].copy_from_slice(salt);
    u128::from_be_bytes(block)
}
