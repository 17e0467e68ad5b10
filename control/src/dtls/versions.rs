//! Which versions of DTLS a handshake may end in, and why the default is both.
//!
//! The version decides more than the handshake, since `dimpl` as a server chooses the SRTP profile in
//! another way in each: in 1.2 by an order of its own, in 1.3 the first that the client offers. So with
//! the node as server, as it is towards browsers,
//!
//! ```text
//!            DTLS 1.2            DTLS 1.3                  protect, ns per packet of 160 and 1200 bytes
//! Chromium   AEAD_AES_256_GCM    AES_CM_128_HMAC_SHA1_80   AES_CM_128_HMAC_SHA1_80   260   1150
//! Firefox    AEAD_AES_256_GCM    AEAD_AES_128_GCM          AEAD_AES_*_GCM            180    620
//! ```
//!
//! Cost: the handshakes cost the same (0.3 ms). A voice packet costs the same but for 0.1 of some 4 µs
//! each way. Where a node carries video of Chromium, 1.2 alone saves a tenth to a fifth of its CPU, for
//! 6 bytes more per packet.
//!
//! Security: both versions are authenticated by the fingerprints of the descriptions and agree on a
//! fresh key for each call; `dimpl` has no cipher suite in 1.2 that is not AEAD with ephemeral keys.
//! 1.3 hides the certificates, has one way to be wrong where 1.2 has several, and is what standards and
//! browsers go on with; sooner or later a peer will offer nothing else, while many that are no browser
//! offer 1.2 alone today. No profile of the three is broken.
//!
//! So both is the default: a newer handshake and every peer for some CPU that only nodes full of video
//! feel. Those say `versions = ["1.2"]`, which every peer that we know of can do.

use std::fmt;
use std::time::Instant;

use dimpl::{Dtls, Error, SecurityError};

use super::Identity;

/// The versions that a handshake may end in. Where both are allowed, 1.3 is taken from whoever offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// DTLS 1.2 alone.
    Only12,
    /// DTLS 1.3 alone.
    Only13,
    /// DTLS 1.3, and 1.2 for those that have nothing newer.
    #[default]
    Both,
}

impl Versions {
    pub(super) fn start(self, identity: &Identity, now: Instant) -> Dtls {
        let (config, certificate) = (identity.config(), identity.certificate());
        match self {
            Self::Only12 => Dtls::new_12(config, certificate, now),
            Self::Only13 => Dtls::new_13(config, certificate, now),
            Self::Both => Dtls::new_auto(config, certificate, now),
        }
    }

    /// Whether `datagram` is the start of a ClientHello that can only end in another version. `dimpl`
    /// takes it for noise, since it knows none of the cipher suites, and the far side would wait.
    pub(super) fn refuse(self, datagram: &[u8]) -> bool {
        let Some(suites) = offered_suites(datagram) else { return false };
        let mut newer = suites.chunks(2).map(|suite| suite[0] == TLS_1_3_SUITES);
        match self {
            Self::Only12 => newer.all(|newer| newer),
            Self::Only13 => newer.all(|newer| !newer),
            Self::Both => false,
        }
    }

    /// Whether the handshake broke since the far side has none of the versions.
    pub(super) fn refused(error: &Error) -> bool {
        let Error::SecurityError(error) = error else { return false };
        match error {
            SecurityError::FatalAlert { description } => *description == PROTOCOL_VERSION,
            SecurityError::ClientHelloMissingDtls13SupportedVersions
            | SecurityError::UnsupportedClientVersion(_)
            | SecurityError::UnsupportedServerVersion(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only12 => "DTLS 1.2",
            Self::Only13 => "DTLS 1.3",
            Self::Both => "DTLS 1.2 or 1.3",
        })
    }
}

/// The cipher suites of a ClientHello, two bytes each, if `datagram` begins with one that is not
/// encrypted (RFC 9147 §4, §5.3). They stand in its first fragment however long it is.
fn offered_suites(datagram: &[u8]) -> Option<&[u8]> {
    let (record, rest) = datagram.split_at_checked(RECORD_HEADER)?;
    let (message, hello) = rest.split_at_checked(HANDSHAKE_HEADER)?;
    let first_fragment = message[6..9] == [0; 3];
    if record[0] != HANDSHAKE || message[0] != CLIENT_HELLO || !first_fragment {
        return None;
    }
    let rest = hello.get(VERSION_AND_RANDOM..)?;
    let (&session, rest) = rest.split_first()?;
    let (&cookie, rest) = rest.get(usize::from(session)..)?.split_first()?;
    let (len, rest) = rest.get(usize::from(cookie)..)?.split_first_chunk()?;
    let suites = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
    (!suites.is_empty() && suites.len() % 2 == 0).then_some(suites)
}

/// Bytes before a record that is not encrypted.
const RECORD_HEADER: usize = 13;
/// Bytes before a handshake message or its fragment.
const HANDSHAKE_HEADER: usize = 12;
/// Bytes before the session id of a ClientHello.
const VERSION_AND_RANDOM: usize = 34;
/// The record's type.
const HANDSHAKE: u8 = 22;
/// The message's type.
const CLIENT_HELLO: u8 = 1;
/// The first byte of the cipher suites that belong to 1.3 (RFC 8446 §B.4).
const TLS_1_3_SUITES: u8 = 0x13;
/// The alert's number (RFC 8446 §6.2).
const PROTOCOL_VERSION: u8 = 70;
