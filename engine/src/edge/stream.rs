//! One stream: its socket, what is known of it, what has come of a message that is not whole, and what
//! waits to go out.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;

use super::framing::Framed;
use super::outbox::{Outbox, Weight};
use super::tls::Tls;
use crate::command::{SocketId, WorkerId};
use crate::error::DropReason;
use crate::packet::Nanos;

/// Time until a stream has said what it is, the TLS handshake included.
pub(crate) const DECISION: Nanos = Nanos::from_millis(10_000);
/// Time that a client of TURN may be without an allocation.
pub(crate) const UNALLOCATED: Nanos = Nanos::from_millis(30_000);
/// Time until the node has answered ICE in a stream: its checks name a leg that there is.
pub(crate) const UNANSWERED: Nanos = Nanos::from_millis(10_000);
/// Time that ICE may be silent: as long as consent lasts (RFC 7675 §5.1).
pub(crate) const SILENT: Nanos = Nanos::from_millis(30_000);
/// Time for a last word to be taken.
pub(crate) const PARTING: Nanos = Nanos::from_millis(1_000);
/// Bytes that the kernel keeps unsent, most: what is older waits here, where it can be dropped.
const UNSENT: u32 = 16 << 10;
/// Time that the far side may not confirm what it was sent.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// What is known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its source is a proxy, which has not said for whom it asks.
    Proxied,
    /// It has not said what it is.
    Opening,
    /// ICE over TCP for a leg of this worker.
    Ice {
        /// Which; none before the first check.
        worker: Option<WorkerId>,
        /// Whether anything was sent to it.
        answered: bool,
    },
    /// A client of TURN.
    Turn {
        /// How it came in: [`SocketId::TCP`] or [`SocketId::TLS`].
        socket: SocketId,
        /// Whether control knows of it.
        known: bool,
    },
    /// A client's end of a TCP relay's connection (RFC 6062 §5.4): what comes is the peer's.
    Data {
        /// How it came in.
        socket: SocketId,
        /// The peer's place.
        peer: usize,
    },
    /// It has had its last word, and what it says is not heard.
    Parting,
}

impl Stage {
    /// What its messages look like.
    pub(crate) fn framed(self) -> Option<Framed> {
        match self {
            Self::Ice { .. } => Some(Framed::Ice),
            Self::Turn { .. } => Some(Framed::Turn),
            _ => None,
        }
    }

    /// What the stream is spoken of as.
    pub(crate) fn socket(self) -> Option<SocketId> {
        match self {
            Self::Ice { worker: Some(_), .. } => Some(SocketId::STREAMS),
            Self::Turn { socket, .. } | Self::Data { socket, .. } => Some(socket),
            _ => None,
        }
    }
}

/// What one look into the kernel has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Where what there is now ends.
    pub(crate) end: usize,
    /// Whether anything has come.
    pub(crate) came: bool,
    /// Whether nothing more comes.
    pub(crate) over: bool,
    /// Whether more is probably there already.
    pub(crate) more: bool,
}

/// A client, or all that share a limit: an IPv4 address, or what one home or office has of IPv6 (/56).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(u128);

impl Network {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.to_ipv6_mapped().to_bits()),
            IpAddr::V6(ip) => Self(ip.to_bits() >> 72 << 72),
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) tcp: TcpStream,
    tls: Option<Tls>,
    pub(crate) stage: Stage,
    /// Its far address, which a proxy may have told.
    pub(crate) remote: SocketAddr,
    /// Whom its place is counted for, if it is.
    pub(crate) network: Option<Network>,
    /// When it is closed unless something happens.
    pub(crate) deadline: Nanos,
    /// A message that is not whole.
    partial: Vec<u8>,
    outbox: Outbox,
    /// Whether the kernel takes more, as far as is known.
    pub(crate) writable: bool,
    /// Whether it waits for its turn to be written.
    pub(crate) dirty: bool,
    /// Whether it waits for its turn to be read.
    pub(crate) waiting: bool,
    /// Whether it ends once what waits is written.
    pub(crate) ending: bool,
}

impl Stream {
    pub(crate) fn new(tcp: TcpStream, remote: SocketAddr, proxied: bool, now: Nanos) -> Self {
        Self {
            tcp,
            tls: None,
            stage: if proxied { Stage::Proxied } else { Stage::Opening },
            remote,
            network: None,
            deadline: now.plus(DECISION.0),
            partial: Vec::new(),
            outbox: Outbox::default(),
            writable: true,
            dirty: false,
            waiting: false,
            ending: false,
        }
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_handshaking)
    }

    /// Puts what was kept and what has come into `out`; `records` is room for what is encrypted.
    ///
    /// # Errors
    /// [`DropReason::StreamTls`].
    pub(crate) fn fill(
        &mut self,
        records: &mut [u8],
        out: &mut [u8],
    ) -> Result<Filled, DropReason> {
        let kept = self.partial.len();
        out[..kept].copy_from_slice(&self.partial);
        self.partial.clear();
        if let Some(tls) = &mut self.tls {
            return tls.fill(&self.tcp, records, out, kept);
        }
        let over = Filled { end: kept, came: false, over: true, more: false };
        Ok(match self.tcp.read(&mut out[kept..]) {
            Ok(0) => over,
            Ok(read) => {
                let end = kept + read;
                Filled { end, came: true, over: false, more: end == out.len() }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Filled { over: false, ..over }
            }
            Err(_) => over,
        })
    }

    /// Keeps what is no whole message.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
    }

    /// Takes out what was kept.
    pub(crate) fn take_partial(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }

    /// Bytes that wait to be written.
    pub(crate) fn waits(&self) -> usize {
        self.outbox.len()
    }

    /// Begins TLS with what has come; its plaintext is in `out` then, up to what is returned.
    ///
    /// # Errors
    /// [`DropReason::StreamTls`].
    pub(crate) fn secure(
        &mut self,
        config: &Arc<ServerConfig>,
        records: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let tls = self.tls.insert(Tls::new(config)?);
        tls.take_in(records, out, 0)
    }

    /// Prepares the socket for media: nothing waits for a packet to fill up, nor long in the kernel.
    pub(crate) fn quicken(&self) {
        let socket = SockRef::from(&self.tcp);
        // A kernel that refuses one of these serves a little worse.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        let _ = socket.set_tcp_user_timeout(Some(UNCONFIRMED));
    }

    /// Queues a message; says whether there was room.
    pub(crate) fn push(&mut self, parts: &[&[u8]], weight: Weight, now: Nanos) -> bool {
        self.outbox.push(parts, weight, now)
    }

    /// Drops what is stale of what waits, and says how much.
    pub(crate) fn drop_stale(&mut self, now: Nanos) -> u64 {
        self.outbox.drop_stale(now)
    }

    /// Writes what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// What the kernel says: the stream is over.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            self.writable = tls.flush(&self.tcp, &mut self.outbox)?;
            return Ok(());
        }
        while !self.outbox.is_empty() {
            match self.tcp.write(self.outbox.batch(usize::MAX)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.outbox.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says a last word and what TLS says at the end; what the far side says is not heard any more.
    pub(crate) fn part(&mut self, word: &[u8], now: Nanos) {
        self.stage = Stage::Parting;
        self.deadline = now.plus(PARTING.0);
        if !word.is_empty() {
            self.push(&[word], Weight::Answer, now);
        }
        self.say_goodbye();
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Writes what waits, as far as the kernel takes it at once, and TLS's own last word.
    pub(crate) fn say_goodbye(&mut self) {
        let _ = self.flush();
        if let Some(tls) = self.tls.as_mut().filter(|tls| !tls.is_handshaking()) {
            tls.close();
            let _ = self.flush();
        }
    }

    /// The socket and TLS, for whoever serves them from now on.
    pub(crate) fn into_parts(self) -> (TcpStream, Option<Tls>) {
        (self.tcp, self.tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_office_of_ipv6_is_one_and_ipv4_addresses_are_each() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:200::1"), of("2001:db8:1:2ff:9::"));
        assert_ne!(of("2001:db8:1:200::1"), of("2001:db8:1:300::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
