//! TCP relays (RFC 6062).

use std::net::Shutdown;

use socket2::{Domain, Socket, Type};

use super::turn::id;
use super::*;
use crate::command::SocketId;
use crate::edge::peers::LEGACY;
use crate::relay::Relay;

/// Bytes that no buffer on the way holds.
const MANY: usize = 8 << 20;

/// A client with an allocation whose relayed address this is, and which permits `peer`.
fn allocated(rig: &mut Rig, peer: &str) -> (Client, SocketAddr) {
    rig.open();
    let client = rig.allocating();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(16).unwrap();
    let listener: TcpListener = socket.into();
    let relayed = listener.local_addr().unwrap();
    let peer = SocketAddr::new(peer.parse().unwrap(), 0);
    rig.allocate(0, &client, Relay { relayed, socket: None }, &[peer]);
    rig.apply(Command::AddListener { allocation: id(0), listener }).unwrap();
    (client, relayed)
}

impl Rig {
    /// The next event that is no answer.
    #[track_caller]
    fn told(&mut self) -> Event {
        self.until("an event", |rig| rig.events.pop())
    }

    /// A client's stream that is joined with a connection, behind its answer.
    fn joined(&mut self, connection: u32) -> Client {
        let mut data = self.allocating();
        let (socket, remote) = (SocketId::TCP, data.address());
        let bytes = request(stun::BINDING, &[], false);
        let answer = Command::Transmit { socket, remote, bytes: bytes.clone().into() };
        self.apply(answer).unwrap();
        self.apply(Command::Join { connection, socket, remote }).unwrap();
        assert_eq!(self.read_stun(&mut data), bytes);
        data
    }

    /// A connection to a peer of the test's own, and the peer.
    fn connected(&mut self) -> (u32, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (connection, peer) = (7, listener.local_addr().unwrap());
        self.apply(Command::Connect { allocation: id(0), connection, peer }).unwrap();
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let event = self.told();
        assert!(matches!(event, Event::PeerConnected { connection: 7, ok: true }), "{event:?}");
        (connection, Client { tcp })
    }
}

#[test]
fn a_client_reaches_a_peer_from_its_relayed_address_and_bytes_pass_both_ways() {
    let mut rig = Rig::new();
    let (_control, relayed) = allocated(&mut rig, "127.0.0.1");
    let (connection, mut peer) = rig.connected();
    assert_eq!(peer.tcp.peer_addr().unwrap(), relayed);
    peer.send(b"early");
    let mut client = rig.joined(connection);
    assert_eq!(rig.read(&mut client, 5), b"early");
    // What looks like a message of TURN is none any more.
    let ask = request(stun::BINDING, &[], false);
    client.send(&ask);
    assert_eq!(rig.read(&mut peer, ask.len()), ask);
    peer.send(b"reply");
    assert_eq!(rig.read(&mut client, 5), b"reply");
}

#[test]
fn a_permitted_peer_is_accepted_and_another_is_not() {
    let mut rig = Rig::new();
    let (_control, relayed) = allocated(&mut rig, "127.0.0.1");
    let mut peer = Client { tcp: TcpStream::connect(relayed).unwrap() };
    peer.tcp.set_nonblocking(true).unwrap();
    let event = rig.told();
    let Event::PeerAccepted { allocation, connection, peer: from } = event else {
        panic!("{event:?}")
    };
    assert_eq!((allocation, from), (id(0), peer.address()));
    assert!(connection >= 1 << 31);
    let mut client = rig.joined(connection);
    peer.send(b"hello");
    assert_eq!(rig.read(&mut client, 5), b"hello");

    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(PROXY, 0).into()).unwrap();
    socket.connect(&relayed.into()).unwrap();
    let mut stranger = Client { tcp: socket.into() };
    stranger.tcp.set_nonblocking(true).unwrap();
    assert_eq!(rig.read_to_end(&mut stranger), b"");
    assert_eq!(rig.drops(DropReason::NoPermission), 1);

    rig.apply(Command::RemoveAllocation { allocation: id(0) }).unwrap();
    assert!(TcpStream::connect(relayed).is_err(), "nobody listens there any more");
}

/// Sends `MANY` bytes one way while the other side reads slowly, and compares them.
fn pour(rig: &mut Rig, from: &mut Client, to: &mut Client) {
    let byte = |n: usize| (n * 7 + n / 251) as u8;
    let bytes: Vec<u8> = (0..MANY).map(byte).collect();
    let (mut sent, mut came) = (0, Vec::new());
    let mut some = vec![0; 96 << 10];
    rig.until_moving("all bytes", |_| {
        let before = (sent, came.len());
        while let Ok(more) = from.tcp.write(&bytes[sent..]) {
            sent += more;
            if more == 0 {
                break;
            }
        }
        if let Ok(read) = to.tcp.read(&mut some) {
            came.extend_from_slice(&some[..read]);
        }
        if came.len() == MANY { None } else { Some((sent, came.len()) != before) }
    });
    assert!(came == bytes, "they are the same");
}

impl Rig {
    /// Turns for as long as something moves; ends when the closure says `None`.
    #[track_caller]
    fn until_moving(&mut self, what: &str, mut step: impl FnMut(&mut Self) -> Option<bool>) {
        let mut still = 0;
        while let Some(moved) = step(self) {
            still = if moved { 0 } else { still + 1 };
            assert!(still < PATIENCE, "nothing moves any more: {what}");
            self.turn();
        }
    }
}

#[test]
fn what_one_side_does_not_take_waits_at_the_other_and_nothing_is_lost() {
    let mut rig = Rig::new();
    let (_control, _) = allocated(&mut rig, "127.0.0.1");
    let (connection, mut peer) = rig.connected();
    let mut client = rig.joined(connection);
    pour(&mut rig, &mut client, &mut peer);
    pour(&mut rig, &mut peer, &mut client);
    assert_eq!(rig.drops(DropReason::StreamStale), 0);
}

#[test]
fn a_side_that_ends_leaves_the_other_what_it_has_sent() {
    let mut rig = Rig::new();
    let (_control, _) = allocated(&mut rig, "127.0.0.1");
    let (connection, mut peer) = rig.connected();
    let mut client = rig.joined(connection);
    peer.send(b"last words");
    peer.tcp.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.read_to_end(&mut client), b"last words");
    let (first, second) = (rig.told(), rig.told());
    assert!(matches!(first, Event::PeerClosed { connection: 7 }), "{first:?}");
    assert!(matches!(second, Event::StreamClosed { .. }), "{second:?}");

    let (connection, mut peer) = rig.connected();
    let mut client = rig.joined(connection);
    client.send(b"goodbye");
    drop(client);
    assert_eq!(rig.read_to_end(&mut peer), b"goodbye");
    assert!(matches!(rig.told(), Event::StreamClosed { .. }));
    let gone = rig.apply(Command::DropConnection { connection });
    assert!(matches!(gone, Err(Refusal::Gone)), "{gone:?}");
    rig.wait(LEGACY);
    assert_eq!(rig.drops(DropReason::StreamLate), 0);
}

#[test]
fn control_ends_a_connection_and_the_stream_that_is_joined_with_it() {
    let mut rig = Rig::new();
    let (_control, _) = allocated(&mut rig, "127.0.0.1");
    let (connection, mut peer) = rig.connected();
    let mut client = rig.joined(connection);
    rig.apply(Command::DropConnection { connection }).unwrap();
    rig.read_to_end(&mut peer);
    rig.read_to_end(&mut client);
}

#[test]
fn a_peer_that_refuses_or_is_the_node_itself_is_not_reached() {
    let mut rig = Rig::new();
    let (_control, _) = allocated(&mut rig, "127.0.0.1");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = closed.local_addr().unwrap();
    drop(closed);
    let allocation = id(0);
    rig.apply(Command::Connect { allocation, connection: 1, peer }).unwrap();
    assert!(matches!(rig.told(), Event::PeerConnected { connection: 1, ok: false }));
    assert!(rig.doors.own("127.0.0.3".parse().unwrap()));
    let own = "127.0.0.3:22".parse().unwrap();
    rig.apply(Command::Connect { allocation, connection: 2, peer: own }).unwrap();
    assert!(matches!(rig.told(), Event::PeerConnected { connection: 2, ok: false }));
    assert_eq!(rig.drops(DropReason::RelayInward), 1);
    let misnamed = Command::Connect { allocation, connection: 1 << 31, peer };
    assert!(matches!(rig.apply(misnamed), Err(Refusal::Misuse)));
    let nobody = Command::Join {
        connection: 9,
        socket: SocketId::TCP,
        remote: "192.0.2.1:1".parse().unwrap(),
    };
    assert!(matches!(rig.apply(nobody), Err(Refusal::Gone)));
}
