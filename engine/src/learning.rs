//! Who may say where a transport's far side is, on transports without ICE.
//!
//! A description says where a party sends from, and behind a NAT it is wrong. Only the packets tell
//! then, and anybody can send packets. What is believed is written at [`Learning`].

use std::net::{IpAddr, SocketAddr};

use crate::packet::Nanos;
use crate::plain::{Plain, Reader, Shape, Unreadable, Writer, plain};

/// How long a candidate may be silent before another one takes its place: longer than the pauses of
/// whoever sends media, shorter than a call is worth waiting for.
const CANDIDATE_SILENCE: Nanos = Nanos::from_millis(500);
/// Shortest time between two moves of a transport that always learns, so that two senders at once do
/// not tear it to and fro.
const MOVE_INTERVAL: Nanos = Nanos::from_millis(100);
/// How long after a new description what still comes from the address before it is held to be on its
/// way since then, and teaches nothing.
const FORMER_REST: Nanos = Nanos::from_millis(2000);

/// Whether and when packets move the far address of a transport without ICE. Until they do, the
/// transport sends to where the description says; it never sends to an address that is not learnt.
///
/// # Plain RTP
/// Under [`Learning::Once`] each transport learns for itself, until something settles it:
/// - a packet from exactly the signalled address settles it at once;
/// - so does one from the `hint`, from the signalled IP address with another port, or, where RTCP has a
///   transport of its own, from the IP address that its RTP has settled on;
/// - any other address is a candidate. One is remembered; another takes its place, and waits anew, only
///   when it has been silent. What candidates send is dropped. If nothing better comes within `grace`, the
///   candidate's next packet settles it.
///
/// After that whatever comes from elsewhere is dropped ([`crate::error::DropReason::UnknownRemote`]), and
/// counted with what candidates sent as `strangers` of the transport. Another
/// [`crate::command::Command::SetRemote`] begins anew; if it says another place, the address that media
/// came from before teaches nothing for two seconds.
///
/// Plain RTP proves nothing, so a risk stays. Who sends from a host that is believed (another phone
/// behind the same NAT, or whoever can forge a source address) and comes before the party does, gets the
/// call's media; so does, where the party is silent or comes from a host that nothing hints at, whoever
/// finds the port first and keeps sending for `grace`. A `grace` of 0 believes the first packet.
///
/// # SRTP
/// A packet from a new address is tried with the transport's keys, on its own socket. If it is authentic
/// and no replay, the transport follows it, at any time and under either rule: phones change their NAT
/// binding amid a call. Who copies a packet on its path and outruns it draws the call's encrypted media
/// to itself until the party's next one. What is not authentic is a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Learning {
    /// Not at all.
    #[default]
    Off,
    /// Until it is settled.
    Once {
        /// The host that the party's signalling comes from.
        hint: Option<IpAddr>,
        /// How long a host that nothing speaks for has to wait (a duration).
        grace: Nanos,
    },
    /// Each packet of plain RTP may move it, for parties that hand their media over unsaid. Whoever
    /// finds the port gets the media.
    Always,
}

/// An address that nothing speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    remote: SocketAddr,
    since: Nanos,
    last: Nanos,
}

/// What a transport has learnt and may yet learn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Learner {
    rule: Learning,
    /// Where the description says that the far side is.
    signalled: Option<SocketAddr>,
    settled: bool,
    candidate: Option<Candidate>,
    /// Where media came from before the description said another place, and when that was.
    former: Option<(SocketAddr, Nanos)>,
    moved: Nanos,
}

impl Learner {
    pub(crate) fn new(rule: Learning, signalled: Option<SocketAddr>) -> Self {
        Self { rule, signalled, ..Self::default() }
    }

    /// Begins anew; media went to `before` so far.
    pub(crate) fn renew(
        &mut self,
        rule: Learning,
        signalled: SocketAddr,
        before: Option<SocketAddr>,
        now: Nanos,
    ) {
        let has_moved = self.signalled != Some(signalled);
        let heard = before.filter(|_| self.settled && has_moved);
        let former = heard.map(|before| (before, now)).or(self.former);
        *self = Self { former, ..Self::new(rule, Some(signalled)) };
    }

    /// Whether an authentic packet moves its transport.
    pub(crate) fn follows(&self) -> bool {
        self.rule != Learning::Off
    }

    /// Whether it has found its far side for good.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Notes a packet from the address in use: whoever was signalled and sends needs nobody to find it.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    /// Whether a plain packet from a new address moves the transport there; `of_media` is the host of the
    /// media whose RTCP it may be.
    pub(crate) fn judge(
        &mut self,
        stranger: SocketAddr,
        of_media: Option<IpAddr>,
        now: Nanos,
    ) -> bool {
        let moves = match self.rule {
            Learning::Off => false,
            Learning::Always => self.moved == Nanos(0) || now.since(self.moved) >= MOVE_INTERVAL.0,
            Learning::Once { .. } if self.settled || self.is_former(stranger, now) => false,
            Learning::Once { hint, grace } => {
                let signalled = self.signalled.map(|signalled| signalled.ip());
                [hint, signalled, of_media].contains(&Some(stranger.ip()))
                    || self.has_waited(stranger, grace, now)
            }
        };
        if moves {
            *self = Self { settled: true, candidate: None, moved: now, ..*self };
        }
        moves
    }

    fn is_former(&self, stranger: SocketAddr, now: Nanos) -> bool {
        self.former.is_some_and(|(former, renewed)| {
            former == stranger && now.since(renewed) < FORMER_REST.0
        })
    }

    fn has_waited(&mut self, stranger: SocketAddr, grace: Nanos, now: Nanos) -> bool {
        let since = match self.candidate {
            Some(known) if known.remote == stranger => known.since,
            Some(other) if now.since(other.last) < CANDIDATE_SILENCE.0 => return false,
            _ => now,
        };
        self.candidate = Some(Candidate { remote: stranger, since, last: now });
        now.since(since) >= grace.0
    }
}

impl Plain for Learning {
    fn write(&self, to: &mut Writer) {
        // `grace` is no time of the clock, which a `Nanos` is written as.
        let once = match self {
            Self::Off => None,
            Self::Once { hint, grace } => Some(Some((*hint, grace.0))),
            Self::Always => Some(None),
        };
        once.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(match Option::<Option<(Option<IpAddr>, u64)>>::read(from)? {
            None => Self::Off,
            Some(Some((hint, grace))) => Self::Once { hint, grace: Nanos(grace) },
            Some(None) => Self::Always,
        })
    }

    fn shape(of: &mut Shape) {
        of.name("Learning");
        Option::<Option<(Option<IpAddr>, u64)>>::shape(of);
    }
}

plain! {
    struct Candidate { remote, since, last }
    struct Learner { rule, signalled, settled, candidate, former, moved }
}
