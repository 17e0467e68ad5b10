//! libsrtp through the `srtp` crate, for those who must run that library: the feature `libsrtp`.
//!
//! Sources, windows and lives of keys are counted in front of it as for the native transforms, so
//! the two answer alike but for this:
//! - each packet is copied to a buffer of the context's own and back: the library asks for 144 bytes
//!   of room behind a packet and for one that is aligned, whatever it protects with;
//! - it allocates on the packet path: for each new source, and inside OpenSSL for each tag;
//! - it keeps roll-over counters and SRTCP counts that cannot be set, so a context cannot be restored
//!   ([`super::RESTORES`]); what it has used is told all the same, for a native context to go on from;
//! - its SRTCP counts per source and from 1 on. The count that is told lies above all of them;
//! - where clear SRTCP is allowed with an AES-CM suite, encrypted SRTCP is refused;
//! - there is no AES-192: the library derives its session keys with a 256-bit key made of master key
//!   and salt, which no other implementation of RFC 6188 §3 understands.

use srtp::{CryptoPolicy, Error, Session, StreamPolicy};
use zeroize::Zeroizing;

use super::index::REPLAY_WINDOW;
use super::{KEY_MAX, MasterKey, PacketId, SALT_MAX, Suite};
use crate::config::FRAME_SIZE;
use crate::error::DropReason;
use crate::sys::libsrtp::authenticated_only;

/// The backend's name.
pub(super) const NAME: &str = "libsrtp";
/// Whether a context can go on where another stopped.
pub(super) const RESTORES: bool = false;
/// The first index of an outgoing SRTCP packet: the library never sends 0.
pub(super) const FIRST_RTCP_INDEX: u32 = 1;

/// What is spoken to whoever asks for it by name: the library's Rust binding has neither f8 nor a short
/// tag without a cipher.
pub(super) const LEGACY_SUITES: &[Suite] = &[];

/// What is spoken.
pub(super) const SUITES: &[Suite] = &[
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

/// Bytes that the library asks for behind a packet.
const TRAILER_MAX: usize = srtp::sys::SRTP_MAX_TRAILER_LEN as usize;

/// What protects.
pub(super) struct Sealer(Context);

impl Sealer {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self(Context::new(master, Session::with_outbound_template))
    }

    /// Protects `packet`, which ends in room for the tag.
    pub(super) fn protect_rtp(
        &mut self,
        _: PacketId,
        _: usize,
        packet: &mut [u8],
    ) -> Result<(), DropReason> {
        let len = packet.len() - self.0.suite.rtp_overhead();
        self.0.apply(packet, len, |session, copy| session.protect(copy))?;
        Ok(())
    }

    /// Protects `packet`, which ends in room for tag and index. The index is the library's own.
    pub(super) fn protect_rtcp(
        &mut self,
        _: PacketId,
        _: u32,
        packet: &mut [u8],
    ) -> Result<(), DropReason> {
        let len = packet.len() - self.0.suite.rtcp_overhead();
        self.0.apply(packet, len, |session, copy| session.protect_rtcp(copy))?;
        Ok(())
    }
}

/// What unprotects.
pub(super) struct Opener(Context);

impl Opener {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self(Context::new(master, Session::with_inbound_template))
    }

    /// Authenticates and decrypts `packet`; returns its length without the tag.
    pub(super) fn unprotect_rtp(
        &mut self,
        _: PacketId,
        _: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        self.0.apply(packet, packet.len(), |session, copy| session.unprotect(copy))
    }

    /// Authenticates and decrypts `packet`; returns its length without tag and index.
    pub(super) fn unprotect_rtcp(
        &mut self,
        _: PacketId,
        _: u32,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        self.0.apply(packet, packet.len(), |session, copy| session.unprotect_rtcp(copy))
    }
}

struct Context {
    suite: Suite,
    session: Session,
    copy: Vec<u8>,
}

impl Context {
    fn new(
        master: &MasterKey,
        session: impl FnOnce(StreamPolicy<'_>) -> Result<Session, Error>,
    ) -> Self {
        let suite = master.suite();
        let mut key = Zeroizing::new([0; KEY_MAX + SALT_MAX]);
        let (key_len, whole_len) = (suite.key_len(), suite.key_len() + suite.salt_len());
        key[..key_len].copy_from_slice(master.key());
        key[key_len..whole_len].copy_from_slice(master.salt());
        let (rtp, mut rtcp) = policies(suite);
        if master.clear_srtcp() {
            rtcp = authenticated_only(rtcp);
        }
        let policy = StreamPolicy {
            rtp,
            rtcp,
            key: &key[..whole_len],
            window_size: REPLAY_WINDOW as u64,
            allow_repeat_tx: false,
            encrypt_extension_headers: &[],
        };
        let session =
            session(policy).expect("the library knows every suite that a key is made for");
        Self { suite, session, copy: Vec::with_capacity(FRAME_SIZE + TRAILER_MAX) }
    }

    /// Lets the library change a copy of `packet[..len]`, and copies back what has become of it.
    fn apply(
        &mut self,
        packet: &mut [u8],
        len: usize,
        change: impl FnOnce(&mut Session, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<usize, DropReason> {
        self.copy.clear();
        self.copy.extend_from_slice(&packet[..len]);
        change(&mut self.session, &mut self.copy).map_err(reason)?;
        let changed = packet.get_mut(..self.copy.len()).ok_or(DropReason::RewriteRoom)?;
        changed.copy_from_slice(&self.copy);
        Ok(changed.len())
    }
}

/// For SRTP and for SRTCP, whose tag is never the short one.
fn policies(suite: Suite) -> (CryptoPolicy, CryptoPolicy) {
    use CryptoPolicy as P;
    match suite {
        Suite::AesCm128HmacSha1_80 => (P::aes_cm_128_hmac_sha1_80(), P::aes_cm_128_hmac_sha1_80()),
        Suite::AesCm128HmacSha1_32 => (P::aes_cm_128_hmac_sha1_32(), P::aes_cm_128_hmac_sha1_80()),
        Suite::AesCm192HmacSha1_80 => (P::aes_cm_192_hmac_sha1_80(), P::aes_cm_192_hmac_sha1_80()),
        Suite::AesCm192HmacSha1_32 => (P::aes_cm_192_hmac_sha1_32(), P::aes_cm_192_hmac_sha1_80()),
        Suite::AesCm256HmacSha1_80 => (P::aes_cm_256_hmac_sha1_80(), P::aes_cm_256_hmac_sha1_80()),
        Suite::AesCm256HmacSha1_32 => (P::aes_cm_256_hmac_sha1_32(), P::aes_cm_256_hmac_sha1_80()),
        Suite::AeadAes128Gcm => (P::aes_gcm_128_16_auth(), P::aes_gcm_128_16_auth()),
        Suite::AeadAes256Gcm => (P::aes_gcm_256_16_auth(), P::aes_gcm_256_16_auth()),
        Suite::F8_128HmacSha1_80
        | Suite::F8_128HmacSha1_32
        | Suite::NullHmacSha1_80
        | Suite::NullHmacSha1_32 => unreachable!("no key is made for what is not spoken"),
    }
}

fn reason(error: Error) -> DropReason {
    match error {
        Error::REPLAY_FAIL => DropReason::SrtpReplayed,
        Error::REPLAY_OLD | Error::PKT_IDX_OLD => DropReason::SrtpOld,
        Error::KEY_EXPIRED => DropReason::SrtpKeyExpired,
        Error::BAD_PARAM | Error::PARSE_ERR => DropReason::RtpMalformed,
        _ => DropReason::SrtpAuth,
    }
}
