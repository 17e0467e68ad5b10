use proptest::prelude::*;

use super::*;

fn host() -> Host {
    Host { cores: vec![0, 1, 2, 3], descriptors: 20_000 }
}

fn from_file(text: &str) -> Result<Loaded, Vec<String>> {
    let sources = Sources { file: Some(("c.toml".into(), text.into())), ..Sources::default() };
    load(&sources, &host()).map_err(said)
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let environment = pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    load(&Sources { environment, ..Sources::default() }, &host()).map_err(said)
}

fn said(faults: Vec<Fault>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

const TOKEN: &str = "[[auth.token]]\nname = \"t\"\nscopes = [\"read\"]\n\
    hash = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

#[test]
fn an_empty_file_is_the_default_and_the_default_has_no_warnings() {
    let loaded = from_file("").unwrap();
    let interface = &loaded.config.interface[0];
    assert_eq!((interface.bind, interface.announce), ([127, 0, 0, 1].into(), Announce::Bind));
    assert_eq!((interface.mux_port, interface.ports), (40_500, None));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn everything_that_can_be_set_is_read() {
    let text = format!(
        r#"
        [node]
        name = "a1"
        workers = [1, 2]
        backend = "uring"
        [[interface]]
        name = "pub"
        bind = "172.31.5.10"
        announce = "203.0.113.5"
        ports = "30000-30999"
        mux_port = 40500
        [[interface]]
        name = "v6"
        bind = "2001:db8::5"
        announce = "aws"
        dont_fragment = true
        [http]
        listen = "10.0.0.1:8080"
        workers = 2
        [public]
        listen = "0.0.0.0:8443"
        workers = 1
        tls_cert = "c.pem"
        tls_key = "k.pem"
        desk = true
        [edge]
        listen = "0.0.0.0:443"
        proxy_protocol = ["10.0.0.0/8"]
        streams = 100
        streams_per_address = 10
        [ng]
        udp = "10.0.0.1:2223"
        tcp = "10.0.0.1:2223"
        peers = ["10.0.0.0/8", "2001:db8::1"]
        max_sessions = 0
        max_load = 3
        max_cpu = 92.5
        max_bandwidth = 100000000
        [turn]
        enabled = true
        realm = "example.org"
        listen = "10.0.0.1:3478"
        secrets = ["0123456789abcdef", "fedcba9876543210"]
        credential_lifetime = "2h"
        media_only = true
        allow_peers = ["10.1.0.0/16"]
        deny_peers = ["203.0.113.0/24"]
        user_allocations = 4
        allocations = 100
        user_rate = 1000
        user_packets = 10
        rate = 500
        packets = 5
        node_rate = 125_000_000
        node_packets = 200_000
        tcp_relays = false
        mobility = false
        urls = ["turn:turn.example:443?transport=tcp"]
        users = {{ bob = "secret", eve = "other" }}
        [media]
        dscp = 46
        [dtls]
        versions = ["1.3"]
        [auth]
        join_secret = "0123456789abcdef0123456789abcdef"
        {TOKEN}
        [limits]
        calls = 10
        [timeouts]
        join = "90s"
        drain = "1m"
        [log]
        level = "info,causeway_control=debug"
        format = "json"
        "#
    );
    let config = from_file(&text).unwrap().config;
    assert_eq!(config.node.workers, [1, 2]);
    assert_eq!(config.edge.listen, Some(([0, 0, 0, 0], 443).into()));
    assert_eq!((config.edge.streams, config.edge.streams_per_address), (100, 10));
    assert!(config.edge.proxy_protocol[0].holds([10, 1, 1, 1].into()));
    assert_eq!(config.node.backend, Backend::Uring);
    assert_eq!(config.interface[0].announce, Announce::Address([203, 0, 113, 5].into()));
    assert_eq!(config.interface[1].announce, Announce::Provider(Provider::Aws));
    assert_eq!(config.dtls.versions(), Versions::Only13);
    assert_eq!(config.media.dscp, 46);
    assert_eq!(config.ng.udp, config.ng.tcp);
    assert!(config.ng.peers[1].holds("2001:db8::1".parse().unwrap()));
    assert_eq!((config.ng.max_sessions, config.ng.max_bandwidth), (Some(0), 100_000_000));
    let settings = config.turn.settings(vec![[10, 0, 0, 1].into()], |_| [0; 16]);
    assert!(settings.policy.media_only && !settings.tcp_relays && !settings.mobility);
    assert!(settings.policy.permits([10, 0, 0, 1].into()));
    assert_eq!((settings.limits.user_allocations, settings.limits.allocations), (4, 100));
    assert_eq!((settings.limits.user_rate.packets, settings.limits.rate.bytes), (10, 500));
    let together = config.turn.node_limit();
    assert_eq!((together.bytes, together.packets), (125_000_000, 200_000));
    assert_eq!((config.turn.realm(), config.turn.users.len()), ("example.org", 2));
    assert!((config.ng.max_load - 3.0).abs() + (config.ng.max_cpu - 92.5).abs() < f64::EPSILON);
    assert!(!config.interface[0].dont_fragment && config.interface[1].dont_fragment);
    assert_eq!(config.timeouts.drain, Duration::from_secs(60));
    assert_eq!(config.auth.token[0].name, "t");
    assert!(config.desk());
}

#[test]
fn limits_of_sessions_come_from_the_environment_too_and_are_within_those_of_calls() {
    let set = from_environment(&[("CAUSEWAY_NG_MAX_CPU", "80"), ("CAUSEWAY_NG_MAX_SESSIONS", "5")]);
    let ng = set.unwrap().config.ng;
    assert!((ng.max_cpu - 80.0).abs() < f64::EPSILON && ng.max_sessions == Some(5));
    let above = from_file("[limits]\ncalls = 10\n[ng]\nmax_sessions = 11").unwrap().warnings;
    assert!(above[0].contains("limits.calls, which is 10"), "{above:?}");
}

#[test]
fn an_ng_door_that_the_network_reaches_is_warned_about_unless_somebody_is_named() {
    let warnings = |text: &str| from_file(text).unwrap().warnings;
    let open = warnings("[ng]\nudp = \"10.0.0.1:2223\"");
    assert!(
        open[0].contains("ng.udp is 10.0.0.1:2223") && open[0].contains("ng.peers"),
        "{open:?}"
    );
    assert!(warnings("[ng]\nudp = \"10.0.0.1:2223\"\npeers = [\"10.0.0.2\"]").is_empty());
    assert!(warnings("[ng]\nudp = \"127.0.0.1:2223\"\ntcp = \"[::1]:2223\"").is_empty());
}

/// Each: what is written, and what the fault must say.
const WRONG: &[(&str, &[&str])] = &[
    ("[node\n", &["c.toml:1:"]),
    ("\n[node]\nnmae = 1", &["c.toml:3: node.nmae: unknown field `nmae`", "`workers`"]),
    ("[egde]\nlisten = \"x\"", &["c.toml:1: egde: no such section", "interface"]),
    ("[edge]\nlisten = \"x\"", &["c.toml:2: edge.listen: \"x\""]),
    ("[edge]\nlisten = \"127.0.0.1:8443\"", &["edge.listen: 127.0.0.1:8443 is public.listen too"]),
    ("[edge]\nstreams = 0", &["edge.streams: 0: allowed are 1 to 65536"]),
    ("[edge]\nproxy_protocol = [\"lb\"]", &["edge.proxy_protocol", "10.0.0.0/8"]),
    ("[[ng]]\nudp = 1", &["c.toml:1: ng:"]),
    ("[ng]\nudp = 2223", &["c.toml:2: ng.udp: 2223"]),
    ("[ng]\nmax_cpu = 101", &["c.toml:2: ng.max_cpu: 101: allowed are 0 to 100"]),
    ("[ng]\nmax_load = -1", &["c.toml:2: ng.max_load: -1"]),
    ("[ng]\nmax_sessions = -1", &["c.toml:2: ng.max_sessions"]),
    ("[ng]\ntcp = \"127.0.0.1:8080\"", &["c.toml:2: ng.tcp: 127.0.0.1:8080 is http.listen too"]),
    ("[ng]\npeers = [\"10.0.0.0/33\"]", &["c.toml:2: ng.peers", "10.0.0.0/33", "such as"]),
    ("[turn]\nrealm = \"\"", &["c.toml:2: turn.realm", "1 to 127"]),
    ("[turn]\nsecrets = [\"short\"]", &["c.toml:2: turn.secrets: too short", "16 characters"]),
    ("[turn]\nsecrets = \"0123456789abcdef\"", &["turn.secrets: (redacted): allowed is a list"]),
    ("[turn]\nusers = { \"\" = \"x\" }", &["c.toml:2: turn.users: allowed are names"]),
    ("[turn]\nusers = \"bob\"", &["c.toml:2: turn.users: (redacted): allowed are { NAME"]),
    ("[turn]\ncredential_lifetime = \"3d\"", &["turn.credential_lifetime: 259200s: allowed"]),
    ("[turn]\nallocations = 0", &["c.toml:2: turn.allocations: 0: allowed are 1 to 65536"]),
    ("[turn]\nallow_peers = [\"10.0.0.0/33\"]", &["turn.allow_peers", "such as"]),
    ("[turn]\nurls = [\"https://turn.example\"]", &["turn.urls: \"https", "allowed are stun:"]),
    ("[turn]\nlisten = \"127.0.0.1:8443\"", &["turn.listen: 127.0.0.1:8443 is public.listen too"]),
    ("node = 5", &["c.toml:1: node:"]),
    ("[node]\nname = \"a b\"", &["c.toml:2: node.name: \"a b\": allowed"]),
    ("[node]\nworkers = []", &["node.workers: []: at least one"]),
    ("[node]\nworkers = [1, 1]", &["twice"]),
    ("[node]\nworkers = [9]", &["core 9 is not there", "[0, 1, 2, 3]"]),
    ("[node]\nworkers = \"4-1\"", &["such as [1, 2]"]),
    ("[node]\nbackend = \"xdp\"", &["\"xdp\"", "`uring`", "`mmsg`"]),
    ("[[interface]]\nbind = \"eth0\"", &["c.toml:2: interface[0].bind: \"eth0\""]),
    ("[[interface]]\nbind = \"0.0.0.0\"", &["interface[0].bind", "one address"]),
    ("[[interface]]\nannounce = \"me\"", &["interface[0].announce: \"me\": allowed are an IP"]),
    ("[[interface]]\nannounce = \"2001:db8::1\"", &["the family of 127.0.0.1"]),
    ("[[interface]]\nports = \"9-10\"", &["interface[0].ports", "LOW-HIGH"]),
    ("[[interface]]\nports = \"40000-41000\"", &["interface[0].mux_port: 40500-40502", "overlaps"]),
    ("[[interface]]\nmux_port = 65534", &["c.toml:2: interface[0].mux_port: 65534", "65533"]),
    ("[[interface]]\nmux_ports = 0", &["interface[0].mux_ports: 0", "1 to 64"]),
    (
        "[[interface]]\nmux_port = 65530\nmux_ports = 4",
        &["c.toml:2: interface[0].mux_port: 65530", "65524", "4 per worker"],
    ),
    (
        "[[interface]]\nports = \"40511-41000\"\nmux_ports = 4",
        &["interface[0].mux_port: 40500-40511", "4 per worker, overlaps"],
    ),
    ("[[interface]]\nmux_port = 70000", &["interface[0].mux_port: 70000"]),
    ("[[interface]]\n[[interface]]\nbind = \"127.0.0.2\"", &["interface[1].name: \"main\""]),
    ("[[interface]]\n[[interface]]\nname = \"b\"", &["interface[1].bind", "shares ports"]),
    ("[interface]\nbind = \"127.0.0.1\"", &["c.toml:1: interface:"]),
    ("[http]\nlisten = \"0.0.0.0:80\"", &["http.listen: 0.0.0.0:80", "[[auth.token]]"]),
    ("[http]\nlisten = \"127.0.0.1\"", &["http.listen: \"127.0.0.1\"", "socket address"]),
    ("[http]\nworkers = 3", &["http.workers: 3: allowed are 1 to 2"]),
    ("[public]\nlisten = \"127.0.0.1:8080\"", &["is http.listen too"]),
    ("[public]\nlisten = \"0.0.0.0:1\"\ndesk = true", &["c.toml:3: public.desk", "scope call"]),
    ("[public]\ntls_cert = \"c\"", &["public.tls_key", "come together"]),
    ("[auth]\njoin_secret = \"short\"", &["auth.join_secret: too short"]),
    ("[[auth.token]]\nname = \"x\"", &["c.toml:1: auth.token[0]: missing field `hash`"]),
    ("[limits]\nframes_per_worker = 1000", &["powers of two, such as 1024"]),
    ("[limits]\ncalls = -1", &["limits.calls: -1"]),
    ("[timeouts]\njoin = \"soon\"", &["c.toml:2: timeouts.join: \"soon\""]),
    ("[timeouts]\nrequest = \"1h\"", &["timeouts.request: 3600s: allowed are \"1s\" to \"120s\""]),
    ("[log]\nlevel = \"a=b=c\"", &["log.level"]),
    ("[log]\nformat = \"xml\"", &["`text`", "`json`"]),
    ("[limits]\nconnections = 15000", &["30000 for HTTP", "may open 20000", "LimitNOFILE"]),
];

#[test]
fn every_mistake_is_one_fault_that_names_the_line_the_key_the_value_and_what_is_allowed() {
    let mut missed = Vec::new();
    for (text, parts) in WRONG {
        let faults = from_file(text).expect_err(text);
        let right = faults.len() == 1 && parts.iter().all(|part| faults[0].contains(part));
        if !right {
            missed.push((text, parts, faults));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "[node]\nname = 5\nx = 1\n[http]\nlisten = \"no\"\n[limits]\ncalls = 0\n[turm]\n";
    let faults = from_file(text).unwrap_err();
    assert_eq!(faults.len(), 5, "{faults:#?}");
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let sources = Sources {
        file: Some((
            "c.toml".into(),
            "[node]\nname = \"f\"\n[limits]\ncalls = 1\n[log]\nlevel = \"warn\"".into(),
        )),
        environment: vec![
            ("CAUSEWAY_LIMITS_CALLS".into(), "2".into()),
            ("CAUSEWAY_NODE_NAME".into(), "123".into()),
            ("CAUSEWAY_INTERFACE_MUX_PORT".into(), "50000".into()),
            ("CAUSEWAY_TIMEOUTS_DRAIN".into(), "20s".into()),
            ("CAUSEWAY_NODE_WORKERS".into(), "1,3".into()),
            ("PATH".into(), "/bin".into()),
        ],
        flags: vec![("--mux-port", ["interface", "mux_port"], "50001".into())],
    };
    let config = load(&sources, &host()).unwrap().config;
    assert_eq!((config.limits.calls, config.node.name.as_str()), (2, "123"));
    assert_eq!((config.interface[0].mux_port, config.log.level.as_str()), (50_001, "warn"));
    assert_eq!(config.timeouts.drain, Duration::from_secs(20));
    assert_eq!(config.node.workers, [1, 3]);
}

#[test]
fn a_variable_with_an_unknown_key_is_a_fault_and_one_of_another_section_a_warning() {
    let faults = from_environment(&[("CAUSEWAY_NODE_NMAE", "x")]).unwrap_err();
    assert!(faults[0].starts_with("CAUSEWAY_NODE_NMAE: node.nmae: unknown field"), "{faults:?}");
    let warnings = from_environment(&[("CAUSEWAY_NODES_NAME", "x")]).unwrap().warnings;
    assert!(warnings[0].contains("CAUSEWAY_NODES_NAME"));
}

#[test]
fn secrets_are_in_no_fault_and_in_no_print() {
    let faults =
        from_environment(&[("CAUSEWAY_AUTH_JOIN_SECRET", "[\"hunter2hunter2\"")]).unwrap_err();
    assert!(!faults.concat().contains("hunter2"), "{faults:?}");
    let secret = "0123456789abcdef0123456789abcdef";
    let config = from_environment(&[("CAUSEWAY_AUTH_JOIN_SECRET", secret)]).unwrap().config;
    assert!(!format!("{config:?}").contains(secret));
    assert!(!toml::to_string(&config).unwrap().contains(secret));
    assert_eq!(config.auth.join_secret.unwrap().reveal(), secret);
}

#[test]
fn a_private_address_that_is_announced_to_the_world_is_a_warning() {
    let text =
        format!("{TOKEN}[[interface]]\nbind = \"10.0.0.5\"\n[public]\nlisten = \"0.0.0.0:443\"");
    let warnings = from_file(&text).unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.contains("10.0.0.5") && w.contains("announce")),
        "{warnings:?}"
    );
    let text = text.replace("[public]", "announce = \"auto\"\n[public]");
    let warnings = from_file(&text).unwrap().warnings;
    assert!(!warnings.iter().any(|w| w.contains("announce")), "{warnings:?}");
}

#[test]
fn this_host_has_a_core_and_descriptors() {
    let host = Host::read();
    assert!(!host.cores.is_empty() && host.descriptors > 0);
}

#[test]
fn what_takes_effect_reads_back_as_itself() {
    let text =
        "[[interface]]\nannounce = \"gcp\"\nports = \"30000-30001\"\n[timeouts]\njoin = \"90s\"";
    let config = from_file(text).unwrap().config;
    let printed = toml::to_string(&config).unwrap();
    let again = from_file(&printed).unwrap().config;
    assert_eq!(toml::to_string(&again).unwrap(), printed);
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_faults(text in "(\\[{1,2}(node|interface|auth|auth.token|x)\\]{1,2}|(name|workers|bind|ports|token|hash) = (1|\"[a-z0-9-]{0,9}\"|\\[[0-9, ]{0,5}\\]|\\{ name = 1 \\})|\n){0,12}") {
        if let Err(faults) = from_file(&text) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn any_variable_is_taken_or_a_fault(key in "(NODE_NAME|NODE_WORKERS|INTERFACE_PORTS|INTERFACE_BIND|HTTP_LISTEN|LIMITS_CALLS|TIMEOUTS_JOIN|AUTH_TOKEN|INTERFACE)", value in "[ -~\n]{0,24}") {
        let _ = from_environment(&[(&format!("CAUSEWAY_{key}"), &value)]);
    }

    #[test]
    fn ports_read_back_as_they_print(low in 1024..65_535u16, more in 1..1000u16) {
        let ports = Ports { low, high: low.saturating_add(more) };
        prop_assert_eq!(ports.to_string().parse::<Ports>().unwrap(), ports);
    }
}

#[test]
fn origins_and_ice_servers_of_whip_are_checked_and_no_password_is_shown() {
    let good = "[whip]\norigins = [\"https://studio.example\", \"http://[::1]:8080\"]\n\
        [[whip.ice_server]]\nurl = \"stun:s.example\"\n\
        [[whip.ice_server]]\nurl = \"turn:t.example:3478?transport=udp\"\n\
        username = \"u\"\ncredential = \"hidden\"\n";
    let whip = from_file(good).unwrap().config.whip;
    assert_eq!((whip.origins.len(), whip.ice_server.len()), (2, 2));
    assert!(!format!("{whip:?}").contains("hidden"));
    assert_eq!(from_file("").unwrap().config.whip.origins, ["*"]);

    for (line, part) in [
        ("origins = [\"studio.example\"]", "studio.example"),
        ("origins = [\"https://a.example/path\"]", "allowed are"),
        ("origins = \"https://a.example\"", "whip.origins"),
        ("ice_server = [{ url = \"https://a\" }]", "stun:"),
        ("ice_server = [{ url = \"stun:a>b\" }]", "stun:"),
        ("ice_server = [{ url = \"turn:a\" }]", "username and credential"),
        ("ice_server = [{ url = \"stun:a\", username = \"u\" }]", "come together"),
        ("ice_server = [{ uri = \"stun:a\" }]", "uri"),
    ] {
        let faults = from_file(&format!("[whip]\n{line}\n")).unwrap_err().join("\n");
        assert!(faults.contains(part), "{part} is not in {faults}");
    }
    let secret =
        "[whip]\nice_server = [{ url = \"x:a\", username = \"u\", credential = \"hidden\" }]";
    assert!(!from_file(secret).unwrap_err().join("\n").contains("hidden"));
}

#[test]
fn dtls_versions_are_read_as_a_list_and_as_text() {
    let in_file = |value: &str| from_file(&format!("[dtls]\nversions = {value}"));
    let allowed = |loaded: Loaded| loaded.config.dtls.versions();
    assert_eq!(allowed(from_file("").unwrap()), Versions::Both);
    assert_eq!(allowed(in_file("[\"1.3\", \"1.2\"]").unwrap()), Versions::Both);
    assert_eq!(allowed(in_file("[\"1.2\"]").unwrap()), Versions::Only12);
    for (text, versions) in
        [("1.2", Versions::Only12), ("1.3", Versions::Only13), ("1.2,1.3", Versions::Both)]
    {
        let loaded = from_environment(&[("CAUSEWAY_DTLS_VERSIONS", text)]).unwrap();
        assert_eq!(allowed(loaded), versions);
    }
    for wrong in ["[]", "[\"1.1\"]", "[\"1.2\", \"1.2\"]", "1.2", "true"] {
        let faults = in_file(wrong).unwrap_err();
        assert!(
            faults[0].contains("dtls.versions") && faults[0].contains("allowed are"),
            "{faults:?}"
        );
    }
}

#[test]
fn a_code_point_has_six_bits() {
    assert_eq!(from_file("[media]\ndscp = 63").unwrap().config.media.dscp, 63);
    for wrong in ["64", "-1", "\"ef\""] {
        let faults = from_file(&format!("[media]\ndscp = {wrong}")).unwrap_err();
        assert!(faults[0].contains("media.dscp"), "{faults:?}");
    }
}

#[test]
fn turn_is_on_where_anything_of_it_is_named_unless_it_is_turned_off() {
    let on = |text: &str| from_file(&format!("[turn]\n{text}")).unwrap().config.turn.is_on();
    for text in [
        "enabled = true",
        "realm = \"r\"",
        "listen = \"127.0.0.1:3478\"",
        "secrets = [\"0123456789abcdef\"]",
        "users = { u = \"p\" }",
        "[turn.users]\nu = \"p\"",
    ] {
        assert!(on(text), "{text}");
    }
    for text in ["", "mobility = false", "enabled = false\nrealm = \"r\""] {
        assert!(!on(text), "{text}");
    }
}

#[test]
fn turn_has_a_secret_at_start_and_shows_none() {
    let text = "[turn]\nsecrets = [\"hunter2hunter2hunter2\"]\nusers = { u = \"hunter2\" }";
    let mut turn = from_file(text).unwrap().config.turn;
    turn.fill_in_secret();
    assert_eq!(turn.secrets.len(), 1);
    let printed = toml::to_string(&Config { turn: turn.clone(), ..Config::default() }).unwrap();
    assert!(!printed.contains("hunter2") && !format!("{turn:?}").contains("hunter2"));
    assert_eq!(from_file("[turn]\nrealm = \"r\"").unwrap().config.turn.secrets.len(), 0);
    let mut random = [(); 2].map(|()| Turn { enabled: Some(true), ..Turn::default() });
    random.iter_mut().for_each(Turn::fill_in_secret);
    let [one, other] = random.map(|turn| turn.secrets[0].reveal().to_owned());
    assert!(one != other && one.len() >= TURN_SECRET_MIN);
    let mut off = Turn::default();
    off.fill_in_secret();
    assert!(off.secrets.is_empty());
}

#[test]
fn peers_on_loopback_and_relays_without_ports_are_warned_about() {
    let warnings = |text: &str| from_file(&format!("[turn]\n{text}")).unwrap().warnings.join("\n");
    assert!(warnings("enabled = true\nallow_loopback_peers = true").contains("never for a node"));
    assert!(warnings("enabled = true").contains("turn.media_only"));
    assert_eq!(warnings("enabled = true\nmedia_only = true"), "");
    assert_eq!(warnings("allow_loopback_peers = true"), "", "there is no server");
}

#[test]
fn clients_are_told_of_all_ways_or_of_what_is_configured() {
    let mut turn = Turn::default();
    assert!(turn.urls("turn.example", None).is_empty());
    turn.listen = Some(([192, 0, 2, 1], 3478).into());
    assert_eq!(
        turn.urls("turn.example", Some(443)),
        [
            "turn:turn.example:443?transport=udp",
            "turn:turn.example:443?transport=tcp",
            "turns:turn.example:443?transport=tcp",
            "turn:turn.example:3478?transport=udp",
            "turn:turn.example:3478?transport=tcp",
        ]
    );
    assert_eq!(turn.urls("2001:db8::1", None)[0], "turn:[2001:db8::1]:3478?transport=udp");
    turn.urls = vec!["turns:own.example".into()];
    assert_eq!(turn.urls("turn.example", Some(443)), ["turns:own.example"]);
}
