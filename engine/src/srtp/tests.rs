#[cfg(feature = "libsrtp")]
mod backends;
mod clear;
#[cfg(not(feature = "libsrtp"))]
mod legacy;
mod mki;
#[cfg(not(feature = "libsrtp"))]
mod restored;
mod vectors;

use proptest::prelude::*;

use super::*;
use crate::config::SSRCS_PER_TRANSPORT;

const SSRC: u32 = 0x5501_a0b2;
const ROOM: usize = 64;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn master(suite: Suite) -> MasterKey {
    let bytes: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(37) ^ 0x5a).collect();
    MasterKey::new(suite, &bytes[..suite.key_len()], &bytes[32..32 + suite.salt_len()]).unwrap()
}

fn other_master(suite: Suite) -> MasterKey {
    let bytes: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(91) ^ 0x33).collect();
    MasterKey::new(suite, &bytes[..suite.key_len()], &bytes[32..32 + suite.salt_len()]).unwrap()
}

fn every_suite() -> impl Iterator<Item = Suite> {
    Suite::ALL.iter().chain(Suite::LEGACY).copied()
}

fn pair(suite: Suite) -> (Outbound, Inbound) {
    (Outbound::new(&master(suite)), Inbound::new(&master(suite)))
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0x60];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 1, 2, 3]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn rtcp(ssrc: u32, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(rest);
    packet
}

fn protect(context: &mut Outbound, plain: &[u8]) -> Result<Vec<u8>, DropReason> {
    let header = RtpHeader::parse(plain)?;
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + ROOM, 0xee);
    let len = context.protect_rtp(&header, &mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn unprotect(context: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let header = RtpHeader::parse(packet)?;
    let mut buffer = packet.to_vec();
    let len = context.unprotect_rtp(&header, &mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// RFC 3711 §3.3.1: a key that is given again must not have its indices begin anew, neither way.
#[test]
fn a_direction_whose_key_is_given_again_goes_on_and_another_begins() {
    for suite in every_suite() {
        let (ours, theirs) = (master(suite), other_master(suite));
        let (mut peer_out, mut peer_in) = (Outbound::new(&theirs), Inbound::new(&ours));
        let mut first = Srtp::new(&theirs, &ours);
        let packet = protect(&mut peer_out, &rtp(SSRC, 7, b"once")).unwrap();
        unprotect(&mut first.inbound, &packet).unwrap();
        let report = protect_rtcp(&mut first.outbound, &rtcp(SSRC, b"")).unwrap();
        unprotect_rtcp(&mut peer_in, &report).unwrap();

        let mut same = Srtp::new(&theirs, &ours);
        same.go_on_from(&mut first);
        assert_eq!(unprotect(&mut same.inbound, &packet), Err(DropReason::SrtpReplayed));
        let report = protect_rtcp(&mut same.outbound, &rtcp(SSRC, b"")).unwrap();
        assert!(unprotect_rtcp(&mut peer_in, &report).is_ok(), "{suite:?}: an index twice");

        // The peer has another key, the node the same.
        let mut half = Srtp::new(&ours, &ours);
        half.go_on_from(&mut same);
        let report = protect_rtcp(&mut half.outbound, &rtcp(SSRC, b"")).unwrap();
        assert!(unprotect_rtcp(&mut peer_in, &report).is_ok(), "{suite:?}: an index twice");
        let packet = protect(&mut Outbound::new(&ours), &rtp(SSRC, 7, b"anew")).unwrap();
        assert!(unprotect(&mut half.inbound, &packet).is_ok(), "{suite:?}");
    }
}

fn protect_rtcp(context: &mut Outbound, plain: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + ROOM, 0xee);
    let len = context.protect_rtcp(&mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn unprotect_rtcp(context: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut buffer = packet.to_vec();
    let len = context.unprotect_rtcp(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

#[test]
fn a_packet_with_any_flipped_bit_fails_and_changes_nothing() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        let plain = rtp(SSRC, 1000, b"\x00\x01payload");
        let genuine = protect(&mut ours, &plain).unwrap();
        for bit in 0..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 0x80 >> (bit % 8);
            let refusal = unprotect(&mut theirs, &forged).unwrap_err();
            // A flip in the version, CSRC count or extension bit moves or breaks the header itself.
            let shape = matches!(refusal, DropReason::RtpMalformed | DropReason::SrtpShort);
            assert!(
                refusal == DropReason::SrtpAuth || bit < 8 && shape,
                "{suite:?} bit {bit}: {refusal:?}"
            );
            assert_eq!(theirs.indices().count(), 0);
        }
        assert_eq!(unprotect(&mut theirs, &genuine), Ok(plain));
    }
}

#[test]
fn an_rtcp_packet_with_any_flipped_bit_fails_and_changes_nothing() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        let plain = rtcp(SSRC, b"report block");
        let genuine = protect_rtcp(&mut ours, &plain).unwrap();
        for bit in 0..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 0x80 >> (bit % 8);
            let refusal = unprotect_rtcp(&mut theirs, &forged).unwrap_err();
            assert!(matches!(refusal, DropReason::SrtpAuth | DropReason::SrtcpClear));
            assert_eq!(theirs.rtcp_indices().count(), 0);
        }
        assert_eq!(unprotect_rtcp(&mut theirs, &genuine), Ok(plain));
    }
}

#[test]
fn a_forgery_does_not_move_the_window_of_a_running_stream() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        let first = protect(&mut ours, &rtp(SSRC, 10, b"one")).unwrap();
        let second = protect(&mut ours, &rtp(SSRC, 11, b"two")).unwrap();
        unprotect(&mut theirs, &first).unwrap();
        for sequence in [11u16, 2000, 30_000, 60_000] {
            let mut forged = second.clone();
            forged[2..4].copy_from_slice(&sequence.to_be_bytes());
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(unprotect(&mut theirs, &forged), Err(DropReason::SrtpAuth));
        }
        assert_eq!(theirs.indices().next(), Some(SsrcIndex { ssrc: SSRC, index: 10 }));
        assert!(unprotect(&mut theirs, &second).is_ok());
    }
}

#[test]
fn a_packet_passes_once() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        let packet = protect(&mut ours, &rtp(SSRC, 7, b"once")).unwrap();
        assert!(unprotect(&mut theirs, &packet).is_ok());
        assert_eq!(unprotect(&mut theirs, &packet), Err(DropReason::SrtpReplayed));
        let report = protect_rtcp(&mut ours, &rtcp(SSRC, b"")).unwrap();
        assert!(unprotect_rtcp(&mut theirs, &report).is_ok());
        assert_eq!(unprotect_rtcp(&mut theirs, &report), Err(DropReason::SrtpReplayed));
    }
}

#[test]
fn a_packet_behind_the_window_is_old() {
    let (mut ours, mut theirs) = pair(Suite::AeadAes128Gcm);
    let packets: Vec<_> = (0..=1024)
        .map(|sequence| protect(&mut ours, &rtp(SSRC, sequence, b"x")).unwrap())
        .collect();
    unprotect(&mut theirs, &packets[1024]).unwrap();
    assert_eq!(unprotect(&mut theirs, &packets[0]), Err(DropReason::SrtpOld));
    assert!(unprotect(&mut theirs, &packets[1]).is_ok());
}

#[test]
fn an_rtcp_packet_behind_the_window_is_old() {
    let (mut ours, mut theirs) = pair(Suite::AesCm128HmacSha1_80);
    let packets: Vec<_> =
        (0..=128).map(|_| protect_rtcp(&mut ours, &rtcp(SSRC, b"")).unwrap()).collect();
    unprotect_rtcp(&mut theirs, &packets[128]).unwrap();
    assert_eq!(unprotect_rtcp(&mut theirs, &packets[0]), Err(DropReason::SrtpOld));
    assert!(unprotect_rtcp(&mut theirs, &packets[1]).is_ok());
}

#[test]
fn an_outgoing_index_is_never_used_for_a_second_packet() {
    for suite in every_suite() {
        let (mut ours, _) = pair(suite);
        protect(&mut ours, &rtp(SSRC, 2000, b"first")).unwrap();
        let again = rtp(SSRC, 2000, b"other");
        assert_eq!(protect(&mut ours, &again), Err(DropReason::SrtpReplayed));
        assert!(protect(&mut ours, &rtp(SSRC, 1999, b"late")).is_ok());
        assert_eq!(protect(&mut ours, &rtp(SSRC, 1999, b"late")), Err(DropReason::SrtpReplayed));
        assert_eq!(protect(&mut ours, &rtp(SSRC, 976, b"too late")), Err(DropReason::SrtpOld));
        assert!(protect(&mut ours, &rtp(SSRC + 1, 2000, b"another source")).is_ok());
    }
}

#[test]
fn the_counter_survives_loss_and_reordering_across_the_wrap() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        let sent: Vec<_> = (0..200u16)
            .map(|i| rtp(SSRC, 65_436u16.wrapping_add(i), &i.to_be_bytes()))
            .map(|plain| (protect(&mut ours, &plain).unwrap(), plain))
            .collect();
        // Groups of ten backwards, each third packet lost; so is the whole neighbourhood of the wrap.
        for group in sent.chunks(10) {
            for (packet, plain) in group.iter().rev() {
                let sequence = u16::from_be_bytes([plain[2], plain[3]]);
                let lost =
                    sequence % 3 == 0 || (65_530..=65_535).contains(&sequence) || sequence < 7;
                if !lost {
                    assert_eq!(unprotect(&mut theirs, packet).as_ref(), Ok(plain));
                }
            }
        }
        let at = theirs.indices().next().unwrap();
        assert_eq!((at.roc(), at.sequence()), (1, 98));
    }
}

#[test]
fn unauthenticated_sources_take_no_place_and_authenticated_ones_only_so_many() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        for ssrc in 0..1000 {
            let junk = rtp(ssrc, 1, &[0xaa; 40]);
            assert_eq!(unprotect(&mut theirs, &junk), Err(DropReason::SrtpAuth));
        }
        for ssrc in 0..SSRCS_PER_TRANSPORT as u32 {
            let packet = protect(&mut ours, &rtp(ssrc, 1, b"x")).unwrap();
            assert!(unprotect(&mut theirs, &packet).is_ok());
        }
        assert_eq!(protect(&mut ours, &rtp(5000, 1, b"x")), Err(DropReason::SrtpSsrcs));
        let (mut others, _) = pair(suite);
        let packet = protect(&mut others, &rtp(5000, 1, b"x")).unwrap();
        assert_eq!(unprotect(&mut theirs, &packet), Err(DropReason::SrtpSsrcs));
    }
}

#[test]
fn a_packet_without_room_for_the_tag_is_left_as_it_was() {
    for suite in every_suite() {
        let (mut ours, _) = pair(suite);
        let plain = rtp(SSRC, 1, b"payload");
        let header = RtpHeader::parse(&plain).unwrap();
        let mut tight = plain.clone();
        tight.resize(plain.len() + suite.rtp_overhead() - 1, 0);
        let before = tight.clone();
        let refused = ours.protect_rtp(&header, &mut tight, plain.len());
        assert_eq!(refused, Err(DropReason::RewriteRoom));
        assert_eq!(tight, before);
        tight.push(0);
        assert_eq!(ours.protect_rtp(&header, &mut tight, plain.len()), Ok(tight.len()));

        let unused = ours.next_rtcp_index();
        let report = rtcp(SSRC, b"");
        let mut tight = report.clone();
        tight.resize(report.len() + suite.rtcp_overhead() - 1, 0);
        assert_eq!(ours.protect_rtcp(&mut tight, report.len()), Err(DropReason::RewriteRoom));
        assert_eq!(ours.next_rtcp_index(), unused);
        assert_eq!(ours.protect_rtcp(&mut [0; 64], 7), Err(DropReason::RtcpMalformed));
        assert_eq!(ours.protect_rtcp(&mut [0; 64], usize::MAX), Err(DropReason::RewriteRoom));
    }
}

#[test]
fn packets_without_payload_pass() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        let plain = rtp(SSRC, 1, b"");
        let packet = protect(&mut ours, &plain).unwrap();
        assert_eq!(packet.len(), plain.len() + suite.rtp_overhead());
        assert_eq!(unprotect(&mut theirs, &packet), Ok(plain));
        let plain = rtcp(SSRC, b"");
        let packet = protect_rtcp(&mut ours, &plain).unwrap();
        assert_eq!(packet.len(), plain.len() + suite.rtcp_overhead());
        assert_eq!(unprotect_rtcp(&mut theirs, &packet), Ok(plain));
    }
}

#[test]
fn nothing_prints_a_key() {
    for suite in every_suite() {
        let key = master(suite);
        let srtp = Srtp::new(&key, &key);
        let printed = format!("{key:?} {srtp:?}");
        let bytes: Vec<_> = key.key().iter().map(u8::to_string).collect();
        assert!(!printed.contains(&bytes[..3].join(", ")));
        assert!(printed.contains(&format!("{suite:?}")));
    }
}

#[test]
fn a_master_key_has_its_suite_s_lengths() {
    for suite in every_suite() {
        let (key, salt) = (vec![1; suite.key_len()], vec![2; suite.salt_len()]);
        let whole = MasterKey::new(suite, &key, &salt).unwrap();
        assert_eq!((whole.suite(), whole.key(), whole.salt()), (suite, &key[..], &salt[..]));
        assert_eq!(
            MasterKey::new(suite, &key[1..], &salt),
            Err(KeyError::KeyLength { suite, got: key.len() - 1 })
        );
        assert_eq!(
            MasterKey::new(suite, &key, &salt[1..]),
            Err(KeyError::SaltLength { suite, got: salt.len() - 1 })
        );
    }
}

fn any_suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(every_suite().collect::<Vec<_>>())
}

prop_compose! {
    /// A legal RTP packet but for its sequence number and SSRC.
    fn any_shape()(
        csrcs in prop::collection::vec(any::<u32>(), 0..16),
        extension in prop::option::of((any::<u16>(), prop::collection::vec(any::<u32>(), 0..20))),
        second: u8,
        timestamp: u32,
        payload in prop::collection::vec(any::<u8>(), 0..1200),
    ) -> Vec<u8> {
        let mut packet = vec![0x80 | (csrcs.len() as u8), second, 0, 0];
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0; 4]);
        csrcs.iter().for_each(|csrc| packet.extend(csrc.to_be_bytes()));
        if let Some((profile, words)) = extension {
            packet[0] |= 0x10;
            packet.extend(profile.to_be_bytes());
            packet.extend((words.len() as u16).to_be_bytes());
            words.iter().for_each(|word| packet.extend(word.to_be_bytes()));
        }
        packet.extend(payload);
        packet
    }
}

proptest! {
    #[test]
    fn what_is_protected_comes_back_whole_in_any_order(
        suite in any_suite(),
        start: u16,
        shapes in prop::collection::vec((any_shape(), any::<u16>(), 0..3u32), 1..40),
    ) {
        let (mut ours, mut theirs) = pair(suite);
        let mut flight = Vec::new();
        for (i, (mut plain, order, ssrc)) in shapes.into_iter().enumerate() {
            plain[2..4].copy_from_slice(&start.wrapping_add(i as u16).to_be_bytes());
            plain[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let packet = protect(&mut ours, &plain).unwrap();
            let header = usize::from(RtpHeader::parse(&plain).unwrap().len);
            prop_assert_eq!(&packet[..header], &plain[..header]);
            flight.push((order, packet, plain));
        }
        // The first packets in order tell the receiver where each source starts.
        let mut known = std::collections::HashSet::new();
        let (firsts, mut rest): (Vec<_>, Vec<_>) = flight
            .into_iter()
            .partition(|(_, _, plain)| known.insert(plain[8..12].to_vec()));
        rest.sort_by_key(|(order, _, _)| *order);
        for (_, packet, plain) in firsts.into_iter().chain(rest) {
            prop_assert_eq!(unprotect(&mut theirs, &packet), Ok(plain));
        }
    }

    #[test]
    fn what_is_protected_as_rtcp_comes_back_whole(
        suite in any_suite(),
        packets in prop::collection::vec(
            (any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)), 1..20),
    ) {
        let (mut ours, mut theirs) = pair(suite);
        for (ssrc, rest) in packets {
            let plain = rtcp(ssrc, &rest);
            let packet = protect_rtcp(&mut ours, &plain).unwrap();
            prop_assert_eq!(unprotect_rtcp(&mut theirs, &packet), Ok(plain));
        }
    }

    #[test]
    fn hostile_bytes_are_refused(
        suite in any_suite(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        version: bool,
    ) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = *first & 0x3f | 0x80;
        }
        let (_, mut theirs) = pair(suite);
        prop_assert!(unprotect(&mut theirs, &bytes).is_err());
        prop_assert!(unprotect_rtcp(&mut theirs, &bytes).is_err());
        prop_assert_eq!(theirs.indices().count() + theirs.rtcp_indices().count(), 0);
    }
}
