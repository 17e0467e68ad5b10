//! Master key identifiers: what a packet names its key by (RFC 3711 §3.1).
//!
//! The identifier stands before the tag, with GCM behind it, and is neither encrypted nor
//! authenticated; so packets are taken apart and put together around the transforms, which know
//! nothing of it.

use crate::error::DropReason;

/// Bytes of the longest identifier (RFC 4568 §6.1).
pub const MKI_MAX: usize = 128;

/// A master key identifier: a number in as many bytes as packets carry it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mki {
    pub(super) value: u64,
    pub(super) len: u8,
}

impl Mki {
    /// `value` in `len` bytes; `None` if those are none, more than [`MKI_MAX`], or too few.
    #[must_use]
    pub fn new(value: u64, len: u8) -> Option<Self> {
        let fits = len >= 8 || value >> (8 * len) == 0;
        let is_len = len > 0 && usize::from(len) <= MKI_MAX;
        (fits && is_len).then_some(Self { value, len })
    }

    /// The byte at this place of the identifier.
    fn byte(self, place: usize) -> u8 {
        let behind = usize::from(self.len) - 1 - place;
        if behind < 8 { self.value.to_be_bytes()[7 - behind] } else { 0 }
    }
}

/// Bytes by which packets grow for it.
pub(super) fn len(mki: Option<Mki>) -> usize {
    mki.map_or(0, |mki| usize::from(mki.len))
}

/// Takes the identifier out of a packet that has `behind` more bytes after it.
pub(super) fn take(
    mki: Option<Mki>,
    packet: &mut [u8],
    behind: usize,
) -> Result<&mut [u8], DropReason> {
    let Some(mki) = mki else { return Ok(packet) };
    let len = usize::from(mki.len);
    let at = packet.len().checked_sub(behind + len).ok_or(DropReason::SrtpShort)?;
    let is_it = packet[at..at + len].iter().enumerate().all(|(place, b)| *b == mki.byte(place));
    if !is_it {
        return Err(DropReason::SrtpAuth);
    }
    packet.copy_within(at + len.., at);
    let rest = packet.len() - len;
    Ok(&mut packet[..rest])
}

/// Puts the identifier into a packet that ends in room for it, before the last `behind` bytes.
pub(super) fn put(mki: Option<Mki>, packet: &mut [u8], behind: usize) {
    let Some(mki) = mki else { return };
    let len = usize::from(mki.len);
    let at = packet.len() - len - behind;
    packet.copy_within(at..at + behind, at + len);
    for (place, byte) in packet[at..at + len].iter_mut().enumerate() {
        *byte = mki.byte(place);
    }
}
