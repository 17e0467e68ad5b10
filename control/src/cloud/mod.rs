//! `announce = "auto"`: asks the cloud for this machine's public address.
//!
//! [`detect`] says which cloud it is by what the firmware says of itself, [`Exchange`] is the sans-IO
//! conversation with that cloud's metadata service, and [`fetch::fetch`] runs it once at start-up.
//!
//! The address is that of the first network interface. A node with several has to be told.

mod exchange;
pub mod fetch;
pub(crate) mod http;
mod provider;

use std::net::IpAddr;

pub use exchange::{Exchange, Output, Request};
pub use provider::{Provider, detect};

/// What the cloud says of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// What the world sends to.
    pub public: IpAddr,
    /// The address that the public one is mapped to, where the cloud tells. If it isn't the bind address, the
    /// public one belongs to another interface.
    pub private: Option<IpAddr>,
}

/// Why the public address is not known, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// No cloud that the node knows.
    #[error(
        "announce = \"auto\" works on AWS, Google Cloud, Azure, OpenStack and DigitalOcean, and this machine \
         looks like none of them: write the public address into announce"
    )]
    UnknownCloud,
    /// The provider's name is unknown.
    #[error("\"{0}\" is neither an address nor auto, aws, gcp, azure, openstack or digitalocean")]
    UnknownName(String),
    /// There is no public address.
    #[error(
        "{0} says that this machine has no public address: attach one, or write it into announce"
    )]
    NoPublicAddress(Provider),
    /// The metadata service said no.
    #[error("the metadata service of {provider} refused {path} with status {status}{}", hint(.provider, .status))]
    Refused {
        /// Whose.
        provider: Provider,
        /// What was asked for.
        path: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not an address, or no HTTP.
    #[error("the metadata service of {0} gave an answer that makes no sense: {1}")]
    Nonsense(Provider, &'static str),
    /// No answer.
    #[error(
        "the metadata service of {0} at {1} cannot be reached: {2}. In a container it may take host networking \
         or, on AWS, a hop limit of 2 (--http-put-response-hop-limit)"
    )]
    Unreachable(Provider, std::net::SocketAddr, String),
}

fn hint(provider: &Provider, status: &u16) -> &'static str {
    match (provider, status) {
        (Provider::Aws, 403) => ": it is switched off for this instance (--http-endpoint enabled)",
        _ => "",
    }
}
