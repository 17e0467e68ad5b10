//! A worker's state goes on in another worker, whose clock is another.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::command::{IceSpec, LegSpec};
use crate::consent::CONSENT_NS;
use crate::export::bare::InstallError;
use crate::leg::Leg;
use crate::rtcp::{Compound, Rtcp, Writer};
use crate::stun;
use crate::twcc::Answerer;

/// How far the other process's clock is from ours.
const APART: u64 = 777_777_777_777;

/// Lets the call go on in a worker that knows only the copy.
fn move_on(call: &mut Call) {
    let exported = call.bare.export(call.now);
    let mut other = bare();
    call.now = call.now.plus(APART);
    other.install(exported, call.now).unwrap();
    call.bare = other;
}

fn calls() -> Vec<Call> {
    let secure = |suite| {
        let left = Far::secure(0, 4000, suite).with_ice("left");
        Call::with([left, Far::secure(1, 5000, suite).with_ice("right")])
    };
    let mut calls: Vec<_> = Suite::ALL.iter().copied().map(secure).collect();
    calls.push(Call::with([Far::plain(0, 4000), Far::plain(1, 5000)]));
    calls.push(Call::new());
    calls
}

/// Each side sends the `number`-th packet of audio and video; what the other gets, in the order sent.
/// Opening them refuses an index that came before.
fn exchange(call: &mut Call, number: u16) -> Vec<(u32, u16, u32)> {
    let mut got = Vec::new();
    for side in 0..2 {
        for rtp in [audio(side, number), video(side, number)] {
            let sent = call.send(side, rtp);
            let opened = call.open(1 - side, &sent);
            got.extend(opened.iter().map(|(h, _)| (h.ssrc, h.sequence, h.timestamp)));
        }
    }
    got
}

fn nack(call: &mut Call, side: usize, sequence: u16) -> Vec<(u32, Vec<u16>)> {
    let mut buffer = [0; 1200];
    let mut writer = Writer::new(&mut buffer);
    writer.receiver_report(7, &[]).unwrap();
    writer.nack(7, SIDES[side].ours[1], std::iter::once(sequence)).unwrap();
    let len = writer.len();
    let packet = call.sealed_rtcp(side, &buffer[..len]);
    let sent = call.receive(side, &packet);
    let arrived = call.open_rtcp(1 - side, &sent);
    let packets = arrived.iter().flat_map(|bytes| Compound::parse(bytes).unwrap().sound());
    packets
        .filter_map(|packet| match packet {
            Rtcp::Nack(nack) => Some((nack.media, nack.sequences().collect())),
            _ => None,
        })
        .collect()
}

#[test]
fn numbers_and_indices_go_on_where_they_stopped() {
    for mut call in calls() {
        let mut before = Vec::new();
        for number in 0..10 {
            before = exchange(&mut call, number);
        }
        assert_eq!(before.len(), 4);
        for number in 10..40 {
            if number % 10 == 0 {
                move_on(&mut call);
            }
            let after = exchange(&mut call, number);
            let next: Vec<_> = before
                .iter()
                .map(|(ssrc, sequence, time)| {
                    let is_audio = SIDES.iter().any(|side| side.ours[0] == *ssrc);
                    (*ssrc, sequence + 1, time + if is_audio { 960 } else { 3000 })
                })
                .collect();
            assert_eq!(after, next, "at {number}");
            before = after;
        }
    }
}

#[test]
fn srtcp_indices_are_not_used_again() {
    for mut call in calls() {
        for number in 0..4 {
            exchange(&mut call, number);
            // The far end refuses a second packet of one index.
            assert_eq!(nack(&mut call, 1, 0x1234).len(), 1);
            move_on(&mut call);
        }
    }
}

#[test]
fn a_packet_that_was_received_before_is_refused_after_and_a_late_one_is_not() {
    let mut call = Call::new();
    let late = call.sealed(0, video(0, 1));
    let seen = call.sealed(0, video(0, 2));
    assert_eq!(call.receive(0, &seen).len(), 1);
    move_on(&mut call);
    assert_eq!(
        call.dropped(|call| assert!(call.receive(0, &seen).is_empty())),
        [DropReason::SrtpReplayed]
    );
    let sent = call.receive(0, &late);
    let opened = call.open(1, &sent);
    assert_eq!(opened[0].0.sequence, 0x1233, "one before the first that was sent");
}

#[test]
fn a_nack_about_what_was_sent_before_names_the_sources_packet() {
    let mut call = Call::new();
    for number in 0..5 {
        exchange(&mut call, number);
    }
    move_on(&mut call);
    assert_eq!(nack(&mut call, 1, 0x1234 + 3), [(SIDES[0].theirs[1], vec![30_003])]);

    let rtx = Rtp {
        ssrc: SIDES[0].theirs[2],
        payload_type: SIDES[0].payload_types[2],
        sequence: 77,
        payload_len: 100,
        ..video(0, 3)
    };
    let mut buffer = [0; 300];
    let len = rtx.write(&mut buffer);
    buffer[12..14].copy_from_slice(&30_003_u16.to_be_bytes());
    let len = call.fars[0].seal(&mut buffer, len).unwrap();
    let sent = call.receive(0, &buffer[..len]);
    let opened = call.open(1, &sent);
    let (header, bytes) = &opened[0];
    assert_eq!(bytes[usize::from(header.len)..][..2], (0x1234_u16 + 3).to_be_bytes());
}

#[test]
fn checks_are_answered_and_consent_keeps_its_age() {
    let mut call = Call::new();
    let mut buffer = [0; 500];
    let len = call.fars[0].check(&mut buffer, 1, false).unwrap();
    assert_eq!(call.receive(0, &buffer[..len]).len(), 1);
    call.wait(CONSENT_NS / 1_000_000 - 5_000);
    move_on(&mut call);
    let len = call.fars[1].check(&mut buffer, 2, false).unwrap();
    let sent = call.receive(1, &buffer[..len]);
    let answer = stun::Message::parse(&sent[0].bytes).unwrap();
    assert_eq!((answer.class, sent[0].remote), (stun::Class::Success, call.fars[1].remote));
    let lost = |call: &mut Call| {
        call.sweep_all();
        let events = call.events();
        events.iter().filter(|e| matches!(e, Event::ConsentLost { .. })).count()
    };
    assert_eq!(lost(&mut call), 0);
    call.wait(5_000);
    assert_eq!(lost(&mut call), 1, "of the side that was not heard since");
}

#[test]
fn transport_feedback_goes_on_without_telling_a_packet_twice() {
    let mut call = Call::new();
    let answerer = Some(Box::new(Answerer::new(SIDES[0].transport_cc)));
    call.apply(Command::AnswerTransportCc { transport: transport(0), answerer }).unwrap();
    let mut told = Vec::new();
    for number in 0..40 {
        call.now = call.now.plus(Nanos::from_millis(10).0);
        if number == 15 {
            move_on(&mut call);
        }
        let numbered =
            Rtp { transport_cc: Some((SIDES[0].transport_cc, number)), ..video(0, number) };
        let sent = call.send(0, numbered);
        for bytes in call.open_rtcp(0, &sent) {
            for packet in Compound::parse(&bytes).unwrap().sound() {
                if let Rtcp::TransportFeedback(feedback) = packet {
                    let (base, count) = (feedback.body[0..2].try_into(), &feedback.body[2..4]);
                    let base = u16::from_be_bytes(base.unwrap());
                    told.extend(base..base + u16::from_be_bytes(count.try_into().unwrap()));
                }
            }
        }
    }
    let first: Vec<_> = (0..told.len() as u16).collect();
    assert_eq!(told, first);
    assert!(told.len() > 25);
}

#[test]
fn news_that_control_was_not_told_are_told_by_the_other_worker() {
    let mut call = Call::new();
    call.events();
    call.send(0, audio(0, 0));
    move_on(&mut call);
    let started = |event: &Event| matches!(event, Event::MediaStarted { transport, .. } if transport.leg == leg(0));
    assert!(call.events().iter().any(started));
}

#[test]
fn a_copy_of_a_copy_is_the_same() {
    let mut call = Call::new();
    for number in 0..5 {
        exchange(&mut call, number);
    }
    let bytes = leg_bytes(&mut call, 0);
    let again = read_and_write(&bytes, call.now).unwrap();
    assert_eq!(bytes, again);
}

#[test]
fn a_leg_that_is_not_whole_or_too_long_is_refused() {
    let mut call = Call::new();
    exchange(&mut call, 0);
    let bytes = leg_bytes(&mut call, 0);
    for len in 0..bytes.len() {
        assert!(read_and_write(&bytes[..len], call.now).is_none(), "{len} of {}", bytes.len());
    }
    assert!(read_and_write(&[&bytes[..], &[0]].concat(), call.now).is_none());
}

#[test]
fn a_taken_slot_is_left_as_it_is() {
    let mut call = Call::new();
    let exported = call.bare.export(call.now);
    let refused = call.bare.install(exported, call.now);
    assert!(matches!(refused, Err(InstallError::Refused(Refusal::Taken))));
    assert_eq!(exchange(&mut call, 0).len(), 4);
}

/// A copy that was tampered with is refused, or makes a leg that cannot hurt its worker.
#[test]
fn a_garbled_leg_never_panics() {
    let mut call = Call::new();
    for number in 0..5 {
        exchange(&mut call, number);
    }
    let answerer = Some(Box::new(Answerer::new(SIDES[0].transport_cc)));
    call.apply(Command::AnswerTransportCc { transport: transport(0), answerer }).unwrap();
    let (bytes, now) = (leg_bytes(&mut call, 0), call.now);
    let changes = prop::collection::vec((0..bytes.len(), any::<u8>()), 1..4);
    TestRunner::default()
        .run(&changes, |changes| {
            let mut bytes = bytes.clone();
            for (place, value) in changes {
                bytes[place] = value;
            }
            let Ok(state) = crate::export::read_leg(&bytes, now) else { return Ok(()) };
            let mut call = Call::new();
            call.now = now;
            call.bare.apply(Command::RemoveLeg { leg: leg(0) }).0.unwrap();
            let _ = call.bare.apply(Command::AddLeg { leg: leg(0), state });
            for number in 5..10 {
                for (side, rtp) in
                    [(0, audio(0, number)), (1, video(1, number)), (0, video(0, number))]
                {
                    let numbered =
                        Rtp { transport_cc: Some((SIDES[0].transport_cc, number)), ..rtp };
                    let packet = call.sealed(side, numbered);
                    call.receive(side, &packet);
                }
            }
            call.sweep_all();
            call.sent();
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_key_is_printed() {
    let mut call = Call::new();
    let exported = call.bare.export(call.now);
    assert_eq!(format!("{exported:?}"), "Exported { legs: 2, sockets: 0, .. }");
}

fn leg_bytes(call: &mut Call, side: usize) -> Vec<u8> {
    let exported = call.bare.export(call.now);
    let (_, range) = exported.legs.iter().find(|(id, _)| *id == leg(side)).unwrap();
    exported.bytes[range.clone()].to_vec()
}

fn read_and_write(bytes: &[u8], now: Nanos) -> Option<Vec<u8>> {
    let state = crate::export::read_leg(bytes, now).ok()?;
    let mut call = Call { bare: bare(), fars: [Far::plain(0, 1), Far::plain(1, 2)], now };
    call.apply(Command::AddLeg { leg: leg(0), state }).unwrap();
    Some(leg_bytes(&mut call, 0))
}

#[test]
fn an_empty_leg_is_a_leg() {
    let state = Leg::new(&LegSpec::default(), || 0).unwrap();
    let mut call = Call { bare: bare(), fars: [Far::plain(0, 1), Far::plain(1, 2)], now: START };
    call.apply(Command::AddLeg { leg: leg(0), state }).unwrap();
    let bytes = leg_bytes(&mut call, 0);
    assert_eq!(read_and_write(&bytes, call.now), Some(bytes));
}

#[test]
fn a_pair_that_another_leg_has_taken_over_stays_with_it() {
    let mut call = Call::new();
    let (socket, remote) = (call.fars[1].socket, call.fars[1].remote);
    let (transport, nominated, generation) = (transport(0), false, 0);
    let taken = Command::InstallPair { transport, socket, remote, nominated, generation };
    call.apply(taken).unwrap();
    move_on(&mut call);
    let found = call.bare.worker.tables.transport_at(socket, remote);
    assert_eq!(found, Some(transport));
}

#[test]
fn an_ice_restart_that_is_under_way_goes_along() {
    let mut call = Call::new();
    let credentials = |ufrag: &str| crate::command::Credentials {
        ufrag: ufrag.into(),
        password: String::from("a password of the node").into(),
    };
    let spec = IceSpec {
        local: credentials("again"),
        remote: None,
        send_checks: false,
        controlling: false,
        component: 1,
        generation: 1,
    };
    let next = Box::new(crate::consent::Consent::new(&spec, 7));
    call.apply(Command::RestartIce { transport: transport(0), next }).unwrap();
    move_on(&mut call);
    call.fars[0].ufrag = Some("again");
    let mut buffer = [0; 500];
    let len = call.fars[0].check(&mut buffer, 1, false).unwrap();
    call.receive(0, &buffer[..len]);
    assert_eq!(call.bare.punt().unwrap().transport, Some(transport(0)), "its agent is to judge it");
    assert_eq!(exchange(&mut call, 0).len(), 4, "the current generation carries media");
}
