//! What a transport's path carries, from what its far side reports.
//!
//! Where the node puts transport-wide numbers into what it sends
//! ([`crate::route::TransportCc::Own`]), the far side tells of each packet whether and when it came
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1). Three things follow from it:
//!
//! - the *delivered rate*: bytes that came per time of the receiver's clock;
//! - the *queue*: how much longer packets take now than the quickest of late; the quickest of each
//!   report counts, so that jitter is no queue;
//! - the *loss*.
//!
//! A growing queue beyond `QUEUE_MAX`, or loss beyond a tenth, lowers the estimate to a share of
//! what is delivered, for that is what the path carried at its limit. Otherwise it grows by some
//! percent a second, but not far beyond what was really delivered: what was never sent proves
//! nothing. An SFU sends no more than the layers that it forwards, so beyond that point it has to
//! try: `Bandwidth::may_try` says when. Each try that ends in a cut doubles the wait for the next
//! one. Where there are no such numbers, the loss in receiver reports (RFC 3550 §6.4.1) and REMB
//! stand in.
//!
//! Per packet this is one store; all arithmetic is done when a report comes.

use crate::config::SENT_WINDOW;
use crate::layers::Rate;
use crate::packet::Nanos;
use crate::plain::plain;
use crate::twcc::{Feedback, nearest, ticks};

/// What a path is held to carry before it has said anything.
const START: u32 = 300_000;
/// The estimate never falls below this: some audio.
const FLOOR: u32 = 30_000;
/// Ticks of a millisecond; a tick is 250 µs.
const TICKS_PER_MS: i32 = 4;
/// A queue that is one: more than the jitter of a wireless path, less than a talk suffers from.
const QUEUE_MAX: i32 = 80 * TICKS_PER_MS;
/// A queue that makes growth unwise.
const QUEUE_CALM: i32 = 40 * TICKS_PER_MS;
/// Loss that a path shows at its limit and that which is nothing, in 1/256.
const LOSS_MAX: u32 = 26;
const LOSS_CALM: u32 = 5;
/// Part of the delivered rate that is left after a cut, in percent: a queue must drain.
const CUT_PERCENT: u64 = 85;
/// Growth in percent per second.
const GROWTH_PERCENT: u64 = 8;
/// The estimate grows to so many percent of the delivered rate.
const PROVEN_PERCENT: u64 = 150;
/// Shortest time between two cuts: a change must have shown.
const CUT_INTERVAL: Nanos = Nanos::from_millis(300);
/// How long a path must have been calm before more is sent.
const CALM: Nanos = Nanos::from_millis(1000);
/// Shortest time between two tries, and how long one must stand to have succeeded.
const TRY_INTERVAL: Nanos = Nanos::from_millis(2000);
const TRIAL: Nanos = Nanos::from_millis(4000);
/// Wait after a cut before the next try; it doubles with each failed one.
const REST_FIRST: Nanos = Nanos::from_millis(4000);
const REST_MAX: Nanos = Nanos::from_millis(64_000);
/// Time over which the delivered rate is taken, in ticks, and the longest pause in it.
const DELIVERY_WINDOW: i32 = 300 * TICKS_PER_MS;
const DELIVERY_PAUSE: i32 = 2000 * TICKS_PER_MS;
/// Time and packets over which loss is taken.
const LOSS_WINDOW: Nanos = Nanos::from_millis(300);
const LOSS_PACKETS: u32 = 10;
/// Half the time for which the quickest packet counts: routes change, clocks drift.
const BASE_WINDOW: Nanos = Nanos::from_millis(10_000);
/// How long after its last transport-wide feedback a path is judged by less.
const FEEDBACK_FRESH: Nanos = Nanos::from_millis(3000);

/// What a worker keeps for a transport whose bandwidth it estimates.
#[derive(Debug, Clone)]
pub struct Bandwidth {
    sent: [Sent; SENT_WINDOW],
    /// Number of the next packet; one turn is left below the first.
    next: u64,
    rate: Rate,
    delivery: Delivery,
    queue: Queue,
    loss: Loss,
    estimate: u32,
    /// When transport-wide feedback last came, and any report at all.
    feedback_at: Option<Nanos>,
    heard_at: Option<Nanos>,
    cut_at: Option<Nanos>,
    troubled_at: Option<Nanos>,
    tried_at: Option<Nanos>,
    /// Whether the latest try has yet to fail or succeed.
    on_trial: bool,
    rest: Nanos,
    rests_until: Nanos,
}

/// A packet as it was sent.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    ticks: u32,
    len: u16,
    told: bool,
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self::new()
    }
}

impl Bandwidth {
    /// One that has heard nothing.
    pub fn new() -> Self {
        Self {
            sent: [Sent::default(); SENT_WINDOW],
            next: 1 << 16,
            rate: Rate::default(),
            delivery: Delivery::default(),
            queue: Queue::default(),
            loss: Loss::default(),
            estimate: START,
            feedback_at: None,
            heard_at: None,
            cut_at: None,
            troubled_at: None,
            tried_at: None,
            on_trial: false,
            rest: REST_FIRST,
            rests_until: Nanos(0),
        }
    }

    /// Bits per second that the path is held to carry; none before its far side has reported.
    pub fn estimate(&self) -> Option<u32> {
        self.heard_at.map(|_| self.estimate)
    }

    /// Bits per second to keep within.
    pub(crate) fn budget(&self) -> u32 {
        self.estimate
    }

    /// The transport-wide number of the next packet.
    #[allow(clippy::cast_possible_truncation)] // 16 bits on the wire
    pub(crate) fn next_number(&self) -> u16 {
        self.next as u16
    }

    /// Notes a packet that went out; with the number of [`Self::next_number`] if it is `numbered`.
    pub(crate) fn sent(&mut self, len: usize, numbered: bool, now: Nanos) {
        self.rate.count(len, now);
        if numbered {
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            self.sent[index(self.next)] = Sent { ticks: ticks(now), len, told: false };
            self.next += 1;
        }
    }

    /// Takes the body of transport-wide feedback; true if the path is beyond its limit.
    pub(crate) fn take_feedback(&mut self, body: &[u8], now: Nanos) -> bool {
        let Some(feedback) = Feedback::parse(body) else { return false };
        let since = self.heard_at.map_or(0, |at| now.since(at));
        (self.feedback_at, self.heard_at) = (Some(now), Some(now));
        let mut quickest = None;
        for (sequence, arrival) in feedback.packets().take(SENT_WINDOW) {
            let Some(number) = self.number_of(sequence) else { continue };
            let sent = &mut self.sent[index(number)];
            if std::mem::replace(&mut sent.told, true) {
                continue;
            }
            self.loss.count(arrival.is_none(), now);
            let Some(arrival) = arrival else { continue };
            self.delivery.count(arrival, sent.len);
            let delay = arrival.wrapping_sub(sent.ticks).cast_signed();
            quickest = Some(quickest.map_or(delay, |least: i32| self.queue.shorter(least, delay)));
        }
        let queue = quickest.map(|delay| self.queue.take(delay, now));
        let loss = self.loss.close(now);
        let full = queue.is_some_and(|queue| queue.length > QUEUE_MAX && !queue.drains);
        let lossy = loss.is_some_and(|loss| loss > LOSS_MAX);
        let calm = queue.is_none_or(|queue| queue.length < QUEUE_CALM)
            && loss.is_none_or(|loss| loss < LOSS_CALM);
        let delivered = self.delivery.bitrate();
        if full || lossy {
            return self.cut(delivered, now);
        }
        self.settle(calm, delivered, since, now);
        false
    }

    /// Takes the mean loss that a report tells, in 1/256, where nothing better is told; true if the
    /// path is beyond its limit.
    pub(crate) fn take_loss(&mut self, loss: u32, now: Nanos) -> bool {
        if self.has_feedback(now) {
            return false;
        }
        let since = self.heard_at.map_or(0, |at| now.since(at));
        self.heard_at = Some(now);
        let delivered = part(self.rate.bitrate(), 256_u32.saturating_sub(loss).into(), 256);
        if loss > LOSS_MAX {
            return self.cut(delivered, now);
        }
        self.settle(loss < LOSS_CALM, delivered, since, now);
        false
    }

    /// Takes the receiver's own estimate, where nothing better is told; true if the path is beyond
    /// its limit.
    pub(crate) fn take_remb(&mut self, bitrate: u64, now: Nanos) -> bool {
        if self.has_feedback(now) {
            return false;
        }
        self.heard_at = Some(now);
        let bitrate = u32::try_from(bitrate).unwrap_or(u32::MAX);
        if bitrate < part(self.rate.bitrate(), 95, 100) {
            let before = self.estimate;
            self.fail(now);
            self.estimate = bitrate.max(FLOOR).min(before);
            return true;
        }
        self.estimate = self.estimate.max(bitrate);
        false
    }

    /// What is due once a second.
    pub(crate) fn visit(&mut self, now: Nanos) {
        self.rate.close(now);
        let stood = self.tried_at.is_some_and(|at| now.since(at) >= TRIAL.0);
        if self.on_trial && stood {
            self.on_trial = false;
            self.rest = REST_FIRST;
        }
    }

    /// Whether more may be sent within the estimate.
    pub(crate) fn may_climb(&self, now: Nanos) -> bool {
        let calm = self.troubled_at.is_none_or(|at| now.since(at) >= CALM.0);
        calm && now >= self.rests_until
    }

    /// Whether more than the estimate may be tried.
    pub(crate) fn may_try(&self, now: Nanos) -> bool {
        let rested = self.tried_at.is_none_or(|at| now.since(at) >= TRY_INTERVAL.0);
        rested && self.may_climb(now)
    }

    /// Notes that `needed` bits per second are tried: they are held to fit until it turns out
    /// otherwise.
    pub(crate) fn note_try(&mut self, needed: u32, now: Nanos) {
        self.estimate = self.estimate.max(part(needed, 5, 4));
        self.tried_at = Some(now);
        self.on_trial = true;
    }

    fn has_feedback(&self, now: Nanos) -> bool {
        self.feedback_at.is_some_and(|at| now.since(at) < FEEDBACK_FRESH.0)
    }

    fn number_of(&self, sequence: u16) -> Option<u64> {
        let number = nearest(self.next, sequence);
        (number < self.next && number + SENT_WINDOW as u64 >= self.next).then_some(number)
    }

    /// Lowers the estimate, unless that was just done.
    fn cut(&mut self, delivered: u32, now: Nanos) -> bool {
        self.troubled_at = Some(now);
        if self.cut_at.is_some_and(|at| now.since(at) < CUT_INTERVAL.0) {
            return false;
        }
        self.cut_at = Some(now);
        self.fail(now);
        let left = part(delivered, CUT_PERCENT, 100).max(FLOOR);
        self.estimate = self.estimate.min(left);
        true
    }

    /// Notes trouble; a try that caused it makes the next one wait longer.
    fn fail(&mut self, now: Nanos) {
        self.troubled_at = Some(now);
        if std::mem::take(&mut self.on_trial) {
            self.rest = Nanos(2 * self.rest.0).min(REST_MAX);
        }
        self.rests_until = now.plus(self.rest.0);
    }

    /// Grows, if the path is calm, as far as what was delivered proves.
    fn settle(&mut self, calm: bool, delivered: u32, since: u64, now: Nanos) {
        if !calm {
            self.troubled_at = Some(now);
            return;
        }
        if self.troubled_at.is_some_and(|at| now.since(at) < CALM.0) {
            return;
        }
        let ms = (since / 1_000_000).min(1000);
        let grown = part(self.estimate.max(delivered), 100_000 + GROWTH_PERCENT * ms, 100_000);
        let proven = part(delivered, PROVEN_PERCENT, 100);
        self.estimate = grown.min(proven).max(self.estimate);
    }
}

/// How fast packets came, by the receiver's clock.
#[derive(Debug, Clone, Copy, Default)]
struct Delivery {
    /// First and latest arrival of the window.
    window: Option<(u32, u32)>,
    bytes: u64,
    latest: u32,
}

impl Delivery {
    fn count(&mut self, arrival: u32, len: u16) {
        let Some((first, last)) = self.window else {
            self.window = Some((arrival, arrival));
            return;
        };
        let step = arrival.wrapping_sub(last).cast_signed();
        if step > DELIVERY_PAUSE {
            *self = Self { window: Some((arrival, arrival)), ..Self::default() };
            return;
        }
        self.bytes += u64::from(len);
        let last = if step > 0 { arrival } else { last };
        self.window = Some((first, last));
        if last.wrapping_sub(first).cast_signed() >= DELIVERY_WINDOW {
            self.latest = self.running();
            self.bytes = 0;
            self.window = Some((last, last));
        }
    }

    /// The latest rate; a window that is a third full counts if it shows more.
    fn bitrate(&self) -> u32 {
        let enough = |(first, last): &(u32, u32)| {
            last.wrapping_sub(*first).cast_signed() >= DELIVERY_WINDOW / 3
        };
        let running = self.window.filter(enough).map_or(0, |_| self.running());
        self.latest.max(running)
    }

    fn running(&self) -> u32 {
        let (first, last) = self.window.unwrap_or_default();
        let ns = u64::from(last.wrapping_sub(first)) * crate::twcc::TICK_NS;
        crate::layers::bits_per_second(self.bytes, ns)
    }
}

/// How long packets wait on the way. The clocks of both ends have nothing in common, so only
/// differences of delays mean something.
#[derive(Debug, Clone, Copy, Default)]
struct Queue {
    /// Delay of the first packet, which the others are relative to.
    origin: Option<i32>,
    /// Shortest delays of this window and of the one before.
    base: i32,
    base_before: i32,
    since: Nanos,
    length: i32,
}

/// A look at the queue, in ticks.
#[derive(Debug, Clone, Copy)]
struct Look {
    length: i32,
    drains: bool,
}

impl Queue {
    fn shorter(&self, a: i32, b: i32) -> i32 {
        let origin = self.origin.unwrap_or(a);
        if b.wrapping_sub(origin) < a.wrapping_sub(origin) { b } else { a }
    }

    fn take(&mut self, delay: i32, now: Nanos) -> Look {
        let Some(origin) = self.origin else {
            *self = Self { origin: Some(delay), since: now, ..Self::default() };
            return Look { length: 0, drains: false };
        };
        let delay = delay.wrapping_sub(origin);
        if now.since(self.since) >= BASE_WINDOW.0 {
            (self.base_before, self.base, self.since) = (self.base, delay, now);
        }
        self.base = self.base.min(delay);
        let length = delay.saturating_sub(self.base.min(self.base_before));
        let drains = length < self.length;
        self.length = length;
        Look { length, drains }
    }
}

/// Packets that did not come.
#[derive(Debug, Clone, Copy, Default)]
struct Loss {
    lost: u32,
    all: u32,
    since: Nanos,
}

impl Loss {
    fn count(&mut self, lost: bool, now: Nanos) {
        if self.all == 0 {
            self.since = now;
        }
        self.all += 1;
        self.lost += u32::from(lost);
    }

    /// The share in 1/256, once there is enough to tell.
    fn close(&mut self, now: Nanos) -> Option<u32> {
        if self.all < LOSS_PACKETS || now.since(self.since) < LOSS_WINDOW.0 {
            return None;
        }
        let share = self.lost * 256 / self.all;
        *self = Self::default();
        Some(share)
    }
}

/// `rate * numerator / denominator`, at most what 32 bits carry.
fn part(rate: u32, numerator: u64, denominator: u64) -> u32 {
    u32::try_from(u64::from(rate) * numerator / denominator).unwrap_or(u32::MAX)
}

#[allow(clippy::cast_possible_truncation)] // taken modulo the window
fn index(number: u64) -> usize {
    number as usize % SENT_WINDOW
}

plain! {
    struct Bandwidth {
        sent, next, rate, delivery, queue, loss, estimate, feedback_at, heard_at, cut_at, troubled_at,
        tried_at, on_trial, rest, rests_until,
    } if |it| it.next >= 1 << 16 && it.next < 1 << 56;
    struct Sent { ticks, len, told }
    struct Delivery { window, bytes, latest }
    struct Queue { origin, base, base_before, since, length }
    struct Loss { lost, all, since }
}

#[cfg(test)]
mod tests;
