//! Who sits where: which leg feeds which lines of another.
//!
//! A leg receives each other leg at a seat: one line of each kind, numbered by its description
//! ([`NegotiatedMedia::seat`]). A leg that sends more than one stream of a kind takes as many seats.
//! Who sits stays seated while it is there; a seat that becomes free goes to whoever waits, without
//! a new description: the line's SSRCs stay, and the API says whom it carries. Who finds no line
//! waits at a seat beyond them, and the leg is told how many lines it needs.

use causeway_engine::command::{LayerChoice, LegId, StreamId};
use causeway_engine::config::SINKS_PER_STREAM;

use super::leg::CallLeg;
use crate::api::{LEGS_PER_CALL_CEILING, Lines, Media, Problem, Receive, Received};
use crate::sdp::{MEDIA_MAX, Negotiated, NegotiatedMedia};

const KINDS: [Media; 2] = [Media::Audio, Media::Video];
/// The layer that is asked for where nobody asks.
const AUTO: &str = "auto";

/// Who sits at a seat: the nth streams of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sitter {
    leg: LegId,
    nth: usize,
}

/// A line of a leg and the stream that feeds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The line's place among the leg's m-lines.
    pub(crate) line: usize,
    /// The other leg's stream.
    pub(crate) stream: StreamId,
    /// As the API shows it.
    pub(crate) view: Received,
}

/// Where a leg receives the others.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    sitters: Vec<Option<Sitter>>,
    /// The lines that are fed, by seat.
    pub(crate) feeds: Vec<Feed>,
    /// The lines that it needs, if it has fewer.
    pub(crate) wants: Option<Lines>,
}

/// What a leg sends, as others see it.
struct Source {
    sitter: Sitter,
    id: String,
    role: String,
    streams: [Option<(StreamId, Vec<String>)>; 2],
}

/// Seats every leg at every other.
pub(crate) fn allot(legs: &mut [CallLeg]) {
    let sources: Vec<Source> = live(legs).flat_map(|(leg, _)| sources(leg)).collect();
    for leg in legs.iter_mut() {
        let own = leg.slot;
        match leg.negotiated.as_ref().filter(|_| leg.ended.is_none()) {
            Some(negotiated) => leg.seats.allot(own, negotiated, &sources),
            None => leg.seats = Seats::default(),
        }
    }
}

/// The legs that are not over and have described themselves.
pub(crate) fn live(legs: &[CallLeg]) -> impl Iterator<Item = (&CallLeg, &Negotiated)> {
    let live = legs.iter().filter(|leg| leg.ended.is_none());
    live.filter_map(|leg| Some((leg, leg.negotiated.as_ref()?)))
}

impl Seats {
    fn allot(&mut self, own: LegId, negotiated: &Negotiated, sources: &[Source]) {
        let of_use = |source: &&Source| source.sitter.leg != own && source.is_for(negotiated);
        let others: Vec<&Source> = sources.iter().filter(of_use).collect();
        for (seat, held) in self.sitters.iter_mut().enumerate() {
            let sitter = others.iter().find(|source| Some(source.sitter) == *held);
            *held = held.filter(|_| sitter.is_some_and(|source| source.reaches(negotiated, seat)));
        }
        for source in &others {
            if !self.sitters.contains(&Some(source.sitter)) {
                match self.sitters.iter_mut().find(|seat| seat.is_none()) {
                    Some(free) => *free = Some(source.sitter),
                    None => self.sitters.push(Some(source.sitter)),
                }
            }
        }
        let seated = || {
            self.sitters.iter().enumerate().filter_map(|(seat, sitter)| {
                let source = others.iter().find(|source| Some(source.sitter) == *sitter)?;
                Some((seat, *source))
            })
        };
        let feeds = seated().flat_map(|(seat, source)| source.feeds(negotiated, seat));
        let mut feeds: Vec<_> = feeds.map(|feed| kept(&self.feeds, feed)).collect();
        feeds.shrink_to_fit();
        self.wants = wanted(negotiated, seated());
        self.feeds = feeds;
    }

    /// Notes what is asked for on the line with this MID.
    ///
    /// # Errors
    /// When nobody feeds such a line, or the leg that does has no such layer.
    pub(crate) fn ask(&mut self, mid: &str, asked: &Receive) -> Result<(), Problem> {
        let feed = self.feeds.iter_mut().find(|feed| feed.view.mid == mid);
        let feed = feed.ok_or_else(|| {
            Problem::not_found(format!("no other leg comes on an m-line with the MID {mid}"))
        })?;
        let layer = asked.layer.as_deref().unwrap_or(AUTO);
        if layer != AUTO && !feed.view.layers.iter().any(|known| known == layer) {
            let layers = feed.view.layers.join(", ");
            let detail = if layers.is_empty() {
                "the leg that comes on this m-line sends one layer only".to_owned()
            } else {
                format!("the leg that comes on this m-line sends {layers}; or ask for auto")
            };
            return Err(Problem::unprocessable("no-such-layer", detail).at("layer"));
        }
        layer.clone_into(&mut feed.view.asked);
        feed.view.paused = asked.paused;
        Ok(())
    }

    /// Notes the layer that is forwarded to a line, by its place among those that the source sends;
    /// whether it is another.
    pub(crate) fn note_layer(&mut self, line: usize, layer: Option<u8>) -> bool {
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.line == line) else { return false };
        let layer = layer.and_then(|place| feed.view.layers.get(usize::from(place)).cloned());
        let is_new = feed.view.layer != layer;
        feed.view.layer = layer;
        is_new
    }

    /// What is received, as the API shows it.
    pub(crate) fn view(&self) -> Vec<Received> {
        self.feeds.iter().map(|feed| feed.view.clone()).collect()
    }
}

impl Feed {
    /// What the worker is to forward.
    pub(crate) fn choice(&self) -> LayerChoice {
        let Received { layers, asked, paused, .. } = &self.view;
        if *paused {
            return LayerChoice::Off;
        }
        let place = layers.iter().position(|layer| layer == asked);
        let place = place.and_then(|place| u8::try_from(place).ok());
        place.map_or(LayerChoice::Auto, LayerChoice::Layer)
    }
}

impl Source {
    fn stream(&self, kind: Media) -> Option<&(StreamId, Vec<String>)> {
        self.streams[usize::from(kind == Media::Video)].as_ref()
    }

    fn sends(&self, kind: Media) -> bool {
        self.stream(kind).is_some()
    }

    /// Whether the far side takes a kind that this sends.
    fn is_for(&self, negotiated: &Negotiated) -> bool {
        KINDS.into_iter().any(|kind| self.sends(kind) && takes(negotiated, kind))
    }

    /// Whether a seat has a line for this.
    fn reaches(&self, negotiated: &Negotiated, seat: usize) -> bool {
        KINDS.into_iter().any(|kind| self.sends(kind) && negotiated.at_seat(kind, seat).is_some())
    }

    /// The lines of a seat that this feeds.
    fn feeds(&self, negotiated: &Negotiated, seat: usize) -> impl Iterator<Item = Feed> {
        KINDS.into_iter().filter_map(move |kind| {
            let media = negotiated.at_seat(kind, seat)?;
            let (stream, layers) = self.stream(kind)?;
            let view = Received {
                mid: media.mid.clone().unwrap_or_default(),
                kind,
                from: self.id.clone(),
                role: self.role.clone(),
                layers: layers.clone(),
                layer: None,
                asked: AUTO.into(),
                paused: false,
            };
            Some(Feed { line: media.index, stream: *stream, view })
        })
    }
}

/// What a leg sends or has sent: a stream that pauses keeps its seats.
fn sources(leg: &CallLeg) -> impl Iterator<Item = Source> {
    let of = |kind, nth| {
        let (stream, media) = leg.streams_of(kind).nth(nth)?;
        Some((stream, media.rids.clone()))
    };
    let most = KINDS.into_iter().map(|kind| leg.streams_of(kind).count()).max().unwrap_or(0);
    (0..most).map(move |nth| Source {
        sitter: Sitter { leg: leg.slot, nth },
        id: leg.id.clone(),
        role: leg.role.clone(),
        streams: KINDS.map(|kind| of(kind, nth)),
    })
}

/// What was asked for and seen on a line stays for as long as the same stream feeds it.
fn kept(old: &[Feed], mut feed: Feed) -> Feed {
    let before = old.iter().find(|old| (old.line, old.stream) == (feed.line, feed.stream));
    if let Some(Received { asked, paused, layer, .. }) = before.map(|before| &before.view) {
        feed.view.paused = *paused;
        feed.view.layer = layer.clone().filter(|layer| feed.view.layers.contains(layer));
        if feed.view.layers.contains(asked) {
            feed.view.asked.clone_from(asked);
        }
    }
    feed
}

/// Whether the far side has ever taken a kind.
fn takes(negotiated: &Negotiated, kind: Media) -> bool {
    negotiated.media.iter().any(|media| media.kind == kind && media.seat.is_some())
}

/// The lines on which a leg has to receive to get everybody who sits, if it has fewer. A leg that
/// takes none of a kind, now or at all, is not asked for any.
fn wanted<'s>(
    negotiated: &Negotiated,
    seated: impl Iterator<Item = (usize, &'s Source)>,
) -> Option<Lines> {
    let mut seats = [0; 2];
    for (seat, source) in seated {
        for (kind, seats) in KINDS.into_iter().zip(&mut seats) {
            if source.sends(kind) {
                *seats = seat + 1;
            }
        }
    }
    let mut room = MEDIA_MAX.saturating_sub(negotiated.lines);
    let mut lacks = false;
    let [audio, video] = [0, 1].map(|place| {
        let kind = KINDS[place];
        let is_open = |media: &&NegotiatedMedia| media.kind == kind && media.direction.sends();
        let open = negotiated.media.iter().filter(is_open).count();
        let lacking = |seat: &usize| negotiated.at_seat(kind, *seat).is_none();
        let missing = (0..seats[place]).filter(lacking).count().min(room);
        let missing = if open > 0 { missing } else { 0 };
        room -= missing;
        lacks |= missing > 0;
        open + missing
    });
    lacks.then_some(Lines { audio, video })
}

const _: () = assert!(2 * LEGS_PER_CALL_CEILING <= MEDIA_MAX);
const _: () = assert!(LEGS_PER_CALL_CEILING <= SINKS_PER_STREAM);
