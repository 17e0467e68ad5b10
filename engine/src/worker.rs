//! One pinned thread owning a core's sockets and legs.
//!
//! `run` is the loop: commands, one kernel entry, walk, hops, timers, news. `walk` is one
//! packet's way and fits one screen; what it calls is in this file too, in the order of the road:
//! demux → who → unprotect → route → protect → tx.
//!
//! A packet's frame has one owner at any time: `walk` ends either by queueing it or by giving it
//! back. Everything between only borrows it and says through `Fate` which of the two it is.

#[cfg(any(test, feature = "bare"))]
pub mod bare;

use std::net::SocketAddr;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use hdrhistogram::Histogram;

use crate::asked::ChecksAsked;
use crate::command::{
    Command, Event, LegId, Punt, PuntKind, SinkId, SocketId, StreamId, Ticket, TransportId,
    WorkerId,
};
use crate::config::{
    EARLY_DTLS_MAX, EARLY_DTLS_PER_TUPLE, HEAD_ROOM, PUNTS_PER_SECOND, RX_BATCH,
    SOCKETS_PER_WORKER, TX_BATCH,
};
use crate::demux::{self, Class};
use crate::doors::Doors;
use crate::error::DropReason;
use crate::gate::{Gate, Throttle, method};
use crate::hop::{Hop, HopKind, Hops};
use crate::layers::LayerTag;
use crate::leg::Leg;
use crate::packet::{Nanos, Packet};
use crate::relay::Allocations;
use crate::repeats::Repeats;
use crate::ring::{Receiver, Sender};
use crate::route::{Passage, Passing};
use crate::rtp::RtpHeader;
use crate::stats::{WorkerCounters, WorkerReading};
use crate::stranger::Whose;
use crate::stun;
use crate::sys::frames::{Frame, FramePool};
use crate::sys::wake::Wake;
use crate::sys::{Backend, IoCounters, cpu};
use crate::tables::{Role, Tables};
use crate::tap::Tapped;
use crate::transport::Transport;

/// Time between two sweeps over a share of the legs.
pub(crate) const SWEEP_INTERVAL: Nanos = Nanos::from_millis(10);
/// Sweeps until every leg was visited once: timers of a leg are a second coarse.
pub(crate) const SWEEPS_PER_ROUND: usize = 100;
/// One turn in so many submits apart from waiting, so that latency ends at a clock read right
/// after the submit; in the others one kernel entry does both.
const LATENCY_SAMPLE: u64 = 4;
/// How long a worker waits at most: its timers need no more.
const WAIT_MAX: Duration = Duration::from_millis(SWEEP_INTERVAL.0 / 1_000_000);
/// The traffic class of what belongs to no transport.
pub(crate) const BEST_EFFORT: u8 = 0;
/// Scratch for a datagram that the worker itself writes.
const SCRATCH: usize = 1500;

/// What becomes of a packet's frame.
pub(crate) enum Fate {
    /// It goes back to the pool.
    Done,
    /// It is sent from there, changed or not.
    Send(Outgoing),
    /// It waits for its 5-tuple's first authenticated check.
    Keep,
}

/// Where in its frame a packet to be sent lies, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) socket: SocketId,
    pub(crate) remote: SocketAddr,
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) traffic_class: u8,
}

impl Outgoing {
    /// The packet in its frame, `received` being when its cause was.
    pub(crate) fn packet(self, frame: Frame, received: Nanos) -> Packet {
        let Self { socket, remote, start, len, traffic_class } = self;
        let (start, len) = (plain_len(start), plain_len(len));
        Packet { frame, start, len, socket, remote, traffic_class, received }
    }
}

/// Where in its frame a plain packet lies, and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Media {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) passing: Passing,
    /// What it is among the layers of its stream, if there are any.
    pub(crate) layer: Option<LayerTag>,
}

/// What a leg's own state says of a packet.
struct Heard {
    stream: u8,
    passing: Passing,
    kept: bool,
    layer: Option<LayerTag>,
    paused: bool,
    piped: bool,
    sinks: usize,
    wants_key_frame: bool,
}

/// A DTLS datagram whose 5-tuple has not passed a check yet.
pub(crate) struct Early {
    pub(crate) packet: Packet,
    pub(crate) since: Nanos,
}

/// Whether a worker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It does.
    Serving,
    /// It ends what it has begun; then the ticket is answered.
    Ending(Ticket),
    /// It only takes commands ([`crate::export`]).
    Quiet,
}

/// A worker without its I/O backend: walks packets, applies commands, keeps timers. Tests drive it
/// without a kernel.
pub struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) frames: FramePool,
    pub(crate) tables: Tables,
    pub(crate) tx: ArrayVec<Packet, TX_BATCH>,
    pub(crate) tx_causes: ArrayVec<(Nanos, u16), TX_BATCH>,
    pub(crate) early: ArrayVec<Early, EARLY_DTLS_MAX>,
    pub(crate) checks_asked: ChecksAsked,
    pub(crate) doors: Arc<Doors>,
    /// Sockets of ports that all workers have.
    pub(crate) shared: Range<u16>,
    pub(crate) allocations: Allocations,
    pub(crate) gate: Option<Box<Gate>>,
    pub(crate) throttle: Throttle,
    /// Indications written so far.
    pub(crate) drawn: u64,
    pub(crate) hops: Hops,
    pub(crate) repeats: Repeats,
    pub(crate) commands: Receiver<(Ticket, Command)>,
    pub(crate) events: Sender<Event>,
    pub(crate) punts: Sender<Punt>,
    pub(crate) taps: Sender<Tapped>,
    pub(crate) control: Wake,
    pub(crate) control_has_news: bool,
    pub(crate) punt_budget: u32,
    pub(crate) counters: WorkerCounters,
    pub(crate) latency: Histogram<u64>,
    pub(crate) now: Nanos,
    pub(crate) swept: Nanos,
    pub(crate) sweep_at: usize,
    pub(crate) news: Vec<u16>,
    pub(crate) closing: Vec<Option<Ticket>>,
    pub(crate) duty: Duty,
    /// It never sleeps.
    pub(crate) busy: bool,
    pub(crate) blame: Option<u16>,
    pub(crate) scratch: [u8; SCRATCH],
}

/// Runs `worker` on `backend` until it is told to stop.
pub(crate) fn run(mut worker: Worker, mut backend: Backend, wake: &Wake) {
    let mut rx = Box::new(ArrayVec::new());
    worker.now = cpu::clock_monotonic();
    while worker.turn(&mut backend, wake, &mut rx).is_continue() {}
    // Goodbyes that were queued just before the stop still go out.
    worker.flush(&mut backend);
    drop(backend.shut_down(&mut worker.frames));
}

/// A worker's ends of its rings, and what it shares with the others.
pub(crate) struct Rings {
    pub(crate) commands: Receiver<(Ticket, Command)>,
    pub(crate) events: Sender<Event>,
    pub(crate) punts: Sender<Punt>,
    pub(crate) taps: Sender<Tapped>,
    pub(crate) control: Wake,
    pub(crate) doors: Arc<Doors>,
}

impl Worker {
    /// A worker with room for `legs` legs.
    pub(crate) fn new(id: WorkerId, frames: FramePool, legs: usize, rings: Rings) -> Self {
        let Rings { commands, events, punts, taps, control, doors } = rings;
        Self {
            id,
            frames,
            tables: Tables::new(id, legs),
            tx: ArrayVec::new(),
            tx_causes: ArrayVec::new(),
            early: ArrayVec::new(),
            checks_asked: ChecksAsked::new(),
            doors,
            shared: 0..0,
            allocations: Allocations::new(id),
            gate: None,
            throttle: Throttle::new(),
            drawn: 0,
            hops: Hops::default(),
            repeats: Repeats::new(),
            commands,
            events,
            punts,
            taps,
            control,
            control_has_news: false,
            punt_budget: PUNTS_PER_SECOND,
            counters: WorkerCounters::default(),
            latency: WorkerReading::new().latency,
            now: Nanos(0),
            swept: Nanos(0),
            sweep_at: 0,
            news: Vec::with_capacity(legs),
            closing: vec![None; SOCKETS_PER_WORKER],
            duty: Duty::Serving,
            busy: false,
            blame: None,
            scratch: [0; SCRATCH],
        }
    }

    fn turn(
        &mut self,
        backend: &mut Backend,
        wake: &Wake,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
    ) -> ControlFlow<()> {
        self.apply_commands(backend)?;
        self.submit(backend);
        let sleep = wake.prepare();
        let wait = if self.busy || self.has_input() { None } else { Some(WAIT_MAX) };
        let mut io = IoCounters::default();
        let outcome = backend.turn(&mut self.frames, rx, wait, &mut io);
        drop(sleep);
        let now = cpu::clock_monotonic();
        self.now = now;
        self.count_io(&io, outcome.is_err());
        self.counters.turn_sizes.count(rx.len());
        self.tables.warm(rx);
        for packet in rx.drain(..) {
            self.walk(packet, now);
        }
        self.take_hops();
        self.settle_quota(now);
        if self.duty == Duty::Serving {
            self.sweep(now);
        }
        self.announce();
        ControlFlow::Continue(())
    }

    /// One packet's way.
    pub(crate) fn walk(&mut self, mut packet: Packet, now: Nanos) {
        self.blame = None;
        self.counters.packets_in += 1;
        self.counters.bytes_in += u64::from(packet.len);
        match self.treat(&mut packet, now) {
            Ok(Fate::Send(outgoing)) => self.send(packet, outgoing),
            Ok(Fate::Done) => self.frames.give(packet.frame),
            Ok(Fate::Keep) => self.early.push(Early { packet, since: now }),
            Err(reason) => {
                self.drop_for(reason);
                self.frames.give(packet.frame);
            }
        }
    }

    /// What becomes of a packet, by what it is.
    pub(crate) fn treat(&mut self, packet: &mut Packet, now: Nanos) -> Result<Fate, DropReason> {
        match self.tables.role(packet.socket) {
            Role::Raw => return self.raw(packet, now),
            Role::Relay { slot, relayed } => return self.relay_in((slot, relayed), packet, now),
            Role::Media => {}
        }
        if let Some(to) = self.owner_elsewhere(packet) {
            let (socket, remote) = (packet.socket, packet.remote);
            self.hop(HopKind::Arrival { to, socket, remote }, packet)?;
            return Ok(Fate::Done);
        }
        match demux::classify(packet.payload(&self.frames))? {
            Class::Rtp => self.media(packet, now),
            Class::Rtcp => self.reports(packet, now),
            Class::Stun => self.check(packet, now),
            Class::Dtls => self.handshake(packet),
            Class::Channel => self.channel_data(packet, now),
        }
    }

    /// RTP: who sent it, is it authentic, which stream is it, where does it go.
    fn media(&mut self, packet: &mut Packet, now: Nanos) -> Result<Fate, DropReason> {
        let header = RtpHeader::parse(packet.payload(&self.frames))?;
        let Whose { id, roams } = self.who(packet, now)?;
        let leg = self.tables.leg_mut(id.leg).ok_or(DropReason::UnknownRemote)?;
        let transport = &mut leg.transports[usize::from(id.index)];
        let arrived = usize::from(packet.len);
        if !roams {
            transport.count_in(arrived);
        }
        let opened = transport.unprotect_rtp(&header, packet.payload_mut(&mut self.frames));
        packet.len = plain_len(opened.map_err(|reason| transport.refuse(roams, reason))?);
        let first = transport.hear(packet.remote, now);
        let plain = packet.payload(&self.frames);
        let transport_wide = note_arrival(transport, plain, &header, now);
        let (heard, news) = hear(leg, id.index, plain, &header, now);
        let tapped = leg.tapped;
        if first || news {
            self.mark_news(id.leg);
        }
        if tapped {
            self.tap(id, packet);
        }
        if roams {
            self.follow(id, packet.remote, arrived);
        }
        if transport_wide {
            self.answer_transport_cc(id, header.ssrc, now);
        }
        let heard = heard?;
        let stream = StreamId { leg: id.leg, index: heard.stream };
        if heard.paused {
            return Err(DropReason::StreamPaused);
        }
        if heard.piped {
            return self.pour(stream, packet, Some(&header));
        }
        if heard.wants_key_frame {
            self.ask_key_frame(stream, now);
        }
        let kept = if heard.kept { self.keep(stream, packet, &header) } else { Some(header) };
        let Some(header) = kept else { return Ok(Fate::Done) };
        let (start, len) = (usize::from(packet.start), usize::from(packet.len));
        let media = Media { start, len, passing: heard.passing, layer: heard.layer };
        self.fan_out(stream, heard.sinks, packet, media, &header, now)
    }

    /// Each sink that takes the packet gets a copy, but the last one the frame itself.
    fn fan_out(
        &mut self,
        stream: StreamId,
        sinks: usize,
        packet: &Packet,
        media: Media,
        header: &RtpHeader,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        let mut taker = None;
        for place in 0..sinks {
            let sink = self.tables.sink_of(stream, place).ok_or(DropReason::NoSink)?;
            let outcome = if sink.leg.worker != self.id {
                let Media { passing, layer, .. } = media;
                self.hop(HopKind::Media { sink, passing, layer }, packet)
            } else if !self.takes(sink, media, header, now) {
                Ok(())
            } else if let Some(earlier) = taker.replace(sink) {
                self.forward_copy(earlier, packet, media, header, now)
            } else {
                Ok(())
            };
            if let Err(reason) = outcome {
                self.drop_for(reason);
            }
        }
        match taker {
            Some(last) => self.forward(last, &packet.frame, media, header, now).map(Fate::Send),
            None if sinks == 0 => Err(DropReason::NoSink),
            None => Ok(Fate::Done),
        }
    }

    /// Whether a sink of this worker takes the packet: one of the layer that it has, or of any if
    /// there are none. A sink that is gone takes it, so that the drop is counted.
    pub(crate) fn takes(
        &mut self,
        id: SinkId,
        media: Media,
        header: &RtpHeader,
        now: Nanos,
    ) -> bool {
        let Some(leg) = self.tables.leg_mut(id.leg) else { return true };
        let Some(sink) = leg.sinks.get_mut(usize::from(id.index)) else { return true };
        let taken = sink.takes(media.passing, media.layer, header, now);
        let due = if taken { None } else { sink.selection.key_frame_due(now) };
        let source = sink.source.as_ref().map(|source| source.stream);
        if sink.selection.may_tell(now) {
            self.mark_news(id.leg);
        }
        if let Some((layer, stream)) = due.zip(source) {
            self.want_key_frame(stream, Some(layer));
        }
        taken
    }

    fn forward_copy(
        &mut self,
        sink: SinkId,
        packet: &Packet,
        media: Media,
        header: &RtpHeader,
        now: Nanos,
    ) -> Result<(), DropReason> {
        let copy = self.copy(packet, media.start, media.len)?;
        let placed = Media { start: usize::from(copy.start), ..media };
        match self.forward(sink, &copy.frame, placed, header, now) {
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

    /// Rewrites a plain packet for `sink` and protects it, in its frame.
    pub(crate) fn forward(
        &mut self,
        sink: SinkId,
        frame: &Frame,
        media: Media,
        header: &RtpHeader,
        now: Nanos,
    ) -> Result<Outgoing, DropReason> {
        let leg = self.tables.leg_mut(sink.leg).ok_or(DropReason::SinkGone)?;
        let sink = leg.sinks.get_mut(usize::from(sink.index)).ok_or(DropReason::SinkGone)?;
        let transport = &mut leg.transports[usize::from(sink.transport)];
        if !transport.is_ready() {
            return Err(DropReason::SinkNotReady);
        }
        let bytes = self.frames.bytes_mut(frame);
        let Media { start, len, passing, .. } = media;
        if passing == Passing::Again && !sink.may_repeat() {
            return Err(DropReason::RepeatRate);
        }
        let transport_sequence = transport.bandwidth.as_ref().map(|b| b.next_number());
        let passage = Passage { passing, transport_sequence, now };
        let (start, len) = sink.route.forward(bytes, start, len, header, passage)?;
        sink.count(media.len - usize::from(header.len), passing);
        let (remote, len) = transport.protect_rtp(&mut bytes[start..], len)?;
        sink.rate.count(len, now);
        if let Some(bandwidth) = &mut transport.bandwidth {
            bandwidth.sent(len, sink.route.is_numbered_here(), now);
        }
        let (socket, traffic_class) = (transport.socket, transport.traffic_class);
        Ok(Outgoing { socket, remote, start, len, traffic_class })
    }

    /// STUN: a check on an installed pair is answered here, one for a known ufrag and the answer to
    /// a check of control's go up, a plain Binding request is answered, everything else is dropped.
    fn check(&mut self, packet: &mut Packet, now: Nanos) -> Result<Fate, DropReason> {
        let message = stun::Message::parse(packet.payload(&self.frames))?;
        match (message.class, message.method) {
            (stun::Class::Indication, method::SEND) => return self.send_indication(packet, now),
            (stun::Class::Request, asked) if method::is_request(asked) => {
                return self.turn_request(packet, now);
            }
            _ => {}
        }
        if matches!(message.class, stun::Class::Success | stun::Class::Error) {
            let path = (packet.socket, packet.remote);
            if let Some(id) = self.checks_asked.take(message.transaction, path, now) {
                return self.punt(PuntKind::Stun, Some(id), packet);
            }
        }
        let by_pair = self.tables.transport_at(packet.socket, packet.remote);
        let by_name = match message.username {
            Some(name) => {
                let named = self.tables.transport_named(name, packet.socket, packet.remote);
                Some(named.ok_or(DropReason::StunUnknownUfrag)?)
            }
            None => None,
        };
        match (by_pair, by_name) {
            (Some(pair), Some(named)) if pair == named => self.consent(pair, packet, now),
            (_, Some(named)) => {
                self.steer_here(packet.socket, packet.remote);
                self.punt(PuntKind::Stun, Some(named), packet)
            }
            (Some(pair), None) => self.consent(pair, packet, now),
            (None, None) => {
                let plain = message.class == stun::Class::Request
                    && message.method == stun::BINDING
                    && !message.has_integrity();
                let (true, source) = (plain, packet.remote) else {
                    return Err(DropReason::StunUnsolicited);
                };
                if !self.throttle.may_answer(source, now) {
                    return Err(DropReason::StunRate);
                }
                let len = stun::answer_binding(&mut self.scratch, &message, source);
                let len = len.ok_or(DropReason::StunUnsolicited)?;
                Ok(Fate::Send(self.reply(packet, len, BEST_EFFORT)))
            }
        }
    }

    fn consent(
        &mut self,
        id: TransportId,
        packet: &Packet,
        now: Nanos,
    ) -> Result<Fate, DropReason> {
        self.blame = Some(id.leg.slot);
        let raw = packet.payload(&self.frames);
        let message = stun::Message::parse(raw)?;
        let leg = self.tables.leg_mut(id.leg).ok_or(DropReason::UnknownRemote)?;
        let transport = &mut leg.transports[usize::from(id.index)];
        let current = transport.generation();
        let named = message.username;
        let consent = transport.named(named).ok_or(DropReason::StunUnsolicited)?;
        if named.is_some() && !consent.has(packet.remote) {
            // A pair of the other generation, which is not one of this yet.
            return self.punt(PuntKind::Stun, Some(id), packet);
        }
        let renews = consent.generation() != current;
        let handled = consent.handle(&message, packet.remote, now, &mut self.scratch)?;
        let traffic_class = transport.traffic_class;
        transport.counters.checks += u64::from(handled.reply.is_some() && handled.fault.is_none());
        transport.news.role_conflict |= handled.role_conflict;
        if let Some(remote) = handled.nominated {
            transport.turn_to(remote);
            transport.news.nominated = true;
        }
        // At once, since what a nomination lets the worker write needs the scratch too.
        let reply = handled.reply.map(|len| self.reply(packet, len, traffic_class));
        if handled.role_conflict || handled.nominated.is_some() {
            self.mark_news(id.leg);
        }
        if handled.nominated.is_some() && renews {
            self.promote(id);
        }
        if handled.nominated.is_some() {
            self.refresh_sinks(id);
        }
        if let Some(fault) = handled.fault {
            self.drop_for(fault);
        }
        Ok(reply.map_or(Fate::Done, Fate::Send))
    }

    /// Puts `scratch[..len]` into the packet's own frame, addressed back.
    pub(crate) fn reply(&mut self, packet: &Packet, len: usize, traffic_class: u8) -> Outgoing {
        let bytes = self.frames.bytes_mut(&packet.frame);
        bytes[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(&self.scratch[..len]);
        let Packet { socket, remote, .. } = *packet;
        Outgoing { socket, remote, start: HEAD_ROOM, len, traffic_class }
    }

    /// DTLS: up from an installed pair and where it may be the first of a client without ICE, kept for a
    /// moment from any other.
    fn handshake(&mut self, packet: &Packet) -> Result<Fate, DropReason> {
        if let Some(id) = self.tables.transport_at(packet.socket, packet.remote) {
            return self.punt(PuntKind::Dtls, Some(id), packet);
        }
        if let Some(fate) = self.shake(packet) {
            return fate;
        }
        let same = |early: &&Early| {
            (early.packet.socket, early.packet.remote) == (packet.socket, packet.remote)
        };
        let kept = self.early.iter().filter(same).count();
        if kept >= EARLY_DTLS_PER_TUPLE || self.early.is_full() || self.tables.ufrags() == 0 {
            return Err(DropReason::DtlsUnknownPair);
        }
        Ok(Fate::Keep)
    }

    pub(crate) fn punt(
        &mut self,
        kind: PuntKind,
        transport: Option<TransportId>,
        packet: &Packet,
    ) -> Result<Fate, DropReason> {
        self.blame = transport.map(|transport| transport.leg.slot);
        self.punt_budget = self.punt_budget.checked_sub(1).ok_or(DropReason::PuntRate)?;
        let bytes = packet.payload(&self.frames).iter().copied().collect();
        // Control speaks of ports, and `way_to` knows how each is reached.
        let (socket, remote) = (packet.socket.base(), packet.remote);
        let punt = Punt { kind, transport, socket, remote, bytes };
        self.punts.push(punt).map_err(|_| DropReason::PuntRingFull)?;
        self.counters.punts += 1;
        self.control_has_news = true;
        Ok(Fate::Done)
    }

    /// The transport of a media packet by its 5-tuple, or by its socket. Nobody is to blame for what may
    /// be a stranger's.
    pub(crate) fn who(&mut self, packet: &Packet, now: Nanos) -> Result<Whose, DropReason> {
        let whose = match self.tables.transport_at(packet.socket, packet.remote) {
            Some(id) => Whose { id, roams: false },
            None => self.meet(packet, now)?,
        };
        self.blame = (!whose.roams).then_some(whose.id.leg.slot);
        Ok(whose)
    }

    /// A copy, in a frame of its own, of what lies at `start` in the packet's frame.
    pub(crate) fn copy(
        &mut self,
        packet: &Packet,
        start: usize,
        len: usize,
    ) -> Result<Packet, DropReason> {
        let frame = self.frames.take().ok_or(DropReason::FramesExhausted)?;
        let (from, to) = self.frames.two(&packet.frame, &frame);
        to[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(&from[start..start + len]);
        Ok(Packet {
            frame,
            start: plain_len(HEAD_ROOM),
            len: plain_len(len),
            socket: packet.socket,
            remote: packet.remote,
            traffic_class: BEST_EFFORT,
            received: packet.received,
        })
    }

    /// Queues a packet for this turn's submit; `blame` names the leg whose latency it counts for.
    pub(crate) fn send(&mut self, mut packet: Packet, outgoing: Outgoing) {
        if !outgoing.socket.is_kernel() {
            return self.send_inside(packet, outgoing);
        }
        if self.tx.is_full() {
            self.drop_for(DropReason::TxBatch);
            self.frames.give(packet.frame);
            return;
        }
        packet.start = plain_len(outgoing.start);
        packet.len = plain_len(outgoing.len);
        packet.socket = outgoing.socket;
        packet.remote = outgoing.remote;
        packet.traffic_class = outgoing.traffic_class;
        self.tx_causes.push((packet.received, self.blame.unwrap_or(u16::MAX)));
        self.tx.push(packet);
    }

    /// Writes `scratch[..len]` into a fresh frame and queues it.
    pub(crate) fn send_scratch(
        &mut self,
        len: usize,
        socket: SocketId,
        remote: SocketAddr,
        traffic_class: u8,
    ) {
        let Some(frame) = self.frames.take() else {
            self.drop_for(DropReason::FramesExhausted);
            return;
        };
        let bytes = self.frames.bytes_mut(&frame);
        bytes[HEAD_ROOM..HEAD_ROOM + len].copy_from_slice(&self.scratch[..len]);
        let outgoing = Outgoing { socket, remote, start: HEAD_ROOM, len, traffic_class };
        self.send(outgoing.packet(frame, Nanos(0)), outgoing);
    }

    pub(crate) fn drop_for(&mut self, reason: DropReason) {
        self.counters.drops.count(reason);
        if let Some(leg) = self.blame.and_then(|slot| self.tables.leg_at(slot)) {
            leg.drops.count(reason);
        }
    }

    /// Whether there is something to do at once. Commands that wait for room for their answers are
    /// looked at again when the wait is over.
    fn has_input(&self) -> bool {
        (!self.commands.is_empty() && self.events.room() > 0) || self.hops.has_input()
    }

    /// Hands everything to the kernel at once.
    pub(crate) fn flush(&mut self, backend: &mut Backend) {
        self.submit(backend);
        let mut io = IoCounters::default();
        backend.submit(&mut self.frames, &mut io);
        self.count_io(&io, false);
    }

    /// Hands this turn's packets to the kernel. Most turns leave that to the kernel entry that also
    /// waits; the sampled ones submit at once and read the clock behind it.
    fn submit(&mut self, backend: &mut Backend) {
        for packet in self.tx.drain(..) {
            backend.queue(packet);
        }
        self.counters.turns += 1;
        let sampled = self.counters.turns.is_multiple_of(LATENCY_SAMPLE);
        if sampled && !self.tx_causes.is_empty() {
            let mut io = IoCounters::default();
            backend.submit(&mut self.frames, &mut io);
            self.count_io(&io, false);
            self.measure(cpu::clock_realtime());
        }
        self.tx_causes.clear();
    }

    fn measure(&mut self, sent: Nanos) {
        for &(received, slot) in &self.tx_causes {
            if received == Nanos(0) {
                continue;
            }
            let ns = sent.since(received);
            self.latency.saturating_record(ns);
            if let Some(leg) = self.tables.leg_at(slot) {
                leg.latency.record(ns);
            }
        }
    }

    fn count_io(&mut self, io: &IoCounters, failed: bool) {
        let counters = &mut self.counters;
        counters.packets_out += io.packets_out.saturating_sub(io.refused + io.too_long);
        counters.bytes_out += io.bytes_out;
        counters.packets_joined += io.joined;
        counters.system_calls += io.calls;
        counters.rearms += io.rearms;
        counters.drops.add(DropReason::TxTooLong, io.too_long);
        counters.drops.add(DropReason::TxRefused, io.refused + u64::from(failed));
        counters.drops.add(DropReason::Truncated, io.truncated);
        counters.starved += io.no_frames;
        counters.drops.add(DropReason::SocketGone, io.closed_socket);
    }

    /// Hands a plain packet to the worker that owns its sink.
    pub(crate) fn hop(&mut self, kind: HopKind, packet: &Packet) -> Result<(), DropReason> {
        let hop = Hop::new(kind, packet.received, packet.payload(&self.frames));
        self.hops.push(hop)?;
        self.counters.hops_out += 1;
        Ok(())
    }

    pub(crate) fn mark_news(&mut self, id: LegId) {
        if let Some(leg) = self.tables.leg_mut(id)
            && !std::mem::replace(&mut leg.has_news, true)
        {
            self.news.push(id.slot);
        }
    }
}

/// A length or offset inside a frame as the 16 bits it fits.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn plain_len(len: usize) -> u16 {
    debug_assert!(len <= crate::config::FRAME_SIZE);
    len as u16
}

/// What stream an accepted packet is of and what that says of it, and whether control is to be told
/// something.
fn hear(
    leg: &mut Leg,
    transport: u8,
    plain: &[u8],
    header: &RtpHeader,
    now: Nanos,
) -> (Result<Heard, DropReason>, bool) {
    let (index, part) = match leg.stream_of(transport, plain, header) {
        Ok(found) => found,
        Err(reason) => return (Err(reason), false),
    };
    let stream = &mut leg.streams[usize::from(index)];
    let forgotten = leg.transports[usize::from(transport)].answerer.is_some();
    let kept = stream.is_repeated_here(forgotten);
    let layer = stream.receive(header, plain, part, now);
    let news = stream.listen(header, plain, now);
    let heard = Heard {
        stream: index,
        // What is kept passes as what it repeats.
        passing: if part.retransmits && !kept { Passing::Retransmission } else { Passing::Media },
        kept,
        layer,
        paused: stream.paused,
        piped: stream.is_piped(),
        sinks: stream.sinks.len(),
        wants_key_frame: stream.wants_key_frame(),
    };
    (Ok(heard), news)
}

/// Notes the transport-wide sequence number of an accepted packet; true if an answer is due.
fn note_arrival(transport: &mut Transport, packet: &[u8], header: &RtpHeader, now: Nanos) -> bool {
    let Some(answerer) = &mut transport.answerer else { return false };
    if let Some(&[high, low]) = header.extension(packet, answerer.extension) {
        answerer.arrivals.record(u16::from_be_bytes([high, low]), now);
    }
    answerer.arrivals.due(now)
}

#[cfg(test)]
mod tests;
