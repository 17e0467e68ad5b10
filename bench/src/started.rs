//! A server that is started for one round, on a core of its own.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::contestant::Contestant;
use crate::node::stop;

/// Where servers listen that are started.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longest wait for the server to answer.
const START: Duration = Duration::from_secs(20);
/// Time between two looks at whether it does.
pub const LOOK: Duration = Duration::from_millis(50);
/// Tries to find ports that are free for TCP and UDP.
const PORT_TRIES: usize = 100;

/// A running server; stopped when dropped.
pub struct Started {
    child: Child,
    /// What it reads.
    _folder: TempDir,
}

impl Started {
    /// Starts `contestant` on `core`, with the `arguments` that are made in a folder of its own.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        contestant: &Contestant,
        core: usize,
        arguments: impl FnOnce(&Path) -> io::Result<Vec<String>>,
    ) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let child = contestant
            .command(Some(core), &arguments(folder.path())?)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(contestant.make.complaints())
            .spawn()?;
        Ok(Self { child, _folder: folder })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// If it ends before, or does not answer in time.
    pub fn wait(&mut self, mut answers: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended: {status}")));
            }
            if answers()? {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(ErrorKind::TimedOut.into())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// A port of loopback that is free for TCP and UDP.
///
/// # Errors
/// If none is found.
pub fn free_port() -> io::Result<u16> {
    for _ in 0..PORT_TRIES {
        let tcp = TcpListener::bind((LOOPBACK, 0))?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind((LOOPBACK, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ErrorKind::AddrInUse.into())
}
