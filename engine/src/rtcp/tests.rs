use proptest::prelude::*;

use super::*;
use crate::config::RTCP_MAX;

fn only(bytes: &[u8]) -> Rtcp<'_> {
    let mut compound = Compound::parse(bytes).unwrap();
    let packet = compound.next().unwrap().unwrap();
    assert!(compound.next().is_none());
    packet
}

fn write(packets: impl FnOnce(&mut Writer<'_>) -> Result<(), DropReason>) -> Vec<u8> {
    let mut out = vec![0xee; RTCP_MAX];
    let mut writer = Writer::new(&mut out);
    packets(&mut writer).unwrap();
    let len = writer.len();
    assert!(out[len..].iter().all(|byte| *byte == 0xee));
    out.truncate(len);
    out
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 0x80,
    cumulative_lost: -2,
    highest_sequence: 0x0001_fffe,
    jitter: 7,
    last_sender_report: 0x1111_2222,
    delay_since: 0x3333_4444,
};

#[rustfmt::skip]
const BLOCK_BYTES: [u8; 24] = [
    1, 2, 3, 4, 0x80, 0xff, 0xff, 0xfe, 0, 1, 0xff, 0xfe, 0, 0, 0, 7,
    0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44,
];

#[test]
fn a_sender_report_is_read() {
    let mut bytes = vec![0x81, 200, 0, 12, 0xaa, 0xaa, 0xaa, 0xaa];
    bytes.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 11]);
    bytes.extend_from_slice(&BLOCK_BYTES);
    let Rtcp::SenderReport(report) = only(&bytes) else { panic!() };
    assert_eq!((report.info.ssrc, report.info.ntp), (0xaaaa_aaaa, 0x0102_0304_0506_0708));
    let info = report.info;
    assert_eq!((info.timestamp, info.packets, info.octets), (9, 10, 11));
    assert_eq!(report.blocks().collect::<Vec<_>>(), [BLOCK]);
}

#[test]
fn a_receiver_report_is_written_as_it_is_read() {
    let bytes = write(|w| w.receiver_report(0xaaaa_aaaa, &[BLOCK]));
    let mut expected = vec![0x81, 201, 0, 7, 0xaa, 0xaa, 0xaa, 0xaa];
    expected.extend_from_slice(&BLOCK_BYTES);
    assert_eq!(bytes, expected);
    let Rtcp::ReceiverReport(report) = only(&bytes) else { panic!() };
    assert_eq!(report.blocks().collect::<Vec<_>>(), [BLOCK]);
}

#[test]
fn a_source_description_ends_in_zeros_up_to_the_word() {
    for (name, words) in [(&b"ab"[..], 3), (b"abc", 3), (b"abcde", 3), (b"abcdef", 4)] {
        let bytes = write(|w| w.sdes(0xaaaa_aaaa, name));
        assert_eq!(bytes[..4], [0x81, 202, 0, words], "{name:?}");
        let Rtcp::Sdes(sdes) = only(&bytes) else { panic!() };
        assert_eq!(sdes.names().collect::<Vec<_>>(), [(0xaaaa_aaaa, name)]);
    }
}

#[test]
fn several_chunks_of_a_source_description_are_walked() {
    #[rustfmt::skip]
    let bytes = [
        0x83, 202, 0, 7,
        0, 0, 0, 1, 2, 1, b'n', 1, 2, b'x', b'y', 0,
        0, 0, 0, 2, 0, 0, 0, 0,
        0, 0, 0, 3, 0, 0, 0, 0,
    ];
    let Rtcp::Sdes(sdes) = only(&bytes) else { panic!() };
    assert_eq!(sdes.names().collect::<Vec<_>>(), [(1, &b"xy"[..]), (2, b""), (3, b"")]);
}

#[test]
fn a_nack_gathers_sixteen_followers_over_the_wrap() {
    let lost = [65_530, 65_531, 65_535, 0, 10, 11, 30];
    let bytes = write(|w| w.nack(1, 2, lost.into_iter()));
    let mask = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 15_u16;
    let Rtcp::Nack(nack) = only(&bytes) else { panic!() };
    assert_eq!(nack.entries().collect::<Vec<_>>(), [(65_530, mask), (11, 0), (30, 0)]);
    assert_eq!(nack.sequences().collect::<Vec<_>>(), lost);
    assert_eq!(bytes[..4], [0x81, 205, 0, 5]);
    assert!(write(|w| w.nack(1, 2, std::iter::empty())).is_empty());
}

#[test]
fn picture_requests_have_the_formats_of_their_standards() {
    assert_eq!(write(|w| w.pli(1, 2)), [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    let fir = write(|w| w.fir(1, 2, 9));
    assert_eq!(fir, [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0]);
    let Rtcp::Fir(fir) = only(&fir) else { panic!() };
    assert_eq!(fir.entries().collect::<Vec<_>>(), [(2, 9)]);
}

#[test]
fn an_estimate_keeps_eighteen_bits() {
    let written = |bitrate| {
        let bytes = write(|w| w.remb(1, bitrate, [5, 6].into_iter()));
        let Rtcp::Remb(remb) = only(&bytes) else { panic!() };
        assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [5, 6]);
        remb.bitrate
    };
    assert_eq!(written(0), 0);
    assert_eq!(written(0x3_ffff), 0x3_ffff);
    assert_eq!(written(0x3_ffff_ffff), 0x3_ffff_0000);
    assert_eq!(written(u64::MAX), 0x3_ffff << 46);
    let bytes = write(|w| w.remb(1, 1_000_000, [5].into_iter()));
    // 1 000 000 = 250 000 << 2.
    assert_eq!(bytes[12..20], [b'R', b'E', b'M', b'B', 1, 0b0000_1011, 0xd0, 0x90]);
}

#[test]
fn an_estimate_beyond_64_bits_saturates() {
    let mut bytes = write(|w| w.remb(1, 1, std::iter::empty()));
    bytes[17..20].copy_from_slice(&[0xff, 0xff, 0xff]);
    let Rtcp::Remb(remb) = only(&bytes) else { panic!() };
    assert_eq!(remb.bitrate, u64::MAX);
}

#[test]
fn padding_is_taken_off_whatever_its_length() {
    let bytes = [0xaf, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xab, 0xcd, 0, 2];
    let Rtcp::TransportFeedback(feedback) = only(&bytes) else { panic!() };
    assert_eq!(feedback.body, [0xab, 0xcd]);
}

#[test]
fn headers_that_do_not_divide_the_datagram_are_malformed() {
    for bad in [
        &[][..],
        &[0x80],
        &[0x80, 201, 0, 1],
        &[0x40, 201, 0, 0],
        &[0x80, 201, 0, 1, 0, 0, 0, 1, 0x80],
    ] {
        assert_eq!(Compound::parse(bad).map(|_| ()), Err(DropReason::RtcpMalformed), "{bad:?}");
    }
}

#[test]
fn faults_are_counted_and_do_not_end_the_walk() {
    let mut bytes = vec![0x81, 201, 0, 1, 0, 0, 0, 1]; // a block is promised
    bytes.extend_from_slice(&[0x85, 204, 0, 1, 0, 0, 0, 1]); // APP
    bytes.extend_from_slice(&write(|w| w.pli(1, 2)));
    let compound = Compound::parse(&bytes).unwrap();
    assert_eq!(compound.faults(), Faults { unknown: 1, malformed: 1 });
    assert!(matches!(compound.last(), Some(Ok(Rtcp::Pli(_)))));
}

#[test]
fn a_writer_without_room_leaves_whole_packets_out() {
    let mut out = [0; 13];
    let mut writer = Writer::new(&mut out);
    assert_eq!(writer.pli(1, 2), Ok(()));
    assert_eq!(writer.pli(1, 3), Err(DropReason::RewriteRoom));
    assert_eq!(writer.len(), 12);
    let mut out = [0; 20];
    let mut writer = Writer::new(&mut out);
    writer.nack(1, 2, (0..1000).step_by(17)).unwrap();
    assert_eq!(writer.len(), 20);
}

fn visit(bytes: &[u8]) {
    let Ok(compound) = Compound::parse(bytes) else { return };
    for packet in compound.filter_map(Result::ok) {
        let _items = match packet {
            Rtcp::SenderReport(report) => report.blocks().count(),
            Rtcp::ReceiverReport(report) => report.blocks().count(),
            Rtcp::Sdes(sdes) => sdes.names().count(),
            Rtcp::Bye(bye) => bye.ssrcs().count(),
            Rtcp::Nack(nack) => nack.sequences().count(),
            Rtcp::Fir(fir) => fir.entries().count(),
            Rtcp::Remb(remb) => remb.ssrcs().count(),
            Rtcp::Xr(xr) => xr.blocks().count(),
            Rtcp::Pli(_) | Rtcp::TransportFeedback(_) | Rtcp::Unknown { .. } => 0,
        };
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        visit(&bytes);
    }

    #[test]
    fn packets_of_random_words_never_panic(
        packets in proptest::collection::vec(
            (0u8..64, 200u8..208, proptest::collection::vec(any::<u32>(), 0..20)),
            1..5,
        )
    ) {
        let mut bytes = Vec::new();
        for (first, packet_type, words) in packets {
            bytes.extend_from_slice(&[0x80 | first, packet_type, 0, words.len() as u8]);
            bytes.extend(words.into_iter().flat_map(u32::to_be_bytes));
        }
        visit(&bytes);
    }

    #[test]
    fn written_nacks_read_back(
        start in any::<u16>(),
        gaps in proptest::collection::vec(1u16..40, 0..100),
    ) {
        let lost: Vec<u16> = gaps
            .iter()
            .scan(start, |sequence, gap| {
                *sequence = sequence.wrapping_add(*gap);
                Some(*sequence)
            })
            .collect();
        let bytes = write(|w| w.nack(1, 2, lost.iter().copied()));
        if lost.is_empty() {
            prop_assert!(bytes.is_empty());
        } else {
            let Rtcp::Nack(nack) = only(&bytes) else { panic!() };
            prop_assert_eq!(nack.sequences().collect::<Vec<_>>(), lost);
        }
    }
}
