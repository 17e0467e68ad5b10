//! Copies of what comes on a leg, for whoever records it.
//!
//! They go up through a ring of their own, which control's actors have nothing to do with: who records may
//! write to a disk and wait for it. When the ring is full, the record has a gap, which is counted, and the call
//! goes on.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::command::TransportId;
use crate::config::PAYLOAD_MAX;
use crate::error::DropReason;
use crate::packet::{Nanos, Packet};
use crate::worker::Worker;

/// A packet that has come, decrypted: RTP, RTCP, or what else the leg carries.
#[derive(Debug, Clone)]
pub struct Tapped {
    /// Where it came in.
    pub transport: TransportId,
    /// Where it came from.
    pub remote: SocketAddr,
    /// When the kernel received it, by the wall clock.
    pub received: Nanos,
    /// Its bytes.
    pub bytes: ArrayVec<u8, PAYLOAD_MAX>,
}

impl Worker {
    /// Hands up a copy of a packet that lies decrypted in its frame.
    pub(crate) fn tap(&mut self, transport: TransportId, packet: &Packet) {
        let bytes = packet.payload(&self.frames).iter().copied().collect();
        let Packet { remote, received, .. } = *packet;
        let tapped = Tapped { transport, remote, received, bytes };
        if self.taps.push(tapped).is_err() {
            self.drop_for(DropReason::TapRingFull);
        }
    }
}
