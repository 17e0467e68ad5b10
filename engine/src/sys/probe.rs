//! Which backend works here. Asking the kernel for a feature list is not enough, since seccomp
//! profiles, sysctls and old kernels deny in different places: a datagram is really sent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::frames::FramePool;
use super::wake::Wake;
use super::{Backend, BackendKind, Features, IoCounters, socket, uring};
use crate::command::SocketId;
use crate::config::{BackendChoice, HEAD_ROOM};
use crate::error::StartError;
use crate::packet::{Nanos, Packet};

/// Environment variable with a comma-separated list of what is not to be used: `uring`,
/// `no_sqarray`, `min_wait`, `ring_fd`, `segments`.
pub const MASK: &str = "CAUSEWAY_URING_MASK";

const SOCKET: SocketId = SocketId(0);
const GREETING: &[u8] = b"causeway";
/// How long a datagram may take over loopback on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the probe found.
#[derive(Debug)]
pub struct Probed {
    /// The backend to use.
    pub kind: BackendKind,
    /// What io_uring may use; nothing if `kind` is another.
    pub features: Features,
    /// Why io_uring is not used although it was wanted.
    pub uring_refused: Option<String>,
}

/// Sends and receives one datagram over loopback, on a thread of its own, and says with which
/// backend it worked.
///
/// # Errors
/// [`StartError::Uring`] if io_uring alone was wanted and failed, [`StartError::NoBackend`] if
/// nothing works.
pub fn probe(choice: BackendChoice) -> Result<Probed, StartError> {
    probe_masked(choice, &std::env::var(MASK).unwrap_or_default())
}

fn probe_masked(choice: BackendChoice, mask: &str) -> Result<Probed, StartError> {
    if choice == BackendChoice::Mmsg {
        return probe_mmsg(None);
    }
    match probe_uring(mask) {
        Ok(features) => Ok(Probed { kind: BackendKind::Uring, features, uring_refused: None }),
        Err(reason) if choice == BackendChoice::Uring => Err(StartError::Uring { reason }),
        Err(reason) => probe_mmsg(Some(reason)),
    }
}

fn probe_uring(mask: &str) -> Result<Features, String> {
    let masked = |name| mask.split(',').any(|masked| masked.trim() == name);
    if masked("uring") {
        return Err(format!("{MASK} switches it off"));
    }
    let found = aside(uring::features).map_err(|error| format!("io_uring_setup: {error}"))?;
    let features = Features {
        no_sqarray: found.no_sqarray && !masked("no_sqarray"),
        min_wait: found.min_wait && !masked("min_wait"),
        ring_fd: found.ring_fd && !masked("ring_fd"),
        segments: found.segments && !masked("segments"),
    };
    try_out(BackendKind::Uring, features).map_err(|error| error.to_string())?;
    Ok(features)
}

fn probe_mmsg(uring_refused: Option<String>) -> Result<Probed, StartError> {
    let (kind, features) = (BackendKind::Mmsg, Features::default());
    try_out(kind, features).map_err(StartError::NoBackend)?;
    Ok(Probed { kind, features, uring_refused })
}

fn try_out(kind: BackendKind, features: Features) -> io::Result<()> {
    aside(move || greet_oneself(kind, features))
}

/// Runs `task` on a thread of its own, because a ring belongs to the thread that made it and leaves
/// traces there.
fn aside<T: Send + 'static>(
    task: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let thread = std::thread::Builder::new().name("probe".into()).spawn(task)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the probe panicked")))
}

fn greet_oneself(kind: BackendKind, features: Features) -> io::Result<()> {
    let mut frames = FramePool::new(16)?;
    let wake = Wake::new()?;
    let mut backend = Backend::new(kind, features, &mut frames, &wake)?;
    let udp = socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
    let remote = udp.local_addr()?;
    backend.add_socket(SOCKET, udp).map_err(|(_, error)| error)?;

    let frame = frames.take().ok_or(io::ErrorKind::OutOfMemory)?;
    let (start, len) = (HEAD_ROOM as u16, GREETING.len() as u16);
    let packet =
        Packet { frame, start, len, socket: SOCKET, remote, traffic_class: 0, received: Nanos(0) };
    packet.payload_mut(&mut frames).copy_from_slice(GREETING);
    backend.queue(packet);

    let mut rx = ArrayVec::new();
    let mut out = IoCounters::default();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        backend.turn(&mut frames, &mut rx, Some(PATIENCE / 4), &mut out)?;
        if out.refused > 0 {
            return Err(io::Error::other("a datagram over loopback was refused"));
        }
        if let Some(packet) = rx.pop() {
            let whole = packet.payload(&frames) == GREETING && packet.remote == remote;
            frames.give(packet.frame);
            return if whole { Ok(()) } else { Err(io::Error::other("a datagram was garbled")) };
        }
    }
    Err(io::Error::other("a datagram over loopback did not come back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_backend_works_on_every_host() {
        let probed = probe_masked(BackendChoice::Auto, "").unwrap();
        assert_eq!(probed.kind == BackendKind::Uring, probed.uring_refused.is_none());
    }

    #[test]
    fn the_mask_switches_uring_off_and_says_so() {
        let probed = probe_masked(BackendChoice::Auto, "min_wait, uring").unwrap();
        assert_eq!(probed.kind, BackendKind::Mmsg);
        assert!(probed.uring_refused.unwrap().contains(MASK));
        let alone = probe_masked(BackendChoice::Uring, "uring");
        assert!(matches!(alone, Err(StartError::Uring { .. })));
    }

    #[test]
    fn the_mask_switches_single_features_off() {
        let Ok(probed) = probe_masked(BackendChoice::Uring, "no_sqarray,min_wait,ring_fd,segments")
        else {
            return;
        };
        assert_eq!(probed.features, Features::default());
    }

    #[test]
    fn mmsg_is_taken_when_asked_for() {
        let probed = probe_masked(BackendChoice::Mmsg, "").unwrap();
        assert_eq!(probed.kind, BackendKind::Mmsg);
        assert!(probed.uring_refused.is_none());
    }
}
