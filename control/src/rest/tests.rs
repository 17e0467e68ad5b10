//! Both listeners, seen from outside, over [`double::Double`].

pub(super) mod double;
mod names;
mod ng;
mod ng_socket;
mod servers;
mod streams;
mod turn;
mod whip;
mod why;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use self::double::Double;
use super::*;
use crate::auth::{ApiToken, Scope, TokenHash};
use crate::ng_server::{self, tests::Fake};

const READ: &str = "token-read";
const CALL: &str = "token-call";
const ADMIN: &str = "token-admin";

fn state(tokens: &[(&str, Scope)]) -> (Arc<Double>, Data<State>) {
    let mut config = Config::default();
    config.auth.token = tokens
        .iter()
        .map(|(token, scope)| ApiToken {
            name: (*token).into(),
            hash: TokenHash::of(token),
            scopes: vec![*scope],
        })
        .collect();
    let double = Double::new();
    (double.clone(), Data::new(State::new(&config, double, ng(&config))))
}

/// What answers the ng protocol.
fn ng(config: &Config) -> NgDesk {
    ng_server::tests::desk(config, Fake::new())
}

fn open() -> (Arc<Double>, Data<State>) {
    state(&[])
}

fn guarded() -> (Arc<Double>, Data<State>) {
    state(&[(READ, Scope::Read), (CALL, Scope::Call), (ADMIN, Scope::Admin)])
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a well-formed problem and gives its words.
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert!(body["type"].as_str().unwrap().starts_with("urn:causeway:problem:"));
        assert!(!body["title"].as_str().unwrap().is_empty());
        let at = body["at"].as_str().unwrap_or_default();
        format!("{} {at}", body["detail"].as_str().unwrap())
    }
}

/// One listener.
struct Listener(Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, ServiceResponse<BoxBody>>>);

impl Listener {
    async fn send(&self, request: TestRequest) -> Reply {
        let response = self.open(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = to_bytes(response.into_body()).await.unwrap();
        Reply { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// Without reading the body.
    async fn open(&self, request: TestRequest) -> ServiceResponse<BoxBody> {
        (self.0)(request).await
    }

    async fn get(&self, path: &str, token: &str) -> Reply {
        self.send(ask("GET", path, token)).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.send(ask("POST", path, token).set_json(body)).await
    }
}

async fn listen(state: &Data<State>, door: Door) -> Listener {
    let service = Rc::new(init_service(app(state.clone(), door)).await);
    Listener(Box::new(move |request| {
        let service = Rc::clone(&service);
        Box::pin(async move { call_service(&*service, request.to_request()).await })
    }))
}

fn ask(method: &str, path: &str, token: &str) -> TestRequest {
    let request = TestRequest::default()
        .method(method.parse::<Method>().unwrap())
        .uri(path)
        .peer_addr("127.0.0.1:5000".parse().unwrap())
        .insert_header(("host", "localhost:8080"));
    if token.is_empty() {
        return request;
    }
    request.insert_header(("authorization", format!("Bearer {token}")))
}

/// Method, path and scopes of every documented operation; paths filled in.
async fn operations(listener: &Listener) -> Vec<(String, String, Value)> {
    let document = listener.get("/v1/openapi.json", "").await.json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

fn filled(path: &str) -> String {
    path.replace("{call}", "c").replace("{leg}", "l").replace("{mid}", "1").replace("{name}", "pub")
}

/// The routes as the handlers' attributes declare them.
fn declared() -> BTreeSet<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rest");
    let mut routes = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            for method in ["get", "post", "put", "patch", "delete"] {
                let start = format!("#[{method}(\"");
                if let Some(rest) = line.strip_prefix(start.as_str()) {
                    let path = rest.split('"').next().unwrap();
                    routes.insert((method.to_uppercase(), path.to_owned()));
                }
            }
        }
    }
    routes
}

#[actix_web::test]
async fn the_documents_hold_every_declared_route_and_every_documented_one_answers() {
    let (_, state) = open();
    let (admin, public) = (listen(&state, Door::Admin).await, listen(&state, Door::Public).await);
    let mut documented = BTreeSet::new();
    for (method, path, operation) in operations(&admin).await {
        let parameters = operation["parameters"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|parameter| parameter["in"] == "path").count());
        assert_eq!(parameters, path.matches('{').count(), "{method} {path}");
        assert!(operation["responses"]["default"]["content"][problem::PROBLEM_JSON].is_object());
        let response = admin.open(ask(&method, &filled(&path), "")).await;
        assert_ne!(response.status(), 405, "{method} {path}");
        documented.insert((method, path));
    }
    for (method, path, _) in operations(&public).await {
        let response = public.open(ask(&method, &filled(&path), "")).await;
        assert!(![404, 405].contains(&response.status().as_u16()), "{method} {path}");
        documented.insert((method, path));
    }
    assert_eq!(documented, declared());
}

#[actix_web::test]
async fn the_document_is_openapi_3_1_with_the_schemas_that_it_refers_to() {
    let (_, state) = open();
    for listener in [listen(&state, Door::Admin).await, listen(&state, Door::Public).await] {
        let reply = listener.get("/v1/openapi.json", "").await;
        let document = reply.json();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let schemas = &document["components"]["schemas"];
        assert!(schemas["Problem"].is_object());
        for part in reply.text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas[name].is_object(), "{name} is missing");
        }
    }
}

#[actix_web::test]
async fn each_scope_opens_exactly_the_operations_that_document_it() {
    let (_, state) = guarded();
    let admin = listen(&state, Door::Admin).await;
    for (method, path, operation) in operations(&admin).await {
        let security = operation["security"].as_array().unwrap();
        let scopes = security.iter().find_map(|way| way["api"].as_array());
        for (token, scope) in [(READ, "read"), (CALL, "call"), (ADMIN, "admin")] {
            let status = admin.open(ask(&method, &filled(&path), token)).await.status();
            let allowed = scopes.is_none_or(|s| scope == "admin" || s.contains(&json!(scope)));
            assert_eq!(
                status != 403 && status != 401,
                allowed,
                "{method} {path} {scope}: {status}"
            );
        }
        for token in ["", "unknown"] {
            let status = admin.open(ask(&method, &filled(&path), token)).await.status();
            assert_eq!(status == 401, scopes.is_some(), "{method} {path}: {status}");
        }
    }
    let reply = admin.get("/v1/calls", "").await;
    reply.problem(401);
    assert_eq!(reply.header("www-authenticate"), "Bearer");
}

#[actix_web::test]
async fn a_call_lives_through_its_routes() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let made = admin.post("/v1/calls", "", json!({"name": "n", "labels": {"a": "b"}})).await;
    assert_eq!(made.status, 201);
    let call = made.header("location").to_owned();
    assert_eq!(admin.get(&call, "").await.json()["labels"]["a"], "b");
    assert_eq!(admin.get("/v1/calls", "").await.json().as_array().unwrap().len(), 1);

    let offered = admin.post(&format!("{call}/legs"), "", json!({"role": "a"})).await;
    assert_eq!((offered.status, &offered.json()["offer"]), (201, &json!("offer")));
    let leg = offered.header("location").to_owned();
    let sdp = json!({"sdp": "v=0"});
    let answered = admin.post(&format!("{leg}/answer"), "", sdp.clone()).await;
    assert_eq!(answered.json()["state"], "connecting");
    admin.post(&format!("{leg}/answer"), "", sdp.clone()).await.problem(409);
    let again = admin.post(&format!("{leg}/offer"), "", sdp).await;
    assert_eq!(again.json()["sdp"], "answer to v=0");
    let own = admin.post(&format!("{leg}/offer"), "", json!({"direction": "sendonly"})).await;
    assert_eq!(own.json()["sdp"], "offer SendOnly");
    let more = json!({"candidates": ["candidate:1"], "end_of_candidates": true});
    assert_eq!(admin.post(&format!("{leg}/candidates"), "", more).await.status, 204);
    assert_eq!(admin.get(&leg, "").await.json()["role"], "a");
    let answered = admin.post(&format!("{call}/legs"), "", json!({"offer": "v=0"})).await;
    assert_eq!(answered.json()["answer"], "answer");

    assert_eq!(admin.get(&format!("{call}/stats"), "").await.status, 200);
    assert_eq!(admin.send(ask("DELETE", &leg, "")).await.status, 204);
    admin.get(&leg, "").await.problem(404);
    assert_eq!(admin.send(ask("DELETE", &call, "")).await.status, 204);
    admin.get(&call, "").await.problem(404);
    admin.send(ask("DELETE", &call, "")).await.problem(404);
}

#[actix_web::test]
async fn an_interface_announces_another_address() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let put = |path: &str, body: Value| ask("PUT", path, "").set_json(body);
    assert_eq!(admin.get("/v1/interfaces", "").await.json()[0]["announce"], "192.0.2.1");
    let set = admin.send(put("/v1/interfaces/pub", json!({"announce": "203.0.113.9"}))).await;
    assert_eq!((set.status, &set.json()["announce"]), (200, &json!("203.0.113.9")));
    admin.send(put("/v1/interfaces/none", json!({"announce": "203.0.113.9"}))).await.problem(404);
    admin.send(put("/v1/interfaces/pub", json!({"announced": "x"}))).await.problem(400);
    let reply = admin.send(ask("DELETE", "/v1/interfaces/pub", "")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "PUT"));
}

#[actix_web::test]
async fn calls_behind_proxies_are_listed_shown_and_ended() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    assert_eq!(admin.get("/v1/proxied", "").await.json(), json!(["a@proxy", "b@proxy"]));
    assert_eq!(admin.get("/v1/proxied?limit=1", "").await.json(), json!(["a@proxy"]));
    admin.get("/v1/proxied?limit=x", "").await.problem(400);
    let call = "/v1/proxied/a%2F1%40proxy";
    assert_eq!(admin.get(call, "").await.json()["call"], "a/1@proxy");
    assert_eq!(admin.send(ask("DELETE", call, "")).await.status, 204);
    admin.get("/v1/proxied/none", "").await.problem(404);
}

#[actix_web::test]
async fn why_of_a_call_behind_a_proxy_is_json_for_programs_and_text_for_people() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let why = "/v1/proxied/a%2F1%40proxy/why";
    let json = admin.get(why, "").await.json();
    assert_eq!(json["findings"][0]["verdict"], "no_media");
    assert_eq!((&json["findings"][0]["strangers"], &json["answered"]), (&json!(5), &json!(true)));
    let text = admin.get(&format!("{why}?format=text"), "").await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        text.text,
        "call a/1@proxy, answered, began 9 s ago, last asked for 8 s ago\n\n\
         b [1 audio]: no_media\n  Nothing has come.\n  -> Open the port.\n  RTP: 3 packets went to it\n"
    );
    assert!(admin.get(&format!("{why}?format=xml"), "").await.problem(400).contains("format"));
    admin.get("/v1/proxied/none/why", "").await.problem(404);
    let document = admin.get("/v1/openapi.json", "").await.json();
    assert!(document["paths"]["/v1/proxied/{call}/why"]["get"].is_object());
}

#[actix_web::test]
async fn an_empty_body_asks_for_the_defaults() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    assert_eq!(admin.send(ask("POST", "/v1/calls", "")).await.status, 201);
}

#[actix_web::test]
async fn what_is_wrong_with_a_body_is_said_with_its_place() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let call = admin.post("/v1/calls", "", json!({})).await.header("location").to_owned();
    let long = "x".repeat(129);
    let labels: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!(""))).collect();
    let table = [
        ("/v1/calls", json!({"name": long}), 400, "name"),
        ("/v1/calls", json!({"labels": labels}), 400, "labels"),
        ("/v1/calls", json!({"labels": {"a": long}}), 400, "labels"),
        ("/v1/calls", json!({"nmae": 1}), 400, "`nmae`"),
        ("/v1/calls", json!([]), 400, "line 1"),
        ("/v1/calls", json!({"name": "x".repeat(20_000)}), 413, "16384"),
        ("/legs", json!({"role": "x".repeat(33)}), 400, "role"),
        ("/legs", json!({"role": ""}), 400, "role"),
        ("/legs", json!({"offer": "o", "media": ["audio"]}), 400, "media"),
        ("/legs", json!({"media": []}), 400, "media"),
        ("/legs", json!({"media": ["text"]}), 400, "`text`"),
        ("/legs", json!({"kind": "srtp"}), 400, "`srtp`"),
        ("/legs", json!({"offer": "o", "kind": "rtp"}), 400, "kind"),
        ("/legs", json!({"rtcp_mux": true}), 400, "rtcp_mux"),
        ("/legs", json!({"kind": "webrtc", "feedback": true}), 400, "feedback"),
        ("/legs/l/offer", json!({"sdp": "v=0", "direction": "sendonly"}), 400, "direction"),
        ("/legs", json!({"dscp": 64}), 400, "dscp"),
        ("/legs", json!({"dscp": -1}), 400, "line 1"),
        ("/legs", json!({"offer": "bad"}), 422, "line 1"),
        ("/legs", json!({"offer": "x".repeat(280_000)}), 413, "279168"),
        ("/legs/l/candidates", json!({"candidates": vec![""; 33]}), 400, "candidates"),
        ("/legs/l/candidates", json!({"candidates": ["", "x".repeat(1025)]}), 400, "candidates[1]"),
        ("/legs/l/answer", json!({}), 400, "`sdp`"),
        ("/tokens", json!({}), 400, "`role`"),
        ("/tokens", json!({"role": "a", "expires_in": 9}), 400, "expires_in"),
        ("/tokens", json!({"role": "a", "expires_in": 86_401}), 400, "expires_in"),
    ];
    for (path, body, status, part) in table {
        let path = if path.starts_with("/v1") { path.to_owned() } else { format!("{call}{path}") };
        let words = admin.post(&path, "", body).await.problem(status);
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let raw = |kind: &'static str, body: &'static str| {
        ask("POST", "/v1/calls", "").insert_header(("content-type", kind)).set_payload(body)
    };
    admin.send(raw("text/plain", "{}")).await.problem(415);
    admin.send(ask("POST", "/v1/calls", "").set_payload("{}")).await.problem(415);
    assert!(admin.send(raw("application/json", "{\n\"")).await.problem(400).contains("line 2"));
    admin.send(raw("application/json", "\u{0}")).await.problem(400);
    let charset = raw("application/json; charset=utf-8", "{}");
    assert_eq!(admin.send(charset).await.status, 201);
    admin.post("/v1/calls/none/tokens", "", json!({"role": "a"})).await.problem(404);
}

#[actix_web::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_what_is_allowed() {
    let (_, state) = open();
    for listener in [listen(&state, Door::Admin).await, listen(&state, Door::Public).await] {
        for path in ["/nothing", "/v1", "/v1/calls/a/b", "/v1/calls/", "/../etc/passwd", "/%ff"] {
            listener.get(path, "").await.problem(404);
        }
        let reply = listener.send(ask("PUT", "/v1/calls/c", "")).await;
        reply.problem(405);
        assert!(reply.header("allow").contains("GET"));
    }
    let admin = listen(&state, Door::Admin).await;
    let reply = admin.send(ask("DELETE", "/v1/calls", "")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "GET, POST"));
    listen(&state, Door::Public).await.get("/v1/calls", "").await.problem(404);
    listen(&state, Door::Public).await.get("/metrics", "").await.problem(404);
}

#[actix_web::test]
async fn a_node_that_is_full_or_too_busy_says_503_and_when_to_try_again() {
    let (double, state) = open();
    let admin = listen(&state, Door::Admin).await;
    assert_eq!(admin.get("/readyz", "").await.status, 200);
    double.full.store(true, Ordering::Relaxed);
    for reply in [admin.post("/v1/calls", "", json!({})).await, admin.get("/readyz", "").await] {
        reply.problem(503);
        assert_eq!(reply.header("retry-after"), "5");
    }
    double.stuck.store(true, Ordering::Relaxed);
    let mut config = Config::default();
    config.timeouts.request = Duration::from_millis(1);
    let admin = listen(&Data::new(State::new(&config, double, ng(&config))), Door::Admin).await;
    assert!(admin.get("/v1/node", "").await.problem(503).contains("busy"));
    assert_eq!(admin.get("/healthz", "").await.status, 200);
}

#[actix_web::test]
async fn an_open_admin_listener_hears_this_host_alone() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let with = |name: &'static str, value: &'static str| {
        let name: HeaderName = name.parse().unwrap();
        let mut request =
            TestRequest::get().uri("/v1/calls").insert_header(("host", "127.0.0.1:8080"));
        request = request.insert_header((name, value));
        request
    };
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "localhost.evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost:8080"),
        ("origin", "http://127.0.0.1:9090"),
        ("x-forwarded-for", "192.0.2.1"),
    ] {
        let words = admin.send(with(name, value)).await.problem(403);
        assert!(words.to_lowercase().ends_with(name), "{words}");
    }
    admin.send(TestRequest::get().uri("/v1/calls")).await.problem(403);
    for (name, value) in [("host", "[::1]:8080"), ("origin", "http://127.0.0.1:8080")] {
        assert_eq!(admin.send(with(name, value)).await.status, 200, "{name}: {value}");
    }
    // With tokens the token decides; nothing but it opens.
    let (_, state) = guarded();
    let request =
        with("host", "node.example").insert_header(("authorization", "bearer token-read"));
    assert_eq!(listen(&state, Door::Admin).await.send(request).await.status, 200);
}

/// A call, and a join token for it.
async fn call_and_token(state: &Data<State>, role: &str) -> (String, String) {
    let call = state.calls.create(Default::default()).await.unwrap().id;
    let token = state.joins.issue(&call, role, Duration::from_secs(60)).unwrap().token;
    (call, token)
}

#[actix_web::test]
async fn a_join_token_joins_its_call_in_its_role_and_drives_its_own_legs_alone() {
    let (double, state) = guarded();
    let (public, admin) = (listen(&state, Door::Public).await, listen(&state, Door::Admin).await);
    let call = state.calls.create(Default::default()).await.unwrap().id;
    let asked = json!({"role": "agent", "expires_in": 60});
    let made = admin.post(&format!("/v1/calls/{call}/tokens"), CALL, asked).await;
    assert_eq!(made.status, 201);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let other = state.joins.issue(&call, "agent", Duration::from_secs(60)).unwrap().token;

    let legs = format!("/v1/calls/{call}/legs");
    let joined = public.post(&legs, &token, json!({"role": "boss", "offer": "v=0"})).await;
    assert_eq!((joined.status, &joined.json()["leg"]["role"]), (201, &json!("agent")));
    let leg = joined.header("location").to_owned();
    assert_eq!(public.post(&legs, &other, json!({"dscp": 46})).await.status, 201);
    assert_eq!(*double.dscp.lock().unwrap(), [None, None], "a guest has no say in it");
    assert_eq!(admin.post(&legs, CALL, json!({"dscp": 46})).await.status, 201);
    let without_ice = public.post(&legs, &other, json!({"kind": "rtp"})).await.problem(403);
    assert!(without_ice.contains("kind"), "{without_ice}");
    assert_eq!(double.dscp.lock().unwrap()[2], Some(46));
    let asked = double.without_ice.lock().unwrap().clone();
    assert_eq!(asked, [false, false, true], "a guest names no address to send to");

    let sdp = json!({"sdp": "v=0"});
    let offer = format!("{leg}/offer");
    assert_eq!(public.post(&offer, &token, sdp.clone()).await.status, 200);
    assert!(public.post(&offer, &other, sdp).await.problem(403).contains("not added with this"));
    for (method, path) in
        [("GET", leg.clone()), ("DELETE", leg.clone()), ("POST", format!("{leg}/answer"))]
    {
        public.send(ask(method, &path, &other)).await.problem(403);
    }

    // It sees the call, and the address of its own leg but no other's.
    let view = public.get(&format!("/v1/calls/{call}"), &token).await.json();
    assert!(view["legs"][0]["remote"].is_string());
    assert_eq!(view["legs"][1]["remote"], Value::Null);
    assert_eq!(public.get(&format!("/v1/calls/{call}/stats"), &token).await.status, 200);

    assert_eq!(public.send(ask("DELETE", &leg, &token)).await.status, 204);
    public.get(&leg, &token).await.problem(403);
}

#[actix_web::test]
async fn without_a_good_join_token_for_the_call_nothing_opens() {
    let (_, state) = guarded();
    let public = listen(&state, Door::Public).await;
    let (call, token) = call_and_token(&state, "a").await;
    let (elsewhere, _) = call_and_token(&state, "a").await;
    let expired = state.joins.issue(&call, "a", Duration::ZERO).unwrap().token;
    let foreign = JoinTokens::new(None).issue(&call, "a", Duration::from_secs(60)).unwrap().token;
    for (method, path, operation) in operations(&public).await {
        if !path.contains("{call}") {
            continue;
        }
        assert!(operation["security"].as_array().unwrap().iter().any(|way| way["join"].is_array()));
        let here = path.replace("{call}", &call).replace("{leg}", "l");
        for bad in ["", "x", ADMIN, &foreign, &expired] {
            let problem = public.send(ask(&method, &here, bad)).await;
            assert_eq!(problem.status, 401, "{method} {path} {bad}: {}", problem.text);
        }
        let there = path.replace("{call}", &elsewhere).replace("{leg}", "l");
        public.send(ask(&method, &there, &token)).await.problem(403);
    }
    // A join token opens nothing on the admin listener, and no query holds a token but a stream's.
    listen(&state, Door::Admin).await.get(&format!("/v1/calls/{call}"), &token).await.problem(401);
    public.get(&format!("/v1/calls/{call}?token={token}"), "").await.problem(401);
}

#[actix_web::test]
async fn one_address_cannot_join_for_ever() {
    let (_, state) = guarded();
    let public = listen(&state, Door::Public).await;
    let (call, _) = call_and_token(&state, "a").await;
    let legs = format!("/v1/calls/{call}/legs");
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let reply = public.post(&legs, "guess", json!({})).await;
        statuses.push(reply.status);
        if reply.status == 429 {
            reply.problem(429);
            assert_eq!(reply.header("retry-after"), "1");
            break;
        }
    }
    assert_eq!((statuses[0], statuses.last()), (401, Some(&429)));
    let other = ask("POST", &legs, "guess").peer_addr("192.0.2.7:1".parse().unwrap());
    public.send(other).await.problem(401);
}

#[actix_web::test]
async fn the_page_is_served_with_its_guards_and_not_sent_twice() {
    let (_, state) = guarded();
    let public = listen(&state, Door::Public).await;
    let page = public.get("/", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(page.text, public.get("/agent", "").await.text);
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    assert!(page.header("permissions-policy").contains("camera=(self), microphone=(self)"));
    assert_eq!(page.header("cache-control"), "no-cache");
    let tag = page.header("etag").to_owned();
    let known = ask("GET", "/", "").insert_header(("if-none-match", format!("W/\"x\", {tag}")));
    let reply = public.send(known).await;
    assert_eq!((reply.status, reply.text.as_str(), reply.header("etag")), (304, "", tag.as_str()));
    let reply = public.send(ask("POST", "/", "")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"));
    listen(&state, Door::Admin).await.get("/", ADMIN).await.problem(404);
}

#[actix_web::test]
async fn every_response_is_dressed() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    for path in ["/v1/calls", "/nothing", "/v1/openapi.json"] {
        let reply = admin.get(path, "").await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("strict-transport-security"), "");
    }
}

#[actix_web::test]
async fn metrics_are_text_for_those_who_may_read() {
    let (_, state) = guarded();
    let admin = listen(&state, Door::Admin).await;
    let reply = admin.get("/metrics", READ).await;
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(reply.text.contains("causeway_calls 0\n"));
    admin.get("/metrics", "").await.problem(401);
}
