//! A worker driven by hand: no kernel, no thread, the clock is a number.

mod admission;
mod commands;
mod digits;
mod egress;
#[cfg(not(feature = "libsrtp"))]
mod export;
mod feedback;
mod hops;
mod hostile;
mod ice;
mod layers;
mod learning;
mod pipes;
mod raw;
mod relays;
mod restart;
mod shared;
mod standin;
mod taps;
mod unbundled;

use std::net::SocketAddr;

use super::bare::bridge::{self, AUDIO, SIDES, VIDEO};
use super::bare::{Bare, Far, Rtp};
use crate::command::{
    Command, Event, LegId, Refusal, Returned, SinkId, SocketId, StreamId, TransportId, WorkerId,
};
use crate::error::DropReason;
use crate::packet::Nanos;
use crate::rtp::RtpHeader;
use crate::srtp::Suite;

const WORKER: WorkerId = WorkerId(0);
/// Some time after the clock's start, as monotonic clocks have it.
const START: Nanos = Nanos::from_millis(100_000);

/// A datagram that the worker sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    socket: SocketId,
    remote: SocketAddr,
    bytes: Vec<u8>,
}

/// A call over one worker: audio and video between two bundled legs of different suites.
struct Call {
    bare: Bare,
    fars: [Far; 2],
    now: Nanos,
}

impl Call {
    fn new() -> Self {
        let fars = [
            Far::secure(0, 4000, Suite::AesCm128HmacSha1_80).with_ice("left"),
            Far::secure(1, 5000, Suite::AeadAes128Gcm).with_ice("right"),
        ];
        Self::with(fars)
    }

    /// With the key frame requests of the set-up already sent and forgotten.
    fn with(fars: [Far; 2]) -> Self {
        let mut call = Self { bare: bare(), fars, now: START };
        call.bare.worker.now = START;
        let [left, right] = &call.fars;
        for (_, command) in bridge::commands([left, right], [WORKER; 2]) {
            call.bare.apply(command).0.unwrap();
        }
        call.bare.sent(|_, _, _| {});
        call
    }

    /// A side's far end sends `rtp`; what the worker sends because of it.
    fn send(&mut self, side: usize, rtp: Rtp) -> Vec<Sent> {
        let packet = self.sealed(side, rtp);
        self.receive(side, &packet)
    }

    fn sealed(&mut self, side: usize, rtp: Rtp) -> Vec<u8> {
        let mut buffer = [0; 1500];
        let len = rtp.write(&mut buffer);
        let len = self.fars[side].seal(&mut buffer, len).unwrap();
        buffer[..len].to_vec()
    }

    fn sealed_rtcp(&mut self, side: usize, plain: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 1500];
        buffer[..plain.len()].copy_from_slice(plain);
        let len = self.fars[side].seal(&mut buffer, plain.len()).unwrap();
        buffer[..len].to_vec()
    }

    /// A datagram comes as it is from a side's far end.
    fn receive(&mut self, side: usize, packet: &[u8]) -> Vec<Sent> {
        let (socket, remote) = (self.fars[side].socket, self.fars[side].remote);
        self.receive_from(socket, remote, packet)
    }

    fn receive_from(&mut self, socket: SocketId, remote: SocketAddr, packet: &[u8]) -> Vec<Sent> {
        assert!(self.bare.receive(socket, remote, packet, self.now));
        self.sent()
    }

    fn sent(&mut self) -> Vec<Sent> {
        sent(&mut self.bare)
    }

    /// The plain RTP packets among `sent`, as the side's far end gets them.
    fn open(&mut self, side: usize, sent: &[Sent]) -> Vec<(RtpHeader, Vec<u8>)> {
        let opened = sent.iter().filter(|s| s.remote == self.fars[side].remote);
        let opened: Vec<_> = opened.cloned().collect();
        opened
            .into_iter()
            .map(|mut sent| {
                let len = self.fars[side].open(&mut sent.bytes).unwrap();
                sent.bytes.truncate(len);
                (RtpHeader::parse(&sent.bytes).unwrap(), sent.bytes)
            })
            .collect()
    }

    /// The plain RTCP that a side's far end gets, each datagram.
    fn open_rtcp(&mut self, side: usize, sent: &[Sent]) -> Vec<Vec<u8>> {
        let mut opened = Vec::new();
        let remote = self.fars[side].remote;
        for sent in sent.iter().filter(|sent| sent.remote == remote) {
            let mut bytes = sent.bytes.clone();
            let len = self.fars[side].open(&mut bytes).unwrap();
            bytes.truncate(len);
            opened.push(bytes);
        }
        opened
    }

    fn apply(&mut self, command: Command) -> Result<(), Refusal> {
        self.bare.worker.now = self.now;
        self.bare.apply(command).0
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.bare.counters().drops.of(reason)
    }

    /// What was dropped while `act` ran, by reason.
    fn dropped(&mut self, act: impl FnOnce(&mut Self)) -> Vec<DropReason> {
        let before = self.bare.counters().drops.clone();
        act(self);
        let after = &self.bare.counters().drops;
        let new = |reason: &&DropReason| after.of(**reason) > before.of(**reason);
        DropReason::ALL.iter().filter(new).copied().collect()
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(Nanos::from_millis(ms).0);
        self.bare.pass(self.now);
    }

    /// Visits every leg once.
    fn sweep_all(&mut self) {
        for _ in 0..8 {
            self.wait(10);
        }
    }

    fn events(&mut self) -> Vec<Event> {
        self.bare.pass(self.now);
        std::iter::from_fn(|| self.bare.event()).collect()
    }
}

fn bare() -> Bare {
    Bare::new(WORKER, 8, 256).unwrap()
}

fn sent(bare: &mut Bare) -> Vec<Sent> {
    let mut all = Vec::new();
    bare.sent(|socket, remote, bytes| all.push(Sent { socket, remote, bytes: bytes.to_vec() }));
    all
}

fn leg(side: usize) -> LegId {
    bridge::leg(WORKER, side)
}

fn transport(side: usize) -> TransportId {
    TransportId { leg: leg(side), index: 0 }
}

fn stream(side: usize, index: u8) -> StreamId {
    StreamId { leg: leg(side), index }
}

fn sink(side: usize, index: u8) -> SinkId {
    SinkId { leg: leg(side), index }
}

/// The `number`-th audio packet of a side.
fn audio(side: usize, number: u16) -> Rtp {
    Rtp {
        ssrc: SIDES[side].theirs[0],
        payload_type: SIDES[side].payload_types[0],
        sequence: 1000 + number,
        timestamp: 960 * u32::from(number),
        payload_len: 40,
        ..Rtp::default()
    }
}

/// The `number`-th video packet of a side.
fn video(side: usize, number: u16) -> Rtp {
    Rtp {
        ssrc: SIDES[side].theirs[1],
        payload_type: SIDES[side].payload_types[1],
        sequence: 30_000 + number,
        timestamp: 3000 * u32::from(number),
        payload_len: 1000,
        ..Rtp::default()
    }
}
