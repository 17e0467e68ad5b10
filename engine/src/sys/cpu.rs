//! Cores and clocks.

use std::io;

use crate::packet::Nanos;

/// Pins the calling thread to `core`.
///
/// # Errors
/// `InvalidInput` if the core is not there or the cpuset forbids it.
pub fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    run_on(&[core])
}

/// Keeps the calling thread, and those that it starts from now on, off `busy` cores, which a worker each has to itself.
/// Says which others it may run on; none, and then nothing has changed, if there are no others.
///
/// # Errors
/// What the kernel says.
pub fn keep_off(busy: &[usize]) -> io::Result<Vec<usize>> {
    let others: Vec<_> = cores()?.into_iter().filter(|core| !busy.contains(core)).collect();
    if !others.is_empty() {
        run_on(&others)?;
    }
    Ok(others)
}

/// Lets the calling thread run on these cores alone, each below `CPU_SETSIZE`.
fn run_on(cores: &[usize]) -> io::Result<()> {
    let mut set = empty_set();
    for &core in cores {
        // SAFETY: the set is a plain bit array and the callers keep `core` below its size.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: thread 0 is the calling one; the set is as long as said.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The cores that the calling thread may run on, ascending.
///
/// # Errors
/// What sched_getaffinity says.
pub fn cores() -> io::Result<Vec<usize>> {
    let mut set = empty_set();
    // SAFETY: thread 0 is the calling one; the set is as long as said.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the set is a plain bit array and every index is below its size.
    let allowed = |&core: &usize| unsafe { libc::CPU_ISSET(core, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(allowed).collect())
}

/// The clock that never jumps.
pub fn clock_monotonic() -> Nanos {
    clock(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread. It is a system call: not for each turn.
pub(super) fn clock_thread() -> Nanos {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The wall clock, which the kernel stamps received packets with.
pub fn clock_realtime() -> Nanos {
    clock(libc::CLOCK_REALTIME)
}

fn clock(id: libc::clockid_t) -> Nanos {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to be written; with these clocks the call cannot fail.
    unsafe { libc::clock_gettime(id, &raw mut now) };
    Nanos(now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned())
}

/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines of one value that are asked for, most: more would push each other out.
const LINES: usize = 8;

/// Asks for `value`'s memory, since it will be read or written soon. Nothing else happens.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<i8>();
    for line in 0..size_of::<T>().div_ceil(LINE).min(LINES) {
        let address = start.wrapping_add(line * LINE);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing and faults nowhere, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: cpu_set_t is an array of integers; all zero is the empty set.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_core_alone() {
        std::thread::spawn(|| {
            let core = *cores().unwrap().last().unwrap();
            pin(core).unwrap();
            assert_eq!(cores().unwrap(), [core]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn threads_that_are_kept_off_a_core_have_the_others_if_there_are_any() {
        std::thread::spawn(|| {
            let all = cores().unwrap();
            let (busy, others) = all.split_last().unwrap();
            assert_eq!(keep_off(&[*busy]).unwrap(), others);
            let left = if others.is_empty() { &all[..] } else { others };
            let heirs = std::thread::spawn(|| cores().unwrap());
            assert_eq!(heirs.join().unwrap(), left);
            assert_eq!(keep_off(&all).unwrap(), []);
            assert_eq!(cores().unwrap(), left);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        assert!(pin(libc::CPU_SETSIZE as usize - 1).is_err());
        assert!(pin(usize::MAX).is_err());
    }

    #[test]
    fn clocks_go_forward_and_agree_with_the_standard_library() {
        let (mono, wall) = (clock_monotonic(), clock_realtime());
        assert!(clock_monotonic() >= mono);
        let std = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(u128::from(wall.0) / 3_600_000_000_000, std.as_nanos() / 3_600_000_000_000);
    }
}
