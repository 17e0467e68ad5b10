//! The control plane of causeway: signalling, ICE, DTLS and SDP around the media plane.
//!
//! Protocols are sans-IO machines: bytes and `now` go in, outputs come out through one
//! `poll_output()`; they name no socket, clock, actix or tokio. [`actors`] are thin mailboxes and
//! timers around them, [`rest`] and [`ng_server`] are the doors.
//!
//! # A command's way
//! `POST /v1/calls/{call}/legs` → [`rest`] parses it into a type of [`api`] → [`actors::call`]
//! feeds the [`call::Call`] machine and drains its outputs → [`actors::worker_link`] sends the
//! commands to the worker → `Event::Applied` comes back and releases the reply.

#![forbid(unsafe_code)]

pub mod actors;
pub mod address;
pub mod api;
pub mod auth;
pub mod call;
pub mod calls;
pub mod check;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod dtls;
pub mod ice;
pub mod ng;
pub mod ng_server;
pub mod ports;
pub mod proxied;
pub mod recording;
pub mod records;
pub mod rest;
pub mod sdp;
pub mod turn;
pub mod web;
