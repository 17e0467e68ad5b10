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
const INTENDED: &[Intended] = &[];

/// What is left to differ, for one server.
pub(crate) struct Allowance {
    intended: &'static [Intended],
}

impl Allowance {
    /// rtpengine itself may differ in nothing.
    pub(crate) fn of(target: &str) -> Self {
        Self { intended: if target == "rtpengine" { &[] } else { INTENDED } }
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
        (!is_alike).then_some(story)
    }

    fn passes(&self, scenario: &str, line: &str) -> bool {
        let Some(line) = line.strip_prefix(['-', '+']) else { return true };
        let fits = |it: &&Intended| {
            scenario.contains(it.scenario) && line.trim_start().starts_with(it.line)
        };
        self.intended.iter().find(fits).inspect(|it| println!("{line}: {}", it.reason)).is_some()
    }
}
