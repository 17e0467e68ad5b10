//! How a [`Problem`] goes over HTTP: `application/problem+json` (RFC 9457) with the headers that
//! its status asks for.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};

use crate::api::Problem;

/// Its media type.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// Seconds after which a full node may be asked again.
const RETRY_FULL: &str = "5";
/// Seconds after which an address that was too quick may ask again.
const RETRY_QUICK: &str = "1";

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        match self.status {
            401 => response.insert_header((WWW_AUTHENTICATE, "Bearer")),
            429 => response.insert_header((RETRY_AFTER, RETRY_QUICK)),
            503 => response.insert_header((RETRY_AFTER, RETRY_FULL)),
            _ => &mut response,
        };
        let body = serde_json::to_vec(self).unwrap_or_default();
        response.content_type(PROBLEM_JSON).body(body)
    }
}

/// 405 with the methods that there are (RFC 9110 §15.5.6).
pub(super) fn wrong_method(method: &str, path: &str, allowed: &str) -> HttpResponse<BoxBody> {
    let words = format!("{method} is not for {path}; allowed: {allowed}");
    let problem = Problem::method_not_allowed(words);
    let mut response = problem.error_response();
    if let Ok(allowed) = allowed.parse() {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}
