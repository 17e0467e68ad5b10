//! Reads the far side's transport from a description: ICE credentials, fingerprints, candidates, and
//! whether RTCP shares its port.

use super::candidate::{Candidate, RTCP, RTP};
use super::error::{SdpError, SdpErrorKind};
use super::model::{Attribute, MediaSection, Sdp};
use super::negotiated::{RemoteDtls, RemoteIce, RemotePath, RemoteSecurity, RemoteTransport};
use super::value::{DtlsRole, Fingerprint, HashFunction, IceCredentials};
use super::{CANDIDATES_MAX, FINGERPRINTS_MAX};

/// Reads the transport that the m-lines `taken` share. What the first of them does not say, the
/// others or the group's first m-line may (RFC 8843 §7.1.3). Without `rtcp_mux` it has a second
/// component, which has candidates of its own and shares everything else (RFC 8839 §5.4).
pub(super) fn transport_of(
    sdp: &Sdp,
    taken: &[MediaSection<'_>],
    role: DtlsRole,
    rtcp_mux: bool,
) -> Result<RemoteTransport, SdpError> {
    let sections = with_tagged(sdp, taken);
    let Some(&first) = taken.first() else { return Err(SdpError::whole(SdpErrorKind::NoMedia)) };
    let ice = RemoteIce {
        credentials: credentials_of(&sections)?
            .ok_or_else(|| first.blame(SdpErrorKind::NoIceCredentials))?,
        lite: sdp.ice_lite(),
        trickle: first.ice_option("trickle"),
        candidates: candidates_of(&sections, rtcp_mux),
        end_of_candidates: sections.iter().any(|section| section.end_of_candidates()),
    };
    let fingerprints = fingerprints_of(&sections)?;
    let fingerprints = fingerprints.ok_or_else(|| first.blame(SdpErrorKind::NoFingerprint))?;
    let security = RemoteSecurity::Dtls(RemoteDtls { fingerprints, role });
    Ok(RemoteTransport { line: first.index(), rtcp_mux, path: RemotePath::Ice(ice), security })
}

/// Whether RTP and RTCP can share a port (RFC 5761 §5.1.1); it is enough that one m-line of a bundle
/// says so.
pub(super) fn can_mux(taken: &[MediaSection<'_>]) -> bool {
    taken.iter().any(|section| section.has("rtcp-mux")) || must_mux(taken)
}

/// Whether the far side has no second port at all (RFC 8858 §3).
pub(super) fn must_mux(taken: &[MediaSection<'_>]) -> bool {
    taken.iter().any(|section| section.has("rtcp-mux-only"))
}

/// The m-lines in use and then the one that the BUNDLE group starts with.
fn with_tagged<'a>(sdp: &'a Sdp, taken: &[MediaSection<'a>]) -> Vec<MediaSection<'a>> {
    let tag = sdp.bundles().next().and_then(|mut mids| mids.next());
    let tagged = sdp.media().find(|section| {
        tag.is_some() && section.attribute("mid").map(|mid| mid.value.trim_end()) == tag
    });
    taken.iter().copied().chain(tagged).collect()
}

fn credentials_of(sections: &[MediaSection<'_>]) -> Result<Option<IceCredentials>, SdpError> {
    let found = sections.iter().find_map(|section| {
        Some((section, section.inherited("ice-ufrag")?, section.inherited("ice-pwd")?))
    });
    let Some((section, ufrag, password)) = found else { return Ok(None) };
    let blame = |at: Attribute<'_>| section.blame_line(SdpErrorKind::BadIceCredentials, at.line);
    if !IceCredentials::is_ufrag(ufrag.value.trim_end()) {
        return Err(blame(ufrag));
    }
    if !IceCredentials::is_password(password.value.trim_end()) {
        return Err(blame(password));
    }
    Ok(Some(IceCredentials::new(ufrag.value.trim_end(), password.value.trim_end())))
}

/// The strong fingerprints of the first m-line that has any, or of the session.
pub(super) fn fingerprints_of(
    sections: &[MediaSection<'_>],
) -> Result<Option<Vec<Fingerprint>>, SdpError> {
    for section in sections {
        let own: Vec<_> = section.attributes("fingerprint").collect();
        if !own.is_empty() {
            return strong(*section, &own).map(Some);
        }
    }
    let Some(first) = sections.first() else { return Ok(None) };
    let shared: Vec<_> = first.session_attributes("fingerprint").collect();
    if shared.is_empty() { Ok(None) } else { strong(*first, &shared).map(Some) }
}

/// Reads the fingerprints that name a hash that cannot be forged; the others do not count.
fn strong(section: MediaSection<'_>, all: &[Attribute<'_>]) -> Result<Vec<Fingerprint>, SdpError> {
    let mut fingerprints = Vec::new();
    let mut weak = None;
    for attribute in all {
        let (name, digest) = attribute.value.split_once(' ').unwrap_or((attribute.value, ""));
        let Some(hash) = HashFunction::parse(name) else {
            weak = weak.or(Some(attribute.line));
            continue;
        };
        let fingerprint = Fingerprint::parse(hash, digest.trim())
            .ok_or_else(|| section.blame_line(SdpErrorKind::BadFingerprint, attribute.line))?;
        if fingerprints.len() < FINGERPRINTS_MAX && !fingerprints.contains(&fingerprint) {
            fingerprints.push(fingerprint);
        }
    }
    match weak {
        Some(line) if fingerprints.is_empty() => {
            Err(section.blame_line(SdpErrorKind::WeakFingerprint, line))
        }
        _ => Ok(fingerprints),
    }
}

/// With rtcp-mux there is only component 1 (RFC 5761 §5.1.3).
fn candidates_of(sections: &[MediaSection<'_>], rtcp_mux: bool) -> Vec<Candidate> {
    let components: &[u16] = if rtcp_mux { &[RTP] } else { &[RTP, RTCP] };
    let mut candidates: Vec<Candidate> = Vec::new();
    for candidate in sections.iter().flat_map(|section| section.candidates()) {
        let is_wanted =
            components.contains(&candidate.component) && !candidates.contains(&candidate);
        let known = candidates.iter().filter(|known| known.component == candidate.component);
        if is_wanted && known.count() < CANDIDATES_MAX {
            candidates.push(candidate);
        }
    }
    // They stay as long as the call, and most have one.
    candidates.shrink_to_fit();
    candidates
}
