//! The words for what is noted, made when somebody reads.

use std::net::{IpAddr, SocketAddr};

use causeway_engine::error::DropReason;

use super::media;
use super::note::{Asked, CandidateWord, Eyes, Face, FarCandidate, Note, Refused, Remark, Signal};
use crate::api::{
    ClientPair, ClientReport, ClientState, EndReason, Gravity, LegStats, MediaStats, PairState,
    Topic,
};
use crate::dtls::DtlsError;
use crate::ice::{CheckOutcome, Over};
use crate::sdp::{Decision, Declined};

/// Makes words of notes about one leg.
pub(super) struct Teller<'a> {
    /// The addresses that the leg's far side has named itself.
    pub(super) signalled: &'a [SocketAddr],
    /// Whether the far side's addresses may be shown.
    pub(super) far: bool,
    /// Whether the node's bound addresses may be shown.
    pub(super) bound: bool,
}

impl<'a> Teller<'a> {
    /// For a leg, or for the call itself, in front of these eyes.
    pub(super) fn new(eyes: &Eyes, leg: Option<&str>, signalled: &'a [SocketAddr]) -> Self {
        let far = match eyes {
            Eyes::Operator => true,
            Eyes::Guest(own) => leg.is_some_and(|leg| own.iter().any(|id| id == leg)),
        };
        Self { signalled, far, bound: *eyes == Eyes::Operator }
    }

    /// A far address.
    pub(super) fn at(&self, remote: SocketAddr) -> String {
        if self.far { remote.to_string() } else { "its address".into() }
    }

    /// A socket of the node.
    pub(super) fn face(&self, face: Face) -> String {
        let over = if face.over == Over::Tcp { "TCP " } else { "" };
        if face.bound == face.announced || !self.bound {
            return format!("{over}{}", face.announced);
        }
        format!("{over}{} (bound to {})", face.announced, face.bound)
    }

    /// What happened.
    pub(super) fn text(&self, note: &Note) -> String {
        match note {
            Note::Created => "The call was created.".into(),
            Note::Active => "Two legs are connected: the call is active.".into(),
            Note::Over(reason) => format!("The call is over: {}", end_words(*reason)),
            Note::Remark(remark) => remark_words(remark),
            Note::Joined { offers: true } => "Joined with an offer, which the node answered.".into(),
            Note::Joined { offers: false } => "Joined by letting the node offer.".into(),
            Note::AskedAt(host) if self.far => format!("Reached the node's API at {host}."),
            Note::AskedAt(_) => "Reached the node's API by its address.".into(),
            Note::ListensAt(face) => format!("The node expects checks at {}.", self.face(**face)),
            Note::Untrusted => "The node's certificate is self-signed: browsers refuse turns: with \
                                it without a word."
                .into(),
            Note::Signalled(signal) => {
                let Signal { at, remote, security } = &**signal;
                let to = remote.map_or_else(
                    || "it names no address to send to".into(),
                    |remote| format!("the node sends to {}", self.at(remote)),
                );
                let security = match security.as_str() {
                    "" => "DTLS, whose handshake is yet to come",
                    known => known,
                };
                format!("Its media belongs to {at}, and {to}. Protection: {security}.")
            }
            Note::Described { lite, node_is_client } => described_words(*lite, *node_is_client),
            Note::Candidate(candidate) => self.candidate(candidate),
            Note::CandidatesEnded => "The far side has no more candidates.".into(),
            Note::Codecs(decision) => codec_words(decision),
            Note::Check { face, remote, outcome } => self.check(**face, *remote, *outcome),
            Note::Nominated { remote, by_worker } => format!(
                "The far side settled on the path from {}{}.",
                self.at(*remote),
                if *by_worker { ", a pair that the worker answers itself" } else { "; the worker answers its checks from now on" }
            ),
            Note::IceRestarted => "The far side restarted ICE: it looks for another path, and media goes on meanwhile.".into(),
            Note::IceRestartFailed(error) => format!("The ICE restart came to nothing: {error}. The old path goes on."),
            Note::RoleConflict => "A check claimed the ICE role that the node has; the far side was told to take the other.".into(),
            Note::IceFailed(error) => format!("ICE gave up: {error}."),
            Note::ConsentLost => "Nothing came for 30 s on the path that worked: consent is lost.".into(),
            Note::DtlsBegan { as_client: true } => "The DTLS handshake began: the node sends the first flight.".into(),
            Note::DtlsBegan { as_client: false } => "The DTLS handshake began: the node waits for the far side's ClientHello.".into(),
            Note::DtlsHeard => "The far side's first DTLS datagram came.".into(),
            Note::DtlsAgreed(security) => format!("DTLS is done: {security}; the certificate matches the description."),
            Note::DtlsFailed(error) => format!("DTLS failed: {}", dtls_words(error)),
            Note::WrongCertificate { described, shown } => format!(
                "The far side showed a certificate with the fingerprint {shown}, but its description says {described}."
            ),
            Note::DtlsClosed => "The far side closed DTLS (close_notify).".into(),
            Note::KeysInstalled => "The worker has the SRTP keys.".into(),
            Note::Connected => "Connected: path and keys are there.".into(),
            Note::FirstMedia(remote) => format!("The first authentic media packet came from {}.", self.at(*remote)),
            Note::Held(true) => "Put on hold: it takes no media.".into(),
            Note::Held(false) => "Taken off hold.".into(),
            Note::Renegotiated(version) => format!("Offered again and was answered (description {version})."),
            Note::Proposed(direction) => {
                let direction = media::sdp_direction(*direction).name();
                format!("The node offered again, {direction}; the answer is awaited.")
            }
            Note::OfferWanted(because) => format!("Was asked to offer again: {because}."),
            Note::Refused(refused) => refused_words(refused),
            Note::WorkerRefused(refusal) => format!("The media worker refused a command: {refusal}."),
            Note::Browser(report) => self.report(report),
            Note::LegOver(reason) => format!("Left the call: {}", end_words(*reason)),
            Note::Counters(stats) => counter_words(stats),
        }
    }

    fn candidate(&self, candidate: &FarCandidate) -> String {
        let kind = candidate_word(candidate.kind);
        match candidate.address {
            Ok(address) if self.far => format!("Candidate: {kind} {address}."),
            Ok(_) => format!("Candidate: {kind}."),
            Err(why) => format!("Candidate not used: {kind}: {why}."),
        }
    }

    fn check(&self, face: Face, remote: SocketAddr, outcome: CheckOutcome) -> String {
        let reflexive = if self.signalled.contains(&remote) {
            ""
        } else {
            " It did not name that address itself: a NAT made it (peer-reflexive), which is no fault."
        };
        let (from, at) = (self.at(remote), self.face(face));
        match outcome {
            CheckOutcome::Answered { nominates } => {
                let nominating = if nominates { " It nominates this pair." } else { "" };
                format!("Check from {from} at {at} answered.{reflexive}{nominating}")
            }
            CheckOutcome::IntegrityWrong => format!(
                "Check from {from} at {at} refused: its integrity is wrong, it is signed with another ice-pwd than the node's description has."
            ),
            CheckOutcome::OtherUfrag => format!(
                "Check from {from} at {at} refused: it names another ice-ufrag than the far side's description, so it is of an older ICE generation or of somebody else."
            ),
            CheckOutcome::RoleConflict => format!(
                "Check from {from} at {at} claims the node's ICE role; it was told to take the other (487)."
            ),
            CheckOutcome::Refused => {
                format!("Check from {from} at {at} refused: no room for another pair.")
            }
        }
    }

    fn report(&self, report: &ClientReport) -> String {
        let states = format!(
            "The browser says after {}: connection {}, ICE {}.",
            seconds(u64::from(report.after_ms)),
            state_word(report.connection),
            state_word(report.ice)
        );
        if report.pairs.is_empty() {
            return format!("{states} It has no candidate pair to check.");
        }
        let pairs: Vec<_> = report.pairs.iter().map(pair_words).collect();
        format!("{states} {}.", pairs.join("; "))
    }
}

fn pair_words(pair: &ClientPair) -> String {
    let to = pair.remote.as_deref().unwrap_or("an unknown address");
    let checks = if pair.sent == 1 { "check" } else { "checks" };
    let answers = match pair.answered {
        0 => "no answer".into(),
        1 => "1 answer".into(),
        many => format!("{many} answers"),
    };
    let state = match pair.state {
        PairState::Frozen => "frozen",
        PairState::Waiting => "waiting",
        PairState::InProgress => "in progress",
        PairState::Succeeded => "succeeded",
        PairState::Failed => "failed",
        PairState::Unknown => "state unknown",
    };
    format!("it sent {} {checks} to {to} and got {answers} ({state})", pair.sent)
}

fn state_word(state: ClientState) -> &'static str {
    match state {
        ClientState::New => "new",
        ClientState::Checking => "checking",
        ClientState::Connecting => "connecting",
        ClientState::Connected => "connected",
        ClientState::Completed => "completed",
        ClientState::Disconnected => "disconnected",
        ClientState::Failed => "failed",
        ClientState::Closed => "closed",
        ClientState::Unknown => "unknown",
    }
}

fn candidate_word(kind: CandidateWord) -> &'static str {
    match kind {
        CandidateWord::Host => "host",
        CandidateWord::ServerReflexive => "server-reflexive (as a STUN server sees it)",
        CandidateWord::PeerReflexive => "peer-reflexive",
        CandidateWord::Relayed => "relayed (at a TURN server)",
        CandidateWord::Mdns => "mDNS name (the browser hides its address)",
        CandidateWord::Tcp => "TCP",
        CandidateWord::Other => "unknown kind",
    }
}

fn described_words(lite: bool, node_is_client: bool) -> String {
    let lite = if lite { " It is ICE lite: the node makes the checks." } else { "" };
    let first = if node_is_client { "the node" } else { "the far side" };
    format!("The far side has described itself.{lite} In DTLS, {first} begins.")
}

/// What became of the codecs of an m-line.
pub(super) fn codec_words(decision: &Decision) -> String {
    let taken = match decision.taken.as_slice() {
        [] => "nothing taken".into(),
        taken => format!("takes {}", taken.join(", ")),
    };
    let of = |reason: Declined| -> Vec<&str> {
        let declined = decision.declined.iter().filter(|(_, why)| *why == reason);
        declined.map(|(name, _)| name.as_str()).collect()
    };
    let mut text = format!("{}, line {}: {taken}", capital(&decision.kind), decision.line);
    let groups = [
        (Declined::NotForwarded, "which the node does not forward"),
        (Declined::NotInCall, "which another leg of the call does not have"),
    ];
    for (reason, words) in groups {
        let names = of(reason);
        if !names.is_empty() {
            text += &format!("; declines {}, {words}", names.join(", "));
        }
    }
    text + "."
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A handshake's failure with what it probably means.
pub(super) fn dtls_words(error: &DtlsError) -> String {
    let meaning = match error {
        DtlsError::FingerprintMismatch => {
            " Somebody between the two changed the description, or it is of another connection."
        }
        DtlsError::NoSrtpProfile => " Nothing that the far side offers can protect its media.",
        DtlsError::Timeout => {
            " Datagrams of more than 1200 bytes may be lost on the way, or the far side never began."
        }
        DtlsError::Alert(0) => " It said goodbye (close_notify) before it was done.",
        DtlsError::Alert(40) => " handshake_failure: nothing in common to agree on.",
        DtlsError::Alert(42..=46) => {
            " The far side did not like the node's certificate: does it have the node's description unchanged?"
        }
        DtlsError::Alert(70) => " protocol_version: no DTLS version in common.",
        DtlsError::Alert(_) | DtlsError::Version(_) | DtlsError::Protocol(_) => "",
    };
    format!("{error}.{meaning}")
}

/// Why something is over.
pub(super) fn end_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Left => "it left or was deleted.",
        EndReason::CallEnded => "the call was deleted, or its last other leg left.",
        EndReason::FingerprintMismatch => "the certificate was not the one of the description.",
        EndReason::DtlsFailed => "the DTLS handshake failed.",
        EndReason::JoinTimeout => "it was not connected in time.",
        EndReason::ConsentLost => "nothing came from it for 30 s.",
        EndReason::Closed => "the far side closed the connection.",
        EndReason::EngineRefused => "the media worker had no room for it.",
        EndReason::MediaTimeout => "no packet came from it for too long.",
        EndReason::FinalTimeout => "it lasted as long as a call may.",
    }
}

/// What a door has seen.
pub(super) fn remark_words(remark: &Remark) -> String {
    match remark {
        Remark::TokenExpired { role, expired } => format!(
            "A join token for the role {role} was shown that is expired since {}; the request was refused (401).",
            utc(*expired)
        ),
        Remark::TokenElsewhere { role } => format!(
            "The join token of this call for the role {role} was used for another call; the request was refused (403)."
        ),
        Remark::AskedAt { host, .. } => format!("A leg reached the node's API at {host}."),
    }
}

/// A refused request.
pub(super) fn refused_words(refused: &Refused) -> String {
    let what = match refused.what {
        Asked::Join => "A request to join",
        Asked::Answer => "The answer to the node's offer",
        Asked::Offer => "A renewed offer",
        Asked::Candidates => "A batch of candidates",
    };
    let role = refused.role.as_deref().map(|role| format!(" as {role}")).unwrap_or_default();
    let at = refused.at.as_deref().map(|at| format!(" ({at})")).unwrap_or_default();
    format!(
        "{what}{role} was refused ({}, {}): {}{at}.",
        refused.status, refused.kind, refused.detail
    )
}

fn counter_words(stats: &LegStats) -> String {
    let streams = |streams: &[MediaStats]| {
        let heard = streams.iter().filter(|stream| stream.packets > 0);
        let words: Vec<_> = heard.map(stream_words).collect();
        if words.is_empty() { "nothing".into() } else { words.join(", ") }
    };
    format!("Received {}; sent {}.", streams(&stats.received), streams(&stats.sent))
}

fn stream_words(stream: &MediaStats) -> String {
    let lost = match stream.lost {
        0 => String::new(),
        lost => format!(", {lost} lost"),
    };
    format!("{} {} packets{lost}", stream.packets, stream.kind)
}

/// Tells of packets from elsewhere, if any came.
pub(super) fn stranger_words(stats: &LegStats) -> Option<String> {
    let count = Some(stats.strangers).filter(|count| *count > 0)?;
    let packets = if count == 1 { "packet" } else { "packets" };
    Some(format!("{count} {packets} from elsewhere not taken: attempts to inject media"))
}

/// Each reason that packets of a leg were dropped for, with its meaning.
pub(super) fn drop_words(stats: &LegStats) -> impl Iterator<Item = String> {
    DropReason::ALL.iter().filter_map(|reason| {
        let count = *stats.drops.get(reason.label())?;
        let packets = if count == 1 { "packet" } else { "packets" };
        let meaning = reason.meaning().trim();
        Some(format!("{count} {packets} dropped, {}: {meaning}", reason.label()))
    })
}

/// What a note is about and whether it is good or bad.
pub(super) fn class(note: &Note) -> (Topic, Gravity) {
    use Gravity::{Bad, Good, Plain};
    match note {
        Note::Created | Note::Joined { .. } | Note::AskedAt(_) => (Topic::Life, Plain),
        Note::Active | Note::Connected => (Topic::Life, Good),
        Note::Over(reason) | Note::LegOver(reason) => (Topic::Life, end_gravity(*reason)),
        Note::Remark(_) => (Topic::Access, Bad),
        Note::Described { .. }
        | Note::Signalled(_)
        | Note::Held(_)
        | Note::Renegotiated(_)
        | Note::Proposed(_)
        | Note::OfferWanted(_) => (Topic::Description, Plain),
        Note::Refused(_) => (Topic::Description, Bad),
        Note::Codecs(decision) => (Topic::Codec, if decision.has_media() { Plain } else { Bad }),
        Note::ListensAt(_)
        | Note::Untrusted
        | Note::Candidate(_)
        | Note::CandidatesEnded
        | Note::RoleConflict
        | Note::IceRestarted => (Topic::Ice, Plain),
        Note::IceRestartFailed(_) => (Topic::Ice, Bad),
        Note::Check { outcome, .. } => match outcome {
            CheckOutcome::Answered { .. } => (Topic::Ice, Good),
            CheckOutcome::RoleConflict => (Topic::Ice, Plain),
            _ => (Topic::Ice, Bad),
        },
        Note::Nominated { .. } => (Topic::Ice, Good),
        Note::IceFailed(_) | Note::ConsentLost => (Topic::Ice, Bad),
        Note::DtlsBegan { .. } | Note::DtlsHeard | Note::DtlsClosed => (Topic::Dtls, Plain),
        Note::DtlsAgreed(_) | Note::KeysInstalled => (Topic::Dtls, Good),
        Note::DtlsFailed(_) | Note::WrongCertificate { .. } => (Topic::Dtls, Bad),
        Note::FirstMedia(_) => (Topic::Media, Good),
        Note::Counters(_) => (Topic::Media, Plain),
        Note::WorkerRefused(_) => (Topic::Life, Bad),
        Note::Browser(report) => {
            let worked = matches!(report.connection, ClientState::Connected);
            (Topic::Browser, if worked { Plain } else { Bad })
        }
    }
}

fn end_gravity(reason: EndReason) -> Gravity {
    match reason {
        EndReason::Left | EndReason::CallEnded | EndReason::Closed => Gravity::Plain,
        _ => Gravity::Bad,
    }
}

/// `12.3 s`, `0.4 s`.
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// Whether only peers of the same network can reach an address.
pub(super) fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Seconds since 1970 as a date and time of day (proleptic Gregorian, UTC).
pub(super) fn utc(unix: u64) -> String {
    let (day, second) = (unix / 86_400, unix % 86_400);
    // Days from 0000-03-01, so that the day that comes and goes is the last one of a year.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}
