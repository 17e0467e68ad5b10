use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::config::{FRAME_SIZE, HEAD_ROOM};

const SINK: u32 = 0x5151_5151;
const SINK_RTX: u32 = 0x5252_5252;
const FIRST: u16 = 1000;
const FIRST_RTX: u16 = 2000;
const FIRST_TIMESTAMP: u32 = 777_000;
const SOURCE: u32 = 0xa;
const SOURCE_RTX: u32 = 0xb;
const MEDIA_PT: u8 = 96;
const RTX_PT: u8 = 97;

fn map() -> RouteMap {
    let payload = |from, to, retransmits| PayloadMap {
        from,
        to,
        clock_rate: 90_000,
        retransmits,
        again: (!retransmits).then_some(103),
        codec: Codec::Other,
    };
    RouteMap::new(&[payload(MEDIA_PT, 102, false), payload(RTX_PT, 103, true)], &[(3, 5), (4, 14)])
}

/// RFC 4733 §2.3.
#[test]
fn events_are_told_in_the_clock_of_the_sink() {
    for (from, to, lasted, told) in
        [(48, 8, 9600u16, 1600u16), (8, 48, 1600, 9600), (8, 48, 0xffff, 0xffff), (0, 8, 7, 7)]
    {
        let [[high, low], told] = [lasted, told].map(u16::to_be_bytes);
        let mut payload = [[5, 0x8a, high, low], [6, 0x0a, high, low]].concat();
        payload.push(0x77);
        rescale_events(&mut payload, from, to);
        let [high, low] = told;
        assert_eq!(payload, [5, 0x8a, high, low, 6, 0x0a, high, low, 0x77]);
    }
}

fn route() -> Route {
    let mid = Mid::try_from(&b"v1"[..]).unwrap();
    let mut route =
        Route::new(SINK, Some(SINK_RTX), Some(mid), Some(9), FIRST, FIRST_RTX, FIRST_TIMESTAMP);
    route.set_source(&map());
    route
}

#[derive(Clone)]
struct Sent {
    passing: Passing,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    block: Vec<u8>,
    payload: Vec<u8>,
}

impl Sent {
    fn media(ssrc: u32, sequence: u16) -> Self {
        let timestamp = 3000 * u32::from(sequence);
        let payload = vec![0x55; 20];
        let (passing, payload_type) = (Passing::Media, MEDIA_PT);
        Self { passing, payload_type, ssrc, sequence, timestamp, block: Vec::new(), payload }
    }

    fn rtx(sequence: u16, original: u16) -> Self {
        let mut payload = original.to_be_bytes().to_vec();
        payload.extend_from_slice(&[0x66; 18]);
        Self {
            passing: Passing::Retransmission,
            payload_type: RTX_PT,
            ssrc: SOURCE_RTX,
            sequence,
            payload,
            ..Self::media(SOURCE, original)
        }
    }

    fn again(ssrc: u32, sequence: u16) -> Self {
        Self { passing: Passing::Again, ..Self::media(ssrc, sequence) }
    }

    fn bytes(&self) -> Vec<u8> {
        let first = if self.block.is_empty() { 0x81 } else { 0x91 };
        let mut bytes = vec![first, 0x80 | self.payload_type];
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.extend_from_slice(b"CSRC");
        bytes.extend_from_slice(&self.block);
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    fn through(&self, route: &mut Route, now_ms: u64) -> Result<Vec<u8>, DropReason> {
        self.through_room(route, now_ms, HEAD_ROOM)
    }

    fn through_room(
        &self,
        route: &mut Route,
        now_ms: u64,
        room: usize,
    ) -> Result<Vec<u8>, DropReason> {
        let bytes = self.bytes();
        let mut frame = vec![0xee; FRAME_SIZE];
        frame[room..room + bytes.len()].copy_from_slice(&bytes);
        let header = RtpHeader::parse(&bytes).unwrap();
        let now = Nanos::from_millis(now_ms);
        let (start, len) = route.forward(
            &mut frame,
            room,
            bytes.len(),
            &header,
            Passage { passing: self.passing, transport_sequence: Some(0x4321), now },
        )?;
        assert_eq!(start + len, room + bytes.len());
        assert!(frame[..start.min(room)].iter().all(|byte| *byte == 0xee));
        assert!(frame[start + len..].iter().all(|byte| *byte == 0xee));
        Ok(frame[start..start + len].to_vec())
    }

    fn header_through(&self, route: &mut Route, now_ms: u64) -> Result<RtpHeader, DropReason> {
        self.through(route, now_ms).map(|bytes| RtpHeader::parse(&bytes).unwrap())
    }
}

/// The sequence number that a media packet gets.
fn forward(route: &mut Route, ssrc: u32, sequence: u16, now_ms: u64) -> Result<u16, DropReason> {
    Sent::media(ssrc, sequence).header_through(route, now_ms).map(|header| header.sequence)
}

#[test]
fn a_packet_takes_the_sinks_numbers_and_keeps_the_rest() {
    let sent = Sent {
        // Ids 3 and 4 are mapped, 7 is not.
        block: vec![0xbe, 0xde, 0, 2, 0x30, 0x11, 0x71, 0x22, 0x22, 0x40, 0x33, 0],
        ..Sent::media(SOURCE, 65_535)
    };
    let bytes = sent.through(&mut route(), 5).unwrap();
    let expected = [
        &[0x91, 0x80 | 102][..],
        &FIRST.to_be_bytes(),
        &FIRST_TIMESTAMP.to_be_bytes(),
        &SINK.to_be_bytes(),
        b"CSRC",
        &[0xbe, 0xde, 0, 2, 0x91, b'v', b'1', 0x50, 0x11, 0xe0, 0x33, 0],
        &sent.payload,
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn without_a_mid_and_mapped_extensions_the_block_goes_away() {
    let mut route = route();
    route.set_mid(None, Some(9));
    let sent =
        Sent { block: vec![0xbe, 0xde, 0, 1, 0x71, 0x22, 0x22, 0], ..Sent::media(SOURCE, 1) };
    let bytes = sent.through(&mut route, 0).unwrap();
    assert_eq!(RtpHeader::parse(&bytes).unwrap().extension_profile, None);
    assert!(bytes.ends_with(&sent.payload));
}

#[test]
fn transport_wide_numbers_pass_only_end_to_end() {
    let sent =
        Sent { block: vec![0xbe, 0xde, 0, 1, 0x21, 0xab, 0xcd, 0], ..Sent::media(SOURCE, 1) };
    let read = |route: &mut Route| {
        let bytes = sent.through(route, 0).unwrap();
        RtpHeader::parse(&bytes).unwrap().extension(&bytes, 12).map(<[u8]>::to_vec)
    };
    assert_eq!(read(&mut route()), None);
    let mut end_to_end = route();
    let cc = TransportCc::EndToEnd { from: 2, to: 12 };
    end_to_end.set_source(&map().with_transport_cc(cc));
    assert_eq!(read(&mut end_to_end), Some(vec![0xab, 0xcd]));
}

#[test]
fn a_header_that_outgrows_the_head_room_is_refused() {
    let mut route = route();
    let sent = Sent::media(SOURCE, 1);
    assert_eq!(sent.through_room(&mut route, 0, 7), Err(DropReason::RewriteRoom));
    assert!(sent.through_room(&mut route, 0, 8).is_ok());
}

#[test]
fn what_the_sink_did_not_negotiate_is_refused() {
    let mut route = route();
    let unknown = Sent { payload_type: 98, ..Sent::media(SOURCE, 1) };
    assert_eq!(unknown.through(&mut route, 0), Err(DropReason::CodecUnmapped));
    let mut plain = Route::new(SINK, None, None, None, FIRST, 0, 0);
    plain.set_source(&map());
    assert_eq!(forward(&mut plain, SOURCE, 7, 0), Ok(FIRST));
    assert_eq!(Sent::rtx(1, 7).through(&mut plain, 0), Err(DropReason::CodecUnmapped));
}

#[test]
fn a_retransmission_names_the_sinks_number_of_the_original() {
    let mut route = route();
    for sequence in [65_534, 65_535, 1] {
        forward(&mut route, SOURCE, sequence, 0).unwrap();
    }
    let bytes = Sent::rtx(40, 0).through(&mut route, 1).unwrap();
    let header = RtpHeader::parse(&bytes).unwrap();
    assert_eq!((header.ssrc, header.sequence, header.payload_type), (SINK_RTX, FIRST_RTX, 103));
    assert_eq!(read_original(&bytes), Some(FIRST + 2));
    let media = Sent::media(SOURCE, 0).header_through(&mut route, 1).unwrap();
    assert_eq!((media.sequence, media.timestamp), (FIRST + 2, header.timestamp));
    // What lies ahead of all media was never missed.
    assert_eq!(Sent::rtx(41, 2).through(&mut route, 1), Err(DropReason::SourceOld));
    assert_eq!(route.backward_sequence(Kind::Rtx, FIRST_RTX), Some((SOURCE_RTX, 40)));
}

#[test]
fn what_the_node_repeats_is_a_retransmission_under_numbers_of_the_sinks_own() {
    let mut route = route();
    for sequence in [65_534, 65_535, 0] {
        forward(&mut route, SOURCE, sequence, 0).unwrap();
    }
    let block = vec![0xbe, 0xde, 0, 1, 0x30, 7, 0, 0];
    let again = Sent { block, ..Sent::again(SOURCE, 65_535) };
    for number in [FIRST_RTX, FIRST_RTX + 1] {
        let bytes = again.through(&mut route, 1).unwrap();
        let header = RtpHeader::parse(&bytes).unwrap();
        assert_eq!((header.ssrc, header.sequence, header.payload_type), (SINK_RTX, number, 103));
        assert_eq!(read_original(&bytes), Some(FIRST + 1));
        assert_eq!(&header.payload(&bytes).unwrap()[2..], &again.payload);
        assert_eq!(header.extension(&bytes, 5), Some(&[7][..]));
        let media = Sent::media(SOURCE, 65_535).header_through(&mut route, 1).unwrap();
        assert_eq!((media.timestamp, media.marker), (header.timestamp, header.marker));
    }
    // What the sink never was to get, and sinks that take no retransmissions.
    assert_eq!(Sent::again(SOURCE, 1).through(&mut route, 1), Err(DropReason::SourceOld));
    let mut plain = Route::new(SINK, None, None, None, FIRST, 0, 0);
    plain.set_source(&map());
    forward(&mut plain, SOURCE, 7, 0).unwrap();
    assert_eq!(Sent::again(SOURCE, 7).through(&mut plain, 0), Err(DropReason::CodecUnmapped));
}

fn read_original(packet: &[u8]) -> Option<u16> {
    let header = RtpHeader::parse(packet).unwrap();
    rtp::read_original_sequence(header.payload(packet).unwrap())
}

#[test]
fn probing_padding_without_an_original_passes() {
    let mut route = route();
    let padding = Sent { payload: Vec::new(), ..Sent::rtx(1, 0) };
    assert_eq!(padding.through(&mut route, 0), Err(DropReason::SourceOld));
    forward(&mut route, SOURCE, 1, 0).unwrap();
    assert_eq!(padding.header_through(&mut route, 0).unwrap().sequence, FIRST_RTX);
}

#[test]
fn a_new_source_continues_the_numbers_and_the_clock() {
    let mut route = route();
    let first = Sent::media(SOURCE, 50).header_through(&mut route, 1000).unwrap();
    route.set_source(&map());
    let second = Sent::media(SOURCE, 9000).header_through(&mut route, 1500).unwrap();
    assert_eq!(second.sequence, first.sequence + 1);
    assert_eq!(second.timestamp, first.timestamp + 45_000);
    let third = Sent::media(0xc, 3).header_through(&mut route, 1500).unwrap();
    assert_eq!(third.sequence, second.sequence + 1);
    assert_eq!(third.timestamp, second.timestamp + 1);
}

#[test]
fn feedback_about_a_former_source_has_no_answer() {
    let mut route = route();
    forward(&mut route, SOURCE, 50, 0).unwrap();
    assert_eq!(route.backward_sequence(Kind::Media, FIRST), Some((SOURCE, 50)));
    assert_eq!(route.backward_sequence(Kind::Media, FIRST + 1), None);
    route.set_source(&map());
    assert_eq!(route.backward_sequence(Kind::Media, FIRST), None);
    assert_eq!(route.backward_ssrc(Kind::Media), None);
    forward(&mut route, 0xc, 7, 10).unwrap();
    assert_eq!(route.backward_sequence(Kind::Media, FIRST), None);
    assert_eq!(route.backward_sequence(Kind::Media, FIRST + 1), Some((0xc, 7)));
    assert_eq!(route.backward_extended(Kind::Media, u32::from(FIRST)), None);
}

#[test]
fn a_change_of_ssrc_keeps_the_former_numbers_answerable() {
    let mut route = route();
    forward(&mut route, SOURCE, 50, 0).unwrap();
    forward(&mut route, SOURCE, 52, 0).unwrap();
    assert_eq!(forward(&mut route, 0xc, 9, 10), Ok(FIRST + 3));
    assert_eq!(route.backward_sequence(Kind::Media, FIRST + 1), Some((SOURCE, 51)));
    assert_eq!(route.backward_sequence(Kind::Media, FIRST + 3), Some((0xc, 9)));
    assert_eq!(route.source_ssrcs(Kind::Media).collect::<Vec<_>>(), [SOURCE, 0xc]);
}

#[test]
fn late_packets_of_a_former_ssrc_fill_only_their_own_gaps() {
    let mut route = route();
    forward(&mut route, SOURCE, 50, 0).unwrap();
    forward(&mut route, SOURCE, 52, 0).unwrap();
    forward(&mut route, 0xc, 9, 10).unwrap();
    assert_eq!(forward(&mut route, SOURCE, 51, 11), Ok(FIRST + 1));
    assert_eq!(forward(&mut route, SOURCE, 53, 11), Err(DropReason::SourceOld));
    assert_eq!(forward(&mut route, 0xc, 8, 12), Err(DropReason::SourceOld));
    assert_eq!(forward(&mut route, 0xc, 10, 13), Ok(FIRST + 4));
    // Long after, it is a change back.
    assert_eq!(forward(&mut route, SOURCE, 53, 600), Ok(FIRST + 5));
}

#[test]
fn packets_that_the_very_first_overtook_still_pass() {
    let mut route = route();
    assert_eq!(forward(&mut route, SOURCE, 50, 0), Ok(FIRST));
    assert_eq!(forward(&mut route, SOURCE, 49, 0), Ok(FIRST - 1));
    assert_eq!(route.backward_sequence(Kind::Media, FIRST - 1), Some((SOURCE, 49)));
    let mut at_zero = Route::new(SINK, None, None, None, 0, 0, 0);
    at_zero.set_source(&map());
    assert_eq!(forward(&mut at_zero, SOURCE, 50, 0), Ok(0));
    assert_eq!(forward(&mut at_zero, SOURCE, 49, 0), Err(DropReason::SourceOld));
}

#[test]
fn numbers_that_start_over_are_believed_at_the_second_packet() {
    let mut route = route();
    forward(&mut route, SOURCE, 20_000, 0).unwrap();
    assert_eq!(forward(&mut route, SOURCE, 100, 20), Err(DropReason::SourceOld));
    assert_eq!(forward(&mut route, SOURCE, 20_001, 20), Ok(FIRST + 1));
    assert_eq!(forward(&mut route, SOURCE, 100, 40), Err(DropReason::SourceOld));
    assert_eq!(forward(&mut route, SOURCE, 101, 60), Ok(FIRST + 2));
    assert_eq!(forward(&mut route, SOURCE, 102, 80), Ok(FIRST + 3));
    assert_eq!(route.backward_sequence(Kind::Media, FIRST + 3), Some((SOURCE, 102)));
    assert_eq!(route.backward_sequence(Kind::Media, FIRST + 1), Some((SOURCE, 20_001)));
}

#[test]
fn sender_information_moves_into_the_sinks_clock() {
    let mut route = route();
    let info = |ssrc, timestamp| SenderInfo { ssrc, ntp: 99, timestamp, packets: 7, octets: 8 };
    assert_eq!(route.forward_sender_info(&info(SOURCE, 1)), None);
    let sent = Sent::media(SOURCE, 2);
    sent.through(&mut route, 0).unwrap();
    let expected = SenderInfo { packets: 1, octets: 20, ..info(SINK, FIRST_TIMESTAMP + 90) };
    assert_eq!(route.forward_sender_info(&info(SOURCE, sent.timestamp + 90)), Some(expected));
    assert_eq!(route.forward_sender_info(&info(SOURCE_RTX, 1)), None);
    Sent::rtx(1, 2).through(&mut route, 0).unwrap();
    let numbers = route.forward_sender_info(&info(SOURCE_RTX, sent.timestamp)).unwrap();
    assert_eq!((numbers.ssrc, numbers.timestamp), (SINK_RTX, FIRST_TIMESTAMP));
    forward(&mut route, 0xc, 1, 0).unwrap();
    assert_eq!(route.forward_sender_info(&info(SOURCE, 1)), None);
}

#[test]
fn a_report_counts_the_cycles_of_the_source() {
    let mut route = route();
    let mut sequence = 65_000_u16;
    for _ in 0..70_000 {
        route.media.place(SOURCE, sequence, Nanos(0)).unwrap();
        sequence = sequence.wrapping_add(1);
    }
    let sink_highest = u32::from(FIRST) + 69_999;
    let (ssrc, highest) = route.backward_extended(Kind::Media, sink_highest).unwrap();
    assert_eq!((ssrc, highest), (SOURCE, 65_000 + 69_999));
    assert_eq!(highest as u16, sequence.wrapping_sub(1));
}

#[test]
fn a_route_stays_small() {
    // Legs have room for 64 of them.
    assert!(size_of::<Route>() <= 1024, "{}", size_of::<Route>());
}

#[test]
fn a_route_owns_both_of_its_ssrcs() {
    let route = route();
    assert_eq!(route.owns(SINK), Some(Kind::Media));
    assert_eq!(route.owns(SINK_RTX), Some(Kind::Rtx));
    assert_eq!(route.owns(SOURCE), None);
}

#[derive(Debug, Clone)]
enum Step {
    /// Send the next one after leaving out so many.
    Next(u16),
    /// Send the one that lies so far behind the latest.
    Late(u16),
    /// The stream goes on under another SSRC and numbering.
    Ssrc(u32, u16),
    /// Another leg feeds the sink.
    Source(u32, u16),
    /// A packet of a former SSRC comes.
    Ghost(u32, u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0u16..3).prop_map(Step::Next),
        3 => (0u16..70).prop_map(Step::Next),
        20 => (0u16..60).prop_map(Step::Late),
        1 => (0u32..5, any::<u16>()).prop_map(|(ssrc, at)| Step::Ssrc(ssrc, at)),
        1 => (0u32..5, any::<u16>()).prop_map(|(ssrc, at)| Step::Source(ssrc, at)),
        1 => (0u32..5, any::<u16>()).prop_map(|(ssrc, at)| Step::Ghost(ssrc, at)),
    ]
}

fn passings() -> impl Strategy<Value = Passing> {
    prop_oneof![Just(Passing::Media), Just(Passing::Retransmission), Just(Passing::Again)]
}

proptest! {
    #[test]
    fn backward_is_the_inverse_of_forward(
        first_sink in any::<u16>(),
        first_source in any::<u16>(),
        steps in proptest::collection::vec(step(), 1..400),
    ) {
        let mut route = Route::new(SINK, None, None, None, first_sink, 0, 0);
        route.set_source(&map());
        let (mut ssrc, mut latest) = (0_u32, first_source);
        let mut now = 0;
        // Since the latest change of source: what each number of the sink stood for.
        let mut log: Vec<(u16, u32, u16)> = Vec::new();
        let mut numbers = HashSet::new();
        let mut newest: Option<u16> = None;
        for step in steps {
            now += 5;
            let (from, sequence) = match step {
                Step::Next(gap) => {
                    latest = latest.wrapping_add(gap + 1);
                    (ssrc, latest)
                }
                Step::Late(behind) => (ssrc, latest.wrapping_sub(behind)),
                Step::Ssrc(other, at) if other != ssrc => {
                    // Long enough for a change back to be believed.
                    now += 1000;
                    (ssrc, latest) = (other, at);
                    (ssrc, latest)
                }
                Step::Source(other, at) => {
                    route.set_source(&map());
                    for (number, ..) in log.drain(..) {
                        prop_assert_eq!(route.backward_sequence(Kind::Media, number), None);
                    }
                    (ssrc, latest) = (other, at);
                    (ssrc, latest)
                }
                Step::Ghost(other, at) if other != ssrc => (other, at),
                Step::Ssrc(..) | Step::Ghost(..) => continue,
            };
            let Ok(number) = forward(&mut route, from, sequence, now) else { continue };
            if from != ssrc {
                // A ghost that was believed is the source from now on.
                if route.backward_ssrc(Kind::Media) == Some(from) {
                    (ssrc, latest) = (from, sequence);
                }
            }
            let entry = (number, from, sequence);
            let is_repeat = log.contains(&entry);
            prop_assert!(numbers.insert(number) || is_repeat, "{number} was used twice");
            let ahead = newest.is_none_or(|newest| (number.wrapping_sub(newest) as i16) > 0);
            if ahead {
                newest = Some(number);
            }
            if !is_repeat {
                log.push(entry);
            }
            prop_assert_eq!(route.backward_sequence(Kind::Media, number), Some((from, sequence)));
        }
        for (number, from, sequence) in log {
            // Of more segments than are kept, the oldest are forgotten, never mistaken.
            let answer = route.backward_sequence(Kind::Media, number);
            prop_assert!(answer.is_none() || answer == Some((from, sequence)));
            let kept = route.media.segments.first().unwrap().first;
            let whole = nearest(route.media.next, number).unwrap();
            prop_assert_eq!(answer.is_some(), whole >= kept);
        }
    }

    #[test]
    fn every_rewritten_packet_is_well_formed_and_the_sinks(
        sequence in any::<u16>(),
        two_byte in any::<bool>(),
        block in proptest::collection::vec(any::<u32>(), 0..12),
        payload in proptest::collection::vec(any::<u8>(), 0..1200),
        end_to_end in any::<bool>(),
    ) {
        let profile = if two_byte { 0x1000_u32 } else { 0xbede };
        let head = profile << 16 | block.len() as u32;
        let block = std::iter::once(head).chain(block).flat_map(u32::to_be_bytes).collect();
        let sent = Sent { block, payload, ..Sent::media(SOURCE, sequence) };
        let mut route = route();
        if end_to_end {
            let cc = TransportCc::EndToEnd { from: 2, to: 12 };
            route.set_source(&map().with_transport_cc(cc));
        }
        let bytes = sent.through(&mut route, 0).unwrap();
        let header = RtpHeader::parse(&bytes).unwrap();
        prop_assert_eq!(header.ssrc, SINK);
        prop_assert_eq!(header.payload_type, 102);
        prop_assert!(header.marker);
        prop_assert_eq!(header.read_mid(&bytes, 9), Some(&b"v1"[..]));
        prop_assert_eq!(header.payload(&bytes).unwrap(), &sent.payload[..]);

        let before = sent.bytes();
        let source = RtpHeader::parse(&before).unwrap();
        let rename = |id| match id {
            3 => Some(5),
            4 => Some(14),
            2 if end_to_end => Some(12),
            _ => None,
        };
        let expected: Vec<_> = source
            .extensions(&before)
            .filter_map(|e| Some((rename(e.id)?, e.data.to_vec())))
            .collect();
        let passed: Vec<_> =
            header.extensions(&bytes).skip(1).map(|e| (e.id, e.data.to_vec())).collect();
        prop_assert_eq!(passed, expected);
    }

    #[test]
    fn a_retransmission_always_matches_its_media(
        first_source in any::<u16>(),
        lost in proptest::collection::vec(any::<bool>(), 2..80),
    ) {
        let mut route = route();
        let sequences = (0..lost.len() as u16).map(|at| first_source.wrapping_add(at));
        let ends = [0, lost.len() - 1];
        for (at, sequence) in sequences.clone().enumerate() {
            if ends.contains(&at) || !lost[at] {
                forward(&mut route, SOURCE, sequence, at as u64).unwrap();
            }
        }
        for (at, original) in sequences.enumerate() {
            let repeated = Sent::rtx(at as u16, original).through(&mut route, 100).unwrap();
            let media = Sent::media(SOURCE, original).header_through(&mut route, 100).unwrap();
            prop_assert_eq!(read_original(&repeated), Some(media.sequence));
            prop_assert_eq!(RtpHeader::parse(&repeated).unwrap().timestamp, media.timestamp);
        }
    }

    #[test]
    fn no_two_packets_of_a_sink_share_a_number(
        steps in proptest::collection::vec((passings(), 0..40_u16), 1..80),
    ) {
        let mut route = route();
        let mut used = HashSet::new();
        let (mut media, mut rtx) = (100_u16, 30_000_u16);
        for (at, (passing, back)) in steps.into_iter().enumerate() {
            let sent = match passing {
                Passing::Media => {
                    media += 1;
                    Sent::media(SOURCE, media)
                }
                Passing::Retransmission => {
                    rtx += 1;
                    Sent::rtx(rtx, media.wrapping_sub(back))
                }
                Passing::Again => Sent::again(SOURCE, media.wrapping_sub(back)),
            };
            if let Ok(header) = sent.header_through(&mut route, at as u64) {
                prop_assert!(used.insert((header.ssrc, header.sequence)), "{header:?}");
            }
        }
    }

    #[test]
    fn hostile_packets_never_panic(
        packets in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 12..64), passings()), 1..40,
        )
    ) {
        let mut route = route();
        for (at, (mut bytes, passing)) in packets.into_iter().enumerate() {
            bytes[0] = 0x80 | bytes[0] & 0x3f;
            bytes[1] = if passing == Passing::Retransmission { RTX_PT } else { MEDIA_PT };
            // Few SSRCs, so that segments meet.
            let ssrc = u32::from(bytes[11] & 3);
            bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let Ok(header) = RtpHeader::parse(&bytes) else { continue };
            let mut frame = vec![0; 24];
            frame.extend_from_slice(&bytes);
            let now = Nanos::from_millis(300 * at as u64);
            let passage = Passage { passing, transport_sequence: None, now };
            let rewritten = route.forward(&mut frame, 24, bytes.len(), &header, passage);
            if let Ok((start, len)) = rewritten {
                prop_assert!(RtpHeader::parse(&frame[start..start + len]).is_ok());
            }
        }
    }
}
