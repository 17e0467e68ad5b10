//! The verdict: what is wrong with each leg and what to do about it, from what was noted.
//!
//! A leg comes from one step to the next: described, checked, nominated, shaken hands, media. The
//! step that it stands at says what is missing, whatever it was ended for: a browser that gives up
//! and leaves has the same trouble as one that waits.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::journal::{self, Entry, Journal, LegLine};
use super::note::{Asked, Eyes, Face, Note, Refused, Remark, Signal};
use super::words::{self, Teller};
use crate::api::{
    CallState, ClientReport, EndReason, Finding, Gravity, LegStats, MediaStats, Moment, Topic,
    Verdict, Why,
};
use crate::dtls::DtlsError;
use crate::ice::{CheckOutcome, Over};

/// How long a step may take before its absence is called a fault.
const PATIENCE: Duration = Duration::from_secs(4);
/// Packets of a stream that are needed to speak of loss.
const PACKETS_TO_JUDGE: u64 = 50;
/// One packet lost of so many is heavy loss.
const HEAVY_LOSS: u64 = 20;

impl Journal {
    /// Tells everything. `live` are the counters of legs that are not over.
    pub(crate) fn why(&self, active: bool, live: &[LegStats], eyes: &Eyes) -> Why {
        let stories: Vec<_> = self.legs.iter().map(|line| Story::of(self, line, live)).collect();
        let mut summary: Vec<_> =
            stories.iter().map(|story| self.judge(story, &stories, eyes)).collect();
        summary.extend(self.entries.iter().filter_map(access_finding));
        if summary.is_empty() {
            summary.push(self.nobody());
        }
        let told = self.entries.iter().flat_map(|entry| self.tell(entry, eyes));
        let now = self.age();
        let running = live.iter().flat_map(|stats| self.tell_counters(stats, now));
        Why {
            call: self.call.clone(),
            name: self.name.clone(),
            state: match self.ended {
                Some(_) => CallState::Ended,
                None if active => CallState::Active,
                None => CallState::Waiting,
            },
            ended: self.ended,
            began_ms: self.began_ms,
            summary,
            timeline: told.chain(running).collect(),
            left_out: self.left_out,
        }
    }

    fn nobody(&self) -> Finding {
        let (verdict, what) = match self.ended {
            Some(_) => (Verdict::Nobody, "Nobody joined this call before it ended."),
            None => (Verdict::Waiting, "Nobody has joined this call yet."),
        };
        let advice = "Did the browser load the page and reach POST /v1/calls/{call}/legs? A join \
                      that never arrives here fails before the node: look at the browser's console.";
        finding(None, verdict, what.into(), Some(advice.into()))
    }

    fn tell(&self, entry: &Entry, eyes: &Eyes) -> Vec<Moment> {
        let line = entry.leg.as_ref().and_then(|leg| self.legs.iter().find(|l| l.id == *leg));
        let signalled = line.map_or(&[][..], |line| &line.signalled);
        let teller = Teller::new(eyes, entry.leg.as_deref(), signalled);
        let (topic, gravity) = words::class(&entry.note);
        let moment = |topic, gravity, text| Moment {
            at_ms: self.began_ms + u64::from(entry.at),
            since_ms: entry.at.into(),
            times: entry.times,
            last_ms: entry.last.into(),
            leg: line.map(|line| line.id.to_string()),
            role: line.map(|line| line.role.clone()),
            topic,
            gravity,
            text,
        };
        let text = told_of(entry.rtcp, teller.text(&entry.note));
        let mut moments = vec![moment(topic, gravity, text)];
        if let Note::Counters(stats) = &entry.note {
            let drops = words::drop_words(stats);
            moments.extend(drops.map(|text| moment(Topic::Drops, Gravity::Plain, text)));
            let strangers = words::stranger_words(stats);
            moments.extend(strangers.map(|text| moment(Topic::Drops, Gravity::Plain, text)));
        }
        moments
    }

    fn tell_counters(&self, stats: &LegStats, at: Duration) -> Vec<Moment> {
        let leg = self.legs.iter().find(|line| *line.id == *stats.leg).map(|line| line.id.clone());
        let note = Note::Counters(Box::new(stats.clone()));
        let at = journal::millis(at);
        self.tell(&Entry { at, last: at, times: 1, leg, rtcp: false, note }, &Eyes::Operator)
    }

    fn judge(&self, story: &Story<'_>, all: &[Story<'_>], eyes: &Eyes) -> Finding {
        let id = &*story.line.id;
        let teller = Teller::new(eyes, Some(id), &story.line.signalled);
        let (verdict, what, advice) = story.verdict(&teller, all);
        let leg = Some((id.to_owned(), story.line.role.clone()));
        finding(leg, verdict, what, advice)
    }
}

/// Verdict, what is so, what to do.
type Judgement = (Verdict, String, Option<String>);

/// One leg's notes, gathered.
struct Story<'a> {
    line: &'a LegLine,
    /// How long it has been there, or was.
    lived: Duration,
    over: Option<EndReason>,
    faces: Vec<Face>,
    untrusted: bool,
    asked_at: Option<IpAddr>,
    /// Where its media belongs, where that is signalled.
    signalled: Option<SocketAddr>,
    described: bool,
    answered: u32,
    refused_checks: Vec<CheckOutcome>,
    nominated: bool,
    node_begins: bool,
    dtls_heard: bool,
    agreed: Option<&'a str>,
    dtls_error: Option<&'a DtlsError>,
    certificates: Option<(&'a str, &'a str)>,
    connected: bool,
    consent_lost: bool,
    held: bool,
    refused: Option<&'a Refused>,
    report: Option<&'a ClientReport>,
    stats: Option<&'a LegStats>,
    /// The same leg as its transport for RTCP alone has it, where there is one.
    rtcp: Option<Box<Story<'a>>>,
}

impl<'a> Story<'a> {
    fn of(journal: &'a Journal, line: &'a LegLine, live: &'a [LegStats]) -> Self {
        let own = || journal.entries.iter().filter(|entry| entry.leg.as_ref() == Some(&line.id));
        let mut story = Self::of_transport(journal, line, live, false);
        if own().any(|entry| entry.rtcp) {
            story.rtcp = Some(Box::new(Self::of_transport(journal, line, live, true)));
        }
        story
    }

    /// The leg's story as one of its transports has it. What is noted of no RTCP is noted of the
    /// leg, or of its first transport, whose steps are left out for the other.
    fn of_transport(
        journal: &'a Journal,
        line: &'a LegLine,
        live: &'a [LegStats],
        rtcp: bool,
    ) -> Self {
        let own = || journal.entries.iter().filter(|entry| entry.leg.as_ref() == Some(&line.id));
        let began = own().next().map_or(Duration::ZERO, Entry::age);
        let mut story = Self {
            line,
            lived: journal.age().saturating_sub(began),
            over: None,
            faces: Vec::new(),
            untrusted: false,
            asked_at: None,
            signalled: None,
            described: false,
            answered: 0,
            refused_checks: Vec::new(),
            nominated: false,
            node_begins: false,
            dtls_heard: false,
            agreed: None,
            dtls_error: None,
            certificates: None,
            connected: false,
            consent_lost: false,
            held: false,
            refused: None,
            report: None,
            stats: live.iter().find(|stats| *stats.leg == *line.id),
            rtcp: None,
        };
        for entry in own().filter(|entry| entry.rtcp == rtcp || !is_step(&entry.note)) {
            story.hear(entry, began);
        }
        story
    }

    fn hear(&mut self, entry: &'a Entry, began: Duration) {
        match &entry.note {
            Note::ListensAt(face) => self.faces.push(**face),
            Note::Untrusted => self.untrusted = true,
            Note::AskedAt(host) => self.asked_at = Some(*host),
            Note::Signalled(signal) => {
                let Signal { at, security, .. } = &**signal;
                self.described = true;
                self.agreed =
                    Some(security.as_str()).filter(|known| !known.is_empty()).or(self.agreed);
                self.signalled = self.signalled.or(Some(*at));
            }
            Note::Described { node_is_client, .. } => {
                self.described = true;
                self.node_begins = *node_is_client;
            }
            Note::Check { outcome: CheckOutcome::Answered { .. }, .. } => {
                self.answered += entry.times;
            }
            Note::Check { outcome, .. } => self.refused_checks.push(*outcome),
            Note::Nominated { .. } => self.nominated = true,
            Note::DtlsHeard => self.dtls_heard = true,
            Note::DtlsAgreed(security) => self.agreed = Some(security),
            Note::DtlsFailed(error) => self.dtls_error = Some(error),
            Note::WrongCertificate { described, shown } => {
                self.certificates = Some((described, shown));
            }
            Note::Connected => self.connected = true,
            Note::ConsentLost => self.consent_lost = true,
            Note::Held(held) => self.held = *held,
            Note::Refused(refused) => self.refused = Some(refused),
            Note::Browser(report) => self.report = Some(report),
            Note::Counters(stats) => self.stats = Some(stats),
            Note::LegOver(reason) => {
                self.over = Some(*reason);
                self.lived = entry.age().saturating_sub(began);
            }
            _ => {}
        }
    }

    /// The first thing that is missing: to RTP, then to RTCP, unless that is what has failed.
    fn verdict(&self, teller: &Teller<'_>, all: &[Self]) -> Judgement {
        let own = || self.missing(teller, all);
        let of_rtcp = || {
            let (verdict, what, advice) = self.rtcp.as_ref()?.missing(teller, all)?;
            Some((verdict, told_of(true, what), advice))
        };
        let rtcp_failed = self.rtcp.as_ref().is_some_and(|rtcp| rtcp.has_failed());
        let missing = if rtcp_failed && !self.has_failed() {
            of_rtcp().or_else(own)
        } else {
            own().or_else(of_rtcp)
        };
        if let Some(judgement) = missing {
            return judgement;
        }
        if !self.connected {
            return (
                Verdict::Waiting,
                "Path and handshake are there; the keys are being installed.".into(),
                None,
            );
        }
        self.media(all)
    }

    /// What to look at where nothing comes.
    fn silent(&self) -> String {
        match self.signalled {
            Some(at) => format!(
                "Does it send to {at}, as the node's answer says? Is that the announced address, and \
                 does the firewall or security group let UDP {} in? Does its description say \
                 sendrecv or sendonly?",
                at.port()
            ),
            None => {
                "Is its microphone or camera allowed, open and not muted? Does its description \
                     say sendrecv or sendonly?"
                    .into()
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.dtls_error.is_some() || self.consent_lost
    }

    /// The first step to keys and a path that is missing, or what took them away.
    fn missing(&self, teller: &Teller<'_>, all: &[Self]) -> Option<Judgement> {
        if let Some(wrong) = self.dtls_error {
            return Some(self.dtls_failed(wrong));
        }
        if self.over == Some(EndReason::EngineRefused) {
            let what = "The media worker had no room for the leg.";
            return Some(bad(Verdict::Overloaded, what, "Raise [limits] or start another node."));
        }
        if !self.described {
            return Some(self.undescribed());
        }
        if self.signalled.is_some() {
            return self.agreed.is_none().then(|| self.no_dtls());
        }
        if self.answered == 0 && !self.nominated {
            return Some(if self.refused_checks.is_empty() {
                self.no_checks(teller, all)
            } else {
                self.refused_checks()
            });
        }
        if !self.nominated {
            return Some(self.not_nominated());
        }
        if self.agreed.is_none() {
            return Some(self.no_dtls());
        }
        self.consent_lost.then(|| {
            let what = "It was connected, and then nothing came from it for 30 s: its network went \
                        away, its machine slept, or its page was closed without a word.";
            let advice = "Ask for its network; it can join again with a new token.";
            bad(Verdict::Lost, what, advice)
        })
    }

    /// How long it has waited, or whether it left too soon to tell.
    fn is_early(&self) -> bool {
        self.lived < PATIENCE && self.report.is_none() && self.over != Some(EndReason::JoinTimeout)
    }

    fn early(&self, awaited: &str) -> Judgement {
        match self.over {
            Some(_) => {
                let what = format!(
                    "It left {} after joining, before {awaited}.",
                    words::seconds(millis(self.lived))
                );
                (Verdict::LeftEarly, what, None)
            }
            None => (Verdict::Waiting, format!("It has just joined; not yet: {awaited}."), None),
        }
    }

    fn dtls_failed(&self, error: &DtlsError) -> Judgement {
        if *error != DtlsError::FingerprintMismatch {
            let what = format!(
                "The path works, but the DTLS handshake failed: {}",
                words::dtls_words(error)
            );
            let advice = "Compare the far side's DTLS versions, SRTP profiles and certificate kind \
                          (the node takes ECDSA, and RSA of 2048 bits or more) with the node's.";
            return (Verdict::DtlsFailed, what, Some(advice.into()));
        }
        let prints = self.certificates.map_or_else(String::new, |(described, shown)| {
            format!(": its description says {described}, it showed {shown}")
        });
        let what = format!(
            "The far side's certificate does not match the fingerprint of its description{prints}. No media was let through."
        );
        let advice = "Something between the far side and the node changed the a=fingerprint line or \
                      mixed up two descriptions (signalling server, SDP munging, a retry with a new \
                      connection), or somebody sits in the middle. Send the description unchanged.";
        (Verdict::FingerprintMismatch, what, Some(advice.into()))
    }

    fn undescribed(&self) -> Judgement {
        if let Some(refused) = self.refused {
            return refused_judgement(refused);
        }
        let what = match self.over {
            Some(_) => "The node offered, and the far side never answered.",
            None => "The node has offered and waits for the far side's answer.",
        };
        let advice = "The answer belongs into POST /v1/calls/{call}/legs/{leg}/answer.";
        (Verdict::Waiting, what.into(), Some(advice.into()))
    }

    fn no_checks(&self, teller: &Teller<'_>, all: &[Self]) -> Judgement {
        if self.is_early() {
            return self.early("a connectivity check arrived");
        }
        let places: Vec<_> = self.faces.iter().map(|face| teller.face(*face)).collect();
        let after = words::seconds(millis(self.lived));
        let mut what = format!(
            "No connectivity check arrived at {} in {after}, although the far side has described itself.",
            places.join(" or ")
        );
        if let Some(words) = self.report.and_then(|report| self.browsers_side(report)) {
            what = format!("{what} {words}");
        }
        (Verdict::NoChecks, what, Some(self.no_checks_advice(teller, all)))
    }

    /// What the browser's report adds to the absence of checks.
    fn browsers_side(&self, report: &ClientReport) -> Option<String> {
        let announced = |remote: &Option<String>| {
            let remote = remote.as_deref().unwrap_or_default();
            self.faces.iter().any(|face| face.announced.to_string() == remote)
        };
        let to_node = || report.pairs.iter().filter(|pair| announced(&pair.remote));
        let (sent, answered): (u64, u64) = to_node()
            .map(|pair| (u64::from(pair.sent), u64::from(pair.answered)))
            .fold((0, 0), |(sent, answered), pair| (sent + pair.0, answered + pair.1));
        let place = to_node().find_map(|pair| pair.remote.clone());
        match (place, sent) {
            (None, _) if report.pairs.is_empty() => Some(
                "The browser has no candidate pair: it could not use the node's address at all \
                 (another IP family, or no network)."
                    .into(),
            ),
            (None, _) => None,
            (Some(place), 0) => Some(format!("The browser sent no check to {place}.")),
            (Some(place), _) if answered == 0 => {
                Some(format!("The browser sent {sent} checks to {place} and got no answer."))
            }
            (Some(place), _) => Some(format!(
                "The browser sent {sent} checks to {place} and got {answered} answers, which this node did not give: another host has that address."
            )),
        }
    }

    fn no_checks_advice(&self, teller: &Teller<'_>, all: &[Self]) -> String {
        let Some(face) = self.faces.first() else {
            return "The node has no interface for this call.".into();
        };
        let (announced, port) = (face.announced.ip(), face.announced.port());
        if let Some(host) = self.asked_at.filter(|host| teller.far && self.contradicts(*host)) {
            return format!(
                "It reached the node's API at {host}, but the node announces {announced} for media: \
                 the announced address is probably wrong. Set announce = \"{host}\" for the interface, \
                 and let UDP {port} in at the firewall or security group."
            );
        }
        let reached = |story: &Self| {
            let same = story.faces.iter().any(|other| other.announced == face.announced);
            same && story.answered > 0 && story.line.id != self.line.id
        };
        if all.iter().any(reached) {
            return format!(
                "Another leg of this call reached {}, so the announced address and the node's firewall \
                 are right for it: this far side's network probably lets no UDP out to port {port}, \
                 or it is in a network from which that address cannot be reached. {}",
                face.announced,
                self.other_ways()
            );
        }
        let near = words::is_near(announced);
        let private = if near {
            format!(
                " {announced} can be reached from its own network only: behind a 1-to-1 NAT announce must be the public address."
            )
        } else {
            String::new()
        };
        format!(
            "Is the announced address {announced} right (announce of the interface), and does the \
             firewall or security group let UDP {port} in?{private} `causeway check` prints the rules."
        )
    }

    /// What a network without UDP has left.
    fn other_ways(&self) -> String {
        let streams = self.faces.iter().find(|face| face.over == Over::Tcp);
        match streams.map(|face| face.announced.port()) {
            None => "[edge] with listen on port 443 lets such networks in over TCP and TLS.".into(),
            Some(port) if self.untrusted => format!(
                "Nor did it come over TCP {port}; and over TLS browsers refuse turns: with a \
                 self-signed certificate without a word: set public.tls_cert and public.tls_key."
            ),
            Some(port) => format!("Nor did it come over TCP or TLS on port {port}."),
        }
    }

    /// Whether an API address says that another one should be announced.
    fn contradicts(&self, host: IpAddr) -> bool {
        let is_loopback_only = |ip: IpAddr| ip.to_canonical().is_loopback();
        let announced = |face: &Face| face.announced.ip().to_canonical() == host.to_canonical();
        !is_loopback_only(host) && !self.faces.iter().any(announced)
    }

    fn refused_checks(&self) -> Judgement {
        let generation = self.refused_checks.contains(&CheckOutcome::OtherUfrag);
        let (what, advice) = if generation {
            (
                "Checks arrive, but they name another ice-ufrag than the far side's description: they \
                 are of another ICE generation or connection.",
                "Send the node the description of the connection that makes the checks: after an ICE \
                 restart, the new one.",
            )
        } else {
            (
                "Checks arrive, but they are signed with another password than the node's description \
                 has, so none can be answered.",
                "The far side uses an older or changed answer: hand it the node's description \
                 unchanged, and the one of this leg.",
            )
        };
        bad(Verdict::ChecksRefused, what, advice)
    }

    fn not_nominated(&self) -> Judgement {
        if self.is_early() {
            return self.early("the far side settled on a path");
        }
        let what = format!(
            "{} checks of the far side were answered, but it settled on no path: the node's answers do not reach it, or it waits for something.",
            self.answered
        );
        let advice = "Does the node's firewall or the far side's let UDP out and back in on the same \
                      ports? Is the far side the controlling ICE agent?";
        (Verdict::NotNominated, what, Some(advice.into()))
    }

    fn no_dtls(&self) -> Judgement {
        if self.is_early() {
            return self.early("the DTLS handshake was done");
        }
        let what = match (self.dtls_heard, self.node_begins) {
            (true, _) => "The path works and DTLS has begun, but the handshake comes to no end.",
            _ if self.signalled.is_some() => {
                "No DTLS comes from the address that the far side has named, nor from elsewhere."
            }
            (false, true) => {
                "The path works, and the node sends its ClientHello, but no DTLS comes back."
            }
            (false, false) => "The path works, but the far side sends no DTLS ClientHello.",
        };
        let advice = "Large datagrams may be lost on the way (path MTU), something may let STUN pass \
                      and not DTLS, or both sides wait for the other to begin: compare a=setup of \
                      both descriptions.";
        bad(Verdict::NoDtls, what, advice)
    }

    fn media(&self, all: &[Self]) -> Judgement {
        let security = self.agreed.unwrap_or_default();
        let Some(stats) = self.stats else {
            return (Verdict::Fine, format!("Connected ({security})."), None);
        };
        let (received, sent) = (packets(&stats.received), packets(&stats.sent));
        let others = || all.iter().filter(|other| other.line.id != self.line.id);
        let heard_elsewhere =
            others().any(|other| other.stats.is_some_and(|s| packets(&s.received) > 0));
        if self.held {
            return (
                Verdict::Fine,
                format!("Connected ({security}) and on hold: it takes no media."),
                None,
            );
        }
        // Who views sends nothing, and who publishes gets nothing: there is nothing wrong with that.
        let (views, publishes) = (stats.received.is_empty(), stats.sent.is_empty());
        if received == 0 && !views {
            let one_way = sent > 0;
            let verdict = if one_way { Verdict::OneWay } else { Verdict::NoMedia };
            let way = if one_way {
                format!("it gets {sent} packets and sends none")
            } else {
                "no media came from it yet".into()
            };
            let drops = dropped(stats);
            let what = format!("Connected ({security}), but {way}.{drops}");
            return (verdict, what, Some(self.silent()));
        }
        if let Some(stream) = stats.received.iter().find(|stream| is_lossy(stream)) {
            let all = stream.packets + stream.lost;
            let what = format!(
                "Connected ({security}), but {} of {all} {} packets from it are lost ({} %).",
                stream.lost,
                stream.kind,
                stream.lost * 100 / all.max(1)
            );
            let advice = "Its network, or the way from it to the node, loses packets: another network, \
                          a cable, a lower bit rate.";
            return (Verdict::Loss, what, Some(advice.into()));
        }
        if sent == 0 && heard_elsewhere && !publishes {
            let what = format!(
                "Connected ({security}), but it gets nothing although another leg sends.{}",
                dropped(stats)
            );
            let advice = "See the codec decisions and the dropped packets of the other leg below.";
            return (Verdict::OneWay, what, Some(advice.into()));
        }
        let ended = self
            .over
            .map_or_else(String::new, |reason| format!(" Then {}", words::end_words(reason)));
        let alone = if sent == 0 && !publishes { " Nobody else sends yet." } else { "" };
        let what = format!(
            "Connected ({security}): {received} packets received, {sent} sent.{alone}{ended}"
        );
        (Verdict::Fine, what, None)
    }
}

/// Words that say which of a leg's transports they are about, where it has two.
fn told_of(rtcp: bool, words: String) -> String {
    if rtcp { format!("RTCP: {words}") } else { words }
}

/// Whether a note is about a transport, and not about its leg as a whole.
fn is_step(note: &Note) -> bool {
    matches!(
        note,
        Note::ListensAt(_)
            | Note::Untrusted
            | Note::Check { .. }
            | Note::Nominated { .. }
            | Note::DtlsHeard
            | Note::DtlsAgreed(_)
            | Note::DtlsFailed(_)
            | Note::WrongCertificate { .. }
            | Note::ConsentLost
    )
}

fn dropped(stats: &LegStats) -> String {
    let most = stats.drops.iter().max_by_key(|(_, count)| **count);
    most.map_or_else(String::new, |(reason, count)| {
        format!(" {count} packets from it were dropped as {reason}.")
    })
}

fn packets(streams: &[MediaStats]) -> u64 {
    streams.iter().map(|stream| stream.packets).sum()
}

fn is_lossy(stream: &MediaStats) -> bool {
    let all = stream.packets + stream.lost;
    all >= PACKETS_TO_JUDGE && stream.lost * HEAVY_LOSS >= all
}

fn bad(verdict: Verdict, what: &str, advice: &str) -> Judgement {
    (verdict, what.into(), Some(advice.into()))
}

/// What concerns no leg: who was not let in.
fn access_finding(entry: &Entry) -> Option<Finding> {
    if entry.leg.is_some() {
        return None;
    }
    match &entry.note {
        Note::Refused(refused) => {
            let (verdict, what, advice) = refused_judgement(refused);
            Some(Finding { role: refused.role.clone(), ..finding(None, verdict, what, advice) })
        }
        Note::Remark(remark @ Remark::TokenExpired { role, .. }) => {
            let advice = "Make a new token (POST /v1/calls/{call}/tokens, expires_in up to 86400 s) \
                          and send a new link. If it should still be good, compare the clocks.";
            let what = words::remark_words(remark);
            let found = finding(None, Verdict::TokenExpired, what, Some(advice.into()));
            Some(Finding { role: Some(role.clone()), ..found })
        }
        Note::Remark(remark @ Remark::TokenElsewhere { role, .. }) => {
            let advice = "Each join token opens one call and drives the legs that it added: use the \
                          token of the link that was sent for this call.";
            let what = words::remark_words(remark);
            let found = finding(None, Verdict::TokenElsewhere, what, Some(advice.into()));
            Some(Finding { role: Some(role.clone()), ..found })
        }
        _ => None,
    }
}

fn refused_judgement(refused: &Refused) -> Judgement {
    let what = words::refused_words(refused);
    let (verdict, advice) = match (refused.kind.as_str(), refused.status) {
        ("no-common-codec", _) => (
            Verdict::NoCommonCodec,
            "The codec entries of the timeline say what was offered and what the others have. The node \
             forwards and does not transcode: let both sides offer a codec in common (opus, PCMU, PCMA; \
             VP8, H.264 constrained baseline).",
        ),
        (_, 503) => {
            (Verdict::Overloaded, "The node is at a limit: raise [limits] or start another.")
        }
        (_, 409) if refused.what == Asked::Join => {
            (Verdict::Refused, "The call is over or has as many legs as it can take.")
        }
        (_, 413 | 422) => (
            Verdict::BadDescription,
            "Look at the named line of the description that was sent, and send it as the browser or \
             the SIP stack made it.",
        ),
        _ => (Verdict::Refused, "Look at the request: the words say what is wrong with it."),
    };
    (verdict, what, Some(advice.into()))
}

fn finding(
    leg: Option<(String, String)>,
    verdict: Verdict,
    what: String,
    advice: Option<String>,
) -> Finding {
    let (leg, role) = leg.map_or((None, None), |(leg, role)| (Some(leg), Some(role)));
    Finding { leg, role, verdict, what, advice }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Takes out of a browser's report what cannot be true or told.
///
/// # Errors
/// When it has more pairs than a report may have.
pub fn sanitised(mut report: ClientReport) -> Result<ClientReport, crate::api::Problem> {
    use crate::api::{Problem, REPORT_PAIRS_MAX};
    if report.pairs.len() > REPORT_PAIRS_MAX {
        let words = format!("more than {REPORT_PAIRS_MAX} pairs");
        return Err(Problem::malformed(words).at("pairs"));
    }
    for pair in &mut report.pairs {
        let address = pair.remote.take().and_then(|text| text.parse::<SocketAddr>().ok());
        pair.remote = address.map(|address| address.to_string());
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
