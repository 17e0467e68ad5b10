//! Calls with media, and beside them requests for calls without.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::report::{NgReport, Step};
use super::search::{Found, Search, Signalling};
use crate::door::Door;
use crate::plan::Plan;
use crate::process::Process;
use crate::run::{self, Flags, HOLD, Progress, RunError};

/// How long the calls stand at most while something is asked beside them.
const FOREVER: Duration = Duration::from_secs(86_400);
/// Time between two looks at whether the calls stand.
const LOOK: Duration = Duration::from_millis(50);

/// What is asked beside the calls with media.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Of whom.
    pub server: SocketAddr,
    /// What.
    pub asked: &'a Signalling,
    /// Sets the calls of this run apart from others.
    pub run: &'a str,
}

/// Builds up the calls of `plan`, asks what is to be asked beside them while they stand, and ends them when that is
/// done. `say` is told how it goes.
///
/// # Errors
/// [`RunError`]
pub fn run(
    plan: &Plan,
    door: &mut Door<'_>,
    server: Option<&Process>,
    stop: &AtomicBool,
    beside: Beside<'_>,
    say: &mut dyn FnMut(&Progress),
) -> Result<NgReport, RunError> {
    let (stand, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let flags = Flags { stop, enough: &enough };
    let plan = Plan { duration: FOREVER, ..plan.clone() };
    let mut tell = |progress: &Progress| {
        stand.fetch_or(progress.phase == HOLD, Ordering::Relaxed);
        say(progress);
    };
    let (media, found) = thread::scope(|scope| {
        let (stand, over) = (&stand, &enough);
        let asking = scope.spawn(move || {
            let found = ask(beside, stand, over, stop);
            over.store(true, Ordering::Relaxed);
            found
        });
        let media = run::run(&plan, door, server, flags, &mut tell);
        // Whoever still waits for calls that did not come up ends, too.
        enough.store(true, Ordering::Relaxed);
        (media, asking.join())
    });
    let media = media?;
    let panicked = |_| Err(io::Error::other("the sender panicked"));
    let Found { search, sustained, overload } = found.unwrap_or_else(panicked)?;
    Ok(NgReport { search, sustained, overload, media })
}

fn ask(
    Beside { server, asked, run }: Beside<'_>,
    stand: &AtomicBool,
    enough: &AtomicBool,
    stop: &AtomicBool,
) -> io::Result<Found> {
    while !stand.load(Ordering::Relaxed) {
        if enough.load(Ordering::Relaxed) {
            return Ok(Found::default());
        }
        thread::sleep(LOOK);
    }
    Search::new(server, asked, run, stop, &mut |step: &Step| eprint!("{step}")).run()
}
