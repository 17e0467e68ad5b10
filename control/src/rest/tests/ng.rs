//! The ng protocol over HTTP.

use super::*;
use crate::ng::FRAME_MAX;
use crate::ng_server::Door as NgDoor;

const NG: &str = "application/x-rtpengine-ng";
const JSON: &str = "application/json";

fn post(path: &str, kind: &'static str, body: impl Into<Vec<u8>>) -> TestRequest {
    let request = ask("POST", path, "").insert_header(("content-type", kind));
    request.set_payload(body.into())
}

#[actix_web::test]
async fn a_document_with_its_cookie_is_answered_once_and_the_same_again() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    for _ in 0..2 {
        let reply = admin.send(post("/ng", NG, "5_1 d7:command4:pinge")).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, "5_1 d6:result4:ponge"));
        assert_eq!(reply.header("content-type"), NG);
    }
    let json = admin.send(post("/ng", NG, "5_2 {\"command\":\"ping\"}")).await;
    assert_eq!(json.text, "5_2 {\"result\":\"pong\"}");
    assert_eq!(state.ng.counts().repeats(NgDoor::Http), 1);
}

#[actix_web::test]
async fn a_document_without_a_cookie_is_answered_in_its_own_format() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let json = admin.send(post("/ng-plain", JSON, "{\"command\":\"ping\"}")).await;
    assert_eq!((json.text.as_str(), json.header("content-type")), ("{\"result\":\"pong\"}", JSON));
    let bencode = admin.send(post("/ng-plain", NG, "d7:command4:pinge")).await;
    assert_eq!((bencode.text.as_str(), bencode.header("content-type")), ("d6:result4:ponge", NG));
    let wrong = admin.send(post("/ng-plain", JSON, "{")).await;
    assert_eq!(wrong.status, 200);
    assert!(wrong.text.contains("Failed to parse JSON document"), "{}", wrong.text);
}

#[actix_web::test]
async fn what_is_no_request_of_the_protocol_is_a_problem() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    assert!(admin.send(post("/ng", NG, "nothing")).await.problem(400).contains("cookie"));
    assert!(admin.send(post("/ng", JSON, "c {}")).await.problem(415).contains(NG));
    admin.send(post("/ng-plain", "text/plain", "{}")).await.problem(415);
    admin.send(post("/ng", NG, vec![b'x'; FRAME_MAX + 1])).await.problem(413);
    admin
        .send(post("/ng", NG, "c {\"command\":\"query\",\"call-id\":\"panic\"}"))
        .await
        .problem(503);
    admin.get("/ng", "").await.problem(405);
}

#[actix_web::test]
async fn it_is_guarded_as_the_api_is_and_not_there_for_browsers() {
    let (_, state) = guarded();
    let admin = listen(&state, Door::Admin).await;
    for path in ["/ng", "/ng-plain"] {
        let with = |token| ask("POST", path, token).insert_header(("content-type", NG));
        let sent = |token| admin.send(with(token).set_payload("c d7:command4:pinge"));
        sent("").await.problem(401);
        sent(READ).await.problem(403);
        assert_eq!(sent(CALL).await.status, 200);
    }
    assert_eq!(admin.get("/ping", "").await.text, "pong\n");
    let public = listen(&state, Door::Public).await;
    for path in ["/ng", "/ng-plain"] {
        public.send(post(path, NG, "c d7:command4:pinge")).await.problem(404);
    }
    public.get("/ping", "").await.problem(404);
}

#[actix_web::test]
async fn an_address_that_is_no_peer_may_not_ask_though_the_api_is_open_to_it() {
    let mut config = Config::default();
    config.ng.peers = vec!["192.0.2.0/24".parse().unwrap()];
    let state = Data::new(State::new(&config, Double::new(), ng(&config)));
    let admin = listen(&state, Door::Admin).await;
    let refused = admin.send(post("/ng", NG, "c d7:command4:pinge")).await;
    assert!(refused.problem(403).contains("127.0.0.1 is not among ng.peers"));
    assert_eq!(admin.get("/v1/calls", "").await.status, 200);
    let peer = post("/ng", NG, "c d7:command4:pinge").peer_addr("192.0.2.9:1".parse().unwrap());
    assert_eq!(admin.send(peer).await.status, 200);
    assert_eq!(state.ng.counts().refused(NgDoor::Http), 1);
}

#[actix_web::test]
async fn what_was_asked_is_in_the_metrics_under_both_names() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    admin.send(post("/ng-plain", JSON, "{\"command\":\"ping\"}")).await;
    admin.send(post("/ng-plain", JSON, "{\"command\":\"delete\"}")).await;
    let page = admin.get("/metrics", "").await.text;
    for line in [
        "causeway_ng_requests_total{command=\"ping\",door=\"http\"} 1",
        "causeway_ng_errors_total{command=\"delete\"} 1",
        "causeway_ng_errors_total{command=\"unknown\"} 0",
        "causeway_ng_unanswered_total{reason=\"no_cookie\"} 0",
        "rtpengine_requests_total{proxy=\"127.0.0.1\",request=\"ping\"} 1",
        "rtpengine_errors_total{proxy=\"127.0.0.1\"} 1",
        "rtpengine_sessions{type=\"own\"} 0",
    ] {
        assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
    }
}
