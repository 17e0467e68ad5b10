//! The ng protocol's datagrams: cut, read, understood, and written back to something that reads the same.

#![no_main]

use causeway_control::ng::{DOCUMENT_MAX, Frame, Message, bencode, frame, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(value) = bencode::decode(input) {
        assert_eq!(bencode::encode(&value), input);
        // Bytes outside UTF-8 are replaced once.
        if let Ok(again) = json::decode(&json::encode(&value)) {
            assert_eq!(json::decode(&json::encode(&again)), Ok(again));
        }
    }
    if let Ok(value) = json::decode(input) {
        assert_eq!(json::decode(&json::encode(&value)), Ok(value.clone()));
        // Numbers are longer in bencode.
        let written = bencode::encode(&value);
        assert!(written.len() > DOCUMENT_MAX || bencode::decode(&written) == Ok(value));
    }
    let document = Frame::split(input).map_or(input, |frame| frame.document);
    let (format, request) = frame::read(document);
    let Ok(request) = request else { return };
    let _ = format.write(request.clone());
    if let Ok(message) = Message::parse(&request) {
        let _ = (message.request.command(), message.request.call_id());
        assert!(message.unknown.iter().all(|name| name.is_ascii()));
    }
});
