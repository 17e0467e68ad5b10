//! What shapes a description that is rewritten, and the media behind it: flags, and keys with values.

use std::net::IpAddr;

use super::value::canonical;
use super::{Flag, FlagSet};
use crate::sdp::DtlsRole;

/// The flags and keys of an offer or an answer. `None` says nothing: what the node is configured to do
/// or what the call did before counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// What is merely said or not.
    pub set: FlagSet,
    /// What the receiver of the rewritten description speaks.
    pub transport: Option<TransportProtocol>,
    /// What becomes of ICE.
    pub ice: Option<Ice>,
    /// Whose ICE is lite.
    pub ice_lite: Option<IceLite>,
    /// DTLS-SRTP is not offered or taken; stronger than [`Self::dtls_role`].
    pub dtls_off: bool,
    /// What the node is in handshakes where it may choose.
    pub dtls_role: Option<DtlsRole>,
    /// The same towards the writer of the description, where it answers.
    pub dtls_reverse: Option<DtlsRole>,
    /// The hash function that the node's certificate is named with.
    pub dtls_fingerprint: Option<String>,
    /// Which keys are offered in the description.
    pub sdes: Sdes,
    /// Which codecs are left in the description.
    pub codecs: Codecs,
    /// Kinds of media whose m-lines are dropped.
    pub media_remove: Vec<String>,
    /// How a stream's source is learnt.
    pub endpoint_learning: Option<EndpointLearning>,
    /// Which interfaces the two sides are on.
    pub interfaces: Interfaces,
    /// The family that the receiver of the rewritten description is sent to on.
    pub address_family: Option<AddressFamily>,
    /// The address that is written into the description whatever the interface's is.
    pub media_address: Option<IpAddr>,
    /// Where the SIP message came from; counts with [`Flag::SipSourceAddress`].
    pub received_from: Option<IpAddr>,
    /// The DSCP and ECN byte of the call's packets.
    pub tos: Option<u8>,
    /// What the writer of the description is called from now on.
    pub label: Option<String>,
    /// The same, where `label` selects somebody.
    pub set_label: Option<String>,
    /// What is noted with recordings.
    pub metadata: Option<String>,
    /// Whether the call is recorded from now on.
    pub record_call: Option<bool>,
    /// Milliseconds of media in a packet to the receiver of an offer, in the place of what it says.
    pub ptime: Option<u32>,
    /// The same to its writer.
    pub ptime_reverse: Option<u32>,
    /// Who hears himself instead of the other side.
    pub media_echo: Option<MediaEcho>,
    /// Whether media passes as it comes, encryption included.
    pub passthrough: Option<bool>,
    /// Whether media is dropped from now on.
    pub drop_traffic: Option<bool>,
}

impl Flags {
    /// Whether a flag is said.
    pub fn has(&self, flag: Flag) -> bool {
        self.set.has(flag)
    }

    /// What browsers want: the flag `WebRTC`.
    pub(super) fn set_webrtc(&mut self) {
        self.transport = Some(TransportProtocol::UdpTlsRtpSavpf);
        self.ice = Some(Ice::Force);
        let flags = [
            Flag::TrickleIce,
            Flag::RtcpMuxRequire,
            Flag::NoRtcpAttribute,
            Flag::SdesOff,
            Flag::BundleRequire,
        ];
        flags.into_iter().for_each(|flag| self.set.insert(flag));
    }
}

/// A profile of an m-line, or whichever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportProtocol {
    /// In an answer: the one that the answerer chose.
    Accept,
    /// `RTP/AVP` (RFC 3551).
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585).
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711).
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124).
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764).
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764).
    UdpTlsRtpSavpf,
}

impl TransportProtocol {
    const ALL: [Self; 7] = [
        Self::Accept,
        Self::RtpAvp,
        Self::RtpAvpf,
        Self::RtpSavp,
        Self::RtpSavpf,
        Self::UdpTlsRtpSavp,
        Self::UdpTlsRtpSavpf,
    ];

    /// Its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// Reads a name without regard to case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// Whether media is encrypted.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::Accept | Self::RtpAvp | Self::RtpAvpf)
    }

    /// The one of these properties that is written `RTP`, `SRTP`, `AVP`, `AVPF` and `DTLS` word by word.
    pub(super) fn of(secure: bool, feedback: bool, dtls: bool) -> Self {
        match (dtls, secure, feedback) {
            (true, _, false) => Self::UdpTlsRtpSavp,
            (true, _, true) => Self::UdpTlsRtpSavpf,
            (false, false, false) => Self::RtpAvp,
            (false, false, true) => Self::RtpAvpf,
            (false, true, false) => Self::RtpSavp,
            (false, true, true) => Self::RtpSavpf,
        }
    }

    /// Whether it is secure, has feedback and needs DTLS; the inverse of [`Self::of`].
    pub(super) fn properties(self) -> (bool, bool, bool) {
        let feedback = matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf);
        let dtls = matches!(self, Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf);
        (self.is_secure(), feedback, dtls)
    }
}

/// What becomes of ICE in a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ice {
    /// It is stripped.
    Remove,
    /// The node is the only candidate.
    Force,
    /// As [`Self::Force`] where the description that comes in has ICE, else none.
    Default,
    /// The node is one more candidate, at low priority.
    Optional,
    /// The node is a relay candidate beside those that are there, without other relays.
    ForceRelay,
}

impl Ice {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match canonical(text).as_str() {
            "remove" => Some(Self::Remove),
            "force" => Some(Self::Force),
            "default" => Some(Self::Default),
            "optional" => Some(Self::Optional),
            "force-relay" => Some(Self::ForceRelay),
            _ => None,
        }
    }
}

/// On which sides the node's ICE is lite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceLite {
    /// On none.
    Off,
    /// Towards the receiver of the rewritten description.
    Forward,
    /// Towards its writer.
    Backward,
    /// On both.
    Both,
}

impl IceLite {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "off" | "none" | "no" => Some(Self::Off),
            "forward" | "offer" | "fwd" | "fw" => Some(Self::Forward),
            "backward" | "backwards" | "reverse" | "answer" | "back" | "bkw" | "bk" => {
                Some(Self::Backward)
            }
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

/// Who hears himself instead of the other side; what the other side sends is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaEcho {
    /// Nobody, and nobody hears the other side.
    Blackhole,
    /// The receiver of the rewritten description.
    Forward,
    /// Its writer.
    Backward,
    /// Both.
    Both,
}

impl MediaEcho {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "blackhole" | "sinkhole" => Some(Self::Blackhole),
            "forward" | "fwd" | "fw" => Some(Self::Forward),
            "backward" | "backwards" | "reverse" | "back" | "bkw" | "bk" => Some(Self::Backward),
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

/// Which keys are offered in a description (RFC 4568). That none are is [`Flag::SdesOff`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sdes {
    /// Suites that are not offered.
    pub no: Vec<String>,
    /// The only suites that are offered; empty for all.
    pub only: Vec<String>,
    /// The order that suites are offered in; those that it does not name come behind.
    pub order: Vec<String>,
    /// Suites that the offerer is to be answered with if it has them, the favourite first.
    pub offerer_pref: Vec<String>,
}

/// Which codecs are left in a description, by name or by name and what follows it, such as
/// `opus/48000/2`. `all` and `full` stand for every one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codecs {
    /// Codecs that are dropped.
    pub strip: Vec<String>,
    /// Codecs that are left of those that were stripped, in this order.
    pub offer: Vec<String>,
    /// Codecs that stay where all are stripped.
    pub except: Vec<String>,
}

/// How a stream's source is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointLearning {
    /// Not at all: the description's address counts.
    Off,
    /// From the first packet.
    Immediate,
    /// From what comes some seconds later.
    Delayed,
    /// From the packet that is most like what the description says.
    Heuristic,
}

impl EndpointLearning {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "immediate" => Some(Self::Immediate),
            "delayed" => Some(Self::Delayed),
            "heuristic" => Some(Self::Heuristic),
            _ => None,
        }
    }
}

/// Names of interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The one that the writer of the description is on.
    pub from: Option<String>,
    /// The one that its receiver is on.
    pub to: Option<String>,
    /// The one of a request that has one side.
    pub only: Option<String>,
}

impl Interfaces {
    /// Takes the next of the two names; `false` if there are both already.
    pub(super) fn push(&mut self, name: String) -> bool {
        for place in [&mut self.from, &mut self.to] {
            if place.is_none() {
                *place = Some(name);
                return true;
            }
        }
        false
    }
}

/// A family of addresses (RFC 8866 §5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// `IP4`.
    Ip4,
    /// `IP6`.
    Ip6,
}

impl AddressFamily {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [(Self::Ip4, "IP4"), (Self::Ip6, "IP6")]
            .into_iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(family, _)| family)
    }
}
