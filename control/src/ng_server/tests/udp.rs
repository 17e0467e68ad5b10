use actix_rt::Arbiter;
use tokio::net::UdpSocket;

use super::*;

/// A server with both doors on loopback, and a client of the first.
async fn doors(peers: &[&str]) -> (Arc<Fake>, NgDoors, UdpSocket) {
    let mut config = Config::default();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    (config.ng.udp, config.ng.tcp) = (Some(any), Some(any));
    config.ng.peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    let fake = Fake::new();
    let doors = NgDoors::open(&config, fake.clone(), &Arbiter::current()).unwrap();
    let client = UdpSocket::bind(any).await.unwrap();
    client.connect(doors.udp.unwrap()).await.unwrap();
    (fake, doors, client)
}

async fn exchange(client: &UdpSocket, frame: &[u8]) -> String {
    client.send(frame).await.unwrap();
    hear(client).await
}

async fn hear(client: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_536];
    let heard = tokio::time::timeout(Duration::from_secs(20), client.recv(&mut buffer));
    let length = heard.await.expect("a reply").unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[actix_rt::test]
async fn datagrams_are_answered_from_where_they_were_sent_to() {
    let (fake, doors, client) = doors(&[]).await;
    assert_eq!(exchange(&client, b"c d7:command4:pinge").await, "c d6:result4:ponge");
    assert_eq!(exchange(&client, b"c d7:command4:pinge").await, "c d6:result4:ponge");
    // One without a cookie is passed over; the next one is answered.
    client.send(b"nothing").await.unwrap();
    assert!(exchange(&client, b"d xyz").await.contains("Invalid NG data format"));
    assert_eq!((fake.runs(), fake.briefs.load(Ordering::Relaxed)), (1, 1));
    let counts = doors.desk().counts();
    assert_eq!((counts.repeats(Door::Udp), counts.silences(Silence::NoCookie)), (1, 1));
    doors.close();
}

#[actix_rt::test]
async fn a_slow_request_holds_nobody_up_and_answers_its_repeats_too() {
    let (fake, doors, client) = doors(&[]).await;
    client.send(query("slow", "slow").as_bytes()).await.unwrap();
    client.send(query("slow", "slow").as_bytes()).await.unwrap();
    assert_eq!(exchange(&client, b"c d7:command4:pinge").await, "c d6:result4:ponge");
    until(|| doors.desk().counts().repeats(Door::Udp) == 1).await;
    fake.open();
    for _ in 0..2 {
        assert_eq!(hear(&client).await, "slow {\"result\":\"ok\"}");
    }
    assert_eq!(fake.runs(), 2);
    doors.close();
}

#[actix_rt::test]
async fn a_reply_that_fits_no_datagram_is_counted() {
    let (_, doors, client) = doors(&[]).await;
    client.send(query("c", "long").as_bytes()).await.unwrap();
    until(|| doors.desk().counts().silences(Silence::Unsent) == 1).await;
    doors.close();
}

#[actix_rt::test]
async fn strangers_hear_nothing() {
    let (fake, doors, client) = doors(&["192.0.2.1"]).await;
    client.send(b"c d7:command4:pinge").await.unwrap();
    until(|| doors.desk().counts().refused(Door::Udp) == 1).await;
    let stranger = tokio::net::TcpStream::connect(doors.tcp.unwrap()).await.unwrap();
    until(|| doors.desk().counts().refused(Door::Tcp) == 1).await;
    stranger.readable().await.unwrap();
    assert_eq!(stranger.try_read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(fake.runs(), 0);
    doors.close();
}

#[actix_rt::test]
async fn closed_doors_leave_no_socket_and_no_connection() {
    let (_, doors, client) = doors(&[]).await;
    let proxy = tokio::net::TcpStream::connect(doors.tcp.unwrap()).await.unwrap();
    assert_eq!(exchange(&client, b"c d7:command4:pinge").await, "c d6:result4:ponge");
    doors.close();
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, proxy.readable()).await.expect("a closed connection").unwrap();
    assert_eq!(proxy.try_read(&mut [0; 8]).unwrap_or(0), 0);
    // The kernel says so to whoever sends there, with the next thing that it asks.
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let knock = async {
        while !client.send(b"c d7:command4:pinge").await.is_err_and(refused) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(limit, knock).await.expect("a closed port");
}

#[actix_rt::test]
async fn an_address_that_cannot_be_bound_is_named_with_its_key() {
    let (_, doors, _) = doors(&[]).await;
    let mut config = Config::default();
    config.ng.udp = doors.udp;
    let error = NgDoors::open(&config, Fake::new(), &Arbiter::current()).err().unwrap().to_string();
    assert!(error.starts_with("ng.udp 127.0.0.1:"), "{error}");
    doors.close();
}
