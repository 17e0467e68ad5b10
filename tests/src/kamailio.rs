//! Kamailio, the SIP proxy, which drives a media server by its rtpengine module; and SIPp, which calls
//! through it.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::node::keep;
use crate::phone::receive;
use crate::root;
use crate::rtpengine::free_udp;

/// Longest wait for it to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Wait for an answer, after which it is asked again.
const LOOK: Duration = Duration::from_millis(100);

/// Who is on which side of the media server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Plain RTP on both.
    Plain,
    /// A browser calls over WebSocket, the callee has plain RTP.
    BrowserCalls,
    /// The caller has plain RTP, the callee DTLS-SRTP and ICE.
    SecureCallee,
}

/// A running proxy; ended when dropped. If the test fails, what it logged is shown.
pub struct Kamailio {
    /// Where it takes SIP over UDP, and over WebSocket if it does.
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Kamailio {
    /// Starts one that calls `callee` and has the media server that takes `ng` requests at `media`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(media: SocketAddr, callee: SocketAddr, sides: Sides) -> Self {
        let (address, folder) = (free_udp(), folder("kamailio"));
        let define = match sides {
            Sides::Plain => None,
            Sides::BrowserCalls => Some(["-A", "WITH_WEBSOCKET"]),
            Sides::SecureCallee => Some(["-A", "WITH_SECURE_CALLEE"]),
        };
        let tcp =
            (sides == Sides::BrowserCalls).then(|| ["-l".to_owned(), format!("tcp:{address}")]);
        let mut child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"])
            .arg(&folder)
            .arg("-f")
            .arg(root().join("tests/kamailio/kamailio.cfg"))
            .args(["-A", &format!("MEDIA=\"udp:{media}\"")])
            .args(["-A", &format!("CALLEE=\"sip:{callee}\"")])
            .args(define.into_iter().flatten())
            .args(["-l", &format!("udp:{address}")])
            .args(tcp.into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kamailio can be started");
        let log = Arc::default();
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let kamailio = Self { address, child, folder, log };
        kamailio.wait();
        kamailio
    }

    /// Waits until it answers.
    fn wait(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let own = socket.local_addr().expect("it is bound");
        let proxy = self.address;
        let options = format!(
            "OPTIONS sip:{proxy} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKup\r\n\
             From: <sip:test@{own}>;tag=1\r\nTo: <sip:{proxy}>\r\nCall-ID: up@{own}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n"
        );
        let deadline = Instant::now() + PATIENCE;
        loop {
            let _ = socket.send_to(options.as_bytes(), proxy);
            if receive(&socket, LOOK).is_some() {
                return;
            }
            assert!(Instant::now() < deadline, "the proxy does not start: {}", self.log());
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children end with it if it may end them.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
        if thread::panicking() {
            eprintln!("--- the proxy's log\n{}---", self.log());
        }
    }
}

/// A new folder for a program.
pub(crate) fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("causeway-{name}-{}-{count}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room for a folder");
    folder
}
