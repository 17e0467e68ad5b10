//! Somebody who can reach the media ports, but knows nothing else, sprays all of them from before the calls
//! begin until they have ended: nobody hears it, it hears nobody, and nothing is lost.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use causeway_control::ng::{Dictionary, Value};
use causeway_tests::media::{Media, SILENCE, media_of};
use causeway_tests::ng::Ng;
use causeway_tests::requires;
use causeway_tests::server::{Interface, Server, target};
use serde_json::Value as Json;

/// Where the injector sits.
const INJECTOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Packets of each side: 4 s, longer than the 3 s in which rtpengine learns addresses.
const PACKETS: u16 = 200;
/// Time between two packets of a side.
const PACE: Duration = Duration::from_millis(20);
/// Injected packets after which there is a pause: some 20,000 a second.
const BURST: u64 = 500;
const PAUSE: Duration = Duration::from_millis(25);
/// Longest wait for the injector to begin.
const PATIENCE: Duration = Duration::from_secs(5);
/// Wait for a packet, after which it is lost.
const LOST: Duration = Duration::from_millis(500);
/// Lost packets of a call after which there is nothing more to see.
const LOST_MAX: u32 = 10;

#[test]
fn an_injector_disturbs_no_call_and_hears_none() {
    requires!(MediaServer);
    let server =
        Server::under_test(&[Interface { name: "pub", bind: IpAddr::V4(Ipv4Addr::LOCALHOST) }]);
    let injector = Injector::start(server.ports());
    injector.wait_for_a_spray();
    let mut calls = [Call::plain(&server.client()), Call::sdes(&server.client())];
    for number in 1..=PACKETS {
        let next = Instant::now() + PACE;
        if calls.iter().any(|call| call.lost > LOST_MAX) {
            break;
        }
        calls.iter_mut().for_each(|call| call.exchange(number));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let counted: Vec<_> = calls.iter().map(|call| call.attempts(&server)).collect();
    calls.iter().for_each(|call| call.asks_why(&server));
    calls.iter().for_each(|call| call.delete(&server.client()));
    let (sent, heard) = injector.stop();
    println!("{sent} packets were injected, of which were counted: {counted:?}");
    assert_eq!(heard, 0, "the injector got media");
    for call in &calls {
        assert_eq!((call.lost, call.injected), (0, 0), "{}", call.name);
    }
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
}

/// Sends to all media ports in turn.
struct Injector {
    stop: Arc<AtomicBool>,
    sprays: Arc<AtomicU64>,
    thread: JoinHandle<(u64, u64)>,
}

impl Injector {
    fn start((low, high): (u16, u16)) -> Self {
        let socket = UdpSocket::bind((INJECTOR, 0)).expect("a port is free");
        socket.set_nonblocking(true).expect("it can be set");
        let (stop, sprays) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sprays));
        let thread = thread::spawn(move || {
            let (mut sent, mut heard, mut buffer) = (0, 0, [0; 2048]);
            while !stopped.load(Ordering::Relaxed) {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                for port in low..=high {
                    let packet = forged(number);
                    sent += u64::from(socket.send_to(&packet, (Ipv4Addr::LOCALHOST, port)).is_ok());
                    if sent % BURST == 0 {
                        thread::sleep(PAUSE);
                    }
                    while socket.recv(&mut buffer).is_ok() {
                        heard += 1;
                    }
                }
            }
            (sent, heard)
        });
        Self { stop, sprays, thread }
    }

    fn wait_for_a_spray(&self) {
        let first = self.sprays.load(Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while self.sprays.load(Ordering::Relaxed) < first + 2 {
            assert!(Instant::now() < deadline, "the injector does not inject");
            thread::yield_now();
        }
    }

    /// How many packets it sent and got.
    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends")
    }
}

/// G.711 of a source that nobody announced.
fn forged(number: u64) -> Vec<u8> {
    let number = u16::try_from(number & 0xffff).expect("16 bits");
    let mut packet = vec![0x80, 0];
    packet.extend(number.to_be_bytes());
    packet.extend((160 * u32::from(number)).to_be_bytes());
    packet.extend(0xbad_u32.to_be_bytes());
    packet.extend([!SILENCE; 160]);
    packet
}

/// A call of two sides that send from where they said.
struct Call {
    name: &'static str,
    sides: [Media; 2],
    /// Where each side sends to.
    servers: [SocketAddr; 2],
    lost: u32,
    injected: u32,
}

impl Call {
    /// Plain RTP on both sides.
    fn plain(ng: &Ng) -> Self {
        let sides = [Media::new(), Media::new()];
        let offer = ask(ng, "plain", "offer", sides[0].describe("RTP/AVP", ""));
        let answer = ask(ng, "plain", "answer", sides[1].describe("RTP/AVP", ""));
        let servers = [media_of(&answer), media_of(&offer)];
        Self { name: "plain", sides, servers, lost: 0, injected: 0 }
    }

    /// SRTP with keys from the description on one side, plain RTP on the other.
    fn sdes(ng: &Ng) -> Self {
        let mut sides = [Media::new(), Media::new()];
        let key: Vec<u8> = (0..30).collect();
        let line = format!("a=crypto:1 {SUITE} inline:{}\r\n", STANDARD_NO_PAD.encode(&key));
        let offer = ask(ng, "sdes", "offer", sides[0].describe("RTP/SAVP", &line));
        let answer = ask(ng, "sdes", "answer", sides[1].describe("RTP/AVP", ""));
        let start = format!("a=crypto:1 {SUITE} inline:");
        let servers_key = answer.lines().find_map(|line| line.strip_prefix(&start));
        let servers_key = servers_key.unwrap_or_else(|| panic!("no key in {answer}"));
        let servers_key = STANDARD_NO_PAD.decode(servers_key.trim_end_matches('='));
        sides[0].take_keys(&key, &servers_key.expect("base64"));
        let servers = [media_of(&answer), media_of(&offer)];
        Self { name: "sdes", sides, servers, lost: 0, injected: 0 }
    }

    /// Each side sends a packet and gets the other's.
    fn exchange(&mut self, number: u16) {
        for (side, server) in self.sides.iter_mut().zip(self.servers) {
            side.send(number, server);
        }
        for side in &mut self.sides {
            loop {
                match side.try_receive(LOST) {
                    None => break self.lost += 1,
                    Some(packet) if packet.sound != SILENCE => self.injected += 1,
                    Some(packet) if packet.number == number => break,
                    Some(_) => {}
                }
            }
        }
    }

    /// How many injected packets the server counted in this call: over REST where it has that, else in the
    /// totals of a query.
    fn attempts(&self, server: &Server) -> u64 {
        if let Some(rest) = server.rest() {
            let call = rest.get(&format!("/v1/proxied/{}", self.name));
            let of = |value: &Json, key: &str| value[key].as_array().cloned().unwrap_or_default();
            let media = of(&call, "parties").into_iter().flat_map(move |party| of(&party, "media"));
            let transports = media.flat_map(|media| of(&media, "transports"));
            return transports
                .map(|transport| transport["strangers"].as_u64().expect("a count"))
                .sum();
        }
        let reply = server.client().ask(&request("query", self.name));
        let member = |of: &Dictionary, key| of.lookup(key).and_then(Value::dictionary).cloned();
        let totals = member(&reply, "totals").and_then(|totals| member(&totals, "RTP"));
        let errors = totals.and_then(|rtp| rtp.lookup("errors")?.integer());
        errors.and_then(|errors| errors.try_into().ok()).expect("a query tells it")
    }

    /// A person who asks why is told that the call is fine, and of the attempts.
    fn asks_why(&self, server: &Server) {
        let Some(rest) = server.rest() else { return };
        let path = format!("/v1/proxied/{}/why?format=text", self.name);
        let text = rest.request("GET", &path, None).text;
        assert_eq!(text.matches("]: fine\n").count(), 2, "{text}");
        assert!(text.contains("came from somewhere else and were not taken"), "{text}");
    }

    fn delete(&self, ng: &Ng) {
        ng.ask(&request("delete", self.name).with("delete-delay", 0_i64));
    }
}

/// The description of a reply.
fn ask(ng: &Ng, call: &str, command: &str, sdp: String) -> String {
    let mut request = request(command, call).with("to-tag", "b").with("sdp", sdp);
    if command == "offer" {
        request = request.with("transport-protocol", "RTP/AVP");
    }
    if target() == "rtpengine" {
        // Without them it learns from whoever comes first: the injector gets media, and the calls lose theirs.
        let flags = ["asymmetric", "strict source"].map(Value::from).to_vec();
        request = request.with("flags", flags);
    }
    ng.ask(&request).sdp()
}

fn request(command: &str, call: &str) -> Dictionary {
    Dictionary::new().with("command", command).with("call-id", call).with("from-tag", "a")
}

/// The suite of the keys.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
