//! `[turn]`: the node's own TURN server.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::{Peer, Secret};
use crate::auth::fresh_token;
use crate::turn::{Credentials, Limits, Md5, Policy, Rate, Settings, SharedSecret};

/// Secrets that count at once: the current one and the one before.
pub const TURN_SECRETS_MAX: usize = 2;
/// Characters of a secret, fewest.
pub const TURN_SECRET_MIN: usize = 16;
/// Users of the configuration, most.
pub const TURN_USERS_MAX: usize = 1024;
/// Allocations that can be configured at most.
pub const TURN_ALLOCATIONS_MAX: usize = 65_536;
/// Credentials are good for this long at most.
pub const TURN_CREDENTIALS_MAX: Duration = Duration::from_secs(48 * 3600);
/// The realm where none is configured.
const REALM: &str = "causeway";

/// `[turn]`. It is on where `enabled` says so, else where a realm, a secret, a user or an address is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// Whether there is a TURN server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What credentials are for; `causeway` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// An address of its own, UDP and TCP, beside what all share; the usual port is 3478.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// What passwords for a time follow from: the current one, then the one before. Random per start if there is none.
    #[serde(deserialize_with = "secrets", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// How long credentials are good that are made here, most and by default.
    #[serde(with = "humantime_serde")]
    pub credential_lifetime: Duration,
    /// Whether relays reach the node's own media alone. They need no ports then.
    pub media_only: bool,
    /// Blocks of peers that are reached although they are private or the like.
    pub allow_peers: Vec<Peer>,
    /// Blocks of peers that are not reached, whatever else is said.
    pub deny_peers: Vec<Peer>,
    /// Whether peers on loopback are reached, for tests.
    pub allow_loopback_peers: bool,
    /// Allocations of one user, most.
    pub user_allocations: usize,
    /// Allocations, most.
    pub allocations: usize,
    /// Bytes per second that all allocations of one user may carry together, both ways counted; 0 for no limit.
    pub user_rate: u64,
    /// Packets per second, likewise.
    pub user_packets: u64,
    /// Bytes per second that any allocation may carry, both ways counted; 0 for no limit.
    pub rate: u64,
    /// Packets per second, likewise.
    pub packets: u64,
    /// Bytes per second that all allocations may carry together, both ways counted; 0 for no limit.
    pub node_rate: u64,
    /// Packets per second, likewise.
    pub node_packets: u64,
    /// Whether there are TCP relays (RFC 6062).
    pub tcp_relays: bool,
    /// Whether allocations may move to another address of their client (RFC 8016).
    pub mobility: bool,
    /// The URLs that clients are told (RFC 7065); those of where the node listens if there are none.
    pub urls: Vec<String>,
    /// Users with their passwords.
    #[serde(deserialize_with = "users", skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Secret>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            enabled: None,
            realm: None,
            listen: None,
            secrets: Vec::new(),
            credential_lifetime: Duration::from_secs(3600),
            media_only: false,
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            allow_loopback_peers: false,
            user_allocations: 32,
            allocations: 4096,
            user_rate: 0,
            user_packets: 0,
            rate: 0,
            packets: 0,
            node_rate: 0,
            node_packets: 0,
            tcp_relays: true,
            mobility: true,
            urls: Vec::new(),
            users: BTreeMap::new(),
        }
    }
}

impl Turn {
    /// Whether there is a TURN server.
    pub fn is_on(&self) -> bool {
        let named = self.realm.is_some() || self.listen.is_some();
        self.enabled.unwrap_or(named || !self.secrets.is_empty() || !self.users.is_empty())
    }

    /// What credentials are for.
    pub fn realm(&self) -> &str {
        self.realm.as_deref().unwrap_or(REALM)
    }

    /// Makes a secret where TURN is on and has none, so that credentials can always be made. They end with the
    /// process.
    ///
    /// # Panics
    /// Where the system has no randomness.
    pub fn fill_in_secret(&mut self) {
        if self.is_on() && self.secrets.is_empty() {
            self.secrets.push(Secret(fresh_token()));
        }
    }

    /// What all allocations may carry together.
    pub fn node_limit(&self) -> Rate {
        Rate { bytes: self.node_rate, packets: self.node_packets }
    }

    /// The URLs that clients are told, of a node that is reached at `host`, and by everything at once on the
    /// port `edge`.
    pub fn urls(&self, host: &str, edge: Option<u16>) -> Vec<String> {
        if !self.urls.is_empty() {
            return self.urls.clone();
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let at = |scheme, port, transport| format!("{scheme}:{host}:{port}?transport={transport}");
        let plain = |port| [at("turn", port, "udp"), at("turn", port, "tcp")];
        let mut urls: Vec<_> = edge.map(plain).into_iter().flatten().collect();
        urls.extend(edge.map(|port| at("turns", port, "tcp")));
        urls.extend(self.listen.map(|listen| plain(listen.port())).into_iter().flatten());
        urls
    }

    /// How the server is set up; `own` are the addresses of the node's media.
    pub fn settings(&self, own: Vec<IpAddr>, md5: Md5) -> Settings {
        let users = self.users.iter().map(|(name, password)| (name.as_str(), password.reveal()));
        let secrets = self.secrets.iter().map(|secret| SharedSecret::new(secret.reveal()));
        Settings {
            credentials: Credentials::new(self.realm(), users, secrets, md5),
            policy: Policy {
                allow: self.allow_peers.clone(),
                deny: self.deny_peers.clone(),
                own,
                media_only: self.media_only,
                allow_loopback: self.allow_loopback_peers,
            },
            limits: Limits {
                user_allocations: self.user_allocations,
                allocations: self.allocations,
                user_rate: Rate { bytes: self.user_rate, packets: self.user_packets },
                rate: Rate { bytes: self.rate, packets: self.packets },
            },
            // Whoever connects or is connected to is somebody else.
            tcp_relays: self.tcp_relays && !self.media_only,
            mobility: self.mobility,
        }
    }
}

/// Secrets as a list. What is wrong is not repeated: it may be one.
fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    Vec::deserialize(deserializer)
        .map_err(|_| serde::de::Error::custom("allowed is a list of texts, such as [\"…\"]"))
}

/// Users as a table, or as text with a line `NAME:PASSWORD` for each (flags and the environment).
fn users<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Table(BTreeMap<String, Secret>),
        Text(Secret),
    }
    let refusal =
        || serde::de::Error::custom("allowed are { NAME = \"PASSWORD\" } and \"NAME:PASSWORD\"");
    match Written::deserialize(deserializer).map_err(|_| refusal())? {
        Written::Table(users) => Ok(users),
        Written::Text(text) => {
            text.reveal().lines().map(user).collect::<Option<_>>().ok_or_else(refusal)
        }
    }
}

/// A name holds nothing that a table would begin with.
fn user(line: &str) -> Option<(String, Secret)> {
    let (name, password) = line.split_once(':')?;
    let legal = !name.contains(|c: char| c.is_whitespace() || "{}=\"'".contains(c));
    legal.then(|| (name.to_owned(), Secret(Zeroizing::new(password.to_owned()))))
}
