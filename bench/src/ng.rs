//! Calls over rtpengine's `ng` protocol: the same load for a causeway and for an rtpengine.
//!
//! [`client`] asks for one call after the other and waits, as the calls with media want it; [`dial`] makes those. [`rate`] asks at given
//! times whether or not anybody answers, and says how long the answers took; [`search`] looks with it for the
//! highest rate that is answered in time, and then asks twice as often; [`beside`] does it while calls with media
//! stand. [`standing`] looks what calls take that carry nothing. [`server`] starts a server, as fresh as any other.

pub mod beside;
pub mod client;
pub mod dial;
pub mod rate;
pub mod report;
pub mod sdp;
pub mod search;
pub mod server;
pub mod standing;
