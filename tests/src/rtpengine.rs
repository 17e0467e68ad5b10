//! The real rtpengine, as a process of its own: what causeway is compared with.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::ng::Ng;
use crate::node::keep;
use crate::server::Interface;

/// Media ports of one process.
const PORTS: u16 = 500;
/// Where the first range begins, and how many there are.
const FIRST: u16 = 40_000;
const RANGES: u16 = 40;

/// A running rtpengine, in userspace; ended when dropped. If the test fails, what it logged is shown.
pub struct Rtpengine {
    /// Where it takes `ng` requests.
    pub ng: SocketAddr,
    /// Its media ports.
    pub ports: (u16, u16),
    child: Child,
    log: Arc<Mutex<String>>,
    _range: TcpListener,
}

impl Rtpengine {
    /// Starts one that has these interfaces, the first being its default one.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(interfaces: &[Interface]) -> Self {
        let ng = free_udp();
        let (range, ports) = range();
        let mut child = Command::new("rtpengine")
            .args(["--config-file=none", "--table=-1", "--foreground", "--log-stderr"])
            .args(["--log-level=5", "--num-threads=2", "--delete-delay=0", "--timeout=600"])
            .args(
                interfaces
                    .iter()
                    .map(|Interface { name, bind }| format!("--interface={name}/{bind}")),
            )
            .arg(format!("--listen-ng={ng}"))
            .args([format!("--port-min={}", ports.0), format!("--port-max={}", ports.1)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rtpengine can be started");
        let log = Arc::default();
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let rtpengine = Self { ng, ports, child, log, _range: range };
        Ng::new(ng).wait();
        rtpengine
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("--- rtpengine's log\n{log}---");
        }
    }
}

/// An address of loopback whose UDP port is free.
pub fn free_udp() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.local_addr().expect("it is bound")
}

/// Media ports that no other process of these tests takes: a listener on the TCP port of the first
/// one stands for them. Two rtpengines would share UDP ports without an error (`SO_REUSEADDR`).
fn range() -> (TcpListener, (u16, u16)) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    (0..RANGES)
        .find_map(|_| {
            let first = FIRST + PORTS * (NEXT.fetch_add(1, Ordering::Relaxed) % RANGES);
            let range = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
            Some((range, (first, first + PORTS - 1)))
        })
        .expect("a range of ports is free")
}
