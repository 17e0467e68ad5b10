//! The far end of a bridged call's first leg, which sends protected media.

use causeway_engine::worker::bare::bridge::SIDES;
use causeway_engine::worker::bare::{Far, Rtp};

/// Sends packets of one length.
pub(crate) struct Sender {
    far: Far,
    buffer: [u8; 1500],
    sequence: u32,
    payload_len: usize,
}

impl Sender {
    /// Sends as `far` does, so many bytes of RTP at a time, header included.
    pub(crate) fn new(far: Far, len: usize) -> Self {
        Self { far, buffer: [0; 1500], sequence: 0, payload_len: len - 12 }
    }

    /// The next packet, protected.
    #[allow(clippy::cast_possible_truncation)] // numbers wrap
    pub(crate) fn next(&mut self) -> &[u8] {
        self.sequence += 1;
        let rtp = Rtp {
            ssrc: SIDES[0].theirs[0],
            payload_type: SIDES[0].payload_types[0],
            sequence: self.sequence as u16,
            timestamp: self.sequence.wrapping_mul(160),
            payload_len: self.payload_len,
            ..Rtp::default()
        };
        let len = rtp.write(&mut self.buffer);
        let len = self.far.seal(&mut self.buffer, len).expect("the number is new");
        &self.buffer[..len]
    }
}
