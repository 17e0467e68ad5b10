//! ICE over TCP.

use super::*;
use crate::command::SocketId;
use crate::config::PAYLOAD_MAX;
use crate::edge::outbox::STALE;
use crate::edge::stream::{SILENT, UNANSWERED};

/// Datagrams that find no room until the kernel has surely taken all that it takes.
const REFUSED: u64 = 200;

fn ufrag() -> String {
    let prefix = WORKER.ufrag_prefix();
    format!("{}abcd", std::str::from_utf8(&prefix).unwrap())
}

/// A client whose first check has reached the worker.
fn connected(rig: &mut Rig) -> Client {
    let mut client = rig.client();
    client.send(&framed(&check(&ufrag())));
    let (kind, bytes) = rig.hopped();
    let remote = client.address();
    assert_eq!(kind, HopKind::Arrival { to: WORKER, socket: SocketId::STREAMS, remote });
    assert_eq!(bytes, check(&ufrag()));
    client
}

#[test]
fn datagrams_in_a_stream_go_to_the_worker_that_the_first_check_names() {
    let mut rig = Rig::new();
    let mut client = connected(&mut rig);
    let (handshake, media) = ([22; 100], [0x80; 1200]);
    let bytes = [framed(&handshake), framed(&[]), framed(&media)].concat();
    let (head, tail) = bytes.split_at(150);
    client.send(head);
    assert_eq!(rig.hopped().1, handshake);
    client.send(tail);
    assert_eq!(rig.hopped().1, media);
    assert_eq!(rig.drops(DropReason::Truncated), 1, "the empty one");
}

#[test]
fn what_the_worker_sends_comes_in_frames() {
    let mut rig = Rig::new();
    let mut client = connected(&mut rig);
    let remote = client.address();
    rig.hop(HopKind::Departure { remote }, &[1, 2, 3]);
    rig.hop(HopKind::Departure { remote }, &[0x80; 500]);
    assert_eq!(rig.read(&mut client, 5), [0, 3, 1, 2, 3]);
    assert_eq!(rig.read(&mut client, 502), framed(&[0x80; 500]));
    let sent = Command::Transmit { socket: SocketId::STREAMS, remote, bytes: [9].into() };
    rig.apply(sent).unwrap();
    assert_eq!(rig.read(&mut client, 3), [0, 1, 9]);
    rig.hop(HopKind::Departure { remote: "192.0.2.1:9".parse().unwrap() }, &[1]);
    rig.wait_for_drop(DropReason::StreamGone);
}

#[test]
fn a_first_datagram_that_names_no_worker_closes_the_stream() {
    for (first, reason) in [
        (check("~~"), DropReason::StunUnknownUfrag),
        (check("vvab"), DropReason::StunUnknownUfrag),
        (request(stun::BINDING, &[], true), DropReason::StunUnsolicited),
        (request(3, &[(attribute::USERNAME, b"03ab:x")], true), DropReason::StunUnsolicited),
    ] {
        let mut rig = Rig::new();
        let mut client = rig.client();
        client.send(&framed(&first));
        rig.read_to_end(&mut client);
        assert_eq!(rig.drops(reason), 1);
    }
}

#[test]
fn a_worker_that_is_not_there_is_a_counted_drop() {
    let mut rig = Rig::new();
    let mut client = rig.client();
    client.send(&framed(&check("00ab")));
    rig.wait_for_drop(DropReason::HopRing);
}

#[test]
fn a_frame_that_is_too_long_closes_the_stream() {
    let mut rig = Rig::new();
    let mut client = connected(&mut rig);
    client.send(&framed(&[0x80; PAYLOAD_MAX + 1]));
    rig.read_to_end(&mut client);
    assert_eq!(rig.drops(DropReason::StreamFraming), 1);
}

#[test]
fn a_stream_that_is_never_answered_or_falls_silent_is_closed() {
    let mut rig = Rig::new();
    let mut unanswered = connected(&mut rig);
    rig.wait(UNANSWERED);
    rig.read_to_end(&mut unanswered);
    let mut client = connected(&mut rig);
    rig.hop(HopKind::Departure { remote: client.address() }, &[1]);
    rig.read(&mut client, 3);
    rig.wait(UNANSWERED);
    client.send(&framed(&[0x80; 20]));
    rig.hopped();
    rig.wait(UNANSWERED);
    assert_eq!(rig.edge.streams.len(), 1);
    rig.wait(SILENT);
    rig.read_to_end(&mut client);
    assert_eq!(rig.drops(DropReason::StreamLate), 2);
}

#[test]
fn media_for_a_peer_that_does_not_read_is_dropped_and_what_it_reads_is_whole() {
    let mut rig = Rig::new();
    let mut client = connected(&mut rig);
    let remote = client.address();
    let mut sent = 0u32;
    while rig.drops(DropReason::StreamStale) < REFUSED {
        sent += 1;
        let datagram = [&[0x80, 0][..], &sent.to_be_bytes(), &[7; 1194]].concat();
        rig.hop(HopKind::Departure { remote }, &datagram);
        rig.turn();
    }
    let key = rig.edge.streams.named((SocketId::STREAMS, remote)).unwrap();
    assert!(rig.edge.streams.at(key).is_some_and(|stream| !stream.writable));
    // An answer finds room where media found none.
    let answer = Command::Transmit { socket: SocketId::STREAMS, remote, bytes: [1; 20].into() };
    rig.apply(answer).unwrap();
    // What has waited here is old by then.
    rig.edge.mark(key);
    rig.wait(STALE);
    let (mut last, mut frames) = (0, 0u32);
    loop {
        let head = rig.read(&mut client, 2);
        let datagram = rig.read(&mut client, usize::from(u16::from_be_bytes([head[0], head[1]])));
        if datagram == [1; 20] {
            break;
        }
        let number = u32::from_be_bytes([datagram[2], datagram[3], datagram[4], datagram[5]]);
        assert!(datagram.len() == 1200 && number > last, "{number} after {last}");
        (last, frames) = (number, frames + 1);
    }
    let stale = rig.drops(DropReason::StreamStale);
    assert_eq!(u64::from(sent), u64::from(frames) + stale, "each was read or counted");
    assert!(stale > REFUSED, "what waited here was dropped too: {stale}");
}
