//! What both formats of a document carry: texts, integers, lists and dictionaries.

use std::borrow::Cow;
use std::fmt;

/// A value of a document.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Bytes, most often of UTF-8.
    Text(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// Values in order.
    List(Vec<Self>),
    /// Values by name, in order.
    Dictionary(Dictionary),
}

impl Value {
    /// The text, if it is one.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// The number, which may be written as text.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The list's values, if it is one.
    pub fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn dictionary(&self) -> Option<&Dictionary> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }
}

/// Shows short texts; of long ones the length, since descriptions carry keys.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) if bytes.len() > SHOWN_MAX => write!(f, "<{} bytes>", bytes.len()),
            Self::Text(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::List(values) => f.debug_list().entries(values).finish(),
            Self::Dictionary(dictionary) => dictionary.fmt(f),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// Counters stop at the largest number that the formats carry.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Vec<Self>> for Value {
    fn from(values: Vec<Self>) -> Self {
        Self::List(values)
    }
}

impl From<Dictionary> for Value {
    fn from(dictionary: Dictionary) -> Self {
        Self::Dictionary(dictionary)
    }
}

/// Values by name, in the order in which they were written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dictionary(Vec<(Vec<u8>, Value)>);

impl Dictionary {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value under this name, however its words are joined.
    pub fn lookup(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| is_same_name(key, name.as_bytes())).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value))
    }

    /// Adds a value behind the others.
    pub fn push(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    /// The same with one value more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.push(name, value);
        self
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(key, value)| (String::from_utf8_lossy(key), value)))
            .finish()
    }
}

/// A name with hyphens between its words; as many bytes as before.
pub(super) fn canonical(name: &str) -> String {
    name.replace([' ', '_'], "-")
}

fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one.iter().copied().map(joined).eq(other.iter().copied().map(joined))
}

fn joined(byte: u8) -> u8 {
    if matches!(byte, b' ' | b'_') { b'-' } else { byte }
}

/// Bytes of a text that are shown, most.
const SHOWN_MAX: usize = 64;
