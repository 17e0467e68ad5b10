//! A client of the node's REST API: one connection per request, from inside the node's namespace.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::namespace::inside;

/// Longest wait for a part of an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The admin listener of one node.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The node's network namespace.
    pub namespace: Option<String>,
    /// Where it listens there.
    pub address: SocketAddr,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Rest {
    /// What `GET path` answers, as JSON.
    ///
    /// # Panics
    /// If that is not a 2xx.
    pub fn get(&self, path: &str) -> Value {
        self.good("GET", path, None)
    }

    /// What `POST path` answers to `body`, as JSON.
    ///
    /// # Panics
    /// If that is not a 2xx.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.good("POST", path, Some(body))
    }

    /// Creates a call and returns its id.
    ///
    /// # Panics
    /// If the node refuses.
    pub fn create_call(&self) -> String {
        text(&self.post("/v1/calls", &json!({ "name": "test" })), "id")
    }

    /// Makes a join token.
    ///
    /// # Panics
    /// If the node refuses.
    pub fn token(&self, call: &str, role: &str) -> String {
        text(&self.post(&format!("/v1/calls/{call}/tokens"), &json!({ "role": role })), "token")
    }

    /// A call's statistics.
    ///
    /// # Panics
    /// If there is no such call.
    pub fn stats(&self, call: &str) -> Value {
        self.get(&format!("/v1/calls/{call}/stats"))
    }

    /// Asks anything.
    ///
    /// # Panics
    /// If the node cannot be reached or does not speak HTTP.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = inside(self.namespace.as_deref(), || exchange(self.address, &request));
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let (head, text) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.expect("an answer has a status"), text: text.to_owned() }
    }

    fn good(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.request(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.json()
    }
}

fn exchange(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}
