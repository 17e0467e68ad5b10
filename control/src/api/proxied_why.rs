//! Why a call behind a SIP proxy works or does not: what `GET /v1/proxied/{call}/why` answers with.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Verdict;

/// What is known of a call behind a SIP proxy, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxiedWhy {
    /// The call-id that its proxy gave it.
    pub call: String,
    /// Whether a party has answered.
    pub answered: bool,
    /// Seconds since it began.
    pub age: u64,
    /// Seconds since its proxy last asked something of it.
    pub since_signal: u64,
    /// m-line by m-line of each party.
    pub findings: Vec<ProxiedFinding>,
}

/// What is wrong or right with an m-line of a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxiedFinding {
    /// The party's tag; empty for one that has not answered.
    pub tag: String,
    /// The m-line's number in the description, from 1.
    pub index: u32,
    /// Its kind, such as `audio`.
    pub kind: String,
    /// In one word.
    pub verdict: Verdict,
    /// What is so.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// What it is judged by: what was signalled, where media comes from, what came and went, what was not taken.
    pub facts: Vec<String>,
    /// Packets that came from somewhere else and were not taken: attempts to inject media.
    pub strangers: u64,
}
