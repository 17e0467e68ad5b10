//! Reports in place of parties that send none.

use super::pipes::{Arrival, Parties, leg_of, line, plain, rtp, secure, stream_of};
use super::*;
use crate::command::StreamSpec;
use crate::rtcp::{Compound, ReportBlock, Rtcp, SenderInfo, Writer};
use crate::stream::Stream;

/// Two parties, with RTCP of its own or not; the left one sends none, and the node does in its place.
fn talk(left: bool, right: bool) -> Parties {
    let ends = [plain(0, left), secure(1, right, Suite::AesCm128HmacSha1_80)];
    let mut parties = Parties::new(ends);
    let spec = StreamSpec { reports: true, ..line(0, u8::from(left)) };
    let state = Box::new(Stream::new(&spec));
    parties.apply(Command::SetStream { stream: stream_of(0), state }).unwrap();
    parties.join(0, &[1]);
    parties.join(1, &[0]);
    parties
}

/// Lets time pass, with a packet of the left party every 20 ms or none; what is reported meanwhile.
fn pass(parties: &mut Parties, seconds: u16, first: Option<u16>) -> Vec<Arrival> {
    let mut reported = Vec::new();
    for step in 0..seconds * 100 {
        parties.now = parties.now.plus(Nanos::from_millis(10).0);
        if let Some(first) = first.filter(|_| step % 2 == 0) {
            assert_eq!(parties.send(0, 0, &rtp(0, 0, first + step / 2)).len(), 1);
        }
        parties.bare.pass(parties.now);
        reported.extend(parties.arrivals());
    }
    reported
}

fn sent_by(bytes: &[u8]) -> Option<SenderInfo> {
    Compound::parse(bytes).unwrap().sound().find_map(|packet| match packet {
        Rtcp::SenderReport(report) => Some(report.info),
        _ => None,
    })
}

fn received(bytes: &[u8]) -> Vec<ReportBlock> {
    let packets = Compound::parse(bytes).unwrap().sound();
    let blocks = packets.filter_map(|packet| match packet {
        Rtcp::ReceiverReport(report) => Some(report.blocks().collect::<Vec<_>>()),
        _ => None,
    });
    blocks.flatten().collect()
}

fn names(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let packets = Compound::parse(bytes).unwrap().sound();
    let names = packets.filter_map(|packet| match packet {
        Rtcp::Sdes(sdes) => Some(sdes.names().map(|(ssrc, name)| (ssrc, name.to_vec()))),
        _ => None,
    });
    names.flatten().collect()
}

#[test]
fn both_sides_hear_of_the_stream_every_five_seconds() {
    for (left, right) in [(false, false), (true, true), (true, false)] {
        let mut parties = talk(left, right);
        let reported = pass(&mut parties, 20, Some(0));
        let to = |party: usize, apart: bool| {
            let place = usize::from(apart);
            reported.iter().filter(move |(p, at, _)| (*p, *at) == (party, place))
        };
        assert_eq!((to(0, left).count(), to(1, right).count(), reported.len()), (5, 5, 10));
        let (mut last, mut previous) = (0, 0);
        for (.., bytes) in to(1, right) {
            let info = sent_by(bytes).unwrap();
            assert_eq!(info.ssrc, 0xaaaa_0000);
            assert_eq!(info.octets, 160 * info.packets);
            assert!(info.packets > last && info.ntp > previous);
            // 160 ticks with each packet, the first of them at 0, and less than one behind the last.
            let ticks = info.timestamp - 160 * (info.packets - 1);
            assert!(ticks < 160, "{info:?}");
            (last, previous) = (info.packets, info.ntp);
            assert_eq!(names(bytes), [(info.ssrc, b"0.0.0@causeway".to_vec())]);
        }
        for (.., bytes) in to(0, left) {
            let blocks = received(bytes);
            assert_eq!(
                (blocks.len(), blocks[0].ssrc, blocks[0].cumulative_lost),
                (1, 0xaaaa_0000, 0)
            );
        }
    }
}

#[test]
fn nothing_is_said_of_what_does_not_come_and_no_sender_report_of_what_does_not_pass() {
    let mut parties = talk(false, false);
    assert!(pass(&mut parties, 10, None).is_empty());
    assert_eq!(pass(&mut parties, 6, Some(0)).len(), 4, "at once, and once more");
    pass(&mut parties, 6, None);
    assert!(pass(&mut parties, 10, None).is_empty());
    parties.apply(Command::PauseStream { stream: stream_of(0), paused: true }).unwrap();
    parties.now = parties.now.plus(1);
    parties.send(0, 0, &rtp(0, 0, 400));
    let reported = pass(&mut parties, 6, None);
    assert_eq!(reported.len(), 1);
    assert_eq!(received(&reported[0].2).len(), 1);
}

#[test]
fn whoever_reports_itself_needs_nobody_to() {
    let mut parties = talk(false, false);
    pass(&mut parties, 4, Some(0));
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer);
    let info = SenderInfo { ssrc: 0xaaaa_0000, ntp: 1, timestamp: 2, packets: 3, octets: 4 };
    writer.sender_report(&info).unwrap();
    let len = writer.len();
    assert_eq!(parties.send(0, 0, &buffer[..len]).len(), 1);
    assert!(pass(&mut parties, 19, Some(200)).is_empty());
    assert_eq!(pass(&mut parties, 6, Some(1200)).len(), 4, "it has fallen silent");
}

#[test]
fn a_side_that_is_gone_or_not_ready_is_told_nothing() {
    let mut parties = talk(true, true);
    parties.apply(Command::RemoveLeg { leg: leg_of(1) }).unwrap();
    parties.join(0, &[1]);
    for number in 0..10 {
        parties.send(0, 0, &rtp(0, 0, number));
    }
    let before = parties.bare.counters().drops.total();
    let reported = pass(&mut parties, 6, None);
    assert_eq!(reported.iter().map(|(party, ..)| *party).collect::<Vec<_>>(), [0]);
    assert_eq!(parties.bare.counters().drops.total(), before);
}
