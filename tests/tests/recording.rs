//! What a SIP proxy has recorded of its calls, and digits that it has played into them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use causeway_control::ng::Dictionary;
use causeway_tests::media::{Media, SILENCE, media_of};
use causeway_tests::ng::Ng;
use causeway_tests::node::Node;
use causeway_tests::rtpengine::free_udp;
use serde_json::{Value, json};

/// Longest wait for a file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Packets of each side between two requests.
const PACKETS: u16 = 10;
/// The payload type of telephone events.
const EVENTS: u8 = 101;

#[test]
fn a_recording_has_what_both_sides_said_between_start_and_stop() {
    let bench = Bench::start("whole", "");
    let ng = bench.ng();
    let mut call = Call::begin(&ng, "a/../b@proxy");
    call.exchange(1);
    call.say("start recording", &[("metadata", "agent 7")]);
    call.exchange(100);
    call.say("pause recording", &[]);
    call.exchange(200);
    call.say("start recording", &[]);
    call.exchange(300);
    call.say("stop recording", &[]);
    call.exchange(400);

    let (pcap, story) = bench.recording();
    let mode = fs::metadata(&pcap).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it is the node's alone");
    assert_eq!(pcap.parent(), Some(bench.folder.as_path()), "whatever the call is called");
    let told = json!([story["call"], story["packets"], story["metadata"], story["cut"]]);
    assert_eq!(told, json!(["a/../b@proxy", 4 * PACKETS, ["agent 7"], null]));
    let packets = packets(&pcap);
    let expected = [100, 300].into_iter().flat_map(|first| first..first + PACKETS);
    for (side, server) in call.sides.iter().zip(call.servers) {
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, side.port()));
        let of = packets.iter().filter(|packet| (packet.from, packet.to) == (from, server));
        let numbers: Vec<u16> =
            of.map(|packet| u16::from_be_bytes([packet.payload[2], packet.payload[3]])).collect();
        assert_eq!(numbers, expected.clone().collect::<Vec<_>>());
    }
    assert!(packets.iter().all(|packet| packet.payload[12..] == [SILENCE; 160]));
    assert!(packets.is_sorted_by_key(|packet| packet.micros / 1_000_000));
}

#[test]
fn a_description_can_ask_for_it_and_the_end_of_the_call_closes_it() {
    let bench = Bench::start("flagged", "");
    let flags = [("record-call", "yes"), ("metadata", "from the first packet on")];
    let ng = bench.ng();
    let mut call = Call::begin_with(&ng, "flagged", &flags);
    call.exchange(1);
    call.say("delete", &[("delete-delay", "0")]);
    let (pcap, story) = bench.recording();
    assert_eq!(packets(&pcap).len(), usize::from(2 * PACKETS));
    let tags: Vec<_> = story["legs"].as_array().unwrap().iter().map(|leg| &leg["tag"]).collect();
    assert!(tags.contains(&&json!("a")), "{story}");
    let metrics = bench.node.rest().request("GET", "/metrics", None).text;
    for line in ["causeway_recordings 0", "causeway_recordings_total{outcome=\"begun\"} 1"] {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn what_is_discarded_leaves_nothing() {
    let bench = Bench::start("discarded", "");
    let ng = bench.ng();
    let mut call = Call::begin(&ng, "discarded");
    call.say("start recording", &[]);
    call.exchange(1);
    call.say("stop recording", &[("flags", "discard-recording")]);
    bench.wait(|| fs::read_dir(&bench.folder).unwrap().next().is_none());
}

#[test]
fn limits_are_told_and_cost_no_call() {
    let bench = Bench::start("limited", "max_calls = 1\nmax_bytes = 65536\n");
    let ng = bench.ng();
    let mut first = Call::begin(&ng, "first");
    first.say("start recording", &[]);
    let second = Call::begin(&ng, "second");
    let refused = ng.ask(&request("start recording", "second"));
    assert_eq!(refused.text("error-reason"), "Call recording limit reached");
    let warned = ng.ask(
        &request("offer", "second")
            .with("record-call", "yes")
            .with("sdp", second.sides[0].describe("RTP/AVP", "")),
    );
    assert_eq!(warned.text("warning"), "Call recording limit reached");
    for round in 0..16 {
        first.exchange(1 + round * PACKETS);
    }
    first.say("stop recording", &[]);
    let (pcap, story) = bench.recording();
    assert_eq!(story["cut"], "recording.max_bytes");
    let bytes = fs::metadata(pcap).unwrap().len();
    assert!((65_536..67_000).contains(&bytes), "{bytes}");
    assert_eq!(ng.ask(&request("start recording", "second")).text("result"), "ok");
}

#[test]
fn nothing_is_recorded_where_nothing_is_configured() {
    let bench = Bench::start("off", "max_calls = 1\n");
    fs::remove_dir_all(&bench.folder).unwrap();
    let config = bench.config.replace("directory = ", "# ");
    drop(bench);
    let node = Bench::node(&config);
    let ng = node.ng();
    let mut call = Call::begin(&ng, "off");
    let refused = ng.ask(&request("start recording", "off"));
    assert_eq!(refused.text("error-reason"), "Call recording is not configured on this node");
    call.exchange(1);
}

#[test]
fn a_digit_is_heard_as_an_event_or_as_tones() {
    let bench = Bench::start("digits", "");
    let ng = bench.ng();
    for (name, more) in [("event", "a=rtpmap:101 telephone-event/8000\r\n"), ("tones", "")] {
        let [mut caller, callee] = [Media::new(), Media::new()];
        let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
        ear.set_read_timeout(Some(PATIENCE)).unwrap();
        let listens = callee.describe("RTP/AVP", more).replace(
            &format!("m=audio {} RTP/AVP 0", callee.port()),
            &format!("m=audio {} RTP/AVP 0 {EVENTS}", ear.local_addr().unwrap().port()),
        );
        let listens = if more.is_empty() { listens.replace(" 101\r\n", "\r\n") } else { listens };
        let describe = |command, sdp: String| {
            ng.ask(&request(command, name).with("to-tag", "b").with("sdp", sdp)).sdp()
        };
        describe("offer", caller.describe("RTP/AVP", ""));
        let server = media_of(&describe("answer", listens));
        let play = request("play DTMF", name).with("code", "#").with("duration", 100_i64);
        assert_eq!(ng.ask(&play).text("result"), "ok");
        let mut heard = Vec::new();
        for number in 1..=12 {
            caller.send(number, server);
            let mut packet = [0; 300];
            let len = ear.recv(&mut packet).expect("a packet comes");
            assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), number, "in its own numbers");
            heard.push(packet[..len].to_vec());
        }
        let silent = heard.iter().filter(|packet| packet[12..] == [SILENCE; 160]).count();
        if name == "event" {
            let events: Vec<_> = heard.iter().filter(|p| p[1] & 0x7f == EVENTS).collect();
            assert_eq!((events.len(), silent), (7, 5));
            assert!(events.iter().all(|packet| packet[12] == 11 && packet.len() == 16));
            assert_eq!(events[6][13..], [0x80 | 8, 3, 32], "it is over after 800 ticks");
        } else {
            assert_eq!(silent, 7, "100 ms of sound");
        }
    }
    let nobody = ng.ask(&request("play DTMF", "event").with("code", "17"));
    assert_eq!(nobody.text("error-reason"), "Out of range 'code' specified");
}

/// A node that records.
struct Bench {
    node: Node,
    ng: SocketAddr,
    folder: PathBuf,
    config: String,
}

impl Bench {
    fn start(name: &str, limits: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("causeway-recording-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let config = format!(
            "[[interface]]\nname = \"pub\"\nbind = \"127.0.0.1\"\nports = \"20000-29999\"\nmux_port = {}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[public]\nlisten = \"127.0.0.1:0\"\n\
             [recording]\ndirectory = \"{}\"\n{limits}",
            free_udp().port(),
            folder.display()
        );
        let mut bench = Self::node(&config);
        bench.folder = folder;
        bench
    }

    fn node(config: &str) -> Self {
        let ng = free_udp();
        let config = format!("{config}[ng]\nudp = \"{ng}\"\n");
        let node = Node::start(None, &config);
        let config = config.split("[ng]").next().expect("a first part").to_owned();
        let bench = Self { node, ng, folder: PathBuf::new(), config };
        bench.ng().wait();
        bench
    }

    fn ng(&self) -> Ng {
        Ng::new(self.ng)
    }

    #[track_caller]
    fn wait(&self, mut is_there: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_there() {
            assert!(Instant::now() < deadline, "it does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first recording that is closed, and what is told of it.
    #[track_caller]
    fn recording(&self) -> (PathBuf, Value) {
        let mut found = None;
        self.wait(|| {
            let paths = fs::read_dir(&self.folder)
                .expect("it is there")
                .flatten()
                .map(|entry| entry.path());
            for path in paths.filter(|path| path.extension().is_some_and(|of| of == "json")) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let story: Value = serde_json::from_str(&text).unwrap_or_default();
                if story["ended"].is_number() {
                    found = Some((path.with_extension("pcap"), story));
                }
            }
            found.is_some()
        });
        found.expect("it was waited for")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A call of two phones.
struct Call<'n> {
    ng: &'n Ng,
    name: String,
    sides: [Media; 2],
    /// Where each side sends to.
    servers: [SocketAddr; 2],
}

impl<'n> Call<'n> {
    fn begin(ng: &'n Ng, name: &str) -> Self {
        Self::begin_with(ng, name, &[])
    }

    fn begin_with(ng: &'n Ng, name: &str, offered: &[(&str, &str)]) -> Self {
        let sides = [Media::new(), Media::new()];
        let ask = |command: &str, sdp: String, more: &[(&str, &str)]| {
            let mut asked = request(command, name).with("to-tag", "b").with("sdp", sdp);
            more.iter().for_each(|(key, value)| asked.push(*key, *value));
            ng.ask(&asked).sdp()
        };
        let offer = ask("offer", sides[0].describe("RTP/AVP", ""), offered);
        let answer = ask("answer", sides[1].describe("RTP/AVP", ""), &[]);
        let servers = [media_of(&answer), media_of(&offer)];
        Self { ng, name: name.into(), sides, servers }
    }

    #[track_caller]
    fn say(&self, command: &str, more: &[(&str, &str)]) {
        let mut asked = request(command, &self.name);
        more.iter().for_each(|(key, value)| asked.push(*key, *value));
        assert_eq!(self.ng.ask(&asked).text("result"), "ok", "{command}");
    }

    /// Each side says something to the other.
    #[track_caller]
    fn exchange(&mut self, first: u16) {
        for number in first..first + PACKETS {
            for (side, server) in self.sides.iter_mut().zip(self.servers) {
                side.send(number, server);
            }
            for side in &mut self.sides {
                assert_eq!(side.receive().number, number);
            }
        }
    }
}

fn request(command: &str, call: &str) -> Dictionary {
    Dictionary::new().with("command", command).with("call-id", call).with("from-tag", "a")
}

/// A datagram of a recording.
struct Packet {
    micros: u64,
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

/// What a pcap file of IPv4 and UDP has; each header is checked.
fn packets(path: &Path) -> Vec<Packet> {
    let bytes = fs::read(path).expect("it can be read");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!((word(0), word(4), word(20)), (0xa1b2_c3d4, 0x0004_0002, 101));
    let (mut at, mut packets) = (24, Vec::new());
    while at < bytes.len() {
        let micros = u64::from(word(at)) * 1_000_000 + u64::from(word(at + 4));
        let len = word(at + 8) as usize;
        assert_eq!(word(at + 12) as usize, len);
        let packet = &bytes[at + 16..at + 16 + len];
        let pair = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        assert_eq!((packet[0], packet[9], usize::from(pair(2))), (0x45, 17, len));
        let sum = (0..20).step_by(2).map(|at| u32::from(pair(at))).sum::<u32>();
        assert_eq!(sum % 0xffff, 0, "the header's checksum");
        assert_eq!(usize::from(pair(24)), len - 20);
        let address = |at: usize| {
            let octets: [u8; 4] = packet[at..at + 4].try_into().expect("4 bytes");
            Ipv4Addr::from(octets)
        };
        packets.push(Packet {
            micros,
            from: (address(12), pair(20)).into(),
            to: (address(16), pair(22)).into(),
            payload: packet[28..].to_vec(),
        });
        at += 16 + len;
    }
    packets
}
