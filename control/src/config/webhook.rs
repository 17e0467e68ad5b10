//! `[webhook]`: who is told that calls are over.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Secret;

/// `[webhook]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Where records are posted to; nowhere if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<WebhookUrl>,
    /// Which of them.
    pub events: Vec<WebhookEvent>,
    /// What bodies are signed with; not at all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The certificates (PEM) that a receiver is trusted by; those that the system trusts if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { url: None, events: vec![WebhookEvent::CallEnded], secret: None, ca: None }
    }
}

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEvent {
    /// Any call that is over.
    CallEnded,
    /// One that is over since no media came.
    MediaTimeout,
}

impl WebhookEvent {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::CallEnded => "call_ended",
            Self::MediaTimeout => "media_timeout",
        }
    }
}

/// An `http` or `https` URL without user and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// Whether it is `https`.
    pub is_secure: bool,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path with the query.
    pub path: String,
}

impl WebhookUrl {
    /// The host with the port, where it is not the usual one.
    pub fn authority(&self) -> String {
        let Self { is_secure, host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let usual = usual_port(*is_secure) == *port;
        if usual { host } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| {
            "allowed is http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user and \
             fragment"
                .to_owned()
        })
    }
}

fn read(text: &str) -> Option<WebhookUrl> {
    let secure = text.strip_prefix("https://");
    let rest = secure.or_else(|| text.strip_prefix("http://"))?;
    let is_secure = secure.is_some();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let (host, port) = match authority.strip_prefix('[') {
        Some(six) => six.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => usual_port(is_secure),
        None => return None,
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let sound = !host.is_empty() && host.chars().all(legal);
    let clean = path.chars().all(|c| c.is_ascii_graphic() && c != '#');
    (sound && clean).then(|| WebhookUrl { is_secure, host: host.to_owned(), port, path })
}

fn usual_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_put_together() {
        for (text, secure, host, port, path) in [
            ("http://hook.example", false, "hook.example", 80, "/"),
            ("https://hook.example/a?b=c", true, "hook.example", 443, "/a?b=c"),
            ("http://127.0.0.1:9000/x", false, "127.0.0.1", 9000, "/x"),
            ("https://[::1]:8443?q", true, "::1", 8443, "/?q"),
        ] {
            let url: WebhookUrl = text.parse().unwrap();
            let parts = (url.is_secure, url.host.as_str(), url.port, url.path.as_str());
            assert_eq!(parts, (secure, host, port, path), "{text}");
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
        for text in [
            "hook.example",
            "ftp://hook.example/",
            "http://",
            "http://user@hook.example/",
            "http://hook.example:99999/",
            "http://[::1",
            "http://hook.example/a b",
            "http://hook.example/\r\nX: y",
            "http://hook.example/#part",
        ] {
            assert!(text.parse::<WebhookUrl>().is_err(), "{text}");
        }
    }
}
