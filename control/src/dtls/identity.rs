//! The node's certificate: one ECDSA P-256 key for all of its calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use causeway_engine::config::SAFE_PAYLOAD;
use dimpl::{Config, DtlsCertificate, certificate};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize, Zeroizing};

use super::fingerprint::{Fingerprint, Hash};
use super::{FIRST_RETRY, HANDSHAKE_TIMEOUT};

/// A certificate with its key, shared by all handshakes; cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    pair: DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<Config>,
}

/// Why there is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate could not be made.
    #[error("a certificate could not be made")]
    Generation,
    /// The PEM text has no certificate.
    #[error("the file holds no certificate in PEM")]
    NoCertificate,
    /// The PEM text has no PKCS #8 key on P-256.
    #[error("the file holds no PKCS #8 private key on P-256 in PEM")]
    NoKey,
    /// Key and certificate are of different pairs.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Makes a self-signed certificate with a fresh key (RFC 8827 §6.5).
    ///
    /// # Errors
    /// [`IdentityError::Generation`].
    pub fn generate() -> Result<Self, IdentityError> {
        let pair = certificate::generate_self_signed_certificate()
            .map_err(|_| IdentityError::Generation)?;
        Ok(Self::new(pair))
    }

    /// Reads what [`Identity::to_pem`] wrote.
    ///
    /// # Errors
    /// What is missing, or that the two don't belong together.
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| IdentityError::NoCertificate)?;
        let key =
            PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| IdentityError::NoKey)?;
        let key = Zeroizing::new(key.secret_pkcs8_der().to_vec());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key)
            .map_err(|_| IdentityError::NoKey)?;
        if !contains(&certificate, pair.public_key().as_ref()) {
            return Err(IdentityError::Mismatch);
        }
        Ok(Self::new(DtlsCertificate {
            certificate: certificate.to_vec(),
            private_key: key.to_vec(),
        }))
    }

    /// Certificate and private key as PEM: calls that are restored in another process still show the certificate
    /// that their far sides know. To be kept readable by the node alone.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut pem = Zeroizing::new(String::with_capacity(2048));
        write_block(&mut pem, "CERTIFICATE", &self.0.pair.certificate);
        write_block(&mut pem, "PRIVATE KEY", &self.0.pair.private_key);
        pem
    }

    /// The SHA-256 fingerprint, for `a=fingerprint`.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.0.fingerprint
    }

    /// Its fingerprint by another hash function.
    pub fn fingerprint_by(&self, hash: Hash) -> Fingerprint {
        Fingerprint::of(hash, &self.0.pair.certificate)
    }

    pub(super) fn certificate(&self) -> DtlsCertificate {
        self.0.pair.clone()
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.0.config.clone()
    }

    fn new(pair: DtlsCertificate) -> Self {
        let fingerprint = Fingerprint::of(Hash::Sha256, &pair.certificate);
        Self(Arc::new(Inner { pair, fingerprint, config: Arc::new(config()) }))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pair.private_key.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.fingerprint.hex()).finish()
    }
}

/// No cookies: the pair has passed an authenticated check, so its address is no forgery, and a
/// cookie would cost a round trip. Extended master secret where the far side has it.
fn config() -> Config {
    Config::builder()
        .mtu(MTU)
        .use_server_cookie(false)
        .require_extended_master_secret(false)
        .flight_start_rto(FIRST_RETRY)
        .flight_retries(RETRIES)
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .build()
        .expect("constants that a test builds")
}

fn write_block(pem: &mut String, label: &str, der: &[u8]) {
    let text = Zeroizing::new(STANDARD.encode(der));
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
}

fn contains(certificate: &[u8], public_key: &[u8]) -> bool {
    certificate.windows(public_key.len()).any(|window| window == public_key)
}

/// Largest datagram that is sent: what libwebrtc counts on too, and short enough for every path, so
/// that a handshake needs no fragments of IP whatever the interface says of them.
const MTU: usize = 1200;
/// Doubling from [`FIRST_RETRY`], so many retries last for [`HANDSHAKE_TIMEOUT`]; those that
/// duplicates of the far side trigger count too, hence the spare ones.
const RETRIES: usize = 16;
/// Characters per line (RFC 7468 §2).
const PEM_LINE: usize = 64;

const _: () = assert!(MTU <= SAFE_PAYLOAD);
const _: () = assert!(
    FIRST_RETRY.as_millis() << (RETRIES / 2) >= Duration::from_secs(25).as_millis(),
    "half of the retries bridge the handshake timeout"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_pem() {
        let identity = Identity::generate().unwrap();
        let read = Identity::from_pem(&identity.to_pem()).unwrap();
        assert_eq!(read.fingerprint(), identity.fingerprint());
        assert_eq!(read.0.pair.private_key, identity.0.pair.private_key);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (one, other) = (one.to_pem(), other.to_pem());
        let (certificate, _) = one.split_once("-----BEGIN PRIVATE").unwrap();
        let (_, key) = other.split_once("-----BEGIN PRIVATE").unwrap();
        let mixed = format!("{certificate}-----BEGIN PRIVATE{key}");
        assert_eq!(Identity::from_pem(&mixed).unwrap_err(), IdentityError::Mismatch);
        assert_eq!(Identity::from_pem(certificate).unwrap_err(), IdentityError::NoKey);
        assert_eq!(Identity::from_pem("").unwrap_err(), IdentityError::NoCertificate);
    }

    #[test]
    fn the_private_key_is_not_printed() {
        let printed = format!("{:?}", Identity::generate().unwrap());
        assert!(printed.len() < 120, "{printed}");
    }
}
