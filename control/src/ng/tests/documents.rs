use proptest::prelude::*;

use crate::ng::value::{Dictionary, Value};
use crate::ng::{
    BencodeError, DEPTH_MAX, DOCUMENT_MAX, ENTRIES_MAX, JsonError, Message, bencode, frame, json,
};

#[test]
fn bencode_reads_every_kind() {
    let value = bencode::decode(b"d4:texti-42e1:al0:i0eee").unwrap();
    let list = Value::List(vec!["".into(), Value::Integer(0)]);
    let expected = Dictionary::new().with("text", -42_i64).with("a", list);
    assert_eq!(value, Value::Dictionary(expected));
    let extremes = Value::List(vec![Value::Integer(i64::MIN), Value::Integer(i64::MAX)]);
    assert_eq!(bencode::decode(&bencode::encode(&extremes)), Ok(extremes));
}

#[test]
fn dictionaries_keep_their_order_and_their_repeated_keys() {
    for bytes in [&b"d1:zi1e1:ai2e1:zi3ee"[..], b"d8:supportsl10:load limite7:command4:pinge"] {
        assert_eq!(bencode::encode(&bencode::decode(bytes).unwrap()), bytes);
    }
    let text = br#"{"z":1,"a":{"y":[2],"b":""},"z":3}"#;
    assert_eq!(json::encode(&json::decode(text).unwrap()), text);
}

#[test]
fn bencode_that_is_not_written_in_the_one_way_is_refused() {
    let faults: &[(&[u8], BencodeError)] = &[
        (b"", BencodeError::Truncated),
        (b"d", BencodeError::Truncated),
        (b"d4:ping", BencodeError::Truncated),
        (b"l", BencodeError::Truncated),
        (b"i12", BencodeError::Truncated),
        (b"4:abc", BencodeError::Truncated),
        (b"4", BencodeError::Truncated),
        (b"999999999:a", BencodeError::Truncated),
        (b"9999999999:a", BencodeError::BadLength),
        (b"99999999999999999999999999:a", BencodeError::BadLength),
        (b"01:a", BencodeError::BadLength),
        (b"00:", BencodeError::BadLength),
        (b"1x:a", BencodeError::BadLength),
        (b"i-0e", BencodeError::BadInteger),
        (b"i007e", BencodeError::BadInteger),
        (b"ie", BencodeError::BadInteger),
        (b"i-e", BencodeError::BadInteger),
        (b"i+1e", BencodeError::BadInteger),
        (b"i1.5e", BencodeError::BadInteger),
        (b"i9223372036854775808e", BencodeError::BadInteger),
        (b"i99999999999999999999999e", BencodeError::BadInteger),
        (b"e", BencodeError::UnknownKind(b'e')),
        (b"x", BencodeError::UnknownKind(b'x')),
        (b"-1:a", BencodeError::UnknownKind(b'-')),
        (b"di1ei2ee", BencodeError::KeyIsNoText),
        (b"d3:abce", BencodeError::NoValue),
        (b"dee", BencodeError::Trailing),
        (b"i1ei2e", BencodeError::Trailing),
    ];
    for (bytes, fault) in faults {
        assert_eq!(bencode::decode(bytes), Err(*fault), "{}", bytes.escape_ascii());
    }
}

#[test]
fn json_that_is_no_document_is_refused() {
    let faults = [
        ("1.5", JsonError::NotInteger),
        (r#"{"a":9223372036854775808}"#, JsonError::NotInteger),
        ("{} {}", JsonError::Malformed { line: 1, column: 4 }),
        (r#"{"a":"#, JsonError::Malformed { line: 1, column: 5 }),
        ("null", JsonError::Malformed { line: 1, column: 1 }),
    ];
    for (text, fault) in faults {
        assert_eq!(json::decode(text.as_bytes()), Err(fault), "{text}");
    }
}

#[test]
fn json_knows_what_bencode_does_not() {
    let value = json::decode(br#"{"a":true,"b":null,"c":[false,null],"d":"\u00e4\n"}"#).unwrap();
    let list = Value::List(vec![Value::Integer(0)]);
    let expected = Dictionary::new().with("a", 1_i64).with("c", list).with("d", "ä\n");
    assert_eq!(value, Value::Dictionary(expected));
}

#[test]
fn limits_hold_to_the_value() {
    let nested = |levels: usize| ["l".repeat(levels), "e".repeat(levels)].concat();
    assert!(bencode::decode(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(bencode::decode(nested(DEPTH_MAX + 1).as_bytes()), Err(BencodeError::TooDeep));
    assert_eq!(bencode::decode("l".repeat(DOCUMENT_MAX).as_bytes()), Err(BencodeError::TooDeep));
    let listed = |values: usize| format!("l{}e", "0:".repeat(values));
    assert!(bencode::decode(listed(ENTRIES_MAX - 1).as_bytes()).is_ok());
    assert_eq!(bencode::decode(listed(ENTRIES_MAX).as_bytes()), Err(BencodeError::TooManyEntries));
    assert_eq!(bencode::decode(&[b'd'; DOCUMENT_MAX + 1]), Err(BencodeError::TooLong));

    let nested = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
    assert!(json::decode(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(json::decode(nested(DEPTH_MAX + 1).as_bytes()), Err(JsonError::TooDeep));
    assert_eq!(json::decode("[".repeat(DOCUMENT_MAX).as_bytes()), Err(JsonError::TooDeep));
    let listed = |values: usize| format!("[{}]", vec!["0"; values].join(","));
    assert!(json::decode(listed(ENTRIES_MAX - 1).as_bytes()).is_ok());
    assert_eq!(json::decode(listed(ENTRIES_MAX).as_bytes()), Err(JsonError::TooManyEntries));
    assert_eq!(json::decode(&[b'{'; DOCUMENT_MAX + 1]), Err(JsonError::TooLong));
}

#[test]
fn names_match_however_their_words_are_joined() {
    let dictionary = Dictionary::new().with("call id", 1_i64).with("rtpp_flags", 2_i64);
    for name in ["call-id", "call id", "call_id"] {
        assert_eq!(dictionary.lookup(name), Some(&Value::Integer(1)));
    }
    assert_eq!(dictionary.lookup("rtpp-flags"), Some(&Value::Integer(2)));
    assert_eq!(dictionary.lookup("Call-id"), None);
    assert_eq!(dictionary.lookup("callid"), None);
}

#[test]
fn numbers_may_be_texts() {
    let number = |value: Value| value.integer();
    assert_eq!(number(Value::Integer(7)), Some(7));
    assert_eq!(number("-7".into()), Some(-7));
    assert_eq!(number("7 s".into()), None);
    assert_eq!(number("".into()), None);
    assert_eq!(number(Value::List(vec![])), None);
}

#[test]
fn long_texts_are_not_shown() {
    let secret =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    let shown = format!("{:?}", Dictionary::new().with("tag", "a").with("sdp", secret));
    assert_eq!(shown, format!(r#"{{"tag": "a", "sdp": <{} bytes>}}"#, secret.len()));
}

fn values(text: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![text, any::<i64>().prop_map(Value::Integer)];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let entries = prop::collection::vec(("[ -~]{0,12}", inner.clone()), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..8).prop_map(Value::List),
            entries.prop_map(|entries| {
                let mut dictionary = Dictionary::new();
                entries.into_iter().for_each(|(key, value)| dictionary.push(key, value));
                Value::Dictionary(dictionary)
            }),
        ]
    })
}

fn bytes() -> impl Strategy<Value = Value> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Text)
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Text(_) | Value::Integer(_) => 0,
        Value::List(values) => values.iter().map(count).sum(),
        Value::Dictionary(dictionary) => dictionary.iter().map(|(_, value)| count(value)).sum(),
    }
}

/// Reads a document as a server does.
fn survive(document: &[u8]) {
    if let (_, Ok(dictionary)) = frame::read(document) {
        assert!(count(&Value::Dictionary(dictionary.clone())) <= ENTRIES_MAX);
        let _ = Message::parse(&dictionary);
    }
}

proptest! {
    #[test]
    fn what_was_written_as_bencode_reads_the_same(value in values(bytes())) {
        prop_assert_eq!(bencode::decode(&bencode::encode(&value)), Ok(value));
    }

    #[test]
    fn what_was_written_as_json_reads_the_same(value in values("\\PC{0,20}".prop_map(Value::from))) {
        prop_assert_eq!(json::decode(&json::encode(&value)), Ok(value));
    }

    #[test]
    fn bencode_that_reads_was_written_in_the_one_way(document in "[dlei0-9:-]{0,40}") {
        if let Ok(value) = bencode::decode(document.as_bytes()) {
            prop_assert_eq!(bencode::encode(&value), document.into_bytes());
        }
    }

    #[test]
    fn any_bytes_are_survived(document in prop::collection::vec(any::<u8>(), 0..600)) {
        survive(&document);
        survive(&[b"d", document.as_slice()].concat());
        survive(&[b"{", document.as_slice()].concat());
    }

    #[test]
    fn any_truncation_is_survived(value in values(bytes()), cut in 0..200_usize) {
        let document = bencode::encode(&Value::Dictionary(Dictionary::new().with("a", value)));
        survive(&document[..document.len().saturating_sub(cut)]);
    }

    #[test]
    fn any_values_of_keys_are_survived(
        key in prop::sample::select(KEYS), value in values(bytes()), line in "[a-z=\\[\\] /.-]{0,200}"
    ) {
        for command in ["offer", "delete", "play DTMF", "block media", "list", "start recording"] {
            let request = super::request(command).with(key, value.clone()).with("call-id", "a");
            let request = request.with("rtpp-flags", line.as_str()).with("sdp", "").with("from-tag", "b");
            survive(&bencode::encode(&request.into()));
        }
    }
}

const KEYS: &[&str] = &[
    "flags",
    "ICE",
    "DTLS",
    "SDES",
    "codec",
    "direction",
    "received-from",
    "media-address",
    "TOS",
    "code",
    "all",
    "address",
    "limit",
    "duration",
    "volume",
    "sdp-media-remove",
    "delete-delay",
    "rtpp-flags",
];
