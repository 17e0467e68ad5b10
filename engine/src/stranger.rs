//! Packets from addresses that no transport has, on sockets that one has for itself: whether they are
//! the far side's. What is believed stands at [`crate::learning::Learning`].

use std::net::SocketAddr;

use crate::command::{PuntKind, Refusal, Security, TransportId};
use crate::demux::{self, Class};
use crate::error::DropReason;
use crate::learning::Learning;
use crate::packet::{Nanos, Packet};
use crate::rtcp::Compound;
use crate::transport::Admission;
use crate::worker::{Fate, Worker};

/// Whose a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) id: TransportId,
    /// Whether it came from a new address, to which the transport follows if it is authentic.
    pub(crate) roams: bool,
}

impl Worker {
    /// Whose a media packet from an unknown address is.
    pub(crate) fn meet(&mut self, packet: &Packet, now: Nanos) -> Result<Whose, DropReason> {
        let unknown = DropReason::UnknownRemote;
        let id = self.tables.owner_of(packet.socket).ok_or(unknown)?;
        let leg = self.tables.leg_mut(id.leg).ok_or(unknown)?;
        let of_media = leg.host_of_media(id.index);
        let transport = &mut leg.transports[usize::from(id.index)];
        let sound = looks_sound(packet.payload(&self.frames));
        match transport.admit(packet.remote, of_media, sound, now) {
            Admission::Granted => {
                self.set_remote(id, packet.remote).map_err(|_| unknown)?;
                Ok(Whose { id, roams: false })
            }
            Admission::IfAuthentic => Ok(Whose { id, roams: true }),
            Admission::Refused => Err(unknown),
        }
    }

    /// Sends to where an authentic packet of `len` bytes came from.
    pub(crate) fn follow(&mut self, id: TransportId, remote: SocketAddr, len: usize) {
        self.blame = Some(id.leg.slot);
        // Where the table is full the address stays what it was, and media goes there as before.
        let _ = self.set_remote(id, remote);
        if let Some(transport) = self.transport(id) {
            transport.count_in(len);
        }
    }

    /// DTLS from an unknown address goes up where the transport that has the socket for itself still
    /// needs its handshake: without ICE nothing else can tell a client behind a NAT from others.
    pub(crate) fn shake(&mut self, packet: &Packet) -> Option<Result<Fate, DropReason>> {
        let id = self.tables.owner_of(packet.socket)?;
        let transport = self.transport(id)?;
        let waits = transport.security == Security::Srtp && transport.srtp.is_none();
        waits.then(|| self.punt(PuntKind::Dtls, Some(id), packet))
    }

    /// A description says where the far side is; packets may say otherwise anew.
    pub(crate) fn signal_remote(
        &mut self,
        id: TransportId,
        remote: SocketAddr,
        learning: Learning,
    ) -> Result<(), Refusal> {
        let now = self.now;
        let before = self.transport(id).ok_or(Refusal::Gone)?.remote;
        self.set_remote(id, remote)?;
        if let Some(transport) = self.transport(id) {
            transport.learner.renew(learning, remote, before, now);
        }
        Ok(())
    }
}

/// Whether a datagram is at least what its first bytes say: what is not teaches nothing.
fn looks_sound(datagram: &[u8]) -> bool {
    demux::classify(datagram) != Ok(Class::Rtcp) || Compound::parse(datagram).is_ok()
}
