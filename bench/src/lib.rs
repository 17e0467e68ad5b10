//! What the benches and `causeway-load` are made of.
//!
//! `causeway-load` puts real calls on a node: each leg has a socket of its own, is a full ICE agent,
//! shakes hands over DTLS and protects its media with SRTP, as a browser does. What a leg sends says
//! of itself which packet it is and when it left, so the other leg sees loss, reordering,
//! duplication, corruption and one-way latency by itself, whatever the node says.
//!
//! With [`ng`] the legs are phones instead, and the same load runs against whatever speaks that protocol.
//! With [`turn`] there are no calls: clients relay packets through a TURN server, whoever made it.
//!
//! [`run`] is the conductor: it asks the node for calls over REST or ng and hands the legs to the
//! [`station`]s, threads that own many calls each. A station turns like a worker of the node: take
//! orders, send what is due, wait for packets, look at them.
//!
//! [`job`] is what the command line asks of calls: with one server, or with several [`contestant`]s in turn
//! ([`rounds`]); once, or until the highest number of calls is found ([`search`]). [`counters`] says what a server's
//! threads do for a packet, and [`html`] writes what came of it all as a page.
//!
//! The legs use the node's own ICE, DTLS and SRTP. Whether those agree with the rest of the world is
//! for the tests with foreign stacks to say; here they are only a means to make load.

#![forbid(unsafe_code)]

pub mod about;
pub mod agenda;
pub mod args;
pub mod arrivals;
pub mod batch;
pub mod board;
pub mod bracket;
pub mod bundle;
pub mod call;
pub mod contestant;
pub mod counters;
pub mod curve;
pub mod door;
pub mod floor;
pub mod flow;
pub mod html;
pub mod job;
pub mod make;
pub mod memory;
pub mod ng;
pub mod node;
pub mod offer;
pub mod payload;
pub mod phones;
pub mod plain;
pub mod plan;
pub mod process;
pub mod report;
pub mod rest;
pub mod rounds;
pub mod run;
pub mod search;
pub mod second;
pub mod signals;
pub mod started;
pub mod station;
pub mod table;
pub mod transport;
pub mod turn;
pub mod webrtc;
pub mod wire;
