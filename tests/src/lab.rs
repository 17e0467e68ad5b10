//! The NAT laboratory, `natlab/natlab.sh`: homes with IPv4 and with IPv6, an office that lets only TCP
//! 443 out and one that lets only TLS out, a server behind a 1-to-1 NAT and an open host, each a
//! network namespace.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, id};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::root;

/// The address that the world sees of the server.
pub const PUBLIC: &str = "203.0.113.5";
/// The server's own address.
pub const PRIVATE: &str = "172.31.5.10";
/// The server's IPv6 address, which the world sees as it is.
pub const PUBLIC6: &str = "2001:db8:5::10";
/// What the world sees of `browser`, at home behind a NAT.
pub const HOME: &str = "198.51.100.2";
/// What the world sees of `agent`, whose office lets out TCP to ports 80 and 443.
pub const OFFICE: &str = "198.51.100.6";
/// What the world sees of `tlsagent`, whose office's proxy lets out what begins as TLS on TCP 443.
pub const TLS_OFFICE: &str = "198.51.100.22";
/// The only address of `browser6`, at home without a NAT.
pub const HOME6: &str = "2001:db8:6::100";
/// The address of `peer`, on the open internet.
pub const PEER: &str = "198.51.100.14";

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

    /// Gives the browser at home another address.
    ///
    /// # Panics
    /// If that does not work.
    pub fn move_host(&self) {
        self.change("move-host");
    }

    /// Gives the home's NAT another public address and takes its bindings, as [`Self::move_host`].
    ///
    /// # Panics
    /// If that does not work.
    pub fn move_nat(&self) {
        self.change("move-nat");
    }

    /// Whether everything is reached, and not reached, as it is drawn; what the script says of it.
    ///
    /// # Errors
    /// The same words if something is not.
    pub fn check(&self) -> Result<String, String> {
        let done = natlab(&self.prefix, "check", &[]);
        let words = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() { Ok(words) } else { Err(words) }
    }

    fn change(&self, verb: &str) {
        let done = natlab(&self.prefix, verb, &[]);
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && words.is_empty(), "natlab: {words}");
    }

    /// The namespace of a host: `browser`, `browser6`, `agent`, `tlsagent`, `server`, `peer`.
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
