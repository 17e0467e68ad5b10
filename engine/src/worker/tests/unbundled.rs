//! Legs that are not bundled: transports of every kind side by side.

use super::*;
use crate::bandwidth::Bandwidth;
use crate::command::{Codec, LegSpec, MediaKind, PayloadType, SinkSpec, Source, StreamSpec};
use crate::leg::Leg;
use crate::route::{PayloadMap, RouteMap};
use crate::rtcp::{Compound, ReportBlock, Rtcp, SenderInfo, Writer};
use crate::stats::LegReading;
use crate::stun;
use crate::twcc::Answerer;

const BROWSER: LegId = LegId { worker: WORKER, slot: 0, generation: 0 };
const SECURE_PHONE: LegId = LegId { worker: WORKER, slot: 1, generation: 0 };
const PLAIN_PHONE: LegId = LegId { worker: WORKER, slot: 2, generation: 0 };

/// Places of the far ends.
const VIDEO_RTP: usize = 0;
const VIDEO_RTCP: usize = 1;
const AUDIO_RTP: usize = 2;
const AUDIO_RTCP: usize = 3;
const SECURE: usize = 4;
const PLAIN_RTP: usize = 5;
const PLAIN_RTCP: usize = 6;

/// A stream: its leg, its place there, its SSRC and payload type.
type Feed = (LegId, u8, u32, u8);

/// A browser with two unbundled m-lines, its video joined to a phone with SDES, its audio to one
/// with plain RTP and RTCP on a port of its own.
struct Three {
    bare: Bare,
    fars: [Far; 7],
    now: Nanos,
}

impl Three {
    fn new() -> Self {
        let (cm, gcm) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm);
        let fars = [
            Far::secure(0, 4000, cm).with_ice("video"),
            Far::secure(1, 4001, cm).with_ice("video"),
            Far::secure(2, 4002, gcm).with_ice("audio"),
            Far::secure(3, 4003, gcm).with_ice("audio"),
            Far::secure(4, 5000, Suite::AeadAes256Gcm),
            Far::plain(5, 6000),
            Far::plain(6, 6001),
        ];
        let mut three = Self { bare: bare(), fars, now: START };
        three.bare.worker.now = START;
        three.add_legs();
        for index in 0..4 {
            let Far { socket, remote, .. } = three.fars[usize::from(index)];
            let transport = TransportId { leg: BROWSER, index };
            let pair =
                Command::InstallPair { transport, socket, remote, nominated: true, generation: 0 };
            three.bare.apply(pair).0.unwrap();
        }
        three.wire((BROWSER, 0, 1, 96), (SECURE_PHONE, 0, 3, 97), 90_000);
        three.wire((SECURE_PHONE, 0, 3, 97), (BROWSER, 0, 1, 96), 90_000);
        three.wire((BROWSER, 1, 2, 111), (PLAIN_PHONE, 0, 4, 8), 8000);
        three.wire((PLAIN_PHONE, 0, 4, 8), (BROWSER, 1, 2, 111), 8000);
        three.bare.sent(|_, _, _| {});
        three
    }

    fn add_legs(&mut self) {
        let video = [line(MediaKind::Video, (0, 1), 1, 96), line(MediaKind::Audio, (2, 3), 2, 111)];
        let legs = [
            (BROWSER, 0..4, video.to_vec()),
            (SECURE_PHONE, 4..5, vec![line(MediaKind::Video, (0, 0), 3, 97)]),
            (PLAIN_PHONE, 5..7, vec![line(MediaKind::Audio, (0, 1), 4, 8)]),
        ];
        for (leg, places, lines) in legs {
            let spec = LegSpec {
                transports: self.fars[places].iter().map(Far::transport).collect(),
                streams: lines.iter().map(|(stream, _)| stream.clone()).collect(),
                sinks: lines.into_iter().map(|(_, sink)| sink).collect(),
            };
            let state = Leg::new(&spec, || bridge::RANDOM).unwrap();
            self.bare.apply(Command::AddLeg { leg, state }).0.unwrap();
        }
    }

    fn wire(&mut self, from: Feed, to: Feed, clock_rate: u32) {
        let stream = StreamId { leg: from.0, index: from.1 };
        let sink = SinkId { leg: to.0, index: to.1 };
        let payload = PayloadMap {
            from: from.3,
            to: to.3,
            clock_rate,
            retransmits: false,
            again: None,
            codec: Codec::Other,
        };
        let source =
            Source { stream, own_ssrc: 0xc00 + from.2, cname: "node".into(), reduced_size: false };
        let map = Box::new(RouteMap::new(&[payload], &[]));
        self.bare
            .apply(Command::SetSource { sink, source: Some(Box::new(source)), map })
            .0
            .unwrap();
        self.bare.apply(Command::AddSink { stream, sink }).0.unwrap();
    }

    /// Sends a plain packet from a far end; what the node sends because of it, opened, and to whom.
    fn send(&mut self, from: usize, plain: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let mut buffer = [0; 1500];
        buffer[..plain.len()].copy_from_slice(plain);
        let len = self.fars[from].seal(&mut buffer, plain.len()).unwrap();
        let Far { socket, remote, .. } = self.fars[from];
        assert!(self.bare.receive(socket, remote, &buffer[..len], self.now));
        let out = sent(&mut self.bare);
        assert_eq!(self.bare.frames_lost(), 0);
        out.into_iter().map(|sent| self.open(sent)).collect()
    }

    /// What the browser's path of video carries, as far as is known.
    fn estimate(&mut self) -> Option<u32> {
        let into = Box::new(LegReading::new());
        match self.bare.apply(Command::ReadLeg { leg: BROWSER, into }) {
            (Ok(()), Returned::LegReading(reading)) => reading.transports[0].1.bandwidth,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, mut sent: Sent) -> (usize, Vec<u8>) {
        let to = self.fars.iter().position(|far| far.remote == sent.remote).unwrap();
        assert_eq!(self.fars[to].socket, sent.socket, "sent from the transport's own socket");
        let len = self.fars[to].open(&mut sent.bytes).unwrap();
        sent.bytes.truncate(len);
        (to, sent.bytes)
    }

    fn send_rtp(
        &mut self,
        from: usize,
        ssrc: u32,
        payload_type: u8,
        number: u16,
    ) -> (usize, Vec<u8>) {
        let rtp = Rtp {
            ssrc,
            payload_type,
            sequence: 500 + number,
            timestamp: 160 * u32::from(number),
            payload_len: 100,
            ..Rtp::default()
        };
        let mut buffer = [0; 200];
        let len = rtp.write(&mut buffer);
        let mut out = self.send(from, &buffer[..len]);
        assert_eq!(out.len(), 1);
        out.remove(0)
    }

    /// Lets every stream begin, so that there are numbers to map.
    fn start_media(&mut self) {
        for (from, ssrc, payload_type) in
            [(VIDEO_RTP, 1, 96), (AUDIO_RTP, 2, 111), (SECURE, 3, 97), (PLAIN_RTP, 4, 8)]
        {
            self.send_rtp(from, ssrc, payload_type, 0);
        }
    }
}

/// One m-line: what comes and what goes.
fn line(
    kind: MediaKind,
    (transport, rtcp_transport): (u8, u8),
    ssrc: u32,
    payload_type: u8,
) -> (StreamSpec, SinkSpec) {
    let clock_rate = if kind == MediaKind::Audio { 8000 } else { 90_000 };
    let payload_types = vec![PayloadType {
        number: payload_type,
        clock_rate,
        retransmits: None,
        codec: Codec::Other,
    }];
    let (mid, mid_extension) = (None, None);
    let stream = StreamSpec {
        kind,
        transport,
        rtcp_transport,
        mid: mid.clone(),
        mid_extension,
        ssrcs: vec![(ssrc, None)],
        payload_types,
        rids: Vec::new(),
        rid_extension: None,
        repaired_rid_extension: None,
        audio_level_extension: None,
        open: false,
        events: Vec::new(),
        reports: false,
        paused: false,
    };
    let sink = SinkSpec {
        kind,
        transport,
        rtcp_transport,
        ssrc: 0xc00 + ssrc,
        rtx_ssrc: None,
        cname: "node".into(),
        mid,
        mid_extension,
    };
    (stream, sink)
}

#[test]
fn each_packet_ends_at_its_own_sink_in_the_sinks_numbers() {
    let mut three = Three::new();
    let roads = [
        (VIDEO_RTP, (1, 96), SECURE, (0xc03, 97)),
        (SECURE, (3, 97), VIDEO_RTP, (0xc01, 96)),
        (AUDIO_RTP, (2, 111), PLAIN_RTP, (0xc04, 8)),
        (PLAIN_RTP, (4, 8), AUDIO_RTP, (0xc02, 111)),
    ];
    for number in 0..3 {
        for (from, (ssrc, payload_type), to, arrives_as) in roads {
            let (arrived, bytes) = three.send_rtp(from, ssrc, payload_type, number);
            let header = RtpHeader::parse(&bytes).unwrap();
            assert_eq!(arrived, to);
            assert_eq!((header.ssrc, header.payload_type), arrives_as);
            assert_eq!(header.sequence, 0x1234 + number);
            assert_eq!(header.timestamp, 0x9abc_def0 + 160 * u32::from(number));
            let payload: Vec<u8> = (0..100).collect();
            assert_eq!(bytes[usize::from(header.len)..], payload);
        }
    }
}

#[test]
fn reports_and_feedback_go_by_the_transports_of_rtcp() {
    let mut three = Three::new();
    three.start_media();
    let roads = [
        (VIDEO_RTCP, 1, SECURE, 0xc03),
        (SECURE, 3, VIDEO_RTCP, 0xc01),
        (AUDIO_RTCP, 2, PLAIN_RTCP, 0xc04),
        (PLAIN_RTCP, 4, AUDIO_RTCP, 0xc02),
    ];
    for (from, ssrc, to, sink_ssrc) in roads {
        sender_report_arrives(&mut three, from, ssrc, to, sink_ssrc);
        // The other way: what is said about the sink goes to who feeds it.
        feedback_arrives(&mut three, to, sink_ssrc, from, ssrc);
    }
}

fn sender_report_arrives(three: &mut Three, from: usize, ssrc: u32, to: usize, sink_ssrc: u32) {
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer);
    let info = SenderInfo { ssrc, ntp: 7, timestamp: 160, packets: 9, octets: 9 };
    writer.sender_report(&info).unwrap();
    writer.sdes(ssrc, b"far").unwrap();
    let len = writer.len();
    let out = three.send(from, &buffer[..len]);
    assert_eq!(out.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [to]);
    let mapped = Compound::parse(&out[0].1).unwrap().sound().find_map(|packet| match packet {
        Rtcp::SenderReport(report) => Some(report.info),
        _ => None,
    });
    let expected = SenderInfo {
        ssrc: sink_ssrc,
        ntp: 7,
        timestamp: 0x9abc_def0 + 160,
        packets: 1,
        octets: 100,
    };
    assert_eq!(mapped, Some(expected));
}

fn feedback_arrives(three: &mut Three, from: usize, sink_ssrc: u32, to: usize, ssrc: u32) {
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer);
    let block = ReportBlock { ssrc: sink_ssrc, highest_sequence: 0x1234, ..Default::default() };
    writer.receiver_report(77, &[block]).unwrap();
    writer.nack(77, sink_ssrc, std::iter::once(0x1234)).unwrap();
    writer.pli(77, sink_ssrc).unwrap();
    let len = writer.len();
    let out = three.send(from, &buffer[..len]);
    assert_eq!(out.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [to]);
    let (mut nacked, mut plis, mut reported) = (Vec::new(), Vec::new(), Vec::new());
    for packet in Compound::parse(&out[0].1).unwrap().sound() {
        match packet {
            Rtcp::Nack(nack) => nacked.extend(nack.sequences().map(|s| (nack.media, s))),
            Rtcp::Pli(pli) => plis.push(pli.media),
            Rtcp::ReceiverReport(report) => reported.extend(report.blocks().map(|b| b.ssrc)),
            _ => {}
        }
    }
    assert_eq!((nacked, plis, reported), (vec![(ssrc, 500)], vec![ssrc], vec![ssrc]));
}

#[test]
fn transport_wide_numbers_are_answered_by_the_transport_of_rtcp() {
    let mut three = Three::new();
    let (transport, id) = (TransportId { leg: BROWSER, index: 0 }, 5);
    let answerer = Some(Box::new(Answerer::new(id)));
    three.bare.apply(Command::AnswerTransportCc { transport, answerer }).0.unwrap();
    let mut answered = Vec::new();
    for number in 0..20 {
        let transport_cc = Some((id, number));
        let (ssrc, payload_len) = (1, 100);
        let rtp = Rtp {
            ssrc,
            payload_type: 96,
            sequence: number,
            transport_cc,
            payload_len,
            ..Rtp::default()
        };
        let mut buffer = [0; 200];
        let len = rtp.write(&mut buffer);
        three.now = three.now.plus(Nanos::from_millis(10).0);
        answered.extend(
            three.send(VIDEO_RTP, &buffer[..len]).into_iter().filter(|(to, _)| *to != SECURE),
        );
    }
    assert!(!answered.is_empty());
    for (to, bytes) in answered {
        let mut packets = Compound::parse(&bytes).unwrap().sound();
        let is_about = |packet: Rtcp<'_>| matches!(packet, Rtcp::TransportFeedback(feedback) if feedback.media == 1);
        assert!(to == VIDEO_RTCP && packets.any(is_about), "to {to}");
    }
}

#[test]
fn what_the_transport_of_rtcp_tells_of_the_path_is_weighed_for_that_of_media() {
    let mut three = Three::new();
    three.start_media();
    let transport = TransportId { leg: BROWSER, index: 0 };
    let estimator = Some(Box::new(Bandwidth::new()));
    three.bare.apply(Command::EstimateBandwidth { transport, estimator }).0.unwrap();
    assert_eq!(three.estimate(), None);
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer);
    writer.receiver_report(77, &[]).unwrap();
    writer.remb(77, 9_000_000, std::iter::once(0xc01)).unwrap();
    let len = writer.len();
    three.send(VIDEO_RTCP, &buffer[..len]);
    assert!(three.estimate().is_some());
}

#[test]
fn components_that_share_a_ufrag_answer_their_own_checks() {
    let mut three = Three::new();
    for place in [VIDEO_RTP, VIDEO_RTCP, AUDIO_RTP, AUDIO_RTCP] {
        let mut buffer = [0; 500];
        let len = three.fars[place].check(&mut buffer, 1, false).unwrap();
        let Far { socket, remote, .. } = three.fars[place];
        three.bare.receive(socket, remote, &buffer[..len], START);
        let out = sent(&mut three.bare);
        assert_eq!((out[0].socket, out[0].remote), (socket, remote), "place {place}");
        assert_eq!(stun::Message::parse(&out[0].bytes).unwrap().mapped, Some(remote));
    }
    assert!(three.bare.punt().is_none());
}

#[test]
fn a_check_from_a_new_address_goes_up_for_the_component_of_its_socket() {
    let mut three = Three::new();
    for place in [VIDEO_RTP, VIDEO_RTCP, AUDIO_RTP, AUDIO_RTCP] {
        let mut buffer = [0; 500];
        let len = three.fars[place].check(&mut buffer, 1, false).unwrap();
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 9999));
        three.bare.receive(three.fars[place].socket, elsewhere, &buffer[..len], START);
        let punt = three.bare.punt().unwrap();
        let of = punt.transport.unwrap();
        assert_eq!((of.leg, usize::from(of.index)), (BROWSER, place));
        assert_eq!((punt.remote, &punt.bytes[..]), (elsewhere, &buffer[..len]));
    }
}
