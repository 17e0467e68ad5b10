//! Checks the keys against each other, against the engine's limits and against the host.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use causeway_engine::config::{DSCP_MAX, FRAMES_FLOOR, LEGS_PER_WORKER_CEILING, WORKERS_MAX};
use tracing_subscriber::EnvFilter;

use super::load::Draft;
use super::{
    Announce, Config, EVERY_ORIGIN, HTTP_WORKERS_MAX, Host, ICE_SERVERS_MAX, INTERFACES_MAX,
    IceServer, Interface, MUX_PORTS_MAX, NG_CONNECTIONS_MAX, ORIGINS_MAX, PEERS_MAX, Ports,
    TURN_ALLOCATIONS_MAX, TURN_CREDENTIALS_MAX, TURN_SECRET_MIN, TURN_SECRETS_MAX, TURN_USERS_MAX,
    edge,
};
use crate::api::LEGS_PER_CALL_CEILING;
use crate::auth::{API_TOKENS_MAX, JOIN_SECRET_MIN};
use crate::turn::RELAYS_PER_ALLOCATION;

/// Descriptors that are none of sockets and connections: rings, timers, log, files.
const SPARE_DESCRIPTORS: u64 = 64;
/// Descriptors of each worker beside its media sockets.
const DESCRIPTORS_PER_WORKER: u64 = 8;
/// Dedicated sockets that a leg takes at most without bundling and multiplexing: RTP and RTCP of
/// audio and video.
const SOCKETS_PER_LEG: u64 = 4;
/// Calls that are recorded at once, most: each has a file open.
const RECORDINGS_MAX: usize = 10_000;
/// Bytes of a recording, least that can be asked for.
const RECORDING_FLOOR: u64 = 64 << 10;
/// Bytes of a realm, most (RFC 8489 §14.9: fewer than 128 characters).
const REALM_MAX: usize = 127;
/// Bytes of a user's name, most (RFC 8489 §14.3: fewer than 509 bytes).
const TURN_NAME_MAX: usize = 508;
/// Frames in one pool, most: 2 GiB.
const FRAMES_CEILING: usize = 1 << 20;

/// Adds a fault or a warning to `draft` for everything that does not fit.
pub(super) fn verify(config: &Config, host: &Host, draft: &mut Draft) {
    node(config, host, draft);
    interfaces(config, draft);
    listeners(config, draft);
    edge::verify(config, draft);
    ng(config, draft);
    whip(config, draft);
    turn(config, draft);
    auth(config, draft);
    limits(config, draft);
    timeouts(config, draft);
    webhook(config, draft);
    recording(config, draft);
    within(draft, "media.dscp", config.media.dscp.into(), 0, DSCP_MAX.into());
    descriptors(config, host, draft);
    if EnvFilter::builder().parse(&config.log.level).is_err() {
        let words = "allowed are off, error, warn, info, debug, trace, or directives of them";
        draft.fault("log.level", &[], format!("\"{}\": {words}", config.log.level));
    }
}

fn node(config: &Config, host: &Host, draft: &mut Draft) {
    let name = &config.node.name;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(legal) {
        let words = "allowed are 1 to 63 letters, digits, `-`, `.` and `_`";
        draft.fault("node.name", &[], format!("\"{name}\": {words}"));
    }
    let workers = &config.node.workers;
    if workers.len() > WORKERS_MAX {
        let words = format!("{} workers: at most {WORKERS_MAX} are allowed", workers.len());
        draft.fault("node.workers", &[], words);
    }
    if workers.iter().collect::<BTreeSet<_>>().len() < workers.len() {
        draft.fault("node.workers", &[], format!("{workers:?}: a core is named twice"));
    }
    if let Some(core) = workers.iter().find(|core| !host.cores.contains(core)) {
        let words = format!("core {core} is not there; this process may use {:?}", host.cores);
        draft.fault("node.workers", &[], words);
    }
}

fn interfaces(config: &Config, draft: &mut Draft) {
    if config.interface.len() > INTERFACES_MAX {
        let words = format!("{}: at most {INTERFACES_MAX}", config.interface.len());
        draft.fault("interface", &[], words);
    }
    for (index, one) in config.interface.iter().enumerate() {
        interface(config, index, one, draft);
        for (earlier, other) in config.interface[..index].iter().enumerate() {
            pair(config, (earlier, other), (index, one), draft);
        }
    }
}

fn interface(config: &Config, index: usize, one: &Interface, draft: &mut Draft) {
    let key = |name: &str| format!("interface[{index}].{name}");
    let [name, bind, announce, ports, mux] =
        ["name", "bind", "announce", "ports", "mux_port"].map(key);
    if one.name.is_empty() || one.name.len() > 63 {
        draft.fault(&name, &[], format!("\"{}\": allowed are 1 to 63 characters", one.name));
    }
    if one.bind.is_unspecified() || one.bind.is_multicast() {
        let words = "allowed is one address of this host, since descriptions name it";
        draft.fault(&bind, &[], format!("\"{}\": {words}", one.bind));
    }
    if let Announce::Address(public) = one.announce
        && (public.is_ipv4() != one.bind.is_ipv4() || public.is_unspecified())
    {
        let words = format!("\"{public}\": allowed is an address of the family of {}", one.bind);
        draft.fault(&announce, &[&bind], words);
    }
    let many = key("mux_ports");
    within(draft, &many, one.mux_ports.into(), 1, MUX_PORTS_MAX.into());
    match mux_ports(config, one) {
        None => {
            let last = 65_536usize.saturating_sub(mux_count(config, one));
            let words = format!(
                "{}: allowed are 1024 to {last}, {} per worker",
                one.mux_port, one.mux_ports
            );
            draft.fault(&mux, &["node.workers", &many], words);
        }
        Some(shared) if one.ports.is_some_and(|ports| ports.overlaps(shared)) => {
            let words =
                format!("{shared}, {} per worker, overlaps ports; keep them apart", one.mux_ports);
            draft.fault(&mux, &[&ports, "node.workers"], words);
        }
        Some(_) => {}
    }
    let public = !config.public.listen.ip().is_loopback();
    if public && one.announce == Announce::Bind && is_private(one.bind) {
        draft.warnings.push(format!(
            "{bind} is {}, which the world cannot reach; behind a 1-to-1 NAT set announce",
            one.bind
        ));
    }
}

/// Two interfaces may share an address, but no port; and a name only where one is IPv4 and the other IPv6.
fn pair(
    config: &Config,
    (earlier, other): (usize, &Interface),
    (index, one): (usize, &Interface),
    draft: &mut Draft,
) {
    if one.name == other.name && one.bind.is_ipv4() == other.bind.is_ipv4() {
        let words = format!("\"{}\" is interface[{earlier}]'s name too", one.name);
        draft.fault(&format!("interface[{index}].name"), &[], words);
    }
    let ranges = |side: &Interface| [mux_ports(config, side), side.ports];
    let clash = ranges(one).iter().flatten().any(|mine| {
        ranges(other)
            .iter()
            .flatten()
            .any(|theirs| one.bind == other.bind && mine.overlaps(*theirs))
    });
    if clash {
        let words = format!("{} shares ports with interface[{earlier}]", one.bind);
        let own = format!("interface[{index}].bind");
        draft.fault(&own, &[&format!("interface[{earlier}].bind")], words);
    }
}

fn listeners(config: &Config, draft: &mut Draft) {
    let (http, public) = (config.http.listen, config.public.listen);
    if http == public && http.port() != 0 {
        draft.fault("public.listen", &["http.listen"], format!("{public} is http.listen too"));
    }
    for (key, workers) in [("http", config.http.workers), ("public", config.public.workers)] {
        within(draft, &format!("{key}.workers"), workers, 1, HTTP_WORKERS_MAX);
    }
    let open = config.auth.token.is_empty();
    if open && !http.ip().is_loopback() {
        let words = "without an [[auth.token]] only a loopback address is allowed, since everybody \
                     who reaches it may do everything; `causeway token` makes one";
        draft.fault("http.listen", &["auth.token"], format!("{http}: {words}"));
    }
    if open && config.public.desk == Some(true) && !public.ip().is_loopback() {
        let words = "true: on a public address agents need an [[auth.token]] with the scope call";
        draft.fault("public.desk", &["auth.token", "public.listen"], words);
    }
    if !http.ip().is_loopback() {
        draft.warnings.push(format!(
            "http.listen is {http}: API tokens cross the network in the clear; keep it private"
        ));
    }
    let (cert, key) = (&config.public.tls_cert, &config.public.tls_key);
    if cert.is_some() != key.is_some() {
        let words = "public.tls_cert and public.tls_key come together";
        let missing = if cert.is_some() { "public.tls_key" } else { "public.tls_cert" };
        draft.fault(missing, &["public.tls_cert", "public.tls_key"], words);
    }
    if cert.is_none() && !public.ip().is_loopback() {
        draft.warnings.push(format!(
            "public.listen is {public} with a self-signed certificate, which browsers warn about; \
             set public.tls_cert and public.tls_key"
        ));
    }
}

fn ng(config: &Config, draft: &mut Draft) {
    let ng = &config.ng;
    if ng.peers.len() > PEERS_MAX {
        draft.fault("ng.peers", &[], format!("{}: at most {PEERS_MAX}", ng.peers.len()));
    }
    let load_max = f64::from(u16::MAX);
    for (key, value, most) in
        [("ng.max_load", ng.max_load, load_max), ("ng.max_cpu", ng.max_cpu, 100.0)]
    {
        if !(0.0..=most).contains(&value) {
            draft.fault(key, &[], format!("{value}: allowed are 0 to {most}"));
        }
    }
    if ng.max_sessions.is_some_and(|sessions| sessions > config.limits.calls) {
        draft.warnings.push(format!(
            "ng.max_sessions is above limits.calls, which is {} and holds for them too",
            config.limits.calls
        ));
    }
    let taken = [("http.listen", config.http.listen), ("public.listen", config.public.listen)];
    for (key, other) in taken {
        if ng.tcp == Some(other) && other.port() != 0 {
            draft.fault("ng.tcp", &[key], format!("{other} is {key} too"));
        }
    }
    for (key, door) in [("ng.udp", ng.udp), ("ng.tcp", ng.tcp)] {
        let Some(door) = door.filter(|door| !door.ip().is_loopback()) else { continue };
        if ng.peers.is_empty() {
            draft.warnings.push(format!(
                "{key} is {door} and ng.peers names nobody: everybody who reaches it may do \
                 everything with every call; name the proxies in ng.peers"
            ));
        }
    }
}

fn whip(config: &Config, draft: &mut Draft) {
    let (origins, servers) = (&config.whip.origins, &config.whip.ice_server);
    if origins.len() > ORIGINS_MAX {
        draft.fault("whip.origins", &[], format!("{}: at most {ORIGINS_MAX}", origins.len()));
    }
    for origin in origins.iter().filter(|origin| *origin != EVERY_ORIGIN && !is_origin(origin)) {
        let words = "allowed are \"*\" and origins such as \"https://studio.example\"";
        draft.fault("whip.origins", &[], format!("\"{origin}\": {words}"));
    }
    if servers.len() > ICE_SERVERS_MAX {
        draft.fault(
            "whip.ice_server",
            &[],
            format!("{}: at most {ICE_SERVERS_MAX}", servers.len()),
        );
    }
    for server in servers {
        if let Some(words) = wrong_ice_server(server) {
            draft.fault("whip.ice_server", &[], format!("\"{}\": {words}", server.url));
        }
    }
}

/// Whether this is an origin as browsers write it (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        let legal =
            |c: char| !c.is_ascii_uppercase() && (c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        !host.is_empty() && host.chars().all(legal)
    })
}

fn turn(config: &Config, draft: &mut Draft) {
    let turn = &config.turn;
    let printable = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    if !printable(turn.realm()) || turn.realm().len() > REALM_MAX {
        let words = format!("{:?}: allowed are 1 to {REALM_MAX} printable bytes", turn.realm());
        draft.fault("turn.realm", &[], words);
    }
    if turn.secrets.len() > TURN_SECRETS_MAX {
        let words = format!("{}: at most {TURN_SECRETS_MAX}", turn.secrets.len());
        draft.fault("turn.secrets", &[], words);
    }
    if turn.secrets.iter().any(|secret| secret.reveal().chars().count() < TURN_SECRET_MIN) {
        let words = format!("too short: at least {TURN_SECRET_MIN} characters, random ones");
        draft.fault("turn.secrets", &[], words);
    }
    if turn.users.len() > TURN_USERS_MAX {
        draft.fault("turn.users", &[], format!("{}: at most {TURN_USERS_MAX}", turn.users.len()));
    }
    let fits = |name: &str| printable(name) && name.len() <= TURN_NAME_MAX;
    if turn.users.iter().any(|(name, password)| !fits(name) || !printable(password.reveal())) {
        let words = format!(
            "allowed are names of 1 to {TURN_NAME_MAX} printable bytes, and printable passwords"
        );
        draft.fault("turn.users", &[], words);
    }
    let (life, least) = (turn.credential_lifetime, Duration::from_secs(10));
    if life < least || life > TURN_CREDENTIALS_MAX {
        let words = format!("{life:?}: allowed are {least:?} to {TURN_CREDENTIALS_MAX:?}");
        draft.fault("turn.credential_lifetime", &[], words);
    }
    for (key, list) in
        [("turn.allow_peers", &turn.allow_peers), ("turn.deny_peers", &turn.deny_peers)]
    {
        if list.len() > PEERS_MAX {
            draft.fault(key, &[], format!("{}: at most {PEERS_MAX}", list.len()));
        }
    }
    within(draft, "turn.allocations", turn.allocations, 1, TURN_ALLOCATIONS_MAX);
    within(draft, "turn.user_allocations", turn.user_allocations, 1, TURN_ALLOCATIONS_MAX);
    if turn.urls.len() > ICE_SERVERS_MAX {
        draft.fault("turn.urls", &[], format!("{}: at most {ICE_SERVERS_MAX}", turn.urls.len()));
    }
    for url in turn.urls.iter().filter(|url| !is_ice_url(url)) {
        draft.fault("turn.urls", &[], format!("\"{url}\": {ICE_URLS}"));
    }
    turn_surroundings(config, draft);
}

/// What of `[turn]` is judged by the rest.
fn turn_surroundings(config: &Config, draft: &mut Draft) {
    let turn = &config.turn;
    let taken = [
        ("http.listen", Some(config.http.listen)),
        ("public.listen", Some(config.public.listen)),
        ("ng.udp", config.ng.udp),
        ("ng.tcp", config.ng.tcp),
    ];
    for (key, other) in taken {
        if let Some(listen) = turn.listen.filter(|own| Some(*own) == other && own.port() != 0) {
            draft.fault("turn.listen", &[key], format!("{listen} is {key} too"));
        }
    }
    if !turn.is_on() {
        return;
    }
    if turn.allow_loopback_peers {
        draft.warnings.push(
            "turn.allow_loopback_peers is true: whoever has TURN credentials reaches every service \
             on this host's loopback; it is for tests, never for a node that others reach"
                .into(),
        );
    }
    if !turn.media_only && config.interface.iter().all(|one| one.ports.is_none()) {
        draft.warnings.push(
            "turn relays to peers, but no interface has ports for that; set ports, or \
             turn.media_only"
                .into(),
        );
    }
}

/// Whether this is a URL of STUN or TURN that can stand in a header (RFC 7064 §3.1, RFC 7065 §3.1).
fn is_ice_url(url: &str) -> bool {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let legal = |c: char| c.is_ascii_graphic() && !"<>\",;\\".contains(c);
    ["stun", "stuns", "turn", "turns"].contains(&scheme)
        && !rest.is_empty()
        && rest.chars().all(legal)
}

const ICE_URLS: &str = "allowed are stun:, stuns:, turn: and turns: URLs";

fn wrong_ice_server(server: &IceServer) -> Option<&'static str> {
    if !is_ice_url(&server.url) {
        return Some(ICE_URLS);
    }
    let is_turn = server.url.starts_with("turn");
    let printable = |text: &str| text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    match (&server.username, &server.credential) {
        (Some(user), Some(password)) if printable(user) && printable(password.reveal()) => None,
        (Some(_), Some(_)) => Some("username and credential are printable ASCII"),
        (None, None) if !is_turn => None,
        _ => Some("TURN needs username and credential, and they come together"),
    }
}

fn auth(config: &Config, draft: &mut Draft) {
    let tokens = &config.auth.token;
    if tokens.len() > API_TOKENS_MAX {
        draft.fault("auth.token", &[], format!("{}: at most {API_TOKENS_MAX}", tokens.len()));
    }
    for (index, token) in tokens.iter().enumerate() {
        if token.name.is_empty() || tokens[..index].iter().any(|other| other.name == token.name) {
            let words = format!("name \"{}\": each token needs one of its own", token.name);
            draft.fault("auth.token", &[], words);
        }
        if token.scopes.is_empty() {
            let words =
                format!("token \"{}\" has no scope; there are read, call, admin", token.name);
            draft.fault("auth.token", &[], words);
        }
    }
    let secret = config.auth.join_secret.as_ref();
    if secret.is_some_and(|secret| secret.reveal().len() < JOIN_SECRET_MIN) {
        let words = format!("too short: at least {JOIN_SECRET_MIN} characters, random ones");
        draft.fault("auth.join_secret", &[], words);
    }
}

fn recording(config: &Config, draft: &mut Draft) {
    let recording = &config.recording;
    within(draft, "recording.max_calls", recording.max_calls, 1, RECORDINGS_MAX);
    for (key, bytes) in [
        ("recording.max_bytes", recording.max_bytes),
        ("recording.max_total_bytes", recording.max_total_bytes),
    ] {
        if bytes < RECORDING_FLOOR {
            draft.fault(key, &[], format!("{bytes}: allowed are {RECORDING_FLOOR} or more"));
        }
    }
    if recording.directory.as_ref().is_some_and(|directory| directory.is_relative()) {
        draft.fault("recording.directory", &[], "allowed is an absolute path".to_owned());
    }
}

fn limits(config: &Config, draft: &mut Draft) {
    let limits = &config.limits;
    within(draft, "limits.calls", limits.calls, 1, 1_000_000);
    within(draft, "limits.legs_per_call", limits.legs_per_call, 2, LEGS_PER_CALL_CEILING);
    within(draft, "limits.legs_per_worker", limits.legs_per_worker, 1, LEGS_PER_WORKER_CEILING);
    let frames = limits.frames_per_worker;
    within(draft, "limits.frames_per_worker", frames, FRAMES_FLOOR, FRAMES_CEILING);
    if !frames.is_power_of_two() {
        let near = frames.next_power_of_two();
        let words = format!("{frames}: allowed are powers of two, such as {near}");
        draft.fault("limits.frames_per_worker", &[], words);
    }
    within(draft, "limits.sse_subscribers", limits.sse_subscribers, 1, 100_000);
    within(draft, "limits.connections", limits.connections, 8, 100_000);
    within(draft, "limits.join_rate", limits.join_rate as usize, 1, 10_000);
    within(draft, "limits.join_burst", limits.join_burst as usize, 1, 100_000);
    let room = limits.legs_per_worker * config.node.workers.len();
    if room < limits.calls.saturating_mul(2) {
        draft.warnings.push(format!(
            "limits.calls is {}, but the workers hold {room} legs, two for each call",
            limits.calls
        ));
    }
}

fn timeouts(config: &Config, draft: &mut Draft) {
    const DAY: u64 = 24 * 3600;
    let timeouts = &config.timeouts;
    let table = [
        ("timeouts.join", timeouts.join, 1, 3600),
        ("timeouts.request", timeouts.request, 1, 120),
        ("timeouts.drain", timeouts.drain, 0, 3600),
        ("timeouts.media", timeouts.media, 5, DAY),
        ("timeouts.silent", timeouts.silent, 5, DAY),
        ("timeouts.offer", timeouts.offer, 5, DAY),
        ("timeouts.final", timeouts.r#final, 0, 365 * DAY),
        ("timeouts.delete_delay", timeouts.delete_delay, 0, 3600),
    ];
    for (key, value, low, high) in table {
        if value < Duration::from_secs(low) || value > Duration::from_secs(high) {
            let words = format!("{value:?}: allowed are \"{low}s\" to \"{high}s\"");
            draft.fault(key, &[], words);
        }
    }
}

fn webhook(config: &Config, draft: &mut Draft) {
    let webhook = &config.webhook;
    if webhook.secret.as_ref().is_some_and(|secret| secret.reveal().is_empty()) {
        draft.fault("webhook.secret", &[], "is empty: it signs nothing");
    }
    if webhook.url.is_some() && webhook.events.is_empty() {
        draft.warnings.push("webhook.events is empty: nothing is posted to webhook.url".into());
    }
    let open = webhook.url.as_ref().is_some_and(|url| !url.is_secure && webhook.secret.is_none());
    if open {
        draft.warnings.push(
            "webhook.url is http and webhook.secret is not set: the receiver cannot tell who posts"
                .into(),
        );
    }
}

/// Every socket that the limits allow must find a descriptor, so that the node refuses by its
/// limits and never by an error of the kernel in the middle of a call.
fn descriptors(config: &Config, host: &Host, draft: &mut Draft) {
    let workers = config.node.workers.len() as u64;
    let legs = (config.limits.calls as u64)
        .saturating_mul(config.limits.legs_per_call as u64)
        .min(workers * config.limits.legs_per_worker as u64);
    let ports: u64 = config.interface.iter().filter_map(|one| one.ports).map(Ports::count).sum();
    let has_relays = config.turn.is_on() && !config.turn.media_only;
    let allocations = if has_relays { config.turn.allocations as u64 } else { 0 };
    let relays = allocations.saturating_mul(RELAYS_PER_ALLOCATION as u64);
    let shared = [config.edge.listen, config.turn.listen].iter().flatten().count() as u64;
    let media = ports.min(legs * SOCKETS_PER_LEG + relays)
        + workers * (1 + shared) * config.interface.len() as u64;
    let has_edge = config.edge.listen.is_some() || config.turn.listen.is_some();
    let http = (2 + u64::from(has_edge)) * config.limits.connections as u64;
    let streams = if has_edge { config.edge.streams as u64 } else { 0 };
    let ng = config.ng.tcp.map_or(0, |_| NG_CONNECTIONS_MAX as u64 + 1);
    let recorded =
        config.recording.directory.as_ref().map_or(0, |_| config.recording.max_calls as u64);
    let own = workers * DESCRIPTORS_PER_WORKER + SPARE_DESCRIPTORS;
    let needed = media + http + streams + ng + recorded + own;
    if needed > host.descriptors {
        draft.fault(
            if ports > 0 { "interface[0].ports" } else { "limits.connections" },
            &["limits.calls", "node.workers"],
            format!(
                "up to {needed} descriptors are needed ({media} for media, {http} for HTTP), the \
                 process may open {}; raise LimitNOFILE or ulimit -n, or lower limits or ports",
                host.descriptors
            ),
        );
    }
}

pub(super) fn within(draft: &mut Draft, key: &str, value: usize, low: usize, high: usize) {
    if value < low || value > high {
        draft.fault(key, &[], format!("{value}: allowed are {low} to {high}"));
    }
}

/// The ports that the workers share on `interface`; `None` if they do not exist.
fn mux_ports(config: &Config, interface: &Interface) -> Option<Ports> {
    let more = u16::try_from(mux_count(config, interface).saturating_sub(1)).ok()?;
    let (low, high) = (interface.mux_port, interface.mux_port.checked_add(more)?);
    (low >= 1024).then_some(Ports { low, high })
}

/// How many they are.
pub(crate) fn mux_count(config: &Config, interface: &Interface) -> usize {
    config.node.workers.len() * usize::from(interface.mux_ports)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
