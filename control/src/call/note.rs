//! What is noted of a call: typed data without secrets. Words are made of it when somebody reads
//! ([`super::words`]).

use std::net::{IpAddr, SocketAddr};

use causeway_engine::command::Refusal;

use crate::api::{ClientReport, EndReason, LegStats, MediaDirection, Problem};
use crate::dtls::DtlsError;
use crate::ice::{Agent, CheckOutcome, IceError, Ignored, Over, RTCP, RTP};
use crate::sdp::{CANDIDATES_MAX, Decision, Negotiated, decisions};

/// Something that happened in a call. Small, since each call keeps dozens: what is large stands apart.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// The call was created.
    Created,
    /// Two legs are connected.
    Active,
    /// The call is over.
    Over(EndReason),
    /// A door saw something that concerns the call.
    Remark(Remark),
    /// A leg joined.
    Joined {
        /// Whether the far side offered, else the node did.
        offers: bool,
    },
    /// Whoever joined reached the REST API at this address.
    AskedAt(IpAddr),
    /// Checks are expected here.
    ListensAt(Box<Face>),
    /// The node's certificate is one that browsers do not trust, which they say of a page but not of `turns:`.
    Untrusted,
    /// The far side has described itself.
    Described {
        /// Whether it is an ICE lite agent.
        lite: bool,
        /// Whether the node sends the first DTLS flight.
        node_is_client: bool,
    },
    /// A far side without ICE has said where its media goes and how it is protected.
    Signalled(Box<Signal>),
    /// A candidate of the far side.
    Candidate(FarCandidate),
    /// The far side has no more candidates.
    CandidatesEnded,
    /// What became of the codecs of an m-line.
    Codecs(Box<Decision>),
    /// A check of the far side.
    Check {
        /// Where it came in.
        face: Box<Face>,
        /// Where it came from.
        remote: SocketAddr,
        /// What became of it.
        outcome: CheckOutcome,
    },
    /// The far side has settled on a pair.
    Nominated {
        /// The far side of it.
        remote: SocketAddr,
        /// Whether the worker saw it, on a pair that it owned already.
        by_worker: bool,
    },
    /// The far side looks for another path: checks under other credentials are expected.
    IceRestarted,
    /// It found none; the path that there is goes on.
    IceRestartFailed(IceError),
    /// Checks claim the role that the node has.
    RoleConflict,
    /// ICE gave up.
    IceFailed(IceError),
    /// Nothing came for the consent time.
    ConsentLost,
    /// The handshake began.
    DtlsBegan {
        /// Whether the node sends the first flight.
        as_client: bool,
    },
    /// The far side's first DTLS datagram came.
    DtlsHeard,
    /// The handshake is done: version and suite.
    DtlsAgreed(String),
    /// The handshake failed.
    DtlsFailed(DtlsError),
    /// The certificate is another one than the description says: both as `sha-256 AB:CD:…`.
    WrongCertificate {
        /// Of the description.
        described: String,
        /// Of the certificate.
        shown: String,
    },
    /// The far side closed DTLS.
    DtlsClosed,
    /// The worker has the keys.
    KeysInstalled,
    /// Keys and pair are there.
    Connected,
    /// The first media packet that was authentic.
    FirstMedia(SocketAddr),
    /// The leg takes no media, or takes it again.
    Held(bool),
    /// The leg offered again, for this version of the node's answer.
    Renegotiated(u64),
    /// The node offered to it again, with media flowing so from its view.
    Proposed(MediaDirection),
    /// The leg was asked to offer again.
    OfferWanted(String),
    /// A request was refused.
    Refused(Box<Refused>),
    /// The worker could not take something.
    WorkerRefused(Refusal),
    /// What the browser said.
    Browser(ClientReport),
    /// The leg is over.
    LegOver(EndReason),
    /// The leg's counters, the last ones where it is over.
    Counters(Box<LegStats>),
}

/// A socket as both sides of the 1-to-1 NAT see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face {
    /// What the world sends to.
    pub(crate) announced: SocketAddr,
    /// What it is bound to.
    pub(crate) bound: SocketAddr,
    /// What carries its packets.
    pub(crate) over: Over,
}

/// What a far side without ICE has said of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    /// Where the node takes its media.
    pub(crate) at: SocketAddr,
    /// Where the node sends to, if it has said that.
    pub(crate) remote: Option<SocketAddr>,
    /// What protects packets; empty while a handshake is yet to say it.
    pub(crate) security: String,
}

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What was asked for.
    pub(crate) what: Asked,
    /// The role that wanted to join, if it named one.
    pub(crate) role: Option<String>,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The last word of the problem's type, such as `no-common-codec`.
    pub(crate) kind: String,
    /// What was wrong.
    pub(crate) detail: String,
    /// On which line.
    pub(crate) at: Option<String>,
}

/// A request of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To join.
    Join,
    /// To take an answer.
    Answer,
    /// To take a renewed offer.
    Offer,
    /// To take candidates.
    Candidates,
}

/// What a door of the node has seen of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// A join token of this call was shown after its end.
    TokenExpired {
        /// The role that it was for.
        role: String,
        /// Seconds since 1970 when it expired.
        expired: u64,
    },
    /// A join token of this call was shown for another call.
    TokenElsewhere {
        /// The role that it was for.
        role: String,
    },
    /// A leg joined by asking the node at this address.
    AskedAt {
        /// The leg.
        leg: String,
        /// The address.
        host: IpAddr,
    },
}

/// Who reads: whose far addresses are shown, and whether the node's bound addresses are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eyes {
    /// An operator sees everything.
    Operator,
    /// The bearer of a join token sees the addresses of these legs only.
    Guest(Vec<String>),
}

/// A candidate line of the far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FarCandidate {
    /// Whether it is of RTCP with a port of its own.
    pub(crate) rtcp: bool,
    /// How it was found.
    pub(crate) kind: CandidateWord,
    /// Where it is, or why it is of no use.
    pub(crate) address: Result<SocketAddr, Ignored>,
}

/// How a candidate was found (RFC 8445 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CandidateWord {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
    Mdns,
    Tcp,
    Other,
}

impl FarCandidate {
    /// Reads a `candidate:…` line, with or without `a=`; `None` says that there are no more.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let line = line.trim().trim_start_matches("a=");
        if line.is_empty() || line == "end-of-candidates" {
            return None;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().take(CANDIDATE_WORDS).collect();
        let word = |place: usize| words.get(place).copied().unwrap_or_default();
        let kind = match word(7) {
            _ if word(2).eq_ignore_ascii_case("tcp") => CandidateWord::Tcp,
            _ if word(4).ends_with(".local") => CandidateWord::Mdns,
            "host" => CandidateWord::Host,
            "srflx" => CandidateWord::ServerReflexive,
            "prflx" => CandidateWord::PeerReflexive,
            "relay" => CandidateWord::Relayed,
            _ => CandidateWord::Other,
        };
        let rtcp = word(1).parse() == Ok(RTCP);
        let address = Agent::judge(line, if rtcp { RTCP } else { RTP });
        Some(Self { rtcp, kind, address })
    }

    /// As it is for a leg whose RTCP shares the port of RTP (RFC 5761 §5.1.3).
    pub(crate) fn without_rtcp(self) -> Self {
        let address = self.address.and_then(|address| match self.rtcp {
            true => Err(Ignored::OtherComponent),
            false => Ok(address),
        });
        Self { rtcp: false, address, ..self }
    }
}

/// Words of a candidate line up to its kind.
const CANDIDATE_WORDS: usize = 8;

/// What a description says beyond what is negotiated, read before it is taken or refused.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    role: Option<String>,
    codecs: Vec<Decision>,
    candidates: Vec<FarCandidate>,
    ended: bool,
}

impl Heard {
    /// Reads a description beside what the call's other legs negotiated.
    pub(crate) fn read(role: Option<&str>, sdp: Option<&str>, limits: &[&Negotiated]) -> Self {
        let sdp = sdp.unwrap_or_default();
        let lines = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
        let mut candidates: Vec<FarCandidate> = Vec::new();
        for candidate in lines.take(2 * CANDIDATES_MAX).filter_map(FarCandidate::read) {
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        let ended = sdp.lines().any(|line| line.trim() == "a=end-of-candidates");
        let role = role.map(Into::into);
        Self { role, codecs: decisions(sdp, limits), candidates, ended }
    }

    /// Candidates that came by themselves.
    pub(crate) fn trickled(lines: &[String], end: bool) -> Self {
        let candidates = lines.iter().filter_map(|line| FarCandidate::read(line)).collect();
        let ended = end || lines.iter().any(|line| line.trim().is_empty());
        Self { candidates, ended, ..Self::default() }
    }

    /// Everything that it is worth.
    pub(crate) fn notes(self) -> impl Iterator<Item = Note> {
        let candidates = self.candidates.into_iter().map(Note::Candidate);
        let ended = self.ended.then_some(Note::CandidatesEnded);
        self.codecs.into_iter().map(codecs).chain(candidates).chain(ended)
    }

    /// What is left to say of a description that was refused: why, and which codecs it had.
    pub(crate) fn refused(self, what: Asked, problem: &Problem) -> impl Iterator<Item = Note> {
        let mut refused = Refused::of(what, problem);
        refused.role = self.role;
        std::iter::once(Note::Refused(Box::new(refused))).chain(self.codecs.into_iter().map(codecs))
    }
}

fn codecs(decision: Decision) -> Note {
    Note::Codecs(Box::new(decision))
}

impl Refused {
    /// What a problem says.
    pub(crate) fn of(what: Asked, problem: &Problem) -> Self {
        Self {
            what,
            role: None,
            status: problem.status,
            kind: problem.kind.rsplit(':').next().unwrap_or_default().into(),
            detail: problem.detail.clone(),
            at: problem.at.clone(),
        }
    }
}

impl Note {
    /// Whether this is the same as `before`, so that it is counted and not told again. What is a
    /// thing and not a step is the same whenever it comes again.
    pub(crate) fn repeats(&self, before: &Self) -> bool {
        match (self, before) {
            (
                Self::Check { face, remote, outcome },
                Self::Check { face: f, remote: r, outcome: o },
            ) => (face, remote) == (f, r) && outcome == o,
            (Self::Candidate(a), Self::Candidate(b)) => a == b,
            (Self::Codecs(a), Self::Codecs(b)) => a == b,
            (Self::Refused(a), Self::Refused(b)) => a == b,
            (Self::Remark(a), Self::Remark(b)) => a == b,
            (Self::ListensAt(a), Self::ListensAt(b)) => a == b,
            (Self::Signalled(a), Self::Signalled(b)) => a == b,
            (Self::AskedAt(a), Self::AskedAt(b)) => a == b,
            (Self::OfferWanted(a), Self::OfferWanted(b)) => a == b,
            (Self::WorkerRefused(a), Self::WorkerRefused(b)) => a == b,
            (Self::RoleConflict, Self::RoleConflict)
            | (Self::CandidatesEnded, Self::CandidatesEnded)
            | (Self::Untrusted, Self::Untrusted)
            | (Self::DtlsHeard, Self::DtlsHeard) => true,
            _ => false,
        }
    }

    /// Whether the same step directly before makes this one no news.
    pub(crate) fn echoes(&self, last: &Self) -> bool {
        match (self, last) {
            (Self::Nominated { remote: a, .. }, Self::Nominated { remote: b, .. })
            | (Self::FirstMedia(a), Self::FirstMedia(b)) => a == b,
            (Self::Held(a), Self::Held(b)) => a == b,
            _ => false,
        }
    }
}

const _: () = assert!(size_of::<Note>() <= 56);
