//! Thin mailboxes and timers around the sans-IO machines.
//!
//! | actor | thread | owns |
//! |---|---|---|
//! | [`registry::Registry`] | calls | who is there: call id → call actor; admission |
//! | [`call::CallActor`] | calls | one [`crate::call::Call`] |
//! | [`switchboard::Switchboard`] | calls | proxied calls by their proxies' ids; admission |
//! | [`proxied::ProxiedActor`] | calls | one [`crate::proxied::ProxiedCall`] |
//! | [`worker_link::WorkerLink`] | calls | one worker's link; routes what comes up |
//! | [`turn::TurnActor`] | calls | the [`crate::turn::Server`]; relayed addresses and their sockets |
//! | [`dtls::DtlsActor`] | dtls | the handshakes of many legs, so that none delays an answer |
//!
//! Mailboxes are bounded and written with `try_send`; what must not be lost (removals, answers of
//! the engine) goes by `do_send`, whose number is bounded by the legs that there are.

pub mod call;
pub mod dtls;
pub mod events;
mod faces;
pub mod load;
pub mod node;
mod past;
pub mod proxied;
pub mod registry;
mod relays;
mod rings;
pub mod switchboard;
mod timer;
pub mod turn;
pub mod worker_link;
