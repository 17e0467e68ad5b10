//! The few STUN messages that the packet path speaks: Binding with ICE's attributes (RFC 8489,
//! RFC 8445 §16.1), read without a copy and written in place; and what it takes to read and write any
//! other ([`attributes`], [`Writer`]), as TURN does.
//!
//! ```text
//!  0                   1                   2                   3
//! |0 0|   method and class        |        message length         |
//! |                         magic cookie                          |
//! |                 transaction id (96 bits)                      |
//! |  attributes: type, length, value padded to 4 bytes            |
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arrayvec::ArrayVec;
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::config::UFRAG_MAX;
use crate::error::DropReason;
use crate::plain::{self, Plain, Reader, Unreadable, plain};

/// Bytes of the message header.
pub const HEADER_LEN: usize = 20;
/// Bytes 4 to 8 of every message (RFC 8489 §5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The method of every check.
pub const BINDING: u16 = 0x001;
/// Unknown attributes that are remembered per message; further ones are not named in the answer.
pub const UNKNOWN_ATTRIBUTES: usize = 8;
/// Bytes of the longest message that is written: a check with two ufrags of [`UFRAG_MAX`].
pub const MESSAGE_MAX: usize = HEADER_LEN
    + ATTRIBUTE_HEADER
    + (2 * UFRAG_MAX + 1).next_multiple_of(4)
    + (ATTRIBUTE_HEADER + 4)
    + (ATTRIBUTE_HEADER + 8)
    + ATTRIBUTE_HEADER
    + INTEGRITY_LEN
    + FINGERPRINT_LEN;

/// Bytes of an attribute's type and length.
pub const ATTRIBUTE_HEADER: usize = 4;
const TAG_LEN: usize = 20;
const INTEGRITY_LEN: usize = ATTRIBUTE_HEADER + TAG_LEN;
const FINGERPRINT_LEN: usize = ATTRIBUTE_HEADER + 4;
/// Bytes of a block of SHA-1.
const HMAC_BLOCK: usize = 64;
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Attribute types (RFC 8489 §18.3, RFC 8445 §16.1).
pub mod attribute {
    /// MAPPED-ADDRESS.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// USERNAME.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// REALM.
    pub const REALM: u16 = 0x0014;
    /// NONCE.
    pub const NONCE: u16 = 0x0015;
    /// MESSAGE-INTEGRITY-SHA256.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// PRIORITY.
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// FINGERPRINT.
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED.
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING.
    pub const ICE_CONTROLLING: u16 = 0x802a;
    /// Renomination; libwebrtc sends it in the place of USE-CANDIDATE.
    pub const NOMINATION: u16 = 0xc001;
    /// From here on an attribute may be ignored (RFC 8489 §14).
    pub const COMPREHENSION_OPTIONAL: u16 = 0x8000;
}

/// What a message is (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// Answers a request.
    Success,
    /// Refuses a request.
    Error,
}

/// Ties an answer to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TransactionId(pub [u8; 12]);

/// The role that an agent claims in a check, with its tie-breaker (RFC 8445 §7.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It nominates.
    Controlling(u64),
    /// It follows.
    Controlled(u64),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 400: username or integrity is missing.
    BadRequest,
    /// 401: the integrity is wrong.
    Unauthenticated,
    /// 420: an attribute that must be understood is not.
    UnknownAttribute,
    /// 487: both agents have the same role (RFC 8445 §7.3.1.1).
    RoleConflict,
}

impl ErrorCode {
    /// Its number.
    pub const fn number(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::UnknownAttribute => 420,
            Self::RoleConflict => 487,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthenticated => "Unauthenticated",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::RoleConflict => "Role Conflict",
        }
    }
}

/// A short-term password, absorbed into HMAC-SHA1 once so that a message costs its own bytes only.
///
/// Never printed, zeroized when dropped.
#[derive(Clone)]
pub struct IntegrityKey {
    mac: Hmac<Sha1>,
    /// What the state was made from, for a process that goes on with it.
    secret: Zeroizing<ArrayVec<u8, HMAC_BLOCK>>,
}

impl IntegrityKey {
    /// From a password as it stands in the SDP (RFC 8489 §9.1.1).
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    pub fn new(password: &str) -> Self {
        Self::from_secret(password.as_bytes())
    }

    /// From secret bytes.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    pub fn from_secret(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        let mut kept = Zeroizing::new(ArrayVec::new());
        if kept.try_extend_from_slice(secret).is_err() {
            // What is longer than a block counts as its digest (RFC 2104 §2).
            kept.extend(Sha1::digest(secret));
        }
        Self { mac, secret: kept }
    }

    /// HMAC-SHA1 over the parts, one after the other.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl Plain for IntegrityKey {
    fn write(&self, to: &mut plain::Writer) {
        let Self { mac: _, secret } = self;
        secret.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let secret = Zeroizing::<ArrayVec<u8, HMAC_BLOCK>>::read(from)?;
        Ok(Self::from_secret(&secret))
    }

    fn shape(of: &mut plain::Shape) {
        of.name("IntegrityKey");
    }
}

plain! { tuple TransactionId; }

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

/// Whether `datagram` has the frame of a STUN message: two zero bits, the cookie, and a length that
/// is a multiple of 4 and ends where the datagram ends (RFC 8489 §5).
pub fn is_framed(datagram: &[u8]) -> bool {
    let Some(header) = datagram.first_chunk::<HEADER_LEN>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[0] & 0xc0 == 0
        && header[4..8] == MAGIC_COOKIE
        && length.is_multiple_of(4)
        && HEADER_LEN + length == datagram.len()
}

/// One attribute of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'m> {
    /// Its type.
    pub kind: u16,
    /// Its value, without padding.
    pub value: &'m [u8],
    /// Where in the message its type stands.
    pub at: usize,
}

/// The attributes of a message that [`is_framed`], in their order; the last is `None` if it is cut off.
pub fn attributes(message: &[u8]) -> impl Iterator<Item = Option<Attribute<'_>>> {
    let mut at = HEADER_LEN;
    std::iter::from_fn(move || {
        let rest = message.get(at..).filter(|rest| !rest.is_empty())?;
        let here = at;
        // Whatever becomes of this one, nothing is read behind one that is cut off.
        at = message.len();
        let read = || {
            let head: &[u8; ATTRIBUTE_HEADER] = rest.first_chunk()?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = rest.get(ATTRIBUTE_HEADER..)?.get(..len)?;
            Some(Attribute { kind, value, at: here })
        };
        let read = read();
        if let Some(attribute) = read {
            at = here + ATTRIBUTE_HEADER + attribute.value.len().next_multiple_of(4);
        }
        Some(read)
    })
}

/// A checked view of a message. Of an attribute that comes twice, the first counts (RFC 8489 §14).
#[derive(Debug, Clone)]
pub struct Message<'m> {
    bytes: &'m [u8],
    /// Request, indication or answer.
    pub class: Class,
    /// Method, 12 bits; only [`BINDING`] is spoken here.
    pub method: u16,
    /// What ties request and answer.
    pub transaction: TransactionId,
    /// USERNAME; in a check the receiver's ufrag, a colon, the sender's.
    pub username: Option<&'m [u8]>,
    /// NONCE.
    pub nonce: Option<&'m [u8]>,
    /// PRIORITY of a peer-reflexive candidate that would be learnt from this check.
    pub priority: Option<u32>,
    /// Whether USE-CANDIDATE is there.
    pub use_candidate: bool,
    /// ICE-CONTROLLING or ICE-CONTROLLED.
    pub role: Option<Role>,
    /// NOMINATION; the highest counts.
    pub nomination: Option<u32>,
    /// XOR-MAPPED-ADDRESS.
    pub mapped: Option<SocketAddr>,
    /// Number of ERROR-CODE, 300 to 699.
    pub error: Option<u16>,
    /// Attributes that must be understood and are not, as far as they fit.
    pub unknown: ArrayVec<u16, UNKNOWN_ATTRIBUTES>,
    integrity_at: Option<usize>,
    fingerprint_at: Option<usize>,
}

impl<'m> Message<'m> {
    /// Parses a whole datagram. Nothing in it is authenticated by that.
    ///
    /// # Errors
    /// [`DropReason::StunMalformed`] if the header, an attribute's length or a known attribute's
    /// value is wrong, or if something follows FINGERPRINT.
    pub fn parse(bytes: &'m [u8]) -> Result<Self, DropReason> {
        if !is_framed(bytes) {
            return Err(DropReason::StunMalformed);
        }
        let kind = u16::from_be_bytes([bytes[0], bytes[1]]);
        let mut transaction = TransactionId::default();
        transaction.0.copy_from_slice(&bytes[8..HEADER_LEN]);
        let mut message = Self {
            bytes,
            class: class_of(kind),
            method: method_of(kind),
            transaction,
            username: None,
            nonce: None,
            priority: None,
            use_candidate: false,
            role: None,
            nomination: None,
            mapped: None,
            error: None,
            unknown: ArrayVec::new(),
            integrity_at: None,
            fingerprint_at: None,
        };
        message.read_attributes().ok_or(DropReason::StunMalformed)?;
        Ok(message)
    }

    /// Whether MESSAGE-INTEGRITY is there.
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and right (RFC 8489 §14.5).
    pub fn verify_integrity(&self, key: &IntegrityKey) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let length = (at + INTEGRITY_LEN - HEADER_LEN) as u16;
        let expected = key.tag(&[&self.bytes[..2], &length.to_be_bytes(), &self.bytes[4..at]]);
        let value = at + ATTRIBUTE_HEADER;
        expected.ct_eq(&self.bytes[value..value + TAG_LEN]).into()
    }

    /// Whether FINGERPRINT is right or not there (RFC 8489 §14.7).
    pub fn fingerprint_holds(&self) -> bool {
        self.fingerprint_at.is_none_or(|at| {
            self.bytes[at + ATTRIBUTE_HEADER..] == fingerprint(&self.bytes[..at]).to_be_bytes()
        })
    }

    fn read_attributes(&mut self) -> Option<()> {
        for attribute in attributes(self.bytes) {
            let Attribute { kind, value, at } = attribute?;
            if self.fingerprint_at.is_some() {
                return None;
            }
            self.read_attribute(kind, value, at)?;
        }
        Some(())
    }

    fn read_attribute(&mut self, kind: u16, value: &'m [u8], at: usize) -> Option<()> {
        use attribute as a;
        if kind == a::FINGERPRINT {
            value.len().eq(&4).then(|| self.fingerprint_at = Some(at))?;
            return Some(());
        }
        if self.integrity_at.is_some() {
            // Whatever follows the integrity could have been added on the way.
            return Some(());
        }
        match kind {
            a::MESSAGE_INTEGRITY => {
                value.len().eq(&TAG_LEN).then(|| self.integrity_at = Some(at))?;
            }
            a::USERNAME => _ = self.username.get_or_insert(value),
            a::NONCE => _ = self.nonce.get_or_insert(value),
            a::PRIORITY => _ = self.priority.get_or_insert(be_u32(value)?),
            a::USE_CANDIDATE => self.use_candidate = true,
            a::ICE_CONTROLLING => _ = self.role.get_or_insert(Role::Controlling(be_u64(value)?)),
            a::ICE_CONTROLLED => _ = self.role.get_or_insert(Role::Controlled(be_u64(value)?)),
            a::NOMINATION => _ = self.nomination.get_or_insert(be_u32(value)?),
            a::XOR_MAPPED_ADDRESS => {
                _ = self.mapped.get_or_insert(unxor(value, self.transaction)?);
            }
            a::ERROR_CODE => _ = self.error.get_or_insert(error_number(value)?),
            // These mean nothing in a check, but are no reason to refuse one.
            a::MAPPED_ADDRESS | a::UNKNOWN_ATTRIBUTES | a::REALM | a::MESSAGE_INTEGRITY_SHA256 => {}
            unknown if unknown < a::COMPREHENSION_OPTIONAL => {
                _ = self.unknown.try_push(unknown);
            }
            _ => {}
        }
        Some(())
    }
}

/// Writes a Binding success response and says how long it is; `None` if `out` is too short.
///
/// `source` is the request's source as seen here. Without a key the answer is the plain one of a
/// STUN server (RFC 8489 §7.3.1).
pub fn write_binding_success(
    out: &mut [u8],
    transaction: TransactionId,
    source: SocketAddr,
    key: Option<&IntegrityKey>,
) -> Option<usize> {
    let mut writer = Writer::begin(out, Class::Success, BINDING, transaction)?;
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, source)?;
    writer.finish(key)
}

/// Answers a plain Binding request from `source` as a STUN server does, and says how long that is (RFC 8489
/// §6.3.1); `None` if `out` is too short. Where the request has no FINGERPRINT the answer has none.
pub fn answer_binding(out: &mut [u8], request: &Message<'_>, source: SocketAddr) -> Option<usize> {
    if !request.unknown.is_empty() {
        let code = ErrorCode::UnknownAttribute;
        return write_binding_error(out, request.transaction, code, &request.unknown, None);
    }
    let mut writer = Writer::begin(out, Class::Success, BINDING, request.transaction)?;
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, source)?;
    match request.fingerprint_at {
        Some(_) => writer.finish(None),
        None => Some(writer.len()),
    }
}

/// Writes a Binding error response and says how long it is; `None` if `out` is too short.
///
/// `unknown` is named in UNKNOWN-ATTRIBUTES where it is not empty (RFC 8489 §14.9).
pub fn write_binding_error(
    out: &mut [u8],
    transaction: TransactionId,
    code: ErrorCode,
    unknown: &ArrayVec<u16, UNKNOWN_ATTRIBUTES>,
    key: Option<&IntegrityKey>,
) -> Option<usize> {
    let mut writer = Writer::begin(out, Class::Error, BINDING, transaction)?;
    writer.error(code.number(), code.reason())?;
    if !unknown.is_empty() {
        let names: ArrayVec<[u8; 2], UNKNOWN_ATTRIBUTES> =
            unknown.iter().map(|kind| kind.to_be_bytes()).collect();
        writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &[names.as_flattened()])?;
    }
    writer.finish(key)
}

/// A connectivity check to be written (RFC 8445 §7.2.2).
#[derive(Debug, Clone, Copy)]
pub struct Check<'c> {
    /// What ties the answer to it.
    pub transaction: TransactionId,
    /// The far side's ufrag.
    pub remote_ufrag: &'c str,
    /// The node's ufrag.
    pub local_ufrag: &'c str,
    /// PRIORITY.
    pub priority: u32,
    /// The node's role and tie-breaker.
    pub role: Role,
    /// Whether it nominates.
    pub use_candidate: bool,
    /// The far side's password.
    pub key: &'c IntegrityKey,
}

/// Writes a Binding request and says how long it is; `None` if `out` is too short
/// ([`MESSAGE_MAX`] bytes always suffice for ufrags of legal length).
pub fn write_binding_request(out: &mut [u8], check: &Check<'_>) -> Option<usize> {
    let mut writer = Writer::begin(out, Class::Request, BINDING, check.transaction)?;
    writer.attribute(
        attribute::USERNAME,
        &[check.remote_ufrag.as_bytes(), b":", check.local_ufrag.as_bytes()],
    )?;
    writer.attribute(attribute::PRIORITY, &[&check.priority.to_be_bytes()])?;
    let (kind, tie_breaker) = match check.role {
        Role::Controlling(tie_breaker) => (attribute::ICE_CONTROLLING, tie_breaker),
        Role::Controlled(tie_breaker) => (attribute::ICE_CONTROLLED, tie_breaker),
    };
    writer.attribute(kind, &[&tie_breaker.to_be_bytes()])?;
    if check.use_candidate {
        writer.attribute(attribute::USE_CANDIDATE, &[])?;
    }
    writer.finish(Some(check.key))
}

/// A message under construction. The length in its header is right after every attribute.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
    transaction: TransactionId,
}

impl<'o> Writer<'o> {
    /// Writes the header; `None` if `out` is too short. `method` has 12 bits.
    pub fn begin(
        out: &'o mut [u8],
        class: Class,
        method: u16,
        transaction: TransactionId,
    ) -> Option<Self> {
        let header = out.first_chunk_mut::<HEADER_LEN>()?;
        header[..2].copy_from_slice(&kind_of(class, method).to_be_bytes());
        header[2..4].fill(0);
        header[4..8].copy_from_slice(&MAGIC_COOKIE);
        header[8..].copy_from_slice(&transaction.0);
        Some(Self { out, len: HEADER_LEN, transaction })
    }

    /// Appends an address, masked (RFC 8489 §14.2).
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) -> Option<()> {
        let (family, port, masked, len) = xor(address, self.transaction);
        self.attribute(kind, &[&[0, family], &port.to_be_bytes(), &masked[..len]])
    }

    /// Appends ERROR-CODE (RFC 8489 §14.8); `number` is 300 to 699.
    pub fn error(&mut self, number: u16, reason: &str) -> Option<()> {
        let [class, rest] = [(number / 100) as u8, (number % 100) as u8];
        self.attribute(attribute::ERROR_CODE, &[&[0, 0, class, rest], reason.as_bytes()])
    }

    /// Appends an attribute whose value is the parts, one after the other; `None`, and nothing is changed, if
    /// it does not fit.
    pub fn attribute(&mut self, kind: u16, parts: &[&[u8]]) -> Option<()> {
        let value_len: usize = parts.iter().map(|part| part.len()).sum();
        let end = self.len + ATTRIBUTE_HEADER + value_len.next_multiple_of(4);
        let length = u16::try_from(end - HEADER_LEN).ok()?;
        let place = self.out.get_mut(self.len..end)?;
        let (head, mut rest) = place.split_at_mut(ATTRIBUTE_HEADER);
        head[..2].copy_from_slice(&kind.to_be_bytes());
        head[2..].copy_from_slice(&u16::try_from(value_len).ok()?.to_be_bytes());
        for part in parts {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        rest.fill(0);
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
        self.len = end;
        Some(())
    }

    /// Bytes that were written; the message is whole after every attribute.
    #[expect(clippy::len_without_is_empty, reason = "it holds a header from the start")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends the head of an attribute whose `len` bytes of value, and padding, are in their place already.
    pub(crate) fn announce(&mut self, kind: u16, len: usize) -> Option<()> {
        let end = self.len + ATTRIBUTE_HEADER + len.next_multiple_of(4);
        let length = u16::try_from(end - HEADER_LEN).ok()?;
        let head = self.out.get_mut(self.len..end)?.first_chunk_mut::<ATTRIBUTE_HEADER>()?;
        head[..2].copy_from_slice(&kind.to_be_bytes());
        head[2..].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
        self.len = end;
        Some(())
    }

    /// Appends MESSAGE-INTEGRITY, if there is a key, and FINGERPRINT, and says how long the message is; `None` if
    /// they do not fit.
    pub fn finish(mut self, key: Option<&IntegrityKey>) -> Option<usize> {
        if let Some(key) = key {
            let covered = self.len;
            self.attribute(attribute::MESSAGE_INTEGRITY, &[&[0; TAG_LEN]])?;
            let tag = key.tag(&[&self.out[..covered]]);
            self.out[covered + ATTRIBUTE_HEADER..self.len].copy_from_slice(&tag);
        }
        let covered = self.len;
        self.attribute(attribute::FINGERPRINT, &[&[0; 4]])?;
        let crc = fingerprint(&self.out[..covered]);
        self.out[covered + ATTRIBUTE_HEADER..self.len].copy_from_slice(&crc.to_be_bytes());
        Some(self.len)
    }
}

/// The class bits lie inside the method's (RFC 8489 §5, figure 3).
const fn class_of(kind: u16) -> Class {
    match kind & 0x0110 {
        0x0000 => Class::Request,
        0x0010 => Class::Indication,
        0x0100 => Class::Success,
        _ => Class::Error,
    }
}

const fn method_of(kind: u16) -> u16 {
    (kind & 0x000f) | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2
}

const fn kind_of(class: Class, method: u16) -> u16 {
    (method & 0x000f)
        | (method & 0x0070) << 1
        | (method & 0x0f80) << 2
        | match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        }
}

fn be_u32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

fn be_u64(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// Hundreds and rest of ERROR-CODE (RFC 8489 §14.8).
fn error_number(value: &[u8]) -> Option<u16> {
    let [_, _, class, number] = *value.first_chunk()?;
    let class = class & 0x07;
    ((3..=6).contains(&class) && number < 100).then(|| u16::from(class) * 100 + u16::from(number))
}

/// What addresses are masked with: the cookie, then the transaction id (RFC 8489 §14.2).
fn mask(transaction: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(&transaction.0);
    mask
}

const PORT_MASK: u16 = u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

/// Family, masked port, masked address and the address's length. An IPv4 address that a dual-stack
/// socket reports as mapped goes out as IPv4, which is how the far side knows itself.
fn xor(source: SocketAddr, transaction: TransactionId) -> (u8, u16, [u8; 16], usize) {
    let mut address = mask(transaction);
    let mut apply = |octets: &[u8]| {
        address.iter_mut().zip(octets).for_each(|(masked, octet)| *masked ^= octet);
        octets.len()
    };
    let (family, len) = match source.ip().to_canonical() {
        IpAddr::V4(ip) => (FAMILY_V4, apply(&ip.octets())),
        IpAddr::V6(ip) => (FAMILY_V6, apply(&ip.octets())),
    };
    (family, source.port() ^ PORT_MASK, address, len)
}

/// Reads a masked address (RFC 8489 §14.2).
pub fn unxor(value: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
    let (&[_, family, high, low], masked) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([high, low]) ^ PORT_MASK;
    let mut address = mask(transaction);
    address.iter_mut().zip(masked).for_each(|(octet, masked)| *octet ^= masked);
    let ip = match (family, masked.len()) {
        (FAMILY_V4, 4) => Ipv4Addr::new(address[0], address[1], address[2], address[3]).into(),
        (FAMILY_V6, 16) => Ipv6Addr::from(address).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// CRC-32 of ITU-T V.42, masked so that it differs from other protocols' (RFC 8489 §14.7).
fn fingerprint(bytes: &[u8]) -> u32 {
    let crc = bytes
        .iter()
        .fold(u32::MAX, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8));
    !crc ^ FINGERPRINT_XOR
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut entry = index as u32;
        let mut bit = 0;
        while bit < 8 {
            entry = if entry & 1 == 1 { 0xedb8_8320 ^ (entry >> 1) } else { entry >> 1 };
            bit += 1;
        }
        table[index] = entry;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests;
