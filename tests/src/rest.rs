//! A client of the node's REST API: one connection per request, from inside the node's namespace.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Client, Response};
use crate::namespace::inside;

/// Longest wait for a state, and time between two looks at it.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// The admin listener of one node.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The node's network namespace.
    pub namespace: Option<String>,
    /// Where it listens there.
    pub address: SocketAddr,
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

    /// Asks for a call until it is as it should be.
    ///
    /// # Panics
    /// If it never is.
    pub fn wait_call(&self, call: &str, mut good: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.get(&format!("/v1/calls/{call}"));
            if good(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "the call never came to it: {view}");
            thread::sleep(LOOK);
        }
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
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(Value::to_string).unwrap_or_default();
        inside(self.namespace.as_deref(), || {
            Client::new(self.address).send(method, path, body.as_bytes(), "application/json")
        })
    }

    fn good(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.request(method, path, body).ok()
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}
