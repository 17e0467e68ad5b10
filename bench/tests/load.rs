//! The load generator against a real node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use causeway_bench::plan::{Plan, Video};
use causeway_bench::process::Process;
use causeway_bench::report::{Report, Verdict};
use causeway_bench::rest::Rest;
use causeway_bench::run::{Progress, RunError, run};
use causeway_bench::table::Table;
use causeway_tests::local::{LocalNode, Setup};

fn plan(calls: usize, seconds: f64, mix: &str) -> Plan {
    Plan {
        calls,
        ramp: 50.0,
        duration: Duration::from_secs_f64(seconds),
        churn: 0.0,
        mix: mix.parse().expect("a mix"),
        audio_bytes: 80,
        video: Video { fps: 25, kbps: 400 },
        threads: 1,
        pin: Vec::new(),
        bind: [127, 0, 0, 1].into(),
        allow_loss: 0.0,
    }
}

fn load(
    node: &LocalNode,
    plan: &Plan,
    say: &mut dyn FnMut(&Progress, &AtomicBool),
) -> Result<Report, RunError> {
    let rest = Rest::new(format!("http://{}", node.http).parse().expect("an address"), None);
    let stop = AtomicBool::new(false);
    run(plan, &rest, Some(&Process::own()), &stop, &mut |progress| say(progress, &stop))
}

#[test]
fn three_calls_lose_nothing_and_the_report_says_so() {
    let node = LocalNode::start(&Setup::default());
    let report = load(&node, &plan(3, 2.0, "audio=2,video=1"), &mut |_, _| {}).unwrap();
    let text = Table(&report).to_string();
    assert_eq!((report.calls.created, report.calls.up, report.calls.failed), (3, 3, 0), "{text}");
    let total = &report.media["total"];
    assert_eq!((total.lost, total.duplicates, report.faults.wrong()), (0, 0, 0), "{text}");
    assert_eq!(report.verdict, Verdict::Clean, "{text}");
    // Six audio streams of 50 packets per second; a crowded machine may send less, never more.
    let audio = report.media["audio"].sent;
    assert!((1..=3 * 6 * 50).contains(&audio), "{text}");
    assert!(report.media["video"].received > 0, "{text}");

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verdict"], "clean");
    for field in [
        "/media/total/lost",
        "/latency_us/p999",
        "/set_up_ms/p50",
        "/server/cpu/system",
        "/server/ns_per_packet",
        "/server/threads/0/name",
        "/server/resident/1",
        "/server/socket_drops",
        "/generator/lateness_us/p99",
        "/each/2/latency_us/max",
        "/each/0/lost",
    ] {
        assert!(json.pointer(field).is_some(), "{field} in {json}");
    }
    assert!(text.contains("CLEAN") && text.contains("us/packet"), "{text}");
    node.wait_empty();
}

#[test]
fn replaced_calls_are_counted_and_leave_nothing_behind() {
    let node = LocalNode::start(&Setup::default());
    let plan = Plan { churn: 4.0, ..plan(2, 2.0, "audio") };
    let report = load(&node, &plan, &mut |_, _| {}).unwrap();
    let text = Table(&report).to_string();
    assert!(report.calls.created > 2, "{text}");
    assert_eq!(report.faults.wrong() + report.media["total"].lost, 0, "{text}");
    assert_eq!(report.each.len() as u64, report.calls.created, "{text}");
    node.wait_empty();
}

#[test]
fn a_run_that_is_stopped_deletes_its_calls_and_still_reports() {
    let node = LocalNode::start(&Setup::default());
    let mut seen = 0;
    let report = load(&node, &plan(2, 600.0, "audio"), &mut |progress, stop| {
        seen = progress.calls;
        stop.store(true, Ordering::Relaxed);
    });
    let report = report.unwrap();
    assert!(report.remarks.iter().any(|remark| remark.contains("early")), "{:?}", report.remarks);
    assert!(seen > 0 && report.each.len() as u64 == report.calls.created);
    node.wait_empty();
}

#[test]
fn a_node_that_is_full_ends_the_run_with_its_words_and_no_call_left() {
    let node = LocalNode::start(&Setup { calls: 2, ..Setup::default() });
    let error = load(&node, &plan(3, 1.0, "audio"), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("limit (503)"), "{error}");
    node.wait_empty();
}
