//! The frames that the kernel may receive into: an io_uring provided-buffer ring.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::frames::{Frame, FramePool, Mapping};

/// Most frames that the kernel holds at once.
const ENTRIES_MAX: usize = 1024;

/// Frames lent to the kernel. Each occupies one buffer id until a completion names it.
#[derive(Debug)]
pub(super) struct BufferRing {
    /// The entries, which the kernel reads.
    ring: Mapping,
    /// The region that the entries point into lives at least as long as the ring.
    pool: Arc<Mapping>,
    held: Box<[Option<Frame>]>,
    /// Buffer ids without a frame.
    vacant: Vec<u16>,
    /// Entries ever written, as the kernel counts them.
    tail: u16,
    /// The part of each chunk that is given to the kernel.
    start: usize,
    len: u32,
}

impl BufferRing {
    /// Registers a ring for half of the pool at most, as group `group`. The kernel may write `len`
    /// bytes from `start` on in each frame.
    pub(super) fn new(
        submitter: &Submitter<'_>,
        frames: &FramePool,
        group: u16,
        start: usize,
        len: u32,
    ) -> io::Result<Self> {
        let entries = 1u16 << (frames.capacity() / 2).clamp(1, ENTRIES_MAX).ilog2();
        let ring = Mapping::new(usize::from(entries) * size_of::<BufRingEntry>())?;
        let address = ring.base().as_ptr() as u64;
        // SAFETY: the memory holds `entries` zeroed entries, is page-aligned and lives until the
        // io_uring is gone: `Uring` drops its descriptor before this.
        unsafe { submitter.register_buf_ring_with_flags(address, entries, group, 0)? };
        Ok(Self {
            ring,
            pool: frames.memory(),
            held: (0..entries).map(|_| None).collect(),
            vacant: (0..entries).rev().collect(),
            tail: 0,
            start,
            len,
        })
    }

    /// Lends frames until the ring is full or the pool empty.
    pub(super) fn refill(&mut self, frames: &mut FramePool) {
        debug_assert_eq!(frames.memory().base(), self.pool.base(), "one pool for ever");
        if self.vacant.is_empty() || frames.free() == 0 {
            return;
        }
        while let Some(&id) = self.vacant.last() {
            let Some(frame) = frames.take() else { break };
            self.vacant.pop();
            self.write(id, frames.chunk(&frame).as_ptr() as u64 + self.start as u64);
            self.held[usize::from(id)] = Some(frame);
        }
        self.publish();
    }

    /// The frame that a completion names. The kernel no longer knows it.
    pub(super) fn take(&mut self, id: u16) -> Option<Frame> {
        let frame = self.held.get_mut(usize::from(id))?.take()?;
        self.vacant.push(id);
        Some(frame)
    }

    /// Frames lent and not yet taken.
    pub(super) fn held(&self) -> usize {
        self.held.len() - self.vacant.len()
    }

    /// Takes all frames back. Only once nothing receives into them any more.
    pub(super) fn take_all(&mut self, frames: &mut FramePool) {
        for frame in self.held.iter_mut().filter_map(Option::take) {
            frames.give(frame);
        }
        self.vacant.clear();
        self.vacant.extend(0..self.held.len() as u16);
    }

    /// Keeps the memory mapped for ever, in case the kernel could not be stopped.
    pub(super) fn leak(&self) {
        std::mem::forget(Arc::clone(&self.pool));
    }

    fn write(&mut self, id: u16, address: u64) {
        let index = usize::from(self.tail) & (self.held.len() - 1);
        // SAFETY: the index is masked to the ring's size, the memory was zeroed, which is a legal
        // entry, and the kernel reads an entry only once the tail has passed it. Its first entry
        // shares memory with the tail, in a field that none of the three setters writes.
        let entry = unsafe { &mut *self.ring.base().cast::<BufRingEntry>().as_ptr().add(index) };
        entry.set_addr(address);
        entry.set_len(self.len);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the entries written so far to the kernel.
    fn publish(&self) {
        let base = self.ring.base().cast::<BufRingEntry>().as_ptr();
        // SAFETY: `base` is the ring's first entry, which is initialized; the tail in it is an
        // aligned u16 that only this thread writes and the kernel reads with acquire.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
