//! Commands that the edge takes: those of sockets, streams, allocations and rings.

use std::ops::ControlFlow;

use super::Edge;
use super::outbox::Weight;
use crate::command::{Command, Event, Refusal, Returned, SocketId, Ticket};
use crate::config::{COMMANDS_PER_TURN, PAYLOAD_MAX};

type Outcome = (Result<(), Refusal>, Returned);

const DONE: Outcome = (Ok(()), Returned::Nothing);

impl Edge {
    /// Applies what waits, as far as answers have room. Breaks on [`Command::Stop`].
    pub(super) fn apply_commands(&mut self) -> ControlFlow<()> {
        self.finish_closing();
        for _ in 0..COMMANDS_PER_TURN {
            if self.events.room() == 0 {
                break;
            }
            let Some((ticket, command)) = self.commands.pop() else { break };
            self.counters.commands += 1;
            if matches!(command, Command::Stop) {
                self.answer(ticket, DONE);
                self.announce();
                return ControlFlow::Break(());
            }
            if let Some(outcome) = self.apply(ticket, command) {
                self.answer(ticket, outcome);
            }
        }
        ControlFlow::Continue(())
    }

    fn answer(&mut self, ticket: Ticket, (outcome, returned): Outcome) {
        let answered = self.events.push(Event::Applied { ticket, outcome, returned });
        debug_assert!(answered.is_ok(), "a command is taken only when its answer has room");
        self.control_has_news = true;
    }

    /// Gives sockets back that the kernel is done with.
    fn finish_closing(&mut self) {
        while self.events.room() > 0 && !self.closing.is_empty() {
            let Some((socket, udp)) = self.backend.closed() else { return };
            self.counters.sockets -= 1;
            let place = self.closing.iter().position(|(closing, _)| *closing == socket);
            if let Some(place) = place {
                let (_, ticket) = self.closing.swap_remove(place);
                self.answer(ticket, (Ok(()), Returned::Socket(udp)));
            }
        }
    }

    /// What became of a command; `None` if that is said later.
    fn apply(&mut self, ticket: Ticket, command: Command) -> Option<Outcome> {
        let result = |result| (result, Returned::Nothing);
        Some(match command {
            Command::AddSocket { socket, udp } => match self.backend.add_socket(socket, udp) {
                Ok(()) => {
                    self.counters.sockets += 1;
                    DONE
                }
                Err((udp, error)) => {
                    let refusal = error.raw_os_error().map_or(Refusal::Taken, Refusal::Kernel);
                    (Err(refusal), Returned::Socket(udp))
                }
            },
            Command::RemoveSocket { socket } => {
                if !self.backend.remove_socket(socket) {
                    return Some(result(Err(Refusal::Gone)));
                }
                self.closing.push((socket, ticket));
                return None;
            }
            Command::SetGate(gate) => {
                self.allocations.reserve();
                let old = self.gate.replace(gate);
                self.awaits_gate = false;
                (Ok(()), old.map_or(Returned::Nothing, Returned::Gate))
            }
            Command::AddAllocation { allocation, state } => self.add_allocation(allocation, state),
            Command::RemoveAllocation { allocation } => self.remove_allocation(allocation),
            Command::Withdraw { allocation, relayed } => result(self.withdraw(allocation, relayed)),
            Command::Permit { .. }
            | Command::Forbid { .. }
            | Command::BindChannel { .. }
            | Command::UnbindChannel { .. }
            | Command::SetRate { .. } => result(self.allocations.apply(&command)),
            Command::AddListener { allocation, listener } => {
                match self.add_listener(allocation, &listener) {
                    Ok(place) => {
                        self.peers.listen(place, allocation, listener);
                        DONE
                    }
                    Err(refusal) => (Err(refusal), Returned::Listener(listener)),
                }
            }
            Command::Connect { allocation, connection, peer } => {
                result(self.connect(allocation, connection, peer))
            }
            Command::Join { connection, socket, remote } => {
                result(self.join(connection, (socket, remote)))
            }
            Command::DropConnection { connection } => result(self.drop_connection(connection)),
            Command::Transmit { socket, remote, bytes } => {
                let sent = self.transmit(socket, remote, &bytes);
                (sent, Returned::Datagram(bytes))
            }
            Command::ReadWorker(mut into) => {
                self.counters.streams = self.streams.len() as u64;
                self.counters.allocations = self.allocations.len() as u64;
                self.counters.frames_free = self.frames.free() as u64;
                into.counters.clone_from(&self.counters);
                (Ok(()), Returned::Worker(into))
            }
            Command::AddHopTo { to, end } => match self.hops.add_to(to, end) {
                Ok(()) => DONE,
                Err(end) => (Err(Refusal::Taken), Returned::HopTo(end)),
            },
            Command::AddHopFrom { from, end } => match self.hops.add_from(from, end) {
                Ok(()) => DONE,
                Err(end) => (Err(Refusal::Taken), Returned::HopFrom(end)),
            },
            _ => result(Err(Refusal::Misuse)),
        })
    }

    /// Writes what control has to say to a stream.
    fn transmit(
        &mut self,
        socket: SocketId,
        remote: std::net::SocketAddr,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        if bytes.len() > PAYLOAD_MAX {
            return Err(Refusal::Misuse);
        }
        let sent = if socket == SocketId::STREAMS {
            self.depart(remote, bytes, Weight::Answer)
        } else {
            let key = self.streams.named((socket, remote)).ok_or(Refusal::Gone)?;
            self.write(key, &[bytes], Weight::Answer)
        };
        sent.map_err(|reason| {
            self.drop_for(reason);
            Refusal::Full
        })
    }
}
