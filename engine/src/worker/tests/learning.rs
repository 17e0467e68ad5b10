//! Where the far side of a transport without ICE is: what packets may say about it.
//!
//! Whatever leaves for an address that is no party's fails the test that sees it
//! ([`Parties::arrivals`]), so nothing here leaks.

use super::pipes::{Ends, Parties, every_report, leg_of, plain, rtp, secure};
use super::*;
use crate::command::PuntKind;
use crate::learning::Learning;

/// A second, as most tests here have it.
const GRACE: Nanos = Nanos::from_millis(1000);
/// The party that learns, and the one that it talks to.
const PHONE: usize = 0;
const OTHER: usize = 1;

const ONCE: Learning = Learning::Once { hint: None, grace: GRACE };

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn id(place: u8) -> TransportId {
    TransportId { leg: leg_of(PHONE), index: place }
}

/// Two parties; the phone's side learns, and its description says that it is at `signalled`.
fn talk(apart: bool, learning: Learning, signalled: Option<SocketAddr>) -> Parties {
    let ends = [plain(0, apart), plain(1, apart)];
    set_up(ends.into(), learning, signalled)
}

fn set_up(ends: Vec<Ends>, learning: Learning, signalled: Option<SocketAddr>) -> Parties {
    let mut parties = Parties::new(ends);
    parties.apply(Command::RemoveLeg { leg: leg_of(PHONE) }).unwrap();
    let mut spec = parties.spec(PHONE);
    for transport in &mut spec.transports {
        transport.learning = learning;
        transport.remote = signalled.or(transport.remote);
    }
    parties.add(PHONE, &spec);
    parties.join(PHONE, &[OTHER]);
    parties.join(OTHER, &[PHONE]);
    parties
}

trait Learns {
    /// A packet of the phone's keys, or nobody's, comes to the phone's socket from `remote`; how many
    /// packets left.
    fn comes(&mut self, place: usize, remote: SocketAddr, plain: &[u8]) -> usize;
    fn media(&mut self, remote: SocketAddr, number: u16) -> usize;
    /// Where what the other party sends leaves for.
    fn leaves_for(&mut self, number: u16) -> SocketAddr;
    fn remote(&mut self, place: usize) -> Option<SocketAddr>;
    fn strangers(&mut self, place: usize) -> u64;
    fn pass(&mut self, ms: u64);
}

impl Learns for Parties {
    fn comes(&mut self, place: usize, remote: SocketAddr, plain: &[u8]) -> usize {
        let packet = self.seal(PHONE, place, plain);
        let socket = self.ends[PHONE][place].socket;
        self.receive(socket, remote, &packet).len()
    }

    fn media(&mut self, remote: SocketAddr, number: u16) -> usize {
        self.comes(0, remote, &rtp(0, 0, number))
    }

    fn leaves_for(&mut self, number: u16) -> SocketAddr {
        let packet = self.seal(OTHER, 0, &rtp(1, 0, number));
        let Far { socket, remote, .. } = self.ends[OTHER][0];
        assert!(self.bare.receive(socket, remote, &packet, self.now));
        let out = sent(&mut self.bare);
        assert_eq!(out.len(), 1);
        out[0].remote
    }

    fn remote(&mut self, place: usize) -> Option<SocketAddr> {
        self.transport(PHONE, place).remote
    }

    fn strangers(&mut self, place: usize) -> u64 {
        self.transport(PHONE, place).strangers
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(Nanos::from_millis(ms).0);
    }
}

#[test]
fn whoever_sprays_a_phone_that_sends_from_where_it_said_takes_and_spoils_nothing() {
    let signalled = at(1, 4000);
    let mut parties =
        talk(false, Learning::Once { hint: Some(at(2, 0).ip()), grace: GRACE }, Some(signalled));
    let mut number = 0;
    for ms in 0..3000 {
        parties.pass(1);
        // From before the phone's first packet on, a packet a millisecond from each of two hosts.
        for injector in [at(66, 6000 + (ms % 50)), at(67, 6000)] {
            assert_eq!(parties.media(injector, ms), 0);
        }
        if ms >= 500 && ms % 20 == 0 {
            let packet = rtp(0, 0, number);
            let socket = parties.ends[PHONE][0].socket;
            let arrived = parties.receive(socket, signalled, &packet);
            assert_eq!(arrived, [(OTHER, 0, packet)], "packet {number}");
            number += 1;
        }
        assert_eq!(parties.leaves_for(ms), signalled);
    }
    assert_eq!(number, 125);
    assert_eq!(parties.strangers(0), 6000);
    assert_eq!(parties.drops(DropReason::UnknownRemote), 6000);
}

#[test]
fn hosts_that_are_spoken_for_settle_it_at_once() {
    let (signalled, hint) = (at(1, 4000), at(2, 0).ip());
    for from in [at(1, 4001), at(2, 7777), at(2, 4000)] {
        let mut parties =
            talk(false, Learning::Once { hint: Some(hint), grace: GRACE }, Some(signalled));
        assert_eq!(parties.media(at(66, 1), 0), 0);
        parties.pass(10);
        assert_eq!(parties.media(from, 1), 1, "{from}");
        assert_eq!(parties.leaves_for(0), from);
        for stranger in [at(66, 1), signalled, at(1, 4002), at(2, 1)] {
            assert_eq!(parties.media(stranger, 2), 0);
        }
        parties.pass(60_000);
        assert_eq!(parties.media(at(66, 1), 3), 0);
        assert_eq!(parties.strangers(0), 6);
        assert_eq!(parties.leaves_for(1), from);
    }
}

#[test]
fn a_host_that_nothing_speaks_for_waits_for_the_grace() {
    for signalled in [None, Some(at(1, 4000))] {
        let mut parties = talk(false, ONCE, signalled);
        let expected = parties.remote(0).unwrap();
        let hidden = at(9, 999);
        for number in 0..50 {
            assert_eq!(parties.media(hidden, number), 0, "{number}");
            assert_eq!(parties.leaves_for(number), expected);
            parties.pass(20);
        }
        assert_eq!(parties.media(hidden, 50), 1);
        assert_eq!(parties.leaves_for(50), hidden);
        assert_eq!(parties.media(expected, 51), 0, "it has settled");
        assert_eq!(parties.strangers(0), 51);
        let tables = &parties.bare.worker.tables;
        assert_eq!(tables.transport_at(SocketId(0), expected), None, "no pair is left behind");
    }
}

#[test]
fn another_candidate_is_heard_when_the_first_one_is_silent_and_waits_anew() {
    let mut parties = talk(false, ONCE, Some(at(1, 4000)));
    let (first, second) = (at(8, 1), at(9, 1));
    for _ in 0..40 {
        parties.pass(20);
        assert_eq!(parties.media(first, 0) + parties.media(second, 0), 0);
    }
    // The first one has sent for 800 ms, then stops.
    for _ in 0..74 {
        parties.pass(20);
        assert_eq!(parties.media(second, 0), 0);
    }
    parties.pass(20);
    assert_eq!(
        parties.media(second, 0),
        1,
        "a second after the first one was silent for half a one"
    );
    assert_eq!(parties.leaves_for(0), second);
}

#[test]
fn without_grace_the_first_packet_settles_it() {
    let once = Learning::Once { hint: None, grace: Nanos(0) };
    let mut parties = talk(false, once, Some(at(1, 4000)));
    assert_eq!(parties.media(at(66, 1), 0), 1);
    assert_eq!(parties.media(at(1, 4000), 1), 0);
    assert_eq!((parties.remote(0), parties.strangers(0)), (Some(at(66, 1)), 1));
}

#[test]
fn what_does_not_learn_or_is_no_rtp_goes_nowhere() {
    let mut parties = talk(false, Learning::Off, Some(at(1, 4000)));
    parties.pass(10_000);
    assert_eq!(parties.media(at(1, 4001), 0), 0);
    assert_eq!((parties.remote(0), parties.strangers(0)), (Some(at(1, 4000)), 1));

    let mut parties = talk(false, Learning::Once { hint: None, grace: Nanos(0) }, None);
    let told = parties.remote(0);
    for junk in [&[0x80, 200, 255, 255, 1, 2, 3][..], &[0x80, 0, 1], &[5; 40]] {
        let socket = parties.ends[PHONE][0].socket;
        assert!(parties.receive(socket, at(66, 1), junk).is_empty());
    }
    assert_eq!(parties.remote(0), told);
}

#[test]
fn a_transport_that_always_learns_goes_along_with_every_sender_in_turn() {
    let mut parties = talk(false, Learning::Always, Some(at(1, 4000)));
    for (number, host) in [(0, 1), (1, 2), (2, 3), (3, 2)] {
        parties.pass(100);
        assert_eq!(parties.media(at(host, 4000), number), 1);
        assert_eq!(parties.leaves_for(number), at(host, 4000));
    }
    assert_eq!(parties.media(at(7, 1), 4), 0, "not to and fro in between");
    assert_eq!(parties.strangers(0), 1);
}

#[test]
fn a_new_description_begins_anew_and_what_was_on_its_way_teaches_nothing() {
    let once = Learning::Once { hint: Some(at(9, 0).ip()), grace: Nanos(0) };
    let mut parties = talk(false, once, Some(at(1, 4000)));
    let (before, after) = (at(9, 999), at(9, 1000));
    assert_eq!(parties.media(before, 0), 1);
    let renew = |parties: &mut Parties, remote| {
        let command = Command::SetRemote { transport: id(0), remote, learning: once };
        parties.apply(command).unwrap();
    };
    renew(&mut parties, at(1, 5000));
    assert_eq!(parties.leaves_for(0), at(1, 5000));
    assert_eq!(parties.media(before, 1), 0, "it was on its way");
    assert_eq!(parties.media(after, 2), 1);
    assert_eq!(parties.leaves_for(1), after);

    renew(&mut parties, at(1, 6000));
    parties.pass(2000);
    assert_eq!(parties.media(after, 3), 1, "it stayed where it was");
    renew(&mut parties, at(1, 6000));
    assert_eq!(parties.leaves_for(2), at(1, 6000));
    assert_eq!(parties.media(after, 4), 1, "the same description again moves nobody");
    renew(&mut parties, at(1, 7000));
    renew(&mut parties, at(1, 8000));
    assert_eq!(parties.media(after, 5), 0, "it still is on its way");
}

#[test]
fn rtcp_learns_for_itself_but_believes_the_host_of_its_media() {
    let mut parties = talk(true, ONCE, Some(at(1, 4000)));
    let hidden = at(2, 50);
    assert_eq!(parties.comes(1, at(2, 51), &every_report(1)), 0, "a candidate");
    let settle = Command::SetRemote { transport: id(0), remote: hidden, learning: ONCE };
    parties.apply(settle).unwrap();
    assert_eq!(parties.comes(1, at(2, 51), &every_report(1)), 0, "nothing came from there yet");
    assert_eq!(parties.media(hidden, 0), 1);
    assert_eq!(parties.comes(1, at(66, 51), &every_report(1)), 0);
    assert_eq!(parties.comes(1, at(2, 52), &every_report(1)), 1);
    assert_eq!((parties.remote(0), parties.remote(1)), (Some(hidden), Some(at(2, 52))));
    assert_eq!((parties.strangers(0), parties.strangers(1)), (0, 3));
}

fn protected(apart: bool, learning: Learning) -> Parties {
    let suite = Suite::AesCm128HmacSha1_80;
    set_up(vec![secure(0, apart, suite), plain(1, apart)], learning, Some(at(1, 4000)))
}

#[test]
fn srtp_is_followed_wherever_it_is_authentic() {
    for learning in [ONCE, Learning::Always] {
        let mut parties = protected(false, learning);
        for (number, remote) in [(0, at(1, 4000)), (1, at(5, 1)), (2, at(6, 2)), (3, at(1, 4000))] {
            let counted = parties.transport(PHONE, 0).packets_in;
            assert_eq!(parties.media(remote, number), 1);
            assert_eq!(parties.leaves_for(number), remote);
            assert_eq!(parties.transport(PHONE, 0).packets_in, counted + 1);
        }
        assert_eq!(parties.comes(0, at(7, 3), &every_report(1)), 1, "SRTCP says it too");
        assert_eq!(parties.leaves_for(4), at(7, 3));
        assert_eq!(parties.strangers(0), 0);
        assert_eq!(parties.bare.pairs(), 2, "no pair is left behind");
    }
}

#[test]
fn what_is_not_authentic_moves_nothing_and_is_a_strangers() {
    let mut parties = protected(false, ONCE);
    let socket = parties.ends[PHONE][0].socket;
    let seen = parties.seal(PHONE, 0, &rtp(0, 0, 0));
    assert_eq!(parties.receive(socket, at(1, 4000), &seen).len(), 1);
    let mut forged = parties.seal(PHONE, 0, &rtp(0, 0, 1));
    *forged.last_mut().unwrap() ^= 1;
    let mut report = parties.seal(PHONE, 0, &every_report(1));
    *report.last_mut().unwrap() ^= 1;
    for packet in [&seen, &forged, &report, &rtp(0, 0, 2)] {
        assert!(parties.receive(socket, at(66, 6), packet).is_empty());
    }
    assert_eq!((parties.remote(0), parties.strangers(0)), (Some(at(1, 4000)), 4));
    assert_eq!(parties.drops(DropReason::UnknownRemote), 4);
    let leg = parties.bare.worker.tables.leg_mut(leg_of(PHONE)).unwrap();
    assert_eq!(leg.drops.reading().total(), 0, "the phone has no part in it");

    let mut parties = protected(false, Learning::Off);
    assert_eq!(parties.media(at(5, 1), 0), 0, "authentic, but told to stay");
    assert_eq!((parties.remote(0), parties.strangers(0)), (Some(at(1, 4000)), 1));
}

#[test]
fn a_handshake_comes_up_from_anywhere_until_there_are_keys() {
    let mut parties = protected(false, ONCE);
    let socket = parties.ends[PHONE][0].socket;
    let hello = [22; 40];
    parties.receive(socket, at(5, 1), &hello);
    assert!(parties.bare.punt().is_none(), "it has keys");
    parties.bare.worker.tables.leg_mut(leg_of(PHONE)).unwrap().transports[0].srtp = None;
    parties.receive(socket, at(5, 1), &hello);
    let punt = parties.bare.punt().unwrap();
    assert_eq!((punt.kind, punt.transport, punt.remote), (PuntKind::Dtls, Some(id(0)), at(5, 1)));
    assert_eq!(parties.media(at(5, 1), 0), 0, "media must wait");
    assert_eq!(parties.remote(0), Some(at(1, 4000)));
    let socket = parties.ends[OTHER][0].socket;
    parties.receive(socket, at(5, 1), &hello);
    assert!(parties.bare.punt().is_none(), "plain RTP has no handshake");
    parties.bare.worker.punt_budget = 0;
    let socket = parties.ends[PHONE][0].socket;
    parties.receive(socket, at(5, 1), &hello);
    assert_eq!(parties.drops(DropReason::PuntRate), 1);
}

#[cfg(not(feature = "libsrtp"))]
#[test]
fn what_was_learnt_outlives_the_process() {
    let mut parties = talk(false, ONCE, Some(at(1, 4000)));
    assert_eq!(parties.media(at(9, 1), 0), 0);
    parties.pass(600);
    move_on(&mut parties);
    parties.pass(500);
    assert_eq!(parties.media(at(9, 1), 1), 1, "it has waited in both");
    move_on(&mut parties);
    assert_eq!(parties.media(at(66, 1), 2), 0, "it stays settled, and owns its socket");
    assert_eq!(parties.strangers(0), 2);
    assert_eq!(parties.leaves_for(0), at(9, 1));
}

#[cfg(not(feature = "libsrtp"))]
fn move_on(parties: &mut Parties) {
    let exported = parties.bare.export(parties.now);
    parties.bare = bare();
    parties.now = parties.now.plus(77_777_777_777);
    parties.bare.install(exported, parties.now).unwrap();
}

#[test]
fn a_socket_is_nobodys_when_its_leg_is_gone() {
    let mut parties = talk(false, Learning::Always, None);
    parties.apply(Command::RemoveLeg { leg: leg_of(PHONE) }).unwrap();
    assert_eq!(parties.media(at(1, 1), 0), 0);
    assert_eq!(parties.drops(DropReason::UnknownRemote), 1);
    assert_eq!(parties.bare.pairs(), 1);
}
