//! The Prometheus text format: a family's HELP and TYPE, then its samples.

use std::fmt::{Display, Write as _};

/// A page of one prefix.
pub(super) struct Text {
    page: String,
    prefix: &'static str,
}

impl Text {
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { page: String::new(), prefix }
    }

    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let prefix = self.prefix;
        // Writing to a string cannot fail.
        let _ = writeln!(self.page, "# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}");
    }

    /// Adds a sample to the family that was begun last.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        let braced = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(self.page, "{}{name}{braced} {value}", self.prefix);
    }

    /// Adds a family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.page
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
