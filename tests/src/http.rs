//! A blocking HTTP/1.1 client for JSON, just as large as the tests need it: one connection that is
//! kept, bodies with a length or in chunks.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; `Null` if it is no JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Response {
    /// The body of a success.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }

    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value)
    }

    /// The kind of an error, and what is at fault, once its form is that of RFC 9457 §3.
    ///
    /// # Panics
    /// If it is no error or has another form.
    #[track_caller]
    pub fn problem(&self) -> (&str, &str) {
        assert!(self.status >= 400, "{} {}", self.status, self.body);
        assert_eq!(self.content_type, "application/problem+json", "{}", self.body);
        assert_eq!(self.body["status"], self.status, "{}", self.body);
        let kind = self.body["type"].as_str().unwrap_or_default();
        let kind = kind.strip_prefix("urn:causeway:problem:").expect("a problem's type");
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        (kind, self.body["at"].as_str().unwrap_or_default())
    }
}

/// A client of one server.
pub struct Client {
    server: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Of the server at this address; connects when it has to.
    pub fn new(server: SocketAddr) -> Self {
        Self { server, connection: None }
    }

    /// GET.
    pub fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, b"", "application/json")
    }

    /// DELETE.
    pub fn delete(&mut self, path: &str) -> Response {
        self.send("DELETE", path, b"", "application/json")
    }

    /// POST of a JSON value.
    pub fn post(&mut self, path: &str, body: &Value) -> Response {
        self.send("POST", path, body.to_string().as_bytes(), "application/json")
    }

    /// PUT of a JSON value.
    pub fn put(&mut self, path: &str, body: &Value) -> Response {
        self.send("PUT", path, body.to_string().as_bytes(), "application/json")
    }

    /// Any request. One that the server cut short before its answer is sent once more on a new
    /// connection: a kept one may have been closed meanwhile.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8], content_type: &str) -> Response {
        self.send_with(method, path, &[("Content-Type", content_type)], body)
    }

    /// [`Self::send`] with whatever headers.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn send_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let kept = self.connection.is_some();
        match self.exchange(method, path, headers, body) {
            Ok(response) => response,
            Err(_) if kept => {
                self.connection = None;
                self.exchange(method, path, headers, body).expect("an answer")
            }
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().expect("just made");
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.server,
            body.len()
        );
        // A server that refuses a long body may answer and close before it has read it.
        let written = connection.get_mut().write_all(&[head.as_bytes(), body].concat());
        let (response, close) = read(connection).inspect_err(|_| self.connection = None)?;
        if close || written.is_err() {
            self.connection = None;
        }
        Ok(response)
    }
}

pub(crate) fn read(from: &mut impl BufRead) -> io::Result<(Response, bool)> {
    let status = line(from)?;
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let (mut length, mut chunked, mut close, mut content_type) = (0, false, false, String::new());
    let mut headers = Vec::new();
    loop {
        let header = line(from)?;
        let Some((name, value)) = header.split_once(':') else { break };
        let value = value.trim();
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => close = value.eq_ignore_ascii_case("close"),
            "content-type" => value.clone_into(&mut content_type),
            _ => {}
        }
    }
    let bytes = if chunked { chunks(from)? } else { exactly(from, length)? };
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok((Response { status, content_type, headers, body, text }, close))
}

fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let length = usize::from_str_radix(&line(from)?, 16).map_err(io::Error::other)?;
        bytes.extend(exactly(from, length)?);
        line(from)?;
        if length == 0 {
            return Ok(bytes);
        }
    }
}

fn exactly(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if from.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end().to_owned())
}
