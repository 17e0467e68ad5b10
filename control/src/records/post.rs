//! One POST over blocking TCP or TLS: as much HTTP/1.1 as it takes to hand something over (RFC 9112).
//! Nothing takes longer than [`TIMEOUT`], name look-up aside, nor is more than [`ANSWER_MAX`] bytes read.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::RecordError;
use crate::cloud::http;
use crate::config::WebhookUrl;

/// For one POST, from the connection to the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, with its head.
const ANSWER_MAX: usize = 16 * 1024;
/// Where Debian and its kin, and Alpine, keep the certificates that they trust.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why something was not handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// The connection.
    #[error("{}", words(.0))]
    Io(#[from] io::Error),
    /// The answer is none.
    #[error("the answer makes no sense: {0}")]
    Nonsense(&'static str),
    /// The receiver refuses it.
    #[error("the receiver answers {0}")]
    Refused(u16),
}

impl PostError {
    /// Whether another try may do better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Io(_) | Self::Nonsense(_) => true,
            Self::Refused(status) => *status >= 500 || [408, 425, 429].contains(status),
        }
    }
}

/// Posts to one URL.
pub(super) struct Poster {
    url: WebhookUrl,
    tls: Option<Arc<ClientConfig>>,
}

impl Poster {
    /// To this URL; over TLS the certificates in `ca` are trusted, or those that the system trusts.
    pub(super) fn new(url: WebhookUrl, ca: Option<&Path>) -> Result<Self, RecordError> {
        let path = ca.unwrap_or(Path::new(SYSTEM_CA));
        let trust = |problem: String| RecordError::Trust { path: path.to_owned(), problem };
        let tls = url.is_secure.then(|| client(path).map(Arc::new)).transpose().map_err(trust)?;
        Ok(Self { url, tls })
    }

    /// Posts a JSON body once.
    pub(super) fn post(&self, headers: &[(&str, String)], body: &[u8]) -> Result<(), PostError> {
        let deadline = Instant::now() + TIMEOUT;
        let mut stream = Timed { stream: self.connect(deadline)?, deadline };
        let request = [self.head(headers, body.len()).as_bytes(), body].concat();
        let status = match &self.tls {
            None => exchange(&mut stream, &request)?,
            Some(tls) => {
                let name = ServerName::try_from(self.url.host.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(tls.clone(), name);
                let mut session = session.map_err(io::Error::other)?;
                exchange(&mut Stream::new(&mut session, &mut stream), &request)?
            }
        };
        if (200..300).contains(&status) { Ok(()) } else { Err(PostError::Refused(status)) }
    }

    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.url.host.as_str(), self.url.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => return Ok(stream),
                Err(refused) => error = refused,
            }
        }
        Err(error)
    }

    fn head(&self, headers: &[(&str, String)], length: usize) -> String {
        let WebhookUrl { path, .. } = &self.url;
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: causeway\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n{lines}\r\n",
            self.url.authority()
        )
    }
}

fn client(ca: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| error.to_string())?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        return Err("there is no certificate in it".into());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Sends the request and says the status of the answer. What is behind its head may be too long to be read.
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Result<u16, PostError> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let length = match stream.read(&mut piece) {
            // A peer that closes TCP without closing TLS has said all that it will.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        answer.extend_from_slice(&piece[..length]);
        let is_full = answer.len() >= ANSWER_MAX;
        match http::read(&answer, length == 0).map_err(PostError::Nonsense)? {
            Some(response) => return Ok(response.status),
            None if is_full => return Err(PostError::Nonsense("too long")),
            None => {}
        }
    }
}

/// A stream on which nothing waits beyond an instant.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(into)
    }
}

impl Write for Timed {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A read that ran out of time says `WouldBlock` on Linux, which means nothing to an operator.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer in time".into(),
        _ => error.to_string(),
    }
}
