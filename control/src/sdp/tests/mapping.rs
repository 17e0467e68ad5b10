//! How one leg's numbers become another's.

use super::*;

fn pts(map: &[PtMap]) -> Vec<(u8, u8, Option<u8>)> {
    map.iter().map(|entry| (entry.from, entry.to, entry.retransmits)).collect()
}

#[test]
fn maps_payload_types_by_codec_between_firefox_and_chromium() {
    let (_, firefox) = answered(FIREFOX);
    let (_, chromium) = answered(CHROMIUM);
    let audio = map_payload_types(&firefox.media[0], &chromium.media[0]);
    assert_eq!(
        pts(&audio),
        [(109, 111, None), (9, 9, None), (0, 0, None), (8, 8, None), (101, 126, None)]
    );
    assert_eq!(
        audio.iter().map(|m| m.clock_rate).collect::<Vec<_>>(),
        [48000, 8000, 8000, 8000, 8000]
    );
    let video = map_payload_types(&firefox.media[1], &chromium.media[1]);
    assert_eq!(
        pts(&video),
        [
            (120, 96, None),
            (124, 97, Some(120)),
            (126, 109, None),
            (127, 114, Some(126)),
            (97, 115, None),
            (98, 116, Some(97)),
        ]
    );
    let back = map_payload_types(&chromium.media[1], &firefox.media[1]);
    assert_eq!(
        pts(&back),
        [
            (96, 120, None),
            (97, 124, Some(96)),
            (109, 126, None),
            (114, 127, Some(109)),
            (115, 97, None),
            (116, 98, Some(115)),
        ]
    );
}

#[test]
fn retransmissions_are_mapped_only_where_both_legs_have_them() {
    let (_, chromium) = answered(CHROMIUM);
    let (_, bare) = answered(&FIREFOX.replace("rtx", "nothing"));
    let map = map_payload_types(&chromium.media[1], &bare.media[1]);
    assert_eq!(pts(&map), [(96, 120, None), (109, 126, None), (115, 97, None)]);
}

/// RFC 4733 §2.1: phones often have events of 8000 alone, whatever the audio.
#[test]
fn events_are_mapped_to_the_other_clock_where_the_same_is_not_there() {
    let both = CHROMIUM_156.replace("telephone-event/8000", "telephone-event/16000");
    let (_, browser) = answered(&both);
    let (_, phone) = fixed::at_ports(SIP_PHONE, 1, None).unwrap();
    let map = map_payload_types(&browser.media[0], &phone.media[0]);
    let event = map.iter().find(|entry| entry.from == 110).unwrap();
    assert_eq!((event.to, event.clock_rate, event.events), (101, 48_000, Some(8_000)));
    assert!(map.iter().filter(|entry| entry.from != 110).all(|entry| entry.events.is_none()));
    let back = map_payload_types(&phone.media[0], &browser.media[0]);
    let event = back.iter().find(|entry| entry.from == 101).unwrap();
    assert_eq!((event.to, event.clock_rate, event.events), (110, 8_000, Some(48_000)));
}

#[test]
fn maps_header_extensions_by_uri_and_direction() {
    let (_, firefox) = answered(FIREFOX);
    let (_, chromium) = answered(CHROMIUM);
    let ids = |map: Vec<ExtensionMap>| map.iter().map(|e| (e.from, e.to)).collect::<Vec<_>>();
    let audio = map_extensions(&firefox.media[0], &chromium.media[0]);
    assert_eq!(audio[0].uri, extension::AUDIO_LEVEL);
    assert_eq!(ids(audio), [(1, 1), (3, 4)]);
    let up = map_extensions(&firefox.media[1], &chromium.media[1]);
    assert_eq!(ids(up), [(3, 4), (4, 2), (5, 14), (7, 3)], "Firefox does not send playout-delay");
    let down = map_extensions(&chromium.media[1], &firefox.media[1]);
    assert_eq!(ids(down), [(14, 5), (2, 4), (3, 7), (5, 6), (4, 3)], "but it takes it");
}
