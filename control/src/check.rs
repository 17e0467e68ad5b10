//! `causeway check`: the configuration as it takes effect, and the firewall rules that it needs.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::cli::Refusal;
use crate::config::load::Origin;
use crate::config::{Config, Fault, Loaded};
use crate::rest::tls::Certificates;

/// The whole report.
///
/// # Errors
/// If the certificate of the public listener cannot be used.
pub fn report(loaded: &Loaded) -> Result<String, Refusal> {
    let config = &loaded.config;
    Certificates::load(config).map_err(|error| Refusal::Faults(vec![certificate(&error)]))?;
    let mut text = String::from("# The configuration is good and takes effect as\n\n");
    text += &effective(config);
    for warning in &loaded.warnings {
        let _ = writeln!(text, "\n# warning: {warning}");
    }
    let rules = rules(config);
    let _ = write!(text, "\n# Firewall: let in\n\n{}", plain(&rules));
    for (protocol, door, purpose) in private(config) {
        let (port, to) = (door.port(), door.ip());
        let _ = writeln!(text, "{protocol} {port:<13} {to} {purpose}: from your own hosts only");
    }
    let _ = write!(text, "\n# The same as an nftables ruleset\n\n{}", nftables(&rules));
    let _ = write!(
        text,
        "\n# The same for aws ec2 authorize-security-group-ingress --ip-permissions\n\n{}\n",
        aws(&rules)
    );
    Ok(text)
}

/// Ports that the world must reach.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    protocol: &'static str,
    low: u16,
    high: u16,
    to: IpAddr,
    purpose: String,
}

fn certificate(error: &std::io::Error) -> Fault {
    Fault { origin: Origin::Default, key: "public.tls_cert".into(), problem: error.to_string() }
}

fn effective(config: &Config) -> String {
    let mut config = config.clone();
    config.public.desk = Some(config.desk());
    toml::to_string(&config).unwrap_or_else(|error| format!("# cannot be printed: {error}\n"))
}

/// What listens on loopback needs no rule.
fn rules(config: &Config) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut add = |protocol, low, high, to: IpAddr, purpose| {
        if !to.is_loopback() {
            rules.push(Rule { protocol, low, high, to, purpose });
        }
    };
    let public = config.public.listen;
    add("tcp", public.port(), public.port(), public.ip(), "page and joins (HTTPS)".to_owned());
    if let Some(turn) = config.turn.listen.filter(|_| config.turn.is_on()) {
        for protocol in ["udp", "tcp"] {
            add(protocol, turn.port(), turn.port(), turn.ip(), "STUN and TURN".to_owned());
        }
    }
    if let Some(edge) = config.edge.listen {
        add("tcp", edge.port(), edge.port(), edge.ip(), "HTTPS, TURN and ICE over TCP".to_owned());
    }
    for one in &config.interface {
        let last = config.node.workers.len() * usize::from(one.mux_ports);
        let last = u16::try_from(last.saturating_sub(1)).unwrap_or(u16::MAX);
        let media = format!("WebRTC media, interface {}", one.name);
        add("udp", one.mux_port, one.mux_port.saturating_add(last), one.bind, media);
        if let Some(ports) = one.ports {
            let media = format!("RTP and RTCP, interface {}", one.name);
            add("udp", ports.low, ports.high, one.bind, media);
        }
    }
    rules
}

/// What the world must not reach: whoever does rules the node, or may try its tokens.
fn private(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr, &'static str)> {
    [
        ("tcp", Some(config.http.listen), "admin API"),
        ("udp", config.ng.udp, "ng protocol"),
        ("tcp", config.ng.tcp, "ng protocol"),
    ]
    .into_iter()
    .filter_map(|(protocol, door, purpose)| Some((protocol, door?, purpose)))
    .filter(|(_, door, _)| !door.ip().is_loopback())
}

fn plain(rules: &[Rule]) -> String {
    if rules.is_empty() {
        return "nothing: all listens on loopback\n".into();
    }
    rules.iter().fold(String::new(), |mut text, rule| {
        let _ =
            writeln!(text, "{} {:<13} {} {}", rule.protocol, rule.span(), rule.to, rule.purpose);
        text
    })
}

/// Accepts only: put the rules into the chain that drops where there is one.
fn nftables(rules: &[Rule]) -> String {
    let mut text = String::from(
        "table inet causeway {\n  chain input {\n    type filter hook input priority filter; policy accept;\n",
    );
    for rule in rules {
        let to = match rule.to {
            to if to.is_unspecified() => String::new(),
            IpAddr::V4(to) => format!("ip daddr {to} "),
            IpAddr::V6(to) => format!("ip6 daddr {to} "),
        };
        let (protocol, span, purpose) = (rule.protocol, rule.span(), &rule.purpose);
        let _ = writeln!(text, "    {to}{protocol} dport {span} accept comment \"{purpose}\"");
    }
    text + "  }\n}\n"
}

fn aws(rules: &[Rule]) -> String {
    let permissions: Vec<_> = rules.iter().map(Permission::from).collect();
    serde_json::to_string_pretty(&permissions).unwrap_or_default()
}

impl Rule {
    fn span(&self) -> String {
        if self.low == self.high {
            return self.low.to_string();
        }
        format!("{}-{}", self.low, self.high)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Permission {
    ip_protocol: &'static str,
    from_port: u16,
    to_port: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip_ranges: Vec<Range4>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ipv6_ranges: Vec<Range6>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Range4 {
    cidr_ip: &'static str,
    description: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Range6 {
    cidr_ipv6: &'static str,
    description: String,
}

impl From<&Rule> for Permission {
    fn from(rule: &Rule) -> Self {
        let description = || rule.purpose.clone();
        let (v4, v6) = (rule.to.is_ipv4(), rule.to.is_ipv6());
        Self {
            ip_protocol: rule.protocol,
            from_port: rule.low,
            to_port: rule.high,
            ip_ranges: v4
                .then(|| Range4 { cidr_ip: "0.0.0.0/0", description: description() })
                .into_iter()
                .collect(),
            ipv6_ranges: v6
                .then(|| Range6 { cidr_ipv6: "::/0", description: description() })
                .into_iter()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
