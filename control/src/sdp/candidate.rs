//! ICE candidates as text (RFC 8839 §5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A candidate with an address that can be used as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Candidates with one foundation have the same kind, base and server.
    pub foundation: String,
    /// 1 for RTP (and RTCP with rtcp-mux), 2 for RTCP.
    pub component: u16,
    /// UDP or TCP.
    pub via: Via,
    /// The higher, the better.
    pub priority: u32,
    /// Where it is.
    pub address: SocketAddr,
    /// How it was found.
    pub kind: CandidateKind,
    /// What it was found from, if told: the base of a reflexive or relayed candidate.
    pub related: Option<SocketAddr>,
    /// The ufrag of the ICE generation that it belongs to, if told.
    pub ufrag: Option<String>,
}

/// The component of RTP, and of RTCP with it where they share a port.
pub(super) const RTP: u16 = 1;
/// The component of RTCP with a port of its own (RFC 8445 §2.1).
pub(super) const RTCP: u16 = 2;

/// What carries a candidate's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// UDP.
    Udp,
    /// TCP (RFC 6544).
    Tcp(TcpType),
}

/// Who opens the connection of a TCP candidate (RFC 6544 §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpType {
    /// The candidate's owner.
    Active,
    /// The other side.
    Passive,
    /// Both at once.
    SimultaneousOpen,
}

/// How a candidate was found (RFC 8445 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An interface's own address, or the one announced for it.
    Host,
    /// What a STUN server saw.
    ServerReflexive,
    /// What the other side saw.
    PeerReflexive,
    /// An address at a TURN server.
    Relayed,
}

/// The text is no candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Candidate {
    /// A host candidate of a component over UDP.
    pub fn host(
        foundation: impl Into<String>,
        component: u8,
        priority: u32,
        address: SocketAddr,
    ) -> Self {
        Self {
            foundation: foundation.into(),
            component: component.into(),
            via: Via::Udp,
            priority,
            address,
            kind: CandidateKind::Host,
            related: None,
            ufrag: None,
        }
    }

    /// Reads what stands behind `candidate:`. `Ok(None)` is a candidate that the node cannot use:
    /// a name in place of an address (a `.local` name says nothing outside its own network), or a
    /// transport or kind that it does not know.
    pub(super) fn parse(value: &str) -> Result<Option<Self>, Malformed> {
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().ok_or(Malformed);
        let foundation = word()?;
        if foundation.len() > FOUNDATION_MAX || !foundation.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed);
        }
        let component: u16 = number(word()?)?;
        let transport = word()?;
        let priority: u32 = number(word()?)?;
        let address = word()?;
        let port: u16 = number(word()?)?;
        if word()? != "typ" {
            return Err(Malformed);
        }
        let kind = CandidateKind::parse(word()?);
        let extensions = Extensions::read(words);

        let via = match transport.to_ascii_lowercase().as_str() {
            "udp" => Some(Via::Udp),
            "tcp" => extensions.tcp_type.map(Via::Tcp),
            _ => None,
        };
        let (Some(kind), Some(via), Ok(ip)) = (kind, via, address.parse::<IpAddr>()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            foundation: foundation.into(),
            component,
            via,
            priority,
            address: SocketAddr::new(ip, port),
            kind,
            related: extensions.related(),
            ufrag: extensions.ufrag.map(Into::into),
        }))
    }
}

impl fmt::Display for Candidate {
    /// Writes `candidate:…`, as a browser takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, if self.via == Via::Udp { "udp" } else { "tcp" })
    }
}

/// A candidate with its transport in capitals, as RFC 8839 §5.1 writes it.
pub(super) struct InCapitals<'a>(pub(super) &'a Candidate);

impl fmt::Display for InCapitals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, if self.0.via == Via::Udp { "UDP" } else { "TCP" })
    }
}

impl Candidate {
    fn write(&self, f: &mut fmt::Formatter<'_>, transport: &str) -> fmt::Result {
        let (ip, port) = (self.address.ip(), self.address.port());
        write!(
            f,
            "candidate:{} {} {transport} {} {ip} {port} typ {}",
            self.foundation,
            self.component,
            self.priority,
            self.kind.name()
        )?;
        if let Some(related) = self.related {
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        if let Via::Tcp(tcp_type) = self.via {
            write!(f, " tcptype {}", tcp_type.name())?;
        }
        match &self.ufrag {
            Some(ufrag) => write!(f, " ufrag {ufrag}"),
            None => Ok(()),
        }
    }
}

impl CandidateKind {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl TcpType {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Passive, Self::SimultaneousOpen]
            .into_iter()
            .find(|tcp_type| tcp_type.name() == name)
    }
}

/// The name and value pairs at a candidate's end; unknown ones are passed over.
#[derive(Default)]
struct Extensions<'a> {
    raddr: Option<IpAddr>,
    rport: Option<u16>,
    tcp_type: Option<TcpType>,
    ufrag: Option<&'a str>,
}

impl<'a> Extensions<'a> {
    fn read(mut words: impl Iterator<Item = &'a str>) -> Self {
        let mut extensions = Self::default();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "raddr" => extensions.raddr = value.parse().ok(),
                "rport" => extensions.rport = value.parse().ok(),
                "tcptype" => extensions.tcp_type = TcpType::parse(value),
                "ufrag" => extensions.ufrag = Some(value).filter(|value| value.len() <= 256),
                _ => {}
            }
        }
        extensions
    }

    fn related(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.raddr?, self.rport?))
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Malformed> {
    // `parse` alone would take a plus sign.
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| Malformed)
    } else {
        Err(Malformed)
    }
}

/// Bytes of a foundation, longest that is taken (RFC 8839 §5.1 allows 32).
const FOUNDATION_MAX: usize = 64;
