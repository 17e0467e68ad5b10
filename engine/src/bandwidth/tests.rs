//! The estimate against simulated links: a seed, a virtual clock, real feedback packets.

use proptest::prelude::*;

use super::*;
use crate::config::RTCP_MAX;
use crate::rtcp::{Compound, Rtcp};
use crate::twcc::Arrivals;

/// Time between two packets of the sender.
const STEP_MS: u64 = 5;

/// A link with a queue that drops from its tail, and a receiver that reports every 100 ms.
struct Link {
    bandwidth: Bandwidth,
    now: Nanos,
    /// Bits per second that it carries.
    capacity: u64,
    /// What is lost of each thousand, whatever the queue.
    loss: u64,
    /// When it has sent all that is in its queue.
    busy_until: Nanos,
    under_way: Vec<(Nanos, u16)>,
    arrivals: Arrivals,
    random: u64,
    cuts: usize,
}

/// One-way delay without a queue, and the difference of the clocks.
const DELAY: Nanos = Nanos::from_millis(30);
const CLOCKS: Nanos = Nanos::from_millis(7_777_777);
/// The longest queue.
const QUEUE: Nanos = Nanos::from_millis(400);

impl Link {
    fn new(capacity: u64) -> Self {
        Self {
            bandwidth: Bandwidth::new(),
            now: Nanos::from_millis(50_000),
            capacity,
            loss: 0,
            busy_until: Nanos(0),
            under_way: Vec::new(),
            arrivals: Arrivals::default(),
            random: 0x9e37_79b9_7f4a_7c15,
            cuts: 0,
        }
    }

    /// Sends `bitrate` for `ms`.
    fn send(&mut self, bitrate: u64, ms: u64) {
        for _ in 0..ms / STEP_MS {
            self.now = self.now.plus(Nanos::from_millis(STEP_MS).0);
            self.packet(bitrate * STEP_MS / 8000);
            self.feedback();
            if self.now.0.is_multiple_of(1_000_000_000) {
                self.bandwidth.visit(self.now);
            }
        }
    }

    fn packet(&mut self, len: u64) {
        let number = self.bandwidth.next_number();
        self.bandwidth.sent(usize::try_from(len).unwrap(), true, self.now);
        let begins = self.busy_until.max(self.now);
        let lost = self.random() % 1000 < self.loss;
        if lost || begins.since(self.now) > QUEUE.0 {
            return;
        }
        self.busy_until = begins.plus(len * 8 * 1_000_000_000 / self.capacity);
        let jitter = self.random() % 10_000_000;
        self.under_way.push((self.busy_until.plus(DELAY.0 + jitter), number));
    }

    /// What has arrived by now is reported of; the way back takes no time.
    fn feedback(&mut self) {
        let receivers_now = self.now.plus(CLOCKS.0);
        let arrived = |(at, _): &mut (Nanos, u16)| *at <= self.now;
        for (at, number) in self.under_way.extract_if(.., arrived) {
            self.arrivals.record(number, at.plus(CLOCKS.0));
        }
        if !self.arrivals.due(receivers_now) {
            return;
        }
        let mut out = [0; RTCP_MAX];
        while let Some(len) = self.arrivals.feedback(receivers_now, 1, 2, &mut out) {
            let compound = Compound::parse(&out[..len]).unwrap();
            for packet in compound.sound() {
                let Rtcp::TransportFeedback(feedback) = packet else { continue };
                let cut = self.bandwidth.take_feedback(feedback.body, self.now);
                self.cuts += usize::from(cut);
            }
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}

#[test]
fn nothing_is_known_before_the_far_side_reports() {
    let mut link = Link::new(1_000_000);
    assert_eq!(link.bandwidth.estimate(), None);
    link.send(200_000, 500);
    assert!(link.bandwidth.estimate().is_some());
}

#[test]
fn a_path_that_carries_all_is_never_cut_and_proves_what_was_sent() {
    let mut link = Link::new(10_000_000);
    link.send(2_000_000, 30_000);
    assert_eq!(link.cuts, 0);
    let estimate = link.bandwidth.estimate().unwrap();
    assert!((2_000_000..3_500_000).contains(&estimate), "{estimate}");
    assert!(link.bandwidth.may_climb(link.now));
}

#[test]
fn a_queue_cuts_to_what_the_path_carries() {
    let mut link = Link::new(300_000);
    link.send(150_000, 5000);
    assert_eq!(link.cuts, 0);
    link.bandwidth.note_try(500_000, link.now);
    link.send(500_000, 1000);
    let estimate = link.bandwidth.estimate().unwrap();
    assert!((180_000..300_000).contains(&estimate), "{estimate}");
    assert!(!link.bandwidth.may_climb(link.now));
}

#[test]
fn loss_without_a_queue_cuts_too() {
    let mut link = Link::new(10_000_000);
    link.send(1_000_000, 5000);
    link.loss = 300;
    link.send(1_000_000, 2000);
    let estimate = link.bandwidth.estimate().unwrap();
    assert!((400_000..800_000).contains(&estimate), "{estimate}");
}

#[test]
fn a_little_loss_only_stops_the_growth() {
    let mut link = Link::new(10_000_000);
    link.send(1_000_000, 5000);
    link.loss = 50;
    link.send(1_000_000, 3000);
    let before = link.bandwidth.estimate().unwrap();
    link.send(1_000_000, 5000);
    assert_eq!(link.cuts, 0);
    let grown = link.bandwidth.estimate().unwrap();
    assert!(grown < before + before / 10, "{before} {grown}");
}

#[test]
fn each_failed_try_doubles_the_wait_and_one_that_stands_resets_it() {
    let mut link = Link::new(300_000);
    let mut tries = Vec::new();
    for _ in 0..6 {
        while !link.bandwidth.may_try(link.now) {
            link.send(150_000, 100);
        }
        tries.push(link.now);
        link.bandwidth.note_try(500_000, link.now);
        link.send(500_000, 1000);
    }
    let waits: Vec<_> = tries.windows(2).map(|two| two[1].since(two[0]) / 1_000_000).collect();
    let doubling = waits[..4].windows(2).all(|two| two[1] > two[0] + two[0] / 2);
    assert!(doubling && waits[4] < 70_000, "{waits:?}");
    link.capacity = 10_000_000;
    while !link.bandwidth.may_try(link.now) {
        link.send(150_000, 100);
    }
    link.bandwidth.note_try(500_000, link.now);
    link.send(500_000, 6000);
    assert_eq!(link.bandwidth.rest, REST_FIRST);
    assert!(link.bandwidth.may_try(link.now));
}

#[test]
fn reports_of_loss_stand_in_where_there_are_no_numbers() {
    let mut bandwidth = Bandwidth::new();
    let mut now = Nanos::from_millis(10_000);
    let mut report = |bandwidth: &mut Bandwidth, loss: u32| {
        for _ in 0..100 {
            now = now.plus(Nanos::from_millis(10).0);
            bandwidth.sent(1250, false, now);
        }
        bandwidth.visit(now);
        bandwidth.take_loss(loss, now)
    };
    for _ in 0..10 {
        assert!(!report(&mut bandwidth, 0));
    }
    let before = bandwidth.budget();
    assert!(report(&mut bandwidth, 64), "a quarter is lost");
    let after = bandwidth.budget();
    assert!(after < before && (600_000..700_000).contains(&after), "{before} {after}");
}

#[test]
fn the_receivers_own_estimate_counts_only_below_what_is_sent() {
    let mut bandwidth = Bandwidth::new();
    let mut now = Nanos::from_millis(10_000);
    for _ in 0..300 {
        now = now.plus(Nanos::from_millis(10).0);
        bandwidth.sent(1250, false, now);
        if now.0.is_multiple_of(1_000_000_000) {
            bandwidth.visit(now);
        }
    }
    assert!(!bandwidth.take_remb(1_500_000, now));
    assert_eq!(bandwidth.estimate(), Some(1_500_000));
    assert!(bandwidth.take_remb(700_000, now));
    assert_eq!(bandwidth.estimate(), Some(700_000));
}

proptest! {
    #[test]
    fn hostile_feedback_never_panics(
        sent in 0_usize..5000,
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..20),
    ) {
        let mut bandwidth = Bandwidth::new();
        let mut now = Nanos::from_millis(10_000);
        for _ in 0..sent {
            bandwidth.sent(1000, true, now);
            now = now.plus(1_000_000);
        }
        for body in bodies {
            now = now.plus(10_000_000);
            bandwidth.take_feedback(&body, now);
        }
        prop_assert!(bandwidth.budget() >= FLOOR);
    }
}
