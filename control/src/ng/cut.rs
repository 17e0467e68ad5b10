//! Where a frame ends that comes over a connection. Nothing stands between frames but, where people
//! write them, line ends: a document says itself where it ends.
//!
//! As rtpengine does over TCP, except that JSON ends, too, and that what can never become a frame is an error
//! at once.

use super::{COOKIE_MAX, DOCUMENT_MAX};
use super::{Format, Frame, FrameError};

/// Finds the end of the frame that is coming in. What was passed is not looked at again, however few bytes
/// come at a time.
#[derive(Debug, Default)]
pub struct Cut {
    /// Bytes of the frame that were looked at; may be ahead of what has come.
    at: usize,
    /// The document's format, once it has begun.
    format: Option<Format>,
    /// Lists and dictionaries that are open.
    depth: usize,
    /// Whether a text of JSON is open.
    quoted: bool,
}

/// Why no frame can come of these bytes, nor of any behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// No cookie, or too long a one.
    #[error(transparent)]
    Cookie(#[from] FrameError),
    /// Neither bencode nor JSON.
    #[error("neither a bencode dictionary nor a JSON object stands behind the cookie")]
    NoDocument,
    /// Longer than [`FRAME_MAX`].
    #[error("the frame is longer than {FRAME_MAX} bytes")]
    TooLong,
}

/// What comes next in a frame.
struct Token {
    length: usize,
    /// What it does to the depth.
    deeper: isize,
}

impl Cut {
    /// The length of the frame that `bytes` begin with, once it has come whole: then the next call is for
    /// the frame behind it. `None` asks for more bytes; the same ones come again in front of them.
    ///
    /// # Errors
    /// No frame comes of this.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, CutError> {
        while let Some(rest) = bytes.get(self.at..).filter(|rest| !rest.is_empty()) {
            let Some(token) = self.token(rest)? else { break };
            self.at += token.length;
            self.depth = self.depth.saturating_add_signed(token.deeper);
            if token.deeper < 0 && self.depth == 0 {
                return Ok(Some(std::mem::take(self).at));
            }
        }
        let is_full = self.at > FRAME_MAX || bytes.len() >= FRAME_MAX;
        if is_full { Err(CutError::TooLong) } else { Ok(None) }
    }

    fn token(&mut self, rest: &[u8]) -> Result<Option<Token>, CutError> {
        if self.at == 0 {
            return cookie(rest);
        }
        match self.format {
            None => self.begin(rest).map(Some),
            Some(Format::Bencode) => bencode(rest),
            Some(Format::Json) => Ok(Some(self.json(rest[0]))),
        }
    }

    fn begin(&mut self, rest: &[u8]) -> Result<Token, CutError> {
        let format = match rest[0] {
            b'd' => Format::Bencode,
            b'{' => Format::Json,
            _ => return Err(CutError::NoDocument),
        };
        self.format = Some(format);
        Ok(Token { length: 1, deeper: 1 })
    }

    fn json(&mut self, byte: u8) -> Token {
        let (mut length, mut deeper) = (1, 0);
        match byte {
            b'"' => self.quoted = !self.quoted,
            b'\\' if self.quoted => length = 2,
            b'{' | b'[' if !self.quoted => deeper = 1,
            b'}' | b']' if !self.quoted => deeper = -1,
            _ => {}
        }
        Token { length, deeper }
    }
}

fn cookie(rest: &[u8]) -> Result<Option<Token>, CutError> {
    match Frame::split(rest) {
        Ok(frame) => Ok(Some(Token { length: frame.cookie.len() + 1, deeper: 0 })),
        Err(FrameError::NoCookie) if rest[0] != b' ' => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is no value passes byte by byte: whoever reads the document will say so.
fn bencode(rest: &[u8]) -> Result<Option<Token>, CutError> {
    let (mut length, mut deeper) = (1, 0);
    match rest[0] {
        b'd' | b'l' => deeper = 1,
        b'e' => deeper = -1,
        b'i' => {
            let Some(end) = within(rest, b'e') else { return unfinished(rest) };
            length = end + 1;
        }
        b'0'..=b'9' => {
            let Some(colon) = within(rest, b':') else { return unfinished(rest) };
            let digits = std::str::from_utf8(&rest[..colon]).ok();
            let text: Option<usize> = digits.and_then(|digits| digits.parse().ok());
            length =
                text.filter(|text| *text <= DOCUMENT_MAX).ok_or(CutError::TooLong)? + colon + 1;
        }
        _ => {}
    }
    Ok(Some(Token { length, deeper }))
}

fn within(rest: &[u8], end: u8) -> Option<usize> {
    rest.iter().take(NUMBER_MAX).position(|byte| *byte == end)
}

/// A number that may still end, or never will.
fn unfinished(rest: &[u8]) -> Result<Option<Token>, CutError> {
    if rest.len() < NUMBER_MAX { Ok(None) } else { Err(CutError::NoDocument) }
}

/// Bytes of a cookie and its document, most.
pub const FRAME_MAX: usize = COOKIE_MAX + 1 + DOCUMENT_MAX;
/// Bytes from the beginning to the end of a number, most: a sign, 19 digits, what stands around them.
const NUMBER_MAX: usize = 22;
