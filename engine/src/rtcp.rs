//! Checked views of RTCP (RFC 3550 §6, RFC 4585 §6, RFC 5104 §4.3, RFC 3611, RFC 5506,
//! draft-alvestrand-rmcat-remb-03) and a writer. How reports cross the node is in
//! [`crate::route::reports`].

use crate::error::DropReason;
use crate::packet::Nanos;

mod write;

pub use write::Writer;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_SPECIFIC: u8 = 205;
const PAYLOAD_SPECIFIC: u8 = 206;
const XR: u8 = 207;

/// Format of NACK among the transport-specific (RFC 4585 §6.2.1).
const NACK: u8 = 1;
/// Format of transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
const TRANSPORT_FEEDBACK: u8 = 15;
/// Format of PLI among the payload-specific (RFC 4585 §6.3.1).
const PLI: u8 = 1;
/// Format of FIR (RFC 5104 §4.3.1).
const FIR: u8 = 4;
/// Format of application layer feedback (RFC 4585 §6.4), REMB if it says so.
const APPLICATION: u8 = 15;
const REMB_NAME: [u8; 4] = *b"REMB";

/// Report blocks of one packet, most (the count has 5 bits).
pub const BLOCKS_MAX: usize = 31;
const BLOCK_LEN: usize = 24;

/// The RTCP packets of a datagram, one after the other. An item that is malformed in itself is an
/// error, and the walk goes on behind it.
#[derive(Debug, Clone)]
pub struct Compound<'p> {
    rest: &'p [u8],
}

/// What is to be counted about a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Packets of types that are not forwarded ([`DropReason::RtcpUnknown`]).
    pub unknown: u16,
    /// Packets malformed in themselves ([`DropReason::RtcpMalformed`]).
    pub malformed: u16,
}

/// One RTCP packet.
#[derive(Debug, Clone, Copy)]
pub enum Rtcp<'p> {
    /// What a sender says about its stream, and reception reports.
    SenderReport(SenderReport<'p>),
    /// Reception reports alone.
    ReceiverReport(ReceiverReport<'p>),
    /// Source descriptions.
    Sdes(Sdes<'p>),
    /// SSRCs that leave.
    Bye(Bye<'p>),
    /// Packets that are missing.
    Nack(Nack<'p>),
    /// A picture is lost.
    Pli(Pli),
    /// A full picture is demanded.
    Fir(Fir<'p>),
    /// The receiver's estimate of the bandwidth.
    Remb(Remb<'p>),
    /// Arrival times by transport-wide sequence number.
    TransportFeedback(TransportFeedback<'p>),
    /// Extended reports.
    Xr(Xr<'p>),
    /// Anything else.
    Unknown {
        /// Packet type.
        packet_type: u8,
        /// Format, subtype or count.
        format: u8,
    },
}

/// RFC 3550 §6.4.1.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'p> {
    /// What it says about its own stream.
    pub info: SenderInfo,
    blocks: &'p [u8],
}

/// The sender information of a report (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Who sends.
    pub ssrc: u32,
    /// NTP time of the report: seconds since 1900 in the upper half.
    pub ntp: u64,
    /// The same instant in the stream's clock.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent, padding aside.
    pub octets: u32,
}

impl SenderReport<'_> {
    /// What it received from others.
    pub fn blocks(&self) -> impl Iterator<Item = ReportBlock> + Clone {
        report_blocks(self.blocks)
    }
}

/// RFC 3550 §6.4.2.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'p> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'p [u8],
}

impl ReceiverReport<'_> {
    /// What it received from others.
    pub fn blocks(&self) -> impl Iterator<Item = ReportBlock> + Clone {
        report_blocks(self.blocks)
    }
}

/// A reception report block (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// What was received.
    pub ssrc: u32,
    /// Lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning; 24 bits, signed.
    pub cumulative_lost: i32,
    /// Highest sequence number, cycles in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle half of the NTP time of the last sender report.
    pub last_sender_report: u32,
    /// Time since then in 1/65536 s.
    pub delay_since: u32,
}

/// RFC 3550 §6.5.
#[derive(Debug, Clone, Copy)]
pub struct Sdes<'p> {
    chunks: &'p [u8],
}

impl<'p> Sdes<'p> {
    /// Each SSRC with its canonical name, which is empty if the chunk has none.
    pub fn names(&self) -> impl Iterator<Item = (u32, &'p [u8])> + use<'p> {
        let mut rest = self.chunks;
        std::iter::from_fn(move || {
            let (ssrc, name, after) = sdes_chunk(rest)?;
            rest = after;
            Some((ssrc, name))
        })
    }
}

/// RFC 3550 §6.6.
#[derive(Debug, Clone, Copy)]
pub struct Bye<'p> {
    ssrcs: &'p [u8],
}

impl Bye<'_> {
    /// Who leaves.
    pub fn ssrcs(&self) -> impl Iterator<Item = u32> {
        words(self.ssrcs)
    }
}

/// RFC 4585 §6.2.1.
#[derive(Debug, Clone, Copy)]
pub struct Nack<'p> {
    /// Who asks.
    pub sender: u32,
    /// Whose packets.
    pub media: u32,
    entries: &'p [u8],
}

impl Nack<'_> {
    /// The missing packets: a number and a bit mask of the 16 that follow it.
    pub fn entries(&self) -> impl Iterator<Item = (u16, u16)> + Clone {
        #[allow(clippy::cast_possible_truncation)] // the halves of a word
        words(self.entries).map(|word| ((word >> 16) as u16, word as u16))
    }

    /// The missing packets, one by one.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + Clone {
        self.entries().flat_map(|(pid, mask)| {
            let following = (0..16).filter(move |bit| mask >> bit & 1 != 0);
            std::iter::once(pid).chain(following.map(move |bit| pid.wrapping_add(bit + 1)))
        })
    }
}

/// RFC 4585 §6.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    /// Who asks.
    pub sender: u32,
    /// Whose picture.
    pub media: u32,
}

/// RFC 5104 §4.3.1.
#[derive(Debug, Clone, Copy)]
pub struct Fir<'p> {
    /// Who asks.
    pub sender: u32,
    entries: &'p [u8],
}

impl Fir<'_> {
    /// Whose picture, and the number of the command.
    pub fn entries(&self) -> impl Iterator<Item = (u32, u8)> + Clone {
        self.entries
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&[a, b, c, d, sequence, ..]| (u32::from_be_bytes([a, b, c, d]), sequence))
    }
}

/// draft-alvestrand-rmcat-remb-03 §2.2.
#[derive(Debug, Clone, Copy)]
pub struct Remb<'p> {
    /// Who estimates.
    pub sender: u32,
    /// Bits per second, for all streams together.
    pub bitrate: u64,
    ssrcs: &'p [u8],
}

impl Remb<'_> {
    /// Which streams.
    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + Clone {
        words(self.ssrcs)
    }
}

/// draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1, its body unread.
#[derive(Debug, Clone, Copy)]
pub struct TransportFeedback<'p> {
    /// Who received.
    pub sender: u32,
    /// A stream of the transport.
    pub media: u32,
    /// From the base sequence number on, without RTCP padding.
    pub body: &'p [u8],
}

/// RFC 3611 §2.
#[derive(Debug, Clone, Copy)]
pub struct Xr<'p> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'p [u8],
}

impl<'p> Xr<'p> {
    /// The blocks, each with its head.
    pub fn blocks(&self) -> impl Iterator<Item = XrBlock<'p>> + use<'p> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || {
            let (block, after) = xr_block(rest)?;
            rest = after;
            Some(block)
        })
    }
}

/// A block of an extended report (RFC 3611 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XrBlock<'p> {
    /// Block type.
    pub block_type: u8,
    /// What the type makes of the second byte.
    pub specific: u8,
    /// What follows the four-byte head; whole words.
    pub body: &'p [u8],
}

impl<'p> Compound<'p> {
    /// Starts a walk through a decrypted datagram.
    ///
    /// # Errors
    /// [`DropReason::RtcpMalformed`] if the headers do not divide it without a rest.
    pub fn parse(datagram: &'p [u8]) -> Result<Self, DropReason> {
        let mut rest = datagram;
        while let Some((_, after)) = frame(rest)? {
            rest = after;
        }
        if datagram.is_empty() {
            Err(DropReason::RtcpMalformed)
        } else {
            Ok(Self { rest: datagram })
        }
    }

    /// What a walk over the sound packets leaves out without a word; to be counted once per datagram.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for item in self.clone() {
            match item {
                Err(_) => faults.malformed += 1,
                Ok(Rtcp::Unknown { .. }) => faults.unknown += 1,
                Ok(_) => {}
            }
        }
        faults
    }

    /// The packets that are well-formed.
    pub fn sound(&self) -> impl Iterator<Item = Rtcp<'p>> + use<'p> {
        self.clone().filter_map(Result::ok)
    }
}

impl<'p> Iterator for Compound<'p> {
    type Item = Result<Rtcp<'p>, DropReason>;

    fn next(&mut self) -> Option<Self::Item> {
        let (packet, rest) = frame(self.rest).ok()??;
        self.rest = rest;
        Some(packet.body().and_then(|body| read(packet.packet_type, packet.count, body)))
    }
}

/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// A time of the wall clock as reports say it: seconds since 1900 in the upper half (RFC 3550 §4).
pub fn ntp(wall: Nanos) -> u64 {
    let (seconds, rest) = (wall.0 / 1_000_000_000, wall.0 % 1_000_000_000);
    ((seconds + NTP_EPOCH) << 32) | ((rest << 32) / 1_000_000_000)
}

/// Whether `datagram` begins with a whole RTCP packet, whatever its type and what follows.
///
/// # Errors
/// [`DropReason::RtcpMalformed`] if not.
pub fn check_first(datagram: &[u8]) -> Result<(), DropReason> {
    frame(datagram)?.map(drop).ok_or(DropReason::RtcpMalformed)
}

/// One packet by its header; the body still has the padding.
struct Framed<'p> {
    packet_type: u8,
    count: u8,
    padded: bool,
    padded_body: &'p [u8],
}

impl<'p> Framed<'p> {
    fn body(&self) -> Result<&'p [u8], DropReason> {
        if !self.padded {
            return Ok(self.padded_body);
        }
        let padding = usize::from(*self.padded_body.last().ok_or(DropReason::RtcpMalformed)?);
        match self.padded_body.len().checked_sub(padding) {
            Some(len) if padding > 0 => Ok(&self.padded_body[..len]),
            _ => Err(DropReason::RtcpMalformed),
        }
    }
}

/// The first packet of `bytes` and what follows it; none at the end.
fn frame(bytes: &[u8]) -> Result<Option<(Framed<'_>, &[u8])>, DropReason> {
    let malformed = DropReason::RtcpMalformed;
    if bytes.is_empty() {
        return Ok(None);
    }
    let (&[first, packet_type, l0, l1], rest) = bytes.split_first_chunk().ok_or(malformed)?;
    if first >> 6 != 2 {
        return Err(malformed);
    }
    let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let (padded_body, rest) = rest.split_at_checked(len).ok_or(malformed)?;
    let framed =
        Framed { packet_type, count: first & 0x1f, padded: first & 0x20 != 0, padded_body };
    Ok(Some((framed, rest)))
}

fn read(packet_type: u8, count: u8, body: &[u8]) -> Result<Rtcp<'_>, DropReason> {
    let packet = match (packet_type, count) {
        (SENDER_REPORT, _) => read_sender_report(count, body).map(Rtcp::SenderReport),
        (RECEIVER_REPORT, _) => read_receiver_report(count, body).map(Rtcp::ReceiverReport),
        (SDES, _) => read_sdes(count, body).map(Rtcp::Sdes),
        (BYE, _) => body.get(..4 * usize::from(count)).map(|ssrcs| Rtcp::Bye(Bye { ssrcs })),
        (TRANSPORT_SPECIFIC, NACK) => two_words(body)
            .map(|(sender, media, entries)| Rtcp::Nack(Nack { sender, media, entries })),
        (TRANSPORT_SPECIFIC, TRANSPORT_FEEDBACK) => two_words(body).map(|(sender, media, body)| {
            Rtcp::TransportFeedback(TransportFeedback { sender, media, body })
        }),
        (PAYLOAD_SPECIFIC, PLI) => {
            two_words(body).map(|(sender, media, _)| Rtcp::Pli(Pli { sender, media }))
        }
        (PAYLOAD_SPECIFIC, FIR) => {
            two_words(body).map(|(sender, _, entries)| Rtcp::Fir(Fir { sender, entries }))
        }
        (PAYLOAD_SPECIFIC, APPLICATION) => read_application(body),
        (XR, _) => read_xr(body).map(Rtcp::Xr),
        (_, format) => Some(Rtcp::Unknown { packet_type, format }),
    };
    packet.ok_or(DropReason::RtcpMalformed)
}

fn read_sender_report(count: u8, body: &[u8]) -> Option<SenderReport<'_>> {
    let (head, rest) = body.split_first_chunk::<24>()?;
    let [ssrc, ntp_high, ntp_low, timestamp, packets, octets] = words_of(head);
    let ntp = u64::from(ntp_high) << 32 | u64::from(ntp_low);
    Some(SenderReport {
        info: SenderInfo { ssrc, ntp, timestamp, packets, octets },
        blocks: rest.get(..BLOCK_LEN * usize::from(count))?,
    })
}

fn read_receiver_report(count: u8, body: &[u8]) -> Option<ReceiverReport<'_>> {
    let (ssrc, rest) = body.split_first_chunk()?;
    let blocks = rest.get(..BLOCK_LEN * usize::from(count))?;
    Some(ReceiverReport { ssrc: u32::from_be_bytes(*ssrc), blocks })
}

fn report_blocks(bytes: &[u8]) -> impl Iterator<Item = ReportBlock> + Clone {
    bytes.as_chunks::<BLOCK_LEN>().0.iter().map(|block| {
        let [ssrc, lost, highest_sequence, jitter, last_sender_report, delay_since] =
            words_of(block);
        ReportBlock {
            ssrc,
            fraction_lost: block[4],
            // Sign-extends the lower 24 bits.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest_sequence,
            jitter,
            last_sender_report,
            delay_since,
        }
    })
}

fn read_sdes(count: u8, body: &[u8]) -> Option<Sdes<'_>> {
    let mut rest = body;
    for _ in 0..count {
        (_, _, rest) = sdes_chunk(rest)?;
    }
    Some(Sdes { chunks: &body[..body.len() - rest.len()] })
}

/// SSRC and canonical name of the first chunk, and what follows it (RFC 3550 §6.5).
fn sdes_chunk(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    const CNAME: u8 = 1;
    let (ssrc, items) = bytes.split_first_chunk()?;
    let mut name = &[][..];
    let mut rest = items;
    loop {
        match rest {
            [0, ..] => break,
            [item, len, after @ ..] => {
                let (text, after) = after.split_at_checked(usize::from(*len))?;
                if *item == CNAME {
                    name = text;
                }
                rest = after;
            }
            _ => return None,
        }
    }
    // The item list ends in zeros up to the next word.
    let used = (items.len() - rest.len() + 1).next_multiple_of(4);
    Some((u32::from_be_bytes(*ssrc), name, items.get(used..)?))
}

fn read_application(body: &[u8]) -> Option<Rtcp<'_>> {
    let (sender, _, rest) = two_words(body)?;
    let Some((head, ssrcs)) =
        rest.split_first_chunk::<8>().filter(|(head, _)| head.starts_with(&REMB_NAME))
    else {
        return Some(Rtcp::Unknown { packet_type: PAYLOAD_SPECIFIC, format: APPLICATION });
    };
    let [.., count, b0, b1, b2] = *head;
    let exponent = u32::from(b0 >> 2);
    let mantissa = u64::from(u32::from_be_bytes([0, b0 & 3, b1, b2]));
    let scaled = u128::from(mantissa) << exponent;
    Some(Rtcp::Remb(Remb {
        sender,
        bitrate: u64::try_from(scaled).unwrap_or(u64::MAX),
        ssrcs: ssrcs.get(..4 * usize::from(count))?,
    }))
}

fn read_xr(body: &[u8]) -> Option<Xr<'_>> {
    let (ssrc, blocks) = body.split_first_chunk()?;
    let mut rest = blocks;
    while !rest.is_empty() {
        (_, rest) = xr_block(rest)?;
    }
    Some(Xr { ssrc: u32::from_be_bytes(*ssrc), blocks })
}

fn xr_block(bytes: &[u8]) -> Option<(XrBlock<'_>, &[u8])> {
    let (&[block_type, specific, l0, l1], rest) = bytes.split_first_chunk()?;
    let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let (body, rest) = rest.split_at_checked(len)?;
    Some((XrBlock { block_type, specific, body }, rest))
}

fn two_words(body: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (head, rest) = body.split_first_chunk::<8>()?;
    let [first, second] = words_of(head);
    Some((first, second, rest))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + Clone {
    bytes.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word))
}

/// The first `N` words; a missing one is 0.
fn words_of<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut all = words(bytes);
    std::array::from_fn(|_| all.next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
