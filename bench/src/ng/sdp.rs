//! Descriptions as phones write them, and what is read of the node's.

use std::net::SocketAddr;

use causeway_control::sdp::{Crypto, SessionParameters};
use causeway_engine::srtp::{MasterKey, Srtp, Suite};
use zeroize::Zeroizing;

/// The suite of a caller with an SDES key (RFC 4568 §6.2.1).
pub const CALLER: Suite = Suite::AesCm128HmacSha1_80;
/// The suite of one who is called: another, or rtpengine would pass the caller's key and packets on as they are.
pub const CALLED: Suite = Suite::AesCm128HmacSha1_32;
/// Bytes of the key and of the salt of either.
const KEY: u8 = 16;
const SALT: u8 = 14;

/// The SDES key of a leg: it protects nothing but noise, so that it may be told from the leg's number.
pub fn key_of(number: u32, suite: Suite) -> Crypto {
    let [one, two, three, four] = number.to_be_bytes();
    let bytes = |seed: u8, len: u8| {
        let byte = |place: u8| {
            seed ^ place.wrapping_mul(31) ^ [one, two, three, four][usize::from(place % 4)]
        };
        Zeroizing::new((0..len).map(byte).collect())
    };
    Crypto {
        tag: 1,
        suite,
        key: bytes(0x5a, KEY),
        salt: bytes(0xa5, SALT),
        lifetime: None,
        mki: None,
        parameters: SessionParameters::default(),
    }
}

/// An offer or answer of G.711 at `at`, encrypted if there is a key. RTP and RTCP share the port.
pub fn describe(at: SocketAddr, key: Option<&Crypto>) -> String {
    let (ip, port) = (at.ip(), at.port());
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto = key.map(|key| format!("a={}\r\n", *key.write(false))).unwrap_or_default();
    format!(
        "v=0\r\no=- {port} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} {profile} 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\na=rtcp-mux\r\n\
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

    #[test]
    fn what_is_described_is_read() {
        let at = "127.0.0.2:4000".parse().unwrap();
        let plain = describe(at, None);
        assert_eq!(media_of(&plain), Some(at));
        assert!(!plain.contains("crypto") && plain.contains("RTP/AVP"));
        assert_eq!(media_of(&plain.replace("m=audio 4000", "m=audio 0")), None);
        assert_eq!(media_of("v=0\r\n"), None);
    }

    #[test]
    fn both_sides_keys_make_a_context_that_the_other_side_understands() {
        let (own, other) = (key_of(1, CALLER), key_of(2, CALLER));
        let at = "127.0.0.2:4000".parse().unwrap();
        let mut mine = srtp(&own, &describe(at, Some(&other))).unwrap();
        let mut theirs = srtp(&other, &describe(at, Some(&own))).unwrap();
        let mut packet = [0; 100];
        packet[0] = 0x80;
        let header = causeway_engine::rtp::RtpHeader::parse(&packet[..50]).unwrap();
        let len = mine.outbound.protect_rtp(&header, &mut packet, 50).unwrap();
        assert_eq!(theirs.inbound.unprotect_rtp(&header, &mut packet[..len]).unwrap(), 50);
        assert!(srtp(&own, &describe(at, None)).is_none());
        assert!(srtp(&own, &describe(at, Some(&key_of(2, CALLED)))).is_none());
    }

    #[test]
    fn an_answer_keeps_the_tag_of_the_key_that_it_takes() {
        let at = "127.0.0.2:4000".parse().unwrap();
        let offered = Crypto { tag: 7, ..key_of(1, CALLED) };
        let offer = format!("a=crypto:1 NULL inline:x\r\n{}", describe(at, Some(&offered)));
        assert_eq!(answering(key_of(2, CALLED), &offer).tag, 7);
    }
}
