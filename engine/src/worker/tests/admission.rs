//! What is let in, and what changes nothing because it is not.

use super::*;
use crate::learning::Learning;
use crate::leg::Leg;

/// Everything about a leg that packets change, its drop counters aside.
fn state_of(call: &mut Call, side: usize) -> String {
    let leg = call.bare.worker.tables.leg_mut(leg(side)).unwrap();
    let indices: Vec<_> = leg.transports[0]
        .srtp
        .iter()
        .map(|srtp| (srtp.inbound.indices().count(), srtp.inbound.rtcp_indices().count()))
        .collect();
    let transport = &leg.transports[0];
    format!(
        "{indices:?} {:?} {:?} {:?} {:?} {:?}",
        transport.started, transport.remote, transport.news, leg.streams, leg.has_news
    )
}

#[test]
fn packets_before_the_keys_are_dropped_and_change_nothing() {
    let mut call = Call::new();
    call.bare.worker.tables.leg_mut(leg(0)).unwrap().transports[0].srtp = None;
    let before = state_of(&mut call, 0);
    assert_eq!(
        call.dropped(|call| assert!(call.send(0, audio(0, 0)).is_empty())),
        [DropReason::NoKeys]
    );
    let report = call.sealed_rtcp(0, &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    assert_eq!(call.dropped(|call| drop(call.receive(0, &report))), [DropReason::NoKeys]);
    assert_eq!(state_of(&mut call, 0), before);
}

#[test]
fn what_fails_authentication_changes_nothing() {
    let mut call = Call::new();
    let before = state_of(&mut call, 0);
    let known = call.sealed(0, audio(0, 0));
    let new = call.sealed(0, Rtp { ssrc: 0xeeee, ..audio(0, 0) });
    let report = call.sealed_rtcp(0, &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    for mut packet in [known, new, report] {
        let last = packet.len() - 1;
        packet[last] ^= 1;
        let dropped = call.dropped(|call| assert!(call.receive(0, &packet).is_empty()));
        assert!(
            [[DropReason::SrtpAuth], [DropReason::SrtcpClear]].contains(&[dropped[0]]),
            "{dropped:?}"
        );
    }
    assert_eq!(state_of(&mut call, 0), before);
    assert!(call.events().is_empty());
}

#[test]
fn a_packet_passes_once() {
    let mut call = Call::new();
    let packet = call.sealed(0, audio(0, 0));
    assert_eq!(call.receive(0, &packet).len(), 1);
    assert_eq!(
        call.dropped(|call| assert!(call.receive(0, &packet).is_empty())),
        [DropReason::SrtpReplayed]
    );
}

#[test]
fn the_first_authentic_packet_is_told_once() {
    let mut call = Call::new();
    for number in 0..3 {
        call.send(0, audio(0, number));
    }
    let events = call.events();
    let [Event::MediaStarted { transport: id, remote }] = events[..] else { panic!("{events:?}") };
    assert_eq!((id, remote), (transport(0), call.fars[0].remote));
}

#[test]
fn an_unknown_ssrc_finds_its_stream_by_payload_type() {
    let mut call = Call::new();
    let sent = call.send(0, Rtp { ssrc: 0xeeee, ..video(0, 0) });
    let opened = call.open(1, &sent);
    assert_eq!(opened[0].0.ssrc, SIDES[1].ours[1]);
    assert_eq!(
        call.dropped(|call| drop(call.send(0, Rtp { ssrc: 1, payload_type: 50, ..audio(0, 0) }))),
        [DropReason::StreamUnknown]
    );
}

/// A leg with plain RTP that learns its far address, in place of the left one.
fn learner(remote: Option<SocketAddr>) -> Call {
    let plain = || [Far::plain(0, 4000), Far::plain(1, 5000)];
    let mut call = Call::with(plain());
    call.apply(Command::RemoveLeg { leg: leg(0) }).unwrap();
    let mut spec = bridge::spec(&plain()[0], 0);
    spec.transports[0].remote = remote;
    spec.transports[0].learning = Learning::Once { hint: None, grace: Nanos(0) };
    let state = Leg::new(&spec, || bridge::RANDOM).unwrap();
    call.apply(Command::AddLeg { leg: leg(0), state }).unwrap();
    for index in [AUDIO, VIDEO] {
        call.apply(bridge::feed(sink(0, index), stream(1, index), 1)).unwrap();
        call.apply(Command::AddSink { stream: stream(0, index), sink: sink(1, index) }).unwrap();
    }
    call.sent();
    call
}

#[test]
fn plain_rtp_names_its_address_once() {
    let told = SocketAddr::from(([127, 0, 0, 1], 4000));
    for told in [None, Some(told)] {
        let mut call = learner(told);
        let (behind_nat, thief) =
            (SocketAddr::from(([127, 0, 0, 1], 4321)), SocketAddr::from(([127, 0, 0, 1], 6666)));
        let packet = call.sealed(0, audio(0, 0));
        assert_eq!(call.receive_from(SocketId(0), behind_nat, &packet).len(), 1);
        assert_eq!(call.send(1, audio(1, 0))[0].remote, behind_nat);
        let later = call.sealed(0, audio(0, 1));
        assert_eq!(
            call.dropped(|call| drop(call.receive_from(SocketId(0), thief, &later))),
            [DropReason::UnknownRemote]
        );
        assert_eq!(call.send(1, audio(1, 1))[0].remote, behind_nat);
        call.apply(Command::RemoveLeg { leg: leg(0) }).unwrap();
        let tables = &call.bare.worker.tables;
        for remote in told.into_iter().chain([behind_nat]) {
            assert_eq!(tables.transport_at(SocketId(0), remote), None, "no pair is left behind");
        }
    }
}

#[test]
fn a_learnt_address_starts_the_picture_anew() {
    let mut call = learner(None);
    call.now = call.now.plus(Nanos::from_millis(300).0);
    let packet = call.sealed(0, audio(0, 0));
    let sent = call.receive_from(SocketId(0), call.fars[0].remote, &packet);
    let asked = call.open_rtcp(1, &sent[..1]);
    assert_eq!(feedback::key_frames(&asked[0]), [SIDES[1].theirs[1]]);
}

#[test]
fn what_is_no_rtcp_names_no_address() {
    let mut call = learner(None);
    let junk = [0x80, 200, 255, 255, 1, 2, 3];
    let thief = SocketAddr::from(([127, 0, 0, 1], 6666));
    assert_eq!(
        call.dropped(|call| drop(call.receive_from(SocketId(0), thief, &junk))),
        [DropReason::UnknownRemote]
    );
    let packet = call.sealed(0, audio(0, 0));
    assert_eq!(call.receive_from(SocketId(0), call.fars[0].remote, &packet).len(), 1);
}
