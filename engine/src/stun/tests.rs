use proptest::prelude::*;

use super::*;

/// Password of RFC 5769 §2.1 to §2.3.
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

/// RFC 5769 §2.1.
const REQUEST: &str = "
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae
    80220010 5354554e 20746573 7420636c 69656e74
    00240004 6e0001ff
    80290008 932ff9b1 51263b36
    00060009 6576746a 3a683676 59202020
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
    80280004 e57a3bcf";
/// RFC 5769 §2.2.
const RESPONSE_V4: &str = "
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200008 0001a147 e112a643
    00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    80280004 c07d4c96";
/// RFC 5769 §2.3.
const RESPONSE_V6: &str = "
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
    00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
    80280004 c8fb0b4c";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.split_whitespace().flat_map(str::chars).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

fn key() -> IntegrityKey {
    IntegrityKey::new(PASSWORD)
}

fn check(key: &IntegrityKey) -> Check<'_> {
    Check {
        transaction: TRANSACTION,
        remote_ufrag: "remote",
        local_ufrag: "local",
        priority: 0x6e00_01ff,
        role: Role::Controlling(7),
        use_candidate: true,
        key,
    }
}

/// A request with the attributes given, without integrity or fingerprint.
fn message_with(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = [0; 512];
    let mut writer = Writer::begin(&mut out, Class::Request, BINDING, TRANSACTION).unwrap();
    for (kind, value) in attributes {
        writer.attribute(*kind, &[value]).unwrap();
    }
    let len = writer.len;
    out[..len].to_vec()
}

fn malformed(bytes: &[u8]) -> bool {
    Message::parse(bytes).err() == Some(DropReason::StunMalformed)
}

#[test]
fn the_published_request_is_read_and_verified() {
    let bytes = hex(REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class, message.method), (Class::Request, BINDING));
    assert_eq!(message.transaction, TRANSACTION);
    assert_eq!(message.username, Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.priority, Some(0x6e00_01ff));
    assert_eq!(message.role, Some(Role::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(!message.use_candidate && message.unknown.is_empty());
    assert!(message.verify_integrity(&key()) && message.fingerprint_holds());
    assert!(!message.verify_integrity(&IntegrityKey::new("another password here")));
}

#[test]
fn the_published_responses_are_read_and_verified() {
    for (vector, mapped) in [
        (RESPONSE_V4, "192.0.2.1:32853"),
        (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let bytes = hex(vector);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.class, Class::Success);
        assert_eq!(message.mapped, Some(mapped.parse().unwrap()));
        assert!(message.verify_integrity(&key()) && message.fingerprint_holds());
    }
}

#[test]
fn no_bit_of_a_signed_message_can_be_flipped() {
    let intact = hex(REQUEST);
    let key = key();
    for bit in 0..intact.len() * 8 {
        let mut bytes = intact.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let accepted = Message::parse(&bytes)
            .is_ok_and(|message| message.verify_integrity(&key) && message.fingerprint_holds());
        // A flip in FINGERPRINT's type turns it into an unknown attribute behind the integrity.
        let inside_fingerprint_type = (bytes.len() - 8..bytes.len() - 6).contains(&(bit / 8));
        assert!(!accepted || inside_fingerprint_type, "bit {bit}");
    }
}

#[test]
fn a_written_success_says_where_the_request_came_from() {
    for source in ["192.0.2.1:32853", "[2001:db8::7]:9", "0.0.0.0:0"] {
        let source = source.parse().unwrap();
        let mut out = [0xff; MESSAGE_MAX];
        let len = write_binding_success(&mut out, TRANSACTION, source, Some(&key())).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        assert_eq!((message.class, message.method), (Class::Success, BINDING));
        assert_eq!((message.transaction, message.mapped), (TRANSACTION, Some(source)));
        assert!(message.verify_integrity(&key()) && message.fingerprint_holds());
    }
}

#[test]
fn an_ipv4_source_on_a_dual_stack_socket_is_told_as_ipv4() {
    let mut out = [0; MESSAGE_MAX];
    let source = "[::ffff:192.0.2.1]:5000".parse().unwrap();
    let len = write_binding_success(&mut out, TRANSACTION, source, None).unwrap();
    let mapped = Message::parse(&out[..len]).unwrap().mapped;
    assert_eq!(mapped, Some("192.0.2.1:5000".parse().unwrap()));
}

#[test]
fn a_plain_success_is_not_signed() {
    let mut out = [0; MESSAGE_MAX];
    let source = "192.0.2.1:1".parse().unwrap();
    let len = write_binding_success(&mut out, TRANSACTION, source, None).unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert!(!message.has_integrity() && !message.verify_integrity(&key()));
    assert!(message.fingerprint_holds());
}

#[test]
fn a_written_error_carries_its_number_and_the_unknown_attributes() {
    for code in [
        ErrorCode::BadRequest,
        ErrorCode::Unauthenticated,
        ErrorCode::UnknownAttribute,
        ErrorCode::RoleConflict,
    ] {
        let unknown: ArrayVec<u16, UNKNOWN_ATTRIBUTES> = [0x0002, 0x7fff].into_iter().collect();
        let mut out = [0xff; MESSAGE_MAX];
        let len = write_binding_error(&mut out, TRANSACTION, code, &unknown, Some(&key())).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        assert_eq!((message.class, message.error), (Class::Error, Some(code.number())));
        assert!(message.verify_integrity(&key()) && message.fingerprint_holds());
        let listed = [0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x7f, 0xff];
        assert!(out[..len].windows(8).any(|window| window == listed), "{code:?}");
    }
}

#[test]
fn a_written_check_reads_back() {
    let key = key();
    for (role, use_candidate) in [(Role::Controlling(7), true), (Role::Controlled(8), false)] {
        let mut out = [0xff; MESSAGE_MAX];
        let written = Check { role, use_candidate, ..check(&key) };
        let len = write_binding_request(&mut out, &written).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        assert_eq!((message.class, message.method), (Class::Request, BINDING));
        assert_eq!(message.username, Some(&b"remote:local"[..]));
        assert_eq!(message.priority, Some(0x6e00_01ff));
        assert_eq!((message.role, message.use_candidate), (Some(role), use_candidate));
        assert!(message.verify_integrity(&key) && message.fingerprint_holds());
    }
}

#[test]
fn the_longest_legal_check_fits_and_any_shorter_room_is_refused() {
    let ufrag = "u".repeat(UFRAG_MAX);
    let key = key();
    let longest = Check { remote_ufrag: &ufrag, local_ufrag: &ufrag, ..check(&key) };
    assert_eq!(write_binding_request(&mut [0; MESSAGE_MAX], &longest), Some(MESSAGE_MAX));
    for room in 0..MESSAGE_MAX {
        assert_eq!(write_binding_request(&mut vec![0; room], &longest), None, "room {room}");
    }
}

#[test]
fn attributes_that_must_be_understood_are_listed_if_they_are_not() {
    let bytes = message_with(&[(0x0002, b"x"), (0x8002, b"y"), (0x7fff, b""), (0x001c, &[0; 32])]);
    assert_eq!(Message::parse(&bytes).unwrap().unknown[..], [0x0002, 0x7fff]);
    let many: Vec<(u16, &[u8])> = (0x7000..0x7040).map(|kind| (kind, &[][..])).collect();
    assert!(Message::parse(&message_with(&many)).unwrap().unknown.is_full());
}

#[test]
fn what_follows_the_integrity_is_ignored() {
    let tag = [0; TAG_LEN];
    let bytes = message_with(&[
        (attribute::MESSAGE_INTEGRITY, &tag),
        (attribute::USE_CANDIDATE, b""),
        (attribute::USERNAME, b"late"),
        (0x7fff, b""),
    ]);
    let message = Message::parse(&bytes).unwrap();
    assert!(!message.use_candidate && message.username.is_none() && message.unknown.is_empty());
}

#[test]
fn of_an_attribute_that_comes_twice_the_first_counts() {
    let bytes = message_with(&[
        (attribute::USERNAME, b"first"),
        (attribute::USERNAME, b"second"),
        (attribute::ICE_CONTROLLED, &[1; 8]),
        (attribute::ICE_CONTROLLING, &[2; 8]),
        (attribute::NOMINATION, &[0, 0, 0, 3]),
        (attribute::NOMINATION, &[0, 0, 0, 9]),
    ]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username, Some(&b"first"[..]));
    assert_eq!(message.role, Some(Role::Controlled(u64::from_be_bytes([1; 8]))));
    assert_eq!(message.nomination, Some(3));
}

#[test]
fn a_known_attribute_of_the_wrong_length_is_malformed() {
    for (kind, value) in [
        (attribute::MESSAGE_INTEGRITY, &[0; 19][..]),
        (attribute::FINGERPRINT, &[0; 3]),
        (attribute::PRIORITY, &[0; 5]),
        (attribute::ICE_CONTROLLED, &[0; 7]),
        (attribute::ICE_CONTROLLING, &[0; 4]),
        (attribute::NOMINATION, &[]),
        (attribute::ERROR_CODE, &[0, 0, 4]),
        (attribute::ERROR_CODE, &[0, 0, 2, 0]),
        (attribute::ERROR_CODE, &[0, 0, 4, 100]),
        (attribute::XOR_MAPPED_ADDRESS, &[0, 1, 0, 0, 1, 2, 3]),
        (attribute::XOR_MAPPED_ADDRESS, &[0, 2, 0, 0, 1, 2, 3, 4]),
        (attribute::XOR_MAPPED_ADDRESS, &[0, 3, 0, 0, 1, 2, 3, 4]),
    ] {
        assert!(malformed(&message_with(&[(kind, value)])), "{kind:#06x} {value:?}");
    }
}

#[test]
fn an_attribute_behind_the_fingerprint_or_beyond_the_end_is_malformed() {
    let behind = message_with(&[(attribute::FINGERPRINT, &[0; 4]), (0x8022, b"late")]);
    assert!(malformed(&behind));
    let mut beyond = message_with(&[(0x8022, b"abcd")]);
    beyond[23] = 5;
    assert!(malformed(&beyond));
}

#[test]
fn class_and_method_share_their_bits() {
    for kind in 0..0x4000_u16 {
        let class_bits = match class_of(kind) {
            Class::Request => 0,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let method = method_of(kind);
        let spread = (method & 0x00f) | (method & 0x070) << 1 | (method & 0xf80) << 2;
        assert_eq!(spread | class_bits, kind);
    }
}

#[test]
fn a_key_is_not_printed() {
    assert_eq!(format!("{:?}", key()), "IntegrityKey(..)");
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        frame in any::<bool>(),
    ) {
        if frame && bytes.len() >= HEADER_LEN {
            bytes.truncate(bytes.len() / 4 * 4);
            let length = (bytes.len() - HEADER_LEN) as u16;
            bytes[0] &= 0x3f;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
        }
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert!(!message.verify_integrity(&key()));
            let _ = message.fingerprint_holds();
        }
    }

    #[test]
    fn hostile_attributes_never_panic(
        attributes in proptest::collection::vec(
            (
                prop_oneof![0_u16..0x30, 0x8020_u16..0x8030, Just(0xc001), any::<u16>()],
                proptest::collection::vec(any::<u8>(), 0..24),
            ),
            0..12,
        ),
        cut in any::<proptest::sample::Index>(),
    ) {
        let attributes: Vec<_> = attributes.iter().map(|(kind, v)| (*kind, v.as_slice())).collect();
        let bytes = message_with(&attributes);
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(message) = Message::parse(bytes) {
                prop_assert!(!message.verify_integrity(&key()));
                let _ = message.fingerprint_holds();
            }
        }
    }

    #[test]
    fn any_source_is_told_to_its_owner(
        ip in any::<IpAddr>(),
        port in any::<u16>(),
        id in any::<[u8; 12]>(),
    ) {
        let mut out = [0; MESSAGE_MAX];
        let len = write_binding_success(&mut out, TransactionId(id), (ip, port).into(), None).unwrap();
        let mapped = Message::parse(&out[..len]).unwrap().mapped;
        prop_assert_eq!(mapped, Some((ip.to_canonical(), port).into()));
    }
}

#[test]
fn every_class_and_method_is_written_as_it_is_read() {
    let mut out = [0; HEADER_LEN];
    for method in 0..0x1000 {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            Writer::begin(&mut out, class, method, TRANSACTION).unwrap();
            let message = Message::parse(&out).unwrap();
            assert_eq!((message.class, message.method), (class, method));
        }
    }
}

#[test]
fn attributes_end_where_one_is_cut_off() {
    let whole = message_with(&[(attribute::REALM, b"a"), (attribute::NONCE, b"bcdef")]);
    let read: Vec<_> = attributes(&whole).map(|it| it.map(|it| (it.kind, it.value))).collect();
    assert_eq!(
        read,
        [Some((attribute::REALM, &b"a"[..])), Some((attribute::NONCE, &b"bcdef"[..]))]
    );
    let read: Vec<_> = attributes(&whole[..whole.len() - 4]).collect();
    assert!(matches!(read[..], [Some(_), None]), "{read:?}");
}
