//! A million datagrams, good and hostile, through a worker by itself and through a running engine
//! on each backend: once warm, the process allocates nothing, and every frame comes back.
//!
//! Has a `main` of its own, since a test harness allocates on threads of its own.

#![expect(clippy::unwrap_used, reason = "a refusal is the failure of the test")]

use std::alloc::System;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use causeway_engine::command::{Command, Event, LayerChoice, Returned, SocketId, Ticket, WorkerId};
use causeway_engine::config::{BackendChoice, EngineConfig};
use causeway_engine::error::{DropReason, StartError};
use causeway_engine::packet::Nanos;
use causeway_engine::rtcp::Writer;
use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::Suite;
use causeway_engine::stats::{WorkerCounters, WorkerReading};
use causeway_engine::twcc::Arrivals;
use causeway_engine::worker::bare::bridge::{self, SIDES};
use causeway_engine::worker::bare::{Bare, Far, Rtp, simulcast};
use causeway_engine::{Engine, Link};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PACKETS: u32 = 1_000_000;
const WARM_UP: u32 = 20_000;
/// Times that the lists of two legs can grow on the way to their limits: of each way the SSRCs and their windows.
const GROWTHS_MAX: usize = 64;
const WORKER: WorkerId = WorkerId(0);
const SUITES: [Suite; 2] = [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm];
/// Datagrams between two looks at what came out, few enough for any socket's buffer.
const WINDOW: u32 = 32;
/// Bytes of payload that only the last datagram of a window has.
const LAST_LEN: usize = 1100;
/// How long the far end waits for a datagram on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a worker keeps anything.
const AT_REST: Duration = Duration::from_millis(700);

fn main() {
    by_hand();
    layers_by_hand();
    for backend in [BackendChoice::Mmsg, BackendChoice::Uring] {
        match over_loopback(backend) {
            Err(StartError::Uring { reason }) => println!("io_uring is denied here: {reason}"),
            outcome => outcome.unwrap(),
        }
    }
}

/// Where a datagram comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Side(usize),
    Nowhere,
}

/// An endless mix of what a worker may meet.
struct Traffic {
    fars: [Far; 2],
    checks: [([u8; 500], usize); 2],
    count: u32,
    random: u64,
    previous: ([u8; 1500], usize),
}

impl Traffic {
    fn new(fars: [Far; 2]) -> Self {
        let checks = fars.each_ref().map(|far| {
            let mut buffer = [0; 500];
            let len = far.check(&mut buffer, 1, true).unwrap();
            (buffer, len)
        });
        Self { fars, checks, count: 0, random: 0x9e37_79b9_7f4a_7c15, previous: ([0; 1500], 1) }
    }

    /// Writes the next datagram; its length and origin.
    fn next(&mut self, out: &mut [u8; 1500]) -> (usize, From) {
        self.count += 1;
        let side = self.random() as usize % 2;
        let from = From::Side(side);
        match self.count % 16 {
            0..=8 => (self.media(side, out), from),
            9 => (self.retransmission(side, out), from),
            10 | 11 => (self.feedback(side, out), from),
            12 => {
                let (check, len) = &self.checks[side];
                out[..*len].copy_from_slice(&check[..*len]);
                (*len, if self.random().is_multiple_of(4) { From::Nowhere } else { from })
            }
            13 => {
                out.copy_from_slice(&self.previous.0);
                (self.previous.1, from)
            }
            14 => (self.mutated(side, out), from),
            _ => (self.junk(out), if side == 0 { from } else { From::Nowhere }),
        }
    }

    /// The last datagram of a window: longer than any other, and sure to arrive.
    fn last(&mut self, out: &mut [u8; 1500]) -> usize {
        self.count += 1;
        self.rtp(0, self.audio(0, LAST_LEN), out)
    }

    fn media(&mut self, side: usize, out: &mut [u8; 1500]) -> usize {
        let len = self.random() as usize % 900;
        let mut rtp = if self.count.is_multiple_of(2) {
            self.audio(side, 160)
        } else {
            self.video(side, len)
        };
        if self.count % 40_000 == 1 {
            // A new SSRC of video, within what a transport has room for.
            rtp.ssrc = 0x1_0000 + self.count / 40_000;
        }
        let len = self.rtp(side, rtp, out);
        self.previous.0.copy_from_slice(out);
        self.previous.1 = len;
        len
    }

    fn audio(&self, side: usize, payload_len: usize) -> Rtp {
        Rtp {
            ssrc: SIDES[side].theirs[0],
            payload_type: SIDES[side].payload_types[0],
            sequence: self.count as u16,
            timestamp: self.count * 960,
            payload_len,
            ..Rtp::default()
        }
    }

    fn video(&self, side: usize, payload_len: usize) -> Rtp {
        Rtp {
            ssrc: SIDES[side].theirs[1],
            payload_type: SIDES[side].payload_types[1],
            transport_cc: Some((SIDES[side].transport_cc, self.count as u16)),
            ..self.audio(side, payload_len)
        }
    }

    fn retransmission(&mut self, side: usize, out: &mut [u8; 1500]) -> usize {
        let rtx = Rtp {
            ssrc: SIDES[side].theirs[2],
            payload_type: SIDES[side].payload_types[2],
            ..self.audio(side, 200)
        };
        let len = rtx.write(out);
        out[12..14].copy_from_slice(&(self.count as u16).wrapping_sub(8).to_be_bytes());
        self.fars[side].seal(out, len).unwrap_or(len)
    }

    fn feedback(&mut self, side: usize, out: &mut [u8; 1500]) -> usize {
        let media = SIDES[side].ours[1];
        let lost = 0x1234_u16.wrapping_add((self.count / 8) as u16);
        let mut writer = Writer::new(&mut out[..1200]);
        writer.receiver_report(7, &[]).unwrap();
        writer.nack(7, media, [lost, lost.wrapping_add(3)].into_iter()).unwrap();
        writer.pli(7, media).unwrap();
        let len = writer.len();
        self.fars[side].seal(out, len).unwrap_or(len)
    }

    fn mutated(&mut self, side: usize, out: &mut [u8; 1500]) -> usize {
        let len = match self.random() % 4 {
            0 => self.feedback(side, out),
            1 => {
                let (check, len) = &self.checks[side];
                out[..*len].copy_from_slice(&check[..*len]);
                *len
            }
            2 => {
                out[..13].copy_from_slice(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                13
            }
            _ => self.rtp(side, self.audio(side, 100), out),
        };
        let (at, bit) = (self.random() as usize % len, self.random() % 8);
        out[at] ^= 1 << bit;
        if bit == 0 { at.max(1) } else { len }
    }

    fn junk(&mut self, out: &mut [u8; 1500]) -> usize {
        let len = 1 + self.random() as usize % 200;
        for byte in &mut out[..len] {
            *byte = self.random() as u8;
        }
        len
    }

    fn rtp(&mut self, side: usize, rtp: Rtp, out: &mut [u8; 1500]) -> usize {
        let len = rtp.write(out);
        self.fars[side].seal(out, len).unwrap_or(len)
    }

    /// A number that looks random (xorshift).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}

/// Lists begin and double when an authenticated packet shows an SSRC for the first time, up to their limits:
/// that is no matter of packets. Nothing else takes memory, and nothing gives any back.
fn assert_nothing_allocated(region: &Region<'_, System>, of: &str) {
    let change = region.change();
    assert_eq!(change.deallocations, 0, "{of}: {change:?}");
    assert!(change.allocations + change.reallocations <= GROWTHS_MAX, "{of}: {change:?}");
}

/// A worker without a kernel. Its pool starves whenever the test is slow to take its packets.
fn by_hand() {
    let fars = [
        Far::secure(0, 4000, SUITES[0]).with_ice("left"),
        Far::secure(1, 5000, SUITES[1]).with_ice("right"),
    ];
    let mut bare = Bare::new(WORKER, 8, 256).unwrap();
    let mut now = Nanos::from_millis(1_000_000);
    bare.pass(now);
    for (_, command) in bridge::commands([&fars[0], &fars[1]], [WORKER; 2]) {
        bare.apply(command).0.unwrap();
    }
    let ends = fars.each_ref().map(|far| (far.socket, far.remote));
    let mut traffic = Traffic::new(fars);
    let mut refused = 0;
    let mut walk = |packets: u32| {
        let mut buffer = [0; 1500];
        for number in 0..packets {
            let (len, from) = traffic.next(&mut buffer);
            let (socket, remote) = match from {
                From::Side(side) => ends[side],
                From::Nowhere => (SocketId(0), SocketAddr::from(([127, 0, 0, 1], 9999))),
            };
            now = now.plus(20_000);
            refused += u32::from(!bare.receive(socket, remote, &buffer[..len], now));
            let patience = if number / 10_000 % 4 == 3 { 1000 } else { WINDOW };
            if number % patience == 0 {
                bare.pass(now);
                bare.sent(|_, _, _| {});
                while bare.punt().is_some() {}
                while bare.event().is_some() {}
            }
            assert_eq!(bare.frames_lost(), 0);
        }
    };
    walk(WARM_UP);
    let region = Region::new(GLOBAL);
    walk(PACKETS);
    assert_nothing_allocated(&region, "by hand");
    assert!(refused > 0, "the pool did run dry");
    assert_mixed(bare.counters());
}

/// A simulcast sender and two receivers that change their layers all the time and report on their
/// paths, one of them badly; and somebody who speaks by fits and starts.
fn layers_by_hand() {
    let mut bare = Bare::new(WORKER, 8, 256).unwrap();
    let mut party = Party::new(&mut bare);
    party.exchange(&mut bare, WARM_UP);
    let region = Region::new(GLOBAL);
    party.exchange(&mut bare, PACKETS);
    assert_nothing_allocated(&region, "simulcast");
    assert!(party.layer_changes > 100, "{}", party.layer_changes);
    assert!(party.speeches > 100, "{}", party.speeches);
    assert!(party.reports > 1000, "{}", party.reports);
}

/// The far ends of [`layers_by_hand`].
struct Party {
    fars: [Far; 3],
    now: Nanos,
    count: u32,
    arrivals: [Arrivals; 2],
    layer_changes: u32,
    speeches: u32,
    reports: u32,
}

impl Party {
    fn new(bare: &mut Bare) -> Self {
        let fars = [Far::plain(2, 6000), Far::plain(3, 6001), Far::plain(4, 6002)];
        let now = Nanos::from_millis(1_000_000);
        bare.pass(now);
        for command in simulcast::commands(&fars[0], [&fars[1], &fars[2]], WORKER) {
            bare.apply(command).0.unwrap();
        }
        let arrivals = [Arrivals::default(), Arrivals::default()];
        Self { fars, now, count: 0, arrivals, layer_changes: 0, speeches: 0, reports: 0 }
    }

    fn exchange(&mut self, bare: &mut Bare, packets: u32) {
        let mut buffer = [0; 1500];
        for _ in 0..packets {
            self.count += 1;
            self.now = self.now.plus(500_000);
            let rtp = if self.count.is_multiple_of(10) {
                let level = if (self.count / 3000).is_multiple_of(2) { 20 } else { 90 };
                simulcast::audio(self.count / 10, level)
            } else {
                let (layer, number) = (self.count as usize % 3, self.count / 3);
                simulcast::video(layer, number, number.is_multiple_of(100))
            };
            let len = rtp.write(&mut buffer);
            bare.receive(self.fars[0].socket, self.fars[0].remote, &buffer[..len], self.now);
            if self.count.is_multiple_of(1000) {
                self.select(bare);
            }
            if self.count.is_multiple_of(16) {
                self.take(bare);
                self.report(bare);
            }
        }
    }

    fn select(&self, bare: &mut Bare) {
        let layer = match self.count / 1000 % 6 {
            0 => LayerChoice::Off,
            number @ 1..=3 => LayerChoice::Layer(number as u8 - 1),
            _ => LayerChoice::Auto,
        };
        let sink = simulcast::sink(WORKER, 0);
        bare.apply(Command::SelectLayer { sink, layer }).0.unwrap();
    }

    fn take(&mut self, bare: &mut Bare) {
        bare.pass(self.now);
        let (fars, arrivals, now) = (&self.fars, &mut self.arrivals, self.now);
        bare.sent(|_, remote, bytes| {
            let Some(receiver) = (0..2).find(|at| fars[1 + at].remote == remote) else { return };
            let Ok(header) = RtpHeader::parse(bytes) else { return };
            let number = header.read_transport_sequence(bytes, simulcast::TRANSPORT_CC);
            // The second one loses every fourth packet.
            if let Some(number) = number.filter(|n| receiver == 0 || n % 4 > 0) {
                arrivals[receiver].record(number, now);
            }
        });
        while let Some(event) = bare.event() {
            self.layer_changes += u32::from(matches!(event, Event::LayerChanged { .. }));
            self.speeches += u32::from(matches!(event, Event::Speaking { .. }));
        }
        assert_eq!(bare.frames_lost(), 0);
    }

    fn report(&mut self, bare: &mut Bare) {
        let mut out = [0; 1200];
        for receiver in 0..2 {
            if !self.arrivals[receiver].due(self.now) {
                continue;
            }
            let media = simulcast::SINKS[receiver];
            let Far { socket, remote, .. } = self.fars[1 + receiver];
            while let Some(len) = self.arrivals[receiver].feedback(self.now, 7, media, &mut out) {
                bare.receive(socket, remote, &out[..len], self.now);
                self.reports += 1;
            }
        }
    }
}

/// That the traffic was what it should be.
fn assert_mixed(counters: &WorkerCounters) {
    for reason in [
        DropReason::SrtpAuth,
        DropReason::SrtpReplayed,
        DropReason::UnknownRemote,
        DropReason::UnknownClass,
        DropReason::StunIntegrity,
    ] {
        assert!(counters.drops.of(reason) > 0, "{reason:?} was not met");
    }
}

/// Two far ends and a node between them.
struct Loopback {
    link: Link,
    ends: [UdpSocket; 2],
    stranger: UdpSocket,
    nodes: [SocketAddr; 2],
    traffic: Traffic,
}

fn over_loopback(backend: BackendChoice) -> Result<(), StartError> {
    let config = EngineConfig { backend, frames_per_worker: 2048, ..EngineConfig::default() };
    let (engine, mut links) = Engine::start(&config)?;
    let mut loopback = Loopback::new(links.remove(0));
    loopback.exchange(WARM_UP);
    let free = loopback.frames_at_rest();
    let region = Region::new(GLOBAL);
    loopback.exchange(PACKETS);
    assert_nothing_allocated(&region, &format!("{backend:?}"));
    assert_eq!(loopback.frames_at_rest(), free, "{backend:?} loses frames");
    assert_mixed(&loopback.read());
    engine.stop(vec![loopback.link]);
    Ok(())
}

impl Loopback {
    fn new(mut link: Link) -> Self {
        let bind = || UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let (ends, nodes) = ([bind(), bind()], [bind(), bind()]);
        let port = |side: usize| ends[side].local_addr().unwrap().port();
        let fars = [
            Far::secure(0, port(0), SUITES[0]).with_ice("left"),
            Far::secure(1, port(1), SUITES[1]).with_ice("right"),
        ];
        let node_addresses = nodes.each_ref().map(|node| node.local_addr().unwrap());
        for (number, udp) in (0..).zip(nodes) {
            tell(&mut link, Command::AddSocket { socket: SocketId(number), udp });
        }
        for (_, command) in bridge::commands([&fars[0], &fars[1]], [WORKER; 2]) {
            tell(&mut link, command);
        }
        ends.iter().for_each(|end| end.set_read_timeout(Some(PATIENCE)).unwrap());
        let traffic = Traffic::new(fars);
        Self { link, ends, stranger: bind(), nodes: node_addresses, traffic }
    }

    fn exchange(&mut self, packets: u32) {
        let mut buffer = [0; 1500];
        for _ in 0..packets / WINDOW {
            for _ in 1..WINDOW {
                let (len, from) = self.traffic.next(&mut buffer);
                let (end, node) = match from {
                    From::Side(side) => (&self.ends[side], self.nodes[side]),
                    From::Nowhere => (&self.stranger, self.nodes[0]),
                };
                end.send_to(&buffer[..len], node).unwrap();
            }
            let len = self.traffic.last(&mut buffer);
            self.ends[0].send_to(&buffer[..len], self.nodes[0]).unwrap();
            while self.ends[1].recv(&mut buffer).unwrap() < LAST_LEN {}
            while self.link.punt().is_some() {}
            while self.link.event().is_some() {}
        }
    }

    /// Free frames once nothing is under way: the backend then holds as many as it ever does, and
    /// DTLS that came early was given up.
    fn frames_at_rest(&mut self) -> u64 {
        let (mut free, mut since) = (self.read().frames_free, Instant::now());
        let deadline = since + PATIENCE;
        while since.elapsed() < AT_REST {
            let now_free = self.read().frames_free;
            if now_free != free {
                (free, since) = (now_free, Instant::now());
                assert!(since < deadline, "the worker does not come to rest");
            }
        }
        free
    }

    fn read(&mut self) -> WorkerCounters {
        let command = Command::ReadWorker(Box::new(WorkerReading::new()));
        match tell(&mut self.link, command) {
            Returned::Worker(reading) => reading.counters,
            other => panic!("{other:?}"),
        }
    }
}

/// Has a command applied.
fn tell(link: &mut Link, command: Command) -> Returned {
    let sent: Ticket = link.send(command).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match link.event() {
            Some(Event::Applied { ticket, outcome, returned }) if ticket == sent => {
                outcome.unwrap();
                return returned;
            }
            Some(_) => {}
            None => {
                assert!(Instant::now() < deadline, "the worker does not answer");
                std::thread::yield_now();
            }
        }
    }
}
