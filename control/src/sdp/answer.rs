//! Answers an offer (RFC 3264 §6, RFC 8829 §5.3.1): the same m-lines in the same order, under the
//! offerer's payload type and extension numbers, in the node's own name.

use super::codec::{Codec, NegotiatedCodec, codecs_of, extension};
use super::error::{SdpError, SdpErrorKind};
use super::local::{Local, LocalSsrcs};
use super::model::{MediaSection, Sdp};
use super::negotiated::{Extension, Negotiated, NegotiatedMedia, Profile};
use super::transport::{can_mux, must_mux, transport_of};
use super::value::{Direction, DtlsRole, Setup};
use super::write::{self, Section};
use super::{SSRCS_MAX, STREAMS_MAX};
use super::{fixed, simulcast};
use crate::api::Media;

/// Answers `offer`, taking of each m-line the codecs that the node and all of `limits` (what the
/// call's other legs negotiated) have in common. `previous` is what the leg negotiated before, if
/// this is not its first offer.
///
/// m-lines that are neither audio nor video are rejected; red, FEC and the like are declined.
///
/// # Errors
/// When the offer cannot be taken as a whole; the error names the line.
pub fn answer(
    offer: &Sdp,
    local: &Local,
    limits: &[&Negotiated],
    previous: Option<&Negotiated>,
) -> Result<(String, Negotiated), SdpError> {
    if let Some(previous) = previous {
        check_continuity(offer, previous)?;
    }
    let taken = taken(offer)?;
    if !local.ports.is_empty() {
        return fixed::answer(offer, &taken, local, limits, previous);
    }
    let free = previous.and_then(Negotiated::dtls).map_or(local.role, |dtls| dtls.role);
    let role = role(&taken, free)?;
    let sections: Vec<_> = taken.iter().map(|taken| taken.section).collect();
    let rtcp_mux = rtcp_mux(&sections, previous.map(Negotiated::rtcp_mux));
    let transport = transport_of(offer, &sections, role, rtcp_mux)?;
    check_rtcp_port(&sections, local, rtcp_mux, previous)?;
    let bundle = check_bundle(offer, &sections)?;

    let mut media = negotiate_all(offer, &taken, local, limits)?;
    media.iter_mut().for_each(|media| keep_layers(media, previous));
    let version = previous.map_or(1, |previous| previous.version + 1);
    let lines = offer.media_count();
    let transports = vec![transport];
    let mut negotiated = Negotiated { version, lines, bundle, transports, media };
    negotiated.take_seats(previous);
    let session = write::Session { version, bundle, rtcp_mux, setup: role.into() };
    let text = write::description(local, &session, &sections_of(offer, &negotiated));
    Ok((text, negotiated))
}

/// What is agreed on for each m-line that is taken.
pub(super) fn negotiate_all(
    offer: &Sdp,
    taken: &[Taken<'_>],
    local: &Local,
    limits: &[&Negotiated],
) -> Result<Vec<NegotiatedMedia>, SdpError> {
    let mut media: Vec<NegotiatedMedia> = Vec::with_capacity(taken.len());
    for taken in taken {
        let nth = media.iter().filter(|media| media.kind == taken.kind).count();
        let allowed = |codec| allows(limits, taken.kind, nth, codec);
        let direction = taken.section.direction().reversed();
        media.push(taken.negotiate(direction, local.ssrc_base, allowed)?);
    }
    check_streams(offer, &media)?;
    Ok(media)
}

/// The m-lines of an answer: those of the offer.
pub(super) fn sections_of<'a>(offer: &'a Sdp, negotiated: &'a Negotiated) -> Vec<Section<'a>> {
    let section = |section: MediaSection<'a>| match negotiated.at(section.index()) {
        Some(media) => Section::InUse(media),
        None => Section::Rejected(section),
    };
    offer.media().map(section).collect()
}

/// An m-line that the node takes.
pub(super) struct Taken<'a> {
    pub(super) section: MediaSection<'a>,
    pub(super) kind: Media,
    pub(super) profile: Profile,
    mid: Option<&'a str>,
}

/// The audio and video m-lines that are not rejected.
pub(super) fn taken(sdp: &Sdp) -> Result<Vec<Taken<'_>>, SdpError> {
    let mut taken: Vec<Taken<'_>> = Vec::new();
    for section in sdp.media().filter(|section| !section.is_rejected()) {
        let Some(kind) = kind_of(section) else { continue };
        let profile = Profile::parse(&section.line().profile)
            .ok_or_else(|| section.blame(SdpErrorKind::UnsupportedProfile))?;
        let mid = section.mid()?;
        if mid.is_some() && taken.iter().any(|before| before.mid == mid) {
            let line = section.attribute("mid").map_or(section.line().line, |mid| mid.line);
            return Err(section.blame_line(SdpErrorKind::DuplicateMid, line));
        }
        taken.push(Taken { section, kind, profile, mid });
    }
    if taken.is_empty() {
        return Err(SdpError::whole(SdpErrorKind::NoMedia));
    }
    Ok(taken)
}

pub(super) fn kind_of(section: MediaSection<'_>) -> Option<Media> {
    match section.line().kind.as_str() {
        "audio" => Some(Media::Audio),
        "video" => Some(Media::Video),
        _ => None,
    }
}

impl Taken<'_> {
    /// What is agreed on for this m-line.
    pub(super) fn negotiate(
        &self,
        direction: Direction,
        ssrc_base: u32,
        allowed: impl Fn(Codec) -> bool,
    ) -> Result<NegotiatedMedia, SdpError> {
        let section = self.section;
        let mut codecs = codecs_of(section, self.kind, allowed);
        if !codecs.iter().any(|codec| codec.codec.is_media()) {
            return Err(section.blame(SdpErrorKind::NoCommonCodec));
        }
        let mut extensions = extensions_of(section, self.kind);
        settle_transport_cc(&mut codecs, &mut extensions);
        let mut media = NegotiatedMedia {
            index: section.index(),
            kind: self.kind,
            mid: self.mid.map(Into::into),
            profile: self.profile,
            direction,
            transport: 0,
            codecs,
            extensions,
            mux_only: section.has("rtcp-mux-only"),
            reduced_size: section.has("rtcp-rsize"),
            local_ssrcs: LocalSsrcs::of(ssrc_base, section.index()),
            remote_ssrcs: remote_ssrcs(section),
            rids: Vec::new(),
            seat: None,
        };
        simulcast::settle(&mut media, section);
        Ok(media)
    }
}

/// A far side that sends nothing for now names no layers, and may stop to tag them once it has been
/// heard: those from before stay.
fn keep_layers(media: &mut NegotiatedMedia, previous: Option<&Negotiated>) {
    let before = previous.and_then(|previous| previous.at(media.index));
    if let Some(before) = before.filter(|_| !media.direction.receives() && media.rids.is_empty()) {
        media.rids.clone_from(&before.rids);
        let layers = before.extensions.iter().filter(|held| simulcast::is_of_layers(held.uri));
        media.extensions.extend(layers);
    }
}

/// A later offer has the earlier m-lines in their places (RFC 3264 §8); one that was rejected may
/// serve again for something else.
fn check_continuity(offer: &Sdp, previous: &Negotiated) -> Result<(), SdpError> {
    if offer.media_count() < previous.lines {
        return Err(match offer.media().last() {
            Some(last) => last.blame(SdpErrorKind::MediaMismatch),
            None => SdpError::whole(SdpErrorKind::MediaMismatch),
        });
    }
    for media in &previous.media {
        let Some(section) = offer.media_at(media.index) else { continue };
        let is_same = section.is_rejected()
            || kind_of(section) == Some(media.kind) && section.mid()? == media.mid.as_deref();
        if !is_same {
            return Err(section.blame(SdpErrorKind::MediaMismatch));
        }
    }
    Ok(())
}

/// What the node becomes in the DTLS handshake (RFC 5763 §5); `free` if it is free to choose.
pub(super) fn role(taken: &[Taken<'_>], free: DtlsRole) -> Result<DtlsRole, SdpError> {
    let (section, setup) = said_setup(taken)?;
    match setup {
        None | Some(Setup::ActPass) => Ok(free),
        Some(Setup::Active) => Ok(DtlsRole::Passive),
        Some(Setup::Passive) => Ok(DtlsRole::Active),
        Some(Setup::HoldConn) => Err(blame_setup(section)),
    }
}

/// The first `a=setup` that is said, and where.
pub(super) fn said_setup<'a>(
    taken: &[Taken<'a>],
) -> Result<(MediaSection<'a>, Option<Setup>), SdpError> {
    for taken in taken {
        if let Some(setup) = taken.section.setup()? {
            return Ok((taken.section, Some(setup)));
        }
    }
    let first = taken.first().ok_or_else(|| SdpError::whole(SdpErrorKind::NoMedia))?;
    Ok((first.section, None))
}

/// Puts the blame on the `a=setup` that holds for an m-line.
pub(super) fn blame_setup(section: MediaSection<'_>) -> SdpError {
    let line = section.inherited("setup").map_or(section.line().line, |setup| setup.line);
    section.blame_line(SdpErrorKind::BadSetup, line)
}

/// Whether RTP and RTCP share a port: where the far side can, unless each has had one of its own
/// before. An offer of sharing may be declined (RFC 5761 §5.1.1), and ports stay for a leg's life.
fn rtcp_mux(taken: &[MediaSection<'_>], before: Option<bool>) -> bool {
    can_mux(taken) && before != Some(false)
}

/// Checks that the far side takes the port, or the two, that the leg has.
fn check_rtcp_port(
    taken: &[MediaSection<'_>],
    local: &Local,
    rtcp_mux: bool,
    previous: Option<&Negotiated>,
) -> Result<(), SdpError> {
    let Some(first) = taken.first() else { return Err(SdpError::whole(SdpErrorKind::NoMedia)) };
    let parts = !rtcp_mux && previous.is_some_and(Negotiated::rtcp_mux);
    if parts || !rtcp_mux && must_mux(taken) {
        return Err(first.blame(SdpErrorKind::RtcpMuxChanged));
    }
    if !rtcp_mux && local.rtcp.is_none() {
        return Err(first.blame(SdpErrorKind::NoRtcpMux));
    }
    Ok(())
}

/// Checks that the m-lines share one transport; tells whether they are bundled. RFC 8843 §9.3 wants
/// rtcp-mux in a bundle; one without it is taken all the same, since nothing is unclear about it.
pub(super) fn check_bundle(sdp: &Sdp, taken: &[MediaSection<'_>]) -> Result<bool, SdpError> {
    let Some(&first) = taken.first() else { return Err(SdpError::whole(SdpErrorKind::NoMedia)) };
    let group: Vec<&str> = match first.mid()? {
        Some(mid) => sdp
            .bundles()
            .map(Iterator::collect::<Vec<_>>)
            .find(|mids| mids.contains(&mid))
            .unwrap_or_default(),
        None => Vec::new(),
    };
    for section in &taken[1..] {
        if !section.mid()?.is_some_and(|mid| group.contains(&mid)) {
            return Err(section.blame(SdpErrorKind::NotBundled));
        }
    }
    Ok(!group.is_empty())
}

/// Whether the m-lines of the other legs that this one is matched with all have a codec: those at
/// the same place among their kind, or the first where a leg has fewer.
pub(super) fn allows(limits: &[&Negotiated], kind: Media, nth: usize, codec: Codec) -> bool {
    limits
        .iter()
        .filter_map(|limit| limit.nth(kind, nth).or_else(|| limit.nth(kind, 0)))
        .all(|counterpart| counterpart.codecs.iter().any(|negotiated| negotiated.codec == codec))
}

/// Checks that the far side sends on no more m-lines than the engine has streams for.
pub(super) fn check_streams(sdp: &Sdp, media: &[NegotiatedMedia]) -> Result<(), SdpError> {
    let surplus = media.iter().filter(|media| media.direction.receives()).nth(STREAMS_MAX);
    match surplus.and_then(|surplus| sdp.media_at(surplus.index)) {
        Some(section) => Err(section.blame(SdpErrorKind::TooManyStreams)),
        None => Ok(()),
    }
}

/// The header extensions that the node takes, turned to its view (RFC 8285 §7). Only ids that fit
/// one-byte headers: mixed headers are not offered by the node.
fn extensions_of(section: MediaSection<'_>, kind: Media) -> Vec<Extension> {
    let known: &[&'static str] = match kind {
        Media::Audio => &extension::AUDIO,
        Media::Video => &extension::VIDEO,
    };
    let mut extensions: Vec<Extension> = Vec::new();
    for offered in section.extensions() {
        let Some(&uri) = known.iter().find(|uri| **uri == offered.uri) else { continue };
        let Ok(id @ 1..=14) = u8::try_from(offered.id) else { continue };
        if extensions.iter().all(|extension| extension.id != id && extension.uri != uri) {
            extensions.push(Extension { id, uri, direction: offered.direction.reversed() });
        }
    }
    extensions
}

/// Transport-wide numbers and their feedback are only of use together.
fn settle_transport_cc(codecs: &mut [NegotiatedCodec], extensions: &mut Vec<Extension>) {
    let has_feedback = codecs.iter().any(|codec| codec.feedback.transport_cc);
    extensions.retain(|extension| has_feedback || extension.uri != extension::TRANSPORT_CC);
    if !extensions.iter().any(|extension| extension.uri == extension::TRANSPORT_CC) {
        codecs.iter_mut().for_each(|codec| codec.feedback.transport_cc = false);
    }
}

/// The SSRCs that an m-line names, each with the one of its retransmissions (RFC 5576 §4.2).
fn remote_ssrcs(section: MediaSection<'_>) -> Vec<(u32, Option<u32>)> {
    let groups: Vec<_> = section
        .ssrc_groups()
        .filter(|group| matches!(group.semantics, "FID" | "FEC-FR") && group.ssrcs.len() == 2)
        .take(2 * SSRCS_MAX)
        .collect();
    let mut ssrcs: Vec<(u32, Option<u32>)> = Vec::new();
    for ssrc in section.ssrcs() {
        let is_secondary = groups.iter().any(|group| group.ssrcs[1] == ssrc);
        let is_known = ssrcs.iter().any(|(known, _)| *known == ssrc);
        if is_secondary || is_known || ssrcs.len() == SSRCS_MAX {
            continue;
        }
        let fid = groups.iter().find(|group| group.semantics == "FID" && group.ssrcs[0] == ssrc);
        ssrcs.push((ssrc, fid.map(|group| group.ssrcs[1])));
    }
    ssrcs
}
