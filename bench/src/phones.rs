//! What legs over ng are like: phones behind SIP proxies.

use causeway_control::api::Media;
use causeway_engine::srtp::Suite;
use clap::ValueEnum;
use serde::Serialize;

use crate::plan::{G711_CLOCK, OPUS_CLOCK};

/// Which legs are encrypted, under SDES keys (RFC 4568).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sdes {
    /// None.
    #[default]
    None,
    /// The caller's.
    Caller,
    /// Both, each under its own key and with another suite.
    Both,
}

/// What phones send as audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 u-law (RFC 3551 §4.5.14).
    #[default]
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus (RFC 7587).
    Opus,
}

/// The payload type of video.
const VIDEO_TYPE: u8 = 96;
/// What a description offers of video, as [`Codec::formats`] does of audio: VP8 (RFC 7741). Nothing is said of
/// feedback, which belongs to another profile (RFC 4585).
pub const VIDEO: (&str, &str) = ("96", "a=rtpmap:96 VP8/90000\r\n");

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phones {
    /// Which of them encrypt.
    pub sdes: Sdes,
    /// The suite of a caller that does.
    pub suite: Suite,
    /// What they send as audio.
    pub codec: Codec,
}

impl Default for Phones {
    fn default() -> Self {
        Self { sdes: Sdes::None, suite: Suite::AesCm128HmacSha1_80, codec: Codec::Pcmu }
    }
}

impl Phones {
    /// The suites of caller and called, as far as they encrypt.
    pub fn suites(&self) -> [Option<Suite>; 2] {
        match self.sdes {
            Sdes::None => [None, None],
            Sdes::Caller => [Some(self.suite), None],
            Sdes::Both => [Some(self.suite), Some(self.called_suite())],
        }
    }

    /// The suite of one who is called and encrypts: another than the caller's, or a server could pass keys and packets
    /// on as they are.
    fn called_suite(&self) -> Suite {
        match self.suite {
            Suite::AeadAes256Gcm => Suite::AeadAes128Gcm,
            Suite::AeadAes128Gcm => Suite::AeadAes256Gcm,
            Suite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_80,
            _ => Suite::AesCm128HmacSha1_32,
        }
    }

    /// The same without encryption.
    pub fn plain(self) -> Self {
        Self { sdes: Sdes::None, ..self }
    }

    /// The payload type that media goes out under.
    pub fn payload_type(&self, media: Media) -> u8 {
        match media {
            Media::Audio => self.codec.payload_type(),
            Media::Video => VIDEO_TYPE,
        }
    }

    /// Both legs in words.
    pub fn words(&self) -> String {
        let codec = self.codec.name();
        let [caller, called] = self.suites().map(|suite| suite.map_or("plain RTP", Suite::name));
        let legs =
            if self.sdes == Sdes::None { caller.into() } else { format!("{caller} to {called}") };
        format!("{codec}, {legs}")
    }
}

impl Codec {
    /// Its name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::Opus => "opus",
        }
    }

    /// The payload type that it goes out under.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::Opus => 111,
        }
    }

    /// Ticks of its RTP clock per second.
    pub fn clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => G711_CLOCK,
            Self::Opus => OPUS_CLOCK,
        }
    }

    /// Bytes of 20 ms, as they usually are.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 160,
            Self::Opus => 80,
        }
    }

    /// What a description offers: payload types, the own one first, and what they are.
    pub fn formats(self) -> (&'static str, &'static str) {
        const G711: &str = "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
        const OPUS: &str = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
            a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\n";
        match self {
            Self::Pcmu => ("0 8 101", G711),
            Self::Pcma => ("8 0 101", G711),
            Self::Opus => ("111 110", OPUS),
        }
    }
}

/// A suite that a caller can have, by its name in SDES.
///
/// # Errors
/// The names that there are.
pub fn suite(name: &str) -> Result<Suite, String> {
    let known = Suite::ALL.iter().copied();
    let found = known.clone().find(|suite| suite.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| format!("one of {}", known.map(Suite::name).collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_called_never_has_the_callers_suite() {
        for &suite in Suite::ALL {
            let phones = Phones { suite, ..Phones::default() };
            assert_ne!(phones.called_suite(), suite);
        }
        let gcm = suite("aead_aes_128_gcm").unwrap();
        let phones = Phones { suite: gcm, sdes: Sdes::Both, ..Phones::default() };
        assert_eq!(phones.words(), "PCMU, AEAD_AES_128_GCM to AEAD_AES_256_GCM");
        assert!(suite("DES").unwrap_err().contains("AES_CM_128_HMAC_SHA1_80"));
    }

    #[test]
    fn a_codecs_own_payload_type_stands_first() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::Opus] {
            let (types, lines) = codec.formats();
            let own = codec.payload_type();
            assert_eq!(types.split(' ').next(), Some(own.to_string().as_str()));
            assert!(lines.contains(&format!("a=rtpmap:{own} {}/{}", codec.name(), codec.clock())));
        }
        assert_eq!(VIDEO.0, Phones::default().payload_type(Media::Video).to_string());
    }
}
