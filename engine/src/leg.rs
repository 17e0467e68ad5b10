//! One media peer of a call: transports plus streams and sinks.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::command::{LegSpec, Refusal, Security};
use crate::config::{SINKS_PER_LEG, STREAMS_PER_LEG, TRANSPORTS_PER_LEG};
use crate::error::DropReason;
use crate::few::Few;
use crate::plain::plain;
use crate::rtp::RtpHeader;
use crate::stats::{LatencyBuckets, LegDrops};
use crate::stream::{FirstNumbers, Part, Sink, Stream};
use crate::sys::cpu::prefetch;
use crate::transport::Transport;

/// A leg's state on its worker. Made by control, travels in a box, goes home when removed.
#[derive(Debug)]
pub struct Leg {
    pub(crate) transports: ArrayVec<Box<Transport>, TRANSPORTS_PER_LEG>,
    pub(crate) streams: ArrayVec<Box<Stream>, STREAMS_PER_LEG>,
    pub(crate) sinks: Few<Box<Sink>, SINKS_PER_LEG>,
    pub(crate) drops: LegDrops,
    pub(crate) latency: LatencyBuckets,
    pub(crate) has_news: bool,
    /// Whether copies of what comes go up.
    pub(crate) tapped: bool,
}

impl Leg {
    /// Makes a leg from plain data. `random` yields random numbers: tie-breakers and first sequence
    /// numbers and timestamps come from it.
    ///
    /// # Errors
    /// [`Refusal::Full`] if the spec is beyond a limit, [`Refusal::Misuse`] if a stream or sink
    /// names a transport that is not there, or a transport with SRTP or ICE is raw.
    pub fn new(spec: &LegSpec, mut random: impl FnMut() -> u64) -> Result<Box<Self>, Refusal> {
        let mut leg = Box::new(Self {
            transports: ArrayVec::new(),
            streams: ArrayVec::new(),
            sinks: Few::new(),
            drops: LegDrops::default(),
            latency: LatencyBuckets::default(),
            has_news: false,
            tapped: false,
        });
        for transport in &spec.transports {
            if transport.raw && (transport.security == Security::Srtp || transport.ice.is_some()) {
                return Err(Refusal::Misuse);
            }
            let state = Box::new(Transport::new(transport, random()));
            leg.transports.try_push(state).map_err(|_| Refusal::Full)?;
        }
        for stream in &spec.streams {
            leg.check_transports(stream.transport, stream.rtcp_transport)?;
            leg.streams.try_push(Box::new(Stream::new(stream))).map_err(|_| Refusal::Full)?;
        }
        for sink in &spec.sinks {
            leg.check_transports(sink.transport, sink.rtcp_transport)?;
            let state = Box::new(Sink::new(sink, FirstNumbers::from_random(random())));
            leg.sinks.try_push(state).map_err(|_| Refusal::Full)?;
        }
        Ok(leg)
    }

    /// The code point that a transport's packets leave with; `None` if there is no such transport.
    #[must_use]
    pub fn dscp(&self, transport: u8) -> Option<u8> {
        let transport = self.transports.get(usize::from(transport))?;
        Some(transport.traffic_class >> 2)
    }

    /// Asks for what each packet uses of it.
    pub(crate) fn warm(&self) {
        prefetch(&self.transports);
        prefetch(&self.streams);
        prefetch(&self.sinks);
        prefetch(&self.latency);
        prefetch(&self.tapped);
    }

    pub(crate) fn check_transports(&self, rtp: u8, rtcp: u8) -> Result<(), Refusal> {
        let there = usize::from(rtp.max(rtcp)) < self.transports.len();
        if there { Ok(()) } else { Err(Refusal::Misuse) }
    }

    /// The stream of an authenticated packet and what it is there: by SSRC, else by MID, else by
    /// payload type (RFC 8843 §9.2), else the one that is open to anything.
    pub(crate) fn stream_of(
        &mut self,
        transport: u8,
        packet: &[u8],
        header: &RtpHeader,
    ) -> Result<(u8, Part), DropReason> {
        let known = self.find_stream(transport, |stream| stream.owns(header.ssrc).is_some());
        let index = known
            .or_else(|| self.find_stream(transport, |s| s.claims(packet, header, true)))
            .or_else(|| self.find_stream(transport, |s| s.claims(packet, header, false)))
            .or_else(|| self.find_stream(transport, |s| s.claims_any(header)))
            .ok_or(DropReason::StreamUnknown)?;
        let part = self.streams[usize::from(index)].owns(header.ssrc);
        Ok((index, part.ok_or(DropReason::StreamUnknown)?))
    }

    /// Whether what it sends passes as it comes.
    pub(crate) fn is_piped(&self) -> bool {
        self.streams.iter().any(|stream| stream.is_piped())
    }

    /// The SSRC that the node reports under to this leg: that of its first sink.
    pub(crate) fn own_ssrc(&self) -> u32 {
        self.sinks.first().map_or(1, |sink| sink.counters.ssrc)
    }

    /// The transport of RTCP about the streams on a transport: the same with rtcp-mux.
    pub(crate) fn rtcp_of(&self, transport: u8) -> u8 {
        let stream = self.streams.iter().find(|stream| stream.transport == transport);
        stream.map_or(transport, |stream| stream.rtcp_transport)
    }

    /// The host that the media has settled on whose RTCP has a transport of its own.
    pub(crate) fn host_of_media(&self, rtcp_transport: u8) -> Option<IpAddr> {
        let mut about = self.streams.iter().filter(|s| s.rtcp_transport == rtcp_transport);
        let stream = about.find(|stream| stream.transport != rtcp_transport)?;
        self.transports[usize::from(stream.transport)].settled_host()
    }

    /// The transport of the sinks that RTCP on a transport is about: the same with rtcp-mux.
    pub(crate) fn media_of(&self, rtcp_transport: u8) -> u8 {
        let sink = self.sinks.iter().find(|sink| sink.rtcp_transport == rtcp_transport);
        sink.map_or(rtcp_transport, |sink| sink.transport)
    }

    fn find_stream(
        &mut self,
        transport: u8,
        mut test: impl FnMut(&mut Stream) -> bool,
    ) -> Option<u8> {
        let position = self.streams.iter_mut().position(|s| s.transport == transport && test(s))?;
        u8::try_from(position).ok()
    }
}

plain! {
    struct Leg { transports, streams, sinks, drops, latency, has_news, tapped } if |leg| {
        let streams = leg.streams.iter().map(|s| (s.transport, s.rtcp_transport));
        let sinks = leg.sinks.iter().map(|s| (s.transport, s.rtcp_transport));
        streams.chain(sinks).all(|(rtp, rtcp)| leg.check_transports(rtp, rtcp).is_ok())
    };
}

impl FirstNumbers {
    /// Cuts a random number into the three. The sequence starts in the lower half so that the first
    /// loss cannot be mistaken for a wrap (RFC 3711 §3.3.1).
    pub fn from_random(random: u64) -> Self {
        let [a, b, c, d, t0, t1, t2, t3] = random.to_be_bytes();
        Self {
            sequence: u16::from_be_bytes([a & 0x7f, b]),
            rtx_sequence: u16::from_be_bytes([c & 0x7f, d]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        }
    }
}
