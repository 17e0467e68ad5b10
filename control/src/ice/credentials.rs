//! The user fragment and password of one side (RFC 8445 §5.3).

use std::fmt;

use causeway_engine::command::WorkerId;
use zeroize::Zeroizing;

/// A ufrag and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user fragment, which is public.
    pub ufrag: String,
    /// The password, which signs checks that are sent to this side.
    pub password: Zeroizing<String>,
}

impl Credentials {
    /// Makes fresh ones for a leg of `worker` from the system's random source: 35 bits of ufrag and 154 of
    /// password where RFC 8445 §5.3 asks for 24 and 128. The ufrag says whose it is
    /// ([`WorkerId::ufrag_prefix`]).
    ///
    /// Two sides can meet with the same ufrag by chance; who keeps the node's table of ufrags draws again then.
    pub fn random(worker: WorkerId) -> Self {
        let prefix = worker.ufrag_prefix().map(char::from);
        Self {
            ufrag: prefix.into_iter().chain(random_text::<UFRAG_LEN>().chars()).collect(),
            password: Zeroizing::new(random_text::<PASSWORD_LEN>()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// Letters and digits, of which `ice-char` (RFC 8839 §5.4) has two more: there are SIP elements that take
/// nothing else. Each is worth nearly six bits; the two numbers in 64 that name none are drawn again.
fn random_text<const LEN: usize>() -> String {
    let mut text = String::with_capacity(LEN);
    let mut bytes = Zeroizing::new([0u8; LEN]);
    while text.len() < LEN {
        aws_lc_rs::rand::fill(&mut *bytes)
            .expect("the system's random source never fails once seeded");
        let drawn = bytes.iter().filter_map(|byte| ICE_CHARS.get(usize::from(byte & 0x3f)));
        text.extend(drawn.map(|byte| char::from(*byte)).take(LEN - text.len()));
    }
    text
}

/// Beyond the prefix; with it a ufrag is as long as most agents have theirs.
const UFRAG_LEN: usize = 6;
const PASSWORD_LEN: usize = 26;
const ICE_CHARS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: WorkerId = WorkerId(33);

    #[test]
    fn random_credentials_are_long_enough_and_differ() {
        let (one, other) = (Credentials::random(WORKER), Credentials::random(WORKER));
        assert_eq!((one.ufrag.len(), one.password.len()), (8, 26));
        assert_eq!(WorkerId::of_ufrag(one.ufrag.as_bytes()), Some(WORKER));
        assert_ne!(one, other);
        assert!(one.password.bytes().all(|c| ICE_CHARS.contains(&c)));
    }

    #[test]
    fn the_password_is_not_printed() {
        let credentials = Credentials::random(WORKER);
        assert!(!format!("{credentials:?}").contains(credentials.password.as_str()));
    }
}
