//! Session descriptions: read, looked into, and written back to something that reads the same.

#![no_main]

use causeway_control::sdp::Sdp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(sdp) = Sdp::parse(text) else { return };
    for section in sdp.media() {
        let _ = (section.mid(), section.setup(), section.direction(), section.is_rejected());
        let _ = (section.payload_types().count(), section.rtpmaps().count());
    }
    let written = sdp.to_string();
    let again = Sdp::parse(&written).expect("what was written can be read");
    assert_eq!(again.to_string(), written);
});
