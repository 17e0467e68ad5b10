//! SRTCP that is authenticated and clear, where a key allows it (RFC 4568 §6.3.2).

use super::*;

fn clear_pair(suite: Suite) -> (Outbound, Inbound) {
    let key = master(suite).with_clear_srtcp();
    (Outbound::new(&key), Inbound::new(&key))
}

#[test]
fn clear_srtcp_passes_where_it_was_asked_for() {
    for &suite in Suite::ALL {
        let (mut ours, mut theirs) = clear_pair(suite);
        for rest in [&b""[..], b"report", &[0xa5; 300]] {
            let plain = rtcp(SSRC, rest);
            let packet = protect_rtcp(&mut ours, &plain).unwrap();
            assert_eq!(packet.len(), plain.len() + suite.rtcp_overhead());
            assert_eq!(packet[..plain.len()], plain);
            let (_, word) = rtcp_ids(suite, &packet).unwrap();
            assert_eq!(word & ENCRYPTED, 0);
            assert_eq!(unprotect_rtcp(&mut theirs, &packet), Ok(plain));
            assert_eq!(unprotect_rtcp(&mut theirs, &packet), Err(DropReason::SrtpReplayed));
        }
    }
}

#[test]
fn clear_srtcp_with_any_flipped_bit_is_refused() {
    for &suite in Suite::ALL {
        let (mut ours, mut theirs) = clear_pair(suite);
        let genuine = protect_rtcp(&mut ours, &rtcp(SSRC, b"report")).unwrap();
        for bit in 0..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(unprotect_rtcp(&mut theirs, &forged), Err(DropReason::SrtpAuth), "{bit}");
        }
        assert!(unprotect_rtcp(&mut theirs, &genuine).is_ok());
    }
}

#[test]
fn clear_srtcp_is_refused_where_nobody_asked_for_it_even_with_a_good_tag() {
    for &suite in Suite::ALL {
        let (mut ours, _) = clear_pair(suite);
        let (_, mut theirs) = pair(suite);
        let packet = protect_rtcp(&mut ours, &rtcp(SSRC, b"clear")).unwrap();
        assert_eq!(unprotect_rtcp(&mut theirs, &packet), Err(DropReason::SrtcpClear));
        assert_eq!(theirs.rtcp_indices().count(), 0);
    }
}

#[test]
#[cfg(not(feature = "libsrtp"))]
fn encrypted_srtcp_passes_where_clear_was_asked_for() {
    for &suite in Suite::ALL {
        let (mut ours, _) = pair(suite);
        let (_, mut theirs) = clear_pair(suite);
        let plain = rtcp(SSRC, b"encrypted");
        let packet = protect_rtcp(&mut ours, &plain).unwrap();
        assert_eq!(unprotect_rtcp(&mut theirs, &packet), Ok(plain));
    }
}

#[test]
fn srtp_stays_encrypted_where_srtcp_is_clear() {
    for &suite in Suite::ALL {
        let (mut ours, mut theirs) = clear_pair(suite);
        let plain = rtp(SSRC, 1, b"sixteen bytes or more");
        let packet = protect(&mut ours, &plain).unwrap();
        assert_ne!(packet[12..plain.len()], plain[12..]);
        assert_eq!(unprotect(&mut theirs, &packet), Ok(plain));
    }
}

#[test]
fn a_key_with_clear_srtcp_is_another_key() {
    let key = master(Suite::AeadAes128Gcm);
    assert_ne!(key, key.clone().with_clear_srtcp());
}
