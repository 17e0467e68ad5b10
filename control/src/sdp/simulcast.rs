//! Simulcast: one picture in several layers, each under an RTP stream id (RFC 8853, RFC 8851). The
//! node receives layers and never sends them: each receiver gets one plain stream.

use super::codec::extension;
use super::model::MediaSection;
use super::negotiated::NegotiatedMedia;
use super::{RID_MAX, RIDS_MAX};

/// Settles which layers of an m-line are taken: those that the far side offers to send, in its order
/// of preference, if packets say which layer they belong to (RFC 8852 §3.1). One layer alone is no
/// simulcast, and what has more than [`RIDS_MAX`] is declined: the far side then sends its first.
pub(super) fn settle(media: &mut NegotiatedMedia, section: MediaSection<'_>) {
    let rids = if media.extension_id(extension::RID).is_some() { offered(section) } else { vec![] };
    if (2..=RIDS_MAX).contains(&rids.len()) {
        media.rids = rids;
    } else {
        media.extensions.retain(|held| !is_of_layers(held.uri));
    }
}

/// Whether a header extension only means something where there are layers.
pub(crate) fn is_of_layers(uri: &str) -> bool {
    uri == extension::RID || uri == extension::REPAIRED_RID
}

/// The layers that the writer offers to send: of each simulcast stream the first alternative, paused
/// or not, as far as it is explained by an `a=rid` (RFC 8853 §5.1).
fn offered(section: MediaSection<'_>) -> Vec<String> {
    let mut words = section.simulcast().unwrap_or_default().split_ascii_whitespace();
    let list = loop {
        match (words.next(), words.next()) {
            (Some("send"), Some(list)) => break list,
            (Some(_), Some(_)) => {}
            _ => return Vec::new(),
        }
    };
    let mut rids: Vec<String> = Vec::new();
    for stream in list.split(';').take(RIDS_MAX + 1) {
        let rid = stream.split(',').next().unwrap_or_default().trim_start_matches('~');
        if is_rid(rid) && is_sent(section, rid) && rids.iter().all(|held| held != rid) {
            rids.push(rid.into());
        }
    }
    rids
}

/// RFC 8851 §10, with the header extension's bound.
fn is_rid(text: &str) -> bool {
    (1..=RID_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_sent(section: MediaSection<'_>, rid: &str) -> bool {
    section.attributes("rid").any(|line| {
        let mut words = line.value.split_ascii_whitespace();
        words.next() == Some(rid) && words.next() == Some("send")
    })
}
