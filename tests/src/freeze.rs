//! Stops the control plane of a node while its workers go on.
//!
//! No signal stops some threads of a process and not others, but a debugger does: every thread that
//! is not a worker is seized and interrupted, and let go in the end. Should the test die meanwhile,
//! the kernel lets them go.

use std::fs;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What the kernel calls io_uring's own threads; they are part of it, and cannot be traced.
const KERNEL: &str = "iou-";
/// What the engine calls its workers.
const WORKER: &str = "worker-";

/// Runs `work` while every thread of the process but its workers stands still, and returns what it
/// returns and the names of the threads that stood still.
///
/// # Panics
/// If no worker is left running or a thread cannot be stopped.
pub fn control_stopped<T>(pid: i32, work: impl FnOnce() -> T) -> (T, Vec<String>) {
    // Only the thread that seized another may let it go: `work` runs on this one.
    let mut stopped = Vec::new();
    while let Some(fresh) = next(pid, &stopped) {
        stop(fresh.0);
        stopped.push(fresh);
    }
    assert!(threads(pid).iter().any(|(_, name)| name.starts_with(WORKER)), "no worker is left");
    assert!(stopped.iter().all(|(thread, _)| state(pid, *thread) == Some('t')), "{stopped:?}");
    let done = work();
    for (thread, name) in &stopped {
        assert_eq!(state(pid, *thread), Some('t'), "{name} did not stand still");
        ptrace::detach(*thread, None).expect("it is stopped and ours");
    }
    (done, stopped.into_iter().map(|(_, name)| name).collect())
}

/// A thread to stop that is not stopped yet: one that runs may have made another.
fn next(pid: i32, stopped: &[(Pid, String)]) -> Option<(Pid, String)> {
    threads(pid).into_iter().find(|(thread, name)| {
        let spared = name.starts_with(WORKER) || name.starts_with(KERNEL);
        !spared && stopped.iter().all(|(known, _)| known != thread)
    })
}

fn stop(thread: Pid) {
    ptrace::seize(thread, Options::empty()).expect("root may trace its children");
    ptrace::interrupt(thread).expect("it is seized");
    loop {
        match waitpid(thread, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)) => return,
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            other => panic!("thread {thread}: {other:?}"),
        }
    }
}

fn threads(pid: i32) -> Vec<(Pid, String)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let thread = |entry: fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some((Pid::from_raw(id), name.trim().to_owned()))
    };
    entries.flatten().filter_map(thread).collect()
}

/// What the kernel says a thread does; `t` is stopped by a tracer.
fn state(pid: i32, thread: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
