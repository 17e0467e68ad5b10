//! Every limit of the engine, tied together by const asserts.
//!
//! Nothing in the engine grows: what is beyond a limit is refused or dropped, and counted.

use std::time::Duration;

/// How the engine is started.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The core that each worker is pinned to; `None` leaves the thread where the kernel puts it.
    pub workers: Vec<Option<usize>>,
    /// Which I/O backend the workers use.
    pub backend: BackendChoice,
    /// Legs that one worker holds at most (1 to [`LEGS_PER_WORKER_CEILING`]).
    pub legs_per_worker: usize,
    /// Frames in each worker's pool (a power of two, at least [`FRAMES_FLOOR`]).
    pub frames_per_worker: usize,
    /// How workers wait for packets.
    pub waiting: Waiting,
}

/// How a worker waits for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// It sleeps, and may let packets wait for company, so that one wake serves several: for so long at most,
    /// and only as long as that saves CPU time. Needs kernel 6.12 and io_uring; without them no packet waits.
    ///
    /// 0, the default, lets none wait. The busier a worker, the more company it finds in its sockets anyway; at half load
    /// waiting saves a tenth to a fifth of the CPU time, for up to ten times the median delay (bench/README.md).
    Gather(Duration),
    /// It never sleeps but looks again at once, on a core that nothing else needs: the least delay, and all of the
    /// core's time whatever the load.
    Busy,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::Gather(Duration::ZERO)
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            workers: vec![None],
            backend: BackendChoice::Auto,
            legs_per_worker: 4096,
            frames_per_worker: 8192,
            waiting: Waiting::default(),
        }
    }
}

/// Which I/O backend is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// io_uring where a probe that really sends and receives succeeds, else recvmmsg/sendmmsg.
    #[default]
    Auto,
    /// io_uring or a start error.
    Uring,
    /// recvmmsg/sendmmsg on epoll.
    Mmsg,
}

/// How long packets may be told to wait for company: more would be heard.
pub const GATHER_MAX: Duration = Duration::from_millis(5);
/// Bytes of one frame. A power of two so that the pool can serve as AF_XDP UMEM.
pub const FRAME_SIZE: usize = 2048;
/// Bytes before a received payload: room for the backend's header, a longer MID, a ChannelData header.
pub const HEAD_ROOM: usize = 128;
/// Bytes kept behind a received payload: SRTP tag, SRTCP index and MKI at their largest.
pub const TAIL_ROOM: usize = 148;
/// Longest datagram that is received whole; a longer one is dropped as truncated.
pub const PAYLOAD_MAX: usize = FRAME_SIZE - HEAD_ROOM - TAIL_ROOM;
/// Fewest frames that a worker runs with.
pub const FRAMES_FLOOR: usize = 256;
/// Packets that one loop turn takes in at most.
pub const RX_BATCH: usize = 256;
/// Packets that one loop turn sends at most; beyond it they are dropped and counted.
pub const TX_BATCH: usize = 1024;
/// Commands that a worker applies between two batches.
pub const COMMANDS_PER_TURN: usize = 64;
/// Commands that can wait for a worker, removals aside.
pub const COMMAND_RING: usize = 4096;
/// Events that can wait for control. A command is applied only when its answer has a slot.
pub const EVENT_RING: usize = 8192;
/// Datagrams that can wait for control; beyond it they are dropped and counted.
pub const PUNT_RING: usize = 512;
/// Packets that can wait for whoever records them; beyond it they are missing there and counted.
pub const TAP_RING: usize = 2048;
/// Datagrams per second that a worker hands to control, which needs 5 us for one that is not what it says it is.
pub const PUNTS_PER_SECOND: u32 = 10_000;
/// Packets that can wait in the ring from one worker to another.
pub const HOP_RING: usize = 256;
/// Workers of one engine.
pub const WORKERS_MAX: usize = 64;
/// Threads that hand packets to each other: the workers and the edge.
pub const THREADS_MAX: usize = WORKERS_MAX + 1;
/// Addresses of the node's own, announced ones and those of relays.
pub const WALLS_MAX: usize = 32;
/// Allocations that one thread holds at most.
pub const ALLOCATIONS_PER_THREAD: usize = 8192;
/// Relayed addresses of one allocation: one per address family.
pub const RELAYS_PER_ALLOCATION: usize = 2;
/// Addresses that one allocation permits at a time.
pub const PERMISSIONS_PER_ALLOCATION: usize = 32;
/// Channels that one allocation has at a time.
pub const CHANNELS_PER_ALLOCATION: usize = 32;
/// Bytes of a TURN realm (RFC 8489 §14.9 allows 127 characters; browsers repeat it in each request).
pub const REALM_MAX: usize = 127;
/// Places of the table of far addresses on ports that workers share (a power of two).
pub const STEERING_PLACES: usize = 1 << 16;
/// Places of the table that thins answers to strangers.
pub const THROTTLE_PLACES: usize = 4096;
/// Answers per second and thread to STUN and TURN requests of those who have not shown that they are where
/// they say.
pub const UNASKED_PER_SECOND: u32 = 10_000;
/// Of those, to one network (/24, of IPv6 /56): an office behind one address starts its day.
pub const UNASKED_PER_NETWORK: u16 = 500;
/// Sockets of one worker.
pub const SOCKETS_PER_WORKER: usize = 16384;
/// Legs per worker that can be configured at most.
pub const LEGS_PER_WORKER_CEILING: usize = 16384;
/// Transports of one leg: two unbundled m-lines with two components each, twice.
pub const TRANSPORTS_PER_LEG: usize = 8;
/// Streams that one leg sends to the node.
pub const STREAMS_PER_LEG: usize = 8;
/// Sinks that one leg has: streams that the node sends to it.
pub const SINKS_PER_LEG: usize = 64;
/// Sinks that one stream feeds.
pub const SINKS_PER_STREAM: usize = 64;
/// Pipes that one stream has: the other party, subscribers and a recorder.
pub const PIPES_PER_STREAM: usize = 8;
/// Remote pairs of one transport.
pub const PAIRS_PER_TRANSPORT: usize = 8;
/// The highest differentiated services code point (RFC 2474 §3).
pub const DSCP_MAX: u8 = 63;
/// SSRCs that one transport keeps SRTP state for, each way.
pub const SSRCS_PER_TRANSPORT: usize = 64;
/// DTLS datagrams kept per 5-tuple until it has passed an authenticated check.
pub const EARLY_DTLS_PER_TUPLE: usize = 4;
/// DTLS datagrams kept per worker until their 5-tuples have passed an authenticated check.
pub const EARLY_DTLS_MAX: usize = 64;
/// Bytes of a MID on the wire, longest (RFC 8843 §15 gives no bound; one-byte extensions carry 16).
pub const MID_MAX: usize = 16;
/// Bytes of an RTP stream id on the wire, longest (RFC 8852 §3.1 gives no bound; one-byte extensions
/// carry 16).
pub const RID_MAX: usize = 16;
/// Simulcast layers of one stream.
pub const LAYERS_PER_STREAM: usize = 4;
/// Bytes of a ufrag of the node's own, longest: it is a key of the worker's table.
pub const LOCAL_UFRAG_MAX: usize = 32;
/// Checks of control's agents whose answers a worker knows at a time (a power of two).
pub const CHECKS_ASKED: usize = 1024;
/// Payload types of one stream.
pub const PAYLOAD_TYPES_PER_STREAM: usize = 32;
/// Payload types of telephone events of one stream (RFC 4733): one per clock rate.
pub const EVENTS_PER_STREAM: usize = 8;
/// Digits of one stream that can wait to be played.
pub const DIGITS_PER_STREAM: usize = 16;
/// SSRCs of one stream, retransmissions included.
pub const SSRCS_PER_STREAM: usize = 16;
/// Bytes of a ufrag, longest that is accepted (RFC 8839 §5.4 allows 256; agents send 4 to 32).
pub const UFRAG_MAX: usize = 256;
/// Bytes of an ICE password, longest that is accepted (RFC 8839 §5.4).
pub const PASSWORD_MAX: usize = 256;
/// Payload types that one route maps.
pub const PAYLOADS_PER_ROUTE: usize = 24;
/// Header extensions that one route maps.
pub const EXTENSIONS_PER_ROUTE: usize = 16;
/// Source SSRCs that one route tells apart, the latest ones.
pub const SEGMENTS_PER_ROUTE: usize = 4;
/// Packets of late that a worker keeps to send them again: a second of a hundred videos.
pub const REPEATS_LOG: usize = 16_384;
/// Packets that a sink may be sent again at once, beyond one for each that it was sent: a burst of loss.
pub const REPEATS_BURST: u16 = 256;
/// Bytes of all header extensions of a rewritten packet.
pub const EXTENSIONS_MAX: usize = 256;
/// Bytes of an RTCP packet that the node writes, before it is protected.
pub const RTCP_MAX: usize = 1200;
/// Bytes that an UDP payload may have on every path (RFC 8200 §5, less 48 bytes of headers): what the
/// node writes itself stays below, whatever is put around it.
pub const SAFE_PAYLOAD: usize = 1280 - 48;
/// Bytes of one leg's exported state, longest.
pub const LEG_STATE_MAX: usize = 1 << 20;
/// How long the process that takes over may need to come up, in milliseconds. Media flows meanwhile.
pub const HAND_OVER_START_MS: u64 = 20_000;
/// How long a hand-over may take once the workers are quiet, in milliseconds. Media stands meanwhile.
pub const HAND_OVER_MS: u64 = 2_000;
/// Arrivals that transport-wide feedback remembers per transport (a power of two).
pub const ARRIVALS_WINDOW: usize = 1024;

/// Packets that the node remembers to have sent per transport, for feedback about them (a power of
/// two): half a second of many videos.
pub const SENT_WINDOW: usize = 2048;

const _: () = assert!(FRAME_SIZE.is_power_of_two());
const _: () = assert!(SENT_WINDOW.is_power_of_two() && SENT_WINDOW < 1 << 15);
const _: () = assert!(2 * LAYERS_PER_STREAM <= SSRCS_PER_STREAM);
const _: () = assert!(HEAD_ROOM >= 128 && TAIL_ROOM >= 148);
const _: () = assert!(PAYLOAD_MAX >= 1500 && PAYLOAD_MAX < u16::MAX as usize);
const _: () = assert!(COMMAND_RING + LEGS_PER_WORKER_CEILING <= u16::MAX as usize);
const _: () =
    assert!(SOCKETS_PER_WORKER <= 1 << 14, "the two highest bits of a SocketId are taken");
const _: () = assert!(ALLOCATIONS_PER_THREAD <= u16::MAX as usize);
const _: () = assert!(SINKS_PER_LEG <= u8::MAX as usize);
const _: () = assert!(STREAMS_PER_LEG <= u8::MAX as usize);
const _: () = assert!(RX_BATCH <= FRAMES_FLOOR);
const _: () = assert!(PIPES_PER_STREAM * STREAMS_PER_LEG <= FRAMES_FLOOR);
const _: () = assert!(RTCP_MAX + 20 <= SAFE_PAYLOAD, "with SRTCP's index and longest tag");
const _: () = assert!(RTCP_MAX <= PAYLOAD_MAX && RTCP_MAX.is_multiple_of(4));
const _: () = assert!(CHECKS_ASKED.is_power_of_two());
const _: () = assert!(ARRIVALS_WINDOW.is_power_of_two() && ARRIVALS_WINDOW < 8192);
