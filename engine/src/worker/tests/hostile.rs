//! Hostile input: every reason to drop, and random sequences of anything.

use proptest::prelude::*;

use super::*;
use crate::command::Codec;
use crate::config::TAP_RING;
use crate::digit::Digit;
use crate::leg::Leg;
use crate::pipe::{Filter, MediaFilter, Pipe, Pipes};
use crate::route::{PayloadMap, RouteMap};
use crate::stream::Stream;
use crate::twcc::Answerer;

/// Input that is dropped for a reason.
type Drive = fn(&mut Call);

/// How input reaches each reason.
const REACHED: &[(DropReason, Drive)] = &[
    (DropReason::Truncated, |call| raw(call, &[])),
    (DropReason::UnknownClass, |call| raw(call, &[0xff; 20])),
    (DropReason::ChannelUnknown, |call| raw(call, &[64, 0, 0, 0])),
    (DropReason::StunMalformed, |call| raw(call, &[0, 1, 0, 0, 1, 2, 3])),
    (DropReason::StunUnknownUfrag, |call| {
        call.fars[0].ufrag = Some("nobody");
        raw(call, &check(call));
    }),
    (DropReason::StunIntegrity, |call| {
        let mut forged = check(call);
        *forged.last_mut().unwrap() ^= 1;
        raw(call, &forged);
    }),
    (DropReason::StunUnsolicited, |call| {
        let mut response = [0; 20];
        response[..8].copy_from_slice(&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        raw(call, &response);
    }),
    (DropReason::PuntRate, |call| {
        for _ in 0..=crate::config::PUNTS_PER_SECOND {
            raw(call, &[22; 20]);
            call.bare.punt();
        }
    }),
    (DropReason::PuntRingFull, |call| {
        for _ in 0..=crate::config::PUNT_RING {
            raw(call, &[22; 20]);
        }
    }),
    (DropReason::DtlsUnknownPair, |call| {
        for _ in 0..5 {
            from_nowhere(call, &[22; 20]);
        }
    }),
    (DropReason::RelayMalformed, |call| raw(call, &[64, 0, 0, 9, 1])),
    (DropReason::RelayUnknown, |call| {
        raw(call, &relays::send_indication(nowhere(), b"data", false));
    }),
    (DropReason::NoPermission, |call| {
        relays::allocate(call, Some(SocketId(7)));
        relays::from_client(call, &relays::send_indication(nowhere(), b"data", false));
    }),
    (DropReason::RelayFamily, |call| {
        relays::permit(call, "2001:db8::1".parse().unwrap());
        let peer = "[2001:db8::1]:9".parse().unwrap();
        relays::from_client(call, &relays::send_indication(peer, b"data", false));
    }),
    (DropReason::RelayInward, |call| {
        relays::permit(call, "203.0.113.5".parse().unwrap());
        let api = "203.0.113.5:8080".parse().unwrap();
        relays::from_client(call, &relays::send_indication(api, b"data", false));
    }),
    (DropReason::RelayOutward, |call| {
        relays::allocate(call, None);
        relays::from_client(call, &relays::channel_data(0x4001, b"data"));
    }),
    (DropReason::RelayFragments, |call| {
        relays::permit(call, nowhere().ip());
        relays::from_client(call, &relays::send_indication(nowhere(), b"data", true));
    }),
    (DropReason::RelayRate, |call| {
        relays::limit(call, 3);
        relays::from_client(call, &relays::channel_data(0x4001, b"data"));
    }),
    (DropReason::StunRate, |call| {
        for _ in 0..=crate::config::UNASKED_PER_NETWORK {
            let plain = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0; 12]].concat();
            from_nowhere(call, &plain);
        }
    }),
    (DropReason::UnknownRemote, |call| {
        let packet = call.sealed(0, audio(0, 0));
        from_nowhere(call, &packet);
    }),
    (DropReason::RtpMalformed, |call| raw(call, &[0x80, 111, 0])),
    (DropReason::NoKeys, |call| {
        call.bare.worker.tables.leg_mut(leg(0)).unwrap().transports[0].srtp = None;
        call.send(0, audio(0, 0));
    }),
    (DropReason::SrtpShort, |call| raw(call, &[&[0x80, 111][..], &[0; 12]].concat())),
    (DropReason::SrtpReplayed, |call| {
        let packet = call.sealed(0, audio(0, 0));
        raw(call, &packet);
        raw(call, &packet);
    }),
    (DropReason::SrtpOld, |call| {
        let late = call.sealed(0, audio(0, 0));
        for number in [1, 5000] {
            call.send(0, audio(0, number));
        }
        raw(call, &late);
    }),
    (DropReason::SrtpAuth, |call| {
        let mut forged = call.sealed(0, audio(0, 0));
        *forged.last_mut().unwrap() ^= 1;
        raw(call, &forged);
    }),
    (DropReason::SrtpSsrcs, |call| {
        // The sender has no room for more SSRCs either, so it is a new one half-way.
        for ssrc in 0..=64 {
            if ssrc == 40 {
                call.fars[0] = Far::secure(0, 4000, Suite::AesCm128HmacSha1_80).with_ice("left");
            }
            call.send(0, Rtp { ssrc, ..audio(0, 0) });
        }
    }),
    (DropReason::SrtcpClear, |call| {
        let mut clear = call.sealed_rtcp(0, &[0x80, 201, 0, 1, 0, 0, 0, 7]);
        let index_at = clear.len() - 14;
        clear[index_at] &= 0x7f;
        raw(call, &clear);
    }),
    (DropReason::StreamUnknown, |call| {
        call.send(0, Rtp { ssrc: 1, payload_type: 50, ..audio(0, 0) });
    }),
    (DropReason::StreamPaused, |call| {
        call.apply(Command::PauseStream { stream: stream(0, AUDIO), paused: true }).unwrap();
        call.send(0, audio(0, 0));
    }),
    (DropReason::NoSink, |call| {
        let (stream, sink) = (stream(0, AUDIO), sink(1, AUDIO));
        call.apply(Command::RemoveSink { stream, sink }).unwrap();
        call.send(0, audio(0, 0));
    }),
    (DropReason::MediaBlocked, |call| pipe(call, MediaFilter::Block)),
    (DropReason::SilenceUnknown, |call| pipe(call, MediaFilter::Silence)),
    (DropReason::DtmfBlocked, |call| {
        let mut spec = bridge::spec(&call.fars[0], 0).streams.remove(usize::from(AUDIO));
        spec.events = vec![SIDES[0].payload_types[0]];
        let state = Box::new(Stream::new(&spec));
        call.apply(Command::SetStream { stream: stream(0, AUDIO), state }).unwrap();
        pipe(call, MediaFilter::Pass);
    }),
    (DropReason::TapRingFull, |call| {
        call.apply(Command::Tap { leg: leg(0), on: true }).unwrap();
        for number in 0..=TAP_RING {
            call.send(0, audio(0, u16::try_from(number).unwrap()));
        }
    }),
    (DropReason::SinkGone, |call| {
        call.apply(Command::RemoveLeg { leg: leg(1) }).unwrap();
        call.send(0, audio(0, 0));
    }),
    (DropReason::SinkNotReady, |call| {
        call.bare.worker.tables.leg_mut(leg(1)).unwrap().transports[0].srtp = None;
        call.send(0, audio(0, 0));
    }),
    (DropReason::CodecUnmapped, |call| {
        set_map(call, &RouteMap::default());
        call.send(0, audio(0, 0));
    }),
    (DropReason::SourceOld, |call| {
        for (ssrc, number) in [(SIDES[0].theirs[0], 5), (0xeeee, 0), (SIDES[0].theirs[0], 4)] {
            call.send(0, Rtp { ssrc, ..audio(0, number) });
        }
    }),
    (DropReason::RepeatRate, |call| {
        let answerer = Some(Box::new(Answerer::new(SIDES[0].transport_cc)));
        call.apply(Command::AnswerTransportCc { transport: transport(0), answerer }).unwrap();
        call.send(0, video(0, 0));
        for _ in 0..=crate::config::REPEATS_BURST {
            feedback::send_rtcp(call, 1, |writer| {
                writer.nack(7, SIDES[1].ours[1], std::iter::once(0x1234)).unwrap();
            });
        }
    }),
    (DropReason::RewriteRoom, |call| {
        let payload = PayloadMap {
            from: 111,
            to: 109,
            clock_rate: 48_000,
            retransmits: false,
            again: None,
            codec: Codec::Other,
        };
        set_map(call, &RouteMap::new(&[payload], &[(1, 1)]));
        let mut buffer = [0; 400];
        audio(0, 0).write(&mut buffer);
        buffer[0] |= 0x10;
        buffer[12..18].copy_from_slice(&[0x10, 0, 0, 65, 1, 254]);
        let len = call.fars[0].seal(&mut buffer, 300).unwrap();
        raw(call, &buffer[..len]);
    }),
    (DropReason::RtcpMalformed, |call| {
        let packet = call.sealed_rtcp(0, &[0x81, 201, 0, 1, 0, 0, 0, 7]);
        raw(call, &packet);
    }),
    (DropReason::RtcpUnknown, |call| {
        let packet = call.sealed_rtcp(0, &[0x80, 204, 0, 2, 0, 0, 0, 7, 1, 2, 3, 4]);
        raw(call, &packet);
    }),
    (DropReason::RtcpNoTarget, |call| {
        call.apply(Command::RemoveLeg { leg: leg(1) }).unwrap();
        for index in [AUDIO, VIDEO] {
            let command = Command::RemoveSink { stream: stream(0, index), sink: sink(1, index) };
            call.apply(command).unwrap();
        }
        let packet = call.sealed_rtcp(0, &[0x80, 201, 0, 1, 0, 0, 0, 7]);
        raw(call, &packet);
    }),
    (DropReason::HopRing, |call| {
        let leg = LegId { worker: WorkerId(9), ..leg(1) };
        let sink = SinkId { leg, index: AUDIO };
        call.apply(Command::AddSink { stream: stream(0, AUDIO), sink }).unwrap();
        call.send(0, audio(0, 0));
    }),
    (DropReason::FramesExhausted, |call| {
        add_sink(call);
        let last = || call.bare.worker.frames.take();
        let mut held: Vec<_> = std::iter::from_fn(last).collect();
        call.bare.worker.frames.give(held.pop().unwrap());
        call.send(0, audio(0, 0));
        held.into_iter().for_each(|frame| call.bare.worker.frames.give(frame));
    }),
    (DropReason::TxBatch, |call| {
        call.bare = Bare::new(WORKER, 8, 2 * crate::config::TX_BATCH).unwrap();
        let (socket, remote) = (SocketId(0), call.fars[0].remote);
        for _ in 0..=crate::config::TX_BATCH {
            let command = Command::Transmit { socket, remote, bytes: Box::new([1]) };
            call.apply(command).unwrap();
        }
        call.sent();
    }),
];

/// What needs a kernel, 2^31 packets or TCP; tested with the backends, with SRTP and with the edge.
const ELSEWHERE: &[DropReason] = &[
    DropReason::StreamLimit,
    DropReason::StreamFraming,
    DropReason::StreamLate,
    DropReason::StreamStale,
    DropReason::StreamGone,
    DropReason::StreamTls,
    DropReason::StreamProxy,
    DropReason::StreamClear,
    DropReason::StreamHttp,
    DropReason::TxRefused,
    DropReason::TxTooLong,
    DropReason::SocketGone,
    DropReason::SrtpKeyExpired,
];

#[test]
fn every_reason_to_drop_is_reached_by_input() {
    for reason in DropReason::ALL {
        let reached = REACHED.iter().find(|(reached, _)| reached == reason);
        let Some((_, drive)) = reached else {
            assert!(ELSEWHERE.contains(reason), "{reason:?} is reached by nothing");
            continue;
        };
        let mut call = Call::new();
        drive(&mut call);
        assert!(call.drops(*reason) > 0, "{reason:?} was not reached");
        assert_eq!(call.bare.frames_lost(), 0, "{reason:?} lost a frame");
    }
}

fn raw(call: &mut Call, packet: &[u8]) {
    call.receive(0, packet);
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9999))
}

fn from_nowhere(call: &mut Call, packet: &[u8]) {
    call.receive_from(SocketId(0), nowhere(), packet);
}

/// The left side's audio comes with a pipe that lets no event pass.
fn pipe(call: &mut Call, media: MediaFilter) {
    let filter = Filter { media, blocks_dtmf: true };
    let pipe = Pipe { media: transport(1), reports: transport(1), filter };
    let pipes = Pipes::from_iter([pipe]);
    call.apply(Command::SetPipes { stream: stream(0, AUDIO), pipes }).unwrap();
    call.send(0, audio(0, 0));
}

fn check(call: &Call) -> Vec<u8> {
    let mut buffer = [0; 500];
    let len = call.fars[0].check(&mut buffer, 1, false).unwrap();
    buffer[..len].to_vec()
}

fn set_map(call: &mut Call, map: &RouteMap) {
    let command = bridge::feed(sink(1, AUDIO), stream(0, AUDIO), 0);
    let Command::SetSource { sink, source, .. } = command else { unreachable!() };
    call.apply(Command::SetSource { sink, source, map: Box::new(map.clone()) }).unwrap();
}

/// A second sink for the left side's audio.
fn add_sink(call: &mut Call) {
    let far = Far::secure(2, 6000, Suite::AeadAes128Gcm);
    let leg = LegId { worker: WORKER, slot: 2, generation: 0 };
    let state = Leg::new(&bridge::spec(&far, 1), || bridge::RANDOM).unwrap();
    call.apply(Command::AddLeg { leg, state }).unwrap();
    let sink = SinkId { leg, index: AUDIO };
    call.apply(bridge::feed(sink, stream(0, AUDIO), 0)).unwrap();
    call.apply(Command::AddSink { stream: stream(0, AUDIO), sink }).unwrap();
}

/// One thing that happens to a worker.
#[derive(Debug, Clone)]
enum Step {
    Audio { side: usize, ssrc: u8 },
    Video { side: usize },
    Retransmit { side: usize, original: u16 },
    Feedback { side: usize, media: u8, bits: u16 },
    Check { side: usize, nominates: bool },
    Dtls { port: u16 },
    Mutated { side: usize, kind: u8, at: u16, bit: u8, cut: u16 },
    Replay { side: usize },
    Junk { known: bool, bytes: Vec<u8> },
    Pause { side: usize, paused: bool },
    Sink { side: usize, there: bool },
    Install { side: usize, port: u16, nominated: bool },
    Rekey { side: usize },
    Leg { side: usize, there: bool },
    Pipes { side: usize, count: u8 },
    Digit { side: usize, event: u8, duration_ms: u16 },
    Tap { side: usize, on: bool },
    Transmit { len: usize },
    Relay { way: u8, bytes: Vec<u8> },
    Relaying { there: bool },
    Starve { frames: usize },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let side = 0..2_usize;
    prop_oneof![
        4 => (side.clone(), any::<u8>()).prop_map(|(side, ssrc)| Step::Audio { side, ssrc }),
        4 => side.clone().prop_map(|side| Step::Video { side }),
        2 => (side.clone(), any::<u16>())
            .prop_map(|(side, original)| Step::Retransmit { side, original }),
        2 => (side.clone(), any::<u8>(), any::<u16>())
            .prop_map(|(side, media, bits)| Step::Feedback { side, media, bits }),
        2 => (side.clone(), any::<bool>())
            .prop_map(|(side, nominates)| Step::Check { side, nominates }),
        1 => (4000..4004_u16).prop_map(|port| Step::Dtls { port }),
        6 => (side.clone(), 0..4_u8, any::<u16>(), 0..8_u8, any::<u16>())
            .prop_map(|(side, kind, at, bit, cut)| Step::Mutated { side, kind, at, bit, cut }),
        1 => side.clone().prop_map(|side| Step::Replay { side }),
        4 => (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(known, bytes)| Step::Junk { known, bytes }),
        1 => (side.clone(), any::<bool>()).prop_map(|(side, paused)| Step::Pause { side, paused }),
        2 => (side.clone(), any::<bool>()).prop_map(|(side, there)| Step::Sink { side, there }),
        2 => (side.clone(), 4000..4004_u16, any::<bool>())
            .prop_map(|(side, port, nominated)| Step::Install { side, port, nominated }),
        1 => side.clone().prop_map(|side| Step::Rekey { side }),
        1 => (side.clone(), any::<bool>()).prop_map(|(side, there)| Step::Leg { side, there }),
        2 => (side.clone(), 0..4_u8).prop_map(|(side, count)| Step::Pipes { side, count }),
        2 => (side.clone(), any::<u8>(), any::<u16>())
            .prop_map(|(side, event, duration_ms)| Step::Digit { side, event, duration_ms }),
        1 => (side, any::<bool>()).prop_map(|(side, on)| Step::Tap { side, on }),
        1 => (0..3000_usize).prop_map(|len| Step::Transmit { len }),
        4 => (0..6_u8, proptest::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(way, bytes)| Step::Relay { way, bytes }),
        1 => any::<bool>().prop_map(|there| Step::Relaying { there }),
        1 => (0..4_usize).prop_map(|frames| Step::Starve { frames }),
        2 => (0..20_000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// A call that anything happens to.
struct Fate {
    call: Call,
    number: u16,
    last: Vec<u8>,
    generations: [u32; 2],
}

impl Fate {
    #[allow(clippy::cast_possible_truncation)] // numbers wrap
    fn take(&mut self, step: Step) {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        match step {
            Step::Audio { side, ssrc } => {
                let ssrc = SIDES[side].theirs[0] + u32::from(ssrc) * u32::from(ssrc > 200);
                self.rtp(side, Rtp { ssrc, ..audio(side, number) });
            }
            Step::Video { side } => {
                let transport_cc = Some((SIDES[side].transport_cc, number));
                self.rtp(side, Rtp { transport_cc, ..video(side, number) });
            }
            Step::Retransmit { side, original } => {
                let packet = self.retransmission(side, original);
                self.deliver(side, packet);
            }
            Step::Feedback { side, media, bits } => {
                let packet = self.feedback(side, media, bits);
                self.deliver(side, packet);
            }
            Step::Check { side, nominates } => {
                let packet = self.check(side, nominates);
                self.deliver(side, packet);
            }
            Step::Dtls { port } => self.from(port, &[22, 254, 253, 0, 1]),
            Step::Mutated { side, kind, at, bit, cut } => {
                let mut packet = match kind {
                    0 => self.seal(side, video(side, number)),
                    1 => self.retransmission(side, at),
                    2 => self.feedback(side, bit, cut),
                    _ => self.check(side, true),
                };
                let at = usize::from(at) % packet.len();
                packet[at] ^= 1 << bit;
                if cut % 3 == 0 {
                    packet.truncate(usize::from(cut) % packet.len());
                }
                self.deliver(side, packet);
            }
            Step::Replay { side } => self.deliver(side, self.last.clone()),
            Step::Junk { known: true, bytes } => self.deliver(0, bytes),
            Step::Junk { known: false, bytes } => self.from(4999, &bytes),
            Step::Relay { way, bytes } => self.relay(way, &bytes),
            Step::Relaying { there } => relays::set_relay(&mut self.call, there),
            Step::Starve { frames } => self.starve(frames),
            Step::Wait { ms } => self.call.wait(ms),
            command => self.command(command),
        }
        self.check_invariants();
    }

    /// What a client of a relay sends to a peer or to the left leg's port, or a peer to it.
    fn relay(&mut self, way: u8, bytes: &[u8]) {
        let number = self.number;
        let media = match way {
            3 => self.seal(0, audio(0, number)),
            4 => self.check(0, true),
            _ => bytes.to_vec(),
        };
        match way {
            0 => drop(relays::from_client(&mut self.call, &relays::channel_data(0x4001, bytes))),
            1 | 3 | 4 => {
                drop(relays::from_client(&mut self.call, &relays::channel_data(0x4002, &media)));
            }
            2 => relays::from_peer(&mut self.call, bytes),
            _ => drop(relays::from_client(
                &mut self.call,
                &relays::send_indication(nowhere(), bytes, false),
            )),
        }
    }

    fn command(&mut self, step: Step) {
        let generations = self.generations;
        let leg = |side: usize| LegId { generation: generations[side], ..leg(side) };
        let command = match step {
            Step::Pause { side, paused } => {
                let stream = StreamId { leg: leg(side), index: VIDEO };
                Command::PauseStream { stream, paused }
            }
            Step::Sink { side, there } => {
                let stream = StreamId { leg: leg(side), index: VIDEO };
                let sink = SinkId { leg: leg(1 - side), index: VIDEO };
                let _ = self.call.apply(bridge::feed(sink, stream, side));
                match there {
                    true => Command::AddSink { stream, sink },
                    false => Command::RemoveSink { stream, sink },
                }
            }
            Step::Install { side, port, nominated } => Command::InstallPair {
                transport: TransportId { leg: leg(side), index: 0 },
                socket: self.call.fars[side].socket,
                remote: SocketAddr::from(([127, 0, 0, 1], port)),
                nominated,
                generation: 0,
            },
            Step::Rekey { side } => Command::SetKeys {
                transport: TransportId { leg: leg(side), index: 0 },
                keys: self.call.fars[side].node_keys().unwrap(),
            },
            Step::Leg { side, there: false } => Command::RemoveLeg { leg: leg(side) },
            Step::Leg { side, there: true } => {
                self.generations[side] += 1;
                let leg = LegId { generation: self.generations[side], ..leg(side) };
                let spec = bridge::spec(&self.call.fars[side], side);
                Command::AddLeg { leg, state: Leg::new(&spec, || bridge::RANDOM).unwrap() }
            }
            Step::Pipes { side, count } => {
                let to = TransportId { leg: leg(1 - side), index: 0 };
                let media = [MediaFilter::Pass, MediaFilter::Silence, MediaFilter::Block];
                let pipe = |place: u8| Pipe {
                    media: to,
                    reports: TransportId { index: place % 2, ..to },
                    filter: Filter { media: media[usize::from(place) % 3], blocks_dtmf: true },
                };
                let stream = StreamId { leg: leg(side), index: count % 2 };
                Command::SetPipes { stream, pipes: (0..count).map(pipe).collect() }
            }
            Step::Digit { side, event, duration_ms } => {
                let stream = StreamId { leg: leg(side), index: AUDIO };
                let payload_type = (event % 3 > 0).then_some(event);
                let (event, attenuation, pause_ms) = (event % 17, event % 65, duration_ms / 3);
                let digit = Digit { event, payload_type, attenuation, duration_ms, pause_ms };
                Command::PlayDigit { stream, digit }
            }
            Step::Tap { side, on } => Command::Tap { leg: leg(side), on },
            Step::Transmit { len } => Command::Transmit {
                socket: SocketId(0),
                remote: self.call.fars[0].remote,
                bytes: vec![0; len].into(),
            },
            other => unreachable!("{other:?} is no command"),
        };
        let taken = matches!(command, Command::AddLeg { .. });
        if self.call.apply(command).is_err() && taken {
            // The former leg is still there.
            self.generations = [0, 1].map(|slot| {
                let tenant = self.call.bare.worker.tables.id_at(slot);
                tenant.map_or(self.generations[usize::from(slot)], |leg| leg.generation)
            });
        }
    }

    fn starve(&mut self, frames: usize) {
        let pool = &mut self.call.bare.worker.frames;
        let mut held: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        for frame in held.drain(..frames.min(held.len())) {
            self.call.bare.worker.frames.give(frame);
        }
        for side in 0..2 {
            let packet = self.seal(side, video(side, self.number));
            let Far { socket, remote, .. } = self.call.fars[side];
            self.call.bare.receive(socket, remote, &packet, self.call.now);
            self.call.bare.pass(self.call.now);
        }
        held.into_iter().for_each(|frame| self.call.bare.worker.frames.give(frame));
        self.call.sent();
    }

    fn rtp(&mut self, side: usize, rtp: Rtp) {
        let packet = self.seal(side, rtp);
        self.deliver(side, packet);
    }

    fn seal(&mut self, side: usize, rtp: Rtp) -> Vec<u8> {
        let mut buffer = [0; 1500];
        let len = rtp.write(&mut buffer);
        // A number that was used before cannot be sealed again; what lies there goes out as it is.
        let len = self.call.fars[side].seal(&mut buffer, len).unwrap_or(len);
        buffer[..len].to_vec()
    }

    fn retransmission(&mut self, side: usize, original: u16) -> Vec<u8> {
        let rtx = Rtp {
            ssrc: SIDES[side].theirs[2],
            payload_type: SIDES[side].payload_types[2],
            ..video(side, self.number)
        };
        let mut buffer = [0; 1500];
        let len = rtx.write(&mut buffer);
        buffer[12..14].copy_from_slice(&(30_000 + original % 64).to_be_bytes());
        let len = self.call.fars[side].seal(&mut buffer, len).unwrap_or(len);
        buffer[..len].to_vec()
    }

    fn feedback(&mut self, side: usize, media: u8, bits: u16) -> Vec<u8> {
        let media = SIDES[side].ours[usize::from(media) % 3];
        let mut buffer = [0; 500];
        let mut writer = crate::rtcp::Writer::new(&mut buffer);
        let lost = (0..16).filter(|bit| bits & 1 << bit != 0).map(|bit| 0x1234 + bit);
        writer.nack(7, media, lost).unwrap();
        writer.pli(7, media).unwrap();
        writer.bye(SIDES[side].theirs[1]).unwrap();
        let len = writer.len();
        let len = self.call.fars[side].seal(&mut buffer, len).unwrap_or(len);
        buffer[..len].to_vec()
    }

    fn check(&mut self, side: usize, nominates: bool) -> Vec<u8> {
        let mut buffer = [0; 500];
        let len = self.call.fars[side].check(&mut buffer, 1, nominates).unwrap();
        buffer[..len].to_vec()
    }

    fn deliver(&mut self, side: usize, packet: Vec<u8>) {
        let remote = self.call.fars[side].remote;
        let socket = self.call.fars[side].socket;
        self.call.receive_from(socket, remote, &packet);
        self.last = packet;
    }

    fn from(&mut self, port: u16, packet: &[u8]) {
        let remote = SocketAddr::from(([127, 0, 0, 1], port));
        self.call.receive_from(SocketId(0), remote, packet);
    }

    fn check_invariants(&mut self) {
        let worker = &mut self.call.bare.worker;
        worker.announce();
        self.call.sent();
        let worker = &self.call.bare.worker;
        assert_eq!(worker.frames.free() + worker.early.len(), worker.frames.capacity());
        assert!(worker.news.is_empty(), "the event ring has room");
        while self.call.bare.punt().is_some() {}
        while self.call.bare.event().is_some() {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_frame_is_lost(steps in proptest::collection::vec(step(), 1..120)) {
        let mut fate =
            Fate { call: Call::new(), number: 0, last: vec![0x80, 0], generations: [0, 0] };
        steps.into_iter().for_each(|step| fate.take(step));
        // Whatever still waits is given up in time, and the tables empty with the legs.
        fate.call.wait(1000);
        fate.check_invariants();
        prop_assert!(fate.call.bare.worker.early.is_empty());
        for slot in 0..2 {
            if let Some(leg) = fate.call.bare.worker.tables.id_at(slot) {
                fate.call.apply(Command::RemoveLeg { leg }).unwrap();
            }
        }
        prop_assert_eq!(fate.call.bare.pairs(), 0);
        prop_assert_eq!(fate.call.bare.worker.tables.ufrags(), 0);
    }
}
