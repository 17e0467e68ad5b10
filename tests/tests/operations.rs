//! What operators see of calls behind SIP proxies: metrics, `statistics`, records of calls that are over, and
//! the REST view.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use causeway_control::ng::Dictionary;
use causeway_tests::media::{Media, media_of};
use causeway_tests::ng::Ng;
use causeway_tests::node::Node;
use causeway_tests::phone::Phone;
use causeway_tests::requires;
use causeway_tests::rtpengine::{Rtpengine, free_udp};
use causeway_tests::server::Interface;
use serde_json::{Value, json};

/// Longest wait for a record: the shortest time-out for media, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Packets that each side sends.
const PACKETS: u16 = 20;
/// Packets that come from somewhere else.
const STRANGERS: u64 = 3;

#[test]
fn statistics_have_every_name_that_rtpengine_has_and_no_other() {
    requires!(Rtpengine);
    let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let rtpengine = Rtpengine::start(&[Interface { name: "pub", bind }]);
    let bench = Bench::start("statistics");
    let [theirs, ours] = [Ng::new(rtpengine.ng), bench.ng()].map(|ng| {
        let mut sides = [Media::new(), Media::new()];
        begin(&ng, "c", &mut sides);
        ng.ask(&request("delete", "c").with("delete-delay", 0_i64));
        let told = ng.ask(&Dictionary::new().with("command", "statistics"));
        let paths = told.members().into_iter();
        paths.map(|line| line.split(" = ").next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    });
    let (missing, more): (Vec<_>, Vec<_>) =
        (theirs.difference(&ours).collect(), ours.difference(&theirs).collect());
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
}

#[test]
fn an_operator_sees_a_call_with_its_injector_and_ends_it() {
    let bench = Bench::start("operator");
    let ng = bench.ng();
    let mut sides = [Media::new(), Media::new()];
    let servers = begin(&ng, "call/1@proxy", &mut sides);
    exchange(&mut sides, servers);
    let injector = UdpSocket::bind("127.0.0.2:0").unwrap();
    let packet = [&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0; 160]].concat();
    for _ in 0..STRANGERS {
        injector.send_to(&packet, servers[0]).unwrap();
    }

    let rest = bench.node.rest();
    assert_eq!(rest.get("/v1/proxied"), json!(["call/1@proxy"]));
    let path = "/v1/proxied/call%2F1@proxy";
    let call = rest.get(path);
    let transport = &call["parties"][0]["media"][0]["transports"][0];
    assert_eq!(transport["signalled"], format!("127.0.0.1:{}", sides[0].port()), "{call}");
    assert_eq!(transport["learnt"], transport["signalled"], "{call}");
    assert_eq!(transport["local"], servers[0].to_string(), "{call}");
    assert_eq!(transport["strangers"], STRANGERS, "{call}");
    assert_eq!(rest.request("DELETE", path, None).status, 204);
    assert_eq!(rest.request("GET", path, None).status, 404);

    let record = bench.record("call/1@proxy");
    assert_eq!((&record["reason"], &record["via"]), (&json!("operator"), &json!("ng")));
    assert_eq!((&record["answered"], &record["node"]), (&json!(true), &json!("bench")));
    let media = record["media"].as_array().unwrap();
    let tags: BTreeSet<_> = media.iter().map(|media| media["tag"].as_str().unwrap()).collect();
    assert_eq!(tags, BTreeSet::from(["a", "b"]), "{record}");
    for media in media {
        assert_eq!((&media["kind"], &media["lost"]), (&json!("audio"), &json!(0)), "{record}");
        assert_eq!(media["packets"], PACKETS, "{record}");
        assert!(media["mos"].as_f64().unwrap() > 4.0, "{record}");
    }
    let strangers: u64 = media.iter().map(|media| media["strangers"].as_u64().unwrap()).sum();
    assert_eq!(strangers, STRANGERS, "{record}");

    let metrics = rest.request("GET", "/metrics", None).text;
    for line in [
        "rtpengine_sessions{type=\"own\"} 0",
        "rtpengine_sessions_total 1",
        "rtpengine_closed_sessions_total{reason=\"force_terminated\"} 1",
        "rtpengine_zero_packet_streams_total 0",
        "rtpengine_mos_samples_total 2",
        "causeway_proxied_strangers_total 3",
        "causeway_records_total{to=\"cdr\",outcome=\"told\"} 1",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn a_call_without_media_ends_by_itself_and_the_webhook_is_told() {
    let bench = Bench::start("silence");
    let mut sides = [Media::new(), Media::new()];
    begin(&bench.ng(), "silent", &mut sides);
    let record = bench.record("silent");
    assert_eq!(record["reason"], "media_timeout", "{record}");
    let (head, body) = bench.posted.recv_timeout(PATIENCE).expect("it is posted");
    assert!(head.contains("Causeway-Event: media_timeout"), "{head}");
    assert_eq!(body, record);
    let metrics = bench.node.rest().request("GET", "/metrics", None).text;
    assert!(metrics.contains("rtpengine_closed_sessions_total{reason=\"timeout\"} 1\n"));
    assert!(metrics.contains("rtpengine_zero_packet_streams_total 2\n"), "{metrics}");
}

#[test]
fn a_call_over_rest_leaves_a_record_too() {
    let bench = Bench::start("rest");
    let rest = bench.node.rest();
    let call = rest.create_call();
    let mut phones = [1, 2].map(|sender| Phone::join(rest.address, &call, sender));
    let [a, b] = &mut phones;
    a.send();
    b.receive();
    assert_eq!(rest.request("DELETE", &format!("/v1/calls/{call}"), None).status, 204);
    let record = bench.record(&call);
    assert_eq!((&record["via"], &record["reason"]), (&json!("rest"), &json!("call_ended")));
    assert_eq!((&record["answered"], &record["name"]), (&json!(true), &json!("test")));
    let packets: Vec<_> = record["media"].as_array().unwrap().iter().collect();
    assert_eq!(packets.iter().filter(|media| media["packets"] == 1).count(), 1, "{record}");
}

/// A node that writes records and posts them, with the shortest time-outs.
struct Bench {
    node: Node,
    ng: SocketAddr,
    folder: PathBuf,
    posted: Receiver<(String, Value)>,
}

impl Bench {
    fn start(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("causeway-records-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        let (ng, (hook, posted)) = (free_udp(), receiver());
        let config = format!(
            "[node]\nname = \"bench\"\n\
             [[interface]]\nname = \"pub\"\nbind = \"127.0.0.1\"\nports = \"20000-29999\"\nmux_port = {}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[public]\nlisten = \"127.0.0.1:0\"\n\
             [ng]\nudp = \"{ng}\"\n[timeouts]\nmedia = \"5s\"\n\
             [cdr]\nfile = \"{}\"\n\
             [webhook]\nurl = \"http://{hook}/\"\nevents = [\"media_timeout\"]\nsecret = \"s\"\n",
            free_udp().port(),
            folder.join("cdr.jsonl").display()
        );
        let node = Node::start(None, &config);
        let bench = Self { node, ng, folder, posted };
        bench.ng().wait();
        bench
    }

    fn ng(&self) -> Ng {
        Ng::new(self.ng)
    }

    /// Waits for the record of a call.
    #[track_caller]
    fn record(&self, call: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = records(&self.folder.join("cdr.jsonl")).find(|one| one["call"] == call);
            if let Some(record) = found {
                return record;
            }
            assert!(Instant::now() < deadline, "there is no record of {call}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn records(path: &Path) -> impl Iterator<Item = Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    lines.into_iter().filter_map(|line| serde_json::from_str(line.strip_suffix('\n')?).ok())
}

/// A webhook's receiver: takes everything, and says the head and the body.
fn receiver() -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let (address, (sender, posted)) = (listener.local_addr().expect("it is bound"), channel());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.and_then(|text| text.parse().ok()).unwrap_or(0)];
            let _ = stream.read_exact(&mut body);
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let _ = sender.send((head, serde_json::from_slice(&body).unwrap_or_default()));
        }
    });
    (address, posted)
}

/// Begins a call of two sides and says where each sends to.
fn begin(ng: &Ng, call: &str, sides: &mut [Media; 2]) -> [SocketAddr; 2] {
    let ask = |command: &str, sdp: String| {
        ng.ask(&request(command, call).with("to-tag", "b").with("sdp", sdp)).sdp()
    };
    let offer = ask("offer", sides[0].describe("RTP/AVP", ""));
    let answer = ask("answer", sides[1].describe("RTP/AVP", ""));
    [media_of(&answer), media_of(&offer)]
}

fn exchange(sides: &mut [Media; 2], servers: [SocketAddr; 2]) {
    for number in 1..=PACKETS {
        for (side, server) in sides.iter_mut().zip(servers) {
            side.send(number, server);
        }
        for side in sides.iter_mut() {
            side.receive();
        }
    }
}

fn request(command: &str, call: &str) -> Dictionary {
    Dictionary::new().with("command", command).with("call-id", call).with("from-tag", "a")
}
