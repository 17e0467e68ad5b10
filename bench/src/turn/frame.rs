//! Data between client and server, and where one message ends in a stream (RFC 8656 §12.4, §12.5, RFC 8489 §6.2.2).
//!
//! ```text
//! | 0 1 | channel number | length of data | data, in a stream padded to 4 bytes |
//! | 0 0 | STUN                                                                 |
//! ```

use std::net::SocketAddr;

use causeway_engine::stun::{Class, HEADER_LEN, TransactionId, Writer, attributes};

use super::plan::Mode;

/// The first channel (RFC 8656 §12).
pub const CHANNEL: u16 = 0x4000;
/// Bytes of a frame, most: a payload of [`super::args::SIZE_MAX`] in an indication.
pub const FRAME_MAX: usize = 1600;
/// XOR-PEER-ADDRESS (RFC 8656 §18).
pub const XOR_PEER_ADDRESS: u16 = 0x0012;

/// The method of a Send indication (RFC 8656 §17).
const SEND: u16 = 0x006;
/// The first bytes of a Data indication: method 7, in the bits where method and class lie (RFC 8489 §5, figure 3).
const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
/// DATA (RFC 8656 §18.4).
const DATA: u16 = 0x0013;
const CHANNEL_HEADER: usize = 4;
/// Bytes that a frame's length is told from.
const HEAD: usize = 4;

/// The stream is not one of TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the server sends is neither STUN nor ChannelData")]
pub struct Unframed;

/// Writes `payload` for `peer` as a client sends it; `None` if it does not fit.
pub fn write(
    mode: Mode,
    peer: SocketAddr,
    number: u64,
    payload: &[u8],
    out: &mut [u8],
) -> Option<usize> {
    match mode {
        Mode::Channel => {
            let frame = out.get_mut(..CHANNEL_HEADER + payload.len())?;
            frame[..2].copy_from_slice(&CHANNEL.to_be_bytes());
            frame[2..4].copy_from_slice(&u16::try_from(payload.len()).ok()?.to_be_bytes());
            frame[CHANNEL_HEADER..].copy_from_slice(payload);
            Some(frame.len())
        }
        Mode::Send => {
            let mut transaction = TransactionId::default();
            transaction.0[4..].copy_from_slice(&number.to_be_bytes());
            let mut writer = Writer::begin(out, Class::Indication, SEND, transaction)?;
            writer.xor_address(XOR_PEER_ADDRESS, peer)?;
            writer.attribute(DATA, &[payload])?;
            Some(writer.len())
        }
    }
}

/// The payload of a frame that the server has sent; `None` if it carries none.
pub fn payload(frame: &[u8]) -> Option<&[u8]> {
    if is_channel(*frame.first()?) {
        let len = usize::from(u16::from_be_bytes([*frame.get(2)?, *frame.get(3)?]));
        return frame.get(CHANNEL_HEADER..CHANNEL_HEADER + len);
    }
    if frame.len() < HEADER_LEN || frame[..2] != DATA_INDICATION {
        return None;
    }
    attributes(frame).flatten().find(|attribute| attribute.kind == DATA).map(|data| data.value)
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
}

impl Framer {
    /// Takes the bytes that came and gives each frame that is whole to `each`, without padding of ChannelData.
    ///
    /// # Errors
    /// If a frame starts with what no frame starts with.
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Unframed> {
        self.held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((len, padded)) = lengths(&self.held[at..])? {
            let Some(frame) = self.held.get(at..at + padded) else { break };
            each(&frame[..len]);
            at += padded;
        }
        self.held.drain(..at);
        Ok(())
    }
}

/// Bytes of the frame that starts here, without and with padding; `None` if too little of it is there to tell.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>, Unframed> {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    match head[0] >> 6 {
        0 => Ok(Some((HEADER_LEN + len, HEADER_LEN + len))),
        1 => Ok(Some((CHANNEL_HEADER + len, (CHANNEL_HEADER + len).next_multiple_of(4)))),
        _ => Err(Unframed),
    }
}

fn is_channel(first: u8) -> bool {
    first >> 6 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(mode: Mode, payload: &[u8]) -> Vec<u8> {
        let mut out = [0; FRAME_MAX];
        let len = write(mode, "192.0.2.1:9".parse().unwrap(), 7, payload, &mut out).unwrap();
        out[..len].to_vec()
    }

    proptest! {
        #[test]
        fn frames_come_out_of_a_stream_wherever_it_is_cut(
            payloads in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 1..12),
            cut in 1usize..50,
        ) {
            let mode = |send| if send { Mode::Send } else { Mode::Channel };
            let frames: Vec<_> = payloads.iter().map(|(send, data)| framed(mode(*send), data)).collect();
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend_from_slice(frame);
                stream.resize(stream.len().next_multiple_of(4), 0);
            }
            let (mut framer, mut seen) = (Framer::default(), Vec::new());
            for piece in stream.chunks(cut) {
                framer.take(piece, |frame| seen.push(frame.to_vec())).unwrap();
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn whatever_comes_is_cut_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framer = Framer::default();
            let mut cut = 0;
            let _ = framer.take(&bytes, |frame| {
                cut += frame.len();
                let _ = payload(frame);
            });
            prop_assert!(cut <= bytes.len());
        }
    }

    #[test]
    fn a_payload_is_found_in_channel_data_and_data_indications_only() {
        assert_eq!(payload(&framed(Mode::Channel, b"abc")), Some(&b"abc"[..]));
        let mut indication = framed(Mode::Send, b"abc");
        assert_eq!(payload(&indication), None, "this is Send, which servers do not send");
        indication[1] = 0x17;
        assert_eq!(payload(&indication), Some(&b"abc"[..]));
        assert_eq!(payload(&[]), None);
        assert_eq!(payload(&[0x40, 0, 0, 9, 1]), None);
    }

    #[test]
    fn a_stream_of_something_else_is_refused() {
        assert_eq!(Framer::default().take(b"\x80HTTP", |_| ()), Err(Unframed));
    }
}
