//! What passes a worker as it came: media and RTCP of streams with pipes.
//!
//! No number is rewritten, so nothing is kept of what passed and nothing has to be mapped back. RTCP
//! speaks of both directions at once, so that of a leg goes wherever its media goes, held streams and
//! blocked ones included (RFC 3264 §6.1: a direction is none of RTCP's).

use arrayvec::ArrayVec;

use crate::command::{StreamId, TransportId};
use crate::config::{PIPES_PER_STREAM, STREAMS_PER_LEG};
use crate::error::DropReason;
use crate::leg::Leg;
use crate::packet::{Nanos, Packet};
use crate::pipe::{Content, Outflow, Pipe};
use crate::rtcp::{self, Compound};
use crate::rtp::RtpHeader;
use crate::sys::frames::Frame;
use crate::worker::{Fate, Outgoing, Worker};

/// Where the RTCP of one transport goes, each place once.
type Targets = ArrayVec<TransportId, { PIPES_PER_STREAM * STREAMS_PER_LEG }>;

impl Worker {
    /// Each pipe whose filter lets the packet pass gets a copy, but the last one the frame itself: it is
    /// silenced and protected where it lies.
    pub(crate) fn pour(
        &mut self,
        stream: StreamId,
        packet: &Packet,
        header: &RtpHeader,
    ) -> Result<Fate, DropReason> {
        let mut taker = None;
        let mut place = 0;
        while let Some((pipe, content)) = self.pipe_of(stream, place, header.payload_type) {
            place += 1;
            let earlier = pipe.filter.judge(content).map(|flow| taker.replace((pipe.media, flow)));
            let outcome = earlier.and_then(|earlier| match earlier {
                Some((to, flow)) => {
                    self.send_copy(packet, |worker, copy| worker.seal_media(to, flow, copy, header))
                }
                None => Ok(()),
            });
            if let Err(reason) = outcome {
                self.drop_for(reason);
            }
        }
        match taker {
            Some((to, flow)) => self.seal_media(to, flow, packet, header).map(Fate::Send),
            None => Ok(Fate::Done),
        }
    }

    /// A pipe of a stream, and what a packet of this payload type carries.
    fn pipe_of(
        &mut self,
        stream: StreamId,
        place: usize,
        payload_type: u8,
    ) -> Option<(Pipe, Content)> {
        let stream = self.stream(stream)?;
        Some((*stream.pipes().get(place)?, stream.content_of(payload_type)))
    }

    fn seal_media(
        &mut self,
        to: TransportId,
        flow: Outflow,
        packet: &Packet,
        header: &RtpHeader,
    ) -> Result<Outgoing, DropReason> {
        if let Outflow::Filled(byte) = flow {
            fill(packet.payload_mut(&mut self.frames), header, byte);
        }
        let (start, len) = (usize::from(packet.start), usize::from(packet.len));
        let transport = self.tables.transport_mut(to).ok_or(DropReason::SinkGone)?;
        let bytes = &mut self.frames.bytes_mut(&packet.frame)[start..];
        let (remote, len) = transport.protect_rtp(bytes, len)?;
        let (socket, traffic_class) = (transport.socket, transport.traffic_class);
        Ok(Outgoing { socket, remote, start, len, traffic_class })
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
        let targets = targets_of(leg, id.index);
        let (last, earlier) = targets.split_last().ok_or(DropReason::RtcpNoTarget)?;
        let (start, len) = (usize::from(packet.start), usize::from(packet.len));
        for to in earlier {
            let seal = |worker: &mut Self, copy: &Packet| {
                worker.seal_reports(*to, &copy.frame, usize::from(copy.start), len)
            };
            if let Err(reason) = self.send_copy(packet, seal) {
                self.drop_for(reason);
            }
        }
        self.seal_reports(*last, &packet.frame, start, len).map(Fate::Send)
    }

    /// Protects the RTCP that lies in a frame.
    pub(crate) fn seal_reports(
        &mut self,
        to: TransportId,
        frame: &Frame,
        start: usize,
        len: usize,
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
        seal: impl FnOnce(&mut Self, &Packet) -> Result<Outgoing, DropReason>,
    ) -> Result<(), DropReason> {
        let copy = self.copy(packet, usize::from(packet.start), usize::from(packet.len))?;
        match seal(self, &copy) {
            Ok(outgoing) => {
                self.send(copy, outgoing);
                Ok(())
            }
            Err(reason) => {
                self.frames.give(copy.frame);
                Err(reason)
            }
        }
    }
}

/// Where RTCP goes that came on a transport of a leg.
fn targets_of(leg: &Leg, rtcp_transport: u8) -> Targets {
    let mut targets = Targets::new();
    let streams = leg.streams.iter().filter(|stream| stream.rtcp_transport == rtcp_transport);
    for pipe in streams.flat_map(|stream| stream.pipes()) {
        if !targets.contains(&pipe.reports) {
            targets.push(pipe.reports);
        }
    }
    targets
}

/// Replaces the payload, padding aside, by one byte.
fn fill(packet: &mut [u8], header: &RtpHeader, byte: u8) {
    let start = usize::from(header.len);
    let len = header.payload(packet).map_or(0, <[u8]>::len);
    packet[start..start + len].fill(byte);
}
