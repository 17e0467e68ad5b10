//! What stands above a session's m-lines: whose description it is, and what all m-lines share.

use std::net::IpAddr;

use super::super::error::{SdpError, SdpErrorKind};
use super::super::model::{MediaSection, SessionHead};
use super::super::value::Direction;
use super::super::write::Address;
use super::text::{Text, attribute};
use super::{MediaRewrite, Proxied, Security, proxied};

/// What becomes of the lines above the m-lines, of each session where there are several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRewrite {
    /// What changes in `o=`.
    pub origin: OriginRewrite,
    /// The session's name, in place of the sender's.
    pub name: Option<String>,
    /// Whether `c=` changes even if each m-line has one of its own. It changes in any case where an
    /// m-line has none.
    pub connection: bool,
    /// What the proxy knows its own descriptions by, to see a loop: `a=rtpengine`.
    pub loop_protection: Option<String>,
    /// Whether the proxy is an ICE lite agent towards the receiver (RFC 8839 §5.3).
    pub ice_lite: bool,
    /// What becomes of the BUNDLE group.
    pub bundle: Bundle,
}

/// What changes in `o=` (RFC 8866 §5.2). What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginRewrite {
    /// The user's name.
    pub username: Option<String>,
    /// The version of the description.
    pub version: Option<u64>,
    /// The address.
    pub address: Option<IpAddr>,
}

/// What becomes of the BUNDLE group (RFC 8843).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bundle {
    /// There is none, so each m-line has a transport of its own.
    #[default]
    Removed,
    /// The sender's stays.
    Kept,
    /// The proxy's, by MID, in place of the sender's.
    Own(Vec<String>),
}

/// Writes what stands above a session's m-lines, with what becomes of those.
pub(super) fn write(
    text: &mut Text,
    head: SessionHead<'_>,
    rewrite: &SessionRewrite,
    media: &[MediaRewrite],
) -> Result<(), SdpError> {
    let own = Own::of(media);
    let connection = connection(head, rewrite, media);
    let SessionRewrite { origin, name, bundle, .. } = rewrite;
    for (index, (line, ending)) in head.lines().enumerate() {
        if let Some(value) = line.strip_prefix("o=").filter(|_| !origin.is_empty()) {
            let changed = origin.apply(value);
            let changed =
                changed.ok_or_else(|| head.blame(SdpErrorKind::MalformedOrigin, index))?;
            text.change(format_args!("o={changed}"), ending);
        } else if let Some(name) = name.as_ref().filter(|_| line.starts_with("s=")) {
            text.change(format_args!("s={name}"), ending);
        } else if let Some(address) = connection.filter(|_| line.starts_with("c=")) {
            text.change(format_args!("c={}", Address(address)), ending);
        } else if !own.replaces(line, bundle) {
            text.keep(line, ending);
        }
    }
    additions(text, rewrite);
    Ok(())
}

/// The address for the session's `c=`, if that is to change: it is the first proxied m-line's, and
/// m-lines that are to be reached at the sender's own address need the sender's.
pub(super) fn connection(
    head: SessionHead<'_>,
    rewrite: &SessionRewrite,
    media: &[MediaRewrite],
) -> Option<IpAddr> {
    let mut proxied = proxied(media).peekable();
    let address = proxied.peek()?.connection();
    let lacks = |(section, media): (MediaSection<'_>, &MediaRewrite)| {
        matches!(media, MediaRewrite::Proxied(_)) && section.own_connection().is_none()
    };
    let is_wanted = rewrite.connection || head.media().zip(media).any(lacks);
    (is_wanted && !proxied.any(Proxied::is_relay)).then_some(address)
}

fn additions(text: &mut Text, session: &SessionRewrite) {
    if let Some(id) = &session.loop_protection {
        text.own(format_args!("a=rtpengine:{id}"));
    }
    if session.ice_lite {
        text.own(format_args!("a=ice-lite"));
    }
    if let Bundle::Own(mids) = &session.bundle {
        text.own(format_args!("a=group:BUNDLE {}", mids.join(" ")));
    }
}

impl OriginRewrite {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The value of `o=` with the changes; `None` if it has not the six parts that it needs. They are
    /// told apart from the end: there are phones whose user names have spaces.
    fn apply(&self, value: &str) -> Option<String> {
        let mut parts = value.trim_end().rsplitn(6, ' ');
        let (address, kind, net) = (parts.next()?, parts.next()?, parts.next()?);
        let (version, id, username) = (parts.next()?, parts.next()?, parts.next()?);
        let username = self.username.as_deref().unwrap_or(username);
        let version = self.version.map_or_else(|| version.into(), |version| version.to_string());
        let address = self
            .address
            .map_or_else(|| format!("{net} {kind} {address}"), |own| Address(own).to_string());
        Some(format!("{username} {id} {version} {address}"))
    }
}

/// What the m-lines will say for themselves: the session no longer says it for them.
struct Own {
    ice: bool,
    security: bool,
    direction: bool,
    extmap: bool,
}

impl Own {
    fn of(media: &[MediaRewrite]) -> Self {
        let any = |says: fn(&Proxied) -> bool| proxied(media).any(says);
        Self {
            ice: any(|media| !media.ice.keeps()),
            security: any(|media| !matches!(media.security, Security::Kept)),
            direction: any(|media| media.direction.is_some()),
            extmap: any(|media| media.strip_extmap),
        }
    }

    fn replaces(&self, line: &str, bundle: &Bundle) -> bool {
        let Some((name, value)) = attribute(line) else { return false };
        match name {
            "group" => *bundle != Bundle::Kept && is_bundle(value),
            "extmap" => self.extmap,
            _ if is_ice(name) || matches!(name, "candidate" | "end-of-candidates") => self.ice,
            _ if is_security(name) => self.security,
            _ => self.direction && Direction::parse(name).is_some(),
        }
    }
}

fn is_bundle(group: &str) -> bool {
    group.split_ascii_whitespace().next() == Some("BUNDLE")
}

/// Whether an attribute is about ICE, candidates apart (RFC 8839 §5).
pub(super) fn is_ice(name: &str) -> bool {
    matches!(
        name,
        "ice-ufrag"
            | "ice-pwd"
            | "ice-options"
            | "ice-lite"
            | "ice-pacing"
            | "ice-mismatch"
            | "remote-candidates"
    )
}

/// Whether an attribute belongs to the keys of one transport.
pub(super) fn is_security(name: &str) -> bool {
    matches!(name, "crypto" | "fingerprint" | "setup" | "tls-id" | "identity")
}
