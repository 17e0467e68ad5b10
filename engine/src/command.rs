//! The only language between the planes: [`Command`] goes down to a worker, [`Event`] and
//! [`Punt`] come up.
//!
//! Control chooses every id, so a command never waits for a number. Each accepted command is
//! answered by one [`Event::Applied`], which also carries back the memory that the worker no
//! longer needs: memory is freed by the side that made it.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;

use arrayvec::ArrayVec;

use crate::bandwidth::Bandwidth;
use crate::config::{MID_MAX, PAYLOAD_MAX, RID_MAX, SOCKETS_PER_WORKER, WORKERS_MAX};
use crate::consent::Consent;
use crate::digit::Digit;
use crate::export::Exported;
use crate::gate::Gate;
use crate::hop::{HopReceiver, HopSender};
use crate::learning::Learning;
use crate::leg::Leg;
use crate::pipe::Pipes;
use crate::plain::{Plain, Reader, Shape, Unreadable, Writer, plain};
use crate::relay::{Allocation, Rate};
use crate::route::RouteMap;
use crate::srtp::{MasterKey, Srtp};
use crate::stats::{LegReading, WorkerReading};
use crate::stream::{Sink, Stream};
use crate::twcc::Answerer;

/// A worker's number, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

impl WorkerId {
    /// The thread that has TCP's streams ([`crate::edge`]); it is no worker, but spoken to like one.
    pub const EDGE: Self = Self(WORKERS_MAX as u16);
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

    /// What the ufrags of this worker's legs begin with, so that whoever takes a check in knows whose it is.
    pub const fn ufrag_prefix(self) -> [u8; UFRAG_PREFIX] {
        let Self(number) = self;
        [Self::DIGITS[(number / 32 % 32) as usize], Self::DIGITS[(number % 32) as usize]]
    }

    /// The worker whose legs have such a ufrag.
    pub fn of_ufrag(ufrag: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| Self::DIGITS.iter().position(|digit| digit == byte);
        let [high, low] = ufrag.first_chunk::<UFRAG_PREFIX>()?;
        let number = 32 * digit(high)? + digit(low)?;
        u16::try_from(number).ok().filter(|number| usize::from(*number) < WORKERS_MAX).map(Self)
    }
}

/// Characters of [`WorkerId::ufrag_prefix`].
pub const UFRAG_PREFIX: usize = 2;

/// A socket's slot on its worker; or, beyond those, another way in that is spoken of like a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u16);

impl SocketId {
    /// What comes in by streams of the edge: ICE over TCP (RFC 6544). The far address names the stream.
    pub const STREAMS: Self = Self(SOCKETS_PER_WORKER as u16);
    /// What clients of TURN send by streams of the edge, over TCP.
    pub const TCP: Self = Self(SOCKETS_PER_WORKER as u16 + 1);
    /// The same over TLS.
    pub const TLS: Self = Self(SOCKETS_PER_WORKER as u16 + 2);
    const RELAYED: u16 = 1 << 15;

    /// The same port as relays of this node reach it, past the kernel: the far address is a relayed one, and
    /// what is sent to it goes to the client of its allocation.
    #[must_use]
    pub const fn relayed(self) -> Self {
        Self(self.0 | Self::RELAYED)
    }

    /// The port itself, however it was reached.
    #[must_use]
    pub const fn base(self) -> Self {
        Self(self.0 & !Self::RELAYED)
    }

    /// Whether it is reached by relays.
    pub const fn is_relayed(self) -> bool {
        self.0 & Self::RELAYED != 0
    }

    /// Whether a socket of the kernel's is behind it.
    pub const fn is_kernel(self) -> bool {
        (self.0 as usize) < SOCKETS_PER_WORKER
    }
}

/// An allocation: its thread, its slot there and the slot's generation, as with [`LegId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId {
    /// The thread that has its client's socket or stream.
    pub thread: WorkerId,
    /// Its slot there.
    pub slot: u16,
    /// How often the slot was used before.
    pub generation: u32,
}

/// A leg: its worker, its slot there and the slot's generation, so that a late packet or command
/// never meets the slot's next tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    /// The worker that owns it.
    pub worker: WorkerId,
    /// Its slot on that worker.
    pub slot: u16,
    /// How often the slot was used before.
    pub generation: u32,
}

/// A transport by its leg and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId {
    /// The leg that it belongs to.
    pub leg: LegId,
    /// Its place in the leg.
    pub index: u8,
}

/// A stream that a leg sends to the node, by its leg and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// The leg that sends it.
    pub leg: LegId,
    /// Its place in the leg.
    pub index: u8,
}

/// A sink: a stream that the node sends to a leg, by that leg and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId {
    /// The leg that receives it.
    pub leg: LegId,
    /// Its place in the leg.
    pub index: u8,
}

/// Names one accepted command until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Control → worker. Applied in order, at most [`crate::config::COMMANDS_PER_TURN`] between batches.
#[derive(Debug)]
pub enum Command {
    /// Receive on `udp` from now on. Legal while the slot is free.
    AddSocket {
        /// The slot.
        socket: SocketId,
        /// The bound socket; it is non-blocking afterwards.
        udp: UdpSocket,
    },
    /// Stop receiving; the answer, which may come turns later, carries the socket back.
    RemoveSocket {
        /// The slot.
        socket: SocketId,
    },
    /// Say which sockets are of ports that all workers have, each in the same slot: what comes in on one
    /// may be another worker's.
    ShareSockets {
        /// The slots.
        sockets: Range<u16>,
    },
    /// Install a leg. Legal while the slot is free.
    AddLeg {
        /// The id that control chose.
        leg: LegId,
        /// The leg, made by [`Leg::new`].
        state: Box<Leg>,
    },
    /// Remove a leg with its transports, streams and sinks. Always has room in the ring.
    RemoveLeg {
        /// Which.
        leg: LegId,
    },
    /// Give a transport its SRTP contexts; older ones come back. A direction whose key is that of the
    /// older ones goes on counting where those stopped.
    SetKeys {
        /// Which.
        transport: TransportId,
        /// Contexts for both directions.
        keys: Box<Srtp>,
    },
    /// Say where the far side of a transport without ICE is; what was learnt before is forgotten.
    SetRemote {
        /// Which.
        transport: TransportId,
        /// Where it sends to and receives from.
        remote: SocketAddr,
        /// Whether packets may move that.
        learning: Learning,
    },
    /// Allow a pair that has passed an authenticated check. DTLS that came early from it goes up.
    InstallPair {
        /// The transport, which has ICE.
        transport: TransportId,
        /// The socket that it came in on.
        socket: SocketId,
        /// The far address as seen.
        remote: SocketAddr,
        /// Whether media goes there from now on.
        nominated: bool,
        /// The ICE generation whose check it was; of one that is over the pair is refused.
        generation: u32,
    },
    /// Tell a transport the far side's ICE credentials, which come with the answer where the node
    /// offers, and what the node is towards it.
    SetRemoteCredentials {
        /// Which.
        transport: TransportId,
        /// Both credentials of the far side.
        credentials: Box<Credentials>,
        /// As [`IceSpec::send_checks`].
        send_checks: bool,
        /// As [`IceSpec::controlling`].
        controlling: bool,
    },
    /// Begin another ICE generation beside the current one, which carries media until the new one
    /// nominates a pair (RFC 8445 §9). Replaces one that was begun before and nominated nothing.
    RestartIce {
        /// Which; it has ICE.
        transport: TransportId,
        /// The new generation, made by [`Consent::new`].
        next: Box<Consent>,
    },
    /// Give a new generation up that found no pair; the current one goes on.
    CancelRestart {
        /// Which.
        transport: TransportId,
        /// The generation that was begun.
        generation: u32,
    },
    /// Send a check of control's agent; the answer to it goes up even where it comes from no
    /// installed pair. May be lost like any datagram.
    Check {
        /// Whose check it is.
        transport: TransportId,
        /// From.
        socket: SocketId,
        /// To.
        remote: SocketAddr,
        /// A STUN request; at most [`PAYLOAD_MAX`] bytes.
        bytes: Box<[u8]>,
    },
    /// Add a stream at the first free place, or replace one; its sinks, SSRCs and counters stay.
    SetStream {
        /// Where; the place is at most one past the last.
        stream: StreamId,
        /// What, made by [`Stream::new`].
        state: Box<Stream>,
    },
    /// Add a sink at the first free place, or replace one that was never used.
    SetSink {
        /// Where; the place is at most one past the last.
        sink: SinkId,
        /// What, made by [`Sink::new`].
        state: Box<Sink>,
    },
    /// Let the worker itself answer transport-wide sequence numbers, or leave that to the far end of
    /// the call.
    AnswerTransportCc {
        /// The transport that receives them.
        transport: TransportId,
        /// What answers; `None` where the far end does.
        answerer: Option<Box<Answerer>>,
    },
    /// Stop or resume forwarding what a stream receives (hold).
    PauseStream {
        /// Which.
        stream: StreamId,
        /// Whether it stands still.
        paused: bool,
    },
    /// Let a stream also go to `sink`. Sent to the stream's worker.
    AddSink {
        /// The stream.
        stream: StreamId,
        /// Where it goes too, on any worker.
        sink: SinkId,
    },
    /// Undo [`Command::AddSink`].
    RemoveSink {
        /// The stream.
        stream: StreamId,
        /// Where it no longer goes.
        sink: SinkId,
    },
    /// Let a stream pass as it comes, in place of feeding sinks; replaces all pipes that it had, and none
    /// let it feed its sinks again. Pipes lead to transports of the stream's own worker; one whose leg is
    /// gone is a counted drop per packet. All RTCP of a leg with pipes passes as it comes.
    SetPipes {
        /// The stream.
        stream: StreamId,
        /// Where it goes.
        pipes: Pipes,
    },
    /// Say where a sink's packets come from and how they are rewritten. Sent to the sink's worker,
    /// before [`Command::AddSink`] to the stream's, which asks a video source for a key frame.
    SetSource {
        /// The sink.
        sink: SinkId,
        /// What feeds it; `None` silences the sink.
        source: Option<Box<Source>>,
        /// Numbers of the source's leg to numbers of the sink's leg.
        map: Box<RouteMap>,
    },
    /// Say which layer of its simulcast stream a sink gets. Sent to the sink's worker; a new sink
    /// has [`LayerChoice::Auto`].
    SelectLayer {
        /// The sink.
        sink: SinkId,
        /// Which layer.
        layer: LayerChoice,
    },
    /// Let the worker estimate what a transport's path carries, so that [`LayerChoice::Auto`] keeps
    /// within it and [`crate::route::TransportCc::Own`] has numbers; `None` stops it.
    EstimateBandwidth {
        /// The transport that media is sent on.
        transport: TransportId,
        /// What estimates.
        estimator: Option<Box<Bandwidth>>,
    },
    /// Send one datagram as it is (STUN and DTLS of control's machines). May be lost like any datagram.
    Transmit {
        /// From.
        socket: SocketId,
        /// To.
        remote: SocketAddr,
        /// What; at most [`PAYLOAD_MAX`] bytes.
        bytes: Box<[u8]>,
    },
    /// Let a stream with pipes play a digit in place of its media, behind those that it plays already.
    PlayDigit {
        /// Which; it is audio.
        stream: StreamId,
        /// What.
        digit: Digit,
    },
    /// Let what comes on a leg go up as it is, decrypted, to whoever has the worker's taps
    /// ([`crate::Link::take_taps`]), or no longer.
    Tap {
        /// Which.
        leg: LegId,
        /// Whether it does.
        on: bool,
    },
    /// Answer TURN requests of those who show no nonce, and hand those up that show one
    /// ([`PuntKind::Turn`]). Replaces the gate before; the first makes room for allocations.
    SetGate(Box<Gate>),
    /// Install an allocation, on the thread that has its client's socket. Legal while the slot is free and
    /// the client has no other.
    AddAllocation {
        /// The id that control chose.
        allocation: AllocationId,
        /// The allocation, made by [`Allocation::new`].
        state: Box<Allocation>,
    },
    /// Remove an allocation with its permissions and channels; its sockets go by [`Command::RemoveSocket`].
    RemoveAllocation {
        /// Which.
        allocation: AllocationId,
    },
    /// Take one relayed address from an allocation that has two; its socket goes by
    /// [`Command::RemoveSocket`].
    Withdraw {
        /// Which.
        allocation: AllocationId,
        /// The address.
        relayed: SocketAddr,
    },
    /// Let packets pass between an allocation's client and an address (RFC 8656 §9).
    Permit {
        /// Which.
        allocation: AllocationId,
        /// The address, whatever its port.
        peer: IpAddr,
    },
    /// Undo [`Command::Permit`].
    Forbid {
        /// Which.
        allocation: AllocationId,
        /// The address.
        peer: IpAddr,
    },
    /// Bind a channel to a peer (RFC 8656 §12), in the place of other bindings of either.
    BindChannel {
        /// Which.
        allocation: AllocationId,
        /// The number, of [`crate::relay::CHANNELS`].
        channel: u16,
        /// The peer.
        peer: SocketAddr,
    },
    /// Undo [`Command::BindChannel`].
    UnbindChannel {
        /// Which.
        allocation: AllocationId,
        /// The number.
        channel: u16,
    },
    /// Accept connections of permitted peers at an allocation's relayed address, until the allocation is
    /// removed; the edge alone does (RFC 6062 §5.3). Its port must be shared (`SO_REUSEPORT`), since
    /// connections are made from there too. Counted against no rate.
    AddListener {
        /// Which.
        allocation: AllocationId,
        /// The bound listener; it is non-blocking afterwards.
        listener: TcpListener,
    },
    /// Connect from an allocation's relayed address to a peer (RFC 6062 §5.2); [`Event::PeerConnected`] says
    /// how it went. Legal while there is a listener of the peer's family.
    Connect {
        /// Which.
        allocation: AllocationId,
        /// What the connection is called: none that there is, below 2³¹.
        connection: u32,
        /// Whom to connect to.
        peer: SocketAddr,
    },
    /// Let bytes pass between a connection and a client's stream, behind what was written to that before
    /// (RFC 6062 §5.4). Legal once for a connection that there is, and for a stream without an allocation.
    Join {
        /// Which.
        connection: u32,
        /// How the stream came in.
        socket: SocketId,
        /// Its far address.
        remote: SocketAddr,
    },
    /// End a connection, and the stream that it is joined with once that has taken what waits for it.
    DropConnection {
        /// Which.
        connection: u32,
    },
    /// Say what an allocation may carry from now on.
    SetRate {
        /// Which.
        allocation: AllocationId,
        /// How much.
        rate: Rate,
    },
    /// Fill in the worker's counters and swap its latency histogram for the (empty) one given.
    ReadWorker(Box<WorkerReading>),
    /// Fill in a leg's counters.
    ReadLeg {
        /// Which.
        leg: LegId,
        /// Where to.
        into: Box<LegReading>,
    },
    /// Hand packets for another worker's sinks to this ring.
    AddHopTo {
        /// The other worker.
        to: WorkerId,
        /// The ring's sending end and what wakes the other worker.
        end: Box<HopSender>,
    },
    /// Take packets of another worker's streams from this ring.
    AddHopFrom {
        /// The other worker.
        from: WorkerId,
        /// The ring's receiving end.
        end: Box<HopReceiver>,
    },
    /// Stop receiving and do nothing by itself any more. Answered when everything received so far has
    /// been walked and sent; what comes later waits in the sockets. Legal while the worker serves.
    Quiesce,
    /// Copy everything that another process needs to go on. Legal while the worker is quiet.
    Export(Box<Exported>),
    /// Receive again, here. Legal while the worker is quiet.
    Resume,
    /// End the worker thread once the queue is drained.
    Stop,
}

impl Command {
    /// The leg that lacks something if this command is refused; none for removals, readings and
    /// datagrams, which may be.
    pub fn builds(&self) -> Option<LegId> {
        match self {
            Self::AddLeg { leg, .. } | Self::Tap { leg, .. } => Some(*leg),
            Self::SetKeys { transport, .. }
            | Self::SetRemote { transport, .. }
            | Self::InstallPair { transport, .. }
            | Self::SetRemoteCredentials { transport, .. }
            | Self::AnswerTransportCc { transport, .. }
            | Self::EstimateBandwidth { transport, .. } => Some(transport.leg),
            Self::SetStream { stream, .. }
            | Self::AddSink { stream, .. }
            | Self::SetPipes { stream, .. }
            | Self::PlayDigit { stream, .. } => Some(stream.leg),
            Self::SetSink { sink, .. }
            | Self::SetSource { sink, .. }
            | Self::SelectLayer { sink, .. } => Some(sink.leg),
            _ => None,
        }
    }

    /// Whether it takes something away: what must not be lost, and what its ring keeps room for.
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::RemoveLeg { .. }
                | Self::RemoveSocket { .. }
                | Self::RemoveAllocation { .. }
                | Self::Withdraw { .. }
                | Self::DropConnection { .. }
                | Self::RemoveSink { .. }
                | Self::PauseStream { .. }
                | Self::Stop
        )
    }
}

/// Why a command was not applied. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The slot is taken.
    #[error("the slot is taken")]
    Taken,
    /// The id names nothing, or what it named is gone.
    #[error("no such leg, socket, transport, stream, sink or allocation")]
    Gone,
    /// A table of the leg or worker is full.
    #[error("a table of the worker is full")]
    Full,
    /// The command does not fit what it names.
    #[error("the command does not fit what it names")]
    Misuse,
    /// The kernel refused; the number is its errno.
    #[error("the kernel refused (errno {0})")]
    Kernel(i32),
}

/// What an answered command gives back.
#[derive(Debug, Default)]
pub enum Returned {
    /// Nothing.
    #[default]
    Nothing,
    /// The removed or refused leg.
    Leg(Box<Leg>),
    /// Replaced or refused contexts.
    Keys(Box<Srtp>),
    /// The removed or refused socket.
    Socket(UdpSocket),
    /// The refused listener.
    Listener(TcpListener),
    /// The sent datagram.
    Datagram(Box<[u8]>),
    /// The gate before.
    Gate(Box<Gate>),
    /// The removed or refused allocation.
    Allocation(Box<Allocation>),
    /// Applied credentials.
    Credentials(Box<Credentials>),
    /// An ICE generation that is over, or was refused.
    Consent(Box<Consent>),
    /// The replaced or refused stream.
    Stream(Box<Stream>),
    /// The replaced or refused sink.
    Sink(Box<Sink>),
    /// The replaced or refused pipes.
    Pipes(Pipes),
    /// What no longer answers.
    Answerer(Box<Answerer>),
    /// What no longer estimates.
    Bandwidth(Box<Bandwidth>),
    /// A refused end of a ring.
    HopTo(Box<HopSender>),
    /// A refused end of a ring.
    HopFrom(Box<HopReceiver>),
    /// The applied or refused map, and the source before.
    Source(Box<RouteMap>, Option<Box<Source>>),
    /// The reading asked for.
    Worker(Box<WorkerReading>),
    /// The reading asked for.
    LegReading(Box<LegReading>),
    /// The copy asked for.
    Exported(Box<Exported>),
}

/// Worker → control. Never dropped.
#[derive(Debug)]
pub enum Event {
    /// A command is done with.
    Applied {
        /// Which.
        ticket: Ticket,
        /// Whether it took effect.
        outcome: Result<(), Refusal>,
        /// Memory that goes home.
        returned: Returned,
    },
    /// A transport's media goes to this address from now on.
    Nominated {
        /// Which.
        transport: TransportId,
        /// Where to.
        remote: SocketAddr,
        /// The ICE generation that the pair is of; the ones before it are over.
        generation: u32,
    },
    /// Nothing authenticated came on a transport's pairs for the consent time (RFC 7675 §5.1).
    ConsentLost {
        /// Which.
        transport: TransportId,
    },
    /// A check claims the role that the node has (RFC 8445 §7.3.1.1).
    RoleConflict {
        /// Which.
        transport: TransportId,
    },
    /// The first packet of a transport has passed authentication, or on plain RTP was accepted.
    MediaStarted {
        /// Which.
        transport: TransportId,
        /// From where.
        remote: SocketAddr,
    },
    /// A sink forwards another layer of its simulcast stream; at most a few a second per sink.
    LayerChanged {
        /// Which.
        sink: SinkId,
        /// The layer by its place in [`StreamSpec::rids`]; `None` if none is forwarded any more.
        layer: Option<u8>,
    },
    /// A stream of the edge has ended, and nothing more comes from it.
    StreamClosed {
        /// How it came in.
        socket: SocketId,
        /// Its far address.
        remote: SocketAddr,
    },
    /// A connection of a TCP relay was made, or could not be and is no more.
    PeerConnected {
        /// Which, as [`Command::Connect`] called it.
        connection: u32,
        /// Whether it was made.
        ok: bool,
    },
    /// A permitted peer has connected to a relayed address.
    PeerAccepted {
        /// Whose.
        allocation: AllocationId,
        /// What the connection is called: 2³¹ or above.
        connection: u32,
        /// Who.
        peer: SocketAddr,
    },
    /// A peer has ended its connection, which is no more.
    PeerClosed {
        /// Which.
        connection: u32,
    },
    /// Somebody began or ceased to speak; at most a few a second per stream.
    Speaking {
        /// The audio stream.
        stream: StreamId,
        /// Whether somebody speaks.
        speaking: bool,
    },
}

/// What kind of datagram goes up to control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PuntKind {
    /// A STUN message for one of a transport's ufrags, from an address that is no installed pair of
    /// it, or the answer to a [`Command::Check`].
    Stun,
    /// DTLS from an installed pair; without ICE from anywhere, until the transport has keys.
    Dtls,
    /// A TURN request with a nonce that was given to its source.
    Turn,
}

/// A datagram for control's machines. Lossy, counted, rate limited.
#[derive(Debug, Clone)]
pub struct Punt {
    /// What it is.
    pub kind: PuntKind,
    /// Whose it is; nobody's of a TURN request.
    pub transport: Option<TransportId>,
    /// Where it came in.
    pub socket: SocketId,
    /// Where it came from.
    pub remote: SocketAddr,
    /// Its bytes.
    pub bytes: ArrayVec<u8, PAYLOAD_MAX>,
}

/// Everything a leg is made of, as plain data.
#[derive(Debug, Clone, Default)]
pub struct LegSpec {
    /// Its transports, at most [`crate::config::TRANSPORTS_PER_LEG`].
    pub transports: Vec<TransportSpec>,
    /// What it sends to the node, at most [`crate::config::STREAMS_PER_LEG`].
    pub streams: Vec<StreamSpec>,
    /// What the node sends to it, at most [`crate::config::SINKS_PER_LEG`].
    pub sinks: Vec<SinkSpec>,
}

/// One local socket × its remote pairs × its keys.
#[derive(Debug, Clone)]
pub struct TransportSpec {
    /// The local socket, shared or its own.
    pub socket: SocketId,
    /// ICE of this component; `None` for a peer with a fixed address.
    pub ice: Option<IceSpec>,
    /// The far address where there is no ICE; may come later.
    pub remote: Option<SocketAddr>,
    /// Which packets are wanted.
    pub security: Security,
    /// SRTP keys if they are known already (SDES).
    pub keys: Option<KeysSpec>,
    /// Whether packets may move the far address where there is no ICE.
    pub learning: Learning,
    /// Whether everything that comes on its socket from its far side passes unread through the pipes of its
    /// stream: UDPTL (ITU-T T.38) and what else is no RTP. Only without SRTP and ICE.
    pub raw: bool,
    /// The differentiated services code point that its packets leave with, 0 to 63 (RFC 2474 §3,
    /// RFC 8837 for which); 0 is best effort and costs nothing.
    pub dscp: u8,
}

/// What protects a transport's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain RTP.
    Plain,
    /// SRTP; nothing passes before the keys.
    Srtp,
}

/// ICE of one component.
#[derive(Debug, Clone)]
pub struct IceSpec {
    /// What the far side's checks must name and be signed with.
    pub local: Credentials,
    /// What the node's checks name and are signed with, once known.
    pub remote: Option<Credentials>,
    /// Whether the worker sends checks of its own for consent (full agent), or lives on incoming ones (lite).
    pub send_checks: bool,
    /// Whether the node has the controlling role.
    pub controlling: bool,
    /// The component: 1 for RTP, and RTCP with rtcp-mux, 2 for RTCP of its own (RFC 8445 §2.1).
    pub component: u8,
    /// Counts the leg's ICE restarts.
    pub generation: u32,
}

/// A ufrag and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user fragment.
    pub ufrag: String,
    /// The password.
    pub password: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// Master keys of both directions.
#[derive(Debug, Clone)]
pub struct KeysSpec {
    /// What the far side protects with.
    pub inbound: MasterKey,
    /// What the node protects with.
    pub outbound: MasterKey,
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Audio, telephone-event included.
    Audio,
    /// Video; a new sink asks for a key frame.
    Video,
}

/// A media identification tag (RFC 8843 §15).
pub type Mid = ArrayVec<u8, MID_MAX>;

/// An RTP stream id: the name of a simulcast layer (RFC 8852).
pub type Rid = ArrayVec<u8, RID_MAX>;

/// Which layer of a simulcast stream a sink gets. On a stream without layers only
/// [`LayerChoice::Off`] makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerChoice {
    /// The best one that the sink's path carries.
    #[default]
    Auto,
    /// The one at this place in [`StreamSpec::rids`]; while its sender does not send it, the next best.
    Layer(u8),
    /// None: the sink stands still.
    Off,
}

/// A codec as far as the engine must know it: to find key frames and picture numbers, to write silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// VP8 (RFC 7741).
    Vp8,
    /// H.264 (RFC 6184).
    H264,
    /// G.711 µ-law (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law (RFC 3551 §4.5.14).
    Pcma,
    /// G.722 (RFC 3551 §4.5.2).
    G722,
    /// Telephone events (RFC 4733) whose durations change their clock on the way.
    Events {
        /// Ticks per millisecond at the source.
        from: u8,
        /// Ticks per millisecond at the sink.
        to: u8,
    },
    /// Any other; each of its packets is held to be a place to begin.
    #[default]
    Other,
}

impl Codec {
    /// The byte that silence repeats; none where a payload of silence must be made anew.
    #[must_use]
    pub const fn silence(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0xff),
            Self::Pcma => Some(0xd5),
            Self::G722 => Some(0xfa),
            Self::Vp8 | Self::H264 | Self::Events { .. } | Self::Other => None,
        }
    }
}

/// One payload type of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadType {
    /// Its number on this leg.
    pub number: u8,
    /// Ticks per second of its timestamps.
    pub clock_rate: u32,
    /// The payload type that it retransmits, if it is RTX (RFC 4588 §8.1).
    pub retransmits: Option<u8>,
    /// Its codec; of RTX that of what it retransmits.
    pub codec: Codec,
}

/// What a leg sends to the node on one m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Audio or video.
    pub kind: MediaKind,
    /// The transport of its RTP.
    pub transport: u8,
    /// The transport of its RTCP: the same with rtcp-mux.
    pub rtcp_transport: u8,
    /// Its MID, if the leg tags packets.
    pub mid: Option<Mid>,
    /// Extension id of the MID.
    pub mid_extension: Option<u8>,
    /// SSRCs that the description named, each with the SSRC of its RTX.
    pub ssrcs: Vec<(u32, Option<u32>)>,
    /// Its payload types.
    pub payload_types: Vec<PayloadType>,
    /// Names of its simulcast layers, at most [`crate::config::LAYERS_PER_STREAM`], in the order of
    /// `a=simulcast` (RFC 8853 §5.1); empty without simulcast. Which SSRC is which layer is learnt
    /// from authenticated packets that name it.
    pub rids: Vec<Rid>,
    /// Extension id of the RTP stream id (RFC 8852 §3.1).
    pub rid_extension: Option<u8>,
    /// Extension id of the RTP stream id that a retransmission repeats (RFC 8852 §3.2).
    pub repaired_rid_extension: Option<u8>,
    /// Extension id of the audio level (RFC 6464), for [`Event::Speaking`].
    pub audio_level_extension: Option<u8>,
    /// Whether every packet of its transport is its own that no other stream there claims, whatever
    /// its SSRC and payload type. What `payload_types` does not name is then audio of 8000 Hz, or video
    /// of a clock that nobody knows.
    pub open: bool,
    /// Which payload types are telephone events (RFC 4733), at most
    /// [`crate::config::EVENTS_PER_STREAM`]; unless it is open, they stand in `payload_types` too.
    pub events: Vec<u8>,
    /// Whether the node reports in place of its sender, who sends no RTCP, to wherever it is piped, and to
    /// its sender in place of those: every five seconds, while packets come and the sender says nothing.
    pub reports: bool,
    /// Whether it starts on hold.
    pub paused: bool,
}

/// What feeds a sink, and how feedback about the sink is addressed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The stream, on any worker.
    pub stream: StreamId,
    /// The SSRC that the node reports under to the stream's leg.
    pub own_ssrc: u32,
    /// The node's canonical name there.
    pub cname: String,
    /// Whether that leg takes RTCP that does not begin with a report (RFC 5506).
    pub reduced_size: bool,
}

/// What the node sends to a leg on one m-line, in the node's own name.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// Audio or video.
    pub kind: MediaKind,
    /// The transport of its RTP.
    pub transport: u8,
    /// The transport of its RTCP: the same with rtcp-mux.
    pub rtcp_transport: u8,
    /// The node's SSRC.
    pub ssrc: u32,
    /// The node's SSRC for retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// The node's canonical name, in SDES (RFC 3550 §6.5.1).
    pub cname: String,
    /// The MID that goes into packets.
    pub mid: Option<Mid>,
    /// Extension id of the MID on this leg.
    pub mid_extension: Option<u8>,
}

impl Plain for LayerChoice {
    fn write(&self, to: &mut Writer) {
        let place = match self {
            Self::Auto => None,
            Self::Layer(place) => Some(Some(*place)),
            Self::Off => Some(None),
        };
        place.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(match Option::<Option<u8>>::read(from)? {
            None => Self::Auto,
            Some(Some(place)) => Self::Layer(place),
            Some(None) => Self::Off,
        })
    }

    fn shape(of: &mut Shape) {
        of.name("LayerChoice");
        Option::<Option<u8>>::shape(of);
    }
}

plain! {
    tuple WorkerId;
    tuple SocketId;
    struct LegId { worker, slot, generation }
    struct TransportId { leg, index }
    struct StreamId { leg, index }
    struct SinkId { leg, index }
    struct PayloadType { number, clock_rate, retransmits, codec }
    struct Source { stream, own_ssrc, cname, reduced_size }
    enum MediaKind { Audio {} = 0, Video {} = 1 }
    enum Security { Plain {} = 0, Srtp {} = 1 }
    enum Codec { Vp8 {} = 0, H264 {} = 1, Other {} = 2, Pcmu {} = 3, Pcma {} = 4, G722 {} = 5,
        Events { from, to } = 6 }
}
