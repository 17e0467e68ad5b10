use proptest::prelude::*;

use super::*;
use crate::command::Codec;
use crate::config::RTCP_MAX;
use crate::packet::Nanos;
use crate::route::{Passage, Passing, PayloadMap, RouteMap, TransportCc};
use crate::rtcp::{Faults, SenderInfo};
use crate::rtp::RtpHeader;

fn all(bytes: &[u8]) -> Vec<Rtcp<'_>> {
    Compound::parse(bytes).unwrap().map(Result::unwrap).collect()
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

const SINK: u32 = 100;
const SINK_RTX: u32 = 101;
const OWN: u32 = 55;
const PASSAGE: Passage =
    Passage { passing: Passing::Media, transport_sequence: None, now: Nanos(0) };

/// A route whose source `ssrc` has sent 10 to 29, which the sink sent as 1000 to 1019.
fn fed(sink: u32, ssrc: u32, cc: TransportCc) -> Route {
    let mut route = Route::new(sink, Some(sink + 1), None, None, 1000, 0, 5000);
    let payload = PayloadMap {
        from: 96,
        to: 96,
        clock_rate: 90_000,
        retransmits: false,
        again: None,
        codec: Codec::Other,
    };
    route.set_source(&RouteMap::new(&[payload], &[]).with_transport_cc(cc));
    for sequence in 10..30_u8 {
        send(&mut route, ssrc, sequence);
    }
    route
}

fn send(route: &mut Route, ssrc: u32, sequence: u8) {
    let mut packet = [0x80, 96, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 0];
    packet[8..].copy_from_slice(&ssrc.to_be_bytes());
    let header = RtpHeader::parse(&packet).unwrap();
    route.forward(&mut packet, 0, 12, &header, PASSAGE).unwrap();
}

fn backward(bytes: &[u8], routes: &[Route], target: &FeedbackTarget<'_>) -> (Feedback, Vec<u8>) {
    let mut out = vec![0; RTCP_MAX];
    let compound = Compound::parse(bytes).unwrap();
    let resolve = |ssrc| routes.iter().find(|route| route.owns(ssrc).is_some());
    let feedback = backward_feedback(&compound, resolve, target, &mut out);
    out.truncate(feedback.len.unwrap_or(0));
    (feedback, out)
}

const REDUCED: FeedbackTarget<'_> =
    FeedbackTarget { own_ssrc: OWN, cname: "node", reduced_size: true, fir: None };

#[test]
fn a_sender_report_crosses_in_the_sinks_name() {
    let report =
        SenderInfo { ssrc: 7, ntp: 0x0123_4567_89ab_cdef, timestamp: 90, packets: 1, octets: 2 };
    let bytes = write(|w| {
        w.sender_report(&report)?;
        w.sdes(7, b"secret name")?;
        w.sender_report(&SenderInfo { ssrc: 8, ..report })?;
        w.bye(7)
    });
    let mut out = [0; RTCP_MAX];
    let compound = Compound::parse(&bytes).unwrap();
    let route = fed(SINK, 7, TransportCc::Strip);
    let len = forward_reports(&compound, &route, "node", &mut out).unwrap();
    let packets = all(&out[..len]);
    let [Rtcp::SenderReport(mapped), Rtcp::Sdes(sdes), Rtcp::Bye(bye)] = packets[..] else {
        panic!("{packets:?}")
    };
    let mapped = mapped.info;
    assert_eq!((mapped.ssrc, mapped.ntp, mapped.timestamp), (SINK, report.ntp, 5090));
    assert_eq!((mapped.packets, mapped.octets), (20, 0));
    assert_eq!(sdes.names().collect::<Vec<_>>(), [(SINK, &b"node"[..])]);
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [SINK]);
    assert_eq!(forward_reports(&compound, &fed(SINK, 9, TransportCc::Strip), "n", &mut out), None);
}

#[test]
fn a_bye_alone_becomes_a_legal_compound() {
    let bytes = write(|w| w.bye(7));
    let mut out = [0; RTCP_MAX];
    let compound = Compound::parse(&bytes).unwrap();
    let route = fed(SINK, 7, TransportCc::Strip);
    let len = forward_reports(&compound, &route, "node", &mut out).unwrap();
    let packets = all(&out[..len]);
    assert!(matches!(packets[..], [Rtcp::ReceiverReport(_), Rtcp::Sdes(_), Rtcp::Bye(_)]));
}

#[test]
fn report_blocks_of_all_reports_come_back_as_one() {
    let block = |ssrc, highest_sequence| ReportBlock { ssrc, highest_sequence, ..BLOCK };
    let bytes = write(|w| {
        w.receiver_report(1, &[block(SINK, 0x0001_0000 + 1019), block(999, 5)])?;
        w.receiver_report(1, &[block(200, 1003)])
    });
    let routes = [fed(SINK, 7, TransportCc::Strip), fed(200, 8, TransportCc::Strip)];
    let (_, out) = backward(&bytes, &routes, &REDUCED);
    let packets = all(&out);
    let [Rtcp::ReceiverReport(report), Rtcp::Sdes(_)] = packets[..] else { panic!("{packets:?}") };
    assert_eq!(report.ssrc, OWN);
    assert_eq!(report.blocks().collect::<Vec<_>>(), [block(7, 29), block(8, 13)]);
}

#[test]
fn feedback_alone_stays_alone_only_where_reduced_size_is_taken() {
    let bytes = write(|w| w.pli(1, SINK));
    let routes = [fed(SINK, 7, TransportCc::Strip)];
    let (feedback, out) = backward(&bytes, &routes, &REDUCED);
    assert_eq!(out, write(|w| w.pli(OWN, 7)));
    assert_eq!((feedback.key_frames, feedback.fir_used), (1, false));
    let (_, out) = backward(&bytes, &routes, &FeedbackTarget { reduced_size: false, ..REDUCED });
    let expected = write(|w| {
        w.receiver_report(OWN, &[])?;
        w.sdes(OWN, b"node")?;
        w.pli(OWN, 7)
    });
    assert_eq!(out, expected);
}

#[test]
fn what_is_not_about_the_target_is_nothing() {
    let bytes = write(|w| {
        w.receiver_report(1, &[BLOCK])?;
        w.pli(1, 999)?;
        w.nack(1, 999, 0..5)?;
        w.remb(1, 5, [999].into_iter())
    });
    let target = FeedbackTarget { reduced_size: false, ..REDUCED };
    let (feedback, _) = backward(&bytes, &[fed(SINK, 7, TransportCc::Strip)], &target);
    assert_eq!(feedback, Feedback::default());
}

#[test]
fn a_nack_over_a_change_of_ssrc_asks_each_for_its_own() {
    let mut route = fed(SINK, 7, TransportCc::Strip);
    send(&mut route, 8, 200);
    send(&mut route, 8, 202);
    // 1023 was never sent.
    let bytes = write(|w| w.nack(1, SINK, [1018, 1019, 1021, 1023].into_iter()));
    let (feedback, out) = backward(&bytes, &[route], &REDUCED);
    let expected = write(|w| {
        w.nack(OWN, 7, [28, 29].into_iter())?;
        w.nack(OWN, 8, [201].into_iter())
    });
    assert_eq!(out, expected);
    assert_eq!(feedback.nacks, 3);
}

#[test]
fn a_full_picture_is_asked_for_in_the_way_that_the_source_knows() {
    let bytes = write(|w| w.fir(1, SINK, 200));
    let routes = [fed(SINK, 7, TransportCc::Strip)];
    let (feedback, out) = backward(&bytes, &routes, &REDUCED);
    assert_eq!((out, feedback.fir_used), (write(|w| w.pli(OWN, 7)), false));
    let (feedback, out) = backward(&bytes, &routes, &FeedbackTarget { fir: Some(3), ..REDUCED });
    assert_eq!((out, feedback.fir_used), (write(|w| w.fir(OWN, 7, 3)), true));
}

#[test]
fn an_estimate_names_only_the_sources_own() {
    let bytes = write(|w| w.remb(1, 512_000, [SINK, 999, SINK_RTX].into_iter()));
    let (_, out) = backward(&bytes, &[fed(SINK, 7, TransportCc::Strip)], &REDUCED);
    assert_eq!(out, write(|w| w.remb(OWN, 512_000, [7].into_iter())));
}

#[test]
fn transport_feedback_crosses_only_end_to_end() {
    let bytes = write(|w| w.transport_feedback(1, SINK, &[1, 2, 3, 4]));
    let (feedback, _) = backward(&bytes, &[fed(SINK, 7, TransportCc::Strip)], &REDUCED);
    assert_eq!(feedback.len, None);
    let cc = TransportCc::EndToEnd { from: 3, to: 3 };
    let (_, out) = backward(&bytes, &[fed(SINK, 7, cc)], &REDUCED);
    assert_eq!(out, write(|w| w.transport_feedback(OWN, 7, &[1, 2, 3, 4])));
}

#[test]
fn extended_reports_cross_where_their_blocks_can_be_mapped() {
    let xr = |own: u8, ssrc: u8, begin: u16, end: u16| {
        let mut bytes = vec![0x80, 207, 0, 5, 0, 0, 0, own, 1, 0, 0, 3, 0, 0, 0, ssrc];
        bytes.extend_from_slice(&begin.to_be_bytes());
        bytes.extend_from_slice(&end.to_be_bytes());
        bytes.extend_from_slice(&[0x40, 5, 0, 0]);
        bytes
    };
    let routes = [fed(SINK, 7, TransportCc::Strip)];
    let (_, out) = backward(&xr(1, SINK as u8, 1000, 1020), &routes, &REDUCED);
    assert_eq!(out, xr(OWN as u8, 7, 10, 30));
    let (feedback, _) = backward(&xr(1, SINK as u8, 1000, 1022), &routes, &REDUCED);
    assert_eq!(feedback.len, None);
    // A receiver reference time has nobody to answer it.
    let reference_time = [0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(backward(&reference_time, &routes, &REDUCED).0.len, None);
}

/// Bytes that look like RTCP often enough to get behind the headers.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let packet = (
        0u8..64,
        prop_oneof![8 => 200u8..208, 1 => any::<u8>()],
        proptest::collection::vec(
            prop_oneof![any::<u32>(), Just(SINK), Just(SINK_RTX), 0u32..20, Just(0x5245_4d42)],
            0..20,
        ),
    );
    proptest::collection::vec(packet, 1..5).prop_map(|packets| {
        let mut bytes = Vec::new();
        for (first, packet_type, words) in packets {
            bytes.extend_from_slice(&[0x80 | first, packet_type, 0, words.len() as u8]);
            bytes.extend(words.into_iter().flat_map(u32::to_be_bytes));
        }
        bytes
    })
}

proptest! {
    #[test]
    fn hostile_packets_cross_as_sound_ones_or_not_at_all(
        bytes in hostile(), room in 0..RTCP_MAX, reduced_size in any::<bool>(), fir in any::<bool>(),
    ) {
        let Ok(compound) = Compound::parse(&bytes) else { return Ok(()) };
        let mut out = vec![0; room];
        let cc = TransportCc::EndToEnd { from: 3, to: 3 };
        let route = fed(SINK, 7, cc);
        if let Some(len) = forward_reports(&compound, &route, "node", &mut out) {
            prop_assert_eq!(Compound::parse(&out[..len]).unwrap().faults(), Faults::default());
        }
        let target = FeedbackTarget { reduced_size, fir: fir.then_some(1), ..REDUCED };
        let resolve = |ssrc| route.owns(ssrc).map(|_| &route);
        let feedback = backward_feedback(&compound, resolve, &target, &mut out);
        if let Some(len) = feedback.len {
            let written = Compound::parse(&out[..len]).unwrap();
            prop_assert_eq!(written.faults(), Faults::default());
            let first = written.clone().next().unwrap().unwrap();
            prop_assert!(reduced_size || matches!(first, Rtcp::ReceiverReport(_)));
        }
    }
}
