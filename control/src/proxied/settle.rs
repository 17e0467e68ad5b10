//! What an m-line's two sides settle on when one of them offers or answers: profile, port of RTCP,
//! keys, ICE. The rules, and their order, are those of rtpengine 10.5.3, whose place the node takes.
//!
//! The *writer* has sent the description; the *reader* is to receive it rewritten. What is settled is
//! what the node says to each of them.

use super::described::{Described, Protocol};
use super::line::{Echo, Line};
use super::sdes;
use crate::ng::{Flag, Flags, Ice, IceLite, MediaEcho, TransportProtocol};
use crate::sdp::{DtlsRole, HashFunction, Profile, Setup};

/// What a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// An offer.
    Offer,
    /// The answer to one.
    Answer,
}

/// Settles an m-line.
pub(super) fn settle(
    writer: &mut Line,
    reader: &mut Line,
    said: &Described,
    flags: &Flags,
    step: Move,
) {
    if flags.has(Flag::Reset) && step == Move::Offer {
        (writer.is_described, reader.is_described) = (false, false);
    }
    if flags.has(Flag::GenerateRtcp) {
        (writer.reports, reader.reports) = (true, true);
    } else if flags.has(Flag::GenerateRtcpOff) {
        (writer.reports, reader.reports) = (false, false);
    }
    settle_echo(writer, reader, flags);
    writer.flags = flags.set;
    let before = writer.far.replace(said.clone());
    settle_protocol(writer, reader, said, flags, step);
    settle_mid(writer, reader, said, flags, step);
    settle_ptime(writer, reader, said, flags, step);
    (reader.sends, reader.receives) = (said.sends, said.receives);
    (writer.receives, writer.sends) = (said.sends, said.receives);
    writer.is_rejected = said.is_rejected;
    reader.is_rejected = said.is_rejected;
    if !said.is_rejected {
        take_keys(writer, said, flags, step);
        writer.mux = said.rtcp_mux;
        settle_mux(writer, reader, flags, step);
        offer_keys(reader, writer, flags, step);
    }
    settle_ice(writer, reader, said, before.as_ref(), flags, step);
    writer.is_described = true;
    writer.is_nowhere = said.is_nowhere();
    if writer.is_nowhere {
        reader.receives = false;
        writer.sends = false;
    }
}

/// Who hears himself, or nobody; what was said before stays where nothing is.
fn settle_echo(writer: &mut Line, reader: &mut Line, flags: &Flags) {
    (reader.echo, writer.echo) = match flags.media_echo {
        Some(MediaEcho::Forward) => (Echo::Own, Echo::Nothing),
        Some(MediaEcho::Backward) => (Echo::Nothing, Echo::Own),
        Some(MediaEcho::Both) => (Echo::Own, Echo::Own),
        Some(MediaEcho::Blackhole) => (Echo::Nothing, Echo::Nothing),
        None => return,
    };
}

/// A side that changes its profile changes the other side's with it, but for answers, which are passed
/// on in the profile that was offered.
fn settle_protocol(
    writer: &mut Line,
    reader: &mut Line,
    said: &Described,
    flags: &Flags,
    step: Move,
) {
    if writer.kind != said.kind {
        writer.kind.clone_from(&said.kind);
        reader.kind.clone_from(&said.kind);
    }
    if writer.protocol.as_ref() != Some(&said.protocol) {
        writer.protocol = Some(said.protocol.clone());
        let rejects = matches!(reader.protocol, Some(Protocol::Opportunistic(_)))
            && matches!(said.protocol, Protocol::Rtp(profile) if !profile.is_secure())
            && !flags.has(Flag::OsrtpAcceptRfc);
        if step == Move::Offer || rejects || flags.transport == Some(TransportProtocol::Accept) {
            reader.protocol = None;
        }
    }
    if reader.protocol.is_none() {
        reader.protocol.clone_from(&writer.protocol);
    }
    if let Some(profile) = flags.transport.and_then(profile_of).filter(|_| writer.is_rtp()) {
        reader.protocol = Some(Protocol::Rtp(profile));
    }
    if let Some(Protocol::Rtp(profile)) = reader.protocol
        && step == Move::Offer
        && flags.has(Flag::OsrtpOffer)
        && !profile.is_secure()
    {
        reader.protocol = Some(Protocol::Opportunistic(profile));
    }
}

fn profile_of(transport: TransportProtocol) -> Option<Profile> {
    Some(match transport {
        TransportProtocol::Accept => return None,
        TransportProtocol::RtpAvp => Profile::Avp,
        TransportProtocol::RtpAvpf => Profile::Avpf,
        TransportProtocol::RtpSavp => Profile::Savp,
        TransportProtocol::RtpSavpf => Profile::Savpf,
        TransportProtocol::UdpTlsRtpSavp => Profile::DtlsSavp,
        TransportProtocol::UdpTlsRtpSavpf => Profile::DtlsSavpf,
    })
}

/// A MID that a side has once is kept for it (RFC 5888 §9.1); the writer may change its own.
fn settle_mid(writer: &mut Line, reader: &mut Line, said: &Described, flags: &Flags, step: Move) {
    if step == Move::Answer {
        return;
    }
    if said.mid.is_some() {
        writer.mid.clone_from(&said.mid);
    }
    if reader.mid.is_none() {
        let made = || flags.has(Flag::GenerateMid).then(|| writer.index.to_string());
        reader.mid = writer.mid.clone().or_else(made);
    }
}

/// What the proxy says of packets' lengths with an offer counts from then on, in either direction.
fn settle_ptime(writer: &mut Line, reader: &mut Line, said: &Described, flags: &Flags, step: Move) {
    let ptime = said.ptime.filter(|ptime| *ptime > 0);
    for line in [&mut *writer, &mut *reader] {
        line.ptime = if line.ptime_is_fixed { line.ptime } else { ptime.or(line.ptime) };
    }
    if step == Move::Answer {
        return;
    }
    for (line, asked) in [(&mut *reader, flags.ptime), (&mut *writer, flags.ptime_reverse)] {
        line.ptime = asked.or(line.ptime);
    }
    let is_fixed = flags.ptime.or(flags.ptime_reverse).is_some();
    writer.ptime_is_fixed |= is_fixed;
    reader.ptime_is_fixed |= is_fixed;
}

/// The answer follows the answerer unless the offer decided; the offer follows the offerer unless it is
/// told otherwise, or the reader muxes already: its other port may be closed.
fn settle_mux(writer: &mut Line, reader: &mut Line, flags: &Flags, step: Move) {
    if step == Move::Answer {
        if !writer.mux_is_own {
            reader.mux = writer.mux;
        }
        return;
    }
    let is_new = !reader.is_described && !writer.is_described;
    reader.mux_is_required = reader.mux || flags.has(Flag::RtcpMuxRequire);
    reader.mux |= writer.mux;
    if flags.has(Flag::RtcpMuxOffer) || flags.has(Flag::RtcpMuxRequire) {
        reader.mux = true;
    } else if flags.has(Flag::RtcpMuxDemux) {
        reader.mux = false;
    }
    let (accepts, rejects) = (flags.has(Flag::RtcpMuxAccept), flags.has(Flag::RtcpMuxReject));
    reader.mux_is_own = match (writer.mux, reader.mux) {
        (true, true) => accepts || rejects,
        (true, false) | (false, _) => true,
    };
    if is_new {
        // Who is sure to mux needs no other port.
        reader.has_one_port = reader.mux && reader.mux_is_required;
        writer.has_one_port = writer.mux && (accepts || flags.has(Flag::RtcpMuxDemux));
    }
    writer.mux &= !(rejects && (!reader.mux || !accepts));
}

/// What the writer's own keys are, and who may open DTLS with it.
fn take_keys(writer: &mut Line, said: &Described, flags: &Flags, step: Move) {
    let keys = &mut writer.keys;
    if !said.cryptos.is_empty() {
        keys.sdes = true;
    }
    sdes::take(keys, &said.cryptos, flags, step);
    let was_opened = keys.may_be_opened && !keys.may_open;
    let setup = said.setup;
    keys.may_open = matches!(setup, Some(Setup::ActPass | Setup::Passive));
    keys.may_be_opened = matches!(setup, Some(Setup::ActPass | Setup::Active));
    // Who was opened before stays so, since actpass is always offered (RFC 8842 §5.5).
    if step == Move::Offer && keys.may_open && keys.may_be_opened && was_opened {
        keys.may_open = false;
    }
    if flags.dtls_reverse == Some(DtlsRole::Passive) && keys.may_be_opened {
        keys.may_open = false;
    }
    keys.fingerprint.clone_from(&said.fingerprint);
    keys.dtls = (keys.may_open || keys.may_be_opened) && keys.fingerprint.is_some();
    if step == Move::Offer && flags.has(Flag::SdesPrefer) && !keys.theirs.is_empty() {
        (keys.dtls, keys.fingerprint) = (false, None);
    }
    keys.settled = step == Move::Answer;
}

/// The keys that the reader is told: everything it may choose from in an offer, one in an answer.
fn offer_keys(reader: &mut Line, writer: &mut Line, flags: &Flags, step: Move) {
    let is_secure = reader.is_secure();
    let keys = &mut reader.keys;
    if !is_secure {
        keys.own.clear();
        (keys.dtls, keys.sdes, keys.may_open, keys.may_be_opened) = (false, false, false, false);
        keys.settled = step == Move::Answer;
        return;
    }
    match step {
        Move::Offer => {
            (keys.may_open, keys.may_be_opened) = (true, true);
            keys.settled = false;
            let is_new = !keys.dtls && !keys.sdes;
            if is_new {
                keys.dtls = !flags.dtls_off;
                keys.sdes = !flags.has(Flag::SdesOff);
            }
            if keys.sdes {
                keys.own = sdes::offer(&writer.keys.theirs, std::mem::take(&mut keys.own), flags);
            }
            if keys.dtls && keys.hash.is_none() {
                keys.hash = flags.dtls_fingerprint.as_deref().and_then(HashFunction::parse_any);
            }
        }
        Move::Answer => {
            if flags.dtls_role == Some(DtlsRole::Passive) && keys.may_be_opened {
                keys.may_open = false;
            }
            if keys.may_open {
                keys.may_be_opened = false;
            }
            if keys.dtls && keys.sdes && flags.dtls_off {
                (keys.dtls, keys.fingerprint) = (false, None);
            }
            if keys.dtls {
                keys.sdes = false;
            } else {
                sdes::choose(keys, &writer.keys.theirs, flags);
            }
            keys.settled = true;
        }
    }
    if keys.dtls {
        // How the node has named itself once, it goes on to.
        let named = keys.fingerprint.as_ref().map(|fingerprint| fingerprint.hash);
        keys.hash = keys.hash.or(named).or(Some(HashFunction::Sha256));
    }
}

/// Whether each side has ICE, and what the node is in it.
fn settle_ice(
    writer: &mut Line,
    reader: &mut Line,
    said: &Described,
    before: Option<&Described>,
    flags: &Flags,
    step: Move,
) {
    if !said.is_rejected {
        writer.ice.used = said.ice.is_some();
        writer.ice.trickles = said.ice.as_ref().is_some_and(|ice| ice.trickles);
    }
    let is_new = !reader.is_described;
    if is_new {
        reader.ice.used = writer.ice.used;
    }
    match flags.ice {
        Some(Ice::Remove) => reader.ice.used = false,
        Some(Ice::Default) | None => {}
        Some(Ice::Force | Ice::Optional | Ice::ForceRelay) => reader.ice.used = true,
    }
    if flags.has(Flag::RejectIce) {
        writer.ice.used = false;
    }
    if let Some(passes) = flags.passthrough {
        (writer.ice.passes, reader.ice.passes) = (passes, passes);
        return;
    }
    let is_forced = matches!(flags.ice, Some(Ice::Force | Ice::Default) | None);
    if !is_forced && writer.ice.used && reader.ice.used {
        (writer.ice.passes, reader.ice.passes) = (true, true);
        return;
    }
    // ICE that the answerer does not have cannot be kept up by a node that was one candidate of many.
    if !is_forced && step == Move::Answer && !writer.ice.used && !reader.ice.had_agent {
        reader.ice.used = false;
        return;
    }
    reader.ice.had_agent |= reader.ice.used;
    writer.ice.had_agent |= writer.ice.used;
    if step == Move::Offer {
        if let Some(lite) = flags.ice_lite {
            reader.ice.is_lite = matches!(lite, IceLite::Forward | IceLite::Both);
            writer.ice.is_lite = matches!(lite, IceLite::Backward | IceLite::Both);
        }
        reader.ice.trickles |= flags.has(Flag::TrickleIce);
    }
    let restarts = restarts(said, before);
    settle_role(reader, is_new || restarts, step == Move::Offer);
    settle_role(writer, !writer.is_described || restarts, step == Move::Answer);
}

/// Who offers controls; a lite side never does, and a full one always does beside one (RFC 8445 §6.1.1).
fn settle_role(line: &mut Line, is_open: bool, offers: bool) {
    let far_is_lite =
        line.far.as_ref().and_then(|far| far.ice.as_ref()).is_some_and(|ice| ice.lite);
    if far_is_lite && !line.ice.is_lite {
        line.ice.controls = true;
    } else if is_open {
        line.ice.controls = offers && !line.ice.is_lite;
    }
}

/// Whether the writer restarts ICE: it has other credentials than before (RFC 8839 §4.4.1.1.1).
pub(super) fn restarts(said: &Described, before: Option<&Described>) -> bool {
    let before = before.and_then(|before| before.ice.as_ref());
    let ice = said.ice.as_ref();
    ice.zip(before).is_some_and(|(ice, before)| ice.credentials != before.credentials)
}
