//! `/v1/desk`: visitors call in, agents see who waits and take the calls.
//!
//! A call waits from the visitor's request until an agent joins it, its visitor leaves, or it is
//! over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::access::{Attend, May};
use super::body::{Body, Bounded};
use super::local::Visitor;
use super::pace::Paced;
use super::sse::{self, Step};
use super::{State, calls::sound};
use crate::api::{CallState, CallView, CreateCall, LifeEvent, Problem, What};
use crate::auth::{JoinTokens, unix_now};
use crate::calls::Calls;

/// The role of who calls in.
const VISITOR: &str = "customer";
/// The role of who takes calls.
const AGENT: &str = "agent";
/// What the desk's tokens are good for.
const LIFE: Duration = Duration::from_secs(3600);
/// Changes that a slow agent's page can be behind.
const BACKLOG: usize = 256;
/// How often the list is compared with the calls that there are.
const COMPARE: Duration = Duration::from_secs(30);

/// Asks to be put through.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ring {
    /// Who calls; at most 128 characters.
    #[serde(default)]
    name: Option<String>,
}

impl Bounded for Ring {}

/// A call that waits at the desk, and the token to join it with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Rung {
    /// The call's id.
    call: String,
    /// A join token with the role `customer`.
    token: String,
    /// Seconds since 1970 when it expires.
    expires: u64,
}

/// What an agent's stream says: `call_waiting` and `call_gone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum DeskEvent {
    /// `call_waiting`: somebody calls.
    Waiting {
        /// The call's id.
        call: String,
        /// Who calls.
        name: Option<String>,
        /// Seconds since 1970 when it began to wait.
        since: u64,
        /// A join token with the role `agent`.
        token: String,
    },
    /// `call_gone`: it does not wait any more.
    Gone {
        /// The call's id.
        call: String,
    },
}

/// Call in: makes a call that waits for an agent, and a token to join it with.
#[utoipa::path(
    tag = "desk",
    request_body = Ring,
    responses((status = 201, description = "The call waits", body = Rung)),
    security(())
)]
#[post("/v1/desk/calls")]
pub(super) async fn ring(
    _: Visitor,
    _: Paced,
    state: Data<State>,
    Body(asked): Body<Ring>,
) -> Result<HttpResponse, Problem> {
    let desk = desk(&state)?;
    let asked = CreateCall { name: asked.name, labels: BTreeMap::new() };
    sound(&asked)?;
    desk.room()?;
    let call = state.ask(state.calls.create(asked)).await?;
    let made = state.joins.issue(&call.id, VISITOR, LIFE)?;
    desk.add(&call);
    let rung = Rung { call: call.id, token: made.token, expires: made.expires };
    Ok(HttpResponse::Created().json(rung))
}

/// Follow the desk: first the calls that wait, then each as it comes and goes.
#[utoipa::path(
    tag = "desk",
    params(("token" = Option<String>, Query, description = "The token, for those who cannot send a header")),
    responses((status = 200, description = "`call_waiting` and `call_gone`", body = DeskEvent, content_type = "text/event-stream")),
    security((), ("api" = ["call"]))
)]
#[get("/v1/desk/events")]
pub(super) async fn events(_: May<Attend>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let seat = state.subscribers.seat()?;
    let (waiting, changes) = desk(&state)?.follow();
    let mut first = Vec::new();
    for change in &waiting {
        first.extend_from_slice(&frame(&state.joins, change));
    }
    let step = move |change: &Change| Step::Send(frame(&state.joins, change));
    Ok(sse::respond(seat, changes, first.into(), step))
}

fn desk(state: &State) -> Result<&Desk, Problem> {
    state.desk.as_deref().ok_or_else(|| Problem::not_found("this node has no desk"))
}

/// Each agent gets a token of its own: legs belong to the token that added them.
fn frame(joins: &JoinTokens, change: &Change) -> Bytes {
    match &change.what {
        Some(Waiting { name, since, .. }) => match joins.issue(&change.call, AGENT, LIFE) {
            Ok(made) => {
                let (call, name, since) = (change.call.clone(), name.clone(), *since);
                let event = DeskEvent::Waiting { call, name, since, token: made.token };
                sse::frame(change.sequence, "call_waiting", &event)
            }
            Err(_) => Bytes::new(),
        },
        None => {
            let event = DeskEvent::Gone { call: change.call.clone() };
            sse::frame(change.sequence, "call_gone", &event)
        }
    }
}

/// The calls that wait, in the order of coming.
pub(super) struct Desk {
    list: Mutex<List>,
    changes: broadcast::Sender<Arc<Change>>,
    max: usize,
}

#[derive(Default)]
struct List {
    waiting: BTreeMap<String, Waiting>,
    sequence: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    name: Option<String>,
    since: u64,
    sequence: u64,
}

/// A call that came, or went.
struct Change {
    sequence: u64,
    call: String,
    what: Option<Waiting>,
}

impl Desk {
    pub(super) fn new(max: usize) -> Self {
        Self { list: Mutex::default(), changes: broadcast::Sender::new(BACKLOG), max }
    }

    /// Takes calls off the list as they are taken and end, until the node stops.
    pub(super) async fn watch(
        self: Arc<Self>,
        calls: Arc<dyn Calls>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut lives = calls.subscribe(None);
        let mut compare = tokio::time::interval(COMPARE);
        loop {
            tokio::select! {
                () = sse::stopped(&mut stop) => return,
                _ = compare.tick() => self.compare(&*calls).await,
                event = lives.recv() => match event {
                    Ok(event) => self.heed(&event),
                    Err(RecvError::Lagged(_)) => self.compare(&*calls).await,
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn heed(&self, event: &LifeEvent) {
        match &event.what {
            What::LegJoined { call, leg } if leg.role == AGENT => self.remove(call),
            What::LegEnded { call, leg } if leg.role == VISITOR => self.remove(call),
            What::CallActive { call } | What::CallEnded { call, .. } => self.remove(call),
            _ => {}
        }
    }

    /// Removes what a lost event would have removed.
    async fn compare(&self, calls: &dyn Calls) {
        // Taken first: what comes to wait meanwhile is not in question.
        let waiting: Vec<_> = self.locked().waiting.keys().cloned().collect();
        if waiting.is_empty() {
            return;
        }
        let Ok(there) = calls.list().await else { return };
        let waits = |id: &String| {
            there.iter().any(|call| {
                call.id == *id
                    && call.state == CallState::Waiting
                    && call.legs.iter().all(|leg| leg.role != AGENT || leg.ended.is_some())
            })
        };
        waiting.iter().filter(|id| !waits(id)).for_each(|id| self.remove(id));
    }

    /// Asks whether one more can wait.
    fn room(&self) -> Result<(), Problem> {
        if self.locked().waiting.len() < self.max {
            return Ok(());
        }
        Err(Problem::unavailable("as many calls wait as may; call again later"))
    }

    fn add(&self, call: &CallView) {
        let mut list = self.locked();
        list.sequence += 1;
        let sequence = list.sequence;
        let waiting = Waiting { name: call.name.clone(), since: unix_now(), sequence };
        list.waiting.insert(call.id.clone(), waiting.clone());
        self.tell(Change { sequence, call: call.id.clone(), what: Some(waiting) });
    }

    fn remove(&self, call: &str) {
        let mut list = self.locked();
        if list.waiting.remove(call).is_some() {
            list.sequence += 1;
            let sequence = list.sequence;
            self.tell(Change { sequence, call: call.to_owned(), what: None });
        }
    }

    /// What waits now, and all changes after it.
    fn follow(&self) -> (Vec<Change>, broadcast::Receiver<Arc<Change>>) {
        let list = self.locked();
        let mut waiting: Vec<_> = list
            .waiting
            .iter()
            .map(|(call, waiting)| Change {
                sequence: waiting.sequence,
                call: call.clone(),
                what: Some(waiting.clone()),
            })
            .collect();
        waiting.sort_by_key(|change| change.sequence);
        (waiting, self.changes.subscribe())
    }

    fn tell(&self, change: Change) {
        // Nobody may be listening.
        let _ = self.changes.send(Arc::new(change));
    }

    /// A panic elsewhere leaves the list whole: each change is one step.
    fn locked(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::double::Double;

    #[actix_web::test]
    async fn the_desk_forgets_calls_whose_end_it_did_not_hear_of() {
        let (double, desk) = (Double::new(), Desk::new(1));
        let call = double.create(CreateCall::default()).await.unwrap();
        desk.add(&call);
        assert_eq!(desk.room().unwrap_err().status, 503);
        desk.compare(&*double).await;
        assert_eq!(desk.follow().0.len(), 1);
        double.delete(call.id).await.unwrap();
        desk.compare(&*double).await;
        assert_eq!(desk.follow().0.len(), 0);
    }
}
