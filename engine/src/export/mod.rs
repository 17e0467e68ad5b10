//! A worker's state leaves the process and goes on in another one, with its sockets.
//!
//! # In three steps
//! 1. [`Command::Quiesce`] stops the worker: receives are cancelled, what was received before is walked
//!    and sent, what comes later waits in the kernel's socket buffers. A quiet worker takes commands and
//!    does nothing by itself, so its state stands still.
//! 2. [`Command::Export`] copies the state ([`Exported`]). The worker keeps the original.
//! 3. [`Command::Resume`] goes on as if nothing had happened, or [`Command::Stop`] lets go.
//!
//! The other process starts an engine, quiesces its empty workers, applies [`Exported::commands`], and
//! resumes when the first one has let go. Ids stay, since a leg keeps its slot and generation, and so
//! do sequence numbers, timestamps, SRTP indices and replay windows. Rings between workers are made anew.
//! What a worker holds for a moment stays behind: DTLS that is kept for a 5-tuple's first check, and
//! datagrams on their way to control. Their senders repeat them.
//!
//! [`Engine::hand_over`] and [`Engine::take_over`] do all that over a Unix socket:
//!
//! ```text
//! old                                   new
//!  │ serves                              │ starts its workers, quiet
//!  │ ◄───────────────── Hello ───────────┤
//!  │ quiesces                            │
//!  ├── Begin, legs, sockets, End ──────► │ installs
//!  │ ◄───────────────── Installed ───────┤
//!  ├── Yours ──────────────────────────► │ serves
//!  │ lets go                             ▼
//! ```
//!
//! Whatever fails before *Yours* is written leaves the old process serving; the new one serves only
//! after it has read it. At no time both do. Between the two nothing is lost as long as the sockets'
//! buffers hold what arrives.
//!
//! [`Engine::hand_over`]: crate::Engine::hand_over
//! [`Engine::take_over`]: crate::Engine::take_over

use std::fmt;
use std::net::UdpSocket;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::apply::{DONE, Outcome, refuse};
use crate::command::{Command, LegId, Refusal, Returned, SocketId, Ticket, WorkerId};
use crate::config::WORKERS_MAX;
use crate::leg::Leg;
use crate::packet::Nanos;
use crate::sys::{Backend, cpu};
use crate::worker::{Duty, Worker};

#[cfg(any(test, feature = "bare"))]
pub mod bare;
mod channel;
pub(crate) mod give;
pub(crate) mod take;

pub use crate::plain::Unreadable;
pub use channel::Broken;
pub use give::{HandOverError, StillServing};
pub use take::{TakeOverError, TakenOver};

use crate::plain::{Plain, Reader, Shape, Writer};

/// Of the conversation. The state itself has a number of its own, [`layout`].
pub const VERSION: u16 = 1;

/// Tells one layout of the state from another: two programs with the same one read each other.
pub fn layout() -> u64 {
    Shape::of::<Leg>()
}

/// One worker's state, copied. Keys in it are wiped when it is dropped.
#[derive(Default)]
pub struct Exported {
    /// When it was taken, on the wall clock, which all processes share.
    pub(crate) taken: Nanos,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) legs: Vec<(LegId, Range<usize>)>,
    pub(crate) hops: Vec<WorkerId>,
    pub(crate) sockets: Vec<(SocketId, UdpSocket)>,
}

impl Exported {
    /// What an empty, quiet worker of the same number is to be told to go on with this state. `now` is
    /// the time of the clock that the worker uses. Rings to other workers are not among it.
    ///
    /// # Errors
    /// Why it cannot be read; only a copy that came from elsewhere can be unreadable.
    pub fn commands(self, now: Nanos) -> Result<Vec<Command>, Unreadable> {
        let then = here(now, self.taken);
        let legs = self.legs.iter().map(|(leg, range)| {
            let bytes = self.bytes.get(range.clone()).ok_or(Unreadable::Short)?;
            Ok(Command::AddLeg { leg: *leg, state: read_leg(bytes, then)? })
        });
        let mut commands = legs.collect::<Result<Vec<_>, _>>()?;
        let sockets = self.sockets.into_iter();
        commands.extend(sockets.map(|(socket, udp)| Command::AddSocket { socket, udp }));
        Ok(commands)
    }

    /// The legs in it.
    pub fn legs(&self) -> impl Iterator<Item = LegId> + '_ {
        self.legs.iter().map(|(leg, _)| *leg)
    }

    /// The sockets in it.
    pub fn sockets(&self) -> impl Iterator<Item = (SocketId, &UdpSocket)> {
        self.sockets.iter().map(|(id, udp)| (*id, udp))
    }

    fn clear(&mut self) {
        *self = Self { taken: cpu::clock_realtime(), ..Self::default() };
    }
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported")
            .field("legs", &self.legs.len())
            .field("sockets", &self.sockets.len())
            .finish_non_exhaustive()
    }
}

/// What the writer's now, taken at `taken` on the wall clock, is on this side's clock, which shows `now`.
fn here(now: Nanos, taken: Nanos) -> Nanos {
    Nanos(now.0.saturating_sub(cpu::clock_realtime().since(taken)).max(1))
}

pub(crate) fn read_leg(bytes: &[u8], then: Nanos) -> Result<Box<Leg>, Unreadable> {
    let mut reader = Reader::new(bytes, then);
    let mut leg = Box::new(Leg::read(&mut reader)?);
    reader.finish()?;
    // Whoever recorded it there has no ring here.
    leg.tapped = false;
    Ok(leg)
}

impl Worker {
    /// The commands that start and end the worker's work.
    pub(crate) fn apply_duty(
        &mut self,
        backend: &mut Backend,
        ticket: Ticket,
        command: Command,
    ) -> Option<Outcome> {
        match (command, self.duty) {
            (Command::Quiesce, Duty::Serving) => {
                backend.pause();
                self.duty = Duty::Ending(ticket);
                None
            }
            (Command::Export(mut into), Duty::Quiet) => {
                let result = self.export(backend, &mut into);
                Some((result, Returned::Exported(into)))
            }
            (Command::Export(into), _) => Some((Err(Refusal::Misuse), Returned::Exported(into))),
            (Command::Resume, Duty::Quiet) => {
                backend.resume();
                self.duty = Duty::Serving;
                Some(DONE)
            }
            _ => Some(refuse(Refusal::Misuse)),
        }
    }

    /// Becomes quiet when nothing can be received any more and everything is sent.
    pub(crate) fn finish_ending(&mut self, backend: &mut Backend) {
        if let Duty::Ending(ticket) = self.duty
            && !backend.receiving()
            && self.events.room() > 0
        {
            self.flush(backend);
            self.duty = Duty::Quiet;
            self.answer(ticket, DONE);
        }
    }

    fn export(&mut self, backend: &mut Backend, into: &mut Exported) -> Result<(), Refusal> {
        // The other workers are quiet too, so what is in their rings now is all that comes.
        for _ in 0..WORKERS_MAX {
            if self.hops.has_input() {
                self.take_hops();
                self.flush(backend);
            }
        }
        self.copy_state(into);
        let sockets = backend.duplicates();
        into.sockets =
            sockets.map_err(|e| Refusal::Kernel(e.raw_os_error().unwrap_or_default()))?;
        Ok(())
    }

    /// Copies all but the sockets.
    pub(crate) fn copy_state(&mut self, into: &mut Exported) {
        into.clear();
        self.tables.settle();
        let mut writer = Writer::new(self.now);
        let slots = u16::try_from(self.tables.slots()).unwrap_or(u16::MAX);
        for (id, leg) in (0..slots).filter_map(|slot| self.tables.held(slot)) {
            let start = writer.len();
            leg.write(&mut writer);
            into.legs.push((id, start..writer.len()));
        }
        into.bytes = writer.finish();
        into.hops = self.hops.targets().collect();
    }
}

#[cfg(test)]
mod tests;
