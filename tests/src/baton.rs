//! The processes of a hand-over, `bin/baton.rs`.

use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace;
use crate::node::lines;

/// Longest wait for a word.
const PATIENCE: Duration = Duration::from_secs(60);

/// A name for a Unix socket that nobody has used.
pub fn path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("causeway-baton-{}-{count}", std::process::id()))
}

/// Where a test meets its successor; the file is gone when dropped.
pub struct Meeting {
    path: PathBuf,
    listener: UnixListener,
}

impl Meeting {
    /// A new one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        let path = path();
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the other one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept()?.0)
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A running process; ended when dropped.
pub struct Baton {
    child: Child,
    input: Option<ChildStdin>,
    words: Receiver<String>,
}

impl Baton {
    /// Starts `program`, the built `baton`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(namespace: Option<&str>, program: &str, arguments: &[&str]) -> Self {
        let mut child = namespace::command(namespace, program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("baton can be started");
        let words = lines(child.stdout.take().expect("piped"));
        Self { input: child.stdin.take(), child, words }
    }

    /// Starts a successor that comes to `path`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn take(program: &str, path: &Path, more: &[&str]) -> Self {
        let path = path.to_str().expect("a name of our own");
        Self::start(None, program, &[&["take", path], more].concat())
    }

    /// Its next word.
    ///
    /// # Panics
    /// If it has none.
    #[track_caller]
    pub fn word(&self) -> String {
        self.words.recv_timeout(PATIENCE).expect("baton says something")
    }

    /// Gives it a line.
    ///
    /// # Panics
    /// If it is gone.
    pub fn say(&mut self) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(b"\n").expect("it runs");
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id is positive");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Lets it end by itself.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn end(mut self) -> ExitStatus {
        drop(self.input.take());
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
