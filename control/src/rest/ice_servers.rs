//! The ICE servers that clients of WHIP and WHEP are told in `Link` headers (RFC 9725 §4.6).
//!
//! The node's own TURN server is told by its ways over TCP and TLS, with credentials for the leg.
//!
//! The node's own STUN, on the port that takes media, is not among them, nor is TURN over UDP, and must not be: libwebrtc
//! takes everything that comes to a UDP port from the address of a STUN server for that server's
//! answer, so a browser that is told of it never sees an answer to its connectivity checks. Nor
//! would it be of use, since the node learns a client's outside address from its checks.

use crate::api::CredentialsMinted;
use crate::config::IceServer;

/// The configured ones, as header values. They hold passwords.
pub(super) struct IceServers(Vec<String>);

impl IceServers {
    pub(super) fn new(servers: &[IceServer]) -> Self {
        Self(servers.iter().map(link).collect())
    }

    /// One header value each.
    pub(super) fn links(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Header values that let a client in by the node's own TURN server.
pub(super) fn of_this_node(minted: &CredentialsMinted) -> impl Iterator<Item = String> {
    let streams = minted.urls.iter().filter(|url| url.contains("transport=tcp"));
    streams.map(|url| named(url, &minted.username, &minted.credential))
}

fn link(server: &IceServer) -> String {
    match (&server.username, &server.credential) {
        (Some(username), Some(credential)) => named(&server.url, username, credential.reveal()),
        _ => format!("<{}>; rel=\"ice-server\"", server.url),
    }
}

fn named(url: &str, username: &str, credential: &str) -> String {
    let (username, credential) = (quoted(username), quoted(credential));
    format!(
        "<{url}>; rel=\"ice-server\"; username={username}; credential={credential}; \
         credential-type=\"password\""
    )
}

/// A quoted-string (RFC 9110 §5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_quoted() {
        let servers: Vec<IceServer> = toml::from_str::<crate::config::Whip>(
            "ice_server = [{ url = \"stun:s.example\" }, \
             { url = \"turn:t.example?transport=udp\", username = \"u\", credential = 'a\"b\\c' }]",
        )
        .unwrap()
        .ice_server;
        assert_eq!(
            IceServers::new(&servers).links().collect::<Vec<_>>(),
            [
                "<stun:s.example>; rel=\"ice-server\"",
                "<turn:t.example?transport=udp>; rel=\"ice-server\"; username=\"u\"; \
                 credential=\"a\\\"b\\\\c\"; credential-type=\"password\"",
            ]
        );
    }
}
