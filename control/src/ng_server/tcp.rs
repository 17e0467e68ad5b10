//! The door for connections: requests one after the other as over UDP, each ending where its document
//! ends, and replies likewise, in the order in which they are ready. A client tells them by their cookies.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Asker, BREATH, Closed, Closing, Door, NgDesk, spawn_until};
use crate::config::NG_CONNECTIONS_MAX;
use crate::ng::{Cut, FRAME_MAX};

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To send a request from its first byte to its last.
    pub(super) frame: Duration,
    /// To take a reply.
    pub(super) write: Duration,
    /// Between requests.
    pub(super) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { frame: seconds(10), write: seconds(10), idle: seconds(3600) }
    }
}

pub(super) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes connections, until the doors close.
pub(super) async fn serve(
    listener: StdListener,
    desk: NgDesk,
    patience: Patience,
    closing: Closing,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the ng protocol is not served over TCP"),
    };
    let seats = Arc::new(Semaphore::new(NG_CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((socket, from)) => take(socket, from, &seats, &desk, patience, &closing),
            Err(error) => {
                tracing::warn!(%error, "ng over TCP");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn take(
    socket: TcpStream,
    from: SocketAddr,
    seats: &Arc<Semaphore>,
    desk: &NgDesk,
    patience: Patience,
    closing: &Closing,
) {
    let asker = Asker::new(Door::Tcp, from.ip());
    if !desk.admits(&asker) {
        return;
    }
    let Ok(seat) = Arc::clone(seats).try_acquire_owned() else {
        return desk.closed(Closed::Limit);
    };
    let _ = socket.set_nodelay(true);
    let connection = Connection::new(desk.clone(), asker, socket, patience);
    spawn_until(closing.clone(), connection.serve(seat));
}

struct Connection {
    desk: NgDesk,
    asker: Asker,
    socket: TcpStream,
    patience: Patience,
    /// What came and is no whole request yet.
    held: BytesMut,
    cut: Cut,
    /// Requests in progress.
    pending: FuturesUnordered<BoxFuture<'static, Option<Bytes>>>,
    /// Since when the far side has done nothing.
    since: Instant,
    /// Whether the far side has sent all that it will.
    is_over: bool,
}

impl Connection {
    fn new(desk: NgDesk, asker: Asker, socket: TcpStream, patience: Patience) -> Self {
        Self {
            desk,
            asker,
            socket,
            patience,
            held: BytesMut::new(),
            cut: Cut::default(),
            pending: FuturesUnordered::new(),
            since: Instant::now(),
            is_over: false,
        }
    }

    async fn serve(mut self, _seat: OwnedSemaphorePermit) {
        self.desk.work.count(|counts| counts.connections += 1);
        let closed = self.exchange().await;
        self.desk.work.count(|counts| {
            counts.connections -= 1;
            if let Err(why) = closed {
                counts.close(why);
            }
        });
        if let Err(why) = closed {
            tracing::debug!(peer = %self.asker.peer, why = why.label(), "ng connection closed");
        }
    }

    /// Asks and answers until the far side is gone.
    async fn exchange(&mut self) -> Result<(), Closed> {
        loop {
            self.ask()?;
            if self.is_over && self.pending.is_empty() {
                return Ok(());
            }
            let (deadline, why) = self.deadline();
            let has_room = self.pending.len() < PIPELINE_MAX && !self.is_over;
            self.held.reserve(READ);
            let left = FRAME_MAX.saturating_sub(self.held.len());
            let mut room = (&mut self.held).limit(left);
            tokio::select! {
                Some(reply) = self.pending.next() => self.answer(reply).await?,
                read = self.socket.read_buf(&mut room), if has_room => match read {
                    Ok(0) | Err(_) => self.is_over = true,
                    Ok(read) => self.came(read),
                },
                () = sleep_until(deadline), if self.pending.is_empty() => return Err(why),
            }
        }
    }

    /// Asks for what has come whole.
    fn ask(&mut self) -> Result<(), Closed> {
        while self.pending.len() < PIPELINE_MAX {
            self.skip_line_ends();
            let end = self.cut.end(&self.held).map_err(|_| Closed::Unreadable)?;
            let Some(end) = end else { break };
            let frame = self.held.split_to(end).freeze();
            self.pending.push(Box::pin(self.desk.ask(self.asker, frame)));
            self.since = Instant::now();
        }
        Ok(())
    }

    /// Those between requests. There are none before a cookie that has begun to come.
    fn skip_line_ends(&mut self) {
        let ends = self.held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if ends > 0 {
            drop(self.held.split_to(ends));
        }
    }

    fn came(&mut self, read: usize) {
        if self.held.len() == read {
            self.since = Instant::now();
        }
    }

    async fn answer(&mut self, reply: Option<Bytes>) -> Result<(), Closed> {
        if let Some(reply) = reply {
            match timeout(self.patience.write, self.socket.write_all(&reply)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => self.is_over = true,
                Err(_) => return Err(Closed::Slow),
            }
        }
        self.since = Instant::now();
        Ok(())
    }

    fn deadline(&self) -> (Instant, Closed) {
        if self.held.is_empty() {
            (self.since + self.patience.idle, Closed::Idle)
        } else {
            (self.since + self.patience.frame, Closed::Unfinished)
        }
    }
}

/// Requests of one connection in progress, most; what comes behind them waits in the kernel.
const PIPELINE_MAX: usize = 64;
/// Bytes that are read at once, at least.
const READ: usize = 4096;
