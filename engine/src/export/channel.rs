//! Messages between the two processes of a hand-over: a length, then a [`Message`].
//!
//! Everything that comes is bounded and may come from anyone who got hold of the socket: the worst that
//! it can do is to end the hand-over.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use socket2::{SockRef, Type};
use zeroize::Zeroizing;

use crate::command::{LegId, SocketId, WorkerId};
use crate::config::{LEG_STATE_MAX, SOCKETS_PER_WORKER, WORKERS_MAX};
use crate::packet::Nanos;
use crate::plain::{Plain, Reader, Unreadable, Writer, plain};
use crate::sys::pass::{self, PASS_MAX};

/// First in every hand-over.
pub(super) const MAGIC: u32 = 0x6361_7773;
/// Bytes of a message besides a leg's state, at most.
const MESSAGE_MAX: usize = LEG_STATE_MAX + 4096;
/// Bytes that are gathered before they are sent, or received at once.
const CHUNK: usize = 64 * 1024;
const LENGTH_LEN: usize = 4;

/// Why the other process cannot be talked to any more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It has closed its end.
    #[error("the other process is gone")]
    Gone,
    /// It did not answer in time.
    #[error("the other process did not answer in time")]
    Late,
    /// What it says makes no sense.
    #[error("the other process says what makes no sense: {0}")]
    Senseless(#[from] Unreadable),
    /// It has sent a message out of turn, or no socket where one was due.
    #[error("the other process sent something out of turn: {0}")]
    Unexpected(&'static str),
    /// The kernel refused.
    #[error("the socket to the other process: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

/// What the two processes say to each other.
pub(super) enum Message {
    /// New → old: it is ready to take that much.
    Hello { magic: u32, version: u16, layout: u64, workers: u16, legs: u32 },
    /// Old → new: its workers are quiet.
    Begin {},
    /// Old → new: a worker's state follows.
    Worker { worker: WorkerId, taken: Nanos, hops: ArrayVec<WorkerId, WORKERS_MAX> },
    /// Old → new: a leg; its state follows behind, up to the message's end.
    Leg { leg: LegId },
    /// Old → new: sockets of that worker, whose descriptors come with the message.
    Sockets { sockets: ArrayVec<SocketId, PASS_MAX> },
    /// Old → new: that was all.
    End { legs: u32, sockets: u32 },
    /// New → old: everything is installed.
    Installed {},
    /// New → old: it will not do.
    Refused { reason: String },
    /// Old → new: serve.
    Yours {},
}

plain! {
    enum Message {
        Hello { magic, version, layout, workers, legs } = 1,
        Begin {} = 2,
        Worker { worker, taken, hops } = 3,
        Leg { leg } = 4,
        Sockets { sockets } = 5,
        End { legs, sockets } = 6,
        Installed {} = 7,
        Refused { reason } = 8,
        Yours {} = 9,
    }
}

/// One end of the conversation.
pub(super) struct Channel<'s> {
    stream: &'s UnixStream,
    deadline: Instant,
    out: Zeroizing<Vec<u8>>,
    /// What has come: from `read` on it is not told yet.
    came: Zeroizing<Vec<u8>>,
    read: usize,
    descriptors: VecDeque<OwnedFd>,
}

impl<'s> Channel<'s> {
    /// One whose first answer must come within `patience`.
    pub(super) fn new(stream: &'s UnixStream, patience: Duration) -> Self {
        Self {
            stream,
            deadline: Instant::now() + patience,
            out: Zeroizing::new(Vec::with_capacity(CHUNK + LENGTH_LEN + MESSAGE_MAX)),
            came: Zeroizing::new(Vec::with_capacity(2 * CHUNK + MESSAGE_MAX)),
            read: 0,
            descriptors: VecDeque::new(),
        }
    }

    /// Everything must be over within `patience` from now.
    pub(super) fn hurry(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
    }

    /// What is left until everything must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Says something; `state` goes behind it.
    pub(super) fn say(&mut self, message: &Message, state: &[u8]) -> Result<(), Broken> {
        self.gather(message, state);
        if self.out.len() >= CHUNK || !matches!(message, Message::Leg { .. }) {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends sockets, as many at a time as a message takes.
    pub(super) fn say_sockets(&mut self, sockets: &[(SocketId, UdpSocket)]) -> Result<(), Broken> {
        for some in sockets.chunks(PASS_MAX) {
            self.flush()?;
            let ids = some.iter().map(|(id, _)| *id).collect();
            self.gather(&Message::Sockets { sockets: ids }, &[]);
            let descriptors: ArrayVec<_, PASS_MAX> =
                some.iter().map(|(_, udp)| udp.as_fd()).collect();
            self.in_time(|stream, left| stream.set_write_timeout(Some(left)))?;
            pass::send(self.stream, &self.out, &descriptors)?;
            self.out.clear();
        }
        Ok(())
    }

    fn gather(&mut self, message: &Message, state: &[u8]) {
        let mut writer = Writer::new(Nanos(0));
        message.write(&mut writer);
        let message = writer.finish();
        let len = u32::try_from(message.len() + state.len()).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(&message);
        self.out.extend_from_slice(state);
    }

    fn flush(&mut self) -> Result<(), Broken> {
        if !self.out.is_empty() {
            self.in_time(|stream, left| stream.set_write_timeout(Some(left)))?;
            pass::send(self.stream, &self.out, &[])?;
            self.out.clear();
        }
        Ok(())
    }

    /// The next message; `state` is given what goes behind it.
    pub(super) fn hear<T>(
        &mut self,
        take: impl FnOnce(Message, &[u8]) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let length = self.wait_for(LENGTH_LEN)?;
        let length = u32::from_le_bytes(length.try_into().map_err(|_| Unreadable::Short)?) as usize;
        if length > MESSAGE_MAX {
            return Err(Unreadable::Bound { len: length, max: MESSAGE_MAX }.into());
        }
        self.wait_for(LENGTH_LEN + length)?;
        let whole = &self.came[self.read + LENGTH_LEN..][..length];
        let mut reader = Reader::new(whole, Nanos(0));
        let message = Message::read(&mut reader)?;
        let state = reader.rest();
        if !state.is_empty() && !matches!(message, Message::Leg { .. }) {
            return Err(Unreadable::Long.into());
        }
        let taken = take(message, state)?;
        self.read += LENGTH_LEN + length;
        Ok(taken)
    }

    /// A socket that came with the message that names it.
    pub(super) fn socket(&mut self) -> Result<UdpSocket, Broken> {
        let descriptor = self.descriptors.pop_front();
        let descriptor =
            descriptor.ok_or(Broken::Unexpected("a socket's name without the socket"))?;
        if SockRef::from(&descriptor).r#type()? != Type::DGRAM {
            return Err(Broken::Unexpected("a descriptor that is no UDP socket"));
        }
        Ok(UdpSocket::from(descriptor))
    }

    /// Whether descriptors have come that no message has named.
    pub(super) fn has_unnamed(&self) -> bool {
        !self.descriptors.is_empty()
    }

    /// Waits until `len` bytes are there.
    fn wait_for(&mut self, len: usize) -> Result<&[u8], Broken> {
        while self.came.len() - self.read < len {
            self.in_time(|stream, left| stream.set_read_timeout(Some(left)))?;
            self.came.drain(..self.read);
            self.read = 0;
            let end = self.came.len();
            self.came.resize(end + CHUNK, 0);
            let got = pass::receive(self.stream, &mut self.came[end..], &mut self.descriptors);
            self.came.truncate(end + *got.as_ref().unwrap_or(&0));
            if got? == 0 {
                return Err(Broken::Gone);
            }
            if self.descriptors.len() > SOCKETS_PER_WORKER {
                return Err(Broken::Unexpected("more sockets than a worker has"));
            }
        }
        Ok(&self.came[self.read..][..len])
    }

    fn in_time(
        &self,
        set: impl FnOnce(&UnixStream, Duration) -> io::Result<()>,
    ) -> Result<(), Broken> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Broken::Late);
        }
        Ok(set(self.stream, left)?)
    }
}
