//! What came of relayed packets, of allocations, of a flood.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::crowd::Tale;
use super::plan::Plan;
use crate::batch::Batch;
use crate::counters::Counted;
use crate::curve::Curve;
use crate::memory::Growth;
use crate::plan::SLEEP_MIN;
use crate::process::{Cpu, ThreadCost, sum};
use crate::report::{BUSY_SHARE, Generator, LATE_SHARE, Quantiles, Tally, Verdict, kernel_figures};
use crate::rounds::Figure;
use crate::second::Second;
use crate::table::CountedTable;

/// Packets that were relayed.
#[derive(Debug, Serialize)]
pub struct TrafficReport {
    /// What to make of it.
    pub verdict: Verdict,
    /// Why, and what else a reader has to know.
    pub remarks: Vec<String>,
    /// What was asked for.
    pub plan: Plan,
    /// The clients.
    pub tale: Tale,
    /// Clients that had all they wanted.
    pub ready: usize,
    /// Seconds that it took to get it for them.
    pub set_up: f64,
    /// The packets by way, and all together under `total`.
    pub ways: BTreeMap<&'static str, Tally>,
    /// What should not be.
    pub faults: Faults,
    /// One-way latency in microseconds.
    pub latency_us: Quantiles,
    /// The same as a curve.
    pub latency_curve: Curve,
    /// How it went.
    pub seconds: Vec<Second>,
    /// What the server cost.
    pub server: Option<Cost>,
    /// What the generator itself did.
    pub generator: Generator,
}

/// What should not be.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Faults {
    /// Packets whose payload is not as it was sent.
    pub corrupt: u64,
    /// Packets that came to another than whom they were for, or from another address than the relayed one.
    pub misrouted: u64,
    /// Packets that found their stream full, since the server did not read; lost.
    pub blocked: u64,
    /// Connections that the server closed.
    pub closed: usize,
}

/// What a server's process cost.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Seconds that this is about.
    pub seconds: f64,
    /// CPU seconds of the process.
    pub cpu: Cpu,
    /// Packets that came from it meanwhile.
    pub packets: u64,
    /// Its threads by name, the dearest first.
    pub threads: Vec<ThreadCost>,
    /// Bytes of memory before and after.
    pub resident: [u64; 2],
    /// What its workers do at a time, where it says so.
    pub batch: Option<Batch>,
    /// What the kernel and the CPU counted, afterwards.
    pub counted: Option<Counted>,
}

/// Allocations that were made as fast as the server made them.
#[derive(Debug, Serialize)]
pub struct AllocationsReport {
    /// What to make of it.
    pub verdict: Verdict,
    /// What a reader has to know.
    pub remarks: Vec<String>,
    /// What was asked for.
    pub plan: Plan,
    /// At the same time.
    pub window: usize,
    /// The clients.
    pub tale: Tale,
    /// Allocations that were made.
    pub made: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// CPU seconds of the server that it took.
    pub cpu: Option<Cpu>,
    /// CPU seconds of the generator meanwhile.
    pub own: Cpu,
    /// Bytes of the server's process before the first.
    pub resident: Option<u64>,
    /// Bytes of each with its channel or permission.
    pub each: Option<Growth>,
    /// Bytes of each that are still there when all were released.
    pub left: Option<Growth>,
}

/// Allocates without credentials.
#[derive(Debug, Serialize)]
pub struct FloodReport {
    /// What to make of it: inconclusive if the generator did not send as often as was said.
    pub verdict: Verdict,
    /// Per second, as was said.
    pub asked: f64,
    /// Addresses.
    pub sources: usize,
    /// Bytes of each request.
    pub size: usize,
    /// Seconds.
    pub seconds: f64,
    /// Sent.
    pub sent: u64,
    /// Refused by the kernel.
    pub refused: u64,
    /// How long after its time each left, in microseconds.
    pub lateness_us: Quantiles,
    /// What the server's process cost; nothing counts as its packets.
    pub server: Option<Cost>,
}

impl TrafficReport {
    /// The report with its verdict. A load that was not offered as was said proves nothing, lost or not.
    pub fn judged(mut self) -> Self {
        let total = self.ways.get("total").copied().unwrap_or_default();
        let spins = self.plan.tick < SLEEP_MIN;
        self.generator.spins = spins;
        let mut doubts = self.generator.doubts(total.sent);
        self.generator.headroom = self.generator.headroom(self.plan.rate, "packets/s", total.sent);
        if total.received == 0 {
            self.remarks
                .push("nothing came: are these peers that the server does not relay to?".into());
        }
        let busiest = self.generator.threads.iter().map(|cost| cost.busiest).fold(0.0, f64::max);
        if busiest > BUSY_SHARE && !spins {
            self.generator.headroom.is_exceeded = true;
            doubts.push(format!("the generator was busy {:.0} % of the time", 100.0 * busiest));
        }
        self.verdict = if self.faults.corrupt + self.faults.misrouted > 0 {
            Verdict::Corrupt
        } else if self.tale.failed > 0 || total.received == 0 || self.faults.closed > 0 {
            Verdict::Failed
        } else if !doubts.is_empty() {
            Verdict::Inconclusive
        } else if total.loss() > self.plan.allow_loss {
            Verdict::Lossy
        } else {
            Verdict::Clean
        };
        self.remarks.extend(doubts);
        self
    }

    /// What servers are compared by.
    pub fn figures(&self) -> Vec<Figure> {
        let total = self.ways.get("total").copied().unwrap_or_default();
        let mut figures = vec![
            Figure::cost("loss, %", 100.0 * total.loss()),
            Figure::cost("latency p50, us", self.latency_us.p50 as f64),
            Figure::cost("latency p99, us", self.latency_us.p99 as f64),
        ];
        if let Some(cost) = &self.server {
            figures.insert(0, Figure::cost("CPU us per packet", cost.us_per_packet()));
            let counted = cost.counted.as_ref();
            figures.extend(kernel_figures(cost.sleeps_per_packet(), cost.batch.as_ref(), counted));
        }
        figures
    }
}

impl Cost {
    /// Microseconds of CPU per packet.
    pub fn us_per_packet(&self) -> f64 {
        1e6 * self.cpu.total() / self.packets.max(1) as f64
    }

    /// Voluntary context switches per packet.
    pub fn sleeps_per_packet(&self) -> f64 {
        let sleeps = self.threads.iter().map(|thread| thread.sleeps).sum::<u64>();
        sleeps as f64 / self.packets.max(1) as f64
    }
}

impl AllocationsReport {
    /// Per second.
    pub fn rate(&self) -> f64 {
        self.made as f64 / self.seconds.max(f64::EPSILON)
    }

    /// What servers are compared by.
    pub fn figures(&self) -> Vec<Figure> {
        let made = self.made.max(1) as f64;
        let mut figures = vec![Figure::cost("wall us per allocation", 1e6 * self.seconds / made)];
        if let Some(cpu) = self.cpu {
            figures.push(Figure::cost("CPU us per allocation", 1e6 * cpu.total() / made));
        }
        if let Some(each) = self.each {
            figures.extend([
                Figure::cost("process bytes each", each.process),
                Figure::cost("kernel bytes each", each.kernel()),
                Figure::cost("all bytes each", each.total()),
            ]);
        }
        figures
    }
}

impl FloodReport {
    /// Per second, as it was.
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds.max(f64::EPSILON)
    }

    /// Whether it was sent as often as was said.
    pub fn is_as_asked(&self) -> bool {
        self.rate() >= (1.0 - LATE_SHARE) * self.asked
    }
}

impl fmt::Display for TrafficReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.plan.duration.as_secs_f64();
        writeln!(f, "{}: {:.0} packets/s for {seconds:.0} s", self.plan, self.plan.rate)?;
        tale(f, &self.tale, self.ready as u64, self.set_up)?;
        for (way, tally) in &self.ways {
            let Tally { sent, received, lost, duplicates, reordered, stale, longest_gap_ms } =
                tally;
            writeln!(
                f,
                "{way:<14} sent {sent}, received {received}, lost {lost} ({:.4} %), duplicate {duplicates}, \
                 reordered {reordered}, stale {stale}, longest gap {longest_gap_ms:.0} ms",
                100.0 * tally.loss()
            )?;
        }
        let Faults { corrupt, misrouted, blocked, closed } = self.faults;
        writeln!(
            f,
            "corrupt {corrupt}, misrouted {misrouted}, stream full {blocked}, connections closed {closed}"
        )?;
        quantiles(f, "latency, us", &self.latency_us)?;
        quantiles(f, "sent late by, us", &self.generator.lateness_us)?;
        if let Some(cost) = &self.server {
            server(f, cost)?;
            let (us, sleeps) = (cost.us_per_packet(), cost.sleeps_per_packet());
            writeln!(f, "{us:.2} us of CPU and {sleeps:.3} sleeps per packet of {}", cost.packets)?;
            if let Some(batch) = &cost.batch {
                writeln!(f, "{batch}")?;
            }
            if let Some(counted) = &cost.counted {
                write!(f, "{}", CountedTable(counted))?;
            }
        }
        let own = &self.generator;
        writeln!(
            f,
            "generator: {:.2} s user, {:.2} s system; {} packets sent more than 5 ms late, {} not at all; own sockets \
             dropped {}",
            own.cpu.user, own.cpu.system, own.late, own.unsent, own.socket_drops
        )?;
        writeln!(f, "{}", own.headroom)?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "! {remark}"))?;
        writeln!(f, "{}", self.verdict)
    }
}

impl fmt::Display for AllocationsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "allocations for {}, {} at a time", self.plan, self.window)?;
        tale(f, &self.tale, self.made, self.seconds)?;
        write!(f, "{:.0} allocations/s", self.rate())?;
        if let Some(cpu) = self.cpu {
            let per_cpu = self.made as f64 / cpu.total().max(f64::EPSILON);
            let busy = 100.0 * cpu.total() / self.seconds.max(f64::EPSILON);
            write!(
                f,
                ", {per_cpu:.0} per CPU second; the server was busy {busy:.0} % of the time"
            )?;
        }
        writeln!(f)?;
        if let Some(resident) = self.resident {
            writeln!(
                f,
                "the server's process had {:.1} MiB before",
                resident as f64 / f64::from(1 << 20)
            )?;
        }
        for (name, growth) in [("each", self.each), ("left of each", self.left)] {
            if let Some(growth) = growth {
                writeln!(f, "{name}: {growth}")?;
            }
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "! {remark}"))?;
        writeln!(f, "{}", self.verdict)
    }
}

impl fmt::Display for FloodReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} Allocates of {} bytes without credentials from {} addresses in {:.1} s: {:.0}/s of {:.0}/s that were \
             wanted; refused {}",
            self.sent,
            self.size,
            self.sources,
            self.seconds,
            self.rate(),
            self.asked,
            self.refused
        )?;
        quantiles(f, "sent late by, us", &self.lateness_us)?;
        if let Some(cost) = &self.server {
            server(f, cost)?;
        }
        writeln!(f, "{}", self.verdict)
    }
}

fn tale(f: &mut fmt::Formatter<'_>, tale: &Tale, ready: u64, seconds: f64) -> fmt::Result {
    writeln!(
        f,
        "{ready} of {} clients ready in {seconds:.2} s, requests sent again {}",
        tale.clients, tale.repeated
    )?;
    tale.failures.iter().try_for_each(|(why, count)| writeln!(f, "  {count} x {why}"))
}

fn quantiles(f: &mut fmt::Formatter<'_>, name: &str, q: &Quantiles) -> fmt::Result {
    writeln!(
        f,
        "{name}: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        q.p50, q.p90, q.p99, q.p999, q.max
    )
}

fn server(f: &mut fmt::Formatter<'_>, cost: &Cost) -> fmt::Result {
    let Cpu { user, system } = cost.cpu;
    let [before, after] = cost.resident.map(|bytes| bytes as f64 / f64::from(1 << 20));
    write!(f, "server: {user:.2} s user, {system:.2} s system in {:.1} s (", cost.seconds)?;
    for (place, thread) in cost.threads.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let total = sum(std::slice::from_ref(thread)).total();
        write!(f, "{comma}{} {total:.2}", thread.name)?;
    }
    writeln!(f, "); memory {before:.1} MiB, then {after:.1}")
}
