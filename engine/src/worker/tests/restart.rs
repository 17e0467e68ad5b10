//! ICE restarts and the answers to control's own checks, through a worker.

use super::*;
use crate::command::{Credentials, IceSpec, PuntKind};
use crate::config::PAIRS_PER_TRANSPORT;
use crate::consent::{CONSENT_NS, Consent};
use crate::stun::{self, IntegrityKey, TransactionId};

const PASSWORD: &str = "the password of another generation";

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn generation(number: u32, ufrag: &str) -> Box<Consent> {
    let credentials =
        |ufrag: &str| Credentials { ufrag: ufrag.into(), password: String::from(PASSWORD).into() };
    let spec = IceSpec {
        local: credentials(ufrag),
        remote: Some(credentials("far")),
        send_checks: false,
        controlling: false,
        component: 1,
        generation: number,
    };
    Box::new(Consent::new(&spec, 1))
}

fn check(ufrag: &str, password: &str, nominates: bool) -> Vec<u8> {
    let check = stun::Check {
        transaction: TransactionId([9; 12]),
        remote_ufrag: ufrag,
        local_ufrag: "far",
        priority: 1,
        role: stun::Role::Controlling(u64::MAX),
        use_candidate: nominates,
        key: &IntegrityKey::new(password),
    };
    let mut buffer = [0; 500];
    let len = stun::write_binding_request(&mut buffer, &check).unwrap();
    buffer[..len].to_vec()
}

impl Call {
    fn restart(&mut self, number: u32, ufrag: &str) -> (Result<(), Refusal>, Returned) {
        self.bare.worker.now = self.now;
        let next = generation(number, ufrag);
        self.bare.apply(Command::RestartIce { transport: transport(0), next })
    }

    fn install_in(
        &mut self,
        number: u32,
        remote: SocketAddr,
        nominated: bool,
    ) -> Result<(), Refusal> {
        let socket = self.fars[0].socket;
        let transport = transport(0);
        self.apply(Command::InstallPair {
            transport,
            socket,
            remote,
            nominated,
            generation: number,
        })
    }

    fn hears(&mut self, remote: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        let socket = self.fars[0].socket;
        self.receive_from(socket, remote, bytes)
    }

    fn media_to(&mut self, number: u16) -> SocketAddr {
        self.send(1, audio(1, number))[0].remote
    }
}

fn returned_ufrag(returned: &Returned) -> Option<&str> {
    match returned {
        Returned::Consent(consent) => Some(consent.local_ufrag()),
        _ => None,
    }
}

#[test]
fn the_old_generation_carries_media_and_is_answered_until_the_new_one_nominates() {
    let mut call = Call::new();
    let old = call.fars[0].remote;
    assert!(call.restart(1, "again").0.is_ok());
    assert_eq!(call.media_to(0), old);

    let new = elsewhere(4444);
    let early = check("again", PASSWORD, true);
    assert!(call.hears(new, &early).is_empty(), "the first check goes up");
    assert_eq!(call.bare.punt().unwrap().transport, Some(transport(0)));
    call.install_in(1, new, false).unwrap();
    assert_eq!(call.media_to(1), old, "not nominated yet");
    let own = check("left", "a password of the node", false);
    assert_eq!(call.hears(old, &own).len(), 1, "the old one is answered");

    assert_eq!(call.hears(new, &early).len(), 1);
    assert_eq!(call.media_to(2), new);
    let nominated: Vec<_> = call
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Nominated { remote, generation, .. } => Some((remote, generation)),
            _ => None,
        })
        .collect();
    assert_eq!(nominated, [(new, 1)]);
    let reasons = call.dropped(|call| assert!(call.hears(old, &own).is_empty()));
    assert_eq!(reasons, [DropReason::StunUnknownUfrag], "the old one is over");
}

#[test]
fn both_generations_may_be_of_one_pair() {
    let mut call = Call::new();
    let pair = call.fars[0].remote;
    call.restart(1, "again").0.unwrap();
    let nomination = check("again", PASSWORD, true);
    assert!(call.hears(pair, &nomination).is_empty());
    assert!(call.bare.punt().is_some(), "not a pair of that generation yet");
    call.install_in(1, pair, true).unwrap();
    assert_eq!(call.hears(pair, &nomination).len(), 1);
    assert_eq!(call.media_to(0), pair);
    call.wait(10_000);
    call.sweep_all();
    assert_eq!(call.media_to(1), pair, "it is not forgotten with the old generation");
}

#[test]
fn what_is_on_its_way_on_the_old_pair_still_arrives_and_then_it_is_a_strangers() {
    let mut call = Call::new();
    let old = call.fars[0].remote;
    call.restart(1, "again").0.unwrap();
    call.install_in(1, elsewhere(4444), true).unwrap();
    assert_eq!(call.send(0, audio(0, 0)).len(), 1);
    call.wait(6_000);
    call.sweep_all();
    let socket = call.fars[0].socket;
    assert_eq!(call.bare.worker.tables.transport_at(socket, old), None);
    let reasons = call.dropped(|call| assert!(call.send(0, audio(0, 1)).is_empty()));
    assert_eq!(reasons, [DropReason::UnknownRemote]);
}

#[test]
fn memory_goes_home_with_the_next_restart_or_the_leg() {
    let mut call = Call::new();
    assert!(returned_ufrag(&call.restart(1, "one").1).is_none());
    assert_eq!(returned_ufrag(&call.restart(2, "two").1), Some("one"), "it nominated nothing");
    call.install_in(2, elsewhere(4444), true).unwrap();
    assert_eq!(returned_ufrag(&call.restart(3, "three").1), Some("left"), "it was over");
    assert_eq!(call.bare.worker.tables.ufrags(), 3, "two of this leg, one of the other");
    call.apply(Command::RemoveLeg { leg: leg(0) }).unwrap();
    assert_eq!((call.bare.worker.tables.ufrags(), call.bare.pairs()), (1, 1));
}

#[test]
fn a_flood_of_restarts_keeps_two_generations() {
    let mut call = Call::new();
    let old = call.fars[0].remote;
    for number in 1..500u32 {
        let ufrag = format!("flood{number}");
        assert!(call.restart(number, &ufrag).0.is_ok());
        for port in 0..10 {
            let remote = elsewhere(6000 + port + (number as u16 % 7) * 100);
            call.now = call.now.plus(1);
            call.install_in(number, remote, false).unwrap();
        }
        assert_eq!(call.bare.worker.tables.ufrags(), 3);
        assert!(call.bare.pairs() <= 2 * PAIRS_PER_TRANSPORT + 1, "{}", call.bare.pairs());
        assert_eq!(
            call.install_in(number - 1, elsewhere(1), true),
            match number {
                1 => Ok(()),
                _ => Err(Refusal::Gone),
            }
        );
    }
    assert_eq!(call.media_to(0), if call.media_to(1) == old { old } else { elsewhere(1) });
    assert!(
        call.dropped(|call| drop(call.hears(old, &check("flood7", PASSWORD, true))))
            .contains(&DropReason::StunUnknownUfrag)
    );
}

#[test]
fn names_are_not_taken_from_others() {
    let mut call = Call::new();
    for taken in ["right", "left"] {
        let (outcome, returned) = call.restart(1, taken);
        assert_eq!((outcome, returned_ufrag(&returned)), (Err(Refusal::Taken), Some(taken)));
    }
    let long = "x".repeat(33);
    assert_eq!(call.restart(1, &long).0, Err(Refusal::Misuse));
    call.apply(Command::RemoveLeg { leg: leg(0) }).unwrap();
    assert_eq!(call.restart(1, "again").0, Err(Refusal::Gone));
}

#[test]
fn the_new_generations_password_is_its_own() {
    let mut call = Call::new();
    let (old, new) = (call.fars[0].remote, elsewhere(4444));
    call.restart(1, "again").0.unwrap();
    call.install_in(1, new, false).unwrap();
    for (number, forged) in (0..).zip([
        check("again", "a password of the node", true),
        check("left", PASSWORD, true),
        check("again", "guessed", true),
    ]) {
        call.hears(new, &forged);
        while call.bare.punt().is_some() {}
        assert_eq!(call.media_to(number), old);
    }
}

#[test]
fn a_restart_outlives_the_consent_of_the_generation_that_it_replaces() {
    for found in [true, false] {
        let mut call = Call::new();
        call.now = call.now.plus(CONSENT_NS - 1_000_000_000);
        let alive = call.fars[1].check(&mut [0; 500], 1, false);
        assert!(alive.is_some());
        call.restart(1, "again").0.unwrap();
        call.now = call.now.plus(2_000_000_000);
        call.sweep_all();
        let lost = |call: &mut Call| {
            let of_ours = |event: &Event| matches!(event, Event::ConsentLost { transport: id } if *id == transport(0));
            call.events().iter().any(of_ours)
        };
        assert!(!lost(&mut call), "the new one may yet find a pair");
        assert!(call.send(1, audio(1, 0)).is_empty(), "but nothing is sent on the old one");
        if found {
            call.install_in(1, elsewhere(4444), true).unwrap();
            assert_eq!(call.media_to(1), elsewhere(4444));
        } else {
            let cancel = Command::CancelRestart { transport: transport(0), generation: 1 };
            call.apply(cancel).unwrap();
        }
        assert_eq!(lost(&mut call), !found);
    }
}

#[test]
fn answers_to_controls_checks_go_up_once_and_only_from_where_they_were_asked() {
    let mut call = Call::new();
    let (socket, asked) = (call.fars[0].socket, elsewhere(4444));
    let check = check("far", "the far side's password", false);
    let ask = |call: &mut Call| {
        call.apply(Command::Check {
            transport: transport(0),
            socket,
            remote: asked,
            bytes: check.clone().into(),
        })
        .unwrap();
        let sent = call.sent();
        assert_eq!((sent[0].remote, &sent[0].bytes), (asked, &check));
    };
    let mut buffer = [0; 500];
    let answer = |transaction: u8, buffer: &mut [u8]| {
        let id = TransactionId([transaction; 12]);
        let key = IntegrityKey::new("the far side's password");
        let len = stun::write_binding_success(buffer, id, asked, Some(&key)).unwrap();
        buffer[..len].to_vec()
    };
    let (right, wrong) = (answer(9, &mut buffer), answer(8, &mut buffer));
    ask(&mut call);
    for (from, bytes) in [(elsewhere(5555), &right), (asked, &wrong), (call.fars[1].remote, &right)]
    {
        let reasons = call.dropped(|call| drop(call.receive_from(socket, from, bytes)));
        assert_eq!(reasons, [DropReason::StunUnsolicited]);
        assert!(call.bare.punt().is_none());
    }
    call.receive_from(socket, asked, &right);
    let punt = call.bare.punt().unwrap();
    assert_eq!(
        (punt.kind, punt.transport, &punt.bytes[..]),
        (PuntKind::Stun, Some(transport(0)), &right[..])
    );
    call.receive_from(socket, asked, &right);
    assert!(call.bare.punt().is_none(), "once");

    ask(&mut call);
    call.now = call.now.plus(41_000_000_000);
    call.receive_from(socket, asked, &right);
    assert!(call.bare.punt().is_none(), "too late");
    let nonsense =
        Command::Check { transport: transport(0), socket, remote: asked, bytes: vec![0; 4].into() };
    assert_eq!(call.apply(nonsense), Err(Refusal::Misuse));
}
