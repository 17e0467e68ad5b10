//! How fast allocations come, what they cost, and what memory they take.

use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::plan::{Plan, Target};
use super::report::AllocationsReport;
use crate::memory::Memory;
use crate::process::{Process, sum};
use crate::report::Verdict;

/// Time for the server and the kernel to come to rest before memory is looked at.
const REST: Duration = Duration::from_secs(2);
/// Below this share of a core the server is not what the rate is bound by.
const BUSY: f64 = 0.9;

/// Makes an allocation for each client of `plan`, at most `window` at the same time; then gives each its channel or
/// permission, and releases all of them.
///
/// # Errors
/// If the server cannot be reached, or its process cannot be looked at.
pub fn run(
    plan: &Plan,
    target: Target,
    window: usize,
    stop: &AtomicBool,
) -> io::Result<AllocationsReport> {
    let server = target.pid.map(Process::new).transpose()?;
    let memory = || target.pid.map(Memory::of).transpose();
    let sample = || server.as_ref().map(Process::sample).transpose();
    let own = Process::own();
    // The generator's own sockets are there before the first look.
    let mut crowd = Crowd::open(plan, target.address)?;
    thread::sleep(REST);
    let (before, cpu, own_cpu, start) = (memory()?, sample()?, own.sample()?, Instant::now());
    crowd.settle(window, stop)?;
    let seconds = start.elapsed().as_secs_f64();
    let (after, own_after) = (sample()?, own.sample()?);
    let made = crowd.clients.iter().filter(|client| client.relayed().is_some()).count() as u64;
    crowd.clients.iter_mut().for_each(|client| client.open());
    crowd.settle(window, stop)?;
    thread::sleep(REST);
    let full = memory()?;
    crowd.clients.iter_mut().for_each(|client| client.release());
    crowd.settle(window, stop)?;
    thread::sleep(REST);
    let left = memory()?;
    let Crowd { tale, lanes, .. } = crowd;
    lanes.close()?;
    let resident = cpu.as_ref().map(|sample| sample.resident);
    let cpu = cpu.zip(after).map(|(before, after)| sum(&after.since(&before, seconds)));
    let mut remarks = Vec::new();
    if let Some(busy) =
        cpu.map(|cpu| cpu.total() / seconds.max(f64::EPSILON)).filter(|busy| *busy < BUSY)
    {
        remarks.push(format!(
            "the server was busy {:.0} % of the time: it could make more per second than it was asked for",
            100.0 * busy
        ));
    }
    let grown = |now: Option<Memory>| before.zip(now).map(|(then, now)| now.since(&then, made));
    Ok(AllocationsReport {
        verdict: if tale.failed > 0 || made == 0 { Verdict::Failed } else { Verdict::Clean },
        remarks,
        plan: plan.clone(),
        window,
        tale,
        made,
        seconds,
        cpu,
        own: sum(&own_after.since(&own_cpu, seconds)),
        resident,
        each: grown(full),
        left: grown(left),
    })
}
