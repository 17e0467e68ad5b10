//! `/v1/calls`: making, seeing and ending calls.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, post};

use super::State;
use super::access::{Control, May, SeeCall, SeeNode, Who};
use super::body::Body;
use crate::api::{CallStats, CallView, CreateCall, Problem};

/// Characters of a call's name and of a label's key or value, most.
const TEXT_MAX: usize = 128;
/// Labels of a call, most.
const LABELS_MAX: usize = 16;

/// Make a call.
#[utoipa::path(
    tag = "calls",
    request_body = CreateCall,
    responses((status = 201, description = "The call; `Location` is its address", body = CallView)),
    security((), ("api" = ["call"]))
)]
#[post("/v1/calls")]
pub(super) async fn create(
    _: May<Control>,
    state: Data<State>,
    Body(asked): Body<CreateCall>,
) -> Result<HttpResponse, Problem> {
    sound(&asked)?;
    let call = state.ask(state.calls.create(asked)).await?;
    let location = format!("/v1/calls/{}", call.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(call))
}

/// List the calls that are not over.
#[utoipa::path(
    tag = "calls",
    responses((status = 200, description = "The calls", body = Vec<CallView>)),
    security((), ("api" = ["read"]))
)]
#[get("/v1/calls")]
pub(super) async fn list(
    _: May<SeeNode>,
    state: Data<State>,
) -> Result<Json<Vec<CallView>>, Problem> {
    state.ask(state.calls.list()).await.map(Json)
}

/// Show a call. The bearer of a join token sees the addresses of its own legs only.
#[utoipa::path(
    tag = "calls",
    responses((status = 200, description = "The call", body = CallView)),
    security((), ("api" = ["read"]), ("join" = []))
)]
#[get("/v1/calls/{call}")]
pub(super) async fn show(
    may: May<SeeCall>,
    state: Data<State>,
    call: Path<String>,
) -> Result<Json<CallView>, Problem> {
    let view = state.ask(state.calls.show(call.into_inner())).await?;
    Ok(Json(seen_by(&may.who, &state, view)))
}

/// End a call and its legs.
#[utoipa::path(
    tag = "calls",
    responses((status = 204, description = "It is over")),
    security((), ("api" = ["call"]))
)]
#[delete("/v1/calls/{call}")]
pub(super) async fn delete(
    _: May<Control>,
    state: Data<State>,
    call: Path<String>,
) -> Result<HttpResponse, Problem> {
    state.ask(state.calls.delete(call.into_inner())).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Show what a call's media does.
#[utoipa::path(
    tag = "calls",
    responses((status = 200, description = "Its statistics", body = CallStats)),
    security((), ("api" = ["read"]), ("join" = []))
)]
#[get("/v1/calls/{call}/stats")]
pub(super) async fn stats(
    _: May<SeeCall>,
    state: Data<State>,
    call: Path<String>,
) -> Result<Json<CallStats>, Problem> {
    state.ask(state.calls.stats(call.into_inner())).await.map(Json)
}

/// Asks that names and labels are short enough.
pub(super) fn sound(asked: &CreateCall) -> Result<(), Problem> {
    let long = |text: &String| text.chars().count() > TEXT_MAX;
    let words =
        |what: &str| Problem::malformed(format!("{what} longer than {TEXT_MAX} characters"));
    if asked.name.as_ref().is_some_and(long) {
        return Err(words("the name is").at("name"));
    }
    if asked.labels.len() > LABELS_MAX {
        return Err(Problem::malformed(format!("more than {LABELS_MAX} labels")).at("labels"));
    }
    if asked.labels.iter().any(|(key, value)| long(key) || long(value)) {
        return Err(words("a label is").at("labels"));
    }
    Ok(())
}

/// A call's parties do not learn each other's addresses: that is what the node is between them for.
pub(super) fn seen_by(who: &Who, state: &State, mut call: CallView) -> CallView {
    if let Some(pass) = who.pass() {
        for leg in &mut call.legs {
            leg.remote = leg.remote.take().filter(|_| state.owners.owns(&pass.jti, &leg.id));
        }
    }
    call
}
