//! Where it is told that calls are over: a file with a JSON line per call (`file`), and a webhook
//! that gets the same by POST (`webhook`).
//!
//! Each has threads of its own behind a bounded queue, so that a disk that is full or a receiver that
//! hangs delays no call. What finds no room is lost and counted; so is what cannot be written.

mod file;
mod post;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::api::{Delivery, EndRecord, MediaEnd, Via};
use crate::config::{Cdr, Webhook};
use crate::proxied;

/// Records that can wait for each, most: some seconds of the busiest node's ends.
const QUEUE: usize = 4096;
/// How often it is looked whether all is told, when the node stops.
const LOOK: Duration = Duration::from_millis(10);

/// Why records cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be opened.
    #[error("cdr.file {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The certificates that receivers are trusted by cannot be read.
    #[error("webhook.ca {}: {problem}", .path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Tells of calls that are over. Clones tell the same.
#[derive(Clone)]
pub struct Records {
    node: Arc<str>,
    file: Option<Queue>,
    webhook: Option<(Queue, Arc<Webhook>)>,
}

impl Records {
    /// Opens what is configured.
    ///
    /// # Errors
    /// [`RecordError`] names the key at fault.
    pub fn open(node: &str, cdr: &Cdr, webhook: &Webhook) -> Result<Self, RecordError> {
        Ok(Self {
            node: node.into(),
            file: cdr.file.as_deref().map(file::open).transpose()?,
            webhook: match &webhook.url {
                Some(url) => Some((webhook::open(url, webhook)?, Arc::new(webhook.clone()))),
                None => None,
            },
        })
    }

    /// Tells of a call, if anybody wants to know: only then `record` is made.
    pub fn tell(&self, record: impl FnOnce() -> EndRecord) {
        if self.file.is_none() && self.webhook.is_none() {
            return;
        }
        let record = EndRecord { node: self.node.to_string(), ..record() };
        // Texts and numbers: nothing of it can fail to be written.
        let text: Arc<str> = serde_json::to_string(&record).unwrap_or_default().into();
        if let Some(file) = &self.file {
            file.push(Job { event: "", text: text.clone() });
        }
        if let Some((queue, webhook)) = &self.webhook
            && let Some(event) = webhook.event_of(&record.reason)
        {
            queue.push(Job { event, text });
        }
    }

    /// What became of records so far: in the file, and at the webhook.
    pub fn counts(&self) -> (Delivery, Delivery) {
        let of = |queue: Option<&Queue>| queue.map(Queue::delivery).unwrap_or_default();
        (of(self.file.as_ref()), of(self.webhook.as_ref().map(|(queue, _)| queue)))
    }

    /// Waits until all is told.
    pub async fn finish(&self) {
        let queues = self.file.iter().chain(self.webhook.iter().map(|(queue, _)| queue));
        for queue in queues {
            while queue.tally.waiting.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// A record on its way.
#[derive(Debug, Clone)]
struct Job {
    /// The event that a webhook asked for.
    event: &'static str,
    /// The JSON object.
    text: Arc<str>,
}

/// The way to the threads that tell.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Job>,
    tally: Arc<Tally>,
}

/// What became of records.
#[derive(Debug, Default)]
struct Tally {
    waiting: AtomicU64,
    told: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

impl Queue {
    fn push(&self, job: Job) {
        self.tally.waiting.fetch_add(1, Ordering::AcqRel);
        if self.sender.try_send(job).is_err() {
            self.tally.waiting.fetch_sub(1, Ordering::AcqRel);
            self.tally.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn delivery(&self) -> Delivery {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Tally { told, failed, lost, .. } = &*self.tally;
        Delivery { told: of(told), failed: of(failed), lost: of(lost) }
    }
}

impl Tally {
    /// A record is dealt with, well or not.
    fn settle(&self, told: bool) {
        let count = if told { &self.told } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is told of a call behind a SIP proxy.
pub fn of_proxied(call: &proxied::CallRecord) -> EndRecord {
    let media = call.media.iter().map(|media| MediaEnd {
        tag: Some(media.tag.clone()),
        kind: media.kind.clone(),
        ssrc: media.ssrc,
        packets: media.packets,
        bytes: media.bytes,
        lost: media.lost,
        jitter_ms: media.jitter_ms,
        mos: media.mos.filter(|_| media.kind == "audio"),
        strangers: media.strangers,
        ..MediaEnd::default()
    });
    EndRecord {
        answered: call.answered,
        reason: call.by.label().to_owned(),
        media: media.collect(),
        ..EndRecord::new(&call.call, Via::Ng, call.began, call.ended)
    }
}

#[cfg(test)]
mod tests;
