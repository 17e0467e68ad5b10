//! Which layer of its simulcast stream a sink gets.
//!
//! A sink sees every packet of every layer and lets those of one pass. It changes to another layer
//! only where a picture begins that needs no other, and goes on with the former one until then:
//!
//! ```text
//!  low    ─K──────────────┐ wanted: high, asked for a key frame
//!  high   ─ ─ ─ ─ ─ ─ ─ ─ ┴K──────────── high falls silent ─┐
//!  low    ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┴K────
//! ```
//!
//! Layers are compared by what they send, not by their place in the description, whose order is
//! the sender's preference (RFC 8853 §5.1) and says nothing of size.

use arrayvec::ArrayVec;

use crate::command::LayerChoice;
use crate::config::LAYERS_PER_STREAM;
use crate::layers::{LAYER_DEAD, LayerTag};
use crate::packet::Nanos;
use crate::plain::plain;

/// Shortest time between two requests for the same key frame: what it takes a far sender to answer.
const ASK_INTERVAL: Nanos = Nanos::from_millis(500);
/// How long a new sink waits for the smallest layer before it begins with any.
const START_PATIENCE: Nanos = Nanos::from_millis(500);
/// Shortest time between two events about one sink.
const NEWS_INTERVAL: Nanos = Nanos::from_millis(500);

/// What a sink does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes out.
    Pass,
    /// It goes out, and the sink's numbers continue with it.
    Begin,
    /// It is of no use, unless it is owed from before the latest change.
    Skip,
}

/// What a sink knows of a layer.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    heard: Nanos,
    bitrate: u32,
}

/// A layer that a sink could have, smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) layer: u8,
    pub(crate) bitrate: u32,
}

/// The layers that a sink could have.
pub(crate) type Living = ArrayVec<Offer, LAYERS_PER_STREAM>;

/// One sink's choice and where it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) choice: LayerChoice,
    /// What [`LayerChoice::Auto`] comes down to at present.
    share: Option<u8>,
    target: Option<u8>,
    current: Option<u8>,
    seen: [Seen; LAYERS_PER_STREAM],
    began: Nanos,
    asked: Nanos,
    interrupted: bool,
    told: Option<u8>,
    told_at: Nanos,
}

impl Selection {
    /// Changes the choice; true if a key frame of [`Self::target`] is wanted for it.
    pub(crate) fn choose(&mut self, choice: LayerChoice, now: Nanos) -> bool {
        self.choice = choice;
        if choice == LayerChoice::Off {
            self.current = None;
            self.target = None;
            self.interrupted = true;
            return false;
        }
        self.asked = Nanos(0);
        self.aim(now)
    }

    /// Forgets the source, keeps the choice.
    pub(crate) fn forget(&mut self) {
        *self =
            Self { choice: self.choice, told: self.told, told_at: self.told_at, ..Self::default() };
    }

    /// Says what becomes of a packet of a stream without layers.
    pub(crate) fn take_only(&mut self) -> Verdict {
        if self.choice == LayerChoice::Off {
            return Verdict::Skip;
        }
        self.current = None;
        if std::mem::take(&mut self.interrupted) { Verdict::Begin } else { Verdict::Pass }
    }

    /// Says what becomes of a media packet of a layer.
    pub(crate) fn take(&mut self, tag: LayerTag, now: Nanos) -> Verdict {
        let Some(seen) = self.seen.get_mut(usize::from(tag.layer)) else { return Verdict::Skip };
        *seen = Seen { heard: now, bitrate: tag.bitrate };
        if self.choice == LayerChoice::Off {
            return Verdict::Skip;
        }
        if self.began == Nanos(0) {
            // The stream was asked for a key frame when the sink was added to it.
            (self.began, self.asked) = (now, now);
        }
        if self.is_off_target(tag.layer, now) {
            self.aim(now);
        }
        if self.current == Some(tag.layer) {
            return Verdict::Pass;
        }
        if tag.key_frame && (self.target == Some(tag.layer) || self.is_impatient(now)) {
            self.current = Some(tag.layer);
            return Verdict::Begin;
        }
        Verdict::Skip
    }

    /// The layer to ask for a key frame, if one is missing and was not asked for a moment ago.
    pub(crate) fn key_frame_due(&mut self, now: Nanos) -> Option<u8> {
        let target = self.target.filter(|target| self.current != Some(*target))?;
        if self.asked != Nanos(0) && now.since(self.asked) < ASK_INTERVAL.0 {
            return None;
        }
        self.asked = now;
        Some(target)
    }

    /// The layers that are being sent, smallest first.
    pub(crate) fn living(&self, now: Nanos) -> Living {
        let each = (0u8..).zip(&self.seen).filter(|(layer, _)| self.lives(*layer, now));
        let mut living: Living =
            each.map(|(layer, seen)| Offer { layer, bitrate: seen.bitrate }).collect();
        living.sort_unstable_by_key(|offer| (offer.bitrate, offer.layer));
        living
    }

    /// Whether its layer is shared out by bandwidth.
    pub(crate) fn is_shared(&self) -> bool {
        self.choice == LayerChoice::Auto && self.current.is_some()
    }

    /// Gives an automatic sink another layer.
    pub(crate) fn share(&mut self, layer: u8, now: Nanos) {
        if self.share != Some(layer) {
            self.share = Some(layer);
            self.asked = Nanos(0);
            self.aim(now);
        }
    }

    /// What it forwards.
    pub(crate) fn current(&self) -> Option<u8> {
        self.current
    }

    /// What it means to forward.
    pub(crate) fn target(&self) -> Option<u8> {
        self.target
    }

    /// What control is still to be told.
    pub(crate) fn news(&self) -> Option<Option<u8>> {
        Some(self.current).filter(|current| *current != self.told)
    }

    /// Whether control may be told again.
    pub(crate) fn may_tell(&self, now: Nanos) -> bool {
        self.news().is_some()
            && (self.told_at == Nanos(0) || now.since(self.told_at) >= NEWS_INTERVAL.0)
    }

    /// Notes that control was told.
    pub(crate) fn note_told(&mut self, now: Nanos) {
        (self.told, self.told_at) = (self.current, now);
    }

    /// Decides what to forward; true if that is another layer than before.
    fn aim(&mut self, now: Nanos) -> bool {
        let living = self.living(now);
        let stays = |layer: &u8| living.iter().any(|offer| offer.layer == *layer);
        let target = match self.wanted() {
            Some(layer) => Some(layer).filter(stays).or_else(|| self.next_best(layer, &living)),
            None => living.first().map(|offer| offer.layer),
        };
        // While nothing comes at all there is nothing better to aim at.
        let target = target.or(self.target);
        let changed = target != self.target;
        self.target = target;
        changed
    }

    /// Whether `layer`, which has just been heard, may change what to aim at.
    fn is_off_target(&self, layer: u8, now: Nanos) -> bool {
        let Some(target) = self.target.filter(|_| self.current.is_some()) else { return true };
        !self.lives(target, now) || (self.wanted() == Some(layer) && target != layer)
    }

    /// The layer that it should be if its sender sends it.
    fn wanted(&self) -> Option<u8> {
        match self.choice {
            LayerChoice::Off => None,
            LayerChoice::Layer(layer) => Some(layer),
            LayerChoice::Auto => self.share,
        }
    }

    /// The largest living layer that is no larger than `layer` was, else the smallest.
    fn next_best(&self, layer: u8, living: &Living) -> Option<u8> {
        let limit = self.seen.get(usize::from(layer)).map_or(0, |seen| seen.bitrate);
        let below = living.iter().rev().find(|offer| offer.bitrate <= limit);
        below.or(living.first()).map(|offer| offer.layer)
    }

    fn is_impatient(&self, now: Nanos) -> bool {
        self.current.is_none() && now.since(self.began) >= START_PATIENCE.0
    }

    fn lives(&self, layer: u8, now: Nanos) -> bool {
        let seen = self.seen.get(usize::from(layer));
        seen.is_some_and(|s| s.heard != Nanos(0) && now.since(s.heard) < LAYER_DEAD.0)
    }
}

plain! {
    struct Selection {
        choice, share, target, current, seen, began, asked, interrupted, told, told_at,
    } if |it| {
        let layers = [it.share, it.target, it.current];
        layers.iter().flatten().all(|layer| usize::from(*layer) < LAYERS_PER_STREAM)
    };
    struct Seen { heard, bitrate }
}
