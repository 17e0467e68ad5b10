//! What a test needs of the machine.

use std::env;
use std::io::{self, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;

use crate::{root, server};

/// The Python that the system's packages are for.
pub const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Network namespaces with packet filters and a proxy: root, iproute2, nftables, Python.
    Namespaces,
    /// What reads shell scripts critically.
    Shellcheck,
    /// libseccomp, in the system's Python.
    Seccomp,
    /// Chromium, and what drives it and feeds it.
    Chromium,
    /// Firefox, and what drives it.
    Firefox,
    /// OpenSSL's program, as a peer.
    OpenSsl,
    /// curl, as a client of HTTP/2.
    Curl,
    /// coturn: its server, and its tools as clients of one.
    Coturn,
    /// aioice, the ICE of aiortc, in the system's Python.
    Aioice,
    /// The real rtpengine.
    Rtpengine,
    /// The media server that the tests of the `ng` protocol are about.
    MediaServer,
    /// Kamailio with its rtpengine module, and SIPp.
    Kamailio,
    /// Kamailio's WebSocket module, and the SIP client for pages.
    SipOverWebSocket,
    /// baresip, and an address that is not loopback's.
    Baresip,
}

/// Returns from the test if the machine lacks one of the [`Need`]s.
#[macro_export]
macro_rules! requires {
    ($($need:ident),+) => {
        if !$crate::requires::met(&[$($crate::requires::Need::$need),+]) {
            return;
        }
    };
}

/// Whether the machine has it all. What is missing is said on standard error, past the capture of
/// the test runner.
///
/// # Panics
/// If something is missing and `CAUSEWAY_REQUIRE_ALL` is set to anything but `0`.
pub fn met(needs: &[Need]) -> bool {
    let missing: Vec<_> = needs.iter().flat_map(|need| need.missing()).collect();
    if missing.is_empty() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let words = format!("{test} needs {}", missing.join(", "));
    assert!(!all_required(), "{words}, and CAUSEWAY_REQUIRE_ALL is set");
    let _ = writeln!(io::stderr(), "SKIPPED: {words}");
    false
}

impl Need {
    fn missing(self) -> Vec<String> {
        match self {
            Self::Namespaces => {
                let root = (!geteuid().is_root()).then(|| "root".to_owned());
                root.into_iter()
                    .chain(programs(&["bash", "ip", "nft", "ethtool", "sysctl", "python3"]))
                    .collect()
            }
            Self::Shellcheck => programs(&["shellcheck"]),
            Self::Seccomp => python("seccomp").into_iter().collect(),
            Self::Chromium => {
                let browser = browser("CHROMIUM", "/usr/bin/chromium");
                browser.into_iter().chain(driver()).chain(programs(&["ffmpeg"])).collect()
            }
            Self::Firefox => {
                let browser = browser("FIREFOX", "/usr/bin/firefox-esr");
                browser.into_iter().chain(driver()).collect()
            }
            Self::OpenSsl => programs(&["openssl"]),
            Self::Curl => programs(&["curl"]),
            Self::Coturn => programs(&[
                "turnserver",
                "turnutils_uclient",
                "turnutils_stunclient",
                "turnutils_peer",
                "openssl",
            ]),
            Self::Aioice => python("aioice").into_iter().collect(),
            Self::Rtpengine => programs(&["rtpengine"]),
            Self::MediaServer if server::target() == "rtpengine" => Self::Rtpengine.missing(),
            Self::MediaServer => Vec::new(),
            Self::Kamailio => {
                let missing = programs(&["kamailio", "sipp"]).into_iter();
                missing.chain(kamailio_module("rtpengine")).collect()
            }
            Self::SipOverWebSocket => {
                let package = root().join("tests/browser/node_modules/jssip");
                let unset = (!package.exists()).then(|| "`npm ci` in tests/browser".to_owned());
                kamailio_module("websocket").into_iter().chain(unset).collect()
            }
            Self::Baresip => programs(&["baresip"]).into_iter().chain(route()).collect(),
        }
    }
}

fn python(module: &str) -> Option<String> {
    let found = Command::new(SYSTEM_PYTHON).args(["-c", &format!("import {module}")]).output();
    let there = found.is_ok_and(|done| done.status.success());
    (!there).then(|| format!("{SYSTEM_PYTHON} with {module}"))
}

/// Debian has the modules in a folder of the architecture, others in `/usr/lib64` or `/usr/lib`.
fn kamailio_module(name: &str) -> Option<String> {
    let file = format!("kamailio/modules/{name}.so");
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let there = folders.iter().any(|folder| Path::new(folder).join(&file).exists());
    (!there).then(|| format!("Kamailio's {name} module"))
}

/// baresip has no candidates on loopback.
fn route() -> Option<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok();
    // TEST-NET-1: nothing is sent, the kernel is only asked for the way.
    let there = socket.is_some_and(|socket| socket.connect("192.0.2.1:9").is_ok());
    (!there).then(|| "a default route".to_owned())
}

fn all_required() -> bool {
    env::var("CAUSEWAY_REQUIRE_ALL").is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

fn browser(variable: &str, usual: &str) -> Option<String> {
    let path = env::var(variable).unwrap_or_else(|_| usual.to_owned());
    (!Path::new(&path).exists()).then(|| format!("{path} ({variable} names another)"))
}

fn driver() -> Vec<String> {
    let modules = root().join("tests/browser/node_modules/puppeteer-core");
    let unset = (!modules.exists()).then(|| "`npm ci` in tests/browser".to_owned());
    programs(&["node"]).into_iter().chain(unset).collect()
}

fn programs(names: &[&str]) -> Vec<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| env::split_paths(&path).any(|folder| folder.join(name).exists());
    names.iter().filter(|name| !there(name)).map(|name| (*name).to_owned()).collect()
}
