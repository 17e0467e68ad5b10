//! Legs whose far side has a port of its own for RTCP.

use causeway_engine::command::{Punt, PuntKind};
use causeway_engine::stun;

use super::*;
use crate::api::{Trickle, Verdict};
use crate::dtls::{DirectionKeys, SrtpKeys, Suite, Version};

const RTP_FROM: &str = "198.51.100.2:5000";
const RTCP_FROM: &str = "198.51.100.2:5001";

/// Chromium's offer as of a far side that does not multiplex.
fn parted() -> String {
    CHROMIUM.split_inclusive('\n').filter(|line| !line.starts_with("a=rtcp-mux")).collect()
}

fn rtp(leg: LegId) -> TransportId {
    TransportId { leg, index: 0 }
}

fn rtcp(leg: LegId) -> TransportId {
    TransportId { leg, index: 1 }
}

fn keys() -> SrtpKeys {
    let direction =
        |byte| DirectionKeys { key: vec![byte; 16].into(), salt: vec![byte; 12].into() };
    SrtpKeys { suite: Suite::AeadAes128Gcm, inbound: direction(1), outbound: direction(2) }
}

impl Bench {
    /// A leg without rtcp-mux that joins, and the node's answer.
    fn join_parted(&mut self) -> (LegId, String) {
        let leg = self.join(&parted());
        let Some((_, Ok(Reply::Added(added)))) = self.replies.last() else {
            panic!("{:?}", self.replies)
        };
        (leg, added.answer.clone().unwrap())
    }

    /// A call of a leg without rtcp-mux and one with it, both connected.
    fn mixed(&mut self) -> (LegId, LegId) {
        let ((a, _), b) = (self.join_parted(), self.join(FIREFOX));
        self.ready(rtp(a), RTP_FROM);
        self.ready(rtcp(a), RTCP_FROM);
        self.connect(b);
        self.events.clear();
        (a, b)
    }

    fn state(&self, leg: LegId) -> LegState {
        self.call.leg_view(&self.id(leg)).unwrap().state
    }

    /// A nominating check of the far side, as a worker hands it up that knows only sockets.
    fn check(&mut self, answer: &str, transport: TransportId, socket: u16, from: &str) {
        let password = answer.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap();
        let check = stun::Check {
            transaction: stun::TransactionId([7; 12]),
            remote_ufrag: ufrag(answer),
            local_ufrag: ufrag(CHROMIUM),
            priority: 1,
            role: stun::Role::Controlling(1),
            use_candidate: true,
            key: &stun::IntegrityKey::new(password),
        };
        let mut buffer = [0; 500];
        let len = stun::write_binding_request(&mut buffer, &check).unwrap();
        let punt = Punt {
            kind: PuntKind::Stun,
            transport: Some(transport),
            socket: SocketId(socket),
            remote: from.parse().unwrap(),
            bytes: buffer[..len].iter().copied().collect(),
        };
        self.call.punt(self.now, &punt);
        self.drain();
    }

    /// The pairs that the worker was told to use: whose, from which socket.
    fn pairs(&self) -> Vec<(u8, u16)> {
        let nominated = self.told.iter().filter_map(|(_, told)| match told {
            Command::InstallPair { transport, socket, nominated: true, .. } => {
                Some((transport.index, socket.0))
            }
            _ => None,
        });
        nominated.collect()
    }

    fn end_of(&self) -> Option<EndReason> {
        self.events.iter().find_map(|event| match event {
            What::LegEnded { leg, .. } => leg.ended,
            _ => None,
        })
    }
}

#[test]
fn a_leg_without_rtcp_mux_gets_a_transport_for_each_component_under_one_ufrag() {
    let mut bench = Bench::with_ports(2);
    let slot = bench.add(AddLeg { offer: Some(parted()), ..AddLeg::default() }).unwrap();
    let Command::AddLeg { state, .. } = &bench.told[0].1 else { panic!("{:?}", bench.told[0]) };
    assert_eq!([0, 1, 2].map(|place| state.dscp(place)), [Some(DSCP), Some(DSCP), None]);
    bench.apply();
    let Some((_, Ok(Reply::Added(added)))) = bench.replies.last() else { panic!() };
    let answer = added.answer.as_ref().unwrap();
    // The leg's slot is odd, and the next port is the first again.
    assert_eq!(slot.slot % 2, 1);
    assert!(answer.contains("candidate:1 1 udp 2130706431 203.0.113.5 40501 typ host"), "{answer}");
    assert!(answer.contains("candidate:1 2 udp 2130706430 203.0.113.5 40500 typ host"), "{answer}");
    assert!(answer.contains("a=rtcp:40500 IN IP4 203.0.113.5"), "{answer}");
    let said = bench.names().iter().filter(|name| **name == "candidate").count();
    assert_eq!(said, 3, "two, and that they were the last");
}

#[test]
fn a_leg_with_rtcp_mux_has_one_transport_however_many_ports_there_are() {
    let mut bench = Bench::with_ports(2);
    bench.add(AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() }).unwrap();
    bench.add(AddLeg::default()).unwrap();
    for (_, told) in &bench.told {
        if let Command::AddLeg { state, .. } = told {
            assert_eq!(state.dscp(1), None);
        }
    }
    bench.apply();
    assert_eq!(bench.names().iter().filter(|name| **name == "candidate").count(), 4);
}

#[test]
fn without_a_second_port_a_leg_without_rtcp_mux_is_refused() {
    let mut bench = Bench::with_ports(1);
    let asked = AddLeg { offer: Some(parted()), ..AddLeg::default() };
    let problem = bench.add(asked).unwrap_err();
    assert!(problem.kind.ends_with("no-rtcp-mux") && problem.detail.contains("mux_ports"));
    assert!(bench.told.is_empty() && bench.call.view().legs.is_empty());
}

#[test]
fn rtcp_gets_a_port_where_an_interface_has_one_more() {
    let mut bench = Bench::with_ports(3);
    let mut facts = (*bench.call.facts).clone();
    // One port on the first interface, two on the second.
    facts.faces.iter_mut().skip(1).for_each(|face| face.interface = 1);
    bench.call.facts = Arc::new(facts);
    let leg = bench.slot();
    let ports = |id| -> Vec<_> {
        bench.call.facts.faces_of(id).map(|face| face.announced.port()).collect()
    };
    assert_eq!((ports(rtp(leg)), ports(rtcp(leg))), (vec![40500, 40502], vec![40501]));
    let (_, answer) = bench.join_parted();
    assert_eq!(answer.matches(" 1 udp ").count(), 2 * answer.matches(" 2 udp ").count());
}

#[test]
fn each_check_goes_to_the_component_of_its_socket_whatever_the_worker_took_it_for() {
    let mut bench = Bench::with_ports(2);
    let (leg, answer) = bench.join_parted();
    bench.check(&answer, rtp(leg), 0, RTCP_FROM);
    assert_eq!(bench.pairs(), [(1, 0)], "port 40500 is that of RTCP");
    bench.told.clear();
    bench.check(&answer, rtp(leg), 1, RTP_FROM);
    assert_eq!(bench.pairs(), [(0, 1)]);
}

#[test]
fn each_transport_shakes_hands_for_itself_and_gets_its_own_keys() {
    let mut bench = Bench::with_ports(2);
    let (leg, answer) = bench.join_parted();
    bench.check(&answer, rtp(leg), 1, RTP_FROM);
    bench.check(&answer, rtcp(leg), 0, RTCP_FROM);
    let begun: Vec<_> = bench
        .shaken
        .iter()
        .map(|(transport, input)| match input {
            DtlsInput::Start { role, expected } => (*transport, *role, expected.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(begun, [(rtp(leg), Role::Passive, 1), (rtcp(leg), Role::Passive, 1)]);
    // What a handshake says goes where its transport sends.
    bench.apply();
    for (transport, to) in [(rtp(leg), (1, RTP_FROM)), (rtcp(leg), (0, RTCP_FROM))] {
        bench.call.dtls_datagram(transport, Box::new([22]));
        bench.drain();
        let Some((_, Command::Transmit { socket, remote, .. })) = bench.told.pop() else {
            panic!("{:?}", bench.told)
        };
        assert_eq!((socket.0, remote.to_string().as_str()), to);
    }
    bench.call.dtls_connected(rtcp(leg), &keys(), Version::Dtls13);
    bench.drain();
    let keyed: Vec<_> = bench
        .told
        .iter()
        .filter_map(|(_, told)| match told {
            Command::SetKeys { transport, .. } => Some(*transport),
            _ => None,
        })
        .collect();
    assert_eq!(keyed, [rtcp(leg)]);
}

#[test]
fn a_leg_is_connected_when_both_transports_have_pair_and_keys() {
    let mut bench = Bench::with_ports(2);
    let (leg, _) = bench.join_parted();
    bench.ready(rtcp(leg), RTCP_FROM);
    assert_eq!(bench.state(leg), LegState::Connecting);
    bench.nominated(leg, RTP_FROM, 0);
    assert_eq!(bench.state(leg), LegState::Connecting);
    bench.call.dtls_connected(rtp(leg), &keys(), Version::Dtls13);
    bench.drain();
    bench.apply();
    assert_eq!(bench.state(leg), LegState::Connected);
    let view = bench.call.leg_view(&bench.id(leg)).unwrap();
    assert_eq!(view.remote.as_deref(), Some(RTP_FROM));
    assert_eq!(view.security.as_deref(), Some("DTLS 1.3, AEAD_AES_128_GCM"));
}

#[test]
fn a_leg_that_gets_only_one_of_its_transports_is_late() {
    let mut bench = Bench::with_ports(2);
    let (leg, _) = bench.join_parted();
    bench.nominated(leg, RTP_FROM, 0);
    bench.call.dtls_connected(rtp(leg), &keys(), Version::Dtls13);
    bench.apply();
    bench.call.observe(bench.now + Duration::from_secs(31));
    bench.wait(31);
    assert_eq!(bench.end_of(), Some(EndReason::JoinTimeout), "no check came for RTCP");
    let why = bench.call.take_journal().tell_past(&Eyes::Operator);
    let story: Vec<_> = why.timeline.iter().map(|moment| moment.text.as_str()).collect();
    assert!(story.iter().any(|text| text.starts_with("RTCP: ICE gave up")), "{story:#?}");
    assert!(
        story
            .iter()
            .any(|text| text.starts_with("RTCP: The node expects checks at 203.0.113.5:40500"))
    );
    assert_eq!(why.summary[0].verdict, Verdict::NoChecks);
    assert!(
        why.summary[0].what.starts_with("RTCP: No connectivity check arrived at 203.0.113.5:40500")
    );
}

#[test]
fn what_one_transport_loses_the_leg_has_lost() {
    type Loss = fn(&mut Bench, LegId);
    let losses: [(Loss, EndReason); 4] = [
        (
            |bench, leg| {
                let transport = rtcp(leg);
                bench.call.event(bench.now, &Event::ConsentLost { transport });
            },
            EndReason::ConsentLost,
        ),
        (
            |bench, leg| bench.call.dtls_failed(bench.now, rtcp(leg), &DtlsError::Timeout, None),
            EndReason::DtlsFailed,
        ),
        (|bench, leg| bench.call.dtls_closed(bench.now, rtcp(leg)), EndReason::Closed),
        (
            |bench, leg| bench.call.keyed(bench.now, rtcp(leg), Err(Refusal::Full)),
            EndReason::EngineRefused,
        ),
    ];
    for (lose, reason) in losses {
        let mut bench = Bench::with_ports(2);
        let (leg, _) = bench.mixed();
        lose(&mut bench, leg);
        bench.drain();
        assert_eq!(bench.end_of(), Some(reason));
        let why = bench.call.take_journal().tell_past(&Eyes::Operator);
        let blamed = why.summary[0].what.starts_with("RTCP: ");
        let is_told = matches!(reason, EndReason::ConsentLost | EndReason::DtlsFailed);
        assert_eq!(blamed, is_told, "{:?}", why.summary[0]);
    }
}

#[test]
fn goodbye_is_said_by_each_transport_and_the_leg_stays_until_both_have() {
    let mut bench = Bench::with_ports(2);
    let (leg, answer) = bench.join_parted();
    bench.check(&answer, rtp(leg), 1, RTP_FROM);
    bench.check(&answer, rtcp(leg), 0, RTCP_FROM);
    bench.shaken.clear();
    bench.call.end(bench.now, EndReason::CallEnded);
    bench.drain();
    let closed: Vec<_> = bench.shaken.iter().map(|(transport, _)| *transport).collect();
    assert_eq!(closed, [rtp(leg), rtcp(leg)]);
    bench.apply();
    bench.call.dtls_gone(rtp(leg));
    bench.drain();
    assert!(!bench.over);
    bench.call.dtls_gone(rtcp(leg));
    bench.drain();
    assert!(bench.over);
}

#[test]
fn candidates_of_each_component_go_to_its_agent() {
    let mut bench = Bench::with_ports(2);
    // A lite far side is called, so that each candidate can be seen in a check.
    let offer = parted().replacen("t=0 0", "t=0 0\r\na=ice-lite", 1);
    let leg = bench.join(&offer);
    let candidates = vec![
        format!("candidate:1 1 udp 2130706431 {} typ host", RTP_FROM.replace(':', " ")),
        format!("candidate:1 2 udp 2130706430 {} typ host", RTCP_FROM.replace(':', " ")),
    ];
    let id = bench.id(leg);
    let more = Trickle { candidates, end_of_candidates: false };
    bench.call.trickle(bench.now, &id, &more).unwrap();
    bench.drain();
    (0..20).for_each(|_| {
        bench.now += Duration::from_millis(50);
        bench.call.handle_timeout(bench.now);
        bench.drain();
    });
    let checked = |told: &Command, index: u8, to: &str| {
        matches!(told, Command::Check { transport, remote, .. }
            if transport.index == index && remote.to_string() == to)
    };
    assert!(bench.count(|told| checked(told, 0, RTP_FROM)) > 0, "{:?}", bench.told);
    assert!(bench.count(|told| checked(told, 1, RTCP_FROM)) > 0, "{:?}", bench.told);
    assert_eq!(bench.count(|told| checked(told, 0, RTCP_FROM)), 0);
    assert_eq!(bench.count(|told| checked(told, 1, RTP_FROM)), 0);
}

#[test]
fn a_restart_renews_both_transports_under_the_same_credentials() {
    let mut bench = Bench::with_ports(2);
    let (leg, _) = bench.mixed();
    let before = bench.remote(leg);
    let id = bench.id(leg);
    let sdp = restarted(&parted(), "again1");
    bench.call.offer(bench.now, 77, &id, &Description { sdp: sdp.clone() }).unwrap();
    bench.drain();
    let restarts: Vec<_> = bench
        .told
        .iter()
        .filter_map(|(_, told)| match told {
            Command::RestartIce { transport, next } => Some((*transport, next.generation())),
            _ => None,
        })
        .collect();
    assert_eq!(restarts, [(rtp(leg), 1), (rtcp(leg), 1)]);
    bench.apply();
    let Some((77, Ok(Reply::Description(answer)))) = bench.replies.last() else { panic!() };
    let answer = answer.sdp.clone();
    assert_eq!(answer.matches("a=candidate:1 2 udp").count(), 2, "{answer}");
    for transport in [rtp(leg), rtcp(leg)] {
        let next =
            bench.call.transport(transport).unwrap().ice.as_ref().unwrap().next.as_ref().unwrap();
        assert_eq!(next.agent.local_credentials().ufrag, ufrag(&answer));
    }
    // Each changes over by itself, and the leg is connected all the while.
    bench.nominated_on(rtcp(leg), "198.51.100.9:9001", 1);
    assert_eq!((bench.remote(leg), bench.state(leg)), (before, LegState::Connected));
    bench.nominated_on(rtp(leg), "198.51.100.9:9000", 1);
    assert_eq!(bench.remote(leg).as_deref(), Some("198.51.100.9:9000"));
    bench.wait(31);
    assert_eq!(bench.state(leg), LegState::Connected);
}

#[test]
fn a_restart_that_finds_one_path_of_two_goes_on_with_the_old_one_of_the_other() {
    let mut bench = Bench::with_ports(2);
    let (leg, _) = bench.mixed();
    bench.offer(leg, restarted(&parted(), "again1")).unwrap();
    bench.nominated_on(rtp(leg), "198.51.100.9:9000", 1);
    bench.wait(31);
    let cancelled = |told: &Command| matches!(told, Command::CancelRestart { transport, generation: 1 } if *transport == rtcp(leg));
    assert_eq!(bench.count(cancelled), 1, "{:?}", bench.told);
    assert_eq!(bench.state(leg), LegState::Connected);
}

#[test]
fn a_restart_that_the_worker_refuses_for_one_transport_is_taken_back_for_both() {
    for refused in [0, 1] {
        let mut bench = Bench::with_ports(2);
        let (leg, _) = bench.mixed();
        let first = bench.offer(leg, parted()).unwrap();
        let (id, sdp) = (bench.id(leg), restarted(&parted(), "again1"));
        bench.call.offer(bench.now, 77, &id, &Description { sdp }).unwrap();
        bench.drain();
        for (tag, told) in std::mem::take(&mut bench.told) {
            let is_refused = matches!(&told, Command::RestartIce { transport, .. } if transport.index == refused);
            let outcome = if is_refused { Err(Refusal::Full) } else { Ok(()) };
            bench.call.applied(bench.now, tag, outcome, Returned::Nothing);
        }
        bench.drain();
        let answers: Vec<_> = bench.replies.iter().filter(|(of, _)| *of == 77).collect();
        let [(_, Err(problem))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(problem.status, 503);
        let other = TransportId { leg, index: 1 - refused };
        let cancels = |told: &Command| matches!(told, Command::CancelRestart { transport, generation: 1 } if *transport == other);
        assert_eq!(bench.count(cancels), 1, "{:?}", bench.told);
        let again = bench.offer(leg, parted()).unwrap();
        assert_eq!(ufrag(&again), ufrag(&first));
    }
}

#[test]
fn whether_rtcp_has_a_port_of_its_own_stays() {
    let mut bench = Bench::with_ports(2);
    let (parted_leg, muxed) = bench.mixed();
    let dropped: String =
        FIREFOX.split_inclusive('\n').filter(|line| !line.starts_with("a=rtcp-mux")).collect();
    let problem = bench.offer(muxed, dropped).unwrap_err();
    assert!(problem.kind.ends_with("rtcp-mux-changed"), "{problem:?}");
    assert!(problem.at.is_some_and(|at| at.starts_with("line ")));
    let answer = bench.offer(parted_leg, CHROMIUM.into()).unwrap();
    assert!(!answer.contains("a=rtcp-mux") && answer.contains("candidate:1 2 udp"), "{answer}");
    assert_eq!(bench.state(muxed), LegState::Connected);
}

#[test]
fn transport_wide_numbers_are_those_of_the_transport_of_media() {
    let mut bench = Bench::with_ports(2);
    bench.join(&parted());
    bench.add(AddLeg { offer: Some(FIREFOX.into()), ..AddLeg::default() }).unwrap();
    for (_, told) in &bench.told {
        if let Command::AnswerTransportCc { transport, .. }
        | Command::EstimateBandwidth { transport, .. } = told
        {
            assert_eq!(transport.index, 0);
        }
    }
}
