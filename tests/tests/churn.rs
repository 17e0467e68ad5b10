//! Two thousand calls come and go, and nothing of them stays.
//!
//! The node runs in a process of its own, this test's binary started again, so that what is measured
//! is the node's and not the peers'.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use causeway_tests::guest::{Guest, add_leg};
use causeway_tests::http::Client;
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::peer::{Flow, Line, PATIENCE, Peer, Spec};
use serde_json::{Value, json};

/// Says to the binary that it is to be the node.
const ROLE: &str = "CAUSEWAY_TESTS_NODE";
/// Calls after which every pool, table and cache has its size.
const WARM_UP: usize = 500;
/// All calls.
const CALLS: usize = 2000;
/// One call in so many gets two peers, DTLS and media.
const MEDIA_EVERY: usize = 10;
/// Calls with media at the same time.
const TOGETHER: usize = 10;
/// Bytes of memory that a call may leave behind: noise of the allocator, far below what one leaked
/// leg, handshake or actor would be.
const LEFT_PER_CALL: usize = 2048;
const PAGE: usize = 4096;

#[test]
fn two_thousand_calls_leave_nothing_behind() {
    if std::env::var_os(ROLE).is_some() {
        return be_the_node();
    }
    let node = OtherNode::start();
    let mut client = Client::new(node.http);
    // The worker's counters are read each second, so this is after the start.
    let sockets = node.wait_until(&mut client, |stats| stats["workers"][0]["sockets"] != 0)
        ["workers"][0]["sockets"]
        .clone();
    let before = node.descriptors();

    churn(node.http, &mut client, WARM_UP);
    node.wait_empty(&mut client, before.len());
    let warm = node.resident();
    churn(node.http, &mut client, CALLS - WARM_UP);
    let stats = node.wait_empty(&mut client, before.len());

    assert_eq!(stats["calls_created"], CALLS);
    assert_eq!(stats["workers"][0]["sockets"], sockets, "media ports");
    let grown = node.resident().saturating_sub(warm);
    println!("{grown} bytes more than after the warm-up's {warm}");
    let allowed = LEFT_PER_CALL * (CALLS - WARM_UP);
    assert!(grown < allowed, "{grown} bytes more than after the warm-up, allowed {allowed}");
}

/// Makes and deletes so many calls: most with a leg that never connects, some with nobody, and each
/// tenth with two peers that talk.
fn churn(http: SocketAddr, client: &mut Client, calls: usize) {
    let offer = Peer::new(&Spec::default()).offer(&Line::CALL);
    let mut talking = Vec::new();
    for number in 0..calls {
        let call = client.post("/v1/calls", &json!({ "name": "churn" })).ok();
        let id = call["id"].as_str().unwrap().to_owned();
        if number % MEDIA_EVERY == 0 {
            let join = |role| Guest::join(http, &id, role, &Spec::default());
            talking.push([join("customer"), join("agent")]);
            if talking.len() == TOGETHER {
                talk_and_end(client, &mut talking);
            }
            continue;
        }
        if number % 2 == 0 {
            add_leg(client, &id, json!({ "offer": offer })).ok();
        }
        delete(client, &id);
    }
    talk_and_end(client, &mut talking);
}

fn talk_and_end(client: &mut Client, calls: &mut Vec<[Guest; 2]>) {
    for guest in calls.iter().flatten() {
        guest.peer.wait("connected", |seen| seen.connected);
        guest.peer.send(Flow::audio(1));
        guest.peer.send(Flow::video(1));
    }
    for guest in calls.iter().flatten() {
        guest.peer.wait("audio and video", |seen| seen.audio.of(1) > 5 && seen.video.of(1) > 5);
    }
    for call in calls.drain(..) {
        delete(client, &call[0].call);
    }
}

fn delete(client: &mut Client, id: &str) {
    assert_eq!(client.delete(&format!("/v1/calls/{id}")).status, 204);
}

/// Runs a node until the standard input ends.
fn be_the_node() {
    let node = LocalNode::start(&Setup::default());
    println!("\n{ROLE} {}", node.http);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct OtherNode {
    process: Child,
    /// Kept open: the test runner in there goes on writing.
    _output: Lines<BufReader<ChildStdout>>,
    http: SocketAddr,
}

impl OtherNode {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "two_thousand_calls_leave_nothing_behind", "--nocapture"])
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let http = lines.find_map(|line| line.unwrap().strip_prefix(ROLE)?.trim().parse().ok());
        Self { process, _output: lines, http: http.expect("the node says where it is") }
    }

    /// Waits until there is no call, no leg and no descriptor more than there were.
    #[track_caller]
    fn wait_empty(&self, client: &mut Client, descriptors: usize) -> Value {
        self.wait_until(client, |stats| {
            let empty = stats["calls"] == 0 && stats["legs"] == 0;
            empty && self.descriptors().len() <= descriptors
        })
    }

    #[track_caller]
    fn wait_until(&self, client: &mut Client, until: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = client.get("/v1/node").ok();
            if until(&stats) {
                return stats;
            }
            let open = self.descriptors();
            assert!(Instant::now() < deadline, "left behind: {stats}, descriptors {open:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn descriptors(&self) -> Vec<String> {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        let names = listed.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        names.map(|name| name.display().to_string()).collect()
    }

    fn resident(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
    }
}

impl Drop for OtherNode {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let ended = self.process.wait().unwrap();
        if !std::thread::panicking() {
            assert!(ended.success(), "the node ended badly");
        }
    }
}
