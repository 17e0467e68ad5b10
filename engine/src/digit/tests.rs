use super::*;

const EVENT: Digit =
    Digit { event: 5, payload_type: Some(101), attenuation: 8, duration_ms: 100, pause_ms: 80 };

fn header(ssrc: u32, timestamp: u32) -> RtpHeader {
    let mut packet = [0; 12];
    packet[0] = 0x80;
    packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    RtpHeader::parse(&packet).unwrap()
}

/// What packets every so many ticks carry, as (timestamp, first, duration, over), `None` if they pass.
fn played(
    digits: &mut Digits,
    timestamps: impl Iterator<Item = u32>,
    clock_rate: u32,
) -> Vec<Option<(u32, bool, u16, bool)>> {
    timestamps
        .map(|at| match digits.step(&header(7, at), clock_rate, Codec::Other)? {
            Outflow::Event(Event { payload, timestamp, is_first, payload_type: 101 }) => {
                let [5, flags, high, low] = payload else { panic!("{payload:?}") };
                assert_eq!(flags & 0x7f, 8);
                Some((timestamp, is_first, u16::from_be_bytes([high, low]), flags & END != 0))
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn an_event_lasts_as_long_as_asked_and_ends_three_times() {
    let mut digits = Digits::default();
    digits.push(EVENT).unwrap();
    let from = u32::MAX - 200;
    let told = played(&mut digits, (0..12).map(|n| from.wrapping_add(160 * n)), 8000);
    let event = |first, duration, over| Some((from, first, duration, over));
    let mut expected = vec![
        event(true, 160, false),
        event(false, 320, false),
        event(false, 480, false),
        event(false, 640, false),
        event(false, 800, true),
        event(false, 800, true),
        event(false, 800, true),
    ];
    expected.resize(12, None);
    assert_eq!(told, expected);
    assert!(digits.is_empty());
}

#[test]
fn digits_follow_each_other_after_their_pause() {
    let mut digits = Digits::default();
    for _ in 0..2 {
        digits.push(EVENT).unwrap();
    }
    let told = played(&mut digits, (0..18).map(|n| 160 * n), 8000);
    let begins: Vec<_> = (0..).zip(&told).filter(|(_, t)| t.is_some_and(|t| t.1)).collect();
    let at: Vec<u32> = begins.iter().map(|(place, _)| *place).collect();
    assert_eq!(at, [0, 9], "100 ms of sound and 80 ms of pause");
    assert_eq!(told[9].map(|event| event.0), Some(1440));
}

#[test]
fn other_clocks_and_lengths_of_packets_do_as_well() {
    let mut digits = Digits::default();
    digits.push(EVENT).unwrap();
    let told = played(&mut digits, (0..8).map(|n| 2880 * n), 48_000);
    let durations: Vec<_> = told.iter().flatten().map(|(_, _, d, over)| (*d, *over)).collect();
    let end = (4800, true);
    assert_eq!(durations, [(960, false), (3840, false), end, end, end]);
    digits = Digits::default();
    digits.push(Digit { duration_ms: 5000, ..EVENT }).unwrap();
    let told = played(&mut digits, (0..80).map(|n| 960 * n), 48_000);
    let longest = told.iter().flatten().map(|event| event.2).max();
    assert_eq!(longest, Some(u16::MAX), "no segments");
}

#[test]
fn late_packets_pass_and_another_source_ends_the_digit() {
    let mut digits = Digits::default();
    digits.push(EVENT).unwrap();
    assert!(digits.step(&header(7, 1600), 8000, Codec::Pcmu).is_some());
    assert!(digits.step(&header(7, 1440), 8000, Codec::Pcmu).is_none());
    assert!(digits.step(&header(7, 1760), 8000, Codec::Pcmu).is_some());
    assert!(digits.step(&header(8, 1760), 8000, Codec::Pcmu).is_none());
    assert!(digits.is_empty());
}

#[test]
fn tones_sound_in_g_711_alone() {
    let tone = Digit { payload_type: None, ..EVENT };
    for (codec, pieces) in [(Codec::Pcmu, 5), (Codec::Pcma, 5), (Codec::G722, 0), (Codec::Other, 0)]
    {
        let mut digits = Digits::default();
        digits.push(tone).unwrap();
        let flows = (0..12).map(|n| digits.step(&header(7, 160 * n), 8000, codec));
        let sound: Vec<_> = flows.flatten().collect();
        assert_eq!(sound.len(), pieces);
        assert!(sound.iter().all(|flow| matches!(flow, Outflow::Tone(_))));
    }
}

#[test]
fn what_is_no_digit_or_too_much_is_refused() {
    let mut digits = Digits::default();
    for wrong in [Digit { event: 16, ..EVENT }, Digit { attenuation: 64, ..EVENT }] {
        assert_eq!(digits.push(wrong), Err(Refusal::Misuse));
    }
    for _ in 0..DIGITS_PER_STREAM {
        digits.push(EVENT).unwrap();
    }
    assert_eq!(digits.push(EVENT), Err(Refusal::Full));
}
