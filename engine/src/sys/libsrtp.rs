//! What of libsrtp cannot be said in safe words.

use srtp::CryptoPolicy;

/// The policy without encryption: packets carry their tag, and are clear.
pub(crate) fn authenticated_only(policy: CryptoPolicy) -> CryptoPolicy {
    let mut raw = policy.into_raw();
    raw.sec_serv = srtp::sys::srtp_sec_serv_t_sec_serv_auth;
    // SAFETY: libsrtp has filled in `raw`; cipher, tag and their lengths stay as they were, and the
    // services are a field of its public interface, set to one of that interface's values.
    unsafe { CryptoPolicy::from_raw(raw) }
}
