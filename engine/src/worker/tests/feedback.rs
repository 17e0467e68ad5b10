//! RTCP and retransmissions through one worker.

use super::*;
use crate::route::TransportCc;
use crate::rtcp::{Compound, Rtcp, Writer};
use crate::twcc::Answerer;

/// The SSRCs that a datagram asks key frames of.
pub(super) fn key_frames(datagram: &[u8]) -> Vec<u32> {
    let packets = Compound::parse(datagram).unwrap().sound();
    packets.filter_map(|p| if let Rtcp::Pli(pli) = p { Some(pli.media) } else { None }).collect()
}

pub(super) fn send_rtcp(
    call: &mut Call,
    side: usize,
    write: impl FnOnce(&mut Writer<'_>),
) -> Vec<Sent> {
    let mut buffer = [0; 1200];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    let len = writer.len();
    let packet = call.sealed_rtcp(side, &buffer[..len]);
    call.receive(side, &packet)
}

#[test]
fn a_nack_comes_back_as_the_sources_number_and_the_repeat_goes_as_the_sinks() {
    let mut call = Call::new();
    for number in [0, 1, 3] {
        call.send(0, video(0, number));
    }
    let sink_ssrc = SIDES[1].ours[1];
    let sent = send_rtcp(&mut call, 1, |writer| {
        writer.receiver_report(7, &[]).unwrap();
        writer.nack(7, sink_ssrc, std::iter::once(0x1234 + 2)).unwrap();
    });
    let arrived = call.open_rtcp(0, &sent);
    let nacked: Vec<_> = Compound::parse(&arrived[0])
        .unwrap()
        .sound()
        .filter_map(|packet| match packet {
            Rtcp::Nack(nack) => Some((nack.media, nack.sequences().collect::<Vec<_>>())),
            _ => None,
        })
        .collect();
    assert_eq!(nacked, [(SIDES[0].theirs[1], vec![30_002])]);

    let rtx = Rtp {
        ssrc: SIDES[0].theirs[2],
        payload_type: SIDES[0].payload_types[2],
        sequence: 77,
        payload_len: 100,
        ..video(0, 2)
    };
    let mut buffer = [0; 300];
    let len = rtx.write(&mut buffer);
    buffer[12..14].copy_from_slice(&30_002_u16.to_be_bytes());
    let len = call.fars[0].seal(&mut buffer, len).unwrap();
    let sent = call.receive(0, &buffer[..len]);
    let opened = call.open(1, &sent);
    let (header, bytes) = &opened[0];
    assert_eq!((header.ssrc, header.payload_type), (SIDES[1].ours[2], SIDES[1].payload_types[2]));
    assert_eq!(bytes[usize::from(header.len)..][..2], (0x1234_u16 + 2).to_be_bytes());
}

#[test]
fn a_new_sink_asks_for_a_key_frame_and_so_does_one_that_becomes_ready() {
    let mut call = Call::new();
    let (stream, sink) = (stream(0, VIDEO), sink(1, VIDEO));
    call.apply(Command::RemoveSink { stream, sink }).unwrap();
    let asks = |call: &mut Call, command: Command| {
        call.now = call.now.plus(Nanos::from_millis(300).0);
        call.apply(command).unwrap();
        let sent = call.sent();
        let arrived = call.open_rtcp(0, &sent);
        arrived.iter().flat_map(|bytes| key_frames(bytes)).collect::<Vec<_>>()
    };
    let expected = [SIDES[0].theirs[1]];
    assert_eq!(asks(&mut call, Command::AddSink { stream, sink }), expected);
    let keys = call.fars[1].node_keys().unwrap();
    assert_eq!(asks(&mut call, Command::SetKeys { transport: transport(1), keys }), expected);
    let (socket, remote) = (SocketId(1), SocketAddr::from(([127, 0, 0, 1], 5555)));
    let pair = Command::InstallPair {
        transport: transport(1),
        socket,
        remote,
        nominated: true,
        generation: 0,
    };
    assert_eq!(asks(&mut call, pair), expected);
}

#[test]
fn key_frames_are_asked_for_at_a_bounded_rate_and_none_is_forgotten() {
    let mut call = Call::new();
    call.apply(Command::AddSink { stream: stream(0, VIDEO), sink: sink(1, VIDEO) }).unwrap();
    assert!(call.sent().is_empty(), "it was asked a moment ago");
    let sent = call.send(0, video(0, 0));
    assert!(sent.iter().all(|sent| sent.remote == call.fars[1].remote));
    call.now = call.now.plus(Nanos::from_millis(300).0);
    let sent = call.send(0, video(0, 1));
    let asked = call.open_rtcp(0, &sent);
    assert_eq!(key_frames(&asked[0]), [SIDES[0].theirs[1]]);
}

fn with_transport_cc(call: &mut Call, transport_cc: TransportCc) {
    let command = bridge::feed(sink(1, VIDEO), stream(0, VIDEO), 0);
    let Command::SetSource { sink, source, map } = command else { panic!() };
    let map = Box::new(map.with_transport_cc(transport_cc));
    call.apply(Command::SetSource { sink, source, map }).unwrap();
}

fn transport_feedback(datagrams: &[Vec<u8>]) -> Vec<u32> {
    let packets = datagrams.iter().flat_map(|bytes| Compound::parse(bytes).unwrap().sound());
    packets
        .filter_map(|packet| match packet {
            Rtcp::TransportFeedback(feedback) => Some(feedback.media),
            _ => None,
        })
        .collect()
}

#[test]
fn the_worker_answers_transport_cc_where_it_is_told_to() {
    let mut call = Call::new();
    let answerer = Some(Box::new(Answerer::new(SIDES[0].transport_cc)));
    call.apply(Command::AnswerTransportCc { transport: transport(0), answerer }).unwrap();
    let mut answers = Vec::new();
    for number in 0..20 {
        call.now = call.now.plus(Nanos::from_millis(10).0);
        let numbered =
            Rtp { transport_cc: Some((SIDES[0].transport_cc, number)), ..video(0, number) };
        let sent = call.send(0, numbered);
        let opened = call.open(1, &sent);
        let (header, bytes) = &opened[0];
        assert_eq!(header.extension(bytes, SIDES[1].transport_cc), None, "taken out");
        answers.extend(call.open_rtcp(0, &sent));
    }
    assert_eq!(transport_feedback(&answers), [SIDES[0].theirs[1]]);
}

#[test]
fn what_the_worker_has_confirmed_it_repeats_itself() {
    let mut call = Call::new();
    let missed = SIDES[1].ours[1];
    let ask = |call: &mut Call| {
        let sent = send_rtcp(call, 1, |writer| {
            writer.nack(7, missed, std::iter::once(0x1234)).unwrap();
        });
        (call.open(1, &sent), call.open_rtcp(0, &sent))
    };
    // The sender is asked as long as nobody but it could have the packet.
    call.send(0, video(0, 0));
    let (repeats, asked) = ask(&mut call);
    assert_eq!((repeats.len(), asked.len()), (0, 1));

    let answerer = Some(Box::new(Answerer::new(SIDES[0].transport_cc)));
    call.apply(Command::AnswerTransportCc { transport: transport(0), answerer }).unwrap();
    let sent = call.send(0, video(0, 1));
    let (before, media) = call.open(1, &sent).remove(0);
    let sent = send_rtcp(&mut call, 1, |writer| {
        writer.nack(7, missed, std::iter::once(before.sequence)).unwrap();
    });
    let (header, repeat) = call.open(1, &sent).remove(0);
    assert_eq!(header.ssrc, SIDES[1].ours[2]);
    assert_eq!(header.payload_type, SIDES[1].payload_types[2]);
    let payload = header.payload(&repeat).unwrap();
    assert_eq!(payload[..2], before.sequence.to_be_bytes());
    assert_eq!(&payload[2..], before.payload(&media).unwrap());
}

#[test]
fn transport_cc_passes_end_to_end_otherwise() {
    let mut call = Call::new();
    let (from, to) = (SIDES[0].transport_cc, SIDES[1].transport_cc);
    with_transport_cc(&mut call, TransportCc::EndToEnd { from, to });
    for number in 0..20 {
        call.now = call.now.plus(Nanos::from_millis(10).0);
        let sent = call.send(0, Rtp { transport_cc: Some((from, number)), ..video(0, number) });
        assert_eq!(sent.len(), 1, "the worker does not answer");
        let opened = call.open(1, &sent);
        let (header, bytes) = &opened[0];
        assert_eq!(header.read_transport_sequence(bytes, to), Some(number));
    }
    let sink_ssrc = SIDES[1].ours[1];
    // One packet received, one delta.
    let body = [0, 0, 0, 1, 0, 0, 1, 0, 0x20, 1, 4, 0];
    let sent = send_rtcp(&mut call, 1, |writer| {
        writer.transport_feedback(7, sink_ssrc, &body).unwrap();
    });
    let arrived = call.open_rtcp(0, &sent);
    assert_eq!(transport_feedback(&arrived), [SIDES[0].theirs[1]]);
}

#[test]
fn rtcp_about_nobody_is_counted() {
    let mut call = Call::new();
    call.apply(Command::RemoveSink { stream: stream(0, AUDIO), sink: sink(1, AUDIO) }).unwrap();
    call.apply(Command::RemoveSink { stream: stream(0, VIDEO), sink: sink(1, VIDEO) }).unwrap();
    let dropped = call.dropped(|call| {
        assert!(send_rtcp(call, 0, |writer| writer.pli(7, 0xdead).unwrap()).is_empty());
    });
    assert_eq!(dropped, [DropReason::RtcpNoTarget]);
}
