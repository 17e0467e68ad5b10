//! Who is there: every call by its id, and whether another one can be taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::call::{Ask, CallActor, Neighbours, Remarked, Request};
use crate::actors::dtls::DtlsActor;
use crate::actors::events::{Events, unix_ms};
use crate::actors::past::Past;
use crate::actors::worker_link::{WorkerDesk, WorkerLink, lock};
use crate::api::{CallView, CreateCall, EndReason, Problem, Why};
use crate::call::{Call, Eyes, Journal, NodeFacts, Remark, random_id};
use crate::ports::PortDesk;
use crate::records::Records;

/// Messages that can wait; beyond it a request is refused.
const MAILBOX: usize = 4096;

/// One worker as the registry deals with it.
#[derive(Clone)]
pub struct WorkerSeat {
    /// Its link.
    pub link: Addr<WorkerLink>,
    /// Its slots and counters.
    pub desk: Arc<WorkerDesk>,
    /// What calls on it need to know.
    pub facts: Arc<NodeFacts>,
}

/// Numbers of calls, for everybody to read.
#[derive(Debug, Default)]
pub struct CallCounts {
    /// Calls that are not over.
    pub live: AtomicU64,
    /// Calls created since the start.
    pub created: AtomicU64,
}

/// The actor.
pub struct Registry {
    seats: Vec<WorkerSeat>,
    dtls: Vec<Addr<DtlsActor>>,
    ports: Arc<Mutex<PortDesk>>,
    calls: HashMap<String, Addr<CallActor>>,
    past: Past,
    calls_max: usize,
    events: Events,
    counts: Arc<CallCounts>,
    records: Records,
    emptied: Option<oneshot::Sender<()>>,
}

impl Registry {
    /// A registry of no calls.
    pub fn new(
        seats: Vec<WorkerSeat>,
        dtls: Vec<Addr<DtlsActor>>,
        ports: Arc<Mutex<PortDesk>>,
        calls_max: usize,
        events: Events,
        counts: Arc<CallCounts>,
        records: Records,
    ) -> Self {
        let (calls, past) = (HashMap::new(), Past::default());
        let emptied = None;
        Self { seats, dtls, ports, calls, past, calls_max, events, counts, records, emptied }
    }

    fn say_emptied(&mut self) {
        if self.calls.is_empty()
            && let Some(emptied) = self.emptied.take()
        {
            // Whoever waited may have given up.
            let _ = emptied.send(());
        }
    }

    /// The seat with most room.
    fn seat(&self) -> Option<&WorkerSeat> {
        self.seats.iter().max_by_key(|seat| lock(&seat.desk.slots).free())
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

/// Makes a call.
#[derive(Message)]
#[rtype(result = "Result<CallView, Problem>")]
pub struct Create(pub CreateCall);

impl Handler<Create> for Registry {
    type Result = Result<CallView, Problem>;

    fn handle(&mut self, Create(asked): Create, ctx: &mut Self::Context) -> Self::Result {
        if self.calls_max == 0 {
            return Err(Problem::unavailable("the node is stopping"));
        }
        if self.calls.len() >= self.calls_max {
            let detail = format!("the node has {} calls, its limit", self.calls_max);
            return Err(Problem::unavailable(detail));
        }
        let seat = self.seat().ok_or_else(|| Problem::unavailable("no media worker"))?;
        if lock(&seat.desk.slots).free() == 0 {
            return Err(Problem::unavailable("every media worker is at its limit of legs"));
        }
        let created = self.counts.created.fetch_add(1, Ordering::Relaxed);
        let dtls = usize::try_from(created).unwrap_or_default() % self.dtls.len().max(1);
        let to = Neighbours {
            link: seat.link.clone(),
            desk: seat.desk.clone(),
            ports: self.ports.clone(),
            dtls: self.dtls[dtls].clone(),
            registry: ctx.address(),
            events: self.events.clone(),
        };
        let id = random_id();
        let (facts, worker) = (seat.facts.clone(), seat.desk.worker);
        let call = Call::new(id.clone(), asked, worker, facts, unix_ms(), Instant::now());
        let view = call.view();
        let actor = CallActor::new(id.clone(), call, to).start();
        self.calls.insert(id, actor);
        self.counts.live.store(self.calls.len() as u64, Ordering::Relaxed);
        Ok(view)
    }
}

/// Finds a call.
#[derive(Message)]
#[rtype(result = "Result<Addr<CallActor>, Problem>")]
pub struct Find(pub String);

impl Handler<Find> for Registry {
    type Result = Result<Addr<CallActor>, Problem>;

    fn handle(&mut self, Find(id): Find, _: &mut Self::Context) -> Self::Result {
        let call = self.calls.get(&id).cloned();
        call.ok_or_else(|| Problem::not_found("there is no such call, or it is over"))
    }
}

/// Every call.
#[derive(Message)]
#[rtype(result = "Result<Vec<Addr<CallActor>>, Problem>")]
pub struct All;

impl Handler<All> for Registry {
    type Result = Result<Vec<Addr<CallActor>>, Problem>;

    fn handle(&mut self, _: All, _: &mut Self::Context) -> Self::Result {
        Ok(self.calls.values().cloned().collect())
    }
}

/// A call is over and the worker has nothing of it any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Gone {
    /// The call.
    pub call: String,
    /// What happened in it.
    pub journal: Box<Journal>,
}

impl Handler<Gone> for Registry {
    type Result = ();

    fn handle(&mut self, Gone { call, journal }: Gone, _: &mut Self::Context) {
        self.calls.remove(&call);
        self.records.tell(|| journal.record());
        self.past.keep(journal, Instant::now());
        self.say_emptied();
        self.counts.live.store(self.calls.len() as u64, Ordering::Relaxed);
    }
}

/// Asks why a call that is over worked or did not.
#[derive(Message)]
#[rtype(result = "Result<Why, Problem>")]
pub struct WhyPast(pub String, pub Eyes);

impl Handler<WhyPast> for Registry {
    type Result = Result<Why, Problem>;

    fn handle(&mut self, WhyPast(call, eyes): WhyPast, _: &mut Self::Context) -> Self::Result {
        self.past
            .why(&call, &eyes, Instant::now())
            .ok_or_else(|| Problem::not_found("there is no such call, or it is over for too long"))
    }
}

/// Something that a door has seen of a call, which may be over. Nobody waits for an answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Seen {
    /// The call.
    pub call: String,
    /// What.
    pub remark: Remark,
}

impl Handler<Seen> for Registry {
    type Result = ();

    fn handle(&mut self, Seen { call, remark }: Seen, _: &mut Self::Context) {
        match self.calls.get(&call) {
            // A call that is busy has more to tell than this.
            Some(live) => drop(live.try_send(Remarked(remark))),
            None => self.past.remark(&call, remark, Instant::now()),
        }
    }
}

/// Ends every call and takes no more; says when the workers have given everything back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EndAll {
    /// Dropped or told when there is no call left.
    pub emptied: oneshot::Sender<()>,
}

impl Handler<EndAll> for Registry {
    type Result = ();

    fn handle(&mut self, EndAll { emptied }: EndAll, _: &mut Self::Context) {
        self.calls_max = 0;
        for call in self.calls.values() {
            let (reply, _answer) = oneshot::channel();
            call.do_send(Request { ask: Ask::End(EndReason::CallEnded), reply });
        }
        self.emptied = Some(emptied);
        self.say_emptied();
    }
}

/// Another address is announced for an interface, by its place.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct Announced {
    /// Which interface.
    pub place: usize,
    /// What new legs are told.
    pub address: IpAddr,
}

impl Handler<Announced> for Registry {
    type Result = ();

    fn handle(&mut self, announced: Announced, _: &mut Self::Context) {
        for seat in &mut self.seats {
            Arc::make_mut(&mut seat.facts).announce(announced.place, announced.address);
        }
        for call in self.calls.values() {
            call.do_send(announced);
        }
    }
}

/// How long a request waits for an actor before it is refused.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
