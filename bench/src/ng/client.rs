//! A client that asks and waits: for the calls with media, which are few and must come up.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use causeway_control::ng::{Dictionary, Value, bencode, frame};

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a reply, most.
const REPLY_MAX: usize = 64 * 1024;

/// Why the server did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NgError {
    /// There is no reply.
    #[error("no reply to `{0}` from {1} within {PATIENCE:?}")]
    Silent(&'static str, SocketAddr),
    /// The reply is no success.
    #[error("the server refused `{0}`: {1}")]
    Refused(&'static str, String),
    /// The reply's description is of no use.
    #[error("the server's description says not where media goes, or has no key: {0}")]
    Description(String),
    /// The kernel refused something, or nobody is there.
    #[error("the server at {0} cannot be asked: {1}")]
    Io(SocketAddr, io::Error),
}

/// A client of one server.
pub struct NgClient {
    server: SocketAddr,
    socket: UdpSocket,
    /// Sets its cookies and calls apart from those of earlier runs, whose replies the server may remember.
    run: String,
    asked: u64,
}

impl NgClient {
    /// A client at this address of this host.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(server: SocketAddr, run: &str) -> Result<Self, NgError> {
        let bound = connect(server).map_err(|error| NgError::Io(server, error))?;
        Ok(Self { server, socket: bound, run: run.to_owned(), asked: 0 })
    }

    /// Whether the server answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn ping(&mut self) -> Result<(), NgError> {
        self.ask("ping", Dictionary::new()).map(drop)
    }

    /// The description that comes back for this offer, whose profile is to be `transport`.
    ///
    /// # Errors
    /// [`NgError`]
    pub fn offer(&mut self, call: &str, sdp: &str, transport: &str) -> Result<String, NgError> {
        self.described("offer", offer(call, sdp, transport))
    }

    /// The description that comes back for this answer.
    ///
    /// # Errors
    /// [`NgError`]
    pub fn answer(&mut self, call: &str, sdp: &str) -> Result<String, NgError> {
        self.described("answer", answer(call, sdp))
    }

    /// Ends a call.
    ///
    /// # Errors
    /// [`NgError`]
    pub fn delete(&mut self, call: &str) -> Result<(), NgError> {
        self.ask("delete", delete(call)).map(drop)
    }

    fn described(&mut self, command: &'static str, asked: Dictionary) -> Result<String, NgError> {
        let reply = self.ask(command, asked)?;
        Ok(text(&reply, "sdp"))
    }

    fn ask(&mut self, command: &'static str, asked: Dictionary) -> Result<Dictionary, NgError> {
        self.asked += 1;
        let cookie = format!("{}_c{}", self.run, self.asked);
        let io = |error| NgError::Io(self.server, error);
        self.socket.send(&datagram(&cookie, command, asked)).map_err(io)?;
        let (deadline, mut buffer) = (Instant::now() + PATIENCE, vec![0; REPLY_MAX]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NgError::Silent(command, self.server));
            }
            self.socket.set_read_timeout(Some(left)).map_err(io)?;
            let len = match self.socket.recv(&mut buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(io(error)),
            };
            let Some(reply) = read(&cookie, &buffer[..len]) else { continue };
            return match text(&reply, "result").as_str() {
                "ok" | "pong" => Ok(reply),
                _ => Err(NgError::Refused(command, reason(&reply))),
            };
        }
    }
}

/// A socket that is connected to the server.
///
/// # Errors
/// The kernel's.
pub fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
    socket.connect(server)?;
    Ok(socket)
}

/// What a proxy asks with the INVITE.
pub fn offer(call: &str, sdp: &str, transport: &str) -> Dictionary {
    common(call).with("sdp", sdp).with("transport-protocol", transport)
}

/// What it asks with the 200.
pub fn answer(call: &str, sdp: &str) -> Dictionary {
    common(call).with("to-tag", "b").with("sdp", sdp)
}

/// What it asks with the BYE; ports are free at once, since nothing is on its way any more.
pub fn delete(call: &str) -> Dictionary {
    Dictionary::new().with("call-id", call).with("from-tag", "a").with("delete-delay", 0_i64)
}

fn common(call: &str) -> Dictionary {
    let list = |words: &[&str]| words.iter().map(|word| Value::from(*word)).collect::<Vec<_>>();
    Dictionary::new()
        .with("supports", list(&["load limit"]))
        .with("call-id", call)
        .with("from-tag", "a")
        .with("replace", list(&["origin"]))
}

/// A request as it goes out.
pub fn datagram(cookie: &str, command: &str, asked: Dictionary) -> Vec<u8> {
    let document = bencode::encode(&Value::Dictionary(asked.with("command", command)));
    [cookie.as_bytes(), b" ", &document].concat()
}

/// What stands behind this cookie.
fn read(cookie: &str, datagram: &[u8]) -> Option<Dictionary> {
    let document = datagram.strip_prefix(cookie.as_bytes())?.strip_prefix(b" ")?;
    frame::read(document).1.ok()
}

/// A text of a reply; empty if there is none.
pub fn text(reply: &Dictionary, key: &str) -> String {
    reply.lookup(key).and_then(Value::text).unwrap_or_default().into_owned()
}

/// Why a reply is no success.
pub fn reason(reply: &Dictionary) -> String {
    let reasons = ["error-reason", "message"].map(|key| text(reply, key));
    reasons.into_iter().find(|text| !text.is_empty()).unwrap_or_else(|| text(reply, "result"))
}
