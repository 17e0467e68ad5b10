//! Packets that name their key (RFC 3711 §3.1, RFC 7714 §8.2).

use super::*;

fn named(suite: Suite, value: u64, len: u8) -> (Outbound, Inbound) {
    let key = master(suite).with_mki(Mki::new(value, len).unwrap());
    (Outbound::new(&key), Inbound::new(&key))
}

#[test]
fn a_packet_carries_its_key_s_name_and_is_otherwise_as_without() {
    for suite in every_suite() {
        let plain = rtp(SSRC, 7, b"payload");
        let bare = protect(&mut pair(suite).0, &plain).unwrap();
        let (mut out, mut inward) = named(suite, 0x0102, 4);
        let packet = protect(&mut out, &plain).unwrap();
        let behind = if suite.name().starts_with("AEAD") { 0 } else { suite.rtp_tag_len() };
        let (front, tag) = bare.split_at(bare.len() - behind);
        assert_eq!(packet, [front, &[0, 0, 1, 2], tag].concat(), "{suite:?}");
        assert_eq!(unprotect(&mut inward, &packet), Ok(plain), "{suite:?}");
    }
}

#[test]
fn a_report_carries_it_behind_its_index() {
    for suite in every_suite() {
        let plain = rtcp(SSRC, &[0; 4]);
        let bare = protect_rtcp(&mut pair(suite).0, &plain).unwrap();
        let (mut out, mut inward) = named(suite, 1, 128);
        let packet = protect_rtcp_in(&mut out, &plain, 256);
        assert_eq!(packet.len(), bare.len() + 128);
        assert_eq!(unprotect_rtcp(&mut inward, &packet), Ok(plain), "{suite:?}");
    }
}

fn protect_rtcp_in(context: &mut Outbound, plain: &[u8], room: usize) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + room, 0xee);
    let len = context.protect_rtcp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(len);
    buffer
}

#[test]
fn the_name_of_another_key_is_refused_and_so_is_none() {
    for suite in every_suite() {
        let plain = rtp(SSRC, 7, b"payload");
        let (mut out, _) = named(suite, 2, 1);
        let packet = protect(&mut out, &plain).unwrap();
        let (_, mut other) = named(suite, 1, 1);
        assert_eq!(unprotect(&mut other, &packet), Err(DropReason::SrtpAuth));
        let bare = protect(&mut pair(suite).0, &plain).unwrap();
        assert!(unprotect(&mut named(suite, 0xfe, 1).1, &bare).is_err());
        assert_eq!(unprotect(&mut named(suite, 1, 100).1, &bare), Err(DropReason::SrtpShort));
    }
}

#[test]
fn a_name_has_to_fit_its_bytes() {
    assert!(Mki::new(255, 1).is_some() && Mki::new(u64::MAX, 128).is_some());
    for (value, len) in [(256, 1), (1, 0), (1, 129)] {
        assert_eq!(Mki::new(value, len), None);
    }
}
