//! The unsafe fence: everything that talks to the kernel. Nothing outside of it says `unsafe`.
//!
//! A [`Backend`] moves datagrams between a worker's sockets and frames of its pool, a batch per
//! turn. Both backends behave alike, so that either serves as the other's oracle:
//! - a received payload starts at [`crate::config::HEAD_ROOM`] and has at least
//!   [`crate::config::TAIL_ROOM`] behind it; empty datagrams and those that do not fit are dropped
//!   as truncated;
//! - without free frames datagrams stay in their sockets until frames come back;
//! - a packet leaves with its own traffic class, though its socket serves many; only those that have
//!   one carry a control message;
//! - sending never waits: what the kernel does not take at once is refused and counted;
//! - a socket that was removed delivers nothing any more and comes back through
//!   [`Backend::closed`] once the kernel has let go of it. What was queued before is still sent.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::command::SocketId;
use crate::config::RX_BATCH;
use crate::packet::Packet;

mod buffers;
pub mod cpu;
pub mod frames;
#[cfg(feature = "libsrtp")]
pub(crate) mod libsrtp;
mod mmsg;
mod pace;
pub mod pass;
pub mod probe;
mod runs;
mod slots;
pub mod socket;
mod uring;
pub mod wake;

#[cfg(test)]
mod tests;

use frames::FramePool;
pub use mmsg::Mmsg;
pub use uring::Uring;
use wake::Wake;

/// Which backend it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// io_uring.
    Uring,
    /// recvmmsg and sendmmsg on epoll.
    Mmsg,
}

impl BackendKind {
    /// Its name in configuration, metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
        }
    }
}

/// What io_uring offers here beyond the baseline of kernel 6.1, as found by [`probe::probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// Submission without the index array (6.6).
    pub no_sqarray: bool,
    /// Waiting a little for more packets than one (6.12).
    pub min_wait: bool,
    /// Entering by registered ring descriptor. There are 16 per thread.
    pub ring_fd: bool,
    /// Sending packets of one size to one destination in one message.
    pub segments: bool,
}

/// What a backend did. It only ever adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoCounters {
    /// Datagrams handed to the kernel, the refused ones included.
    pub packets_out: u64,
    /// Bytes of their payloads.
    pub bytes_out: u64,
    /// Datagrams that the kernel refused to send for any other reason.
    pub refused: u64,
    /// Datagrams that the kernel refused to send since they are longer than their path takes and
    /// must not be fragmented.
    pub too_long: u64,
    /// Datagrams dropped because they are empty or longer than a frame holds.
    pub truncated: u64,
    /// Times that a socket could not be read for want of a frame. Its datagrams wait in it.
    pub no_frames: u64,
    /// Receives that ended by themselves and were armed again.
    pub rearms: u64,
    /// Datagrams dropped because their socket is gone or going.
    pub closed_socket: u64,
    /// Datagrams that left in one message with others.
    pub joined: u64,
    /// System calls.
    pub calls: u64,
}

impl IoCounters {
    /// Counts what the kernel has refused, and why.
    fn refuse(&mut self, errno: i32) {
        match errno {
            libc::EMSGSIZE => self.too_long += 1,
            _ => self.refused += 1,
        }
    }
}

/// A worker's way to its sockets. Lives and dies on the thread that made it.
#[derive(Debug)]
pub enum Backend {
    /// See [`BackendKind::Uring`].
    Uring(Box<Uring>),
    /// See [`BackendKind::Mmsg`].
    Mmsg(Box<Mmsg>),
}

macro_rules! either {
    ($self:expr, $backend:ident => $call:expr) => {
        match $self {
            Backend::Uring($backend) => $call,
            Backend::Mmsg($backend) => $call,
        }
    };
}

impl Backend {
    /// Makes a backend of the calling thread. It holds some of `frames` from now on, and its waits
    /// end when `wake` rings.
    ///
    /// # Errors
    /// What the kernel says, io_uring being denied for one.
    pub fn new(
        kind: BackendKind,
        features: Features,
        frames: &mut FramePool,
        wake: &Wake,
    ) -> io::Result<Self> {
        Ok(match kind {
            BackendKind::Uring => Self::Uring(Box::new(Uring::new(features, frames, wake)?)),
            BackendKind::Mmsg => Self::Mmsg(Box::new(Mmsg::new(frames, wake)?)),
        })
    }

    /// Which one it is.
    pub fn kind(&self) -> BackendKind {
        match self {
            Self::Uring(_) => BackendKind::Uring,
            Self::Mmsg(_) => BackendKind::Mmsg,
        }
    }

    /// Lets packets wait for company for so long at most, where that is what saves CPU time and the kernel can.
    pub fn gather(&mut self, longest: Duration) {
        match self {
            Self::Uring(uring) => uring.gather(longest),
            Self::Mmsg(_) => {}
        }
    }

    /// Receives from `udp` from the next turn on.
    ///
    /// # Errors
    /// The socket comes back with `AlreadyExists` if the slot is taken, else with what the kernel
    /// says.
    pub fn add_socket(
        &mut self,
        id: SocketId,
        udp: UdpSocket,
    ) -> Result<(), (UdpSocket, io::Error)> {
        either!(self, backend => backend.add_socket(id, udp))
    }

    /// Stops receiving; [`Self::closed`] hands the socket out once the kernel is done with it.
    /// `false` if there is no such socket or it is going already.
    pub fn remove_socket(&mut self, id: SocketId) -> bool {
        either!(self, backend => backend.remove_socket(id))
    }

    /// A removed socket that the kernel is done with. Its slot is free again.
    pub fn closed(&mut self) -> Option<(SocketId, UdpSocket)> {
        either!(self, backend => backend.closed())
    }

    /// Stops receiving on every socket; what comes stays in it. Sockets added meanwhile wait too.
    pub fn pause(&mut self) {
        either!(self, backend => backend.pause());
    }

    /// Receives again.
    pub fn resume(&mut self) {
        either!(self, backend => backend.resume());
    }

    /// Whether a paused backend may still hand out a datagram by a later turn.
    pub fn receiving(&self) -> bool {
        either!(self, backend => backend.receiving())
    }

    /// A second descriptor of each socket that is not going.
    ///
    /// # Errors
    /// What the kernel says: no descriptors left.
    pub fn duplicates(&mut self) -> io::Result<Vec<(SocketId, UdpSocket)>> {
        either!(self, backend => backend.duplicates())
    }

    /// Sockets held, those that are going included.
    pub fn sockets(&self) -> usize {
        either!(self, backend => backend.sockets())
    }

    /// Queues a packet for the next submit, which gives its frame back to the pool.
    ///
    /// # Panics
    /// If there is no [`Self::room`].
    pub fn queue(&mut self, packet: Packet) {
        either!(self, backend => backend.queue(packet));
    }

    /// Packets that can be queued before the next submit.
    pub fn room(&self) -> usize {
        either!(self, backend => backend.room())
    }

    /// Sends what is queued without waiting.
    pub fn submit(&mut self, frames: &mut FramePool, out: &mut IoCounters) {
        either!(self, backend => backend.submit(frames, out));
    }

    /// Sends what is queued, waits at most `wait` for a packet or the bell (`None`: not at all),
    /// and appends what came to `rx`.
    ///
    /// # Errors
    /// Only what no later turn would cure.
    pub fn turn(
        &mut self,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        wait: Option<Duration>,
        out: &mut IoCounters,
    ) -> io::Result<()> {
        either!(self, backend => backend.turn(frames, rx, wait, out))
    }

    /// Frames that the backend holds: given to the kernel or kept for the next receive, and queued.
    pub fn held(&self) -> usize {
        either!(self, backend => backend.held())
    }

    /// Ends everything, gives all frames back and hands the sockets out. Queued packets are lost;
    /// datagrams that were not received yet stay in their sockets.
    pub fn shut_down(self, frames: &mut FramePool) -> Vec<(SocketId, UdpSocket)> {
        either!(self, backend => backend.shut_down(frames))
    }
}
