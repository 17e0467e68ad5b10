//! A report for people.

use std::fmt::{self, Write as _};

use crate::counters::{Counted, Counts};
use crate::process::{Cpu, ThreadCost, sum};
use crate::report::{Generator, Quantiles, Report, Server, Verdict};

/// Writes a report as a table.
pub struct Table<'a>(pub &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        calls(f, report)?;
        media(f, report)?;
        writeln!(f, "\n{:<18}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "p50", "p90", "p99", "p99.9", "max")?;
        quantiles(f, "latency, us", &report.latency_us)?;
        quantiles(f, "set-up, ms", &report.set_up_ms)?;
        quantiles(f, "sent late by, us", &report.generator.lateness_us)?;
        cpu(f, report)?;
        if let Some(server) = &report.server {
            drops(f, server)?;
        }
        for remark in &report.remarks {
            writeln!(f, "! {remark}")?;
        }
        writeln!(f, "\n{}: {}", report.verdict, verdict(report.verdict))
    }
}

fn calls(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let (asked, calls) = (&report.asked, &report.calls);
    writeln!(
        f,
        "{} calls ({}) for {:.0} s: {} created, {} up, {} failed",
        asked.calls, asked.mix, asked.duration, calls.created, calls.up, calls.failed
    )?;
    calls.failures.iter().try_for_each(|(why, count)| writeln!(f, "  {count} x {why}"))
}

fn media(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(
        f,
        "\n{:<18}{:>12}{:>12}{:>9}{:>11}{:>10}{:>8}{:>13}",
        "packets", "sent", "received", "lost", "duplicate", "reorder", "stale", "longest gap"
    )?;
    for (name, tally) in &report.media {
        writeln!(
            f,
            "{name:<18}{:>12}{:>12}{:>9}{:>11}{:>10}{:>8}{:>10.0} ms",
            tally.sent,
            tally.received,
            tally.lost,
            tally.duplicates,
            tally.reordered,
            tally.stale,
            tally.longest_gap_ms
        )?;
    }
    let faults = &report.faults;
    writeln!(
        f,
        "corrupt {}, misrouted {}, unreadable {}, replayed {}",
        faults.corrupt, faults.misrouted, faults.unreadable, faults.replayed
    )
}

fn quantiles(f: &mut fmt::Formatter<'_>, name: &str, q: &Quantiles) -> fmt::Result {
    writeln!(f, "{name:<18}{:>9}{:>9}{:>9}{:>9}{:>9}", q.p50, q.p90, q.p99, q.p999, q.max)
}

fn cpu(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let packets = report.server.as_ref().map_or(0, |server| server.forwarded);
    writeln!(
        f,
        "\n{:<26}{:>10}{:>10}{:>12}{:>14}{:>10}",
        "CPU", "user s", "system s", "us/packet", "sleeps/packet", "busiest"
    )?;
    if let Some(server) = &report.server {
        costs(f, "node", &server.threads, packets)?;
    }
    costs(f, "generator", &report.generator.threads, packets)?;
    let Generator { late, unsent, socket_drops, headroom, .. } = &report.generator;
    writeln!(
        f,
        "{late} packets sent more than 5 ms late, {unsent} not at all; own sockets dropped {socket_drops}"
    )?;
    writeln!(f, "{headroom}")
}

fn costs(
    f: &mut fmt::Formatter<'_>,
    whose: &str,
    threads: &[ThreadCost],
    packets: u64,
) -> fmt::Result {
    let each = |sum: f64| sum / packets.max(1) as f64;
    let row = |f: &mut fmt::Formatter<'_>, name: &str, cpu: Cpu, sleeps: u64| {
        let (us, sleeps) = (1e6 * each(cpu.total()), each(sleeps as f64));
        write!(f, "{name:<26}{:>10.2}{:>10.2}{us:>12.2}{sleeps:>14.3}", cpu.user, cpu.system)
    };
    row(f, whose, sum(threads), threads.iter().map(|cost| cost.sleeps).sum())?;
    f.write_char('\n')?;
    for cost in threads {
        let name = format!("  {}", several(&cost.name, cost.threads));
        row(f, &name, cost.cpu, cost.sleeps)?;
        writeln!(f, "{:>8.0} %", 100.0 * cost.busiest)?;
    }
    Ok(())
}

fn drops(f: &mut fmt::Formatter<'_>, server: &Server) -> fmt::Result {
    let [before, end, most] = server.resident.map(|bytes| bytes as f64 / f64::from(1 << 20));
    writeln!(
        f,
        "\nthe node: {} packets forwarded in {:.1} s, {:.2} us of CPU each; \
         memory {before:.0} MiB before, {end:.0} at the end, {most:.0} at most",
        server.forwarded,
        server.seconds,
        server.ns_per_packet / 1e3
    )?;
    let mut said = format!("its sockets dropped {}", server.socket_drops);
    for (reason, count) in &server.drops {
        write!(said, ", {reason} {count}")?;
    }
    writeln!(f, "{said}")?;
    if let Some(batch) = &server.batch {
        writeln!(f, "{batch}")?;
    }
    server.counted.as_ref().map_or(Ok(()), |counted| write!(f, "{}", CountedTable(counted)))
}

/// Writes what was counted as a table.
pub struct CountedTable<'a>(pub &'a Counted);

impl fmt::Display for CountedTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.0;
        let cell = |count, digits: usize| match counted.per_packet(count) {
            Some(each) => format!("{each:.digits$}"),
            None => "-".to_owned(),
        };
        let title = format!("per packet, for {:.1} s", counted.seconds);
        writeln!(f, "\n{title:<26}{:>14}{:>10}{:>14}", "system calls", "cycles", "instructions")?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, counts: &Counts| {
            let (calls, cycles) = (cell(counts.system_calls, 3), cell(counts.cycles, 0));
            writeln!(f, "{name:<26}{calls:>14}{cycles:>10}{:>14}", cell(counts.instructions, 0))
        };
        row(f, "node", &counted.total)?;
        for thread in &counted.threads {
            row(f, &format!("  {}", several(&thread.name, thread.threads)), &thread.counts)?;
        }
        if let Some(packets) = counted.packets_per_call() {
            writeln!(f, "{packets:.2} packets per system call")?;
        }
        counted.not_counted.iter().try_for_each(|why| writeln!(f, "{why}"))
    }
}

/// A name, and how many threads have it.
pub fn several(name: &str, threads: usize) -> String {
    if threads == 1 { name.to_owned() } else { format!("{name} x{threads}") }
}

/// What a verdict means, in words.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "calls came up and stayed, and no more was lost than is allowed",
        Verdict::Lossy => "more was lost than is allowed",
        Verdict::Corrupt => "packets came that were not what was sent",
        Verdict::Failed => "calls did not come up or broke",
        Verdict::Inconclusive => {
            "more was lost than is allowed, but the generator may have lost it"
        }
    }
}
