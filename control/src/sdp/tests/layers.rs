//! Simulcast layers, and the seats at which a leg receives the others.

use super::*;
use crate::api::Media;

#[test]
fn takes_the_layers_that_chromium_offers_in_its_order() {
    let (text, negotiated) = answered(CHROMIUM_156_SIMULCAST);
    assert_eq!(negotiated.media[1].rids, ["f", "h", "q"]);
    assert_eq!(lines(&text, 1, "a=rid"), ["a=rid:f recv", "a=rid:h recv", "a=rid:q recv"]);
    assert_eq!(lines(&text, 1, "a=simulcast"), ["a=simulcast:recv f;h;q"]);
    assert_eq!(negotiated.media[1].extension_id(extension::RID), Some(10));
    assert_eq!(negotiated.media[1].extension_id(extension::REPAIRED_RID), Some(11));
    assert_eq!(lines(&text, 1, "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes").len(), 1);
    assert_eq!(negotiated.media[0].extension_id(extension::AUDIO_LEVEL), Some(1));
    for plain in [0, 2, 3] {
        assert!(negotiated.media[plain].rids.is_empty());
        assert_eq!(negotiated.media[plain].extension_id(extension::RID), None, "of no use there");
        assert!(lines(&text, plain, "a=rid").is_empty());
        assert!(lines(&text, plain, "a=simulcast").is_empty());
    }
}

/// RFC 8853 §5.1: alternatives, pauses, both directions, ids that nothing explains.
#[test]
fn reads_every_form_of_simulcast() {
    let cases: [(&str, &[&str]); 9] = [
        ("send f;~h;q", &["f", "h", "q"]),
        ("send f,h;q", &["f", "q"]),
        ("recv 1;2 send q;f", &["q", "f"]),
        ("send f;h recv 1", &["f", "h"]),
        ("send f;h;unexplained", &["f", "h"]),
        ("send f;f;h", &["f", "h"]),
        ("recv f;h", &[]),
        ("send f", &[]),
        ("send", &[]),
    ];
    for (said, rids) in cases {
        let offer =
            CHROMIUM_156_SIMULCAST.replace("simulcast:send f;h;q", &format!("simulcast:{said}"));
        let (text, negotiated) = answered(&offer);
        assert_eq!(negotiated.media[1].rids, rids, "{said}");
        assert_eq!(lines(&text, 1, "a=simulcast").is_empty(), rids.is_empty(), "{said}");
    }
}

#[test]
fn layers_that_cannot_be_told_apart_or_are_too_many_are_declined_and_the_picture_is_not() {
    let many = "a=rid:a send\r\na=rid:b send\r\na=simulcast:send f;h;q;a;b";
    let offers = [
        CHROMIUM_156_SIMULCAST.replace("a=simulcast:send f;h;q", many),
        without(CHROMIUM_156_SIMULCAST, "a=extmap:10 "),
        CHROMIUM_156_SIMULCAST.replace("a=extmap:10 urn", "a=extmap:15 urn"),
        CHROMIUM_156_SIMULCAST.replace(" send\r\n", " recv\r\n"),
    ];
    for offer in offers {
        let (text, negotiated) = answered(&offer);
        assert!(negotiated.media[1].rids.is_empty());
        assert!(negotiated.media[1].direction.receives());
        assert!(lines(&text, 1, "a=simulcast").is_empty() && lines(&text, 1, "a=rid").is_empty());
    }
}

#[test]
fn layers_outlast_a_hold_in_which_nobody_names_them() {
    let (_, active) = answered(CHROMIUM_156_SIMULCAST);
    let hold = CHROMIUM_156_SIMULCAST.replace("a=sendrecv", "a=inactive");
    let hold = without(&without(&hold, "a=rid:"), "a=simulcast");
    let (text, held) = answer(&sdp(&hold), &local(), &[], Some(&active)).unwrap();
    assert_eq!(held.media[1].rids, active.media[1].rids);
    assert_eq!(held.media[1].extension_id(extension::RID), Some(10));
    assert!(lines(&text, 1, "a=rid").is_empty(), "what the offer does not name is not answered");
}

#[test]
fn lines_on_which_the_node_sends_get_seats_and_keep_them() {
    let (text, first) = answered(CHROMIUM_156_SIMULCAST);
    let seats = |negotiated: &Negotiated| -> Vec<_> {
        negotiated.media.iter().map(|media| (media.kind, media.seat)).collect()
    };
    let (audio, video) = (Media::Audio, Media::Video);
    let both = [(audio, Some(0)), (video, Some(0)), (audio, Some(1)), (video, Some(1))];
    assert_eq!(seats(&first), both);
    let msids: Vec<_> = (0..4).map(|index| lines(&text, index, "a=msid:")[0].to_owned()).collect();
    let expected = ["call audio0", "call video1", "call-1 audio2", "call-1 video3"]
        .map(|m| format!("a=msid:{m}"));
    assert_eq!(msids, expected, "what one leg sends is one stream, and nobody else's");

    let hold = CHROMIUM_156_SIMULCAST
        .replace("a=sendrecv", "a=sendonly")
        .replace("a=recvonly", "a=inactive");
    let (_, held) = answer(&sdp(&hold), &local(), &[], Some(&first)).unwrap();
    assert_eq!(seats(&held), both);
    assert!(held.held(), "it took media, and takes none now");
}

#[test]
fn a_stopped_lines_seat_goes_to_the_next_of_its_kind() {
    let (_, first) = answered(CHROMIUM_156_SIMULCAST);
    let (head, last) =
        CHROMIUM_156_SIMULCAST.split_at(CHROMIUM_156_SIMULCAST.rfind("m=video").unwrap());
    let fourth = last.replace("a=mid:3", "a=mid:4");
    let stopped = last.replace("m=video 9", "m=video 0");
    let offer = format!("{head}{stopped}{fourth}").replace("BUNDLE 0 1 2 3", "BUNDLE 0 1 2 4");
    let (_, second) = answer(&sdp(&offer), &local(), &[], Some(&first)).unwrap();
    assert_eq!(second.at_seat(Media::Video, 1).map(|media| media.index), Some(4));
}

/// A publisher that takes nothing has not put anybody on hold.
#[test]
fn who_only_sends_is_not_holding() {
    let (_, publisher) = answered(&CHROMIUM.replace("a=sendrecv", "a=sendonly"));
    assert!(!publisher.held());
    assert!(publisher.media.iter().all(|media| media.seat.is_none()));
}

#[test]
fn more_lines_of_a_kind_than_another_leg_has_get_the_codecs_of_its_first() {
    let (_, first) = answered(&CHROMIUM.replace(" H264/", " H265/"));
    let (text, _) = answer(&sdp(CHROMIUM_156_SIMULCAST), &local(), &[&first], None).unwrap();
    for index in [1, 3] {
        assert_eq!(lines(&text, index, "m="), ["m=video 40500 UDP/TLS/RTP/SAVPF 96 97"]);
    }
}
