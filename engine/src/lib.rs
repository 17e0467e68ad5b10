//! The media plane.
pub mod command;
pub mod config;
pub mod consent;
pub mod demux;
pub mod error;
pub mod packet;
pub mod ring;
pub mod rtp;
pub mod stats;
pub mod stun;
