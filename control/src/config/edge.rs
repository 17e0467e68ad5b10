//! `[edge]`: one TCP port for HTTPS, TURN and ICE over TCP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Peer;
use super::load::Draft;
use super::{Config, verify::within};

/// Entries of `edge.proxy_protocol`, most.
const PROXIES_MAX: usize = 64;

/// `[edge]`. Its certificate is that of `[public]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Where it listens; nowhere if absent. `[::]` takes IPv4 too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Load balancers, which say by the PROXY protocol for whom they ask; from these it is asked for, from
    /// others it is refused.
    pub proxy_protocol: Vec<Peer>,
    /// Streams at once, most; HTTP connections count for `limits.connections` instead.
    pub streams: usize,
    /// Streams of one IPv4 address or IPv6 /56, most: an office behind one address starts its day.
    pub streams_per_address: usize,
}

impl Default for Edge {
    fn default() -> Self {
        Self { listen: None, proxy_protocol: Vec::new(), streams: 4096, streams_per_address: 512 }
    }
}

/// Adds what does not fit.
pub(super) fn verify(config: &Config, draft: &mut Draft) {
    let edge = &config.edge;
    let ceiling = causeway_engine::edge::STREAMS_CEILING;
    within(draft, "edge.streams", edge.streams, 1, ceiling);
    within(draft, "edge.streams_per_address", edge.streams_per_address, 1, ceiling);
    if edge.proxy_protocol.len() > PROXIES_MAX {
        let words = format!("{}: at most {PROXIES_MAX}", edge.proxy_protocol.len());
        draft.fault("edge.proxy_protocol", &[], words);
    }
    let Some(listen) = edge.listen else { return };
    let others = [
        ("http.listen", Some(config.http.listen)),
        ("public.listen", Some(config.public.listen)),
        ("ng.tcp", config.ng.tcp),
    ];
    for (key, other) in others {
        if other == Some(listen) && listen.port() != 0 {
            draft.fault("edge.listen", &[key], format!("{listen} is {key} too"));
        }
    }
    if config.public.tls_cert.is_none() && !listen.ip().is_loopback() {
        draft.warnings.push(format!(
            "edge.listen is {listen} with a self-signed certificate: browsers warn about it, and refuse \
             turns: with one; set public.tls_cert and public.tls_key"
        ));
    }
}
