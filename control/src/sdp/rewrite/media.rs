//! One m-line and what stands below it.

use super::super::candidate::InCapitals;
use super::super::error::{SdpError, SdpErrorKind};
use super::super::model::MediaSection;
use super::super::value::Direction;
use super::super::write::Address;
use super::session::{is_ice, is_security};
use super::text::{Text, attribute};
use super::{Dtls, Keys, OwnIce, Proxied, Rtcp, RtcpAttribute, Security, codecs};

/// Writes an m-line as it came. Where the session's `c=` has changed it gets what that said before.
pub(super) fn write_untouched(text: &mut Text, section: MediaSection<'_>, outer: Option<&str>) {
    let mut missing = outer.filter(|_| section.own_connection().is_none());
    for (line, ending) in section.lines_with_endings() {
        // What follows `c=` (RFC 8866 §5).
        if ["b=", "k=", "a="].iter().any(|kind| line.starts_with(kind))
            && let Some(connection) = missing.take()
        {
            text.own(format_args!("{connection}"));
        }
        text.keep(line, ending);
    }
    if let Some(connection) = missing {
        text.own(format_args!("{connection}"));
    }
}

/// Writes an m-line whose media comes to the proxy.
pub(super) fn write(
    text: &mut Text,
    section: MediaSection<'_>,
    proxied: &Proxied,
) -> Result<(), SdpError> {
    let view = View::of(section, proxied)?;
    let mut has_connection = false;
    for (index, (line, ending)) in section.lines_with_endings().enumerate() {
        if index == 0 {
            view.write_media_line(text, line, ending);
        } else if line.starts_with("c=") && !proxied.is_relay() {
            // Several addresses are for layers on several ports (RFC 8866 §5.7).
            if !std::mem::replace(&mut has_connection, true) {
                text.change(format_args!("c={}", Address(proxied.connection())), ending);
            }
        } else if view.keeps(line) {
            text.keep(line, ending);
        }
    }
    view.write_own(text);
    Ok(())
}

/// An m-line and what becomes of it.
struct View<'a> {
    section: MediaSection<'a>,
    proxied: &'a Proxied,
    /// The payload types that stay; `None` if its formats are none, or nobody looks at them.
    payload_types: Option<Vec<u8>>,
    is_in_use: bool,
}

impl<'a> View<'a> {
    fn of(section: MediaSection<'a>, proxied: &'a Proxied) -> Result<Self, SdpError> {
        let port = if proxied.is_relay() { section.line().port } else { proxied.address.port() };
        let is_in_use = port != 0 && !section.is_rejected();
        let is_rtp = proxied.profile.or(section.profile()).is_some();
        let payload_types = is_rtp.then(|| proxied.codecs.select(section));
        if is_in_use && is_rtp && !has_payload_types_only(section) {
            return Err(section.blame(SdpErrorKind::MalformedMedia));
        }
        if is_in_use && section.connection().is_none() {
            return Err(section.blame(SdpErrorKind::NoConnection));
        }
        Ok(Self { section, proxied, payload_types, is_in_use })
    }

    fn write_media_line(&self, text: &mut Text, came: &str, ending: &str) {
        if self.proxied.is_relay() {
            return text.keep(came, ending);
        }
        let line = self.section.line();
        let port = if self.is_in_use { self.proxied.address.port() } else { 0 };
        let profile =
            self.proxied.profile.map_or(usual_name(&line.profile), |profile| profile.name());
        let chosen = self.payload_types.as_ref().filter(|chosen| !chosen.is_empty());
        let formats = match chosen {
            Some(chosen) => {
                chosen.iter().fold(String::new(), |list, number| format!("{list} {number}"))
            }
            None => formats_as_they_came(came, &line.formats),
        };
        text.change(format_args!("m={} {port} {profile}{formats}", line.kind), ending);
    }

    /// Whether a line below the m-line stays where it stands.
    fn keeps(&self, line: &str) -> bool {
        let Some((name, value)) = attribute(line) else { return true };
        let Proxied { ice, security, direction, .. } = self.proxied;
        match name {
            "mid" | "end-of-candidates" => false,
            "bundle-only" => !self.is_in_use,
            "candidate" => ice.keeps() && !(self.proxied.is_relay() && is_relayed(value)),
            "rtcp" | "rtcp-mux" => self.proxied.is_relay(),
            "rtcp-mux-only" => self.proxied.is_relay() || self.proxied.has_one_port(),
            "rtpmap" | "fmtp" | "rtcp-fb" => {
                self.payload_types.is_none() || !codecs::describes_payload_type(name, value)
            }
            "ptime" => self.proxied.ptime.is_none(),
            "extmap" => !self.proxied.strip_extmap,
            _ if is_ice(name) => ice.keeps(),
            _ if is_security(name) => *security == Security::Kept,
            _ => direction.is_none() || Direction::parse(name).is_none(),
        }
    }

    /// Writes the proxy's own lines.
    fn write_own(&self, text: &mut Text) {
        let ice = self.proxied.ice.own();
        if let Some(mid) = &self.proxied.mid {
            text.own(format_args!("a=mid:{mid}"));
        }
        if self.is_in_use {
            self.write_codecs_and_direction(text);
            self.write_rtcp(text);
            if let Security::Own(keys) = &self.proxied.security {
                write_keys(text, keys);
            }
            if let Some(ptime) = self.proxied.ptime {
                text.own(format_args!("a=ptime:{ptime}"));
            }
            if let Some(ice) = ice {
                write_ice(text, ice);
            }
        }
        // The sender's word that there are no more holds for the proxy, which has all that it has.
        if self.section.has("end-of-candidates") || ice.is_some_and(|ice| ice.trickle) {
            text.own(format_args!("a=end-of-candidates"));
        }
    }

    fn write_codecs_and_direction(&self, text: &mut Text) {
        if let Some(payload_types) = &self.payload_types {
            codecs::write(text, self.section, payload_types);
        }
        if let Some(direction) = self.proxied.direction {
            text.own(format_args!("a={}", direction.name()));
        }
    }

    fn write_rtcp(&self, text: &mut Text) {
        let Some(Rtcp { port, mux, attribute }) = self.proxied.rtcp else { return };
        match attribute {
            RtcpAttribute::Absent => {}
            RtcpAttribute::Port => text.own(format_args!("a=rtcp:{port}")),
            RtcpAttribute::Full => {
                let address = Address(self.proxied.address.ip());
                text.own(format_args!("a=rtcp:{port} {address}"));
            }
        }
        if mux {
            text.own(format_args!("a=rtcp-mux"));
        }
    }
}

fn write_keys(text: &mut Text, keys: &Keys) {
    for crypto in &keys.crypto {
        text.own(format_args!("a={}", crypto.write(keys.padded).as_str()));
    }
    if let Some(Dtls { setup, fingerprint, tls_id }) = &keys.dtls {
        text.own(format_args!("a=setup:{}", setup.name()));
        text.own(format_args!("a=fingerprint:{fingerprint}"));
        if let Some(tls_id) = tls_id {
            text.own(format_args!("a=tls-id:{tls_id}"));
        }
    }
}

fn write_ice(text: &mut Text, ice: &OwnIce) {
    if let Some(credentials) = &ice.credentials {
        text.own(format_args!("a=ice-ufrag:{}", credentials.ufrag));
        text.own(format_args!("a=ice-pwd:{}", credentials.password.as_str()));
    }
    if ice.trickle {
        text.own(format_args!("a=ice-options:trickle"));
    }
    for candidate in &ice.candidates {
        text.own(format_args!("a={}", InCapitals(candidate)));
    }
    if !ice.remote.is_empty() {
        let remote = ice.remote.iter();
        let remote: Vec<String> = remote
            .map(|(component, at)| format!("{component} {} {}", at.ip(), at.port()))
            .collect();
        text.own(format_args!("a=remote-candidates:{}", remote.join(" ")));
    }
}

fn has_payload_types_only(section: MediaSection<'_>) -> bool {
    let formats = &section.line().formats;
    let is_payload_type = |format: &String| format.parse().is_ok_and(|number: u8| number < 128);
    formats.iter().all(is_payload_type)
}

/// The formats of an m-line, with the blank that some end it with.
fn formats_as_they_came(line: &str, formats: &[String]) -> String {
    let formats = formats.join(" ");
    let came = line.splitn(4, ' ').nth(3).filter(|came| came.trim_end() == formats);
    match came {
        Some(came) => format!(" {came}"),
        None if formats.is_empty() => String::new(),
        None => format!(" {formats}"),
    }
}

/// A profile that is not of RTP, as most write it.
fn usual_name(profile: &str) -> &str {
    if profile.eq_ignore_ascii_case("udptl") { "udptl" } else { profile }
}

fn is_relayed(candidate: &str) -> bool {
    candidate.split_ascii_whitespace().nth(7).is_some_and(|kind| kind.eq_ignore_ascii_case("relay"))
}
