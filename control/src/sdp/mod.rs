//! Session descriptions: what a far side offers or answers, read and bounded, and what the node
//! answers or offers in its own name (RFC 8866, RFC 3264, RFC 8829).
//!
//! [`Sdp`] keeps every line as it came and reads typed values on demand; [`answer()`] and
//! [`Offered`] turn two descriptions into [`Negotiated`], which is all that the rest of the node
//! looks at. There the text of one leg never reaches another: every description is written from
//! scratch. Behind a SIP proxy it is the other way round: [`rewrite()`] passes a description on and
//! changes what the node owns, and no more.
//!
//! With ICE there is one transport per description: m-lines that are taken are bundled (RFC 8843), or
//! there is only one; RTP and RTCP share its port (RFC 5761), or RTCP has one of its own as the second
//! component (RFC 8445 §2.1); DTLS-SRTP protects it. Without ICE each m-line has a transport of its
//! own at the address that it names (`fixed`, `fixed_offer`). What fits neither is refused by name.
//!
//! Sans-IO: text goes in, text comes out; no clock, socket or random number is touched.

mod answer;
mod candidate;
mod codec;
mod crypto;
mod decide;
mod error;
mod fixed;
mod fixed_offer;
mod fragment;
mod local;
mod model;
mod negotiated;
mod offer;
mod one_way;
mod rewrite;
mod simulcast;
mod transport;
mod trickle;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use answer::answer;
pub use candidate::{Candidate, CandidateKind, TcpType, Via};
pub use codec::{Codec, Feedback, NegotiatedCodec, PtMap, extension, map_payload_types};
pub(crate) use crypto::BY_STRENGTH;
pub use crypto::{Crypto, CryptoError, Mki, SessionParameters};
pub use decide::{Decision, Declined, decisions};
pub use error::{SdpError, SdpErrorKind};
pub use fixed::ports_wanted;
pub use fixed_offer::{FixedOffered, FixedPlan, Protection, offer_again, offer_fixed};
pub use fragment::{Fragment, Section};
pub use local::{Local, LocalPorts, LocalSsrcs, SECRET_LEN, Secret};
pub use model::{Attribute, MediaLine, MediaSection, Origin, Sdp};
pub use negotiated::{
    Extension, ExtensionMap, Negotiated, NegotiatedMedia, Profile, RemoteAddresses, RemoteDtls,
    RemoteIce, RemotePath, RemoteSecurity, RemoteTransport, Sdes, map_extensions,
};
pub use offer::{Offered, offer};
pub use one_way::{Way, one_way};
pub use rewrite::{
    Bundle, CodecRules, Dtls, Ice, Keys, MediaRewrite, OriginRewrite, OwnIce, Proxied, Rewrite,
    Rtcp, RtcpAttribute, Security, SessionRewrite, rewrite,
};
pub use trickle::Trickled;
pub use value::{
    Direction, DtlsRole, ExtMap, Fingerprint, HashFunction, IceCredentials, RtcpFb, RtpMap, Setup,
    SsrcGroup,
};

/// Bytes of a description, longest. Browsers send 3 to 10 kB, and 7 kB more for each further leg
/// whose sound and picture they receive.
pub const TEXT_MAX: usize = 256 * 1024;
/// Lines of a description, most.
pub const LINES_MAX: usize = 8000;
/// Bytes of one line, longest; `a=identity` is the longest that is seen.
pub const LINE_MAX: usize = 8192;
/// m-lines of a description, most, rejected ones included.
pub const MEDIA_MAX: usize = 64;
/// m-lines on which a far side may send, most: the engine's streams per leg.
pub const STREAMS_MAX: usize = 8;
/// m-lines of a leg without ICE, most: each takes a pair of ports.
pub const PORTS_MAX: usize = 4;
/// Bytes of a MID, longest: a one-byte header extension carries no more (RFC 8285 §4.2).
pub const MID_MAX: usize = 16;
/// Candidates that are taken from one description or trickle request, most.
pub const CANDIDATES_MAX: usize = 32;
/// Certificate fingerprints that are taken from one description, most.
pub const FINGERPRINTS_MAX: usize = 8;
/// Simulcast layers that are taken of one m-line, most; an offer of more is answered without any.
pub const RIDS_MAX: usize = 4;
/// Bytes of an RTP stream id, longest: a one-byte header extension carries no more (RFC 8285 §4.2).
pub const RID_MAX: usize = 16;
/// SSRCs that are taken from one m-line, most.
pub const SSRCS_MAX: usize = 16;
