//! Commands: what each does to the worker's tables. A refused command changes nothing.

use std::ops::ControlFlow;

use crate::command::{
    Command, Event, LayerChoice, Refusal, Returned, SinkId, Source, StreamId, Ticket, TransportId,
};
use crate::command::{PuntKind, SocketId};
use crate::config::{COMMANDS_PER_TURN, HEAD_ROOM, PAYLOAD_MAX};
use crate::hop::HopKind;
use crate::packet::Nanos;
use crate::pipe::{Pipe, Pipes};
use crate::stats::{LegReading, WorkerReading};
use crate::stun;
use crate::sys::Backend;
use crate::worker::{BEST_EFFORT, Duty, Outgoing, Worker};

pub(crate) type Outcome = (Result<(), Refusal>, Returned);

pub(crate) const DONE: Outcome = (Ok(()), Returned::Nothing);

pub(crate) fn refuse(refusal: Refusal) -> Outcome {
    (Err(refusal), Returned::Nothing)
}

fn outcome(result: Result<(), Refusal>) -> Outcome {
    (result, Returned::Nothing)
}

impl Worker {
    /// Applies what waits, as far as answers have room. Breaks on [`Command::Stop`].
    pub(crate) fn apply_commands(&mut self, backend: &mut Backend) -> ControlFlow<()> {
        self.finish_closing(backend);
        self.finish_ending(backend);
        for _ in 0..COMMANDS_PER_TURN {
            if self.events.room() == 0 || matches!(self.duty, Duty::Ending(_)) {
                break;
            }
            let Some((ticket, command)) = self.commands.pop() else { break };
            self.counters.commands += 1;
            if matches!(command, Command::Stop) {
                self.answer(ticket, DONE);
                self.wake_control();
                return ControlFlow::Break(());
            }
            if let Some(outcome) = self.apply_io(backend, ticket, command) {
                self.answer(ticket, outcome);
            }
        }
        self.hops.wake();
        self.wake_control();
        ControlFlow::Continue(())
    }

    /// The commands that need the backend; `None` if the answer comes later.
    fn apply_io(
        &mut self,
        backend: &mut Backend,
        ticket: Ticket,
        command: Command,
    ) -> Option<Outcome> {
        match command {
            Command::AddSocket { socket, udp } => Some(match backend.add_socket(socket, udp) {
                Ok(()) => {
                    self.counters.sockets += 1;
                    DONE
                }
                Err((udp, error)) => {
                    let refusal = error.raw_os_error().map_or(Refusal::Taken, Refusal::Kernel);
                    (Err(refusal), Returned::Socket(udp))
                }
            }),
            Command::RemoveSocket { socket } => {
                let slot = self.closing.get_mut(usize::from(socket.0));
                let Some(slot) = slot.filter(|slot| slot.is_none()) else {
                    return Some(refuse(Refusal::Gone));
                };
                if !backend.remove_socket(socket) {
                    return Some(refuse(Refusal::Gone));
                }
                *slot = Some(ticket);
                None
            }
            Command::Quiesce | Command::Export(_) | Command::Resume => {
                self.apply_duty(backend, ticket, command)
            }
            command => Some(self.apply(command)),
        }
    }

    fn finish_closing(&mut self, backend: &mut Backend) {
        while self.events.room() > 0 {
            let Some((SocketId(slot), udp)) = backend.closed() else { return };
            self.counters.sockets -= 1;
            if let Some(ticket) = self.closing[usize::from(slot)].take() {
                self.answer(ticket, (Ok(()), Returned::Socket(udp)));
            }
        }
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, (outcome, returned): Outcome) {
        let answered = self.events.push(Event::Applied { ticket, outcome, returned });
        debug_assert!(answered.is_ok(), "a command is taken only when its answer has room");
        self.control_has_news = true;
    }

    /// The commands that need no kernel.
    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        self.blame = None;
        match command {
            Command::AddLeg { leg, state } => match self.tables.add(leg, state) {
                Ok(()) => {
                    self.list_news(leg);
                    DONE
                }
                Err((refusal, state)) => (Err(refusal), Returned::Leg(state)),
            },
            Command::RemoveLeg { leg } => match self.tables.remove(leg) {
                Some(mut state) => {
                    // The slot's next tenant is listed for news of its own.
                    if std::mem::take(&mut state.has_news) {
                        self.news.retain(|slot| *slot != leg.slot);
                    }
                    (Ok(()), Returned::Leg(state))
                }
                None => refuse(Refusal::Gone),
            },
            Command::SetKeys { transport, keys } => self.set_keys(transport, keys),
            Command::SetRemote { transport, remote, learning } => {
                outcome(self.signal_remote(transport, remote, learning))
            }
            Command::InstallPair { transport, socket, remote, nominated, generation } => {
                outcome(self.install_pair(transport, (socket, remote), nominated, generation))
            }
            Command::SetRemoteCredentials {
                transport,
                mut credentials,
                send_checks,
                controlling,
            } => {
                let consent = self.transport(transport).and_then(|t| t.consent.as_deref_mut());
                let result = consent.ok_or(Refusal::Gone).map(|consent| {
                    consent.set_remote(&mut credentials, send_checks, controlling);
                });
                (result, Returned::Credentials(credentials))
            }
            Command::RestartIce { transport, next } => self.restart_ice(transport, next),
            Command::CancelRestart { transport, generation } => {
                self.cancel_restart(transport, generation)
            }
            Command::SetStream { stream, state } => self.set_stream(stream, state),
            Command::SetSink { sink, state } => self.set_sink(sink, state),
            Command::AnswerTransportCc { transport, answerer } => {
                let (result, old) = match self.transport(transport) {
                    Some(transport) => {
                        (Ok(()), std::mem::replace(&mut transport.answerer, answerer))
                    }
                    None => (Err(Refusal::Gone), answerer),
                };
                (result, old.map_or(Returned::Nothing, Returned::Answerer))
            }
            Command::EstimateBandwidth { transport, estimator } => {
                let (result, old) = match self.transport(transport) {
                    Some(transport) => {
                        (Ok(()), std::mem::replace(&mut transport.bandwidth, estimator))
                    }
                    None => (Err(Refusal::Gone), estimator),
                };
                (result, old.map_or(Returned::Nothing, Returned::Bandwidth))
            }
            Command::SelectLayer { sink, layer } => outcome(self.select_layer(sink, layer)),
            Command::PauseStream { stream, paused } => {
                let result = self.stream(stream).ok_or(Refusal::Gone).map(|stream| {
                    stream.paused = paused;
                });
                if !paused {
                    self.want_key_frame(stream, None);
                }
                outcome(result)
            }
            Command::AddSink { stream, sink } => outcome(self.add_sink(stream, sink)),
            Command::RemoveSink { stream, sink } => {
                outcome(self.stream(stream).ok_or(Refusal::Gone).map(|stream| {
                    stream.sinks.retain(|held| *held != sink);
                }))
            }
            Command::SetPipes { stream, pipes } => self.set_pipes(stream, pipes),
            Command::SetSource { sink, source, map } => {
                let target = self.tables.leg_mut(sink.leg);
                let target = target.and_then(|leg| leg.sinks.get_mut(usize::from(sink.index)));
                match target {
                    Some(target) => {
                        let old = std::mem::replace(&mut target.source, source);
                        let stream =
                            |source: &Option<Box<Source>>| source.as_ref().map(|s| s.stream);
                        if stream(&old) == stream(&target.source) {
                            target.route.set_map(&map);
                        } else {
                            target.route.set_source(&map);
                            target.selection.forget();
                        }
                        (Ok(()), Returned::Source(map, old))
                    }
                    None => (Err(Refusal::Gone), Returned::Source(map, source)),
                }
            }
            Command::Transmit { socket, remote, bytes } => {
                let result = self.transmit(socket, remote, &bytes);
                (result, Returned::Datagram(bytes))
            }
            Command::Check { transport, socket, remote, bytes } => {
                let result = self.check_for(transport, (socket, remote), &bytes);
                (result, Returned::Datagram(bytes))
            }
            Command::ShareSockets { sockets } => {
                self.shared = sockets;
                DONE
            }
            Command::SetGate(gate) => {
                self.allocations.reserve();
                self.tables.reserve_relays();
                let old = self.gate.replace(gate);
                (Ok(()), old.map_or(Returned::Nothing, Returned::Gate))
            }
            Command::AddAllocation { allocation, state } => self.add_allocation(allocation, state),
            Command::RemoveAllocation { allocation } => self.remove_allocation(allocation),
            Command::Withdraw { allocation, relayed } => {
                outcome(self.withdraw(allocation, relayed))
            }
            Command::Permit { .. }
            | Command::Forbid { .. }
            | Command::BindChannel { .. }
            | Command::UnbindChannel { .. }
            | Command::SetRate { .. } => outcome(self.allocations.apply(&command)),
            Command::PlayDigit { stream, digit } => {
                let held = self.stream(stream).ok_or(Refusal::Gone);
                outcome(held.and_then(|stream| stream.add_digit(digit)))
            }
            Command::Tap { leg, on } => {
                outcome(self.tables.leg_mut(leg).ok_or(Refusal::Gone).map(|leg| leg.tapped = on))
            }
            Command::ReadWorker(mut into) => {
                self.read_worker(&mut into);
                (Ok(()), Returned::Worker(into))
            }
            Command::ReadLeg { leg, mut into } => {
                let result = self.read_leg(leg, &mut into);
                (result, Returned::LegReading(into))
            }
            Command::AddHopTo { to, end } => match self.hops.add_to(to, end) {
                Ok(()) => DONE,
                Err(end) => (Err(Refusal::Taken), Returned::HopTo(end)),
            },
            Command::AddHopFrom { from, end } => match self.hops.add_from(from, end) {
                Ok(()) => DONE,
                Err(end) => (Err(Refusal::Taken), Returned::HopFrom(end)),
            },
            Command::AddSocket { .. }
            | Command::RemoveSocket { .. }
            | Command::AddListener { .. }
            | Command::Connect { .. }
            | Command::Join { .. }
            | Command::DropConnection { .. }
            | Command::Quiesce
            | Command::Export(_)
            | Command::Resume
            | Command::Stop => refuse(Refusal::Misuse),
        }
    }

    /// A leg that comes from another process may bring news that control there was not told.
    fn list_news(&mut self, id: crate::command::LegId) {
        if self.tables.leg_mut(id).is_some_and(|leg| leg.has_news) {
            self.news.push(id.slot);
        }
    }

    fn set_keys(&mut self, id: TransportId, mut keys: Box<crate::srtp::Srtp>) -> Outcome {
        let Some(transport) = self.transport(id) else {
            return (Err(Refusal::Gone), Returned::Keys(keys));
        };
        if let Some(old) = &mut transport.srtp {
            keys.go_on_from(old);
        }
        let old = transport.srtp.replace(keys);
        self.refresh_sinks(id);
        (Ok(()), old.map_or(Returned::Nothing, Returned::Keys))
    }

    pub(crate) fn set_remote(
        &mut self,
        id: TransportId,
        remote: std::net::SocketAddr,
    ) -> Result<(), Refusal> {
        let transport = self.transport(id).ok_or(Refusal::Gone)?;
        if transport.consent.is_some() {
            return Err(Refusal::Misuse);
        }
        let socket = transport.socket;
        let old = transport.remote;
        self.tables.bind(socket, remote, id)?;
        if let Some(old) = old.filter(|old| *old != remote) {
            self.tables.unbind(socket, old, id);
        }
        if let Some(transport) = self.transport(id) {
            transport.remote = Some(remote);
        }
        self.refresh_sinks(id);
        Ok(())
    }

    fn install_pair(
        &mut self,
        id: TransportId,
        (socket, remote): (SocketId, std::net::SocketAddr),
        nominated: bool,
        generation: u32,
    ) -> Result<(), Refusal> {
        let socket = self.way_to(socket, remote);
        let transport = self.transport(id).ok_or(Refusal::Gone)?;
        if transport.consent.is_none() {
            return Err(Refusal::Misuse);
        }
        if !self.tables.may_bind(socket, remote) {
            return Err(Refusal::Full);
        }
        let now = self.now;
        let transport = self.transport(id).ok_or(Refusal::Gone)?;
        let renews = generation != transport.generation();
        let consent = transport.numbered(generation).ok_or(Refusal::Gone)?;
        let evicted = consent.install(remote, nominated, now)?;
        let out = transport.add_path((socket, remote), evicted);
        if nominated {
            transport.turn_to(remote);
        }
        self.tables.bind(socket, remote, id)?;
        self.steer_here(socket, remote);
        for (from, gone) in out.into_iter().filter(|path| *path != (socket, remote)) {
            self.tables.unbind(from, gone, id);
        }
        if nominated && renews {
            self.promote(id);
        }
        if nominated {
            self.refresh_sinks(id);
        }
        self.release_early(socket, remote, id);
        Ok(())
    }

    /// Hands up what came early from a 5-tuple that now has passed its check.
    fn release_early(&mut self, socket: SocketId, remote: std::net::SocketAddr, id: TransportId) {
        let mut place = 0;
        while let Some(early) = self.early.get(place) {
            if (early.packet.socket, early.packet.remote) != (socket, remote) {
                place += 1;
                continue;
            }
            let early = self.early.remove(place);
            if let Err(reason) = self.punt(PuntKind::Dtls, Some(id), &early.packet) {
                self.drop_for(reason);
            }
            self.frames.give(early.packet.frame);
        }
    }

    fn set_stream(&mut self, id: StreamId, mut state: Box<crate::stream::Stream>) -> Outcome {
        let Some(leg) = self.tables.leg_mut(id.leg) else {
            return (Err(Refusal::Gone), Returned::Stream(state));
        };
        if let Err(refusal) = leg.check_transports(state.transport, state.rtcp_transport) {
            return (Err(refusal), Returned::Stream(state));
        }
        let (index, count) = (usize::from(id.index), leg.streams.len());
        if let Some(place) = leg.streams.get_mut(index) {
            state.inherit(place);
            return (Ok(()), Returned::Stream(std::mem::replace(place, state)));
        }
        if index > count {
            return (Err(Refusal::Misuse), Returned::Stream(state));
        }
        match leg.streams.try_push(state) {
            Ok(()) => DONE,
            Err(full) => (Err(Refusal::Full), Returned::Stream(full.element())),
        }
    }

    fn set_sink(&mut self, id: SinkId, state: Box<crate::stream::Sink>) -> Outcome {
        let Some(leg) = self.tables.leg_mut(id.leg) else {
            return (Err(Refusal::Gone), Returned::Sink(state));
        };
        if let Err(refusal) = leg.check_transports(state.transport, state.rtcp_transport) {
            return (Err(refusal), Returned::Sink(state));
        }
        let (index, count) = (usize::from(id.index), leg.sinks.len());
        if let Some(place) = leg.sinks.get_mut(index) {
            if place.counters.packets + place.counters.rtx_packets > 0 {
                return (Err(Refusal::Taken), Returned::Sink(state));
            }
            return (Ok(()), Returned::Sink(std::mem::replace(place, state)));
        }
        if index > count {
            return (Err(Refusal::Misuse), Returned::Sink(state));
        }
        match leg.sinks.try_push(state) {
            Ok(()) => DONE,
            Err(state) => (Err(Refusal::Full), Returned::Sink(state)),
        }
    }

    fn add_sink(&mut self, stream: StreamId, sink: SinkId) -> Result<(), Refusal> {
        let state = self.stream(stream).ok_or(Refusal::Gone)?;
        if !state.sinks.contains(&sink) {
            state.sinks.try_push(sink).map_err(|_| Refusal::Full)?;
        }
        self.want_key_frame(stream, None);
        Ok(())
    }

    fn set_pipes(&mut self, id: StreamId, pipes: Pipes) -> Outcome {
        let worker = self.id;
        let is_here =
            |pipe: &Pipe| [pipe.media, pipe.reports].iter().all(|t| t.leg.worker == worker);
        if !pipes.iter().all(is_here) {
            return (Err(Refusal::Misuse), Returned::Pipes(pipes));
        }
        match self.stream(id) {
            Some(stream) => (Ok(()), Returned::Pipes(std::mem::replace(&mut stream.pipes, pipes))),
            None => (Err(Refusal::Gone), Returned::Pipes(pipes)),
        }
    }

    fn select_layer(&mut self, id: SinkId, layer: LayerChoice) -> Result<(), Refusal> {
        let now = self.now;
        let leg = self.tables.leg_mut(id.leg).ok_or(Refusal::Gone)?;
        let sink = leg.sinks.get_mut(usize::from(id.index)).ok_or(Refusal::Gone)?;
        let was_off = sink.selection.choice == LayerChoice::Off;
        sink.selection.choose(layer, now);
        let due = sink.selection.key_frame_due(now);
        let source = sink.source.as_ref().map(|source| source.stream);
        if sink.selection.may_tell(now) {
            self.mark_news(id.leg);
        }
        // A picture that stood still begins anew too.
        let resumes = was_off && layer != LayerChoice::Off;
        if let Some(stream) = source.filter(|_| due.is_some() || resumes) {
            self.want_key_frame(stream, due);
        }
        Ok(())
    }

    /// Asks the sender of `stream`, on whichever worker, for a key frame, of `layer` if it has some.
    pub(crate) fn want_key_frame(&mut self, stream: StreamId, layer: Option<u8>) {
        let now = self.now;
        if stream.leg.worker == self.id {
            if let Some(state) = self.stream(stream) {
                state.want_key_frame(layer, now);
            }
            self.ask_key_frame(stream, now);
        } else {
            self.hop_bytes(HopKind::KeyFrame { stream, layer }, &[], Nanos(0));
        }
    }

    /// A transport became able to send, or sends elsewhere: the pictures of its sinks start anew.
    pub(crate) fn refresh_sinks(&mut self, id: TransportId) {
        let mut place = 0;
        while let Some(leg) = self.tables.leg_mut(id.leg) {
            let Some(sink) = leg.sinks.get(place) else { return };
            let source = sink.source.as_ref().filter(|_| sink.transport == id.index);
            let source = source.map(|source| (source.stream, sink.selection.current()));
            place += 1;
            if let Some((stream, layer)) = source {
                self.want_key_frame(stream, layer);
            }
        }
    }

    fn transmit(
        &mut self,
        socket: SocketId,
        remote: std::net::SocketAddr,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        if bytes.len() > PAYLOAD_MAX {
            return Err(Refusal::Misuse);
        }
        let socket = self.way_to(socket, remote);
        let frame = self.frames.take().ok_or(Refusal::Full)?;
        self.frames.bytes_mut(&frame)[HEAD_ROOM..HEAD_ROOM + bytes.len()].copy_from_slice(bytes);
        // The handshake goes the way that the media will go.
        let owner = self.tables.transport_at(socket, remote).and_then(|id| self.transport(id));
        let traffic_class = owner.map_or(BEST_EFFORT, |transport| transport.traffic_class);
        let (start, len) = (HEAD_ROOM, bytes.len());
        let outgoing = Outgoing { socket, remote, start, len, traffic_class };
        self.blame = None;
        self.send(outgoing.packet(frame, Nanos(0)), outgoing);
        Ok(())
    }

    /// Sends a check of control's agent and remembers whose it is.
    fn check_for(
        &mut self,
        id: TransportId,
        path: (SocketId, std::net::SocketAddr),
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        self.transport(id).ok_or(Refusal::Gone)?;
        let message = stun::Message::parse(bytes).map_err(|_| Refusal::Misuse)?;
        let path = (self.way_to(path.0, path.1), path.1);
        self.checks_asked.note(message.transaction, id, path, self.now);
        self.transmit(path.0, path.1, bytes)
    }

    fn read_worker(&mut self, into: &mut WorkerReading) {
        self.counters.legs = self.tables.legs() as u64;
        self.counters.allocations = self.allocations.len() as u64;
        self.counters.frames_free = self.frames.free() as u64;
        into.counters.clone_from(&self.counters);
        std::mem::swap(&mut self.latency, &mut into.latency);
    }

    fn read_leg(
        &mut self,
        id: crate::command::LegId,
        into: &mut LegReading,
    ) -> Result<(), Refusal> {
        let now = self.now;
        let leg = self.tables.leg_mut(id).ok_or(Refusal::Gone)?;
        into.transports.clear();
        into.streams.clear();
        into.layers.clear();
        into.sinks.clear();
        for (index, transport) in (0u8..).zip(&leg.transports) {
            into.transports.push((TransportId { leg: id, index }, transport.reading(now)));
        }
        for (index, stream) in (0u8..).zip(&leg.streams) {
            let stream_id = StreamId { leg: id, index };
            into.streams.push((stream_id, stream.counters));
            for (place, layer) in stream.simulcast() {
                into.layers.push((stream_id, layer.reading(place, now)));
            }
        }
        for (index, sink) in (0u8..).zip(&leg.sinks) {
            into.sinks.push((SinkId { leg: id, index }, sink.reading()));
        }
        into.drops = leg.drops.reading();
        into.latency = leg.latency;
        Ok(())
    }

    pub(crate) fn transport(
        &mut self,
        id: TransportId,
    ) -> Option<&mut crate::transport::Transport> {
        self.tables.transport_mut(id)
    }

    pub(crate) fn stream(&mut self, id: StreamId) -> Option<&mut crate::stream::Stream> {
        let leg = self.tables.leg_mut(id.leg)?;
        leg.streams.get_mut(usize::from(id.index)).map(Box::as_mut)
    }
}
