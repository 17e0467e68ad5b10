//! Who has the floor: the leg that speaks, or spoke last.
//!
//! A cough takes it from nobody, and a breath does not lose it: a leg has the floor once it has spoken
//! for [`RISE`] and who had it has been silent for [`FALL`].

use std::time::{Duration, Instant};

use causeway_engine::command::{LegId, StreamId};

/// How long one speaks before one has the floor.
const RISE: Duration = Duration::from_millis(300);
/// How long one is silent before another can take it.
const FALL: Duration = Duration::from_millis(700);

/// Who speaks, and who has the floor.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    speaker: Option<LegId>,
    silent_since: Option<Instant>,
    /// Streams that speak, in the order in which they began.
    talking: Vec<(StreamId, Instant)>,
}

impl Floor {
    /// The leg that has the floor.
    pub(crate) fn speaker(&self) -> Option<LegId> {
        self.speaker
    }

    /// Notes that a stream has begun or ceased to speak.
    pub(crate) fn note(&mut self, now: Instant, stream: StreamId, speaking: bool) {
        let talked = self.talks(self.speaker);
        let knows = self.talking.iter().any(|(held, _)| *held == stream);
        if speaking && !knows {
            self.talking.push((stream, now));
        } else if !speaking {
            self.talking.retain(|(held, _)| *held != stream);
        }
        if talked && !self.talks(self.speaker) {
            self.silent_since = Some(now);
        }
    }

    /// Forgets a leg.
    pub(crate) fn forget(&mut self, leg: LegId) {
        self.talking.retain(|(stream, _)| stream.leg != leg);
        if self.speaker == Some(leg) {
            (self.speaker, self.silent_since) = (None, None);
        }
    }

    /// Gives the floor to whoever it is due to at `now`; whether somebody has got it.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        let Some((leg, _)) = self.due().filter(|(_, at)| *at <= now) else { return false };
        (self.speaker, self.silent_since) = (Some(leg), None);
        true
    }

    /// When [`Self::settle`] will have something to do if nothing else happens.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.due().map(|(_, at)| at)
    }

    /// Whom the floor goes to next, and when.
    fn due(&self) -> Option<(LegId, Instant)> {
        if self.talks(self.speaker) {
            return None;
        }
        let free = self.silent_since.map(|since| since + FALL);
        let (stream, since) = self.talking.first()?;
        let risen = *since + RISE;
        Some((stream.leg, free.map_or(risen, |free| free.max(risen))))
    }

    fn talks(&self, leg: Option<LegId>) -> bool {
        self.talking.iter().any(|(stream, _)| Some(stream.leg) == leg)
    }
}

#[cfg(test)]
mod tests {
    use causeway_engine::command::WorkerId;

    use super::*;

    const WHILE: Duration = Duration::from_millis(100);

    fn stream(slot: u16) -> StreamId {
        StreamId { leg: LegId { worker: WorkerId(0), slot, generation: 0 }, index: 0 }
    }

    /// Lets time go by until nothing is due within a second; who had the floor in between.
    fn speakers(floor: &mut Floor, now: &mut Instant) -> Vec<u16> {
        let mut had = Vec::new();
        let until = *now + Duration::from_secs(1);
        while *now < until {
            *now += WHILE;
            if floor.settle(*now) {
                had.push(floor.speaker().unwrap().slot);
            }
        }
        had
    }

    #[test]
    fn the_first_who_speaks_gets_the_floor_and_keeps_it_through_pauses_and_interruptions() {
        let (mut floor, mut now) = (Floor::default(), Instant::now());
        floor.note(now, stream(1), true);
        assert!(!floor.settle(now), "a cough is no speech");
        assert_eq!(speakers(&mut floor, &mut now), [1]);
        floor.note(now, stream(2), true);
        assert_eq!(speakers(&mut floor, &mut now), [0; 0], "who is interrupted still speaks");
        floor.note(now, stream(1), false);
        floor.note(now + WHILE, stream(1), true);
        assert_eq!(speakers(&mut floor, &mut now), [0; 0], "a breath");
        floor.note(now, stream(1), false);
        assert_eq!(speakers(&mut floor, &mut now), [2]);
    }

    #[test]
    fn nobody_has_the_floor_of_a_leg_that_is_gone() {
        let (mut floor, mut now) = (Floor::default(), Instant::now());
        floor.note(now, stream(1), true);
        floor.note(now, stream(2), true);
        assert_eq!(speakers(&mut floor, &mut now), [1]);
        floor.forget(stream(1).leg);
        assert_eq!(floor.speaker(), None);
        assert_eq!(speakers(&mut floor, &mut now), [2]);
        floor.forget(stream(2).leg);
        assert_eq!((floor.speaker(), floor.next_timeout()), (None, None));
    }
}
