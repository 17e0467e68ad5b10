//! `/v1/calls/{call}/why`: why a call works or does not, for programs and for people; and what
//! browsers report of their side.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{ACCEPT, HOST};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::State;
use super::access::{Drive, May, SeeCall, Who};
use super::body::Body;
use crate::api::{ClientReport, Gravity, Moment, Problem, Why};
use crate::call::{Eyes, Remark, sanitised};

/// Say why a call works or does not: what is wrong and what to change, then everything that
/// happened. Calls that are over are remembered for some minutes. The bearer of a join token sees
/// the addresses of its own legs only.
#[utoipa::path(
    tag = "calls",
    params(("format" = Option<String>, Query, description = "`text` for people, `json` otherwise; `Accept: text/plain` does the same")),
    responses((status = 200, description = "What happened and what is wrong", content(
        (Why = "application/json"),
        (String = "text/plain"),
    ))),
    security((), ("api" = ["read"]), ("join" = []))
)]
#[get("/v1/calls/{call}/why")]
pub(super) async fn show(
    may: May<SeeCall>,
    request: HttpRequest,
    state: Data<State>,
    call: Path<String>,
) -> Result<HttpResponse, Problem> {
    let text = wants_text(&request)?;
    let why = state.ask(state.calls.why(call.into_inner(), eyes(&may.who, &state))).await?;
    if text {
        return Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(words(&why)));
    }
    Ok(HttpResponse::Ok().json(why))
}

/// Take what a leg's browser sees of its connection, for `why`: at most eight reports, one a
/// second, while the leg is there.
#[utoipa::path(
    tag = "legs",
    request_body = ClientReport,
    responses((status = 204, description = "It is noted")),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/v1/calls/{call}/legs/{leg}/report")]
pub(super) async fn report(
    _: May<Drive>,
    state: Data<State>,
    path: Path<(String, String)>,
    Body(report): Body<ClientReport>,
) -> Result<HttpResponse, Problem> {
    let (call, leg) = path.into_inner();
    state.ask(state.calls.report(call, leg, sanitised(report)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Notes the address at which whoever added a leg has reached the node, if it is one and no name.
pub(super) fn note_host(state: &State, request: &HttpRequest, call: &str, leg: &str) {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if let Some(host) = host.and_then(literal) {
        state.calls.remark(call.to_owned(), Remark::AskedAt { leg: leg.to_owned(), host });
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let with_port = || host.parse::<SocketAddr>().ok().map(|address| address.ip());
    host.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

fn eyes(who: &Who, state: &State) -> Eyes {
    who.pass().map_or(Eyes::Operator, |pass| Eyes::Guest(state.owners.of(&pass.jti)))
}

pub(super) fn wants_text(request: &HttpRequest) -> Result<bool, Problem> {
    #[derive(Deserialize)]
    struct Asked {
        format: Option<String>,
    }
    let asked = Query::<Asked>::from_query(request.query_string()).ok();
    match asked.as_ref().and_then(|asked| asked.format.as_deref()) {
        Some("text") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(Problem::malformed("allowed are json and text").at("format")),
        None => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
            Ok(accept.is_some_and(|accept| accept.trim().starts_with("text/plain")))
        }
    }
}

/// The same for people.
fn words(why: &Why) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_words(&mut out, why);
    out
}

fn write_words(out: &mut String, why: &Why) -> std::fmt::Result {
    let name = why.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let state = match why.ended {
        Some(reason) => format!("ended ({})", word(&reason)),
        None => word(&why.state),
    };
    writeln!(out, "call {}{name}, {state}", why.call)?;
    for finding in &why.summary {
        let who = finding.role.as_deref().unwrap_or("call");
        let leg = finding.leg.as_deref().map(|leg| format!(" [{leg}]")).unwrap_or_default();
        writeln!(out, "\n{who}{leg}: {}\n  {}", finding.verdict.name(), finding.what)?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "  -> {advice}")?;
        }
    }
    writeln!(out, "\nseconds since the call began at {} ms after 1970:", why.began_ms)?;
    why.timeline.iter().try_for_each(|moment| write_moment(out, moment))?;
    match why.left_out {
        0 => Ok(()),
        left_out => writeln!(out, "({left_out} entries were left out for want of room)"),
    }
}

/// A word of the API as it stands in JSON, for people.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().replace('_', " ")
}

fn write_moment(out: &mut String, moment: &Moment) -> std::fmt::Result {
    let mark = match moment.gravity {
        Gravity::Good => '+',
        Gravity::Plain => ' ',
        Gravity::Bad => '!',
    };
    let who = moment.role.as_deref().unwrap_or("call");
    let topic = moment.topic.name();
    let (since, text) = (seconds(moment.since_ms), &moment.text);
    write!(out, "{since:>10} {mark} {who:<10} {topic:<11} {text}")?;
    if moment.times > 1 {
        write!(out, " ({} times, last at {})", moment.times, seconds(moment.last_ms))?;
    }
    writeln!(out)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
