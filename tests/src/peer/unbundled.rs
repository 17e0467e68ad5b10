//! A browser that offers audio and video in one BUNDLE group, and goes on with a transport for each when it
//! is answered without (RFC 8843 §7.3.3): ICE, DTLS and SRTP of each m-line are its own.
//!
//! It has no thread: it goes on while somebody waits for it.

use std::time::Instant;

use causeway_control::dtls::{Fingerprint, Hash};
use causeway_engine::rtp::RtpHeader;
use dimpl::certificate;
use is::{Candidate, IceCreds};

use super::PATIENCE;
use super::parted::Component;

/// Kind, payload type and codec of each m-line.
const LINES: [(&str, u8, &str); 2] = [("audio", 111, "opus/48000/2"), ("video", 96, "VP8/90000")];

/// The browser.
pub struct Unbundled {
    lines: [Component; 2],
    fingerprint: String,
    credentials: IceCreds,
    heard: [Vec<Vec<u8>>; 2],
}

impl Default for Unbundled {
    fn default() -> Self {
        let pair = certificate::generate_self_signed_certificate().expect("a certificate");
        let fingerprint = Fingerprint::of(Hash::Sha256, &pair.certificate).hex();
        let credentials = IceCreds::new();
        let lines = [(); 2].map(|()| Component::new(pair.clone(), credentials.clone()));
        Self { lines, fingerprint, credentials, heard: [Vec::new(), Vec::new()] }
    }
}

impl Unbundled {
    /// Its offer of both m-lines in one group, each with an address of its own for whoever takes no
    /// groups.
    pub fn offer(&self) -> String {
        let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";
        let mut sdp = head.to_owned();
        for (mid, ((kind, number, codec), line)) in LINES.iter().zip(&self.lines).enumerate() {
            let (ip, port) = (line.address.ip(), line.address.port());
            sdp += &format!(
                "m={kind} {port} UDP/TLS/RTP/SAVPF {number}\r\nc=IN IP4 {ip}\r\n\
                 a=rtcp:{port} IN IP4 {ip}\r\na=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\n\
                 a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\n\
                 a=setup:actpass\r\na=mid:{mid}\r\na=sendrecv\r\na=rtcp-mux\r\n\
                 a=rtpmap:{number} {codec}\r\n",
                self.credentials.ufrag, self.credentials.pass, self.fingerprint,
            );
        }
        sdp
    }

    /// Takes an answer without a group, in which it opens DTLS.
    pub fn take_answer(&mut self, answer: &str) {
        assert!(!answer.contains("a=group:BUNDLE"), "{answer}");
        for (section, line) in answer.split("\r\nm=").skip(1).zip(&mut self.lines) {
            let values = |name: &str| {
                let start = format!("a={name}:");
                section.lines().filter_map(move |line| line.strip_prefix(&start).map(str::to_owned))
            };
            let value = |name: &str| values(name).next().expect("a whole answer");
            assert_eq!(value("setup"), "passive");
            assert!(section.contains("a=rtcp-mux"), "{section}");
            let remote = IceCreds { ufrag: value("ice-ufrag"), pass: value("ice-pwd") };
            line.agent.set_remote_credentials(remote);
            for candidate in values("candidate") {
                let candidate = format!("candidate:{}", candidate.replace(" UDP ", " udp "));
                let candidate = Candidate::from_sdp_string(&candidate).expect("a candidate");
                line.agent.add_remote_candidate(candidate);
            }
        }
    }

    /// Goes on until both m-lines can send.
    #[track_caller]
    pub fn connect(&mut self) {
        self.wait("both m-lines are secured", |it| it.lines.iter().all(Component::is_ready));
    }

    /// Sends RTP on an m-line: 0 is audio, 1 video.
    pub fn send(&mut self, line: usize, packet: &[u8]) {
        let header = RtpHeader::parse(packet).expect("RTP");
        self.lines[line].protect(packet.to_vec(), |srtp, packet, len| {
            srtp.outbound.protect_rtp(&header, packet, len).ok()
        });
    }

    /// The next RTP of an m-line, in the clear.
    #[track_caller]
    pub fn receive(&mut self, line: usize) -> Vec<u8> {
        self.wait("a packet of an m-line", |it| !it.heard[line].is_empty());
        self.heard[line].remove(0)
    }

    #[track_caller]
    fn wait(&mut self, what: &str, until: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !until(self) {
            let now = Instant::now();
            assert!(now < deadline, "the browser waited in vain: {what}");
            self.go_on(now);
        }
    }

    fn go_on(&mut self, now: Instant) {
        for (line, heard) in self.lines.iter_mut().zip(&mut self.heard) {
            let mut buffer = [0; 2048];
            // A silent socket is as good as a lost datagram.
            if let Ok((len, from)) = line.socket.recv_from(&mut buffer) {
                line.receive(now, from, &buffer[..len]);
                heard.extend(opened(line, &mut buffer[..len]));
            }
            line.go_on(now);
        }
    }
}

/// What a datagram is, if it is RTP.
fn opened(line: &mut Component, packet: &mut [u8]) -> Option<Vec<u8>> {
    let [0x80..=0xbf, second, ..] = *packet else { return None };
    let srtp = line.srtp.as_mut().filter(|_| !(192..224).contains(&second))?;
    let header = RtpHeader::parse(packet).expect("RTP");
    let len = srtp.inbound.unprotect_rtp(&header, packet).expect("it authenticates");
    Some(packet[..len].to_vec())
}
