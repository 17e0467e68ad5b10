//! Wires: which stream of one leg goes to which sink of another.

use causeway_engine::command::{Codec, Command, SinkId, Source, StreamId};
use causeway_engine::route::{PayloadMap, RouteMap, TransportCc};
use causeway_engine::twcc::Answerer;

use super::leg::{CallLeg, engine_codec};
use crate::sdp::{Negotiated, NegotiatedMedia, extension, map_extensions, map_payload_types};

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

/// The wires that the legs' descriptions ask for: m-lines of two legs belong together if they are
/// the n-th of their kind, and a wire runs where one leg may send and the other may receive.
pub(crate) fn wanted(legs: &[CallLeg]) -> Vec<Wire> {
    let end_to_end = passes_transport_cc(legs);
    let mut wires = Vec::new();
    for (from, a) in described(legs) {
        for (to, b) in described(legs).filter(|(to, _)| to.slot != from.slot) {
            let pairs = a.media.iter().filter_map(|media| Some((media, partner(a, b, media)?)));
            wires.extend(
                pairs.filter_map(|(media, other)| wire(from, to, media, other, end_to_end)),
            );
        }
    }
    wires
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

/// Commands that make the workers answer transport-wide numbers just where nobody else does.
pub(crate) fn answers(legs: &mut [CallLeg]) -> Vec<Command> {
    let end_to_end = passes_transport_cc(legs);
    let mut commands = Vec::new();
    for leg in legs.iter_mut().filter(|leg| leg.ended.is_none()) {
        let Some(negotiated) = &leg.negotiated else { continue };
        let wanted = negotiated.media.iter().find_map(NegotiatedMedia::transport_cc);
        let wanted = wanted.filter(|_| !end_to_end);
        if leg.answers != wanted {
            leg.answers = wanted;
            let answerer = wanted.map(|extension| Box::new(Answerer::new(extension)));
            commands.push(Command::AnswerTransportCc { transport: leg.transport(), answerer });
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
    let (from, a) = described(legs).find(|(leg, _)| leg.slot == legs[place].slot)?;
    for (_, b) in described(legs).filter(|(to, _)| to.slot != from.slot) {
        for media in &a.media {
            let Some(other) = partner(a, b, media) else { continue };
            let first = media.codecs.iter().find(|codec| codec.codec.is_media())?;
            let maps = map_payload_types(media, other);
            if !maps.iter().any(|map| map.from == first.payload_type) {
                let name = first.codec.name();
                return Some(format!("the call's other leg does not take {name}"));
            }
        }
    }
    None
}

fn described(legs: &[CallLeg]) -> impl Iterator<Item = (&CallLeg, &Negotiated)> {
    let live = legs.iter().filter(|leg| leg.ended.is_none());
    live.filter_map(|leg| Some((leg, leg.negotiated.as_ref()?)))
}

/// The m-line of `b` that belongs to `media` of `a`.
fn partner<'n>(
    a: &Negotiated,
    b: &'n Negotiated,
    media: &NegotiatedMedia,
) -> Option<&'n NegotiatedMedia> {
    let same_kind = a.media.iter().filter(|other| other.kind == media.kind);
    let nth = same_kind.take_while(|other| other.index != media.index).count();
    b.nth(media.kind, nth)
}

fn wire(
    from: &CallLeg,
    to: &CallLeg,
    media: &NegotiatedMedia,
    other: &NegotiatedMedia,
    end_to_end: bool,
) -> Option<Wire> {
    if !media.direction.receives() || !other.direction.sends() {
        return None;
    }
    let stream = StreamId { leg: from.slot, index: from.place_of_line(media.index)? };
    let sink = SinkId { leg: to.slot, index: to.place_of_line(other.index)? };
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
            codec: codec_of(media, map.from),
        })
        .collect();
    let extensions: Vec<_> = map_extensions(media, other)
        .iter()
        .filter(|map| map.uri != extension::MID && map.uri != extension::TRANSPORT_CC)
        .map(|map| (map.from, map.to))
        .collect();
    let numbers = (media.transport_cc(), other.transport_cc());
    let transport_cc = match numbers {
        (Some(from), Some(to)) if end_to_end => TransportCc::EndToEnd { from, to },
        _ => TransportCc::Strip,
    };
    RouteMap::new(&payloads, &extensions).with_transport_cc(transport_cc)
}

fn codec_of(media: &NegotiatedMedia, payload_type: u8) -> Codec {
    let named = media
        .codecs
        .iter()
        .find(|codec| codec.payload_type == payload_type || codec.rtx == Some(payload_type));
    named.map_or(Codec::Other, |codec| engine_codec(codec.codec))
}

/// Whether transport-wide numbers pass from end to end: the call has two legs, and whatever one of
/// them sends with such numbers reaches the other with them. A gap that the node made would look
/// like loss.
fn passes_transport_cc(legs: &[CallLeg]) -> bool {
    let described: Vec<_> = described(legs).map(|(_, negotiated)| negotiated).collect();
    let [a, b] = described[..] else { return false };
    let passes = |a: &Negotiated, b: &Negotiated| {
        let numbered = a.media.iter().filter(|media| media.transport_cc().is_some());
        numbered.filter(|media| media.direction.receives()).all(|media| {
            partner(a, b, media)
                .is_some_and(|other| other.direction.sends() && other.transport_cc().is_some())
        })
    };
    passes(a, b) && passes(b, a)
}
