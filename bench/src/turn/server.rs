//! A server that is started for one round: coturn or causeway, configured alike.
//!
//! Both get one core, one thread that relays, long-term credentials, a range of ports for relays, and leave to relay
//! to loopback.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use causeway_engine::stun::{BINDING, Class, TransactionId, Writer, is_framed};
use serde::Serialize;
use tempfile::TempDir;

use super::plan::{Plan, Target, Transport};
use crate::node::stop;

/// Realm of the servers.
const REALM: &str = "t.test";
/// The first port of relays; the last lies below those that the kernel gives to clients.
const RELAYS: u16 = 10_000;
const RELAYS_MAX: usize = 22_000;
/// Ports that there are at least; else twice as many as clients.
const RELAYS_MIN: usize = 1000;
/// What a causeway takes beyond the clients of the run.
const SPARE: usize = 64;
/// Longest wait for the server to answer.
const START: Duration = Duration::from_secs(20);
/// Time between two looks at whether it does.
const LOOK: Duration = Duration::from_millis(50);
/// Tries to find ports that are free for TCP and UDP.
const PORT_TRIES: usize = 100;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Make {
    /// coturn's `turnserver`.
    Coturn,
    /// causeway.
    Causeway,
}

/// A running server; stopped when dropped.
pub struct Server {
    child: Child,
    /// Where it takes what the transport brings, and its process.
    pub target: Target,
    /// What it reads.
    _folder: TempDir,
}

impl Make {
    fn command_line(self, ports: [u16; 2], folder: &Path, plan: &Plan) -> io::Result<Vec<String>> {
        match self {
            Self::Coturn => coturn(ports, folder, plan),
            Self::Causeway => causeway(ports, folder, plan),
        }
    }

    /// coturn complains of each protocol that the kernel does not have.
    fn complaints(self) -> Stdio {
        match self {
            Self::Coturn => Stdio::null(),
            Self::Causeway => Stdio::inherit(),
        }
    }

    /// Where it takes what the transport brings. A causeway takes all on one port.
    fn port(self, transport: Transport, [first, second]: [u16; 2]) -> u16 {
        match (self, transport) {
            (Self::Coturn, Transport::Udp | Transport::Tcp) => first,
            (Self::Coturn, Transport::Tls) | (Self::Causeway, _) => second,
        }
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coturn => "coturn",
            Self::Causeway => "causeway",
        })
    }
}

impl Server {
    /// Starts `program` on `core` and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(make: Make, program: &Path, core: usize, plan: &Plan) -> io::Result<Self> {
        let (folder, ports) = (tempfile::tempdir()?, [free_port()?, free_port()?]);
        let arguments = make.command_line(ports, folder.path(), plan)?;
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .current_dir(folder.path())
            .env("CAUSEWAY_LOG_LEVEL", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(make.complaints())
            // Ctrl-C at the terminal is for us.
            .process_group(0)
            .spawn()?;
        let address = SocketAddr::new(LOOPBACK, make.port(plan.transport, ports));
        let target = Target { address, pid: Some(child.id()) };
        let mut server = Self { child, target, _folder: folder };
        server.wait(plan.transport)?;
        Ok(server)
    }

    fn wait(&mut self, transport: Transport) -> io::Result<()> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended: {status}")));
            }
            if answers(transport, self.target.address)? {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(ErrorKind::TimedOut.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// `-n` reads no configuration file; `-m 1` is one thread that relays.
fn coturn(ports: [u16; 2], folder: &Path, plan: &Plan) -> io::Result<Vec<String>> {
    let [certificate, key] = certificate(folder)?;
    let ([plain, tls], [first, last], login) = (ports, relays(plan.clients), &plan.login);
    let mut all = vec![
        "-n".to_owned(),
        format!("--listening-ip={LOOPBACK}"),
        format!("--listening-port={plain}"),
        format!("--tls-listening-port={tls}"),
        format!("--relay-ip={LOOPBACK}"),
        format!("--min-port={first}"),
        format!("--max-port={last}"),
        format!("--user={}:{}", login.user, *login.password),
        format!("--realm={REALM}"),
        format!("--cert={}", certificate.display()),
        format!("--pkey={}", key.display()),
        format!("--pidfile={}", folder.join("pid").display()),
    ];
    let flags = ["--lt-cred-mech", "--allow-loopback-peers", "--no-cli", "--simple-log"];
    all.extend(flags.map(str::to_owned));
    all.extend(["--log-file=stdout", "-m", "1"].map(str::to_owned));
    Ok(all)
}

/// Descriptors are counted before it starts, so it gets what the run needs and little more.
fn causeway(ports: [u16; 2], folder: &Path, plan: &Plan) -> io::Result<Vec<String>> {
    let ([media, edge], [first, last], login) = (ports, relays(plan.clients), &plan.login);
    let most = plan.clients + SPARE;
    let streams = if plan.transport.is_stream() { most } else { SPARE };
    let text = format!(
        "[http]\nlisten = \"{LOOPBACK}:0\"\n\
         [public]\nlisten = \"{LOOPBACK}:0\"\n\
         [edge]\nlisten = \"{LOOPBACK}:{edge}\"\nstreams = {streams}\nstreams_per_address = {streams}\n\
         [turn]\nrealm = \"{REALM}\"\nusers = {{ {:?} = {:?} }}\nallow_loopback_peers = true\n\
         allocations = {most}\nuser_allocations = {most}\n\
         [[interface]]\nname = \"pub\"\nbind = \"{LOOPBACK}\"\nports = \"{first}-{last}\"\nmux_port = {media}\n",
        login.user, *login.password,
    );
    let file = folder.join("causeway.toml");
    fs::write(&file, text)?;
    Ok(["run", "--config", &file.display().to_string(), "--workers", "1"].map(str::to_owned).into())
}

/// The first and the last port of relays for so many clients.
fn relays(clients: usize) -> [u16; 2] {
    let count = (2 * clients).clamp(RELAYS_MIN, RELAYS_MAX);
    [RELAYS, RELAYS + count as u16 - 1]
}

/// A certificate that signs itself, and its key.
fn certificate(folder: &Path) -> io::Result<[PathBuf; 2]> {
    let made = rcgen::generate_simple_self_signed([REALM.to_owned()]).map_err(io::Error::other)?;
    let files = [folder.join("certificate.pem"), folder.join("key.pem")];
    fs::write(&files[0], made.cert.pem())?;
    fs::write(&files[1], made.signing_key.serialize_pem())?;
    Ok(files)
}

/// Whether somebody answers there: Binding over UDP, else a connection.
fn answers(transport: Transport, server: SocketAddr) -> io::Result<bool> {
    if transport.is_stream() {
        return Ok(TcpStream::connect_timeout(&server, LOOK).is_ok());
    }
    let socket = UdpSocket::bind((LOOPBACK, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    let mut out = [0; 64];
    let writer = Writer::begin(&mut out, Class::Request, BINDING, TransactionId::default());
    let len = writer.and_then(|writer| writer.finish(None)).unwrap_or(0);
    if socket.send_to(&out[..len], server).is_err() {
        return Ok(false);
    }
    let mut reply = [0; 500];
    Ok(socket.recv(&mut reply).is_ok_and(|len| is_framed(&reply[..len])))
}

/// A port of loopback that is free for TCP and UDP.
fn free_port() -> io::Result<u16> {
    for _ in 0..PORT_TRIES {
        let tcp = std::net::TcpListener::bind((LOOPBACK, 0))?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind((LOOPBACK, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::super::plan::Direction;
    use super::*;

    #[test]
    fn there_are_ports_for_all_clients_below_those_of_the_kernel() {
        for clients in [1, 5000, 16_000] {
            let [first, last] = relays(clients);
            assert!(usize::from(last - first) + 1 >= clients && last < 32_768);
        }
    }

    #[test]
    fn each_transport_has_its_port() {
        let ports = [1, 2];
        let of = |make: Make| {
            [Transport::Udp, Transport::Tcp, Transport::Tls].map(|kind| make.port(kind, ports))
        };
        assert_eq!(of(Make::Coturn), [1, 1, 2]);
        assert_eq!(of(Make::Causeway), [2, 2, 2]);
    }

    #[test]
    fn coturn_is_told_who_may_come_and_reads_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let line = coturn([1, 2], folder.path(), &crate::turn::tests::plan(Direction::Both));
        let line = line.unwrap().join(" ");
        assert!(line.contains("--user=u:p") && line.contains("-m 1"));
        let pem = fs::read_to_string(folder.path().join("key.pem")).unwrap();
        assert!(pem.contains("PRIVATE KEY"));
    }

    #[test]
    fn whether_somebody_answers_is_known() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!answers(Transport::Udp, silent.local_addr().unwrap()).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(answers(Transport::Tls, listener.local_addr().unwrap()).unwrap());
    }
}
