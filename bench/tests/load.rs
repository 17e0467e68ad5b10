//! The load generator against a real node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use causeway_bench::door::{Door, NgDoor};
use causeway_bench::ng::beside::{self, Beside};
use causeway_bench::ng::client::NgClient;
use causeway_bench::ng::search::Signalling;
use causeway_bench::ng::standing::{self, Standing};
use causeway_bench::phones::{Phones, Sdes};
use causeway_bench::plan::{G711_CLOCK, OPUS_CLOCK, Plan, Video};
use causeway_bench::process::Process;
use causeway_bench::report::{Report, Verdict};
use causeway_bench::rest::Rest;
use causeway_bench::run::{Flags, Progress, RunError, run};
use causeway_bench::table::Table;
use causeway_tests::local::{LocalNode, Setup};

fn plan(calls: usize, seconds: f64, mix: &str) -> Plan {
    Plan {
        calls,
        ramp: 50.0,
        duration: Duration::from_secs_f64(seconds),
        churn: 0.0,
        mix: mix.parse().expect("a mix"),
        bundled: true,
        audio_bytes: 80,
        audio_clock: OPUS_CLOCK,
        audio_every: Duration::from_millis(20),
        video: Video { fps: 25, kbps: 400 },
        threads: 1,
        pin: Vec::new(),
        bind: [127, 0, 0, 1].into(),
        allow_loss: 0.0,
        tick: Duration::from_micros(250),
    }
}

fn load(
    node: &LocalNode,
    plan: &Plan,
    say: &mut dyn FnMut(&Progress, &AtomicBool),
) -> Result<Report, RunError> {
    let rest = Rest::new(format!("http://{}", node.http).parse().expect("an address"), None);
    let (stop, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let flags = Flags { stop: &stop, enough: &enough };
    let mut door = Door::Rest(&rest);
    run(plan, &mut door, Some(&Process::own()), flags, &mut |progress| say(progress, &stop))
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
    // Six audio streams of 50 packets per second, for two seconds, one in which the kernel counts, and those in which
    // calls come and go; a crowded machine may send less.
    let audio = report.media["audio"].sent;
    assert!((1..=4 * 6 * 50).contains(&audio), "{text}");
    assert!(report.media["video"].received > 0, "{text}");

    let server = report.server.as_ref().expect("the node is on this host");
    let batch = server.batch.as_ref().expect("it says what its workers do");
    let turns = batch.sizes.iter().map(|size| size.turns).sum::<u64>();
    assert_eq!(
        (turns, batch.sizes.last().map(|size| size.most)),
        (batch.turns, Some(256)),
        "{text}"
    );

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
        "/server/threads/0/sleeps",
        "/server/batch/packets_per_turn",
        "/server/batch/sizes/9/turns",
        "/server/counted/total/system_calls",
        "/generator/lateness_us/p99",
        "/generator/headroom/limit",
        "/latency_curve/0/1",
        "/seconds/0/received",
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

#[test]
fn phones_behind_a_proxy_hear_each_other_while_further_calls_are_asked_for() {
    let node = LocalNode::start(&Setup::default());
    let plan = phone_plan(2, "audio");
    let client = NgClient::new(node.proxies, "test").unwrap();
    let phones = Phones { sdes: Sdes::Caller, ..Phones::default() };
    let mut door = Door::Ng(NgDoor { client, run: "test", phones, rest: None });
    let time = Duration::from_secs(1);
    let asked = Signalling { rate: 60.0, search: false, time, core: None };
    let asking = Beside { server: node.proxies, asked: &asked, run: "test" };
    let (stop, own) = (AtomicBool::new(false), Process::own());
    let report = beside::run(&plan, &mut door, Some(&own), &stop, asking, &mut |_| {});
    let report = report.unwrap();
    let text = format!("{}{report}", Table(&report.media));
    assert_eq!((report.media.calls.up, report.media.verdict), (2, Verdict::Clean), "{text}");
    assert!(report.media.media["total"].received > 0, "{text}");
    let step = report.overload.expect("a step");
    assert_eq!((step.offers.sent, step.answers.sent, step.deletes.sent), (20, 20, 20));
    let all = [step.offers, step.answers, step.deletes];
    assert!(all.iter().all(|asked| asked.answered == asked.sent && asked.failed == 0), "{text}");
    assert!(step.offers.done > 0 && step.strange == 0, "{text}");
    node.wait("no proxied call", |stats| stats["proxied"]["live"] == 0 && stats["legs"] == 0);
}

#[test]
fn phones_with_video_have_each_m_line_on_a_port_of_its_own_encrypted_or_not() {
    // Its ports are another node's, too, but not at this address.
    let node = LocalNode::start(&Setup { bind: [127, 0, 0, 3].into(), ..Setup::default() });
    let (stop, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let flags = Flags { stop: &stop, enough: &enough };
    for sdes in [Sdes::None, Sdes::Caller, Sdes::Both] {
        let run_name = format!("video{sdes:?}");
        let client = NgClient::new(node.proxies, &run_name).unwrap();
        let phones = Phones { sdes, ..Phones::default() };
        let mut door = Door::Ng(NgDoor { client, run: &run_name, phones, rest: None });
        let plan = phone_plan(3, "audio=2,video=1");
        let report = run(&plan, &mut door, None, flags, &mut |_| {}).unwrap();
        let text = Table(&report).to_string();
        assert_eq!((report.calls.up, report.verdict), (3, Verdict::Clean), "{sdes:?} {text}");
        let heard = ["audio", "video"].map(|media| report.media[media].received > 0);
        assert_eq!(heard, [true, true], "{sdes:?} {text}");
    }
    node.wait("no proxied call", |stats| stats["proxied"]["live"] == 0 && stats["legs"] == 0);
}

#[test]
fn calls_that_stand_all_stand_at_once_are_gone_afterwards_and_one_that_is_refused_fails() {
    let bind = [127, 0, 0, 4].into();
    let node = LocalNode::start(&Setup { bind, calls: 8, ..Setup::default() });
    let stand = |calls, name| {
        let asked = Standing { calls, times: 2, core: None };
        let (own, stop) = (Process::own(), AtomicBool::new(false));
        let phones = Phones { sdes: Sdes::Both, ..Phones::default() };
        standing::run(asked, phones, node.proxies, &own, name, &stop).unwrap()
    };
    let report = stand(8, "all");
    assert_eq!((report.verdict, report.times.len()), (Verdict::Clean, 2), "{report}");
    // Eight calls have a socket for RTP and one for RTCP on either side.
    assert!(report.times[0].descriptors > 8 * 4 && report.kept.is_some(), "{report}");
    let report = stand(9, "more");
    assert_eq!((report.verdict, report.times.len()), (Verdict::Failed, 1), "{report}");
    assert!(report.remarks[0].contains("refused `offer`"), "{report}");
    node.wait("no proxied call", |stats| stats["proxied"]["live"] == 0 && stats["legs"] == 0);
}

fn phone_plan(calls: usize, mix: &str) -> Plan {
    let plan = plan(calls, 1.0, mix);
    Plan { bundled: false, audio_bytes: 160, audio_clock: G711_CLOCK, ..plan }
}

#[test]
fn a_server_that_is_not_there_ends_the_run_and_whoever_waits_to_ask_beside_it() {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = NgClient::new(gone, "test").unwrap();
    let mut door = Door::Ng(NgDoor { client, run: "test", phones: Phones::default(), rest: None });
    let asked = Signalling { rate: 60.0, search: true, time: Duration::from_secs(1), core: None };
    let asking = Beside { server: gone, asked: &asked, run: "test" };
    let stop = AtomicBool::new(false);
    let plan = plan(1, 1.0, "audio");
    let error = beside::run(&plan, &mut door, None, &stop, asking, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("cannot be asked"), "{error}");
}
