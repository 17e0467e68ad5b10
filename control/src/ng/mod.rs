//! The `ng` control protocol, which SIP proxies drive a media node with: Kamailio's and OpenSIPS's
//! `rtpengine` modules speak it, and so does whoever has outgrown rtpproxy.
//!
//! ```text
//! datagram   cookie SP document              Frame: the cookie comes back with the reply
//! document   d7:command4:ping…e              bencode, or the same as JSON: Value
//! request    command, call-id, tags, sdp     Message: one Request, and the flags that shape it
//! reply      … 6:result2:oke                 Reply, in the format of the request
//! ```
//!
//! A datagram that came twice runs once: [`Cookies`] knows what it was answered with. Over HTTP the
//! document may come without a cookie; then [`frame::read`] is all there is to do.
//!
//! Sans-IO: bytes and `now` go in, values come out; no socket, clock or call is touched. What a request
//! does to a call, and how its description is rewritten, is not decided here. Whoever may reach the port
//! rules the node, since the protocol knows no password: the server binds it to loopback.
//!
//! # Where this is not rtpengine
//! Names of keys, flags, replies and errors are those of rtpengine 10.5.3, and of later versions where
//! they add to it. Different are:
//! - Spaces, hyphens and underscores in a name are one, everywhere: `call id` is `call-id`. A name may also be
//!   written all in lower case.
//! - A list may come as one text with commas in every request, not only in later versions' ones.
//! - A dictionary that does not end, `i-0e`, a document of more than [`DOCUMENT_MAX`] bytes,
//!   [`DEPTH_MAX`] levels or [`ENTRIES_MAX`] values is refused. Line ends behind a document are passed over, other
//!   bytes are not. JSON's `null` counts as absent, its fractions are refused.
//! - Empty texts count as absent, so that no call is named by nothing.
//! - Of a repeated key the last one counts, except that `command` is the first.
//! - What a request itself is wrong in is said before whether its call exists.
//! - In flags that come as one text, `via-branch=auto` and the like are instructions to the proxy, which sends
//!   the branch in a key of its own: they name no branch.
//! - A cookie is known for 30 to 60 s also where nothing has come meanwhile.
//! - Bytes outside UTF-8 are replaced, since SIP has none in what is compared (RFC 3261 §25.1).
//! - What has a list of its own may stand among the flags with that list's name before it: `replace-origin`,
//!   `rtcp-mux-offer`.
//! - The reply to a delete has to fit a datagram, so over UDP it tells times, SSRCs and totals alone; with `fast`
//!   it tells nothing, and of a delete of the whole call as much as of any.
//! - That nobody knows a call is said before what is wrong in a description for it, and that the node does not
//!   do something at all before whether the call is there.
//! - A description of no bytes is none, and a dialogue of a tag with itself is none either.
//! - Transcoding, T.38, music on hold and conferences have no keys here; theirs are listed as unknown.
//!
//! From later versions are: the keys `rtpp-flags`, `from-interface`, `to-interface` and `sdp-media-remove`, the flag
//! `WebRTC`, `replace` with `origin-full` and `force-increment-sdp-ver`, `SDES` with `only-`, `nonew`, `order:`,
//! `offerer_pref:` and `prefer`.

pub mod bencode;
mod command;
pub mod cookies;
pub mod cut;
mod error;
mod flag;
mod flags;
pub mod frame;
pub mod json;
mod keys;
mod line;
mod reply;
mod request;
mod stats;
#[cfg(test)]
mod tests;
mod value;

pub use bencode::BencodeError;
pub use command::Command;
pub use cookies::{Asked, Cookies};
pub use cut::{Cut, CutError, FRAME_MAX};
pub use error::{LoadLimit, NgError};
pub use flag::{Flag, FlagSet};
pub use flags::{
    AddressFamily, Codecs, EndpointLearning, Flags, Ice, IceLite, Interfaces, MediaEcho, Sdes,
    TransportProtocol,
};
pub use frame::{Format, Frame, FrameError};
pub use json::JsonError;
pub use reply::Reply;
pub use request::{
    All, Answer, Delete, Description, MediaAction, Message, Offer, Party, PlayDtmf, Query,
    Recording, RecordingAction, Request, Select, Subscribe, Subscribed, Unsubscribe,
};
pub use stats::{
    CallStats, Counters, Dropped, MediaStats, Mos, MosSample, SsrcStats, StreamStats, Subscription,
    TagStats,
};
pub use value::{Dictionary, Value};

/// Bytes of a document, longest: what a datagram can carry. Browsers offer up to 10 kB.
pub const DOCUMENT_MAX: usize = 64 * 1024;
/// Levels of lists and dictionaries in a document, most; requests have 4.
pub const DEPTH_MAX: usize = 16;
/// Values in a document, most; the longest requests that are seen have some 60.
pub const ENTRIES_MAX: usize = 4096;
/// Bytes of a cookie, longest. Kamailio's have some 20.
pub const COOKIE_MAX: usize = 256;
/// Codecs, suites and tags that are taken of one list, most.
pub const LIST_MAX: usize = 64;
/// Unknown keys and flags that are told of one request, most.
pub const UNKNOWN_MAX: usize = 32;
/// Calls that `list` tells where no limit is given.
pub const LIST_LIMIT: usize = 32;
