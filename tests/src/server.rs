//! A media server that speaks `ng`: causeway, or what it is measured against.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::ng::Ng;
use crate::node::Node;
use crate::rest::Rest;
use crate::rtpengine::{Rtpengine, free_udp};

/// Names the server that the tests of the `ng` protocol are about: `rtpengine` or `causeway`.
const TARGET: &str = "TEST_NG_TARGET";
/// Which it is if nobody says.
const DEFAULT: &str = "causeway";
/// Media ports of each causeway; tests run side by side, so that each has its own.
const PORTS: u16 = 1_000;
/// The first of them, and the first of the ports that WebRTC legs share.
const FIRST: (u16, u16) = (20_000, 40_500);

/// How many causeways were started.
static STARTED: AtomicU16 = AtomicU16::new(0);

/// An address that media comes in on.
#[derive(Debug, Clone, Copy)]
pub struct Interface {
    /// What `direction` calls it.
    pub name: &'static str,
    /// The address.
    pub bind: IpAddr,
}

/// A running server; ended when dropped.
pub enum Server {
    /// The oracle.
    Rtpengine(Rtpengine),
    /// The node, where it takes `ng` requests, and its media ports.
    Causeway(Node, SocketAddr, (u16, u16)),
}

impl Server {
    /// Starts the one that the tests are about.
    ///
    /// # Panics
    /// If it does not start.
    pub fn under_test(interfaces: &[Interface]) -> Self {
        match target().as_str() {
            "rtpengine" => Self::Rtpengine(Rtpengine::start(interfaces)),
            "causeway" => Self::causeway(interfaces),
            other => panic!("{TARGET} is rtpengine or causeway, not {other}"),
        }
    }

    /// A client of it.
    pub fn client(&self) -> Ng {
        Ng::new(self.ng())
    }

    /// Where it takes `ng` requests.
    pub fn ng(&self) -> SocketAddr {
        match self {
            Self::Rtpengine(server) => server.ng,
            Self::Causeway(_, ng, _) => *ng,
        }
    }

    /// Its REST API, if it has one.
    pub fn rest(&self) -> Option<&Rest> {
        match self {
            Self::Rtpengine(_) => None,
            Self::Causeway(node, ..) => Some(node.rest()),
        }
    }

    /// Its media ports, the last one included.
    pub fn ports(&self) -> (u16, u16) {
        match self {
            Self::Rtpengine(server) => server.ports,
            Self::Causeway(_, _, ports) => *ports,
        }
    }

    fn causeway(interfaces: &[Interface]) -> Self {
        let ng = free_udp();
        let number = STARTED.fetch_add(1, Ordering::Relaxed) % 20;
        let low = FIRST.0 + number * PORTS;
        let ports = (low, low + PORTS - 1);
        let config = config(interfaces, ng, ports, FIRST.1 + 64 * number);
        let server = Self::Causeway(Node::start(None, &config), ng, ports);
        server.client().wait();
        server
    }
}

/// What [`Server::under_test`] starts.
pub fn target() -> String {
    std::env::var(TARGET).unwrap_or_else(|_| DEFAULT.to_owned())
}

fn config(
    interfaces: &[Interface],
    ng: SocketAddr,
    (low, high): (u16, u16),
    mux_port: u16,
) -> String {
    let interfaces = interfaces.iter().map(|Interface { name, bind }| {
        format!(
            "[[interface]]\nname = \"{name}\"\nbind = \"{bind}\"\nports = \"{low}-{high}\"\n\
             mux_port = {mux_port}\n"
        )
    });
    let doors = ["http", "public"].map(|door| format!("[{door}]\nlisten = \"127.0.0.1:0\"\n"));
    let ng =
        format!("[ng]\nudp = \"{ng}\"\nlegacy_suites = true\n[timeouts]\ndelete_delay = \"0s\"\n");
    interfaces.chain(doors).chain([ng]).collect()
}
