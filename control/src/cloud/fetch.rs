//! Runs an [`Exchange`] over blocking TCP, once, at start-up. Nothing here is bigger or slower than its constants.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::http::{self, Response};
use super::{Addresses, CloudError, Exchange, Output, Provider, Request, detect};

/// What `announce = "auto"` or a provider's name stands for. Blocks for [`TIMEOUT`] per request at most.
///
/// # Errors
/// The name or this machine's cloud is unknown, or what went wrong with its metadata service.
pub fn announced(name: &str) -> Result<Addresses, CloudError> {
    let provider = match name {
        "auto" => detect(Path::new(DMI)).ok_or(CloudError::UnknownCloud)?,
        name => name.parse()?,
    };
    fetch(provider, ENDPOINT)
}

/// Asks the metadata service at `endpoint`, which is [`ENDPOINT`] but in tests.
///
/// # Errors
/// What went wrong, in words for an operator.
pub fn fetch(provider: Provider, endpoint: SocketAddr) -> Result<Addresses, CloudError> {
    let mut exchange = Exchange::new(provider);
    loop {
        match exchange.poll_output()? {
            Output::Found(addresses) => return Ok(addresses),
            Output::Request(request) => {
                let response = ask(&request, endpoint).map_err(|error| match error {
                    Fault::Io(error) => CloudError::Unreachable(provider, endpoint, words(&error)),
                    Fault::Http(what) => CloudError::Nonsense(provider, what),
                })?;
                exchange.handle_response(response.status, &response.body)?;
            }
        }
    }
}

enum Fault {
    Io(io::Error),
    Http(&'static str),
}

fn ask(request: &Request, endpoint: SocketAddr) -> Result<Response, Fault> {
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&endpoint, TIMEOUT).map_err(Fault::Io)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(Fault::Io)?;
    let text = Zeroizing::new(http::write(request, &endpoint.to_string()));
    stream.write_all(text.as_bytes()).map_err(Fault::Io)?;
    let mut answer = Zeroizing::new(Vec::with_capacity(ANSWER_MAX));
    loop {
        let ended = read_some(&mut stream, &mut answer, deadline).map_err(Fault::Io)? == 0;
        if let Some(response) = http::read(&answer, ended).map_err(Fault::Http)? {
            return Ok(response);
        }
        if answer.len() >= ANSWER_MAX {
            return Err(Fault::Http("too long"));
        }
    }
}

fn read_some(stream: &mut TcpStream, into: &mut Vec<u8>, deadline: Instant) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut piece = Zeroizing::new([0; 1024]);
    let length = stream.read(&mut *piece)?;
    into.extend_from_slice(&piece[..length]);
    Ok(length)
}

/// A read that ran out of time says `WouldBlock` on Linux, which means nothing to an operator.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did not answer in time".into(),
        _ => error.to_string(),
    }
}

/// Where every known cloud has its metadata service.
pub const ENDPOINT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)), 80);
/// For one request, connecting included.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer with its head.
const ANSWER_MAX: usize = 8192;
const DMI: &str = "/sys/class/dmi/id";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// A metadata service on loopback that takes one connection per answer. `None` never answers.
    fn serve(answers: Vec<Option<String>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap();
        let service = thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                asked.push(String::from_utf8(head).unwrap());
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes())),
                    None => drop(stream.read(&mut byte)),
                }
            }
            asked
        });
        (endpoint, service)
    }

    fn ok(body: &str) -> Option<String> {
        Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    #[test]
    fn the_address_comes_over_a_real_connection() {
        let (endpoint, service) = serve(vec![ok("secret"), ok("203.0.113.5"), ok("172.31.5.10")]);
        let addresses = fetch(Provider::Aws, endpoint).unwrap();
        assert_eq!(addresses.public.to_string(), "203.0.113.5");
        let asked = service.join().unwrap();
        assert!(asked[0].starts_with("PUT /latest/api/token HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(asked[1].contains("\r\nX-aws-ec2-metadata-token: secret\r\n"), "{}", asked[1]);
    }

    #[test]
    fn a_service_that_refuses_is_quoted() {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        let (endpoint, service) = serve(vec![Some(refusal.into())]);
        let error = fetch(Provider::Aws, endpoint).unwrap_err();
        assert!(matches!(error, CloudError::Refused { status: 401, .. }), "{error}");
        service.join().unwrap();
    }

    #[test]
    fn a_silent_service_is_given_up() {
        let (endpoint, service) = serve(vec![None]);
        let error = fetch(Provider::Gcp, endpoint).unwrap_err().to_string();
        assert!(error.contains("did not answer in time"), "{error}");
        service.join().unwrap();
    }

    #[test]
    fn an_endless_answer_is_cut() {
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "1".repeat(ANSWER_MAX));
        let (endpoint, service) = serve(vec![Some(endless)]);
        let error = fetch(Provider::Gcp, endpoint).unwrap_err();
        assert_eq!(error, CloudError::Nonsense(Provider::Gcp, "too long"));
        service.join().unwrap();
    }

    #[test]
    fn nobody_there_is_said_plainly() {
        let endpoint = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = fetch(Provider::Azure, endpoint).unwrap_err().to_string();
        assert!(error.contains("cannot be reached"), "{error}");
    }
}
