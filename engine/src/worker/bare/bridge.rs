//! A call of two bundled legs, each with audio and with video and its retransmissions, whose
//! numbers differ in everything: ready-made for [`super::Bare`] or a running engine.

use crate::command::{
    Codec, Command, LegId, LegSpec, MediaKind, Mid, PayloadType, SinkId, SinkSpec, Source,
    StreamId, StreamSpec, TransportId, WorkerId,
};
use crate::leg::Leg;
use crate::route::{PayloadMap, RouteMap};

use super::Far;

/// Place of the audio stream and sink in each leg.
pub const AUDIO: u8 = 0;
/// Place of the video stream and sink in each leg.
pub const VIDEO: u8 = 1;
/// Random number of every leg: first sequence numbers 0x1234 and, of retransmissions, 0x5678, first
/// timestamp 0x9abcdef0.
pub const RANDOM: u64 = 0x1234_5678_9abc_def0;

/// The numbers of one side.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// Payload types of audio, video and its retransmissions.
    pub payload_types: [u8; 3],
    /// SSRCs of what the far end sends: audio, video, its retransmissions.
    pub theirs: [u32; 3],
    /// SSRCs of what the node sends to it.
    pub ours: [u32; 3],
    /// Extension id of the MID.
    pub mid: u8,
    /// Extension id of transport-wide sequence numbers.
    pub transport_cc: u8,
}

/// Both sides.
pub const SIDES: [Side; 2] = [
    Side {
        payload_types: [111, 96, 97],
        theirs: [0xa1, 0xa2, 0xa3],
        ours: [0xca1, 0xca2, 0xca3],
        mid: 4,
        transport_cc: 3,
    },
    Side {
        payload_types: [109, 120, 121],
        theirs: [0xb1, 0xb2, 0xb3],
        ours: [0xcb1, 0xcb2, 0xcb3],
        mid: 9,
        transport_cc: 5,
    },
];

/// The leg of a side: on `worker`, in the slot of the side's number.
pub fn leg(worker: WorkerId, side: usize) -> LegId {
    LegId { worker, slot: u16::from(side != 0), generation: 0 }
}

/// Each command of the set-up and the worker that it is for.
pub fn commands(fars: [&Far; 2], workers: [WorkerId; 2]) -> Vec<(WorkerId, Command)> {
    let mut commands = Vec::new();
    for side in 0..2 {
        let leg = leg(workers[side], side);
        if let Ok(state) = Leg::new(&spec(fars[side], side), || RANDOM) {
            commands.push((workers[side], Command::AddLeg { leg, state }));
        }
        if fars[side].ufrag.is_some() {
            let transport = TransportId { leg, index: 0 };
            let Far { socket, remote, .. } = *fars[side];
            let pair =
                Command::InstallPair { transport, socket, remote, nominated: true, generation: 0 };
            commands.push((workers[side], pair));
        }
    }
    for side in 0..2 {
        for index in [AUDIO, VIDEO] {
            let stream = StreamId { leg: leg(workers[side], side), index };
            let sink = SinkId { leg: leg(workers[1 - side], 1 - side), index };
            commands.push((workers[1 - side], feed(sink, stream, side)));
            commands.push((workers[side], Command::AddSink { stream, sink }));
        }
    }
    commands
}

/// Says that `sink`, on the other side, is fed by `stream` of `side`.
pub fn feed(sink: SinkId, stream: StreamId, side: usize) -> Command {
    let source =
        Source { stream, own_ssrc: SIDES[side].ours[0], cname: "node".into(), reduced_size: false };
    Command::SetSource { sink, source: Some(Box::new(source)), map: Box::new(map(side)) }
}

/// The map of what `side` sends to the numbers of the other one.
pub fn map(side: usize) -> RouteMap {
    let numbers =
        |place: usize| (SIDES[side].payload_types[place], SIDES[1 - side].payload_types[place]);
    let payloads = [(0, 48_000), (1, 90_000), (2, 90_000)].map(|(place, clock_rate)| {
        let (from, to) = numbers(place);
        let again = (place == 1).then_some(SIDES[1 - side].payload_types[2]);
        PayloadMap { from, to, clock_rate, retransmits: place == 2, again, codec: Codec::Other }
    });
    RouteMap::new(&payloads, &[])
}

/// A side's leg as plain data.
pub fn spec(far: &Far, side: usize) -> LegSpec {
    let numbers = SIDES[side];
    let mid = |place: usize| Mid::try_from(&b"av"[place..=place]).ok();
    let stream = |kind, place: usize, retransmits: bool| StreamSpec {
        kind,
        transport: 0,
        rtcp_transport: 0,
        mid: mid(place),
        mid_extension: Some(numbers.mid),
        ssrcs: vec![(numbers.theirs[place], retransmits.then_some(numbers.theirs[2]))],
        payload_types: payload_types(numbers.payload_types, place),
        rids: Vec::new(),
        rid_extension: None,
        repaired_rid_extension: None,
        audio_level_extension: None,
        open: false,
        events: Vec::new(),
        reports: false,
        paused: false,
    };
    let sink = |kind, place: usize, retransmits: bool| SinkSpec {
        kind,
        transport: 0,
        rtcp_transport: 0,
        ssrc: numbers.ours[place],
        rtx_ssrc: retransmits.then_some(numbers.ours[2]),
        cname: "node".into(),
        mid: mid(place),
        mid_extension: Some(numbers.mid),
    };
    LegSpec {
        transports: vec![far.transport()],
        streams: vec![stream(MediaKind::Audio, 0, false), stream(MediaKind::Video, 1, true)],
        sinks: vec![sink(MediaKind::Audio, 0, false), sink(MediaKind::Video, 1, true)],
    }
}

fn payload_types(numbers: [u8; 3], place: usize) -> Vec<PayloadType> {
    let clock_rate = if place == 0 { 48_000 } else { 90_000 };
    let codec = Codec::Other;
    let own = PayloadType { number: numbers[place], clock_rate, retransmits: None, codec };
    let rtx = PayloadType { number: numbers[2], retransmits: Some(numbers[1]), ..own };
    [own, rtx].into_iter().take(place + 1).collect()
}
