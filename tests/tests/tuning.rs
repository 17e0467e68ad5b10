//! Setting up a host, `tuning/`: on a host made of files, on a real card in a network namespace, and the node under the
//! seccomp profile. Nothing of the machine itself is set.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_engine::sys::socket::SOCKET_BUFFER;
use causeway_tests::node::Node;
use causeway_tests::phone::Phone;
use causeway_tests::requires;
use causeway_tests::requires::SYSTEM_PYTHON;
use causeway_tests::rtpengine::free_udp;
use causeway_tests::{namespace, root};
use serde_json::Value;

/// Files of a host that has nothing to be set, with four cores and a card of two queues.
const GOOD: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.9-amd64"),
    ("proc/sys/kernel/random/boot_id", "first"),
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/net/core/rmem_max", "8388608"),
    ("proc/sys/net/core/wmem_max", "1048576"),
    ("proc/sys/net/core/netdev_max_backlog", "10000"),
    ("proc/sys/net/core/netdev_budget", "600"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "35000,40500-40563"),
    (
        "proc/net/snmp",
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 9 0 0 9 0",
    ),
    ("proc/net/softnet_stat", "0000ffff 00000000 00000001\n000000ff 00000000 00000000"),
    ("proc/self/limits", LIMITS),
    ("proc/irq/30/smp_affinity_list", "0"),
    ("proc/irq/31/smp_affinity_list", "0"),
    ("proc/77/comm", "causeway"),
    ("proc/77/limits", LIMITS),
    ("proc/77/status", "Name:\tcauseway\nSeccomp:\t2"),
    ("proc/77/task/78/comm", "worker-0"),
    ("proc/77/task/78/status", "Cpus_allowed_list:\t1"),
    ("proc/77/task/79/comm", "worker-1"),
    ("proc/77/task/79/status", "Cpus_allowed_list:\t2"),
    ("proc/77/task/80/comm", "worker-2"),
    ("proc/77/task/80/status", "Cpus_allowed_list:\t3"),
    ("proc/77/task/81/comm", "dtls-0"),
    ("sys/devices/system/cpu/online", "0-3"),
    ("sys/devices/system/cpu/isolated", "1-3"),
    ("sys/devices/system/cpu/nohz_full", "1-3"),
    ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1"),
    ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2"),
    ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "2"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state1/latency", "133"),
    ("sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us", "20"),
    ("sys/devices/system/cpu/cpu2/power/pm_qos_resume_latency_us", "n/a"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock"),
    ("sys/class/net/card0/device/msi_irqs/30", "msix"),
    ("sys/class/net/card0/device/msi_irqs/31", "msix"),
    ("sys/class/net/card0/queues/rx-0/rps_cpus", "00000000,00000000"),
    ("sys/class/net/card0/queues/rx-1/rps_cpus", "00000000,00000000"),
    ("sys/class/net/card0/queues/tx-0/xps_cpus", "00000000,00000005"),
    ("sys/class/net/card0/queues/tx-1/xps_cpus", "00000000,0000000a"),
    ("sys/class/net/card0/statistics/rx_missed_errors", "0"),
    ("card/rx", "2048"),
    ("card/tx", "4096"),
    ("card/generic-receive-offload", "on"),
    ("card/rx-udp-gro-forwarding", "off"),
    ("card/rx-gro-list", "off"),
    ("card/tx-udp-segmentation", "on"),
];

const LIMITS: &str = "Max open files            1024                 65536                files\n\
                      Max locked memory         8388608              unlimited            bytes";

/// A file, what stands in it, and each setting that then is not as wanted: name, found, part of wanted.
type Plant = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

/// What a running host can change.
const CHANGEABLE: &[Plant] = &[
    ("proc/sys/net/core/rmem_max", "212992", &[("net.core.rmem_max", "212992", "1048576 or more")]),
    ("proc/sys/net/core/wmem_max", "212992", &[("net.core.wmem_max", "212992", "1048576 or more")]),
    (
        "proc/sys/net/core/netdev_max_backlog",
        "1000",
        &[("net.core.netdev_max_backlog", "1000", "10000 or more")],
    ),
    ("proc/sys/net/core/netdev_budget", "300", &[("net.core.netdev_budget", "300", "600 or more")]),
    (
        "proc/sys/net/ipv4/ip_local_reserved_ports",
        "35000",
        &[("net.ipv4.ip_local_reserved_ports", "35000", "40500-40563")],
    ),
    (
        "proc/sys/net/netfilter/nf_conntrack_max",
        "65536",
        &[
            ("conntrack exemption", "none", "40500-40563"),
            ("net.netfilter.nf_conntrack_max", "65536", "262144 or more"),
        ],
    ),
    ("proc/sys/kernel/io_uring_disabled", "2", &[("kernel.io_uring_disabled", "2", "0")]),
    (
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
        "powersave",
        &[("CPU governor", "performance powersave", "performance")],
    ),
    (
        "sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us",
        "0",
        &[("CPU sleep", "0 n/a", "20 or less")],
    ),
    ("proc/irq/31/smp_affinity_list", "0-3", &[("card0 interrupts", "0 0-3", "0")]),
    (
        "sys/class/net/card0/queues/rx-1/rps_cpus",
        "00000000,0000000f",
        &[("card0 rps_cpus", "00000000,00000000 00000000,0000000f", "0")],
    ),
    (
        "sys/class/net/card0/queues/tx-1/xps_cpus",
        "00000000,00000000",
        &[("card0 xps_cpus of tx-1", "00000000,00000000", "any core")],
    ),
    ("card/rx", "256", &[("card0 rx ring", "256", "2048 or more")]),
    ("card/tx", "512", &[("card0 tx ring", "512", "2048 or more")]),
    ("card/generic-receive-offload", "off", &[("card0 generic-receive-offload", "off", "on")]),
    ("card/rx-udp-gro-forwarding", "on", &[("card0 rx-udp-gro-forwarding", "on", "off")]),
    ("card/rx-gro-list", "on", &[("card0 rx-gro-list", "on", "off")]),
    ("card/tx-udp-segmentation", "off", &[("card0 tx-udp-segmentation", "off", "on")]),
];

/// What only people can change.
const TOLD: &[Plant] = &[
    ("proc/sys/kernel/osrelease", "5.10.0-8-amd64", &[("kernel", "5.10.0-8-amd64", "6.1")]),
    ("proc/sys/kernel/osrelease", "6.1.0-37-amd64", &[("kernel", "6.1.0-37-amd64", "6.12")]),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "hpet",
        &[("clock source", "hpet", "tsc or kvm-clock")],
    ),
    ("proc/net/snmp", "Udp: I N I O R\nUdp: 9 0 0 9 7", &[("lost: full sockets", "7", "0")]),
    (
        "proc/net/softnet_stat",
        "0000ffff 00000010 00000001\n000000ff 0000000a 00000000",
        &[("lost: backlog", "26", "0")],
    ),
    (
        "proc/self/limits",
        "Max open files            1024                 4096                files",
        &[("descriptors of this shell", "4096", "20000 or more")],
    ),
    (
        "proc/self/limits",
        "Max locked memory         8388608              8388608              bytes",
        &[("locked memory of this shell", "8388608", "67108864 or more")],
    ),
    ("sys/devices/system/cpu/isolated", "", &[("isolated cores", "none", "1-3")]),
    ("sys/devices/system/cpu/nohz_full", " (null)", &[("cores without tick", "none", "1-3")]),
    (
        "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
        "0,2",
        &[("siblings of core 2", "0", "none")],
    ),
    ("proc/50/comm", "irqbalance", &[("cores without irqbalance", "none", "1-3")]),
    ("sys/class/net/card0/statistics/rx_missed_errors", "4", &[("lost: card0", "4", "0")]),
];

#[test]
fn check_names_each_setting_that_is_not_as_wanted_and_no_other() {
    requires!(Namespaces);
    let host = Host::new();
    assert_eq!(host.names(&[]), NONE, "a good host has none");
    for (file, value, settings) in CHANGEABLE.iter().chain(TOLD) {
        let before = fs::read(host.path(file)).ok();
        host.write(file, value);
        let (found, wanted) = (host.findings(&[]), settings);
        assert_eq!(found.len(), wanted.len(), "{file} is {value:?}: {found:?}");
        for (found, (name, value, part)) in found.iter().zip(*wanted) {
            assert_eq!((&found["setting"], &found["found"]), (&(*name).into(), &(*value).into()));
            let wanted = found["wanted"].as_str().unwrap();
            assert!(wanted.contains(part), "{name}: {wanted}");
            for key in ["why", "gain", "to_do"] {
                assert!(!found[key].as_str().unwrap().is_empty(), "{name} has no {key}");
            }
        }
        match before {
            Some(before) => fs::write(host.path(file), before).unwrap(),
            None => fs::remove_file(host.path(file)).unwrap(),
        }
    }
}

#[test]
fn check_fails_by_what_costs_media_and_not_by_what_is_to_be_judged() {
    requires!(Namespaces);
    let host = Host::new();
    host.write("proc/sys/net/core/netdev_budget", "300");
    let noted = host.run("check", BASE);
    assert!(noted.status.success());
    assert!(said(&noted).contains("note  net.core.netdev_budget: found 300, wanted 600 or more\n"));
    host.write("proc/sys/net/core/rmem_max", "212992");
    let poor = host.run("check", BASE);
    assert_eq!(poor.status.code(), Some(1));
    assert!(
        said(&poor).contains("POOR  net.core.rmem_max: found 212992, wanted 1048576 or more\n")
    );
    host.write("proc/net/softnet_stat", "0000ffff 00000001 00000000");
    host.write("proc/sys/net/core/netdev_max_backlog", "1000");
    let dropped = said(&host.run("check", BASE));
    assert!(dropped.contains("POOR  net.core.netdev_max_backlog"), "{dropped}");
}

#[test]
fn check_sees_what_a_running_node_lacks() {
    requires!(Namespaces);
    let host = Host::new();
    let descriptor = host.path("proc/77/fd/9");
    fs::create_dir_all(descriptor.parent().unwrap()).unwrap();
    symlink("anon_inode:[io_uring]", &descriptor).unwrap();
    assert_eq!(host.names(&["77"]), NONE);
    assert_eq!(
        host.names(&["77", "--workers", "0-1"]),
        ["isolated cores", "cores without tick", "card0 interrupts"],
        "the cores are those that are named"
    );

    fs::remove_file(descriptor).unwrap();
    host.write("proc/77/task/78/status", "Cpus_allowed_list:\t1-3");
    host.write(
        "proc/77/limits",
        "Max open files            1024                 1024                files",
    );
    let found = host.findings(&["77"]);
    assert_eq!(
        host.names(&["77"]),
        ["I/O of the node", "descriptors of the node", "core of worker-0"]
    );
    assert_eq!(found[0]["found"], "recvmmsg and sendmmsg");
    assert!(found[0]["why"].as_str().unwrap().contains("seccomp mode is 2"), "{}", found[0]);
}

#[test]
fn interrupts_can_be_spread_over_the_workers_cores() {
    requires!(Namespaces);
    let host = Host::new();
    let changes = said(&host.run("apply", &["--irq", "spread"]));
    for line in [
        "card0 interrupt 30: 0 -> 1",
        "card0 interrupt 31: 0 -> 2",
        "card0 rps_cpus: 00000000,00000000 -> e",
    ] {
        assert!(changes.lines().any(|have| have == line), "{line} is not in\n{changes}");
    }
}

#[test]
fn apply_only_says_what_it_would_do_until_it_is_told_to() {
    requires!(Namespaces);
    let host = Host::poor();
    let before = host.state();
    let done = host.run("apply", BASE);
    assert!(done.status.success());
    let text = said(&done);
    for (name, found, _) in CHANGEABLE.iter().flat_map(|(_, _, settings)| *settings) {
        let line = format!("{name}: {found} -> ");
        assert!(text.lines().any(|have| have.starts_with(&line)), "{line} is not in\n{text}");
    }
    assert_eq!(host.state(), before);
    assert_eq!(host.findings(&[]).len(), host.changeable());
}

#[test]
fn what_is_applied_is_found_good_applied_once_and_put_back_to_the_byte() {
    requires!(Namespaces);
    let host = Host::poor();
    let before = host.state();
    host.done("apply", &["--yes"]);
    assert_eq!(host.names(&[]), NONE);
    assert_eq!(host.read("proc/sys/net/ipv4/ip_local_reserved_ports"), "35000,40500-40563\n");
    assert_eq!(host.read("proc/irq/30/smp_affinity_list"), "0\n");
    let after = host.state();

    let again = host.done("apply", &["--yes"]);
    assert!(again.ends_with("nothing to change\n"), "{again}");
    assert_eq!(host.state(), after);

    let said = host.done("apply", &["--undo"]);
    assert!(said.contains("rmem_max: 1048576 -> 212992\n"), "{said}");
    assert_eq!(host.state(), after, "an undo too waits until it is told to");
    host.done("apply", &["--undo", "--yes"]);
    assert_eq!(host.state(), before);
    let nothing = host.done("apply", &["--undo", "--yes"]);
    assert!(nothing.starts_with("nothing to put back"), "{nothing}");
}

#[test]
fn an_interrupted_apply_is_put_back_even_after_another() {
    requires!(Namespaces);
    for again in [false, true] {
        let host = Host::poor();
        let before = host.state();
        host.write("card/deadly", "");
        let killed = host.run("apply", &[BASE, &["--yes"]].concat());
        assert!(!killed.status.success() && host.read("card/rx") != "256\n", "{}", said(&killed));
        fs::remove_file(host.path("card/deadly")).unwrap();
        assert!(!host.findings(&[]).is_empty(), "it was interrupted before its end");
        if again {
            host.done("apply", &["--yes"]);
            assert_eq!(host.names(&[]), NONE);
        }
        host.done("apply", &["--undo", "--yes"]);
        assert_eq!(host.state(), before);
    }
}

#[test]
fn what_the_host_refuses_is_named_and_the_rest_is_done() {
    requires!(Namespaces);
    let host = Host::poor();
    host.write("card/stubborn", "");
    let governor = host.path("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor");
    fs::remove_file(&governor).unwrap();
    // A setting that even root cannot write.
    symlink("/proc/sys/kernel/ostype", &governor).unwrap();
    let done = host.run("apply", &[BASE, &["--yes"]].concat());
    assert_eq!(done.status.code(), Some(1));
    let words = String::from_utf8(done.stderr).unwrap();
    for line in [
        "card0/rx: Operation not supported",
        "the host refused: card0 rx ring stays 256",
        "the host refused: CPU governor stays Linux performance",
    ] {
        assert!(words.lines().any(|have| have == line), "{line} is not in\n{words}");
    }
    assert_eq!(host.names(&[]), ["CPU governor", "card0 rx ring"]);
}

#[test]
fn what_is_left_alone_is_left_alone() {
    requires!(Namespaces);
    let host = Host::poor();
    let changes = said(&host.run("apply", &["--skip", "CPU*", "--skip", "net.core.rmem_max"]));
    assert!(!changes.contains("CPU") && !changes.contains("rmem_max"), "{changes}");
    assert!(changes.contains("net.core.wmem_max: 212992 -> 1048576\n"), "{changes}");
}

#[test]
fn old_values_from_before_a_restart_are_not_put_back() {
    requires!(Namespaces);
    let host = Host::poor();
    host.done("apply", &["--yes"]);
    let after = host.read("proc/sys/net/core/rmem_max");
    host.write("proc/sys/kernel/random/boot_id", "second");
    let undone = host.done("apply", &["--undo", "--yes"]);
    assert!(undone.contains("before the host restarted"), "{undone}");
    assert_eq!(host.read("proc/sys/net/core/rmem_max"), after);
    assert!(!host.path("undo").exists());
}

#[test]
fn sysctls_are_printed_for_the_next_start_and_never_lower_anything() {
    requires!(Namespaces);
    let host = Host::poor();
    host.write("proc/sys/net/core/wmem_max", "16777216");
    let file = host.done("apply", &["--sysctl"]);
    for line in [
        "-net.core.rmem_max = 1048576",
        "-net.core.wmem_max = 16777216",
        "-net.ipv4.ip_local_reserved_ports = 35000,40500-40563",
        "-kernel.io_uring_disabled = 0",
    ] {
        assert!(file.lines().any(|have| have == line), "{line} is not in\n{file}");
    }
    for line in file.lines() {
        assert!(line.is_empty() || line.starts_with('#') || line.starts_with('-'), "{line}");
    }
}

#[test]
fn wrong_arguments_are_refused_with_what_to_write() {
    requires!(Namespaces);
    let host = Host::poor();
    let before = host.state();
    for (program, arguments, words) in [
        ("check", &["78"][..], "no process 78"),
        ("check", &["77", "77"], "one PID"),
        ("check", &["--yes"], "no option --yes"),
        ("check", &["--card", "eth9"], "no such card"),
        ("apply", &["--yes", "--workers", "1..3"], "1-3,5"),
        ("apply", &["--yes", "--workers", "2-8"], "no core 4-8, only 0-3"),
        ("apply", &["--yes", "--workers"], "--workers needs a value"),
        ("apply", &["--yes", "--ports", "0-70000"], "443,30000-40000"),
        ("apply", &["--yes", "--irq", "everywhere"], "away or spread"),
        ("apply", &["--yes", "77"], "77 is no option"),
        ("apply", &["--yes", "--state"], "--state needs a file"),
        ("apply", &["--yes", "--state", "/proc/none/undo"], "/proc/none/undo cannot be written"),
    ] {
        let refused = host.run(program, arguments);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    assert_eq!(host.state(), before);
}

#[test]
fn a_real_card_and_a_real_kernel_take_it_and_give_it_back() {
    requires!(Namespaces);
    let host = Host::real();
    let look = || {
        let files = "for f in /proc/sys/net/ipv4/ip_local_reserved_ports /sys/class/net/card0/queues/*/?ps_cpus; do \
                     echo $f; cat $f; done; ethtool -k card0; nft list ruleset";
        said(&host.command("bash").args(["-c", files]).output().unwrap())
    };
    let before = look();
    let names = host.names(&[]);
    for name in
        ["net.ipv4.ip_local_reserved_ports", "conntrack exemption", "card0 xps_cpus of tx-0"]
    {
        assert!(names.iter().any(|have| have == name), "{name} is not in {names:?}");
    }
    host.done("apply", &["--yes"]);
    assert_eq!(host.names(&[]), NONE);
    let after = look();
    for words in
        ["\n40500-40563\n", "udp dport 40500-40563 notrack", "udp sport 40500-40563 notrack"]
    {
        assert!(after.contains(words), "{words} is not in\n{after}");
    }
    let again = host.done("apply", &["--yes"]);
    assert!(again.ends_with("nothing to change\n"), "{again}");

    host.done("apply", &["--yes", "--ports", "443,30000-39999"]);
    assert!(look().contains("udp dport { 443, 30000-39999 } notrack"), "{}", look());
    host.done("apply", &["--undo", "--yes"]);
    assert_eq!(look(), before);
}

#[test]
fn what_the_node_asks_for_is_what_is_wanted() {
    let settings = fs::read_to_string(root().join("tuning/settings.sh")).unwrap();
    assert!(settings.contains(&format!("\"least {SOCKET_BUFFER}\" {SOCKET_BUFFER}")));
}

#[test]
fn the_readme_tells_of_each_setting() {
    requires!(Namespaces);
    let host = Host::poor();
    let readme = fs::read_to_string(root().join("tuning/README.md")).unwrap();
    for arguments in [&[][..], &["77"], &["--irq", "spread"]] {
        for row in host.rows(arguments) {
            let name = row["setting"].as_str().unwrap().replace("card0", "CARD");
            let name = name.replace(" of this shell", "").replace(" of the node", "");
            let bare = name.trim_end_matches(|last: char| last.is_ascii_digit());
            let name = if bare == name { name } else { format!("{bare}N") };
            assert!(readme.contains(&format!("| {name} |")), "{name} is not in tuning/README.md");
        }
    }
}

#[test]
fn the_scripts_are_sound() {
    let scripts = ["check", "apply", "settings.sh"].map(|name| root().join("tuning").join(name));
    for script in &scripts {
        let done = Command::new("bash").arg("-n").arg(script).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    requires!(Shellcheck);
    let done = Command::new("shellcheck").args(&scripts).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

#[test]
fn under_the_seccomp_profile_media_flows_over_io_uring() {
    requires!(Seccomp);
    let node = under(&root().join("tuning/seccomp.json"), "auto");
    let metrics = node.rest().request("GET", "/metrics", None).text;
    let mask = std::env::var("CAUSEWAY_URING_MASK").unwrap_or_default();
    if !denied_here() && !mask.contains("uring") {
        let line = "causeway_worker_info{worker=\"0\",backend=\"uring\"} 1";
        assert!(metrics.lines().any(|have| have == line), "{metrics}{}", node.log());
    }
    carries(&node);
    node.stop();
    let node = under(&root().join("tuning/seccomp.json"), "mmsg");
    carries(&node);
    node.stop();
}

#[test]
fn a_profile_without_io_uring_is_what_check_says_of_a_node_under_it() {
    requires!(Seccomp);
    let text = fs::read_to_string(root().join("tuning/seccomp.json")).unwrap();
    let mut profile: Value = serde_json::from_str(&text).unwrap();
    for rule in profile["syscalls"].as_array_mut().unwrap() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !name.as_str().unwrap().starts_with("io_uring"));
    }
    let file = scratch().join("seccomp.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, profile.to_string()).unwrap();
    let node = under(&file, "auto");
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
    assert!(node.log().contains("io_uring is not used"), "{}", node.log());
    carries(&node);
    let arguments = [node.pid().to_string(), "--json".to_owned()];
    let done = Command::new(root().join("tuning/check")).args(arguments).output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    let row = rows.iter().find(|row| row["setting"] == "I/O of the node").unwrap();
    assert_eq!((&row["level"], &row["found"]), (&"POOR".into(), &"recvmmsg and sendmmsg".into()));
    assert!(row["why"].as_str().unwrap().contains("seccomp mode is 2"), "{row}");
}

#[test]
fn the_seccomp_profile_refuses_what_the_node_does_not_need() {
    requires!(Seccomp);
    let tries = r#"
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
zero = ctypes.c_long(0)
calls = {
    "mount": (b"none", b"/nowhere", b"tmpfs", zero, None),
    "umount2": (b"/nowhere", zero),
    "ptrace": (zero, zero, zero, zero),
    "unshare": (ctypes.c_long(0x40000000),),
    "setns": (ctypes.c_long(-1), zero),
    "chroot": (b"/nowhere",),
    "kill": (ctypes.c_long(2 ** 22 + 1), zero),
    "personality": (zero,),
    "process_vm_readv": (zero, None, zero, None, zero, zero),
}
for name, arguments in calls.items():
    done = getattr(libc, name)(*arguments)
    print(name, done, errno.errorcode.get(ctypes.get_errno()))
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    print("packet 0 None")
except OSError as error:
    print("packet -1", errno.errorcode[error.errno])
"#;
    let done = Command::new(SYSTEM_PYTHON)
        .arg(root().join("tests/seccomp/run.py"))
        .arg(root().join("tuning/seccomp.json"))
        .args([SYSTEM_PYTHON, "-c", tries])
        .output()
        .unwrap();
    let text = said(&done);
    assert_eq!(text.lines().count(), 10, "{}", String::from_utf8_lossy(&done.stderr));
    for line in text.lines() {
        assert!(line.ends_with(" -1 ENOSYS"), "{line}");
    }
}

/// Whether the machine itself denies io_uring.
fn denied_here() -> bool {
    let config = config("auto");
    let node = Node::start(None, &config);
    let log = node.log();
    log.contains("io_uring is not used")
}

/// A node under a seccomp profile.
fn under(profile: &Path, backend: &str) -> Node {
    let run = root().join("tests/seccomp/run.py");
    Node::start_by(Path::new(SYSTEM_PYTHON), &[&run, profile], &config(backend))
}

fn config(backend: &str) -> String {
    format!(
        "[node]\nbackend = \"{backend}\"\n[[interface]]\nname = \"pub\"\nbind = \"127.0.0.1\"\n\
         ports = \"20000-29999\"\nmux_port = {}\n[http]\nlisten = \"127.0.0.1:0\"\n[public]\nlisten = \"127.0.0.1:0\"\n",
        free_udp().port()
    )
}

/// Media goes both ways in a call on the node.
fn carries(node: &Node) {
    let rest = node.rest();
    let call = rest.create_call();
    let mut phones = [1, 2].map(|sender| Phone::join(rest.address, &call, sender));
    let [a, b] = &mut phones;
    a.send();
    b.receive();
    b.send();
    a.receive();
}

const NONE: [&str; 0] = [];

/// Arguments of most runs: what only the machine itself can tell is left out.
const BASE: &[&str] = &["--skip", "io_uring"];

/// A host of files, with a network namespace of its own; gone when dropped.
struct Host {
    folder: PathBuf,
    namespace: String,
}

impl Host {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("cwtuning{}-{count}", std::process::id());
        let done = Command::new("ip").args(["netns", "add", &namespace]).status().unwrap();
        assert!(done.success(), "root can make a namespace");
        let host = Self { folder: scratch(), namespace };
        for (file, value) in GOOD {
            host.write(file, value);
        }
        host.write("bin/ethtool", ETHTOOL);
        fs::set_permissions(host.path("bin/ethtool"), fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    /// With everything wrong that can be changed.
    fn poor() -> Self {
        let host = Self::new();
        for (file, value, _) in CHANGEABLE {
            host.write(file, value);
        }
        host
    }

    /// With a card and with sysctls of IPv4 that are the namespace's own, and the real ethtool.
    fn real() -> Self {
        let host = Self::new();
        for folder in ["bin", "sys/class/net", "proc/sys/net/ipv4"] {
            fs::remove_dir_all(host.path(folder)).unwrap();
        }
        symlink("/proc/sys/net/ipv4", host.path("proc/sys/net/ipv4")).unwrap();
        symlink("/sys/class/net", host.path("sys/class/net")).unwrap();
        host.write("proc/sys/net/netfilter/nf_conntrack_max", "262144");
        // The kernel takes no masks of cores that it lacks.
        let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
        for file in ["online", "isolated", "nohz_full"] {
            host.write(&format!("sys/devices/system/cpu/{file}"), online.trim());
        }
        let queues = ["numtxqueues", "2", "numrxqueues", "2"];
        let done = host
            .command("ip")
            .args(["link", "add", "card0"])
            .args(queues)
            .args(["type", "veth", "peer", "name", "far0"])
            .status()
            .unwrap();
        assert!(done.success());
        host
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn write(&self, file: &str, value: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    /// Settings that can be changed and are wrong.
    fn changeable(&self) -> usize {
        CHANGEABLE.iter().map(|(_, _, settings)| settings.len()).sum()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = namespace::command(Some(&self.namespace), program);
        let path = std::env::var("PATH").unwrap();
        command
            .env("PROC", self.path("proc"))
            .env("SYS", self.path("sys"))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .process_group(0);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = root().join("tuning").join(program);
        let mut command = self.command(program.to_str().unwrap());
        if program.ends_with("apply") && !arguments.contains(&"--state") {
            command.arg("--state").arg(self.path("undo"));
        }
        command.args(["--card", "card0"]).args(arguments).output().unwrap()
    }

    /// What a run says that must do well.
    #[track_caller]
    fn done(&self, program: &str, arguments: &[&str]) -> String {
        let done = self.run(program, &[BASE, arguments].concat());
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
        said(&done)
    }

    fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let done = self.run("check", &[BASE, &["--json"], arguments].concat());
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(errors.is_empty(), "{errors}");
        serde_json::from_slice(&done.stdout).expect("it is JSON")
    }

    /// What check does not find good.
    fn findings(&self, arguments: &[&str]) -> Vec<Value> {
        self.rows(arguments).into_iter().filter(|row| row["level"] != "ok").collect()
    }

    /// The names of those.
    fn names(&self, arguments: &[&str]) -> Vec<String> {
        let findings = self.findings(arguments);
        findings.iter().map(|row| row["setting"].as_str().unwrap().to_owned()).collect()
    }

    /// Everything that there is to be changed.
    fn state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut state = BTreeMap::new();
        let rules = self.command("nft").args(["list", "ruleset"]).output().unwrap();
        state.insert("ruleset".into(), rules.stdout);
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if let Ok(content) = fs::read(entry.path()) {
                    state.insert(entry.path(), content);
                }
            }
        }
        state
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An ethtool whose card is files. Where `deadly` is one of them, it and who called it are killed once it has set
/// the ring; where `stubborn` is, it sets none.
const ETHTOOL: &str = r#"#!/bin/bash
cd "$(dirname "$0")/../card" || exit
case $1 in
	-l) printf 'Channel parameters for %s:\nPre-set maximums:\nRX:\tn/a\nCombined:\t2\nCurrent hardware settings:\n' "$2" ;;
	-g)
		printf 'Pre-set maximums:\nRX:\t4096\nRX Mini:\tn/a\nTX:\t4096\n'
		printf 'Current hardware settings:\nRX:\t%s\nRX Mini:\tn/a\nTX:\t%s\n' "$(cat rx)" "$(cat tx)"
		;;
	-k) for feature in *-*; do printf '\t%s: %s\n' "$feature" "$(cat "$feature")"; done ;;
	-G)
		[ ! -e stubborn ] || [ "$3" = tx ] || { echo "netlink error: Operation not supported" >&2 && exit 1; }
		echo "$4" >"$3"
		[ ! -e deadly ] || kill -KILL 0
		;;
	-K) echo "$4" >"$3" ;;
esac"#;

fn scratch() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("causeway-tuning-{}-{count}", std::process::id()))
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stdout).into_owned()
}
