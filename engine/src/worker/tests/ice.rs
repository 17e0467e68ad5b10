//! Checks, early DTLS, nomination and consent through a worker.

use super::*;
use crate::command::PuntKind;
use crate::config::{EARLY_DTLS_PER_TUPLE, PUNT_RING, PUNTS_PER_SECOND};
use crate::consent::CONSENT_NS;
use crate::stun;

const DTLS: &[u8] = &[22, 254, 253, 0, 0];

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn check(call: &Call, side: usize, nominates: bool) -> Vec<u8> {
    let mut buffer = [0; 500];
    let len = call.fars[side].check(&mut buffer, 1, nominates).unwrap();
    buffer[..len].to_vec()
}

fn install(
    call: &mut Call,
    side: usize,
    remote: SocketAddr,
    nominated: bool,
) -> Result<(), Refusal> {
    let socket = call.fars[side].socket;
    call.apply(Command::InstallPair {
        transport: transport(side),
        socket,
        remote,
        nominated,
        generation: 0,
    })
}

#[test]
fn a_check_on_an_installed_pair_is_answered_with_its_source() {
    let mut call = Call::new();
    let sent = call.receive(0, &check(&call, 0, false));
    assert_eq!((sent[0].socket, sent[0].remote), (call.fars[0].socket, call.fars[0].remote));
    let answer = stun::Message::parse(&sent[0].bytes).unwrap();
    assert_eq!((answer.class, answer.mapped), (stun::Class::Success, Some(call.fars[0].remote)));
    assert!(call.bare.punt().is_none());
}

/// The sinks of a leg that has a path now want key frames, which are asked for in the same breath.
#[test]
fn a_check_that_nominates_is_answered_with_its_source_too() {
    let mut call = Call::new();
    call.wait(300);
    let (socket, remote) = (call.fars[1].socket, elsewhere(4444));
    install(&mut call, 1, remote, false).unwrap();
    let nominating = check(&call, 1, true);
    let sent = call.receive_from(socket, remote, &nominating);
    let asked = sent.iter().filter(|sent| sent.remote == call.fars[0].remote).count();
    assert_eq!(asked, 1, "a key frame");
    let answers: Vec<_> = sent.iter().filter(|sent| sent.remote == remote).collect();
    let answer = stun::Message::parse(&answers[0].bytes).unwrap();
    assert_eq!((answers.len(), answer.mapped), (1, Some(remote)));
}

#[test]
fn a_check_from_elsewhere_goes_up_if_its_ufrag_is_known() {
    let mut call = Call::new();
    let known = check(&call, 0, false);
    let socket = call.fars[0].socket;
    assert!(call.receive_from(socket, elsewhere(4444), &known).is_empty());
    let punt = call.bare.punt().unwrap();
    assert_eq!((punt.kind, punt.transport), (PuntKind::Stun, Some(transport(0))));
    assert_eq!((punt.socket, punt.remote, &punt.bytes[..]), (socket, elsewhere(4444), &known[..]));

    call.fars[0].ufrag = Some("stranger");
    let unknown = check(&call, 0, false);
    assert_eq!(
        call.dropped(|call| drop(call.receive_from(socket, elsewhere(4444), &unknown))),
        [DropReason::StunUnknownUfrag]
    );
    assert!(call.bare.punt().is_none());
}

#[test]
fn a_check_of_another_legs_ufrag_on_an_installed_pair_goes_up() {
    let mut call = Call::new();
    let other = check(&call, 1, false);
    assert!(call.receive(0, &other).is_empty());
    assert_eq!(call.bare.punt().unwrap().transport, Some(transport(1)));
}

#[test]
fn anyone_may_ask_for_its_address() {
    let mut call = Call::new();
    let mut request = [0; 20];
    request[1] = 1;
    request[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    let sent = call.receive_from(SocketId(7), elsewhere(4444), &request);
    let answer = stun::Message::parse(&sent[0].bytes).unwrap();
    assert_eq!((sent[0].remote, answer.mapped), (elsewhere(4444), Some(elsewhere(4444))));
}

#[test]
fn early_dtls_waits_for_its_pair_and_no_more_than_a_few_datagrams_do() {
    let mut call = Call::new();
    let socket = call.fars[0].socket;
    for number in 0..6 {
        call.receive_from(socket, elsewhere(4444), &[DTLS, &[number]].concat());
    }
    call.receive_from(socket, elsewhere(5555), DTLS);
    assert_eq!(call.drops(DropReason::DtlsUnknownPair), 6 - EARLY_DTLS_PER_TUPLE as u64);
    assert!(call.bare.punt().is_none());

    install(&mut call, 0, elsewhere(4444), false).unwrap();
    for number in 0..EARLY_DTLS_PER_TUPLE {
        let punt = call.bare.punt().unwrap();
        assert_eq!((punt.kind, punt.transport), (PuntKind::Dtls, Some(transport(0))));
        assert_eq!(punt.bytes.last().copied().map(usize::from), Some(number));
    }
    assert!(call.bare.punt().is_none(), "the other 5-tuple has passed no check");
    call.receive_from(socket, elsewhere(4444), DTLS);
    assert_eq!(call.bare.punt().unwrap().remote, elsewhere(4444), "nothing waits any more");
}

#[test]
fn early_dtls_is_forgotten_after_a_moment() {
    let mut call = Call::new();
    call.receive_from(call.fars[0].socket, elsewhere(4444), DTLS);
    call.wait(400);
    assert_eq!(call.bare.worker.early.len(), 1);
    call.wait(200);
    assert_eq!((call.bare.worker.early.len(), call.bare.frames_lost()), (0, 0));
    assert_eq!(call.bare.worker.frames.free(), call.bare.worker.frames.capacity());
    assert_eq!(call.drops(DropReason::DtlsUnknownPair), 1);
}

#[test]
fn early_dtls_is_kept_only_where_a_check_could_come() {
    let mut bare = bare();
    bare.receive(SocketId(0), elsewhere(4444), DTLS, START);
    assert_eq!(bare.counters().drops.of(DropReason::DtlsUnknownPair), 1);
}

#[test]
fn a_nomination_moves_media_and_is_told_once() {
    let mut call = Call::new();
    call.send(1, audio(1, 0));
    call.events();
    let moved = elsewhere(4444);
    install(&mut call, 0, moved, false).unwrap();
    assert_eq!(call.send(1, audio(1, 1))[0].remote, call.fars[0].remote, "not nominated yet");

    let nomination = check(&call, 0, true);
    let socket = call.fars[0].socket;
    call.receive_from(socket, moved, &nomination);
    call.receive_from(socket, moved, &nomination);
    assert_eq!(call.send(1, audio(1, 2))[0].remote, moved);
    let events = call.events();
    let [Event::Nominated { transport: id, remote, generation: 0 }] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((id, remote), (transport(0), moved));
}

#[test]
fn media_before_the_nomination_is_told_when_it_comes() {
    let mut call = Call::with([
        Far::secure(0, 4000, Suite::AesCm128HmacSha1_80),
        Far::secure(1, 5000, Suite::AeadAes128Gcm),
    ]);
    let ice = Far::secure(2, 6000, Suite::AeadAes128Gcm).with_ice("third");
    let leg = LegId { worker: WORKER, slot: 2, generation: 0 };
    let state = crate::leg::Leg::new(&bridge::spec(&ice, 0), || 1).unwrap();
    call.apply(Command::AddLeg { leg, state }).unwrap();
    let id = TransportId { leg, index: 0 };
    let Far { socket, remote, .. } = ice;
    call.apply(Command::InstallPair {
        transport: id,
        socket,
        remote,
        nominated: false,
        generation: 0,
    })
    .unwrap();
    call.fars[0] = ice;
    call.send(0, audio(0, 0));
    let events = call.events();
    let [Event::MediaStarted { transport, remote: from }] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((transport, from), (id, remote));
}

#[test]
fn lost_consent_is_told_once_and_ends_sending() {
    let mut call = Call::new();
    call.now = call.now.plus(CONSENT_NS - 1_000_000_000);
    call.receive(1, &check(&call, 1, false));
    call.now = call.now.plus(2_000_000_000);
    call.sweep_all();
    call.sweep_all();
    let lost: Vec<_> = call
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::ConsentLost { transport } => Some(transport),
            _ => None,
        })
        .collect();
    assert_eq!(lost, [transport(0)], "the other side has been heard");
    assert_eq!(
        call.dropped(|call| assert!(call.send(1, audio(1, 0)).is_empty())),
        [DropReason::SinkNotReady]
    );
}

#[test]
fn a_refused_pair_leaves_nothing_behind() {
    let mut call = Call::new();
    call.now = call.now.plus(CONSENT_NS + 1);
    call.sweep_all();
    assert_eq!(install(&mut call, 0, elsewhere(4444), true), Err(Refusal::Gone));
    let socket = call.fars[0].socket;
    assert_eq!(call.bare.worker.tables.transport_at(socket, elsewhere(4444)), None);
}

#[test]
fn the_oldest_pair_makes_room_and_its_packets_are_strangers() {
    let mut call = Call::new();
    let socket = call.fars[0].socket;
    for port in 6000..6008 {
        call.now = call.now.plus(1);
        install(&mut call, 0, elsewhere(port), false).unwrap();
    }
    let tables = &call.bare.worker.tables;
    assert_eq!(tables.transport_at(socket, elsewhere(6000)), None);
    assert_eq!(tables.transport_at(socket, elsewhere(6007)), Some(transport(0)));
    assert_eq!(tables.transport_at(socket, call.fars[0].remote), Some(transport(0)), "nominated");
    let paths = &call.bare.worker.tables.leg_mut(leg(0)).unwrap().transports[0].paths;
    assert_eq!(paths.len(), 8);
}

#[test]
fn a_pair_that_moves_to_another_leg_stays_there_when_the_first_goes() {
    let mut call = Call::new();
    let (socket, remote) = (call.fars[0].socket, call.fars[0].remote);
    call.apply(Command::InstallPair {
        transport: transport(1),
        socket,
        remote,
        nominated: false,
        generation: 0,
    })
    .unwrap();
    call.apply(Command::RemoveLeg { leg: leg(0) }).unwrap();
    assert_eq!(call.bare.worker.tables.transport_at(socket, remote), Some(transport(1)));
    call.apply(Command::RemoveLeg { leg: leg(1) }).unwrap();
    assert_eq!(call.bare.worker.tables.transport_at(socket, remote), None);
}

#[test]
fn control_is_asked_at_a_bounded_rate() {
    let mut call = Call::new();
    for _ in 0..PUNTS_PER_SECOND {
        call.receive(0, DTLS);
        assert!(call.bare.punt().is_some());
    }
    assert_eq!(call.dropped(|call| drop(call.receive(0, DTLS))), [DropReason::PuntRate]);
    call.wait(10);
    assert_eq!(call.dropped(|call| drop(call.receive(0, DTLS))), []);
}

#[test]
fn datagrams_that_control_does_not_take_are_dropped() {
    let mut call = Call::new();
    for _ in 0..PUNT_RING {
        call.receive(0, DTLS);
    }
    assert_eq!(call.dropped(|call| drop(call.receive(0, DTLS))), [DropReason::PuntRingFull]);
}
