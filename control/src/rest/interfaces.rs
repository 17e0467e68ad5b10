//! `/v1/interfaces`: where media comes in, and what the world is told of it.

use actix_web::web::{Data, Json, Path};
use actix_web::{get, put};

use super::State;
use super::access::{Configure, May, SeeNode};
use super::body::Body;
use crate::api::{InterfaceView, Problem, SetInterface};

/// List the interfaces.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "All of them", body = Vec<InterfaceView>)),
    security((), ("api" = ["read"]))
)]
#[get("/v1/interfaces")]
pub(super) async fn list(
    _: May<SeeNode>,
    state: Data<State>,
) -> Result<Json<Vec<InterfaceView>>, Problem> {
    state.ask(state.calls.interfaces()).await.map(Json)
}

/// Announce another address: new legs and ICE restarts get it, running ones go on as they are.
#[utoipa::path(
    tag = "node",
    request_body = SetInterface,
    responses((status = 200, description = "The interface", body = InterfaceView)),
    security((), ("api" = ["admin"]))
)]
#[put("/v1/interfaces/{name}")]
pub(super) async fn set(
    _: May<Configure>,
    state: Data<State>,
    name: Path<String>,
    Body(asked): Body<SetInterface>,
) -> Result<Json<InterfaceView>, Problem> {
    state.ask(state.calls.announce(name.into_inner(), asked.announce)).await.map(Json)
}
