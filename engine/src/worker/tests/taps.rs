//! Copies of what comes, for whoever records it.

use super::pipes::{Parties, every_report, leg_of, plain, rtp, secure};
use super::*;
use crate::config::TAP_RING;

fn tap(parties: &mut Parties, party: usize, on: bool) {
    parties.apply(Command::Tap { leg: leg_of(party), on }).unwrap();
}

#[test]
fn a_recorded_leg_has_its_packets_copied_decrypted() {
    let ends = (secure(0, false, Suite::AeadAes128Gcm), plain(1, true));
    let mut parties = Parties::pair(ends.0, ends.1);
    for party in [0, 1] {
        tap(&mut parties, party, true);
    }
    let (media, report) = (rtp(0, 0, 0), every_report(1));
    assert_eq!(parties.send(0, 0, &media).len(), 1);
    assert_eq!(parties.send(1, 1, &report).len(), 1);
    let tapped = parties.bare.tapped().unwrap();
    assert_eq!(tapped.transport, TransportId { leg: leg_of(0), index: 0 });
    assert_eq!((tapped.remote, &tapped.bytes[..]), (parties.ends[0][0].remote, &media[..]));
    let tapped = parties.bare.tapped().unwrap();
    assert_eq!(tapped.transport, TransportId { leg: leg_of(1), index: 1 });
    assert_eq!(&tapped.bytes[..], &report[..]);
    tap(&mut parties, 0, false);
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 1)).len(), 1);
    assert!(parties.bare.tapped().is_none());
}

#[test]
fn a_full_ring_costs_the_record_and_not_the_call() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    tap(&mut parties, 0, true);
    let packets = u16::try_from(TAP_RING).unwrap() + 3;
    for number in 0..packets {
        assert_eq!(parties.send(0, 0, &rtp(0, 0, number)).len(), 1);
    }
    assert_eq!(parties.drops(DropReason::TapRingFull), 3);
}

#[test]
fn another_process_records_nothing_by_itself() {
    let mut parties = Parties::pair(plain(0, false), plain(1, false));
    tap(&mut parties, 0, true);
    let exported = parties.bare.export(parties.now);
    parties.bare = bare();
    parties.bare.install(exported, parties.now).unwrap();
    assert_eq!(parties.send(0, 0, &rtp(0, 0, 0)).len(), 1);
    assert!(parties.bare.tapped().is_none());
}
