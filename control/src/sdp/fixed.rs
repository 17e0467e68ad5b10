//! Answers to descriptions without ICE, as SIP phones, gateways and media servers write them: each
//! m-line has ports of its own, and names the address that media goes to (RFC 3264 §5.1 and §6.1).

use std::net::SocketAddr;

use super::answer::{Taken, check_continuity, negotiate_all, sections_of, taken};
use super::error::{SdpError, SdpErrorKind};
use super::local::Local;
use super::model::{MediaSection, Sdp};
use super::negotiated::{
    Negotiated, Profile, RemoteAddresses, RemotePath, RemoteSecurity, RemoteTransport,
};
use super::{PORTS_MAX, write};

/// How many pairs of ports the answer to an offer needs: one for each m-line that is taken; none if
/// any of them speaks ICE.
///
/// # Errors
/// When the offer cannot be taken.
pub fn ports_wanted(offer: &Sdp) -> Result<usize, SdpError> {
    let taken = taken(offer)?;
    let has_ice = taken.iter().any(|taken| taken.section.inherited("ice-ufrag").is_some());
    let is_dtls =
        |taken: &Taken<'_>| matches!(taken.profile, Profile::DtlsSavp | Profile::DtlsSavpf);
    if has_ice || taken.iter().any(is_dtls) {
        return Ok(0);
    }
    match taken.get(PORTS_MAX) {
        Some(surplus) => Err(surplus.section.blame(SdpErrorKind::TooManyPorts)),
        None => Ok(taken.len()),
    }
}

/// Answers `offer` with the ports of `local`, which are as many as [`ports_wanted`] said, or those of
/// the leg's first description.
pub(super) fn answer(
    offer: &Sdp,
    taken: &[Taken<'_>],
    local: &Local,
    limits: &[&Negotiated],
    previous: Option<&Negotiated>,
) -> Result<(String, Negotiated), SdpError> {
    if let Some(previous) = previous {
        check_continuity(offer, previous)?;
    }
    let mut media = negotiate_all(offer, taken, local, limits)?;
    let mut transports: Vec<RemoteTransport> =
        previous.map_or_else(Vec::new, |previous| previous.transports.clone());
    for (media, taken) in media.iter_mut().zip(taken) {
        // An m-line keeps its transport, in use or not; a new one would take the next.
        let held = transports.iter().position(|held| held.line == media.index);
        media.transport = held.unwrap_or(transports.len());
        let far = far_side(taken)?;
        if matches!(far.path, RemotePath::Fixed(RemoteAddresses { rtp: None, .. })) {
            media.direction = media.direction.without_sending();
        }
        match transports.get_mut(media.transport) {
            Some(held) => *held = far,
            None => transports.push(far),
        }
    }
    let mut lacking = media.iter().filter(|media| media.transport >= local.ports.len());
    if let Some(section) = lacking.next().and_then(|media| offer.media_at(media.index)) {
        return Err(section.blame(SdpErrorKind::PortsFixed));
    }
    let version = previous.map_or(1, |previous| previous.version + 1);
    let lines = offer.media_count();
    let mut negotiated = Negotiated { version, lines, bundle: false, transports, media };
    negotiated.take_seats(previous);
    let text = write::fixed(local, &negotiated, &sections_of(offer, &negotiated));
    Ok((text, negotiated))
}

fn far_side(taken: &Taken<'_>) -> Result<RemoteTransport, SdpError> {
    let section = taken.section;
    let security = match taken.profile {
        Profile::Avp | Profile::Avpf => RemoteSecurity::Plain,
        Profile::Savp | Profile::Savpf | Profile::DtlsSavp | Profile::DtlsSavpf => {
            return Err(section.blame(SdpErrorKind::UnsupportedProfile));
        }
    };
    let rtcp_mux = section.has("rtcp-mux") || section.has("rtcp-mux-only");
    let path = RemotePath::Fixed(addresses_of(section, rtcp_mux)?);
    Ok(RemoteTransport { line: section.index(), rtcp_mux, path, security })
}

/// Where an m-line wants its media.
fn addresses_of(section: MediaSection<'_>, rtcp_mux: bool) -> Result<RemoteAddresses, SdpError> {
    let named = section.rtp_address();
    let rtp = named.ok_or_else(|| section.blame(SdpErrorKind::NoAddress))?;
    let usable = |address: &SocketAddr| {
        let ip = address.ip();
        address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
    };
    let rtcp = if rtcp_mux { Some(rtp) } else { section.rtcp_address() };
    Ok(RemoteAddresses { rtp: Some(rtp).filter(usable), rtcp: rtcp.filter(usable) })
}
