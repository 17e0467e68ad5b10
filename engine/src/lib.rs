//! The media plane.
pub mod command;
pub mod config;
pub mod error;
pub mod packet;
pub mod route;
pub mod rtcp;
pub mod rtp;
pub mod stats;
pub mod twcc;
