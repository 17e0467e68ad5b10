//! What becomes of media beside being passed on: recordings and digits.

use causeway_engine::digit::Digit;

use super::*;

fn talk() -> Bench {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, ""), &[]);
    bench.commands.clear();
    bench
}

/// The taps that the worker has now, by leg.
fn taps(bench: &Bench) -> Vec<u16> {
    let mut taps = Vec::new();
    for command in &bench.commands {
        if let Command::Tap { leg, on } = command {
            taps.retain(|tapped| *tapped != leg.slot);
            taps.extend(on.then_some(leg.slot));
        }
    }
    taps.sort_unstable();
    taps
}

fn digits(bench: &Bench) -> Vec<(u16, Digit)> {
    let played = |command: &Command| match command {
        Command::PlayDigit { stream, digit } => Some((stream.leg.slot, *digit)),
        _ => None,
    };
    bench.commands.iter().filter_map(played).collect()
}

#[test]
fn a_recording_begins_waits_goes_on_and_ends() {
    let mut bench = talk();
    let ok = |reply: &Dictionary| assert_eq!(text(reply, "result"), "ok");
    ok(&bench.ask("start recording", &[("metadata", "one"), ("recording-file", "agent-7")]));
    assert_eq!(taps(&bench), [1, 2]);
    let [Order::Begin { id, call, name, .. }, rest @ ..] = &bench.orders[..] else {
        panic!("{:?}", bench.orders)
    };
    assert_eq!((call.as_str(), name.as_deref()), ("call", Some("agent-7")));
    assert_eq!(rest[0], Order::Note { id: *id, metadata: "one".into() });
    let Order::Leg { leg, tag, bound, .. } = &rest[1] else { panic!("{rest:?}") };
    assert_eq!((leg.slot, tag.as_deref()), (1, Some("a")));
    assert_eq!(bound.map(|at| at.to_string()), ["10.0.0.5:30000", "10.0.0.5:30001"]);

    ok(&bench.ask("pause recording", &[]));
    assert_eq!(taps(&bench), [0_u16; 0]);
    ok(&bench.ask("start recording", &[]));
    assert_eq!(taps(&bench), [1, 2]);
    ok(&bench.ask("stop recording", &[("flags", "[discard-recording]")]));
    assert_eq!(taps(&bench), [0_u16; 0]);
    let id = RecordingId(0);
    assert!(
        matches!(bench.orders.last(), Some(Order::End { id: last, discard: true, .. }) if *last == id)
    );
    let began = bench.orders.iter().filter(|order| matches!(order, Order::Begin { .. })).count();
    assert_eq!(began, 1);
    ok(&bench.ask("stop recording", &[]));
}

#[test]
fn who_comes_later_is_recorded_too_and_the_end_of_the_call_ends_it() {
    let mut bench = Bench::new();
    let flags = [("record-call", "yes"), ("via-branch", "one")];
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &flags);
    assert_eq!(taps(&bench), [1, 2], "the ports of both sides");
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[("via-branch", "two")]);
    assert_eq!(taps(&bench), [1, 2, 3], "and those of another branch");
    assert_eq!(text(&bench.ask("delete", &[]), "result"), "ok");
    assert!(matches!(bench.orders.last(), Some(Order::End { discard: false, .. })));
}

#[test]
fn a_recording_that_cannot_be_made_costs_no_call() {
    let mut bench = talk();
    bench.lender.recordings = 0;
    let refused = bench.ask("start recording", &[]);
    assert_eq!(text(&refused, "error-reason"), "Call recording limit reached");
    let sdp = audio("198.51.100.1", 4000, "");
    let flags = [("from-tag", "a"), ("sdp", &sdp), ("record-call", "on")];
    let warned = bench.ask("offer", &flags);
    assert_eq!(text(&warned, "warning"), "Call recording limit reached");
    assert!(!sdp_of(&warned).is_empty());
    assert!(bench.orders.is_empty() && taps(&bench).is_empty());
}

#[test]
fn a_digit_takes_the_receivers_payload_type() {
    let mut bench = talk();
    let asked = [("from-tag", "a"), ("code", "*")];
    assert_eq!(text(&bench.ask("play DTMF", &asked), "result"), "ok");
    let usual = Digit {
        event: 10,
        payload_type: Some(101),
        attenuation: 8,
        duration_ms: 250,
        pause_ms: 100,
    };
    assert_eq!(digits(&bench), [(1, usual)]);

    bench.commands.clear();
    let other = audio("198.51.100.1", 4000, "").replace("101", "97");
    bench.offer("a", &other, &[("to-tag", "b")]);
    bench.answer("a", "b", &audio("198.51.100.2", 5000, "").replace("0 101", "0"), &[]);
    let asked = [("from-tag", "a"), ("code", "D"), ("volume", "20"), ("duration", "400")];
    bench.ask("play DTMF", &asked);
    bench.ask("play DTMF", &[("from-tag", "b"), ("code", "0")]);
    let tone = Digit { event: 15, payload_type: None, attenuation: 20, duration_ms: 400, ..usual };
    let event = Digit { event: 0, payload_type: Some(97), ..usual };
    assert_eq!(digits(&bench), [(1, tone), (2, event)]);
}

#[test]
fn digits_of_another_clock_than_the_media_are_played_as_tones() {
    let mut bench = Bench::new();
    let opus = "a=rtpmap:0 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n";
    let wide = audio("198.51.100.1", 4000, "")
        .replace("a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n", opus)
        .replace("RTP/AVP 0", "RTP/AVP 96")
        .replace("rtpmap:0", "rtpmap:96");
    bench.offer("a", &wide, &[]);
    bench.answer("a", "b", &wide, &[]);
    bench.ask("play DTMF", &[("from-tag", "a"), ("code", "1")]);
    assert_eq!(digits(&bench)[0].1.payload_type, None);
}

#[test]
fn nobody_plays_or_hears_where_there_is_no_audio() {
    let mut bench = Bench::new();
    bench.offer("a", &audio("198.51.100.1", 4000, ""), &[]);
    let refused = |bench: &mut Bench, from: &str| {
        text(&bench.ask("play DTMF", &[("from-tag", from), ("code", "1")]), "error-reason")
    };
    assert_eq!(refused(&mut bench, "x"), "From-tag given, but no such tag exists");
    let video = audio("198.51.100.2", 5000, "").replace("m=audio", "m=video");
    let mut bench = Bench::new();
    bench.offer("a", &video, &[]);
    bench.answer("a", "b", &video, &[]);
    assert_eq!(refused(&mut bench, "a"), "Monologue has no media capable of DTMF injection");
}
