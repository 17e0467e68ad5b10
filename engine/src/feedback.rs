//! RTCP through a worker, and what arrives from other workers.
//!
//! A compound that a leg sends is taken apart in two directions: what it says about its own streams
//! goes to their sinks ([`reports::forward_reports`]), what it says about the sinks that it receives
//! goes back to whoever feeds them ([`reports::backward_feedback`]). RTCP is a small share of the
//! packets, so both write new packets instead of changing the one that came.

use arrayvec::ArrayVec;

use crate::command::{LegId, SinkId, StreamId, TransportId};
use crate::config::{HEAD_ROOM, HOP_RING, PAYLOAD_MAX, RTCP_MAX};
use crate::error::DropReason;
use crate::hop::{Asked, Hop, HopKind};
use crate::layers::LayerTag;
use crate::leg::Leg;
use crate::packet::{Nanos, Packet};
use crate::repeats::Key;
use crate::route::Passing;
use crate::route::reports::{self, FeedbackTarget};
use crate::rtcp::{self, Compound, ReportBlock, Rtcp};
use crate::rtp::RtpHeader;
use crate::stranger::Whose;
use crate::sys::frames::Frame;
use crate::worker::{Fate, Media, Worker, plain_len};

/// Feedback packets about transport-wide numbers in one go.
const TRANSPORT_FEEDBACK_MAX: usize = 4;
/// Packets that one leg's feedback asks a sender for, at most; the far side asks again for the rest.
const MISSING_MAX: usize = 256;

type Bytes = ArrayVec<u8, PAYLOAD_MAX>;
/// Packets that were asked for again, by their source's SSRC and sequence number.
type Missing = ArrayVec<(u32, u16), MISSING_MAX>;

impl Worker {
    /// RTCP: who sent it, is it authentic, which sinks and sources does it concern.
    pub(crate) fn reports(&mut self, packet: &mut Packet, now: Nanos) -> Result<Fate, DropReason> {
        let Whose { id, roams } = self.who(packet, now)?;
        let leg = self.tables.leg_mut(id.leg).ok_or(DropReason::UnknownRemote)?;
        let transport = &mut leg.transports[usize::from(id.index)];
        let arrived = usize::from(packet.len);
        if !roams {
            transport.count_in(arrived);
        }
        let opened = transport.unprotect_rtcp(packet.payload_mut(&mut self.frames));
        packet.len = plain_len(opened.map_err(|reason| transport.refuse(roams, reason))?);
        let (first, tapped) = (transport.hear(packet.remote, now), leg.tapped);
        if first {
            self.mark_news(id.leg);
        }
        if tapped {
            self.tap(id, packet);
        }
        if roams {
            self.follow(id, packet.remote, arrived);
        }
        if self.tables.leg_mut(id.leg).is_some_and(|leg| leg.is_piped()) {
            return self.pour_reports(id, packet, now);
        }
        let bytes: Bytes = packet.payload(&self.frames).iter().copied().collect();
        let compound = Compound::parse(&bytes)?;
        let faults = compound.faults();
        self.counters.drops.add(DropReason::RtcpUnknown, faults.unknown.into());
        self.counters.drops.add(DropReason::RtcpMalformed, faults.malformed.into());
        let weighed = self.weigh_feedback(id, &compound, now);
        let spread = self.spread_reports(id, &compound, &bytes, packet.received);
        let returned = self.return_feedback(id.leg, &compound, packet.received);
        if weighed || spread || returned { Ok(Fate::Done) } else { Err(DropReason::RtcpNoTarget) }
    }

    /// Tells the sinks of a leg's streams; whether there was one.
    fn spread_reports(
        &mut self,
        id: TransportId,
        compound: &Compound<'_>,
        bytes: &[u8],
        received: Nanos,
    ) -> bool {
        let mut any = false;
        let streams = self.tables.leg_mut(id.leg).map_or(0, |leg| leg.streams.len());
        for index in (0u8..).take(streams) {
            let stream = StreamId { leg: id.leg, index };
            let now = self.now;
            let Some(state) = self.stream(stream).filter(|s| s.rtcp_transport == id.index) else {
                continue;
            };
            state.note_reports(compound, now);
            if state.paused {
                continue;
            }
            let mut place = 0;
            while let Some(sink) = self.tables.sink_of(stream, place) {
                any = true;
                place += 1;
                if sink.leg.worker == self.id {
                    self.report_to(sink, bytes, received);
                } else {
                    self.hop_bytes(HopKind::Reports { sink }, bytes, received);
                }
            }
        }
        any
    }

    fn report_to(&mut self, id: SinkId, bytes: &[u8], received: Nanos) {
        let Ok(compound) = Compound::parse(bytes) else { return };
        let Some(leg) = self.tables.leg_mut(id.leg) else { return };
        let Some(sink) = leg.sinks.get(usize::from(id.index)) else { return };
        let out = &mut self.scratch[..RTCP_MAX];
        let Some(len) = reports::forward_reports(&compound, &sink.route, &sink.cname, out) else {
            return;
        };
        let index = sink.rtcp_transport;
        self.send_rtcp(TransportId { leg: id.leg, index }, len, received);
    }

    /// Tells the sources of a leg's sinks; whether there was one.
    fn return_feedback(&mut self, id: LegId, compound: &Compound<'_>, received: Nanos) -> bool {
        let mut any = false;
        let Some(leg) = self.tables.leg_mut(id) else { return false };
        let sinks = leg.sinks.len();
        for place in 0..sinks {
            let Some(leg) = self.tables.leg_mut(id) else { break };
            let Some((stream, len, asked)) =
                feedback_of(leg, place, compound, &mut self.scratch[..RTCP_MAX])
            else {
                continue;
            };
            any = true;
            if stream.leg.worker == self.id {
                self.send_feedback(stream, id, len, asked, received);
            } else {
                let bytes: Bytes = self.scratch[..len].iter().copied().collect();
                let kind = HopKind::Feedback { stream, from: id, asked };
                self.hop_bytes(kind, &bytes, received);
            }
        }
        any
    }

    /// Does what `scratch[..len]`, which the leg `from` says of `stream`, asks for: sends again what is
    /// kept, and sends the rest to whoever sends the stream.
    fn send_feedback(
        &mut self,
        id: StreamId,
        from: LegId,
        len: usize,
        asked: Asked,
        received: Nanos,
    ) {
        let Some(stream) = self.stream(id) else { return };
        stream.counters.nacks += u64::from(asked.nacks);
        stream.counters.plis += u64::from(asked.key_frames);
        let (index, passes) = (stream.rtcp_transport, !stream.is_reported_here());
        let bytes: Bytes = self.scratch[..len].iter().copied().collect();
        let Ok(compound) = Compound::parse(&bytes) else { return };
        let missing = self.repeat_kept(id, from, &compound, received);
        if passes {
            self.scratch[..len].copy_from_slice(&bytes);
            return self.send_rtcp(TransportId { leg: id.leg, index }, len, received);
        }
        self.send_requests(id, &compound, &missing, received);
    }

    /// Sends again to the leg `to` what it misses of a stream and is kept; what is not.
    fn repeat_kept(
        &mut self,
        stream: StreamId,
        to: LegId,
        compound: &Compound<'_>,
        received: Nanos,
    ) -> Missing {
        let mut missing = Missing::new();
        for packet in compound.sound() {
            let Rtcp::Nack(nack) = packet else { continue };
            for sequence in nack.sequences() {
                let key = Key { stream, ssrc: nack.media, sequence };
                if !self.repeat(key, to, received) {
                    let _ = missing.try_push((key.ssrc, sequence));
                }
            }
        }
        missing
    }

    /// Asks whoever sends `stream` for the packets that are missing, and for key frames as often as is
    /// good for all sinks together. What one of several receivers says of its own path is none of the
    /// sender's business.
    fn send_requests(
        &mut self,
        id: StreamId,
        compound: &Compound<'_>,
        missing: &Missing,
        received: Nanos,
    ) {
        let now = self.now;
        let Some(leg) = self.tables.leg_mut(id.leg) else { return };
        let own_ssrc = leg.own_ssrc();
        let Some(stream) = leg.streams.get_mut(usize::from(id.index)) else { return };
        let index = stream.rtcp_transport;
        let mut writer = rtcp::Writer::new(&mut self.scratch[..RTCP_MAX]);
        let mut full = begin_report(&mut writer, own_ssrc, &[]);
        let head = writer.len();
        for lost in missing.chunk_by(|(one, _), (other, _)| one == other) {
            let sequences = lost.iter().map(|(_, sequence)| *sequence);
            full = full.and_then(|()| writer.nack(own_ssrc, lost[0].0, sequences));
        }
        for packet in compound.sound() {
            match packet {
                Rtcp::Pli(pli) => stream.want_key_frame(stream.layer_with(pli.media), now),
                Rtcp::Fir(fir) => fir.entries().for_each(|(media, _)| {
                    stream.want_key_frame(stream.layer_with(media), now);
                }),
                _ => {}
            }
        }
        let len = writer.len();
        if len > head && full.is_ok() {
            self.send_rtcp(TransportId { leg: id.leg, index }, len, received);
        }
        self.ask_key_frame(id, now);
    }

    /// Protects `scratch[..len]` in a fresh frame and queues it.
    pub(crate) fn send_rtcp(&mut self, id: TransportId, len: usize, received: Nanos) {
        let Some(frame) = self.frames.take() else {
            return self.drop_for(DropReason::FramesExhausted);
        };
        let bytes = self.frames.bytes_mut(&frame);
        bytes[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(&self.scratch[..len]);
        let sealed = self.seal_reports(id, &frame, (HEAD_ROOM, len));
        self.send_sealed(frame, sealed, received);
    }

    /// Sends a picture loss indication if the stream wants one and may have it now.
    pub(crate) fn ask_key_frame(&mut self, id: StreamId, now: Nanos) {
        let Some(leg) = self.tables.leg_mut(id.leg) else { return };
        let own_ssrc = leg.own_ssrc();
        let Some(stream) = leg.streams.get_mut(usize::from(id.index)) else { return };
        let index = stream.rtcp_transport;
        if leg.transports.get(usize::from(index)).is_none_or(|t| !t.is_ready()) {
            return;
        }
        let due = stream.key_frames_due(now);
        if due.is_empty() {
            return;
        }
        let mut writer = rtcp::Writer::new(&mut self.scratch[..RTCP_MAX]);
        let written = begin_report(&mut writer, own_ssrc, &[])
            .and_then(|()| due.iter().try_for_each(|media| writer.pli(own_ssrc, *media)));
        let len = writer.len();
        if written.is_ok() {
            self.send_rtcp(TransportId { leg: id.leg, index }, len, Nanos(0));
        }
    }

    /// Tells the sender of a stream what came of it, where no sink's leg does.
    pub(crate) fn report_reception(&mut self, id: StreamId, now: Nanos) {
        let Some(leg) = self.tables.leg_mut(id.leg) else { return };
        let own_ssrc = leg.own_ssrc();
        let Some(stream) = leg.streams.get_mut(usize::from(id.index)) else { return };
        let index = stream.rtcp_transport;
        let blocks = stream.report_blocks(now);
        let ready = leg.transports.get(usize::from(index)).is_some_and(|t| t.is_ready());
        if blocks.is_empty() || !ready {
            return;
        }
        let mut writer = rtcp::Writer::new(&mut self.scratch[..RTCP_MAX]);
        let written = begin_report(&mut writer, own_ssrc, &blocks);
        let len = writer.len();
        if written.is_ok() {
            self.send_rtcp(TransportId { leg: id.leg, index }, len, Nanos(0));
        }
    }

    /// Tells a sender when its packets arrived on transport `id`, in place of the far end of the call.
    pub(crate) fn answer_transport_cc(&mut self, id: TransportId, media: u32, now: Nanos) {
        for _ in 0..TRANSPORT_FEEDBACK_MAX {
            let Some(leg) = self.tables.leg_mut(id.leg) else { return };
            let (own_ssrc, index) = (leg.own_ssrc(), leg.rtcp_of(id.index));
            let transport = &mut leg.transports[usize::from(id.index)];
            let Some(answerer) = &mut transport.answerer else { return };
            let out = &mut self.scratch[..RTCP_MAX];
            let Some(len) = answerer.arrivals.feedback(now, own_ssrc, media, out) else { return };
            self.send_rtcp(TransportId { leg: id.leg, index }, len, Nanos(0));
        }
    }

    pub(crate) fn hop_bytes(&mut self, kind: HopKind, bytes: &[u8], received: Nanos) {
        match self.hops.push(Hop::new(kind, received, bytes)) {
            Ok(()) => self.counters.hops_out += 1,
            Err(reason) => self.drop_for(reason),
        }
    }

    /// Takes what other workers have handed over.
    pub(crate) fn take_hops(&mut self) {
        for turn in 0..HOP_RING {
            let Some(hop) = self.hops.pop(turn) else { return };
            self.counters.hops_in += 1;
            self.blame = None;
            match hop.kind {
                HopKind::Media { sink, passing, layer } => {
                    if let Err(reason) = self.land_hop(sink, passing, layer, &hop) {
                        self.drop_for(reason);
                    }
                }
                HopKind::Reports { sink } => self.report_to(sink, &hop.bytes, hop.received),
                HopKind::Feedback { stream, from, asked } => {
                    let len = hop.bytes.len().min(RTCP_MAX);
                    self.scratch[..len].copy_from_slice(&hop.bytes[..len]);
                    self.send_feedback(stream, from, len, asked, hop.received);
                }
                HopKind::KeyFrame { stream, layer } => self.want_key_frame(stream, layer),
                HopKind::Arrival { socket, remote, .. } => self.land_arrival(socket, remote, &hop),
                HopKind::Relayed { slot, relayed, peer, .. } => {
                    self.land_relayed((slot, relayed), peer, &hop);
                }
                // The edge alone has streams.
                HopKind::Departure { .. } => self.drop_for(DropReason::SocketGone),
            }
        }
    }

    fn land_hop(
        &mut self,
        sink: SinkId,
        passing: Passing,
        layer: Option<LayerTag>,
        hop: &Hop,
    ) -> Result<(), DropReason> {
        let header = RtpHeader::parse(&hop.bytes)?;
        let len = hop.bytes.len();
        let frame = self.frames.take().ok_or(DropReason::FramesExhausted)?;
        self.frames.bytes_mut(&frame)[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(&hop.bytes);
        let media = Media { start: HEAD_ROOM, len, passing, layer };
        self.land(sink, frame, media, &header, hop.received)
    }

    /// Forwards a plain packet in a frame of its own to a sink of this worker, if that takes it.
    pub(crate) fn land(
        &mut self,
        sink: SinkId,
        frame: Frame,
        media: Media,
        header: &RtpHeader,
        received: Nanos,
    ) -> Result<(), DropReason> {
        let now = self.now;
        if !self.takes(sink, media, header, now) {
            self.frames.give(frame);
            return Ok(());
        }
        match self.forward(sink, &frame, media, header, now) {
            Ok(outgoing) => {
                self.send(outgoing.packet(frame, received), outgoing);
                Ok(())
            }
            Err(reason) => {
                self.frames.give(frame);
                Err(reason)
            }
        }
    }
}

/// A compound begins with a report and a name (RFC 3550 §6.1).
pub(crate) fn begin_report(
    writer: &mut rtcp::Writer<'_>,
    own_ssrc: u32,
    blocks: &[ReportBlock],
) -> Result<(), DropReason> {
    writer.receiver_report(own_ssrc, blocks)?;
    writer.sdes(own_ssrc, b"causeway")
}

/// Feedback of `compound` about the sinks of `leg` that are fed by the stream that feeds the sink at
/// `place`; written once per stream, at the first of its sinks.
fn feedback_of(
    leg: &mut Leg,
    place: usize,
    compound: &Compound<'_>,
    out: &mut [u8],
) -> Option<(StreamId, usize, Asked)> {
    let source = leg.sinks[place].source.as_deref()?;
    let feeds = |sink: &crate::stream::Sink| {
        sink.source.as_ref().is_some_and(|other| other.stream == source.stream)
    };
    if leg.sinks[..place].iter().any(|sink| feeds(sink)) {
        return None;
    }
    let resolve = |ssrc: u32| {
        let owner = leg.sinks.iter().find(|sink| feeds(sink) && sink.route.owns(ssrc).is_some());
        owner.map(|sink| &sink.route)
    };
    let target = FeedbackTarget {
        own_ssrc: source.own_ssrc,
        cname: &source.cname,
        reduced_size: source.reduced_size,
        fir: None,
    };
    let feedback = reports::backward_feedback(compound, resolve, &target, out);
    let stream = source.stream;
    let counters = &mut leg.sinks[place].counters;
    counters.nacks += u64::from(feedback.nacks);
    counters.plis += u64::from(feedback.key_frames);
    let asked = Asked { nacks: feedback.nacks, key_frames: feedback.key_frames };
    feedback.len.map(|len| (stream, len, asked))
}
