//! Descriptions as phones write them, and what is read of the node's.

use std::net::SocketAddr;

use causeway_control::sdp::{Crypto, SessionParameters};
use causeway_engine::srtp::{MasterKey, Srtp, Suite};
use zeroize::Zeroizing;

use crate::phones::Codec;

/// The SDES key of a leg: it protects nothing but noise, so that it may be told from the leg's number.
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

/// An offer or answer of audio at `at`, encrypted if there is a key. RTP and RTCP share the port.
pub fn describe(at: SocketAddr, key: Option<&Crypto>, codec: Codec) -> String {
    let (ip, port) = (at.ip(), at.port());
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let (types, formats) = codec.formats();
    let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto = key.map(|key| format!("a={}\r\n", *key.write(true))).unwrap_or_default();
    format!(
        "v=0\r\no=- {port} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} {profile} {types}\r\n{formats}a=sendrecv\r\na=rtcp-mux\r\n\
         a=ptime:20\r\n{crypto}"
    )
}

/// Where the node takes the first m-line's media; `None` if the description does not say.
pub fn media_of(sdp: &str) -> Option<SocketAddr> {
    let line = |start| sdp.lines().find_map(|line: &str| line.trim_end().strip_prefix(start));
    let ip = line("c=IN IP4 ").or_else(|| line("c=IN IP6 "))?.parse().ok()?;
    let port = line("m=audio ")?.split(' ').next()?.parse().ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip, port))
}

/// `own` as the answer to an offer, which has several keys.
pub fn answering(own: Crypto, offer: &str) -> Crypto {
    Crypto { tag: theirs(offer, own.suite).map_or(own.tag, |offered| offered.tag), ..own }
}

/// The key of this suite in a description.
fn theirs(sdp: &str, suite: Suite) -> Option<Crypto> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
    lines.filter_map(|value| Crypto::parse(value).ok()).find(|key| key.suite == suite)
}

/// What protects a leg that has `own` and got this description; `None` if it has no key of the suite.
pub fn srtp(own: &Crypto, description: &str) -> Option<Srtp> {
    let theirs = theirs(description, own.suite)?;
    let master = |of: &Crypto| MasterKey::new(of.suite, &of.key, &of.salt).ok();
    Some(Srtp::new(&master(&theirs)?, &master(own)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Suite = Suite::AesCm128HmacSha1_80;

    #[test]
    fn what_is_described_is_read() {
        let at = "127.0.0.2:4000".parse().unwrap();
        let plain = describe(at, None, Codec::Pcmu);
        assert_eq!(media_of(&plain), Some(at));
        assert!(!plain.contains("crypto") && plain.contains("RTP/AVP 0 8 101"));
        assert_eq!(media_of(&plain.replace("m=audio 4000", "m=audio 0")), None);
        assert_eq!(media_of("v=0\r\n"), None);
        assert!(describe(at, None, Codec::Opus).contains("a=rtpmap:111 opus/48000/2\r\n"));
    }

    #[test]
    fn both_sides_keys_make_a_context_that_the_other_side_understands() {
        let at = "127.0.0.2:4000".parse().unwrap();
        let described = |key: &Crypto| describe(at, Some(key), Codec::Pcmu);
        for &suite in Suite::ALL {
            let (own, other) = (key_of(1, suite), key_of(2, suite));
            let mut mine = srtp(&own, &described(&other)).unwrap();
            let mut theirs = srtp(&other, &described(&own)).unwrap();
            let mut packet = [0; 100];
            packet[0] = 0x80;
            let header = causeway_engine::rtp::RtpHeader::parse(&packet[..50]).unwrap();
            let len = mine.outbound.protect_rtp(&header, &mut packet, 50).unwrap();
            let read = theirs.inbound.unprotect_rtp(&header, &mut packet[..len]);
            assert_eq!(read.unwrap(), 50, "{suite:?}");
        }
        let own = key_of(1, CALLER);
        assert!(srtp(&own, &describe(at, None, Codec::Pcmu)).is_none());
        assert!(srtp(&own, &described(&key_of(2, Suite::AeadAes128Gcm))).is_none());
    }

    #[test]
    fn an_answer_keeps_the_tag_of_the_key_that_it_takes() {
        let at = "127.0.0.2:4000".parse().unwrap();
        let offered = Crypto { tag: 7, ..key_of(1, CALLER) };
        let described = describe(at, Some(&offered), Codec::Pcmu);
        let offer = format!("a=crypto:1 NULL inline:x\r\n{described}");
        assert_eq!(answering(key_of(2, CALLER), &offer).tag, 7);
    }
}
