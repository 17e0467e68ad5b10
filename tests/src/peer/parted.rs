//! A peer without rtcp-mux: RTP and RTCP have a socket, an ICE agent and a DTLS handshake each
//! (RFC 8445 §2.1, RFC 5764 §3).
//!
//! ICE is `is`, DTLS is `dimpl`; SRTP is the engine's, which is compared with libsrtp elsewhere. It has
//! no thread: it goes on while somebody waits for it ([`Parted::wait`]).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_control::dtls::{Fingerprint, Hash};
use causeway_engine::rtcp::{Compound, Rtcp, SenderInfo, Writer};
use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::{MasterKey, Srtp, Suite};
use dimpl::{Config, Dtls, DtlsCertificate, SrtpProfile, certificate};
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use str0m::media::MediaKind;

use super::{PATIENCE, payload};

/// SSRC and payload type of what it sends, audio and video.
const SENT: [(u32, u8, MediaKind); 2] =
    [(0x0a0d_1001, 111, MediaKind::Audio), (0x0a0d_1002, 96, MediaKind::Video)];
/// Payload type of what else it takes as audio.
const PCMU: u8 = 0;
/// Payload types of telephone events, as browsers have them: beside opus, and beside G.711.
pub const EVENTS: [(u8, u32); 2] = [(110, 48_000), (126, 8_000)];
/// Time between two packets of a kind.
const EVERY: Duration = Duration::from_millis(10);
/// Packets between two sender reports.
const REPORT_EVERY: u32 = 20;
/// How long it waits for a datagram at a time.
const LISTEN: Duration = Duration::from_millis(1);

/// What it has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Payload numbers that came, audio and video.
    pub numbers: [BTreeSet<u32>; 2],
    /// Telephone events that came: payload type, time stamp and payload.
    pub events: Vec<(u8, u32, Vec<u8>)>,
    /// Packets that did not authenticate, or with another payload than was sent.
    pub broken: u64,
    /// RTP where RTCP belongs, or the reverse: component and payload or packet type.
    pub misplaced: Vec<(usize, u8)>,
    /// SSRCs that sender reports came about.
    pub sender_reports: BTreeSet<u32>,
    /// SSRCs of its own that reception reports came about.
    pub reception_reports: BTreeSet<u32>,
    /// Key frames that it was asked for.
    pub key_frames_asked: u64,
    /// Where each component sends to.
    pub remotes: [Option<SocketAddr>; 2],
    /// Fingerprints of the certificates that the node showed, by component.
    pub fingerprints: [Option<String>; 2],
    /// How often each component has settled on a pair.
    pub nominations: [u32; 2],
    /// Packets of each kind that it has sent.
    pub sent: u32,
}

/// A peer with a port for each component.
pub struct Parted {
    components: [Component; 2],
    fingerprint: String,
    credentials: IceCreds,
    version: u32,
    sender: u32,
    next: Instant,
    /// Each took a number of the audio's.
    events_sent: u32,
    seen: Seen,
}

/// One component: RTP or RTCP, or both.
pub(super) struct Component {
    pub(super) socket: UdpSocket,
    pub(super) address: SocketAddr,
    pub(super) agent: IceAgent,
    certificate: DtlsCertificate,
    dtls: Option<Dtls>,
    remote: Option<SocketAddr>,
    pub(super) srtp: Option<Srtp>,
    fingerprint: Option<String>,
    nominations: u32,
}

impl Parted {
    /// One on two loopback ports, whose payloads call it `sender`. It sends media as soon as it can.
    pub fn new(sender: u32) -> Self {
        let pair = certificate::generate_self_signed_certificate().expect("a certificate");
        let fingerprint = Fingerprint::of(Hash::Sha256, &pair.certificate).hex();
        let credentials = IceCreds::new();
        let components = [(); 2].map(|()| Component::new(pair.clone(), credentials.clone()));
        let (next, seen) = (Instant::now(), Seen::default());
        Self {
            components,
            fingerprint,
            credentials,
            version: 0,
            sender,
            next,
            events_sent: 0,
            seen,
        }
    }

    /// Its offer of audio and video both ways.
    pub fn offer(&mut self) -> String {
        self.version += 1;
        let [rtp, rtcp] = self.components.each_ref().map(|component| component.address);
        let mut sdp = format!(
            "v=0\r\no=- 1 {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n",
            self.version
        );
        for (mid, (ssrc, payload_type, kind)) in SENT.iter().enumerate() {
            let (word, codec, feedback) = match kind {
                MediaKind::Audio => ("audio", "opus/48000/2", events()),
                MediaKind::Video => {
                    ("video", "VP8/90000", format!("a=rtcp-fb:{payload_type} nack pli\r\n"))
                }
            };
            let more = if *kind == MediaKind::Audio { " 0 110 126" } else { "" };
            sdp += &format!(
                "m={word} {} UDP/TLS/RTP/SAVPF {payload_type}{more}\r\nc=IN IP4 {}\r\n\
                 a=rtcp:{} IN IP4 {}\r\n\
                 a=candidate:1 1 udp 2130706431 {} {} typ host\r\n\
                 a=candidate:1 2 udp 2130706430 {} {} typ host\r\na=end-of-candidates\r\n\
                 a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n\
                 a=mid:{mid}\r\na=sendrecv\r\na=rtpmap:{payload_type} {codec}\r\n{feedback}\
                 a=ssrc:{ssrc} cname:parted\r\n",
                rtp.port(),
                rtp.ip(),
                rtcp.port(),
                rtcp.ip(),
                rtp.ip(),
                rtp.port(),
                rtcp.ip(),
                rtcp.port(),
                self.credentials.ufrag,
                self.credentials.pass,
                self.fingerprint,
            );
        }
        sdp
    }

    /// Its offer with other ICE credentials.
    pub fn offer_restart(&mut self) -> String {
        self.credentials = IceCreds::new();
        self.offer()
    }

    /// Takes the node's answer and looks for a pair for each component.
    pub fn take_answer(&mut self, answer: &str) {
        let value = |name: &str| {
            let prefix = format!("a={name}:");
            let found = answer.lines().find_map(|line| line.strip_prefix(&prefix));
            found.expect("a whole answer").to_owned()
        };
        let remote = IceCreds { ufrag: value("ice-ufrag"), pass: value("ice-pwd") };
        for (number, component) in (1..).zip(&mut self.components) {
            if component.agent.local_credentials() != &self.credentials {
                component.agent.ice_restart(self.credentials.clone(), true);
            }
            component.agent.set_remote_credentials(remote.clone());
            let own = |line: &&str| line.split(' ').nth(1) == Some(&number.to_string());
            let lines = answer.lines().filter_map(|line| line.strip_prefix("a="));
            let lines = lines.filter(|line| line.starts_with("candidate:")).filter(own);
            for line in lines.collect::<BTreeSet<_>>() {
                // `is` knows one component alone, and an agent is for one.
                let line = line.replacen(&format!(" {number} udp "), " 1 udp ", 1);
                let candidate = Candidate::from_sdp_string(&line).expect("a candidate");
                component.agent.add_remote_candidate(candidate);
            }
        }
    }

    /// Where its media comes from.
    pub fn address(&self) -> SocketAddr {
        self.components[0].address
    }

    /// What has been seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Asks the node for a key frame, from the port of RTCP; `media` is the SSRC of the node's video.
    pub fn ask_key_frame(&mut self, media: u32) {
        self.send_rtcp(|writer| {
            writer.receiver_report(SENT[1].0, &[]).expect("room");
            writer.pli(SENT[1].0, media).expect("room");
        });
    }

    /// Sends a telephone event amid its audio, of this payload type, time stamp and payload.
    pub fn send_event(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let sequence = self.seen.sent + self.events_sent;
        self.events_sent += 1;
        self.send_rtp((SENT[0].0, payload_type), sequence, timestamp, payload);
    }

    /// Goes on until `until` holds for what it has seen; panics with `what` after [`PATIENCE`].
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut until: impl FnMut(&Seen) -> bool) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            self.go_on(now);
            if until(&self.seen) {
                return self.seen.clone();
            }
            assert!(now < deadline, "the peer waited in vain: {what}; seen: {:?}", self.seen);
        }
    }

    fn go_on(&mut self, now: Instant) {
        for place in 0..self.components.len() {
            let component = &mut self.components[place];
            let mut buffer = [0; 2048];
            // A silent socket is as good as a lost datagram.
            if let Ok((len, from)) = component.socket.recv_from(&mut buffer) {
                component.receive(now, from, &buffer[..len]);
                self.hear(place, &mut buffer[..len]);
            }
            let component = &mut self.components[place];
            component.go_on(now);
            self.seen.remotes[place] = component.remote;
            self.seen.nominations[place] = component.nominations;
            self.seen.fingerprints[place].clone_from(&component.fingerprint);
        }
        if self.next <= now && self.components.iter().all(Component::is_ready) {
            self.next = now + EVERY;
            self.send_media();
        }
    }

    /// Takes media and reports; the first byte tells what it is (RFC 7983 §7).
    fn hear(&mut self, place: usize, packet: &mut [u8]) {
        let [0x80..=0xbf, second, ..] = *packet else { return };
        let is_rtcp = (192..224).contains(&second);
        if is_rtcp != (place == 1) {
            self.seen.misplaced.push((place, second));
            return;
        }
        let Some(srtp) = &mut self.components[place].srtp else { return };
        if is_rtcp {
            match srtp.inbound.unprotect_rtcp(packet) {
                Ok(len) => self.hear_reports(&packet[..len]),
                Err(_) => self.seen.broken += 1,
            }
            return;
        }
        let header = RtpHeader::parse(packet).expect("RTP");
        let Ok(len) = srtp.inbound.unprotect_rtp(&header, packet) else {
            self.seen.broken += 1;
            return;
        };
        let payload = &packet[usize::from(header.len)..len];
        if EVENTS.iter().any(|(number, _)| *number == header.payload_type) {
            self.seen.events.push((header.payload_type, header.timestamp, payload.to_vec()));
            return;
        }
        let is_sent = |(_, number, _): &(u32, u8, MediaKind)| *number == header.payload_type;
        let sent = SENT.iter().position(is_sent).or((header.payload_type == PCMU).then_some(0));
        let read = sent.and_then(|kind| Some((kind, payload::read(SENT[kind].2, payload)?)));
        match read {
            Some((kind, (_, number))) => {
                self.seen.numbers[kind].insert(number);
            }
            None => self.seen.broken += 1,
        }
    }

    fn hear_reports(&mut self, packet: &[u8]) {
        for packet in Compound::parse(packet).expect("a compound").sound() {
            match packet {
                Rtcp::SenderReport(report) => {
                    self.seen.sender_reports.insert(report.info.ssrc);
                    let blocks = report.blocks().map(|block| block.ssrc);
                    self.seen.reception_reports.extend(blocks);
                }
                Rtcp::ReceiverReport(report) => {
                    self.seen.reception_reports.extend(report.blocks().map(|block| block.ssrc));
                }
                Rtcp::Pli(_) => self.seen.key_frames_asked += 1,
                _ => {}
            }
        }
    }

    /// One packet of each kind, and at times a report about each.
    fn send_media(&mut self) {
        let number = self.seen.sent;
        for (ssrc, payload_type, kind) in SENT {
            let events = if kind == MediaKind::Audio { self.events_sent } else { 0 };
            let payload = payload::write(kind, self.sender, number);
            self.send_rtp((ssrc, payload_type), number + events, number * 900, &payload);
        }
        self.seen.sent += 1;
        if number.is_multiple_of(REPORT_EVERY) {
            for (ssrc, ..) in SENT {
                self.send_rtcp(|writer| {
                    let (timestamp, ntp) = (number * 900, u64::from(number) << 32);
                    let info = SenderInfo { ssrc, ntp, timestamp, packets: number, octets: number };
                    writer.sender_report(&info).expect("room");
                    writer.sdes(ssrc, b"parted").expect("room");
                });
            }
        }
    }

    fn send_rtp(
        &mut self,
        (ssrc, payload_type): (u32, u8),
        sequence: u32,
        timestamp: u32,
        payload: &[u8],
    ) {
        let mut packet = vec![0x80, payload_type];
        packet.extend((sequence as u16).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        let header = RtpHeader::parse(&packet).expect("RTP");
        self.components[0].protect(packet, |srtp, packet, len| {
            srtp.outbound.protect_rtp(&header, packet, len).ok()
        });
    }

    fn send_rtcp(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buffer = [0; 1200];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        let len = writer.len();
        self.components[1].protect(buffer[..len].to_vec(), |srtp, packet, len| {
            srtp.outbound.protect_rtcp(packet, len).ok()
        });
    }
}

impl Component {
    pub(super) fn new(certificate: DtlsCertificate, credentials: IceCreds) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        socket.set_read_timeout(Some(LISTEN)).expect("a timeout");
        let address = socket.local_addr().expect("bound");
        let mut agent = IceAgent::new(credentials);
        agent.set_controlling(true);
        let candidate = Candidate::host(address, Protocol::Udp).expect("a usable address");
        agent.add_local_candidate(candidate);
        Self {
            socket,
            address,
            agent,
            certificate,
            dtls: None,
            remote: None,
            srtp: None,
            fingerprint: None,
            nominations: 0,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.remote.is_some() && self.srtp.is_some()
    }

    /// Takes what is STUN or DTLS.
    pub(super) fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        match bytes.first() {
            Some(0..=3) => {
                let Ok(message) = StunMessage::parse(bytes) else { return };
                let (proto, destination) = (Protocol::Udp, self.address);
                self.agent.handle_packet(now, StunPacket { proto, source, destination, message });
            }
            Some(20..=63) => {
                if let Some(dtls) = &mut self.dtls {
                    dtls.handle_packet(bytes).expect("DTLS goes on");
                }
            }
            _ => {}
        }
    }

    pub(super) fn go_on(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        while let Some(sent) = self.agent.poll_transmit() {
            self.send(sent.destination, &sent.contents);
        }
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend { destination, .. } = event {
                self.remote = Some(destination);
                self.nominations += 1;
            }
        }
        if self.remote.is_some() {
            self.shake_hands(now);
        }
    }

    /// It begins, as the node leaves it to whoever offers `actpass`.
    fn shake_hands(&mut self, now: Instant) {
        let mut dtls = self.dtls.take().unwrap_or_else(|| {
            let config = Config::builder().mtu(1200).use_server_cookie(false).build();
            let config = Arc::new(config.expect("a sound configuration"));
            let mut dtls = Dtls::new_auto(config, self.certificate.clone(), now);
            dtls.set_active(true);
            dtls
        });
        dtls.handle_timeout(now).expect("DTLS goes on");
        let mut buffer = vec![0; 4096];
        loop {
            match dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(bytes) => {
                    if let Some(remote) = self.remote {
                        self.send(remote, bytes);
                    }
                }
                dimpl::Output::PeerCert(der) => {
                    self.fingerprint = Some(Fingerprint::of(Hash::Sha256, der).hex());
                }
                dimpl::Output::KeyingMaterial(material, profile) => {
                    self.srtp = Some(contexts(&material, profile));
                }
                dimpl::Output::Timeout(_) => break,
                _ => {}
            }
        }
        self.dtls = Some(dtls);
    }

    pub(super) fn protect(
        &mut self,
        mut packet: Vec<u8>,
        protect: impl FnOnce(&mut Srtp, &mut [u8], usize) -> Option<usize>,
    ) {
        let (Some(remote), Some(srtp)) = (self.remote, &mut self.srtp) else { return };
        let len = packet.len();
        packet.resize(len + 64, 0);
        let len = protect(srtp, &mut packet, len).expect("room for the tag");
        self.send(remote, &packet[..len]);
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        // A full socket loses it, as the network may.
        let _ = self.socket.send_to(bytes, to);
    }
}

/// What its description says of telephone events.
fn events() -> String {
    let event = |(number, rate): &(u8, u32)| {
        format!("a=rtpmap:{number} telephone-event/{rate}\r\na=fmtp:{number} 0-15\r\n")
    };
    EVENTS.iter().map(event).collect()
}

/// Cuts what DTLS exports: client key, server key, client salt, server salt (RFC 5764 §4.2). The far
/// side is the client.
fn contexts(material: &[u8], profile: SrtpProfile) -> Srtp {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        other => panic!("{other:?}"),
    };
    let (keys, salts) = material.split_at(2 * suite.key_len());
    let (client_key, server_key) = keys.split_at(suite.key_len());
    let (client_salt, server_salt) = salts.split_at(suite.salt_len());
    let server_salt = &server_salt[..suite.salt_len()];
    let master = |key, salt| MasterKey::new(suite, key, salt).expect("the suite's lengths");
    Srtp::new(&master(server_key, server_salt), &master(client_key, client_salt))
}
