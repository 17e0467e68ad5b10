//! libsrtp beside the native transforms: the same bytes, and what it cannot do said plainly.

use super::*;
use crate::srtp::native::SessionKeys;

const ROUNDS: u32 = 300;

/// The native side of a key, given the indices that libsrtp gives itself.
fn native_srtcp(keys: &mut SessionKeys, key: &MasterKey, number: u32, plain: &[u8]) -> Vec<u8> {
    let word = if key.clear_srtcp() { number } else { ENCRYPTED | number };
    let mut packet = plain.to_vec();
    packet.resize(plain.len() + key.suite().rtcp_overhead(), 0);
    let id = PacketId { ssrc: SSRC, index: u64::from(number) };
    keys.protect_rtcp(id, word, &mut packet).unwrap();
    packet
}

#[test]
fn srtcp_clear_or_encrypted_is_what_the_native_transforms_make_of_it() {
    for &suite in Suite::ALL {
        for key in [master(suite), master(suite).with_clear_srtcp()] {
            let mut native = SessionKeys::new(&key);
            let (mut ours, mut theirs) = (Outbound::new(&key), Inbound::new(&key));
            for number in 1..ROUNDS {
                let plain = rtcp(SSRC, &vec![number as u8; number as usize]);
                let packet = protect_rtcp(&mut ours, &plain).unwrap();
                assert_eq!(packet, native_srtcp(&mut native, &key, number, &plain));
                assert_eq!(unprotect_rtcp(&mut theirs, &packet), Ok(plain));
            }
        }
    }
}

#[test]
fn srtp_is_what_the_native_transforms_make_of_it_through_a_wrap() {
    for &suite in Suite::ALL {
        let (mut ours, _) = pair(suite);
        let mut native = SessionKeys::new(&master(suite));
        for index in 0xff80..0x1_0080u64 {
            let plain = rtp(SSRC, index as u16, &index.to_be_bytes());
            let mut packet = plain.clone();
            packet.resize(plain.len() + suite.rtp_overhead(), 0);
            native.protect_rtp(PacketId { ssrc: SSRC, index }, 12, &mut packet).unwrap();
            assert_eq!(protect(&mut ours, &plain), Ok(packet));
        }
    }
}

#[test]
fn what_was_used_is_told_and_cannot_be_taken_up() {
    let (mut ours, mut theirs) = pair(Suite::AesCm128HmacSha1_80);
    for sequence in [65_534, 65_535, 0] {
        let packet = protect(&mut ours, &rtp(SSRC, sequence, b"x")).unwrap();
        unprotect(&mut theirs, &packet).unwrap();
    }
    let report = protect_rtcp(&mut ours, &rtcp(SSRC, b"")).unwrap();
    unprotect_rtcp(&mut theirs, &report).unwrap();
    let last = SsrcIndex { ssrc: SSRC, index: 0x1_0000 };
    assert_eq!(ours.indices().collect::<Vec<_>>(), [last]);
    assert_eq!(theirs.indices().collect::<Vec<_>>(), [last]);
    let (_, word) = rtcp_ids(Suite::AesCm128HmacSha1_80, &report).unwrap();
    assert!(ours.next_rtcp_index() > word & !ENCRYPTED);

    let (mut our_heir, mut their_heir) = pair(Suite::AesCm128HmacSha1_80);
    assert_eq!(our_heir.restore(ours.indices(), 0), Err(RestoreError::Backend));
    assert_eq!(our_heir.restore([], ours.next_rtcp_index()), Err(RestoreError::Backend));
    assert_eq!(their_heir.restore([], theirs.rtcp_indices()), Err(RestoreError::Backend));
    assert_eq!(our_heir.restore([], 0), Ok(()));
}

#[test]
fn aes_192_is_refused_when_the_key_is_made() {
    let suite = Suite::AesCm192HmacSha1_80;
    assert_eq!(MasterKey::new(suite, &[0; 24], &[0; 14]), Err(KeyError::Suite { suite }));
}
