//! Where causeway is meant to differ from rtpengine, and why.

use crate::difference::difference;
use crate::script::Scenario;

/// A difference that is meant.
struct Intended {
    /// Words in the names of the scenarios; empty for all.
    scenario: &'static str,
    /// What the lines begin with that may be on one side only, or differ; empty for all lines.
    line: &'static str,
    /// Why.
    reason: &'static str,
}

/// All of them. One that no longer makes a difference has to go.
const INTENDED: &[Intended] = &[
    Intended {
        scenario: "delete",
        line: "tags/",
        reason: "the reply to a delete has to fit a datagram, so it tells times, SSRCs and totals alone",
    },
    Intended {
        scenario: "documents that do not end, or go on",
        line: "",
        reason: "what is no document is refused, so that nothing is done by half a request",
    },
    Intended {
        scenario: "the text of flags",
        line: "",
        reason: "rtpengine reads this key from 12.4 on, and proxies of that time send it",
    },
    Intended {
        scenario: "flags as one text",
        line: "",
        reason: "a list may come as one text with commas, as later versions have it",
    },
    Intended {
        scenario: "SDES with one suite only",
        line: "",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "SDES with two suites only",
        line: "",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "SDES by flags of one suite",
        line: "",
        reason: "rtpengine 10.5 does not know `only-` yet and offers all suites",
    },
    Intended {
        scenario: "an optional ICE of ours beside theirs",
        line: "a=candidate:",
        reason: "rtpengine's priorities of a second address exceed 2^31-1 (RFC 8445 §5.1.2)",
    },
];

/// Scenarios that are still to be made alike.
const DUE: &str = include_str!("due.txt");

/// What is left to differ, for one server.
pub(crate) struct Allowance {
    intended: &'static [Intended],
    /// Which of them made a difference.
    used: Vec<bool>,
}

impl Allowance {
    /// rtpengine itself may differ in nothing.
    pub(crate) fn of(target: &str) -> Self {
        let intended = if target == "rtpengine" { &[] } else { INTENDED };
        Self { intended, used: vec![false; intended.len()] }
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
            is_alike &= lines.iter().all(|line| self.passes(&scenario.name, line));
            story.push_str(&format!("> {}\n{}\n", step.line, lines.join("\n")));
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

    fn passes(&mut self, scenario: &str, line: &str) -> bool {
        let Some(line) = line.strip_prefix(['-', '+']) else { return true };
        let fits = |it: &Intended| {
            scenario.contains(it.scenario) && line.trim_start().starts_with(it.line)
        };
        let Some(index) = self.intended.iter().position(fits) else { return false };
        if !std::mem::replace(&mut self.used[index], true) {
            println!("{scenario}: {}", self.intended[index].reason);
        }
        true
    }
}
