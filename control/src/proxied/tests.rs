mod bundle;
mod keys;
mod media;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use causeway_engine::command::Event;

use super::*;
use crate::ng::{Dictionary, Format, Value};
use crate::ports::Port;
use crate::sdp::Sdp;

/// Ports from 30000 on at 203.0.113.5, as many pairs as there are.
struct Fake {
    pairs: u16,
    legs: u16,
    freed: Vec<SocketId>,
    recordings: u64,
}

impl Lender for Fake {
    fn lease(&mut self, _: Option<&str>, _: bool, _: bool) -> Result<Vec<PortPair>, PortError> {
        self.pairs = self.pairs.checked_sub(1).ok_or(PortError::Sockets)?;
        let number = 30_000 + 2 * (98 - self.pairs);
        let port = |number: u16| Port {
            socket: SocketId(number),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            bound: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 5), number)),
            announced: SocketAddr::from((Ipv4Addr::new(203, 0, 113, 5), number)),
        };
        Ok(vec![PortPair { interface: 0, rtp: port(number), rtcp: port(number + 1) }])
    }

    fn free(&mut self, ports: PortPair) {
        self.freed.extend([ports.rtp.socket, ports.rtcp.socket]);
    }

    fn leg(&mut self) -> Option<LegId> {
        self.legs += 1;
        Some(LegId { worker: WorkerId(0), slot: self.legs, generation: 1 })
    }

    fn give(&mut self, _: LegId) {}

    fn recording(&mut self) -> Result<RecordingId, NgError> {
        self.recordings = self.recordings.checked_sub(1).ok_or(NgError::RecordingFull)?;
        Ok(RecordingId(self.recordings))
    }
}

/// A leg's slot, its transport of media and of RTCP.
type PipeTo = (u16, u8, u8);

struct Bench {
    call: ProxiedCall,
    lender: Fake,
    now: Instant,
    unix: Duration,
    requests: RequestId,
    commands: Vec<Command>,
    dtls: Vec<(TransportId, DtlsInput)>,
    freed: Vec<SocketId>,
    record: Option<Box<CallRecord>>,
    orders: Vec<Order>,
    over: bool,
    /// Whether the worker takes no further leg.
    full: bool,
}

impl Bench {
    fn new() -> Self {
        let (now, unix) = (Instant::now(), Duration::from_secs(1_700_000_000));
        let facts = Facts {
            fingerprints: vec![Fingerprint::sha256([0xab; 32])],
            instance: "0123456789ab".into(),
            dscp: 0,
            legacy_suites: false,
            timeouts: Timeouts { delete_delay: Duration::ZERO, ..Timeouts::default() },
        };
        let clock = Clock { now, unix };
        Self {
            call: ProxiedCall::new("call".into(), WorkerId(0), Arc::new(facts), clock),
            lender: Fake { pairs: 99, legs: 0, freed: Vec::new(), recordings: 1 },
            now,
            unix,
            requests: 0,
            commands: Vec::new(),
            dtls: Vec::new(),
            freed: Vec::new(),
            record: None,
            orders: Vec::new(),
            over: false,
            full: false,
        }
    }

    fn clock(&self) -> Clock {
        Clock { now: self.now, unix: self.unix }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.unix += time;
        self.call.handle_timeout(self.clock());
        self.drain();
    }

    /// Drains the outputs, answering for the worker.
    fn drain(&mut self) -> Option<Dictionary> {
        let mut said = None;
        loop {
            match self.call.poll_output() {
                Output::Reply(_, reply) => said = Some(read(&reply)),
                Output::Engine(tag, command) => {
                    let returned = match &command {
                        Command::ReadLeg { .. } => {
                            Returned::LegReading(Box::new(LegReading::new()))
                        }
                        _ => Returned::Nothing,
                    };
                    let is_refused = self.full && matches!(command, Command::AddLeg { .. });
                    let outcome = if is_refused { Err(Refusal::Full) } else { Ok(()) };
                    self.commands.push(command);
                    self.call.applied(self.clock(), tag, outcome, returned);
                }
                Output::Record(order) => self.orders.push(order),
                Output::Dtls(transport, input) => self.dtls.push((transport, input)),
                Output::Freed(socket) => self.freed.push(socket),
                Output::Ended(record) => self.record = Some(record),
                Output::Over => self.over = true,
                Output::Own(_) | Output::Closed => {}
                Output::Timeout(_) => return said,
            }
        }
    }

    fn ask(&mut self, command: &str, more: &[(&str, &str)]) -> Dictionary {
        let mut document = Dictionary::new().with("command", command).with("call-id", "call");
        for (key, value) in more {
            match value.strip_prefix('[') {
                Some(list) => {
                    let words = list.trim_end_matches(']').split(' ').map(Value::from);
                    document.push(*key, Value::List(words.collect()));
                }
                None => document.push(*key, *value),
            }
        }
        let message = Message::parse(&document).unwrap();
        self.requests += 1;
        let (clock, request) = (self.clock(), self.requests);
        self.call.ask(clock, request, message, false, &mut self.lender);
        self.drain().expect("every request is answered")
    }

    fn offer(&mut self, from: &str, sdp: &str, more: &[(&str, &str)]) -> String {
        let asked = [&[("from-tag", from), ("sdp", sdp)], more].concat();
        sdp_of(&self.ask("offer", &asked))
    }

    fn answer(&mut self, from: &str, to: &str, sdp: &str, more: &[(&str, &str)]) -> String {
        let asked = [&[("from-tag", from), ("to-tag", to), ("sdp", sdp)], more].concat();
        sdp_of(&self.ask("answer", &asked))
    }

    /// The pipes that each stream has now, by leg.
    fn pipes(&self) -> Vec<(u16, Vec<PipeTo>)> {
        let mut found: Vec<(u16, Vec<PipeTo>)> = Vec::new();
        for command in &self.commands {
            if let Command::SetPipes { stream, pipes } = command {
                found.retain(|(leg, _)| *leg != stream.leg.slot);
                let to = |pipe: &causeway_engine::pipe::Pipe| {
                    (pipe.media.leg.slot, pipe.media.index, pipe.reports.index)
                };
                found.push((stream.leg.slot, pipes.iter().map(to).collect()));
            }
        }
        found.sort();
        found
    }
}

fn read(reply: &Reply) -> Dictionary {
    let bytes = reply.clone().write(Format::Bencode);
    let (_, document) = crate::ng::frame::read(&bytes);
    document.unwrap()
}

fn text(document: &Dictionary, key: &str) -> String {
    document.lookup(key).and_then(Value::text).unwrap_or_default().into()
}

fn sdp_of(reply: &Dictionary) -> String {
    assert_eq!(text(reply, "result"), "ok", "{}", text(reply, "error-reason"));
    text(reply, "sdp")
}

/// A description of one m-line of audio.
fn audio(address: &str, port: u16, more: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n{more}"
    )
}

fn browser(ufrag: &str, setup: &str) -> String {
    let fingerprint = ["AB"; 32].join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:0\r\na=rtcp-mux\r\n\
         a=rtpmap:0 PCMU/8000\r\n"
    )
}

#[test]
fn two_phones_get_ports_of_their_own_and_hear_each_other() {
    let mut bench = Bench::new();
    let offer = bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    assert!(offer.contains("c=IN IP4 203.0.113.5\r\n"), "{offer}");
    assert!(offer.contains("m=audio 30002 RTP/AVP 0 101\r\n"), "{offer}");
    assert!(offer.contains("a=rtcp:30003\r\n"), "{offer}");
    let answer = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    assert!(answer.contains("m=audio 30000 RTP/AVP 0 101\r\n"), "{answer}");
    assert_eq!(bench.pipes(), [(1, vec![(2, 0, 1)]), (2, vec![(1, 0, 1)])]);
}

#[test]
fn a_browser_and_a_phone_are_joined() {
    let mut bench = Bench::new();
    let to_phone = [
        ("ICE", "remove"),
        ("transport-protocol", "RTP/AVP"),
        ("rtcp-mux", "[demux]"),
        ("DTLS", "off"),
        ("SDES", "[off]"),
    ];
    let offer = bench.offer("a", &browser("aaaa", "actpass"), &to_phone);
    for absent in ["ice-ufrag", "fingerprint", "candidate", "rtcp-mux", "crypto"] {
        assert!(!offer.contains(absent), "{absent} in {offer}");
    }
    assert!(offer.contains("m=audio 30002 RTP/AVP 0\r\n"), "{offer}");
    let answer = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[("ICE", "force")]);
    assert!(answer.contains("m=audio 30000 UDP/TLS/RTP/SAVPF 0\r\n"), "{answer}");
    for present in [
        "a=setup:active\r\n",
        "a=ice-ufrag:",
        "a=rtcp-mux\r\n",
        " UDP 2130706431 203.0.113.5 30000 typ host",
    ] {
        assert!(answer.contains(present), "{present} not in {answer}");
    }
    assert_eq!(bench.pipes(), [(1, vec![(2, 0, 1)]), (2, vec![(1, 0, 0)])]);
}

#[test]
fn a_phone_offers_to_a_browser_that_begins_the_handshake() {
    let mut bench = Bench::new();
    let to_web = [
        ("ICE", "force"),
        ("transport-protocol", "UDP/TLS/RTP/SAVPF"),
        ("rtcp-mux", "[offer]"),
        ("flags", "[generate-mid]"),
        ("SDES", "[off]"),
    ];
    let offer = bench.offer("a", &audio("198.51.100.1", 4000, ""), &to_web);
    for present in ["a=setup:actpass", "a=rtcp-mux", "a=mid:1", "a=candidate:"] {
        assert!(offer.contains(present), "{present} not in {offer}");
    }
    assert!(!offer.contains("a=crypto"), "{offer}");
    let answer = bench.answer(
        "a",
        "b",
        &browser("bbbb", "active"),
        &[("ICE", "remove"), ("transport-protocol", "RTP/AVP"), ("rtcp-mux", "[demux]")],
    );
    assert!(answer.contains("m=audio 30000 RTP/AVP 0\r\n"), "{answer}");
    assert!(!answer.contains("a=rtcp-mux") && !answer.contains("candidate"), "{answer}");
    // The nominated pair starts the handshake in the passive role.
    let remote = "198.51.100.2:7000".parse().unwrap();
    let transport =
        TransportId { leg: LegId { worker: WorkerId(0), slot: 2, generation: 1 }, index: 0 };
    let event = Event::Nominated { transport, remote, generation: 0 };
    bench.call.event(bench.clock(), &event);
    bench.drain();
    let started = bench.dtls.iter().any(|(id, input)| {
        *id == transport
            && matches!(input, DtlsInput::Start { role: crate::dtls::Role::Passive, .. })
    });
    assert!(started, "{:?}", bench.dtls);
    // Only what has begun has to say goodbye.
    bench.dtls.clear();
    bench.call.end(EndedBy::Stopped);
    bench.drain();
    assert!(matches!(bench.dtls[..], [(id, DtlsInput::Close)] if id == transport));
}

#[test]
fn sdes_keys_are_agreed_on_with_both_sides() {
    let mut bench = Bench::new();
    let key =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    let savp = audio("198.51.100.1", 4000, key).replace("RTP/AVP", "RTP/SAVP");
    let offer = bench.offer("a", &savp, &[("DTLS", "off")]);
    assert!(offer.contains("m=audio 30002 RTP/SAVP"), "{offer}");
    assert_eq!(offer.matches("a=crypto:").count(), 8, "{offer}");
    assert!(offer.contains(key), "the offerer's own comes first: {offer}");
    let own = "a=crypto:2 AEAD_AES_256_GCM inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM\r\n";
    let answered = audio("198.51.100.2", 5000, own).replace("RTP/AVP", "RTP/SAVP");
    let answer = bench.answer("a", "b", &answered, &[]);
    assert_eq!(answer.matches("a=crypto:").count(), 1, "{answer}");
    assert!(answer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"), "{answer}");
    let keyed = bench.commands.iter().filter(|c| matches!(c, Command::SetKeys { .. })).count();
    assert_eq!(keyed, 4, "RTP and RTCP of both sides");
}

#[test]
fn a_forked_call_follows_who_answered_last_and_keeps_every_branchs_ports() {
    let mut bench = Bench::new();
    let sdp = audio("198.51.100.1", 4000, "");
    let first = bench.offer("a", &sdp, &[("via-branch", "one")]);
    let second = bench.offer("a", &sdp, &[("via-branch", "two")]);
    let port = |sdp: &str| Sdp::parse(sdp).unwrap().media_at(0).unwrap().line().port;
    assert_ne!(port(&first), port(&second));
    let early = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[("via-branch", "one")]);
    assert_eq!(bench.pipes()[0], (1, vec![(2, 0, 1)]));
    let late = bench.answer("a", "c", &audio("198.51.100.3", 6000, ""), &[("via-branch", "two")]);
    assert_ne!(port(&early), port(&late), "the offerer has a port for each branch");
    let again = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[("via-branch", "one")]);
    assert_eq!(port(&early), port(&again), "which is there again when the branch is");
    bench.answer("a", "c", &audio("198.51.100.3", 6000, ""), &[("via-branch", "two")]);
    let pipes = bench.pipes();
    let to_second = vec![(3, 0, 1)];
    assert!(
        pipes.contains(&(1, to_second.clone())) && pipes.contains(&(4, to_second)),
        "{pipes:?}"
    );
    // The branch that lost goes; the call goes on.
    let deleted = bench.ask("delete", &[("from-tag", "a"), ("to-tag", "b")]);
    assert_eq!(text(&deleted, "result"), "ok");
    assert!(!bench.over && bench.freed.len() == 2, "{:?}", bench.freed);
    assert_eq!(bench.offer("a", &sdp, &[("to-tag", "c")]).matches("m=audio").count(), 1);
}

#[test]
fn a_hold_by_address_stops_what_goes_there() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    let held = bench.offer("a", &audio("0.0.0.0", 4000, ""), &[("to-tag", "b")]);
    assert!(held.contains("c=IN IP4 0.0.0.0\r\n") && held.contains("a=sendonly\r\n"), "{held}");
    let blocked = bench.commands.iter().rev().find_map(|command| match command {
        Command::SetPipes { stream, pipes } if stream.leg.slot == 2 => Some(pipes[0].filter.media),
        _ => None,
    });
    assert_eq!(blocked, Some(causeway_engine::pipe::MediaFilter::Block));
}

#[test]
fn an_offer_without_ports_leaves_nothing() {
    let mut bench = Bench::new();
    bench.lender.pairs = 1;
    let asked = [("from-tag", "a"), ("sdp", &*audio("198.51.100.1", 4000, ""))];
    let reply = bench.ask("offer", &asked);
    assert_eq!(text(&reply, "error-reason"), "Ran out of ports");
    assert_eq!(bench.lender.freed.len(), 2, "the pair that there was");
    assert!(bench.over && bench.commands.is_empty());
}

#[test]
fn a_call_that_was_there_outlives_an_offer_that_fails() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    bench.lender.pairs = 0;
    let two = audio("198.51.100.1", 4000, "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    let reply = bench.ask("offer", &[("from-tag", "a"), ("to-tag", "b"), ("sdp", &two)]);
    assert_eq!(text(&reply, "error-reason"), "Ran out of ports");
    assert!(!bench.over);
    assert_eq!(bench.pipes(), [(1, vec![(2, 0, 1)]), (2, vec![(1, 0, 1)])]);
}

#[test]
fn a_delete_gives_everything_back_and_tells_of_the_call() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    let reply = bench.ask("delete", &[("from-tag", "a")]);
    assert!(reply.lookup("totals").is_some() && reply.lookup("tags").is_some());
    assert!(bench.over, "after the answer of the worker");
    assert_eq!(bench.freed.len(), 4);
    let record = bench.record.as_ref().unwrap();
    assert_eq!((record.by, record.answered), (EndedBy::Deleted, true));
    let again = bench.ask("delete", &[("from-tag", "a"), ("flags", "[fatal]")]);
    assert_eq!(text(&again, "error-reason"), "Call-ID not found or tags didn't match");
}

#[test]
fn an_offer_within_the_delay_takes_a_delete_back() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.ask("delete", &[("from-tag", "a"), ("delete-delay", "5")]);
    bench.pass(Duration::from_secs(4));
    assert!(!bench.over);
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.pass(Duration::from_secs(4));
    assert!(!bench.over);
}

#[test]
fn unknown_tags_are_errors_only_where_that_is_fatal() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    let reply = bench.ask("delete", &[("from-tag", "x")]);
    assert_eq!(text(&reply, "result"), "ok");
    assert_eq!(text(&reply, "warning"), "Call-ID not found or tags didn't match");
    assert!(!bench.over);
}

#[test]
fn a_call_without_media_ends_in_time() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    bench.pass(Duration::from_secs(50));
    assert!(!bench.over);
    bench.pass(Duration::from_secs(20));
    assert!(bench.over);
    assert_eq!(bench.record.unwrap().by, EndedBy::MediaTimeout);
}

#[test]
fn the_version_of_a_description_rises_only_with_its_text() {
    let mut bench = Bench::new();
    let sdp = audio("198.51.100.1", 4000, "");
    let flags = [("replace", "[SDP-version origin]"), ("to-tag", "b")];
    let version = |sdp: &str| Sdp::parse(sdp).unwrap().origin().unwrap().version.to_owned();
    let first = bench.offer("a", &sdp, &flags[..1]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    assert_eq!(version(&bench.offer("a", &sdp, &flags)), version(&first));
    let held = format!("{sdp}a=sendonly\r\n");
    assert_ne!(version(&bench.offer("a", &held, &flags)), version(&first));
}

#[test]
fn media_of_one_party_is_blocked_and_let_through_again() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    let filters = |bench: &Bench| -> Vec<_> {
        let last = |leg: u16| {
            bench.commands.iter().rev().find_map(move |command| match command {
                Command::SetPipes { stream, pipes } if stream.leg.slot == leg => {
                    Some(pipes[0].filter)
                }
                _ => None,
            })
        };
        [last(1).unwrap(), last(2).unwrap()].into()
    };
    bench.ask("block DTMF", &[("from-tag", "a")]);
    assert!(filters(&bench)[0].blocks_dtmf && !filters(&bench)[1].blocks_dtmf);
    bench.ask("silence media", &[]);
    assert!(filters(&bench).iter().all(|f| f.media == causeway_engine::pipe::MediaFilter::Silence));
    bench.ask("unsilence media", &[]);
    bench.ask("unblock DTMF", &[("from-tag", "a")]);
    assert!(filters(&bench).iter().all(|filter| *filter == Default::default()));
    let reply = bench.ask("block media", &[("from-tag", "x")]);
    assert_eq!(text(&reply, "error-reason"), "From-tag given, but no such tag exists");
}

#[test]
fn addresses_of_private_networks_are_not_waited_for() {
    use causeway_engine::learning::Learning;
    let learning = |address: &str, more: &[(&str, &str)]| {
        let mut bench = Bench::new();
        bench.offer("a", &audio(address, 4000, ""), more);
        let party = bench.call.parties.iter().next().unwrap();
        party.lines[0].learning
    };
    let hint: IpAddr = "192.0.2.7".parse().unwrap();
    let from = [("received-from", "[IP4 192.0.2.7]")];
    assert!(
        matches!(learning("8.8.8.8", &[]), Learning::Once { hint: None, grace } if grace.0 > 0)
    );
    assert!(matches!(learning("10.0.0.1", &[]), Learning::Once { grace, .. } if grace.0 == 0));
    assert!(
        matches!(learning("8.8.8.8", &from), Learning::Once { hint: Some(h), .. } if h == hint)
    );
    assert_eq!(learning("8.8.8.8", &[("endpoint-learning", "off")]), Learning::Off);
    assert_eq!(learning("8.8.8.8", &[("flags", "[media-handover]")]), Learning::Always);
}

#[test]
fn a_recorder_gets_a_copy_of_both_sides_and_goes_again() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    let reply = bench.ask("subscribe request", &[("to-tag", "s"), ("flags", "[all]")]);
    let offer = sdp_of(&reply);
    assert_eq!(offer.matches("m=audio").count(), 2, "{offer}");
    assert_eq!(offer.matches("a=sendonly").count(), 2, "{offer}");
    let taken = offer.replace("203.0.113.5", "198.51.100.9").replace("sendonly", "recvonly");
    let reply = bench.ask("subscribe answer", &[("to-tag", "s"), ("sdp", &taken)]);
    assert_eq!(text(&reply, "result"), "ok");
    let pipes = bench.pipes();
    assert_eq!(pipes[0].1.len(), 2, "a is heard by b and the recorder: {pipes:?}");
    assert_eq!(pipes[1].1.len(), 2, "b is heard by a and the recorder: {pipes:?}");
    assert_ne!(pipes[0].1[1], pipes[1].1[1], "on m-lines of their own");
    assert!(pipes[2..].iter().all(|(_, to)| to.is_empty()), "nobody hears it");
    bench.ask("unsubscribe", &[("to-tag", "s")]);
    assert_eq!(bench.freed.len(), 4, "its ports");
    assert_eq!(bench.pipes()[0].1.len(), 1);
    let reply = bench.ask("subscribe request", &[("from-tag", "x")]);
    assert_eq!(text(&reply, "error-reason"), "From-tag given, but no such tag exists");
}

#[test]
fn a_publisher_is_answered_by_the_node() {
    let mut bench = Bench::new();
    let sdp = audio("198.51.100.1", 4000, "a=sendonly\r\n");
    let answer = sdp_of(&bench.ask("publish", &[("from-tag", "a"), ("sdp", &sdp)]));
    assert!(answer.contains("m=audio 30000 RTP/AVP 0 101\r\n"), "{answer}");
    assert!(answer.contains("a=recvonly\r\n"), "{answer}");
    let copy = sdp_of(&bench.ask("subscribe request", &[("from-tag", "a"), ("to-tag", "s")]));
    assert!(copy.contains("m=audio 30002") && copy.contains("a=sendonly"), "{copy}");
}

/// A page that was loaded anew is another certificate under the same tag.
#[test]
fn another_certificate_is_another_association_on_the_same_ports() {
    let mut bench = Bench::new();
    let to_phone = [("ICE", "remove"), ("transport-protocol", "RTP/AVP"), ("rtcp-mux", "[demux]")];
    bench.offer("a", &browser("aaaa", "actpass"), &to_phone);
    let phone = audio("198.51.100.2", 5000, "");
    let first = bench.answer("a", "b", &phone, &[("ICE", "force")]);
    let ours = |sdp: &str| sdp.lines().find(|l| l.starts_with("a=ice-ufrag")).unwrap().to_owned();
    let legs = |bench: &Bench| {
        bench.commands.iter().filter(|c| matches!(c, Command::AddLeg { .. })).count()
    };
    assert_eq!(legs(&bench), 2);
    let renewed = browser("bbbb", "actpass").replace("AB:", "CD:");
    let again = [&to_phone[..], &[("to-tag", "b")]].concat();
    bench.offer("a", &renewed, &again);
    let second = bench.answer("a", "b", &phone, &[("ICE", "force")]);
    assert_eq!(legs(&bench), 3);
    assert_ne!(ours(&first), ours(&second));
    assert!(second.contains("m=audio 30000 "), "the port stays: {second}");
}

#[test]
fn a_leg_that_the_worker_refuses_is_an_error_for_who_asked() {
    let mut bench = Bench::new();
    bench.full = true;
    let asked = [("from-tag", "a"), ("sdp", &*audio("198.51.100.1", 4000, ""))];
    assert_eq!(text(&bench.ask("offer", &asked), "error-reason"), "Ran out of ports");
    bench.full = false;
    bench.ask("delete", &[("from-tag", "a")]);
    assert!(bench.over && bench.freed.len() == 4, "nothing is left behind: {:?}", bench.freed);
}

#[test]
fn what_gets_no_ports_leaves_what_was_settled() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    let settled = |bench: &Bench| {
        let lines = bench.call.parties.iter().flat_map(|party| &party.lines);
        lines.map(|line| format!("{line:?}")).collect::<Vec<_>>()
    };
    let before = settled(&bench);
    bench.lender.pairs = 0;
    let moved = audio("198.51.100.7", 4000, "");
    let reply = bench.ask("offer", &[("from-tag", "a"), ("to-tag", "b"), ("sdp", &moved)]);
    assert_eq!(text(&reply, "error-reason"), "Ran out of ports");
    assert_eq!(settled(&bench), before);
}

/// A refusal that no request waits for is not the next one's.
#[test]
fn a_pair_that_the_worker_refuses_is_nobodys_error() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    let leg = LegId { worker: WorkerId(0), slot: 1, generation: 1 };
    let tag = bench.call.next_tag;
    bench.call.tell_tagged(Pending::Part { leg }, Command::RemoveLeg { leg });
    let (clock, refused) = (bench.clock(), Err(Refusal::Full));
    bench.call.poll_output();
    bench.call.applied(clock, tag, refused, Returned::Nothing);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
}
