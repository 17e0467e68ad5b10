//! The webhook: each record is sent by POST, up to [`TRIES`] times with a growing pause between.
//!
//! [`THREADS`] threads share the queue, so that a receiver that takes its time holds up few others. Records
//! may so arrive in another order than calls ended in.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use aws_lc_rs::hmac;

use super::post::{PostError, Poster};
use super::{Job, QUEUE, Queue, RecordError, Tally};
use crate::config::{Webhook, WebhookEvent, WebhookUrl};

/// Records that are on their way at once, most.
const THREADS: usize = 4;
/// How often a record is sent, most.
const TRIES: u32 = 3;
/// The pause before the second try; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// Says which event a record is.
const EVENT: &str = "Causeway-Event";
/// `sha256=` and the HMAC-SHA256 of the body in hex, if there is a secret.
const SIGNATURE: &str = "Causeway-Signature";

/// Starts the threads.
pub(super) fn open(url: &WebhookUrl, webhook: &Webhook) -> Result<Queue, RecordError> {
    let poster = Poster::new(url.clone(), webhook.ca.as_deref())?;
    let secret = webhook.secret.as_ref();
    let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()));
    let sender = Arc::new(Sender { poster, key, failing: Mutex::new(false) });
    let (queue, jobs) = sync_channel(QUEUE);
    let (jobs, tally) = (Arc::new(Mutex::new(jobs)), Arc::new(Tally::default()));
    for number in 0..THREADS {
        let (sender, jobs, tally) = (sender.clone(), jobs.clone(), tally.clone());
        thread::Builder::new()
            .name(format!("webhook-{number}"))
            .spawn(move || sender.run(&jobs, &tally))
            .map_err(RecordError::Thread)?;
    }
    Ok(Queue { sender: queue, tally })
}

impl Webhook {
    /// The event that a record with this reason is told as, if it was asked for: one of the two, the one
    /// that says more.
    pub(super) fn event_of(&self, reason: &str) -> Option<&'static str> {
        let timed_out = reason == WebhookEvent::MediaTimeout.name();
        let fits = |event: &WebhookEvent| timed_out || *event != WebhookEvent::MediaTimeout;
        let asked = [WebhookEvent::MediaTimeout, WebhookEvent::CallEnded];
        let found = asked.iter().find(|event| self.events.contains(event) && fits(event));
        found.map(|event| event.name())
    }
}

struct Sender {
    poster: Poster,
    key: Option<hmac::Key>,
    /// Whether the last record did not arrive, which is logged once.
    failing: Mutex<bool>,
}

impl Sender {
    fn run(&self, jobs: &Mutex<Receiver<Job>>, tally: &Tally) {
        loop {
            // Whoever waits holds the lock, and lets go of it with the job in hand.
            let job = lock(jobs).recv();
            let Ok(job) = job else { return };
            let sent = self.deliver(&job);
            self.log(sent.as_ref().err());
            tally.settle(sent.is_ok());
        }
    }

    fn deliver(&self, job: &Job) -> Result<(), PostError> {
        let mut headers = vec![(EVENT, job.event.to_owned())];
        if let Some(key) = &self.key {
            headers.push((SIGNATURE, signature(key, job.text.as_bytes())));
        }
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.poster.post(&headers, job.text.as_bytes()) {
                Err(error) if error.may_pass() => thread::sleep(pause),
                done => return done,
            }
            pause *= 2;
        }
        self.poster.post(&headers, job.text.as_bytes())
    }

    fn log(&self, error: Option<&PostError>) {
        let mut failing = lock(&self.failing);
        match error {
            Some(error) if !*failing => tracing::warn!(%error, "the webhook does not take records"),
            None if *failing => tracing::info!("the webhook takes records again"),
            _ => {}
        }
        *failing = error.is_some();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signature(key: &hmac::Key, body: &[u8]) -> String {
    let tag = hmac::sign(key, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_in_rfc_4231() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let signed = signature(&key, b"what do ya want for nothing?");
        let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signed, format!("sha256={digest}"), "§4.3");
    }

    #[test]
    fn an_end_is_told_as_the_event_that_says_most_of_those_asked_for() {
        let both = Webhook {
            events: vec![WebhookEvent::CallEnded, WebhookEvent::MediaTimeout],
            ..Webhook::default()
        };
        assert_eq!(both.event_of("media_timeout"), Some("media_timeout"));
        assert_eq!(both.event_of("deleted"), Some("call_ended"));
        let one = Webhook { events: vec![WebhookEvent::MediaTimeout], ..Webhook::default() };
        assert_eq!(
            (one.event_of("media_timeout"), one.event_of("left")),
            (Some("media_timeout"), None)
        );
        assert_eq!(Webhook::default().event_of("media_timeout"), Some("call_ended"));
    }
}
