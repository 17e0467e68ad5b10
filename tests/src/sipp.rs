//! SIPp, which plays one side of a call as a scenario has it; its media is the test's own.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::kamailio::folder;
use crate::media::media_of;
use crate::root;
use crate::rtpengine::free_udp;

/// Longest wait for a message, or for the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A running SIPp; ended when dropped. If the test fails, the messages that it saw are shown.
pub struct Sipp {
    /// Where it takes SIP.
    pub address: SocketAddr,
    call_id: String,
    child: Child,
    folder: PathBuf,
}

impl Sipp {
    /// Plays a scenario of `kamailio/` for one call: its media is at this port, its requests go to
    /// `proxy`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(scenario: &str, proxy: SocketAddr, media: u16) -> Self {
        let (address, folder) = (free_udp(), folder("sipp"));
        let call_id = format!("{}-{}", address.port(), std::process::id());
        let child = Command::new("sipp")
            .arg(proxy.to_string())
            .arg("-sf")
            .arg(root().join("tests/kamailio").join(scenario))
            .args(["-i", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-m", "1", "-nostdin", "-timeout", "120s", "-timeout_error"])
            .args(["-cid_str", &call_id, "-key", "audio_port", &media.to_string()])
            .args(["-trace_msg", "-message_file", "messages", "-message_overwrite", "true"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp can be started");
        Self { address, call_id, child, folder }
    }

    /// The name of the call that it makes.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Waits until its port is taken.
    pub fn wait_listening(&self) {
        let deadline = Instant::now() + PATIENCE;
        while UdpSocket::bind(self.address).is_ok() {
            assert!(Instant::now() < deadline, "SIPp does not start");
            thread::sleep(LOOK);
        }
    }

    /// Waits for a description that came to it; says what media address that has.
    #[track_caller]
    pub fn media(&self) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(address) =
                self.received().find(|text| text.contains("\nm=audio ")).map(|text| media_of(&text))
            {
                return address;
            }
            assert!(Instant::now() < deadline, "no description came: {}", self.messages());
            thread::sleep(LOOK);
        }
    }

    /// Lets a caller hang up: its scenario waits for an INFO.
    pub fn hang_up(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let (own, to) = (socket.local_addr().expect("it is bound"), self.address);
        let info = format!(
            "INFO sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKinfo\r\n\
             From: <sip:test@{own}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {}\r\n\
             CSeq: 9 INFO\r\nContent-Length: 0\r\n\r\n",
            self.call_id
        );
        socket.send_to(info.as_bytes(), to).expect("it is sent");
    }

    /// Waits for the end of the scenario.
    ///
    /// # Panics
    /// If not all went as the scenario has it.
    #[track_caller]
    pub fn finish(mut self) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(Instant::now() < deadline, "the scenario does not end");
            thread::sleep(LOOK);
        };
        assert!(status.success(), "SIPp ended with {status}");
    }

    fn messages(&self) -> String {
        fs::read_to_string(self.folder.join("messages")).unwrap_or_default()
    }

    /// The messages that came to it, each with what SIPp says before it.
    fn received(&self) -> impl Iterator<Item = String> {
        let messages = self.messages();
        let parts: Vec<_> = messages.split("\n-----").map(str::to_owned).collect();
        parts.into_iter().filter(|part| part.contains("message received"))
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- SIPp's messages\n{}---", self.messages());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
