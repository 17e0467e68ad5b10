//! The gate before TURN: what has shown that it is where it says passes up to control, everything else
//! is answered here, from nothing but the request (RFC 8489 §9.2, RFC 8656 §5).
//!
//! A nonce is its time and a tag over that time and the client's address. So nothing is kept before a
//! client has answered with one, and a flood from forged addresses costs one tag and one answer per
//! request, as many a second as a throttle lets through, and no other thread hears of it.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;

use crate::config::{REALM_MAX, THROTTLE_PLACES, UNASKED_PER_NETWORK, UNASKED_PER_SECOND};
use crate::packet::Nanos;
use crate::stun::{Class, IntegrityKey, Message, Writer, attribute};

/// How long a nonce is good for (RFC 8656 §5 suggests an hour at most).
pub const NONCE_LIFE: Nanos = Nanos::from_millis(3_600_000);
/// Bytes of a nonce: time and tag as hexadecimal digits.
const NONCE_LEN: usize = 2 * (TIME_LEN + NONCE_TAG_LEN);
const TIME_LEN: usize = 4;
const NONCE_TAG_LEN: usize = 8;

/// Methods of TURN (RFC 8656 §17, RFC 6062 §6.1).
pub mod method {
    /// Allocate.
    pub const ALLOCATE: u16 = 0x003;
    /// Refresh.
    pub const REFRESH: u16 = 0x004;
    /// Send, an indication.
    pub const SEND: u16 = 0x006;
    /// Data, an indication.
    pub const DATA: u16 = 0x007;
    /// CreatePermission.
    pub const CREATE_PERMISSION: u16 = 0x008;
    /// ChannelBind.
    pub const CHANNEL_BIND: u16 = 0x009;
    /// Connect.
    pub const CONNECT: u16 = 0x00a;
    /// ConnectionBind.
    pub const CONNECTION_BIND: u16 = 0x00b;
    /// ConnectionAttempt, an indication.
    pub const CONNECTION_ATTEMPT: u16 = 0x00c;

    /// Whether it is a request of TURN.
    pub const fn is_request(method: u16) -> bool {
        matches!(
            method,
            ALLOCATE | REFRESH | CREATE_PERMISSION | CHANNEL_BIND | CONNECT | CONNECTION_BIND
        )
    }
}

/// What is asked of clients, and what their nonces are made with.
#[derive(Debug, Clone)]
pub struct Gate {
    realm: ArrayVec<u8, REALM_MAX>,
    key: IntegrityKey,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It goes up: its nonce was given to this very address not long ago.
    Passes,
    /// It is answered with what was written, so many bytes.
    Refused(usize),
}

impl Gate {
    /// A gate for a realm of at most [`REALM_MAX`] bytes; the rest of a longer one is cut off. `key` is random
    /// and the same for all threads.
    pub fn new(realm: &str, key: &[u8; 20]) -> Self {
        Self { realm: realm.bytes().take(REALM_MAX).collect(), key: IntegrityKey::from_secret(key) }
    }

    /// Judges a request of TURN from `from`; an answer is written to `out`.
    pub(crate) fn admit(
        &self,
        request: &Message<'_>,
        from: SocketAddr,
        now: Nanos,
        out: &mut [u8],
    ) -> Option<Admission> {
        let mut refused = |number| match number {
            Some(number) => self.refuse(request, number, from, now, out),
            None => write_bad_request(request, out),
        };
        let complete = request.has_integrity();
        match request.nonce {
            _ if !complete => refused(Some(401)),
            // With integrity, but without what that takes (RFC 8489 §9.2.4).
            None => refused(None),
            Some(_) if request.username.is_none() => refused(None),
            Some(nonce) if self.is_good(nonce, from, now) => return Some(Admission::Passes),
            Some(_) => refused(Some(438)),
        }
        .map(Admission::Refused)
    }

    fn refuse(
        &self,
        request: &Message<'_>,
        number: u16,
        from: SocketAddr,
        now: Nanos,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut answer = Writer::begin(out, Class::Error, request.method, request.transaction)?;
        // No words beside the number: an answer to a forged address is to be short.
        answer.error(number, "")?;
        answer.attribute(attribute::REALM, &[&self.realm])?;
        answer.attribute(attribute::NONCE, &[&self.nonce(from, now)])?;
        Some(answer.len())
    }

    fn nonce(&self, from: SocketAddr, now: Nanos) -> [u8; NONCE_LEN] {
        let time = seconds(now).to_be_bytes();
        let mut raw = [0; TIME_LEN + NONCE_TAG_LEN];
        raw[..TIME_LEN].copy_from_slice(&time);
        raw[TIME_LEN..].copy_from_slice(&self.tag(time, from));
        let mut nonce = [0; NONCE_LEN];
        for (pair, byte) in nonce.chunks_exact_mut(2).zip(raw) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        nonce
    }

    fn is_good(&self, nonce: &[u8], from: SocketAddr, now: Nanos) -> bool {
        let Ok(nonce) = <&[u8; NONCE_LEN]>::try_from(nonce) else { return false };
        let mut raw = [0; TIME_LEN + NONCE_TAG_LEN];
        for (byte, pair) in raw.iter_mut().zip(nonce.chunks_exact(2)) {
            let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else { return false };
            *byte = high << 4 | low;
        }
        let (time, tag) = raw.split_at(TIME_LEN);
        let time: [u8; TIME_LEN] = [time[0], time[1], time[2], time[3]];
        let age = u64::from(seconds(now).wrapping_sub(u32::from_be_bytes(time)));
        age <= NONCE_LIFE.0 / NANOS && self.tag(time, from).ct_eq(tag).into()
    }

    fn tag(&self, time: [u8; TIME_LEN], from: SocketAddr) -> [u8; NONCE_TAG_LEN] {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let tag = self.key.tag(&[&time, &ip.octets(), &from.port().to_be_bytes()]);
        std::array::from_fn(|place| tag[place])
    }
}

/// 400: what authentication takes is not all there.
fn write_bad_request(request: &Message<'_>, out: &mut [u8]) -> Option<usize> {
    let mut answer = Writer::begin(out, Class::Error, request.method, request.transaction)?;
    answer.error(400, "")?;
    Some(answer.len())
}

const NANOS: u64 = 1_000_000_000;

/// Seconds of the clock that all threads of the host share; they wrap after a lifetime.
fn seconds(now: Nanos) -> u32 {
    (now.0 / NANOS) as u32
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// How many answers go to those who have not shown that they are where they say: so many a second
/// in all, and so many to one network, so that a forged flood that is aimed at somebody reaches him thinned.
///
/// Networks share places by a seeded hash; nothing grows.
#[derive(Debug)]
pub(crate) struct Throttle {
    hasher: foldhash::fast::RandomState,
    answered: Box<[u16]>,
    left: u32,
    since: Nanos,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            answered: vec![0; THROTTLE_PLACES].into(),
            left: UNASKED_PER_SECOND,
            since: Nanos(0),
        }
    }

    /// Whether `from` may be answered once more.
    pub(crate) fn may_answer(&mut self, from: SocketAddr, now: Nanos) -> bool {
        if now.since(self.since) >= NANOS {
            self.since = now;
            self.left = UNASKED_PER_SECOND;
            self.answered.fill(0);
        }
        let place = self.place(from.ip());
        let answered = &mut self.answered[place];
        if *answered >= UNASKED_PER_NETWORK || self.left == 0 {
            return false;
        }
        *answered += 1;
        self.left -= 1;
        true
    }

    fn place(&self, ip: IpAddr) -> usize {
        use std::hash::BuildHasher;
        let network = match ip.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
            IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64,
        };
        (self.hasher.hash_one(network) % THROTTLE_PLACES as u64) as usize
    }
}

#[cfg(test)]
mod tests;
