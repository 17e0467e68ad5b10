use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::super::note::{CandidateWord, FarCandidate, Heard};
use super::*;
use crate::api::{ClientPair, Latency, PairState, Problem};
use crate::ice::IceError;

const CHROMIUM: &str = include_str!("../../sdp/fixtures/chromium.sdp");
const SERVER: &str = "203.0.113.9:40500";

/// A journal with a clock.
struct Bench {
    journal: Journal,
    now: Instant,
}

impl Bench {
    /// A call behind a 1-to-1 NAT with a leg `a` that has described itself.
    fn new() -> Self {
        let now = Instant::now();
        let mut bench = Self { journal: Journal::new("c", Some("n"), 1_000_000, now), now };
        bench.join("a", "customer");
        bench
    }

    fn join(&mut self, leg: &str, role: &str) {
        self.journal.join(leg, role);
        for note in [
            Note::Joined { offers: true },
            Note::ListensAt(Box::new(face())),
            Note::Described { lite: false, node_is_client: false },
            candidate("198.51.100.7:5000"),
        ] {
            self.journal.leg(leg, note);
        }
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self.journal.observe(self.now);
        self
    }

    fn note(&mut self, notes: impl IntoIterator<Item = Note>) -> &mut Self {
        notes.into_iter().for_each(|note| self.journal.leg("a", note));
        self
    }

    fn why(&self, live: &[LegStats]) -> Why {
        self.journal.why(true, live, &Eyes::Operator)
    }

    #[track_caller]
    fn first(&self, verdict: Verdict) -> String {
        told(&self.why(&[]), verdict)
    }
}

#[track_caller]
fn told(why: &Why, verdict: Verdict) -> String {
    let finding = &why.summary[0];
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    format!("{} {}", finding.what, finding.advice.as_deref().unwrap_or_default())
}

#[track_caller]
fn says(words: &str, parts: &[&str]) {
    for part in parts {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn face() -> Face {
    Face { announced: address(SERVER), bound: address("10.0.0.5:40500"), over: Over::Udp }
}

fn candidate(at: &str) -> Note {
    Note::Candidate(FarCandidate {
        rtcp: false,
        kind: CandidateWord::Host,
        address: Ok(address(at)),
    })
}

fn check(from: &str, outcome: CheckOutcome) -> Note {
    Note::Check { face: Box::new(face()), remote: address(from), outcome }
}

fn path() -> [Note; 2] {
    let remote = address("198.51.100.7:5000");
    let outcome = CheckOutcome::Answered { nominates: true };
    [
        Note::Check { face: Box::new(face()), remote, outcome },
        Note::Nominated { remote, by_worker: false },
    ]
}

fn keys() -> [Note; 4] {
    let agreed = Note::DtlsAgreed("DTLS 1.3, AEAD_AES_128_GCM".into());
    [Note::DtlsHeard, agreed, Note::KeysInstalled, Note::Connected]
}

fn stats(leg: &str, received: u64, lost: u64, sent: u64) -> LegStats {
    let stream =
        |packets, lost| MediaStats { kind: "audio".into(), packets, lost, ..MediaStats::default() };
    LegStats {
        leg: leg.into(),
        role: "r".into(),
        received: vec![stream(received, lost)],
        sent: vec![stream(sent, 0)],
        drops: BTreeMap::new(),
        strangers: 0,
        latency_us: Latency::default(),
    }
}

#[test]
fn a_leg_that_has_just_joined_is_waited_for_and_a_silent_one_is_not() {
    let mut bench = Bench::new();
    bench.first(Verdict::Waiting);
    let words = bench.wait(5).first(Verdict::NoChecks);
    says(
        &words,
        &[
            "arrived at 203.0.113.9:40500 (bound to 10.0.0.5:40500) in 5.0 s",
            "Is the announced address 203.0.113.9 right",
            "let UDP 40500 in",
        ],
    );
}

#[test]
fn leaving_without_a_check_has_the_same_reason_as_waiting_in_vain() {
    let mut bench = Bench::new();
    bench.wait(20).note([Note::LegOver(EndReason::Left)]).wait(500);
    says(&bench.first(Verdict::NoChecks), &["in 20.0 s"]);
    let mut hasty = Bench::new();
    hasty.wait(1).note([Note::LegOver(EndReason::Left)]);
    says(&hasty.first(Verdict::LeftEarly), &["It left 1.0 s after joining"]);
}

#[test]
fn another_address_of_the_api_is_what_should_be_announced() {
    let mut bench = Bench::new();
    bench.note([Note::AskedAt(address("198.51.100.20:1").ip())]).wait(9);
    says(&bench.first(Verdict::NoChecks), &["announce = \"198.51.100.20\""]);
    for same in ["203.0.113.9:1", "127.0.0.1:1", "[::ffff:203.0.113.9]:1"] {
        let mut bench = Bench::new();
        bench.note([Note::AskedAt(address(same).ip())]).wait(9);
        assert!(!bench.first(Verdict::NoChecks).contains("announce = "), "{same}");
    }
}

#[test]
fn where_another_leg_got_through_the_far_sides_network_is_to_blame() {
    let mut bench = Bench::new();
    bench.join("b", "agent");
    bench.wait(9);
    let [check, _] = path();
    bench.journal.leg("b", check);
    let words = bench.first(Verdict::NoChecks);
    says(&words, &["Another leg of this call reached", "lets no UDP out", "[edge]"]);
}

#[test]
fn a_network_that_comes_by_no_way_at_all_is_told_what_browsers_refuse_in_silence() {
    for trusted in [true, false] {
        let mut bench = Bench::new();
        let streams = Face { announced: address("203.0.113.5:443"), over: Over::Tcp, ..face() };
        bench.note([Note::ListensAt(Box::new(streams))]);
        if !trusted {
            bench.note([Note::Untrusted]);
        }
        bench.join("b", "agent");
        bench.wait(9);
        let [check, _] = path();
        bench.journal.leg("b", check);
        let words = bench.first(Verdict::NoChecks);
        says(&words, &["443"]);
        assert_eq!(words.contains("self-signed"), !trusted, "{words}");
    }
}

#[test]
fn the_browsers_side_is_told_beside_the_nodes() {
    let report = |remote: Option<&str>, sent, answered| ClientReport {
        pairs: vec![ClientPair {
            state: PairState::InProgress,
            remote: remote.map(Into::into),
            sent,
            answered,
            ..ClientPair::default()
        }],
        ..ClientReport::default()
    };
    let table = [
        (report(Some(SERVER), 24, 0), "sent 24 checks to 203.0.113.9:40500 and got no answer"),
        (report(Some(SERVER), 0, 0), "sent no check to 203.0.113.9:40500"),
        (report(Some(SERVER), 9, 7), "another host has that address"),
        (ClientReport::default(), "no candidate pair"),
        (report(Some("192.0.2.1:9"), 9, 0), "No connectivity check"),
    ];
    for (report, words) in table {
        let mut bench = Bench::new();
        bench.note([Note::Browser(report)]);
        says(&bench.first(Verdict::NoChecks), &[words]);
    }
}

#[test]
fn each_step_that_is_missing_has_words_of_its_own() {
    use CheckOutcome::{Answered, IntegrityWrong, OtherUfrag};
    let remote = "198.51.100.7:5000";
    let mut bench = Bench::new();
    bench.wait(9).note([check(remote, IntegrityWrong)]);
    says(&bench.first(Verdict::ChecksRefused), &["another password"]);
    let mut bench = Bench::new();
    bench.wait(9).note([check(remote, OtherUfrag)]);
    says(&bench.first(Verdict::ChecksRefused), &["another ice-ufrag", "ICE restart"]);
    let mut bench = Bench::new();
    bench.wait(9).note([check(remote, Answered { nominates: false })]);
    says(&bench.first(Verdict::NotNominated), &["1 checks of the far side were answered"]);
    let mut bench = Bench::new();
    bench.wait(9).note(path());
    says(&bench.first(Verdict::NoDtls), &["sends no DTLS ClientHello", "a=setup"]);
    bench.note([Note::DtlsHeard]);
    says(&bench.first(Verdict::NoDtls), &["comes to no end"]);
    bench.note([Note::DtlsFailed(DtlsError::Alert(70))]);
    says(&bench.first(Verdict::DtlsFailed), &["alert 70", "no DTLS version in common"]);
    let mut bench = Bench::new();
    let (described, shown) = ("sha-256 AA:…".into(), "sha-256 BB:…".into());
    bench.note(path()).note([
        Note::WrongCertificate { described, shown },
        Note::DtlsFailed(DtlsError::FingerprintMismatch),
    ]);
    says(
        &bench.first(Verdict::FingerprintMismatch),
        &["says sha-256 AA:…, it showed sha-256 BB:…"],
    );
    let mut bench = Bench::new();
    bench.note(path()).note(keys()).note([Note::ConsentLost]);
    says(&bench.first(Verdict::Lost), &["nothing came from it for 30 s"]);
}

#[test]
fn media_is_judged_by_what_the_worker_has_counted() {
    let mut bench = Bench::new();
    bench.join("b", "agent");
    bench.note(path()).note(keys());
    let table = [
        (vec![stats("a", 0, 0, 0)], Verdict::NoMedia, "no media came from it yet"),
        (vec![stats("a", 0, 0, 9)], Verdict::OneWay, "gets 9 packets and sends none"),
        (vec![stats("a", 90, 10, 9)], Verdict::Loss, "10 of 100 audio packets"),
        (vec![stats("a", 99, 1, 9)], Verdict::Fine, "99 packets received, 9 sent"),
        (vec![stats("a", 20, 9, 9)], Verdict::Fine, "20 packets received"),
        (vec![stats("a", 99, 0, 0), stats("b", 5, 0, 5)], Verdict::OneWay, "it gets nothing"),
        (vec![stats("a", 99, 0, 0)], Verdict::Fine, "Nobody else sends yet"),
    ];
    for (live, verdict, words) in table {
        says(&told(&bench.why(&live), verdict), &[words]);
    }
    let views = LegStats { received: Vec::new(), ..stats("a", 0, 0, 9) };
    says(&told(&bench.why(&[views]), Verdict::Fine), &["0 packets received, 9 sent"]);
    let publishes = LegStats { sent: Vec::new(), ..stats("a", 99, 0, 0) };
    says(&told(&bench.why(&[publishes, stats("b", 5, 0, 5)]), Verdict::Fine), &["99 packets"]);
    bench.note([Note::Held(true)]);
    says(&told(&bench.why(&[stats("a", 0, 0, 0)]), Verdict::Fine), &["on hold"]);
}

#[test]
fn drops_are_told_with_their_meaning() {
    let mut live = stats("a", 9, 0, 9);
    live.drops.insert("srtp_auth".into(), 3);
    live.strangers = 2;
    let why = Bench::new().why(&[live]);
    let dropped = why.timeline.iter().filter(|moment| moment.topic == Topic::Drops);
    let told: Vec<_> = dropped.map(|moment| moment.text.as_str()).collect();
    let expected = [
        "3 packets dropped, srtp_auth: The packet failed authentication.",
        "2 packets from elsewhere not taken: attempts to inject media",
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_address_that_was_not_signalled_is_explained_even_if_it_is_signalled_later() {
    let mut bench = Bench::new();
    let answered = CheckOutcome::Answered { nominates: false };
    bench.note([check("192.0.2.77:1", answered)]);
    let text = |bench: &Bench| {
        let why = bench.why(&[]);
        why.timeline.iter().find(|m| m.text.starts_with("Check")).unwrap().text.clone()
    };
    says(&text(&bench), &["from 192.0.2.77:1", "peer-reflexive"]);
    bench.note([candidate("192.0.2.77:1")]);
    assert!(!text(&bench).contains("peer-reflexive"));
}

#[test]
fn a_guest_sees_neither_bound_addresses_nor_those_of_others() {
    let mut bench = Bench::new();
    bench.wait(9).note(path()).note([Note::FirstMedia(address("198.51.100.7:5000"))]);
    bench.note([Note::AskedAt(address("198.51.100.20:1").ip())]);
    let seen = |eyes: &Eyes| serde_json::to_string(&bench.journal.why(true, &[], eyes)).unwrap();
    for part in ["10.0.0.5", "198.51.100.7", "198.51.100.20"] {
        assert!(seen(&Eyes::Operator).contains(part));
        assert!(!seen(&Eyes::Guest(vec!["b".into()])).contains(part), "{part}");
    }
    let own = seen(&Eyes::Guest(vec!["a".into()]));
    assert!(own.contains("198.51.100.7") && !own.contains("10.0.0.5"));
}

#[test]
fn a_description_is_told_by_codec_and_candidate_and_without_its_secrets() {
    let mut bench = Bench::new();
    bench.note(Heard::read(None, Some(CHROMIUM), &[]).notes());
    let json = serde_json::to_string(&bench.why(&[])).unwrap();
    says(&json, &["takes opus/48000/2", "declines red/48000", "VP9/90000 (profile-id=0)"]);
    for secret in ["ice-pwd:", "ice-ufrag:"] {
        let value = CHROMIUM.split(secret).nth(1).unwrap().lines().next().unwrap();
        assert!(!json.contains(value), "{secret}");
    }
}

#[test]
fn every_kind_of_candidate_is_told_with_why_it_is_of_no_use() {
    let teller = Teller::new(&Eyes::Operator, None, &[]);
    let table = [
        ("candidate:1 1 udp 1 192.0.2.1 5 typ host", "host 192.0.2.1:5"),
        ("a=candidate:1 1 udp 1 192.0.2.1 5 typ srflx raddr 0.0.0.0 rport 0", "server-reflexive"),
        ("candidate:1 1 udp 1 192.0.2.1 5 typ relay raddr 0.0.0.0 rport 0", "relayed"),
        ("candidate:1 1 udp 1 a-b-c.local 5 typ host", "mDNS name"),
        ("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active", "not used: TCP"),
        ("candidate:", "not used: unknown kind"),
    ];
    for (line, words) in table {
        says(&teller.text(&Note::Candidate(FarCandidate::read(line).unwrap())), &[words]);
    }
    assert!(
        FarCandidate::read("").is_none() && FarCandidate::read("a=end-of-candidates").is_none()
    );
}

#[test]
fn who_was_not_let_in_is_told_without_a_leg() {
    let mut journal = Journal::new("c", None, 0, Instant::now());
    says(
        &told(&journal.why(false, &[], &Eyes::Operator), Verdict::Waiting),
        &["Nobody has joined"],
    );
    let problem = Problem::unprocessable("bad-setup", "this a=setup leads nowhere").at("line 14");
    let heard = Heard::read(Some("pbx"), None, &[]);
    heard.refused(Asked::Join, &problem).for_each(|note| journal.call(note));
    journal.remark(Remark::TokenExpired { role: "agent".into(), expired: 951_827_696 });
    let why = journal.why(false, &[], &Eyes::Operator);
    let words: Vec<_> = why.summary.iter().map(|f| (f.verdict, f.what.as_str())).collect();
    assert_eq!(words[0].0, Verdict::BadDescription);
    says(words[0].1, &["as pbx was refused (422, bad-setup)", "(line 14)"]);
    assert_eq!(words[1].0, Verdict::TokenExpired);
    says(words[1].1, &["role agent", "2000-02-29 12:34:56 UTC"]);
}

#[test]
fn dates_are_right_around_leap_days() {
    let table = [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_399, "2000-02-28 23:59:59 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"),
        (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        (1_735_689_599, "2024-12-31 23:59:59 UTC"),
    ];
    for (unix, text) in table {
        assert_eq!(words::utc(unix), text);
    }
}

#[test]
fn every_error_of_ice_and_dtls_is_a_sentence() {
    let teller = Teller::new(&Eyes::Operator, None, &[]);
    let ice = [IceError::NothingHeard, IceError::NotNominated, IceError::AllPairsFailed];
    let dtls = [DtlsError::Timeout, DtlsError::NoSrtpProfile, DtlsError::Protocol("p".into())];
    let notes = ice.map(Note::IceFailed).into_iter().chain(dtls.map(Note::DtlsFailed));
    for note in notes {
        let text = teller.text(&note);
        assert!(text.ends_with(['.', '?']) && text.len() > 20, "{text}");
    }
}

#[test]
fn a_report_keeps_addresses_only_and_is_bounded() {
    let pair = |remote: &str| ClientPair { remote: Some(remote.into()), ..ClientPair::default() };
    let pairs = vec![pair("203.0.113.9:1"), pair("<script>"), pair("[2001:db8::1]:5")];
    let report = ClientReport { pairs, ..ClientReport::default() };
    let kept: Vec<_> = sanitised(report).unwrap().pairs.into_iter().map(|p| p.remote).collect();
    assert_eq!(kept, [Some("203.0.113.9:1".into()), None, Some("[2001:db8::1]:5".into())]);
    let many = ClientReport { pairs: vec![pair("x"); 17], ..ClientReport::default() };
    assert_eq!(sanitised(many).unwrap_err().at.as_deref(), Some("pairs"));
}
