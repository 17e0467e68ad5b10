//! BUNDLE of an offerer.

use causeway_engine::command::{StreamId, StreamSpec};

use super::*;

/// A browser's offer of sound and picture on one port; what follows each m-line's own lines comes behind it.
fn bundled(more: [&str; 2]) -> String {
    let [audio, video] = ["audio", "video"].map(|kind| {
        browser("aaaa", "actpass").split_once("m=audio").unwrap().1.replace("audio", kind)
    });
    let head = browser("aaaa", "actpass").split_once("m=audio").unwrap().0.replace("E 0", "E 0 1");
    let video = video.replace("a=mid:0", "a=mid:1").replace("SAVPF 0", "SAVPF 96");
    let video = video.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:96 VP8/90000");
    let extension = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
    format!("{head}m=audio{audio}{extension}{}m=video{video}{extension}{}", more[0], more[1])
}

/// A phone's answer of sound, and of picture at another port.
fn phone(video_port: u16) -> String {
    let sound = audio("198.51.100.2", 5000, "").replace("0 101", "0");
    format!("{sound}m=video {video_port} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n")
}

const TO_PHONE: [(&str, &str); 6] = [
    ("ICE", "remove"),
    ("transport-protocol", "RTP/AVP"),
    ("rtcp-mux", "[demux]"),
    ("DTLS", "off"),
    ("SDES", "[off]"),
    ("bundle", "[accept]"),
];
const TO_BROWSER: [(&str, &str); 1] = [("ICE", "force")];

fn lines<'s>(sdp: &'s str, start: &str) -> Vec<&'s str> {
    sdp.lines().filter(|line| line.starts_with(start)).collect()
}

/// The streams beside the first that legs were told of, by leg and place.
fn shared(bench: &Bench) -> Vec<(u16, u8)> {
    let told = |command: &Command| match command {
        Command::SetStream { stream, .. } if stream.index > 0 => {
            Some((stream.leg.slot, stream.index))
        }
        _ => None,
    };
    bench.commands.iter().filter_map(told).collect()
}

fn piped(bench: &Bench, slot: u16, index: u8) -> Vec<u16> {
    let leg = LegId { worker: WorkerId(0), slot, generation: 1 };
    let of = StreamId { leg, index };
    let told = bench.commands.iter().rev().find_map(|command| match command {
        Command::SetPipes { stream, pipes } if *stream == of => Some(pipes),
        _ => None,
    });
    told.into_iter().flat_map(|pipes| pipes.iter().map(|pipe| pipe.media.leg.slot)).collect()
}

#[test]
fn one_port_serves_the_offerer_and_each_line_has_its_own_at_the_answerer() {
    let mut bench = Bench::new();
    let offer = bench.offer("a", &bundled(["", ""]), &TO_PHONE);
    assert!(!offer.contains("BUNDLE"), "{offer}");
    assert_eq!(lines(&offer, "m="), ["m=audio 30002 RTP/AVP 0", "m=video 30004 RTP/AVP 96"]);
    let answer = bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    let port = "30000 UDP/TLS/RTP/SAVPF";
    assert_eq!(lines(&answer, "m="), [format!("m=audio {port} 0"), format!("m=video {port} 96")]);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 0 1"]);
    assert_eq!(lines(&answer, "a=mid"), ["a=mid:0", "a=mid:1"]);
    assert_eq!(lines(&answer, "a=rtcp-mux").len(), 2);
    assert_eq!(lines(&answer, "a=candidate").len(), 1, "once for all");
    // The browser's leg has both streams; each goes to a leg of the phone's and comes back to the one.
    assert_eq!(shared(&bench), [(1, 1)]);
    assert_eq!((piped(&bench, 1, 0), piped(&bench, 1, 1)), (vec![2], vec![3]));
    assert_eq!((piped(&bench, 2, 0), piped(&bench, 3, 0)), (vec![1], vec![1]));
}

#[test]
fn what_shares_a_port_is_told_apart() {
    let mut bench = Bench::new();
    bench.offer("a", &bundled(["", ""]), &TO_PHONE);
    bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    let stream = |line: &line::Line| -> StreamSpec { seat::stream_spec(line) };
    let party = bench.call.parties.tagged("a").unwrap();
    let lines = &bench.call.parties.at(party).unwrap().lines;
    let specs: Vec<_> = lines.iter().map(stream).collect();
    let mids: Vec<_> = specs.iter().map(|spec| spec.mid.as_deref().unwrap()).collect();
    assert_eq!(mids, [b"0", b"1"]);
    assert!(specs.iter().all(|spec| spec.mid_extension == Some(4)));
}

#[test]
fn lines_part_again_when_the_first_one_is_rejected() {
    let mut bench = Bench::new();
    bench.offer("a", &bundled(["", ""]), &TO_PHONE);
    let only_video = phone(5002).replace("m=audio 5000", "m=audio 0");
    let answer = bench.answer("a", "b", &only_video, &TO_BROWSER);
    assert!(lines(&answer, "a=group").is_empty(), "{answer}");
    assert!(lines(&answer, "m=")[0].starts_with("m=audio 0 "), "{answer}");
    let video = lines(&answer, "m=")[1];
    assert!(!video.contains(" 30000 ") && !video.contains("video 0"), "{answer}");
}

#[test]
fn a_line_that_is_rejected_leaves_the_group() {
    let mut bench = Bench::new();
    bench.offer("a", &bundled(["", ""]), &TO_PHONE);
    let answer = bench.answer("a", "b", &phone(0), &TO_BROWSER);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 0"]);
    assert!(lines(&answer, "m=")[1].starts_with("m=video 0 "), "{answer}");
}

#[test]
fn a_line_that_is_offered_in_the_bundle_alone_is_not_rejected() {
    let mut bench = Bench::new();
    let offer = bundled(["", "a=bundle-only\r\n"]).replace("m=video 9", "m=video 0");
    let to_phone = bench.offer("a", &offer, &TO_PHONE);
    assert!(to_phone.contains("m=video 30004") && !to_phone.contains("bundle-only"), "{to_phone}");
    let answer = bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 0 1"]);
}

#[test]
fn without_the_flag_each_line_has_its_port() {
    let mut bench = Bench::new();
    bench.offer("a", &bundled(["", ""]), &TO_PHONE[..5]);
    let answer = bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    assert!(lines(&answer, "a=group").is_empty(), "{answer}");
    assert_ne!(
        lines(&answer, "m=")[0].split(' ').nth(1),
        lines(&answer, "m=")[1].split(' ').nth(1)
    );
    assert!(shared(&bench).is_empty());
}

#[test]
fn ports_of_their_own_go_when_lines_begin_to_share_and_come_back() {
    let mut bench = Bench::new();
    bench.offer("a", &bundled(["", ""]), &TO_PHONE[..5]);
    bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    let again: Vec<_> = [("to-tag", "b")].into_iter().chain(TO_PHONE).collect();
    bench.offer("a", &bundled(["", ""]), &again);
    let answer = bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 0 1"]);
    let removed = |command: &Command| matches!(command, Command::RemoveLeg { .. });
    assert_eq!(bench.commands.iter().filter(|command| removed(command)).count(), 1);
    bench.offer("a", &bundled(["", ""]).replace("a=group:BUNDLE 0 1\r\n", ""), &again);
    let answer = bench.answer("a", "b", &phone(5002), &TO_BROWSER);
    assert!(lines(&answer, "a=group").is_empty(), "{answer}");
    assert!(piped(&bench, 1, 1).is_empty(), "what was shared leads nowhere");
    assert_eq!(text(&bench.ask("delete", &[]), "result"), "ok");
    assert!(bench.over);
}
