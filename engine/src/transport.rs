//! One local socket × its remote pairs × its own keys.
//!
//! A transport knows where its packets go and what protects them. It does not know what they
//! carry: that is the streams' and sinks' business.

use std::net::{IpAddr, SocketAddr};

use crate::bandwidth::Bandwidth;
use crate::command::{Security, SocketId, TransportSpec};
use crate::config::{DSCP_MAX, PAIRS_PER_TRANSPORT};
use crate::consent::Consent;
use crate::error::DropReason;
use crate::few::Few;
use crate::learning::Learner;
use crate::packet::Nanos;
use crate::plain::plain;
use crate::rtp::RtpHeader;
use crate::srtp::Srtp;
use crate::stats::TransportCounters;
use crate::sys::cpu::prefetch;
use crate::twcc::Answerer;

/// A far address and the socket that it was heard on.
pub(crate) type Path = (SocketId, SocketAddr);

/// Pairs of the current ICE generation and of the next.
pub(crate) const PATHS_PER_TRANSPORT: usize = 2 * PAIRS_PER_TRANSPORT;

/// Changes of a transport that control is still to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) nominated: bool,
    pub(crate) consent_lost: bool,
    pub(crate) role_conflict: bool,
    /// From where media came first.
    pub(crate) media_started: Option<SocketAddr>,
}

/// Whether a packet from a new address is the far side's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is held to be; the transport goes there.
    Granted,
    /// Its tag must tell.
    IfAuthentic,
    /// It is not.
    Refused,
}

/// A transport's state on its worker.
#[derive(Debug)]
pub struct Transport {
    pub(crate) socket: SocketId,
    pub(crate) consent: Option<Box<Consent>>,
    /// The ICE generation that a restart has begun, until it nominates.
    pub(crate) next: Option<Box<Consent>>,
    /// The generation before the last restart, until its memory goes home.
    pub(crate) retired: Option<Box<Consent>>,
    /// When what comes on pairs of generations that are over is nobody's any more.
    pub(crate) stale_from: Option<Nanos>,
    pub(crate) remote: Option<SocketAddr>,
    /// The socket that each installed pair came in on, of all generations.
    pub(crate) paths: Few<Path, PATHS_PER_TRANSPORT>,
    pub(crate) security: Security,
    /// The byte that its packets leave with: the code point above two bits of ECN, which are 0.
    pub(crate) traffic_class: u8,
    pub(crate) srtp: Option<Box<Srtp>>,
    pub(crate) answerer: Option<Box<Answerer>>,
    pub(crate) bandwidth: Option<Box<Bandwidth>>,
    /// Whether what comes is not read at all.
    pub(crate) raw: bool,
    /// Of no use with ICE, whose checks say where the far side is.
    pub(crate) learner: Learner,
    pub(crate) started: bool,
    /// When the latest packet was accepted.
    pub(crate) heard: Nanos,
    pub(crate) news: News,
    pub(crate) counters: TransportCounters,
}

impl Transport {
    /// Makes it from plain data. `tie_breaker` is random (RFC 8445 §16.1).
    pub fn new(spec: &TransportSpec, tie_breaker: u64) -> Self {
        let keys = spec.keys.as_ref();
        Self {
            socket: spec.socket,
            consent: spec.ice.as_ref().map(|ice| Box::new(Consent::new(ice, tie_breaker))),
            remote: if spec.ice.is_some() { None } else { spec.remote },
            next: None,
            retired: None,
            stale_from: None,
            paths: Few::new(),
            security: spec.security,
            traffic_class: (spec.dscp & DSCP_MAX) << 2,
            srtp: keys.map(|keys| Box::new(Srtp::new(&keys.inbound, &keys.outbound))),
            answerer: None,
            bandwidth: None,
            raw: spec.raw,
            learner: Learner::new(spec.learning, spec.remote),
            started: false,
            heard: Nanos(0),
            news: News::default(),
            counters: TransportCounters::default(),
        }
    }

    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.remote);
        prefetch(&self.security);
        prefetch(&self.srtp);
        prefetch(&self.learner);
        prefetch(&self.heard);
        prefetch(&self.news);
        prefetch(&self.counters);
    }

    /// Asks for what opens a packet.
    pub(crate) fn warm_inbound(&self) {
        self.srtp.iter().for_each(|srtp| srtp.inbound.warm());
    }

    /// Asks for what closes a packet.
    pub(crate) fn warm_outbound(&self) {
        self.srtp.iter().for_each(|srtp| srtp.outbound.warm());
    }

    /// Asks for what says which packets were there already.
    pub(crate) fn warm_windows(&self) {
        self.srtp.iter().for_each(|srtp| srtp.warm_windows());
    }

    /// Whether media can be sent: an address and, if wanted, keys are there.
    pub(crate) fn is_ready(&self) -> bool {
        self.remote.is_some() && (self.security == Security::Plain || self.srtp.is_some())
    }

    /// The contexts; none where packets are plain, `missing` where they are wanted and not there yet.
    fn keys(&mut self, missing: DropReason) -> Result<Option<&mut Srtp>, DropReason> {
        match self.security {
            Security::Plain => Ok(None),
            Security::Srtp => self.srtp.as_deref_mut().map(Some).ok_or(missing),
        }
    }

    /// Authenticates and decrypts an RTP packet in place; returns its plain length.
    pub(crate) fn unprotect_rtp(
        &mut self,
        header: &RtpHeader,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        match self.keys(DropReason::NoKeys)? {
            Some(srtp) => srtp.inbound.unprotect_rtp(header, packet),
            None => Ok(packet.len()),
        }
    }

    /// Authenticates and decrypts an RTCP packet in place; returns its plain length.
    pub(crate) fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self.keys(DropReason::NoKeys)? {
            Some(srtp) => srtp.inbound.unprotect_rtcp(packet),
            None => Ok(packet.len()),
        }
    }

    /// Encrypts `buffer[..len]` in place, the tag goes behind; returns where to and how long.
    pub(crate) fn protect_rtp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(SocketAddr, usize), DropReason> {
        let remote = self.remote.ok_or(DropReason::SinkNotReady)?;
        let len = match self.keys(DropReason::SinkNotReady)? {
            Some(srtp) => {
                let header = RtpHeader::parse(&buffer[..len])?;
                srtp.outbound.protect_rtp(&header, buffer, len)?
            }
            None => len,
        };
        self.count_out(len);
        Ok((remote, len))
    }

    /// As [`Self::protect_rtp`], for RTCP.
    pub(crate) fn protect_rtcp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(SocketAddr, usize), DropReason> {
        let remote = self.remote.ok_or(DropReason::SinkNotReady)?;
        let len = match self.keys(DropReason::SinkNotReady)? {
            Some(srtp) => srtp.outbound.protect_rtcp(buffer, len)?,
            None => len,
        };
        self.count_out(len);
        Ok((remote, len))
    }

    /// Where `len` bytes go that pass unread.
    pub(crate) fn pass(&mut self, len: usize) -> Result<SocketAddr, DropReason> {
        let is_plain = self.security == Security::Plain;
        let remote = self.remote.filter(|_| is_plain).ok_or(DropReason::SinkNotReady)?;
        self.count_out(len);
        Ok(remote)
    }

    /// The pairs that lead to it alone: with ICE its paths, else its fixed address.
    pub(crate) fn own_pairs(&self) -> impl Iterator<Item = (SocketId, SocketAddr)> + '_ {
        let fixed = self.remote.filter(|_| self.consent.is_none());
        fixed.map(|remote| (self.socket, remote)).into_iter().chain(self.paths.iter().copied())
    }

    /// The pairs that lead to it.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (SocketId, SocketAddr)> + '_ {
        let fixed = self.remote.map(|remote| (self.socket, remote));
        fixed.into_iter().chain(self.paths.iter().copied())
    }

    /// Sends to `remote` from now on, from the socket that it was heard on.
    pub(crate) fn turn_to(&mut self, remote: SocketAddr) {
        if let Some((socket, _)) = self.paths.iter().find(|(_, known)| *known == remote) {
            self.socket = *socket;
        }
        self.remote = Some(remote);
    }

    /// Sends nothing any more: consent is lost (RFC 7675 §5.1). Not the end while a restart may yet
    /// find a pair; its end says it then.
    pub(crate) fn fall_silent(&mut self) {
        self.news.consent_lost = self.next.is_none();
        self.remote = None;
    }

    /// The number of the current ICE generation.
    pub(crate) fn generation(&self) -> u32 {
        self.consent.as_deref().map_or(0, Consent::generation)
    }

    /// Notes a datagram that came from one of its pairs.
    pub(crate) fn count_in(&mut self, len: usize) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += len as u64;
    }

    fn count_out(&mut self, len: usize) {
        self.counters.packets_out += 1;
        self.counters.bytes_out += len as u64;
    }

    /// Notes that an accepted packet came from `remote`; true if it was the first.
    pub(crate) fn hear(&mut self, remote: SocketAddr, now: Nanos) -> bool {
        if let Some(consent) = &mut self.consent {
            consent.heard(remote, now);
        }
        self.heard = now;
        let first = !self.started;
        self.started = true;
        self.learner.settle();
        if first {
            self.news.media_started = Some(remote);
        }
        first
    }

    /// Whether a packet from `stranger`, on the socket that is its own, is from its far side;
    /// `of_media` is where the media is whose RTCP this may be, and `sound` whether the packet is well
    /// formed as far as it can be read without keys.
    pub(crate) fn admit(
        &mut self,
        stranger: SocketAddr,
        of_media: Option<IpAddr>,
        sound: bool,
        now: Nanos,
    ) -> Admission {
        match self.security {
            Security::Plain
                if (sound || self.raw) && self.learner.judge(stranger, of_media, now) =>
            {
                Admission::Granted
            }
            Security::Srtp if self.srtp.is_some() && self.learner.follows() => {
                Admission::IfAuthentic
            }
            Security::Plain | Security::Srtp => {
                self.counters.strangers += 1;
                Admission::Refused
            }
        }
    }

    /// Why a packet is dropped that did not authenticate: one from a new address is a stranger's.
    pub(crate) fn refuse(&mut self, roams: bool, reason: DropReason) -> DropReason {
        self.counters.strangers += u64::from(roams);
        if roams { DropReason::UnknownRemote } else { reason }
    }

    /// The host that it has settled on without ICE.
    pub(crate) fn settled_host(&self) -> Option<IpAddr> {
        let settled = self.consent.is_none() && self.learner.is_settled();
        self.remote.filter(|_| settled).map(|remote| remote.ip())
    }

    /// Its counters as control reads them.
    pub(crate) fn reading(&self, now: Nanos) -> TransportCounters {
        let heard = (self.heard != Nanos(0)).then_some(self.heard);
        TransportCounters {
            heard_ago_ms: heard.map(|heard| now.since(heard) / 1_000_000),
            remote: self.remote,
            keyed: self.srtp.is_some(),
            bandwidth: self.bandwidth.as_ref().and_then(|bandwidth| bandwidth.estimate()),
            ..self.counters
        }
    }
}

plain! {
    struct News { nominated, consent_lost, role_conflict, media_started }
    struct Transport {
        socket, consent, next, retired, stale_from, remote, paths, security, traffic_class, srtp,
        answerer, bandwidth, raw, learner, started, heard, news, counters,
    } if |it| !it.raw || it.security == Security::Plain && it.consent.is_none();
}
