//! Reports in place of parties that send no RTCP ([`crate::command::StreamSpec::reports`]): to those who
//! get a stream what its sender would say, to its sender what they would.

use std::io::Write;

use arrayvec::ArrayVec;

use crate::command::{LegId, StreamId, TransportId};
use crate::config::RTCP_MAX;
use crate::error::DropReason;
use crate::feedback::begin_report;
use crate::packet::Nanos;
use crate::rtcp::Writer;
use crate::sys::cpu;
use crate::verbatim::targets_of;
use crate::worker::Worker;

/// Bytes of a canonical name of the node's: three numbers and what sets them apart.
const CNAME_MAX: usize = 32;

impl Worker {
    /// Reports of a stream in both directions, if it is time.
    pub(crate) fn stand_in(&mut self, id: StreamId, now: Nanos) {
        let Some(leg) = self.tables.leg_mut(id.leg) else { return };
        let own_ssrc = leg.own_ssrc();
        let Some(stream) = leg.streams.get_mut(usize::from(id.index)) else { return };
        if !stream.stands_in(now) {
            return;
        }
        let Some((info, block)) = stream.stand_in(cpu::clock_realtime(), now) else { return };
        let sender = TransportId { leg: id.leg, index: stream.rtcp_transport };
        let targets = targets_of(std::iter::once(&**stream));
        self.tell(sender, |writer| begin_report(writer, own_ssrc, &[block]));
        let Some(info) = info else { return };
        for target in targets {
            self.tell(target, |writer| {
                writer.sender_report(&info)?;
                writer.sdes(info.ssrc, &cname(id.leg))
            });
        }
    }

    /// Writes a compound for a transport that can send, and sends it.
    fn tell(
        &mut self,
        to: TransportId,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), DropReason>,
    ) {
        if self.transport(to).is_none_or(|transport| !transport.is_ready()) {
            return;
        }
        let mut writer = Writer::new(&mut self.scratch[..RTCP_MAX]);
        let written = write(&mut writer);
        let len = writer.len();
        if written.is_ok() {
            self.send_rtcp(to, len, Nanos(0));
        }
    }
}

/// A name that no other leg of the node has (RFC 3550 §6.5.1).
fn cname(leg: LegId) -> ArrayVec<u8, CNAME_MAX> {
    let LegId { worker, slot, generation } = leg;
    let mut name = ArrayVec::new();
    let _ = write!(name, "{:x}.{slot:x}.{generation:x}@causeway", worker.0);
    name
}
