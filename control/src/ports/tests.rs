use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const WORKER: WorkerId = WorkerId(0);

fn doors() -> Arc<Doors> {
    Arc::new(Doors::new(1))
}

fn interface(low: u16, high: u16) -> PortInterface {
    PortInterface {
        place: 0,
        name: "pub".into(),
        bind: Ipv4Addr::LOCALHOST.into(),
        announce: "203.0.113.5".parse().unwrap(),
        ports: Ports { low, high },
        dont_fragment: false,
    }
}

/// A desk of two pairs that nobody else holds.
fn desk() -> (PortDesk, u16) {
    for low in (20_002..28_000).step_by(8) {
        let free = (low..low + 4).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
        if free {
            return (PortDesk::new(vec![interface(low - 1, low + 3)], 1, 7, doors()), low);
        }
    }
    panic!("no ports are free");
}

fn free(desk: &mut PortDesk, now: Instant, pair: PortPair) {
    for port in [pair.rtp, pair.rtcp] {
        drop(port.udp);
        desk.free(now, WORKER, port.socket);
    }
}

#[test]
fn a_pair_is_an_even_port_and_the_one_above_each_in_a_slot_of_its_own() {
    let (mut desk, low) = desk();
    let pair = desk.lease(Instant::now(), WORKER, None, Some(false)).unwrap();
    assert_eq!(pair.rtp.udp.local_addr().unwrap().port(), low);
    assert_eq!(pair.rtcp.udp.local_addr().unwrap().port(), low + 1);
    assert_eq!(pair.rtp.announced, format!("203.0.113.5:{low}").parse().unwrap());
    assert_eq!(pair.rtcp.announced.port(), low + 1);
    assert!(pair.rtp.socket != pair.rtcp.socket && pair.rtp.socket.0 >= 7);
}

#[test]
fn a_freed_port_rests_and_exhaustion_says_so() {
    let (mut desk, low) = desk();
    let now = Instant::now();
    let pairs = [(); 2].map(|()| desk.lease(now, WORKER, None, Some(false)).unwrap());
    let error = desk.lease(now, WORKER, None, Some(false)).unwrap_err();
    assert!(matches!(error, PortError::Exhausted { pairs: 2, resting: 0, .. }), "{error}");
    pairs.into_iter().for_each(|pair| free(&mut desk, now, pair));
    assert_eq!(desk.leased(), 0);
    let error = desk.lease(now + REST / 2, WORKER, None, Some(false)).unwrap_err();
    assert!(matches!(error, PortError::Exhausted { resting: 2, .. }), "{error}");
    assert!(error.to_string().contains("widen its ports"));
    let pair = desk.lease(now + REST, WORKER, None, Some(false)).unwrap();
    assert_eq!(pair.rtp.announced.port(), low, "the one that was free longest");
}

#[test]
fn a_port_that_another_program_holds_is_passed_over_and_named_if_there_is_no_other() {
    let (mut desk, low) = desk();
    let _first = UdpSocket::bind(("127.0.0.1", low + 1)).unwrap();
    let pair = desk.lease(Instant::now(), WORKER, None, Some(false)).unwrap();
    assert_eq!(pair.rtp.announced.port(), low + 2);
    let error = desk.lease(Instant::now(), WORKER, None, Some(false)).unwrap_err();
    assert!(matches!(error, PortError::Bind { .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{}", low + 1)), "{error}");
}

#[test]
fn a_family_without_a_range_is_said() {
    let (mut desk, _) = desk();
    let error = desk.lease(Instant::now(), WORKER, None, Some(true)).unwrap_err();
    assert!(matches!(error, PortError::NoRange), "{error}");
    let ipv6 = PortInterface { bind: Ipv6Addr::LOCALHOST.into(), ..interface(20_000, 20_003) };
    let mut desk = PortDesk::new(vec![ipv6], 1, 0, doors());
    assert!(matches!(
        desk.lease(Instant::now(), WORKER, None, Some(false)),
        Err(PortError::NoRange)
    ));
}

#[test]
fn another_announced_address_holds_for_new_pairs() {
    let (mut desk, _) = desk();
    desk.announce(0, "203.0.113.9".parse().unwrap());
    let pair = desk.lease(Instant::now(), WORKER, None, Some(false)).unwrap();
    assert_eq!(pair.rtcp.announced.ip().to_string(), "203.0.113.9");
}

#[test]
fn it_is_told_how_many_ports_are_out_and_how_many_rest() {
    let (mut desk, low) = desk();
    let now = Instant::now();
    let pair = desk.lease(now, WORKER, None, Some(false)).unwrap();
    let stats = &desk.stats(now)[0];
    assert_eq!((stats.total, stats.used, stats.resting, stats.last), (4, 2, 0, low));
    free(&mut desk, now, pair);
    let stats = &desk.stats(now)[0];
    assert_eq!((stats.used, stats.resting), (0, 2));
    assert_eq!(desk.stats(now + REST)[0].resting, 0);
}

#[test]
fn a_pair_is_a_door_each_while_it_is_out() {
    use causeway_engine::doors::Beyond;
    let (mut desk, _) = desk();
    let doors = Arc::clone(&desk.doors);
    let pair = desk.lease(Instant::now(), WORKER, None, None).unwrap();
    let (announced, socket) = (pair.rtcp.announced, pair.rtcp.socket);
    let door = Door::Media { worker: WORKER, socket };
    assert_eq!(doors.beyond(announced), Beyond::Inside(door));
    assert_eq!(doors.address_of(WORKER, socket), Some(announced));
    free(&mut desk, Instant::now(), pair);
    assert_eq!(doors.beyond(announced), Beyond::Nothing);
    let relay = desk.lease_relays(Instant::now(), WORKER, false, RelayPorts::Any).unwrap();
    assert_eq!(doors.beyond(relay[0].announced), Beyond::Nothing, "its door is its allocation's");
}
