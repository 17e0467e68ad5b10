//! A datagram: `cookie SP document`, and back (the first space parts them).
//!
//! What has no cookie is not answered, since nobody could tell what for. Everything else is: in the
//! format of the request, or in bencode if that cannot be told.

use super::value::{Dictionary, Value};
use super::{COOKIE_MAX, DOCUMENT_MAX, NgError, bencode, json};

/// A datagram's two parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the client recognises its reply by. Any bytes but a space.
    pub cookie: &'a [u8],
    /// The request or the reply.
    pub document: &'a [u8],
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// From `d` to `e`.
    #[default]
    Bencode,
    /// From `{` to `}`.
    Json,
}

/// Why a datagram gets no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No space, or nothing before it.
    #[error("no cookie stands before the document")]
    NoCookie,
    /// A cookie longer than [`COOKIE_MAX`].
    #[error("the cookie is longer than {COOKIE_MAX} bytes")]
    CookieTooLong,
}

impl<'a> Frame<'a> {
    /// Cuts a datagram at its first space.
    ///
    /// # Errors
    /// There is no cookie, or a too long one: then there is no reply.
    pub fn split(datagram: &'a [u8]) -> Result<Self, FrameError> {
        let start = &datagram[..datagram.len().min(COOKIE_MAX + 1)];
        match start.iter().position(|byte| *byte == b' ') {
            Some(0) => Err(FrameError::NoCookie),
            Some(at) => Ok(Self { cookie: &datagram[..at], document: &datagram[at + 1..] }),
            None if start.len() > COOKIE_MAX => Err(FrameError::CookieTooLong),
            None => Err(FrameError::NoCookie),
        }
    }

    /// The datagram.
    pub fn join(self) -> Vec<u8> {
        [self.cookie, b" ", self.document].concat()
    }
}

/// Shows how long the document is, since descriptions carry keys.
impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cookie = String::from_utf8_lossy(self.cookie);
        write!(f, "Frame {{ {cookie:?}, <{} bytes> }}", self.document.len())
    }
}

impl Format {
    /// The format that a document begins like.
    fn of(document: &[u8]) -> Result<Self, NgError> {
        match document.first() {
            Some(b'd') => Ok(Self::Bencode),
            Some(b'{') => Ok(Self::Json),
            Some(_) => Err(NgError::UnknownFormat),
            None => Err(NgError::NoPayload),
        }
    }

    /// Writes a document.
    pub fn write(self, dictionary: Dictionary) -> Vec<u8> {
        let value = Value::Dictionary(dictionary);
        match self {
            Self::Bencode => bencode::encode(&value),
            Self::Json => json::encode(&value),
        }
    }
}

/// Reads a document, and tells the format that its reply has to have. All of a request that comes
/// without a cookie is its document.
pub fn read(document: &[u8]) -> (Format, Result<Dictionary, NgError>) {
    match Format::of(document) {
        Ok(format) => (format, read_as(format, document)),
        Err(error) => (Format::default(), Err(error)),
    }
}

fn read_as(format: Format, document: &[u8]) -> Result<Dictionary, NgError> {
    // Where people write requests by hand, a line end follows.
    let document = if document.len() > DOCUMENT_MAX { document } else { document.trim_ascii_end() };
    let value = match format {
        Format::Bencode => bencode::decode(document).map_err(NgError::NotBencode)?,
        Format::Json => json::decode(document).map_err(NgError::NotJson)?,
    };
    match value {
        Value::Dictionary(dictionary) => Ok(dictionary),
        _ => Err(NgError::UnknownFormat),
    }
}
