//! Writes RTCP packets one behind the other.

use super::{
    APPLICATION, BYE, FIR, NACK, PAYLOAD_SPECIFIC, PLI, RECEIVER_REPORT, REMB_NAME, ReportBlock,
    SDES, SENDER_REPORT, SenderInfo, TRANSPORT_FEEDBACK, TRANSPORT_SPECIFIC, XR,
};
use crate::error::DropReason;

/// Builds a compound. A packet that does not fit is left out as a whole, and its method returns
/// [`DropReason::RewriteRoom`].
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Writer<'o> {
    /// A compound without packets at the start of `out`.
    pub fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sender information without report blocks (RFC 3550 §6.4.1).
    pub fn sender_report(&mut self, info: &SenderInfo) -> Result<(), DropReason> {
        self.packet(0, SENDER_REPORT, |w| {
            w.word(info.ssrc)?;
            w.put(&info.ntp.to_be_bytes())?;
            w.word(info.timestamp)?;
            w.word(info.packets)?;
            w.word(info.octets)
        })
    }

    /// Reception reports, at most [`super::BLOCKS_MAX`] (RFC 3550 §6.4.2).
    #[allow(clippy::cast_possible_truncation)] // bounded by the slice
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), DropReason> {
        let blocks = &blocks[..blocks.len().min(super::BLOCKS_MAX)];
        self.packet(blocks.len() as u8, RECEIVER_REPORT, |w| {
            w.word(ssrc)?;
            blocks.iter().try_for_each(|block| w.block(block))
        })
    }

    /// One chunk with a canonical name, of which 255 bytes count (RFC 3550 §6.5.1).
    #[allow(clippy::cast_possible_truncation)] // bounded by the slice
    pub fn sdes(&mut self, ssrc: u32, cname: &[u8]) -> Result<(), DropReason> {
        let cname = &cname[..cname.len().min(usize::from(u8::MAX))];
        self.packet(1, SDES, |w| {
            w.word(ssrc)?;
            w.put(&[1, cname.len() as u8])?;
            w.put(cname)?;
            w.put(&[0])
        })
    }

    /// One SSRC leaves (RFC 3550 §6.6).
    pub fn bye(&mut self, ssrc: u32) -> Result<(), DropReason> {
        self.packet(1, BYE, |w| w.word(ssrc))
    }

    /// Asks for packets, best in rising order; as many as fit. None, no packet (RFC 4585 §6.2.1).
    pub fn nack(
        &mut self,
        sender: u32,
        media: u32,
        sequences: impl Iterator<Item = u16>,
    ) -> Result<(), DropReason> {
        let mut entries = NackEntries { sequences: sequences.peekable() }.peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        self.packet(NACK, TRANSPORT_SPECIFIC, |w| {
            w.word(sender)?;
            w.word(media)?;
            entries.next().map_or(Ok(()), |entry| w.word(entry))?;
            let _full = entries.try_for_each(|entry| w.word(entry));
            Ok(())
        })
    }

    /// A picture is lost (RFC 4585 §6.3.1).
    pub fn pli(&mut self, sender: u32, media: u32) -> Result<(), DropReason> {
        self.packet(PLI, PAYLOAD_SPECIFIC, |w| {
            w.word(sender)?;
            w.word(media)
        })
    }

    /// Command number `sequence` for a full picture (RFC 5104 §4.3.1).
    pub fn fir(&mut self, sender: u32, media: u32, sequence: u8) -> Result<(), DropReason> {
        self.packet(FIR, PAYLOAD_SPECIFIC, |w| {
            w.word(sender)?;
            w.word(0)?;
            w.word(media)?;
            w.put(&[sequence, 0, 0, 0])
        })
    }

    /// An estimate in bits per second for up to 255 streams; rounded down to 18 bits of mantissa
    /// (draft-alvestrand-rmcat-remb-03 §2.2).
    pub fn remb(
        &mut self,
        sender: u32,
        bitrate: u64,
        ssrcs: impl Iterator<Item = u32>,
    ) -> Result<(), DropReason> {
        let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(18);
        self.packet(APPLICATION, PAYLOAD_SPECIFIC, |w| {
            w.word(sender)?;
            w.word(0)?;
            w.put(&REMB_NAME)?;
            let head = w.len;
            w.word(0)?;
            let mut count = 0_u32;
            for ssrc in ssrcs.take(usize::from(u8::MAX)) {
                w.word(ssrc)?;
                count += 1;
            }
            #[allow(clippy::cast_possible_truncation)] // the shift leaves 18 bits
            let mantissa = (bitrate >> exponent) as u32;
            let word = count << 24 | exponent << 18 | mantissa;
            w.out[head..head + 4].copy_from_slice(&word.to_be_bytes());
            Ok(())
        })
    }

    /// Feedback by transport-wide sequence number with a body made elsewhere
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
    pub fn transport_feedback(
        &mut self,
        sender: u32,
        media: u32,
        body: &[u8],
    ) -> Result<(), DropReason> {
        self.packet(TRANSPORT_FEEDBACK, TRANSPORT_SPECIFIC, |w| {
            w.word(sender)?;
            w.word(media)?;
            w.put(body)
        })
    }

    /// Extended reports; `blocks` writes them with [`Writer::word`] and [`Writer::put`]. No blocks,
    /// no packet (RFC 3611 §2).
    pub(crate) fn xr(
        &mut self,
        ssrc: u32,
        blocks: impl FnOnce(&mut Self) -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        let before = self.len;
        self.packet(0, XR, |w| {
            w.word(ssrc)?;
            blocks(w)
        })?;
        if self.len == before + 8 {
            self.len = before;
        }
        Ok(())
    }

    pub(crate) fn word(&mut self, word: u32) -> Result<(), DropReason> {
        self.put(&word.to_be_bytes())
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        let room = self.out.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        room.ok_or(DropReason::RewriteRoom)?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    fn block(&mut self, block: &ReportBlock) -> Result<(), DropReason> {
        self.word(block.ssrc)?;
        let lost = block.cumulative_lost.cast_unsigned() & 0x00ff_ffff;
        self.word(u32::from(block.fraction_lost) << 24 | lost)?;
        self.word(block.highest_sequence)?;
        self.word(block.jitter)?;
        self.word(block.last_sender_report)?;
        self.word(block.delay_since)
    }

    fn packet(
        &mut self,
        count: u8,
        packet_type: u8,
        body: impl FnOnce(&mut Self) -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        let start = self.len;
        let written = self
            .put(&[0x80 | count, packet_type, 0, 0])
            .and_then(|()| body(self))
            .and_then(|()| self.close(start));
        if written.is_err() {
            self.len = start;
        }
        written
    }

    /// Fills up the last word and writes the length.
    fn close(&mut self, start: usize) -> Result<(), DropReason> {
        while !(self.len - start).is_multiple_of(4) {
            self.put(&[0])?;
        }
        let words = u16::try_from((self.len - start) / 4 - 1);
        let words = words.map_err(|_| DropReason::RewriteRoom)?;
        self.out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
        Ok(())
    }
}

/// Gathers numbers into words of PID and BLP.
struct NackEntries<I: Iterator<Item = u16>> {
    sequences: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = u16>> Iterator for NackEntries<I> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let pid = self.sequences.next()?;
        let mut mask = 0_u16;
        while let Some(next) = self.sequences.next_if(|next| next.wrapping_sub(pid) <= 16) {
            if let Some(bit) = next.wrapping_sub(pid).checked_sub(1) {
                mask |= 1 << bit;
            }
        }
        Some(u32::from(pid) << 16 | u32::from(mask))
    }
}
