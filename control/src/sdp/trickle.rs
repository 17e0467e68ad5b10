//! Candidates that come after the description, as `candidate:…` lines.

use super::candidate::{Candidate, RTCP, RTP};
use super::error::{SdpError, SdpErrorKind};
use super::{CANDIDATES_MAX, LINE_MAX};

/// What one trickle request brought. The m-lines of a leg are bundled, so it matters not for which
/// one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trickled {
    /// The candidates that the node can use, at most [`CANDIDATES_MAX`].
    pub candidates: Vec<Candidate>,
    /// Whether these were the last.
    pub end_of_candidates: bool,
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
        let is_new = |found: &Candidate| {
            matches!(found.component, RTP | RTCP) && !self.candidates.contains(found)
        };
        if let Some(candidate) = candidate.filter(is_new) {
            if self.candidates.len() == CANDIDATES_MAX {
                return Err(blame(SdpErrorKind::TooManyCandidates));
            }
            self.candidates.push(candidate);
        }
        Ok(true)
    }
}
