//! HTTP connections that came in by the edge: the same public pages and handlers, on threads of their own.
//!
//! The edge has ended the TLS handshake and read the first bytes; the connection comes with both. Its
//! client is whom the edge knows, which a load balancer may have told.

mod stream;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Protocol};
use actix_rt::{Arbiter, ArbiterHandle};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::dev::AppConfig;
use actix_web::web::Data;
use causeway_engine::edge::{HttpDoor, HttpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use self::stream::MovedStream;
use super::{Door, HEAD_TIMEOUT, KEEP_ALIVE, State, app};
use crate::config::Config;

/// Connections that wait for one thread, most.
const QUEUE: usize = 64;
/// Time for a connection to end once nothing more is said.
const DISCONNECT: Duration = Duration::from_secs(1);

/// The threads' ends of the queues.
pub(super) struct Moved {
    queues: Vec<mpsc::Receiver<HttpStream>>,
    bound: SocketAddr,
    /// Connections of one thread, most.
    most: usize,
    drain: Duration,
}

/// The queues: the edge gives each connection to the next thread that has room.
pub(super) fn queues(config: &Config, bound: SocketAddr) -> (HttpDoor, Moved) {
    let threads = config.public.workers;
    let (senders, queues): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel(QUEUE)).unzip();
    let mut next = 0;
    let door = move |mut stream: HttpStream| {
        for _ in 0..threads {
            next = (next + 1) % threads;
            match senders[next].try_send(stream) {
                Ok(()) => return Ok(()),
                Err(
                    mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
                ) => stream = back,
            }
        }
        Err(stream)
    };
    let most = config.limits.connections.div_ceil(threads);
    (Box::new(door), Moved { queues, bound, most, drain: config.timeouts.drain })
}

impl Moved {
    /// Starts the threads.
    pub(super) fn serve(self, state: &Data<State>) -> MovedServer {
        let Self { queues, bound, most, drain } = self;
        let (stop, stopping) = watch::channel(false);
        let threads = queues.into_iter().map(|queue| {
            let (state, stopping) = (state.clone(), stopping.clone());
            let seats = Arc::new(Semaphore::new(most));
            let thread = Arbiter::new();
            let own = Arc::clone(&seats);
            thread.spawn_fn(move || {
                actix_rt::spawn(run(state, queue, bound, own, stopping));
            });
            (thread.handle(), seats)
        });
        MovedServer { threads: threads.collect(), stop, most, drain }
    }
}

/// The threads, while they run.
pub(super) struct MovedServer {
    threads: Vec<(ArbiterHandle, Arc<Semaphore>)>,
    stop: watch::Sender<bool>,
    most: usize,
    drain: Duration,
}

impl MovedServer {
    /// Lets open requests end, as long as the other listeners do, and ends the threads.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        let empty = self.threads.iter().map(|(_, seats)| seats.acquire_many(most));
        let _ = tokio::time::timeout(self.drain, futures_util::future::join_all(empty)).await;
        for (thread, _) in &self.threads {
            thread.stop();
        }
    }
}

/// One thread: takes connections while it has seats for them.
async fn run(
    state: Data<State>,
    mut queue: mpsc::Receiver<HttpStream>,
    bound: SocketAddr,
    seats: Arc<Semaphore>,
    mut stopping: watch::Receiver<bool>,
) {
    let signal = stopping.clone();
    let service = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT)
        .local_addr(bound)
        .secure()
        // As the server of actix-web does it: idle connections end at once, others after their request.
        .graceful_shutdown_signal(move || {
            let mut signal = signal.clone();
            async move {
                let _ = signal.wait_for(|stopping| *stopping).await;
            }
        });
    let app = app(state, Door::Public).into_factory();
    let app = app.map_err(|error: actix_web::Error| error.error_response());
    let service = service.finish(map_config(app, |()| AppConfig::default()));
    let Ok(service) = service.new_service(()).await else {
        tracing::error!("HTTP by the edge is not served");
        return;
    };
    let service = Rc::new(service);
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        let moved = tokio::select! {
            moved = queue.recv() => moved,
            _ = stopping.changed() => None,
        };
        let Some(moved) = moved else { return };
        let service = Rc::clone(&service);
        actix_rt::spawn(async move {
            let remote = moved.remote;
            let is_h2 = moved.tls.alpn_protocol() == Some(b"h2");
            let protocol = if is_h2 { Protocol::Http2 } else { Protocol::Http1 };
            if let Ok(stream) = MovedStream::new(moved) {
                // How it ended is the client's affair.
                let _ = service.call((stream, protocol, Some(remote))).await;
            }
            drop(seat);
        });
    }
}
