//! Which codecs of an answer reach the offerer, as rtpengine 10.5.3 has them where it transcodes
//! nothing.

use super::*;

/// The formats of an answer's m-line that the offerer is told.
fn told(media: &str, offered: &[u8], change: impl FnOnce(&mut CodecRules)) -> String {
    let sdp = sdp(&format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{media}{MAPS}"));
    let mut proxied = Proxied::at("203.0.113.5:30000".parse().unwrap());
    proxied.codecs.offered = Some(offered.to_vec());
    change(&mut proxied.codecs);
    let media = vec![MediaRewrite::Proxied(Box::new(proxied))];
    let text = rewrite(&sdp, &Rewrite { session: SessionRewrite::default(), media }).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("m=")).unwrap();
    line.rsplit_once("AVP ").unwrap().1.into()
}

fn agreed(formats: &str, offered: &[u8]) -> String {
    told(&format!("m=audio 5000 RTP/AVP {formats}\r\n"), offered, |_| {})
}

fn refused(formats: &str, offered: &[u8]) -> String {
    told(&format!("m=audio 0 RTP/AVP {formats}\r\n"), offered, |_| {})
}

#[test]
fn what_was_not_offered_goes() {
    assert_eq!(agreed("8 101", &[0, 9, 8]), "8", "events");
    assert_eq!(agreed("8 9", &[0, 8]), "8", "a codec");
    assert_eq!(agreed("8 13", &[0, 8]), "8", "comfort noise");
    assert_eq!(agreed("98 96 99", &[96, 97]), "96", "retransmissions of what was not offered");
}

#[test]
fn what_was_offered_stays_in_the_answers_order() {
    assert_eq!(agreed("101 13 8", &[0, 8, 13, 101]), "101 13 8");
    assert_eq!(agreed("8 102", &[0, 8, 101, 102]), "8 102");
    assert_eq!(agreed("9 101", &[0, 8, 101]), "101", "even events alone");
}

#[test]
fn numbers_count_and_not_names() {
    assert_eq!(agreed("8 102", &[0, 8, 101]), "8", "events by another number");
    assert_eq!(agreed("97 96", &[96, 97]), "97 96");
}

#[test]
fn an_answer_without_anything_that_was_offered_passes_whole() {
    assert_eq!(agreed("98 99", &[0, 8]), "98 99");
    assert_eq!(agreed("0 8", &[]), "0 8");
}

#[test]
fn a_refusal_names_what_was_offered() {
    assert_eq!(refused("0", &[8, 9]), "8");
    assert_eq!(refused("0 9 101", &[8, 9, 101]), "9 101");
    assert_eq!(refused("0", &[]), "0");
}

#[test]
fn rules_come_behind_that() {
    let formats = "m=audio 5000 RTP/AVP 9 8 0\r\n";
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let stripped = told(formats, &[0, 8], |rules| rules.strip = names(&["PCMA"]));
    assert_eq!(stripped, "0");
    let forced = told(formats, &[0, 8], |rules| rules.offer = names(&["G722"]));
    assert_eq!(forced, "8 0 9");
    let nothing = told(formats, &[0, 8], |rules| rules.strip = names(&["PCMA", "PCMU"]));
    assert_eq!(nothing, "9 8 0");
}

#[test]
fn one_codec_can_be_asked_for() {
    let formats = "m=audio 5000 RTP/AVP 101 8 0 9 13\r\n";
    let offered = [8, 0, 101, 9, 13];
    assert_eq!(told(formats, &offered, |rules| rules.single = true), "101 8 13");
}

const MAPS: &str = "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
    a=rtpmap:98 H264/90000\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=rtpmap:102 telephone-event/8000\r\n";
