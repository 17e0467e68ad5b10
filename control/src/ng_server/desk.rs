//! What every door asks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::Addr;
use actix::prelude::SendError;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::work::Work;
use super::{Ask, Close, Closed, Counts, Door, NgServer, Silence};

/// The server, to be asked from any thread.
#[derive(Clone)]
pub struct NgDesk {
    server: Addr<NgServer>,
    pub(super) work: Arc<Work>,
}

/// Who asks, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Which way.
    pub door: Door,
    /// From where.
    pub peer: IpAddr,
}

impl Asker {
    /// IPv4 within IPv6 is IPv4: a socket of both families shows it so.
    pub fn new(door: Door, peer: IpAddr) -> Self {
        Self { door, peer: peer.to_canonical() }
    }
}

impl NgDesk {
    pub(super) fn new(server: Addr<NgServer>, work: Arc<Work>) -> Self {
        Self { server, work }
    }

    /// Whether this one may ask at all. Who may not is counted.
    pub fn admits(&self, asker: &Asker) -> bool {
        self.work.admits(asker)
    }

    /// The reply to a request with its cookie, and `None` if there is none, which is counted. It is asked now,
    /// before anybody waits for the reply.
    pub fn ask(&self, asker: Asker, frame: Bytes) -> impl Future<Output = Option<Bytes>> + use<> {
        let (reply, mut answer) = mpsc::channel(1);
        let asked = self.server.try_send(Ask { asker, frame, since: Instant::now(), reply });
        if let Err(SendError::Full(_) | SendError::Closed(_)) = asked {
            // The channel closes with the request, so that nobody waits.
            self.silent(Silence::Overrun);
        }
        async move { answer.recv().await }
    }

    /// The reply to a request without a cookie; it runs as often as it is asked.
    pub async fn ask_plain(&self, asker: Asker, document: &[u8]) -> Bytes {
        self.work.run_plain(&asker, document).await.into()
    }

    /// Counts a connection that was closed.
    pub fn closed(&self, why: Closed) {
        self.work.count(|counts| counts.close(why));
    }

    /// Counts a request that got no reply.
    pub(super) fn silent(&self, why: Silence) {
        self.work.count(|counts| counts.silence(why));
    }

    /// Lets no further request run.
    pub(super) fn close(&self) {
        self.server.do_send(Close);
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.work.counts()
    }
}
