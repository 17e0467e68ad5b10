//! Simulcast: layers received, one forwarded to each sink.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::command::{
    Codec, LayerChoice, LegSpec, MediaKind, PayloadType, Rid, SinkSpec, Source, StreamSpec,
};
use crate::config::REPEATS_BURST;
use crate::leg::Leg;
use crate::pictures;
use crate::route::{PayloadMap, RouteMap, TransportCc};
use crate::rtcp::{Compound, ReportBlock, Rtcp, SenderInfo, Writer};
use crate::stats::LegReading;
use crate::twcc::Arrivals;

mod bandwidth;

/// The sender's numbers.
const RIDS: [&[u8]; 3] = [b"f", b"h", b"q"];
const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;
const MEDIA_PT: u8 = 96;
const RTX_PT: u8 = 97;
/// Layers by their size; the description names the largest first.
const HIGH: u8 = 0;
const MIDDLE: u8 = 1;
const LOW: u8 = 2;
/// Packets of a picture of each layer, and bytes of each: 1,500, 500 and 150 kbit/s.
const PICTURE: [(u16, usize); 3] = [(8, 755), (3, 665), (1, 590)];
/// Time between two pictures.
const FRAME_MS: u64 = 33;
/// Where the payload says what it is, behind VP8's descriptor and header: layer and number.
const LAYER_AT: usize = 7;

const KEY: &[u8] = &[0x90, 0xf0, 0x80, 0, 0, 0x20, 0x00];
const DELTA: &[u8] = &[0x90, 0xf0, 0x80, 0, 0, 0x20, 0x01];
const REST: &[u8] = &[0x80, 0xf0, 0x80, 0, 0, 0x20, 0x00];

/// One layer as its encoder counts.
#[derive(Debug, Clone, Copy)]
struct Encoder {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    picture: u16,
    /// Whether its packets still name their layer.
    named: bool,
    sends: bool,
    wants_key: bool,
}

/// What a receiver got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Got {
    at: Nanos,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    picture: u16,
    layer: u8,
    /// The number that its encoder gave it.
    original: u16,
    key_frame: bool,
    /// The number that a retransmission repeats.
    repeats: Option<u16>,
    number: Option<u16>,
    len: usize,
}

/// A simulcast sender in slot 0, and receivers behind it, each with a video sink; on one worker, or
/// the receivers on another.
struct Party {
    workers: Vec<Bare>,
    now: Nanos,
    encoders: [Encoder; 3],
    got: Vec<Vec<Got>>,
    /// RTCP that the sender and the receivers got.
    reports: HashMap<u16, Vec<Vec<u8>>>,
}

const SENDER_PORT: u16 = 4000;
/// So many that each leg is visited about once a second.
const LEGS: usize = 100;
const NUMBER: u8 = 5;

impl Party {
    fn new(receivers: u16) -> Self {
        Self::over(1, receivers)
    }

    fn over(workers: u16, receivers: u16) -> Self {
        let encoder = |layer: u16| Encoder {
            ssrc: 0xa0 + u32::from(layer),
            sequence: 65_500 + 10 * layer,
            timestamp: 1_000_000_000 * (u32::from(layer) + 1),
            picture: 0x7ff0 + layer,
            named: true,
            sends: true,
            wants_key: true,
        };
        let mut party = Self {
            workers: (0..workers).map(|id| Bare::new(WorkerId(id), LEGS, 1024).unwrap()).collect(),
            now: START,
            encoders: [encoder(0), encoder(1), encoder(2)],
            got: vec![Vec::new(); usize::from(receivers)],
            reports: HashMap::new(),
        };
        party.workers.iter_mut().for_each(|bare| bare.worker.now = START);
        if let [first, second] = &mut party.workers[..] {
            first.join(second);
        }
        party.apply(0, add_leg(Self::sender(), &sender_spec(&RIDS)));
        for receiver in 0..receivers {
            let leg = party.receiver(receiver);
            let worker = usize::from(leg.worker.0);
            party.apply(worker, add_leg(leg, &receiver_spec(receiver, 1)));
            party.feed(SinkId { leg, index: 0 }, TransportCc::Strip);
        }
        party.pass();
        party
    }

    fn sender() -> LegId {
        LegId { worker: WORKER, slot: 0, generation: 0 }
    }

    fn stream() -> StreamId {
        StreamId { leg: Self::sender(), index: 0 }
    }

    fn receiver(&self, receiver: u16) -> LegId {
        let worker = WorkerId(u16::try_from(self.workers.len() - 1).unwrap());
        LegId { worker, slot: 1 + receiver, generation: 0 }
    }

    fn sink(&self, receiver: u16) -> SinkId {
        SinkId { leg: self.receiver(receiver), index: 0 }
    }

    fn apply(&mut self, worker: usize, command: Command) {
        let bare = &mut self.workers[worker];
        bare.worker.now = self.now;
        bare.apply(command).0.unwrap();
    }

    fn feed(&mut self, sink: SinkId, transport_cc: TransportCc) {
        let map = Box::new(map().with_transport_cc(transport_cc));
        let stream = Self::stream();
        let source = Source { stream, own_ssrc: 0xee, cname: "node".into(), reduced_size: false };
        let source = Some(Box::new(source));
        self.apply(usize::from(sink.leg.worker.0), Command::SetSource { sink, source, map });
        self.apply(0, Command::AddSink { stream, sink });
    }

    fn select(&mut self, receiver: u16, layer: LayerChoice) {
        let sink = self.sink(receiver);
        self.apply(usize::from(sink.leg.worker.0), Command::SelectLayer { sink, layer });
        self.pass();
    }

    /// What turns do behind their packets, and what came out of them.
    fn pass(&mut self) {
        for _ in 0..self.workers.len() {
            for worker in 0..self.workers.len() {
                self.workers[worker].pass(self.now);
                self.collect(worker);
            }
        }
    }

    fn collect(&mut self, worker: usize) {
        let now = self.now;
        let (got, reports) = (&mut self.got, &mut self.reports);
        self.workers[worker].sent(|_, remote, bytes| {
            if (192..224).contains(&bytes[1]) {
                reports.entry(remote.port()).or_default().push(bytes.to_vec());
            } else {
                got[usize::from(remote.port() - 5000)].push(read(bytes, now));
            }
        });
        assert_eq!(self.workers[worker].frames_lost(), 0);
    }

    fn receive(&mut self, port: u16, bytes: &[u8]) {
        let (socket, remote) = address(port);
        let worker = if port == SENDER_PORT { 0 } else { self.workers.len() - 1 };
        assert!(self.workers[worker].receive(socket, remote, bytes, self.now));
        self.collect(worker);
        if self.workers.len() > 1 {
            self.pass();
        }
    }

    /// One packet of a layer, or nothing if the encoder's network has lost it.
    fn packet(&mut self, layer: u8, head: &'static [u8], lost: bool) {
        let encoder = &mut self.encoders[usize::from(layer)];
        let rtp = Rtp {
            ssrc: encoder.ssrc,
            payload_type: MEDIA_PT,
            sequence: encoder.sequence,
            timestamp: encoder.timestamp,
            element: encoder.named.then(|| (RID, RIDS[usize::from(layer)][0])),
            payload_head: head,
            payload_len: PICTURE[usize::from(layer)].1,
            ..Rtp::default()
        };
        encoder.sequence = encoder.sequence.wrapping_add(1);
        let picture = encoder.picture;
        let mut buffer = [0; 1500];
        let len = rtp.write(&mut buffer);
        let payload = len - rtp.payload_len;
        buffer[payload + 2..payload + 4].copy_from_slice(&(picture | 0x8000).to_be_bytes());
        buffer[payload + LAYER_AT] = layer;
        buffer[payload + LAYER_AT + 1..][..2].copy_from_slice(&rtp.sequence.to_be_bytes());
        if !lost {
            self.receive(SENDER_PORT, &buffer[..len]);
        }
    }

    /// One picture of a layer; of its packets those are lost whose place `lost` has.
    fn picture(&mut self, layer: u8, key_frame: bool, lost: &[u16]) {
        for place in 0..PICTURE[usize::from(layer)].0 {
            let head = match (place, key_frame) {
                (0, true) => KEY,
                (0, false) => DELTA,
                _ => REST,
            };
            self.packet(layer, head, lost.contains(&place));
        }
        let encoder = &mut self.encoders[usize::from(layer)];
        encoder.timestamp = encoder.timestamp.wrapping_add(2970);
        encoder.picture = (encoder.picture + 1) & 0x7fff;
        encoder.wants_key = false;
    }

    /// A picture of each layer that is sent; key frames where they are wanted.
    fn frame(&mut self) {
        for _ in 0..3 {
            self.now = self.now.plus(Nanos::from_millis(FRAME_MS / 3).0);
            self.pass();
        }
        self.heed();
        for layer in [LOW, MIDDLE, HIGH] {
            let encoder = self.encoders[usize::from(layer)];
            if encoder.sends {
                self.picture(layer, encoder.wants_key, &[]);
            }
        }
        self.pass();
    }

    fn frames(&mut self, count: u64) {
        for _ in 0..count {
            self.frame();
        }
    }

    fn seconds(&mut self, seconds: u64) {
        self.frames(seconds * 1000 / FRAME_MS);
    }

    /// The encoders get to know who wants a key frame.
    fn heed(&mut self) {
        for ssrc in self.key_frames_asked() {
            for encoder in &mut self.encoders {
                encoder.wants_key |= encoder.ssrc == ssrc;
            }
        }
    }

    fn key_frames_asked(&mut self) -> Vec<u32> {
        let reports = self.reports.remove(&SENDER_PORT).unwrap_or_default();
        let asked = reports.iter().flat_map(|bytes| feedback::key_frames(bytes)).collect();
        // What is no request stays to be looked at.
        let kept = reports.into_iter().filter(|bytes| feedback::key_frames(bytes).is_empty());
        self.reports.insert(SENDER_PORT, kept.collect());
        asked
    }

    fn rtcp(&mut self, port: u16, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buffer = [0; 1200];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        let len = writer.len();
        self.receive(port, &buffer[..len]);
        self.pass();
    }

    /// A receiver says that it misses packets.
    fn miss<const N: usize>(&mut self, receiver: u16, sequences: [u16; N]) {
        let ssrc = sink_ssrc(receiver, 0);
        self.rtcp(5000 + receiver, |w| w.nack(1, ssrc, sequences.into_iter()).unwrap());
    }

    /// What the sender was asked for again, by its SSRCs.
    fn asked_again(&self) -> Vec<(u32, Vec<u16>)> {
        let reports = self.reports.get(&SENDER_PORT).into_iter().flatten();
        let packets = reports.flat_map(|bytes| Compound::parse(bytes).unwrap().sound());
        packets
            .filter_map(|packet| match packet {
                Rtcp::Nack(nack) => Some((nack.media, nack.sequences().collect::<Vec<_>>())),
                _ => None,
            })
            .collect()
    }

    /// How many packets each receiver got.
    fn lengths(&self) -> Vec<usize> {
        self.got.iter().map(Vec::len).collect()
    }

    /// The layers that a receiver got, one after the other.
    fn runs(&self, receiver: u16) -> Vec<u8> {
        let mut runs: Vec<_> =
            self.got[usize::from(receiver)].iter().map(|got| got.layer).collect();
        runs.dedup();
        runs
    }

    fn latest(&self, receiver: u16) -> Got {
        *self.got[usize::from(receiver)].last().unwrap()
    }

    fn reading(&mut self, leg: LegId) -> LegReading {
        let into = Box::new(LegReading::new());
        let bare = &mut self.workers[usize::from(leg.worker.0)];
        bare.worker.now = self.now;
        match bare.apply(Command::ReadLeg { leg, into }) {
            (Ok(()), Returned::LegReading(reading)) => *reading,
            other => panic!("{other:?}"),
        }
    }

    fn events(&mut self) -> Vec<Event> {
        self.workers.iter_mut().flat_map(|bare| std::iter::from_fn(|| bare.event())).collect()
    }
}

fn address(port: u16) -> (SocketId, SocketAddr) {
    (SocketId(port), SocketAddr::from(([127, 0, 0, 1], port)))
}

fn read(bytes: &[u8], at: Nanos) -> Got {
    let header = RtpHeader::parse(bytes).unwrap();
    for id in [RID, REPAIRED_RID] {
        assert_eq!(header.extension(bytes, id), None, "names of layers end here");
    }
    let payload = header.payload(bytes).unwrap();
    let (repeats, payload) = match header.payload_type {
        RTX_PT => (crate::rtp::read_original_sequence(payload), &payload[2..]),
        _ => (None, payload),
    };
    Got {
        at,
        ssrc: header.ssrc,
        sequence: header.sequence,
        timestamp: header.timestamp,
        picture: u16::from_be_bytes([payload[2], payload[3]]) & 0x7fff,
        layer: payload[LAYER_AT],
        original: u16::from_be_bytes([payload[LAYER_AT + 1], payload[LAYER_AT + 2]]),
        key_frame: pictures::begins_key_frame(Codec::Vp8, payload),
        repeats,
        number: header.read_transport_sequence(bytes, NUMBER),
        len: bytes.len(),
    }
}

fn add_leg(leg: LegId, spec: &LegSpec) -> Command {
    Command::AddLeg { leg, state: Leg::new(spec, || bridge::RANDOM).unwrap() }
}

fn sender_spec(rids: &[&[u8]]) -> LegSpec {
    LegSpec {
        transports: vec![Far::plain(SENDER_PORT, SENDER_PORT).transport()],
        streams: vec![stream_spec(rids)],
        sinks: Vec::new(),
    }
}

fn stream_spec(rids: &[&[u8]]) -> StreamSpec {
    let codec = Codec::Vp8;
    let media = PayloadType { number: MEDIA_PT, clock_rate: 90_000, retransmits: None, codec };
    let rtx = PayloadType { number: RTX_PT, retransmits: Some(MEDIA_PT), ..media };
    StreamSpec {
        kind: MediaKind::Video,
        transport: 0,
        rtcp_transport: 0,
        mid: None,
        mid_extension: None,
        ssrcs: Vec::new(),
        payload_types: vec![media, rtx],
        rids: rids.iter().map(|rid| Rid::try_from(*rid).unwrap()).collect(),
        rid_extension: Some(RID),
        repaired_rid_extension: Some(REPAIRED_RID),
        audio_level_extension: None,
        open: false,
        events: Vec::new(),
        reports: false,
        paused: false,
    }
}

fn receiver_spec(receiver: u16, sinks: u32) -> LegSpec {
    let sink = |place: u32| SinkSpec {
        kind: MediaKind::Video,
        transport: 0,
        rtcp_transport: 0,
        ssrc: sink_ssrc(receiver, place),
        rtx_ssrc: Some(sink_ssrc(receiver, place) + 1),
        cname: "node".into(),
        mid: None,
        mid_extension: None,
    };
    LegSpec {
        transports: vec![Far::plain(5000 + receiver, 5000 + receiver).transport()],
        streams: Vec::new(),
        sinks: (0..sinks).map(sink).collect(),
    }
}

fn sink_ssrc(receiver: u16, place: u32) -> u32 {
    0x1000 * (u32::from(receiver) + 1) + 2 * place
}

fn map() -> RouteMap {
    let payload = |number, retransmits| PayloadMap {
        from: number,
        to: number,
        clock_rate: 90_000,
        retransmits,
        again: (!retransmits).then_some(RTX_PT),
        codec: Codec::Vp8,
    };
    RouteMap::new(&[payload(MEDIA_PT, false), payload(RTX_PT, true)], &[])
}

/// That a receiver could not tell that there is more than one encoder behind what it got.
fn assert_one_stream(got: &[Got]) {
    for two in got.windows(2) {
        let (before, after) = (two[0], two[1]);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1), "{two:?}");
        let ticks = after.timestamp.wrapping_sub(before.timestamp).cast_signed();
        let pictures = after.picture.wrapping_sub(before.picture) & 0x7fff;
        assert!(ticks >= 0 && pictures <= 1, "{two:?}");
        assert_eq!(ticks == 0, pictures == 0, "{two:?}");
        assert!(before.layer == after.layer || after.key_frame, "{two:?}");
    }
}

#[test]
fn layers_are_learnt_from_packets_that_name_them_and_from_no_others() {
    let mut party = Party::new(1);
    party.encoders[usize::from(LOW)].named = false;
    party.picture(LOW, true, &[]);
    assert_eq!(party.workers[0].counters().drops.of(DropReason::StreamUnknown), 1);
    party.encoders[usize::from(LOW)].named = true;
    party.picture(LOW, true, &[]);
    party.encoders[usize::from(LOW)].named = false;
    party.picture(LOW, false, &[]);
    assert_eq!(party.got[0].len(), 2);
    assert_eq!(party.workers[0].counters().drops.total(), 1);
}

#[test]
fn one_layer_goes_out_and_the_others_are_no_drops() {
    let mut party = Party::new(2);
    party.select(1, LayerChoice::Layer(LOW));
    party.frames(60);
    assert_eq!(party.runs(1), [LOW]);
    assert_one_stream(&party.got[1]);
    assert_eq!(party.workers[0].counters().drops.total(), 0);
    let leg = party.receiver(1);
    let (_, counters) = party.reading(leg).sinks[0];
    assert_eq!((counters.layer, counters.packets), (Some(LOW), 60));
    assert_eq!(counters.skipped, 60 * u64::from(PICTURE[0].0 + PICTURE[1].0));
    let layers = party.reading(Party::sender()).layers;
    let bitrate = |layer: u8| layers[usize::from(layer)].1.bitrate;
    assert!((1_300_000..1_700_000).contains(&bitrate(HIGH)), "{layers:?}");
    assert!((120_000..180_000).contains(&bitrate(LOW)), "{layers:?}");
}

#[test]
fn an_automatic_sink_begins_with_the_smallest_layer_and_ends_with_the_largest() {
    let mut party = Party::new(1);
    party.seconds(2);
    party.got[0].clear();
    let leg = party.receiver(1);
    party.got.push(Vec::new());
    party.apply(0, add_leg(leg, &receiver_spec(1, 1)));
    party.feed(SinkId { leg, index: 0 }, TransportCc::Strip);
    party.seconds(4);
    assert_eq!(party.runs(1).first(), Some(&LOW));
    assert_eq!(party.runs(1).last(), Some(&HIGH));
    assert_one_stream(&party.got[1]);
}

#[test]
fn a_change_waits_for_a_key_frame_which_the_layers_sender_is_asked_for() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(LOW));
    party.seconds(2);
    party.heed();
    party.select(0, LayerChoice::Layer(HIGH));
    assert_eq!(party.key_frames_asked(), [party.encoders[usize::from(HIGH)].ssrc]);
    party.frames(5);
    assert_eq!(party.latest(0).layer, LOW, "goes on until then");
    party.picture(HIGH, true, &[]);
    party.picture(LOW, false, &[]);
    assert_eq!(party.latest(0).layer, HIGH);
    assert_eq!(party.runs(0), [LOW, HIGH]);
    assert_one_stream(&party.got[0]);
}

#[test]
fn a_key_frame_that_does_not_come_is_asked_for_again() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(LOW));
    party.seconds(2);
    party.heed();
    party.select(0, LayerChoice::Layer(HIGH));
    let mut asked = party.key_frames_asked().len();
    for _ in 0..60 {
        party.now = party.now.plus(Nanos::from_millis(FRAME_MS).0);
        party.picture(HIGH, false, &[]);
        party.picture(LOW, false, &[]);
        party.pass();
        asked += party.key_frames_asked().len();
    }
    assert!((3..8).contains(&asked), "{asked}");
}

#[test]
fn a_layer_that_falls_silent_is_replaced_by_the_next_best_and_returned_to() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(HIGH));
    party.seconds(3);
    assert_eq!(party.latest(0).layer, HIGH);
    party.encoders[usize::from(HIGH)].sends = false;
    party.seconds(3);
    assert_eq!(party.latest(0).layer, MIDDLE);
    party.encoders[usize::from(MIDDLE)].sends = false;
    party.seconds(3);
    assert_eq!(party.latest(0).layer, LOW);
    party.encoders[usize::from(HIGH)].sends = true;
    party.seconds(3);
    assert_eq!(party.latest(0).layer, HIGH);
    assert_one_stream(&party.got[0]);
}

#[test]
fn a_sink_that_is_off_gets_nothing_and_goes_on_without_a_gap() {
    let mut party = Party::new(1);
    party.seconds(2);
    party.select(0, LayerChoice::Off);
    let before = party.got[0].len();
    party.seconds(2);
    assert_eq!(party.got[0].len(), before);
    party.select(0, LayerChoice::Layer(HIGH));
    party.seconds(2);
    assert!(party.got[0].len() > before);
    assert!(party.got[0][before].key_frame);
    assert_one_stream(&party.got[0]);
}

#[test]
fn control_is_told_of_changes_at_a_bounded_rate() {
    let mut party = Party::new(1);
    party.events();
    for round in 0..50 {
        party.select(0, LayerChoice::Layer(if round % 2 == 0 { LOW } else { HIGH }));
        for layer in [LOW, HIGH] {
            party.now = party.now.plus(Nanos::from_millis(10).0);
            party.picture(layer, true, &[]);
        }
        party.pass();
    }
    party.select(0, LayerChoice::Layer(LOW));
    party.seconds(2);
    let sink = party.sink(0);
    let told: Vec<_> = party
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::LayerChanged { sink: named, layer } if named == sink => Some(layer),
            _ => None,
        })
        .collect();
    assert!((2..8).contains(&told.len()), "{told:?}");
    assert_eq!(told.last(), Some(&Some(LOW)));
    assert_one_stream(&party.got[0]);
}

#[test]
fn what_a_sink_misses_is_asked_of_the_layer_that_it_had() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(MIDDLE));
    party.picture(LOW, true, &[]);
    party.picture(MIDDLE, true, &[1]);
    let missing = party.latest(0).sequence.wrapping_sub(1);
    let wanted = party.encoders[usize::from(MIDDLE)].sequence.wrapping_sub(2);
    party.reports.clear();
    let ssrc = sink_ssrc(0, 0);
    party.rtcp(5000, |writer| {
        writer.receiver_report(1, &[]).unwrap();
        writer.nack(1, ssrc, std::iter::once(missing)).unwrap();
    });
    assert_eq!(party.asked_again(), [(party.encoders[usize::from(MIDDLE)].ssrc, vec![wanted])]);

    // The repeat comes under an SSRC of its own, which says whose it is; for the sink it is late media.
    for (layer, original, passes) in [(MIDDLE, wanted, true), (LOW, 65_520, false)] {
        let before = party.got[0].len();
        let rtx = retransmission(layer, original);
        party.receive(SENDER_PORT, &rtx);
        assert_eq!(party.got[0].len() > before, passes);
    }
    let late = party.latest(0);
    assert_eq!((late.ssrc, late.sequence, late.layer), (ssrc, missing, MIDDLE));
}

#[test]
fn a_repeat_reaches_a_sink_that_has_left_its_layer_meanwhile() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(MIDDLE));
    party.picture(LOW, true, &[]);
    party.picture(MIDDLE, true, &[1]);
    let missing = party.latest(0).sequence.wrapping_sub(1);
    let wanted = party.encoders[usize::from(MIDDLE)].sequence.wrapping_sub(2);
    party.select(0, LayerChoice::Layer(LOW));
    party.picture(LOW, true, &[]);
    assert_eq!(party.latest(0).layer, LOW);
    party.rtcp(5000, |w| w.nack(1, sink_ssrc(0, 0), std::iter::once(missing)).unwrap());
    party.receive(SENDER_PORT, &retransmission(MIDDLE, wanted));
    let late = party.latest(0);
    assert_eq!((late.ssrc, late.sequence), (sink_ssrc(0, 0), missing), "what the sink calls so");
    assert_eq!(late.layer, MIDDLE);
}

#[test]
fn a_repeat_goes_to_whoever_has_asked_for_it_and_the_sender_is_left_alone() {
    for workers in [1, 2] {
        let mut party = Party::over(workers, 3);
        for receiver in 0..3 {
            party.select(receiver, LayerChoice::Layer(MIDDLE));
        }
        party.picture(LOW, true, &[]);
        party.picture(MIDDLE, true, &[]);
        let lost = party.latest(1);
        let before = party.lengths();
        // Nobody has asked for what a sender repeats to test its way.
        party.receive(SENDER_PORT, &retransmission(MIDDLE, lost.original));
        assert_eq!(party.lengths(), before);
        party.reports.clear();
        party.miss(1, [lost.sequence]);
        let repeat = party.latest(1);
        assert_eq!((repeat.ssrc, repeat.repeats), (lost.ssrc + 1, Some(lost.sequence)));
        let same = |got: Got| (got.layer, got.original, got.picture, got.timestamp);
        assert_eq!(same(repeat), same(lost));
        assert_eq!(party.lengths(), [before[0], before[1] + 1, before[2]]);
        assert_eq!(party.asked_again(), []);
    }
}

#[test]
fn what_came_late_from_the_sender_reaches_every_sink_and_is_kept() {
    let mut party = Party::new(2);
    for receiver in 0..2 {
        party.select(receiver, LayerChoice::Layer(MIDDLE));
    }
    party.picture(LOW, true, &[]);
    party.picture(MIDDLE, true, &[1]);
    let wanted = party.latest(0).original.wrapping_sub(1);
    for _ in 0..2 {
        // The second one repeats what has come by now.
        party.receive(SENDER_PORT, &retransmission(MIDDLE, wanted));
    }
    for got in &party.got {
        let [.., last, late] = got[..] else { panic!("{got:?}") };
        assert_eq!(late.sequence, last.sequence.wrapping_sub(1));
        assert_eq!((late.ssrc, late.repeats), (last.ssrc, None));
    }
    let late = party.latest(0).sequence;
    party.miss(0, [late]);
    assert_eq!(party.latest(0).repeats, Some(late));
}

#[test]
fn a_receiver_that_asks_without_end_gets_no_more_than_was_sent_and_a_burst() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(MIDDLE));
    party.picture(LOW, true, &[]);
    party.picture(MIDDLE, true, &[]);
    let (lost, sent) = (party.latest(0).sequence, party.got[0].len());
    for _ in 0..2 * usize::from(REPEATS_BURST) {
        party.miss(0, [lost]);
    }
    assert_eq!(party.got[0].len() - sent, usize::from(REPEATS_BURST));
    let drops = party.workers[0].counters().drops.of(DropReason::RepeatRate);
    assert_eq!(drops, u64::from(REPEATS_BURST));
    party.picture(MIDDLE, false, &[]);
    let sent = party.got[0].len();
    for _ in 0..10 {
        party.miss(0, [lost]);
    }
    let earned = usize::from(PICTURE[usize::from(MIDDLE)].0);
    assert_eq!(party.got[0].len() - sent, earned, "one for each packet of the picture");
}

/// A repeat of a layer's packet, which names the layer.
fn retransmission(layer: u8, original: u16) -> Vec<u8> {
    let rtx = Rtp {
        ssrc: 0xb0 + u32::from(layer),
        payload_type: RTX_PT,
        sequence: original,
        element: Some((REPAIRED_RID, RIDS[usize::from(layer)][0])),
        payload_len: 40,
        ..Rtp::default()
    };
    let mut buffer = [0; 100];
    let len = rtx.write(&mut buffer);
    let payload = &mut buffer[len - 40..];
    payload[..2].copy_from_slice(&original.to_be_bytes());
    payload[2..2 + REST.len()].copy_from_slice(REST);
    payload[2 + LAYER_AT] = layer;
    buffer[..len].to_vec()
}

#[test]
fn requests_for_key_frames_of_many_sinks_become_one() {
    let mut party = Party::new(3);
    for receiver in 0..3 {
        party.select(receiver, LayerChoice::Layer(MIDDLE));
    }
    party.seconds(2);
    party.heed();
    party.now = party.now.plus(Nanos::from_millis(300).0);
    for receiver in 0..3 {
        party.rtcp(5000 + receiver, |w| w.pli(1, sink_ssrc(receiver, 0)).unwrap());
    }
    assert_eq!(party.key_frames_asked(), [party.encoders[usize::from(MIDDLE)].ssrc]);
}

#[test]
fn the_node_itself_reports_to_a_sender_of_layers() {
    let mut party = Party::new(1);
    party.seconds(2);
    let ssrcs = party.encoders.map(|encoder| encoder.ssrc);
    party.rtcp(SENDER_PORT, |writer| {
        let ntp = 0x1111_2222_3333_4444;
        let info = SenderInfo { ssrc: ssrcs[0], ntp, timestamp: 0, packets: 1, octets: 1 };
        writer.sender_report(&info).unwrap();
    });
    party.reports.clear();
    let block = ReportBlock { ssrc: sink_ssrc(0, 0), fraction_lost: 200, ..ReportBlock::default() };
    party.rtcp(5000, |writer| {
        writer.receiver_report(1, &[block]).unwrap();
        writer.remb(1, 1000, std::iter::once(sink_ssrc(0, 0))).unwrap();
    });
    assert_eq!(party.reports.get(&SENDER_PORT), None, "a receiver's path is none of its business");
    party.picture(HIGH, false, &[2, 3, 4, 5]);
    party.picture(HIGH, false, &[]);
    party.seconds(2);
    let blocks: Vec<_> = party.reports[&SENDER_PORT]
        .iter()
        .flat_map(|bytes| Compound::parse(bytes).unwrap().sound())
        .filter_map(|packet| match packet {
            Rtcp::ReceiverReport(report) => Some(report.blocks().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    let of = |layer: u8| blocks.iter().find(|b| b.ssrc == ssrcs[usize::from(layer)]).unwrap();
    assert_eq!((of(HIGH).cumulative_lost, of(LOW).cumulative_lost), (4, 0));
    assert!(of(HIGH).fraction_lost > 0);
    assert_eq!(of(HIGH).last_sender_report, 0x2222_3333);
    assert!(of(HIGH).delay_since > 0);
}

#[test]
fn a_senders_report_reaches_the_sinks_that_have_its_layer() {
    let mut party = Party::new(2);
    party.select(0, LayerChoice::Layer(LOW));
    party.select(1, LayerChoice::Layer(HIGH));
    party.seconds(2);
    party.reports.clear();
    let high = party.encoders[usize::from(HIGH)].ssrc;
    party.rtcp(SENDER_PORT, |writer| {
        let info = SenderInfo { ssrc: high, ntp: 1, timestamp: 0, packets: 1, octets: 1 };
        writer.sender_report(&info).unwrap();
    });
    assert!(!party.reports.contains_key(&5000));
    assert_eq!(party.reports[&5001].len(), 1);
}

#[test]
fn a_new_description_keeps_the_layers_of_the_same_name() {
    let mut party = Party::new(1);
    party.select(0, LayerChoice::Layer(LOW));
    party.seconds(2);
    let state = Box::new(crate::stream::Stream::new(&stream_spec(&[b"q", b"x"])));
    party.apply(0, Command::SetStream { stream: Party::stream(), state });
    party.encoders.iter_mut().for_each(|encoder| encoder.named = false);
    party.select(0, LayerChoice::Layer(0));
    let before = party.got[0].len();
    party.frames(10);
    assert_eq!(party.latest(0).layer, LOW, "the third of before is the first of now");
    assert!(party.got[0].len() >= before + 10);
    assert_one_stream(&party.got[0]);
}

#[test]
fn sinks_on_another_worker_choose_alike() {
    let mut party = Party::over(2, 2);
    party.select(0, LayerChoice::Layer(LOW));
    party.seconds(4);
    assert_eq!(party.runs(0), [LOW]);
    assert_eq!(party.runs(1).last(), Some(&HIGH));
    party.select(0, LayerChoice::Layer(MIDDLE));
    party.seconds(1);
    assert_eq!(party.runs(0), [LOW, MIDDLE]);
    for got in &party.got {
        assert_one_stream(got);
    }
}

#[test]
fn speech_is_told_by_the_level_that_audio_packets_carry() {
    let mut party = Party::new(0);
    let audio = StreamSpec {
        kind: MediaKind::Audio,
        rids: Vec::new(),
        payload_types: vec![PayloadType {
            number: 111,
            clock_rate: 48_000,
            retransmits: None,
            codec: Codec::Other,
        }],
        audio_level_extension: Some(1),
        ..stream_spec(&[])
    };
    let stream = StreamId { leg: Party::sender(), index: 1 };
    let state = Box::new(crate::stream::Stream::new(&audio));
    party.apply(0, Command::SetStream { stream, state });
    party.events();
    let mut told = Vec::new();
    for number in 0..400_u16 {
        party.now = party.now.plus(Nanos::from_millis(20).0);
        let level = if (50..200).contains(&number) { 20 } else { 90 };
        let rtp = Rtp {
            ssrc: 7,
            payload_type: 111,
            sequence: number,
            timestamp: 960 * u32::from(number),
            element: Some((1, level)),
            payload_len: 20,
            ..Rtp::default()
        };
        let mut buffer = [0; 100];
        let len = rtp.write(&mut buffer);
        party.receive(SENDER_PORT, &buffer[..len]);
        party.pass();
        told.extend(party.events().into_iter().filter_map(|event| match event {
            Event::Speaking { stream: named, speaking } if named == stream => {
                Some((number, speaking))
            }
            _ => None,
        }));
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].1 && (50..80).contains(&told[0].0), "{told:?}");
    assert!(!told[1].1 && (200..260).contains(&told[1].0), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is chosen and lost: the sink's numbers miss what the layer's sender lost and nothing
    /// else, and time does not run backwards.
    #[test]
    fn changes_and_loss_leave_no_other_gaps(
        steps in proptest::collection::vec(
            (0_u8..3, any::<bool>(), proptest::collection::vec(0_u16..8, 0..3), 0_u8..12),
            1..120,
        ),
    ) {
        let mut party = Party::new(1);
        for (layer, key_frame, lost, choice) in steps {
            party.now = party.now.plus(Nanos::from_millis(9).0);
            match choice {
                0..=2 => party.select(0, LayerChoice::Layer(choice)),
                3 => party.select(0, LayerChoice::Off),
                4 => party.select(0, LayerChoice::Auto),
                _ => {}
            }
            party.picture(layer, key_frame, &lost);
        }
        for two in party.got[0].windows(2) {
            let step = two[1].sequence.wrapping_sub(two[0].sequence);
            let lost = two[1].original.wrapping_sub(two[0].original);
            let goes_on = two[0].layer == two[1].layer && step == lost;
            prop_assert!(goes_on || (step == 1 && two[1].key_frame), "{two:?}");
            prop_assert!((1..1000).contains(&step), "{two:?}");
            let ticks = two[1].timestamp.wrapping_sub(two[0].timestamp).cast_signed();
            prop_assert!(ticks >= 0, "{two:?}");
        }
    }
}
