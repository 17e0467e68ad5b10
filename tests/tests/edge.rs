//! Everything on one TCP port: pages and the API over HTTP/1.1 and HTTP/2, with the client's own
//! address behind a load balancer; STUN beside them; another certificate while it is used.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use causeway_control::config::Edge;
use causeway_engine::stun::{self, Class, Message, TransactionId, Writer};
use causeway_tests::https::{self, Secure, connect, secure};
use causeway_tests::local::{LocalNode, Setup};
use causeway_tests::node::Node;
use causeway_tests::peer::{Direction, Line, MediaKind, PATIENCE, Peer, Spec};
use causeway_tests::requires;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn setup() -> Setup {
    let listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    Setup { edge: Edge { listen, ..Edge::default() }, ..Setup::default() }
}

fn edge(node: &LocalNode) -> SocketAddr {
    node.edge.unwrap()
}

/// What curl is told, and what it says of the version and the status.
fn curl(arguments: &[&str]) -> (String, String) {
    let told = ["-sk", "-m", "20", "-w", "\n%{http_version} %{http_code}"];
    let done = Command::new("curl").args(told).args(arguments).output().unwrap();
    assert!(done.status.success(), "curl {arguments:?}: {done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    let (body, said) = text.rsplit_once('\n').unwrap();
    (body.to_owned(), said.to_owned())
}

fn join_token(node: &LocalNode, call: &str) -> String {
    let path = format!("/v1/calls/{call}/tokens");
    let token = node.client().post(&path, &json!({ "role": "visitor" })).ok();
    token["token"].as_str().unwrap().to_owned()
}

fn drops(node: &LocalNode, reason: &str) -> u64 {
    node.client().get("/v1/node").ok()["edge"]["drops"][reason].as_u64().unwrap()
}

#[test]
fn pages_and_the_api_come_over_both_versions_of_http() {
    requires!(Curl);
    let node = LocalNode::start(&setup());
    let at = edge(&node);
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let (page, said) = curl(&[flag, &format!("https://{at}/")]);
        assert_eq!(said, format!("{version} 200"));
        assert!(page.contains("<html"), "{page}");
        let (document, said) = curl(&[flag, &format!("https://{at}/v1/openapi.json")]);
        assert_eq!(said, format!("{version} 200"));
        let document: Value = serde_json::from_str(&document).unwrap();
        assert!(document["paths"]["/v1/calls/{call}"].is_object());
        let (_, said) = curl(&[flag, &format!("https://{at}/v1/node")]);
        assert_eq!(said, format!("{version} 404"), "not on the public side");
    }
    // More than a connection's buffers hold, many at a time by one connection.
    let script = format!("https://{at}/causeway.js");
    let (whole, _) = curl(&[&script]);
    let many: Vec<&str> = std::iter::repeat_n(script.as_str(), 40).collect();
    let flags = ["--http2", "--parallel", "--parallel-max", "40", "-w", ""];
    let all =
        Command::new("curl").args(["-sk", "-m", "20"]).args(flags).args(many).output().unwrap();
    assert_eq!(all.stdout.len(), 40 * whole.len());
}

#[test]
fn a_join_token_opens_its_call_and_a_body_may_come_in_pieces() {
    let node = LocalNode::start(&setup());
    let call = node.call();
    let token = join_token(&node, &call);
    let path = format!("/v1/calls/{call}");
    let shown = https::send(edge(&node), "localhost", &token, "GET", &path, &Value::Null).ok();
    assert_eq!(shown["id"], call.as_str());
    let refused = https::send(edge(&node), "localhost", "wrong", "GET", &path, &Value::Null);
    assert_eq!(refused.status, 401);

    let mut stream = secure(connect(edge(&node)));
    let head = format!("POST {path}/legs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n");
    let body = "x".repeat(40_000);
    for piece in [head.as_str(), &format!("Authorization: Bearer {token}\r\n\r\n"), &body[..100]] {
        stream.write_all(piece.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    stream.write_all(&body.as_bytes()[100..]).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn a_session_of_whip_opens_and_closes() {
    requires!(Curl);
    let node = LocalNode::start(&setup());
    let (call, at) = (node.call(), edge(&node));
    let bearer = format!("Authorization: Bearer {}", join_token(&node, &call));
    let peer = Peer::new(&Spec::default());
    let lines = [Line { kind: MediaKind::Audio, direction: Direction::SendOnly }];
    let offer = peer.offer(&lines);
    let (url, kind) = (format!("https://{at}/whip/{call}"), "Content-Type: application/sdp");
    let told = ["-i", "--http2", "-H", &bearer, "-H", kind, "--data-binary", &offer, &url];
    let (answer, said) = curl(&told);
    assert_eq!(said, "2 201", "{answer}");
    let (head, sdp) = answer.split_once("\r\n\r\n").unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    peer.take_answer(sdp);
    peer.wait("connected", |seen| seen.connected);
    let session = format!("https://{at}{location}");
    let (_, said) = curl(&["-X", "DELETE", "-H", &bearer, &session]);
    assert_eq!(said, "2 200");
    peer.wait("goodbye", |seen| seen.goodbye);
}

#[test]
fn events_stream_until_their_call_is_over() {
    requires!(Curl);
    let node = LocalNode::start(&setup());
    let call = node.call();
    let token = join_token(&node, &call);
    let url = format!("https://{}/v1/calls/{call}/events?token={token}", edge(&node));
    let mut child = Command::new("curl")
        .args(["-skNi", "-m", "20", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("HTTP/2 200"));
    node.client().delete(&format!("/v1/calls/{call}"));
    assert!(lines.any(|line| line == "event: call_ended"));
    assert_eq!(lines.filter(|line| line.starts_with("event:")).count(), 0, "that was the last");
    assert!(child.wait().unwrap().success());
}

/// A connection of a load balancer for a client at `source`.
fn for_client(node: &LocalNode, source: &str) -> TcpStream {
    let mut tcp = connect(edge(node));
    write!(tcp, "PROXY TCP4 {source} 203.0.113.5 4711 443\r\n").unwrap();
    tcp
}

#[test]
fn a_client_behind_a_load_balancer_is_known_by_its_own_address() {
    let mut setup = setup();
    setup.edge.proxy_protocol = vec!["127.0.0.1".parse().unwrap()];
    setup.join_burst = 1;
    let node = LocalNode::start(&setup);
    let call = node.call();
    let token = join_token(&node, &call);
    let join = |source: &str| {
        let stream = secure(for_client(&node, source));
        let path = format!("/v1/calls/{call}/legs");
        https::send_by(stream, "localhost", &token, "POST", &path, &json!({})).status
    };
    assert_ne!(join("192.0.2.1"), 429);
    assert_eq!(join("192.0.2.1"), 429, "its burst was one");
    assert_ne!(join("192.0.2.2"), 429, "another client");

    let mapped = binding(&mut secure(for_client(&node, "192.0.2.3")));
    assert_eq!(mapped, "192.0.2.3:4711".parse().unwrap());
    let mut stranger = secure(connect(edge(&node)));
    assert!(
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err(),
        "a proxy says for whom it asks"
    );
    node.wait("the drop", |_| drops(&node, "stream_proxy") == 1);
}

/// Asks by STUN for the own address.
fn binding(stream: &mut (impl Read + Write)) -> SocketAddr {
    let mut request = [0; 64];
    let writer = Writer::begin(&mut request, Class::Request, stun::BINDING, TransactionId([3; 12]));
    let len = writer.unwrap().finish(None).unwrap();
    stream.write_all(&request[..len]).unwrap();
    let mut answer = vec![0; stun::HEADER_LEN];
    stream.read_exact(&mut answer).unwrap();
    let rest = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
    answer.resize(stun::HEADER_LEN + rest, 0);
    stream.read_exact(&mut answer[stun::HEADER_LEN..]).unwrap();
    Message::parse(&answer).unwrap().mapped.unwrap()
}

#[test]
fn stun_is_answered_on_the_same_port_with_tls_and_without() {
    let node = LocalNode::start(&setup());
    let mut tcp = connect(edge(&node));
    assert_eq!(binding(&mut tcp), tcp.local_addr().unwrap());
    let mut tls = secure(connect(edge(&node)));
    let own = tls.sock.local_addr().unwrap();
    assert_eq!(binding(&mut tls), own);
    assert_eq!(binding(&mut tls), own, "again");
}

#[test]
fn http_without_tls_and_what_nobody_speaks_are_closed() {
    let node = LocalNode::start(&setup());
    let said = |words: &[u8]| {
        let mut tcp = connect(edge(&node));
        tcp.write_all(words).unwrap();
        let mut answer = Vec::new();
        // What comes before a reset is what was said.
        let _ = tcp.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let answer = said(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(said(b"SSH-2.0-OpenSSH_9.2\r\n"), "");
    let mut tls = secure(connect(edge(&node)));
    tls.write_all(&[0xff; 16]).unwrap();
    assert_eq!(tls.read(&mut [0; 16]).unwrap_or(0), 0);
    for (reason, count) in [("stream_clear", 1), ("unknown_class", 2)] {
        node.wait(reason, |_| drops(&node, reason) == count);
    }
}

#[test]
fn streams_of_one_address_are_limited_and_http_does_not_count() {
    let mut setup = setup();
    setup.edge.streams_per_address = 2;
    let node = LocalNode::start(&setup);
    let mut held: Vec<Secure> = Vec::new();
    for _ in 0..4 {
        let mut stream = secure(connect(edge(&node)));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        held.push(stream);
    }
    let mut turn: Vec<TcpStream> = (0..2).map(|_| connect(edge(&node))).collect();
    turn.iter_mut().for_each(|stream| _ = binding(stream));
    let mut beyond = connect(edge(&node));
    assert_eq!(beyond.read(&mut [0; 1]).unwrap_or(0), 0);
    node.wait("the drop", |_| drops(&node, "stream_limit") == 1);
    node.wait("two streams", |stats| stats["edge"]["streams"] == 2);
}

/// The certificate that a handshake shows.
fn shown(at: SocketAddr) -> Vec<u8> {
    let mut stream = secure(connect(at));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// Puts a new certificate and its key in their places.
fn renew(folder: &Path) {
    let (cert, key) = (folder.join("cert.new"), folder.join("key.new"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::rename(key, folder.join("key")).unwrap();
    fs::rename(cert, folder.join("cert")).unwrap();
}

/// Two ports that nobody has now.
fn free_ports() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

#[test]
fn another_certificate_is_shown_at_once_and_nobody_is_turned_away_meanwhile() {
    requires!(OpenSsl);
    let folder = std::env::temp_dir().join(format!("causeway-edge-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    renew(&folder);
    let [at, public] = free_ports();
    let folder_text = folder.display();
    let node = Node::start(
        None,
        &format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[public]\nlisten = \"{public}\"\n\
             tls_cert = \"{folder_text}/cert\"\ntls_key = \"{folder_text}/key\"\n\
             [edge]\nlisten = \"{at}\"\n"
        ),
    );
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, served) = (over.clone(), served.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    shown(at);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let hang_up = || kill(Pid::from_raw(node.pid()), Signal::SIGHUP).unwrap();
    let more = |than: u32| {
        let deadline = Instant::now() + PATIENCE;
        while served.load(Ordering::Relaxed) < than + 20 {
            assert!(Instant::now() < deadline, "nobody is served");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    more(0);
    let first = shown(at);
    assert_eq!(shown(public), first, "one certificate for both doors");

    // A pair that does not fit changes nothing.
    let key = fs::read(folder.join("key")).unwrap();
    renew(&folder);
    let fitting = fs::read(folder.join("key")).unwrap();
    fs::write(folder.join("key"), key).unwrap();
    hang_up();
    let deadline = Instant::now() + PATIENCE;
    while !node.log().contains("the certificate stays as it was") {
        assert!(Instant::now() < deadline, "the fault is not told");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(shown(at), first);

    fs::write(folder.join("key"), fitting).unwrap();
    hang_up();
    let deadline = Instant::now() + PATIENCE;
    while shown(at) == first || shown(public) == first {
        assert!(Instant::now() < deadline, "the new one is never shown");
    }
    more(served.load(Ordering::Relaxed));
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    node.stop();
    fs::remove_dir_all(folder).unwrap();
}
