//! Server-sent events: bounded in number, kept alive, cut with `lagged` when read too slowly, and
//! ended when the node stops.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Interval, interval_at};

use crate::api::Problem;

/// How often a silent stream says that it lives: proxies cut at 30 s and more.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The comment that says so.
const ALIVE: &[u8] = b": alive\n\n";

/// The streams of both listeners.
pub(super) struct Subscribers {
    seats: Arc<Semaphore>,
    max: usize,
    stop: watch::Sender<bool>,
    /// How often a silent stream says that it lives.
    pub(super) alive: Duration,
}

impl Subscribers {
    pub(super) fn new(max: usize) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(max)),
            max,
            stop: watch::Sender::new(false),
            alive: KEEP_ALIVE,
        }
    }

    /// Takes a seat for one stream.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(super) fn seat(&self) -> Result<Seat, Problem> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| {
            let words = format!("{} event streams are open, which is the limit", self.max);
            Problem::unavailable(words)
        })?;
        Ok(Seat { _permit: permit, stop: self.stopping(), alive: self.alive })
    }

    /// Streams that are open.
    pub(super) fn count(&self) -> usize {
        self.max.saturating_sub(self.seats.available_permits())
    }

    /// Ends every stream.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Tells when streams are to end.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}

/// One stream's place, given back when it ends.
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
    alive: Duration,
}

/// Waits until streams are to end.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the listeners.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What a stream makes of an event.
pub(super) enum Step {
    /// Sends this.
    Send(Bytes),
    /// Sends this and ends.
    Last(Bytes),
    /// It is for others.
    Skip,
}

/// One event as it goes over the wire.
pub(super) fn frame(id: u64, event: &str, data: &impl Serialize) -> Bytes {
    // JSON escapes line ends, so the data is one line.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {id}\nevent: {event}\ndata: {data}\n\n").into()
}

/// A response that first sends `first` and then what `step` makes of each event.
pub(super) fn respond<T, F>(
    seat: Seat,
    events: broadcast::Receiver<Arc<T>>,
    first: Bytes,
    step: F,
) -> HttpResponse
where
    T: Send + Sync + 'static,
    F: FnMut(&T) -> Step + 'static,
{
    let alive = interval_at(Instant::now() + seat.alive, seat.alive);
    let source = Source { seat, events, first: Some(first), alive, step, over: false };
    let body = stream::unfold(source, |mut source| async move {
        let bytes = source.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), source))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body)
}

struct Source<T, F> {
    seat: Seat,
    events: broadcast::Receiver<Arc<T>>,
    first: Option<Bytes>,
    alive: Interval,
    step: F,
    over: bool,
}

impl<T, F: FnMut(&T) -> Step> Source<T, F> {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            // Also pushes the response's head out before anything happens.
            return Some([ALIVE, &first].concat().into());
        }
        while !self.over {
            let event = tokio::select! {
                () = stopped(&mut self.seat.stop) => return None,
                _ = self.alive.tick() => return Some(Bytes::from_static(ALIVE)),
                event = self.events.recv() => event,
            };
            match event {
                Ok(event) => match (self.step)(&event) {
                    Step::Send(bytes) => return Some(bytes),
                    Step::Last(bytes) => return Some(self.end(bytes)),
                    Step::Skip => {}
                },
                Err(RecvError::Lagged(missed)) => return Some(self.end(lagged(missed))),
                Err(RecvError::Closed) => return None,
            }
        }
        None
    }

    fn end(&mut self, last: Bytes) -> Bytes {
        self.over = true;
        last
    }
}

/// The last word to a reader that is too slow: it should ask for the present state and follow anew.
fn lagged(missed: u64) -> Bytes {
    format!("event: lagged\ndata: {{\"missed\":{missed}}}\n\n").into()
}
