//! A sender of simulcast layers and receivers of its video, beside the call of [`super::bridge`]:
//! plain RTP, the receivers' paths estimated.

use crate::bandwidth::Bandwidth;
use crate::command::{
    Codec, Command, LegId, LegSpec, MediaKind, PayloadType, Rid, SinkId, SinkSpec, Source,
    StreamId, StreamSpec, TransportId, WorkerId,
};
use crate::leg::Leg;
use crate::route::{PayloadMap, RouteMap, TransportCc};

use super::bridge::RANDOM;
use super::{Far, Rtp};

/// SSRCs of the layers.
pub const LAYERS: [u32; 3] = [0xe1, 0xe2, 0xe3];
/// SSRCs of the receivers' sinks.
pub const SINKS: [u32; 2] = [0xf1, 0xf3];
/// Extension id of transport-wide sequence numbers towards the receivers.
pub const TRANSPORT_CC: u8 = 5;

const PAYLOAD_TYPE: u8 = 96;
const RID: u8 = 10;
const AUDIO_LEVEL: u8 = 1;
const AUDIO_TYPE: u8 = 111;
const NAMES: [u8; 3] = *b"qhf";
/// First packets of a VP8 key frame and of another picture.
const KEY: &[u8] = &[0x90, 0xf0, 0x80, 7, 3, 0x21, 0x00];
const DELTA: &[u8] = &[0x90, 0xf0, 0x80, 8, 4, 0x21, 0x01];

/// Each command of the set-up. The legs take the slots from 2 on.
pub fn commands(sender: &Far, receivers: [&Far; 2], worker: WorkerId) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut add = |leg, spec: &LegSpec| {
        if let Ok(state) = Leg::new(spec, || RANDOM) {
            commands.push(Command::AddLeg { leg, state });
        }
    };
    add(leg(worker, 0), &sender_spec(sender));
    for (place, far) in (1..).zip(receivers) {
        add(leg(worker, place), &receiver_spec(far, SINKS[usize::from(place) - 1]));
    }
    let stream = StreamId { leg: leg(worker, 0), index: 0 };
    for place in 1..3 {
        let (leg, index) = (leg(worker, place), 0);
        let estimator = Some(Box::new(Bandwidth::new()));
        let transport = TransportId { leg, index };
        commands.push(Command::EstimateBandwidth { transport, estimator });
        let sink = SinkId { leg, index };
        let source = Source { stream, own_ssrc: 1, cname: "node".into(), reduced_size: false };
        let map = Box::new(map());
        commands.push(Command::SetSource { sink, source: Some(Box::new(source)), map });
        commands.push(Command::AddSink { stream, sink });
    }
    commands
}

/// The sink of a receiver, 0 or 1.
pub fn sink(worker: WorkerId, receiver: u16) -> SinkId {
    SinkId { leg: leg(worker, 1 + receiver), index: 0 }
}

/// The `number`-th packet of a layer.
#[allow(clippy::cast_possible_truncation)] // sequence numbers wrap
pub fn video(layer: usize, number: u32, key_frame: bool) -> Rtp {
    Rtp {
        ssrc: LAYERS[layer],
        payload_type: PAYLOAD_TYPE,
        sequence: number as u16,
        timestamp: number.wrapping_mul(3000),
        element: Some((RID, NAMES[layer])),
        payload_head: if key_frame { KEY } else { DELTA },
        payload_len: 200 * (layer + 1),
        ..Rtp::default()
    }
}

/// The `number`-th packet of the sender's audio, which is `level` dB below the loudest.
pub fn audio(number: u32, level: u8) -> Rtp {
    Rtp {
        ssrc: 0xe9,
        payload_type: AUDIO_TYPE,
        element: Some((AUDIO_LEVEL, level)),
        payload_head: &[],
        payload_len: 60,
        ..video(0, number, false)
    }
}

fn leg(worker: WorkerId, place: u16) -> LegId {
    LegId { worker, slot: 2 + place, generation: 0 }
}

fn sender_spec(far: &Far) -> LegSpec {
    let media = PayloadType {
        number: PAYLOAD_TYPE,
        clock_rate: 90_000,
        retransmits: None,
        codec: Codec::Vp8,
    };
    let video = StreamSpec {
        kind: MediaKind::Video,
        transport: 0,
        rtcp_transport: 0,
        mid: None,
        mid_extension: None,
        ssrcs: Vec::new(),
        payload_types: vec![media],
        rids: NAMES.iter().map(|name| Rid::from_iter([*name])).collect(),
        rid_extension: Some(RID),
        repaired_rid_extension: None,
        audio_level_extension: None,
        open: false,
        events: Vec::new(),
        reports: false,
        paused: false,
    };
    let audio = StreamSpec {
        kind: MediaKind::Audio,
        payload_types: vec![PayloadType {
            number: AUDIO_TYPE,
            clock_rate: 48_000,
            codec: Codec::Other,
            ..media
        }],
        rids: Vec::new(),
        rid_extension: None,
        audio_level_extension: Some(AUDIO_LEVEL),
        ..video.clone()
    };
    LegSpec { transports: vec![far.transport()], streams: vec![video, audio], sinks: Vec::new() }
}

fn receiver_spec(far: &Far, ssrc: u32) -> LegSpec {
    let sink = SinkSpec {
        kind: MediaKind::Video,
        transport: 0,
        rtcp_transport: 0,
        ssrc,
        rtx_ssrc: Some(ssrc + 1),
        cname: "node".into(),
        mid: None,
        mid_extension: None,
    };
    LegSpec { transports: vec![far.transport()], streams: Vec::new(), sinks: vec![sink] }
}

fn map() -> RouteMap {
    let payload = PayloadMap {
        from: PAYLOAD_TYPE,
        to: PAYLOAD_TYPE,
        clock_rate: 90_000,
        retransmits: false,
        again: None,
        codec: Codec::Vp8,
    };
    let own = TransportCc::Own { to: TRANSPORT_CC };
    RouteMap::new(&[payload], &[]).with_transport_cc(own)
}
