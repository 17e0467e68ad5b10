//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

use causeway_control::api::Media;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::batch::Batch;
use crate::board::histogram;
use crate::bundle::Faults;
use crate::call::{Outcome, StreamOutcome};
use crate::counters::Counted;
use crate::curve::Curve;
use crate::process::{Cpu, ThreadCost};
use crate::rounds::Figure;
use crate::second::Second;

/// Share of late packets from which on the generator does not trust itself.
pub const LATE_SHARE: f64 = 0.01;
/// Share of its time that a station may be busy before it does not trust itself.
pub const BUSY_SHARE: f64 = 0.95;

/// A run's report; the JSON that is written.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What to make of it.
    pub verdict: Verdict,
    /// Why, and what else a reader has to know.
    pub remarks: Vec<String>,
    /// What was asked for.
    pub asked: Asked,
    /// The calls.
    pub calls: Calls,
    /// The packets, by kind of media, and all together under `total`.
    pub media: BTreeMap<&'static str, Tally>,
    /// Packets that should not be.
    pub faults: Faults,
    /// One-way latency in microseconds: from before the send to the kernel's receive time.
    pub latency_us: Quantiles,
    /// The same as a curve.
    pub latency_curve: Curve,
    /// Milliseconds from asking for a call to media both ways.
    pub set_up_ms: Quantiles,
    /// What the node cost while all calls stood.
    pub server: Option<Server>,
    /// What the generator itself did.
    pub generator: Generator,
    /// How it went.
    pub seconds: Vec<Second>,
    /// Each call.
    pub each: Vec<CallReport>,
}

/// What to make of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Calls came up and stayed, and no more was lost than is allowed.
    Clean,
    /// More was lost than is allowed.
    Lossy,
    /// Packets came that were not what was sent, or not where they belong.
    Corrupt,
    /// Calls did not come up or broke.
    Failed,
    /// More was lost than is allowed, and the generator may have lost it.
    Inconclusive,
}

impl Verdict {
    /// The program's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Lossy | Self::Corrupt | Self::Failed => 1,
            Self::Inconclusive => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_uppercase())
    }
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Calls at a time.
    pub calls: usize,
    /// New calls per second.
    pub ramp: f64,
    /// Seconds that all calls stood.
    pub duration: f64,
    /// Calls replaced per second.
    pub churn: f64,
    /// What the calls carried.
    pub mix: String,
    /// Bytes of an audio payload.
    pub audio_bytes: usize,
    /// Milliseconds between two packets of audio.
    pub audio_ms: u64,
    /// Frames per second of a leg's video.
    pub video_fps: u32,
    /// Thousand payload bits per second of a leg's video.
    pub video_kbps: u32,
    /// Stations.
    pub threads: usize,
    /// Microseconds within which packets that were due left together.
    pub tick_us: u64,
    /// The generator's I/O.
    pub backend: &'static str,
}

/// The calls of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Calls {
    /// Asked of the node.
    pub created: u64,
    /// Had media both ways.
    pub up: u64,
    /// Did not come up, or broke.
    pub failed: u64,
    /// Why, with how many.
    pub failures: BTreeMap<String, u64>,
}

/// Packets of some streams.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Tally {
    /// Sent.
    pub sent: u64,
    /// Different ones that came.
    pub received: u64,
    /// Never came.
    pub lost: u64,
    /// Came once more.
    pub duplicates: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came too late to be told from repetitions; lost, too.
    pub stale: u64,
    /// The longest time between two arrivals of one stream, in milliseconds.
    pub longest_gap_ms: f64,
}

impl Tally {
    /// Sent, received, lost, duplicates, reordered, stale.
    pub fn counts(&self) -> [u64; 6] {
        let Self { sent, received, lost, duplicates, reordered, stale, .. } = *self;
        [sent, received, lost, duplicates, reordered, stale]
    }

    /// Adds a stream.
    pub fn add(&mut self, stream: &StreamOutcome) {
        self.sent += stream.sent;
        self.received += stream.received;
        self.lost += stream.sent.saturating_sub(stream.received);
        self.duplicates += stream.duplicates;
        self.reordered += stream.reordered;
        self.stale += stream.stale;
        let gap = stream.longest_gap.as_secs_f64() * 1e3;
        self.longest_gap_ms = self.longest_gap_ms.max(gap);
    }

    /// Share that was lost.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.lost as f64 / self.sent as f64 }
    }
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Quantiles {
    /// Values.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

impl Quantiles {
    /// Of what was recorded.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// What the node cost while all calls stood.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Server {
    /// Seconds that this is about.
    pub seconds: f64,
    /// CPU seconds of the process.
    pub cpu: Cpu,
    /// Packets that came from it meanwhile.
    pub forwarded: u64,
    /// CPU nanoseconds of the process per packet.
    pub ns_per_packet: f64,
    /// Its threads by name, the dearest first.
    pub threads: Vec<ThreadCost>,
    /// Bytes of memory before the first call, at the end, and at most.
    pub resident: [u64; 3],
    /// Datagrams that its media sockets had no room for, from the first call to the last.
    pub socket_drops: u64,
    /// Packets that its workers dropped, by reason, from the first call to the last.
    pub drops: BTreeMap<String, u64>,
    /// What its workers do at a time, where it says so.
    pub batch: Option<Batch>,
    /// What the kernel and the CPU counted, afterwards.
    pub counted: Option<Counted>,
}

/// What the generator itself did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Generator {
    /// CPU seconds of the process while all calls stood.
    pub cpu: Cpu,
    /// Its threads by name, the dearest first.
    pub threads: Vec<ThreadCost>,
    /// How long after their time packets left, in microseconds.
    pub lateness_us: Quantiles,
    /// Packets that left more than 5 ms late.
    pub late: u64,
    /// Packets that never left.
    pub unsent: u64,
    /// Datagrams that the legs' own sockets had no room for.
    pub socket_drops: u64,
    /// Whether it never slept, and was busy whatever the load.
    pub spins: bool,
    /// How much of it was used.
    pub headroom: Headroom,
}

/// How much of the generator a load takes, and at which load it would itself become the limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Headroom {
    /// Share of its time that the busiest thread that makes the load was busy; none if that says nothing, since it
    /// spins.
    pub busy: Option<f64>,
    /// The load, in `unit`.
    pub load: f64,
    /// The load at which that thread would be too busy, if a packet went on costing what it costs now.
    pub limit: Option<f64>,
    /// What loads are counted in.
    pub unit: &'static str,
    /// Whether the generator was too slow, so that figures are not the server's alone.
    pub is_exceeded: bool,
}

/// A call in the report.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    /// Its number in the run.
    pub call: u32,
    /// What it carried.
    pub kind: &'static str,
    /// Milliseconds until media had come both ways.
    pub set_up_ms: Option<u64>,
    /// Why it was over before its time.
    pub failure: Option<String>,
    /// Its packets.
    #[serde(flatten)]
    pub tally: Tally,
    /// Packets that should not be.
    pub faults: Faults,
    /// One-way latency in microseconds.
    pub latency_us: Quantiles,
}

/// Gathers outcomes.
#[derive(Debug)]
pub struct Ledger {
    calls: Calls,
    media: BTreeMap<&'static str, Tally>,
    faults: Faults,
    latency: Histogram<u64>,
    set_up: Histogram<u64>,
    socket_drops: u64,
    each: Vec<CallReport>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            calls: Calls::default(),
            media: BTreeMap::new(),
            faults: Faults::default(),
            latency: histogram(),
            set_up: histogram(),
            socket_drops: 0,
            each: Vec::new(),
        }
    }
}

impl Ledger {
    /// Notes that the node was asked for a call.
    pub fn created(&mut self) {
        self.calls.created += 1;
    }

    /// Notes what became of a call.
    pub fn note(&mut self, outcome: &Outcome) {
        let mut tally = Tally::default();
        for stream in &outcome.streams {
            tally.add(stream);
            self.media.entry(name(stream.media)).or_default().add(stream);
            self.media.entry("total").or_default().add(stream);
        }
        self.faults = self.faults.plus(outcome.faults);
        self.socket_drops += outcome.socket_drops;
        // All histograms here have the same bounds.
        let _ = self.latency.add(&outcome.latency);
        let set_up_ms = outcome.set_up.map(|time| time.as_millis() as u64);
        if let Some(ms) = set_up_ms {
            self.calls.up += 1;
            self.set_up.saturating_record(ms);
        }
        if let Some(why) = &outcome.failure {
            self.calls.failed += 1;
            *self.calls.failures.entry(why.clone()).or_default() += 1;
        }
        self.each.push(CallReport {
            call: outcome.number,
            kind: outcome.kind.name(),
            set_up_ms,
            failure: outcome.failure.clone(),
            tally,
            faults: outcome.faults,
            latency_us: Quantiles::of(&outcome.latency),
        });
    }

    /// The report; `remarks` are what the run has to say of itself.
    pub fn report(
        mut self,
        asked: Asked,
        allow_loss: f64,
        server: Option<Server>,
        mut generator: Generator,
        mut remarks: Vec<String>,
    ) -> Report {
        generator.socket_drops = self.socket_drops;
        self.media.entry("total").or_default();
        self.each.sort_by_key(|call| call.call);
        let total = self.media["total"];
        generator.headroom = generator.headroom(asked.calls as f64, "calls", total.sent);
        let doubts = generator.doubts(total.sent);
        let verdict = judge(&self.calls, &total, &self.faults, !doubts.is_empty(), allow_loss);
        remarks.extend(doubts);
        Report {
            verdict,
            remarks,
            asked,
            calls: self.calls,
            media: self.media,
            faults: self.faults,
            latency_us: Quantiles::of(&self.latency),
            latency_curve: Curve(self.latency),
            seconds: Vec::new(),
            set_up_ms: Quantiles::of(&self.set_up),
            server,
            generator,
            each: self.each,
        }
    }
}

impl Report {
    /// What servers are compared by.
    pub fn figures(&self) -> Vec<Figure> {
        let latency = &self.latency_us;
        let mut figures = vec![
            Figure::cost("loss, %", 100.0 * self.media["total"].loss()),
            Figure::cost("latency p50, us", latency.p50 as f64),
            Figure::cost("latency p99, us", latency.p99 as f64),
            Figure::cost("latency p99.9, us", latency.p999 as f64),
            Figure::cost("set-up p50, ms", self.set_up_ms.p50 as f64),
        ];
        if let Some(server) = &self.server {
            let [before, after, _] = server.resident;
            let each = after.saturating_sub(before) as f64 / self.asked.calls.max(1) as f64;
            figures.insert(0, Figure::cost("CPU us per packet", server.ns_per_packet / 1e3));
            figures.push(Figure::cost(MEMORY, each / 1e3));
            let sleeps = server.threads.iter().map(|thread| thread.sleeps).sum::<u64>();
            let sleeps = sleeps as f64 / server.forwarded.max(1) as f64;
            figures.extend(kernel_figures(sleeps, server.batch.as_ref(), server.counted.as_ref()));
        }
        figures
    }
}

/// What servers are compared by beside what they cost: why they cost it.
pub fn kernel_figures(
    sleeps: f64,
    batch: Option<&Batch>,
    counted: Option<&Counted>,
) -> impl Iterator<Item = Figure> {
    let of = |count: fn(&Counted) -> Option<u64>| {
        counted.and_then(|counted| counted.per_packet(count(counted)))
    };
    let turn = batch.filter(|batch| batch.turns > 0).map(|batch| batch.packets_per_turn);
    let packets = counted.and_then(Counted::packets_per_call);
    [
        Some(Figure::cost("sleeps per packet", sleeps)),
        of(|c| c.total.system_calls).map(|each| Figure::cost("system calls per packet", each)),
        packets.map(|each| Figure::gain("packets per system call", each)),
        turn.map(|each| Figure::gain("packets in per turn", each)),
        of(|c| c.total.cycles).map(|each| Figure::cost("cycles per packet", each)),
        of(|c| c.total.instructions).map(|each| Figure::cost("instructions per packet", each)),
    ]
    .into_iter()
    .flatten()
}

impl Generator {
    /// Share of its time that the busiest thread that makes the load was busy; none if none was.
    pub fn busy(&self) -> Option<f64> {
        let makers = self
            .threads
            .iter()
            .filter(|cost| MAKERS.iter().any(|name| cost.name.starts_with(name)));
        makers.map(|cost| cost.busiest).reduce(f64::max)
    }

    /// How much of it a load of so many `unit` took, when so many packets were sent.
    pub fn headroom(&self, load: f64, unit: &'static str, sent: u64) -> Headroom {
        let busy = self.busy().filter(|_| !self.spins);
        let limit = busy.filter(|busy| *busy > 0.0).map(|busy| load * BUSY_SHARE / busy);
        Headroom { busy, load, limit, unit, is_exceeded: !self.doubts(sent).is_empty() }
    }

    /// Why losses may be the generator's own.
    pub fn doubts(&self, sent: u64) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.late as f64 > LATE_SHARE * sent as f64 {
            let share = 100.0 * self.late as f64 / sent.max(1) as f64;
            doubts.push(format!(
                "the generator sent {share:.1} % of its packets more than 5 ms late: \
                 it has too little CPU for this load"
            ));
        }
        if self.unsent > 0 {
            doubts.push(format!("the generator did not send {} packets at all", self.unsent));
        }
        if self.socket_drops > 0 {
            doubts.push(format!(
                "the generator's own sockets dropped {} datagrams that the node had sent",
                self.socket_drops
            ));
        }
        let stations = self.threads.iter().filter(|cost| cost.name.starts_with(STATION));
        let busiest = stations.map(|cost| cost.busiest).fold(0.0, f64::max);
        if busiest > BUSY_SHARE && !self.spins {
            doubts.push(format!(
                "a station of the generator was busy {:.0} % of the time: give it --threads",
                100.0 * busiest
            ));
        }
        doubts
    }
}

/// What a call takes of the process's memory.
pub const MEMORY: &str = "process kB per call";
/// How the threads of stations are called, before their number.
pub const STATION: &str = "station-";
/// How the thread is called that is all clients and peers of a TURN server.
pub const CROWD: &str = "turn";
/// Threads that make the load.
const MAKERS: [&str; 2] = [STATION, CROWD];

impl fmt::Display for Headroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_exceeded {
            return f.write_str(
                "the generator was too slow for this load: the figures are not the server's alone",
            );
        }
        let Some(busy) = self.busy else {
            return f.write_str(
                "how much of its core the generator had left is not known: it spins between ticks",
            );
        };
        write!(f, "the generator had {:.0} % of its core left", 100.0 * (1.0 - busy).max(0.0))?;
        match self.limit {
            Some(limit) => {
                let (times, unit) = (limit / self.load.max(f64::EPSILON), self.unit);
                write!(f, "; at {limit:.0} {unit}, {times:.1} times as many, it would be the limit")
            }
            None => Ok(()),
        }
    }
}

fn judge(
    calls: &Calls,
    total: &Tally,
    faults: &Faults,
    in_doubt: bool,
    allow_loss: f64,
) -> Verdict {
    if faults.wrong() > 0 {
        Verdict::Corrupt
    } else if calls.failed > 0 || calls.up == 0 {
        Verdict::Failed
    } else if total.loss() <= allow_loss {
        Verdict::Clean
    } else if in_doubt {
        Verdict::Inconclusive
    } else {
        Verdict::Lossy
    }
}

fn name(media: Media) -> &'static str {
    match media {
        Media::Audio => "audio",
        Media::Video => "video",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Kind;

    fn stream(media: Media, sent: u64, received: u64) -> StreamOutcome {
        let longest_gap = Duration::from_millis(sent - received + 20);
        let (duplicates, reordered, stale) = (1, 2, 0);
        StreamOutcome { media, sent, received, duplicates, reordered, stale, longest_gap }
    }

    fn outcome(number: u32, streams: Vec<StreamOutcome>) -> Outcome {
        let mut latency = histogram();
        latency.record_n(200, 10).unwrap();
        Outcome {
            number,
            kind: Kind::Video,
            set_up: Some(Duration::from_millis(80)),
            failure: None,
            streams,
            faults: Faults::default(),
            socket_drops: 0,
            latency,
        }
    }

    fn asked() -> Asked {
        Asked {
            calls: 2,
            ramp: 1.0,
            duration: 1.0,
            churn: 0.0,
            mix: "video=1".into(),
            audio_bytes: 80,
            audio_ms: 20,
            video_fps: 30,
            video_kbps: 500,
            threads: 1,
            tick_us: 250,
            backend: "mmsg",
        }
    }

    fn report(outcomes: &[Outcome], generator: Generator, allow_loss: f64) -> Report {
        let mut ledger = Ledger::default();
        for outcome in outcomes {
            ledger.created();
            ledger.note(outcome);
        }
        ledger.report(asked(), allow_loss, None, generator, Vec::new())
    }

    /// A report of so many calls with so many microseconds of latency; of 1000 packets some were lost.
    pub(crate) fn made(calls: usize, latency: u64, lost: u64) -> Report {
        let mut outcome = outcome(1, vec![stream(Media::Audio, 1000, 1000 - lost)]);
        outcome.latency = histogram();
        outcome.latency.record_n(latency, 100).unwrap();
        let mut report = report(&[outcome], Generator::default(), 0.0);
        report.asked.calls = calls;
        report
    }

    #[test]
    fn headroom_says_at_which_load_the_generator_is_the_limit() {
        let busy = |name: &str, busiest| ThreadCost {
            name: name.into(),
            threads: 1,
            cpu: Cpu::default(),
            sleeps: 0,
            busiest,
        };
        let threads = vec![busy("station-1", 0.25), busy("station-0", 0.38), busy("signals", 0.9)];
        let generator = Generator { threads, ..Generator::default() };
        let headroom = generator.headroom(200.0, "calls", 1000);
        assert_eq!((headroom.busy, headroom.is_exceeded), (Some(0.38), false));
        assert!((headroom.limit.unwrap() - 500.0).abs() < 1e-9);
        let text = headroom.to_string();
        assert!(text.contains("62 % of its core left") && text.contains("500 calls"), "{text}");
        let spinning = Generator { spins: true, ..generator };
        assert_eq!(spinning.headroom(200.0, "packets/s", 1000).busy, None);
        let late = Generator { late: 500, ..Generator::default() };
        let text = late.headroom(200.0, "calls", 1000).to_string();
        assert!(text.contains("too slow"), "{text}");
    }

    #[test]
    fn streams_add_up_by_kind_and_in_total() {
        let calls = [
            outcome(2, vec![stream(Media::Audio, 100, 100), stream(Media::Video, 1000, 990)]),
            outcome(1, vec![stream(Media::Audio, 100, 99), stream(Media::Video, 1000, 1000)]),
        ];
        let report = report(&calls, Generator::default(), 0.0);
        let total = report.media["total"];
        assert_eq!((total.sent, total.received, total.lost), (2200, 2189, 11));
        assert_eq!((total.duplicates, total.reordered), (4, 8));
        assert_eq!((report.media["audio"].lost, report.media["video"].lost), (1, 10));
        assert!((total.longest_gap_ms - 30.0).abs() < 1e-9);
        assert!((total.loss() - 0.005).abs() < 1e-9);
        assert_eq!(report.latency_us.count, 20);
        assert_eq!(report.each.iter().map(|call| call.call).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(report.verdict, Verdict::Lossy);
    }

    #[test]
    fn loss_within_what_is_allowed_is_clean() {
        let calls = [outcome(1, vec![stream(Media::Audio, 1000, 999)])];
        assert_eq!(report(&calls, Generator::default(), 0.001).verdict, Verdict::Clean);
        assert_eq!(report(&calls, Generator::default(), 0.0009).verdict, Verdict::Lossy);
    }

    #[test]
    fn a_generator_in_doubt_does_not_blame_the_node() {
        let lossy = [outcome(1, vec![stream(Media::Audio, 1000, 900)])];
        let late = || Generator { late: 11, ..Generator::default() };
        let unsent = || Generator { unsent: 1, ..Generator::default() };
        let busy = |name: &str, busiest| Generator {
            threads: vec![ThreadCost {
                name: name.into(),
                threads: 1,
                cpu: Cpu::default(),
                sleeps: 0,
                busiest,
            }],
            ..Generator::default()
        };
        for generator in [late(), unsent(), busy("station-0", 0.99)] {
            let report = report(&lossy, generator, 0.0);
            assert_eq!(report.verdict, Verdict::Inconclusive);
            assert_eq!(report.remarks.len(), 1);
        }
        assert_eq!(report(&lossy, busy("signals", 0.99), 0.0).verdict, Verdict::Lossy);
        let own = Outcome { socket_drops: 100, ..outcome(1, vec![stream(Media::Audio, 9, 3)]) };
        assert_eq!(report(&[own], Generator::default(), 0.0).verdict, Verdict::Inconclusive);
        let whole = [outcome(1, vec![stream(Media::Audio, 1000, 1000)])];
        assert_eq!(report(&whole, late(), 0.0).verdict, Verdict::Clean);
    }

    #[test]
    fn a_corrupt_packet_and_a_broken_call_outweigh_everything() {
        let whole = || vec![stream(Media::Audio, 10, 10)];
        let faults = Faults { misrouted: 1, ..Faults::default() };
        let corrupt = Outcome { faults, ..outcome(1, whole()) };
        assert_eq!(report(&[corrupt], Generator::default(), 1.0).verdict, Verdict::Corrupt);
        let broken = Outcome { failure: Some("gone".into()), ..outcome(1, whole()) };
        let report = report(&[broken], Generator::default(), 1.0);
        assert_eq!((report.verdict, report.calls.failures["gone"]), (Verdict::Failed, 1));
        assert_eq!(report.verdict.exit_code(), 1);
    }

    #[test]
    fn no_call_at_all_is_no_clean_run() {
        assert_eq!(report(&[], Generator::default(), 0.0).verdict, Verdict::Failed);
    }
}
