//! `/v1/events` and `/v1/calls/{call}/events`: what happens, as server-sent events.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use bytes::Bytes;

use super::State;
use super::access::{May, WatchCall, WatchNode, Who};
use super::sse::{self, Step};
use crate::api::{LifeEvent, Problem, What};

/// Follow the node.
#[utoipa::path(
    tag = "events",
    params(("token" = Option<String>, Query, description = "The token, for those who cannot send a header")),
    responses((status = 200, description = "Events, from now on", body = LifeEvent, content_type = "text/event-stream")),
    security((), ("api" = ["read"]))
)]
#[get("/v1/events")]
pub(super) async fn all(_: May<WatchNode>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let seat = state.subscribers.seat()?;
    let events = state.calls.subscribe(None);
    let step = |event: &LifeEvent| Step::Send(frame(event));
    Ok(sse::respond(seat, events, Bytes::new(), step))
}

/// Follow a call until it is over.
#[utoipa::path(
    tag = "events",
    params(("token" = Option<String>, Query, description = "The token, for those who cannot send a header")),
    responses((status = 200, description = "Events, from now on", body = LifeEvent, content_type = "text/event-stream")),
    security((), ("api" = ["read"]), ("join" = []))
)]
#[get("/v1/calls/{call}/events")]
pub(super) async fn of_call(
    may: May<WatchCall>,
    state: Data<State>,
    call: Path<String>,
) -> Result<HttpResponse, Problem> {
    let seat = state.subscribers.seat()?;
    // Subscribed before it is asked for, so that its end cannot fall between.
    let events = state.calls.subscribe(Some(call.to_string()));
    let call = state.ask(state.calls.show(call.into_inner())).await?.id;
    let step = move |event: &LifeEvent| match &event.what {
        what if what.call() != Some(call.as_str()) => Step::Skip,
        What::CallEnded { .. } => Step::Last(frame(event)),
        _ => Step::Send(frame(&seen_by(&may.who, &state, event))),
    };
    Ok(sse::respond(seat, events, Bytes::new(), step))
}

fn frame(event: &LifeEvent) -> Bytes {
    sse::frame(event.sequence, event.what.name(), event)
}

/// Hides other legs' addresses from the bearer of a join token.
fn seen_by(who: &Who, state: &State, event: &LifeEvent) -> LifeEvent {
    let mut event = event.clone();
    if let (
        Some(pass),
        What::LegJoined { leg, .. } | What::LegChanged { leg, .. } | What::LegEnded { leg, .. },
    ) = (who.pass(), &mut event.what)
    {
        leg.remote = leg.remote.take().filter(|_| state.owners.owns(&pass.jti, &leg.id));
    }
    event
}
