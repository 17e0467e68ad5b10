//! Work inside a network namespace.

use std::ffi::OsStr;
use std::fs::File;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Runs `work` on a thread of its own that has entered the namespace; sockets that it makes stay there.
///
/// # Panics
/// If there is no such namespace, and with `work`.
pub fn inside<T: Send>(namespace: Option<&str>, work: impl FnOnce() -> T + Send) -> T {
    let Some(name) = namespace else { return work() };
    let enter = || {
        let file = File::open(format!("/run/netns/{name}")).expect("the namespace is there");
        setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        work()
    };
    thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|panic| {
        std::panic::resume_unwind(panic);
    })
}

/// A command that runs there; the process that it starts is the program itself.
pub fn command(namespace: Option<&str>, program: impl AsRef<OsStr>) -> Command {
    let Some(name) = namespace else { return Command::new(program) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]).arg(program);
    command
}
