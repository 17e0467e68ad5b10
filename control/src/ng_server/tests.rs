//! The doors over calls that are none.

mod tcp;
mod udp;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Actor;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all, ready};
use tokio::sync::Semaphore;

use super::queue::SEATS;
use super::work::Work;
use super::*;
use crate::api::{NodeStats, PortStats, ProxiedStats};
use crate::calls::{NgAsked, NgCalls};
use crate::ng::cookies::{RUNNING_MAX, WAITING_MAX};
use crate::ng::{Command, NgError, Reply, Request};

/// Answers by the `call-id` of a query: `slow` when [`Fake::open`] is called, `never` never, `panic` with one,
/// `long` with more than a datagram takes, any other at once.
pub(crate) struct Fake {
    /// Requests that were run.
    pub(crate) runs: AtomicUsize,
    /// Of them, those whose reply was to be brief.
    pub(crate) briefs: AtomicUsize,
    /// Of them, those that had waited too long.
    lates: AtomicUsize,
    gate: Arc<Semaphore>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let gate = Arc::new(Semaphore::new(0));
        let (runs, briefs, lates) = Default::default();
        Arc::new(Self { runs, briefs, lates, gate })
    }

    /// Lets everything slow be answered.
    pub(crate) fn open(&self) {
        self.gate.add_permits(2 * RUNNING_MAX);
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

impl NgCalls for Fake {
    fn stats(&self) -> NodeStats {
        NodeStats {
            uptime: 7,
            proxied: ProxiedStats { live: 3, ..ProxiedStats::default() },
            ports: vec![PortStats::default()],
            ..NodeStats::default()
        }
    }

    fn ng(&self, asked: NgAsked) -> BoxFuture<'static, Reply> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.briefs.fetch_add(usize::from(asked.brief), Ordering::Relaxed);
        self.lates.fetch_add(usize::from(asked.late), Ordering::Relaxed);
        let gate = Arc::clone(&self.gate);
        let query = match asked.message.request {
            Request::Ping => return ready(Reply::pong()).boxed(),
            Request::Query(query) => query,
            other => return ready(Reply::error(NgError::Unserved(other.command()))).boxed(),
        };
        match query.call_id.as_str() {
            "slow" => async move {
                gate.acquire().await.unwrap().forget();
                Reply::ok()
            }
            .boxed(),
            "never" => pending().boxed(),
            "panic" => panic!("this call is broken"),
            "long" => ready(Reply::ok().with_sdp(&"x".repeat(70_000))).boxed(),
            _ => ready(Reply::error(NgError::UnknownCall)).boxed(),
        }
    }
}

/// A server on this thread, without sockets.
pub(crate) fn desk(config: &Config, calls: Arc<dyn NgCalls>) -> NgDesk {
    let work = Arc::new(Work::new(&config.ng.peers, config.timeouts.request, calls));
    NgDesk::new(NgServer::new(work.clone(), Doors::default()).start(), work)
}

fn open() -> (Arc<Fake>, NgDesk) {
    let fake = Fake::new();
    (fake.clone(), desk(&Config::default(), fake))
}

fn asker(door: Door) -> Asker {
    Asker::new(door, [127, 0, 0, 1].into())
}

async fn ask(desk: &NgDesk, door: Door, frame: &str) -> Option<String> {
    let reply = desk.ask(asker(door), Bytes::copy_from_slice(frame.as_bytes())).await?;
    Some(String::from_utf8(reply.to_vec()).unwrap())
}

fn query(cookie: &str, call: &str) -> String {
    format!("{cookie} {{\"command\":\"query\",\"call-id\":\"{call}\"}}")
}

/// Waits for what other tasks bring about.
async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never comes about");
}

#[actix_rt::test]
async fn a_reply_has_the_cookie_and_the_format_of_its_request() {
    let (_, desk) = open();
    let bencode = ask(&desk, Door::Udp, "5_1 d7:command4:pinge").await;
    assert_eq!(bencode.unwrap(), "5_1 d6:result4:ponge");
    let json = ask(&desk, Door::Udp, "5_2 {\"command\":\"ping\"}").await;
    assert_eq!(json.unwrap(), "5_2 {\"result\":\"pong\"}");
    let plain = desk.ask_plain(asker(Door::Http), b"{\"command\":\"ping\"}").await;
    assert_eq!(plain, "{\"result\":\"pong\"}");
}

#[actix_rt::test]
async fn what_cannot_be_read_is_answered_with_what_is_wrong() {
    let (fake, desk) = open();
    let deep = format!("d1:a{}{}e", "l".repeat(1000), "e".repeat(1000));
    let huge = format!("d{}e", "1:ai1e".repeat(9_000));
    for (document, reason) in [
        ("", "Invalid data (no payload)"),
        ("xyz", "Invalid NG data format"),
        ("d7:comm", "Could not decode bencode dictionary"),
        (deep.as_str(), "Could not decode bencode dictionary"),
        (huge.as_str(), "Could not decode bencode dictionary"),
        ("{\"command\":", "Failed to parse JSON document"),
        ("de", "Dictionary contains no key \"command\""),
        ("d7:command3:fooe", "Unrecognized command"),
        ("d7:command5:querye", "No call-id in message"),
    ] {
        let cookie = format!("c{}", document.len());
        let reply = ask(&desk, Door::Udp, &format!("{cookie} {document}")).await.unwrap();
        assert!(reply.starts_with(&cookie) && reply.contains(reason), "{reply}");
    }
    let text = [&b"c d7:command5:query7:call-id2:\xff\xfee"[..]].concat();
    let reply = desk.ask(asker(Door::Udp), text.into()).await.unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("Unknown call-id"));
    assert_eq!(fake.runs(), 1);
    let counts = desk.counts();
    assert_eq!((counts.of(None).errors, counts.of(Some(Command::Query)).errors), (8, 2));
}

#[actix_rt::test]
async fn what_has_no_cookie_is_not_answered_and_counted() {
    let (fake, desk) = open();
    let long = format!("{} {{}}", "c".repeat(257));
    for frame in ["", "nospace", " d7:command4:pinge", "d7:command4:pinge", long.as_str()] {
        assert_eq!(ask(&desk, Door::Udp, frame).await, None);
    }
    assert_eq!((desk.counts().silences(Silence::NoCookie), fake.runs()), (5, 0));
}

#[actix_rt::test]
async fn a_repeat_gets_the_same_bytes_and_does_not_run_again() {
    let (fake, desk) = open();
    let first = ask(&desk, Door::Udp, &query("c", "none")).await;
    // By another door, and with other words even: the cookie alone says what it is.
    for (door, frame) in [(Door::Udp, query("c", "none")), (Door::Tcp, query("c", "other"))] {
        assert_eq!(ask(&desk, door, &frame).await, first);
    }
    assert_eq!(fake.runs(), 1);
    assert_eq!((desk.counts().repeats(Door::Udp), desk.counts().repeats(Door::Tcp)), (1, 1));
    ask(&desk, Door::Udp, &query("d", "none")).await;
    assert_eq!(fake.runs(), 2);
}

#[actix_rt::test]
async fn repeats_of_what_is_in_progress_wait_for_it_as_many_as_may() {
    let (fake, desk) = open();
    let first = actix_rt::spawn({
        let desk = desk.clone();
        async move { ask(&desk, Door::Udp, &query("c", "slow")).await }
    });
    until(|| fake.runs() == 1).await;
    let repeats: Vec<_> = (0..WAITING_MAX + 3)
        .map(|_| {
            let desk = desk.clone();
            actix_rt::spawn(async move { ask(&desk, Door::Udp, &query("c", "slow")).await })
        })
        .collect();
    until(|| desk.counts().silences(Silence::Repeated) == 3).await;
    fake.open();
    let reply = first.await.unwrap();
    assert_eq!(reply.as_deref(), Some("c {\"result\":\"ok\"}"));
    let replies: Vec<_> = join_all(repeats).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(replies.iter().filter(|one| **one == reply).count(), WAITING_MAX);
    assert_eq!(replies.iter().filter(|one| one.is_none()).count(), 3);
    assert_eq!((fake.runs(), desk.counts().repeats(Door::Udp)), (1, WAITING_MAX as u64));
}

#[actix_rt::test]
async fn a_request_that_takes_too_long_is_an_error_and_its_cookie_runs_anew() {
    let mut config = Config::default();
    config.timeouts.request = Duration::from_millis(5);
    let fake = Fake::new();
    let desk = desk(&config, fake.clone());
    let reply = ask(&desk, Door::Udp, &query("c", "never")).await.unwrap();
    assert!(reply.contains("error-reason") && reply.contains("too busy"), "{reply}");
    ask(&desk, Door::Udp, &query("c", "never")).await.unwrap();
    assert_eq!((fake.runs(), desk.counts().timeouts()), (2, 2));
}

#[actix_rt::test]
async fn a_request_that_panics_is_not_answered_and_leaves_its_cookie_free() {
    let (fake, desk) = open();
    assert_eq!(ask(&desk, Door::Tcp, &query("c", "panic")).await, None);
    assert!(ask(&desk, Door::Tcp, &query("c", "none")).await.unwrap().contains("Unknown call-id"));
    assert_eq!((fake.runs(), desk.counts().silences(Silence::Lost)), (2, 1));
}

#[actix_rt::test]
async fn beyond_the_limit_datagrams_are_dropped_and_others_are_told_to_go_elsewhere() {
    let (fake, desk) = open();
    let running: Vec<_> = (0..RUNNING_MAX)
        .map(|at| {
            let desk = desk.clone();
            actix_rt::spawn(async move {
                // The mailbox is as long as this queue, so none is lost on the way.
                ask(&desk, Door::Udp, &query(&at.to_string(), "slow")).await
            })
        })
        .collect();
    // Those without a seat are in progress, too: the actor has taken all of them before what comes now.
    until(|| fake.runs() == SEATS).await;
    assert_eq!(ask(&desk, Door::Udp, "c d7:command4:pinge").await, None);
    assert_eq!(desk.counts().silences(Silence::Busy), 1);
    let old = ask(&desk, Door::Tcp, "c d7:command4:pinge").await.unwrap();
    assert!(
        old.starts_with("c d6:result5:error") && old.contains("Parallel session limit"),
        "{old}"
    );
    let knows = "c d7:command4:ping8:supportsl10:load limitee";
    let new = ask(&desk, Door::Tcp, knows).await.unwrap();
    assert!(new.contains("6:result10:load limit") && new.contains("Load limit exceeded"), "{new}");
    fake.open();
    for reply in join_all(running).await {
        assert!(reply.unwrap().is_some());
    }
    assert!(ask(&desk, Door::Udp, "c d7:command4:pinge").await.unwrap().contains("pong"));
}

#[actix_rt::test]
async fn an_offer_that_waited_too_long_is_handed_on_as_late_and_nothing_else_is() {
    let (fake, desk) = open();
    let slow = |at: usize| {
        let desk = desk.clone();
        actix_rt::spawn(async move { ask(&desk, Door::Udp, &query(&at.to_string(), "slow")).await })
    };
    let running: Vec<_> = (0..SEATS).map(slow).collect();
    until(|| fake.runs() == SEATS).await;
    let answered = actix_rt::spawn({
        let desk = desk.clone();
        async move { ask(&desk, Door::Udp, &query("answer", "none")).await }
    });
    let offer = "c {\"command\":\"offer\",\"call-id\":\"c\",\"from-tag\":\"a\",\"sdp\":\"v=0\"}";
    assert!(ask(&desk, Door::Udp, offer).await.is_some());
    assert_eq!((fake.runs(), fake.lates.load(Ordering::Relaxed)), (SEATS + 1, 1));
    assert!(ask(&desk, Door::Udp, "p d7:command4:pinge").await.unwrap().contains("pong"));
    fake.open();
    assert!(answered.await.unwrap().unwrap().contains("Unknown call-id"));
    assert_eq!(fake.lates.load(Ordering::Relaxed), 1);
    join_all(running).await;
}

#[actix_rt::test]
async fn only_named_peers_are_admitted_and_others_are_counted() {
    let mut config = Config::default();
    config.ng.peers = vec!["10.0.0.0/8".parse().unwrap()];
    let desk = desk(&config, Fake::new());
    let from = |address: &str| Asker::new(Door::Udp, address.parse().unwrap());
    assert!(desk.admits(&from("10.1.2.3")) && desk.admits(&from("::ffff:10.1.2.3")));
    assert!(!desk.admits(&from("127.0.0.1")) && !desk.admits(&from("::1")));
    assert_eq!(desk.counts().refused(Door::Udp), 2);
}

#[actix_rt::test]
async fn statistics_are_of_the_node_and_of_what_the_doors_counted() {
    let (fake, desk) = open();
    ask(&desk, Door::Udp, "1 d7:command4:pinge").await;
    let told = ask(&desk, Door::Udp, "2 {\"command\":\"statistics\"}").await.unwrap();
    for part in
        ["\"sessionsown\":3", "\"uptime\":\"7\"", "\"totalpingcount\":1", "\"result\":\"ok\""]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(fake.runs(), 1, "the ping");
}
