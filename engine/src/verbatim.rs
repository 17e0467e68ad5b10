//! What passes a worker as it came: media and RTCP of streams with pipes, raw datagrams.
//!
//! No number is rewritten, so nothing is kept of what passed and nothing has to be mapped back. RTCP
//! speaks of both directions at once, so that of a leg goes wherever its media goes, held streams and
//! blocked ones included (RFC 3264 §6.1: a direction is none of RTCP's).

use arrayvec::ArrayVec;

use crate::command::{StreamId, TransportId};
use crate::config::{PIPES_PER_STREAM, STREAMS_PER_LEG};
use crate::error::DropReason;
use crate::packet::{Nanos, Packet};
use crate::pipe::{Content, Outflow, Pipe};
use crate::rtcp::{self, Compound};
use crate::rtp::RtpHeader;
use crate::stranger::Whose;
use crate::stream::Stream;
use crate::sys::frames::Frame;
use crate::worker::{Fate, Outgoing, Worker};

/// Where the RTCP of a leg goes, each place once.
pub(crate) type Targets = ArrayVec<TransportId, { PIPES_PER_STREAM * STREAMS_PER_LEG }>;

/// Where in its frame a plain packet starts, and its length.
type Extent = (usize, usize);

impl Worker {
    /// Each pipe whose filter lets the packet pass gets a copy, but the last one the frame itself: it is
    /// silenced and protected where it lies. What has no `header` is no RTP. No filter keeps back a digit that
    /// control plays.
    pub(crate) fn pour(
        &mut self,
        stream: StreamId,
        packet: &Packet,
        header: Option<&RtpHeader>,
    ) -> Result<Fate, DropReason> {
        let mut taker = None;
        let mut place = 0;
        let digit =
            header.zip(self.stream(stream)).and_then(|(header, stream)| stream.play(header));
        while let Some((pipe, content)) = self.pipe_of(stream, place, header) {
            place += 1;
            let flow = digit.map_or_else(|| pipe.filter.judge(content), Ok);
            let earlier = flow.map(|flow| taker.replace((pipe.media, flow)));
            let outcome = earlier.and_then(|earlier| match earlier {
                Some((to, flow)) => self.send_copy(packet, |worker, frame, extent| {
                    worker.seal_media(to, flow, header, frame, extent)
                }),
                None => Ok(()),
            });
            if let Err(reason) = outcome {
                self.drop_for(reason);
            }
        }
        match taker {
            Some((to, flow)) => {
                self.seal_media(to, flow, header, &packet.frame, extent(packet)).map(Fate::Send)
            }
            None => Ok(Fate::Done),
        }
    }

    /// A pipe of a stream, and what a packet with this header carries.
    fn pipe_of(
        &mut self,
        stream: StreamId,
        place: usize,
        header: Option<&RtpHeader>,
    ) -> Option<(Pipe, Content)> {
        let stream = self.stream(stream)?;
        let content = header.map_or(Content::Media { silence: None }, |header| {
            stream.content_of(header.payload_type)
        });
        Some((*stream.pipes().get(place)?, content))
    }

    /// A datagram of whatever protocol on a socket that nobody reads.
    pub(crate) fn raw(&mut self, packet: &Packet, now: Nanos) -> Result<Fate, DropReason> {
        let Whose { id, .. } = self.who(packet, now)?;
        let leg = self.tables.leg_mut(id.leg).ok_or(DropReason::UnknownRemote)?;
        let transport = &mut leg.transports[usize::from(id.index)];
        transport.count_in(usize::from(packet.len));
        let first = transport.hear(packet.remote, now);
        let tapped = leg.tapped;
        let mut streams = (0u8..).zip(&mut leg.streams);
        let stream = streams.find(|(_, stream)| stream.transport == id.index);
        let state = stream.map(|(index, stream)| {
            stream.receive_raw(usize::from(packet.len));
            (index, stream.paused, stream.is_piped())
        });
        if first {
            self.mark_news(id.leg);
        }
        if tapped {
            self.tap(id, packet);
        }
        match state.ok_or(DropReason::StreamUnknown)? {
            (_, true, _) => Err(DropReason::StreamPaused),
            (_, _, false) => Err(DropReason::NoSink),
            (index, ..) => self.pour(StreamId { leg: id.leg, index }, packet, None),
        }
    }

    /// RTCP of a leg with pipes, decrypted in `packet`.
    pub(crate) fn pour_reports(
        &mut self,
        id: TransportId,
        packet: &Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        let bytes = packet.payload(&self.frames);
        rtcp::check_first(bytes)?;
        let leg = self.tables.leg_mut(id.leg).ok_or(DropReason::UnknownRemote)?;
        if let Ok(compound) = Compound::parse(bytes) {
            let streams = leg.streams.iter_mut().filter(|s| s.rtcp_transport == id.index);
            streams.for_each(|stream| stream.note_reports(&compound, now));
        }
        let streams = leg.streams.iter().filter(|stream| stream.rtcp_transport == id.index);
        let targets = targets_of(streams.map(Box::as_ref));
        let (last, earlier) = targets.split_last().ok_or(DropReason::RtcpNoTarget)?;
        for to in earlier {
            let seal =
                |worker: &mut Self, frame: &Frame, extent| worker.seal_reports(*to, frame, extent);
            if let Err(reason) = self.send_copy(packet, seal) {
                self.drop_for(reason);
            }
        }
        self.seal_reports(*last, &packet.frame, extent(packet)).map(Fate::Send)
    }

    /// Makes a packet what leaves of it, and protects it.
    fn seal_media(
        &mut self,
        to: TransportId,
        flow: Outflow,
        header: Option<&RtpHeader>,
        frame: &Frame,
        (start, len): Extent,
    ) -> Result<Outgoing, DropReason> {
        let transport = self.tables.transport_mut(to).ok_or(DropReason::SinkGone)?;
        let bytes = &mut self.frames.bytes_mut(frame)[start..];
        let (remote, len) = match header {
            Some(header) => {
                let len = flow.write(bytes, len, header);
                transport.protect_rtp(bytes, len)?
            }
            None => (transport.pass(len)?, len),
        };
        let (socket, traffic_class) = (transport.socket, transport.traffic_class);
        Ok(Outgoing { socket, remote, start, len, traffic_class })
    }

    /// Protects the RTCP that lies in a frame.
    pub(crate) fn seal_reports(
        &mut self,
        to: TransportId,
        frame: &Frame,
        (start, len): Extent,
    ) -> Result<Outgoing, DropReason> {
        let transport = self.tables.transport_mut(to).ok_or(DropReason::SinkGone)?;
        let bytes = &mut self.frames.bytes_mut(frame)[start..];
        let (remote, len) = transport.protect_rtcp(bytes, len)?;
        let (socket, traffic_class) = (transport.socket, transport.traffic_class);
        Ok(Outgoing { socket, remote, start, len, traffic_class })
    }

    fn send_copy(
        &mut self,
        packet: &Packet,
        seal: impl FnOnce(&mut Self, &Frame, Extent) -> Result<Outgoing, DropReason>,
    ) -> Result<(), DropReason> {
        let (start, len) = extent(packet);
        let copy = self.copy(packet, start, len)?;
        let sealed = seal(self, &copy.frame, extent(&copy));
        self.send_sealed(copy.frame, sealed, packet.received);
        Ok(())
    }

    /// Queues the packet in a frame of its own, or counts why not.
    pub(crate) fn send_sealed(
        &mut self,
        frame: Frame,
        sealed: Result<Outgoing, DropReason>,
        received: Nanos,
    ) {
        match sealed {
            Ok(outgoing) => self.send(outgoing.packet(frame, received), outgoing),
            Err(reason) => {
                self.drop_for(reason);
                self.frames.give(frame);
            }
        }
    }
}

/// Where a packet lies in its frame.
fn extent(packet: &Packet) -> Extent {
    (usize::from(packet.start), usize::from(packet.len))
}

/// Where the RTCP of streams of one leg goes.
pub(crate) fn targets_of<'s>(streams: impl Iterator<Item = &'s Stream>) -> Targets {
    let mut targets = Targets::new();
    for pipe in streams.flat_map(|stream| stream.pipes()) {
        if !targets.contains(&pipe.reports) {
            targets.push(pipe.reports);
        }
    }
    targets
}
