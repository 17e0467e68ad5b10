//! A node that the load generator starts itself.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contestant::Contestant;
use crate::rest::Api;

/// Longest wait for the node to say that it runs.
const START: Duration = Duration::from_secs(20);
/// Longest wait for the node to stop by itself.
const STOP: Duration = Duration::from_secs(10);

/// A running node; stopped when dropped.
pub struct Node {
    child: Child,
    api: Api,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program cannot be started.
    #[error("{0} cannot be started: {1}")]
    Program(String, std::io::Error),
    /// It ended, or did not say where its API is in time.
    #[error("{0} does not say where its API is; what it said stands above")]
    Silent(String),
}

impl Node {
    /// Starts `contestant`, on `core` alone if there is one, with ports that the kernel chooses for its listeners,
    /// and waits until it runs. What it logs goes to our standard error.
    ///
    /// # Errors
    /// If it does not run.
    pub fn spawn(contestant: &Contestant, core: Option<usize>) -> Result<Self, SpawnError> {
        let name = contestant.program.display().to_string();
        let mut own =
            ["--http", "127.0.0.1:0", "--public", "127.0.0.1:0"].map(str::to_owned).to_vec();
        own.extend(core.map(|core| contestant.workers(core)).unwrap_or_default());
        let mut child = contestant
            .command(core, &own)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| SpawnError::Program(name.clone(), error))?;
        let words = child.stdout.take().map(lines);
        let api = words.and_then(|words| wait_for_api(&words));
        match api {
            Some(api) => Ok(Self { child, api }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(SpawnError::Silent(name))
            }
        }
    }

    /// Its API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Asks a process to stop, and makes it if it does not.
pub fn stop(child: &mut Child) {
    let pid = i32::try_from(child.id()).map(Pid::from_raw);
    let asked = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
    let deadline = Instant::now() + STOP;
    while asked && Instant::now() < deadline {
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_for_api(words: &Receiver<String>) -> Option<Api> {
    let deadline = Instant::now() + START;
    loop {
        let line = words.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        let url = line.trim().strip_prefix("API").map(str::trim);
        if let Some(url) = url.and_then(|url| url.strip_suffix("/v1/openapi.json")) {
            return url.parse().ok();
        }
    }
}

/// The lines as they come; read to the end whether somebody listens or not.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}
