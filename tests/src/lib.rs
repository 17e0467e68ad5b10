//! What the integration tests stand on: a node as a process of its own, its REST API, the NAT
//! laboratory, browsers, and the means to stop the node's control plane while media goes on; and
//! the far end on other people's stacks, with a node in the test's own process.
//!
//! A test that needs something of the machine says so first (`requires!`); it is skipped where that
//! is missing, and fails there if `CAUSEWAY_REQUIRE_ALL` is set.

pub mod baresip;
pub mod baton;
pub mod browser;
pub mod coturn;
pub mod freeze;
pub mod guest;
pub mod http;
pub mod https;
pub mod kamailio;
pub mod lab;
pub mod local;
pub mod media;
pub mod namespace;
pub mod ng;
pub mod node;
pub mod peer;
pub mod phone;
pub mod requires;
pub mod rest;
pub mod rtpengine;
pub mod server;
pub mod sip;
pub mod sipp;
pub mod sniff;

use std::path::Path;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}
