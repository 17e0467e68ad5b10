//! Where a stream goes as it came.
//!
//! Where the descriptions of two parties pass through the node, each speaks of its own SSRCs, payload
//! types and extension ids to the other, so the media between them must keep them: it is decrypted with
//! the keys of one side and encrypted with those of the other, and nothing else. A stream with pipes
//! has no use for sinks.

use arrayvec::ArrayVec;

use crate::command::TransportId;
use crate::config::PIPES_PER_STREAM;
use crate::error::DropReason;
use crate::plain::plain;

/// All pipes of a stream.
pub type Pipes = ArrayVec<Pipe, PIPES_PER_STREAM>;

/// Where a stream goes as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pipe {
    /// The transport that its media leaves by.
    pub media: TransportId,
    /// The transport that the RTCP of its leg leaves by: the same with rtcp-mux there.
    pub reports: TransportId,
    /// What of it passes.
    pub filter: Filter,
}

/// What of a stream passes through a pipe. RTCP always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// What becomes of its media, telephone events aside.
    pub media: MediaFilter,
    /// Whether telephone events (RFC 4733) are kept back.
    pub blocks_dtmf: bool,
}

/// What becomes of media in a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaFilter {
    /// It passes.
    #[default]
    Pass,
    /// It passes in its rhythm, its payload replaced by silence; of a codec whose silence is unknown
    /// ([`crate::command::Codec::silence`]) nothing does.
    Silence,
    /// It does not pass.
    Block,
}

/// What a packet carries, as far as a filter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// A telephone event.
    Event,
    /// Anything else, and the byte that silence of its codec repeats.
    Media { silence: Option<u8> },
}

/// What of a packet's payload leaves through a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outflow {
    /// All of it.
    Whole,
    /// This byte, as often as it is long.
    Filled(u8),
}

impl Filter {
    /// What leaves of a packet that carries `content`.
    pub(crate) fn judge(self, content: Content) -> Result<Outflow, DropReason> {
        match (content, self.media) {
            (Content::Event, _) if self.blocks_dtmf => Err(DropReason::DtmfBlocked),
            (Content::Event, _) | (_, MediaFilter::Pass) => Ok(Outflow::Whole),
            (Content::Media { .. }, MediaFilter::Block) => Err(DropReason::MediaBlocked),
            (Content::Media { silence }, MediaFilter::Silence) => {
                silence.map(Outflow::Filled).ok_or(DropReason::SilenceUnknown)
            }
        }
    }
}

plain! {
    struct Pipe { media, reports, filter }
    struct Filter { media, blocks_dtmf }
    enum MediaFilter { Pass {} = 0, Silence {} = 1, Block {} = 2 }
}
