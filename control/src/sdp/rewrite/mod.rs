//! Passes one side's description on to the other side with the proxy in the middle: its addresses,
//! ports, keys and candidates stand where the sender's stood, and what the proxy does not own stays
//! byte for byte.
//!
//! A pure function: the caller has decided everything, [`Rewrite`] says it m-line by m-line, and
//! [`rewrite`] only writes it down. The outcome is what rtpengine 10.5.3 sends, whose place the node
//! takes behind SIP proxies. Lines that stay keep their order and endings; the proxy's own follow
//! them, m-line by m-line, with CRLF:
//!
//! ```text
//! mid · rtpmap, fmtp, rtcp-fb by payload type · direction · rtcp, rtcp-mux · crypto
//!     · setup, fingerprint, tls-id · ptime · ice-ufrag, ice-pwd, ice-options · candidates
//!     · end-of-candidates
//! ```
//!
//! Above the first m-line they are `a=rtpengine`, `a=ice-lite` and the BUNDLE group. `c=` of the
//! session changes where an m-line has none of its own, or when asked; the address is that of the
//! first proxied m-line. Where a description has several sessions, each gets that for itself.
//!
//! # Where this differs from rtpengine 10.5.3
//! * What is bound to the sender's transport goes with it: `tls-id` and `identity` with the
//!   certificate, `ice-pacing` with ICE, `rtcp-mux-only` where RTCP has a port of its own, keys above
//!   the first m-line. There they stay behind and speak of a transport that the receiver never sees.
//! * A payload type that nobody explains gets no `a=rtpmap`; there it becomes `a=rtpmap:77 /0`. A
//!   payload type that is listed twice is listed once.
//! * Retransmissions of a stripped codec go with it (RFC 4588 §8.1). No events or comfort noise are
//!   made up for a clock rate that has lost its own: that is for those who transcode.
//! * Payload types 10 and 11 have two channels and one (RFC 3551 §6); there it is the other way
//!   round.
//! * A missing last line end and blank lines do not garble what is added: the first is made up for,
//!   the second go.
//! * A port count (`m=audio 4000/2`) goes: the caller gives one port.
//! * The `c=` that an untouched m-line needs when that of the session changes ends with CRLF, and its
//!   MID is not written a second time.
//! * A direction above the m-lines goes as soon as an m-line has one of its own, also where ICE of both
//!   sides stays.
//! * A description with two `c=` or `o=` lines in one place is rewritten, not refused.

mod codecs;
mod media;
mod session;
mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::candidate::Candidate;
use super::crypto::Crypto;
use super::error::{SdpError, SdpErrorKind};
use super::model::{Sdp, SessionHead};
use super::negotiated::Profile;
use super::value::{Direction, Fingerprint, IceCredentials, Setup};
pub use codecs::CodecRules;
pub use session::{Bundle, OriginRewrite, SessionRewrite};
use text::Text;

/// What becomes of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Of what stands above the m-lines.
    pub session: SessionRewrite,
    /// Of each m-line, in order.
    pub media: Vec<MediaRewrite>,
}

/// What becomes of an m-line and the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRewrite {
    /// It passes as it came: its media goes past the proxy.
    Untouched,
    /// It goes, as if it had never been there.
    Removed,
    /// Its media comes to the proxy.
    Proxied(Box<Proxied>),
}

/// An m-line whose media comes to the proxy, as its receiver is to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// Where RTP comes to. Port 0 rejects the m-line, and what the sender rejects stays rejected.
    pub address: SocketAddr,
    /// Whether `c=` says `0.0.0.0` or `::`: the old way to hold (RFC 3264 §8.4).
    pub hold: bool,
    /// Where RTCP comes to; `None` says nothing of it, as behind `no rtcp attribute` without mux.
    pub rtcp: Option<Rtcp>,
    /// What the receiver speaks; `None` leaves the sender's, as for anything but RTP.
    pub profile: Option<Profile>,
    /// Which codecs stay.
    pub codecs: CodecRules,
    /// The MID that the receiver knows the m-line by; the sender's goes in any case.
    pub mid: Option<String>,
    /// Which way media flows; `None` leaves the sender's line, or the session's, where it stands.
    pub direction: Option<Direction>,
    /// Milliseconds per packet; `None` leaves what the sender says where it stands.
    pub ptime: Option<u32>,
    /// Whether header extensions go.
    pub strip_extmap: bool,
    /// What protects the media.
    pub security: Security,
    /// What becomes of ICE.
    pub ice: Ice,
}

/// Where RTCP comes to, and how that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtcp {
    /// The port; RTP's own if the receiver has to mux.
    pub port: u16,
    /// Whether it may come to RTP's port as well (RFC 5761).
    pub mux: bool,
    /// What `a=rtcp` says.
    pub attribute: RtcpAttribute,
}

/// What `a=rtcp` says (RFC 3605).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RtcpAttribute {
    /// It is left out.
    Absent,
    /// The port.
    #[default]
    Port,
    /// The port and the address.
    Full,
}

/// What protects the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// The sender's own keys: the two sides protect it between them.
    Kept,
    /// The proxy's, or nothing, in place of the sender's.
    Own(Keys),
}

/// What the proxy offers to protect the media with; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// SDES, the favourite first (RFC 4568).
    pub crypto: Vec<Crypto>,
    /// Whether the base64 text of SDES keys is filled up with `=`.
    pub padded: bool,
    /// DTLS.
    pub dtls: Option<Dtls>,
}

/// The proxy's side of a DTLS association (RFC 5763 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dtls {
    /// Who opens it.
    pub setup: Setup,
    /// The proxy's certificate.
    pub fingerprint: Fingerprint,
    /// What tells this association from the one before (RFC 8842 §4).
    pub tls_id: Option<String>,
}

/// What becomes of ICE (RFC 8839).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ice {
    /// There is none.
    #[default]
    Removed,
    /// The proxy's in place of the sender's.
    Replaced(OwnIce),
    /// The sender's stays, and the proxy's candidates stand behind it.
    Added(OwnIce),
    /// The sender's stays but for relayed candidates, and with it all its addresses; the proxy's
    /// candidates are the relayed ones.
    Relayed(OwnIce),
}

/// The proxy's side of ICE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnIce {
    /// Its credentials; `None` where the sender's stay.
    pub credentials: Option<IceCredentials>,
    /// Whether it says that it trickles. All that it has stands here, so it ends its candidates too.
    pub trickle: bool,
    /// Its candidates, of all components that the receiver may use.
    pub candidates: Vec<Candidate>,
    /// The receiver's candidates that media flows to, by component, if checks are over
    /// (RFC 8839 §5.2).
    pub remote: Vec<(u16, SocketAddr)>,
}

/// Writes what the other side is to see of a description.
///
/// # Errors
/// When there are more or fewer m-lines than `rewrite` is for, an RTP m-line in use has a format that
/// is no payload type or no address at all, or something of an `o=` line is to change that cannot be
/// read.
pub fn rewrite(sdp: &Sdp, rewrite: &Rewrite) -> Result<String, SdpError> {
    if sdp.media_count() != rewrite.media.len() {
        return Err(SdpError::whole(SdpErrorKind::MediaMismatch));
    }
    let mut text = Text::with_capacity(TEXT_BYTES);
    let mut rest = rewrite.media.as_slice();
    for head in sdp.heads() {
        let (media, others) = rest.split_at(head.media().count());
        write_session(&mut text, head, &rewrite.session, media)?;
        rest = others;
    }
    Ok(text.finish())
}

fn write_session(
    text: &mut Text,
    head: SessionHead<'_>,
    session: &SessionRewrite,
    media: &[MediaRewrite],
) -> Result<(), SdpError> {
    session::write(text, head, session, media)?;
    let outer = session::connection(head, session, media).and(head.connection_line());
    for (section, media) in head.media().zip(media) {
        match media {
            MediaRewrite::Untouched => media::write_untouched(text, section, outer),
            MediaRewrite::Removed => {}
            MediaRewrite::Proxied(proxied) => media::write(text, section, proxied)?,
        }
    }
    Ok(())
}

fn proxied(media: &[MediaRewrite]) -> impl Iterator<Item = &Proxied> {
    media.iter().filter_map(|media| match media {
        MediaRewrite::Proxied(proxied) => Some(&**proxied),
        MediaRewrite::Untouched | MediaRewrite::Removed => None,
    })
}

impl Proxied {
    /// An m-line at this address with nothing more than RTP: no RTCP, keys or ICE, everything else as
    /// the sender has it.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            hold: false,
            rtcp: None,
            profile: None,
            codecs: CodecRules::default(),
            mid: None,
            direction: None,
            ptime: None,
            strip_extmap: false,
            security: Security::Own(Keys::default()),
            ice: Ice::Removed,
        }
    }

    /// The address in `c=`.
    fn connection(&self) -> IpAddr {
        match self.address.ip() {
            IpAddr::V4(_) if self.hold => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) if self.hold => Ipv6Addr::UNSPECIFIED.into(),
            address => address,
        }
    }

    fn is_relay(&self) -> bool {
        matches!(self.ice, Ice::Relayed(_))
    }

    /// Whether all RTCP comes to RTP's port.
    fn has_one_port(&self) -> bool {
        self.rtcp.is_some_and(|rtcp| rtcp.mux && rtcp.port == self.address.port())
    }
}

impl Ice {
    /// Whether the sender's stays.
    fn keeps(&self) -> bool {
        matches!(self, Self::Added(_) | Self::Relayed(_))
    }

    fn own(&self) -> Option<&OwnIce> {
        match self {
            Self::Removed => None,
            Self::Replaced(own) | Self::Added(own) | Self::Relayed(own) => Some(own),
        }
    }
}

/// Room for a browser's offer.
const TEXT_BYTES: usize = 8192;
