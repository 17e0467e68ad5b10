//! Who gets how much of a transport's bandwidth.
//!
//! Every automatic video sink of the transport gets its smallest layer; what is left of the
//! estimate raises them one step at a time, the lowest first, so that nobody has his second step
//! before everybody had the first. Steps down are taken at once when the path is beyond its limit,
//! and only then: rates of layers move, and a picture that changes its size with them is worse than
//! a tight fit. Steps up wait until the path has been calm ([`crate::bandwidth`]).

use arrayvec::ArrayVec;

use crate::bandwidth::Bandwidth;
use crate::command::{StreamId, TransportId};
use crate::config::SINKS_PER_LEG;
use crate::leg::Leg;
use crate::packet::Nanos;
use crate::rtcp::{Compound, ReportBlock, Rtcp};
use crate::selection::Living;
use crate::worker::Worker;

/// Why bandwidth is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// Time went by: there may be room.
    None,
    /// The path is beyond its limit.
    Congested,
}

/// One automatic sink.
struct Share {
    sink: usize,
    layers: Living,
    /// The place in `layers` that it aims at.
    level: usize,
}

impl Share {
    fn bitrate_at(&self, level: usize) -> u64 {
        self.layers.get(level).map_or(0, |offer| offer.bitrate.into())
    }

    /// What one step up costs; none at the top.
    fn step(&self) -> Option<u64> {
        let above = self.level + 1;
        (above < self.layers.len())
            .then(|| self.bitrate_at(above).saturating_sub(self.bitrate_at(self.level)))
    }
}

type Shares = ArrayVec<Share, SINKS_PER_LEG>;

impl Worker {
    /// Learns of the path of media from what its far side reports on transport `id`; true if something
    /// was for it.
    pub(crate) fn weigh_feedback(
        &mut self,
        id: TransportId,
        compound: &Compound<'_>,
        now: Nanos,
    ) -> bool {
        let Some(leg) = self.tables.leg_mut(id.leg) else { return false };
        let loss = mean_loss(leg, compound);
        let id = TransportId { leg: id.leg, index: leg.media_of(id.index) };
        let transport = leg.transports.get_mut(usize::from(id.index));
        let Some(bandwidth) = transport.and_then(|t| t.bandwidth.as_deref_mut()) else {
            return false;
        };
        let (mut weighed, mut congested) = (false, false);
        for packet in compound.sound() {
            match packet {
                Rtcp::TransportFeedback(feedback) => {
                    weighed = true;
                    congested |= bandwidth.take_feedback(feedback.body, now);
                }
                Rtcp::Remb(remb) => {
                    weighed = true;
                    congested |= bandwidth.take_remb(remb.bitrate, now);
                }
                _ => {}
            }
        }
        if let Some(loss) = loss {
            weighed = true;
            congested |= bandwidth.take_loss(loss, now);
        }
        if congested {
            self.share_bandwidth(id, Pressure::Congested, now);
        }
        weighed
    }

    /// Gives each automatic sink of a transport the layer that it may have.
    pub(crate) fn share_bandwidth(&mut self, id: TransportId, pressure: Pressure, now: Nanos) {
        let Some(leg) = self.tables.leg_mut(id.leg) else { return };
        let (mut shares, others) = shares(leg, id.index, now);
        let transport = leg.transports.get_mut(usize::from(id.index));
        match transport.and_then(|transport| transport.bandwidth.as_deref_mut()) {
            Some(bandwidth) if pressure == Pressure::Congested => {
                lower(&mut shares, u64::from(bandwidth.budget()).saturating_sub(others));
            }
            Some(bandwidth) => {
                bandwidth.visit(now);
                raise(&mut shares, others, bandwidth, now);
            }
            None => shares.iter_mut().for_each(|share| share.level = share.layers.len() - 1),
        }
        let mut asks = ArrayVec::<(StreamId, u8), SINKS_PER_LEG>::new();
        for share in &shares {
            let sink = &mut leg.sinks[share.sink];
            sink.selection.share(share.layers[share.level].layer, now);
            let due = sink.selection.key_frame_due(now);
            asks.extend(sink.source.as_ref().map(|source| source.stream).zip(due));
        }
        for (stream, layer) in asks {
            self.want_key_frame(stream, Some(layer));
        }
    }
}

/// The automatic sinks of a transport, and what the others take in bits per second.
fn shares(leg: &Leg, transport: u8, now: Nanos) -> (Shares, u64) {
    let mut shares = Shares::new();
    let mut others = 0;
    for (place, sink) in leg.sinks.iter().enumerate().filter(|(_, s)| s.transport == transport) {
        if !sink.selection.is_shared() {
            others += u64::from(sink.rate.bitrate());
            continue;
        }
        let mut layers = sink.selection.living(now);
        // A layer whose rate nobody knows yet is nothing to reckon with.
        layers.retain(|offer| offer.bitrate > 0);
        let target = sink.selection.target();
        let level = layers.iter().position(|offer| Some(offer.layer) == target);
        if let Some(level) = level.or(if layers.is_empty() { None } else { Some(0) }) {
            shares.push(Share { sink: place, layers, level });
        }
    }
    (shares, others)
}

/// Steps down until it fits, at most: nobody gets more than he has.
fn lower(shares: &mut Shares, budget: u64) {
    let held: ArrayVec<usize, SINKS_PER_LEG> = shares.iter().map(|share| share.level).collect();
    shares.iter_mut().for_each(|share| share.level = 0);
    let mut spent: u64 = shares.iter().map(|share| share.bitrate_at(0)).sum();
    let mut full: ArrayVec<bool, SINKS_PER_LEG> = shares.iter().map(|_| false).collect();
    while let Some(lowest) = lowest(shares, |at, share| !full[at] && share.level < held[at]) {
        match shares[lowest].step().filter(|step| spent + step <= budget) {
            Some(step) => {
                shares[lowest].level += 1;
                spent += step;
            }
            None => full[lowest] = true,
        }
    }
}

/// Steps up as far as the estimate goes, then tries one step beyond it.
fn raise(shares: &mut Shares, others: u64, bandwidth: &mut Bandwidth, now: Nanos) {
    let spent: u64 = shares.iter().map(|share| share.bitrate_at(share.level)).sum();
    let mut spent = spent + others;
    while bandwidth.may_climb(now) {
        let Some(lowest) = lowest(shares, |_, share| share.step().is_some()) else { return };
        let needed = spent + shares[lowest].step().unwrap_or(0);
        let fits = needed <= bandwidth.budget().into();
        if !fits && !bandwidth.may_try(now) {
            return;
        }
        shares[lowest].level += 1;
        spent = needed;
        if !fits {
            return bandwidth.note_try(u32::try_from(needed).unwrap_or(u32::MAX), now);
        }
    }
}

/// The share to step up next: of those that `may`, the one that has least.
fn lowest(shares: &Shares, may: impl Fn(usize, &Share) -> bool) -> Option<usize> {
    let candidates = shares.iter().enumerate().filter(|(at, share)| may(*at, share));
    candidates.min_by_key(|(_, s)| (s.level, s.bitrate_at(s.level))).map(|(at, _)| at)
}

/// The mean loss that a compound reports of a leg's sinks, in 1/256; none if it reports of none.
fn mean_loss(leg: &Leg, compound: &Compound<'_>) -> Option<u32> {
    let (mut sum, mut count) = (0, 0);
    let mut add = |block: ReportBlock| {
        if leg.sinks.iter().any(|sink| sink.counters.ssrc == block.ssrc) {
            sum += u32::from(block.fraction_lost);
            count += 1;
        }
    };
    for packet in compound.sound() {
        match packet {
            Rtcp::SenderReport(report) => report.blocks().for_each(&mut add),
            Rtcp::ReceiverReport(report) => report.blocks().for_each(&mut add),
            _ => {}
        }
    }
    (count > 0).then(|| sum / count)
}
