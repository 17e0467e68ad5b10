//! Contexts that go on where others stopped. The native backend's alone: libsrtp's counts cannot be set.

use super::*;

#[test]
fn a_context_goes_on_where_another_stopped() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        for sequence in [65_534, 65_535, 0] {
            let packet = protect(&mut ours, &rtp(SSRC, sequence, b"x")).unwrap();
            unprotect(&mut theirs, &packet).unwrap();
        }
        let report = protect_rtcp(&mut ours, &rtcp(SSRC, b"")).unwrap();
        unprotect_rtcp(&mut theirs, &report).unwrap();

        let (mut our_heir, mut their_heir) = pair(suite);
        our_heir.restore(ours.indices(), ours.next_rtcp_index()).unwrap();
        their_heir.restore(theirs.indices(), theirs.rtcp_indices()).unwrap();

        assert_eq!(protect(&mut our_heir, &rtp(SSRC, 0, b"y")), Err(DropReason::SrtpReplayed));
        let plain = rtp(SSRC, 1, b"y");
        let packet = protect(&mut our_heir, &plain).unwrap();
        assert_eq!(Ok(&packet), protect(&mut ours, &plain).as_ref());
        assert_eq!(unprotect(&mut their_heir, &packet), Ok(plain));
        assert_eq!(unprotect_rtcp(&mut their_heir, &report), Err(DropReason::SrtpReplayed));
        let next = protect_rtcp(&mut our_heir, &rtcp(SSRC, b"")).unwrap();
        assert!(unprotect_rtcp(&mut their_heir, &next).is_ok());
    }
}

#[test]
fn srtcp_stops_at_the_end_of_the_key_s_life() {
    for suite in every_suite() {
        let (mut ours, mut theirs) = pair(suite);
        ours.restore([], RTCP_KEY_LIFETIME - 1).unwrap();
        let last = protect_rtcp(&mut ours, &rtcp(SSRC, b"last")).unwrap();
        assert!(unprotect_rtcp(&mut theirs, &last).is_ok());
        let beyond = protect_rtcp(&mut ours, &rtcp(SSRC, b"beyond"));
        assert_eq!(beyond, Err(DropReason::SrtpKeyExpired));
    }
}
