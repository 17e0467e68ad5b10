//! What is told of a call that is over, of what its journal has kept: the last counters of its legs.

use std::time::Duration;

use super::journal::{Entry, Journal};
use super::note::Note;
use super::score;
use crate::api::{EndReason, EndRecord, LegStats, MediaEnd, MediaStats, Via};

impl Journal {
    /// The record of the call. It is over.
    pub fn record(&self) -> EndRecord {
        let began = Duration::from_millis(self.began_ms);
        let over = |entry: &&Entry| matches!(entry.note, Note::Over(_));
        let lasted = self.entries.iter().find(over).map_or_else(|| self.age(), Entry::age);
        let legs = self.entries.iter().filter_map(|entry| match &entry.note {
            Note::Counters(stats) => Some(stats),
            _ => None,
        });
        EndRecord {
            name: self.name.clone(),
            answered: self.entries.iter().any(|entry| matches!(entry.note, Note::Active)),
            reason: self.ended.unwrap_or(EndReason::CallEnded).name().to_owned(),
            media: legs.flat_map(|stats| of_leg(stats)).collect(),
            ..EndRecord::new(&self.call, Via::Rest, began, began + lasted)
        }
    }
}

fn of_leg(stats: &LegStats) -> impl Iterator<Item = MediaEnd> {
    let strangers = std::iter::once(stats.strangers).chain(std::iter::repeat(0));
    stats.received.iter().zip(strangers).map(|(media, strangers)| MediaEnd {
        leg: Some(stats.leg.clone()),
        role: Some(stats.role.clone()),
        strangers,
        ..of_media(media)
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds, and few
fn of_media(media: &MediaStats) -> MediaEnd {
    let jitter_ms = (media.jitter * 1000.0) as u64;
    let is_scored = media.kind == "audio" && media.packets > 0;
    MediaEnd {
        kind: media.kind.clone(),
        ssrc: Some(media.ssrc).filter(|ssrc| *ssrc != 0),
        packets: media.packets,
        bytes: media.bytes,
        lost: media.lost,
        jitter_ms,
        mos: is_scored.then(|| score::mos(media.packets, media.lost, jitter_ms)),
        ..MediaEnd::default()
    }
}
