//! Packets through a TURN server at a given rate, and what the server's process costs meanwhile.
//!
//! What is due within a tick leaves together, each packet of another client; then the generator looks at what has
//! come and sleeps until the next tick. A payload says which one it is and when it left.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_control::api::Media;
use causeway_engine::packet::Nanos;
use causeway_engine::sys::cpu;
use hdrhistogram::Histogram;

use super::crowd::Crowd;
use super::frame;
use super::lanes::{PEERS, Place};
use super::plan::{Plan, Target};
use super::report::{Cost, Faults, TrafficReport};
use crate::arrivals::Arrivals;
use crate::batch::Batch;
use crate::board::histogram;
use crate::call::StreamOutcome;
use crate::counters::{COUNTING, Counters};
use crate::curve::Curve;
use crate::payload::{self, Stamp};
use crate::plan::SLEEP_MIN;
use crate::process::{Process, sum};
use crate::report::{Generator, Quantiles, Tally, Verdict};
use crate::rest::Rest;
use crate::second::Second;
use crate::station::LATE;

/// Time between two looks at how it goes.
const SECOND: Duration = Duration::from_secs(1);
/// Time between two looks while packets may still come.
const LOOK: Duration = Duration::from_millis(1);
/// Before packets are counted: caches warm up, and the way is known to be open.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long packets may come after the last was sent.
const DRAIN: Duration = Duration::from_secs(1);
/// Packets that are overdue by more are not sent any more.
const OVERDUE: Duration = Duration::from_millis(200);
/// Allocations last 600 s, permissions 300 s (RFC 8656 §3.2, §9).
const RENEW: Duration = Duration::from_secs(200);
/// Clients that are set up at the same time.
const WINDOW: usize = 16;
/// Looks at the sockets, most, before the next tick is looked at.
const LOOKS: usize = 64;

/// Sets up the clients of `plan`, sends, and says what came of it.
///
/// # Errors
/// If the server cannot be reached, or its process cannot be looked at.
pub fn run(plan: &Plan, target: Target, stop: &AtomicBool) -> io::Result<TrafficReport> {
    let server = target.pid.map(Process::new).transpose()?;
    let mut crowd = Crowd::open(plan, target.address)?;
    let asked = Instant::now();
    crowd.settle(WINDOW, stop)?;
    crowd.clients.iter_mut().for_each(|client| client.open());
    crowd.settle(WINDOW, stop)?;
    let set_up = asked.elapsed();
    let mut traffic = Traffic::new(plan, crowd);
    if traffic.ready.is_empty() {
        let why = traffic.crowd.tale.failures.keys().next().cloned();
        return Err(io::Error::other(why.unwrap_or_else(|| "no client was set up".into())));
    }
    traffic.span(WARM_UP, stop)?;
    traffic.counted = true;
    let (own, start) = (Process::own(), Instant::now());
    let before = (server.as_ref().map(Process::sample).transpose()?, own.sample()?);
    let rest = target.api.map(|at| Rest::new(at.into(), None));
    let workers = || rest.as_ref().map(Rest::workers).transpose().map_err(io::Error::other);
    let (came, turns) = (traffic.came, workers()?);
    traffic.span(plan.duration, stop)?;
    let after = (server.as_ref().map(Process::sample).transpose()?, own.sample()?);
    let (seconds, came) = (start.elapsed().as_secs_f64(), traffic.came - came);
    let batch = turns.zip(workers()?).map(|(then, now)| Batch::of(&now, &then));
    let counters = server.as_ref().map(Counters::attach).transpose()?;
    let mut counted = None;
    if let Some(counters) = counters {
        let came = traffic.came;
        traffic.span(COUNTING.min(plan.duration), stop)?;
        counted = Some(counters.read(traffic.came - came));
    }
    let drained = Instant::now() + DRAIN;
    while Instant::now() < drained {
        traffic.receive()?;
        thread::sleep(LOOK);
    }
    let cost = before.0.zip(after.0).map(|(before, after)| {
        let threads = after.since(&before, seconds);
        let resident = [before.resident, after.resident];
        let cpu = sum(&threads);
        Cost { seconds, cpu, packets: came, threads, resident, batch, counted }
    });
    let threads = after.1.since(&before.1, seconds);
    let generator = Generator { cpu: sum(&threads), threads, ..Generator::default() };
    traffic.end(set_up, cost, generator, stop)
}

struct Flow {
    sent: u64,
    arrivals: Arrivals,
}

/// Clients that send and receive. Flow `2 c` is what client `c` sends, and `2 c + 1` what it is sent.
struct Traffic<'p> {
    plan: &'p Plan,
    crowd: Crowd,
    /// Clients that have all they want.
    ready: Vec<usize>,
    flows: Vec<Flow>,
    payload: Vec<u8>,
    /// Packets of all flows that were due.
    next: u64,
    /// Whether packets count; those before only open the way.
    counted: bool,
    /// Packets that came, counted or not.
    came: u64,
    faults: Faults,
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    late: u64,
    overdue: u64,
    renewed: Instant,
    beat: Beat,
    seconds: Vec<Second>,
}

/// What the last second was told of.
struct Beat {
    start: Instant,
    at: Instant,
    sent: u64,
    came: u64,
    missing: u64,
    latency: Histogram<u64>,
}

impl<'p> Traffic<'p> {
    fn new(plan: &'p Plan, crowd: Crowd) -> Self {
        let is_ready = |&number: &usize| {
            crowd.clients[number].relayed().is_some() && crowd.clients[number].is_idle()
        };
        Self {
            plan,
            ready: (0..plan.clients).filter(is_ready).collect(),
            flows: (0..2 * plan.clients)
                .map(|_| Flow { sent: 0, arrivals: Arrivals::default() })
                .collect(),
            payload: vec![0; plan.size],
            next: 0,
            counted: false,
            came: 0,
            faults: Faults::default(),
            latency: histogram(),
            lateness: histogram(),
            late: 0,
            overdue: 0,
            renewed: Instant::now(),
            beat: Beat {
                start: Instant::now(),
                at: Instant::now(),
                sent: 0,
                came: 0,
                missing: 0,
                latency: histogram(),
            },
            seconds: Vec::new(),
            crowd,
        }
    }

    /// Sends and receives for so long.
    fn span(&mut self, length: Duration, stop: &AtomicBool) -> io::Result<()> {
        let (start, long) = (Instant::now(), self.plan.tick);
        let ticks = (length.as_secs_f64() / long.as_secs_f64()) as u32;
        for tick in 0..ticks {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let at = start + long * tick;
            wait(at, long);
            let count = self.due(tick + 1) - self.due(tick);
            self.send_all(at, count);
            self.receive()?;
            if self.renewed.elapsed() > RENEW {
                self.renewed = Instant::now();
                self.crowd.renew();
            }
            self.crowd.tend();
            if self.beat.at.elapsed() >= SECOND {
                self.note_second();
            }
        }
        Ok(())
    }

    fn note_second(&mut self) {
        let missing = self.flows.iter().map(|flow| flow.arrivals.missing()).sum::<u64>();
        let (sent, now, beat) = (self.next - self.overdue, Instant::now(), &mut self.beat);
        let seconds = (now - beat.at).as_secs_f64();
        self.seconds.push(Second {
            at: (now - beat.start).as_secs_f64(),
            phase: if self.counted { "hold" } else { "warm-up" },
            sent: (sent - beat.sent) as f64 / seconds,
            received: (self.came - beat.came) as f64 / seconds,
            missing: missing.saturating_sub(beat.missing),
            p50_us: beat.latency.value_at_quantile(0.5),
            p99_us: beat.latency.value_at_quantile(0.99),
            server: None,
            generator: 0.0,
        });
        (beat.at, beat.sent, beat.came, beat.missing) = (now, sent, self.came, missing);
        beat.latency.reset();
    }

    /// Packets that are due before this tick.
    fn due(&self, tick: u32) -> u64 {
        (self.plan.rate * self.plan.tick.as_secs_f64() * f64::from(tick)) as u64
    }

    /// Sends the packets of the tick that was at `at`.
    fn send_all(&mut self, at: Instant, count: u64) {
        if at.elapsed() > OVERDUE {
            self.next += count;
            self.overdue += count;
            return;
        }
        for _ in 0..count {
            if self.counted {
                let behind = at.elapsed();
                self.lateness.saturating_record(behind.as_micros() as u64);
                self.late += u64::from(behind > LATE);
            }
            self.send();
        }
    }

    fn send(&mut self) {
        let (number, clients) = (self.next, self.ready.len() as u64);
        self.next += 1;
        let client = self.ready[(number % clients) as usize];
        let is_to_peer = self.plan.direction.is_to_peer(number / clients);
        let stream = 2 * client + usize::from(!is_to_peer);
        let flow = &mut self.flows[stream];
        flow.sent += u64::from(self.counted);
        let sequence = if self.counted { flow.sent as u32 } else { 0 };
        let stamp = Stamp { stream: stream as u32, sequence, sent: cpu::clock_realtime().0 };
        payload::write(Media::Audio, stamp, &mut self.payload);
        let (payload, crowd) = (&self.payload[..], &mut self.crowd);
        if is_to_peer {
            let (mode, peer) = (self.plan.mode, crowd.clients[client].peer());
            crowd.lanes.send(client, |out| frame::write(mode, peer, number, payload, out));
        } else if let Some(relayed) = crowd.clients[client].relayed() {
            crowd.lanes.send_as_peer(client % PEERS, relayed, |out| {
                out.get_mut(..payload.len())?.copy_from_slice(payload);
                Some(payload.len())
            });
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let Self { crowd, flows, came, faults, latency, beat, .. } = self;
        let Crowd { lanes, clients, mail, .. } = crowd;
        for _ in 0..LOOKS {
            let count = lanes.turn(Duration::ZERO, |place, from, bytes, at| {
                let data = match place {
                    Place::Peer(_) => bytes,
                    Place::Client(number) => match frame::payload(bytes) {
                        Some(data) => data,
                        None => return mail.push((number, bytes.to_vec())),
                    },
                };
                let Some(stamp) = payload::read(data) else {
                    faults.corrupt += 1;
                    return;
                };
                let stream = stamp.stream as usize;
                let is_right = match place {
                    Place::Client(number) => stream == 2 * number + 1,
                    Place::Peer(peer) => clients.get(stream / 2).is_some_and(|client| {
                        let is_from_it = client.relayed() == Some(from);
                        stream.is_multiple_of(2) && is_from_it && stream / 2 % PEERS == peer
                    }),
                };
                if !is_right {
                    faults.misrouted += 1;
                    return;
                }
                *came += 1;
                if stamp.sequence > 0 {
                    flows[stream].arrivals.note(stamp.sequence, at.0);
                    let us = at.since(Nanos(stamp.sent)) / 1000;
                    latency.saturating_record(us);
                    beat.latency.saturating_record(us);
                }
            })?;
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    fn end(
        mut self,
        set_up: Duration,
        cost: Option<Cost>,
        mut generator: Generator,
        stop: &AtomicBool,
    ) -> io::Result<TrafficReport> {
        let mut ways: BTreeMap<&'static str, Tally> = BTreeMap::new();
        for (number, flow) in self.flows.iter().enumerate().filter(|(_, flow)| flow.sent > 0) {
            let way = if number.is_multiple_of(2) { "to the peer" } else { "from the peer" };
            ways.entry(way).or_default().add(&outcome(flow));
            ways.entry("total").or_default().add(&outcome(flow));
        }
        let (ready, (blocked, closed)) = (self.ready.len(), self.crowd.lanes.trouble());
        let unsent = self.overdue + self.crowd.lanes.unsent();
        self.crowd.clients.iter_mut().for_each(|client| client.release());
        self.crowd.settle(WINDOW, stop)?;
        let Crowd { lanes, tale, .. } = self.crowd;
        generator.lateness_us = Quantiles::of(&self.lateness);
        (generator.late, generator.unsent) = (self.late, unsent);
        generator.socket_drops = lanes.close()?;
        let report = TrafficReport {
            verdict: Verdict::Clean,
            remarks: Vec::new(),
            plan: self.plan.clone(),
            tale,
            ready,
            set_up: set_up.as_secs_f64(),
            ways,
            faults: Faults { blocked, closed, ..self.faults },
            latency_us: Quantiles::of(&self.latency),
            latency_curve: Curve(self.latency),
            seconds: self.seconds,
            server: cost,
            generator,
        };
        Ok(report.judged())
    }
}

fn outcome(flow: &Flow) -> StreamOutcome {
    let came = &flow.arrivals;
    StreamOutcome {
        media: Media::Audio,
        sent: flow.sent,
        received: came.unique(),
        duplicates: came.duplicates(),
        reordered: came.reordered(),
        stale: came.stale(),
        longest_gap: Duration::from_nanos(came.longest_gap()),
    }
}

/// Sleeps until then, or spins where ticks are short.
fn wait(until: Instant, tick: Duration) {
    if tick >= SLEEP_MIN {
        return thread::sleep(until.saturating_duration_since(Instant::now()));
    }
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}
