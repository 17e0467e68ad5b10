//! `/whip`: publishing, as OBS, GStreamer and pages do it (RFC 9725).

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, patch, post};

use super::State;
use super::access::{Join, JoinOwn, May, Steer};
use super::body::{Offer, SdpFragment, Text};
use super::exchange::{self, InRole};
use super::pace::Paced;
use crate::api::Problem;
use crate::sdp::Way;

/// Publish in the call that the join token is for (WHIP).
#[utoipa::path(
    tag = "whip",
    request_body(content = String, content_type = "application/sdp", description = "The offer: `sendonly`, at most one audio and one video m-line"),
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
#[post("/whip")]
pub(super) async fn publish(
    _: Paced,
    may: May<JoinOwn>,
    state: Data<State>,
    offer: Text<Offer>,
) -> Result<HttpResponse, Problem> {
    exchange::open_own(Way::In, &may.who, &state, &offer.text).await
}

/// Publish in a call (WHIP).
#[utoipa::path(
    tag = "whip",
    params(InRole),
    request_body(content = String, content_type = "application/sdp", description = "The offer: `sendonly`, at most one audio and one video m-line"),
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
#[post("/whip/{call}")]
pub(super) async fn publish_in(
    _: Paced,
    may: May<Join>,
    state: Data<State>,
    call: Path<String>,
    Query(asked): Query<InRole>,
    offer: Text<Offer>,
) -> Result<HttpResponse, Problem> {
    exchange::open(Way::In, &may.who, &state, call.into_inner(), asked.role, &offer.text).await
}

/// Add candidates, or restart ICE (RFC 9725 §4.3).
///
/// `If-Match` has the ETag of the ICE session, or `*` to restart. It may be absent where the fragment
/// has the ICE session's own credentials.
#[utoipa::path(
    tag = "whip",
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
#[patch("/whip/{call}/{leg}")]
pub(super) async fn patch(
    may: May<Steer>,
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    fragment: Text<SdpFragment>,
) -> Result<HttpResponse, Problem> {
    let (path, headers) = (path.into_inner(), request.headers());
    exchange::patch(Way::In, &may.who, &state, path, headers, &fragment.text).await
}

/// End the session.
#[utoipa::path(
    tag = "whip",
    responses((status = 200, description = "It is over")),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[delete("/whip/{call}/{leg}")]
pub(super) async fn delete(
    may: May<Steer>,
    state: Data<State>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    exchange::close(Way::In, &may.who, &state, path.into_inner()).await
}
