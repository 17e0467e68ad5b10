//! Streams with pipes: what comes leaves as it came.

use super::*;
use crate::command::{Codec, LegSpec, MediaKind, Mid, PayloadType, StreamSpec};
use crate::config::PIPES_PER_STREAM;
use crate::learning::Learning;
use crate::leg::Leg;
use crate::pipe::{Filter, MediaFilter, Pipe, Pipes};
use crate::rtcp::Writer;
use crate::stats::{LegReading, MediaCounters, TransportCounters};

/// Payload type of telephone events.
const EVENTS: u8 = 101;

/// A party's far ends, one for RTP and one for RTCP of its own if there is one.
pub(super) type Ends = Vec<Far>;

/// Who got a packet: the party, the place of its far end, the packet opened.
pub(super) type Arrival = (usize, usize, Vec<u8>);

/// Parties of one call, each with a leg of one open line of audio.
pub(super) struct Parties {
    pub(super) bare: Bare,
    pub(super) ends: Vec<Ends>,
    pub(super) now: Nanos,
}

impl Parties {
    pub(super) fn new(ends: impl Into<Vec<Ends>>) -> Self {
        let mut parties = Self { bare: bare(), ends: ends.into(), now: START };
        parties.bare.worker.now = START;
        for party in 0..parties.ends.len() {
            let spec = parties.spec(party);
            parties.add(party, &spec);
        }
        parties
    }

    /// Two that hear each other.
    pub(super) fn pair(left: Ends, right: Ends) -> Self {
        let mut parties = Self::new([left, right]);
        parties.join(0, &[1]);
        parties.join(1, &[0]);
        parties
    }

    pub(super) fn spec(&self, party: usize) -> LegSpec {
        let ends = &self.ends[party];
        LegSpec {
            transports: ends.iter().map(Far::transport).collect(),
            streams: vec![line(0, rtcp_place(ends))],
            sinks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, party: usize, spec: &LegSpec) {
        let state = Leg::new(spec, || bridge::RANDOM).unwrap();
        self.apply(Command::AddLeg { leg: leg_of(party), state }).unwrap();
    }

    fn pipe(&self, to: usize, filter: Filter) -> Pipe {
        let leg = leg_of(to);
        let reports = TransportId { leg, index: rtcp_place(&self.ends[to]) };
        Pipe { media: TransportId { leg, index: 0 }, reports, filter }
    }

    pub(super) fn join(&mut self, from: usize, to: &[usize]) {
        self.filter(from, &to.iter().map(|to| (*to, Filter::default())).collect::<Vec<_>>());
    }

    pub(super) fn filter(&mut self, from: usize, to: &[(usize, Filter)]) {
        let pipes = to.iter().map(|(to, filter)| self.pipe(*to, *filter)).collect();
        self.set_pipes(stream_of(from), pipes).unwrap();
    }

    fn set_pipes(&mut self, stream: StreamId, pipes: Pipes) -> Result<(), Refusal> {
        self.apply(Command::SetPipes { stream, pipes })
    }

    pub(super) fn apply(&mut self, command: Command) -> Result<(), Refusal> {
        self.bare.worker.now = self.now;
        self.bare.apply(command).0
    }

    /// A party's far end sends a plain packet; what arrives because of it.
    pub(super) fn send(&mut self, party: usize, place: usize, plain: &[u8]) -> Vec<Arrival> {
        let Far { socket, remote, .. } = self.ends[party][place];
        let sealed = self.seal(party, place, plain);
        self.receive(socket, remote, &sealed)
    }

    pub(super) fn seal(&mut self, party: usize, place: usize, plain: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 1600];
        buffer[..plain.len()].copy_from_slice(plain);
        let len = self.ends[party][place].seal(&mut buffer, plain.len()).unwrap();
        buffer[..len].to_vec()
    }

    pub(super) fn receive(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        packet: &[u8],
    ) -> Vec<Arrival> {
        assert!(self.bare.receive(socket, remote, packet, self.now));
        self.arrivals()
    }

    pub(super) fn arrivals(&mut self) -> Vec<Arrival> {
        let out = sent(&mut self.bare);
        assert_eq!(self.bare.frames_lost(), 0);
        out.into_iter().map(|sent| self.open(sent)).collect()
    }

    fn open(&mut self, mut sent: Sent) -> Arrival {
        let mut all = self.ends.iter_mut().enumerate().flat_map(|(party, ends)| {
            ends.iter_mut().enumerate().map(move |(place, end)| (party, place, end))
        });
        let is_to = |end: &Far| (end.socket, end.remote) == (sent.socket, sent.remote);
        let (party, place, end) = all.find(|(.., end)| is_to(end)).unwrap();
        let len = end.open(&mut sent.bytes).unwrap();
        sent.bytes.truncate(len);
        (party, place, sent.bytes)
    }

    pub(super) fn drops(&self, reason: DropReason) -> u64 {
        self.bare.counters().drops.of(reason)
    }

    fn reading(&mut self, party: usize) -> LegReading {
        let into = Box::new(LegReading::new());
        self.bare.worker.now = self.now;
        match self.bare.apply(Command::ReadLeg { leg: leg_of(party), into }) {
            (Ok(()), Returned::LegReading(reading)) => *reading,
            other => panic!("{other:?}"),
        }
    }

    fn media(&mut self, party: usize) -> MediaCounters {
        self.reading(party).streams[0].1
    }

    pub(super) fn transport(&mut self, party: usize, place: usize) -> TransportCounters {
        self.reading(party).transports[place].1
    }
}

pub(super) fn leg_of(party: usize) -> LegId {
    LegId { worker: WORKER, slot: u16::try_from(party).unwrap(), generation: 0 }
}

pub(super) fn stream_of(party: usize) -> StreamId {
    StreamId { leg: leg_of(party), index: 0 }
}

fn rtcp_place(ends: &[Far]) -> u8 {
    u8::try_from(ends.len() - 1).unwrap()
}

pub(super) fn line(transport: u8, rtcp_transport: u8) -> StreamSpec {
    let known = [(0, Codec::Pcmu), (8, Codec::Pcma), (9, Codec::G722), (18, Codec::Other)];
    let payload_types = known.map(|(number, codec)| PayloadType {
        number,
        clock_rate: 8000,
        retransmits: None,
        codec,
    });
    StreamSpec {
        kind: MediaKind::Audio,
        transport,
        rtcp_transport,
        mid: None,
        mid_extension: None,
        ssrcs: Vec::new(),
        payload_types: payload_types.to_vec(),
        rids: Vec::new(),
        rid_extension: None,
        repaired_rid_extension: None,
        audio_level_extension: None,
        open: true,
        events: vec![EVENTS],
        reports: false,
        paused: false,
    }
}

/// Far ends of a party in plain RTP; two if RTCP is apart.
pub(super) fn plain(party: u16, apart: bool) -> Ends {
    let count = if apart { 2 } else { 1 };
    (0..count).map(|place| Far::plain(10 * party + place, 4000 + 10 * party + place)).collect()
}

/// The same in SRTP.
pub(super) fn secure(party: u16, apart: bool, suite: Suite) -> Ends {
    let of = |end: Far| Far::secure(end.socket.0, end.remote.port(), suite);
    plain(party, apart).into_iter().map(of).collect()
}

/// The `number`-th packet of a party, of a payload type.
pub(super) fn rtp(party: u32, payload_type: u8, number: u16) -> Vec<u8> {
    let rtp = Rtp {
        ssrc: 0xaaaa_0000 + party,
        payload_type,
        sequence: 65_530_u16.wrapping_add(number),
        timestamp: 160 * u32::from(number),
        transport_cc: Some((3, number)),
        element: Some((1, 77)),
        payload_len: 160,
        ..Rtp::default()
    };
    let mut buffer = [0; 300];
    let len = rtp.write(&mut buffer);
    buffer[1] |= 0x80;
    buffer[..len].to_vec()
}

/// RTCP of every kind, those among it that the node does not know.
pub(super) fn every_report(ssrc: u32) -> Vec<u8> {
    let mut buffer = [0; 600];
    let mut writer = Writer::new(&mut buffer);
    writer.receiver_report(ssrc, &[Default::default()]).unwrap();
    writer.sdes(ssrc, b"somebody").unwrap();
    writer.nack(ssrc, 7, [1, 2, 3].into_iter()).unwrap();
    writer.pli(ssrc, 7).unwrap();
    writer.remb(ssrc, 300_000, [7].into_iter()).unwrap();
    writer.transport_feedback(ssrc, 7, &[0, 1, 0, 1, 0, 0, 0, 0, 0x20, 1, 4, 0]).unwrap();
    writer.bye(ssrc).unwrap();
    let len = writer.len();
    let app = [0x80, 204, 0, 3, 0, 0, 0, 7, b'n', b'a', b'm', b'e', 1, 2, 3, 4];
    let xr = [0x80, 207, 0, 2, 0, 0, 0, 7, 0xfe, 0, 0, 0];
    [&buffer[..len], &app, &xr, &[0x9f, 213, 0, 1, 1, 2, 3, 4]].concat()
}

#[test]
fn plain_packets_pass_byte_for_byte() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    for number in 0..20 {
        for (from, to) in [(0, 1), (1, 0)] {
            let packet = rtp(from as u32, 0, number);
            assert_eq!(parties.send(from, 0, &packet), [(to, 0, packet)]);
        }
    }
    let mixed = [
        &[0xb2, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..],
        &[9; 8],
        &[0xab, 0xcd, 0, 0],
        &[1, 2, 3, 2],
    ];
    let odd = mixed.concat();
    assert_eq!(parties.send(0, 0, &odd), [(1, 0, odd)], "CSRCs, an unknown extension, padding");
}

#[test]
fn keys_of_either_side_are_its_own() {
    for suite in Suite::ALL.iter().chain(Suite::LEGACY) {
        let left = secure(0, false, *suite);
        let right = secure(1, false, Suite::AesCm128HmacSha1_32);
        let mut parties = Parties::pair(left, right);
        for number in 0..20 {
            for (from, to) in [(0, 1), (1, 0)] {
                let packet = rtp(from as u32, 0, number);
                assert_eq!(parties.send(from, 0, &packet), [(to, 0, packet)]);
                let report = every_report(u32::from(number));
                assert_eq!(parties.send(from, 0, &report), [(to, 0, report)]);
            }
        }
    }
}

#[test]
fn rtcp_leaves_where_the_other_side_has_it() {
    for (left, right) in [(false, false), (false, true), (true, false), (true, true)] {
        let ends = (plain(0, left), secure(1, right, Suite::AeadAes128Gcm));
        let mut parties = Parties::pair(ends.0, ends.1);
        for (from, to, apart) in [(0, 1, (left, right)), (1, 0, (right, left))] {
            let packet = rtp(from as u32, 0, 0);
            assert_eq!(parties.send(from, 0, &packet), [(to, 0, packet)]);
            let report = every_report(from as u32);
            let arrived = parties.send(from, usize::from(apart.0), &report);
            assert_eq!(arrived, [(to, usize::from(apart.1), report)], "{left} {right}");
        }
    }
}

#[test]
fn rtcp_that_is_no_compound_passes_if_it_begins_with_a_packet() {
    let mut parties = Parties::pair(plain(0, true), secure(1, true, Suite::AesCm128HmacSha1_80));
    let ragged = [0x80, 201, 0, 1, 0, 0, 0, 7, 0x80, 202, 0, 99, 1];
    let lone = [0x81, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8];
    for report in [&ragged[..], &lone] {
        assert_eq!(parties.send(0, 1, &lone), [(1, 1, lone.to_vec())]);
        assert_eq!(parties.send(0, 1, report), [(1, 1, report.to_vec())]);
    }
    for malformed in [&[0x80, 201, 0, 9, 0, 0, 0, 7][..], &[0x80, 201, 0]] {
        let before = parties.drops(DropReason::RtcpMalformed);
        assert!(parties.send(0, 1, malformed).is_empty());
        assert_eq!(parties.drops(DropReason::RtcpMalformed), before + 1);
    }
}

#[test]
fn a_filter_keeps_back_what_it_names_and_no_rtcp() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    let filter = |media, blocks_dtmf| Filter { media, blocks_dtmf };
    let (media, event) = (rtp(0, 0, 0), rtp(0, EVENTS, 1));
    let cases = [
        (filter(MediaFilter::Pass, true), (true, false)),
        (filter(MediaFilter::Block, false), (false, true)),
        (filter(MediaFilter::Block, true), (false, false)),
    ];
    for (filter, (passes_media, passes_events)) in cases {
        parties.filter(0, &[(1, filter)]);
        assert_eq!(parties.send(0, 0, &media).len(), usize::from(passes_media), "{filter:?}");
        assert_eq!(parties.send(0, 0, &event).len(), usize::from(passes_events), "{filter:?}");
        let report = every_report(1);
        assert_eq!(parties.send(0, 0, &report), [(1, 0, report)]);
    }
    assert_eq!(parties.drops(DropReason::MediaBlocked), 2);
    assert_eq!(parties.drops(DropReason::DtmfBlocked), 2);
    assert_eq!(parties.media(0).packets, 6, "what is kept back was received all the same");
}

#[test]
fn silence_keeps_everything_but_the_payload() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    parties.filter(0, &[(1, Filter { media: MediaFilter::Silence, blocks_dtmf: false })]);
    for (payload_type, byte) in [(0, 0xff), (8, 0xd5), (9, 0xfa)] {
        let packet = rtp(0, payload_type, 0);
        let mut silent = packet.clone();
        let header = usize::from(RtpHeader::parse(&packet).unwrap().len);
        silent[header..].fill(byte);
        assert_eq!(parties.send(0, 0, &packet), [(1, 0, silent)]);
    }
    let padded = [0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 0, 0, 3];
    let arrived = parties.send(0, 0, &padded);
    assert_eq!(arrived[0].2[12..], [0xff, 0xff, 0xff, 0, 0, 3], "padding stays padding");
    let event = rtp(0, EVENTS, 0);
    assert_eq!(parties.send(0, 0, &event), [(1, 0, event)]);
    for unknown in [18, 99] {
        assert!(parties.send(0, 0, &rtp(0, unknown, 0)).is_empty());
    }
    assert_eq!(parties.drops(DropReason::SilenceUnknown), 2);
}

#[test]
fn every_subscriber_gets_what_its_own_filter_lets_through() {
    let ends = [
        plain(0, false),
        secure(1, false, Suite::AesCm128HmacSha1_80),
        plain(2, true),
        secure(3, true, Suite::AeadAes256Gcm),
    ];
    let mut parties = Parties::new(ends);
    let silent = Filter { media: MediaFilter::Silence, blocks_dtmf: false };
    let whole = Filter::default();
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let filters = [(order[0], whole), (order[1], silent), (order[2], whole)];
        parties.filter(0, &filters);
        let packet = rtp(0, 0, order[0] as u16);
        let arrived = parties.send(0, 0, &packet);
        assert_eq!(arrived.len(), 3);
        for (party, _, bytes) in arrived {
            let is_silent = bytes[bytes.len() - 160..] == [0xff; 160];
            assert_eq!(is_silent, party == order[1]);
            assert!(is_silent || bytes == packet);
        }
        parties.filter(0, &[(order[0], silent), (order[1], whole), (order[2], silent)]);
        let arrived = parties.send(0, 0, &rtp(0, 0, 10 + order[0] as u16));
        let silenced = arrived.iter().filter(|(.., b)| b[b.len() - 160..] == [0xff; 160]);
        assert_eq!(silenced.count(), 2);
    }
    let report = every_report(5);
    let mut arrived = parties.send(0, 0, &report);
    arrived.sort_unstable();
    let apart = |party: usize| usize::from(party > 1);
    let expected = [1, 2, 3].map(|party| (party, apart(party), report.clone()));
    assert_eq!(arrived, expected);
}

#[test]
fn a_target_that_is_gone_is_a_counted_drop_and_the_others_get_theirs() {
    let mut parties = Parties::new([plain(0, false), plain(1, false), plain(2, false)]);
    parties.join(0, &[1, 2]);
    parties.apply(Command::RemoveLeg { leg: leg_of(2) }).unwrap();
    for number in 0..3 {
        let packet = rtp(0, 0, number);
        assert_eq!(parties.send(0, 0, &packet), [(1, 0, packet)]);
    }
    assert_eq!(parties.drops(DropReason::SinkGone), 3);
    parties.join(0, &[2, 1]);
    let report = every_report(1);
    assert_eq!(parties.send(0, 0, &report), [(1, 0, report)]);
    assert_eq!(parties.drops(DropReason::SinkGone), 4);
}

#[test]
fn a_target_without_address_or_keys_gets_nothing_until_it_has_both() {
    let mut parties = Parties::new([plain(0, false), secure(1, false, Suite::AeadAes128Gcm)]);
    parties.apply(Command::RemoveLeg { leg: leg_of(1) }).unwrap();
    let mut spec = parties.spec(1);
    (spec.transports[0].remote, spec.transports[0].keys) = (None, None);
    parties.add(1, &spec);
    parties.join(0, &[1]);
    let transport = TransportId { leg: leg_of(1), index: 0 };
    let remote = parties.ends[1][0].remote;
    assert!(parties.send(0, 0, &rtp(0, 0, 0)).is_empty());
    parties.apply(Command::SetRemote { transport, remote, learning: Learning::Off }).unwrap();
    assert!(parties.send(0, 0, &rtp(0, 0, 1)).is_empty());
    assert!(parties.send(0, 0, &every_report(1)).is_empty());
    assert_eq!(parties.drops(DropReason::SinkNotReady), 3);
    let keys = parties.ends[1][0].node_keys().unwrap();
    parties.apply(Command::SetKeys { transport, keys }).unwrap();
    let packet = rtp(0, 0, 2);
    assert_eq!(parties.send(0, 0, &packet), [(1, 0, packet)]);
}

/// A leg with audio and video on one transport, told apart by MID or payload type, each joined to a
/// leg of its own.
fn parted() -> Parties {
    let secure = secure(0, false, Suite::AesCm128HmacSha1_80);
    let mut parties = Parties::new([secure, plain(1, true), plain(2, true)]);
    parties.apply(Command::RemoveLeg { leg: leg_of(0) }).unwrap();
    let lines = [(MediaKind::Audio, b'a', 0, 8000), (MediaKind::Video, b'v', 96, 90_000)];
    let streams = lines.map(|(kind, mid, number, clock_rate)| StreamSpec {
        kind,
        mid: Some(Mid::from_iter([mid])),
        mid_extension: Some(1),
        payload_types: vec![PayloadType {
            number,
            clock_rate,
            retransmits: None,
            codec: Codec::Other,
        }],
        open: false,
        ..line(0, 0)
    });
    let spec = LegSpec { streams: streams.to_vec(), ..parties.spec(0) };
    parties.add(0, &spec);
    for (index, to) in [(0, 1), (1, 2)] {
        let pipes = Pipes::from_iter([parties.pipe(to, Filter::default())]);
        parties.set_pipes(StreamId { leg: leg_of(0), index }, pipes).unwrap();
        parties.join(to, &[0]);
    }
    parties
}

#[test]
fn bundled_lines_part_to_the_legs_of_their_own() {
    let mut parties = parted();
    for (ssrc, element, payload_type, to) in
        [(1, b'a', 0, 1), (2, b'v', 96, 2), (3, 77, 0, 1), (4, 77, 96, 2)]
    {
        let shape = Rtp {
            ssrc,
            payload_type,
            element: Some((1, element)),
            payload_len: 50,
            ..Rtp::default()
        };
        let mut buffer = [0; 100];
        let len = shape.write(&mut buffer);
        let packet = buffer[..len].to_vec();
        assert_eq!(parties.send(0, 0, &packet), [(to, 0, packet)], "SSRC {ssrc}");
    }
    let report = every_report(1);
    let arrived = parties.send(0, 0, &report);
    assert_eq!(arrived, [(1, 1, report.clone()), (2, 1, report.clone())]);
    for party in [1, 2] {
        assert_eq!(parties.send(party, 1, &report), [(0, 0, report.clone())]);
    }
    assert!(parties.send(0, 0, &rtp(0, 50, 0)).is_empty());
    assert_eq!(parties.drops(DropReason::StreamUnknown), 1);
}

#[test]
fn hold_stops_media_and_no_rtcp() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    for (paused, passed) in [(true, 0), (false, 1)] {
        parties.apply(Command::PauseStream { stream: stream_of(0), paused }).unwrap();
        assert_eq!(parties.send(0, 0, &rtp(0, 0, 1)).len(), passed);
        assert_eq!(parties.send(0, 0, &every_report(1)).len(), 1);
        assert_eq!(parties.send(1, 0, &rtp(1, 0, 1)).len(), 1);
    }
    assert_eq!(parties.drops(DropReason::StreamPaused), 1);
}

#[test]
fn what_control_asks_for_is_counted_of_an_open_stream() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    assert_eq!(parties.transport(0, 0).heard_ago_ms, None);
    assert_eq!(parties.media(0).payload_type, None);
    for number in [0, 1, 2, 5, 6] {
        parties.now = parties.now.plus(Nanos::from_millis(20).0 + u64::from(number) * 1_000_000);
        parties.send(0, 0, &rtp(0, 107, number));
    }
    parties.now = parties.now.plus(Nanos::from_millis(1234).0);
    let counters = parties.media(0);
    assert_eq!((counters.ssrc, counters.packets, counters.bytes), (0xaaaa_0000, 5, 800));
    assert_eq!((counters.lost, counters.clock_rate), (2, 8000));
    assert_eq!(counters.payload_type, Some(107));
    assert!(counters.jitter > 0);
    assert_eq!(parties.transport(0, 0).heard_ago_ms, Some(1234));
    assert_eq!(parties.transport(1, 0).heard_ago_ms, None);
    assert_eq!(parties.transport(1, 0).packets_out, 5);
}

#[test]
fn video_of_a_payload_type_that_nobody_named_has_no_jitter() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    let video = StreamSpec { kind: MediaKind::Video, ..line(0, 0) };
    let state = Box::new(crate::stream::Stream::new(&video));
    parties.apply(Command::SetStream { stream: stream_of(0), state }).unwrap();
    for number in 0..5 {
        parties.now = parties.now.plus(Nanos::from_millis(30).0 * u64::from(number));
        let packet = rtp(0, 120, number);
        assert_eq!(parties.send(0, 0, &packet), [(1, 0, packet)], "its pipes stayed");
    }
    let counters = parties.media(0);
    assert_eq!((counters.packets, counters.jitter, counters.clock_rate), (5, 0, 0));
    parties.apply(Command::PauseStream { stream: stream_of(0), paused: false }).unwrap();
    assert!(parties.arrivals().is_empty(), "the far side asks for pictures itself");
}

#[test]
fn pipes_are_replaced_and_refused_as_a_whole() {
    let mut parties = Parties::new([plain(0, false), plain(1, false)]);
    let pipe = parties.pipe(1, Filter::default());
    let set = |parties: &mut Parties, stream, pipes: Pipes| {
        let command = Command::SetPipes { stream, pipes };
        assert_eq!(command.builds(), Some(stream.leg));
        parties.bare.apply(command)
    };
    let first = Pipes::from_iter([pipe]);
    let (outcome, returned) = set(&mut parties, stream_of(0), first.clone());
    assert!(outcome.is_ok() && matches!(returned, Returned::Pipes(old) if old.is_empty()));
    let full: Pipes = std::iter::repeat_n(pipe, PIPES_PER_STREAM).collect();
    let (outcome, returned) = set(&mut parties, stream_of(0), full);
    assert!(outcome.is_ok() && matches!(returned, Returned::Pipes(old) if old == first));
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 0)).len(), PIPES_PER_STREAM);
    assert_eq!(parties.send(0, 0, &every_report(1)).len(), 1, "to one place once");

    let mut elsewhere = pipe;
    elsewhere.reports.leg.worker = WorkerId(1);
    let (outcome, returned) = set(&mut parties, stream_of(0), Pipes::from_iter([elsewhere]));
    assert_eq!(outcome, Err(Refusal::Misuse));
    assert!(matches!(returned, Returned::Pipes(_)));
    let (outcome, _) = set(&mut parties, StreamId { index: 1, ..stream_of(0) }, first);
    assert_eq!(outcome, Err(Refusal::Gone));

    set(&mut parties, stream_of(0), Pipes::new()).0.unwrap();
    assert!(parties.send(0, 0, &rtp(0, 0, 1)).is_empty());
    assert_eq!(parties.drops(DropReason::NoSink), 1);
}

#[test]
fn a_stream_with_pipes_leaves_its_sinks_alone() {
    let mut call = Call::new();
    let media = transport(0);
    let pipe = Pipe { media, reports: media, filter: Filter::default() };
    let pipes = Pipes::from_iter([pipe]);
    call.apply(Command::SetPipes { stream: stream(0, AUDIO), pipes }).unwrap();
    let sent = call.send(0, audio(0, 0));
    let back = call.open(0, &sent);
    assert_eq!((sent.len(), back[0].0.ssrc), (1, SIDES[0].theirs[0]));
}

#[cfg(not(feature = "libsrtp"))]
#[test]
fn pipes_outlive_the_process() {
    let left = secure(0, false, Suite::AesCm128HmacSha1_80);
    let mut parties = Parties::pair(left, plain(1, true));
    let silent = Filter { media: MediaFilter::Silence, blocks_dtmf: true };
    parties.filter(1, &[(0, silent)]);
    for number in 0..5 {
        let packet = rtp(0, 0, number);
        assert_eq!(parties.send(0, 0, &packet), [(1, 0, packet)]);
        let exported = parties.bare.export(parties.now);
        parties.bare = bare();
        parties.now = parties.now.plus(777_777);
        parties.bare.install(exported, parties.now).unwrap();
    }
    assert!(parties.send(1, 0, &rtp(1, EVENTS, 0)).is_empty());
    assert_eq!(parties.send(1, 0, &rtp(1, 0, 1))[0].2[180..], [0xff; 4]);
    assert_eq!(parties.send(1, 1, &every_report(1)).len(), 1);
    let counters = parties.media(0);
    assert_eq!((counters.packets, counters.payload_type), (5, Some(0)));
}
