use super::*;

fn refused(net: &mut Net, bytes: &[u8]) -> Reply {
    let mut outputs = net.give(udp(1), bytes);
    let reply = take_reply(&mut outputs, udp(1), &key_of("bob", "secret")).unwrap();
    assert_eq!((outputs, reply.message().has_integrity()), (Vec::new(), false));
    reply
}

#[test]
fn wrong_credentials_hear_the_realm_and_the_nonce_that_they_brought() {
    let mut net = Net::new();
    let id = net.transaction();
    let realm = |realm| {
        let all: [(u16, &[u8]); 3] =
            [(attribute::USERNAME, b"bob"), (attribute::REALM, realm), (attribute::NONCE, NONCE)];
        Ask::allocate().written(id, &all, Some(&key_of("bob", "secret")))
    };
    for bytes in [
        Ask::allocate().signed(id, "bob", &key_of("bob", "wrong")),
        Ask::allocate().signed(id, "nobody", &key_of("nobody", "secret")),
        Ask::allocate().signed(id, "bob", &key_of("eve", "other")),
        realm(b"elsewhere.example"),
        Ask::allocate().written(id, &[(attribute::NONCE, NONCE)], None),
    ] {
        let reply = refused(&mut net, &bytes);
        assert_eq!(reply.error(), 401);
        assert_eq!(reply.one(attribute::REALM), Some(REALM.as_bytes()));
        assert_eq!(reply.message().nonce, Some(NONCE));
    }
    assert_eq!((net.ports.wants.len(), net.server.counts().unauthenticated), (0, 5));
}

#[test]
fn a_request_that_lacks_a_part_of_its_credentials_is_a_bad_one() {
    let mut net = Net::new();
    let id = net.transaction();
    let all: [(u16, &[u8]); 3] = [
        (attribute::USERNAME, b"bob"),
        (attribute::REALM, REALM.as_bytes()),
        (attribute::NONCE, NONCE),
    ];
    for missing in 0..3 {
        let mut some = all.to_vec();
        some.remove(missing);
        let bytes = Ask::allocate().written(id, &some, Some(&key_of("bob", "secret")));
        assert_eq!(refused(&mut net, &bytes).error(), 400);
    }
}

#[test]
fn what_stands_behind_the_integrity_was_not_asked_for() {
    let mut net = Net::new();
    let mut bytes =
        Ask::new(Method::Allocate).signed(TransactionId([1; 12]), "bob", &key_of("bob", "secret"));
    // REQUESTED-TRANSPORT in the place of FINGERPRINT.
    let at = bytes.len() - 8;
    bytes[at..].copy_from_slice(&[0x00, 0x19, 0, 4, 17, 0, 0, 0]);
    let mut outputs = net.give(udp(1), &bytes);
    let reply = take_reply(&mut outputs, udp(1), &key_of("bob", "secret")).unwrap();
    assert_eq!((reply.error(), outputs), (400, Vec::new()));
}

#[test]
fn what_is_no_request_of_turn_is_dropped_and_counted() {
    let mut net = Net::new();
    let good = Ask::allocate().signed(TransactionId([1; 12]), "bob", &key_of("bob", "secret"));
    let kinds: [u16; 5] = [0x0001, 0x0013, 0x0016, 0x0103, 0x0113];
    for kind in kinds {
        let mut other = good.clone();
        other[..2].copy_from_slice(&kind.to_be_bytes());
        assert_eq!(net.give(udp(1), &other), []);
    }
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bytes in [&damaged, &good[..good.len() - 1], b"", &[0x40, 0, 0, 0]] {
        assert_eq!(net.give(udp(1), bytes), []);
    }
    assert_eq!(net.server.counts().dropped, 9);
}

#[test]
fn a_nonce_that_no_node_makes_is_not_repeated() {
    let mut net = Net::new();
    let long = [b'n'; 4000];
    let all: [(u16, &[u8]); 1] = [(attribute::NONCE, &long)];
    let bytes = Ask::allocate().written(TransactionId::default(), &all, None);
    assert_eq!(net.give(udp(1), &bytes), []);
    assert_eq!(net.server.counts().dropped, 1);
}

#[test]
fn credentials_for_a_time_cut_lifetimes_to_their_own() {
    let mut net = Net::new();
    let minted = SharedSecret::new(SECRET).mint(UNIX + 1000, Some("alice"));
    let (user, password) = (minted.username.as_str(), minted.credential.as_str());
    let (reply, outputs) = net.ask_as(user, password, udp(1), Ask::allocate());
    assert_eq!((reply.error(), reply.lifetime()), (0, 600));
    let key = installed(&outputs);
    net.pass(500);
    let (reply, _) = net.ask_as(user, password, udp(1), Ask::refresh(3600));
    assert_eq!((reply.error(), reply.lifetime()), (0, 500));
    net.pass(499);
    let (reply, _) = net.ask_as(user, password, udp(1), Ask::refresh(3600));
    assert_eq!((reply.error(), reply.lifetime()), (0, 1));
    assert_eq!(net.pass(1), [Output::Remove { key }]);
    for ask in [Ask::allocate(), Ask::refresh(600)] {
        let bytes = ask.signed(net.transaction(), user, &key_of(user, password));
        assert_eq!(refused(&mut net, &bytes).error(), 401);
    }
}

#[test]
fn a_second_credential_of_the_same_user_does_not_take_over_an_allocation() {
    let mut net = Net::new();
    let mint = |expires| SharedSecret::new(SECRET).mint(UNIX + expires, Some("alice"));
    let (one, other) = (mint(1000), mint(2000));
    assert_eq!(net.ask_as(&one.username, &one.credential, udp(1), Ask::allocate()).0.error(), 0);
    let reply = net.ask_as(&other.username, &other.credential, udp(1), Ask::refresh(600)).0;
    assert_eq!(reply.error(), 441);
}
