//! A node as a process of its own.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace;
use crate::rest::Rest;
use crate::root;

/// Longest wait for the node to say that it runs, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration's lines for two workers, so that what the kernel or a relay gives to one may be the other's.
pub const TWO_WORKERS: &str = "[node]\nworkers = [0, 1]\n";

/// A running node; ended when dropped. If the test fails, what it logged is shown.
pub struct Node {
    child: Child,
    words: Receiver<String>,
    log: Arc<Mutex<String>>,
    folder: PathBuf,
    rest: Rest,
}

impl Node {
    /// Starts a node with this configuration (TOML), and waits until it runs.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(namespace: Option<&str>, config: &str) -> Self {
        Self::spawn(namespace, namespace::command(namespace, binary()), config)
    }

    /// Starts a node by a program that becomes it: `program`, its arguments, and behind them the node's.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_by(program: &Path, arguments: &[&Path], config: &str) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(binary());
        Self::spawn(None, command, config)
    }

    fn spawn(namespace: Option<&str>, mut command: Command, config: &str) -> Self {
        let folder = scratch();
        let file = folder.join("causeway.toml");
        fs::write(&file, config).expect("the configuration can be written");
        let mut child = command
            .arg("--config")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the node can be started");
        let log = Arc::default();
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let words = lines(child.stdout.take().expect("piped"));
        let rest =
            Rest { namespace: namespace.map(str::to_owned), address: ([127, 0, 0, 1], 0).into() };
        let mut node = Self { child, words, log, folder, rest };
        node.rest.address = node.runs();
        node
    }

    /// Its REST API.
    pub fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id is positive")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it to stop, as a service manager does.
    ///
    /// # Panics
    /// If it does not, or not well.
    pub fn stop(mut self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).expect("it runs");
        loop {
            match self.words.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the node does not stop"),
            }
        }
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "the node ended with {status}");
    }

    /// Reads its standard output up to the address of its API, which it prints last.
    fn runs(&self) -> std::net::SocketAddr {
        loop {
            let line = self.words.recv_timeout(PATIENCE).expect("the node does not start");
            let url = line.trim().strip_prefix("API").map(str::trim);
            if let Some(rest) = url.and_then(|url| url.strip_prefix("http://")) {
                let address = rest.split('/').next().unwrap_or_default();
                return address.parse().expect("the API has an address");
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
        if thread::panicking() {
            eprintln!("--- the node's log\n{}---", self.log());
        }
    }
}

/// The node's program: `CAUSEWAY_BIN`, else built where this test was built.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("CAUSEWAY_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let release = profile.ends_with("release").then_some("--release");
    let done = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--bin", "causeway", "--target-dir"])
        .arg(profile.parent().expect("a profile lies in the target folder"))
        .args(release)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    profile.join("causeway")
}

/// A new folder for a configuration.
fn scratch() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("causeway-test-{}-{count}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room for a folder");
    folder
}

/// Gathers everything into `log`.
pub(crate) fn keep(from: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// The lines as they come; disconnected after the last.
pub(crate) fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}
