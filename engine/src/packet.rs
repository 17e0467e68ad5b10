//! A frame with its addresses.

use std::net::SocketAddr;

use crate::command::SocketId;
use crate::sys::frames::{Frame, FramePool};

/// Nanoseconds of a clock. Which clock is said by the field that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// `ns` nanoseconds later; the far end of the clock at most.
    #[must_use]
    pub const fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds since `earlier`, 0 if that lies ahead.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A datagram in a frame of the worker's pool.
///
/// ```text
/// 0         start            start+len                 FRAME_SIZE
/// |head room|    payload     |  at least TAIL_ROOM     |
/// ```
#[derive(Debug)]
#[must_use = "a packet owns a frame: send it or give the frame back"]
pub struct Packet {
    /// The frame that holds it.
    pub frame: Frame,
    /// Where in the frame the payload starts.
    pub start: u16,
    /// Bytes of payload.
    pub len: u16,
    /// The local socket.
    pub socket: SocketId,
    /// The far address: source of a received packet, destination of one to be sent.
    pub remote: SocketAddr,
    /// The type-of-service or traffic-class byte that it is sent with; 0 of a received one.
    pub traffic_class: u8,
    /// When the kernel received it (wall clock); of a packet to be sent, when its cause was received.
    pub received: Nanos,
}

impl Packet {
    /// The payload.
    pub fn payload<'p>(&self, frames: &'p FramePool) -> &'p [u8] {
        let start = usize::from(self.start);
        &frames.bytes(&self.frame)[start..start + usize::from(self.len)]
    }

    /// The payload, to be changed in place.
    pub fn payload_mut<'p>(&self, frames: &'p mut FramePool) -> &'p mut [u8] {
        let start = usize::from(self.start);
        &mut frames.bytes_mut(&self.frame)[start..start + usize::from(self.len)]
    }
}
