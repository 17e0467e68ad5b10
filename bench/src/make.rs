//! Whose server it is.

use std::fmt;
use std::process::Stdio;

use serde::Serialize;

/// Who made a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Make {
    /// coturn's `turnserver`.
    Coturn,
    /// rtpengine, in user space.
    Rtpengine,
    /// causeway.
    Causeway,
    /// This program as a bare forwarder ([`crate::floor`]).
    Floor,
}

impl Make {
    /// Where its complaints go: others complain of each protocol that the kernel does not have.
    pub fn complaints(self) -> Stdio {
        match self {
            Self::Coturn | Self::Rtpengine => Stdio::null(),
            Self::Causeway | Self::Floor => Stdio::inherit(),
        }
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Coturn => "coturn",
            Self::Rtpengine => "rtpengine",
            Self::Causeway => "causeway",
            Self::Floor => "floor",
        })
    }
}
