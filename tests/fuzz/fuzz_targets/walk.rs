//! Datagrams through a worker without a kernel: cut out of the input, from either end of a call
//! (one speaks plain RTP, so that the input reaches everything behind authentication) or from nowhere.

#![no_main]

use causeway_engine::command::{SocketId, WorkerId};
use causeway_engine::packet::Nanos;
use causeway_engine::srtp::Suite;
use causeway_engine::worker::bare::{Bare, Far, bridge};
use libfuzzer_sys::fuzz_target;

const WORKER: WorkerId = WorkerId(0);
const START: Nanos = Nanos::from_millis(100_000);

fuzz_target!(|input: &[u8]| {
    let fars =
        [Far::plain(0, 4000), Far::secure(1, 5000, Suite::AeadAes128Gcm).with_ice("right")];
    let mut bare = Bare::new(WORKER, 2, 64).expect("memory for a small pool");
    bare.pass(START);
    for (_, command) in bridge::commands([&fars[0], &fars[1]], [WORKER; 2]) {
        bare.apply(command).0.expect("the worker is empty");
    }
    let mut now = START;
    let mut rest = input;
    while let [origin, wait, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high & 7, *low])).min(tail.len());
        let (datagram, behind) = tail.split_at(len);
        rest = behind;
        now = now.plus(u64::from(*wait) * 1_000_000);
        let (socket, remote) = match origin % 4 {
            0 | 1 => (fars[0].socket, fars[0].remote),
            2 => (fars[1].socket, fars[1].remote),
            _ => (SocketId(0), ([127, 0, 0, 1], 9999).into()),
        };
        bare.receive(socket, remote, datagram, now);
        if origin & 4 == 0 {
            bare.pass(now);
            bare.sent(|_, _, bytes| assert!(!bytes.is_empty()));
        }
        while bare.punt().is_some() {}
        while bare.event().is_some() {}
        assert_eq!(bare.frames_lost(), 0);
    }
});
