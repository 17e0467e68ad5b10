//! Digits that are played into a stream which passes as it comes.
//!
//! While a digit sounds, the stream's packets carry it in place of what their sender says: as telephone events
//! (RFC 4733), or as the two tones of ITU-T Q.23 for a receiver that has no payload type for events. Each packet
//! keeps its SSRC and sequence number, so that nobody's numbers have to be shifted, here or in SRTP, and the
//! sender's pace is the digit's too. From a sender that is silent nothing comes: its digits wait for its next
//! packet.

use crate::command::{Codec, Refusal};
use crate::config::DIGITS_PER_STREAM;
use crate::few::Few;
use crate::pipe::Outflow;
use crate::plain::plain;
use crate::rtp::RtpHeader;
use crate::tone::{Law, Tone};

/// Packets that say that an event is over, for some may be lost (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// What an event's packet is ahead of what has sounded, in milliseconds: its own share.
const PACE_MS: u32 = 20;
/// The longest duration that an event can tell without segments (RFC 4733 §2.5.1.3).
const TICKS_MAX: u32 = 0xffff;
/// The bit that says that an event is over (RFC 4733 §2.3.3).
const END: u8 = 0x80;
/// The highest event that is a digit: D (RFC 4733 §3.2).
const DIGIT_MAX: u8 = 15;
/// The lowest power that an event can tell, in dB below 0 dBm0 (RFC 4733 §2.3.4).
const ATTENUATION_MAX: u8 = 63;

/// A digit to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digit {
    /// The event's number (RFC 4733 §3.2): 0 to 9, `*`, `#`, A to D.
    pub event: u8,
    /// The payload type of events at the receiver, of the clock that the stream's media has. Without one
    /// the digit is played as tones, which is possible in G.711 alone.
    pub payload_type: Option<u8>,
    /// How loud it is, in dB below 0 dBm0, 0 to 63.
    pub attenuation: u8,
    /// How long it sounds.
    pub duration_ms: u16,
    /// How long nothing sounds after it.
    pub pause_ms: u16,
}

/// Digits that a stream has yet to play, the first of which may have begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digits {
    waiting: Few<Digit, DIGITS_PER_STREAM>,
    begun: Option<Begun>,
}

/// How far the first digit has come.
#[derive(Debug, Clone, Copy)]
struct Begun {
    ssrc: u32,
    timestamp: u32,
    ends: u8,
}

/// One packet of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) payload_type: u8,
    pub(crate) is_first: bool,
    pub(crate) timestamp: u32,
    /// The payload (RFC 4733 §2.3).
    pub(crate) payload: [u8; 4],
}

impl Digits {
    /// Lets a digit follow those that wait.
    pub(crate) fn push(&mut self, digit: Digit) -> Result<(), Refusal> {
        if digit.event > DIGIT_MAX || digit.attenuation > ATTENUATION_MAX {
            return Err(Refusal::Misuse);
        }
        self.waiting.try_push(digit).map_err(|_| Refusal::Full)
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What a packet of media with this header carries instead; `None` if it passes.
    pub(crate) fn step(
        &mut self,
        header: &RtpHeader,
        clock_rate: u32,
        codec: Codec,
    ) -> Option<Outflow> {
        loop {
            let digit = *self.waiting.first()?;
            let is_first = self.begun.is_none();
            let first = Begun { ssrc: header.ssrc, timestamp: header.timestamp, ends: 0 };
            let begun = *self.begun.get_or_insert(first);
            let so_far = header.timestamp.wrapping_sub(begun.timestamp);
            if header.ssrc == begun.ssrc && so_far.cast_signed() < 0 {
                // A packet from before the digit, late.
                return None;
            }
            let times = Times::of(&digit, clock_rate);
            let is_told = digit.payload_type.is_none() || begun.ends == ENDS;
            if header.ssrc == begun.ssrc && (so_far < times.over || !is_told) {
                return self.sound(&digit, times, so_far, is_first, codec);
            }
            self.waiting.remove(0);
            self.begun = None;
        }
    }

    /// What a packet carries that comes so many ticks after the digit began.
    fn sound(
        &mut self,
        digit: &Digit,
        times: Times,
        so_far: u32,
        is_first: bool,
        codec: Codec,
    ) -> Option<Outflow> {
        let begun = self.begun.as_mut()?;
        let Some(payload_type) = digit.payload_type else {
            let law = Law::of(codec)?;
            let (event, attenuation) = (digit.event, digit.attenuation);
            let tone = Tone { event, attenuation, law, at: so_far };
            return (so_far < times.sounding).then_some(Outflow::Tone(tone));
        };
        let told = so_far + times.pace;
        let is_over = told >= times.sounding;
        if is_over && begun.ends == ENDS {
            return None;
        }
        begun.ends += u8::from(is_over);
        let end = if is_over { END } else { 0 };
        let [.., high, low] = told.min(times.sounding).to_be_bytes();
        let payload = [digit.event, end | digit.attenuation, high, low];
        let timestamp = begun.timestamp;
        Some(Outflow::Event(Event { payload_type, is_first, timestamp, payload }))
    }
}

/// The times of a digit in ticks of its stream's clock.
#[derive(Debug, Clone, Copy)]
struct Times {
    pace: u32,
    sounding: u32,
    /// When the next one may begin.
    over: u32,
}

impl Times {
    fn of(digit: &Digit, clock_rate: u32) -> Self {
        let ticks = |ms: u32| ms.saturating_mul(clock_rate / 1000);
        let pace = ticks(PACE_MS);
        let sounding = ticks(digit.duration_ms.into()).clamp(1, TICKS_MAX);
        let ends = pace * u32::from(ENDS);
        let over = sounding.saturating_add(ends.max(ticks(digit.pause_ms.into())));
        Self { pace, sounding, over }
    }
}

plain! {
    struct Digit { event, payload_type, attenuation, duration_ms, pause_ms } if |digit| {
        digit.event <= DIGIT_MAX && digit.attenuation <= ATTENUATION_MAX
    };
    struct Begun { ssrc, timestamp, ends }
    struct Digits { waiting, begun }
}

#[cfg(test)]
mod tests;
