//! What is recorded of a call: `start recording`, `pause recording`, `stop recording`, and `record call` with a
//! description.
//!
//! A recording is of all parties, those that come later included. The worker copies what comes on their
//! legs to whoever writes it down; what that one has to know goes to it by [`Order`], each before the packets
//! that it is about.

use std::net::SocketAddr;
use std::time::Duration;

use causeway_engine::command::LegId;

use super::seat::{MEDIA, REPORTS};
use super::{Lender, Output, ProxiedCall, RequestId};
use crate::ng::{Flag, Flags, NgError, Recording, RecordingAction, Reply};

/// A recording, for the node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordingId(pub u64);

/// What whoever records has to know. Times are since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A recording begins.
    Begin {
        /// Which.
        id: RecordingId,
        /// The call.
        call: String,
        /// What its file is to be called, if the proxy has said so.
        name: Option<String>,
        /// When.
        at: Duration,
    },
    /// A leg is part of it.
    Leg {
        /// Which recording.
        id: RecordingId,
        /// The leg.
        leg: LegId,
        /// The party's tag, if it has one yet.
        tag: Option<String>,
        /// Where the leg's media and RTCP come in.
        bound: [SocketAddr; 2],
    },
    /// Something to be noted with it.
    Note {
        /// Which recording.
        id: RecordingId,
        /// What the proxy has said.
        metadata: String,
    },
    /// It is over.
    End {
        /// Which.
        id: RecordingId,
        /// Whether it is thrown away.
        discard: bool,
        /// When.
        at: Duration,
    },
}

/// A recording of a call that is not over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded {
    id: RecordingId,
    is_paused: bool,
}

impl ProxiedCall {
    pub(super) fn recording(
        &mut self,
        request: RequestId,
        action: RecordingAction,
        recording: &Recording,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        match action {
            RecordingAction::Start => self.start_recording(recording.file.as_deref(), lender)?,
            RecordingAction::Pause => {
                if let Some(recorded) = &mut self.recorded {
                    recorded.is_paused = true;
                }
            }
            RecordingAction::Stop => {}
        }
        if let Some(metadata) = &recording.metadata {
            self.note(metadata);
        }
        if action == RecordingAction::Stop {
            self.stop_recording(recording.discard);
        }
        self.tap_all();
        self.reply_when_applied(request, Reply::ok());
        Ok(())
    }

    /// Does what a description's flags say of recording. A description is worth more than its record, so a
    /// record that cannot be made is told as a warning.
    pub(super) fn record_as_flagged(
        &mut self,
        flags: &Flags,
        lender: &mut dyn Lender,
    ) -> Option<NgError> {
        let wanted = flags.record_call.or(flags.has(Flag::RecordCall).then_some(true));
        let outcome = match wanted {
            Some(true) => self.start_recording(None, lender),
            Some(false) => {
                self.stop_recording(flags.has(Flag::DiscardRecording));
                Ok(())
            }
            None => Ok(()),
        };
        if let Some(metadata) = &flags.metadata {
            self.note(metadata);
        }
        outcome.err()
    }

    fn start_recording(
        &mut self,
        name: Option<&str>,
        lender: &mut dyn Lender,
    ) -> Result<(), NgError> {
        if let Some(recorded) = &mut self.recorded {
            recorded.is_paused = false;
            return Ok(());
        }
        let id = lender.recording()?;
        self.recorded = Some(Recorded { id, is_paused: false });
        let (call, name, at) = (self.id.clone(), name.map(Into::into), self.clock.unix);
        self.outputs.push_back(Output::Record(Order::Begin { id, call, name, at }));
        Ok(())
    }

    fn note(&mut self, metadata: &str) {
        if let Some(Recorded { id, .. }) = self.recorded {
            let metadata = metadata.to_owned();
            self.outputs.push_back(Output::Record(Order::Note { id, metadata }));
        }
    }

    /// Ends the recording, if there is one.
    pub(super) fn stop_recording(&mut self, discard: bool) {
        if let Some(Recorded { id, .. }) = self.recorded.take() {
            let at = self.clock.unix;
            self.outputs.push_back(Output::Record(Order::End { id, discard, at }));
        }
    }

    /// Lets the worker copy what is recorded, and nothing else.
    pub(super) fn tap_all(&mut self) {
        let recorded = self.recorded.filter(|recorded| !recorded.is_paused);
        let (mut orders, mut commands) = (Vec::new(), Vec::new());
        for party in self.parties.iter_mut() {
            let tag = party.tag.clone();
            for seat in party.seats.iter_mut().flat_map(super::seats::Seats::all_mut) {
                let Some(command) = seat.tap(recorded.is_some()) else { continue };
                commands.push(command);
                if let Some(Recorded { id, .. }) = recorded {
                    let bound = [MEDIA, REPORTS].map(|part| seat.parts[usize::from(part)].bound());
                    let (leg, tag) = (seat.leg, tag.clone());
                    orders.push(Output::Record(Order::Leg { id, leg, tag, bound }));
                }
            }
        }
        self.outputs.extend(orders);
        commands.into_iter().for_each(|command| self.tell(command));
    }
}
