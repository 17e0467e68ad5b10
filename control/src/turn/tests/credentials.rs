use super::*;

/// RFC 5769 §2.4: a request with long-term credentials and a username that is not ASCII. Its password is
/// `TheMatrIX` once it is prepared.
const REQUEST: &[u8] = b"\
    \x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00\
    \x00\x15\x00\x1c\x66\x2f\x2f\x34\x39\x39\x6b\x39\x35\x34\x64\x36\x4f\x4c\x33\x34\x6f\x4c\x39\x46\
    \x53\x54\x76\x79\x36\x34\x73\x41\
    \x00\x14\x00\x0b\x65\x78\x61\x6d\x70\x6c\x65\x2e\x6f\x72\x67\x00\
    \x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66";

/// MD5 of the one text that the vector needs.
fn md5_of_the_vector(bytes: &[u8]) -> [u8; 16] {
    assert_eq!(bytes, "マトリックス:example.org:TheMatrIX".as_bytes());
    0xe8ca_7ad5_9d5e_b051_8e31_2911_d2da_b2a9_u128.to_be_bytes()
}

#[test]
fn the_published_request_is_authentic() {
    let users = [("マトリックス", "TheMatrIX")];
    let credentials = Credentials::new(REALM, users, [], md5_of_the_vector);
    let grant = credentials.authenticate(UNIX, &Message::parse(REQUEST).unwrap()).unwrap();
    assert_eq!((&*grant.user, grant.expires), ("マトリックス".as_bytes(), None));
    for at in [21, 24, 50, 90, 110] {
        let mut damaged = REQUEST.to_vec();
        damaged[at] ^= 1;
        let authentic = Message::parse(&damaged)
            .is_ok_and(|message| credentials.authenticate(UNIX, &message).is_some());
        assert!(!authentic, "byte {at}");
    }
}

#[test]
fn a_minted_password_is_what_every_other_server_would_make() {
    // `printf 1700000600:alice | openssl dgst -sha1 -hmac 'a secret of the node' -binary | base64`
    let minted = SharedSecret::new(SECRET).mint(1_700_000_600, Some("alice"));
    assert_eq!(minted.username, "1700000600:alice");
    assert_eq!(minted.credential.as_str(), "dCwjcbb3qPXCvOhtjKxUbXc0rpY=");
    assert_eq!(SharedSecret::new(SECRET).mint(7, None).username, "7");
}

fn granted(username: &str, secret: &str, unix: u64) -> Option<(Vec<u8>, Option<u64>)> {
    let settings = settings(Policy::default(), limits());
    let (expires, name) = username.split_once(':').map_or((username, None), |(e, n)| (e, Some(n)));
    let minted = SharedSecret::new(secret).mint(expires.parse().unwrap_or(0), name);
    let key = key_of(username, &minted.credential);
    let bytes = Ask::allocate().signed(TransactionId::default(), username, &key);
    let grant = settings.credentials.authenticate(unix, &Message::parse(&bytes).unwrap())?;
    Some((grant.user.to_vec(), grant.expires))
}

#[test]
fn credentials_for_a_time_are_good_with_both_secrets_until_they_expire() {
    let alice = |secret, unix| granted("1700000600:alice", secret, unix);
    let good = Some((b"alice".to_vec(), Some(1_700_000_600)));
    for secret in [SECRET, "the secret before"] {
        assert_eq!(alice(secret, 1_700_000_599), good);
        assert_eq!(alice(secret, 1_700_000_600), None, "expired");
    }
    assert_eq!(alice("a secret of somebody", UNIX), None);
    let whole = Some((b"1700000600".to_vec(), Some(1_700_000_600)));
    assert_eq!(granted("1700000600", SECRET, UNIX), whole);
}

#[test]
fn usernames_without_an_expiry_that_can_be_read_are_nobodys() {
    for username in
        ["", ":", ":alice", "alice", "+1700000600:a", "-1", "17e8:a", "99999999999999999999999:a"]
    {
        assert_eq!(granted(username, SECRET, UNIX), None, "{username}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let credentials = settings(Policy::default(), limits()).credentials;
    let minted = SharedSecret::new(SECRET).mint(1, None);
    let text = format!("{credentials:?} {:?} {minted:?}", SharedSecret::new(SECRET));
    for secret in [SECRET, "secret before", "other", minted.credential.as_str()] {
        assert!(!text.contains(secret), "{text}");
    }
}
