//! What comes in streams, and what goes out by them.

use super::framing::{self, Cut, Framed};
use super::outbox::Weight;
use super::proxy_protocol::{self, Header};
use super::sniff::{First, sniff};
use super::stream::{SILENT, Stage, UNALLOCATED, UNANSWERED};
use super::streams::Key;
use super::{Edge, HttpStream, READS_PER_TURN};
use crate::command::{Punt, PuntKind, SocketId, WorkerId};
use crate::config::PAYLOAD_MAX;
use crate::error::DropReason;
use crate::gate::{Admission, method};
use crate::hop::{Hop, HopKind};
use crate::packet::Nanos;
use crate::stun::{self, Class, Message};

/// What whoever speaks HTTP without TLS is told.
const WANTS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 28\r\nConnection: close\r\n\r\nThis port speaks HTTPS only\n";
/// Bytes of an answer that the edge writes itself, most.
const ANSWER: usize = 1500;

impl Edge {
    /// Reads a stream; `ending` if its far side has said its last.
    pub(super) fn read(&mut self, key: Key, ending: bool) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut records = std::mem::take(&mut self.records);
        let mut looks = READS_PER_TURN;
        while let Some(stream) = self.streams.at(key) {
            if looks == 0 {
                if !std::mem::replace(&mut stream.waiting, true) {
                    self.again.push_back(key);
                }
                break;
            }
            if let Stage::Data { peer, .. } = stream.stage
                && (stream.ending || self.peers.is_behind(peer))
            {
                // It is read on when the peer has taken what came before.
                break;
            }
            looks -= 1;
            let filled = match stream.fill(&mut records, &mut inbox) {
                Ok(filled) => filled,
                Err(reason) => {
                    self.close(key, Some(reason));
                    break;
                }
            };
            if let Err(reason) = self.digest(key, &mut inbox, filled.end) {
                self.close(key, Some(reason));
            }
            if filled.over {
                self.close(key, None);
            }
            if !(filled.more || ending && filled.came) {
                break;
            }
        }
        // TLS may have something to say of its own.
        if self.streams.at(key).is_some_and(|stream| stream.is_secure()) {
            self.mark(key);
        }
        self.inbox = inbox;
        self.records = records;
    }

    /// Reads on where a turn's share was not enough.
    pub(super) fn read_again(&mut self) {
        for _ in 0..self.again.len() {
            let Some(key) = self.again.pop_front() else { return };
            if let Some(stream) = self.streams.at(key) {
                stream.waiting = false;
                // Whether it ends was told before; so it is asked until it says that nothing is left.
                self.read(key, true);
            }
        }
    }

    /// Takes what a stream has brought, which ends at `end`; what is no whole message is kept.
    fn digest(&mut self, key: Key, inbox: &mut [u8], mut end: usize) -> Result<(), DropReason> {
        let mut at = 0;
        while let Some(stream) = self.streams.at(key) {
            let came = &inbox[at..end];
            match stream.stage {
                Stage::Parting => return Ok(()),
                Stage::Proxied => match proxy_protocol::read(came) {
                    Header::More => break,
                    Header::Malformed => return Err(DropReason::StreamProxy),
                    Header::Whole { len, client } => {
                        at += len;
                        stream.remote = client.unwrap_or(stream.remote);
                        stream.stage = Stage::Opening;
                        if !self.streams.count(key) {
                            return Err(DropReason::StreamLimit);
                        }
                    }
                },
                Stage::Opening if stream.is_handshaking() => break,
                Stage::Opening => match (sniff(came), stream.is_secure()) {
                    (First::More, _) => break,
                    (First::Tls, false) => {
                        let records = came.to_vec();
                        end = stream.secure(&self.tls, &records, inbox)?;
                        at = 0;
                    }
                    (First::Turn, secure) => self.begin_turn(key, secure),
                    (First::Ice, false) => {
                        stream.stage = Stage::Ice { worker: None, answered: false };
                        stream.deadline = self.now.plus(UNANSWERED.0);
                    }
                    (First::Http, true) => return self.hand_over(key, came),
                    (First::Http, false) => {
                        stream.part(WANTS_TLS, self.now);
                        self.drop_for(DropReason::StreamClear);
                    }
                    _ => return Err(DropReason::UnknownClass),
                },
                Stage::Data { peer, .. } => {
                    if at < end {
                        self.pass_on(peer, &inbox[at..end]);
                    }
                    return Ok(());
                }
                Stage::Ice { .. } | Stage::Turn { .. } => {
                    let Some(framed) = stream.stage.framed() else { break };
                    let Some(Cut { message, end }) = framing::cut(framed, came)? else { break };
                    let message = &came[message];
                    at += end;
                    self.counters.packets_in += 1;
                    self.counters.bytes_in += message.len() as u64;
                    match framed {
                        Framed::Ice => self.ice(key, message)?,
                        Framed::Turn => {
                            if let Err(reason) = self.turn_message(key, message) {
                                self.drop_for(reason);
                            }
                        }
                    }
                }
            }
        }
        if let Some(stream) = self.streams.at(key) {
            stream.keep(&inbox[at..end]);
        }
        Ok(())
    }

    /// Gives a stream to whoever serves HTTP.
    fn hand_over(&mut self, key: Key, first: &[u8]) -> Result<(), DropReason> {
        let stream = self.take_out(key).ok_or(DropReason::StreamGone)?;
        let remote = stream.remote;
        let (tcp, tls) = stream.into_parts();
        let tls = tls.ok_or(DropReason::StreamClear)?.into_inner();
        let moved = HttpStream { tcp, tls, first: first.to_vec(), remote };
        if (self.http)(moved).is_err() {
            self.drop_for(DropReason::StreamHttp);
        }
        Ok(())
    }

    fn begin_turn(&mut self, key: Key, secure: bool) {
        let socket = if secure { SocketId::TLS } else { SocketId::TCP };
        let deadline = self.now.plus(UNALLOCATED.0);
        let Some(stream) = self.streams.at(key) else { return };
        stream.stage = Stage::Turn { socket, known: false };
        stream.deadline = deadline;
        stream.quicken();
        let remote = stream.remote;
        self.name(key, (socket, remote));
    }

    /// Of two streams that claim to come from the same address, the older is a ghost.
    fn name(&mut self, key: Key, name: (SocketId, std::net::SocketAddr)) {
        if let Some(before) = self.streams.name(key, name) {
            self.close(before, Some(DropReason::StreamGone));
            self.streams.name(key, name);
        }
    }

    /// A datagram of ICE over TCP, to the worker of its leg. The first is a check that names it.
    fn ice(&mut self, key: Key, datagram: &[u8]) -> Result<(), DropReason> {
        let Some(stream) = self.streams.at(key) else { return Ok(()) };
        let Stage::Ice { worker, answered } = stream.stage else { return Ok(()) };
        let to = match worker {
            Some(worker) => worker,
            None => named_worker(datagram)?,
        };
        let remote = stream.remote;
        if answered {
            stream.deadline = self.now.plus(SILENT.0);
        }
        if worker.is_none() {
            stream.stage = Stage::Ice { worker: Some(to), answered };
            stream.quicken();
            self.name(key, (SocketId::STREAMS, remote));
        }
        let kind = HopKind::Arrival { to, socket: SocketId::STREAMS, remote };
        if let Err(reason) = self.hop(kind, datagram) {
            self.drop_for(reason);
        }
        Ok(())
    }

    /// A message of a client of TURN.
    fn turn_message(&mut self, key: Key, bytes: &[u8]) -> Result<(), DropReason> {
        let Some(stream) = self.streams.at(key) else { return Ok(()) };
        let (stage, remote) = (stream.stage, stream.remote);
        let Stage::Turn { socket, .. } = stage else { return Ok(()) };
        if bytes.first().is_some_and(|first| (64..=127).contains(first)) {
            return self.channel_data((socket, remote), bytes);
        }
        let message = Message::parse(bytes)?;
        let mut answer = [0; ANSWER];
        let len = match (message.class, message.method) {
            (Class::Indication, method::SEND) => {
                return self.send_indication((socket, remote), bytes, message.transaction);
            }
            // It keeps the stream's NAT binding open.
            (Class::Indication, stun::BINDING) => return Ok(()),
            (Class::Request, stun::BINDING) if !message.has_integrity() => {
                stun::answer_binding(&mut answer, &message, remote)
            }
            (Class::Request, asked) if method::is_request(asked) => {
                let gate = self.gate.as_deref().ok_or(DropReason::StunUnsolicited)?;
                match gate.admit(&message, remote, self.now, &mut answer) {
                    Some(Admission::Passes) => return self.punt(key, (socket, remote), bytes),
                    Some(Admission::Refused(len)) => Some(len),
                    None => None,
                }
            }
            _ => return Err(DropReason::StunUnsolicited),
        };
        let len = len.ok_or(DropReason::StunMalformed)?;
        self.write(key, &[&answer[..len]], Weight::Answer)
    }

    /// Hands a request to control.
    fn punt(
        &mut self,
        key: Key,
        (socket, remote): (SocketId, std::net::SocketAddr),
        bytes: &[u8],
    ) -> Result<(), DropReason> {
        if bytes.len() > PAYLOAD_MAX {
            return Err(DropReason::StunMalformed);
        }
        self.punt_budget = self.punt_budget.checked_sub(1).ok_or(DropReason::PuntRate)?;
        let bytes = bytes.iter().copied().collect();
        let punt = Punt { kind: PuntKind::Turn, transport: None, socket, remote, bytes };
        self.punts.push(punt).map_err(|_| DropReason::PuntRingFull)?;
        self.counters.punts += 1;
        self.control_has_news = true;
        if let Some(stream) = self.streams.at(key) {
            stream.stage = Stage::Turn { socket, known: true };
        }
        Ok(())
    }

    pub(super) fn hop(&mut self, kind: HopKind, bytes: &[u8]) -> Result<(), DropReason> {
        if bytes.is_empty() || bytes.len() > PAYLOAD_MAX {
            return Err(DropReason::Truncated);
        }
        // When it reached the kernel is not known of what comes in a stream.
        self.hops.push(Hop::new(kind, Nanos(0), bytes))?;
        self.counters.hops_out += 1;
        Ok(())
    }

    /// Queues a message for a stream.
    pub(super) fn write(
        &mut self,
        key: Key,
        parts: &[&[u8]],
        weight: Weight,
    ) -> Result<(), DropReason> {
        let now = self.now;
        let stream = self.streams.at(key).ok_or(DropReason::StreamGone)?;
        if !stream.push(parts, weight, now) {
            let stale = stream.drop_stale(now);
            self.counters.drops.add(DropReason::StreamStale, stale);
            let stream = self.streams.at(key).ok_or(DropReason::StreamGone)?;
            if stale == 0 || !stream.push(parts, weight, now) {
                return Err(DropReason::StreamStale);
            }
        }
        self.counters.packets_out += 1;
        self.counters.bytes_out += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        self.mark(key);
        Ok(())
    }

    /// Writes a datagram to the stream of ICE that has this far address.
    pub(super) fn depart(
        &mut self,
        remote: std::net::SocketAddr,
        datagram: &[u8],
        weight: Weight,
    ) -> Result<(), DropReason> {
        let key = self.streams.named((SocketId::STREAMS, remote)).ok_or(DropReason::StreamGone)?;
        let length = u16::try_from(datagram.len()).map_err(|_| DropReason::Truncated)?;
        let now = self.now;
        if let Some(stream) = self.streams.at(key)
            && let Stage::Ice { worker, answered: false } = stream.stage
        {
            stream.stage = Stage::Ice { worker, answered: true };
            stream.deadline = now.plus(SILENT.0);
        }
        self.write(key, &[&length.to_be_bytes(), datagram], weight)
    }
}

/// The worker that a check names by its receiver's ufrag.
fn named_worker(datagram: &[u8]) -> Result<WorkerId, DropReason> {
    let check = Message::parse(datagram)?;
    let is_check = (check.class, check.method) == (Class::Request, stun::BINDING);
    let name = check.username.filter(|_| is_check).ok_or(DropReason::StunUnsolicited)?;
    let ufrag = name.split(|byte| *byte == b':').next().unwrap_or_default();
    WorkerId::of_ufrag(ufrag).ok_or(DropReason::StunUnknownUfrag)
}
