//! Who is served next when more is asked than calls can do.
//!
//! Calls work on [`SEATS`] requests at a time; what comes beyond waits here and nowhere behind, so that it is known
//! how long it waits. What belongs to calls that there are (answers, deletes and everything else) goes first.
//! Offers take the seats that are left, in their order, and wait no longer than [`OFFER_WAIT`] after they came: then
//! a new call is refused as over the load limit, and its proxy has time to try another node. Whether the call is new
//! is known only where the calls are, so an offer that waited too long goes there all the same, marked as late: an
//! offer within a call that there is must not fail for the load.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::actors::worker_link::lock;
use crate::ng::Request;

/// Requests that calls work on at a time: enough to keep them and the workers busy while replies are under way, and
/// few enough that the last of them is done within some 30 ms.
pub(super) const SEATS: usize = 64;
/// How long after it came an offer may wait for a seat. A proxy asks again after a second.
pub(super) const OFFER_WAIT: Duration = Duration::from_millis(200);

/// The seats and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    taken: usize,
    urgent: VecDeque<oneshot::Sender<Seat>>,
    offers: VecDeque<oneshot::Sender<Seat>>,
}

/// A seat; given on when dropped.
#[derive(Debug)]
pub(super) struct Seat(Option<Arc<Queue>>);

/// In which order a request is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// It needs no call.
    Aside,
    /// Before all offers.
    Urgent,
    /// It may begin a call.
    Offer,
}

impl Rank {
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Ping | Request::Statistics => Self::Aside,
            Request::Offer(_) | Request::Publish(_) => Self::Offer,
            _ => Self::Urgent,
        }
    }
}

impl Queue {
    /// Waits for a seat; `None` is for an offer that came at `since` and has waited too long.
    pub(super) async fn enter(self: &Arc<Self>, rank: Rank, since: Instant) -> Option<Seat> {
        let deadline = since + OFFER_WAIT;
        let turn = match rank {
            Rank::Aside => return Some(Seat(None)),
            Rank::Offer if Instant::now() >= deadline => return None,
            Rank::Urgent | Rank::Offer => match self.queue_up(rank) {
                Ok(seat) => return Some(seat),
                Err(turn) => turn,
            },
        };
        if rank == Rank::Urgent {
            // The queue outlives whoever waits, so that the turn comes.
            return Some(turn.await.unwrap_or(Seat(None)));
        }
        timeout_at(deadline.into(), turn).await.ok()?.ok()
    }

    /// A seat, or when one comes.
    fn queue_up(self: &Arc<Self>, rank: Rank) -> Result<Seat, oneshot::Receiver<Seat>> {
        let mut line = lock(&self.0);
        if line.taken < SEATS {
            line.taken += 1;
            return Ok(Seat(Some(self.clone())));
        }
        let (call, turn) = oneshot::channel();
        match rank {
            Rank::Offer => line.offers.push_back(call),
            Rank::Urgent | Rank::Aside => line.urgent.push_back(call),
        }
        Err(turn)
    }

    /// Gives a seat to whoever is next and still waits.
    fn give_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut line = lock(&self.0);
                let next = line.urgent.pop_front().or_else(|| line.offers.pop_front());
                if next.is_none() {
                    line.taken -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Seat(Some(self.clone()))) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.give_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    async fn full() -> (Arc<Queue>, Vec<Seat>) {
        let queue = Arc::new(Queue::default());
        let mut seats = Vec::new();
        for _ in 0..SEATS {
            seats.push(queue.enter(Rank::Offer, Instant::now()).await.expect("there is room"));
        }
        (queue, seats)
    }

    #[actix_rt::test]
    async fn what_belongs_to_a_call_goes_before_offers_that_came_earlier() {
        let (queue, mut seats) = full().await;
        let now = Instant::now();
        let mut offer = pin!(queue.enter(Rank::Offer, now + Duration::from_secs(600)));
        let mut answer = pin!(queue.enter(Rank::Urgent, now));
        assert!(poll(offer.as_mut()).is_pending() && poll(answer.as_mut()).is_pending());
        drop(seats.pop());
        assert!(poll(offer.as_mut()).is_pending());
        let Poll::Ready(seat) = poll(answer.as_mut()) else { panic!("it has a seat") };
        drop(seat);
        assert!(matches!(poll(offer.as_mut()), Poll::Ready(Some(_))));
    }

    #[actix_rt::test]
    async fn an_offer_waits_no_longer_than_it_may_and_leaves_its_seat_to_others() {
        let (queue, mut seats) = full().await;
        let old = Instant::now() - OFFER_WAIT;
        assert!(queue.enter(Rank::Offer, old).await.is_none());
        let almost = old + Duration::from_millis(5);
        assert!(queue.enter(Rank::Offer, almost).await.is_none());
        let mut answer = pin!(queue.enter(Rank::Urgent, old));
        assert!(poll(answer.as_mut()).is_pending());
        drop(seats.pop());
        assert!(matches!(poll(answer.as_mut()), Poll::Ready(Some(_))));
    }

    #[actix_rt::test]
    async fn seats_come_back_whatever_becomes_of_those_who_wait() {
        let (queue, seats) = full().await;
        {
            let mut gone = pin!(queue.enter(Rank::Urgent, Instant::now()));
            assert!(poll(gone.as_mut()).is_pending());
            drop(seats);
        }
        assert_eq!(lock(&queue.0).taken, 0);
        assert!(queue.enter(Rank::Aside, Instant::now()).await.is_some());
        assert_eq!(lock(&queue.0).taken, 0);
    }
}
