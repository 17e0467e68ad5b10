//! `/healthz` and `/readyz`, for whoever restarts nodes and whoever sends them calls.

use actix_web::get;
use actix_web::web::Data;

use super::State;
use crate::api::Problem;

/// Whether the process answers at all.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
    security(())
)]
#[get("/healthz")]
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Whether the node takes new calls.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
    security(())
)]
#[get("/readyz")]
pub(super) async fn ready(state: Data<State>) -> Result<&'static str, Problem> {
    state.ask(state.calls.ready()).await.map(|()| "ready\n")
}
