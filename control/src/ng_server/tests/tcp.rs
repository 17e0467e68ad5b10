use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::tcp::{self, Patience};
use super::*;
use crate::config::NG_CONNECTIONS_MAX;
use crate::ng::FRAME_MAX;

const PING: &[u8] = b"c d7:command4:pinge";
const PONG: &str = "c d6:result4:ponge";

/// A server with a door on this thread, and its address.
fn door(patience: Patience) -> (Arc<Fake>, NgDesk, SocketAddr) {
    let (fake, desk) = open();
    let listener = tcp::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let (own, (open, closing)) = (desk.clone(), watch::channel(()));
    actix_rt::spawn(async move {
        tcp::serve(listener, own, patience, closing).await;
        drop(open);
    });
    (fake, desk, address)
}

async fn connect() -> (Arc<Fake>, NgDesk, TcpStream) {
    let (fake, desk, address) = door(Patience::default());
    (fake, desk, TcpStream::connect(address).await.unwrap())
}

async fn hear(client: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_exact(&mut bytes));
    read.await.expect("a reply").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What comes until the node closes.
async fn rest(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut bytes));
    // A reset is as good an end.
    let _ = read.await.expect("the end");
    String::from_utf8(bytes).unwrap()
}

#[actix_rt::test]
async fn a_request_is_answered_wherever_it_is_split() {
    let (_, _, mut client) = connect().await;
    client.set_nodelay(true).unwrap();
    for at in 1..PING.len() {
        client.write_all(&PING[..at]).await.unwrap();
        tokio::task::yield_now().await;
        client.write_all(&PING[at..]).await.unwrap();
        assert_eq!(hear(&mut client, PONG.len()).await, PONG);
    }
    for byte in PING {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(hear(&mut client, PONG.len()).await, PONG);
}

#[actix_rt::test]
async fn pipelined_requests_are_each_answered_when_they_are_done() {
    let (fake, _, mut client) = connect().await;
    let requests = format!("{}\r\nb {{\"command\":\"ping\"}}\n", query("a", "slow"));
    client.write_all(requests.as_bytes()).await.unwrap();
    let quick = "b {\"result\":\"pong\"}";
    assert_eq!(hear(&mut client, quick.len()).await, quick);
    fake.open();
    let slow = "a {\"result\":\"ok\"}";
    assert_eq!(hear(&mut client, slow.len()).await, slow);
    assert_eq!(fake.briefs.load(Ordering::Relaxed), 0);
}

#[actix_rt::test]
async fn more_requests_than_run_at_once_are_all_answered_to_one_who_has_said_all() {
    let (fake, _, mut client) = connect().await;
    let requests: String = (0..500).map(|at| query(&format!("{at}"), "none")).collect();
    client.write_all(requests.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.matches("Unknown call-id").count(), 500);
    assert_eq!(fake.runs(), 500);
}

#[actix_rt::test]
async fn what_is_no_request_ends_the_connection() {
    let (_, desk, address) = door(Patience::default());
    let long = [b"c d66000:".to_vec(), vec![b'x'; FRAME_MAX]].concat();
    let texts = [&b"GET / HTTP/1.1\r\n\r\n"[..], b" d", &long];
    for (at, text) in texts.into_iter().enumerate() {
        let mut client = TcpStream::connect(address).await.unwrap();
        let _ = client.write_all(text).await;
        assert_eq!(rest(&mut client).await, "");
        until(|| desk.counts().closed(Closed::Unreadable) == at as u64 + 1).await;
    }
    until(|| desk.counts().connections() == 0).await;
}

#[actix_rt::test]
async fn who_never_ends_a_request_is_closed_and_so_is_who_never_begins_one() {
    let patience = Patience { frame: Duration::from_millis(50), ..Patience::default() };
    let (_, desk, address) = door(patience);
    let mut client = TcpStream::connect(address).await.unwrap();
    let drip = async {
        while client.write_all(b"c").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), drip).await.expect("the node closes");
    assert_eq!(desk.counts().closed(Closed::Unfinished), 1);

    let (_, desk, address) = door(Patience { idle: Duration::from_millis(5), ..patience });
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(desk.counts().closed(Closed::Idle), 1);
}

#[actix_rt::test]
async fn who_does_not_read_is_closed() {
    let patience = Patience { write: Duration::from_millis(50), ..Patience::default() };
    let (_, desk, address) = door(patience);
    let mut client = TcpStream::connect(address).await.unwrap();
    let ask = async {
        for at in 0.. {
            let request = query(&format!("{at}"), "long");
            if client.write_all(request.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ask).await.expect("the node closes");
    assert_eq!(desk.counts().closed(Closed::Slow), 1);
}

#[actix_rt::test]
async fn beyond_the_limit_of_connections_the_next_one_is_closed() {
    let (_, desk, address) = door(Patience::default());
    let mut clients = Vec::new();
    for _ in 0..NG_CONNECTIONS_MAX {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    until(|| desk.counts().connections() == NG_CONNECTIONS_MAX as u64).await;
    let mut late = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut late).await, "");
    assert_eq!(desk.counts().closed(Closed::Limit), 1);
    drop(clients.pop());
    until(|| desk.counts().connections() < NG_CONNECTIONS_MAX as u64).await;
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(PING).await.unwrap();
    assert_eq!(hear(&mut next, PONG.len()).await, PONG);
}
