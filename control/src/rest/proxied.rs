//! `/v1/proxied`: calls behind SIP proxies, seen and ended by an operator.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get};
use serde::Deserialize;

use super::State;
use super::access::{Control, May, SeeNode};
use crate::api::{Problem, ProxiedCall};

/// Calls that are listed, most.
const LIST_MAX: usize = 10_000;
/// Calls that are listed if nobody says how many.
const LIST_USUAL: usize = 100;

/// How many are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    limit: Option<usize>,
}

/// List calls behind SIP proxies by their call-ids, in no order.
#[utoipa::path(
    tag = "proxied",
    params(("limit" = Option<usize>, Query, description = "How many, most; 100 by default, up to 10000")),
    responses((status = 200, description = "Their call-ids", body = Vec<String>)),
    security((), ("api" = ["read"]))
)]
#[get("/v1/proxied")]
pub(super) async fn list(
    _: May<SeeNode>,
    state: Data<State>,
    request: HttpRequest,
) -> Result<Json<Vec<String>>, Problem> {
    let wanted = Query::<Wanted>::from_query(request.query_string());
    let wanted = wanted.map_err(|error| Problem::malformed(error.to_string()).at("limit"))?;
    let limit = wanted.limit.unwrap_or(LIST_USUAL).min(LIST_MAX);
    state.ask(state.calls.proxied(limit)).await.map(Json)
}

/// Show a call behind a SIP proxy: where its parties said that they are, where they were seen, what they
/// sent, and what came from somewhere else and was not taken. Slashes in a call-id are written `%2F`.
#[utoipa::path(
    tag = "proxied",
    responses((status = 200, description = "The call", body = ProxiedCall)),
    security((), ("api" = ["read"]))
)]
#[get("/v1/proxied/{call}")]
pub(super) async fn show(
    _: May<SeeNode>,
    state: Data<State>,
    call: Path<String>,
) -> Result<Json<ProxiedCall>, Problem> {
    state.ask(state.calls.show_proxied(call.into_inner())).await.map(Json)
}

/// End a call behind a SIP proxy. The proxy is not told: what it asks of the call then is an error.
#[utoipa::path(
    tag = "proxied",
    responses((status = 204, description = "It is over")),
    security((), ("api" = ["call"]))
)]
#[delete("/v1/proxied/{call}")]
pub(super) async fn delete(
    _: May<Control>,
    state: Data<State>,
    call: Path<String>,
) -> Result<HttpResponse, Problem> {
    state.ask(state.calls.end_proxied(call.into_inner())).await?;
    Ok(HttpResponse::NoContent().finish())
}
