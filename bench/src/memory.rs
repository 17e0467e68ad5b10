//! What a server's calls or allocations take: memory of its process, and of the kernel for it.
//!
//! The kernel's share is told of the whole machine, so nothing else may change meanwhile: own sockets are open before
//! the first look.

use std::fmt;
use std::fs;
use std::io;

use serde::Serialize;

/// Bytes of a page, in which the kernel counts what waits in sockets.
const PAGE: u64 = 4096;

/// What there was at one moment, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// The process's share of its pages (`Pss`).
    process: u64,
    /// Its page tables.
    tables: u64,
    /// The kernel's objects: sockets, descriptors, timers.
    slab: u64,
    /// What waits in sockets.
    queued: u64,
    /// What is left for others.
    available: u64,
}

/// What has come to it, in bytes, of each call or allocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Growth {
    /// The process's share of its pages.
    pub process: f64,
    /// Its page tables.
    pub tables: f64,
    /// The kernel's objects.
    pub slab: f64,
    /// What waits in sockets.
    pub queued: f64,
    /// What is not left for others any more, whatever it is: all of the above, counted another way.
    pub unavailable: f64,
}

impl Memory {
    /// What there is now.
    ///
    /// # Errors
    /// If there is no such process, or it may not be looked at.
    pub fn of(pid: u32) -> io::Result<Self> {
        let read = |path: String| fs::read_to_string(path);
        let (shares, status) =
            (read(format!("/proc/{pid}/smaps_rollup"))?, read(format!("/proc/{pid}/status"))?);
        let (all, sockets) =
            (read("/proc/meminfo".into())?, read(format!("/proc/{pid}/net/sockstat"))?);
        Ok(Self {
            process: kilobytes(&shares, "Pss:"),
            tables: kilobytes(&status, "VmPTE:"),
            slab: kilobytes(&all, "Slab:"),
            queued: PAGE * pages(&sockets),
            available: kilobytes(&all, "MemAvailable:"),
        })
    }

    /// What has come since `earlier`, divided by `count`.
    pub fn since(&self, earlier: &Self, count: u64) -> Growth {
        let each = |now: u64, then: u64| (now as f64 - then as f64) / count.max(1) as f64;
        Growth {
            process: each(self.process, earlier.process),
            tables: each(self.tables, earlier.tables),
            slab: each(self.slab, earlier.slab),
            queued: each(self.queued, earlier.queued),
            unavailable: each(earlier.available, self.available),
        }
    }
}

impl Growth {
    /// The kernel's.
    pub fn kernel(&self) -> f64 {
        self.tables + self.slab + self.queued
    }

    /// The kernel's and the process's.
    pub fn total(&self) -> f64 {
        self.process + self.kernel()
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} bytes: process {:.0}, kernel {:.0} (slab {:.0}, page tables {:.0}, queued {:.0}); \
             available memory fell by {:.0}",
            self.total(),
            self.process,
            self.kernel(),
            self.slab,
            self.tables,
            self.queued,
            self.unavailable
        )
    }
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Pages that wait in sockets of TCP and UDP (`/proc/net/sockstat`).
fn pages(text: &str) -> u64 {
    let of = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        words.find(|word| *word == "mem")?;
        words.next()?.parse::<u64>().ok()
    };
    text.lines()
        .filter(|line| line.starts_with("TCP:") || line.starts_with("UDP:"))
        .filter_map(of)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_tcp_and_udp_are_counted() {
        let text = "sockets: used 9\nTCP: inuse 4 orphan 0 tw 0 alloc 5 mem 3\nUDP: inuse 5 mem 7\n\
            UDPLITE: inuse 0\nFRAG: inuse 0 memory 4\n";
        assert_eq!(pages(text), 10);
        assert_eq!(pages(""), 0);
    }

    #[test]
    fn growth_is_told_for_each_and_may_be_negative() {
        let then = Memory { process: 1000, tables: 0, slab: 500, queued: 0, available: 9000 };
        let now = Memory { process: 3000, tables: 40, slab: 400, queued: 0, available: 7000 };
        let growth = now.since(&then, 10);
        assert!((growth.process - 200.0).abs() < 1e-9 && (growth.unavailable - 200.0).abs() < 1e-9);
        assert!((growth.kernel() + 6.0).abs() < 1e-9 && (growth.total() - 194.0).abs() < 1e-9);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.process > 0 && memory.slab > 0 && memory.available > 0);
    }
}
