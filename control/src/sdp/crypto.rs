//! SDES: SRTP master keys in a description (RFC 4568).
//!
//! ```text
//! a=crypto:<tag> <suite> inline:<base64 of key and salt>[|<lifetime>][|<MKI>:<bytes>] [parameters]
//! ```
//!
//! One key per line: a list of keys, and session parameters that change the packets in ways that the
//! node does not speak, make the line unusable, as RFC 4568 §6.3.7 wants it. Suites are the engine's,
//! those among them that nobody should use any more too: whoever chooses a key has to leave them out.
//! Padding at the end of the base64 text may be there or not.

use std::fmt::{self, Write};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use causeway_engine::srtp::Suite;
use zeroize::Zeroizing;

use super::local::Secret;
use super::model::MediaSection;

/// One `a=crypto` (RFC 4568 §4). Debug hides the keys, and they are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// What an answer refers to it by, 0 to 999999999.
    pub tag: u32,
    /// Cipher and authentication.
    pub suite: Suite,
    /// The master key, as long as the suite's.
    pub key: Zeroizing<Vec<u8>>,
    /// The master salt, as long as the suite's.
    pub salt: Zeroizing<Vec<u8>>,
    /// Packets that the key may protect, if told.
    pub lifetime: Option<u64>,
    /// The key's identifier, if packets carry one.
    pub mki: Option<Mki>,
    /// What is protected, and what is not.
    pub parameters: SessionParameters,
}

/// A master key identifier as each packet carries it (RFC 4568 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mki {
    /// Its value.
    pub value: u64,
    /// Its length in packets, 1 to 128 bytes.
    pub bytes: u8,
}

/// The session parameters that the node knows (RFC 4568 §6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionParameters {
    /// RTP is authenticated only.
    pub unencrypted_srtp: bool,
    /// RTCP is authenticated only.
    pub unencrypted_srtcp: bool,
    /// RTP is encrypted only.
    pub unauthenticated_srtp: bool,
}

/// Why an `a=crypto` cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A part is missing, or the tag is no number of at most nine digits.
    #[error("the line must be: a=crypto:<tag> <suite> inline:<key and salt>")]
    Malformed,
    /// A suite that the engine does not speak.
    #[error("the suite is unknown")]
    UnknownSuite,
    /// Another method than `inline`, or more than one key.
    #[error("the key must be one, given inline")]
    KeyMethod,
    /// Key and salt are not base64, or not as long as the suite's.
    #[error("key and salt must be base64, as long as the suite's")]
    BadKey,
    /// A lifetime that is none, or longer than SRTP's 2^48 packets.
    #[error("the key's lifetime must be a number of packets, or 2^ and its exponent, at most 48")]
    BadLifetime,
    /// A key identifier that cannot be read, or does not fit its length.
    #[error("the key's identifier must be <value>:<bytes>, of 1 to 128 bytes")]
    BadMki,
    /// A session parameter that the node does not speak.
    #[error("the session parameter is unknown, or asks for what the node does not speak")]
    UnknownParameter,
}

impl Crypto {
    /// Reads the value of `a=crypto`.
    ///
    /// # Errors
    /// When it cannot be read or not be used; an answerer takes another line then (RFC 4568 §5.1.2).
    pub fn parse(value: &str) -> Result<Self, CryptoError> {
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().ok_or(CryptoError::Malformed);
        let (tag, suite, key) = (word()?, word()?, word()?);
        let is_tag = tag.len() <= TAG_DIGITS_MAX && is_number(tag);
        let tag = tag.parse().ok().filter(|_| is_tag).ok_or(CryptoError::Malformed)?;
        let suite = suite_named(suite).ok_or(CryptoError::UnknownSuite)?;
        let mut crypto = Self {
            tag,
            suite,
            key: Zeroizing::default(),
            salt: Zeroizing::default(),
            lifetime: None,
            mki: None,
            parameters: SessionParameters::default(),
        };
        crypto.read_key(key)?;
        words.try_for_each(|parameter| crypto.parameters.read(parameter))?;
        Ok(crypto)
    }

    /// A key of the node's own, cut from a secret that is as long as that of any suite.
    pub(super) fn cut(tag: u32, suite: Suite, secret: &Secret) -> Self {
        let (key, rest) = secret.split_at(suite.key_len());
        Self {
            tag,
            suite,
            key: Zeroizing::new(key.to_vec()),
            salt: Zeroizing::new(rest[..suite.salt_len()].to_vec()),
            lifetime: None,
            mki: None,
            parameters: SessionParameters::default(),
        }
    }

    /// Whether the engine can do with it what it says: packets are encrypted and authenticated. A suite
    /// that nobody should use is no such key unless `legacy` ones are wanted.
    pub fn is_usable(&self, legacy: bool) -> bool {
        let SessionParameters { unencrypted_srtp, unauthenticated_srtp, .. } = self.parameters;
        let is_sound = legacy || !Suite::LEGACY.contains(&self.suite);
        is_sound && !unencrypted_srtp && !unauthenticated_srtp
    }

    /// Writes what stands behind `a=`, the keys in the clear. `padded` says whether the base64 text
    /// is filled up with `=`.
    pub fn write(&self, padded: bool) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(WRITTEN_BYTES));
        let mut secret = Zeroizing::new(Vec::with_capacity(self.key.len() + self.salt.len()));
        secret.extend_from_slice(&self.key);
        secret.extend_from_slice(&self.salt);
        // Writing into a string cannot fail.
        let _ = write!(text, "crypto:{} {} inline:", self.tag, self.suite.name());
        if padded { &PADDED } else { &BARE }.encode_string(&*secret, &mut text);
        match self.lifetime {
            Some(lifetime) if lifetime.is_power_of_two() => {
                let _ = write!(text, "|2^{}", lifetime.trailing_zeros());
            }
            Some(lifetime) => {
                let _ = write!(text, "|{lifetime}");
            }
            None => {}
        }
        if let Some(mki) = self.mki {
            let _ = write!(text, "|{}:{}", mki.value, mki.bytes);
        }
        for (_, name) in self.parameters.flags().into_iter().filter(|(is_set, _)| *is_set) {
            let _ = write!(text, " {name}");
        }
        text
    }

    /// Reads `inline:…` (RFC 4568 §6.1).
    fn read_key(&mut self, text: &str) -> Result<(), CryptoError> {
        let (method, rest) = text.split_once(':').ok_or(CryptoError::KeyMethod)?;
        if !method.eq_ignore_ascii_case("inline") || rest.contains(';') {
            return Err(CryptoError::KeyMethod);
        }
        let mut parts = rest.split('|');
        let secret = parts.next().unwrap_or_default();
        let secret = BARE.decode(secret).map(Zeroizing::new).map_err(|_| CryptoError::BadKey)?;
        if secret.len() != self.suite.key_len() + self.suite.salt_len() {
            return Err(CryptoError::BadKey);
        }
        let (key, salt) = secret.split_at(self.suite.key_len());
        self.key = Zeroizing::new(key.to_vec());
        self.salt = Zeroizing::new(salt.to_vec());
        for (place, part) in parts.enumerate() {
            match part.split_once(':') {
                Some((value, bytes)) if self.mki.is_none() => {
                    self.mki = Some(Mki::parse(value, bytes).ok_or(CryptoError::BadMki)?);
                }
                None if place == 0 => {
                    let lifetime = lifetime_of(part).ok_or(CryptoError::BadLifetime)?;
                    self.lifetime = Some(lifetime);
                }
                _ => return Err(CryptoError::BadMki),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto")
            .field("tag", &self.tag)
            .field("suite", &self.suite)
            .field("lifetime", &self.lifetime)
            .field("mki", &self.mki)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

impl Mki {
    fn parse(value: &str, bytes: &str) -> Option<Self> {
        let (value, bytes) = (number(value)?, u8::try_from(number(bytes)?).ok()?);
        let fits = bytes >= 8 || value >> (8 * bytes) == 0;
        ((1..=MKI_BYTES_MAX).contains(&bytes) && fits).then_some(Self { value, bytes })
    }
}

impl SessionParameters {
    /// Each flag and its name.
    fn flags(self) -> [(bool, &'static str); 3] {
        [
            (self.unencrypted_srtp, "UNENCRYPTED_SRTP"),
            (self.unencrypted_srtcp, "UNENCRYPTED_SRTCP"),
            (self.unauthenticated_srtp, "UNAUTHENTICATED_SRTP"),
        ]
    }

    /// Takes one parameter. The replay window's size (`WSH`) is a hint, and what starts with `-` may
    /// be passed over (RFC 4568 §6.3.7); what is so anyway may be said.
    fn read(&mut self, parameter: &str) -> Result<(), CryptoError> {
        match parameter {
            "UNENCRYPTED_SRTP" => self.unencrypted_srtp = true,
            "UNENCRYPTED_SRTCP" => self.unencrypted_srtcp = true,
            "UNAUTHENTICATED_SRTP" => self.unauthenticated_srtp = true,
            "KDR=0" | "FEC_ORDER=FEC_SRTP" => {}
            other if other.starts_with("WSH=") || other.starts_with('-') => {}
            _ => return Err(CryptoError::UnknownParameter),
        }
        Ok(())
    }
}

impl<'a> MediaSection<'a> {
    /// Its `a=crypto` lines, each read or with what is wrong with it.
    pub fn cryptos(self) -> impl Iterator<Item = Result<Crypto, CryptoError>> + 'a {
        self.attributes("crypto").map(|crypto| Crypto::parse(crypto.value))
    }
}

fn suite_named(name: &str) -> Option<Suite> {
    Suite::ALL.iter().chain(Suite::LEGACY).copied().find(|suite| suite.name() == name)
}

fn lifetime_of(text: &str) -> Option<u64> {
    let lifetime = match text.strip_prefix("2^") {
        Some(exponent) => 1u64.checked_shl(u32::try_from(number(exponent)?).ok()?)?,
        None => number(text)?,
    };
    (1..=LIFETIME_MAX).contains(&lifetime).then_some(lifetime)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| is_number(text))
}

/// `parse` alone would take a plus sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Suites in the order that they are offered in, the strongest first; those that nobody should use any
/// more are the last.
pub(crate) const BY_STRENGTH: [Suite; 12] = [
    Suite::AeadAes256Gcm,
    Suite::AeadAes128Gcm,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AesCm192HmacSha1_80,
    Suite::AesCm192HmacSha1_32,
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::F8_128HmacSha1_80,
    Suite::F8_128HmacSha1_32,
    Suite::NullHmacSha1_80,
    Suite::NullHmacSha1_32,
];
/// Writes without padding and reads both.
const BARE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Writes with padding.
const PADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());
/// Digits of a tag, most (RFC 4568 §9.1).
const TAG_DIGITS_MAX: usize = 9;
/// Bytes of an MKI, most (RFC 4568 §6.1).
const MKI_BYTES_MAX: u8 = 128;
/// Packets that one key may protect, most (RFC 3711 §9.2).
const LIFETIME_MAX: u64 = 1 << 48;
/// Room for the longest line that is usual.
const WRITTEN_BYTES: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    const RFC4568_KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn refused(value: &str) -> CryptoError {
        Crypto::parse(value).unwrap_err()
    }

    /// RFC 4568 §4.1.
    #[test]
    fn reads_the_example_of_the_rfc_and_writes_it_back() {
        let text = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{RFC4568_KEY}|2^20|1:32");
        let crypto = Crypto::parse(&text).unwrap();
        assert_eq!((crypto.tag, crypto.suite), (1, Suite::AesCm128HmacSha1_80));
        assert_eq!(*crypto.key, b"wDfvg&T+)xG7@fb5");
        assert_eq!(*crypto.salt, b"jU,RaA}\\|p0%*#");
        assert_eq!(crypto.lifetime, Some(1 << 20));
        assert_eq!(crypto.mki, Some(Mki { value: 1, bytes: 32 }));
        assert_eq!(crypto.write(false).as_str(), format!("crypto:{text}"));
    }

    /// RFC 4568 §6.1: each of lifetime and MKI may be left out.
    #[test]
    fn lifetime_and_mki_are_told_apart() {
        let read = |rest: &str| {
            let text = format!("2 AES_CM_128_HMAC_SHA1_32 inline:{RFC4568_KEY}{rest}");
            let crypto = Crypto::parse(&text)?;
            Ok((crypto.lifetime, crypto.mki.map(|mki| (mki.value, mki.bytes))))
        };
        assert_eq!(read(""), Ok((None, None)));
        assert_eq!(read("|1066:4"), Ok((None, Some((1066, 4)))));
        assert_eq!(read("|1000"), Ok((Some(1000), None)));
        assert_eq!(read("|2^48|255:1"), Ok((Some(1 << 48), Some((255, 1)))));
        for lifetime in ["|2^49", "|2^64", "|0", "|", "|x", "|2^", "|+5", "|2^99999999999"] {
            assert_eq!(read(lifetime), Err(CryptoError::BadLifetime), "{lifetime}");
        }
        for mki in ["|256:1", "|1:0", "|1:129", "|1:", "|:1", "|1:4|1:4", "|2^20|5", "|2^20|1:4|"] {
            assert_eq!(read(mki), Err(CryptoError::BadMki), "{mki}");
        }
    }

    /// RFC 4568 §6.3.
    #[test]
    fn session_parameters_that_are_not_spoken_are_refused() {
        let read = |parameters: &str| {
            let text = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{RFC4568_KEY} {parameters}");
            Crypto::parse(&text).map(|crypto| crypto.parameters)
        };
        let all = "UNENCRYPTED_SRTP UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP";
        let parameters = read(all).unwrap();
        assert!(parameters.unencrypted_srtp && parameters.unencrypted_srtcp);
        assert!(parameters.unauthenticated_srtp);
        assert_eq!(
            read("WSH=64 -later=1 KDR=0 FEC_ORDER=FEC_SRTP"),
            Ok(SessionParameters::default())
        );
        for unspoken in ["KDR=24", "FEC_ORDER=SRTP_FEC", "FEC_KEY=inline:x", "LATER"] {
            assert_eq!(read(unspoken), Err(CryptoError::UnknownParameter), "{unspoken}");
        }
    }

    #[test]
    fn every_suite_comes_back_as_it_was_written() {
        for &suite in Suite::ALL {
            let crypto = Crypto {
                tag: 999_999_999,
                suite,
                key: Zeroizing::new(vec![0xfb; suite.key_len()]),
                salt: Zeroizing::new(vec![0xff; suite.salt_len()]),
                lifetime: None,
                mki: None,
                parameters: SessionParameters { unencrypted_srtcp: true, ..Default::default() },
            };
            for padded in [false, true] {
                let text = crypto.write(padded);
                let value = text.strip_prefix("crypto:").unwrap();
                assert_eq!(Crypto::parse(value), Ok(crypto.clone()), "{value}");
            }
            assert!(!crypto.write(false).contains('='));
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let with = |tag: &str, suite: &str, key: &str| refused(&format!("{tag} {suite} {key}"));
        let key = format!("inline:{RFC4568_KEY}");
        let suite = "AES_CM_128_HMAC_SHA1_80";
        assert_eq!(refused(""), CryptoError::Malformed);
        assert_eq!(with("x", suite, &key), CryptoError::Malformed);
        assert_eq!(with("1000000000", suite, &key), CryptoError::Malformed);
        assert_eq!(with("1", "ARIA_128_CTR_HMAC_SHA1_80", &key), CryptoError::UnknownSuite);
        assert_eq!(with("1", suite, "uri:x"), CryptoError::KeyMethod);
        assert_eq!(with("1", suite, &format!("{key};{key}")), CryptoError::KeyMethod);
        assert_eq!(with("1", suite, "inline:abcd"), CryptoError::BadKey);
        assert_eq!(with("1", suite, &key.replace('d', "*")), CryptoError::BadKey);
        assert_eq!(with("1", "AES_256_CM_HMAC_SHA1_80", &key), CryptoError::BadKey);
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{RFC4568_KEY}");
        let shown = format!("{:?}", Crypto::parse(&text).unwrap());
        assert!(shown.contains("AesCm128HmacSha1_80") && !shown.contains("119"), "{shown}");
    }
}
