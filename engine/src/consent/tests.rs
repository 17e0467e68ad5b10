use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::stun::MESSAGE_MAX;

const TIE_BREAKER: u64 = 1000;
const START: Nanos = Nanos(1_000_000_000_000);
const SECOND: u64 = 1_000_000_000;

fn credentials(ufrag: &str, password: &str) -> Credentials {
    Credentials { ufrag: ufrag.into(), password: Zeroizing::new(password.into()) }
}

fn consent(full: bool, controlling: bool) -> Consent {
    let spec = IceSpec {
        local: credentials("ours", "our password, long enough"),
        remote: Some(credentials("theirs", "their password, long enough")),
        send_checks: full,
        controlling,
        component: 1,
        generation: 0,
    };
    Consent::new(&spec, TIE_BREAKER)
}

fn our_key() -> IntegrityKey {
    IntegrityKey::new("our password, long enough")
}

fn their_key() -> IntegrityKey {
    IntegrityKey::new("their password, long enough")
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn seconds(count: u64) -> Nanos {
    START.plus(count * SECOND)
}

fn handle(
    consent: &mut Consent,
    bytes: &[u8],
    remote: SocketAddr,
    now: Nanos,
) -> (Result<Handled, DropReason>, Vec<u8>) {
    let mut out = [0; MESSAGE_MAX];
    let message = Message::parse(bytes).unwrap();
    let handled = consent.handle(&message, remote, now, &mut out);
    let reply = handled.ok().and_then(|handled| handled.reply).unwrap_or(0);
    (handled, out[..reply].to_vec())
}

/// A check as the far side writes it.
fn check(role: Role, use_candidate: bool) -> Vec<u8> {
    check_from("ours", "theirs", &our_key(), role, use_candidate)
}

fn check_from(
    to: &str,
    from: &str,
    key: &IntegrityKey,
    role: Role,
    use_candidate: bool,
) -> Vec<u8> {
    let check = Check {
        transaction: TransactionId([9; 12]),
        remote_ufrag: to,
        local_ufrag: from,
        priority: 1,
        role,
        use_candidate,
        key,
    };
    let mut out = vec![0; MESSAGE_MAX];
    let len = stun::write_binding_request(&mut out, &check).unwrap();
    out.truncate(len);
    out
}

/// Puts a message together byte by byte, signed where there is a key.
fn message(kind: u16, attributes: &[(u16, &[u8])], key: Option<&IntegrityKey>) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(stun::MAGIC_COOKIE);
    bytes.extend([9; 12]);
    for (kind, value) in attributes {
        append(&mut bytes, *kind, value);
    }
    if let Some(key) = key {
        append(&mut bytes, 0x0008, &[0; 20]);
        let covered = bytes.len() - 24;
        let tag = key.tag(&[&bytes[..covered]]);
        bytes[covered + 4..].copy_from_slice(&tag);
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let length = (bytes.len() - 20) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

fn renomination(value: u32) -> Vec<u8> {
    let attributes: [(u16, &[u8]); 3] =
        [(0x0006, b"ours:theirs"), (0x802a, &[0; 8]), (0xc001, &value.to_be_bytes())];
    message(0x0001, &attributes, Some(&our_key()))
}

fn success(transaction: TransactionId, key: &IntegrityKey) -> Vec<u8> {
    let mut out = vec![0; MESSAGE_MAX];
    let len = stun::write_binding_success(&mut out, transaction, address(1), Some(key)).unwrap();
    out.truncate(len);
    out
}

fn refusal(transaction: TransactionId, code: ErrorCode, key: Option<&IntegrityKey>) -> Vec<u8> {
    let mut out = vec![0; MESSAGE_MAX];
    let unknown = arrayvec::ArrayVec::new();
    let len = stun::write_binding_error(&mut out, transaction, code, &unknown, key).unwrap();
    out.truncate(len);
    out
}

/// Ticks and returns the check that goes out, with its transaction.
fn tick_sends(consent: &mut Consent, now: Nanos) -> (SocketAddr, TransactionId) {
    let mut out = [0; MESSAGE_MAX];
    let Tick::Send { remote, len } = consent.tick(now, &mut out) else {
        panic!("no check is due at {now:?}")
    };
    (remote, Message::parse(&out[..len]).unwrap().transaction)
}

fn tick(consent: &mut Consent, now: Nanos) -> Tick {
    consent.tick(now, &mut [0; MESSAGE_MAX])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Lite and controlled, nothing nominated.
    Lite,
    /// Lite and controlled, the pair is nominated.
    LiteNominated,
    /// Full and controlled, nothing nominated.
    Full,
    /// Full and controlled, the pair is nominated and a check is under way.
    FullNominated,
    /// Full and controlling, the pair is nominated and a check is under way.
    Controlling,
    /// Full and controlled, consent is lost while a check is under way.
    Lost,
}

const STATES: [State; 6] = [
    State::Lite,
    State::LiteNominated,
    State::Full,
    State::FullNominated,
    State::Controlling,
    State::Lost,
];

impl State {
    /// The state and the transaction of the check under way, or one that nobody made.
    fn enter(self) -> (Consent, TransactionId, Nanos) {
        let full = !matches!(self, Self::Lite | Self::LiteNominated);
        let mut consent = consent(full, self == Self::Controlling);
        let nominated = !matches!(self, Self::Lite | Self::Full);
        consent.install(address(1), nominated, START).unwrap();
        let asks = full && nominated;
        let transaction = if asks { tick_sends(&mut consent, START).1 } else { Default::default() };
        if self == Self::Lost {
            assert_eq!(tick(&mut consent, seconds(30)), Tick::Lost);
            return (consent, transaction, seconds(30));
        }
        (consent, transaction, seconds(1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    NameWithoutIntegrity,
    IntegrityWithoutName,
    OtherUfrag,
    WrongPassword,
    UnknownAttribute,
    Check,
    Nomination,
    FromControlledAboveUs,
    FromControlledBelowUs,
    FromControllingAboveUs,
    Indication,
    OtherMethod,
    BrokenFingerprint,
    Success,
    SuccessForged,
    SuccessUnasked,
    RoleConflict,
    RoleConflictForged,
    Unauthenticated,
}

const KINDS: [Kind; 20] = [
    Kind::Plain,
    Kind::NameWithoutIntegrity,
    Kind::IntegrityWithoutName,
    Kind::OtherUfrag,
    Kind::WrongPassword,
    Kind::UnknownAttribute,
    Kind::Check,
    Kind::Nomination,
    Kind::FromControlledAboveUs,
    Kind::FromControlledBelowUs,
    Kind::FromControllingAboveUs,
    Kind::Indication,
    Kind::OtherMethod,
    Kind::BrokenFingerprint,
    Kind::Success,
    Kind::SuccessForged,
    Kind::SuccessUnasked,
    Kind::RoleConflict,
    Kind::RoleConflictForged,
    Kind::Unauthenticated,
];

impl Kind {
    fn bytes(self, asked: TransactionId) -> Vec<u8> {
        let (ours, theirs) = (our_key(), their_key());
        let name: (u16, &[u8]) = (0x0006, b"ours:theirs");
        match self {
            Self::Plain => message(0x0001, &[], None),
            Self::NameWithoutIntegrity => message(0x0001, &[name], None),
            Self::IntegrityWithoutName => message(0x0001, &[], Some(&ours)),
            Self::OtherUfrag => check_from("oursx", "theirs", &ours, Role::Controlling(0), true),
            Self::WrongPassword => {
                check_from("ours", "theirs", &theirs, Role::Controlling(0), true)
            }
            Self::UnknownAttribute => {
                message(0x0001, &[name, (0x7777, b""), (0x0025, b"")], Some(&ours))
            }
            Self::Check => message(0x0001, &[name], Some(&ours)),
            Self::Nomination => message(0x0001, &[name, (0x0025, b"")], Some(&ours)),
            Self::FromControlledAboveUs => check(Role::Controlled(TIE_BREAKER + 1), false),
            Self::FromControlledBelowUs => check(Role::Controlled(TIE_BREAKER), false),
            Self::FromControllingAboveUs => check(Role::Controlling(TIE_BREAKER + 1), false),
            Self::Indication => message(0x0011, &[], None),
            Self::OtherMethod => message(0x0003, &[name], Some(&ours)),
            Self::BrokenFingerprint => {
                let mut bytes = check(Role::Controlling(0), true);
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }
            Self::Success => success(asked, &theirs),
            Self::SuccessForged => success(asked, &ours),
            Self::SuccessUnasked => success(TransactionId([3; 12]), &theirs),
            Self::RoleConflict => refusal(asked, ErrorCode::RoleConflict, Some(&theirs)),
            Self::RoleConflictForged => refusal(asked, ErrorCode::RoleConflict, None),
            Self::Unauthenticated => refusal(asked, ErrorCode::Unauthenticated, Some(&theirs)),
        }
    }
}

/// What is seen from outside of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Dropped(DropReason),
    Silent,
    PlainAnswer,
    Answered,
    Nominated,
    /// Answered; the node has changed its role.
    Yielded,
    Refused(u16),
    /// A response to the node's check made it change its role.
    ToldToYield,
}

fn expected(state: State, kind: Kind) -> Outcome {
    use DropReason::{StunIntegrity, StunUnknownUfrag, StunUnsolicited};
    use Outcome::*;
    let full = !matches!(state, State::Lite | State::LiteNominated);
    let asked = matches!(state, State::FullNominated | State::Controlling);
    match kind {
        Kind::Plain => PlainAnswer,
        Kind::NameWithoutIntegrity | Kind::IntegrityWithoutName => Refused(400),
        Kind::OtherUfrag => Dropped(StunUnknownUfrag),
        Kind::BrokenFingerprint => Dropped(StunIntegrity),
        Kind::Indication => Silent,
        Kind::OtherMethod | Kind::SuccessUnasked => Dropped(StunUnsolicited),
        Kind::Success if asked => Silent,
        Kind::SuccessForged | Kind::RoleConflictForged if asked => Dropped(StunIntegrity),
        Kind::RoleConflict if asked => ToldToYield,
        Kind::Unauthenticated if asked => Silent,
        Kind::Success
        | Kind::SuccessForged
        | Kind::RoleConflict
        | Kind::RoleConflictForged
        | Kind::Unauthenticated => Dropped(StunUnsolicited),
        _ if state == State::Lost => Dropped(StunUnknownUfrag),
        Kind::WrongPassword => Refused(401),
        Kind::UnknownAttribute => Refused(420),
        Kind::Check => Answered,
        Kind::Nomination if matches!(state, State::Lite | State::Full) => Nominated,
        Kind::Nomination => Answered,
        Kind::FromControllingAboveUs if state == State::Controlling => Yielded,
        Kind::FromControllingAboveUs => Answered,
        Kind::FromControlledAboveUs | Kind::FromControlledBelowUs
            if state == State::Controlling =>
        {
            Answered
        }
        Kind::FromControlledBelowUs if full => Yielded,
        Kind::FromControlledAboveUs | Kind::FromControlledBelowUs => Refused(487),
    }
}

fn observe(handled: Result<Handled, DropReason>, reply: &[u8]) -> Outcome {
    let handled = match handled {
        Ok(handled) => handled,
        Err(reason) => return Outcome::Dropped(reason),
    };
    if handled.reply.is_none() {
        assert!(handled.nominated.is_none() && handled.fault.is_none());
        return if handled.role_conflict { Outcome::ToldToYield } else { Outcome::Silent };
    }
    let reply = Message::parse(reply).unwrap();
    assert_eq!(reply.transaction, TransactionId([9; 12]));
    assert!(reply.fingerprint_holds());
    if let Some(code) = reply.error {
        assert_eq!(reply.verify_integrity(&our_key()), matches!(code, 420 | 487), "{code}");
        assert_eq!(handled.role_conflict, code == 487);
        let fault = match code {
            400 => Some(DropReason::StunMalformed),
            401 => Some(DropReason::StunIntegrity),
            _ => None,
        };
        assert_eq!((handled.fault, handled.nominated), (fault, None));
        return Outcome::Refused(code);
    }
    assert_eq!((reply.class, reply.mapped), (Class::Success, Some(address(1))));
    assert_eq!(handled.fault, None);
    if !reply.has_integrity() {
        return Outcome::PlainAnswer;
    }
    assert!(reply.verify_integrity(&our_key()));
    match (handled.nominated, handled.role_conflict) {
        (None, false) => Outcome::Answered,
        (None, true) => Outcome::Yielded,
        (Some(remote), false) => {
            assert_eq!(remote, address(1));
            Outcome::Nominated
        }
        (Some(_), true) => panic!("a nomination in a conflict"),
    }
}

#[test]
fn every_message_in_every_state_has_its_outcome() {
    for state in STATES {
        for kind in KINDS {
            let (mut consent, asked, now) = state.enter();
            let (handled, reply) = handle(&mut consent, &kind.bytes(asked), address(1), now);
            assert_eq!(observe(handled, &reply), expected(state, kind), "{state:?} {kind:?}");
            let stays = matches!(expected(state, kind), Outcome::Nominated)
                || !matches!(state, State::Lite | State::Full | State::Lost);
            assert_eq!(consent.remote(), stays.then_some(address(1)), "{state:?} {kind:?}");
        }
    }
}

/// Which messages move the end of consent on.
#[test]
fn only_the_right_messages_keep_consent_alive() {
    for state in STATES {
        for kind in KINDS {
            let (mut consent, asked, now) = state.enter();
            let before = consent.expiry();
            let _ = handle(&mut consent, &kind.bytes(asked), address(1), now);
            let authenticated = matches!(
                expected(state, kind),
                Outcome::Answered
                    | Outcome::Nominated
                    | Outcome::Yielded
                    | Outcome::Refused(420 | 487)
            );
            let renews = match state {
                State::Lite | State::LiteNominated | State::Full => authenticated,
                State::FullNominated | State::Controlling => kind == Kind::Success,
                State::Lost => false,
            };
            assert_eq!(consent.expiry() > before, renews, "{state:?} {kind:?}");
        }
    }
}

#[test]
fn a_message_from_no_installed_pair_is_dropped() {
    let (mut consent, _, now) = State::Lite.enter();
    let (handled, _) = handle(&mut consent, &check(Role::Controlling(0), true), address(2), now);
    assert_eq!(handled, Err(DropReason::UnknownRemote));
}

#[test]
fn the_newest_nomination_is_followed_and_told_once() {
    let mut consent = consent(false, false);
    for port in [1, 2] {
        consent.install(address(port), false, START).unwrap();
    }
    let nominate = check(Role::Controlling(0), true);
    for (port, told) in [(1, true), (1, false), (2, true), (2, false), (1, true)] {
        let (handled, _) = handle(&mut consent, &nominate, address(port), START);
        assert_eq!(handled.unwrap().nominated, told.then_some(address(port)));
        assert_eq!(consent.remote(), Some(address(port)));
    }
}

#[test]
fn a_numbered_nomination_counts_if_it_is_the_highest() {
    let mut consent = consent(false, false);
    for port in [1, 2] {
        consent.install(address(port), false, START).unwrap();
    }
    for (port, value, at) in [(1, 5, 1), (2, 5, 1), (2, 4, 1), (2, 6, 2), (1, 6, 2), (1, 7, 1)] {
        let _ = handle(&mut consent, &renomination(value), address(port), START);
        assert_eq!(consent.remote(), Some(address(at)), "value {value} on {port}");
    }
}

#[test]
fn a_full_agent_checks_every_five_seconds_give_or_take_a_fifth() {
    let mut consent = consent(true, true);
    consent.install(address(1), true, START).unwrap();
    let mut now = START;
    let mut gaps = Vec::new();
    for _ in 0..200 {
        let (remote, transaction) = tick_sends(&mut consent, now);
        assert_eq!(remote, address(1));
        assert_eq!(tick(&mut consent, now), Tick::None);
        let due = consent.due().unwrap();
        assert_eq!(tick(&mut consent, Nanos(due.0 - 1)), Tick::None);
        gaps.push(due.since(now));
        handle(&mut consent, &success(transaction, &their_key()), address(1), now).0.unwrap();
        now = due;
    }
    assert!(gaps.iter().all(|gap| (4 * SECOND..=6 * SECOND).contains(gap)));
    assert!(gaps.iter().any(|gap| *gap < 5 * SECOND) && gaps.iter().any(|gap| *gap > 5 * SECOND));
}

#[test]
fn a_check_names_and_is_signed_for_the_far_side() {
    for controlling in [false, true] {
        let mut consent = consent(true, controlling);
        consent.install(address(1), true, START).unwrap();
        let mut out = [0; MESSAGE_MAX];
        let Tick::Send { len, .. } = consent.tick(START, &mut out) else { panic!() };
        let check = Message::parse(&out[..len]).unwrap();
        assert_eq!(check.username, Some(&b"theirs:ours"[..]));
        assert!(check.verify_integrity(&their_key()) && check.fingerprint_holds());
        assert!(check.priority.is_some() && !check.use_candidate);
        let role = if controlling {
            Role::Controlling(TIE_BREAKER)
        } else {
            Role::Controlled(TIE_BREAKER)
        };
        assert_eq!(check.role, Some(role));
    }
}

#[test]
fn an_answer_counts_once_and_late_ones_still_count() {
    let mut consent = consent(true, false);
    consent.install(address(1), true, START).unwrap();
    let (_, first) = tick_sends(&mut consent, START);
    let (_, second) = tick_sends(&mut consent, seconds(6));
    assert_ne!(first, second);
    let mut answer = |transaction, at| {
        handle(&mut consent, &success(transaction, &their_key()), address(1), seconds(at)).0
    };
    assert!(answer(second, 7).is_ok());
    assert!(answer(first, 8).is_ok());
    assert_eq!(answer(first, 9), Err(DropReason::StunUnsolicited));
    assert_eq!(consent.expiry(), Some(seconds(8 + 30)));
}

#[test]
fn an_answer_from_another_pair_is_not_consent() {
    let mut consent = consent(true, false);
    consent.install(address(1), true, START).unwrap();
    consent.install(address(2), false, START).unwrap();
    let (_, transaction) = tick_sends(&mut consent, START);
    let bytes = success(transaction, &their_key());
    let (handled, _) = handle(&mut consent, &bytes, address(2), START);
    assert_eq!(handled, Err(DropReason::StunUnsolicited));
}

#[test]
fn a_role_conflict_told_by_the_far_side_switches_the_role_and_repeats_the_check() {
    let mut consent = consent(true, true);
    consent.install(address(1), true, START).unwrap();
    let (_, transaction) = tick_sends(&mut consent, START);
    let bytes = refusal(transaction, ErrorCode::RoleConflict, Some(&their_key()));
    assert!(handle(&mut consent, &bytes, address(1), START).0.unwrap().role_conflict);
    let mut out = [0; MESSAGE_MAX];
    let Tick::Send { len, .. } = consent.tick(START, &mut out) else { panic!() };
    let role = Message::parse(&out[..len]).unwrap().role;
    assert!(matches!(role, Some(Role::Controlled(other)) if other != TIE_BREAKER));
}

#[test]
fn consent_is_lost_once_after_thirty_seconds_and_stays_lost() {
    for (full, nominated) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut consent = consent(full, false);
        consent.install(address(1), nominated, START).unwrap();
        let just_before = Nanos(seconds(30).0 - 1);
        assert_ne!(tick(&mut consent, just_before), Tick::Lost);
        assert_eq!(tick(&mut consent, seconds(30)), Tick::Lost);
        assert_eq!(tick(&mut consent, seconds(31)), Tick::None);
        assert_eq!((consent.due(), consent.remote()), (None, None));
        assert_eq!(consent.install(address(2), true, seconds(31)), Err(Refusal::Gone));
    }
}

#[test]
fn media_keeps_a_pair_from_eviction_and_is_no_consent() {
    for full in [false, true] {
        let mut consent = consent(full, false);
        consent.install(address(1), true, START).unwrap();
        consent.heard(address(1), seconds(29));
        assert_eq!(tick(&mut consent, seconds(30)), Tick::Lost);
    }
}

#[test]
fn nothing_installed_is_nothing_due() {
    let mut consent = consent(true, true);
    assert_eq!((consent.due(), consent.remote()), (None, None));
    assert_eq!(tick(&mut consent, seconds(1000)), Tick::None);
}

#[test]
fn a_full_table_evicts_the_pair_heard_least_recently_but_never_the_nominated_one() {
    let mut consent = consent(false, false);
    let pairs = PAIRS_PER_TRANSPORT as u16;
    for port in 0..pairs {
        let at = seconds(port.into());
        assert_eq!(consent.install(address(port), port == 0, at), Ok(None));
    }
    consent.heard(address(1), seconds(20));
    assert_eq!(consent.install(address(100), false, seconds(21)), Ok(Some(address(2))));
    assert_eq!(consent.install(address(101), true, seconds(22)), Ok(Some(address(3))));
    assert_eq!(consent.install(address(102), false, seconds(23)), Ok(Some(address(0))));
    assert_eq!(consent.remote(), Some(address(101)));
    assert_eq!(consent.pairs().count(), PAIRS_PER_TRANSPORT);
}

#[test]
fn a_known_pair_is_not_installed_twice() {
    let mut consent = consent(false, false);
    for nominated in [false, true, false] {
        assert_eq!(consent.install(address(1), nominated, START), Ok(None));
    }
    assert_eq!(consent.pairs().collect::<Vec<_>>(), [address(1)]);
    assert_eq!(consent.remote(), Some(address(1)));
}

#[test]
fn checks_wait_for_the_far_sides_credentials() {
    let spec = IceSpec {
        local: credentials("ours", "our password, long enough"),
        remote: None,
        send_checks: true,
        controlling: true,
        component: 1,
        generation: 0,
    };
    let mut consent = Consent::new(&spec, TIE_BREAKER);
    consent.install(address(1), true, START).unwrap();
    assert_eq!(tick(&mut consent, seconds(1)), Tick::None);
    assert_eq!(consent.due(), Some(seconds(30)));
    let mut first = credentials("first", "first password");
    consent.set_remote(&mut first, true, true);
    assert_eq!(first.ufrag, "");
    let mut second = credentials("theirs", "their password, long enough");
    consent.set_remote(&mut second, true, true);
    assert_eq!(second.ufrag, "first");
    let (_, transaction) = tick_sends(&mut consent, seconds(1));
    let bytes = success(transaction, &their_key());
    assert!(handle(&mut consent, &bytes, address(1), seconds(2)).0.is_ok());
}

#[test]
fn debug_prints_no_secret() {
    let printed = format!("{:?}", consent(true, true));
    assert!(!printed.contains("password"), "{printed}");
}

proptest! {
    /// Whatever comes, one pair at most is nominated, it is an installed one, and loss is told once.
    #[test]
    fn any_course_of_events_keeps_the_promises(
        full in any::<bool>(),
        controlling in any::<bool>(),
        events in proptest::collection::vec((0..4_u8, 0..12_u16, 0..KINDS.len(), 0..9_u64), 0..120),
    ) {
        let mut consent = consent(full, controlling);
        let (mut now, mut asked, mut losses) = (START, TransactionId::default(), 0);
        let mut out = [0; MESSAGE_MAX];
        for (event, port, kind, pause) in events {
            now = now.plus(pause * SECOND);
            match event {
                0 => _ = consent.install(address(port), port % 3 == 0, now),
                1 => consent.heard(address(port), now),
                2 => match consent.tick(now, &mut out) {
                    Tick::Send { remote, len } => {
                        prop_assert!(full && consent.remote() == Some(remote));
                        asked = Message::parse(&out[..len]).unwrap().transaction;
                    }
                    Tick::Lost => losses += 1,
                    Tick::None => {}
                },
                _ => _ = handle(&mut consent, &KINDS[kind].bytes(asked), address(port), now),
            }
            prop_assert!(losses <= 1);
            prop_assert!(losses == 0 || consent.remote().is_none());
            let installed = |remote| consent.pairs().any(|pair| pair == remote);
            prop_assert!(consent.remote().is_none_or(installed));
        }
    }
}
