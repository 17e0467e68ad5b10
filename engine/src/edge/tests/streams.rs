//! Streams: what they are taken for, and when they are closed.

use super::*;
use crate::edge::stream::{DECISION, PARTING, UNALLOCATED};

#[test]
fn http_without_tls_is_told_so() {
    let mut rig = Rig::new();
    let mut client = rig.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = rig.read_to_end(&mut client);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    assert_eq!(rig.drops(DropReason::StreamClear), 1);
    rig.wait(PARTING);
    assert_eq!((rig.edge.streams.len(), rig.drops(DropReason::StreamLate)), (0, 0));
}

#[test]
fn what_nobody_speaks_is_closed() {
    let mut rig = Rig::new();
    for junk in [&b"SSH-2.0-OpenSSH\r\n"[..], &[0, 1, 0, 0, 9, 9, 9, 9, 9, 9], &[0xff]] {
        let mut client = rig.client();
        client.send(junk);
        assert_eq!(rig.read_to_end(&mut client), b"");
    }
    assert_eq!(rig.drops(DropReason::UnknownClass), 3);
    assert_eq!(rig.edge.streams.len(), 0);
}

#[test]
fn a_handshake_that_fails_is_told_why() {
    let mut rig = Rig::new();
    let mut client = rig.client();
    client.send(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]);
    let alert = rig.read_to_end(&mut client);
    assert_eq!(alert.first(), Some(&0x15), "an alert record: {alert:?}");
    assert_eq!(rig.drops(DropReason::StreamTls), 1);
}

#[test]
fn whoever_does_not_say_what_it_is_in_time_is_closed_however_it_dawdles() {
    let mut rig = Rig::new();
    let (mut silent, mut slow, mut hello) = (rig.client(), rig.client(), rig.client());
    slow.send(&[0, 1]);
    hello.send(&[0x16, 3, 1, 2, 0, 1]);
    rig.until("three streams", |rig| (rig.edge.streams.len() == 3).then_some(()));
    rig.wait(Nanos(DECISION.0 / 2));
    slow.send(&[0, 0]);
    rig.turn();
    assert_eq!(rig.edge.streams.len(), 3);
    rig.wait(DECISION);
    for client in [&mut silent, &mut slow, &mut hello] {
        assert_eq!(rig.read_to_end(client), b"");
    }
    assert_eq!(rig.drops(DropReason::StreamLate), 3);
}

#[test]
fn a_client_of_turn_without_an_allocation_is_closed_in_time() {
    let mut rig = Rig::new();
    let mut client = rig.client();
    client.send(&request(stun::BINDING, &[], false));
    rig.read_stun(&mut client);
    rig.wait(DECISION);
    assert_eq!(rig.edge.streams.len(), 1);
    rig.wait(UNALLOCATED);
    rig.read_to_end(&mut client);
    assert_eq!(rig.drops(DropReason::StreamLate), 1);
    assert!(rig.events.is_empty(), "control was never told of it");
}

#[test]
fn streams_of_one_address_are_limited_and_so_are_all() {
    let mut rig = Rig::new();
    let held: Vec<Client> = (0..STREAMS.1).map(|_| rig.client()).collect();
    let mut beyond = rig.client();
    rig.read_to_end(&mut beyond);
    assert_eq!(rig.drops(DropReason::StreamLimit), 1);
    let others: Vec<Client> = (STREAMS.1..STREAMS.0).map(|_| rig.proxied()).collect();
    let mut beyond = rig.proxied();
    rig.read_to_end(&mut beyond);
    assert_eq!(rig.drops(DropReason::StreamLimit), 2);
    drop((held, others));
    rig.until("room again", |rig| (rig.edge.streams.len() == 0).then_some(()));
    let mut client = rig.client();
    client.send(&request(stun::BINDING, &[], false));
    rig.read_stun(&mut client);
}

#[test]
fn a_proxy_tells_for_whom_it_asks() {
    let mut rig = Rig::new();
    let mut client = rig.proxied();
    client.send(b"PROXY TCP4 192.0.2.7 203.0.113.5 4711 443\r\n");
    client.send(&request(stun::BINDING, &[], false));
    let answer = rig.read_stun(&mut client);
    let answer = stun::Message::parse(&answer).unwrap();
    assert_eq!(answer.mapped, Some("192.0.2.7:4711".parse().unwrap()));
}

#[test]
fn a_proxy_that_does_not_tell_and_whoever_pretends_to_be_one_are_closed() {
    let mut rig = Rig::new();
    let mut client = rig.proxied();
    client.send(&request(stun::BINDING, &[], false));
    rig.read_to_end(&mut client);
    assert_eq!(rig.drops(DropReason::StreamProxy), 1);
    let mut liar = rig.client();
    liar.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xcb\0\x71\x05\x12\x67\x01\xbb");
    rig.read_to_end(&mut liar);
    assert_eq!(rig.drops(DropReason::UnknownClass), 1);
}

#[test]
fn clients_of_a_proxy_are_counted_each_for_itself() {
    let mut rig = Rig::new();
    let mut clients: Vec<Client> = (0..=STREAMS.1).map(|_| rig.proxied()).collect();
    for client in &mut clients {
        client.send(b"PROXY TCP4 192.0.2.7 203.0.113.5 4711 443\r\n");
        rig.turn();
    }
    rig.wait_for_drop(DropReason::StreamLimit);
    assert_eq!(rig.edge.streams.len(), STREAMS.1);
    let mut other = rig.proxied();
    other.send(b"PROXY TCP4 192.0.2.8 203.0.113.5 4711 443\r\n");
    other.send(&request(stun::BINDING, &[], false));
    rig.read_stun(&mut other);
}
