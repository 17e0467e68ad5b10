//! Wires: which stream of one leg goes to which sink of another.

use causeway_engine::bandwidth::Bandwidth;
use causeway_engine::command::{Codec, Command, LayerChoice, SinkId, Source, StreamId};
use causeway_engine::route::{PayloadMap, RouteMap, TransportCc};
use causeway_engine::twcc::Answerer;

use super::leg::{CallLeg, engine_codec};
use super::seats::{Feed, live};
use crate::api::Media;
use crate::sdp::{
    Negotiated, NegotiatedCodec, NegotiatedMedia, extension, map_extensions, map_payload_types,
};

/// A stream that goes to a sink, and how its numbers change on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    stream: StreamId,
    sink: SinkId,
    source: Source,
    map: RouteMap,
}

impl Wire {
    fn joins(&self, other: &Self) -> bool {
        self.stream == other.stream && self.sink == other.sink
    }
}

/// The wires that the legs' seats and descriptions ask for: one runs to each line that is fed, where
/// one leg may send and the other may receive.
pub(crate) fn wanted(legs: &[CallLeg]) -> Vec<Wire> {
    let end_to_end = passes_transport_cc(legs);
    pairs(legs).filter_map(|pair| wire(&pair, end_to_end)).collect()
}

/// A line that is fed, and the line that feeds it.
struct Pair<'a> {
    from: &'a CallLeg,
    to: &'a CallLeg,
    media: &'a NegotiatedMedia,
    other: &'a NegotiatedMedia,
    feed: &'a Feed,
}

fn pairs(legs: &[CallLeg]) -> impl Iterator<Item = Pair<'_>> {
    live(legs).flat_map(move |(to, negotiated)| {
        to.seats.feeds.iter().filter_map(move |feed| {
            let (from, _) = live(legs).find(|(from, _)| from.slot == feed.stream.leg)?;
            let (media, other) = (from.line_of(feed.stream)?, negotiated.at(feed.line)?);
            Some(Pair { from, to, media, other, feed })
        })
    })
}

/// Commands that make the wires of `old` those of `new`.
pub(crate) fn difference(old: &[Wire], new: &[Wire]) -> Vec<Command> {
    let mut commands = Vec::new();
    for wire in old.iter().filter(|wire| !new.iter().any(|kept| kept.joins(wire))) {
        commands.push(Command::RemoveSink { stream: wire.stream, sink: wire.sink });
        let map = Box::default();
        commands.push(Command::SetSource { sink: wire.sink, source: None, map });
    }
    for wire in new.iter().filter(|wire| !old.contains(wire)) {
        let (source, map) = (Some(Box::new(wire.source.clone())), Box::new(wire.map.clone()));
        commands.push(Command::SetSource { sink: wire.sink, source, map });
        commands.push(Command::AddSink { stream: wire.stream, sink: wire.sink });
    }
    commands
}

/// Commands that make the workers answer transport-wide numbers just where nobody else does. A
/// bundled leg has one transport of media.
pub(crate) fn answers(legs: &mut [CallLeg]) -> Vec<Command> {
    let end_to_end = passes_transport_cc(legs);
    let mut commands = Vec::new();
    for leg in legs.iter_mut().filter(|leg| leg.ended.is_none()) {
        let Some(negotiated) = &leg.negotiated else { continue };
        let wanted = negotiated.media.iter().find_map(NegotiatedMedia::transport_cc);
        let wanted = wanted.filter(|_| !end_to_end);
        let Some(media) = leg.transports.first_mut().filter(|media| media.answers != wanted) else {
            continue;
        };
        media.answers = wanted;
        let answerer = wanted.map(|extension| Box::new(Answerer::new(extension)));
        commands.push(Command::AnswerTransportCc { transport: media.id, answerer });
    }
    commands
}

/// Commands that make the workers estimate what the paths to the legs carry, where they choose what
/// goes there.
pub(crate) fn estimates(legs: &mut [CallLeg]) -> Vec<Command> {
    let end_to_end = passes_transport_cc(legs);
    let mut commands = Vec::new();
    for leg in legs.iter_mut().filter(|leg| leg.ended.is_none()) {
        let sees = leg.seats.feeds.iter().any(|feed| feed.view.kind == Media::Video);
        let wanted = sees && !end_to_end;
        let Some(media) = leg.transports.first_mut().filter(|media| media.estimates != wanted)
        else {
            continue;
        };
        media.estimates = wanted;
        let estimator = wanted.then(|| Box::new(Bandwidth::new()));
        commands.push(Command::EstimateBandwidth { transport: media.id, estimator });
    }
    commands
}

/// Commands that make the workers forward the layers that the legs ask for.
pub(crate) fn choices(legs: &mut [CallLeg]) -> Vec<Command> {
    let mut commands = Vec::new();
    for leg in legs.iter_mut().filter(|leg| leg.ended.is_none()) {
        for (index, line) in (0u8..).zip(&leg.lines) {
            let feed = leg.seats.feeds.iter().find(|feed| feed.line == *line);
            let wanted = feed.map_or(LayerChoice::Auto, Feed::choice);
            let told = leg.chosen.entry(*line).or_default();
            if *told != wanted {
                *told = wanted;
                let sink = SinkId { leg: leg.slot, index };
                commands.push(Command::SelectLayer { sink, layer: wanted });
            }
        }
    }
    commands
}

/// Legs whose favourite codec has nowhere to go, with words for why; each once per description.
pub(crate) fn mismatches(legs: &mut [CallLeg]) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for place in 0..legs.len() {
        let Some(because) = mismatch(legs, place) else { continue };
        let leg = &mut legs[place];
        let version = leg.negotiated.as_ref().map(|negotiated| negotiated.version);
        if leg.mismatch_said != version {
            leg.mismatch_said = version;
            said.push((leg.id.clone(), because));
        }
    }
    said
}

fn mismatch(legs: &[CallLeg], place: usize) -> Option<String> {
    pairs(legs).filter(|pair| pair.from.slot == legs[place].slot).find_map(|pair| {
        let first = pair.media.codecs.iter().find(|codec| codec.codec.is_media())?;
        let maps = map_payload_types(pair.media, pair.other);
        let is_taken = maps.iter().any(|map| map.from == first.payload_type);
        let name = first.codec.name();
        (!is_taken).then(|| format!("the call's other leg does not take {name}"))
    })
}

fn wire(pair: &Pair<'_>, end_to_end: bool) -> Option<Wire> {
    let &Pair { from, to, media, other, feed } = pair;
    if !media.direction.receives() || !other.direction.sends() {
        return None;
    }
    let (stream, sink) = (feed.stream, to.sink_of(other.index)?);
    let source = Source {
        stream,
        own_ssrc: media.local_ssrcs.media,
        cname: from.local.cname.clone(),
        reduced_size: media.reduced_size,
    };
    Some(Wire { stream, sink, source, map: route_map(media, other, end_to_end) })
}

fn route_map(media: &NegotiatedMedia, other: &NegotiatedMedia, end_to_end: bool) -> RouteMap {
    let payloads: Vec<_> = map_payload_types(media, other)
        .iter()
        .map(|map| PayloadMap {
            from: map.from,
            to: map.to,
            clock_rate: map.clock_rate,
            retransmits: map.retransmits.is_some(),
            again: again_as(other, map.to),
            codec: match map.events {
                Some(to) => events_between(map.clock_rate, to),
                None => codec_of(media, map.from),
            },
        })
        .collect();
    let extensions: Vec<_> = map_extensions(media, other)
        .iter()
        .filter(|map| !OWN_EXTENSIONS.contains(&map.uri))
        .map(|map| (map.from, map.to))
        .collect();
    let numbers = (media.transport_cc(), other.transport_cc());
    let transport_cc = match numbers {
        (Some(from), Some(to)) if end_to_end => TransportCc::EndToEnd { from, to },
        (_, Some(to)) => TransportCc::Own { to },
        _ => TransportCc::Strip,
    };
    RouteMap::new(&payloads, &extensions).with_transport_cc(transport_cc)
}

/// Telephone events that are to be told in another clock.
fn events_between(from: u32, to: u32) -> Codec {
    let ticks = |rate: u32| u8::try_from(rate / 1000).ok();
    ticks(from).zip(ticks(to)).map_or(Codec::Other, |(from, to)| Codec::Events { from, to })
}

/// What retransmissions of this payload type go out under.
fn again_as(sink: &NegotiatedMedia, payload_type: u8) -> Option<u8> {
    let sent = |codec: &&NegotiatedCodec| codec.sent_as.unwrap_or(codec.payload_type);
    sink.codecs.iter().find(|codec| sent(codec) == payload_type)?.rtx
}

/// Extensions that the node reads or writes itself and passes on to nobody.
const OWN_EXTENSIONS: [&str; 4] =
    [extension::MID, extension::TRANSPORT_CC, extension::RID, extension::REPAIRED_RID];

fn codec_of(media: &NegotiatedMedia, payload_type: u8) -> Codec {
    let named = media
        .codecs
        .iter()
        .find(|codec| codec.payload_type == payload_type || codec.rtx == Some(payload_type));
    named.map_or(Codec::Other, |codec| engine_codec(codec.codec))
}

/// Whether transport-wide numbers pass from end to end: the call has two legs, and whatever one of
/// them sends with such numbers reaches the other with them. A gap that the node made, as by
/// choosing a layer, would look like loss.
fn passes_transport_cc(legs: &[CallLeg]) -> bool {
    let passes = |(from, negotiated): (&CallLeg, &Negotiated)| {
        let numbered = negotiated.media.iter().filter(|media| media.transport_cc().is_some());
        numbered.filter(|media| media.direction.receives()).all(|media| {
            let mut pairs = pairs(legs).filter(|pair| pair.from.slot == from.slot);
            media.rids.is_empty()
                && pairs.any(|Pair { media: fed, other, feed, .. }| {
                    fed.index == media.index
                        && other.direction.sends()
                        && other.transport_cc().is_some()
                        && !feed.view.paused
                })
        })
    };
    live(legs).count() == 2 && live(legs).all(passes)
}
