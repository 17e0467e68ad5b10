//! The node's SRTP against libsrtp: the same bytes both ways, for every suite.

#![expect(clippy::unwrap_used, reason = "a refusal is the failure of the test")]

use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::{Inbound, MasterKey, Outbound, SsrcIndex, Suite};
use srtp::{CryptoPolicy, Session, StreamPolicy};

const PACKETS: u32 = 70_000;
const ROOM: usize = 32;

/// Both implementations with one master key.
struct Oracle {
    ours_out: Outbound,
    ours_in: Inbound,
    lib_out: Session,
    lib_in: Session,
}

impl Oracle {
    fn new(suite: Suite) -> Self {
        // Without a cipher libsrtp takes no byte of the master key and derives the tag's key from zeros,
        // so only there can the two agree. RFC 3711 §4.3 knows no such exception.
        let is_keyless = suite == Suite::NullHmacSha1_80;
        let bytes: Vec<u8> =
            (1..=46).map(|i: u8| if is_keyless { 0 } else { i.wrapping_mul(101) }).collect();
        let (key, salt) = bytes[..suite.key_len() + suite.salt_len()].split_at(suite.key_len());
        let master = MasterKey::new(suite, key, salt).unwrap();
        let joined = [key, salt].concat();
        let policy = || StreamPolicy {
            key: &joined,
            rtp: rtp_policy(suite),
            rtcp: rtcp_policy(suite),
            window_size: 1024,
            ..StreamPolicy::default()
        };
        Self {
            ours_out: Outbound::new(&master),
            ours_in: Inbound::new(&master),
            lib_out: Session::with_outbound_template(policy()).unwrap(),
            lib_in: Session::with_inbound_template(policy()).unwrap(),
        }
    }

    /// Protects `plain` with both, expects the same bytes, and returns them.
    fn protect_rtp(&mut self, plain: &[u8]) -> Vec<u8> {
        let header = RtpHeader::parse(plain).unwrap();
        let mut ours = plain.to_vec();
        ours.resize(plain.len() + ROOM, 0);
        let len = self.ours_out.protect_rtp(&header, &mut ours, plain.len()).unwrap();
        ours.truncate(len);
        let mut theirs = plain.to_vec();
        self.lib_out.protect(&mut theirs).unwrap();
        assert_eq!(ours, theirs, "sequence {}", header.sequence);
        ours
    }

    /// Unprotects `packet` with both and expects `plain` of each.
    fn unprotect_rtp(&mut self, packet: &[u8], plain: &[u8]) {
        let mut ours = packet.to_vec();
        let header = RtpHeader::parse(&ours).unwrap();
        let len = self.ours_in.unprotect_rtp(&header, &mut ours).unwrap();
        assert_eq!(&ours[..len], plain, "sequence {}", header.sequence);
        let mut theirs = packet.to_vec();
        self.lib_in.unprotect(&mut theirs).unwrap();
        assert_eq!(theirs, plain, "sequence {}", header.sequence);
    }

    /// Expects that both refuse `packet`.
    fn refuse_rtp(&mut self, packet: &[u8]) {
        let mut ours = packet.to_vec();
        let header = RtpHeader::parse(&ours).unwrap();
        assert!(self.ours_in.unprotect_rtp(&header, &mut ours).is_err());
        assert!(self.lib_in.unprotect(&mut packet.to_vec()).is_err());
    }

    fn protect_rtcp(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut ours = plain.to_vec();
        ours.resize(plain.len() + ROOM, 0);
        let len = self.ours_out.protect_rtcp(&mut ours, plain.len()).unwrap();
        ours.truncate(len);
        let mut theirs = plain.to_vec();
        self.lib_out.protect_rtcp(&mut theirs).unwrap();
        assert_eq!(ours, theirs);
        ours
    }

    fn unprotect_rtcp(&mut self, packet: &[u8], plain: &[u8]) {
        let mut ours = packet.to_vec();
        let len = self.ours_in.unprotect_rtcp(&mut ours).unwrap();
        assert_eq!(&ours[..len], plain);
        let mut theirs = packet.to_vec();
        self.lib_in.unprotect_rtcp(&mut theirs).unwrap();
        assert_eq!(theirs, plain);
    }
}

/// The suites that libsrtp speaks as RFC 6188 has them: it derives the session keys of AES-192 with
/// a 256-bit key made of master key and salt, so those have the RFC's vectors alone.
const SUITES: [Suite; 7] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
    Suite::NullHmacSha1_80,
];

fn rtp_policy(suite: Suite) -> CryptoPolicy {
    match suite {
        Suite::AesCm128HmacSha1_80 => CryptoPolicy::aes_cm_128_hmac_sha1_80(),
        Suite::AesCm128HmacSha1_32 => CryptoPolicy::aes_cm_128_hmac_sha1_32(),
        Suite::AesCm192HmacSha1_80 => CryptoPolicy::aes_cm_192_hmac_sha1_80(),
        Suite::AesCm192HmacSha1_32 => CryptoPolicy::aes_cm_192_hmac_sha1_32(),
        Suite::AesCm256HmacSha1_80 => CryptoPolicy::aes_cm_256_hmac_sha1_80(),
        Suite::AesCm256HmacSha1_32 => CryptoPolicy::aes_cm_256_hmac_sha1_32(),
        Suite::AeadAes128Gcm => CryptoPolicy::aes_gcm_128_16_auth(),
        Suite::AeadAes256Gcm => CryptoPolicy::aes_gcm_256_16_auth(),
        Suite::NullHmacSha1_80 => CryptoPolicy::null_cipher_hmac_sha1_80(),
        Suite::NullHmacSha1_32 | Suite::F8_128HmacSha1_80 | Suite::F8_128HmacSha1_32 => {
            panic!("libsrtp has no {suite:?}")
        }
    }
}

/// The short tag is for SRTP alone.
fn rtcp_policy(suite: Suite) -> CryptoPolicy {
    rtp_policy(match suite {
        Suite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_80,
        Suite::AesCm192HmacSha1_32 => Suite::AesCm192HmacSha1_80,
        Suite::AesCm256HmacSha1_32 => Suite::AesCm256HmacSha1_80,
        other => other,
    })
}

/// The `number`th packet of a stream: header and payload of many shapes, the same in every run.
fn rtp(ssrc: u32, start: u16, number: u32) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9e37_79b9);
    let (csrcs, words, payload) = (mixed >> 30, mixed >> 27 & 7, mixed >> 8 & 0x1ff);
    let sequence = start.wrapping_add(number as u16);
    let mut packet = vec![0x80 | csrcs as u8, 0x60 | (mixed as u8 & 0x8f)];
    packet.extend(sequence.to_be_bytes());
    packet.extend((number * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..csrcs * 4).map(|i| i as u8));
    if words > 3 {
        packet[0] |= 0x10;
        packet.extend([0xbe, 0xde, 0, words as u8]);
        packet.extend((0..words * 4).map(|i| i as u8 ^ 0x55));
    }
    packet.extend((0..payload).map(|i| (i ^ mixed) as u8));
    packet
}

fn rtcp(ssrc: u32, number: u32) -> Vec<u8> {
    let words = number % 60;
    let mut packet = vec![0x81, 200, 0, words as u8 + 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..words * 4).map(|i| (i ^ number) as u8));
    packet
}

fn rtp_is_the_same_through_a_wrap(suite: Suite) {
    let mut oracle = Oracle::new(suite);
    for number in 0..PACKETS {
        let plain = rtp(0x1122_3344, 0xff00, number);
        let packet = oracle.protect_rtp(&plain);
        oracle.unprotect_rtp(&packet, &plain);
    }
    let last = SsrcIndex { ssrc: 0x1122_3344, index: u64::from(PACKETS - 1) + 0xff00 };
    assert_eq!(last.roc(), 2);
    assert_eq!(oracle.ours_out.indices().collect::<Vec<_>>(), [last]);
    assert_eq!(oracle.ours_in.indices().collect::<Vec<_>>(), [last]);
    assert_eq!(oracle.lib_in.get_stream_roc(last.ssrc).unwrap(), last.roc());
}

#[test]
fn aes_cm_128_hmac_sha1_80_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::AesCm128HmacSha1_80);
}

#[test]
fn aes_cm_128_hmac_sha1_32_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::AesCm128HmacSha1_32);
}

#[test]
fn aes_256_cm_hmac_sha1_80_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::AesCm256HmacSha1_80);
}

#[test]
fn aes_256_cm_hmac_sha1_32_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::AesCm256HmacSha1_32);
}

#[test]
fn aead_aes_128_gcm_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::AeadAes128Gcm);
}

#[test]
fn aead_aes_256_gcm_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::AeadAes256Gcm);
}

#[test]
fn null_hmac_sha1_80_rtp_is_the_same_through_a_wrap() {
    rtp_is_the_same_through_a_wrap(Suite::NullHmacSha1_80);
}

#[test]
fn loss_reordering_and_replay_around_a_wrap_are_judged_the_same() {
    for suite in SUITES {
        let mut oracle = Oracle::new(suite);
        let sent: Vec<_> = (0..3000)
            .map(|number| rtp(7, 0xfa00, number))
            .map(|plain| (oracle.protect_rtp(&plain), plain))
            .collect();
        // The first goes ahead: an earlier one is no start that a receiver could know of.
        for group in sent.chunks(50) {
            let (first, rest) = group.split_first().unwrap();
            for (packet, plain) in std::iter::once(first).chain(rest.iter().rev().step_by(3)) {
                oracle.unprotect_rtp(packet, plain);
                oracle.refuse_rtp(packet);
            }
        }
        oracle.refuse_rtp(&sent[1].0);
    }
}

#[test]
fn late_packets_are_sent_the_same() {
    for suite in SUITES {
        let mut oracle = Oracle::new(suite);
        for number in [0, 1, 5, 3, 4, 2, 300, 299, 258, 260, 256, 259, 257, 255] {
            oracle.protect_rtp(&rtp(9, 0xff00, number));
        }
    }
}

#[test]
fn a_forgery_is_refused_by_both_and_the_genuine_packet_passes_after_it() {
    for suite in SUITES {
        let mut oracle = Oracle::new(suite);
        let plain = rtp(3, 77, 5);
        let packet = oracle.protect_rtp(&plain);
        for byte in [1, 2, 9, packet.len() / 2, packet.len() - 1] {
            let mut forged = packet.clone();
            forged[byte] ^= 0x04;
            oracle.refuse_rtp(&forged);
        }
        oracle.unprotect_rtp(&packet, &plain);
    }
}

#[test]
fn rtcp_is_the_same() {
    for suite in SUITES {
        let mut oracle = Oracle::new(suite);
        // Index 0, the first by RFC 3711 §3.4, is one that libsrtp accepts but never sends.
        let plain = rtcp(0xaabb_ccdd, 0);
        let mut first = plain.clone();
        first.resize(plain.len() + ROOM, 0);
        let len = oracle.ours_out.protect_rtcp(&mut first, plain.len()).unwrap();
        oracle.unprotect_rtcp(&first[..len], &plain);
        for number in 1..3000 {
            let plain = rtcp(0xaabb_ccdd, number);
            let packet = oracle.protect_rtcp(&plain);
            oracle.unprotect_rtcp(&packet, &plain);
        }
    }
}

#[test]
fn libsrtp_accepts_srtcp_of_several_sources_under_one_count() {
    for suite in SUITES {
        let mut oracle = Oracle::new(suite);
        for number in 0..300 {
            let plain = rtcp(number % 7, number);
            let mut packet = plain.clone();
            packet.resize(plain.len() + ROOM, 0);
            let len = oracle.ours_out.protect_rtcp(&mut packet, plain.len()).unwrap();
            oracle.unprotect_rtcp(&packet[..len], &plain);
        }
    }
}
