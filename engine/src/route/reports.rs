//! How RTCP crosses the node.
//!
//! What a leg sends falls apart in two directions: [`forward_reports`] makes what a sink's leg
//! gets to know of its source, [`backward_feedback`] makes what a source's leg gets to know of the
//! sinks that it feeds. Both write new packets in the node's name: nothing passes unread.

use arrayvec::ArrayVec;

use super::{Kind, Route};
use crate::error::DropReason;
use crate::rtcp::{BLOCKS_MAX, Compound, ReportBlock, Rtcp, Writer, Xr, XrBlock};

/// XR blocks that begin with an SSRC and a range of sequence numbers: loss, duplicate and receipt
/// time lists, statistics summary (RFC 3611 §4.1 to §4.3, §4.6).
const XR_RANGES: [u8; 4] = [1, 2, 3, 6];
/// The XR block that begins with an SSRC alone: VoIP metrics (RFC 3611 §4.7).
const XR_VOIP: u8 = 7;

/// Writes what the leg of `route`'s sink gets to know from `compound`, which the leg of its source
/// sent: sender reports and BYE, in the sink's name, with `cname`. Returns the bytes written to
/// `out`; none if nothing is for this sink.
///
/// NTP times pass as they are, so that streams of one source stay in step and round-trip times
/// measure the whole way. Packet counts are the sink's own.
pub fn forward_reports(
    compound: &Compound<'_>,
    route: &Route,
    cname: &str,
    out: &mut [u8],
) -> Option<usize> {
    let mut writer = Writer::new(out);
    for packet in compound.sound() {
        if let Rtcp::SenderReport(report) = packet
            && let Some(info) = route.forward_sender_info(&report.info)
        {
            writer.sender_report(&info).ok()?;
            writer.sdes(info.ssrc, cname.as_bytes()).ok()?;
        }
    }
    for packet in compound.sound() {
        let Rtcp::Bye(bye) = packet else { continue };
        for ssrc in bye.ssrcs().filter_map(|ssrc| route.forward_ssrc(ssrc)) {
            if writer.is_empty() {
                // A compound begins with a report (RFC 3550 §6.1).
                writer.receiver_report(ssrc, &[]).ok()?;
                writer.sdes(ssrc, cname.as_bytes()).ok()?;
            }
            writer.bye(ssrc).ok()?;
        }
    }
    Some(writer.len()).filter(|&len| len > 0)
}

/// The leg that feedback goes to: one that feeds sinks of the leg that the feedback came from.
#[derive(Debug, Clone, Copy)]
pub struct FeedbackTarget<'t> {
    /// The SSRC that the node reports under to that leg.
    pub own_ssrc: u32,
    /// The node's canonical name there.
    pub cname: &'t str,
    /// Whether that leg takes RTCP that does not begin with a report (RFC 5506).
    pub reduced_size: bool,
    /// The number of the node's next FIR if that leg negotiated FIR; else it gets PLI.
    pub fir: Option<u8>,
}

/// What [`backward_feedback`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    /// Bytes; none if nothing is for this target.
    pub len: Option<usize>,
    /// Whether the number of [`FeedbackTarget::fir`] is used up.
    pub fir_used: bool,
    /// Packets asked for again.
    pub nacks: u16,
    /// Key frames asked for.
    pub key_frames: u16,
}

/// Writes what `target` gets to know from `compound`, which a receiving leg sent: report blocks,
/// NACK, PLI, FIR, REMB, transport-wide feedback and extended reports, mapped to the source's
/// numbers, as one compound. `resolve` gives the route of the receiving leg's sink with that SSRC
/// (either of its two) if `target` feeds it; what it does not resolve is left out.
pub fn backward_feedback<'r>(
    compound: &Compound<'_>,
    resolve: impl Fn(u32) -> Option<&'r Route>,
    target: &FeedbackTarget<'_>,
    out: &mut [u8],
) -> Feedback {
    let mut crossing = Crossing {
        resolve: |ssrc: u32| {
            let route = resolve(ssrc)?;
            Some((route, route.owns(ssrc)?))
        },
        target,
        writer: Writer::new(out),
        done: Feedback::default(),
    };
    // A writer that is full drops the rest, which the far side says again.
    let _full = crossing.write(compound);
    crossing.done
}

struct Crossing<'t, 'o, F> {
    resolve: F,
    target: &'t FeedbackTarget<'t>,
    writer: Writer<'o>,
    done: Feedback,
}

impl<'r, F: Fn(u32) -> Option<(&'r Route, Kind)>> Crossing<'_, '_, F> {
    fn write(&mut self, compound: &Compound<'_>) -> Result<(), DropReason> {
        let own_ssrc = self.target.own_ssrc;
        let blocks = self.report_blocks(compound);
        let report = !blocks.is_empty() || !self.target.reduced_size;
        if report {
            self.writer.receiver_report(own_ssrc, &blocks)?;
            self.writer.sdes(own_ssrc, self.target.cname.as_bytes())?;
        }
        let head_len = self.writer.len();
        let fits = compound.sound().try_for_each(|packet| self.feedback(packet));
        let worth_sending = !blocks.is_empty() || self.writer.len() > head_len;
        self.done.len = Some(self.writer.len()).filter(|_| worth_sending);
        fits
    }

    fn report_blocks(&self, compound: &Compound<'_>) -> ArrayVec<ReportBlock, BLOCKS_MAX> {
        let mut mapped = ArrayVec::new();
        for packet in compound.sound() {
            match packet {
                Rtcp::SenderReport(report) => self.map_blocks(report.blocks(), &mut mapped),
                Rtcp::ReceiverReport(report) => self.map_blocks(report.blocks(), &mut mapped),
                _ => {}
            }
        }
        mapped
    }

    fn map_blocks(
        &self,
        blocks: impl Iterator<Item = ReportBlock>,
        mapped: &mut ArrayVec<ReportBlock, BLOCKS_MAX>,
    ) {
        let backward = |block: ReportBlock| {
            let (route, kind) = (self.resolve)(block.ssrc)?;
            let (ssrc, highest_sequence) = route.backward_extended(kind, block.highest_sequence)?;
            Some(ReportBlock { ssrc, highest_sequence, ..block })
        };
        let room = mapped.remaining_capacity();
        mapped.extend(blocks.filter_map(backward).take(room));
    }

    fn feedback(&mut self, packet: Rtcp<'_>) -> Result<(), DropReason> {
        let own_ssrc = self.target.own_ssrc;
        match packet {
            Rtcp::Nack(nack) => self.nack(nack.media, nack.sequences()),
            Rtcp::Pli(pli) => match self.source_of(pli.media) {
                Some((_, media)) => {
                    self.done.key_frames += 1;
                    self.writer.pli(own_ssrc, media)
                }
                None => Ok(()),
            },
            Rtcp::Fir(fir) => fir.entries().try_for_each(|(media, _)| self.fir(media)),
            Rtcp::Remb(remb) => {
                let resolve = &self.resolve;
                let mut ssrcs = remb.ssrcs().filter_map(|ssrc| mapped(resolve, ssrc)).peekable();
                match ssrcs.peek() {
                    Some(_) => self.writer.remb(own_ssrc, remb.bitrate, ssrcs),
                    None => Ok(()),
                }
            }
            Rtcp::TransportFeedback(feedback) => match self.source_of(feedback.media) {
                Some((route, media)) if route.is_transport_cc_end_to_end() => {
                    self.writer.transport_feedback(own_ssrc, media, feedback.body)
                }
                _ => Ok(()),
            },
            Rtcp::Xr(xr) => self.xr(&xr),
            Rtcp::SenderReport(_)
            | Rtcp::ReceiverReport(_)
            | Rtcp::Sdes(_)
            | Rtcp::Bye(_)
            | Rtcp::Unknown { .. } => Ok(()),
        }
    }

    /// The numbers may have come from several SSRCs of the source.
    fn nack(
        &mut self,
        media: u32,
        sequences: impl Iterator<Item = u16> + Clone,
    ) -> Result<(), DropReason> {
        let Some((route, kind)) = (self.resolve)(media) else { return Ok(()) };
        let nacks = &mut self.done.nacks;
        for source_ssrc in route.source_ssrcs(kind) {
            let lost = sequences
                .clone()
                .filter_map(|sequence| route.backward_sequence(kind, sequence))
                .filter(|(ssrc, _)| *ssrc == source_ssrc)
                .map(|(_, sequence)| sequence)
                .inspect(|_| *nacks = nacks.saturating_add(1));
            self.writer.nack(self.target.own_ssrc, source_ssrc, lost)?;
        }
        Ok(())
    }

    fn fir(&mut self, media: u32) -> Result<(), DropReason> {
        let Some((_, media)) = self.source_of(media) else { return Ok(()) };
        self.done.key_frames += 1;
        match self.target.fir {
            Some(sequence) => {
                self.done.fir_used = true;
                self.writer.fir(self.target.own_ssrc, media, sequence)
            }
            None => self.writer.pli(self.target.own_ssrc, media),
        }
    }

    fn xr(&mut self, xr: &Xr<'_>) -> Result<(), DropReason> {
        let resolve = &self.resolve;
        self.writer.xr(self.target.own_ssrc, |writer| {
            xr.blocks().try_for_each(|block| match map_xr(resolve, &block) {
                Some(head) => {
                    let rest = &block.body[head.len()..];
                    #[allow(clippy::cast_possible_truncation)] // it was read from 16 bits
                    let words = (block.body.len() / 4) as u16;
                    writer.put(&[block.block_type, block.specific])?;
                    writer.put(&words.to_be_bytes())?;
                    writer.put(&head)?;
                    writer.put(rest)
                }
                None => Ok(()),
            })
        })
    }

    fn source_of(&self, sink_ssrc: u32) -> Option<(&'r Route, u32)> {
        let (route, kind) = (self.resolve)(sink_ssrc)?;
        Some((route, route.backward_ssrc(kind)?))
    }
}

fn mapped<'r>(resolve: &impl Fn(u32) -> Option<(&'r Route, Kind)>, sink_ssrc: u32) -> Option<u32> {
    let (route, kind) = resolve(sink_ssrc)?;
    route.backward_ssrc(kind)
}

/// The start of the block's body in the source's numbers; none if the block cannot be mapped.
fn map_xr<'r>(
    resolve: &impl Fn(u32) -> Option<(&'r Route, Kind)>,
    block: &XrBlock<'_>,
) -> Option<ArrayVec<u8, 8>> {
    let mut head = ArrayVec::new();
    let (route, kind) = resolve(u32::from_be_bytes(*block.body.first_chunk()?))?;
    if block.block_type == XR_VOIP {
        head.try_extend_from_slice(&route.backward_ssrc(kind)?.to_be_bytes()).ok()?;
        return Some(head);
    }
    // A thinned list tells of every 2^T-th number, which the mapping does not keep (RFC 3611 §4.1).
    let thinned = block.block_type != 6 && block.specific & 0x0f != 0;
    if !XR_RANGES.contains(&block.block_type) || thinned {
        return None;
    }
    let &[_, _, _, _, b0, b1, e0, e1] = block.body.first_chunk()?;
    let begin = u16::from_be_bytes([b0, b1]);
    let length = u16::from_be_bytes([e0, e1]).wrapping_sub(begin);
    // The end is one past the last number.
    let last = begin.wrapping_add(length.checked_sub(1)?);
    let (ssrc, mapped_begin) = route.backward_sequence(kind, begin)?;
    let (last_ssrc, mapped_last) = route.backward_sequence(kind, last)?;
    if ssrc != last_ssrc || mapped_last.wrapping_sub(mapped_begin) != length - 1 {
        return None;
    }
    head.try_extend_from_slice(&ssrc.to_be_bytes()).ok()?;
    head.try_extend_from_slice(&mapped_begin.to_be_bytes()).ok()?;
    head.try_extend_from_slice(&mapped_last.wrapping_add(1).to_be_bytes()).ok()?;
    Some(head)
}

#[cfg(test)]
mod tests;
