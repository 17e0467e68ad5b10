//! A WebRTC peer on `str0m`: offers or answers, shakes hands, sends media that can be told apart,
//! and remembers what came.
//!
//! A [`Peer`] runs as a task of one runtime that all peers share; tests hold it by a handle that
//! blocks. Dropped, it is gone without a word, as a browser whose machine lost power.

mod far;
pub mod parted;
pub mod payload;
pub mod unbundled;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use far::Far;
pub use far::{Arrivals, Flow, Line, Seen};
pub use str0m::config::DtlsVersion;
pub use str0m::media::{Direction, MediaKind};

/// Longest wait for something that takes a moment on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What a peer is like.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The DTLS versions that it speaks.
    pub dtls: DtlsVersion,
    /// Payload type of opus.
    pub opus: Option<u8>,
    /// Payload type of VP8; its RTX has the next number.
    pub vp8: Option<u8>,
    /// Payload type of H.264 constrained baseline; its RTX has the next number.
    pub h264: Option<u8>,
    /// Whether PCMU (0) and PCMA (8) are offered.
    pub g711: bool,
    /// Whether it is an ICE lite agent.
    pub lite: bool,
    /// The loopback address that it is at.
    pub ip: IpAddr,
    /// The one port of the node that it gets through to, as behind a firewall; any if absent.
    pub port: Option<u16>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            dtls: DtlsVersion::Auto,
            opus: Some(111),
            vp8: Some(96),
            h264: Some(108),
            g711: true,
            lite: false,
            ip: Ipv4Addr::LOCALHOST.into(),
            port: None,
        }
    }
}

/// A peer's handle.
pub struct Peer {
    shared: Arc<Shared>,
    task: tokio::task::AbortHandle,
}

struct Shared {
    far: Mutex<Far>,
    way: Mutex<Arc<Way>>,
    poke: Notify,
    news: Condvar,
}

/// The socket, read by the task and written to from any thread.
struct Way {
    socket: UdpSocket,
    sender: Sender,
}

impl Way {
    fn new(ip: IpAddr) -> Arc<Self> {
        let _entered = runtime().enter();
        let socket = Sender::bind((ip, 0)).expect("a loopback port");
        socket.set_nonblocking(true).expect("non-blocking");
        let sender = socket.try_clone().expect("a descriptor");
        Arc::new(Self { socket: UdpSocket::from_std(socket).expect("a runtime"), sender })
    }

    fn address(&self) -> SocketAddr {
        self.sender.local_addr().expect("bound")
    }
}

impl Peer {
    /// A peer on a loopback port of its own, with nothing negotiated.
    pub fn new(spec: &Spec) -> Self {
        let way = Way::new(spec.ip);
        let shared = Arc::new(Shared {
            far: Mutex::new(Far::new(spec, way.address())),
            way: Mutex::new(way),
            poke: Notify::new(),
            news: Condvar::new(),
        });
        let task = runtime().spawn(run(shared.clone())).abort_handle();
        Self { shared, task }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.shared.lock().address
    }

    /// Offers these m-lines, in their order. Offered m-lines that it has already stay.
    pub fn offer(&self, lines: &[Line]) -> String {
        self.change(|far| far.offer(lines))
    }

    /// Offers anew with every m-line in this direction.
    pub fn offer_direction(&self, direction: Direction) -> String {
        self.change(|far| far.offer_direction(direction))
    }

    /// Offers anew with other ICE credentials; an offer that waits for its answer is forgotten.
    pub fn offer_restart(&self) -> String {
        self.change(Far::offer_restart)
    }

    /// Goes on from another port without knowing it, as behind a NAT that has lost its binding;
    /// what is sent to the old one is lost. Says where it is now.
    pub fn rebind(&self) -> SocketAddr {
        let way = Way::new(self.address().ip());
        let address = way.address();
        *lock(&self.shared.way) = way;
        self.shared.poke.notify_one();
        address
    }

    /// Takes the answer to its last offer.
    pub fn take_answer(&self, answer: &str) {
        self.change(|far| far.take_answer(answer));
    }

    /// Answers an offer.
    pub fn answer(&self, offer: &str) -> String {
        self.change(|far| far.answer(offer))
    }

    /// Learns a candidate of the node's, as it stands in a description or comes by trickle.
    pub fn add_candidate(&self, line: &str) {
        self.change(|far| far.add_candidate(line));
    }

    /// Its own candidate, for trickle.
    pub fn candidate(&self) -> String {
        self.shared.lock().candidate.to_sdp_string()
    }

    /// Sends what `flow` says from now on, once it is connected; replaces the kind's earlier flow.
    pub fn send(&self, flow: Flow) {
        self.change(|far| far.flow(flow));
    }

    /// Stops sending media, not ICE.
    pub fn quiet(&self) {
        self.change(Far::quiet);
    }

    /// Asks the node for a key frame of its video.
    pub fn ask_key_frame(&self) {
        self.change(Far::ask_key_frame);
    }

    /// Sends nothing any more, not even checks, and hears nothing.
    pub fn fall_silent(&self) {
        self.change(|far| far.silent = true);
    }

    /// Says goodbye (DTLS close_notify) and ends.
    pub fn close(&self) {
        self.change(Far::close);
    }

    /// Sends a datagram of the test's own from the peer's address.
    pub fn throw(&self, to: SocketAddr, bytes: &[u8]) {
        // A full socket loses it, as the network may.
        let _ = self.shared.way().sender.send_to(bytes, to);
    }

    /// What has been seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Waits until `until` holds for what is seen; panics with `what` after [`PATIENCE`].
    #[track_caller]
    pub fn wait(&self, what: &str, until: impl FnMut(&Seen) -> bool) -> Seen {
        self.wait_for(PATIENCE, what, until)
    }

    /// [`Self::wait`] with a patience of its own.
    #[track_caller]
    pub fn wait_for(
        &self,
        patience: Duration,
        what: &str,
        mut until: impl FnMut(&Seen) -> bool,
    ) -> Seen {
        let deadline = Instant::now() + patience;
        let mut far = self.shared.lock();
        while !until(&far.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the peer waited in vain: {what}; seen: {:?}", far.seen);
            let waited = self.shared.news.wait_timeout(far, left);
            far = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(far, _)| far);
        }
        far.seen.clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Far) -> T) -> T {
        let mut far = self.shared.lock();
        let result = change(&mut far);
        // str0m wants everything drained between two changes.
        far.drain(&self.shared.way().sender);
        drop(far);
        self.shared.poke.notify_one();
        result
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Far> {
        lock(&self.far)
    }

    fn way(&self) -> Arc<Way> {
        lock(&self.way).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn run(shared: Arc<Shared>) {
    let mut buffer = vec![0; 2048];
    loop {
        let way = shared.way();
        let next = {
            let mut far = shared.lock();
            far.tick(Instant::now(), &way.sender);
            far.next
        };
        shared.news.notify_all();
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = shared.poke.notified() => {}
            readable = way.socket.readable() => {
                if readable.is_err() {
                    return;
                }
                while let Ok((length, from)) = way.socket.try_recv_from(&mut buffer) {
                    let mut far = shared.lock();
                    far.receive(Instant::now(), from, &buffer[..length]);
                    far.drain(&way.sender);
                }
            }
        }
    }
}

/// One thread is enough for all peers and leaves the other core to the node.
fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        let body = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("peers".into()).spawn(body).expect("a thread");
        handle
    })
}
