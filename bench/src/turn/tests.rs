//! Whole runs against a server that relays for whoever asks, and loses what it is told to.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_engine::stun::{
    Class, IntegrityKey, Message, Writer, attribute, attributes, is_framed, unxor,
};
use md5::{Digest, Md5};

use super::frame::{CHANNEL, XOR_PEER_ADDRESS};
use super::plan::{Direction, Mode, Plan, Target, Transport};
use super::{allocations, traffic};
use crate::report::Verdict;

const REALM: &[u8] = b"fake";
const ALLOCATE: u16 = 3;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const WAIT: Duration = Duration::from_millis(1);

/// Relays by channels over UDP.
struct Fake {
    front: UdpSocket,
    /// Each client's relay and the peer of its channel.
    clients: HashMap<SocketAddr, (UdpSocket, Option<SocketAddr>)>,
    /// Every so many packets one is lost.
    loses: Option<u64>,
    relayed: u64,
}

impl Fake {
    fn start(loses: Option<u64>) -> (Target, Arc<AtomicBool>, JoinHandle<()>) {
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        front.set_read_timeout(Some(WAIT)).unwrap();
        let target = Target { address: front.local_addr().unwrap(), pid: None, api: None };
        let (stop, mut fake) = (
            Arc::new(AtomicBool::new(false)),
            Self { front, clients: HashMap::new(), loses, relayed: 0 },
        );
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                fake.turn();
            }
        });
        (target, stop, thread)
    }

    fn turn(&mut self) {
        let mut bytes = [0; 2000];
        while let Ok((len, from)) = self.front.recv_from(&mut bytes) {
            if is_framed(&bytes[..len]) {
                let answer = self.answer(from, &bytes[..len]);
                self.front.send_to(&answer, from).unwrap();
            } else if self.keeps()
                && let Some((relay, Some(peer))) = self.clients.get(&from)
            {
                relay.send_to(&bytes[4..len], peer).unwrap();
            }
        }
        for (client, (relay, _)) in &self.clients {
            while let Ok(len) = relay.recv(&mut bytes[4..]) {
                bytes[..2].copy_from_slice(&CHANNEL.to_be_bytes());
                bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                self.front.send_to(&bytes[..4 + len], client).unwrap();
            }
        }
    }

    fn keeps(&mut self) -> bool {
        self.relayed += 1;
        self.loses.is_none_or(|every| !self.relayed.is_multiple_of(every))
    }

    fn answer(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        let request = Message::parse(bytes).unwrap();
        let key = IntegrityKey::from_secret(&Md5::digest(b"u:fake:p"));
        let knows = request.verify_integrity(&key);
        let class = if knows { Class::Success } else { Class::Error };
        let mut out = [0; 500];
        let mut writer =
            Writer::begin(&mut out, class, request.method, request.transaction).unwrap();
        if !knows {
            writer.error(401, "").unwrap();
            writer.attribute(attribute::REALM, &[REALM]).unwrap();
            writer.attribute(attribute::NONCE, &[b"n"]).unwrap();
        } else if request.method == ALLOCATE {
            let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
            relay.set_nonblocking(true).unwrap();
            writer.xor_address(XOR_RELAYED_ADDRESS, relay.local_addr().unwrap()).unwrap();
            self.clients.insert(from, (relay, None));
        } else if let Some(peer) =
            attributes(bytes).flatten().find(|attribute| attribute.kind == XOR_PEER_ADDRESS)
        {
            let client = self.clients.get_mut(&from).unwrap();
            client.1 = unxor(peer.value, request.transaction);
        }
        let len = writer.finish(knows.then_some(&key)).unwrap();
        out[..len].to_vec()
    }
}

pub(super) fn plan(direction: Direction) -> Plan {
    Plan {
        transport: Transport::Udp,
        mode: Mode::Channel,
        direction,
        clients: 10,
        rate: 1000.0,
        tick: Duration::from_millis(1),
        size: 100,
        duration: Duration::from_millis(500),
        bind: "127.0.0.1".parse().unwrap(),
        sources: 3,
        core: None,
        allow_loss: 0.0,
        login: Arc::new("u:p".parse().unwrap()),
    }
}

#[test]
fn everything_that_is_relayed_is_seen_both_ways() {
    let (target, stop, thread) = Fake::start(None);
    let report = traffic::run(&plan(Direction::Both), target, &AtomicBool::new(false)).unwrap();
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    let total = report.ways["total"];
    assert_eq!((report.ready, total.lost, report.faults.corrupt), (10, 0, 0));
    assert!(total.sent > 0 && total.received == total.sent);
    assert!(report.ways["to the peer"].sent > 0 && report.ways["from the peer"].sent > 0);
    assert!(matches!(report.verdict, Verdict::Clean | Verdict::Inconclusive));
}

#[test]
fn what_a_server_loses_is_counted() {
    let (target, stop, thread) = Fake::start(Some(10));
    let report = traffic::run(&plan(Direction::ToPeer), target, &AtomicBool::new(false)).unwrap();
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    let total = report.ways["total"];
    assert!(total.lost > 0 && total.lost <= total.sent.div_ceil(10), "{total:?}");
    assert!(matches!(report.verdict, Verdict::Lossy | Verdict::Inconclusive));
}

#[test]
fn allocations_are_counted_and_given_back() {
    let (target, stop, thread) = Fake::start(None);
    let report =
        allocations::run(&plan(Direction::ToPeer), target, 4, &AtomicBool::new(false)).unwrap();
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert_eq!((report.made, report.tale.failed), (10, 0));
    assert_eq!((report.verdict, report.each), (Verdict::Clean, None));
}

#[test]
fn a_server_that_refuses_a_login_fails_the_run_and_says_why() {
    let (target, stop, thread) = Fake::start(None);
    let wrong = Plan { login: Arc::new("u:wrong".parse().unwrap()), ..plan(Direction::ToPeer) };
    let error = traffic::run(&wrong, target, &AtomicBool::new(false)).unwrap_err();
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert!(error.to_string().contains("401"), "{error}");
}
