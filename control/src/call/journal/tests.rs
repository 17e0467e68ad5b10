use std::net::Ipv4Addr;

use super::super::note::Face;
use super::*;
use crate::api::ClientReport;
use crate::ice::{CheckOutcome, Over};

fn journal() -> Journal {
    let mut journal = Journal::new("c", None, 1_000, Instant::now());
    journal.join("a", "customer");
    journal
}

fn check(number: u16) -> Note {
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let face = Face { announced: at(1), bound: at(1), over: Over::Udp };
    let outcome = CheckOutcome::Answered { nominates: false };
    Note::Check { face: Box::new(face), remote: at(number), outcome }
}

fn ports(journal: &Journal) -> Vec<u16> {
    let port = |entry: &Entry| match &entry.note {
        Note::Check { remote, .. } => Some(remote.port()),
        _ => None,
    };
    journal.entries.iter().filter_map(port).collect()
}

fn of_leg<'a>(journal: &'a Journal, leg: &str) -> Vec<&'a Entry> {
    journal.entries.iter().filter(|entry| entry.leg.as_deref() == Some(leg)).collect()
}

#[test]
fn what_happens_again_is_counted_where_it_stands() {
    let mut journal = journal();
    for number in [5, 6, 5, 5] {
        journal.observe(journal.now + Duration::from_millis(250));
        journal.leg("a", check(number));
    }
    assert_eq!(ports(&journal), [5, 6]);
    let first = of_leg(&journal, "a")[0];
    assert_eq!((first.times, first.at, first.last), (3, 250, 1000));
    assert_eq!(journal.left_out, 0);
}

#[test]
fn a_step_is_told_again_when_it_comes_after_another() {
    let mut journal = journal();
    for held in [true, true, false, true] {
        journal.leg("a", Note::Held(held));
    }
    let times: Vec<_> = of_leg(&journal, "a").iter().map(|entry| entry.times).collect();
    assert_eq!(times, [2, 1, 1]);
}

#[test]
fn a_flood_of_one_kind_keeps_its_first_and_its_last_and_leaves_the_others_alone() {
    let mut journal = journal();
    journal.leg("a", Note::Joined { offers: true });
    for number in 1..=1000 {
        journal.leg("a", check(number));
    }
    journal.leg("a", Note::DtlsHeard);
    let ports = ports(&journal);
    assert_eq!(ports.len(), ENTRIES_PER_KIND);
    assert_eq!((ports[0], ports[1], *ports.last().unwrap()), (1, 2, 1000));
    assert!(ports.is_sorted());
    assert_eq!(journal.left_out, 1000 - ENTRIES_PER_KIND as u64);
    let own = of_leg(&journal, "a");
    assert!(matches!(own[0].note, Note::Joined { .. }));
    assert!(matches!(own.last().unwrap().note, Note::DtlsHeard));
}

#[test]
fn a_leg_has_so_many_entries_of_all_kinds_and_no_more() {
    let mut journal = journal();
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for number in 1..=100 {
        for note in [
            check(number),
            Note::Held(number % 2 == 0),
            Note::FirstMedia(address(number)),
            Note::Nominated { remote: address(number), by_worker: true },
            Note::Renegotiated(u64::from(number)),
            Note::OfferWanted(number.to_string()),
            Note::AskedAt(Ipv4Addr::from(u32::from(number)).into()),
            Note::DtlsAgreed(number.to_string()),
        ] {
            journal.leg("a", note);
        }
    }
    assert_eq!(of_leg(&journal, "a").len(), ENTRIES_PER_LEG);
}

#[test]
fn the_leg_that_ended_first_makes_room_for_another() {
    let mut journal = Journal::new("c", None, 0, Instant::now());
    for number in 0..2 * LEGS_KEPT {
        let leg = number.to_string();
        journal.join(&leg, "guest");
        journal.leg(&leg, Note::Joined { offers: true });
        if number > 0 {
            journal.leg(&leg, Note::LegOver(EndReason::Left));
        }
    }
    assert_eq!(journal.legs.len(), LEGS_KEPT);
    assert!(!of_leg(&journal, "0").is_empty(), "it is still there");
    assert!(of_leg(&journal, "1").is_empty());
    journal.leg("1", Note::DtlsHeard);
    assert!(of_leg(&journal, "1").is_empty(), "what is forgotten is not noted of");
}

#[test]
fn a_browser_reports_so_often_and_no_more() {
    let mut journal = journal();
    let mut send = |after| {
        journal.observe(journal.now + after);
        journal.report("a", ClientReport::default())
    };
    send(Duration::ZERO).unwrap();
    assert_eq!(send(REPORT_PAUSE / 2).unwrap_err().status, 429);
    for _ in 1..REPORTS_MAX {
        send(REPORT_PAUSE).unwrap();
    }
    assert_eq!(send(REPORT_PAUSE * 100).unwrap_err().status, 429);
    assert_eq!(journal.report("nobody", ClientReport::default()).unwrap_err().status, 404);
}

#[test]
fn time_does_not_run_backwards() {
    let mut journal = journal();
    let began = journal.now;
    journal.observe(began + ms(500));
    journal.observe(began);
    assert_eq!(journal.age(), ms(500));
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
