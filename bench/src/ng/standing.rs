//! Calls that only stand: what they take of a server's memory and of the kernel's for it, what is left of it when they
//! are gone, and what setting them up and deleting them costs.
//!
//! Several clients ask at the same time, each for its next call as soon as it has its answer. No media flows, and the
//! phones have no sockets.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_engine::sys::cpu;
use serde::Serialize;

use super::client::{NgClient, NgError};
use super::dial::agree;
use super::sdp::{Line, key_of};
use crate::memory::{Growth, Memory};
use crate::phones::Phones;
use crate::process::{Cpu, Process, sum};
use crate::report::Verdict;
use crate::rounds::Figure;

/// Clients that ask at the same time.
const CLIENTS: usize = 16;
/// Time for the server and the kernel to come to rest before memory is looked at.
const REST: Duration = Duration::from_secs(1);
/// Where phones say that they are.
const PHONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Calls that stand at the same time.
    pub calls: usize,
    /// How often they are set up and deleted.
    pub times: u32,
    /// The core of the clients.
    pub core: Option<usize>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct StandingReport {
    /// What to make of it.
    pub verdict: Verdict,
    /// What else a reader has to know.
    pub remarks: Vec<String>,
    /// Calls that stood at the same time.
    pub calls: usize,
    /// Clients that asked.
    pub clients: usize,
    /// Each time that they were set up and deleted.
    pub times: Vec<Time>,
    /// What the first deletion left, for each call that had stood.
    pub left: Growth,
    /// What had come to that by the end, for each call that was set up and deleted meanwhile; none of one time.
    pub kept: Option<Growth>,
}

/// A time that calls were set up and deleted.
#[derive(Debug, Clone, Serialize)]
pub struct Time {
    /// Setting up and deleting took so long.
    pub seconds: f64,
    /// The server's CPU for it.
    pub cpu: Cpu,
    /// What had come since the server started, for each call, while all stood.
    pub each: Growth,
    /// Descriptors that the server had open then.
    pub descriptors: usize,
    /// Bytes of memory that the server had then.
    pub resident: u64,
}

/// Sets the calls up and deletes them, over and over; `run` sets their names apart from others'.
///
/// # Errors
/// If the server cannot be asked or looked at.
pub fn run(
    asked: Standing,
    phones: Phones,
    server: SocketAddr,
    process: &Process,
    run: &str,
    stop: &AtomicBool,
) -> io::Result<StandingReport> {
    let crowd = Crowd { asked, phones, server, run, stop };
    thread::sleep(REST);
    let start = Memory::of(process.pid())?;
    let (mut times, mut first, mut remarks) = (Vec::new(), None, Vec::new());
    let mut last = start;
    for time in 0..asked.times {
        let (before, began) = (process.sample()?, Instant::now());
        let mut failures = crowd.each(time, "up", Crowd::set_up)?;
        let mut seconds = began.elapsed().as_secs_f64();
        let mut cpu = sum(&process.sample()?.since(&before, seconds));
        thread::sleep(REST);
        let (standing, each) = (process.sample()?, Memory::of(process.pid())?);
        let each = each.since(&start, asked.calls as u64);
        let descriptors = process.descriptors()?;
        let began = Instant::now();
        failures.extend(crowd.each(time, "down", Crowd::delete)?);
        let deleting = began.elapsed().as_secs_f64();
        let spent = sum(&process.sample()?.since(&standing, deleting));
        seconds += deleting;
        cpu = Cpu { user: cpu.user + spent.user, system: cpu.system + spent.system };
        times.push(Time { seconds, cpu, each, descriptors, resident: standing.resident });
        thread::sleep(REST);
        last = Memory::of(process.pid())?;
        first.get_or_insert(last);
        if let Some(failure) = failures.first() {
            remarks.push(format!("{} requests failed, the first: {failure}", failures.len()));
        }
        if stop.load(Ordering::Relaxed) {
            remarks.push("ended early, with fewer calls than are told".into());
        }
        if !remarks.is_empty() {
            break;
        }
    }
    let (calls, first) = (asked.calls as u64, first.unwrap_or(last));
    let since = calls * (times.len() as u64).saturating_sub(1);
    Ok(StandingReport {
        verdict: if remarks.is_empty() { Verdict::Clean } else { Verdict::Failed },
        remarks,
        calls: asked.calls,
        clients: CLIENTS,
        times,
        left: first.since(&start, calls),
        kept: (since > 0).then(|| last.since(&first, since)),
    })
}

/// Those who ask.
struct Crowd<'a> {
    asked: Standing,
    phones: Phones,
    server: SocketAddr,
    run: &'a str,
    stop: &'a AtomicBool,
}

impl Crowd<'_> {
    /// Does something with each call; what failed.
    fn each(
        &self,
        time: u32,
        what: &str,
        work: fn(&Self, &mut NgClient, &str, u32) -> Result<(), NgError>,
    ) -> io::Result<Vec<NgError>> {
        let next = AtomicUsize::new(0);
        let ask = |number: usize| {
            self.asked.core.map_or(Ok(()), cpu::pin)?;
            // Each client has names of its own for each thing that it does: the server remembers what it has answered.
            let names = format!("{}_{what}{time}_{number}", self.run);
            let mut client = NgClient::new(self.server, &names).map_err(io::Error::other)?;
            let mut failures = Vec::new();
            loop {
                let call = next.fetch_add(1, Ordering::Relaxed);
                if call >= self.asked.calls || self.stop.load(Ordering::Relaxed) {
                    return Ok(failures);
                }
                let name = format!("{}_{time}_{call}", self.run);
                failures.extend(work(self, &mut client, &name, call as u32).err());
            }
        };
        let panicked = |_| Err(io::Error::other("a client panicked"));
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|number| scope.spawn(move || ask(number))).collect();
            let failures = clients.into_iter().map(|client| client.join().unwrap_or_else(panicked));
            Ok(failures.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
    }

    fn set_up(&self, client: &mut NgClient, name: &str, number: u32) -> Result<(), NgError> {
        let [caller, called] = self.phones.suites();
        let line = |suite: Option<_>, side: u32| {
            let key = suite.map(|suite| key_of(2 * number + side, suite));
            let port = 1024 + (2 * number + side) % 60_000;
            Line { at: (PHONE, port as u16).into(), keys: key.into_iter().collect() }
        };
        agree(client, self.phones, name, &[line(caller, 0)], vec![line(called, 1)]).map(drop)
    }

    fn delete(&self, client: &mut NgClient, name: &str, _: u32) -> Result<(), NgError> {
        client.delete(name)
    }
}

impl StandingReport {
    /// Calls offered, answered and deleted per second of CPU, of all times.
    pub fn per_cpu_second(&self) -> f64 {
        let cpu = self.times.iter().map(|time| time.cpu.total()).sum::<f64>();
        (self.calls * self.times.len()) as f64 / cpu.max(f64::EPSILON)
    }

    /// What servers are compared by.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![Figure::cost("CPU us per call", 1e6 / self.per_cpu_second())];
        if let Some(Time { each, .. }) = self.times.first() {
            figures.extend([
                Figure::cost("process kB per call", each.process / 1e3),
                Figure::cost("kernel kB per call", each.kernel() / 1e3),
            ]);
        }
        figures.extend(self.kept.map(|kept| Figure::cost("kB kept per call", kept.process / 1e3)));
        figures
    }
}

impl fmt::Display for StandingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, clients, times, .. } = self;
        writeln!(f, "{calls} calls that stand, by {clients} clients")?;
        for (number, Time { seconds, cpu, each, descriptors, resident }) in (1..).zip(times) {
            writeln!(
                f,
                "time {number}: set up and deleted in {seconds:.1} s and {:.2} s of CPU (user {:.2}); \
                 {descriptors} descriptors, {} MiB resident; each {each}",
                cpu.total(),
                cpu.user,
                resident >> 20,
            )?;
        }
        writeln!(
            f,
            "offered, answered and deleted per second of CPU: {:.0}",
            self.per_cpu_second()
        )?;
        writeln!(f, "left of each by the first deletion: {}", self.left)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "kept of each that came after: {kept}")?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "{remark}"))?;
        writeln!(f, "{}", self.verdict)
    }
}
