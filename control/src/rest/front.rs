//! What the public doors have in common, and what must be there before the node is: the certificate, and
//! the queues by which the edge hands HTTP over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use causeway_engine::edge::EdgeConfig;
use socket2::{Domain, Protocol, Socket, Type};

use super::moved::{self, Moved};
use super::named;
use super::tls::{self, Certificates};
use crate::config::Config;

/// Connections that wait to be accepted at the edge, most; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 1024;
/// What may be spoken behind TLS at the edge; TURN may also say nothing (RFC 9113 §3.2, RFC 7301 §6,
/// RFC 7443 §3).
const ALPN: [&[u8]; 3] = [b"h2", b"http/1.1", b"stun.turn"];

/// The public doors before they are open.
pub struct Front {
    pub(super) certificates: Arc<Certificates>,
    pub(super) moved: Option<Moved>,
    edge: Option<(EdgeConfig, Vec<SocketAddr>)>,
}

impl Front {
    /// Reads the certificate and binds the edge's ports, if there are to be any: that which everything
    /// shares, and that of TURN alone.
    ///
    /// # Errors
    /// If the certificate cannot be used or a port cannot be bound.
    pub fn prepare(config: &Config) -> io::Result<Self> {
        let certificates = Certificates::load(config)?;
        let turn = config.turn.listen.filter(|_| config.turn.is_on());
        let mut listeners = Vec::new();
        for (key, listen) in [("edge.listen", config.edge.listen), ("turn.listen", turn)] {
            if let Some(listen) = listen {
                listeners.push(bind(listen).map_err(named(key, listen))?);
            }
        }
        let bound: Vec<_> =
            listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let Some(first) = bound.first().copied() else {
            return Ok(Self { certificates, moved: None, edge: None });
        };
        let mut tls = tls::server_config(&certificates)?;
        tls.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        let (http, moved) = moved::queues(config, first);
        let proxies = config.edge.proxy_protocol.clone();
        let edge = EdgeConfig {
            listeners,
            tls: Arc::new(tls),
            http,
            is_proxy: Box::new(move |source| proxies.iter().any(|proxy| proxy.holds(source))),
            streams: config.edge.streams,
            streams_per_address: config.edge.streams_per_address,
            turn: config.turn.is_on(),
        };
        Ok(Self { certificates, moved: Some(moved), edge: Some((edge, bound)) })
    }

    /// What the node's edge is to be started with, and where it listens; once.
    pub fn take_edge(&mut self) -> Option<(EdgeConfig, Vec<SocketAddr>)> {
        self.edge.take()
    }
}

/// Takes both families where the address is all of IPv6.
fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, Some(Protocol::TCP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(!listen.ip().is_unspecified())?;
    }
    // Connections of the process before must not be in the way.
    socket.set_reuse_address(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
