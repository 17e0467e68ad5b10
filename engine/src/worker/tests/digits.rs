//! Digits that are played into what passes as it comes.

use super::pipes::{Parties, line, plain, rtp, secure, stream_of};
use super::*;
use crate::command::{MediaKind, StreamSpec};
use crate::digit::Digit;
use crate::pipe::{Filter, MediaFilter};
use crate::stream::Stream;

const DIGIT: Digit =
    Digit { event: 11, payload_type: Some(101), attenuation: 8, duration_ms: 100, pause_ms: 100 };

fn play(parties: &mut Parties, digit: Digit) -> Result<(), Refusal> {
    parties.apply(Command::PlayDigit { stream: stream_of(0), digit })
}

#[test]
fn packets_carry_the_digit_under_their_own_numbers() {
    let suite = Suite::AesCm128HmacSha1_80;
    let mut parties = Parties::pair(plain(0, false), secure(1, false, suite));
    play(&mut parties, DIGIT).unwrap();
    let mut events = 0;
    for number in 0..12 {
        let media = rtp(0, 0, number);
        let [(1, 0, left)] = &parties.send(0, 0, &media)[..] else { panic!("one packet") };
        let (before, after) = (RtpHeader::parse(&media).unwrap(), RtpHeader::parse(left).unwrap());
        assert_eq!((after.sequence, after.ssrc), (before.sequence, before.ssrc));
        if after.payload_type == 101 {
            assert_eq!(after.timestamp, 0);
            assert_eq!(after.marker, number == 0);
            assert_eq!(left.len(), usize::from(after.len) + 4);
            assert_eq!(left[left.len() - 4], 11);
            events += 1;
        } else {
            assert_eq!(*left, media);
        }
    }
    assert_eq!(events, 7, "100 ms, and two packets more that say that it is over");
}

#[test]
fn no_filter_keeps_it_back_and_the_other_direction_passes() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    let blocked = Filter { media: MediaFilter::Block, blocks_dtmf: true };
    parties.filter(0, &[(1, blocked)]);
    play(&mut parties, DIGIT).unwrap();
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 0))[0].2[1], 0x80 | 101);
    assert!(parties.send(0, 0, &rtp(0, 101, 1)).is_empty(), "an event of the party's own");
    let back = rtp(1, 0, 0);
    assert_eq!(parties.send(1, 0, &back), [(0, 0, back)]);
}

#[test]
fn a_receiver_without_events_hears_tones() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    play(&mut parties, Digit { payload_type: None, ..DIGIT }).unwrap();
    for (payload_type, number) in [(0, 0), (8, 1)] {
        let media = rtp(0, payload_type, number);
        let left = parties.send(0, 0, &media).remove(0).2;
        let header = usize::from(RtpHeader::parse(&media).unwrap().len);
        assert_eq!(left[..header], media[..header]);
        assert_ne!(left[header..], media[header..]);
        assert_eq!(left.len(), media.len());
    }
}

#[test]
fn a_packet_that_is_shorter_than_an_event_carries_it_too() {
    let mut parties = Parties::pair(plain(0, false), secure(1, false, Suite::AeadAes256Gcm));
    play(&mut parties, DIGIT).unwrap();
    let comfort = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9];
    let left = parties.send(0, 0, &comfort).remove(0).2;
    assert_eq!(left, [0x80, 0x80 | 101, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 11, 8, 0, 160]);
    let padded = [0xa0, 0, 0, 2, 0, 0, 0, 162, 0, 0, 0, 3, 9, 0, 0, 3];
    let left = parties.send(0, 0, &padded).remove(0).2;
    assert_eq!(left, [0x80, 101, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 11, 8, 1, 64]);
}

#[test]
fn digits_outlive_a_new_description_and_the_process() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    play(&mut parties, DIGIT).unwrap();
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 0))[0].2[1], 0x80 | 101);
    let state = Box::new(Stream::new(&line(0, 0)));
    parties.apply(Command::SetStream { stream: stream_of(0), state }).unwrap();
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 1))[0].2[1], 101);
    let exported = parties.bare.export(parties.now);
    parties.bare = bare();
    parties.bare.install(exported, parties.now).unwrap();
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 2))[0].2[1], 101);
}

#[test]
fn a_stream_that_is_not_there_or_no_audio_plays_none() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    let spec = StreamSpec { kind: MediaKind::Video, ..line(0, 0) };
    let state = Box::new(Stream::new(&spec));
    parties.apply(Command::SetStream { stream: stream_of(0), state }).unwrap();
    assert_eq!(play(&mut parties, DIGIT), Err(Refusal::Misuse));
    let stream = StreamId { index: 1, ..stream_of(0) };
    assert_eq!(parties.apply(Command::PlayDigit { stream, digit: DIGIT }), Err(Refusal::Gone));
}
