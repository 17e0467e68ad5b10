//! STUN messages: read and verified.

#![no_main]

use causeway_engine::stun::{IntegrityKey, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(message) = Message::parse(input) else { return };
    let signed = message.verify_integrity(&IntegrityKey::new("a password of the node"));
    assert!(message.has_integrity() || !signed);
    let _ = message.fingerprint_holds();
});
