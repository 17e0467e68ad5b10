//! The rings between threads of the engine.
//!
//! What the kernel gives to a worker on a port that all have, or a relay passes on, may be another's. So at
//! start each worker is joined with each other and with the edge; a ring costs memory only once it is used.

use causeway_engine::command::Command;
use causeway_engine::{Engine, Link};

use super::node::NodeError;

/// Joins each of these threads with each other.
///
/// # Errors
/// [`NodeError::Worker`] if one takes no commands.
pub(super) fn among(engine: &Engine, mut links: &mut [Link]) -> Result<(), NodeError> {
    while let Some((one, others)) = links.split_first_mut() {
        for other in others.iter_mut() {
            between(engine, one, other)?;
        }
        links = others;
    }
    Ok(())
}

/// Joins two threads by a ring either way.
///
/// # Errors
/// [`NodeError::Worker`] if one takes no commands.
pub(super) fn between(engine: &Engine, one: &mut Link, other: &mut Link) -> Result<(), NodeError> {
    let (from_one, to_other) = engine.hop(one.worker(), other.worker());
    let (from_other, to_one) = engine.hop(other.worker(), one.worker());
    tell(other, from_one)?;
    tell(one, to_other)?;
    tell(one, from_other)?;
    tell(other, to_one)
}

fn tell(link: &mut Link, command: Command) -> Result<(), NodeError> {
    let number = link.worker().0;
    link.send(command).map(drop).map_err(|_| NodeError::Worker(number))
}
