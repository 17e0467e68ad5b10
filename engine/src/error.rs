//! Why the engine did not start, and why a packet was dropped.

use std::io;

/// Why the engine did not start. Each message names the knob to turn.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself or a limit.
    #[error("{what} is {value}, allowed is {allowed}")]
    Limit {
        /// The option.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The range that is allowed.
        allowed: &'static str,
    },
    /// io_uring was asked for and the kernel or a seccomp profile denies it.
    #[error(
        "io_uring does not work here ({reason}): check sysctl kernel.io_uring_disabled and the container's seccomp profile, or set backend = \"mmsg\""
    )]
    Uring {
        /// What the probe saw.
        reason: String,
    },
    /// Neither backend moved a datagram over loopback.
    #[error("no backend can send and receive UDP on this host: {0}")]
    NoBackend(#[source] io::Error),
    /// The frame pool could not be mapped.
    #[error(
        "cannot map {bytes} bytes for frames: {source}; lower limits.frames or raise the memory limit"
    )]
    Frames {
        /// Bytes asked for.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The edge's thread could not be started.
    #[error("cannot start the edge: {0}; check the limit of open descriptors")]
    Edge(#[source] io::Error),
    /// A worker thread could not be started or pinned.
    #[error(
        "cannot start worker {worker} on core {core:?}: {source}; check node.workers and the cpuset"
    )]
    Worker {
        /// Which worker.
        worker: u16,
        /// The core it was to be pinned to.
        core: Option<usize>,
        /// What the kernel said.
        source: io::Error,
    },
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Why a worker dropped a packet. Each is a counter; the label is its name in `/metrics`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $name,)+ }

        impl DropReason {
            /// Every reason, in the order of its counter.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// The reason's name in metrics and in the API.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }
            /// What the reason means, as one sentence for operators.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The datagram is empty or longer than a frame holds.
    Truncated = "truncated",
    /// The first byte belongs to no protocol that is spoken here (RFC 7983, RFC 9443).
    UnknownClass = "unknown_class",
    /// No free frame was left.
    FramesExhausted = "frames_exhausted",
    /// The STUN message is malformed.
    StunMalformed = "stun_malformed",
    /// The STUN check names a ufrag that nobody installed.
    StunUnknownUfrag = "stun_unknown_ufrag",
    /// The STUN message failed its MESSAGE-INTEGRITY or FINGERPRINT.
    StunIntegrity = "stun_integrity",
    /// The STUN response or indication was not asked for.
    StunUnsolicited = "stun_unsolicited",
    /// More datagrams than the rate allows asked for control's attention.
    PuntRate = "punt_rate",
    /// Control did not take its datagrams in time.
    PuntRingFull = "punt_ring_full",
    /// DTLS came from a 5-tuple that has not passed an authenticated check.
    DtlsUnknownPair = "dtls_unknown_pair",
    /// ChannelData came without an allocation, or on a channel that is not bound.
    ChannelUnknown = "channel_unknown",
    /// ChannelData or a Send indication is malformed, or asks for what is not understood.
    RelayMalformed = "relay_malformed",
    /// A Send indication came without an allocation.
    RelayUnknown = "relay_unknown",
    /// The client of a relay has not permitted the peer.
    NoPermission = "no_permission",
    /// A relay has no address of the peer's family.
    RelayFamily = "relay_family",
    /// What was relayed to an address of the node itself is for no media port.
    RelayInward = "relay_inward",
    /// A relay that reaches the node's own media only was to reach somebody else.
    RelayOutward = "relay_outward",
    /// A packet was to leave a relay unfragmented that was not allocated so.
    RelayFragments = "relay_fragments",
    /// A relay has carried as much as its user may.
    RelayRate = "relay_rate",
    /// More STUN and TURN requests of strangers came than are answered.
    StunRate = "stun_rate",
    /// Media came from a 5-tuple that no transport knows.
    UnknownRemote = "unknown_remote",
    /// The RTP header is malformed.
    RtpMalformed = "rtp_malformed",
    /// Media came before the transport's keys.
    NoKeys = "no_keys",
    /// The packet is shorter than its authentication tag and header.
    SrtpShort = "srtp_short",
    /// The packet's index was seen before.
    SrtpReplayed = "srtp_replayed",
    /// The packet's index is older than the replay window.
    SrtpOld = "srtp_old",
    /// The packet failed authentication.
    SrtpAuth = "srtp_auth",
    /// The transport has no room for another SSRC.
    SrtpSsrcs = "srtp_ssrcs",
    /// The master key has protected as many packets as it may (RFC 3711 §9.2).
    SrtpKeyExpired = "srtp_key_expired",
    /// The SRTCP packet is not encrypted although the transport asks for it.
    SrtcpClear = "srtcp_clear",
    /// The packet belongs to no stream of its leg.
    StreamUnknown = "stream_unknown",
    /// The stream is on hold or its direction is closed.
    StreamPaused = "stream_paused",
    /// The stream feeds no sink yet.
    NoSink = "no_sink",
    /// Media was to be kept from where it goes.
    MediaBlocked = "media_blocked",
    /// A copy for whoever records found no room; the packet itself passed.
    TapRingFull = "tap_ring_full",
    /// A telephone event was to be kept from where it goes.
    DtmfBlocked = "dtmf_blocked",
    /// The media was to be silenced, and its codec is none whose silence is known.
    SilenceUnknown = "silence_unknown",
    /// The sink's leg is gone.
    SinkGone = "sink_gone",
    /// The sink's leg has no pair, address or keys yet.
    SinkNotReady = "sink_not_ready",
    /// The sink's leg did not negotiate the packet's codec.
    CodecUnmapped = "codec_unmapped",
    /// The packet is from before the sink's latest change of source, or far from its neighbours.
    SourceOld = "source_old",
    /// The packet was asked for again too often.
    RepeatRate = "repeat_rate",
    /// The rewritten header does not fit the head room or the packet.
    RewriteRoom = "rewrite_room",
    /// The RTCP packet is malformed.
    RtcpMalformed = "rtcp_malformed",
    /// The RTCP packet type or format is not forwarded.
    RtcpUnknown = "rtcp_unknown",
    /// The RTCP packet is about an SSRC that nobody sends.
    RtcpNoTarget = "rtcp_no_target",
    /// The ring to the other worker was full or not there.
    HopRing = "hop_ring",
    /// One turn had more to send than a batch holds.
    TxBatch = "tx_batch",
    /// The kernel refused to send.
    TxRefused = "tx_refused",
    /// The packet is longer than its path takes, and its interface forbids to fragment it.
    TxTooLong = "tx_too_long",
    /// The socket is gone.
    SocketGone = "socket_gone",
    /// A stream came where there are as many as are held, in all or of one client's address.
    StreamLimit = "stream_limit",
    /// What came in a stream is no message that is spoken there, or too long.
    StreamFraming = "stream_framing",
    /// A stream did not do in time what was due.
    StreamLate = "stream_late",
    /// A stream took too little, so that media grew stale or found no room.
    StreamStale = "stream_stale",
    /// The stream is gone, or another one has come from the same address.
    StreamGone = "stream_gone",
    /// TLS of a stream failed.
    StreamTls = "stream_tls",
    /// A stream came from a proxy that did not say for whom, as the PROXY protocol has it.
    StreamProxy = "stream_proxy",
    /// HTTP came in a stream without TLS.
    StreamClear = "stream_clear",
    /// An HTTP connection found no room where those are served.
    StreamHttp = "stream_http",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_indexes_its_own_counter_and_has_a_label_of_its_own() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(!reason.meaning().is_empty());
        }
        let mut labels: Vec<_> = DropReason::ALL.iter().map(|r| r.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), DropReason::ALL.len());
    }
}
