//! WHIP and WHEP as clients meet them: every status, every header.

use actix_web::http::header::IF_MATCH;

use super::double::MOVED;
use super::*;
use crate::config::IceServer;

const OFFER: &str = include_str!("../../sdp/fixtures/chromium.sdp");
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const CANDIDATE: &str = "candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host";

/// A call with a join token for it, on the public listener.
struct Stage {
    double: Arc<Double>,
    state: Data<State>,
    public: Listener,
    call: String,
    token: String,
}

impl Stage {
    async fn new() -> Self {
        let (double, state) = guarded();
        let public = listen(&state, Door::Public).await;
        let (call, token) = call_and_token(&state, "host").await;
        Self { double, state, public, call, token }
    }

    async fn open(&self, endpoint: &str) -> Opened {
        let reply =
            self.public.send(sends("POST", endpoint, &self.token, SDP, &offer(endpoint))).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let (session, tag) = (reply.header("location").to_owned(), reply.header("etag").to_owned());
        Opened { session, tag, reply }
    }

    async fn patch(&self, opened: &Opened, tag: Option<&str>, body: &str) -> Reply {
        let request = sends("PATCH", &opened.session, &self.token, FRAGMENT, body);
        self.public
            .send(match tag {
                Some(tag) => request.insert_header((IF_MATCH, tag)),
                None => request,
            })
            .await
    }
}

struct Opened {
    session: String,
    tag: String,
    reply: Reply,
}

fn offer(endpoint: &str) -> String {
    let direction = if endpoint.starts_with("/whip") { "a=sendonly" } else { "a=recvonly" };
    OFFER.replace("a=sendrecv", direction)
}

fn sends(method: &str, path: &str, token: &str, kind: &str, body: &str) -> TestRequest {
    ask(method, path, token).insert_header(("content-type", kind)).set_payload(body.to_owned())
}

/// What the offer says behind `a=name:` first.
fn said(name: &str) -> &'static str {
    OFFER.split(&format!("a={name}:")).nth(1).unwrap().lines().next().unwrap()
}

/// A fragment with the offer's own credentials, or new ones.
fn fragment(ufrag: Option<&str>, candidates: &[&str]) -> String {
    let password = ufrag.map_or_else(|| said("ice-pwd").to_owned(), |ufrag| ufrag.repeat(6));
    let candidates: String = candidates.iter().map(|line| format!("a={line}\r\n")).collect();
    format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{candidates}",
        ufrag.unwrap_or_else(|| said("ice-ufrag")),
    )
}

#[actix_web::test]
async fn a_publisher_and_a_viewer_are_answered_with_all_that_they_need() {
    let stage = Stage::new().await;
    for (endpoint, answers) in [("/whip", "a=recvonly"), ("/whep", "a=sendonly")] {
        let with_call = format!("{endpoint}/{}", stage.call);
        for path in [endpoint, &with_call] {
            let Opened { session, tag, reply } = stage.open(path).await;
            assert!(session.starts_with(&format!("{with_call}/leg")), "{session}");
            assert!(tag.starts_with("\"node") && tag.ends_with('"'), "{tag}");
            assert_eq!(reply.header("content-type"), SDP);
            assert_eq!(reply.header("accept-patch"), FRAGMENT);
            assert_eq!(reply.header("link"), "");
            assert_eq!(reply.text.matches(answers).count(), 2, "{}", reply.text);
            assert!(
                reply.text.contains("a=candidate:") && reply.text.contains("a=end-of-candidates")
            );
        }
    }
    let legs = stage.state.calls.show(stage.call.clone()).await.unwrap().legs;
    assert_eq!(legs.len(), 4);
    assert!(legs.iter().all(|leg| leg.role == "host"));
}

#[actix_web::test]
async fn the_configured_ice_servers_are_told_to_whoever_is_answered() {
    let mut config = Config::default();
    let urls = ["stun:s.example", "stun:t.example:3478"];
    let server = |url: &str| IceServer { url: url.into(), username: None, credential: None };
    config.whip.ice_server = urls.map(server).to_vec();
    let state = Data::new(State::new(&config, Double::new(), ng(&config)));
    let (public, (_, token)) =
        (listen(&state, Door::Public).await, call_and_token(&state, "a").await);
    let reply = public.send(sends("POST", "/whip", &token, SDP, &offer("/whip"))).await;
    let links: Vec<_> = reply.headers.get_all("link").map(|link| link.to_str().unwrap()).collect();
    assert_eq!(links, urls.map(|url| format!("<{url}>; rel=\"ice-server\"")));
}

#[actix_web::test]
async fn the_nodes_own_turn_server_is_told_by_its_streams() {
    let mut config = Config::default();
    config.turn.enabled = Some(true);
    config.turn.fill_in_secret();
    config.turn.urls = ["turn:n.example:443?transport=udp", "turns:n.example:443?transport=tcp"]
        .map(Into::into)
        .into();
    let state = Data::new(State::new(&config, Double::new(), ng(&config)));
    let (public, (_, token)) =
        (listen(&state, Door::Public).await, call_and_token(&state, "a").await);
    let reply = public.send(sends("POST", "/whip", &token, SDP, &offer("/whip"))).await;
    let links: Vec<_> = reply.headers.get_all("link").map(|link| link.to_str().unwrap()).collect();
    let [link] = links[..] else { panic!("{links:?}") };
    assert!(link.starts_with("<turns:n.example:443?transport=tcp>; rel=\"ice-server\"; username="));
    let leg = reply.header("location").rsplit('/').next().unwrap();
    assert!(link.contains(&format!(":{leg}\"; credential=")), "{link}");
}

#[actix_web::test]
async fn an_api_token_publishes_in_the_call_of_the_path_in_a_role_of_its_choice() {
    let stage = Stage::new().await;
    let admin = listen(&stage.state, Door::Admin).await;
    let whip = format!("/whip/{}", stage.call);
    for (query, role) in [("", "publisher"), ("?role=studio", "studio")] {
        let path = format!("{whip}{query}");
        let reply = admin.send(sends("POST", &path, CALL, SDP, &offer(&path))).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let leg = reply.header("location").rsplit('/').next().unwrap().to_owned();
        let view = stage.state.calls.show_leg(stage.call.clone(), leg).await.unwrap();
        assert_eq!(view.role, role);
        // The bearer of a join token has nothing to do with it.
        stage.public.send(ask("DELETE", reply.header("location"), &stage.token)).await.problem(404);
        assert_eq!(admin.send(ask("DELETE", reply.header("location"), CALL)).await.status, 200);
    }
    let long = format!("{whip}?role={}", "x".repeat(33));
    admin.send(sends("POST", &long, CALL, SDP, &offer(&long))).await.problem(400);
    admin.send(sends("POST", &whip, READ, SDP, &offer(&whip))).await.problem(403);
    // There the path must name the call.
    admin.send(sends("POST", "/whip", CALL, SDP, &offer("/whip"))).await.problem(404);
}

#[actix_web::test]
async fn what_cannot_be_opened_is_refused_and_leaves_nothing() {
    let stage = Stage::new().await;
    let post = |path: &str, token: &str, kind: &str, body: &str| {
        stage.public.send(sends("POST", path, token, kind, body))
    };
    let whip = offer("/whip");
    let data = format!("{whip}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n");
    let strange = whip
        .replace("opus/48000", "speex/48000")
        .replace("PCM", "XYZ")
        .replace("G722", "XYZ")
        .replace(" 9 0 8 ", " ");
    for (path, kind, body, status, part) in [
        ("/whip", "application/json", whip.as_str(), 415, SDP),
        ("/whip", SDP, "", 422, "v=0"),
        ("/whip", SDP, "hello", 422, "line 1"),
        ("/whip", SDP, &"x".repeat(1 << 20), 413, "the body is longer"),
        ("/whip", SDP, &offer("/whep"), 422, "WHIP"),
        ("/whep", SDP, &whip, 422, "WHEP"),
        ("/whip", SDP, &data, 422, "m=application"),
        ("/whip", SDP, &strange, 422, "no codec"),
        ("/whip", SDP, &whip.replace("a=setup:actpass", "a=setup:holdconn"), 422, "setup"),
        ("/whip", SDP, &whip.replace("a=ice-pwd", "a=x"), 422, "ICE"),
    ] {
        let words = post(path, &stage.token, kind, body).await.problem(status);
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let garbled = ask("POST", "/whip", &stage.token)
        .insert_header(("content-type", SDP))
        .set_payload(&b"v=0\xff"[..]);
    stage.public.send(garbled).await.problem(400);
    for token in ["", "x", ADMIN] {
        let reply = post("/whip", token, SDP, &whip).await;
        reply.problem(401);
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    let elsewhere = stage.state.calls.create(Default::default()).await.unwrap().id;
    post(&format!("/whip/{elsewhere}"), &stage.token, SDP, &whip).await.problem(403);
    assert!(stage.state.calls.show(stage.call.clone()).await.unwrap().legs.is_empty());
    stage.state.calls.delete(stage.call.clone()).await.unwrap();
    post("/whip", &stage.token, SDP, &whip).await.problem(404);
}

/// RFC 9725 §4.4.4: a client may be a DTLS client alone.
#[actix_web::test]
async fn a_client_that_opens_dtls_itself_is_answered_passively() {
    let stage = Stage::new().await;
    let active = offer("/whip").replace("a=setup:actpass", "a=setup:active");
    let reply = stage.public.send(sends("POST", "/whip", &stage.token, SDP, &active)).await;
    assert_eq!((reply.status, reply.text.matches("a=setup:passive").count()), (201, 2));
}

#[actix_web::test]
async fn a_node_with_as_many_sessions_as_it_may_have_says_when_to_try_again() {
    let mut config = Config::default();
    config.limits.calls = 1;
    let double = Double::new();
    let state = Data::new(State::new(&config, double.clone(), ng(&config)));
    let public = listen(&state, Door::Public).await;
    let (call, token) = call_and_token(&state, "a").await;
    let post = || public.send(sends("POST", "/whep", &token, SDP, &offer("/whep")));
    let mut locations = Vec::new();
    for _ in 0..config.limits.legs_per_call {
        locations.push(post().await.header("location").to_owned());
    }
    let reply = post().await;
    reply.problem(503);
    assert_eq!(reply.header("retry-after"), "5");
    // One that has ended unheard makes room.
    let leg = locations[0].rsplit('/').next().unwrap();
    double.remove_leg(call, leg.to_owned()).await.unwrap();
    state.owners.forget(leg);
    assert_eq!(post().await.status, 201);
}

#[actix_web::test]
async fn candidates_are_taken_for_the_ice_session_that_is_meant() {
    let stage = Stage::new().await;
    let opened = stage.open("/whip").await;
    let mine = fragment(None, &[CANDIDATE, "end-of-candidates"]);
    let bare = format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na={CANDIDATE}\r\n");
    let other = fragment(Some("other"), &[]);
    for (tag, body, status) in [
        (Some(opened.tag.as_str()), mine.as_str(), 204),
        (Some("*"), &mine, 204),
        (Some("\"*\""), &bare, 204),
        // Many clients leave the tag away; credentials say it as well.
        (None, &mine, 204),
        (None, &bare, 428),
        (None, &other, 428),
        (Some("\"old\""), &mine, 412),
        (Some("\"old\""), &other, 412),
        (Some(&format!("W/{}", opened.tag)), &mine, 412),
    ] {
        let reply = stage.patch(&opened, tag, body).await;
        if status == 204 {
            assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{tag:?} {body}");
            assert_eq!(reply.header("etag"), "", "RFC 9725 §4.3.2");
        } else {
            reply.problem(status);
        }
    }
    let trickled = stage.double.trickled.lock().unwrap();
    assert_eq!(trickled.len(), 4);
    assert_eq!((trickled[0].candidates.len(), trickled[0].end_of_candidates), (1, true));
    assert!(trickled[0].candidates[0].starts_with("candidate:1 1 udp"));
    assert!(!trickled[2].end_of_candidates);
}

#[actix_web::test]
async fn new_credentials_restart_ice_and_make_the_old_tag_stale() {
    let stage = Stage::new().await;
    let opened = stage.open("/whip").await;
    let mut tags = vec![opened.tag.clone()];
    // With the asterisk as the standard has it, and with a tag that matches; one after the other.
    for (ufrag, tag) in [("first", Some("*")), ("second", Some("\"*\"")), ("third", None)] {
        let tag = tag.unwrap_or(tags.last().unwrap());
        let body = fragment(Some(ufrag), &[CANDIDATE, "end-of-candidates"]);
        let reply = stage.patch(&opened, Some(tag), &body).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, FRAGMENT), "{}", reply.text);
        let fresh = reply.header("etag").to_owned();
        assert!(!tags.contains(&fresh), "{fresh} names an older ICE session");
        // What the answer said stands (RFC 9725 §4.3.3); credentials and candidates are new.
        let (head, tail) = reply.text.split_once("a=ice-ufrag:").unwrap();
        assert_eq!(
            head,
            "a=ice-lite\r\na=ice-options:trickle\r\na=group:BUNDLE 0 1\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8 110 126\r\na=mid:0\r\n"
        );
        assert!(tail.starts_with(fresh.trim_matches('"')), "{tail}");
        assert!(tail.contains("a=ice-pwd:") && tail.contains(&MOVED.replace(':', " ")), "{tail}");
        tags.push(fresh);
    }
    let restarted = stage.double.restarted.lock().unwrap().clone();
    assert_eq!(
        restarted.iter().map(|(ufrag, _)| ufrag.as_str()).collect::<Vec<_>>(),
        ["first", "second", "third"]
    );
    assert!(restarted.iter().all(|(_, candidates)| candidates.len() == 1));

    // Candidates of the ICE session before come too late; those of this one are welcome.
    let third = fragment(Some("third"), &[CANDIDATE]);
    stage.patch(&opened, Some(&tags[2]), &third).await.problem(412);
    stage.patch(&opened, None, &fragment(Some("second"), &[CANDIDATE])).await.problem(428);
    assert_eq!(stage.patch(&opened, Some(&tags[3]), &third).await.status, 204);
    assert_eq!(stage.patch(&opened, None, &third).await.status, 204);
}

#[actix_web::test]
async fn a_restart_that_fails_leaves_the_ice_session_as_it_was() {
    let stage = Stage::new().await;
    let opened = stage.open("/whep").await;
    stage.double.full.store(true, Ordering::Relaxed);
    stage.patch(&opened, Some("*"), &fragment(Some("fresh"), &[])).await.problem(503);
    let mine = fragment(None, &[CANDIDATE]);
    assert_eq!(stage.patch(&opened, Some(&opened.tag), &mine).await.status, 204);
    stage.double.full.store(false, Ordering::Relaxed);
    assert_eq!(stage.patch(&opened, Some("*"), &fragment(Some("fresh"), &[])).await.status, 200);
}

#[actix_web::test]
async fn restarts_during_restarts_follow_one_another() {
    let stage = Stage::new().await;
    let opened = stage.open("/whip").await;
    let bodies: Vec<_> = (0..8).map(|n| fragment(Some(&format!("fresh{n}")), &[])).collect();
    let patches = bodies.iter().map(|body| stage.patch(&opened, Some("*"), body));
    let replies = futures_util::future::join_all(patches).await;
    let tags: BTreeSet<_> = replies.iter().map(|reply| reply.header("etag").to_owned()).collect();
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(tags.len(), 8, "each ICE session has a tag of its own");
    assert_eq!(stage.double.restarted.lock().unwrap().len(), 8);
}

#[actix_web::test]
async fn a_fragment_that_cannot_be_read_changes_nothing() {
    let stage = Stage::new().await;
    let opened = stage.open("/whep").await;
    let tag = Some(opened.tag.as_str());
    let flood = vec![CANDIDATE; 33];
    for (body, status, part) in [
        (fragment(None, &["candidate:1 1"]), 400, "line 5"),
        (fragment(None, &flood), 400, "32 candidates"),
        (fragment(None, &[CANDIDATE]).replace("a=mid:0", "a=mid:elsewhere"), 422, "m-lines"),
        ("a=ice-ufrag:onlyone\r\n".into(), 400, "line 1"),
        (format!("a=ice-ufrag:brandnew\r\na=ice-pwd:{}\r\n", said("ice-pwd")), 400, "both"),
        ("x".repeat(20_000), 413, "16384"),
    ] {
        let words = stage.patch(&opened, tag, &body).await.problem(status);
        assert!(words.contains(part), "{part} is not in {words}");
    }
    for kind in ["application/sdp", "application/json", ""] {
        let request = sends("PATCH", &opened.session, &stage.token, kind, "");
        let reply = stage.public.send(request).await;
        reply.problem(415);
        assert_eq!(reply.header("accept-patch"), FRAGMENT, "RFC 5789 §2.2");
    }
    let half_foreign = fragment(None, &[CANDIDATE])
        + &format!("m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:elsewhere\r\na={CANDIDATE}\r\n");
    assert_eq!(stage.patch(&opened, tag, &half_foreign).await.status, 204);
    assert_eq!(stage.double.trickled.lock().unwrap().len(), 1);
}

#[actix_web::test]
async fn a_session_is_its_own_bearers_and_ends_once() {
    let stage = Stage::new().await;
    let opened = stage.open("/whip").await;
    let other =
        stage.state.joins.issue(&stage.call, "host", Duration::from_secs(60)).unwrap().token;
    let delete = |path: &str, token: &str| stage.public.send(ask("DELETE", path, token));
    delete(&opened.session, &other).await.problem(404);
    delete(&opened.session, "").await.problem(401);
    delete(&opened.session.replace("whip", "whep"), &stage.token).await.problem(404);
    delete(&format!("/whip/{}/nobody", stage.call), &stage.token).await.problem(404);
    // An entity-tag does not matter (RFC 9725 §4.3.1).
    let stale = ask("DELETE", &opened.session, &stage.token).insert_header((IF_MATCH, "\"old\""));
    assert_eq!(stage.public.send(stale).await.status, 200);
    delete(&opened.session, &stage.token).await.problem(404);
    stage.patch(&opened, Some("*"), &fragment(None, &[])).await.problem(404);
    assert!(stage.state.calls.show(stage.call.clone()).await.unwrap().legs.is_empty());
}

#[actix_web::test]
async fn a_client_may_close_its_connection_and_then_delete_the_session() {
    let stage = Stage::new().await;
    let opened = stage.open("/whip").await;
    let leg = opened.session.rsplit('/').next().unwrap();
    stage.state.calls.remove_leg(stage.call.clone(), leg.to_owned()).await.unwrap();
    let now = std::time::Instant::now();
    stage.state.sessions.note_end(leg, now);
    stage.patch(&opened, Some("*"), &fragment(None, &[])).await.problem(404);
    let delete = || stage.public.send(ask("DELETE", &opened.session, &stage.token));
    assert_eq!(delete().await.status, 200);
    delete().await.problem(404);

    let late = stage.open("/whep").await.session;
    let leg = late.rsplit('/').next().unwrap();
    stage.state.sessions.note_end(leg, now);
    stage.state.sessions.note_end("another", now + Duration::from_secs(61));
    stage.public.send(ask("DELETE", &late, &stage.token)).await.problem(404);
}

#[actix_web::test]
async fn a_session_that_floods_is_slowed_down() {
    let stage = Stage::new().await;
    let (busy, calm) = (stage.open("/whip").await, stage.open("/whip").await);
    let body = fragment(None, &[]);
    let mut statuses = Vec::new();
    for _ in 0..100 {
        let reply = stage.patch(&busy, Some("*"), &body).await;
        statuses.push(reply.status);
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
            break;
        }
    }
    assert_eq!((statuses[0], statuses.last()), (204, Some(&429)));
    assert_eq!(stage.patch(&calm, Some("*"), &body).await.status, 204);
}

#[actix_web::test]
async fn other_methods_are_answered_as_the_standard_says() {
    let stage = Stage::new().await;
    let session = stage.open("/whip").await.session;
    let send = |method: &str, path: &str| stage.public.send(ask(method, path, &stage.token));
    // RFC 9725 §4.1: there is nothing to show, and that is no error.
    assert_eq!(send("GET", &session).await.status, 204);
    for method in ["GET", "HEAD"] {
        let reply = send(method, "/whep").await;
        assert_eq!(
            (reply.status, reply.header("content-type"), reply.text.as_str()),
            (200, SDP, "")
        );
    }
    for (path, allowed) in [
        ("/whip", "POST, GET, HEAD, OPTIONS"),
        (session.as_str(), "PATCH, DELETE, GET, HEAD, OPTIONS"),
    ] {
        let reply = send("PUT", path).await;
        reply.problem(405);
        assert_eq!(reply.header("allow"), allowed);
        assert_eq!(send("OPTIONS", path).await.header("allow"), allowed);
    }
    for path in ["/whipp", "/whip/a/b/c", "/whep/"] {
        send("GET", path).await.problem(404);
    }
}

fn from(origin: &'static str, request: TestRequest) -> TestRequest {
    request.insert_header(("origin", origin))
}

#[actix_web::test]
async fn pages_of_every_origin_may_publish_by_default_and_read_what_they_need() {
    let stage = Stage::new().await;
    let session = stage.open("/whip").await.session;
    for (path, header, kind) in
        [("/whip", "accept-post", SDP), (session.as_str(), "accept-patch", FRAGMENT)]
    {
        let preflight = ask("OPTIONS", path, "")
            .insert_header(("access-control-request-method", "PATCH"))
            .insert_header((
                "access-control-request-headers",
                "authorization,content-type,if-match",
            ));
        let reply = stage.public.send(from("https://studio.example", preflight)).await;
        assert_eq!((reply.status, reply.header(header)), (200, kind));
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        assert_eq!(reply.header("access-control-allow-credentials"), "");
        let methods = reply.header("access-control-allow-methods");
        assert!(["POST", "PATCH", "DELETE"].iter().any(|method| methods.contains(method)));
        for name in ["authorization", "content-type", "if-match"] {
            let allowed = reply.header("access-control-allow-headers").to_lowercase();
            assert!(allowed.contains(name), "{allowed}");
        }
    }
    // Answers of every status can be read, or a page could not tell what is wrong.
    for (token, status) in [(stage.token.as_str(), 201), ("x", 401)] {
        let request = sends("POST", "/whip", token, SDP, &offer("/whip"));
        let reply = stage.public.send(from("https://studio.example", request)).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, "*"));
        for name in ["Location", "ETag", "Link", "Accept-Patch"] {
            assert!(reply.header("access-control-expose-headers").contains(name));
        }
    }
    // Nothing else is shared.
    let reply =
        stage.public.send(from("https://studio.example", ask("GET", "/v1/openapi.json", ""))).await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

#[actix_web::test]
async fn origins_can_be_named() {
    let mut config = Config::default();
    config.whip.origins = vec!["https://studio.example".into()];
    let state = Data::new(State::new(&config, Double::new(), ng(&config)));
    let public = listen(&state, Door::Public).await;
    for (origin, admitted) in
        [("https://studio.example", "https://studio.example"), ("https://evil.example", "")]
    {
        let reply = public.send(from(origin, ask("OPTIONS", "/whep", ""))).await;
        assert_eq!(reply.header("access-control-allow-origin"), admitted);
        assert_eq!(reply.header("vary"), "Origin");
    }
    // A listener that is open to this host alone hears no page of another origin at all.
    let admin = listen(&state, Door::Admin).await;
    let request = from("https://studio.example", ask("OPTIONS", "/whip/c", ""));
    admin.send(request).await.problem(403);
}
