//! The page and the SDK, on the public listener.

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::problem::wrong_method;
use crate::auth::sha256;
use crate::web::FILES;

/// Nothing but what the node itself serves; nobody may frame the page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// The camera and the microphone are for the page itself.
const PERMISSIONS: &str = "camera=(self), microphone=(self), geolocation=()";
/// Other addresses of the page.
const ALIASES: [(&str, &str); 2] = [("/", "/index.html"), ("/agent", "/index.html")];

/// Adds every file, under its own path and its aliases.
pub(super) fn register(services: &mut ServiceConfig) {
    for &(path, kind, bytes) in FILES {
        let aliases = ALIASES.iter().filter(|(_, file)| *file == path).map(|(alias, _)| *alias);
        let page = Page { kind, bytes, tag: tag(bytes) };
        for path in aliases.chain([path]) {
            let page = page.clone();
            let serve = move |request: HttpRequest| {
                let response = page.serve(&request);
                async move { response }
            };
            services.service(web::resource(path).to(serve));
        }
    }
}

#[derive(Clone)]
struct Page {
    kind: &'static str,
    bytes: &'static [u8],
    tag: String,
}

impl Page {
    /// Clients ask again each time, and get 304 while the file is the same.
    fn serve(&self, request: &HttpRequest) -> HttpResponse {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return wrong_method(request.method().as_str(), request.path(), "GET, HEAD");
        }
        let known = request.headers().get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let fresh = known.is_some_and(|tags| {
            tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag)
        });
        let mut response = if fresh { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((ETAG, self.tag.as_str()))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .insert_header(("permissions-policy", PERMISSIONS));
        if fresh {
            return response.finish();
        }
        // The server leaves the body of a HEAD response away and keeps its length.
        response.content_type(self.kind).body(self.bytes)
    }
}

fn tag(bytes: &[u8]) -> String {
    let hash: String = sha256(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}
