//! Server-sent events and the desk.

use std::pin::Pin;

use actix_web::body::MessageBody;
use futures_util::future::poll_fn;

use super::*;
use crate::api::{LegState, LegView, What};
use crate::rest::tests::double::BACKLOG;

/// A body that is read event by event.
struct Stream(BoxBody);

impl Stream {
    /// The next chunk; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let chunk = poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }

    /// The next event's name and data.
    async fn event(&mut self) -> (String, Value) {
        let text = self.next().await.expect("the stream goes on");
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
        };
        assert!(text.ends_with("\n\n"));
        (field("event: "), serde_json::from_str(&field("data: ")).unwrap())
    }
}

/// Opens a stream and reads its first word.
macro_rules! follow {
    ($listener:expr, $path:expr, $token:expr) => {{
        let response = $listener.open(ask("GET", $path, $token)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
        assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
        let mut stream = Stream(response.into_body());
        let first = stream.next().await.unwrap();
        assert!(first.starts_with(": "), "{first}");
        (stream, first)
    }};
}

fn candidate(call: &str) -> What {
    What::Candidate { call: call.into(), leg: "l".into(), candidate: "candidate:1".into() }
}

fn leg(role: &str) -> LegView {
    LegView {
        id: "l".into(),
        role: role.into(),
        state: LegState::Connected,
        held: false,
        ended: None,
        security: None,
        remote: Some("192.0.2.1:9".into()),
        receives: Vec::new(),
        wants: None,
    }
}

#[actix_web::test]
async fn the_nodes_stream_delivers_every_event_with_its_id_and_type() {
    let (double, state) = open();
    let (mut stream, _) = follow!(listen(&state, Door::Admin).await, "/v1/events", "");
    double.tell(candidate("a"));
    double.end("b");
    let text = stream.next().await.unwrap();
    assert!(text.starts_with("id: 0\nevent: candidate\ndata: {"), "{text}");
    let (name, data) = stream.event().await;
    assert_eq!(
        (name.as_str(), &data["call"], &data["type"]),
        ("call_ended", &json!("b"), &json!("call_ended"))
    );
}

#[actix_web::test]
async fn a_calls_stream_is_its_own_hides_others_addresses_and_ends_with_it() {
    let (double, state) = open();
    let (call, token) = call_and_token(&state, "a").await;
    let path = format!("/v1/calls/{call}/events?token={token}");
    let (mut stream, _) = follow!(listen(&state, Door::Public).await, &path, "");
    double.tell(candidate("another"));
    double.tell(What::LegChanged { call: call.clone(), leg: leg("b") });
    double.end(&call);
    let (name, data) = stream.event().await;
    assert_eq!((name.as_str(), &data["leg"]["remote"]), ("leg_changed", &Value::Null));
    assert_eq!(stream.event().await.0, "call_ended");
    assert_eq!(stream.next().await, None);
    assert_eq!(state.subscribers.count(), 0);
}

#[actix_web::test]
async fn a_stream_of_no_call_is_404_and_gives_its_seat_back() {
    let (_, state) = open();
    listen(&state, Door::Admin).await.get("/v1/calls/none/events", "").await.problem(404);
    assert_eq!(state.subscribers.count(), 0);
}

#[actix_web::test]
async fn a_slow_reader_is_told_so_and_cut() {
    let (double, state) = open();
    let (mut stream, _) = follow!(listen(&state, Door::Admin).await, "/v1/events", "");
    for _ in 0..BACKLOG + 3 {
        double.tell(candidate("a"));
    }
    let (name, data) = stream.event().await;
    assert_eq!((name.as_str(), &data["missed"]), ("lagged", &json!(3)));
    assert_eq!(stream.next().await, None);
}

#[actix_web::test]
async fn beyond_the_limit_a_stream_is_503_until_a_seat_is_free() {
    let mut config = Config::default();
    config.limits.sse_subscribers = 1;
    let state = Data::new(State::new(&config, Double::new(), ng(&config)));
    let admin = listen(&state, Door::Admin).await;
    let (stream, _) = follow!(admin, "/v1/events", "");
    assert!(admin.get("/v1/events", "").await.problem(503).contains("limit"));
    drop(stream);
    follow!(admin, "/v1/events", "");
}

#[actix_web::test]
async fn streams_end_when_the_node_stops() {
    let (_, state) = open();
    let (mut stream, _) = follow!(listen(&state, Door::Admin).await, "/v1/events", "");
    state.subscribers.stop();
    assert_eq!(stream.next().await, None);
}

#[actix_web::test]
async fn a_silent_stream_is_kept_alive() {
    let mut state = State::new(&Config::default(), Double::new(), ng(&Config::default()));
    state.subscribers.alive = Duration::from_millis(1);
    let admin = listen(&Data::new(state), Door::Admin).await;
    let (mut stream, _) = follow!(admin, "/v1/events", "");
    assert_eq!(stream.next().await.unwrap(), ": alive\n\n");
}

#[actix_web::test]
async fn a_visitor_rings_and_agents_see_who_waits_and_who_is_gone() {
    let (double, state) = open();
    let public = listen(&state, Door::Public).await;
    let desk = Arc::clone(state.desk.as_ref().unwrap());
    let watch =
        actix_rt::spawn(Arc::clone(&desk).watch(state.calls.clone(), state.subscribers.stopping()));
    while double.followers() == 0 {
        tokio::task::yield_now().await;
    }

    let rung = public.post("/v1/desk/calls", "", json!({"name": "Ann"})).await;
    assert_eq!(rung.status, 201);
    let call = rung.json()["call"].as_str().unwrap().to_owned();
    let customer = state.joins.check(rung.json()["token"].as_str().unwrap()).unwrap();
    assert_eq!((&customer.call, customer.role.as_str()), (&call, "customer"));

    let (mut agent, first) = follow!(public, "/v1/desk/events", "");
    assert!(first.contains("event: call_waiting") && first.contains("\"name\":\"Ann\""), "{first}");
    let second = public.post("/v1/desk/calls", "", json!({})).await.json();
    let (name, data) = agent.event().await;
    assert_eq!((name.as_str(), &data["call"]), ("call_waiting", &second["call"]));
    let pass = state.joins.check(data["token"].as_str().unwrap()).unwrap();
    assert_eq!(pass.role, "agent");

    double.tell(What::LegJoined { call: call.clone(), leg: leg("agent") });
    let (name, data) = agent.event().await;
    assert_eq!((name.as_str(), &data["call"]), ("call_gone", &json!(call)));
    double.tell(What::LegEnded { call: pass.call.clone(), leg: leg("customer") });
    assert_eq!(agent.event().await.1["call"], json!(pass.call));

    state.subscribers.stop();
    watch.await.unwrap();
}

#[actix_web::test]
async fn agents_need_the_scope_call_once_there_are_tokens_and_this_host_before() {
    let (_, state) = guarded();
    let public = listen(&state, Door::Public).await;
    public.get("/v1/desk/events", "").await.problem(401);
    public.get("/v1/desk/events", READ).await.problem(403);
    follow!(public, "/v1/desk/events", CALL);
    follow!(public, &format!("/v1/desk/events?token={CALL}"), "");

    let (_, state) = open();
    let public = listen(&state, Door::Public).await;
    for path in ["/v1/desk/events", "/v1/desk/calls"] {
        let method = if path.ends_with("calls") { "POST" } else { "GET" };
        let rebound = ask(method, path, "").insert_header(("host", "evil.example"));
        public.send(rebound).await.problem(403);
        let proxied = ask(method, path, "").insert_header(("x-forwarded-for", "192.0.2.1"));
        public.send(proxied).await.problem(403);
    }
}

#[actix_web::test]
async fn without_a_desk_there_is_nothing() {
    let mut config = Config::default();
    config.public.desk = Some(false);
    let public =
        listen(&Data::new(State::new(&config, Double::new(), ng(&config))), Door::Public).await;
    public.post("/v1/desk/calls", "", json!({})).await.problem(404);
    public.get("/v1/desk/events", "").await.problem(404);
}
