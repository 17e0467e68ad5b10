//! Asks for the memory that a batch of packets will use, before they are walked.
//!
//! What a packet needs of its leg was last used 20 ms and thousands of packets ago, so it lies far from the core, at the
//! end of a chain of pointers: leg, transport, keys; stream, pipe, the other leg, its transport, its keys. Walked
//! packet by packet, each step waits for memory. Here each step is made for the whole batch, so that all wait
//! together: 400 calls that are encrypted on both sides cost a sixth less CPU, those on one side a twentieth
//! (bench/README.md).
//!
//! It follows the usual case, the first stream and its first pipe or sink. A wrong guess costs nothing but the hint.

use arrayvec::ArrayVec;

use crate::config::RX_BATCH;
use crate::leg::Leg;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::transport::Transport;

/// A leg that a packet comes from or goes to, and the place of its transport.
type Side<'a> = (&'a Leg, u8);

/// The sides of a batch.
type Sides<'a> = ArrayVec<Side<'a>, RX_BATCH>;

impl Tables {
    /// Asks for what walks of these packets will use.
    pub(crate) fn warm(&self, packets: &[Packet]) {
        let mut from = Sides::new();
        for packet in packets.iter().take(RX_BATCH) {
            let id = self.transport_at(packet.socket, packet.remote);
            if let Some((leg, index)) = id.and_then(|id| Some((self.leg(id.leg)?, id.index))) {
                leg.warm();
                from.push((leg, index));
            }
        }
        for side in &from {
            transport(side).iter().for_each(|transport| transport.warm());
            side.0.streams.first().iter().for_each(|stream| stream.warm());
        }
        for side in &from {
            transport(side).iter().for_each(|transport| transport.warm_inbound());
            side.0.streams.first().iter().for_each(|stream| stream.warm_lists());
        }
        let to: Sides<'_> = from.iter().filter_map(|side| self.target(side)).collect();
        for side in &to {
            transport(side).iter().for_each(|transport| transport.warm());
            side.0.sinks.first().iter().for_each(|sink| sink.warm());
        }
        for side in &to {
            transport(side).iter().for_each(|transport| transport.warm_outbound());
        }
        from.iter().chain(&to).filter_map(transport).for_each(Transport::warm_windows);
    }

    /// Where what comes from this side goes first.
    fn target<'a>(&'a self, side: &Side<'a>) -> Option<Side<'a>> {
        let stream = side.0.streams.first()?;
        let target = match stream.pipes.first() {
            Some(pipe) => (self.leg(pipe.media.leg)?, pipe.media.index),
            None => (self.leg(stream.sinks.first()?.leg)?, 0),
        };
        target.0.warm();
        Some(target)
    }
}

fn transport<'a>((leg, index): &Side<'a>) -> Option<&'a Transport> {
    leg.transports.get(usize::from(*index)).map(Box::as_ref)
}
