//! What is told of a call that is over: a line of the file `cdr.file`, and what a webhook gets.

use std::time::{Duration, UNIX_EPOCH};

use humantime_serde::re::humantime;
use serde::{Deserialize, Serialize};

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    /// Its id; of a call behind a SIP proxy, the proxy's call-id.
    pub call: String,
    /// The node that it was on.
    pub node: String,
    /// How it was made.
    pub via: Via,
    /// Its name, if it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it began (RFC 3339, UTC).
    pub began: String,
    /// The same in milliseconds since 1970.
    pub began_ms: u64,
    /// When it was over (RFC 3339, UTC).
    pub ended: String,
    /// The same in milliseconds since 1970.
    pub ended_ms: u64,
    /// How long it lasted.
    pub duration_ms: u64,
    /// Whether it was answered: by the other side, or by two legs that were connected at once.
    pub answered: bool,
    /// Why it is over.
    pub reason: String,
    /// What its parties sent.
    pub media: Vec<MediaEnd>,
}

/// How a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Over the REST API.
    Rest,
    /// By a SIP proxy, over the ng protocol.
    Ng,
}

/// What a party of a call sent on an m-line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaEnd {
    /// The party's tag; the legs of calls over REST have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The leg; parties of calls over ng have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
    /// The leg's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `audio`, `video`…
    pub kind: String,
    /// What the node had from it last.
    pub ssrc: Option<u32>,
    /// Packets that came.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Interarrival jitter in ms (RFC 3550 §6.4.1).
    pub jitter_ms: u64,
    /// The mean opinion score that loss and jitter make likely, 1 to 5; none without packets, and none
    /// of pictures.
    pub mos: Option<f64>,
    /// Packets that came from somewhere else and were not taken. Of a leg that has one transport for all
    /// of its streams they stand at the first.
    pub strangers: u64,
}

impl EndRecord {
    /// Of a call from and to these times since 1970, with nothing of its media yet.
    pub fn new(call: &str, via: Via, began: Duration, ended: Duration) -> Self {
        Self {
            call: call.to_owned(),
            node: String::new(),
            via,
            name: None,
            began: timestamp(began),
            began_ms: ms(began),
            ended: timestamp(ended),
            ended_ms: ms(ended),
            duration_ms: ms(ended.saturating_sub(began)),
            answered: false,
            reason: String::new(),
            media: Vec::new(),
        }
    }
}

fn timestamp(since: Duration) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + since.min(LATEST)).to_string()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The end of the year 9999, behind which there is no date of four digits.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_for_people_and_for_programs() {
        let seconds = Duration::from_secs_f64;
        let record =
            EndRecord::new("c", Via::Ng, seconds(1_700_000_000.5), seconds(1_700_000_001.75));
        assert_eq!(
            (record.began.as_str(), record.began_ms),
            ("2023-11-14T22:13:20.500Z", 1_700_000_000_500)
        );
        assert_eq!((record.ended.as_str(), record.duration_ms), ("2023-11-14T22:13:21.750Z", 1250));
        assert_eq!(EndRecord::new("c", Via::Ng, Duration::MAX, Duration::ZERO).duration_ms, 0);
    }
}
