//! Raw transports: whatever comes passes unread.

use super::pipes::{Ends, Parties, leg_of, plain, rtp, secure, stream_of};
use super::*;
use crate::learning::Learning;
use crate::leg::Leg;
use crate::pipe::{Filter, MediaFilter, Pipe, Pipes};

/// Two parties whose transports are raw.
fn fax() -> Parties {
    let mut parties = Parties::new([plain(0, false), plain(1, false)]);
    for party in [0, 1] {
        parties.apply(Command::RemoveLeg { leg: leg_of(party) }).unwrap();
        let mut spec = parties.spec(party);
        spec.transports[0].raw = true;
        parties.add(party, &spec);
    }
    parties.join(0, &[1]);
    parties.join(1, &[0]);
    parties
}

/// Datagrams that begin like every protocol that the node knows, like none, and like broken ones.
fn datagrams() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = (0..=255).map(|first| vec![first, 0, 6, 1, 2, 3, 4, 5, 6]).collect();
    all.extend([vec![0x80], vec![0x80, 200], rtp(0, 0, 0), rtp(0, 0, 0), vec![7; 1400]]);
    all
}

#[test]
fn everything_passes_unread() {
    let mut parties = fax();
    let mut bytes = 0;
    for datagram in datagrams() {
        bytes += datagram.len() as u64;
        for (from, to) in [(0, 1), (1, 0)] {
            assert_eq!(parties.send(from, 0, &datagram), [(to, 0, datagram.clone())]);
        }
    }
    assert_eq!(parties.bare.counters().drops.total(), 0);
    assert!(parties.bare.punt().is_none());
    let counters = parties.transport(0, 0);
    assert_eq!((counters.bytes_in, counters.bytes_out), (bytes, bytes));
}

#[test]
fn only_its_far_side_is_let_in_and_it_may_be_learnt() {
    let mut parties = fax();
    let (socket, thief) = (parties.ends[0][0].socket, SocketAddr::from(([192, 0, 2, 9], 9)));
    for datagram in datagrams() {
        assert!(parties.receive(socket, thief, &datagram).is_empty());
    }
    assert_eq!(parties.drops(DropReason::UnknownRemote), 261);
    assert_eq!(parties.transport(0, 0).strangers, 261);

    let (transport, learning) =
        (TransportId { leg: leg_of(0), index: 0 }, Learning::Once { hint: None, grace: Nanos(0) });
    let remote = SocketAddr::from(([192, 0, 2, 1], 1));
    parties.apply(Command::SetRemote { transport, remote, learning }).unwrap();
    assert_eq!(parties.receive(socket, thief, &[0, 1, 2]), [(1, 0, vec![0, 1, 2])]);
}

#[test]
fn hold_and_filters_keep_it_back() {
    let mut parties = fax();
    parties.apply(Command::PauseStream { stream: stream_of(0), paused: true }).unwrap();
    assert!(parties.send(0, 0, &[1, 2, 3]).is_empty());
    parties.apply(Command::PauseStream { stream: stream_of(0), paused: false }).unwrap();
    let to = TransportId { leg: leg_of(1), index: 0 };
    let filter = |media| Filter { media, blocks_dtmf: false };
    for media in [MediaFilter::Block, MediaFilter::Silence] {
        let pipes = Pipes::from_iter([Pipe { media: to, reports: to, filter: filter(media) }]);
        parties.apply(Command::SetPipes { stream: stream_of(0), pipes }).unwrap();
        assert!(parties.send(0, 0, &[1, 2, 3]).is_empty());
    }
    let pipes = Pipes::new();
    parties.apply(Command::SetPipes { stream: stream_of(0), pipes }).unwrap();
    assert!(parties.send(0, 0, &[1, 2, 3]).is_empty());
    let reasons = [
        DropReason::StreamPaused,
        DropReason::MediaBlocked,
        DropReason::SilenceUnknown,
        DropReason::NoSink,
    ];
    assert_eq!(reasons.map(|reason| parties.drops(reason)), [1; 4]);
}

#[test]
fn what_is_protected_is_never_raw_nor_target_of_it() {
    let suite = Suite::AesCm128HmacSha1_80;
    let mut parties = Parties::new([plain(0, false), secure(1, false, suite)]);
    let mut spec = parties.spec(1);
    spec.transports[0].raw = true;
    assert_eq!(Leg::new(&spec, || 0).unwrap_err(), Refusal::Misuse);
    let ends: Ends = vec![Far::plain(5, 1).with_ice("ufrag")];
    spec.transports = ends.iter().map(Far::transport).collect();
    spec.transports[0].raw = true;
    assert_eq!(Leg::new(&spec, || 0).unwrap_err(), Refusal::Misuse);

    parties.apply(Command::RemoveLeg { leg: leg_of(0) }).unwrap();
    let mut spec = parties.spec(0);
    spec.transports[0].raw = true;
    parties.add(0, &spec);
    parties.join(0, &[1]);
    assert!(parties.send(0, 0, &rtp(0, 0, 0)).is_empty(), "it would leave in the clear");
    assert_eq!(parties.drops(DropReason::SinkNotReady), 1);
}

#[test]
fn the_next_leg_on_its_socket_is_read_again() {
    let mut parties = fax();
    parties.apply(Command::RemoveLeg { leg: leg_of(0) }).unwrap();
    let spec = parties.spec(0);
    parties.add(0, &spec);
    parties.join(0, &[1]);
    assert!(parties.send(0, 0, &[0xff; 9]).is_empty());
    assert_eq!(parties.drops(DropReason::UnknownClass), 1);
}

#[cfg(not(feature = "libsrtp"))]
#[test]
fn it_is_raw_in_the_next_process_too() {
    let mut parties = fax();
    let exported = parties.bare.export(parties.now);
    parties.bare = bare();
    parties.bare.install(exported, parties.now).unwrap();
    assert_eq!(parties.send(0, 0, &[0xff; 9]), [(1, 0, vec![0xff; 9])]);
}
