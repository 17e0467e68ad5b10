//! A leg's transport as browsers have it: full ICE, DTLS-SRTP.
//!
//! No socket and no clock: datagrams and time go in, [`Step`]s come out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use causeway_control::dtls::{self, Handshake, Identity, Versions};
use causeway_control::ice::{self, Agent, AgentConfig, Credentials, LocalAddress, Over, Remote};
use causeway_engine::command::{SocketId, WorkerId};
use causeway_engine::error::DropReason;
use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::{MasterKey, Srtp, Suite};

use crate::offer::{Answer, BadAnswer};

/// The one socket of a transport.
const OWN: SocketId = SocketId(0);

/// A leg's transport.
pub struct Webrtc {
    identity: Identity,
    agent: Agent,
    answer: Option<(dtls::Role, Vec<dtls::Fingerprint>)>,
    dtls: Option<Handshake>,
    srtp: Option<Srtp>,
    remote: Option<SocketAddr>,
    steps: VecDeque<Step>,
    wake_at: Option<Instant>,
}

/// What a transport wants done or has come to.
#[derive(Debug)]
pub enum Step {
    /// Send a datagram.
    Send(SocketAddr, Box<[u8]>),
    /// Media can be sent.
    Secured,
    /// It is over.
    Over(String),
}

impl Webrtc {
    /// A transport on the socket bound to `local`.
    ///
    /// # Errors
    /// An address that is no candidate.
    pub fn new(local: SocketAddr, identity: Identity) -> Result<Self, ice::BadAddress> {
        let agent = Agent::new(AgentConfig {
            local: vec![LocalAddress { announced: local, socket: OWN, over: Over::Udp }],
            lite: false,
            controlling: true,
            component: 1,
            credentials: Credentials::random(WorkerId(0)),
        })?;
        Ok(Self {
            identity,
            agent,
            answer: None,
            dtls: None,
            srtp: None,
            remote: None,
            steps: VecDeque::new(),
            wake_at: None,
        })
    }

    /// What its offer says of ICE.
    pub fn credentials(&self) -> Credentials {
        self.agent.local_credentials()
    }

    /// What its offer says of ICE.
    pub fn candidates(&self) -> Vec<String> {
        self.agent.local_candidates().collect()
    }

    /// What its offer says of DTLS.
    pub fn fingerprint(&self) -> &dtls::Fingerprint {
        self.identity.fingerprint()
    }

    /// Takes the node's answer and starts.
    ///
    /// # Errors
    /// If it has no candidate to send to.
    pub fn start(&mut self, now: Instant, answer: Answer) -> Result<(), BadAnswer> {
        let remote = Remote { credentials: answer.credentials, lite: answer.lite };
        self.agent.set_remote(now, remote);
        let candidates = answer.candidates.iter();
        let taken = candidates.filter(|line| self.agent.add_remote_candidate(line).is_ok()).count();
        if taken == 0 {
            return Err(BadAnswer("it has no candidate that can be sent to".into()));
        }
        self.answer = Some((answer.role, answer.fingerprints));
        self.tend(now);
        Ok(())
    }

    /// Takes a STUN message.
    pub fn handle_stun(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.agent.handle_packet(now, from, OWN, bytes);
        self.gather(now);
    }

    /// Takes a DTLS datagram.
    pub fn handle_dtls(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_packet(now, bytes);
        }
        self.gather(now);
    }

    /// Does what the clock asks for; to be called at [`Self::wake_at`].
    pub fn tend(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        self.gather(now);
    }

    /// When [`Self::tend`] is to be called.
    pub fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// What is to be done next; to be drained after each call that takes `&mut self`.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Where media goes.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Protects the RTP packet `buffer[..len]`; `None` if there are no keys.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let header = RtpHeader::parse(&buffer[..len]).ok()?;
        self.srtp.as_mut()?.outbound.protect_rtp(&header, buffer, len).ok()
    }

    /// Protects the RTCP packet `buffer[..len]`; `None` if there are no keys.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.srtp.as_mut()?.outbound.protect_rtcp(buffer, len).ok()
    }

    /// Authenticates and decrypts an RTP packet where it lies; returns its header and length.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<(RtpHeader, usize), DropReason> {
        let header = RtpHeader::parse(packet)?;
        let srtp = self.srtp.as_mut().ok_or(DropReason::NoKeys)?;
        let len = srtp.inbound.unprotect_rtp(&header, packet)?;
        Ok((header, len))
    }

    /// Authenticates and decrypts an RTCP packet where it lies.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        self.srtp.as_mut().ok_or(DropReason::NoKeys)?.inbound.unprotect_rtcp(packet)
    }

    /// Moves what the machines want over.
    fn gather(&mut self, now: Instant) {
        let ice = self.gather_ice(now);
        let dtls = self.gather_dtls();
        self.wake_at = ice.into_iter().chain(dtls).min();
    }

    fn gather_ice(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.agent.poll_output() {
                ice::Output::Check { remote, bytes, .. }
                | ice::Output::Transmit { remote, bytes, .. } => {
                    self.steps.push_back(Step::Send(remote, bytes));
                }
                ice::Output::Nominated { remote, .. } => {
                    self.remote = Some(remote);
                    if let Some((role, expected)) = self.answer.take() {
                        let versions = Versions::Both;
                        let dtls = Handshake::new(&self.identity, versions, role, expected, now);
                        self.dtls = Some(dtls);
                    }
                }
                ice::Output::Failed(error) => self.steps.push_back(Step::Over(error.to_string())),
                ice::Output::Timeout(at) => return at,
                ice::Output::PairAuthenticated { .. } => {}
            }
        }
    }

    fn gather_dtls(&mut self) -> Option<Instant> {
        let dtls = self.dtls.as_mut()?;
        loop {
            match dtls.poll_output() {
                dtls::Output::Datagram(bytes) => {
                    if let Some(remote) = self.remote {
                        self.steps.push_back(Step::Send(remote, bytes));
                    }
                }
                dtls::Output::Connected { keys, .. } => {
                    self.srtp = contexts(&keys);
                    self.steps.push_back(match self.srtp {
                        Some(_) => Step::Secured,
                        None => Step::Over("the SRTP keys have a wrong length".into()),
                    });
                }
                dtls::Output::Failed(error) => self.steps.push_back(Step::Over(error.to_string())),
                dtls::Output::Closed => {
                    self.steps.push_back(Step::Over("the node has closed DTLS".into()));
                }
                dtls::Output::Timeout(at) => return at,
            }
        }
    }
}

fn contexts(keys: &dtls::SrtpKeys) -> Option<Srtp> {
    let suite = match keys.suite {
        dtls::Suite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        dtls::Suite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        dtls::Suite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        dtls::Suite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    let master = |direction: &dtls::DirectionKeys| {
        MasterKey::new(suite, &direction.key, &direction.salt).ok()
    };
    Some(Srtp::new(&master(&keys.inbound)?, &master(&keys.outbound)?))
}
