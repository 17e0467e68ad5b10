//! What a transport's path carries.

/// What a worker keeps for a transport whose bandwidth it estimates.
#[derive(Debug, Clone, Default)]
pub struct Bandwidth {
    estimate: Option<u32>,
}

impl Bandwidth {
    /// One that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bits per second that the path is held to carry.
    pub fn estimate(&self) -> Option<u32> {
        self.estimate
    }
}
