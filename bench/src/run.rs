//! One run from its first call to its report.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use causeway_control::dtls::{Identity, IdentityError};
use causeway_control::ice::BadAddress;
use causeway_engine::config::{BackendChoice, SOCKETS_PER_WORKER};
use causeway_engine::error::StartError;
use causeway_engine::sys::probe::{Probed, probe};
use causeway_engine::sys::socket;
use hdrhistogram::Histogram;

use crate::batch::Batch;
use crate::board::histogram;
use crate::bundle::{Bundle, Incoming};
use crate::call::{Call, DRAIN};
use crate::counters::{COUNTING, Counted, Counters};
use crate::door::{Door, DoorError};
use crate::flow::{Flow, ssrc};
use crate::ng::dial::dial;
use crate::offer::{Answer, BadAnswer, Offer};
use crate::plan::{Deal, Kind, Plan, Stream};
use crate::process::{Process, Sample};
use crate::report::{Asked, Generator, Ledger, Quantiles, Report, STATION, Server};
use crate::rest::Rest;
use crate::second::Second;
use crate::station::{News, Order, Punctuality, Station};
use crate::transport::Transport;
use crate::webrtc::Webrtc;

/// Descriptors beside the bundles' sockets.
const SPARE_DESCRIPTORS: u64 = 128;
/// What is being done while all calls stand.
pub const HOLD: &str = "hold";
/// Time between two progress reports.
const SECOND: Duration = Duration::from_secs(1);
/// Longest wait for the stations to end their calls, beyond the time that packets have to come.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The node did not do what it was asked for.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The node's answer is of no use.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// Legs cannot be bound there.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// There is no certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The kernel lets neither backend work.
    #[error(transparent)]
    Backend(#[from] StartError),
    /// The kernel refused a socket or a thread.
    #[error("the generator cannot go on: {0}")]
    Io(#[from] io::Error),
    /// The node's process is not there any more.
    #[error("the node's process has ended ({0})")]
    NodeGone(io::Error),
    /// There are too few descriptors.
    #[error("{calls} calls need {wanted} descriptors, and {limit} are allowed; raise `ulimit -n`")]
    Descriptors {
        /// Calls wanted.
        calls: usize,
        /// Descriptors that they need.
        wanted: u64,
        /// Descriptors that there are.
        limit: u64,
    },
    /// A station has room for fewer.
    #[error("one thread holds {most} calls at most; give more --threads")]
    Crowded {
        /// Calls of one thread.
        most: usize,
    },
}

/// How a run goes, once a second.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// What is being done.
    pub phase: &'static str,
    /// Calls that were asked for and are not over.
    pub calls: usize,
    /// Calls with media both ways.
    pub up: usize,
    /// Media packets sent in the last second.
    pub sent: u64,
    /// Media packets received in the last second.
    pub received: u64,
    /// Packets that are missing so far.
    pub missing: u64,
    /// Packets that should not be, so far.
    pub wrong: u64,
    /// Packets sent late so far.
    pub late: u64,
    /// Latency in the last second.
    pub latency_us: Quantiles,
    /// Cores that the node was busy on in the last second.
    pub node: Option<f64>,
    /// Cores that the generator was busy on in the last second.
    pub own: f64,
}

impl Progress {
    /// The second that it is about, which was so long, when so many packets had been missing before.
    fn second(&self, seconds: f64, missing: u64) -> Second {
        Second {
            at: self.elapsed.as_secs_f64(),
            phase: self.phase,
            sent: self.sent as f64 / seconds,
            received: self.received as f64 / seconds,
            missing: self.missing.saturating_sub(missing),
            p50_us: self.latency_us.p50,
            p99_us: self.latency_us.p99,
            server: self.node,
            generator: self.own,
        }
    }
}

/// Runs `plan` against the node behind `door`, whose process is `server` if that is on this host.
/// `flags` end it, and `say` is told how it goes. Whatever happens, the calls that were made are deleted.
///
/// # Errors
/// [`RunError`]
pub fn run(
    plan: &Plan,
    door: &mut Door<'_>,
    server: Option<&Process>,
    flags: Flags<'_>,
    say: &mut dyn FnMut(&Progress),
) -> Result<Report, RunError> {
    check_limits(plan)?;
    // Says early what is wrong with address or token.
    door.knock()?;
    let before = door.workers()?.unwrap_or_default();
    let resident = server.map(Process::sample).transpose()?.unwrap_or_default().resident;
    let mut conductor = Conductor::new(plan, door, server, flags, say)?;
    let driven = conductor.drive();
    conductor.tear_down();
    let window = driven.and_then(|window| conductor.broken.take().map_or(Ok(window), Err))?;
    let mut report = conductor.finish(window)?;
    if let Some(server) = &mut report.server {
        server.resident[0] = resident;
        if report.media.values().any(|tally| tally.lost > 0) {
            // What the node says of itself is a second old; here it matters.
            std::thread::sleep(SECOND);
        }
        server.drops = difference(&door.workers()?.unwrap_or_default().drops, &before.drops);
    }
    Ok(report)
}

/// What ends a run.
#[derive(Debug, Clone, Copy)]
pub struct Flags<'a> {
    /// Ends it early.
    pub stop: &'a AtomicBool,
    /// Ends it in order: the calls have stood long enough, whatever the plan says.
    pub enough: &'a AtomicBool,
}

fn check_limits(plan: &Plan) -> Result<(), RunError> {
    let limit = socket::lift_descriptor_limit()?;
    let wanted = (plan.sockets() * plan.calls) as u64 + SPARE_DESCRIPTORS;
    if limit < wanted {
        return Err(RunError::Descriptors { calls: plan.calls, wanted, limit });
    }
    let most = SOCKETS_PER_WORKER / plan.sockets();
    if plan.calls.div_ceil(plan.threads) > most {
        return Err(RunError::Crowded { most });
    }
    Ok(())
}

/// What was spent while all calls stood.
#[derive(Default)]
struct Window {
    seconds: f64,
    forwarded: u64,
    own: [Sample; 2],
    node: Option<[Sample; 2]>,
    batch: Option<Batch>,
    counted: Option<Counted>,
    /// Whether it was cut short.
    early: bool,
}

/// A call that is not over.
struct Live {
    id: String,
    station: usize,
}

struct Conductor<'a, 'd> {
    plan: &'a Plan,
    door: &'a mut Door<'d>,
    server: Option<&'a Process>,
    flags: Flags<'a>,
    say: &'a mut dyn FnMut(&Progress),
    probed: Arc<Probed>,
    identity: Identity,
    stations: Vec<Station>,
    news: Receiver<News>,
    deal: Deal,
    ledger: Ledger,
    live: BTreeMap<u32, Live>,
    up: BTreeSet<u32>,
    next_call: u32,
    next_stream: u32,
    /// The node's media ports, as its candidates say.
    ports: BTreeSet<u16>,
    undeleted: u64,
    /// What makes it pointless to go on.
    broken: Option<RunError>,
    phase: &'static str,
    started: Instant,
    beat: Beat,
    seconds: Vec<Second>,
}

/// What the last progress report was made of.
struct Beat {
    next: Instant,
    sent: u64,
    received: u64,
    missing: u64,
    latency: Histogram<u64>,
    own: Sample,
    node: Option<Sample>,
}

impl<'a, 'd> Conductor<'a, 'd> {
    fn new(
        plan: &'a Plan,
        door: &'a mut Door<'d>,
        server: Option<&'a Process>,
        flags: Flags<'a>,
        say: &'a mut dyn FnMut(&Progress),
    ) -> Result<Self, RunError> {
        let probed = Arc::new(probe(BackendChoice::Auto)?);
        let (tell, news) = channel();
        let stations = (0..plan.threads).map(|number| {
            let core = plan.pin.get(number % plan.pin.len().max(1)).copied();
            Station::start(
                format!("{STATION}{number}"),
                core,
                Arc::clone(&probed),
                plan.tick,
                plan.sockets(),
                tell.clone(),
            )
        });
        let stations = stations.collect::<io::Result<_>>()?;
        let started = Instant::now();
        Ok(Self {
            plan,
            door,
            server,
            flags,
            say,
            probed,
            identity: Identity::generate()?,
            stations,
            news,
            deal: plan.mix.deal(),
            ledger: Ledger::default(),
            live: BTreeMap::new(),
            up: BTreeSet::new(),
            next_call: 0,
            next_stream: 1,
            ports: BTreeSet::new(),
            undeleted: 0,
            broken: None,
            phase: "ramp",
            started,
            beat: Beat {
                next: started + SECOND,
                sent: 0,
                received: 0,
                missing: 0,
                latency: histogram(),
                own: Process::own().sample()?,
                node: server.map(Process::sample).transpose()?,
            },
            seconds: Vec::new(),
        })
    }

    /// Builds the calls up, waits until all are up, and holds them.
    fn drive(&mut self) -> Result<Window, RunError> {
        let start = Instant::now();
        for number in 0..self.plan.calls {
            let due = start + Duration::from_secs_f64(number as f64 / self.plan.ramp);
            if !self.listen_until(due) {
                return Ok(Window { early: true, ..Window::default() });
            }
            self.begin_call()?;
        }
        if self.settle() { self.hold() } else { Ok(Window { early: true, ..Window::default() }) }
    }

    /// Waits until no call is connecting or ending; `false` if the run is to stop.
    fn settle(&mut self) -> bool {
        let mut goes_on = true;
        while goes_on && self.up.len() < self.live.len() {
            goes_on = self.listen_until(Instant::now() + Duration::from_millis(20));
        }
        goes_on
    }

    fn hold(&mut self) -> Result<Window, RunError> {
        self.phase = HOLD;
        let workers = self.door.workers()?;
        let (start, received) = (Instant::now(), self.received());
        let end = start + self.plan.duration;
        let first = self.sample()?;
        let mut replaced = 0u32;
        let mut finished = true;
        while finished && Instant::now() < end && !self.flags.enough.load(Ordering::Relaxed) {
            let next = if self.plan.churn > 0.0 {
                start + Duration::from_secs_f64(f64::from(replaced + 1) / self.plan.churn)
            } else {
                end
            };
            finished = self.listen_until(next.min(end).min(Instant::now() + SECOND));
            if finished && next <= Instant::now() && next < end {
                replaced += 1;
                self.replace_call()?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let forwarded = self.received() - received;
        let last = self.sample()?;
        let node = first.1.zip(last.1).map(|(first, last)| [first, last]);
        let batch = workers.zip(self.door.workers()?).map(|(then, now)| Batch::of(&now, &then));
        let counted = if finished { self.count()? } else { None };
        let finished = finished && self.settle();
        let own = [first.0, last.0];
        Ok(Window { seconds, forwarded, own, node, batch, counted, early: !finished })
    }

    /// Counts what the server's threads do for a packet, after all else was measured.
    fn count(&mut self) -> Result<Option<Counted>, RunError> {
        let Some(server) = self.server else { return Ok(None) };
        self.phase = "count";
        let counters = Counters::attach(server).map_err(RunError::NodeGone)?;
        let received = self.received();
        self.listen_until(Instant::now() + COUNTING.min(self.plan.duration));
        Ok(Some(counters.read(self.received() - received)))
    }

    fn sample(&self) -> Result<(Sample, Option<Sample>), RunError> {
        let node = self.server.map(Process::sample).transpose().map_err(RunError::NodeGone)?;
        Ok((Process::own().sample()?, node))
    }

    /// Makes a call, joins both legs and hands them to a station.
    fn begin_call(&mut self) -> Result<(), RunError> {
        let number = self.next_call;
        self.next_call += 1;
        let asked = Instant::now();
        let id = self.door.create(number)?;
        self.ledger.created();
        let joined = self.join(number, &id, asked);
        let (call, sockets) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                self.delete(&id);
                return Err(error);
            }
        };
        let station = number as usize % self.stations.len();
        self.live.insert(number, Live { id, station });
        if self.stations[station].order(Order::Take(Box::new(call), sockets)) {
            Ok(())
        } else {
            Err(io::Error::other("a station has ended").into())
        }
    }

    fn join(
        &mut self,
        number: u32,
        id: &str,
        asked: Instant,
    ) -> Result<(Call, Vec<UdpSocket>), RunError> {
        let kind = self.deal.kind();
        let streams = self.plan.streams(kind);
        let names = [0, 1].map(|_| {
            let first = self.next_stream;
            self.next_stream += streams.len() as u32;
            first
        });
        let (bundles, sockets) = match self.door {
            Door::Rest(rest) => {
                let rest = *rest;
                let (one, udp_one) = self.join_leg(rest, id, "one", kind, &streams, names)?;
                let back = [names[1], names[0]];
                let (other, udp_other) = self.join_leg(rest, id, "other", kind, &streams, back)?;
                (vec![one, other], vec![udp_one, udp_other])
            }
            Door::Ng(door) => dial(door, self.plan, id, number, &streams, names)?,
        };
        Ok((Call::new(number, kind, bundles, asked), sockets))
    }

    /// `names` are the ids of the first stream that the leg sends and of the first that it receives.
    fn join_leg(
        &mut self,
        rest: &Rest,
        id: &str,
        role: &str,
        kind: Kind,
        streams: &[Stream],
        names: [u32; 2],
    ) -> Result<(Bundle, UdpSocket), RunError> {
        let udp = socket::bind(SocketAddr::new(self.plan.bind, 0), false)?;
        let address = udp.local_addr()?;
        let mut transport = Webrtc::new(address, self.identity.clone())?;
        let lines = kind.media().iter().zip(names[0]..);
        let lines = lines.map(|(&media, stream)| (media, [ssrc(stream), ssrc(stream) ^ 1]));
        let offer = Offer {
            address,
            credentials: &transport.credentials(),
            candidates: transport.candidates(),
            fingerprint: transport.fingerprint(),
            lines: lines.collect(),
        };
        let added = rest.add_leg(id, role, &offer.text()).map_err(DoorError::from)?;
        let answer = Answer::read(&added.answer, kind.media())?;
        self.ports.extend(answer.candidates.iter().filter_map(|line| port_of(line)));
        let now = Instant::now();
        let flow = |(place, stream): (u32, &Stream)| {
            let (line, name) = (&answer.lines[place as usize], names[0] + place);
            let mid = line.mid_extension.map(|id| (id, line.mid.as_str()));
            Flow::new(*stream, name, line.payload_type, mid, now)
        };
        let flows = (0..).zip(streams).map(flow).collect();
        let incoming = (names[1]..).zip(kind.media());
        let incoming = incoming.map(|(name, &media)| Incoming::new(name, media)).collect();
        transport.start(now, answer)?;
        let transport = Transport::Webrtc(Box::new(transport));
        Ok((Bundle::new(transport, flows, incoming), udp))
    }

    /// Ends the oldest call that is up and makes another.
    fn replace_call(&mut self) -> Result<(), RunError> {
        if let Some(oldest) = self.up.pop_first()
            && let Some(live) = self.live.get(&oldest)
        {
            self.stations[live.station].order(Order::End(oldest));
        }
        self.begin_call()
    }

    /// Hears the stations and reports progress until then; `false` if the run is to stop.
    fn listen_until(&mut self, until: Instant) -> bool {
        loop {
            if self.flags.stop.load(Ordering::Relaxed) || self.broken.is_some() {
                return false;
            }
            let now = Instant::now();
            if now >= self.beat.next {
                self.report_progress();
            }
            let next = until.min(self.beat.next).min(now + Duration::from_millis(100));
            match self.news.recv_timeout(next.saturating_duration_since(now)) {
                Ok(news) => self.hear(news),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until => return true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Up(call) => {
                self.up.insert(call);
            }
            News::Over(outcome) => {
                self.ledger.note(&outcome);
                self.up.remove(&outcome.number);
                if let Some(live) = self.live.remove(&outcome.number) {
                    self.delete(&live.id);
                }
            }
        }
    }

    fn delete(&mut self, id: &str) {
        self.undeleted += u64::from(self.door.delete(id).is_err());
    }

    /// Ends all calls, hears what became of them, and deletes them.
    fn tear_down(&mut self) {
        self.phase = "end";
        for (number, live) in &self.live {
            self.stations[live.station].order(Order::End(*number));
        }
        let deadline = Instant::now() + DRAIN + FAREWELL;
        while !self.live.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left) {
                Ok(news) => self.hear(news),
                Err(_) => break,
            }
        }
        for live in std::mem::take(&mut self.live).into_values() {
            self.delete(&live.id);
        }
    }

    fn finish(self, window: Window) -> Result<Report, RunError> {
        let backend = self.probed.kind.label();
        let mut asked = self.plan.asked(backend);
        if self.flags.enough.load(Ordering::Relaxed) {
            asked.duration = window.seconds;
        }
        let server = self.server_cost(&window)?;
        let mut punctuality = Punctuality { lateness: histogram(), late: 0, unsent: 0 };
        for station in self.stations {
            let one = station.leave()?;
            // All have the same bounds.
            let _ = punctuality.lateness.add(&one.lateness);
            punctuality.late += one.late;
            punctuality.unsent += one.unsent;
        }
        let threads = window.own[1].since(&window.own[0], window.seconds);
        let generator = Generator {
            cpu: crate::process::sum(&threads),
            threads,
            lateness_us: Quantiles::of(&punctuality.lateness),
            late: punctuality.late,
            unsent: punctuality.unsent,
            spins: self.plan.spins(),
            ..Generator::default()
        };
        let mut remarks = Vec::new();
        if window.early {
            remarks.push("the run was ended early".to_owned());
        }
        if self.undeleted > 0 {
            remarks.push(format!("{} calls could not be deleted", self.undeleted));
        }
        let report = self.ledger.report(asked, self.plan.allow_loss, server, generator, remarks);
        Ok(Report { seconds: self.seconds, ..report })
    }

    fn server_cost(&self, window: &Window) -> Result<Option<Server>, RunError> {
        let (Some(process), Some([first, last])) = (self.server, &window.node) else {
            return Ok(None);
        };
        let threads = last.since(first, window.seconds);
        let cpu = crate::process::sum(&threads);
        let ports: Vec<u16> = self.ports.iter().copied().collect();
        Ok(Some(Server {
            seconds: window.seconds,
            cpu,
            forwarded: window.forwarded,
            ns_per_packet: 1e9 * cpu.total() / window.forwarded.max(1) as f64,
            threads,
            resident: [0, last.resident, last.resident_peak],
            socket_drops: process.socket_drops(&ports)?,
            drops: BTreeMap::new(),
            batch: window.batch.clone(),
            counted: window.counted.clone(),
        }))
    }

    fn report_progress(&mut self) {
        let now = Instant::now();
        let seconds = (now - self.beat.next + SECOND).as_secs_f64();
        self.beat.next = now + SECOND;
        let sum = |of: fn(&Station) -> u64| self.stations.iter().map(of).sum::<u64>();
        let (sent, received) = (sum(|s| s.board.sent.value()), sum(|s| s.board.received.value()));
        self.stations.iter().for_each(|station| station.board.take(&mut self.beat.latency));
        let (own, node) = match self.sample() {
            Ok(samples) => samples,
            Err(error) => return self.broken = Some(error),
        };
        let progress = Progress {
            elapsed: now - self.started,
            phase: self.phase,
            calls: self.live.len(),
            up: self.up.len(),
            sent: sent - self.beat.sent,
            received: received - self.beat.received,
            missing: sum(|s| s.board.missing.value()),
            wrong: sum(|s| s.board.wrong.value()),
            late: sum(|s| s.board.late.value()),
            latency_us: Quantiles::of(&self.beat.latency),
            node: node.as_ref().zip(self.beat.node.as_ref()).map(|(now, before)| {
                crate::process::sum(&now.since(before, seconds)).total() / seconds
            }),
            own: crate::process::sum(&own.since(&self.beat.own, seconds)).total() / seconds,
        };
        self.seconds.push(progress.second(seconds, self.beat.missing));
        (self.beat.sent, self.beat.received) = (sent, received);
        self.beat.missing = progress.missing;
        (self.beat.own, self.beat.node) = (own, node);
        self.beat.latency.reset();
        (self.say)(&progress);
    }

    fn received(&self) -> u64 {
        self.stations.iter().map(|station| station.board.received.value()).sum()
    }
}

impl Plan {
    fn asked(&self, backend: &'static str) -> Asked {
        Asked {
            calls: self.calls,
            ramp: self.ramp,
            duration: self.duration.as_secs_f64(),
            churn: self.churn,
            mix: self.mix.to_string(),
            audio_bytes: self.audio_bytes,
            audio_ms: self.audio_every.as_millis() as u64,
            video_fps: self.video.fps,
            video_kbps: self.video.kbps,
            threads: self.threads,
            tick_us: self.tick.as_micros() as u64,
            backend,
        }
    }
}

/// The port of a `candidate:…` line (RFC 8839 §5.1).
fn port_of(candidate: &str) -> Option<u16> {
    candidate.split_ascii_whitespace().nth(5)?.parse().ok()
}

/// What `now` has more than `before`; what has not grown is left out.
fn difference(
    now: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let grown = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or(0));
        (more > 0).then(|| (name.clone(), more))
    };
    now.iter().filter_map(grown).collect()
}
