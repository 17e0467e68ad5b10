//! The ng protocol over HTTP, as rtpengine serves it, on the admin listener alone. Whoever may make calls
//! may ask.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, get, post};
use bytes::Bytes;

use super::access::{Control, May};
use super::{State, body};
use crate::api::Problem;
use crate::ng::{FRAME_MAX, Frame};
use crate::ng_server::{Asker, Door};

/// Documents with or without their cookie.
const NG: &str = "application/x-rtpengine-ng";
/// Documents in JSON.
const JSON: &str = "application/json";

/// Ask over the ng protocol: a cookie, a space, and a request in bencode or JSON.
///
/// The reply comes the same way. A cookie that came before gets the reply of then.
#[utoipa::path(
    tag = "ng",
    request_body(content = String, content_type = "application/x-rtpengine-ng"),
    responses((
        status = 200,
        description = "The cookie, a space, and the reply",
        body = String,
        content_type = "application/x-rtpengine-ng"
    )),
    security((), ("api" = ["call"]))
)]
#[post("/ng")]
pub(super) async fn ask(
    _: May<Control>,
    request: HttpRequest,
    state: Data<State>,
    document: Document,
) -> Result<HttpResponse, Problem> {
    let asker = asker(&request, &state, Door::Http)?;
    if document.kind != NG {
        return Err(unsupported(NG));
    }
    Frame::split(&document.bytes).map_err(|error| Problem::malformed(error.to_string()))?;
    let reply = state.ng.ask(asker, document.bytes).await;
    let reply = reply.ok_or_else(|| Problem::unavailable("the node does not answer this now"))?;
    Ok(HttpResponse::Ok().content_type(NG).body(reply))
}

/// Ask over the ng protocol without a cookie: a request in bencode or JSON.
///
/// It runs as often as it is sent.
#[utoipa::path(
    tag = "ng",
    request_body(content = Object, content_type = "application/json"),
    responses((
        status = 200,
        description = "The reply, in the request's format",
        body = Object,
        content_type = "application/json"
    )),
    security((), ("api" = ["call"]))
)]
#[post("/ng-plain")]
pub(super) async fn ask_plain(
    _: May<Control>,
    request: HttpRequest,
    state: Data<State>,
    document: Document,
) -> Result<HttpResponse, Problem> {
    let asker = asker(&request, &state, Door::Http)?;
    let reply = state.ng.ask_plain(asker, &document.bytes).await;
    Ok(HttpResponse::Ok().content_type(document.kind).body(reply))
}

/// Whether the ng protocol is served here.
#[utoipa::path(
    tag = "ng",
    responses((status = 200, description = "It is", body = String, content_type = "text/plain")),
    security(())
)]
#[get("/ping")]
pub(super) async fn ping() -> &'static str {
    "pong\n"
}

/// Who asks, if they may.
///
/// # Errors
/// 403 if `ng.peers` names others.
pub(super) fn asker(request: &HttpRequest, state: &State, door: Door) -> Result<Asker, Problem> {
    let peer = request.peer_addr().ok_or_else(|| Problem::internal("the peer has no address"))?;
    let asker = Asker::new(door, peer.ip());
    if state.ng.admits(&asker) {
        return Ok(asker);
    }
    Err(Problem::forbidden(format!("{} is not among ng.peers", asker.peer)))
}

fn unsupported(kind: &str) -> Problem {
    Problem::unsupported_media(format!("send the body as `Content-Type: {kind}`"))
}

/// A request's body, and what it is said to be.
pub(super) struct Document {
    bytes: Bytes,
    kind: &'static str,
}

impl FromRequest for Document {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = [NG, JSON].into_iter().find(|kind| body::is_of(request, kind));
        let announced = body::announced(request);
        let payload = payload.take();
        Box::pin(async move {
            let kind = kind.ok_or_else(|| unsupported(NG))?;
            let bytes = body::read(payload, announced, FRAME_MAX).await?.into();
            Ok(Self { bytes, kind })
        })
    }
}
