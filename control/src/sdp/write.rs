//! Writes the node's descriptions. Nothing is copied from the far side's text but tokens that were
//! checked when they were read: MIDs, kinds, profiles and formats.

use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::candidate::{Candidate, RTP};
use super::codec::NegotiatedCodec;
use super::crypto::Crypto;
use super::local::Local;
use super::model::MediaSection;
use super::negotiated::NegotiatedMedia;
use super::value::{Direction, Setup};
use crate::api::Media;

/// One m-line of a description to write.
pub(super) enum Section<'a> {
    /// In use.
    InUse(&'a NegotiatedMedia),
    /// Rejected with port 0, in place of the far side's.
    Rejected(MediaSection<'a>),
    /// In use no more, and free for anything (RFC 3264 §8.2).
    Unused,
}

/// What all m-lines in use have in common.
pub(super) struct Session {
    pub(super) version: u64,
    pub(super) bundle: bool,
    pub(super) rtcp_mux: bool,
    pub(super) setup: Setup,
}

/// Writes a description of the node.
pub(super) fn description(local: &Local, session: &Session, sections: &[Section<'_>]) -> String {
    let mut text = Text(String::with_capacity(4096));
    head(&mut text, local, session.version);
    if session.bundle {
        let mids: Vec<&str> = sections.iter().filter_map(mid_in_use).collect();
        text.line(format_args!("a=group:BUNDLE {}", mids.join(" ")));
    }
    text.line(format_args!("a=msid-semantic:WMS {}", local.stream));
    for section in sections {
        match section {
            Section::InUse(media) => in_use(&mut text, local, session, media),
            Section::Rejected(section) => rejected(&mut text, *section),
            Section::Unused => {}
        }
    }
    text.0
}

/// What an m-line with ports of its own says of them.
pub(super) struct Place<'a> {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
    pub(super) rtcp_mux: bool,
    pub(super) keys: Keys<'a>,
}

/// What protects such an m-line.
pub(super) enum Keys<'a> {
    None,
    Sdes(&'a [Crypto]),
    Dtls(Setup),
}

/// Writes a description of the node for a leg without ICE, whose m-lines in use have places of their
/// own.
pub(super) fn fixed<'a>(
    local: &Local,
    version: u64,
    sections: &[Section<'a>],
    place: impl Fn(&NegotiatedMedia) -> Option<Place<'a>>,
) -> String {
    let mut text = Text(String::with_capacity(1024));
    origin(&mut text, local, version);
    for section in sections {
        match section {
            Section::InUse(media) => {
                if let Some(place) = place(media) {
                    at_own_ports(&mut text, local, &place, media);
                }
            }
            Section::Rejected(section) => rejected(&mut text, *section),
            Section::Unused => text.line(format_args!("m=audio 0 RTP/AVP 0")),
        }
    }
    text.0
}

fn at_own_ports(text: &mut Text, local: &Local, place: &Place<'_>, media: &NegotiatedMedia) {
    media_line(text, media, place.rtp, place.rtcp);
    match place.keys {
        Keys::None => {}
        // Filled up, since some phones drop what is left over of unfilled base64.
        Keys::Sdes(keys) => {
            keys.iter().for_each(|own| text.line(format_args!("a={}", own.write(true).as_str())));
        }
        Keys::Dtls(setup) => certificate(text, local, setup),
    }
    if let Some(mid) = &media.mid {
        text.line(format_args!("a=mid:{mid}"));
    }
    extensions(text, media);
    text.line(format_args!("a={}", media.direction.name()));
    if place.rtcp_mux {
        text.line(format_args!("a=rtcp-mux"));
    }
    if media.reduced_size {
        text.line(format_args!("a=rtcp-rsize"));
    }
    for negotiated in &media.codecs {
        codec(text, negotiated, media.profile.has_feedback());
    }
}

fn mid_in_use<'a>(section: &Section<'a>) -> Option<&'a str> {
    match section {
        Section::InUse(media) => media.mid.as_deref(),
        Section::Rejected(_) | Section::Unused => None,
    }
}

fn origin(text: &mut Text, local: &Local, version: u64) {
    let address = Address(local.address.ip());
    text.line(format_args!("v=0"));
    text.line(format_args!("o=- {} {version} {address}", local.session_id));
    text.line(format_args!("s=-"));
    text.line(format_args!("t=0 0"));
}

fn head(text: &mut Text, local: &Local, version: u64) {
    origin(text, local, version);
    if local.ice_lite {
        text.line(format_args!("a=ice-lite"));
    }
    let renomination = if local.renomination { " renomination" } else { "" };
    text.line(format_args!("a=ice-options:trickle{renomination}"));
}

/// The line itself, and the addresses of RTP and RTCP (RFC 3605).
fn media_line(text: &mut Text, media: &NegotiatedMedia, rtp: SocketAddr, rtcp: SocketAddr) {
    let (address, port) = (Address(rtp.ip()), rtp.port());
    let formats: Vec<String> = media
        .codecs
        .iter()
        .flat_map(|codec| [Some(codec.payload_type), codec.rtx])
        .flatten()
        .map(|number| number.to_string())
        .collect();
    let profile = media.profile.name();
    text.line(format_args!("m={} {port} {profile} {}", kind_name(media.kind), formats.join(" ")));
    text.line(format_args!("c={address}"));
    text.line(format_args!("a=rtcp:{} {}", rtcp.port(), Address(rtcp.ip())));
}

fn in_use(text: &mut Text, local: &Local, session: &Session, media: &NegotiatedMedia) {
    let rtcp = local.rtcp.filter(|_| !session.rtcp_mux).unwrap_or(local.address);
    media_line(text, media, local.address, rtcp);
    transport(text, local, session);
    if let Some(mid) = &media.mid {
        text.line(format_args!("a=mid:{mid}"));
    }
    extensions(text, media);
    text.line(format_args!("a={}", media.direction.name()));
    if media.direction.sends() {
        text.line(format_args!("a=msid:{} {}", stream(local, media), track(media)));
    }
    if session.rtcp_mux {
        text.line(format_args!("a=rtcp-mux"));
    }
    if media.mux_only {
        text.line(format_args!("a=rtcp-mux-only"));
    }
    if media.reduced_size {
        text.line(format_args!("a=rtcp-rsize"));
    }
    for negotiated in &media.codecs {
        codec(text, negotiated, true);
    }
    if media.direction.receives() {
        layers(text, media);
    }
    if media.direction.sends() {
        ssrcs(text, local, media);
    }
}

/// The layers that the node takes of a simulcast (RFC 8853 §5.3.2).
fn layers(text: &mut Text, media: &NegotiatedMedia) {
    for rid in &media.rids {
        text.line(format_args!("a=rid:{rid} recv"));
    }
    if !media.rids.is_empty() {
        text.line(format_args!("a=simulcast:recv {}", media.rids.join(";")));
    }
}

fn transport(text: &mut Text, local: &Local, session: &Session) {
    let is_used = |candidate: &&Candidate| candidate.component == RTP || !session.rtcp_mux;
    for candidate in local.candidates.iter().filter(is_used) {
        text.line(format_args!("a={candidate}"));
    }
    if local.end_of_candidates {
        text.line(format_args!("a=end-of-candidates"));
    }
    text.line(format_args!("a=ice-ufrag:{}", local.credentials.ufrag));
    text.line(format_args!("a=ice-pwd:{}", local.credentials.password.as_str()));
    certificate(text, local, session.setup);
}

fn certificate(text: &mut Text, local: &Local, setup: Setup) {
    text.line(format_args!("a=fingerprint:{}", local.fingerprint));
    text.line(format_args!("a=setup:{}", setup.name()));
}

fn extensions(text: &mut Text, media: &NegotiatedMedia) {
    for extension in &media.extensions {
        let uri = extension.uri;
        match extension.direction {
            Direction::SendRecv => text.line(format_args!("a=extmap:{} {uri}", extension.id)),
            one_way => {
                text.line(format_args!("a=extmap:{}/{} {uri}", extension.id, one_way.name()));
            }
        }
    }
}

fn codec(text: &mut Text, negotiated: &NegotiatedCodec, has_feedback: bool) {
    let number = negotiated.payload_type;
    text.line(format_args!("a=rtpmap:{number} {}", negotiated.codec));
    for kind in negotiated.feedback.names().filter(|_| has_feedback) {
        text.line(format_args!("a=rtcp-fb:{number} {kind}"));
    }
    if let Some(fmtp) = negotiated.own_fmtp() {
        text.line(format_args!("a=fmtp:{number} {fmtp}"));
    }
    if let Some(rtx) = negotiated.rtx {
        text.line(format_args!("a=rtpmap:{rtx} rtx/{}", negotiated.codec.clock_rate()));
        text.line(format_args!("a=fmtp:{rtx} apt={number}"));
    }
}

fn ssrcs(text: &mut Text, local: &Local, media: &NegotiatedMedia) {
    let (ssrc, rtx) = (media.local_ssrcs.media, media.local_ssrcs.rtx);
    let has_rtx = media.codecs.iter().any(|codec| codec.rtx.is_some());
    if has_rtx {
        text.line(format_args!("a=ssrc-group:FID {ssrc} {rtx}"));
    }
    for ssrc in [Some(ssrc), has_rtx.then_some(rtx)].into_iter().flatten() {
        text.line(format_args!("a=ssrc:{ssrc} cname:{}", local.cname));
        text.line(format_args!("a=ssrc:{ssrc} msid:{} {}", stream(local, media), track(media)));
    }
}

fn rejected(text: &mut Text, section: MediaSection<'_>) {
    let line = section.line();
    let formats = if line.formats.is_empty() { "0".into() } else { line.formats.join(" ") };
    text.line(format_args!("m={} 0 {} {formats}", line.kind, line.profile));
    text.line(format_args!("c=IN IP4 0.0.0.0"));
    if let Ok(Some(mid)) = section.mid() {
        text.line(format_args!("a=mid:{mid}"));
    }
    text.line(format_args!("a=inactive"));
}

fn kind_name(kind: Media) -> &'static str {
    match kind {
        Media::Audio => "audio",
        Media::Video => "video",
    }
}

/// The stream of the line's seat: what one other leg sends belongs together, and to nothing else.
fn stream(local: &Local, media: &NegotiatedMedia) -> String {
    match media.seat {
        None | Some(0) => local.stream.clone(),
        Some(seat) => format!("{}-{seat}", local.stream),
    }
}

/// The track's id: the m-line's kind and place, which stay for the leg's life.
fn track(media: &NegotiatedMedia) -> String {
    format!("{}{}", kind_name(media.kind), media.index)
}

/// Lines that end as RFC 8866 §5 wants it.
struct Text(String);

impl Text {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }
}

/// An address as it stands in `o=`, `c=` and `a=rtcp`.
pub(super) struct Address(pub(super) IpAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "IN IP4 {ip}"),
            IpAddr::V6(ip) => write!(f, "IN IP6 {ip}"),
        }
    }
}
