//! Customers and agents reach each other by one node and nothing else: from homes behind NATs, from an office
//! whose firewall lets TCP 443 out alone, from one that lets only TLS out, from a home with IPv6 alone.
//! Everything is on port 443 of the node: the page, the API, STUN, TURN and media.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_tests::browser::Pages;
use causeway_tests::lab::{Lab, PRIVATE, PUBLIC, PUBLIC6};
use causeway_tests::node::{Node, TWO_WORKERS};
use causeway_tests::requires;
use serde_json::Value;

/// How a side's media goes, by the words of its browser: kind and protocol of its own candidate, how its
/// relay is reached, and the port at the node.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    kind: String,
    protocol: String,
    relay: Option<String>,
    port: u64,
}

/// A laboratory with a node in it.
struct Scene {
    lab: Lab,
    node: Node,
    call: String,
    certificate: PathBuf,
}

impl Scene {
    fn new(options: &[(&str, &str)]) -> Self {
        let lab = Lab::up(options);
        let folder = std::env::temp_dir().join(format!("causeway-firewall-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("there is room for a folder");
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        make_certificate(&certificate, &key);
        let config = format!(
            r#"
            {TWO_WORKERS}
            [[interface]]
            name = "v4"
            bind = "{PRIVATE}"
            announce = "{PUBLIC}"
            [[interface]]
            name = "v6"
            bind = "{PUBLIC6}"
            [edge]
            listen = "[::]:443"
            [public]
            tls_cert = "{}"
            tls_key = "{}"
            [turn]
            media_only = true
            realm = "causeway.test"
            "#,
            certificate.display(),
            key.display(),
        );
        let node = Node::start(Some(&lab.namespace("server")), &config);
        let call = node.rest().create_call();
        Self { lab, node, call, certificate }
    }

    /// A call of a customer in one room with an agent in another; how each side's media went.
    fn meet(&self, customer: &str, agent: &str, more: &[(&str, &str)]) -> [Way; 2] {
        let url = |room: &str, role: &str| {
            let host = if room == "browser6" { format!("[{PUBLIC6}]") } else { PUBLIC.into() };
            format!("https://{host}/#token={}", self.node.rest().token(&self.call, role))
        };
        let urls = [url(customer, "customer"), url(agent, "agent")];
        let rooms = [customer, agent].map(|room| self.lab.namespace(room));
        let trust = self.certificate.to_string_lossy();
        let mut arguments = vec![
            ("customer", urls[0].as_str()),
            ("agent", &urls[1]),
            ("customer-netns", &rooms[0]),
            ("agent-netns", &rooms[1]),
            ("trust", &trust),
            ("pause-after", "media"),
        ];
        arguments.extend(more);
        let mut pages = Pages::run("office.mjs", &arguments);
        let connected = pages.step("connected");
        // The script has judged pictures and tones.
        let media = pages.step("media");
        let ways = ["customer", "agent"].map(|side| {
            let after = &connected[side]["connected"];
            let way = Way::read(&media[side]["path"]["pair"]);
            println!("{side}: {way:?}, connected after {after} ms");
            assert!(after.as_f64().is_some_and(|ms| ms > 0.0), "{side}: {connected}");
            way
        });
        pages.go_on();
        pages.finish();
        ways
    }

    fn end(self) {
        self.node.stop();
    }
}

impl Way {
    fn read(pair: &Value) -> Self {
        let (local, remote) = (&pair["local"], &pair["remote"]);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            kind: word(&local["type"]),
            protocol: word(&local["protocol"]),
            relay: local["relayProtocol"].as_str().map(str::to_owned),
            port: remote["port"].as_u64().unwrap_or_default(),
        }
    }

    /// Straight to the node over UDP.
    fn is_direct(&self) -> bool {
        self.kind != "relay" && self.protocol == "udp"
    }

    fn is_tcp_pair(&self) -> bool {
        self.kind != "relay" && self.protocol == "tcp" && self.port == 443
    }

    fn is_relayed_over(&self, transport: &str) -> bool {
        self.kind == "relay" && self.relay.as_deref() == Some(transport)
    }
}

/// A certificate that the browsers are told to trust: they refuse `turns:` with one that they do not.
fn make_certificate(certificate: &Path, key: &Path) {
    let names = format!("subjectAltName=IP:{PUBLIC},IP:{PUBLIC6}");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=causeway.test", "-addext", &names, "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn both_sit_at_home_behind_cones() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let [customer, agent] = scene.meet("browser", "browser2", &[]);
    assert!(customer.is_direct() && agent.is_direct(), "{customer:?}, {agent:?}");
    scene.end();
}

#[test]
fn both_sit_at_home_behind_symmetric_nats() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[("HOME_NAT", "symmetric")]);
    let [customer, agent] = scene.meet("browser", "browser2", &[]);
    assert!(customer.is_direct() && agent.is_direct(), "{customer:?}, {agent:?}");
    scene.end();
}

#[test]
fn an_agent_whose_firewall_lets_tcp_443_out_alone_connects_by_ice_over_tcp() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let [customer, agent] = scene.meet("browser", "agent", &[]);
    assert!(customer.is_direct(), "{customer:?}");
    assert!(agent.is_tcp_pair(), "{agent:?}");
    scene.end();
}

#[test]
fn without_ice_over_tcp_the_same_agent_is_relayed_over_tcp() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let [_, agent] = scene.meet("browser", "agent", &[("agent-without", "tcp")]);
    assert!(agent.is_relayed_over("tcp"), "{agent:?}");
    scene.end();
}

#[test]
fn an_agent_whose_proxy_lets_only_tls_through_is_relayed_over_tls() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let [_, agent] = scene.meet("browser", "tlsagent", &[]);
    assert!(agent.is_relayed_over("tls"), "{agent:?}");
    scene.end();
}

#[test]
fn a_customer_with_ipv6_alone_meets_an_agent_with_ipv4_alone() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let [customer, agent] = scene.meet("browser6", "browser", &[]);
    assert!(customer.is_direct() && agent.is_direct(), "{customer:?}, {agent:?}");
    scene.end();
}
