//! How busy host and workers are, against the limits beyond which no further call is taken: rtpengine's
//! `max-sessions`, `max-load`, `max-cpu` and `max-bandwidth`.
//!
//! Calls that there are go on as they are, whatever is exceeded.

use std::fs;
use std::time::Duration;

use crate::ng::LoadLimit;

/// How often the host is looked at, as rtpengine does.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Limits of calls behind SIP proxies. 0 is none, except for the calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Admission {
    /// Calls that are not over, most.
    pub calls: usize,
    /// The host's load average over a minute.
    pub load: f64,
    /// Percent of the time of all the host's cores.
    pub cpu: f64,
    /// Bytes per second that the workers receive.
    pub bandwidth: u64,
}

impl Default for Admission {
    /// No limit.
    fn default() -> Self {
        Self { calls: usize::MAX, load: 0.0, cpu: 0.0, bandwidth: 0 }
    }
}

/// What the host was seen at last.
#[derive(Debug)]
pub struct Load {
    limits: Admission,
    load: f64,
    cpu: f64,
    times: Option<CpuTimes>,
    /// Whether somebody was told that the host cannot be looked at.
    complained: bool,
}

/// Time of all cores since the host started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTimes {
    busy: u64,
    all: u64,
}

impl Load {
    /// Nothing was seen yet.
    pub fn new(limits: Admission) -> Self {
        Self { limits, load: 0.0, cpu: 0.0, times: None, complained: false }
    }

    /// Whether the host has to be looked at.
    pub fn is_wanted(&self) -> bool {
        self.limits.load > 0.0 || self.limits.cpu > 0.0
    }

    /// Looks at the host.
    pub fn look(&mut self) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let seen = self.see(&read("/proc/loadavg"), &read("/proc/stat"));
        if seen.is_none() && !self.complained {
            self.complained = true;
            tracing::warn!(
                "/proc/loadavg or /proc/stat cannot be read: ng.max_load and ng.max_cpu do not hold"
            );
        }
    }

    fn see(&mut self, loadavg: &str, stat: &str) -> Option<()> {
        let load = loadavg.split_ascii_whitespace().next().and_then(|load| load.parse().ok());
        let times = CpuTimes::read(stat);
        if let Some(load) = load {
            self.load = load;
        }
        if let Some((before, now)) = self.times.zip(times) {
            self.cpu = now.percent_since(before).unwrap_or(self.cpu);
        }
        self.times = times.or(self.times);
        (load.is_some() && times.is_some()).then_some(())
    }

    /// The limit that lets no further call begin beside so many, while the workers receive so many bytes per
    /// second.
    pub fn exceeded(&self, calls: usize, bandwidth: u64) -> Option<LoadLimit> {
        let Admission { calls: most, load, cpu, bandwidth: bytes } = self.limits;
        [
            (calls >= most, LoadLimit::Sessions),
            (load > 0.0 && self.load >= load, LoadLimit::Load),
            (cpu > 0.0 && self.cpu >= cpu, LoadLimit::Cpu),
            (bytes > 0 && bandwidth >= bytes, LoadLimit::Bandwidth),
        ]
        .into_iter()
        .find_map(|(is_exceeded, limit)| is_exceeded.then_some(limit))
    }

    /// No further call from now on.
    pub fn close(&mut self) {
        self.limits.calls = 0;
    }
}

impl CpuTimes {
    /// The first line of `/proc/stat` (proc(5)). Idle is also who waits for I/O: so an io_uring worker that waits for
    /// packets is counted. Guests' time is in that of users already.
    fn read(stat: &str) -> Option<Self> {
        const COLUMNS: usize = 8;
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks = line.split_ascii_whitespace().take(COLUMNS).map(str::parse);
        let ticks: Vec<u64> = ticks.collect::<Result<_, _>>().ok()?;
        let idle = ticks.get(3)? + ticks.get(4).unwrap_or(&0);
        let all: u64 = ticks.iter().sum();
        Some(Self { busy: all.checked_sub(idle)?, all })
    }

    #[allow(clippy::cast_precision_loss)] // ticks of half a second
    fn percent_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let busy = self.busy.saturating_sub(before.busy).min(all);
        Some(100.0 * busy as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Admission = Admission { calls: 10, load: 0.0, cpu: 0.0, bandwidth: 0 };

    /// A host that was busy so many ticks of 100 between two looks.
    fn seen(limits: Admission, loadavg: &str, busy: u64) -> Load {
        let mut load = Load::new(limits);
        let stat = |user, idle| format!("cpu  {user} 0 0 {idle} 5 0 0 0 0 0\ncpu0 1 2 3 4\n");
        load.see("0.00 0.00 0.00 1/1 1", &stat(1000, 9000)).unwrap();
        load.see(loadavg, &stat(1000 + busy, 9000 + 100 - busy)).unwrap();
        load
    }

    #[test]
    fn without_limits_only_the_calls_are_counted() {
        let busy = seen(NONE, "400.00 1 1 1/1 1", 100);
        assert_eq!(busy.exceeded(9, u64::MAX), None);
        assert_eq!(busy.exceeded(10, 0), Some(LoadLimit::Sessions));
        assert!(!busy.is_wanted());
    }

    #[test]
    fn each_limit_is_told_from_the_others() {
        let of = |limits: Admission| seen(limits, "2.50 1 1 1/1 1", 60).exceeded(1, 1000);
        assert_eq!(of(Admission { cpu: 60.0, ..NONE }), Some(LoadLimit::Cpu));
        assert_eq!(of(Admission { cpu: 60.1, ..NONE }), None);
        assert_eq!(of(Admission { load: 2.5, ..NONE }), Some(LoadLimit::Load));
        assert_eq!(of(Admission { load: 2.6, ..NONE }), None);
        assert_eq!(of(Admission { bandwidth: 1000, ..NONE }), Some(LoadLimit::Bandwidth));
        assert_eq!(of(Admission { bandwidth: 1001, ..NONE }), None);
        assert_eq!(of(Admission { calls: 0, ..NONE }), Some(LoadLimit::Sessions));
    }

    #[test]
    fn a_limit_holds_until_the_host_is_calm_again() {
        let mut load = seen(Admission { cpu: 50.0, load: 2.0, ..NONE }, "3.0 1 1 1/1 1", 90);
        assert_eq!(load.exceeded(1, 0), Some(LoadLimit::Load));
        load.see("1.9 1 1 1/1 1", "cpu  1100 0 0 9100 5 0 0 0 0 0\n").unwrap();
        assert_eq!(load.exceeded(1, 0), None);
    }

    #[test]
    fn who_waits_for_input_is_idle_and_interrupts_are_work() {
        let read = |text| CpuTimes::read(text).unwrap();
        let (before, now) = (read("cpu  0 0 0 0 0 0 0 0 0 0"), read("cpu  10 0 5 20 60 1 2 2 9 9"));
        assert_eq!(now.percent_since(before), Some(20.0));
        assert_eq!(now.percent_since(now), None);
        assert!(CpuTimes::read("cpux 1 2 3 4").is_none() && CpuTimes::read("").is_none());
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let mut load = Load::new(Admission { cpu: 1.0, ..NONE });
        load.look();
        assert!(load.is_wanted() && load.times.is_some() && !load.complained);
    }
}
