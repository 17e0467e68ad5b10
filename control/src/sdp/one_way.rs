//! Offers of WHIP and WHEP: media goes one way, all of it is taken or nothing, there is one audio and
//! one video m-line at most, and RTP and RTCP share a port (RFC 9725 §4.2, §4.4.1, §4.4.2, §4.4.3;
//! draft-ietf-wish-whep).

use super::answer::kind_of;
use super::error::{SdpError, SdpErrorKind};
use super::model::Sdp;
use super::transport::can_mux;
use super::value::Direction;
use crate::api::Media;

/// Which way media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the node: WHIP.
    In,
    /// From the node: WHEP.
    Out,
}

/// Checks an offer and narrows it to one way: what offers both is answered as if it offered the
/// one that counts.
///
/// # Errors
/// When it is no description, or has an m-line that does not go that way, that is neither audio
/// nor video, that is rejected, or that is the second of its kind; or RTCP wants a port of its own.
pub fn one_way(offer: &str, way: Way) -> Result<String, SdpError> {
    let sdp = Sdp::parse(offer)?;
    let mut seen: Vec<Media> = Vec::new();
    for section in sdp.media() {
        let kind = kind_of(section).filter(|_| !section.is_rejected());
        let kind = kind.ok_or_else(|| section.blame(SdpErrorKind::PartlyTaken))?;
        if seen.contains(&kind) {
            return Err(section.blame(SdpErrorKind::SecondOfItsKind));
        }
        seen.push(kind);
        match way {
            Way::In if !section.direction().sends() => {
                return Err(section.blame(SdpErrorKind::NotSending));
            }
            Way::Out if !section.direction().receives() => {
                return Err(section.blame(SdpErrorKind::NotReceiving));
            }
            Way::In | Way::Out => {}
        }
    }
    let sections: Vec<_> = sdp.media().collect();
    match sections.first() {
        Some(first) if !can_mux(&sections) => Err(first.blame(SdpErrorKind::NoRtcpMux)),
        _ => Ok(directed(offer, way)),
    }
}

/// The description with the direction of this way, and no other, on every m-line.
fn directed(offer: &str, way: Way) -> String {
    let direction = match way {
        Way::In => Direction::SendOnly,
        Way::Out => Direction::RecvOnly,
    };
    let mut text = String::with_capacity(offer.len() + 64);
    for line in offer.split_inclusive('\n') {
        let attribute = line.strip_prefix("a=").map(str::trim_end);
        if attribute.and_then(Direction::parse).is_some() {
            continue;
        }
        text.push_str(line);
        if line.starts_with("m=") {
            if !line.ends_with('\n') {
                text.push_str("\r\n");
            }
            text.push_str("a=");
            text.push_str(direction.name());
            text.push_str("\r\n");
        }
    }
    text
}
