//! The media plane.
pub mod command;
pub mod config;
pub mod error;
pub mod packet;
pub mod rtp;
pub mod stats;
pub mod sys;
