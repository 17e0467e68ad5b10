use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rtcp::{Compound, Rtcp};

/// What a feedback packet tells.
#[derive(Debug)]
struct Told {
    base: u16,
    count: u16,
    reference: u32,
    packets: u8,
    /// Number and tick of what arrived.
    arrivals: Vec<(u16, u32)>,
}

fn decode(packet: &[u8]) -> Told {
    let Some(Ok(Rtcp::TransportFeedback(feedback))) = Compound::parse(packet).unwrap().next()
    else {
        panic!("not transport feedback")
    };
    let mut body = feedback.body;
    let mut take = |n: usize| {
        let (head, rest) = body.split_at(n);
        body = rest;
        head.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
    };
    let (base, count) = (take(2) as u16, take(2) as u16);
    let (reference, packets) = (take(3), take(1) as u8);
    let mut symbols = Vec::new();
    while symbols.len() < usize::from(count) {
        let chunk = take(2);
        match chunk >> 14 {
            0 | 1 => {
                symbols.extend(std::iter::repeat_n(chunk >> 13 & 3, (chunk & 0x1fff) as usize));
            }
            2 => symbols.extend((0..14).rev().map(|bit| chunk >> bit & 1)),
            _ => symbols.extend((0..7).rev().map(|pair| chunk >> (2 * pair) & 3)),
        }
    }
    let mut tick = reference << 8;
    let mut arrivals = Vec::new();
    for (at, symbol) in symbols.iter().take(usize::from(count)).enumerate() {
        tick = match symbol {
            0 => continue,
            1 => tick.wrapping_add(take(1)),
            2 => tick.wrapping_add_signed(i32::from(take(2) as u16 as i16)),
            _ => panic!("reserved symbol"),
        };
        arrivals.push((base.wrapping_add(at as u16), tick));
    }
    let read: Vec<_> = Feedback::parse(feedback.body).unwrap().packets().collect();
    assert_eq!(read.len(), usize::from(count));
    let read = read.into_iter().filter_map(|(number, tick)| Some((number, tick?)));
    assert_eq!(read.collect::<Vec<_>>(), arrivals, "the reader agrees");
    Told { base, count, reference, packets, arrivals }
}

fn drain(arrivals: &mut Arrivals, now: Nanos) -> Vec<Told> {
    let mut out = [0; RTCP_MAX + 50];
    let mut told = Vec::new();
    while let Some(len) = arrivals.feedback(now, 1, 2, &mut out) {
        assert!(len <= RTCP_MAX);
        assert_eq!(Compound::parse(&out[..len]).unwrap().faults(), Default::default());
        told.push(decode(&out[..len]));
    }
    told
}

fn at(ticks: u64) -> Nanos {
    Nanos(ticks * TICK_NS)
}

#[test]
fn a_small_report_is_written_byte_by_byte() {
    let mut arrivals = Arrivals::default();
    arrivals.record(0x0102, at(0x301));
    arrivals.record(0x0104, at(0x305));
    arrivals.record(0x0105, at(0x304));
    let mut out = [0; RTCP_MAX];
    let len = arrivals.feedback(at(0x400), 0x1111_1111, 0x2222_2222, &mut out).unwrap();
    let expected = [
        0x8f,
        205,
        0,
        6,
        0x11,
        0x11,
        0x11,
        0x11,
        0x22,
        0x22,
        0x22,
        0x22, // head
        0x01,
        0x02,
        0,
        4,
        0,
        0,
        3,
        0, // base, count, reference time, packet count
        0b1101_0001,
        0b1000_0000, // small, missing, small, large
        0x01,
        0x04,
        0xff,
        0xff, // deltas
        0,
        0, // to the word
    ];
    assert_eq!(out[..len], expected);
    assert_eq!(arrivals.feedback(at(0x400), 1, 2, &mut out), None);
}

#[test]
fn feedback_is_due_after_the_interval_and_when_much_is_untold() {
    let mut arrivals = Arrivals::default();
    assert!(!arrivals.due(Nanos::from_millis(500)));
    arrivals.record(1, Nanos::from_millis(1000));
    assert!(!arrivals.due(Nanos::from_millis(1099)));
    assert!(arrivals.due(Nanos::from_millis(1100)));
    drain(&mut arrivals, Nanos::from_millis(1100));
    assert!(!arrivals.due(Nanos::from_millis(5000)));
    for sequence in 2..=600 {
        arrivals.record(sequence, Nanos::from_millis(1101));
    }
    assert!(arrivals.due(Nanos::from_millis(1101)));
}

#[test]
fn numbers_between_two_reports_are_told_missing() {
    let mut arrivals = Arrivals::default();
    arrivals.record(10, at(1000));
    drain(&mut arrivals, at(1000));
    arrivals.record(13, at(1001));
    let told = drain(&mut arrivals, at(1001));
    assert_eq!((told[0].base, told[0].count, told[0].packets), (11, 3, 1));
    assert_eq!(told[0].arrivals, [(13, 1001)]);
}

#[test]
fn a_late_packet_is_told_together_with_what_was_told_before() {
    let mut arrivals = Arrivals::default();
    arrivals.record(10, at(1000));
    arrivals.record(12, at(1001));
    drain(&mut arrivals, at(1001));
    arrivals.record(11, at(1005));
    arrivals.record(11, at(1009));
    let told = drain(&mut arrivals, at(1005));
    assert_eq!(told[0].arrivals, [(11, 1005), (12, 1001)]);
    assert!(drain(&mut arrivals, at(1005)).is_empty());
}

#[test]
fn a_pause_longer_than_a_delta_starts_another_packet() {
    let mut arrivals = Arrivals::default();
    arrivals.record(1, at(1000));
    arrivals.record(2, at(1000 + 0x9000));
    let told = drain(&mut arrivals, at(50_000));
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].arrivals, [(1, 1000)]);
    assert_eq!(told[1].arrivals, [(2, 1000 + 0x9000)]);
    assert_eq!(told[1].reference, (1000 + 0x9000) >> 8);
}

#[test]
fn a_gap_wider_than_the_window_forgets_what_lies_before() {
    let mut arrivals = Arrivals::default();
    arrivals.record(1, at(1000));
    arrivals.record(20_000, at(1001));
    let told = drain(&mut arrivals, at(1001));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].arrivals, [(20_000, 1001)]);
    assert!(usize::from(told[0].count) <= ARRIVALS_WINDOW);
}

#[test]
fn a_short_buffer_writes_nothing_and_loses_nothing() {
    let mut arrivals = Arrivals::default();
    arrivals.record(1, at(1000));
    assert_eq!(arrivals.feedback(at(1000), 1, 2, &mut [0; RTCP_MAX - 1]), None);
    assert_eq!(drain(&mut arrivals, at(1000)).len(), 1);
}

proptest! {
    /// Steps are (lost before it, swapped with the next, ticks since the one before, told after it).
    #[test]
    fn what_is_told_is_what_arrived(
        first in any::<u16>(),
        start in prop_oneof![Just(0u64), Just((1 << 32) - 300), 0..1u64 << 33],
        steps in proptest::collection::vec(
            (prop_oneof![8 => Just(0u16), 2 => 0u16..30, 1 => 0u16..300],
             prop::bool::weighted(0.2),
             prop_oneof![8 => 0u64..20, 2 => 0u64..600, 1 => 0u64..40_000],
             prop::bool::weighted(0.05)),
            1..500),
    ) {
        let mut sequence = first;
        let mut order: Vec<u16> = Vec::new();
        for (lost, ..) in &steps {
            sequence = sequence.wrapping_add(lost + 1);
            order.push(sequence);
        }
        for (i, (_, swapped, ..)) in steps.iter().enumerate().skip(1).rev() {
            if *swapped && i + 1 < order.len() && order[i + 1].wrapping_sub(order[i]) < 50 {
                order.swap(i, i + 1);
            }
        }
        let mut arrivals = Arrivals::default();
        let mut expected = BTreeMap::new();
        let mut told = BTreeMap::new();
        let mut now = start;
        let mut packets = 0_u8;
        let mut take = |arrivals: &mut Arrivals, now| {
            for report in drain(arrivals, at(now)) {
                assert_eq!(report.packets, packets);
                packets = packets.wrapping_add(1);
                told.extend(report.arrivals);
            }
        };
        for (sequence, (_, _, ticks, tell)) in order.iter().zip(&steps) {
            now += ticks;
            // The numbers of a whole turn would overwrite each other in the maps.
            if sequence.wrapping_sub(first) > 60_000 {
                break;
            }
            arrivals.record(*sequence, at(now));
            arrivals.record(*sequence, at(now + 7));
            expected.insert(*sequence, now as u32);
            if *tell || arrivals.due(at(now)) {
                take(&mut arrivals, now);
            }
        }
        take(&mut arrivals, now);
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn any_numbers_at_any_times_are_told_in_finite_packets(
        records in proptest::collection::vec((any::<u16>(), any::<u64>()), 0..300)
    ) {
        let mut arrivals = Arrivals::default();
        for (sequence, time) in records {
            arrivals.record(sequence, Nanos(time));
        }
        let told = drain(&mut arrivals, Nanos(0));
        prop_assert!(told.len() <= ARRIVALS_WINDOW);
    }
}
