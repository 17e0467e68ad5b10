//! Checked view of an RTP header (RFC 3550 §5.1) and of its header extensions (RFC 8285).
//!
//! ```text
//!  0                   1                   2                   3
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |  CSRC × CC, then if X: profile, length in words, extension    |
//! ```

use crate::error::DropReason;

/// Bytes of the fixed header.
pub const FIXED_LEN: usize = 12;

/// An RTP header, parsed and checked against the packet's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// Whether the packet ends in padding; its length is in the (possibly encrypted) last byte.
    pub padding: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
    /// Bytes of the fixed header and the CSRC list.
    pub fixed_len: u16,
    /// The 16 bits "defined by profile" if there is an extension: 0xBEDE one-byte, 0x100x two-byte.
    pub extension_profile: Option<u16>,
    /// Bytes of the whole header: where the payload starts.
    pub len: u16,
}

impl RtpHeader {
    /// Parses the header of `packet`, which may be encrypted behind it.
    ///
    /// # Errors
    /// [`DropReason::RtpMalformed`] if the version is not 2 or the header is longer than the packet.
    pub fn parse(packet: &[u8]) -> Result<Self, DropReason> {
        let malformed = DropReason::RtpMalformed;
        let fixed: &[u8; FIXED_LEN] = packet.first_chunk().ok_or(malformed)?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return Err(malformed);
        }
        let fixed_len = FIXED_LEN + 4 * usize::from(first & 0x0f);
        let (extension_profile, len) = if first & 0x10 != 0 {
            let head: &[u8; 4] =
                packet.get(fixed_len..).and_then(<[u8]>::first_chunk).ok_or(malformed)?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            (Some(u16::from_be_bytes([head[0], head[1]])), fixed_len + 4 + 4 * words)
        } else {
            (None, fixed_len)
        };
        if len > packet.len() {
            return Err(malformed);
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            padding: first & 0x20 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            fixed_len: u16::try_from(fixed_len).map_err(|_| malformed)?,
            extension_profile,
            len: u16::try_from(len).map_err(|_| malformed)?,
        })
    }
}
