//! The ring from one thread to another: for calls whose legs sit on different cores, for streams of the
//! edge and for what is relayed to media of another core.
//!
//! A frame never leaves its pool, so a hop copies the plain packet into a slot of a ring, one per
//! ordered pair of workers, made on first use. A full ring is a counted drop.

use std::fmt;

use arrayvec::ArrayVec;

use std::net::SocketAddr;

use crate::command::{LegId, SinkId, SocketId, StreamId, WorkerId};
use crate::config::{HOP_RING, PAYLOAD_MAX, THREADS_MAX, WORKERS_MAX};
use crate::error::DropReason;
use crate::layers::LayerTag;
use crate::packet::Nanos;
use crate::ring::{Receiver, Sender, ring};
use crate::route::Passing;
use crate::sys::wake::Wake;

/// What a hopping packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HopKind {
    /// Plain RTP for a sink.
    Media { sink: SinkId, passing: Passing, layer: Option<LayerTag> },
    /// Plain RTCP as it came from the sink's source.
    Reports { sink: SinkId },
    /// Plain RTCP feedback of the leg `from`, already in the stream's own numbers.
    Feedback { stream: StreamId, from: LegId, asked: Asked },
    /// A datagram as it came in, or as if it had come in, for a socket of another thread.
    Arrival { to: WorkerId, socket: SocketId, remote: SocketAddr },
    /// A datagram for the far side of a stream of the edge.
    Departure { remote: SocketAddr },
    /// Data of a peer for the client of an allocation.
    Relayed { thread: WorkerId, slot: u16, relayed: SocketAddr, peer: SocketAddr },
    /// No bytes: the stream shall send a key frame, of this layer if one is named.
    KeyFrame { stream: StreamId, layer: Option<u8> },
}

/// What feedback asks a source for, to be counted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Packets again.
    pub(crate) nacks: u16,
    /// Key frames.
    pub(crate) key_frames: u16,
}

/// A packet between two workers.
pub(crate) struct Hop {
    pub(crate) kind: HopKind,
    pub(crate) received: Nanos,
    pub(crate) bytes: ArrayVec<u8, PAYLOAD_MAX>,
}

impl Hop {
    pub(crate) fn new(kind: HopKind, received: Nanos, payload: &[u8]) -> Self {
        let mut bytes = ArrayVec::new();
        let _ = bytes.try_extend_from_slice(payload);
        Self { kind, received, bytes }
    }
}

/// The sending end of a ring to another worker.
pub struct HopSender {
    ring: Sender<Hop>,
    wake: Wake,
    pushed: bool,
}

/// The receiving end of a ring from another worker.
pub struct HopReceiver(Receiver<Hop>);

impl fmt::Debug for HopSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HopSender")
    }
}

impl fmt::Debug for HopReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HopReceiver")
    }
}

/// Makes a ring to the worker that `wake` wakes.
pub(crate) fn pair(wake: Wake) -> (Box<HopSender>, Box<HopReceiver>) {
    let (sender, receiver) = ring(HOP_RING);
    (Box::new(HopSender { ring: sender, wake, pushed: false }), Box::new(HopReceiver(receiver)))
}

/// One worker's ends of its rings.
#[derive(Default)]
pub(crate) struct Hops {
    to: ArrayVec<Option<Box<HopSender>>, THREADS_MAX>,
    from: ArrayVec<(WorkerId, Box<HopReceiver>), THREADS_MAX>,
}

impl Hops {
    /// Takes the ring to `to`; one that is there already comes back.
    pub(crate) fn add_to(
        &mut self,
        to: WorkerId,
        end: Box<HopSender>,
    ) -> Result<(), Box<HopSender>> {
        let place = usize::from(to.0);
        if place >= THREADS_MAX {
            return Err(end);
        }
        while self.to.len() <= place {
            self.to.push(None);
        }
        if self.to[place].is_some() {
            return Err(end);
        }
        self.to[place] = Some(end);
        Ok(())
    }

    /// Takes the ring from `from`; one that is there already comes back.
    pub(crate) fn add_from(
        &mut self,
        from: WorkerId,
        end: Box<HopReceiver>,
    ) -> Result<(), Box<HopReceiver>> {
        if self.from.iter().any(|(worker, _)| *worker == from) || self.from.is_full() {
            return Err(end);
        }
        self.from.push((from, end));
        Ok(())
    }

    /// The workers that it hands packets to.
    pub(crate) fn targets(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let places = (0u16..).zip(&self.to).take(WORKERS_MAX);
        places.filter(|(_, end)| end.is_some()).map(|(worker, _)| WorkerId(worker))
    }

    /// Queues a packet for the worker that its kind names.
    pub(crate) fn push(&mut self, hop: Hop) -> Result<(), DropReason> {
        let worker = match hop.kind {
            HopKind::Media { sink, .. } | HopKind::Reports { sink } => sink.leg.worker,
            HopKind::Feedback { stream, .. } | HopKind::KeyFrame { stream, .. } => {
                stream.leg.worker
            }
            HopKind::Arrival { to, .. } => to,
            HopKind::Departure { .. } => WorkerId::EDGE,
            HopKind::Relayed { thread, .. } => thread,
        };
        let end = self.to.get_mut(usize::from(worker.0)).and_then(Option::as_mut);
        let end = end.ok_or(DropReason::HopRing)?;
        end.pushed = true;
        end.ring.push(hop).map_err(|_| DropReason::HopRing)
    }

    /// Wakes, once, each worker that was given something.
    pub(crate) fn wake(&mut self) {
        for end in self.to.iter_mut().flatten() {
            if std::mem::take(&mut end.pushed) {
                end.wake.wake();
            }
        }
    }

    pub(crate) fn has_input(&self) -> bool {
        self.from.iter().any(|(_, end)| !end.0.is_empty())
    }

    /// The next packet from any worker; `turn` says who comes first, so that none starves.
    pub(crate) fn pop(&mut self, turn: usize) -> Option<Hop> {
        let count = self.from.len();
        (0..count).find_map(|step| self.from[(turn + step) % count].1.0.pop())
    }
}
