use std::time::{Duration, Instant};

use causeway_engine::command::{Command, Event, Refusal, Returned, TransportId};

use super::*;
use crate::api::{LegKind, Media};
use crate::dtls::{DtlsError, Identity};
use crate::ice::Over;

const CHROMIUM: &str = include_str!("../sdp/fixtures/chromium.sdp");
const FIREFOX: &str = include_str!("../sdp/fixtures/firefox.sdp");
mod many;
mod two_ports;

const LEGS: usize = 16;
/// What the node sends with where a leg does not say.
const DSCP: u8 = 18;
const JOIN: Duration = Duration::from_secs(60);

/// A call, its clock, and what it said so far.
struct Bench {
    call: Call,
    now: Instant,
    slot: u16,
    told: Vec<(u64, Command)>,
    replies: Vec<(RequestId, Result<Reply, Problem>)>,
    events: Vec<What>,
    shaken: Vec<(TransportId, DtlsInput)>,
    over: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with_ports(1)
    }

    /// A node with so many ports on its one interface.
    fn with_ports(ports: u16) -> Self {
        let hex = Identity::generate().unwrap().fingerprint().hex();
        let digest = hex.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let face = |place| Face {
            socket: SocketId(place),
            interface: 0,
            bound: ([172, 31, 5, 10], 40500 + place).into(),
            announced: ([203, 0, 113, 5], 40500 + place).into(),
            private: false,
            over: Over::Udp,
        };
        let facts = NodeFacts {
            faces: (0..ports).map(face).collect(),
            fingerprint: sdp::Fingerprint { hash: sdp::HashFunction::Sha256, digest },
            join: JOIN,
            legs_per_call: LEGS,
            dscp: DSCP,
            self_signed: true,
            lifetimes: Lifetimes { media: 2 * JOIN, silent: 3 * JOIN, r#final: Duration::ZERO },
        };
        let now = Instant::now();
        let asked = CreateCall::default();
        let call = Call::new("c".into(), asked, WorkerId(0), Arc::new(facts), 0, now);
        let mut bench = Self {
            call,
            now,
            slot: 0,
            told: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            shaken: Vec::new(),
            over: false,
        };
        bench.drain();
        bench
    }

    fn drain(&mut self) {
        loop {
            match self.call.poll_output() {
                Output::Reply(request, result) => self.replies.push((request, result)),
                Output::Own(_) => {}
                Output::Engine(tag, command) => self.told.push((tag, command)),
                Output::Freed(_) => {}
                Output::Dtls(transport, input) => self.shaken.push((transport, input)),
                Output::Event(what) => self.events.push(what),
                Output::Over => self.over = true,
                Output::Timeout(_) => return,
            }
        }
    }

    fn slot(&mut self) -> LegId {
        self.slot += 1;
        LegId { worker: WorkerId(0), slot: self.slot, generation: 1 }
    }

    fn add(&mut self, asked: AddLeg) -> Result<LegId, Problem> {
        let slot = self.slot();
        let request = u64::from(self.slot);
        self.call.add_leg(self.now, request, asked, slot, Vec::new())?;
        self.drain();
        Ok(slot)
    }

    fn join(&mut self, offer: &str) -> LegId {
        let slot = self.add(AddLeg { offer: Some(offer.into()), ..AddLeg::default() }).unwrap();
        self.apply();
        slot
    }

    /// The worker applies everything.
    fn apply(&mut self) {
        while !self.told.is_empty() {
            for (tag, _) in std::mem::take(&mut self.told) {
                self.call.applied(self.now, tag, Ok(()), Returned::Nothing);
            }
            self.drain();
        }
    }

    fn connect(&mut self, leg: LegId) {
        self.ready(TransportId { leg, index: 0 }, "198.51.100.2:5000");
    }

    /// A transport gets its pair and its keys.
    fn ready(&mut self, transport: TransportId, remote: &str) {
        let remote = remote.parse().unwrap();
        self.call.event(self.now, &Event::Nominated { transport, remote, generation: 0 });
        self.call.keyed(self.now, transport, Ok(()));
        self.drain();
        self.apply();
    }

    fn two(&mut self) -> (LegId, LegId) {
        let (a, b) = (self.join(CHROMIUM), self.join(FIREFOX));
        self.connect(a);
        self.connect(b);
        self.events.clear();
        (a, b)
    }

    fn id(&self, leg: LegId) -> String {
        self.call.legs.iter().find(|held| held.slot == leg).unwrap().id.clone()
    }

    fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(What::name).collect()
    }

    fn count(&self, test: impl Fn(&Command) -> bool) -> usize {
        self.told.iter().filter(|(_, command)| test(command)).count()
    }
}

fn held(offer: &str) -> String {
    offer.replace("a=sendrecv", "a=inactive")
}

#[test]
fn a_leg_is_answered_when_the_worker_has_applied_it() {
    let mut bench = Bench::new();
    let leg = AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() };
    bench.add(leg).unwrap();
    assert!(matches!(bench.told[0].1, Command::AddLeg { .. }), "{:?}", bench.told[0]);
    assert!(bench.replies.is_empty(), "nothing is said before the worker has it");
    bench.apply();
    let [(1, Ok(Reply::Added(added)))] = &bench.replies[..] else { panic!("{:?}", bench.replies) };
    let answer = added.answer.as_ref().unwrap();
    assert!(answer.contains("203.0.113.5 40500 typ host"), "{answer}");
    assert!(!answer.contains("172.31.5.10"), "the bind address is the node's own affair");
    assert_eq!(bench.names()[..2], ["call_created", "leg_joined"]);
    assert_eq!(bench.names()[2..], ["candidate", "candidate"], "one, and that it was the last");
}

#[test]
fn a_leg_is_sent_to_with_its_own_code_point_or_else_with_the_node_s() {
    for (asked, sent) in [(None, DSCP), (Some(0), 0), (Some(46), 46)] {
        let mut bench = Bench::new();
        let offer = Some(CHROMIUM.into());
        bench.add(AddLeg { offer, dscp: asked, ..AddLeg::default() }).unwrap();
        let Command::AddLeg { state, .. } = &bench.told[0].1 else { panic!("{:?}", bench.told[0]) };
        assert_eq!(state.dscp(0), Some(sent));
    }
}

#[test]
fn a_leg_that_the_worker_refuses_is_taken_back() {
    let mut bench = Bench::new();
    bench.add(AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() }).unwrap();
    let install = bench.told.remove(0);
    bench.call.applied(bench.now, install.0, Err(Refusal::Full), Returned::Nothing);
    bench.drain();
    let [(1, Err(problem))] = &bench.replies[..] else { panic!("{:?}", bench.replies) };
    assert_eq!(problem.status, 503);
    assert_eq!(bench.count(|told| matches!(told, Command::RemoveLeg { .. })), 1);
    bench.apply();
    assert!(bench.call.view().legs.is_empty());
}

#[test]
fn a_leg_that_lacks_a_part_is_not_kept() {
    let mut bench = Bench::new();
    bench.add(AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() }).unwrap();
    let place = bench.told.iter().position(|(_, told)| matches!(told, Command::SetSink { .. }));
    let (tag, _) = bench.told.remove(place.unwrap());
    bench.call.applied(bench.now, tag, Err(Refusal::Full), Returned::Nothing);
    bench.apply();
    assert!(bench.call.view().legs.is_empty());
    let ended = bench.events.iter().find_map(|event| match event {
        What::LegEnded { leg, .. } => leg.ended,
        _ => None,
    });
    assert_eq!(ended, Some(EndReason::EngineRefused));
}

#[test]
fn a_bad_offer_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let offer = CHROMIUM.replace("a=ice-ufrag", "a=x-ufrag");
    let asked = AddLeg { offer: Some(offer), ..AddLeg::default() };
    let problem = bench.add(asked).unwrap_err();
    assert_eq!(problem.status, 422);
    assert!(problem.at.is_some_and(|at| at.starts_with("line ")), "the line is named");
    assert!(bench.told.is_empty() && bench.call.view().legs.is_empty());
}

#[test]
fn two_legs_are_wired_both_ways_for_each_kind() {
    let mut bench = Bench::new();
    bench.join(CHROMIUM);
    let offer = Some(FIREFOX.into());
    bench.add(AddLeg { offer, ..AddLeg::default() }).unwrap();
    assert_eq!(bench.count(|told| matches!(told, Command::SetSource { source: Some(_), .. })), 4);
    assert_eq!(bench.count(|told| matches!(told, Command::AddSink { .. })), 4);
}

#[test]
fn hold_cuts_the_wires_and_resume_makes_them_again() {
    let mut bench = Bench::new();
    let (a, _) = bench.two();
    let id = bench.id(a);
    let offer = |sdp: String| Description { sdp };
    bench.call.offer(bench.now, 7, &id, &offer(held(CHROMIUM))).unwrap();
    bench.drain();
    assert_eq!(bench.count(|told| matches!(told, Command::RemoveSink { .. })), 4);
    assert!(bench.replies.iter().all(|(request, _)| *request != 7), "not before it is applied");
    bench.apply();
    assert!(bench.call.leg_view(&id).unwrap().held);
    let Some((7, Ok(Reply::Description(answer)))) = bench.replies.last() else { panic!() };
    assert!(answer.sdp.contains("a=inactive"));
    bench.call.offer(bench.now, 8, &id, &offer(CHROMIUM.into())).unwrap();
    bench.drain();
    assert_eq!(bench.count(|told| matches!(told, Command::AddSink { .. })), 4);
    assert!(!bench.call.leg_view(&id).unwrap().held);
}

#[test]
fn the_call_is_active_once_and_ends_with_the_leg_that_leaves() {
    let mut bench = Bench::new();
    let (a, b) = (bench.join(CHROMIUM), bench.join(FIREFOX));
    bench.connect(a);
    assert!(!bench.names().contains(&"call_active"));
    bench.connect(b);
    assert_eq!(bench.names().iter().filter(|name| **name == "call_active").count(), 1);
    let id = bench.id(a);
    bench.call.remove_leg(bench.now, 9, &id).unwrap();
    bench.drain();
    assert!(!bench.over, "the worker still has the legs");
    assert_eq!(bench.count(|told| matches!(told, Command::RemoveLeg { .. })), 2);
    bench.apply();
    assert!(bench.over);
    assert_eq!(bench.names().last(), Some(&"call_ended"));
}

#[test]
fn a_lost_leg_may_come_back_until_the_call_has_waited_long_enough() {
    let mut bench = Bench::new();
    let (a, _) = bench.two();
    let transport = TransportId { leg: a, index: 0 };
    bench.call.event(bench.now, &Event::ConsentLost { transport });
    bench.drain();
    bench.apply();
    assert_eq!(bench.names(), ["leg_ended", "leg_changed"], "and the other receives nobody");
    assert!(bench.call.may_join().is_ok());
    bench.call.handle_timeout(bench.now + JOIN);
    bench.drain();
    assert_eq!(bench.names().last(), Some(&"call_ended"));
}

#[test]
fn a_wrong_certificate_ends_the_leg_with_that_reason_and_installs_no_keys() {
    let mut bench = Bench::new();
    let leg = bench.join(CHROMIUM);
    let transport = TransportId { leg, index: 0 };
    bench.call.dtls_failed(bench.now, transport, &DtlsError::FingerprintMismatch, None);
    bench.drain();
    assert_eq!(bench.count(|told| matches!(told, Command::SetKeys { .. })), 0);
    let ended = bench.events.iter().find_map(|event| match event {
        What::LegEnded { leg, .. } => leg.ended,
        _ => None,
    });
    assert_eq!(ended, Some(EndReason::FingerprintMismatch));
}

#[test]
fn what_nobody_joins_times_out() {
    let mut empty = Bench::new();
    empty.call.handle_timeout(empty.now + JOIN);
    empty.drain();
    assert!(empty.over);
    let mut silent = Bench::new();
    let leg = silent.join(CHROMIUM);
    silent.call.handle_timeout(silent.now + JOIN);
    silent.drain();
    assert!(silent.call.place_of(leg).is_none());
    assert!(silent.names().contains(&"leg_ended"));
}

#[test]
fn the_node_offers_and_takes_the_answer_once() {
    let mut bench = Bench::new();
    let asked = AddLeg { media: Some(vec![Media::Audio]), ..AddLeg::default() };
    let leg = bench.add(asked).unwrap();
    bench.apply();
    let Some((1, Ok(Reply::Added(added)))) = bench.replies.last() else { panic!() };
    assert_eq!(added.leg.state, LegState::Offered);
    let offer = added.offer.clone().unwrap();
    assert!(offer.contains("a=setup:actpass") && !offer.contains("m=video"));
    let answer = offer.replace("actpass", "active").replace("a=ice-lite\r\n", "");
    let id = bench.id(leg);
    bench.call.answer(bench.now, 2, &id, &Description { sdp: answer.clone() }).unwrap();
    bench.drain();
    assert_eq!(bench.count(|told| matches!(told, Command::SetRemoteCredentials { .. })), 1);
    bench.apply();
    assert!(matches!(bench.replies.last(), Some((2, Ok(Reply::Leg(_))))));
    let again = bench.call.answer(bench.now, 3, &id, &Description { sdp: answer });
    assert_eq!(again.unwrap_err().status, 409);
}

#[test]
fn publishers_and_viewers_come_and_go_without_ending_the_call() {
    let mut bench = Bench::new();
    let join = |bench: &mut Bench, stays| {
        let asked = AddLeg { offer: Some(CHROMIUM.into()), stays, ..AddLeg::default() };
        let leg = bench.add(asked).unwrap();
        bench.apply();
        bench.connect(leg);
        leg
    };
    let leave = |bench: &mut Bench, leg| {
        let id = bench.id(leg);
        bench.call.remove_leg(bench.now, 900, &id).unwrap();
        bench.drain();
        bench.call.dtls_gone(TransportId { leg, index: 0 });
        bench.apply();
    };
    let (publisher, viewer) = (join(&mut bench, true), join(&mut bench, true));
    assert!(bench.names().contains(&"call_active"));
    leave(&mut bench, publisher);
    // Whoever views waits for as long as it likes.
    bench.call.handle_timeout(bench.now + 1000 * JOIN);
    bench.drain();
    assert!(!bench.names().contains(&"call_ended"));
    let publisher = join(&mut bench, true);
    leave(&mut bench, viewer);
    leave(&mut bench, publisher);
    // An empty call waits for the next one, but not for ever.
    assert!(!bench.names().contains(&"call_ended"));
    join(&mut bench, true);
    let speakers = [join(&mut bench, false)];
    leave(&mut bench, speakers[0]);
    assert!(!bench.names().contains(&"call_ended"), "a viewer is left, who waits");
    let viewer = bench.call.legs.iter().find(|leg| leg.ended.is_none()).unwrap().slot;
    leave(&mut bench, viewer);
    bench.call.handle_timeout(bench.now + 2 * JOIN);
    bench.drain();
    assert!(bench.names().contains(&"call_ended"));
}

/// An answer that says passive would wait for the node, and the node for it.
#[test]
fn a_pair_that_comes_before_the_answer_does_not_settle_who_begins_the_handshake() {
    let mut bench = Bench::new();
    let leg = bench.add(AddLeg::default()).unwrap();
    bench.apply();
    let Some((1, Ok(Reply::Added(added)))) = bench.replies.last() else { panic!() };
    let answer = added.offer.clone().unwrap();
    let answer = answer.replace("actpass", "passive").replace("a=ice-lite\r\n", "");
    let transport = TransportId { leg, index: 0 };
    let remote = "198.51.100.2:5000".parse().unwrap();
    let id = bench.id(leg);
    bench.call.transport(transport).unwrap().paths.add((SocketId(0), remote));
    bench.call.event(bench.now, &Event::Nominated { transport, remote, generation: 0 });
    bench.drain();
    assert!(bench.shaken.is_empty(), "{:?}", bench.shaken);
    bench.call.answer(bench.now, 2, &id, &Description { sdp: answer }).unwrap();
    bench.drain();
    let [(_, DtlsInput::Start { role, .. })] = &bench.shaken[..] else {
        panic!("{:?}", bench.shaken)
    };
    assert_eq!(*role, Role::Active);
}

/// The offer with other ICE credentials.
fn restarted(offer: &str, ufrag: &str) -> String {
    let line = |line: &str| match line.split_once(':') {
        Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{ufrag}\r\n"),
        Some(("a=ice-pwd", _)) => format!("a=ice-pwd:{ufrag}0123456789012345678901\r\n"),
        _ => format!("{line}\r\n"),
    };
    offer.lines().map(line).collect()
}

fn ufrag(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap()
}

impl Bench {
    /// A leg offers again; the node's answer once the worker has applied it.
    fn offer(&mut self, leg: LegId, sdp: String) -> Result<String, Problem> {
        let (id, request) = (self.id(leg), 1000 + self.replies.len() as u64);
        self.call.offer(self.now, request, &id, &Description { sdp })?;
        self.drain();
        self.apply();
        match self.replies.pop() {
            Some((of, Ok(Reply::Description(answer)))) if of == request => Ok(answer.sdp),
            other => panic!("{other:?}"),
        }
    }

    fn nominated(&mut self, leg: LegId, remote: &str, generation: u32) {
        self.nominated_on(TransportId { leg, index: 0 }, remote, generation);
    }

    fn nominated_on(&mut self, transport: TransportId, remote: &str, generation: u32) {
        let remote = remote.parse().unwrap();
        self.call.event(self.now, &Event::Nominated { transport, remote, generation });
        self.drain();
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.call.handle_timeout(self.now);
        self.drain();
    }

    fn remote(&self, leg: LegId) -> Option<String> {
        self.call.leg_view(&self.id(leg)).unwrap().remote
    }
}

#[test]
fn a_restart_is_answered_with_new_credentials_and_the_old_path_stays_until_the_new_one_is_there() {
    let mut bench = Bench::new();
    let (a, _) = bench.two();
    let before = bench.remote(a);
    let first = bench.offer(a, CHROMIUM.into()).unwrap();
    let second = bench.offer(a, restarted(CHROMIUM, "again1")).unwrap();
    assert_ne!(ufrag(&first), ufrag(&second));
    assert_eq!(ufrag(&bench.offer(a, restarted(CHROMIUM, "again1")).unwrap()), ufrag(&second));
    assert_eq!(bench.remote(a), before);
    bench.events.clear();
    bench.nominated(a, "198.51.100.9:9000", 1);
    assert_eq!(bench.remote(a).as_deref(), Some("198.51.100.9:9000"));
    assert_eq!(bench.names(), ["leg_changed"]);
    bench.nominated(a, "198.51.100.2:5000", 0);
    assert_eq!(bench.remote(a).as_deref(), Some("198.51.100.9:9000"), "what is over stays over");
}

#[test]
fn a_restart_that_finds_no_path_is_cancelled_and_the_call_goes_on() {
    let mut bench = Bench::new();
    let (a, _) = bench.two();
    let before = bench.remote(a);
    bench.offer(a, restarted(CHROMIUM, "again1")).unwrap();
    bench.wait(31);
    let cancels = |told: &Command| matches!(told, Command::CancelRestart { generation: 1, .. });
    assert_eq!(bench.count(cancels), 1, "{:?}", bench.told);
    bench.apply();
    assert_eq!((bench.remote(a), bench.call.view().legs.len()), (before, 2));
    let third = bench.offer(a, restarted(CHROMIUM, "again2")).unwrap();
    assert!(!third.is_empty());
    bench.nominated(a, "198.51.100.9:9000", 2);
    assert_eq!(bench.remote(a).as_deref(), Some("198.51.100.9:9000"));
}

#[test]
fn a_restart_that_the_worker_refuses_is_as_if_it_had_not_been() {
    let mut bench = Bench::new();
    let (a, _) = bench.two();
    let first = bench.offer(a, CHROMIUM.into()).unwrap();
    let (id, offer) = (bench.id(a), restarted(CHROMIUM, "again1"));
    let request = Description { sdp: offer.clone() };
    bench.call.offer(bench.now, 77, &id, &request).unwrap();
    bench.drain();
    for (tag, told) in std::mem::take(&mut bench.told) {
        let refused = matches!(told, Command::RestartIce { .. });
        let outcome = if refused { Err(Refusal::Full) } else { Ok(()) };
        bench.call.applied(bench.now, tag, outcome, Returned::Nothing);
    }
    bench.drain();
    let Some((77, Err(problem))) = bench.replies.pop() else { panic!("{:?}", bench.replies) };
    assert_eq!(problem.status, 503);
    let again = bench.offer(a, CHROMIUM.into()).unwrap();
    assert_eq!(ufrag(&again), ufrag(&first));
    assert_ne!(ufrag(&bench.offer(a, offer).unwrap()), ufrag(&first));
}

#[test]
fn the_announced_address_of_restarts_and_new_legs_is_the_latest() {
    let mut bench = Bench::new();
    let (a, _) = bench.two();
    bench.call.announce(0, "203.0.113.9".parse().unwrap());
    let same = bench.offer(a, held(CHROMIUM)).unwrap();
    assert!(same.contains(" 203.0.113.5 40500 typ host"), "{same}");
    let renewed = bench.offer(a, restarted(CHROMIUM, "again1")).unwrap();
    assert!(renewed.contains(" 203.0.113.9 40500 typ host"), "{renewed}");
    assert!(!renewed.contains(" 203.0.113.5 40500 typ host"), "{renewed}");
}

#[test]
fn a_lite_far_side_is_checked_and_told_so() {
    let mut bench = Bench::new();
    let offer = CHROMIUM.replacen("t=0 0", "t=0 0\r\na=ice-lite", 1);
    bench.add(AddLeg { offer: Some(offer), ..AddLeg::default() }).unwrap();
    bench.wait(0);
    bench.wait(1);
    let checks = |told: &Command| matches!(told, Command::Check { .. });
    assert!(bench.count(checks) > 0, "{:?}", bench.told);
    bench.apply();
    let [(1, Ok(Reply::Added(added)))] = &bench.replies[..] else { panic!("{:?}", bench.replies) };
    assert!(!added.answer.as_ref().unwrap().contains("a=ice-lite"));
}

#[test]
fn only_who_may_do_without_ice_is_given_ports() {
    let offer = include_str!("../sdp/fixtures/sip_phone.sdp");
    let asked = AddLeg { offer: Some(offer.into()), ..AddLeg::default() };
    fn wanted(asked: &AddLeg) -> Result<(usize, Option<bool>), Problem> {
        Call::ports_wanted(asked).map(|wanted| (wanted.pairs, wanted.ipv6))
    }
    assert_eq!(wanted(&asked).unwrap(), (0, None));
    let problem = Bench::new().add(asked.clone()).unwrap_err();
    assert!(problem.kind.ends_with("no-ice-credentials"), "{problem:?}");
    let asked = AddLeg { without_ice: true, ..asked };
    assert_eq!(wanted(&asked).unwrap(), (1, Some(false)));
    let asked = AddLeg { kind: Some(LegKind::Sdes), offer: None, ..asked };
    assert_eq!(wanted(&asked).unwrap(), (1, None));
    let asked = AddLeg { interface: Some("pub".into()), kind: None, ..asked };
    assert_eq!(wanted(&asked).unwrap_err().at.as_deref(), Some("interface"));
}
