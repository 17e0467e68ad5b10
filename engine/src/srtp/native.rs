//! The engine's own transforms, on aws-lc-rs and RustCrypto: no allocation, no state but the keys.
//!
//! Which crates, and why: AES comes from aws-lc-rs, which has counter mode and GCM in place with an
//! expanded key and without allocation. HMAC-SHA1 is put together here from the compression function of
//! `sha1` ([`mac`]), because aws-lc-rs copies a context of several hundred bytes for each tag; at voice
//! sizes that is a third of the whole. `aes` and `ctr` would save some 20 of 270 ns at 160 bytes and lose 70 of 1270 at 1200: no reason for a
//! second AES. The HMAC is four fifths of the cost, so that is where to look first.
//!
//! aws-lc-rs picks its GCM by the processor: with AVX-512 113 ns at 172 bytes and 189 at 1200, where ring
//! needs 135 and 239. Where there is VAES without AVX-512 (Zen 3) it is the other way round, 174 and 416
//! beside 117 and 245: one to three percent of what a packet costs there, for a second cryptographic
//! library.

use super::{Kind, MasterKey, PacketId, Suite};
use crate::error::DropReason;

pub(super) mod aead_gcm;
pub(super) mod aes_cm;
pub(super) mod f8;
pub(super) mod hmac_sha1;
pub(super) mod kdf;
pub(super) mod mac;
pub(super) mod null;

use aead_gcm::AeadGcm;
use aes_cm::CounterMode;
use f8::F8;
use hmac_sha1::{Cipher, HmacSha1};
use kdf::{Kdf, Protocol};
use null::Null;

/// The backend's name.
pub(super) const NAME: &str = "native";
/// Whether a context can go on where another stopped.
pub(super) const RESTORES: bool = true;
/// The first index of an outgoing SRTCP packet (RFC 3711 §3.4).
pub(super) const FIRST_RTCP_INDEX: u32 = 0;

/// What is spoken to whoever asks for it by name.
pub(super) const LEGACY_SUITES: &[Suite] = &[
    Suite::F8_128HmacSha1_80,
    Suite::F8_128HmacSha1_32,
    Suite::NullHmacSha1_80,
    Suite::NullHmacSha1_32,
];

/// What is spoken.
pub(super) const SUITES: &[Suite] = &[
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm192HmacSha1_80,
    Suite::AesCm192HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

/// What protects.
pub(super) type Sealer = SessionKeys;
/// What unprotects.
pub(super) type Opener = SessionKeys;

/// The session keys of one direction.
#[expect(
    clippy::large_enum_variant,
    reason = "the commonest suite's keys lie in the context, which is boxed once with all it holds"
)]
pub(super) enum SessionKeys {
    AesCm { rtp: HmacSha1<CounterMode>, rtcp: HmacSha1<aes_cm::Folded> },
    F8(Box<Both<F8>>),
    Null(Box<Both<Null>>),
    AeadGcm { rtp: AeadGcm<aead_gcm::Expanded>, rtcp: AeadGcm<aead_gcm::Folded> },
}

/// The keys of both protocols for one of the suites that few speak: apart, so that they take no room in all contexts.
pub(super) struct Both<C> {
    rtp: HmacSha1<C>,
    rtcp: HmacSha1<C>,
}

impl<C: Cipher> Both<C> {
    fn new(suite: Suite, kdf: &Kdf) -> Self {
        let keys = |protocol| HmacSha1::new(suite, kdf, protocol);
        Self { rtp: keys(Protocol::Rtp), rtcp: keys(Protocol::Rtcp) }
    }
}

impl SessionKeys {
    pub(super) fn new(master: &MasterKey) -> Self {
        let (suite, kdf) = (master.suite(), Kdf::new(master));
        match suite.row().kind {
            Kind::AesCm => Self::AesCm {
                rtp: HmacSha1::new(suite, &kdf, Protocol::Rtp),
                rtcp: HmacSha1::new(suite, &kdf, Protocol::Rtcp),
            },
            Kind::F8 => Self::F8(Box::new(Both::new(suite, &kdf))),
            Kind::Null => Self::Null(Box::new(Both::new(suite, &kdf))),
            Kind::AeadGcm => Self::AeadGcm {
                rtp: AeadGcm::new(suite, &kdf, Protocol::Rtp),
                rtcp: AeadGcm::new(suite, &kdf, Protocol::Rtcp),
            },
        }
    }

    /// Protects `packet`, which ends in room for the tag.
    #[expect(clippy::unnecessary_wraps, reason = "the other backend can fail")]
    pub(super) fn protect_rtp(
        &mut self,
        id: PacketId,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<(), DropReason> {
        match self {
            Self::AesCm { rtp, .. } => rtp.protect_rtp(id, header_len, packet),
            Self::F8(keys) => keys.rtp.protect_rtp(id, header_len, packet),
            Self::Null(keys) => keys.rtp.protect_rtp(id, header_len, packet),
            Self::AeadGcm { rtp, .. } => rtp.protect_rtp(id, header_len, packet),
        }
        Ok(())
    }

    /// Authenticates and decrypts `packet`; returns its length without the tag.
    pub(super) fn unprotect_rtp(
        &mut self,
        id: PacketId,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        match self {
            Self::AesCm { rtp, .. } => rtp.unprotect_rtp(id, header_len, packet),
            Self::F8(keys) => keys.rtp.unprotect_rtp(id, header_len, packet),
            Self::Null(keys) => keys.rtp.unprotect_rtp(id, header_len, packet),
            Self::AeadGcm { rtp, .. } => rtp.unprotect_rtp(id, header_len, packet),
        }
    }

    /// Protects `packet`, which ends in room for tag and index; encrypts it if the word says so.
    #[expect(clippy::unnecessary_wraps, reason = "the other backend can fail")]
    pub(super) fn protect_rtcp(
        &mut self,
        id: PacketId,
        index_word: u32,
        packet: &mut [u8],
    ) -> Result<(), DropReason> {
        match self {
            Self::AesCm { rtcp, .. } => rtcp.protect_rtcp(id, index_word, packet),
            Self::F8(keys) => keys.rtcp.protect_rtcp(id, index_word, packet),
            Self::Null(keys) => keys.rtcp.protect_rtcp(id, index_word, packet),
            Self::AeadGcm { rtcp, .. } => rtcp.protect_rtcp(id, index_word, packet),
        }
        Ok(())
    }

    /// Authenticates `packet` and decrypts it if its word says so; returns its length without tag and
    /// index.
    pub(super) fn unprotect_rtcp(
        &mut self,
        id: PacketId,
        index_word: u32,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        match self {
            Self::AesCm { rtcp, .. } => rtcp.unprotect_rtcp(id, index_word, packet),
            Self::F8(keys) => keys.rtcp.unprotect_rtcp(id, index_word, packet),
            Self::Null(keys) => keys.rtcp.unprotect_rtcp(id, index_word, packet),
            Self::AeadGcm { rtcp, .. } => rtcp.unprotect_rtcp(id, index_word, packet),
        }
    }
}
