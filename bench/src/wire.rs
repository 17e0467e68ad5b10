//! A station's sockets: the engine's own I/O, with a frame for each datagram.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use arrayvec::ArrayVec;
use causeway_engine::command::SocketId;
use causeway_engine::config::{HEAD_ROOM, RX_BATCH};
use causeway_engine::packet::{Nanos, Packet};
use causeway_engine::sys::frames::FramePool;
use causeway_engine::sys::probe::Probed;
use causeway_engine::sys::wake::Wake;
use causeway_engine::sys::{Backend, IoCounters, socket};

/// Frames of a station.
const FRAMES: usize = 8192;

/// Sends and receives datagrams of many sockets, a batch per turn.
pub struct Wire {
    backend: Backend,
    frames: FramePool,
    counters: IoCounters,
    no_room: u64,
    rx: Box<ArrayVec<Packet, RX_BATCH>>,
}

impl Wire {
    /// To be made by the thread that uses it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(probed: &Probed) -> io::Result<Self> {
        let mut frames = FramePool::new(FRAMES)?;
        let backend = Backend::new(probed.kind, probed.features, &mut frames, &Wake::new()?)?;
        Ok(Self {
            backend,
            frames,
            counters: IoCounters::default(),
            no_room: 0,
            rx: Box::default(),
        })
    }

    /// Receives from a socket from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add(&mut self, id: SocketId, udp: UdpSocket) -> io::Result<()> {
        self.backend.add_socket(id, udp).map_err(|(_, error)| error)
    }

    /// Stops to receive from a socket; [`Self::closed`] says when it is gone.
    pub fn remove(&mut self, id: SocketId) {
        self.backend.remove_socket(id);
    }

    /// A socket that is gone, and the datagrams that it had to drop for want of room.
    pub fn closed(&mut self) -> Option<(SocketId, u64)> {
        let (id, udp) = self.backend.closed()?;
        Some((id, socket::drops(&udp).unwrap_or(0).into()))
    }

    /// Queues a datagram that `fill` writes, with the length that it returns; it goes out with the next turn.
    /// `false` if there is no room, and `fill` was not asked, or nothing was filled in.
    pub fn send(
        &mut self,
        id: SocketId,
        remote: SocketAddr,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        if self.backend.room() == 0 {
            self.backend.submit(&mut self.frames, &mut self.counters);
        }
        let frame = if self.backend.room() > 0 { self.frames.take() } else { None };
        let Some(frame) = frame else {
            self.no_room += 1;
            return false;
        };
        let Some(len) = fill(&mut self.frames.bytes_mut(&frame)[HEAD_ROOM..]) else {
            self.frames.give(frame);
            return false;
        };
        self.backend.queue(Packet {
            frame,
            start: HEAD_ROOM as u16,
            len: len as u16,
            socket: id,
            remote,
            traffic_class: 0,
            received: Nanos::default(),
        });
        true
    }

    /// Sends what is queued.
    pub fn flush(&mut self) {
        self.backend.submit(&mut self.frames, &mut self.counters);
    }

    /// Sends what is queued and waits at most so long for datagrams, which go to `each`: socket,
    /// sender, bytes, and the kernel's receive time.
    ///
    /// # Errors
    /// What no later turn would cure.
    pub fn turn(
        &mut self,
        wait: Option<Duration>,
        mut each: impl FnMut(SocketId, SocketAddr, &mut [u8], Nanos),
    ) -> io::Result<()> {
        self.backend.turn(&mut self.frames, &mut self.rx, wait, &mut self.counters)?;
        for packet in self.rx.drain(..) {
            each(
                packet.socket,
                packet.remote,
                packet.payload_mut(&mut self.frames),
                packet.received,
            );
            self.frames.give(packet.frame);
        }
        Ok(())
    }

    /// Datagrams that never left: refused by the kernel, or without room to wait for it.
    pub fn unsent(&self) -> u64 {
        self.counters.refused + self.no_room
    }
}
