//! Allocates without credentials, from many addresses, at a given rate; nobody listens to what the server says.
//!
//! On loopback every address of 127.0.0.0/8 is one's own, so a socket stands for each address that is claimed. Every
//! request has a transaction of its own and is otherwise the same.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_engine::stun::TransactionId;
use causeway_engine::sys::socket::lift_descriptor_limit;
use socket2::SockRef;

use super::client::write_allocate;
use super::plan::Target;
use super::report::{Cost, FloodReport};
use crate::board::histogram;
use crate::process::{Process, sum};
use crate::report::{Quantiles, Verdict};

/// Where the transaction id of a message stands, and its last part that counts.
const COUNTER_AT: usize = 12;
/// Requests that are due within this time leave together.
const TICK: Duration = Duration::from_millis(1);
/// Addresses that differ in one part only.
const PART: usize = 250;

/// A flood.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Requests per second.
    pub rate: f64,
    /// Addresses that they come from.
    pub sources: usize,
    /// For how long.
    pub duration: Duration,
}

/// Sends `flood` to the server.
///
/// # Errors
/// If an address cannot be bound: the server is not on loopback, for one.
pub fn run(flood: Flood, target: Target, stop: &AtomicBool) -> io::Result<FloodReport> {
    let server = target.pid.map(Process::new).transpose()?;
    let sample = || server.as_ref().map(Process::sample).transpose();
    lift_descriptor_limit()?;
    let sockets: Vec<_> =
        (0..flood.sources).map(|number| open(number, target.address)).collect::<io::Result<_>>()?;
    let mut request = [0; 64];
    let size = write_allocate(TransactionId::default(), &mut request).unwrap_or(0);
    let (mut sent, mut refused, mut lateness) = (0, 0, histogram());
    let (before, start) = (sample()?, Instant::now());
    let ticks = (flood.duration.as_secs_f64() / TICK.as_secs_f64()) as u32;
    let due = |tick: u32| (flood.rate * TICK.as_secs_f64() * f64::from(tick)) as u64;
    for tick in 0..ticks {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let at = start + TICK * tick;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        for number in due(tick)..due(tick + 1) {
            // What is late is sent late or, at the end, not at all: the rate that is told is the true one.
            if start.elapsed() > flood.duration {
                break;
            }
            lateness.saturating_record(at.elapsed().as_micros() as u64);
            request[COUNTER_AT..COUNTER_AT + 8].copy_from_slice(&number.to_be_bytes());
            match sockets[(number % sockets.len() as u64) as usize].send(&request[..size]) {
                Ok(_) => sent += 1,
                Err(_) => refused += 1,
            }
        }
    }
    let (seconds, after) = (start.elapsed().as_secs_f64(), sample()?);
    let cost = before.zip(after).map(|(before, after)| {
        let threads = after.since(&before, seconds);
        let resident = [before.resident, after.resident];
        let cpu = sum(&threads);
        Cost { seconds, cpu, packets: 0, threads, resident, batch: None, counted: None }
    });
    let mut report = FloodReport {
        verdict: Verdict::Clean,
        asked: flood.rate,
        sources: flood.sources,
        size,
        seconds,
        sent,
        refused,
        lateness_us: Quantiles::of(&lateness),
        server: cost,
    };
    if !report.is_as_asked() {
        report.verdict = Verdict::Inconclusive;
    }
    Ok(report)
}

/// A socket at the address of this number, whose answers are dropped.
fn open(number: usize, server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((source(number), 0))?;
    socket.set_nonblocking(true)?;
    SockRef::from(&socket).set_recv_buffer_size(1)?;
    socket.connect(server)?;
    Ok(socket)
}

/// 127.1.0.1, 127.1.1.1 and on: each number has its own, and neighbours are of different networks (/24).
pub fn source(number: usize) -> IpAddr {
    let part = |of: usize| (of % PART) as u8;
    Ipv4Addr::new(127, 1 + part(number / PART / PART), part(number), 1 + part(number / PART)).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_source_has_an_address_of_its_own() {
        let all: HashSet<_> = (0..100_000).map(source).collect();
        assert_eq!(all.len(), 100_000);
        assert!(
            all.iter().all(IpAddr::is_loopback) && !all.contains(&IpAddr::from([127, 0, 0, 1]))
        );
    }

    #[test]
    fn a_flood_comes_from_many_addresses_with_a_transaction_each() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = Target { address: server.local_addr().unwrap(), pid: None, api: None };
        let flood = Flood { rate: 1000.0, sources: 20, duration: Duration::from_millis(100) };
        let report = run(flood, target, &AtomicBool::new(false)).unwrap();
        assert!(report.sent > 0 && report.refused == 0);
        server.set_nonblocking(true).unwrap();
        let (mut addresses, mut transactions, mut buffer) =
            (HashSet::new(), HashSet::new(), [0; 100]);
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            addresses.insert(from.ip());
            let message = causeway_engine::stun::Message::parse(&buffer[..len]).unwrap();
            transactions.insert(message.transaction);
        }
        assert_eq!(transactions.len() as u64, report.sent);
        assert_eq!(addresses.len() as u64, report.sent.min(20));
    }
}
