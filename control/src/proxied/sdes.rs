//! Keys in the description (RFC 4568): what an offer tells its reader, and which of it is chosen.

use causeway_engine::srtp::Suite;
use zeroize::Zeroizing;

use super::line::LineKeys;
use super::settle::Move;
use crate::call::media::random;
use crate::ng::{Flag, Flags};
use crate::sdp::{BY_STRENGTH, Crypto, SessionParameters};

/// Takes the writer's keys, as far as they can be used and are wanted; what the node has offered it goes,
/// but for the one that it chose first.
pub(super) fn take(keys: &mut LineKeys, said: &[Crypto], flags: &Flags, step: Move) {
    keys.theirs = said.to_vec();
    let legacy = flags.has(Flag::SdesLegacy);
    keys.theirs.retain(|crypto| crypto.is_usable(legacy) && is_welcome(crypto.suite, flags));
    if let Some(first) = keys.theirs.first() {
        let is_chosen = |own: &Crypto| own.suite == first.suite && own.tag == first.tag;
        keys.own.retain(is_chosen);
    }
    if step == Move::Offer {
        keys.prefers = !flags.sdes.offerer_pref.is_empty();
        to_the_front(&mut keys.theirs, &flags.sdes.offerer_pref);
    }
}

/// Keys for an offer: the writer's own first, so that the two sides may agree on one; then what was
/// offered before; then a fresh key of each suite that is left.
pub(super) fn offer(theirs: &[Crypto], before: Vec<Crypto>, flags: &Flags) -> Vec<Crypto> {
    let recrypts = flags.has(Flag::Recrypt);
    let mut offer: Vec<Crypto> = theirs
        .iter()
        .map(|crypto| if recrypts { fresh(crypto.tag, crypto.suite) } else { crypto.clone() })
        .map(|crypto| with_parameters(crypto, flags, Move::Offer))
        .collect();
    let mut next = offer.iter().map(|crypto| crypto.tag + 1).max().unwrap_or(1);
    let has = |offer: &[Crypto], suite| offer.iter().any(|crypto: &Crypto| crypto.suite == suite);
    for mut crypto in before {
        if !has(&offer, crypto.suite) {
            crypto.tag = crypto.tag.max(next);
            next = crypto.tag + 1;
            offer.push(crypto);
        }
    }
    for suite in BY_STRENGTH.into_iter().filter(|_| !flags.has(Flag::SdesNoNew)) {
        if !has(&offer, suite) && is_wanted(suite, flags) {
            offer.push(with_parameters(fresh(next, suite), flags, Move::Offer));
            next += 1;
        }
    }
    to_the_front(&mut offer, &flags.sdes.order);
    offer
}

/// Chooses the key for an answer: of the suite that the other side chose if it was offered, so that what
/// comes in one suite goes out in it, else the reader's favourite. A key of that suite stays, and with
/// [`Flag::SdesStatic`] any that was offered again.
pub(super) fn choose(keys: &mut LineKeys, chosen: &[Crypto], flags: &Flags) {
    let LineKeys { theirs, own, prefers, .. } = keys;
    let is_static = |own: &Crypto| {
        flags.has(Flag::SdesStatic)
            && theirs.iter().any(|offer| offer.suite == own.suite && offer.tag == own.tag)
    };
    if let Some(kept) = own.first().filter(|own| is_static(own)) {
        let suite = kept.suite;
        theirs.retain(|offer| offer.suite == suite);
        return;
    }
    let same = chosen.first().filter(|_| !*prefers);
    let same = same.and_then(|c| theirs.iter().find(|own| own.suite == c.suite));
    let Some(offer) = same.or(theirs.first()).cloned() else { return };
    if own.first().is_some_and(|own| own.suite == offer.suite) {
        *theirs = vec![offer];
        return;
    }
    let shared = chosen.first().filter(|c| c.suite == offer.suite && !flags.has(Flag::Recrypt));
    let key = match shared {
        Some(shared) => Crypto { tag: offer.tag, lifetime: None, ..shared.clone() },
        None => Crypto { parameters: offer.parameters, ..fresh(offer.tag, offer.suite) },
    };
    *own = vec![with_parameters(key, flags, Move::Answer)];
    *theirs = vec![with_parameters(offer, flags, Move::Answer)];
}

/// The key with what the proxy says of it. That RTP is neither encrypted nor authenticated cannot be had.
fn with_parameters(mut crypto: Crypto, flags: &Flags, step: Move) -> Crypto {
    let clear = &mut crypto.parameters.unencrypted_srtcp;
    if flags.has(Flag::SdesUnencryptedSrtcp) && step == Move::Offer {
        *clear = true;
    } else if flags.has(Flag::SdesEncryptedSrtcp) {
        *clear = false;
    }
    crypto
}

/// Those of these suites first, in this order.
fn to_the_front(keys: &mut [Crypto], order: &[String]) {
    let place = |key: &Crypto| order.iter().position(|name| name == key.suite.name());
    keys.sort_by_key(|key| place(key).unwrap_or(usize::MAX));
}

/// Whether an offered suite is taken. Where nothing is to be added, what is offered is not sorted out
/// either.
fn is_welcome(suite: Suite, flags: &Flags) -> bool {
    flags.has(Flag::SdesNoNew) || is_wanted(suite, flags)
}

fn is_wanted(suite: Suite, flags: &Flags) -> bool {
    let named = |list: &[String]| list.iter().any(|name| name == suite.name());
    let is_sound = flags.has(Flag::SdesLegacy) || !Suite::LEGACY.contains(&suite);
    let is_asked = match flags.sdes.only.as_slice() {
        [] => !named(&flags.sdes.no),
        only => named(only),
    };
    is_sound && is_asked
}

/// A key of random bytes.
fn fresh(tag: u32, suite: Suite) -> Crypto {
    let bytes = |len: usize| {
        let mut bytes = Zeroizing::new(Vec::with_capacity(len + 8));
        while bytes.len() < len {
            bytes.extend_from_slice(&random().to_be_bytes());
        }
        bytes.truncate(len);
        bytes
    };
    Crypto {
        tag,
        suite,
        key: bytes(suite.key_len()),
        salt: bytes(suite.salt_len()),
        lifetime: None,
        mki: None,
        parameters: SessionParameters::default(),
    }
}
