//! Where causeway is meant to differ from rtpengine, and why.

use crate::difference::difference;
use crate::script::Scenario;

/// A difference that is meant.
struct Intended {
    /// Words in the names of the scenarios; empty for all.
    scenario: &'static str,
    /// What the requests begin with whose replies differ; empty for all.
    step: &'static str,
    /// What the lines begin with that may be on one side only, or differ; `*` stands for anything. Empty for all lines.
    line: &'static str,
    /// Why.
    reason: &'static str,
}

/// All of them. One that no longer makes a difference has to go.
const INTENDED: &[Intended] = &[
    Intended {
        scenario: "",
        step: "delete",
        line: "tags/",
        reason: "the reply to a delete has to fit a datagram, so it tells times, SSRCs and totals alone",
    },
    Intended {
        scenario: "",
        step: "query",
        line: "tags/*/crypto suite",
        reason: "a suite is told once both sides use it; there the first that was offered is told",
    },
    Intended {
        scenario: "",
        step: "",
        line: "a=rtpmap:96 /0",
        reason: "a payload type that nobody explains gets no name made up (RFC 8866 §6.6)",
    },
    Intended {
        scenario: "a delete of all",
        step: "delete",
        line: "",
        reason: "what a call was is told with every delete of it, as later versions do",
    },
    Intended {
        scenario: "a delete by the to-tag alone",
        step: "delete",
        line: "",
        reason: "what a call was is told with every delete of it, as later versions do",
    },
    Intended {
        scenario: "a delete with flags",
        step: "delete",
        line: "",
        reason: "with `fast` nothing is told, as later versions have it",
    },
    Intended {
        scenario: "forked answers",
        step: "query",
        line: "tags/",
        reason: "a branch that was deleted is gone; there it stays without its ports",
    },
    Intended {
        scenario: "documents that do not end, or go on",
        step: "",
        line: "",
        reason: "what is no document is refused, so that nothing is done by half a request",
    },
    Intended {
        scenario: "the text of flags",
        step: "",
        line: "",
        reason: "rtpengine reads this key from 12.4 on, and proxies of that time send it",
    },
    Intended {
        scenario: "flags as one text",
        step: "",
        line: "",
        reason: "a list may come as one text with commas, as later versions have it",
    },
    Intended {
        scenario: "keys of the wrong kind",
        step: "offer from-tag=a replace=origin",
        line: "o=",
        reason: "a list may come as one text with commas, as later versions have it",
    },
    Intended {
        scenario: "a proxy's word among the flags: rtcp-mux-offer",
        step: "",
        line: "a=rtcp-mux",
        reason: "what has a list of its own may stand among the flags, as later versions have it",
    },
    Intended {
        scenario: "the flag replace-origin",
        step: "",
        line: "o=",
        reason: "what has a list of its own may stand among the flags, as later versions have it",
    },
    Intended {
        scenario: "replace origin-full",
        step: "",
        line: "o=",
        reason: "rtpengine 10.5 does not know this word yet",
    },
    Intended {
        scenario: "replace force-increment-sdp-ver",
        step: "",
        line: "o=",
        reason: "rtpengine 10.5 does not know this word yet",
    },
    Intended {
        scenario: "the version is incremented whatever changes",
        step: "",
        line: "o=",
        reason: "rtpengine 10.5 does not know this word yet",
    },
    Intended {
        scenario: "the WebRTC flag",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know this word yet",
    },
    Intended {
        scenario: "media to remove",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know this key yet",
    },
    Intended {
        scenario: "from and to interfaces",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know these keys yet",
    },
    Intended {
        scenario: "SDES with one suite only",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "SDES with two suites only",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "SDES by flags of one suite",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "SDES of an unknown suite",
        step: "",
        line: "a=crypto:",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "SDES on both sides without new suites",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know `nonew` yet and adds suites",
    },
    Intended {
        scenario: "SDES in another order",
        step: "",
        line: "",
        reason: "rtpengine 10.5 does not know `order` yet",
    },
    Intended {
        scenario: "SDES unencrypted and unauthenticated",
        step: "",
        line: "a=crypto:",
        reason: "there is no SRTP here that is not encrypted and authenticated",
    },
    Intended {
        scenario: "SDES unencrypted to plain",
        step: "",
        line: "",
        reason: "there is no SRTP here that is not encrypted and authenticated",
    },
    Intended {
        scenario: "SDES with two keys in a line to plain",
        step: "",
        line: "",
        reason: "of several keys all have to be understood, or the line is none (RFC 4568 §6.3.7)",
    },
    Intended {
        scenario: "a tls-id passes or not",
        step: "",
        line: "a=tls-id:",
        reason: "it names an association with the other side that the reader has not (RFC 8842 §5.2)",
    },
    Intended {
        scenario: "an optional ICE of ours beside theirs",
        step: "",
        line: "",
        reason: "beside the parties' own candidates the node is one at one address; there a second one's priority exceeds 2^31-1 (RFC 8445 §5.1.2)",
    },
    Intended {
        scenario: "ICE as a relay",
        step: "",
        line: "a=candidate:",
        reason: "beside the parties' own candidates the node is one at one address",
    },
    Intended {
        scenario: "subscriptions",
        step: "query",
        line: "tags/s/medias/0/flags has ICE controlling",
        reason: "who offers controls (RFC 8445 §6.1.1), the node too",
    },
    Intended {
        scenario: "subscriptions",
        step: "query",
        line: "tags/s/",
        reason: "who has unsubscribed is gone; there it stays and keeps its ports",
    },
    Intended {
        scenario: "a publication",
        step: "publish",
        line: "s=",
        reason: "a session that the node describes is called by the node's name",
    },
    Intended {
        scenario: "a range of ports",
        step: "",
        line: "",
        reason: "an m-line has one stream: layers on ports of their own (RFC 8866 §5.14) are sent by nobody",
    },
    Intended {
        scenario: "lines that are not of RTP",
        step: "",
        line: "c=",
        reason: "a line ends with CRLF (RFC 8866 §5)",
    },
    Intended {
        scenario: "early media and then the final answer",
        step: "",
        line: "",
        reason: "nothing is transcoded: the codec that the answerer took last is told as it is",
    },
    Intended {
        scenario: "an answer with codecs that nobody offered",
        step: "",
        line: "",
        reason: "nothing is transcoded: what the answerer took is told as it is",
    },
    Intended {
        scenario: "an answer with another number for a codec",
        step: "",
        line: "",
        reason: "nothing is transcoded: what the answerer took is told as it is",
    },
    Intended {
        scenario: "the flag SIP-source-address",
        step: "answer",
        line: "error-reason",
        reason: "that nobody knows the call is said before what is wrong in its description",
    },
    Intended {
        scenario: "the flag record-call",
        step: "",
        line: "warning",
        reason: "that a call is not going to be recorded is told, not kept silent",
    },
    Intended {
        scenario: "the flag inject-DTMF",
        step: "query",
        line: "tags/*/flags has transcoding",
        reason: "digits are played without transcoding",
    },
    Intended {
        scenario: "strip with video beside it",
        step: "",
        line: "",
        reason: "retransmissions of a stripped codec go with it (RFC 4588 §8.1)",
    },
    Intended {
        scenario: "an address family of IPv6",
        step: "query",
        line: "tags/b/",
        reason: "a party that answers with an address of the other family is sent to from a port of that family",
    },
    Intended {
        scenario: "an offer of IPv6",
        step: "query",
        line: "tags/b/",
        reason: "a party that answers with an address of the other family is sent to from a port of that family",
    },
    Intended {
        scenario: "a browser calls a phone and candidates trickle",
        step: "",
        line: "",
        reason: "who says that its candidates are to come is not nowhere, whichever port it names until then",
    },
    Intended {
        scenario: "an offer of an empty description",
        step: "",
        line: "",
        reason: "a description of nothing is none",
    },
    Intended {
        scenario: "tags that are alike",
        step: "",
        line: "",
        reason: "a dialogue has two sides",
    },
    Intended {
        scenario: "playing to an unknown call",
        step: "",
        line: "error-reason",
        reason: "what the node does not do at all is said before whether the call is there",
    },
];

/// Scenarios that are still to be made alike.
const DUE: &str = include_str!("due.txt");

/// What is left to differ, for one server.
pub(crate) struct Allowance {
    intended: &'static [Intended],
    /// Which of them made a difference.
    used: Vec<bool>,
    /// Every difference that was seen, also one that is meant or due.
    pub(crate) seen: String,
}

impl Allowance {
    /// rtpengine itself may differ in nothing.
    pub(crate) fn of(target: &str) -> Self {
        let intended = if target == "rtpengine" { &[] } else { INTENDED };
        Self { intended, used: vec![false; intended.len()], seen: String::new() }
    }

    /// Intended differences of these scenarios that there are none of.
    pub(crate) fn idle(&self, scenarios: &[&Scenario]) -> Vec<String> {
        let concerns = |it: &Intended| {
            !it.scenario.is_empty() && scenarios.iter().any(|one| one.name.contains(it.scenario))
        };
        let all = self.intended.iter().zip(&self.used);
        let idle = all.filter(|(it, used)| !**used && concerns(it));
        idle.map(|(it, _)| format!("no longer differs: {}", it.scenario)).collect()
    }

    /// Tells how the replies differ, if they do and should not.
    pub(crate) fn fault(
        &mut self,
        scenario: &Scenario,
        theirs: &[Vec<String>],
        ours: &[Vec<String>],
    ) -> Option<String> {
        let mut story = format!("== {}\n", scenario.name);
        let mut is_alike = true;
        for (step, (theirs, ours)) in scenario.steps.iter().zip(theirs.iter().zip(ours)) {
            let lines = difference(theirs, ours);
            let passes = |line: &String| self.passes((&scenario.name, &step.line), line);
            is_alike &= lines.iter().map(passes).fold(true, |all, passes| all & passes);
            story.push_str(&format!("> {}\n{}\n", step.line, lines.join("\n")));
        }
        if theirs != ours {
            self.seen.push_str(&story);
        }
        match (is_alike, self.is_due(&scenario.name)) {
            (true, false) | (false, true) => None,
            (true, true) => Some(format!("no longer differs: {}", scenario.name)),
            (false, false) => Some(story),
        }
    }

    /// Whether the scenario is still to be made alike.
    fn is_due(&self, scenario: &str) -> bool {
        !self.intended.is_empty() && DUE.lines().any(|line| line == scenario)
    }

    fn passes(&mut self, (scenario, step): (&str, &str), line: &str) -> bool {
        let Some(line) = line.strip_prefix(['-', '+']).map(str::trim_start) else { return true };
        let step = step.trim_start_matches("names:");
        let fits = |it: &Intended| {
            scenario.contains(it.scenario) && step.starts_with(it.step) && is_like(it.line, line)
        };
        let Some(index) = self.intended.iter().position(fits) else { return false };
        if !std::mem::replace(&mut self.used[index], true) {
            println!("{scenario}: {}", self.intended[index].reason);
        }
        true
    }
}

/// Whether a line begins with this, where `*` stands for anything.
fn is_like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| line.strip_prefix(start)) else {
        return false;
    };
    parts.all(|part| match rest.split_once(part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

#[test]
fn a_pattern_is_like_what_begins_with_its_parts() {
    assert!(is_like("", "any") && is_like("tags/", "tags/a") && is_like("a*c", "abcd"));
    assert!(!is_like("tags/", "other/tags/") && !is_like("a*c", "ab") && !is_like("a*b*b", "ab"));
}
