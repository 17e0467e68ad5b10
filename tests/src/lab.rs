//! The NAT laboratory, `natlab/natlab.sh`: homes, an office, a server behind a 1-to-1 NAT and an
//! open host, each a network namespace.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, id};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::root;

/// The address that the world sees of the server.
pub const PUBLIC: &str = "203.0.113.5";
/// The server's own address.
pub const PRIVATE: &str = "172.31.5.10";

/// Tests that measure media would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// A laboratory of its own for one test; gone, with all that runs in it, when dropped.
pub struct Lab {
    prefix: String,
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// Builds one; waits until no other test of this process has one. `options` are those of the
    /// script, such as `("HOME_LOSS", "3")`.
    ///
    /// # Panics
    /// If it cannot be built.
    pub fn up(options: &[(&str, &str)]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        sweep();
        let lab = Self { prefix: format!("cw{}", id()), _alone: alone };
        let done = natlab(&lab.prefix, "up", options);
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && words.is_empty(), "natlab: {words}");
        lab
    }

    /// Gives the browser at home another address; says how many milliseconds since 1970 it was when
    /// that was usable.
    ///
    /// # Panics
    /// If that does not work.
    pub fn move_host(&self) -> u64 {
        self.change("move-host")
    }

    /// Gives the home's NAT another public address and takes its bindings, as [`Self::move_host`].
    ///
    /// # Panics
    /// If that does not work.
    pub fn move_nat(&self) -> u64 {
        self.change("move-nat")
    }

    fn change(&self, verb: &str) -> u64 {
        let done = natlab(&self.prefix, verb, &[]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && words.is_empty(), "natlab: {words}");
        u64::try_from(now.as_millis()).expect("not that far from now")
    }

    /// The namespace of a host: `browser`, `agent`, `server`, `peer`.
    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        natlab(&self.prefix, "down", &[]);
    }
}

/// Removes what tests left behind that were killed.
fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    for name in names {
        let owner = name.strip_prefix("cw").and_then(|name| name.strip_suffix("-server"));
        if let Some(owner) = owner.filter(|owner| owner.parse::<u32>().is_ok())
            && !Path::new("/proc").join(owner).exists()
        {
            natlab(&format!("cw{owner}"), "down", &[]);
        }
    }
}

fn natlab(prefix: &str, verb: &str, options: &[(&str, &str)]) -> Output {
    Command::new("bash")
        .arg(root().join("tests/natlab/natlab.sh"))
        .args(["-p", prefix, verb])
        .envs(options.iter().copied())
        .output()
        .expect("bash runs")
}
