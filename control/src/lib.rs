//! The control plane.
#![forbid(unsafe_code)]
pub mod address;
pub mod api;
pub mod cloud;
pub mod dtls;
pub mod ice;
