//! Browsers that are driven by one of the scripts in `browser/`, step by step.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::node::lines;
use crate::root;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(180);

/// A run of the script; ended, with its browsers, when dropped. If the test fails, what it said is
/// shown.
pub struct Pages {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    story: Vec<String>,
}

impl Pages {
    /// Starts a run of `two-pages.mjs`; the arguments stand in `browser/README.md`, here without
    /// `--`.
    ///
    /// # Panics
    /// If node cannot be started.
    pub fn open(arguments: &[(&str, &str)]) -> Self {
        Self::run("two-pages.mjs", arguments)
    }

    /// Starts a run of a script.
    ///
    /// # Panics
    /// If node cannot be started.
    pub fn run(script: &str, arguments: &[(&str, &str)]) -> Self {
        let mut child = Command::new("node")
            .arg(root().join("tests/browser").join(script))
            .args(arguments.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).into()]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node can be started");
        let input = child.stdin.take().expect("piped");
        let lines = lines(child.stdout.take().expect("piped"));
        Self { child, input, lines, story: Vec::new() }
    }

    /// Waits for a step and returns what it found; those before it must have gone well.
    ///
    /// # Panics
    /// If a step did not go well, or did not come.
    pub fn step(&mut self, name: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no step {name}: {error}"));
            let step: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            self.story.push(line);
            assert_eq!(step["ok"], Value::Bool(true), "step {}: {}", step["step"], step["error"]);
            if step["step"] == name {
                return step;
            }
            assert_ne!(step["step"], "done", "there was no step {name}");
        }
    }

    /// Lets a run go on that pauses after a step (`pause-after`).
    ///
    /// # Panics
    /// If the run has ended.
    pub fn go_on(&mut self) {
        self.input.write_all(b"\n").expect("the run has not ended");
    }

    /// Waits for the rest of the run.
    ///
    /// # Panics
    /// If not everything went well.
    pub fn finish(mut self) {
        self.step("done");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "the run ended with {status}");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // It ends its browsers before itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- the browsers' story\n{}\n---", self.story.join("\n"));
        }
    }
}
