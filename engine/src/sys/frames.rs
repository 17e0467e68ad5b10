//! The frame pool: one page-aligned region cut into chunks of [`FRAME_SIZE`] bytes.

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::config::FRAME_SIZE;

/// The right to use one chunk of a [`FramePool`]. It can be moved but not copied, so a chunk is
/// given back at most once and is never in two packets.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that is dropped is lost to its pool"]
pub struct Frame(u32);

/// The chunks of one worker. Never grows; a frame that is out belongs to whoever holds its [`Frame`].
#[derive(Debug)]
pub struct FramePool {
    memory: Arc<Mapping>,
    /// Chunks that nobody holds. The one used last is on top since it is warm in the cache.
    free: Vec<u32>,
    count: u32,
}

impl FramePool {
    /// Maps `count` chunks and touches each, so that the packet path meets no page fault.
    ///
    /// # Errors
    /// What mmap says; `InvalidInput` if `count` is 0 or its bytes cannot be counted.
    pub fn new(count: usize) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let chunks = u32::try_from(count).map_err(|_| invalid())?;
        let bytes = count.checked_mul(FRAME_SIZE).filter(|&bytes| bytes > 0).ok_or_else(invalid)?;
        let memory = Arc::new(Mapping::new(bytes)?);
        Ok(Self { memory, free: (0..chunks).rev().collect(), count: chunks })
    }

    /// A free frame. What it held before is still in it.
    pub fn take(&mut self) -> Option<Frame> {
        self.free.pop().map(Frame)
    }

    /// Takes a frame back.
    pub fn give(&mut self, frame: Frame) {
        assert!(frame.0 < self.count && self.free.len() < self.count as usize, "foreign frame");
        self.free.push(frame.0);
    }

    /// Frames that nobody holds.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// All frames.
    pub fn capacity(&self) -> usize {
        self.count as usize
    }

    /// The whole chunk, [`FRAME_SIZE`] bytes.
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        // SAFETY: `chunk` points at FRAME_SIZE mapped bytes. They are written only through
        // `bytes_mut` and `two`, which borrow the pool exclusively, or by the kernel while a
        // backend holds the frame, in which case nobody else has a `Frame` to ask with.
        unsafe { std::slice::from_raw_parts(self.chunk(frame).as_ptr(), FRAME_SIZE) }
    }

    /// The whole chunk, to be changed.
    pub fn bytes_mut(&mut self, frame: &Frame) -> &mut [u8] {
        // SAFETY: as in `bytes`; the exclusive borrow of the pool makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.chunk(frame).as_ptr(), FRAME_SIZE) }
    }

    /// Two chunks at once, to copy from the first into the second.
    ///
    /// # Panics
    /// If both are the same, which ownership forbids.
    pub fn two(&mut self, from: &Frame, to: &Frame) -> (&[u8], &mut [u8]) {
        assert_ne!(from, to, "a frame is never copied onto itself");
        // SAFETY: as in `bytes_mut`; the chunks are distinct, so the two views do not overlap.
        unsafe {
            (
                std::slice::from_raw_parts(self.chunk(from).as_ptr(), FRAME_SIZE),
                std::slice::from_raw_parts_mut(self.chunk(to).as_ptr(), FRAME_SIZE),
            )
        }
    }

    /// Where the chunk starts.
    pub(super) fn chunk(&self, frame: &Frame) -> NonNull<u8> {
        assert!(frame.0 < self.count, "foreign frame");
        // SAFETY: the index was just checked, so the offset stays inside the mapping.
        unsafe { self.memory.base.add(frame.0 as usize * FRAME_SIZE) }
    }

    /// A share of the region, for a backend whose kernel side may outlive the pool.
    pub(super) fn memory(&self) -> Arc<Mapping> {
        Arc::clone(&self.memory)
    }
}

/// Private anonymous memory, zeroed and page-aligned.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping is plain memory without thread affinity. It hands out no reference by itself;
// the pool and the buffer ring that do follow the borrow rules of their own `&self` and `&mut self`.
unsafe impl Send for Mapping {}
// SAFETY: as for Send; through `&Mapping` one only learns the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps and populates `bytes` bytes.
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, bytes })
    }

    /// Where it starts.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of our own mmap, and nobody holds a share any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_distinct_aligned_and_come_back() {
        let mut pool = FramePool::new(16).unwrap();
        let frames: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((frames.len(), pool.free(), pool.capacity()), (16, 0, 16));
        for (mark, frame) in (0u8..).zip(&frames) {
            assert_eq!(pool.chunk(frame).as_ptr() as usize % FRAME_SIZE, 0);
            pool.bytes_mut(frame).fill(mark);
        }
        for (mark, frame) in (0u8..).zip(&frames) {
            assert!(pool.bytes(frame).iter().all(|&byte| byte == mark));
        }
        frames.into_iter().for_each(|frame| pool.give(frame));
        assert_eq!(pool.free(), 16);
    }

    #[test]
    fn two_copies_one_chunk_into_another() {
        let mut pool = FramePool::new(2).unwrap();
        let (one, other) = (pool.take().unwrap(), pool.take().unwrap());
        pool.bytes_mut(&one).fill(7);
        let (from, to) = pool.two(&one, &other);
        to.copy_from_slice(from);
        assert!(pool.bytes(&other).iter().all(|&byte| byte == 7));
    }

    #[test]
    #[should_panic(expected = "foreign frame")]
    fn a_frame_of_a_larger_pool_is_refused() {
        let (mut small, mut large) = (FramePool::new(1).unwrap(), FramePool::new(4).unwrap());
        let frame = (0..4).filter_map(|_| large.take()).last().unwrap();
        let _taken = small.take();
        small.give(frame);
    }

    #[test]
    fn an_empty_or_absurd_pool_is_an_error() {
        assert!(FramePool::new(0).is_err());
        assert!(FramePool::new(usize::MAX).is_err());
    }
}
