//! `why` and what the doors note for it.

use super::*;
use crate::call::Remark;

/// A call, and a join token for it.
async fn call_and_token(admin: &Listener) -> (String, String) {
    let call = admin.post("/v1/calls", CALL, json!({})).await.header("location").to_owned();
    let made = admin.post(&format!("{call}/tokens"), CALL, json!({"role": "agent"})).await;
    (call, made.json()["token"].as_str().unwrap().to_owned())
}

#[actix_web::test]
async fn why_is_json_for_programs_and_text_for_people() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let call =
        admin.post("/v1/calls", "", json!({"name": "n"})).await.header("location").to_owned();
    let why = format!("{call}/why");
    let json = admin.get(&why, "").await.json();
    assert_eq!(json["summary"][0]["verdict"], "no_checks");
    assert_eq!(json["timeline"][0]["gravity"], "bad");
    let plain = ask("GET", &why, "").insert_header(("accept", "text/plain"));
    let by_accept = admin.send(plain).await;
    let by_query = admin.get(&format!("{why}?format=text"), "").await;
    for reply in [by_accept, by_query] {
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        for part in [
            "(n), waiting",
            "agent [leg1]: no_checks",
            "seen by Operator",
            "-> open the port",
            "1.000 ! agent      ice         A check failed. (2 times, last at 3.000)",
        ] {
            assert!(reply.text.contains(part), "`{part}` is not in:\n{}", reply.text);
        }
    }
    assert!(admin.get(&format!("{why}?format=xml"), "").await.problem(400).contains("format"));
}

#[actix_web::test]
async fn the_bearer_of_a_join_token_looks_with_the_eyes_of_its_legs() {
    let (_, state) = guarded();
    let (admin, public) = (listen(&state, Door::Admin).await, listen(&state, Door::Public).await);
    let (call, token) = call_and_token(&admin).await;
    let added = public.post(&format!("{call}/legs"), &token, json!({"offer": "v=0"})).await;
    let leg = added.json()["leg"]["id"].as_str().unwrap().to_owned();
    let seen = public.get(&format!("{call}/why"), &token).await.json();
    assert_eq!(seen["summary"][0]["what"], format!("seen by Guest([{leg:?}])"));
    let (other, _) = call_and_token(&admin).await;
    public.get(&format!("{other}/why"), &token).await.problem(403);
}

#[actix_web::test]
async fn a_report_is_taken_from_its_own_leg_and_bounded() {
    let (_, state) = guarded();
    let (admin, public) = (listen(&state, Door::Admin).await, listen(&state, Door::Public).await);
    let (call, token) = call_and_token(&admin).await;
    let added = public.post(&format!("{call}/legs"), &token, json!({"offer": "v=0"})).await;
    let report = format!("{}/report", added.header("location"));
    let good = json!({
        "connection": "failed", "ice": "a state of tomorrow", "after_ms": 1,
        "pairs": [{"state": "in-progress", "local": "srflx", "remote": "192.0.2.1:1", "sent": 9}]
    });
    assert_eq!(public.post(&report, &token, good).await.status, 204);
    let many = json!({"pairs": vec![json!({}); 17]});
    assert!(public.post(&report, &token, many).await.problem(400).contains("pairs"));
    let words = public.post(&report, &token, json!({"user_agent": "x"})).await.problem(400);
    assert!(words.contains("user_agent"), "{words}");
    let huge = json!({"pairs": [{"sent": -1}]});
    public.post(&report, &token, huge).await.problem(400);
    let (_, foreign) = call_and_token(&admin).await;
    public.post(&report, &foreign, json!({})).await.problem(403);
}

#[actix_web::test]
async fn doors_note_where_a_leg_came_in_and_whose_token_was_late() {
    let (double, state) = guarded();
    let (admin, public) = (listen(&state, Door::Admin).await, listen(&state, Door::Public).await);
    let (call, token) = call_and_token(&admin).await;
    let legs = format!("{call}/legs");
    for host in ["203.0.113.9:8443", "[2001:db8::1]:8443", "calls.example.org"] {
        let mut offer = ask("POST", &legs, &token).set_json(json!({"offer": "v=0"}));
        offer = offer.insert_header(("host", host));
        assert_eq!(public.send(offer).await.status, 201);
    }
    let id = call.rsplit('/').next().unwrap();
    let late = state.joins.issue(id, "customer", Duration::ZERO).unwrap().token;
    public.post(&legs, &late, json!({"offer": "v=0"})).await.problem(401);
    let foreign = state.joins.issue("another", "thief", Duration::from_secs(9)).unwrap().token;
    public.post(&legs, &foreign, json!({"offer": "v=0"})).await.problem(403);

    let noted: Vec<_> = std::mem::take(&mut *double.remarks.lock().unwrap());
    let hosts = noted.iter().filter_map(|(_, remark)| match remark {
        Remark::AskedAt { host, .. } => Some(host.to_string()),
        _ => None,
    });
    assert_eq!(hosts.collect::<Vec<_>>(), ["203.0.113.9", "2001:db8::1"]);
    let late = |(call, remark): &(String, Remark)| {
        call == id && matches!(remark, Remark::TokenExpired { role, .. } if role == "customer")
    };
    assert_eq!(noted.iter().filter(|noted| late(noted)).count(), 1);
    let elsewhere = ("another".to_owned(), Remark::TokenElsewhere { role: "thief".into() });
    assert!(noted.contains(&elsewhere));
}
