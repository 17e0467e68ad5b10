//! Two legs and what became of them.

use std::time::{Duration, Instant};

use causeway_control::api::Media;
use hdrhistogram::Histogram;

use crate::board::histogram;
use crate::bundle::{Bundle, Faults};
use crate::plan::Kind;

/// How long a call may take until media flows both ways.
pub const SET_UP: Duration = Duration::from_secs(30);
/// How long after the last packet was sent packets may still come.
pub const DRAIN: Duration = Duration::from_millis(500);

/// A call on its station.
pub struct Call {
    /// Its number in the run.
    pub number: u32,
    /// What it carries.
    pub kind: Kind,
    /// Those of both legs: the one at an odd place faces the one before it, and the even ones are the first leg's.
    pub bundles: Vec<Bundle>,
    /// Where it is in its life.
    pub state: State,
    /// When the node was asked for it.
    pub asked: Instant,
    /// Microseconds of its packets.
    pub latency: Histogram<u64>,
    /// From when it was asked for to when media had come both ways.
    pub set_up: Option<Duration>,
    /// Why it is over before its time.
    pub failure: Option<String>,
}

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// ICE and DTLS, then packets that find out whether the way is open.
    Connecting,
    /// Packets count.
    Up,
    /// Nothing is sent any more.
    Draining,
    /// Its sockets are being closed.
    Closing,
}

impl Call {
    /// A call that has started to connect.
    pub fn new(number: u32, kind: Kind, bundles: Vec<Bundle>, asked: Instant) -> Self {
        Self {
            number,
            kind,
            bundles,
            state: State::Connecting,
            asked,
            latency: histogram(),
            set_up: None,
            failure: None,
        }
    }

    /// Whether something of each stream has come on both sides.
    pub fn hears_all(&self) -> bool {
        self.bundles.iter().all(Bundle::hears_all)
    }

    /// Packets that have not come although later ones have.
    pub fn missing(&self) -> u64 {
        let incoming = self.bundles.iter().flat_map(|bundle| &bundle.incoming);
        incoming.map(|known| known.arrivals.missing()).sum()
    }

    /// Packets that should not be.
    pub fn wrong(&self) -> u64 {
        self.bundles.iter().map(|bundle| bundle.faults.wrong()).sum()
    }

    /// What became of it.
    pub fn outcome(self) -> Outcome {
        let (pairs, _) = self.bundles.as_chunks();
        let streams = pairs
            .iter()
            .flat_map(|[one, other]| [(one, other), (other, one)])
            .flat_map(|(from, to)| from.flows.iter().zip(&to.incoming))
            .map(|(flow, known)| StreamOutcome {
                media: known.media,
                sent: flow.counted(),
                received: known.arrivals.unique(),
                duplicates: known.arrivals.duplicates(),
                reordered: known.arrivals.reordered(),
                stale: known.arrivals.stale(),
                longest_gap: Duration::from_nanos(known.arrivals.longest_gap()),
            })
            .collect();
        Outcome {
            number: self.number,
            kind: self.kind,
            set_up: self.set_up,
            failure: self.failure,
            streams,
            faults: self.bundles.iter().fold(Faults::default(), |sum, one| sum.plus(one.faults)),
            socket_drops: self.bundles.iter().filter_map(|bundle| bundle.socket_drops).sum(),
            latency: self.latency,
        }
    }
}

/// What became of a call.
#[derive(Debug)]
pub struct Outcome {
    /// Its number in the run.
    pub number: u32,
    /// What it carried.
    pub kind: Kind,
    /// From when it was asked for to when media had come both ways.
    pub set_up: Option<Duration>,
    /// Why it was over before its time.
    pub failure: Option<String>,
    /// Its streams, both ways.
    pub streams: Vec<StreamOutcome>,
    /// What the legs should not have received.
    pub faults: Faults,
    /// Datagrams that the legs' own sockets had no room for.
    pub socket_drops: u64,
    /// Microseconds of its packets.
    pub latency: Histogram<u64>,
}

/// What became of a stream.
#[derive(Debug, Clone)]
pub struct StreamOutcome {
    /// What it was.
    pub media: Media,
    /// Packets sent that count.
    pub sent: u64,
    /// Different ones of them that came.
    pub received: u64,
    /// Packets that came once more.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came too late to be told from repetitions.
    pub stale: u64,
    /// The longest time between two arrivals.
    pub longest_gap: Duration,
}
