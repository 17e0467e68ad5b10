//! Calls whose legs sit on two workers.

use super::*;
use crate::config::HOP_RING;
use crate::rtcp::{Compound, Rtcp, SenderInfo, Writer};

struct Two {
    workers: [Bare; 2],
    fars: [Far; 2],
    now: Nanos,
}

const IDS: [WorkerId; 2] = [WorkerId(0), WorkerId(1)];

impl Two {
    fn new() -> Self {
        let fars = [
            Far::secure(0, 4000, Suite::AesCm128HmacSha1_80).with_ice("left"),
            Far::secure(0, 5000, Suite::AeadAes256Gcm),
        ];
        let workers = IDS.map(|id| Bare::new(id, 8, 512).unwrap());
        let mut two = Self { workers, fars, now: START };
        let [left, right] = &mut two.workers;
        left.worker.now = START;
        right.worker.now = START;
        left.join(right);
        for (worker, command) in bridge::commands([&two.fars[0], &two.fars[1]], IDS) {
            two.workers[usize::from(worker.0)].apply(command).0.unwrap();
        }
        two.exchange();
        two
    }

    /// Both workers finish their turns; what each has sent.
    fn exchange(&mut self) -> [Vec<Sent>; 2] {
        let mut out = [Vec::new(), Vec::new()];
        for side in [0, 1, 0, 1] {
            self.workers[side].pass(self.now);
            out[side].extend(sent(&mut self.workers[side]));
        }
        assert_eq!(self.workers.each_ref().map(Bare::frames_lost), [0, 0]);
        out
    }

    fn receive(&mut self, side: usize, plain: &[u8]) {
        let mut buffer = [0; 1500];
        buffer[..plain.len()].copy_from_slice(plain);
        let len = self.fars[side].seal(&mut buffer, plain.len()).unwrap();
        let Far { socket, remote, .. } = self.fars[side];
        assert!(self.workers[side].receive(socket, remote, &buffer[..len], self.now));
    }

    fn send_rtp(&mut self, side: usize, rtp: Rtp) {
        let mut buffer = [0; 1500];
        let len = rtp.write(&mut buffer);
        self.receive(side, &buffer[..len]);
    }

    fn send_rtcp(&mut self, side: usize, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buffer = [0; 500];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        let len = writer.len();
        self.receive(side, &buffer[..len]);
    }

    /// What a far end gets in the next turns, opened.
    fn arrivals(&mut self, side: usize) -> Vec<Vec<u8>> {
        let sent = std::mem::take(&mut self.exchange()[side]);
        let open = |mut sent: Sent| {
            let len = self.fars[side].open(&mut sent.bytes).unwrap();
            sent.bytes.truncate(len);
            sent.bytes
        };
        sent.into_iter().map(open).collect()
    }
}

#[test]
fn media_crosses_both_ways_in_the_sinks_numbers() {
    let mut two = Two::new();
    for side in 0..2 {
        for number in 0..3 {
            two.send_rtp(side, video(side, number));
            let arrived = two.arrivals(1 - side);
            let header = RtpHeader::parse(&arrived[0]).unwrap();
            let numbers = SIDES[1 - side];
            assert_eq!(arrived.len(), 1);
            assert_eq!(
                (header.ssrc, header.payload_type),
                (numbers.ours[1], numbers.payload_types[1])
            );
            assert_eq!(header.sequence, 0x1234 + number);
            assert_eq!(header.read_mid(&arrived[0], numbers.mid), Some(&b"v"[..]));
        }
    }
    assert_eq!(two.workers.each_ref().map(|w| w.counters().hops_in), [3, 3]);
}

#[test]
fn retransmissions_cross_with_the_original_number_mapped() {
    let mut two = Two::new();
    two.send_rtp(0, video(0, 0));
    two.exchange();
    let rtx = Rtp {
        ssrc: SIDES[0].theirs[2],
        payload_type: SIDES[0].payload_types[2],
        sequence: 9,
        payload_len: 50,
        ..Rtp::default()
    };
    let mut buffer = [0; 200];
    let len = rtp_with_original(rtx, 30_000, &mut buffer);
    two.receive(0, &buffer[..len]);
    let arrived = two.arrivals(1);
    let header = RtpHeader::parse(&arrived[0]).unwrap();
    assert_eq!((header.ssrc, header.sequence), (SIDES[1].ours[2], 0x5678));
    assert_eq!(arrived[0][usize::from(header.len)..][..2], 0x1234_u16.to_be_bytes());
}

fn rtp_with_original(rtx: Rtp, original: u16, buffer: &mut [u8]) -> usize {
    let len = rtx.write(buffer);
    buffer[12..14].copy_from_slice(&original.to_be_bytes());
    len
}

#[test]
fn reports_cross_both_ways() {
    let mut two = Two::new();
    for side in 0..2 {
        two.send_rtp(side, video(side, 0));
        two.exchange();
        let ssrc = SIDES[side].theirs[1];
        let info = SenderInfo { ssrc, ntp: 5, timestamp: 0, packets: 1, octets: 1 };
        two.send_rtcp(side, |writer| writer.sender_report(&info).unwrap());
        let arrived = two.arrivals(1 - side);
        let mapped =
            Compound::parse(&arrived[0]).unwrap().sound().find_map(|packet| match packet {
                Rtcp::SenderReport(report) => Some((report.info.ssrc, report.info.timestamp)),
                _ => None,
            });
        assert_eq!(mapped, Some((SIDES[1 - side].ours[1], 0x9abc_def0)));
    }
}

#[test]
fn feedback_crosses_back_in_the_sources_numbers() {
    let mut two = Two::new();
    for side in 0..2 {
        two.send_rtp(side, video(side, 0));
        two.exchange();
        let sink_ssrc = SIDES[1 - side].ours[1];
        two.send_rtcp(1 - side, |writer| {
            writer.receiver_report(7, &[]).unwrap();
            writer.nack(7, sink_ssrc, std::iter::once(0x1234)).unwrap();
            writer.pli(7, sink_ssrc).unwrap();
        });
        let arrived = two.arrivals(side);
        assert_eq!(arrived.len(), 1);
        assert_eq!(requests(&arrived[0]), [Request::Nack(30_000), Request::KeyFrame]);
    }
}

#[test]
fn a_sink_that_becomes_ready_asks_across_for_a_key_frame() {
    let mut two = Two::new();
    for (side, id) in IDS.into_iter().enumerate() {
        two.now = two.now.plus(Nanos::from_millis(300).0);
        // A fresh key ends the old contexts on both ends.
        let mut renewed = Far::secure(0, 7000 + side as u16, Suite::AeadAes128Gcm);
        let keys = renewed.node_keys().unwrap();
        let transport = TransportId { leg: bridge::leg(id, side), index: 0 };
        two.workers[side].worker.now = two.now;
        two.workers[side].apply(Command::SetKeys { transport, keys }).0.unwrap();
        renewed.remote = two.fars[side].remote;
        two.fars[side] = renewed;
        two.workers[1 - side].worker.now = two.now;
        let arrived = two.arrivals(1 - side);
        let asked: Vec<_> = arrived.iter().flat_map(|bytes| requests(bytes)).collect();
        assert_eq!(asked, [Request::KeyFrame], "side {side}");
    }
    let (out, taken) = two.workers.iter().fold((0, 0), |(out, taken), worker| {
        (out + worker.counters().hops_out, taken + worker.counters().hops_in)
    });
    assert_eq!(out, taken, "each hop that is taken was counted when it was handed over");
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Nack(u16),
    KeyFrame,
}

fn requests(datagram: &[u8]) -> Vec<Request> {
    let mut requests = Vec::new();
    for packet in Compound::parse(datagram).unwrap().sound() {
        match packet {
            Rtcp::Nack(nack) => requests.extend(nack.sequences().map(Request::Nack)),
            Rtcp::Pli(_) => requests.push(Request::KeyFrame),
            _ => {}
        }
    }
    requests
}

#[test]
fn a_full_hop_ring_is_a_counted_drop() {
    let mut two = Two::new();
    let number = |at: usize| u16::try_from(at).unwrap();
    for at in 0..HOP_RING + 5 {
        two.send_rtp(0, audio(0, number(at)));
    }
    assert_eq!(two.workers[0].counters().drops.of(DropReason::HopRing), 5);
    assert_eq!(two.arrivals(1).len(), HOP_RING);
    two.send_rtp(0, audio(0, number(HOP_RING + 5)));
    assert_eq!(two.arrivals(1).len(), 1, "the ring is open again");
}

#[test]
fn one_stream_feeds_sinks_here_and_there() {
    for there_first in [false, true] {
        let mut two = Two::new();
        // A third leg beside the first one; its audio sink takes the first leg's audio too.
        let third = Far::secure(3, 8000, Suite::AeadAes128Gcm);
        let spec = bridge::spec(&third, 1);
        let leg = LegId { worker: IDS[0], slot: 5, generation: 0 };
        let state = crate::leg::Leg::new(&spec, || bridge::RANDOM).unwrap();
        two.workers[0].apply(Command::AddLeg { leg, state }).0.unwrap();
        let stream = StreamId { leg: bridge::leg(IDS[0], 0), index: AUDIO };
        let here = SinkId { leg, index: AUDIO };
        two.workers[0].apply(bridge::feed(here, stream, 0)).0.unwrap();
        two.workers[0].apply(Command::AddSink { stream, sink: here }).0.unwrap();
        if !there_first {
            let sink = SinkId { leg: bridge::leg(IDS[1], 1), index: AUDIO };
            two.workers[0].apply(Command::RemoveSink { stream, sink }).0.unwrap();
            two.workers[0].apply(Command::AddSink { stream, sink }).0.unwrap();
        }
        two.send_rtp(0, audio(0, 0));
        let [here, there] = two.exchange();
        assert_eq!(here.iter().map(|s| s.remote).collect::<Vec<_>>(), [third.remote]);
        assert_eq!(there.iter().map(|s| s.remote).collect::<Vec<_>>(), [two.fars[1].remote]);
    }
}

#[test]
fn a_hop_to_a_leg_that_is_gone_is_dropped_there() {
    let mut two = Two::new();
    two.workers[1].apply(Command::RemoveLeg { leg: bridge::leg(IDS[1], 1) }).0.unwrap();
    two.send_rtp(0, audio(0, 0));
    assert!(two.arrivals(1).is_empty());
    assert_eq!(two.workers[1].counters().drops.of(DropReason::SinkGone), 1);
}
