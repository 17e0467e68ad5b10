//! A session description as its lines (RFC 8866 §5).
//!
//! Every line is kept as it came, with its ending, so printing what was read gives the same
//! bytes. Typed values are read from the lines on demand; a line that cannot be read is passed
//! over unless something depends on it. Where `v=0` follows an m-line, another session begins: what
//! stands above its m-lines counts for those. What [`Sdp`] says of itself is the first one's. Lenient on purpose: LF or CRLF, a missing last line end,
//! missing `s=` and `t=`, lines out of order, lines that are no lines at all.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::candidate::Candidate;
use super::error::{SdpError, SdpErrorKind};
use super::negotiated::Profile;
use super::value::{
    Direction, ExtMap, RtcpFb, RtpMap, Setup, SsrcGroup, is_token, parse_payload_type,
};
use super::{CANDIDATES_MAX, LINE_MAX, LINES_MAX, MEDIA_MAX, MID_MAX, TEXT_MAX};

/// A session description, line by line.
#[derive(Clone, PartialEq, Eq)]
pub struct Sdp {
    lines: Vec<Line>,
    media: Vec<MediaLine>,
    sessions: Vec<Session>,
}

/// Where a session begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Session {
    /// Its first line, from 0.
    line: usize,
    /// Its first m-line among all, from 0.
    media: usize,
}

/// One `m=` line (RFC 8866 §5.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLine {
    /// The line, from 1.
    pub line: usize,
    /// `audio`, `video`, `application`, …
    pub kind: String,
    /// The port; 0 rejects the m-line, unless it is `a=bundle-only`.
    pub port: u16,
    /// The transport profile.
    pub profile: String,
    /// Payload types, or whatever the profile has in their place.
    pub formats: Vec<String>,
}

/// Whose description it is (RFC 8866 §5.2), as far as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The writer's name, spaces included that should not be there.
    pub username: &'a str,
    /// The description's version, a number mostly.
    pub version: &'a str,
}

/// An attribute's value and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The line, from 1.
    pub line: usize,
    /// What stands behind the colon; empty for a bare flag.
    pub value: &'a str,
}

/// One m-line with the lines below it.
#[derive(Clone, Copy)]
pub struct MediaSection<'a> {
    sdp: &'a Sdp,
    index: usize,
}

/// What stands above the m-lines of one session.
#[derive(Clone, Copy)]
pub(super) struct SessionHead<'a> {
    sdp: &'a Sdp,
    index: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Line {
    text: String,
    ending: &'static str,
}

impl Sdp {
    /// Reads a description.
    ///
    /// # Errors
    /// When it is too large in any way, does not start with `v=0`, or has an `m=` line that
    /// cannot be read.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > TEXT_MAX {
            return Err(SdpError::whole(SdpErrorKind::TooLong));
        }
        let lines = read_lines(text)?;
        match lines.iter().position(|line| !line.text.is_empty()) {
            Some(first) if lines[first].text.trim_end() == "v=0" => {}
            Some(first) => {
                return Err(SdpError::on(SdpErrorKind::NotSdp, first + 1, &lines[first].text));
            }
            None => return Err(SdpError::whole(SdpErrorKind::NotSdp)),
        }
        let mut media = Vec::new();
        let mut sessions = vec![Session::default()];
        for (index, line) in lines.iter().enumerate() {
            // There are no more sessions than m-lines, but for the last.
            let has_media = sessions.last().is_some_and(|session| session.media < media.len());
            if has_media && line.text.trim_end() == "v=0" {
                sessions.push(Session { line: index, media: media.len() });
            }
            let Some(value) = line.text.strip_prefix("m=") else { continue };
            let blame = |kind| SdpError::on(kind, index + 1, &line.text);
            if media.len() == MEDIA_MAX {
                return Err(blame(SdpErrorKind::TooManyMedia));
            }
            let parsed = MediaLine::parse(value, index + 1);
            media.push(parsed.ok_or_else(|| blame(SdpErrorKind::MalformedMedia))?);
        }
        Ok(Self { lines, media, sessions })
    }

    /// How many m-lines there are, rejected ones included.
    pub fn media_count(&self) -> usize {
        self.media.len()
    }

    /// The m-lines in order.
    pub fn media(&self) -> impl Iterator<Item = MediaSection<'_>> {
        (0..self.media.len()).map(|index| MediaSection { sdp: self, index })
    }

    /// One m-line by its place.
    pub fn media_at(&self, index: usize) -> Option<MediaSection<'_>> {
        (index < self.media.len()).then_some(MediaSection { sdp: self, index })
    }

    /// Attributes of the session with this name.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Attribute<'a>> {
        self.head().attributes(name)
    }

    /// The session's first attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.head().attribute(name)
    }

    /// The MIDs of each BUNDLE group (RFC 8843 §5).
    pub fn bundles(&self) -> impl Iterator<Item = impl Iterator<Item = &str>> {
        self.attributes("group").filter_map(|group| {
            let mut words = group.value.split_ascii_whitespace();
            (words.next() == Some("BUNDLE")).then_some(words)
        })
    }

    /// Whether the writer is an ICE lite agent (RFC 8839 §5.3).
    pub fn ice_lite(&self) -> bool {
        self.attribute("ice-lite").is_some()
    }

    /// Whether every line is one, `<letter>=<value>`, and origin and addresses can be read (RFC 8866 §5).
    /// The readers here pass over what is not; whoever hands a description on may not.
    pub fn is_sound(&self) -> bool {
        let is_line = |line: &str| {
            let mut start = line.bytes();
            line.trim().is_empty()
                || start.next().is_some_and(|letter| letter.is_ascii_lowercase())
                    && start.next() == Some(b'=')
        };
        let is_read = |line: &str| match line.split_at_checked(2) {
            Some(("o=", value)) => value.split_ascii_whitespace().count() >= 6,
            Some(("c=", _)) => connection_address(line).is_some(),
            _ => true,
        };
        let mut lines = self.lines.iter().map(|line| line.text.as_str());
        lines.all(|line| is_line(line) && is_read(line))
    }

    /// What its first `o=` line says; `None` if that has not the parts that it needs.
    pub fn origin(&self) -> Option<Origin<'_>> {
        let value = self.head().lines().find_map(|(line, _)| line.strip_prefix("o="))?;
        let mut parts = value.trim_end().rsplitn(6, ' ').skip(3);
        let (version, _id, username) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Origin { username, version })
    }

    /// The m-lines of several descriptions one after the other, under what stands above those of the
    /// first; each keeps the address that it had.
    pub fn joined<'s>(mut all: impl Iterator<Item = &'s Self>) -> String {
        let Some(first) = all.next() else { return String::new() };
        let mut text = first.to_string();
        for sdp in all {
            for section in sdp.media() {
                let outer = section.head().connection_line();
                let mut missing = outer.filter(|_| section.own_connection().is_none());
                for (line, _) in section.lines_with_endings() {
                    text.push_str(line.trim_end());
                    text.push_str("\r\n");
                    if let Some(connection) = missing.take() {
                        text.push_str(connection.trim_end());
                        text.push_str("\r\n");
                    }
                }
            }
        }
        text
    }

    /// What its first `s=` line says.
    pub fn session_name(&self) -> Option<&str> {
        self.head().lines().find_map(|(line, _)| line.strip_prefix("s="))
    }

    /// What stands above the m-lines of each session, in order.
    pub(super) fn heads(&self) -> impl Iterator<Item = SessionHead<'_>> {
        (0..self.sessions.len()).map(|index| SessionHead { sdp: self, index })
    }

    fn head(&self) -> SessionHead<'_> {
        SessionHead { sdp: self, index: 0 }
    }

    /// Puts the blame on a line, numbered from 1.
    pub(super) fn blame(&self, kind: SdpErrorKind, line: usize) -> SdpError {
        SdpError::on(kind, line, line.checked_sub(1).map_or("", |index| self.text(index)))
    }

    fn text(&self, index: usize) -> &str {
        self.lines.get(index).map_or("", |line| &line.text)
    }

    fn attributes_within<'a>(
        &'a self,
        start: usize,
        end: usize,
        name: &'a str,
    ) -> impl Iterator<Item = Attribute<'a>> {
        self.lines[start..end].iter().enumerate().filter_map(move |(offset, line)| {
            let value = attribute_value(&line.text, name)?;
            Some(Attribute { line: start + offset + 1, value })
        })
    }

    fn first_within(&self, start: usize, end: usize, name: &str) -> Option<Attribute<'_>> {
        self.lines[start..end].iter().enumerate().find_map(|(offset, line)| {
            let value = attribute_value(&line.text, name)?;
            Some(Attribute { line: start + offset + 1, value })
        })
    }
}

impl fmt::Display for Sdp {
    /// Writes the lines as they came, byte for byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| {
            f.write_str(&line.text)?;
            f.write_str(line.ending)
        })
    }
}

impl fmt::Debug for Sdp {
    /// Leaves the lines out: they hold passwords and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sdp").field("lines", &self.lines.len()).field("media", &self.media).finish()
    }
}

impl MediaLine {
    fn parse(value: &str, line: usize) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next().filter(|kind| is_token(kind))?;
        let (port, count) = match words.next()?.split_once('/') {
            Some((port, count)) => (port, Some(count)),
            None => (value.split_ascii_whitespace().nth(1)?, None),
        };
        if count.is_some_and(|count| count.parse::<u16>().is_err()) {
            return None;
        }
        let profile = words.next().filter(|profile| is_visible(profile))?;
        let formats: Vec<String> = words.map(Into::into).collect();
        if !formats.iter().all(|format| is_visible(format)) {
            return None;
        }
        Some(Self {
            line,
            kind: kind.into(),
            port: port.parse().ok()?,
            profile: profile.into(),
            formats,
        })
    }
}

impl<'a> SessionHead<'a> {
    /// Its lines, each with its ending.
    pub(super) fn lines(self) -> impl Iterator<Item = (&'a str, &'static str)> {
        let (start, end) = self.range();
        self.sdp.lines[start..end].iter().map(|line| (line.text.as_str(), line.ending))
    }

    /// The session's m-lines.
    pub(super) fn media(self) -> impl Iterator<Item = MediaSection<'a>> {
        let first = self.sdp.sessions[self.index].media;
        let end = self.next().map_or(self.sdp.media.len(), |next| next.media);
        (first..end).map(|index| MediaSection { sdp: self.sdp, index })
    }

    /// Its `c=` line as it came.
    pub(super) fn connection_line(self) -> Option<&'a str> {
        self.lines().map(|(line, _)| line).find(|line| line.starts_with("c="))
    }

    /// Puts the blame on one of its lines, from 0.
    pub(super) fn blame(self, kind: SdpErrorKind, line: usize) -> SdpError {
        self.sdp.blame(kind, self.range().0 + line + 1)
    }

    fn attributes(self, name: &'a str) -> impl Iterator<Item = Attribute<'a>> {
        let (start, end) = self.range();
        self.sdp.attributes_within(start, end, name)
    }

    fn attribute(self, name: &str) -> Option<Attribute<'a>> {
        let (start, end) = self.range();
        self.sdp.first_within(start, end, name)
    }

    fn next(self) -> Option<Session> {
        self.sdp.sessions.get(self.index + 1).copied()
    }

    /// Its lines, as indexes.
    fn range(self) -> (usize, usize) {
        let Session { line, media } = self.sdp.sessions[self.index];
        let end = self.sdp.media.get(media).map(|media| media.line - 1);
        (line, end.unwrap_or(self.sdp.lines.len()))
    }
}

impl<'a> MediaSection<'a> {
    /// Its place among the m-lines, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Its `m=` line.
    pub fn line(self) -> &'a MediaLine {
        &self.sdp.media[self.index]
    }

    /// Its attributes with this name.
    pub fn attributes(self, name: &'a str) -> impl Iterator<Item = Attribute<'a>> {
        let (start, end) = self.range();
        self.sdp.attributes_within(start, end, name)
    }

    /// Its first attribute with this name.
    pub fn attribute(self, name: &str) -> Option<Attribute<'a>> {
        let (start, end) = self.range();
        self.sdp.first_within(start, end, name)
    }

    /// Its first attribute with this name, or the session's.
    pub fn inherited(self, name: &str) -> Option<Attribute<'a>> {
        self.attribute(name).or_else(|| self.head().attribute(name))
    }

    /// Whether a flag is set.
    pub fn has(self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// Its MID (RFC 5888 §4).
    ///
    /// # Errors
    /// When it is no token or longer than [`MID_MAX`].
    pub fn mid(self) -> Result<Option<&'a str>, SdpError> {
        let Some(mid) = self.attribute("mid") else { return Ok(None) };
        let value = mid.value.trim_end();
        if is_token(value) && value.len() <= MID_MAX {
            Ok(Some(value))
        } else {
            Err(self.sdp.blame(SdpErrorKind::BadMid, mid.line))
        }
    }

    /// Whether it is rejected or stopped: port 0 without `a=bundle-only` (RFC 8843 §6).
    pub fn is_rejected(self) -> bool {
        self.line().port == 0 && !self.has("bundle-only")
    }

    /// Which way its media flows, from the writer's view; the session's if it says nothing.
    pub fn direction(self) -> Direction {
        let said = |line: &str| Direction::parse(line.strip_prefix("a=")?.trim_end());
        let own = self.lines().find_map(said);
        own.or_else(|| self.head().lines().find_map(|(line, _)| said(line))).unwrap_or_default()
    }

    /// Its `a=setup`, or the session's; `None` if there is none.
    ///
    /// # Errors
    /// When the value is none of the four.
    pub fn setup(self) -> Result<Option<Setup>, SdpError> {
        let Some(setup) = self.inherited("setup") else { return Ok(None) };
        match Setup::parse(setup.value.trim_end()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.sdp.blame(SdpErrorKind::BadSetup, setup.line)),
        }
    }

    /// Its payload types in the writer's order of preference, each once. Formats that are none are
    /// passed over.
    pub fn payload_types(self) -> impl Iterator<Item = u8> {
        let mut seen = 0u128;
        self.line().formats.iter().filter_map(|format| parse_payload_type(format)).filter(
            move |number| {
                let bit = 1u128 << number;
                let is_new = seen & bit == 0;
                seen |= bit;
                is_new
            },
        )
    }

    /// What its dynamic payload types stand for.
    pub fn rtpmaps(self) -> impl Iterator<Item = RtpMap<'a>> {
        self.attributes("rtpmap").filter_map(|map| RtpMap::parse(map.value))
    }

    /// Format parameters by payload type.
    pub fn fmtps(self) -> impl Iterator<Item = (u8, &'a str)> {
        self.attributes("fmtp").filter_map(|fmtp| {
            let (number, parameters) = fmtp.value.split_once(' ')?;
            Some((parse_payload_type(number)?, parameters.trim()))
        })
    }

    /// The kinds of feedback that are understood.
    pub fn feedback(self) -> impl Iterator<Item = RtcpFb<'a>> {
        self.attributes("rtcp-fb").filter_map(|feedback| RtcpFb::parse(feedback.value))
    }

    /// Its header extensions, or the session's if it names none.
    pub fn extensions(self) -> Vec<ExtMap<'a>> {
        let own: Vec<_> =
            self.attributes("extmap").filter_map(|ext| ExtMap::parse(ext.value)).collect();
        if own.is_empty() {
            self.session_attributes("extmap").filter_map(|ext| ExtMap::parse(ext.value)).collect()
        } else {
            own
        }
    }

    /// The SSRCs that it names, each attribute line once, in order.
    pub fn ssrcs(self) -> impl Iterator<Item = u32> {
        self.attributes("ssrc")
            .filter_map(|ssrc| ssrc.value.split_ascii_whitespace().next()?.parse().ok())
    }

    /// How SSRCs belong together.
    pub fn ssrc_groups(self) -> impl Iterator<Item = SsrcGroup<'a>> {
        self.attributes("ssrc-group").filter_map(|group| SsrcGroup::parse(group.value))
    }

    /// The stream and track that it belongs to (RFC 8830 §2).
    pub fn msid(self) -> Option<(&'a str, Option<&'a str>)> {
        let mut words = self.attribute("msid")?.value.split_ascii_whitespace();
        Some((words.next()?, words.next()))
    }

    /// The RTP stream ids that it announces for simulcast, as text (RFC 8851 §4).
    pub fn rids(self) -> impl Iterator<Item = &'a str> {
        self.attributes("rid").filter_map(|rid| rid.value.split_ascii_whitespace().next())
    }

    /// How it offers simulcast, as text (RFC 8853 §5.1).
    pub fn simulcast(self) -> Option<&'a str> {
        self.attribute("simulcast").map(|simulcast| simulcast.value)
    }

    /// Milliseconds of media per packet that the writer wishes for.
    pub fn ptime(self) -> Option<u32> {
        self.attribute("ptime")?.value.trim_end().parse().ok()
    }

    /// The bandwidth of one type, such as `AS` (kilobit/s) or `TIAS` (bit/s).
    pub fn bandwidth(self, kind: &str) -> Option<u64> {
        self.lines().find_map(|line| {
            let (found, value) = line.strip_prefix("b=")?.split_once(':')?;
            (found == kind).then(|| value.trim_end().parse().ok())?
        })
    }

    /// The address of its `c=` line, or the session's.
    pub fn connection(self) -> Option<IpAddr> {
        self.own_connection()
            .or_else(|| self.head().lines().find_map(|(line, _)| connection_address(line)))
    }

    /// Where its RTP goes without ICE.
    pub fn rtp_address(self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.connection()?, self.line().port))
    }

    /// Where its RTCP goes without ICE and rtcp-mux: `a=rtcp`, or the port above (RFC 3605 §2.1).
    pub fn rtcp_address(self) -> Option<SocketAddr> {
        let Some(rtcp) = self.attribute("rtcp") else {
            return Some(SocketAddr::new(self.connection()?, self.line().port.checked_add(1)?));
        };
        let address = match rtcp.value.split_ascii_whitespace().nth(3) {
            Some(address) => address.parse().ok()?,
            None => self.connection()?,
        };
        Some(SocketAddr::new(address, self.rtcp_port()?))
    }

    fn rtcp_port(self) -> Option<u16> {
        self.attribute("rtcp")?.value.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Its candidates, at most [`CANDIDATES_MAX`]; those that the node cannot use are passed over.
    pub fn candidates(self) -> impl Iterator<Item = Candidate> {
        self.attributes("candidate")
            .filter_map(|candidate| Candidate::parse(candidate.value).ok().flatten())
            .take(CANDIDATES_MAX)
    }

    /// Whether no candidate will come after these (RFC 8838 §14).
    pub fn end_of_candidates(self) -> bool {
        self.inherited("end-of-candidates").is_some()
    }

    /// Whether an ICE option such as `trickle` is named.
    pub fn ice_option(self, option: &str) -> bool {
        self.attributes("ice-options")
            .chain(self.session_attributes("ice-options"))
            .any(|options| options.value.split_ascii_whitespace().any(|found| found == option))
    }

    /// Its transport profile, if that is RTP over UDP.
    pub fn profile(self) -> Option<Profile> {
        Profile::parse(&self.line().profile)
    }

    /// Whether it has ICE credentials (RFC 8839 §5.4).
    pub fn offers_ice(self) -> bool {
        self.inherited("ice-ufrag").is_some() && self.inherited("ice-pwd").is_some()
    }

    /// Whether it names a certificate for DTLS (RFC 8122 §5).
    pub fn offers_dtls(self) -> bool {
        self.inherited("fingerprint").is_some()
    }

    /// Whether it has an SDES key that can be used.
    pub fn offers_sdes(self) -> bool {
        self.cryptos().any(|crypto| crypto.is_ok())
    }

    /// Whether its RTCP may come to the port of its RTP: it says so, or names that port for both
    /// (RFC 5761 §5.1.1, RFC 8858 §3). A trickling writer's port 9 names nothing.
    pub fn offers_rtcp_mux(self) -> bool {
        let names_one_port = || {
            let rtp = self.rtp_address().filter(|rtp| !is_placeholder(*rtp));
            self.has("rtcp") && rtp.is_some_and(|rtp| self.rtcp_port() == Some(rtp.port()))
        };
        self.has("rtcp-mux") || self.has("rtcp-mux-only") || names_one_port()
    }

    /// Whether it is put on hold by the address `0.0.0.0` or `::` (RFC 3264 §8.4), which a trickling
    /// writer has with port 9 (RFC 8840 §4.1.1).
    pub fn is_held_by_address(self) -> bool {
        let held = |rtp: &SocketAddr| rtp.ip().is_unspecified() && !is_placeholder(*rtp);
        self.rtp_address().as_ref().is_some_and(held)
    }

    /// The address of its own `c=` line.
    pub(super) fn own_connection(self) -> Option<IpAddr> {
        self.lines().find_map(connection_address)
    }

    /// Its `m=` line and those below, each with its ending.
    pub(super) fn lines_with_endings(self) -> impl Iterator<Item = (&'a str, &'static str)> {
        let (start, end) = self.range();
        self.sdp.lines[start - 1..end].iter().map(|line| (line.text.as_str(), line.ending))
    }

    /// Puts the blame on its `m=` line.
    pub(super) fn blame(self, kind: SdpErrorKind) -> SdpError {
        self.sdp.blame(kind, self.line().line)
    }

    /// Puts the blame on one of the description's lines.
    pub(super) fn blame_line(self, kind: SdpErrorKind, line: usize) -> SdpError {
        self.sdp.blame(kind, line)
    }

    /// The session's attributes with this name.
    pub(super) fn session_attributes(self, name: &'a str) -> impl Iterator<Item = Attribute<'a>> {
        self.head().attributes(name)
    }

    /// What stands above the m-lines of its session.
    fn head(self) -> SessionHead<'a> {
        let index = self.sdp.sessions.partition_point(|session| session.media <= self.index);
        SessionHead { sdp: self.sdp, index: index.saturating_sub(1) }
    }

    fn lines(self) -> impl Iterator<Item = &'a str> {
        let (start, end) = self.range();
        self.sdp.lines[start..end].iter().map(|line| line.text.as_str())
    }

    /// The lines below the `m=` line, as indexes.
    fn range(self) -> (usize, usize) {
        let next = self.sdp.media.get(self.index + 1).map(|next| next.line - 1);
        let end = next.unwrap_or(self.sdp.lines.len());
        let session = self.head().next().map_or(end, |next| next.line);
        (self.line().line, end.min(session))
    }
}

fn read_lines(text: &str) -> Result<Vec<Line>, SdpError> {
    let mut lines = Vec::new();
    for raw in text.split_inclusive('\n') {
        let (text, ending) = if let Some(text) = raw.strip_suffix("\r\n") {
            (text, "\r\n")
        } else if let Some(text) = raw.strip_suffix('\n') {
            (text, "\n")
        } else {
            (raw, "")
        };
        if lines.len() == LINES_MAX {
            return Err(SdpError::whole(SdpErrorKind::TooManyLines));
        }
        if text.len() > LINE_MAX {
            return Err(SdpError::on(SdpErrorKind::LineTooLong, lines.len() + 1, text));
        }
        lines.push(Line { text: text.into(), ending });
    }
    Ok(lines)
}

/// What stands behind `a=name:`; empty for `a=name`.
fn attribute_value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
    match rest.as_bytes().first() {
        None => Some(""),
        Some(b':') => Some(&rest[1..]),
        Some(_) => rest.trim().is_empty().then_some(""),
    }
}

fn connection_address(line: &str) -> Option<IpAddr> {
    let address = line.strip_prefix("c=")?.split_ascii_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

/// What a writer says that has no candidate yet (RFC 8840 §4.1.1).
fn is_placeholder(address: SocketAddr) -> bool {
    address.ip().is_unspecified() && address.port() == 9
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}
