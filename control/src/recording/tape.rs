//! The thread that records.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver as Orders, RecvTimeoutError};
use std::time::Duration;

use causeway_engine::command::LegId;
use causeway_engine::ring::Receiver;
use causeway_engine::tap::Tapped;
use serde::Serialize;

use super::{Tally, Told, pcap};
use crate::proxied::{Order, RecordingId};

/// Time between two looks into the rings: they hold ten times what the busiest worker's recordings put
/// in meanwhile.
const LOOK: Duration = Duration::from_millis(10);
/// Looks after which everything is written out, so that a crash costs a second.
const LOOKS_PER_FLUSH: u32 = 100;
/// Characters of a call's id that its file is called by, most.
const NAME_MAX: usize = 100;
/// Texts that are noted with a recording, most.
const NOTES_MAX: usize = 64;
/// Legs that are told of one, most.
const LEGS_MAX: usize = 256;

/// Bytes of most packets in the file.
const PACKET_TYPICAL: usize = 256;

/// Makes the directory and says how many bytes lie in it.
pub(super) fn prepare(directory: &Path) -> io::Result<u64> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += entry?.metadata().map_or(0, |of| of.len());
    }
    Ok(bytes)
}

/// What the thread has.
pub(super) struct Tape {
    directory: PathBuf,
    max_bytes: u64,
    taps: Vec<Receiver<Tapped>>,
    tally: Arc<Tally>,
    open: HashMap<RecordingId, Reel>,
    legs: HashMap<LegId, (RecordingId, [SocketAddr; 2])>,
}

/// A recording that is being written.
struct Reel {
    path: PathBuf,
    /// Whether the files of this name are its own; what was there before it is left alone.
    is_own: bool,
    /// Nothing once it could not be written or is as large as it may be.
    file: Option<BufWriter<File>>,
    story: Story,
}

/// What is told of a recording beside it.
#[derive(Serialize)]
struct Story {
    call: String,
    /// In seconds since 1970.
    began: f64,
    ended: Option<f64>,
    packets: u64,
    bytes: u64,
    /// Why packets are missing at its end.
    cut: Option<&'static str>,
    metadata: Vec<String>,
    legs: Vec<Leg>,
}

/// A leg that is recorded.
#[derive(Serialize)]
struct Leg {
    tag: Option<String>,
    /// Where its packets came in; what was sent there is its party's.
    media: SocketAddr,
    rtcp: SocketAddr,
}

impl Tape {
    pub(super) fn new(
        directory: PathBuf,
        max_bytes: u64,
        taps: Vec<Receiver<Tapped>>,
        tally: Arc<Tally>,
    ) -> Self {
        Self { directory, max_bytes, taps, tally, open: HashMap::new(), legs: HashMap::new() }
    }

    /// Records until there is nobody any more who could order anything.
    pub(super) fn run(mut self, orders: &Orders<Told>) {
        let mut looks = 0;
        loop {
            let first = if self.open.is_empty() {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                orders.recv_timeout(LOOK)
            };
            // Packets come behind the order that is about them, and before the one that ends it.
            let waiting: Vec<usize> = self.taps.iter().map(Receiver::len).collect();
            let (mut ends, is_last) = (Vec::new(), first == Err(RecvTimeoutError::Disconnected));
            for told in first.into_iter().chain(orders.try_iter()) {
                match told {
                    Told::Order(end @ Order::End { .. }) => ends.push(end),
                    Told::Order(order) => self.obey(order),
                    Told::Over(at) => ends.extend(self.open.keys().map(|id| {
                        let id = *id;
                        Order::End { id, discard: false, at }
                    })),
                }
            }
            self.drain(&waiting);
            ends.into_iter().for_each(|end| self.obey(end));
            if is_last {
                return;
            }
            looks += 1;
            if looks >= LOOKS_PER_FLUSH {
                looks = 0;
                self.open.values_mut().for_each(|reel| reel.flush(&self.tally));
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Begin { id, call, name, at } => {
                let name = plain(name.as_deref().unwrap_or(&call));
                let path = self.directory.join(format!("{name}-{}-{}", at.as_secs(), id.0));
                self.open.insert(id, Reel::new(path, Story::new(call, at), &self.tally));
            }
            Order::Leg { id, leg, tag, bound } => {
                let Some(reel) = self.open.get_mut(&id) else { return };
                self.legs.insert(leg, (id, bound));
                let [media, rtcp] = bound;
                if reel.story.legs.len() < LEGS_MAX {
                    reel.story.legs.push(Leg { tag, media, rtcp });
                }
            }
            Order::Note { id, metadata } => {
                let Some(reel) = self.open.get_mut(&id) else { return };
                if reel.story.metadata.len() < NOTES_MAX {
                    reel.story.metadata.push(metadata);
                }
            }
            Order::End { id, discard, at } => {
                let Some(reel) = self.open.remove(&id) else { return };
                self.legs.retain(|_, (recording, _)| *recording != id);
                reel.close(discard, at, &self.tally);
                self.tally.open.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Writes down so many packets of each ring.
    fn drain(&mut self, waiting: &[usize]) {
        let Self { taps, legs, open, tally, max_bytes, .. } = self;
        for (ring, waiting) in taps.iter_mut().zip(waiting) {
            ring.pop_batch(*waiting, |tapped| {
                let Some((id, bound)) = legs.get(&tapped.transport.leg) else { return };
                let Some(reel) = open.get_mut(id) else { return };
                let Some(bound) = bound.get(usize::from(tapped.transport.index)) else { return };
                reel.write(&tapped, *bound, *max_bytes, tally);
            });
        }
    }
}

impl Story {
    fn new(call: String, at: Duration) -> Self {
        Self {
            call,
            began: at.as_secs_f64(),
            ended: None,
            packets: 0,
            bytes: 0,
            cut: None,
            metadata: Vec::new(),
            legs: Vec::new(),
        }
    }
}

impl Reel {
    /// Begins a file; it must not be there before.
    fn new(path: PathBuf, story: Story, tally: &Tally) -> Self {
        let mut reel = Self { path, is_own: false, file: None, story };
        let mut header = Vec::new();
        pcap::begin(&mut header);
        match create(&reel.path.with_extension("pcap")) {
            Ok(file) => {
                reel.is_own = true;
                reel.file = Some(BufWriter::new(file));
                reel.append(&header, tally);
                reel.tell_story(tally);
            }
            Err(error) => reel.fail(&error, tally),
        }
        reel
    }

    fn write(&mut self, tapped: &Tapped, bound: SocketAddr, max_bytes: u64, tally: &Tally) {
        if self.file.is_none() {
            return;
        }
        let is_full = tally.bytes.load(Ordering::Relaxed) >= tally.bytes_max;
        if self.story.bytes >= max_bytes || is_full {
            tally.cut.fetch_add(1, Ordering::Relaxed);
            let key = if is_full { "recording.max_total_bytes" } else { "recording.max_bytes" };
            self.story.cut = Some(key);
            tracing::warn!(call = self.story.call, key, "a recording is cut");
            self.flush(tally);
            self.file = None;
            return;
        }
        let mut packet = Vec::with_capacity(PACKET_TYPICAL);
        pcap::packet(&mut packet, tapped.received.0, tapped.remote, bound, &tapped.bytes);
        self.story.packets += 1;
        self.append(&packet, tally);
    }

    fn append(&mut self, bytes: &[u8], tally: &Tally) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(bytes) {
            self.fail(&error, tally);
            return;
        }
        self.story.bytes += bytes.len() as u64;
        tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    fn flush(&mut self, tally: &Tally) {
        let outcome = self.file.as_mut().map_or(Ok(()), Write::flush);
        if let Err(error) = outcome {
            self.fail(&error, tally);
        }
    }

    /// Closes the file, or throws it away.
    fn close(mut self, discard: bool, at: Duration, tally: &Tally) {
        self.flush(tally);
        self.file = None;
        if !self.is_own {
            return;
        }
        self.story.ended = Some(at.as_secs_f64());
        if discard {
            let gone = [self.path.with_extension("pcap"), self.path.with_extension("json")];
            let removed = gone.iter().map(fs::remove_file).find_map(Result::err);
            if let Some(error) = removed {
                self.fail(&error, tally);
            }
            tally.bytes.fetch_sub(self.story.bytes, Ordering::Relaxed);
            return;
        }
        self.tell_story(tally);
    }

    /// Writes what is known of it beside it.
    fn tell_story(&mut self, tally: &Tally) {
        let text = serde_json::to_vec_pretty(&self.story).unwrap_or_default();
        let path = self.path.with_extension("json");
        let _ = fs::remove_file(&path);
        if let Err(error) = create(&path).and_then(|mut file| file.write_all(&text)) {
            self.fail(&error, tally);
        }
    }

    fn fail(&mut self, error: &io::Error, tally: &Tally) {
        let file = self.path.display().to_string();
        tracing::error!(call = self.story.call, file, %error, "a recording cannot be written");
        tally.failed.fetch_add(1, Ordering::Relaxed);
        self.story.cut = Some("the file cannot be written");
        self.file = None;
    }
}

/// Makes a file for the node's own user.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A name as part of a file's, in any directory.
fn plain(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.chars().take(NAME_MAX).map(|c| if is_safe(c) { c } else { '_' }).collect()
}
