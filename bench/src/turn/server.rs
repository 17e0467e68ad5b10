//! A server that is started for one round: coturn or causeway, configured alike.
//!
//! Both get one core, one thread that relays, long-term credentials, a range of ports for relays, and leave to relay
//! to loopback.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use causeway_engine::stun::{BINDING, Class, TransactionId, Writer, is_framed};

use super::plan::{Plan, Target, Transport};
use crate::contestant::Contestant;
use crate::make::Make;
use crate::started::{LOOK, LOOPBACK, Started, free_port};

/// Realm of the servers.
const REALM: &str = "t.test";
/// The first port of relays; the last lies below those that the kernel gives to clients.
const RELAYS: u16 = 10_000;
const RELAYS_MAX: usize = 22_000;
/// Ports that there are at least; else twice as many as clients.
const RELAYS_MIN: usize = 1000;
/// What a causeway takes beyond the clients of the run.
const SPARE: usize = 64;

/// A running server; stopped when dropped.
pub struct Server {
    /// Where it takes what the transport brings, and its process.
    pub target: Target,
    _started: Started,
}

impl Server {
    /// Starts `contestant` on `core` and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(contestant: &Contestant, core: usize, plan: &Plan) -> io::Result<Self> {
        let (make, ports) = (contestant.make, [free_port()?, free_port()?]);
        let http = SocketAddr::new(LOOPBACK, free_port()?);
        let arguments = |folder: &Path| match make {
            Make::Coturn => coturn(ports, folder, plan),
            Make::Causeway => {
                let mut all = causeway(ports, http, folder, plan)?;
                all.extend(contestant.workers(core));
                Ok(all)
            }
            Make::Rtpengine | Make::Floor => Err(io::Error::other("it is no TURN server")),
        };
        let mut started = Started::start(contestant, core, arguments)?;
        let address = SocketAddr::new(LOOPBACK, port(make, plan.transport, ports));
        started.wait(|| answers(plan.transport, address))?;
        let api = (make == Make::Causeway).then_some(http);
        let target = Target { address, pid: Some(started.pid()), api };
        Ok(Self { target, _started: started })
    }
}

/// Where it takes what the transport brings. A causeway takes all on one port.
fn port(make: Make, transport: Transport, [first, second]: [u16; 2]) -> u16 {
    match (make, transport) {
        (Make::Coturn, Transport::Udp | Transport::Tcp) => first,
        _ => second,
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
fn causeway(
    ports: [u16; 2],
    http: SocketAddr,
    folder: &Path,
    plan: &Plan,
) -> io::Result<Vec<String>> {
    let ([media, edge], [first, last], login) = (ports, relays(plan.clients), &plan.login);
    let most = plan.clients + SPARE;
    let streams = if plan.transport.is_stream() { most } else { SPARE };
    let text = format!(
        "[http]\nlisten = \"{http}\"\n\
         [public]\nlisten = \"{LOOPBACK}:0\"\n\
         [edge]\nlisten = \"{LOOPBACK}:{edge}\"\nstreams = {streams}\nstreams_per_address = {streams}\n\
         [turn]\nrealm = \"{REALM}\"\nusers = {{ {:?} = {:?} }}\nallow_loopback_peers = true\n\
         allocations = {most}\nuser_allocations = {most}\n\
         [[interface]]\nname = \"pub\"\nbind = \"{LOOPBACK}\"\nports = \"{first}-{last}\"\nmux_port = {media}\n",
        login.user, *login.password,
    );
    let file = folder.join("causeway.toml");
    fs::write(&file, text)?;
    Ok(["run", "--config", &file.display().to_string()].map(str::to_owned).into())
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
            [Transport::Udp, Transport::Tcp, Transport::Tls].map(|kind| port(make, kind, ports))
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
