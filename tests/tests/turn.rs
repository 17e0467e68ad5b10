//! TURN end to end, with clients that others made: coturn's tools and aioice, on every road. Each
//! case takes any server; coturn's own, for which its tools were made, proves the cases.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_tests::coturn::{Echo, Exchange, Road, Server, Turnserver, Who};
use causeway_tests::node::{Node, TWO_WORKERS};
use causeway_tests::requires::SYSTEM_PYTHON;
use causeway_tests::rtpengine::free_udp;
use causeway_tests::{requires, root};
use serde_json::{Value, json};

/// Messages that each of [`CLIENTS`] sends, and their bytes: a packet of G.711.
const MESSAGES: u64 = 20;
const BYTES: &str = "172";
const CLIENTS: u64 = 2;
/// Ports of the node's own per interface: one each.
const WORKERS: u16 = 2;
/// Time for bad requests.
const NEGATIVE: Duration = Duration::from_secs(6);

/// A case and what it is about, in the order in which they are read.
type Case = (&'static str, fn(&Server, &Echoes));

const CASES: &[Case] = &[
    ("channels", channels_carry_every_message_on_every_road),
    ("send indications", send_indications_carry_every_message_on_every_road),
    ("client to client", two_relays_reach_each_other),
    ("padding and extra requests", padding_and_repeated_requests_change_nothing),
    ("don't fragment", dont_fragment_is_taken),
    ("even port", a_pair_of_ports_is_reserved),
    ("TCP relays", tcp_relays_carry_every_message),
    ("mobility", an_allocation_moves_with_its_client),
    ("IPv6", an_ipv6_relay_carries_every_message),
    ("both families", one_allocation_has_both_families),
    ("bad requests", bad_requests_are_refused_and_good_ones_served),
    ("wrong credentials", wrong_credentials_get_no_relay),
    ("flood", clients_that_vanish_at_once_leave_room_for_others),
    ("STUN", a_binding_request_is_answered_with_the_clients_address),
];

#[test]
fn the_rig_itself_works_with_coturn() {
    requires!(Coturn);
    let (turnserver, echoes) = (Turnserver::start(Who::TimeLimited), &Echoes::start());
    every_case(&turnserver.server, echoes);
}

/// The tools wait by the second, so that all at once are no load.
fn every_case(server: &Server, echoes: &Echoes) {
    thread::scope(|scope| {
        for (name, case) in CASES {
            let run = move || {
                let started = Instant::now();
                case(server, echoes);
                println!("{name}: {} s", started.elapsed().as_secs());
            };
            thread::Builder::new().name((*name).into()).spawn_scoped(scope, run).expect("a thread");
        }
    });
}

#[test]
fn the_rig_itself_works_with_users_of_coturn() {
    requires!(Coturn);
    let (turnserver, echoes) = (Turnserver::start(Who::User), Echoes::start());
    a_users_password_opens_on_every_road(&turnserver.server, &echoes);
}

#[test]
fn the_rig_itself_works_with_coturn_and_aioice() {
    requires!(Coturn, Aioice);
    let (turnserver, echoes) = (Turnserver::start(Who::User), Echoes::start());
    aioice_is_relayed_on_every_road(&turnserver.server, &echoes);
}

fn channels_carry_every_message_on_every_road(server: &Server, echoes: &Echoes) {
    for road in Road::ALL {
        echoes.exchange(server, road, &["-c"]).is_whole(MESSAGES * CLIENTS);
    }
}

fn send_indications_carry_every_message_on_every_road(server: &Server, echoes: &Echoes) {
    for road in Road::ALL {
        echoes.exchange(server, road, &["-c", "-s"]).is_whole(MESSAGES * CLIENTS);
    }
}

fn a_users_password_opens_on_every_road(server: &Server, echoes: &Echoes) {
    for road in Road::ALL {
        let arguments = echoes.arguments(&["-c"]);
        server.uclient(road, Who::User, &strs(&arguments)).is_whole(MESSAGES * CLIENTS);
    }
}

fn two_relays_reach_each_other(server: &Server, _: &Echoes) {
    for road in Road::ALL {
        for way in ["-y", "-ys"] {
            among_clients(server, road, &["-c", way]).is_whole(MESSAGES * CLIENTS);
        }
    }
}

fn padding_and_repeated_requests_change_nothing(server: &Server, echoes: &Echoes) {
    let odd = echoes.exchange(server, Road::Tcp, &["-c", "-D", "-l", "173"]);
    odd.is_whole(MESSAGES * CLIENTS);
    for road in [Road::Udp, Road::Tls] {
        // The tool counts answers to its extra requests, now and then, as messages that came back.
        let found = echoes.exchange(server, road, &["-c", "-D", "-G"]);
        assert_eq!((found.ok, found.sent), (true, MESSAGES * CLIENTS), "{}", found.words);
        assert!(found.received >= found.sent, "{}", found.words);
    }
}

fn dont_fragment_is_taken(server: &Server, echoes: &Echoes) {
    for way in ["-g", "-gs"] {
        echoes.exchange(server, Road::Udp, &["-c", way]).is_whole(MESSAGES * CLIENTS);
    }
}

/// Without `-c` the tool asks for a port for RTP with the next one for RTCP, allocates that by the
/// token that comes with it, and sends on both.
fn a_pair_of_ports_is_reserved(server: &Server, echoes: &Echoes) {
    let found = echoes.exchange(server, Road::Udp, &["-m", "1"]);
    found.is_whole(MESSAGES * 2);
    let ports: Vec<_> = found.relayed.iter().map(|address| address.port()).collect();
    let [rtp, rtcp, ..] = ports[..] else { panic!("two relays: {}", found.words) };
    assert_eq!((rtp % 2, rtcp), (0, rtp + 1), "{}", found.words);
}

/// RFC 6062: each client connects to the relay of another.
fn tcp_relays_carry_every_message(server: &Server, _: &Echoes) {
    for road in [Road::Tcp, Road::Tls] {
        for way in ["-T", "-yT"] {
            among_clients(server, road, &[way]).is_whole(MESSAGES * CLIENTS);
        }
    }
}

/// RFC 8016: after each Allocate the tool goes on from another port, with the ticket. Over UDP only:
/// coturn closes a stream that comes with one.
fn an_allocation_moves_with_its_client(server: &Server, echoes: &Echoes) {
    let found = echoes.exchange(server, Road::Udp, &["-c", "-M"]);
    found.is_whole(MESSAGES * CLIENTS);
    let (tickets, allocations) = (found.says("read_mobility_ticket"), found.relayed.len());
    // Each comes with a ticket, and with another after the move.
    assert_eq!(tickets, 2 * allocations, "{}", found.words);
}

fn an_ipv6_relay_carries_every_message(server: &Server, echoes: &Echoes) {
    for road in Road::ALL {
        let found = exchange_with(&echoes.v6, server, road, &["-c", "-x"]);
        found.is_whole(MESSAGES * CLIENTS);
        assert!(found.relayed.iter().all(|address| address.is_ipv6()), "{}", found.words);
    }
    let found = among_clients(server, Road::Udp, &["-c", "-x", "-y"]);
    found.is_whole(MESSAGES * CLIENTS);
}

/// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11).
fn one_allocation_has_both_families(server: &Server, echoes: &Echoes) {
    for echo in [&echoes.v4, &echoes.v6] {
        let found = exchange_with(echo, server, Road::Udp, &["-Z"]);
        found.is_whole(MESSAGES * CLIENTS);
    }
}

fn bad_requests_are_refused_and_good_ones_served(server: &Server, echoes: &Echoes) {
    // What the tool sends is random: a stream may be closed on it, and it may wait for ever for the
    // answer to what deserves none. It says what it did when it ends.
    for road in Road::ALL {
        let arguments = echoes.arguments(&["-c", "-R"]);
        server.uclient_within(NEGATIVE, road, Who::TimeLimited, &strs(&arguments));
        echoes.exchange(server, road, &["-c"]).is_whole(MESSAGES * CLIENTS);
    }
    let found = echoes.exchange(server, Road::Udp, &["-c", "-N"]);
    assert!(!found.ok && found.says("channel bind: error 400") > 0, "{}", found.words);
}

fn wrong_credentials_get_no_relay(server: &Server, echoes: &Echoes) {
    let stranger = Server { secret: "guess".into(), password: "guess".into(), ..server.clone() };
    for who in [Who::TimeLimited, Who::User] {
        let found = stranger.uclient(Road::Udp, who, &strs(&echoes.arguments(&["-c"])));
        assert!(!found.ok && found.relayed.is_empty(), "{}", found.words);
        assert!(found.says("Cannot complete Allocation") > 0, "{}", found.words);
    }
}

fn clients_that_vanish_at_once_leave_room_for_others(server: &Server, echoes: &Echoes) {
    for road in Road::ALL {
        let found = echoes.exchange(server, road, &["-c", "-O", "-m", "50"]);
        assert!(found.ok, "{}", found.words);
        echoes.exchange(server, road, &["-c"]).is_whole(MESSAGES * CLIENTS);
    }
}

fn a_binding_request_is_answered_with_the_clients_address(server: &Server, _: &Echoes) {
    let seen = server.stunclient().unwrap_or_else(|words| panic!("{words}"));
    assert_eq!(seen.ip(), server.udp.ip());
    assert_ne!(seen.port(), server.udp.port());
}

fn aioice_is_relayed_on_every_road(server: &Server, echoes: &Echoes) {
    for road in Road::ALL {
        let found = aioice(server, road, &echoes.v4);
        assert_eq!(found["echoed"], 20, "{found}");
        assert_eq!(found["pair"], json!(["relay", "relay"]), "{found}");
        assert_eq!(found["heard"], "over two relays", "{found}");
    }
}

/// What `relay.py` found. It ends by itself in time.
fn aioice(server: &Server, road: Road, echo: &Echo) -> Value {
    let (there, echo) = (server.on(road), echo.address);
    let done = Command::new(SYSTEM_PYTHON)
        .arg(root().join("tests/aioice/relay.py"))
        .args([there.ip().to_string(), there.port().to_string(), road.name().into()])
        .args([&server.user, &server.password])
        .args([echo.ip().to_string(), echo.port().to_string()])
        .output()
        .expect("Python runs");
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{} {there}: {words}", road.name());
    serde_json::from_slice(&done.stdout).expect("a line of JSON")
}

/// Far ends that send everything back.
struct Echoes {
    v4: Echo,
    v6: Echo,
}

impl Echoes {
    fn start() -> Self {
        let [v4, v6] =
            [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(Echo::start);
        Self { v4, v6 }
    }

    /// Clients with time-limited credentials send to the far end with IPv4.
    fn exchange(&self, server: &Server, road: Road, arguments: &[&str]) -> Exchange {
        exchange_with(&self.v4, server, road, arguments)
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        to(&self.v4, more)
    }
}

fn exchange_with(echo: &Echo, server: &Server, road: Road, arguments: &[&str]) -> Exchange {
    server.uclient(road, Who::TimeLimited, &strs(&to(echo, arguments)))
}

/// Clients send to each other's relays.
fn among_clients(server: &Server, road: Road, arguments: &[&str]) -> Exchange {
    server.uclient(road, Who::TimeLimited, &strs(&usual(arguments)))
}

fn to(echo: &Echo, more: &[&str]) -> Vec<String> {
    echo.arguments().into_iter().chain(usual(more)).collect()
}

/// Of what is said twice the tool takes the last.
fn usual(more: &[&str]) -> Vec<String> {
    let (messages, clients) = (MESSAGES.to_string(), CLIENTS.to_string());
    let usual = ["-n", &messages, "-m", &clients, "-l", BYTES];
    usual.iter().chain(more).map(|one| (*one).to_owned()).collect()
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// A node that takes TURN on loopback: on a UDP port of its own, and with everything else on one TCP
/// port (and the UDP port beside it). As behind a 1-to-1 NAT it announces other addresses.
fn node() -> (Node, Server) {
    static STARTED: AtomicU16 = AtomicU16::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let (low, mux) = (30_000 + 2000 * (number % 6), 42_000 + WORKERS * number);
    let (turn, edge) = (free_udp(), free_udp());
    let server = Server {
        udp: turn,
        tcp: edge,
        tls: edge,
        realm: "causeway.test".into(),
        secret: "sesame-sesame-sesame".into(),
        user: "fred".into(),
        password: "open".into(),
    };
    let Server { realm, secret, user, password, .. } = &server;
    let addresses = [("v4", "127.0.0.1", "203.0.113.5"), ("v6", "::1", "2001:db8:5::10")];
    let interfaces = addresses.map(|(name, bind, announce)| {
        format!(
            "[[interface]]\nname = \"{name}\"\nbind = \"{bind}\"\nannounce = \"{announce}\"\nports = \"{low}-{}\"\n\
             mux_port = {mux}\n",
            low + 1999
        )
    });
    let config = format!(
        "{}{TWO_WORKERS}[http]\nlisten = \"127.0.0.1:0\"\n[public]\nlisten = \"127.0.0.1:0\"\n\
         [edge]\nlisten = \"{edge}\"\n\
         [turn]\nrealm = \"{realm}\"\nsecrets = [\"{secret}\"]\nusers = {{ {user} = \"{password}\" }}\n\
         user_allocations = 1000\nallow_loopback_peers = true\nlisten = \"{turn}\"\n",
        interfaces.concat()
    );
    (Node::start(None, &config), server)
}

#[test]
fn the_node_passes_every_case() {
    requires!(Coturn);
    let (node, server) = node();
    every_case(&server, &Echoes::start());
    node.stop();
}

#[test]
fn a_users_password_opens_the_node_on_every_road() {
    requires!(Coturn);
    let (node, server) = node();
    a_users_password_opens_on_every_road(&server, &Echoes::start());
    node.stop();
}

#[test]
fn aioice_is_relayed_by_the_node_on_every_road() {
    requires!(Coturn, Aioice);
    let (node, server) = node();
    aioice_is_relayed_on_every_road(&server, &Echoes::start());
    node.stop();
}

/// The port that everything shares takes datagrams too.
#[test]
fn turn_over_udp_works_on_the_port_that_everything_shares() {
    requires!(Coturn);
    let (node, server) = node();
    let beside = Server { udp: server.tcp, ..server };
    let echoes = Echoes::start();
    echoes.exchange(&beside, Road::Udp, &["-c"]).is_whole(MESSAGES * CLIENTS);
    a_binding_request_is_answered_with_the_clients_address(&beside, &echoes);
    node.stop();
}
