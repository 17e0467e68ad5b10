//! Starting the workers, and control's end of each: [`Engine`] and [`Link`].

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::command::{Command, Event, Punt, Refusal, Returned, Ticket, WorkerId};
use crate::config::{
    EVENT_RING, EngineConfig, FRAME_SIZE, FRAMES_FLOOR, GATHER_MAX, LEGS_PER_WORKER_CEILING,
    PUNT_RING, TAP_RING, WORKERS_MAX, Waiting,
};
use crate::doors::Doors;
use crate::edge::{self, Edge, EdgeConfig, STREAMS_CEILING};
use crate::error::StartError;
use crate::export::{StillServing, TakeOverError, TakenOver, give, take};
use crate::hop;
use crate::ring::{CommandSender, Receiver, command_ring, ring};
use crate::sys::frames::FramePool;
use crate::sys::probe::{Probed, probe};
use crate::sys::wake::Wake;
use crate::sys::{Backend, cpu, socket};
use crate::tap::Tapped;
use crate::worker::{self, Worker};

/// The running workers, and the edge if there is one.
pub struct Engine {
    probed: Probed,
    doors: Arc<Doors>,
    wakes: Vec<Wake>,
    threads: Vec<JoinHandle<()>>,
    edge: Option<EdgeThread>,
}

/// The edge, which ends with the engine whoever has its link.
struct EdgeThread {
    wake: Wake,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Longest wait before the rings are looked at again: somebody else may have answered the bell.
const DOZE: Duration = Duration::from_millis(2);

/// A worker did not do as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// Which worker.
    pub worker: u16,
    /// Why; `None` if it has not answered in time.
    pub refusal: Option<Refusal>,
}

impl std::error::Error for Unanswered {}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.refusal {
            Some(refusal) => write!(f, "worker {}: {refusal}", self.worker),
            None => write!(f, "worker {} did not answer in time", self.worker),
        }
    }
}

impl Unanswered {
    pub(crate) fn refused(worker: WorkerId, refusal: Refusal) -> Self {
        Self { worker: worker.0, refusal: Some(refusal) }
    }
}

/// Control's end of one worker: the only producer of its commands, the only consumer of what comes up.
pub struct Link {
    worker: WorkerId,
    commands: CommandSender,
    events: Receiver<Event>,
    /// Events that came while an answer was waited for.
    kept: VecDeque<Event>,
    punts: Receiver<Punt>,
    taps: Option<Receiver<Tapped>>,
    worker_wake: Wake,
    control_wake: Wake,
}

impl Engine {
    /// Probes the backends and starts the workers; each comes with its link.
    ///
    /// # Errors
    /// [`StartError`] names the option, sysctl or limit to change; no thread is left behind.
    pub fn start(config: &EngineConfig) -> Result<(Self, Vec<Link>), StartError> {
        check(config)?;
        // Beyond the limit that is left, adding a socket is refused with its errno.
        let _ = socket::lift_descriptor_limit();
        let probed = probe(config.backend)?;
        let doors = Arc::new(Doors::new(config.workers.len()));
        let mut engine = Self { probed, doors, wakes: Vec::new(), threads: Vec::new(), edge: None };
        let mut links = Vec::new();
        for (number, &core) in (0u16..).zip(&config.workers) {
            match engine.start_worker(WorkerId(number), core, config) {
                Ok(link) => links.push(link),
                Err(error) => {
                    engine.stop(links);
                    return Err(error);
                }
            }
        }
        Ok((engine, links))
    }

    fn start_worker(
        &mut self,
        id: WorkerId,
        core: Option<usize>,
        config: &EngineConfig,
    ) -> Result<Link, StartError> {
        let failed = move |source| StartError::Worker { worker: id.0, core, source };
        let (worker_wake, control_wake) =
            (Wake::new().map_err(failed)?, Wake::new().map_err(failed)?);
        let (command_sender, commands) = command_ring(config.legs_per_worker);
        let (events, event_receiver) = ring(EVENT_RING);
        let (punts, punt_receiver) = ring(PUNT_RING);
        let (taps, tap_receiver) = ring(TAP_RING);
        let (report, started) = mpsc::channel();
        let (legs, frames, waiting) =
            (config.legs_per_worker, config.frames_per_worker, config.waiting);
        let (wake, control) = (worker_wake.clone(), control_wake.clone());
        let Probed { kind, features, .. } = self.probed;
        let doors = Arc::clone(&self.doors);
        let body = move || {
            let set_up = || {
                if let Some(core) = core {
                    cpu::pin(core).map_err(failed)?;
                }
                let bytes = frames * FRAME_SIZE;
                let mut pool = FramePool::new(frames)
                    .map_err(|source| StartError::Frames { bytes, source })?;
                let mut backend = Backend::new(kind, features, &mut pool, &wake).map_err(failed)?;
                if let Waiting::Gather(longest) = waiting {
                    backend.gather(longest);
                }
                let rings = worker::Rings { commands, events, punts, taps, control, doors };
                let mut worker = Worker::new(id, pool, legs, rings);
                worker.busy = waiting == Waiting::Busy;
                Ok((worker, backend))
            };
            match set_up() {
                Ok((worker, backend)) => {
                    let _ = report.send(Ok(()));
                    worker::run(worker, backend, &wake);
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        };
        let thread = thread::Builder::new().name(format!("worker-{}", id.0)).spawn(body);
        self.threads.push(thread.map_err(failed)?);
        self.wakes.push(worker_wake.clone());
        let died = || failed(std::io::Error::other("the thread ended at start"));
        started.recv().map_err(|_| died())??;
        Ok(Link {
            worker: id,
            commands: command_sender,
            events: event_receiver,
            kept: VecDeque::new(),
            punts: punt_receiver,
            taps: Some(tap_receiver),
            worker_wake,
            control_wake,
        })
    }

    /// Starts the edge, once; it is spoken to by its link like a worker, and joined with the workers by
    /// [`Self::hop`].
    ///
    /// # Errors
    /// [`StartError`] names the limit to change; no thread is left behind.
    ///
    /// # Panics
    /// If there is an edge.
    pub fn start_edge(&mut self, config: EdgeConfig) -> Result<Link, StartError> {
        assert!(self.edge.is_none(), "there is one edge");
        check_edge(&config)?;
        let (wake, control_wake) =
            (Wake::new().map_err(StartError::Edge)?, Wake::new().map_err(StartError::Edge)?);
        let (command_sender, commands) = command_ring(0);
        let (events, event_receiver) = ring(EVENT_RING);
        let (punts, punt_receiver) = ring(PUNT_RING);
        let (report, started) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let doors = Arc::clone(&self.doors);
        let rings = edge::Rings { commands, events, punts, control: control_wake.clone(), doors };
        let (own_wake, own_stop) = (wake.clone(), Arc::clone(&stop));
        let body = move || match Edge::new(config, rings, &own_wake) {
            Ok(edge) => {
                let _ = report.send(Ok(()));
                edge::run(edge, &own_wake, &own_stop);
            }
            Err(error) => {
                let _ = report.send(Err(StartError::Edge(error)));
            }
        };
        let thread = thread::Builder::new().name("edge".into()).spawn(body);
        let thread = thread.map_err(StartError::Edge)?;
        let died = || StartError::Edge(std::io::Error::other("the thread ended at start"));
        started.recv().map_err(|_| died())??;
        self.edge = Some(EdgeThread { wake: wake.clone(), stop, thread });
        Ok(Link {
            worker: WorkerId::EDGE,
            commands: command_sender,
            events: event_receiver,
            kept: VecDeque::new(),
            punts: punt_receiver,
            taps: None,
            worker_wake: wake,
            control_wake,
        })
    }

    /// What the start-up probe found.
    pub fn probed(&self) -> &Probed {
        &self.probed
    }

    /// The doors at the node's own addresses, which control opens and closes.
    pub fn doors(&self) -> Arc<Doors> {
        Arc::clone(&self.doors)
    }

    /// The two commands that join `from` to `to` by a ring: the first is for `to`, the second for
    /// `from`. A second ring between the same two is refused by the workers.
    ///
    /// # Panics
    /// If `to` was not started.
    pub fn hop(&self, from: WorkerId, to: WorkerId) -> (Command, Command) {
        let wake = match to {
            WorkerId::EDGE => &self.edge.as_ref().expect("the edge was started").wake,
            WorkerId(worker) => &self.wakes[usize::from(worker)],
        };
        let (sender, receiver) = hop::pair(wake.clone());
        (Command::AddHopFrom { from, end: receiver }, Command::AddHopTo { to, end: sender })
    }

    /// Gives everything that the workers have to the process at the other end of `stream`, which calls
    /// [`Engine::take_over`]. `links` are all of this engine's; nothing else may be sent to the workers
    /// meanwhile. Blocks; media flows until the other process is ready and then stands for as long as
    /// the state needs to get there: the time that is returned. See [`crate::export`].
    ///
    /// # Errors
    /// The engine with its links and the reason; it serves on, and nothing is lost.
    pub fn hand_over(
        self,
        mut links: Vec<Link>,
        stream: &UnixStream,
    ) -> Result<Duration, Box<StillServing>> {
        match give::give(&mut links, stream) {
            Ok(stood) => {
                self.stop(links);
                Ok(stood)
            }
            Err(error) => Err(Box::new(StillServing { error, engine: self, links })),
        }
    }

    /// Starts the workers and fills them with what the process at the other end of `stream` gives, which
    /// calls [`Engine::hand_over`]. At least as many workers, each with at least as many legs, are needed.
    ///
    /// # Errors
    /// [`TakeOverError`]; nothing was sent or received here, and no thread is left behind.
    pub fn take_over(
        config: &EngineConfig,
        stream: &UnixStream,
    ) -> Result<TakenOver, TakeOverError> {
        let (engine, mut links) = Self::start(config)?;
        match take::take(&engine, &mut links, stream) {
            Ok(take::Installed { legs, sockets }) => Ok(TakenOver { engine, links, legs, sockets }),
            Err(error) => {
                engine.stop(links);
                Err(error)
            }
        }
    }

    /// Ends every worker after what it was told before, and the edge, and waits for them.
    pub fn stop(self, links: Vec<Link>) {
        for mut link in links {
            // A link whose ring is full of refused work still has room for this.
            let _ = link.send(Command::Stop);
        }
        for thread in self.threads {
            let _ = thread.join();
        }
        if let Some(EdgeThread { wake, stop, thread }) = self.edge {
            stop.store(true, Ordering::Release);
            wake.wake();
            let _ = thread.join();
        }
    }
}

fn check(config: &EngineConfig) -> Result<(), StartError> {
    let limit = |what, value, allowed, fits: bool| {
        if fits { Ok(()) } else { Err(StartError::Limit { what, value, allowed }) }
    };
    let workers = config.workers.len();
    limit("node.workers", workers, "1 to 64", (1..=WORKERS_MAX).contains(&workers))?;
    let legs = config.legs_per_worker;
    let fits = (1..=LEGS_PER_WORKER_CEILING).contains(&legs);
    limit("limits.legs_per_worker", legs, "1 to 16384", fits)?;
    let frames = config.frames_per_worker;
    let fits = frames.is_power_of_two() && (FRAMES_FLOOR..=1 << 20).contains(&frames);
    limit("limits.frames_per_worker", frames, "a power of two, 256 to 1048576", fits)?;
    let Waiting::Gather(longest) = config.waiting else { return Ok(()) };
    let micros = usize::try_from(longest.as_micros()).unwrap_or(usize::MAX);
    limit("node.gather_us", micros, "0 to 5000", longest <= GATHER_MAX)
}

fn check_edge(config: &EdgeConfig) -> Result<(), StartError> {
    let (streams, each) = (config.streams, config.streams_per_address);
    let allowed = "1 to 65536";
    for (what, value) in [("edge.streams", streams), ("edge.streams_per_address", each)] {
        if !(1..=STREAMS_CEILING).contains(&value) {
            return Err(StartError::Limit { what, value, allowed });
        }
    }
    let listeners = config.listeners.len();
    if !edge::takes(listeners) {
        return Err(StartError::Limit {
            what: "edge.listen",
            value: listeners,
            allowed: "1 to 64",
        });
    }
    Ok(())
}

impl Link {
    /// The worker at the other end.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Sends a command; the worker answers it by its ticket. Removals always have room.
    ///
    /// # Errors
    /// The command itself, unchanged, if the ring has no room for new work.
    pub fn send(&mut self, command: Command) -> Result<Ticket, Command> {
        let ticket = self.post(command)?;
        self.wake_worker();
        Ok(ticket)
    }

    /// As [`Self::send`], but a worker that sleeps goes on to: for several commands at once, of which
    /// [`Self::wake_worker`] tells.
    ///
    /// # Errors
    /// As of [`Self::send`].
    pub fn post(&mut self, command: Command) -> Result<Ticket, Command> {
        self.commands.try_send(command)
    }

    /// Wakes the worker if it sleeps.
    pub fn wake_worker(&self) {
        self.worker_wake.wake();
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.kept.pop_front().or_else(|| self.events.pop())
    }

    /// The next datagram for control's machines.
    pub fn punt(&mut self) -> Option<Punt> {
        self.punts.pop()
    }

    /// The end of the ring that copies of what is recorded come out of ([`Command::Tap`]); another thread may
    /// have it. `None` the second time.
    pub fn take_taps(&mut self) -> Option<Receiver<Tapped>> {
        self.taps.take()
    }

    /// What wakes control when the worker has something for it.
    pub fn wake(&self) -> &Wake {
        &self.control_wake
    }

    /// Whether something waits.
    pub fn has_input(&self) -> bool {
        !self.kept.is_empty() || !self.events.is_empty() || !self.punts.is_empty()
    }

    /// Legs that the worker has room for.
    pub fn legs(&self) -> usize {
        self.commands.legs()
    }

    /// Sends a command, by `deadline` at the latest.
    pub(crate) fn tell(
        &mut self,
        mut command: Command,
        deadline: Instant,
    ) -> Result<Ticket, Unanswered> {
        loop {
            match self.send(command) {
                Ok(ticket) => return Ok(ticket),
                Err(refused) => command = refused,
            }
            // The worker answers what it applies, so its answers need room.
            self.kept.extend(std::iter::from_fn(|| self.events.pop()));
            self.doze(deadline)?;
        }
    }

    /// Waits for the answer to `ticket`. Other events are kept for [`Self::event`].
    pub(crate) fn answer_to(
        &mut self,
        ticket: Ticket,
        deadline: Instant,
    ) -> Result<Returned, Unanswered> {
        loop {
            while let Some(event) = self.events.pop() {
                match event {
                    Event::Applied { ticket: answered, outcome, returned }
                        if answered == ticket =>
                    {
                        let refused = |refusal| Unanswered::refused(self.worker, refusal);
                        return outcome.map(|()| returned).map_err(refused);
                    }
                    event => self.kept.push_back(event),
                }
            }
            self.doze(deadline)?;
        }
    }

    /// Waits a moment for the worker to say something.
    fn doze(&self, deadline: Instant) -> Result<(), Unanswered> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unanswered { worker: self.worker.0, refusal: None });
        }
        let asleep = self.control_wake.prepare();
        if self.events.is_empty() {
            self.control_wake.wait(left.min(DOZE));
        }
        drop(asleep);
        Ok(())
    }
}
