//! What waits to be written to a stream: bounded, and media in it grows stale.
//!
//! A slow peer must not make a queue of old media: whoever hears a second late hears nothing of use.
//! So media waits for 200 ms at most, and what does not fit is dropped.

use std::collections::VecDeque;

use crate::packet::Nanos;

/// How long media waits.
pub(crate) const STALE: Nanos = Nanos::from_millis(200);
/// Bytes that wait, most.
pub(crate) const BYTES_MAX: usize = 64 << 10;
/// Bytes that answers of the node may take beyond that.
const ANSWERS: usize = 16 << 10;
/// Bytes of memory that an empty outbox keeps.
const KEPT: usize = 4 << 10;

/// What a message is, as far as waiting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Grows stale.
    Media,
    /// Waits as long as it must.
    Data,
    /// Waits too, and has room where the others have none.
    Answer,
}

impl Weight {
    /// The weight of what a peer has sent: RTP and RTCP is media (RFC 7983 §7).
    pub(crate) fn of(payload: &[u8]) -> Self {
        match payload.first() {
            Some(128..=191) => Self::Media,
            _ => Self::Data,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    len: usize,
    since: Nanos,
    weight: Weight,
}

/// The messages, one behind the other as they go out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that are gone.
    start: usize,
    frames: VecDeque<Frame>,
    /// Bytes of the first message that are gone: it must be ended.
    begun: usize,
}

impl Outbox {
    /// Adds a message made of parts; says whether there was room.
    pub(crate) fn push(&mut self, parts: &[&[u8]], weight: Weight, now: Nanos) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let room = if weight == Weight::Answer { BYTES_MAX + ANSWERS } else { BYTES_MAX };
        if self.len() + len > room {
            return false;
        }
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.frames.push_back(Frame { len, since: now, weight });
        true
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The bytes that wait, from the first on; whole messages of at most `max` bytes, or one.
    pub(crate) fn batch(&self, max: usize) -> &[u8] {
        let mut end = 0;
        for (place, frame) in self.frames.iter().enumerate() {
            let len = frame.len - if place == 0 { self.begun } else { 0 };
            if place > 0 && end + len > max {
                break;
            }
            end += len;
        }
        &self.bytes[self.start..self.start + end]
    }

    /// Takes bytes off the front, which were written.
    pub(crate) fn advance(&mut self, written: usize) {
        self.start += written;
        self.begun += written;
        while let Some(frame) = self.frames.front().filter(|frame| frame.len <= self.begun) {
            self.begun -= frame.len;
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.start = 0;
        }
    }

    /// Drops media that has waited too long, but for what has begun to go out, and says how much of it.
    pub(crate) fn drop_stale(&mut self, now: Nanos) -> u64 {
        let begun = self.begun > 0;
        let stale =
            |frame: &Frame| frame.weight == Weight::Media && now.since(frame.since) > STALE.0;
        if !self.frames.iter().skip(usize::from(begun)).any(stale) {
            return 0;
        }
        let old = std::mem::take(self);
        let mut at = old.start;
        let mut dropped = 0;
        for (place, frame) in old.frames.iter().enumerate() {
            let len = frame.len - if place == 0 { old.begun } else { 0 };
            if (begun && place == 0) || !stale(frame) {
                self.bytes.extend_from_slice(&old.bytes[at..at + len]);
                self.frames.push_back(*frame);
            } else {
                dropped += 1;
            }
            at += len;
        }
        self.begun = old.begun;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn messages_go_out_in_order_and_in_whole_batches() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(&[b"ab", b"c"], Weight::Media, ms(0)));
        assert!(outbox.push(&[b"de"], Weight::Answer, ms(0)));
        assert_eq!(outbox.batch(100), b"abcde");
        assert_eq!(outbox.batch(4), b"abc");
        assert_eq!(outbox.batch(1), b"abc", "one at least");
        outbox.advance(2);
        assert_eq!(outbox.batch(1), b"c");
        outbox.advance(1);
        assert_eq!((outbox.batch(9), outbox.len()), (&b"de"[..], 2));
        outbox.advance(2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn media_grows_stale_unless_it_has_begun_to_go_out() {
        let mut outbox = Outbox::default();
        for (text, weight) in
            [("one", Weight::Media), ("two", Weight::Media), ("data", Weight::Data)]
        {
            outbox.push(&[text.as_bytes()], weight, ms(0));
        }
        outbox.push(&[b"late"], Weight::Media, ms(150));
        outbox.advance(1);
        assert_eq!(outbox.drop_stale(ms(200)), 0);
        assert_eq!(outbox.drop_stale(ms(201)), 1);
        assert_eq!(outbox.batch(100), b"nedatalate");
        assert_eq!(outbox.drop_stale(ms(351)), 1);
        outbox.advance(2);
        assert_eq!(outbox.batch(100), b"data");
    }

    #[test]
    fn answers_have_room_where_media_has_none() {
        let mut outbox = Outbox::default();
        let full = vec![0x80; BYTES_MAX];
        assert!(outbox.push(&[&full], Weight::Media, ms(0)));
        assert!(!outbox.push(&[&[0x80]], Weight::Media, ms(0)));
        assert!(!outbox.push(&[&[1]], Weight::Data, ms(0)));
        assert!(outbox.push(&[&[1; 100]], Weight::Answer, ms(0)));
        assert!(!outbox.push(&[&[1; ANSWERS]], Weight::Answer, ms(0)));
    }

    #[test]
    fn rtp_and_rtcp_is_media() {
        assert_eq!(Weight::of(&[0x80, 0]), Weight::Media);
        assert_eq!(Weight::of(&[22]), Weight::Data);
        assert_eq!(Weight::of(&[]), Weight::Data);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_kept_message_is_lost(
            messages in proptest::collection::vec((1usize..40, 0u64..400, any::<bool>()), 1..30),
            written in 0usize..300,
            now in 0u64..700,
        ) {
            let mut outbox = Outbox::default();
            let mut expected: Vec<(Vec<u8>, bool)> = Vec::new();
            for (n, (len, since, media)) in messages.iter().enumerate() {
                let weight = if *media { Weight::Media } else { Weight::Data };
                let bytes = vec![n as u8; *len];
                outbox.push(&[&bytes], weight, ms(*since));
                expected.push((bytes, *media && now.saturating_sub(*since) > 200));
            }
            let total: usize = messages.iter().map(|(len, ..)| len).sum();
            let mut gone = written.min(total);
            outbox.advance(gone);
            let mut left = Vec::new();
            for (bytes, stale) in expected {
                let taken = gone.min(bytes.len());
                gone -= taken;
                if taken < bytes.len() && (taken > 0 || !stale) {
                    left.extend_from_slice(&bytes[taken..]);
                }
            }
            outbox.drop_stale(ms(now));
            prop_assert_eq!(outbox.batch(usize::MAX), &left[..]);
        }
    }
}
