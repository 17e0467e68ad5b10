//! A server that is started for one round of calls over ng: rtpengine in user space, or causeway.
//!
//! Both get one core and a range of ports. rtpengine starts as many threads as it finds cores, unless it is told
//! otherwise; it has one here, as a causeway has one worker.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use causeway_engine::sys::socket;

use super::client::NgClient;
use crate::contestant::Contestant;
use crate::make::Make;
use crate::started::{LOOPBACK, Started, free_port};

/// The first and the last port of media: below those that the kernel gives to clients.
const PORTS: [u16; 2] = [10_000, 32_767];

/// Ports, and so sockets, that an m-line of a leg may take: RTP and RTCP.
const PORTS_PER_LINE: usize = 2;
/// Descriptors of a server beside those of its calls.
const SPARE_DESCRIPTORS: u64 = 2000;

/// Calls of so many m-lines, of both legs together, that a server has room for, if it may open as many descriptors
/// as we.
///
/// # Errors
/// The kernel's.
pub fn room(lines: usize) -> io::Result<usize> {
    let [first, last] = ports()?;
    Ok((usize::from(last - first) + 1) / (PORTS_PER_LINE * lines))
}

/// The first and the last port that a server gets: a causeway wants a descriptor for each.
fn ports() -> io::Result<[u16; 2]> {
    let descriptors = socket::lift_descriptor_limit()?.saturating_sub(SPARE_DESCRIPTORS);
    let [first, last] = PORTS;
    let count = u64::from(last - first).min(descriptors);
    Ok([first, first + count as u16])
}

/// A running server; stopped when dropped.
pub struct Server {
    /// Where it is asked.
    pub address: SocketAddr,
    /// Where its REST API is, if it has one.
    pub api: Option<SocketAddr>,
    started: Started,
}

impl Server {
    /// Starts `contestant` on `core`, for so many calls, and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(contestant: &Contestant, core: usize, calls: usize) -> io::Result<Self> {
        let address = SocketAddr::new(LOOPBACK, free_port()?);
        let http = SocketAddr::new(LOOPBACK, free_port()?);
        let mux = free_port()?;
        let arguments = |folder: &Path| match contestant.make {
            Make::Rtpengine => rtpengine(address),
            Make::Causeway => {
                let mut all = causeway(address, http, mux, calls, folder)?;
                all.extend(contestant.workers(core));
                Ok(all)
            }
            Make::Floor => Ok(vec![format!("--floor={address}")]),
            Make::Coturn => Err(io::Error::other("it has no calls")),
        };
        let mut started = Started::start(contestant, core, arguments)?;
        let pongs = |mut client: NgClient| client.ping().is_ok();
        started.wait(|| Ok(NgClient::new(address, "knock").is_ok_and(pongs)))?;
        let api = (contestant.make == Make::Causeway).then_some(http);
        Ok(Self { address, api, started })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.started.pid()
    }
}

/// Table -1 forwards in user space.
fn rtpengine(address: SocketAddr) -> io::Result<Vec<String>> {
    let [first, last] = ports()?;
    Ok([
        "--config-file=none".to_owned(),
        "--table=-1".to_owned(),
        "--foreground".to_owned(),
        "--log-stderr".to_owned(),
        "--log-level=3".to_owned(),
        "--num-threads=1".to_owned(),
        format!("--interface=pub/{LOOPBACK}"),
        format!("--listen-ng={address}"),
        format!("--port-min={first}"),
        format!("--port-max={last}"),
    ]
    .into())
}

fn causeway(
    address: SocketAddr,
    http: SocketAddr,
    mux: u16,
    calls: usize,
    folder: &Path,
) -> io::Result<Vec<String>> {
    let ([first, last], legs) = (ports()?, 2 * calls);
    let text = format!(
        "[http]\nlisten = \"{http}\"\n\
         [public]\nlisten = \"{LOOPBACK}:0\"\n\
         [ng]\nudp = \"{address}\"\n\
         [limits]\ncalls = {calls}\nlegs_per_worker = {legs}\n\
         [[interface]]\nname = \"pub\"\nbind = \"{LOOPBACK}\"\nports = \"{first}-{last}\"\nmux_port = {mux}\n"
    );
    let file = folder.join("causeway.toml");
    fs::write(&file, text)?;
    Ok(["run", "--config", &file.display().to_string()].map(str::to_owned).into())
}
