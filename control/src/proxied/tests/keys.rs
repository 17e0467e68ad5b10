//! What the proxy says of keys, and who hears whom where it says so.

use super::*;

const KEYS: [(&str, &str, &str); 2] = [
    ("1", "AES_CM_128_HMAC_SHA1_80", "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"),
    ("2", "AES_CM_128_HMAC_SHA1_32", "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"),
];
const PLAIN: (&str, &str) = ("transport-protocol", "RTP/AVP");
const SECURE: (&str, &str) = ("transport-protocol", "RTP/SAVP");

/// A description with these of [`KEYS`].
fn secured(address: &str, which: &[usize]) -> String {
    let line = |index: &usize| {
        let (tag, suite, key) = KEYS[*index];
        format!("a=crypto:{tag} {suite} inline:{key}\r\n")
    };
    let lines: String = which.iter().map(line).collect();
    audio(address, 4000, &lines).replace("RTP/AVP", "RTP/SAVP")
}

/// Tag, suite and parameters of each key in a description.
fn cryptos(sdp: &str) -> Vec<String> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            [&words[..2], &words[3..]].concat().join(" ")
        })
        .collect()
}

#[test]
fn without_new_keys_the_offerers_own_are_all_that_is_offered() {
    let mut bench = Bench::new();
    let (offer, dtls_off) = (secured("198.51.100.1", &[0, 1]), ("DTLS", "off"));
    let all = bench.offer("a", &offer, &[dtls_off]);
    assert_eq!(cryptos(&all).len(), 8, "{all}");
    let mut bench = Bench::new();
    let own = bench.offer("a", &offer, &[dtls_off, ("SDES", "[nonew no-AES_CM_128_HMAC_SHA1_80]")]);
    assert_eq!(cryptos(&own), ["1 AES_CM_128_HMAC_SHA1_80", "2 AES_CM_128_HMAC_SHA1_32"]);
}

#[test]
fn keys_are_offered_in_the_order_that_the_proxy_wants() {
    let mut bench = Bench::new();
    let order = "[order:AES_CM_128_HMAC_SHA1_32;AES_CM_128_HMAC_SHA1_80]";
    let asked = [SECURE, ("DTLS", "off"), ("SDES", order)];
    let offer = cryptos(&bench.offer("a", &audio("198.51.100.1", 4000, ""), &asked));
    assert_eq!(
        offer[..3],
        ["8 AES_CM_128_HMAC_SHA1_32", "7 AES_CM_128_HMAC_SHA1_80", "1 AEAD_AES_256_GCM"]
    );
}

#[test]
fn the_offerer_is_answered_with_the_suite_that_the_proxy_prefers() {
    for (asked, chosen) in [
        (vec![PLAIN], "1 AES_CM_128_HMAC_SHA1_80"),
        (
            vec![PLAIN, ("SDES", "[offerer_pref:AES_CM_128_HMAC_SHA1_32]")],
            "2 AES_CM_128_HMAC_SHA1_32",
        ),
    ] {
        let mut bench = Bench::new();
        bench.offer("a", &secured("198.51.100.1", &[0, 1]), &asked);
        let answer = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
        assert_eq!(cryptos(&answer), [chosen]);
    }
}

#[test]
fn a_static_key_stays_where_the_other_side_takes_another() {
    for (said, chosen) in [("[pad]", 1), ("[static]", 0)] {
        let mut bench = Bench::new();
        let dtls_off = [("DTLS", "off")];
        for (other, sdes) in [(0, "[pad]"), (1, said)] {
            bench.offer("a", &secured("198.51.100.1", &[0, 1]), &dtls_off);
            let answer = secured("198.51.100.2", &[other]);
            let answer = bench.answer("a", "b", &answer, &[("SDES", sdes)]);
            let (tag, suite, _) = KEYS[if other == 0 { 0 } else { chosen }];
            assert_eq!(cryptos(&answer), [format!("{tag} {suite}")], "{said}");
        }
    }
}

#[test]
fn reports_may_go_in_the_clear_and_media_may_not() {
    let mut bench = Bench::new();
    let words = "[unencrypted_srtp unencrypted_srtcp unauthenticated_srtp]";
    let asked = [SECURE, ("DTLS", "off"), ("SDES", words)];
    let offer = cryptos(&bench.offer("a", &audio("198.51.100.1", 4000, ""), &asked));
    assert!(offer.iter().all(|key| key.ends_with(" UNENCRYPTED_SRTCP")), "{offer:?}");
}

/// A description with DTLS beside its keys.
fn with_dtls(sdp: &str, setup: &str) -> String {
    let print = vec!["AB"; 20].join(":");
    format!("{sdp}a=setup:{setup}\r\na=fingerprint:sha-1 {print}\r\n")
}

#[test]
fn dtls_gives_way_to_keys_where_those_are_preferred() {
    for (asked, has_keys) in [(vec![PLAIN], false), (vec![PLAIN, ("SDES", "[prefer]")], true)] {
        let mut bench = Bench::new();
        bench.offer("a", &with_dtls(&secured("198.51.100.1", &[0]), "actpass"), &asked);
        let answer = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
        assert_eq!(cryptos(&answer).len(), usize::from(has_keys), "{answer}");
        assert_eq!(answer.contains("a=setup:active"), !has_keys, "{answer}");
    }
}

#[test]
fn the_offerer_opens_where_the_node_is_to_be_passive_towards_it() {
    let offer = with_dtls(&audio("198.51.100.1", 4000, ""), "actpass");
    for (asked, setup) in
        [(vec![PLAIN], "active"), (vec![PLAIN, ("DTLS-reverse", "passive")], "passive")]
    {
        let mut bench = Bench::new();
        bench.offer("a", &offer.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"), &asked);
        let answer = bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
        assert!(answer.contains(&format!("a=setup:{setup}\r\n")), "{answer}");
    }
}

#[test]
fn candidates_that_come_before_the_answer_wait_for_it() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[("ICE", "force")]);
    let ice = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
    let piece = format!(
        "{ice}m=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
         a=candidate:1 1 UDP 2130706431 198.51.100.2 5000 typ host\r\n"
    );
    let asked = [("from-tag", "a"), ("to-tag", "b"), ("sdp", &piece), ("flags", "[fragment]")];
    let reply = bench.ask("answer", &asked);
    assert_eq!((text(&reply, "result"), text(&reply, "sdp")), ("ok".into(), String::new()));
    assert_eq!(bench.call.early.len(), 1);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ice), &[("ICE", "force")]);
    assert!(bench.call.early.is_empty());
}

#[test]
fn what_is_told_to_pass_keeps_its_keys() {
    let mut bench = Bench::new();
    let offer = with_dtls(&secured("198.51.100.1", &[0]), "actpass");
    let passed = bench.offer("a", &offer, &[("passthrough", "on")]);
    for line in offer.lines().filter(|line| line.starts_with("a=crypto") || line.contains("sha-1"))
    {
        assert!(passed.contains(line), "{passed}");
    }
}

#[test]
fn an_answer_with_other_ice_credentials_restarts_nothing() {
    let mut bench = Bench::new();
    let ufrag = |sdp: &str| {
        sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().to_owned()
    };
    let offer = |bench: &mut Bench, more: &[(&str, &str)]| {
        ufrag(&bench.offer("a", &audio("198.51.100.1", 4000, ""), more))
    };
    let told = offer(&mut bench, &[("ICE", "force")]);
    for name in ["abcd", "efgh"] {
        let ice = format!("a=ice-ufrag:{name}\r\na=ice-pwd:0123456789012345678901\r\n");
        bench.commands.clear();
        bench.answer("a", "b", &audio("198.51.100.2", 5000, &ice), &[("ICE", "force")]);
        let is_told = |command: &Command| matches!(command, Command::SetRemoteCredentials { .. });
        let restarts = |command: &Command| matches!(command, Command::RestartIce { .. });
        assert!(bench.commands.iter().any(is_told), "{name}");
        assert!(!bench.commands.iter().any(restarts), "{name}");
    }
    assert_eq!(offer(&mut bench, &[("to-tag", "b"), ("ICE", "force")]), told);
}

/// Places of the transports that were told keys since the last time.
fn keyed(bench: &mut Bench) -> Vec<u8> {
    let told = bench.commands.drain(..).filter_map(|command| match command {
        Command::SetKeys { transport, .. } => Some(transport.index),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_port_of_reports_that_is_used_again_gets_the_keys_that_came_meanwhile() {
    let mut bench = Bench::new();
    let mut agree = |key: usize, mux: &str| {
        let offer = secured("198.51.100.1", &[key]) + mux;
        bench.offer("a", &offer, &[PLAIN, ("rtcp-mux", "[accept]")]);
        bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
        keyed(&mut bench)
    };
    agree(0, "");
    assert_eq!(agree(1, "a=rtcp-mux\r\n"), [0], "RTCP comes to the port of media");
    assert!(agree(1, "a=rtcp-mux\r\n").is_empty());
    assert_eq!(agree(1, ""), [1], "which has other keys than it had");
    assert!(agree(1, "").is_empty());
}
