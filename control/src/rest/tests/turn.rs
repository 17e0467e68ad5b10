//! `/v1/turn/credentials`.

use super::*;
use crate::turn::SharedSecret;

const PATH: &str = "/v1/turn/credentials";
const SECRET: &str = "0123456789abcdef";

fn state(turn: &str) -> Data<State> {
    let mut config: Config = toml::from_str(&format!("[turn]\n{turn}")).unwrap();
    config.interface = vec![Default::default()];
    config.auth.token =
        vec![ApiToken { name: CALL.into(), hash: TokenHash::of(CALL), scopes: vec![Scope::Call] }];
    Data::new(State::new(&config, Double::new(), ng(&config)))
}

fn with_secret() -> Data<State> {
    state(&format!("secrets = [\"{SECRET}\"]\nlisten = \"127.0.0.1:3478\""))
}

/// When credentials expire, and whose they are; their password follows from the secret.
fn read(reply: &Reply) -> (u64, String) {
    assert_eq!(reply.status, 201, "{}", reply.text);
    let body = reply.json();
    let (expires, user) = body["username"].as_str().unwrap().split_once(':').unwrap();
    let expires = expires.parse().unwrap();
    let minted = SharedSecret::new(SECRET).mint(expires, Some(user));
    assert_eq!(body["credential"], minted.credential.as_str());
    (expires, user.to_owned())
}

#[actix_web::test]
async fn credentials_follow_from_the_secret_and_tell_where_to_use_them() {
    let state = with_secret();
    let admin = listen(&state, Door::Admin).await;
    let before = crate::auth::unix_now();
    let reply = admin.post(PATH, CALL, json!({"user": "alice", "ttl": 60})).await;
    let (expires, user) = read(&reply);
    assert!((before + 60..=crate::auth::unix_now() + 60).contains(&expires));
    assert_eq!((user.as_str(), &reply.json()["ttl"]), ("alice", &json!(60)));
    let urls = ["turn:127.0.0.1:3478?transport=udp", "turn:127.0.0.1:3478?transport=tcp"];
    assert_eq!(reply.json()["urls"], json!(urls));
}

#[actix_web::test]
async fn nobody_named_is_somebody_new_for_as_long_as_the_node_allows() {
    let state = with_secret();
    let admin = listen(&state, Door::Admin).await;
    let (one, other) =
        (admin.send(ask("POST", PATH, CALL)).await, admin.post(PATH, CALL, json!({})).await);
    assert_ne!(read(&one).1, read(&other).1);
    assert_eq!(one.json()["ttl"], 3600);
}

#[actix_web::test]
async fn a_join_token_gets_credentials_for_its_bearer_whatever_it_calls_itself() {
    let state = with_secret();
    let public = listen(&state, Door::Public).await;
    let (_, token) = call_and_token(&state, "a").await;
    let jti = state.joins.check(&token).unwrap().jti;
    let reply = public.post(PATH, &token, json!({"user": "alice"})).await;
    assert_eq!(read(&reply).1, jti);
    public.post(PATH, "", json!({})).await.problem(401);
    public.post(PATH, CALL, json!({})).await.problem(401);
}

#[actix_web::test]
async fn names_and_times_that_cannot_be_are_refused() {
    let state = with_secret();
    let admin = listen(&state, Door::Admin).await;
    for (body, part) in [
        (json!({"user": ""}), "user"),
        (json!({"user": "a:b"}), "user"),
        (json!({"user": "a b"}), "user"),
        (json!({"user": "x".repeat(65)}), "user"),
        (json!({"ttl": 9}), "ttl"),
        (json!({"ttl": 3601}), "10 to 3600"),
        (json!({"tll": 60}), "`tll`"),
    ] {
        let words = admin.post(PATH, CALL, body).await.problem(400);
        assert!(words.contains(part), "{part} is not in {words}");
    }
}

#[actix_web::test]
async fn without_a_server_or_a_secret_there_are_no_credentials() {
    for off in ["", &format!("secrets = [\"{SECRET}\"]\nenabled = false"), "realm = \"r\""] {
        let state = state(off);
        let words =
            listen(&state, Door::Admin).await.post(PATH, CALL, json!({})).await.problem(404);
        assert!(words.contains("[turn]"), "{words}");
        let (_, token) = call_and_token(&state, "customer").await;
        let public = listen(&state, Door::Public).await;
        assert_eq!(public.post(PATH, &token, json!({})).await.status, 204, "a page only asks");
    }
}
