//! The OpenAPI document, made from the handlers of a listener; and the answer to requests for what
//! is not in it.

use std::collections::BTreeMap;

use actix_web::dev::ResourceDef;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, ResponseError, get};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

use super::problem::{PROBLEM_JSON, wrong_method};
use crate::api::Problem;

/// The document before the routes: what it is about and how one authenticates.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "causeway",
        description = "A media node for real-time calls. On the admin listener `api` tokens count, \
                       or none where none is configured; on the public listener `join` tokens."
    ),
    components(schemas(Problem)),
    modifiers(&Schemes)
)]
struct Frame;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |words: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            SecurityScheme::Http(scheme.description(Some(words)).build())
        };
        components.add_security_scheme("api", bearer("An API token with one of the scopes"));
        components.add_security_scheme("join", bearer("A join token for the call of the path"));
    }
}

/// One listener's document, and its routes as the router sees them.
pub(super) struct Document {
    json: Bytes,
    routes: Vec<(ResourceDef, String)>,
}

impl Document {
    pub(super) fn new(mut document: OpenApi) -> Self {
        document.paths.paths.values_mut().flat_map(operations).for_each(refusable);
        let routes = document
            .paths
            .paths
            .iter_mut()
            .map(|(path, item)| (ResourceDef::new(path.as_str()), methods(item)))
            .collect();
        let json = document.to_json().unwrap_or_default().into();
        Self { json, routes }
    }

    /// The methods of the route that `path` belongs to.
    pub(super) fn methods(&self, path: &str) -> Option<&str> {
        self.routes.iter().find(|(route, _)| route.is_match(path)).map(|(_, m)| m.as_str())
    }
}

/// This document.
#[utoipa::path(
    tag = "node",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")),
    security(())
)]
#[get("/v1/openapi.json")]
pub(super) async fn show(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.json.clone())
}

/// What no handler takes: the path is wrong, or the method.
pub(super) async fn elsewhere(request: HttpRequest, document: Data<Document>) -> HttpResponse {
    let path = request.path();
    match document.methods(path) {
        Some(allowed) => wrong_method(request.method().as_str(), path, allowed),
        None => Problem::not_found(format!("there is nothing at {path}")).error_response(),
    }
}

/// Every operation can be refused with a problem.
fn refusable(operation: &mut Operation) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let refused = ResponseBuilder::new().description("Refused").content(PROBLEM_JSON, content);
    let responses: &mut BTreeMap<_, _> = &mut operation.responses.responses;
    responses.insert("default".to_owned(), refused.build().into());
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    all.into_iter().flatten()
}

fn methods(item: &mut PathItem) -> String {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    let there: Vec<_> = all.iter().filter(|(_, op)| op.is_some()).map(|(name, _)| *name).collect();
    there.join(", ")
}
