//! What comes up from the worker and from the handshakes.

use std::net::SocketAddr;

use causeway_engine::command::{
    Command, Event, LegId, Punt, PuntKind, Refusal, SocketId, TransportId,
};
use causeway_engine::srtp::Srtp;

use super::seat::{MEDIA, Part, REPORTS};
use super::{Clock, Output, Pending, ProxiedCall};
use crate::call::DtlsInput;
use crate::call::shake;
use crate::dtls::{DtlsError, SrtpKeys};
use crate::ice::Output as FromIce;

impl ProxiedCall {
    /// Something that the worker saw.
    pub fn event(&mut self, clock: Clock, event: &Event) {
        self.clock = clock;
        match *event {
            Event::Nominated { transport, remote, generation } => {
                self.nominated(transport, generation, remote);
                self.drain_agents();
            }
            Event::MediaStarted { transport, remote } => {
                if let Some(part) = self.part(transport) {
                    part.remote = Some(remote);
                }
            }
            Event::ConsentLost { transport } => {
                tracing::info!(call = self.id, ?transport, "consent lost");
            }
            Event::RoleConflict { .. }
            | Event::LayerChanged { .. }
            | Event::Speaking { .. }
            | Event::StreamClosed { .. }
            | Event::PeerConnected { .. }
            | Event::PeerAccepted { .. }
            | Event::PeerClosed { .. }
            | Event::Applied { .. } => {}
        }
    }

    /// A datagram that the worker could not deal with itself.
    pub fn punt(&mut self, clock: Clock, punt: &Punt) {
        self.clock = clock;
        let Some(transport) = punt.transport else { return };
        match punt.kind {
            PuntKind::Stun => self.take_check(transport, punt),
            PuntKind::Dtls => self.take_handshake(transport, punt),
            PuntKind::Turn => {}
        }
    }

    /// Components share a ufrag, so the socket says whose check it is.
    fn take_check(&mut self, transport: TransportId, punt: &Punt) {
        let now = self.clock.now;
        let Some(seat) = self.seat_mut(transport.leg) else { return };
        for Part { ice, spots, .. } in &mut seat.parts {
            let spot = spots.iter().find(|spot| spot.socket == punt.socket);
            if let (Some(ice), Some(spot)) = (ice, spot) {
                ice.take_stun(now, punt.remote, spot.socket, &punt.bytes);
            }
        }
        self.drain_agents();
    }

    fn take_handshake(&mut self, transport: TransportId, punt: &Punt) {
        let Some(part) = self.part(transport) else { return };
        part.shake.heard = true;
        part.shake.path = Some((punt.socket, punt.remote));
        self.start_handshakes();
        let input = DtlsInput::Datagram(punt.bytes.as_slice().into());
        self.outputs.push_back(Output::Dtls(transport, input));
    }

    /// A handshake's datagram.
    pub fn dtls_datagram(&mut self, clock: Clock, transport: TransportId, bytes: Box<[u8]>) {
        self.clock = clock;
        let path = self.part(transport).and_then(|part| part.shake.path);
        if let Some((socket, remote)) = path {
            self.tell(Command::Transmit { socket, remote, bytes });
        }
    }

    /// A handshake is done.
    pub fn dtls_connected(&mut self, clock: Clock, transport: TransportId, keys: &SrtpKeys) {
        self.clock = clock;
        let Some((spec, suite)) = shake::agreed(keys) else { return };
        let Some(line) = self.line_of(transport.leg) else { return };
        let (learning, has_ice) = (line.learning, line.ice.used);
        let Some(part) = self.part(transport) else { return };
        part.suite = Some(suite);
        let path = part.shake.path.filter(|_| !has_ice);
        let keys = Box::new(Srtp::new(&spec.inbound, &spec.outbound));
        // Who has shown the right certificate is who was called, wherever it sits.
        if let Some((_, remote)) = path.filter(|(_, remote)| part.remote != Some(*remote)) {
            part.remote = Some(remote);
            self.tell(Command::SetRemote { transport, remote, learning });
        }
        self.tell_tagged(Pending::Keys { transport }, Command::SetKeys { transport, keys });
    }

    /// A handshake has failed. The proxy knows more of the call than the node: it goes on without media
    /// until it is over or timed out.
    pub fn dtls_failed(&mut self, clock: Clock, transport: TransportId, error: &DtlsError) {
        self.clock = clock;
        tracing::info!(call = self.id, ?transport, %error, "DTLS failed");
    }

    /// The worker has, or has not, taken a transport's keys.
    pub(super) fn keyed(&mut self, transport: TransportId, outcome: Result<(), Refusal>) {
        if outcome.is_err() {
            tracing::warn!(call = self.id, ?transport, ?outcome, "keys refused");
        }
    }

    /// A leg that lacks a part carries no media.
    pub(super) fn part_applied(&mut self, leg: LegId, outcome: Result<(), Refusal>) {
        if let Err(refusal) = outcome
            && refusal != Refusal::Gone
        {
            tracing::warn!(call = self.id, ?leg, %refusal, "the worker refused a part of a leg");
        }
    }

    /// The worker has not taken a socket.
    pub(super) fn lose_socket(&mut self, socket: SocketId) {
        tracing::warn!(call = self.id, ?socket, "the worker refused a socket");
    }

    /// Begins handshakes as far as it is known who begins, and hands over late fingerprints.
    pub(super) fn start_handshakes(&mut self) {
        let mut inputs = Vec::new();
        let places = self.parties.iter_mut().flat_map(super::party::Party::places_mut);
        for (line, seats) in places.filter(|(line, _)| line.keys.dtls && line.is_secure()) {
            let described = line.dtls();
            let (has_ice, mux) = (line.ice.used, line.mux);
            let remotes = [line.remote(false), line.remote(true)];
            let Some(seat) = &mut seats.current else { continue };
            for (index, remote) in [MEDIA, REPORTS].into_iter().zip(remotes) {
                let transport = seat.transport(index);
                let part = &mut seat.parts[usize::from(index)];
                let fixed = remote.filter(|_| !(has_ice || mux && index == REPORTS));
                if let (None, Some(remote)) = (part.shake.path, fixed) {
                    part.shake.path = Some((part.socket(), remote));
                }
                if let Some(input) = part.shake.input(described.as_ref()) {
                    if matches!(input, DtlsInput::Start { .. }) {
                        self.shaking.push(transport);
                    }
                    inputs.push(Output::Dtls(transport, input));
                }
            }
        }
        self.outputs.extend(inputs);
    }

    /// Lets the agents do what their timers are for.
    pub(super) fn tick_agents(&mut self) {
        let now = self.clock.now;
        let parts = self.seats_mut().flat_map(|seat| &mut seat.parts);
        parts.filter_map(|part| part.ice.as_mut()).for_each(|ice| ice.handle_timeout(now));
        self.drain_agents();
    }

    /// Hands on what the ICE agents want. A pair is installed before the answer goes out that makes the
    /// far side use it.
    pub(super) fn drain_agents(&mut self) {
        let transports: Vec<TransportId> = self
            .seats()
            .filter(|seat| seat.is_installed() && seat.credentials().is_some())
            .flat_map(|seat| [seat.transport(MEDIA), seat.transport(REPORTS)])
            .collect();
        for id in transports {
            while let Some((generation, output)) =
                self.part(id).and_then(|part| part.ice.as_mut()?.output())
            {
                self.follow_agent(id, generation, output);
            }
        }
    }

    fn follow_agent(&mut self, transport: TransportId, generation: u32, output: FromIce) {
        match output {
            FromIce::Check { local: socket, remote, bytes } => {
                self.tell(Command::Check { transport, socket, remote, bytes });
            }
            FromIce::Transmit { local: socket, remote, bytes } => {
                self.tell(Command::Transmit { socket, remote, bytes });
            }
            FromIce::PairAuthenticated { local, remote } => {
                self.install_pair(transport, (local, remote), false, generation);
            }
            FromIce::Nominated { local, remote } => {
                self.install_pair(transport, (local, remote), true, generation);
                self.nominated(transport, generation, remote);
            }
            FromIce::Failed(error) => {
                tracing::info!(call = self.id, ?transport, %error, "ICE failed");
            }
            FromIce::Timeout(_) => {}
        }
    }

    fn install_pair(
        &mut self,
        transport: TransportId,
        (socket, remote): (SocketId, SocketAddr),
        nominated: bool,
        generation: u32,
    ) {
        if let Some(part) = self.part(transport) {
            part.paths.add((socket, remote));
        }
        self.tell(Command::InstallPair { transport, socket, remote, nominated, generation });
    }

    fn nominated(&mut self, transport: TransportId, generation: u32, remote: SocketAddr) {
        let now = self.clock.now;
        let Some(part) = self.part(transport) else { return };
        if !part.ice.as_mut().is_some_and(|ice| ice.settle(now, generation)) {
            return;
        }
        part.remote = Some(remote);
        part.shake.path = Some(part.paths.to(remote).unwrap_or((part.socket(), remote)));
        self.start_handshakes();
    }

    fn part(&mut self, transport: TransportId) -> Option<&mut Part> {
        self.seat_mut(transport.leg)?.parts.get_mut(usize::from(transport.index))
    }
}
