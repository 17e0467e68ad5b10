//! A description as it is written: lines that stay, and lines of the proxy's own.

use std::fmt::{self, Write};

/// The text so far.
pub(super) struct Text(String);

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Repeats a line with its ending. Blank lines end a description for some readers, so whatever
    /// is added behind them would be lost: they go.
    pub(super) fn keep(&mut self, line: &str, ending: &str) {
        if !line.trim().is_empty() {
            self.end_line();
            self.0.push_str(line);
            self.0.push_str(ending);
        }
    }

    /// Writes a line of the proxy's own, which ends as RFC 8866 §5 wants it.
    pub(super) fn own(&mut self, line: fmt::Arguments<'_>) {
        self.change(line, "\r\n");
    }

    /// Writes a line in the place of one that ended so. It is one line whatever stands in it.
    pub(super) fn change(&mut self, line: fmt::Arguments<'_>, ending: &str) {
        self.end_line();
        // Writing into a string cannot fail.
        let _ = OneLine(&mut self.0).write_fmt(line);
        self.0.push_str(ending);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// The last line of what came may lack its end.
    fn end_line(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with('\n') {
            self.0.push_str("\r\n");
        }
    }
}

struct OneLine<'a>(&'a mut String);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().filter(|c| !matches!(c, '\r' | '\n')));
        Ok(())
    }
}

/// An attribute line's name and value; the value of a flag is empty.
pub(super) fn attribute(line: &str) -> Option<(&str, &str)> {
    let attribute = line.strip_prefix("a=")?;
    Some(attribute.split_once(':').unwrap_or((attribute.trim_end(), "")))
}
