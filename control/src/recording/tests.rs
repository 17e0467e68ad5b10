use std::fs;
use std::net::SocketAddr;
use std::sync::mpsc::channel;

use causeway_engine::command::{LegId, TransportId, WorkerId};
use causeway_engine::packet::Nanos;
use causeway_engine::ring::ring;

use super::*;

const BOUND: [&str; 2] = ["10.0.0.5:30000", "10.0.0.5:30001"];

fn leg(slot: u16) -> LegId {
    LegId { worker: WorkerId(0), slot, generation: 0 }
}

fn tapped(slot: u16, index: u8, bytes: &[u8]) -> Tapped {
    Tapped {
        transport: TransportId { leg: leg(slot), index },
        remote: "198.51.100.1:4000".parse().unwrap(),
        received: Nanos(1_700_000_000_123_456_789),
        bytes: bytes.iter().copied().collect(),
    }
}

fn bound() -> [SocketAddr; 2] {
    BOUND.map(|address| address.parse().unwrap())
}

fn begin(id: u64, call: &str) -> Order {
    Order::Begin { id: RecordingId(id), call: call.into(), name: None, at: Duration::from_secs(7) }
}

/// What a thread makes of what is in the rings and of orders, in this order.
fn play(
    directory: &std::path::Path,
    max_bytes: u64,
    packets: Vec<Tapped>,
    orders: Vec<Order>,
) -> Arc<Tally> {
    tape::prepare(directory).unwrap();
    let (mut sender, receiver) = ring(64);
    let tally = Arc::new(Tally { bytes_max: u64::MAX, ..Tally::default() });
    tally.open.store(8, Ordering::Relaxed);
    let tape = Tape::new(directory.to_owned(), max_bytes, vec![receiver], tally.clone());
    let (to, from) = channel();
    let last = orders.len() - 1;
    let thread = thread::spawn(move || tape.run(&from));
    for (place, order) in orders.into_iter().enumerate() {
        if place == last {
            for packet in &packets {
                let _ = sender.push(packet.clone());
            }
        }
        to.send(Told::Order(order)).unwrap();
    }
    drop(to);
    thread.join().unwrap();
    tally
}

#[test]
fn packets_are_written_with_addresses_and_time() {
    let directory = tempfile::tempdir().unwrap();
    let id = RecordingId(3);
    let six = Tapped { remote: "[2001:db8::1]:4000".parse().unwrap(), ..tapped(2, 1, b"report") };
    let lost = Tapped { remote: six.remote, ..tapped(1, 0, b"of no family") };
    let packets = vec![tapped(1, 0, b"media"), tapped(9, 0, b"of nobody"), lost, six];
    let wide = ["[2001:db8::5]:6", "[2001:db8::5]:7"].map(|address| address.parse().unwrap());
    let orders = vec![
        begin(3, "call"),
        Order::Leg { id, leg: leg(1), tag: Some("a".into()), bound: bound() },
        Order::Leg { id, leg: leg(2), tag: None, bound: wide },
        Order::End { id, discard: false, at: Duration::from_secs(9) },
    ];
    let tally = play(directory.path(), 1 << 20, packets, orders);
    assert_eq!(tally.open.load(Ordering::Relaxed), 7);
    let bytes = fs::read(directory.path().join("call-7-3.pcap")).unwrap();
    assert_eq!(tally.bytes.load(Ordering::Relaxed), bytes.len() as u64);
    let first = &bytes[24..];
    let times = [1_700_000_000_u32, 123_456, 33, 33].map(u32::to_le_bytes).concat();
    assert_eq!(first[..16], times);
    let ip = [0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17];
    assert_eq!(first[16..26], ip);
    assert_eq!(first[28..36], [198, 51, 100, 1, 10, 0, 0, 5]);
    assert_eq!(first[36..44], [0x0f, 0xa0, 0x75, 0x30, 0, 13, 0, 0]);
    assert_eq!(&first[44..49], b"media");
    let second = &first[49..];
    assert_eq!(second[16..24], [0x60, 0, 0, 0, 0, 14, 17, 64]);
    assert_eq!(second[56..64], [0x0f, 0xa0, 0, 7, 0, 14, 0, 0]);
    assert_eq!(&second[64..], b"report");
    let story = fs::read_to_string(directory.path().join("call-7-3.json")).unwrap();
    let story: serde_json::Value = serde_json::from_str(&story).unwrap();
    assert_eq!((story["began"].as_f64(), story["ended"].as_f64()), (Some(7.0), Some(9.0)));
    assert_eq!(story["legs"][0]["media"], BOUND[0]);
}

#[test]
fn a_name_leads_into_no_other_directory() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    let name = Some("../../etc/passwd".to_owned());
    let (id, at) = (RecordingId(0), Duration::ZERO);
    let orders = vec![
        Order::Begin { id, call: "call".into(), name, at },
        Order::End { id, discard: false, at },
    ];
    play(&inner, 1 << 20, Vec::new(), orders);
    let mut files: Vec<_> =
        fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["______etc_passwd-0-0.json", "______etc_passwd-0-0.pcap"]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_there_is_left_alone_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("call-7-0.pcap");
    fs::write(&path, "mine").unwrap();
    let id = RecordingId(0);
    fs::write(path.with_extension("json"), "mine too").unwrap();
    for discard in [false, true] {
        let orders = vec![begin(0, "call"), Order::End { id, discard, at: Duration::ZERO }];
        let tally = play(directory.path(), 1 << 20, Vec::new(), orders);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read(path.with_extension("json")).unwrap(), b"mine too");
        assert_eq!(tally.failed.load(Ordering::Relaxed), 1);
        assert_eq!(tally.open.load(Ordering::Relaxed), 7, "its place is free again");
    }
}

#[test]
fn places_are_bounded_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let config = Recording {
        directory: Some(directory.path().join("new")),
        max_calls: 2,
        ..Recording::default()
    };
    let recorder = Recorder::open(&config, Vec::new()).unwrap();
    let ids = [recorder.place().unwrap(), recorder.place().unwrap()];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(recorder.place(), Err(NgError::RecordingFull));
    for id in ids {
        recorder.tell(Order::Begin { id, call: "c".into(), name: None, at: Duration::ZERO });
    }
    recorder.end_all(Duration::from_secs(1));
    while recorder.stats().open > 0 {
        thread::yield_now();
    }
    assert!(recorder.place().is_ok());
    let off = Recorder::open(&Recording::default(), Vec::new()).unwrap();
    assert_eq!(off.place(), Err(NgError::RecordingOff));
}

#[test]
fn a_full_directory_takes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("old.pcap"), vec![0; 70_000]).unwrap();
    let config = Recording {
        directory: Some(directory.path().to_owned()),
        max_total_bytes: 65_536,
        ..Recording::default()
    };
    let recorder = Recorder::open(&config, Vec::new()).unwrap();
    assert_eq!(recorder.place(), Err(NgError::RecordingFull));
    let nowhere = Recording { directory: Some("/proc/none".into()), ..Recording::default() };
    let error = Recorder::open(&nowhere, Vec::new()).err().unwrap().to_string();
    assert!(error.starts_with("recording.directory /proc/none: "), "{error}");
}
