//! `control/NAMES.md` is what clients may rely on under `/v1`. It is made from the code, so that
//! neither says what the other does not.

use std::fmt::Write as _;
use std::path::Path;

use causeway_engine::error::DropReason;

use super::*;
use crate::api::PROBLEMS;
use crate::sdp::SdpErrorKind;

const INTRODUCTION: &str = "\
# Names that are stable under /v1

Clients, dashboards and alarms may rely on these names: none of them is removed or changes its meaning while the API is
`/v1`. New ones may come. The page is made from the code: `CAUSEWAY_WRITE_NAMES=1 cargo test -p causeway-control names`.
";

#[actix_web::test]
async fn the_page_of_stable_names_says_what_the_code_says() {
    let (_, state) = open();
    let admin = listen(&state, Door::Admin).await;
    let metrics = admin.get("/metrics", "").await.text;
    let openapi = admin.get("/v1/openapi.json", "").await.json();
    let page = [
        INTRODUCTION.to_owned(),
        problems(),
        families(&metrics),
        drops(),
        values(
            &openapi,
            "End reasons",
            "Why a call or leg is over (`ended`, `reason`).",
            "EndReason",
        ),
        values(&openapi, "Leg states", "The `state` of a leg.", "LegState"),
        values(&openapi, "Call states", "The `state` of a call.", "CallState"),
        events(&openapi),
    ]
    .join("\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("NAMES.md");
    if std::env::var_os("CAUSEWAY_WRITE_NAMES").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "control/NAMES.md is not what the code says; its introduction tells how to write it anew"
    );
}

fn problems() -> String {
    let mut kinds: Vec<(String, u16, String)> = PROBLEMS
        .iter()
        .map(|(kind, status, when)| ((*kind).into(), *status, (*when).into()))
        .collect();
    kinds.extend(SdpErrorKind::ALL.iter().map(|kind| {
        let problem = Problem::from(kind.anywhere());
        (kind.name().into(), problem.status, sentence(&kind.to_string()))
    }));
    kinds.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    let mut text = String::from(
        "## Problems\n\nThe `type` of an `application/problem+json` is `urn:causeway:problem:` and one of these; what is too\n\
         large says `too-large`.\n\n| name | status | when |\n|---|---|---|\n",
    );
    for (kind, status, when) in kinds.iter().filter(|(_, status, _)| *status != 413) {
        let _ = writeln!(text, "| `{kind}` | {status} | {when} |");
    }
    text
}

fn families(metrics: &str) -> String {
    let mut text = String::from("## Metrics\n\n| name | type | meaning |\n|---|---|---|\n");
    let mut lines = metrics.lines();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).unwrap();
        let _ = writeln!(text, "| `{name}` | {kind} | {help} |");
    }
    text
}

fn drops() -> String {
    let mut text = String::from(
        "## Drop reasons\n\nThe label `reason` of `causeway_dropped_packets_total`, and the keys of `drops` in statistics.\n\n\
         | name | meaning |\n|---|---|\n",
    );
    for reason in DropReason::ALL {
        let _ = writeln!(text, "| `{}` | {} |", reason.label(), reason.meaning().trim());
    }
    text
}

fn values(openapi: &Value, title: &str, what: &str, schema: &str) -> String {
    let values = openapi["components"]["schemas"][schema]["enum"].as_array().unwrap();
    let values: Vec<_> =
        values.iter().map(|value| format!("`{}`", value.as_str().unwrap())).collect();
    format!("## {title}\n\n{what} {}.\n", values.join(", "))
}

fn events(openapi: &Value) -> String {
    let mut text = String::from(
        "## Events\n\nThe SSE `event` of `/v1/events`, and the `type` inside.\n\n| name | meaning |\n|---|---|\n",
    );
    for variant in openapi["components"]["schemas"]["What"]["oneOf"].as_array().unwrap() {
        let name = variant.pointer("/properties/type/enum/0").and_then(Value::as_str).unwrap();
        let words = variant["description"].as_str().unwrap().replace('\n', " ");
        let _ = writeln!(text, "| `{name}` | {words} |");
    }
    text
}

/// Words as a sentence that Markdown leaves as it is. Names of attributes stay small.
fn sentence(words: &str) -> String {
    let words = words.replace('<', "\\<");
    if words.starts_with("a=") {
        return format!("{words}.");
    }
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
