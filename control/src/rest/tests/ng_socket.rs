//! The ng protocol over WebSocket, from a client that writes its frames itself.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::ng::FRAME_MAX;
use crate::ng_server::{Closed, Door as NgDoor};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

struct Socket(TcpStream);

impl Socket {
    /// Sends a frame (RFC 6455 §5.2), the last of its message unless `more` come.
    async fn send(&mut self, opcode: u8, payload: &[u8], more: bool) {
        let first = opcode | if more { 0 } else { 0x80 };
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | short as u8),
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        // A node that refuses the frame may close before all of it is sent.
        let _ = self.0.write_all(&frame).await;
    }

    /// The next frame's opcode and payload, which is short.
    async fn hear(&mut self) -> (u8, String) {
        let hear = async {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).await.unwrap();
            assert_eq!(head[0] & 0x80, 0x80, "whole messages are sent");
            let mut length = usize::from(head[1]);
            if length == 126 {
                length = self.0.read_u16().await.unwrap().into();
            }
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            (head[0] & 0x0f, String::from_utf8_lossy(&payload).into_owned())
        };
        tokio::time::timeout(Duration::from_secs(20), hear).await.expect("a frame")
    }

    async fn ask(&mut self, opcode: u8, message: &str) -> String {
        self.send(opcode, message.as_bytes(), false).await;
        let (opcode, reply) = self.hear().await;
        assert_eq!(opcode, BINARY, "replies are binary, as rtpengine's are");
        reply
    }
}

fn doors(config: &mut Config) -> Servers {
    config.http.listen.set_port(0);
    config.public.listen.set_port(0);
    config.timeouts.drain = Duration::from_secs(1);
    serve(config, Front::prepare(config).unwrap(), Double::new(), ng(config)).unwrap()
}

/// Asks for an upgrade; the socket and the response's head.
async fn upgrade(to: SocketAddr, path: &str, protocols: &str, more: &str) -> (Socket, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
         sec-websocket-protocol: {protocols}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    (Socket(stream), String::from_utf8(answer).unwrap().to_lowercase())
}

#[actix_web::test]
async fn each_message_gets_one_with_its_cookie_or_without_one_as_was_agreed() {
    let servers = doors(&mut Config::default());
    for path in ["/", "/ng", "/anything"] {
        let (mut socket, head) = upgrade(servers.http, path, "x, ng.rtpengine.com", "").await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(head.contains("sec-websocket-protocol: ng.rtpengine.com"), "{head}");
        let reply = socket.ask(TEXT, "c {\"command\":\"ping\"}").await;
        assert_eq!(reply, "c {\"result\":\"pong\"}");
        assert_eq!(socket.ask(BINARY, "d d7:command4:pinge").await, "d d6:result4:ponge");
    }
    let (mut plain, head) = upgrade(servers.http, "/", "ng-plain.rtpengine.com", "").await;
    assert!(head.contains("sec-websocket-protocol: ng-plain.rtpengine.com"), "{head}");
    assert_eq!(plain.ask(TEXT, "{\"command\":\"ping\"}").await, "{\"result\":\"pong\"}");
    assert!(plain.ask(BINARY, "xyz").await.contains("Invalid NG data format"));
    let counts = servers.state.ng.counts();
    assert_eq!(counts.repeats(NgDoor::WebSocket), 4);
    servers.stop().await;
}

#[actix_web::test]
async fn a_message_in_parts_is_one_request_and_pings_are_answered_between_them() {
    let servers = doors(&mut Config::default());
    let (mut socket, _) = upgrade(servers.http, "/", "ng.rtpengine.com", "").await;
    socket.send(TEXT, b"c {\"comm", true).await;
    socket.send(PING, b"there?", false).await;
    socket.send(0, b"and\":\"ping\"}", false).await;
    assert_eq!(socket.hear().await, (PONG, "there?".to_owned()));
    assert_eq!(socket.hear().await.1, "c {\"result\":\"pong\"}");
    // What has no cookie is passed over.
    socket.send(TEXT, b"nothing", false).await;
    assert!(socket.ask(TEXT, "d {}").await.starts_with("d "));
    servers.stop().await;
}

#[actix_web::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let servers = doors(&mut Config::default());
    let (mut socket, _) = upgrade(servers.http, "/", "ng.rtpengine.com", "").await;
    socket.send(BINARY, &vec![b'x'; FRAME_MAX + 1], false).await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), socket.0.read_to_end(&mut rest));
    let _ = end.await.expect("the end");
    assert_eq!(servers.state.ng.counts().closed(Closed::Unreadable), 1);
    servers.stop().await;
}

#[actix_web::test]
async fn it_ends_when_the_far_side_or_the_node_does() {
    let servers = doors(&mut Config::default());
    let (mut one, _) = upgrade(servers.http, "/", "ng.rtpengine.com", "").await;
    one.send(CLOSE, &[], false).await;
    assert_eq!(one.hear().await.0, CLOSE);
    let (mut other, _) = upgrade(servers.http, "/", "ng.rtpengine.com", "").await;
    other.ask(TEXT, "c {}").await;
    // One that goes without a word is gone all the same, and nobody's fault.
    drop(upgrade(servers.http, "/", "ng.rtpengine.com", "").await);
    let state = servers.state.clone();
    let stopping = actix_rt::spawn(servers.stop());
    assert_eq!(other.hear().await.0, CLOSE);
    stopping.await.unwrap();
    let counts = state.ng.counts();
    assert!(Closed::ALL.iter().all(|why| counts.closed(*why) == 0), "{counts:?}");
}

#[actix_web::test]
async fn only_who_may_ask_gets_one_and_only_where_ng_is_spoken() {
    let mut config = Config::default();
    config.auth.token = vec![ApiToken {
        name: "proxy".into(),
        hash: TokenHash::of(CALL),
        scopes: vec![Scope::Call],
    }];
    let servers = doors(&mut config);
    let try_with = |protocols: &'static str, more: String| async move {
        upgrade(servers.http, "/", protocols, &more).await.1
    };
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let head = try_with("ng.rtpengine.com", String::new()).await;
    assert!(head.starts_with("http/1.1 401"), "{head}");
    let head = try_with("ng.rtpengine.com", bearer(CALL)).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    let head = try_with("janus-protocol", bearer(CALL)).await;
    assert!(head.starts_with("http/1.1 404"), "{head}");

    let mut config = Config::default();
    config.ng.peers = vec!["192.0.2.1".parse().unwrap()];
    let servers = doors(&mut config);
    let (_, head) = upgrade(servers.http, "/", "ng.rtpengine.com", "").await;
    assert!(head.starts_with("http/1.1 403"), "{head}");
    let more = "origin: https://evil.example\r\n";
    let servers = doors(&mut Config::default());
    let (_, head) = upgrade(servers.http, "/", "ng.rtpengine.com", more).await;
    assert!(head.starts_with("http/1.1 403"), "a page of another origin: {head}");
}
