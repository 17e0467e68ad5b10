//! What is random in a reply, made the same on both sides.
//!
//! A value that the server chose is numbered by its first appearance in the scenario, so that it still
//! shows whether a port, a key or a password stays or changes, and whether it is of the right length.
//! What came from the requests stays as it is.

use causeway_control::ng::Format;
use causeway_tests::ng::Reply;

use crate::script::Body;

/// The names that one server's values have in one scenario.
pub(crate) struct Normal {
    range: (u16, u16),
    /// Ports that were seen, with their addresses, without those behind another's RTP.
    ports: Vec<(String, u16)>,
    /// The address that the next port belongs to.
    place: String,
    words: Vec<(&'static str, String)>,
    sent: String,
}

impl Normal {
    /// Of a server with these media ports.
    pub(crate) fn new(range: (u16, u16)) -> Self {
        Self {
            range,
            ports: Vec::new(),
            place: String::new(),
            words: Vec::new(),
            sent: String::new(),
        }
    }

    /// Takes note of what it is asked.
    pub(crate) fn sent(&mut self, body: &Body) {
        if let Body::Sdp(text) | Body::Raw(text) = body {
            self.sent.push_str(text);
        }
    }

    /// The lines of a reply, or what they are about.
    pub(crate) fn lines(&mut self, reply: &Reply, names_only: bool) -> Vec<String> {
        let members = reply.members();
        if names_only {
            return members.iter().map(|line| name_of(line).to_owned()).collect();
        }
        let mut lines: Vec<_> =
            members.iter().map(|line| self.line(&without_order(line))).collect();
        lines.sort();
        lines.extend((reply.format == Format::Json).then(|| "(JSON)".to_owned()));
        let description = reply.description();
        for (line, place) in description.iter().zip(places(&description)) {
            self.place = place;
            lines.push(self.line(line));
        }
        lines
    }

    fn line(&mut self, line: &str) -> String {
        if let Some(place) = place_of(line) {
            self.place = place.to_owned();
        }
        let named = match random_word(line) {
            Some((kind, word)) if !self.sent.contains(word) => {
                line.replace(word, &self.name(kind, word))
            }
            _ => line.to_owned(),
        };
        self.name_ports(&named, is_rtcp(line))
    }

    fn name(&mut self, kind: &'static str, word: &str) -> String {
        if !self.words.iter().any(|known| (known.0, known.1.as_str()) == (kind, word)) {
            self.words.push((kind, word.to_owned()));
        }
        let mut same = self.words.iter().filter(|known| known.0 == kind);
        let number = same.position(|known| known.1 == word).map_or(0, |index| index + 1);
        format!("<{kind} {number} of {}>", word.len())
    }

    fn name_ports(&mut self, line: &str, is_rtcp: bool) -> String {
        let (mut named, mut rest) = (String::new(), line);
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            let digits = rest[start..].find(|c: char| !c.is_ascii_digit());
            let end = digits.map_or(rest.len(), |length| start + length);
            named.push_str(&rest[..start]);
            match rest[start..end].parse() {
                Ok(port) if self.range.0 <= port && port <= self.range.1 => {
                    named.push_str(&self.name_port(port, is_rtcp));
                }
                _ => named.push_str(&rest[start..end]),
            }
            rest = &rest[end..];
        }
        named + rest
    }

    /// A pair of RTP and RTCP has one name. That RTP's port is even (RFC 3550 §11) is not compared:
    /// where both share a port, rtpengine takes any.
    fn name_port(&mut self, port: u16, is_rtcp: bool) -> String {
        let here = |port| (self.place.clone(), port);
        let number = |wanted| self.ports.iter().position(|known| *known == wanted);
        if let Some(index) = number(here(port)) {
            return format!("PORT{}", index + 1);
        }
        if let Some(index) = number(here(port - 1)).filter(|_| is_rtcp) {
            return format!("PORT{}+1", index + 1);
        }
        self.ports.push(here(port));
        format!("PORT{}", self.ports.len())
    }
}

/// The address that each line's ports belong to: that of the media, else that of the session.
fn places(description: &[String]) -> Vec<String> {
    let connection = |lines: &[String]| {
        lines.iter().find_map(|line| Some(line.strip_prefix("c=")?.rsplit(' ').next()?.to_owned()))
    };
    let is_media = |line: &String| line.starts_with("m=");
    let parts: Vec<_> = description.chunk_by(|_, next| !is_media(next)).collect();
    let session = parts.first().and_then(|lines| connection(lines)).unwrap_or_default();
    let place = |lines: &&[String]| connection(lines).unwrap_or_else(|| session.clone());
    parts.iter().flat_map(|lines| vec![place(lines); lines.len()]).collect()
}

/// The address that a line names for its own port and those behind it.
fn place_of(line: &str) -> Option<&str> {
    let candidate = line.strip_prefix("a=candidate:").and_then(|rest| rest.split(' ').nth(4));
    candidate.or_else(|| Some(line.split_once("/local address = ")?.1))
}

/// Whether a line tells where RTCP goes.
fn is_rtcp(line: &str) -> bool {
    let component = line.strip_prefix("a=candidate:").and_then(|rest| rest.split(' ').nth(1));
    let stream =
        line.split_once("/streams/").map(|(_, rest)| rest.starts_with(['1', '3', '5', '7']));
    line.starts_with("a=rtcp:") || component == Some("2") || stream == Some(true)
}

/// The kind and value of what a server makes up in a line.
fn random_word(line: &str) -> Option<(&'static str, &str)> {
    WORDS.iter().find_map(|(start, behind, kind)| {
        let rest = line.strip_prefix(start)?.split_once(behind)?.1;
        rest.split([' ', '|', ';']).next().map(|word| (*kind, word))
    })
}

/// A member of a reply without what time it is, and without the place in a set.
fn without_order(line: &str) -> String {
    let Some((name, value)) = line.split_once(" = ") else { return line.to_owned() };
    let last = name.rsplit('/').next().unwrap_or(name);
    if TIMES.contains(&last) && value != "0" {
        return format!("{name} = a time");
    }
    let set = name.split_once("/flags/").map(|(path, _)| path);
    set.map_or_else(|| line.to_owned(), |path| format!("{path}/flags has {value}"))
}

fn name_of(line: &str) -> &str {
    line.split(" = ").next().unwrap_or(line)
}

/// Members that are seconds or microseconds since 1970.
const TIMES: [&str; 4] = ["created", "created_us", "last signal", "last packet"];

/// What a line begins with, what stands before the value behind that, and what the value is.
const WORDS: [(&str, &str, &str); 8] = [
    // Of an origin that the server makes up, the version is the same number.
    ("o=", " ", "session"),
    ("a=ice-ufrag", ":", "ufrag"),
    ("a=ice-pwd", ":", "password"),
    ("a=candidate", ":", "foundation"),
    ("a=crypto:", "inline:", "key"),
    ("a=fingerprint:", " ", "fingerprint"),
    ("a=tls-id", ":", "tls-id"),
    ("a=rtpengine", ":", "loop mark"),
];
