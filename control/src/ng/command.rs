//! What can be asked for, by name.

use std::fmt;

use super::NgError;

/// A command, as the value of the key `command` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Are you there?
    Ping,
    /// A description that one side offers; it comes back rewritten.
    Offer,
    /// The description that answers it.
    Answer,
    /// The call, or a branch of it, is over.
    Delete,
    /// What is known of a call.
    Query,
    /// The calls' ids.
    List,
    /// Counters of the node.
    Statistics,
    /// Record a call from now on.
    StartRecording,
    /// Record it no longer.
    StopRecording,
    /// Record nothing until recording is started again.
    PauseRecording,
    /// Let no DTMF pass.
    BlockDtmf,
    /// Let DTMF pass again.
    UnblockDtmf,
    /// Let no media pass.
    BlockMedia,
    /// Let media pass again.
    UnblockMedia,
    /// Send silence in the place of sound.
    SilenceMedia,
    /// Send sound again.
    UnsilenceMedia,
    /// Send decoded sound to the recording daemon.
    StartForwarding,
    /// Send it no longer.
    StopForwarding,
    /// Play a file.
    PlayMedia,
    /// Play it no longer.
    StopMedia,
    /// Play a digit.
    PlayDtmf,
    /// Take media that nobody answers.
    Publish,
    /// Offer a copy of the call's media.
    SubscribeRequest,
    /// The description that answers that offer.
    SubscribeAnswer,
    /// No copy any longer.
    Unsubscribe,
    /// Join two calls.
    Connect,
    /// A description that the node offers by itself.
    Create,
    /// The description that answers it.
    CreateAnswer,
    /// Let everybody of some calls hear everybody.
    Mesh,
    /// Mix a source into a call.
    InjectStart,
    /// Mix it in no longer.
    InjectStop,
    /// Convert media by given formats.
    Transform,
    /// A line of the command line interface.
    Cli,
}

impl Command {
    /// Every command.
    pub const ALL: &'static [Self] = &[
        Self::Ping,
        Self::Offer,
        Self::Answer,
        Self::Delete,
        Self::Query,
        Self::List,
        Self::Statistics,
        Self::StartRecording,
        Self::StopRecording,
        Self::PauseRecording,
        Self::BlockDtmf,
        Self::UnblockDtmf,
        Self::BlockMedia,
        Self::UnblockMedia,
        Self::SilenceMedia,
        Self::UnsilenceMedia,
        Self::StartForwarding,
        Self::StopForwarding,
        Self::PlayMedia,
        Self::StopMedia,
        Self::PlayDtmf,
        Self::Publish,
        Self::SubscribeRequest,
        Self::SubscribeAnswer,
        Self::Unsubscribe,
        Self::Connect,
        Self::Create,
        Self::CreateAnswer,
        Self::Mesh,
        Self::InjectStart,
        Self::InjectStop,
        Self::Transform,
        Self::Cli,
    ];

    /// Its name in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::List => "list",
            Self::Statistics => "statistics",
            Self::StartRecording => "start recording",
            Self::StopRecording => "stop recording",
            Self::PauseRecording => "pause recording",
            Self::BlockDtmf => "block DTMF",
            Self::UnblockDtmf => "unblock DTMF",
            Self::BlockMedia => "block media",
            Self::UnblockMedia => "unblock media",
            Self::SilenceMedia => "silence media",
            Self::UnsilenceMedia => "unsilence media",
            Self::StartForwarding => "start forwarding",
            Self::StopForwarding => "stop forwarding",
            Self::PlayMedia => "play media",
            Self::StopMedia => "stop media",
            Self::PlayDtmf => "play DTMF",
            Self::Publish => "publish",
            Self::SubscribeRequest => "subscribe request",
            Self::SubscribeAnswer => "subscribe answer",
            Self::Unsubscribe => "unsubscribe",
            Self::Connect => "connect",
            Self::Create => "create",
            Self::CreateAnswer => "create answer",
            Self::Mesh => "mesh",
            Self::InjectStart => "inject start",
            Self::InjectStop => "inject stop",
            Self::Transform => "transform",
            Self::Cli => "cli",
        }
    }

    /// Reads a name, letter by letter: here spaces are no hyphens.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|command| command.name() == name)
    }

    /// The error of a command whose call is not there. `delete` has one only where the request says
    /// that this is fatal.
    pub fn unknown_call(self) -> NgError {
        match self {
            Self::Delete => NgError::NothingDeleted,
            Self::Offer
            | Self::Answer
            | Self::Query
            | Self::StartRecording
            | Self::StopRecording
            | Self::PauseRecording => NgError::UnknownCall,
            _ => NgError::NoCallToSelectFrom,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
