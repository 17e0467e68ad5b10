//! `/v1/proxied`: calls behind SIP proxies, seen and ended by an operator.

use std::fmt::Write as _;

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get};
use serde::Deserialize;

use super::State;
use super::access::{Control, May, SeeNode};
use super::why::wants_text;
use crate::api::{Problem, ProxiedCall, ProxiedFinding, ProxiedWhy};

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

/// Say why a call behind a SIP proxy works or does not: party by party and m-line by m-line what is wrong, what to
/// change, and what that is judged by.
#[utoipa::path(
    tag = "proxied",
    params(("format" = Option<String>, Query, description = "`text` for people, `json` otherwise; `Accept: text/plain` does the same")),
    responses((status = 200, description = "What is wrong", content(
        (ProxiedWhy = "application/json"),
        (String = "text/plain"),
    ))),
    security((), ("api" = ["read"]))
)]
#[get("/v1/proxied/{call}/why")]
pub(super) async fn explain(
    _: May<SeeNode>,
    request: HttpRequest,
    state: Data<State>,
    call: Path<String>,
) -> Result<HttpResponse, Problem> {
    let text = wants_text(&request)?;
    let why = state.ask(state.calls.why_proxied(call.into_inner())).await?;
    if text {
        return Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(words(&why)));
    }
    Ok(HttpResponse::Ok().json(why))
}

/// The same for people.
fn words(why: &ProxiedWhy) -> String {
    let state = if why.answered { "answered" } else { "not answered" };
    let mut out = format!(
        "call {}, {state}, began {} s ago, last asked for {} s ago\n",
        why.call, why.age, why.since_signal
    );
    for finding in &why.findings {
        // Writing to a string does not fail.
        let _ = write_finding(&mut out, finding);
    }
    out
}

fn write_finding(out: &mut String, finding: &ProxiedFinding) -> std::fmt::Result {
    let ProxiedFinding { tag, index, kind, verdict, what, advice, facts, .. } = finding;
    writeln!(out, "\n{tag} [{index} {kind}]: {}\n  {what}", verdict.name())?;
    if let Some(advice) = advice {
        writeln!(out, "  -> {advice}")?;
    }
    facts.iter().try_for_each(|fact| writeln!(out, "  {fact}"))
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
