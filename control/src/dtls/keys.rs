//! What a handshake is for: SRTP master keys of both directions (RFC 5764 §4.2).

use std::fmt;

use dimpl::SrtpProfile;
use zeroize::Zeroizing;

use super::Role;

/// The negotiated protection profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 5764 §4.1.2).
    AesCm128HmacSha1_80,
    /// `SRTP_AES128_CM_HMAC_SHA1_32` (RFC 5764 §4.1.2), for clients that offer nothing else.
    AesCm128HmacSha1_32,
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714 §14.2).
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714 §14.2).
    AeadAes256Gcm,
}

impl Suite {
    /// Bytes of a master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    pub(super) fn from_profile(profile: SrtpProfile) -> Option<Self> {
        match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Some(Self::AesCm128HmacSha1_80),
            SrtpProfile::AES128_CM_SHA1_32 => Some(Self::AesCm128HmacSha1_32),
            SrtpProfile::AEAD_AES_128_GCM => Some(Self::AeadAes128Gcm),
            SrtpProfile::AEAD_AES_256_GCM => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }
}

/// Master keys of both directions. Never printed, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// What they are for.
    pub suite: Suite,
    /// What the far side protects with.
    pub inbound: DirectionKeys,
    /// What the node protects with.
    pub outbound: DirectionKeys,
}

/// Master key and salt of one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectionKeys {
    /// The master key, [`Suite::key_len`] bytes.
    pub key: Zeroizing<Vec<u8>>,
    /// The master salt, [`Suite::salt_len`] bytes.
    pub salt: Zeroizing<Vec<u8>>,
}

impl SrtpKeys {
    /// Cuts the exported material: client key, server key, client salt, server salt. `None` if it is
    /// too short.
    pub(super) fn split(suite: Suite, role: Role, material: &[u8]) -> Option<Self> {
        let (key_len, salt_len) = (suite.key_len(), suite.salt_len());
        let (client_key, rest) = material.split_at_checked(key_len)?;
        let (server_key, rest) = rest.split_at_checked(key_len)?;
        let (client_salt, rest) = rest.split_at_checked(salt_len)?;
        let (server_salt, _) = rest.split_at_checked(salt_len)?;
        let client = DirectionKeys::new(client_key, client_salt);
        let server = DirectionKeys::new(server_key, server_salt);
        Some(match role {
            Role::Active => Self { suite, inbound: server, outbound: client },
            Role::Passive => Self { suite, inbound: client, outbound: server },
        })
    }
}

impl DirectionKeys {
    fn new(key: &[u8], salt: &[u8]) -> Self {
        Self { key: Zeroizing::new(key.to_vec()), salt: Zeroizing::new(salt.to_vec()) }
    }
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl fmt::Debug for DirectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectionKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_cut_in_the_order_of_rfc_5764() {
        let material: Vec<u8> = (0..60).collect();
        let suite = Suite::AesCm128HmacSha1_80;
        let server = SrtpKeys::split(suite, Role::Passive, &material).unwrap();
        assert_eq!(server.inbound.key[..], material[0..16]);
        assert_eq!(server.outbound.key[..], material[16..32]);
        assert_eq!(server.inbound.salt[..], material[32..46]);
        assert_eq!(server.outbound.salt[..], material[46..60]);
        let client = SrtpKeys::split(suite, Role::Active, &material).unwrap();
        assert!(client.inbound == server.outbound && client.outbound == server.inbound);
        assert_eq!(SrtpKeys::split(Suite::AeadAes256Gcm, Role::Active, &material), None);
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = SrtpKeys::split(Suite::AeadAes128Gcm, Role::Active, &[0xab; 56]).unwrap();
        let printed = format!("{keys:?} {:?}", keys.inbound);
        assert!(!printed.contains("171") && !printed.contains("ab, "), "{printed}");
    }
}
