//! TURN: the same load of relayed packets, allocations or unauthenticated requests for a causeway and for a coturn.
//!
//! [`client`] is one client's protocol without a socket, [`frame`] how data is written and cut out of a stream;
//! [`lanes`] carries what many clients say over UDP, or over TCP and TLS ([`stream`]). [`crowd`] is all clients of a
//! run with their allocations. With them [`traffic`] sends packets at a given rate and [`allocations`] asks how fast
//! allocations come and what [memory](crate::memory) they take; [`server`] starts a server for either. [`flood`] asks
//! without credentials from many addresses.

pub mod allocations;
pub mod args;
pub mod client;
pub mod crowd;
pub mod flood;
pub mod frame;
pub mod job;
pub mod lanes;
pub mod plan;
pub mod report;
pub mod server;
pub mod stream;
pub mod traffic;

#[cfg(test)]
mod tests;
