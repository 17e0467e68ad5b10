//! Datagrams that come again: a client that hears nothing sends its request once more with the same
//! cookie, and the request must not run twice.
//!
//! Replies are kept in two generations. Every [`GENERATION`] the older one goes and the newer takes its
//! place, so that a reply is known for 30 to 60 s without a timer for each. Cookies are compared as they are,
//! whoever sends them, as rtpengine does: a proxy that restarts may ask from another port.
//!
//! # At the limits
//! The newer generation takes half of [`REPLIES_MAX`] and of [`BYTES_MAX`]. Beyond, the generations change
//! early: new work goes on, and replies are forgotten sooner, the oldest first. A reply that is larger than half of the bytes is not kept at all.
//! [`RUNNING_MAX`] requests may be in progress; one more is [`Asked::Busy`], and is best not answered, since the
//! client asks again. [`WAITING_MAX`] repeats may wait for one of them; further ones need no answer.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// The replies of the last requests, and who waits for those that are in progress. `W` is what the
/// server needs to answer a repeat, such as an address.
#[derive(Debug)]
pub struct Cookies<W> {
    newer: Generation,
    older: Generation,
    /// When the newer generation began.
    began: Instant,
    running: HashMap<Box<[u8]>, Vec<W>>,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Run it, then tell [`Cookies::answered`], or [`Cookies::abandoned`] if there is no reply.
    Run,
    /// Send these bytes: it has run already.
    Answered(Bytes),
    /// Nothing: it is in progress, and whoever asked now is told later.
    Waits,
    /// Nothing: as many wait for it as may.
    Ignored,
    /// Nothing: too many requests are in progress.
    Busy,
}

impl<W> Cookies<W> {
    /// One that knows no cookie.
    pub fn new(now: Instant) -> Self {
        Self {
            newer: Generation::default(),
            older: Generation::default(),
            began: now,
            running: HashMap::new(),
        }
    }

    /// A request with this cookie came from `asker`.
    pub fn asked(&mut self, cookie: &[u8], asker: W, now: Instant) -> Asked {
        self.age(now);
        if let Some(reply) = self.newer.replies.get(cookie).or(self.older.replies.get(cookie)) {
            return Asked::Answered(reply.clone());
        }
        let in_progress = self.running.len();
        match self.running.get_mut(cookie) {
            Some(waiting) if waiting.len() < WAITING_MAX => {
                waiting.push(asker);
                Asked::Waits
            }
            Some(_) => Asked::Ignored,
            None if in_progress == RUNNING_MAX => Asked::Busy,
            None => {
                self.running.insert(cookie.into(), Vec::new());
                Asked::Run
            }
        }
    }

    /// A request was answered with these bytes. Returns who asked again meanwhile, to be sent the same.
    #[must_use]
    pub fn answered(&mut self, cookie: &[u8], reply: Bytes, now: Instant) -> Vec<W> {
        self.age(now);
        let size = cookie.len() + reply.len();
        if size <= BYTES_MAX / 2 {
            if self.newer.is_full(size) {
                self.change(now);
            }
            self.older.remove(cookie);
            self.newer.insert(cookie, reply);
        }
        self.running.remove(cookie).unwrap_or_default()
    }

    /// A request will not be answered: the next one with its cookie runs. Returns who asked again
    /// meanwhile, which are not answered either.
    #[must_use]
    pub fn abandoned(&mut self, cookie: &[u8]) -> Vec<W> {
        self.running.remove(cookie).unwrap_or_default()
    }

    /// Replies that are known.
    pub fn len(&self) -> usize {
        self.newer.replies.len() + self.older.replies.len()
    }

    /// Whether no reply is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the replies that are known and of their cookies.
    pub fn bytes(&self) -> usize {
        self.newer.bytes + self.older.bytes
    }

    /// Forgets what is old by now. Everything else does it, too: this is for an idle server.
    pub fn age(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age >= GENERATION {
            self.change(now);
        }
        if age >= 2 * GENERATION {
            self.change(now);
        }
    }

    fn change(&mut self, now: Instant) {
        self.older = mem::take(&mut self.newer);
        self.began = now;
    }
}

#[derive(Debug, Default)]
struct Generation {
    replies: HashMap<Box<[u8]>, Bytes>,
    bytes: usize,
}

impl Generation {
    fn is_full(&self, size: usize) -> bool {
        self.replies.len() >= REPLIES_MAX / 2 || self.bytes + size > BYTES_MAX / 2
    }

    fn insert(&mut self, cookie: &[u8], reply: Bytes) {
        self.remove(cookie);
        self.bytes += cookie.len() + reply.len();
        self.replies.insert(cookie.into(), reply);
    }

    fn remove(&mut self, cookie: &[u8]) {
        if let Some(reply) = self.replies.remove(cookie) {
            self.bytes -= cookie.len() + reply.len();
        }
    }
}

/// How long a generation takes replies. A proxy gives up after 5 tries of 1 s.
pub const GENERATION: Duration = Duration::from_secs(30);
/// Replies that are known, most: 60 s of 2000 requests per second and some more.
pub const REPLIES_MAX: usize = 128 * 1024;
/// Bytes of the replies that are known and of their cookies, most. An offer's is some 2 kB.
pub const BYTES_MAX: usize = 128 * 1024 * 1024;
/// Requests in progress, most.
pub const RUNNING_MAX: usize = 4096;
/// Repeats that wait for one request, most. Kamailio sends 4.
pub const WAITING_MAX: usize = 8;
