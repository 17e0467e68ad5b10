//! A server that is started for one round of calls over ng: rtpengine in user space, or causeway.
//!
//! Both get one core and a range of ports. rtpengine starts as many threads as it finds cores, unless it is told
//! otherwise; it has one here, as a causeway has one worker.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::client::NgClient;
use crate::make::Make;
use crate::started::{LOOPBACK, Started, free_port};

/// The first and the last port of media: below those that the kernel gives to clients.
const PORTS: [u16; 2] = [10_000, 32_767];

/// A running server; stopped when dropped.
pub struct Server {
    /// Where it is asked.
    pub address: SocketAddr,
    started: Started,
}

impl Server {
    /// Starts `program` on `core`, for so many calls, and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(make: Make, program: &Path, core: usize, calls: usize) -> io::Result<Self> {
        let address = SocketAddr::new(LOOPBACK, free_port()?);
        let mux = free_port()?;
        let arguments = |folder: &Path| match make {
            Make::Rtpengine => Ok(rtpengine(address)),
            Make::Causeway => causeway(address, mux, calls, folder),
            Make::Coturn => Err(io::Error::other("it has no calls")),
        };
        let mut started = Started::start(make, program, core, arguments)?;
        let pongs = |mut client: NgClient| client.ping().is_ok();
        started.wait(|| Ok(NgClient::new(address, "knock").is_ok_and(pongs)))?;
        Ok(Self { address, started })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.started.pid()
    }
}

/// Table -1 forwards in user space.
fn rtpengine(address: SocketAddr) -> Vec<String> {
    let [first, last] = PORTS;
    [
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
    .into()
}

fn causeway(address: SocketAddr, mux: u16, calls: usize, folder: &Path) -> io::Result<Vec<String>> {
    let ([first, last], legs) = (PORTS, 2 * calls);
    let text = format!(
        "[http]\nlisten = \"{LOOPBACK}:0\"\n\
         [public]\nlisten = \"{LOOPBACK}:0\"\n\
         [ng]\nudp = \"{address}\"\n\
         [limits]\ncalls = {calls}\nlegs_per_worker = {legs}\n\
         [[interface]]\nname = \"pub\"\nbind = \"{LOOPBACK}\"\nports = \"{first}-{last}\"\nmux_port = {mux}\n"
    );
    let file = folder.join("causeway.toml");
    fs::write(&file, text)?;
    Ok(["run", "--config", &file.display().to_string(), "--workers", "1"].map(str::to_owned).into())
}
