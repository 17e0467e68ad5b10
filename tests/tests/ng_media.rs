//! Media of calls that a SIP proxy drives over `ng`: what its words mean for the packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use causeway_control::ng::{Dictionary, Value};
use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::{MasterKey, Mki, Srtp, Suite};
use causeway_tests::media::media_of;
use causeway_tests::ng::Ng;
use causeway_tests::peer::unbundled::Unbundled;
use causeway_tests::phone::receive;
use causeway_tests::requires;
use causeway_tests::server::{Interface, Server};

/// Longest wait for a packet that comes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// Wait for one that does not.
const SILENCE: Duration = Duration::from_millis(200);

#[test]
fn a_browsers_bundle_is_taken_apart_and_both_kinds_of_media_flow() {
    requires!(MediaServer);
    let server = server();
    let ng = server.client();
    let mut browser = Unbundled::default();
    let phone = [Phone::new(), Phone::new()];
    let demux = Value::List(vec!["demux".into()]);
    let asked = Dictionary::new().with("transport-protocol", "RTP/AVP").with("ICE", "remove");
    let asked = asked.with("rtcp-mux", demux);
    let offer = ask(&ng, "bundle", "offer", &browser.offer(), asked);
    assert!(!offer.contains("BUNDLE") && !offer.contains("candidate"), "{offer}");
    let ports: Vec<u16> = offer.lines().filter_map(port_of).collect();
    assert!(ports.len() == 2 && ports[0] != ports[1] && !ports.contains(&0), "{offer}");

    let said = phone[0].describe("audio", "RTP/AVP 111", "a=rtpmap:111 opus/48000/2\r\n")
        + phone[1].describe("video", "RTP/AVP 96", "a=rtpmap:96 VP8/90000\r\n").as_str();
    let passive = Dictionary::new().with("ICE", "force").with("DTLS", "passive");
    let answer = ask(&ng, "bundle", "answer", &session(&said), passive);
    browser.take_answer(&answer);
    browser.connect();
    wait_secured(&ng, "bundle", 2);
    for (line, payload_type) in [(0, 111), (1, 96)] {
        let sent = rtp(payload_type, 1, line as u32);
        browser.send(line, &sent);
        assert_eq!(phone[line].receive(), sent, "what the browser sent on m-line {line}");
        let back = rtp(payload_type, 7, 100 + line as u32);
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[line]));
        phone[line].0.send_to(&back, to).expect("it is sent");
        assert_eq!(browser.receive(line), back, "what the phone sent on m-line {line}");
    }
}

#[test]
fn who_is_told_to_hear_himself_hears_himself_alone() {
    requires!(MediaServer);
    let (server, phone) = (server(), [Phone::new(), Phone::new()]);
    let ng = server.client();
    let echo = Dictionary::new().with("media-echo", "forward");
    let [to_a, to_b] = plain_call(&ng, "echo", &phone, echo);
    let [from_a, from_b] = [rtp(0, 1, 1), rtp(0, 1, 2)];
    phone[1].0.send_to(&from_b, to_b).expect("it is sent");
    assert_eq!(phone[1].receive(), from_b, "the called one hears himself");
    phone[0].0.send_to(&from_a, to_a).expect("it is sent");
    assert!(phone.iter().all(Phone::is_silent), "the caller is heard by nobody");
}

#[test]
fn dropped_traffic_passes_again_once_the_proxy_says_so() {
    requires!(MediaServer);
    let (server, phone) = (server(), [Phone::new(), Phone::new()]);
    let ng = server.client();
    let drop = |word: &str| Dictionary::new().with("drop-traffic", word);
    let [to_a, to_b] = plain_call(&ng, "drop", &phone, drop("start"));
    for (phone, to) in phone.iter().zip([to_a, to_b]) {
        phone.0.send_to(&rtp(0, 1, 1), to).expect("it is sent");
    }
    assert!(phone.iter().all(Phone::is_silent));
    let said = session(&phone[0].describe("audio", "RTP/AVP 0", ""));
    ask(&ng, "drop", "offer", &said, drop("stop").with("to-tag", "b"));
    let sent = rtp(0, 2, 1);
    phone[0].0.send_to(&sent, to_a).expect("it is sent");
    assert_eq!(phone[1].receive(), sent);
}

#[test]
fn packets_of_a_named_key_are_understood_and_others_are_not() {
    requires!(MediaServer);
    let (server, phone) = (server(), [Phone::new(), Phone::new()]);
    let ng = server.client();
    let key: Vec<u8> = (0..30).collect();
    let crypto = format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31|1:4\r\n",
        STANDARD_NO_PAD.encode(&key)
    );
    let offer = session(&phone[0].describe("audio", "RTP/SAVP 0", &crypto));
    let plain = Dictionary::new().with("transport-protocol", "RTP/AVP");
    ask(&ng, "mki", "offer", &offer, plain);
    let said = session(&phone[1].describe("audio", "RTP/AVP 0", ""));
    let answer = ask(&ng, "mki", "answer", &said, Dictionary::new());
    assert!(answer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), "{answer}");
    let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &key[..16], &key[16..]).expect("a key");
    let send = |master: &MasterKey, sequence: u16| {
        let plain = rtp(0, sequence, 1);
        let mut packet = plain.clone();
        packet.resize(plain.len() + 64, 0);
        let header = RtpHeader::parse(&plain).expect("RTP");
        let mut srtp = Srtp::new(master, master);
        let len = srtp.outbound.protect_rtp(&header, &mut packet, plain.len()).expect("room");
        phone[0].0.send_to(&packet[..len], media_of(&answer)).expect("it is sent");
        plain
    };
    send(&master, 1);
    send(&master.clone().with_mki(Mki::new(2, 4).expect("it fits")), 2);
    let sent = send(&master.with_mki(Mki::new(1, 4).expect("it fits")), 3);
    assert_eq!(phone[1].receive(), sent, "the one that names the key");
    assert!(phone[1].is_silent());
}

#[test]
fn a_phone_of_ipv4_talks_with_one_of_ipv6() {
    requires!(MediaServer);
    let binds = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let server = Server::under_test(&binds.map(|bind| Interface { name: "pub", bind }));
    let ng = server.client();
    let phone = [Phone::new(), Phone(UdpSocket::bind("[::1]:0").expect("a port is free"))];
    let said = phone.each_ref().map(|phone| phone.describe("audio", "RTP/AVP 0", ""));
    let said = [said[0].clone(), said[1].replace("IP4 127.0.0.1", "IP6 ::1")];
    let family = |name: &str| Dictionary::new().with("address-family", name);
    let offer = ask(&ng, "families", "offer", &session(&said[0]), family("IP6"));
    let answer = ask(&ng, "families", "answer", &session(&said[1]), family("IP4"));
    let servers = [media_of(&answer), media_of(&offer)];
    assert_eq!(servers.map(|server| server.ip()), binds);
    for number in 1..=3 {
        for (from, to) in [(0, 1), (1, 0)] {
            let sent = rtp(0, number, from as u32);
            phone[from].0.send_to(&sent, servers[from]).expect("it is sent");
            assert_eq!(phone[to].receive(), sent);
        }
    }
}

/// A socket of a phone.
struct Phone(UdpSocket);

impl Phone {
    fn new() -> Self {
        Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"))
    }

    fn describe(&self, kind: &str, formats: &str, more: &str) -> String {
        let port = self.0.local_addr().expect("it is bound").port();
        format!("m={kind} {port} {formats}\r\nc=IN IP4 127.0.0.1\r\n{more}")
    }

    #[track_caller]
    fn receive(&self) -> Vec<u8> {
        receive(&self.0, PATIENCE).expect("a packet comes")
    }

    fn is_silent(&self) -> bool {
        receive(&self.0, SILENCE).is_none()
    }
}

fn server() -> Server {
    Server::under_test(&[Interface { name: "pub", bind: IpAddr::V4(Ipv4Addr::LOCALHOST) }])
}

/// A call of two phones in the clear; where each of them sends to.
fn plain_call(ng: &Ng, call: &str, phone: &[Phone; 2], asked: Dictionary) -> [SocketAddr; 2] {
    let said = phone.each_ref().map(|phone| session(&phone.describe("audio", "RTP/AVP 0", "")));
    let offer = ask(ng, call, "offer", &said[0], asked);
    let answer = ask(ng, call, "answer", &said[1], Dictionary::new());
    [media_of(&answer), media_of(&offer)]
}

/// Waits until so many m-lines of the offerer have keys on the server's side too: what comes before is
/// lost, as a browser's first packets may be.
#[track_caller]
fn wait_secured(ng: &Ng, call: &str, lines: usize) {
    let query = Dictionary::new().with("command", "query").with("call-id", call);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = ng.ask(&query);
        let known = reply.members();
        let is_secured = |line: &&String| {
            line.starts_with("tags/a/") && line.ends_with("DTLS fingerprint verified")
        };
        if known.iter().filter(is_secured).count() >= lines {
            return;
        }
        assert!(Instant::now() < deadline, "{}", known.join("\n"));
        thread::sleep(LOOK);
    }
}

fn session(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}")
}

#[track_caller]
fn ask(ng: &Ng, call: &str, command: &str, sdp: &str, more: Dictionary) -> String {
    let mut request = more.with("command", command).with("call-id", call).with("from-tag", "a");
    if command == "answer" {
        request = request.with("to-tag", "b");
    }
    ng.ask(&request.with("sdp", sdp)).sdp()
}

fn port_of(line: &str) -> Option<u16> {
    line.strip_prefix("m=")?.split(' ').nth(1)?.parse().ok()
}

fn rtp(payload_type: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 40]);
    packet
}
