//! Long-term credentials (RFC 8489 §9.2): users of the configuration, and users for a time, whose
//! passwords follow from a secret that the node shares with whoever lets them in. This is the scheme of
//! `draft-uberti-behave-turn-rest`, which TURN servers have in common:
//!
//! ```text
//! username = EXPIRY[:NAME]                         seconds since 1970
//! password = base64(HMAC-SHA1(secret, username))
//! key      = MD5(username ":" realm ":" password)  RFC 8489 §9.2.2
//! ```
//!
//! Names and passwords are taken as they stand: what RFC 8265 makes of them is for whoever types them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_engine::stun::{IntegrityKey, Message};
use zeroize::Zeroizing;

/// MD5 (RFC 1321), which the protocol asks for.
pub type Md5 = fn(&[u8]) -> [u8; 16];

/// Whom quotas are counted for: a user's name, without expiry.
pub(super) type User = Arc<[u8]>;

/// A secret that passwords follow from. Never printed.
#[derive(Clone)]
pub struct SharedSecret(hmac::Key);

/// Credentials for a time.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// When they expire, and for whom they are.
    pub username: String,
    /// The password.
    pub credential: Zeroizing<String>,
}

impl SharedSecret {
    /// From its text.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes()))
    }

    /// Makes credentials that are good until `expires`, in seconds since 1970.
    pub fn mint(&self, expires: u64, name: Option<&str>) -> Minted {
        let username = match name {
            Some(name) => format!("{expires}:{name}"),
            None => expires.to_string(),
        };
        let credential = self.password(username.as_bytes());
        Minted { username, credential }
    }

    fn password(&self, username: &[u8]) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(hmac::sign(&self.0, username)))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What the server knows its users by. Keys and secrets are never printed.
pub struct Credentials {
    realm: Box<[u8]>,
    users: HashMap<Box<[u8]>, Zeroizing<[u8; 16]>>,
    secrets: Vec<SharedSecret>,
    md5: Md5,
}

/// An authenticated user.
#[derive(Debug)]
pub(super) struct Grant {
    /// What answers are signed with.
    pub(super) key: IntegrityKey,
    /// Whom quotas are counted for.
    pub(super) user: User,
    /// Seconds since 1970 when the credentials expire.
    pub(super) expires: Option<u64>,
}

impl Credentials {
    /// For `realm`, with static users as pairs of name and password, and with the secrets that count: the
    /// current one, and the one before while credentials of it are about.
    pub fn new<'a>(
        realm: &str,
        users: impl IntoIterator<Item = (&'a str, &'a str)>,
        secrets: impl IntoIterator<Item = SharedSecret>,
        md5: Md5,
    ) -> Self {
        let mut this = Self {
            realm: realm.as_bytes().into(),
            users: HashMap::new(),
            secrets: secrets.into_iter().collect(),
            md5,
        };
        for (name, password) in users {
            let key = this.key(name.as_bytes(), password);
            this.users.insert(name.as_bytes().into(), key);
        }
        this
    }

    /// The realm that they are for.
    pub(super) fn realm(&self) -> &[u8] {
        &self.realm
    }

    /// Who has signed the message; `None` if nobody has whose credentials are good at `unix`, in seconds
    /// since 1970.
    pub(super) fn authenticate(&self, unix: u64, message: &Message<'_>) -> Option<Grant> {
        let username = message.username?;
        let signed_with = |key: &[u8; 16]| {
            let key = IntegrityKey::from_secret(key);
            message.verify_integrity(&key).then_some(key)
        };
        if let Some(key) = self.users.get(username) {
            return Some(Grant { key: signed_with(key)?, user: username.into(), expires: None });
        }
        let (expires, name) = parts(username)?;
        let key = self
            .secrets
            .iter()
            .find_map(|secret| signed_with(&self.key(username, &secret.password(username))))?;
        // RFC 8489 §9.2.4 tells of no difference between expired and wrong.
        (unix < expires).then(|| Grant { key, user: name.into(), expires: Some(expires) })
    }

    fn key(&self, username: &[u8], password: &str) -> Zeroizing<[u8; 16]> {
        let text = Zeroizing::new([username, &self.realm, password.as_bytes()].join(&b':'));
        Zeroizing::new((self.md5)(&text))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("users", &self.users.len())
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

/// Expiry and name of a username for a time; without a name the whole stands for its user.
fn parts(username: &[u8]) -> Option<(u64, &[u8])> {
    let colon = username.iter().position(|&byte| byte == b':');
    let (expiry, name) = match colon {
        Some(colon) => (&username[..colon], &username[colon + 1..]),
        None => (username, username),
    };
    let digits = expiry.iter().all(u8::is_ascii_digit);
    let expires = std::str::from_utf8(expiry).ok().filter(|_| digits)?.parse().ok()?;
    Some((expires, name))
}
