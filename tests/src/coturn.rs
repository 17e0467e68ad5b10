//! coturn: its tools as clients of a TURN server, and the server that they were made for, against
//! which the tests prove themselves. Every run has a limit.

use std::fs;
use std::io::{BufRead, BufReader, pipe};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::kamailio::folder;
use crate::node::keep;
use crate::phone::receive;
use crate::rtpengine::free_udp;

/// Longest wait for a server to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Wait for an answer, after which it is asked again.
const LOOK: Duration = Duration::from_millis(100);
/// Longest run of a tool; most take some seconds.
const RUN: Duration = Duration::from_secs(60);
/// Relayed ports of each server; tests run side by side, so that each has its own.
const PORTS: u16 = 1_000;
/// The first of them.
const FIRST: u16 = 10_000;

/// A TURN server, and who may use it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it takes STUN and TURN over UDP.
    pub udp: SocketAddr,
    /// Where it takes them over TCP.
    pub tcp: SocketAddr,
    /// Where it takes them over TLS.
    pub tls: SocketAddr,
    /// Its realm.
    pub realm: String,
    /// What time-limited credentials are made from.
    pub secret: String,
    /// Somebody who may use it at any time.
    pub user: String,
    /// That one's password.
    pub password: String,
}

/// What carries TURN between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream in TLS.
    Tls,
}

impl Road {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// `udp`, `tcp` or `tls`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// As whom a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// With a credential that it makes from the secret and the time.
    TimeLimited,
    /// With a user's password.
    User,
}

impl Server {
    /// Where it is on that road.
    pub fn on(&self, road: Road) -> SocketAddr {
        match road {
            Road::Udp => self.udp,
            Road::Tcp => self.tcp,
            Road::Tls => self.tls,
        }
    }

    /// Runs `turnutils_uclient` with these further arguments, which stand in its manual.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn uclient(&self, road: Road, who: Who, arguments: &[&str]) -> Exchange {
        self.uclient_within(RUN, road, who, arguments)
    }

    /// The same with a limit of its own.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn uclient_within(
        &self,
        limit: Duration,
        road: Road,
        who: Who,
        arguments: &[&str],
    ) -> Exchange {
        let mut command = Command::new("turnutils_uclient");
        match road {
            Road::Udp => &mut command,
            Road::Tcp => command.arg("-t"),
            Road::Tls => command.args(["-t", "-S"]),
        };
        match who {
            Who::TimeLimited => command.args(["-u", &self.user, "-W", &self.secret]),
            Who::User => command.args(["-u", &self.user, "-w", &self.password]),
        };
        let server = self.on(road);
        command.args(["-v", "-p", &server.port().to_string()]).args(arguments);
        Exchange::new(run(command.arg(server.ip().to_string()), limit))
    }

    /// The address that `turnutils_stunclient` has as the server sees it.
    ///
    /// # Errors
    /// What the tool says if it hears of none.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn stunclient(&self) -> Result<SocketAddr, String> {
        let mut command = Command::new("turnutils_stunclient");
        command.args(["-p", &self.udp.port().to_string()]).arg(self.udp.ip().to_string());
        let done = run(&mut command, RUN);
        let found = after(&done.words, "UDP reflexive addr: ").next().and_then(address);
        found.ok_or(done.words)
    }
}

/// What a run of `turnutils_uclient` came to.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Whether it ended by itself and well.
    pub ok: bool,
    /// Messages that went out, of all clients.
    pub sent: u64,
    /// Those that came back.
    pub received: u64,
    /// Mean time between both, in milliseconds.
    pub rtt: f64,
    /// The relayed addresses, as they were allocated.
    pub relayed: Vec<SocketAddr>,
    /// What it said.
    pub words: String,
}

impl Exchange {
    fn new(done: Done) -> Self {
        let words = done.words;
        let last = |prefix: &str| after(&words, prefix).last();
        let count = |prefix: &str| last(prefix).and_then(number).unwrap_or(0);
        Self {
            ok: done.status.is_some_and(|status| status.success()),
            sent: count("tot_send_msgs="),
            received: count("tot_recv_msgs=").max(read(&words)),
            rtt: last("Average round trip delay ").and_then(number).unwrap_or(f64::NAN),
            relayed: after(&words, "Received relay addr: ").filter_map(address).collect(),
            words,
        }
    }

    /// What it says so many times.
    pub fn says(&self, words: &str) -> usize {
        self.words.matches(words).count()
    }

    /// That it ended well, and that of `messages` that went out every one came back.
    #[track_caller]
    pub fn is_whole(&self, messages: u64) {
        let found = (self.ok, self.sent, self.received);
        assert_eq!(found, (true, messages, messages), "{}", self.words);
    }
}

/// `turnutils_peer`, which sends every datagram back; ended when dropped.
pub struct Echo {
    /// Where it does.
    pub address: SocketAddr,
    child: Child,
}

impl Echo {
    /// Starts one on that address of loopback.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(ip: IpAddr) -> Self {
        let address = SocketAddr::new(ip, free_udp().port());
        let child = Command::new("turnutils_peer")
            .args(["-L", &ip.to_string(), "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("turnutils_peer can be started");
        let echo = Self { address, child };
        let socket = UdpSocket::bind((ip, 0)).expect("a port is free");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let _ = socket.send_to(b"there?", address);
            if receive(&socket, LOOK).is_some() {
                return echo;
            }
            assert!(Instant::now() < deadline, "turnutils_peer does not start");
        }
    }

    /// `-e` and `-r` of `turnutils_uclient`.
    pub fn arguments(&self) -> [String; 4] {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        ["-e".into(), ip, "-r".into(), port]
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// `turnserver` on loopback, with IPv4 and IPv6; ended when dropped. If the test fails, what it logged
/// is shown.
pub struct Turnserver {
    /// What a client needs to know of it.
    pub server: Server,
    child: Child,
    folder: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Turnserver {
    /// Starts one that knows its clients by one of the ways: it has not both.
    ///
    /// # Panics
    /// If it does not start, or `openssl` makes it no certificate.
    pub fn start(who: Who) -> Self {
        static STARTED: AtomicU16 = AtomicU16::new(0);
        let low = FIRST + PORTS * (STARTED.fetch_add(1, Ordering::Relaxed) % 10);
        let folder = folder("turnserver");
        let server = Server {
            udp: free_udp(),
            tcp: free_udp(),
            tls: free_udp(),
            realm: "causeway.test".into(),
            secret: "sesame".into(),
            user: "fred".into(),
            password: "open".into(),
        };
        // It takes TCP where it takes UDP, and TLS where it takes DTLS.
        let server = Server { tcp: server.udp, ..server };
        let [certificate, key] = certificate(&folder);
        let known = match who {
            Who::TimeLimited => {
                vec!["--use-auth-secret".into(), format!("--static-auth-secret={}", server.secret)]
            }
            Who::User => {
                let user = format!("--user={}:{}", server.user, server.password);
                vec!["--lt-cred-mech".into(), user]
            }
        };
        let mut child = Command::new("turnserver")
            .args(["-n", "-m", "1", "--no-cli", "--log-file=stdout", "--simple-log"])
            .args(["--listening-ip=127.0.0.1", "--listening-ip=::1"])
            .args(["--relay-ip=127.0.0.1", "--relay-ip=::1"])
            .args([format!("--min-port={low}"), format!("--max-port={}", low + PORTS - 1)])
            .arg(format!("--listening-port={}", server.udp.port()))
            .arg(format!("--tls-listening-port={}", server.tls.port()))
            .arg(format!("--realm={}", server.realm))
            .args(["--allow-loopback-peers", "--mobility"])
            .args(known)
            .args([format!("--cert={certificate}"), format!("--pkey={key}")])
            .arg(format!("--pidfile={}", folder.join("pid").display()))
            .arg(format!("--userdb={}", folder.join("users").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("turnserver can be started");
        let log = Arc::default();
        keep(child.stdout.take().expect("piped"), Arc::clone(&log));
        let turnserver = Self { server, child, folder, log };
        turnserver.wait();
        turnserver
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.server.tls).is_err() {
            assert!(Instant::now() < deadline, "turnserver does not start: {}", self.log());
            thread::sleep(LOOK);
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Turnserver {
    fn drop(&mut self) {
        end(&mut self.child);
        let _ = fs::remove_dir_all(&self.folder);
        if thread::panicking() {
            eprintln!("--- turnserver's log\n{}---", self.log());
        }
    }
}

fn certificate(folder: &Path) -> [String; 2] {
    let [certificate, key] =
        ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
    let done = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=causeway.test"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    [certificate, key]
}

/// How a tool ended, if it did within the limit, and what it said.
struct Done {
    status: Option<ExitStatus>,
    words: String,
}

/// Runs a tool; ends it at the limit.
fn run(command: &mut Command, limit: Duration) -> Done {
    let (reader, writer) = pipe().expect("a pipe can be made");
    let both = writer.try_clone().expect("a pipe's end can be doubled");
    let child = command.stdin(Stdio::null()).stdout(writer).stderr(both).spawn();
    // The command keeps its ends of the pipe until it gets others.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.expect("the tool can be started");
    let (sender, lines) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    let (deadline, mut words) = (Instant::now() + limit, String::new());
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => words.extend([&line, "\n"]),
            Err(RecvTimeoutError::Disconnected) => {
                return Done { status: child.wait().ok(), words };
            }
            Err(RecvTimeoutError::Timeout) => {
                end(&mut child);
                return Done { status: None, words: words + "it was ended at the limit\n" };
            }
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The messages of a stream in TLS by their size: of those that one read gives the tool counts the
/// first only.
fn read(words: &str) -> u64 {
    let sizes: Vec<u64> = after(words, "response received: size=").filter_map(number).collect();
    let often = |size: u64| sizes.iter().filter(|other| **other == size).count();
    let Some(one) = sizes.iter().copied().max_by_key(|size| often(*size)) else { return 0 };
    sizes.iter().filter(|size| *size % one == 0).map(|size| size / one).sum()
}

/// What follows each of these words, to the end of its line.
fn after<'a>(words: &'a str, prefix: &str) -> impl Iterator<Item = &'a str> {
    words.lines().filter_map(move |line| Some(line.split_once(prefix)?.1))
}

/// The number that comes first.
fn number<T: FromStr>(words: &str) -> Option<T> {
    let end = words.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(words.len());
    words[..end].parse().ok()
}

/// The tools write an IPv6 address without brackets.
fn address(words: &str) -> Option<SocketAddr> {
    let (ip, port) = words.trim().rsplit_once(':')?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_understood() {
        let words = "0: : IPv4. Received relay addr: 127.0.0.1:29824\n\
            0: : IPv6. Received relay addr: ::1:27818\n\
            4: : start_mclient: msz=2, tot_send_msgs=20, tot_recv_msgs=19, tot_send_bytes ~ 3440\n\
            4: : start_mclient: tot_send_msgs=40, tot_recv_msgs=38\n\
            4: : Average round trip delay 1.950000 ms; min = 0 ms, max = 20 ms\n";
        let found = Exchange::new(Done { status: None, words: words.into() });
        let addresses =
            ["127.0.0.1:29824", "[::1]:27818"].map(|text| text.parse().expect("an address"));
        assert_eq!(found.relayed, addresses);
        assert_eq!((found.sent, found.received), (40, 38));
        assert!(!found.ok && (found.rtt - 1.95).abs() < 1e-9);
    }

    #[test]
    fn messages_that_one_read_gives_are_all_counted() {
        let sizes = [76, 108, 176, 176, 352, 176, 704];
        let reads = sizes.map(|size| format!("4: : response received: size={size}\n")).concat();
        let words = format!("{reads}4: : start_mclient: tot_send_msgs=9, tot_recv_msgs=5\n");
        assert_eq!(Exchange::new(Done { status: None, words }).received, 9);
    }
}
