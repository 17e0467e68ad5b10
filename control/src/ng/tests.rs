//! What the protocol promises, as behaviours.

mod cookies;
mod cuts;
mod documents;
mod flags;
mod frames;
mod replies;
mod requests;

use super::value::{Dictionary, Value};
use super::{Message, NgError};

/// A list of texts.
fn texts(texts: &[&str]) -> Value {
    Value::List(texts.iter().map(|text| (*text).into()).collect())
}

/// A request for `command`, as its document says it.
fn request(command: &str) -> Dictionary {
    Dictionary::new().with("command", command)
}

/// An offer with what it needs.
fn offer() -> Dictionary {
    request("offer").with("sdp", "v=0\r\n").with("call-id", "call").with("from-tag", "from")
}

fn parse(document: &Dictionary) -> Message {
    Message::parse(document).expect("the request is sound")
}

fn fault(document: &Dictionary) -> NgError {
    Message::parse(document).expect_err("the request is not sound")
}
