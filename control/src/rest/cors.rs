//! Lets pages of other origins use WHIP and WHEP (the Fetch standard's CORS protocol; RFC 9725 §4.2
//! demands it), and answers the methods that have nothing to do with a session.
//!
//! By default every origin may: what opens an endpoint is a bearer token, which a page must have and
//! put into the request by itself. Cookies and other credentials of the browser count for
//! nothing here, so no page gains anything from who happens to visit it.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use super::body::{Kind, Offer, SdpFragment};
use super::exchange::{ACCEPT_PATCH, name};
use super::{State, openapi::Document};
use crate::config::EVERY_ORIGIN;
use crate::sdp::Way;

/// What a page may send along.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, If-Match");
/// What a page may read of an answer; without it clients see no session and no ICE session.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("Location, ETag, Link, Accept-Patch, Retry-After, WWW-Authenticate");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The origins whose pages may use WHIP and WHEP.
pub(super) struct Origins(Vec<HeaderValue>);

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        Self(origins.iter().filter_map(|origin| origin.parse().ok()).collect())
    }

    /// Says in a response to `origin` that its pages may read it, if they may.
    fn admit(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        if self.0.iter().any(|held| held == EVERY_ORIGIN) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static(EVERY_ORIGIN));
            return true;
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let known = self.0.iter().find(|held| Some(*held) == origin);
        known.is_some_and(|origin| {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            true
        })
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `/whip`, `/whip/{call}` and the like.
    Endpoint,
    /// `/whip/{call}/{leg}` and the like.
    Session,
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let first = parts.next()?;
        [Way::In, Way::Out].iter().any(|way| name(*way) == first).then_some(())?;
        match parts.count() {
            0 | 1 => Some(Self::Endpoint),
            2 => Some(Self::Session),
            _ => None,
        }
    }

    fn methods(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Endpoint => "POST, GET, HEAD, OPTIONS",
            Self::Session => "PATCH, DELETE, GET, HEAD, OPTIONS",
        })
    }

    /// What its body may be: `Accept-Post` (Linked Data Platform §7.1), `Accept-Patch` (RFC 5789
    /// §3.1).
    fn accepts(self) -> (HeaderName, HeaderValue) {
        match self {
            Self::Endpoint => {
                (HeaderName::from_static("accept-post"), HeaderValue::from_static(Offer::TYPE))
            }
            Self::Session => {
                (HeaderName::from_static(ACCEPT_PATCH), HeaderValue::from_static(SdpFragment::TYPE))
            }
        }
    }

    /// Answers `OPTIONS`, and `GET` and `HEAD`, which find nothing to show and succeed (RFC 9725 §4.1);
    /// players tell an endpoint by the media type (draft-ietf-wish-whep, on discoverability).
    fn answer(self, method: &Method) -> Option<HttpResponse> {
        match (self, method) {
            (_, &Method::OPTIONS) => {
                Some(HttpResponse::Ok().insert_header((ALLOW, self.methods())).finish())
            }
            (Self::Endpoint, &Method::GET | &Method::HEAD) => {
                Some(HttpResponse::Ok().content_type(Offer::TYPE).finish())
            }
            (Self::Session, &Method::GET | &Method::HEAD) => {
                Some(HttpResponse::NoContent().finish())
            }
            _ => None,
        }
    }
}

/// Does both for the requests that are for WHIP or WHEP.
pub(super) async fn share(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let documented = |document: &Data<Document>| document.methods(request.path()).is_some();
    let is_served = request.app_data().is_some_and(documented);
    let Some(place) = Place::of(request.path()).filter(|_| is_served) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let origin = request.headers().get(ORIGIN).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match place.answer(request.method()) {
        Some(answer) => request.into_response(answer),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let is_wrong_method = response.status() == StatusCode::METHOD_NOT_ALLOWED;
    let state = response.request().app_data::<Data<State>>().cloned();
    let headers = response.headers_mut();
    if is_wrong_method {
        headers.insert(ALLOW, place.methods());
    }
    let (accepts, what) = place.accepts();
    headers.insert(accepts, what);
    if state.is_some_and(|state| state.origins.admit(origin.as_ref(), headers)) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, place.methods());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
    Ok(response)
}
