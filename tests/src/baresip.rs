//! baresip, a SIP phone, which takes a call with DTLS-SRTP and ICE. It does not multiplex RTCP (RFC 5761),
//! so RTCP has candidates, checks and a handshake of its own.

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
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

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
    /// Starts one.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        let (address, folder) = (free_udp(), folder("baresip"));
        fs::write(folder.join("config"), config(address)).expect("there is room");
        fs::write(folder.join("accounts"), account(address)).expect("there is room");
        fs::write(folder.join("contacts"), "").expect("there is room");
        let mut child = Command::new("baresip")
            .arg("-f")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("baresip can be started");
        let log = Arc::default();
        keep(child.stdout.take().expect("piped"), Arc::clone(&log));
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let phone = Self { address, child, folder, log };
        phone.wait("baresip is ready");
        phone
    }

    /// Waits until it says so.
    #[track_caller]
    pub fn wait(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "the phone never says: {words}");
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

fn config(address: SocketAddr) -> String {
    let modules =
        ["g711", "aubridge", "ice", "dtls_srtp"].map(|name| format!("module {name}.so\n"));
    format!(
        "poll_method epoll\nsip_listen {address}\nmodule_path /usr/lib/baresip/modules\n\
         audio_source aubridge,loop\naudio_player aubridge,loop\naudio_alert aubridge,none\n\
         {}module_app account.so\nmodule_app menu.so\n",
        modules.concat()
    )
}

fn account(address: SocketAddr) -> String {
    format!(
        "<sip:callee@{address}>;regint=0;answermode=auto;medianat=ice;mediaenc=dtls_srtp;\
         audio_codecs=PCMU/8000/1\n"
    )
}
