//! The configuration: one TOML file, every key optional, overridden by `CAUSEWAY_<SECTION>_<KEY>`
//! and by flags. Its types are here; [`load`](mod@load) reads it and finds every fault.

mod edge;
pub mod load;
mod peer;
mod turn;
mod verify;
mod webhook;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use causeway_engine::config::{BackendChoice, Waiting};

pub use crate::cloud::Provider;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::api::LEGS_PER_CALL;
use crate::auth::ApiToken;
use crate::dtls::Versions;

pub use edge::Edge;
pub use load::{Fault, Host, Loaded, Sources, load};
pub use peer::Peer;
pub use turn::{
    TURN_ALLOCATIONS_MAX, TURN_CREDENTIALS_MAX, TURN_SECRET_MIN, TURN_SECRETS_MAX, TURN_USERS_MAX,
    Turn,
};
pub use webhook::{Webhook, WebhookEvent, WebhookUrl};

/// HTTP workers of one listener, most: they wait for actors and browsers, they do not compute.
pub const HTTP_WORKERS_MAX: usize = 2;
/// Shared ports of one worker on one interface, most.
pub const MUX_PORTS_MAX: u16 = 64;
/// Interfaces, most.
pub const INTERFACES_MAX: usize = 16;

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    pub node: Node,
    /// Where media comes in; one on loopback if none is given.
    pub interface: Vec<Interface>,
    /// The admin listener.
    pub http: Http,
    /// The public listener.
    pub public: Public,
    /// The port that everything shares.
    pub edge: Edge,
    /// The ng protocol.
    pub ng: Ng,
    /// WHIP and WHEP.
    pub whip: Whip,
    /// The TURN server.
    pub turn: Turn,
    /// How media leaves.
    pub media: MediaSettings,
    /// The handshakes that SRTP gets its keys from.
    pub dtls: DtlsSettings,
    /// Who may what.
    pub auth: Auth,
    /// How much of everything.
    pub limits: Limits,
    /// How long for everything.
    pub timeouts: Timeouts,
    /// Records of calls that are over, in a file.
    pub cdr: Cdr,
    /// Records of calls that are over, by POST.
    pub webhook: Webhook,
    /// What is said in calls, in files.
    pub recording: Recording,
    /// What is logged and how.
    pub log: Log,
}

impl Config {
    /// Whether the desk is served: as configured, else where the public listener is on loopback.
    pub fn desk(&self) -> bool {
        self.public.desk.unwrap_or(self.public.listen.ip().is_loopback())
    }
}

/// `[node]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Its name in the API and in metrics.
    pub name: String,
    /// The core of each worker; [`load()`] fills in all cores but the first if none are given.
    #[serde(deserialize_with = "cores")]
    pub workers: Vec<usize>,
    /// The I/O backend.
    pub backend: Backend,
    /// Microseconds that packets may wait for company at most, 0 to 5000, where that saves CPU time.
    pub gather_us: u32,
    /// Whether workers never sleep, so that each uses its core up: for cores that nothing else needs.
    pub busy_poll: bool,
}

impl Node {
    /// How workers wait.
    pub fn waiting(&self) -> Waiting {
        if self.busy_poll {
            return Waiting::Busy;
        }
        Waiting::Gather(Duration::from_micros(self.gather_us.into()))
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: "causeway".into(),
            workers: Vec::new(),
            backend: Backend::Auto,
            gather_us: 0,
            busy_poll: false,
        }
    }
}

/// Which I/O backend the workers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// io_uring where it works, else recvmmsg/sendmmsg.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// recvmmsg/sendmmsg.
    Mmsg,
}

impl From<Backend> for BackendChoice {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Uring => Self::Uring,
            Backend::Mmsg => Self::Mmsg,
        }
    }
}

/// `[[interface]]`: an address that media comes in on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The address of this host.
    pub bind: IpAddr,
    /// The address that the world sees.
    pub announce: Announce,
    /// Whether the bind address is offered as a candidate too, behind the announced one: for
    /// clients in the node's own private network.
    pub private_candidate: bool,
    /// Ports for dedicated RTP and RTCP sockets; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    /// The first port that is shared by WebRTC legs: worker `n` has those from
    /// `mux_port + n * mux_ports` on.
    pub mux_port: u16,
    /// Whether packets carry the DF bit, and those that are longer than their path takes are dropped
    /// and counted (`tx_too_long`) instead of being fragmented. What is long enough for that, and why
    /// the default is to fragment: [`causeway_engine::sys::socket::set_fragmentation`].
    pub dont_fragment: bool,
    /// Shared ports of each worker. Legs are spread over them; each has a receive buffer of its own.
    /// A leg whose far side does not multiplex RTCP (RFC 5761) takes two, so it needs 2 or more.
    pub mux_ports: u16,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            name: "main".into(),
            bind: Ipv4Addr::LOCALHOST.into(),
            announce: Announce::Bind,
            private_candidate: false,
            ports: None,
            mux_port: 40_500,
            dont_fragment: false,
            mux_ports: 1,
        }
    }
}

/// The public side of a 1-to-1 NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Announce {
    /// There is no NAT: the bind address.
    #[default]
    Bind,
    /// This address.
    Address(IpAddr),
    /// Whatever cloud the node finds itself in is asked.
    Auto,
    /// This cloud is asked.
    Provider(Provider),
}

impl fmt::Display for Announce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind => f.write_str("bind"),
            Self::Address(address) => address.fmt(f),
            Self::Auto => f.write_str("auto"),
            Self::Provider(provider) => f.write_str(provider.name()),
        }
    }
}

impl FromStr for Announce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "bind" => Self::Bind,
            "auto" => Self::Auto,
            other => match (other.parse(), other.parse()) {
                (Ok(address), _) => Self::Address(address),
                (_, Ok(provider)) => Self::Provider(provider),
                _ => {
                    return Err(
                        "allowed are an IP address, \"bind\", \"auto\", \"aws\", \"gcp\", \
                                \"azure\", \"openstack\", \"digitalocean\""
                            .to_owned(),
                    );
                }
            },
        })
    }
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The lowest.
    pub low: u16,
    /// The highest.
    pub high: u16,
}

impl Ports {
    /// Whether the ranges have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    /// How many ports there are.
    pub fn count(self) -> u64 {
        u64::from(self.high) - u64::from(self.low) + 1
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('-')
            .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)))
            .filter(|&(low, high)| low >= 1024 && low < high)
            .map(|(low, high)| Self { low, high })
            .ok_or_else(|| "allowed is \"LOW-HIGH\" with 1024 <= LOW < HIGH <= 65535".to_owned())
    }
}

/// `[http]`: the admin listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where it listens; another address than loopback needs an API token.
    pub listen: SocketAddr,
    /// Its threads, 1 or 2.
    pub workers: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), workers: 1 }
    }
}

/// `[public]`: the listener for browsers, always HTTPS.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Public {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its threads, 1 or 2.
    pub workers: usize,
    /// Certificate chain (PEM); self-signed if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Whether visitors can call in and agents can take the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desk: Option<bool>,
}

impl Default for Public {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            workers: HTTP_WORKERS_MAX,
            tls_cert: None,
            tls_key: None,
            desk: None,
        }
    }
}

/// `[ng]`: where SIP proxies ask. Over HTTP they ask on the admin listener, whatever stands here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ng {
    /// Where datagrams come in; nowhere if absent. Best one address, since replies leave with the one
    /// that the kernel picks where it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<SocketAddr>,
    /// Where connections come in; nowhere if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<SocketAddr>,
    /// Who may ask, by whatever door: addresses and blocks of them. Everybody who reaches the door if none
    /// is named; the protocol itself knows no password.
    pub peers: Vec<Peer>,
    /// Whether the SDES suites F8 and NULL are offered and taken, as rtpengine does by default. Nobody should
    /// use them any more; a request can ask for them by the flag `SDES-legacy` too.
    pub legacy_suites: bool,
    /// Calls behind SIP proxies, most; within `limits.calls`, which holds if this is absent. With 0 no new one is
    /// taken, so that the node drains. rtpengine's `max-sessions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<usize>,
    /// The load average over a minute from which on no new call behind SIP proxies is taken; 0 for none. rtpengine's
    /// `max-load`.
    pub max_load: f64,
    /// Percent of the time of all cores of the host from which on no new call behind SIP proxies is taken; 0 for none.
    /// rtpengine's `max-cpu`.
    pub max_cpu: f64,
    /// Bytes per second that all media workers receive from which on no new call behind SIP proxies is taken; 0 for
    /// none. rtpengine's `max-bandwidth`.
    pub max_bandwidth: u64,
}

/// Connections of `ng.tcp`, most: proxies keep one for each of their processes.
pub const NG_CONNECTIONS_MAX: usize = 256;
/// Entries of `ng.peers`, most.
pub const PEERS_MAX: usize = 64;

/// `[whip]`: what clients of WHIP and WHEP are told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Whip {
    /// The origins whose pages may publish and view, such as `https://studio.example`; `*` stands
    /// for all, none for none.
    pub origins: Vec<String>,
    /// ICE servers for clients that cannot reach the node otherwise.
    pub ice_server: Vec<IceServer>,
}

impl Default for Whip {
    fn default() -> Self {
        Self { origins: vec![EVERY_ORIGIN.into()], ice_server: Vec::new() }
    }
}

/// `[[whip.ice_server]]`: a STUN or TURN server (RFC 7064, RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// Its URL, such as `turn:turn.example:3478?transport=udp`.
    pub url: String,
    /// The user, for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Secret>,
}

/// Stands for every origin in `whip.origins`.
pub const EVERY_ORIGIN: &str = "*";
/// ICE servers that clients are told, most.
pub const ICE_SERVERS_MAX: usize = 8;
/// Origins in `whip.origins`, most.
pub const ORIGINS_MAX: usize = 64;

/// `[media]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaSettings {
    /// The differentiated services code point of what legs are sent, 0 to 63, for those that ask for
    /// none themselves. 0, best effort, is the default: networks that heed the mark say which one they
    /// want, others drop or clear it, and best effort is the only one that costs no control message per
    /// packet.
    pub dscp: u8,
}

/// `[dtls]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DtlsSettings {
    /// The versions that a handshake may end in; why both are the default is told by [`Versions`].
    #[serde(deserialize_with = "dtls_versions")]
    pub versions: Vec<DtlsVersion>,
}

impl DtlsSettings {
    /// The versions as the handshakes take them.
    pub fn versions(&self) -> Versions {
        let has = |version| self.versions.contains(&version);
        match (has(DtlsVersion::Dtls12), has(DtlsVersion::Dtls13)) {
            (true, false) => Versions::Only12,
            (false, true) => Versions::Only13,
            _ => Versions::Both,
        }
    }
}

impl Default for DtlsSettings {
    fn default() -> Self {
        Self { versions: vec![DtlsVersion::Dtls12, DtlsVersion::Dtls13] }
    }
}

/// A version of DTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DtlsVersion {
    /// DTLS 1.2 (RFC 6347).
    #[serde(rename = "1.2")]
    Dtls12,
    /// DTLS 1.3 (RFC 9147).
    #[serde(rename = "1.3")]
    Dtls13,
}

/// `[auth]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The API tokens, as hashes.
    pub token: Vec<ApiToken>,
    /// What join tokens are signed with; random per start if absent. Nodes that share it accept
    /// each other's tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_secret: Option<Secret>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// What stands for a secret wherever one is printed.
pub(crate) const REDACTED: &str = "(redacted)";

/// `[limits]`. Beyond one, new work is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls that are not over.
    pub calls: usize,
    /// Legs of one call.
    pub legs_per_call: usize,
    /// Legs of one worker.
    pub legs_per_worker: usize,
    /// Frames in each worker's pool, a power of two.
    pub frames_per_worker: usize,
    /// Event streams over HTTP, both listeners together.
    pub sse_subscribers: usize,
    /// Connections of each HTTP listener.
    pub connections: usize,
    /// Joins per second that one address may keep up on the public listener.
    pub join_rate: u32,
    /// Joins that one address may make at once: an office behind one address starts its day.
    pub join_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 2000,
            legs_per_call: LEGS_PER_CALL,
            legs_per_worker: 4096,
            frames_per_worker: 8192,
            sse_subscribers: 256,
            connections: 384,
            join_rate: 5,
            join_burst: 60,
        }
    }
}

/// `[timeouts]`, each a number with a unit such as `60s`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For a leg to connect, and for a call to get its first.
    #[serde(with = "humantime_serde")]
    pub join: Duration,
    /// For calls to answer an HTTP request.
    #[serde(with = "humantime_serde")]
    pub request: Duration,
    /// For open HTTP requests to end when the node stops.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Of a call behind a SIP proxy, or a leg without ICE, without a packet where some are due.
    #[serde(with = "humantime_serde")]
    pub media: Duration,
    /// Of the same without a packet while none is due: on hold.
    #[serde(with = "humantime_serde")]
    pub silent: Duration,
    /// Of a call behind a SIP proxy without an answer.
    #[serde(with = "humantime_serde")]
    pub offer: Duration,
    /// Of any call at all; `0s` for as long as it pleases.
    #[serde(with = "humantime_serde")]
    pub r#final: Duration,
    /// For which the ports of a call behind a SIP proxy stay open after a delete that does not say, so that what is
    /// still on its way meets nobody else.
    #[serde(with = "humantime_serde")]
    pub delete_delay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            join: seconds(60),
            request: seconds(10),
            drain: seconds(5),
            media: seconds(60),
            silent: seconds(3600),
            offer: seconds(3600),
            r#final: seconds(0),
            delete_delay: seconds(30),
        }
    }
}

/// `[cdr]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cdr {
    /// The file that each call that is over adds a line of JSON to; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// `[recording]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// Where recordings are put; nothing is recorded if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Bytes of one recording, most; what comes after is not recorded.
    pub max_bytes: u64,
    /// Bytes in the directory, most.
    pub max_total_bytes: u64,
    /// Calls that are recorded at once, most.
    pub max_calls: usize,
}

impl Default for Recording {
    /// Three hours of G.711 in both directions, and forty such calls.
    fn default() -> Self {
        Self { directory: None, max_bytes: 256 << 20, max_total_bytes: 10 << 30, max_calls: 100 }
    }
}

/// `[log]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or directives such as `info,causeway_control::dtls=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Cores as a list of numbers, or as text such as `1,4-7` (flags and the environment).
fn cores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "allowed are core numbers, such as [1, 2] or \"1,4-7\"")]
    enum Written {
        List(Vec<usize>),
        Text(String),
    }
    let cores = match Written::deserialize(deserializer)? {
        Written::List(cores) => cores,
        Written::Text(text) => parse_cores(&text).ok_or_else(|| {
            serde::de::Error::custom("allowed are core numbers, such as [1, 2] or \"1,4-7\"")
        })?,
    };
    if cores.is_empty() {
        return Err(serde::de::Error::custom("at least one worker is needed"));
    }
    Ok(cores)
}

/// DTLS versions as a list, or as text such as `1.2,1.3` (flags and the environment).
fn dtls_versions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DtlsVersion>, D::Error> {
    const ALLOWED: &str = "allowed are [\"1.2\"], [\"1.3\"] and [\"1.2\", \"1.3\"]";
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    let refusal = || serde::de::Error::custom(ALLOWED);
    let texts = match Written::deserialize(deserializer).map_err(|_| refusal())? {
        Written::List(texts) => texts,
        Written::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    let mut versions = Vec::new();
    for text in texts {
        let version = match text.trim() {
            "1.2" => DtlsVersion::Dtls12,
            "1.3" => DtlsVersion::Dtls13,
            _ => return Err(refusal()),
        };
        if versions.contains(&version) {
            return Err(refusal());
        }
        versions.push(version);
    }
    if versions.is_empty() { Err(refusal()) } else { Ok(versions) }
}

/// Reads `1,4-7`, the form that the kernel writes in `Cpus_allowed_list` too.
fn parse_cores(text: &str) -> Option<Vec<usize>> {
    const CORE_MAX: usize = 4095;
    let mut cores = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (usize, usize) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        if low > high || high > CORE_MAX || cores.len() > CORE_MAX {
            return None;
        }
        cores.extend(low..=high);
    }
    Some(cores)
}

macro_rules! serde_as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
serde_as_text!(Announce, Peer, Ports, WebhookUrl);

#[cfg(test)]
mod tests;
