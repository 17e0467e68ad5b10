//! The same documents as JSON, as HTTP clients send them.
//!
//! `true` and `false` are 1 and 0, `null` is as good as absent, a fraction is refused: no key has one.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::value::{Dictionary, Value};
use super::{DEPTH_MAX, DOCUMENT_MAX, ENTRIES_MAX};

/// Why bytes are no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Longer than [`DOCUMENT_MAX`].
    #[error("longer than {DOCUMENT_MAX} bytes")]
    TooLong,
    /// Deeper than [`DEPTH_MAX`].
    #[error("more than {DEPTH_MAX} levels")]
    TooDeep,
    /// More values than [`ENTRIES_MAX`].
    #[error("more than {ENTRIES_MAX} values")]
    TooManyEntries,
    /// A number that is no integer of 64 bits.
    #[error("a number is no integer")]
    NotInteger,
    /// No JSON, or more than one value.
    #[error("no JSON from line {line}, column {column}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// Reads one value that all of `bytes` belong to.
///
/// # Errors
/// Where the JSON is broken, or which limit is exceeded.
pub fn decode(bytes: &[u8]) -> Result<Value, JsonError> {
    if bytes.len() > DOCUMENT_MAX {
        return Err(JsonError::TooLong);
    }
    let budget = Budget { entries: Cell::new(ENTRIES_MAX), fault: Cell::new(None) };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Item { budget: &budget, depth: 0 }.deserialize(&mut reader);
    value.and_then(|value| reader.end().map(|()| value)).map_or_else(
        |error| {
            let (line, column) = (error.line(), error.column());
            Err(budget.fault.get().unwrap_or(JsonError::Malformed { line, column }))
        },
        |value| value.ok_or(JsonError::Malformed { line: 1, column: 1 }),
    )
}

/// Writes a value; dictionaries keep their order. Bytes outside UTF-8 are replaced.
pub fn encode(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value)
        .expect("texts, integers, lists and dictionaries with text keys are JSON")
}

struct Budget {
    /// Values that may still come.
    entries: Cell<usize>,
    /// What was wrong besides the JSON.
    fault: Cell<Option<JsonError>>,
}

/// One value of a document; `None` for `null`.
#[derive(Clone, Copy)]
struct Item<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl Item<'_> {
    fn fail<T, E: Error>(self, fault: JsonError) -> Result<T, E> {
        self.budget.fault.set(Some(fault));
        Err(E::custom(fault))
    }

    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return self.fail(JsonError::TooDeep);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = Option<Value>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        match self.budget.entries.get().checked_sub(1) {
            Some(left) => self.budget.entries.set(left),
            None => return self.fail(JsonError::TooManyEntries),
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, an integer, a list or a dictionary")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => Ok(Some(Value::Integer(value))),
            Err(_) => self.fail(JsonError::NotInteger),
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        self.fail(JsonError::NotInteger)
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(inner)? {
            values.extend(value);
        }
        Ok(Some(Value::List(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut dictionary = Dictionary::new();
        while let Some(key) = members.next_key::<String>()? {
            if let Some(value) = members.next_value_seed(inner)? {
                dictionary.push(key, value);
            }
        }
        Ok(Some(Value::Dictionary(dictionary)))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(bytes) => writer.serialize_str(&String::from_utf8_lossy(bytes)),
            Self::Integer(number) => writer.serialize_i64(*number),
            Self::List(values) => {
                let mut list = writer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Self::Dictionary(dictionary) => {
                let mut map = writer.serialize_map(None)?;
                for (key, value) in dictionary.iter() {
                    map.serialize_entry(&String::from_utf8_lossy(key), value)?;
                }
                map.end()
            }
        }
    }
}
