//! What becomes of new calls behind SIP proxies at the node's limits, and that calls that there are go on.

use std::thread;
use std::time::{Duration, Instant};

use causeway_control::actors::load::Admission;
use causeway_control::calls::NgAsked;
use causeway_control::ng::{Dictionary, Format, LoadLimit, Message, Value, frame};
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::media::{Media, media_of};

/// Longest wait for a limit to be noticed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node with these limits.
fn node(admission: Admission) -> LocalNode {
    LocalNode::start(&Setup { admission, ..Setup::default() })
}

/// What the node replies; `late` says that the request waited too long.
fn ask(node: &LocalNode, late: bool, request: Dictionary) -> Dictionary {
    let message = Message::parse(&request).expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let reply = runtime.block_on(node.ng().ng(NgAsked { message, brief: false, late }));
    frame::read(&reply.write(Format::Bencode)).1.expect("a reply")
}

fn request(command: &str, call: &str) -> Dictionary {
    let supports = vec![Value::from("load limit")];
    Dictionary::new()
        .with("command", command)
        .with("call-id", call)
        .with("from-tag", "a")
        .with("to-tag", "b")
        .with("supports", supports)
}

fn described(command: &str, call: &str, media: &Media) -> Dictionary {
    request(command, call).with("sdp", media.describe("RTP/AVP", ""))
}

/// The reply's result, and its reason.
fn told(reply: &Dictionary) -> (String, String) {
    let text = |key| reply.lookup(key).and_then(Value::text).unwrap_or_default().into_owned();
    (text("result"), text("message") + &text("error-reason"))
}

fn limited(limit: LoadLimit) -> (String, String) {
    ("load limit".into(), limit.to_string())
}

fn ok() -> (String, String) {
    ("ok".into(), String::new())
}

/// Offers calls, and deletes those that begin, until one is refused; what it is told.
fn offer_until_refused(node: &LocalNode) -> (String, String) {
    let (media, deadline) = (Media::new(), Instant::now() + PATIENCE);
    loop {
        let told = told(&ask(node, false, described("offer", "further", &media)));
        if told != ok() {
            return told;
        }
        ask(node, false, request("delete", "further").with("delete-delay", 0_i64));
        assert!(Instant::now() < deadline, "no limit is ever reached");
        thread::sleep(LOOK);
    }
}

#[test]
fn beyond_the_sessions_a_new_call_is_told_to_go_elsewhere_and_those_that_there_are_go_on() {
    let node = node(Admission { calls: 1, ..Admission::default() });
    let media = Media::new();
    let offer = |call| described("offer", call, &media);
    assert_eq!(told(&ask(&node, false, offer("one"))), ok());
    assert_eq!(told(&ask(&node, false, offer("two"))), limited(LoadLimit::Sessions));
    let old = Dictionary::new()
        .with("command", "offer")
        .with("call-id", "two")
        .with("from-tag", "a")
        .with("sdp", media.describe("RTP/AVP", ""));
    let refused = told(&ask(&node, false, old));
    assert_eq!(refused, ("error".into(), "Parallel session limit reached".into()));
    assert_eq!(told(&ask(&node, false, described("answer", "one", &media))), ok());
    assert_eq!(told(&ask(&node, false, offer("one"))), ok(), "within the call");
    let delete = request("delete", "one").with("delete-delay", 0_i64);
    assert_eq!(told(&ask(&node, false, delete)), ok());
    assert_eq!(told(&ask(&node, false, offer("two"))), ok());
    let stats = node.ng().stats().proxied;
    assert_eq!((stats.rejected, stats.rejected_by["sessions"]), (2, 2));
}

#[test]
fn without_room_for_sessions_the_node_drains() {
    let node = node(Admission { calls: 0, ..Admission::default() });
    let refused = told(&ask(&node, false, described("offer", "one", &Media::new())));
    assert_eq!(refused, limited(LoadLimit::Sessions));
}

#[test]
fn an_offer_that_waited_too_long_begins_no_call_but_is_done_within_one() {
    let node = node(Admission::default());
    let media = Media::new();
    let offer = || described("offer", "one", &media);
    assert_eq!(told(&ask(&node, true, offer())), limited(LoadLimit::Load));
    assert_eq!(told(&ask(&node, false, offer())), ok());
    assert_eq!(told(&ask(&node, true, offer())), ok());
    assert_eq!(node.ng().stats().proxied.rejected_by["load"], 1);
}

#[test]
fn beyond_the_processors_use_no_call_begins() {
    let node = node(Admission { cpu: 0.001, ..Admission::default() });
    assert_eq!(offer_until_refused(&node), limited(LoadLimit::Cpu));
}

#[test]
fn beyond_the_bandwidth_no_call_begins_until_it_is_there_again() {
    let node = node(Admission { bandwidth: 500, ..Admission::default() });
    let mut sides = [Media::new(), Media::new()];
    let described_to = |reply: &Dictionary| {
        media_of(&reply.lookup("sdp").and_then(Value::text).expect("a description"))
    };
    ask(&node, false, described("offer", "one", &sides[0]));
    let at = described_to(&ask(&node, false, described("answer", "one", &sides[1])));
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    let mut offer = |sends: bool| {
        if sends {
            number += 1;
            sides[0].send(number, at);
            sides[1].receive();
        }
        let told = told(&ask(&node, false, described("offer", "further", &sides[0])));
        ask(&node, false, request("delete", "further").with("delete-delay", 0_i64));
        assert!(Instant::now() < deadline, "the limit does not change: {told:?}");
        thread::sleep(LOOK);
        told
    };
    while offer(true) != limited(LoadLimit::Bandwidth) {}
    while offer(false) != ok() {}
}
