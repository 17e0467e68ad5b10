//! A leg's transport as SIP phones have it: no ICE, and SRTP only under keys that the signalling has told (RFC 4568).

use std::net::SocketAddr;

use causeway_engine::error::DropReason;
use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::Srtp;

/// A leg's transport.
pub struct Plain {
    remote: SocketAddr,
    srtp: Option<Srtp>,
    /// Whether it has said that media can be sent.
    pub(crate) told: bool,
}

impl Plain {
    /// One that sends there, encrypted if there are keys.
    pub fn new(remote: SocketAddr, srtp: Option<Srtp>) -> Self {
        Self { remote, srtp, told: false }
    }

    /// Where media goes.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Protects the RTP packet `buffer[..len]`.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let Some(srtp) = &mut self.srtp else { return Some(len) };
        let header = RtpHeader::parse(&buffer[..len]).ok()?;
        srtp.outbound.protect_rtp(&header, buffer, len).ok()
    }

    /// Protects the RTCP packet `buffer[..len]`.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let Some(srtp) = &mut self.srtp else { return Some(len) };
        srtp.outbound.protect_rtcp(buffer, len).ok()
    }

    /// Authenticates and decrypts an RTP packet where it lies; returns its header and length.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<(RtpHeader, usize), DropReason> {
        let header = RtpHeader::parse(packet)?;
        let len = match &mut self.srtp {
            Some(srtp) => srtp.inbound.unprotect_rtp(&header, packet)?,
            None => packet.len(),
        };
        Ok((header, len))
    }

    /// Authenticates and decrypts an RTCP packet where it lies.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        match &mut self.srtp {
            Some(srtp) => srtp.inbound.unprotect_rtcp(packet),
            None => Ok(packet.len()),
        }
    }
}
