//! Feedback by transport-wide sequence number
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1), for a source whose numbers do not
//! reach the sinks.
//!
//! Times are held in ticks of 250 µs as 32 bits: their upper 24 are the reference time of a
//! packet, and the wrap of both is the same.

use crate::config::{ARRIVALS_WINDOW, RTCP_MAX};
use crate::packet::Nanos;
use crate::plain::plain;
use crate::rtcp::Writer;

/// Time between two feedback packets at steady traffic.
pub const FEEDBACK_INTERVAL: Nanos = Nanos::from_millis(100);
/// Nanoseconds of a tick.
pub(crate) const TICK_NS: u64 = 250_000;
/// Bits of a tick count below the reference time's unit of 64 ms.
const REFERENCE_SHIFT: u32 = 8;
/// Numbers by which a packet may be late and still be reported again.
const LATE_MAX: u64 = 256;
/// RTCP header, both SSRCs, base, count, reference time and packet count.
const HEAD_LEN: usize = 20;
const BODY_HEAD_LEN: usize = 8;
const BODY_MAX: usize = RTCP_MAX - (HEAD_LEN - BODY_HEAD_LEN);
const PRESENCE_WORDS: usize = ARRIVALS_WINDOW / 64;

/// What a worker keeps for a transport whose numbers it answers itself.
#[derive(Debug, Clone)]
pub struct Answerer {
    /// The extension's id on that transport.
    pub extension: u8,
    /// What arrived and is not told yet.
    pub arrivals: Arrivals,
}

impl Answerer {
    /// One that nothing has arrived at.
    pub fn new(extension: u8) -> Self {
        Self { extension, arrivals: Arrivals::default() }
    }
}

/// When packets of one transport arrived, by transport-wide sequence number.
#[derive(Debug, Clone)]
pub struct Arrivals {
    ticks: [u32; ARRIVALS_WINDOW],
    present: [u64; PRESENCE_WORDS],
    /// First number that the next feedback tells about.
    next: u64,
    /// One past the highest number that arrived; 0 before the first.
    end: u64,
    /// When feedback was last written, or the first packet came.
    told: Nanos,
    packets: u8,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            ticks: [0; ARRIVALS_WINDOW],
            present: [0; PRESENCE_WORDS],
            next: 0,
            end: 0,
            told: Nanos(0),
            packets: 0,
        }
    }
}

impl Arrivals {
    /// Notes that the packet `sequence` arrived at `arrival`. Of duplicates the first counts. What
    /// is not yet told and falls out of the window of [`ARRIVALS_WINDOW`] numbers is forgotten.
    pub fn record(&mut self, sequence: u16, arrival: Nanos) {
        if self.end == 0 {
            // One turn of the numbers is left for packets that the first one overtook.
            self.end = (1 << 16) + u64::from(sequence);
            self.next = self.end;
            self.told = arrival;
        }
        let number = nearest(self.end, sequence);
        if number >= self.end {
            self.advance(number + 1);
        } else if number + LATE_MAX < self.next || number + ARRIVALS_WINDOW as u64 <= self.end {
            return;
        }
        if self.arrival(number).is_none() {
            self.set(number, ticks(arrival));
            self.next = self.next.min(number);
        }
    }

    /// Whether feedback should be written: the interval is over, or half the window is untold.
    pub fn due(&self, now: Nanos) -> bool {
        let untold = self.end - self.next;
        untold > 0
            && (now.since(self.told) >= FEEDBACK_INTERVAL.0 || untold > ARRIVALS_WINDOW as u64 / 2)
    }

    /// Writes one feedback packet to `out` and returns its length; none if all is told or `out`
    /// is shorter than [`RTCP_MAX`]. To be called until there is none.
    pub fn feedback(
        &mut self,
        now: Nanos,
        sender_ssrc: u32,
        media_ssrc: u32,
        out: &mut [u8],
    ) -> Option<usize> {
        if self.next == self.end || out.len() < RTCP_MAX {
            return None;
        }
        self.told = now;
        let mut body = Body { bytes: [0; BODY_MAX], len: BODY_HEAD_LEN };
        let last = self.write_body(&mut body)?;
        let mut writer = Writer::new(out);
        writer.transport_feedback(sender_ssrc, media_ssrc, &body.bytes[..body.len]).ok()?;
        self.next = last;
        self.packets = self.packets.wrapping_add(1);
        Some(writer.len())
    }

    /// Returns one past the last number told.
    #[allow(clippy::cast_possible_truncation)] // numbers and counts have 16 bits on the wire
    fn write_body(&self, body: &mut Body) -> Option<u64> {
        let first = (self.next..self.end).find_map(|number| self.arrival(number))?;
        let reference = first >> REFERENCE_SHIFT;
        let mut symbols = [Symbol::Missing; ARRIVALS_WINDOW];
        let mut count = 0;
        let mut deltas_len = 0;
        let mut previous = reference << REFERENCE_SHIFT;
        for number in self.next..self.end {
            let symbol = match self.arrival(number) {
                None => Symbol::Missing,
                Some(ticks) => match Symbol::of(ticks.wrapping_sub(previous).cast_signed()) {
                    Some(symbol) => {
                        previous = ticks;
                        symbol
                    }
                    None => break,
                },
            };
            let chunks_len = 2 * (count + 1_usize).div_ceil(VECTOR_OF_TWO_BITS);
            if BODY_HEAD_LEN + chunks_len + deltas_len + symbol.delta_len() > BODY_MAX {
                break;
            }
            symbols[count] = symbol;
            count += 1;
            deltas_len += symbol.delta_len();
        }
        body.bytes[..2].copy_from_slice(&(self.next as u16).to_be_bytes());
        body.bytes[2..4].copy_from_slice(&(count as u16).to_be_bytes());
        body.bytes[4..8].copy_from_slice(&(reference << 8 | u32::from(self.packets)).to_be_bytes());
        write_chunks(&symbols[..count], body);
        let last = self.next + count as u64;
        self.write_deltas(last, reference << REFERENCE_SHIFT, body);
        Some(last)
    }

    #[allow(clippy::cast_possible_truncation)] // the symbols were chosen by size
    fn write_deltas(&self, last: u64, reference: u32, body: &mut Body) {
        let mut previous = reference;
        for ticks in (self.next..last).filter_map(|number| self.arrival(number)) {
            let delta = ticks.wrapping_sub(previous).cast_signed();
            previous = ticks;
            match Symbol::of(delta) {
                Some(Symbol::Small) => body.push(&[delta as u8]),
                _ => body.push(&(delta as i16).to_be_bytes()),
            }
        }
    }

    /// Makes `end` the end of the window, and what enters it not arrived.
    fn advance(&mut self, end: u64) {
        let start = end.saturating_sub(ARRIVALS_WINDOW as u64);
        for number in self.end.max(start)..end {
            let (word, bit) = slot(number);
            self.present[word] &= !bit;
        }
        self.end = end;
        self.next = self.next.max(start);
    }

    fn arrival(&self, number: u64) -> Option<u32> {
        let (word, bit) = slot(number);
        (self.present[word] & bit != 0).then(|| self.ticks[index(number)])
    }

    fn set(&mut self, number: u64, ticks: u32) {
        let (word, bit) = slot(number);
        self.present[word] |= bit;
        self.ticks[index(number)] = ticks;
    }
}

/// Symbols of a vector with one bit each, and of one with two.
const VECTOR_OF_ONE_BIT: usize = 14;
const VECTOR_OF_TWO_BITS: usize = 7;

/// How one packet is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Symbol {
    Missing = 0,
    /// Arrived, with a delta of one byte.
    Small = 1,
    /// Arrived, with a delta of two bytes.
    Large = 2,
}

impl Symbol {
    /// None if the delta does not even fit a large one.
    fn of(delta: i32) -> Option<Self> {
        match delta {
            0..=0xff => Some(Self::Small),
            -0x8000..=0x7fff => Some(Self::Large),
            _ => None,
        }
    }

    fn delta_len(self) -> usize {
        self as usize
    }
}

/// Feedback as it came: from its base sequence number on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feedback<'p> {
    base: u16,
    count: u16,
    /// Reference time in ticks.
    reference: u32,
    chunks: &'p [[u8; 2]],
    deltas: &'p [u8],
}

impl<'p> Feedback<'p> {
    /// None if the body is cut off.
    pub(crate) fn parse(body: &'p [u8]) -> Option<Self> {
        let (&[b0, b1, c0, c1, r0, r1, r2, _], rest) = body.split_first_chunk()?;
        let count = u16::from_be_bytes([c0, c1]);
        let mut told = 0;
        let mut chunks = 0;
        let pairs = rest.as_chunks::<2>().0;
        while told < usize::from(count) {
            told += usize::from(Chunk::new(*pairs.get(chunks)?).left);
            chunks += 1;
        }
        Some(Self {
            base: u16::from_be_bytes([b0, b1]),
            count,
            reference: u32::from_be_bytes([0, r0, r1, r2]) << REFERENCE_SHIFT,
            chunks: &pairs[..chunks],
            deltas: &rest[2 * chunks..],
        })
    }

    /// Each packet's number and when it arrived in ticks of the receiver's clock, if it did. Ends
    /// where deltas are missing.
    pub(crate) fn packets(self) -> impl Iterator<Item = (u16, Option<u32>)> + use<'p> {
        let mut chunks = self.chunks.iter();
        let mut chunk = Chunk { bits: 0, left: 0 };
        let (mut arrival, mut deltas) = (self.reference, self.deltas);
        (0..self.count).map_while(move |place| {
            while chunk.left == 0 {
                chunk = Chunk::new(*chunks.next()?);
            }
            let len = match chunk.next() {
                symbol @ (1 | 2) => usize::from(symbol),
                _ => 0,
            };
            let (delta, rest) = deltas.split_at_checked(len)?;
            deltas = rest;
            let delta = match *delta {
                [small] => Some(i32::from(small)),
                [high, low] => Some(i32::from(i16::from_be_bytes([high, low]))),
                _ => None,
            };
            if let Some(delta) = delta {
                arrival = arrival.wrapping_add_signed(delta);
            }
            Some((self.base.wrapping_add(place), delta.map(|_| arrival)))
        })
    }
}

/// A chunk of symbols being read (draft-holmer §3.1.3, §3.1.4).
#[derive(Debug, Clone, Copy)]
struct Chunk {
    bits: u16,
    left: u16,
}

impl Chunk {
    fn new(bytes: [u8; 2]) -> Self {
        let bits = u16::from_be_bytes(bytes);
        let left = match bits >> 14 {
            0 | 1 => bits & 0x1fff,
            2 => 14,
            _ => 7,
        };
        Self { bits, left }
    }

    /// The next symbol; only while some are left.
    fn next(&mut self) -> u8 {
        self.left -= 1;
        let symbol = match self.bits >> 14 {
            0 | 1 => self.bits >> 13,
            2 => self.bits >> self.left & 1,
            _ => self.bits >> (2 * self.left) & 3,
        };
        symbol.to_be_bytes()[1]
    }
}

/// A feedback packet from its base sequence number on.
struct Body {
    bytes: [u8; BODY_MAX],
    len: usize,
}

impl Body {
    /// The caller has reckoned that there is room.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Packs symbols, at least [`VECTOR_OF_TWO_BITS`] to a chunk unless they end (draft-holmer §3.1.2
/// to §3.1.4).
fn write_chunks(mut symbols: &[Symbol], body: &mut Body) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take_while(|symbol| **symbol == first).count();
        let ones = &symbols[..symbols.len().min(VECTOR_OF_ONE_BIT)];
        let one_bit_do = !ones.contains(&Symbol::Large);
        let (chunk, used) = if run >= ones.len() || (run >= VECTOR_OF_TWO_BITS && !one_bit_do) {
            run_length(first, run)
        } else if one_bit_do {
            (vector(0x8000, 1, VECTOR_OF_ONE_BIT, ones), ones.len())
        } else {
            let twos = &symbols[..symbols.len().min(VECTOR_OF_TWO_BITS)];
            (vector(0xc000, 2, VECTOR_OF_TWO_BITS, twos), twos.len())
        };
        body.push(&chunk.to_be_bytes());
        symbols = &symbols[used..];
    }
}

/// A run and its length; the window is shorter than what 13 bits count.
#[allow(clippy::cast_possible_truncation)]
fn run_length(symbol: Symbol, run: usize) -> (u16, usize) {
    ((symbol as u16) << 13 | run as u16, run)
}

fn vector(kind: u16, bits: usize, slots: usize, symbols: &[Symbol]) -> u16 {
    symbols
        .iter()
        .enumerate()
        .fold(kind, |chunk, (at, symbol)| chunk | (*symbol as u16) << (bits * (slots - 1 - at)))
}

#[allow(clippy::cast_possible_truncation)] // ticks wrap
pub(crate) fn ticks(time: Nanos) -> u32 {
    (time.0 / TICK_NS) as u32
}

#[allow(clippy::cast_possible_truncation)] // taken modulo the window
fn index(number: u64) -> usize {
    number as usize % ARRIVALS_WINDOW
}

fn slot(number: u64) -> (usize, u64) {
    let index = index(number);
    (index / 64, 1 << (index % 64))
}

/// The number with the low bits `sequence` that is nearest to `to`, which is at least one turn.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // modulo 2^16
pub(crate) fn nearest(to: u64, sequence: u16) -> u64 {
    to.wrapping_add_signed(i64::from(sequence.wrapping_sub(to as u16) as i16))
}

plain! {
    struct Answerer { extension, arrivals }
    struct Arrivals { ticks, present, next, end, told, packets } if |it| {
        let begun = it.end == 0 || it.end >= 1 << 16;
        begun && it.next <= it.end && it.end - it.next <= ARRIVALS_WINDOW as u64 && it.end < 1 << 56
    };
}

#[cfg(test)]
mod tests;
