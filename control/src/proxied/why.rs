//! What is wrong with a call, from what is known of it: for people, m-line by m-line.
//!
//! The first thing that is missing is the verdict: media of the party, then media for it. What it is judged by
//! stands below, whether it is good or bad.

use std::net::SocketAddr;
use std::time::Duration;

use crate::api::{ProxiedFinding, ProxiedWhy, Verdict};
use crate::ng::{CallStats, MediaStats, StreamStats, TagStats};

/// How long media may take after an offer or answer before its absence is called a fault.
const PATIENCE: Duration = Duration::from_secs(4);

/// Tells of the call of this id.
pub fn why(call: &str, stats: &CallStats) -> ProxiedWhy {
    let since_signal = stats.seen.saturating_sub(stats.last_signal);
    let places = stats.tags.iter().flat_map(|tag| tag.medias.iter().map(move |media| (tag, media)));
    let finding = |(tag, media)| Place { call: stats, tag, media, since_signal }.finding();
    ProxiedWhy {
        call: call.to_owned(),
        answered: stats.answered,
        age: stats.seen.saturating_sub(stats.created).as_secs(),
        since_signal: since_signal.as_secs(),
        findings: places.map(finding).collect(),
    }
}

/// An m-line of a party.
struct Place<'a> {
    call: &'a CallStats,
    tag: &'a TagStats,
    media: &'a MediaStats,
    since_signal: Duration,
}

/// Verdict, what is so, what to do.
type Judgement = (Verdict, String, Option<String>);

impl Place<'_> {
    fn finding(&self) -> ProxiedFinding {
        let (verdict, what, advice) = self.judge();
        ProxiedFinding {
            tag: self.tag.tag.clone(),
            index: self.media.index,
            kind: self.media.kind.clone(),
            verdict,
            what,
            advice,
            facts: self.facts(),
            strangers: self.media.streams.iter().map(|stream| stream.sent.errors).sum(),
        }
    }

    fn judge(&self) -> Judgement {
        let (name, age) = (self.name(), self.since_signal.as_secs());
        let Some(rtp) = self.rtp() else {
            return (Verdict::Waiting, format!("{name} has no media here: it was rejected."), None);
        };
        if !self.call.answered {
            let what = format!("Nobody has answered; the last request came {age} s ago.");
            return (Verdict::Waiting, what, None);
        }
        let (sends, hears) = (rtp.sent.packets > 0, rtp.forwarded.packets > 0);
        if self.has("recv") && !sends {
            return self.silent(rtp);
        }
        if self.has("send") && !hears && self.others_send() {
            let what = format!("{name} is sent nothing, though others send.");
            let advice = "Is it the same m-line, and a codec that both sides named? See the drops of the other side.";
            return (Verdict::OneWay, what, Some(advice.into()));
        }
        (Verdict::Fine, format!("{name} sends and hears as was agreed."), None)
    }

    /// Nothing has come from a party that is to send.
    fn silent(&self, rtp: &StreamStats) -> Judgement {
        let (name, age) = (self.name(), self.since_signal.as_secs());
        let what = format!("Nothing has come from {name} since the answer, {age} s ago.");
        if self.since_signal < PATIENCE {
            return (Verdict::Waiting, what, None);
        }
        if self.media.flags.contains(&"DTLS-SRTP") && rtp.crypto_suite.is_none() {
            let advice = "Its DTLS handshake has not come to an end: does it answer at the node's address, and is \
                          its certificate the one of its description?";
            return (Verdict::NoDtls, what, Some(advice.into()));
        }
        let at = rtp.local.map(|at| at.to_string()).unwrap_or_default();
        let advice = if rtp.sent.errors > 0 {
            format!(
                "{} came for it from somewhere else and were not taken. If they are its own, its description names \
                 an address that it does not send from: the node learns where to only where the request lets it \
                 (endpoint-learning, or no `strict source`).",
                packets(rtp.sent.errors)
            )
        } else {
            format!(
                "Does it send to {at}, as the description says that the node wrote for it? Is that the announced \
                 address, and does the firewall or security group let UDP {} in?",
                rtp.local.map_or(0, |at| at.port())
            )
        };
        (Verdict::NoMedia, what, Some(advice))
    }

    fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if let Some(protocol) = &self.media.protocol {
            let flags = self.media.flags.join(", ");
            facts.push(format!("described as {} {protocol} ({flags})", self.media.kind));
        }
        let is_muxed = self.media.flags.contains(&"rtcp-mux");
        for stream in self.media.streams.iter().filter(|stream| stream.is_rtp || !is_muxed) {
            self.tell(stream, &mut facts);
        }
        facts.extend(self.media.drops.iter().map(|drop| {
            format!("{} dropped, {}: {}", packets(drop.count), drop.reason, drop.meaning)
        }));
        facts
    }

    fn tell(&self, stream: &StreamStats, facts: &mut Vec<String>) {
        let kind = if stream.is_rtp { "RTP" } else { "RTCP" };
        let mut fact = |text: String| facts.push(format!("{kind}: {text}"));
        if let Some(local) = stream.local {
            fact(format!("the party is to send to {local}"));
        }
        match (stream.advertised, stream.endpoint) {
            (None, None) => {}
            (Some(said), None) => fact(format!("its description says {said}")),
            (None, Some(seen)) => fact(format!("it was seen at {seen}")),
            (Some(said), Some(seen)) if said == seen => {
                fact(format!("its description says {said}, and the node sends there"));
            }
            (Some(said), Some(seen)) => fact(learnt(said, seen)),
        }
        if let Some(suite) = stream.crypto_suite {
            fact(format!("encrypted with {suite}"));
        }
        match stream.sent.packets {
            0 => fact("nothing has come from it".into()),
            count => {
                let ago = self.call.seen.saturating_sub(stream.last_packet).as_secs();
                fact(format!("{} came from it, the last {ago} s ago", packets(count)));
            }
        }
        fact(format!("{} went to it", packets(stream.forwarded.packets)));
        if stream.sent.errors > 0 {
            let count = packets(stream.sent.errors);
            fact(format!(
                "{count} came from somewhere else and were not taken: attempts to inject"
            ));
        }
    }

    fn rtp(&self) -> Option<&StreamStats> {
        self.media.streams.iter().find(|stream| stream.is_rtp)
    }

    fn others_send(&self) -> bool {
        let others = self.call.tags.iter().filter(|tag| tag.tag != self.tag.tag);
        let mut medias = others.flat_map(|tag| &tag.medias).filter(|media| self.is_kin(media));
        medias.any(|media| {
            media.streams.iter().any(|stream| stream.is_rtp && stream.sent.packets > 0)
        })
    }

    fn is_kin(&self, media: &MediaStats) -> bool {
        media.index == self.media.index && media.kind == self.media.kind
    }

    fn has(&self, flag: &str) -> bool {
        self.media.flags.contains(&flag)
    }

    fn name(&self) -> &str {
        if self.tag.tag.is_empty() { "the party that has not answered" } else { &self.tag.tag }
    }
}

fn learnt(said: SocketAddr, seen: SocketAddr) -> String {
    format!("its description says {said}, but it was seen at {seen}, and the node sends there")
}

fn packets(count: u64) -> String {
    if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ng::{Counters, Dropped};

    const SEEN: Duration = Duration::from_secs(1_000);

    /// What came, what went, and what came from elsewhere.
    fn party(tag: &str, came: u64, went: u64, strangers: u64) -> TagStats {
        let stream = StreamStats {
            is_rtp: true,
            local: "192.0.2.1:30000".parse().ok(),
            advertised: "10.0.0.5:4000".parse().ok(),
            endpoint: "10.0.0.5:4000".parse().ok(),
            last_packet: SEEN - Duration::from_secs(3),
            sent: Counters { packets: came, bytes: 172 * came, errors: strangers },
            forwarded: Counters { packets: went, ..Counters::default() },
            ..StreamStats::default()
        };
        let media = MediaStats {
            index: 1,
            kind: "audio".into(),
            protocol: Some("RTP/AVP".into()),
            streams: vec![stream],
            flags: vec!["send", "recv"],
            ..MediaStats::default()
        };
        TagStats { tag: tag.into(), medias: vec![media], ..TagStats::default() }
    }

    fn of(tags: Vec<TagStats>, since_signal: u64) -> ProxiedWhy {
        let last_signal = SEEN - Duration::from_secs(since_signal);
        let created = SEEN - Duration::from_secs(60);
        let stats = CallStats {
            created,
            last_signal,
            seen: SEEN,
            answered: true,
            tags,
            ..CallStats::default()
        };
        why("c", &stats)
    }

    fn verdicts(why: &ProxiedWhy) -> Vec<Verdict> {
        why.findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn two_that_hear_each_other_are_fine_and_told_with_their_numbers() {
        let told = of(vec![party("a", 10, 12, 0), party("b", 12, 10, 0)], 20);
        assert_eq!(verdicts(&told), [Verdict::Fine; 2]);
        assert_eq!((told.age, told.since_signal), (60, 20));
        let facts = told.findings[0].facts.join("\n");
        for part in [
            "described as audio RTP/AVP (send, recv)",
            "RTP: the party is to send to 192.0.2.1:30000",
            "RTP: its description says 10.0.0.5:4000, and the node sends there",
            "RTP: 10 packets came from it, the last 3 s ago",
            "RTP: 12 packets went to it",
        ] {
            assert!(facts.contains(part), "`{part}` is not in\n{facts}");
        }
    }

    #[test]
    fn who_sends_nothing_is_named_once_there_was_time() {
        let parties = || vec![party("a", 10, 0, 0), party("b", 0, 10, 0)];
        let told = of(parties(), 20);
        assert_eq!(verdicts(&told), [Verdict::Fine, Verdict::NoMedia]);
        let silent = &told.findings[1];
        assert_eq!(silent.what, "Nothing has come from b since the answer, 20 s ago.");
        assert!(silent.advice.as_deref().unwrap().contains("UDP 30000"), "{silent:?}");
        assert_eq!(verdicts(&of(parties(), 2)), [Verdict::Fine, Verdict::Waiting]);
    }

    #[test]
    fn strangers_are_counted_and_are_the_first_guess_where_nothing_else_came() {
        let told = of(vec![party("a", 10, 10, 7), party("b", 0, 10, 9)], 20);
        assert_eq!((told.findings[0].verdict, told.findings[0].strangers), (Verdict::Fine, 7));
        assert!(told.findings[0].facts.iter().any(|fact| fact.contains("7 packets came from")));
        let advice = told.findings[1].advice.as_deref().unwrap();
        assert!(advice.contains("9 packets came for it from somewhere else"), "{advice}");
    }

    #[test]
    fn media_that_does_not_get_through_is_one_way_and_shows_what_dropped_it() {
        let (mut sender, receiver) = (party("a", 10, 0, 0), party("b", 10, 0, 0));
        let dropped = Dropped { reason: "srtp_auth", meaning: "The tag is wrong.", count: 1 };
        sender.medias[0].drops = vec![dropped];
        sender.medias[0].streams[0].endpoint = "198.51.100.9:5000".parse().ok();
        let told = of(vec![sender, receiver], 20);
        assert_eq!(verdicts(&told), [Verdict::OneWay; 2]);
        let facts = told.findings[0].facts.join("\n");
        assert!(facts.contains("1 packet dropped, srtp_auth: The tag is wrong."), "{facts}");
        assert!(facts.contains("but it was seen at 198.51.100.9:5000"), "{facts}");
    }

    #[test]
    fn on_hold_nothing_is_missed_and_without_an_answer_it_is_awaited() {
        let mut held = party("a", 0, 0, 0);
        held.medias[0].flags = vec!["send"];
        assert_eq!(verdicts(&of(vec![held.clone()], 20)), [Verdict::Fine]);
        let stats = CallStats { tags: vec![party("a", 0, 0, 0)], ..CallStats::default() };
        assert_eq!(verdicts(&why("c", &stats)), [Verdict::Waiting]);
        held.medias[0].streams.clear();
        assert!(of(vec![held], 20).findings[0].what.contains("rejected"));
    }

    #[test]
    fn a_handshake_that_has_not_ended_is_told_from_media_that_does_not_come() {
        let mut party = party("a", 0, 0, 0);
        party.medias[0].flags.push("DTLS-SRTP");
        assert_eq!(verdicts(&of(vec![party], 20)), [Verdict::NoDtls]);
    }
}
