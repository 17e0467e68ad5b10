//! Which way a run asks for its calls.

use crate::ng::client::{NgClient, NgError};
use crate::phones::Phones;
use crate::rest::{Rest, RestError, Workers};

/// The node's REST API, where each leg is a browser; or the ng protocol, where each is a phone.
pub enum Door<'a> {
    /// `/v1/calls`.
    Rest(&'a Rest),
    /// `offer`, `answer`, `delete`.
    Ng(NgDoor<'a>),
}

/// A way over the ng protocol.
pub struct NgDoor<'a> {
    /// Who asks.
    pub client: NgClient,
    /// Sets the calls of this run apart from others.
    pub run: &'a str,
    /// What legs are like.
    pub phones: Phones,
    /// The server's REST API, where it has one: what it has dropped is read there.
    pub rest: Option<&'a Rest>,
}

impl Door<'_> {
    /// Whether somebody is behind it.
    ///
    /// # Errors
    /// [`RestError`], [`NgError`]
    pub fn knock(&mut self) -> Result<(), DoorError> {
        match self {
            Self::Rest(_) => self.workers().map(drop),
            Self::Ng(door) => Ok(door.client.ping()?),
        }
    }

    /// What the server's workers have done so far; none if it does not say.
    ///
    /// # Errors
    /// [`RestError`]
    pub fn workers(&self) -> Result<Option<Workers>, DoorError> {
        let rest = match self {
            Self::Rest(rest) => Some(*rest),
            Self::Ng(door) => door.rest,
        };
        Ok(rest.map(Rest::workers).transpose()?)
    }

    /// Makes a call and returns its id.
    ///
    /// # Errors
    /// [`RestError`]
    pub fn create(&mut self, number: u32) -> Result<String, DoorError> {
        match self {
            Self::Rest(rest) => Ok(rest.create_call(&format!("load {number}"))?),
            Self::Ng(door) => Ok(format!("{}-media-{number}", door.run)),
        }
    }

    /// Ends a call.
    ///
    /// # Errors
    /// [`RestError`], [`NgError`]
    pub fn delete(&mut self, id: &str) -> Result<(), DoorError> {
        match self {
            Self::Rest(rest) => Ok(rest.delete_call(id)?),
            Self::Ng(door) => Ok(door.client.delete(id)?),
        }
    }
}

impl DoorError {
    /// Whether the server was asked for more than it gives: it has reached a limit, refuses, or says nothing.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Rest(error) => matches!(error, RestError::Limit { .. }),
            Self::Ng(error) => matches!(error, NgError::Refused(..) | NgError::Silent(..)),
        }
    }
}

/// Why the server did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Over REST.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Over ng.
    #[error(transparent)]
    Ng(#[from] NgError),
}
