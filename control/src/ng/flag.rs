//! What a request merely says or doesn't say: members of `flags`, of `rtcp-mux`, `replace` and other
//! lists, or words of `rtpp-flags`. One name serves all of them: `demux` in the list `rtcp-mux` is the
//! flag `rtcp-mux-demux`.

use std::fmt;

macro_rules! flags {
    ($($(#[$doc:meta])+ $flag:ident = $($name:literal)|+,)+) => {
        /// A flag.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Flag {
            $($(#[$doc])+ $flag,)+
        }

        impl Flag {
            /// Every flag.
            pub const ALL: &'static [Self] = &[$(Self::$flag,)+];

            /// Its names; the first one is the usual one.
            pub fn names(self) -> &'static [&'static str] {
                match self {
                    $(Self::$flag => &[$($name),+],)+
                }
            }
        }
    };
}

flags! {
    /// Where media goes is what the description says; the default.
    TrustAddress = "trust-address",
    /// Where media goes is the address that the SIP message came from.
    SipSourceAddress = "SIP-source-address",
    /// Media comes from where it goes to; the default.
    Symmetric = "symmetric",
    /// Media may come from elsewhere than where it goes to.
    Asymmetric = "asymmetric",
    /// Media is dropped that comes from elsewhere than learnt.
    StrictSource = "strict-source",
    /// Media may come from a new address at any time.
    MediaHandover = "media-handover",
    /// The ports stay in a re-INVITE even where the far side's change.
    PortLatching = "port-latching",
    /// The ports change in a re-INVITE even where the far side's stay.
    NoPortLatching = "no-port-latching",
    /// `a=rtcp` is not written.
    NoRtcpAttribute = "no-rtcp-attribute" | "no-RTCP-attribute",
    /// `a=rtcp` is written with the address.
    FullRtcpAttribute = "full-rtcp-attribute" | "full-RTCP-attribute",
    /// `a=mid` is written where the offer has none.
    GenerateMid = "generate-mid",
    /// The direction attributes stay as they are.
    OriginalSendrecv = "original-sendrecv",
    /// A description that the node has rewritten before passes as it is.
    LoopProtect = "loop-protect",
    /// The node sends first, to open the far side's NAT.
    PierceNat = "pierce-NAT",
    /// Nothing is sent before the far side has sent.
    NatWait = "NAT-wait",
    /// The transport starts anew: ICE, keys and learnt addresses.
    Reset = "reset",
    /// Media may come back on a stream that was offered one way.
    Unidirectional = "unidirectional",
    /// All `a=extmap` are dropped.
    StripExtmap = "strip-extmap",
    /// A to-tag that is not known yet is a branch of its own.
    NewBranch = "new-branch",
    /// The answer is a provisional one.
    Provisional = "provisional",
    /// Early media passes.
    EarlyMedia = "early-media",
    /// Keys of the two sides never are the same, so that all media is verified.
    Recrypt = "recrypt",
    /// The log tells more of this call.
    Debug = "debug" | "debugging",
    /// This description is a piece of one, as trickle ICE sends it.
    Fragment = "fragment",
    /// Candidates may follow one by one.
    TrickleIce = "trickle-ICE" | "ICE-trickle",
    /// ICE is not taken even where it is offered.
    RejectIce = "reject-ICE" | "ICE-reject",
    /// The node writes RTCP reports of its own.
    GenerateRtcp = "generate-RTCP" | "generate-RTCP-on",
    /// It writes none any more.
    GenerateRtcpOff = "generate-RTCP-off",
    /// RTCP is passed on to those who listen in, too.
    RtcpMirror = "RTCP-mirror" | "mirror-RTCP",
    /// Media is passed on at once even where the node is configured to smooth it.
    NoJitterBuffer = "no-jitter-buffer",
    /// Digits are looked for in the sound.
    DetectDtmf = "detect-DTMF",
    /// Descriptions carry what recorders want (RFC 7866).
    Siprec = "SIPREC",
    /// Digits may be played into the call later on.
    InjectDtmf = "inject-DTMF",
    /// The call is recorded from the start.
    RecordCall = "record-call",
    /// What was recorded is thrown away.
    DiscardRecording = "discard-recording",
    /// This party is not recorded.
    ExcludeRecording = "exclude-recording",
    /// Every party is meant.
    All = "all",
    /// Only one party's media is meant.
    Directional = "directional",
    /// What the party receives is meant, not what it sends.
    Egress = "egress",
    /// An unknown call is an error.
    Fatal = "fatal",
    /// The reply to `delete` tells nothing of the call.
    Fast = "fast",
    /// The to-tag selects what is deleted.
    ToTag = "to-tag",
    /// The client knows the reply `load limit`.
    SupportsLoadLimit = "supports-load-limit",

    /// RTP and RTCP are offered to share a port, even where the offer did not.
    RtcpMuxOffer = "rtcp-mux-offer",
    /// They are offered to share one, and nothing else.
    RtcpMuxRequire = "rtcp-mux-require",
    /// They part where the offer shares a port.
    RtcpMuxDemux = "rtcp-mux-demux",
    /// That they share a port is agreed to with the offerer, whatever the answerer says.
    RtcpMuxAccept = "rtcp-mux-accept",
    /// It is not agreed to.
    RtcpMuxReject = "rtcp-mux-reject",

    /// The address in the o-line is replaced.
    ReplaceOrigin = "replace-origin",
    /// All of the o-line is replaced.
    ReplaceOriginFull = "replace-origin-full",
    /// The address in the session's c-line is replaced; it always is.
    ReplaceSessionConnection = "replace-session-connection",
    /// The s-line is replaced.
    ReplaceSessionName = "replace-session-name",
    /// The version in the o-line is the node's own.
    ReplaceSdpVersion = "replace-SDP-version",
    /// The version grows even where nothing has changed.
    ForceSdpVersion = "replace-force-increment-sdp-ver" | "replace-force-increment-SDP-ver",
    /// The user in the o-line is replaced.
    ReplaceUsername = "replace-username",
    /// An address of zeros is replaced, too.
    ReplaceZeroAddress = "replace-zero-address",

    /// Encrypted media is offered as plain RTP's profile (RFC 8643).
    OsrtpOffer = "OSRTP-offer" | "OSRTP-offer-RFC",
    /// The same in the way from before RFC 8643.
    OsrtpOfferLegacy = "OSRTP-offer-legacy",
    /// Such an offer is taken (RFC 8643).
    OsrtpAcceptRfc = "OSRTP-accept-RFC" | "OSRTP-accept",
    /// The same in the way from before RFC 8643.
    OsrtpAcceptLegacy = "OSRTP-accept-legacy" | "OSRTP-accept",

    /// Bundled m-lines are taken from the offerer (RFC 8843).
    BundleAccept = "BUNDLE-accept",
    /// m-lines are offered bundled.
    BundleOffer = "BUNDLE-offer",
    /// They are offered bundled, and nothing else.
    BundleRequire = "BUNDLE-require",
    /// All but the first are offered as bundle-only.
    BundleStrict = "BUNDLE-strict",
    /// Bundled m-lines part.
    BundleReject = "BUNDLE-reject",

    /// No keys are offered in the description.
    SdesOff = "SDES-off" | "SDES-no" | "SDES-disable" | "SDES-disabled",
    /// Keys are written with the `=` that base64 ends with.
    SdesPad = "SDES-pad" | "pad-crypto",
    /// Keys are written with their lifetime.
    SdesLifetime = "SDES-lifetime",
    /// Keys that a leg has stay in later offers and answers, even where both sides could share one.
    SdesStatic = "SDES-static",
    /// Only keys that came in are offered, none of the node's own beside them.
    SdesNoNew = "SDES-nonew",
    /// Keys in the description are preferred to DTLS where both are offered.
    SdesPrefer = "SDES-prefer",
    /// RTP is offered in the clear (RFC 4568 §6.3.2).
    SdesUnencryptedSrtp = "SDES-unencrypted-srtp" | "SDES-UNENCRYPTED-SRTP",
    /// RTCP is offered in the clear.
    SdesUnencryptedSrtcp = "SDES-unencrypted-srtcp" | "SDES-UNENCRYPTED-SRTCP",
    /// RTP is offered without authentication (RFC 4568 §6.3.3).
    SdesUnauthenticatedSrtp = "SDES-unauthenticated-srtp" | "SDES-UNAUTHENTICATED-SRTP",
    /// RTP is encrypted even where the clear was offered.
    SdesEncryptedSrtp = "SDES-encrypted-srtp" | "SDES-ENCRYPTED-SRTP",
    /// RTCP is encrypted even where the clear was offered.
    SdesEncryptedSrtcp = "SDES-encrypted-srtcp" | "SDES-ENCRYPTED-SRTCP",
    /// RTP is authenticated even where that it is not was offered.
    SdesAuthenticatedSrtp = "SDES-authenticated-srtp" | "SDES-AUTHENTICATED-SRTP",

    /// One codec is left in an answer.
    SingleCodec = "single-codec",
    /// Codecs of a re-INVITE keep the order that they had.
    ReuseCodecs = "reuse-codecs" | "no-codec-renegotiation",
    /// Obsolete words about codecs, which rtpengine takes and passes over, too.
    ObsoleteCodecs = "asymmetric-codecs" | "symmetric-codecs" | "reorder-codecs",
}

impl Flag {
    /// The flags that this name, its words joined by hyphens, stands for.
    pub(super) fn named(name: &str) -> impl Iterator<Item = Self> {
        let is_known = |flag: &Self| flag.names().iter().any(|known| is_name(known, name));
        Self::ALL.iter().copied().filter(is_known)
    }

    /// Flags that this one says as well.
    fn implied(self) -> &'static [Self] {
        match self {
            Self::RtcpMuxRequire => &[Self::RtcpMuxOffer],
            Self::BundleOffer => &[Self::GenerateMid],
            Self::BundleRequire => &[Self::BundleOffer],
            Self::BundleStrict => &[Self::BundleRequire],
            _ => &[],
        }
    }

    /// The flag that this one takes back.
    fn opposite(self) -> Option<Self> {
        Some(match self {
            Self::TrustAddress => Self::SipSourceAddress,
            Self::SipSourceAddress => Self::TrustAddress,
            Self::Symmetric => Self::Asymmetric,
            Self::Asymmetric => Self::Symmetric,
            Self::PortLatching => Self::NoPortLatching,
            Self::NoPortLatching => Self::PortLatching,
            Self::GenerateRtcp => Self::GenerateRtcpOff,
            Self::GenerateRtcpOff => Self::GenerateRtcp,
            Self::NoRtcpAttribute => Self::FullRtcpAttribute,
            Self::FullRtcpAttribute => Self::NoRtcpAttribute,
            _ => return None,
        })
    }

    fn bit(self) -> u128 {
        1 << (self as u32)
    }
}

/// Flags that are said. Of two opposite ones the later counts; others that contradict each other, such
/// as [`Flag::RtcpMuxOffer`] and [`Flag::RtcpMuxDemux`], both stay.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FlagSet(u128);

impl FlagSet {
    /// Whether it is said.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// Says it, and what it implies.
    pub fn insert(&mut self, flag: Flag) {
        if let Some(opposite) = flag.opposite() {
            self.0 &= !opposite.bit();
        }
        self.0 |= flag.bit();
        flag.implied().iter().for_each(|implied| self.insert(*implied));
    }

    /// The flags in the order of [`Flag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.iter().copied().filter(move |flag| self.has(*flag))
    }
}

impl FromIterator<Flag> for FlagSet {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        let mut set = Self::default();
        flags.into_iter().for_each(|flag| set.insert(flag));
        set
    }
}

impl fmt::Debug for FlagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Whether a name with hyphens is this one, as it stands or all in lower case.
pub(super) fn is_name(known: &str, name: &str) -> bool {
    name == known || name.bytes().eq(known.bytes().map(|byte| byte.to_ascii_lowercase()))
}

const _: () = assert!(Flag::ALL.len() <= u128::BITS as usize);
