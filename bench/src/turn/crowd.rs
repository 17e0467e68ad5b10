//! All clients of a run, with their sockets: gets them what they want, so many at a time.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::{Client, Heard};
use super::lanes::{Lanes, PEERS, Place};
use super::plan::Plan;

/// After this time a datagram is sent again; after twice this, once more, and so on (RFC 8489 §6.2.1).
const REPEAT: Duration = Duration::from_millis(500);
/// Times that it is sent.
const TRIES: u32 = 6;
/// Longest wait for an answer over a stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for something to come while answers are awaited.
const WAIT: Duration = Duration::from_millis(1);
/// Time between two looks at what was not answered.
const LOOK: Duration = Duration::from_millis(100);

/// See the module.
pub struct Crowd {
    /// The clients, in the order of their sockets.
    pub clients: Vec<Client>,
    /// What they and the peer speak over.
    pub lanes: Lanes,
    /// Messages of the server that were not looked at yet, by client.
    pub mail: Vec<(usize, Vec<u8>)>,
    /// How it went.
    pub tale: Tale,
    waiting: Vec<Option<Waiting>>,
    active: usize,
    is_stream: bool,
    looked: Instant,
}

/// What became of the clients' requests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tale {
    /// Clients.
    pub clients: usize,
    /// Clients that did not get what they wanted.
    pub failed: u64,
    /// Why, with how many.
    pub failures: BTreeMap<String, u64>,
    /// Requests that were sent once more.
    pub repeated: u64,
}

/// For an answer.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    tries: u32,
}

impl Crowd {
    /// Opens all sockets and asks for nothing yet.
    ///
    /// # Errors
    /// The kernel's, or the server does not take the connections.
    pub fn open(plan: &Plan, server: SocketAddr) -> io::Result<Self> {
        let lanes = Lanes::open(plan, server)?;
        let client = |number: usize| {
            let peer = lanes.peers[number % PEERS];
            Client::new(Arc::clone(&plan.login), plan.mode, peer, number as u32)
        };
        Ok(Self {
            clients: (0..plan.clients).map(client).collect(),
            lanes,
            mail: Vec::new(),
            tale: Tale { clients: plan.clients, ..Tale::default() },
            waiting: vec![None; plan.clients],
            active: 0,
            is_stream: plan.transport.is_stream(),
            looked: Instant::now(),
        })
    }

    /// Asks until every client has what it wants or has failed, for at most `window` at the same time.
    ///
    /// # Errors
    /// The kernel's.
    pub fn settle(&mut self, window: usize, stop: &AtomicBool) -> io::Result<()> {
        let mut next = 0;
        while !stop.load(Ordering::Relaxed) {
            while self.active < window && next < self.clients.len() {
                self.ask(next);
                next += 1;
            }
            if self.active == 0 {
                return Ok(());
            }
            let mail = &mut self.mail;
            self.lanes.turn(WAIT, |place, _, bytes, _| {
                if let Place::Client(number) = place {
                    mail.push((number, bytes.to_vec()));
                }
            })?;
            self.tend();
        }
        Ok(())
    }

    /// Asks for everything again, before the server forgets it.
    pub fn renew(&mut self) {
        for number in 0..self.clients.len() {
            if self.waiting[number].is_none() {
                self.clients[number].renew();
                self.ask(number);
            }
        }
    }

    /// Looks at the mail, and now and then at what was not answered.
    pub fn tend(&mut self) {
        for (number, bytes) in std::mem::take(&mut self.mail) {
            match self.clients[number].hear(&bytes) {
                Heard::Next => self.ask(number),
                Heard::Idle => self.rest(number),
                Heard::Failed(why) => self.fail(number, why),
                Heard::Noise => {}
            }
        }
        if self.active > 0 && self.looked.elapsed() > LOOK {
            self.looked = Instant::now();
            (0..self.clients.len()).for_each(|number| self.repeat(number));
        }
    }

    fn ask(&mut self, number: usize) {
        let Some(request) = self.clients[number].ask() else { return };
        self.lanes.send(number, |out| copy(request, out));
        if self.waiting[number].is_none() {
            self.active += 1;
        }
        self.waiting[number] = Some(Waiting { since: Instant::now(), tries: 1 });
    }

    fn rest(&mut self, number: usize) {
        if self.waiting[number].take().is_some() {
            self.active -= 1;
        }
    }

    fn fail(&mut self, number: usize, why: String) {
        self.rest(number);
        self.tale.failed += 1;
        *self.tale.failures.entry(why).or_default() += 1;
    }

    fn repeat(&mut self, number: usize) {
        let Some(waiting) = &mut self.waiting[number] else { return };
        let patience = if self.is_stream { PATIENCE } else { REPEAT * (1 << (waiting.tries - 1)) };
        if waiting.since.elapsed() < patience {
            return;
        }
        if self.is_stream || waiting.tries == TRIES {
            let why = "no answer";
            self.clients[number].fail(why.into());
            return self.fail(number, why.into());
        }
        *waiting = Waiting { since: Instant::now(), tries: waiting.tries + 1 };
        let Some(request) = self.clients[number].repeat() else { return };
        self.lanes.send(number, |out| copy(request, out));
        self.tale.repeated += 1;
    }
}

fn copy(request: &[u8], out: &mut [u8]) -> Option<usize> {
    out.get_mut(..request.len())?.copy_from_slice(request);
    Some(request.len())
}
