//! What is done with a request's document, by whatever door it came.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Door;
use super::counts::Counts;
use super::desk::Asker;
use super::figures::Figures;
use super::queue::{Queue, Rank};
use super::statistics;
use crate::actors::worker_link::lock;
use crate::calls::{NgAsked, NgCalls};
use crate::config::Peer;
use crate::ng::cookies::RUNNING_MAX;
use crate::ng::{Command, Dictionary, LoadLimit, Message, NgError, Reply, Request, Value, frame};

/// What all doors share.
pub(super) struct Work {
    calls: Arc<dyn NgCalls>,
    peers: Vec<Peer>,
    /// How long a request may take.
    patience: Duration,
    /// Requests without a cookie that may still run; the others are bounded by their cookies.
    room: Semaphore,
    queue: Arc<Queue>,
    counts: Mutex<Counts>,
}

/// A request that was dealt with.
pub(super) struct Done {
    /// The reply.
    pub(super) document: Vec<u8>,
    /// Whether it took too long: the reply says so, and what was asked may happen yet.
    pub(super) late: bool,
}

impl Work {
    pub(super) fn new(peers: &[Peer], patience: Duration, calls: Arc<dyn NgCalls>) -> Self {
        Self {
            calls,
            peers: peers.to_vec(),
            patience,
            room: Semaphore::new(RUNNING_MAX),
            queue: Arc::default(),
            counts: Mutex::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    pub(super) fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut lock(&self.counts));
    }

    /// Whether this one may ask; who may not is counted.
    pub(super) fn admits(&self, asker: &Asker) -> bool {
        let known = self.peers.is_empty() || self.peers.iter().any(|peer| peer.holds(asker.peer));
        if !known {
            self.count(|counts| counts.refuse(asker.door));
        }
        known
    }

    /// Runs a request that has no cookie, if there is room.
    pub(super) async fn run_plain(&self, asker: &Asker, document: &[u8]) -> Vec<u8> {
        match self.room.try_acquire() {
            Ok(_room) => self.run(asker, document, Instant::now()).await.document,
            Err(_) => self.refuse(asker, document),
        }
    }

    /// Runs a request that came at `since`.
    pub(super) async fn run(&self, asker: &Asker, document: &[u8], since: Instant) -> Done {
        let mut late = false;
        let (format, read) = frame::read(document);
        let command = read.as_ref().ok().and_then(command);
        let reply = match read.and_then(|document| Message::parse(&document)) {
            Ok(message) => self.ask(asker, message, since).await.unwrap_or_else(|| {
                late = true;
                Reply::error(NgError::Late)
            }),
            Err(error) => Reply::error(error),
        };
        let failed = reply.is_failure();
        self.count(|counts| {
            counts.served((asker.door, asker.peer), command, failed, since.elapsed());
            if late {
                counts.late();
            }
        });
        Done { document: reply.write(format), late }
    }

    /// `None` if it takes too long.
    async fn ask(&self, asker: &Asker, message: Message, since: Instant) -> Option<Reply> {
        let (command, call) = (message.request.command(), message.request.call_id());
        tracing::debug!(%command, call, peer = %asker.peer, door = asker.door.label(), "ng request");
        if message.request == Request::Statistics {
            let figures = Figures::of(&self.calls.stats(), &self.counts());
            return Some(Reply::ok().with("statistics", statistics::dictionary(&figures)));
        }
        let brief = asker.door == Door::Udp;
        let served = async {
            let seat = self.queue.enter(Rank::of(&message.request), since).await;
            let late = seat.is_none();
            self.calls.ng(NgAsked { message, brief, late }).await
        };
        tokio::time::timeout_at((since + self.patience).into(), served).await.ok()
    }

    /// What a request is told that the node has no time for.
    pub(super) fn refuse(&self, asker: &Asker, document: &[u8]) -> Vec<u8> {
        let (format, read) = frame::read(document);
        let command = read.as_ref().ok().and_then(command);
        let message = read.and_then(|document| Message::parse(&document));
        let supported = message.is_ok_and(|message| message.supports_load_limit);
        self.count(|counts| {
            counts.served((asker.door, asker.peer), command, true, Duration::ZERO);
        });
        Reply::refusal(NgError::Limited(LoadLimit::Load), supported).write(format)
    }
}

fn command(document: &Dictionary) -> Option<Command> {
    Command::parse(&document.lookup("command").and_then(Value::text)?)
}
