//! The new process's side of a hand-over.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::channel::{Broken, Channel, MAGIC, Message};
use super::give::{quiesce, tell_all};
use super::{VERSION, here, layout, read_leg};
use crate::command::{Command, LegId, SocketId, Ticket, WorkerId};
use crate::config::{HAND_OVER_MS, HAND_OVER_START_MS};
use crate::error::StartError;
use crate::link::{Engine, Link, Unanswered};
use crate::packet::Nanos;
use crate::sys::cpu;

/// Commands that are sent to a worker before their answers are looked at.
const AHEAD: usize = 1024;

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The workers did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The other process is gone, late or makes no sense.
    #[error(transparent)]
    Peer(#[from] Broken),
    /// A worker here could not be filled.
    #[error(transparent)]
    Worker(#[from] Unanswered),
}

/// An engine that goes on with what another process has begun.
pub struct TakenOver {
    /// The engine.
    pub engine: Engine,
    /// Its links.
    pub links: Vec<Link>,
    /// The legs, under the ids that they had.
    pub legs: Vec<LegId>,
    /// The sockets, in the slots that they had, and where each is bound.
    pub sockets: Vec<(WorkerId, SocketId, SocketAddr)>,
}

impl fmt::Debug for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenOver")
            .field("legs", &self.legs.len())
            .field("sockets", &self.sockets.len())
            .finish_non_exhaustive()
    }
}

/// What was installed.
#[derive(Default)]
pub(crate) struct Installed {
    pub(crate) legs: Vec<LegId>,
    pub(crate) sockets: Vec<(WorkerId, SocketId, SocketAddr)>,
}

/// Fills the empty workers with what comes, and lets them serve when the other process has let go.
pub(crate) fn take(
    engine: &Engine,
    links: &mut [Link],
    stream: &UnixStream,
) -> Result<Installed, TakeOverError> {
    let mut channel = Channel::new(stream, Duration::from_millis(HAND_OVER_START_MS));
    let taken = install(engine, links, &mut channel);
    if let Err(error) = &taken {
        let _ = channel.say(&Message::Refused { reason: error.to_string() }, &[]);
        return taken;
    }
    channel.say(&Message::Installed {}, &[])?;
    channel.hear(|message, _| match message {
        Message::Yours {} => Ok(()),
        _ => Err(Broken::Unexpected("no word to serve")),
    })?;
    // From here on nobody else serves, so giving up is no choice any more.
    let patience = Instant::now() + Duration::from_millis(HAND_OVER_MS);
    tell_all(links, || Command::Resume, patience)?;
    taken
}

fn install(
    engine: &Engine,
    links: &mut [Link],
    channel: &mut Channel<'_>,
) -> Result<Installed, TakeOverError> {
    quiesce(links, channel.deadline())?;
    let workers = u16::try_from(links.len()).unwrap_or(u16::MAX);
    let legs = links.iter().map(Link::legs).min().unwrap_or(0);
    let legs = u32::try_from(legs).unwrap_or(u32::MAX);
    let (magic, version, layout) = (MAGIC, VERSION, layout());
    channel.say(&Message::Hello { magic, version, layout, workers, legs }, &[])?;
    channel.hear(|message, _| match message {
        Message::Begin {} => Ok(()),
        _ => Err(Broken::Unexpected("no beginning")),
    })?;
    channel.hurry(Duration::from_millis(HAND_OVER_MS));
    let mut filling = Filling { links, ..Filling::new(channel.deadline()) };
    while filling.take(engine, channel)? {}
    filling.settle(0)?;
    Ok(filling.installed)
}

/// Workers being filled.
struct Filling<'l> {
    links: &'l mut [Link],
    deadline: Instant,
    /// The worker that is told about, and what the old process's now was on our clock.
    worker: WorkerId,
    then: Nanos,
    waiting: VecDeque<(WorkerId, Ticket)>,
    installed: Installed,
}

impl Filling<'_> {
    fn new(deadline: Instant) -> Self {
        Self {
            links: &mut [],
            deadline,
            worker: WorkerId(u16::MAX),
            then: Nanos(0),
            waiting: VecDeque::new(),
            installed: Installed::default(),
        }
    }

    /// Takes one message; `false` after the last.
    fn take(&mut self, engine: &Engine, channel: &mut Channel<'_>) -> Result<bool, TakeOverError> {
        let then = self.then;
        let piece = channel.hear(|message, state| {
            Ok(match message {
                Message::Worker { worker, taken, hops } => Piece::Worker(worker, taken, hops),
                Message::Leg { leg } => Piece::Command(
                    leg.worker,
                    Command::AddLeg { leg, state: read_leg(state, then)? },
                ),
                Message::Sockets { sockets } => Piece::Sockets(sockets),
                Message::End { legs, sockets } => Piece::End(legs as usize, sockets as usize),
                _ => return Err(Broken::Unexpected("neither leg nor socket")),
            })
        })?;
        match piece {
            Piece::Worker(worker, taken, hops) => {
                (self.worker, self.then) = (worker, here(cpu::clock_monotonic(), taken));
                for to in hops {
                    let known = |id: WorkerId| usize::from(id.0) < self.links.len();
                    if !known(worker) || !known(to) {
                        return Err(Broken::Unexpected("a worker beyond the last").into());
                    }
                    let (receiving, sending) = engine.hop(worker, to);
                    self.tell(to, receiving)?;
                    self.tell(worker, sending)?;
                }
            }
            Piece::Command(worker, command) => {
                if worker != self.worker {
                    return Err(Broken::Unexpected("a leg of another worker").into());
                }
                self.installed.legs.extend(command.builds());
                self.tell(worker, command)?;
            }
            Piece::Sockets(sockets) => {
                for socket in sockets {
                    let udp = channel.socket()?;
                    let bound = udp.local_addr().map_err(Broken::Io)?;
                    self.installed.sockets.push((self.worker, socket, bound));
                    self.tell(self.worker, Command::AddSocket { socket, udp })?;
                }
            }
            Piece::End(legs, sockets) => {
                let came = (self.installed.legs.len(), self.installed.sockets.len());
                if came != (legs, sockets) || channel.has_unnamed() {
                    return Err(Broken::Unexpected("another number of legs or sockets").into());
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn tell(&mut self, worker: WorkerId, command: Command) -> Result<(), TakeOverError> {
        let link = self.links.get_mut(usize::from(worker.0));
        let link = link.ok_or(Broken::Unexpected("a worker beyond the last"))?;
        self.waiting.push_back((worker, link.tell(command, self.deadline)?));
        self.settle(AHEAD)
    }

    /// Waits for answers until only `left` are due.
    fn settle(&mut self, left: usize) -> Result<(), TakeOverError> {
        while self.waiting.len() > left
            && let Some((worker, ticket)) = self.waiting.pop_front()
        {
            self.links[usize::from(worker.0)].answer_to(ticket, self.deadline)?;
        }
        Ok(())
    }
}

enum Piece {
    Worker(WorkerId, Nanos, arrayvec::ArrayVec<WorkerId, { crate::config::WORKERS_MAX }>),
    Command(WorkerId, Command),
    Sockets(arrayvec::ArrayVec<SocketId, { crate::sys::pass::PASS_MAX }>),
    End(usize, usize),
}
