//! A SIP phone's media: plain RTP and RTCP on a pair of sockets, described without ICE.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use srtp::{CryptoPolicy, Session, StreamPolicy};

use crate::guest::add_leg;
use crate::http::{Client, Response};
use crate::peer::{MediaKind, payload};

/// The phone's payload type of opus.
pub const OPUS: u8 = 97;
/// Longest wait for a packet.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks at a leg.
const LOOK: Duration = Duration::from_millis(20);
/// How long it takes until silence is believed.
const SILENCE: Duration = Duration::from_millis(300);

/// A phone, and its leg once it has joined.
pub struct Phone {
    /// Its socket for RTP.
    pub rtp: UdpSocket,
    /// Its socket for RTCP.
    pub rtcp: UdpSocket,
    /// The SSRC that it sends with.
    pub ssrc: u32,
    /// The payload type that it sends opus under.
    pub opus: u8,
    /// What it says that it is, in the payloads that it sends.
    pub sender: u32,
    /// Where the node takes its RTP and RTCP.
    pub node: [SocketAddr; 2],
    call: String,
    leg: String,
    client: Client,
    number: u16,
    /// SRTP of libsrtp, out and in.
    keys: Option<(Session, Session)>,
}

impl Phone {
    /// Joins a call as `sender`.
    #[track_caller]
    pub fn join(http: SocketAddr, call: &str, sender: u32) -> Self {
        let mut phone = Self::new(http, call, sender);
        let offer = phone.offer();
        phone.join_with(&offer);
        phone
    }

    /// One that has not joined yet.
    #[track_caller]
    pub fn new(http: SocketAddr, call: &str, sender: u32) -> Self {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            rtp: bind(),
            rtcp: bind(),
            ssrc: 0x5100 + sender,
            opus: OPUS,
            sender,
            node: [nowhere; 2],
            call: call.into(),
            leg: String::new(),
            client: Client::new(http),
            number: 0,
            keys: None,
        }
    }

    /// Protects with AES_CM_128_HMAC_SHA1_80 from now on: its own and the node's key and salt.
    pub fn take_keys(&mut self, own: &[u8], nodes: &[u8]) {
        self.keys = Some(sessions(own, nodes));
    }

    /// Its offer of one opus stream at its own addresses.
    pub fn offer(&self) -> String {
        let [rtp, rtcp] = [&self.rtp, &self.rtcp].map(port_of);
        describe(&format!("127.0.0.1 {rtp} {rtcp}"), "")
    }

    /// What comes of joining with an offer.
    pub fn try_join(&mut self, offer: &str) -> Response {
        let body = json!({ "role": format!("phone {}", self.sender), "offer": offer });
        add_leg(&mut self.client, &self.call, body)
    }

    /// Joins with an offer and follows the answer; says what that is.
    #[track_caller]
    pub fn join_with(&mut self, offer: &str) -> String {
        let added = self.try_join(offer).ok();
        self.leg = added["leg"]["id"].as_str().expect("an id").into();
        let answer = added["answer"].as_str().expect("an answer").to_owned();
        self.node = addresses(&answer);
        answer
    }

    /// Has the node offer what `asked` says; its offer.
    #[track_caller]
    pub fn ask(&mut self, asked: &Value) -> String {
        let added = self.try_ask(asked).ok();
        self.leg = added["leg"]["id"].as_str().expect("an id").into();
        let offer = added["offer"].as_str().expect("an offer").to_owned();
        self.node = addresses(&offer);
        offer
    }

    /// What comes of letting the node offer so.
    pub fn try_ask(&mut self, asked: &Value) -> Response {
        add_leg(&mut self.client, &self.call, asked.clone())
    }

    /// What comes of answering the node's offer.
    pub fn try_answer(&mut self, answer: &str) -> Response {
        let path = format!("/v1/calls/{}/legs/{}/answer", self.call, self.leg);
        self.client.post(&path, &json!({ "sdp": answer }))
    }

    /// Answers the node's offer, which has opus as 111: its own number is another one.
    #[track_caller]
    pub fn answer(&mut self, answer: &str) {
        self.opus = 111;
        self.try_answer(answer).ok();
    }

    /// What comes of having the node offer anew.
    pub fn try_propose(&mut self, direction: &str) -> Response {
        let path = format!("/v1/calls/{}/legs/{}/offer", self.call, self.leg);
        self.client.post(&path, &json!({ "direction": direction }))
    }

    /// Has the node offer anew; its offer.
    #[track_caller]
    pub fn propose(&mut self, direction: &str) -> String {
        let offer = self.try_propose(direction).ok();
        offer["sdp"].as_str().expect("an offer").to_owned()
    }

    /// Offers anew; the node's answer.
    #[track_caller]
    pub fn renew(&mut self, offer: &str) -> String {
        let path = format!("/v1/calls/{}/legs/{}/offer", self.call, self.leg);
        let answer = self.client.post(&path, &json!({ "sdp": offer })).ok();
        answer["sdp"].as_str().expect("an answer").to_owned()
    }

    /// Its leg as the node sees it.
    #[track_caller]
    pub fn view(&mut self) -> Value {
        let path = format!("/v1/calls/{}/legs/{}", self.call, self.leg);
        self.client.get(&path).ok()
    }

    /// Waits until the node sees its leg so; panics with `what` if it never does.
    #[track_caller]
    pub fn wait_view(&mut self, what: &str, mut until: impl FnMut(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.view();
            if until(&view) {
                return;
            }
            assert!(Instant::now() < deadline, "the node never came to it: {what}; {view}");
            std::thread::sleep(LOOK);
        }
    }

    /// Hangs up.
    #[track_caller]
    pub fn leave(&mut self) {
        let path = format!("/v1/calls/{}/legs/{}", self.call, self.leg);
        assert_eq!(self.client.delete(&path).status, 204);
    }

    /// Sends its next packet from a socket.
    #[track_caller]
    pub fn send_from(&mut self, socket: &UdpSocket) {
        let number = u32::from(self.number) + 1;
        let payload = payload::write(MediaKind::Audio, self.sender, number);
        self.send_payload(socket, self.opus, 960 * number, &payload);
    }

    /// Sends its next packet from a socket, with this payload type, time stamp and payload.
    #[track_caller]
    pub fn send_payload(
        &mut self,
        socket: &UdpSocket,
        payload_type: u8,
        timestamp: u32,
        payload: &[u8],
    ) {
        self.number += 1;
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.number.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        if let Some((outbound, _)) = &mut self.keys {
            outbound.protect(&mut packet).expect("it is protected");
        }
        socket.send_to(&packet, self.node[0]).expect("it is sent");
    }

    /// Sends its next packet.
    #[track_caller]
    pub fn send(&mut self) {
        let socket = self.rtp.try_clone().expect("it can be cloned");
        self.send_from(&socket);
    }

    /// Waits for an RTP packet: its payload type, SSRC, and the sender and number in it.
    #[track_caller]
    pub fn receive(&mut self) -> (u8, u32, u32, u32) {
        let Packet { payload_type, ssrc, payload, .. } = self.receive_packet();
        let (sender, number) = payload::read(MediaKind::Audio, &payload).expect("whole");
        (payload_type, ssrc, sender, number)
    }

    /// Waits for an RTP packet.
    #[track_caller]
    pub fn receive_packet(&mut self) -> Packet {
        let mut packet = receive(&self.rtp, PATIENCE).expect("a packet comes");
        if let Some((_, inbound)) = &mut self.keys {
            inbound.unprotect(&mut packet).expect("it is authentic");
        }
        let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().expect("4 bytes"));
        let (payload_type, payload) = (packet[1] & 0x7f, packet[12..].to_vec());
        Packet { payload_type, timestamp: word(4), ssrc: word(8), payload }
    }

    /// Sends a sender report for what it sends.
    pub fn report(&self) {
        let mut report = vec![0x80, 200, 0, 6];
        report.extend(self.ssrc.to_be_bytes());
        report
            .extend([0x83, 0xaa, 0x7e, 0x80, 0, 0, 0, 0, 0, 0, 3, 0xc0, 0, 0, 0, 1, 0, 0, 0, 120]);
        self.rtcp.send_to(&report, self.node[1]).expect("it is sent");
    }

    /// Whether nothing comes to a socket for a while.
    pub fn is_silent(socket: &UdpSocket) -> bool {
        receive(socket, SILENCE).is_none()
    }
}

/// An RTP packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its payload type.
    pub payload_type: u8,
    /// Its time stamp.
    pub timestamp: u32,
    /// Its source.
    pub ssrc: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Contexts of AES_CM_128_HMAC_SHA1_80, out and in, for these keys and salts.
pub fn sessions(own: &[u8], others: &[u8]) -> (Session, Session) {
    let policy = |key| StreamPolicy {
        rtp: CryptoPolicy::aes_cm_128_hmac_sha1_80(),
        rtcp: CryptoPolicy::aes_cm_128_hmac_sha1_80(),
        key,
        ..StreamPolicy::default()
    };
    let outbound = Session::with_outbound_template(policy(own)).expect("a context");
    let inbound = Session::with_inbound_template(policy(others)).expect("a context");
    (outbound, inbound)
}

/// Waits for a datagram.
pub fn receive(socket: &UdpSocket, patience: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut buffer = vec![0; 65_536];
    loop {
        let left =
            deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        socket.set_read_timeout(Some(left)).expect("it can be set");
        match socket.recv(&mut buffer) {
            Ok(len) => return Some(buffer[..len].to_vec()),
            Err(error) if is_wait(&error) => {}
            Err(error) => panic!("the socket is broken: {error}"),
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionRefused)
}

/// An offer of opus at `ADDRESS RTP-PORT RTCP-PORT`, with further lines.
pub fn describe(at: &str, more: &str) -> String {
    let [address, rtp, rtcp] = at.split(' ').collect::<Vec<_>>()[..] else { panic!("{at}") };
    format!(
        "v=0\r\no=phone 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {rtp} RTP/AVP {OPUS} 101\r\na=rtpmap:{OPUS} opus/48000/2\r\n\
         a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-15\r\na=rtcp:{rtcp}\r\n{more}"
    )
}

fn port_of(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("it is bound").port()
}

/// Where a description wants RTP and RTCP.
#[track_caller]
pub fn addresses(sdp: &str) -> [SocketAddr; 2] {
    let word = |start: &str, place: usize| {
        let line = sdp.lines().find_map(|line| line.strip_prefix(start));
        let line = line.unwrap_or_else(|| panic!("no {start} in {sdp}"));
        line.split([' ', ':']).nth(place).expect("it has that word").to_owned()
    };
    let ip = word("c=IN IP4 ", 0);
    let address = |port: String| format!("{ip}:{port}").parse().expect("an address");
    [address(word("m=audio ", 0)), address(word("a=rtcp:", 0))]
}
