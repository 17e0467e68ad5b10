//! The doors of the ng protocol, on the arbiter of the calls: a request that changes threads on its way there and
//! back costs a tenth more, and what else happens on that arbiter takes microseconds (handshakes, which take more,
//! have one of their own). Proxies ask again after a second and give the node up after five.
//!
//! | door | framing | where |
//! |---|---|---|
//! | UDP | a datagram | `ng.udp` |
//! | TCP | one document after the other, in both directions | `ng.tcp` |
//! | HTTP | `POST /ng`, or `POST /ng-plain` without a cookie | the admin listener |
//! | WebSocket | a message; subprotocols `ng.rtpengine.com`, `ng-plain.rtpengine.com` | the admin listener |
//!
//! What comes with a cookie goes to the actor [`NgServer`], which keeps the one table of cookies: a request
//! runs once, by whatever door and from whatever address it comes again. rtpengine tells them apart no
//! better, and a proxy that asks again from another port means the same request; so two proxies need
//! cookies of their own, which all of them make of random numbers.
//!
//! # Limits
//! [`RUNNING_MAX`](crate::ng::cookies::RUNNING_MAX) requests with a cookie are in progress, and as many
//! without. One more is not answered over UDP, where the client asks again; by the other doors it is told that
//! the load limit is reached, so that the proxy tries another node. Of those in progress calls work on 64 at a time,
//! what belongs to calls that there are before offers of new ones; an offer that has waited for 200 ms is refused in
//! the same way, unless its call is there already. Each ends within the configured
//! time for requests: then with an error, and its cookie runs anew. Everything that goes unanswered or is closed is counted
//! in [`Counts`].

mod counts;
mod desk;
mod figures;
mod queue;
mod statistics;
mod tcp;
#[cfg(test)]
pub(crate) mod tests;
mod udp;
mod work;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

pub use self::counts::{Closed, Counts, Door, Proxy, Served, Silence};
pub use self::desk::{Asker, NgDesk};
pub use self::figures::{ClosedSessions, Figures, ProxyFigures};
use self::work::Work;
use crate::calls::NgCalls;
use crate::config::Config;
use crate::ng::cookies::GENERATION;
use crate::ng::{Asked, Cookies, Frame};

/// Requests that can wait for the actor; a datagram beyond it is lost and repeated by its sender.
const MAILBOX: usize = 4096;

/// The actor: whose request ran already, runs now, or is to run.
pub struct NgServer {
    cookies: Cookies<ReplyTo>,
    work: Arc<Work>,
    doors: Doors,
    /// Closes the doors and what came in by them when it is dropped, with the actor.
    open: watch::Sender<()>,
}

/// Says when the doors close: its sender is gone then.
type Closing = watch::Receiver<()>;

/// Where a reply goes; closed without one, there is none. It has room for the one.
type ReplyTo = mpsc::Sender<Bytes>;

/// Sockets that are still to be served.
#[derive(Default)]
struct Doors {
    udp: Option<std::net::UdpSocket>,
    tcp: Option<std::net::TcpListener>,
}

/// The running server.
pub struct NgDoors {
    /// Where datagrams come in.
    pub udp: Option<SocketAddr>,
    /// Where connections come in.
    pub tcp: Option<SocketAddr>,
    desk: NgDesk,
}

impl NgDoors {
    /// Binds what is configured and starts the server on an arbiter; without any door of its own it serves HTTP. To be
    /// called inside an actix system.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub fn open(
        config: &Config,
        calls: Arc<dyn NgCalls>,
        arbiter: &ArbiterHandle,
    ) -> io::Result<Self> {
        let doors = Doors {
            udp: config.ng.udp.map(|at| udp::bind(at).map_err(named("ng.udp", at))).transpose()?,
            tcp: config.ng.tcp.map(|at| tcp::bind(at).map_err(named("ng.tcp", at))).transpose()?,
        };
        let udp = doors.udp.as_ref().map(std::net::UdpSocket::local_addr).transpose()?;
        let tcp = doors.tcp.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        let work = Arc::new(Work::new(&config.ng.peers, config.timeouts.request, calls));
        let server = NgServer::start_in_arbiter(arbiter, {
            let work = work.clone();
            move |_| NgServer::new(work, doors)
        });
        Ok(Self { udp, tcp, desk: NgDesk::new(server, work) })
    }

    /// What the other doors ask.
    pub fn desk(&self) -> NgDesk {
        self.desk.clone()
    }

    /// Closes the doors, and the connections that came by them. What is in progress gets no reply: the proxy asks
    /// another node.
    pub fn close(self) {
        self.desk.close();
    }
}

fn named(key: &'static str, address: SocketAddr) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{key} {address}: {error}"))
}

/// A request with its cookie, as a door took it.
#[derive(Message)]
#[rtype(result = "()")]
struct Ask {
    asker: Asker,
    frame: Bytes,
    /// When it came.
    since: Instant,
    reply: ReplyTo,
}

/// How a request ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended {
    cookie: Bytes,
    outcome: Outcome,
    reply: ReplyTo,
}

/// What came of a request.
enum Outcome {
    /// A reply to remember.
    Answered(Bytes),
    /// A reply for now: the next request with the cookie runs.
    Late(Bytes),
    /// Nothing; running it failed.
    Lost,
}

impl NgServer {
    fn new(work: Arc<Work>, doors: Doors) -> Self {
        let open = watch::channel(()).0;
        Self { cookies: Cookies::new(Instant::now()), work, doors, open }
    }

    fn ask(&mut self, ask: Ask, server: Addr<Self>) {
        let door = ask.asker.door;
        let Ok(frame) = Frame::split(&ask.frame) else {
            return self.work.count(|counts| counts.silence(Silence::NoCookie));
        };
        match self.cookies.asked(frame.cookie, ask.reply.clone(), Instant::now()) {
            Asked::Run => {
                let cookie = ask.frame.slice_ref(frame.cookie);
                let document = ask.frame.slice_ref(frame.document);
                let ending = Ending { server, cookie, reply: ask.reply, outcome: Outcome::Lost };
                actix_rt::spawn(ending.run(Arc::clone(&self.work), ask.asker, document, ask.since));
            }
            Asked::Answered(reply) => {
                self.work.count(|counts| counts.repeat(door));
                tell(&ask.reply, reply);
            }
            Asked::Waits => self.work.count(|counts| counts.repeat(door)),
            Asked::Ignored => self.work.count(|counts| counts.silence(Silence::Repeated)),
            Asked::Busy if door == Door::Udp => {
                self.work.count(|counts| counts.silence(Silence::Busy));
            }
            Asked::Busy => {
                let document = self.work.refuse(&ask.asker, frame.document);
                tell(&ask.reply, Frame { document: &document, ..frame }.join().into());
            }
        }
    }

    fn end(&mut self, Ended { cookie, outcome, reply }: Ended) {
        let (waiting, bytes) = match outcome {
            Outcome::Answered(bytes) => {
                (self.cookies.answered(&cookie, bytes.clone(), Instant::now()), bytes)
            }
            Outcome::Late(bytes) => (self.cookies.abandoned(&cookie), bytes),
            Outcome::Lost => {
                drop(self.cookies.abandoned(&cookie));
                return self.work.count(|counts| counts.silence(Silence::Lost));
            }
        };
        waiting.iter().chain([&reply]).for_each(|to| tell(to, bytes.clone()));
    }
}

/// Whoever has gone away meanwhile needs no reply.
fn tell(to: &ReplyTo, reply: Bytes) {
    let _ = to.try_send(reply);
}

/// Tells the server how a request ended, also where it panicked: no cookie stays in progress for ever.
struct Ending {
    server: Addr<NgServer>,
    cookie: Bytes,
    reply: ReplyTo,
    outcome: Outcome,
}

impl Ending {
    async fn run(mut self, work: Arc<Work>, asker: Asker, document: Bytes, since: Instant) {
        let done = work.run(&asker, &document, since).await;
        let reply = Frame { cookie: &self.cookie, document: &done.document }.join().into();
        let outcome = if done.late { Outcome::Late } else { Outcome::Answered };
        self.outcome = outcome(reply);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Lost);
        let (cookie, reply) = (self.cookie.clone(), self.reply.clone());
        // As many can be under way as requests run.
        self.server.do_send(Ended { cookie, outcome, reply });
    }
}

impl Actor for NgServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(GENERATION, |server, _| server.cookies.age(Instant::now()));
        let doors = std::mem::take(&mut self.doors);
        let desk = NgDesk::new(ctx.address(), self.work.clone());
        if let Some(socket) = doors.udp {
            spawn_until(self.open.subscribe(), udp::serve(socket, desk.clone()));
        }
        if let Some(listener) = doors.tcp {
            let closing = self.open.subscribe();
            let serve = tcp::serve(listener, desk, tcp::Patience::default(), closing.clone());
            spawn_until(closing, serve);
        }
    }
}

impl Handler<Ask> for NgServer {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Self::Context) {
        self.ask(ask, ctx.address());
    }
}

/// Ends the server.
#[derive(Message)]
#[rtype(result = "()")]
struct Close;

impl Handler<Close> for NgServer {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<Ended> for NgServer {
    type Result = ();

    fn handle(&mut self, ended: Ended, _: &mut Self::Context) {
        self.end(ended);
    }
}

/// Does something on this arbiter until the doors close.
fn spawn_until(mut closing: Closing, work: impl Future<Output = ()> + 'static) {
    actix_rt::spawn(async move {
        tokio::select! {
            () = work => {}
            _ = closing.changed() => {}
        }
    });
}

/// Pause after an error of a socket that is not about one packet, such as too little memory.
const BREATH: Duration = Duration::from_millis(20);
