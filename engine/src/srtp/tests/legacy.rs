//! Suites that are spoken only to whoever names them.

use super::*;

#[test]
fn they_are_spoken_and_none_of_those_to_choose_from() {
    let names = Suite::LEGACY.iter().map(|suite| suite.name());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_32", "NULL_HMAC_SHA1_80", "NULL_HMAC_SHA1_32"]
    );
    for suite in Suite::LEGACY {
        assert!(suite.is_spoken() && !Suite::ALL.contains(suite));
        assert_eq!((suite.key_len(), suite.salt_len(), suite.rtcp_tag_len()), (16, 14, 10));
    }
}

#[test]
fn without_a_cipher_everything_is_clear_and_authenticated() {
    for suite in [Suite::NullHmacSha1_80, Suite::NullHmacSha1_32] {
        let (mut ours, mut theirs) = pair(suite);
        let plain = rtp(SSRC, 1, b"everybody may read this");
        let packet = protect(&mut ours, &plain).unwrap();
        assert_eq!(packet[..plain.len()], plain);
        assert_eq!(packet.len(), plain.len() + suite.rtp_tag_len());
        assert_eq!(unprotect(&mut theirs, &packet), Ok(plain));
        let plain = rtcp(SSRC, b"and this");
        let packet = protect_rtcp(&mut ours, &plain).unwrap();
        assert_eq!(packet[..plain.len()], plain);
        assert_eq!(rtcp_ids(suite, &packet).unwrap().1 & ENCRYPTED, 0);
        assert_eq!(unprotect_rtcp(&mut theirs, &packet), Ok(plain));
    }
}

/// Clear SRTCP of AES-CM is what has no cipher at all, and its keys are checked against vectors.
#[test]
fn without_a_cipher_the_tag_is_that_of_clear_srtcp_with_one() {
    let (key, other) = (master(Suite::NullHmacSha1_80), master(Suite::AesCm128HmacSha1_80));
    assert_eq!((key.key(), key.salt()), (other.key(), other.salt()));
    let (mut ours, mut with_cipher) =
        (Outbound::new(&key), Outbound::new(&other.with_clear_srtcp()));
    for length in 0..50 {
        let plain = rtcp(SSRC, &vec![length; usize::from(length)]);
        let packet = protect_rtcp(&mut ours, &plain);
        assert!(packet.is_ok());
        assert_eq!(packet, protect_rtcp(&mut with_cipher, &plain));
    }
}

#[test]
fn without_a_cipher_the_tag_is_the_keys_own() {
    let suite = Suite::NullHmacSha1_80;
    let (mut ours, _) = pair(suite);
    let stranger = MasterKey::new(suite, &[7; 16], &[7; 14]).unwrap();
    let packet = protect(&mut ours, &rtp(SSRC, 1, b"clear, not forged")).unwrap();
    let refused = unprotect(&mut Inbound::new(&stranger), &packet);
    assert_eq!(refused, Err(DropReason::SrtpAuth));
}

#[test]
fn srtcp_that_claims_to_be_encrypted_passes_without_a_cipher() {
    let suite = Suite::NullHmacSha1_80;
    let mut keys = native::SessionKeys::new(&master(suite));
    let plain = rtcp(SSRC, b"some set the bit all the same");
    let mut packet = plain.clone();
    packet.resize(plain.len() + suite.rtcp_overhead(), 0);
    keys.protect_rtcp(PacketId { ssrc: SSRC, index: 7 }, ENCRYPTED | 7, &mut packet).unwrap();
    assert_eq!(unprotect_rtcp(&mut Inbound::new(&master(suite)), &packet), Ok(plain));
}

#[test]
fn f8_hides_what_it_protects_and_no_two_packets_alike() {
    for suite in [Suite::F8_128HmacSha1_80, Suite::F8_128HmacSha1_32] {
        let (mut ours, _) = pair(suite);
        let mut seen = Vec::new();
        for sequence in [65_535, 0, 1] {
            let packet = protect(&mut ours, &rtp(SSRC, sequence, &[0; 40])).unwrap();
            seen.push(packet[12..52].to_vec());
        }
        for _ in 0..3 {
            let packet = protect_rtcp(&mut ours, &rtcp(SSRC, &[0; 40])).unwrap();
            seen.push(packet[8..48].to_vec());
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 6);
        assert!(!seen.contains(&vec![0; 40]));
    }
}

#[test]
fn the_roll_over_counter_is_part_of_f8_s_vector() {
    let suite = Suite::F8_128HmacSha1_80;
    let mut keys = native::SessionKeys::new(&master(suite));
    let mut sealed = |index| {
        let mut packet = rtp(SSRC, 5, &[0; 16]);
        packet.resize(packet.len() + 10, 0);
        keys.protect_rtp(PacketId { ssrc: SSRC, index }, 12, &mut packet).unwrap();
        packet
    };
    assert_ne!(sealed(5)[12..28], sealed(0x1_0005)[12..28]);
}
