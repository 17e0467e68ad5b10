//! Checked view of an RTP header (RFC 3550 §5.1) and of its header extensions (RFC 8285).
//!
//! ```text
//!  0                   1                   2                   3
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |  CSRC × CC, then if X: profile, length in words, extension    |
//! ```

use arrayvec::{ArrayVec, CapacityError};

use crate::config::{EXTENSIONS_MAX, MID_MAX};
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

    /// The header extensions of `packet`, which this header was parsed from. None in a form that
    /// is not RFC 8285's.
    pub fn extensions<'p>(&self, packet: &'p [u8]) -> Extensions<'p> {
        let form = match self.extension_profile {
            Some(ONE_BYTE_PROFILE) => Form::OneByte,
            Some(profile) if profile & 0xfff0 == TWO_BYTE_PROFILE => Form::TwoByte,
            _ => return Extensions { form: Form::OneByte, rest: &[] },
        };
        let elements = usize::from(self.fixed_len) + 4..usize::from(self.len);
        Extensions { form, rest: packet.get(elements).unwrap_or_default() }
    }

    /// The first header extension with the id `id`.
    pub fn extension<'p>(&self, packet: &'p [u8], id: u8) -> Option<&'p [u8]> {
        self.extensions(packet).find(|extension| extension.id == id).map(|extension| extension.data)
    }

    /// The MID that the (decrypted or not) packet carries under the id `id` (RFC 8843 §15).
    pub fn read_mid<'p>(&self, packet: &'p [u8], id: u8) -> Option<&'p [u8]> {
        self.extension(packet, id).filter(|mid| !mid.is_empty() && mid.len() <= MID_MAX)
    }

    /// The transport-wide sequence number under the id `id`
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
    pub fn read_transport_sequence(&self, packet: &[u8], id: u8) -> Option<u16> {
        self.extension(packet, id)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The payload of the decrypted `packet` without its padding (RFC 3550 §5.1).
    ///
    /// # Errors
    /// [`DropReason::RtpMalformed`] if the padding is longer than what follows the header.
    pub fn payload<'p>(&self, packet: &'p [u8]) -> Result<&'p [u8], DropReason> {
        let malformed = DropReason::RtpMalformed;
        let whole = packet.get(usize::from(self.len)..).ok_or(malformed)?;
        if !self.padding {
            return Ok(whole);
        }
        let padding = usize::from(*whole.last().ok_or(malformed)?);
        match whole.len().checked_sub(padding) {
            Some(len) if padding > 0 => Ok(&whole[..len]),
            _ => Err(malformed),
        }
    }
}

/// One header extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'p> {
    /// Its id, 1 to 14 in the one-byte form, 1 to 255 in the two-byte form.
    pub id: u8,
    /// What it carries.
    pub data: &'p [u8],
}

/// Walks header extensions; stops where they make no sense.
#[derive(Debug, Clone)]
pub struct Extensions<'p> {
    form: Form,
    rest: &'p [u8],
}

impl<'p> Iterator for Extensions<'p> {
    type Item = Extension<'p>;

    fn next(&mut self) -> Option<Extension<'p>> {
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (id, len, rest) = match (self.form, std::mem::take(&mut self.rest)) {
            // Ids 0 and 15 end the walk (RFC 8285 §4.2).
            (Form::OneByte, [head, rest @ ..]) if (1..15).contains(&(head >> 4)) => {
                (head >> 4, usize::from(head & 0x0f) + 1, rest)
            }
            (Form::TwoByte, [id, len, rest @ ..]) => (*id, usize::from(*len), rest),
            _ => return None,
        };
        let (data, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(Extension { id, data })
    }
}

/// Profile of one-byte headers (RFC 8285 §4.2).
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// Profile of two-byte headers, its low four bits aside (RFC 8285 §4.3).
const TWO_BYTE_PROFILE: u16 = 0x1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

/// Header extensions being written: the whole block, its four-byte head included.
#[derive(Debug)]
pub(crate) struct ExtensionBlock {
    bytes: ArrayVec<u8, EXTENSIONS_MAX>,
    form: Form,
}

impl ExtensionBlock {
    /// A block for `elements`, in the one-byte form if all of them fit it. Empty, without even a
    /// head, if there are none.
    ///
    /// # Errors
    /// [`DropReason::RewriteRoom`] if they take more than [`EXTENSIONS_MAX`] bytes.
    pub(crate) fn new<'p>(
        elements: impl Iterator<Item = Extension<'p>> + Clone,
    ) -> Result<Self, DropReason> {
        let fits = |e: Extension<'_>| e.id < 15 && (1..=16).contains(&e.data.len());
        let form = if elements.clone().all(fits) { Form::OneByte } else { Form::TwoByte };
        let mut block = Self { bytes: ArrayVec::new(), form };
        for element in elements {
            block.push(element).map_err(|_| DropReason::RewriteRoom)?;
        }
        block.close().map_err(|_| DropReason::RewriteRoom)?;
        Ok(block)
    }

    /// The bytes that go behind the CSRC list.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[allow(clippy::cast_possible_truncation)] // the form bounds the length
    fn push(&mut self, element: Extension<'_>) -> Result<(), CapacityError> {
        if self.bytes.is_empty() {
            self.bytes.try_extend_from_slice(&[0; 4])?;
        }
        let len = element.data.len() as u8;
        match self.form {
            Form::OneByte => self.bytes.try_extend_from_slice(&[element.id << 4 | (len - 1)])?,
            Form::TwoByte => self.bytes.try_extend_from_slice(&[element.id, len])?,
        }
        self.bytes.try_extend_from_slice(element.data)
    }

    #[allow(clippy::cast_possible_truncation)] // the capacity bounds the number of words
    fn close(&mut self) -> Result<(), CapacityError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.try_push(0).map_err(CapacityError::simplify)?;
        }
        let profile = match self.form {
            Form::OneByte => ONE_BYTE_PROFILE,
            Form::TwoByte => TWO_BYTE_PROFILE,
        };
        let words = (self.bytes.len() / 4 - 1) as u16;
        self.bytes[..2].copy_from_slice(&profile.to_be_bytes());
        self.bytes[2..4].copy_from_slice(&words.to_be_bytes());
        Ok(())
    }
}

/// Bytes of the original sequence number in front of what a retransmission repeats.
pub const ORIGINAL_SEQUENCE_LEN: usize = 2;

/// Makes a plain retransmission what it repeats, which then lies [`ORIGINAL_SEQUENCE_LEN`] behind its
/// start (RFC 4588 §4); none, and nothing changed, if it repeats nothing: padding tests the path.
pub fn restore_original(
    packet: &mut [u8],
    header: &RtpHeader,
    payload_type: u8,
    ssrc: u32,
) -> Option<RtpHeader> {
    let sequence = read_original_sequence(header.payload(packet).ok()?)?;
    packet.copy_within(..usize::from(header.len), ORIGINAL_SEQUENCE_LEN);
    let fixed = &mut packet[ORIGINAL_SEQUENCE_LEN..][..FIXED_LEN];
    fixed[1] = fixed[1] & 0x80 | payload_type & 0x7f;
    fixed[2..4].copy_from_slice(&sequence.to_be_bytes());
    fixed[8..12].copy_from_slice(&ssrc.to_be_bytes());
    Some(RtpHeader { payload_type, sequence, ssrc, ..*header })
}

/// The original sequence number that starts the payload of a retransmission (RFC 4588 §4).
pub fn read_original_sequence(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Replaces the original sequence number of a retransmission; a payload too short stays as it is.
pub fn write_original_sequence(payload: &mut [u8], sequence: u16) {
    if let Some(bytes) = payload.first_chunk_mut() {
        *bytes = sequence.to_be_bytes();
    }
}

#[cfg(test)]
mod tests;
