//! A running engine goes to another process, mid-flow, with its sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_engine::command::{Command, Event, LegId, SinkId, StreamId, TransportId, WorkerId};
use causeway_engine::config::{BackendChoice, EngineConfig};
use causeway_engine::export::{Broken, HandOverError};
use causeway_engine::leg::Leg;
use causeway_engine::rtcp::Writer;
use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::Suite;
use causeway_engine::worker::bare::bridge::{self, AUDIO, RANDOM, SIDES, VIDEO};
use causeway_engine::worker::bare::{Far, Rtp};
use causeway_engine::{Engine, Link};
use causeway_tests::baton::{self, Baton, Meeting};
use causeway_tests::browser::Pages;
use causeway_tests::lab::{Lab, PRIVATE, PUBLIC};
use causeway_tests::requires;
use causeway_tests::rest::Rest;
use causeway_tests::sniff::Sniffer;
use nix::sys::signal::Signal;
use serde_json::Value;

const BATON: &str = env!("CARGO_BIN_EXE_baton");
/// Calls of two legs each.
const CALLS: u16 = 6;
/// Between two packets of one stream.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long a datagram may take on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a node's numbers.
const GLANCE: Duration = Duration::from_millis(100);
/// Packets of each stream before and after.
const SOME: u16 = 50;

#[test]
fn every_packet_arrives_once_and_in_its_turn_while_the_engine_changes_its_process() {
    for (from, to) in [("mmsg", "mmsg"), ("auto", "auto"), ("auto", "mmsg")] {
        let mut show = Show::start(from, 1);
        show.flow(|engine, links| {
            let meeting = Meeting::new().unwrap();
            let heir = Baton::take(BATON, meeting.path(), &[to]);
            engine.hand_over(links, &meeting.accept().unwrap()).unwrap();
            let served = format!("serving {} legs on {} sockets", 2 * CALLS, 2 * CALLS);
            assert_eq!(heir.word(), served);
            Serving::There(heir)
        });
        show.all_arrived(&format!("{from} to {to}"));
    }
}

#[test]
fn calls_between_two_workers_go_along_and_a_third_worker_does_no_harm() {
    let mut show = Show::start("auto", 2);
    show.flow(|engine, links| {
        let meeting = Meeting::new().unwrap();
        let heir = Baton::take(BATON, meeting.path(), &["auto", "3"]);
        engine.hand_over(links, &meeting.accept().unwrap()).unwrap();
        heir.word();
        Serving::There(heir)
    });
    show.all_arrived("two workers");
}

#[test]
fn an_heir_that_is_killed_half_way_leaves_everything_as_it_was() {
    let mut show = Show::start("auto", 1);
    show.flow(|engine, links| {
        let meeting = Meeting::new().unwrap();
        let heir = Baton::take(BATON, meeting.path(), &[]);
        let stream = meeting.accept().unwrap();
        greeted(&stream);
        // It greets, and does not live to say that all is installed.
        heir.signal(Signal::SIGSTOP);
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(heir);
        });
        let left = engine.hand_over(links, &stream).unwrap_err();
        killer.join().unwrap();
        assert!(matches!(left.error, HandOverError::Peer(Broken::Gone)), "{left:?}");
        Serving::Here(left.engine, left.links)
    });
    show.all_arrived("killed");
}

#[test]
fn an_heir_that_falls_asleep_is_given_up() {
    let mut show = Show::start("auto", 1);
    show.flow(|engine, links| {
        let meeting = Meeting::new().unwrap();
        let heir = Baton::take(BATON, meeting.path(), &[]);
        let stream = meeting.accept().unwrap();
        greeted(&stream);
        heir.signal(Signal::SIGSTOP);
        let left = engine.hand_over(links, &stream).unwrap_err();
        assert!(matches!(left.error, HandOverError::Peer(Broken::Late)), "{left:?}");
        drop(stream);
        // What it wakes up to is no invitation to serve.
        heir.signal(Signal::SIGCONT);
        assert_eq!(heir.word(), "the other process is gone");
        Serving::Here(left.engine, left.links)
    });
    show.all_arrived("asleep");
}

#[test]
fn an_heir_that_is_too_small_is_told_so_and_may_be_followed_by_one_that_is_not() {
    let mut show = Show::start("auto", 2);
    show.flow(|engine, links| {
        let meeting = Meeting::new().unwrap();
        let small = Baton::take(BATON, meeting.path(), &["auto", "1"]);
        let left = engine.hand_over(links, &meeting.accept().unwrap()).unwrap_err();
        let found =
            matches!(left.error, HandOverError::Small { what: "workers", theirs: 1, ours: 2 });
        assert!(found, "{left:?}");
        assert_eq!(small.word(), "the other process is gone");
        let heir = Baton::take(BATON, meeting.path(), &["auto", "2"]);
        left.engine.hand_over(left.links, &meeting.accept().unwrap()).unwrap();
        heir.word();
        Serving::There(heir)
    });
    show.all_arrived("small");
}

#[test]
fn whoever_makes_no_sense_gets_nothing() {
    let mut show = Show::start("auto", 1);
    show.flow(|mut engine, mut links| {
        let nonsense: [&[u8]; 4] =
            [b"", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64], &[2, 0, 0, 0, 7, 7]];
        for words in nonsense {
            let (here, mut there) = UnixStream::pair().unwrap();
            there.write_all(words).unwrap();
            drop(there);
            let left = engine.hand_over(links, &here).unwrap_err();
            assert!(matches!(left.error, HandOverError::Peer(_)), "{left:?}");
            (engine, links) = (left.engine, left.links);
        }
        Serving::Here(engine, links)
    });
    show.all_arrived("nonsense");
}

/// A home and an open host call each other through a node behind a 1-to-1 NAT; while they talk, the
/// node's media goes to another process, at the second attempt.
#[test]
fn a_chromium_call_goes_on_in_another_process() {
    requires!(Namespaces, Chromium);
    let lab = Lab::up(&[]);
    let (server, home) = (lab.namespace("server"), lab.namespace("browser"));
    let path = baton::path();
    let name = path.to_str().unwrap();
    let mut node = Baton::start(Some(&server), BATON, &["run", name, PRIVATE, PUBLIC]);
    let address = node.word().trim_start_matches("API http://").trim_matches('/').parse().unwrap();
    let rest = Rest { namespace: Some(server.clone()), address };
    let call = rest.create_call();
    let url =
        |page: &str, role| format!("https://{PUBLIC}{page}#token={}", rest.token(&call, role));
    let (a, b, open) = (url("/", "customer"), url("/agent", "agent"), lab.namespace("peer"));
    let mut pages = Pages::open(&[
        ("a", &a),
        ("b", &b),
        ("a-netns", &home),
        ("b-netns", &open),
        ("size", "320x240"),
        ("fps", "30"),
        ("seconds", "14"),
        ("node-stats", "no"),
        ("skip", "stats,hold,dtmf"),
        ("pause-after", "connected,media"),
    ]);
    pages.step("connected");
    let view = rest.get(&format!("/v1/calls/{call}"));
    let rtcp_tag = if view["legs"].to_string().contains("GCM") { 0 } else { 10 };
    let sniffers =
        [&home, &open].map(|host| Sniffer::start(host, PUBLIC.parse().unwrap(), rtcp_tag));
    // The first pictures of a call come late; that is not what is looked at here.
    let shown = |rest: &Rest| {
        let stats = rest.stats(&call);
        let packets = stats["legs"][0]["sent"].as_array().into_iter().flatten();
        packets.map(|sent| sent["packets"].as_u64().unwrap_or(0)).min().unwrap_or(0)
    };
    let deadline = Instant::now() + PATIENCE;
    while shown(&rest) < 150 {
        assert!(Instant::now() < deadline, "no pictures");
        thread::sleep(GLANCE);
    }
    pages.go_on();
    thread::sleep(Duration::from_secs(4));
    // The first successor goes before it has taken anything.
    node.say();
    drop(connect(&path));
    assert_eq!(node.word(), "still serving: the other process is gone");
    thread::sleep(Duration::from_secs(2));
    node.say();
    let heir = Baton::take(BATON, &path, &[]);
    assert_eq!(heir.word(), "serving 2 legs on 2 sockets");
    let word = node.word();
    assert!(word.starts_with("handed over"), "{word}");
    assert!(node.end().success());
    let media = pages.step("media");
    for side in ["a", "b"] {
        let (before, after) =
            (&media[side]["before"]["received"], &media[side]["after"]["received"]);
        let count = |of: &Value| of.as_u64().unwrap();
        for kind in ["audio", "video"] {
            assert_eq!(count(&after[kind]["lost"]), 0, "{side} lost {kind}: {after}");
        }
        // Said, not asserted: a busy machine makes a browser freeze by itself.
        println!(
            "{side} froze: {} before, {} after",
            before["video"]["freezes"], after["video"]["freezes"]
        );
        assert!(media[side]["frames"]["perSecond"].as_f64().unwrap() >= 20.0, "{side}: {media}");
    }
    for seen in sniffers.map(Sniffer::stop) {
        assert!(seen.rtp.len() >= 2 && !seen.rtcp.is_empty());
        let lens: Vec<_> = seen.rtp.values().chain(seen.rtcp.values()).map(Vec::len).collect();
        println!("{word}; numbers seen: {lens:?}");
        for (ssrc, numbers) in &seen.rtp {
            let steps = numbers.windows(2).all(|two| two[1] == two[0] + 1);
            assert!(steps, "{ssrc:x}: not one after the other: {numbers:?}");
        }
        let mut indices: Vec<_> = seen.rtcp.values().flatten().copied().collect();
        indices.sort_unstable();
        assert!(indices.windows(2).all(|two| two[1] > two[0]), "an index twice: {indices:?}");
    }
    assert!(heir.end().success());
    let _ = std::fs::remove_file(path);
}

/// Meets whoever waits at `path`.
fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).unwrap()
}

/// Waits until the other side has said something, which is left to be read.
fn greeted(stream: &UnixStream) {
    let deadline = Instant::now() + PATIENCE;
    let socket = socket2::SockRef::from(stream);
    let mut byte = [std::mem::MaybeUninit::uninit()];
    while socket.peek(&mut byte).unwrap_or(0) == 0 {
        assert!(Instant::now() < deadline, "the heir does not greet");
    }
}

/// Who serves.
enum Serving {
    Here(Engine, Vec<Link>),
    There(Baton),
}

/// Calls through an engine, and their far ends.
struct Show {
    serving: Option<Serving>,
    ends: Vec<[End; 2]>,
    suites: Vec<Option<Suite>>,
}

/// The far end of a leg.
struct End {
    udp: UdpSocket,
    node: SocketAddr,
    far: Far,
    side: usize,
    sent: u16,
    /// Numbers of what came, by SSRC.
    got: HashMap<u32, Vec<u16>>,
    reports: usize,
}

impl Show {
    fn start(backend: &str, workers: u16) -> Self {
        let backend = match backend {
            "mmsg" => BackendChoice::Mmsg,
            _ => BackendChoice::Auto,
        };
        let workers_of = vec![None; workers.into()];
        let config = EngineConfig { backend, workers: workers_of, ..EngineConfig::default() };
        let (engine, mut links) = Engine::start(&config).unwrap();
        let number = |worker: u16| WorkerId(worker % workers);
        for (from, to) in [(0, 1), (1, 0)] {
            if workers > 1 {
                let (take, hand) = engine.hop(WorkerId(from), WorkerId(to));
                tell(&mut links[usize::from(to)], take);
                tell(&mut links[usize::from(from)], hand);
            }
        }
        let mut suites: Vec<_> = Suite::ALL.iter().copied().map(Some).collect();
        suites.push(None);
        let calls = (0..CALLS).map(|call| {
            let suite = suites[usize::from(call) % suites.len()];
            let ends = [0, 1].map(|side| End::new(2 * call + side, usize::from(side), suite));
            let legs = [0, 1].map(|side: u16| LegId {
                worker: number(side),
                slot: 2 * call + side,
                generation: 7,
            });
            let ends = ends.map(|(end, udp)| {
                let socket = Command::AddSocket { socket: end.far.socket, udp };
                tell(&mut links[usize::from(legs[end.side].worker.0)], socket);
                end
            });
            join(&mut links, &ends, legs);
            ends
        });
        let ends = calls.collect();
        Self { serving: Some(Serving::Here(engine, links)), ends, suites }
    }

    /// Has all ends talk while `change` happens, and for a while before and after.
    fn flow(&mut self, change: impl FnOnce(Engine, Vec<Link>) -> Serving) {
        let Some(Serving::Here(engine, links)) = self.serving.take() else { panic!() };
        let (done, ends) = (AtomicBool::new(false), &mut self.ends);
        let changed = thread::scope(|scope| {
            let talk = scope.spawn(|| {
                let mut more = SOME;
                while more > 0 {
                    more -= u16::from(done.load(Ordering::Relaxed));
                    let next = Instant::now() + INTERVAL;
                    ends.iter_mut().flatten().for_each(End::send);
                    ends.iter_mut().flatten().for_each(End::take);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                // The last packets are on their way.
                let deadline = Instant::now() + PATIENCE;
                for call in ends.iter_mut() {
                    while !call.iter().all(|end| end.has(call[1 - end.side].sent)) {
                        let got = call.each_ref().map(|end| (end.sent, end.counts(), end.reports));
                        assert!(Instant::now() < deadline, "packets were lost: {got:?}");
                        call.iter_mut().for_each(End::take);
                    }
                }
            });
            thread::sleep(INTERVAL * u32::from(SOME));
            let changed = change(engine, links);
            done.store(true, Ordering::Relaxed);
            talk.join().unwrap();
            changed
        });
        self.serving = Some(changed);
    }

    /// Every packet came, once, in its turn, and every report could be read.
    fn all_arrived(mut self, what: &str) {
        for (call, ends) in self.ends.iter().enumerate() {
            let suite = self.suites[call % self.suites.len()];
            for end in ends {
                let sent = ends[1 - end.side].sent;
                assert!(sent > SOME);
                for (place, first) in [(0, 0x1234u16), (1, 0x1234)] {
                    let got = &end.got[&SIDES[end.side].ours[place]];
                    let all: Vec<_> = (first..first + sent).collect();
                    assert_eq!(got, &all, "{what}: {suite:?}, side {}", end.side);
                }
                assert!(end.reports >= usize::from(sent / 10), "{what}: {} reports", end.reports);
            }
        }
        match self.serving.take().unwrap() {
            Serving::Here(engine, links) => engine.stop(links),
            Serving::There(heir) => assert!(heir.end().success()),
        }
    }
}

/// Joins two ends by a call.
fn join(links: &mut [Link], ends: &[End; 2], legs: [LegId; 2]) {
    let mut tell = |worker: WorkerId, command| tell(&mut links[usize::from(worker.0)], command);
    for (end, leg) in ends.iter().zip(legs) {
        let state = Leg::new(&bridge::spec(&end.far, end.side), || RANDOM).unwrap();
        tell(leg.worker, Command::AddLeg { leg, state });
        if end.far.ufrag.is_some() {
            let transport = TransportId { leg, index: 0 };
            let Far { socket, remote, .. } = end.far;
            let pair =
                Command::InstallPair { transport, socket, remote, nominated: true, generation: 0 };
            tell(leg.worker, pair);
        }
    }
    for side in 0..2 {
        for index in [AUDIO, VIDEO] {
            let stream = StreamId { leg: legs[side], index };
            let sink = SinkId { leg: legs[1 - side], index };
            tell(legs[1 - side].worker, bridge::feed(sink, stream, side));
            tell(legs[side].worker, Command::AddSink { stream, sink });
        }
    }
}

impl End {
    /// An end and the node's socket for it.
    fn new(number: u16, side: usize, suite: Option<Suite>) -> (Self, UdpSocket) {
        let [udp, node] = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        udp.set_nonblocking(true).unwrap();
        // What has waited for the new process comes at once.
        socket2::SockRef::from(&udp).set_recv_buffer_size(4 << 20).unwrap();
        let port = udp.local_addr().unwrap().port();
        let far = match suite {
            Some(suite) => {
                let ufrag: &'static str = Box::leak(format!("end{number}").into_boxed_str());
                Far::secure(number, port, suite).with_ice(ufrag)
            }
            None => Far::plain(number, port),
        };
        let address = node.local_addr().unwrap();
        let got = HashMap::new();
        (Self { udp, node: address, far, side, sent: 0, got, reports: 0 }, node)
    }

    /// One packet of audio, one of video, and at times feedback about what came.
    fn send(&mut self) {
        let numbers = SIDES[self.side];
        for (place, first) in [(0usize, 1000u16), (1, 30_000)] {
            self.send_rtp(Rtp {
                ssrc: numbers.theirs[place],
                payload_type: numbers.payload_types[place],
                sequence: first + self.sent,
                timestamp: 960 * u32::from(self.sent),
                payload_len: 100 + 400 * place,
                ..Rtp::default()
            });
        }
        let latest = self.got.get(&numbers.ours[1]).and_then(|got| got.last().copied());
        if let Some(latest) = latest.filter(|_| self.sent.is_multiple_of(5)) {
            let mut buffer = [0; 1500];
            let mut writer = Writer::new(&mut buffer[..1200]);
            writer.receiver_report(7, &[]).unwrap();
            writer.nack(7, numbers.ours[1], std::iter::once(latest)).unwrap();
            let len = writer.len();
            self.send_sealed(buffer, len);
        }
        self.sent += 1;
    }

    fn send_rtp(&mut self, rtp: Rtp) {
        let mut buffer = [0; 1500];
        let len = rtp.write(&mut buffer);
        self.send_sealed(buffer, len);
    }

    fn send_sealed(&mut self, mut buffer: [u8; 1500], len: usize) {
        let len = self.far.seal(&mut buffer, len).unwrap();
        self.udp.send_to(&buffer[..len], self.node).unwrap();
    }

    /// Takes what has come. An index that was used before does not open.
    fn take(&mut self) {
        let mut buffer = [0; 1500];
        loop {
            let len = match self.udp.recv(&mut buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            };
            let packet = &mut buffer[..len];
            if (192..224).contains(&packet[1]) {
                self.far.open(packet).expect("an SRTCP index of its own");
                self.reports += 1;
                continue;
            }
            self.far.open(packet).expect("an SRTP index of its own");
            let header = RtpHeader::parse(packet).unwrap();
            self.got.entry(header.ssrc).or_default().push(header.sequence);
        }
    }

    fn has(&self, count: u16) -> bool {
        self.counts().iter().all(|got| *got >= usize::from(count))
    }

    /// Packets of audio and video that came.
    fn counts(&self) -> [usize; 2] {
        [0, 1].map(|place| self.got.get(&SIDES[self.side].ours[place]).map_or(0, Vec::len))
    }
}

/// Has a command applied.
fn tell(link: &mut Link, command: Command) {
    let sent = link.send(command).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match link.event() {
            Some(Event::Applied { ticket, outcome, .. }) if ticket == sent => {
                return outcome.unwrap();
            }
            Some(_) => {}
            None => {
                assert!(Instant::now() < deadline, "the worker does not answer");
                thread::yield_now();
            }
        }
    }
}
