//! Simulcast layers of a stream (RFC 8853): what each sends, and what its packets say to the sinks.
//!
//! A stream without simulcast is one of a single layer that has no name. Which SSRC is which layer
//! the sender says in its first packets (RFC 8852); what a layer costs is measured here, once, and
//! travels with each packet as its [`LayerTag`], so that a sink on whichever worker knows what it
//! may choose from.

use crate::packet::Nanos;
use crate::plain::plain;
use crate::stats::LayerCounters;
use crate::stream::Reception;
use crate::sys::cpu::prefetch;

/// How long after its last packet a layer is held to be sent no more. Senders stop a layer for
/// good or for seconds; the slowest useful video has a picture per second.
pub(crate) const LAYER_DEAD: Nanos = Nanos::from_millis(1000);
/// Shortest time that a rate is measured over: a few pictures.
const RATE_WINDOW: Nanos = Nanos::from_millis(400);

/// What a packet is among the layers of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerTag {
    /// Its layer's place in the description.
    pub(crate) layer: u8,
    /// Whether a picture that needs no other begins with it.
    pub(crate) key_frame: bool,
    /// Bits per second of the layer of late; 0 while unknown.
    pub(crate) bitrate: u32,
}

/// Bits per second, measured over windows that whoever asks closes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    bytes: u64,
    since: Nanos,
    smoothed: u32,
}

impl Rate {
    pub(crate) fn count(&mut self, len: usize, now: Nanos) {
        if self.since == Nanos(0) {
            self.since = now;
        }
        self.bytes += len as u64;
    }

    /// Closes the window if it is long enough.
    pub(crate) fn close(&mut self, now: Nanos) {
        if self.since == Nanos(0) || now.since(self.since) < RATE_WINDOW.0 {
            return;
        }
        let latest = bits_per_second(self.bytes, now.since(self.since));
        self.smoothed = match self.smoothed {
            0 => latest,
            // Silence is no rate to smooth.
            _ if latest == 0 => 0,
            before => before / 2 + latest / 2,
        };
        (self.bytes, self.since) = (0, now);
    }

    /// The smoothed rate; 0 before the first window is closed.
    pub(crate) fn bitrate(&self) -> u32 {
        self.smoothed
    }
}

/// `bytes` in `ns` nanoseconds as bits per second.
#[allow(clippy::cast_possible_truncation)] // held to what 32 bits carry
pub(crate) fn bits_per_second(bytes: u64, ns: u64) -> u32 {
    let bits = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(ns.max(1));
    bits.min(u128::from(u32::MAX)) as u32
}

/// What is kept of one layer that a leg sends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Layer {
    /// SSRC of its media, 0 before its first packet.
    pub(crate) ssrc: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) rate: Rate,
    pub(crate) heard: Nanos,
    pub(crate) reception: Reception,
    pub(crate) key_frame_asked: Nanos,
    pub(crate) key_frame_wanted: bool,
}

impl Layer {
    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.ssrc);
        prefetch(&self.rate);
        prefetch(&self.reception);
        prefetch(&self.key_frame_wanted);
    }

    /// Whether it is being sent.
    pub(crate) fn lives(&self, now: Nanos) -> bool {
        self.heard != Nanos(0) && now.since(self.heard) < LAYER_DEAD.0
    }

    /// Its counters as control reads them.
    pub(crate) fn reading(&self, layer: u8, now: Nanos) -> LayerCounters {
        let bitrate = if self.lives(now) { self.rate.bitrate() } else { 0 };
        LayerCounters { layer, ssrc: self.ssrc, packets: self.packets, bytes: self.bytes, bitrate }
    }
}

plain! {
    struct Layer {
        ssrc, packets, bytes, rate, heard, reception, key_frame_asked, key_frame_wanted,
    }
    struct Rate { bytes, since, smoothed }
}
