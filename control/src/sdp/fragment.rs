//! `application/trickle-ice-sdpfrag`: the part of a description that says how to reach its writer
//! (RFC 8840 §9), as WHIP and WHEP send it to and fro (RFC 9725 §4.3).
//!
//! A leg of WHIP or WHEP has one transport, so what counts is what the fragment says of any m-line that the leg
//! has; m-lines that it does not have are passed over with all that stands below them.

use std::fmt;

use zeroize::Zeroizing;

use super::candidate::{Candidate, RTP};
use super::error::{SdpError, SdpErrorKind};
use super::model::{MediaSection, Sdp};
use super::value::{IceCredentials, is_token};
use super::{CANDIDATES_MAX, LINE_MAX, LINES_MAX, MEDIA_MAX, MID_MAX, TEXT_MAX};

/// A fragment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Whether its writer is an ICE lite agent.
    pub lite: bool,
    /// The writer's ICE options, such as `trickle ice2`.
    pub options: Option<String>,
    /// Milliseconds between the writer's checks (RFC 8839 §5.6).
    pub pacing: Option<u32>,
    /// The MIDs of the BUNDLE group.
    pub bundle: Vec<String>,
    /// What stands above the first m-line.
    pub session: Section,
    /// The m-lines, each with what stands below it.
    pub media: Vec<Section>,
}

/// A part of a fragment: what stands above the first m-line, or an m-line with the lines below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// What stands behind `m=`; empty above the first m-line.
    pub line: String,
    /// Its MID.
    pub mid: Option<String>,
    /// Its ICE credentials.
    pub credentials: Option<IceCredentials>,
    /// The candidates that the node can use.
    pub candidates: Vec<Candidate>,
    /// Whether no more will come.
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Reads a fragment. Lines that are about something else are passed over.
    ///
    /// # Errors
    /// When it is too large in any way, has too many candidates, has a ufrag without a password or
    /// the reverse, or a line of it cannot be read.
    pub fn parse(body: &str) -> Result<Self, SdpError> {
        if body.len() > TEXT_MAX {
            return Err(SdpError::whole(SdpErrorKind::TooLong));
        }
        let mut reader = Reader::default();
        for (index, line) in body.lines().enumerate() {
            if index == LINES_MAX {
                return Err(SdpError::whole(SdpErrorKind::TooManyLines));
            }
            if line.len() > LINE_MAX {
                return Err(SdpError::on(SdpErrorKind::LineTooLong, index + 1, line));
            }
            reader.take(line.trim_end(), index + 1)?;
        }
        reader.finish()
    }

    /// What a description says of its transport: the m-line that stands first in the BUNDLE group,
    /// or the first that is in use (RFC 9725 §4.3.2).
    ///
    /// # Errors
    /// When its credentials cannot be read.
    pub fn of(sdp: &Sdp) -> Result<Self, SdpError> {
        let bundle: Vec<String> =
            sdp.bundles().next().map_or_else(Vec::new, |mids| mids.map(Into::into).collect());
        let tagged = |section: &MediaSection<'_>| {
            section.attribute("mid").map(|mid| mid.value.trim_end())
                == bundle.first().map(String::as_str)
        };
        let in_use = || sdp.media().filter(|section| !section.is_rejected());
        let section = in_use().find(tagged).or_else(|| in_use().next());
        let section = section.ok_or_else(|| SdpError::whole(SdpErrorKind::NoMedia))?;
        let value = |name| section.inherited(name).map(|found| found.value.trim_end());
        let credentials = value("ice-ufrag").zip(value("ice-pwd"));
        let credentials = credentials
            .filter(|(u, p)| IceCredentials::is_ufrag(u) && IceCredentials::is_password(p));
        let (ufrag, password) =
            credentials.ok_or_else(|| section.blame(SdpErrorKind::NoIceCredentials))?;
        let line = section.line();
        let media = Section {
            line: format!("{} 9 {} {}", line.kind, line.profile, line.formats.join(" ")),
            mid: section.mid()?.map(Into::into),
            credentials: Some(IceCredentials::new(ufrag, password)),
            candidates: section.candidates().collect(),
            end_of_candidates: section.end_of_candidates(),
        };
        Ok(Self {
            lite: sdp.ice_lite(),
            options: value("ice-options").map(Into::into),
            pacing: sdp.attribute("ice-pacing").and_then(|pacing| pacing.value.trim().parse().ok()),
            bundle,
            session: Section::default(),
            media: vec![media],
        })
    }

    /// Whether it has m-lines, and none of them has one of these MIDs. An m-line without a MID is
    /// taken for one that has.
    pub fn is_foreign(&self, mids: &[String]) -> bool {
        !self.media.is_empty() && self.known(mids).next().is_none()
    }

    /// The credentials of the transport that the m-lines with these MIDs share.
    pub fn credentials<'a>(&'a self, mids: &'a [String]) -> Option<&'a IceCredentials> {
        let own = self.known(mids).find_map(|section| section.credentials.as_ref());
        own.or(self.session.credentials.as_ref())
    }

    /// The candidates of that transport, each once.
    pub fn candidates<'a>(&'a self, mids: &'a [String]) -> Vec<&'a Candidate> {
        let mut all: Vec<&Candidate> = Vec::new();
        for section in [&self.session].into_iter().chain(self.known(mids)) {
            for candidate in &section.candidates {
                if !all.contains(&candidate) {
                    all.push(candidate);
                }
            }
        }
        all
    }

    /// Whether that transport will have no more candidates.
    pub fn end_of_candidates(&self, mids: &[String]) -> bool {
        self.session.end_of_candidates || self.known(mids).any(|section| section.end_of_candidates)
    }

    fn known<'a>(&'a self, mids: &'a [String]) -> impl Iterator<Item = &'a Section> {
        self.media.iter().filter(|section| section.mid.as_ref().is_none_or(|m| mids.contains(m)))
    }
}

impl fmt::Display for Fragment {
    /// Writes it as the body of a request or response. Holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lite {
            f.write_str("a=ice-lite\r\n")?;
        }
        if let Some(options) = &self.options {
            write!(f, "a=ice-options:{options}\r\n")?;
        }
        if let Some(pacing) = self.pacing {
            write!(f, "a=ice-pacing:{pacing}\r\n")?;
        }
        if !self.bundle.is_empty() {
            write!(f, "a=group:BUNDLE {}\r\n", self.bundle.join(" "))?;
        }
        self.session.fmt(f)?;
        self.media.iter().try_for_each(|section| {
            write!(f, "m={}\r\n", section.line)?;
            section.fmt(f)
        })
    }
}

impl fmt::Display for Section {
    /// Writes the lines below its m-line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mid) = &self.mid {
            write!(f, "a=mid:{mid}\r\n")?;
        }
        if let Some(credentials) = &self.credentials {
            write!(f, "a=ice-ufrag:{}\r\n", credentials.ufrag)?;
            write!(f, "a=ice-pwd:{}\r\n", credentials.password.as_str())?;
        }
        for candidate in &self.candidates {
            write!(f, "a={candidate}\r\n")?;
        }
        if self.end_of_candidates {
            f.write_str("a=end-of-candidates\r\n")?;
        }
        Ok(())
    }
}

/// A fragment as far as it is read.
#[derive(Default)]
struct Reader {
    fragment: Fragment,
    section: Section,
    ufrag: Option<(String, usize)>,
    password: Option<(Zeroizing<String>, usize)>,
    candidates: usize,
    lines: usize,
}

impl Reader {
    fn take(&mut self, line: &str, number: usize) -> Result<(), SdpError> {
        if let Some(media) = line.strip_prefix("m=") {
            return self.begin(media, number);
        }
        let Some(attribute) = line.strip_prefix("a=") else { return Ok(()) };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let blame = |kind| SdpError::on(kind, number, line);
        let fragment = &mut self.fragment;
        match name {
            "ice-lite" => fragment.lite = true,
            "ice-options" => fragment.options = Some(value.into()).filter(|_| is_printable(value)),
            "ice-pacing" => fragment.pacing = value.trim().parse().ok(),
            "group" => {
                let mut words = value.split_ascii_whitespace();
                if words.next() == Some("BUNDLE") && fragment.bundle.is_empty() {
                    fragment.bundle = words.filter(|mid| is_token(mid)).map(Into::into).collect();
                }
            }
            "mid" if is_token(value) && value.len() <= MID_MAX => {
                self.section.mid = Some(value.into());
            }
            "mid" => return Err(blame(SdpErrorKind::BadMid)),
            "ice-ufrag" if IceCredentials::is_ufrag(value) => {
                self.ufrag = Some((value.into(), number));
            }
            "ice-pwd" if IceCredentials::is_password(value) => {
                self.password = Some((Zeroizing::new(value.into()), number));
            }
            "ice-ufrag" | "ice-pwd" => return Err(blame(SdpErrorKind::BadIceCredentials)),
            "end-of-candidates" => self.section.end_of_candidates = true,
            "candidate" if value.is_empty() => self.section.end_of_candidates = true,
            "candidate" => self.candidate(value, number)?,
            _ => {}
        }
        Ok(())
    }

    fn candidate(&mut self, value: &str, number: usize) -> Result<(), SdpError> {
        let blame = |kind| SdpError::on(kind, number, "a=candidate:");
        self.candidates += 1;
        if self.candidates > CANDIDATES_MAX {
            return Err(blame(SdpErrorKind::TooManyCandidates));
        }
        let read = Candidate::parse(value).map_err(|_| blame(SdpErrorKind::BadCandidate))?;
        // With rtcp-mux there is only component 1 (RFC 5761 §5.1.3).
        self.section.candidates.extend(read.filter(|candidate| candidate.component == RTP));
        Ok(())
    }

    /// Ends a section and begins the next.
    fn begin(&mut self, line: &str, number: usize) -> Result<(), SdpError> {
        let blame = |kind| SdpError::on(kind, number, "m=");
        self.lines += 1;
        if self.lines > MEDIA_MAX {
            return Err(blame(SdpErrorKind::TooManyMedia));
        }
        let words = line.split_ascii_whitespace().count();
        if words < 3 || !is_printable(line) {
            return Err(blame(SdpErrorKind::MalformedMedia));
        }
        self.end()?;
        self.section.line = line.into();
        Ok(())
    }

    fn end(&mut self) -> Result<(), SdpError> {
        let mut section = std::mem::take(&mut self.section);
        section.credentials = match (self.ufrag.take(), self.password.take()) {
            (Some((ufrag, _)), Some((password, _))) => Some(IceCredentials { ufrag, password }),
            (None, None) => None,
            (Some((_, line)), None) => {
                return Err(SdpError::on(SdpErrorKind::LoneIceCredential, line, "a=ice-ufrag:"));
            }
            (None, Some((_, line))) => {
                return Err(SdpError::on(SdpErrorKind::LoneIceCredential, line, "a=ice-pwd:"));
            }
        };
        if section.line.is_empty() {
            self.fragment.session = section;
        } else {
            self.fragment.media.push(section);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Fragment, SdpError> {
        self.end()?;
        Ok(self.fragment)
    }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
