//! Clients' connections to a server over TCP, and over TLS.
//!
//! All use the same version and suites, so that servers are compared at the same work: TLS 1.2 with AES-128-GCM, since
//! coturn 4.6.1 as Debian builds it speaks nothing newer. The server's certificate is taken as it is.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::frame::{FRAME_MAX, Framer};

/// Bytes of one client that may wait for room in the kernel.
const WAITING_MAX: usize = 64 * 1024;
/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// Readiness events per turn; further ones wait for the next.
const EVENTS: usize = 1024;
/// Longest wait for a connection, and for a handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// All clients' connections, numbered in the order in which they were made.
pub struct Streams {
    poll: Poll,
    events: Events,
    all: Vec<Stream>,
    buffer: Box<[u8]>,
    /// Frames that found the stream full: the server does not take them in time.
    pub blocked: u64,
}

struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    waiting: Vec<u8>,
    framer: Framer,
    closed: bool,
}

impl Streams {
    /// Connects so many clients.
    ///
    /// # Errors
    /// If the server does not take them.
    pub fn connect(server: SocketAddr, count: usize, tls: bool) -> io::Result<Self> {
        let poll = Poll::new()?;
        let config = tls.then(config);
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let mut stream = Stream::connect(server, config.clone())?;
            poll.registry().register(&mut stream.tcp, Token(number), Interest::READABLE)?;
            all.push(stream);
        }
        let events = Events::with_capacity(EVENTS);
        Ok(Self { poll, events, all, buffer: vec![0; READ].into(), blocked: 0 })
    }

    /// Sends a frame that `fill` writes, padded; `false` if it was not sent.
    pub fn send(&mut self, client: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let mut out = [0; FRAME_MAX];
        let Some(len) = fill(&mut out) else { return false };
        let stream = &mut self.all[client];
        let sent = stream.send(&out[..len.next_multiple_of(4)]);
        if !sent {
            self.blocked += 1;
        }
        sent
    }

    /// Waits at most so long, then gives the frames that came to `each`, with whose they are. Returns how many.
    ///
    /// # Errors
    /// The kernel's to the waiting, or what a server may not send.
    pub fn turn(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(usize, &[u8]),
    ) -> io::Result<usize> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut count = 0;
        for event in &self.events {
            let number = event.token().0;
            self.all[number].receive(&mut self.buffer, &mut |frame| {
                count += 1;
                each(number, frame);
            })?;
        }
        for stream in self.all.iter_mut().filter(|stream| stream.is_waiting()) {
            stream.flush();
        }
        Ok(count)
    }

    /// Connections that the server has closed.
    pub fn closed(&self) -> usize {
        self.all.iter().filter(|stream| stream.closed).count()
    }
}

impl Stream {
    fn connect(server: SocketAddr, config: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let mut tcp = std::net::TcpStream::connect_timeout(&server, CONNECT)?;
        tcp.set_nodelay(true)?;
        let tls = match config {
            None => None,
            Some(config) => {
                let name = ServerName::from(server.ip());
                let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
                tcp.set_read_timeout(Some(CONNECT))?;
                while tls.is_handshaking() {
                    tls.complete_io(&mut tcp)?;
                }
                Some(Box::new(tls))
            }
        };
        tcp.set_nonblocking(true)?;
        let (tcp, waiting) = (TcpStream::from_std(tcp), Vec::new());
        Ok(Self { tcp, tls, waiting, framer: Framer::default(), closed: false })
    }

    /// Whether something waits for room in the kernel.
    fn is_waiting(&self) -> bool {
        !self.closed
            && (!self.waiting.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write()))
    }

    fn send(&mut self, frame: &[u8]) -> bool {
        if self.closed || self.waiting.len() + frame.len() > WAITING_MAX {
            return false;
        }
        match &mut self.tls {
            // What waits in TLS is not seen from here, so nothing is added to it.
            Some(tls) if tls.wants_write() => return false,
            Some(tls) => {
                if tls.writer().write_all(frame).is_err() {
                    return false;
                }
            }
            None => self.waiting.extend_from_slice(frame),
        }
        self.flush();
        true
    }

    fn flush(&mut self) {
        let written = match &mut self.tls {
            Some(tls) => flush_tls(tls, &mut self.tcp),
            None => flush_plain(&mut self.waiting, &mut self.tcp),
        };
        if let Err(error) = written {
            self.closed = error.kind() != io::ErrorKind::WouldBlock;
        }
    }

    /// Reads until nothing is left.
    fn receive(&mut self, buffer: &mut [u8], each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while !self.closed {
            let read = match &mut self.tls {
                Some(tls) => tls.read_tls(&mut self.tcp),
                None => self.tcp.read(buffer),
            };
            let len = match read {
                Ok(0) => {
                    self.closed = true;
                    return Ok(());
                }
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.closed = true;
                    return Ok(());
                }
            };
            let Some(tls) = &mut self.tls else {
                self.framer.take(&buffer[..len], &mut *each).map_err(io::Error::other)?;
                continue;
            };
            tls.process_new_packets().map_err(io::Error::other)?;
            // Nothing to read is an error here, and the end of the peer's data is not: both end this.
            while let Ok(len @ 1..) = tls.reader().read(buffer) {
                self.framer.take(&buffer[..len], &mut *each).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }
}

fn flush_plain(waiting: &mut Vec<u8>, tcp: &mut TcpStream) -> io::Result<()> {
    while !waiting.is_empty() {
        let written = tcp.write(waiting)?;
        waiting.drain(..written);
    }
    Ok(())
}

fn flush_tls(tls: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(tcp)?;
    }
    Ok(())
}

fn config() -> Arc<ClientConfig> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    });
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("the suites are of TLS 1.2")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

/// Whoever answers is who is measured.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
