use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use super::*;
use crate::config::WebhookEvent;

fn record(call: &str, reason: &str) -> EndRecord {
    let (began, ended) = (Duration::from_secs(1), Duration::from_secs(3));
    EndRecord { reason: reason.into(), ..EndRecord::new(call, Via::Ng, began, ended) }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let read = |line: &str| serde_json::from_str::<EndRecord>(line).unwrap().call;
    text.lines().map(read).collect()
}

/// A folder that no other test has.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

async fn tell(records: &Records, call: &str) {
    records.tell(|| record(call, "deleted"));
    records.finish().await;
}

#[actix_rt::test]
async fn the_file_gets_a_line_per_call_also_after_it_was_moved_away() {
    let folder = folder("cdr");
    let (path, old) = (folder.join("cdr.jsonl"), folder.join("cdr.jsonl.1"));
    let cdr = Cdr { file: Some(path.clone()) };
    let records = Records::open("n", &cdr, &Webhook::default()).unwrap();
    tell(&records, "a").await;
    tell(&records, "b").await;
    fs::rename(&path, &old).unwrap();
    tell(&records, "c").await;
    assert_eq!((lines(&old), lines(&path)), (vec!["a".into(), "b".into()], vec!["c".to_owned()]));
    assert!(fs::read_to_string(&path).unwrap().contains("\"node\":\"n\""));
    // The path leads nowhere for a while.
    fs::rename(&folder, folder.with_extension("away")).unwrap();
    tell(&records, "d").await;
    fs::rename(folder.with_extension("away"), &folder).unwrap();
    tell(&records, "e").await;
    assert_eq!(lines(&path), ["c", "e"]);
    assert_eq!(records.counts().0, Delivery { told: 4, failed: 1, lost: 0 });
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_cannot_be_opened_is_named_at_once() {
    let cdr = Cdr { file: Some("/proc/none/cdr".into()) };
    let error = Records::open("n", &cdr, &Webhook::default()).err().unwrap();
    assert!(error.to_string().starts_with("cdr.file /proc/none/cdr: "), "{error}");
}

#[test]
fn what_finds_no_room_is_lost_and_counted() {
    let (sender, _jobs) = mpsc::sync_channel(1);
    let queue = Queue { sender, tally: Arc::default() };
    let records = Records { node: "n".into(), file: Some(queue), webhook: None };
    (0..3).for_each(|_| records.tell(|| record("a", "deleted")));
    assert_eq!(records.counts().0, Delivery { told: 0, failed: 0, lost: 2 });
}

/// A receiver that answers each POST with the next of these and tells what came.
fn receiver(answers: &'static [&'static str]) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, came) = mpsc::channel();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                let mut piece = [0; 1024];
                let length = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            sender.send(String::from_utf8(request).unwrap()).unwrap();
        }
    });
    (address, came)
}

fn is_whole(request: &[u8]) -> bool {
    let text = str::from_utf8(request).unwrap();
    text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        body.len() == length.parse::<usize>().unwrap()
    })
}

const GOOD: &str = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
const NEVER: &str = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";

fn hook(address: SocketAddr) -> Records {
    let webhook = Webhook {
        url: Some(format!("http://{address}/hook?a=b").parse().unwrap()),
        events: vec![WebhookEvent::CallEnded, WebhookEvent::MediaTimeout],
        secret: Some(serde_json::from_value(Value::from("secret")).unwrap()),
        ca: None,
    };
    Records::open("n", &Cdr::default(), &webhook).unwrap()
}

#[actix_rt::test]
async fn the_webhook_gets_the_record_signed_and_again_if_it_was_busy() {
    let (address, came) = receiver(&[BUSY, GOOD]);
    let records = hook(address);
    records.tell(|| record("a", "media_timeout"));
    records.finish().await;
    let tries: Vec<String> = came.iter().collect();
    assert_eq!((tries.len(), &tries[0]), (2, &tries[1]));
    let (head, body) = tries[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Causeway-Event: media_timeout\r\n"), "{head}");
    assert!(head.contains("Causeway-Signature: sha256="), "{head}");
    let told: EndRecord = serde_json::from_str(body).unwrap();
    assert_eq!(told, EndRecord { node: "n".into(), ..record("a", "media_timeout") });
    assert_eq!(records.counts().1, Delivery { told: 1, failed: 0, lost: 0 });
}

#[actix_rt::test]
async fn a_receiver_that_refuses_for_good_is_not_asked_again() {
    let (address, came) = receiver(&[NEVER]);
    let records = hook(address);
    tell(&records, "a").await;
    assert_eq!(came.iter().count(), 1);
    assert_eq!(records.counts().1, Delivery { told: 0, failed: 1, lost: 0 });
}

#[test]
fn a_receiver_that_takes_its_time_with_one_record_gets_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let records = hook(listener.local_addr().unwrap());
    records.tell(|| record("a", "deleted"));
    let slow = listener.accept().unwrap();
    records.tell(|| record("b", "deleted"));
    let (mut quick, _) = listener.accept().unwrap();
    quick.write_all(GOOD.as_bytes()).unwrap();
    while records.counts().1.told == 0 {
        thread::sleep(LOOK);
    }
    drop(slow);
}
