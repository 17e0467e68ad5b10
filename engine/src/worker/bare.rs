//! A worker without a kernel ([`Bare`]) and the far ends of its transports ([`Far`]): what tests,
//! benches and fuzzers drive by hand. Compiled with the feature `bare` alone.

pub mod bridge;
pub mod simulcast;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::command::{
    Command, Credentials, Event, IceSpec, KeysSpec, Punt, Refusal, Returned, Security, SocketId,
    Ticket, TransportSpec, WorkerId,
};
use crate::config::{EVENT_RING, HEAD_ROOM, PAYLOAD_MAX, PUNT_RING, TAP_RING, WORKERS_MAX};
use crate::doors::Doors;
use crate::hop;
use crate::learning::Learning;
use crate::packet::{Nanos, Packet};
use crate::ring::{CommandSender, Receiver, command_ring, ring};
use crate::rtp::RtpHeader;
use crate::srtp::{MasterKey, Srtp, Suite};
use crate::stats::WorkerCounters;
use crate::stun::{self, IntegrityKey, Role, TransactionId};
use crate::sys::frames::FramePool;
use crate::sys::wake::Wake;
use crate::tap::Tapped;
use crate::worker::{Rings, Worker, plain_len};

/// A worker without a kernel: datagrams go in by [`Bare::receive`] and come out by [`Bare::sent`].
pub struct Bare {
    pub(crate) worker: Box<Worker>,
    commands: CommandSender,
    events: Receiver<Event>,
    punts: Receiver<Punt>,
    taps: Receiver<Tapped>,
    bell: Wake,
}

impl Bare {
    /// One with room for `legs` legs and `frames` packets.
    ///
    /// # Errors
    /// What the kernel says about the memory or the bell.
    pub fn new(id: WorkerId, legs: usize, frames: usize) -> io::Result<Self> {
        let (commands, command_receiver) = command_ring(legs);
        let (event_sender, events) = ring(EVENT_RING);
        let (punt_sender, punts) = ring(PUNT_RING);
        let (tap_sender, taps) = ring(TAP_RING);
        let rings = Rings {
            commands: command_receiver,
            events: event_sender,
            punts: punt_sender,
            taps: tap_sender,
            control: Wake::new()?,
            doors: Arc::new(Doors::new(WORKERS_MAX)),
        };
        let worker = Box::new(Worker::new(id, FramePool::new(frames)?, legs, rings));
        Ok(Self { worker, commands, events, punts, taps, bell: Wake::new()? })
    }

    /// Joins two workers by a ring each way, and by the doors that threads of one node share.
    pub fn join(&mut self, other: &mut Self) {
        other.worker.doors = Arc::clone(&self.worker.doors);
        self.lead_to(other);
        other.lead_to(self);
    }

    fn lead_to(&mut self, other: &mut Self) {
        let (sender, receiver) = hop::pair(other.bell.clone());
        let _ = self.apply(Command::AddHopTo { to: other.worker.id, end: sender });
        let _ = other.apply(Command::AddHopFrom { from: self.worker.id, end: receiver });
    }

    /// Applies a command at once.
    pub fn apply(&mut self, command: Command) -> (Result<(), Refusal>, Returned) {
        self.worker.apply(command)
    }

    /// Queues a command for a turn with a backend.
    ///
    /// # Errors
    /// The command, if the ring is full.
    pub fn send(&mut self, command: Command) -> Result<Ticket, Command> {
        self.commands.try_send(command)
    }

    /// Walks a datagram; `false` if there is no frame for it or it does not fit one.
    pub fn receive(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        payload: &[u8],
        now: Nanos,
    ) -> bool {
        if payload.len() > PAYLOAD_MAX {
            return false;
        }
        let Some(frame) = self.worker.frames.take() else { return false };
        self.worker.frames.bytes_mut(&frame)[HEAD_ROOM..HEAD_ROOM + payload.len()]
            .copy_from_slice(payload);
        let (start, len) = (plain_len(HEAD_ROOM), plain_len(payload.len()));
        self.worker.now = now;
        self.worker.walk(
            Packet { frame, start, len, socket, remote, traffic_class: 0, received: now },
            now,
        );
        true
    }

    /// What a turn does behind its packets: hops, timers, news.
    pub fn pass(&mut self, now: Nanos) {
        self.worker.now = now;
        self.worker.take_hops();
        self.worker.settle_quota(now);
        self.worker.sweep(now);
        self.worker.announce();
    }

    /// Hands out what is to be sent and takes its frames back; says how many.
    pub fn sent(&mut self, mut each: impl FnMut(SocketId, SocketAddr, &[u8])) -> usize {
        self.worker.tx_causes.clear();
        let count = self.worker.tx.len();
        for packet in self.worker.tx.drain(..) {
            each(packet.socket, packet.remote, packet.payload(&self.worker.frames));
            self.worker.frames.give(packet.frame);
        }
        count
    }

    /// Where each packet that waits to be sent goes, and with which traffic class.
    pub fn classes(&self) -> impl Iterator<Item = (SocketAddr, u8)> {
        self.worker.tx.iter().map(|packet| (packet.remote, packet.traffic_class))
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The next copy for whoever records.
    pub fn tapped(&mut self) -> Option<Tapped> {
        self.taps.pop()
    }

    /// The next datagram for control.
    pub fn punt(&mut self) -> Option<Punt> {
        self.punts.pop()
    }

    /// What the worker has counted.
    pub fn counters(&self) -> &WorkerCounters {
        &self.worker.counters
    }

    /// 5-tuples that lead to a leg.
    pub fn pairs(&self) -> usize {
        self.worker.tables.pairs()
    }

    /// Frames that neither are free, wait to be sent, nor hold early DTLS: always 0.
    pub fn frames_lost(&self) -> usize {
        let worker = &self.worker;
        worker.frames.capacity() - worker.frames.free() - worker.tx.len() - worker.early.len()
    }
}

/// The far end of one transport: where it is, what it protects with, what its checks are named.
#[derive(Debug)]
pub struct Far {
    /// The node's socket that it talks to.
    pub socket: SocketId,
    /// Where it is.
    pub remote: SocketAddr,
    /// The node's ufrag; none without ICE.
    pub ufrag: Option<&'static str>,
    /// The code point that the node sends to it with.
    pub dscp: u8,
    keys: Option<KeysSpec>,
    srtp: Option<Srtp>,
}

/// The password on the node's side, whatever the ufrag.
const PASSWORD: &str = "a password of the node";

impl Far {
    /// One that speaks plain RTP from a fixed address.
    pub fn plain(socket: u16, port: u16) -> Self {
        let remote = SocketAddr::from(([127, 0, 0, 1], port));
        Self { socket: SocketId(socket), remote, ufrag: None, dscp: 0, keys: None, srtp: None }
    }

    /// One that speaks SRTP with keys of its own.
    #[allow(clippy::cast_possible_truncation)] // any byte serves
    pub fn secure(socket: u16, port: u16, suite: Suite) -> Self {
        let master = |direction: u8| {
            let key: [u8; 32] = std::array::from_fn(|i| i as u8 ^ port as u8 ^ direction);
            let salt: [u8; 14] = std::array::from_fn(|i| i as u8 ^ socket as u8 ^ direction);
            MasterKey::new(suite, &key[..suite.key_len()], &salt[..suite.salt_len()])
                .unwrap_or_else(|error| unreachable!("the lengths are the suite's: {error}"))
        };
        let keys = KeysSpec { inbound: master(0x40), outbound: master(0x80) };
        let srtp = Srtp::new(&keys.outbound, &keys.inbound);
        Self { keys: Some(keys), srtp: Some(srtp), ..Self::plain(socket, port) }
    }

    /// The same behind ICE, the node being `ufrag`.
    #[must_use]
    pub fn with_ice(self, ufrag: &'static str) -> Self {
        Self { ufrag: Some(ufrag), ..self }
    }

    /// The node's transport to it. Its keys are there from the start.
    pub fn transport(&self) -> TransportSpec {
        let ice = self.ufrag.map(|ufrag| IceSpec {
            local: Credentials { ufrag: ufrag.into(), password: String::from(PASSWORD).into() },
            remote: None,
            send_checks: false,
            controlling: false,
            component: 1,
            generation: 0,
        });
        TransportSpec {
            socket: self.socket,
            remote: Some(self.remote).filter(|_| ice.is_none()),
            ice,
            security: if self.keys.is_some() { Security::Srtp } else { Security::Plain },
            keys: self.keys.clone(),
            learning: Learning::Off,
            raw: false,
            dscp: self.dscp,
        }
    }

    /// The node's contexts, for a transport that gets its keys late.
    pub fn node_keys(&self) -> Option<Box<Srtp>> {
        self.keys.as_ref().map(|keys| Box::new(Srtp::new(&keys.inbound, &keys.outbound)))
    }

    /// Protects the RTP or RTCP packet `buffer[..len]` in place; its new length.
    pub fn seal(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let Some(srtp) = &mut self.srtp else { return Some(len) };
        if is_rtcp(buffer) {
            return srtp.outbound.protect_rtcp(buffer, len).ok();
        }
        let header = RtpHeader::parse(&buffer[..len]).ok()?;
        srtp.outbound.protect_rtp(&header, buffer, len).ok()
    }

    /// Authenticates and decrypts what the node sent, in place; its plain length.
    pub fn open(&mut self, packet: &mut [u8]) -> Option<usize> {
        let Some(srtp) = &mut self.srtp else { return Some(packet.len()) };
        if is_rtcp(packet) {
            return srtp.inbound.unprotect_rtcp(packet).ok();
        }
        let header = RtpHeader::parse(packet).ok()?;
        srtp.inbound.unprotect_rtp(&header, packet).ok()
    }

    /// Writes a check to the node into `out`; its length.
    pub fn check(&self, out: &mut [u8], number: u8, use_candidate: bool) -> Option<usize> {
        let check = stun::Check {
            transaction: TransactionId([number; 12]),
            remote_ufrag: self.ufrag.unwrap_or("nobody"),
            local_ufrag: "far",
            priority: 1,
            role: Role::Controlling(u64::MAX),
            use_candidate,
            key: &IntegrityKey::new(PASSWORD),
        };
        stun::write_binding_request(out, &check)
    }
}

/// An RTP packet to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rtp {
    /// Who sends it.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// Its number.
    pub sequence: u16,
    /// Its time.
    pub timestamp: u32,
    /// A transport-wide sequence number and the extension id that it goes under.
    pub transport_cc: Option<(u8, u16)>,
    /// A header extension of one byte: its id and the byte.
    pub element: Option<(u8, u8)>,
    /// What the payload begins with.
    pub payload_head: &'static [u8],
    /// Bytes of payload, the head included; behind it they count up.
    pub payload_len: usize,
}

impl Rtp {
    /// Writes it to `out`; its length.
    ///
    /// # Panics
    /// If `out` is shorter than 24 bytes and the payload.
    #[allow(clippy::cast_possible_truncation)] // the payload counts in bytes
    pub fn write(&self, out: &mut [u8]) -> usize {
        let is_extended = self.transport_cc.is_some() || self.element.is_some();
        let extended = if is_extended { 0x10 } else { 0 };
        out[..2].copy_from_slice(&[0x80 | extended, self.payload_type]);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let mut len = 12;
        if is_extended {
            let [high, low] = self.transport_cc.map_or(0, |(_, number)| number).to_be_bytes();
            // An element without an id is padding (RFC 8285 §4.2).
            let number = self.transport_cc.map_or([0; 3], |(id, _)| [id << 4 | 1, high, low]);
            let element = self.element.map_or([0; 2], |(id, byte)| [id << 4, byte]);
            out[12..16].copy_from_slice(&[0xbe, 0xde, 0, 2]);
            out[16..19].copy_from_slice(&number);
            out[19..21].copy_from_slice(&element);
            out[21..24].fill(0);
            len = 24;
        }
        let payload = &mut out[len..len + self.payload_len];
        for (place, byte) in payload.iter_mut().enumerate() {
            *byte = self.payload_head.get(place).copied().unwrap_or(place as u8);
        }
        len + self.payload_len
    }
}

fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| (192..224).contains(second))
}
