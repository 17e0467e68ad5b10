//! The control plane.
#![forbid(unsafe_code)]
pub mod api;
pub mod auth;
pub mod calls;
pub mod check;
pub mod cli;
pub mod config;
pub mod rest;
pub mod web;
