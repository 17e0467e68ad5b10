//! Every proxied call by the id that its proxy gave it, and whether another one can be taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::dtls::DtlsActor;
use crate::actors::load::{Admission, INTERVAL, Load};
use crate::actors::proxied::{Finish, NgAsk, ProxiedActor, ProxiedNeighbours, clock};
use crate::actors::registry::WorkerSeat;
use crate::actors::worker_link::lock;
use crate::api::ProxiedStats;
use crate::ng::{LoadLimit, NgError, Reply, Request};
use crate::ports::PortDesk;
use crate::proxied::{CallRecord, EndedBy, Facts, ProxiedCall};
use crate::recording::Recorder;
use crate::records::{self, Records};

/// Messages that can wait; beyond it a request is refused.
const MAILBOX: usize = 4096;

/// Why a request is not done, and who is to be told.
type Refused = (NgError, oneshot::Sender<Reply>);

/// Who writes down what becomes of calls.
pub struct Scribes {
    /// That they are over.
    pub records: Records,
    /// What is said in them.
    pub recorder: Recorder,
}

/// The actor.
pub struct Switchboard {
    seats: Vec<WorkerSeat>,
    dtls: Vec<Addr<DtlsActor>>,
    ports: Arc<Mutex<PortDesk>>,
    facts: Arc<Facts>,
    calls: HashMap<String, Addr<ProxiedActor>>,
    /// Calls that were closed and whose record is yet to come.
    closing: usize,
    load: Load,
    counts: Arc<Mutex<ProxiedStats>>,
    scribes: Scribes,
    emptied: Option<oneshot::Sender<()>>,
}

impl Switchboard {
    /// A switchboard of no calls.
    pub fn new(
        seats: Vec<WorkerSeat>,
        dtls: Vec<Addr<DtlsActor>>,
        ports: Arc<Mutex<PortDesk>>,
        facts: Arc<Facts>,
        limits: Admission,
        counts: Arc<Mutex<ProxiedStats>>,
        scribes: Scribes,
    ) -> Self {
        Self {
            seats,
            dtls,
            ports,
            facts,
            calls: HashMap::new(),
            closing: 0,
            load: Load::new(limits),
            counts,
            scribes,
            emptied: None,
        }
    }

    /// Makes a call on the worker that has most room; none where its offer has waited too long, or another limit is
    /// reached.
    fn create(
        &mut self,
        id: &str,
        late: bool,
        ctx: &mut Context<Self>,
    ) -> Result<Addr<ProxiedActor>, LoadLimit> {
        let bandwidth = self.seats.iter().map(|seat| lock(&seat.desk.latest).bytes_per_second);
        let limit = late.then_some(LoadLimit::Load);
        let limit = limit.or_else(|| self.load.exceeded(self.calls.len(), bandwidth.sum()));
        if let Some(limit) = limit {
            return Err(limit);
        }
        let free = |seat: &&WorkerSeat| lock(&seat.desk.slots).free();
        let roomiest = self.seats.iter().max_by_key(free).filter(|seat| free(seat) > 1);
        let seat = roomiest.ok_or(LoadLimit::Sessions)?;
        let mut counts = lock(&self.counts);
        let turn = usize::try_from(counts.created).unwrap_or_default();
        let to = ProxiedNeighbours {
            link: seat.link.clone(),
            desk: seat.desk.clone(),
            ports: self.ports.clone(),
            dtls: self.dtls[turn % self.dtls.len().max(1)].clone(),
            recorder: self.scribes.recorder.clone(),
            switchboard: ctx.address(),
        };
        let worker = seat.desk.worker;
        let call = ProxiedCall::new(id.to_owned(), worker, self.facts.clone(), clock());
        let actor = ProxiedActor::new(call, to).start();
        self.calls.insert(id.to_owned(), actor.clone());
        counts.created += 1;
        counts.live = self.calls.len() as u64;
        Ok(actor)
    }

    fn say_emptied(&mut self) {
        if self.calls.is_empty()
            && self.closing == 0
            && let Some(emptied) = self.emptied.take()
        {
            // Whoever waited may have given up.
            let _ = emptied.send(());
        }
    }

    /// Answers what no call is needed for, or hands on to the call.
    fn route(&mut self, ask: NgAsk, ctx: &mut Context<Self>) -> Result<(), Refused> {
        let supports = ask.message.supports_load_limit;
        match &ask.message.request {
            Request::List { limit } => {
                let ids = self.calls.keys().take(*limit).map(String::as_str);
                let _ = ask.reply.send(Reply::ok().with_calls(ids));
                return Ok(());
            }
            Request::Unserved(command) => return Err((NgError::Unserved(*command), ask.reply)),
            _ => {}
        }
        let Some(id) = ask.message.request.call_id().map(str::to_owned) else {
            return Err((NgError::NoCallId, ask.reply));
        };
        let is_offer = matches!(ask.message.request, Request::Offer(_) | Request::Publish(_));
        let call = match self.calls.get(&id) {
            Some(call) => call.clone(),
            None if is_offer => match self.create(&id, ask.late, ctx) {
                Ok(call) => call,
                Err(limit) => {
                    lock(&self.counts).reject(limit);
                    return Err((NgError::Limited(limit), ask.reply));
                }
            },
            None => {
                if let Request::Delete(delete) = &ask.message.request
                    && !delete.fatal
                {
                    let warning = NgError::NothingDeleted.to_string();
                    let _ = ask.reply.send(Reply::ok().with_warning(&warning));
                    return Ok(());
                }
                return Err((ask.message.request.command().unknown_call(), ask.reply));
            }
        };
        if let Err(SendError::Full(ask) | SendError::Closed(ask)) = call.try_send(ask) {
            let busy = NgError::Limited(LoadLimit::Load);
            let _ = ask.reply.send(Reply::refusal(busy, supports));
        }
        Ok(())
    }
}

impl Actor for Switchboard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.load.is_wanted() {
            self.load.look();
            ctx.run_interval(INTERVAL, |switchboard, _| switchboard.load.look());
        }
    }
}

impl Handler<NgAsk> for Switchboard {
    type Result = ();

    fn handle(&mut self, ask: NgAsk, ctx: &mut Self::Context) {
        let supports = ask.message.supports_load_limit;
        if let Err((error, reply)) = self.route(ask, ctx) {
            let _ = reply.send(Reply::refusal(error, supports));
        }
    }
}

/// A call takes no further request: its id may be another's.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Closed {
    /// Its id.
    pub id: String,
    /// Which it was.
    pub call: Addr<ProxiedActor>,
}

impl Handler<Closed> for Switchboard {
    type Result = ();

    fn handle(&mut self, Closed { id, call }: Closed, _: &mut Self::Context) {
        self.closing += 1;
        if self.calls.get(&id) == Some(&call) {
            self.calls.remove(&id);
        }
    }
}

/// What is told of a call that was closed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ended {
    /// What.
    pub record: Box<CallRecord>,
}

impl Handler<Ended> for Switchboard {
    type Result = ();

    fn handle(&mut self, Ended { record }: Ended, _: &mut Self::Context) {
        self.closing = self.closing.saturating_sub(1);
        let mut counts = lock(&self.counts);
        counts.live = self.calls.len() as u64;
        note(&mut counts, &record);
        drop(counts);
        self.scribes.records.tell(|| records::of_proxied(&record));
        self.say_emptied();
    }
}

/// Counts a call that is over.
fn note(stats: &mut ProxiedStats, record: &CallRecord) {
    *stats.ended.entry(record.by.label().to_owned()).or_default() += 1;
    if record.by == EndedBy::Refused {
        return;
    }
    let spoke = record.media.iter().filter(|media| media.packets > 0).count();
    stats.one_way += u64::from(spoke == 1 && record.media.len() > 1);
    stats.silent += (record.media.len() - spoke) as u64;
    stats.seconds.note(record.ended.saturating_sub(record.began).as_secs_f64());
    for media in &record.media {
        stats.packets += media.packets;
        stats.bytes += media.bytes;
        stats.strangers += media.strangers;
        if let Some(mos) = media.mos {
            stats.mos.note(mos);
        }
    }
}

/// The ids of calls, so many at most.
#[derive(Message)]
#[rtype(result = "Vec<String>")]
pub struct Ids(pub usize);

impl Handler<Ids> for Switchboard {
    type Result = Vec<String>;

    fn handle(&mut self, Ids(limit): Ids, _: &mut Self::Context) -> Self::Result {
        self.calls.keys().take(limit).cloned().collect()
    }
}

/// The call of an id.
#[derive(Message)]
#[rtype(result = "Option<Addr<ProxiedActor>>")]
pub struct Called(pub String);

impl Handler<Called> for Switchboard {
    type Result = Option<Addr<ProxiedActor>>;

    fn handle(&mut self, Called(id): Called, _: &mut Self::Context) -> Self::Result {
        self.calls.get(&id).cloned()
    }
}

/// Ends every call and takes no more; says when all have ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HangUp {
    /// Dropped or told when there is no call left.
    pub emptied: oneshot::Sender<()>,
}

impl Handler<HangUp> for Switchboard {
    type Result = ();

    fn handle(&mut self, HangUp { emptied }: HangUp, _: &mut Self::Context) {
        self.load.close();
        for call in self.calls.values() {
            call.do_send(Finish(EndedBy::Stopped));
        }
        self.emptied = Some(emptied);
        self.say_emptied();
    }
}
