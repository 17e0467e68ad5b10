//! The guard of open listeners, and the headers of every response.
//!
//! Without API tokens a listener trusts whoever is on this host. A web page that the operator
//! happens to visit is not: DNS rebinding gives it a foreign `Host`, a cross-site request an
//! `Origin`. And whoever comes through a proxy is not on this host at all.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpRequest, ResponseError};

use super::{Door, access};
use crate::api::Problem;

/// Headers that only a proxy adds.
const PROXIED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Turns foreign requests away from an open admin listener, and dresses every response.
pub(super) async fn doorman(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match admissible(request.request()) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => request.into_response(problem.error_response()),
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

fn admissible(request: &HttpRequest) -> Result<(), Problem> {
    let (door, state) = access::surroundings(request)?;
    if door == Door::Admin && state.tokens.is_empty() {
        return check(request);
    }
    Ok(())
}

/// Asks that the request comes from this host and from no foreign page.
///
/// # Errors
/// 403 with the header at fault.
pub(super) fn check(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = header(HOST).or(authority).unwrap_or_default();
    if !is_loopback(host) {
        let words = "without API tokens only requests to a loopback name or address are answered";
        return Err(Problem::forbidden(words).at("Host"));
    }
    let same = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
    };
    if request.headers().contains_key(ORIGIN) && !header(ORIGIN).is_some_and(same) {
        return Err(Problem::forbidden("requests of other origins' pages are refused").at("Origin"));
    }
    if let Some(name) = PROXIED.into_iter().find(|name| request.headers().contains_key(*name)) {
        let words = "behind a proxy an [[auth.token]] is needed: it lets anybody through";
        return Err(Problem::forbidden(words).at(name));
    }
    Ok(())
}

/// Proof that a request without any token may be heard: from this host where no API tokens are
/// configured, else from anywhere.
pub(super) struct Visitor;

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(access::surroundings(request).and_then(|(_, state)| {
            if state.tokens.is_empty() { check(request) } else { Ok(()) }.map(|()| Self)
        }))
    }
}

/// Whether the host of `authority` is `localhost` or a loopback address.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, port)) if port.is_empty() || port.starts_with(':') => v6,
        Some(_) => return false,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_and_addresses_are_local() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "[::1]x",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
