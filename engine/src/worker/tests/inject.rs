//! Packets that control has made.

use super::pipes::{Parties, every_report, leg_of, plain, rtp, secure};
use super::*;
use crate::command::InjectKind;
use crate::config::PAYLOAD_MAX;

/// What [`Command::Inject`] says; the bytes must go home whatever it is.
fn inject(
    parties: &mut Parties,
    (party, index): (usize, u8),
    kind: InjectKind,
    bytes: &[u8],
) -> Result<(), Refusal> {
    let transport = TransportId { leg: leg_of(party), index };
    let (outcome, returned) =
        parties.bare.apply(Command::Inject { transport, kind, bytes: bytes.into() });
    assert!(matches!(returned, Returned::Datagram(home) if *home == *bytes));
    outcome
}

#[test]
fn an_injected_packet_leaves_protected_with_the_keys_of_its_transport() {
    let ends = [plain(0, true), secure(1, true, Suite::AeadAes128Gcm)];
    let mut parties = Parties::new(ends);
    for party in [0, 1] {
        let (media, report) = (rtp(7, 101, 1), every_report(7));
        inject(&mut parties, (party, 0), InjectKind::Media, &media).unwrap();
        inject(&mut parties, (party, 1), InjectKind::Reports, &report).unwrap();
        assert_eq!(parties.arrivals(), [(party, 0, media), (party, 1, report)]);
        assert_eq!(parties.transport(party, 0).packets_out, 1);
    }
}

#[test]
fn it_may_be_as_long_as_a_frame_holds() {
    let suite = Suite::AesCm128HmacSha1_80;
    let mut parties = Parties::new([secure(0, false, suite), plain(1, false)]);
    let mut longest = rtp(7, 0, 1);
    longest.resize(PAYLOAD_MAX, 0);
    inject(&mut parties, (0, 0), InjectKind::Media, &longest).unwrap();
    assert_eq!(sent(&mut parties.bare)[0].bytes.len(), PAYLOAD_MAX + 10);
    longest.push(0);
    assert_eq!(inject(&mut parties, (0, 0), InjectKind::Media, &longest), Err(Refusal::Misuse));
}

#[test]
fn what_is_no_packet_or_has_no_transport_is_refused() {
    let mut parties = Parties::new([plain(0, false), plain(1, false)]);
    let report = every_report(1);
    let broken = [
        (InjectKind::Media, &[0x80, 0, 0][..]),
        (InjectKind::Media, &[]),
        (InjectKind::Reports, &report[..report.len() - 1]),
        (InjectKind::Reports, &[]),
    ];
    for (kind, bytes) in broken {
        assert_eq!(inject(&mut parties, (0, 0), kind, bytes), Err(Refusal::Misuse), "{kind:?}");
    }
    assert_eq!(inject(&mut parties, (0, 1), InjectKind::Reports, &report), Err(Refusal::Gone));
    assert_eq!(inject(&mut parties, (5, 0), InjectKind::Reports, &report), Err(Refusal::Gone));
    assert!(parties.arrivals().is_empty());
}

#[test]
fn before_the_keys_it_is_a_counted_drop() {
    let suite = Suite::AesCm128HmacSha1_80;
    let mut parties = Parties::new([secure(0, false, suite), plain(1, false)]);
    parties.bare.worker.tables.leg_mut(leg_of(0)).unwrap().transports[0].srtp = None;
    inject(&mut parties, (0, 0), InjectKind::Media, &rtp(7, 0, 1)).unwrap();
    inject(&mut parties, (0, 0), InjectKind::Reports, &every_report(7)).unwrap();
    assert!(parties.arrivals().is_empty());
    assert_eq!(parties.drops(DropReason::SinkNotReady), 2);
}
