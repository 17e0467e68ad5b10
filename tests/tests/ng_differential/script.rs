//! Scenarios as text.
//!
//! ```text
//! == a name
//! offer from-tag=a flags=[trust-address,loop~protect] ICE=remove
//!   m=audio 4000 RTP/AVP 0
//! query -call-id call-id=another
//! ```
//!
//! A line is a request: the command and its keys; `~` stands for a space, `[…]` is a list, `{k:v,…}` a
//! dictionary, `#n` a number, and `-call-id` leaves the key out that each request has unless it says another. The
//! lines below it, indented, are its description: if that does not begin with `v=`, the usual lines of
//! a session stand before it, Alice's of an offer and Bob's of an answer. `@reply` is the description
//! that came last. `raw …` is sent as it stands. `names:` before a command compares which keys there
//! are, not what they hold. Lines from `//` on say why.

use causeway_control::ng::{Dictionary, Value};

/// Some requests that belong together.
pub(crate) struct Scenario {
    /// What it shows.
    pub(crate) name: String,
    /// The requests.
    pub(crate) steps: Vec<Step>,
}

/// A request.
pub(crate) struct Step {
    /// As it is written.
    pub(crate) line: String,
    /// All but the description.
    pub(crate) request: Dictionary,
    /// The description.
    pub(crate) body: Body,
    /// Whether only the names in the reply count.
    pub(crate) names_only: bool,
}

/// What a request carries besides its keys.
pub(crate) enum Body {
    /// Nothing.
    None,
    /// A description.
    Sdp(String),
    /// The description of the last reply.
    Last,
    /// It is nothing but this.
    Raw(String),
}

impl Scenario {
    /// The calls that it is about.
    pub(crate) fn calls(&self) -> Vec<String> {
        let ids = self.steps.iter().filter_map(|step| step.request.lookup("call-id"));
        let mut ids: Vec<String> = ids.filter_map(|id| Some(id.text()?.into_owned())).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// Reads the scenarios of a file.
///
/// # Panics
/// If it is none.
pub(crate) fn read(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with("//") && !line.trim().is_empty());
    for line in lines {
        if let Some(name) = line.strip_prefix("== ") {
            scenarios.push(Scenario { name: name.into(), steps: Vec::new() });
            continue;
        }
        let scenario = scenarios.last_mut().expect("a scenario begins with its name");
        match line.strip_prefix("  ") {
            Some(line) => scenario.steps.last_mut().expect("a request comes first").describe(line),
            None => scenario.steps.push(Step::read(line, &scenario.name)),
        }
    }
    scenarios
}

impl Step {
    fn read(line: &str, scenario: &str) -> Self {
        let (names_only, rest) = match line.strip_prefix("names:") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let mut step =
            Self { line: line.into(), request: Dictionary::new(), body: Body::None, names_only };
        if let Some(document) = rest.strip_prefix("raw ") {
            step.body = Body::Raw(document.into());
            return step;
        }
        let (command, keys) = rest.split_once(' ').unwrap_or((rest, ""));
        if !keys.contains("call-id") {
            step.request.push("call-id", scenario.replace(' ', "-"));
        }
        for word in keys.split_whitespace().filter(|word| *word != "-call-id") {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} in {line}"));
            step.request.push(key.replace('~', " "), value_of(value));
        }
        if command != "-" {
            step.request.push("command", command.replace('~', " "));
        }
        step
    }

    fn describe(&mut self, line: &str) {
        if line == "@reply" {
            self.body = Body::Last;
            return;
        }
        let sdp = match &mut self.body {
            Body::Sdp(sdp) => sdp,
            body => {
                let start = if line.starts_with("v=") { "" } else { session(&self.line) };
                *body = Body::Sdp(start.into());
                let Body::Sdp(sdp) = body else { unreachable!("it was just made") };
                sdp
            }
        };
        sdp.push_str(line);
        sdp.push_str("\r\n");
    }
}

fn session(request: &str) -> &'static str {
    if request.starts_with("answer") { BOB } else { ALICE }
}

fn value_of(word: &str) -> Value {
    let inner = |open, close| word.strip_prefix(open).and_then(|word| word.strip_suffix(close));
    if let Some(items) = inner('[', ']') {
        return Value::List(
            items.split(',').filter(|item| !item.is_empty()).map(value_of).collect(),
        );
    }
    if let Some(items) = inner('{', '}') {
        let mut dictionary = Dictionary::new();
        for (key, value) in items.split(';').filter_map(|item| item.split_once(':')) {
            dictionary.push(key.replace('~', " "), value_of(value));
        }
        return dictionary.into();
    }
    match word.strip_prefix('#') {
        Some(number) => number.parse::<i64>().expect("a number").into(),
        None => word.replace('~', " ").into(),
    }
}

const ALICE: &str = "v=0\r\no=alice 1545997027 1 IN IP4 198.51.100.1\r\ns=call\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n";
const BOB: &str =
    "v=0\r\no=bob 1546058421 7 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 198.51.100.2\r\nt=0 0\r\n";
