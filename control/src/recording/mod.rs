//! Recordings of calls: a pcap file each, with every packet that came, decrypted, as if it had come over IP just so;
//! and a JSON file beside it that says whose they are.
//!
//! A thread of its own takes the packets from the workers' rings (`tape`) and writes them (`pcap`). A disk that is
//! slow costs packets of the record, which are counted (`tap_ring_full`), and none of the call. How long a
//! recording gets, how many there are at once and how much all of them take is bounded
//! ([`crate::config::Recording`]).
//!
//! Whoever may read the directory hears the calls, so files are made for the node's own user alone.

mod pcap;
mod tape;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use causeway_engine::ring::Receiver;
use causeway_engine::tap::Tapped;

use crate::api::RecordingStats;
use crate::config::Recording;
use crate::ng::NgError;
use crate::proxied::{Order, RecordingId};
use tape::Tape;

/// How often it is looked whether all is written, when the node stops.
const LOOK: Duration = Duration::from_millis(10);

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The directory cannot be made or read.
    #[error("recording.directory {}: {source}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// The way to the thread that records, if the node does. Clones lead to the same.
#[derive(Clone)]
pub struct Recorder {
    deck: Option<Deck>,
}

/// What the thread is told.
#[derive(Debug, PartialEq)]
enum Told {
    Order(Order),
    /// Everything is over.
    Over(Duration),
}

#[derive(Clone)]
struct Deck {
    /// Orders are few: some for each recording, and there are at most so many of those.
    orders: Sender<Told>,
    tally: Arc<Tally>,
    calls_max: u64,
}

/// What became of recordings.
#[derive(Debug, Default)]
struct Tally {
    /// Those that have begun here and are not closed there.
    open: AtomicU64,
    begun: AtomicU64,
    failed: AtomicU64,
    /// Those that have grown as large as they may.
    cut: AtomicU64,
    /// Bytes in the directory.
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Recorder {
    /// Starts the thread that takes what comes out of `taps`, if a directory is configured.
    ///
    /// # Errors
    /// [`RecordingError`] names the key at fault.
    pub fn open(config: &Recording, taps: Vec<Receiver<Tapped>>) -> Result<Self, RecordingError> {
        let Some(directory) = &config.directory else { return Ok(Self { deck: None }) };
        let refused = |source| RecordingError::Directory { path: directory.clone(), source };
        let there = tape::prepare(directory).map_err(refused)?;
        let tally = Tally {
            bytes: AtomicU64::new(there),
            bytes_max: config.max_total_bytes,
            ..Tally::default()
        };
        let (tally, (orders, coming)) = (Arc::new(tally), channel());
        let tape = Tape::new(directory.clone(), config.max_bytes, taps, tally.clone());
        thread::Builder::new()
            .name("recorder".into())
            .spawn(move || tape.run(&coming))
            .map_err(RecordingError::Thread)?;
        let calls_max = config.max_calls as u64;
        Ok(Self { deck: Some(Deck { orders, tally, calls_max }) })
    }

    /// A recording that is about to begin; [`Order::Begin`] has to follow, and [`Order::End`].
    ///
    /// # Errors
    /// [`NgError::RecordingOff`] without a directory, [`NgError::RecordingFull`] where a limit is reached.
    pub fn place(&self) -> Result<RecordingId, NgError> {
        let Deck { tally, calls_max, .. } = self.deck.as_ref().ok_or(NgError::RecordingOff)?;
        let has_room = tally.bytes.load(Ordering::Relaxed) < tally.bytes_max;
        let taken = tally.open.fetch_add(1, Ordering::AcqRel);
        if taken >= *calls_max || !has_room {
            tally.open.fetch_sub(1, Ordering::AcqRel);
            return Err(NgError::RecordingFull);
        }
        Ok(RecordingId(tally.begun.fetch_add(1, Ordering::AcqRel)))
    }

    /// Passes an order on.
    pub fn tell(&self, order: Order) {
        if let Some(deck) = &self.deck {
            // The thread lives for as long as there is somebody to tell it anything.
            let _ = deck.orders.send(Told::Order(order));
        }
    }

    /// Ends all recordings at once, so long after 1970.
    pub fn end_all(&self, at: Duration) {
        if let Some(deck) = &self.deck {
            let _ = deck.orders.send(Told::Over(at));
        }
    }

    /// What became of recordings so far.
    pub fn stats(&self) -> RecordingStats {
        let Some(Deck { tally, .. }) = &self.deck else { return RecordingStats::default() };
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Tally { open, begun, failed, cut, bytes, .. } = &**tally;
        RecordingStats {
            open: of(open),
            begun: of(begun),
            failed: of(failed),
            cut: of(cut),
            bytes: of(bytes),
        }
    }

    /// Waits until all recordings are closed.
    pub async fn finish(&self) {
        while self.stats().open > 0 {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests;
