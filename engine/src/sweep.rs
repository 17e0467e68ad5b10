//! Timers and news: what a worker does without a packet causing it.
//!
//! Every [`SWEEP_INTERVAL`] a share of the legs is visited, so that each leg is visited once a
//! second at a bounded cost per turn and without a timer structure to keep.

use crate::allocation::Pressure;
use crate::command::{Event, LegId, SinkId, StreamId, TransportId};
use crate::config::PUNTS_PER_SECOND;
use crate::consent::Tick;
use crate::error::DropReason;
use crate::packet::Nanos;
use crate::transport::{News, Transport};
use crate::worker::{SWEEP_INTERVAL, SWEEPS_PER_ROUND, Worker};

/// How long a DTLS datagram waits for its 5-tuple's first check. Its sender repeats it anyway.
const EARLY_DTLS_WAIT: Nanos = Nanos::from_millis(500);

impl Worker {
    /// Does what is due at `now`.
    pub(crate) fn sweep(&mut self, now: Nanos) {
        if now.since(self.swept) < SWEEP_INTERVAL.0 {
            return;
        }
        self.swept = now;
        self.punt_budget = (self.punt_budget + PUNTS_PER_SECOND / 100).min(PUNTS_PER_SECOND);
        self.forget_early(now);
        let share = self.tables.slots().div_ceil(SWEEPS_PER_ROUND);
        for _ in 0..share {
            let slot = self.sweep_at;
            self.sweep_at = (slot + 1) % self.tables.slots();
            if let Some(id) = u16::try_from(slot).ok().and_then(|slot| self.tables.id_at(slot)) {
                self.visit(id, now);
            }
        }
    }

    fn visit(&mut self, id: LegId, now: Nanos) {
        self.blame = Some(id.slot);
        let mut index = 0;
        while let Some(leg) = self.tables.leg_mut(id) {
            let Some(transport) = leg.transports.get_mut(index) else { break };
            let (socket, class) = (transport.socket, transport.traffic_class);
            let stale = transport.stale_from.is_some_and(|from| from <= now);
            let tick = transport.consent.as_deref_mut().map(|c| c.tick(now, &mut self.scratch));
            match tick {
                Some(Tick::Send { remote, len }) => self.send_scratch(len, socket, remote, class),
                Some(Tick::Lost) => {
                    transport.fall_silent();
                    self.mark_news(id);
                }
                Some(Tick::None) | None => {}
            }
            if let (true, Ok(index)) = (stale, u8::try_from(index)) {
                self.forget_stale(TransportId { leg: id, index });
            }
            index += 1;
        }
        self.visit_media(id, now);
    }

    /// Rates, shares and reports of one leg.
    fn visit_media(&mut self, id: LegId, now: Nanos) {
        let Some(leg) = self.tables.leg_mut(id) else { return };
        let speech = leg.streams.iter_mut().fold(false, |news, s| s.visit(now) | news);
        let layers = leg.sinks.iter_mut().fold(false, |news, s| s.visit(now) | news);
        let (transports, streams) = (leg.transports.len(), leg.streams.len());
        if speech || layers {
            self.mark_news(id);
        }
        for index in (0u8..).take(transports) {
            self.share_bandwidth(TransportId { leg: id, index }, Pressure::None, now);
        }
        for index in (0u8..).take(streams) {
            self.report_reception(StreamId { leg: id, index }, now);
            self.stand_in(StreamId { leg: id, index }, now);
        }
    }

    fn forget_early(&mut self, now: Nanos) {
        while let Some(oldest) = self.early.first() {
            if now.since(oldest.since) < EARLY_DTLS_WAIT.0 {
                return;
            }
            let early = self.early.remove(0);
            self.blame = None;
            self.drop_for(DropReason::DtlsUnknownPair);
            self.frames.give(early.packet.frame);
        }
    }

    /// Tells control what changed. A leg whose news find no room stays on the list, so that an
    /// event is late at worst, never lost.
    pub(crate) fn announce(&mut self) {
        let mut place = 0;
        while let Some(&slot) = self.news.get(place) {
            if self.announce_leg(slot) {
                self.news.swap_remove(place);
            } else {
                place += 1;
            }
        }
        self.hops.wake();
        self.wake_control();
    }

    fn announce_leg(&mut self, slot: u16) -> bool {
        let Some(id) = self.tables.id_at(slot) else { return true };
        let now = self.now;
        let Some(leg) = self.tables.leg_mut(id) else { return true };
        for (index, transport) in (0u8..).zip(&mut leg.transports) {
            let transport_id = TransportId { leg: id, index };
            while let Some(event) = next_event(transport_id, transport) {
                if let Err(event) = self.events.push(event) {
                    put_back(&mut transport.news, &event);
                    return false;
                }
                self.control_has_news = true;
            }
        }
        for (index, stream) in (0u8..).zip(&mut leg.streams) {
            let Some(voice) = stream.voice() else { continue };
            let Some(speaking) = voice.news() else { continue };
            let stream = StreamId { leg: id, index };
            if self.events.push(Event::Speaking { stream, speaking }).is_err() {
                return false;
            }
            voice.note_told();
            self.control_has_news = true;
        }
        for (index, sink) in (0u8..).zip(&mut leg.sinks) {
            let Some(layer) = sink.selection.news() else { continue };
            if !sink.selection.may_tell(now) {
                continue;
            }
            let sink_id = SinkId { leg: id, index };
            if self.events.push(Event::LayerChanged { sink: sink_id, layer }).is_err() {
                return false;
            }
            sink.selection.note_told(now);
            self.control_has_news = true;
        }
        leg.has_news = false;
        true
    }

    pub(crate) fn wake_control(&mut self) {
        if std::mem::take(&mut self.control_has_news) {
            self.control.wake();
        }
    }
}

fn next_event(transport: TransportId, state: &mut Transport) -> Option<Event> {
    let (generation, news) = (state.generation(), &mut state.news);
    if std::mem::take(&mut news.nominated)
        && let Some(remote) = state.remote
    {
        return Some(Event::Nominated { transport, remote, generation });
    }
    if let Some(remote) = news.media_started.take() {
        return Some(Event::MediaStarted { transport, remote });
    }
    if std::mem::take(&mut news.role_conflict) {
        return Some(Event::RoleConflict { transport });
    }
    std::mem::take(&mut news.consent_lost).then_some(Event::ConsentLost { transport })
}

fn put_back(news: &mut News, event: &Event) {
    match event {
        Event::Nominated { .. } => news.nominated = true,
        Event::MediaStarted { remote, .. } => news.media_started = Some(*remote),
        Event::RoleConflict { .. } => news.role_conflict = true,
        Event::ConsentLost { .. } => news.consent_lost = true,
        Event::LayerChanged { .. }
        | Event::Speaking { .. }
        | Event::StreamClosed { .. }
        | Event::PeerConnected { .. }
        | Event::PeerAccepted { .. }
        | Event::PeerClosed { .. }
        | Event::Applied { .. } => {}
    }
}
