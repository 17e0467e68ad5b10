//! Replies: `result` and what goes with it.

use super::{CallStats, Dictionary, Format, LoadLimit, NgError, Value};

/// A reply. As rtpengine writes it, `result` is the last of a good one, and the first of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    entries: Dictionary,
    /// What is told of a call.
    call: Option<(Box<CallStats>, Extent)>,
    /// The result that is still to be written.
    result: Option<&'static str>,
}

/// How much is told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Brief,
}

impl Reply {
    /// It was done.
    pub fn ok() -> Self {
        Self { entries: Dictionary::new(), call: None, result: Some("ok") }
    }

    /// Here I am.
    pub fn pong() -> Self {
        Self { entries: Dictionary::new(), call: None, result: Some("pong") }
    }

    /// It was not done. A limit that was reached is told in the way that lets the client try another
    /// node: as `load limit` if it supports that, else as the one error that every client tries another node on.
    pub fn refusal(error: NgError, supports_load_limit: bool) -> Self {
        match error {
            NgError::Limited(limit) if supports_load_limit => Self::load_limit(limit),
            NgError::Limited(_) => Self::error(NgError::Limited(LoadLimit::Sessions)),
            error => Self::error(error),
        }
    }

    /// It was not done, and this is why.
    pub fn error(error: NgError) -> Self {
        Self::failure("error", "error-reason", &error.to_string())
    }

    fn load_limit(limit: LoadLimit) -> Self {
        Self::failure("load limit", "message", &limit.to_string())
    }

    fn failure(result: &str, name: &str, text: &str) -> Self {
        let entries = Dictionary::new().with("result", result).with(name, text);
        Self { entries, call: None, result: None }
    }

    /// The same with one value more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.entries.push(name, value);
        self
    }

    /// The same with a rewritten description.
    #[must_use]
    pub fn with_sdp(self, sdp: &str) -> Self {
        self.with("sdp", sdp)
    }

    /// The same with what did not quite fit.
    #[must_use]
    pub fn with_warning(self, warning: &str) -> Self {
        self.with("warning", warning)
    }

    /// The same with a tag under this name.
    #[must_use]
    pub fn with_tag(self, name: &str, tag: &str) -> Self {
        self.with(name, tag)
    }

    /// The same with the tags of those whose media a copy is of.
    #[must_use]
    pub fn with_from_tags<'t>(self, tags: impl IntoIterator<Item = &'t str>) -> Self {
        self.with("from-tags", tags.into_iter().map(Value::from).collect::<Vec<_>>())
    }

    /// The same with the ids of calls.
    #[must_use]
    pub fn with_calls<'c>(self, ids: impl IntoIterator<Item = &'c str>) -> Self {
        self.with("calls", ids.into_iter().map(Value::from).collect::<Vec<_>>())
    }

    /// The same with all that is known of a call.
    #[must_use]
    pub fn with_call(mut self, call: &CallStats) -> Self {
        self.call = Some((Box::new(call.clone()), Extent::Whole));
        self
    }

    /// The same with what proxies read of a call that is over: its times, its SSRCs and its totals. It fits
    /// into a datagram where all that is known may not.
    #[must_use]
    pub fn with_call_in_brief(mut self, call: &CallStats) -> Self {
        self.call = Some((Box::new(call.clone()), Extent::Brief));
        self
    }

    /// What it tells of a call, if it does.
    pub fn call(&self) -> Option<&CallStats> {
        self.call.as_ref().map(|(call, _)| &**call)
    }

    /// Whether it says that nothing was done.
    pub fn is_failure(&self) -> bool {
        self.result.is_none()
    }

    /// The document in a format.
    pub fn write(mut self, format: Format) -> Vec<u8> {
        match &self.call {
            Some((call, Extent::Whole)) => call.write(&mut self.entries),
            Some((call, Extent::Brief)) => call.write_brief(&mut self.entries),
            None => {}
        }
        if let Some(result) = self.result {
            self.entries.push("result", result);
        }
        format.write(self.entries)
    }
}
