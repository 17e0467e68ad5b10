//! What a leg sends ([`Stream`]) and what the node sends to a leg ([`Sink`]).

use arrayvec::ArrayVec;

use crate::command::{
    Codec, LayerChoice, MediaKind, Mid, PayloadType, Refusal, Rid, SinkId, SinkSpec, Source,
    StreamSpec,
};
use crate::config::{
    EVENTS_PER_STREAM, LAYERS_PER_STREAM, PAYLOAD_TYPES_PER_STREAM, REPEATS_BURST,
    SINKS_PER_STREAM, SSRCS_PER_STREAM,
};
use crate::digit::{Digit, Digits};
use crate::few::Few;
use crate::layers::{Layer, LayerTag, Rate};
use crate::packet::Nanos;
use crate::pictures;
use crate::pipe::{Content, Outflow, Pipe, Pipes};
use crate::plain::plain;
use crate::route::{Passing, Route};
use crate::rtcp::{self, Compound, ReportBlock, Rtcp, SenderInfo};
use crate::rtp::RtpHeader;
use crate::selection::{Selection, Verdict};
use crate::stats::MediaCounters;
use crate::sys::cpu::prefetch;
use crate::voice::Voice;

/// Shortest time between two key frame requests to one source: more would cost the sender more
/// than the picture gains, and its answer takes a round trip anyway.
const KEY_FRAME_INTERVAL: Nanos = Nanos::from_millis(200);

/// Time between two reports to one sender, a little less than that between two visits to a leg: the
/// sender takes round trips and loss from them, and browsers report as often.
const REPORT_INTERVAL: Nanos = Nanos::from_millis(900);

/// Time between two reports in another's place (RFC 3550 §6.2 has five seconds), a little less than
/// that between five visits to a leg.
const STAND_IN_INTERVAL: Nanos = Nanos::from_millis(4500);
/// How long after a report of the sender's own nothing is said in its place: a few of its intervals.
const OWN_REPORTS_REST: Nanos = Nanos::from_millis(20_000);

/// Ticks per second of audio of which nobody has said anything: that of most static payload types
/// (RFC 3551 §6).
const ASSUMED_AUDIO_CLOCK: u32 = 8000;

/// An SSRC that a leg uses for a stream, which layer it is, and whether it carries retransmissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sender {
    ssrc: u32,
    retransmits: bool,
    layer: u8,
}

/// What a packet is within its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) retransmits: bool,
    pub(crate) layer: u8,
}

/// One m-line's media from a leg.
#[derive(Debug)]
pub struct Stream {
    pub(crate) kind: MediaKind,
    pub(crate) transport: u8,
    pub(crate) rtcp_transport: u8,
    pub(crate) paused: bool,
    pub(crate) sinks: Few<SinkId, SINKS_PER_STREAM>,
    /// Where it goes as it comes; then its sinks get nothing.
    pub(crate) pipes: Pipes,
    pub(crate) counters: MediaCounters,
    mid: Option<Mid>,
    mid_extension: Option<u8>,
    senders: Few<Sender, SSRCS_PER_STREAM>,
    payload_types: Few<PayloadType, PAYLOAD_TYPES_PER_STREAM>,
    /// Names of its layers; none without simulcast.
    rids: Few<Rid, LAYERS_PER_STREAM>,
    rid_extension: Option<u8>,
    repaired_rid_extension: Option<u8>,
    /// One for each name, or the only one.
    layers: Few<Layer, LAYERS_PER_STREAM>,
    reported_at: Nanos,
    voice: Option<Voice>,
    open: bool,
    events: ArrayVec<u8, EVENTS_PER_STREAM>,
    digits: Digits,
    reports: bool,
}

impl Stream {
    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.transport);
        prefetch(&self.sinks);
        prefetch(&self.pipes);
        prefetch(&self.counters);
        prefetch(&self.layers);
        prefetch(&self.voice);
        prefetch(&self.digits);
    }

    /// Asks for what its lists have first.
    pub(crate) fn warm_lists(&self) {
        self.senders.first().iter().for_each(|sender| prefetch(*sender));
        self.payload_types.first().iter().for_each(|payload_type| prefetch(*payload_type));
        self.pipes.first().iter().for_each(|pipe| prefetch(*pipe));
        self.layers.first().iter().for_each(|layer| layer.warm());
    }

    /// Makes it from plain data; SSRCs and payload types beyond the limits are left out, the
    /// packets they would have named are then dropped as [`crate::error::DropReason::StreamUnknown`].
    pub fn new(spec: &StreamSpec) -> Self {
        let rids: Few<_, LAYERS_PER_STREAM> = spec.rids.iter().cloned().collect();
        let layers = rids.len().max(1);
        Self {
            kind: spec.kind,
            transport: spec.transport,
            rtcp_transport: spec.rtcp_transport,
            paused: spec.paused,
            sinks: Few::new(),
            pipes: Pipes::new(),
            counters: MediaCounters::default(),
            mid: spec.mid.clone(),
            mid_extension: spec.mid_extension,
            senders: named_senders(spec, &rids),
            payload_types: spec.payload_types.iter().copied().collect(),
            rids,
            rid_extension: spec.rid_extension,
            repaired_rid_extension: spec.repaired_rid_extension,
            layers: std::iter::repeat_n(Layer::default(), layers).collect(),
            reported_at: Nanos(0),
            voice: spec.audio_level_extension.map(Voice::new),
            open: spec.open,
            events: spec.events.iter().copied().take(EVENTS_PER_STREAM).collect(),
            digits: Digits::default(),
            reports: spec.reports,
        }
    }

    /// Takes over what a renegotiated description does not change.
    pub(crate) fn inherit(&mut self, old: &mut Self) {
        self.sinks = std::mem::take(&mut old.sinks);
        self.pipes = std::mem::take(&mut old.pipes);
        self.digits = std::mem::take(&mut old.digits);
        self.counters = old.counters;
        self.reported_at = old.reported_at;
        if let (Some(voice), Some(old)) = (&mut self.voice, &old.voice) {
            voice.inherit(old);
        }
        for (layer, state) in (0u8..).zip(&old.layers) {
            let Some(place) = self.place_of(&old.rids, layer) else { continue };
            self.layers[usize::from(place)] = *state;
            for sender in old.senders.iter().filter(|sender| sender.layer == layer) {
                if !self.senders.iter().any(|s| s.ssrc == sender.ssrc) {
                    let _ = self.senders.try_push(Sender { layer: place, ..*sender });
                }
            }
        }
    }

    /// The place here of what was the layer at `layer` of `old`: the one of the same name.
    fn place_of(&self, old: &[Rid], layer: u8) -> Option<u8> {
        match old.get(usize::from(layer)) {
            Some(rid) => self.layer_named(rid),
            None => self.rids.is_empty().then_some(0),
        }
    }

    fn layer_named(&self, rid: &[u8]) -> Option<u8> {
        let place = self.rids.iter().position(|known| known.as_slice() == rid)?;
        u8::try_from(place).ok()
    }

    /// What `ssrc` is if it is known to be this stream's.
    pub(crate) fn owns(&self, ssrc: u32) -> Option<Part> {
        let sender = self.senders.iter().find(|s| s.ssrc == ssrc)?;
        Some(Part { retransmits: sender.retransmits, layer: sender.layer })
    }

    /// Whether it has simulcast layers.
    pub(crate) fn is_layered(&self) -> bool {
        !self.rids.is_empty()
    }

    /// Whether the node itself reports to its sender: where several receivers, or a choice of
    /// layers, leave no one who could.
    pub(crate) fn is_reported_here(&self) -> bool {
        !self.is_piped() && (self.is_layered() || self.sinks.len() > 1)
    }

    /// Whether the node itself repeats its packets to the sinks that miss them: there are several, or the
    /// sender has `forgotten` what the node has told it to have come.
    pub(crate) fn is_repeated_here(&self, forgotten: bool) -> bool {
        self.kind == MediaKind::Video && !self.is_piped() && (forgotten || self.is_reported_here())
    }

    /// The payload type and SSRC of what a retransmission repeats; none of another packet, and none
    /// before there was anything to repeat.
    pub(crate) fn original_of(&self, header: &RtpHeader) -> Option<(u8, u32)> {
        let payload_type = self.payload_type(header.payload_type)?.retransmits?;
        let layer = self.owns(header.ssrc)?.layer;
        Some((payload_type, self.media_ssrc(layer)?))
    }

    /// Whether an authenticated packet with an unknown SSRC is this stream's, by MID first (RFC 8843
    /// §9.2), by payload type else; one of a layer must name it too (RFC 8852 §3). Learns the SSRC
    /// if so.
    pub(crate) fn claims(&mut self, packet: &[u8], header: &RtpHeader, by_mid: bool) -> bool {
        let Some(payload_type) = self.payload_type(header.payload_type) else { return false };
        if by_mid {
            let (Some(mid), Some(id)) = (&self.mid, self.mid_extension) else { return false };
            if header.read_mid(packet, id) != Some(mid.as_slice()) {
                return false;
            }
        }
        let retransmits = payload_type.retransmits.is_some();
        let Some(layer) = self.layer_of(packet, header, retransmits) else { return false };
        self.learn(Sender { ssrc: header.ssrc, retransmits, layer });
        true
    }

    /// Whether it takes a packet that no stream claims. Learns the SSRC if so.
    pub(crate) fn claims_any(&mut self, header: &RtpHeader) -> bool {
        if self.open {
            self.learn(Sender { ssrc: header.ssrc, retransmits: false, layer: 0 });
        }
        self.open
    }

    fn learn(&mut self, sender: Sender) {
        if self.senders.is_full() {
            self.senders.remove(0);
        }
        let _ = self.senders.try_push(sender);
    }

    /// Where it goes as it comes.
    pub(crate) fn pipes(&self) -> &[Pipe] {
        &self.pipes
    }

    /// Whether it goes anywhere as it comes.
    pub(crate) fn is_piped(&self) -> bool {
        !self.pipes().is_empty()
    }

    /// What its packets of this payload type carry.
    pub(crate) fn content_of(&self, payload_type: u8) -> Content {
        if self.events.contains(&payload_type) {
            return Content::Event;
        }
        let codec = self.payload_type(payload_type).map(|known| known.codec);
        Content::Media { silence: codec.and_then(Codec::silence) }
    }

    /// Lets a digit follow those that it has yet to play.
    pub(crate) fn add_digit(&mut self, digit: Digit) -> Result<(), Refusal> {
        if self.kind != MediaKind::Audio {
            return Err(Refusal::Misuse);
        }
        self.digits.push(digit)
    }

    /// What leaves in the place of a packet while a digit is played.
    pub(crate) fn play(&mut self, header: &RtpHeader) -> Option<Outflow> {
        if self.digits.is_empty() || self.events.contains(&header.payload_type) {
            return None;
        }
        let number = header.payload_type;
        let known = self.payload_type(number).or_else(|| self.assumed(number))?;
        self.digits.step(header, known.clock_rate, known.codec)
    }

    /// The layer that a packet names.
    fn layer_of(&self, packet: &[u8], header: &RtpHeader, retransmits: bool) -> Option<u8> {
        if !self.is_layered() {
            return Some(0);
        }
        let id = if retransmits { self.repaired_rid_extension } else { self.rid_extension }?;
        self.layer_named(header.extension(packet, id)?)
    }

    fn payload_type(&self, number: u8) -> Option<PayloadType> {
        self.payload_types.iter().copied().find(|p| p.number == number)
    }

    /// What an open stream holds a payload type to be that its description does not name.
    fn assumed(&self, number: u8) -> Option<PayloadType> {
        let clock_rate = if self.kind == MediaKind::Audio { ASSUMED_AUDIO_CLOCK } else { 0 };
        let assumed = PayloadType { number, clock_rate, retransmits: None, codec: Codec::Other };
        self.open.then_some(assumed)
    }

    /// Counts an accepted packet, which lies plain in `packet`; what it is among the layers, if there
    /// are any.
    pub(crate) fn receive(
        &mut self,
        header: &RtpHeader,
        packet: &[u8],
        part: Part,
        now: Nanos,
    ) -> Option<LayerTag> {
        let layered = self.is_layered();
        let payload_type = self.payload_type(header.payload_type);
        let payload_type = payload_type.or_else(|| self.assumed(header.payload_type));
        let layer = &mut self.layers[usize::from(part.layer)];
        let bitrate = layer.rate.bitrate();
        let mut tag = LayerTag { layer: part.layer, key_frame: false, bitrate };
        let Some(payload_type) = payload_type else { return layered.then_some(tag) };
        if payload_type.retransmits.is_some() {
            self.counters.rtx_packets += 1;
            return layered.then_some(tag);
        }
        let payload_len = packet.len() - usize::from(header.len);
        layer.ssrc = header.ssrc;
        layer.packets += 1;
        layer.bytes += payload_len as u64;
        layer.heard = now;
        layer.rate.count(packet.len(), now);
        let lost_before = layer.reception.lost();
        layer.reception.take(header, payload_len, payload_type.clock_rate, now);
        self.counters.lost =
            (self.counters.lost + layer.reception.lost()).saturating_sub(lost_before);
        self.counters.jitter = layer.reception.jitter >> 4;
        if !layered || self.counters.ssrc == 0 {
            self.counters.ssrc = header.ssrc;
        }
        self.counters.clock_rate = payload_type.clock_rate;
        self.counters.payload_type = Some(payload_type.number);
        self.counters.packets += 1;
        self.counters.bytes += payload_len as u64;
        if !layered {
            return None;
        }
        let payload = header.payload(packet).unwrap_or_default();
        tag.key_frame = pictures::begins_key_frame(payload_type.codec, payload);
        Some(tag)
    }

    /// Counts a datagram that is no RTP.
    pub(crate) fn receive_raw(&mut self, len: usize) {
        self.counters.packets += 1;
        self.counters.bytes += len as u64;
    }

    /// Takes the audio level of a packet; true if control is to be told of it.
    pub(crate) fn listen(&mut self, header: &RtpHeader, packet: &[u8], now: Nanos) -> bool {
        let Some(voice) = &mut self.voice else { return false };
        let data = header.extension(packet, voice.extension);
        data.is_some_and(|data| voice.hear(data, now))
    }

    /// Who speaks in it, if its sender says so.
    pub(crate) fn voice(&mut self) -> Option<&mut Voice> {
        self.voice.as_mut()
    }

    /// Its layers, if it has any.
    pub(crate) fn simulcast(&self) -> impl Iterator<Item = (u8, &Layer)> {
        (0u8..).zip(&self.layers).filter(|_| self.is_layered())
    }

    /// What is due once a second: rates are taken; true if control is to be told something.
    pub(crate) fn visit(&mut self, now: Nanos) -> bool {
        for layer in &mut self.layers {
            layer.rate.close(now);
        }
        self.voice.as_mut().is_some_and(|voice| voice.listen(now))
    }

    /// Notes when the sender reports of its own came, for reports to it (RFC 3550 §6.4.1).
    pub(crate) fn note_reports(&mut self, compound: &Compound<'_>, now: Nanos) {
        for packet in compound.sound() {
            let Rtcp::SenderReport(report) = packet else { continue };
            if let Some(layer) = self.layers.iter_mut().find(|l| l.ssrc == report.info.ssrc) {
                layer.reception.note_report(report.info.ntp, now);
            }
        }
    }

    /// What it received since the last report, each layer for itself; nothing where a report came
    /// just before, or comes from the sinks.
    pub(crate) fn report_blocks(&mut self, now: Nanos) -> ArrayVec<ReportBlock, LAYERS_PER_STREAM> {
        if !self.is_reported_here() || now.since(self.reported_at) < REPORT_INTERVAL.0 {
            return ArrayVec::new();
        }
        self.reported_at = now;
        self.layers.iter_mut().filter_map(|layer| layer.reception.report(now)).collect()
    }

    /// Whether the node is to report in its sender's place now.
    pub(crate) fn stands_in(&self, now: Nanos) -> bool {
        let since = |layer: &Layer| layer.reception.sender_report.map(|(_, at)| now.since(at));
        let own = self.layers.first().and_then(since);
        self.reports
            && self.is_piped()
            && now.since(self.reported_at) >= STAND_IN_INTERVAL.0
            && own.is_none_or(|ns| ns >= OWN_REPORTS_REST.0)
    }

    /// What its sender would say of it, if its clock is known and it passes, and what its receivers would;
    /// nothing if nothing has come since the time before.
    pub(crate) fn stand_in(
        &mut self,
        wall: Nanos,
        now: Nanos,
    ) -> Option<(Option<SenderInfo>, ReportBlock)> {
        let reception = &mut self.layers.first_mut()?.reception;
        let block = reception.report(now)?;
        let info = reception.sender_info(wall, now).filter(|_| !self.paused);
        self.reported_at = now;
        Some((info, block))
    }

    /// The SSRC of a layer's media, once known.
    fn media_ssrc(&self, layer: u8) -> Option<u32> {
        match self.layers[usize::from(layer)].ssrc {
            0 => self.senders.iter().find(|s| !s.retransmits && s.layer == layer).map(|s| s.ssrc),
            ssrc => Some(ssrc),
        }
    }

    /// Notes that a key frame is wanted, of the smallest layer that comes if none is named; it is
    /// asked for at the next turn that may. A layer that has not come yet begins with one anyway.
    pub(crate) fn want_key_frame(&mut self, layer: Option<u8>, now: Nanos) {
        if self.kind != MediaKind::Video || self.is_piped() {
            return;
        }
        let smallest = || {
            let living = (0u8..).zip(&self.layers).filter(|(_, layer)| layer.lives(now));
            living.min_by_key(|(_, layer)| layer.rate.bitrate()).map(|(place, _)| place)
        };
        let named = if self.is_layered() { layer.or_else(smallest) } else { Some(0) };
        if let Some(layer) = named.and_then(|place| self.layers.get_mut(usize::from(place))) {
            layer.key_frame_wanted |= layer.ssrc != 0 || self.rids.is_empty();
        }
    }

    /// The layer whose media has this SSRC.
    pub(crate) fn layer_with(&self, ssrc: u32) -> Option<u8> {
        self.owns(ssrc).filter(|part| !part.retransmits).map(|part| part.layer)
    }

    /// Whether a key frame is still to be asked for.
    pub(crate) fn wants_key_frame(&self) -> bool {
        self.layers.iter().any(|layer| layer.key_frame_wanted)
    }

    /// The SSRCs to ask for a key frame: those where one is wanted, that are known and were not asked
    /// a moment ago.
    pub(crate) fn key_frames_due(&mut self, now: Nanos) -> ArrayVec<u32, LAYERS_PER_STREAM> {
        let mut due = ArrayVec::new();
        for place in (0u8..).take(self.layers.len()) {
            let Some(ssrc) = self.media_ssrc(place) else { continue };
            let layer = &mut self.layers[usize::from(place)];
            let asked = layer.key_frame_asked;
            let rests = asked != Nanos(0) && now.since(asked) < KEY_FRAME_INTERVAL.0;
            if !layer.key_frame_wanted || rests {
                continue;
            }
            layer.key_frame_wanted = false;
            layer.key_frame_asked = now;
            self.counters.plis += 1;
            due.push(ssrc);
        }
        due
    }
}

/// The SSRCs that a description names. Where it names layers too, it does not say which SSRC is
/// which; without an extension that does, their order is taken to be the layers'.
fn named_senders(spec: &StreamSpec, rids: &[Rid]) -> Few<Sender, SSRCS_PER_STREAM> {
    let mut senders = Few::new();
    if !rids.is_empty() && spec.rid_extension.is_some() {
        return senders;
    }
    let layers = (0u8..).map(|place| if rids.is_empty() { 0 } else { place });
    let most = if rids.is_empty() { spec.ssrcs.len() } else { rids.len() };
    for (layer, &(ssrc, rtx)) in layers.zip(&spec.ssrcs).take(most) {
        let named = [Some((ssrc, false)), rtx.map(|rtx| (rtx, true))];
        for (ssrc, retransmits) in named.into_iter().flatten() {
            let _ = senders.try_push(Sender { ssrc, retransmits, layer });
        }
    }
    senders
}

/// Loss and jitter of one SSRC as RFC 3550 §A.3 and §A.8 count them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reception {
    started: bool,
    ssrc: u32,
    base: u64,
    highest: u64,
    received: u64,
    /// Bytes of payload received.
    octets: u64,
    lost_before: u64,
    timestamp: u32,
    clock_rate: u32,
    transit: i64,
    jitter: u32,
    /// What the report before had: packets expected and received.
    told: (u64, u64),
    /// The middle of the last sender report's NTP time, and when it came.
    sender_report: Option<(u32, Nanos)>,
}

impl Reception {
    fn take(&mut self, header: &RtpHeader, payload_len: usize, clock_rate: u32, now: Nanos) {
        if !self.started || self.ssrc != header.ssrc {
            let lost_before = self.lost();
            let first = u64::from(header.sequence) + 0x1_0000;
            *self = Self {
                started: true,
                ssrc: header.ssrc,
                base: first,
                highest: first,
                lost_before,
                ..Self::default()
            };
        }
        let step = header.sequence.wrapping_sub((self.highest & 0xffff) as u16).cast_signed();
        if step > 0 {
            self.highest += u64::from(step.unsigned_abs());
        }
        self.received += 1;
        self.octets += payload_len as u64;
        self.note_jitter(header.timestamp, clock_rate, now);
    }

    /// RFC 3550 §A.8, in units of 1/16 timestamp tick. Packets of one frame or one telephone event
    /// share a timestamp and say nothing; another clock starts anew, and one that is unknown (0) says
    /// nothing.
    fn note_jitter(&mut self, timestamp: u32, clock_rate: u32, now: Nanos) {
        let same_clock = self.clock_rate == clock_rate;
        if clock_rate == 0 || same_clock && self.timestamp == timestamp {
            return;
        }
        let transit = transit(timestamp, clock_rate, now);
        let difference = (transit - self.transit).unsigned_abs().min(1 << 24) as u32;
        (self.timestamp, self.clock_rate, self.transit) = (timestamp, clock_rate, transit);
        if !same_clock {
            return;
        }
        self.jitter = self.jitter.saturating_add(difference) - ((self.jitter + 8) >> 4);
    }

    /// What a report of the sender would say now; nothing where its clock is unknown.
    #[allow(clippy::cast_possible_truncation)] // a report's counts wrap, and so do timestamps
    fn sender_info(&self, wall: Nanos, now: Nanos) -> Option<SenderInfo> {
        if self.clock_rate == 0 {
            return None;
        }
        Some(SenderInfo {
            ssrc: self.ssrc,
            ntp: rtcp::ntp(wall),
            timestamp: ticks(now, self.clock_rate).wrapping_sub(self.transit as u32),
            packets: self.received as u32,
            octets: self.octets as u32,
        })
    }

    #[allow(clippy::cast_possible_truncation)] // RFC 3550 §6.4.1 takes the middle of 64 bits
    fn note_report(&mut self, ntp: u64, now: Nanos) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// A block for what came since the report before; none if nothing did (RFC 3550 §6.4.1, §A.3).
    #[allow(clippy::cast_possible_truncation)] // bounded, or wraps as a report's fields do
    fn report(&mut self, now: Nanos) -> Option<ReportBlock> {
        let expected = self.highest - self.base + u64::from(self.started);
        let (expected_before, received_before) = self.told;
        if !self.started || self.received == received_before {
            return None;
        }
        self.told = (expected, self.received);
        let due = expected.saturating_sub(expected_before);
        let missing = due.saturating_sub(self.received - received_before);
        let (last_sender_report, delay_since) = self.sender_report.map_or((0, 0), |(ntp, at)| {
            (ntp, (u128::from(now.since(at)) * 65_536 / 1_000_000_000) as u32)
        });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (missing * 256 / due.max(1)).min(255) as u8,
            cumulative_lost: (self.lost() - self.lost_before).min(0x7f_ffff) as i32,
            highest_sequence: (self.highest - 0x1_0000) as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay_since,
        })
    }

    fn lost(&self) -> u64 {
        if !self.started {
            return 0;
        }
        self.lost_before + (self.highest - self.base + 1).saturating_sub(self.received)
    }
}

fn transit(timestamp: u32, clock_rate: u32, now: Nanos) -> i64 {
    i64::from(ticks(now, clock_rate).wrapping_sub(timestamp).cast_signed())
}

/// `now` in units of a timestamp.
#[allow(clippy::cast_possible_truncation)] // timestamps wrap
fn ticks(now: Nanos, clock_rate: u32) -> u32 {
    // Whole seconds apart, or it would take a division of 128 bits, for each packet.
    let (seconds, rest) = (now.0 / SECOND, now.0 % SECOND);
    let rate = u64::from(clock_rate);
    seconds.wrapping_mul(rate).wrapping_add(rest * rate / SECOND) as u32
}

/// Nanoseconds of one.
const SECOND: u64 = 1_000_000_000;

/// One m-line's media to a leg, in the node's own name.
#[derive(Debug)]
pub struct Sink {
    pub(crate) transport: u8,
    pub(crate) rtcp_transport: u8,
    pub(crate) cname: String,
    pub(crate) source: Option<Box<Source>>,
    pub(crate) route: Route,
    pub(crate) selection: Selection,
    /// How often the node may send it something again.
    repeats_left: u16,
    /// What goes out, with headers.
    pub(crate) rate: Rate,
    pub(crate) counters: MediaCounters,
}

/// Where a sink's numbers start. Random (RFC 3550 §5.1), drawn by control.
#[derive(Debug, Clone, Copy)]
pub struct FirstNumbers {
    /// First sequence number of media.
    pub sequence: u16,
    /// First sequence number of retransmissions.
    pub rtx_sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
}

impl Sink {
    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.transport);
        prefetch(&self.route);
        prefetch(&self.selection);
        prefetch(&self.rate);
        prefetch(&self.counters);
    }

    /// Makes it from plain data.
    pub fn new(spec: &SinkSpec, first: FirstNumbers) -> Self {
        Self {
            transport: spec.transport,
            rtcp_transport: spec.rtcp_transport,
            cname: spec.cname.clone(),
            source: None,
            route: Route::new(
                spec.ssrc,
                spec.rtx_ssrc,
                spec.mid.clone(),
                spec.mid_extension,
                first.sequence,
                first.rtx_sequence,
                first.timestamp,
            ),
            selection: Selection::default(),
            repeats_left: REPEATS_BURST,
            rate: Rate::default(),
            counters: MediaCounters { ssrc: spec.ssrc, ..MediaCounters::default() },
        }
    }

    /// Whether a plain packet of its source goes out; if not, it is counted apart.
    pub(crate) fn takes(
        &mut self,
        passing: Passing,
        layer: Option<LayerTag>,
        header: &RtpHeader,
        now: Nanos,
    ) -> bool {
        let taken = match layer {
            _ if passing == Passing::Again => self.selection.choice != LayerChoice::Off,
            Some(tag) => {
                let verdict = self.selection.take(tag, now);
                self.follow(verdict) || self.route.owes(header, now)
            }
            None => {
                let verdict = self.selection.take_only();
                self.follow(verdict)
            }
        };
        self.counters.skipped += u64::from(!taken);
        taken
    }

    fn follow(&mut self, verdict: Verdict) -> bool {
        if verdict == Verdict::Begin {
            self.route.turn();
        }
        verdict != Verdict::Skip
    }

    /// Whether the node may send something again: on the whole no more often than it has sent.
    pub(crate) fn may_repeat(&mut self) -> bool {
        let left = self.repeats_left.checked_sub(1);
        self.repeats_left = left.unwrap_or(0);
        left.is_some()
    }

    /// What is due once a second: rates are taken; true if control is to be told something.
    pub(crate) fn visit(&mut self, now: Nanos) -> bool {
        self.rate.close(now);
        self.selection.may_tell(now)
    }

    /// Its counters as control reads them.
    pub(crate) fn reading(&self) -> MediaCounters {
        MediaCounters { layer: self.selection.current(), ..self.counters }
    }

    /// Counts a packet that went out.
    pub(crate) fn count(&mut self, payload_len: usize, passing: Passing) {
        if passing == Passing::Media {
            self.counters.packets += 1;
            self.counters.bytes += payload_len as u64;
            self.repeats_left = (self.repeats_left + 1).min(REPEATS_BURST);
        } else {
            self.counters.rtx_packets += 1;
        }
    }
}

plain! {
    struct Sender { ssrc, retransmits, layer }
    struct Stream {
        kind, transport, rtcp_transport, paused, sinks, counters, mid, mid_extension, senders,
        payload_types, rids, rid_extension, repaired_rid_extension, layers, reported_at, voice,
        pipes, open, events, digits, reports,
    } if |it| {
        it.layers.len() == it.rids.len().max(1)
            && it.senders.iter().all(|sender| usize::from(sender.layer) < it.layers.len())
    };
    struct Reception {
        started, ssrc, base, highest, received, octets, lost_before, timestamp, clock_rate, transit,
        jitter, told, sender_report,
    } if |it| {
        it.base <= it.highest && it.highest.max(it.received).max(it.lost_before) < 1 << 56
            && it.octets < 1 << 62
            && it.jitter < 1 << 30
    };
    struct Sink {
        transport, rtcp_transport, cname, source, route, selection, repeats_left, rate, counters,
    }
}
