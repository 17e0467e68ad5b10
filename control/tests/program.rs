//! The program as a person at a terminal meets it.

use std::process::{Command, Output};

#[test]
fn check_tells_what_takes_effect_and_which_ports_to_open() {
    let done = causeway(&["check", "--bind", "172.31.5.10", "--announce", "203.0.113.5"]);
    assert!(done.status.success(), "{done:?}");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(text.contains("announce = \"203.0.113.5\""), "{text}");
    assert!(text.contains("udp 40500"), "{text}");
}

#[test]
fn a_faulty_configuration_is_told_on_standard_error_and_by_the_exit_code() {
    let done = causeway(&["check", "--bind", "here"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("--bind"), "{done:?}");
}

fn causeway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(arguments)
        .env_remove("CAUSEWAY_CONFIG")
        .output()
        .expect("the program runs")
}
