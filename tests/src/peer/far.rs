//! The machine inside of a [`super::Peer`]: `str0m`, what is to be sent, and what came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::Rtcp;
use str0m::rtp::{RawPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::{Spec, payload};

/// When nothing else is due.
const IDLE: Duration = Duration::from_secs(3600);

/// An m-line to be offered.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// What it carries.
    pub kind: MediaKind,
    /// Which way.
    pub direction: Direction,
}

impl Line {
    /// Audio and video both ways.
    pub const CALL: [Self; 2] = [
        Self { kind: MediaKind::Audio, direction: Direction::SendRecv },
        Self { kind: MediaKind::Video, direction: Direction::SendRecv },
    ];
    /// Audio both ways.
    pub const TALK: [Self; 1] = [Self { kind: MediaKind::Audio, direction: Direction::SendRecv }];
}

/// Media to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Which kind: it goes out on the first m-line of that kind.
    pub kind: MediaKind,
    /// What the payloads call their sender.
    pub sender: u32,
    /// Time between two packets.
    pub every: Duration,
    /// How many; none means until told otherwise.
    pub count: Option<u32>,
}

impl Flow {
    /// Opus, a packet each 20 ms.
    pub fn audio(sender: u32) -> Self {
        Self { kind: MediaKind::Audio, sender, every: Duration::from_millis(20), count: None }
    }

    /// VP8, a packet each 10 ms.
    pub fn video(sender: u32) -> Self {
        Self { kind: MediaKind::Video, sender, every: Duration::from_millis(10), count: None }
    }

    /// So many and no more.
    #[must_use]
    pub fn count(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }
}

/// What came on one m-line.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    /// Packets with a whole payload.
    pub whole: u64,
    /// Packets with anything else.
    pub broken: u64,
    /// Their payload numbers, by sender.
    pub numbers: BTreeMap<u32, BTreeSet<u32>>,
    /// Their SSRCs.
    pub ssrcs: BTreeSet<u32>,
    /// Their payload types.
    pub payload_types: BTreeSet<u8>,
    /// The MIDs that stand in their header extensions.
    pub mids: BTreeSet<String>,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Arrivals {
    /// How many different payloads of `sender` came.
    pub fn of(&self, sender: u32) -> usize {
        self.numbers.get(&sender).map_or(0, BTreeSet::len)
    }
}

/// What a peer has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// ICE and DTLS are done.
    pub connected: bool,
    /// The node has said goodbye (DTLS close_notify).
    pub goodbye: bool,
    /// The stack gave up, with its words.
    pub failed: Option<String>,
    /// What came, by the kind of the m-line.
    pub audio: Arrivals,
    /// What came, by the kind of the m-line.
    pub video: Arrivals,
    /// Media packets sent, by kind: audio, video.
    pub sent: [u64; 2],
    /// Payload bytes sent, by kind: audio, video.
    pub sent_bytes: [u64; 2],
    /// SSRCs of the streams that it sends, by kind: audio, video.
    pub own_ssrcs: [Option<u32>; 2],
    /// Key frames that it was asked for.
    pub key_frames_asked: u64,
    /// SSRCs that sender reports came about.
    pub sender_reports: BTreeSet<u32>,
    /// SSRCs of its own that reception reports came about.
    pub reception_reports: BTreeSet<u32>,
    /// Datagrams that came.
    pub datagrams: u64,
}

impl Seen {
    /// What came of a kind.
    pub fn of(&self, kind: MediaKind) -> &Arrivals {
        if kind == MediaKind::Video { &self.video } else { &self.audio }
    }
}

struct Running {
    flow: Flow,
    next: Instant,
    sent: u32,
}

pub(super) struct Far {
    rtc: Rtc,
    pub(super) address: SocketAddr,
    pub(super) candidate: Candidate,
    /// The one port of the node that it gets through to.
    port: Option<u16>,
    pending: Option<SdpPendingOffer>,
    mids: Vec<(MediaKind, Mid)>,
    flows: Vec<Running>,
    sequence: [u64; 2],
    pub(super) silent: bool,
    pub(super) seen: Seen,
    pub(super) next: Instant,
}

fn place(kind: MediaKind) -> usize {
    usize::from(kind == MediaKind::Video)
}

impl Far {
    pub(super) fn new(spec: &Spec, address: SocketAddr) -> Self {
        let now = Instant::now();
        let mut config = Rtc::builder()
            .clear_codecs()
            .set_rtp_mode(true)
            .enable_raw_packets(true)
            .set_ice_lite(spec.lite)
            .set_dtls_version(spec.dtls);
        let codecs = config.codec_config();
        if let Some(opus) = spec.opus {
            let format = FormatParams { min_p_time: Some(10), ..FormatParams::default() };
            let rate = Frequency::FORTY_EIGHT_KHZ;
            codecs.add_config(opus.into(), None, Codec::Opus, rate, Some(2), format);
        }
        codecs.enable_pcmu(spec.g711, false);
        codecs.enable_pcma(spec.g711, false);
        if let Some(vp8) = spec.vp8 {
            let (rate, format) = (Frequency::NINETY_KHZ, FormatParams::default());
            codecs.add_config(vp8.into(), Some((vp8 + 1).into()), Codec::Vp8, rate, None, format);
        }
        if let Some(h264) = spec.h264 {
            codecs.add_h264(h264.into(), Some((h264 + 1).into()), true, 0x42_e01f);
        }
        let mut rtc = config.build(now);
        let candidate = Candidate::host(address, "udp").expect("a usable address");
        rtc.add_local_candidate(candidate.clone());
        Self {
            rtc,
            address,
            candidate,
            port: spec.port,
            pending: None,
            mids: Vec::new(),
            flows: Vec::new(),
            sequence: [0; 2],
            silent: false,
            seen: Seen::default(),
            next: now,
        }
    }

    pub(super) fn offer(&mut self, lines: &[Line]) -> String {
        let mut changes = self.rtc.sdp_api();
        for line in lines {
            let mid = changes.add_media(line.kind, line.direction, None, None, None);
            self.mids.push((line.kind, mid));
        }
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub(super) fn offer_direction(&mut self, direction: Direction) -> String {
        let mut changes = self.rtc.sdp_api();
        for (_, mid) in &self.mids {
            changes.set_direction(*mid, direction);
        }
        let (offer, pending) = changes.apply().expect("a direction that it has not yet");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub(super) fn offer_restart(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().expect("a restart to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub(super) fn take_answer(&mut self, answer: &str) {
        let answer = self.reachable(answer);
        let answer = SdpAnswer::from_sdp_string(&answer).expect("an answer that str0m reads");
        let pending = self.pending.take().expect("an offer before its answer");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer that fits the offer");
        self.note_ssrcs();
    }

    pub(super) fn answer(&mut self, offer: &str) -> String {
        let offer = self.reachable(offer);
        let offer = SdpOffer::from_sdp_string(&offer).expect("an offer that str0m reads");
        let answer = self.rtc.sdp_api().accept_offer(offer).expect("an offer that str0m takes");
        answer.to_sdp_string()
    }

    /// A description without the candidates that it does not get through to.
    fn reachable(&self, description: &str) -> String {
        let is_shut = |line: &str| {
            let candidate = line.strip_prefix("a=candidate:");
            let port = candidate.and_then(|candidate| candidate.split(' ').nth(5));
            port.zip(self.port).is_some_and(|(port, own)| port != own.to_string())
        };
        let lines = description.split_inclusive('\n').filter(|line| !is_shut(line));
        lines.collect()
    }

    pub(super) fn add_candidate(&mut self, line: &str) {
        let candidate = Candidate::from_sdp_string(line).expect("a candidate");
        self.rtc.add_remote_candidate(candidate);
    }

    pub(super) fn flow(&mut self, flow: Flow) {
        self.flows.retain(|running| running.flow.kind != flow.kind);
        self.flows.push(Running { flow, next: Instant::now(), sent: 0 });
        self.note_ssrcs();
    }

    pub(super) fn quiet(&mut self) {
        self.flows.clear();
    }

    pub(super) fn ask_key_frame(&mut self) {
        let Some(mid) = self.mid(MediaKind::Video) else { return };
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    pub(super) fn close(&mut self) {
        self.flows.clear();
        if let Err(error) = self.rtc.close() {
            self.seen.failed = Some(error.to_string());
        }
    }

    /// Sends what is due and lets time pass.
    pub(super) fn tick(&mut self, now: Instant, socket: &UdpSocket) {
        if self.silent {
            self.next = now + IDLE;
            return;
        }
        self.feed(Input::Timeout(now));
        self.drain(socket);
        for place in 0..self.flows.len() {
            while self.due(place, now) {
                self.write(place, now);
                self.drain(socket);
            }
        }
        let due = self.flows.iter().filter(|_| self.seen.connected).map(|flow| flow.next).min();
        self.next = due.map_or(self.next, |due| due.min(self.next));
    }

    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if self.silent {
            return;
        }
        self.seen.datagrams += 1;
        // What is none of the protocols is none of str0m's business.
        if let Ok(received) = Receive::new(Protocol::Udp, from, self.address, bytes) {
            self.feed(Input::Receive(now, received));
        }
    }

    /// Does what `str0m` wants until it waits.
    pub(super) fn drain(&mut self, socket: &UdpSocket) {
        while !self.silent {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(next)) => {
                    self.next = next;
                    return;
                }
                Ok(Output::Transmit(datagram)) => {
                    // A full socket loses it, as the network may.
                    let _ = socket.send_to(&datagram.contents, datagram.destination);
                }
                Ok(Output::Event(event)) => self.note(event),
                Err(error) => return self.fail(&error.to_string()),
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            self.fail(&error.to_string());
        }
    }

    fn fail(&mut self, words: &str) {
        self.seen.failed.get_or_insert_with(|| words.to_owned());
        self.rtc.disconnect();
        self.next = Instant::now() + IDLE;
    }

    fn due(&self, place: usize, now: Instant) -> bool {
        let Running { flow, next, sent } = &self.flows[place];
        self.seen.connected && *next <= now && flow.count.is_none_or(|count| *sent < count)
    }

    fn write(&mut self, place_of_flow: usize, now: Instant) {
        let running = &mut self.flows[place_of_flow];
        let flow = running.flow;
        running.next += flow.every;
        if flow.count.is_some_and(|count| running.sent + 1 >= count) {
            running.next = now + IDLE;
        }
        let Some(mid) = self.mids.iter().find(|(kind, _)| *kind == flow.kind).map(|(_, mid)| *mid)
        else {
            return;
        };
        let codec = if flow.kind == MediaKind::Video { Codec::Vp8 } else { Codec::Opus };
        let Some(pt) = self.rtc.codec_config().find(|p| p.spec().codec == codec).map(|p| p.pt())
        else {
            return;
        };
        let sends = self.rtc.media(mid).is_some_and(|media| media.direction().is_sending());
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None).filter(|_| sends) else { return };
        let running = &mut self.flows[place_of_flow];
        let bytes = payload::write(flow.kind, flow.sender, running.sent);
        running.sent += 1;
        let slot = place(flow.kind);
        let sequence = self.sequence[slot];
        self.sequence[slot] += 1;
        let step = if flow.kind == MediaKind::Video { 900 } else { 960 };
        let time = (sequence as u32).wrapping_mul(step);
        self.seen.sent[slot] += 1;
        self.seen.sent_bytes[slot] += bytes.len() as u64;
        let video = flow.kind == MediaKind::Video;
        let packet = RtpWrite::new(pt, sequence.into(), time, now, bytes);
        stream.write_rtp(packet.marker(video).nackable(video));
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.seen.connected = true,
            Event::Closed => self.seen.goodbye = true,
            Event::MediaAdded(added) => {
                self.mids.push((added.kind, added.mid));
                self.note_ssrcs();
            }
            Event::KeyframeRequest(_) => self.seen.key_frames_asked += 1,
            Event::RtpPacket(packet) => {
                let header = &packet.header;
                let by_ssrc = self.rtc.direct_api().stream_rx(&header.ssrc).map(|rx| rx.mid());
                let Some(mid) = by_ssrc.or(header.ext_vals.mid) else { return };
                let Some((kind, _)) = self.mids.iter().find(|(_, held)| *held == mid) else {
                    return;
                };
                let kind = *kind;
                let arrivals = if kind == MediaKind::Video {
                    &mut self.seen.video
                } else {
                    &mut self.seen.audio
                };
                arrivals.ssrcs.insert(*header.ssrc);
                arrivals.payload_types.insert(*header.payload_type);
                arrivals.mids.extend(header.ext_vals.mid.map(|mid| mid.to_string()));
                arrivals.bytes += packet.payload.len() as u64;
                match payload::read(kind, &packet.payload) {
                    Some((sender, number)) => {
                        arrivals.whole += 1;
                        arrivals.numbers.entry(sender).or_default().insert(number);
                    }
                    None => arrivals.broken += 1,
                }
            }
            Event::RawPacket(raw) => self.note_raw(&raw),
            _ => {}
        }
    }

    fn note_raw(&mut self, raw: &RawPacket) {
        let RawPacket::RtcpRx(rtcp) = raw else { return };
        match rtcp {
            Rtcp::SenderReport(report) => {
                self.seen.sender_reports.insert(*report.sender_info.ssrc);
                let reports = report.reports.iter().map(|report| *report.ssrc);
                self.seen.reception_reports.extend(reports);
            }
            Rtcp::ReceiverReport(report) => {
                let reports = report.reports.iter().map(|report| *report.ssrc);
                self.seen.reception_reports.extend(reports);
            }
            _ => {}
        }
    }

    fn mid(&self, kind: MediaKind) -> Option<Mid> {
        self.mids.iter().find(|(held, _)| *held == kind).map(|(_, mid)| *mid)
    }

    fn note_ssrcs(&mut self) {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let Some(mid) = self.mid(kind) else { continue };
            let ssrc = self.rtc.direct_api().stream_tx_by_mid(mid, None).map(|tx| *tx.ssrc());
            self.seen.own_ssrcs[place(kind)] = ssrc;
        }
    }
}
