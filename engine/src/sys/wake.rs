//! Waking a thread that sleeps in its backend (or in control's reactor) because a ring has news.
//!
//! A wake costs more than forty packets' worth of ring work, so it is spent only on a thread that
//! said it goes to sleep, and once per sleep.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use crossbeam::utils::CachePadded;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// One thread's bell. Clones ring the same bell.
///
/// Why no wake-up is lost: the sleeper sets the flag, passes a SeqCst fence, then looks into its
/// rings; the other side pushes, passes a SeqCst fence, then looks at the flag. SeqCst fences have
/// one total order. If the sleeper's comes first, the other side sees the flag and writes the
/// eventfd, which stays readable until it is drained; if it comes second, the sleeper sees the push
/// and does not wait. Whoever swaps the flag back owns the write, so late comers may skip it: it is
/// on its way. A write that comes after the sleeper has left ends its next wait early, no more.
#[derive(Debug, Clone)]
pub struct Wake(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    sleeping: CachePadded<AtomicBool>,
    eventfd: OwnedFd,
}

/// Says that the thread is about to sleep, for as long as it lives. Made by [`Wake::prepare`].
#[derive(Debug)]
#[must_use = "the thread counts as awake as soon as this is dropped"]
pub struct Asleep<'w>(&'w AtomicBool);

impl Wake {
    /// A bell for a thread that is awake.
    ///
    /// # Errors
    /// What eventfd says: no descriptors left, mostly.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else knows it.
        let eventfd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(Arc::new(Bell { sleeping: CachePadded::new(AtomicBool::new(false)), eventfd })))
    }

    /// To be called by the sleeper before it looks into its rings a last time and then waits.
    pub fn prepare(&self) -> Asleep<'_> {
        self.0.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Asleep(&self.0.sleeping)
    }

    /// To be called by the other side after it has pushed. Costs one fence if nobody sleeps.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        let sleeping = &self.0.sleeping;
        // The load comes first because a swap takes the cache line from a thread that is awake.
        if sleeping.load(Ordering::Relaxed) && sleeping.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Waits until it rings, at most `patience`.
    pub fn wait(&self, patience: Duration) {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        let patience = Timespec::try_from(patience).ok();
        if poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0) {
            self.drain();
        }
    }

    /// Makes the descriptor unreadable again. Writes add up, so one call takes all.
    pub fn drain(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer is as long as said. That nothing was there is not an error.
        unsafe { libc::read(self.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is as long as said. It fails only when the count is at its maximum,
        // and then the descriptor is readable already.
        unsafe { libc::write(self.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.eventfd.as_fd()
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.eventfd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Blocks until the bell rings; a lost wake-up shows as `false`.
    fn readable(wake: &Wake) -> bool {
        let mut fd = libc::pollfd { fd: wake.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is given and one is said.
        unsafe { libc::poll(&raw mut fd, 1, 20_000) == 1 }
    }

    #[test]
    fn nobody_is_woken_who_does_not_sleep() {
        let wake = Wake::new().unwrap();
        wake.wake();
        drop(wake.prepare());
        wake.wake();
        let mut count = [0u8; 8];
        // SAFETY: the buffer is as long as said.
        let read = unsafe { libc::read(wake.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
        assert_eq!((read, io::Error::last_os_error().kind()), (-1, io::ErrorKind::WouldBlock));
    }

    #[test]
    fn one_sleep_costs_one_write() {
        let wake = Wake::new().unwrap();
        let asleep = wake.prepare();
        (0..5).for_each(|_| wake.wake());
        let mut count = [0u8; 8];
        // SAFETY: the buffer is as long as said.
        unsafe { libc::read(wake.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
        assert_eq!(u64::from_ne_bytes(count), 1);
        drop(asleep);
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        const ITEMS: u64 = 20_000;
        let wake = Wake::new().unwrap();
        let (pushed, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for item in 1..=ITEMS {
                    pushed.store(item, Ordering::Release);
                    wake.wake();
                    // Waiting for the other side each time puts every push next to a sleep.
                    while taken.load(Ordering::Acquire) < item {
                        std::thread::yield_now();
                    }
                }
            });
            let mut seen = 0;
            while seen < ITEMS {
                let asleep = wake.prepare();
                if pushed.load(Ordering::Acquire) == seen {
                    let woken = readable(&wake);
                    // The other thread must end even if this one failed.
                    if !woken {
                        taken.store(ITEMS, Ordering::Release);
                    }
                    assert!(woken, "wake-up {seen} was lost");
                    wake.drain();
                }
                drop(asleep);
                seen = pushed.load(Ordering::Acquire);
                taken.store(seen, Ordering::Release);
            }
        });
    }
}
