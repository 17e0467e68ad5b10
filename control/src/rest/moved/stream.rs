//! A connection whose TLS handshake was made elsewhere, as tokio reads and writes it.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use causeway_engine::edge::HttpStream;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The socket, TLS, and what was read before.
pub(super) struct MovedStream {
    tcp: TcpStream,
    tls: Box<ServerConnection>,
    first: Vec<u8>,
    /// Bytes of it that were read again.
    again: usize,
    closed: bool,
}

impl MovedStream {
    /// On the reactor of the calling thread.
    pub(super) fn new(moved: HttpStream) -> io::Result<Self> {
        let HttpStream { tcp, tls, first, .. } = moved;
        let tcp = TcpStream::from_std(tcp)?;
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, tls, first, again: 0, closed: false })
    }

    /// Takes records in; says whether there may be more plaintext.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tls.read_tls(&mut Ready(&self.tcp)) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let processed = self.tls.process_new_packets();
        // An alert, or what a change of keys asks for.
        let _ = self.poll_out(cx)?;
        Poll::Ready(processed.map(drop).map_err(io::Error::other))
    }

    /// Writes the records that there are.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tls.write_tls(&mut Ready(&self.tcp)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for MovedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(rest) = this.first.get(this.again..).filter(|rest| !rest.is_empty()) {
            let len = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..len]);
            this.again += len;
            if this.again == this.first.len() {
                (this.first, this.again) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            match this.tls.reader().read(buf.initialize_unfilled()) {
                Ok(len) => {
                    buf.advance(len);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(this.poll_records(cx))?;
        }
    }
}

impl AsyncWrite for MovedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        let written = self.tls.writer().write(buf)?;
        // What the kernel does not take now goes out with the next call.
        let _ = self.poll_out(cx)?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closed, true) {
            self.tls.send_close_notify();
        }
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What can be read and written without waiting.
struct Ready<'t>(&'t TcpStream);

impl Read for Ready<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Ready<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
