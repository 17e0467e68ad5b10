//! A leg's way to the node: as browsers have it, or as SIP phones have it.

use std::net::SocketAddr;
use std::time::Instant;

use causeway_engine::error::DropReason;
use causeway_engine::rtp::RtpHeader;

use crate::plain::Plain;
use crate::webrtc::{Step, Webrtc};

/// One of them.
pub enum Transport {
    /// ICE and DTLS-SRTP.
    Webrtc(Box<Webrtc>),
    /// What the signalling says is all that there is.
    Plain(Box<Plain>),
}

impl Transport {
    /// Takes a STUN message.
    pub fn handle_stun(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if let Self::Webrtc(webrtc) = self {
            webrtc.handle_stun(now, from, bytes);
        }
    }

    /// Takes a DTLS datagram.
    pub fn handle_dtls(&mut self, now: Instant, bytes: &[u8]) {
        if let Self::Webrtc(webrtc) = self {
            webrtc.handle_dtls(now, bytes);
        }
    }

    /// Does what the clock asks for; to be called at [`Self::wake_at`].
    pub fn tend(&mut self, now: Instant) {
        if let Self::Webrtc(webrtc) = self {
            webrtc.tend(now);
        }
    }

    /// When [`Self::tend`] is to be called.
    pub fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::Webrtc(webrtc) => webrtc.wake_at(),
            Self::Plain(_) => None,
        }
    }

    /// What is to be done next; to be drained after each call that takes `&mut self`.
    pub fn step(&mut self) -> Option<Step> {
        match self {
            Self::Webrtc(webrtc) => webrtc.step(),
            Self::Plain(plain) => {
                (!std::mem::replace(&mut plain.told, true)).then_some(Step::Secured)
            }
        }
    }

    /// Where media goes.
    pub fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Webrtc(webrtc) => webrtc.remote(),
            Self::Plain(plain) => Some(plain.remote()),
        }
    }

    /// Protects the RTP packet `buffer[..len]`; `None` if there are no keys.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        match self {
            Self::Webrtc(webrtc) => webrtc.protect_rtp(buffer, len),
            Self::Plain(plain) => plain.protect_rtp(buffer, len),
        }
    }

    /// Protects the RTCP packet `buffer[..len]`; `None` if there are no keys.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        match self {
            Self::Webrtc(webrtc) => webrtc.protect_rtcp(buffer, len),
            Self::Plain(plain) => plain.protect_rtcp(buffer, len),
        }
    }

    /// Authenticates and decrypts an RTP packet where it lies; returns its header and length.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<(RtpHeader, usize), DropReason> {
        match self {
            Self::Webrtc(webrtc) => webrtc.unprotect_rtp(packet),
            Self::Plain(plain) => plain.unprotect_rtp(packet),
        }
    }

    /// Authenticates and decrypts an RTCP packet where it lies.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self {
            Self::Webrtc(webrtc) => webrtc.unprotect_rtcp(packet),
            Self::Plain(plain) => plain.unprotect_rtcp(packet),
        }
    }
}
