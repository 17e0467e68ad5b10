use super::*;
use crate::stun::{ATTRIBUTE_HEADER, HEADER_LEN, TransactionId, attributes};

const NOON: Nanos = Nanos::from_millis(10_000_000);

fn gate() -> Gate {
    Gate::new("example.org", &[7; 20])
}

fn client(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

/// An Allocate with these attributes, signed if there is a key.
fn allocate(given: &[(u16, &[u8])], key: Option<&IntegrityKey>) -> Vec<u8> {
    let mut out = [0; 512];
    let class = Class::Request;
    let mut writer =
        Writer::begin(&mut out, class, method::ALLOCATE, TransactionId([9; 12])).unwrap();
    for (kind, value) in given {
        writer.attribute(*kind, &[value]).unwrap();
    }
    let len = writer.finish(key).unwrap();
    out[..len].to_vec()
}

fn judge(request: &[u8], from: SocketAddr, now: Nanos) -> (Option<Admission>, Vec<u8>) {
    let mut out = [0; 256];
    let message = Message::parse(request).unwrap();
    let admission = gate().admit(&message, from, now, &mut out);
    let len = if let Some(Admission::Refused(len)) = admission { len } else { 0 };
    (admission, out[..len].to_vec())
}

fn value_of(message: &[u8], kind: u16) -> Option<Vec<u8>> {
    attributes(message).flatten().find(|a| a.kind == kind).map(|a| a.value.to_vec())
}

fn number(answer: &[u8]) -> Option<u16> {
    Message::parse(answer).unwrap().error
}

#[test]
fn who_shows_nothing_is_told_realm_and_nonce() {
    let (admission, answer) = judge(&allocate(&[], None), client(1), NOON);
    assert!(matches!(admission, Some(Admission::Refused(_))));
    let message = Message::parse(&answer).unwrap();
    assert_eq!((message.class, message.method), (Class::Error, method::ALLOCATE));
    assert_eq!(message.transaction, TransactionId([9; 12]));
    assert_eq!(number(&answer), Some(401));
    assert_eq!(value_of(&answer, attribute::REALM).unwrap(), b"example.org");
    assert_eq!(value_of(&answer, attribute::NONCE).unwrap().len(), NONCE_LEN);
}

#[test]
fn an_answer_to_a_stranger_is_short() {
    let (_, answer) = judge(&allocate(&[], None), client(1), NOON);
    let (error, nonce) = (ATTRIBUTE_HEADER + 4, ATTRIBUTE_HEADER + NONCE_LEN);
    let realm = ATTRIBUTE_HEADER + "example.org".len().next_multiple_of(4);
    assert_eq!(answer.len(), HEADER_LEN + error + realm + nonce);
}

#[test]
fn a_nonce_passes_from_where_it_was_given_to_while_it_lives() {
    let key = IntegrityKey::new("secret");
    let (_, refusal) = judge(&allocate(&[], None), client(1), NOON);
    let nonce = value_of(&refusal, attribute::NONCE).unwrap();
    let named = [(attribute::USERNAME, &b"u"[..]), (attribute::NONCE, &nonce)];
    let request = allocate(&named, Some(&key));
    let later = |ms: u64| NOON.plus(Nanos::from_millis(ms).0);
    assert_eq!(judge(&request, client(1), NOON).0, Some(Admission::Passes));
    assert_eq!(judge(&request, client(1), later(3_600_000)).0, Some(Admission::Passes));
    for (from, now) in [(client(2), NOON), (client(1), later(3_601_000))] {
        let (_, answer) = judge(&request, from, now);
        assert_eq!(number(&answer), Some(438));
        assert_ne!(value_of(&answer, attribute::NONCE).unwrap(), nonce, "a fresh one");
    }
    // From before the clock began, as far as the clock can tell.
    assert_eq!(number(&judge(&request, client(1), Nanos(0)).1), Some(438));
}

#[test]
fn a_forged_nonce_is_stale() {
    let key = IntegrityKey::new("secret");
    for forged in [&b""[..], b"0123456789abcdef01234567", &[b'0'; NONCE_LEN], &[0xff; NONCE_LEN]] {
        let named = [(attribute::USERNAME, &b"u"[..]), (attribute::NONCE, forged)];
        let (_, answer) = judge(&allocate(&named, Some(&key)), client(1), NOON);
        assert_eq!(number(&answer), Some(438), "{forged:?}");
    }
}

#[test]
fn integrity_without_what_it_takes_is_a_bad_request() {
    let key = IntegrityKey::new("secret");
    let (_, answer) = judge(&allocate(&[(attribute::USERNAME, b"u")], Some(&key)), client(1), NOON);
    assert_eq!(number(&answer), Some(400));
    let (_, answer) = judge(&allocate(&[(attribute::NONCE, b"n")], Some(&key)), client(1), NOON);
    assert_eq!(number(&answer), Some(400));
}

#[test]
fn a_network_gets_its_share_of_answers_a_second() {
    let mut throttle = Throttle::new();
    let mut answered = |ip: [u8; 4], now| {
        let from = SocketAddr::from((ip, 9));
        (0..2 * u32::from(UNASKED_PER_NETWORK)).filter(|_| throttle.may_answer(from, now)).count()
    };
    let share = usize::from(UNASKED_PER_NETWORK);
    assert_eq!(answered([198, 51, 100, 1], NOON), share);
    assert_eq!(answered([198, 51, 100, 200], NOON), 0, "of the same network");
    assert_eq!(answered([198, 51, 100, 1], NOON.plus(NANOS)), share);
}

#[test]
fn all_networks_together_get_no_more_than_the_node_gives() {
    let mut throttle = Throttle::new();
    let all = (0..4 * UNASKED_PER_SECOND).map(|n| SocketAddr::from(((n << 8).to_be_bytes(), 9)));
    let answered = all.filter(|from| throttle.may_answer(*from, NOON)).count();
    assert_eq!(answered, UNASKED_PER_SECOND as usize);
}
