//! What is asked of a TURN server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use zeroize::Zeroizing;

/// What clients speak to the server over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// What data is carried in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// ChannelData, a channel for each client (RFC 8656 §12).
    Channel,
    /// Send and Data indications under a permission (RFC 8656 §11).
    Send,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The clients.
    ToPeer,
    /// The peer.
    ToClient,
    /// Each half of the packets.
    Both,
}

/// Who the clients are to the server: `user:password`.
#[derive(Clone)]
pub struct Login {
    /// USERNAME.
    pub user: String,
    /// What the long-term key is made of.
    pub password: Zeroizing<String>,
}

/// Clients, and what they do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Over what.
    pub transport: Transport,
    /// In what.
    pub mode: Mode,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub clients: usize,
    /// Packets per second of all of them.
    pub rate: f64,
    /// Packets that are due within this time leave together.
    pub tick: Duration,
    /// Bytes of a packet's payload.
    pub size: usize,
    /// How long packets are sent and counted.
    pub duration: Duration,
    /// The address that clients and peer bind to.
    pub bind: IpAddr,
    /// Addresses of loopback that clients over UDP bind to instead, in turn; 0 for none.
    pub sources: usize,
    /// The core of the generator.
    pub core: Option<usize>,
    /// Share of packets that may be lost.
    pub allow_loss: f64,
    /// Who they are.
    #[serde(skip)]
    pub login: Arc<Login>,
}

/// A server that runs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Target {
    /// Where it takes what the transport brings.
    pub address: SocketAddr,
    /// Its process, if it may be looked at.
    pub pid: Option<u32>,
    /// Its REST API, where it has one that lets us in.
    pub api: Option<SocketAddr>,
}

impl Transport {
    /// Whether it is a stream of bytes, in which ChannelData is padded (RFC 8656 §12.5).
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }
}

impl Direction {
    /// Whether the clients send packet `n` of their turn.
    pub fn is_to_peer(self, n: u64) -> bool {
        match self {
            Self::ToPeer => true,
            Self::ToClient => false,
            Self::Both => n.is_multiple_of(2),
        }
    }
}

impl FromStr for Login {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, password) = text.split_once(':').ok_or("user:password")?;
        Ok(Self { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = |word: &dyn fmt::Debug| format!("{word:?}").to_lowercase();
        write!(
            f,
            "{} clients over {}, {} {}, {} bytes",
            self.clients,
            lower(&self.transport),
            lower(&self.mode),
            match self.direction {
                Direction::ToPeer => "to the peer",
                Direction::ToClient => "from the peer",
                Direction::Both => "both ways",
            },
            self.size
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_have_colons_and_is_not_shown() {
        let login: Login = "u:p:q".parse().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("u", "p:q"));
        assert!(!format!("{login:?}").contains("p:q"));
        assert!("u".parse::<Login>().is_err());
    }
}
