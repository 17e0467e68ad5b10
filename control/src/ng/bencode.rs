//! Bencode: `4:text`, `i42e`, `l…e`, `d…e`.
//!
//! Keys of a dictionary are texts in any order, and come back in it. Each value is written in one way
//! only: lengths and numbers have no leading zeros, zero has no sign.

use super::value::{Dictionary, Value};
use super::{DEPTH_MAX, DOCUMENT_MAX, ENTRIES_MAX};

/// Why bytes are no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// Longer than [`DOCUMENT_MAX`].
    #[error("longer than {DOCUMENT_MAX} bytes")]
    TooLong,
    /// Deeper than [`DEPTH_MAX`].
    #[error("more than {DEPTH_MAX} levels")]
    TooDeep,
    /// More values than [`ENTRIES_MAX`].
    #[error("more than {ENTRIES_MAX} values")]
    TooManyEntries,
    /// It ends within a value.
    #[error("it ends within a value")]
    Truncated,
    /// No value begins with this byte.
    #[error("no value begins with byte {0}")]
    UnknownKind(u8),
    /// A text's length that is no plain number.
    #[error("the length of a text is no plain number")]
    BadLength,
    /// An integer that is no plain number of 64 bits.
    #[error("an integer is no plain number")]
    BadInteger,
    /// A dictionary's key that is no text.
    #[error("a key is no text")]
    KeyIsNoText,
    /// A key without a value.
    #[error("a key has no value")]
    NoValue,
    /// Bytes behind the document.
    #[error("there is more behind the document")]
    Trailing,
}

/// Reads one value that all of `bytes` belong to.
///
/// # Errors
/// What is wrong with the first byte that is wrong, or which limit is exceeded.
pub fn decode(bytes: &[u8]) -> Result<Value, BencodeError> {
    if bytes.len() > DOCUMENT_MAX {
        return Err(BencodeError::TooLong);
    }
    let mut reader = Reader { rest: bytes, entries: ENTRIES_MAX };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(BencodeError::Trailing) }
}

/// Writes a value; dictionaries keep their order.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Values that may still come.
    entries: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, BencodeError> {
        self.entries = self.entries.checked_sub(1).ok_or(BencodeError::TooManyEntries)?;
        let inner = depth + 1;
        match self.peek()? {
            b'0'..=b'9' => Ok(Value::Text(self.text()?.to_vec())),
            b'i' => self.integer(),
            b'l' | b'd' if inner > DEPTH_MAX => Err(BencodeError::TooDeep),
            b'l' => self.list(inner),
            b'd' => self.dictionary(inner),
            other => Err(BencodeError::UnknownKind(other)),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], BencodeError> {
        let digits = self.until(b':', LENGTH_DIGITS_MAX, BencodeError::BadLength)?;
        let length: usize = plain(digits).ok_or(BencodeError::BadLength)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(BencodeError::Truncated)?;
        self.rest = rest;
        Ok(text)
    }

    fn integer(&mut self) -> Result<Value, BencodeError> {
        self.skip();
        let digits = self.until(b'e', INTEGER_DIGITS_MAX, BencodeError::BadInteger)?;
        plain(digits).map(Value::Integer).ok_or(BencodeError::BadInteger)
    }

    fn list(&mut self, depth: usize) -> Result<Value, BencodeError> {
        self.skip();
        let mut values = Vec::new();
        while !self.ends()? {
            values.push(self.value(depth)?);
        }
        Ok(Value::List(values))
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value, BencodeError> {
        self.skip();
        let mut dictionary = Dictionary::new();
        while !self.ends()? {
            if !self.peek()?.is_ascii_digit() {
                return Err(BencodeError::KeyIsNoText);
            }
            let key = self.text()?;
            if self.peek()? == b'e' {
                return Err(BencodeError::NoValue);
            }
            dictionary.push(key, self.value(depth)?);
        }
        Ok(Value::Dictionary(dictionary))
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.rest.first().copied().ok_or(BencodeError::Truncated)
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Whether the list or dictionary ends here; then its end is passed.
    fn ends(&mut self) -> Result<bool, BencodeError> {
        let ends = self.peek()? == b'e';
        if ends {
            self.skip();
        }
        Ok(ends)
    }

    /// What stands before `end`, which is passed, too.
    fn until(
        &mut self,
        end: u8,
        longest: usize,
        fault: BencodeError,
    ) -> Result<&'a [u8], BencodeError> {
        let window = &self.rest[..self.rest.len().min(longest + 1)];
        let Some(at) = window.iter().position(|byte| *byte == end) else {
            let is_cut = window.len() <= longest && window.iter().all(|byte| is_numeric(*byte));
            return Err(if is_cut { BencodeError::Truncated } else { fault });
        };
        let (before, behind) = (&self.rest[..at], &self.rest[at + 1..]);
        self.rest = behind;
        Ok(before)
    }
}

/// The number, if that is how it would be written.
fn plain<N: std::str::FromStr + std::fmt::Display>(digits: &[u8]) -> Option<N> {
    let digits = std::str::from_utf8(digits).ok()?;
    let number: N = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'-'
}

fn write(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Text(text) => write_text(text, bytes),
        Value::Integer(number) => bytes.extend_from_slice(format!("i{number}e").as_bytes()),
        Value::List(values) => {
            bytes.push(b'l');
            values.iter().for_each(|value| write(value, bytes));
            bytes.push(b'e');
        }
        Value::Dictionary(dictionary) => {
            bytes.push(b'd');
            for (key, value) in dictionary.iter() {
                write_text(key, bytes);
                write(value, bytes);
            }
            bytes.push(b'e');
        }
    }
}

fn write_text(text: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(text.len().to_string().as_bytes());
    bytes.push(b':');
    bytes.extend_from_slice(text);
}

/// Digits of a length, most: more than [`DOCUMENT_MAX`] has.
const LENGTH_DIGITS_MAX: usize = 9;
/// Characters of a 64-bit integer, most.
const INTEGER_DIGITS_MAX: usize = 20;
