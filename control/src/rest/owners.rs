//! Which leg was added with which join token, so that one bearer cannot drive another's leg.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix_web::web::Data;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::{State, sse};
use crate::api::{Problem, What};
use crate::auth::{Pass, unix_now};

/// Legs by id, with the token that added them; at most `max`.
pub(super) struct Owners {
    legs: Mutex<HashMap<String, Owner>>,
    max: usize,
}

struct Owner {
    jti: String,
    expires: u64,
}

impl Owners {
    pub(super) fn new(max: usize) -> Self {
        Self { legs: Mutex::default(), max }
    }

    /// Notes that `leg` was added with `pass`. A full table first forgets expired tokens, which
    /// open nothing any more.
    ///
    /// # Errors
    /// 503 if the table is still full.
    pub(super) fn note(&self, leg: &str, pass: &Pass) -> Result<(), Problem> {
        let mut legs = self.locked();
        if legs.len() >= self.max {
            let now = unix_now();
            legs.retain(|_, owner| owner.expires > now);
        }
        if legs.len() >= self.max {
            return Err(Problem::unavailable("the node holds as many legs as it may"));
        }
        let owner = Owner { jti: pass.jti.clone(), expires: pass.exp };
        legs.insert(leg.to_owned(), owner);
        Ok(())
    }

    /// Whether `leg` was added with the token whose id is `jti`.
    pub(super) fn owns(&self, jti: &str, leg: &str) -> bool {
        self.locked().get(leg).is_some_and(|owner| owner.jti == jti)
    }

    /// The legs that were added with the token whose id is `jti`.
    pub(super) fn of(&self, jti: &str) -> Vec<String> {
        let legs = self.locked();
        legs.iter().filter(|(_, owner)| owner.jti == jti).map(|(leg, _)| leg.clone()).collect()
    }

    /// Forgets a leg that is over.
    pub(super) fn forget(&self, leg: &str) {
        self.locked().remove(leg);
    }

    /// A panic elsewhere leaves the table whole: each change is one step.
    fn locked(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets legs as they end, until the node stops.
pub(super) async fn watch(state: Data<State>, mut stop: watch::Receiver<bool>) {
    let mut events = state.calls.subscribe(None);
    loop {
        tokio::select! {
            () = sse::stopped(&mut stop) => return,
            event = events.recv() => match event.as_deref().map(|event| &event.what) {
                Ok(What::LegEnded { leg, .. }) => {
                    state.owners.forget(&leg.id);
                    state.sessions.note_end(&leg.id, Instant::now());
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}
