//! The agent against `is` as a full far side, over a link with the node's 1-to-1 NAT in it.

use causeway_engine::command::WorkerId;
use zeroize::Zeroizing;

use super::*;

const BOUND: SocketId = SocketId(0);
const ANNOUNCED: &str = "203.0.113.5:40500";
const CLIENT: &str = "198.51.100.7:5000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config(lite: bool) -> AgentConfig {
    AgentConfig {
        local: vec![LocalAddress { announced: address(ANNOUNCED), socket: BOUND, over: Over::Udp }],
        lite,
        controlling: false,
        component: 1,
        credentials: Credentials::random(WorkerId(0)),
    }
}

/// The node's agent, a far side, and the clock of both.
struct Link {
    now: Instant,
    node: Agent,
    client: IceAgent,
    client_address: SocketAddr,
    /// What the node has said, datagrams aside.
    events: Vec<Output>,
    /// Where the client's events point its media.
    client_sends_to: Option<SocketAddr>,
    /// Whether datagrams of the node arrive.
    answers_arrive: bool,
}

impl Link {
    fn new(config: AgentConfig) -> Self {
        let mut client = IceAgent::new(IceCreds::new());
        client.set_controlling(!config.controlling);
        let address = address(CLIENT);
        client.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        Self {
            now: Instant::now(),
            node: Agent::new(config).unwrap(),
            client,
            client_address: address,
            events: Vec::new(),
            client_sends_to: None,
            answers_arrive: true,
        }
    }

    /// The client takes the node's description.
    fn offer(&mut self) {
        self.client.set_remote_credentials(to_is(&self.node.local_credentials()));
        for line in self.node.local_candidates() {
            self.client.add_remote_candidate(Candidate::from_sdp_string(&line).unwrap());
        }
    }

    /// The node takes the client's credentials.
    fn answer(&mut self) {
        self.node.set_remote(self.now, self.remote());
    }

    fn remote(&self) -> Remote {
        let own = self.client.local_credentials();
        let password = Zeroizing::new(own.pass.clone());
        Remote {
            credentials: Credentials { ufrag: own.ufrag.clone(), password },
            lite: self.client.ice_lite(),
        }
    }

    /// Lets both talk for so many milliseconds.
    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 10 {
            self.now += Duration::from_millis(10);
            self.client.handle_timeout(self.now);
            self.exchange();
            if let Output::Timeout(Some(at)) = self.drain()
                && at <= self.now
            {
                self.node.handle_timeout(self.now);
                self.drain();
            }
        }
    }

    fn exchange(&mut self) {
        while let Some(sent) = self.client.poll_transmit() {
            assert_eq!(sent.destination, address(ANNOUNCED), "the client knows no other address");
            let (from, to) = (self.client_address, BOUND);
            self.node.handle_packet(self.now, from, to, &sent.contents);
            self.drain();
        }
        while let Some(event) = self.client.poll_event() {
            if let IceAgentEvent::NominatedSend { destination, .. } = event {
                self.client_sends_to = Some(destination);
            }
        }
    }

    /// Delivers the node's datagrams, keeps the rest; gives the timeout.
    fn drain(&mut self) -> Output {
        loop {
            match self.node.poll_output() {
                Output::Check { local, remote, bytes }
                | Output::Transmit { local, remote, bytes } => {
                    assert_eq!(local, BOUND);
                    if remote == self.client_address && self.answers_arrive {
                        self.deliver(&bytes);
                    }
                    self.events.push(Output::Transmit { local, remote, bytes });
                }
                timeout @ Output::Timeout(_) => return timeout,
                event => self.events.push(event),
            }
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let packet = StunPacket {
            proto: Protocol::Udp,
            source: address(ANNOUNCED),
            destination: address(CLIENT),
            message: StunMessage::parse(bytes).unwrap(),
        };
        self.client.handle_packet(self.now, packet);
    }

    /// Candidates of the far side that the node remembers.
    fn known(&self) -> usize {
        self.node.inner.as_ref().map_or(0, |inner| inner.remote_candidates().count())
    }

    fn sent(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Output::Transmit { .. })).count()
    }

    fn position(&self, wanted: &Output) -> Option<usize> {
        self.events.iter().position(|event| event == wanted)
    }

    fn failure(&self) -> Option<IceError> {
        self.events.iter().find_map(|event| match event {
            Output::Failed(error) => Some(*error),
            _ => None,
        })
    }
}

fn authenticated() -> Output {
    Output::PairAuthenticated { local: BOUND, remote: address(CLIENT) }
}

fn nominated() -> Output {
    Output::Nominated { local: BOUND, remote: address(CLIENT) }
}

/// A check as a far side with these credentials would send it.
fn check(local: &Credentials, ufrag: &str, password: &str, nominate: bool) -> Vec<u8> {
    let username = format!("{}:{ufrag}", local.ufrag);
    let id = is::stun::TransId::new();
    let check = StunMessage::binding_request(&username, id, true, 1, 100, nominate);
    let mut bytes = vec![0; 512];
    let hmac = |key: &[u8], parts: &[&[u8]]| {
        is::Sha1HmacProvider::sha1_hmac(&is::DefaultSha1HmacProvider, key, parts)
    };
    let length = check.to_bytes(Some(password.as_bytes()), &mut bytes, hmac).unwrap();
    bytes.truncate(length);
    bytes
}

#[test]
fn a_lite_agent_is_found_behind_the_nat() {
    let mut link = Link::new(config(true));
    link.offer();
    link.answer();
    link.run(1000);
    assert_eq!(link.client_sends_to, Some(address(ANNOUNCED)));
    assert!(link.position(&authenticated()).is_some());
    assert!(link.position(&nominated()).is_some());
    assert!(!link.node.is_controlling());
}

#[test]
fn a_full_agent_pairs_with_a_full_far_side_in_either_role() {
    for controlling in [false, true] {
        let mut link = Link::new(AgentConfig { controlling, ..config(false) });
        link.offer();
        link.answer();
        link.node
            .add_remote_candidate("a=candidate:1 1 UDP 2122260223 198.51.100.7 5000 typ host")
            .unwrap();
        link.run(1000);
        assert_eq!(link.client_sends_to, Some(address(ANNOUNCED)), "controlling: {controlling}");
        assert!(link.position(&nominated()).is_some(), "controlling: {controlling}");
        assert_eq!(link.node.is_controlling(), controlling);
    }
}

#[test]
fn two_lite_sides_meet_because_the_node_turns_full() {
    let mut link = Link::new(config(true));
    link.client.set_ice_lite(true);
    link.client.set_controlling(false);
    link.offer();
    link.answer();
    assert!(link.node.is_controlling() && !link.node.is_lite());
    link.node
        .add_remote_candidate("candidate:1 1 udp 2122260223 198.51.100.7 5000 typ host")
        .unwrap();
    link.run(1000);
    assert!(link.position(&authenticated()).is_some());
    assert!(link.position(&nominated()).is_some());
}

#[test]
fn a_pair_is_reported_before_the_answer_that_makes_the_far_side_use_it() {
    let mut link = Link::new(config(true));
    link.offer();
    link.answer();
    link.run(1000);
    let first_sent = link.events.iter().position(|e| matches!(e, Output::Transmit { .. }));
    assert!(link.position(&authenticated()) < first_sent);
    let nominations = link.events.iter().filter(|e| **e == nominated()).count();
    let authentications = link.events.iter().filter(|e| **e == authenticated()).count();
    assert_eq!((nominations, authentications), (1, 1), "each is said once");
}

#[test]
fn the_answer_shows_the_source_as_it_was_seen() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    let seen = address("192.0.2.99:61000");
    let bytes = check(&credentials, "far", &credentials.password, false);
    link.node.handle_packet(link.now, seen, BOUND, &bytes);
    link.drain();
    let Some(Output::Transmit { remote, bytes, .. }) = link.events.last() else { panic!() };
    assert_eq!(*remote, seen);
    assert_eq!(StunMessage::parse(bytes).unwrap().mapped_address(), Some(seen));
}

#[test]
fn checks_are_answered_before_the_description_is_here() {
    for lite in [true, false] {
        let mut link = Link::new(config(lite));
        link.offer();
        link.run(500);
        assert!(link.position(&authenticated()).is_some(), "lite: {lite}");
        assert!(link.sent() > 0);
        link.answer();
        link.run(1000);
        assert!(link.position(&nominated()).is_some(), "lite: {lite}");
        assert_eq!(link.failure(), None);
    }
}

#[test]
fn a_phone_may_ring_for_long() {
    let mut link = Link::new(config(true));
    link.run(120_000);
    assert_eq!((link.drain(), link.failure()), (Output::Timeout(None), None));
    link.offer();
    link.answer();
    link.run(1000);
    assert!(link.position(&nominated()).is_some());
}

#[test]
fn a_wrong_password_makes_no_pair() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    link.answer();
    let remote = link.remote().credentials;
    let far = address(CLIENT);
    for (ufrag, password) in
        [(remote.ufrag.as_str(), "guessed"), ("other", credentials.password.as_str())]
    {
        let bytes = check(&credentials, ufrag, password, true);
        link.node.handle_packet(link.now, far, BOUND, &bytes);
    }
    let mut altered = check(&credentials, &remote.ufrag, &credentials.password, true);
    altered[30] ^= 1;
    link.node.handle_packet(link.now, far, BOUND, &altered);
    link.drain();
    assert_eq!(link.events, []);
    let good = check(&credentials, &remote.ufrag, &credentials.password, true);
    link.node.handle_packet(link.now, far, SocketId(9), &good);
    link.drain();
    assert_eq!(link.events, [], "not on a socket of this agent");
    link.node.handle_packet(link.now, far, BOUND, &good);
    link.drain();
    assert_eq!(link.events.len(), 3);
}

#[test]
fn the_description_forgets_an_early_far_side_that_it_does_not_name() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    let bytes = check(&credentials, "fork", &credentials.password, true);
    link.node.handle_packet(link.now, address("192.0.2.1:1000"), BOUND, &bytes);
    link.offer();
    link.answer();
    link.run(1000);
    assert_eq!(
        link.events.last().map(|_| link.node.nominated),
        Some(Some((BOUND, address(CLIENT))))
    );
    assert_eq!(link.node.authenticated[..], [address(CLIENT)]);
}

#[test]
fn silence_fails_in_time_and_says_why() {
    let mut link = Link::new(config(true));
    link.answer();
    assert_eq!(link.drain(), Output::Timeout(Some(link.now + SETUP_TIMEOUT)));
    link.run(SETUP_TIMEOUT.as_millis() as u64 + 10);
    assert_eq!(link.failure(), Some(IceError::NothingHeard));
    assert_eq!(link.drain(), Output::Timeout(None));
}

#[test]
fn answers_that_are_lost_fail_otherwise_than_silence() {
    let mut link = Link::new(config(true));
    link.answers_arrive = false;
    link.offer();
    link.answer();
    link.run(SETUP_TIMEOUT.as_millis() as u64 + 10);
    assert_eq!(link.failure(), Some(IceError::NotNominated));
}

#[test]
fn a_full_agent_fails_early_when_its_last_pair_has() {
    let mut link = Link::new(config(false));
    link.answer();
    link.node.add_remote_candidate("candidate:1 1 udp 1 192.0.2.66 9 typ host").unwrap();
    link.node.end_of_candidates();
    link.run(SETUP_TIMEOUT.as_millis() as u64 - 1000);
    assert_eq!(link.failure(), Some(IceError::AllPairsFailed));
}

#[test]
fn after_the_hand_over_silence_means_nothing() {
    for lite in [true, false] {
        let mut link = Link::new(config(lite));
        link.offer();
        link.answer();
        link.run(1000);
        link.node.hand_over(link.now);
        // A full agent repeats its nomination for a moment.
        link.run(4000);
        link.events.clear();
        for _ in 0..100 {
            link.now += Duration::from_secs(1);
            link.node.handle_timeout(link.now);
            assert_eq!(link.drain(), Output::Timeout(None));
        }
        assert_eq!(link.events, []);
    }
}

#[test]
fn a_far_side_that_moves_is_followed_after_the_hand_over() {
    let mut link = Link::new(config(true));
    link.offer();
    link.answer();
    link.run(1000);
    link.node.hand_over(link.now);
    link.events.clear();
    let (own, far) = (link.node.local_credentials(), link.remote().credentials);
    let moved = address("192.0.2.50:7000");
    let bytes = check(&own, &far.ufrag, &own.password, true);
    link.node.handle_packet(link.now, moved, BOUND, &bytes);
    link.drain();
    let (local, remote) = (BOUND, moved);
    assert_eq!(link.events[0], Output::PairAuthenticated { local, remote });
    assert_eq!(link.events[1], Output::Nominated { local, remote });
    assert_eq!(link.sent(), 1);
}

#[test]
fn after_the_hand_over_an_agent_rests_and_answers_all_the_same() {
    for (lite, controlling) in [(true, false), (false, false), (false, true)] {
        let mut link = Link::new(AgentConfig { controlling, ..config(lite) });
        link.offer();
        link.answer();
        let line = "candidate:1 1 udp 2122260223 198.51.100.7 5000 typ host";
        link.node.add_remote_candidate(line).unwrap();
        link.run(1000);
        link.node.hand_over(link.now);
        link.now += CONFIRM_TIME;
        link.node.handle_timeout(link.now);
        link.drain();
        assert!(link.node.inner.is_none());
        assert_eq!(link.node.is_controlling(), controlling);
        assert_eq!(link.node.add_remote_candidate(line), Ok(()));
        assert!(link.node.inner.is_none(), "it has nothing to do with candidates");

        let own = link.node.local_credentials();
        let far = link.remote().credentials;
        let elsewhere = address("198.51.100.7:6000");
        for (ufrag, password, answers) in [
            (far.ufrag.as_str(), "another", 0),
            ("another", own.password.as_str(), 0),
            (&far.ufrag, own.password.as_str(), 1),
        ] {
            let before = link.sent();
            let bytes = check(&own, ufrag, password, true);
            link.node.handle_packet(link.now, elsewhere, BOUND, &bytes);
            link.drain();
            assert_eq!(link.sent() - before, answers, "lite: {lite}, {ufrag} {password}");
            assert!(link.node.inner.is_none());
            assert_eq!(link.node.is_controlling(), controlling);
        }
        let pair = Output::PairAuthenticated { local: BOUND, remote: elsewhere };
        assert_eq!(link.position(&pair).is_some(), !controlling, "two cannot be in control");
        let follows = link.position(&Output::Nominated { local: BOUND, remote: elsewhere });
        assert_eq!(follows.is_some(), lite, "a full agent has left that to the worker");
    }
}

#[test]
fn a_lite_agent_never_becomes_controlling() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    link.client.set_controlling(false);
    link.client.set_control_tie_breaker(u64::MAX - 1);
    link.offer();
    link.answer();
    link.run(2000);
    assert!(link.client.controlling(), "the far side yields");
    assert!(link.position(&nominated()).is_some());
    assert!(!link.node.is_controlling());
    drop(credentials);
}

#[test]
fn many_far_addresses_do_not_make_the_agent_grow() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    link.answer();
    let ufrag = link.remote().credentials.ufrag;
    for port in 1..=1000 {
        let from = SocketAddr::new(address(CLIENT).ip(), port);
        let bytes = check(&credentials, &ufrag, &credentials.password, false);
        link.node.handle_packet(link.now, from, BOUND, &bytes);
        assert!(link.known() <= MAX_PAIRS);
        assert!(link.node.authenticated.len() <= MAX_PAIRS);
        link.drain();
    }
    assert_eq!(link.sent(), 1000, "each is answered");
}

#[test]
fn a_full_agent_under_way_refuses_a_ninth_address() {
    let config = config(false);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    link.answer();
    let ufrag = link.remote().credentials.ufrag;
    for port in 1..=20 {
        let from = SocketAddr::new(address(CLIENT).ip(), port);
        let bytes = check(&credentials, &ufrag, &credentials.password, false);
        link.node.handle_packet(link.now, from, BOUND, &bytes);
        link.drain();
    }
    assert_eq!(link.known(), MAX_PAIRS);
}

#[test]
fn a_flood_of_candidates_is_bounded() {
    for lite in [true, false] {
        let mut link = Link::new(config(lite));
        link.answer();
        for port in 1..=1000 {
            let line = format!("candidate:1 1 udp 2122260223 192.0.2.1 {port} typ host");
            let taken = link.node.add_remote_candidate(&line);
            let fits = port <= MAX_REMOTE_CANDIDATES;
            assert_eq!(taken, if fits { Ok(()) } else { Err(Ignored::TooMany) });
        }
        assert!(link.known() <= MAX_REMOTE_CANDIDATES);
    }
}

#[test]
fn candidates_of_no_use_are_told_apart() {
    let mut link = Link::new(config(false));
    link.answer();
    let cases = [
        ("candidate:1 1 udp 1 4f1c9b1a-1d2e.local 5000 typ host", Ignored::Name),
        ("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active", Ignored::NotUdp),
        ("candidate:1 2 udp 1 192.0.2.1 5001 typ host", Ignored::OtherComponent),
        ("candidate:1 1 udp 1 0.0.0.0 5000 typ host", Ignored::Unreachable),
        ("candidate:1 1 udp 1 224.0.0.1 5000 typ host", Ignored::Unreachable),
        ("candidate:1 1 udp 1 192.0.2.1 0 typ host", Ignored::Unreachable),
        ("candidate:1 1 udp 1 192.0.2.1 5000 typ moon", Ignored::Malformed),
        ("candidate:1 1 udp 1 192.0.2.1 5000 typ host ufrag old", Ignored::OtherGeneration),
        ("candidate:1 1 udp", Ignored::Malformed),
        ("", Ignored::Malformed),
    ];
    for (line, reason) in cases {
        assert_eq!(link.node.add_remote_candidate(line), Err(reason), "{line}");
    }
}

#[test]
fn a_late_candidate_still_makes_a_pair() {
    let mut link = Link::new(AgentConfig { controlling: true, ..config(false) });
    link.client.set_ice_lite(true);
    link.offer();
    link.answer();
    link.run(3000);
    assert_eq!(link.position(&authenticated()), None);
    link.node
        .add_remote_candidate("candidate:1 1 udp 2122260223 198.51.100.7 5000 typ host")
        .unwrap();
    link.run(3000);
    assert!(link.position(&nominated()).is_some());
}

#[test]
fn an_unusable_address_is_refused_at_once() {
    let bad = LocalAddress { announced: address("0.0.0.0:1"), socket: BOUND, over: Over::Udp };
    let config = AgentConfig { local: vec![bad], ..config(true) };
    assert_eq!(Agent::new(config).unwrap_err(), BadAddress(address("0.0.0.0:1")));
}

/// A check whose nomination is numbered, as libwebrtc renominates: with MESSAGE-INTEGRITY and without
/// FINGERPRINT.
fn renomination(local: &Credentials, ufrag: &str, number: u32) -> Vec<u8> {
    let username = format!("{}:{ufrag}", local.ufrag);
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend(number.to_be_bytes().repeat(3));
    for (kind, value) in [
        (0x0006u16, username.as_bytes()),
        (0x0024, &100u32.to_be_bytes()),
        (0x802a, &1u64.to_be_bytes()),
        (0xc001, &number.to_be_bytes()),
    ] {
        bytes.extend(kind.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = (bytes.len() - 20 + 24) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let key = local.password.as_bytes();
    let tag = is::Sha1HmacProvider::sha1_hmac(&is::DefaultSha1HmacProvider, key, &[&bytes]);
    bytes.extend([0x00, 0x08, 0x00, 0x14]);
    bytes.extend(tag);
    bytes
}

#[test]
fn the_highest_of_numbered_nominations_is_followed() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    link.answer();
    let ufrag = link.remote().credentials.ufrag;
    let (one, other) = (address("192.0.2.1:1000"), address("192.0.2.2:2000"));
    // The third was overtaken on its way.
    for (from, number) in [(one, 1), (other, 3), (one, 2), (one, 4)] {
        let bytes = renomination(&credentials, &ufrag, number);
        link.node.handle_packet(link.now, from, BOUND, &bytes);
        link.drain();
    }
    let followed: Vec<_> = link
        .events
        .iter()
        .filter_map(|event| match event {
            Output::Nominated { remote, .. } => Some(*remote),
            _ => None,
        })
        .collect();
    assert_eq!(followed, [one, other, one]);
}

#[test]
fn aggressive_nomination_is_followed_wherever_it_goes() {
    let config = config(true);
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    link.answer();
    let ufrag = link.remote().credentials.ufrag;
    for port in [1000, 2000, 1000] {
        let from = SocketAddr::new(address(CLIENT).ip(), port);
        let bytes = check(&credentials, &ufrag, &credentials.password, true);
        link.node.handle_packet(link.now, from, BOUND, &bytes);
        link.drain();
        assert_eq!(link.node.nominated, Some((BOUND, from)));
    }
}

#[test]
fn each_component_has_an_agent_whose_candidates_and_checks_name_it() {
    for component in [1, 2] {
        let config = AgentConfig { component, controlling: true, ..config(false) };
        let mut link = Link::new(config);
        let own: Vec<_> = link.node.local_candidates().collect();
        let priority = u32::from(256 - u16::from(component)) + (126 << 24) + (65_535 << 8);
        let line = format!("candidate:1 {component} udp {priority} 203.0.113.5 40500 typ host");
        assert_eq!(own, [line]);
        link.offer();
        link.answer();
        let far = |component| format!("candidate:1 {component} udp 1 198.51.100.7 5000 typ host");
        let other = link.node.add_remote_candidate(&far(3 - component));
        assert_eq!(other, Err(Ignored::OtherComponent));
        link.node.add_remote_candidate(&far(component)).unwrap();
        link.node.handle_timeout(link.now);
        let output = link.node.poll_output();
        let Output::Check { bytes, .. } = output else { panic!("{component}: {output:?}") };
        let asked = stun::Message::parse(&bytes).unwrap().priority;
        assert_eq!(asked, Some((110 << 24) + (65_535 << 8) + 256 - u32::from(component)));
        link.run(1000);
        assert!(link.position(&nominated()).is_some(), "component {component}");
    }
}

#[test]
fn a_role_conflict_is_settled_whoever_has_to_yield() {
    for (controlling, theirs) in [(true, 0), (true, u64::MAX), (false, 0), (false, u64::MAX)] {
        let mut link = Link::new(AgentConfig { controlling, ..config(false) });
        link.client.set_controlling(controlling);
        link.client.set_control_tie_breaker(theirs);
        link.offer();
        link.answer();
        link.node
            .add_remote_candidate("candidate:1 1 udp 2122260223 198.51.100.7 5000 typ host")
            .unwrap();
        link.run(3000);
        let case = format!("both controlling: {controlling}, the far side's: {theirs}");
        assert_ne!(link.node.is_controlling(), link.client.controlling(), "{case}");
        if controlling {
            // RFC 8445 §7.3.1.1: whoever has the larger one stays controlling.
            assert_eq!(link.client.controlling(), theirs == u64::MAX, "{case}");
        }
        assert!(link.position(&nominated()).is_some(), "{case}");
    }
}

#[test]
fn answers_to_checks_that_were_not_sent_are_nothing() {
    let mut link = Link::new(AgentConfig { controlling: true, ..config(false) });
    link.offer();
    link.answer();
    link.node.add_remote_candidate("candidate:1 1 udp 1 198.51.100.7 5000 typ host").unwrap();
    let mut answer = [0; 200];
    let mut forge = |transaction, password: &str| {
        let key = stun::IntegrityKey::new(password);
        let id = stun::TransactionId(transaction);
        let len = stun::write_binding_success(&mut answer, id, address(ANNOUNCED), Some(&key));
        answer[..len.unwrap()].to_vec()
    };
    link.node.handle_timeout(link.now);
    let Output::Check { bytes, .. } = link.node.poll_output() else { panic!("no check") };
    let asked = <[u8; 12]>::try_from(&bytes[8..20]).unwrap();
    let password = link.remote().credentials.password;
    // Another transaction, another password, another source.
    for (transaction, password, from) in [
        ([7; 12], password.as_str(), CLIENT),
        (asked, "guessed", CLIENT),
        (asked, password.as_str(), "192.0.2.66:9"),
    ] {
        let forged = forge(transaction, password);
        link.node.handle_packet(link.now, address(from), BOUND, &forged);
        link.drain();
        assert_eq!(link.position(&authenticated()), None);
    }
    let right = forge(asked, &password);
    link.node.handle_packet(link.now, address(CLIENT), BOUND, &right);
    link.drain();
    assert!(link.position(&authenticated()).is_some());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, line: String) {
        let mut link = Link::new(config(true));
        let mut stun = check(&link.node.local_credentials(), "far", "x", false);
        stun.truncate(20);
        stun.extend(&bytes);
        link.node.handle_packet(link.now, address(CLIENT), BOUND, &bytes);
        link.node.handle_packet(link.now, address(CLIENT), BOUND, &stun);
        let _ = link.node.add_remote_candidate(&line);
        let _ = link.node.add_remote_candidate(&format!("candidate:1 1 udp {line}"));
        proptest::prop_assert_eq!(link.drain(), Output::Timeout(None));
    }
}

/// UDP and TCP share the address that the world knows, and each check is answered the way it came.
#[test]
fn a_check_over_tcp_makes_a_pair_of_the_tcp_socket() {
    const STREAMS: SocketId = SocketId::STREAMS;
    let mut config = config(true);
    let announced = address(ANNOUNCED);
    config.local.push(LocalAddress { announced, socket: STREAMS, over: Over::Tcp });
    let credentials = config.credentials.clone();
    let mut link = Link::new(config);
    let candidates: Vec<_> = link.node.local_candidates().collect();
    let priority = (90 << 24) + (((4 << 13) + 8190) << 8) + 255;
    let passive =
        format!("candidate:2 1 tcp {priority} 203.0.113.5 40500 typ host tcptype passive");
    assert_eq!(candidates[1], passive);
    link.answer();
    let ufrag = link.remote().credentials.ufrag;
    let far = address(CLIENT);
    for local in [STREAMS, BOUND] {
        let check = check(&credentials, &ufrag, &credentials.password, true);
        link.node.handle_packet(link.now, far, local, &check);
        let mut said = Vec::new();
        loop {
            match link.node.poll_output() {
                Output::Timeout(_) => break,
                output => said.push(output),
            }
        }
        assert!(said.contains(&Output::Nominated { local, remote: far }), "{said:?}");
        let answers = |output: &Output| matches!(output, Output::Transmit { local: from, remote, .. } if (*from, *remote) == (local, far));
        assert!(said.iter().any(answers), "{said:?}");
    }
}
