//! The differential test: the same `ng` requests go to the real rtpengine and to the server under test,
//! and their replies must be the same, line by line, but for what is random ([`normal`]) and for what is
//! meant to differ ([`intended`]).
//!
//! The requests stand in `*.txt` beside this file ([`script`] tells how). `TEST_NG_TARGET` names the
//! server ([`causeway_tests::server`]); with `rtpengine` two of them are compared, which proves that
//! what is compared is not random. `TEST_NG_ONLY=words` runs the scenarios whose name has these words,
//! `TEST_NG_TRANSCRIPT=folder` writes down there what rtpengine replied, and each difference.

mod difference;
mod intended;
mod normal;
mod script;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::{env, fs};

use causeway_control::ng::{Dictionary, Value, bencode};
use causeway_tests::ng::{Ng, Reply};
use causeway_tests::requires;
use causeway_tests::rtpengine::Rtpengine;
use causeway_tests::server::{Interface, Server, target};

use intended::Allowance;
use normal::Normal;
use script::{Body, Scenario, Step};

/// Each file of scenarios, and the test that runs it.
macro_rules! scripts {
    ($($test:ident: $file:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            requires!(Rtpengine);
            compare($file, include_str!(concat!($file, ".txt")));
        })+

        #[test]
        fn every_scenario_can_be_read_and_has_a_name_of_its_own() {
            let all = [$(include_str!(concat!($file, ".txt"))),+];
            let mut names: Vec<_> = all.iter().flat_map(|text| script::read(text)).map(|it| it.name).collect();
            println!("{} scenarios", names.len());
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    };
}

scripts! {
    descriptions_are_rewritten_alike: "descriptions",
    transport_protocols_are_converted_alike: "transports",
    ice_and_rtcp_multiplexing_are_treated_alike: "ice",
    keys_are_exchanged_alike: "security",
    flags_are_followed_alike: "flags",
    codecs_are_filtered_alike: "codecs",
    calls_branches_and_errors_are_kept_alike: "calls",
}

#[test]
fn a_repeated_cookie_is_answered_from_memory_and_none_not_at_all() {
    requires!(Rtpengine);
    let server = Server::under_test(&interfaces());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let patience = std::time::Duration::from_secs(10);
    let ask = |datagram: &[u8]| {
        socket.send_to(datagram, server.ng()).expect("it is sent");
        causeway_tests::phone::receive(&socket, patience).expect("a reply")
    };
    let ping = ask(b"cookie_1 d7:command4:pinge");
    assert_eq!(ping, b"cookie_1 d6:result4:ponge");
    assert_eq!(ask(b"cookie_1 d7:command4:nonee"), ping, "nothing was done again");
    // What has no cookie leaves no trace: the next reply is that to the next question.
    socket.send_to(b"d7:command4:pinge", server.ng()).expect("it is sent");
    assert_eq!(ask(b"cookie_2 d7:command4:pinge"), b"cookie_2 d6:result4:ponge");
    assert_eq!(ask(br#"cookie_3 {"command":"ping"}"#), br#"cookie_3 {"result":"pong"}"#);
}

fn compare(file: &str, text: &str) {
    let interfaces = interfaces();
    let oracle = Rtpengine::start(&interfaces);
    let server = Server::under_test(&interfaces);
    let mut sides = [
        Side { client: Ng::new(oracle.ng), ports: oracle.ports },
        Side { client: server.client(), ports: server.ports() },
    ];
    let only = env::var("TEST_NG_ONLY").unwrap_or_default();
    let (mut allowance, mut transcript, mut faults) =
        (Allowance::of(&target()), String::new(), Vec::new());
    let scenarios = script::read(text);
    let chosen: Vec<_> =
        scenarios.iter().filter(|scenario| scenario.name.contains(&only)).collect();
    for scenario in &chosen {
        let [theirs, ours] = sides.each_mut().map(|side| side.run(scenario));
        let _ = writeln!(transcript, "== {}\n{}", scenario.name, tell(scenario, &theirs));
        faults.extend(allowance.fault(scenario, &theirs, &ours));
    }
    let alike = chosen.len() - faults.len();
    faults.extend(allowance.idle(&chosen));
    if let Ok(folder) = env::var("TEST_NG_TRANSCRIPT") {
        fs::write(format!("{folder}/{file}.txt"), transcript).expect("it can be written");
        fs::write(format!("{folder}/{file}.diff"), &allowance.seen).expect("it can be written");
    }
    println!("{file}: {alike} of {} scenarios are answered alike", chosen.len());
    assert!(faults.is_empty(), "{alike} of {} alike\n{}", chosen.len(), faults.join("\n"));
}

/// Both servers have the same addresses; the first is where media goes if nobody says.
fn interfaces() -> Vec<Interface> {
    let mut all = vec![
        Interface { name: "pub", bind: Ipv4Addr::LOCALHOST.into() },
        Interface { name: "priv", bind: Ipv4Addr::new(127, 0, 0, 2).into() },
    ];
    let six = IpAddr::from(Ipv6Addr::LOCALHOST);
    if UdpSocket::bind((six, 0)).is_ok() {
        all.insert(1, Interface { name: "pub", bind: six });
    }
    all
}

/// A server that is asked.
struct Side {
    client: Ng,
    ports: (u16, u16),
}

impl Side {
    /// What it replies to each step. Its calls are gone afterwards.
    fn run(&mut self, scenario: &Scenario) -> Vec<Vec<String>> {
        let mut normal = Normal::new(self.ports);
        let (mut replies, mut sdp) = (Vec::new(), String::new());
        for step in &scenario.steps {
            let reply = self.ask(step, &sdp, &mut normal);
            replies.push(normal.lines(&reply, step.names_only));
            if reply.lookup("sdp").is_some() {
                sdp = reply.text("sdp");
            }
        }
        for call in scenario.calls() {
            let delete = Dictionary::new().with("command", "delete").with("call-id", call);
            self.client.ask(&delete.with("delete-delay", 0_i64));
        }
        replies
    }

    fn ask(&mut self, step: &Step, last: &str, normal: &mut Normal) -> Reply {
        let patience = std::time::Duration::from_secs(10);
        let document = match &step.body {
            Body::Raw(document) => document.as_bytes().to_vec(),
            body => {
                let request = step.request.clone();
                let request = match body {
                    Body::Sdp(sdp) => request.with("sdp", sdp.as_str()),
                    Body::Last => request.with("sdp", last),
                    _ => request,
                };
                bencode::encode(&Value::Dictionary(request))
            }
        };
        normal.sent(&step.body);
        let reply = self.client.ask_raw(&document, patience);
        reply.unwrap_or_else(|| panic!("no reply to {}", step.line))
    }
}

/// The steps with their replies.
fn tell(scenario: &Scenario, replies: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (step, reply) in scenario.steps.iter().zip(replies) {
        let _ = writeln!(text, "> {}", step.line);
        if let Body::Sdp(sdp) = &step.body {
            sdp.lines().for_each(|line| {
                let _ = writeln!(text, "> | {line}");
            });
        }
        reply.iter().for_each(|line| {
            let _ = writeln!(text, "    {line}");
        });
    }
    text
}
