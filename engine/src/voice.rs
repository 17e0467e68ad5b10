//! Whether somebody speaks, by the audio level that the sender puts into each packet (RFC 6464).
//!
//! The level is smoothed, and to begin and to cease have thresholds and delays of their own: a
//! cough does not count, a breath between two words does not end the speech.

use crate::packet::Nanos;
use crate::plain::plain;

/// Level from which on somebody speaks: -40 dBov.
const LOUD: i32 = level(40);
/// Level below which nobody does: -50 dBov.
const QUIET: i32 = level(50);
/// How long it is loud before somebody speaks.
const ATTACK: Nanos = Nanos::from_millis(60);
/// How long it is quiet before nobody does.
const RELEASE: Nanos = Nanos::from_millis(600);
/// How long after the last packet nobody speaks; discontinuous transmission sends one in 400 ms
/// (RFC 7587 §3.1.3).
const SILENCE: Nanos = Nanos::from_millis(1000);
/// A packet moves the smoothed level by one part in so many.
const SMOOTHING: i32 = 8;

/// The smoothed level, in 1/256 dB above the quietest, of one that is `below` dB below the loudest.
const fn level(below: i32) -> i32 {
    (127 - below) << 8
}

/// What is kept of one audio stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    /// Extension id of the audio level.
    pub(crate) extension: u8,
    level: i32,
    /// Since when the level says otherwise than `speaking`.
    turning: Option<Nanos>,
    heard: Nanos,
    speaking: bool,
    told: bool,
}

impl Voice {
    pub(crate) fn new(extension: u8) -> Self {
        Self { extension, level: 0, turning: None, heard: Nanos(0), speaking: false, told: false }
    }

    /// Takes over what another description does not change.
    pub(crate) fn inherit(&mut self, old: &Self) {
        *self = Self { extension: self.extension, ..*old };
    }

    /// Takes the extension's data; true if somebody began or ceased to speak.
    pub(crate) fn hear(&mut self, data: &[u8], now: Nanos) -> bool {
        let Some(byte) = data.first() else { return false };
        self.heard = now;
        self.level += (level(i32::from(byte & 0x7f)) - self.level) / SMOOTHING;
        let threshold = if self.speaking { QUIET } else { LOUD };
        if (self.level > threshold) == self.speaking {
            self.turning = None;
            return false;
        }
        let since = *self.turning.get_or_insert(now);
        let delay = if self.speaking { RELEASE } else { ATTACK };
        if now.since(since) < delay.0 {
            return false;
        }
        self.turn(!self.speaking)
    }

    /// Notices that nothing comes any more; true if somebody ceased to speak.
    pub(crate) fn listen(&mut self, now: Nanos) -> bool {
        if !self.speaking || now.since(self.heard) < SILENCE.0 {
            return false;
        }
        self.level = 0;
        self.turn(false)
    }

    /// What control is still to be told.
    pub(crate) fn news(&self) -> Option<bool> {
        Some(self.speaking).filter(|speaking| *speaking != self.told)
    }

    /// Notes that control was told.
    pub(crate) fn note_told(&mut self) {
        self.told = self.speaking;
    }

    fn turn(&mut self, speaking: bool) -> bool {
        self.speaking = speaking;
        self.turning = None;
        true
    }
}

plain! {
    struct Voice { extension, level, turning, heard, speaking, told }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: u8 = 25;
    const NOISE: u8 = 70;

    /// Hears a packet of each level every 20 ms; the changes, each with its time in ms.
    fn changes(levels: &[(u8, usize)]) -> Vec<(u64, bool)> {
        let mut voice = Voice::new(1);
        let each = levels.iter().flat_map(|&(level, count)| std::iter::repeat_n(level, count));
        let mut changes = Vec::new();
        for (at, level) in (0..).map(|number| 20 * number).zip(each) {
            if voice.hear(&[0x80 | level], Nanos::from_millis(1000 + at)) {
                changes.push((at, voice.news().unwrap()));
                voice.note_told();
            }
        }
        changes
    }

    #[test]
    fn somebody_begins_and_ceases_to_speak_once() {
        let changes = changes(&[(NOISE, 50), (TALK, 100), (NOISE, 100)]);
        assert_eq!(changes.iter().map(|change| change.1).collect::<Vec<_>>(), [true, false]);
        assert!((1000..1600).contains(&changes[0].0), "{changes:?}");
        assert!((3600..4200).contains(&changes[1].0), "{changes:?}");
    }

    #[test]
    fn a_cough_is_no_speech_and_a_breath_does_not_end_it() {
        assert_eq!(changes(&[(NOISE, 50), (5, 3), (NOISE, 100)]), []);
        let levels: Vec<_> = (0..20).flat_map(|_| [(TALK, 30), (NOISE, 15)]).collect();
        assert_eq!(changes(&levels).len(), 1);
    }

    #[test]
    fn a_level_between_the_thresholds_changes_nothing() {
        assert_eq!(changes(&[(45, 200)]), []);
        assert_eq!(changes(&[(TALK, 100), (45, 200)]).len(), 1);
    }

    #[test]
    fn who_sends_nothing_any_more_does_not_speak() {
        let mut voice = Voice::new(1);
        let mut now = Nanos::from_millis(1000);
        while !voice.hear(&[TALK], now) {
            now = now.plus(20_000_000);
        }
        assert!(!voice.listen(now.plus(400_000_000)));
        assert!(voice.listen(now.plus(1_000_000_000)));
        assert_eq!(voice.news(), None, "control had not been told of the speech either");
    }
}
