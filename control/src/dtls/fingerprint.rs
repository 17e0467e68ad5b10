//! Certificate fingerprints as they stand in SDP (RFC 8122 §5).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// A hash of a certificate in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    bytes: Vec<u8>,
}

/// The hash functions that a fingerprint may be made with. Which of them a description may use is for
/// its reader to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// `sha-1`, which can be forged.
    Sha1,
    /// `sha-224`.
    Sha224,
    /// `sha-256`, which every WebRTC endpoint uses (RFC 8827 §6.5).
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

/// Why a fingerprint cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// The hash function is unknown.
    #[error(
        "the fingerprint's hash function is not one of sha-1, sha-224, sha-256, sha-384, sha-512"
    )]
    UnknownHash,
    /// Not pairs of hexadecimal digits between colons, or not as many as the hash has bytes.
    #[error("the fingerprint is not as many hexadecimal bytes as its hash function makes")]
    Malformed,
}

impl Fingerprint {
    /// Hashes a certificate.
    pub fn of(hash: Hash, certificate: &[u8]) -> Self {
        Self { hash, bytes: digest::digest(hash.algorithm(), certificate).as_ref().to_vec() }
    }

    /// Takes a hash that is already binary.
    ///
    /// # Errors
    /// [`FingerprintError::Malformed`] if the length is not the hash function's.
    pub fn new(hash: Hash, bytes: Vec<u8>) -> Result<Self, FingerprintError> {
        if bytes.len() != hash.algorithm().output_len() {
            return Err(FingerprintError::Malformed);
        }
        Ok(Self { hash, bytes })
    }

    /// Whether it is of this certificate.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        Self::of(self.hash, certificate) == *self
    }

    /// Its hash function.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The hash.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash as `AA:BB:…`.
    pub fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

/// `sha-256 AA:BB:…`, the value of `a=fingerprint`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.hash, self.hex())
    }
}

/// Reads the value of `a=fingerprint`, in either case.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let (hash, hex) = value.trim().split_once(' ').ok_or(FingerprintError::Malformed)?;
        let hash: Hash = hash.parse()?;
        let bytes = hex.trim().split(':').take(hash.algorithm().output_len() + 1).map(byte);
        Self::new(hash, bytes.collect::<Option<_>>().ok_or(FingerprintError::Malformed)?)
    }
}

impl Hash {
    /// Every one, the usual one first.
    pub const ALL: [Self; 5] = [Self::Sha256, Self::Sha1, Self::Sha224, Self::Sha384, Self::Sha512];

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        })
    }
}

impl FromStr for Hash {
    type Err = FingerprintError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|hash| hash.to_string().eq_ignore_ascii_case(name));
        named.ok_or(FingerprintError::UnknownHash)
    }
}

fn byte(digits: &str) -> Option<u8> {
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SHA-256 of "abc" (FIPS 180-2 appendix B.1).
    const ABC: &str = "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:\
                       B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

    #[test]
    fn a_published_hash_matches_in_either_case() {
        let fingerprint: Fingerprint = ABC.parse().unwrap();
        assert!(fingerprint.matches(b"abc") && !fingerprint.matches(b"abd"));
        assert_eq!(fingerprint.to_string(), ABC);
        assert_eq!(ABC.to_ascii_lowercase().parse(), Ok(fingerprint));
    }

    #[test]
    fn unknown_and_broken_ones_are_refused() {
        use FingerprintError::{Malformed, UnknownHash};
        assert_eq!("md5 AA:BB".parse::<Fingerprint>(), Err(UnknownHash));
        assert_eq!("sha-1 AA:BB".parse::<Fingerprint>(), Err(Malformed));
        assert_eq!("sha-256".parse::<Fingerprint>(), Err(Malformed));
        assert_eq!("sha-256 AA:BB".parse::<Fingerprint>(), Err(Malformed));
        assert_eq!(ABC.replace("BA", "+A").parse::<Fingerprint>(), Err(Malformed));
        assert_eq!(format!("{ABC}:00").parse::<Fingerprint>(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(der: Vec<u8>, which in 0..Hash::ALL.len()) {
            let hash = Hash::ALL[which];
            let fingerprint = Fingerprint::of(hash, &der);
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Fingerprint>();
        }
    }
}
