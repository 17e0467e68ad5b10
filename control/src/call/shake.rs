//! How far the DTLS handshake of a transport has come, and what it is to be told next.

use std::net::SocketAddr;

use causeway_engine::command::{KeysSpec, SocketId};
use causeway_engine::srtp::{MasterKey, Suite};

use super::DtlsInput;
use crate::dtls::{self, Fingerprint, Role, SrtpKeys};
use crate::sdp::{self, DtlsRole, RemoteDtls};

/// A transport's handshake as its call knows it.
#[derive(Debug, Default)]
pub(crate) struct Shake {
    /// Where its datagrams go.
    pub(crate) path: Option<(SocketId, SocketAddr)>,
    /// Whether the far side has begun it.
    pub(crate) heard: bool,
    started: bool,
    expected_told: bool,
}

impl Shake {
    /// Whether it has begun, and has to be told to close.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// What the handshake is to be told now: to begin, as soon as the far side's first datagram or
    /// a path makes it possible, and the fingerprints once the description has them. A path that is
    /// there before the answer does not say who begins.
    pub(crate) fn input(&mut self, described: Option<&RemoteDtls>) -> Option<DtlsInput> {
        let expected = |dtls: &RemoteDtls| -> Vec<Fingerprint> {
            dtls.fingerprints.iter().filter_map(dtls_fingerprint).collect()
        };
        let known = described.is_some() || self.heard;
        if !self.started && self.path.is_some() && known {
            let role = match described.map(|dtls| dtls.role) {
                Some(DtlsRole::Active) => Role::Active,
                _ => Role::Passive,
            };
            self.started = true;
            self.expected_told = described.is_some();
            let expected = described.map(expected).unwrap_or_default();
            return Some(DtlsInput::Start { role, expected });
        }
        if self.started && !self.expected_told {
            self.expected_told = described.is_some();
            return described.map(expected).map(DtlsInput::Expect);
        }
        None
    }
}

/// The master keys of a finished handshake, for the worker, and their suite.
pub(crate) fn agreed(keys: &SrtpKeys) -> Option<(KeysSpec, Suite)> {
    let suite = engine_suite(keys.suite);
    let master = |direction: &dtls::DirectionKeys| {
        MasterKey::new(suite, &direction.key, &direction.salt).ok()
    };
    let keys = KeysSpec { inbound: master(&keys.inbound)?, outbound: master(&keys.outbound)? };
    Some((keys, suite))
}

fn engine_suite(suite: dtls::Suite) -> Suite {
    match suite {
        dtls::Suite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        dtls::Suite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        dtls::Suite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        dtls::Suite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    }
}

fn dtls_fingerprint(fingerprint: &sdp::Fingerprint) -> Option<Fingerprint> {
    let hash = match fingerprint.hash {
        sdp::HashFunction::Sha1 => dtls::Hash::Sha1,
        sdp::HashFunction::Sha224 => dtls::Hash::Sha224,
        sdp::HashFunction::Sha256 => dtls::Hash::Sha256,
        sdp::HashFunction::Sha384 => dtls::Hash::Sha384,
        sdp::HashFunction::Sha512 => dtls::Hash::Sha512,
    };
    Fingerprint::new(hash, fingerprint.digest.clone()).ok()
}
