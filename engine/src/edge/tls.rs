//! TLS of one stream, by rustls: records in, plaintext out, and back.
//!
//! Records are read from the kernel many at a time into a buffer of the thread. What is written is
//! encrypted a batch at a time and only while the kernel takes it, so that what grows stale is still
//! plaintext and can be dropped.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::outbox::Outbox;
use super::stream::Filled;
use crate::error::DropReason;

/// Bytes that are encrypted at a time: one record (RFC 8446 §5.1).
const BATCH: usize = 16 << 10;
/// Bytes that are read from the kernel at a time. With the rest of a record that came before, their
/// plaintext fits into what the caller has.
pub(crate) const CIPHERTEXT: usize = 32 << 10;

/// The server's end.
#[derive(Debug)]
pub(crate) struct Tls {
    connection: Box<ServerConnection>,
    /// Whether the client has said that nothing more comes.
    ended: bool,
}

impl Tls {
    /// One that waits for the client's first record.
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, DropReason> {
        let connection = ServerConnection::new(Arc::clone(config));
        let connection = Box::new(connection.map_err(|_| DropReason::StreamTls)?);
        Ok(Self { connection, ended: false })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The connection, for whoever serves it from now on.
    pub(crate) fn into_inner(self) -> Box<ServerConnection> {
        self.connection
    }

    /// Takes records in and appends their plaintext to `out` from `at` on; says where it ends.
    ///
    /// # Errors
    /// [`DropReason::StreamTls`] if the client breaks the protocol; what tells it so waits to be written.
    pub(crate) fn take_in(
        &mut self,
        mut records: &[u8],
        out: &mut [u8],
        mut at: usize,
    ) -> Result<usize, DropReason> {
        loop {
            if !records.is_empty() {
                let taken =
                    self.connection.read_tls(&mut records).map_err(|_| DropReason::StreamTls)?;
                if taken == 0 {
                    // It was closed by the client's word, and more is said behind that.
                    return Ok(at);
                }
            }
            self.connection.process_new_packets().map_err(|_| DropReason::StreamTls)?;
            at += self.plaintext(&mut out[at..])?;
            if records.is_empty() {
                return Ok(at);
            }
        }
    }

    fn plaintext(&mut self, out: &mut [u8]) -> Result<usize, DropReason> {
        let mut len = 0;
        loop {
            match self.connection.reader().read(&mut out[len..]) {
                Ok(0) => {
                    // Not for want of room: that is an empty slice's, and here there is some.
                    self.ended |= len < out.len();
                    return Ok(len);
                }
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(len),
                Err(_) => return Err(DropReason::StreamTls),
            }
        }
    }

    /// Reads from the kernel.
    pub(crate) fn fill(
        &mut self,
        tcp: &TcpStream,
        records: &mut [u8],
        out: &mut [u8],
        at: usize,
    ) -> Result<Filled, DropReason> {
        let mut tcp = tcp;
        let over = Filled { end: at, came: false, over: true, more: false };
        let read = match tcp.read(records) {
            Ok(0) => return Ok(over),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Filled { over: false, ..over });
            }
            Err(_) => return Ok(over),
        };
        let end = self.take_in(&records[..read], out, at)?;
        Ok(Filled { end, came: true, over: self.ended, more: read == records.len() })
    }

    /// Writes what the protocol itself has to say, then what waits; says whether the kernel takes more.
    pub(crate) fn flush(&mut self, tcp: &TcpStream, outbox: &mut Outbox) -> io::Result<bool> {
        let mut tcp = tcp;
        loop {
            while self.connection.wants_write() {
                match self.connection.write_tls(&mut tcp) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if outbox.is_empty() || self.connection.is_handshaking() {
                return Ok(true);
            }
            let taken = self.connection.writer().write(outbox.batch(BATCH))?;
            outbox.advance(taken);
        }
    }

    /// Says goodbye, which waits to be written.
    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
    }
}
