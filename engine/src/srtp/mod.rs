//! SRTP and SRTCP (RFC 3711, RFC 7714): packets are protected and unprotected where they lie.
//!
//! [`Srtp`] is what a transport holds: an [`Inbound`] and an [`Outbound`] context, each made from its
//! master key. Session keys belong to the master key, so the only state of an SSRC is its highest
//! index and the window behind it (`index`). A received packet is asked for in the window, then
//! authenticated, then committed and decrypted; what does not authenticate changes nothing, and its
//! SSRC takes no place. An index that is sent is marked used before it is used, so two packets never
//! share a keystream; late packets pass while their index is free.
//!
//! Two backends do the cryptography behind one seam (`Sealer` and `Opener`), chosen when the engine
//! is compiled: `native`, the engine's own and the default, and `libsrtp` with the feature of that
//! name, for those who must run that library. Sources, windows and lives of keys are counted here, so
//! that both refuse alike; where they still differ stands in `libsrtp`.
//!
//! SRTCP is encrypted unless its key says otherwise ([`MasterKey::with_clear_srtcp`]); clear SRTCP is
//! authenticated all the same.
//!
//! A key may have an identifier ([`Mki`]): packets carry it, and those of another one are refused, since a
//! context has one key a direction.
//!
//! Not spoken: key derivation rates other than 0, encrypted header extensions (RFC 6904), and RFC 4568's `UNENCRYPTED_SRTP` and `UNAUTHENTICATED_SRTP`, which give away what SRTP is for: there is
//! no key that allows either.

mod index;
#[cfg(feature = "libsrtp")]
mod libsrtp;
mod mki;
#[cfg_attr(
    feature = "libsrtp",
    allow(dead_code, reason = "vectors and the other backend are tested with it")
)]
mod native;
mod state;

use std::{fmt, mem};

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use self::index::{
    REPLAY_WINDOW, RTCP_KEY_LIFETIME, RTCP_REPLAY_WINDOW, RTP_KEY_LIFETIME, SsrcIndex,
};
pub use self::mki::{MKI_MAX, Mki};

use self::backend::{Opener, Sealer};
use self::index::{RtcpWindows, RtpWindows};
#[cfg(feature = "libsrtp")]
use self::libsrtp as backend;
#[cfg(not(feature = "libsrtp"))]
use self::native as backend;
use crate::config::TAIL_ROOM;
use crate::error::DropReason;
use crate::rtp::RtpHeader;
use crate::sys::cpu::prefetch;

/// Which backend the engine was compiled with: `native` or `libsrtp`.
pub const BACKEND: &str = backend::NAME;
/// Whether a context can go on where another one stopped: [`Inbound::restore`], [`Outbound::restore`].
pub const RESTORES: bool = backend::RESTORES;

/// Bytes of the longest master key.
pub const KEY_MAX: usize = 32;
/// Bytes of the longest master salt.
pub const SALT_MAX: usize = 14;

/// Bytes of an SRTCP packet that stay clear: the first header and the sender's SSRC.
const RTCP_HEADER_LEN: usize = 8;
/// Where the sender's SSRC stands in an RTCP packet.
const RTCP_SSRC_AT: usize = 4;
/// Bytes of the word that carries the E bit and the SRTCP index.
const RTCP_INDEX_LEN: usize = 4;
/// The E bit: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// A protection profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128 in counter mode with an 80-bit HMAC-SHA1 tag (RFC 3711; RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// The same with a 32-bit tag on SRTP (RFC 4568 §6.2.2). SRTCP keeps the 80 bits, here as in
    /// every suite that ends in 32 (RFC 3711 §5.2).
    AesCm128HmacSha1_32,
    /// AES-192 in counter mode with an 80-bit HMAC-SHA1 tag (RFC 6188).
    AesCm192HmacSha1_80,
    /// AES-192 in counter mode with a 32-bit HMAC-SHA1 tag (RFC 6188).
    AesCm192HmacSha1_32,
    /// AES-256 in counter mode with an 80-bit HMAC-SHA1 tag (RFC 6188).
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode with a 32-bit HMAC-SHA1 tag (RFC 6188).
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
    /// AES-128 in f8 mode with an 80-bit HMAC-SHA1 tag (RFC 3711 §4.1.2; RFC 4568 §6.2.3).
    F8_128HmacSha1_80,
    /// AES-128 in f8 mode with a 32-bit HMAC-SHA1 tag.
    F8_128HmacSha1_32,
    /// No cipher, and an 80-bit HMAC-SHA1 tag (RFC 3711 §4.1.3): media that everybody can read.
    NullHmacSha1_80,
    /// No cipher, and a 32-bit HMAC-SHA1 tag.
    NullHmacSha1_32,
}

impl Suite {
    /// Every suite that the backend speaks and that may be chosen for its own sake.
    pub const ALL: &'static [Self] = backend::SUITES;
    /// What the backend speaks besides, for peers that name nothing better: nobody else should choose it.
    pub const LEGACY: &'static [Self] = backend::LEGACY_SUITES;

    /// Whether a key can be made for it.
    #[must_use]
    pub fn is_spoken(self) -> bool {
        Self::ALL.contains(&self) || Self::LEGACY.contains(&self)
    }

    /// The name in SDES (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2); the short tag behind f8, and no
    /// cipher, have the names that are in use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Bytes of the master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        self.row().key_len
    }

    /// Bytes of the master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        self.row().salt_len
    }

    /// Bytes of an SRTP packet's tag.
    #[must_use]
    pub const fn rtp_tag_len(self) -> usize {
        self.row().rtp_tag_len
    }

    /// Bytes of an SRTCP packet's tag.
    #[must_use]
    pub const fn rtcp_tag_len(self) -> usize {
        self.row().rtcp_tag_len
    }

    /// Bytes by which an RTP packet grows.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        self.rtp_tag_len()
    }

    /// Bytes by which an RTCP packet grows: tag and index.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        self.rtcp_tag_len() + RTCP_INDEX_LEN
    }

    /// Bytes of an SRTP packet behind the MKI: the tag, except that of GCM, which ends the ciphertext
    /// (RFC 3711 §3.1, RFC 7714 §8.2).
    const fn behind_rtp_mki(self) -> usize {
        if matches!(self.row().kind, Kind::AeadGcm) { 0 } else { self.rtp_tag_len() }
    }

    /// Bytes of an SRTCP packet behind the MKI (RFC 3711 §3.4, RFC 7714 §9.2).
    const fn behind_rtcp_mki(self) -> usize {
        if matches!(self.row().kind, Kind::AeadGcm) { 0 } else { self.rtcp_tag_len() }
    }

    /// Everything that tells one suite from another.
    const fn row(self) -> Row {
        match self {
            Self::AesCm128HmacSha1_80 => Row::aes_cm("AES_CM_128_HMAC_SHA1_80", 16, 10),
            Self::AesCm128HmacSha1_32 => Row::aes_cm("AES_CM_128_HMAC_SHA1_32", 16, 4),
            Self::AesCm192HmacSha1_80 => Row::aes_cm("AES_192_CM_HMAC_SHA1_80", 24, 10),
            Self::AesCm192HmacSha1_32 => Row::aes_cm("AES_192_CM_HMAC_SHA1_32", 24, 4),
            Self::AesCm256HmacSha1_80 => Row::aes_cm("AES_256_CM_HMAC_SHA1_80", 32, 10),
            Self::AesCm256HmacSha1_32 => Row::aes_cm("AES_256_CM_HMAC_SHA1_32", 32, 4),
            Self::AeadAes128Gcm => Row::aead_gcm("AEAD_AES_128_GCM", 16),
            Self::AeadAes256Gcm => Row::aead_gcm("AEAD_AES_256_GCM", 32),
            Self::F8_128HmacSha1_80 => Row::hmac("F8_128_HMAC_SHA1_80", Kind::F8, 16, 10),
            Self::F8_128HmacSha1_32 => Row::hmac("F8_128_HMAC_SHA1_32", Kind::F8, 16, 4),
            Self::NullHmacSha1_80 => Row::hmac("NULL_HMAC_SHA1_80", Kind::Null, 16, 10),
            Self::NullHmacSha1_32 => Row::hmac("NULL_HMAC_SHA1_32", Kind::Null, 16, 4),
        }
    }
}

/// A line in the table of suites.
struct Row {
    name: &'static str,
    kind: Kind,
    key_len: usize,
    salt_len: usize,
    rtp_tag_len: usize,
    rtcp_tag_len: usize,
}

impl Row {
    const fn aes_cm(name: &'static str, key_len: usize, rtp_tag_len: usize) -> Self {
        Self::hmac(name, Kind::AesCm, key_len, rtp_tag_len)
    }

    const fn hmac(name: &'static str, kind: Kind, key_len: usize, rtp_tag_len: usize) -> Self {
        Self { name, kind, key_len, salt_len: 14, rtp_tag_len, rtcp_tag_len: 10 }
    }

    const fn aead_gcm(name: &'static str, key_len: usize) -> Self {
        let (rtp_tag_len, rtcp_tag_len) = (16, 16);
        Self { name, kind: Kind::AeadGcm, key_len, salt_len: 12, rtp_tag_len, rtcp_tag_len }
    }
}

/// The cipher; all but GCM have HMAC-SHA1 around them.
#[derive(PartialEq, Eq)]
enum Kind {
    AesCm,
    AeadGcm,
    F8,
    Null,
}

const _: () = {
    let mut i = 0;
    while i < Suite::ALL.len() {
        let suite = Suite::ALL[i];
        assert!(suite.key_len() <= KEY_MAX && suite.salt_len() <= SALT_MAX);
        assert!(suite.rtp_overhead() + MKI_MAX <= TAIL_ROOM);
        assert!(suite.rtcp_overhead() + MKI_MAX <= TAIL_ROOM);
        i += 1;
    }
};

/// Why a master key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The engine was compiled with a backend that has not this suite ([`BACKEND`]).
    #[error("{} is not spoken by {BACKEND}", suite.name())]
    Suite {
        /// The suite.
        suite: Suite,
    },
    /// The key has another length than the suite's.
    #[error("{} takes a master key of {} bytes, not {got}", suite.name(), suite.key_len())]
    KeyLength {
        /// The suite.
        suite: Suite,
        /// Bytes that were given.
        got: usize,
    },
    /// The salt has another length than the suite's.
    #[error("{} takes a master salt of {} bytes, not {got}", suite.name(), suite.salt_len())]
    SaltLength {
        /// The suite.
        suite: Suite,
        /// Bytes that were given.
        got: usize,
    },
}

/// Why a context cannot go on where another one stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The engine was compiled with a backend whose counts cannot be set ([`RESTORES`]).
    #[error("{BACKEND} cannot go on where another SRTP context stopped")]
    Backend,
    /// An index cannot be taken up.
    #[error("an SRTP index cannot be taken up ({})", .0.label())]
    Index(DropReason),
}

impl From<DropReason> for RestoreError {
    fn from(reason: DropReason) -> Self {
        Self::Index(reason)
    }
}

/// A master key and salt for one direction; wiped when dropped, never printed.
#[derive(Clone)]
pub struct MasterKey {
    suite: Suite,
    clear_srtcp: bool,
    mki: Option<Mki>,
    key: Zeroizing<ArrayVec<u8, KEY_MAX>>,
    salt: Zeroizing<ArrayVec<u8, SALT_MAX>>,
}

impl MasterKey {
    /// A copy of `key` and `salt`.
    ///
    /// # Errors
    /// [`KeyError`] if either has not the suite's length, or the suite is not spoken.
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        if !suite.is_spoken() {
            return Err(KeyError::Suite { suite });
        }
        if key.len() != suite.key_len() {
            return Err(KeyError::KeyLength { suite, got: key.len() });
        }
        if salt.len() != suite.salt_len() {
            return Err(KeyError::SaltLength { suite, got: salt.len() });
        }
        Ok(Self {
            suite,
            clear_srtcp: false,
            mki: None,
            key: Zeroizing::new(key.iter().copied().collect()),
            salt: Zeroizing::new(salt.iter().copied().collect()),
        })
    }

    /// The same key for a peer that has asked for `UNENCRYPTED_SRTCP` (RFC 4568 §6.3.2): SRTCP is sent
    /// clear, and clear SRTCP is accepted; its tag is as without.
    #[must_use]
    pub fn with_clear_srtcp(mut self) -> Self {
        self.clear_srtcp = true;
        self
    }

    /// The same key for packets that carry this identifier (RFC 4568 §6.1).
    #[must_use]
    pub fn with_mki(mut self, mki: Mki) -> Self {
        self.mki = Some(mki);
        self
    }

    /// What packets name it by.
    #[must_use]
    pub fn mki(&self) -> Option<Mki> {
        self.mki
    }

    /// The suite that it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Whether SRTCP is clear, as it is without a cipher: there the E bit is 0, and 1 is taken too.
    #[must_use]
    pub fn clear_srtcp(&self) -> bool {
        self.clear_srtcp || self.suite.row().kind == Kind::Null
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The salt's bytes.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }
}

impl PartialEq for MasterKey {
    /// In constant time for keys of the same suite. An offer that repeats its key must not reset a context.
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite
            && self.clear_srtcp == other.clear_srtcp
            && self.mki == other.mki
            && bool::from(self.key().ct_eq(other.key()) & self.salt().ct_eq(other.salt()))
    }
}

impl Eq for MasterKey {}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("suite", &self.suite)
            .field("clear_srtcp", &self.clear_srtcp)
            .field("mki", &self.mki)
            .finish_non_exhaustive()
    }
}

/// The SRTP contexts of one transport.
#[derive(Debug)]
pub struct Srtp {
    /// For packets that come from the peer.
    pub inbound: Inbound,
    /// For packets that go to the peer.
    pub outbound: Outbound,
    /// What both were made from, for a process that goes on with them. Boxed, since no packet needs it.
    masters: Box<Masters>,
}

/// The master keys of both directions.
#[derive(Debug)]
struct Masters {
    inbound: MasterKey,
    outbound: MasterKey,
}

impl Srtp {
    /// Asks for what the windows of the first SSRCs need; [`Inbound::warm`] and [`Outbound::warm`] come before.
    pub(crate) fn warm_windows(&self) {
        self.inbound.rtp.warm();
        self.outbound.rtp.warm();
    }

    /// Derives the session keys of both directions; the two may be of different suites.
    #[must_use]
    pub fn new(inbound: &MasterKey, outbound: &MasterKey) -> Self {
        Self {
            inbound: Inbound::new(inbound),
            outbound: Outbound::new(outbound),
            masters: Box::new(Masters { inbound: inbound.clone(), outbound: outbound.clone() }),
        }
    }
}

impl Srtp {
    /// Goes on where `old` has stopped, in each direction whose key is the same. A key that is given again
    /// begins no count anew: no two packets may share a key and an index. What `old` is left with, nothing
    /// went through.
    pub(crate) fn go_on_from(&mut self, old: &mut Self) {
        if self.masters.inbound == old.masters.inbound {
            mem::swap(&mut self.inbound, &mut old.inbound);
        }
        if self.masters.outbound == old.masters.outbound {
            mem::swap(&mut self.outbound, &mut old.outbound);
        }
    }
}

/// The context for packets that come from the peer.
pub struct Inbound {
    suite: Suite,
    clear_srtcp: bool,
    mki: Option<Mki>,
    keys: Opener,
    rtp: RtpWindows,
    rtcp: RtcpWindows,
}

impl Inbound {
    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.keys);
        prefetch(&self.rtp);
    }

    /// Derives the session keys and reserves all memory that the context will ever use.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self {
            suite: master.suite(),
            clear_srtcp: master.clear_srtcp(),
            mki: master.mki(),
            keys: Opener::new(master),
            rtp: RtpWindows::new(),
            rtcp: RtcpWindows::new(),
        }
    }

    /// The suite.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Authenticates and decrypts an SRTP packet where it lies; `header` was parsed from it.
    /// Returns the length of the RTP packet.
    ///
    /// # Errors
    /// [`DropReason::SrtpShort`], [`DropReason::SrtpReplayed`], [`DropReason::SrtpOld`],
    /// [`DropReason::SrtpSsrcs`], [`DropReason::SrtpKeyExpired`] or [`DropReason::SrtpAuth`]. The
    /// context is then as it was; the packet's bytes are unspecified.
    pub fn unprotect_rtp(
        &mut self,
        header: &RtpHeader,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let header_len = usize::from(header.len);
        let packet = mki::take(self.mki, packet, self.suite.behind_rtp_mki())?;
        if packet.len() < header_len + self.suite.rtp_overhead() {
            return Err(DropReason::SrtpShort);
        }
        let place = self.rtp.ask_received(header.ssrc, header.sequence)?;
        let id = PacketId { ssrc: header.ssrc, index: place.index };
        let len = self.keys.unprotect_rtp(id, header_len, packet)?;
        self.rtp.commit(place);
        Ok(len)
    }

    /// Authenticates and decrypts an SRTCP packet where it lies. Returns the length of the RTCP packet.
    ///
    /// # Errors
    /// As [`Self::unprotect_rtp`], and [`DropReason::SrtcpClear`] if the packet is not encrypted and
    /// the key does not allow it.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let packet = mki::take(self.mki, packet, self.suite.behind_rtcp_mki())?;
        let (ssrc, word) = rtcp_ids(self.suite, packet).ok_or(DropReason::SrtpShort)?;
        if word & ENCRYPTED == 0 && !self.clear_srtcp {
            return Err(DropReason::SrtcpClear);
        }
        let index = u64::from(word & !ENCRYPTED);
        let place = self.rtcp.ask_index(ssrc, index)?;
        let len = self.keys.unprotect_rtcp(PacketId { ssrc, index }, word, packet)?;
        self.rtcp.commit(place);
        Ok(len)
    }

    /// The highest SRTP index of each SSRC, for [`Self::restore`] in another process.
    pub fn indices(&self) -> impl Iterator<Item = SsrcIndex> {
        self.rtp.indices()
    }

    /// The highest SRTCP index of each SSRC.
    pub fn rtcp_indices(&self) -> impl Iterator<Item = SsrcIndex> {
        self.rtcp.indices()
    }

    /// Goes on where another context with this master key stopped: what it may have accepted is
    /// refused as replayed, so packets that are late across the change are lost.
    ///
    /// # Errors
    /// [`RestoreError::Index`] if there are more sources than a context holds, or an index lies before
    /// one that is already here or beyond the key's life; [`RestoreError::Backend`].
    pub fn restore(
        &mut self,
        rtp: impl IntoIterator<Item = SsrcIndex>,
        rtcp: impl IntoIterator<Item = SsrcIndex>,
    ) -> Result<(), RestoreError> {
        for at in rtp {
            self.rtp.restore(restorable(at)?)?;
        }
        for at in rtcp {
            self.rtcp.restore(restorable(at)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// The context for packets that go to the peer.
pub struct Outbound {
    suite: Suite,
    mki: Option<Mki>,
    keys: Sealer,
    /// The E bit of SRTCP, or nothing.
    encrypted: u32,
    rtp: RtpWindows,
    // One count for all SSRCs: unique for each of them, as the transform needs it, and it keeps the
    // key's life, which all share. A receiver sees gaps, as if packets had been lost.
    next_rtcp: u32,
}

impl Outbound {
    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.keys);
        prefetch(&self.rtp);
    }

    /// Derives the session keys and reserves all memory that the context will ever use.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self {
            suite: master.suite(),
            mki: master.mki(),
            keys: Sealer::new(master),
            encrypted: if master.clear_srtcp() { 0 } else { ENCRYPTED },
            rtp: RtpWindows::new(),
            next_rtcp: backend::FIRST_RTCP_INDEX,
        }
    }

    /// The suite.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Encrypts the RTP packet `buffer[..len]` where it lies and puts the tag behind it; `header` was
    /// parsed from it. Returns the length of the SRTP packet.
    ///
    /// # Errors
    /// [`DropReason::RewriteRoom`] if the tag has no room, [`DropReason::RtpMalformed`] if the header
    /// is longer than the packet, [`DropReason::SrtpReplayed`] or [`DropReason::SrtpOld`] if the index
    /// was or may have been used, [`DropReason::SrtpSsrcs`], [`DropReason::SrtpKeyExpired`]. The
    /// packet is then untouched.
    pub fn protect_rtp(
        &mut self,
        header: &RtpHeader,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<usize, DropReason> {
        let header_len = usize::from(header.len);
        if header_len > len {
            return Err(DropReason::RtpMalformed);
        }
        let whole = with_room(buffer, len, self.suite.rtp_overhead() + mki::len(self.mki))?;
        let packet = &mut whole[..len + self.suite.rtp_overhead()];
        let place = self.rtp.ask_sent(header.ssrc, header.sequence)?;
        self.rtp.commit(place);
        let id = PacketId { ssrc: header.ssrc, index: place.index };
        self.keys.protect_rtp(id, header_len, packet)?;
        mki::put(self.mki, whole, self.suite.behind_rtp_mki());
        Ok(whole.len())
    }

    /// Encrypts the RTCP packet `buffer[..len]` where it lies and puts index and tag behind it.
    /// Returns the length of the SRTCP packet.
    ///
    /// # Errors
    /// [`DropReason::RewriteRoom`] if they have no room, [`DropReason::RtcpMalformed`] if there is no
    /// whole header, [`DropReason::SrtpKeyExpired`]. The packet is then untouched.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let whole = with_room(buffer, len, self.suite.rtcp_overhead() + mki::len(self.mki))?;
        let packet = &mut whole[..len + self.suite.rtcp_overhead()];
        if len < RTCP_HEADER_LEN {
            return Err(DropReason::RtcpMalformed);
        }
        let ssrc = word_at(packet, RTCP_SSRC_AT).ok_or(DropReason::RtcpMalformed)?;
        let index = self.next_rtcp;
        if index >= RTCP_KEY_LIFETIME {
            return Err(DropReason::SrtpKeyExpired);
        }
        self.next_rtcp += 1;
        let id = PacketId { ssrc, index: u64::from(index) };
        self.keys.protect_rtcp(id, self.encrypted | index, packet)?;
        mki::put(self.mki, whole, self.suite.behind_rtcp_mki());
        Ok(whole.len())
    }

    /// The highest SRTP index of each SSRC, for [`Self::restore`] in another process.
    pub fn indices(&self) -> impl Iterator<Item = SsrcIndex> {
        self.rtp.indices()
    }

    /// The index of the next SRTCP packet.
    #[must_use]
    pub fn next_rtcp_index(&self) -> u32 {
        self.next_rtcp
    }

    /// Goes on where another context with this master key stopped: no index that it may have used is
    /// used again, so packets that are late across the change are refused.
    ///
    /// # Errors
    /// As [`Inbound::restore`].
    pub fn restore(
        &mut self,
        rtp: impl IntoIterator<Item = SsrcIndex>,
        next_rtcp_index: u32,
    ) -> Result<(), RestoreError> {
        if next_rtcp_index > self.next_rtcp {
            self.next_rtcp = restorable(next_rtcp_index)?;
        }
        for at in rtp {
            self.rtp.restore(restorable(at)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// What makes a packet unique under a session key.
#[derive(Debug, Clone, Copy)]
struct PacketId {
    ssrc: u32,
    index: u64,
}

/// `count`, if the backend can take one up.
fn restorable<T>(count: T) -> Result<T, RestoreError> {
    if RESTORES { Ok(count) } else { Err(RestoreError::Backend) }
}

/// The SSRC of an SRTCP packet and its word of E bit and index; `None` if it is too short.
fn rtcp_ids(suite: Suite, packet: &[u8]) -> Option<(u32, u32)> {
    if packet.len() < RTCP_HEADER_LEN + suite.rtcp_overhead() {
        return None;
    }
    let behind_the_word = match suite.row().kind {
        Kind::AesCm | Kind::F8 | Kind::Null => suite.rtcp_tag_len(),
        Kind::AeadGcm => 0,
    };
    let word = packet.len() - behind_the_word - RTCP_INDEX_LEN;
    Some((word_at(packet, RTCP_SSRC_AT)?, word_at(packet, word)?))
}

/// The first `len` bytes of `buffer` and `room` more.
fn with_room(buffer: &mut [u8], len: usize, room: usize) -> Result<&mut [u8], DropReason> {
    let end = len.checked_add(room).ok_or(DropReason::RewriteRoom)?;
    buffer.get_mut(..end).ok_or(DropReason::RewriteRoom)
}

fn word_at(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests;
