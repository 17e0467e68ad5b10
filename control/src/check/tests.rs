use super::*;
use crate::config::{Host, Sources, load};

fn loaded(text: &str) -> Loaded {
    let sources = Sources { file: Some(("c".into(), text.into())), ..Sources::default() };
    load(&sources, &Host { cores: vec![0, 1, 2], descriptors: 100_000 }).unwrap()
}

const CLOUD: &str = r#"
[[interface]]
name = "pub"
bind = "172.31.5.10"
announce = "203.0.113.5"
ports = "30000-30999"
[[interface]]
name = "six"
bind = "2001:db8::5"
mux_port = 40600
[public]
listen = "0.0.0.0:8443"
[auth]
join_secret = "0123456789abcdef0123456789abcdef"
"#;

#[test]
fn the_default_needs_no_rules() {
    let report = report(&loaded("")).unwrap();
    assert!(report.contains("nothing: all listens on loopback"));
    assert!(report.contains("listen = \"127.0.0.1:8080\""));
    assert!(report.contains("desk = true"));
    assert!(!report.contains("warning"));
}

#[test]
fn an_address_of_turns_own_is_let_in() {
    let config = loaded("[turn]\nlisten = \"192.0.2.5:3478\"").config;
    assert_eq!(
        plain(&rules(&config)),
        "udp 3478          192.0.2.5 STUN and TURN\ntcp 3478          192.0.2.5 STUN and TURN\n"
    );
    let off = loaded("[turn]\nlisten = \"192.0.2.5:3478\"\nenabled = false").config;
    assert!(rules(&off).is_empty());
}

#[test]
fn the_rules_are_told_in_three_forms() {
    let config = loaded(CLOUD).config;
    let rules = rules(&config);
    assert_eq!(
        plain(&rules),
        "tcp 8443          0.0.0.0 page and joins (HTTPS)\n\
         udp 40500-40501   172.31.5.10 WebRTC media, interface pub\n\
         udp 30000-30999   172.31.5.10 RTP and RTCP, interface pub\n\
         udp 40600-40601   2001:db8::5 WebRTC media, interface six\n"
    );
    assert_eq!(
        nftables(&rules),
        "table inet causeway {\n  chain input {\n    \
         type filter hook input priority filter; policy accept;\n    \
         tcp dport 8443 accept comment \"page and joins (HTTPS)\"\n    \
         ip daddr 172.31.5.10 udp dport 40500-40501 accept comment \"WebRTC media, interface pub\"\n    \
         ip daddr 172.31.5.10 udp dport 30000-30999 accept comment \"RTP and RTCP, interface pub\"\n    \
         ip6 daddr 2001:db8::5 udp dport 40600-40601 accept comment \"WebRTC media, interface six\"\n  \
         }\n}\n"
    );
    let aws: serde_json::Value = serde_json::from_str(&aws(&rules)).unwrap();
    assert_eq!(
        aws[1],
        serde_json::json!({
            "IpProtocol": "udp", "FromPort": 40_500, "ToPort": 40_501,
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "WebRTC media, interface pub"}]
        })
    );
    assert_eq!(aws[3]["Ipv6Ranges"][0]["CidrIpv6"], "::/0");
}

#[test]
fn the_report_warns_and_tells_no_secret() {
    let report = report(&loaded(CLOUD)).unwrap();
    assert!(report.contains("# warning: public.listen"));
    assert!(report.contains("join_secret = \"(redacted)\""));
    assert!(!report.contains("0123456789abcdef"));
}

#[test]
fn the_admin_api_is_never_opened_to_the_world() {
    let text = "[http]\nlisten = \"10.0.0.1:8080\"\n[[auth.token]]\nname = \"t\"\nscopes = [\"read\"]\n\
        hash = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
    let report = report(&loaded(text)).unwrap();
    assert!(report.contains("tcp 8080          10.0.0.1 admin API: from your own hosts only"));
    assert!(!report.contains("dport 8080") && !report.contains("\"FromPort\": 8080"));
}

#[test]
fn the_doors_of_ng_are_for_your_own_hosts() {
    let text = "[ng]\nudp = \"10.0.0.1:2223\"\ntcp = \"10.0.0.1:2224\"\npeers = [\"10.0.0.0/8\"]";
    let report = report(&loaded(text)).unwrap();
    assert!(report.contains("udp 2223          10.0.0.1 ng protocol: from your own hosts only"));
    assert!(report.contains("tcp 2224          10.0.0.1 ng protocol: from your own hosts only"));
    assert!(report.contains("peers = [\"10.0.0.0/8\"]") && !report.contains("warning"));
    assert!(!report.contains("dport 2223"));
}

#[test]
fn the_edge_is_opened_to_the_world_and_a_self_signed_certificate_is_warned_about() {
    let report = report(&loaded("[edge]\nlisten = \"0.0.0.0:443\"")).unwrap();
    assert!(report.contains("tcp 443           0.0.0.0 HTTPS, TURN and ICE over TCP"), "{report}");
    assert!(report.contains("# warning: edge.listen") && report.contains("refuse turns:"));
}
