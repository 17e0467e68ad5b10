//! Descriptions as phones write them, and what is read of the node's.

use std::net::SocketAddr;

use causeway_control::api::Media;
use causeway_control::sdp::{Crypto, MediaSection, Sdp, SessionParameters};
use causeway_engine::srtp::{MasterKey, Srtp, Suite};
use zeroize::Zeroizing;

use crate::phones::{Codec, VIDEO};
use crate::plain::Plain;
use crate::plan::Kind;

/// The SDES key of an m-line of a leg: it protects nothing but noise, so that it may be told from a number.
pub fn key_of(number: u32, suite: Suite) -> Crypto {
    let [one, two, three, four] = number.to_be_bytes();
    let bytes = |seed: u8, len: usize| {
        let byte = |place: u8| {
            seed ^ place.wrapping_mul(31) ^ [one, two, three, four][usize::from(place % 4)]
        };
        Zeroizing::new((0..len as u8).map(byte).collect())
    };
    Crypto {
        tag: 1,
        suite,
        key: bytes(0x5a, suite.key_len()),
        salt: bytes(0xa5, suite.salt_len()),
        lifetime: None,
        mki: None,
        parameters: SessionParameters::default(),
    }
}

/// An m-line of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where media goes, RTP and RTCP.
    pub at: SocketAddr,
    /// The keys that it may be encrypted under; none if it is not.
    pub keys: Vec<Crypto>,
}

impl Line {
    /// One that is not encrypted.
    pub fn plain(at: SocketAddr) -> Self {
        Self { at, keys: Vec::new() }
    }

    /// Makes it the answer to `offer`, whose tags it keeps (RFC 4568 §5.1.2).
    #[must_use]
    pub fn answering(mut self, offer: &Self) -> Self {
        for key in &mut self.keys {
            key.tag = offer.key(key.suite).map_or(key.tag, |offered| offered.tag);
        }
        self
    }

    /// How whoever described this line sends to whoever described `theirs`, encrypted if there is an own key; `None`
    /// if there is no key of its suite on the other side.
    pub fn transport(&self, theirs: &Self) -> Option<Plain> {
        let master = |of: &Crypto| MasterKey::new(of.suite, &of.key, &of.salt).ok();
        let srtp = |own: &Crypto| Some(Srtp::new(&master(theirs.key(own.suite)?)?, &master(own)?));
        let srtp = match self.keys.first() {
            Some(own) => Some(srtp(own)?),
            None => None,
        };
        Some(Plain::new(theirs.at, srtp))
    }

    fn key(&self, suite: Suite) -> Option<&Crypto> {
        self.keys.iter().find(|key| key.suite == suite)
    }

    fn write(&self, media: Media, codec: Codec) -> String {
        let (kind, (types, formats), more) = match media {
            Media::Audio => ("audio", codec.formats(), "a=ptime:20\r\n"),
            Media::Video => ("video", VIDEO, ""),
        };
        let profile = if self.keys.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
        let keys = self.keys.iter().map(|key| format!("a={}\r\n", *key.write(true)));
        format!(
            "m={kind} {} {profile} {types}\r\nc={}\r\n{formats}a=sendrecv\r\na=rtcp-mux\r\n{more}{}",
            self.at.port(),
            connection(self.at),
            keys.collect::<String>(),
        )
    }
}

/// An offer or answer of these m-lines: audio, and behind it video if there are two.
pub fn describe(lines: &[Line], codec: Codec) -> String {
    let media = Kind::Video.media().iter().zip(lines);
    let sections: String = media.map(|(&media, line)| line.write(media, codec)).collect();
    let session = lines.first().map_or(0, |line| line.at.port());
    let origin = lines.first().map(|line| connection(line.at)).unwrap_or_default();
    format!("v=0\r\no=- {session} 1 {origin}\r\ns=-\r\nt=0 0\r\n{sections}")
}

/// The m-lines of a description; `None` if it is none, or one of them does not say where media goes.
pub fn read(description: &str) -> Option<Vec<Line>> {
    let sdp = Sdp::parse(description).ok()?;
    let line = |section: MediaSection<'_>| {
        let at = section.rtp_address().filter(|_| !section.is_rejected())?;
        Some(Line { at, keys: section.cryptos().filter_map(Result::ok).collect() })
    };
    sdp.media().map(line).collect()
}

/// An address as `o=` and `c=` have it.
fn connection(at: SocketAddr) -> String {
    format!("IN {} {}", if at.is_ipv4() { "IP4" } else { "IP6" }, at.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Suite = Suite::AesCm128HmacSha1_80;

    #[test]
    fn what_is_described_is_read() {
        let [audio, video] =
            ["127.0.0.2:4000", "[::1]:4002"].map(|at| Line::plain(at.parse().unwrap()));
        let plain = describe(std::slice::from_ref(&audio), Codec::Pcmu);
        assert_eq!(read(&plain), Some(vec![audio.clone()]));
        assert!(!plain.contains("crypto") && plain.contains("RTP/AVP 0 8 101"));
        assert!(!plain.contains("m=video"));
        assert_eq!(read(&plain.replace("m=audio 4000", "m=audio 0")), None);
        assert_eq!(read("x"), None);
        let keys = vec![key_of(1, CALLER), key_of(2, Suite::AeadAes128Gcm)];
        let both = [audio, Line { keys, ..video }];
        let said = describe(&both, Codec::Opus);
        assert_eq!(read(&said), Some(both.to_vec()));
        assert!(said.contains("m=video 4002 RTP/SAVP 96\r\nc=IN IP6 ::1\r\n"));
        for format in ["111 opus/48000/2", "96 VP8/90000"] {
            assert!(said.contains(&format!("a=rtpmap:{format}\r\n")), "{said}");
        }
        assert_eq!(read(&said.replace("m=video 4002", "m=video 0")), None);
    }

    #[test]
    fn both_sides_keys_make_a_context_that_the_other_side_understands() {
        let described = |key: &Crypto| line(vec![key.clone()]);
        for &suite in Suite::ALL {
            let [own, other] = [1, 2].map(|number| described(&key_of(number, suite)));
            let mut mine = own.transport(&other).unwrap();
            let mut theirs = other.transport(&own).unwrap();
            let mut packet = [0; 100];
            packet[0] = 0x80;
            let len = mine.protect_rtp(&mut packet, 50).unwrap();
            let (_, read) = theirs.unprotect_rtp(&mut packet[..len]).unwrap();
            assert_eq!((read, len), (50, 50 + suite.rtp_overhead()), "{suite:?}");
        }
        let (own, plain) = (described(&key_of(1, CALLER)), line(Vec::new()));
        assert!(own.transport(&plain).is_none());
        assert!(own.transport(&described(&key_of(2, Suite::AeadAes128Gcm))).is_none());
        let mut packet = [0x80; 50];
        assert_eq!(plain.transport(&own).unwrap().protect_rtp(&mut packet, 50), Some(50));
    }

    #[test]
    fn an_answer_keeps_the_tag_of_the_key_that_it_takes() {
        let other = key_of(3, Suite::AeadAes128Gcm);
        let offered = line(vec![other, Crypto { tag: 7, ..key_of(1, CALLER) }]);
        assert_eq!(line(vec![key_of(2, CALLER)]).answering(&offered).keys[0].tag, 7);
    }

    fn line(keys: Vec<Crypto>) -> Line {
        Line { at: "127.0.0.2:4000".parse().unwrap(), keys }
    }
}
