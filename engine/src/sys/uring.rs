//! The io_uring backend: multishot receives into a ring of frames, sends and waiting in one enter.
//!
//! Measured reasons for its shape: deferred task work saves up to 30 % under load; fixed files and
//! `SEND` with an address are the cheapest way to send to many peers from one socket; zero copy and
//! kernel polling cost more than they save with packets of our size.
//!
//! Packets of one size to one destination leave in one message ([`super::runs`]): at 60 calls of video that is
//! a tenth less CPU, at 20, whose turns bring a few packets each, nothing (bench/README.md). Phones of SIP
//! peers have a socket each, and it is not connected to its peer: the look-up of the route that this would save is
//! 2 % of what a packet costs (`perf record`), and a connected socket hears nobody else, so that a phone that moves
//! would be lost.
//!
//! A multishot receive hands over at most 32 packets per enter. It ends for want of buffers, on an
//! empty datagram and on a socket error; whenever a completion lacks `F_MORE` it is armed again, as
//! soon as the kernel has a frame to receive into.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::time::Duration;

use arrayvec::ArrayVec;
use io_uring::types::{CancelBuilder, Fd, Fixed, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use super::buffers::BufferRing;
use super::frames::FramePool;
use super::pace::Pace;
use super::runs::{Run, Runs};
use super::slots::Slots;
use super::socket::{self, ADDRESS_LEN, CONTROL_LEN, RawAddress, SendControl};
use super::wake::Wake;
use super::{Features, IoCounters};
use crate::command::SocketId;
use crate::config::{HEAD_ROOM, PAYLOAD_MAX, RX_BATCH, SOCKETS_PER_WORKER, TX_BATCH};
use crate::packet::Packet;

/// Submission entries: a full batch of sends, and as many receives to arm or cancel.
const SQ_ENTRIES: u32 = 2 * TX_BATCH as u32;
/// Completion entries. More than that at once waits in the kernel.
const CQ_ENTRIES: u32 = 4096;
/// The buffer group of all receives.
const GROUP: u16 = 0;
/// Bytes that the kernel writes before a payload: its header, the address, the time stamp.
const PREFIX: usize = 16 + ADDRESS_LEN + CONTROL_LEN;
/// Where in a chunk the kernel starts to write, so that payloads start at HEAD_ROOM.
const PREFIX_START: usize = HEAD_ROOM - PREFIX;
/// How long to wait for receives to end when the backend is dropped, per try and in tries.
const QUIESCE_WAIT: Duration = Duration::from_millis(100);
const QUIESCE_TRIES: usize = 20;

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;

const _: () = assert!(PREFIX_START.is_multiple_of(4) && PREFIX_START + PREFIX == HEAD_ROOM);

/// What a completion is about, in the upper half of its user data; the lower half is the socket.
const RECEIVE: u32 = 1;
const SEND: u32 = 2;
const CANCEL: u32 = 3;
const WAKE: u32 = 4;
/// A message of several packets; the lower half is its run, and below [`TURNS`] the turn that it is of.
const JOINED: u32 = 5;
/// Where the number of a run begins in its user data.
const TURNS: u32 = 16;

/// See [`super::Backend`].
// The order of the fields is the order of their end: the queues write to the ring's memory when
// they are dropped, and the kernel reads the buffer ring until the ring's descriptor is closed.
pub struct Uring {
    submitter: Submitter<'static>,
    sq: SubmissionQueue<'static>,
    cq: CompletionQueue<'static>,
    _ring: Ring,
    buffers: BufferRing,
    features: Features,
    pace: Pace,
    wake: Wake,
    wake_armed: bool,
    slots: Slots<Receive>,
    /// Size of the kernel's file table.
    files: u32,
    /// Sockets whose receive is to be armed, each once.
    arm: Vec<SocketId>,
    /// Sockets whose receive is to be cancelled.
    cancel: Vec<SocketId>,
    queued: Box<ArrayVec<Packet, TX_BATCH>>,
    /// Packets at the front of `queued` that the kernel would not take with others. They go by themselves.
    apart: usize,
    /// Packets that are in the submission queue, or whose message the kernel may yet refuse.
    sending: Box<ArrayVec<Packet, TX_BATCH>>,
    /// Those that leave together.
    runs: Box<Runs>,
    /// Counts the batches of sends.
    batch: u16,
    /// Runs of this batch that were refused.
    refused: Box<ArrayVec<Run, TX_BATCH>>,
    /// Where the payload of each packet is, a run's one behind the other.
    vectors: Box<[libc::iovec]>,
    addresses: Box<[RawAddress]>,
    /// What a send that is more than payload and address says.
    messages: Box<[Message]>,
    /// Says to each receive how much room address and control messages have.
    layout: Box<libc::msghdr>,
    /// Receives that the kernel holds.
    armed: usize,
    /// No receive is armed.
    paused: bool,
}

/// Where a socket's receive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receive {
    /// In `arm`.
    Listed,
    /// In the kernel.
    Armed,
    /// Ended for good.
    Ended,
}

impl Uring {
    pub(super) fn new(features: Features, frames: &mut FramePool, wake: &Wake) -> io::Result<Self> {
        let ring = Ring::new(build(features.no_sqarray, SQ_ENTRIES, CQ_ENTRIES)?);
        let (submitter, sq, cq) = ring.split();
        let files = file_table_size()?;
        submitter.register_files_sparse(files)?;
        let len = (PREFIX + PAYLOAD_MAX) as u32;
        let buffers = BufferRing::new(&submitter, frames, GROUP, PREFIX_START, len)?;
        let mut uring = Self {
            submitter,
            sq,
            cq,
            _ring: ring,
            buffers,
            features,
            pace: Pace::new(Duration::ZERO),
            wake: wake.clone(),
            wake_armed: false,
            slots: Slots::new(),
            files,
            arm: Vec::with_capacity(SOCKETS_PER_WORKER),
            cancel: Vec::with_capacity(SOCKETS_PER_WORKER),
            queued: Box::default(),
            apart: 0,
            sending: Box::default(),
            runs: Box::new(Runs::new()),
            batch: 0,
            refused: Box::default(),
            vectors: vec![EMPTY_VECTOR; TX_BATCH].into_boxed_slice(),
            addresses: vec![RawAddress::default(); TX_BATCH].into_boxed_slice(),
            messages: (0..TX_BATCH).map(|_| Message::empty()).collect(),
            layout: Box::new(layout()),
            armed: 0,
            paused: false,
        };
        if features.ring_fd {
            uring.submitter.register_ring_fd()?;
        }
        uring.buffers.refill(frames);
        Ok(uring)
    }

    pub(super) fn gather(&mut self, longest: Duration) {
        self.pace = Pace::new(longest);
    }

    pub(super) fn add_socket(
        &mut self,
        id: SocketId,
        udp: UdpSocket,
    ) -> Result<(), (UdpSocket, io::Error)> {
        let register = || {
            self.slots.check(id)?;
            if u32::from(id.0) >= self.files {
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
            socket::set_up(&udp)?;
            self.submitter.register_files_update(u32::from(id.0), &[udp.as_raw_fd()])
        };
        if let Err(error) = register() {
            return Err((udp, error));
        }
        self.slots.fill(id, udp, Receive::Listed);
        self.arm.push(id);
        Ok(())
    }

    pub(super) fn remove_socket(&mut self, id: SocketId) -> bool {
        let Some(slot) = self.slots.find(id).filter(|slot| !slot.closing) else { return false };
        slot.closing = true;
        if slot.state == Receive::Armed {
            self.cancel.push(id);
        } else {
            slot.state = Receive::Ended;
            self.arm.retain(|&other| other != id);
            self.slots.retire(id);
        }
        true
    }

    pub(super) fn closed(&mut self) -> Option<(SocketId, UdpSocket)> {
        self.slots.closed()
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
        let armed = self.slots.staying().filter(|(_, slot)| slot.state == Receive::Armed);
        self.cancel.extend(armed.map(|(id, _)| id));
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    pub(super) fn receiving(&self) -> bool {
        !self.paused || self.armed > 0
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
        self.buffers.held() + self.queued.len() + self.sending.len()
    }

    pub(super) fn submit(&mut self, frames: &mut FramePool, out: &mut IoCounters) {
        self.stage_sends(frames, out);
        if !self.sq.is_empty() {
            // What could not be submitted stays staged, and the next turn reports a lasting error.
            let _ = self.enter(None, 0, out);
        }
        // What became of joined packets only the completions tell, which the next turn reads.
        if !self.runs.has_long() {
            self.release(frames, out);
        }
    }

    pub(super) fn turn(
        &mut self,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        wait: Option<Duration>,
        out: &mut IoCounters,
    ) -> io::Result<()> {
        self.stage_sends(frames, out);
        self.buffers.refill(frames);
        self.stage_control();
        let wait = wait.filter(|_| !rx.is_full() && self.may_wait());
        let entered = self.enter(wait, ENTER_GETEVENTS, out);
        let before = rx.len();
        self.reap(frames, rx, out);
        self.release(frames, out);
        self.pace.learn(rx.len() - before);
        self.free_retired();
        entered
    }

    pub(super) fn shut_down(mut self, frames: &mut FramePool) -> Vec<(SocketId, UdpSocket)> {
        let quiet = self.quiesce();
        self.queued.drain(..).for_each(|packet| frames.give(packet.frame));
        self.sending.drain(..).for_each(|packet| frames.give(packet.frame));
        if quiet {
            self.buffers.take_all(frames);
        }
        self.slots.take_all()
    }

    /// Turns queued packets into submission entries.
    fn stage_sends(&mut self, frames: &mut FramePool, out: &mut IoCounters) {
        let room = self.sq.capacity() - self.sq.len();
        if !self.sending.is_empty() || room < self.queued.len() {
            return;
        }
        for (place, packet) in self.queued.drain(..).enumerate() {
            if self.slots.find(packet.socket).is_none() {
                out.closed_socket += 1;
                frames.give(packet.frame);
                continue;
            }
            if place >= self.apart {
                out.packets_out += 1;
                out.bytes_out += u64::from(packet.len);
            }
            self.sending.push(packet);
        }
        self.runs.find(&self.sending, self.features.segments && self.apart == 0);
        (self.apart, self.batch) = (0, self.batch.wrapping_add(1));
        let mut vectors = 0;
        for index in 0..self.runs.len() {
            let Some(run) = self.runs.run(index) else { break };
            let entry = self.entry(index, run, vectors, frames);
            vectors += usize::from(run.packets);
            // SAFETY: a UDP send with MSG_DONTWAIT is done when enter has consumed its entry, for
            // good or ill; until then `sending` keeps the frames, and `addresses`, `vectors` and `messages`
            // keep what the entry points at in places of this run's own.
            let pushed = unsafe { self.sq.push(&entry.flags(squeue::Flags::SKIP_SUCCESS)) };
            pushed.expect("room was checked");
        }
    }

    /// What sends a run, whose payloads are told from this place of `vectors` on.
    fn entry(
        &mut self,
        index: usize,
        run: Run,
        vectors: usize,
        frames: &FramePool,
    ) -> squeue::Entry {
        let packet = &self.sending[run.first()];
        let address = &mut self.addresses[index];
        let address_len = address.set(packet.remote);
        let socket = Fixed(u32::from(packet.socket.0));
        if run.packets == 1 && packet.traffic_class == 0 {
            let payload = packet.payload(frames);
            return opcode::Send::new(socket, payload.as_ptr(), payload.len() as u32)
                .flags(libc::MSG_DONTWAIT)
                .dest_addr(address.0.as_ptr().cast())
                .dest_addr_len(address_len)
                .build()
                .user_data(about(SEND, packet.socket));
        }
        let own = &mut self.vectors[vectors..][..usize::from(run.packets)];
        for (vector, place) in own.iter_mut().zip(self.runs.places(run)) {
            let payload = self.sending[place].payload(frames);
            let base = payload.as_ptr().cast_mut().cast();
            *vector = libc::iovec { iov_base: base, iov_len: payload.len() };
        }
        let segment = (run.packets > 1).then_some(packet.len);
        let message = &mut self.messages[index];
        let header = message.point(packet, segment, own, address, address_len);
        let about = match segment {
            Some(_) => {
                let number = u32::from(self.batch) << TURNS | index as u32;
                u64::from(JOINED) << 32 | u64::from(number)
            }
            None => about(SEND, packet.socket),
        };
        let flags = libc::MSG_DONTWAIT as u32;
        opcode::SendMsg::new(socket, header).flags(flags).build().user_data(about)
    }

    /// Stages the wake's poll, cancellations and receives, as far as there is room.
    fn stage_control(&mut self) {
        if !self.wake_armed {
            let poll = opcode::PollAdd::new(Fd(self.wake.as_raw_fd()), libc::POLLIN as u32);
            let poll = poll.multi(true).build().user_data(about(WAKE, SocketId(0)));
            // SAFETY: the entry points at no memory; `wake` keeps the descriptor open.
            self.wake_armed = unsafe { self.sq.push(&poll) }.is_ok();
        }
        while let Some(&id) = self.cancel.last() {
            let cancel = opcode::AsyncCancel::new(about(RECEIVE, id)).build();
            let cancel = cancel.flags(squeue::Flags::SKIP_SUCCESS).user_data(about(CANCEL, id));
            // SAFETY: the entry points at no memory.
            if unsafe { self.sq.push(&cancel) }.is_err() {
                return;
            }
            self.cancel.pop();
        }
        while let Some(&id) = self.arm.last() {
            let Some(slot) = self.slots.find(id) else { unreachable!("listed sockets exist") };
            // Arming without a buffer to receive into would end at once.
            if self.paused || self.buffers.held() == 0 {
                return;
            }
            let layout = &raw const *self.layout;
            let receive = opcode::RecvMsgMulti::new(Fixed(u32::from(id.0)), layout, GROUP);
            let receive = receive.build().user_data(about(RECEIVE, id));
            // SAFETY: `layout` is boxed and lives as long as the ring; the buffers that the kernel
            // picks belong to the buffer ring, whose memory outlives the receive.
            if unsafe { self.sq.push(&receive) }.is_err() {
                return;
            }
            slot.state = Receive::Armed;
            self.armed += 1;
            self.arm.pop();
        }
    }

    /// Whether nothing is left to do at once. Receives that lack a buffer are no reason to stay
    /// awake unless sends are about to set frames free.
    fn may_wait(&mut self) -> bool {
        self.cq.sync();
        let starved = self.buffers.held() == 0 && self.sending.is_empty();
        self.cq.is_empty()
            && self.wake_armed
            && self.queued.is_empty()
            && !self.slots.retiring()
            && self.cancel.is_empty()
            && (self.arm.is_empty() || self.paused || starved)
    }

    /// Submits what is staged and waits if asked to, in one system call.
    fn enter(
        &mut self,
        wait: Option<Duration>,
        flags: u32,
        out: &mut IoCounters,
    ) -> io::Result<()> {
        out.calls += 1;
        let timeout = Timespec::from(wait.unwrap_or_default());
        let mut args = SubmitArgs::new().timespec(&timeout);
        let mut want = u32::from(wait.is_some());
        let pause = self.pace.pause(wait.unwrap_or_default());
        if self.features.min_wait && pause > 0 {
            want = Pace::ENOUGH as u32;
            args = args.min_wait_usec(pause);
        }
        self.sq.sync();
        let staged = self.sq.len() as u32;
        // SAFETY: every entry's memory is kept as said where it was pushed; `args` has the layout
        // that EXT_ARG announces, and `timeout` lives until the call is over.
        let entered =
            unsafe { self.submitter.enter(staged, want, flags | ENTER_EXT_ARG, Some(&args)) };
        self.sq.sync();
        match entered.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) => Ok(()),
            // Time is up; a signal came; the kernel is short of memory or wants completions reaped.
            Err((Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    /// Gives the frames of consumed sends back; what the kernel would not take as a run is queued again, packet by
    /// packet and before anything else.
    fn release(&mut self, frames: &mut FramePool, out: &mut IoCounters) {
        if !self.sq.is_empty() {
            return;
        }
        out.joined += self.runs.joined() - self.refused.iter().map(Run::joined).sum::<u64>();
        if !self.refused.is_empty() {
            self.part(frames, out);
        }
        self.sending.drain(..).for_each(|packet| frames.give(packet.frame));
        self.runs.find(&[], false);
    }

    #[cold]
    fn part(&mut self, frames: &mut FramePool, out: &mut IoCounters) {
        let mut refused = [false; TX_BATCH];
        for run in self.refused.drain(..) {
            self.runs.places(run).for_each(|place| refused[place] = true);
        }
        let mut later: ArrayVec<Packet, TX_BATCH> = self.queued.drain(..).collect();
        for (packet, refused) in self.sending.drain(..).zip(refused) {
            if refused { self.queued.push(packet) } else { frames.give(packet.frame) }
        }
        self.apart = self.queued.len();
        for packet in later.drain(..) {
            match self.queued.try_push(packet) {
                Ok(()) => {}
                Err(full) => {
                    out.refused += 1;
                    frames.give(full.element().frame);
                }
            }
        }
    }

    /// A run was not sent: by a device that cannot cut it up, or on a path that is narrower than its packets.
    fn not_joined(&mut self, data: u64, error: i32, out: &mut IoCounters) {
        let (batch, index) = ((data as u32 >> TURNS) as u16, data as u16);
        match self.runs.run(usize::from(index)).filter(|_| batch == self.batch) {
            Some(run) if !matches!(error, libc::EAGAIN | libc::ENOBUFS) => {
                let _ = self.refused.try_push(run);
                self.features.segments &= error != libc::EIO;
            }
            Some(run) => (0..run.packets).for_each(|_| out.refuse(error)),
            None => out.refuse(error),
        }
    }

    fn reap(
        &mut self,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        out: &mut IoCounters,
    ) {
        self.cq.sync();
        while !rx.is_full() {
            let Some(done) = self.cq.next() else { break };
            let id = SocketId(done.user_data() as u16);
            match (done.user_data() >> 32) as u32 {
                RECEIVE => self.received(id, &done, frames, rx, out),
                SEND if done.result() < 0 => out.refuse(-done.result()),
                JOINED => self.not_joined(done.user_data(), -done.result(), out),
                CANCEL => self.not_cancelled(id, done.result()),
                WAKE => self.woken(cqueue::more(done.flags())),
                _ => {}
            }
        }
        self.cq.sync();
    }

    fn received(
        &mut self,
        id: SocketId,
        done: &cqueue::Entry,
        frames: &mut FramePool,
        rx: &mut ArrayVec<Packet, RX_BATCH>,
        out: &mut IoCounters,
    ) {
        let Some(slot) = self.slots.find(id) else { unreachable!("a receive keeps its slot") };
        let frame = cqueue::buffer_select(done.flags()).and_then(|id| self.buffers.take(id));
        if let Some(frame) = frame {
            let filled = usize::try_from(done.result()).unwrap_or(0);
            let payload = parse(&frames.bytes(&frame)[PREFIX_START..], filled, &self.layout);
            match payload {
                Some(_) if slot.closing => out.closed_socket += 1,
                None => out.truncated += u64::from(done.result() >= 0),
                Some(_) => {}
            }
            match payload.filter(|_| !slot.closing) {
                Some(Payload { len, remote, received }) => {
                    let start = HEAD_ROOM as u16;
                    rx.push(Packet {
                        frame,
                        start,
                        len,
                        socket: id,
                        remote,
                        traffic_class: 0,
                        received,
                    });
                }
                None => frames.give(frame),
            }
        }
        if cqueue::more(done.flags()) {
            return;
        }
        self.armed -= 1;
        if slot.closing {
            slot.state = Receive::Ended;
            self.slots.retire(id);
        } else {
            slot.state = Receive::Listed;
            self.arm.push(id);
            out.rearms += 1;
            let starved = done.result() == -libc::ENOBUFS && frames.free() == 0;
            out.no_frames += u64::from(starved);
        }
    }

    /// A cancellation that found nothing needs no care, the receive's end is in the queue. One that
    /// came while the receive was running is tried again.
    fn not_cancelled(&mut self, id: SocketId, result: i32) {
        let paused = self.paused;
        let running = |slot: &mut super::slots::Slot<Receive>| {
            (slot.closing || paused) && slot.state == Receive::Armed && result != -libc::ENOENT
        };
        if self.slots.find(id).is_some_and(running) && !self.cancel.contains(&id) {
            self.cancel.push(id);
        }
    }

    fn woken(&mut self, more: bool) {
        self.wake.drain();
        self.wake_armed = more;
    }

    /// Takes sockets whose receive has ended out of the kernel, once nothing is left to be sent.
    fn free_retired(&mut self) {
        if !self.queued.is_empty() || !self.sq.is_empty() {
            return;
        }
        while let Some(id) = self.slots.close_next() {
            // It cannot fail for an index inside the table; if it did, the entry would only be
            // overwritten later.
            let _ = self.submitter.register_files_update(u32::from(id.0), &[-1]);
        }
    }

    /// Cancels everything and waits until the kernel has let go of all frames. What was received
    /// meanwhile is lost. `false` if it would not end.
    fn quiesce(&mut self) -> bool {
        let mut io = IoCounters::default();
        // Submission entries of an earlier failure would become receives again.
        for _ in 0..QUIESCE_TRIES {
            if self.armed == 0 && !self.wake_armed && self.sq.is_empty() {
                return true;
            }
            let _ = self.enter(None, ENTER_GETEVENTS, &mut io);
            let _ = self
                .submitter
                .register_sync_cancel(Some(Timespec::from(QUIESCE_WAIT)), CancelBuilder::any());
            self.pace = Pace::new(Duration::ZERO);
            let _ = self.enter(Some(QUIESCE_WAIT), ENTER_GETEVENTS, &mut io);
            self.cq.sync();
            for done in self.cq.by_ref().filter(|done| !cqueue::more(done.flags())) {
                match (done.user_data() >> 32) as u32 {
                    RECEIVE => self.armed -= 1,
                    WAKE => self.wake_armed = false,
                    _ => {}
                }
            }
            self.cq.sync();
        }
        false
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.quiesce() {
            self.buffers.leak();
        }
        // The registration would keep the ring alive after its descriptor is closed.
        let _ = self.submitter.unregister_ring_fd();
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("features", &self.features)
            .field("sockets", &self.slots.used())
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}

/// The ring's memory at a fixed place, so that its queues can be kept beside it.
#[derive(Debug)]
struct Ring(NonNull<IoUring>);

impl Ring {
    fn new(ring: IoUring) -> Self {
        Self(NonNull::from(Box::leak(Box::new(ring))))
    }

    /// The ring's three parts. To be called once, and the parts must be dropped first.
    fn split(&self) -> (Submitter<'static>, SubmissionQueue<'static>, CompletionQueue<'static>) {
        // SAFETY: the box is leaked, so the ring stays where it is until `drop`. The one caller
        // keeps the parts in fields before this one, and a failing constructor drops its locals in
        // reverse order; nobody else borrows the ring.
        unsafe { (*self.0.as_ptr()).split() }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the pointer came from Box::leak in `new` and is freed only here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// What the kernel offers beyond the baseline.
pub(super) fn features() -> io::Result<Features> {
    let no_sqarray = build(true, 8, 16).is_ok();
    let ring = build(no_sqarray, 8, 16)?;
    let ring_fd = {
        let mut submitter = ring.submitter();
        submitter.register_ring_fd().and_then(|()| submitter.unregister_ring_fd()).is_ok()
    };
    Ok(Features {
        no_sqarray,
        min_wait: ring.params().is_feature_min_timeout(),
        ring_fd,
        // Since 4.18, so in the baseline.
        segments: true,
    })
}

fn build(no_sqarray: bool, entries: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .dontfork()
        .setup_cqsize(completions)
        .setup_submit_all()
        .setup_coop_taskrun()
        .setup_single_issuer()
        .setup_defer_taskrun();
    if no_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(entries)
}

/// The kernel allows no table larger than the limit of open descriptors.
fn file_table_size() -> io::Result<u32> {
    let limit = socket::descriptor_limit()?.rlim_cur;
    Ok(u32::try_from(limit).unwrap_or(u32::MAX).min(SOCKETS_PER_WORKER as u32))
}

fn layout() -> libc::msghdr {
    // SAFETY: msghdr is made of integers and pointers; all zero is the empty message.
    let mut layout: libc::msghdr = unsafe { std::mem::zeroed() };
    layout.msg_namelen = ADDRESS_LEN as libc::socklen_t;
    layout.msg_controllen = CONTROL_LEN;
    layout
}

const fn about(what: u32, socket: SocketId) -> u64 {
    (what as u64) << 32 | socket.0 as u64
}

/// A message header with all it points at but payload and address. The pointers in it are set for
/// each send and mean nothing after it.
struct Message {
    header: libc::msghdr,
    control: SendControl,
}

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

impl Message {
    fn empty() -> Self {
        // SAFETY: msghdr is made of integers and pointers; all zero is the empty message.
        Self { header: unsafe { std::mem::zeroed() }, control: SendControl::EMPTY }
    }

    /// Points at payloads and address, and says the traffic class of `packet`, the first of them, and where they are to
    /// be cut up.
    fn point(
        &mut self,
        packet: &Packet,
        segment: Option<u16>,
        vectors: &mut [libc::iovec],
        address: &mut RawAddress,
        address_len: libc::socklen_t,
    ) -> *const libc::msghdr {
        let (remote, class) = (packet.remote, packet.traffic_class);
        self.header.msg_controllen = self.control.set(remote, class, segment);
        self.header.msg_control = self.control.0.as_mut_ptr().cast();
        self.header.msg_name = address.0.as_mut_ptr().cast();
        self.header.msg_namelen = address_len;
        self.header.msg_iov = vectors.as_mut_ptr();
        self.header.msg_iovlen = vectors.len();
        &raw const self.header
    }
}

#[derive(Clone, Copy)]
struct Payload {
    len: u16,
    remote: std::net::SocketAddr,
    received: crate::packet::Nanos,
}

/// Reads the kernel's header. `None` for a datagram that is empty or was cut.
fn parse(chunk: &[u8], filled: usize, layout: &libc::msghdr) -> Option<Payload> {
    let message = RecvMsgOut::parse(chunk.get(..filled)?, layout).ok()?;
    let len = message.payload_data().len();
    if message.is_payload_truncated() || len == 0 {
        return None;
    }
    Some(Payload {
        len: u16::try_from(len).ok()?,
        remote: socket::read_address(message.name_data())?,
        received: socket::read_timestamp(message.control_data()),
    })
}
