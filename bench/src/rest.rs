//! A client of the node's REST API: blocking, one connection per request.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Longest wait for a connection and for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer, most.
const ANSWER_MAX: u64 = 4 << 20;

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    host: String,
    address: SocketAddr,
}

impl From<SocketAddr> for Api {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.to_string(), address }
    }
}

impl FromStr for Api {
    type Err = String;

    /// Reads `http://HOST:PORT`.
    fn from_str(url: &str) -> Result<Self, String> {
        let host = url.strip_prefix("http://").ok_or(
            "the API is reached by http:// (its listener is kept private; TLS is not spoken here)",
        )?;
        let host = host.trim_end_matches('/');
        if host.contains('/') {
            return Err("the API's address has no path".into());
        }
        let with_port =
            if host.parse::<SocketAddr>().is_ok() || host.rsplit_once(':').is_some_and(is_port) {
                host.to_owned()
            } else {
                format!("{host}:80")
            };
        let mut found = with_port.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(Self { host: host.to_owned(), address })
    }
}

fn is_port((_, port): (&str, &str)) -> bool {
    port.parse::<u16>().is_ok()
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.host)
    }
}

/// Why the node did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// There is no answer.
    #[error("the node at {api} cannot be reached: {source}")]
    Unreachable {
        /// Where.
        api: Api,
        /// What went wrong.
        source: io::Error,
    },
    /// 401 or 403.
    #[error(
        "the node does not let us in ({status}): {detail}; give a token with the scopes read and call by --token"
    )]
    Unauthorized {
        /// The status.
        status: u16,
        /// The node's words.
        detail: String,
    },
    /// 429 or 503: a limit is reached.
    #[error("the node has reached a limit ({status}): {detail}")]
    Limit {
        /// The status.
        status: u16,
        /// The node's words.
        detail: String,
    },
    /// Any other refusal.
    #[error("the node refused {request} ({status}): {detail}")]
    Refused {
        /// Method and path.
        request: String,
        /// The status.
        status: u16,
        /// The node's words.
        detail: String,
    },
    /// Whoever answered does not speak the API.
    #[error("what answers at {api} is no causeway node: {what}")]
    Foreign {
        /// Where.
        api: Api,
        /// What is odd.
        what: &'static str,
    },
}

/// A leg that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedLeg {
    /// Its id.
    pub id: String,
    /// The node's answer.
    pub answer: String,
}

/// What all workers of a node have done since they started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workers {
    /// Packets that they have dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Turns of their loops.
    pub turns: u64,
    /// Datagrams that they have received in them.
    pub packets_in: u64,
    /// The turns by the most datagrams that one of their size receives; none if the node does not tell.
    pub turn_sizes: BTreeMap<u64, u64>,
}

impl Workers {
    fn read(node: &Value) -> Self {
        let mut all = Self::default();
        for worker in node["workers"].as_array().into_iter().flatten() {
            for (reason, count) in worker["drops"].as_object().into_iter().flatten() {
                *all.drops.entry(reason.clone()).or_default() += count.as_u64().unwrap_or(0);
            }
            all.turns += worker["turns"].as_u64().unwrap_or(0);
            all.packets_in += worker["packets_in"].as_u64().unwrap_or(0);
            for size in worker["turn_sizes"].as_array().into_iter().flatten() {
                let most = size["packets"].as_u64().unwrap_or(0);
                *all.turn_sizes.entry(most).or_default() += size["turns"].as_u64().unwrap_or(0);
            }
        }
        all
    }
}

/// A client.
pub struct Rest {
    api: Api,
    token: Option<Zeroizing<String>>,
}

impl Rest {
    /// Of the node at `api`.
    pub fn new(api: Api, token: Option<Zeroizing<String>>) -> Self {
        Self { api, token }
    }

    /// Makes a call and returns its id.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn create_call(&self, name: &str) -> Result<String, RestError> {
        let call = self.ask("POST", "/v1/calls", Some(&json!({ "name": name })))?;
        self.text(&call["id"])
    }

    /// Adds a leg by an offer.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn add_leg(&self, call: &str, role: &str, offer: &str) -> Result<AddedLeg, RestError> {
        let path = format!("/v1/calls/{call}/legs");
        let added = self.ask("POST", &path, Some(&json!({ "role": role, "offer": offer })))?;
        Ok(AddedLeg { id: self.text(&added["leg"]["id"])?, answer: self.text(&added["answer"])? })
    }

    /// Ends a call. One that is over already is as good.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn delete_call(&self, call: &str) -> Result<(), RestError> {
        match self.ask("DELETE", &format!("/v1/calls/{call}"), None) {
            Ok(_) | Err(RestError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The version that the node says it is.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn version(&self) -> Result<String, RestError> {
        self.text(&self.ask("GET", "/v1/node", None)?["version"])
    }

    /// What the node's workers have done, as of a second ago at most.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn workers(&self) -> Result<Workers, RestError> {
        Ok(Workers::read(&self.ask("GET", "/v1/node", None)?))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, RestError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let raw = self
            .exchange(method, path, &body)
            .map_err(|source| RestError::Unreachable { api: self.api.clone(), source })?;
        let foreign = |what| RestError::Foreign { api: self.api.clone(), what };
        let (status, body) = split(&raw).ok_or_else(|| foreign("the answer is not HTTP"))?;
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let detail = || {
            let said = value["detail"].as_str().map(str::to_owned);
            said.unwrap_or_else(|| "it does not say why".to_owned())
        };
        match status {
            200..300 => Ok(value),
            401 | 403 => Err(RestError::Unauthorized { status, detail: detail() }),
            429 | 503 => Err(RestError::Limit { status, detail: detail() }),
            _ => {
                let request = format!("{method} {path}");
                Err(RestError::Refused { request, status, detail: detail() })
            }
        }
    }

    /// HTTP/1.0, so that the answer is neither chunked nor followed by another.
    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.api.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut request = Zeroizing::new(format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            self.api.host,
            body.len()
        ));
        if let Some(token) = &self.token {
            request.push_str("Authorization: Bearer ");
            request.push_str(token);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn text(&self, value: &Value) -> Result<String, RestError> {
        let what = "the answer lacks a field";
        let text = value.as_str().ok_or_else(|| RestError::Foreign { api: self.api.clone(), what });
        text.map(str::to_owned)
    }
}

/// The status and the body of an answer.
fn split(raw: &[u8]) -> Option<(u16, &[u8])> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let (version, rest) = head.split_once(' ')?;
    let status = rest.get(..3)?.parse().ok()?;
    version.starts_with("HTTP/1.").then_some((status, &raw[end + 4..]))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer.
    fn answering(answer: &'static str) -> Rest {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", server.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Rest::new(api, None)
    }

    #[test]
    fn refusals_are_told_apart() {
        let refused = |status: &'static str| answering(status).create_call("x").unwrap_err();
        let limit = refused("HTTP/1.1 503 Unavailable\r\n\r\n{\"detail\":\"2000 calls\"}");
        assert!(matches!(&limit, RestError::Limit { detail, .. } if detail == "2000 calls"));
        let closed = refused("HTTP/1.1 401 Unauthorized\r\n\r\n{}");
        assert!(matches!(closed, RestError::Unauthorized { status: 401, .. }));
        let other = refused("HTTP/1.1 422 Unprocessable\r\n\r\nno json");
        assert!(matches!(other, RestError::Refused { status: 422, .. }));
        assert!(matches!(refused("SSH-2.0\r\n\r\n"), RestError::Foreign { .. }));
        assert!(matches!(refused("HTTP/1.1 201 Created\r\n\r\n{}"), RestError::Foreign { .. }));
    }

    #[test]
    fn workers_are_told_together() {
        let answer = "HTTP/1.1 200 OK\r\n\r\n{\"workers\":[{\"turns\":2,\"packets_in\":6,\"drops\":{\"a\":1},\
            \"turn_sizes\":[{\"packets\":4,\"turns\":2}]},{\"turns\":1,\"packets_in\":1,\"drops\":{\"a\":2,\"b\":0}}]}";
        let workers = answering(answer).workers().unwrap();
        assert_eq!((workers.turns, workers.packets_in), (3, 7));
        assert_eq!((workers.drops["a"], workers.drops["b"]), (3, 0));
        assert_eq!(workers.turn_sizes, BTreeMap::from([(4, 2)]), "the other one does not tell");
    }

    #[test]
    fn a_call_that_is_gone_is_deleted() {
        assert!(answering("HTTP/1.1 404 Not Found\r\n\r\n{}").delete_call("x").is_ok());
        assert!(answering("HTTP/1.1 204 No Content\r\n\r\n").delete_call("x").is_ok());
    }

    #[test]
    fn nobody_there_is_unreachable() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", server.local_addr().unwrap()).parse().unwrap();
        drop(server);
        let error = Rest::new(api, None).create_call("x").unwrap_err();
        assert!(matches!(error, RestError::Unreachable { .. }));
    }

    #[test]
    fn an_api_needs_a_plain_address() {
        assert!("http://127.0.0.1:8080/".parse::<Api>().is_ok());
        for url in ["https://127.0.0.1:1", "127.0.0.1:8080", "http://127.0.0.1:1/v1"] {
            assert!(url.parse::<Api>().is_err(), "{url}");
        }
    }
}
