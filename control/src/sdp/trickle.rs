//! Candidates that come after the description: `candidate:…` lines from REST, and the
//! `application/trickle-ice-sdpfrag` body of WHIP and SIP (RFC 8840 §9).

use super::candidate::Candidate;
use super::error::{SdpError, SdpErrorKind};
use super::value::IceCredentials;
use super::{CANDIDATES_MAX, LINE_MAX, TEXT_MAX};

/// What one trickle request brought. A leg has one transport, so it matters not for which m-line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trickled {
    /// The candidates that the node can use, at most [`CANDIDATES_MAX`].
    pub candidates: Vec<Candidate>,
    /// Whether these were the last.
    pub end_of_candidates: bool,
    /// The credentials of the ICE generation that they belong to, if told. Others than the leg's
    /// mean that the far side restarts ICE.
    pub credentials: Option<IceCredentials>,
}

impl Trickled {
    /// Reads `candidate:…` lines, with or without `a=`. An empty line, or
    /// `end-of-candidates`, says that no more will come, as browsers do.
    ///
    /// # Errors
    /// When there are too many or one cannot be read; its place in the list, from 1, stands for
    /// the line.
    pub fn from_lines<L: AsRef<str>>(lines: &[L]) -> Result<Self, SdpError> {
        if lines.len() > CANDIDATES_MAX {
            return Err(SdpError::whole(SdpErrorKind::TooManyCandidates));
        }
        let mut trickled = Self::default();
        for (index, line) in lines.iter().enumerate() {
            let line = line.as_ref();
            let attribute = line.strip_prefix("a=").unwrap_or(line).trim();
            let is_known = attribute.is_empty() || trickled.take(attribute, index + 1)?;
            if !is_known {
                return Err(SdpError::on(SdpErrorKind::BadCandidate, index + 1, ""));
            }
            trickled.end_of_candidates |= attribute.is_empty();
        }
        Ok(trickled)
    }

    /// Reads an `application/trickle-ice-sdpfrag` body. Lines that say nothing of candidates or
    /// credentials are passed over.
    ///
    /// # Errors
    /// When it is too long, has too many candidates, or a line of it cannot be read.
    pub fn from_fragment(body: &str) -> Result<Self, SdpError> {
        if body.len() > TEXT_MAX {
            return Err(SdpError::whole(SdpErrorKind::TooLong));
        }
        let mut trickled = Self::default();
        let (mut ufrag, mut password) = (None, None);
        for (index, line) in body.lines().enumerate() {
            let blame = || SdpError::on(SdpErrorKind::BadIceCredentials, index + 1, line);
            let Some(attribute) = line.strip_prefix("a=").map(str::trim_end) else { continue };
            if let Some(value) = attribute.strip_prefix("ice-ufrag:") {
                ufrag = Some(value).filter(|value| IceCredentials::is_ufrag(value));
                ufrag.ok_or_else(blame)?;
            } else if let Some(value) = attribute.strip_prefix("ice-pwd:") {
                password = Some(value).filter(|value| IceCredentials::is_password(value));
                password.ok_or_else(blame)?;
            } else {
                trickled.take(attribute, index + 1)?;
            }
        }
        trickled.credentials = ufrag.zip(password).map(|(u, p)| IceCredentials::new(u, p));
        Ok(trickled)
    }

    /// Takes one attribute; tells whether it was about candidates.
    fn take(&mut self, attribute: &str, line: usize) -> Result<bool, SdpError> {
        if attribute == "end-of-candidates" {
            self.end_of_candidates = true;
            return Ok(true);
        }
        let Some(value) = attribute.strip_prefix("candidate:") else { return Ok(false) };
        let blame = |kind| SdpError::on(kind, line, "a=candidate:");
        if value.is_empty() {
            self.end_of_candidates = true;
            return Ok(true);
        }
        if value.len() > LINE_MAX {
            return Err(blame(SdpErrorKind::BadCandidate));
        }
        let candidate = Candidate::parse(value).map_err(|_| blame(SdpErrorKind::BadCandidate))?;
        // With rtcp-mux there is only component 1 (RFC 5761 §5.1.3).
        let is_new = |found: &Candidate| found.component == 1 && !self.candidates.contains(found);
        if let Some(candidate) = candidate.filter(is_new) {
            if self.candidates.len() == CANDIDATES_MAX {
                return Err(blame(SdpErrorKind::TooManyCandidates));
            }
            self.candidates.push(candidate);
        }
        Ok(true)
    }
}
