//! The house's rules, as tests over the repository's own files.
//!
//! A rule looks at one file ([`FILE_RULES`], each with a sample that it must refuse and one that it
//! must let pass) or at the whole tree. What it finds reads `path:line: what is wrong`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Lines that a file of the engine or control may have, tests aside. May only go down.
const LINES_MAX: usize = 1000;

/// What may lie at the top of the repository, besides dot-files and what `.gitignore` names.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "engine",
    "control",
    "bench",
    "tests",
    "tuning",
];

/// The engine's layers, lowest first: a module may name its own layer and those below.
const ENGINE_LAYERS: &[&[&str]] = &[
    &["sys", "packet", "plain", "few"],
    &[
        "demux", "rtp", "rtcp", "srtp", "stun", "consent", "relay", "quota", "ring", "twcc",
        "asked", "learning", "gate",
    ],
    &["pictures", "voice", "tone"],
    &["transport", "leg", "stream", "pipe", "digit", "route", "layers", "selection", "bandwidth"],
    &["hop", "tables", "warm", "doors", "steering"],
    &[
        "worker",
        "apply",
        "allocation",
        "feedback",
        "verbatim",
        "tap",
        "stranger",
        "standin",
        "repeats",
        "sweep",
        "restart",
        "relaying",
        "edge",
    ],
    &["link", "export"],
    &["lib"],
];
/// The engine's words, which everyone may use.
const ENGINE_WORDS: &[&str] = &["command", "config", "error", "stats"];

/// Control's layers, lowest first.
const CONTROL_LAYERS: &[&[&str]] = &[
    &["stun"],
    &["sdp", "ice", "dtls", "turn", "ng", "cloud", "address", "ports"],
    &["call"],
    &["proxied"],
    &["auth", "calls", "records", "recording"],
    &["actors"],
    &["ng_server"],
    &["rest", "web", "check", "cli"],
    &["lib", "main"],
];
/// Control's words, which everyone may use.
const CONTROL_WORDS: &[&str] = &["api", "config", "error"];

/// Control's protocol machines: bytes and time go in, outputs come out.
const MACHINES: &[&str] = &["sdp", "ice", "dtls", "stun", "turn", "ng", "call", "proxied"];

/// Shells that may ask what time it is.
const CLOCK_SHELLS: &[&str] = &[
    "engine/src/sys/",
    "engine/src/link.rs",
    "engine/src/export/",
    "engine/src/worker.rs",
    "engine/src/worker/",
    "control/src/actors",
    "control/src/ng_server",
    "control/src/rest",
    "control/src/auth.rs",
    "control/src/cloud/fetch.rs",
    "control/src/records/post.rs",
    "control/src/main.rs",
    "tests/",
    "bench/",
];

/// Names that say nothing.
const HOLLOW_SUFFIXES: &[&str] = &["Manager", "Handler", "Helper", "Utils"];

type Check = fn(&Source) -> Vec<Finding>;

/// A rule about one file, with proof that it bites and that it does not bite everything.
struct FileRule {
    check: Check,
    refused: &'static [(&'static str, &'static str)],
    passed: &'static [(&'static str, &'static str)],
}

const FILE_RULES: &[FileRule] = &[
    FileRule {
        check: unsafe_stays_in_sys,
        refused: &[("engine/src/rtp.rs", "fn f() { unsafe { g() } }")],
        passed: &[
            ("engine/src/sys/uring.rs", "fn f() { unsafe { g() } }"),
            ("engine/src/rtp.rs", "#![forbid(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";"),
        ],
    },
    FileRule {
        check: control_forbids_unsafe,
        refused: &[
            ("control/src/lib.rs", "pub mod api;"),
            ("control/src/main.rs", "// #![forbid(unsafe_code)]\nuse actix::System;"),
        ],
        passed: &[("control/src/lib.rs", "#![forbid(unsafe_code)]\npub mod api;")],
    },
    FileRule {
        check: unsafe_is_argued,
        refused: &[
            ("engine/src/sys/a.rs", "// SAFETY: far\n\n\n\nlet a = unsafe { g() };"),
            ("engine/src/sys/a.rs", "unsafe impl Send for A {}"),
            ("engine/src/sys/a.rs", "/// Does it.\npub unsafe fn g() {}"),
            ("engine/src/sys/a.rs", "// SAFETY: no doc\npub unsafe fn g() {}"),
        ],
        passed: &[
            ("engine/src/sys/a.rs", "// SAFETY: argued\n// at length.\nlet a = unsafe { g() };"),
            (
                "engine/src/sys/a.rs",
                "/// Does it.\n///\n/// # Safety\n/// Once.\n#[inline]\npub unsafe fn g() {}",
            ),
            ("engine/src/sys/a.rs", "type F = unsafe fn(u8);"),
        ],
    },
    FileRule {
        check: engine_knows_no_control,
        refused: &[
            ("engine/src/rtp.rs", "use tokio::net::UdpSocket;"),
            ("engine/src/sys/a.rs", "fn f() { tracing::info!(1) }"),
            ("engine/Cargo.toml", "serde = \"1\""),
        ],
        passed: &[
            ("engine/src/rtp.rs", "// no tokio here\nconst A: &str = \"serde\";"),
            ("control/src/actors/a.rs", "use tokio::net::UdpSocket;"),
        ],
    },
    FileRule {
        check: imports_run_one_way,
        refused: &[
            ("engine/src/sys/uring.rs", "use crate::demux::Class;"),
            ("engine/src/packet.rs", "use crate::{config::A, rtp};"),
            ("engine/src/srtp/kdf.rs", "use crate::{\n    config::{A, B},\n    leg::Leg,\n};"),
            ("engine/src/leg.rs", "fn f() { crate::worker::run() }"),
            ("engine/src/rtp.rs", "use crate::nobody::A;"),
            ("control/src/stun/mod.rs", "use crate::turn::A;"),
            ("control/src/call.rs", "use crate::actors::A;"),
        ],
        passed: &[
            ("engine/src/leg.rs", "use crate::{config::A, route::B, srtp, sys::frames::{C, D}};"),
            ("engine/src/command.rs", "use crate::leg::Leg;"),
            ("engine/src/rtp.rs", "#[cfg(test)]\nmod tests { use crate::worker::A; }"),
            ("control/src/actors/call.rs", "use crate::call::Call; use crate::api::A;"),
        ],
    },
    FileRule {
        check: machines_do_no_io,
        refused: &[
            ("control/src/ice/mod.rs", "use std::net::{SocketAddr, UdpSocket};"),
            ("control/src/dtls.rs", "use actix::Addr;"),
            ("control/src/call.rs", "fn f() { Instant::now(); }"),
        ],
        passed: &[
            ("control/src/ice/mod.rs", "use std::net::SocketAddr; use std::time::Instant;"),
            ("control/src/actors/call.rs", "use std::net::UdpSocket;"),
        ],
    },
    FileRule {
        check: nothing_is_left_for_later,
        refused: &[
            ("engine/src/rtp.rs", concat!("// TO", "DO: more")),
            ("README.md", concat!("FIX", "ME")),
            ("tuning/apply", concat!("# HA", "CK")),
            ("bench/src/lib.rs", concat!("fn f() { to", "do!() }")),
            ("tests/src/lib.rs", concat!("fn f() { unimpl", "emented!() }")),
            ("tests/src/lib.rs", concat!("fn f() { d", "bg!(1); }")),
        ],
        passed: &[("engine/src/rtp.rs", "// A mastodon's hackles.\nfn f() { a_dbg(); }")],
    },
    FileRule {
        check: rfcs_are_cited_alike,
        refused: &[
            ("engine/src/rtp.rs", "// see RFC3550"),
            ("engine/src/rtp.rs", "// see rfc3550"),
            ("engine/src/rtp.rs", "// see rfc 3550"),
            ("engine/src/rtp.rs", "/// RFC-3550"),
            ("engine/src/rtp.rs", "/// Section 5 of RFC 3550"),
            ("engine/src/rtp.rs", "/// RFC 3550 section 5"),
            ("engine/src/rtp.rs", "/// RFC 3550, Section 5"),
            ("engine/src/rtp.rs", "/// RFC 3550 §"),
            ("engine/src/rtp.rs", "/// RFC 3550§5"),
            ("README.md", "RFC3550"),
        ],
        passed: &[
            ("engine/src/rtp.rs", "/// RFC 3550 §6.4.1, RFC 3711 and RFC 8489 §14.5; an RFC."),
            (
                "engine/src/rtp.rs",
                "/// RFC 5769 §2.1 to §2.3, RFC 8656 §A.1\nfn rfc5769_vectors() {}",
            ),
        ],
    },
    FileRule {
        check: clocks_are_read_in_shells,
        refused: &[
            ("engine/src/consent.rs", "let now = Instant::now();"),
            ("control/src/api.rs", "let now = std::time::SystemTime::now();"),
            ("engine/src/leg.rs", "let age = start.elapsed();"),
            ("engine/src/leg.rs", "libc::clock_gettime(0, &mut t);"),
        ],
        passed: &[
            ("control/src/actors/call.rs", "let now = Instant::now();"),
            ("control/src/sdp/tests.rs", "let now = Instant::now();"),
            ("engine/src/leg.rs", "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"),
        ],
    },
    FileRule {
        check: libraries_do_not_print,
        refused: &[
            ("engine/src/leg.rs", "println!(\"{a}\");"),
            ("control/src/config.rs", "print!(\"{a}\");"),
        ],
        passed: &[
            ("control/src/main.rs", "println!(\"{a}\");"),
            ("bench/src/load.rs", "println!(\"{a}\");"),
            ("engine/src/leg.rs", "// println!(\nlet a = \"println!(\";"),
        ],
    },
    FileRule {
        check: names_say_something,
        refused: &[
            ("engine/src/leg.rs", "pub fn get_leg() {}"),
            ("engine/src/leg.rs", "pub(crate) async fn get_leg() {}"),
            ("engine/src/leg.rs", "struct LegManager;"),
            ("control/src/api.rs", "pub trait CallHandler {}"),
            ("control/src/api.rs", "enum SdpUtils {}"),
            ("control/src/api.rs", "type RestHelper<T> = T;"),
        ],
        passed: &[
            ("engine/src/leg.rs", "pub fn get() {} fn forget_leg() {} struct Handlers;"),
            ("control/src/actors/a.rs", "impl Handler<Stop> for Call {}"),
        ],
    },
];

#[test]
fn every_file_keeps_the_rules() {
    let findings: Vec<Finding> = tree()
        .iter()
        .flat_map(|source| FILE_RULES.iter().flat_map(|rule| (rule.check)(source)))
        .collect();
    assert_none(&findings);
}

#[test]
fn every_rule_refuses_what_it_should_and_nothing_else() {
    for (index, rule) in FILE_RULES.iter().enumerate() {
        for (path, text) in rule.refused {
            let found = (rule.check)(&Source::new(path, text));
            assert!(!found.is_empty(), "rule {index} lets {path} pass: {text}");
        }
        for (path, text) in rule.passed {
            assert_none(&(rule.check)(&Source::new(path, text)));
        }
    }
}

#[test]
fn no_file_is_too_long() {
    assert_none(&tree().iter().filter_map(too_long).collect::<Vec<_>>());
    let lines = |path: &str, count: usize| Source::new(path, &"fn f() {}\n".repeat(count));
    assert!(too_long(&lines("engine/src/leg.rs", LINES_MAX + 1)).is_some());
    assert!(too_long(&lines("engine/src/leg.rs", LINES_MAX)).is_none());
    assert!(too_long(&lines("engine/src/leg/tests.rs", LINES_MAX + 1)).is_none());
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}", "\n".repeat(LINES_MAX));
    assert!(too_long(&Source::new("engine/src/leg.rs", &tested)).is_none());
}

#[test]
fn every_module_is_reachable() {
    assert_none(&orphans(&tree()));
    let of = |files: &[(&str, &str)]| {
        let files: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        orphans(&files).len()
    };
    let lib = ("engine/src/lib.rs", "pub mod a;\n// mod b;");
    assert_eq!(of(&[lib, ("engine/src/a.rs", "")]), 0);
    assert_eq!(of(&[lib, ("engine/src/b.rs", "")]), 1);
    assert_eq!(of(&[lib, ("engine/src/a/mod.rs", "mod c;"), ("engine/src/a/c.rs", "")]), 0);
    assert_eq!(of(&[lib, ("engine/src/a.rs", "mod c;"), ("engine/src/a/c.rs", "")]), 0);
    assert_eq!(of(&[lib, ("engine/src/a.rs", ""), ("engine/src/a/c.rs", "")]), 1);
}

#[test]
fn every_drop_reason_is_documented_and_counted() {
    assert_none(&neglected_reasons(&tree()));
    let error = "drop_reasons! {\n    /// Why.\n    One = \"one\",\n    Two = \"two\",\n}\n";
    let of = |others: &[(&str, &str)]| {
        let mut files = vec![Source::new("engine/src/error.rs", error)];
        files.extend(others.iter().map(|(path, text)| Source::new(path, text)));
        neglected_reasons(&files).len()
    };
    let undocumented = 1;
    assert_eq!(of(&[]), undocumented);
    let both = ("engine/src/worker.rs", "count(DropReason::One); count(DropReason::Two);");
    assert_eq!(of(&[both]), undocumented);
    let one = ("engine/src/worker.rs", "count(DropReason::One); // DropReason::Two");
    assert_eq!(of(&[one]), undocumented + 1);
    assert_eq!(of(&[both, ("control/src/rest/metrics.rs", "")]), undocumented + 1);
    assert_eq!(of(&[both, ("control/src/rest/metrics.rs", "DropReason::ALL")]), undocumented);
}

#[test]
fn the_top_level_holds_what_it_should() {
    let root = root();
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let entries: Vec<String> = fs::read_dir(root)
        .expect("the repository can be listed")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_none(&strays(&entries, &ignored));
    let entries = ["Cargo.toml", ".git", "target", "notes.md"].map(str::to_owned);
    assert_eq!(strays(&entries, "/target\n").len(), 1);
}

fn unsafe_stays_in_sys(source: &Source) -> Vec<Finding> {
    if source.path.starts_with("engine/src/sys/") {
        return Vec::new();
    }
    source.forbid(&source.code, &["unsafe"], "unsafe outside of engine/src/sys/")
}

/// A crate root that holds nothing yet has nothing to forbid.
fn control_forbids_unsafe(source: &Source) -> Vec<Finding> {
    let is_root = matches!(source.path.as_str(), "control/src/lib.rs" | "control/src/main.rs");
    let holds_code = ["use", "mod"].iter().any(|word| has_word(&source.code, word));
    let forbids = source.code.contains("#![forbid(unsafe_code)]");
    if is_root && holds_code && !forbids {
        return vec![source.finding(0, "#![forbid(unsafe_code)] is missing")];
    }
    Vec::new()
}

fn unsafe_is_argued(source: &Source) -> Vec<Finding> {
    words(&source.code, "unsafe")
        .filter_map(|at| {
            let behind = source.code[at + "unsafe".len()..].trim_start();
            let is_type = behind.starts_with("fn(") || behind.starts_with("extern \"C\" fn(");
            let is_fn = behind.starts_with("fn ");
            let wanted = if is_fn { "# Safety" } else { "// SAFETY:" };
            let argued = is_type || source.notes_above(at).iter().any(|line| line.contains(wanted));
            (!argued).then(|| source.finding(at, &format!("unsafe without {wanted}")))
        })
        .collect()
}

fn engine_knows_no_control(source: &Source) -> Vec<Finding> {
    let names = [
        "actix",
        "actix_rt",
        "actix_web",
        "serde",
        "serde_json",
        "tokio",
        "tracing",
        "causeway_control",
    ];
    let what = "the engine has no async runtime, no serialisation, no log and no control";
    if source.path == "engine/Cargo.toml" {
        return source.forbid(&source.text, &names, what);
    }
    if !source.path.starts_with("engine/src/") {
        return Vec::new();
    }
    source.forbid(&source.code, &names, what)
}

fn imports_run_one_way(source: &Source) -> Vec<Finding> {
    let Some((krate, module)) = source.module() else { return Vec::new() };
    let (layers, free) = match krate {
        "engine" => (ENGINE_LAYERS, ENGINE_WORDS),
        "control" => (CONTROL_LAYERS, CONTROL_WORDS),
        _ => return Vec::new(),
    };
    let layer_of = |name: &str| layers.iter().position(|layer| layer.contains(&name));
    if free.contains(&module) {
        return Vec::new();
    }
    let Some(own) = layer_of(module) else {
        return vec![source.finding(0, "the module stands in no layer of tests/tests/tidy.rs")];
    };
    crate_imports(source.shipped())
        .into_iter()
        .filter(|(_, name)| !free.contains(name) && layer_of(name).is_none_or(|layer| layer > own))
        .map(|(at, name)| source.finding(at, &format!("{module} may not import {name}")))
        .collect()
}

fn machines_do_no_io(source: &Source) -> Vec<Finding> {
    match source.module() {
        Some(("control", module)) if MACHINES.contains(&module) && !source.is_test() => {}
        _ => return Vec::new(),
    }
    let names = [
        "actix",
        "actix_rt",
        "actix_web",
        "tokio",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "Instant::now",
        "SystemTime::now",
    ];
    source.forbid(source.shipped(), &names, "a machine names no socket, clock or runtime")
}

fn nothing_is_left_for_later(source: &Source) -> Vec<Finding> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("HA", "CK")];
    let macros = [concat!("to", "do!"), concat!("unimpl", "emented!"), concat!("d", "bg!")];
    let mut findings = source.forbid(&source.text, &marks, "nothing is left for later");
    if source.is_rust() {
        findings.extend(source.forbid(&source.code, &macros, "nothing is left for later"));
    }
    findings
}

/// `RFC 1234` or `RFC 1234 §5.6`.
fn rfcs_are_cited_alike(source: &Source) -> Vec<Finding> {
    let prose = match source.path.rsplit('.').next() {
        Some("rs") => &source.comments,
        Some("md") => &source.text,
        _ => return Vec::new(),
    };
    let lower = prose.to_ascii_lowercase();
    lower
        .match_indices("rfc")
        .filter(|(at, _)| !lower[..*at].ends_with(is_word))
        .filter(|(at, _)| !is_citation(&prose[..*at], &prose[*at..]))
        .map(|(at, _)| source.finding(at, "write `RFC 1234` or `RFC 1234 §5.6`"))
        .collect()
}

fn is_citation(before: &str, from: &str) -> bool {
    let behind = &from[3..];
    let separators = |c: char| matches!(c, ' ' | '-' | '_' | '\u{a0}');
    if !behind.trim_start_matches(separators).starts_with(|c: char| c.is_ascii_digit()) {
        // The word alone, or a name such as `RFCs`.
        return true;
    }
    let Some(number) = from.strip_prefix("RFC ") else { return false };
    let rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest_lower = rest.trim_start_matches([',', ' ', '(']).to_ascii_lowercase();
    let section = match rest.find('§') {
        Some(0) => false,
        Some(1) => {
            rest.starts_with(" §")
                && rest[" §".len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
        }
        _ => true,
    };
    let before = before.trim_end().to_ascii_lowercase();
    let named_before = before.rsplit('\n').next().is_some_and(|line| {
        let mut words = line.rsplit(' ');
        words.next() == Some("of") && words.nth(1).is_some_and(|word| word.ends_with("section"))
    });
    section && !rest_lower.starts_with("section") && !named_before
}

fn clocks_are_read_in_shells(source: &Source) -> Vec<Finding> {
    let is_shell = CLOCK_SHELLS.iter().any(|shell| source.path.starts_with(shell));
    if is_shell || source.is_test() || !source.is_rust() {
        return Vec::new();
    }
    let reads = ["Instant::now", "SystemTime::now", "Utc::now", "clock_gettime", "elapsed"];
    source.forbid(source.shipped(), &reads, "time is read in the shells and passed down")
}

fn libraries_do_not_print(source: &Source) -> Vec<Finding> {
    let is_library = source.path.starts_with("engine/") || source.path.starts_with("control/");
    if !is_library || source.path == "control/src/main.rs" || source.is_test() {
        return Vec::new();
    }
    source.forbid(source.shipped(), &["println!", "print!"], "only main, bench and tests print")
}

fn names_say_something(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in words(&source.code, "fn") {
        let name = source.code[at + 2..].trim_start();
        let line = source.code[..at].rsplit('\n').next().unwrap_or_default();
        if name.starts_with("get_") && has_word(line, "pub") {
            findings.push(source.finding(at, "a getter is named after what it returns"));
        }
    }
    for keyword in ["struct", "enum", "trait", "type", "union"] {
        for at in words(&source.code, keyword) {
            let name = source.code[at + keyword.len()..].trim_start();
            let name = name.split(|c| !is_word(c)).next().unwrap_or_default();
            if HOLLOW_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                findings.push(source.finding(at, "the type's name says nothing"));
            }
        }
    }
    findings
}

fn too_long(source: &Source) -> Option<Finding> {
    let counted = ["engine/", "control/"].iter().any(|krate| source.path.starts_with(krate));
    let lines = source.shipped().lines().count();
    (counted && source.is_rust() && !source.is_test() && lines > LINES_MAX)
        .then(|| source.finding(0, &format!("{lines} lines, allowed are {LINES_MAX}")))
}

fn orphans(files: &[Source]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| !is_reachable(file, files))
        .map(|file| file.finding(0, "no `mod` names this file"))
        .collect()
}

fn is_reachable(file: &Source, files: &[Source]) -> bool {
    let Some((krate, inside)) = file.path.split_once("/src/") else { return true };
    let Some(module) = inside.strip_suffix(".rs") else { return true };
    let module = module.strip_suffix("/mod").unwrap_or(module);
    if matches!(module, "lib" | "main") || module.starts_with("bin/") {
        return true;
    }
    let (parents, name) = match module.rsplit_once('/') {
        Some((parent, name)) => (vec![format!("{parent}.rs"), format!("{parent}/mod.rs")], name),
        None => (vec!["lib.rs".to_owned(), "main.rs".to_owned()], module),
    };
    let declares = |parent: &Source| {
        words(&parent.code, "mod").any(|at| {
            let declared = parent.code[at + 3..].trim_start();
            declared.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(';'))
        })
    };
    files
        .iter()
        .filter(|other| parents.iter().any(|parent| other.path == format!("{krate}/src/{parent}")))
        .any(declares)
}

/// Counting is asked for as soon as there is a worker, listing as soon as there are metrics.
fn neglected_reasons(files: &[Source]) -> Vec<Finding> {
    let Some(error) = files.iter().find(|file| file.path == "engine/src/error.rs") else {
        return Vec::new();
    };
    let has_worker = files.iter().any(|file| matches!(file.module(), Some(("engine", "worker"))));
    let mut findings = Vec::new();
    for (at, name, documented) in reasons(error) {
        let path = format!("DropReason::{name}");
        let counts = |file: &Source| {
            file.path.starts_with("engine/src/")
                && file.path != error.path
                && !file.is_test()
                && has_word(file.shipped(), &path)
        };
        if !documented {
            findings.push(error.finding(at, &format!("{path} is not documented")));
        }
        if has_worker && !files.iter().any(counts) {
            findings.push(error.finding(at, &format!("{path} is never counted")));
        }
    }
    let metrics = |file: &&Source| {
        file.path.starts_with("control/src/") && file.path.ends_with("/metrics.rs")
    };
    for file in files.iter().filter(metrics) {
        if !has_word(&file.code, "DropReason::ALL") {
            findings.push(file.finding(0, "metrics list every reason through DropReason::ALL"));
        }
    }
    findings
}

/// Offset, name and whether a doc comment precedes it, of every line `Name = "label",`.
fn reasons(error: &Source) -> Vec<(usize, &str, bool)> {
    let mut reasons = Vec::new();
    let (mut at, mut documented) = (0, false);
    for line in error.text.split_inclusive('\n') {
        let trimmed = line.trim();
        let label = trimmed.split_once(" = \"").filter(|(_, label)| label.ends_with("\","));
        if let Some((name, _)) = label.filter(|(name, _)| name.chars().all(is_word)) {
            reasons.push((at, name, documented));
        }
        documented = trimmed.starts_with("///");
        at += line.len();
    }
    reasons
}

fn strays(entries: &[String], ignored: &str) -> Vec<Finding> {
    let is_ignored = |name: &str| ignored.lines().any(|line| line.trim_matches('/') == name);
    entries
        .iter()
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .filter(|name| !is_ignored(name))
        .map(|name| Finding(format!("{name}: does not belong at the top level")))
        .collect()
}

/// What a rule found.
struct Finding(String);

fn assert_none(findings: &[Finding]) {
    let mut report = String::new();
    for finding in findings {
        let _ = writeln!(report, "{}", finding.0);
    }
    assert!(findings.is_empty(), "{} findings:\n{report}", findings.len());
}

/// A file of the repository. `code` and `comments` are the text with everything else blanked, so
/// that offsets and lines stay the same.
struct Source {
    path: String,
    text: String,
    code: String,
    comments: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let (code, comments) =
            if path.ends_with(".rs") { split(text) } else { (text.to_owned(), String::new()) };
        Self { path: path.to_owned(), text: text.to_owned(), code, comments }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Crate and top-level module.
    fn module(&self) -> Option<(&str, &str)> {
        let (krate, inside) = self.path.split_once("/src/")?;
        let module = inside.strip_suffix(".rs")?.split('/').next()?;
        (!self.is_test()).then_some((krate, module))
    }

    /// The code without a test module in the file itself, which stands at the end.
    fn shipped(&self) -> &str {
        let tests = self.code.find("#[cfg(test)]\nmod tests {");
        &self.code[..tests.unwrap_or(self.code.len())]
    }

    fn finding(&self, at: usize, what: &str) -> Finding {
        let line = self.text[..at].matches('\n').count() + 1;
        Finding(format!("{}:{line}: {what}", self.path))
    }

    fn forbid(&self, view: &str, names: &[&str], what: &str) -> Vec<Finding> {
        names
            .iter()
            .flat_map(|name| words(view, name).map(move |at| (at, name)))
            .map(|(at, name)| self.finding(at, &format!("`{name}`: {what}")))
            .collect()
    }

    /// The line of `at` and what stands up to three lines above it; a note may begin further up.
    fn notes_above(&self, at: usize) -> Vec<&str> {
        let mut code_lines = 0;
        let lines: Vec<&str> = self.text[..at].split('\n').collect();
        lines
            .into_iter()
            .rev()
            .take_while(|line| {
                let line = line.trim_start();
                let is_note = line.starts_with("//") || line.starts_with("#[");
                code_lines += usize::from(!is_note);
                code_lines <= 3
            })
            .collect()
    }
}

/// Modules named by `crate::a` and `crate::{a::b, c}`, with their offsets.
fn crate_imports(code: &str) -> Vec<(usize, &str)> {
    let mut imports = Vec::new();
    for at in words(code, "crate") {
        let Some(path) = code[at..].strip_prefix("crate::") else { continue };
        let start = at + "crate::".len();
        match path.strip_prefix('{') {
            Some(group) => imports.extend(
                group_heads(group).into_iter().map(|(inside, name)| (start + 1 + inside, name)),
            ),
            None => imports.push((start, head(path))),
        }
    }
    // `crate::SomeType` and `crate::macro!` come from the front door, not from a module.
    imports.retain(|(at, name)| {
        let behind = &code[at + name.len()..];
        name.starts_with(|c: char| c.is_ascii_lowercase()) && !behind.starts_with('!')
    });
    imports
}

/// First names of the members of a use group, up to its closing brace.
fn group_heads(group: &str) -> Vec<(usize, &str)> {
    let (mut depth, mut expects, mut heads) = (0, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => expects = true,
            c if expects && is_word(c) => {
                heads.push((at, head(&group[at..])));
                expects = false;
            }
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> &str {
    path.split(|c| !is_word(c)).next().unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Offsets at which `word` stands by itself.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let ends_open = !word.ends_with(is_word);
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let behind = &text[at + word.len()..];
        !text[..*at].ends_with(is_word) && (ends_open || !behind.starts_with(is_word))
    })
}

fn has_word(text: &str, word: &str) -> bool {
    words(text, word).next().is_some()
}

/// Splits Rust into code and comments; strings and characters belong to neither.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (len, kind) = token(rest, code.ends_with(is_word));
        let (piece, behind) = rest.split_at(len);
        let blank = || piece.split('\n').map(|line| " ".repeat(line.len())).collect::<Vec<_>>();
        let blank = blank().join("\n");
        code.push_str(if kind == Kind::Code { piece } else { &blank });
        comments.push_str(if kind == Kind::Comment { piece } else { &blank });
        rest = behind;
    }
    (code, comments)
}

#[derive(PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Length and kind of what comes first.
fn token(rest: &str, in_word: bool) -> (usize, Kind) {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Comment);
    }
    if rest.starts_with("/*") {
        return (rest.find("*/").map_or(rest.len(), |end| end + 2), Kind::Comment);
    }
    if rest.starts_with('"') {
        return (quoted(rest, '"'), Kind::Literal);
    }
    if !in_word && let Some(hashes) = raw_string(rest) {
        let close = format!("\"{}", "#".repeat(hashes));
        let open = rest.find('"').map_or(0, |quote| quote + 1);
        let end = rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len());
        return (end, Kind::Literal);
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        let mut inside = inside.chars();
        let escaped = inside.next() == Some('\\');
        if escaped || inside.next() == Some('\'') {
            return (quoted(rest, '\''), Kind::Literal);
        }
    }
    (first, Kind::Code)
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Number of hashes if a raw string starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    behind[hashes..].starts_with('"').then_some(hashes)
}

#[test]
fn code_and_comments_are_told_apart() {
    let text = "a(\"x // \\\" y\"); // b \"c\"\nr#\"d\"e\"#; '\"'; '\\''; &'f g; /* h\ni */ j";
    let (code, comments) = split(text);
    assert_eq!((code.len(), comments.len()), (text.len(), text.len()));
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&code), "a( ); ; ; ; &'f g; j");
    assert_eq!(squeeze(&comments), "// b \"c\" /* h i */");
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every text file of the repository that people write.
fn tree() -> Vec<Source> {
    let mut files = Vec::new();
    collect(root(), "", &mut files);
    assert!(files.iter().any(|file| file.path == "engine/src/lib.rs"), "the tree was found");
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be listed") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let is_folder = entry.file_type().expect("a type").is_dir();
        let skipped = name.starts_with('.') && is_folder
            || matches!(
                name.as_str(),
                "target" | "node_modules" | "vendor" | "Cargo.lock" | "LICENSE"
            );
        if skipped {
            continue;
        }
        if is_folder {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(Source::new(&path, &text));
        }
    }
}
