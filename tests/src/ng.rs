//! A client of the `ng` control protocol over UDP, as a SIP proxy has one.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use causeway_control::ng::{Dictionary, Format, Value, bencode, frame};

use crate::phone::receive;

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wait for a reply to a ping, after which it is sent again.
const PING: Duration = Duration::from_millis(50);

/// Requests of this process: a server answers the same cookie from memory, whoever sends it.
static SENT: AtomicU32 = AtomicU32::new(0);

/// A client of one server.
pub struct Ng {
    socket: UdpSocket,
}

impl Ng {
    /// Of the server at this address.
    ///
    /// # Panics
    /// If there is no socket for it.
    pub fn new(server: SocketAddr) -> Self {
        let any = SocketAddr::new(server.ip(), 0);
        let socket = UdpSocket::bind(any).expect("a port is free");
        socket.connect(server).expect("it has a port");
        Self { socket }
    }

    /// Waits until the server answers; panics if it never does.
    #[track_caller]
    pub fn wait(&self) {
        let ping = Dictionary::new().with("command", "ping");
        let deadline = Instant::now() + PATIENCE;
        while self.try_ask(&ping, PING).is_none() {
            assert!(Instant::now() < deadline, "nobody answers a ping");
        }
    }

    /// Asks and waits for the reply.
    ///
    /// # Panics
    /// If none comes, or no dictionary.
    #[track_caller]
    pub fn ask(&self, request: &Dictionary) -> Reply {
        self.try_ask(request, PATIENCE).unwrap_or_else(|| panic!("no reply to {request:?}"))
    }

    /// Sends whatever as the document, and waits for the reply.
    #[track_caller]
    pub fn ask_raw(&self, document: &[u8], patience: Duration) -> Option<Reply> {
        let cookie = format!("{}_{}", std::process::id(), SENT.fetch_add(1, Ordering::Relaxed));
        let datagram = [cookie.as_bytes(), b" ", document].concat();
        // The port may be closed while the server starts.
        let _ = self.socket.send(&datagram);
        let deadline = Instant::now() + patience;
        loop {
            let reply = receive(&self.socket, deadline.saturating_duration_since(Instant::now()))?;
            // A late one to an earlier question is passed over.
            let rest = reply.strip_prefix(cookie.as_bytes());
            if let Some(document) = rest.and_then(|rest| rest.strip_prefix(b" ")) {
                return Some(Reply::read(document));
            }
        }
    }

    fn try_ask(&self, request: &Dictionary, patience: Duration) -> Option<Reply> {
        self.ask_raw(&bencode::encode(&Value::Dictionary(request.clone())), patience)
    }
}

/// What a server replied.
#[derive(Debug, Clone)]
pub struct Reply {
    /// How it is written.
    pub format: Format,
    members: Dictionary,
}

impl Reply {
    #[track_caller]
    fn read(document: &[u8]) -> Self {
        match frame::read(document) {
            (format, Ok(members)) => Self { format, members },
            (_, Err(error)) => panic!("{error}: {}", String::from_utf8_lossy(document)),
        }
    }

    /// A text of it; empty if there is none.
    pub fn text(&self, key: &str) -> String {
        self.lookup(key).and_then(Value::text).unwrap_or_default().into_owned()
    }

    /// Its description, once it is a success.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn sdp(&self) -> String {
        assert_eq!(self.text("result"), "ok", "{}", self.members().join("\n"));
        self.text("sdp")
    }

    /// All but the description, one `path = value` a line, sorted.
    pub fn members(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, value) in self.iter().filter(|(key, _)| *key != b"sdp") {
            flatten(&String::from_utf8_lossy(key), value, &mut lines);
        }
        lines.sort();
        lines
    }

    /// The lines of the description.
    pub fn description(&self) -> Vec<String> {
        let line = |line: &str| match line.strip_suffix('\r') {
            Some(line) => line.to_owned(),
            None => format!("{line} (without a carriage return)"),
        };
        self.text("sdp").split_terminator('\n').map(line).collect()
    }
}

impl Deref for Reply {
    type Target = Dictionary;

    fn deref(&self) -> &Dictionary {
        &self.members
    }
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Text(text) => lines.push(format!("{path} = {}", String::from_utf8_lossy(text))),
        Value::Integer(number) => lines.push(format!("{path} = {number}")),
        Value::List(values) => {
            if values.is_empty() {
                lines.push(format!("{path} = []"));
            }
            for (index, value) in values.iter().enumerate() {
                flatten(&format!("{path}/{index}"), value, lines);
            }
        }
        Value::Dictionary(dictionary) => {
            let mut empty = true;
            for (key, value) in dictionary.iter() {
                empty = false;
                let mut path = path.to_owned();
                let _ = write!(path, "/{}", String::from_utf8_lossy(key));
                flatten(&path, value, lines);
            }
            if empty {
                lines.push(format!("{path} = {{}}"));
            }
        }
    }
}
