//! SRTP and SRTCP (RFC 3711, RFC 7714): packets are protected and unprotected where they lie.
//!
//! [`Srtp`] is what a transport holds: an [`Inbound`] and an [`Outbound`] context, each made from its
//! master key. Session keys belong to the master key, so the only state of an SSRC is its highest
//! index and the window behind it (`index`). A received packet is asked for in the window, then
//! authenticated, then committed and decrypted; what does not authenticate changes nothing, and its
//! SSRC takes no place. An index that is sent is marked used before it is used, so two packets never
//! share a keystream; late packets pass while their index is free.
//!
//! Which crates, and why: AES comes from aws-lc-rs, which has counter mode and GCM in place with an
//! expanded key and without allocation. HMAC-SHA1 comes from `hmac` and `sha1` instead, because a
//! state that has absorbed its key can be cloned there for the price of a copy, while aws-lc-rs
//! copies a context of several hundred bytes; at voice sizes that is a third of the whole. `aes` and
//! `ctr` would save some 20 of 270 ns at 160 bytes and lose 70 of 1270 at 1200: no reason for a
//! second AES. The HMAC is four fifths of the cost, so that is where to look first.
//!
//! Not spoken: MKI, key derivation rates other than 0, encrypted header extensions (RFC 6904), and
//! SRTCP that is not encrypted.

mod aead_gcm;
mod aes_cm_hmac;
mod index;
mod kdf;
mod state;

use std::fmt;

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use self::index::{
    REPLAY_WINDOW, RTCP_KEY_LIFETIME, RTCP_REPLAY_WINDOW, RTP_KEY_LIFETIME, SsrcIndex,
};

use self::aead_gcm::AeadGcm;
use self::aes_cm_hmac::AesCmHmac;
use self::index::{RtcpWindows, RtpWindows};
use self::kdf::{Kdf, Protocol};
use crate::config::TAIL_ROOM;
use crate::error::DropReason;
use crate::rtp::RtpHeader;

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
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite.
    pub const ALL: &'static [Self] =
        &[Self::AesCm128HmacSha1_80, Self::AeadAes128Gcm, Self::AeadAes256Gcm];

    /// The name in SDES (RFC 4568 §6.2, RFC 7714 §14.2).
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

    /// Everything that tells one suite from another.
    const fn row(self) -> Row {
        match self {
            Self::AesCm128HmacSha1_80 => Row {
                name: "AES_CM_128_HMAC_SHA1_80",
                kind: Kind::AesCmHmac,
                key_len: 16,
                salt_len: 14,
                rtp_tag_len: 10,
                rtcp_tag_len: 10,
            },
            Self::AeadAes128Gcm => Row {
                name: "AEAD_AES_128_GCM",
                kind: Kind::AeadGcm,
                key_len: 16,
                salt_len: 12,
                rtp_tag_len: 16,
                rtcp_tag_len: 16,
            },
            Self::AeadAes256Gcm => Row {
                name: "AEAD_AES_256_GCM",
                kind: Kind::AeadGcm,
                key_len: 32,
                salt_len: 12,
                rtp_tag_len: 16,
                rtcp_tag_len: 16,
            },
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

enum Kind {
    AesCmHmac,
    AeadGcm,
}

const _: () = {
    let mut i = 0;
    while i < Suite::ALL.len() {
        let suite = Suite::ALL[i];
        assert!(suite.key_len() <= KEY_MAX && suite.salt_len() <= SALT_MAX);
        assert!(suite.rtp_overhead() <= TAIL_ROOM && suite.rtcp_overhead() <= TAIL_ROOM);
        i += 1;
    }
};

/// Why a master key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
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

/// A master key and salt for one direction; wiped when dropped, never printed.
#[derive(Clone)]
pub struct MasterKey {
    suite: Suite,
    key: Zeroizing<ArrayVec<u8, KEY_MAX>>,
    salt: Zeroizing<ArrayVec<u8, SALT_MAX>>,
}

impl MasterKey {
    /// A copy of `key` and `salt`.
    ///
    /// # Errors
    /// [`KeyError`] if either has not the suite's length.
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        if key.len() != suite.key_len() {
            return Err(KeyError::KeyLength { suite, got: key.len() });
        }
        if salt.len() != suite.salt_len() {
            return Err(KeyError::SaltLength { suite, got: salt.len() });
        }
        Ok(Self {
            suite,
            key: Zeroizing::new(key.iter().copied().collect()),
            salt: Zeroizing::new(salt.iter().copied().collect()),
        })
    }

    /// The suite that it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
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
            && bool::from(self.key().ct_eq(other.key()) & self.salt().ct_eq(other.salt()))
    }
}

impl Eq for MasterKey {}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
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

/// The context for packets that come from the peer.
pub struct Inbound {
    suite: Suite,
    keys: SessionKeys,
    rtp: RtpWindows,
    rtcp: RtcpWindows,
}

impl Inbound {
    /// Derives the session keys and reserves all memory that the context will ever use.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self {
            suite: master.suite(),
            keys: SessionKeys::new(master),
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
    /// As [`Self::unprotect_rtp`], and [`DropReason::SrtcpClear`] if the packet is not encrypted.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let (ssrc, word) = self.keys.rtcp_ids(self.suite, packet).ok_or(DropReason::SrtpShort)?;
        if word & ENCRYPTED == 0 {
            return Err(DropReason::SrtcpClear);
        }
        let index = u64::from(word & !ENCRYPTED);
        let place = self.rtcp.ask_index(ssrc, index)?;
        let len = self.keys.unprotect_rtcp(PacketId { ssrc, index }, packet)?;
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
    /// [`DropReason::SrtpSsrcs`] if there are more than a context holds; other reasons if an index
    /// lies before one that is already here, or beyond the key's life.
    pub fn restore(
        &mut self,
        rtp: impl IntoIterator<Item = SsrcIndex>,
        rtcp: impl IntoIterator<Item = SsrcIndex>,
    ) -> Result<(), DropReason> {
        rtp.into_iter().try_for_each(|at| self.rtp.restore(at))?;
        rtcp.into_iter().try_for_each(|at| self.rtcp.restore(at))
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
    keys: SessionKeys,
    rtp: RtpWindows,
    // One count for all SSRCs: unique for each of them, as the transform needs it, and it keeps the
    // key's life, which all share. A receiver sees gaps, as if packets had been lost.
    next_rtcp: u32,
}

impl Outbound {
    /// Derives the session keys and reserves all memory that the context will ever use.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self {
            suite: master.suite(),
            keys: SessionKeys::new(master),
            rtp: RtpWindows::new(),
            next_rtcp: 0,
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
        let packet = with_room(buffer, len, self.suite.rtp_overhead())?;
        let place = self.rtp.ask_sent(header.ssrc, header.sequence)?;
        self.rtp.commit(place);
        let id = PacketId { ssrc: header.ssrc, index: place.index };
        self.keys.protect_rtp(id, header_len, packet);
        Ok(packet.len())
    }

    /// Encrypts the RTCP packet `buffer[..len]` where it lies and puts index and tag behind it.
    /// Returns the length of the SRTCP packet.
    ///
    /// # Errors
    /// [`DropReason::RewriteRoom`] if they have no room, [`DropReason::RtcpMalformed`] if there is no
    /// whole header, [`DropReason::SrtpKeyExpired`]. The packet is then untouched.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let packet = with_room(buffer, len, self.suite.rtcp_overhead())?;
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
        self.keys.protect_rtcp(id, ENCRYPTED | index, packet);
        Ok(packet.len())
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
    ) -> Result<(), DropReason> {
        self.next_rtcp = self.next_rtcp.max(next_rtcp_index);
        rtp.into_iter().try_for_each(|at| self.rtp.restore(at))
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

/// The session keys of one direction.
#[expect(
    clippy::large_enum_variant,
    reason = "the commonest suite's keys lie in the context, which is boxed once with all it holds"
)]
enum SessionKeys {
    AesCmHmac { rtp: AesCmHmac, rtcp: AesCmHmac },
    AeadGcm { rtp: AeadGcm, rtcp: AeadGcm },
}

impl SessionKeys {
    fn new(master: &MasterKey) -> Self {
        let (suite, kdf) = (master.suite(), Kdf::new(master));
        match suite.row().kind {
            Kind::AesCmHmac => Self::AesCmHmac {
                rtp: AesCmHmac::new(suite, &kdf, Protocol::Rtp),
                rtcp: AesCmHmac::new(suite, &kdf, Protocol::Rtcp),
            },
            Kind::AeadGcm => Self::AeadGcm {
                rtp: AeadGcm::new(suite, &kdf, Protocol::Rtp),
                rtcp: AeadGcm::new(suite, &kdf, Protocol::Rtcp),
            },
        }
    }

    fn protect_rtp(&self, id: PacketId, header_len: usize, packet: &mut [u8]) {
        match self {
            Self::AesCmHmac { rtp, .. } => rtp.protect_rtp(id, header_len, packet),
            Self::AeadGcm { rtp, .. } => rtp.protect_rtp(id, header_len, packet),
        }
    }

    fn unprotect_rtp(
        &self,
        id: PacketId,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        match self {
            Self::AesCmHmac { rtp, .. } => rtp.unprotect_rtp(id, header_len, packet),
            Self::AeadGcm { rtp, .. } => rtp.unprotect_rtp(id, header_len, packet),
        }
    }

    fn protect_rtcp(&self, id: PacketId, index_word: u32, packet: &mut [u8]) {
        match self {
            Self::AesCmHmac { rtcp, .. } => rtcp.protect_rtcp(id, index_word, packet),
            Self::AeadGcm { rtcp, .. } => rtcp.protect_rtcp(id, index_word, packet),
        }
    }

    fn unprotect_rtcp(&self, id: PacketId, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self {
            Self::AesCmHmac { rtcp, .. } => rtcp.unprotect_rtcp(id, packet),
            Self::AeadGcm { rtcp, .. } => rtcp.unprotect_rtcp(id, packet),
        }
    }

    /// The SSRC of an SRTCP packet and its word of E bit and index; `None` if it is too short.
    fn rtcp_ids(&self, suite: Suite, packet: &[u8]) -> Option<(u32, u32)> {
        if packet.len() < RTCP_HEADER_LEN + suite.rtcp_overhead() {
            return None;
        }
        let behind_the_word = match self {
            Self::AesCmHmac { .. } => suite.rtcp_tag_len(),
            Self::AeadGcm { .. } => 0,
        };
        let word = packet.len() - behind_the_word - RTCP_INDEX_LEN;
        Some((word_at(packet, RTCP_SSRC_AT)?, word_at(packet, word)?))
    }
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
