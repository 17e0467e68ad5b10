//! baresip, a SIP phone, which takes a call with ICE and DTLS-SRTP, or with either left out. It does not
//! multiplex RTCP (RFC 5761), so RTCP has candidates, checks and a handshake of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::kamailio::folder;
use crate::node::keep;
use crate::rtpengine::free_udp;

/// Longest wait for what it says.
const PATIENCE: Duration = Duration::from_secs(30);
/// Starts until its ports are free, most.
const ATTEMPTS: usize = 8;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What protects a phone's media that does without ICE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// SDES, and nothing less.
    Sdes,
    /// DTLS-SRTP.
    Dtls,
}

/// A running phone, which answers by itself and sends back what it hears; ended when dropped. If the test fails,
/// what it said is shown.
pub struct Baresip {
    /// Where it takes SIP.
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Baresip {
    /// Starts one with ICE and DTLS-SRTP.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        Self::with("medianat=ice;mediaenc=dtls_srtp;")
    }

    /// Starts one without ICE.
    ///
    /// # Panics
    /// If it does not start.
    pub fn without_ice(protection: Protection) -> Self {
        Self::with(media_of(protection))
    }

    /// Starts one without ICE that calls this address by itself.
    ///
    /// # Panics
    /// If it does not start.
    pub fn calling(protection: Protection, to: SocketAddr) -> Self {
        Self::run(media_of(protection), &["-e", &format!("/dial sip:node@{to}")])
    }

    fn with(media: &str) -> Self {
        Self::run(media, &[])
    }

    /// It takes a port for TCP too, and the next one for TLS: others may have those.
    fn run(media: &str, more: &[&str]) -> Self {
        let mut phones = (0..ATTEMPTS).map(|_| Self::spawn(media, more));
        phones.find(Self::is_ready).expect("three ports that are free")
    }

    fn is_ready(&self) -> bool {
        let (ready, failed) = ("baresip is ready", "init failed");
        self.wait_for(&[ready, failed]);
        self.log().contains(ready)
    }

    fn spawn(media: &str, more: &[&str]) -> Self {
        let (address, folder) = (free_udp(), folder("baresip"));
        fs::write(folder.join("config"), config(address)).expect("there is room");
        fs::write(folder.join("accounts"), account(address, media)).expect("there is room");
        fs::write(folder.join("contacts"), "").expect("there is room");
        let mut child = Command::new("baresip")
            .arg("-f")
            .arg(&folder)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("baresip can be started");
        let log = Arc::default();
        keep(child.stdout.take().expect("piped"), Arc::clone(&log));
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        Self { address, child, folder, log }
    }

    /// Waits until it says so.
    #[track_caller]
    pub fn wait(&self, words: &str) {
        self.wait_for(&[words]);
    }

    #[track_caller]
    fn wait_for(&self, any: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while !any.iter().any(|words| self.log().contains(words)) {
            assert!(Instant::now() < deadline, "the phone never says: {any:?}");
            thread::sleep(LOOK);
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
        if thread::panicking() {
            eprintln!("--- the phone's words\n{}---", self.log());
        }
    }
}

/// What an account says of it.
fn media_of(protection: Protection) -> &'static str {
    match protection {
        Protection::None => "",
        Protection::Sdes => "mediaenc=srtp-mand;",
        Protection::Dtls => "mediaenc=dtls_srtp;",
    }
}

fn config(address: SocketAddr) -> String {
    let modules =
        ["g711", "aubridge", "ice", "dtls_srtp", "srtp"].map(|name| format!("module {name}.so\n"));
    format!(
        "poll_method epoll\nsip_listen {address}\nmodule_path /usr/lib/baresip/modules\n\
         audio_source aubridge,loop\naudio_player aubridge,loop\naudio_alert aubridge,none\n\
         {}module_app account.so\nmodule_app menu.so\n",
        modules.concat()
    )
}

fn account(address: SocketAddr, media: &str) -> String {
    format!("<sip:callee@{address}>;regint=0;answermode=auto;{media}audio_codecs=PCMU/8000/1\n")
}
