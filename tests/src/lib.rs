//! The far end of causeway's integration tests, on other people's stacks, and the node it talks to.

pub mod guest;
pub mod http;
pub mod local;
pub mod peer;
