//! The description that a party receives: the other side's, with what the node has settled on with it.

use std::net::{IpAddr, SocketAddr};

use super::line::{Line, LineKeys};
use super::party::{Party, Told};
use super::seat::Seat;
use super::settle::Move;
use super::{Facts, seat};
use crate::ice::{Over, host_priority};
use crate::ng::{Flag, Flags, Ice as IceFlag, NgError};
use crate::sdp::{
    self, Candidate, CandidateKind, CodecRules, Crypto, Dtls, Fingerprint, HashFunction, Ice,
    IceCredentials, Keys, MediaRewrite, OriginRewrite, OwnIce, Proxied, Rewrite, Rtcp,
    RtcpAttribute, Sdp, Security, SessionRewrite, Setup,
};

/// Rewrites the writer's description for its reader. Without lines of the writer's it is the node itself
/// that writes.
///
/// # Errors
/// [`NgError::NotRewritten`] if it has no such form.
pub(super) fn write(
    sdp: &Sdp,
    reader: &mut Party,
    writer: &[Line],
    flags: &Flags,
    step: Move,
    facts: &Facts,
) -> Result<String, NgError> {
    let home = home(reader, flags);
    let lines = reader.places().zip(sdp.media());
    let media = lines.enumerate().map(|(place, ((line, _), section))| {
        let seat = reader.seat_of(line).map(|(seat, _)| seat);
        let kind = section.line().kind.as_str();
        if flags.media_remove.iter().any(|removed| removed == kind) {
            return MediaRewrite::Removed;
        }
        if kind == "message" {
            return MediaRewrite::Untouched;
        }
        let from = writer.get(place);
        let mut proxied = proxied(line, seat, from, flags, step, facts);
        if let Some(home) = home.filter(|_| seat.is_none()) {
            proxied.address = SocketAddr::new(home, 0);
        }
        MediaRewrite::Proxied(Box::new(proxied))
    });
    let media: Vec<_> = media.collect();
    if step == Move::Offer {
        remember_offered(sdp, reader, &media);
    }
    let mut rewrite = Rewrite { session: session(sdp, reader, flags, facts), media };
    let text = |rewrite: &Rewrite| sdp::rewrite(sdp, rewrite).map_err(|_| NgError::NotRewritten);
    if !flags.has(Flag::ReplaceSdpVersion) && !flags.has(Flag::ForceSdpVersion) {
        return text(&rewrite);
    }
    let told = &mut reader.text;
    rewrite.session.origin.version = told.version;
    let mut rewritten = text(&rewrite)?;
    let has_changed = told.last.as_ref().is_some_and(|last| *last != rewritten);
    if has_changed || flags.has(Flag::ForceSdpVersion) {
        told.version = told.version.map(|version| version.wrapping_add(1));
        rewrite.session.origin.version = told.version;
        rewritten = text(&rewrite)?;
    }
    told.last = Some(rewritten.clone());
    Ok(rewritten)
}

/// The description that the node answers a publication with, before it is rewritten: its own, with nothing of
/// the publisher's but m-lines and codecs.
pub(super) fn answer_of_own(sdp: &Sdp, reader: &Party, flags: &Flags, id: u64) -> Option<Sdp> {
    let home = home(reader, flags)?;
    let home = format!("IN {} {home}", if home.is_ipv4() { "IP4" } else { "IP6" });
    let mut text = format!("v=0\r\no=- {id} {id} {home}\r\ns={SOFTWARE}\r\nt=0 0\r\n");
    for section in sdp.media() {
        let line = section.line();
        let formats = line.formats.join(" ");
        text += &format!("m={} {} {} {formats}\r\n", line.kind, line.port, line.profile);
        text += &format!("c={home}\r\n");
        for name in ["rtpmap", "fmtp", "rtcp-fb"] {
            for attribute in section.attributes(name) {
                text += &format!("a={name}:{}\r\n", attribute.value);
            }
        }
    }
    Sdp::parse(&text).ok()
}

/// Keeps what the reader may choose its codecs from.
fn remember_offered(sdp: &Sdp, reader: &mut Party, media: &[MediaRewrite]) {
    for ((line, section), media) in reader.lines.iter_mut().zip(sdp.media()).zip(media) {
        line.offered = match media {
            MediaRewrite::Proxied(proxied) => proxied.codecs.select(section),
            MediaRewrite::Untouched | MediaRewrite::Removed => Vec::new(),
        };
    }
}

/// What stands above the m-lines. Names that the reader was told first are remembered.
fn session(sdp: &Sdp, reader: &mut Party, flags: &Flags, facts: &Facts) -> SessionRewrite {
    let first = reader.lines.first();
    let is_lite = first.is_some_and(|line| line.ice.used && line.ice.is_lite);
    let (address, bundle) = (home(reader, flags), reader.bundle());
    let Told { username, session_name, version, .. } = &mut reader.text;
    let origin = sdp.origin();
    let mut rewrite = SessionRewrite {
        origin: OriginRewrite::default(),
        name: None,
        connection: flags.has(Flag::ReplaceSessionConnection),
        loop_protection: flags.has(Flag::LoopProtect).then(|| facts.instance.clone()),
        ice_lite: is_lite,
        bundle,
    };
    match username {
        Some(first) if flags.has(Flag::ReplaceUsername) => {
            rewrite.origin.username = Some(first.clone());
        }
        Some(_) => {}
        None => *username = origin.map(|origin| origin.username.to_owned()),
    }
    match session_name {
        Some(first) if flags.has(Flag::ReplaceSessionName) => rewrite.name = Some(first.clone()),
        Some(_) => {}
        None => *session_name = sdp.session_name().map(Into::into),
    }
    if version.is_none() {
        let said = origin.and_then(|origin| origin.version.parse::<u64>().ok());
        let usable = said.filter(|version| *version != 0 && *version != u64::MAX);
        *version = usable.or(Some(facts.draw()));
    }
    let replaces = flags.has(Flag::ReplaceOrigin) || flags.has(Flag::ReplaceOriginFull);
    if replaces && flags.ice != Some(IceFlag::ForceRelay) {
        rewrite.origin.address = address;
    }
    rewrite
}

/// The address that counts where an m-line has none of its own: the first one's that has.
fn home(reader: &Party, flags: &Flags) -> Option<IpAddr> {
    let seat = reader.seats.iter().find_map(|seats| seats.current.as_ref())?;
    Some(own_address(seat, flags).ip())
}

/// Where the reader is to send an m-line's media.
fn own_address(seat: &Seat, flags: &Flags) -> SocketAddr {
    let own = seat.parts[0].announced();
    SocketAddr::new(flags.media_address.unwrap_or(own.ip()), own.port())
}

fn proxied(
    line: &Line,
    seat: Option<&Seat>,
    writer: Option<&Line>,
    flags: &Flags,
    step: Move,
    facts: &Facts,
) -> Proxied {
    let address = seat.map(|seat| own_address(seat, flags));
    let mut proxied = Proxied::at(address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
    if line.is_rejected {
        proxied.address.set_port(0);
    }
    let is_nowhere = writer.is_some_and(|writer| writer.is_nowhere);
    proxied.hold = is_nowhere && !line.ice.used && !flags.has(Flag::ReplaceZeroAddress);
    proxied.rtcp = seat.and_then(|seat| rtcp(line, seat, flags, step));
    proxied.profile = line.protocol.as_ref().and_then(super::described::Protocol::profile);
    proxied.codecs = CodecRules {
        strip: flags.codecs.strip.clone(),
        offer: flags.codecs.offer.clone(),
        except: flags.codecs.except.clone(),
        offered: writer.filter(|_| step == Move::Answer).map(|writer| writer.offered.clone()),
        single: step == Move::Answer && flags.has(Flag::SingleCodec),
    };
    proxied.mid.clone_from(&line.mid);
    let keeps_direction = flags.has(Flag::OriginalSendrecv);
    proxied.direction = (!keeps_direction).then(|| line.direction());
    proxied.ptime = line.ptime.filter(|_| line.is_rtp());
    proxied.strip_extmap = flags.has(Flag::StripExtmap);
    if line.ice.passes {
        proxied.security = Security::Kept;
    } else {
        proxied.security = Security::Own(keys(&line.keys, flags, facts));
    }
    proxied.ice = seat.map_or(Ice::Removed, |seat| ice(line, seat, flags, step));
    proxied
}

/// Where RTCP comes to: RTP's port once mux is agreed on, else its own beside the offer of mux.
fn rtcp(line: &Line, seat: &Seat, flags: &Flags, step: Move) -> Option<Rtcp> {
    if !line.is_rtp() {
        return None;
    }
    let attribute = match () {
        () if flags.has(Flag::NoRtcpAttribute) => RtcpAttribute::Absent,
        () if flags.has(Flag::FullRtcpAttribute) => RtcpAttribute::Full,
        () => RtcpAttribute::Port,
    };
    let port = |index: u8| seat.parts[usize::from(index)].announced().port();
    if is_muxed_only(line, step) {
        return Some(Rtcp { port: port(seat::MEDIA), mux: true, attribute });
    }
    let rtcp = Rtcp { port: port(seat::REPORTS), mux: line.mux, attribute };
    Some(rtcp).filter(|_| flags.ice != Some(IceFlag::ForceRelay))
}

/// Whether RTCP is told to come to the port of RTP and nowhere else.
fn is_muxed_only(line: &Line, step: Move) -> bool {
    line.mux && (step == Move::Answer || line.mux_is_required)
}

fn keys(keys: &LineKeys, flags: &Flags, facts: &Facts) -> Keys {
    let setup = match (keys.may_open, keys.may_be_opened) {
        (true, true) => Setup::ActPass,
        (true, false) => Setup::Active,
        (false, true) => Setup::Passive,
        (false, false) => Setup::HoldConn,
    };
    let fingerprint = facts.fingerprint(keys.hash.unwrap_or(HashFunction::Sha256));
    let dtls =
        |fingerprint: &Fingerprint| Dtls { setup, fingerprint: fingerprint.clone(), tls_id: None };
    let lifetime = flags.has(Flag::SdesLifetime).then_some(LIFETIME);
    let told = |crypto: &Crypto| Crypto { lifetime, ..crypto.clone() };
    Keys {
        crypto: if keys.sdes { keys.own.iter().map(told).collect() } else { Vec::new() },
        padded: flags.has(Flag::SdesPad),
        dtls: keys.dtls.then(|| dtls(fingerprint)),
    }
}

fn ice(line: &Line, seat: &Seat, flags: &Flags, step: Move) -> Ice {
    if !line.ice.used {
        return Ice::Removed;
    }
    let has_rtcp = line.is_rtp() && !is_muxed_only(line, step);
    let relays = flags.ice == Some(IceFlag::ForceRelay);
    // Those of the port that is shared stand where that is (RFC 8843 §10).
    let own_port = line.shares.is_none();
    let mut candidates = if own_port { candidates(seat, has_rtcp, flags) } else { Vec::new() };
    let credentials = seat
        .credentials()
        .map(|own| IceCredentials { ufrag: own.ufrag.clone(), password: own.password.clone() });
    let own = |credentials, candidates| OwnIce {
        credentials,
        trickle: line.ice.trickles,
        candidates,
        remote: remote_candidates(line, seat, step),
    };
    match (line.ice.passes, relays) {
        (_, true) => {
            for candidate in &mut candidates {
                candidate.kind = CandidateKind::Relayed;
                candidate.related = Some(candidate.address);
                candidate.priority &= 0x00ff_ffff;
            }
            Ice::Relayed(own(credentials, candidates))
        }
        (true, false) => {
            for candidate in &mut candidates {
                candidate.priority = OPTIONAL_PRIORITY - u32::from(candidate.component);
            }
            Ice::Added(own(None, candidates))
        }
        (false, false) => Ice::Replaced(own(credentials, candidates)),
    }
}

/// The node's candidates: those of RTP at each address, then those of RTCP if it has ports of its own.
fn candidates(seat: &Seat, has_rtcp: bool, flags: &Flags) -> Vec<Candidate> {
    let parts = seat.parts.iter().zip([1u8, 2]);
    let parts = parts.filter(|(_, component)| *component == 1 || has_rtcp);
    let each = parts.flat_map(|(part, component)| {
        (0u32..).zip(&part.spots).map(move |(place, spot)| {
            let address = flags.media_address.unwrap_or(spot.announced.ip());
            let at = SocketAddr::new(address, spot.announced.port());
            let priority = host_priority(Over::Udp, component, place);
            Candidate::host(foundation(spot.interface), component, priority, at)
        })
    });
    each.collect()
}

/// Where media flows to already, as a controlling offerer has to say (RFC 8839 §5.2).
fn remote_candidates(line: &Line, seat: &Seat, step: Move) -> Vec<(u16, SocketAddr)> {
    if step == Move::Answer || !line.ice.controls || line.ice.passes {
        return Vec::new();
    }
    let nominated = seat.parts.iter().zip([1u16, 2]).filter(|(part, _)| part.ice.is_some());
    nominated.filter_map(|(part, component)| Some((component, part.remote?))).collect()
}

/// What candidates of one interface have in common (RFC 8445 §5.1.1.3), 16 characters.
fn foundation(interface: usize) -> String {
    format!("causeway{interface:08}")
}

/// What the node calls its own sessions.
const SOFTWARE: &str = "causeway";
/// Packets that a key is said to be good for, where the proxy wants that told: what SRTCP allows
/// (RFC 3711 §9.2).
const LIFETIME: u64 = 1 << 31;
/// The priority of a candidate beside the parties' own: below what they have, above nothing.
const OPTIONAL_PRIORITY: u32 = 2_097_152_256;
