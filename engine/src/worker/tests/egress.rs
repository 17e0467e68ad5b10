//! The code point of a leg is on every packet that leaves to it, and on no other.

use super::*;

const EF: u8 = 46;

/// A call whose second far end is sent to with [`EF`].
fn marked() -> Call {
    let mut fars = [
        Far::secure(0, 4000, Suite::AesCm128HmacSha1_80).with_ice("left"),
        Far::secure(1, 5000, Suite::AeadAes128Gcm).with_ice("right"),
    ];
    fars[1].dscp = EF;
    Call::with(fars)
}

/// Lets `act` make the worker send, and looks at what waits to leave: its far address and class.
fn classes(call: &mut Call, side: usize, packet: &[u8]) -> Vec<(SocketAddr, u8)> {
    let (socket, remote) = (call.fars[side].socket, call.fars[side].remote);
    call.bare.receive(socket, remote, packet, call.now);
    let classes = call.bare.classes().collect();
    call.sent();
    classes
}

#[test]
fn media_to_a_marked_leg_carries_its_code_point_and_media_from_it_does_not() {
    let mut call = marked();
    let there = call.sealed(0, audio(0, 1));
    assert_eq!(classes(&mut call, 0, &there), [(call.fars[1].remote, EF << 2)]);
    let back = call.sealed(1, audio(1, 1));
    assert_eq!(classes(&mut call, 1, &back), [(call.fars[0].remote, 0)]);
}

#[test]
fn handshakes_to_a_marked_leg_carry_its_code_point() {
    let mut call = marked();
    for (side, class) in [(0, 0), (1, EF << 2)] {
        let (socket, remote) = (call.fars[side].socket, call.fars[side].remote);
        call.apply(Command::Transmit { socket, remote, bytes: Box::new([22, 0xfe]) }).unwrap();
        assert_eq!(call.bare.classes().collect::<Vec<_>>(), [(remote, class)]);
        call.sent();
    }
    let stranger: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let (socket, bytes) = (call.fars[1].socket, Box::new([22, 0xfe]));
    call.apply(Command::Transmit { socket, remote: stranger, bytes }).unwrap();
    assert_eq!(call.bare.classes().collect::<Vec<_>>(), [(stranger, 0)]);
    call.sent();
}

#[test]
fn a_marked_leg_s_checks_are_answered_with_its_code_point() {
    let mut call = marked();
    for (side, class) in [(0, 0), (1, EF << 2)] {
        let mut buffer = [0; 256];
        let len = call.fars[side].check(&mut buffer, 1, false).unwrap();
        let remote = call.fars[side].remote;
        assert_eq!(classes(&mut call, side, &buffer[..len]), [(remote, class)]);
    }
}
