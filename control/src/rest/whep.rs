//! `/whep`: viewing (draft-ietf-wish-whep), the reverse of WHIP.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, patch, post};

use super::State;
use super::access::{Join, JoinOwn, May, Steer};
use super::body::{Offer, SdpFragment, Text};
use super::exchange::{self, InRole};
use super::pace::Paced;
use crate::api::Problem;
use crate::sdp::Way;

/// View the call that the join token is for (WHEP).
#[utoipa::path(
    tag = "whep",
    request_body(content = String, content_type = "application/sdp", description = "The offer: `recvonly`, at most one audio and one video m-line"),
    responses((
        status = 201,
        description = "The answer, with all of the node's candidates",
        body = String,
        content_type = "application/sdp",
        headers(
            ("Location", description = "The session: PATCH it, and DELETE it in the end"),
            ("ETag", description = "The ICE session, for `If-Match`"),
            ("Link", description = "ICE servers: `rel=\"ice-server\"`"),
            ("Accept-Patch", description = "`application/trickle-ice-sdpfrag`")
        )
    )),
    security(("join" = []))
)]
#[post("/whep")]
pub(super) async fn view(
    _: Paced,
    may: May<JoinOwn>,
    state: Data<State>,
    offer: Text<Offer>,
) -> Result<HttpResponse, Problem> {
    exchange::open_own(Way::Out, &may.who, &state, &offer.text).await
}

/// View a call (WHEP).
#[utoipa::path(
    tag = "whep",
    params(InRole),
    request_body(content = String, content_type = "application/sdp", description = "The offer: `recvonly`, at most one audio and one video m-line"),
    responses((
        status = 201,
        description = "The answer, with all of the node's candidates",
        body = String,
        content_type = "application/sdp",
        headers(
            ("Location", description = "The session: PATCH it, and DELETE it in the end"),
            ("ETag", description = "The ICE session, for `If-Match`"),
            ("Link", description = "ICE servers: `rel=\"ice-server\"`"),
            ("Accept-Patch", description = "`application/trickle-ice-sdpfrag`")
        )
    )),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/whep/{call}")]
pub(super) async fn view_in(
    _: Paced,
    may: May<Join>,
    state: Data<State>,
    call: Path<String>,
    Query(asked): Query<InRole>,
    offer: Text<Offer>,
) -> Result<HttpResponse, Problem> {
    exchange::open(Way::Out, &may.who, &state, call.into_inner(), asked.role, &offer.text).await
}

/// Add candidates, or restart ICE (as RFC 9725 §4.3).
///
/// `If-Match` has the ETag of the ICE session, or `*` to restart. It may be absent where the fragment
/// has the ICE session's own credentials.
#[utoipa::path(
    tag = "whep",
    params(("If-Match" = Option<String>, Header, description = "Which ICE session is meant")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag", description = "RFC 8840 §9"),
    responses(
        (status = 204, description = "The candidates are taken"),
        (
            status = 200,
            description = "ICE restarts with these credentials and candidates of the node",
            body = String,
            content_type = "application/trickle-ice-sdpfrag",
            headers(("ETag", description = "The new ICE session"))
        )
    ),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[patch("/whep/{call}/{leg}")]
pub(super) async fn patch(
    may: May<Steer>,
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    fragment: Text<SdpFragment>,
) -> Result<HttpResponse, Problem> {
    let (path, headers) = (path.into_inner(), request.headers());
    exchange::patch(Way::Out, &may.who, &state, path, headers, &fragment.text).await
}

/// End the session.
#[utoipa::path(
    tag = "whep",
    responses((status = 200, description = "It is over")),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[delete("/whep/{call}/{leg}")]
pub(super) async fn delete(
    may: May<Steer>,
    state: Data<State>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    exchange::close(Way::Out, &may.who, &state, path.into_inner()).await
}
