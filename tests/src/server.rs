//! A media server that speaks `ng`: causeway, or what it is measured against.

use std::net::{IpAddr, SocketAddr};

use crate::ng::Ng;
use crate::node::Node;
use crate::rtpengine::{Rtpengine, free_udp};

/// Names the server that the tests of the `ng` protocol are about: `rtpengine` or `causeway`.
const TARGET: &str = "TEST_NG_TARGET";
/// Which it is if nobody says.
const DEFAULT: &str = "causeway";
/// Media ports of a causeway.
const PORTS: (u16, u16) = (30_000, 39_999);

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
    /// The node, and where it takes `ng` requests.
    Causeway(Node, SocketAddr),
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
            Self::Causeway(_, ng) => *ng,
        }
    }

    /// Its media ports, the last one included.
    pub fn ports(&self) -> (u16, u16) {
        match self {
            Self::Rtpengine(server) => server.ports,
            Self::Causeway(..) => PORTS,
        }
    }

    fn causeway(interfaces: &[Interface]) -> Self {
        let ng = free_udp();
        let server = Self::Causeway(Node::start(None, &config(interfaces, ng)), ng);
        server.client().wait();
        server
    }
}

/// What [`Server::under_test`] starts.
pub fn target() -> String {
    std::env::var(TARGET).unwrap_or_else(|_| DEFAULT.to_owned())
}

fn config(interfaces: &[Interface], ng: SocketAddr) -> String {
    let (low, high) = PORTS;
    let interfaces = interfaces.iter().map(|Interface { name, bind }| {
        format!("[[interface]]\nname = \"{name}\"\nbind = \"{bind}\"\nports = \"{low}-{high}\"\n")
    });
    let doors = ["http", "public"].map(|door| format!("[{door}]\nlisten = \"127.0.0.1:0\"\n"));
    let ng = format!("[ng]\nudp = \"{ng}\"\n");
    interfaces.chain(doors).chain([ng]).collect()
}
