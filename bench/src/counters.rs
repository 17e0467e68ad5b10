//! What the kernel and the CPU count of a process's threads for a while: system calls, cycles, instructions.
//!
//! To count system calls makes each of them dearer, on the whole machine. So they are counted for a time of their
//! own, in which nothing else is measured. A thread is watched for itself, since what is inherited from a process
//! does not reach threads that are there already.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use perf_event::events::{Hardware, Tracepoint};
use perf_event::{Builder, Counter};
use serde::Serialize;

use crate::process::{Process, Thread};

/// How long is counted.
pub const COUNTING: Duration = Duration::from_secs(1);
/// Where the kernel says which event is the entry of a system call.
const SYSTEM_CALLS: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";
/// No such process: a thread that has ended.
const ESRCH: i32 = 3;

/// Counts a process's threads.
pub struct Counters {
    since: Instant,
    threads: Vec<Watched>,
    not_counted: Vec<String>,
}

struct Watched {
    name: String,
    counters: [Option<Counter>; 3],
}

/// What is counted, in the order of [`Watched::counters`].
#[derive(Clone, Copy)]
enum Kind {
    SystemCalls,
    Cycles,
    Instructions,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counted {
    /// Seconds that this is about.
    pub seconds: f64,
    /// Packets that came from the process meanwhile.
    pub packets: u64,
    /// Of all threads.
    pub total: Counts,
    /// By name of thread, the one with the most system calls first; those without anything left out.
    pub threads: Vec<ThreadCounts>,
    /// What was not counted, and why.
    pub not_counted: Vec<String>,
}

/// Counts; none where nothing could be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// System calls.
    pub system_calls: Option<u64>,
    /// Cycles of the CPU, in user space and in the kernel.
    pub cycles: Option<u64>,
    /// Instructions, likewise.
    pub instructions: Option<u64>,
}

/// What threads of one name count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadCounts {
    /// Their name.
    pub name: String,
    /// How many they are.
    pub threads: usize,
    /// Their counts.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Counters {
    /// Counts the threads that `process` has now. What cannot be counted is told with the result.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn attach(process: &Process) -> io::Result<Self> {
        let threads = process.threads()?;
        let threads = threads.into_iter().map(|Thread { id, name }| (id, name, [None, None, None]));
        let mut threads: Vec<(i32, String, [Option<Counter>; 3])> = threads.collect();
        let mut not_counted = Vec::new();
        for kind in [Kind::SystemCalls, Kind::Cycles, Kind::Instructions] {
            let mut watch = || {
                let event = kind.event()?;
                for (id, _, counters) in &mut threads {
                    counters[kind as usize] = event.watch(*id).map_err(|error| refusal(&error))?;
                }
                Ok::<_, String>(())
            };
            if let Err(why) = watch() {
                threads.iter_mut().for_each(|(_, _, counters)| counters[kind as usize] = None);
                not_counted.push(format!("{}: not counted: {why}", kind.name()));
            }
        }
        let watched = |(_, name, counters)| Watched { name, counters };
        let threads = threads.into_iter().map(watched).collect();
        Ok(Self { since: Instant::now(), threads, not_counted })
    }

    /// What has been counted, in which time so many packets came.
    pub fn read(mut self, packets: u64) -> Counted {
        let seconds = self.since.elapsed().as_secs_f64();
        let mut names: BTreeMap<String, ThreadCounts> = BTreeMap::new();
        let mut total = Counts::default();
        for Watched { name, counters } in &mut self.threads {
            let [system_calls, cycles, instructions] =
                counters.each_mut().map(|counter| counter.as_mut().and_then(count));
            let counts = Counts { system_calls, cycles, instructions };
            let none =
                || ThreadCounts { name: name.clone(), threads: 0, counts: Counts::default() };
            let known = names.entry(name.clone()).or_insert_with(none);
            known.threads += 1;
            known.counts = known.counts.plus(counts);
            total = total.plus(counts);
        }
        let mut threads: Vec<_> = names.into_values().filter(|one| one.counts.is_any()).collect();
        threads.sort_by_key(|one| Reverse((one.counts.system_calls, one.counts.cycles)));
        Counted { seconds, packets, total, threads, not_counted: self.not_counted }
    }
}

/// An event that threads can be watched for.
#[derive(Clone, Copy)]
enum Event {
    Tracepoint(Tracepoint),
    Hardware(Hardware),
}

impl Event {
    /// Counts the thread; nothing if it has ended.
    fn watch(self, thread: i32) -> io::Result<Option<Counter>> {
        let mut builder = match self {
            Self::Tracepoint(event) => Builder::new(event),
            Self::Hardware(event) => Builder::new(event),
        };
        let made = builder.observe_pid(thread).any_cpu().include_kernel().build();
        let made = made.and_then(|mut counter| counter.enable().map(|()| counter));
        match made {
            Ok(counter) => Ok(Some(counter)),
            Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::SystemCalls => "system calls",
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
        }
    }

    fn event(self) -> Result<Event, String> {
        Ok(match self {
            Self::SystemCalls => Event::Tracepoint(Tracepoint::with_id(system_calls()?)),
            Self::Cycles => Event::Hardware(Hardware::CPU_CYCLES),
            Self::Instructions => Event::Hardware(Hardware::INSTRUCTIONS),
        })
    }
}

/// Why the kernel does not count.
fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::Unsupported => {
            "this machine has no such counter".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not allowed: see kernel.perf_event_paranoid, or give CAP_PERFMON".to_owned()
        }
        _ => error.to_string(),
    }
}

fn system_calls() -> Result<u64, String> {
    let text = fs::read_to_string(SYSTEM_CALLS).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{SYSTEM_CALLS} is not there: `mount -t tracefs tracefs /sys/kernel/tracing`")
        }
        _ => format!("{SYSTEM_CALLS}: {error}"),
    })?;
    text.trim().parse().map_err(|_| format!("{SYSTEM_CALLS} holds no number"))
}

/// What it has counted, as if the CPU had never been short of counters for it.
fn count(counter: &mut Counter) -> Option<u64> {
    let data = counter.read_full().ok()?;
    let (enabled, running) = (data.time_enabled()?, data.time_running()?);
    if running.is_zero() || running == enabled {
        return Some(data.count());
    }
    Some((data.count() as f64 * enabled.as_secs_f64() / running.as_secs_f64()) as u64)
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| {
            one.or(other).map(|_| one.unwrap_or(0) + other.unwrap_or(0))
        };
        Self {
            system_calls: sum(self.system_calls, other.system_calls),
            cycles: sum(self.cycles, other.cycles),
            instructions: sum(self.instructions, other.instructions),
        }
    }

    fn is_any(self) -> bool {
        [self.system_calls, self.cycles, self.instructions].iter().flatten().any(|count| *count > 0)
    }
}

impl Counted {
    /// Of each packet.
    pub fn per_packet(&self, count: Option<u64>) -> Option<f64> {
        (self.packets > 0).then_some(count? as f64 / self.packets as f64)
    }

    /// Packets of each system call.
    pub fn packets_per_call(&self) -> Option<f64> {
        let calls = self.total.system_calls.filter(|calls| *calls > 0)?;
        Some(self.packets as f64 / calls as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_of_one_is_no_zero_of_all() {
        let some = Counts { system_calls: Some(3), cycles: None, instructions: Some(1) };
        let other = Counts { system_calls: Some(4), cycles: None, instructions: None };
        let both = Counts { system_calls: Some(7), cycles: None, instructions: Some(1) };
        assert_eq!(some.plus(other), both);
        let counted = Counted { packets: 14, total: both, ..Counted::default() };
        assert_eq!(counted.per_packet(both.system_calls), Some(0.5));
        assert_eq!(
            (counted.per_packet(both.cycles), counted.packets_per_call()),
            (None, Some(2.0))
        );
        assert_eq!(Counted::default().per_packet(Some(1)), None);
    }

    /// Counts if the kernel lets us, else says what is missing: never nothing, and never an error.
    #[test]
    fn system_calls_of_this_process_are_counted_or_said_not_to_be() {
        let counters = Counters::attach(&Process::own()).unwrap();
        for _ in 0..100 {
            fs::metadata("/").unwrap();
        }
        let counted = counters.read(10);
        match counted.total.system_calls {
            Some(calls) => assert!(calls >= 100, "{counted:?}"),
            None => {
                let said =
                    counted.not_counted.iter().any(|why| why.starts_with("system calls: not"));
                assert!(said, "{counted:?}");
            }
        }
        assert!(counted.threads.iter().all(|thread| thread.threads > 0));
    }
}
