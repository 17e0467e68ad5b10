//! `/v1/calls/{call}/legs`: adding legs and negotiating with them.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};

use super::State;
use super::access::{Drive, Join, May, SeeLeg};
use super::body::Body;
use super::pace::Paced;
use super::why;
use crate::api::{
    AddLeg, Description, LegAdded, LegKind, LegView, Problem, Receive, Renewal, Trickle,
};
use crate::auth::ROLE_MAX;
use causeway_engine::config::DSCP_MAX;

/// Candidates of one request, most.
const CANDIDATES_MAX: usize = 32;
/// Bytes of one candidate, most.
const CANDIDATE_MAX: usize = 1024;

/// Add a leg: with an offer the node answers, without one it offers.
#[utoipa::path(
    tag = "legs",
    request_body = AddLeg,
    responses((status = 201, description = "The leg; `Location` is its address", body = LegAdded)),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/v1/calls/{call}/legs")]
pub(super) async fn add(
    _: Paced,
    may: May<Join>,
    request: HttpRequest,
    state: Data<State>,
    call: Path<String>,
    Body(mut asked): Body<AddLeg>,
) -> Result<HttpResponse, Problem> {
    let pass = may.who.pass();
    asked.without_ice = pass.is_none();
    if let Some(pass) = pass {
        asked.role = Some(pass.role.clone());
        asked.dscp = None;
    }
    sound(&asked)?;
    if pass.is_some() && asked.kind.is_some_and(|kind| kind != LegKind::Webrtc) {
        let words =
            "a join token is for a leg with ICE: the node sends to whatever address another names";
        return Err(Problem::forbidden(words).at("kind"));
    }
    let added = state.ask(state.calls.add_leg(call.to_string(), asked)).await?;
    if let Some(pass) = pass
        && let Err(full) = state.owners.note(&added.leg.id, pass)
    {
        // Nobody could drive it.
        state.ask(state.calls.remove_leg(call.into_inner(), added.leg.id)).await?;
        return Err(full);
    }
    why::note_host(&state, &request, &call, &added.leg.id);
    let location = format!("/v1/calls/{call}/legs/{}", added.leg.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(added))
}

/// Show a leg.
#[utoipa::path(
    tag = "legs",
    responses((status = 200, description = "The leg", body = LegView)),
    security((), ("api" = ["read"]), ("join" = []))
)]
#[get("/v1/calls/{call}/legs/{leg}")]
pub(super) async fn show(
    _: May<SeeLeg>,
    state: Data<State>,
    path: Path<(String, String)>,
) -> Result<Json<LegView>, Problem> {
    let (call, leg) = path.into_inner();
    state.ask(state.calls.show_leg(call, leg)).await.map(Json)
}

/// End a leg.
#[utoipa::path(
    tag = "legs",
    responses((status = 204, description = "It is over")),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[delete("/v1/calls/{call}/legs/{leg}")]
pub(super) async fn remove(
    _: May<Drive>,
    state: Data<State>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (call, leg) = path.into_inner();
    state.ask(state.calls.remove_leg(call, leg.clone())).await?;
    state.owners.forget(&leg);
    Ok(HttpResponse::NoContent().finish())
}

/// Answer the node's offer.
#[utoipa::path(
    tag = "legs",
    request_body = Description,
    responses((status = 200, description = "The leg", body = LegView)),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/v1/calls/{call}/legs/{leg}/answer")]
pub(super) async fn answer(
    _: May<Drive>,
    state: Data<State>,
    path: Path<(String, String)>,
    Body(description): Body<Description>,
) -> Result<Json<LegView>, Problem> {
    let (call, leg) = path.into_inner();
    state.ask(state.calls.answer(call, leg, description)).await.map(Json)
}

/// Offer again: hold, other media, an ICE restart. The node answers; without an `sdp` it offers.
#[utoipa::path(
    tag = "legs",
    request_body = Renewal,
    responses((status = 200, description = "The node's answer, or its offer", body = Description)),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/v1/calls/{call}/legs/{leg}/offer")]
pub(super) async fn offer(
    _: May<Drive>,
    state: Data<State>,
    path: Path<(String, String)>,
    Body(renewal): Body<Renewal>,
) -> Result<Json<Description>, Problem> {
    let (call, leg) = path.into_inner();
    let described = match (renewal.sdp, renewal.direction) {
        (Some(_), Some(_)) => {
            let words = "with an sdp it is the sdp that says which way media flows";
            return Err(Problem::malformed(words).at("direction"));
        }
        (Some(sdp), None) => state.calls.offer(call, leg, Description { sdp }),
        (None, direction) => state.calls.propose(call, leg, direction.unwrap_or_default()),
    };
    state.ask(described).await.map(Json)
}

/// Add candidates that were found after the description (RFC 8838).
#[utoipa::path(
    tag = "legs",
    request_body = Trickle,
    responses((status = 204, description = "They are taken")),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/v1/calls/{call}/legs/{leg}/candidates")]
pub(super) async fn trickle(
    _: May<Drive>,
    state: Data<State>,
    path: Path<(String, String)>,
    Body(more): Body<Trickle>,
) -> Result<HttpResponse, Problem> {
    if more.candidates.len() > CANDIDATES_MAX {
        let words = format!("more than {CANDIDATES_MAX} candidates at once");
        return Err(Problem::malformed(words).at("candidates"));
    }
    if let Some(long) = more.candidates.iter().position(|line| line.len() > CANDIDATE_MAX) {
        let words = format!("a candidate is longer than {CANDIDATE_MAX} bytes");
        return Err(Problem::malformed(words).at(format!("candidates[{long}]")));
    }
    let (call, leg) = path.into_inner();
    state.ask(state.calls.trickle(call, leg, more)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ask for what comes on one of the leg's m-lines: a simulcast layer, or nothing for now.
#[utoipa::path(
    tag = "legs",
    request_body = Receive,
    responses((status = 200, description = "The leg", body = LegView)),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[put("/v1/calls/{call}/legs/{leg}/receive/{mid}")]
pub(super) async fn receive(
    _: May<Drive>,
    state: Data<State>,
    path: Path<(String, String, String)>,
    Body(asked): Body<Receive>,
) -> Result<Json<LegView>, Problem> {
    let (call, leg, mid) = path.into_inner();
    state.ask(state.calls.receive(call, leg, mid, asked)).await.map(Json)
}

fn sound(asked: &AddLeg) -> Result<(), Problem> {
    if let Some(role) = &asked.role {
        sound_role(role)?;
    }
    if asked.offer.is_some() && asked.media.is_some() {
        let words = "with an offer it is the offer that says what media there is";
        return Err(Problem::malformed(words).at("media"));
    }
    let webrtc = asked.kind.unwrap_or_default() == LegKind::Webrtc;
    let own = [
        ("kind", asked.kind.is_some()),
        ("direction", asked.direction.is_some()),
        ("rtcp_mux", asked.rtcp_mux),
        ("feedback", asked.feedback),
    ];
    for (name, is_set) in own.into_iter().filter(|_| asked.offer.is_some() || webrtc) {
        if is_set && asked.offer.is_some() {
            let words = "this is for an offer of the node's, and there is one already";
            return Err(Problem::malformed(words).at(name));
        }
        if is_set && name != "kind" {
            let words = "this is for a leg without ICE: of kind rtp, sdes or dtls";
            return Err(Problem::malformed(words).at(name));
        }
    }
    if asked.media.as_ref().is_some_and(|media| media.is_empty() || media.len() > 2) {
        return Err(Problem::malformed("one or two kinds of media can be offered").at("media"));
    }
    if asked.dscp.is_some_and(|dscp| dscp > DSCP_MAX) {
        return Err(Problem::malformed(format!("allowed are 0 to {DSCP_MAX}")).at("dscp"));
    }
    Ok(())
}

/// Asks that a role is a short word.
pub(super) fn sound_role(role: &str) -> Result<(), Problem> {
    if role.is_empty() || role.chars().count() > ROLE_MAX {
        let words = format!("a role has 1 to {ROLE_MAX} characters");
        return Err(Problem::malformed(words).at("role"));
    }
    Ok(())
}
