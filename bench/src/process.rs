//! What a process costs, as the kernel tells under `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

/// Ticks per second of the times in `/proc`: on Linux 100 for all architectures' user space.
const TICKS: f64 = 100.0;

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    pid: u32,
    folder: PathBuf,
}

/// CPU seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cpu {
    /// In user space.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

/// A thread of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
}

/// What a thread had cost at one moment.
#[derive(Debug, Clone, Default)]
struct Spent {
    name: String,
    cpu: Cpu,
    /// Voluntary context switches.
    sleeps: u64,
}

/// What a process had cost at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Each thread by its id.
    threads: BTreeMap<u32, Spent>,
    /// Bytes of memory that it has.
    pub resident: u64,
    /// Bytes of memory that it had at most.
    pub resident_peak: u64,
}

/// What a thread has cost between two samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThreadCost {
    /// Its name; threads of the same name are told together.
    pub name: String,
    /// How many they are.
    pub threads: usize,
    /// CPU seconds.
    pub cpu: Cpu,
    /// Times that they gave up the CPU to wait for something: voluntary context switches.
    pub sleeps: u64,
    /// The highest of the shares of time that one of them ran.
    pub busiest: f64,
}

impl Cpu {
    /// User and system.
    pub fn total(self) -> f64 {
        self.user + self.system
    }
}

impl Process {
    /// The process with this id.
    ///
    /// # Errors
    /// If there is none, or it may not be looked at.
    pub fn new(pid: u32) -> io::Result<Self> {
        let process = Self { pid, folder: format!("/proc/{pid}").into() };
        process.sample()?;
        Ok(process)
    }

    /// This process.
    pub fn own() -> Self {
        Self { pid: std::process::id(), folder: "/proc/self".into() }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Descriptors that it has open.
    ///
    /// # Errors
    /// If it has ended.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.folder.join("fd"))?.count())
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// If it has ended.
    pub fn sample(&self) -> io::Result<Sample> {
        let mut sample = Sample::default();
        for entry in fs::read_dir(self.folder.join("task"))? {
            let path = entry?.path();
            // A thread may end between the looks.
            let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
            let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
            if let Some((id, name, cpu)) = parse_stat(&stat) {
                let sleeps = parse_number(&status, "voluntary_ctxt_switches:");
                sample.threads.insert(id, Spent { name, cpu, sleeps });
            }
        }
        let status = fs::read_to_string(self.folder.join("status"))?;
        sample.resident = 1024 * parse_number(&status, "VmRSS:");
        sample.resident_peak = 1024 * parse_number(&status, "VmHWM:");
        Ok(sample)
    }

    /// The threads that it has now.
    ///
    /// # Errors
    /// If it has ended.
    pub fn threads(&self) -> io::Result<Vec<Thread>> {
        let mut threads = Vec::new();
        for entry in fs::read_dir(self.folder.join("task"))? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // A thread may end between the two looks.
            let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
            threads.extend(id.map(|id| Thread { id, name: name.trim_end().to_owned() }));
        }
        Ok(threads)
    }

    /// Datagrams that its network namespace's UDP sockets on these ports had no room for.
    ///
    /// # Errors
    /// If it has ended.
    pub fn socket_drops(&self, ports: &[u16]) -> io::Result<u64> {
        let mut drops = 0;
        for table in ["net/udp", "net/udp6"] {
            match fs::read_to_string(self.folder.join(table)) {
                Ok(text) => drops += parse_drops(&text, ports),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(drops)
    }
}

impl Sample {
    /// What each name of thread has cost since `earlier`, `seconds` ago; the dearest first, those
    /// that cost nothing left out.
    pub fn since(&self, earlier: &Self, seconds: f64) -> Vec<ThreadCost> {
        let mut costs: BTreeMap<&str, ThreadCost> = BTreeMap::new();
        for (id, Spent { name, cpu, sleeps }) in &self.threads {
            let before = earlier.threads.get(id).cloned().unwrap_or_default();
            let spent =
                Cpu { user: cpu.user - before.cpu.user, system: cpu.system - before.cpu.system };
            let cost = costs.entry(name).or_insert_with(|| ThreadCost {
                name: name.clone(),
                threads: 0,
                cpu: Cpu::default(),
                sleeps: 0,
                busiest: 0.0,
            });
            cost.threads += 1;
            cost.cpu.user += spent.user;
            cost.cpu.system += spent.system;
            cost.sleeps += sleeps - before.sleeps.min(*sleeps);
            cost.busiest = cost.busiest.max(spent.total() / seconds.max(f64::EPSILON));
        }
        let mut costs: Vec<_> = costs.into_values().filter(|cost| cost.cpu.total() > 0.0).collect();
        costs.sort_by(|a, b| b.cpu.total().total_cmp(&a.cpu.total()));
        costs
    }
}

/// What all of them have cost.
pub fn sum(threads: &[ThreadCost]) -> Cpu {
    threads.iter().fold(Cpu::default(), |sum, cost| Cpu {
        user: sum.user + cost.cpu.user,
        system: sum.system + cost.cpu.system,
    })
}

/// Id, name, user and system time of a thread (proc(5), `/proc/pid/stat`).
fn parse_stat(stat: &str) -> Option<(u32, String, Cpu)> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let id = stat[..open].trim().parse().ok()?;
    let mut fields = stat.get(close + 1..)?.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu = Cpu { user: ticks()? / TICKS, system: ticks()? / TICKS };
    Some((id, stat[open + 1..close].to_owned(), cpu))
}

fn parse_number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0)
}

/// Sums the last column of the rows whose local port is one of `ports`.
fn parse_drops(table: &str, ports: &[u16]) -> u64 {
    let drops = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        ports.contains(&port).then(|| fields.last()?.parse::<u64>().ok())?
    };
    table.lines().skip(1).filter_map(drops).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_read() {
        let stat = "42 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3";
        let (id, name, cpu) = parse_stat(stat).unwrap();
        assert_eq!((id, name.as_str()), (42, "a) (b c"));
        assert_eq!((cpu.user, cpu.system), (1.5, 0.5));
    }

    #[test]
    fn drops_are_summed_over_the_ports_that_are_asked_for() {
        let table = "  sl  local_address rem_address   st tx rx tr tm->when retrnsmt uid timeout inode ref pointer drops\n\
            1: 0100007F:9E34 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 5\n\
            2: 0100007F:9E35 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 7\n\
            3: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 9\n";
        assert_eq!(parse_drops(table, &[0x9e34, 0x9e35]), 12);
        assert_eq!(parse_drops(table, &[]), 0);
    }

    #[test]
    fn threads_of_a_name_are_told_together() {
        let spent = |name: &str, user: f64| {
            let (name, cpu) = (name.to_owned(), Cpu { user, system: 0.0 });
            Spent { name, cpu, sleeps: 10 * user as u64 }
        };
        let sample = |ticks: [f64; 3]| Sample {
            threads: [(1, "worker"), (2, "worker"), (3, "idle")]
                .iter()
                .zip(ticks)
                .map(|(&(id, name), user)| (id, spent(name, user)))
                .collect(),
            ..Sample::default()
        };
        let costs = sample([3.0, 2.0, 1.0]).since(&sample([1.0, 1.0, 1.0]), 4.0);
        assert_eq!(costs.len(), 1);
        assert_eq!((costs[0].threads, costs[0].cpu.user, costs[0].busiest), (2, 3.0, 0.5));
        assert_eq!(costs[0].sleeps, 30);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let sample = Process::own().sample().unwrap();
        assert!(sample.resident > 0 && sample.resident_peak >= sample.resident);
        assert!(!sample.threads.is_empty());
    }

    #[test]
    fn the_threads_of_this_process_have_names() {
        let threads = Process::own().threads().unwrap();
        assert!(threads.iter().all(|thread| thread.id > 0 && !thread.name.is_empty()));
        assert!(!threads.is_empty());
    }
}
