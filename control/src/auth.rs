//! Who may what: bearer API tokens with scopes, and join tokens that let one browser into one call.
//!
//! The configuration holds SHA-256 hashes of API tokens, so that a leaked file opens nothing. A
//! plain hash is right here where a password would need a slow one: a token is 32 random bytes, and
//! nobody guesses 256 bits however fast the hash is.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::api::{Problem, TokenCreated};

/// Bytes of a bearer token, longest that is looked at.
pub const TOKEN_MAX: usize = 1024;
/// API tokens that a configuration holds at most: each request is compared with all of them.
pub const API_TOKENS_MAX: usize = 64;
/// Characters of a configured join secret, fewest.
pub const JOIN_SECRET_MIN: usize = 32;
/// Characters of a role, most.
pub const ROLE_MAX: usize = 32;

/// What an API token lets its bearer do. Each scope stands for itself, but admin includes all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See calls, events, statistics.
    Read,
    /// Make, change and end calls, hand out join tokens, take calls at the desk.
    Call,
    /// Everything.
    Admin,
}

impl Scope {
    /// Its name in the configuration and in problems.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Call => "call",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Read, Self::Call, Self::Admin]
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or_else(|| format!("`{text}` is no scope; allowed are read, call, admin"))
    }
}

/// An API token as the configuration holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// Whose it is; for logs.
    pub name: String,
    /// Its hash.
    pub hash: TokenHash,
    /// What it is good for.
    pub scopes: Vec<Scope>,
}

impl ApiToken {
    /// Whether it reaches as far as `scope`.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// SHA-256 of a token, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of `token`.
    pub fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:…")
    }
}

impl FromStr for TokenHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "a token hash is `sha256:` and 64 hex digits, as `causeway token` prints it".to_owned()
        };
        let hex = text.strip_prefix("sha256:").ok_or_else(wrong)?.as_bytes();
        if hex.len() != 64 || !hex.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong());
        }
        let nibble = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
        Ok(Self(std::array::from_fn(|n| nibble(hex[2 * n]) << 4 | nibble(hex[2 * n + 1]))))
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A new API token: 32 random bytes, with a prefix that secret scanners can look for.
///
/// # Panics
/// Where the system has no randomness; nothing secure can be done then.
pub fn fresh_token() -> Zeroizing<String> {
    Zeroizing::new(format!("causeway_{}", random_text::<32>().as_str()))
}

/// The API tokens of a node.
#[derive(Debug, Clone, Default)]
pub struct ApiTokens(Vec<ApiToken>);

impl ApiTokens {
    /// Those of the configuration.
    pub fn new(tokens: Vec<ApiToken>) -> Self {
        Self(tokens)
    }

    /// Whether there are none, so that the doors on loopback are open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks whether the bearer of `token` may do what needs `scope`.
    ///
    /// # Errors
    /// 401 for an unknown token, 403 for one without the scope.
    pub fn check(&self, token: &str, scope: Scope) -> Result<(), Problem> {
        let known = self.find(token).ok_or_else(|| {
            Problem::unauthorized("this API token is not known; `causeway token` makes one")
        })?;
        if known.allows(scope) {
            return Ok(());
        }
        let words = format!("token `{}` does not have the scope `{}`", known.name, scope.name());
        Err(Problem::forbidden(words))
    }

    /// Looks at every token, so that the time taken does not tell which one nearly matched.
    fn find(&self, token: &str) -> Option<&ApiToken> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let hash = TokenHash::of(token);
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.hash.0.ct_eq(&hash.0)) {
                found = Some(known);
            }
        }
        found
    }
}

/// What a join token says: the payload of a JWT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The call that it opens.
    pub call: String,
    /// The role that its bearer joins with.
    pub role: String,
    /// Seconds since 1970 when it expires.
    pub exp: u64,
    /// Its own id: legs belong to it.
    pub jti: String,
}

/// Issues and checks join tokens: JWTs signed with HMAC-SHA-256 (RFC 7519, RFC 7518 §3.2).
pub struct JoinTokens {
    signing: EncodingKey,
    checking: DecodingKey,
    rules: Validation,
}

impl JoinTokens {
    /// With the configured secret, or a random one that ends with the process.
    ///
    /// # Panics
    /// Where the system has no randomness.
    pub fn new(secret: Option<&str>) -> Self {
        let random = random_text::<32>();
        let secret = secret.unwrap_or(random.as_str()).as_bytes();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        rules.validate_aud = false;
        Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            rules,
        }
    }

    /// A token for `role` in `call`, good for `life`.
    ///
    /// # Errors
    /// 500 if it cannot be signed.
    ///
    /// # Panics
    /// Where the system has no randomness.
    pub fn issue(&self, call: &str, role: &str, life: Duration) -> Result<TokenCreated, Problem> {
        let expires = unix_now() + life.as_secs();
        let jti = random_text::<16>().to_string();
        let pass = Pass { call: call.to_owned(), role: role.to_owned(), exp: expires, jti };
        let token = self.sign(&pass)?;
        Ok(TokenCreated { token, expires })
    }

    /// What `token` says.
    ///
    /// # Errors
    /// 401 if it is expired, not signed by this node or not a token at all.
    pub fn check(&self, token: &str) -> Result<Pass, Problem> {
        if token.len() > TOKEN_MAX {
            return Err(Problem::unauthorized("this is no join token: it is too long"));
        }
        match jsonwebtoken::decode::<Pass>(token, &self.checking, &self.rules) {
            // RFC 7519 §4.1.4: not "on or after" the time; the library accepts it on the second.
            Ok(data) if data.claims.exp <= unix_now() => Err(expired()),
            Ok(data) => Ok(data.claims),
            Err(error) if *error.kind() == ErrorKind::ExpiredSignature => Err(expired()),
            Err(error) => Err(Problem::unauthorized(match error.kind() {
                ErrorKind::InvalidSignature => "the join token was not signed by this node",
                _ => "this is no join token",
            })),
        }
    }

    /// What `token` says if nothing but its time is wrong: for notes, never to let anybody in.
    pub fn expired(&self, token: &str) -> Option<Pass> {
        let mut rules = self.rules.clone();
        rules.validate_exp = false;
        let short = (token.len() <= TOKEN_MAX).then_some(token)?;
        let pass = jsonwebtoken::decode::<Pass>(short, &self.checking, &rules).ok()?.claims;
        (pass.exp <= unix_now()).then_some(pass)
    }

    fn sign(&self, pass: &Pass) -> Result<String, Problem> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), pass, &self.signing)
            .map_err(|_| Problem::internal("the join token could not be signed"))
    }
}

impl fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinTokens(…)")
    }
}

fn expired() -> Problem {
    Problem::unauthorized("the join token is expired; ask for a new one")
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn random_text<const BYTES: usize>() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0u8; BYTES]);
    rand::fill(bytes.as_mut_slice()).expect("the system has randomness");
    Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_token_hash_reads_back_and_matches_the_published_vector() {
        // FIPS 180-2, appendix B.1.
        let hash = TokenHash::of("abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse::<TokenHash>().unwrap(), hash);
        for wrong in
            ["", "sha256:", &text[..70], &text.replace("ba", "zz"), &text.replace(':', "-")]
        {
            assert!(wrong.parse::<TokenHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_reaches_as_far_as_its_scopes() {
        let token = fresh_token();
        let known = |scopes: &[Scope]| {
            ApiTokens::new(vec![ApiToken {
                name: "a".into(),
                hash: TokenHash::of(&token),
                scopes: scopes.to_vec(),
            }])
        };
        assert!(known(&[Scope::Read]).check(&token, Scope::Read).is_ok());
        assert_eq!(known(&[Scope::Read]).check(&token, Scope::Call).unwrap_err().status, 403);
        assert!(known(&[Scope::Admin]).check(&token, Scope::Call).is_ok());
        assert_eq!(
            known(&[Scope::Admin]).check(&fresh_token(), Scope::Read).unwrap_err().status,
            401
        );
        assert_eq!(
            known(&[Scope::Admin]).check(&"x".repeat(9000), Scope::Read).unwrap_err().status,
            401
        );
    }

    #[test]
    fn a_join_token_says_what_it_was_issued_for() {
        let tokens = JoinTokens::new(None);
        let made = tokens.issue("c1", "agent", HOUR).unwrap();
        let pass = tokens.check(&made.token).unwrap();
        assert_eq!(
            (pass.call.as_str(), pass.role.as_str(), pass.exp),
            ("c1", "agent", made.expires)
        );
        assert_ne!(
            pass.jti,
            tokens.check(&tokens.issue("c1", "agent", HOUR).unwrap().token).unwrap().jti
        );
    }

    #[test]
    fn expired_foreign_unsigned_and_garbled_join_tokens_are_refused_in_words() {
        let tokens = JoinTokens::new(Some("0123456789abcdef0123456789abcdef"));
        let pass = |exp| Pass { call: "c".into(), role: "r".into(), exp, jti: "j".into() };
        let refusal = |token: &str| {
            let problem = tokens.check(token).unwrap_err();
            assert_eq!(problem.status, 401);
            problem.detail
        };
        let late = pass(unix_now());
        let signed = tokens.sign(&late).unwrap();
        assert!(refusal(&signed).contains("expired"));
        assert_eq!(tokens.expired(&signed), Some(late));
        let foreign = JoinTokens::new(None).issue("c", "r", HOUR).unwrap().token;
        assert!(refusal(&foreign).contains("not signed by this node"));
        assert_eq!(tokens.expired(&foreign), None);
        let good = tokens.sign(&pass(unix_now() + 60)).unwrap();
        assert_eq!(tokens.expired(&good), None, "it is not");
        let payload = good.split('.').nth(1).unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for garbage in ["", "x", "a.b.c", &format!("{none}.{payload}."), &"y".repeat(5000)] {
            assert!(refusal(garbage).contains("no join token"), "{garbage}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", JoinTokens::new(None)), "JoinTokens(…)");
        assert_eq!(format!("{:?}", TokenHash::of("abc")), "sha256:…");
    }
}
