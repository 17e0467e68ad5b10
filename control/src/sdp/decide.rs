//! Why a codec of a description was taken or declined, for people: the same rules as
//! [`super::answer()`], told line by line.

use super::Negotiated;
use super::answer::{allows, kind_of};
use super::codec::{Codec, formats_of};
use super::error::printable;
use super::model::{MediaSection, Sdp};
use crate::api::Media;

/// m-lines that are told of, most.
const LINES_TOLD: usize = 8;
/// Codecs that are told of per m-line, most, taken and declined each.
const CODECS_TOLD: usize = 16;

/// What became of the codecs of one m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the m-line carries, such as `audio`.
    pub kind: String,
    /// Its line in the description, from 1.
    pub line: usize,
    /// The codecs in use, the far side's favourite first, such as `opus/48000/2`.
    pub taken: Vec<String>,
    /// The codecs that are not, with the reason.
    pub declined: Vec<(String, Declined)>,
}

impl Decision {
    /// Whether something other than telephone events is in use.
    pub fn has_media(&self) -> bool {
        self.taken.iter().any(|name| !name.starts_with("telephone-event"))
    }
}

/// Why a codec is not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Declined {
    /// The node does not forward it.
    NotForwarded,
    /// Another leg of the call does not have it.
    NotInCall,
}

/// What becomes of the codecs of each audio and video m-line beside `limits`, which the call's
/// other legs negotiated.
pub fn decisions(text: &str, limits: &[&Negotiated]) -> Vec<Decision> {
    let Ok(sdp) = Sdp::parse(text) else { return Vec::new() };
    let mut counts = (0, 0);
    let mut decisions = Vec::new();
    for section in sdp.media().filter(|section| !section.is_rejected()).take(LINES_TOLD) {
        let Some(kind) = kind_of(section) else { continue };
        let count = if kind == Media::Audio { &mut counts.0 } else { &mut counts.1 };
        decisions.push(decide(section, kind, |codec| allows(limits, kind, *count, codec)));
        *count += 1;
    }
    decisions
}

fn decide(section: MediaSection<'_>, kind: Media, allowed: impl Fn(Codec) -> bool) -> Decision {
    let mut taken = Vec::new();
    let mut declined: Vec<(String, Declined)> = Vec::new();
    for format in formats_of(section) {
        // Retransmissions share the fate of what they retransmit.
        if format.map.name.eq_ignore_ascii_case("rtx") {
            continue;
        }
        let codec = Codec::recognise(&format.map, format.fmtp).filter(|codec| codec.kind() == kind);
        let reason = match codec {
            Some(codec) if allowed(codec) => None,
            Some(_) => Some(Declined::NotInCall),
            None => Some(Declined::NotForwarded),
        };
        let profile = format.fmtp.and_then(|fmtp| fmtp.split(';').find(|p| p.contains("profile")));
        let name = printable(&match (reason, profile) {
            (Some(_), Some(profile)) => format!("{} ({})", encoding(&format.map), profile.trim()),
            _ => encoding(&format.map),
        });
        match reason {
            None if taken.len() < CODECS_TOLD && !taken.contains(&name) => taken.push(name),
            Some(reason)
                if declined.len() < CODECS_TOLD
                    && declined.iter().all(|(known, _)| *known != name) =>
            {
                declined.push((name, reason));
            }
            _ => {}
        }
    }
    Decision { kind: section.line().kind.clone(), line: section.line().line, taken, declined }
}

fn encoding(map: &super::RtpMap<'_>) -> String {
    let channels = if map.channels > 1 { format!("/{}", map.channels) } else { String::new() };
    format!("{}/{}{channels}", map.name, map.clock_rate)
}
