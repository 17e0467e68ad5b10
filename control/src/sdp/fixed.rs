//! Answers to descriptions without ICE, as SIP phones, gateways and media servers write them: each
//! m-line has ports of its own, and names the address that media goes to (RFC 3264 §5.1 and §6.1). It
//! is plain RTP, SRTP under keys that a DTLS handshake on the same ports yields (RFC 5764), or SRTP under
//! keys that both descriptions carry (RFC 4568): the first that the node can use. A far side that repeats its
//! key keeps the node's; another one gets another, since no two packets may share a key and an index.

use std::net::SocketAddr;
use std::{mem, slice};

use super::PORTS_MAX;
use super::answer::{Taken, negotiate_all, role, sections_of, taken};
use super::crypto::Crypto;
use super::error::{SdpError, SdpErrorKind};
use super::local::{Local, LocalPorts};
use super::model::{MediaSection, Sdp};
use super::negotiated::{
    Negotiated, NegotiatedMedia, Profile, RemoteAddresses, RemoteDtls, RemotePath, RemoteSecurity,
    RemoteTransport, Sdes,
};
use super::transport::fingerprints_of;
use super::value::DtlsRole;
use super::write::{self, Keys, Place};

/// How many pairs of ports the answer to an offer needs: one for each m-line that is taken; none if
/// any of them speaks ICE.
///
/// # Errors
/// When the offer cannot be taken.
pub fn ports_wanted(offer: &Sdp) -> Result<usize, SdpError> {
    let taken = taken(offer)?;
    // Half of what ICE needs is no description without it.
    let speaks_ice = |taken: &Taken<'_>| {
        ["ice-ufrag", "ice-pwd", "candidate"]
            .iter()
            .any(|name| taken.section.inherited(name).is_some())
    };
    if taken.iter().any(speaks_ice) {
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
    let mut media = negotiate_all(offer, taken, local, limits)?;
    let mut transports: Vec<RemoteTransport> =
        previous.map_or_else(Vec::new, |previous| previous.transports.clone());
    for (media, taken) in media.iter_mut().zip(taken) {
        // An m-line keeps its transport, in use or not; a new one would take the next.
        let held = transports.iter().position(|held| held.line == media.index);
        media.transport = held.unwrap_or(transports.len());
        let ports = local.ports.get(media.transport);
        let ports = ports.ok_or_else(|| taken.section.blame(SdpErrorKind::PortsFixed))?;
        let far = far_side(taken, local.role, ports, transports.get(media.transport))?;
        if !has_address(&far) {
            media.direction = media.direction.without_sending();
        }
        match transports.get_mut(media.transport) {
            Some(held) => *held = far,
            None => transports.push(far),
        }
    }
    let version = previous.map_or(1, |previous| previous.version + 1);
    let lines = offer.media_count();
    let mut negotiated = Negotiated { version, lines, bundle: false, transports, media };
    negotiated.take_seats(previous);
    let sections = sections_of(offer, &negotiated);
    let text = write::fixed(local, version, &sections, |media| place_of(local, &negotiated, media));
    Ok((text, negotiated))
}

fn place_of<'a>(
    local: &Local,
    negotiated: &'a Negotiated,
    media: &NegotiatedMedia,
) -> Option<Place<'a>> {
    let ports = local.ports.get(media.transport)?;
    let far = negotiated.transports.get(media.transport)?;
    let keys = match &far.security {
        RemoteSecurity::Plain | RemoteSecurity::Unkeyed => Keys::None,
        RemoteSecurity::Sdes(keys) => Keys::Sdes(slice::from_ref(&keys.own)),
        RemoteSecurity::Dtls(dtls) => Keys::Dtls(dtls.role.into()),
    };
    let rtcp = if far.rtcp_mux { ports.rtp } else { ports.rtcp };
    Some(Place { rtp: ports.rtp, rtcp, rtcp_mux: far.rtcp_mux, keys })
}

/// Whether a far side without ICE has said where its media goes.
pub(super) fn has_address(far: &RemoteTransport) -> bool {
    matches!(far.path, RemotePath::Fixed(RemoteAddresses { rtp: Some(_), .. }))
}

/// The far side of an m-line. Whether RTCP has a port of its own, and whether there are keys, stays as
/// it was `before`.
fn far_side(
    taken: &Taken<'_>,
    free: DtlsRole,
    ports: &LocalPorts,
    before: Option<&RemoteTransport>,
) -> Result<RemoteTransport, SdpError> {
    let section = taken.section;
    let held = before.map(|before| &before.security);
    let security = match taken.profile {
        Profile::Avp | Profile::Avpf => RemoteSecurity::Plain,
        Profile::Savp | Profile::Savpf => {
            RemoteSecurity::Sdes(Box::new(keys_of(section, ports, held)?))
        }
        Profile::DtlsSavp | Profile::DtlsSavpf => {
            RemoteSecurity::Dtls(certificate_of(taken, free, held)?)
        }
    };
    if held.is_some_and(|held| !is_alike(held, &security)) {
        return Err(section.blame(SdpErrorKind::SecurityChanged));
    }
    let can_mux = section.has("rtcp-mux") || section.has("rtcp-mux-only");
    let rtcp_mux = before.map_or(can_mux, |before| before.rtcp_mux);
    if rtcp_mux && !can_mux || !rtcp_mux && section.has("rtcp-mux-only") {
        return Err(section.blame(SdpErrorKind::RtcpMuxChanged));
    }
    let path = RemotePath::Fixed(addresses_of(section, rtcp_mux)?);
    Ok(RemoteTransport { line: section.index(), rtcp_mux, path, security })
}

/// Whether an m-line that was protected in one way can go on in another.
fn is_alike(before: &RemoteSecurity, now: &RemoteSecurity) -> bool {
    match (before, now) {
        (RemoteSecurity::Unkeyed, RemoteSecurity::Plain) => false,
        (RemoteSecurity::Unkeyed, _) => true,
        _ => mem::discriminant(before) == mem::discriminant(now),
    }
}

/// The far side's certificate, which stays as it was, and who begins the handshake; the node is `free`
/// where it may choose.
fn certificate_of(
    taken: &Taken<'_>,
    free: DtlsRole,
    before: Option<&RemoteSecurity>,
) -> Result<RemoteDtls, SdpError> {
    let section = taken.section;
    let fingerprints = fingerprints_of(slice::from_ref(&section))?;
    let fingerprints = fingerprints.ok_or_else(|| section.blame(SdpErrorKind::NoFingerprint))?;
    match before.and_then(RemoteSecurity::dtls) {
        Some(held) if held.fingerprints == fingerprints => Ok(held.clone()),
        Some(_) => Err(section.blame(SdpErrorKind::CertificateChanged)),
        None => Ok(RemoteDtls { fingerprints, role: role(slice::from_ref(taken), free)? }),
    }
}

/// The first of an m-line's keys that can be used, and the node's own beside it (RFC 4568 §5.1.2).
fn keys_of(
    section: MediaSection<'_>,
    ports: &LocalPorts,
    before: Option<&RemoteSecurity>,
) -> Result<Sdes, SdpError> {
    let far = section.cryptos().filter_map(Result::ok).find(|crypto| crypto.is_usable(false));
    let far = far.ok_or_else(|| section.blame(SdpErrorKind::NoCrypto))?;
    if let Some(RemoteSecurity::Sdes(held)) = before
        && held.far == far
    {
        return Ok(Sdes::clone(held));
    }
    let cut = Crypto::cut(far.tag, far.suite, &ports.secret);
    let own = Crypto { parameters: far.parameters, ..cut };
    Ok(Sdes { far, own })
}

/// Where an m-line wants its media.
pub(super) fn addresses_of(
    section: MediaSection<'_>,
    rtcp_mux: bool,
) -> Result<RemoteAddresses, SdpError> {
    let named = section.rtp_address();
    let rtp = named.ok_or_else(|| section.blame(SdpErrorKind::NoConnection))?;
    let usable = |address: &SocketAddr| {
        let ip = address.ip();
        address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
    };
    let rtcp = if rtcp_mux { Some(rtp) } else { section.rtcp_address() };
    Ok(RemoteAddresses { rtp: Some(rtp).filter(usable), rtcp: rtcp.filter(usable) })
}
