//! The portable backend: recvmmsg and sendmmsg on edge-triggered readiness.
//!
//! A socket that became ready is read in turn with the others, one batch each, until a batch comes
//! back short. A short batch means that the socket is empty: what arrives later, an error included,
//! is a new edge.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use arrayvec::ArrayVec;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::IoCounters;
use super::frames::{Frame, FramePool};
use super::slots::Slots;
use super::socket::{self, ADDRESS_LEN, CONTROL_LEN, RawAddress, RawControl, SendControl};
use super::wake::Wake;
use crate::command::SocketId;
use crate::config::{HEAD_ROOM, PAYLOAD_MAX, RX_BATCH, SOCKETS_PER_WORKER, TX_BATCH};
use crate::packet::Packet;

/// Datagrams per system call.
const BATCH: usize = 64;
/// Readiness events per turn; further ones wait for the next.
const EVENTS: usize = 1024;
/// Token of the bell. Socket tokens are 16 bits wide.
const WAKE: Token = Token(usize::MAX);

/// See [`super::Backend`].
pub struct Mmsg {
    poll: Poll,
    events: Events,
    wake: Wake,
    slots: Slots<Ready>,
    /// Sockets that may have something to read, each once, in the order of their turns.
    ready: VecDeque<SocketId>,
    queued: Box<ArrayVec<Packet, TX_BATCH>>,
    /// Frames kept for the next receive, so that an empty socket costs the pool nothing.
    spare: ArrayVec<Frame, BATCH>,
    /// Frames that `spare` may hold: fewer than a batch where the pool is tiny.
    spares: usize,
    headers: Box<Headers>,
    paused: bool,
}

/// Whether a socket is in `ready`.
type Ready = bool;

impl Mmsg {
    pub(super) fn new(frames: &mut FramePool, wake: &Wake) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&wake.as_raw_fd()), WAKE, Interest::READABLE)?;
        let mut mmsg = Self {
            poll,
            events: Events::with_capacity(EVENTS),
            wake: wake.clone(),
            slots: Slots::new(),
            ready: VecDeque::with_capacity(SOCKETS_PER_WORKER),
            queued: Box::default(),
            spare: ArrayVec::new(),
            spares: (frames.capacity() / 2).clamp(1, BATCH),
            headers: Headers::new(),
            paused: false,
        };
        mmsg.refill(frames);
        Ok(mmsg)
    }

    pub(super) fn add_socket(
        &mut self,
        id: SocketId,
        udp: UdpSocket,
    ) -> Result<(), (UdpSocket, io::Error)> {
        let register = || {
            self.slots.check(id)?;
            socket::set_up(&udp)?;
            let token = Token(usize::from(id.0));
            self.poll.registry().register(
                &mut SourceFd(&udp.as_raw_fd()),
                token,
                Interest::READABLE,
            )
        };
        if let Err(error) = register() {
            return Err((udp, error));
        }
        self.slots.fill(id, udp, false);
        Ok(())
    }

    pub(super) fn remove_socket(&mut self, id: SocketId) -> bool {
        let Some(slot) = self.slots.find(id).filter(|slot| !slot.closing) else { return false };
        slot.closing = true;
        // It can fail only for a descriptor that is not registered.
        let _ = self.poll.registry().deregister(&mut SourceFd(&slot.udp.as_raw_fd()));
        if slot.state {
            self.ready.retain(|&other| other != id);
        }
        self.slots.retire(id);
        true
    }

    pub(super) fn closed(&mut self) -> Option<(SocketId, UdpSocket)> {
        self.slots.closed()
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    pub(super) fn receiving(&self) -> bool {
        !self.paused
    }

    pub(super) fn duplicates(&mut self) -> io::Result<Vec<(SocketId, UdpSocket)>> {
        self.slots.duplicates()
    }

    pub(super) fn sockets(&self) -> usize {
        self.slots.used()
    }

    pub(super) fn queue(&mut self, packet: Packet) {
        self.queued.push(packet);
    }

    pub(super) fn room(&self) -> usize {
        self.queued.remaining_capacity()
    }

    pub(super) fn held(&self) -> usize {
        self.spare.len() + self.queued.len()
    }

    pub(super) fn submit(&mut self, frames: &mut FramePool, out: &mut IoCounters) {
        // One call serves one socket, so a socket's packets are brought together, in their order.
        // The place is part of the key because a stable sort would allocate.
        let mut order: ArrayVec<u16, TX_BATCH> = (0..self.queued.len() as u16).collect();
        let queued = &*self.queued;
        order.sort_unstable_by_key(|&n| (queued[usize::from(n)].socket.0, n));
        for run in
            order.chunk_by(|&a, &b| queued[usize::from(a)].socket == queued[usize::from(b)].socket)
        {
            let socket = queued[usize::from(run[0])].socket;
            match self.slots.find(socket) {
                Some(slot) => {
                    for batch in run.chunks(BATCH) {
                        self.headers.send(&slot.udp, queued, batch, frames, out);
                    }
                }
                None => out.closed_socket += run.len() as u64,
            }
        }
        self.queued.drain(..).for_each(|packet| frames.give(packet.frame));
    }

    pub(super) fn turn(
        &mut self,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        wait: Option<Duration>,
        out: &mut IoCounters,
    ) -> io::Result<()> {
        self.submit(frames, out);
        self.refill(frames);
        // Without frames the ready sockets are no reason to stay awake.
        let idle = self.ready.is_empty() || self.spare.is_empty() || self.paused;
        let may_wait = idle && !rx.is_full() && !self.slots.retiring();
        out.calls += 1;
        let polled = self.find_ready(wait.filter(|_| may_wait).unwrap_or_default());
        if !self.paused {
            self.receive(frames, rx, out);
        }
        while self.slots.close_next().is_some() {}
        polled
    }

    pub(super) fn shut_down(mut self, frames: &mut FramePool) -> Vec<(SocketId, UdpSocket)> {
        self.queued.drain(..).for_each(|packet| frames.give(packet.frame));
        self.spare.drain(..).for_each(|frame| frames.give(frame));
        let registry = self.poll.registry();
        let sockets = self.slots.take_all();
        for (_, udp) in &sockets {
            let _ = registry.deregister(&mut SourceFd(&udp.as_raw_fd()));
        }
        sockets
    }

    fn find_ready(&mut self, wait: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        for event in &self.events {
            if event.token() == WAKE {
                self.wake.drain();
                continue;
            }
            let id = SocketId(event.token().0 as u16);
            if let Some(slot) = self.slots.find(id).filter(|slot| !slot.closing && !slot.state) {
                slot.state = true;
                self.ready.push_back(id);
            }
        }
        Ok(())
    }

    /// Reads one batch of each ready socket as long as there is room.
    fn receive(
        &mut self,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        out: &mut IoCounters,
    ) {
        for _ in 0..self.ready.len() {
            self.refill(frames);
            if rx.is_full() {
                return;
            }
            if self.spare.is_empty() {
                out.no_frames += 1;
                return;
            }
            let Some(id) = self.ready.pop_front() else { return };
            let Some(slot) = self.slots.find(id) else { unreachable!("ready sockets exist") };
            slot.state = self.headers.receive(id, &slot.udp, &mut self.spare, frames, rx, out);
            if slot.state {
                self.ready.push_back(id);
            }
        }
    }

    fn refill(&mut self, frames: &mut FramePool) {
        while self.spare.len() < self.spares {
            let Some(frame) = frames.take() else { return };
            self.spare.push(frame);
        }
    }
}

/// What is readable when there are news: a thread that waits for other things too waits on this.
impl AsRawFd for Mmsg {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl std::fmt::Debug for Mmsg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mmsg")
            .field("sockets", &self.slots.used())
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

/// What one system call reads and writes besides payloads. The pointers in it are set before each
/// call and mean nothing after it.
struct Headers {
    messages: [libc::mmsghdr; BATCH],
    vectors: [libc::iovec; BATCH],
    addresses: [RawAddress; BATCH],
    controls: [RawControl; BATCH],
    classes: [SendControl; BATCH],
}

impl Headers {
    fn new() -> Box<Self> {
        // SAFETY: integers, null pointers and byte arrays; all zero is legal for each.
        Box::new(unsafe { std::mem::zeroed() })
    }

    /// Receives into the last of `spare`; what was filled moves to `rx` or back to the pool. Returns
    /// whether the socket may have more.
    fn receive(
        &mut self,
        id: SocketId,
        udp: &UdpSocket,
        spare: &mut ArrayVec<Frame, BATCH>,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        out: &mut IoCounters,
    ) -> bool {
        let asked = spare.len().min(rx.remaining_capacity());
        for (n, frame) in spare.iter().rev().take(asked).enumerate() {
            let room = &mut frames.bytes_mut(frame)[HEAD_ROOM..HEAD_ROOM + PAYLOAD_MAX];
            self.vectors[n] =
                libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            let control = self.controls[n].0.as_mut_ptr();
            self.point(n, ADDRESS_LEN as libc::socklen_t, (control, CONTROL_LEN));
        }
        out.calls += 1;
        // SAFETY: the first `asked` messages point at one vector, address and control buffer each,
        // which are as long as said and live in `self`; each vector spans part of a frame that
        // `spare` keeps.
        let result = unsafe {
            libc::recvmmsg(
                udp.as_raw_fd(),
                self.messages.as_mut_ptr(),
                asked as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(filled) = usize::try_from(result) else {
            // An error that a peer's ICMP has left on a connected socket is gone once it was read.
            return io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock;
        };
        for n in 0..filled {
            let Some(frame) = spare.pop() else { unreachable!("no more is filled than was asked") };
            match self.packet(n, id, frame) {
                Ok(packet) => rx.push(packet),
                Err(frame) => {
                    out.truncated += 1;
                    frames.give(frame);
                }
            }
        }
        filled == asked
    }

    /// The packet that message `n` has become, or its frame if it is empty or was cut.
    fn packet(&self, n: usize, socket: SocketId, frame: Frame) -> Result<Packet, Frame> {
        let message = &self.messages[n];
        let header = &message.msg_hdr;
        let cut = header.msg_flags & libc::MSG_TRUNC != 0 || message.msg_len == 0;
        let Some(remote) = socket::read_address(&self.addresses[n].0).filter(|_| !cut) else {
            return Err(frame);
        };
        let control = &self.controls[n].0[..header.msg_controllen.min(CONTROL_LEN)];
        let received = socket::read_timestamp(control);
        let (start, len) = (HEAD_ROOM as u16, message.msg_len as u16);
        Ok(Packet { frame, start, len, socket, remote, traffic_class: 0, received })
    }

    /// Sends the packets that `batch` names. What the kernel refuses is counted and passed over.
    fn send(
        &mut self,
        udp: &UdpSocket,
        queued: &[Packet],
        batch: &[u16],
        frames: &FramePool,
        out: &mut IoCounters,
    ) {
        for (n, packet) in batch.iter().map(|&at| &queued[usize::from(at)]).enumerate() {
            let payload = packet.payload(frames);
            out.packets_out += 1;
            out.bytes_out += payload.len() as u64;
            let base = payload.as_ptr().cast_mut().cast();
            self.vectors[n] = libc::iovec { iov_base: base, iov_len: payload.len() };
            let address_len = self.addresses[n].set(packet.remote);
            let class = &mut self.classes[n];
            let control_len = class.set(packet.remote, packet.traffic_class, None);
            let control = class.0.as_mut_ptr();
            self.point(n, address_len, (control, control_len));
        }
        let mut done = 0;
        while done < batch.len() {
            out.calls += 1;
            // SAFETY: the messages from `done` to the batch's end point at one vector, address and
            // control buffer each, which are as long as said and live in `self`; each vector spans
            // part of a frame that a queued packet keeps, and the kernel only reads it.
            let result = unsafe {
                libc::sendmmsg(
                    udp.as_raw_fd(),
                    self.messages[done..].as_mut_ptr(),
                    (batch.len() - done) as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(result) {
                Ok(sent) if sent > 0 => done += sent,
                _ => {
                    out.refuse(io::Error::last_os_error().raw_os_error().unwrap_or(0));
                    done += 1;
                }
            }
        }
    }

    /// Points message `n` at its own vector and address, and at a control buffer of so many bytes.
    fn point(
        &mut self,
        n: usize,
        address_len: libc::socklen_t,
        (control, control_len): (*mut u8, usize),
    ) {
        let message = &mut self.messages[n];
        message.msg_len = 0;
        message.msg_hdr.msg_name = self.addresses[n].0.as_mut_ptr().cast();
        message.msg_hdr.msg_namelen = address_len;
        message.msg_hdr.msg_iov = &raw mut self.vectors[n];
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control.cast();
        message.msg_hdr.msg_controllen = control_len;
        message.msg_hdr.msg_flags = 0;
    }
}
