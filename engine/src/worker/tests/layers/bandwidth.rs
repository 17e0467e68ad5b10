//! A receiver behind a simulated link: which layer it ends on.

use super::*;
use crate::bandwidth::Bandwidth;
use crate::config::RTCP_MAX;

/// The far end of a receiver: a link with a queue, and reports every 100 ms.
struct Far {
    receiver: u16,
    capacity: u64,
    busy_until: Nanos,
    taken: usize,
    under_way: Vec<(Nanos, u16)>,
    arrivals: Arrivals,
}

const DELAY: Nanos = Nanos::from_millis(30);
const CLOCKS: Nanos = Nanos::from_millis(5_000_000);
const QUEUE: Nanos = Nanos::from_millis(400);

impl Far {
    fn new(receiver: u16, capacity: u64) -> Self {
        Self {
            receiver,
            capacity,
            busy_until: Nanos(0),
            taken: 0,
            under_way: Vec::new(),
            arrivals: Arrivals::default(),
        }
    }

    fn link(&mut self, party: &mut Party) {
        let receiver = usize::from(self.receiver);
        for got in &party.got[receiver][self.taken..] {
            let begins = self.busy_until.max(got.at);
            if begins.since(got.at) <= QUEUE.0 {
                self.busy_until = begins.plus(got.len as u64 * 8 * 1_000_000_000 / self.capacity);
                self.under_way.push((self.busy_until.plus(DELAY.0), got.number.unwrap()));
            }
        }
        self.taken = party.got[receiver].len();
        let now = party.now;
        for (at, number) in self.under_way.extract_if(.., |(at, _)| *at <= now) {
            self.arrivals.record(number, at.plus(CLOCKS.0));
        }
        let receivers_now = now.plus(CLOCKS.0);
        if !self.arrivals.due(receivers_now) {
            return;
        }
        let mut out = [0; RTCP_MAX];
        let ssrc = sink_ssrc(self.receiver, 0);
        while let Some(len) = self.arrivals.feedback(receivers_now, 1, ssrc, &mut out) {
            party.receive(5000 + self.receiver, &out[..len]);
        }
    }
}

/// Receivers whose transports are estimated, each with `sinks` videos.
fn estimated(receivers: u16) -> Party {
    let mut party = Party::new(receivers);
    for receiver in 0..receivers {
        let transport = TransportId { leg: party.receiver(receiver), index: 0 };
        let estimator = Some(Box::new(Bandwidth::new()));
        party.apply(0, Command::EstimateBandwidth { transport, estimator });
        let map = map().with_transport_cc(TransportCc::Own { to: NUMBER });
        let stream = Party::stream();
        let source = Source { stream, own_ssrc: 0xee, cname: "node".into(), reduced_size: false };
        let sink = party.sink(receiver);
        let source = Some(Box::new(source));
        party.apply(0, Command::SetSource { sink, source, map: Box::new(map) });
    }
    party
}

fn run(party: &mut Party, fars: &mut [Far], seconds: u64) {
    for _ in 0..seconds * 1000 / FRAME_MS {
        party.frame();
        fars.iter_mut().for_each(|far| far.link(party));
    }
}

/// Changes of layer of what a receiver got from `from` on.
fn changes(party: &Party, receiver: usize, from: usize) -> usize {
    party.got[receiver][from..].windows(2).filter(|two| two[0].layer != two[1].layer).count()
}

#[test]
fn numbers_of_a_transport_have_no_gaps_over_its_sinks() {
    let mut party = estimated(1);
    let leg = LegId { worker: WORKER, slot: 9, generation: 0 };
    party.got.push(Vec::new());
    party.apply(0, add_leg(leg, &receiver_spec(1, 2)));
    let (transport, estimator) = (TransportId { leg, index: 0 }, Some(Box::new(Bandwidth::new())));
    party.apply(0, Command::EstimateBandwidth { transport, estimator });
    for index in 0..2 {
        party.feed(SinkId { leg, index }, TransportCc::Own { to: NUMBER });
    }
    party.frames(20);
    let numbers: Vec<_> = party.got[1].iter().map(|got| got.number.unwrap()).collect();
    let ssrcs: std::collections::HashSet<_> = party.got[1].iter().map(|got| got.ssrc).collect();
    assert_eq!(ssrcs.len(), 2);
    assert!(numbers.windows(2).all(|two| two[1] == two[0].wrapping_add(1)), "{numbers:?}");
}

#[test]
fn a_narrow_path_ends_on_the_low_layer_and_stays_there_until_it_widens() {
    let mut party = estimated(2);
    let mut fars = [Far::new(0, 300_000), Far::new(1, 50_000_000)];
    run(&mut party, &mut fars, 30);
    assert_eq!(party.latest(0).layer, LOW);
    assert_eq!(party.latest(1).layer, HIGH, "the other receiver is not held back");
    let from = party.got.iter().map(Vec::len).collect::<Vec<_>>();
    run(&mut party, &mut fars, 60);
    assert!(changes(&party, 0, from[0]) <= 4, "two tries at most");
    assert_eq!(changes(&party, 1, from[1]), 0);
    let low = party.got[0][from[0]..].iter().filter(|got| got.layer == LOW);
    let low: std::collections::HashSet<_> = low.map(|got| got.at).collect();
    assert!(low.len() > 55 * 30, "{}", low.len());

    fars[0].capacity = 50_000_000;
    run(&mut party, &mut fars, 75);
    assert_eq!(party.latest(0).layer, HIGH);
    for got in &party.got {
        assert_one_stream(got);
    }
}

#[test]
fn a_path_between_two_layers_ends_on_the_middle_one() {
    let mut party = estimated(1);
    let mut fars = [Far::new(0, 900_000)];
    run(&mut party, &mut fars, 30);
    assert_eq!(party.latest(0).layer, MIDDLE);
    let from = party.got[0].len();
    run(&mut party, &mut fars, 60);
    assert!(changes(&party, 0, from) <= 4);
    assert_one_stream(&party.got[0]);
}

#[test]
fn a_path_that_narrows_is_left_within_two_seconds() {
    let mut party = estimated(1);
    let mut fars = [Far::new(0, 50_000_000)];
    run(&mut party, &mut fars, 15);
    assert_eq!(party.latest(0).layer, HIGH);
    fars[0].capacity = 300_000;
    run(&mut party, &mut fars, 2);
    assert_eq!(party.latest(0).layer, LOW);
    let reading = party.reading(party.receiver(0));
    let bandwidth = reading.transports[0].1.bandwidth.unwrap();
    assert!((150_000..400_000).contains(&bandwidth), "{bandwidth}");
}

#[test]
fn two_sinks_of_one_path_share_it_fairly() {
    let mut party = Party::new(0);
    let leg = LegId { worker: WORKER, slot: 9, generation: 0 };
    party.got.push(Vec::new());
    party.apply(0, add_leg(leg, &receiver_spec(0, 2)));
    let (transport, estimator) = (TransportId { leg, index: 0 }, Some(Box::new(Bandwidth::new())));
    party.apply(0, Command::EstimateBandwidth { transport, estimator });
    for index in 0..2 {
        party.feed(SinkId { leg, index }, TransportCc::Own { to: NUMBER });
    }
    // Room for two of the middle, not for one of the largest beside the smallest.
    let mut fars = [Far::new(0, 1_400_000)];
    run(&mut party, &mut fars, 40);
    let latest = |place: u32| {
        let of = |got: &&Got| got.ssrc == sink_ssrc(0, place);
        party.got[0].iter().rev().find(of).unwrap().layer
    };
    assert_eq!([latest(0), latest(1)], [MIDDLE, MIDDLE]);
}
