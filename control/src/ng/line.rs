//! Flags that come as one text, `rtpp-flags`: the words of a proxy's script as they stand there.
//!
//! ```text
//! replace-origin ICE=force RTP/SAVPF direction=pub direction=priv codec=[strip=[a b] offer=[c]]
//! └ flag         └ key=value                                      └ key=dictionary of lists
//! ```
//!
//! Words are parted by spaces; brackets hold a list, or a dictionary if the first word has a `=`. A
//! bracket that is not closed ends with the text.

use super::value::{Dictionary, Value};
use super::{DEPTH_MAX, ENTRIES_MAX};

/// A word of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// A word without a value.
    Flag(&'a str),
    /// A word with a value.
    Key(&'a str, Value),
}

/// The words of a text, [`ENTRIES_MAX`] at most.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    pieces(text).take(ENTRIES_MAX).map(|piece| match piece.split_once('=') {
        Some((key, value)) if !value.is_empty() => Word::Key(key, read(value, 1)),
        Some((key, _)) => Word::Flag(key),
        None => Word::Flag(piece),
    })
}

fn read(text: &str, depth: usize) -> Value {
    match text.strip_prefix('[') {
        Some(inside) if depth < DEPTH_MAX => {
            inner(inside.strip_suffix(']').unwrap_or(inside), depth + 1)
        }
        _ => text.into(),
    }
}

fn inner(text: &str, depth: usize) -> Value {
    let is_dictionary = pieces(text).next().is_some_and(|piece| key_of(piece).is_some());
    if !is_dictionary {
        return Value::List(
            pieces(text).take(ENTRIES_MAX).map(|piece| read(piece, depth)).collect(),
        );
    }
    let mut dictionary = Dictionary::new();
    for (key, value) in pieces(text).take(ENTRIES_MAX).filter_map(key_of) {
        dictionary.push(key, read(value, depth));
    }
    Value::Dictionary(dictionary)
}

fn key_of(piece: &str) -> Option<(&str, &str)> {
    piece.split_once('=').filter(|(key, _)| !key.starts_with('['))
}

/// Cuts at spaces outside brackets.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c.is_ascii_whitespace() && depth == 0
    })
    .filter(|piece| !piece.is_empty())
}
