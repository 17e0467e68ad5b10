//! Where a stream goes as it came.
//!
//! Where the descriptions of two parties pass through the node, each speaks of its own SSRCs, payload
//! types and extension ids to the other, so the media between them must keep them: it is decrypted with
//! the keys of one side and encrypted with those of the other, and nothing else. A stream with pipes
//! has no use for sinks.

use crate::command::TransportId;
use crate::config::PIPES_PER_STREAM;
use crate::digit::Event;
use crate::error::DropReason;
use crate::few::Few;
use crate::plain::plain;
use crate::rtp::RtpHeader;
use crate::tone::Tone;

/// All pipes of a stream.
pub type Pipes = Few<Pipe, PIPES_PER_STREAM>;

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

/// What leaves through a pipe of a packet, or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outflow {
    /// All of it.
    Whole,
    /// This byte, as often as its payload is long.
    Filled(u8),
    /// An event.
    Event(Event),
    /// A piece of a digit's sound, as long as its payload.
    Tone(Tone),
}

impl Outflow {
    /// Makes the packet of `len` bytes at the start of `bytes` what leaves; its new length. There is room for
    /// an event behind any header.
    pub(crate) fn write(self, bytes: &mut [u8], len: usize, header: &RtpHeader) -> usize {
        let start = usize::from(header.len);
        let payload = header.payload(&bytes[..len]).map_or(0, <[u8]>::len);
        match self {
            Self::Whole => len,
            Self::Filled(byte) => {
                bytes[start..start + payload].fill(byte);
                len
            }
            Self::Tone(tone) => {
                tone.fill(&mut bytes[start..start + payload]);
                len
            }
            Self::Event(event) => {
                let marker = if event.is_first { 0x80 } else { 0 };
                bytes[0] &= !PADDING;
                bytes[1] = marker | event.payload_type & 0x7f;
                bytes[4..8].copy_from_slice(&event.timestamp.to_be_bytes());
                let end = start + event.payload.len();
                bytes[start..end].copy_from_slice(&event.payload);
                end
            }
        }
    }
}

/// The bit that says that a packet ends in padding (RFC 3550 §5.1).
const PADDING: u8 = 0x20;

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
