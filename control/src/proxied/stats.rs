//! What is known of a call: for `query` and `delete`, for its record, and for whoever watches that media
//! still comes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use causeway_engine::command::{LegId, StreamId};
use causeway_engine::error::DropReason;
use causeway_engine::stats::{LegReading, MediaCounters, TransportCounters};

use super::ProxiedCall;
use super::end::{CallRecord, EndedBy, MediaRecord};
use super::line::Line;
use super::party::{Party, PartyId};
use super::seat::{MEDIA, Part, REPORTS, Seat};
use super::seats::Seats;
use crate::call::score;
use crate::ng::{
    CallStats, Counters, Dropped, Flag, MediaStats, Mos, MosSample, SsrcStats, StreamStats,
    Subscription, TagStats,
};

/// The counters of legs.
pub(super) type Readings = HashMap<LegId, Box<LegReading>>;

impl ProxiedCall {
    /// All that is known, of these parties or of all.
    pub(super) fn stats(&self, readings: &Readings, chosen: Option<&[PartyId]>) -> CallStats {
        let is_chosen = |party: &&Party| chosen.is_none_or(|chosen| chosen.contains(&party.id));
        let parties: Vec<&Party> = self.parties.iter().filter(is_chosen).collect();
        let lines = parties.iter().flat_map(|party| party.lines.iter().map(move |l| (party, l)));
        let heard = lines.filter_map(|(party, line)| media_of(party, line, readings));
        let ssrcs = heard.filter(|media| media.ssrc != 0);
        CallStats {
            created: self.created.unix,
            last_signal: self.last_signal,
            seen: self.clock.unix,
            answered: self.answered,
            ssrcs: ssrcs.map(|media| (media.ssrc, self.quality(&media))).collect(),
            tags: parties.iter().map(|party| self.tag(party, readings)).collect(),
        }
    }

    fn tag(&self, party: &Party, readings: &Readings) -> TagStats {
        let tag = |id| {
            let party = self.parties.at(id);
            party.and_then(|party| party.tag.clone()).unwrap_or_default()
        };
        let links = &self.parties.links;
        let subscription = |other, offer_answer| Subscription { tag: tag(other), offer_answer };
        let to = links.iter().filter(|link| link.to == party.id);
        let from = links.iter().filter(|link| link.from == party.id);
        TagStats {
            tag: party.tag.clone().unwrap_or_default(),
            via_branch: party.via_branch.clone(),
            label: party.label.clone(),
            created: party.created,
            subscriptions: to.map(|link| subscription(link.from, link.is_dialogue)).collect(),
            subscribers: from.map(|link| subscription(link.to, link.is_dialogue)).collect(),
            medias: party.lines.iter().map(|line| self.media(party, line, readings)).collect(),
        }
    }

    fn media(&self, party: &Party, line: &Line, readings: &Readings) -> MediaStats {
        let mut flags = Vec::new();
        let said = [
            (line.is_described, "initialized"),
            (line.mux, "rtcp-mux"),
            (line.keys.dtls, "DTLS-SRTP"),
            (line.keys.sdes, "SDES"),
            (line.keys.may_be_opened, "DTLS role passive"),
            (line.keys.may_open, "DTLS role active"),
            (line.ice.passes, "passthrough"),
            (line.ice.used, "ICE"),
            (line.ice.trickles, "trickle ICE"),
            (line.ice.controls, "ICE controlling"),
            (line.ice.is_lite, "ICE-lite-self"),
            (line.flags.has(Flag::Asymmetric), "asymmetric"),
            (line.flags.has(Flag::Unidirectional), "unidirectional"),
            (line.sends, "send"),
            (line.receives, "recv"),
        ];
        flags.extend(said.into_iter().filter(|(is_so, _)| *is_so).map(|(_, name)| name));
        let index = u32::try_from(line.index).unwrap_or(u32::MAX);
        let seat = party.seat_of(line).into_iter();
        let streams = seat.flat_map(|(seat, _)| self.streams(party, line, seat, readings));
        MediaStats {
            index,
            kind: line.kind.clone(),
            protocol: line.protocol.as_ref().map(|protocol| protocol.name().to_owned()),
            codec: None,
            streams: streams.collect(),
            drops: drops(party, line, readings),
            flags,
        }
    }

    fn streams(
        &self,
        party: &Party,
        line: &Line,
        seat: &Seat,
        readings: &Readings,
    ) -> [StreamStats; 2] {
        [MEDIA, REPORTS].map(|index| {
            let part = &seat.parts[usize::from(index)];
            let transport = transport_of(seat, index, readings);
            let media = media_of(party, line, readings).filter(|_| index == MEDIA);
            let is_rtp = index == MEDIA;
            let counters = transport.unwrap_or_default();
            let mut flags = Vec::new();
            let filled = line.far.is_some();
            let confirmed = counters.packets_in > 0;
            let verified = line.keys.dtls && part.suite.is_some();
            let advertised = line.advertised(!is_rtp);
            // A party that is nowhere, or has not been seen, is where it says.
            let seen = counters.remote.or(part.remote).filter(|_| !line.is_nowhere);
            let said = [
                (is_rtp && line.mux, "RTCP"),
                (!is_rtp && line.mux, "fallback RTCP"),
                (filled, "filled"),
                (confirmed, "confirmed"),
                (verified, "DTLS fingerprint verified"),
                (line.flags.has(Flag::StrictSource), "strict source address"),
                (line.flags.has(Flag::MediaHandover), "media handover"),
                (line.ice.used, "ICE"),
            ];
            flags.extend(said.into_iter().filter(|(is_so, _)| *is_so).map(|(_, name)| name));
            StreamStats {
                is_rtp,
                local: local(line, part, is_rtp),
                endpoint: seen.or(advertised),
                advertised,
                crypto_suite: part.suite.map(|suite| suite.name()),
                last_packet: self.heard_at(&counters),
                flags,
                ssrc: media.map(|media| media.ssrc).filter(|ssrc| *ssrc != 0),
                sent: Counters {
                    packets: counters.packets_in,
                    bytes: counters.bytes_in,
                    errors: counters.strangers,
                },
                forwarded: Counters {
                    packets: counters.packets_out,
                    bytes: counters.bytes_out,
                    errors: 0,
                },
            }
        })
    }

    fn heard_at(&self, counters: &TransportCounters) -> Duration {
        let ago = counters.heard_ago_ms.map(Duration::from_millis);
        ago.map_or(self.last_signal, |ago| self.clock.unix.saturating_sub(ago))
    }

    /// The quality of a source by what the node itself has seen of it.
    fn quality(&self, media: &MediaCounters) -> SsrcStats {
        let mos = Mos {
            mos: mos_tenths(media),
            round_trip: 0,
            round_trip_leg: 0,
            jitter: jitter_ms(media),
            loss: loss_percent(media),
        };
        let sample = MosSample { mos, reported: self.clock.unix };
        SsrcStats {
            cumulative_loss: media.lost,
            average: mos,
            samples: 1,
            lowest: sample,
            highest: sample,
            interval: Duration::ZERO,
            progression: vec![sample],
        }
    }

    /// What is told of the call when it is over.
    pub(super) fn record(&self, readings: &Readings) -> CallRecord {
        let lines = self.parties.iter().flat_map(|party| {
            let tag = party.tag.clone().unwrap_or_default();
            party.places().map(move |place| (tag.clone(), party, place))
        });
        let media =
            lines.filter_map(|(tag, party, place)| media_record(tag, party, place, readings));
        CallRecord {
            call: self.id.clone(),
            began: self.created.unix,
            ended: self.clock.unix,
            answered: self.answered,
            by: self.ended.unwrap_or(EndedBy::Deleted),
            media: media.collect(),
            stats: self.stats(readings, None),
        }
    }

    /// Ends the call if nothing comes any more. One party that is heard keeps it alive.
    pub(super) fn watch(&mut self, readings: &Readings) {
        let timeouts = self.facts.timeouts;
        let age = self.clock.now.saturating_duration_since(self.created.now);
        let quiet_since_signal = self.clock.unix.saturating_sub(self.last_signal);
        if !self.answered && quiet_since_signal >= timeouts.offer {
            self.end(EndedBy::OfferTimeout);
            return;
        }
        let mut by = EndedBy::SilentTimeout;
        for (line, seats) in self.parties.iter().flat_map(Party::places) {
            let Some(seat) = &seats.current else { continue };
            let is_due = line.receives && line.is_described && self.answered;
            let most = if is_due { timeouts.media } else { timeouts.silent };
            if is_due {
                by = EndedBy::MediaTimeout;
            }
            let ago = [MEDIA, REPORTS]
                .into_iter()
                .filter_map(|index| transport_of(seat, index, readings)?.heard_ago_ms)
                .min();
            let ago = ago.map_or(age, Duration::from_millis).min(quiet_since_signal);
            if ago < most {
                return;
            }
        }
        self.end(by);
    }
}

/// Where a party sends to: nowhere on an m-line that is over, and on no port of its own for RTCP that
/// has none.
fn local(line: &Line, part: &Part, is_rtp: bool) -> Option<SocketAddr> {
    let mut local = part.announced();
    if line.has_one_port && !is_rtp {
        local.set_port(0);
    }
    (!line.is_rejected).then_some(local)
}

fn transport_of(seat: &Seat, index: u8, readings: &Readings) -> Option<TransportCounters> {
    let reading = readings.get(&seat.leg)?;
    let found = reading.transports.iter().find(|(id, _)| *id == seat.transport(index));
    found.map(|(_, counters)| *counters)
}

/// What was dropped of what came in on all seats of an m-line.
fn drops(party: &Party, line: &Line, readings: &Readings) -> Vec<Dropped> {
    let legs = party.streams_of(line).filter_map(|(seat, _)| readings.get(&seat.leg));
    let legs: Vec<_> = legs.collect();
    let dropped = |reason: &DropReason| {
        let count = legs.iter().map(|leg| leg.drops.of(*reason)).sum();
        Dropped { reason: reason.label(), meaning: reason.meaning().trim(), count }
    };
    DropReason::ALL.iter().map(dropped).filter(|dropped| dropped.count > 0).collect()
}

/// What came in on all seats of an m-line.
fn media_of(party: &Party, line: &Line, readings: &Readings) -> Option<MediaCounters> {
    let of = |stream: StreamId| {
        let reading = readings.get(&stream.leg)?;
        reading.streams.get(usize::from(stream.index)).map(|(_, counters)| *counters)
    };
    let mut all = party.streams_of(line).filter_map(|(_, stream)| of(stream));
    let first = all.next()?;
    Some(all.fold(first, |sum, one| MediaCounters {
        packets: sum.packets + one.packets,
        bytes: sum.bytes + one.bytes,
        lost: sum.lost + one.lost,
        ..if sum.packets > 0 { sum } else { one }
    }))
}

fn media_record(
    tag: String,
    party: &Party,
    (line, seats): (&Line, &Seats),
    readings: &Readings,
) -> Option<MediaRecord> {
    let media = media_of(party, line, readings)?;
    let strangers = seats
        .all()
        .flat_map(|seat| [MEDIA, REPORTS].map(|index| transport_of(seat, index, readings)))
        .flatten()
        .map(|counters| counters.strangers)
        .sum();
    Some(MediaRecord {
        tag,
        kind: line.kind.clone(),
        ssrc: Some(media.ssrc).filter(|ssrc| *ssrc != 0),
        packets: media.packets,
        bytes: media.bytes,
        lost: media.lost,
        jitter_ms: jitter_ms(&media),
        mos: (media.packets > 0).then(|| mos(&media)),
        strangers,
    })
}

fn jitter_ms(media: &MediaCounters) -> u64 {
    u64::from(media.jitter) * 1000 / u64::from(media.clock_rate.max(1))
}

fn loss_percent(media: &MediaCounters) -> u64 {
    (media.lost * 100).checked_div(media.lost + media.packets).unwrap_or(0)
}

/// The score times 10, as the protocol tells it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 10 to 45
fn mos_tenths(media: &MediaCounters) -> u64 {
    (mos(media) * 10.0) as u64
}

/// The mean opinion score of what a source sent.
fn mos(media: &MediaCounters) -> f64 {
    score::mos(media.packets, media.lost, jitter_ms(media))
}
