//! One worker's link: the single producer of its commands and the single consumer of its events
//! and punts, which it hands to the calls that they belong to.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use causeway_engine::Link;
use causeway_engine::command::{
    Command, Event, LegId, Punt, PuntKind, Refusal, Returned, Ticket, WorkerId,
};
use causeway_engine::stats::{WorkerCounters, WorkerReading};
use hdrhistogram::Histogram;
use tokio::io::unix::AsyncFd;

use crate::actors::call::{Applied, FromEngine};

/// Messages that can wait for a worker's link.
const MAILBOX: usize = 4096;
/// Events and punts handled in one go before the arbiter's other actors get their turn.
const BATCH: usize = 256;
/// Commands that wait while the link is lent.
const WAITING_MAX: usize = 4096;
/// How often the worker's counters are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// The leg slots of one worker. A slot is free again when the worker has given the leg back.
#[derive(Debug)]
pub struct Slots {
    worker: WorkerId,
    free: Vec<u16>,
    generations: Vec<u32>,
}

impl Slots {
    /// All `legs` slots of `worker`, free.
    pub fn new(worker: WorkerId, legs: usize) -> Self {
        let count = u16::try_from(legs).unwrap_or(u16::MAX);
        Self { worker, free: (0..count).rev().collect(), generations: vec![0; legs] }
    }

    /// A leg id that was never used before.
    pub fn take(&mut self) -> Option<LegId> {
        let slot = self.free.pop()?;
        let generation = &mut self.generations[usize::from(slot)];
        *generation += 1;
        Some(LegId { worker: self.worker, slot, generation: *generation })
    }

    /// Gives a slot back.
    pub fn give(&mut self, leg: LegId) {
        self.free.push(leg.slot);
    }

    /// Slots that are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

/// A worker as everybody may see it: its slots and its latest counters.
#[derive(Debug)]
pub struct WorkerDesk {
    /// Which worker.
    pub worker: WorkerId,
    /// Its leg slots.
    pub slots: Mutex<Slots>,
    /// What was read last.
    pub latest: Mutex<Latest>,
}

/// A worker's totals.
#[derive(Debug)]
pub struct Latest {
    /// Counters since start.
    pub counters: WorkerCounters,
    /// Latency in nanoseconds since start.
    pub latency: Histogram<u64>,
    /// Bytes received per second between the last two readings.
    pub bytes_per_second: u64,
    /// When the last one came.
    read_at: Option<Instant>,
}

impl Latest {
    fn new() -> Self {
        let WorkerReading { counters, latency } = WorkerReading::new();
        Self { counters, latency, bytes_per_second: 0, read_at: None }
    }

    fn note(&mut self, reading: &WorkerReading, now: Instant) {
        if let Some(before) = self.read_at.replace(now) {
            let bytes = reading.counters.bytes_in.saturating_sub(self.counters.bytes_in);
            self.bytes_per_second = per_second(bytes, now.saturating_duration_since(before));
        }
        self.counters.clone_from(&reading.counters);
        // Both have the same constant bounds.
        let _ = self.latency.add(&reading.latency);
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    count.saturating_mul(1000).checked_div(millis).unwrap_or_default()
}

impl WorkerDesk {
    /// A desk for `worker` with room for `legs` legs.
    pub fn new(worker: WorkerId, legs: usize) -> Arc<Self> {
        Arc::new(Self {
            worker,
            slots: Mutex::new(Slots::new(worker, legs)),
            latest: Mutex::new(Latest::new()),
        })
    }
}

/// What a call wants of its worker.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tell {
    /// Whom to answer.
    pub call: Recipient<FromEngine>,
    /// The commands in order, each with the call's own number for the answer, or [`UNASKED`].
    pub commands: Vec<(u64, Command)>,
}

/// The number of a command whose answer nobody waits for.
pub const UNASKED: u64 = u64::MAX;

/// Tells a call's worker what the call wants. New work is refused by a full mailbox; removals must pass and
/// are bounded by the legs.
pub(crate) fn tell<C>(link: &Addr<WorkerLink>, commands: Vec<(u64, Command)>, ctx: &mut Context<C>)
where
    C: Actor<Context = Context<C>> + Handler<FromEngine>,
{
    if commands.is_empty() {
        return;
    }
    let removes = commands.iter().any(|(_, command)| command.is_removal());
    let tell = Tell { call: ctx.address().recipient(), commands };
    if removes {
        link.do_send(tell);
    } else if let Err(SendError::Full(tell) | SendError::Closed(tell)) = link.try_send(tell) {
        let refused = tell.commands.into_iter().map(|(tag, _)| Applied::refused(tag));
        ctx.notify(FromEngine::Applied(refused.collect()));
    }
}

/// Lets the events and punts of a leg find its call; sent before the leg is installed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Own {
    /// The leg.
    pub leg: LegId,
    /// Its call.
    pub call: Recipient<FromEngine>,
}

/// Lets TURN's requests and what happens to streams find the server.
#[derive(Message)]
#[rtype(result = "()")]
pub struct OwnTurn(pub Recipient<FromThread>);

/// What comes up that belongs to no call.
#[derive(Message)]
#[rtype(result = "()")]
pub enum FromThread {
    /// A datagram, and the thread that took it in.
    Punt(WorkerId, Box<Punt>),
    /// Something that the thread saw.
    Event(WorkerId, Event),
}

/// Who waits for answers, shared by all commands of a [`Tell`].
type Asker = Rc<Recipient<FromEngine>>;

/// The actor.
pub struct WorkerLink {
    /// `None` while it is lent.
    link: Option<Link>,
    /// What calls wanted of the worker meanwhile.
    waiting: VecDeque<(Asker, u64, Command)>,
    watch: Option<SpawnHandle>,
    desk: Arc<WorkerDesk>,
    owners: HashMap<u16, (LegId, Recipient<FromEngine>)>,
    turn: Option<Recipient<FromThread>>,
    pending: HashMap<Ticket, (u64, Asker)>,
    /// Answers in a row for the same one, which go up together.
    answers: Option<(Asker, Vec<Applied>)>,
    removals: HashMap<Ticket, LegId>,
    /// Whether the worker is to be woken once the mailbox is empty.
    posted: bool,
    spare: Option<Box<WorkerReading>>,
}

impl WorkerLink {
    /// Wraps a link.
    pub fn new(link: Link, desk: Arc<WorkerDesk>) -> Self {
        Self {
            link: Some(link),
            waiting: VecDeque::new(),
            watch: None,
            desk,
            owners: HashMap::new(),
            turn: None,
            pending: HashMap::new(),
            answers: None,
            removals: HashMap::new(),
            posted: false,
            spare: Some(Box::new(WorkerReading::new())),
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..BATCH {
            let Some(event) = self.link.as_mut().and_then(Link::event) else { break };
            self.route_event(event);
        }
        self.hand_up();
        for _ in 0..BATCH {
            let Some(punt) = self.link.as_mut().and_then(Link::punt) else { break };
            self.route_punt(punt);
        }
        if self.link.as_ref().is_some_and(Link::has_input) {
            ctx.notify(Pump);
        }
    }

    fn route_event(&mut self, event: Event) {
        // Nothing overtakes the answers before it.
        if !matches!(event, Event::Applied { .. }) {
            self.hand_up();
        }
        let leg = match event {
            Event::Applied { ticket, outcome, returned } => {
                return self.route_answer(ticket, outcome, returned);
            }
            Event::Nominated { transport, .. }
            | Event::ConsentLost { transport }
            | Event::RoleConflict { transport }
            | Event::MediaStarted { transport, .. } => transport.leg,
            Event::LayerChanged { sink, .. } => sink.leg,
            Event::Speaking { stream, .. } => stream.leg,
            Event::StreamClosed { .. }
            | Event::PeerConnected { .. }
            | Event::PeerAccepted { .. }
            | Event::PeerClosed { .. } => {
                if let Some(turn) = &self.turn {
                    turn.do_send(FromThread::Event(self.desk.worker, event));
                }
                return;
            }
        };
        if let Some((owner, call)) = self.owners.get(&leg.slot)
            && *owner == leg
        {
            call.do_send(FromEngine::Event(event));
        }
    }

    fn route_answer(&mut self, ticket: Ticket, outcome: Result<(), Refusal>, returned: Returned) {
        if let Some(leg) = self.removals.remove(&ticket) {
            self.owners.remove(&leg.slot);
            lock(&self.desk.slots).give(leg);
        }
        match returned {
            Returned::Worker(reading) => self.note(reading),
            returned => {
                if let Some((tag, asker)) = self.pending.remove(&ticket) {
                    self.answer(asker, Applied { tag, outcome, returned });
                }
            }
        }
    }

    fn answer(&mut self, asker: Asker, answer: Applied) {
        match &mut self.answers {
            Some((same, answers)) if Rc::ptr_eq(same, &asker) => answers.push(answer),
            _ => {
                self.hand_up();
                self.answers = Some((asker, vec![answer]));
            }
        }
    }

    /// Hands the answers up that wait for more of their kind.
    fn hand_up(&mut self) {
        if let Some((asker, answers)) = self.answers.take() {
            asker.do_send(FromEngine::Applied(answers));
        }
    }

    fn note(&mut self, mut reading: Box<WorkerReading>) {
        lock(&self.desk.latest).note(&reading, Instant::now());
        reading.latency.reset();
        self.spare = Some(reading);
    }

    fn route_punt(&mut self, punt: Punt) {
        let leg = punt.transport.map(|transport| transport.leg);
        if let (PuntKind::Turn, Some(turn)) = (punt.kind, &self.turn) {
            // A full mailbox loses the request, as the network may.
            let _ = turn.try_send(FromThread::Punt(self.desk.worker, Box::new(punt)));
            return;
        }
        if let Some(leg) = leg
            && let Some((owner, call)) = self.owners.get(&leg.slot)
            && *owner == leg
        {
            // A full mailbox loses the datagram, as the network may.
            let _ = call.try_send(FromEngine::Punt(Box::new(punt)));
        }
    }

    /// One wake for all that calls have asked for by now: each costs as much as ten commands.
    fn wake_worker(&mut self, ctx: &mut Context<Self>) {
        if !self.posted {
            self.posted = true;
            // Comes after what waits in the mailbox.
            ctx.notify(Wake);
        }
    }

    fn post(&mut self, call: &Asker, tag: u64, command: Command) {
        let removal = match &command {
            Command::RemoveLeg { leg } => Some(*leg),
            _ => None,
        };
        let Some(link) = &mut self.link else {
            if self.waiting.len() < WAITING_MAX || removal.is_some() {
                self.waiting.push_back((call.clone(), tag, command));
            } else {
                self.refuse(call, tag);
            }
            return;
        };
        match link.post(command) {
            Ok(ticket) => {
                if tag != UNASKED {
                    self.pending.insert(ticket, (tag, call.clone()));
                }
                if let Some(leg) = removal {
                    self.removals.insert(ticket, leg);
                }
            }
            Err(_command) => self.refuse(call, tag),
        }
    }

    fn refuse(&mut self, call: &Asker, tag: u64) {
        if tag != UNASKED {
            self.answer(call.clone(), Applied::refused(tag));
        }
    }

    fn read(&mut self) {
        if let Some(link) = &mut self.link
            && let Some(reading) = self.spare.take()
            && let Err(Command::ReadWorker(reading)) = link.send(Command::ReadWorker(reading))
        {
            self.spare = Some(reading);
        }
    }
}

/// A lock that a panicking thread cannot poison for the others: what it guards is counters.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Actor for WorkerLink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(READ_INTERVAL, |link, _| link.read());
        self.watch(ctx);
    }
}

impl WorkerLink {
    /// Pumps whenever the worker has something to say.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let Some(wake) = self.link.as_ref().map(|link| link.wake().clone()) else { return };
        let addr = ctx.address();
        self.watch = Some(ctx.spawn(
            async move {
                #[expect(
                    deprecated,
                    reason = "its successor is unsafe to call; a Wake owns its descriptor for life"
                )]
                let Ok(fd) = AsyncFd::new(wake.clone()) else { return };
                loop {
                    let sleep = wake.prepare();
                    // What came before the flag was set is found here; what comes after it writes.
                    if addr.send(Pump).await.is_err() {
                        return;
                    }
                    let Ok(mut ready) = fd.readable().await else { return };
                    drop(sleep);
                    wake.drain();
                    ready.clear_ready();
                }
            }
            .into_actor(self),
        ));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Pump;

impl Handler<Pump> for WorkerLink {
    type Result = ();

    fn handle(&mut self, _: Pump, ctx: &mut Self::Context) {
        self.pump(ctx);
    }
}

impl Handler<Own> for WorkerLink {
    type Result = ();

    fn handle(&mut self, Own { leg, call }: Own, _: &mut Self::Context) {
        self.owners.insert(leg.slot, (leg, call));
    }
}

impl Handler<OwnTurn> for WorkerLink {
    type Result = ();

    fn handle(&mut self, OwnTurn(turn): OwnTurn, _: &mut Self::Context) {
        self.turn = Some(turn);
    }
}

impl Handler<Tell> for WorkerLink {
    type Result = ();

    fn handle(&mut self, Tell { call, commands }: Tell, ctx: &mut Self::Context) {
        let call = Rc::new(call);
        for (tag, command) in commands {
            self.post(&call, tag, command);
        }
        self.hand_up();
        self.wake_worker(ctx);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Wake;

impl Handler<Wake> for WorkerLink {
    type Result = ();

    fn handle(&mut self, _: Wake, _: &mut Self::Context) {
        self.posted = false;
        self.link.iter().for_each(Link::wake_worker);
    }
}

/// Ends the worker; the link goes back to whoever waits for the engine to stop.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopWorker;

impl Handler<StopWorker> for WorkerLink {
    type Result = ();

    fn handle(&mut self, _: StopWorker, ctx: &mut Self::Context) {
        if let Some(link) = &mut self.link {
            let _ = link.send(Command::Stop);
        }
        ctx.stop();
    }
}

/// Takes the link out. What calls want of the worker waits until it is given back.
#[derive(Message)]
#[rtype(result = "Option<Link>")]
pub struct Lend;

impl Handler<Lend> for WorkerLink {
    type Result = Option<Link>;

    fn handle(&mut self, _: Lend, ctx: &mut Self::Context) -> Option<Link> {
        if let Some(watch) = self.watch.take() {
            ctx.cancel_future(watch);
        }
        self.link.take()
    }
}

/// Gives the link back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GiveBack(pub Link);

impl Handler<GiveBack> for WorkerLink {
    type Result = ();

    fn handle(&mut self, GiveBack(link): GiveBack, ctx: &mut Self::Context) {
        self.link = Some(link);
        for (call, tag, command) in std::mem::take(&mut self.waiting) {
            self.post(&call, tag, command);
        }
        self.hand_up();
        self.wake_worker(ctx);
        self.watch(ctx);
        ctx.notify(Pump);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_of_the_time_between_two_readings() {
        let (mut latest, mut reading) = (Latest::new(), WorkerReading::new());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        reading.counters.bytes_in = 5_000;
        latest.note(&reading, start);
        assert_eq!(latest.bytes_per_second, 0, "one reading says nothing of time");
        reading.counters.bytes_in = 9_000;
        latest.note(&reading, start + 2 * second);
        assert_eq!(latest.bytes_per_second, 2_000);
        latest.note(&reading, start + 3 * second);
        assert_eq!(latest.bytes_per_second, 0);
    }
}
