//! Digits as sound: two sine waves each (ITU-T Q.23), in G.711.

use std::f32::consts::TAU;

use crate::command::Codec;

/// Samples per second of G.711.
const RATE: u32 = 8000;
/// The amplitude of a sine wave of 0 dBm0: the loudest one of 3.14 dBm0 (ITU-T G.711 table 5) fills 15 bits.
const REFERENCE: f32 = 22_827.0;
/// Frequencies of the keypad's rows and columns in Hz.
const ROWS: [u32; 4] = [697, 770, 852, 941];
const COLUMNS: [u32; 4] = [1209, 1336, 1477, 1633];
/// Where each event stands on the keypad: row and column.
const KEYS: [(usize, usize); 16] = [
    (3, 1),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (3, 3),
];

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// µ-law.
    Mu,
    /// A-law.
    A,
}

/// A piece of a digit's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tone {
    pub(crate) event: u8,
    /// In dB below 0 dBm0, of each wave.
    pub(crate) attenuation: u8,
    pub(crate) law: Law,
    /// Samples of the digit before this piece.
    pub(crate) at: u32,
}

impl Law {
    /// That of a codec, if it is G.711.
    pub(crate) fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Pcmu => Some(Self::Mu),
            Codec::Pcma => Some(Self::A),
            _ => None,
        }
    }

    /// A sample as one byte (ITU-T G.711 §3).
    fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => mu_law(sample),
            Self::A => a_law(sample),
        }
    }
}

impl Tone {
    /// Fills a payload with it.
    pub(crate) fn fill(self, payload: &mut [u8]) {
        let Some(&(row, column)) = KEYS.get(usize::from(self.event)) else { return };
        let amplitude = REFERENCE * 10_f32.powf(-f32::from(self.attenuation) / 20.0);
        for (at, byte) in (self.at..).zip(payload) {
            let sample = amplitude * (wave(ROWS[row], at) + wave(COLUMNS[column], at));
            *byte = self.law.encode(clipped(sample));
        }
    }
}

/// A sine wave of so many Hz at a sample.
#[allow(clippy::cast_precision_loss)] // a phase is less than RATE
fn wave(frequency: u32, at: u32) -> f32 {
    let phase = u64::from(frequency) * u64::from(at) % u64::from(RATE);
    (TAU * phase as f32 / RATE as f32).sin()
}

#[allow(clippy::cast_possible_truncation)] // that is what it is for
fn clipped(sample: f32) -> i16 {
    sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

fn mu_law(sample: i16) -> u8 {
    const BIAS: u16 = 0x84;
    const MAGNITUDE_MAX: u16 = 0x7fff - BIAS;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(MAGNITUDE_MAX) + BIAS;
    // The bias keeps bit 7 or a higher one set.
    let exponent = 8 - magnitude.leading_zeros().min(8);
    let [_, mantissa] = (magnitude >> (exponent + 3) & 0xf).to_be_bytes();
    let [.., exponent] = exponent.to_be_bytes();
    !(sign | exponent << 4 | mantissa)
}

fn a_law(sample: i16) -> u8 {
    /// Every other bit is turned over, so that silence has edges.
    const EVEN_BITS: u8 = 0x55;
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    let magnitude = magnitude.cast_unsigned() >> 3;
    // Segments 0 and 1 have the same step.
    let segment = 11 - magnitude.leading_zeros().min(11);
    let [_, mantissa] = (magnitude >> segment.max(1) & 0xf).to_be_bytes();
    let [.., segment] = segment.to_be_bytes();
    (sign | segment << 4 | mantissa) ^ EVEN_BITS
}

#[cfg(test)]
mod tests;
