//! The payload types of an m-line: which stay, and what is said of them.

use super::super::model::MediaSection;
use super::super::value::{RtpMap, fmtp_parameter, parse_payload_type};
use super::text::Text;

/// Which codecs of an m-line stay, by name: `PCMA`, `opus/48000/2`, without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodecRules {
    /// Those that go; `all` or `full` is every one that `except` does not name.
    pub strip: Vec<String>,
    /// Those that stay all the same, in this order, behind what `strip` has left.
    pub offer: Vec<String>,
    /// Those that `all` and `full` do not mean.
    pub except: Vec<String>,
    /// The payload types that were offered, if this is an answer: others go, but for `offer`.
    pub offered: Option<Vec<u8>>,
    /// Whether one codec stays, with events and comfort noise.
    pub single: bool,
}

/// A payload type and what the sender says of it.
struct Format<'a> {
    payload_type: u8,
    map: Option<RtpMap<'a>>,
    fmtp: Option<&'a str>,
}

impl CodecRules {
    /// The payload types that stay of an m-line, in their order. A rule that leaves none is no rule.
    ///
    /// What was offered is told by number alone: an answerer that gives its codecs numbers of its own
    /// is understood by nobody but those who transcode.
    ///
    /// What is about a codec goes with it: retransmissions of it (RFC 4588 §8.1), and events and
    /// comfort noise of a clock rate that no codec has any more.
    pub fn select(&self, section: MediaSection<'_>) -> Vec<u8> {
        let all = formats_of(section);
        let agreed: Vec<&Format<'_>> =
            all.iter().filter(|format| self.was_offered(format.payload_type)).collect();
        let mut left = agreed.clone();
        left.retain(|format| !self.strips(format));
        for name in &self.offer {
            if left.iter().any(|format| format.is_named(name)) {
                continue;
            }
            for format in all.iter().filter(|format| format.is_named(name)) {
                let events = left.iter().position(|left| left.is_supplement());
                let place = events.filter(|_| !format.is_supplement()).unwrap_or(left.len());
                left.insert(place, format);
            }
        }
        drop_orphans(&agreed, &mut left);
        if self.single {
            keep_one_codec(&mut left);
        }
        match self.offered.as_ref().and_then(|offered| offered.first()) {
            // What a refusal names counts for nothing, but it is to be something that was offered.
            Some(first) if left.is_empty() && section.is_rejected() => vec![*first],
            _ if left.is_empty() => all.iter().map(|format| format.payload_type).collect(),
            _ => left.iter().map(|format| format.payload_type).collect(),
        }
    }

    fn was_offered(&self, payload_type: u8) -> bool {
        self.offered.as_ref().is_none_or(|offered| offered.contains(&payload_type))
    }

    fn strips(&self, format: &Format<'_>) -> bool {
        self.strip.iter().any(|name| match name.as_str() {
            "all" | "full" => !self.except.iter().any(|kept| format.is_named(kept)),
            name => format.is_named(name),
        })
    }
}

impl Format<'_> {
    fn is_named(&self, name: &str) -> bool {
        let Some(map) = &self.map else { return false };
        let mut parts = name.splitn(3, '/');
        let encoding = parts.next().unwrap_or_default();
        let clock_rate = parts.next().map(str::parse);
        let channels = parts.next().map(str::parse);
        // Channels may be left out where there is one (RFC 8866 §6.6).
        let channels = channels.or((clock_rate.is_some() && map.channels > 1).then_some(Ok(1)));
        encoding.eq_ignore_ascii_case(map.name)
            && clock_rate.is_none_or(|rate| rate == Ok(map.clock_rate))
            && channels.is_none_or(|channels| channels == Ok(map.channels.max(1)))
    }

    /// Whether it only stands beside a codec: events (RFC 4733) and comfort noise (RFC 3389).
    fn is_supplement(&self) -> bool {
        let is = |map: &RtpMap<'_>| {
            ["telephone-event", "CN"].iter().any(|name| map.name.eq_ignore_ascii_case(name))
        };
        self.map.as_ref().is_some_and(is)
    }

    fn clock_rate(&self) -> Option<u32> {
        self.map.as_ref().map(|map| map.clock_rate)
    }

    fn retransmits(&self) -> Option<u8> {
        let is_rtx = self.map.as_ref().is_some_and(|map| map.name.eq_ignore_ascii_case("rtx"));
        self.fmtp.filter(|_| is_rtx).and_then(|fmtp| fmtp_parameter(fmtp, "apt")?.parse().ok())
    }
}

/// Drops every codec but the first.
fn keep_one_codec(left: &mut Vec<&Format<'_>>) {
    let mut has_codec = false;
    left.retain(|format| format.is_supplement() || !std::mem::replace(&mut has_codec, true));
}

/// Drops what has lost the codec that it came with.
fn drop_orphans(all: &[&Format<'_>], left: &mut Vec<&Format<'_>>) {
    let codecs: Vec<&Format<'_>> =
        left.iter().copied().filter(|format| !format.is_supplement()).collect();
    let has_rate = |formats: &[&Format<'_>], rate| {
        formats.iter().any(|format| !format.is_supplement() && format.clock_rate() == rate)
    };
    left.retain(|format| {
        let rate = format.clock_rate();
        let lost_rate = format.is_supplement() && has_rate(all, rate) && !has_rate(&codecs, rate);
        let lost_original = format.retransmits().is_some_and(|original| {
            let is_original = |format: &&&Format<'_>| format.payload_type == original;
            all.iter().any(|format| is_original(&format))
                && !codecs.iter().any(|format| is_original(&format))
        });
        !lost_rate && !lost_original
    });
}

/// Writes what the sender says of these payload types, codec by codec.
pub(super) fn write(text: &mut Text, section: MediaSection<'_>, payload_types: &[u8]) {
    let all = formats_of(section);
    for payload_type in payload_types {
        let Some(format) = all.iter().find(|format| format.payload_type == *payload_type) else {
            continue;
        };
        if let Some(map) = &format.map {
            text.own(format_args!("a=rtpmap:{map}"));
        }
        if let Some(fmtp) = format.fmtp {
            text.own(format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
        for feedback in section.attributes("rtcp-fb") {
            if let Some((number, kind)) = feedback.value.split_once(' ')
                && parse_payload_type(number) == Some(*payload_type)
            {
                text.own(format_args!("a=rtcp-fb:{payload_type} {kind}"));
            }
        }
    }
}

/// Whether an attribute is about one payload type, so that it stands or falls with that.
pub(super) fn describes_payload_type(name: &str, value: &str) -> bool {
    match name {
        "rtpmap" => RtpMap::parse(value).is_some(),
        "fmtp" | "rtcp-fb" => value.split(' ').next().and_then(parse_payload_type).is_some(),
        _ => false,
    }
}

/// The m-line's payload types in order, each once. What is said last of one counts.
fn formats_of(section: MediaSection<'_>) -> Vec<Format<'_>> {
    let mut maps: [Option<RtpMap<'_>>; 128] = std::array::from_fn(|_| None);
    let mut fmtps: [Option<&str>; 128] = [None; 128];
    for map in section.rtpmaps() {
        let number = usize::from(map.payload_type);
        maps[number] = Some(map);
    }
    for fmtp in section.attributes("fmtp") {
        if let Some((number, parameters)) = fmtp.value.split_once(' ')
            && let Some(number) = parse_payload_type(number)
        {
            fmtps[usize::from(number)] = Some(parameters);
        }
    }
    let format = |payload_type| Format {
        payload_type,
        map: maps[usize::from(payload_type)].take().or_else(|| RtpMap::of_static(payload_type)),
        fmtp: fmtps[usize::from(payload_type)],
    };
    section.payload_types().map(format).collect()
}
