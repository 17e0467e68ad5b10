//! Calls that begin, are answered and end at times that are known beforehand, whatever the server does.
//!
//! Each call is three requests: an offer, an answer [`RING`] later, and a delete [`TALK`] after that. All are sent at
//! their times, once, also the answer to an offer that was refused: so the server is asked as often as was said, and
//! an answer that comes late delays no other request. The time that an answer takes counts from when its request
//! was due, so that a generator that falls behind shows as a slow server and not as a fast one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_control::ng::{Dictionary, frame};
use causeway_engine::sys::{cpu, socket};
use hdrhistogram::Histogram;

use super::client::{self, connect, datagram, reason, text};
use super::report::{Asked, Step};
use super::sdp::{self, Line};
use crate::board::histogram;
use crate::phones::Codec;
use crate::report::Quantiles;

/// From offer to answer.
pub const RING: Duration = Duration::from_millis(500);
/// From answer to delete.
pub const TALK: Duration = Duration::from_millis(500);
/// How long replies may come after the last request.
const DRAIN: Duration = Duration::from_secs(3);
/// An answer within this time is in time.
pub const IN_TIME: Duration = Duration::from_millis(800);
/// Requests of a call.
pub const REQUESTS: u32 = 3;
/// Time between two looks at whether the end has come.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of a reply, most.
const REPLY_MAX: usize = 64 * 1024;

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Calls that begin per second.
    pub calls: f64,
    /// For how long.
    pub time: Duration,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Offer,
    Answer,
    Delete,
}

/// A request and when it is due.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Duration,
    call: u32,
    what: What,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    Limited(String),
    Failed(String),
}

/// Asks this server at this pace, with threads on this core, and says how it answered. `name` sets its calls and
/// cookies apart from all others that the server knows.
///
/// # Errors
/// The kernel's.
pub fn drive(server: SocketAddr, pace: Pace, core: Option<usize>, name: &str) -> io::Result<Step> {
    let schedule: Arc<[Due]> = schedule(pace).into();
    let udp = connect(server)?;
    socket::set_up(&udp)?;
    udp.set_nonblocking(false)?;
    udp.set_read_timeout(Some(LOOK))?;
    let (start, ended) = (Instant::now() + LOOK, Arc::new(AtomicBool::new(false)));
    let ear = {
        let (udp, schedule, ended) = (udp.try_clone()?, Arc::clone(&schedule), Arc::clone(&ended));
        let prefix = format!("{name}_");
        thread::Builder::new().name("ng-ear".into()).spawn(move || {
            core.map_or(Ok(()), cpu::pin)?;
            Ear { udp, schedule, start, prefix, heard: Heard::default() }.listen(&ended)
        })?
    };
    let mouth = {
        let (schedule, name) = (Arc::clone(&schedule), name.to_owned());
        thread::Builder::new().name("ng-mouth".into()).spawn(move || {
            core.map_or(Ok(()), cpu::pin)?;
            speak(&udp, &schedule, start, &name)
        })?
    };
    let lateness = mouth.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")));
    if lateness.is_ok() {
        thread::sleep(DRAIN);
    }
    ended.store(true, Ordering::Relaxed);
    let heard = ear.join().unwrap_or_else(|_| Err(io::Error::other("the receiver panicked")))?;
    Ok(step(pace, &schedule, &heard, &lateness?))
}

/// All requests in the order of their times.
fn schedule(pace: Pace) -> Vec<Due> {
    let calls = (pace.calls * pace.time.as_secs_f64()).ceil() as u32;
    let begins = |call: u32| Duration::from_secs_f64(f64::from(call) / pace.calls);
    let of = |call| {
        let at = begins(call);
        [
            Due { at, call, what: What::Offer },
            Due { at: at + RING, call, what: What::Answer },
            Due { at: at + RING + TALK, call, what: What::Delete },
        ]
    };
    let mut all: Vec<Due> = (0..calls).flat_map(of).collect();
    all.sort_by_key(|due| (due.at, due.call));
    all
}

/// Sends everything at its time, and says how long after it in microseconds.
fn speak(
    udp: &UdpSocket,
    schedule: &[Due],
    start: Instant,
    name: &str,
) -> io::Result<Histogram<u64>> {
    let mut lateness = histogram();
    for (number, due) in schedule.iter().enumerate() {
        let request = due.write(&format!("{name}_{number}"), name);
        let at = start + due.at;
        let ahead = at.saturating_duration_since(Instant::now());
        if !ahead.is_zero() {
            thread::sleep(ahead);
        }
        lateness.saturating_record(at.elapsed().as_micros() as u64);
        udp.send(&request)?;
    }
    Ok(lateness)
}

impl Due {
    fn write(&self, cookie: &str, name: &str) -> Vec<u8> {
        let call = format!("{name}-{}", self.call);
        match self.what {
            What::Offer => {
                datagram(cookie, "offer", client::offer(&call, &self.describe(1), "RTP/AVP"))
            }
            What::Answer => datagram(cookie, "answer", client::answer(&call, &self.describe(2))),
            What::Delete => datagram(cookie, "delete", client::delete(&call)),
        }
    }

    /// A phone that sends nothing, at an address that is only named.
    fn describe(&self, side: u8) -> String {
        let port = 10_000 + (self.call % 20_000) as u16 * 2;
        let at = (Ipv4Addr::new(127, 0, 1, side), port).into();
        sdp::describe(&[Line::plain(at)], Codec::default())
    }
}

/// What has been heard.
#[derive(Default)]
struct Heard {
    outcomes: BTreeMap<usize, (Duration, Outcome)>,
    /// Replies that came once more, or to nothing.
    strange: u64,
}

/// Hears the replies.
struct Ear {
    udp: UdpSocket,
    schedule: Arc<[Due]>,
    start: Instant,
    prefix: String,
    heard: Heard,
}

impl Ear {
    fn listen(mut self, ended: &AtomicBool) -> io::Result<Heard> {
        let mut buffer = vec![0; REPLY_MAX];
        while !ended.load(Ordering::Relaxed) {
            match self.udp.recv(&mut buffer) {
                Ok(len) => self.hear(&buffer[..len], self.start.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A port that is closed: the server is gone, or not there yet.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.heard)
    }

    fn hear(&mut self, reply: &[u8], at: Duration) {
        let Some((number, outcome)) = self.read(reply) else {
            self.heard.strange += 1;
            return;
        };
        let took = at.saturating_sub(self.schedule[number].at);
        if self.heard.outcomes.insert(number, (took, outcome)).is_some() {
            self.heard.strange += 1;
        }
    }

    fn read(&self, reply: &[u8]) -> Option<(usize, Outcome)> {
        let rest = reply.strip_prefix(self.prefix.as_bytes())?;
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let number = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let document = frame::read(&rest[space + 1..]).1.ok()?;
        (number < self.schedule.len()).then(|| (number, Outcome::of(&document)))
    }
}

impl Outcome {
    fn of(reply: &Dictionary) -> Self {
        match text(reply, "result").as_str() {
            "ok" => Self::Done,
            "load limit" => Self::Limited(reason(reply)),
            _ => Self::Failed(reason(reply)),
        }
    }
}

/// The sum of it.
fn step(pace: Pace, schedule: &[Due], heard: &Heard, lateness: &Histogram<u64>) -> Step {
    let refused: BTreeSet<u32> = schedule
        .iter()
        .enumerate()
        .filter(|(_, due)| due.what == What::Offer)
        .filter(|(number, _)| !matches!(heard.outcomes.get(number), Some((_, Outcome::Done))))
        .map(|(_, due)| due.call)
        .collect();
    let mut step = Step {
        rate: f64::from(REQUESTS) * pace.calls,
        seconds: pace.time.as_secs_f64(),
        strange: heard.strange,
        sent_late_us: Quantiles::of(lateness),
        ..Step::default()
    };
    let mut latency = histogram();
    for (number, due) in schedule.iter().enumerate() {
        let asked = match due.what {
            What::Offer => &mut step.offers,
            What::Answer => &mut step.answers,
            What::Delete => &mut step.deletes,
        };
        asked.sent += 1;
        let Some((took, outcome)) = heard.outcomes.get(&number) else { continue };
        latency.saturating_record(took.as_micros() as u64);
        asked.answered += 1;
        asked.in_time += u64::from(*took <= IN_TIME);
        let is_moot = due.what != What::Offer && refused.contains(&due.call);
        note(asked, outcome, is_moot, &mut step.failures);
    }
    step.latency_us = Quantiles::of(&latency);
    step
}

/// `is_moot` says whether the server cannot know the call, since it has refused it.
fn note(asked: &mut Asked, outcome: &Outcome, is_moot: bool, failures: &mut BTreeMap<String, u64>) {
    match outcome {
        Outcome::Done => asked.done += 1,
        Outcome::Limited(why) => {
            asked.limited += 1;
            *failures.entry(format!("load limit: {why}")).or_default() += 1;
        }
        Outcome::Failed(_) if is_moot => asked.moot += 1,
        Outcome::Failed(why) => {
            asked.failed += 1;
            *failures.entry(why.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { calls: 2.0, time: Duration::from_secs(2) };

    fn heard(outcome: impl Fn(&Due) -> Option<(u64, Outcome)>) -> Step {
        let schedule = schedule(PACE);
        let outcomes = schedule.iter().enumerate().filter_map(|(number, due)| {
            let (ms, outcome) = outcome(due)?;
            Some((number, (Duration::from_millis(ms), outcome)))
        });
        let heard = Heard { outcomes: outcomes.collect(), strange: 0 };
        step(PACE, &schedule, &heard, &histogram())
    }

    #[test]
    fn requests_are_due_at_their_times_whatever_is_answered() {
        let schedule = schedule(PACE);
        assert_eq!(schedule.len(), 12);
        assert!(schedule.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let of = |call| {
            let of_call = schedule.iter().filter(move |due| due.call == call);
            of_call.map(|due| (due.at.as_millis(), due.what)).collect::<Vec<_>>()
        };
        assert_eq!(of(3), [(1500, What::Offer), (2000, What::Answer), (2500, What::Delete)]);
    }

    #[test]
    fn a_step_is_sustained_if_everything_was_done_in_time() {
        let good = heard(|_| Some((800, Outcome::Done)));
        assert!(good.is_sustained() && (good.in_time() - 1.0).abs() < f64::EPSILON);
        assert_eq!((good.rate, good.sent()), (6.0, 12));
        let slow = heard(|due| Some((if due.call == 3 { 801 } else { 5 }, Outcome::Done)));
        assert!(!slow.is_sustained() && slow.in_time() == 0.75, "{slow:?}");
        let lost = heard(|due| (due.what != What::Delete).then_some((5, Outcome::Done)));
        assert!(!lost.is_sustained() && lost.deletes.answered == 0, "{lost:?}");
    }

    #[test]
    fn what_follows_a_refused_offer_is_no_failure_of_its_own() {
        let limited = || Outcome::Limited("Load limit exceeded".into());
        let unknown = || Outcome::Failed("Unknown call-id".into());
        let step = heard(|due| {
            let outcome = match due.what {
                What::Offer if due.call == 0 => limited(),
                What::Answer if due.call < 2 => unknown(),
                _ => Outcome::Done,
            };
            Some((5, outcome))
        });
        assert_eq!((step.offers.limited, step.answers.moot, step.answers.failed), (1, 1, 1));
        assert_eq!(step.failures["load limit: Load limit exceeded"], 1);
        assert_eq!(step.failures["Unknown call-id"], 1);
        assert!(!step.is_sustained());
    }

    #[test]
    fn a_reply_is_told_by_its_cookie() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let schedule: Arc<[Due]> = schedule(PACE).into();
        let (start, heard) = (Instant::now(), Heard::default());
        let ear = Ear { udp, schedule, start, prefix: "run_".into(), heard };
        assert_eq!(ear.read(b"run_7 d6:result2:oke"), Some((7, Outcome::Done)));
        assert_eq!(ear.read(b"run_12 d6:result2:oke"), None, "nobody asked that");
        assert_eq!(ear.read(b"old_7 d6:result2:oke"), None);
        let limited = b"run_1 d7:message3:why6:result10:load limite";
        assert_eq!(ear.read(limited), Some((1, Outcome::Limited("why".into()))));
    }
}
