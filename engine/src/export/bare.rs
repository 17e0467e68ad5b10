//! The hand-over of a worker without a kernel.

use super::{Exported, Unreadable};
use crate::command::Refusal;
use crate::packet::Nanos;
use crate::worker::bare::Bare;

/// Why a worker did not go on with a copy.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It does not fit the worker.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Bare {
    /// Copies its state, as [`crate::command::Command::Export`] does; there are no sockets in it.
    pub fn export(&mut self, now: Nanos) -> Exported {
        let mut exported = Exported::default();
        self.worker.now = now;
        self.worker.copy_state(&mut exported);
        exported
    }

    /// Goes on with a copy.
    ///
    /// # Errors
    /// Why it cannot be read, or what the worker refuses.
    pub fn install(&mut self, exported: Exported, now: Nanos) -> Result<(), InstallError> {
        self.worker.now = now;
        for command in exported.commands(now)? {
            self.apply(command).0?;
        }
        Ok(())
    }
}
