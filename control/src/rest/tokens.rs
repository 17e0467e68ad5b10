//! `/v1/calls/{call}/tokens`: join tokens.

use std::time::Duration;

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, post};

use super::State;
use super::access::{Control, May};
use super::body::Body;
use super::legs::sound_role;
use crate::api::{CreateToken, Problem, TokenCreated};

/// Seconds that a join token is good for if nothing else is said.
const LIFE: u64 = 3600;
/// Seconds that it may be good for.
const LIVES: std::ops::RangeInclusive<u64> = 10..=86_400;

/// Make a join token, for one browser to join the call on the public listener.
#[utoipa::path(
    tag = "calls",
    request_body = CreateToken,
    responses((status = 201, description = "The token", body = TokenCreated)),
    security((), ("api" = ["call"]))
)]
#[post("/v1/calls/{call}/tokens")]
pub(super) async fn create(
    _: May<Control>,
    state: Data<State>,
    call: Path<String>,
    Body(asked): Body<CreateToken>,
) -> Result<HttpResponse, Problem> {
    sound_role(&asked.role)?;
    let life = asked.expires_in.unwrap_or(LIFE);
    if !LIVES.contains(&life) {
        let words = format!("{life} s: allowed are {} to {}", LIVES.start(), LIVES.end());
        return Err(Problem::malformed(words).at("expires_in"));
    }
    let call = state.ask(state.calls.show(call.into_inner())).await?;
    let token = state.joins.issue(&call.id, &asked.role, Duration::from_secs(life))?;
    Ok(HttpResponse::Created().json(token))
}
