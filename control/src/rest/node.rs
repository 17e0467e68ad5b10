//! `/v1/node`: the node as it is now.

use actix_web::get;
use actix_web::web::{Data, Json};

use super::State;
use super::access::{May, SeeNode};
use crate::api::{NodeStats, Problem};

/// Show the node.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "The node", body = NodeStats)),
    security((), ("api" = ["read"]))
)]
#[get("/v1/node")]
pub(super) async fn show(_: May<SeeNode>, state: Data<State>) -> Result<Json<NodeStats>, Problem> {
    state.ask(state.calls.node()).await.map(Json)
}
