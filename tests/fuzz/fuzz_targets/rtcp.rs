//! Compounds: read, and whatever is sound can be looked into.

#![no_main]

use causeway_engine::rtcp::{Compound, Rtcp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(compound) = Compound::parse(input) else { return };
    let _ = compound.faults();
    for packet in compound.sound() {
        let items = match packet {
            Rtcp::SenderReport(report) => report.blocks().count(),
            Rtcp::ReceiverReport(report) => report.blocks().count(),
            Rtcp::Sdes(sdes) => sdes.names().count(),
            Rtcp::Bye(bye) => bye.ssrcs().count(),
            Rtcp::Nack(nack) => nack.sequences().count(),
            Rtcp::Fir(fir) => fir.entries().count(),
            Rtcp::Remb(remb) => remb.ssrcs().count(),
            Rtcp::Xr(xr) => xr.blocks().count(),
            Rtcp::Pli(_) | Rtcp::TransportFeedback(_) | Rtcp::Unknown { .. } => 0,
        };
        // A NACK entry of four bytes names at most 17 packets.
        assert!(items <= input.len() * 17 / 4);
    }
});
