//! The media plane of causeway: pinned worker threads that decrypt, rewrite, re-encrypt and
//! forward media, without locks and without allocating after the start.
//!
//! # A packet's way
//! A worker's backend ([`sys`]) receives a batch into frames of the worker's pool. `worker::walk`
//! takes each packet: [`demux`] tells by the first byte what it is; the worker's tables tell by
//! (socket, remote address) whose it is ([`transport`]); [`srtp`] authenticates and decrypts it
//! where it lies; the leg says which [`stream`] it belongs to; for each sink the [`route`]
//! rewrites SSRC, payload type, sequence, timestamp, MID and extension ids, the sink's transport
//! protects it again, and the backend sends what the whole turn has gathered with one submit.
//! RTCP takes the same way in [`rtcp`], with the inverse of each rewrite for feedback. Video whose
//! sender has nobody else to ask is kept for a moment (`repeats`), so that what a sink misses comes
//! from here.
//!
//! A stream with [`pipe`]s goes past the sinks: its packets keep every number, and so does the RTCP of
//! its leg (`verbatim`). [`digit`]s are played into it in the place of its media. What comes on a leg that
//! is recorded goes up as a [`tap::Tapped`] too.
//!
//! # A command's way
//! Control sends [`command::Command`]s through a [`Link`]; the worker applies them between batches
//! and answers each with [`command::Event::Applied`]. STUN and DTLS that need a machine go up as
//! [`command::Punt`]s. ICE consent is the worker's own ([`consent`]), so media lives on while
//! control stands still.
//!
//! # A stream's way
//! TCP and TLS are one more thread's ([`edge`]): ICE over TCP goes from there to the worker of its leg, TURN
//! by streams is served there, HTTP is handed over to control.
//!
//! The planes share no lock and no counter: only the rings, and one [`sys::wake::Wake`] each way.

mod allocation;
mod apply;
mod asked;
pub mod bandwidth;
pub mod command;
pub mod config;
pub mod consent;
pub mod demux;
pub mod digit;
pub mod doors;
pub mod edge;
pub mod error;
pub mod export;
mod feedback;
pub mod few;
pub mod gate;
mod hop;
mod layers;
pub mod learning;
pub mod leg;
pub mod link;
pub mod packet;
mod pictures;
pub mod pipe;
mod plain;
mod quota;
pub mod relay;
mod relaying;
mod repeats;
mod restart;
pub mod ring;
pub mod route;
pub mod rtcp;
pub mod rtp;
mod selection;
pub mod srtp;
mod standin;
pub mod stats;
mod steering;
mod stranger;
pub mod stream;
pub mod stun;
mod sweep;
pub mod sys;
mod tables;
pub mod tap;
mod tone;
pub mod transport;
pub mod twcc;
mod verbatim;
mod voice;
mod warm;
pub mod worker;

pub use link::{Engine, Link};
